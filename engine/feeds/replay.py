"""Recorded candles as a feed: several files merged by close time, built lazily out of numpy columns.

A million bars stay numpy arrays (48 bytes a bar, and 8 for the order of the merge); Python objects exist for one chunk.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.core.inputs import Candle, Tick
from engine.core.types import Instrument
from engine.feeds.base import CHUNK_INPUTS, FeedError, FeedInput, Gap, Pacer, slug_of, timeframe_name, utc
from engine.feeds.files import CandleFile, load_candle_file
from engine.instruments import instrument_for

_COLUMNS = ("open", "high", "low", "close", "volume")


class ReplayFeed:
    """Plays CandleFiles. Parts of one series (a file a month) are joined; parts that overlap are refused.

    Raises FeedError for no files, two timeframes of one symbol, and overlapping parts.
    """

    status = "ok"

    def __init__(self, files: Sequence[CandleFile], pacer: Pacer | None = None) -> None:
        if not files:
            raise FeedError("replay: no files (quantsail --replay FILE...)")
        series = _joined(files)
        self._keys = [(parts[0].exchange, parts[0].symbol, parts[0].timeframe_us) for parts in series]
        close_ts = [np.concatenate([part.time_us for part in parts]) + parts[0].timeframe_us for parts in series]
        merged = np.concatenate(close_ts)
        # Series are sorted by (exchange, symbol) and the sort is stable: ties of time keep that order.
        self._order: npt.NDArray[np.int64] = np.argsort(merged, kind="stable")
        self._ts = merged[self._order]
        self._series = np.repeat(np.arange(len(series)), [len(ts) for ts in close_ts])
        self._columns = [
            np.concatenate([getattr(part, name) for parts in series for part in parts]) for name in _COLUMNS
        ]
        self.gaps: tuple[Gap, ...] = tuple(gap for parts in series for gap in _gaps(parts))
        self.notes: tuple[str, ...] = tuple(f"{part.path.name}: {note}" for part in files for note in part.notes)
        quotes = [(parts[0].exchange, parts[0].symbol, parts[0].quote) for parts in series]
        self.instruments: tuple[Instrument, ...] = tuple(instrument_for(*names) for names in quotes)
        self.identity = "replay:" + ",".join(
            f"{exchange}:{symbol}:{timeframe_name(size)}@{utc(int(ts[0]) - size)}"
            for (exchange, symbol, size), ts in zip(self._keys, close_ts, strict=True)
        )
        self.slug = slug_of(self.identity)
        self.timeframe_us = min(size for _, _, size in self._keys)
        self.total: int | None = len(merged)
        self.first_ts: int | None = int(self._ts[0])
        self.last_ts: int | None = int(self._ts[-1])
        self.pacer = pacer or Pacer()

    @classmethod
    def open(cls, paths: Sequence[str | Path], pacer: Pacer | None = None) -> ReplayFeed:
        """Load, check and merge candle files. Raises FeedError (one line)."""
        return cls([file for path in paths for file in load_candle_file(path)], pacer)

    def columns(self) -> dict[tuple[str, str, int], dict[str, npt.NDArray[Any]]]:
        """Each series whole, by (exchange, symbol, bar length in us): `ts` (close times, us), open, high, low, close, volume."""
        out: dict[tuple[str, str, int], dict[str, npt.NDArray[Any]]] = {}
        for index, key in enumerate(self._keys):
            mine = self._series[self._order] == index
            rows = self._order[mine]
            out[key] = {name: column[rows] for name, column in zip(_COLUMNS, self._columns, strict=True)}
            out[key]["ts"] = self._ts[mine]
        return out

    def chunks(self, start_after: int | None = None) -> Iterator[list[FeedInput]]:
        """Candles with ts > `start_after`, and a Tick after each close time, CHUNK_INPUTS or fewer a list."""
        at = 0 if start_after is None else int(np.searchsorted(self._ts, start_after, side="right"))
        step = CHUNK_INPUTS if len(self._keys) > 1 else CHUNK_INPUTS // 2  # as many ticks as candles when alone
        while at < len(self._ts):
            end = min(at + step, len(self._ts))
            yield self._inputs(at, end)
            at = end

    def _inputs(self, at: int, end: int) -> list[FeedInput]:
        rows = self._order[at:end]
        times = self._ts[at : end + 1]
        last = (
            np.append(times[1:] != times[:-1], [True])[: end - at] if end == len(self._ts) else times[1:] != times[:-1]
        )
        closes = times[: end - at].tolist()
        names = zip(*map(self._keys.__getitem__, self._series[rows].tolist()), strict=True)
        candles = map(Candle, closes, *names, *(column[rows].tolist() for column in self._columns), closes)
        if last.all():
            return list(chain.from_iterable(zip(candles, map(Tick, closes), strict=True)))
        inputs: list[FeedInput] = []
        for candle, ends in zip(candles, last.tolist(), strict=True):
            inputs.append(candle)
            if ends:
                inputs.append(Tick(candle.ts))
        return inputs

    def earlier(self, exchange: str, symbol: str, since: int, until: int) -> list[Candle]:
        """The bars of a symbol with since < ts <= until, in order, wherever the recording is being played."""
        found: list[Candle] = []
        for chunk in self.chunks(since):
            found += [
                c for c in chunk if type(c) is Candle and c.ts <= until and (c.exchange, c.symbol) == (exchange, symbol)
            ]
            if chunk[-1].ts > until:
                break
        return found

    async def history(self, bars: int) -> list[Candle]:
        """Nothing: a recording begins where it begins, and its first bars are the warm-up."""
        return []

    def batches(self, start_after: int | None = None) -> AsyncIterator[list[FeedInput]]:
        return self.pacer.play(self, start_after)

    async def close(self) -> None:
        """Nothing to release: the files were read whole."""


def _joined(files: Sequence[CandleFile]) -> list[list[CandleFile]]:
    """Files of the same (exchange, symbol), in time order; the series sorted by (exchange, symbol)."""
    groups: dict[tuple[str, str], list[CandleFile]] = defaultdict(list)
    for file in files:
        groups[file.exchange, file.symbol].append(file)
    for (exchange, symbol), parts in groups.items():
        sizes = {part.timeframe_us: part for part in parts}
        if len(sizes) > 1:
            names = " and ".join(f"{timeframe_name(size)} ({sizes[size].path.name})" for size in sorted(sizes))
            raise FeedError(f"{exchange} {symbol}: two timeframes, {names} (replay one; the engine builds larger bars)")
        parts.sort(key=lambda part: (int(part.time_us[0]), int(part.time_us[-1])))
        for before, after in pairwise(parts):
            if after.time_us[0] <= before.time_us[-1]:
                raise FeedError(
                    f"{after.path.name}: time goes back: {exchange} {symbol} starts {utc(int(after.time_us[0]))}, but "
                    f"{before.path.name} runs to {utc(int(before.time_us[-1]))} (leave one out or cut it)"
                )
    return [groups[key] for key in sorted(groups)]


def _gaps(parts: Sequence[CandleFile]) -> Iterator[Gap]:
    """Gaps inside the parts and between them. Raises FeedError where a part is off the first one's grid."""
    yield from parts[0].gaps
    for before, after in pairwise(parts):
        size = before.timeframe_us
        expected, found = int(before.time_us[-1]) + size, int(after.time_us[0])
        if (found - expected) % size:
            raise FeedError(
                f"{after.path.name}: starts {utc(found)}, off the {timeframe_name(size)} grid of {before.path.name} "
                "(both must count bars from the same time)"
            )
        if found > expected:
            yield Gap(expected, found, (found - expected) // size, before.exchange, before.symbol)
        yield from after.gaps
