"""Futures margin: maintenance tiers, liquidation prices, what is free, what an account is worth. Pure functions.

Maintenance margin of a position = notional x rate - cum, of the tier that its notional is in. A position (or a cross account)
is liquidated where its margin balance no longer exceeds the maintenance margin; the tier is the one AT that price
(Binance, "How to calculate liquidation price of USDⓈ-M Futures contracts").

The balance over the price is a chain of straight lines, one per combination of tiers, so the price is found by walking the
lines: nothing iterates towards it, nothing can fail to converge, and a table with gaps in it has an answer, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from engine.core.ledger import Ledger
from engine.core.market import Market
from engine.core.orders import Order
from engine.core.positions import Account, Position
from engine.core.types import (
    CROSS,
    ISOLATED,
    LINEAR,
    LONG,
    ONE,
    QUANTUM,
    ZERO,
    Instrument,
    MarginTier,
    PositionSide,
)

#: What holds where no table is known: stated, and stricter than the first tier of any large contract.
DEFAULT_TIERS = (
    MarginTier(floor=ZERO, cap=None, maintenance_rate=Decimal("0.01"), cum=ZERO, max_leverage=Decimal(50)),
)


class Leg(msgspec.Struct, frozen=True):
    """A position as margin sees it: `quantity` in units of the base asset, `cost` its entry notional."""

    side: PositionSide
    quantity: Decimal
    cost: Decimal
    tiers: tuple[MarginTier, ...]


class Liquidation(msgspec.Struct, frozen=True):
    """Where a position ends; `price` None: nowhere. `below`: a falling mark reaches it."""

    price: Decimal | None
    below: bool


class _Line(msgspec.Struct, frozen=True):
    """Margin balance less maintenance margin = slope x price + offset, for prices in [start, end) (end None: no end)."""

    start: Decimal
    end: Decimal | None
    slope: Decimal
    offset: Decimal

    def at(self, price: Decimal) -> Decimal:
        return self.slope * price + self.offset


def tier_of(tiers: Sequence[MarginTier], notional: Decimal) -> MarginTier:
    """The tier that `notional` is in; beyond the last cap the last."""
    for tier in tiers:
        if tier.cap is None or notional < tier.cap:
            return tier
    return tiers[-1]


def tiers_of(instrument: Instrument | None) -> tuple[MarginTier, ...]:
    return instrument.margin_tiers if instrument is not None and instrument.margin_tiers else DEFAULT_TIERS


def maintenance_margin(tiers: Sequence[MarginTier], notional: Decimal) -> Decimal:
    tier = tier_of(tiers, notional)
    return notional * tier.maintenance_rate - tier.cum


def initial_margin(notional: Decimal, leverage: Decimal) -> Decimal:
    return notional if leverage == ONE else (notional / leverage).quantize(QUANTUM)


def liquidation(legs: Sequence[Leg], wallet: Decimal, mark: Decimal) -> Liquidation:
    """Where the legs, which share one mark, are liquidated together: the first price from `mark` on that breaks the balance.

    `wallet` is the margin of an isolated position; of a cross account its balance, with the P&L and less the maintenance
    margin of what is held in other symbols. A balance that is broken already ends where it would hold again, or at `mark`
    when no price can mend it.
    """
    if not legs:
        return Liquidation(None, True)
    lines = _lines(legs, wallet)
    here = next(line for line in lines if line.end is None or mark < line.end)
    below = here.slope > ZERO
    if here.at(mark) < ZERO:
        price = _first(lines, mark, up=below, holds=True)
        return Liquidation((price or mark).quantize(QUANTUM), below)
    for falling in (below, not below):  # a hedge may stand any fall, and break when it rises
        price = _first(lines, mark, up=not falling, holds=False)
        if price is not None:
            return Liquidation(price.quantize(QUANTUM), falling)
    return Liquidation(None, below)


def _lines(legs: Sequence[Leg], wallet: Decimal) -> list[_Line]:
    """The balance's lines by rising price."""
    borders = sorted({tier.floor / leg.quantity for leg in legs for tier in leg.tiers if tier.floor > ZERO})
    lines = []
    for start, end in zip([ZERO, *borders], [*borders, None], strict=True):
        inside = start + ONE if end is None else (start + end) / 2
        slope, offset = ZERO, wallet
        for leg in legs:
            tier = tier_of(leg.tiers, leg.quantity * inside)
            sign = 1 if leg.side is LONG else -1
            slope += leg.quantity * (sign - tier.maintenance_rate)
            offset += tier.cum - sign * leg.cost
        lines.append(_Line(start, end, slope, offset))
    return lines


