"""Where a position is to be left: stop, take-profit (one price, or a ladder by age), partial targets, trailing, break-even.

The plan (`ExitsMoved`) is a fact of the ledger; `missing` compares it with the open orders and says what to cancel and what
to place. The same function places exits after a fill, moves them with the plan, and heals them after a restart.
Prices are rounded against the position: a stop farther away, a target farther away.
"""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal

import msgspec

from engine.core.config import Exits
from engine.core.inputs import Candle
from engine.core.ledger import Ledger
from engine.core.orders import Order
from engine.core.positions import Position
from engine.core.types import (
    LIMIT,
    LONG,
    MINUTE_US,
    QUANTUM,
    STOP_MARKET,
    ZERO,
    Instrument,
    OrderType,
    money,
)

STOP, TAKE_PROFIT, TARGET, TRAILING_STOP = "STOP", "TAKE_PROFIT", "TARGET_", "TRAILING_STOP"
SIGNAL_EXIT, TIME_STOP, FLATTEN, BY_HAND = "SIGNAL_EXIT", "TIME_STOP", "FLATTEN", "BY_HAND"
#: Orders that close what is left at market: one of them at a time.
CLOSING = frozenset({SIGNAL_EXIT, TIME_STOP, FLATTEN, BY_HAND, STOP, TAKE_PROFIT})


class Plan(msgspec.Struct, frozen=True, gc=False):
    """Where a position is to be left, the best price seen (`extreme`), and why the plan is what it is."""

    stop_price: Decimal | None
    take_profit_price: Decimal | None
    extreme: Decimal
    trailing: bool
    reason: str


class Wanted(msgspec.Struct, frozen=True, gc=False):
    """A protective order that should rest."""

    role: str
    order_type: OrderType
    quantity: Decimal
    price: Decimal | None
    stop_price: Decimal | None


def profit_price(position: Position, pct: Decimal) -> Decimal:
    """The price at which the position has made `pct` percent of its entry price (below zero: lost)."""
    entry = position.entry_price
    return entry * (100 + pct if position.side is LONG else 100 - pct) / 100


def initial(position: Position, exits: Exits, instrument: Instrument) -> Plan:
    """The plan at a fill, from the average entry price. A stop that trails or broke even already stays."""
    stop = None if exits.stop_loss_pct is None else _stop_at(position, -exits.stop_loss_pct, instrument)
    if position.stop_price is not None and position.stop_reason:
        stop = position.stop_price
    return Plan(
        stop, _take(position, exits, instrument, 0), position.extreme, bool(position.trailing), position.stop_reason
    )


def replan(
    position: Position, exits: Exits, instrument: Instrument, candle: Candle, atr: Decimal | None
) -> Plan | None:
    """The plan after a closed bar, or None when it stays. A stop only ever tightens."""
    long = position.side is LONG
    best = money(candle.high if long else candle.low)
    stop, reason = position.stop_price, position.stop_reason
    trailing = position.trailing
    for candidate, why in (
        (_trailed(position, exits, instrument, best, atr), "trailing"),
        (_even(position, exits, instrument, best), "break_even"),
    ):
        if candidate is not None and (stop is None or (candidate > stop if long else candidate < stop)):
            stop, reason, trailing = candidate, why, trailing or why == "trailing"
    take = position.take_profit_price
    if exits.ladder:
        take = _take(position, exits, instrument, candle.ts - position.opened_ts)
    if stop == position.stop_price and take == position.take_profit_price:
        return None
    extreme = max(best, position.extreme) if long else min(best, position.extreme)
    return Plan(stop, take, extreme, trailing, reason)


def _trailed(
    position: Position, exits: Exits, instrument: Instrument, best: Decimal, atr: Decimal | None
) -> Decimal | None:
    trailing = exits.trailing
    long = position.side is LONG
    if trailing is None or not (best > position.extreme if long else best < position.extreme):
        return None
    offset = profit_price(position, trailing.offset_pct)
    reached = best >= offset if long else best <= offset
    if trailing.only_after_offset and not reached:
        return None
    if trailing.atr_multiple is not None:
        if atr is None:
            return None
        distance = (atr * trailing.atr_multiple).quantize(QUANTUM)
    else:
        tight = reached and trailing.positive_distance_pct is not None
        pct = trailing.positive_distance_pct if tight else trailing.distance_pct
        distance = best * (pct or trailing.distance_pct) / 100
    return _outwards(best - distance if long else best + distance, long, instrument)


