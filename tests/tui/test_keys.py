"""Every key of docs/keys.md, at three sizes: it does what the page says, on a real engine where one can be in that state.

tests/tui/key_table.py says where each is pressed and how one sees that it has worked. Nothing here waits for a time to pass:
a key is pressed, and the cockpit is looked at until the effect is there.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from textual import events
from textual._compositor import Compositor
from textual._xterm_parser import XTermParser
from textual.keys import _character_to_key
from textual.pilot import Pilot

from engine.client import Snapshot
from engine.core.types import Verb
from screenshots.make import SYMBOLS, played
from screenshots.stage import Stage, StageClock, StillClient
from tests.tui.cockpit_pilot import SIZES, shown
from tests.tui.key_table import ROWS, Row, State, kills, look, scripted
from tui.actions import ACTIONS, find
from tui.app import CockpitApp
from tui.screens import operations
from tui.verifying import Verifier

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: What a terminal says of keys that have a name and print.
CHARACTERS = {
    "question_mark": "?", "colon": ":", "less_than_sign": "<", "greater_than_sign": ">", "space": " ", "slash": "/",
    "plus": "+", "minus": "-", "equals_sign": "=", "underscore": "_", "comma": ",", "full_stop": ".",
    "left_square_bracket": "[", "right_square_bracket": "]", "left_curly_bracket": "{", "right_curly_bracket": "}",
}  # fmt: skip
#: What xterm and its relatives send for the others.
SENT = {
    "tab": "\t", "shift+tab": "\x1b[Z", "enter": "\r", "escape": "\x1b", "up": "\x1b[A", "down": "\x1b[B",
    "right": "\x1b[C", "left": "\x1b[D", "shift+left": "\x1b[1;2D", "shift+right": "\x1b[1;2C", "home": "\x1b[H",
    "end": "\x1b[F", "pageup": "\x1b[5~", "pagedown": "\x1b[6~", "f8": "\x1b[19~", "f9": "\x1b[20~",
}  # fmt: skip
#: Looks until a key counts as dead. One that works is seen at the first or second.
LOOKS = 80
#: Where keys that work everywhere must work, and printable ones must not: how one gets there, and what is on top then.
INSIDE = {
    "an input": (Row(ROWS["filter"].then, focus="positions"), "slash", "DashboardScreen"),
    "a question": (Row(ROWS["time"].then), "t", "AskDialog"),
    "a typed dialog": (Row(ROWS["resume"].then), "ctrl+r", "ResumeDialog"),
    "a dialog that asks": (ROWS["close_position"], "X", "ClosePositionDialog"),
    "a dialog with a reason": (Row(ROWS["pause_bot"].then, "bots", "bots", ("g",)), "P", "PauseBot"),
    "a picker": (ROWS["pick_symbol"], "s", "PickDialog"),
    "help": (ROWS["help"], "question_mark", "HelpDialog"),
    "the palette": (ROWS["command_palette"], "colon", "Palette"),
}
#: The kinds of them, for the sizes at which they differ by their room alone.
COMMON = [(where, INSIDE[where]) for where in ("an input", "a dialog that asks", "the palette")]
#: What a key must leave alone where it is a letter, or nothing.
ALONE = ("mode", "depth", "top", "state", "theme", "replay", "speed", "frozen", "past", "files", "clipboard", "asked")
SLOW = "import time; time.sleep(600)"


class Client(StillClient):
    """Counts what is asked of the engine."""

    def __init__(self, inner: Any, clock: StageClock) -> None:
        super().__init__(inner, clock)
        self.verbs: list[Verb] = []
        self.asked: Counter[str] = Counter()

    def submit(self, verb: Verb, **words: Any) -> Future[Any]:
        self.verbs.append(verb)
        return super().submit(verb, **words)

    def configs(self) -> Future[Any]:
        self.asked["configs"] += 1
        return super().configs()

    def operations(self) -> Future[Any]:
        self.asked["operations"] += 1
        return super().operations()


class Keyboard:
    """A cockpit whose keys are pressed one at a time."""

    def __init__(
        self, app: CockpitApp, client: Client, clock: StageClock, pilot: Pilot[Any], stage: Stage | None
    ) -> None:
        self.app, self.client, self.clock, self.pilot, self.stage = app, client, clock, pilot, stage

    async def settle(self) -> None:
        """One look: whatever is on its way, to the engine or back, is taken a step further."""
        await self._quiet()
        if self.stage is not None:
            await self.stage.engine.idle()
            self.stage.client.refresh()
        self.clock.now += 0.3
        self.app.tick()
        await self._quiet()
        assert self.app.problem == ""

    async def _quiet(self) -> None:
        """Every message has been seen to: a key goes from queue to queue, down to the focus and up again to the app.

        `Pilot.pause` waits for a machine that is idle, which one that runs other tests never is.
        """
        quiet = 0
        while quiet < 3:
            await asyncio.sleep(0)
            pumps = [
                self.app,
                *(node for screen in self.app.screen_stack for node in screen.walk_children(with_self=True)),
            ]
            quiet = quiet + 1 if all(pump._message_queue.empty() for pump in pumps if pump.is_running) else 0
        await self.pilot._wait_for_screen()

    def state(self) -> State:
        return look(self.app) | {"verbs": list(self.client.verbs), "asked": dict(self.client.asked)}

    async def until(self, seen: Callable[[State], bool], what: str) -> State:
        for look_number in range(LOOKS):
            try:
                if seen(state := self.state()):
                    return state
            except (KeyError, TypeError):  # not on the way there yet
                pass
            await self.settle()
            await asyncio.sleep(
                0.001 if look_number < 20 else 0.1
            )  # a thread that writes a file needs a processor, too
        raise AssertionError(f"{what}: nothing of it is seen\n{self.state()}\n" + "\n".join(shown(self.app)))

    def send(self, key: str) -> None:
        """What the driver does with a key."""
        name = _character_to_key(key) if len(key) == 1 else key
        event = events.Key(name, CHARACTERS.get(name, key if len(key) == 1 else None))
        event.set_sender(self.app)
        assert self.app._driver is not None
        self.app._driver.send_message(event)

    async def press(self, *keys: str) -> None:
        for key in keys:
            self.send(key)
            await self.settle()
            while self.app.past.reading:
                await self.settle()

    async def home(self, row: Row) -> None:
        """No dialog, no filter, no past, and the focus where the row wants it."""
        while len(self.app.screen_stack) > 1:
            depth = len(self.app.screen_stack)
            await self.press("escape")
            await self.until(lambda s, depth=depth: s["depth"] < depth, "Esc leaves a dialog")  # type: ignore[misc]
        if "value" in self.state():
            await self.press("escape")
        self.app.past.now()
        self.app.alerts._seen.clear()
        self.app.clear_notifications()
        if self.app.current_mode != row.on:
            self.app.action_screen(row.on)
            await self.until(lambda s: s["mode"] == row.on and bool(self.app.screen.query("KeyBar")), row.on)
        if row.focus:
            self.app.screen.query_one(f"#{row.focus}").focus()
        await self.until(lambda s: s["focused"] == (row.focus or s["focused"]) != "", f"{row.on}: a focus")
        if self.state().get("filter"):
            await self.press("escape")

    async def choose(self, focus: str) -> None:
        """Tab until the focus is there."""
        for _ in range(8):
            if self.state()["focused"] == focus:
                return
            await self.press("tab")
        raise AssertionError(f"Tab never comes to {focus}\n" + "\n".join(shown(self.app)))

    async def write(self, focus: str, text: str) -> None:
        await self.choose(focus)
        await self.press(*text)
        await self.until(lambda s: s.get("value") == text, f"{text!r} is typed")

    async def letters(self, before: State, where: str) -> None:
        """Keys that print, pressed inside: text in an input, nothing elsewhere."""
        letters = "xXpT13<Y" + "K" * ("value" in before)
        for letter in letters:
            self.send(letter)
        await self.settle()
        await self.until(lambda s: s.get("value", "") == before.get("value", "") + letters * ("value" in before), where)
        now = self.state()
        for name in ALONE:
            assert now[name] == before[name], f"{where}: a letter changed {name}"

    async def ask(self, on: str, focus: str, key: str, *typed: tuple[str, str], way: tuple[str, ...] = ()) -> None:
        """Press a key of a screen, and fill in the dialog that it opens."""
        await self.home(Row(kills, on, focus))
        await self.press(*way)
        self.send(key)
        await self.until(lambda s: s["depth"] == 2, f"{key} on {on} asks")
        for field, text in typed:
            await self.write(field, text)

    async def go(self) -> None:
        """The button that does it; then the dialog has closed, or says why it is refused."""
        await self.choose("go")
        await self.press("enter")
        await self.until(lambda s: s["depth"] == 1, "the engine's answer closes the dialog")

    @property
    def snapshot(self) -> Snapshot:
        found = self.app.engine.snapshot()
        assert found is not None
        return found

    async def check(self, name: str, key: str) -> str:
        """ "" when the key does what its row says, else what happened."""
        row = ROWS[name]
        try:
            await self.home(row)
            await self.press(*row.way)
            before = self.state()
            self.send(key)
            await self.until(lambda now: row.then(before, now), f"{name} by {key}")
            await self.press(*row.back)
        except AssertionError as error:
            return str(error)
        return ""


@asynccontextmanager
async def keyboard(engine: Stage | Any, size: tuple[int, int]) -> AsyncIterator[Keyboard]:
    clock = StageClock()
    stage = engine if isinstance(engine, Stage) else None
    client = Client(stage.client if stage is not None else engine, clock)
    app = CockpitApp(client, crash_log=None, clock=clock)
    async with app.run_test(size=size, notifications=True) as pilot:
        keys = Keyboard(app, client, clock, pilot, stage)
        # What earlier cockpits have acknowledged has been read by then.
        await keys.until(lambda state: state["focused"] != "" and app.alerts._asked and not app._pending, "a start")
        yield keys


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """A day of a real engine, paused by somebody: its banner waits to be seen, its stops and targets are at the venue."""
    found = await played(tmp_path_factory.mktemp("stage"))
    await found.ask(Verb.PAUSE, "ada", "lunch")
    return found


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is exported goes to a folder of the test; a verification never ends by itself."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(operations, "Verifier", lambda: Verifier((sys.executable, "-c", SLOW)))
    # Pictures are compared elsewhere (test_screenshots.py): painting them here would take most of the time.
    monkeypatch.setattr(Compositor, "render_update", lambda *_, **__: None)


async def test_every_action_of_the_registry_has_a_row() -> None:
    assert {action.name for action in ACTIONS} == set(ROWS), "tests/tui/key_table.py says how one sees that a key works"


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("made_up", [False, True], ids=["real", "scripted"])
async def test_every_key_does_what_the_page_of_keys_says(stage: Stage, size: tuple[int, int], made_up: bool) -> None:
    async with keyboard(scripted() if made_up else stage, size) as keys:
        rows = [name for name, row in ROWS.items() if row.scripted == made_up]
        dead = [said for name in rows for key in find(name).keys if (said := await keys.check(name, key))]
    assert not dead, "\n\n".join(dead)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_inside_inputs_dialogs_and_the_palette(stage: Stage, size: tuple[int, int]) -> None:
    """The kill keys stop, F8 acknowledges, Ctrl+Q asks; what prints is text, or nothing at all."""
    async with keyboard(stage, size) as keys:
        for where, (row, way, top) in INSIDE.items() if size == SIZES[0] else COMMON:
            await keys.home(row)
            await keys.press(*row.way)
            before = keys.state()
            keys.send(way)
            await keys.until(lambda s: s["top"] == top and row.then(before, s), where)  # noqa: B023
            for name, key in (("kill", "f9"), ("kill", "ctrl+k"), ("acknowledge.anywhere", "f8"), ("quit", "ctrl+q")):
                before = keys.state()
                keys.send(key)
                now = await keys.until(lambda s: ROWS[name].then(before, s), f"{key} inside {where}")  # noqa: B023
                if now["depth"] > before["depth"]:
                    await keys.press("escape")
            before = await keys.until(lambda s: s["top"] == top, f"Esc leads back to {where}")  # noqa: B023
            await keys.letters(before, where)


async def test_what_is_asked_for_by_key_is_done_by_the_engine(stage: Stage) -> None:
    """From the key over the dialog to the engine and back onto the screen, on a real one."""
    async with keyboard(stage, SIZES[0]) as keys:
        await keys.ask("dashboard", "positions", "ctrl+r", ("word", "RESUME"), ("reason", "checked"))
        await keys.press("enter")
        await keys.until(lambda s: s["state"] == "ACTIVE", "RESUME")

        await keys.ask("orders", "all-orders", "x", way=("o", "g"))
        order = keys.app.screen._target  # type: ignore[attr-defined]
        await keys.go()
        assert next(o for o in keys.snapshot.orders if o.id == order).status == "CANCELED"

        await keys.ask("dashboard", "positions", "X")
        position = keys.app.screen._target  # type: ignore[attr-defined]
        await keys.go()
        symbol = next(p.symbol for p in keys.snapshot.positions if p.id == position)
        closing = [o for o in keys.snapshot.orders if (o.symbol, o.order_type, o.is_open) == (symbol, "MARKET", True)]
        assert len(closing) == 1, keys.snapshot.orders

        for key, reason, status, state in (
            ("P", "", "RUNNING", "PAUSED"), ("R", "looked at it", "RUNNING", "ACTIVE"),
            ("D", "", "STOPPED", "ACTIVE"), ("S", "again", "WARMING_UP", "ACTIVE"),
        ):  # fmt: skip
            await keys.ask("bots", "bots", key, *[("reason", reason)] * bool(reason))
            await keys.go()
            bot = keys.snapshot.bots[0]
            assert (bot.status, bot.state) == (status, state), key
            await keys.stage.play(SYMBOLS)

        for way, version in ((("g",), "3"), (("g", "B"), "2")):
            await keys.ask("configs", "configs", "A", ("word", version), ("reason", "tighter"), way=way)
            await keys.press("enter")
            await keys.until(lambda s: keys.snapshot.config_version == int(version), f"config v{version}")  # noqa: B023

        await keys.ask("dashboard", "positions", "f9")
        await keys.press("enter")
        await keys.until(lambda s: s["state"] == "HALTED" and s["depth"] == 1, "HALTED")
        assert "HALTED" in shown(keys.app)[0] and "HALTED by cockpit" in shown(keys.app)[1]


@pytest.mark.parametrize("key", sorted({key for action in ACTIONS for key in action.keys}))
async def test_a_terminal_can_send_every_key(key: str) -> None:
    """The bytes that terminals send are the key that the registry names."""
    parser = XTermParser()
    heard = [event.key for event in [*parser.feed(SENT.get(key, typed(key))), *parser.tick(), *parser.feed("")]]
    assert heard[:1] == [key]


def typed(key: str) -> str:
    if key.startswith("ctrl+"):
        return chr(ord(key[5:]) & 0x1F)
    return CHARACTERS.get(key, key)
