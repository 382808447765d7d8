"""Dialogs that only tell or ask once: help, quit."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from tui.actions import help_rows
from tui.screens.dialog import Dialog, Scroll, keys_line, prose
from tui.screens.welcome import running_lines
from tui.viewmodel import Frame, Line, Span
from tui.widgets.line import SpanBlock

#: Together they fit into a dialog on 80 columns.
KEY_COLUMNS, TEXT_COLUMNS = 15, 56


class HelpDialog(Dialog[None]):
    """What is running, then all keys, from the registry."""

    BINDINGS: ClassVar[list[BindingType]] = [("question_mark", "leave", "Back"), ("q", "leave", "Back")]
    heading = "keys"

    def body(self) -> Iterable[Widget]:
        lines: list[Line] = running_lines(self.cockpit.frame)
        for title, rows in help_rows():
            lines += [[], [Span(title, "strong")]]
            for keys, text in rows:
                first, *more = wrap(text, TEXT_COLUMNS)
                lines.append([Span(f" {keys:<{KEY_COLUMNS}}", "key"), Span(f" {first}")])
                lines += [[Span(" " * (KEY_COLUMNS + 2) + line)] for line in more]
        yield Scroll(SpanBlock(lines))
        yield keys_line(("Esc", "back"), ("j k", "scroll"))


class QuitDialog(Dialog[bool]):
    """Stop safely, or stay. The result is True to stop."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "stop", "Stop safely", priority=True),
        Binding("ctrl+q", "stop", "Stop safely", priority=True),
    ]
    heading = "quit"

    def __init__(self, frame: Frame) -> None:
        super().__init__()
        self._frame = frame

    def body(self) -> Iterable[Widget]:
        snapshot = self._frame.snapshot
        yield prose("Stop the engine safely: everything decided is committed, state is saved.", "strong")
        if snapshot is not None and snapshot.positions:
            protected = sum(p.stop_price is not None for p in snapshot.positions)
            yield prose(
                f"{len(snapshot.positions)} positions stay open; {protected} of them have a stop. "
                "Protective orders are kept; they go on when the engine runs again."
            )
        else:
            yield prose("No position is open.")
        yield keys_line(("Enter", "stop safely and leave"), ("Esc", "stay"))

    def action_stop(self) -> None:
        self.dismiss(True)

    def action_leave(self) -> None:
        self.dismiss(False)
