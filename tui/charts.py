"""Charts as strips: equity, drawdown, candles with what was traded, and the spread of results.

Frame and labels come from `tui.plot`, the data is drawn by `tui.raster`: only finite floats, at most a few points per column
of dots. Whatever still goes wrong in a drawing becomes a strip that says so: a chart is never worth a crash.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from engine.client import Bar
from engine.core.types import SECOND_US
from tui.plot import ChartColours, Drawing, Plot, safely
from tui.raster import MARKERS, VALUE_MAX, Canvas, GraphSymbol, columns_of, hang, scale, series, trace
from tui.ticks import round_step, time_ticks

if TYPE_CHECKING:
    from tui.raster import Floats, Ints

#: Glyphs of candles by (lower half, upper half) of a cell: 0 nothing, 1 wick, 2 body.
_CANDLE = {
    (1, 0): "╷", (0, 1): "╵", (1, 1): "│", (2, 0): "╻", (0, 2): "╹", (2, 2): "┃", (2, 1): "╽", (1, 2): "╿",
}  # fmt: skip
#: Bodies of candles that have room. Without colours falling ones are broad and rising ones thin.
_BROAD = {(2, 0): "▄", (0, 2): "▀", (2, 2): "█", (2, 1): "▄", (1, 2): "▀"}
_EIGHTHS = " ▁▂▃▄▅▆▇█"

MarkKind = Literal["long", "short", "gain", "loss"]
LevelKind = Literal["stop", "target"]
#: Glyph, glyph in ASCII, style.
GLYPHS: dict[str, tuple[str, str, str]] = {
    "long": ("▲", "^", "up"),
    "short": ("▼", "v", "down"),
    "gain": ("◆", "o", "up"),
    "loss": ("◇", "x", "down"),
    "stop": ("╍", "-", "stop"),
    "target": ("╌", "=", "label"),
}


class Mark(NamedTuple):
    """An entry or exit at bar `at` of those drawn."""

    at: int
    price: float
    kind: MarkKind


class Level(NamedTuple):
    """A stop or target from bar `since` to bar `until`, both included."""

    since: int
    until: int
    price: float
    kind: LevelKind


class Bins(NamedTuple):
    """How often values fall into [n * width, (n + 1) * width), n from `first`; 0 is always an edge."""

    width: float
    places: int
    first: int
    counts: tuple[int, ...]


def line_chart(
    xs_ts_us: Sequence[int] | Ints,
    ys: Sequence[Any] | Floats,
    width: int,
    height: int,
    colours: ChartColours,
    *,
    symbol: GraphSymbol = "braille",
    empty_text: str = "no data yet",
    window: tuple[int, int] | None = None,
) -> Drawing:
    """A line over UTC time, `height` strips of `width` cells.

    `xs_ts_us`: microseconds UTC; `ys`: as many values. None, NaN, infinity and values beyond 1e15 are gaps. `window` is the
    part of time that is shown, all of it without one. A size too small for axes, and no finite value at all, are said.
    """

    def draw() -> Drawing | None:
        return _time_chart(xs_ts_us, ys, (width, height), colours, symbol, window, zero_top=False)

    return safely(draw, width, height, colours, empty_text)


def drawdown_chart(
    xs_ts_us: Sequence[int] | Ints,
    drawdowns_pct: Sequence[Any] | Floats,
    width: int,
    height: int,
    colours: ChartColours,
    *,
    symbol: GraphSymbol = "block",
    empty_text: str = "no data yet",
    window: tuple[int, int] | None = None,
) -> Drawing:
    """The distance from the highest equity so far, 0 or negative, as an area hanging from 0."""

    def draw() -> Drawing | None:
        solid: GraphSymbol = "ascii" if symbol == "ascii" else "block"
        return _time_chart(xs_ts_us, drawdowns_pct, (width, height), colours, solid, window, zero_top=True)

    return safely(draw, width, height, colours, empty_text)


def candle_chart(
    bars: Sequence[Bar],
    width: int,
    height: int,
    colours: ChartColours,
    *,
    marks: Sequence[Mark] = (),
    levels: Sequence[Level] = (),
    step: int = 1,
    symbol: GraphSymbol = "braille",
    empty_text: str = "no bar yet",
) -> Drawing:
    """The newest of `bars` that fit, `step` columns each, with what was traded.

    A bar with a price that is not finite, or beyond 1e15, is left out with its column. `marks` and `levels` count bars from
    the first of `bars`.
    """

    def draw() -> Drawing | None:
        return _candles(bars, marks, levels, max(1, step), (width, height), colours, symbol)

    return safely(draw, width, height, colours, empty_text)


def histogram_chart(
    bins: Bins | None,
    width: int,
    height: int,
    colours: ChartColours,
    *,
    symbol: GraphSymbol = "braille",
    empty_text: str = "no result yet",
) -> Drawing:
    """How often which result came, losses left and gains right of 0."""

    def draw() -> Drawing | None:
        return _histogram(bins, (width, height), colours, symbol) if bins is not None else None

    return safely(draw, width, height, colours, empty_text)


def bins_of(values: Sequence[float], at_most: int) -> Bins | None:
    """Values in round bins, about two times the cube root of their number (Rice's rule), at most `at_most`; None of none."""
    finite = [v for v in values if math.isfinite(v) and abs(v) <= VALUE_MAX]
    if not finite:
        return None
    low, high = min(*finite, 0.0), max(*finite, 0.0)
    wanted = min(max(9, math.ceil(2 * len(finite) ** (1 / 3))), max(2, at_most - 2))
    width, places = round_step(max((high - low) / wanted, max(abs(low), abs(high)) * 1e-9, 1e-6))
    first, last = math.floor(min(finite) / width), math.floor(max(finite) / width)
    counts = [0] * (last - first + 1)
    for value in finite:
        counts[min(last, max(first, math.floor(value / width))) - first] += 1
    return Bins(width, places, first, tuple(counts))


# -- over time -----------------------------------------------------------------------------------------------------------


def _time_chart(
    xs_ts_us: Sequence[int] | Ints,
    ys: Sequence[Any] | Floats,
    size: tuple[int, int],
    colours: ChartColours,
    symbol: GraphSymbol,
    window: tuple[int, int] | None,
    *,
    zero_top: bool,
) -> Drawing | None:
    xs, values = series(xs_ts_us, ys)
    if not len(xs):
        return None
    start, end = window or (int(xs[0]), int(xs[-1]))
    end = max(end, start + SECOND_US)  # one point, or all at one time, still needs an axis with a length
    marker = MARKERS[symbol]
    # The labels decide how wide the canvas is, and the values what the labels are; those do not depend on the width.
    seen = [
        c for c in columns_of(xs, values, start, end, size[0] * marker.across) if 0 <= c.at < size[0] * marker.across
    ]
    if not seen:
        return None
    low, high = min(c.low for c in seen), max(c.high for c in seen)
    low, high = (min(low, -0.1), 0.0) if zero_top else _padded(low, high)
    plot = Plot(size, low, high, symbol)
    count, rows = plot.width * marker.across, plot.height * marker.up
    columns = columns_of(xs, values, start, end, count)
    dots = hang(columns, low, count, rows) if zero_top else trace(columns, low, high, count, rows)
    plot.canvas.dots(dots, marker, "line")
    ticks, labels = time_ticks(start, (end - start) / SECOND_US, max(1, size[0] // 11))
    span_s = (end - start) / SECOND_US
    at = [min(plot.width - 1, int(tick / span_s * plot.width)) for tick in ticks]
    # A column is named by its end: the last sample in it is what the cursor says.
    keys = [start + int((n + 1) / plot.width * (end - start)) for n in range(plot.width)]
    return Drawing(
        plot.strips(tuple(zip(at, labels, strict=True)), colours),
        range(plot.left, plot.left + plot.width),
        keys,
    )


def _padded(low: float, high: float) -> tuple[float, float]:
    """A flat line belongs in the middle, not on the frame, and its labels need different numbers."""
    if high - low < max(abs(high), 1e-9) * 1e-6:
        pad = max(abs(high) * 0.001, 1e-6)
        return low - pad, high + pad
    return low, high


# -- candles -------------------------------------------------------------------------------------------------------------


def _is_sound(bar: Bar) -> bool:
    return all(math.isfinite(price) and abs(price) <= VALUE_MAX for price in bar[1:5])


def _candles(
    bars: Sequence[Bar],
    marks: Sequence[Mark],
    levels: Sequence[Level],
    step: int,
    size: tuple[int, int],
    colours: ChartColours,
    symbol: GraphSymbol,
) -> Drawing | None:
    most = max(1, size[0] // step)  # the labels, which the prices decide on, take some of it
    sound = [bar for bar in bars[-most:] if _is_sound(bar)]
    if not sound:
        return None
    low, high = _padded(min(bar[3] for bar in sound), max(bar[2] for bar in sound))
    shown = [x for x in levels if x.until >= len(bars) - most and math.isfinite(x.price)]
    room = (high - low) / 3  # a stop far away must not press the candles flat
    low = max(low - room, min([low, *(x.price for x in shown)]))
    high = min(high + room, max([high, *(x.price for x in shown)]))
    pad = (high - low) / max(4, size[1] - 4) if marks else 0.0
    plot = Plot(size, low - pad, high + pad, symbol)
    fit = max(1, plot.width // step)
    first = max(0, len(bars) - fit)
    drawn = bars[first:]
    left = plot.width - len(drawn) * step if len(drawn) == fit else 0
    at = [left + n * step + step // 2 for n in range(len(drawn))]
    for level in levels:
        _level(plot, level, first, at, step, symbol)
    taken: dict[int, tuple[int, int]] = {}
    for column, bar in zip(at, drawn, strict=True):
        if _is_sound(bar):
            rising = bar[4] >= bar[1]
            broad = not rising if colours.grey else step > 2
            taken[column] = _candle(plot, column, bar, symbol, broad=broad)
    for mark in marks:
        if first <= mark.at < len(bars):
            _mark(plot, mark, at[mark.at - first], taken, symbol)
    return Drawing(
        plot.strips(_bar_ticks(drawn, at, size[0]), colours), [plot.left + c for c in at], [bar[0] for bar in drawn]
    )


def _bar_ticks(bars: Sequence[Bar], at: Sequence[int], width: int) -> tuple[tuple[int, str], ...]:
    """Round times under the first bar that closes at or after each."""
    times = [bar[0] for bar in bars]
    ticks, labels = time_ticks(times[0], max(1.0, (times[-1] - times[0]) / SECOND_US), max(1, width // 11))
    found: dict[int, str] = {}
    position = 0
    for tick, label in zip(ticks, labels, strict=True):
        while position < len(times) - 1 and times[position] < times[0] + tick * SECOND_US:
            position += 1
        found.setdefault(at[position], label)
    return tuple(found.items())


def _candle(plot: Plot, column: int, bar: Bar, symbol: GraphSymbol, *, broad: bool) -> tuple[int, int]:
    """Draw one; its highest and lowest row."""
    _, open_, high, low, close, _ = bar
    halves = scale(plot.low, plot.high, plot.height * 2)
    wick = (halves(low), halves(high))
    body = (halves(min(open_, close)), halves(max(open_, close)))
    style = "up" if close >= open_ else "down"
    top, bottom = plot.height - 1 - wick[1] // 2, plot.height - 1 - wick[0] // 2
    for row in range(top, bottom + 1):
        half = (plot.height - 1 - row) * 2
        lower, upper = (2 if body[0] <= h <= body[1] else 1 if wick[0] <= h <= wick[1] else 0 for h in (half, half + 1))
        if symbol == "ascii":
            char = "|" if 2 not in (lower, upper) else "+" if style == "up" else "#"
        else:
            char = _CANDLE[lower, upper]
            if broad:
                char = _BROAD.get((lower, upper), char)
        plot.canvas.put(column, row, char, style)
    return top, bottom


def _level(plot: Plot, level: Level, first: int, at: Sequence[int], step: int, symbol: GraphSymbol) -> None:
    if not plot.low <= level.price <= plot.high or level.until < first or level.since >= first + len(at):
        return
    glyph, plain, style = GLYPHS[level.kind]
    row = plot.row(level.price)
    since = at[max(0, level.since - first)]
    until = at[min(len(at) - 1, level.until - first)] + step - 1
    for column in range(since, until + 1):
        plot.canvas.put(column, row, plain if symbol == "ascii" else glyph, style)


def _mark(plot: Plot, mark: Mark, column: int, taken: dict[int, tuple[int, int]], symbol: GraphSymbol) -> None:
    """Entries to buy stand under the bar, exits above it; where another mark is, the next free row further out."""
    glyph, plain, style = GLYPHS[mark.kind]
    top, bottom = taken.get(column, (plot.row(mark.price), plot.row(mark.price)))
    if mark.kind == "long":
        row = min(plot.height - 1, bottom + 1)
        taken[column] = (top, row)
    else:
        row = max(0, top - 1)
        taken[column] = (row, bottom)
    plot.canvas.put(column, row, plain if symbol == "ascii" else glyph, style)


# -- results -------------------------------------------------------------------------------------------------------------


def _histogram(bins: Bins, size: tuple[int, int], colours: ChartColours, symbol: GraphSymbol) -> Drawing:
    most = max(bins.counts)
    plot = Plot(size, 0.0, float(max(most, 1)), symbol, whole=True)
    broad = max(1, min(10, plot.width // len(bins.counts)))
    left = max(0, (plot.width - broad * len(bins.counts)) // 2)
    for n, count in enumerate(bins.counts):
        style = "up" if bins.first + n >= 0 else "down"
        eighths = max(1, round(count / most * plot.height * 8)) if count else 0
        for column in range(left + n * broad, left + (n + 1) * broad - (broad > 2)):
            _pillar(plot.canvas, column, eighths, style, symbol)
    every = next((m for m in (1, 2, 5, 10, 20, 50, 100) if m * broad >= 10), 200)
    edges = [(n, bins.first + n) for n in range(len(bins.counts) + 1) if (bins.first + n) % every == 0]
    labels = tuple(
        (min(plot.width - 1, left + n * broad), f"{edge * bins.width:+,.{bins.places}f}" if edge else "0")
        for n, edge in edges
    )
    return Drawing(
        plot.strips(labels, colours),
        [plot.left + left + n * broad + (broad - 1) // 2 for n in range(len(bins.counts))],
        [bins.first + n for n in range(len(bins.counts))],
    )


def _pillar(canvas: Canvas, column: int, eighths: int, style: str, symbol: GraphSymbol) -> None:
    for row in range(math.ceil(eighths / 8)):
        char = "#" if symbol == "ascii" else _EIGHTHS[min(8, eighths - row * 8)]
        canvas.put(column, canvas.height - 1 - row, char, style)
