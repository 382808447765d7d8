"""A seeded market that looks like one: regimes, clustered volatility, jumps, correlated coins. Endless, and always the same.

Each UTC day of each symbol comes from its own PCG64 stream keyed by (seed, symbol, day), so a day can be made without those
before it; only the price it starts from is a chain. Log returns are whole multiples of 1e-9 and summed as integers, so that
the last digit of a platform's `exp` cannot move the chain. What is modelled, after Cont (2001), "Empirical properties of
asset returns": fat tails, volatility clustering and its decay after a jump (as GARCH has it), volume that goes with both.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.core.inputs import Candle, Tick
from engine.core.types import DAY_US, MINUTE_US, Instrument
from engine.feeds.base import CHUNK_INPUTS, FeedError, FeedInput, Gap, Pacer, slug_of
from engine.instruments import instrument_for

Floats = npt.NDArray[np.float64]

EXCHANGE = "sim"
BARS = 1_440  # a day of minutes
SEGMENT = 240  # a regime lasts four hours
PAST_DAYS = 60  # made before the first bar: 86,400 bars to warm up with

_GENESIS_DAY = 19_723  # 2024-01-01; the seed adds up to a year, so that two seeds are seen to differ
_UNIT = 1e-9  # of a log return
_REVERSION = 0.02  # a day pulls 2 % of the way back to the base price: prices wander for years and stay plausible
_DECAY = 0.985  # of log volatility a minute: half is forgotten in 46 minutes
_AFTERSHOCK_MINUTES = 45.0
_LARGEST_RETURN = 0.05


class Coin(NamedTuple):
    """One coin: price level, share in the common factor, volatility a minute, median volume a minute, decimals."""

    symbol: str
    price: float
    beta: float
    sigma: float
    volume: float
    price_decimals: int
    volume_decimals: int


COINS = (
    Coin("BTC/USDT", 64_000.0, 1.0, 0.00045, 18.0, 2, 5),
    Coin("ETH/USDT", 3_200.0, 1.15, 0.00055, 260.0, 2, 4),
    Coin("SOL/USDT", 145.0, 1.35, 0.00075, 2_400.0, 2, 3),
    Coin("XRP/USDT", 0.62, 1.1, 0.00070, 95_000.0, 4, 1),
)


class Regime(NamedTuple):
    """Drift in standard deviations of a segment, volatility multiple, and pull back to the segment's start (0 to 1)."""

    name: str
    weight: float
    drift: float
    volatility: float
    pull: float


REGIMES = (
    Regime("trend up", 0.24, 1.6, 0.95, 0.0),
    Regime("trend down", 0.22, -1.6, 1.1, 0.0),
    Regime("range", 0.38, 0.0, 0.7, 0.85),
    Regime("volatile", 0.16, 0.0, 2.2, 0.0),
)
_WEIGHTS = [regime.weight for regime in REGIMES]


class _Day(NamedTuple):
    """Arrays (BARS,) of one coin's day, before it has a price: cumulative log price in units, wicks, volume."""

    path: npt.NDArray[np.int64]
    upper: Floats
    lower: Floats
    volume: Floats


