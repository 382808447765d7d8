"""The common workload (decisions.md 21): one market, one rule, every engine's result to the cent.

Flat and EMA 20 crosses above EMA 50 and RSI 14 < 70: buy one unit at the next open. Leave on the cross below at the next
open, or at a stop 2 % below or a target 4 % above the entry (a gap fills at the open, the stop counts first, the entry's
own bar counts). A fee a side in quote, no signal in the first 500 bars, what is open at the end valued at the last close
less fee. `yardstick` is what a straightforward event loop over plain objects and floats costs in this Python.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal as D
from itertools import chain, repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from db.memory import MemoryJournal
from engine.backtest import Backtest
from engine.core import events as ev
from engine.core.config import Config, parse_config
from engine.core.inputs import Candle, Tick
from engine.core.types import MINUTE_US, Instrument, money

Columns = dict[str, NDArray[Any]]
PRICES = ("open", "high", "low", "close", "volume")
SEED, CANDLES, CASH, WARM = 20260101, 1_000_000, 10_000_000, 500
EXCHANGE, SYMBOL = "golden", "GOLD/USDT"


class Result(NamedTuple):
    trades: int
    stops: int
    takes: int
    equity: float
    seconds: float  # of CPU


def market(candles: int = CANDLES, seed: int = SEED) -> Columns:
    """Minutes of a fat-tailed walk (Student t, 3 degrees) of six steps each, a few of them opening with a gap, bridged so that it
    ends where it began; prices to the cent. `ts` is the close time in us."""
    steps, sigma, first = 6, 0.0018, 30_000.0
    rng = np.random.default_rng(seed)
    moves = rng.standard_t(3, (candles, steps)) * (sigma / np.sqrt(3.0 * steps))
    gaps = rng.normal(0.0, 0.012, candles) * (rng.random(candles) < 0.002)
    gaps[0] = 0.0
    path = np.cumsum(np.concatenate([gaps[:, None], moves], axis=1).ravel()).reshape(candles, steps + 1)
    path -= path[-1, -1] * (np.arange(candles * (steps + 1)).reshape(candles, steps + 1) + 1) / (candles * (steps + 1))
    prices = first * np.exp(path)
    return {
        "ts": 1_609_459_200_000_000 + MINUTE_US * np.arange(1, candles + 1, dtype=np.int64),
        "open": np.round(prices[:, 0], 2),
        "high": np.round(prices.max(1), 2),
        "low": np.round(prices.min(1), 2),
        "close": np.round(prices[:, -1], 2),
        "volume": np.round(rng.lognormal(1.0, 0.8, candles), 4),
    }


# -- through the engine -------------------------------------------------------------------------------------------------


INSTRUMENT = Instrument(
    exchange=EXCHANGE,
    symbol=SYMBOL,
    base="GOLD",
    quote="USDT",
    tick_size=D(0),
    lot_size=D(0),
    min_notional=D(0),
    source="bundled",
)


def config(fee_bps: str = "10") -> Config:
    rules = {
        "schema": 1,
        "indicators": {
            "fast": {"fn": "EMA", "params": {"timeperiod": 20}},
            "slow": {"fn": "EMA", "params": {"timeperiod": 50}},
            "rsi": {"fn": "RSI", "params": {"timeperiod": 14}},
        },
        "entry_long": {
            "op": "all",
            "of": [
                {"op": "crosses_above", "left": "fast", "right": "slow"},
                {"op": "lt", "left": "rsi", "right": 70},
            ],
        },
        "exit_long": {"op": "crosses_below", "left": "fast", "right": "slow"},
    }
    bot = {
        "name": "golden",
        "strategy": rules,
        "sizing": {"kind": "fixed_quantity", "value": "1"},
        "exits": {"stop_loss_pct": "2", "take_profit_pct": "4", "trailing": None},
    }
    return parse_config(
        {
            "schema": 1,
            "warmup_factor": WARM
            // 50,  # periods of the slowest average: its 500 bars, and one that a cross looks back
            "bots": [bot],
            "costs": {"maker_bps": fee_bps, "taker_bps": fee_bps, "slippage_bps": "0", "latency_ms": 0},
            "account": {"equity_sample_s": 86_400, "limits": {"daily_loss_pct": {}, "max_drawdown_pct": {}}},
        }
    )


#: Candles that a run is fed at once.
CHUNK = 500


def chunks(columns: Columns, size: int = CHUNK) -> Iterator[list[Candle | Tick]]:
    """The candles and their ticks as a replay gives them, a few at a time."""
    for first in range(0, len(columns["ts"]), size):
        ts, *prices = (columns[name][first : first + size].tolist() for name in ("ts", *PRICES))
        candles = map(Candle, ts, repeat(EXCHANGE), repeat(SYMBOL), repeat(MINUTE_US), *prices, ts)
        yield list(chain.from_iterable(zip(candles, map(Tick, ts), strict=True)))


def started(
    columns: Columns, fee_bps: str = "10", *, look_up: bool = True, journal: MemoryJournal | None = None
) -> Backtest:
    """A run of the workload before its first bar."""
    run = Backtest(config(fee_bps), [INSTRUMENT], journal or MemoryJournal(), balance=D(CASH), seed=1)
    if look_up:
        run.look_up(EXCHANGE, SYMBOL, columns, MINUTE_US)
    return run


def play(
    columns: Columns, fee_bps: str = "10", *, look_up: bool = True, journal: MemoryJournal | None = None
) -> Result:
    """The workload through decide, orders, evolve, the paper venue and the journal in memory."""
    journal = journal or MemoryJournal()
    gc.collect()
    gc.freeze()  # as `quantsail backtest` does
    start = time.process_time()
    run = started(columns, fee_bps, look_up=look_up, journal=journal)
    for chunk in chunks(columns):
        run.feed(chunk)
    run.finish()
    seconds = time.process_time() - start
    gc.unfreeze()
    equity = run.ledger.account.cash
    for position in run.ledger.positions.values():
        last = money(float(columns["close"][-1]))
        equity += position.quantity * last * (1 - D(fee_bps) / 10_000)
    closed = Counter(event.reason for _, event in journal.store.pairs if isinstance(event, ev.PositionClosed))
    trades = run.ledger.counts.trades + len(run.ledger.positions)
    return Result(trades, closed["STOP"], closed["TAKE_PROFIT"], float(equity), seconds)


# -- the yardstick --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Bar:
    ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(slots=True)
class PlainOrder:
    number: int
    side: int
    kind: str
    quantity: float
    price: float
    filled: bool = False


@dataclass(slots=True)
class PlainFill:
    ts: int
    number: int
    side: int
    quantity: float
    price: float
    fee: float


class Average:
    """Exponential moving average, the mean of what there is until its period is full."""

    __slots__ = ("before", "count", "factor", "period", "total", "value")

    def __init__(self, period: int) -> None:
        self.period, self.factor = period, 2.0 / (period + 1)
        self.count, self.total, self.value, self.before = 0, 0.0, 0.0, 0.0

    def update(self, price: float) -> None:
        self.before = self.value
        if self.count < self.period:
            self.total += price
            self.count += 1
            self.value = self.total / self.count
        else:
            self.value += (price - self.value) * self.factor


class Strength:
    """Wilder's relative strength index."""

    __slots__ = ("count", "down", "last", "period", "up", "value")

    def __init__(self, period: int) -> None:
        self.period, self.count = period, 0
        self.up, self.down, self.last, self.value = 0.0, 0.0, 0.0, 0.0

    def update(self, price: float) -> None:
        if self.count:
            change = price - self.last
            rise, fall = (change, 0.0) if change > 0 else (0.0, -change)
            if self.count <= self.period:
                self.up += rise / self.period
                self.down += fall / self.period
            else:
                self.up = (self.up * (self.period - 1) + rise) / self.period
                self.down = (self.down * (self.period - 1) + fall) / self.period
            total = self.up + self.down
            self.value = 100.0 * self.up / total if total else 0.0
        self.last = price
        self.count += 1


