"""A chart in a rectangle: drawn again only when its data, size or colours change, and at most twice a second."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from textual.app import RenderResult
from textual.color import Color, ColorParseError
from textual.reactive import reactive
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from engine.core.text import safe_text
from tui.charts import ChartColours, GraphSymbol, Number, drawdown_chart, line_chart, message_strips
from tui.theme import VARIABLE_DEFAULTS

ChartKind = Literal["line", "drawdown"]

#: Shortest time between two drawings because of new data; size and theme are followed at once.
REDRAW_INTERVAL_S = 0.5


class Chart(Widget):
    """One series over time. Give it data with `set_series()` as often as you like.

    `kind`: "line" (equity, price) or "drawdown" (percent, 0 or negative). `colour`: a variable of the theme, such as
    "up". `symbol` can be changed at any time. `drawings` counts how often the chart was built.
    """

    DEFAULT_CSS = """
    Chart { height: 1fr; background: $background; color: $quiet; }
    """

    symbol: reactive[GraphSymbol] = reactive[GraphSymbol]("braille", init=False)

    def __init__(
        self,
        kind: ChartKind = "line",
        *,
        colour: str = "up",
        symbol: GraphSymbol = "braille",
        empty_text: str = "no data yet",
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self.kind = kind
        self.colour = colour
        self.empty_text = safe_text(empty_text, 200)
        self.drawings = 0
        self.set_reactive(Chart.symbol, symbol)
        self._xs: tuple[int, ...] = ()
        self._ys: tuple[Number, ...] = ()
        self._strips: list[Strip] | None = None
        self._pending: Timer | None = None

    def set_series(self, xs_ts_us: Sequence[int], ys: Sequence[Number]) -> None:
        """Show other data: times in microseconds UTC and as many values. The same data again costs nothing.

        Raises ValueError when there are not as many values as times.
        """
        if len(xs_ts_us) != len(ys):
            raise ValueError(f"{len(xs_ts_us)} times but {len(ys)} values: a chart needs one value for each time")
        xs, values = tuple(xs_ts_us), tuple(ys)
        if xs == self._xs and values == self._ys:
            return
        self._xs, self._ys = xs, values
        if not self.is_attached:
            return
        if self._pending is None:
            self._redraw()
            self._pending = self.set_timer(REDRAW_INTERVAL_S, self._interval_over)

    @property
    def latest(self) -> Number:
        """The last value of the series, None without data."""
        return self._ys[-1] if self._ys else None

    def _interval_over(self) -> None:
        self._pending = None
        if self._drawn_for != (self._xs, self._ys):
            self._redraw()
            self._pending = self.set_timer(REDRAW_INTERVAL_S, self._interval_over)

    _drawn_for: tuple[tuple[int, ...], tuple[Number, ...]] = ((), ())

    def _redraw(self) -> None:
        self._strips = None
        self._drawn_for = (self._xs, self._ys)
        self.refresh()

    def watch_symbol(self) -> None:
        self._redraw()

    def on_resize(self) -> None:
        self._redraw()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips = None

    def _colours(self) -> ChartColours:
        variables = {**VARIABLE_DEFAULTS, **self.app.theme_variables}
        background = self.background_colors[1]
        return ChartColours(
            line=_hex(variables.get(self.colour, ""), VARIABLE_DEFAULTS["up"]),
            grid=_hex(variables["grid"], VARIABLE_DEFAULTS["grid"]),
            label=_hex(variables["quiet"], VARIABLE_DEFAULTS["quiet"]),
            background=background.hex6,
        )

    def _build(self) -> list[Strip]:
        self.drawings += 1
        xs, ys = self._drawn_for
        colours, (width, height) = self._colours(), self.size
        if not ys:
            return message_strips(self.empty_text, width, height, colours)
        draw = line_chart if self.kind == "line" else drawdown_chart
        return draw(xs, ys, width, height, colours, symbol=self.symbol, empty_text=self.empty_text)

    def render(self) -> RenderResult:
        # Lines come from `render_line`; this is what a measurement of the widget would ask for.
        return ""

    def render_line(self, y: int) -> Strip:
        if self._strips is None:
            self._strips = self._build()
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width, self.rich_style)


def _hex(colour: str, fallback: str) -> str:
    """A colour of the theme as "#rrggbb"; a theme with the terminal's own colours has none to give."""
    try:
        return Color.parse(colour).hex6
    except ColorParseError:
        return fallback
