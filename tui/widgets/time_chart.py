"""A series over time in a chart: equity, a price, a drawdown."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from engine.core.types import DAY_US, MINUTE_US
from tui.charts import drawdown_chart, line_chart
from tui.plot import ChartColours, Drawing
from tui.raster import GraphSymbol, series
from tui.widgets.chart import Chart

if TYPE_CHECKING:
    from tui.raster import Floats, Ints

ChartKind = Literal["line", "drawdown"]
#: Zooming in ends here: less than this has no more samples.
SPAN_MIN_US = 5 * MINUTE_US


class TimeChart(Chart):
    """One series over time. Give it data with `set_series()` as often as you like.

    `kind`: "line" (equity, price) or "drawdown" (0 or negative, hanging from 0).
    """

    def __init__(
        self,
        kind: ChartKind = "line",
        *,
        colour: str = "up",
        symbol: GraphSymbol = "braille",
        empty_text: str = "no data yet",
        unit: str = "",
        id: str | None = None,
    ) -> None:
        super().__init__(colour=colour, symbol=symbol, empty_text=empty_text, id=id)
        self.kind = kind
        self.unit = unit
        self._xs: Sequence[int] | Ints = ()
        self._ys: Sequence[float] | Floats = ()
        self._span_us: int | None = None  # None: all of it
        self._end_us: int | None = None  # None: its end, wherever that is

    def set_series(self, xs_ts_us: Sequence[int] | Ints, ys: Sequence[Any] | Floats) -> None:
        """Show other data: times in microseconds UTC and as many values. The same data again costs nothing.

        Raises ValueError when there are not as many values as times.
        """
        import numpy as np

        xs, values = series(xs_ts_us, ys)
        if np.array_equal(xs, self._xs) and np.array_equal(values, self._ys, equal_nan=True):
            return
        self._xs, self._ys = xs, values
        self.changed()

    @property
    def latest(self) -> float | None:
        """The last value of the series, None without data."""
        return float(self._ys[-1]) if len(self._ys) else None

    @property
    def window(self) -> tuple[int, int] | None:
        """The part of time that is shown, us UTC; None for all of it."""
        if self._span_us is None or not len(self._xs):
            return None
        end = self._end_us if self._end_us is not None else int(self._xs[-1])
        return end - self._span_us, end

    def _extent(self) -> tuple[int, int]:
        return (int(self._xs[0]), int(self._xs[-1])) if len(self._xs) else (0, 0)

    def draw(self, width: int, height: int, colours: ChartColours) -> Drawing:
        if not len(self._xs):
            return self.message(self.empty_text, width, height, colours)
        chart = line_chart if self.kind == "line" else drawdown_chart
        return chart(
            self._xs, self._ys, width, height, colours,
            symbol=self.symbol, empty_text=self.empty_text, window=self.window,
        )  # fmt: skip

    def say(self, key: int) -> str:
        """The last value at or before `key`: a sample holds until the next one."""
        at = bisect_right(self._xs, key) - 1
        if at < 0:
            return f"{moment(key)} no value"
        value = float(self._ys[at])
        shown = f"{value:,.2f}{self.unit}" if value == value else "no value"
        return f"{moment(int(self._xs[at]))}  {shown}"

    def zoom(self, factor: float) -> None:
        first, last = self._extent()
        start, end = self.window or (first, last)
        span = max(SPAN_MIN_US, int((end - start) * factor))
        if span >= last - first:
            self.reset()
            return
        at = self.cursor if self.cursor is not None and start <= self.cursor <= end else end
        # What is under the cursor stays under it.
        self._span_us = span
        self._move_to(at + int((end - at) * factor))

    def _move_to(self, end: int) -> None:
        first, last = self._extent()
        end = max(end, first + (self._span_us or 0))
        self._end_us = None if end >= last else end

    def pan(self, share: float) -> bool:
        window = self.window
        if window is None:
            return False
        self._move_to(window[1] + int((self._span_us or 0) * share))
        return self.window != window

    def reset(self) -> None:
        self._span_us = self._end_us = None


def moment(ts_us: int) -> str:
    """`2026-11-21 14:03Z`, with seconds where there are any."""
    try:
        when = datetime.fromtimestamp(ts_us / 1e6, UTC)
    except (OverflowError, ValueError, OSError):
        return "no time"
    if ts_us % DAY_US == 0:
        return when.strftime("%Y-%m-%d 00:00Z")
    return when.strftime("%Y-%m-%d %H:%MZ" if ts_us % MINUTE_US == 0 else "%Y-%m-%d %H:%M:%SZ")