class Bus:
    def __init__(self) -> None:
        self._subscribers: dict[type, list[Callable[[Any], None]]] = {}

    def on(self, kind: type, subscriber: Callable[[Any], None]) -> None:
        self._subscribers.setdefault(kind, []).append(subscriber)

    def publish(self, message: object) -> None:
        for subscriber in self._subscribers.get(type(message), ()):
            subscriber(message)


class Broker:
    def __init__(self, bus: Bus, fee: float) -> None:
        self._bus, self._fee = bus, fee
        self._orders: list[PlainOrder] = []
        self._number = 0
        self.held, self.cash = 0.0, float(CASH)
        self.trades = self.stops = self.takes = 0

    def submit(self, side: int, kind: str, quantity: float, price: float = 0.0) -> None:
        self._number += 1
        self._orders.append(PlainOrder(self._number, side, kind, quantity, price))

    def _fill(self, order: PlainOrder, price: float, ts: int) -> None:
        fee = price * order.quantity * self._fee
        if order.side > 0:
            self.cash -= price * order.quantity + fee
            self.held += order.quantity
        else:
            self.cash += price * order.quantity - fee
            self.held -= order.quantity
            self.trades += 1
        order.filled = True
        self._bus.publish(PlainFill(ts, order.number, order.side, order.quantity, price, fee))

    def on_bar(self, bar: Bar) -> None:
        if not self._orders:
            return
        for order in [o for o in self._orders if o.kind == "market"]:
            self._orders.remove(order)
            if order.side < 0:
                self._orders.clear()
            self._fill(order, bar.open, bar.ts)
        if not self._orders:
            return
        stop = take = self._orders[0]
        for order in self._orders:
            if order.kind == "stop":
                stop = order
            else:
                take = order
        if bar.open <= stop.price:
            hit, price = stop, bar.open
        elif bar.open >= take.price:
            hit, price = take, bar.open
        elif bar.low <= stop.price:
            hit, price = stop, stop.price
        elif bar.high >= take.price:
            hit, price = take, take.price
        else:
            return
        if hit is stop:
            self.stops += 1
        else:
            self.takes += 1
        self._orders.clear()
        self._fill(hit, price, bar.ts)