def _first(lines: Sequence[_Line], mark: Decimal, *, up: bool, holds: bool) -> Decimal | None:
    """The first price from `mark` on, upwards or downwards, from which the balance holds, or does not; None: there is none."""
    for line in lines if up else reversed(lines):
        if line.start >= mark if not up else line.end is not None and line.end <= mark:
            continue
        near = max(line.start, mark) if up else mark if line.end is None else min(line.end, mark)
        if (line.at(near) >= ZERO) is holds:
            return near  # a table with a gap: it changes at the border
        far = line.end if up else line.start
        if line.slope != ZERO and (line.slope > ZERO if far is None else line.at(far) >= ZERO) is holds:
            return -line.offset / line.slope
    return None


# -- of a ledger -------------------------------------------------------------------------------------------------------


def mark_of(market: Market, position: Position) -> Decimal:
    """What a position is valued at: linear at the venue's mark where it says one, else the last price, else its own last."""
    series = market.series.get((position.exchange, position.symbol))
    if series is None:
        return position.mark_price
    if position.kind is LINEAR and (mark := series.mark_price) is not None:
        return mark
    return series.price or position.mark_price


def equity(ledger: Ledger, market: Market, account: Account) -> Decimal:
    """Cash, spot at its price, linear P&L, dust at its cost. A position without a price counts at its last known one."""
    total = account.cash
    for position in ledger.positions.values():
        if position.portfolio_id == account.portfolio_id:
            total += position.value(mark_of(market, position))
    for dust in account.dust.values():
        total += dust.cost
    return total


def available(ledger: Ledger, market: Market, account: Account, fee_rate: Decimal = ZERO) -> Decimal:
    """Cash that nothing has a claim on: less margins, less what open entries will take, less losses of cross positions."""
    free, cross = account.cash, ZERO
    for position in ledger.positions.values():
        if position.kind is LINEAR and position.portfolio_id == account.portfolio_id:
            free -= position.margin
            if position.margin_mode is CROSS:
                cross += position.unrealized_pnl(mark_of(market, position))
    for order in ledger.orders.values():
        if order.portfolio_id == account.portfolio_id and order.adds_risk:
            series = market.series.get((order.exchange, order.symbol))
            price = order.price or order.stop_price or (series.price if series is not None else None)
            free -= claim(order, price or ZERO, fee_rate)
    return free + min(cross, ZERO)


def claim(order: Order, price: Decimal, fee_rate: Decimal) -> Decimal:
    """What the rest of an entry will take out of the account at `price`: all of it on spot, its margin on linear, and the fee."""
    notional = order.remaining * price * order.contract_size
    if order.kind is LINEAR:
        return initial_margin(notional, order.leverage) + notional * fee_rate
    return notional * (1 + fee_rate)


def leg_of(position: Position, instrument: Instrument | None) -> Leg:
    return Leg(position.side, position.notional(ONE), position.cost, tiers_of(instrument))


def liquidation_of(ledger: Ledger, market: Market, position: Position) -> Liquidation:
    """Where an open linear position ends. Cross positions of one symbol, both legs of a hedge as well, end together."""
    mark = mark_of(market, position)
    if position.margin_mode is ISOLATED:
        return liquidation([leg_of(position, rules_of(market, position))], position.margin, mark)
    wallet, legs = ledger.accounts[position.portfolio_id].cash, []
    for other in linear(ledger.open_positions(), position.portfolio_id):
        if other.margin_mode is ISOLATED:
            wallet -= other.margin
            continue
        leg = leg_of(other, rules_of(market, other))
        if other.symbol == position.symbol and other.exchange == position.exchange:
            legs.append(leg)
        else:
            theirs = mark_of(market, other)
            wallet += other.unrealized_pnl(theirs) - maintenance_margin(leg.tiers, leg.quantity * theirs)
    return liquidation(legs, wallet, mark)


def linear(positions: Iterable[Position], portfolio_id: str) -> list[Position]:
    """The linear positions of one portfolio."""
    return [p for p in positions if p.kind is LINEAR and p.quantity > ZERO and p.portfolio_id == portfolio_id]


def rules_of(market: Market, position: Position) -> Instrument | None:
    series = market.series.get((position.exchange, position.symbol))
    return series.instrument if series is not None else None
