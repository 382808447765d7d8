"""A table for rows that change many times a second: only what is seen is drawn, and only what changed is drawn again.

Textual's DataTable repaints the whole widget for one changed cell (14 ms, 35 kB at 200x50) and takes seconds to load
50,000 rows. Here rows are plain tuples in a list, a row becomes a `Strip` when its line is asked for, strips are kept
per row key, and a change dirties one line. All text passes `safe_text()` on its way to a strip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.cache import LRUCache
from textual.geometry import Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from engine.core.text import safe_text
from tui.theme import Look
from tui.widgets.columns import GAP, Cell, Column, Row, Slot, SortValue, fit_cell, plan, wrap_cells
from tui.widgets.row_model import RowModel
from tui.widgets.table_messages import EdgeReached, FollowChanged, RowHighlighted, RowSelected

__all__ = ["Cell", "Column", "Row", "VirtualTable"]

#: The cursor is a glyph as well as a colour; it needs one cell left of the first column.
CURSOR = "▸"
_STRIPS_MAX = 1024
#: The styles that a cell may name; `header` and `empty` are the table's own.
_LOOKS = {
    **{name: Look(name) for name in ("up", "down", "flat", "warn", "quiet", "stale", "accent")},
    "fault": Look("fault", bold=True),
    "strong": Look(bold=True),
    "header": Look("quiet", "band", bold=True),
    "empty": Look("quiet"),
}
_CURSOR_ROW = {False: Look(background="band"), True: Look(background="cursor", bold=True)}


class VirtualTable(ScrollView, can_focus=True):
    """Rows of cells under fixed headers, with a row cursor. Make changes from the UI thread only.

    `tail`: new rows come at the bottom and the cursor follows them until it is moved up; `G` follows again.
    Cell styles: up, down, flat, warn, fault, quiet, stale, strong, accent; any other name is drawn plain.
    """

    DEFAULT_CSS = """
    VirtualTable {
        height: 1fr; overflow-x: hidden; overflow-y: auto; scrollbar-size-vertical: 1;
        background: $background; color: $foreground;
    }
    """
    BINDINGS = [
        Binding("j,down", "move(1)", "Down", show=False, id="table.down"),
        Binding("k,up", "move(-1)", "Up", show=False, id="table.up"),
        Binding("g,home", "first", "First row", show=False, id="table.first"),
        Binding("G,end", "last", "Last row", show=False, id="table.last"),
        Binding("ctrl+d", "page(0.5)", "Half a page down", show=False, id="table.half_down"),
        Binding("ctrl+u", "page(-0.5)", "Half a page up", show=False, id="table.half_up"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="table.page_down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="table.page_up"),
        Binding("enter", "select", "Details", show=False, id="table.select"),
        Binding("s", "sort_next", "Sort", show=False, id="table.sort"),
    ]

    cursor_row: reactive[int] = reactive(0, repaint=False, init=False)
    follow: reactive[bool] = reactive(False, repaint=False, init=False)

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        empty_text: str = "nothing here yet",
        tail: bool = False,
        show_header: bool = True,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self.columns = tuple(columns)
        self.empty_text = empty_text
        self.tail = tail
        self._header_rows = int(show_header)
        self._model = RowModel(self.columns)
        self._slots: tuple[Slot, ...] = ()
        self._planned_for = (0, 0)
        self._strips: LRUCache[tuple[str, bool, bool], Strip] = LRUCache(_STRIPS_MAX)
        self._style_cache: dict[tuple[str, bool, bool], Style] = {}
        self._highlighted: str | None = None
        self.set_reactive(VirtualTable.follow, tail)

    # -- rows --------------------------------------------------------------------------------------------------------

    @property
    def row_count(self) -> int:
        return len(self._model.shown)

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows in the order in which they are shown; a filter's rows only."""
        return tuple(self._model.shown)

    @property
    def held_count(self) -> int:
        """Rows that are there, shown or not."""
        return self._model.held

    @property
    def cursor_key(self) -> str | None:
        """Key of the row under the cursor, None in an empty table."""
        rows = self._model.shown
        return rows[self.cursor_row].key if self.cursor_row < len(rows) else None

    def set_rows(self, rows: Iterable[Row]) -> None:
        """Show `rows`. The cursor stays on its key if it is still there; with the same keys in the same order only
        changed rows are drawn again. Raises DuplicateKeyError when two rows have the same key."""
        key = self.cursor_key
        changed = self._model.replace(rows)
        if changed is None:
            self._strips.clear()
            self._show_rows(key)
        else:
            self._redraw(changed)

    def update_row(self, key: str, cells: Sequence[Cell], values: Sequence[SortValue] = ()) -> bool:
        """Change one row and draw its line if it is in view. False if there is no such row.

        In a sorted table the row keeps its place until the next `set_rows` or `sort_by`: rows that jump while one reads
        them are worse than rows that are out of order for a moment.
        """
        at = self._model.update(Row(key, tuple(cells), tuple(values)))
        if at is not None:
            self._redraw((at,))
        return self._model.index_of(key) is not None

    def append_rows(self, rows: Iterable[Row], keep: int | None = None) -> None:
        """Add rows at the end and forget the oldest beyond `keep`. The view stays where it is unless it follows.

        Raises DuplicateKeyError when a key is already there.
        """
        key = self.cursor_key
        self._show_rows(key, scrolled_off=self._model.append(rows, keep))

    def prepend_rows(self, rows: Iterable[Row]) -> None:
        """Add older rows before the first. The view stays on what it shows. Raises DuplicateKeyError."""
        key, top = self.cursor_key, self.scroll_offset.y
        added = self._model.prepend(rows)
        self._show_rows(key)
        if added and not self.follow:
            self.scroll_to(y=top + added, animate=False, force=True)

    def keep_only(self, test: Callable[[Row], bool] | None) -> None:
        """Show only the rows that pass `test`; all of them with None. The cursor stays on its row if that is shown."""
        key = self.cursor_key
        self._model.keep_only(test)
        self._show_rows(key)

    def move_to(self, key: str) -> bool:
        """Put the cursor on a row; a table that follows ceases to. False when it is not shown."""
        at = self._model.index_of(key)
        if at is not None:
            self._move_to(at)
        return at is not None

    def sort_by(self, key: str | None, reverse: bool = False) -> None:
        """Order by the column `key`, or as the rows came with None. Raises KeyError for a column that is not there."""
        sort = None
        if key is not None:
            at = next((i for i, column in enumerate(self.columns) if column.key == key), None)
            if at is None:
                raise KeyError(f"table {self.id!r} has no column {key!r}")
            sort = (at, reverse)
        cursor_key = self.cursor_key
        self._model.sort_by(sort)
        self._show_rows(cursor_key)

    @property
    def sorted_by(self) -> tuple[str, bool] | None:
        """Column key and whether descending, None for the order of arrival."""
        sort = self._model.sort
        return None if sort is None else (self.columns[sort[0]].key, sort[1])

    def _redraw(self, places: Iterable[int]) -> None:
        for at in places:
            key = self._model.shown[at].key
            for state in ((False, False), (True, False), (True, True)):
                self._strips.discard((key, *state))
            self._refresh_row(at)
        self._layout_columns()

    def _show_rows(self, key: str | None, scrolled_off: int = 0) -> None:
        """Take the model into view: size, columns, cursor. `key` had the cursor; `scrolled_off` rows left at the top."""
        top = self.scroll_offset.y
        self.virtual_size = Size(self.size.width, self.row_count + self._header_rows)
        self._layout_columns()
        if self.follow:
            self.cursor_row = self.row_count - 1
            self._scroll_to_cursor()
        else:
            at = self._model.index_of(key) if key is not None else None
            self.cursor_row = self.cursor_row if at is None else at
            if scrolled_off:
                self.scroll_to(y=max(0, top - scrolled_off), animate=False, force=True)
        self._announce()
        self.refresh()

    # -- cursor ------------------------------------------------------------------------------------------------------

    def validate_cursor_row(self, row: int) -> int:
        return max(0, min(row, self.row_count - 1))

    def watch_cursor_row(self, old: int, new: int) -> None:
        self._refresh_row(old)
        self._refresh_row(new)
        self._scroll_to_cursor()
        self._announce()

    def watch_show_vertical_scrollbar(self, shown: bool) -> None:
        # Textual tells a bar where it is only while the bar is shown; one that appears later would say "top".
        if shown:
            self.vertical_scrollbar.position = self.scroll_y

    def watch_follow(self, following: bool) -> None:
        self.post_message(FollowChanged(self, following))

    def _announce(self) -> None:
        key = self.cursor_key
        if key is not None and key != self._highlighted:
            self.post_message(RowHighlighted(self, key, self.cursor_row))
        self._highlighted = key

    def _body_height(self) -> int:
        return max(1, self.size.height - self._header_rows)

    def _scroll_to_cursor(self) -> None:
        top, height = self.scroll_offset.y, self._body_height()
        if self.cursor_row < top:
            self.scroll_to(y=self.cursor_row, animate=False, force=True)
        elif self.cursor_row >= top + height:
            self.scroll_to(y=self.cursor_row - height + 1, animate=False, force=True)

    def _move_to(self, row: int) -> None:
        if self.tail:
            self.follow = row >= self.row_count - 1 and row >= self.cursor_row
        self.cursor_row = row

    def _step_to(self, row: int) -> None:
        self._move_to(row)
        if row <= 0 or row >= self.row_count - 1:
            self.post_message(EdgeReached(self, top=row <= 0))

    def action_move(self, rows: int) -> None:
        self._step_to(self.cursor_row + rows)

    def action_page(self, pages: float) -> None:
        step = max(1, round(abs(pages) * self._body_height()))
        self._step_to(self.cursor_row + (step if pages > 0 else -step))

    def action_first(self) -> None:
        self._step_to(0)

    def action_last(self) -> None:
        self._step_to(max(1, self.row_count - 1))

    def action_select(self) -> None:
        key = self.cursor_key
        if key is not None:
            self.post_message(RowSelected(self, key, self.cursor_row))

    def action_sort_next(self) -> None:
        """Ascending, descending, next shown column; after the last one the order of arrival."""
        shown = [slot.column for slot in self._slots]
        if not shown:
            return
        at, reverse = self._model.sort or (-1, True)
        later = [i for i in shown if i > at]
        if not reverse:
            self.sort_by(self.columns[at].key, reverse=True)
        else:
            self.sort_by(self.columns[later[0]].key if later else None)

    def on_click(self, event: events.Click) -> None:
        row = event.y - self._header_rows + self.scroll_offset.y
        if event.y >= self._header_rows and 0 <= row < self.row_count:
            self._move_to(row)
            if event.chain == 2:
                self.action_select()

    # -- drawing -----------------------------------------------------------------------------------------------------

    def on_resize(self) -> None:
        self._layout_columns()
        if self.follow:
            self._scroll_to_cursor()

    def on_focus(self) -> None:
        self._refresh_row(self.cursor_row)

    def on_blur(self) -> None:
        self._refresh_row(self.cursor_row)

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._style_cache.clear()
        self._strips.clear()

    def _layout_columns(self) -> None:
        """Choose the columns for the size and the numbers of now."""
        if not self.is_attached or not self.size.width:
            return
        self._planned_for = (self.size.width, self.screen.size.width)
        slots = plan(self.columns, self._model.natural, self.size.width - 2, self.screen.size.width)
        if slots != self._slots:
            self._slots = slots
            self._strips.clear()
            self.refresh()

    def _refresh_row(self, row: int) -> None:
        y = row - self.scroll_offset.y
        if 0 <= y < self._body_height():
            self.refresh_line(row + self._header_rows)

    def _style(self, name: str, cursor: bool) -> Style:
        """The style of a cell on a plain or on the cursor row."""
        key = (name, cursor, cursor and self.has_focus)
        style = self._style_cache.get(key)
        if style is None:
            style, variables = self.rich_style, self.app.theme_variables
            if cursor:
                style += _CURSOR_ROW[self.has_focus].over(variables)
            if name in _LOOKS:
                style += _LOOKS[name].over(variables)
            self._style_cache[key] = style
        return style

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if self._planned_for != (width, self.screen.size.width):
            # The first paint comes before the resize event; it must not show an empty table.
            self._layout_columns()
        if y < self._header_rows:
            return self._header(width)
        if not self.row_count:
            return self._empty(y, width)
        at = y - self._header_rows + self.scroll_offset.y
        if at >= self.row_count:
            return Strip.blank(width, self._style("", False))
        row, cursor = self._model.shown[at], at == self.cursor_row
        key = (row.key, cursor, cursor and self.has_focus)
        strip = self._strips.get(key)
        if strip is None or strip.cell_length != width:
            strip = self._strips[key] = self._draw(row, cursor, width)
        return strip

    def _draw(self, row: Row, cursor: bool, width: int) -> Strip:
        plain = self._style("", cursor)
        segments = [Segment(CURSOR if cursor and self.has_focus else " ", plain)]
        for place, (index, size) in enumerate(self._slots):
            column = self.columns[index]
            cell = row.cells[index] if index < len(row.cells) else Cell("")
            if place:
                segments.append(Segment(" " * GAP, plain))
            text = fit_cell(cell.text, size, column.side, numeric=column.numeric)
            segments.append(Segment(text, self._style(cell.style, cursor)))
        return Strip(segments).adjust_cell_length(width, plain).simplify()

    def _header(self, width: int) -> Strip:
        style = self._style("header", False)
        parts = []
        for index, size in self._slots:
            column = self.columns[index]
            mark = ""
            if self._model.sort is not None and self._model.sort[0] == index:
                mark = "↓" if self._model.sort[1] else "↑"
            title = fit_cell(column.title, min(cell_len(column.title), size - len(mark)))
            parts.append(fit_cell(title + mark, size, column.side))
        return Strip([Segment(" " + (" " * GAP).join(parts), style)]).adjust_cell_length(width, style)

    def _empty(self, y: int, width: int) -> Strip:
        body = self.size.height - self._header_rows
        words = wrap_cells(safe_text(self.empty_text, 256), width - 2)
        at = y - self._header_rows - max(0, (body - len(words)) // 2)
        if not 0 <= at < len(words):
            return Strip.blank(width, self._style("", False))
        return Strip([Segment(fit_cell(words[at], width, "center"), self._style("empty", False))])
