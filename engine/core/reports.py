"""The venue's word on an order: accepted, ended, or in doubt. Old news changes nothing."""

from __future__ import annotations

from engine.core import events as ev, orders
from engine.core.context import Context
from engine.core.entries import alert, taken_back
from engine.core.inputs import OrderReport
from engine.core.orders import Order
from engine.core.types import ACCEPTED, CANCELED, EXPIRED, REJECTED, OrderStatus

Events = list[ev.Event]


def on_report(ctx: Context, report: OrderReport) -> Events:
    ledger = ctx.ledger
    order = ledger.orders.get(report.order_id) or ledger.closed_orders.get(report.order_id)
    if order is None:
        return [alert(ctx, "ORDER_UNKNOWN", f"{report.status} of an order that this ledger does not know")]
    if report.in_doubt:
        doubt = ev.OrderInDoubt(
            ts=ctx.ts,
            cause=ctx.cause,
            order_id=order.id,
            bot_id=order.bot_id,
            symbol=order.symbol,
            reason=report.reason,
        )
        return [doubt] if order.is_open and not order.in_doubt else []
    if report.status is ACCEPTED:
        return _on_accept(ctx, order, report)
    end = _ENDS.get(report.status)  # not FILLED and the like: fills say so themselves, each with its trade id
    if end is None or not orders.may(order, report.status):
        return []
    return [
        end(
            ts=ctx.ts,
            cause=ctx.cause,
            order_id=order.id,
            bot_id=order.bot_id,
            symbol=order.symbol,
            reason=report.reason,
        )
    ]


_ENDS: dict[OrderStatus, type[ev.OrderRejected] | type[ev.OrderCanceled] | type[ev.OrderExpired]] = {
    REJECTED: ev.OrderRejected,
    CANCELED: ev.OrderCanceled,
    EXPIRED: ev.OrderExpired,
}


def _on_accept(ctx: Context, order: Order, report: OrderReport) -> Events:
    number = report.exchange_order_id
    if not orders.may(order, ACCEPTED) and (not number or order.exchange_order_id):
        return []  # old news; but a fill may be faster than the word that names the order
    accepted = ev.OrderAccepted(
        ts=ctx.ts,
        cause=ctx.cause,
        order_id=order.id,
        bot_id=order.bot_id,
        symbol=order.symbol,
        exchange_order_id=number,
    )
    if order.status is not REJECTED:
        return [accepted]
    # Given up on, and alive: adopt it, say so, take it back.
    text = f"order {order.client_order_id} lives after all; it is cancelled"
    return [accepted, alert(ctx, "ORDER_LATE", text, order.symbol, order.bot_id), taken_back(ctx, order, "late")]
