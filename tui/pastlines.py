"""The fixed lines while a past moment is on the screen, as pure functions of the frame."""

from __future__ import annotations

from typing import NamedTuple

from engine.client import Snapshot
from engine.core.text import safe_text
from engine.core.types import ZERO
from tui.actions import key_of
from tui.glyphs import fmt_age_us, fmt_datetime, fmt_money
from tui.viewmodel import (
    Frame,
    Line,
    Piece,
    Span,
    banner_line,
    banners,
    change,
    eq,
    fitted,
    state,
    state_word,
    status_line,
)


class PastMark(NamedTuple):
    """The moment that is shown: its time (us UTC), how long ago that is, the event's seq and type, the newest seq, and now; None
    where no engine runs: it is then as long before the newest event. `back` says where Esc leads, "" nowhere."""

    ts: int
    ago_us: int
    seq: int
    head: int
    kind: str
    present: Frame | None
    seeking: str
    back: str = "now"


def first_line(frame: Frame, width: int) -> Line:
    """Row 0 of now or of the past."""
    if frame.past is None or frame.snapshot is None:
        return status_line(frame, width)
    return fitted(_pieces(frame.past, frame, frame.snapshot), width)


def second_line(frame: Frame) -> tuple[str, Line]:
    """(severity, spans) of row 1: in the past which moment, the way back, and what is the matter now."""
    past = frame.past
    if past is None:
        return banner_line(frame)
    place = Span(f" │ event {past.seq:,} of {past.head:,}: {past.kind}")
    present = past.present
    if present is None:
        ledger = safe_text(frame.snapshot.ledger, 60) if frame.snapshot is not None else ""
        before = f"{fmt_age_us(past.ago_us)} before the newest event" if past.ago_us else "the newest event"
        said = past.seeking or f"of ledger {ledger}, no engine behind it"
        return "PAST", [
            Span(f" PAST {fmt_datetime(past.ts)}", "strong"),
            Span(f" │ {said}"),
            Span(f" │ {before}"),
            place,
        ]
    now = f"NOW {state_word(present, present.snapshot)}" if present.snapshot is not None else "NOW starting"
    worst = next((banner for banner in banners(present) if banner.severity == "CRIT"), None)
    if worst is not None:
        now = f"NOW ✖ {worst.text}"
    return "PAST", [
        Span(f" PAST {fmt_datetime(past.ts)}, {fmt_age_us(past.ago_us)} ago - {key_of('now')}: now", "strong"),
        Span(f" │ {past.seeking or now}"),
        place,
    ]


def _pieces(past: PastMark, frame: Frame, snapshot: Snapshot) -> list[Piece]:
    """What was recorded: no health and no clock, but the moment in front of all."""
    equity, fell = fmt_money(snapshot.equity, 2), f"-{abs(snapshot.drawdown_pct):.1f}%"
    return [
        Piece(0, True, [Span(f" PAST {fmt_datetime(past.ts)} ", "badge-warn")]),
        Piece(1, True, [Span(f"was {safe_text(snapshot.mode, 8)}")]),
        Piece(1, True, [state(frame, snapshot)]),
        Piece(2, False, [eq(snapshot), Span(f"~{equity}", "strong"), Span(" "), change(snapshot.day_pct, "%")]),
        Piece(2, False, [Span("dd ", "dim"), Span(fell, "down" if snapshot.drawdown_pct > ZERO else "")]),
        Piece(2, False, [Span("pos ", "dim"), Span(str(len(snapshot.positions)))]),
        Piece(2, False, [Span("ord ", "dim"), Span(str(sum(o.is_open for o in snapshot.orders)))]),
        Piece(3, False, [Span("cfg ", "dim"), Span(f"v{snapshot.config_version}")]),
        Piece(4, False, [Span("health, quotes, order books: ~ not recorded", "dim")]),
    ]
