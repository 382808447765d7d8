"""The story of an order in lines: signal and rule tree, gates with their numbers, events, fills, latencies. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from itertools import islice

from rich.cells import cell_len

from engine.client import OrderView
from engine.core import events as ev
from engine.core.text import safe_text
from engine.core.types import MINUTE_US, SECOND_US, Verdict
from engine.history import Told
from tui.gatewords import gate_label, limit_said, tidy
from tui.glyphs import fmt_datetime, fmt_money
from tui.viewmodel import Line, Span, change, quantity
from tui.widgets.eventtext import LEVEL_STYLES, describe

#: Rules within rules that are shown, and lines of a section: a journal can hold more than anybody reads.
DEPTH_MAX, SECTION_MAX = 8, 400
INDENT = "    "
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STYLES = {"fault": "error", "quiet": "dim"}
_VERDICTS = {
    Verdict.ALLOWED: Span("● PASS  ", "ok"),
    Verdict.WARNED: Span("▲ WARN! ", "warn"),
    Verdict.BLOCKED: Span("■ BLOCK!", "error"),
}
#: What the operators of a rule say, for people.
OPERATORS = {
    "all": "all of", "any": "any of", "not": "not", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "=", "ne": "!=",
    "crosses_above": "crosses above", "crosses_below": "crosses below",
}  # fmt: skip


def story_lines(order: OrderView | None, told: Sequence[Told], *, live: bool) -> list[Line]:
    """All sections. `live`: the events' times and the time of writing are of one clock, so that they can be compared."""
    events = [one.recorded.event for one in told]
    return [
        *_head(order, events),
        *_section("why: the signal and its rules", _signal(events, order)),
        *_section("gates", _gates(events)),
        *_section("life", _life(told)),
        *_section("fills", _fills(events)),
        *_section("latencies", _latencies(told, live=live)),
    ]


def _section(title: str, lines: Iterable[Line]) -> list[Line]:
    return [[], [Span(title, "key")], *islice(lines, SECTION_MAX)]


def _head(order: OrderView | None, events: Sequence[ev.Event]) -> Iterator[Line]:
    sent = next((e for e in events if isinstance(e, ev.OrderSubmitted)), None)
    if order is not None:
        price = fmt_money(order.price, order.price_places) if order.price is not None else "market"
        what = f"{order.side} {quantity(order.quantity)} {order.symbol} {order.order_type} {order.role} at {price}"
        style = "ok" if order.status == "FILLED" else "warn" if order.status in ("DENIED", "REJECTED") else "strong"
        doubt = [Span(f"  ! {safe_text(order.flags, 24).upper()}", "error")] if order.flags else []
        yield [Span(" ".join(safe_text(what, 120).split()), "strong"), Span("  "), Span(order.status, style), *doubt]
        yield _pairs(
            ("filled", f"{quantity(order.filled_quantity)} of {quantity(order.quantity)}"),
            ("bot", order.bot or "none"),
            ("config", f"v{order.config_version}"),
            ("venue", order.exchange),
        )
        if order.reason:
            yield _pairs(("reason", order.reason))
        yield _pairs(("id", order.id))
    if sent is not None:
        until = fmt_datetime(sent.valid_until) if sent.valid_until else "no end"
        stop = fmt_money(sent.stop_price, 8).rstrip("0").rstrip(".") if sent.stop_price is not None else "none"
        yield _pairs(("in force", f"{sent.time_in_force}, {until}"), ("stop price", stop), ("number", f"{sent.number}"))
        more = [("position", sent.position_id)]
        more += [("replaces", sent.replaces)] if sent.replaces else []
        more += [("one of", sent.oco_group)] if sent.oco_group else []
        for pair in more:
            yield _pairs(pair)
    for event in events:
        if isinstance(event, ev.OrderAccepted):
            yield _pairs(("the venue's id", event.exchange_order_id))


def _pairs(*pairs: tuple[str, str]) -> Line:
    line: Line = []
    for name, value in pairs:
        line += [Span(f"{'  ' if line else ''}{name} ", "dim"), Span(safe_text(value, 160) or "-")]
    return line


# -- why -------------------------------------------------------------------------------------------------------------


def _signal(events: Sequence[ev.Event], order: OrderView | None) -> Iterator[Line]:
    signals = [e for e in events if isinstance(e, ev.SignalGenerated)]
    if not signals:
        role = order.role if order is not None else ""
        why = (
            "the exit plan of its position placed it"
            if role not in ("", "ENTRY", "BY_HAND", "FLATTEN")
            else "none is known"
        )
        yield [Span(f"No signal: {'a person asked for it' if role == 'BY_HAND' else why}.", "dim")]
    for signal in signals:
        tag = f" {signal.tag}" if signal.tag else ""
        words = f"{signal.kind}{tag} {signal.side} at {fmt_money(signal.price, 8).rstrip('0').rstrip('.')}"
        yield [Span(fmt_datetime(signal.ts), "dim"), Span(f"  {safe_text(words, 100)}", "strong")]
        yield _pairs(("config", f"v{signal.config_version}"), ("strategy", signal.strategy_id))
        for name, rule in signal.trace.items():
            yield from rule_lines(safe_text(str(name), 40), rule, 1)


