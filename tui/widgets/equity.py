"""Equity and drawdown over time: the app's thinned curve, drawn by the one chart widget."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.strip import Strip

from engine.client import EquityPoint, Snapshot
from tui.glyphs import fmt_clock, fmt_money
from tui.viewmodel import change
from tui.widgets.chart import Chart
from tui.widgets.tight import tighten


class TightChart(Chart, can_focus=True):
    """A chart that costs a slow line as little as it can."""

    def _build(self) -> list[Strip]:
        return [tighten(strip) for strip in super()._build()]


class EquityPanel(TightChart):
    """Equity in the base currency; the title has what was gained since the ledger was opened."""

    def __init__(self, *, id: str) -> None:
        super().__init__(
            "line", colour="up", empty_text="No equity yet: the first sample comes with the first candle.", id=id
        )
        self.border_title = "equity"
        self._shown: Sequence[EquityPoint] | None = None

    def paint(self, curve: Sequence[EquityPoint], snapshot: Snapshot) -> None:
        if curve is self._shown:
            return
        self._shown = curve
        self.set_series([point.ts for point in curve], [point.equity for point in curve])
        title = Text(
            f"equity {fmt_money(snapshot.equity, 2)} {snapshot.base_currency}, {change(snapshot.total_pct, '%').text} in all"
        )
        self.border_title = title
        if curve:
            self.border_subtitle = f"{fmt_clock(curve[0].ts)} to {fmt_clock(curve[-1].ts)}"


class DrawdownPanel(TightChart):
    """The fall from the highest equity so far, in percent."""

    def __init__(self, *, id: str) -> None:
        super().__init__("drawdown", colour="down", empty_text="No drawdown yet.", id=id)
        self.border_title = "drawdown %"
        self._shown: Sequence[EquityPoint] | None = None

    def paint(self, curve: Sequence[EquityPoint]) -> None:
        if curve is self._shown:
            return
        self._shown = curve
        self.set_series([point.ts for point in curve], [-point.drawdown * 100 for point in curve])
        if curve:
            worst = max(point.drawdown for point in curve) * 100
            self.border_subtitle = f"worst -{worst:.2f}%"
