"""Screen 0: what keeps the engine running, and the audit trail with its verification. Everything is read aside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import Any, ClassVar

from textual.binding import BindingType
from textual.widget import Widget

from engine.client import Snapshot
from engine.core.text import safe_text
from engine.operations import AuditLine, Operated, Operations, sections
from tui.actions import bindings
from tui.glyphs import fmt_datetime
from tui.screens.base import CockpitScreen
from tui.screens.gates import WhyPanel
from tui.verifying import Verdict, Verifier
from tui.viewmodel import LAG_WARN_MS, Frame, Line, Span
from tui.widgets.columns import Cell, Column, Row
from tui.widgets.line import SpanLine
from tui.widgets.panel import Fields, Panel

#: Between two looks at the database; it is asked by itself while the screen is looked at.
ASK_S = 10.0
NAME_CELLS = 18
_MARKS = {"": Span("● ", "ok"), "warn": Span("▲ ", "warn"), "error": Span("■ ", "error")}


class AuditTable(Panel):
    heading = "audit trail"
    empty = "No entry that this operator may see; V verifies all of them. Your commands appear here."
    columns_of = (
        Column(key="time", title="Time", width=20, min_width=16, time=True),
        Column(key="actor", title="Who", width=14, min_width=8, priority=1),
        Column(key="action", title="Did", width=20, min_width=12),
        Column(key="about", title="About", width=14, min_width=8, priority=2),
        Column(key="what", title="What", width=40, min_width=10, priority=4, grow=True),
        Column(key="seq", title="Seq", width=4, numeric=True, priority=3),
    )
    _shown: Sequence[AuditLine] = ()

    def fill(self, lines: Sequence[AuditLine]) -> None:
        """The newest entries, newest first."""
        if lines == self._shown:
            return
        self._shown = lines
        self.set_rows(Row(str(one.seq), _entry(one), (one.ts,)) for one in lines)
        self.entitle(f"({len(lines):,} newest)")

    def detail_of(self, key: str) -> tuple[str, Fields] | None:
        one = next((line for line in self._shown if str(line.seq) == key), None)
        if one is None:
            return None
        fields = [("seq", str(one.seq)), ("time", fmt_datetime(one.ts)), ("who", one.actor), ("did", one.action)]
        return "audit entry", [*fields, ("about", one.about), ("values", one.what)]


def _entry(one: AuditLine) -> tuple[Cell, ...]:
    return (
        Cell(fmt_datetime(one.ts), "quiet"),
        Cell(safe_text(one.actor, 40)),
        Cell(safe_text(one.action, 40), "strong"),
        Cell(safe_text(one.about, 60), "quiet"),
        Cell(safe_text(one.what, 300), "quiet"),
        Cell(str(one.seq), "quiet"),
    )


class OperationsScreen(CockpitScreen):
    target = "operations"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("operations"), ("escape", "cancel_verify", "Cancel")]

    def __init__(self) -> None:
        super().__init__()
        self.verifier = Verifier()
        self._found: Operations | None = None
        self._asking: Future[Operations] | None = None
        self._asked_mono = float("-inf")
        self._verifying_since: float | None = None
        self._verdict: Verdict | None = None
        self._problem = ""

    def body(self) -> Iterable[Widget]:
        self.facts = WhyPanel(id="facts")
        self.facts.border_title = "operations"
        self.audit = AuditTable(id="audit")
        self.verified = SpanLine(id="verified")
        yield self.facts
        yield self.audit
        yield self.verified

    def paint(self, frame: Frame) -> None:
        snapshot, client = frame.snapshot, self.cockpit.client
        if snapshot is None:
            return
        if not isinstance(client, Operated):
            self._found, self._problem = None, "of the past: not recorded. Esc: now"
        elif self._asking is None and frame.mono - self._asked_mono >= ASK_S:
            self._asked_mono, self._problem = frame.mono, ""
            self._asking = client.operations()
            self.cockpit.wait_for(self._asking, self._came)
        self.facts.set_lines(self._lines(snapshot))
        self.verified.set_line(self._verify_line(frame))

    def _came(self, done: Future[Any]) -> None:
        self._asking = None
        if done.cancelled():
            return
        error = done.exception()
        self._problem = safe_text(str(error) or type(error).__name__, 160) if error is not None else ""
        if error is None:
            self._found = done.result()
            if self.is_mounted:
                self.audit.fill(self._found.audit)
        self._shown = ()

    def _lines(self, snapshot: Snapshot) -> list[Line]:
        out: list[Line] = []
        down = snapshot.database_down_mono is not None
        commit = "does not answer" if down else f"{snapshot.database_ms:.1f} ms for the last commit"
        lag = "" if snapshot.lag_ms < LAG_WARN_MS else "warn"
        out += [_fact("commit", commit, "error" if down else ""), _fact("loop lag", f"{snapshot.lag_ms:.1f} ms", lag)]
        if self._problem:
            out.append(_fact("not read", self._problem, "warn"))
        if self._found is None:
            return [*out, [Span("reading ...", "dim")]] if not self._problem else out
        for title, facts in sections(self._found.facts):
            out += [[], [Span(title, "key")]]
            out += [_fact(fact.name, fact.value, fact.level) for fact in facts]
        return out

    def _verify_line(self, frame: Frame) -> Line:
        if self._verifying_since is not None:
            age = max(0, int(frame.mono - self._verifying_since))
            events = self._found.events if self._found is not None else 0
            return [Span(f" verifying {events:,} events and the audit trail, {age} s", "warn"), Span(" - Esc cancels")]
        if self._verdict is None:
            return [Span(" V ", "key"), Span("verify journal, audit trail and read tables; runs aside", "dim")]
        word = {True: Span(" ✔ ", "ok"), False: Span(" ✖ ", "error"), None: Span(" ? ", "warn")}[self._verdict.ok]
        return [word, Span(self._verdict.text), Span("  V: again", "dim")]

    # -- keys --------------------------------------------------------------------------------------------------------

    def action_verify(self) -> None:
        snapshot = self.cockpit.frame.snapshot
        if snapshot is None or self._verifying_since is not None:
            self.cockpit.toast("it is being verified: Esc cancels", failed=True)
            return
        self._verifying_since, self._verdict = self.cockpit.clock(), None
        self.cockpit.wait_for(self.verifier.start(snapshot.ledger), self._verified)
        self.cockpit.tick()

    def _verified(self, done: Future[Any]) -> None:
        self._verifying_since, self._verdict = None, done.result()
        self._shown = ()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self._verifying_since is not None if action == "cancel_verify" else True

    def action_cancel_verify(self) -> None:
        self.verifier.cancel()

    def action_look_again(self) -> None:
        self._asked_mono = float("-inf")
        self.cockpit.tick()

    def forget(self) -> None:
        """Another moment is shown."""
        self._found, self._asked_mono = None, float("-inf")
        self.audit.fill(())


def _fact(name: str, value: str, level: str) -> Line:
    mark = _MARKS.get(level, _MARKS["warn"])
    return [mark, Span(f"{safe_text(name, 30):<{NAME_CELLS}} ", "dim"), Span(safe_text(value, 300), level)]
