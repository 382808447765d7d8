"""What screens that ask the client have in common: one question at a time, now and then a new one; of a past moment only one."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, ClassVar, Generic, TypeVar

from engine.client import EngineClient, Snapshot
from engine.core.text import safe_text
from tui.screens.base import CockpitScreen
from tui.screens.dialog import Scroll
from tui.story import wrapped
from tui.viewmodel import Frame, Line
from tui.widgets.line import SpanBlock

T = TypeVar("T")
_NEVER = float("-inf")


class AskingScreen(CockpitScreen, Generic[T]):
    """Subclasses give `ask` and `paint_answer`; `answer` is the newest one, `problem` why there is none newer."""

    #: Between two questions.
    ask_s: ClassVar[float] = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.answer: T | None = None
        self.problem = ""
        self._asking: Future[T] | None = None
        self._asked_mono = _NEVER

    def ask(self, client: EngineClient, snapshot: Snapshot) -> Future[T] | None:
        """The question; None where the client cannot be asked."""
        raise NotImplementedError

    def paint_answer(self, frame: Frame, snapshot: Snapshot) -> None:
        """Bring the panels up to date; called with every picture and with every answer."""
        raise NotImplementedError

    def paint(self, frame: Frame) -> None:
        snapshot = frame.snapshot
        if snapshot is None:
            return
        # A moment of the past does not change: it is asked once.
        due = frame.mono - self._asked_mono >= self.ask_s if frame.past is None else self._asked_mono == _NEVER
        if due and self._asking is None:
            self._asked_mono = frame.mono
            self._asking = self.ask(self.cockpit.client, snapshot)
            if self._asking is not None:
                self.cockpit.wait_for(self._asking, self._came)
        self.paint_answer(frame, snapshot)

    def _came(self, done: Future[Any]) -> None:
        if done is not self._asking:
            return  # of a moment that is not shown any more
        self._asking = None
        error = None if done.cancelled() else done.exception()
        self.problem = safe_text(str(error) or type(error).__name__, 160) if error is not None else ""
        if error is None and not done.cancelled():
            self.answer = done.result()
        frame = self.cockpit.frame
        if frame.snapshot is not None and self.is_mounted and frame.frozen_since is None:
            self.paint_answer(frame, frame.snapshot)

    def ask_again(self) -> None:
        """Now, because something else is wanted."""
        self._asked_mono = _NEVER
        if self.is_mounted:
            self.cockpit.tick()

    def forget(self) -> None:
        """Another moment is shown."""
        super().forget()
        self.answer, self.problem, self._asking, self._asked_mono = None, "", None, _NEVER


class LinesPanel(Scroll, can_focus=True):
    """Lines of words that can be scrolled, wrapped to the width."""

    def __init__(self, *, id: str) -> None:
        self.block = SpanBlock()
        super().__init__(self.block, id=id)

    def set_lines(self, found: Sequence[Line]) -> None:
        width = max(20, self.size.width - 3)
        self.block.set_lines([row for line in found for row in wrapped(list(line), width)])
