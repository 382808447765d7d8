"""What was before the bars in memory: from storage when the data is live, from the recording itself when it is played.

Strategies on long timeframes need more bars to warm up than memory holds (`TAIL_BARS`). Storage keeps minutes for a month and
longer bars for years, so the past is a row of bars without a gap between them that grow shorter towards the present.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from engine.core.inputs import Candle
from engine.core.market import Key, Market
from engine.core.setup import Setup
from engine.core.timeframes import period_start

#: (exchange, symbol, bar length, since, until) -> the bars that open at or after `since` and close at or before `until`.
Fetch = Callable[[str, str, int, int, int], Awaitable[list[Candle]]]
#: Bars without a trade are not made; a hole that is longer than so many of them was nobody's watch.
HOLE_BARS = 10


class Recording(Protocol):
    """A feed that can show again what it has played."""

    def earlier(self, exchange: str, symbol: str, since: int, until: int) -> list[Candle]:
        """The bars with since < ts <= until, in order."""
        ...


class Past:
    """Puts into a market what a setup needs of the past; `Engine.past`."""

    def __init__(self, source: Recording | Fetch, timeframe_us: int) -> None:
        self._source, self._timeframe_us = source, timeframe_us

    async def __call__(self, market: Market, setup: Setup, until: int | None = None) -> None:
        """`until` is where the past ends for symbols that have no bar in memory, us UTC (None: they have no past)."""
        for key, reach in market.reaches(setup, self._timeframe_us).items():
            series = market.series[key]
            end = series.tail[0].open_ts if series.tail else until
            now = series.close_ts if series.tail else until
            if end is None or now is None:
                continue
            size = series.timeframe_us or self._timeframe_us
            if callable(self._source):
                series.past = await stored(self._source, key, reach, now, end)
            else:
                since = min(now - max(reach.values()), end)
                series.past = await asyncio.to_thread(self._source.earlier, *key, since - size, end)


async def stored(fetch: Fetch, key: Key, reach: Mapping[int, int], now: int, end: int) -> list[Candle]:
    """Bars that close at or before `end`: the shortest next to it, each length back to where the next one takes over, and as
    far as `reach` asks from `now`. Ends where nothing is stored."""
    sizes = sorted(reach)
    past: list[Candle] = []
    edge = end
    for size, longer in zip(sizes, [*sizes[1:], 0], strict=True):
        start = min(edge, now - reach[size])
        if longer:
            start = period_start(longer, start)
        if start >= edge:
            continue
        bars = _unbroken(await fetch(*key, size, start, edge), size, edge)
        past = bars + past
        if not bars or bars[0].open_ts - start > HOLE_BARS * size:
            break
        edge = start
    return past


def _unbroken(bars: list[Candle], size: int, edge: int) -> list[Candle]:
    """The newest of them, back to the first hole; none when the hole is right before `edge`."""
    first = len(bars)
    for bar in reversed(bars):
        if edge - bar.ts > HOLE_BARS * size:
            break
        first, edge = first - 1, bar.open_ts
    return bars[first:]
