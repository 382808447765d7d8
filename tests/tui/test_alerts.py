"""Alerts: shown until somebody has seen them, who and when is kept and shown; what lasts is said as long as it lasts."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

import msgspec

from engine.core import events as ev
from engine.history import Acknowledgement, MemoryHistory
from engine.reading import ReadFailed
from tests.tui.cockpit_pilot import Cockpit, cockpit
from tests.tui.fake_engine import MONO, FakeEngine
from tests.tui.fake_story import NOW, cause, recorded

EVIL = "\x1b]0;owned\x07\x1b[31m[bold]\u202eK" + "x" * 10_000


def alerting(*texts: str, **changes: object) -> FakeEngine:
    engine = FakeEngine.busy(seq=40 + len(texts), **changes)
    for n, text in enumerate(texts, start=41):
        event = ev.AlertTriggered(
            ts=NOW - 4_000_000, cause=cause(), code="STOP_NOT_PLACED", text=text, symbol="BTC/USDT"
        )
        engine.log.append(recorded(n, event))
    return engine


async def read(c: Cockpit) -> None:
    c.clock.now += 1.1
    if c.engine.snap is not None:
        c.engine.change(beat_mono=c.clock.now, last_input_mono=c.clock.now)
    await c.settle()


class Broken(MemoryHistory):
    def acknowledge(self, key: str, text: str, actor: str) -> Future[Acknowledgement]:
        failed: Future[Acknowledgement] = Future()
        failed.set_exception(ReadFailed("the database cannot be reached"))
        return failed

    def acknowledged(self, limit: int = 500) -> Future[Sequence[Acknowledgement]]:
        failed: Future[Sequence[Acknowledgement]] = Future()
        failed.set_exception(ReadFailed("the database cannot be reached"))
        return failed


async def test_alerts_wait_in_the_banner_and_go_one_by_one() -> None:
    async with cockpit(alerting("first", "second"), actor="cockpit:ada") as c:
        await read(c)
        assert "CRIT ALERT 4s: STOP_NOT_PLACED BTC/USDT second" in c.rows()[1] and "(+1 more)" in c.rows()[1]
        await c.press("a")
        assert "ALERT 4s: STOP_NOT_PLACED BTC/USDT first" in c.rows()[1]
        await c.press("a")
        assert "SIMULATED" in c.rows()[1]
        await c.press("a")
        assert "nothing waits to be acknowledged" in c.text()
        kept = c.engine.history.acknowledged().result()
        assert [one.actor for one in kept] == ["cockpit:ada"] * 2 and "first" in kept[0].text


async def test_what_lasts_is_said_as_long_as_it_lasts() -> None:
    engine = alerting(state="HALTED", state_actor="bob", state_reason="drill", banner="")
    async with cockpit(engine, size=(200, 60), actor="cockpit:ada") as c:
        assert "✖ CRIT HALTED by bob" in c.rows()[1] and "a: seen" in c.rows()[1]
        await c.press("a")
        assert "HALTED by bob" in c.rows()[1] and "seen by cockpit:ada" in c.rows()[1] and "✖" not in c.rows()[1]
        engine.change(database_down_mono=MONO)
        await c.settle()
        assert "✖ CRIT DB DOWN" in c.rows()[1]  # what nobody has seen comes first
        engine.change(database_down_mono=None, state_since=NOW - 1)
        await c.settle()
        assert "✖ CRIT HALTED by bob" in c.rows()[1]  # another stop is another alert


async def test_who_and_when_is_shown_with_the_event_and_in_the_list() -> None:
    async with cockpit(alerting("look"), size=(200, 60), actor="cockpit:ada") as c:
        await read(c)
        await c.press("L")
        assert "open" in c.text() and "STOP_NOT_PLACED BTC/USDT look" in c.text()
        await c.press("escape", "a", "3", "enter")
        assert "acknowledged" in c.text() and "cockpit:ada at 20" in c.text()
        await c.press("escape", "L")
        assert "cockpit:ada 20" in c.text()


async def test_what_was_acknowledged_in_an_earlier_run_does_not_come_back() -> None:
    engine = alerting("old", "new")
    key = f"event {engine.log[40].id}"
    assert isinstance(engine.history, MemoryHistory)
    engine.history.acknowledge(key, "old", "cockpit:bob")
    async with cockpit(engine) as c:
        await read(c)
        await read(c)
        assert "new" in c.rows()[1] and "more" not in c.rows()[1]
        assert c.app.alerts.by(engine.log[40]).startswith("cockpit:bob at ")


async def test_an_alert_about_the_database_can_be_acknowledged_without_it() -> None:
    engine = alerting(database_down_mono=MONO, banner="")
    engine.history = Broken(lambda: engine.log)
    async with cockpit(engine, size=(200, 60)) as c:
        await c.press("a")
        await c.pilot.pause(0.1)
        await c.settle()
        assert "NOT in the audit trail: the database" in c.text()
        assert "seen by cockpit" in c.rows()[1]


async def test_a_read_only_cockpit_acknowledges_nothing() -> None:
    async with cockpit(alerting("look"), read_only=True) as c:
        await read(c)
        await c.press("a")
        assert "read-only" in c.text() and "look" in c.rows()[1]


async def test_hostile_alerts_reach_no_cell() -> None:
    engine = alerting(EVIL, state="HALTED", state_actor=EVIL, state_reason=EVIL)
    engine.log[-1] = recorded(41, msgspec.structs.replace(engine.log[-1].event, code=EVIL, symbol=EVIL))
    async with cockpit(engine, size=(200, 60), actor=EVIL) as c:
        await read(c)
        for keys in (("a",), ("a",), ("L",), ("escape", "3", "enter")):
            await c.press(*keys)
            raw = c.app.screen._compositor.render_full_update().render_segments(c.app.console)
            assert not set(raw) & set("\x07\u202e"), keys
            assert "\x1b]" not in raw and "\x1b[31m" not in raw, keys
