"""How things stand now, for the screens of gates and bots: built on the engine's loop when a screen asks, never by itself."""

from __future__ import annotations

import json
from concurrent.futures import Future
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import msgspec

from engine.core import risk
from engine.core.books import BotBook
from engine.core.config import BotConfig
from engine.core.events import GateResult
from engine.core.limits import Bound, Bounds
from engine.core.margin import mark_of
from engine.core.market import Runner, Series
from engine.core.risk.gates import Gate
from engine.core.setup import Setup
from engine.core.strategy import RuleStrategy
from engine.core.types import ZERO, Verdict, entity_id
from engine.publish import BoardMemory, unit_of, used_of

if TYPE_CHECKING:
    from engine.runtime import Engine


class GateLine(msgspec.Struct, frozen=True, kw_only=True):
    """A gate at one scope: `bot` "" is the account. `standing`: true without any order in sight; else its last word on one.

    Limits and `actual` are as the board shows them, in `unit`; "" is none. `used` is actual / limit.
    """

    bot: str
    number: str
    gate: str
    verdict: str
    standing: bool
    actual: str = ""
    limit: str = ""
    soft: str = ""
    hard: str = ""
    unit: str = ""
    code: str = ""
    used: float | None = None
    trips: str = ""
    blocked_ts: int = 0
    blocked_what: str = ""


class RunnerLine(msgspec.Struct, frozen=True, kw_only=True):
    """A bot on a symbol: bars seen and needed, when the last bar closed (us UTC, 0 none), how late its data is (us)."""

    bot: str
    exchange: str
    symbol: str
    bars: int
    warmup_bars: int
    warm: bool
    close_ts: int
    age_us: int | None
    error: str = ""


class BotLine(msgspec.Struct, frozen=True, kw_only=True):
    """What a bot has done. Money after fees in the portfolio's currency; `day_pnl` counts what is open at its mark."""

    id: str
    orders: int
    wins: int
    losses: int
    day_pnl: Decimal
    last_signal_ts: int
    last_signal: str
    error_ts: int = 0
    error: str = ""
    traceback: str = ""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """All of it at `now` (us UTC). `rules` are the trees of the asked bot and symbol on its last bar; {} without one, and for
    strategies in Python: installed code runs for the engine alone. `latched` says who has set the latch file, and why.
    `of_past`: at a moment of the past, of which no bars were recorded: there are no runners, rules and latch."""

    now: int
    gates: tuple[GateLine, ...]
    runners: tuple[RunnerLine, ...]
    bots: tuple[BotLine, ...]
    rules: dict[str, Any] = {}
    rules_ts: int = 0
    document: str = ""
    latched: str = ""
    of_past: bool = False


@runtime_checkable
class Standings(Protocol):
    """A client that can be asked how things stand at its moment."""

    def standing(self, bot: str = "", exchange: str = "", symbol: str = "") -> Future[Standing]:
        """Gates of the account and of `bot`; rules of the bot (an id) on a symbol."""
        ...


def standing(engine: Engine, memory: BoardMemory, bot: str = "", exchange: str = "", symbol: str = "") -> Standing:
    """On the engine's loop: no I/O but one stat of the latch file."""
    ledger, market = engine.state.ledger, engine.state.market
    now = engine.clock_us() if engine.clock_us is not None else max(ledger.now, engine.place.ts)
    latch = engine.dispatch.latch.read()
    found = market.series.get((exchange, symbol))
    runner = next((r for r in found.runners if r.bot.id == bot), None) if found is not None else None
    return msgspec.structs.replace(
        standing_of(risk.View(ledger, market, engine.setup, now, ledger.account), memory, bot),
        rules=_rules(runner),
        rules_ts=found.close_ts if found is not None and runner is not None else 0,
        latched=f"{latch.actor}: {latch.reason}" if latch is not None else "",
    )


def standing_of(view: risk.View, memory: BoardMemory, bot: str = "") -> Standing:
    """What ledger, markets and config tell, without an engine: no rules, no latch."""
    ledger = view.ledger
    scopes = ["", bot] if bot in ledger.bots else [""]
    runners = ((key, series, r) for key, series in view.market.series.items() for r in series.runners)
    return Standing(
        now=view.now,
        gates=tuple(line for scope in scopes for line in _gates(_view_of(view, scope), memory, scope)),
        runners=tuple(_runner(key, series, r, view.now) for key, series, r in runners),
        bots=tuple(_bot(view, memory, bot_id, book) for bot_id, book in ledger.bots.items()),
        document=_document(view.setup, ledger.ledger_id, bot),
    )


