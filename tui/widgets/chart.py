"""A chart in a rectangle: drawn again only when its data, size or colours change, and at most twice a second.

Its cursor is a column laid over the finished strips: moving it draws nothing anew and repaints two columns. What the column
holds is said in the lower border.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.app import RenderResult
from textual.binding import BindingType
from textual.color import Color, ColorParseError
from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from engine.core.text import safe_text
from tui.actions import bindings
from tui.plot import ChartColours, Drawing, message_strips
from tui.raster import GraphSymbol
from tui.theme import VARIABLE_DEFAULTS

#: Shortest time between two drawings because of new data; size and theme are followed at once.
REDRAW_INTERVAL_S = 0.5


class Chart(Widget, can_focus=True):
    """The part that all charts share. Subclasses give `draw` and `say`, and change their window in `zoom`, `pan` and `reset`.

    `colour`: a variable of the theme, such as "up". `symbol` can be changed at any time. `drawings` counts how often the
    chart was built.
    """

    DEFAULT_CSS = """
    Chart { height: 1fr; background: $background; color: $quiet; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("chart")]

    symbol: reactive[GraphSymbol] = reactive[GraphSymbol]("braille", init=False)

    class CursorMoved(Message):
        """The cursor stands at `key` now, None when it has gone."""

        def __init__(self, chart: Chart, key: int | None) -> None:
            super().__init__()
            self.chart = chart
            self.key = key

    class WindowChanged(Message):
        """Another part of the data is looked at: perhaps there is more of it elsewhere."""

        def __init__(self, chart: Chart) -> None:
            super().__init__()
            self.chart = chart

    def __init__(
        self,
        *,
        colour: str = "up",
        symbol: GraphSymbol = "braille",
        empty_text: str = "no data yet",
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self.colour = colour
        self.empty_text = safe_text(empty_text, 300)
        self.drawings = 0
        self.set_reactive(Chart.symbol, symbol)
        self.cursor: int | None = None
        self._legend = ""
        self._said: str | None = None
        self._drawing: Drawing | None = None
        self._cursor_styles = (Style(), Style())  # over a cell that is drawn, and over a blank one
        self._pending: Timer | None = None
        self._fresh = True

    # -- what a kind of chart is -------------------------------------------------------------------------------------

    def draw(self, width: int, height: int, colours: ChartColours) -> Drawing:
        raise NotImplementedError

    def say(self, key: int) -> str:
        """What is at a stop of the cursor, one line."""
        return ""

    def zoom(self, factor: float) -> None:
        """Look at `factor` times as much of it; below 1 is closer."""

    def pan(self, share: float) -> bool:
        """Move the window by a share of itself, later when positive; False at the end."""
        return False

    def reset(self) -> None:
        """All of it, and its end as it grows."""

    # -- drawing -----------------------------------------------------------------------------------------------------

    def on_mount(self) -> None:
        self._follow_symbol()

    def _follow_symbol(self) -> None:
        """The whole cockpit draws with one set of symbols; an app that has no word for it leaves ours alone."""
        self.symbol = getattr(self.app, "graph_symbol", self.symbol)

    def changed(self) -> None:
        """There is other data: draw it now, or when the last drawing is old enough."""
        self._fresh = False
        if self.is_attached and self._pending is None:
            self._follow_symbol()
            self._redraw_changes()
            self._pending = self.set_timer(REDRAW_INTERVAL_S, self._interval_over)

    def _interval_over(self) -> None:
        self._pending = None
        if not self._fresh:
            self.changed()

    def _redraw(self) -> None:
        self._drawing = None
        self._fresh = True
        self.refresh()
        self._speak()

    def _redraw_changes(self) -> None:
        """Draw anew, and repaint only what differs: a chart that has grown by a column is mostly the same."""
        before, at = self._drawing, self._cursor_column() if self._drawing is not None else None
        if before is None or len(before.strips) != self.size.height:
            self._redraw()
            return
        self._drawing = None
        self._fresh = True
        after = self.built()
        regions = [
            Region(first, y, last - first, 1)
            for y, (old, new) in enumerate(zip(before.strips, after.strips, strict=True))
            for first, last in (difference(old, new),)
            if last > first
        ]
        for column in {at, self._cursor_column()} - {None}:
            regions.append(Region(column or 0, 0, 1, self.size.height))
        if regions:
            self.refresh(*regions)
        self._speak()

    def entitle(self, words: str) -> None:
        """The words of the upper border. Setting `border_title` would repaint all of the chart."""
        title = Content(safe_text(words, 200))
        if title != self._border_title:
            self._border_title = title
            self.refresh(Region(-1, -1, self.size.width + 2, 1))

    @property
    def words(self) -> tuple[str, str]:
        """Upper and lower border without styles and markup."""
        upper, lower = self._border_title, self._border_subtitle
        return upper.plain if upper is not None else "", lower.plain if lower is not None else ""

    def legend(self, words: str) -> None:
        """What the lower border says while there is no cursor."""
        self._legend = words
        self._speak()

    def watch_symbol(self) -> None:
        self._redraw()

    def on_resize(self) -> None:
        self._redraw()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._drawing = None

    def colours(self) -> ChartColours:
        """Those of the theme."""
        variables = {**VARIABLE_DEFAULTS, **self.app.theme_variables}

        def colour(name: str) -> str:
            return _hex(variables.get(name, ""), VARIABLE_DEFAULTS.get(name, VARIABLE_DEFAULTS["up"]))

        return ChartColours(
            line=colour(self.colour),
            grid=colour("grid"),
            label=colour("quiet"),
            background=self.background_colors[1].hex6,
            up=colour("up"),
            down=colour("down"),
            stop=colour("fault"),
            grey=self.app.no_color or not any(Color.parse(colour(name)).hsl.s for name in ("up", "down")),
        )

    def built(self) -> Drawing:
        """The chart as it is, drawn if need be."""
        if self._drawing is None:
            self.drawings += 1
            width, height = self.size
            colours = self.colours()
            self._drawing = self.draw(width, height, colours)
            over = Style(bgcolor=_hex(self.app.theme_variables.get("cursor", ""), VARIABLE_DEFAULTS["cursor"]))
            self._cursor_styles = over, over + Style(color=colours.label)
        return self._drawing

    def message(self, text: str, width: int, height: int, colours: ChartColours) -> Drawing:
        return Drawing(message_strips(text, width, height, colours))

    def render(self) -> RenderResult:
        # Lines come from `render_line`; this is what a measurement of the widget would ask for.
        return ""

    def render_line(self, y: int) -> Strip:
        strips = self.built().strips
        if y >= len(strips):
            return Strip.blank(self.size.width, self.rich_style)
        column = self._cursor_column()
        if column is None or y >= len(strips) - 1:  # the labels stay legible
            return strips[y]
        return self._with_cursor(strips[y], column)

    def _with_cursor(self, strip: Strip, column: int) -> Strip:
        """The strip with the cursor in one of its cells: cut once, every row of the chart waits for it with each key."""
        segments, at = list(strip), 0
        for n, segment in enumerate(segments):
            width = segment.cell_length
            if at + width > column:
                before, rest = segment.split_cells(column - at)
                cell, after = rest.split_cells(1)
                marked = (part for part in (before, self._marked(cell), after) if part.text)
                return Strip([*segments[:n], *marked, *segments[n + 1 :]], strip.cell_length)
            at += width
        return strip

    def _marked(self, cell: Segment) -> Segment:
        over, thin = self._cursor_styles
        if cell.text == " ":
            return Segment("|" if self.symbol == "ascii" else "│", thin)
        return Segment(cell.text, (cell.style or Style()) + over)

    # -- the cursor --------------------------------------------------------------------------------------------------

    def _stop(self, key: int) -> int | None:
        """The stop nearest to `key`; None without stops."""
        keys = self.built().keys
        if not keys:
            return None
        after = bisect_left(keys, key)
        near = [n for n in (after - 1, after) if 0 <= n < len(keys)]
        return min(near, key=lambda n: abs(keys[n] - key))

    def _cursor_column(self) -> int | None:
        stop = self._stop(self.cursor) if self.cursor is not None else None
        return None if stop is None else self.built().stops[stop]

    def put_cursor(self, key: int | None) -> None:
        """Move the cursor to the stop nearest to `key`, or away. Posts nothing."""
        before, self.cursor = self._cursor_column(), key
        after = self._cursor_column()
        columns = [c for c in {before, after} if c is not None]
        if before != after and columns:
            self.refresh(*(Region(column, 0, 1, self.size.height) for column in columns))
        self._speak()

    def _speak(self) -> None:
        """Bring the lower border up to date."""
        said = self._legend
        if self.cursor is not None and self.is_attached:
            stop = self._stop(self.cursor)
            said = self.say(self.built().keys[stop]) if stop is not None else ""
        if said != self._said:
            self._said = said
            self._border_subtitle = Content(safe_text(said, 300)) if said else None
            self.refresh(Region(-1, self.size.height, self.size.width + 2, 1))

    def _go(self, step: int) -> None:
        drawing = self.built()
        if not drawing.keys:
            return
        if self.cursor is None:
            stop = len(drawing.keys) - 1 if step < 0 else 0
        else:
            stop = (self._stop(self.cursor) or 0) + step
            if not 0 <= stop < len(drawing.keys):
                if not self.pan(0.25 if step > 0 else -0.25):
                    return
                self._window_changed()
                stop = (self._stop(self.cursor) or 0) + step
        keys = self.built().keys
        self.put_cursor(keys[min(max(stop, 0), len(keys) - 1)])
        self.post_message(self.CursorMoved(self, self.cursor))

    def _window_changed(self) -> None:
        self._redraw()
        self.post_message(self.WindowChanged(self))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        drawing = self.built()
        if offset is not None and drawing.stops:
            near = min(range(len(drawing.stops)), key=lambda n: abs(drawing.stops[n] - offset.x))
            self.put_cursor(drawing.keys[near])
            self.post_message(self.CursorMoved(self, self.cursor))

    def action_chart_left(self) -> None:
        self._go(-1)

    def action_chart_right(self) -> None:
        self._go(1)

    def action_zoom_in(self) -> None:
        self.zoom(0.5)
        self._window_changed()

    def action_zoom_out(self) -> None:
        self.zoom(2.0)
        self._window_changed()

    def action_zoom_reset(self) -> None:
        self.reset()
        self.put_cursor(None)
        self._window_changed()
        self.post_message(self.CursorMoved(self, None))

    def action_pan_left(self) -> None:
        if self.pan(-0.5):
            self._window_changed()

    def action_pan_right(self) -> None:
        if self.pan(0.5):
            self._window_changed()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        # Esc without a cursor belongs to whoever has a use for it: in the past that is the way back.
        past = getattr(self.app, "past", None)
        return self.cursor is not None or past is None or not past.busy if action == "no_cursor" else True

    def action_no_cursor(self) -> None:
        self.put_cursor(None)
        self.post_message(self.CursorMoved(self, None))


def difference(old: Strip, new: Strip) -> tuple[int, int]:
    """The columns [first, last) in which two strips of one width can differ."""
    before, after = list(old), list(new)
    ends = []
    for ahead, behind in ((before, after), (before[::-1], after[::-1])):
        same = 0
        for one, other in zip(ahead, behind, strict=False):
            if one != other:
                break
            same += one.cell_length
        ends.append(same)
    return ends[0], new.cell_length - ends[1]


def _hex(colour: str, fallback: str) -> str:
    """A colour of the theme as "#rrggbb"; a theme with the terminal's own colours has none to give."""
    try:
        return Color.parse(colour).hex6
    except ColorParseError:
        return fallback
