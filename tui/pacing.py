"""How often the cockpit looks at its engine: four times a second, half as often where nothing happens."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import App

from tui.viewmodel import Frame

LOOK_S = 0.25
#: Looks are this far apart once the engine has had nothing new for so long.
REST_S, RESTS_AFTER_S = 0.5, 3.0


class Pace:
    """Calls `look`; told with each look what it saw. A dialog counts seconds: under one nothing rests."""

    def __init__(self, app: App[int], look: Callable[[], None]) -> None:
        self._often = app.set_interval(LOOK_S, look)
        self._rarely = app.set_interval(REST_S, look, pause=True)
        self._number, self._news_mono = -1, float("-inf")
        self.resting = False

    def saw(self, present: Frame, *, dialog: bool) -> None:
        number = present.snapshot.number if present.snapshot is not None else -1
        if number != self._number or number < 0 or dialog:
            self._number, self._news_mono = number, present.mono
        resting = present.mono - self._news_mono > RESTS_AFTER_S
        if resting != self.resting:
            self.resting = resting
            before, after = (self._often, self._rarely) if resting else (self._rarely, self._often)
            before.pause()
            after.resume()
