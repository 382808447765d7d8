"""Positions and accounts: quantity, cost, realised P&L, fees, margin and dust, for spot and linear, long and short.

Conservation (I5), to the last digit, of each account: cash + cost of open spot positions + cost of dust == initial balance +
realised P&L - fees + funding. It holds because what leaves takes a rounded share of the cost and P&L comes by
subtraction, never by a rounded price. A linear position moves P&L and fees only, so its cost is no part of the sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from engine.core import events as ev
from engine.core.orders import Order
from engine.core.types import (
    ACCEPTED,
    BUY,
    IOC,
    ISOLATED,
    LONG,
    MARKET,
    ONE,
    QUANTUM,
    SHORT,
    SPOT,
    ZERO,
    Instrument,
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


class Position(msgspec.Struct, gc=False):
    """One round trip. `cost` is what the open quantity cost, `entry_*` and `exit_*` are totals over its life.

    `quantity` is above zero on either side; below zero it was closed beyond what was held, which only a venue can do.
    `margin` is what stands for it: of an isolated position its own money, of a cross one the initial margin of its entries.
    """

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
    kind: InstrumentKind = SPOT
    contract_size: Decimal = ONE
    leverage: Decimal = ONE
    margin_mode: MarginMode = ISOLATED
    margin: Decimal = ZERO
    maintenance_margin: Decimal = ZERO
    liquidation_price: Decimal | None = None
    funding: Decimal = ZERO
    entries: int = 0
    taken: list[str] = []
    flatten_tries: int = 0
    wants: int = 0  # protective orders that its plan asks for
    resting: int = 0  # ... and that are open
    stop_reason: str = ""
    placed_ts: int = 0
    hedge: bool = False  # a leg of its own beside the other side's; else one position per bot and symbol, that flips
    dust: Decimal = ZERO  # quantity that was left to the account
    funded_ts: int = 0  # the last funding boundary that was paid
    liquidated_below: bool = True  # which way the liquidation price is reached
    liquidated: bool = False  # the venue has taken it, or a part of it

    @classmethod
    def opened_by(cls, e: ev.OrderFilled, order: Order) -> Position:
        return cls(
            id=e.position_id,
            bot_id=order.bot_id,
            strategy_id=order.strategy_id,
            portfolio_id=order.portfolio_id,
            exchange=order.exchange,
            symbol=order.symbol,
            side=side_of(order),
            signal_id=order.signal_id,
            config_version=order.config_version,
            opened_ts=e.ts,
            mark_price=e.price,
            extreme=e.price,
            kind=order.kind,
            contract_size=order.contract_size,
            leverage=order.leverage,
            margin_mode=order.margin_mode,
            hedge=order.hedge,
            entries=1,
            placed_ts=order.placed_ts,
        )

    @property
    def entry_price(self) -> Decimal:
        """Average entry price over all entries."""
        return self._average(self.entry_notional, self.entry_quantity) or ZERO

    @property
    def exit_price(self) -> Decimal | None:
        return self._average(self.exit_notional, self.exit_quantity)

    def _average(self, notional: Decimal, quantity: Decimal) -> Decimal | None:
        if quantity == ZERO:
            return None
        units = quantity if self.contract_size == ONE else quantity * self.contract_size
        return (notional / units).quantize(QUANTUM)

    @property
    def exited_cost(self) -> Decimal:
        """What the quantity that has left had cost: the base of a realised P&L in percent."""
        gain = self.realized_pnl if self.side is LONG else -self.realized_pnl
        return self.exit_notional - gain

    def grows(self, side: Side) -> bool:
        """Whether a fill of `side` adds to it."""
        return (side is BUY) is (self.side is LONG)

    def notional(self, price: Decimal) -> Decimal:
        return self.quantity * price if self.contract_size == ONE else self.quantity * self.contract_size * price

    def unrealized_pnl(self, mark: Decimal) -> Decimal:
        gain = self.notional(mark) - self.cost
        return gain if self.side is LONG else -gain

    def value(self, mark: Decimal) -> Decimal:
        """What it adds to equity: spot its notional, linear its P&L (its money is in the account's cash still)."""
        return self.quantity * mark if self.kind is SPOT else self.unrealized_pnl(mark)

    def liquidates(self, low: Decimal, high: Decimal) -> bool:
        """Whether marks from `low` to `high` reach the liquidation price; both legs of a hedge have one, on one side."""
        price = self.liquidation_price
        return price is not None and (low <= price if self.liquidated_below else high >= price)


def side_of(order: Order) -> PositionSide:
    """The side of a position that a fill of `order` opens: in hedge mode and on spot its own, else the fill's direction."""
    if order.hedge or order.kind is SPOT:
        return order.position_side
    return LONG if order.side is BUY else SHORT


def adopted(position: Position, e: ev.OrderAdopted) -> Order:
    """The venue's own order on a position: accepted from the start, and never sent."""
    return Order(
        id=e.order_id,
        number=e.number,
        signal_id=position.signal_id,
        bot_id=position.bot_id,
        strategy_id=position.strategy_id,
        portfolio_id=position.portfolio_id,
        position_id=position.id,
        exchange=position.exchange,
        symbol=position.symbol,
        side=e.side,
        position_side=position.side,
        order_type=MARKET,
        time_in_force=IOC,
        origin=e.origin,
        role=e.role,
        quantity=e.quantity,
        price=None,
        stop_price=None,
        reduce_only=True,
        valid_until=None,
        config_version=position.config_version,
        submitted_ts=e.ts,
        updated_ts=e.ts,
        cause=e.cause,
        kind=position.kind,
        contract_size=position.contract_size,
        leverage=position.leverage,
        margin_mode=position.margin_mode,
        hedge=position.hedge,
        status=ACCEPTED,
        reason=e.reason,
    )


def sellable(position: Position, instrument: Instrument) -> Decimal:
    """How much of a position an order can close: rounded down to the lot; zero when the venue takes no order so small."""
    quantity = instrument.quantity_down(position.quantity)
    return quantity if quantity > ZERO and quantity >= instrument.min_quantity else ZERO


def is_dust(position: Position, instrument: Instrument, price: Decimal) -> bool:
    """Whether what is left of a spot position is too small for any order at about `price`.

    A linear position is never dust: it consists of whole lots, and venues close it below their least notional.
    """
    if position.kind is not SPOT or position.quantity <= ZERO:
        return False
    quantity = sellable(position, instrument)
    return quantity == ZERO or quantity * price < instrument.min_notional


def booked(position: Position, side: Side, quantity: Decimal, unit: Decimal) -> tuple[Decimal, Decimal, Decimal]:
    """(quantity, cost, P&L realised) of a position after a fill, before its fee.

    `quantity` is what changes hands, above zero, `unit` the price of one (times the contract size). What goes beyond the
    position leaves it below zero, at the cost of what was sold in advance.
    """
    grows = (side is BUY) is (position.side is LONG)
    held, cost = position.quantity, position.cost
    delta = quantity if grows else -quantity
    after = held + delta
    if held == ZERO or (held > ZERO) is grows:
        return after, cost + delta * unit, ZERO
    if after == ZERO:
        left, gain = ZERO, -delta * unit - cost
    elif (after > ZERO) is (held > ZERO):
        leaving = (cost * -delta / held).quantize(QUANTUM)
        left, gain = cost - leaving, -delta * unit - leaving
    else:
        left, gain = after * unit, held * unit - cost
    return after, left, gain if position.side is LONG else -gain


def apply_fill(account: Account, position: Position, e: ev.OrderFilled) -> None:
    """Move money, quantity, cost and margin by one execution.

    A fee is paid in the account's currency; or, on spot, kept by the venue out of the base asset (then it has a `fee_value`);
    or in a third asset, which the account owes from then on.
    """
    spot = position.kind is SPOT
    buys = e.side is BUY
    quantity = e.quantity
    fee = paid = ZERO
    if e.fee_currency == account.currency:
        fee = paid = e.fee
    elif spot and e.fee_value != ZERO:
        fee = e.fee_value
        quantity = quantity - e.fee if buys else quantity + e.fee
    elif e.fee != ZERO:
        account.assets[e.fee_currency] = account.assets.get(e.fee_currency, ZERO) - e.fee
    unit = e.price if position.contract_size == ONE else e.price * position.contract_size
    value = quantity * unit
    held = position.quantity
    position.quantity, position.cost, pnl = booked(position, e.side, quantity, unit)
    if buys is (position.side is LONG):
        position.entry_quantity += quantity
        position.entry_notional += value
    else:
        position.exit_quantity += quantity
        position.exit_notional += value
    position.realized_pnl += pnl
    account.realized_pnl += pnl
    if spot:
        moved = value if quantity is e.quantity else e.quantity * unit
        account.cash += (-moved if buys else moved) - paid
    else:
        account.cash += pnl - paid
        _move_margin(position, held, unit)
    position.fees += fee
    account.fees += fee
    position.mark_price, position.updated_ts = e.price, e.ts


def _move_margin(position: Position, held: Decimal, unit: Decimal) -> None:
    """Margin grows by what an entry must put up, and falls with the quantity."""
    after = position.quantity
    if after <= ZERO:
        position.margin = position.maintenance_margin = ZERO
        position.liquidation_price = None
    elif after > held:
        position.margin += ((after - max(held, ZERO)) * unit / position.leverage).quantize(QUANTUM)
    else:
        position.margin = (position.margin * after / held).quantize(QUANTUM)


def apply_funding(account: Account, position: Position, e: ev.FundingPaid) -> None:
    """Pay or receive funding. An isolated position pays out of its own margin: the account can lose no more than that."""
    account.cash += e.amount
    account.funding += e.amount
    position.funding += e.amount
    position.funded_ts = position.updated_ts = e.ts
    if position.margin_mode is ISOLATED:
        position.margin += e.amount


def keep_dust(account: Account, position: Position, e: ev.DustKept) -> None:
    """Hand what cannot be sold over to the account, at its cost."""
    dust = account.dust.setdefault(e.asset, Dust())
    dust.quantity += e.quantity
    dust.cost += e.cost
    position.dust += e.quantity
    position.quantity -= e.quantity
    position.cost -= e.cost
    position.updated_ts = e.ts


def conserve(account: Account, positions: Iterable[Position]) -> None:
    """Raise InvariantError unless `account` conserves (I5); `positions` are the open ones, of any account."""
    have = account.cash
    for position in positions:
        if position.kind is SPOT and position.portfolio_id == account.portfolio_id:
            have += position.cost
    if account.dust:
        have += sum(dust.cost for dust in account.dust.values())
    want = account.initial_balance + account.realized_pnl - account.fees + account.funding
    if have != want:
        raise InvariantError(f"account {account.portfolio_id}: cash + cost {have} != {want}")


def holds(position: Position) -> None:
    """Raise InvariantError unless a position holds what its fills have left (I5)."""
    have, want = position.quantity + position.dust, position.entry_quantity - position.exit_quantity
    if have != want:
        raise InvariantError(f"position {position.id}: it holds {have}, its fills say {want}")


def check_conservation(accounts: Mapping[str, Account], positions: Mapping[str, Position]) -> None:
    """The same of every account and position at once; each event that moves money has asserted its own part."""
    for account in accounts.values():
        conserve(account, positions.values())
    for position in positions.values():
        holds(position)
