"""Screen 3: every event from INFO up, newest last; follows unless the cursor left the end. Older ones come from the journal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.binding import BindingType
from textual.widget import Widget

from engine.core.events import Recorded
from tui.actions import bindings
from tui.moments import HINT, moment
from tui.paging import Pager
from tui.screens.base import CockpitScreen
from tui.screens.dialog import AskDialog
from tui.viewmodel import Frame
from tui.widgets.event_table import KEPT_WIDE, EventsPanel
from tui.widgets.eventtext import detail
from tui.widgets.table_messages import EdgeReached, RowSelected

#: Events of a page; and how many of them stand before the time that was jumped to.
PAGE, BEFORE = 1_000, 100


class EventsScreen(CockpitScreen):
    target = "events"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("events"), ("escape", "stop_reading", "Stop reading")]

    def body(self) -> Iterable[Widget]:
        self.panel = EventsPanel(wide=True, id="events")
        self._older = Pager(self.cockpit, self.panel, "older events")
        self._one = Pager(self.cockpit, self.panel, "the event")
        self._exhausted = False
        yield self.panel

    def paint(self, frame: Frame) -> None:
        self.panel.paint(self.cockpit.log_book)

    def on_virtual_table_edge_reached(self, event: EdgeReached) -> None:
        event.stop()
        if self._older.reading:
            return
        if event.top:
            self._read_older()
        elif self.panel.past:
            last = self.panel.last_seq
            self._older.ask(self.cockpit.client.history.events(last + PAGE + 1, PAGE), self._newer)

    def _read_older(self) -> None:
        first = self.panel.first_seq
        if first <= 1 or self._exhausted:
            self.panel.note("this is where the journal begins" if self.panel.held_count else "")
        elif self.panel.held_count >= KEPT_WIDE:
            self.panel.note(f"{KEPT_WIDE:,} rows are shown: J jumps to a time before them")
        else:
            self._older.ask(self.cockpit.client.history.events(first, PAGE), self._came)

    def _came(self, found: Sequence[Recorded]) -> None:
        self._exhausted = not found or found[0].seq <= 1
        self.panel.add_older(found, self.cockpit.log_book.bots)

    def _newer(self, found: Sequence[Recorded]) -> None:
        if not found or found[-1].seq <= self.panel.last_seq:
            self.panel.back_to_now()
        else:
            self.panel.add_newer(found, self.cockpit.log_book.bots)

    def on_virtual_table_row_selected(self, event: RowSelected) -> None:
        """An event that memory does not have any more."""
        event.stop()
        seq = int(event.key)
        self._one.ask(self.cockpit.client.history.events(seq + 1, 1), self._show_one)

    def _show_one(self, found: Sequence[Recorded]) -> None:
        if found:
            self.cockpit.show_detail("event", detail(found[-1]))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self._older.reading or self._one.reading if action == "stop_reading" else True

    def forget(self) -> None:
        self._older.stop()
        self._one.stop()
        self._exhausted = False
        super().forget()

    def action_stop_reading(self) -> None:
        self._older.stop()
        self._one.stop()

    def action_follow(self) -> None:
        self.panel.action_follow()

    def action_jump(self) -> None:
        now = self._now()
        dialog = AskDialog("jump to a time", f"Time: {HINT}", lambda text: "" if moment(text, now) else f"write {HINT}")
        self.app.push_screen(dialog, self._jump)

    def _now(self) -> int:
        snapshot = self.cockpit.frame.snapshot
        return snapshot.now if snapshot is not None else 0

    def _jump(self, typed: str | None) -> None:
        ts = moment(typed or "", self._now())
        if ts is None or self.panel.go_to(ts):
            return

        def found(seq: int | None) -> None:
            if seq is None:
                self.panel.note("nothing has happened since then")
            else:
                page = self.cockpit.client.history.events(seq - BEFORE + PAGE, PAGE)
                self._older.ask(page, lambda events: self._past(events, ts))

        self._older.ask(self.cockpit.client.history.seq_at(ts), found)

    def _past(self, page: Sequence[Recorded], ts: int) -> None:
        self.panel.show_past(page, self.cockpit.log_book.bots, ts)
