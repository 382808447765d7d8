"""Rows P, Q: partial fills and the queue."""

from __future__ import annotations

from decimal import Decimal

from tests.venue.desk import Make, PaperDesk
from tests.venue.suite import BARS, TICKS, row

D = Decimal


# -- P ----------------------------------------------------------------------------------------------------------------


@row("P", "A taker walks the depth, level by level, each level a fill of its own", ("L2",))
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "MARKET", 5)
    desk.book([(99.5, 9)], [(100.5, 2), (101, 1), (103, 50)])
    assert desk.about(order) == ["ACCEPTED", "FILL 2 @ 100.5", "FILL 1 @ 101", "FILL 2 @ 103"]


@row("P", "Beyond the known depth it trades some ticks worse than the last level", TICKS)
def _(make: Make) -> None:
    desk = make(depth_ticks=4)
    order = desk.send("SELL", "MARKET", 5)
    desk.quote(99.5, 100.5, bid_size=2)
    assert desk.about(order) == ["ACCEPTED", "FILL 2 @ 99.5", "FILL 3 @ 97.5"]


@row("P", "What a taker has consumed is gone until the level changes", TICKS)
def _(make: Make) -> None:
    desk = make(depth_ticks=4)
    first, second = desk.send("BUY", "MARKET", 2), desk.send("BUY", "MARKET", 2)
    desk.quote(99.5, 100.5, ask_size=3)
    assert desk.about(first) == ["ACCEPTED", "FILL 2 @ 100.5"]
    assert desk.about(second) == ["ACCEPTED", "FILL 1 @ 100.5", "FILL 1 @ 102.5"]
    third = desk.send("BUY", "MARKET", 1)
    desk.quote(99.5, 100.5, ask_size=3)
    assert desk.about(third) == ["ACCEPTED", "FILL 1 @ 102.5"]
    fourth = desk.send("BUY", "MARKET", 1)
    desk.quote(99.5, 100.5, ask_size=2)
    assert desk.about(fourth) == ["ACCEPTED", "FILL 1 @ 100.5"]


@row("P", "A limit takes no more than its limit allows, and rests with what is left", TICKS)
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "LIMIT", 5, 100.5)
    desk.quote(99.5, 100.5, ask_size=2)
    assert desk.about(order) == ["ACCEPTED", "FILL 2 @ 100.5"]
    desk.quote(99.5, 100.5, ask_size=1)
    assert desk.about(order)[-1] == "FILL 1 @ 100.5" and desk.fills(order)[-1].liquidity == "MAKER"


@row("P", "LIMIT IOC fills what is there and expires with the rest", TICKS)
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "LIMIT", 5, 100.5, tif="IOC")
    desk.quote(99.5, 100.5, ask_size=2)
    assert desk.about(order) == ["ACCEPTED", "FILL 2 @ 100.5", "EXPIRED IOC_UNFILLED"]


@row("P", "A market order that finds the other side empty expires", TICKS)
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "MARKET", 5)
    desk.book([(99.5, 2)], [])
    assert desk.about(order) == ["ACCEPTED", "EXPIRED NO_LIQUIDITY"]


@row("P", "Without any depth the last trade and its costs are the price", TICKS)
def _(make: Make) -> None:
    desk = make(slippage_bps=100)
    order = desk.send("BUY", "MARKET", 5)
    desk.trade(100, 1, "BUY")
    assert desk.about(order) == ["ACCEPTED", "FILL 5 @ 101"]


@row("P", "With a cap on participation a bar fills its share, and the next bar more", BARS)
def _(make: Make) -> None:
    desk = make(participation_pct=10)
    order = desk.send("BUY", "LIMIT", 5, 95)
    desk.stand(100)
    desk.bar(100, 100, 90, 100, volume=20)
    desk.bar(100, 100, 90, 100, volume=40)
    assert desk.about(order) == ["ACCEPTED", "FILL 2 @ 95", "FILL 3 @ 95"]


@row("P", "The share is of the bar: two orders do not each have it", BARS)
def _(make: Make) -> None:
    desk = make(participation_pct=10)
    orders = [desk.send("BUY", "LIMIT", 5, 95) for _ in range(2)]
    desk.stand(100)
    desk.bar(100, 100, 90, 100, volume=60)
    assert [desk.filled(o) for o in orders] == [5, 1]


