"""What is known of prices: last candles, marks, data age, strategies' indicators. A cache, rebuildable, never journaled."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from decimal import Decimal

from engine.core.inputs import Candle, Quote
from engine.core.setup import Setup
from engine.core.strategy import RuleStrategy
from engine.core.types import Instrument, InvariantError, money

Key = tuple[str, str]  # exchange, symbol


class Market:
    """Prices by (exchange, symbol) and one strategy state by (bot, exchange, symbol)."""

    def __init__(self, instruments: Iterable[Instrument], tail_bars: int = 0) -> None:
        self.instruments: dict[Key, Instrument] = {(i.exchange, i.symbol): i for i in instruments}
        self.tail: dict[Key, deque[Candle]] = {key: deque(maxlen=tail_bars or None) for key in self.instruments}
        self.last: dict[Key, float] = {}
        self.due: dict[Key, int] = {}
        self.late_us: dict[Key, int] = {}
        self.closes: dict[Key, int] = {}
        self.candles = 0
        self.heard = 0  # candles and quotes
        self.strategies: dict[Key, list[RuleStrategy]] = {key: [] for key in self.instruments}

    def arm(self, setup: Setup) -> None:
        """Give each bot of `setup` a strategy per symbol, warmed from the tail. Replaces the strategies of the config before."""
        for key, tail in self.tail.items():
            strategies = [RuleStrategy(bot) for bot in setup.bots_on(*key)]
            for strategy in strategies:
                for candle in tail:
                    strategy.on_bar(candle)
            self.strategies[key] = strategies

    def bars_lacking(self, setup: Setup) -> str:
        """Why `setup` cannot be warmed up from the tail, in one line; empty when it can."""
        for (exchange, symbol), tail in self.tail.items():
            for bot in setup.bots_on(exchange, symbol):
                need = RuleStrategy(bot).warmup_bars
                if need > len(tail):
                    lack = need - len(tail)
                    return f"bot {bot.name} needs {need} bars of {symbol} to warm up and has {len(tail)}: {lack} are lacking"
        return ""

    def observe(self, candle: Candle) -> None:
        """Take in a closed bar. Raises InvariantError when it goes back in time: nothing computed from it could be trusted."""
        key = (candle.exchange, candle.symbol)
        if candle.ts <= self.closes.get(key, -1):
            raise InvariantError(f"candle of {candle.symbol} goes back in time: {candle.ts} after {self.closes[key]}")
        self.closes[key] = candle.ts
        self.last[key] = candle.close
        self.due[key] = candle.received_ts + candle.timeframe_us
        self.late_us[key] = candle.received_ts - candle.ts
        self.tail[key].append(candle)
        self.candles += 1
        self.heard += 1
        for strategy in self.strategies[key]:
            strategy.on_bar(candle)

    def quote(self, quote: Quote) -> None:
        key = (quote.exchange, quote.symbol)
        if key in self.instruments:
            self.last[key] = (quote.bid + quote.ask) / 2
            self.heard += 1
            self.due[key] = quote.received_ts

    def mark(self, exchange: str, symbol: str) -> Decimal | None:
        """The last price as money, None before the first."""
        price = self.last.get((exchange, symbol))
        return None if price is None else money(price)

    def age_us(self, exchange: str, symbol: str, now: int) -> int | None:
        """How long a symbol has been silent beyond what is normal for it, in microseconds; None when nothing was heard.

        After a bar the next word is due one bar later; after a quote at once.
        """
        due = self.due.get((exchange, symbol))
        return None if due is None else max(0, now - due)
