"""The simulated market: the same for a seed, sane for any seed, and with the features of a real one."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from engine.core.inputs import Candle, Tick
from engine.core.types import DAY_US, MINUTE_US, money
from engine.feeds.base import CHUNK_INPUTS, FeedError, FeedInput
from engine.feeds.simulated import BARS, COINS, PAST_DAYS, SimulatedFeed

SYMBOLS = ["BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT"]


def flat(feed: SimulatedFeed, start_after: int | None = None) -> list[FeedInput]:
    return [item for chunk in feed.chunks(start_after) for item in chunk]


def candles(feed: SimulatedFeed) -> list[Candle]:
    return [item for item in flat(feed) if isinstance(item, Candle)]


@settings(max_examples=12, deadline=None)
@given(seed=st.integers())
def test_any_seed_gives_a_sane_market(seed: int) -> None:
    feed = SimulatedFeed(seed, days=1)
    inputs = flat(feed)
    assert feed.total == BARS * 4 == sum(isinstance(item, Candle) for item in inputs)
    step = {instrument.symbol: instrument for instrument in feed.instruments}
    previous: dict[str, Candle] = {}
    for place in range(0, len(inputs), 5):
        minute, tick = inputs[place : place + 4], inputs[place + 4]
        assert isinstance(tick, Tick) and {item.ts for item in minute} == {tick.ts}
        for symbol, candle in zip(SYMBOLS, minute, strict=True):
            assert isinstance(candle, Candle) and candle.symbol == symbol and candle.exchange == "sim"
            assert candle.received_ts == candle.ts and candle.timeframe_us == MINUTE_US
            assert 0 < candle.low <= min(candle.open, candle.close)
            assert max(candle.open, candle.close) <= candle.high < candle.low * 1.2
            assert candle.volume > 0
            before = previous.get(symbol)
            assert before is None or (candle.open == before.close and candle.ts == before.ts + MINUTE_US)
            for price in (candle.open, candle.high, candle.low, candle.close):
                assert money(price) % step[symbol].tick_size == 0
            assert money(candle.volume) % step[symbol].lot_size == 0
            previous[symbol] = candle
    assert inputs[0].ts == feed.first_ts and inputs[-1].ts == feed.last_ts


def test_a_seed_is_a_market_and_another_seed_another() -> None:
    assert flat(SimulatedFeed(7, days=1)) == flat(SimulatedFeed(7, days=1))
    a, b = SimulatedFeed(7, days=1), SimulatedFeed(8, days=1)
    assert [c.close for c in candles(a)] != [c.close for c in candles(b)]
    assert (a.identity, a.slug) == ("simulate:7", "simulate_7")
    assert a.first_ts != b.first_ts
    assert SimulatedFeed(-7).slug != SimulatedFeed(7).slug


def test_the_first_bar_of_seed_42_is_for_ever() -> None:
    """A ledger names its seed: changing the generator makes old ledgers unreplayable, so this must fail when it does."""
    first = next(SimulatedFeed(42).chunks())[:4]
    assert [(item.ts, item.open, item.close) for item in first if isinstance(item, Candle)] == GOLDEN


GOLDEN = [
    (1712793660000000, 50318.81, 50353.22),
    (1712793660000000, 3163.93, 3167.28),
    (1712793660000000, 108.14, 108.34),
    (1712793660000000, 0.4631, 0.4633),
]


def test_the_length_does_not_change_the_past() -> None:
    short = flat(SimulatedFeed(3, days=1))
    assert flat(SimulatedFeed(3, days=2))[: len(short)] == short
    endless = SimulatedFeed(3)
    assert (endless.total, endless.last_ts) == (None, None)
    assert next(endless.chunks()) == next(SimulatedFeed(3, days=2).chunks())


@pytest.mark.parametrize("after_minutes", [-5, 0, 1, 777, BARS, BARS + 3, 3 * BARS])
def test_resuming_gives_the_same_future(after_minutes: int) -> None:
    feed = SimulatedFeed(11, days=3)
    assert feed.first_ts is not None
    after = feed.first_ts - MINUTE_US + after_minutes * MINUTE_US
    assert flat(feed, after) == [item for item in flat(feed) if item.ts > after]


def test_chunks_are_bounded() -> None:
    sizes = [len(chunk) for chunk in islice(SimulatedFeed(1).chunks(), 30)]
    assert all(0 < size <= CHUNK_INPUTS for size in sizes) and min(sizes) > CHUNK_INPUTS // 2


async def test_its_own_past_leads_up_to_its_first_bar() -> None:
    feed = SimulatedFeed(9, days=1)
    past = await feed.history(300)
    assert len(past) == 300 * 4
    keys = [(candle.ts, candle.symbol) for candle in past]
    assert keys == sorted(keys)
    assert past[-1].ts + MINUTE_US == feed.first_ts
    last = {candle.symbol: candle.close for candle in past[-4:]}
    assert last == {candle.symbol: candle.open for candle in candles(feed)[:4]}
    assert feed.past(0) == [] and feed.past(-3) == []
    assert [candle for candle in past if candle.ts > past[-1].ts - 10 * MINUTE_US] == feed.past(10)


def test_the_past_ends_where_the_market_began() -> None:
    feed = SimulatedFeed(9)
    past = feed.past(10**9)
    assert len(past) == PAST_DAYS * BARS * 4
    assert all(b.ts in (a.ts, a.ts + MINUTE_US) for a, b in pairwise(past))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_looks_like_a_market(seed: int) -> None:
    """Cont (2001): uncorrelated returns, fat tails, clustered volatility, volume with volatility; and coins move together."""
    feed = SimulatedFeed(seed, days=12)
    by_symbol = {symbol: [c for c in candles(feed) if c.symbol == symbol] for symbol in SYMBOLS}
    returns = {}
    for symbol, series in by_symbol.items():
        close = np.array([c.close for c in series])
        r = np.diff(np.log(close))
        returns[symbol] = r
        size = np.abs(r) - np.abs(r).mean()
        assert abs(np.corrcoef(r[1:], r[:-1])[0, 1]) < 0.1
        assert ((r - r.mean()) ** 4).mean() / r.var() ** 2 > 5
        assert min((size[lag:] * size[:-lag]).mean() / size.var() for lag in (1, 10, 30)) > 0.03
        assert np.corrcoef(np.abs(r), [c.volume for c in series[1:]])[0, 1] > 0.2
        assert 0.0004 < r.std() < 0.003
    table = np.corrcoef(list(returns.values()))
    assert table[np.triu_indices(4, 1)].min() > 0.35


def test_prices_stay_plausible_for_years() -> None:
    """Three years' daily closes stay within a factor of five of where the coin began."""
    from engine.feeds.simulated import _made

    feed, levels = SimulatedFeed(4), [0] * len(COINS)
    for day in range(3 * 365):
        made = _made(feed.seed, feed.genesis_day + day, levels)
        levels = [level + int(one.path[-1]) for level, one in zip(levels, made, strict=True)]
        assert max(abs(level) for level in levels) * 1e-9 < np.log(5)


def test_no_days_is_refused() -> None:
    with pytest.raises(FeedError, match="0 days"):
        SimulatedFeed(1, days=0)


def test_it_starts_at_midnight_of_data_time() -> None:
    feed = SimulatedFeed(123)
    assert feed.first_ts is not None and (feed.first_ts - MINUTE_US) % DAY_US == 0
