"""Alerts until somebody has seen them: what is open, who acknowledged what and when. The audit trail keeps it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from engine.core import events as ev
from engine.core.events import Recorded
from engine.core.text import safe_text
from engine.history import Acknowledgement
from tui.glyphs import fmt_age_us, fmt_clock, fmt_datetime
from tui.viewmodel import Banner, banners

if TYPE_CHECKING:
    from tui.app import CockpitApp

#: Alerts that wait to be seen; what is older is in the events.
OPEN_MAX = 100


class Alerts:
    """The alerts of one cockpit. A condition (database down, HALTED) keeps its banner, acknowledged or not, while it lasts."""

    def __init__(self, app: CockpitApp, clock_us: Callable[[], int] | None = None) -> None:
        self._app = app
        self._clock_us = clock_us or (lambda: time.time_ns() // 1_000)
        self._raised: deque[Recorded] = deque(maxlen=OPEN_MAX)
        self._seen: dict[str, Acknowledgement] = {}
        self._asked = False

    def read(self, found: Iterable[Recorded]) -> None:
        """Take in what was committed; at the first time, ask what was acknowledged in earlier runs."""
        self._raised.extend(one for one in found if isinstance(one.event, ev.AlertTriggered))
        if not self._asked:
            self._asked = True
            self._app.wait_for(self._app.engine.history.acknowledged(), self._remember)

    def _remember(self, done: Future[Any]) -> None:
        if not done.cancelled() and done.exception() is None:
            self._seen = {one.key: one for one in reversed(done.result())} | self._seen

    @property
    def seen(self) -> dict[str, str]:
        """Who saw what is known by its key, and when."""
        return {key: f"{safe_text(one.actor, 24)} {fmt_clock(one.ts)}" for key, one in self._seen.items()}

    def open(self, now: int) -> tuple[Banner, ...]:
        """Alerts that nobody has acknowledged, the newest first."""
        raised = [(one, key_of(one)) for one in reversed(self._raised)]
        return tuple(_banner(one, key, now) for one, key in raised if key not in self._seen)

    def by(self, recorded: Recorded) -> str:
        """Who acknowledged an event, "" when nobody did."""
        one = self._seen.get(key_of(recorded))
        return f"{safe_text(one.actor, 40)} at {fmt_datetime(one.ts)}" if one is not None else ""

    def waiting(self) -> list[Banner]:
        """What nobody has acknowledged, the worst first."""
        return [b for b in banners(self._app.present) if b.key and b.key not in self._seen]

    def acknowledge(self) -> None:
        """The banner that is shown first: its text goes into the audit trail with the operator's name."""
        waiting = self.waiting()
        if not waiting:
            self._app.toast("nothing waits to be acknowledged")
        elif self._app.may_command():
            first = waiting[0]
            # Counted at once, and also where it cannot be written: the database may be what the alert is about.
            self._seen[first.key] = Acknowledgement(
                key=first.key, text=first.text, actor=self._app.actor, ts=self._clock_us()
            )
            self._app.wait_for(self._app.engine.history.acknowledge(first.key, first.text, self._app.actor), self._kept)
            self._app.toast(f"acknowledged: {first.text}")
            self._app.tick()

    def _kept(self, done: Future[Any]) -> None:
        error = None if done.cancelled() else done.exception()
        if error is not None:
            self._app.toast(f"acknowledged here, NOT in the audit trail: {safe_text(str(error), 160)}", failed=True)

    def show(self) -> None:
        """A dialog: what is open, then who acknowledged what, newest first."""
        waiting = [("open", b.text) for b in self.waiting()]
        known = sorted(self._seen.values(), key=lambda one: -one.ts)
        rows = [*waiting, *((f"{safe_text(one.actor, 24)} {fmt_datetime(one.ts)}", one.text) for one in known)]
        self._app.show_detail("alerts: what is open, who acknowledged what", rows or [("none", "no alert so far")])


def key_of(recorded: Recorded) -> str:
    return f"event {recorded.id}"


def _banner(recorded: Recorded, key: str, now: int) -> Banner:
    e = recorded.event
    age = fmt_age_us(max(0, now - e.ts))
    words = f"{getattr(e, 'code', '')} {getattr(e, 'symbol', '')} {getattr(e, 'text', '')}"
    return Banner("CRIT", f"ALERT {age}: {safe_text(' '.join(words.split()), 120)}", key)
