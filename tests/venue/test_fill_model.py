"""What must hold of the fill model whatever happens: random orders on random markets, and floats at the border of a price."""

from __future__ import annotations

from decimal import Decimal
from math import inf, nextafter
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from engine.core.config import Costs
from engine.core.inputs import Book, Candle, Quote, Trade
from engine.core.types import Instrument, Side, money
from engine.venues.book import Depth, walk
from engine.venues.fill_model import delay_us
from tests.venue.desk import PERP, PaperDesk
from tests.venue.invariants import Watch

D = Decimal
prices = st.integers(180, 220).map(lambda n: n / 2)
sizes = st.integers(1, 40).map(float)
quantities = st.integers(1, 30)
sides = st.sampled_from(["BUY", "SELL"])
sent = st.tuples(
    st.just("send"),
    sides,
    st.sampled_from(["MARKET", "LIMIT", "STOP_MARKET", "STOP_LIMIT", "TRAILING_STOP"]),
    quantities,
    prices,
    prices,
    st.sampled_from(["GTC", "IOC", "FOK", "GTX"]),
    st.booleans(),
    st.sampled_from(["", "", "g"]),
)
cancelled = st.tuples(st.just("cancel"), st.integers(0, 30))
traded = st.tuples(st.just("trade"), prices, sizes, sides)
quoted = st.tuples(st.just("quote"), prices, st.integers(1, 4), sizes, sizes)
booked = st.tuples(
    st.just("book"), prices, st.lists(sizes, min_size=0, max_size=4), st.lists(sizes, min_size=0, max_size=4)
)
barred = st.tuples(st.just("bar"), prices, prices, prices, prices, sizes)


def act(desk: PaperDesk, op: tuple[Any, ...]) -> None:
    match op:
        case ("send", side, kind, quantity, price, stop, tif, closes, group):
            desk.send(
                side,
                kind,
                quantity,
                price if kind in ("LIMIT", "STOP_LIMIT") else None,
                stop=stop if kind in ("STOP_MARKET", "STOP_LIMIT") else None,
                tif=tif if kind == "LIMIT" or tif in ("IOC", "FOK") else "GTC",
                closes=closes,
                group=group,
                **({"callback_rate": 2} if kind == "TRAILING_STOP" else {}),
            )
        case ("cancel", at):
            still = sorted(desk.ledger.orders.values(), key=lambda o: o.number)
            if at < len(still) and not still[at].cancel_requested:
                desk.cancel(still[at])
        case ("trade", price, size, side):
            desk.trade(price, size, side)
        case ("quote", bid, spread, bid_size, ask_size):
            desk.quote(bid, bid + spread / 2, bid_size, ask_size)
        case ("book", bid, bids, asks):
            desk.book(
                [(bid - i / 2, size) for i, size in enumerate(bids)],
                [(bid + 0.5 + i / 2, size) for i, size in enumerate(asks)],
            )
        case ("bar", o, h, low, c, volume):
            desk.bar(o, max(o, h, low, c), min(o, h, low, c), c, volume)


@given(st.lists(st.one_of(sent, cancelled, traded, quoted, booked), max_size=60), st.sampled_from([0, 1500]))
@settings(max_examples=150, deadline=None)
def test_ticks(ops: list[tuple[Any, ...]], latency_ms: int) -> None:
    desk = PaperDesk("L2", PERP, latency_ms=latency_ms)
    watch = Watch(desk)
    for op in ops:
        act(desk, op)
        watch.check()


@given(st.lists(st.one_of(sent, cancelled, barred), max_size=50), st.sampled_from([None, 10, 100]))
@settings(max_examples=150, deadline=None)
def test_bars(ops: list[tuple[Any, ...]], cap: int | None) -> None:
    desk = PaperDesk("bars", PERP, participation_pct=cap)
    watch = Watch(desk)
    for op in ops:
        act(desk, op)
        watch.check()