def _view_of(view: risk.View, bot: str) -> risk.View:
    """The same moment over the portfolio of a bot."""
    known = view.setup.by_id.get(bot)
    account = view.ledger.accounts.get(known.portfolio_id) if known is not None else None
    return risk.View(view.ledger, view.market, view.setup, view.now, account or view.ledger.account)


# -- gates -----------------------------------------------------------------------------------------------------------


def _gates(view: risk.View, memory: BoardMemory, bot: str) -> list[GateLine]:
    plan = view.plan(bot)
    limits = plan.own if bot else plan.account
    standing_now = {word.gate: word for word in risk.board(view, bot)}
    return [_gate(gate, bot, limits, standing_now.get(gate.name), memory) for gate in risk.GATES]


def _gate(gate: Gate, bot: str, limits: Bounds, word: GateResult | None, memory: BoardMemory) -> GateLine:
    stands = word is not None
    last = memory.words.get((bot, gate.name)) if bot else memory.last.get(gate.name)
    word = word or last
    blocked = memory.blocked_of.get((bot, gate.name)) if bot else memory.blocked.get(gate.name)
    blocked_ts, blocked_what = blocked or (0, "")
    bound = _bound(gate, limits, word)
    return GateLine(
        bot=bot,
        number=gate.number,
        gate=gate.name,
        verdict=word.verdict if word else "IDLE",
        standing=stands,
        actual=word.actual if word else "",
        limit=word.limit if word else "",
        soft=_text(bound.soft) if bound else "",
        hard=_text(bound.hard) if bound else "",
        unit=unit_of(gate.name),
        code=word.code if word else "",
        used=used_of(word) if word else None,
        trips=gate.trips,
        blocked_ts=blocked_ts,
        blocked_what=blocked_what,
    )


def _bound(gate: Gate, limits: Bounds, word: GateResult | None) -> Bound | None:
    """The limit that the word speaks of, else the first one that is set."""
    names = gate.limits or (("price_collar_pct",) if gate.name == "PRICE_COLLAR" else ())
    names = ("max_data_age_s",) if gate.name == "STALE_DATA" else names
    bounds = [b for b in (getattr(limits, name) for name in names) if isinstance(b, Bound) and b.is_set]
    said = next((b for b in bounds if word is not None and b.text == word.limit), None)
    return said or (bounds[0] if bounds else None)


def _text(number: Decimal | None) -> str:
    return "" if number is None else f"{number:f}"


# -- bots ------------------------------------------------------------------------------------------------------------


def _runner(key: tuple[str, str], series: Series, runner: Runner, now: int) -> RunnerLine:
    error = runner.error
    return RunnerLine(
        bot=runner.bot.id,
        exchange=key[0],
        symbol=key[1],
        bars=runner.bars,
        warmup_bars=runner.warmup_bars,
        warm=runner.warm,
        close_ts=max(series.close_ts, 0),
        age_us=series.age_us(now),
        error=type(error).__name__ if error is not None else "",
    )


def _bot(view: risk.View, memory: BoardMemory, bot_id: str, book: BotBook) -> BotLine:
    ledger = view.ledger
    own = (p for p in ledger.positions.values() if p.bot_id == bot_id)
    open_pnl = sum((p.unrealized_pnl(mark_of(view.market, p)) for p in own), ZERO)
    signal_ts, signal = memory.signals.get(bot_id, (0, ""))
    failed = memory.errors.get(bot_id)
    return BotLine(
        id=bot_id,
        orders=sum(o.bot_id == bot_id for o in ledger.orders.values()),
        wins=book.wins,
        losses=book.losses,
        day_pnl=book.realized_pnl + open_pnl - book.day_start_pnl,
        last_signal_ts=max(signal_ts, max(book.last_signal_ts.values(), default=0)),
        last_signal=signal,
        error_ts=failed.ts if failed else 0,
        error=failed.reason if failed else "",
        traceback=failed.traceback if failed else "",
    )


def _rules(runner: Runner | None) -> dict[str, Any]:
    if runner is None or not runner.bars or not isinstance(runner.strategy, RuleStrategy):
        return {}
    return runner.strategy.explain()


def _document(setup: Setup, ledger_id: str, bot: str) -> str:
    """The bot's part of the active config, without the parts that it leaves to the defaults; JSON."""
    found: BotConfig | None = next((b for b in setup.config.bots if entity_id(ledger_id, "bot", b.name) == bot), None)
    if found is None:
        return ""
    own = found.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    whole = found.model_dump(mode="json", by_alias=True, exclude_none=True)
    return json.dumps({key: whole[key] for key in own if key in whole}, ensure_ascii=False)


def blocks(line: GateLine) -> bool:
    """Whether the gate stands in the way of every entry now."""
    return line.standing and line.verdict == Verdict.BLOCKED
