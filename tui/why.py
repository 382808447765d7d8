"""Why is it not trading? In words, in the order of what stops it first. Pure: a picture, how things stand, and events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from engine.client import BotView, GateView, Snapshot
from engine.core import events as ev
from engine.core.events import Recorded
from engine.core.risk import DENIALS, DenyCode
from engine.core.text import safe_text
from engine.core.types import Verdict
from engine.standing import GateLine, RunnerLine, Standing, blocks
from tui.gatewords import against, compared, gate_label, rules_said
from tui.glyphs import fmt_age_us, fmt_datetime
from tui.story import rule_lines
from tui.viewmodel import Line, Span

STOPS, WAITS, WARNS, FINE, UNKNOWN = "stops", "waits", "warns", "fine", "unknown"
_MARKS = {
    STOPS: Span("■ STOPS ", "error"),
    WAITS: Span("… WAITS ", "warn"),
    WARNS: Span("▲ WARNS ", "warn"),
    FINE: Span("● ok    ", "ok"),
    UNKNOWN: Span("~ ?     ", "dim"),
}
#: Said of what a journal does not hold.
NOT_RECORDED = "~ not recorded"
#: Verdicts of gates that are said in other words above.
_SAID_ABOVE = ("TRADING_STATE",)


class Reason(NamedTuple):
    """`level` is one of the words above; `remedy` what to press or to wait for; `more` are lines below it."""

    level: str
    text: str
    remedy: str = ""
    more: tuple[Line, ...] = ()


class Asked(NamedTuple):
    """Whom the question is about: a bot (id and name, "" is none) on a symbol."""

    bot: str
    name: str
    exchange: str
    symbol: str


def why(snapshot: Snapshot, asked: Asked, standing: Standing | None, told: Iterable[Recorded]) -> list[Reason]:
    """Every reason, the first to stop an entry first; then what is well. `standing` None: not told yet."""
    events = [one.event for one in told if one.event.ts <= snapshot.now]
    bot = next((b for b in snapshot.bots if b.id == asked.bot), None)
    runner = _runner(standing, asked)
    found = [
        *_engine(snapshot),
        *_account(snapshot, standing),
        *_life(bot, snapshot),
        *_data(snapshot, standing, runner, bot),
        *_gates(snapshot, standing, asked),
        *_holds(snapshot, asked),
        *_rules(standing, asked, bot),
        *_last(events, asked, snapshot.now),
    ]
    rank = {STOPS: 0, WAITS: 1}
    return sorted(found, key=lambda reason: rank.get(reason.level, 2))


def headline(asked: Asked, reasons: Sequence[Reason]) -> Line:
    """One line: the first thing that stops it, or what it waits for."""
    who = f"{safe_text(asked.name, 24) or 'account'}{' ' + safe_text(asked.symbol, 20) if asked.symbol else ''}: "
    first = next((r for r in reasons if r.level == STOPS), None)
    waits = next((r for r in reasons if r.level == WAITS), None)
    more = sum(r.level == STOPS for r in reasons) - 1
    if first is not None:
        tail = [Span(f" (+{more} more)", "dim")] if more > 0 else []
        return [Span(who, "strong"), Span("does not trade: ", "error"), Span(first.text.partition(". ")[0]), *tail]
    if waits is not None:
        return [Span(who, "strong"), Span("may trade, and waits: ", "warn"), Span(waits.text)]
    return [Span(who, "strong"), Span("nothing stops it", "ok")]


def lines(reasons: Iterable[Reason]) -> list[Line]:
    """The reasons for a screen, the remedy behind an arrow."""
    out: list[Line] = []
    for reason in reasons:
        remedy = [Span(f"  → {reason.remedy}", "key")] if reason.remedy else []
        out += [[_MARKS[reason.level], Span(reason.text), *remedy], *reason.more]
    return out


# -- engine and account ----------------------------------------------------------------------------------------------


def _engine(snapshot: Snapshot) -> Iterator[Reason]:
    if snapshot.error:
        yield Reason(STOPS, f"the engine has stopped: {safe_text(snapshot.error, 120)}", "Ctrl+Q, then start it again")
    if snapshot.database_down_mono is not None:
        yield Reason(STOPS, "the database does not answer: nothing can be committed, so nothing is sent", "0")
    replay = snapshot.replay
    if replay is not None and replay.state == "paused":
        yield Reason(STOPS, "the feed is paused", "Space plays it")
    elif replay is not None and replay.state == "ended":
        yield Reason(STOPS, "the data has ended", "start it with more data")
    if snapshot.feed_status.startswith("down"):
        yield Reason(STOPS, f"no data: the feed is {safe_text(snapshot.feed_status, 80)}", "it reconnects by itself")


def _account(snapshot: Snapshot, standing: Standing | None) -> Iterator[Reason]:
    if standing is not None and standing.latched and snapshot.state != "HALTED":
        yield Reason(STOPS, f"the halt latch is set, {safe_text(standing.latched, 120)}", "Ctrl+R re-arms")
    if snapshot.held:
        yield Reason(STOPS, "entries are held by the kill key's first press", "F9: answer its dialog")
    if snapshot.state == "ACTIVE":
        yield Reason(FINE, "the account is ACTIVE")
        return
    who, why_text = safe_text(snapshot.state_actor, 40) or "unknown", safe_text(snapshot.state_reason, 120)
    age = fmt_age_us(max(0, snapshot.now - snapshot.state_since))
    said = f"the account is {safe_text(snapshot.state, 12)} by {who} for {age}{': ' + why_text if why_text else ''}"
    yield Reason(STOPS, said, "Ctrl+R resumes")


def _life(bot: BotView | None, snapshot: Snapshot) -> Iterator[Reason]:
    if bot is None:
        if not snapshot.bots:
            yield Reason(STOPS, "the active config has no bot", "6: make a config with one")
        return
    name, reason = safe_text(bot.name, 32), safe_text(bot.reason, 160)
    match bot.status:
        case "ERROR":
            yield Reason(STOPS, f"bot {name} raised an error: {reason}", "7: Enter shows it, C clears it")
        case "STOPPED":
            yield Reason(STOPS, f"bot {name} is stopped{': ' + reason if reason else ''}", "7: S starts it")
        case "WARMING_UP":
            yield Reason(STOPS, f"bot {name} is warming up: {reason}", "wait for the bars")
        case status:
            yield Reason(FINE, f"bot {name} is {safe_text(status, 12)}")
    if bot.state != "ACTIVE":
        by, because = safe_text(bot.state_actor, 40) or "unknown", safe_text(bot.state_reason, 120)
        said = f"bot {name} is {safe_text(bot.state, 12)} by {by}{': ' + because if because else ''}"
        yield Reason(STOPS, said, "7: R resumes it")


# -- data and gates --------------------------------------------------------------------------------------------------


def _runner(standing: Standing | None, asked: Asked) -> RunnerLine | None:
    wanted = (asked.bot, asked.exchange, asked.symbol)
    runners = standing.runners if standing is not None else ()
    return next((r for r in runners if (r.bot, r.exchange, r.symbol) == wanted), None)


def _data(
    snapshot: Snapshot, standing: Standing | None, runner: RunnerLine | None, bot: BotView | None
) -> Iterator[Reason]:
    if standing is None or standing.of_past:
        yield Reason(UNKNOWN, f"warm-up and age of the data: {NOT_RECORDED}")
        return
    if runner is None:
        if bot is not None and bot.status not in ("STOPPED", "ERROR"):
            yield Reason(STOPS, "the bot does not trade this symbol on this feed", "pick another one")
        return
    yield from _symbol_rules(snapshot, runner)
    if runner.error:
        yield Reason(STOPS, f"its strategy raised {safe_text(runner.error, 60)}", "7: Enter shows it")
    bars = f"{runner.bars:,} of {runner.warmup_bars:,} bars"
    if not runner.warm:
        yield Reason(STOPS, f"warming up on this symbol: {bars}", f"{runner.warmup_bars - runner.bars:,} more bars")
    else:
        yield Reason(FINE, f"warm: it needs {runner.warmup_bars:,} bars")
    if runner.age_us is None:
        yield Reason(STOPS, "no price of this symbol has come yet", "wait for the feed")
    else:
        closed = f", last bar closed {fmt_datetime(runner.close_ts)}" if runner.close_ts else ""
        yield Reason(FINE, f"data {fmt_age_us(runner.age_us)} late{closed}")


def _symbol_rules(snapshot: Snapshot, runner: RunnerLine) -> Iterator[Reason]:
    """Where the symbol's tick, lot and least order come from."""
    known = (runner.exchange, runner.symbol)
    found = next((mark.rules for mark in snapshot.marks if (mark.exchange, mark.symbol) == known), "")
    if found:
        level = WARNS if found == "default" else FINE
        yield Reason(level, f"tick, lot and least order of the symbol: {rules_said(found)}")


