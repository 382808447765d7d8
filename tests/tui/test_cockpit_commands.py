"""What keys ask of the engine: kill, re-arm, activate, quit; held at once, never twice, never without the word."""

from __future__ import annotations

import msgspec
import pytest
from textual.widgets import Input

from engine.client import ConfigLine, Outcome
from engine.core.types import Verb
from tests.tui.cockpit_pilot import SIZES, cockpit
from tests.tui.fake_engine import FakeEngine
from tui.app import RETURN_STOPPED, RETURN_TERMINAL_LOST
from tui.screens.configs import ConfigsScreen
from tui.screens.kill import KillDialog
from tui.screens.palette import Palette
from tui.screens.plain import QuitDialog
from tui.screens.typed import ActivateDialog, ResumeDialog
from tui.widgets.panels import ConfigsPanel

# -- kill ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["f9", "ctrl+k", "K"])
@pytest.mark.parametrize("size", SIZES)
async def test_kill_holds_at_once_and_says_what_will_happen(key: str, size: tuple[int, int]) -> None:
    async with cockpit(size=size) as c:
        await c.pilot.press(key)
        assert c.engine.verbs == [Verb.HOLD]
        await c.settle()
        text = c.text()
        for words in (
            "HELD",
            "cancel BUY 1.25 BNB/USDT ENTRY 612.40",
            "keep   SELL 0.021 BTC/USDT STOP",
            "15 s becomes PAUSE",
        ):
            assert words in text
        assert "Enter" in text and "Esc" in text
        assert "ACTIVE" in c.rows()[0]


@pytest.mark.parametrize(
    ("answer", "verb"),
    [
        ("enter", Verb.HALT),
        ("f9", Verb.HALT),
        ("ctrl+k", Verb.HALT),
        ("K", Verb.HALT),
        ("escape", Verb.RELEASE),
    ],
)
async def test_the_answers_of_the_kill_dialog(answer: str, verb: Verb) -> None:
    async with cockpit() as c:
        await c.press("f9")
        await c.press(answer)
        assert c.engine.verbs == [Verb.HOLD, verb]
        assert not isinstance(c.app.screen, KillDialog)
        if verb is Verb.HALT:
            assert c.engine.submitted[-1][1]["policy"] == "keep_with_exits"


async def test_no_answer_becomes_pause_and_never_a_release() -> None:
    async with cockpit() as c:
        await c.press("f9")
        c.clock.now += 14.5
        await c.settle()
        assert c.engine.verbs == [Verb.HOLD]
        assert "no answer in  1 s" in c.text()
        c.clock.now += 1
        await c.settle()
        assert c.engine.verbs == [Verb.HOLD, Verb.PAUSE]
        assert not isinstance(c.app.screen, KillDialog)
        c.clock.now += 60
        await c.settle()
        assert c.engine.verbs == [Verb.HOLD, Verb.PAUSE]


async def test_kill_works_inside_inputs_dialogs_and_the_palette() -> None:
    async with cockpit(FakeEngine.busy(state="PAUSED", state_actor="ada")) as c:
        await c.press("ctrl+r")
        assert isinstance(c.app.focused, Input)
        await c.press("K")
        assert c.app.focused.value == "K" and c.engine.verbs == []  # a letter in an input is a letter
        await c.press("ctrl+k")
        assert isinstance(c.app.screen, KillDialog) and c.engine.verbs == [Verb.HOLD]
        await c.press("escape", "escape", "colon")
        assert isinstance(c.app.screen, Palette)
        await c.press("f9", "f9")
        assert c.engine.verbs[-2:] == [Verb.HOLD, Verb.HALT]


async def test_a_refused_halt_is_shown() -> None:
    engine = FakeEngine.busy()
    engine.answers[Verb.HALT] = RuntimeError("the engine is not running")
    async with cockpit(engine) as c:
        await c.press("f9", "enter")
        await c.settle()
        assert "REFUSED: the engine is not running" in c.text()


