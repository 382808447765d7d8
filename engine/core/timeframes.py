"""Bars of a higher timeframe, made of the stream's own: as a stream and as columns, equal by test.

A bar belongs to the period in which it ends. A period is closed by the bar that ends with it, or, after a gap, by the first
bar behind it; only then its bar exists (decisions.md 6). A period that the stream entered in the middle gives none, so that
its values do not depend on where a history was cut. Nor does a period without bars. Weeks begin on Monday.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.core.inputs import Candle
from engine.core.types import DAY_US, TIMEFRAMES_US

_WEEK_US = 7 * DAY_US
_MONDAY_US = 4 * DAY_US  # the epoch was a Thursday


class TimeframeError(ValueError):
    """A timeframe that cannot be made of the stream's bars; one line with the remedy."""


def check_timeframe(name: str, base_us: int) -> int:
    """How many bars of `base_us` make one of timeframe `name`. Raises TimeframeError when they do not."""
    if base_us <= 0:
        raise TimeframeError(f"timeframe {name} cannot be made of bars of unknown length: say how long they are")
    bars, rest = divmod(TIMEFRAMES_US[name], base_us)
    if rest or not bars:
        why = "shorter than" if not bars else "no multiple of"
        fit = [each for each, size in TIMEFRAMES_US.items() if size % base_us == 0]
        remedy = f"use one of {', '.join(fit)}" if fit else "leave the timeframe out"
        raise TimeframeError(f"timeframe {name} is {why} the stream's bars of {_words(base_us)}: {remedy}")
    return bars


def _words(base_us: int) -> str:
    return next((name for name, size in TIMEFRAMES_US.items() if size == base_us), f"{base_us / 1e6:g} s")


def _origin(size_us: int) -> int:
    return _MONDAY_US if size_us == _WEEK_US else 0


def period_start(size_us: int, ts: int) -> int:
    """When the period of that length begins that `ts` is in, us UTC."""
    return (ts - _origin(size_us)) // size_us * size_us + _origin(size_us)


class HigherBars:
    """The bar in the making of one higher timeframe."""

    __slots__ = ("_bar", "_begun", "_end", "_name", "_whole", "size_us")

    def __init__(self, name: str) -> None:
        self._name = name
        self.size_us = TIMEFRAMES_US[name]
        #: Open, high, low, close, volume so far; None between two bars.
        self._bar: list[float] | None = None
        self._end = 0
        self._whole = False
        self._begun = False

    def add(self, candle: Candle) -> tuple[Candle, ...]:
        """The bars that this one closes: none, one, or two after a gap. On the first: TimeframeError if it does not fit."""
        closed: tuple[Candle, ...] = ()
        bar = self._bar
        if bar is not None and candle.ts > self._end:
            closed = self._close(candle)
            bar = None
        if bar is None:
            self._open(candle)
        else:
            if candle.high > bar[1]:
                bar[1] = candle.high
            if candle.low < bar[2]:
                bar[2] = candle.low
            bar[3] = candle.close
            bar[4] += candle.volume
        return closed + self._close(candle) if candle.ts == self._end else closed

    def _open(self, candle: Candle) -> None:
        start = period_start(self.size_us, candle.ts - 1)
        if not self._begun:
            check_timeframe(self._name, candle.timeframe_us)
        self._whole = self._begun or candle.ts - candle.timeframe_us <= start
        self._begun = True
        self._end = start + self.size_us
        self._bar = [candle.open, candle.high, candle.low, candle.close, 0.0 + candle.volume]

    def _close(self, candle: Candle) -> tuple[Candle, ...]:
        bar, self._bar = self._bar, None
        if bar is None or not self._whole:
            return ()
        return (
            Candle(
                ts=self._end,
                exchange=candle.exchange,
                symbol=candle.symbol,
                timeframe_us=self.size_us,
                open=bar[0],
                high=bar[1],
                low=bar[2],
                close=bar[3],
                volume=bar[4],
                received_ts=candle.received_ts,
            ),
        )


def higher_columns(
    name: str, bars: Mapping[str, NDArray[Any]], base_us: int
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.int64]]:
    """The closed bars of timeframe `name` as columns, and for each bar of the stream the last one closed (-1: none yet).

    `bars` holds open, high, low, close, volume (float64, finite) and ts (close times, int64, ascending), one length.
    Raises TimeframeError like `check_timeframe`.
    """
    check_timeframe(name, base_us)
    size, count = TIMEFRAMES_US[name], len(bars["ts"])
    since = bars["ts"] - _origin(size)
    period = (since - 1) // size
    first = np.flatnonzero(np.diff(period, prepend=period[:1] - 1))
    last = np.append(first[1:], count)[: len(first)] - 1
    number = np.repeat(np.arange(len(first)), last - first + 1)
    higher = {
        "open": bars["open"][first],
        "high": np.maximum.reduceat(bars["high"], first) if count else bars["high"],
        "low": np.minimum.reduceat(bars["low"], first) if count else bars["low"],
        "close": bars["close"][last],
        "volume": np.bincount(number, bars["volume"], len(first)),  # adds one by one, as the stream does
    }
    closed_at = np.where(since[last] % size == 0, last, last + 1)
    if count and since[0] - base_us > period[0] * size:  # entered in the middle
        higher = {field: column[1:] for field, column in higher.items()}
        closed_at = closed_at[1:]
    seen = np.searchsorted(closed_at, np.arange(count), side="right") - 1
    return higher, seen.astype(np.int64)
