"""The rows behind a table: what arrived, in which order it is shown, and how wide its numbers are. No widget in here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tui.widgets.columns import Column, Row, number_width, sort_rows


class DuplicateKeyError(ValueError):
    """Two rows of one table have the same key."""

    def __init__(self) -> None:
        super().__init__("two rows of one table have the same key: give each row a key of its own")


class RowModel:
    """Rows by key, in order of arrival (`sort` is None) or sorted by (column index, descending)."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)
        #: The rows as they are shown. Read only from outside.
        self.shown: list[Row] = []
        self.sort: tuple[int, bool] | None = None
        #: Widest value of each numeric column so far, in terminal cells; 0 for text columns.
        self.natural = [0] * len(self.columns)
        self._arrival: dict[str, Row] = {}
        self._index: dict[str, int] = {}
        self._numeric = [i for i, column in enumerate(self.columns) if column.numeric]

    def index_of(self, key: str) -> int | None:
        """Where a row is shown."""
        return self._index.get(key)

    def replace(self, rows: Iterable[Row]) -> list[int] | None:
        """Hold exactly `rows`. Returns the places that changed when keys and order stayed, else None (all may have).

        Raises DuplicateKeyError and then holds what it held before.
        """
        new = list(rows)
        by_key = {row.key: row for row in new}
        if len(by_key) != len(new):
            raise DuplicateKeyError
        changed = [row for row in new if self._arrival.get(row.key) != row]
        same_keys = list(by_key) == list(self._arrival)
        self._arrival = by_key
        if same_keys and (self.sort is None or not changed):
            for row in changed:
                self.shown[self._index[row.key]] = row
            self._widen(changed)
            return [self._index[row.key] for row in changed]
        self.natural = [0] * len(self.columns)
        self._widen(new)
        self._arrange()
        return None

    def update(self, row: Row) -> int | None:
        """Replace the row with the key of `row` in its place. Its place, or None if there is none or nothing changed."""
        at = self._index.get(row.key)
        if at is None or self.shown[at] == row:
            return None
        self._arrival[row.key] = self.shown[at] = row
        self._widen((row,))
        return at

    def append(self, rows: Iterable[Row], keep: int | None = None) -> int:
        """Add rows at the end, drop the oldest beyond `keep`. Returns how many were dropped from the top of the view.

        Raises DuplicateKeyError and then adds none.
        """
        new = list(rows)
        keys = {row.key for row in new}
        if len(keys) != len(new) or not self._arrival.keys().isdisjoint(keys):
            raise DuplicateKeyError
        self._arrival.update((row.key, row) for row in new)
        self._widen(new)
        excess = max(0, len(self._arrival) - keep) if keep is not None else 0
        for key in list(self._arrival)[:excess] if excess else ():
            del self._arrival[key]
        if self.sort is None and not excess:
            for row in new:
                self._index[row.key] = len(self.shown)
                self.shown.append(row)
            return 0
        self._arrange()
        return excess if self.sort is None else 0

    def sort_by(self, sort: tuple[int, bool] | None) -> None:
        """Order by (column index, descending), or as the rows came."""
        self.sort = sort
        self._arrange()

    def _arrange(self) -> None:
        rows = self._arrival.values()
        self.shown = list(rows) if self.sort is None else sort_rows(rows, self.columns, *self.sort)
        self._index = {row.key: i for i, row in enumerate(self.shown)}

    def _widen(self, rows: Iterable[Row]) -> None:
        natural = self.natural
        for row in rows:
            for i in self._numeric:
                if i < len(row.cells) and (width := number_width(row.cells[i].text)) > natural[i]:
                    natural[i] = width