class SimulatedFeed:
    """Four coins in USDT on exchange "sim", one-minute bars. `seed` is any integer; `days` bounds it (None: endless)."""

    timeframe_us = MINUTE_US
    gaps: tuple[Gap, ...] = ()
    status = "ok"

    def __init__(self, seed: int, days: int | None = None, pacer: Pacer | None = None) -> None:
        if days is not None and days < 1:
            raise FeedError(f"simulate: {days} days is no market (use 1 or more, or leave it out)")
        self.seed, self.days = seed, days
        self.identity = f"simulate:{seed}"
        self.slug = slug_of(self.identity)
        self.instruments: tuple[Instrument, ...] = tuple(instrument_for(EXCHANGE, coin.symbol) for coin in COINS)
        self.genesis_day = _GENESIS_DAY + _entropy(seed, "start", 0) % 365
        self.start_day = self.genesis_day + PAST_DAYS
        self.total: int | None = None if days is None else days * BARS * len(COINS)
        self.first_ts: int | None = self.start_day * DAY_US + MINUTE_US
        self.last_ts: int | None = None if days is None else (self.start_day + days) * DAY_US
        self.pacer = pacer or Pacer()

    def chunks(self, start_after: int | None = None) -> Iterator[list[FeedInput]]:
        """Candles with ts > `start_after` and a Tick after each minute, CHUNK_INPUTS or fewer a list."""
        pending: list[FeedInput] = []
        for ts, candles in self._minutes(self.start_day, start_after):
            if len(pending) + len(candles) >= CHUNK_INPUTS:
                yield pending
                pending = []
            pending += candles
            pending.append(Tick(ts=ts))
        if pending:
            yield pending

    def _minutes(self, from_day: int, start_after: int | None) -> Iterator[tuple[int, list[Candle]]]:
        end = None if self.days is None else self.start_day + self.days
        levels, day = [0] * len(COINS), self.genesis_day
        while end is None or day < end:
            wanted = day >= from_day and (start_after is None or (day + 1) * DAY_US > start_after)
            made = _made(self.seed, day, levels)
            if wanted:
                series = [_candles(coin, day, levels[i], made[i]) for i, coin in enumerate(COINS)]
                for minute in zip(*series, strict=True):
                    if start_after is None or minute[0].ts > start_after:
                        yield minute[0].ts, list(minute)
            levels = [level + int(made[i].path[-1]) for i, level in enumerate(levels)]
            day += 1

    def past(self, bars: int) -> list[Candle]:
        """The last `bars` candles per symbol before the first one of `chunks`, in order; at most PAST_DAYS of them."""
        bars = min(bars, PAST_DAYS * BARS)
        if bars <= 0:
            return []
        since = self.start_day * DAY_US - bars * MINUTE_US
        candles: list[Candle] = []
        for ts, minute in self._minutes(self.genesis_day, since):
            if ts > self.start_day * DAY_US:
                break
            candles += minute
        return candles

    def earlier(self, exchange: str, symbol: str, since: int, until: int) -> list[Candle]:
        """The bars of a symbol with since < ts <= until, in order: of its past and of what is played."""
        found: list[Candle] = []
        for ts, minute in self._minutes(self.genesis_day, since):
            if ts > until:
                break
            found += [candle for candle in minute if (candle.exchange, candle.symbol) == (exchange, symbol)]
        return found

    async def history(self, bars: int) -> list[Candle]:
        return self.past(bars)

    def batches(self, start_after: int | None = None) -> AsyncIterator[list[FeedInput]]:
        return self.pacer.play(self, start_after)

    async def close(self) -> None:
        """Nothing to release."""


def _entropy(seed: int, name: str, day: int) -> int:
    return int.from_bytes(hashlib.sha256(f"quantsail simulated market 1|{seed}|{name}|{day}".encode()).digest())


def _stream(seed: int, name: str, day: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(_entropy(seed, name, day))))


