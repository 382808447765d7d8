"""Rows G, F, L: triggers and gaps, fees, liquidation."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from tests.venue.desk import PERP, SPOT, Make, PaperDesk
from tests.venue.suite import BARS, TICKS, row

D = Decimal


# -- G ----------------------------------------------------------------------------------------------------------------


@row("G", "A gap over a stop fills where the market is, not at the stop")
def _(make: Make) -> None:
    desk = make()
    desk.hold("LONG", 1)
    order = desk.send("SELL", "STOP_MARKET", 1, stop=95, closes=True)
    desk.stand(100)
    desk.stand(80)
    assert desk.fills(order)[0].price == desk.taker_price("SELL", 80)


@row("G", "A gap over a resting limit fills at the open, which is better than the limit", BARS)
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "LIMIT", 1, 95)
    desk.stand(100)
    desk.stand(90)
    (fill,) = desk.fills(order)
    assert fill.price == 90 and fill.liquidity == "MAKER" and fill.executed_ts == desk.now - 60_000_000


@row("G", "A bar that reaches both stop and target takes the stop", BARS)
def _(make: Make) -> None:
    desk = make()
    desk.hold("LONG", 1)
    target = desk.send("SELL", "LIMIT", 1, 105, closes=True)
    stop = desk.send("SELL", "STOP_MARKET", 1, stop=95, closes=True)
    desk.stand(100)
    desk.bar(100, 110, 90, 100)
    assert desk.about(stop)[-1] == "FILL 1 @ 95" and desk.about(target)[-1] == "EXPIRED REDUCE_ONLY"


@row("G", "A stop within the bar fills at its price and slippage, at the bar's close in time", BARS)
def _(make: Make) -> None:
    desk = make(slippage_bps=100)
    desk.hold("LONG", 1)
    order = desk.send("SELL", "STOP_MARKET", 1, stop=90, closes=True)
    desk.stand(100)
    desk.bar(100, 100, 85, 95)
    (fill,) = desk.fills(order)
    assert fill.price == 89 and fill.executed_ts == desk.now  # 90 x 0.99 = 89.1, rounded to the tick against the taker


@row("G", "Exits that a fill of the open brings about take part in the rest of that bar", BARS)
def _(make: Make) -> None:
    for low, high, role in ((94, 101, "stop"), (99, 106, "target")):
        desk = make()
        desk.send("BUY", "MARKET", 1)
        exits = _exits_at_the_fill(desk)
        desk.bar(100, high, low, 100)
        assert desk.filled(exits[role]) == 1


@row("G", "Exits of a fill within the bar: its stop counts, its target waits for the next bar", BARS)
def _(make: Make) -> None:
    desk = make()
    desk.send("BUY", "LIMIT", 1, 97)
    exits = _exits_at_the_fill(desk)
    desk.bar(100, 106, 96, 100)
    assert desk.filled(exits["stop"]) == desk.filled(exits["target"]) == 0
    desk = make()
    desk.send("BUY", "LIMIT", 1, 97)
    exits = _exits_at_the_fill(desk)
    desk.bar(100, 106, 94, 100)
    assert desk.filled(exits["stop"]) == 1


def _exits_at_the_fill(desk: PaperDesk) -> dict[str, object]:
    """Send a stop at 95 and a target at 105 as soon as the entry has filled, before the next report is asked for."""
    exits: dict[str, object] = {}
    fold = desk._fold

    def folded(report: object) -> None:
        fold(report)
        if not exits and hasattr(report, "trade_id"):
            at = {"cause": report.cause}
            exits["stop"] = desk.order("SELL", "STOP_MARKET", 1, stop=95, closes=True)
            exits["target"] = desk.order("SELL", "LIMIT", 1, 105, closes=True)
            for order in exits.values():
                order.cause = at["cause"]
                desk.venue.submit(order)

    desk._fold = folded
    return exits


@row("G", "A stop on the mark price does not look at the last price")
def _(make: Make) -> None:
    desk = make(PERP)
    desk.hold("LONG", 1)
    order = desk.send("SELL", "STOP_MARKET", 1, stop=95, closes=True, trigger="mark")
    desk.mark(100)
    desk.stand(100)
    desk.stand(90)
    assert desk.filled(order) == 0
    desk.mark(94)
    desk.stand(90)
    assert desk.filled(order) == 1


@row("G", "A stop on the last price does not look at the mark price")
def _(make: Make) -> None:
    desk = make(PERP)
    desk.hold("LONG", 1)
    order = desk.send("SELL", "STOP_MARKET", 1, stop=95, closes=True)
    desk.stand(100)
    desk.mark(90)
    desk.stand(100)
    assert desk.filled(order) == 0


@row("G", "Trades are the last price once there are any; before, the middle of bid and ask is", TICKS)
def _(make: Make) -> None:
    desk = make()
    order = desk.send("BUY", "STOP_MARKET", 1, stop=105)
    desk.quote(99.5, 100.5)
    desk.trade(100, 1, "BUY")
    desk.quote(109.5, 110.5)
    assert desk.filled(order) == 0
    desk.trade(105, 1, "BUY")
    assert desk.filled(order) == 1


# -- F ----------------------------------------------------------------------------------------------------------------


@row("F", "A taker pays the taker's fee on what it traded, in the quote currency")
def _(make: Make) -> None:
    desk = make(taker_bps=10, maker_bps=2)
    order = desk.send("BUY", "MARKET", 3)
    desk.stand(100)
    (fill,) = desk.fills(order)
    assert fill.fee == 3 * fill.price / 1000 and fill.fee_currency == "USDT"


@row("F", "A maker pays the maker's")
def _(make: Make) -> None:
    desk = make(taker_bps=10, maker_bps=2)
    order = desk.send("BUY", "LIMIT", 3, 95)
    desk.stand(100)
    desk.visit(90, 100)
    assert sum(f.fee for f in desk.fills(order)) == 3 * 95 * D("0.0002")


@row("F", "A rebate is a fee below zero")
def _(make: Make) -> None:
    desk = make(maker_bps="-1")
    order = desk.send("BUY", "LIMIT", 3, 95)
    desk.stand(100)
    desk.visit(90, 100)
    assert sum(f.fee for f in desk.fills(order)) == -3 * 95 * D("0.0001")


@row("F", "Where the venue does so, a spot buy pays in what it bought, and a sell in the quote currency")
def _(make: Make) -> None:
    desk = make(msgspec.structs.replace(SPOT, fee_in_base=True), taker_bps=10)
    buy = desk.send("BUY", "MARKET", 3)
    desk.stand(100)
    sell = desk.send("SELL", "MARKET", 3, closes=True)
    desk.stand(100)
    assert [(f.fee, f.fee_currency) for f in desk.fills(buy)] == [(D("0.003"), "BTC")]
    assert [f.fee_currency for f in desk.fills(sell)] == ["USDT"]


@row("F", "Futures pay in the quote currency, by the size of the contract")
def _(make: Make) -> None:
    perp = msgspec.structs.replace(PERP, fee_in_base=True, contract_size=D("0.1"))
    desk = make(perp, taker_bps=10)
    order = desk.send("BUY", "MARKET", 30)
    desk.stand(100)
    assert sum(f.fee for f in desk.fills(order)) == 3 * desk.taker_price("BUY", 100) / 1000
    assert {f.fee_currency for f in desk.fills(order)} == {"USDT"}


# -- L ----------------------------------------------------------------------------------------------------------------


@row("L", "A mark price at the liquidation price takes the position away, long or short")
def _(make: Make) -> None:
    for side, level, mark in (("LONG", 90, 90), ("SHORT", 110, 111)):
        desk = make(PERP)
        held = desk.hold(side, 2, liquidation_price=level)
        desk.mark(100)
        assert not desk.liquidations()
        desk.mark(mark)
        (taken,) = desk.liquidations()
        assert (taken.position_id, taken.quantity, taken.price) == (held.id, 2, mark)


@row("L", "It costs the taker's fee and the clearance fee")
def _(make: Make) -> None:
    desk = make(PERP, taker_bps=10, liquidation_bps=50)
    desk.hold("LONG", 2, liquidation_price=90)
    desk.mark(90)
    (taken,) = desk.liquidations()
    assert taken.fee == 2 * 90 * D("0.006") and taken.fee_currency == "USDT"


@row("L", "The exits of the position go with it, other orders stay")
def _(make: Make) -> None:
    desk = make(PERP)
    desk.hold("LONG", 2, liquidation_price=90)
    target = desk.send("SELL", "LIMIT", 2, 120, closes=True)
    entry = desk.send("BUY", "LIMIT", 2, 50)
    desk.mark(89)
    assert desk.about(target) == ["ACCEPTED", "CANCELED LIQUIDATION"] and desk.about(entry) == ["ACCEPTED"]


@row("L", "It happens once")
def _(make: Make) -> None:
    desk = make(PERP)
    desk.hold("LONG", 2, liquidation_price=90)
    for _ in range(3):
        desk.mark(80)
        desk.stand(80)
    assert len(desk.liquidations()) == 1


@row("L", "Without mark prices the market's own prices liquidate")
def _(make: Make) -> None:
    desk = make(PERP)
    desk.hold("SHORT", 2, liquidation_price=110)
    desk.stand(100)
    assert not desk.liquidations()
    desk.visit(112, 100)
    assert len(desk.liquidations()) == 1


@row("L", "With mark prices only they do")
def _(make: Make) -> None:
    desk = make(PERP)
    desk.hold("LONG", 2, liquidation_price=90)
    desk.mark(100)
    desk.visit(80, 100)
    assert not desk.liquidations()


@row("L", "Within a bar a stop that lies nearer saves the position; a gap over both liquidates", BARS)
def _(make: Make) -> None:
    for bar, liquidated in (((100, 100, 85, 95), 0), ((85, 86, 84, 85), 1)):
        desk = make(PERP)
        desk.hold("LONG", 2, liquidation_price=90)
        stop = desk.send("SELL", "STOP_MARKET", 2, stop=95, closes=True)
        desk.stand(100)
        desk.bar(*bar)
        assert (len(desk.liquidations()), desk.filled(stop)) == (liquidated, 2 - 2 * liquidated)


@row("L", "Within a bar a stop beyond the liquidation price comes too late", BARS)
def _(make: Make) -> None:
    desk = make(PERP)
    desk.hold("LONG", 2, liquidation_price=90)
    stop = desk.send("SELL", "STOP_MARKET", 2, stop=88, closes=True)
    desk.stand(100)
    desk.bar(100, 100, 85, 95)
    assert [x.price for x in desk.liquidations()] == [90] and desk.about(stop)[-1] == "CANCELED LIQUIDATION"


@row("L", "Both legs of a hedge that share a liquidation price are taken, from the side that it lies on")
def _(make: Make) -> None:
    desk = make(PERP)
    desk.hold("LONG", 2, liquidation_price=90)
    desk.hold("SHORT", 2, liquidation_price=90, liquidated_below=True)
    desk.mark(95)
    assert not desk.liquidations()
    desk.mark(85)
    assert [x.position_id for x in desk.liquidations()] == [f"{PERP.symbol}-LONG", f"{PERP.symbol}-SHORT"]
    assert len({x.cause for x in desk.liquidations()}) == 2