class CrossStrategy:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._fast, self._slow, self._strength = Average(20), Average(50), Strength(14)
        self._bars = 0

    def on_fill(self, fill: PlainFill) -> None:
        if fill.side > 0:
            self._broker.submit(-1, "stop", fill.quantity, fill.price * 0.98)
            self._broker.submit(-1, "take", fill.quantity, fill.price * 1.04)

    def on_bar(self, bar: Bar) -> None:
        fast, slow = self._fast, self._slow
        fast.update(bar.close)
        slow.update(bar.close)
        self._strength.update(bar.close)
        self._bars += 1
        if self._bars <= WARM:
            return
        if self._broker.held:
            if fast.before >= slow.before and fast.value < slow.value:
                self._broker.submit(-1, "market", 1.0)
        elif fast.before <= slow.before and fast.value > slow.value and self._strength.value < 70.0:
            self._broker.submit(1, "market", 1.0)


def yardstick(columns: Columns, fee_bps: str = "10") -> Result:
    """The same workload as a plain event loop: bars, a bus, a broker, orders, fills; floats and no ledger."""
    rows = [columns[name].tolist() for name in ("ts", *PRICES)]
    gc.collect()
    fee = float(fee_bps) / 10_000
    bus = Bus()
    broker = Broker(bus, fee)
    strategy = CrossStrategy(broker)
    bus.on(Bar, broker.on_bar)
    bus.on(Bar, strategy.on_bar)
    bus.on(PlainFill, strategy.on_fill)
    start = time.process_time()
    for row in zip(*rows, strict=True):
        bus.publish(Bar(*row))
    if broker.held:
        broker.cash += float(columns["close"][-1]) * broker.held * (1 - fee)
        broker.trades += 1
    return Result(broker.trades, broker.stops, broker.takes, broker.cash, time.process_time() - start)
