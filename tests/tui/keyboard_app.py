"""A cockpit with a scripted engine for a real terminal: `python -m tests.tui.keyboard_app`."""

from __future__ import annotations

import time

from tests.tui.fake_engine import MONO
from tests.tui.key_table import scripted
from tui.app import CockpitApp

START = time.monotonic()


class Beating(CockpitApp):
    """The engine's beat comes with the looks at it."""

    def tick(self) -> None:
        self.engine.change(beat_mono=self.clock(), last_input_mono=self.clock())  # type: ignore[attr-defined]
        super().tick()


if __name__ == "__main__":
    Beating(scripted(), crash_log=None, clock=lambda: MONO + time.monotonic() - START).run()