def _even(position: Position, exits: Exits, instrument: Instrument, best: Decimal) -> Decimal | None:
    rule = exits.break_even
    if rule is None:
        return None
    trigger, long = profit_price(position, rule.trigger_pct), position.side is LONG
    if not (best >= trigger if long else best <= trigger):
        return None
    return _stop_at(position, rule.offset_pct, instrument)


def _take(position: Position, exits: Exits, instrument: Instrument, age_us: int) -> Decimal | None:
    """The price of the target that closes all: the ladder's step for this age, or the fixed one."""
    pct = exits.take_profit_pct
    if exits.ladder:
        steps = [key for key in exits.ladder if key * MINUTE_US <= age_us]
        pct = exits.ladder[max(steps)] if steps else None
    if pct is None:
        return None
    return _target_at(position, pct, instrument)


def _target_at(position: Position, pct: Decimal, instrument: Instrument) -> Decimal:
    price = profit_price(position, pct)
    return instrument.price_up(price) if position.side is LONG else instrument.price_down(price)


def _stop_at(position: Position, pct: Decimal, instrument: Instrument) -> Decimal | None:
    return _outwards(profit_price(position, pct), position.side is LONG, instrument)


def _outwards(stop: Decimal, long: bool, instrument: Instrument) -> Decimal | None:
    """Rounded away from the price. A stop below the first tick is no stop: better none than one that every venue refuses."""
    rounded = instrument.price_down(stop) if long else instrument.price_up(stop)
    return rounded if rounded > ZERO else None


def reason_of(position: Position, role: str) -> str:
    """Why a position ended, by the role of the order that ended it: from its first tightening on a stop is a trailing one."""
    return TRAILING_STOP if role == STOP and position.trailing else role


def wanted(position: Position, exits: Exits | None, instrument: Instrument, quantity: Decimal) -> list[Wanted]:
    """The protective orders that the plan asks for; the stop first, so that it is placed first."""
    orders = []
    if position.stop_price is not None:
        orders.append(Wanted(STOP, STOP_MARKET, quantity, None, position.stop_price))
    left = quantity
    for number, target in enumerate(exits.targets if exits else (), start=1):
        role = f"{TARGET}{number}"
        if role in position.taken:
            continue
        share = (position.entry_quantity * target.close_pct / 100).quantize(QUANTUM, ROUND_FLOOR)
        size = min(instrument.quantity_down(share), left)
        if size > ZERO and size >= instrument.min_quantity:
            price = _target_at(position, target.profit_pct, instrument)
            orders.append(Wanted(role, LIMIT, size, price, None))
            left -= size
    if position.take_profit_price is not None and left > ZERO:
        orders.append(Wanted(TAKE_PROFIT, LIMIT, left, position.take_profit_price, None))
    return orders


def count(position: Position, plan: Plan, exits: Exits | None) -> int:
    """How many protective orders a plan asks for, as long as all sizes can be ordered."""
    targets = sum(f"{TARGET}{n}" not in position.taken for n in range(1, len(exits.targets) + 1)) if exits else 0
    return (plan.stop_price is not None) + (plan.take_profit_price is not None) + targets


def missing(ledger: Ledger, position: Position, wants: list[Wanted]) -> tuple[list[Order], list[Wanted]]:
    """(orders to cancel, orders to place). A wrong order is cancelled first and replaced when it is gone: on spot its
    quantity is locked until then."""
    resting = {o.role: o for o in ledger.orders_of(position.id) if o.is_protective}
    cancel, place = [], []
    for want in wants:
        have = resting.pop(want.role, None)
        if have is None:
            place.append(want)
        elif not _fits(have, want) and not have.cancel_requested:
            cancel.append(have)
    cancel += [o for o in resting.values() if not o.cancel_requested]
    return cancel, place


def _fits(order: Order, want: Wanted) -> bool:
    return order.remaining == want.quantity and order.price == want.price and order.stop_price == want.stop_price


def reached(position: Position, candle: Candle) -> str:
    """Which exit a bar has reached, for positions whose exits do not rest at the venue; "" for none. The stop counts first."""
    long = position.side is LONG
    low, high = money(candle.low), money(candle.high)
    stop, take = position.stop_price, position.take_profit_price
    if stop is not None and (low <= stop if long else high >= stop):
        return STOP
    if take is not None and (high >= take if long else low <= take):
        return TAKE_PROFIT
    return ""