async def test_a_live_loop_leaves_the_key_to_the_dialog() -> None:
    async with cockpit() as c:
        c.app.panic_key("f9")
        assert c.engine.verbs == []


async def test_a_blocked_loop_holds_then_halts_and_nothing_is_done_twice() -> None:
    async with cockpit() as c:
        c.clock.now += 1.5  # no tick ran: the loop is blocked
        c.app.panic_key("f9")
        assert c.engine.verbs == [Verb.HOLD]
        c.clock.now += 2.0
        c.app.panic_key("f9")
        assert c.engine.verbs == [Verb.HOLD, Verb.HALT]
        await c.press("f9", "f9")  # the same presses, now that the loop is free
        assert c.engine.verbs == [Verb.HOLD, Verb.HALT]
        assert not isinstance(c.app.screen, KillDialog)
        await c.press("f9")  # a new press
        assert c.engine.verbs == [Verb.HOLD, Verb.HALT, Verb.HOLD]


async def test_a_slow_second_press_on_a_blocked_loop_only_holds() -> None:
    async with cockpit() as c:
        c.clock.now += 5
        c.app.panic_key("f9")
        c.clock.now += 3.5
        c.app.panic_key("ctrl+k")
        assert c.engine.verbs == [Verb.HOLD, Verb.HOLD]


async def test_a_hold_of_the_blocked_loop_opens_the_dialog_even_if_its_key_is_lost() -> None:
    async with cockpit() as c:
        c.clock.now += 1.5
        c.app.panic_key("f9")
        await c.settle()
        assert not isinstance(c.app.screen, KillDialog)
        c.clock.now += 0.9
        await c.settle()
        c.clock.now += 0.9
        await c.settle()
        c.clock.now += 0.9
        await c.settle()
        assert isinstance(c.app.screen, KillDialog)
        assert c.engine.verbs == [Verb.HOLD]
        c.clock.now += 12.4
        await c.settle()
        assert c.engine.verbs == [Verb.HOLD, Verb.PAUSE]  # counted from the press


async def test_read_only_refuses_every_command() -> None:
    async with cockpit(FakeEngine.busy(state="PAUSED", state_actor="ada"), read_only=True) as c:
        c.clock.now += 5
        c.app.panic_key("f9")
        for key in ("f9", "escape", "ctrl+r", "space", "greater_than_sign"):
            await c.press(key)
        await c.press("6", "j", "A")
        assert c.engine.submitted == [] and c.engine.replayed == []
        assert "read-only" in c.text()


# -- re-arm ----------------------------------------------------------------------------------------------------------


async def test_re_arming_needs_the_word_and_a_reason() -> None:
    async with cockpit(FakeEngine.busy(state="HALTED", state_actor="ada", state_reason="fat finger"), actor="bob") as c:
        await c.press("ctrl+r")
        assert isinstance(c.app.screen, ResumeDialog)
        assert "HALTED by ada: fat finger" in c.text()
        await c.press("enter")
        assert "type RESUME exactly" in c.text()
        await c.press(*"resume", "enter")
        assert c.engine.submitted == []
        c.app.screen.query_one("#word", Input).value = "RESUME"
        await c.press("enter")
        await c.press("space", "enter")
        assert "a reason is needed" in c.text() and c.engine.submitted == []
        await c.press(*"fixed", "enter")
        await c.settle()
        asked = {"actor": "bob", "reason": "fixed", "version": 0, "policy": "", "target": ""}
        assert c.engine.submitted == [(Verb.RESUME, asked)]
        assert not isinstance(c.app.screen, ResumeDialog)
        assert "RESUME done" in c.text()


async def test_a_refusal_stays_to_be_read() -> None:
    engine = FakeEngine.busy(state="HALTED", state_actor="ada")
    engine.answers[Verb.RESUME] = Outcome(False, "daily loss lock holds until 00:00Z")
    async with cockpit(engine) as c:
        await c.press("ctrl+r", *"RESUME", "enter", *"go", "enter")
        await c.settle()
        assert "REFUSED: daily loss lock holds until 00:00Z" in c.text()
        assert isinstance(c.app.screen, ResumeDialog)
        await c.press("escape")
        assert not isinstance(c.app.screen, ResumeDialog)


