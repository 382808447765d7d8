"""What the fixed lines say, as pure functions of one `Frame`: status line, banners, replay line, kill plan.

A line is a list of spans (text, style name); the names are those of `tui/widgets/line.py`. Nothing here reads a clock,
a terminal or the engine, so that every word on the screen can be tested without one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from engine.client import Snapshot
from engine.core.text import safe_text
from engine.core.types import SECOND_US
from tui.actions import key_of
from tui.glyphs import delta, fmt_age_us, fmt_clock, fmt_money

if TYPE_CHECKING:
    from tui.pastlines import PastMark

#: An engine whose last beat is older has hung, as far as the operator is concerned.
STUCK_AFTER_S = 3.0
#: Upper ends of what "lag" can say: a number that trembles at every repaint is noise, and costs bytes.
LAG_STEPS_MS = (20, 50, 100, 200, 500, 1_000, 2_000, 5_000)
LAG_WARN_MS = 100
FEED_WARN_S = 60.0
DATABASE_WARN_MS = 100

SEPARATOR = " │ "


class Span(NamedTuple):
    text: str
    style: str = ""


Line = list[Span]


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """All that one repaint may look at. `mono` is time.monotonic seconds; `*_since` are too, None when not so.

    `alerts` are those that nobody has acknowledged; `seen` says who acknowledged what, by key, and when. `notices` are what the
    cockpit sees beside the engine: its disk, its settings.
    """

    snapshot: Snapshot | None
    mono: float
    progress: str = ""
    problem: str = ""
    frozen_since: float | None = None
    read_only: bool = False
    alerts: tuple[Banner, ...] = ()
    seen: dict[str, str] = {}
    notices: tuple[Banner, ...] = ()
    past: PastMark | None = None  # `snapshot` is then that of a past moment


class Banner(NamedTuple):
    """`severity` is CRIT, WARN or INFO: the word is shown, the colour only helps. `key` names what can be acknowledged."""

    severity: str
    text: str
    key: str = ""


_RANK = {"CRIT": 0, "WARN": 1, "INFO": 2}


# -- the status line -------------------------------------------------------------------------------------------------------


class Piece(NamedTuple):
    group: int
    must: bool
    spans: Line


#: Of an account's name in row 0: at 80 columns mode, state, equity, day and drawdown must fit.
ACCOUNT_CHARS = 10


def eq(snapshot: Snapshot) -> Span:
    """ "eq "; with several accounts whose equity, day and drawdown follow: the first's, which the ledger was opened with."""
    several = len(snapshot.accounts) > 1
    return Span(f"eq {safe_text(snapshot.accounts[0].name, ACCOUNT_CHARS)} " if several else "eq ", "dim")


def status_line(frame: Frame, width: int) -> Line:
    """Row 0 in at most `width` columns: what must be there, then from left to right whatever still fits."""
    snapshot = frame.snapshot
    if snapshot is None:
        return _starting(frame, width)
    return fitted(_pieces(frame, snapshot), width)


def fitted(pieces: Sequence[Piece], width: int) -> Line:
    """Those that must be there, and of the others as many as there is room for."""
    chosen = [piece.must for piece in pieces]
    for at, piece in enumerate(pieces):
        if piece.must:
            continue
        chosen[at] = True
        if _width(pieces, chosen) > width:
            chosen[at] = False
            break  # cut from the right: what comes later has to wait, even if it is short
    return _join(pieces, chosen)


def _starting(frame: Frame, width: int) -> Line:
    word = safe_text(frame.progress, max(16, width - 30)) or "starting"
    return [Span(" STARTING ", "badge-info"), Span(f" {word}")]


