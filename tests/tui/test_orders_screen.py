"""Screen 2: orders and fills, the story of an order, cancelling one order, closing one position; what is asked and what is kept."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from decimal import Decimal as D
from typing import Any

import msgspec
import pytest
from textual.widgets import Button

from engine.client import OrderView, Outcome
from engine.core import events as ev
from engine.core.types import MINUTE_US, SECOND_US, Verb
from engine.history import FillView, MemoryHistory, Place, Told, ready
from engine.reading import ReadFailed
from tests.tui.cockpit_pilot import SIZES, Cockpit, cockpit
from tests.tui.fake_engine import FakeEngine, order, orders, position
from tests.tui.fake_story import NOW, recorded, story
from tui.screens.confirm import CancelOrderDialog, ClosePositionDialog
from tui.screens.orders import PAGE
from tui.screens.story import StoryDialog
from tui.story import duration, story_lines, wrapped
from tui.viewmodel import Span
from tui.widgets.order_tables import FillsTable, OrdersTable


def fill(number: int, **changes: Any) -> FillView:
    values: dict[str, Any] = {
        "id": f"fill-{number:05d}", "ts": NOW - number * MINUTE_US, "order_id": f"o{number}", "position_id": "p",
        "bot": "trend", "exchange": "binance", "symbol": "BTC/USDT", "side": "BUY", "quantity": D("0.021"),
        "price": D("96120.50"), "fee": D("2.02"), "fee_currency": "USDT", "liquidity": "TAKER", "pnl": D(0),
    }  # fmt: skip
    return FillView(**(values | changes))


class Archive(MemoryHistory):
    """1,200 orders and 700 fills behind what the engine's picture shows; `problem` is raised instead of a page."""

    def __init__(self, engine: FakeEngine) -> None:
        super().__init__(lambda: engine.log, lambda: NOW)
        ended = {"is_open": False, "status": "FILLED", "filled_quantity": D("0.0210")}
        self.old = [order(n, "OLD/USDT", **ended) for n in range(7, 1_207)]
        self.old_fills = [fill(n) for n in range(100, 800)]
        self.problem = ""
        self.asked: list[Place | None] = []

    def orders(self, before: Place | None, limit: int = 500) -> Future[Sequence[OrderView]]:
        self.asked.append(before)
        if self.problem:
            failed: Future[Sequence[OrderView]] = Future()
            failed.set_exception(ReadFailed(self.problem))
            return failed
        found = [*orders(), *self.old]
        return ready([one for one in found if before is None or (one.ts, one.id) < before][:limit])

    def fills(self, before: Place | None, limit: int = 500) -> Future[Sequence[FillView]]:
        return ready([one for one in self.old_fills if before is None or (one.ts, one.id) < before][:limit])


def archive() -> tuple[FakeEngine, Archive]:
    engine = FakeEngine.busy(orders_total=1_206, fills_total=705)
    past = Archive(engine)
    engine.history = past
    return engine, past


async def later(c: Cockpit) -> None:
    await c.pilot.pause(0.1)
    await c.settle()


def table(c: Cockpit) -> OrdersTable:
    return c.app.screen.query_one(OrdersTable)


# -- the tables ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
async def test_orders_and_fills_of_memory_and_of_the_past(size: tuple[int, int]) -> None:
    engine, _ = archive()
    async with cockpit(engine, size=size) as c:
        await c.press("2")
        await later(c)
        text = c.text()
        assert "orders (3 open, 500 of 1,206 shown)" in text and "fills (505 of 705 shown)" in text
        assert "● ACCEPTED" in text and "✔ FILLED" in text and "OLD/USDT" in text
        assert ("2026-03-14" in text) == (size[0] >= 120)
        first = table(c).rows[0]
        assert first.cells[2].text == "BNB/USDT"


