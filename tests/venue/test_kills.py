"""A venue that is killed between any two inputs and rebuilt goes on as if it had never stopped."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings, strategies as st

from tests.venue.desk import MODES, PERP, PaperDesk
from tests.venue.test_fill_model import act, barred, booked, cancelled, quoted, sent, traded

Step = Callable[[PaperDesk], object]


def bars(desk: PaperDesk) -> list[Step]:
    return [
        lambda d: d.send("BUY", "MARKET", 3),
        lambda d: d.stand(100),
        lambda d: d.send("SELL", "STOP_MARKET", 3, stop=92, closes=True, group="g"),
        lambda d: d.send("SELL", "LIMIT", 3, 112, closes=True, group="g"),
        lambda d: d.send("BUY", "TRAILING_STOP", 2, callback_rate=4),
        lambda d: d.send("BUY", "STOP_LIMIT", 2, 103, stop=102),
        lambda d: d.bar(100, 101, 95, 96),
        lambda d: d.bar(96, 106, 96, 105),
        lambda d: d.send("BUY", "LIMIT", 4, 97),
        lambda d: d.bar(105, 107, 104, 104),
        lambda d: d.bar(104, 104, 96, 103, volume=100),
        lambda d: d.cancel(d.send("BUY", "LIMIT", 1, 60)),
        lambda d: d.bar(103, 113, 103, 110),
        lambda d: d.bar(110, 110, 80, 85),
    ]


def ticks(desk: PaperDesk) -> list[Step]:
    return [
        lambda d: d.quote(99.5, 100.5, 20, 4),
        lambda d: d.send("BUY", "MARKET", 3),
        lambda d: d.quote(99.5, 100.5, 20, 4),
        lambda d: d.send("BUY", "LIMIT", 5, 99.5),
        lambda d: d.send("BUY", "MARKET", 2),
        lambda d: d.quote(99.5, 100.5, 20, 4),
        lambda d: d.trade(99.5, 12, "SELL"),
        lambda d: d.send("SELL", "STOP_MARKET", 3, stop=92, closes=True, group="g"),
        lambda d: d.send("SELL", "LIMIT", 3, 112, closes=True, group="g"),
        lambda d: d.send("BUY", "TRAILING_STOP", 2, callback_rate=4),
        lambda d: d.trade(99.5, 10, "SELL"),
        lambda d: d.quote(99, 99.5, 9, 2),
        lambda d: d.send("BUY", "LIMIT", 6, 95),
        lambda d: d.book([(98.5, 3), (95, 30)], [(99, 3), (101, 4)]),
        lambda d: d.trade(94.5, 3, "SELL"),
        lambda d: d.cancel(max(d.ledger.orders.values(), key=lambda o: o.number)),
        lambda d: d.quote(95, 96, 2, 2, ms=40),
        lambda d: d.mark(94),
        lambda d: d.trade(98.5, 1, "BUY"),
        lambda d: d.quote(112, 113, 1, 1),
        lambda d: d.quote(114, 115, 5, 5),
    ]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("costs", [{}, {"latency_ms": 80, "jitter_ms": 40}, {"participation_pct": 3}], ids=str)
def test_killed_between_any_two_steps(mode: str, costs: dict[str, int]) -> None:
    def story(kill_at: int) -> list[object]:
        desk = PaperDesk(mode, PERP, **costs)
        for at, step in enumerate((bars if mode == "bars" else ticks)(desk)):
            if at == kill_at:
                desk.restart(again=True)
            step(desk)
        return list(desk.said)

    whole = story(-1)
    assert sum(hasattr(r, "trade_id") for r in whole) >= 4
    for kill_at in range(1, 22):
        assert story(kill_at) == whole, f"killed before step {kill_at}"


def _told(ops: list[tuple[object, ...]], mode: str, kill_at: int) -> list[object]:
    desk = PaperDesk(mode, PERP)
    for at, op in enumerate(ops):
        if at == kill_at:
            desk.restart(again=True)
        act(desk, op)
    return list(desk.said)


@given(st.lists(st.one_of(sent, cancelled, barred), max_size=30), st.integers(0, 30))
@settings(max_examples=150, deadline=None)
def test_killed_anywhere_in_any_story_of_bars(ops: list[tuple[object, ...]], kill_at: int) -> None:
    assert _told(ops, "bars", kill_at) == _told(ops, "bars", -1)


@given(st.lists(st.one_of(sent, cancelled, traded, quoted, booked), max_size=30), st.integers(0, 30))
@settings(max_examples=150, deadline=None)
def test_killed_anywhere_in_any_story_of_ticks(ops: list[tuple[object, ...]], kill_at: int) -> None:
    assert _told(ops, "L2", kill_at) == _told(ops, "L2", -1)
