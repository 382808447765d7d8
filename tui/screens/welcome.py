"""What is running and what to press: shown once to a newcomer, and at the top of the help for ever."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.widget import Widget

from engine.core.text import safe_text
from tui.actions import ACTIONS, find, key_of, keys
from tui.screens.dialog import Dialog, Scroll, keys_line
from tui.viewmodel import Frame, Line, Span
from tui.widgets.line import SpanBlock

#: Keys that only close it; every other one closes it and does what it does.
CLOSING = frozenset({"escape", "enter", "space", "q"})
_MEANING = {
    "SIM": "a simulated or recorded market: no real order, no real money",
    "PAPER": "real prices, simulated fills: no real order, no real money",
    "LIVE": "REAL orders with REAL money",
}
_SHOWN = ("help", "command_palette", "focus_next", "select", "quit")


def welcome_lines(frame: Frame) -> list[Line]:
    """What is running, then what to press, within 72 columns."""
    return [*running_lines(frame), [], *press_lines(frame)]


def running_lines(frame: Frame) -> list[Line]:
    """Mode, feed, ledger, bots: from the picture alone."""
    snapshot = frame.snapshot
    if snapshot is None:
        return [[Span("What is running", "strong")], [Span(" The engine is starting.")]]
    mode = safe_text(snapshot.mode, 8)
    lines: list[Line] = [
        [Span("What is running", "strong")],
        [Span(f" {mode:<6}", "key"), Span(f" {_MEANING.get(mode, '')}"[:72])],
        [Span(" data  ", "key"), Span(f" {safe_text(snapshot.feed, 60)}")],
        [
            Span(" ledger", "key"),
            Span(f" {safe_text(snapshot.ledger, 40)}: every decision is kept, also after you leave"),
        ],
    ]
    for bot in snapshot.bots[:3]:
        lines.append([Span(" bot   ", "key"), Span(f" {safe_text(bot.name, 30)}, {safe_text(bot.status, 12)}")])
    if len(snapshot.bots) > 3:
        lines.append([Span(f"        and {len(snapshot.bots) - 3} more", "dim")])
    return lines


def press_lines(frame: Frame) -> list[Line]:
    """The keys that a first hour needs."""
    screens = [action for action in ACTIONS if action.name.startswith("screen.")]
    numbers = f"{key_of(screens[0].name)} … {key_of(screens[-1].name)}"
    kill = "no commands from here (--view)" if frame.read_only else "stop: holds new entries at once, then asks"
    lines: list[Line] = [
        [Span("What to press", "strong")],
        [Span(f" {key_of('kill'):<7}", "error"), Span(kill)],
        [Span(f" {numbers:<7}", "key"), Span(f"screens: {', '.join(action.label for action in screens)}"[:64])],
    ]
    return lines + [[Span(f" {key_of(name):<7}", "key"), Span(find(name).help)] for name in _SHOWN]


class WelcomeDialog(Dialog[None]):
    """Closed by any key; those of the cockpit also act."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,space,q", "leave", "Go on", show=False)]
    heading = "welcome to quantsail"

    def body(self) -> Iterable[Widget]:
        yield Scroll(SpanBlock(welcome_lines(self.cockpit.frame)))
        again = key_of("help")
        yield keys_line(("Enter", "go on"), (again, "shows this again, with all keys"))

    def on_key(self, event: events.Key) -> None:
        if any(event.key in keys(action) for action in ACTIONS if action.target == "app") and event.key not in CLOSING:
            event.stop()
            self.dismiss(None)
            self.app.call_later(self.app.simulate_key, event.key)


class FirstRun:
    """Whether this installation has been welcomed: a file that says so, in the data folder."""

    def __init__(self, marker: Path | None) -> None:
        self._marker = marker
        self._asked = marker is None

    def due(self) -> bool:
        """Once true, never again in this process."""
        if self._asked or self._marker is None:
            return False
        self._asked = True
        return not self._marker.exists()

    def remember(self) -> None:
        """Write the file; a folder that takes none means that the welcome comes again."""
        if self._marker is not None:
            try:
                self._marker.parent.mkdir(parents=True, exist_ok=True)
                self._marker.touch()
            except OSError:
                return
