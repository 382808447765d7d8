"""The watch over the house: what the shell measures becomes a state of the house, and only a change of it is news.

Live only: in a replay time is the data's, and nothing that this machine does may change what is decided (I13). The engine asks
once a second and hands a change to the core as an input, so that it is journaled before it blocks or frees an order.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from engine.core.books import House

#: Beyond the first number entries wait until it is better by itself; beyond the second a person has to resume.
OUTAGE_S = (2.0, 10.0)  # without an answer of the database
COMMIT_MS = (2_000.0, float("inf"))  # the last commit
LAG_MS = (2_000.0, float("inf"))  # how late the engine's loop was
FREE_BYTES = (512 << 20, 64 << 20)  # on the disk with the ledger: below
#: What is bad stays bad until it is within this share of its limit, for so long.
BETTER, BETTER_S = 0.5, 30.0
#: One late loop is no state: as many looks in a row must find it slow.
SLOW_LOOKS = 3
#: A clock is told anew when it has moved by as much.
SKEW_STEP_MS = 100

GOOD, SLOW, FAILING = 0, 1, 2


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What the shell knows at one moment. `outage_s` is the longest since the last look; None is not measured."""

    outage_s: float = 0.0
    commit_ms: float = 0.0
    lag_ms: float = 0.0
    free_bytes: int | None = None
    clock_skew_ms: int | None = 0


class HouseWatch:
    """Judges measurements. `known` is what the ledger holds: a run that begins in a bad house says when it is good again."""

    def __init__(self, known: House, clock_s: Callable[[], float]) -> None:
        self.state = msgspec.structs.replace(known)
        self._clock_s = clock_s
        self._level = GOOD if known.journal_ok else SLOW if known.journal_ok is None else FAILING
        self._slow_looks = 0
        self._better_since: float | None = None

    def look(self, measured: Measured) -> House | None:
        """The state of the house when it has changed, else None."""
        level, journal = self._journal(measured)
        old = self.state
        skew = measured.clock_skew_ms
        if skew is not None and old.clock_skew_ms is not None and abs(skew - old.clock_skew_ms) < SKEW_STEP_MS:
            skew = old.clock_skew_ms
        new = House(old.reconciled, {GOOD: True, SLOW: None, FAILING: False}[level], journal, skew)
        self._level, self.state = level, new
        return None if new == old else new

    def _journal(self, measured: Measured) -> tuple[int, str]:
        """The level that holds now, and what is said of it."""
        level, text = judge(measured)
        if level > self._level:
            self._better_since = None
            self._slow_looks += 1
            if level == SLOW and self._slow_looks < SLOW_LOOKS:
                return self._level, self.state.journal
            return level, text
        self._slow_looks = 0
        calm, text = judge(measured, BETTER)
        if calm >= self._level:
            self._better_since = None
            return self._level, self.state.journal
        if self._better_since is None:
            self._better_since = self._clock_s()
        if self._clock_s() - self._better_since < BETTER_S:
            return self._level, self.state.journal
        self._better_since = None
        return calm, text


def judge(measured: Measured, share: float = 1.0) -> tuple[int, str]:
    """(level, words) of the worst that was measured, against `share` of its limits."""
    free = measured.free_bytes
    found = [
        (_beyond(measured.outage_s, OUTAGE_S, share), f"no answer for {measured.outage_s:.0f} s"),
        (_beyond(measured.commit_ms, COMMIT_MS, share), f"a commit took {measured.commit_ms:,.0f} ms"),
        (_beyond(measured.lag_ms, LAG_MS, share), f"the engine was {measured.lag_ms:,.0f} ms late"),
    ]
    if free is not None:
        short = sum(free * share < limit for limit in FREE_BYTES)
        found.append((short, f"{free >> 20:,} MB of disk left"))
    level, text = max(found, key=lambda each: each[0])
    return level, text if level else ""


def _beyond(value: float, limits: tuple[float, float], share: float) -> int:
    return sum(value > limit * share for limit in limits)


class Answering(Protocol):
    """A journal that knows when its database answered last (time.monotonic, s) and how long it took."""

    @property
    def answered_mono(self) -> float: ...
    @property
    def answer_ms(self) -> float: ...


class Meter:
    """Gathers the worst between two looks of the engine, which may be stuck in a commit for all of an outage."""

    def __init__(
        self,
        watch: HouseWatch,
        journal: Answering,
        folder: Path,
        skew_ms: Callable[[], int | None],
        patience_s: float,
    ) -> None:
        """`patience_s`: how often the database is asked when there is nothing to commit."""
        self.lag_ms = 0.0
        self._watch, self._journal, self._folder = watch, journal, folder
        self._skew_ms, self._patience_s = skew_ms, patience_s
        self._outage_s = self._answer_ms = 0.0
        self._free: int | None = None

    def sample(self) -> None:
        """To be called more often than an outage matters, whatever the engine is doing."""
        silent_s = time.monotonic() - self._journal.answered_mono - self._patience_s
        self._outage_s = max(self._outage_s, silent_s)
        self._answer_ms = max(self._answer_ms, self._journal.answer_ms)

    def weigh(self) -> None:
        """Look how much of the disk is left. May wait for the disk: not for the engine's loop."""
        try:
            self._free = shutil.disk_usage(self._folder).free
        except OSError:
            self._free = None  # what cannot be asked is not held against the journal, which says itself when it fails

    def look(self) -> House | None:
        """The state of the house when it has changed since the last look."""
        self.sample()
        measured = Measured(
            outage_s=self._outage_s,
            commit_ms=self._answer_ms,
            lag_ms=self.lag_ms,
            free_bytes=self._free,
            clock_skew_ms=self._skew_ms(),
        )
        self._outage_s = self._answer_ms = self.lag_ms = 0.0
        return self._watch.look(measured)