@given(st.lists(st.one_of(sent, cancelled, traded, quoted, booked), max_size=40))
@settings(max_examples=60, deadline=None)
def test_the_same_seed_and_events_give_the_same_reports(ops: list[tuple[Any, ...]]) -> None:
    stories = []
    for _ in range(2):
        desk = PaperDesk("L2", PERP, latency_ms=300, jitter_ms=900)
        for op in ops:
            act(desk, op)
        stories.append(desk.said)
    assert stories[0] == stories[1]


@given(
    st.decimals(min_value=D("0.00000001"), max_value=D(10) ** 6, places=8).filter(lambda d: d > 0),
    st.integers(-4, 4),
    st.sampled_from(["stop", "limit"]),
    sides,
)
@settings(max_examples=400, deadline=None)
def test_floats_only_rule_out(price: Decimal, steps: int, kind: str, side: str) -> None:
    """A bar some units in the last place around an order's price fills it exactly when its decimal reaches the price."""
    far = 1e-9 if (side == "BUY") == (kind == "stop") else 1e9
    edge = float(price)
    for _ in range(abs(steps)):
        edge = nextafter(edge, inf if steps > 0 else -inf)
    desk = PaperDesk("bars", Instrument(exchange="test", symbol="X", base="X", quote="Q", min_notional=D(0)))
    if side == "SELL":
        desk.hold("LONG", 1)
    shape = {"stop": price} if kind == "stop" else {"price": price}
    order = desk.send(side, "STOP_MARKET" if kind == "stop" else "LIMIT", 1, closes=side == "SELL", **shape)
    desk.bar(far, far, far, far)
    assert desk.filled(order) == 0
    up = (side == "BUY") == (kind == "stop")
    desk.bar(far, edge if up else far, far if up else edge, far)
    reached = money(edge) >= price if up else money(edge) <= price
    assert desk.filled(order) == (1 if reached else 0)


@given(st.lists(sizes, min_size=1, max_size=6), st.integers(1, 300), st.one_of(st.none(), prices))
@settings(max_examples=200, deadline=None)
def test_a_walk_takes_what_is_there_and_no_more(displayed: list[float], quantity: int, limit: float | None) -> None:
    depth = Depth()
    depth.update((), tuple((100 + i / 2, size) for i, size in enumerate(displayed)))
    bound = None if limit is None else money(limit)
    plan = walk(depth.facing(Side.BUY), Side.BUY, D(quantity), bound, None)
    there = [money(s) for i, s in enumerate(displayed) if bound is None or 100 + D(i) / 2 <= bound]
    assert sum(q for _, q in plan) == min(D(quantity), sum(there, D(0)))
    assert [p for p, _ in plan] == sorted(p for p, _ in plan)
    assert all(q <= size for (_, q), size in zip(plan, there, strict=False))


def test_latency_is_drawn_per_order_and_command_and_nothing_else() -> None:
    costs = Costs(latency_ms=80, jitter_ms=50)
    drawn = {(order, n): delay_us(costs, 7, order, n) for order in ("a", "b", "c") for n in (0, 1)}
    assert all(80_000 <= d <= 130_000 for d in drawn.values()) and len(set(drawn.values())) == 6
    assert delay_us(costs, 7, "b", 1) == drawn["b", 1] != delay_us(costs, 8, "b", 1)
    assert delay_us(Costs(latency_ms=80), None, "a", 0) == 80_000


@pytest.mark.parametrize("kind", [Quote, Book, Trade, Candle])
def test_what_a_venue_does_not_listen_to_changes_nothing(kind: type) -> None:
    """With evidence "bars" ticks fill nothing, with "ticks" bars do not."""
    desk = PaperDesk("bars" if kind is not Candle else "L1")
    order = desk.send("BUY", "MARKET", 1)
    {
        Quote: lambda: desk.quote(99.5, 100.5),
        Book: lambda: desk.book([(99.5, 5)], [(100.5, 5)]),
        Trade: lambda: desk.trade(100, 5, "BUY"),
        Candle: lambda: desk.bar(100, 100, 100, 100),
    }[kind]()
    assert desk.about(order) == ["ACCEPTED"]
