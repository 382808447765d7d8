"""Columns for people: as wide as their widest cell, wide characters counted as the two columns that they take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.core.text import display_width, pad, safe_text

#: Characters of a cell: names and reasons of others need no more; paths and errors do.
CELL_CHARS, LONG_CHARS = 60, 400


def listing(rows: Iterable[Sequence[object]]) -> str:
    """A table whose cells hold paths and errors; "" without a row."""
    return "\n".join(table(rows, LONG_CHARS))


def table(rows: Iterable[Sequence[object]], limit: int = CELL_CHARS) -> list[str]:
    """A line for each row; numbers stand to the right. Text of others is made safe for a terminal."""
    cells = [[(safe_text(str(cell), limit), isinstance(cell, int)) for cell in row] for row in rows]
    widths = [max(display_width(text) for text, _ in column) for column in zip(*cells, strict=True)]
    return [
        "  ".join(padded(text, width, right=right) for (text, right), width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def padded(text: str, width: int, *, right: bool = False) -> str:
    """`text` with blanks up to `width` columns of a terminal; longer text stays as it is."""
    return pad(text, width - display_width(text), "right" if right else "left")
