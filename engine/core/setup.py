"""A config made ready to decide with: bots with ids, tightest limits, the decimals worked out once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, TypeVar, cast

import msgspec

from engine.core.canonical import sha256_hex
from engine.core.config import BotConfig, Config, Entry, Exits, Margin, PythonStrategy, Sizing, canonical
from engine.core.limits import Limit, Limits, Model, tightest
from engine.core.rules import RuleDocument
from engine.core.strategy import Factory, RuleStrategy, Strategy
from engine.core.timeframes import TimeframeError
from engine.core.types import DAY_US, MINUTE_US, Instrument, entity_id

if TYPE_CHECKING:
    from engine.core.risk.view import Plan

M = TypeVar("M", bound=Model)

#: Bars of the average true range that G12 holds a jump against.
JUMP_ATR_PERIOD = 14


class BotSetup(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    strategy_id: str
    symbols: frozenset[str]
    everything: bool
    strategy: RuleDocument | PythonStrategy
    portfolio_id: str
    currency: str  # of the portfolio; "" is the ledger's own, in which its feed is quoted
    sizing: Sizing
    entry: Entry
    exits: Exits
    margin: Margin
    limits: Limits  # the tighter of the bot's and the account's, for gates on one order
    own_limits: Limits  # the bot's alone, for gates that add up what the bot holds
    warmup_factor: int
    factories: Mapping[str, Factory]

    @property
    def exits_move(self) -> str:
        """What of a bar can change where its positions are left: "trailing" (a new extreme alone), "all", or ""."""
        e = self.exits
        if e.break_even is not None or e.ladder or e.time_stop_min is not None:
            return "all"
        return "trailing" if e.trailing is not None else ""

    @property
    def atr_periods(self) -> set[int]:
        """Periods of the average true ranges that its size, its stops and its limits ask for."""
        periods = set()
        if self.sizing.kind == "volatility_target":
            periods.add(self.sizing.atr_period)
        if self.exits.trailing is not None and self.exits.trailing.atr_multiple is not None:
            periods.add(self.exits.trailing.atr_period)
        jump = self.limits.max_jump_atr
        if jump != Limit() or any("atr_pct" in rule.reads() for rule in self.limits.risk_rules):
            periods.add(JUMP_ATR_PERIOD)
        return periods

    def make(self, timeframe_us: int = 0) -> Strategy:
        """A fresh strategy for one symbol, with bars of that length (0: its first bar tells). Raises what a Python strategy
        raises, TimeframeError for rules that the bars do not fit, KeyError when it is not installed."""
        if isinstance(self.strategy, RuleDocument):
            return RuleStrategy(self.strategy, self.warmup_factor, timeframe_us)
        return self.factories[self.strategy.python](self.strategy.params)

    def trades(self, symbol: str) -> bool:
        return self.everything or symbol in self.symbols


class Setup:
    """The active config, compiled. Bots are visited in name order, so that no dictionary order decides."""

    def __init__(
        self, config: Config, ledger_id: str, version: int, factories: Mapping[str, Factory] = MappingProxyType({})
    ) -> None:
        self.config = config
        self.version = version
        self.text = canonical(config).decode()
        self.sha256 = sha256_hex(self.text.encode())
        self.account = config.account
        self.costs = config.costs
        self.trigger = config.costs.trigger
        self.bars = config.costs.convention == "bar"
        self.sample_us = config.account.equity_sample_s * 1_000_000
        self.entry_slip = (config.costs.slippage_bps + config.costs.half_spread_bps) / 10_000
        self.plans: dict[str, Plan] = {}  # by bot id: what the gates have worked out of limits (engine.core.risk)
        self.bots = tuple(
            _bot(bot, config, ledger_id, factories) for bot in sorted(config.bots, key=lambda b: b.name) if bot.enabled
        )
        self.by_id = {bot.id: bot for bot in self.bots}
        #: Bots whose exits a bar can move: "trailing" when nothing but a new extreme can, else "all".
        self.moves = {bot.id: bot.exits_move for bot in self.bots if bot.exits_move}

    def day_end(self, ts: int) -> int:
        """When the day of the daily loss that `ts` falls into ends, us UTC."""
        offset = self.account.day_start_utc_min * MINUTE_US
        return ts - (ts - offset) % DAY_US + DAY_US

    def bots_on(self, instrument: Instrument) -> list[BotSetup]:
        """Those that trade it: it is one of their symbols, and quoted in the currency of their money."""
        return [bot for bot in self.bots if bot.trades(instrument.symbol) and bot.currency in ("", instrument.quote)]

    def unfit(self, timeframe_us: int) -> str:
        """Why a strategy cannot be made of bars of that length, in one line; empty when all can."""
        for bot in self.bots:
            try:
                bot.make(timeframe_us)
            except TimeframeError as error:
                return f"bot {bot.name}: {error}"
        return ""

    def untradable(self, instruments: Iterable[Instrument]) -> str:
        """Which bot cannot trade what it is to trade, in one line: a symbol that the feed does not offer, or one that is not
        quoted in the currency of its portfolio. Empty when all can."""
        quotes: dict[str, set[str]] = {}
        for instrument in instruments:
            quotes.setdefault(instrument.symbol, set()).add(instrument.quote)
        if unknown := sorted({s for bot in self.bots for s in bot.symbols - quotes.keys()}):
            return f"the feed does not offer {', '.join(unknown)}; it offers {', '.join(sorted(quotes))}"
        for bot in self.bots:
            foreign = [s for s, found in sorted(quotes.items()) if bot.trades(s) and bot.currency not in ("", *found)]
            if foreign and (not bot.everything or len(foreign) == len(quotes)):
                others = ", ".join(sorted(set().union(*(quotes[symbol] for symbol in foreign))))
                return (
                    f"bot {bot.name}: its portfolio counts in {bot.currency}, "
                    f"and {', '.join(foreign)} is quoted in {others}: no order of it could be paid"
                )
        return ""


def plain(model: M) -> M:
    """The same attributes on an object without pydantic behind it, which every look at one pays for: these are on the path of
    every order."""
    return cast(M, SimpleNamespace(**{name: _plain(getattr(model, name)) for name in type(model).model_fields}))


def _plain(value: object) -> object:
    if isinstance(value, Model):
        return plain(value)
    return tuple(map(_plain, value)) if isinstance(value, tuple) else value


def portfolio_id(ledger_id: str, name: str) -> str:
    """The id of a portfolio; "main" is the one that the ledger was opened with."""
    return entity_id(ledger_id, "portfolio", "1" if name == "main" else name)


def _bot(bot: BotConfig, config: Config, ledger_id: str, factories: Mapping[str, Factory]) -> BotSetup:
    return BotSetup(
        id=entity_id(ledger_id, "bot", bot.name),
        name=bot.name,
        strategy_id=entity_id(ledger_id, "strategy", bot.strategy.sha256),
        symbols=frozenset(s for s in bot.symbols if s != "*"),
        everything="*" in bot.symbols,
        strategy=bot.strategy,
        portfolio_id=portfolio_id(ledger_id, bot.portfolio),
        currency=next((p.currency for p in config.account.portfolios if p.name == bot.portfolio), ""),
        sizing=plain(bot.sizing),
        entry=plain(bot.entry),
        exits=plain(bot.exits),
        margin=plain(bot.margin),
        limits=tightest(bot.limits, config.account.limits),
        own_limits=bot.limits,
        warmup_factor=config.warmup_factor,
        factories=factories,
    )
