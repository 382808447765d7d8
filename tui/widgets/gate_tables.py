"""The tables of screen 5: the board of one scope, and the history of trips and changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation

from engine.client import MarkView
from engine.core.events import Recorded
from engine.core.text import safe_text
from engine.history import GATE_EVENTS
from engine.standing import GateLine
from tui.gatewords import gate_label, is_least, limit_said, rules_said, tidy
from tui.glyphs import NO_VALUE, fmt_datetime
from tui.widgets import rows
from tui.widgets.columns import Cell, Column, Row
from tui.widgets.eventtext import describe, detail
from tui.widgets.panel import Fields, Panel

BAR_CELLS = 8
KEPT = 5_000


class GateBoard(Panel):
    """Every gate at one scope, against its soft and its hard limit."""

    heading = "risk gates"
    empty = "No gate yet. Activate a config: 6."
    columns_of = (
        Column(key="number", title="No", width=3, priority=9, min_screen=180),
        Column(key="gate", title="Gate", width=15, min_width=13),
        Column(key="state", title="State", width=8),
        Column(key="bar", title="Used", width=BAR_CELLS, priority=4),
        Column(key="actual", title="Actual", width=14, min_width=6, align="right"),
        Column(key="soft", title="Soft", width=6, min_width=5, align="right", priority=2),
        Column(key="hard", title="Hard", width=6, min_width=5, align="right"),
        Column(key="unit", title="Unit", width=4, priority=5),
        Column(key="distance", title="Distance", width=8, align="right", priority=3),
        Column(key="blocked", title="Last block", width=10, priority=5, min_screen=180),
        Column(key="what", title="Blocked", width=16, min_width=8, priority=6, min_screen=180, grow=True),
    )
    _shown: tuple[GateLine, ...] | None = None
    _marks: tuple[MarkView, ...] = ()

    def paint(self, lines: tuple[GateLine, ...], scope: str, marks: tuple[MarkView, ...] = ()) -> None:
        """The gates of one scope; `scope` names it. `marks` say where the rules of each symbol come from."""
        self._marks = marks
        blocked, warned = (sum(g.verdict == word for g in lines) for word in ("BLOCKED", "WARNED"))
        words = [f"{blocked} block"] * bool(blocked) + [f"{warned} warn"] * bool(warned)
        self.entitle(f"of {scope} ({', '.join(words) or 'all pass'})")
        if lines != self._shown:
            self._shown = lines
            self.set_rows(Row(line.gate, _gate(line)) for line in lines)

    def detail_of(self, key: str) -> tuple[str, Fields] | None:
        found = next((line for line in self._shown or () if line.gate == key), None)
        if found is None:
            return None
        limits = {
            name: _limit(found, getattr(found, name)) for name in ("limit", "soft", "hard") if getattr(found, name)
        }
        fields = [(name, limits.get(name, text)) for name, text in rows.field_rows(found)]
        if found.gate == "INSTRUMENT_RULES":
            fields += [(f"rules of {safe_text(m.symbol, 40)}", rules_said(m.rules)) for m in self._marks]
        return "risk gate", fields


def _gate(g: GateLine) -> tuple[Cell, ...]:
    glyph, style = rows.VERDICTS.get(g.verdict, Cell(safe_text(g.verdict, 8), "warn"))
    style = style if g.standing or g.verdict == "IDLE" else "quiet"  # of an order that is over: not how it stands now
    quiet = "" if g.standing else "quiet"
    return (
        Cell(g.number, "quiet"),
        Cell(gate_label(g.gate), quiet),
        Cell(glyph, style),
        _meter(g),
        Cell(tidy(g.actual) if g.actual else NO_VALUE, quiet or "strong"),
        Cell(_limit(g, g.soft), quiet),
        Cell(_limit(g, g.hard or (g.limit if g.gate == "INSTRUMENT_RULES" else "")), quiet),
        Cell(g.unit, "quiet"),
        Cell(distance(g), quiet),
        Cell(fmt_datetime(g.blocked_ts)[5:16] if g.blocked_ts else "never", "" if g.blocked_ts else "quiet"),
        Cell(safe_text(g.blocked_what, 40), "quiet"),
    )


def _limit(g: GateLine, limit: str) -> str:
    return limit_said(g.gate, g.actual, limit, g.verdict) if limit else NO_VALUE


def _meter(g: GateLine) -> Cell:
    if g.used is None:
        return Cell("")
    full = min(BAR_CELLS, max(0, round(g.used * BAR_CELLS)))
    style = {"WARNED": "warn", "BLOCKED": "fault"}.get(g.verdict, "up")
    return Cell("█" * full + "░" * (BAR_CELLS - full), style)


def distance(g: GateLine) -> str:
    """To the hard limit, in the gate's unit; below zero when it is passed. A limit from below is passed the other way."""
    edge = g.hard or g.soft
    try:
        limit, actual = Decimal(edge), Decimal(g.actual)
    except InvalidOperation:
        return NO_VALUE
    left = actual - limit if is_least(g.gate, g.actual, edge, g.verdict) else limit - actual
    return tidy(f"{left:.4f}") if left.is_finite() else NO_VALUE


class TripsTable(Panel):
    """Trips, changes of gates and of what may be traded: newest first."""

    heading = "trips and changes"
    empty = "No gate has tripped or changed yet. Blocks of single orders are in 3: / type:OrderDenied"
    columns_of = (
        Column(key="time", title="Time", width=20, min_width=16, time=True),
        Column(key="kind", title="Event", width=8, priority=2),
        Column(key="what", title="What", width=50, min_width=24, grow=True),
        Column(key="scope", title="Of", width=14, min_width=8, priority=1),
        Column(key="seq", title="Seq", width=5, numeric=True, priority=3, min_screen=120),
    )

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._known: dict[int, Recorded] = {}

    def add(self, found: Iterable[Recorded], bots: Mapping[str, str]) -> int:
        """Take in what is news; how many there were."""
        news = {one.seq: one for one in found if type(one.event).__name__ in GATE_EVENTS and one.seq not in self._known}
        if news:
            self._known |= news
            newest = sorted(self._known, reverse=True)[:KEPT]
            self._known = {seq: self._known[seq] for seq in newest}
            self.set_rows(_trip(one, bots) for one in self._known.values())
            self.entitle(f"({len(self._known):,})")
        return len(news)

    def forget(self) -> None:
        """Another moment is shown."""
        self._known = {}
        self.set_rows(())
        self.entitle("")

    @property
    def oldest(self) -> int | None:
        return min(self._known, default=None)

    @property
    def full(self) -> bool:
        return len(self._known) >= KEPT

    def detail_of(self, key: str) -> tuple[str, Fields] | None:
        found = self._known.get(int(key)) if key.isdigit() else None
        return ("event", detail(found)) if found is not None else None


def _trip(one: Recorded, bots: Mapping[str, str]) -> Row:
    event = one.event
    word, text, style = describe(event)
    bot = str(getattr(event, "bot_id", "") or getattr(event, "scope", ""))
    scope = "account" if bot in ("", "account") else safe_text(bots.get(bot, bot[:8]), 24)
    cells: Sequence[Cell] = (
        Cell(fmt_datetime(event.ts), "quiet"),
        Cell(word, style),
        Cell(text, "" if style == "strong" else style),
        Cell(scope, "quiet"),
        Cell(str(one.seq), "quiet"),
    )
    return Row(str(one.seq), tuple(cells), (event.ts,))