async def test_older_orders_come_by_cursor_when_the_last_row_is_reached() -> None:
    engine, past = archive()
    async with cockpit(engine) as c:
        await c.press("2")
        await later(c)
        await c.press("G")
        await later(c)
        assert table(c).held_count == 1_000 and past.asked[-1] == Place(past.old[493].ts, past.old[493].id)
        await c.press("G")
        await later(c)
        assert table(c).held_count == 1_206
        await c.press("G")
        await later(c)
        assert "nothing is older" in c.text() and len(past.asked) == 3
        await c.press("tab", "G")
        await later(c)
        assert c.app.screen.query_one(FillsTable).held_count == 705
        assert PAGE == 500


async def test_a_database_that_is_away_is_said_and_what_is_known_stays() -> None:
    engine, past = archive()
    past.problem = "the database cannot be reached: \x1b]0;x\x07refused"
    async with cockpit(engine) as c:
        await c.press("2")
        await later(c)
        assert "older orders: the database cannot be reached: refused" in c.text()
        assert table(c).held_count == 6
        past.problem = ""
        await c.press("G")
        await later(c)
        assert table(c).held_count == 506


async def test_an_order_that_the_picture_has_lost_is_not_shown_as_open() -> None:
    engine, past = archive()
    async with cockpit(engine) as c:
        await c.press("2")
        await later(c)
        gone = orders()[0]
        past.old.insert(0, msgspec.structs.replace(gone, is_open=False, status="CANCELED"))
        engine.change(orders=tuple(o for o in orders() if o.id != gone.id), orders_total=1_206)
        await c.settle()
        assert "ENDED" in c.text() and "2 open" in c.text()
        engine.change(orders_total=1_300)  # many more than a picture holds: the newest page is read again
        c.clock.now += 6
        await c.settle()
        await later(c)
        assert past.asked[-1] is None


async def test_open_only_and_filters() -> None:
    engine, _ = archive()
    async with cockpit(engine) as c:
        await c.press("2")
        await later(c)
        await c.press("o")
        assert table(c).row_count == 3 and "/ open:open: 3 of 500" in c.text()
        await c.press("o")
        assert table(c).row_count == 500
        await c.press("slash", *"role:stop side:sell", "enter")
        assert table(c).row_count == 2


async def test_sorting_by_time_is_by_the_whole_time() -> None:
    engine, past = archive()
    past.old = [
        order(2_000, "YESTERDAY", is_open=False, status="FILLED"),
        order(3, "TODAY", is_open=False, status="FILLED"),
    ]
    async with cockpit(engine) as c:
        await c.press("2")
        await later(c)
        table(c).sort_by("time")
        assert table(c).rows[0].cells[2].text == "YESTERDAY"


async def test_empty_tables_say_what_to_do() -> None:
    async with cockpit(FakeEngine.busy(orders=(), orders_total=0)) as c:
        c.engine.log = []
        await c.press("2")
        assert "No order yet. A bot sends one when a rule fires" in c.text()


# -- the story -------------------------------------------------------------------------------------------------------

TRACE = {
    "entry_long": {
        "op": "all", "result": "true", "of": [
            {"op": "crosses_above", "result": "true", "left": {"series": "fast", "value": "3681.43", "previous": "3681.34"},
             "right": {"series": "slow", "value": "3681.41", "previous": "3681.39"}},
            {"op": "lt", "result": "false", "left": {"series": "rsi", "value": "77.8"}, "right": {"value": "70.0"}},
        ],
    },
}  # fmt: skip


def life(order_id: str) -> list[ev.Event]:
    """Signal, gates, sending, acknowledgement and a fill of one order, 40 ms apart."""
    made = []
    for n, one in enumerate(story(8)[:5]):
        changes: dict[str, Any] = {"ts": NOW - SECOND_US + n * 40_000}
        if isinstance(one.event, ev.SignalGenerated):
            changes["trace"] = TRACE
        else:
            changes["order_id"] = order_id
        if "signal_id" in one.event.__struct_fields__:
            changes["signal_id"] = "s9"
        if isinstance(one.event, ev.OrderFilled):
            changes["executed_ts"] = changes["ts"]
        made.append(msgspec.structs.replace(one.event, **changes))
    return made


