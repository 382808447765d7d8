"""Columns of a table: which are shown, how wide, and how a cell is fitted, so that a number is never cut.

A cut price is a wrong price: "96,811.20" must not become "96,811.2" or "6,811.20". A numeric column is therefore as wide
as its widest value, and when a row gets too long columns leave by priority. Should not even one number fit, "…" stands
for the whole of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from operator import itemgetter
from typing import Any, NamedTuple

from rich.cells import cell_len, set_cell_size

from engine.core.text import ELLIPSIS, Align, pad, safe_text

#: Blanks between two columns.
GAP = 2
#: Longest cell that is looked at; a number wider than NUMBER_CELLS_MAX is a mistake and does not widen its column.
CELL_CHARS_MAX = 512
NUMBER_CELLS_MAX = 40

#: `min_screen` of a column that no screen shows.
NEVER = 10_000

SortValue = Decimal | int | float | str | None


class Cell(NamedTuple):
    """Text (any text: it is made safe when drawn) and a style class of the table, such as "up" or "quiet"."""

    text: str
    style: str = ""


class Row(NamedTuple):
    """A row with a key that is unique in its table. `values` are what its cells sort by, if not by their text."""

    key: str
    cells: tuple[Cell, ...]
    values: tuple[SortValue, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column. Widths in terminal cells.

    `width`: of a text column the wanted width, of a numeric one the least. `min_width`: what a text column may shrink
    to. `priority`: who stays when there is no room; 0 stays longest. `min_screen`: the column is left out on screens
    narrower than this (80, 120, 200; NEVER: it is there to be filtered and exported by). `grow`: takes a share of the room
    that is left. `time`: the row's value is a time (int microseconds UTC), which an export writes whole.
    """

    key: str
    title: str
    width: int
    numeric: bool = False
    align: Align | None = None
    min_width: int | None = None
    priority: int = 0
    min_screen: int = 0
    grow: bool = False
    time: bool = False

    @property
    def side(self) -> Align:
        """Numbers stand at the right unless said otherwise."""
        return self.align or ("right" if self.numeric else "left")


class Slot(NamedTuple):
    """Column number `column` is shown, `width` cells wide."""

    column: int
    width: int


def plan(columns: Sequence[Column], natural: Sequence[int], available: int, screen_width: int) -> tuple[Slot, ...]:
    """The columns that fit into `available` cells, in order. `natural[i]`: widest value of numeric column i.

    Columns leave by priority (the highest number first, of equals the rightmost) until the rest fits at its least
    width; one always stays. What is left goes first to text columns below their wanted width, then to `grow` columns.
    """
    shown = [i for i, column in enumerate(columns) if column.min_screen <= screen_width]
    least = [_least(column, natural[i]) for i, column in enumerate(columns)]
    while len(shown) > 1 and _total(least[i] for i in shown) > available:
        shown.remove(max(shown, key=lambda i: (columns[i].priority, i)))
    widths = {i: least[i] for i in shown}
    spare = available - _total(widths.values())
    for i in sorted(shown, key=lambda i: (columns[i].priority, i)):
        more = min(max(0, columns[i].width - widths[i]), max(0, spare))
        widths[i] += more
        spare -= more
    growing = [i for i in shown if columns[i].grow]
    for rank, i in enumerate(growing):
        if spare > 0:
            widths[i] += spare // len(growing) + (rank < spare % len(growing))
    if len(shown) == 1:
        widths[shown[0]] = min(widths[shown[0]], max(available, 1))
    return tuple(Slot(i, widths[i]) for i in shown)


def _least(column: Column, natural: int) -> int:
    if column.numeric:
        return max(column.width, natural, cell_len(column.title))
    return column.width if column.min_width is None else min(column.width, column.min_width)


def _total(widths: Iterable[int]) -> int:
    sizes = list(widths)
    return sum(sizes) + GAP * (len(sizes) - 1)


def number_width(text: str) -> int:
    """Cells a number needs in its column, bounded by NUMBER_CELLS_MAX."""
    return min(len(text) if text.isascii() else cell_len(text), NUMBER_CELLS_MAX)


def fit_cell(text: str, width: int, align: Align = "left", *, numeric: bool = False) -> str:
    """Untrusted text in exactly `width` cells: text is cut with "…", a number is shown whole or as "…" alone."""
    clean = safe_text(text, CELL_CHARS_MAX)
    used = len(clean) if clean.isascii() else cell_len(clean)
    if used > width:
        # A wide character that is cut in half leaves a blank; set_cell_size fills it.
        clean = ELLIPSIS if numeric else set_cell_size(clean, width - 1) + ELLIPSIS
        used = 1 if numeric else width
    return pad(clean, width - used, align)


def wrap_cells(text: str, width: int) -> list[str]:
    """Text in rows of at most `width` cells, broken at blanks; a word that is longer than a row is left to be cut."""
    found: list[str] = []
    for word in text.split():
        longer = f"{found[-1]} {word}" if found else word
        if found and cell_len(longer) <= width:
            found[-1] = longer
        else:
            found.append(word)
    return found


#: What rows were sorted by, by their key: a row that did not change is not looked at again.
SortCache = dict[str, tuple[Row, Any]]


def sort_rows(
    rows: Iterable[Row], columns: Sequence[Column], index: int, reverse: bool, cache: SortCache | None = None
) -> list[Row]:
    """Rows ordered by column `index`; equals keep their order, rows without a value come last either way."""
    value_of = number_of if columns[index].numeric else _text_of
    cache = {} if cache is None else cache
    present: list[tuple[Any, Row]] = []
    missing: list[Row] = []
    for row in rows:
        known = cache.get(row[0])
        if known is None or known[0] is not row:
            known = cache[row[0]] = (row, _value(row, index, value_of))
        if known[1] is None:
            missing.append(row)
        else:
            present.append((known[1], row))
    present.sort(key=itemgetter(0), reverse=reverse)
    return [row for _, row in present] + missing


def _value(row: Row, index: int, value_of: Callable[[str], SortValue]) -> SortValue:
    if index < len(row.values):
        value = row.values[index]
        # NaN has no place in an order: it would make the result depend on where it stood before.
        return None if value is None or value != value else value
    return value_of(row.cells[index].text) if index < len(row.cells) else None


def _text_of(text: str) -> str:
    return text.casefold()


def number_of(text: str) -> Decimal | None:
    """The number that a cell shows, None when it shows none: "▲+1,234.50" is 1234.50."""
    try:
        number = Decimal(text.strip("▲▼=~% ").replace(",", ""))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
