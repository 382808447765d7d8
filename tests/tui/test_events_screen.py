"""Screen 3: follow and freeze, filter by level, type, symbol and bot, older events, jumping to a time, the whole of one event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import msgspec
import pytest

from engine.core import events as ev
from engine.core.events import Recorded
from engine.core.types import SECOND_US
from engine.history import MemoryHistory
from engine.reading import ReadFailed
from tests.tui.cockpit_pilot import SIZES, Cockpit, cockpit
from tests.tui.fake_engine import FakeEngine
from tests.tui.fake_story import NOW, cause, recorded, story
from tui.screens.dialog import DetailDialog
from tui.widgets.event_table import EventsPanel


class LongPast(MemoryHistory):
    """A journal of 3,000 events of which the engine keeps the last 40; `problem` is raised, `slow` answers nothing."""

    def __init__(self, log: Sequence[Recorded]) -> None:
        super().__init__(lambda: log)
        self.problem = ""
        self.slow = False
        self.asked = 0

    def events(self, before_seq: int, limit: int = 1_000) -> Future[Sequence[Recorded]]:
        self.asked += 1
        if not self.problem and not self.slow:
            return super().events(before_seq, limit)
        future: Future[Sequence[Recorded]] = Future()
        if self.problem:
            future.set_exception(ReadFailed(self.problem))
        return future


def long_past(count: int = 3_000) -> FakeEngine:
    engine = FakeEngine.busy(seq=count)
    whole = story(count)
    engine.log = whole[-40:]
    engine.history = LongPast(whole)
    return engine


def panel_of(c: Cockpit) -> EventsPanel:
    return c.app.screen.query_one(EventsPanel)


async def later(c: Cockpit) -> None:
    await c.pilot.pause(0.1)
    await c.settle()


@pytest.mark.parametrize("size", SIZES)
async def test_the_title_says_in_a_word_whether_the_end_is_followed(size: tuple[int, int]) -> None:
    async with cockpit(size=size) as c:
        await c.press("3")
        assert "events (40) FOLLOWING" in c.text()
        await c.press("k")
        assert "events (40) FROZEN - G follows" in c.text()
        await c.press("f")
        assert "FOLLOWING" in c.text() and panel_of(c).cursor_key == "40"
        await c.press("f")
        assert "FROZEN" in c.text()
        await c.press("G")
        assert "FOLLOWING" in c.text()


def of_type(*names: str) -> Callable[[Any], bool]:
    return lambda event: type(event).__name__ in names


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("level:WARN", lambda e: e.level == "WARN"),
        ("type:OrderFilled", of_type("OrderFilled")),
        ("symbol:btc", lambda e: getattr(e, "symbol", "") == "BTC/USDT"),
        ("bot:trend -type:filled -type:order", of_type("SignalGenerated", "IntentEvaluated", "PositionClosed")),
        ("symbol:BTC type:Position", of_type("PositionClosed")),
        ("date:2026-03-14 ada lunch", of_type("TradingStateChanged")),
    ],
)
async def test_filters_by_level_type_symbol_bot_and_text(typed: str, expected: Callable[[Any], bool]) -> None:
    async with cockpit() as c:
        await c.press("3")
        panel_of(c).apply_filter(typed)
        wanted = [str(one.seq) for one in c.engine.log if expected(one.event)]
        assert [row.key for row in panel_of(c).rows] == wanted != []
        await c.settle()
        assert f"{len(wanted)} of 40" in c.text()


async def test_a_filter_holds_for_what_comes_later() -> None:
    async with cockpit() as c:
        await c.press("3", "slash", *"type:PositionClosed", "enter")
        before = panel_of(c).row_count
        c.engine.log += [recorded(41, story(8)[5].event), recorded(42, story(8)[4].event)]
        c.engine.change(seq=42)
        c.clock.now += 1.1
        await c.settle()
        assert panel_of(c).row_count == before + 1 and panel_of(c).cursor_key == "41"


async def test_fifty_thousand_rows_are_filtered_sorted_and_forgotten() -> None:
    async with cockpit() as c:
        await c.press("3")
        panel = panel_of(c)
        base = story(80)
        panel.add_newer([msgspec.structs.replace(base[n % 80], seq=n) for n in range(41, 50_041)], {"b1": "trend"})
        assert panel.row_count > 49_000
        await c.press("k", "ctrl+u", "g", "G", "slash", *"level:warn", "enter")
        assert 0 < panel.row_count < 10_000
        await c.press("escape")
        panel.sort_by("seq", reverse=True)
        await c.press("g")
        assert panel.cursor_key == str(max(int(row.key) for row in panel.rows))
        shown = panel.row_count
        panel.paint(c.app.log_book)
        for seq in (50_041, 50_042):  # the second one waits: it came right behind
            c.engine.log.append(recorded(seq, story(8)[4].event))
            c.engine.change(seq=seq)
            c.clock.now += 1.1
            await c.settle()
        assert panel.row_count <= shown + 1
        c.clock.now += 6
        c.engine.log.append(recorded(50_043, story(8)[4].event))
        c.engine.change(seq=50_043)
        await c.settle()
        assert "50043" in [row.key for row in panel.rows]


async def test_older_events_are_read_when_a_key_reaches_the_first_row() -> None:
    engine = long_past()
    async with cockpit(engine) as c:
        await c.press("3", "g")
        assert panel_of(c).cursor_key == "2961"
        await later(c)
        assert panel_of(c).held_count == 1_040 and panel_of(c).cursor_key == "2961"
        await c.press("k")
        assert panel_of(c).cursor_key == "2960"
        await c.press("g")
        await later(c)
        await c.press("g")
        await later(c)
        assert panel_of(c).held_count == 3_000
        await c.press("g")
        await later(c)
        assert panel_of(c).cursor_key == "1" and "this is where the journal begins" in c.text()
        await c.press("G")
        assert panel_of(c).cursor_key == "3000" and "FOLLOWING" in c.text()


async def test_reading_can_be_stopped_and_a_failure_is_said() -> None:
    engine = long_past()
    past = engine.history
    assert isinstance(past, LongPast)
    async with cockpit(engine) as c:
        past.slow = True
        await c.press("3", "g")
        await later(c)
        assert "reading older events - Esc stops" in c.text()
        await c.press("k")
        assert past.asked == 1  # one question at a time
        await c.press("escape")
        assert "stopped reading older events" in c.text()
        past.slow, past.problem = False, "the database cannot be reached: \x1b[31mrefused"
        await c.press("g")
        await later(c)
        assert "older events: the database cannot be reached: refused" in c.text()
        past.problem = ""
        await c.press("g")
        await later(c)
        assert panel_of(c).held_count == 1_040


@pytest.mark.parametrize(("typed", "seq"), [("14:03:00", "2998"), ("-3m", "2984")])
async def test_jumping_to_a_time_that_is_there(typed: str, seq: str) -> None:
    async with cockpit(long_past()) as c:
        await c.press("3", "J", *typed, "enter")
        assert panel_of(c).cursor_key == seq and "FROZEN" in c.text()


async def test_jumping_to_a_time_that_memory_does_not_have_and_coming_back() -> None:
    async with cockpit(long_past()) as c:
        await c.press("3", "J", *"-2h", "enter")
        await later(c)
        await later(c)
        panel = panel_of(c)
        assert panel.past and "PAST 2026-03-14" in c.text() and "G comes back to now" in c.text()
        at = panel.ts_at_cursor()
        assert at is not None and 0 <= at - (NOW - 7_200 * SECOND_US) <= 11 * SECOND_US
        held = panel.held_count
        c.engine.log += [recorded(3_001, story(8)[4].event)]
        c.engine.change(seq=3_001)
        c.clock.now += 1.1
        await c.settle()
        assert panel.held_count == held  # the past does not move
        await c.press("G")
        assert not panel.past and panel.cursor_key == "3001" and "FOLLOWING" in c.text()


async def test_a_time_before_the_journal_and_one_to_come() -> None:
    async with cockpit(long_past()) as c:
        await c.press("3", "J", *"2020-01-01", "enter")
        await later(c)
        await later(c)
        assert panel_of(c).cursor_key == "1"
        await c.press("G", "J", *"2030-01-01", "enter")
        await later(c)
        assert "nothing has happened since then" in c.text()
        await c.press("J", *"soon", "enter")
        assert "write 14:03" in c.text()
        await c.press("escape")
        assert "FOLLOWING" in c.text() or "FROZEN" in c.text()


async def test_enter_shows_an_event_whole_also_one_that_memory_has_forgotten() -> None:
    async with cockpit(long_past(), size=(120, 60)) as c:
        await c.press("3", "g")
        await later(c)
        await c.press("k", "k", "enter")
        await later(c)
        assert isinstance(c.app.screen, DetailDialog)
        assert "2,959" in c.text() and "previous" in c.text()


async def test_a_tree_in_an_event_is_shown_line_by_line() -> None:
    trace = {"entry": {"op": "all", "of": [{"left": "1.5", "right": "2"}]}}
    signal = msgspec.structs.replace(story(8)[0].event, trace=trace)
    engine = FakeEngine.busy(seq=41)
    engine.log.append(recorded(41, signal))
    async with cockpit(engine, size=(120, 60)) as c:
        await c.press("3", "enter")
        assert "  op: all" in c.text() and "      left: 1.5" in c.text()


EVIL = "\x1b]0;owned\x07\x1b[31m\x9b31m[bold red]K\u202e\u200b漢字" + "x" * 10_000


async def test_hostile_text_reaches_no_cell_of_the_events() -> None:
    at: dict[str, Any] = {"ts": NOW, "cause": cause()}
    engine = FakeEngine.busy(seq=60)
    engine.log.append(recorded(41, ev.AlertTriggered(code=EVIL, text=EVIL, symbol=EVIL, bot_id=EVIL, **at)))
    engine.log.append(recorded(42, ev.BotStatusChanged(bot_id=EVIL, status=EVIL, reason=EVIL, traceback=EVIL, **at)))  # type: ignore[arg-type]
    engine.log.append(
        recorded(43, msgspec.structs.replace(story(8)[0].event, symbol=EVIL, trace={EVIL: [EVIL, {EVIL: EVIL}]}))
    )
    async with cockpit(engine, size=(200, 60)) as c:
        for keys in (
            ("3",),
            ("slash", "k"),
            ("enter",),
            ("y",),
            ("enter",),
            ("escape", "j", "enter"),
            ("escape", "k", "k", "enter"),
        ):
            await c.press(*keys)
            raw = c.app.screen._compositor.render_full_update().render_segments(c.app.console)
            assert not set(raw) & set("\x07\u202e\u200b\x9b"), keys
            assert "\x1b]" not in raw and "\x1b[31m" not in raw
        await c.press("escape")
        panel_of(c).apply_filter(EVIL)
        await c.settle()
        raw = c.app.screen._compositor.render_full_update().render_segments(c.app.console)
        assert not set(raw) & set("\x07\u202e\u200b\x9b") and "\x1b]" not in raw