def with_story(**changes: Any) -> FakeEngine:
    engine = FakeEngine.busy(seq=45, **changes)
    engine.log += [recorded(41 + n, event) for n, event in enumerate(life(orders()[0].id))]
    return engine


@pytest.mark.parametrize("size", SIZES)
async def test_the_drawer_tells_the_whole_story(size: tuple[int, int]) -> None:
    async with cockpit(with_story(replay=None), size=size) as c:
        await c.press("2", "enter")
        await later(c)
        assert isinstance(c.app.screen, StoryDialog) and "ACTIVE" in c.rows()[0]
        told = ""
        for _ in range(12):
            told += c.text()
            await c.press("ctrl+d")
        for words in (
            "BUY 1.25 BNB/USDT LIMIT ENTRY at 612.40", "config v7", "bot trend", "why: the signal and its rules",
            "✔ entry_long: all of", "✔ fast 3,681.43 (was 3,681.34) crosses above slow 3,681.41", "✘ rsi 77.8 < 70",
            "■ BLOCK! gross exposure", "63.2 against 60", "EXPOSURE_GROSS", "submitted", "accepted", "0.021 at 96120.5",
            "signal -> decided", "80 ms", "decided -> acknowledged", "40 ms", "not recorded", "the venue's id x1",
        ):  # fmt: skip
            assert words.replace("96120.5", "96,120.5") in told, words
        await c.press("y")
        assert "why: the signal" in c.app.clipboard
        await c.press("escape")
        assert not isinstance(c.app.screen, StoryDialog)


async def test_a_fill_opens_the_story_of_its_order_and_so_does_the_dashboard() -> None:
    async with cockpit(with_story()) as c:
        await c.press("2", "tab", "enter")
        await later(c)
        assert isinstance(c.app.screen, StoryDialog)
        await c.press("escape", "1", "tab", "enter")
        await later(c)
        assert isinstance(c.app.screen, StoryDialog) and "BNB/USDT" in c.text()


async def test_the_story_goes_on_while_it_is_read() -> None:
    engine = with_story()
    async with cockpit(engine, size=(200, 60)) as c:
        await c.press("2", "enter")
        await later(c)
        assert "ACCEPTED" in c.text() and "cancel the order" in c.text()
        changed = msgspec.structs.replace(orders()[0], status="FILLED", is_open=False)
        engine.change(orders=(changed, *orders()[1:]))
        await c.settle()
        await later(c)
        assert isinstance(c.app.screen, StoryDialog) and "LIMIT ENTRY at 612.40  FILLED" in c.text()
        assert "cancel the order" not in c.text()
        await c.press("x")
        assert "only open ones can be cancelled" in c.text()


async def test_who_only_looks_is_not_offered_to_cancel() -> None:
    async with cockpit(with_story(), read_only=True) as c:
        await c.press("2", "enter")
        await later(c)
        assert "ACCEPTED" in c.text() and "cancel the order" not in c.text()


def text_of(told: Sequence[Told], view: OrderView | None = None, *, live: bool = True) -> str:
    return "\n".join("".join(span.text for span in line) for line in story_lines(view, told, live=live))


def test_latencies_are_of_one_clock_or_say_so() -> None:
    events = life("o1")
    told = [Told(recorded=recorded(n, e), written_ts=e.ts + 3_000) for n, e in enumerate(events, start=1)]
    live = text_of(told)
    assert "decided -> committed     3 ms" in live and "acknowledged -> filled   40 ms" in live
    replayed = text_of(told, live=False)
    assert "no latency" in replayed and " 3 ms" not in replayed
    assert "in the database only" in text_of([Told(recorded=one.recorded) for one in told])


def test_a_story_with_nothing_in_it() -> None:
    text = text_of([], order(1, role="STOP"))
    assert "the exit plan of its position placed it" in text and "No gate was asked" in text and "None." in text
    assert "a person asked for it" in text_of([], order(1, role="BY_HAND"))


EVIL = "\x1b]0;owned\x07\x1b[31m\x9b31m[bold red]K\u202e\u200b漢字" + "x" * 10_000


