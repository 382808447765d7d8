"""The terminal's bell, for those who ask for it in the settings: on fills, alerts and stops, at most once a second."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from engine.core import events as ev
from engine.core.events import Recorded
from tui.settings import Bell

#: Bytes and nerves: a fast replay fills orders all the time.
PAUSE_S = 1.0
_STOPS = frozenset({"PAUSED", "REDUCING", "HALTED"})


class BellRinger:
    """Rings for what is new. What was there at the first look is history, and makes no sound."""

    def __init__(self, ring: Callable[[], None], clock: Callable[[], float]) -> None:
        self._ring = ring
        self._clock = clock
        self._rung = float("-inf")
        self._heard = False
        self.wanted = Bell()

    def read(self, found: Iterable[Recorded]) -> None:
        """Take in what was committed since the last look."""
        news = any(wants(self.wanted, one) for one in found)
        due = self._heard and news and self._clock() - self._rung >= PAUSE_S
        self._heard = True
        if due:
            self._rung = self._clock()
            self._ring()


def wants(bell: Bell, recorded: Recorded) -> bool:
    """Whether this event is one to ring for."""
    match recorded.event:
        case ev.OrderFilled():
            return bell.fills
        case ev.AlertTriggered():
            return bell.alerts
        case ev.TradingStateChanged(state=state):
            return bell.stops and state in _STOPS
    return False
