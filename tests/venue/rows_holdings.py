"""Rows C, D, O: cancels, reduce-only, groups."""

from __future__ import annotations

from decimal import Decimal

from tests.venue.desk import PERP, Make, PaperDesk
from tests.venue.rows_depth import queued
from tests.venue.suite import TICKS, row

D = Decimal


# -- C ----------------------------------------------------------------------------------------------------------------


@row("C", "A resting order is cancelled, once, with the reason of the request")
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "LIMIT", 1, 95)
    desk.stand(100)
    desk.cancel(order)
    assert desk.about(order) == ["ACCEPTED", "CANCELED"]
    desk.visit(90, 100)
    assert desk.filled(order) == 0


@row("C", "An order that has not acted yet is cancelled")
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "MARKET", 1)
    desk.cancel(order)
    desk.stand(100)
    assert desk.about(order) == ["ACCEPTED", "CANCELED"]


@row("C", "A stop that waits is cancelled and triggers no more")
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "STOP_MARKET", 1, stop=105)
    desk.stand(100)
    desk.cancel(order)
    desk.visit(110, 100)
    assert desk.about(order) == ["ACCEPTED", "CANCELED"]


@row("C", "A cancel after the fill says nothing more: the fill was the last word")
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "MARKET", 1)
    desk.stand(100)
    said = desk.about(order)
    desk.cancel(order)
    assert desk.about(order) == said and said[-1].startswith("FILL")


@row("C", "A second cancel says nothing more")
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "LIMIT", 1, 95)
    desk.cancel(order)
    desk.cancel(order)
    assert desk.about(order) == ["ACCEPTED", "CANCELED"]


@row("C", "`ORDER_UNKNOWN`: a cancel of an order that never came here")
def _(make: Make) -> None:
    desk = make()
    order = desk.order("BUY", "LIMIT", 1, 95)
    desk.cancel(order)
    assert desk.about(order) == ["REJECTED ORDER_UNKNOWN"]


@row("C", "A cancel after a partial fill keeps the fill and ends the rest", TICKS)
def _(make: Make) -> None:
    desk, order = queued(make)
    desk.trade(99.5, 110, "SELL")
    desk.cancel(order)
    assert desk.about(order) == ["ACCEPTED", "FILL 10 @ 99.5", "CANCELED"]


@row("C", "A cancel takes as long as any command: a fill that is faster counts", TICKS)
def _(make: Make) -> None:
    desk = make(latency_ms=80)
    order = desk.send("BUY", "LIMIT", 5, 99.5)
    desk.quote(99.5, 100.5, bid_size=1)
    desk.cancel(order)
    assert desk.about(order) == ["ACCEPTED"]
    desk.trade(99.5, 3, "SELL", ms=40)
    desk.trade(99.5, 9, "SELL", ms=40)
    assert desk.about(order) == ["ACCEPTED", "FILL 2 @ 99.5", "CANCELED"]


@row("C", "An order takes as long as any command: what trades before is not its", TICKS)
def _(make: Make) -> None:
    desk = make(latency_ms=80)
    desk.quote(99.5, 100.5)
    order = desk.send("BUY", "MARKET", 1)
    desk.quote(109.5, 110.5, ms=79)
    assert desk.filled(order) == 0
    desk.quote(119.5, 120.5, ms=1)
    assert desk.about(order) == ["ACCEPTED", "FILL 1 @ 120.5"]


# -- D ----------------------------------------------------------------------------------------------------------------


@row("D", "A reduce-only order is trimmed to what is held: it never flips a position")
def _(make: Make) -> None:
    desk = make(PERP)
    desk.hold("LONG", 2)
    order = desk.send("SELL", "MARKET", 5, closes=True)
    desk.stand(100)
    assert desk.filled(order) == 2 and desk.about(order)[-1] == "EXPIRED REDUCE_ONLY"
    assert not desk.ledger.positions


