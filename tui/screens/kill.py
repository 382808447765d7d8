"""Kill: the dialog (decisions.md 15), and the key itself when the screen's loop is blocked (decisions.md 16)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import ClassVar, NamedTuple

from textual.binding import Binding, BindingType
from textual.widget import Widget

from engine.core.text import safe_text
from engine.core.types import Verb
from tui.killplan import kill_plan, kill_summary
from tui.screens.dialog import Dialog, Scroll, keys_line, prose
from tui.viewmodel import Frame, Span, bar
from tui.widgets.line import SpanBlock, SpanLine

#: Seconds that a hold waits for an answer.
ANSWER_S = 15.0
#: A UI loop whose last beat is older counts as blocked: the key then acts from the input thread.
BLOCKED_S = 1.0
#: With a blocked loop a second press this soon halts, without a dialog.
SECOND_PRESS_S = 3.0
#: A recovered loop has handled every key that waited in its queue by then.
SETTLED_S = 2.0


class Pressed(NamedTuple):
    """What a press did already, and when (monotonic seconds)."""

    verb: Verb
    mono: float


class PanicKey:
    """The kill key as the input thread sees it. With a live UI loop it does nothing: the key reaches the dialog.

    The same presses reach the UI loop later, when it is free again; `taken` tells it what they have done, so that none
    acts twice. Only single attribute reads and writes and deque ends are shared between the two threads.
    """

    def __init__(self, clock: Callable[[], float], submit: Callable[[Verb], None]) -> None:
        self._clock = clock
        self._submit = submit
        self._beat = self._recovered = clock()
        self._last_press = float("-inf")
        self._done: deque[Pressed] = deque()

    def beat(self) -> None:
        """The UI loop is alive; called at every repaint."""
        now = self._clock()
        if now - self._beat > BLOCKED_S:
            self._recovered = now
        self._beat = now

    def press(self) -> Verb | None:
        """Any thread. Hold, or halt at the second press within SECOND_PRESS_S; None when the UI loop will see to it."""
        now = self._clock()
        if now - self._beat <= BLOCKED_S:
            return None
        verb = Verb.HALT if now - self._last_press <= SECOND_PRESS_S else Verb.HOLD
        self._last_press = now
        self._submit(verb)
        self._done.append(Pressed(verb, now))
        return verb

    def taken(self) -> Pressed | None:
        """UI loop: what the press that it sees now has done already; None when it has done nothing yet."""
        return self._done.popleft() if self._done else None

    def leftover(self) -> Pressed | None:
        """UI loop: a press that acted, but whose key never came. Asked at every repaint."""
        if self._done and self._clock() - self._recovered > SETTLED_S and self._clock() - self._beat <= BLOCKED_S:
            return self._done.popleft()
        return None


class KillDialog(Dialog[None]):
    """Says what HALT will do, from the last picture alone. `decide` is called once, with HALT, RELEASE or PAUSE."""

    of_now: ClassVar[bool] = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "halt", "Halt", priority=True),
        Binding("escape", "release", "Release", priority=True),
    ]
    heading = "■ KILL - new entries are HELD now"
    severity = "-danger"

    def __init__(self, frame: Frame, pressed_mono: float, decide: Callable[[Verb], None]) -> None:
        super().__init__()
        self._frame = frame
        self._deadline = pressed_mono + ANSWER_S
        self._decide = decide
        self.answer: Verb | None = None

    def body(self) -> Iterable[Widget]:
        snapshot = self._frame.snapshot
        yield prose(kill_summary(snapshot), "strong")
        if snapshot is not None and snapshot.state == "HALTED":
            yield prose("Trading is HALTED already; halting again changes nothing.")
        if snapshot is not None and snapshot.database_down_mono is not None:
            yield prose("The database is down. It is not needed: the latch file is written first.")
        yield Scroll(SpanBlock(kill_plan(snapshot)), id="plan")
        yield SpanLine(id="countdown")
        yield keys_line(("Enter", "or the key again: HALT"), ("Esc", "release: trading goes on"))

    def show(self, frame: Frame) -> None:
        super().show(frame)
        left = self._deadline - frame.mono
        if left <= 0:
            self.settle(Verb.PAUSE)
            return
        seconds = int(left) + (left > int(left))
        share = left / ANSWER_S
        words = Span(f" no answer in {seconds:>2} s becomes PAUSE, never a release ", "warn")
        self.query_one("#countdown", SpanLine).set_line([*bar(seconds / ANSWER_S if share else 0, 15, "warn"), words])

    def settle(self, verb: Verb) -> None:
        """Answer, once: what comes later, a timer or a third key, finds it answered."""
        if self.answer is not None:
            return
        self.answer = verb
        self._decide(verb)
        self.dismiss(None)

    def close_answered(self, verb: Verb) -> None:
        """Close without deciding: the answer was given elsewhere."""
        if self.answer is None:
            self.answer = verb
            if self.is_mounted:
                self.dismiss(None)

    def action_halt(self) -> None:
        self.settle(Verb.HALT)

    def action_release(self) -> None:
        self.settle(Verb.RELEASE)

    def action_leave(self) -> None:
        self.settle(Verb.RELEASE)


class NoKillDialog(Dialog[None]):
    """Where the kill key gives no command, it says what does."""

    BINDINGS: ClassVar[list[BindingType]] = [("enter", "leave", "Back"), ("q", "leave", "Back")]
    heading = "nothing was stopped: this cockpit only looks"
    severity = "-danger"

    def __init__(self, ledger: str) -> None:
        super().__init__()
        self._ledger = safe_text(ledger, 50)

    def body(self) -> Iterable[Widget]:
        where = f" --ledger {self._ledger}" if self._ledger else ""
        yield prose(f"To stop trading now, in any shell: quantsail halt{where}", "strong")
        yield prose("It needs no database and no screen, and works on every ledger without --ledger.")
        yield keys_line(("Esc", "back"))
