"""The fold of what happens to orders and positions. A true fill is never refused; what moves money must conserve it (I5)."""

from __future__ import annotations

from engine.core import books, events as ev, orders as order_rules
from engine.core.ledger import Ledger
from engine.core.orders import Order
from engine.core.positions import Account, Position, adopted, apply_fill, apply_funding, conserve, holds, keep_dust
from engine.core.types import (
    ACCEPTED,
    CANCELED,
    EXPIRED,
    MARKET,
    REJECTED,
    TERMINAL,
    ZERO,
    InvariantError,
    OrderStatus,
    Origin,
)


def submitted(ledger: Ledger, e: ev.OrderSubmitted) -> None:
    if e.order_id in ledger.orders or e.order_id in ledger.closed_orders:
        raise InvariantError(f"order {e.order_id} is submitted twice")
    ledger.intents = e.number
    ledger.counts.orders += 1
    ledger.orders[e.order_id] = order = order_rules.from_event(e)
    if e.valid_until is not None and (not ledger.next_expiry or e.valid_until < ledger.next_expiry):
        ledger.next_expiry = e.valid_until
    ledger.messages.add(e.ts)
    books.submitted(ledger.bots[e.bot_id], e)
    if e.origin is Origin.FLATTEN:
        ledger.positions[e.position_id].flatten_tries += 1
    if e.reduce_only and e.order_type is not MARKET:
        _count_resting(ledger, order, 1)


Answer = ev.OrderAccepted | ev.OrderRejected | ev.OrderCanceled | ev.OrderExpired


def _named(ledger: Ledger, e: Answer) -> Order:
    order = ledger.orders.get(e.order_id) or ledger.closed_orders.get(e.order_id)
    if order is None:
        raise InvariantError(f"{type(e).__name__} of an unknown order {e.order_id}")
    return order


def accepted(ledger: Ledger, e: ev.OrderAccepted) -> None:
    order = _named(ledger, e)
    order_rules.advance(order, ACCEPTED, e.ts, "")
    if e.exchange_order_id:
        order.exchange_order_id = e.exchange_order_id
    if e.order_id not in ledger.orders:
        _rehome(ledger, order)


def rejected(ledger: Ledger, e: ev.OrderRejected) -> None:
    _ended(ledger, e, REJECTED)


def canceled(ledger: Ledger, e: ev.OrderCanceled) -> None:
    _ended(ledger, e, CANCELED)


def expired(ledger: Ledger, e: ev.OrderExpired) -> None:
    _ended(ledger, e, EXPIRED)


def _ended(ledger: Ledger, e: ev.OrderRejected | ev.OrderCanceled | ev.OrderExpired, status: OrderStatus) -> None:
    order = _named(ledger, e)
    order_rules.advance(order, status, e.ts, e.reason)
    _rehome(ledger, order)


def in_doubt(ledger: Ledger, e: ev.OrderInDoubt) -> None:
    order = ledger.orders[e.order_id]
    order.in_doubt, order.reason, order.updated_ts = True, e.reason, e.ts


def cancel_requested(ledger: Ledger, e: ev.CancelRequested) -> None:
    order = ledger.orders[e.order_id]
    ledger.intents = e.number
    ledger.messages.add(e.ts)
    ledger.bots[e.bot_id].messages.add(e.ts)
    order.cancel_requested, order.cancel_number = True, e.number
    order.cancel_cause, order.reason, order.updated_ts = e.cause, e.reason, e.ts
    if order.valid_until is not None:
        _next_expiry(ledger)


def order_adopted(ledger: Ledger, e: ev.OrderAdopted) -> None:
    position = ledger.position(e.position_id)
    if position is None:
        raise InvariantError(f"order {e.order_id} is adopted for an unknown position {e.position_id}")
    ledger.intents = e.number
    ledger.counts.orders += 1
    ledger.orders[e.order_id] = adopted(position, e)