def rule_lines(name: str, rule: object, depth: int) -> Iterator[Line]:
    """A node of the explain tree: its result, its operator, its values; then what is inside it."""
    indent = "  " * depth
    if not isinstance(rule, Mapping) or depth > DEPTH_MAX:
        yield [Span(f"{indent}{name} "), Span(safe_text(str(rule), 200), "dim")]
        return
    result = str(rule.get("result", ""))
    mark = {"true": Span("✔ ", "ok"), "false": Span("✘ ", "dim")}.get(result, Span("? ", "warn"))
    operator = str(rule.get("op", ""))
    line = [Span(indent), mark, Span(f"{name}: " if name else "", "strong")]
    left, right = rule.get("left"), rule.get("right")
    word = OPERATORS.get(operator, safe_text(operator, 40))
    line += (
        [Span(f"{_operand(left)} "), Span(word, "strong"), Span(f" {_operand(right)}")]
        if left or right
        else [Span(word)]
    )
    known = ("result", "op", "left", "right", "of")
    line += [
        Span(f"  {safe_text(str(k), 30)} {safe_text(str(v), 80)}", "dim") for k, v in rule.items() if k not in known
    ]
    yield line
    inner = rule.get("of", ())
    for one in inner if isinstance(inner, list | tuple) else (inner,):
        yield from rule_lines("", one, depth + 1)


def _operand(value: object) -> str:
    if not isinstance(value, Mapping):
        return "" if value is None else safe_text(str(value), 60)
    name = safe_text(str(value.get("series", "")), 40)
    before = value.get("previous")
    number = _exact(str(value.get("value", "")))
    return f"{name} {number}".strip() + (f" (was {_exact(str(before))})" if before is not None else "")


def _exact(number: str) -> str:
    """An indicator's value with the digits that decide a cross: four places, eight below one."""
    try:
        value = Decimal(number)
    except InvalidOperation:
        return safe_text(number, 24)
    if not value.is_finite() or abs(value) >= Decimal("1E+15"):
        return safe_text(number, 24)
    return f"{value:,.{4 if abs(value) >= 1 else 8}f}".rstrip("0").rstrip(".")


# -- gates -----------------------------------------------------------------------------------------------------------


def _gates(events: Sequence[ev.Event]) -> Iterator[Line]:
    asked = [e for e in events if isinstance(e, ev.IntentEvaluated)]
    if not asked:
        yield [Span("No gate was asked, or its answer is older than what could be read.", "dim")]
    for intent in asked:
        yield [Span(f"{len(intent.gates)} gates: "), _VERDICTS.get(intent.verdict, Span(str(intent.verdict), "warn"))]
        # What stood against it first; the sort keeps the order of asking.
        for gate in sorted(intent.gates, key=lambda g: g.verdict is Verdict.ALLOWED):
            verdict = _VERDICTS.get(gate.verdict, Span(safe_text(str(gate.verdict), 8), "warn"))
            line = [Span("  "), verdict, Span(f" {gate_label(gate.gate):<15}")]
            if gate.actual or gate.limit not in ("", "none"):
                limit = limit_said(gate.gate, gate.actual, gate.limit, gate.verdict, "at least ")
                line += [Span(f" {tidy(gate.actual)}", "strong"), Span(f" against {limit}", "dim")]
            else:
                line.append(Span(" no limit is set", "dim"))
            line.append(Span(f", {tidy(gate.margin)} left" if gate.margin else "", "dim"))
            code = gate.code if gate.verdict is not Verdict.ALLOWED else ""
            yield [*line, Span(f"  {safe_text(code, 40)}" if code else "", "warn")]


# -- life, fills, latencies --------------------------------------------------------------------------------------------


def _life(told: Sequence[Told]) -> Iterator[Line]:
    if not told:
        yield [Span("No event of it is known.", "dim")]
    first = told[0].recorded.event.ts if told else 0
    for one in told:
        event = one.recorded.event
        words = describe(event)
        style = _STYLES.get(words.style, words.style) or ("warn" if LEVEL_STYLES[event.level] == "warn" else "")
        since = duration(event.ts - first) if event.ts > first else ""
        yield [
            Span(clock(event.ts), "dim"),
            Span(f" {since:>9}", "dim"),
            Span(f"  {words.word:<10}", style if style in ("warn", "error") else "strong"),
            Span(f" {words.text}"),
            Span(f"  #{one.recorded.seq}", "dim"),
        ]


