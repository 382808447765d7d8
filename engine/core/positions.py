"""Positions and accounts: cost basis, realised P&L, fees. Spot, long only; netting per (bot, exchange, symbol).

Conservation (I5): cash + sum(cost of open positions) == initial balance + realised P&L - fees, to the last digit. It holds
because a reduction takes a rounded share of the cost and gives P&L by subtraction, never by a rounded price.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import msgspec

from engine.core import events as ev
from engine.core.orders import Order
from engine.core.types import (
    ONE,
    QUANTUM,
    ZERO,
    InstrumentKind,
    InvariantError,
    MarginMode,
    PositionSide,
    Side,
)


class Account(msgspec.Struct):
    """One portfolio's money in its currency. `peak_equity` and the day's start are baselines of G13.

    `assets` holds what was paid in third assets (fees in BNB: below zero), `dust` what was too small to be sold, with its cost.
    """

    portfolio_id: str
    currency: str
    initial_balance: Decimal
    cash: Decimal
    peak_equity: Decimal
    day_start_equity: Decimal
    equity: Decimal
    day_start_ts: int = 0
    sampled_ts: int = 0
    realized_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    name: str = "main"
    assets: dict[str, Decimal] = {}
    dust: dict[str, Dust] = {}


class Dust(msgspec.Struct):
    """What is left of an asset that no order can sell."""

    quantity: Decimal = ZERO
    cost: Decimal = ZERO


class Position(msgspec.Struct):
    """One round trip. `cost` is what the open quantity cost, `entry_*` and `exit_*` are totals over its life."""

    id: str
    bot_id: str
    strategy_id: str
    portfolio_id: str
    exchange: str
    symbol: str
    side: PositionSide
    signal_id: str
    config_version: int
    opened_ts: int
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    entry_quantity: Decimal = ZERO
    entry_notional: Decimal = ZERO
    exit_quantity: Decimal = ZERO
    exit_notional: Decimal = ZERO
    realized_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    stop_price: Decimal | None = None
    take_profit_price: Decimal | None = None
    extreme: Decimal = ZERO
    trailing: bool = False
    mark_price: Decimal = ZERO
    updated_ts: int = 0
    closed_ts: int = 0
    kind: InstrumentKind = InstrumentKind.SPOT
    contract_size: Decimal = ONE
    leverage: Decimal = ONE
    margin_mode: MarginMode = MarginMode.ISOLATED
    margin: Decimal = ZERO
    maintenance_margin: Decimal = ZERO
    liquidation_price: Decimal | None = None
    funding: Decimal = ZERO
    entries: int = 0
    taken: list[str] = []
    flatten_tries: int = 0
    stop_reason: str = ""

    @classmethod
    def opened_by(cls, e: ev.OrderFilled, order: Order) -> Position:
        return cls(
            id=e.position_id,
            bot_id=order.bot_id,
            strategy_id=order.strategy_id,
            portfolio_id=order.portfolio_id,
            exchange=order.exchange,
            symbol=order.symbol,
            side=order.position_side,
            signal_id=order.signal_id,
            config_version=order.config_version,
            opened_ts=e.ts,
            mark_price=e.price,
            extreme=e.price,
            kind=order.kind,
            contract_size=order.contract_size,
            leverage=order.leverage,
            margin_mode=order.margin_mode,
        )

    @property
    def entry_price(self) -> Decimal:
        """Average entry price over all entries."""
        return (self.entry_notional / self.entry_quantity).quantize(QUANTUM) if self.entry_quantity else ZERO

    @property
    def exit_price(self) -> Decimal | None:
        return (self.exit_notional / self.exit_quantity).quantize(QUANTUM) if self.exit_quantity else None

    def unrealized_pnl(self, mark: Decimal) -> Decimal:
        return self.quantity * mark - self.cost


def cost_of(position: Position, quantity: Decimal) -> Decimal:
    """The share of the cost that leaves with `quantity`; all of it with the last unit."""
    if quantity >= position.quantity:
        return position.cost
    return (position.cost * quantity / position.quantity).quantize(QUANTUM, ROUND_HALF_EVEN)


def realized_by(position: Position | None, side: Side, quantity: Decimal, price: Decimal) -> Decimal:
    """P&L that a fill realises, before its fee. Zero for entries."""
    if side is Side.BUY or position is None:
        return ZERO
    return quantity * price - cost_of(position, quantity)


def apply_fill(account: Account, position: Position, e: ev.OrderFilled) -> None:
    """Move money, quantity and cost by one execution."""
    notional = e.quantity * e.price
    position.fees += e.fee
    account.fees += e.fee
    position.updated_ts = e.ts
    if e.side is Side.BUY:
        position.quantity += e.quantity
        position.cost += notional
        position.entry_quantity += e.quantity
        position.entry_notional += notional
        account.cash -= notional + e.fee
    else:
        leaving = cost_of(position, e.quantity)
        position.quantity -= e.quantity
        position.cost -= leaving
        position.exit_quantity += e.quantity
        position.exit_notional += notional
        position.realized_pnl += notional - leaving
        account.realized_pnl += notional - leaving
        account.cash += notional - e.fee
    position.mark_price = e.price


def check_conservation(accounts: dict[str, Account], positions: dict[str, Position]) -> None:
    """Raise InvariantError unless every account conserves (I5)."""
    for account in accounts.values():
        cost = sum((p.cost for p in positions.values() if p.portfolio_id == account.portfolio_id), ZERO)
        have = account.cash + cost
        want = account.initial_balance + account.realized_pnl - account.fees
        if have != want:
            raise InvariantError(f"account {account.portfolio_id}: cash + cost {have} != {want}")
