"""A bot in lines: what it does now, its rules or parameters, its symbols, its last error. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from engine.client import BotView, Snapshot
from engine.core.text import safe_text
from engine.standing import BotLine, RunnerLine, Standing
from tui.glyphs import fmt_age_us, fmt_datetime, padded
from tui.story import OPERATORS
from tui.viewmodel import Line, Span, change

DEPTH_MAX, SECTION_MAX = 10, 400
RULES = ("entry_long", "exit_long", "entry_short", "exit_short")


def bot_lines(snapshot: Snapshot, bot: BotView, standing: Standing | None) -> list[Line]:
    """All sections; an error first, because it is what one came for."""
    line = line_of(standing, bot.id)
    runners = [r for r in standing.runners if r.bot == bot.id] if standing is not None else []
    return [
        *_head(snapshot, bot, line),
        *_section("error", _error(bot, line)),
        *_section("strategy", _strategy(bot, standing)),
        *_section("symbols and warm-up", _symbols(runners) if standing is None or not standing.of_past else _unseen()),
    ]


def line_of(standing: Standing | None, bot_id: str) -> BotLine | None:
    return next((b for b in standing.bots if b.id == bot_id), None) if standing is not None else None


def warmth(standing: Standing | None, bot_id: str) -> tuple[int, int] | None:
    """Bars had and needed at the symbol that is furthest behind; None while not known."""
    own = [r for r in standing.runners if r.bot == bot_id] if standing is not None else []
    if not own:
        return None
    last = min(own, key=lambda r: r.bars / max(r.warmup_bars, 1))
    return last.bars, last.warmup_bars


def _section(title: str, lines: Iterable[Line]) -> list[Line]:
    found = list(islice(lines, SECTION_MAX))
    return [[], [Span(title, "key")], *found] if found else []


def _head(snapshot: Snapshot, bot: BotView, line: BotLine | None) -> Iterator[Line]:
    who = f" by {safe_text(bot.state_actor, 40)}" if bot.state_actor else ""
    why = f": {safe_text(bot.state_reason, 120)}" if bot.state_reason else ""
    status = f"  {safe_text(bot.status, 12)}{f' ({safe_text(bot.reason, 200)})' if bot.reason else ''}, may trade: "
    state = Span(f"{safe_text(bot.state, 12)}{who}{why}", "ok" if bot.state == "ACTIVE" else "warn")
    yield [Span(safe_text(bot.name, 40), "strong"), Span(status, "dim"), state]
    money = [Span("realised "), change(bot.realized_pnl), Span("  open "), change(bot.unrealized_pnl)]
    if line is not None:
        money += [Span("  today "), change(line.day_pnl)]
    yield [*money, Span(f" {safe_text(bot.currency, 12)}", "dim")]
    if line is not None:
        age = fmt_age_us(max(0, snapshot.now - line.last_signal_ts)) if line.last_signal_ts else ""
        said = f"{safe_text(line.last_signal, 60)} {age} ago".strip() if age else "none yet"
        yield [Span("last signal ", "dim"), Span(said), Span(f"  {line.wins} won, {line.losses} lost", "dim")]


def _error(bot: BotView, line: BotLine | None) -> Iterator[Line]:
    if line is None or not line.error_ts:
        if bot.status == "ERROR":
            yield [Span(safe_text(bot.reason, 300) or "not recorded", "error")]
        return
    over = "" if bot.status == "ERROR" else " (over: it runs again)"
    yield [Span(f"{fmt_datetime(line.error_ts)}{over}  ", "dim"), Span(safe_text(line.error, 300), "error")]
    for row in line.traceback.splitlines():
        yield [Span(safe_text(row.replace("\t", "  "), 300))]
    if bot.status == "ERROR":
        yield [Span("C clears it: the bot starts again with a fresh strategy", "key")]


def _strategy(bot: BotView, standing: Standing | None) -> Iterator[Line]:
    yield [Span(safe_text(bot.strategy, 120) or "none: the active config has left it out", "strong")]
    document = _decoded(standing.document if standing is not None else "")
    if document.get("name") != bot.name:
        return
    strategy = document.pop("strategy", {})
    if not isinstance(strategy, Mapping):
        return
    for rule in RULES:
        if strategy.get(rule):
            yield [Span(rule.replace("_", " "), "strong"), Span(" when", "dim")]
            yield from _condition(strategy[rule], 1)
    for name, indicator in _mapping(strategy.get("indicators")):
        yield [Span(f"  {safe_text(name, 40)} = ", "strong"), Span(_indicator(indicator))]
    rest = {key: value for key, value in strategy.items() if key not in (*RULES, "indicators", "schema")}
    yield from _fields({**rest, **{key: value for key, value in document.items() if key != "name"}}, 1)


def _decoded(document: str) -> dict[str, Any]:
    try:
        found = json.loads(document) if document else {}
    except ValueError:  # what was edited by hand must not end the screen
        found = {}
    return found if isinstance(found, dict) else {}


def _mapping(value: object) -> Iterable[tuple[str, Any]]:
    return [(str(key), inner) for key, inner in value.items()] if isinstance(value, Mapping) else []


def _indicator(value: object) -> str:
    if not isinstance(value, Mapping):
        return safe_text(str(value), 100)
    params = ", ".join(f"{key} {inner}" for key, inner in _mapping(value.get("params")))
    rest = ", ".join(f"{key} {inner}" for key, inner in _mapping(value) if key not in ("fn", "params"))
    return safe_text(f"{value.get('fn', '')}({params}) {rest}".strip(), 160)


def _condition(value: object, depth: int) -> Iterator[Line]:
    """A condition in words, what is inside it below."""
    indent = "  " * depth
    if not isinstance(value, Mapping) or depth > DEPTH_MAX:
        yield [Span(indent + safe_text(str(value), 120))]
        return
    operator = str(value.get("op", ""))
    word = OPERATORS.get(operator, safe_text(operator, 40))
    if "left" in value:
        left, right = safe_text(str(value["left"]), 40), safe_text(str(value.get("right")), 40)
        yield [Span(f"{indent}{left} "), Span(word, "strong"), Span(f" {right}")]
        return
    bars = f" {safe_text(str(value['bars']), 12)} bars" if "bars" in value else ""
    yield [Span(indent), Span(word + bars, "dim")]
    inner = value.get("of", ())
    for one in inner if isinstance(inner, list | tuple) else (inner,):
        yield from _condition(one, depth + 1)


def _fields(found: Mapping[str, Any], depth: int) -> Iterator[Line]:
    for key, value in found.items():
        if value in ({}, [], None):
            continue
        name = "  " * depth + safe_text(str(key), 40).replace("_", " ")
        if isinstance(value, Mapping) and depth < DEPTH_MAX:
            yield [Span(name, "dim")]
            yield from _fields(value, depth + 1)
        else:
            text = ", ".join(str(one) for one in value) if isinstance(value, list) else str(value)
            yield [Span(f"{name} ", "dim"), Span(safe_text(text, 160))]


def _unseen() -> Iterator[Line]:
    yield [Span("bars of the warm-up and age of the data: ~ not recorded", "dim")]


def _symbols(runners: Sequence[RunnerLine]) -> Iterator[Line]:
    for r in sorted(runners, key=lambda r: (r.bars / max(r.warmup_bars, 1), r.symbol)):
        warm = Span("● warm   ", "ok") if r.warm else Span("… warming", "warn")
        late = "no price yet" if r.age_us is None else f"data {fmt_age_us(r.age_us)} late"
        bars = f"  {r.bars:,} of {r.warmup_bars:,} bars" if not r.warm else f"  needs {r.warmup_bars:,} bars"
        error = [Span(f"  {safe_text(r.error, 60)}", "error")] if r.error else []
        yield [
            warm,
            Span(f" {padded(safe_text(r.symbol, 24), 12)}", "strong"),
            Span(bars),
            Span(f"  {late}", "dim"),
            *error,
        ]
