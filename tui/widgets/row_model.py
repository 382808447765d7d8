"""The rows behind a table: what arrived, in which order it is shown, and how wide its numbers are. No widget in here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from tui.widgets.columns import Column, Row, SortCache, number_width, sort_rows

#: A full table forgets this share of itself at once: forgetting row by row would order all rows anew each time.
FORGET_SHARE = 50


class DuplicateKeyError(ValueError):
    """Two rows of one table have the same key."""

    def __init__(self) -> None:
        super().__init__("two rows of one table have the same key: give each row a key of its own")


class RowModel:
    """Rows by key, in order of arrival (`sort` is None) or sorted by (column index, descending); only those that pass a test."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)
        self.anew = False  # the next rows are other ones, whatever their keys: nothing of these counts, widths neither
        #: The rows as they are shown. Read only from outside.
        self.shown: list[Row] = []
        self.sort: tuple[int, bool] | None = None
        #: Widest value of each numeric column so far, in terminal cells; 0 for text columns.
        self.natural = [0] * len(self.columns)
        self._arrival: dict[str, Row] = {}
        self._index: dict[str, int] = {}
        self._test: Callable[[Row], bool] | None = None
        self._sort_cache: SortCache = {}
        self._numeric = [i for i, column in enumerate(self.columns) if column.numeric]

    @property
    def held(self) -> int:
        """How many rows there are, shown or not."""
        return len(self._arrival)

    def keys(self) -> Iterable[str]:
        """The keys of all rows in the order of arrival."""
        return self._arrival.keys()

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
        same_keys = list(by_key) == list(self._arrival) and not self.anew
        self.anew = False
        self._arrival = by_key
        if same_keys and (not changed or (self.sort is None and self._test is None)):
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
        """Add rows at the end, forget the oldest when there are clearly more than `keep`.

        Returns how many were dropped from the top of the view. Raises DuplicateKeyError and then adds none.
        """
        new = list(rows)
        keys = {row.key for row in new}
        if len(keys) != len(new) or not self._arrival.keys().isdisjoint(keys):
            raise DuplicateKeyError
        self._arrival.update((row.key, row) for row in new)
        self._widen(new)
        excess = max(0, len(self._arrival) - keep) if keep is not None else 0
        if keep is None or excess <= keep // FORGET_SHARE:
            excess = 0
        gone = list(self._arrival)[:excess] if excess else []
        for key in gone:
            del self._arrival[key]
        if self.sort is None and not excess:
            for row in new if self._test is None else filter(self._test, new):
                self._index[row.key] = len(self.shown)
                self.shown.append(row)
            return 0
        seen = sum(key in self._index for key in gone)
        self._arrange()
        return seen if self.sort is None else 0

    def prepend(self, rows: Iterable[Row]) -> int:
        """Add older rows before the first; how many of them are shown at the top. Raises DuplicateKeyError and then adds none."""
        new = list(rows)
        by_key = {row.key: row for row in new}
        if len(by_key) != len(new) or not self._arrival.keys().isdisjoint(by_key):
            raise DuplicateKeyError
        self._arrival = by_key | self._arrival
        self._widen(new)
        before = len(self.shown)
        self._arrange()
        return len(self.shown) - before if self.sort is None else 0

    def keep_only(self, test: Callable[[Row], bool] | None) -> None:
        """Show only the rows that pass; None: all of them."""
        self._test = test
        self._arrange()

    def sort_by(self, sort: tuple[int, bool] | None) -> None:
        """Order by (column index, descending), or as the rows came."""
        self.sort = sort
        self._sort_cache = {}
        self._arrange()

    def _arrange(self) -> None:
        rows: Iterable[Row] = self._arrival.values()
        if self._test is not None:
            rows = filter(self._test, rows)
        self.shown = list(rows) if self.sort is None else sort_rows(rows, self.columns, *self.sort, self._sort_cache)
        self._index = {row.key: i for i, row in enumerate(self.shown)}

    def _widen(self, rows: Iterable[Row]) -> None:
        natural = self.natural
        for row in rows:
            for i in self._numeric:
                if i < len(row.cells) and (width := number_width(row.cells[i].text)) > natural[i]:
                    natural[i] = width
