"""Rows S, N: restart and determinism."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from engine.core.types import OrderStatus
from tests.venue.desk import OTHER, Make, PaperDesk
from tests.venue.suite import TICKS, row

D = Decimal


# -- S ----------------------------------------------------------------------------------------------------------------


@row("S", "After a restart a resting order is where it was")
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "LIMIT", 1, 95)
    desk.stand(100)
    desk.restart(again=True)
    desk.visit(90, 100)
    assert desk.about(order)[-1] == "FILL 1 @ 95"


@row("S", "An order that was sent and never answered is answered, and trades")
def _(make: Make) -> None:
    desk = make()
    order = desk.order("BUY", "MARKET", 1)
    desk.restart()
    assert desk.about(order) == ["ACCEPTED"]
    desk.stand(100)
    assert desk.filled(order) == 1


@row("S", "So is one that must be refused")
def _(make: Make) -> None:
    desk = make()
    order = desk.order("BUY", "MARKET", "1.05")
    desk.restart()
    assert desk.about(order) == ["REJECTED QUANTITY_LOT"]


@row("S", "A cancel that was never answered is answered")
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "LIMIT", 1, 95)
    desk.request_cancel(order)
    desk.restart()
    assert desk.about(order) == ["ACCEPTED", "CANCELED"]


@row("S", "The same answers have the same causes, so that nothing is counted twice")
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "LIMIT", 1, 95)
    order.status = OrderStatus.SUBMITTED  # as if the acknowledgement had been lost with the engine
    desk.restart()
    first, second = desk.said
    assert first == second


@row("S", "What ended before the restart does not come back")
def _(make: Make) -> None:
    desk = make()
    filled = desk.send("BUY", "MARKET", 1)
    gone = desk.send("BUY", "LIMIT", 1, 95)
    desk.stand(100)
    desk.cancel(gone)
    desk.restart()
    desk.visit(90, 100)
    assert desk.filled(filled) == 1 and desk.filled(gone) == 0


@row("S", "A partly filled order goes on with what is left and with the next trade id", TICKS)
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "LIMIT", 5, 99.5)
    desk.quote(99.5, 100.5, bid_size=10)
    desk.trade(99.5, 12, "SELL")
    desk.restart(again=True)
    desk.trade(99.5, 100, "SELL")
    assert desk.about(order) == ["ACCEPTED", "FILL 2 @ 99.5", "FILL 3 @ 99.5"]
    assert [f.trade_id for f in desk.fills(order)] == [f"{order.id}-1", f"{order.id}-2"]


@row("S", "The place in the queue is learnt again from the inputs before", TICKS)
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "LIMIT", 5, 99.5)
    desk.quote(99.5, 100.5, bid_size=100)
    desk.trade(99.5, 80, "SELL")
    desk.restart(again=True)
    desk.trade(99.5, 21, "SELL")
    assert desk.filled(order) == 1


@row("S", "So is the best price of a trailing stop")
def _(make: Make) -> None:
    desk = make()
    desk.hold("LONG", 1)
    order = desk.send("SELL", "TRAILING_STOP", 1, closes=True, callback_rate=5)
    for price in (100, 120, 118):
        desk.stand(price)
    desk.restart(again=True)
    desk.stand(113)
    assert desk.filled(order) == 1


# -- N ----------------------------------------------------------------------------------------------------------------


def _story(desk: PaperDesk, *, others: bool = False) -> list[object]:
    desk.hold("LONG", 9)
    orders = [
        desk.send("BUY", "MARKET", 3),
        desk.send("BUY", "LIMIT", 2, 97),
        desk.send("SELL", "STOP_MARKET", 4, stop=94, closes=True, group="g"),
        desk.send("SELL", "LIMIT", 4, 106, closes=True, group="g"),
        desk.send("BUY", "TRAILING_STOP", 1, callback_rate=3),
    ]
    for price in (100, 101, 96, 104, 93, 107, 99):
        if others:
            desk.venue.submit(desk.order("BUY", "MARKET", 1, symbol=OTHER.symbol))
            now = desk.now
            desk.stand(price * 2, OTHER.symbol)
            desk.now = now
        desk.stand(price)
    ids = {o.id for o in orders}
    return [r for r in desk.said if getattr(r, "order_id", "") in ids]


@row("N", "The same orders and inputs give the same bytes")
def _(make: Make) -> None:
    costs = {"latency_ms": 5, "jitter_ms": 500, "slippage_bps": 3, "taker_bps": 7}
    first, second = (msgspec.json.encode(_story(make(**costs))) for _ in range(2))
    assert first == second and first.count(b"trade_id") > 3


@row("N", "What happens on another symbol changes nothing")
def _(make: Make) -> None:
    alone, beside = _story(make()), _story(make(), others=True)
    assert [_facts(r) for r in alone] == [_facts(r) for r in beside]


def _facts(report: object) -> tuple[object, ...]:
    return tuple(getattr(report, name, None) for name in ("ts", "status", "quantity", "price", "fee"))


@row("N", "Trade ids and causes are made of the order's own, never of a count of arrivals")
def _(make: Make) -> None:
    desk = make()
    desk.send("BUY", "MARKET", 1)
    order = desk.send("BUY", "MARKET", 1)
    desk.stand(100)
    (fill,) = desk.fills(order)
    assert fill.trade_id == f"{order.id}-1"
    assert fill.cause.ordinal // 1_000_000 == order.number and fill.ts == desk.now