def _pieces(frame: Frame, snapshot: Snapshot) -> list[Piece]:
    pieces = [Piece(0, True, [_mode(snapshot)]), Piece(0, True, [state(frame, snapshot)])]
    if frame.read_only:
        pieces.insert(1, Piece(0, True, [Span(" VIEW ", "badge-info")]))
    equity = fmt_money(snapshot.equity, 2)
    pieces.append(Piece(0, True, [eq(snapshot), Span(equity, "strong"), Span(" "), change(snapshot.day_pct, "%")]))
    depth = f"{abs(snapshot.drawdown_pct):.1f}%"
    fall = Span(depth, "") if depth == "0.0%" else Span(f"-{depth}", "down")
    pieces.append(Piece(0, True, [Span("dd ", "dim"), fall]))
    pieces.append(Piece(0, False, [Span("pos ", "dim"), Span(str(len(snapshot.positions)))]))
    pieces.append(Piece(0, False, [Span("ord ", "dim"), Span(str(sum(o.is_open for o in snapshot.orders)))]))
    health = sorted(_health(frame, snapshot), key=lambda h: h[0])
    pieces.extend(Piece(1, at == 0, spans) for at, (_rank, spans) in enumerate(health))
    version = f"v{snapshot.config_version}" if snapshot.config_version else "none"
    pieces.append(Piece(2, False, [Span("cfg ", "dim"), Span(version)]))
    pieces.append(Piece(3, False, [Span(f"{fmt_clock(snapshot.now)}", "dim")]))
    if snapshot.positions:
        pieces.append(Piece(4, False, [Span("uP&L ", "dim"), change(snapshot.unrealized_pnl)]))
    return pieces


def _mode(snapshot: Snapshot) -> Span:
    mode = safe_text(snapshot.mode, 8)
    return Span(f" {mode} ", {"LIVE": "badge-error", "PAPER": "badge-paper"}.get(mode, "badge-info"))


def state_word(frame: Frame, snapshot: Snapshot) -> str:
    """The state as shown: STUCK and its age before all, HELD in the place of what it stops."""
    silent = frame.mono - snapshot.beat_mono
    if silent > STUCK_AFTER_S:
        return f"STUCK {fmt_age_us(int(silent) * SECOND_US)}"
    if snapshot.held and snapshot.state in ("ACTIVE", "PAUSED"):
        return "HELD"
    return safe_text(snapshot.state, 10)


def state(frame: Frame, snapshot: Snapshot) -> Span:
    word = state_word(frame, snapshot)
    kind = word.split()[0]
    glyph = {"ACTIVE": "●", "HALTED": "■", "STUCK": "✖", "HELD": "▮", "PAUSED": "▮", "REDUCING": "▼"}.get(kind, "?")
    style = {"ACTIVE": "state-ok", "HALTED": "badge-error", "STUCK": "badge-error"}.get(kind, "badge-warn")
    return Span(f"{glyph} {word}" if style == "state-ok" else f" {glyph} {word} ", style)


def _health(frame: Frame, snapshot: Snapshot) -> list[tuple[int, Line]]:
    """(rank, spans), rank 0 for the worst: feed, database, lag of the engine's loop."""
    return [_feed(frame, snapshot), _database(frame, snapshot), _lag(snapshot)]


def _flag(name: str, word: str, severity: str, more: str = "") -> tuple[int, Line]:
    style = {"CRIT": "error", "WARN": "warn"}.get(severity, "ok")
    glyph = {"CRIT": "!", "WARN": "!"}.get(severity, "")
    spans = [Span(f"{name} ", "dim"), Span(f"{word}{glyph}", style)]
    return _RANK.get(severity, 2), [*spans, Span(f" {more}")] if more else spans


def _feed(frame: Frame, snapshot: Snapshot) -> tuple[int, Line]:
    status = snapshot.feed_status
    if status.startswith("down"):
        return _flag("feed", "DOWN", "CRIT")
    replay = snapshot.replay
    if replay is not None and replay.state != "running":
        return _flag("feed", safe_text(replay.state, 8), "OK")  # no data is due: an age would only tick
    age_s = max(0.0, frame.mono - snapshot.last_input_mono)
    age = "" if age_s < 1 else fmt_age_us(int(age_s) * SECOND_US)
    if status.startswith("ok,"):
        return _flag("feed", "PART", "WARN", age)
    if status != "ok":
        return _flag("feed", safe_text(status, 12), "WARN", age)
    return _flag("feed", "ok", "WARN" if age_s > FEED_WARN_S else "OK", age or "<1s")


def _database(frame: Frame, snapshot: Snapshot) -> tuple[int, Line]:
    if snapshot.database_down_mono is not None:
        return _flag("DB", "DOWN", "CRIT", minutes(frame.mono - snapshot.database_down_mono))
    slow = snapshot.database_ms > DATABASE_WARN_MS
    return _flag("DB", "slow" if slow else "ok", "WARN" if slow else "OK", f"{snapshot.database_ms:.0f}ms")


