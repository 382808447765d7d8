"""Protective exits: a stop, a take-profit and a trailing stop, resting at the venue as reduce-only orders.

`missing` compares the plan of a position (a ledger fact) with its open orders and says what to cancel and what to place:
the same function places exits after a fill, moves them when the stop trails, and heals them after a restart.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from engine.core.config import Exits
from engine.core.ledger import Ledger
from engine.core.orders import Order
from engine.core.positions import Position
from engine.core.types import ZERO, Instrument, OrderType

STOP, TAKE_PROFIT, SIGNAL_EXIT, FLATTEN = "STOP", "TAKE_PROFIT", "SIGNAL_EXIT", "FLATTEN"


class Plan(msgspec.Struct, frozen=True):
    """Where a position is to be left, and the best price seen (`extreme`) once the stop trails."""

    stop_price: Decimal | None
    take_profit_price: Decimal | None
    extreme: Decimal
    trailing: bool


class Wanted(msgspec.Struct, frozen=True):
    """A protective order that should rest."""

    role: str
    order_type: OrderType
    quantity: Decimal
    price: Decimal | None
    stop_price: Decimal | None


def initial(position: Position, exits: Exits, instrument: Instrument) -> Plan:
    """The plan at the first fill, from the average entry price; prices rounded away from the position's favour."""
    entry = position.entry_price
    stop = take = None
    if exits.stop_loss_pct is not None:
        stop = instrument.price_down(entry * (100 - exits.stop_loss_pct) / 100)
    if exits.take_profit_pct is not None:
        take = instrument.price_up(entry * (100 + exits.take_profit_pct) / 100)
    # A stop below the first tick is no stop: better none and said so than an order that every venue refuses.
    return Plan(stop if stop is None or stop > ZERO else None, take, entry, False)


def trailed(position: Position, exits: Exits, instrument: Instrument, high: Decimal) -> Plan | None:
    """The tightened plan after a bar's high, or None when the stop stays. It only ever tightens."""
    if exits.trailing is None or high <= position.extreme:
        return None
    entry = position.entry_price
    if high < entry * (100 + exits.trailing.offset_pct) / 100:
        return None
    stop = instrument.price_down(high * (100 - exits.trailing.distance_pct) / 100)
    if stop <= ZERO or (position.stop_price is not None and stop <= position.stop_price):
        return None
    return Plan(stop, position.take_profit_price, high, True)


def wanted(position: Position) -> list[Wanted]:
    """The protective orders that the plan asks for; the stop first, so that it is placed first."""
    orders = []
    if position.stop_price is not None:
        orders.append(Wanted(STOP, OrderType.STOP_MARKET, position.quantity, None, position.stop_price))
    if position.take_profit_price is not None:
        orders.append(Wanted(TAKE_PROFIT, OrderType.LIMIT, position.quantity, position.take_profit_price, None))
    return orders


def missing(ledger: Ledger, position: Position) -> tuple[list[Order], list[Wanted]]:
    """(orders to cancel, orders to place). A wrong order is cancelled first and replaced when it is gone: on spot its
    quantity is locked until then."""
    resting = {o.role: o for o in ledger.orders_of(position.id) if o.role in (STOP, TAKE_PROFIT)}
    cancel, place = [], []
    for want in wanted(position):
        have = resting.pop(want.role, None)
        if have is None:
            place.append(want)
        elif not _fits(have, want) and not have.cancel_requested:
            cancel.append(have)
    cancel += [o for o in resting.values() if not o.cancel_requested]
    return cancel, place


def _fits(order: Order, want: Wanted) -> bool:
    return order.remaining == want.quantity and order.price == want.price and order.stop_price == want.stop_price
