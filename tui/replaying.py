"""The keys of a recorded or simulated feed: play, pause, slower, faster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.client import ReplayView

if TYPE_CHECKING:
    from tui.app import CockpitApp

SLOWEST, FASTEST = 0.125, 100_000.0
#: A speed that was asked for this lately counts, not the snapshot's: that lags behind fast keys.
ASKED_COUNTS_S = 1.0


class ReplayKeys:
    """What the app does when they are pressed."""

    def __init__(self, app: CockpitApp) -> None:
        self._app = app
        self._asked: tuple[float, float | None] | None = None

    def toggle(self) -> None:
        replay = self._replay()
        if replay is None:
            return
        if replay.state == "ended":
            self._app.toast("the data has ended", failed=True)
        elif self._app.may_command():
            self._app.engine.replay("resume" if replay.state == "paused" else "pause")

    def change_speed(self, factor: float) -> None:
        replay = self._replay()
        if replay is None or not self._app.may_command():
            return
        asked_at, speed = self._asked or (float("-inf"), None)
        if self._app.clock() - asked_at > ASKED_COUNTS_S:
            speed = replay.speed
        speed = faster(speed, factor)
        self._asked = (self._app.clock(), speed)
        self._app.engine.replay("speed", speed)
        self._app.toast(f"replay speed {'max' if speed is None else f'x{speed:g}'}")

    def _replay(self) -> ReplayView | None:
        snapshot = self._app.engine.snapshot()
        if snapshot is None or snapshot.replay is None:
            self._app.toast("this feed is live: it has no speed", failed=True)
            return None
        return snapshot.replay


def faster(speed: float | None, factor: float) -> float | None:
    """The next replay speed, data seconds a second; None is max, and one step slower than max is FASTEST."""
    if speed is None:
        return None if factor > 1 else FASTEST
    wanted = speed * factor
    return None if wanted > FASTEST else max(SLOWEST, wanted)
