"""What is known of prices: last candles, marks, data age, strategies' indicators. A cache, rebuildable, never journaled."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from decimal import Decimal

from engine.core.inputs import Book, Candle, Feature, Funding, Mark, MarketInput, Quote, Trade
from engine.core.setup import BotSetup, Setup
from engine.core.types import Instrument, InvariantError, money

Key = tuple[str, str]  # exchange, symbol


class Runner:
    """One bot on one symbol: its strategy, how warm it is, and what it said of the last bar (0 until warm)."""

    __slots__ = ("bars", "bot", "error", "signal", "strategy", "warmup_bars")

    def __init__(self, bot: BotSetup) -> None:
        self.bot = bot
        self.strategy = bot.make()
        self.warmup_bars = self.strategy.warmup_bars
        self.bars = 0
        self.signal = 0
        self.error: Exception | None = None

    @property
    def warm(self) -> bool:
        return self.bars >= self.warmup_bars

    def on_bar(self, candle: Candle) -> None:
        """Push a closed bar. What a strategy raises is kept for the dispatcher: it stops the bot, not the engine."""
        self.bars += 1
        try:
            signal = self.strategy.on_bar(candle)
        except Exception as error:
            self.error, signal = error, 0
        self.signal = signal if self.bars >= self.warmup_bars else 0


class Market:
    """Prices by (exchange, symbol) and one runner by (bot, exchange, symbol)."""

    def __init__(self, instruments: Iterable[Instrument], tail_bars: int = 0) -> None:
        self.instruments: dict[Key, Instrument] = {(i.exchange, i.symbol): i for i in instruments}
        self.tail: dict[Key, deque[Candle]] = {key: deque(maxlen=tail_bars or None) for key in self.instruments}
        self.last: dict[Key, float] = {}
        self.marks: dict[Key, float] = {}
        self.spreads: dict[Key, tuple[float, float]] = {}  # (ask - bid, their middle)
        self.due: dict[Key, int] = {}
        self.late_us: dict[Key, int] = {}
        self.closes: dict[Key, int] = {}
        self.candles = 0
        self.heard = 0  # bars and what came between them
        self.runners: dict[Key, list[Runner]] = {key: [] for key in self.instruments}

    def arm(self, setup: Setup) -> None:
        """Give each bot of `setup` a strategy per symbol, warmed from the tail. Replaces the strategies of the config before."""
        for key, tail in self.tail.items():
            runners = [Runner(bot) for bot in setup.bots_on(*key)]
            for runner in runners:
                for candle in tail:
                    runner.on_bar(candle)
            self.runners[key] = runners

    def bars_lacking(self, setup: Setup) -> str:
        """Why `setup` cannot be warmed up from the tail, in one line; empty when it can."""
        for (exchange, symbol), tail in self.tail.items():
            for bot in setup.bots_on(exchange, symbol):
                need = bot.make().warmup_bars
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
        for runner in self.runners[key]:
            runner.on_bar(candle)

    def hear(self, value: MarketInput) -> None:
        """Take in what the market says between bars."""
        key = (value.exchange, value.symbol)
        if isinstance(value, Feature):
            self._feature(value)
        elif key in self.instruments and isinstance(value, Quote | Trade | Book):
            self._price(key, value)
        elif key in self.instruments and isinstance(value, Mark | Funding):
            self.marks[key] = value.price if isinstance(value, Mark) else value.mark

    def _price(self, key: Key, value: Quote | Trade | Book) -> None:
        if isinstance(value, Trade):
            self.last[key] = value.price
        else:
            bid, ask = (value.bid, value.ask) if isinstance(value, Quote) else (value.bids[0][0], value.asks[0][0])
            self.last[key] = (bid + ask) / 2
            self.spreads[key] = (ask - bid, self.last[key])
        self.heard += 1
        self.due[key] = value.received_ts

    def _feature(self, feature: Feature) -> None:
        for (exchange, symbol), runners in self.runners.items():
            if feature.exchange in ("", exchange) and feature.symbol in ("", symbol):
                for runner in runners:
                    runner.strategy.on_feature(feature)

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
