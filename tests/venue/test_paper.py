"""What is the paper venue's own: short-lived writers, answers that nobody waited for, sparse data, new costs."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from engine.core.config import Costs
from engine.core.inputs import PHASE_AFTER, Cause, Funding
from engine.core.ledger import Ledger
from engine.core.types import Instrument, OrderStatus, Origin, Side
from engine.venues.fill_model import Prices
from engine.venues.paper import PaperVenue
from tests.venue.desk import PERP, SPOT, PaperDesk
from tests.venue.rows_holdings import bracket

D = Decimal


def test_a_writer_without_instruments_takes_orders_unseen_and_cancels_them() -> None:
    desk = PaperDesk("bars")
    desk.venue = PaperVenue((), desk.costs)
    desk.venue.restore(desk.ledger)
    order = desk.send("BUY", "MARKET", "0.00000001", symbol="ANY/THING")
    desk.cancel(order)
    assert desk.about(order) == ["ACCEPTED", "CANCELED"]


def test_a_venue_without_a_ledger_takes_every_reduce_only_order() -> None:
    desk = PaperDesk("bars")
    desk.venue = PaperVenue((SPOT,), desk.costs)
    order = desk.send("SELL", "MARKET", 1, closes=True)
    desk.venue.warm(_funding(desk))
    assert desk.about(order) == ["ACCEPTED"]


def _funding(desk: PaperDesk) -> Funding:
    return Funding(ts=desk.now, exchange="test", symbol=SPOT.symbol, rate=0.0001, mark=100.0)


@pytest.mark.parametrize("mode", ["bars", "L1"])
def test_funding_is_the_ledgers_affair(mode: str) -> None:
    desk = PaperDesk(mode)
    desk.send("BUY", "MARKET", 1)
    said = list(desk.said)
    desk.now += 1
    desk.take(_funding(desk))
    assert desk.said == said


def test_who_stops_draining_in_between_finds_the_rest_later() -> None:
    """The engine commits after a report that has an effect, and asks again: nothing that was due may be lost."""
    desk = PaperDesk("bars", convention="bar")
    desk.hold("LONG", 2)
    desk.bar(100, 112, 80, 100)
    for price in (110, 111):
        desk.venue.submit(desk.order("SELL", "LIMIT", 3, price, closes=True, group="g"))
    said = []
    for _ in range(20):
        report = desk.venue.answer()
        if report is not None:
            said.append(report)
            desk._fold(report)
    assert [getattr(r, "status", "FILL") for r in said] == ["ACCEPTED", "ACCEPTED", "FILL", "EXPIRED", "EXPIRED"]
    assert desk.venue.answer() is None


def test_trades_alone_fill_takers_at_their_price_and_limits_that_they_go_through() -> None:
    desk = PaperDesk("L1", slippage_bps=100)
    market = desk.send("BUY", "MARKET", 1)
    low = desk.send("BUY", "LIMIT", 1, 95)
    post_only = desk.send("BUY", "LIMIT", 1, 105, tif="GTX")
    desk.mark(100)  # says nothing of what trades
    assert desk.about(market) == ["ACCEPTED"]
    desk.trade(100, 1, "BUY")
    assert desk.about(market) == ["ACCEPTED", "FILL 1 @ 101"]
    assert desk.about(post_only)[-1] == "REJECTED POST_ONLY"
    desk.trade(95, 1, "SELL")
    assert desk.filled(low) == 0
    desk.trade(94, 1, "SELL")
    assert desk.filled(low) == 1


def test_a_quote_without_sizes_fills_all_at_its_price() -> None:
    desk = PaperDesk("L1")
    order = desk.send("BUY", "MARKET", 900)
    desk.quote(99.5, 100.5, 0, 0)
    assert desk.about(order) == ["ACCEPTED", "FILL 900 @ 100.5"]


def test_beyond_the_last_level_no_price_is_zero_or_less() -> None:
    desk = PaperDesk(
        "L1", Instrument(exchange="test", symbol="X", base="X", quote="Q", tick_size=D("0.5"), min_notional=D(0))
    )
    desk.hold("LONG", 9)
    order = desk.send("SELL", "MARKET", 9, closes=True)
    desk.quote(0.5, 1, 1, 1)
    assert {f.price for f in desk.fills(order)} == {D("0.5")} and desk.filled(order) == 9


def test_a_group_whose_fill_was_the_last_word_before_a_kill_ends_after_it() -> None:
    desk, stop, target = bracket(lambda **costs: PaperDesk("L1", PERP, **costs))
    desk.now += 1_000_000
    target.filled_quantity, target.filled_ts, target.status = D(5), desk.now, OrderStatus.FILLED
    desk.ledger.closed_orders[target.id] = desk.ledger.orders.pop(target.id)
    desk.ledger.cursor = Cause(desk.now, 0, "test", PERP.symbol, PHASE_AFTER, "fill", 1)
    desk.restart()
    assert desk.about(stop) == ["ACCEPTED", "CANCELED OCO"]


def test_a_liquidation_that_is_being_booked_is_no_order_at_the_venue() -> None:
    desk = PaperDesk("bars", PERP)
    order = desk.order("SELL", "MARKET", 1, position_side="LONG")
    order.origin, order.status = Origin.LIQUIDATION, OrderStatus.ACCEPTED
    desk.restart()
    assert not desk.venue._floor.orders


def test_new_costs_hold_from_the_next_input_on() -> None:
    desk = PaperDesk("bars", taker_bps=10)
    orders = [desk.send("BUY", "MARKET", 1)]
    desk.stand(100)
    desk.venue.configure(Costs(taker_bps=20, slippage_bps=0, latency_ms=0))
    orders.append(desk.send("BUY", "MARKET", 1))
    desk.stand(100)
    assert [f.fee for o in orders for f in desk.fills(o)] == [D("0.1"), D("0.2")]


def test_a_stop_that_comes_up_within_a_bar_trades_no_better_than_its_open() -> None:
    desk = PaperDesk("bars")
    desk.send("BUY", "MARKET", 1)
    fold = desk._fold
    sent = []

    def folded(report: object) -> None:
        fold(report)
        if hasattr(report, "trade_id") and not sent:
            sent.append(desk.order("SELL", "STOP_MARKET", 1, stop=130, closes=True))
            sent[0].cause = report.cause
            desk.venue.submit(sent[0])

    desk._fold = folded
    desk.bar(100, 105, 99, 104)
    assert [f.price for f in desk.fills(sent[0])] == [100]


def test_prices_of_a_taker_are_exact_and_against_it() -> None:
    prices = Prices(Costs(slippage_bps=7, half_spread_bps=3))
    assert prices.taken(SPOT, Side.BUY, D(100), D(1), None) == D("100.5")
    assert prices.taken(SPOT, Side.SELL, D(100), D(1), None) == D("99.5")
    free = msgspec.structs.replace(SPOT, tick_size=D(0))
    assert prices.taken(free, Side.BUY, D(100), D(1), None) == D("100.1")
    assert Prices(Costs(slippage_bps=0)).taken(free, Side.BUY, D("0.1234567"), D(1), None) == D("0.1234567")
    thin = Prices(Costs(slippage_bps=0, impact_bps=100))
    assert thin.taken(free, Side.BUY, D(100), D(5), D(0)) == D(101)
    assert thin.taken(SPOT, Side.SELL, D("0.1"), D(5), D(1)) == SPOT.tick_size


def test_a_ledger_is_only_read() -> None:
    desk = PaperDesk("L1", PERP)
    desk.send("BUY", "LIMIT", 5, 99.5)
    before = desk.ledger.state_hash()
    venue = PaperVenue((PERP,), desk.costs)
    venue.restore(desk.ledger)
    for value in desk.inputs:
        venue.warm(value)
    assert desk.ledger.state_hash() == before and isinstance(desk.ledger, Ledger)


def test_a_market_order_that_comes_while_a_bar_is_open_trades_at_its_close() -> None:
    """Live, a person flattens at half a minute: the bar's open is past, and the next one's is a bar away from being known."""
    desk = PaperDesk("bars", latency_ms=80)
    desk.now += 30_000_000
    order, limit = desk.send("BUY", "MARKET", 1), desk.send("BUY", "LIMIT", 1, 95)
    desk.now += 29_950_000
    late = desk.send("BUY", "MARKET", 1)
    desk.now -= 59_950_000
    desk.bar(100, 110, 90, 105)
    (fill,) = desk.fills(order)
    assert (fill.price, fill.executed_ts, fill.liquidity) == (105, desk.now, "TAKER")
    assert desk.about(limit) == desk.about(late) == ["ACCEPTED"]
    desk.bar(106, 107, 90, 100)
    assert [desk.fills(o)[0].price for o in (limit, late)] == [95, 106]
