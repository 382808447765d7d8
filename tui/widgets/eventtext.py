"""Events in one line of plain words: (what happened, in which words, how it looks)."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import islice
from typing import NamedTuple

import msgspec

from engine.core import events as ev
from engine.core.events import Recorded
from engine.core.text import safe_text
from engine.core.types import Level, Verdict
from tui.gatewords import against, gate_label, tidy
from tui.glyphs import fmt_datetime
from tui.viewmodel import quantity


class EventText(NamedTuple):
    """`word` names the kind, `text` is the line, `style` a cell style ("" for the ordinary)."""

    word: str
    text: str
    style: str = ""


LEVEL_WORDS = {Level.DEBUG: "debug", Level.INFO: "info", Level.WARN: "WARN", Level.ERROR: "ERROR!"}
LEVEL_STYLES = {Level.DEBUG: "quiet", Level.INFO: "quiet", Level.WARN: "warn", Level.ERROR: "fault"}
LIMIT = 160
#: Lines and levels of a nested value in the detail of an event.
TREE_LINES, TREE_DEPTH = 600, 12


def describe(event: ev.Event) -> EventText:
    """The event in words. Outside text is made safe here, whatever its source."""
    found = _of_orders(event) or _of_positions(event) or _of_house(event)
    return EventText(safe_text(found.word, 16), safe_text(found.text, LIMIT), found.style)


def _of_house(event: ev.Event) -> EventText:
    match event:
        case ev.LedgerOpened():
            return EventText(
                "ledger", f"opened: {event.mode} on {event.feed}, {event.initial_balance:,} {event.base_currency}"
            )
        case ev.ConfigActivated():
            return EventText("config", f"v{event.version} activated by {event.actor} (was v{event.previous})", "strong")
        case ev.ConfigRejected():
            return EventText("config", f"v{event.version} rejected: {event.reason}", "warn")
        case ev.TradingStateChanged():
            style = "fault" if event.state == "HALTED" else "strong" if event.state == "ACTIVE" else "warn"
            why = f": {event.reason}" if event.reason else ""
            return EventText("state", f"{event.previous} -> {event.state} by {event.actor}{why}", style)
        case ev.StopCompleted():
            return EventText("state", f"{event.verb} by {event.actor} is done: {_outcomes(event)}", "warn")
        case ev.HouseChanged():
            return EventText("house", _house(event), "up" if event.journal_ok and event.reconciled else "fault")
        case ev.EntriesHeld():
            return EventText("hold", f"entries {'held' if event.held else 'released'} by {event.actor}", "warn")
        case ev.CommandRefused():
            return EventText("refused", f"{event.verb} by {event.actor}: {event.reason}", "warn")
        case ev.AlertTriggered():
            return EventText("alert", f"{event.code} {event.text}", "fault")
        case ev.BotStatusChanged():
            why = f": {event.reason}" if event.reason else ""
            return EventText("bot", f"{event.status}{why}", "fault" if event.status == "ERROR" else "")
        case ev.DayStarted():
            return EventText("day", f"new day, equity {event.equity:,.2f}", "quiet")
        case ev.EquitySampled():
            return EventText("equity", f"{event.equity:,.2f}, drawdown {event.drawdown:.2%}", "quiet")
        case ev.GateChanged():
            style = {Verdict.BLOCKED: "fault", Verdict.WARNED: "warn"}.get(event.verdict, "up")
            numbers = against(event.gate, event.actual, event.limit, event.verdict)
            return EventText("gate", f"{gate_label(event.gate)} {event.previous} -> {event.verdict}: {numbers}", style)
    return EventText("event", type(event).__name__)


def _outcomes(event: ev.StopCompleted) -> str:
    counts = Counter(result.outcome for result in event.results)
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())) or "nothing was open"


def _house(event: ev.HouseChanged) -> str:
    journal = "is written" if event.journal_ok else event.journal or "is not known to be written"
    skew = "unknown" if event.clock_skew_ms is None else f"{event.clock_skew_ms:+} ms"
    clean = {True: "", False: ", ledger and venue differ", None: ", not compared with the venue"}[event.reconciled]
    return f"journal: {journal}; clock {skew}{clean}"


def _of_orders(event: ev.Event) -> EventText | None:
    match event:
        case ev.SignalGenerated():
            return EventText("signal", f"{event.kind} {event.side} {event.symbol} at {_price(event.price)}")
        case ev.IntentEvaluated():
            return _intent(event)
        case ev.OrderDenied():
            what = f"{event.side} {quantity(event.quantity)} {event.symbol}"
            return EventText("denied", f"{what}: {event.code} {event.reason}", "warn")
        case ev.OrderSubmitted():
            price = f" at {_price(event.price or event.stop_price)}" if event.price or event.stop_price else ""
            what = f"{event.side} {quantity(event.quantity)} {event.symbol} {event.order_type} {event.role}"
            return EventText("submitted", f"{what}{price}")
        case ev.OrderAccepted():
            return EventText("accepted", f"{event.symbol} {event.order_id[-8:]}", "quiet")
        case ev.OrderRejected():
            return EventText("rejected", f"{event.symbol} {event.order_id[-8:]}: {event.reason}", "warn")
        case ev.OrderInDoubt():
            return EventText("in doubt", f"{event.symbol} {event.order_id[-8:]}: {event.reason}", "fault")
        case ev.CancelRequested():
            return EventText("cancelling", f"{event.symbol} {event.order_id[-8:]}: {event.reason}", "quiet")
        case ev.OrderCanceled():
            return EventText("canceled", f"{event.symbol} {event.order_id[-8:]}: {event.reason}", "quiet")
        case ev.OrderExpired():
            return EventText("expired", f"{event.symbol} {event.order_id[-8:]}: {event.reason}", "quiet")
        case ev.OrderFilled():
            what = f"{event.side} {quantity(event.quantity)} {event.symbol} at {_price(event.price)}"
            return EventText("filled", f"{what}, fee {tidy(str(event.fee))} {event.fee_currency}", "strong")
    return None


def _of_positions(event: ev.Event) -> EventText | None:
    match event:
        case ev.PositionOpened():
            what = f"{event.side} {quantity(event.quantity)} {event.symbol} at {_price(event.price)}"
            return EventText("opened", what, "strong")
        case ev.PositionClosed():
            gain = event.realized_pnl
            arrow = "▲" if gain > 0 else "▼" if gain < 0 else "="
            style = "up" if gain > 0 else "down" if gain < 0 else ""
            return EventText("closed", f"{event.symbol} {event.reason} {arrow}{gain:+,.2f} after fees", style)
        case ev.ExitsMoved():
            stop = _price(event.stop_price) if event.stop_price is not None else "none"
            return EventText("exits", f"{event.symbol} stop {stop}{', trailing' if event.trailing else ''}", "quiet")
    return None


def _intent(event: ev.IntentEvaluated) -> EventText:
    what = f"{event.side} {event.symbol}"
    bad = [gate for gate in event.gates if gate.verdict is event.verdict and gate.verdict is not Verdict.ALLOWED]
    if not bad:
        return EventText("gates", f"{what} allowed by {len(event.gates)} gates", "quiet")
    why = ", ".join(
        f"{gate_label(gate.gate)} {against(gate.gate, gate.actual, gate.limit, gate.verdict)}" for gate in bad
    )
    word = "blocked" if event.verdict is Verdict.BLOCKED else "warned"
    return EventText(word, f"{what}: {why}", "warn")


def _price(value: Decimal | None) -> str:
    return f"{value:,f}" if value is not None else "market"


def detail(recorded: Recorded) -> list[tuple[str, str]]:
    """Everything that the journal holds of an event: (field, value) in the journal's order, then the chain."""
    event = recorded.event
    rows = [
        ("seq", f"{recorded.seq:,}"),
        ("event", type(event).__name__),
        ("time", f"{fmt_datetime(event.ts)}  ({event.ts} us UTC)"),
        ("level", LEVEL_WORDS[event.level]),
    ]
    for name in event.__struct_fields__:
        if name == "ts":
            continue
        rows.extend(_field(name, getattr(event, name)))
    return [*rows, ("id", recorded.id), ("hash", recorded.hash.hex()), ("previous", recorded.prev_hash.hex())]