def _gates(snapshot: Snapshot, standing: Standing | None, asked: Asked) -> Iterator[Reason]:
    if standing is None:
        for view in snapshot.gates:
            if view.verdict == "BLOCKED" and view.gate not in _SAID_ABOVE:
                yield Reason(STOPS, f"gate {gate_label(view.gate)} blocked: {_compared(view)}")
        return
    mine = [line for line in standing.gates if line.bot in ("", asked.bot) and line.gate not in _SAID_ABOVE]
    blocked, warned = [g for g in mine if blocks(g)], [g for g in mine if g.standing and g.verdict == Verdict.WARNED]
    for line in blocked:
        yield Reason(STOPS, _gate(line), line.trips)
    for line in warned:
        yield Reason(WARNS, _gate(line))
    if not blocked:
        yield Reason(FINE, f"no gate stands in the way of every entry ({len(mine)} looked at)")


def _compared(view: GateView) -> str:
    return compared(view.gate, view.actual, view.limit, view.verdict)


def _gate(line: GateLine) -> str:
    scope = "of the bot" if line.bot else "of the account"
    numbers = f"{against(line.gate, line.actual, line.limit, line.verdict)} {line.unit}".rstrip()
    sentence = _sentence(line.code)
    return f"gate {line.number} {gate_label(line.gate)} {scope}: {numbers}{'. ' + sentence if sentence else ''}"