def deep(levels: int) -> dict[str, Any]:
    tree: dict[str, Any] = {
        "op": EVIL,
        "result": EVIL,
        "left": {"series": EVIL, "value": EVIL, "previous": EVIL},
        EVIL: EVIL,
    }
    for _ in range(levels):
        tree = {"op": "all", "of": [tree, EVIL, None]}
    return tree


def test_a_hostile_story_is_clean_and_bounded() -> None:
    events: list[Any] = life("o1")
    signal, intent = events[0], events[1]
    gates = tuple(ev.GateResult(EVIL, EVIL, intent.verdict, EVIL, EVIL, EVIL) for _ in range(1_000))
    events[0] = msgspec.structs.replace(signal, trace={EVIL: deep(50), "x": 3}, strategy_id=EVIL, tag=EVIL, symbol=EVIL)
    events[1] = msgspec.structs.replace(intent, gates=gates, symbol=EVIL)
    view = order(1, EVIL, reason=EVIL, flags=EVIL, bot=EVIL, role=EVIL, status=EVIL)
    lines = story_lines(view, [Told(recorded=recorded(n, e)) for n, e in enumerate(events, start=1)], live=True)
    assert len(lines) <= 2_100
    text = "\n".join(span.text for line in lines for span in line if span.text != EVIL)
    assert not set(text) & set("\x1b\x07\x9b\u202e\u200b")


@pytest.mark.parametrize("width", [20, 40, 114])
def test_long_lines_are_wrapped_and_lose_nothing(width: int) -> None:
    line = [Span("a word " * 20, "dim"), Span("y" * 300, "strong"), Span(" end")]
    found = wrapped(line, width)
    assert all(sum(len(span.text) for span in row) <= width for row in found)
    assert "".join(span.text for row in found for span in row).replace(" ", "") == "aword" * 20 + "y" * 300 + "end"


@pytest.mark.parametrize(
    ("us", "expected"),
    [(0, "0 ms"), (38_900, "38 ms"), (-5_000, "-5 ms"), (1_204_000, "1.204 s"), (123 * SECOND_US, "2m 03s"),
     (3_725 * SECOND_US, "1h 02m")],
)  # fmt: skip
def test_durations(us: int, expected: str) -> None:
    assert duration(us) == expected


# -- commands --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
async def test_cancelling_an_order_asks_first_and_the_focus_is_on_keeping_it(size: tuple[int, int]) -> None:
    async with cockpit(size=size, actor="cockpit:ada") as c:
        await c.press("2", "x")
        assert isinstance(c.app.screen, CancelOrderDialog)
        text = c.text()
        assert "BUY 1.25 BNB/USDT LIMIT ENTRY at 612.40" in text and "now: ACCEPTED, 0 of 1.25 filled" in text
        assert isinstance(c.app.focused, Button) and c.app.focused.id == "stay"
        await c.press("enter")
        assert c.engine.submitted == [] and not isinstance(c.app.screen, CancelOrderDialog)
        await c.press("x", "right", "enter")
        await later(c)
        wanted = {"actor": "cockpit:ada", "reason": "", "version": 0, "policy": "", "target": orders()[0].id}
        assert c.engine.submitted == [(Verb.CANCEL_ORDER, wanted)]
        assert "CANCEL_ORDER done" in c.text() and not isinstance(c.app.screen, CancelOrderDialog)
        kept = c.engine.history
        assert isinstance(kept, MemoryHistory)
        assert kept.commands == [("CANCEL_ORDER", orders()[0].id, "cockpit:ada", "CANCEL_ORDER done", True)]


async def test_a_refused_cancel_stays_to_be_read_and_is_kept_too() -> None:
    engine = FakeEngine.busy()
    engine.answers[Verb.CANCEL_ORDER] = Outcome(False, "it is being cancelled already \x1b[31m")
    async with cockpit(engine) as c:
        await c.press("2", "x", "tab", "enter")
        await later(c)
        assert "REFUSED: it is being cancelled already" in c.text() and isinstance(c.app.screen, CancelOrderDialog)
        assert isinstance(engine.history, MemoryHistory) and engine.history.commands[0][-1] is False
        await c.press("escape")
        assert not isinstance(c.app.screen, CancelOrderDialog)