@row("P", "A bar that only touches a limit fills it without a cap, and not with one", BARS)
def _(make: Make) -> None:
    for cap, filled in ((None, 1), (100, 0)):
        desk = make(participation_pct=cap)
        order = desk.send("BUY", "LIMIT", 1, 95)
        desk.stand(100)
        desk.bar(100, 100, 95, 100)
        assert desk.filled(order) == filled


@row("P", "Slippage, half spread and impact make a taker's price worse", BARS)
def _(make: Make) -> None:
    desk = make(slippage_bps=50, half_spread_bps=50, impact_bps=200)
    order = desk.send("BUY", "MARKET", 10)
    desk.bar(100, 100, 100, 100, volume=40)
    assert desk.about(order) == ["ACCEPTED", "FILL 10 @ 102"]  # 50 + 50 + 200 x sqrt(10 / 40) bps


@row("P", "Every fill has a trade id of its own, and fills never exceed the order")
def _(make: Make) -> None:
    desk = make(participation_pct=1)
    orders = [desk.send("BUY", "LIMIT", 40, 99) for _ in range(3)]
    for _ in range(14):
        desk.stand(100)
        desk.visit(90, 100)
    ids = [f.trade_id for o in orders for f in desk.fills(o)]
    assert len(set(ids)) == len(ids) and all(desk.filled(o) == 40 for o in orders)


# -- Q ----------------------------------------------------------------------------------------------------------------


def queued(make: Make, ahead: float = 100, quantity: object = 50) -> tuple[PaperDesk, object]:
    desk = make()
    order = desk.send("BUY", "LIMIT", quantity, 99.5)
    desk.quote(99.5, 100.5, bid_size=ahead)
    return desk, order


@row("Q", "Trades at the price eat what was ahead first: 100 ahead; 80, 30 and 50 trade; 0, 10 and 40 are ours", TICKS)
def _(make: Make) -> None:
    desk, order = queued(make)
    filled = []
    for size in (80, 30, 50):
        desk.trade(99.5, size, "SELL")
        filled.append(desk.filled(order))
    assert filled == [0, 10, 50]
    assert all(f.liquidity == "MAKER" and f.price == D("99.5") for f in desk.fills(order))


@row("Q", "A trade through the price fills whatever was ahead, no more than it was large", TICKS)
def _(make: Make) -> None:
    desk, order = queued(make)
    desk.trade(99, 7, "SELL")
    assert desk.about(order) == ["ACCEPTED", "FILL 7 @ 99.5"]


@row("Q", "Trades of the other aggressor and at worse prices change nothing", TICKS)
def _(make: Make) -> None:
    desk, order = queued(make)
    desk.trade(99.5, 500, "BUY")
    desk.trade(100.5, 500, "SELL")
    desk.trade(99.5, 100, "SELL")
    assert desk.filled(order) == 0
    desk.trade(99.5, 1, "SELL")
    assert desk.filled(order) == 1


@row("Q", "The other side's best at the price fills what it shows there", TICKS)
def _(make: Make) -> None:
    desk, order = queued(make)
    desk.quote(99, 99.5, ask_size=20)
    assert desk.about(order) == ["ACCEPTED", "FILL 20 @ 99.5"]


@row("Q", "What is displayed ahead can shrink by cancels, and never grows", TICKS)
def _(make: Make) -> None:
    desk, order = queued(make)
    desk.quote(99.5, 100.5, bid_size=10)
    desk.quote(99.5, 100.5, bid_size=500)
    desk.trade(99.5, 12, "SELL")
    assert desk.filled(order) == 2


@row("Q", "A price better than the best has nobody ahead", TICKS)
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "LIMIT", 5, 100)
    desk.quote(99.5, 100.5)
    desk.trade(100, 3, "SELL")
    assert desk.filled(order) == 3


@row("Q", "A price that cannot be seen waits until it can: only then there is a queue", TICKS)
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "LIMIT", 5, 95)
    desk.quote(99.5, 100.5)
    desk.trade(95, 50, "SELL")
    assert desk.filled(order) == 0
    desk.quote(95, 100.5, bid_size=10)
    desk.trade(95, 12, "SELL")
    assert desk.filled(order) == 2


@row("Q", "One trade is shared: the better price first, then the earlier order", TICKS)
def _(make: Make) -> None:
    desk = make()
    later, best, first = (desk.send("BUY", "LIMIT", 5, p) for p in (99, 100, 99))
    desk.quote(98.5, 100.5)
    desk.trade(98.5, 7, "SELL")
    assert [desk.filled(o) for o in (best, later, first)] == [5, 2, 0]
