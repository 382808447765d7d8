"""Warm-up from what was before the bars in memory: longer bars from storage say the same as all the minutes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest

from engine.core.config import config_sha256, parse_config
from engine.core.inputs import Candle
from engine.core.market import Market
from engine.core.setup import Setup
from engine.core.strategy import ENTER_LONG, Strategy
from engine.core.timeframes import period_start
from engine.core.types import DAY_US, HOUR_US, MINUTE_US, Verb
from engine.feeds.simulated import SimulatedFeed
from engine.past import HOLE_BARS, Past, stored
from engine.publish import warmth
from tests.core.worlds import BTC, LEDGER_ID, START, World

KEY = (BTC.exchange, BTC.symbol)
#: 2025-01-01T07:13Z, in the middle of every period.
NOW = 1_735_715_580_000_000
DAYS = 12
RULES = {
    "schema": 1,
    "indicators": {
        "day": {"fn": "SMA", "params": {"timeperiod": 5}, "timeframe": "1d"},
        "hour": {"fn": "SMA", "params": {"timeperiod": 20}, "timeframe": "1h"},
        "near": {"fn": "SMA", "params": {"timeperiod": 30}},
    },
    "entry_long": {"op": "all", "of": [{"op": "gt", "left": "near", "right": "hour"},
                                       {"op": "gt", "left": "near", "right": "day"}]},
}  # fmt: skip


def setup_of(strategy: dict[str, Any], factories: Any = None) -> Setup:
    config = parse_config({"bots": [{"name": "slow", "strategy": strategy}]})
    return Setup(config, LEDGER_ID, 1, factories or {})


def minutes(until: int = NOW) -> list[Candle]:
    """Twelve days until then; whole prices and volumes, so that no sum depends on its order."""
    rng, price, found = random.Random(5), 10_000, []
    for ts in range(until - DAYS * DAY_US + MINUTE_US, until + MINUTE_US, MINUTE_US):
        path = [price := max(1, price + rng.randint(-9, 9)) for _ in range(4)]
        found.append(made(ts, MINUTE_US, path[0], max(path), min(path), path[3], rng.randint(1, 9)))
    return found


def made(ts: int, size: int, o: float, h: float, low: float, c: float, volume: float) -> Candle:
    return Candle(
        ts=ts, exchange=KEY[0], symbol=KEY[1], timeframe_us=size, open=o, high=h, low=low, close=c, volume=volume, received_ts=ts
    )  # fmt: skip


def rolled(bars: list[Candle], size: int) -> Iterator[Candle]:
    """What storage makes of them: whole periods alone."""
    for start, group in groupby(bars, key=lambda bar: period_start(size, bar.open_ts)):
        each = list(group)
        if len(each) == size // MINUTE_US:
            yield made(
                start + size, size, each[0].open, max(b.high for b in each), min(b.low for b in each), each[-1].close,
                sum(b.volume for b in each),
            )  # fmt: skip


class Storage:
    """Bars by length, as the candle tables have them."""

    def __init__(self, bars: list[Candle], minutes_since: int = 0) -> None:
        self.bars = {size: list(rolled(bars, size)) for size in (HOUR_US, DAY_US)}
        self.bars[MINUTE_US] = [bar for bar in bars if bar.open_ts >= minutes_since]
        self.asked: list[int] = []

    async def fetch(self, exchange: str, symbol: str, size: int, since: int, until: int) -> list[Candle]:
        assert (exchange, symbol) == KEY
        self.asked.append(size)
        return [bar for bar in self.bars[size] if bar.open_ts >= since and bar.ts <= until]


def market_of(tail: list[Candle]) -> Market:
    market = Market([BTC], 200)
    for bar in tail:
        market.observe(bar)
    return market


def said(market: Market) -> list[str]:
    (runner,) = market.series[KEY].runners
    return [repr(runner.strategy.rules.indicators.value(name)) for name in ("day", "hour", "near")]  # type: ignore[attr-defined]


async def test_longer_bars_from_storage_warm_as_all_the_minutes_do() -> None:
    """Storage has dropped the minutes of all but the last day, and memory holds 200 of them."""
    bars, setup = minutes(), setup_of(RULES)
    full = market_of([])
    full.arm(setup)
    for bar in bars:
        full.observe(bar)
    market, storage = market_of(bars[-200:]), Storage(bars, NOW - DAY_US)
    assert "are lacking" in market.bars_lacking(setup)
    await Past(storage.fetch, MINUTE_US)(market, setup)
    past = market.series[KEY].past
    assert [size for size, _ in groupby(bar.timeframe_us for bar in past)] == [DAY_US, HOUR_US, MINUTE_US]
    assert all(before.ts == after.open_ts for before, after in pairwise(past))
    assert past[-1].ts == bars[-200].open_ts and sorted(storage.asked) == [MINUTE_US, HOUR_US, DAY_US]
    assert market.bars_lacking(setup) == ""
    market.arm(setup)
    market.forget_past()
    assert said(market) == said(full) and "nan" not in said(market)
    assert market.series[KEY].runners[0].warm
    rng = random.Random(6)
    for n in range(1, 1_500):  # over the end of hours and of the day
        bar = made(NOW + n * MINUTE_US, MINUTE_US, *(10_000 + rng.randint(-9, 9) for _ in range(4)), 1)
        market.observe(bar)
        full.observe(bar)
        assert said(market) == said(full)


async def test_without_enough_in_storage_it_says_how_many_are_missing() -> None:
    bars, setup = minutes()[-4 * 1_440 :], setup_of(RULES)
    market = market_of(bars[-200:])
    await Past(Storage(bars).fetch, MINUTE_US)(market, setup)
    assert "needs 8639 bars of BTC/USDT to warm up" in (word := market.bars_lacking(setup)) and "are lacking" in word
    market.arm(setup)
    (runner,) = market.series[KEY].runners
    assert not runner.warm
    missing = runner.warmup_bars - runner.bars
    assert warmth(market, runner.bot.id) == f"{runner.bars:,} of 8,639 bars to warm up, {missing:,} missing"


async def test_a_hole_ends_the_past() -> None:
    bars = [made(n * MINUTE_US, MINUTE_US, 1, 1, 1, 1, 1) for n in range(1, 101)]
    reach, end = {MINUTE_US: 100 * MINUTE_US}, 100 * MINUTE_US
    for hole, left in ((HOLE_BARS, 100 - HOLE_BARS), (HOLE_BARS + 1, 50)):
        storage = Storage([])
        storage.bars[MINUTE_US] = bars[: 50 - hole] + bars[50:]
        assert len(await stored(storage.fetch, KEY, reach, end, end)) == left
    storage.bars[MINUTE_US] = bars[: -HOLE_BARS - 1]
    assert await stored(storage.fetch, KEY, reach, end, end) == []


class Deep(Strategy):
    warmup_bars = 3_000

    def __init__(self) -> None:
        self.seen: list[int] = []

    def on_bar(self, candle: Candle) -> int:
        self.seen.append(candle.ts)
        return ENTER_LONG


async def test_python_strategies_see_bars_of_the_stream_alone() -> None:
    bars = minutes()
    setup = setup_of({"python": "deep"}, {"deep": lambda params: Deep()})
    market, storage = market_of(bars[-200:]), Storage(bars)
    await Past(storage.fetch, MINUTE_US)(market, setup)
    assert market.bars_lacking(setup) == "" and storage.asked == [MINUTE_US]
    market.arm(setup)
    (runner,) = market.series[KEY].runners
    assert runner.strategy.seen == [bar.ts for bar in bars[-3_000:]] and runner.warm  # type: ignore[attr-defined]


def test_longer_bars_do_not_warm_a_python_strategy() -> None:
    setup = setup_of({"python": "deep"}, {"deep": lambda params: Deep()})
    market = market_of(minutes()[-10:])
    market.series[KEY].past = [made(NOW - HOUR_US, HOUR_US, 1, 1, 1, 1, 1)]
    market.arm(setup)
    assert market.series[KEY].runners[0].bars == 10


async def test_an_activation_and_the_start_of_a_bot_look_back(tmp_path: Path) -> None:
    world = await World(tmp_path).open()
    storage = Storage(minutes(START), START - DAY_US)
    world.engine.past = Past(storage.fetch, MINUTE_US)
    await world.candle(99, 102, 98, 101)
    document = {"bots": [{"name": "slow", "strategy": RULES}]}

    async def load(number: int) -> tuple[object, str]:
        return document, config_sha256(parse_config(document))

    world.engine.load_config = load
    (done, text), _ = await world.command(Verb.ACTIVATE_CONFIG, "test", version=2)
    assert done, text
    series = world.engine.state.market.series[KEY]
    for _ in range(2):
        assert series.runners[0].warm and series.past == []
        await world.candle(101, 102, 100, 101)
        assert [book.status for book in world.ledger.bots.values()].count("RUNNING") == 1
        for verb in (Verb.STOP_BOT, Verb.START_BOT):
            (done, text), _ = await world.command(verb, "test", target="slow")
            assert done, text
    storage.bars = {size: [] for size in storage.bars}
    (done, text), _ = await world.command(Verb.ACTIVATE_CONFIG, "test", version=3)
    assert not done and "needs 8639 bars" in text and series.runners[0].warm


async def test_what_memory_holds_is_not_asked_for() -> None:
    near = RULES | {
        "indicators": {"near": RULES["indicators"]["near"]},
        "entry_long": {"op": "gt", "left": "near", "right": 1},
    }  # type: ignore[index]
    market, storage = market_of(minutes()[-200:]), Storage([])
    await Past(storage.fetch, MINUTE_US)(market, setup_of(near))
    assert storage.asked == [] and market.series[KEY].past == []


async def test_a_recording_is_asked_itself() -> None:
    """The simulator makes its past again, whichever part of it has been played."""
    feed = SimulatedFeed(3, 2)
    instrument = feed.instruments[0]
    played = [c for chunk in feed.chunks() for c in chunk if isinstance(c, Candle) and c.symbol == instrument.symbol]
    market = Market([instrument], 300)
    for candle in played[:2_000]:
        market.observe(candle)
    setup = setup_of(RULES)
    await Past(feed, feed.timeframe_us)(market, setup)
    series = market.series[(instrument.exchange, instrument.symbol)]
    assert series.past[-1].ts == series.tail[0].open_ts and market.bars_lacking(setup) == ""
    assert all(before.ts == after.open_ts for before, after in pairwise(series.past))
    assert series.past[-500:] == played[1_200:1_700]
    empty = Market([instrument], 300)
    await Past(feed, feed.timeframe_us)(empty, setup)  # nothing is known of where it is
    assert empty.series[(instrument.exchange, instrument.symbol)].past == []


@pytest.mark.parametrize(("size", "ts", "start"), [(HOUR_US, HOUR_US, HOUR_US), (HOUR_US, HOUR_US - 1, 0),
                                                   (7 * DAY_US, NOW, 1_735_516_800_000_000)])  # fmt: skip
def test_periods_begin_where_calendars_say(size: int, ts: int, start: int) -> None:
    assert period_start(size, ts) == start


def test_a_past_is_forgotten() -> None:
    market = market_of([])
    market.series[KEY].past = minutes()[:3]
    assert market.series[KEY].timeframe_us == MINUTE_US and market.series[KEY].past_bars == 3
    market.forget_past()
    assert market.series[KEY].past_bars == market.series[KEY].timeframe_us == 0
