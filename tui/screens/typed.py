"""Dialogs of level 4: a typed word, a reason for the audit trail, and the engine's own answer before they close."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.widget import Widget
from textual.widgets import Input, Label

from engine.client import ConfigLine, Outcome
from engine.core.text import safe_text
from engine.core.types import Verb
from tui.screens.dialog import Dialog, Scroll, keys_line, prose
from tui.viewmodel import Frame, Line, Span
from tui.widgets.line import SpanBlock, SpanLine

REASON_LIMIT = 200


class TypedDialog(Dialog[None]):
    """`word` must be typed and a reason given; then the command is sent, and its refusal stays to be read."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "leave", "Cancel")]
    word: str = ""
    word_label: str = ""
    sending: bool = False

    def text(self) -> Iterable[Widget]:
        """What the operator must have read."""
        return ()

    def send(self, reason: str) -> None:
        """Give the command to the engine, with `self.answered` as who hears the outcome."""
        raise NotImplementedError

    def body(self) -> Iterable[Widget]:
        yield from self.text()
        yield Label(f"Type {self.word} {self.word_label}".rstrip(), markup=False)
        yield Input(id="word", max_length=32, select_on_focus=False)
        yield Label("Reason, kept in the audit trail", markup=False)
        yield Input(id="reason", max_length=REASON_LIMIT, select_on_focus=False)
        yield SpanLine(id="result")
        yield keys_line(("Enter", "next, then send"), ("Tab", "the other field"), ("Esc", "cancel"))

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#word", Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        word, reason = self.query_one("#word", Input), self.query_one("#reason", Input)
        if self.sending:
            return
        if word.value.strip() != self.word:
            self.say(f"type {self.word} exactly", "warn")
            word.focus()
        elif not reason.value.strip():
            self.say("a reason is needed" if event.input is reason else "", "warn")
            reason.focus()
        else:
            self.sending = True
            self.say("asking the engine ...", "dim")
            self.send(reason.value.strip())

    def answered(self, outcome: Outcome) -> None:
        """The engine's word: close when done, else show why not."""
        self.sending = False
        if outcome.done:
            self.dismiss(None)
            self.cockpit.toast(outcome.text)
        else:
            self.say(f"REFUSED: {safe_text(outcome.text, 200)}", "error")

    def say(self, text: str, style: str) -> None:
        self.query_one("#result", SpanLine).set_line([Span(text, style)])


class ResumeDialog(TypedDialog):
    """Re-arm after a stop."""

    heading = "▶ RE-ARM - trade again"
    word = "RESUME"

    def __init__(self, frame: Frame) -> None:
        super().__init__()
        self._frame = frame

    def text(self) -> Iterable[Widget]:
        snapshot = self._frame.snapshot
        if snapshot is None:
            yield prose("The engine has not reported its state yet.")
            return
        who = safe_text(snapshot.state_actor, 24) or "unknown"
        why = safe_text(snapshot.state_reason, 120) or "no reason given"
        yield prose(f"{safe_text(snapshot.state, 10)} by {who}: {why}", "strong")
        bots = ", ".join(safe_text(bot.name, 24) for bot in snapshot.bots) or "no bot"
        yield prose(
            f"After this, entries are allowed again for {bots}, with config v{snapshot.config_version}. "
            f"{len(snapshot.positions)} positions and {sum(o.is_open for o in snapshot.orders)} orders are open."
        )

    def send(self, reason: str) -> None:
        self.cockpit.ask(Verb.RESUME, self.answered, reason=reason)


class ActivateDialog(TypedDialog):
    """Make a config version the active one."""

    def __init__(self, line: ConfigLine, active: int) -> None:
        super().__init__()
        self._line = line
        self.word = str(line.version)
        self.word_label = "to activate this version"
        back = line.version < active
        self.heading = f"{'ROLL BACK' if back else 'ACTIVATE'} - config v{line.version} in the place of v{active}"

    def text(self) -> Iterable[Widget]:
        yield prose(f"Against the active version (this one's note: {safe_text(self._line.note, 80) or 'none'}):")
        yield Scroll(SpanBlock(diff_lines(self._line)), id="plan")

    def send(self, reason: str) -> None:
        self.cockpit.ask(Verb.ACTIVATE_CONFIG, self.answered, reason=reason, version=self._line.version)


def diff_lines(line: ConfigLine) -> list[Line]:
    """The changes that activating a version makes, one line each."""
    if line.is_active:
        return [[Span("This is the active version.", "ok")]]
    if not line.diff:
        return [[Span("No difference to the active version.", "dim")]]
    out: list[Line] = []
    for change in line.diff:
        path, colon, values = safe_text(change, 300).partition(":")
        old, arrow, new = values.partition("->")
        out.append(
            [
                Span("~ ", "warn"),
                Span(path, "strong"),
                Span(colon),
                Span(old, "dim"),
                Span(arrow, "dim"),
                Span(new, "strong"),
            ]
        )
    return out
