"""The form of screen 6: every setting of a document, typed one at a time or in $EDITOR, stored as the next version."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any, ClassVar

from textual.binding import BindingType
from textual.widget import Widget

from engine import paths
from engine.client import ConfigShelf
from engine.config_diff import diff
from engine.config_form import Setting, read, refusal, replaced, settings, value_at, whole, words
from engine.config_text import document_of
from engine.core.text import safe_text
from tui.editor import edit
from tui.screens.dialog import AskDialog, Dialog, keys_line
from tui.viewmodel import Frame, Span
from tui.widgets.columns import Cell, Column, Row
from tui.widgets.filter_bar import FilterBar
from tui.widgets.line import SpanLine
from tui.widgets.panel import Fields, Panel
from tui.widgets.table_messages import RowSelected

NOTE_MAX = 120


class SettingsTable(Panel):
    """One row a setting; a changed one is marked and says what it was."""

    heading = "settings"
    empty = "No setting."
    columns_of = (
        Column(key="key", title="Setting", width=46, min_width=42),
        Column(key="value", title="Value", width=16, min_width=12, grow=True),
        Column(key="was", title="Was", width=12, min_width=8, priority=1),
        Column(key="words", title="What it means", width=50, priority=2, min_screen=120, grow=True),
    )

    def fill(self, found: Iterable[Setting], before: dict[str, str]) -> None:
        self.set_rows(_row(one, before.get(one.key)) for one in found)

    def detail_of(self, key: str) -> tuple[str, Fields] | None:
        return None


def _row(one: Setting, was: str | None) -> Row:
    changed = was != one.text
    old = "" if not changed else "not there" if was is None else was
    cells = (
        Cell(one.key, "strong" if changed else ""),
        Cell(one.text, "warn" if changed else "quiet" if one.text == "none" else ""),
        Cell(old, "quiet"),
        Cell(words(one.path), "quiet"),
    )
    return Row(one.key, cells)


class ConfigForm(Dialog[int]):
    """Gives the number of the version that was stored, or None. `version` is the one it begins from."""

    BINDINGS: ClassVar[list[BindingType]] = [("e", "editor", "Editor"), ("ctrl+s", "store", "Store")]

    def __init__(self, version: int, document: Any) -> None:
        super().__init__()
        self._version = version
        self._before = whole(document)
        self._now = self._before
        self._leaving = False
        self.heading = f"NEW CONFIG from v{version}"

    def body(self) -> Iterable[Widget]:
        yield SettingsTable(id="settings")
        yield FilterBar()
        yield SpanLine(id="meaning")
        yield SpanLine(id="result")
        yield keys_line(("Enter", "change"), ("/", "find"), ("e", "$EDITOR"), ("Ctrl+S", "store"), ("Esc", "leave"))

    def on_mount(self) -> None:
        super().on_mount()
        self._fill()
        self.query_one(SettingsTable).focus()

    def _fill(self) -> None:
        table = self.query_one(SettingsTable)
        table.fill(settings(self._now), {one.key: one.text for one in settings(self._before)})
        count = len(self.changes)
        table.entitle(f"({f'{count} changed' if count else 'nothing changed yet'})")

    @property
    def changes(self) -> tuple[str, ...]:
        return tuple(diff(self._before, self._now))

    def show(self, frame: Frame) -> None:
        super().show(frame)
        if self.is_mounted and (table := self.query("SettingsTable")):
            self._mean(table.first(SettingsTable).cursor_key)

    def open_filter(self, panel: Panel) -> FilterBar:
        bar = self.query_one(FilterBar)
        bar.open(panel)
        return bar

    def _setting(self, key: str | None) -> Setting | None:
        return next((one for one in settings(self._now) if one.key == key), None)

    def _mean(self, key: str | None) -> None:
        found = self._setting(key)
        self.query_one("#meaning", SpanLine).set_line([Span(words(found.path) if found else "", "dim")])

    def on_panel_moved(self, event: Panel.Moved) -> None:
        event.stop()
        self._mean(event.key)

    def say(self, text: str, style: str = "warn") -> None:
        self.query_one("#result", SpanLine).set_line([Span(safe_text(text, 300), style)])

    # -- changing ----------------------------------------------------------------------------------------------------

    def on_virtual_table_row_selected(self, event: RowSelected) -> None:
        event.stop()
        found = self._setting(event.key)
        if found is None:
            return
        before = value_at(self._now, found.path)

        def refuse(text: str) -> str:
            return refusal(replaced(self._now, found.path, read(text, before)))

        def typed(text: str | None) -> None:
            if text is not None:
                self._take(replaced(self._now, found.path, read(text, before)))

        label = words(found.path) or "The new value; none takes it away"
        self.app.push_screen(AskDialog(found.key, label, refuse, found.text), typed)

    def _take(self, document: Any) -> None:
        """Go on with another document, if it is a config."""
        try:
            self._now = whole(document)
        except ValueError as error:
            self.say(f"not taken: {error}", "error")
            return
        self._leaving = False
        self.say("")
        self._fill()

    def action_editor(self) -> None:
        self.run_worker(self._edit(), exit_on_error=False, exclusive=True)

    async def _edit(self) -> None:
        folder = paths.data_home() / "drafts"
        draft = folder / f"config-from-v{self._version}.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(self._now, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            problem = await edit(self.cockpit, draft)
            text = "" if problem else draft.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            problem = f"{draft}: {error.strerror if isinstance(error, OSError) else 'not UTF-8 text'}"
        if problem:
            self.say(problem, "error")
            return
        try:
            document = document_of(text)
        except (ValueError, RecursionError) as error:
            self.say(f"not taken, not JSON: {error} - e opens the draft as it was stored here", "error")
            return
        self._take(document)

    # -- storing -----------------------------------------------------------------------------------------------------

    def action_store(self) -> None:
        if not self.changes:
            self.say("nothing is changed: Enter changes the setting under the cursor")
            return
        client = self.cockpit.client
        if not self.cockpit.may_command() or not isinstance(client, ConfigShelf):
            return
        shelf = client

        def noted(note: str | None) -> None:
            if note is None:
                return
            self.say("storing ...", "dim")
            text = json.dumps(self._now)
            self.cockpit.wait_for(shelf.store_config(text, note.strip(), self.cockpit.actor), self._stored)

        label = f"{len(self.changes)} changes. What for? Kept with the version and in the audit trail"
        self.app.push_screen(AskDialog("store", label, lambda note: "" if note.strip() else "a word is needed"), noted)

    def _stored(self, done: Future[Any]) -> None:
        error = done.exception()
        if error is not None:
            self.say(f"REFUSED: {error}", "error")
            return
        self.dismiss(int(done.result()))

    def action_leave(self) -> None:
        if self.changes and not self._leaving:
            self._leaving = True
            self.say(f"{len(self.changes)} changes are not stored: Ctrl+S stores, Esc again throws them away")
        else:
            self.dismiss(None)
