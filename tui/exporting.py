"""A table as CSV, and files that are never written over. Pure but for `write_new`; any thread may use it."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from engine.core.text import safe_text
from tui.widgets.columns import Column, Row, number_of

#: Tries to find a name that no file has yet.
NAMES_MAX = 100
CELL_MAX = 2_000
#: What a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ExportError(Exception):
    """The file could not be written; one line why."""


def csv_text(columns: Sequence[Column], rows: Iterable[Row]) -> str:
    """All columns, shown or not: numbers without thousands separators, times as ISO 8601 in UTC, text made safe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.key for column in columns])
    for row in rows:
        writer.writerow([_cell(column, row, at) for at, column in enumerate(columns)])
    return out.getvalue()


def _cell(column: Column, row: Row, at: int) -> str:
    if column.time and at < len(row.values):
        ts = row.values[at]
        return (_EPOCH + timedelta(microseconds=int(ts))).isoformat() if isinstance(ts, int) and ts else ""
    text = row.cells[at].text if at < len(row.cells) else ""
    number = number_of(text) if column.numeric else None
    if number is not None:
        return _plain(number)
    text = safe_text(text, CELL_MAX)
    # A spreadsheet would run what an exchange wrote.
    return f"'{text}" if text.startswith(_FORMULA) and number_of(text) is None else text


def _plain(number: Decimal) -> str:
    return f"{number:f}"


def write_new(folder: Path, stem: str, suffix: str, text: str) -> Path:
    """Write `text` to a file that did not exist: `stem` + `suffix`, or with a number between them. Raises ExportError."""
    name = "".join(char if char.isalnum() or char in "-_." else "_" for char in safe_text(stem, 120))
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for number in range(1, NAMES_MAX + 1):
            path = folder / f"{name}{f'-{number}' if number > 1 else ''}{suffix}"
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                continue
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            return path
    except OSError as error:
        raise ExportError(f"{folder}: {error.strerror or error}") from error
    raise ExportError(f"{folder} has {NAMES_MAX} files called {name}{suffix} already: move some away")
