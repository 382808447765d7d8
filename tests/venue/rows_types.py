"""Row T: order types and their times in force."""

from __future__ import annotations

from decimal import Decimal

from tests.venue.desk import Make
from tests.venue.suite import TICKS, row

D = Decimal


# -- T ----------------------------------------------------------------------------------------------------------------


@row("T", "MARKET buys at what is asked and sells at what is bid, as a taker")
def _(make: Make) -> None:
    desk = make()
    desk.hold("LONG", 5)
    buy, sell = desk.send("BUY", "MARKET", 1), desk.send("SELL", "MARKET", 1, closes=True)
    desk.stand(100)
    for order in (buy, sell):
        (fill,) = desk.fills(order)
        assert fill.price == desk.taker_price(order.side, 100) and fill.liquidity == "TAKER"


@row("T", "LIMIT GTC that reaches the other side takes, at the better price")
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "LIMIT", 1, 110)
    desk.stand(100)
    (fill,) = desk.fills(order)
    assert fill.price == desk.taker_price("BUY", 100) and fill.liquidity == "TAKER"


@row("T", "LIMIT GTC that does not rests until its price comes, and fills there as a maker")
def _(make: Make) -> None:
    for side, limit, away in (("BUY", 95, 90), ("SELL", 105, 110)):
        desk = make()
        order = desk.send(side, "LIMIT", 1, limit)
        desk.stand(100)
        assert desk.filled(order) == 0
        desk.visit(away, 100)
        (fill,) = desk.fills(order)
        assert fill.price == limit and fill.liquidity == "MAKER"


@row("T", "LIMIT is never filled worse than its limit, wherever the market goes")
def _(make: Make) -> None:
    desk = make(slippage_bps=200)
    buys = [desk.send("BUY", "LIMIT", 1, p) for p in (80, 95, 100, 101, 120)]
    for price in (100, 90, 104, 70, 130):
        desk.stand(price)
    assert all(f.price <= o.price for o in buys for f in desk.fills(o) if o.price)
    assert all(desk.filled(o) == 1 for o in buys)


@row("T", "LIMIT IOC takes what it can when it arrives")
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "LIMIT", 1, 110, tif="IOC")
    desk.stand(100)
    assert desk.filled(order) == 1


@row("T", "LIMIT IOC that cannot trade when it arrives expires")
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "LIMIT", 1, 95, tif="IOC")
    desk.stand(100)
    assert desk.about(order) == ["ACCEPTED", "EXPIRED IOC_UNFILLED"]
    desk.visit(90, 100)
    assert desk.filled(order) == 0


@row("T", "LIMIT FOK fills whole when it arrives")
def _(make: Make) -> None:
    desk = make()
    order = desk.send("SELL", "LIMIT", 3, 95, tif="FOK")
    desk.stand(100)
    assert desk.filled(order) == 3


@row("T", "LIMIT FOK that cannot fill whole expires and fills nothing")
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "LIMIT", 3, 95, tif="FOK")
    desk.stand(100)
    assert desk.about(order) == ["ACCEPTED", "EXPIRED FOK_UNFILLED"]


@row("T", "LIMIT FOK for more than is displayed within its limit expires", TICKS)
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "LIMIT", 5, 101, tif="FOK")
    desk.quote(99.5, 100.5, ask_size=4)
    assert desk.about(order) == ["ACCEPTED", "EXPIRED FOK_UNFILLED"]


@row("T", "LIMIT GTX rests and fills as a maker")
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "LIMIT", 1, 95, tif="GTX")
    desk.stand(100)
    desk.visit(90, 100)
    (fill,) = desk.fills(order)
    assert fill.liquidity == "MAKER" and fill.price == 95


@row("T", "STOP_MARKET waits for its stop and then takes, at the stop or worse")
def _(make: Make) -> None:
    for side, stop, there, sign in (("SELL", 95, 94, -1), ("BUY", 105, 106, 1)):
        desk = make()
        if side == "SELL":
            desk.hold("LONG", 1)
        order = desk.send(side, "STOP_MARKET", 1, stop=stop, closes=side == "SELL")
        desk.stand(100)
        assert desk.about(order) == ["ACCEPTED"]
        desk.visit(there, 100)
        (fill,) = desk.fills(order)
        assert (fill.price - stop) * sign >= 0 and fill.liquidity == "TAKER"


@row("T", "STOP_MARKET is triggered by its price being touched")
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "STOP_MARKET", 1, stop=105)
    desk.stand(100)
    desk.visit(105, 100)
    assert desk.filled(order) == 1


@row("T", "STOP_LIMIT becomes a limit at its stop: it takes within its limit")
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "STOP_LIMIT", 1, 108, stop=105)
    desk.stand(100)
    assert desk.filled(order) == 0
    desk.visit(106, 100)
    (fill,) = desk.fills(order)
    assert 105 <= fill.price <= 108


@row("T", "STOP_LIMIT rests when the market has left its limit behind, and fills when it comes back")
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "STOP_LIMIT", 1, 106, stop=105)
    desk.stand(100)
    desk.stand(110)
    assert desk.filled(order) == 0
    desk.stand(110)
    desk.visit(104, 110)
    (fill,) = desk.fills(order)
    assert fill.price == 106 and fill.liquidity == "MAKER"


@row("T", "STOP_LIMIT IOC that its limit leaves behind expires")
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "STOP_LIMIT", 1, 106, stop=105, tif="IOC")
    desk.stand(100)
    desk.stand(110)
    assert desk.about(order) == ["ACCEPTED", "EXPIRED IOC_UNFILLED"]


@row("T", "TRAILING_STOP follows the best price and takes when the market turns by its callback")
def _(make: Make) -> None:
    for side, path, quiet in (("SELL", (100, 110, 120), 115), ("BUY", (100, 90, 80), 83)):
        desk = make()
        if side == "SELL":
            desk.hold("LONG", 1)
        order = desk.send(side, "TRAILING_STOP", 1, closes=side == "SELL", callback_rate=5)
        for price in (*path, quiet):
            desk.stand(price)
        assert desk.filled(order) == 0
        desk.stand(113 if side == "SELL" else 85)
        assert desk.filled(order) == 1


@row("T", "TRAILING_STOP waits for its activation price")
def _(make: Make) -> None:
    desk = make()
    desk.hold("LONG", 1)
    order = desk.send("SELL", "TRAILING_STOP", 1, closes=True, callback_rate=5, activation_price=110)
    for price in (100, 105, 90, 100):
        desk.stand(price)
    assert desk.filled(order) == 0
    desk.stand(112)
    desk.stand(105)
    assert desk.filled(order) == 1


@row("T", "TRAILING_STOP does not follow a price that was before it")
def _(make: Make) -> None:
    desk = make()
    desk.hold("LONG", 1)
    desk.stand(150)
    order = desk.send("SELL", "TRAILING_STOP", 1, closes=True, callback_rate=5)
    desk.stand(100)
    desk.stand(99)
    assert desk.filled(order) == 0