def filled(ledger: Ledger, e: ev.OrderFilled) -> None:
    order = ledger.orders.get(e.order_id) or ledger.closed_orders.get(e.order_id)
    if order is None:
        raise InvariantError(f"fill {e.trade_id} of an unknown order {e.order_id}")
    position = ledger.positions.get(e.position_id) or ledger.closed_positions.get(e.position_id)
    if position is None:
        position = Position.opened_by(e, order)
        ledger.positions[position.id] = position
        for bot_id, stop in ledger.stops.items():
            if stop.policy == "flatten" and bot_id in ("", position.bot_id):
                stop.positions[position.id] = ""  # an entry that filled before its cancel arrived
    elif order.filled_quantity == ZERO and not order.reduce_only:
        position.entries += 1
    ledger.counts.fills += 1
    order_rules.fill(order, e)
    if order.role.startswith("TARGET_") and order.role not in position.taken and order.remaining <= ZERO:
        position.taken.append(order.role)
        position.wants -= 1
    account = ledger.accounts[
        position.portfolio_id
    ]  # the money is where the position is, wherever its bot has moved to
    apply_fill(account, position, e)
    ledger.bots[e.bot_id].realized_pnl += e.pnl - e.fee_value
    _settle(ledger, account, position, e.ts)
    _rehome(ledger, order)


def _settle(ledger: Ledger, account: Account, position: Position, ts: int) -> None:
    """Open positions are hot, ended ones are not; whatever moved must conserve (I5)."""
    if position.quantity == ZERO and position.id in ledger.positions:
        position.closed_ts = ts
        ledger.closed_positions[position.id] = ledger.positions.pop(position.id)
        for stop in ledger.stops.values():
            if position.id in stop.positions:
                stop.positions[position.id] = "CLOSED"
        ledger.counts.trades += 1
    elif position.quantity != ZERO and position.id in ledger.closed_positions:
        position.closed_ts = 0  # a late fill re-opens what we thought was flat
        ledger.positions[position.id] = ledger.closed_positions.pop(position.id)
        ledger.counts.trades -= 1
    holds(position)
    conserve(account, ledger.positions.values())


def margin_changed(ledger: Ledger, e: ev.MarginChanged) -> None:
    position = ledger.positions[e.position_id]
    position.liquidation_price, position.liquidated_below = e.liquidation_price, e.liquidated_below
    position.maintenance_margin = e.maintenance_margin


def funding_paid(ledger: Ledger, e: ev.FundingPaid) -> None:
    account = ledger.accounts[e.portfolio_id]
    apply_funding(account, ledger.positions[e.position_id], e)
    conserve(account, ledger.positions.values())


def liquidated(ledger: Ledger, e: ev.PositionLiquidated) -> None:
    position = ledger.position(e.position_id)
    if position is None:
        raise InvariantError(f"position {e.position_id} is liquidated and unknown")
    position.liquidated = True


def dust_kept(ledger: Ledger, e: ev.DustKept) -> None:
    position = ledger.positions[e.position_id]
    account = ledger.accounts[position.portfolio_id]
    keep_dust(account, position, e)
    _settle(ledger, account, position, e.ts)


def position_closed(ledger: Ledger, e: ev.PositionClosed) -> None:
    position = ledger.position(e.position_id)
    books.closed(ledger.bots[e.bot_id], e, position.entry_notional if position is not None else ZERO)


def exits_moved(ledger: Ledger, e: ev.ExitsMoved) -> None:
    position = ledger.positions[e.position_id]
    position.stop_price, position.take_profit_price = e.stop_price, e.take_profit_price
    position.extreme, position.trailing, position.updated_ts = e.extreme, e.trailing, e.ts
    position.stop_reason, position.wants = e.reason, e.wants


def _rehome(ledger: Ledger, order: Order) -> None:
    """Open orders are hot; a closed one that turns out to live comes back."""
    if order.status not in TERMINAL:
        if ledger.closed_orders.pop(order.id, None) is not None:
            ledger.orders[order.id] = order
            if order.is_protective:
                _count_resting(ledger, order, 1)
    elif ledger.orders.pop(order.id, None) is not None:
        ledger.closed_orders[order.id] = order
        if order.is_protective:
            _count_resting(ledger, order, -1)
        if order.valid_until is not None:
            _next_expiry(ledger)
        for stop in ledger.stops.values():
            if order.id in stop.orders:
                stop.orders[order.id] = order.status


def _count_resting(ledger: Ledger, order: Order, change: int) -> None:
    position = ledger.positions.get(order.position_id)
    if position is not None:
        position.resting += change


def _next_expiry(ledger: Ledger) -> None:
    due = [o.valid_until for o in ledger.orders.values() if o.valid_until is not None and not o.cancel_requested]
    ledger.next_expiry = min(due, default=0)
