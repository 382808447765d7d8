"""Bars of longer timeframes made of shorter ones as they come: what a chart shows, and nothing that is traded on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.client import Bar
from engine.core.types import TIMEFRAMES_US

#: What the picker offers, as far as the recorded bars allow.
TIMEFRAMES = ("1m", "5m", "15m", "1h", "4h", "1d")


def offered(base_us: int) -> list[str]:
    """Timeframes that bars of `base_us` can be made into; the bars' own when it is none of the usual ones."""
    names = [name for name in TIMEFRAMES if base_us > 0 and TIMEFRAMES_US[name] % base_us == 0]
    own = next((name for name, size in TIMEFRAMES_US.items() if size == base_us), "")
    return names if own in names or not own else [own, *names]


class Folded:
    """Bars of one timeframe, oldest first; the last one may still grow. Times are of their close."""

    def __init__(self, length_us: int) -> None:
        self.length_us = length_us
        self.bars: list[Bar] = []
        self.newest_ts = -1  # of what was folded
        self._whole = 0  # so many of the first bars came whole from the past

    def add(self, bars: Iterable[Bar]) -> bool:
        """Take in newer bars; True when there was one. Older ones than the newest are passed over."""
        grown = False
        for ts, open_, high, low, close, volume in bars:
            if ts <= self.newest_ts:
                continue
            grown = True
            self.newest_ts = ts
            end = -(-ts // self.length_us) * self.length_us
            last = self.bars[-1] if self.bars else None
            if last is not None and last[0] == end:
                self.bars[-1] = (end, last[1], max(last[2], high), min(last[3], low), close, last[5] + volume)
            elif last is None or end > last[0]:
                self.bars.append((end, open_, high, low, close, volume))
        return grown

    def put_before(self, bars: Sequence[Bar]) -> int:
        """Put bars of the same length in front; how many were older than the oldest here.

        The first bar made here may have begun in the middle of its time: the past has it whole.
        """
        first = self.bars[0][0] if self.bars else None
        older = [bar for bar in bars if first is None or bar[0] < first]
        if not self._whole and first is not None and len(self.bars) > 1:
            whole = next((bar for bar in bars if bar[0] == first), None)
            if whole is not None:
                self.bars[0] = whole
        self._whole += len(older)
        self.bars[:0] = older
        return len(older)
