"""Screen 0: what keeps the engine running, and the audit trail with its verification. Everything is read aside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import Any, ClassVar

from textual.binding import BindingType
from textual.widget import Widget

from engine.client import EngineClient, Snapshot
from engine.core.text import safe_text
from engine.operations import AuditLine, Operated, Operations, sections
from tui.actions import bindings
from tui.glyphs import fmt_datetime, padded
from tui.screens.asking import AskingScreen, LinesPanel
from tui.verifying import Verdict, Verifier
from tui.viewmodel import LAG_WARN_MS, Frame, Line, Span
from tui.widgets.columns import Cell, Column, Row
from tui.widgets.line import SpanLine
from tui.widgets.panel import Fields, Panel

NAME_CELLS = 18
_MARKS = {"": Span("● ", "ok"), "warn": Span("▲ ", "warn"), "error": Span("■ ", "error")}


class AuditTable(Panel):
    heading = "audit trail"
    empty = "No entry yet: commands, configs and keys appear here. V verifies all of them."
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


class OperationsScreen(AskingScreen[Operations]):
    target = "operations"
    ask_s = 10.0  # it looks at the database, while somebody looks at the screen
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("operations"), ("escape", "cancel_verify", "Cancel")]

    def __init__(self) -> None:
        super().__init__()
        self.verifier = Verifier()
        self._verifying_since: float | None = None
        self._verdict: Verdict | None = None

    def body(self) -> Iterable[Widget]:
        self.facts = LinesPanel(id="facts")
        self.facts.border_title = "operations"
        self.audit = AuditTable(id="audit")
        self.verified = SpanLine(id="verified")
        yield self.facts
        yield self.audit
        yield self.verified

    def ask(self, client: EngineClient, snapshot: Snapshot) -> Future[Operations] | None:
        return client.operations() if isinstance(client, Operated) else None

    def paint_answer(self, frame: Frame, snapshot: Snapshot) -> None:
        self.facts.set_lines(self._lines(snapshot, frame.past is not None))
        self.audit.fill(self.answer.audit if self.answer is not None else ())
        self.verified.set_line(self._verify_line(frame))

    def _lines(self, snapshot: Snapshot, of_past: bool) -> list[Line]:
        out: list[Line] = []
        if not of_past:
            down = snapshot.database_down_mono is not None
            commit = "does not answer" if down else f"{snapshot.database_ms:.1f} ms for the last commit"
            lag = "" if snapshot.lag_ms < LAG_WARN_MS else "warn"
            out += [
                _fact("commit", commit, "error" if down else ""),
                _fact("loop lag", f"{snapshot.lag_ms:.1f} ms", lag),
            ]
        if self.problem:
            out.append(_fact("not read", self.problem, "warn"))
        if self.answer is None:
            return [*out, [Span("reading ...", "dim")]] if not self.problem else out
        alone = False
        for title, facts in sections(self.answer.facts):
            if len(facts) == 1:
                fact = facts[0]
                out += [] if alone or not out else [[]]
                out.append(_fact(title, f"{fact.name}: {fact.value}", fact.level))
            else:
                out += [[], [Span(title, "key")], *(_fact(fact.name, fact.value, fact.level) for fact in facts)]
            alone = len(facts) == 1
        return out

    def _verify_line(self, frame: Frame) -> Line:
        if self._verifying_since is not None:
            age = max(0, int(frame.mono - self._verifying_since))
            events = self.answer.events if self.answer is not None else 0
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
        self.ask_again()


def _fact(name: str, value: str, level: str) -> Line:
    mark = _MARKS.get(level, _MARKS["warn"])
    return [mark, Span(f"{padded(safe_text(name, 30), NAME_CELLS)} ", "dim"), Span(safe_text(value, 300), level)]
