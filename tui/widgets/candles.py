"""Candles of one symbol with what was traded on them: entries, exits, stops and targets."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from engine.client import Bar, TradeView
from tui.charts import GLYPHS, Level, Mark, MarkKind, candle_chart
from tui.glyphs import DOWN, FLAT, UP
from tui.plot import ChartColours, Drawing
from tui.widgets.chart import Chart
from tui.widgets.time_chart import moment

#: Columns of a candle, from far to near.
STEPS = (1, 2, 3, 4, 6)
EMPTY = "No bar of this symbol yet: the chart fills as the feed delivers. s: another symbol, f: another timeframe."


class CandleChart(Chart):
    """The newest bars that fit, or those up to a time that one has moved to. `coarser` is set when zooming out found no room."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(empty_text=EMPTY, id=id)
        self._bars: Sequence[Bar] = ()
        self._times: list[int] = []
        self._trips: Sequence[TradeView] = ()
        self._places = 2
        self._step = 1
        self._end_ts: int | None = None
        self.coarser = False

    def set_bars(self, bars: Sequence[Bar], trips: Sequence[TradeView], places: int) -> None:
        """Show these, oldest first; `trips` are those of the symbol, `places` the decimals of its prices."""
        self._bars, self._trips, self._places = bars, trips, places
        self._times = [bar[0] for bar in bars]
        self.changed()

    def forget_window(self) -> None:
        """Another series: what was looked at of the last one means nothing here."""
        self._end_ts = self.cursor = None

    @property
    def _end(self) -> int:
        """Index behind the last bar that is shown."""
        return len(self._bars) if self._end_ts is None else bisect_left(self._times, self._end_ts + 1)

    @property
    def shows_oldest(self) -> bool:
        """Whether the oldest bar is in sight: older ones would be welcome."""
        keys = self.built().keys
        return not keys or not self._times or keys[0] == self._times[0]

    def draw(self, width: int, height: int, colours: ChartColours) -> Drawing:
        end = self._end
        begin = max(0, end - max(1, width))
        bars = self._bars[begin:end]
        marks, levels = self._traded(bars) if bars else ([], [])
        return candle_chart(
            bars, width, height, colours,
            marks=marks, levels=levels, step=self._step, symbol=self.symbol, empty_text=self.empty_text,
        )  # fmt: skip

    def _traded(self, bars: Sequence[Bar]) -> tuple[list[Mark], list[Level]]:
        times = [bar[0] for bar in bars]
        length = times[-1] - times[-2] if len(times) > 1 else 60_000_000
        begin, last = times[0] - length, times[-1]
        marks: list[Mark] = []
        levels: list[Level] = []
        for trip in self._trips:
            end_ts = trip.exit_ts or last
            if trip.entry_ts > last or end_ts <= begin:
                continue
            if trip.entry_ts > begin:
                marks.append(Mark(bisect_left(times, trip.entry_ts), trip.entry_price, _side(trip)))
            if trip.exit_ts and trip.exit_ts <= last:
                at = bisect_left(times, trip.exit_ts)
                marks.append(Mark(at, trip.exit_price, "gain" if trip.pnl >= 0 else "loss"))
            levels += _levels(trip, times, end_ts)
        return marks, levels

    def say(self, key: int) -> str:
        at = bisect_left(self._times, key)
        if at >= len(self._bars):
            return ""
        ts, open_, high, low, close, volume = self._bars[at]
        change = (close / open_ - 1) * 100 if open_ else 0.0
        sign = UP if change > 0 else DOWN if change < 0 else FLAT
        p = self._places
        words = f"{moment(ts)}  O {open_:,.{p}f} H {high:,.{p}f} L {low:,.{p}f} C {close:,.{p}f}"
        words += f" {sign}{change:+.2f}% V {volume:,.4g}"
        since = self._times[at - 1] if at else ts - 1
        for trip in self._trips:
            if since < trip.entry_ts <= ts:
                words += f"  {GLYPHS[_side(trip)][0]} {_side(trip)} {trip.entry_price:,.{p}f}"
            if since < trip.exit_ts <= ts:
                kind = "gain" if trip.pnl >= 0 else "loss"
                words += f"  {GLYPHS[kind][0]} {kind} {trip.exit_price:,.{p}f} {trip.pnl:+,.2f} {trip.reason}"
        return words

    def zoom(self, factor: float) -> None:
        at = STEPS.index(self._step) + (1 if factor < 1 else -1)
        self.coarser = at < 0
        if 0 <= at < len(STEPS):
            self._step = STEPS[at]

    def pan(self, share: float) -> bool:
        keys = self.built().keys
        if not keys:
            return False
        fit = len(keys)
        before = self._end
        end = min(
            len(self._bars), max(min(fit, len(self._bars)), before + (round(fit * share) or (1 if share > 0 else -1)))
        )
        self._end_ts = None if end >= len(self._bars) else self._times[end - 1]
        return end != before

    def reset(self) -> None:
        self._step, self._end_ts = 1, None


def _side(trip: TradeView) -> MarkKind:
    return "short" if trip.side.upper() == "SHORT" else "long"


def _levels(trip: TradeView, times: Sequence[int], end_ts: int) -> list[Level]:
    """The plan of exits piece by piece, in bars."""
    found: list[Level] = []
    last = len(times) - 1
    for at, (ts, stop, target) in enumerate(trip.exits):
        until_ts = trip.exits[at + 1][0] if at + 1 < len(trip.exits) else end_ts
        if until_ts < times[0]:
            continue
        since, until = min(last, bisect_left(times, ts)), min(last, bisect_left(times, until_ts))
        if stop is not None:
            found.append(Level(since, until, stop, "stop"))
        if target is not None:
            found.append(Level(since, until, target, "target"))
    return found
