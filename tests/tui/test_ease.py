"""What makes the cockpit easy: a welcome, a palette that knows what is possible, a mode that only looks, alerts seen anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.core.types import Verb
from tests.tui.cockpit_pilot import Cockpit, cockpit
from tests.tui.fake_engine import FakeEngine, snapshot
from tests.tui.test_alerts import alerting, read
from tui.actions import ACTIONS, find
from tui.possible import why_not
from tui.screens.kill import KillDialog, NoKillDialog
from tui.screens.palette import Palette
from tui.screens.plain import HelpDialog
from tui.screens.welcome import WelcomeDialog

# -- the first run -------------------------------------------------------------------------------------------------------


async def test_a_newcomer_is_told_once_what_is_running_and_what_to_press(tmp_path: Path) -> None:
    marker = tmp_path / "data" / "welcomed"
    async with cockpit(size=(80, 24), welcomed=marker) as c:
        for words in (
            "What is running",
            "no real order, no real money",
            "trend, RUNNING",
            "F9",
            "Ctrl+Q Ask, then stop",
        ):
            assert words in c.text(), words
        assert not marker.exists()
        await c.press("enter")
        assert len(c.app.screen_stack) == 1 and marker.exists()
    async with cockpit(size=(80, 24), welcomed=marker) as c:
        assert len(c.app.screen_stack) == 1
        await c.press("question_mark")
        assert "What is running" in c.text() and "no real order" in c.text()


async def test_it_waits_for_the_engine_and_no_key_is_lost_to_it(tmp_path: Path) -> None:
    async with cockpit(FakeEngine(), welcomed=tmp_path / "welcomed") as c:
        assert len(c.app.screen_stack) == 1
        c.engine.snap = snapshot()
        await c.settle()
        assert isinstance(c.app.screen, WelcomeDialog)
        await c.press("3")
        assert c.app.current_mode == "events" and len(c.app.screen_stack) == 1
    async with cockpit(welcomed=tmp_path / "again") as c:
        await c.press("f9")
        assert c.engine.verbs == [Verb.HOLD] and isinstance(c.app.screen, KillDialog)
    async with cockpit(welcomed=tmp_path / "help") as c:
        await c.press("question_mark")
        assert isinstance(c.app.screen, HelpDialog)


async def test_a_folder_that_takes_no_file_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with cockpit(welcomed=tmp_path / "file" / "welcomed") as c:
        await c.press("enter")
        assert len(c.app.screen_stack) == 1


async def test_live_money_is_called_real(tmp_path: Path) -> None:
    async with cockpit(FakeEngine.busy(mode="LIVE"), welcomed=tmp_path / "welcomed") as c:
        assert "REAL orders with REAL money" in c.text()


# -- the palette -----------------------------------------------------------------------------------------------------------


def not_now(c: Cockpit, name: str) -> str:
    return why_not(c.app, find(name), c.app.screen.focused)


async def test_what_is_possible_follows_state_and_selection() -> None:
    async with cockpit() as c:
        assert not_now(c, "resume") == "trading is ACTIVE"
        assert not_now(c, "screen.dashboard") == "this is that screen" and not_now(c, "screen.events") == ""
        assert not_now(c, "close_position") == "" and not_now(c, "cancel_order") == "no order is selected"
        assert not_now(c, "acknowledge") == not_now(c, "acknowledge.anywhere") == "nothing waits to be acknowledged"
        assert not_now(c, "replay_toggle") == not_now(c, "export") == ""
        await c.press("tab")
        assert not_now(c, "cancel_order") == "" and not_now(c, "close_position") == "no position is selected"
        c.engine.change(state="HALTED", state_actor="ada", replay=None, positions=(), orders=())
        await c.settle()
        assert not_now(c, "resume") == not_now(c, "acknowledge") == ""
        assert not_now(c, "replay_toggle") == "this feed is live"
        assert not_now(c, "cancel_order") == "no order is selected" and not_now(c, "export") == "there is no row"
    async with cockpit(FakeEngine()) as c:
        assert not_now(c, "resume") == "the engine is starting" and not_now(c, "kill") == not_now(c, "quit") == ""


async def test_a_cockpit_that_only_looks_offers_no_command() -> None:
    async with cockpit(FakeEngine.busy(state="HALTED", state_actor="ada"), read_only=True) as c:
        for action in ACTIONS:
            if action.danger and action.name not in ("kill", "quit"):
                assert not_now(c, action.name) == "read-only (--view)", action.name
        assert not_now(c, "replay_faster") == "read-only (--view)" and not_now(c, "kill") == ""


async def test_the_palette_shows_what_is_not_possible_last_in_grey_with_why() -> None:
    async with cockpit(size=(120, 60)) as c:
        await c.press("colon", *"re-arm")
        await c.pilot.pause(0.3)
        await c.settle()
        assert "re-arm (Ctrl+R)" in c.text() and "not now: trading is ACTIVE" in c.text()
        await c.press("down", "enter")
        await c.pilot.pause(0.1)
        await c.settle()
        assert c.engine.submitted == [] and "re-arm: trading is ACTIVE" in c.text()
        await c.press("colon", *"dash")
        await c.pilot.pause(0.3)
        await c.settle()
        rows = [row for row in c.rows() if "not now:" in row]
        assert rows and "this is that screen" in rows[0]


# -- only looking ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (40, 10)])
async def test_the_kill_key_says_what_to_do_instead(size: tuple[int, int]) -> None:
    async with cockpit(size=size, read_only=True) as c:
        assert " VIEW " in c.rows()[0]
        assert "KILL" not in c.text() and "quantsail halt" in c.text()
        await c.press("f9", "f9", "K")
        c.app.panic_key("f9")
        assert c.engine.submitted == []
        assert isinstance(c.app.screen, NoKillDialog) and len(c.app.screen_stack) == 2
        if size[1] >= 20:
            assert "nothing was stopped" in c.text() and "quantsail halt --ledger sim" in c.text()
        await c.press("escape")
        assert len(c.app.screen_stack) == 1


# -- alerts seen anywhere ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "way",
    [("1",), ("2",), ("3",), ("4",), ("5",), ("6",), ("enter",), ("question_mark",), ("L",), ("ctrl+q",), ("f9",)],
)
async def test_an_alert_is_shown_and_acknowledged_on_every_screen_and_in_every_dialog(way: tuple[str, ...]) -> None:
    async with cockpit(alerting("look"), actor="cockpit:ada") as c:
        await read(c)
        await c.press(*way)
        assert "CRIT ALERT" in c.rows()[1] and "look" in c.rows()[1]
        depth = len(c.app.screen_stack)
        await c.press("a")
        assert [one.actor for one in c.engine.history.acknowledged().result()] == ["cockpit:ada"]
        assert "CRIT" not in c.rows()[1] and len(c.app.screen_stack) == depth


async def test_inside_inputs_and_the_palette_f8_does_it_and_a_is_a_letter() -> None:
    async with cockpit(alerting("first", "second", "third"), actor="cockpit:ada") as c:
        await read(c)
        await c.press("slash", "a", "f8")
        assert c.app.focused.value == "a" and len(c.engine.history.acknowledged().result()) == 1  # type: ignore[union-attr]
        await c.press("escape", "colon", "a", "f8")
        assert isinstance(c.app.screen, Palette) and len(c.engine.history.acknowledged().result()) == 2
        assert "first" in c.rows()[1]
        await c.press("escape", "escape")
        c.engine.change(state="PAUSED", state_actor="ada")
        await c.press("ctrl+r", "a", "f8")
        assert "Type RESUME" in c.text() and len(c.engine.history.acknowledged().result()) == 3


# -- without room --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(79, 24), (80, 19), (40, 10), (20, 6)])
async def test_without_room_mode_state_and_the_kill_key_are_there(size: tuple[int, int]) -> None:
    engine = FakeEngine.busy(state="HALTED", state_actor="ada", banner="")
    async with cockpit(engine, size=size) as c:
        assert "SIM HALTED" in c.text() and "F9 KILL" in c.text() and "need 80x20" in c.text()
        assert all(len(row) <= size[0] for row in c.rows())
        await c.press("f9")
        assert c.engine.verbs == [Verb.HOLD]
        await c.press("enter")
        assert c.engine.verbs[-1] is Verb.HALT