async def test_re_arming_an_active_engine_is_said_to_be_needless() -> None:
    async with cockpit() as c:
        await c.press("ctrl+r")
        assert "ACTIVE already" in c.text() and not isinstance(c.app.screen, ResumeDialog)


# -- configs ---------------------------------------------------------------------------------------------------------


async def test_activating_a_config_shows_the_diff_and_needs_its_number_and_a_reason() -> None:
    async with cockpit() as c:
        await c.press("6")
        await c.settle()
        assert "EMA(900) lacks 412 bars" in c.text() and "● ACTIVE" in c.text()
        await c.press("A")
        assert "cannot be activated" in c.text() and not isinstance(c.app.screen, ActivateDialog)
        await c.press("j", "A")
        assert isinstance(c.app.screen, ActivateDialog)
        assert "config v8 in the place of v7" in c.text()
        assert "account.limits.max_open_positions: 5 -> 4" in c.text()
        await c.press("9", "enter")
        assert c.engine.submitted == [] and "type 8 exactly" in c.text()
        await c.press("backspace", "8", "enter", *"wider", "enter")
        await c.settle()
        wanted = {"actor": "cockpit", "reason": "wider", "version": 8, "policy": "", "target": ""}
        assert c.engine.submitted == [(Verb.ACTIVATE_CONFIG, wanted)]
        assert not isinstance(c.app.screen, ActivateDialog)


async def test_a_refused_activation_is_shown() -> None:
    engine = FakeEngine.busy()
    engine.answers[Verb.ACTIVATE_CONFIG] = Outcome(False, "v8 lacks 12 bars")
    async with cockpit(engine) as c:
        await c.press("6")
        await c.settle()
        await c.press("j", "A", "8", "enter", *"why", "enter")
        await c.settle()
        assert "REFUSED: v8 lacks 12 bars" in c.text()


async def test_rollback_selects_the_version_that_was_active_before() -> None:
    async with cockpit() as c:
        await c.press("6")
        await c.settle()
        await c.press("B")
        assert c.app.screen.query_one(ConfigsPanel).cursor_key == "6"
        assert "bots.0.exits.trailing_pct: 0.8 -> none" in c.text()
        await c.press("A")
        assert "ROLL BACK - config v6 in the place of v7" in c.text()


async def test_the_list_is_read_again_when_somebody_else_activates() -> None:
    async with cockpit() as c:
        await c.press("6")
        await c.settle()
        lines: list[ConfigLine] = []
        for line in c.engine.lines:
            lines.append(msgspec.structs.replace(line, is_active=line.version == 8))
        c.engine.lines = lines
        c.engine.change(config_version=8)
        await c.settle()
        await c.settle()
        assert "config versions (active: v8)" in c.text()
        assert isinstance(c.app.screen, ConfigsScreen)


# -- leaving ---------------------------------------------------------------------------------------------------------


async def test_quitting_asks_and_stops_safely() -> None:
    async with cockpit(size=(80, 24)) as c:
        await c.press("ctrl+q")
        assert isinstance(c.app.screen, QuitDialog)
        assert "3 positions stay open; 3 of them have a stop" in c.text()
        await c.press("escape")
        assert c.app.is_running and not isinstance(c.app.screen, QuitDialog)
        await c.press("ctrl+q", "enter")
        assert c.app.return_value == RETURN_STOPPED and c.app.return_code == 0
        assert c.engine.submitted == []


async def test_a_lost_terminal_ends_the_screen_only_and_an_open_hold_becomes_pause() -> None:
    async with cockpit() as c:
        await c.press("f9")
        c.app.terminal_lost()
        await c.pilot.pause()
        assert c.app.return_value == RETURN_TERMINAL_LOST and c.app.return_code == 129
        assert c.engine.verbs == [Verb.HOLD, Verb.PAUSE]