def _fills(events: Sequence[ev.Event]) -> Iterator[Line]:
    fills = [e for e in events if isinstance(e, ev.OrderFilled)]
    if not fills:
        yield [Span("None.", "dim")]
    for fill in fills:
        gain = [Span("  "), change(fill.pnl)] if fill.pnl else []
        fee = f"  fee {tidy(str(fill.fee))} {safe_text(fill.fee_currency, 12)}"
        price = fmt_money(fill.price, 8).rstrip("0").rstrip(".")
        yield [
            Span(clock(fill.executed_ts), "dim"),
            Span(f"  {quantity(fill.quantity)} at {price}", "strong"),
            Span(f"{fee}  {safe_text(fill.liquidity, 8)}"),
            *gain,
            Span(f"  trade {safe_text(fill.trade_id, 40)}", "dim"),
        ]


def _latencies(told: Sequence[Told], *, live: bool) -> Iterator[Line]:
    """From step to step. What was not recorded says so: a guess would be believed."""
    first: dict[str, Told] = {}
    for one in told:
        first.setdefault(type(one.recorded.event).__name__, one)

    def ts(name: str) -> int | None:
        return first[name].recorded.event.ts if name in first else None

    decided = ts("OrderSubmitted") or ts("OrderDenied")
    yield _step("signal -> decided", ts("SignalGenerated"), decided)
    sent = first.get("OrderSubmitted")
    written = sent.written_ts if sent is not None else None
    if sent is not None and written is not None and live:
        yield _step("decided -> committed", sent.recorded.event.ts, written)
    elif written is not None:
        yield _said(
            "decided -> committed", f"written {fmt_datetime(written)}; the feed's clock is another one: no latency"
        )
    else:
        yield _said(
            "decided -> committed", "not known" if sent is None else "the time of writing is in the database only"
        )
    yield _said("committed -> sent", "at once; the moment itself is not recorded" if sent is not None else "never sent")
    yield _step("decided -> acknowledged", decided, ts("OrderAccepted"))
    yield _step("acknowledged -> filled", ts("OrderAccepted"), ts("OrderFilled"))


def _step(name: str, start: int | None, end: int | None) -> Line:
    if start is None or end is None:
        return _said(
            name, "not recorded" if end is None and start is None else "not yet" if end is None else "not recorded"
        )
    return [Span(f"{name:<25}", "dim"), Span(duration(end - start), "strong")]


def _said(name: str, words: str) -> Line:
    return [Span(f"{name:<25}", "dim"), Span(words, "dim")]


def duration(us: int) -> str:
    """`0 ms`, `38 ms`, `1.204 s`, `2m 03s`; below zero it says so: two clocks disagree."""
    sign, us = ("-", -us) if us < 0 else ("", us)
    if us < SECOND_US:
        return f"{sign}{us // 1_000} ms"
    if us < MINUTE_US:
        return f"{sign}{Decimal(us) / SECOND_US:.3f} s"
    minutes, seconds = divmod(us // SECOND_US, 60)
    return f"{sign}{minutes}m {seconds:02d}s" if minutes < 60 else f"{sign}{minutes // 60}h {minutes % 60:02d}m"


def clock(ts: int) -> str:
    """`2026-03-14 14:03:22.123Z`"""
    try:
        return f"{(_EPOCH + timedelta(microseconds=ts)).isoformat(sep=' ', timespec='milliseconds')[:-6]}Z"
    except OverflowError:
        return "-"


def wrapped(line: Line, width: int) -> list[Line]:
    """A line as rows of at most `width` characters, broken at blanks where there are some, the later ones indented."""
    text = "".join(span.text for span in line)
    if (cell_len(text) if not text.isascii() else len(text)) <= width:
        return [line]
    if not text.isascii() and any(cell_len(char) > 1 for char in set(text)):
        width = max(1, width // 2)  # characters are counted below, and some of these take two cells
    ends: list[tuple[int, int]] = []
    start, room = 0, width
    while len(text) - start > room:
        cut = text.rfind(" ", start + 1, start + room + 1)
        end = cut if cut > start and text[start:cut].strip() else start + room
        ends.append((start, end))
        start = end + (text[end] == " ")
        room = max(1, width - len(INDENT))
    ends.append((start, len(text)))
    return [[*([Span(INDENT)] if at else []), *_between(line, *place)] for at, place in enumerate(ends)]


def _between(line: Line, start: int, end: int) -> Iterator[Span]:
    """The spans of the characters [start, end)."""
    at = 0
    for span in line:
        part = span.text[max(0, start - at) : max(0, end - at)]
        if part:
            yield Span(part, span.style)
        at += len(span.text)
