"""The time machine's keys: `[` `]` step, `{` `}` jump by type, `t` to a time, Esc back to now.

In the past every panel shows a `PastClient` in the place of the engine's; the kill key, and nothing else, works on the present.
"""

from __future__ import annotations

import contextlib
from asyncio import get_running_loop
from collections.abc import Sequence
from concurrent.futures import Future
from contextvars import copy_context
from typing import TYPE_CHECKING

from msgspec.structs import replace
from textual.app import App

from engine.client import EngineClient, EquityPoint
from engine.core.events import EVENT_TYPES
from engine.core.text import safe_text
from engine.core.types import SECOND_US, Verb
from tui.actions import key_of
from tui.glyphs import fmt_age_us, fmt_datetime
from tui.moments import HINT, moment
from tui.pastlines import PastMark
from tui.replaying import ReplayKeys
from tui.viewmodel import Banner, Frame
from tui.widgets.event_table import EventsPanel
from tui.widgets.logbook import LogBook

if TYPE_CHECKING:
    from engine.pastclient import PastClient
    from engine.pastview import Picture
    from tui.app import CockpitApp

#: Said in the banner once it takes longer than this; pictures made before they are asked for, in the direction of the last key.
SAID_AFTER_S, PREPARED = 0.5, 2
#: What works on the present even while the past is on the screen.
OF_THE_PRESENT = frozenset({Verb.HOLD, Verb.RELEASE, Verb.HALT, Verb.PAUSE})
REFUSED = "PAST on the screen: nothing is sent from here but the kill key; Esc: back to now"