def _lag(snapshot: Snapshot) -> tuple[int, Line]:
    steps = [step for step in LAG_STEPS_MS if snapshot.lag_ms <= step]
    word = f"≤{steps[0]}ms" if steps else f">{LAG_STEPS_MS[-1]}ms"
    late = snapshot.lag_ms > LAG_WARN_MS
    return (1 if late else 2), [Span("lag ", "dim"), Span(word + "!" * late, "warn" if late else "")]


def _width(pieces: Sequence[Piece], chosen: Sequence[bool]) -> int:
    return sum(len(span.text) for span in _join(pieces, chosen))


def _join(pieces: Sequence[Piece], chosen: Sequence[bool]) -> Line:
    line: Line = []
    group = 0
    for piece, take in zip(pieces, chosen, strict=True):
        if not take:
            continue
        if line:
            line.append(Span(SEPARATOR, "dim") if piece.group != group else Span(" "))
        line.extend(piece.spans)
        group = piece.group
    return line


def change(value: Decimal, unit: str = "", places: int = 2) -> Span:
    """A signed change with its arrow: ▲+2.14%, ▼-0.67, =0.00."""
    found = delta(value, places, unit)
    return Span(str(found), found.style)


def minutes(seconds: float) -> str:
    """MM:SS, or H:MM:SS from an hour on."""
    whole = max(0, int(seconds))
    hours, rest = divmod(whole, 3_600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60:02d}:{rest % 60:02d}"


# -- banners ---------------------------------------------------------------------------------------------------------------


def banners(frame: Frame) -> list[Banner]:
    """What is wrong, the worst first, what somebody has acknowledged last: severity in words, age, what to do, key."""
    found = [*_of_cockpit(frame)]
    if frame.snapshot is not None:
        found += [*_of_engine(frame, frame.snapshot), *_of_state(frame.snapshot), *frame.alerts]
    return sorted(found, key=lambda banner: (banner.key in frame.seen, _RANK[banner.severity]))


def _of_cockpit(frame: Frame) -> Iterable[Banner]:
    if frame.problem:
        text = f"SCREEN ERROR {safe_text(frame.problem, 120)} - the engine goes on - details: crash log"
        yield Banner("CRIT", text, f"screen {frame.problem}")
    yield from frame.notices
    if frame.frozen_since is not None:
        age = minutes(frame.mono - frame.frozen_since)
        yield Banner("WARN", f"SCREEN FROZEN {age} - the engine goes on - {key_of('freeze')}: go on")


def _of_engine(frame: Frame, snapshot: Snapshot) -> Iterable[Banner]:
    silent = frame.mono - snapshot.beat_mono
    if snapshot.error:
        text = f"ENGINE STOPPED {safe_text(snapshot.error, 120)} - {key_of('quit')}, restart"
        yield Banner("CRIT", text, f"stopped {snapshot.error}")
    elif silent > STUCK_AFTER_S:
        age = fmt_age_us(int(silent) * SECOND_US)
        text = f"ENGINE STUCK {age} - last known {safe_text(snapshot.state, 10)} - from outside: quantsail halt"
        yield Banner("CRIT", text, f"stuck {snapshot.beat_mono}")
    if snapshot.database_down_mono is not None:
        age = minutes(frame.mono - snapshot.database_down_mono)
        rest = "exits in memory" if snapshot.replay is None else "time stands still"
        text = f"DB DOWN {age} - no entries, {rest} - start it - {key_of('screen.operations')}: ops"
        yield Banner("CRIT", text, f"database {snapshot.database_down_mono}")
    if snapshot.feed_status.startswith("down"):
        text = (
            f"FEED {safe_text(snapshot.feed_status, 90)} - no new entries on old data - {key_of('screen.gates')}: gates"
        )
        yield Banner("CRIT", text, f"feed {snapshot.feed_status}")
    elif snapshot.feed_status.startswith("ok,"):
        text = f"FEED {safe_text(snapshot.feed_status, 90)} - {key_of('screen.gates')}: gates"
        yield Banner("WARN", text, f"feed {snapshot.feed_status}")
    if snapshot.banner:
        yield Banner("INFO", safe_text(snapshot.banner, 160))


