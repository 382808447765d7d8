"""Dots and cells of a chart: a curve as one integer of dots for each column, and the grid of cells that becomes strips.

Why not plotext's own markers: they are grouped dot by dot in Python, 20 ms for a chart of 120x30. Here a column of dots is
an integer, a stretch of line is one shift, and a cell looks up its character.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

if TYPE_CHECKING:  # numpy comes with the first data, after the first paint
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

GraphSymbol = Literal["braille", "block", "ascii"]
GRAPH_SYMBOLS: tuple[GraphSymbol, ...] = ("braille", "block", "ascii")

#: Values beyond this are not money; their labels would fill the chart.
VALUE_MAX = 1e15
BLANK = " "


class Marker(NamedTuple):
    """Dots that one cell has across and up, and its character by (left dots, right dots), lowest dot in bit 0."""

    across: int
    up: int
    chars: dict[tuple[int, int], str]


#: Unicode 10.7, braille: dots 1 2 3 7 are the left column from the top, 4 5 6 8 the right one. Bit 0 is the lowest.
_LEFT, _RIGHT = (0x40, 0x04, 0x02, 0x01), (0x80, 0x20, 0x10, 0x08)


def _braille(left: int, right: int) -> str:
    return chr(0x2800 + sum(_LEFT[i] * (left >> i & 1) + _RIGHT[i] * (right >> i & 1) for i in range(4)))


#: By the bits lower left, upper left, lower right, upper right.
_QUARTERS = " ▖▘▌▗▄▚▙▝▞▀▛▐▟▜█"
MARKERS: dict[GraphSymbol, Marker] = {
    "braille": Marker(2, 4, {(a, b): _braille(a, b) for a in range(16) for b in range(16)}),
    "block": Marker(2, 2, {(a, b): _QUARTERS[a + 4 * b] for a in range(4) for b in range(4)}),
    "ascii": Marker(1, 1, {(1, 0): "*"}),
}


class Canvas:
    """Cells of a chart, row 0 at the top: a character and the name of its style each. What lies outside is left out."""

    __slots__ = ("chars", "height", "styles", "width")

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.chars = [[BLANK] * width for _ in range(height)]
        self.styles = [[""] * width for _ in range(height)]

    def put(self, column: int, row: int, char: str, style: str) -> None:
        if 0 <= column < self.width and 0 <= row < self.height:
            self.chars[row][column] = char
            self.styles[row][column] = style

    def text(self, column: int, row: int, words: str, style: str) -> None:
        for at, char in enumerate(words, start=column):
            self.put(at, row, char, style)

    def free(self, column: int, row: int) -> bool:
        """Whether a cell is inside and blank."""
        return 0 <= column < self.width and 0 <= row < self.height and self.chars[row][column] == BLANK

    def dots(self, columns: Sequence[int], marker: Marker, style: str) -> None:
        """Draw columns of dots, lowest dot of the canvas in bit 0, from the left edge on."""
        across, up, chars = marker
        full = (1 << up) - 1
        for column in range(min(self.width, len(columns) // across)):
            left = columns[column * across]
            right = columns[column * across + 1] if across > 1 else 0
            both = left | right
            if not both:
                continue
            row = ((both & -both).bit_length() - 1) // up
            last = (both.bit_length() - 1) // up
            left >>= row * up
            right >>= row * up
            while row <= last:
                cell = left & full, right & full
                if cell != (0, 0):
                    self.put(column, self.height - 1 - row, chars[cell], style)
                left >>= up
                right >>= up
                row += 1

    def strips(self, palette: dict[str, Style]) -> list[Strip]:
        """One strip a row. Blanks take the style of what is left of them: each change of style is 40 bytes on the line."""
        return [self._strip(row, palette) for row in range(self.height)]

    def _strip(self, row: int, palette: dict[str, Style]) -> Strip:
        segments: list[Segment] = []
        chars, styles = self.chars[row], self.styles[row]
        begin, name = 0, ""
        for column, style in enumerate(styles):
            if style == name or chars[column] == BLANK:
                continue
            if name:
                segments.append(Segment("".join(chars[begin:column]), palette[name]))
                begin = column
            name = style
        segments.append(Segment("".join(chars[begin:]), palette[name]))
        return Strip(segments, self.width)


class Column(NamedTuple):
    """What a series does within one column of dots. `run` tells apart what gaps divide."""

    at: int
    first: float
    last: float
    low: float
    high: float
    run: int
    run_after: int


def series(xs_ts_us: Sequence[int] | Ints, ys: Sequence[Any] | Floats) -> tuple[Ints, Floats]:
    """Times and values as arrays in order of time; what is not finite, or no money, is NaN: a gap.

    Raises ValueError when there are not as many values as times.
    """
    import numpy as np

    if len(xs_ts_us) != len(ys):
        raise ValueError(f"{len(xs_ts_us)} times but {len(ys)} values: a chart needs one value for each time")
    xs = np.asarray(xs_ts_us, dtype=np.int64)
    if isinstance(ys, np.ndarray) and ys.dtype == np.float64:
        values = ys
    else:
        values = np.array([math.nan if y is None else float(y) for y in ys], dtype=np.float64)
    with np.errstate(invalid="ignore"):
        bad = ~(np.abs(values) <= VALUE_MAX)
    if bad.any():
        values = np.where(bad, math.nan, values)
    if len(xs) > 1 and bool((np.diff(xs) < 0).any()):
        order = np.argsort(xs, kind="stable")
        xs, values = xs[order], values[order]
    return xs, values


def columns_of(xs: Ints, ys: Floats, start: int, end: int, count: int) -> list[Column]:
    """A sorted series between two times in `count` equal parts: first, last, lowest and highest of each that has a value.

    No spike gets lost, and ten million points cost a column no more than four. Column -1 and `count` hold the neighbours
    outside, from and to which the line is drawn.
    """
    import numpy as np

    since = max(0, int(np.searchsorted(xs, start, "left")) - 1)
    until = int(np.searchsorted(xs, end, "right")) + 1
    xs, ys = xs[since:until], ys[since:until]
    good = np.isfinite(ys)
    runs = np.cumsum(~good)[good]
    xs, ys = xs[good], ys[good]
    if not len(xs):
        return []
    share = (xs - start).astype(np.float64) / max(1, end - start)
    at = np.clip(np.floor(share * count), -1, count).astype(np.int64)
    at[xs == end] = count - 1
    starts = np.concatenate(([0], np.flatnonzero(np.diff(at)) + 1))
    ends = np.append(starts[1:], len(at)) - 1
    found = (at[starts], ys[starts], ys[ends], np.minimum.reduceat(ys, starts), np.maximum.reduceat(ys, starts))
    return [Column(*row) for row in zip(*(a.tolist() for a in (*found, runs[starts], runs[ends])), strict=True)]


def trace(columns: Sequence[Column], low: float, high: float, count: int, rows: int) -> list[int]:
    """A line through `columns` as `count` columns of dots, `rows` high from `low` to `high`."""
    dots = [0] * count
    scale = _Scale(low, high, rows)
    before: Column | None = None
    before_row = 0
    for column in columns:
        first = scale(column.first)
        if 0 <= column.at < count:
            dots[column.at] |= _run(scale(column.low), scale(column.high))
        if before is not None and before.run_after == column.run:
            _join(dots, before.at, before_row, column.at, first)
        before, before_row = column, scale(column.last)
    return dots


def _join(dots: list[int], at: int, row: int, to: int, to_row: int) -> None:
    """A stretch of line between two columns: each part of it in the column where it lies."""
    span, rise = to - at, to_row - row
    for step in range(span + 1):
        if 0 <= at + step < len(dots):
            begin = row + rise * max(0.0, step - 0.5) / span
            end = row + rise * min(float(span), step + 0.5) / span
            dots[at + step] |= _run(int(begin + 0.5), int(end + 0.5))


def hang(columns: Sequence[Column], low: float, count: int, rows: int) -> list[int]:
    """The area between 0, at the top, and the lowest of each column; between two samples the last one holds."""
    dots = [0] * count
    scale = _Scale(low, 0.0, rows)
    for column, after in zip(columns, [*columns[1:], None], strict=True):
        if 0 <= column.at < count:
            dots[column.at] |= _run(scale(column.low), rows - 1)
        until = after.at if after is not None and after.run == column.run_after else column.at + 1
        held = _run(scale(column.last), rows - 1)
        for at in range(max(0, column.at + 1), min(until, count)):
            dots[at] |= held
    return dots


class _Scale:
    """The row of dots of a value: `low` in the middle of the lowest, `high` in that of the highest; beyond, those two."""

    __slots__ = ("_factor", "_low", "_top")

    def __init__(self, low: float, high: float, rows: int) -> None:
        self._low, self._top = low, rows - 1
        self._factor = (rows - 1) / (high - low)

    def __call__(self, value: float) -> int:
        return min(self._top, max(0, int((value - self._low) * self._factor + 0.5)))


def scale(low: float, high: float, rows: int) -> _Scale:
    """Rows of values between two values, 0 the lowest."""
    return _Scale(low, high, rows)


def _run(row: int, to_row: int) -> int:
    if row > to_row:
        row, to_row = to_row, row
    return ((2 << (to_row - row)) - 1) << row
