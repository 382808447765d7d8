"""The spread of closed round trips by their result."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from engine.core.text import safe_text
from tui.charts import Bins, bins_of, histogram_chart
from tui.plot import ChartColours, Drawing
from tui.widgets.chart import Chart

EMPTY = "No round trip has ended yet: results appear here when positions close."


class ResultsChart(Chart):
    """A histogram. Its cursor goes from bin to bin."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(empty_text=EMPTY, id=id)
        self._values: tuple[float, ...] = ()

    def set_values(self, values: Sequence[float], currency: str) -> None:
        """Show these results, in any order."""
        values = tuple(values)
        if values == self._values:
            return
        self._values = values
        self.entitle(f"P&L of {len(values):,} round trips, {safe_text(currency, 12)}")
        gains = sum(value > 0 for value in values)
        words = ""
        if values:
            words = f"{gains} won, {len(values) - gains} lost, mean {fmean(values):+,.2f}"
        self.legend(words)
        self.changed()

    def _bins(self, width: int) -> Bins | None:
        return bins_of(self._values, max(2, width // 3))

    def draw(self, width: int, height: int, colours: ChartColours) -> Drawing:
        return histogram_chart(
            self._bins(width), width, height, colours, symbol=self.symbol, empty_text=self.empty_text
        )

    def say(self, key: int) -> str:
        bins = self._bins(self.size.width)
        if bins is None or not 0 <= key - bins.first < len(bins.counts):
            return ""
        count, p = bins.counts[key - bins.first], bins.places
        low, high = (f"{edge * bins.width:+,.{p}f}" if edge else "0" for edge in (key, key + 1))
        return f"{low} to {high}: {count} of {len(self._values):,}"
