"""Gates over time: what they said about orders, what stands, a cursor, a scope, hostile text."""

from __future__ import annotations

import pytest

from engine.core import events as ev
from engine.core.types import MINUTE_US, Side, Verdict
from tests.tui.cockpit_pilot import SIZES, cockpit
from tests.tui.fake_engine import FakeEngine
from tests.tui.fake_story import NOW, cause, recorded
from tui.gatetimes import slices, times_of
from tui.screens.gates import GatesScreen
from tui.widgets.gate_times import EMPTY_TEXT, GateTimes

EVIL = "\x1b]0;owned\x07\u202e[red]x"


def looked_at(minute: int, verdict: Verdict, bot: str = "b1", symbol: str = "BTC/USDT") -> ev.IntentEvaluated:
    return ev.IntentEvaluated(
        ts=NOW + minute * MINUTE_US, cause=cause(), order_id=f"o{minute}", signal_id="s", bot_id=bot, exchange="x", symbol=symbol,
        side=Side.BUY, verdict=verdict,
        gates=(ev.GateResult("SPREAD", "", verdict, "10", "12", "-2"), ev.GateResult("MAX_ORDER_VALUE", "", Verdict.ALLOWED, "", "", "")),
    )  # fmt: skip


def changed(minute: int, verdict: Verdict, scope: str = "account") -> ev.GateChanged:
    return ev.GateChanged(
        ts=NOW + minute * MINUTE_US, cause=cause(), gate="DAILY_LOSS_LOCK", scope=scope, verdict=verdict,
        previous=Verdict.ALLOWED, limit="3", actual="2.6",
    )  # fmt: skip


def test_what_blocked_comes_first_and_a_scope_hears_its_own_words() -> None:
    told = [looked_at(0, Verdict.ALLOWED), looked_at(1, Verdict.BLOCKED, bot="b2"), changed(2, Verdict.WARNED), changed(3, Verdict.BLOCKED, "b1")]  # fmt: skip
    assert list(times_of(told, "")) == ["SPREAD", "DAILY_LOSS_LOCK", "MAX_ORDER_VALUE"]
    assert [said.verdict for said in times_of(told, "b1")["SPREAD"]] == [Verdict.ALLOWED]
    assert [said.verdict for said in times_of(told, "b1")["DAILY_LOSS_LOCK"]] == [Verdict.BLOCKED]


def test_a_slice_has_its_worst_word_and_what_stands_is_carried_on() -> None:
    told = times_of([looked_at(0, Verdict.BLOCKED), looked_at(0, Verdict.ALLOWED), looked_at(2, Verdict.ALLOWED)], "")
    edges = [NOW + n * MINUTE_US for n in range(5)]
    found = slices(told["SPREAD"], edges)
    assert [one.said and one.said.verdict for one in found] == [Verdict.BLOCKED, None, Verdict.ALLOWED, None]
    assert [one.looks for one in found] == [2, 0, 1, 0]
    standing = slices(times_of([changed(1, Verdict.WARNED), changed(3, Verdict.ALLOWED)], "")["DAILY_LOSS_LOCK"], edges)
    verdicts = [one.said and one.said.verdict for one in standing]
    assert verdicts == [None, Verdict.WARNED, Verdict.WARNED, Verdict.WARNED]
    assert [one.carried for one in standing] == [False, False, True, True]


@pytest.mark.parametrize("size", SIZES)
async def test_the_timeline_says_what_stopped_an_order(size: tuple[int, int]) -> None:
    async with cockpit(FakeEngine.busy(), size=size) as c:
        await c.press("5", "v", "v", "v")
        screen = c.app.screen
        assert isinstance(screen, GatesScreen) and isinstance(screen.focused, GateTimes)
        assert "gross exposure" in c.text() and "▲▲▲" in c.text()
        await c.press("h")
        assert "WARN daily loss" in c.text()
        await c.press("plus", "comma", "escape")
        assert "stands" in c.text()


async def test_without_a_word_of_a_gate_it_says_when_there_will_be_one() -> None:
    engine = FakeEngine.busy()
    engine.log = []
    async with cockpit(engine, size=(80, 24)) as c:
        await c.press("5", "v", "v", "v")
        assert EMPTY_TEXT.split(":")[0] in " ".join(c.text().split())


async def test_hostile_symbols_stay_words() -> None:
    engine = FakeEngine.busy()
    async with cockpit(engine, size=(120, 40)) as c:
        await c.press("5")
        times = c.app.screen.query_one(GateTimes)
        times.add([recorded(90_000, looked_at(30, Verdict.BLOCKED, symbol=EVIL))])
        await c.press("v", "v", "v", "h")
        assert "BLOCK spread" in c.text() and not any(char in c.text() for char in "\x1b\x07\u202e")