async def test_an_order_that_ends_meanwhile_is_said() -> None:
    async with cockpit() as c:
        await c.press("2", "x")
        c.engine.change(orders=orders()[1:])
        await c.settle()
        assert "not among the open orders any more" in c.text()


async def test_what_cannot_be_cancelled_is_said_and_nothing_is_asked() -> None:
    async with cockpit() as c:
        await c.press("2", "G", "x")
        assert "this order is FILLED: only open ones can be cancelled" in c.text()
        await c.press("tab", "x")
        assert "select an order first" in c.text()
        await c.press("1", "x")
        assert "select an order first" in c.text()
        assert c.engine.submitted == [] and len(c.app.screen_stack) == 1


async def test_a_read_only_cockpit_cancels_and_closes_nothing() -> None:
    async with cockpit(read_only=True) as c:
        await c.press("X", "2", "x")
        assert len(c.app.screen_stack) == 1 and c.engine.submitted == [] and "read-only" in c.text()


async def test_the_drawer_cancels_its_order() -> None:
    async with cockpit(with_story()) as c:
        await c.press("2", "enter", "x")
        assert isinstance(c.app.screen, CancelOrderDialog)
        await c.press("right", "enter")
        await later(c)
        assert c.engine.verbs == [Verb.CANCEL_ORDER]


async def test_closing_a_position_asks_first() -> None:
    async with cockpit() as c:
        await c.press("j", "X")
        assert isinstance(c.app.screen, ClosePositionDialog)
        assert (
            "LONG 0.4 ETH/USDT, entered at 3,312.10" in c.text()
            and "now: 0.4 at 3,290.02, -8.83 before fees" in c.text()
        )
        assert isinstance(c.app.focused, Button) and c.app.focused.id == "stay"
        c.engine.change(positions=(position(),))
        await c.settle()
        assert "closed already" in c.text()
        await c.press("right", "enter")
        await later(c)
        assert c.engine.submitted[-1][0] is Verb.CLOSE_POSITION
        assert c.engine.submitted[-1][1]["target"] == position("ETH/USDT").id
        await c.press("2", "X")
        assert "select a position first" in c.text()


async def test_the_kill_key_works_inside_the_dialogs() -> None:
    async with cockpit(with_story()) as c:
        await c.press("2", "x", "f9", "f9")
        assert c.engine.verbs == [Verb.HOLD, Verb.HALT]


async def test_hostile_orders_and_fills_reach_no_cell() -> None:
    engine = FakeEngine.busy(
        orders=(order(1, EVIL, reason=EVIL, bot=EVIL, role=EVIL, order_type=EVIL, exchange=EVIL, flags=EVIL),),
        positions=(position(EVIL, bot=EVIL),),
    )
    past = Archive(engine)
    past.old_fills = [fill(1, symbol=EVIL, fee_currency=EVIL, liquidity=EVIL, bot=EVIL, exchange=EVIL, side=EVIL)]
    past.old = [order(9, EVIL, is_open=False, status=EVIL, reason=EVIL)]
    engine.history = past
    engine.answers[Verb.CANCEL_ORDER] = Outcome(False, EVIL)
    async with cockpit(engine, size=(200, 60)) as c:
        await c.press("2")
        await later(c)
        for keys in (
            ("enter",),
            ("escape", "x"),
            ("right", "enter"),
            ("escape", "tab", "enter"),
            ("escape", "1", "X"),
            ("escape", "y"),
        ):
            await c.press(*keys)
            await later(c)
            raw = c.app.screen._compositor.render_full_update().render_segments(c.app.console)
            assert not set(raw) & set("\x07\u202e\u200b\x9b"), keys
            assert "\x1b]" not in raw and "\x1b[31m" not in raw, keys
