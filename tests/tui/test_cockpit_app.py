"""The cockpit with Textual's Pilot: what is on the screen at every size, and what can never get onto it."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.core.types import Verb
from tests.tui.cockpit_pilot import SIZES, cockpit, shown
from tests.tui.fake_engine import FakeClock, FakeEngine, order, position, snapshot
from tests.tui.fake_story import recorded, story
from tui.actions import actions_of
from tui.app import CockpitApp
from tui.pacing import RESTS_AFTER_S
from tui.screens.dashboard import DashboardScreen
from tui.screens.dialog import DetailDialog
from tui.screens.kill import KillDialog
from tui.screens.plain import HelpDialog
from tui.screens.starting import StartingScreen
from tui.widgets.event_table import EventsPanel
from tui.widgets.panel import Panel
from tui.widgets.virtual_table import VirtualTable

# -- the screen ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
async def test_the_dashboard_at_every_size(size: tuple[int, int]) -> None:
    async with cockpit(size=size) as c:
        rows, text = c.rows(), c.text()
        for word in ("SIM", "ACTIVE", "eq 10,214.33", "▲+2.14%", "dd -0.8%", "feed ok"):
            assert word in rows[0]
        assert "SIMULATED market" in rows[1]
        for word in (
            "positions (3)",
            "96,811.20",
            "▼-0.67%",
            "equity 10,214.33 USDT",
            "ACTIVE -> PAUSED by ada",
            "PLAYING",
        ):
            assert word in text
        assert ("risk gates (1 block, 1 warn)" in text) == (size[0] >= 120)
        assert ("orders (3 open, 128 in all)" in text) == (size[0] >= 120)
        assert ("drawdown %" in text) == (size[0] >= 200)
        assert rows[-1].startswith(" F9 KILL")
        if size[0] == 200:
            assert "14:03:22Z" in rows[0] and "99,004.12" in text


async def test_the_small_dashboard_shows_orders_on_request() -> None:
    async with cockpit(size=(80, 24)) as c:
        await c.press("o")
        assert "orders (3 open" in c.text() and "equity 10" not in c.text()
        await c.press("o")
        assert "equity 10" in c.text()


@pytest.mark.parametrize("size", [(60, 24), (100, 15), (30, 8)])
async def test_a_screen_without_room_still_shows_mode_state_and_kill(size: tuple[int, int]) -> None:
    async with cockpit(FakeEngine.busy(state="HALTED", state_actor="ada"), size=size) as c:
        text = c.text()
        assert "SIM HALTED" in text and "F9 KILL" in text and "need 80x20" in text
        assert "positions" not in text
        await c.press("f9")
        assert c.engine.verbs == [Verb.HOLD]
        assert "KILL" in c.text()


async def test_without_an_engine_the_screen_says_what_is_going_on() -> None:
    async with cockpit(FakeEngine()) as c:
        assert "The engine is starting: opening the journal" in c.text()
        c.engine.doing = "warming the indicators"
        await c.settle()
        assert "warming the indicators" in c.text()
        c.engine.snap = snapshot()
        await c.settle()
        assert "positions (3)" in c.text() and "starting" not in c.text()


async def test_empty_panels_say_what_to_do() -> None:
    empty = FakeEngine(snapshot(positions=(), orders=(), gates=(), bots=(), replay=None, banner=""))
    empty.lines = []
    async with cockpit(empty) as c:
        for words in ("No open position.", "No order yet.", "No gate yet.", "No event yet.", "No equity yet"):
            assert words in c.text()
        await c.press("6")
        assert "quantsail config new FILE" in c.text()


async def test_a_live_feed_has_no_replay_line_and_its_keys_say_so() -> None:
    async with cockpit(FakeEngine.busy(replay=None, banner="", mode="PAPER")) as c:
        assert "PLAYING" not in c.text()
        await c.press("space")
        assert c.engine.replayed == []
        assert "this feed is live" in c.text()


async def test_replay_keys() -> None:
    async with cockpit() as c:
        await c.press("space", "greater_than_sign", "greater_than_sign", "less_than_sign")
        assert c.engine.replayed == [("pause", None), ("speed", 120.0), ("speed", 240.0), ("speed", 120.0)]
        replay = c.engine.snap.replay if c.engine.snap else None
        assert replay is not None
        c.engine.change(replay=msgspec.structs.replace(replay, state="paused"))
        await c.press("space")
        assert c.engine.replayed[-1] == ("resume", None)


async def test_screens_by_number() -> None:
    async with cockpit() as c:
        for key, words in (
            ("3", "gross exposure 63.2"),
            ("5", "why is it not trading?"),
            ("6", "config versions"),
            ("1", "equity"),
        ):
            await c.press(key)
            assert words in c.text()
            assert "SIM" in c.rows()[0]


async def test_an_engine_error_is_a_banner_on_every_screen() -> None:
    async with cockpit(size=(80, 24)) as c:
        c.engine.change(error="journal refused: expected seq 41, have 42")
        for key in ("1", "3", "5", "6"):
            await c.press(key)
            row = c.rows()[1]  # 80 columns are few: the reason gives way to what to do; `v` of screen 5 has it whole
            assert "CRIT ENGINE STOPPED journal refused: expected" in row
            assert "- Ctrl+Q, restart  a: seen" in row
        await c.press("5", "v")
        assert "seq 41, have 42" in c.text()


async def test_a_silent_engine_is_stuck() -> None:
    async with cockpit() as c:
        c.clock.now += 4.5
        await c.settle()
        assert "STUCK 4s" in c.rows()[0]
        assert "ENGINE STUCK 4s - last known ACTIVE" in c.rows()[1]


async def test_a_screen_error_is_a_banner_and_a_log_and_not_the_end(tmp_path: Path) -> None:
    engine = FakeEngine.busy()
    log = tmp_path / "crash.log"
    app = CockpitApp(engine, crash_log=log, clock=FakeClock())
    async with app.run_test(size=(120, 40)) as pilot:
        engine.curve = [object()]  # type: ignore[list-item]
        engine.change(seq=41)
        app._curve_mono = float("-inf")
        app.tick()
        await pilot.pause()
        app.tick()
        assert "SCREEN ERROR AttributeError" in shown(app)[1]
        await pilot.press("f9")
        assert engine.verbs == [Verb.HOLD]
    assert "AttributeError" in log.read_text()


async def test_hostile_text_reaches_no_cell() -> None:
    evil = "\x1b]0;owned\x07\x1b[31m[bold red]K\u202e\u200b漢字漢字"
    engine = FakeEngine.busy(
        positions=(position(evil),), orders=(order(1, evil, reason=evil),), feed_status=f"down since {evil}", state_reason=evil,
        state="HALTED", state_actor=evil,
    )  # fmt: skip
    engine.lines = [msgspec.structs.replace(engine.lines[0], note=evil, actor=evil, diff=(evil,), problem=evil)]
    for one in story(8):
        event = one.event
        if "symbol" in event.__struct_fields__:
            engine.log.append(recorded(40 + one.seq, msgspec.structs.replace(event, symbol=evil)))
    engine.change(seq=50)
    async with cockpit(engine, size=(200, 60)) as c:
        for keys in (("1",), ("enter",), ("escape", "3"), ("enter",), ("escape", "6"), ("enter",), ("escape", "f9")):
            await c.press(*keys)
            width, _ = c.app.size
            raw = c.app.screen._compositor.render_full_update().render_segments(c.app.console)
            assert not set(raw) & set("\x07\u202e\u200b\x9b"), keys
            assert "\x1b]" not in raw and "\x1b[31m" not in raw
            assert all(len(row) <= width for row in c.rows())
        assert "[bold red]" in c.text()  # markup is shown, not obeyed


async def test_an_unchanged_picture_paints_nothing() -> None:
    async with cockpit() as c:
        painted: list[object] = []
        original = c.app._display

        def display(screen: Any, update: Any) -> None:
            painted.append(update)
            original(screen, update)

        c.app._display = display  # type: ignore[method-assign,assignment]
        for _ in range(5):
            c.engine.change()  # a new number, the same content
            await c.settle()
        await c.pilot.pause(0.6)
        assert [update for update in painted if update is not None] == []
        c.engine.change(equity=D("10214.34"))
        await c.settle()
        assert painted


# -- panels ----------------------------------------------------------------------------------------------------------


async def test_events_follow_until_the_cursor_leaves_the_end() -> None:
    async with cockpit() as c:
        await c.press("3")
        panel = c.app.screen.query_one(EventsPanel)
        assert panel.cursor_key == "40"
        c.engine.log += [recorded(41, story(8)[4].event)]
        c.engine.change(seq=41)
        c.clock.now += 1.1
        await c.settle()
        assert panel.cursor_key == "41"
        await c.press("k", "k")
        c.engine.log += [recorded(42, story(8)[4].event)]
        c.engine.change(seq=42)
        c.clock.now += 1.1
        await c.settle()
        assert panel.cursor_key == "39" and "G follows" in c.text()
        await c.press("G")
        assert panel.cursor_key == "42" and "G follows" not in c.text()


async def test_enter_shows_everything_of_a_row_and_escape_leaves() -> None:
    async with cockpit() as c:
        await c.press("enter")
        assert isinstance(c.app.screen, DetailDialog)
        assert "take_profit_price" in c.text() and "99,004.12" in c.text()
        assert "ACTIVE" in c.rows()[0]
        await c.press("escape", "3", "enter")
        assert "02" * 32 in c.text().replace("\n", "")
        await c.press("escape")
        assert not isinstance(c.app.screen, DetailDialog)


async def test_tab_walks_the_panels_and_m_gives_one_the_whole_screen() -> None:
    async with cockpit() as c:
        await c.press("tab")
        assert c.app.focused is not None and c.app.focused.id == "orders"
        await c.press("M")
        assert "orders (3 open" in c.text() and "positions (3)" not in c.text()
        assert "ACTIVE" in c.rows()[0] and "F9 KILL" in c.rows()[-1]
        await c.press("M")
        assert "positions (3)" in c.text()


async def test_freezing_stops_the_panels_not_the_first_line() -> None:
    async with cockpit() as c:
        await c.press("p")
        c.clock.now += 2
        c.engine.change(positions=(), state="HALTED", state_actor="ada")
        await c.settle()
        assert "HALTED" in c.rows()[0] and "positions (3)" in c.text()
        await c.press("p")
        assert "positions (0)" in c.text()


async def test_frozen_is_said() -> None:
    async with cockpit(FakeEngine.busy(banner="")) as c:
        await c.press("p")
        c.clock.now += 2
        await c.settle()
        assert "SCREEN FROZEN 00:02" in c.rows()[1]


async def test_help_is_the_registry() -> None:
    async with cockpit(size=(120, 90)) as c:
        await c.press("question_mark")
        assert isinstance(c.app.screen, HelpDialog)
        assert "F9 Ctrl+K K" in c.text()
        assert "Ask, then stop safely" in c.text()


def test_the_registry_knows_every_key_of_the_table() -> None:
    registry = {key for action in actions_of("table") for key in action.keys}
    tables = [*VirtualTable.BINDINGS, *Panel.BINDINGS]
    bound = {key for binding in tables for key in binding.key.split(",")}  # type: ignore[union-attr]
    assert registry == bound


@pytest.mark.parametrize("theme", ["quantsail-light", "quantsail-high-contrast", "quantsail-mono", "quantsail-classic"])
async def test_every_theme_keeps_every_word(theme: str) -> None:
    async with cockpit() as c:
        before = c.rows()
        c.app.theme = theme
        await c.settle()
        assert c.rows() == before


async def test_no_color_keeps_every_word(monkeypatch: pytest.MonkeyPatch) -> None:
    async with cockpit() as coloured:
        before = coloured.rows()
    monkeypatch.setenv("NO_COLOR", "1")
    async with cockpit() as c:
        assert c.rows() == before


async def test_ages_of_positions_are_of_the_ledgers_time() -> None:
    async with cockpit(size=(200, 60)) as c:
        row = next(row for row in c.rows() if "BTC/USDT" in row and "96,120.50" in row)
        assert " 2h " in row


async def test_a_dialog_over_the_first_picture_is_answered_before_the_panels_come() -> None:
    class EarlyKill(CockpitApp):
        def on_ready(self) -> None:
            self.action_kill()

    engine = FakeEngine()
    app = EarlyKill(engine, crash_log=None, clock=FakeClock())
    async with app.run_test(size=(80, 24)) as pilot:
        for _ in range(3):
            app.tick()
            await pilot.pause()
        assert isinstance(app.screen, KillDialog) and isinstance(app.screen_stack[0], StartingScreen)
        await pilot.press("escape")
        assert engine.verbs == [Verb.HOLD, Verb.RELEASE]
        app.tick()
        await pilot.pause()
        assert isinstance(app.screen, DashboardScreen) and app.problem == ""


async def test_looks_are_rarer_while_nothing_happens_and_no_dialog_counts() -> None:
    async with cockpit(FakeEngine.busy()) as c:
        assert not c.app.pace.resting
        c.clock.now += RESTS_AFTER_S + 0.1
        await c.settle()
        assert c.app.pace.resting
        await c.press("f9")
        assert not c.app.pace.resting
        c.clock.now += RESTS_AFTER_S + 0.1
        await c.settle()
        assert not c.app.pace.resting
        await c.press("escape")
        c.clock.now += RESTS_AFTER_S + 0.1
        await c.settle()
        assert c.app.pace.resting
        c.engine.change(state="PAUSED")
        await c.settle()
        assert not c.app.pace.resting


async def test_a_dialog_that_is_left_before_it_is_made_leaves_the_screen_alone() -> None:
    async with cockpit(size=(80, 24)) as c:
        for turns in (0, 1, 2, 5):
            c.app.action_kill()
            for _ in range(turns):
                await asyncio.sleep(0)
            c.app.screen.action_leave()
            await c.settle()
            assert isinstance(c.app.screen, DashboardScreen)
        assert c.engine.verbs == [Verb.HOLD, Verb.RELEASE] * 4


async def test_an_answer_that_cannot_be_shown_keeps_no_other_back() -> None:
    async with cockpit(size=(80, 24)) as c:
        told: list[int] = []
        done: Future[int] = Future()
        done.set_result(1)

        def fail(_: Future[int]) -> None:
            raise LookupError("no widget")

        c.app.wait_for(done, fail)
        c.app.wait_for(done, lambda future: told.append(future.result()))
        await asyncio.sleep(0.2)
        assert told == [1] and "LookupError" in c.app.problem
        c.app.problem = ""
