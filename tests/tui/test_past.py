"""The time machine on a real engine over the journal in memory: every panel shows a past moment, and nothing can be sent."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot

from engine.core import events as ev
from engine.core.fold import evolve
from engine.core.ledger import Ledger
from engine.core.types import HOUR_US, Verb
from engine.journals import MemorySource, Pairs, PastBroken, PastError
from engine.pastview import NOT_RECORDED, Picture, utc
from engine.reading import Reader
from engine.timemachine import TimeMachine
from screenshots.make import played
from screenshots.stage import Stage, StageClock, StillClient
from tests.tui.cockpit_pilot import shown
from tui.app import CockpitApp
from tui.screens.charts import NO_CANDLES
from tui.screens.kill import KillDialog
from tui.widgets.candles import CandleChart
from tui.widgets.event_table import EventsPanel


@pytest.fixture
async def stage(tmp_path: Path) -> Stage:
    return await played(tmp_path)


class Traveller:
    """A cockpit over a stage."""

    def __init__(self, app: CockpitApp, stage: Stage, clock: StageClock, pilot: Pilot[Any]) -> None:
        self.app, self.stage, self.clock, self.pilot = app, stage, clock, pilot
        self.said: list[str] = []
        toast = app.toast

        def kept(text: str, *, failed: bool = False) -> None:
            self.said.append(text)
            toast(text, failed=failed)

        app.toast = kept  # type: ignore[method-assign]

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)
            await self.settle()

    async def write(self, text: str) -> None:
        names = {" ": "space", "-": "minus", ":": "colon"}
        await self.pilot.press(*(names.get(letter, letter) for letter in text))

    async def settle(self) -> None:
        for _ in range(2):
            for _ in range(400):
                await self.pilot.pause()
                await self.stage.answer()
                if not self.app.past.reading:
                    break
                await asyncio.sleep(0.01)
            self.clock.now += 2.5
            self.app.tick()
        await self.pilot.pause()
        assert self.app.problem == ""

    @property
    def picture(self) -> Picture:
        client = self.app.past.client
        assert client is not None
        return client.picture

    def rows(self) -> list[str]:
        return shown(self.app)

    def text(self) -> str:
        return "\n".join(self.rows())

    def toasts(self) -> str:
        """All that were shown: they do not wait for a busy machine."""
        return " ".join(self.said)


@asynccontextmanager
async def travelling(stage: Stage, size: tuple[int, int] = (120, 40), **options: Any) -> AsyncIterator[Traveller]:
    clock = StageClock()
    app = CockpitApp(StillClient(stage.client, clock), crash_log=None, clock=clock, **options)
    async with app.run_test(size=size, notifications=True) as pilot:
        traveller = Traveller(app, stage, clock, pilot)
        await traveller.settle()
        yield traveller


def folded(stage: Stage, seq: int) -> Ledger:
    ledger = Ledger()
    for _, event in stage.journal.store.pairs[:seq]:
        evolve(ledger, event)
    ledger.seq = seq
    return ledger


def words_of(rows: list[str]) -> list[str]:
    """What is said, whatever the widths of columns: those of a table only grow."""
    return re.findall(r"[\w.,%+-]+", " ".join(rows))


def machine(stage: Stage) -> TimeMachine:
    return TimeMachine(MemorySource(lambda: Pairs(stage.journal.store.pairs)), Reader(""), "test")


async def at(found: Any) -> Picture:
    picture: Picture = await asyncio.wrap_future(found)
    return picture


# -- the machine -----------------------------------------------------------------------------------------------------


async def test_the_state_at_any_event_is_the_fold_up_to_it(stage: Stage) -> None:
    tested = machine(stage)
    head = stage.journal.seq
    for seq in (head, head - 1, 2, 150, 149, 151, head - 300, head):  # jumps both ways, and steps
        picture = await at(tested.at_seq(seq))
        ledger = folded(stage, seq)
        snapshot = picture.snapshot
        assert (picture.seq, picture.head.seq, picture.first.seq) == (seq, head, 1)
        assert (snapshot.orders_total, snapshot.fills_total) == (ledger.counts.orders, ledger.counts.fills)
        assert {p.id: p.quantity for p in snapshot.positions} == {p.id: p.quantity for p in ledger.positions.values()}
        assert snapshot.cash == ledger.account.cash and snapshot.state == ledger.state
        assert [o.id for o in snapshot.orders if o.is_open] == [o.id for o in reversed(ledger.open_orders())]
        assert picture.log[-1].seq <= seq and all(point.ts <= ledger.now for point in picture.equity())


async def test_a_moment_looks_the_same_whichever_way_leads_there(stage: Stage) -> None:
    first, second = machine(stage), machine(stage)
    near = await at(first.at_seq(400))
    for seq in (800, 100, 401):
        await at(second.at_seq(seq))
    assert await at(second.at_seq(400)) == near


async def test_a_time_shows_what_had_happened_by_then(stage: Stage) -> None:
    tested = machine(stage)
    events = [event for _, event in stage.journal.store.pairs]
    ts = events[-1].ts - 6 * HOUR_US + 17
    picture = await at(tested.at_time(ts))
    assert picture.ts == ts and picture.seq == sum(event.ts <= ts for event in events)
    assert (await at(tested.at_time(events[0].ts))).seq >= 2
    with pytest.raises(PastError, match=f"before the ledger began: its first event is of {utc(events[0].ts)}"):
        await at(tested.at_time(events[0].ts - 1))
    with pytest.raises(PastError, match=f"after the end: the newest event is of {utc(events[-1].ts)}"):
        await at(tested.at_time(events[-1].ts + 1))
    assert (await at(tested.at_time(events[-1].ts + 1, until=events[-1].ts + 5))).seq == len(events)


async def test_events_of_a_type_are_found_both_ways(stage: Stage) -> None:
    tested = machine(stage)
    fills = [n for n, (_, e) in enumerate(stage.journal.store.pairs, start=1) if isinstance(e, ev.OrderFilled)]
    assert (await at(tested.next_of(fills[3], "OrderFilled", -1))).seq == fills[2]
    assert (await at(tested.next_of(fills[3], "OrderFilled", 1))).seq == fills[4]
    with pytest.raises(PastError, match="no OrderFilled before"):
        await at(tested.next_of(fills[0], "OrderFilled", -1))


async def test_what_was_not_recorded_says_so(stage: Stage) -> None:
    snapshot = (await at(machine(stage).at_seq(stage.journal.seq))).snapshot
    assert snapshot.positions and all(position.sampled for position in snapshot.positions)
    assert {mark.rules for mark in snapshot.marks} == {NOT_RECORDED}
    assert next(g for g in snapshot.gates if g.gate == "STALE_DATA").actual == NOT_RECORDED
    now = stage.client.snapshot()
    assert now is not None
    places = {mark.symbol: mark.price_places for mark in now.marks}
    assert all(p.price_places == places[p.symbol] for p in snapshot.positions)


async def test_a_journal_that_does_not_fold_is_an_error_in_one_line(stage: Stage) -> None:
    pairs = list(stage.journal.store.pairs)
    del pairs[next(n for n, (_, e) in enumerate(pairs) if isinstance(e, ev.OrderSubmitted))]
    tested = TimeMachine(MemorySource(lambda: Pairs(pairs)), Reader(""))
    with pytest.raises(PastBroken, match="quantsail audit verify"):
        await at(tested.at_seq(len(pairs)))
    assert (await at(tested.at_seq(20))).seq == 20  # what is before the damage is shown
    with pytest.raises(PastError, match="the journal is empty"):
        await at(TimeMachine(MemorySource(lambda: ()), Reader("")).at_seq(1))


# -- the screens -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_keys_step_jump_and_come_back(stage: Stage, size: tuple[int, int]) -> None:
    head = stage.journal.seq
    async with travelling(stage, size) as t:
        before = t.rows()
        await t.press("left_square_bracket")
        assert t.picture.seq == head - 1
        first, second = t.rows()[:2]
        assert first.startswith(f" PAST {utc(t.picture.ts)}")
        assert f"PAST {utc(t.picture.ts)}, 0s ago - Esc: now" in second and "NOW ACTIVE" in second
        assert " Esc now" in t.rows()[-1]
        await t.press("left_square_bracket", "left_square_bracket")
        assert t.picture.seq == head - 3
        await t.press("right_square_bracket")
        assert t.picture.seq == head - 2
        for screen, words in (("2", "fills"), ("3", "events"), ("4", "equity"), ("5", "risk gates"), ("6", "config")):
            await t.press(screen)
            assert words in t.text() and "PAST" in t.rows()[0], screen
        await t.press("1", "escape")
        assert t.app.past.client is None and words_of(t.rows()) == words_of(before)


async def test_a_time_is_typed_and_empty_is_now(stage: Stage) -> None:
    async with travelling(stage) as t:
        now = t.app.present.snapshot
        assert now is not None
        await t.press("t")
        await t.write("-6h")
        await t.press("enter")
        assert t.picture.ts == now.now - 6 * HOUR_US
        assert "6h ago - Esc: now" in t.rows()[1]
        await t.press("t")
        await t.write("nonsense")
        await t.press("enter")
        assert "write 14:03" in t.text()
        await t.press("escape", "t", "enter")
        assert t.app.past.client is None


async def test_jumps_by_the_type_under_the_cursor_or_picked(stage: Stage) -> None:
    async with travelling(stage) as t:
        await t.press("3")
        panel = t.app.screen.query_one(EventsPanel)
        fill = next(one.seq for one in reversed(t.app.log_book.entries) if isinstance(one.event, ev.OrderFilled))
        panel.move_to(str(fill))
        await t.press("left_curly_bracket")
        assert (t.picture.kind, t.picture.seq) == ("OrderFilled", fill)
        await t.press("left_curly_bracket")
        assert t.picture.kind == "OrderFilled" and t.picture.seq < fill
        await t.press("right_curly_bracket")
        assert t.picture.seq == fill
        assert panel.last_seq == fill  # the log ends at the moment
        await t.press("1", "left_curly_bracket")
        await t.write("SignalGen")
        await t.press("enter")
        assert t.picture.kind == "SignalGenerated"


async def test_nothing_can_be_sent_from_the_past_but_the_kill_key(stage: Stage) -> None:
    async with travelling(stage) as t:
        await t.press("left_square_bracket", "tab")
        heard: list[Verb] = []
        submit = t.app.engine.submit

        def counted(verb: Verb, **rest: Any) -> Any:
            heard.append(verb)
            return submit(verb, **rest)

        t.app.engine.submit = counted  # type: ignore[method-assign]
        for screen, keys in (("1", ["X", "x", "space", "ctrl+r", "a"]), ("2", ["x"]), ("6", ["A"])):
            await t.press(screen, *keys)
            if t.app.screen_stack[1:]:
                await t.press("escape")
        t.app.ask(Verb.FLATTEN, lambda outcome: None)
        assert heard == []
        assert "PAST on the screen: nothing is sent" in t.toasts()
        assert t.app.past.client is not None
        await t.press("1", "f9")
        assert heard == [Verb.HOLD] and isinstance(t.app.screen, KillDialog)
        assert "PAST" not in t.rows()[0] and "the kill key works on NOW" in t.toasts()
        await t.press("escape")
        assert heard == [Verb.HOLD, Verb.RELEASE] and t.app.past.client is not None


async def test_the_past_of_charts_and_configs_is_the_journals(stage: Stage) -> None:
    async with travelling(stage) as t:
        activated = next(
            n
            for n, (_, e) in enumerate(stage.journal.store.pairs, start=1)
            if isinstance(e, ev.ConfigActivated) and e.version == 2
        )
        await t.press("4")
        t.app.past._ask(t.app.engine.machine.at_seq(activated - 1))
        await t.settle()
        assert t.app.screen.query_one(CandleChart).empty_text == NO_CANDLES
        await t.press("6")
        assert "active: v1" in t.text() and "larger positions" not in t.text()
        await t.press("right_square_bracket")
        assert "active: v2" in t.text()
        await t.press("escape", "4")
        assert t.app.screen.query_one(CandleChart).empty_text != NO_CANDLES


async def test_gates_bots_and_operations_are_those_of_the_moment(stage: Stage) -> None:
    bot = next(iter(stage.engine.state.ledger.bots))
    tested = machine(stage)
    picture = await at(tested.at_seq(500))
    ledger = folded(stage, 500)
    standing = await asyncio.wrap_future(tested.standing(picture, bot))
    assert standing.of_past and standing.runners == () and standing.rules == {} and standing.now == picture.ts
    gates = {(g.bot, g.gate): g for g in standing.gates}
    assert len(gates) == len(standing.gates) and {scope for scope, _ in gates} == {"", bot}
    for gate in picture.snapshot.gates:
        assert (gates["", gate.gate].verdict, gates["", gate.gate].actual) == (gate.verdict, gate.actual)
    assert gates[bot, "STALE_DATA"].actual == NOT_RECORDED
    for line in standing.bots:
        book = ledger.bots[line.id]
        assert (line.wins, line.losses) == (book.wins, book.losses)
        told = [
            e.ts
            for _, e in stage.journal.store.pairs[:500]
            if isinstance(e, ev.SignalGenerated) and e.bot_id == line.id
        ]
        assert line.last_signal_ts == max(told, default=0) and bool(line.last_signal) is bool(told)
    assert '"name"' in standing.document
    found = await asyncio.wrap_future(tested.operations(picture))
    facts = {(fact.section, fact.name): fact.value for fact in found.facts}
    assert "loop lag" in facts["past", "~ not recorded then"] and found.audit == ()
    assert facts["database", "written"] == "event 500: ~ not recorded: this ledger lives in memory"


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_their_screens_say_what_was_not_recorded(stage: Stage, size: tuple[int, int]) -> None:
    async with travelling(stage, size) as t:

        async def shows(*words: str) -> None:
            for _ in range(40):
                if all(word in t.text() for word in words):
                    return
                await asyncio.sleep(0.01)
                await t.settle()
            raise AssertionError(t.text())

        t.app.past._ask(t.app.engine.machine.at_seq(500))
        await t.settle()
        for screen, words in (
            ("0", ["~ not recorded", "loop lag", "event 500"]),
            ("7", ["bots", "PAST"]),
            ("5", ["risk gates of account"]),
        ):
            await t.press(screen)
            await shows(*words)
        await t.press("7")
        await shows("entry long when", *["age of the data: ~ not recorded"] * (size[0] == 200))
        await t.press("0", "escape")
        await shows("for the last commit", "server")
        assert "~ not recorded" not in t.text()


async def test_orders_fills_and_stories_end_at_the_moment(stage: Stage) -> None:
    async with travelling(stage) as t:
        t.app.past._ask(t.app.engine.machine.at_seq(500))
        await t.settle()
        history = t.app.client.history
        fills = await asyncio.wrap_future(history.fills(None))
        assert len(fills) == t.picture.snapshot.fills_total
        orders = await asyncio.wrap_future(history.orders(None, 5_000))
        assert {o.id for o in t.picture.snapshot.orders} <= {o.id for o in orders}
        told = await asyncio.wrap_future(history.story(fills[0].order_id))
        assert told and all(one.recorded.seq <= 500 for one in told)
        assert isinstance(told[0].recorded.event, ev.SignalGenerated | ev.IntentEvaluated | ev.OrderSubmitted)
        events = await asyncio.wrap_future(history.events(10_000, 50))
        assert len(events) == 50 and events[-1].seq <= 500
        with pytest.raises(PastError, match="nothing can be done"):
            history.acknowledge("k", "t", "me").result()


async def test_a_long_fold_shows_how_far_it_is_and_is_cancelled(stage: Stage) -> None:
    class Slow(MemorySource):
        async def run(self, base: Any, upto: int) -> AsyncIterator[Any]:
            async for page in super().run(base, upto):
                yield page
                await asyncio.sleep(0.1)
                while not going.is_set():
                    await asyncio.sleep(0.01)

    going = asyncio.Event()
    stage.client._machine = TimeMachine(Slow(lambda: Pairs(stage.journal.store.pairs)), Reader(""), "slow")
    async with travelling(stage) as t:
        before = t.rows()
        await t.pilot.press("left_square_bracket")
        await asyncio.sleep(0.3)
        t.clock.now += 2
        t.app.tick()
        await t.pilot.pause()
        assert "READING the past: 250 of 869 events, 2s - Esc cancels" in t.text()
        await t.press("escape")
        assert t.app.past.client is None and "reading the past: cancelled" in t.toasts()
        going.set()
        await t.press("left_square_bracket", "escape")
        assert t.rows()[2:10] == before[2:10]


async def test_another_config_of_then_and_hostile_words_are_safe(stage: Stage) -> None:
    """What was journaled may hold anything; it is shown as text."""
    pairs = list(stage.journal.store.pairs)
    n, last = pairs[-1]
    hostile = ev.AlertTriggered(ts=last.ts, cause=last.cause, code="X", text="\x1b[31m[red]\u202e" + "A" * 10_000)
    pairs.append((n + 1, hostile))
    stage.client._machine = TimeMachine(MemorySource(lambda: Pairs(pairs)), Reader(""), "x\x1b[2J")
    async with travelling(stage) as t:
        t.app.past._ask(t.app.engine.machine.at_seq(len(pairs)))
        await t.settle()
        await t.press("3")
        assert "\x1b" not in t.text() and "\u202e" not in t.text() and "[red]" in t.text()


async def test_a_picture_is_a_value(stage: Stage) -> None:
    picture = await at(machine(stage).at_seq(300))
    with pytest.raises(AttributeError):
        picture.seq = 1  # type: ignore[misc]
    assert msgspec.structs.replace(picture, seq=1).seq == 1
