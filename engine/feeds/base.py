"""What a feed is: ordered inputs, pulled; who it is; how fast it is played. One interface for replay, simulator and live.

Order is a promise to the engine: candles by (ts, exchange, symbol), and in recorded and simulated data one `Tick(ts)` after
the last candle of each close time (decisions.md 6). Live feeds send no ticks: there the engine's clock is the tick.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from engine.core.inputs import Candle, Quote, Tick
from engine.core.types import DAY_US, HOUR_US, MINUTE_US, SECOND_US, TIMEFRAMES_US, Instrument

FeedInput = Candle | Quote | Tick

#: Inputs in a chunk at full speed: large enough to hide the loop's cost, small enough that a pause is felt at once.
CHUNK_INPUTS = 1_000


class FeedError(Exception):
    """Data that cannot be trusted, or a feed that cannot be made. One line: what, where, and the remedy."""


class Gap(msgspec.Struct, frozen=True):
    """Bars that the data does not have: shown, never filled. Times are bar OPENs in us; `to_ts` is the next real bar's."""

    from_ts: int
    to_ts: int
    bars: int
    exchange: str = ""
    symbol: str = ""


class Feed(Protocol):
    """A source of market inputs. `identity` binds a ledger to its data: the same data has the same identity for ever.

    `timeframe_us` is the smallest bar; `total` counts candles (None: endless); `first_ts` and `last_ts` are close times.
    """

    @property
    def identity(self) -> str: ...
    @property
    def slug(self) -> str: ...
    @property
    def instruments(self) -> tuple[Instrument, ...]: ...
    @property
    def timeframe_us(self) -> int: ...
    @property
    def total(self) -> int | None: ...
    @property
    def first_ts(self) -> int | None: ...
    @property
    def last_ts(self) -> int | None: ...
    @property
    def gaps(self) -> Sequence[Gap]: ...
    @property
    def status(self) -> str:
        """One short word or phrase for the status line: "ok", "connecting", "down since ..."."""
        ...

    async def history(self, bars: int) -> list[Candle]:
        """Up to `bars` closed candles per symbol from before the feed's start, in order, to warm indicators up."""
        ...

    def batches(self, start_after: int | None = None) -> AsyncIterator[list[FeedInput]]:
        """Inputs with ts > `start_after`, in order, in lists of at least one. Never blocks the loop."""
        ...

    async def close(self) -> None: ...


class PullFeed(Feed, Protocol):
    """A feed that needs no waiting (replay, simulator): backtests pull `chunks` without a loop."""

    def chunks(self, start_after: int | None = None) -> Iterator[list[FeedInput]]:
        """Inputs with ts > `start_after`, about CHUNK_INPUTS a list; a close time may span two lists."""
        ...


class Pacer:
    """Plays a recorded feed at `speed` data seconds a second; None is as fast as the engine takes it.

    Time is the running loop's, so a virtual clock paces virtually. Call it from the loop that plays (it takes no locks).
    """

    def __init__(self, speed: float | None = None, total: int | None = None) -> None:
        self._speed = _checked_speed(speed)
        self._paused = False
        self._changed = asyncio.Event()
        self._anchor: tuple[float, int] | None = None  # (loop seconds, data us) that played at the same moment
        self.total = total
        self.played = 0
        self.ts: int | None = None
        self.ended = False

    @property
    def speed(self) -> float | None:
        return self._speed

    @property
    def state(self) -> str:
        """ "running", "paused" or "ended"."""
        return "ended" if self.ended else "paused" if self._paused else "running"

    @property
    def progress(self) -> float | None:
        """Share of the candles played, 0 to 1; None for an endless feed."""
        if self.total is None:
            return None
        return 1.0 if self.ended or self.total == 0 else min(1.0, self.played / self.total)

    def pause(self) -> None:
        self._paused = True
        self._restart()

    def resume(self) -> None:
        self._paused = False
        self._restart()

    def set_speed(self, speed: float | None) -> None:
        """Data seconds a second, above zero; None for max. Raises FeedError."""
        self._speed = _checked_speed(speed)
        self._restart()

    def _restart(self) -> None:
        self._anchor = None
        self._changed.set()

    async def wait_for(self, ts: int) -> None:
        """Return when `ts` is due: at once at full speed, never while paused."""
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            if self._paused:
                await self._changed.wait()
                continue
            if self._speed is None:
                await asyncio.sleep(
                    0
                )  # at full speed the loop must still breathe: commands and the kill lane live there
                return
            if self._anchor is None:
                self._anchor = (loop.time(), ts if self.ts is None else self.ts)
            began, began_ts = self._anchor
            delay = began + (ts - began_ts) / SECOND_US / self._speed - loop.time()
            if delay <= 0:
                await asyncio.sleep(0)
                return
            try:
                await asyncio.wait_for(self._changed.wait(), delay)
            except TimeoutError:
                return

    async def play(self, feed: PullFeed, start_after: int | None = None) -> AsyncIterator[list[FeedInput]]:
        """The feed's chunks at this pace: whole at full speed, else one close time a list, at its time."""
        self.total = feed.total
        for chunk in feed.chunks(start_after):
            first = 0
            while first < len(chunk):
                await self.wait_for(chunk[first].ts)
                last = len(chunk) if self._speed is None else _end_of_moment(chunk, first)
                part = chunk[first:last]
                self.played += sum(type(item) is Candle for item in part)
                self.ts = part[-1].ts
                yield part
                first = last
        self.ended = True


def _end_of_moment(chunk: Sequence[FeedInput], first: int) -> int:
    ts, last = chunk[first].ts, first + 1
    while last < len(chunk) and chunk[last].ts == ts:
        last += 1
    return last


def _checked_speed(speed: float | None) -> float | None:
    if speed is not None and not 0 < speed < float("inf"):
        raise FeedError(
            f"speed {speed} is not a number above 0 (use 1 for real time, 60 for a minute a second, or max)"
        )
    return speed


def slug_of(identity: str) -> str:
    """A short name, [a-z0-9_]{1,40}, for files and databases. Lossy names end in a digest, so that two never meet."""
    if re.fullmatch(r"[a-z0-9]+(:[a-z0-9]+)*", identity) and len(identity) <= 40:
        return identity.replace(":", "_")
    words = re.sub(r"[^a-z0-9]+", "_", identity.lower()).strip("_")[:31].rstrip("_")
    return f"{words}_{hashlib.sha256(identity.encode()).hexdigest()[:8]}".lstrip("_")


def timeframe_name(timeframe_us: int) -> str:
    """ "1m" for 60,000,000; the largest unit that divides it where the timeframe has no name ("7m")."""
    for name, size in TIMEFRAMES_US.items():
        if size == timeframe_us:
            return name
    unit, letter = next(
        (pair for pair in ((DAY_US, "d"), (HOUR_US, "h"), (MINUTE_US, "m")) if timeframe_us % pair[0] == 0),
        (SECOND_US, "s"),
    )
    return f"{timeframe_us / unit:g}{letter}"


def utc(ts: int) -> str:
    """ "2025-01-01T00:00:00Z" for a ts in us: how times are written in messages."""
    return datetime.fromtimestamp(ts // SECOND_US, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
