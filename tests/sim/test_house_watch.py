"""The watch over the house: measurements become a state with hysteresis, and a change of it an input that is journaled."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import house as limits
from engine.core import events as ev
from engine.core.books import House
from engine.core.fold import evolve
from engine.core.ledger import Ledger
from engine.core.types import TradingState, Verb
from engine.house import FAILING, GOOD, SLOW, HouseWatch, Measured, Meter, judge
from tests.core.worlds import START, World, config

WELL = Measured(free_bytes=1 << 40)


class Watched:
    """A watch on a clock of its own: one look a second."""

    def __init__(self, known: House | None = None) -> None:
        self.now = 0.0
        self.watch = HouseWatch(known or House(), lambda: self.now)

    def looks(self, seconds: int, measured: Measured) -> list[House]:
        found = []
        for _ in range(seconds):
            self.now += 1
            if (house := self.watch.look(measured)) is not None:
                found.append(house)
        return found


@pytest.mark.parametrize(
    ("measured", "level", "says"),
    [
        (WELL, GOOD, ""),
        (Measured(outage_s=2.0), GOOD, ""),
        (Measured(outage_s=2.5), SLOW, "no answer for 2 s"),
        (Measured(outage_s=10.5), FAILING, "no answer for 10 s"),
        (Measured(commit_ms=2_001), SLOW, "a commit took 2,001 ms"),
        (Measured(lag_ms=2_500), SLOW, "the engine was 2,500 ms late"),
        (Measured(free_bytes=(512 << 20) - 1), SLOW, "511 MB of disk left"),
        (Measured(free_bytes=(64 << 20) - 1), FAILING, "63 MB of disk left"),
        (Measured(free_bytes=None), GOOD, ""),
        (Measured(commit_ms=9_000, free_bytes=1 << 20), FAILING, "1 MB of disk left"),
    ],
)
def test_the_worst_that_was_measured_counts(measured: Measured, level: int, says: str) -> None:
    assert judge(measured) == (level, says)


def test_slow_needs_some_looks_in_a_row_and_failing_none() -> None:
    slow, down = Measured(lag_ms=3_000), Measured(outage_s=11)
    watched = Watched()
    for _ in range(5):
        assert watched.looks(limits.SLOW_LOOKS - 1, slow) == [] and watched.looks(1, WELL) == []
    assert watched.looks(limits.SLOW_LOOKS, slow) == [House(journal_ok=None, journal="the engine was 3,000 ms late")]
    assert watched.looks(100, slow) == []  # no news
    assert watched.looks(1, down) == [House(journal_ok=False, journal="no answer for 11 s")]


def test_better_must_last_and_be_well_within_the_limit() -> None:
    watched = Watched()
    watched.looks(1, Measured(outage_s=11))
    assert watched.looks(100, Measured(outage_s=6)) == []  # within the limit, not by enough
    assert watched.looks(30, WELL) == [] and watched.looks(1, Measured(outage_s=7)) == []  # it began anew
    assert watched.looks(30, WELL) == [] and watched.looks(1, WELL) == [House()]
    assert watched.looks(100, WELL) == []


def test_from_failing_it_may_be_slow_before_it_is_good() -> None:
    watched = Watched()
    watched.looks(1, Measured(outage_s=11))
    assert watched.looks(31, Measured(outage_s=1.5)) == [House(journal_ok=None, journal="no answer for 2 s")]
    assert watched.looks(31, WELL) == [House()]


def test_a_run_that_begins_in_a_bad_house_says_when_it_is_good() -> None:
    known = House(journal_ok=False, journal="no answer for 60 s", clock_skew_ms=900)
    watched = Watched(known)
    assert watched.looks(1, Measured(clock_skew_ms=850)) == []
    assert watched.looks(31, Measured(clock_skew_ms=870)) == [House(clock_skew_ms=900)]
    assert known.journal_ok is False  # what the ledger holds is not the watch's to change


def test_a_clock_is_told_by_steps() -> None:
    watched = Watched()
    told = [
        house.clock_skew_ms
        for skew in (99, -99, 100, 150, 199, 200, None, None, 205, 0)
        for house in watched.looks(1, Measured(clock_skew_ms=skew))
    ]
    assert told == [100, 200, None, 205, 0]


class Database:
    answered_mono = 0.0
    answer_ms = 0.0


def test_a_meter_keeps_the_worst_between_two_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine does not look while a commit of it hangs; what is over by then is told all the same."""
    database, now = Database(), [100.0]
    monkeypatch.setattr(limits.time, "monotonic", lambda: now[0])
    meter = Meter(HouseWatch(House(), lambda: now[0]), database, tmp_path, lambda: 0, patience_s=5.0)
    database.answered_mono = 100.0
    meter.weigh()
    assert meter.look() is None
    now[0] = 120.0
    meter.sample()
    database.answered_mono = 120.0
    assert meter.look() == House(journal_ok=False, journal="no answer for 15 s")
    now[0] = 160.0
    database.answered_mono = 160.0
    assert meter.look() is None  # better since now
    now[0] = 191.0
    database.answered_mono = 191.0
    assert meter.look() == House()
    gone = Meter(HouseWatch(House(), lambda: now[0]), database, tmp_path / "gone", lambda: None, patience_s=5.0)
    gone.weigh()
    assert gone.look() == House(clock_skew_ms=None)


