"""The drawer of one order: its whole story, at once from memory, then from the journal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import ClassVar

from textual.binding import BindingType
from textual.widget import Widget

from engine.client import OrderView
from engine.core.text import safe_text
from engine.history import Told
from tui.screens.dialog import Dialog, Scroll, keys_line, keys_said
from tui.story import story_lines, wrapped
from tui.viewmodel import Frame, Span
from tui.widgets.line import SpanBlock, SpanLine
from tui.widgets.panel import COPY_MAX

KEYS = (("Esc", "back"), ("j k", "scroll"), ("y", "copy"))
#: What the box takes from the screen's width: border, padding, scroll bar.
FRAME_CELLS = 6
WIDEST = 120


class StoryDialog(Dialog[None]):
    """`order` may be None for a fill whose order is not at hand."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("enter", "leave", "Back"),
        ("q", "leave", "Back"),
        ("y", "copy", "Copy"),
        ("x", "cancel_order", "Cancel the order"),
    ]

    def __init__(self, order_id: str, order: OrderView | None, told: Sequence[Told], *, live: bool) -> None:
        super().__init__()
        self._order_id, self._order, self._told, self._live = order_id, order, told, live
        self._seq = -1
        self._reading: Future[Sequence[Told]] | None = None
        self.heading = f"order {order_id}"

    def body(self) -> Iterable[Widget]:
        yield Scroll(SpanBlock(id="story"))
        yield SpanLine(id="result")
        yield keys_line(*KEYS)

    def on_mount(self) -> None:
        super().on_mount()
        self._draw()

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    def show(self, frame: Frame) -> None:
        super().show(frame)
        snapshot = frame.snapshot
        if snapshot is None:
            return
        found = next((o for o in snapshot.orders if o.id == self._order_id), None)
        if self._seq >= 0 and (found is None or found == self._order):
            return
        self._seq = snapshot.seq
        self._order = found or self._order
        self._draw()
        self._read()

    def _read(self) -> None:
        """Ask the journal; what is shown meanwhile stays."""
        if self._reading is None:
            self._say("reading the journal ...")
            self._reading = self.cockpit.client.history.story(self._order_id)
            self.cockpit.wait_for(self._reading, self._came)

    def _came(self, done: Future[Sequence[Told]]) -> None:
        self._reading = None
        if done.cancelled() or not self.is_open:
            return
        error = done.exception()
        if error is not None:
            self._say(f"from memory alone: {safe_text(str(error), 120)}")
            return
        self._say("")
        if done.result():
            self._told = done.result()
        self._draw()

    def _say(self, words: str) -> None:
        self.query_one("#result", SpanLine).set_line([Span(words, "warn")] if words else [])

    def _draw(self) -> None:
        if not self.is_open or not self.is_mounted:
            return
        width = max(20, min(self.size.width, WIDEST) - FRAME_CELLS)
        can = self._order is not None and self._order.is_open and self.cockpit.commands
        offered = (*KEYS, ("x", "cancel the order")) if can else KEYS
        self.query_one(".keys", SpanBlock).set_lines([keys_said(*offered)])
        lines = story_lines(self._order, self._told, live=self._live)
        self.query_one("#story", SpanBlock).set_lines([row for line in lines for row in wrapped(line, width)])

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self.query_one("#story", SpanBlock).plain[:COPY_MAX])
        self.cockpit.toast("copied the story")

    def action_cancel_order(self) -> None:
        self.cockpit.ordering.ask_to_cancel(self._order)

    def action_leave(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        self.dismiss(None)
