"""Line and drawdown charts as strips: the one file that knows plotext 5.3.

Why 5.3: it is plain Python. plotext 6 has a C++ kernel that aborts the process on one NaN, and this process trades.
plotext keeps module-wide tables, so it is used from the UI thread only; it is imported with the first chart, after the
first paint. What comes in is checked here: only finite floats, at most two points per column of dots, own ticks and
labels. Whatever still goes wrong in a drawing becomes a strip that says so: a chart is never worth a crash.

Private names of plotext 5.3.2: `plotext._figure._figure_class` (a figure of its own instead of the module-wide one) and
its `_limit_size` (a plot larger than the terminal plotext believes to be in).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any, Literal

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.strip import Strip

from engine.core.types import SECOND_US
from tui.ansi import ansi_to_strips

GraphSymbol = Literal["braille", "block", "ascii"]
Number = float | Decimal | None

#: plotext's marker and the dots one cell has across, for each symbol set. "hd" are quarter blocks.
_MARKERS: dict[GraphSymbol, tuple[str, int]] = {"braille": ("braille", 2), "block": ("hd", 2), "ascii": ("*", 1)}
_FRAME = "┌┐└┘─│┤├┬┴┼"
_FRAME_RUN = re.compile(f"([{_FRAME}]+)")
_ASCII_FRAME = str.maketrans(_FRAME, "++++-|+++++")
#: A chart smaller than this has no room for axes.
MIN_WIDTH, MIN_HEIGHT = 16, 4
#: More gaps than this are noise of the data; then the line is drawn through.
_SEGMENTS_MAX = 64
#: Values beyond this are not money; their labels would fill the chart.
_VALUE_MAX = 1e15
_TIME_STEPS_S = (
    1, 5, 10, 30, 60, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000,
    7776000, 31536000,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ChartColours:
    """Colours of a chart as "#rrggbb": the line, its frame, its labels, and what is behind."""

    line: str
    grid: str
    label: str
    background: str


@dataclass(frozen=True, slots=True)
class _Axes:
    """What the data needs: seconds from the first point, limits, segments of points without gaps."""

    start_us: int
    end_s: float
    low: float
    high: float
    segments: tuple[tuple[list[float], list[float]], ...]


def line_chart(
    xs_ts_us: Sequence[int],
    ys: Sequence[Number],
    width: int,
    height: int,
    colours: ChartColours,
    *,
    symbol: GraphSymbol = "braille",
    empty_text: str = "no data yet",
) -> list[Strip]:
    """A line over UTC time, `height` strips of `width` cells.

    `xs_ts_us`: microseconds UTC; `ys`: as many values. None, NaN, infinity and values beyond 1e15 are gaps. With two
    values of a width or height too small for axes, or no finite value at all, the strips say so.
    """
    return _chart(xs_ts_us, ys, (width, height), colours, symbol, empty_text, _draw_line)


def drawdown_chart(
    xs_ts_us: Sequence[int],
    drawdowns_pct: Sequence[Number],
    width: int,
    height: int,
    colours: ChartColours,
    *,
    symbol: GraphSymbol = "block",
    empty_text: str = "no data yet",
) -> list[Strip]:
    """The distance from the highest equity so far in percent, 0 or negative, as an area hanging from 0."""
    return _chart(xs_ts_us, drawdowns_pct, (width, height), colours, symbol, empty_text, _draw_drawdown)


def message_strips(text: str, width: int, height: int, colours: ChartColours) -> list[Strip]:
    """`height` strips of `width` cells with one line of words in the middle."""
    base = Style(color=colours.label, bgcolor=colours.background)
    strips = [Strip.blank(width, base) for _ in range(height)]
    if strips and width:
        line = text[:width].center(width)
        strips[(height - 1) // 2] = Strip([Segment(line, base)]).adjust_cell_length(width, base)
    return strips


_Draw = Callable[[Any, _Axes, str, tuple[int, int, int]], None]


def _chart(
    xs_ts_us: Sequence[int],
    ys: Sequence[Number],
    size: tuple[int, int],
    colours: ChartColours,
    symbol: GraphSymbol,
    empty_text: str,
    draw: _Draw,
) -> list[Strip]:
    width, height = size
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        return message_strips("…", max(width, 0), max(height, 0), colours)
    try:
        marker, dots = _MARKERS[symbol]
        axes = _axes(xs_ts_us, ys, width * dots, zero_top=draw is _draw_drawdown)
        if axes is None:
            return message_strips(empty_text, width, height, colours)
        text = _plot(axes, width, height, marker, colours, draw)
        return _strips(text, width, height, colours, symbol)
    except Exception as error:
        # Any error of the drawing library, of whatever kind, must stay inside this rectangle.
        return message_strips(f"chart unavailable ({type(error).__name__})", width, height, colours)


# -- data ----------------------------------------------------------------------------------------------------------------


def _axes(xs_ts_us: Sequence[int], ys: Sequence[Number], columns: int, *, zero_top: bool) -> _Axes | None:
    """Finite points in order of time, thinned to at most two per column of dots, or None without any."""
    points = sorted(((x, _finite(y)) for x, y in zip(xs_ts_us, ys, strict=True)), key=lambda point: point[0])
    finite = [y for _, y in points if y is not None]
    if not finite:
        return None
    start_us, end_us = points[0][0], points[-1][0]
    # One point, or all at one time, still needs an axis with a length.
    end_s = max((end_us - start_us) / SECOND_US, 1.0)
    low, high = min(finite), max(finite)
    if zero_top:
        high = max(0.0, high)
        low = min(low, -0.1)
    elif high - low < max(abs(high), 1e-9) * 1e-6:
        # A flat line belongs in the middle, not on the frame, and its labels need different numbers.
        pad = max(abs(high) * 0.001, 1e-6)
        low, high = low - pad, high + pad
    thin = hold_lows if zero_top else decimate
    segments: list[tuple[list[float], list[float]]] = []
    run: list[tuple[float, float]] = []
    holes = sum(b is None and a is not None for (_, a), (_, b) in pairwise(points))
    join = holes > _SEGMENTS_MAX
    for x, y in points:
        if y is not None:
            run.append(((x - start_us) / SECOND_US, y))
        elif run and not join:
            segments.append(thin(run, end_s, columns))
            run = []
    if run:
        segments.append(thin(run, end_s, columns))
    return _Axes(start_us, end_s, low, high, tuple(segments))


def _finite(value: Number) -> float | None:
    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) and abs(number) <= _VALUE_MAX else None


def decimate(points: Sequence[tuple[float, float]], span: float, columns: int) -> tuple[list[float], list[float]]:
    """Lowest and highest point of each of `columns` equal parts of `span`, in order of time: no spike gets lost."""
    if len(points) <= 2 * columns:
        return [x for x, _ in points], [y for _, y in points]
    lowest: dict[int, int] = {}
    highest: dict[int, int] = {}
    for i, (x, y) in enumerate(points):
        column = min(columns - 1, int(x / span * columns))
        if column not in lowest or y < points[lowest[column]][1]:
            lowest[column] = i
        if column not in highest or y > points[highest[column]][1]:
            highest[column] = i
    kept = sorted({*lowest.values(), *highest.values()})
    return [points[i][0] for i in kept], [points[i][1] for i in kept]


def hold_lows(points: Sequence[tuple[float, float]], span: float, columns: int) -> tuple[list[float], list[float]]:
    """One point for each part of `span` from the first to the last point: its lowest, or the value held from before.

    An area drawn from slanted lines has holes in its edge; one made of full columns has none.
    """
    lows: dict[int, float] = {}
    ends: dict[int, float] = {}
    for x, y in points:
        column = min(columns - 1, int(x / span * columns))
        lows[column] = min(y, lows.get(column, y))
        ends[column] = y
    xs: list[float] = []
    ys: list[float] = []
    held = points[0][1]
    for column in range(min(lows), max(lows) + 1):
        xs.append((column + 0.5) / columns * span)
        ys.append(lows.get(column, held))
        held = ends.get(column, held)
    return xs, ys


# -- ticks ---------------------------------------------------------------------------------------------------------------


def value_ticks(low: float, high: float, count: int) -> tuple[list[float], list[str]]:
    """At most `count` + 1 round values (1, 2, 2.5, 5 times a power of ten) from `low` to `high`, with thousands
    separators and just the decimals that tell them apart."""
    rough = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10, 20) if power * factor >= rough * 0.999)
    places = max(0, -math.floor(math.log10(step) + 1e-9)) + (1 if step / power == 2.5 and step < 25 else 0)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    ticks = [n * step for n in range(first, min(last, first + 20) + 1)]
    return ticks, [f"{tick + 0.0:,.{places}f}" for tick in ticks]


def time_ticks(start_us: int, span_s: float, count: int) -> tuple[list[float], list[str]]:
    """Round UTC times as seconds after `start_us`, labelled `14:30`, `14:30:05`, `11-20` or `2026-11` by their step."""
    step = next((s for s in _TIME_STEPS_S if span_s / s <= max(1, count)), _TIME_STEPS_S[-1])
    form = "%H:%M:%S" if step < 60 else "%H:%M" if step < 86_400 else "%m-%d" if step < 2_592_000 else "%Y-%m"
    start_s = start_us / SECOND_US
    first = math.ceil(start_s / step - 1e-9)
    times = [n * step for n in range(first, first + 2 * max(1, count) + 2) if n * step <= start_s + span_s]
    if not times:
        times = [math.floor(start_s)]
    return [t - start_s for t in times], [datetime.fromtimestamp(t, UTC).strftime(form) for t in times]


# -- drawing -------------------------------------------------------------------------------------------------------------


def _plot(axes: _Axes, width: int, height: int, marker: str, colours: ChartColours, draw: _Draw) -> str:
    # Imported with the first chart: the first paint does not wait for it.
    from plotext._figure import _figure_class

    figure = _figure_class()
    figure._limit_size(False, False)
    figure.plot_size(width, height)
    figure.canvas_color("default")
    figure.axes_color("default")
    figure.ticks_color(Color.parse(colours.label).rgb)
    # No frame above and to the right: it says nothing and takes two rows of dots.
    figure.xaxes(True, False)
    figure.yaxes(True, False)
    figure.xlim(0.0, axes.end_s)
    figure.ylim(axes.low, axes.high)
    ticks, labels = value_ticks(axes.low, axes.high, max(1, min(6, (height - 2) // 2)))
    figure.yticks(ticks, labels)
    ticks, labels = time_ticks(axes.start_us, axes.end_s, max(1, width // 14))
    figure.xticks(ticks, labels)
    draw(figure, axes, marker, Color.parse(colours.line).rgb)
    return str(figure.build())


def _draw_line(figure: Any, axes: _Axes, marker: str, colour: tuple[int, int, int]) -> None:
    for xs, ys in axes.segments:
        plot = figure.plot if len(xs) > 1 else figure.scatter
        plot(xs, ys, marker=marker, color=colour)


def _draw_drawdown(figure: Any, axes: _Axes, marker: str, colour: tuple[int, int, int]) -> None:
    for xs, ys in axes.segments:
        figure.scatter(xs, ys, marker=marker, color=colour, fillx=True)


def _strips(text: str, width: int, height: int, colours: ChartColours, symbol: GraphSymbol) -> list[Strip]:
    """plotext paints frame and labels in one colour; the frame gets its own, quieter one here."""
    base = Style(color=colours.label, bgcolor=colours.background)
    grid = Style(color=colours.grid, bgcolor=colours.background)

    def quiet_frame(run: str, style: Style) -> list[Segment]:
        segments: list[Segment] = []
        for part in _FRAME_RUN.split(run):
            if part and part[0] in _FRAME:
                segments.append(Segment(part.translate(_ASCII_FRAME) if symbol == "ascii" else part, grid))
            elif part:
                segments.append(Segment(part, style))
        return segments

    strips = ansi_to_strips(text, base, quiet_frame)[:height]
    strips = [strip.adjust_cell_length(width, base) for strip in strips]
    return strips + [Strip.blank(width, base)] * (height - len(strips))
