"""The events: the log book's tail, or a window into the past; filter, follow and freeze."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from engine.core.events import Recorded
from engine.core.types import Level
from tui.glyphs import fmt_datetime
from tui.widgets import rows
from tui.widgets.columns import NEVER, Column, Row
from tui.widgets.eventtext import detail
from tui.widgets.logbook import LogBook
from tui.widgets.panel import Fields, Panel
from tui.widgets.table_messages import FollowChanged

if TYPE_CHECKING:
    from tui.app import CockpitApp

#: Rows that a panel of the dashboard and the events' own screen keep.
KEPT_SMALL, KEPT_WIDE = 300, 50_000

#: A sorted table of more rows than this takes new ones in at most this often.
SORTED_AT_ONCE, SORTED_EVERY_S = 5_000, 5.0

_COLUMNS = (
    Column(key="date", title="Date", width=10, priority=6, min_screen=120, time=True),
    Column(key="time", title="Time", width=9, time=True),
    Column(key="level", title="Level", width=6, priority=2),
    Column(key="kind", title="Event", width=10),
    Column(key="what", title="What", width=60, min_width=24, grow=True),
    Column(key="symbol", title="Symbol", width=12, priority=4, min_screen=180),
    Column(key="bot", title="Bot", width=12, priority=5, min_screen=180),
    Column(key="type", title="Type", width=20, priority=7, min_screen=180),
    Column(key="seq", title="Seq", width=5, numeric=True, priority=3, min_screen=120),
)
_NARROW = ("time", "level", "kind", "what")


class EventsPanel(Panel):
    """Follows its end until the cursor moves up. `wide` is the events' own screen: all columns, and rows to scroll through."""

    heading = "events"
    empty = "No event yet. Everything that is decided appears here, oldest first."
    columns_of = _COLUMNS

    def __init__(self, *, id: str, wide: bool = False) -> None:
        narrow = [c if c.key in _NARROW else replace(c, min_screen=NEVER) for c in _COLUMNS]
        super().__init__(id=id, tail=True, columns=_COLUMNS if wide else narrow)
        self.wide = wide
        self.past = False
        self._keep = KEPT_WIDE if wide else KEPT_SMALL
        self._seq = 0
        self._version = -1
        self._book: LogBook | None = None
        self._skipped = 0
        self._stale = False
        self._sorted_mono = float("-inf")

    def paint(self, book: LogBook) -> None:
        """Add what is new; a window into the past stays as it is."""
        self._book = book
        if book.version == self._version or self.past or self._sorted_lately():
            return
        self._version = book.version
        found = book.after(self._seq, self._keep)
        if (
            self._stale
        ):  # in one go, and with the rows that stay as they are: a table of another height is laid out anew
            self._stale = False
            self._seq = found[-1].seq if found else 0
            known = {row.key: row for row in self._model.shown}
            loud = [one for one in found if one.event.level is not Level.DEBUG]
            self.set_rows([known.get(str(one.seq)) or rows.event_row(one, book.bots) for one in loud])
        elif found:
            self._seq = found[-1].seq
            self.append_rows(event_rows(found, book.bots), keep=self._keep)
        self._skipped = book.skipped
        self.retitle()

    def _sorted_lately(self) -> bool:
        """Putting tens of thousands of rows in order again takes a tenth of a second: not for every event."""
        if self.sorted_by is None or self.held_count < SORTED_AT_ONCE:
            return False
        mono = cast("CockpitApp", self.app).clock()
        if mono - self._sorted_mono < SORTED_EVERY_S:
            return True
        self._sorted_mono = mono
        return False

    def retitle(self) -> None:
        """How many there are and, in a word, whether the end is followed."""
        if not self.wide:
            self.entitle("(some came too fast to show)" if self._skipped else "")
            return
        word = "FOLLOWING" if self.follow else "FROZEN - G follows"
        if self.past:
            word = f"PAST {fmt_datetime(self._ts_of(0))} - G comes back to now"
        lost = f", {self._skipped:,} came too fast to show" if self._skipped and not self.past else ""
        self.entitle(f"({self.held_count:,}{lost}) {word}")

    # -- older and elsewhere -----------------------------------------------------------------------------------------

    @property
    def first_seq(self) -> int:
        """The oldest seq that is held; 0 when there is none."""
        return int(next(iter(self._model.keys()), 0))

    @property
    def last_seq(self) -> int:
        return self._seq

    def selected_type(self) -> str:
        """Type of the event under the cursor; "" when there is none."""
        key = self.cursor_key
        found = self._book.find(int(key)) if key and self._book is not None else None
        return type(found.event).__name__ if found is not None else ""

    def ts_at_cursor(self) -> int | None:
        return self._ts_of(self.cursor_row)

    def _ts_of(self, at: int) -> int | None:
        shown = self._model.shown
        value = shown[at].values[0] if at < len(shown) else None
        return value if isinstance(value, int) else None

    def add_older(self, found: Sequence[Recorded], bots: Mapping[str, str]) -> None:
        """Rows before the first; those that are there already are left out."""
        first = self.first_seq
        self.prepend_rows(event_rows([one for one in found if one.seq < first or not first], bots))
        self.retitle()

    def show_past(self, found: Sequence[Recorded], bots: Mapping[str, str], ts: int) -> None:
        """A window into the past instead of the tail; the cursor on the first event at or after `ts`."""
        self.past, self.follow = True, False
        self.set_rows(event_rows(found, bots))
        self._seq = found[-1].seq if found else 0
        if not self.go_to(ts):
            self.move_to(next(iter(self._model.keys()), ""))
        self.retitle()

    def add_newer(self, found: Sequence[Recorded], bots: Mapping[str, str]) -> None:
        """Rows behind a window's last."""
        newer = [one for one in found if one.seq > self._seq]
        if newer:
            self._seq = newer[-1].seq
            self.append_rows(event_rows(newer, bots), keep=self._keep)
        self.retitle()

    def back_to_now(self) -> None:
        """The tail again, followed."""
        self.past, self._seq, self._version = False, 0, -1
        self.set_rows(())
        self.follow = True
        if self._book is not None:
            self.paint(self._book)
        self.retitle()

    def forget(self) -> None:
        """The next paint puts its rows in the place of these."""
        super().forget()
        self.past, self.follow, self._seq, self._version = False, True, 0, -1
        self._stale = True

    def go_to(self, ts: int) -> bool:
        """Put the cursor on the first shown event at or after `ts`; False when `ts` is before the first or behind the last."""
        shown = self._model.shown
        times = [row.values[0] if row.values else 0 for row in shown]
        at = next((n for n, value in enumerate(times) if isinstance(value, int) and value >= ts), None)
        first = times[0] if times else None
        if at is None or not isinstance(first, int) or first > ts:
            return False
        self.move_to(shown[at].key)
        return True

    def action_last(self) -> None:
        if self.past:
            self.back_to_now()
        else:
            super().action_last()

    def action_follow(self) -> None:
        """Freeze a table that follows, and the other way round."""
        if self.past:
            self.back_to_now()
        else:
            self.follow = not self.follow
            if self.follow:
                super().action_last()

    def on_virtual_table_follow_changed(self, event: FollowChanged) -> None:
        event.stop()
        self.retitle()
        if not self.wide:
            self.note("" if event.following else "not following - G follows")

    def detail_of(self, key: str) -> tuple[str, Fields] | None:
        recorded = self._book.find(int(key)) if self._book is not None else None
        if recorded is None:
            return None
        by = cast("CockpitApp", self.app).alerts.by(recorded)
        return "event", [*([("acknowledged", by)] if by else []), *detail(recorded)]


def event_rows(found: Sequence[Recorded], bots: Mapping[str, str]) -> list[Row]:
    """From INFO up: DEBUG is for programs."""
    return [rows.event_row(one, bots) for one in found if one.event.level is not Level.DEBUG]