def _field(name: str, value: object) -> list[tuple[str, str]]:
    if isinstance(value, tuple) and value and isinstance(value[0], msgspec.Struct):
        return [(name if i == 0 else "", _flat(item)) for i, item in enumerate(value)]
    if isinstance(value, str) and value.startswith("{"):  # a config is journaled as text
        with contextlib.suppress(msgspec.DecodeError, RecursionError):
            value = msgspec.json.decode(value)
    if isinstance(value, Mapping | list | tuple) and value:
        lines = list(islice(tree(value), TREE_LINES))
        lines += ["..."] * (len(lines) == TREE_LINES)
        return [(name if i == 0 else "", line) for i, line in enumerate(lines)]
    return [(name, _flat(value))]


def tree(value: object, depth: int = 0) -> Iterator[str]:
    """Nested values, one a line: "key: value", what is inside indented by two blanks more."""
    pairs: Iterable[tuple[str, object]]
    if isinstance(value, Mapping):
        pairs = ((f"{safe_text(str(key), 60)}: ", inner) for key, inner in value.items())
    elif isinstance(value, list | tuple):
        pairs = (("- ", inner) for inner in value)
    else:
        yield f"{'  ' * depth}{_flat(value)}"
        return
    for head, inner in pairs:
        if isinstance(inner, Mapping | list | tuple) and inner and depth < TREE_DEPTH:
            yield f"{'  ' * depth}{head}".rstrip()
            yield from tree(inner, depth + 1)
        else:
            yield f"{'  ' * depth}{head}{_flat(inner)}"


def _flat(value: object) -> str:
    if isinstance(value, msgspec.Struct):
        parts = (f"{field}={getattr(value, field)}" for field in value.__struct_fields__)
        return safe_text("  ".join(parts), 400)
    if isinstance(value, Decimal):
        return f"{value:f}"
    return safe_text(str(value), 400)