def _of_state(snapshot: Snapshot) -> Iterable[Banner]:
    who = safe_text(snapshot.state_actor, 24) or "unknown"
    why = safe_text(snapshot.state_reason, 60) or "no reason given"
    age = fmt_age_us(max(0, snapshot.now - snapshot.state_since))
    key = f"{snapshot.state} {snapshot.state_since}"
    match snapshot.state:
        case "HALTED":
            yield Banner("CRIT", f"HALTED by {who} {age} ago: {why} - {key_of('resume')} re-arms", key)
        case "PAUSED":
            yield Banner("WARN", f"PAUSED by {who} {age} ago: {why} - {key_of('resume')} resumes", key)
        case "REDUCING":
            yield Banner("WARN", f"REDUCING by {who}: {why} - positions are being closed", key)
    if snapshot.held and snapshot.state == "ACTIVE":
        yield Banner("WARN", "HELD - no new entries until the kill dialog is answered - F9")


def banner_line(frame: Frame) -> tuple[str, Line]:
    """(severity, spans) of row 1; ("", []) when all is well."""
    found = banners(frame)
    if not found:
        return "", []
    first = found[0]
    seen = frame.seen.get(first.key, "")
    more = sum(banner.severity != "INFO" and banner.key not in frame.seen for banner in found[1:])
    tail = [Span(f"  (+{more} more)")] if more else []
    if first.severity == "INFO":
        return first.severity, [Span(first.text), *tail]  # its own first word says what it is, and 80 columns are few
    if seen:  # what lasts is said as long as it lasts, only no longer aloud
        return "INFO", [
            Span(f" {first.severity} ", "strong"),
            *_said(first),
            Span(f" - seen by {seen}", "dim"),
            *tail,
        ]
    glyph = {"CRIT": "✖", "WARN": "▲"}[first.severity]
    key = [Span(f"  {key_of('acknowledge')}: seen", "strong")] if first.key else []
    return first.severity, [Span(f" {glyph} {first.severity} ", "strong"), *_said(first), *tail, *key]


def _said(banner: Banner) -> Line:
    """What is the matter, and what to do in a span of its own: where room is short, the first is cut."""
    matter, dash, remedy = banner.text.rpartition(" - ")
    return [Span(matter), Span(dash + remedy)] if dash else [Span(banner.text)]


# -- the replay line -------------------------------------------------------------------------------------------------------


def replay_line(snapshot: Snapshot, width: int) -> Line:
    """State, speed, progress and gaps of a recorded or simulated feed; [] for a live one."""
    replay = snapshot.replay
    if replay is None:
        return []
    word, glyph, style = {
        "running": ("PLAYING", "▶", "ok"),
        "paused": ("PAUSED", "▮▮", "warn"),
        "ended": ("ENDED", "■", "strong"),
    }.get(replay.state, (safe_text(replay.state, 10), "?", "warn"))
    if replay.warming:
        word, glyph, style = "WARMING UP", "…", "warn"
    line = [Span(f" {glyph} {word}", style)]
    if replay.state != "ended":
        line.append(Span(f"  x{replay.speed:g}" if replay.speed is not None else "  x max", "strong"))
    of = f" of {replay.total:,}" if replay.total is not None else ""
    tail = [Span(f"  {replay.played:,}{of} candles", "")]
    if replay.gaps:
        tail.append(Span(f"  {replay.gaps} gap{'s' * (replay.gaps > 1)}!", "warn"))
    keys = (
        "  Space play/pause  < slower  > faster"
        if replay.state != "ended"
        else "  data has ended; positions stay as they are"
    )
    room = width - sum(len(s.text) for s in [*line, *tail]) - 10
    if replay.progress is not None and room >= 8:
        cells = min(30, room - (len(keys) if room - len(keys) >= 8 else 0))
        line += [Span("  "), *bar(replay.progress, cells), Span(f" {replay.progress:.0%}", "")]
    line += tail
    if sum(len(s.text) for s in line) + len(keys) <= width:
        line.append(Span(keys, "dim"))
    return line


def bar(share: float, cells: int, style: str = "ok") -> Line:
    """A bar of `cells` columns, `share` of it full; over full it stays full (its number says how far over)."""
    full = min(cells, max(0, round(share * cells)))
    return [Span("█" * full, style), Span("░" * (cells - full), "dim")]


def quantity(value: Decimal) -> str:
    """A quantity without exponent and without zeros that say nothing."""
    return f"{value.normalize():f}" if value else "0"