def _sentence(code: str) -> str:
    try:
        return DENIALS.get(DenyCode(code), "")
    except ValueError:
        return safe_text(code, 40)


def _holds(snapshot: Snapshot, asked: Asked) -> Iterator[Reason]:
    for p in snapshot.positions:
        if p.bot == asked.name and (p.exchange, p.symbol) == (asked.exchange, asked.symbol):
            yield Reason(WAITS, f"it holds a {safe_text(p.side, 5)} position of this symbol", "it waits for its exit")
    for o in snapshot.orders:
        mine = o.bot == asked.name and (o.exchange, o.symbol) == (asked.exchange, asked.symbol)
        if mine and o.is_open and o.role == "ENTRY":
            yield Reason(WAITS, f"an entry is under way: {safe_text(o.status, 20)}", "2 shows it")


# -- rules, last signal, last denial ---------------------------------------------------------------------------------


def _rules(standing: Standing | None, asked: Asked, bot: BotView | None) -> Iterator[Reason]:
    if bot is None or not asked.symbol:
        return
    if standing is None or standing.of_past:
        yield Reason(UNKNOWN, f"rules on the bar of that moment: {NOT_RECORDED}, unless a signal fired")
        return
    entries = {name: tree for name, tree in standing.rules.items() if name.startswith("entry_")}
    if not entries:
        text = "what its rules say: unknown, it is Python code and explains itself only when it signals"
        yield Reason(UNKNOWN, text if bot.strategy.startswith("python") else "no rule has seen a bar yet")
    for name, tree in entries.items():
        word = name.replace("_", " ")
        more = tuple(rule_lines("", tree, 4))
        result = tree.get("result") if isinstance(tree, Mapping) else ""
        if result == "true":
            yield Reason(FINE, f"rule {word} is true on the last bar", more=more)
            continue
        leaves = "; ".join(_leaf_text(leaf) for leaf in leaves_against(tree))[:200]
        yield Reason(WAITS, f"rule {word} is {safe_text(str(result), 10)}: {leaves}", "waits for a bar", more)


def leaves_against(tree: Any, wanted: str = "true", depth: int = 0) -> list[Mapping[str, Any]]:
    """The leaves that keep a tree from being `wanted`: what is false or unknown; under `not`, what is true."""
    if not isinstance(tree, Mapping) or depth > 12 or tree.get("result") == wanted:
        return []
    inner = tree.get("of", ())
    if not inner:
        return [tree]
    turned = {"true": "false", "false": "true"}[wanted] if tree.get("op") == "not" else wanted
    found = [leaf for one in inner for leaf in leaves_against(one, turned, depth + 1)]
    return found or [tree]


def _leaf_text(leaf: Mapping[str, Any]) -> str:
    spans = next(iter(rule_lines("", dict(leaf) | {"of": ()}, 0)), [])
    unknown = " (unknown)" if leaf.get("result") == "unknown" else ""
    return "".join(span.text for span in spans[2:]).strip() + unknown


def _last(events: Sequence[ev.Event], asked: Asked, now: int) -> Iterator[Reason]:
    signal = denied = None
    for event in events:
        mine = getattr(event, "bot_id", None) == asked.bot and getattr(event, "symbol", None) == asked.symbol
        if mine and isinstance(event, ev.SignalGenerated):
            signal = event
        elif mine and isinstance(event, ev.OrderDenied):
            denied = event
    if not asked.symbol:
        return
    if signal is None:
        yield Reason(UNKNOWN, "no signal of it is among the events that were read")
    else:
        age = fmt_age_us(max(0, now - signal.ts))
        said = f"last signal {age} ago, {fmt_datetime(signal.ts)}: {safe_text(f'{signal.kind} {signal.side}', 20)}"
        trees = (line for name, rule in signal.trace.items() for line in rule_lines(safe_text(str(name), 40), rule, 4))
        yield Reason(FINE, said, more=tuple(trees))
    if denied is not None:
        age = fmt_age_us(max(0, now - denied.ts))
        sentence = _sentence(denied.code) or safe_text(denied.reason, 100)
        said = f"last denial {age} ago: {safe_text(denied.code, 40)}. {sentence}"
        after = signal is not None and denied.ts >= signal.ts
        yield Reason(WARNS, said, "its last signal came to nothing" if after else "")
