"""PASS, WARN and BLOCK of every gate over time, with the charts' cursor: the worst of each stretch, and what it was about."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from engine.core.events import Event, GateChanged, IntentEvaluated, Recorded
from engine.core.text import safe_text
from engine.core.types import MINUTE_US, SECOND_US, Verdict
from tui.gatetimes import EMPTY, Slice, slices, times_of
from tui.gatewords import compared, gate_label
from tui.glyphs import fmt_datetime
from tui.plot import ChartColours, Drawing
from tui.ticks import time_ticks
from tui.widgets.chart import Chart

LABEL_CELLS = 15
SPAN_MIN_US = 5 * MINUTE_US
KEPT = 5_000
_GLYPHS = {Verdict.ALLOWED: "▪", Verdict.WARNED: "▲", Verdict.BLOCKED: "█"}
_ASCII = {Verdict.ALLOWED: ".", Verdict.WARNED: "!", Verdict.BLOCKED: "#"}
_WORDS = {Verdict.ALLOWED: "PASS", Verdict.WARNED: "WARN", Verdict.BLOCKED: "BLOCK"}
EMPTY_TEXT = "No gate has spoken yet: each order adds a column here, and each change of a gate that always stands."
LEGEND = "▪ pass  ▲ warn  █ block  ─ stands"
LEGEND_ASCII = ". pass  ! warn  # block  - stands"


class GateTimes(Chart):
    """Give it events with `add`; `show_scope` says whose gates are shown."""

    def __init__(self, *, id: str) -> None:
        super().__init__(empty_text=EMPTY_TEXT, id=id)
        self._known: dict[int, Event] = {}
        self._scope = ""
        self._times = times_of((), "")
        self._ends = (0, 0)
        self._span_us: int | None = None  # None: all of it
        self._end_us: int | None = None  # None: its end, wherever that is
        self._slices: dict[int, list[tuple[str, Slice]]] = {}
        self._step_us = 0
        self.entitle("gates over time")

    # -- data --------------------------------------------------------------------------------------------------------

    def add(self, found: Iterable[Recorded]) -> None:
        """Take in what is news."""
        news = {
            one.seq: one.event
            for one in found
            if isinstance(one.event, IntentEvaluated | GateChanged) and one.seq not in self._known
        }
        if news:
            self._known = dict(sorted((self._known | news).items())[-KEPT:])
            self._arrange()

    def show_scope(self, scope: str, name: str) -> None:
        """The gates of the account ("") or of a bot (its id)."""
        if scope != self._scope:
            self._scope = scope
            self._arrange()
        self.entitle(f"gates over time of {name}")
        self.legend((LEGEND_ASCII if self.symbol == "ascii" else LEGEND) if self._times else "")

    def forget(self) -> None:
        """Another moment is shown."""
        self._known = {}
        self._span_us = self._end_us = None
        self.put_cursor(None)
        self._arrange()

    def _arrange(self) -> None:
        self._times = times_of(self._known.values(), self._scope)
        moments = [said.ts for told in self._times.values() for said in told]
        self._ends = (min(moments), max(moments)) if moments else (0, 0)
        self.changed()

    # -- window ------------------------------------------------------------------------------------------------------

    def _window(self) -> tuple[int, int]:
        first, last = self._ends
        last = max(last, first + SPAN_MIN_US)
        span = min(self._span_us or last - first, last - first)
        end = last if self._end_us is None else min(max(self._end_us, first + span), last)
        return end - span, end

    def zoom(self, factor: float) -> None:
        start, end = self._window()
        at = self.cursor if self.cursor is not None and start <= self.cursor <= end else end
        span = max(SPAN_MIN_US, int((end - start) * factor))
        whole = span >= self._ends[1] - self._ends[0]
        self._span_us = None if whole else span
        self._end_us = None if whole or at == end else at + int(span * (end - at) / (end - start))

    def pan(self, share: float) -> bool:
        start, end = self._window()
        self._end_us = end + int((end - start) * share)
        moved = self._window()
        if moved[1] >= self._ends[1]:
            self._end_us = None
        return moved != (start, end)

    def reset(self) -> None:
        self._span_us = self._end_us = None

    # -- drawing -----------------------------------------------------------------------------------------------------

    def draw(self, width: int, height: int, colours: ChartColours) -> Drawing:
        self._slices = {}
        cells = width - LABEL_CELLS - 1
        if not self._times or cells < 8 or height < 2:
            return self.message(self.empty_text, width, height, colours)
        start, end = self._window()
        self._step_us = max(1, -(-(end - start + SECOND_US) // cells))
        edges = [start + n * self._step_us for n in range(cells + 1)]
        rows = height - 1
        names = list(self._times)
        shown = names if len(names) <= rows else names[: rows - 1]
        styles = self._styles(colours)
        strips: list[Strip] = []
        for gate in names:
            found = slices(self._times[gate], edges)
            for edge, one in zip(edges, found, strict=False):
                if one is not EMPTY:
                    self._slices.setdefault(edge, []).append((gate, one))
            if gate in shown:
                strips.append(self._row(gate, found, styles))
        if len(shown) < len(names):
            more = f"+ {len(names) - len(shown)} more gates: M shows them"
            strips.append(Strip([Segment(more[:width], styles["label"])]).adjust_cell_length(width, styles["label"]))
        blank = [Strip.blank(width, styles["label"])] * max(0, rows - len(strips))
        axis = self._axis(start, end, cells, styles["label"])
        return Drawing([*strips, *blank, axis], [LABEL_CELLS + 1 + n for n in range(cells)], edges[:-1])

    def _styles(self, colours: ChartColours) -> dict[str, Style]:
        behind = colours.background
        warn = self.app.theme_variables.get("warn", colours.stop)
        return {
            "label": Style(color=colours.label, bgcolor=behind),
            "ALLOWED": Style(color=colours.up, bgcolor=behind),
            "WARNED": Style(color=warn if warn.startswith("#") else colours.stop, bgcolor=behind, bold=True),
            "BLOCKED": Style(color=colours.stop, bgcolor=behind, bold=True),
        }

    def _row(self, gate: str, found: list[Slice], styles: dict[str, Style]) -> Strip:
        ascii_only = self.symbol == "ascii"
        glyphs, rail = (_ASCII, "-") if ascii_only else (_GLYPHS, "─")
        segments = [Segment(f"{gate_label(gate)[:LABEL_CELLS]:<{LABEL_CELLS}} ", styles["label"])]
        cells = []
        for one in found:
            if one.said is None:
                cells.append((" ", "label"))
            elif one.carried and one.said.verdict is Verdict.ALLOWED:
                cells.append((rail, "ALLOWED"))
            else:
                cells.append((glyphs[one.said.verdict], str(one.said.verdict)))
        for style, run in groupby(cells, key=lambda cell: cell[1]):
            segments.append(Segment("".join(char for char, _ in run), styles[style]))
        return Strip(segments)

    @staticmethod
    def _axis(start: int, end: int, cells: int, style: Style) -> Strip:
        text = [" "] * (LABEL_CELLS + 1 + cells)
        span_s = (end - start) / SECOND_US
        for at, word in zip(*time_ticks(start, span_s, max(1, cells // 14)), strict=True):
            column = LABEL_CELLS + 1 + int(at / span_s * (cells - 1)) if span_s else LABEL_CELLS + 1
            column = min(max(LABEL_CELLS + 1, column - len(word) // 2), len(text) - len(word))
            if not "".join(text[max(0, column - 1) : column + len(word)]).strip():
                text[column : column + len(word)] = word
        return Strip([Segment("".join(text), style)])

    def say(self, key: int) -> str:
        """The stretch under the cursor: what blocked or warned first, with its figures; else how many orders passed."""
        when = f"{fmt_datetime(key)[5:16]}Z"
        here = self._slices.get(key, [])
        loud = [(gate, one) for gate, one in here if one.said is not None and one.said.verdict is not Verdict.ALLOWED]
        loud.sort(key=_blocks, reverse=True)
        if not loud:
            count = max((one.looks for _, one in here), default=0)
            return f"{when}  {f'PASS, {count} looked at' if count else 'nothing was looked at'}"
        words = []
        for gate, one in loud[:3]:
            said = one.said
            if said is None:
                continue
            numbers = (gate, said.actual, said.limit, said.verdict)
            figures = f" {compared(*numbers)}" if said.actual and said.limit else ""
            words.append(f"{_WORDS[said.verdict]} {gate_label(gate)}{figures} {safe_text(said.what, 24)}".rstrip())
        more = f" +{len(loud) - 3} more" if len(loud) > 3 else ""
        return f"{when}  {', '.join(words)}{more}"


def _blocks(one: tuple[str, Slice]) -> bool:
    return one[1].said is not None and one[1].said.verdict is Verdict.BLOCKED