class TimeKeys:
    """Where in time the cockpit is. `client` is None in the present; `era` changes with every moment that is shown.

    `home` is the moment that stands in the place of now where no engine runs: `quantsail replay --at`.
    """

    def __init__(self, app: CockpitApp) -> None:
        self._app = app
        self.client: PastClient | None = None
        self.home: PastClient | None = None
        self.book = LogBook()
        self.era = 0
        self._future: Future[Picture] | None = None
        self._wanted = 0
        self._since = 0.0
        self._kind = ""

    def stay(self, home: PastClient) -> None:
        """There is no present, only this ledger: everything begins at a moment, and comes back to it."""
        self.home = home
        self._look_at(home)
        self._app.frame = self.over(self._app.present)

    @property
    def refusal(self) -> str:
        """Why nothing is sent."""
        return REFUSED if self.home is None else "PAST of a ledger: no engine runs behind this screen, nothing is sent"

    @property
    def way_back(self) -> str:
        """Where Esc leads from what is shown; "" where it leads nowhere."""
        if self.client is self.home:
            return ""
        return "now" if self.home is None else f"to {fmt_datetime(self.home.picture.ts)[5:16]}Z"

    # -- what the frame says -----------------------------------------------------------------------------------------

    def seeking(self) -> str:
        """What is being read, once that takes a while."""
        waited = self._app.clock() - self._since
        if self._future is None or waited < SAID_AFTER_S:
            return ""
        done, of = self._app.engine.machine.progress
        how_far = f" {done:,} of {of:,} events," if of else ""
        return f"READING the past:{how_far} {fmt_age_us(int(waited) * SECOND_US)} - {key_of('now')} cancels"

    def over(self, present: Frame) -> Frame:
        """The frame of the past over that of the present; the present's own where nobody looks back."""
        if self.client is None:
            said = self.seeking()
            return replace(present, notices=(*present.notices, Banner("INFO", said))) if said else present
        picture = self.client.picture
        now = present.snapshot.now if present.snapshot is not None and self.home is None else picture.head.ts
        place = (picture.ts, max(0, now - picture.ts), picture.seq, picture.head.seq, picture.kind)
        mark = PastMark(*place, None if self.home is not None else present, self.seeking(), self.way_back)
        return replace(present, snapshot=picture.snapshot, past=mark, frozen_since=None, alerts=())

    # -- keys --------------------------------------------------------------------------------------------------------

    def step(self, by: int) -> None:
        """One event on or back."""
        at = self._place()
        if at is None:
            return
        if self.client is None and by > 0:
            self._app.toast("this is now: [ steps back", failed=True)
            return
        machine = self._app.engine.machine
        stepping = self._future is not None and self._wanted > 0
        self._wanted = max(1, at + by)
        known = machine.known(self._wanted)
        if known is not None:
            self._stop()
            self._show(known)
        elif not stepping:  # else its answer asks on: a key that is held must not cancel every picture before it comes
            self._ask(machine.at_seq(self._wanted))
        for further in range(1, PREPARED + 1):
            place = self._wanted + by * further
            if place > 0 and machine.known(place) is None:
                machine.prepare(place)

    def leap(self, by: int) -> None:
        """To the next event of the type under the cursor, or of one that is picked."""
        kind = self._kind_at_cursor()
        if kind:
            self._leap_to(kind, by)
            return
        from tui.screens.picker import PickDialog

        choices = [(name, "") for name in sorted(EVENT_TYPES)]
        pick = PickDialog(
            "jump to the next event of this type" if by > 0 else "jump back to an event of this type",
            choices,
            self._kind or "OrderFilled",
        )
        self._app.push_screen(pick, lambda name: self._leap_to(name, by) if name else None)

    def _leap_to(self, kind: str, by: int) -> None:
        at = self._place()
        if at is None:
            return
        self._kind = kind
        if self.client is None:
            if by > 0:
                self._app.toast("this is now: { jumps back", failed=True)
                return
            at += 1  # the newest event counts
        self._wanted = 0
        self._ask(self._app.engine.machine.next_of(at, kind, by))

    def _kind_at_cursor(self) -> str:
        panel = self._app.screen.focused
        return panel.selected_type() if isinstance(panel, EventsPanel) else ""

    def ask_time(self) -> None:
        from tui.screens.dialog import AskDialog

        now = self._now()
        if now is None:
            return

        def refuse(text: str) -> str:
            if not text.strip():
                return ""
            ts = moment(text, now)
            return f"write {HINT}" if ts is None else "" if ts <= now else "that is not past yet"

        back = "the moment that was asked for" if self.home is not None else "now"
        label = f"Time: {HINT}{f'; empty: back to {back}' if self.client is not None else ''}"
        self._app.push_screen(AskDialog("show everything as it was at", label, refuse), self._to_time)

    def _to_time(self, typed: str | None) -> None:
        if typed is None:
            return
        now = self._now()
        ts = moment(typed, now) if now is not None and typed.strip() else None
        if ts is None:
            self.now()
        else:
            self._wanted = 0
            self._ask(self._app.engine.machine.at_time(ts, until=now))

    def now(self) -> None:
        """Back to now; or give up what is being read."""
        if self._stop():
            self._app.toast("reading the past: cancelled")
            return
        if self.home is not None:
            if self.client is not self.home:
                self._look_at(self.home)
                self._app.tick()
        elif self.client is not None:
            self.client = None
            self.era += 1
            self._app.tick()

    @property
    def reading(self) -> bool:
        """Whether a moment was asked for that has not come yet."""
        return self._future is not None

    @property
    def busy(self) -> bool:
        """Whether there is something to come back from."""
        return self.client is not self.home or self._future is not None

    # -- the machine's answers -----------------------------------------------------------------------------------------

    def _now(self) -> int | None:
        if self.home is not None:
            return self.home.picture.head.ts
        snapshot = self._app.engine.snapshot()
        if snapshot is None:
            self._app.toast("the engine has not reported yet", failed=True)
            return None
        return snapshot.now

    def _place(self) -> int | None:
        """The seq that is looked at, or that the last key has asked for."""
        if self._future is not None and self._wanted:
            return self._wanted
        if self.client is not None:
            return self.client.picture.seq
        snapshot = self._app.engine.snapshot()
        if snapshot is None:
            self._app.toast("the engine has not reported yet", failed=True)
            return None
        return snapshot.seq

    def _ask(self, future: Future[Picture]) -> None:
        self._stop()
        self._future, self._since = future, self._app.clock()
        loop, context = get_running_loop(), copy_context()

        def wake(done: Future[Picture]) -> None:
            with contextlib.suppress(RuntimeError):  # the screen has ended meanwhile
                loop.call_soon_threadsafe(self._came, done, context=context)

        future.add_done_callback(wake)

    def _stop(self) -> bool:
        future, self._future = self._future, None
        return future is not None and future.cancel()

    def _came(self, done: Future[Picture]) -> None:
        if done is not self._future:
            return
        self._future = None
        error = None if done.cancelled() else done.exception()
        if error is not None:
            self._app.toast(safe_text(str(error) or type(error).__name__, 200), failed=True)
        elif not done.cancelled():
            picture = done.result()
            if self.client is not None and picture.seq == self.client.picture.seq == picture.head.seq and self._wanted:
                self._app.toast("this is the newest event" + (": Esc is back to now" if self.home is None else ""))
            self._show(picture)
            if self._wanted and picture.seq != min(max(self._wanted, picture.first.seq), picture.head.seq):
                self._ask(self._app.engine.machine.at_seq(self._wanted))

    def _show(self, picture: Picture) -> None:
        from engine.pastclient import PastClient

        self._look_at(PastClient(picture, self._app.engine.machine))
        self._app.tick()

    def _look_at(self, client: PastClient) -> None:
        picture, self.client = client.picture, client
        self.book = LogBook()
        self.book.entries.extend(picture.log)
        self.book.seq, self.book.version, self.book.bots = picture.seq, 1, picture.names
        self.era += 1


class Travelling(App[int]):
    """What the app has for time, the replay's and the past's: client, log and curve of the moment that is shown, and actions."""

    past: TimeKeys
    replay: ReplayKeys
    engine: EngineClient
    now_book: LogBook
    now_curve: Sequence[EquityPoint]
    read_only: bool

    @property
    def commands(self) -> bool:
        """Whether commands may be given from what is on the screen."""
        return not self.read_only and self.past.client is None

    @property
    def client(self) -> EngineClient:
        """What the screens show: the engine, or a moment of its past."""
        return self.past.client or self.engine

    @property
    def log_book(self) -> LogBook:
        return self.now_book if self.past.client is None else self.past.book

    @property
    def curve(self) -> Sequence[EquityPoint]:
        return self.now_curve if self.past.client is None else self.past.client.equity()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.past.busy if action == "now" else super().check_action(action, parameters)

    def action_replay_toggle(self) -> None:
        self.replay.toggle()

    def action_replay_slower(self) -> None:
        self.replay.change_speed(0.5)

    def action_replay_faster(self) -> None:
        self.replay.change_speed(2.0)

    def action_step(self, by: str) -> None:
        self.past.step(int(by))

    def action_leap(self, by: str) -> None:
        self.past.leap(int(by))

    def action_time(self) -> None:
        self.past.ask_time()

    def action_now(self) -> None:
        self.past.now()