def _made(seed: int, day: int, levels: list[int]) -> list[_Day]:
    """Every coin's day, given the log price levels (in units) at its start."""
    market = _stream(seed, "market", day)
    regimes = [REGIMES[i] for i in market.choice(len(REGIMES), BARS // SEGMENT, p=_WEIGHTS)]
    volatility = np.repeat([regime.volatility for regime in regimes], SEGMENT)
    common = market.standard_normal(BARS)
    jumps = np.zeros(BARS)
    for _ in range(market.poisson(0.8)):  # most days have news or none
        jumps[market.integers(BARS)] += market.choice((-1.0, 1.0)) * market.uniform(0.006, 0.025)
    return [
        _coin_day(_stream(seed, coin.symbol, day), coin, regimes, volatility, common, jumps, levels[i])
        for i, coin in enumerate(COINS)
    ]


def _coin_day(
    stream: np.random.Generator,
    coin: Coin,
    regimes: list[Regime],
    volatility: Floats,
    common: Floats,
    jumps: Floats,
    level: int,
) -> _Day:
    own_jumps = np.where(stream.random(BARS) < 0.4 / BARS, stream.normal(0.0, 0.01, BARS), 0.0)
    moves = jumps * coin.beta + own_jumps
    clustering = _log_volatility(stream) + _aftershock(moves)
    sigma = coin.sigma * volatility * np.exp(np.clip(clustering, -2.0, 2.5))
    own = stream.standard_normal(BARS)
    returns = sigma * (0.75 * common + 0.66 * own) * np.sqrt(coin.beta)
    for i, regime in enumerate(regimes):
        part = slice(i * SEGMENT, (i + 1) * SEGMENT)
        drift = regime.drift * coin.sigma * np.sqrt(SEGMENT) / SEGMENT
        returns[part] += drift - regime.pull * returns[part].mean()
    returns += moves - _REVERSION * level * _UNIT / BARS
    units = np.rint(np.clip(returns, -_LARGEST_RETURN, _LARGEST_RETURN) / _UNIT).astype(np.int64)
    upper, lower = (np.abs(stream.standard_normal(BARS)) * sigma * 0.55 for _ in range(2))
    excitement = np.abs(returns) / coin.sigma
    volume = coin.volume * np.exp(0.5 * stream.standard_normal(BARS) + 0.45 * np.log1p(excitement) + 0.3 * clustering)
    return _Day(np.cumsum(units), upper, lower, volume)


def _log_volatility(stream: np.random.Generator) -> Floats:
    """An AR(1) of log volatility over a day, in closed form: x_t = d**t (x_0 + sum of e_s / d**s)."""
    powers = _DECAY ** np.arange(1, BARS + 1)
    noise = stream.standard_normal(BARS + 1) * 0.35 * np.sqrt(1 - _DECAY**2)
    start = noise[0] / np.sqrt(1 - _DECAY**2)
    path: Floats = powers * (start + np.cumsum(noise[1:] / powers))
    return path


def _aftershock(moves: Floats) -> Floats:
    """Log volatility added after each jump, decaying: markets stay nervous."""
    minutes = np.arange(BARS)
    total = np.zeros(BARS)
    for at in np.flatnonzero(moves):
        since = minutes - at
        total += np.where(since >= 0, np.exp(-np.maximum(since, 0) / _AFTERSHOCK_MINUTES), 0.0)
    return np.minimum(total, 1.5)


def _candles(coin: Coin, day: int, level: int, made: _Day) -> Iterator[Candle]:
    """The day's bars at real prices: each opens where the last closed, all on the tick, low <= open, close <= high. One at a
    time: a day of them at once would hold up the engine's loop."""
    tick = 10.0**-coin.price_decimals
    exact = coin.price * np.exp(np.concatenate([[level], level + made.path]) * _UNIT)
    prices = np.maximum(np.round(exact, coin.price_decimals), tick)
    opens, closes = prices[:-1], prices[1:]
    highs = np.round(np.maximum(opens, closes) * (1 + made.upper), coin.price_decimals)
    lows = np.maximum(np.round(np.minimum(opens, closes) * (1 - made.lower), coin.price_decimals), tick)
    volumes = np.round(made.volume, coin.volume_decimals)
    columns = (column.tolist() for column in (opens, highs, lows, closes, volumes))
    first = day * DAY_US + MINUTE_US
    return (
        Candle(
            ts=ts,
            exchange=EXCHANGE,
            symbol=coin.symbol,
            timeframe_us=MINUTE_US,
            open=open_,
            high=high,
            low=low,
            close=close,
            volume=volume,
            received_ts=ts,
        )
        for ts, open_, high, low, close, volume in zip(range(first, first + DAY_US, MINUTE_US), *columns, strict=True)
    )
