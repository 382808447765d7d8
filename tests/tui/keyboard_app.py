"""A cockpit with a scripted engine for a real terminal, and a file that tells what each key has done: `keyboard_app.py FILE`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec
from textual import events
from textual.widgets import Input

from engine.client import ConfigLine
from tests.tui.fake_engine import MONO, FakeEngine
from tests.tui.test_alerts import alerting
from tests.tui.test_charts_screen import SERIES, bars, trip
from tui.app import CockpitApp
from tui.widgets.chart import Chart
from tui.widgets.panel import Panel

START = time.monotonic()


class Engine(FakeEngine):
    listed = 0

    def configs(self) -> Future[Sequence[ConfigLine]]:
        self.listed += 1
        return super().configs()


class Told(CockpitApp):
    """Writes what there is to see after every key, and whenever it changes."""

    def __init__(self, engine: Engine, file: Path) -> None:
        super().__init__(engine, crash_log=None, clock=lambda: MONO + time.monotonic() - START)
        self.engine, self.file = engine, file
        self.keys = 0
        self.told = ""
        self.said = ""

    def on_mount(self) -> None:
        super().on_mount()
        self.set_interval(0.02, self.tell)

    async def on_event(self, event: events.Event) -> None:
        # A key that nobody wanted comes back here from the widget.
        typed = isinstance(event, events.Key) and not event.is_forwarded
        await super().on_event(event)
        if typed:
            self.set_timer(0.05, self.count)  # by then the widget it was handed to has seen to it

    def count(self) -> None:
        self.keys += 1

    def notify(self, message: str, **options: Any) -> None:  # type: ignore[override]
        self.said = message
        super().notify(message, **options)

    def tell(self) -> None:
        now = self.clock()
        self.engine.change(beat_mono=now, last_input_mono=now)
        text = json.dumps(self.state())
        if text != self.told:
            self.told = text
            draft = self.file.with_suffix(".new")
            draft.write_text(text)
            draft.replace(self.file)

    def state(self) -> dict[str, Any]:
        screen, focused = self.screen, self.screen.focused
        out: dict[str, Any] = {
            "keys": self.keys, "mode": self.current_mode, "depth": len(self.screen_stack), "top": type(screen).__name__,
            "focused": (focused.id or type(focused).__name__) if focused else "", "classes": sorted(screen.classes),
            "height": focused.outer_size.height if focused else 0, "frozen": self._frozen_since is not None,
            "theme": self.theme, "symbol": self.graph_symbol, "clipboard": self.clipboard, "said": self.said,
            "maximised": screen.maximized is not None, "verbs": [str(verb) for verb in self.engine.verbs],
            "replayed": self.engine.replayed, "seen": len(self.alerts.seen), "listed": self.engine.listed,
        }  # fmt: skip
        if isinstance(focused, Panel):
            out |= {"row": focused.cursor_row, "key": focused.cursor_key, "rows": focused.row_count,
                    "sorted": focused.sorted_by, "filter": focused.filter.text, "follow": focused.follow}  # fmt: skip
        if isinstance(focused, Chart):
            drawn = focused.built().keys
            out |= {"cursor": focused.cursor, "window": [*drawn[:1], *drawn[-1:], len(drawn), focused.words[0]]}
        if isinstance(focused, Input):
            out["value"] = focused.value
        return out


def main(file: Path) -> int:
    base = alerting(*(f"alert {n}" for n in range(12)), state="PAUSED", state_actor="ada", banner="")
    assert base.snap is not None
    bot = base.snap.bots[0]
    more = ({"status": "STOPPED"}, {"status": "ERROR"}, {"state": "PAUSED"})
    others = (msgspec.structs.replace(bot, id=f"b{n}", name=f"bot {n}", **changes) for n, changes in enumerate(more, 2))
    engine = Engine(msgspec.structs.replace(base.snap, bots=(bot, *others)))
    engine.log, engine.curve = base.log, base.curve
    engine.tails = {SERIES: bars(4_000)}
    engine.trips = tuple(trip(n, (-1) ** n * (n + 1.0)) for n in range(12))
    Told(engine, file).run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