@row("D", "A reduce-only order whose position has gone ends without a fill")
def _(make: Make) -> None:
    desk = make(PERP)
    held = desk.hold("SHORT", 2)
    order = desk.send("BUY", "LIMIT", 2, 95, closes=True)
    desk.stand(100)
    del desk.ledger.positions[held.id]
    desk.visit(90, 100)
    assert desk.about(order) == ["ACCEPTED", "EXPIRED REDUCE_ONLY"]


@row("D", "Two exits of one position together sell no more than it holds")
def _(make: Make) -> None:
    desk = make()
    desk.hold("LONG", 3)
    exits = [desk.send("SELL", "LIMIT", 3, 105, closes=True), desk.send("SELL", "LIMIT", 3, 106, closes=True)]
    desk.stand(100)
    desk.visit(110, 100)
    assert sum(desk.filled(o) for o in exits) == 3


@row("D", "Hedge: an exit reduces its own side and leaves the other")
def _(make: Make) -> None:
    desk = make(PERP)
    long, short = desk.hold("LONG", 2), desk.hold("SHORT", 3)
    order = desk.send("BUY", "MARKET", 3, closes=True)
    desk.stand(100)
    assert desk.filled(order) == 3 and long.quantity == 2 and short.id not in desk.ledger.positions


@row("D", "A reduce-only order may rest for more than is held: what counts is the moment of its fill")
def _(make: Make) -> None:
    desk = make()
    held = desk.hold("LONG", 5)
    order = desk.send("SELL", "LIMIT", 5, 105, closes=True)
    desk.stand(100)
    held.quantity = D(2)
    desk.visit(110, 100)
    assert desk.filled(order) == 2


# -- O ----------------------------------------------------------------------------------------------------------------


def bracket(make: Make, **costs: object) -> tuple[PaperDesk, object, object]:
    desk = make(**costs)
    desk.hold("LONG", 5)
    stop = desk.send("SELL", "STOP_MARKET", 5, stop=90, closes=True, group="g")
    target = desk.send("SELL", "LIMIT", 5, 110, closes=True, group="g")
    desk.stand(100)
    return desk, stop, target


@row("O", "The fill of one order of a group cancels the others, and says so")
def _(make: Make) -> None:
    desk, stop, target = bracket(make)
    desk.visit(115, 100)
    assert desk.filled(target) == 5
    assert desk.about(stop) == ["ACCEPTED", "CANCELED OCO"]


@row("O", "Either of them does it")
def _(make: Make) -> None:
    desk, stop, target = bracket(make)
    desk.visit(85, 100)
    assert desk.filled(stop) == 5
    assert desk.about(target) == ["ACCEPTED", "CANCELED OCO"]


@row("O", "The fill is told before the cancels that it causes")
def _(make: Make) -> None:
    desk, _, target = bracket(make)
    desk.visit(115, 100)
    kinds = [type(r).__name__ for r in desk.said[-2:]]
    assert kinds == ["FillReport", "OrderReport"]
    assert desk.said[-2].order_id == target.id


@row("O", "A partial fill takes its quantity from the others", TICKS)
def _(make: Make) -> None:
    desk, stop, target = bracket(make)
    desk.trade(110.5, 2, "BUY")
    assert desk.filled(target) == 2
    desk.ledger.positions[next(iter(desk.ledger.positions))].quantity = D(99)
    desk.trade(85, 1, "SELL")
    assert desk.filled(stop) == 3
    assert desk.about(stop)[-1] == "CANCELED OCO"
    assert desk.about(target)[-1] == "CANCELED OCO"


@row("O", "Other groups, and orders without one, stay")
def _(make: Make) -> None:
    desk, _, _ = bracket(make)
    other = desk.send("BUY", "LIMIT", 5, 60, group="h")
    single = desk.send("BUY", "LIMIT", 5, 60)
    desk.visit(115, 100)
    assert desk.about(other) == desk.about(single) == ["ACCEPTED"]
