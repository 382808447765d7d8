"""A titled table with the keys that every table of the cockpit has: filter, sort, copy, export, details."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from rich.text import Text
from textual import events
from textual.binding import Binding
from textual.message import Message
from textual.strip import Strip

from engine.core.text import safe_text
from tui.filtering import NOTHING, Filter, parse
from tui.widgets.columns import Column, Row
from tui.widgets.table_messages import RowHighlighted, RowSelected
from tui.widgets.tight import tighten
from tui.widgets.virtual_table import VirtualTable

if TYPE_CHECKING:
    from tui.screens.base import CockpitScreen
    from tui.widgets.filter_bar import FilterBar

Fields = list[tuple[str, str]]
#: Characters of a row that go to the clipboard: some terminals take no more than 74,994 bytes of base64.
COPY_MAX = 8_000


class Panel(VirtualTable):
    """`Opened` asks for a row's detail dialog, `Moved` tells where the cursor is, the others ask for what their names say."""

    heading: ClassVar[str] = ""
    empty: ClassVar[str] = ""
    columns_of: ClassVar[tuple[Column, ...]] = ()
    BINDINGS = [
        Binding("slash", "filter", "Filter", show=False, id="table.filter"),
        Binding("escape", "clear_filter", "Clear the filter", show=False, id="table.clear_filter"),
        Binding("y", "copy", "Copy", show=False, id="table.copy"),
        Binding("Y", "copy_id", "Copy the id", show=False, id="table.copy_id"),
        Binding("E", "export", "Export", show=False, id="table.export"),
    ]

    class Opened(Message):
        def __init__(self, heading: str, rows: Fields) -> None:
            super().__init__()
            self.heading = heading
            self.rows = rows

    class Moved(Message):
        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    class Copied(Message):
        """`text` is for the clipboard, `what` says in a few words what it is."""

        def __init__(self, text: str, what: str) -> None:
            super().__init__()
            self.text = text
            self.what = what

    class ExportAsked(Message):
        def __init__(self, panel: Panel) -> None:
            super().__init__()
            self.panel = panel

    def __init__(self, *, id: str, tail: bool = False, columns: Sequence[Column] = ()) -> None:
        super().__init__(columns or self.columns_of, empty_text=self.empty, tail=tail, id=id)
        self.filter: Filter = NOTHING
        self._typing: FilterBar | None = None
        self._title = self._subtitle = self._note = ""
        self.entitle("")

    # -- title and subtitle ------------------------------------------------------------------------------------------

    def entitle(self, more: str) -> None:
        """The heading with what the rows add up to. A Text object: nothing in it is markup."""
        title = f"{self.heading} {more}".rstrip()
        if title != self._title:  # a new border title repaints the whole panel
            self._title = title
            self.border_title = Text(safe_text(title, 200))

    def note(self, words: str) -> None:
        """What must be said of the rows besides the filter: that older ones are being read, or could not be."""
        self._note = words
        self._retell()

    def _retell(self) -> None:
        parts = [self._filter_words(), self._sort_words(), self._note]
        subtitle = " │ ".join(part for part in parts if part)
        if subtitle != self._subtitle:
            self._subtitle = subtitle
            self.border_subtitle = Text(safe_text(subtitle, 300))

    def _filter_words(self) -> str:
        if not self.filter.text:
            return ""
        lost = f" (no column {', '.join(self.filter.unknown)})" if self.filter.unknown else ""
        return f"/ {self.filter.text}{lost}: {self.row_count:,} of {self.held_count:,}"

    def _sort_words(self) -> str:
        if self.sorted_by is None:
            return ""
        key, reverse = self.sorted_by
        return f"by {next(c.title for c in self.columns if c.key == key)} {'↓' if reverse else '↑'}"

    def _show_rows(self, key: str | None, scrolled_off: int = 0) -> None:
        super()._show_rows(key, scrolled_off)
        self._retell()

    def _draw(self, row: Row, cursor: bool, width: int) -> Strip:
        return tighten(super()._draw(row, cursor, width))

    def forget(self) -> None:
        """Another moment is shown: the next rows are other ones."""
        self._model.anew = True

    # -- filter ------------------------------------------------------------------------------------------------------

    def apply_filter(self, text: str) -> None:
        """Show only the rows that fit what was typed; "" is all of them."""
        wanted = parse(text, self.columns)
        if wanted == self.filter:
            return
        self.filter = wanted
        self.empty_text = f"No row fits / {wanted.text} - Esc shows all" if wanted.terms else self.empty
        self.keep_only(wanted.test())

    def action_filter(self) -> None:
        self._typing = cast("CockpitScreen", self.screen).open_filter(self)

    def on_key(self, event: events.Key) -> None:
        """What is typed behind the "/" is the filter, however fast the hand: a binding would act behind keys that follow it."""
        taken = self._typing is not None and self._typing.take(event, self)
        if not taken and event.key == "slash":
            self.action_filter()
            taken = True
        if taken:
            event.stop()
            event.prevent_default()

    def action_clear_filter(self) -> None:
        self.apply_filter("")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        # Esc belongs to whoever has a use for it: without a filter that is the maximised panel's screen.
        return bool(self.filter.text) if action == "clear_filter" else True

    # -- copy, export, details ---------------------------------------------------------------------------------------

    def action_copy(self) -> None:
        row = self._row_under_cursor()
        if row is not None:
            cells = (safe_text(cell.text, 500).strip() for cell in row.cells)
            self.post_message(self.Copied("\t".join(cells)[:COPY_MAX], "the row"))

    def action_copy_id(self) -> None:
        row = self._row_under_cursor()
        if row is not None:
            self.post_message(self.Copied(safe_text(row.key, 200), safe_text(row.key, 60)))

    def _row_under_cursor(self) -> Row | None:
        rows = self._model.shown
        return rows[self.cursor_row] if self.cursor_row < len(rows) else None

    def action_export(self) -> None:
        self.post_message(self.ExportAsked(self))

    def detail_of(self, key: str) -> tuple[str, Fields] | None:
        """Heading and fields of the row `key`; None when it has gone."""
        return None

    def on_virtual_table_row_selected(self, event: RowSelected) -> None:
        found = self.detail_of(event.key)
        if found is not None:  # else the screen may know where to look
            event.stop()
            self.post_message(self.Opened(*found))

    def on_virtual_table_row_highlighted(self, event: RowHighlighted) -> None:
        event.stop()
        self.post_message(self.Moved(event.key))
