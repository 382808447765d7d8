"""Rows A, R: acknowledgements and rejections."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from tests.venue.desk import PERP, SPOT, Make
from tests.venue.suite import TICKS, row

D = Decimal
KINDS: list[dict[str, Any]] = [
    {"order_type": "MARKET"},
    {"order_type": "LIMIT", "price": 90},
    {"order_type": "STOP_MARKET", "stop": 110},
    {"order_type": "STOP_LIMIT", "stop": 110, "price": 112},
    {"order_type": "TRAILING_STOP", "callback_rate": 5},
]


# -- A ----------------------------------------------------------------------------------------------------------------


@row("A", "An order is acknowledged before anything else is said of it")
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "MARKET", 1)
    assert desk.about(order) == ["ACCEPTED"]
    desk.stand(100)
    assert [w.split()[0] for w in desk.about(order)] == ["ACCEPTED", "FILL"]


@row("A", "Every order type is acknowledged once")
def _(make: Make) -> None:
    desk = make()
    for kind in KINDS:
        assert desk.about(desk.send("BUY", quantity=1, **kind)) == ["ACCEPTED"]


@row("A", "An acknowledgement carries the venue's id of the order, and no two orders share one")
def _(make: Make) -> None:
    desk = make()
    orders = [desk.send("BUY", "LIMIT", 1, 90) for _ in range(3)]
    assert all(o.exchange_order_id for o in orders)
    assert len({o.exchange_order_id for o in orders}) == 3


@row("A", "An acknowledgement stands at the place of its command and has its time")
def _(make: Make) -> None:
    desk = make()
    desk.stand(100)
    order = desk.send("BUY", "LIMIT", 1, 90)
    (report,) = [r for r in desk.said if getattr(r, "order_id", "") == order.id]
    assert report.ts == order.cause.ts and report.cause.place >= order.cause.place
    assert report.cause.ordinal == order.number


@row("A", "Orders are answered in the order of their sending")
def _(make: Make) -> None:
    desk = make()
    orders = [desk.order("BUY", "LIMIT", 1, 90 - i) for i in range(4)]
    for order in orders:
        desk.venue.submit(order)
    desk.listen()
    assert [r.order_id for r in desk.said if hasattr(r, "order_id")] == [o.id for o in orders]


@row("A", "Nothing is said where nothing was asked and nothing happened")
def _(make: Make) -> None:
    desk = make()
    desk.stand(100)
    desk.stand(101)
    desk.listen()
    assert desk.said == []


@row("A", "The same order sent twice is one order")
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "MARKET", 1)
    desk.venue.submit(order)
    desk.listen()
    desk.stand(100)
    desk.stand(100)
    assert desk.filled(order) == 1


@row("A", "An order that has ended and is sent again trades no more")
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "MARKET", 1)
    desk.stand(100)
    desk.venue.submit(order)
    desk.stand(100)
    assert desk.filled(order) == 1


@row("A", "Every report has a cause of its own")
def _(make: Make) -> None:
    desk = make()
    for _ in range(3):
        desk.send("BUY", "MARKET", 1)
        desk.cancel(desk.send("BUY", "LIMIT", 1, 90))
        desk.stand(100)
    causes = [r.cause for r in desk.said]
    assert len(set(causes)) == len(causes)


@row("A", "An order never trades on the input that brought it about")
def _(make: Make) -> None:
    desk = make()
    desk.stand(100)
    order = desk.send("BUY", "MARKET", 1)
    assert desk.about(order) == ["ACCEPTED"]
    desk.stand(105)
    assert desk.fills(order)[0].price == desk.taker_price("BUY", 105)


# -- R ----------------------------------------------------------------------------------------------------------------


def _rejected(make: Make, code: str, side: str = "BUY", instrument: Any = SPOT, **order: Any) -> None:
    desk = make(instrument)
    sent = desk.send(side, **order)
    assert desk.about(sent) == [f"REJECTED {code}"]
    assert sent.reason.startswith(f"{code}: ") and len(sent.reason) > len(code) + 5
    desk.stand(100)
    desk.visit(10, 100)
    desk.visit(900, 100)
    assert desk.filled(sent) == 0


def _reject_row(code: str, words: str, **order: Any) -> None:
    @row("R", f"`{code}`: {words}")
    def _(make: Make) -> None:
        _rejected(make, code, **order)


_reject_row("SYMBOL_UNKNOWN", "a symbol that is not traded here", symbol="DOGE/USDT", order_type="MARKET", quantity=1)
_reject_row(
    "SYMBOL_HALTED",
    "a symbol whose trading is suspended",
    instrument=msgspec.structs.replace(SPOT, status="BREAK"),
    order_type="MARKET",
    quantity=1,
)
_reject_row("PRICE_TICK", "a limit off the tick", order_type="LIMIT", quantity=1, price="90.1")
_reject_row("PRICE_TICK", "a stop off the tick", order_type="STOP_MARKET", quantity=1, stop="110.1")
_reject_row(
    "PRICE_TICK",
    "an activation price off the tick",
    order_type="TRAILING_STOP",
    quantity=1,
    callback_rate=1,
    activation_price="90.1",
)
_reject_row("QUANTITY_LOT", "a quantity off the lot", order_type="MARKET", quantity="1.05")
_reject_row("QUANTITY_MIN", "nothing at all", order_type="MARKET", quantity=0)
_reject_row(
    "QUANTITY_MIN",
    "less than the smallest quantity",
    instrument=msgspec.structs.replace(SPOT, min_quantity=D(1)),
    order_type="MARKET",
    quantity="0.5",
)
_reject_row("QUANTITY_MAX", "more than the largest quantity", order_type="MARKET", quantity=1001)
_reject_row("NOTIONAL_MIN", "a limit worth less than the least notional", order_type="LIMIT", quantity="0.2", price=90)
_reject_row("NOTIONAL_MIN", "a stop worth less than it", order_type="STOP_MARKET", quantity="0.1", stop=110)
_reject_row("PRICE_INVALID", "a limit without a price", order_type="LIMIT", quantity=1)
_reject_row("PRICE_INVALID", "a market order with one", order_type="MARKET", quantity=1, price=100)
_reject_row("PRICE_INVALID", "a stop without a stop price", order_type="STOP_MARKET", quantity=1)
_reject_row("PRICE_INVALID", "a limit with a stop price", order_type="LIMIT", quantity=1, price=90, stop=80)
_reject_row("PRICE_INVALID", "a price of zero", order_type="LIMIT", quantity=1, price=0)
_reject_row("PRICE_INVALID", "a trailing stop without a callback", order_type="TRAILING_STOP", quantity=1)
_reject_row("PRICE_INVALID", "a callback of 100 %", order_type="TRAILING_STOP", quantity=1, callback_rate=100)
_reject_row("TYPE_UNSUPPORTED", "post-only without a limit", order_type="MARKET", quantity=1, tif="GTX")
_reject_row("REDUCE_ONLY", "nothing is held", side="SELL", order_type="MARKET", quantity=1, closes=True)


@row("R", "`REDUCE_ONLY`: the order would add to what is held")
def _(make: Make) -> None:
    desk = make(PERP)
    desk.hold("LONG", 2, position="p")
    order = desk.send("BUY", "MARKET", 1, closes=True, position="p")
    assert desk.about(order) == ["REJECTED REDUCE_ONLY"]


@row("R", "`POST_ONLY`: the order would have taken when it arrived")
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "LIMIT", 1, 105, tif="GTX")
    desk.stand(100)
    assert desk.about(order) == ["ACCEPTED", "REJECTED POST_ONLY"]
    desk.visit(90, 100)
    assert desk.filled(order) == 0


@row("R", "A market order is measured by the last price", TICKS)
def _(make: Make) -> None:
    desk = make()
    desk.stand(100)
    assert desk.about(desk.send("BUY", "MARKET", "0.1")) == ["REJECTED NOTIONAL_MIN"]


@row("R", "A position of futures can be closed however small it is")
def _(make: Make) -> None:
    desk = make(PERP)
    desk.hold("LONG", "0.1")
    order = desk.send("SELL", "LIMIT", "0.1", 100, closes=True)
    assert desk.about(order) == ["ACCEPTED"]