# -- into the journal --------------------------------------------------------------------------------------------------


async def live(world: World, *changes: House) -> None:
    """Live seconds; the watch tells of `changes`, one a second."""
    engine, left = world.engine, list(changes)
    seconds = iter(range(1, 1_000))
    engine.clock_us = lambda: START + world.bar * 60_000_000 + next(seconds) * 1_000_000
    engine.watch = lambda: left.pop(0) if left else None
    while left:
        await engine.tick()
    engine.watch = None
    await engine.flush()


async def test_a_failing_journal_reduces_until_a_person_resumes(tmp_path: Path) -> None:
    world = await World(tmp_path).open()
    down = House(journal_ok=False, journal="no answer for 12 s")
    await live(world, down, House(journal_ok=False, journal="no answer for 12 s"), House())
    told = [e for _, e in world.store.pairs if isinstance(e, ev.HouseChanged)]
    assert [(e.journal_ok, e.journal) for e in told] == [
        (False, "no answer for 12 s"),
        (True, ""),
    ]  # the same is no news
    ledger = world.ledger
    assert (ledger.state, ledger.state_actor) == (TradingState.REDUCING, "gate:JOURNAL_HEALTH")
    assert "no answer for 12 s" in ledger.state_reason and ledger.house == House()
    world.engine.clock_us = None
    await world.candle(99, 102, 98, 101)
    assert not ledger.orders
    assert (await world.command(Verb.RESUME, "the disk is back"))[0][0] and ledger.state is TradingState.ACTIVE


async def test_what_is_slow_or_unknown_only_holds_entries_back(tmp_path: Path) -> None:
    world = await World(tmp_path, config()).open()
    await live(world, House(journal_ok=None, journal="a commit took 2,300 ms"))
    world.engine.clock_us = None
    events = await world.candle(99, 102, 98, 101)
    (denied,) = [e for e in events if isinstance(e, ev.OrderDenied)]
    assert (
        denied.code == "JOURNAL_UNKNOWN" and denied.reason == "JOURNAL_HEALTH: a commit took 2,300 ms against written"
    )
    assert world.ledger.state is TradingState.ACTIVE
    world.engine.clock_us = None
    await live(world, House())
    world.engine.clock_us = None
    await world.candle(101, 101.5, 99, 99)
    events = await world.candle(99, 103, 98, 103)
    assert [e for e in events if isinstance(e, ev.OrderSubmitted)]


async def test_the_journal_alone_makes_the_same_ledger(tmp_path: Path) -> None:
    """What the gates see of the house is a fact of the ledger: a fold and a restart know it without any shell."""
    world = await World(tmp_path).open()
    await live(
        world, House(clock_skew_ms=None), House(reconciled=None, clock_skew_ms=-700, journal_ok=None, journal="x")
    )
    folded = Ledger()
    for _, event in world.store.pairs:
        evolve(folded, ev.decode(ev.encode(event)))
    folded.seq = world.ledger.seq
    assert folded.house == House(None, None, "x", -700) and folded.state_hash() == world.ledger.state_hash()
    await world.journal.close("end")
    again = World(tmp_path, store=world.store)
    again.through_snapshot = True
    await again.open()
    assert again.ledger.house == folded.house and again.ledger.state_hash() == folded.state_hash()
