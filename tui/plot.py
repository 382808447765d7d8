"""The frame of a chart and what all charts share: the one file that knows plotext 5.3.

plotext lays out axes, ticks and labels. Why 5.3: it is plain Python; plotext 6 has a C++ kernel that aborts the process on one
NaN, and this process trades. plotext keeps module-wide tables, so it is used from the UI thread only; it is imported with the
first chart, after the first paint.

Private names of plotext 5.3.2: `plotext._figure._figure_class` (a figure of its own instead of the module-wide one), its
`_limit_size` (a plot larger than the terminal plotext believes to be in), `_set_sizes`, `_build_matrix` and
`monitor.matrix.marker` (the cells, before they become one long string that we would have to read again).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tui.raster import MARKERS, Canvas, GraphSymbol, scale
from tui.theme import VARIABLE_DEFAULTS
from tui.ticks import count_ticks, value_ticks

_FRAME = frozenset("┌┐└┘─│┤├┬┴┼")
_ASCII_FRAME = str.maketrans("┌┐└┘─│┤├┬┴┼", "++++-|+++++")
#: A chart smaller than this has no room for axes; a canvas narrower than that gives up its labels.
MIN_WIDTH, MIN_HEIGHT = 16, 4
_LEAST_CANVAS = 8


@dataclass(frozen=True, slots=True)
class ChartColours:
    """Colours of a chart as "#rrggbb": the line, its frame, its labels, what is behind; gain, loss and stops."""

    line: str
    grid: str
    label: str
    background: str
    up: str = VARIABLE_DEFAULTS["up"]
    down: str = VARIABLE_DEFAULTS["down"]
    stop: str = VARIABLE_DEFAULTS["fault"]
    grey: bool = False  # gain and loss cannot be told apart by colour

    def palette(self) -> dict[str, Style]:
        """The styles of a canvas by name; "" is blank."""
        names = ("line", "grid", "label", "up", "down", "stop")
        styles = {name: Style(color=getattr(self, name), bgcolor=self.background) for name in names}
        return {"": styles["label"], **styles}


class Drawing(NamedTuple):
    """A chart as strips. `stops` are the columns that a cursor can stand on, from the left, and `keys` what each of them is:
    us UTC, or the number of a bin."""

    strips: list[Strip]
    stops: Sequence[int] = ()
    keys: Sequence[int] = ()


def message_strips(text: str, width: int, height: int, colours: ChartColours) -> list[Strip]:
    """`height` strips of `width` cells with words in the middle, on as many lines as they need."""
    base = Style(color=colours.label, bgcolor=colours.background)
    strips = [Strip.blank(width, base) for _ in range(height)]
    if strips and width:
        lines = _wrapped(text, width)[:height]
        top = (height - len(lines)) // 2
        for row, line in enumerate(lines, start=top):
            strips[row] = Strip([Segment(line[:width].center(width), base)]).adjust_cell_length(width, base)
    return strips


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def safely(
    draw: Callable[[], Drawing | None], width: int, height: int, colours: ChartColours, empty_text: str
) -> Drawing:
    """What `draw` makes; words where there is no room, no data, or where it fails."""
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        return Drawing(message_strips("…", max(width, 0), max(height, 0), colours))
    try:
        return draw() or Drawing(message_strips(empty_text, width, height, colours))
    except Exception as error:
        # Any error of the drawing, of whatever kind, must stay inside this rectangle.
        return Drawing(message_strips(f"chart unavailable ({type(error).__name__})", width, height, colours))


# -- the frame -----------------------------------------------------------------------------------------------------------


class Plot:
    """The canvas inside the axes of a chart of `size`, from `low` to `high`; `whole` has ticks at whole numbers only."""

    def __init__(
        self, size: tuple[int, int], low: float, high: float, symbol: GraphSymbol, *, whole: bool = False
    ) -> None:
        self.low, self.high = low, high
        self._size, self._symbol = size, symbol
        self.height = size[1] - 2
        count = max(1, min(6, self.height // 2))
        ticks, labels = count_ticks(int(high), count) if whole else value_ticks(low, high, count)
        longest = max((len(label) for label in labels), default=0)
        if size[0] - longest - 1 < _LEAST_CANVAS:
            ticks, labels, longest = [], [], 0
        self.left = longest + 1
        self.width = size[0] - self.left
        up = MARKERS[symbol].up
        self._scale, self._up = scale(low, high, self.height * up), up
        self._yticks = tuple(
            (self.height - 1 - self.row(tick), label) for tick, label in zip(ticks, labels, strict=True)
        )
        self.canvas = Canvas(self.width, self.height)

    def row(self, value: float) -> int:
        """The row of a value, 0 at the top."""
        return self.height - 1 - self._scale(value) // self._up

    def strips(self, xticks: tuple[tuple[int, str], ...], colours: ChartColours) -> list[Strip]:
        """Frame and canvas; `xticks` are columns of the canvas and their labels."""
        width, height = self._size
        plain, left = self._symbol == "ascii", self.left
        # Two small figures instead of a large one: the left axis stays while time moves on, and plotext takes time per cell.
        side, side_styles = _frame(left + 2, height, self._yticks, ((0, " "),), plain)
        foot, foot_styles = _frame(width, 3, ((0, " " * (left - 1)),), xticks, plain)
        whole = Canvas(width, height)
        for row in range(self.height):
            whole.chars[row] = side[row][:left] + self.canvas.chars[row]
            whole.styles[row] = side_styles[row][:left] + self.canvas.styles[row]
        whole.chars[-2:], whole.styles[-2:] = foot[-2:], foot_styles[-2:]
        return whole.strips(colours.palette())


@lru_cache(maxsize=64)
def _frame(
    width: int, height: int, yticks: tuple[tuple[int, str], ...], xticks: tuple[tuple[int, str], ...], plain: bool
) -> tuple[list[list[str]], list[list[str]]]:
    """Axes with their ticks and labels as plotext lays them out: characters and style names, row 0 at the top.

    Ticks are cells of the canvas: `yticks` from its lowest row, `xticks` from its left edge. Labels that would overlap are
    left out.
    """
    from plotext._figure import _figure_class

    figure = _figure_class()
    figure._limit_size(False, False)
    figure.plot_size(width, height)
    # No frame above and to the right: it says nothing and takes two rows of dots.
    figure.xaxes(True, False)
    figure.yaxes(True, False)
    left = max((len(label) for _, label in yticks), default=0) + 1
    figure.xlim(0, max(1, width - left - 1))
    figure.ylim(0, max(1, height - 3))
    figure.yticks([row for row, _ in yticks], [label for _, label in yticks])
    figure.xticks([column for column, _ in xticks], [label for _, label in xticks])
    figure.scatter([0], [0], marker=" ")  # without a signal plotext draws no axis
    figure._set_sizes()
    figure._build_matrix()
    rows = [[str(char) for char in row] for row in reversed(figure.monitor.matrix.marker)]
    vars(figure).clear()  # a figure points at itself: hundreds of lists would wait for the garbage collector
    styles = [["grid" if char in _FRAME else "label" for char in row] for row in rows]
    if plain:
        rows = [list("".join(row).translate(_ASCII_FRAME)) for row in rows]
    return rows, styles
