"""Replay: merged by close time, ticks after each moment, resumable at any moment, and the same name for the same data."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from engine.core.inputs import Candle, Tick
from engine.core.types import HOUR_US, MINUTE_US
from engine.feeds.base import CHUNK_INPUTS, FeedError, FeedInput, Gap, slug_of
from engine.feeds.replay import ReplayFeed
from tests.feeds.candle_data import MINUTE_MS, START_MS, Row, bars, write_csv

START_US = START_MS * 1000


def flat(feed: ReplayFeed, start_after: int | None = None) -> list[FeedInput]:
    return [item for chunk in feed.chunks(start_after) for item in chunk]


def check_order(inputs: list[FeedInput]) -> None:
    """The engine's contract, checked independently of how the feed makes it."""
    candles = [item for item in inputs if isinstance(item, Candle)]
    keys = [(candle.ts, candle.exchange, candle.symbol) for candle in candles]
    assert all(a < b for a, b in pairwise(keys))
    ticks = [item.ts for item in inputs if isinstance(item, Tick)]
    assert ticks == sorted({candle.ts for candle in candles})
    for before, after in pairwise(inputs):
        if isinstance(before, Tick):
            assert after.ts > before.ts and isinstance(after, Candle)
        elif after.ts != before.ts:
            raise AssertionError("a close time without its tick")
    assert not inputs or isinstance(inputs[-1], Tick)


def three(tmp_path: Path) -> ReplayFeed:
    """Three series on two exchanges; kraken's BTC/USD lacks its second minute."""
    paths = [
        write_csv(tmp_path / "kraken_ETHUSD_1m.csv", bars(3)),
        write_csv(tmp_path / "kraken_BTCUSD_1m.csv", bars(4)[:1] + bars(4)[2:]),
        write_csv(tmp_path / "binance_BTCUSDT_1m.csv", bars(2)),
    ]
    return ReplayFeed.open(paths)


def test_symbols_are_merged_by_close_time_then_exchange_then_symbol(tmp_path: Path) -> None:
    feed = three(tmp_path)
    inputs = flat(feed)
    shown = [
        f"{item.exchange}:{item.symbol}" if isinstance(item, Candle) else f"tick {(item.ts - START_US) // MINUTE_US}"
        for item in inputs
    ]
    assert shown == [
        "binance:BTC/USDT",
        "kraken:BTC/USD",
        "kraken:ETH/USD",
        "tick 1",
        "binance:BTC/USDT",
        "kraken:ETH/USD",
        "tick 2",
        "kraken:BTC/USD",
        "kraken:ETH/USD",
        "tick 3",
        "kraken:BTC/USD",
        "tick 4",
    ]
    check_order(inputs)
    assert (feed.total, feed.first_ts, feed.last_ts) == (8, START_US + MINUTE_US, START_US + 4 * MINUTE_US)
    assert feed.gaps == (Gap(START_US + MINUTE_US, START_US + 2 * MINUTE_US, 1, "kraken", "BTC/USD"),)


def test_a_candle_is_dated_at_its_close_and_known_then(tmp_path: Path) -> None:
    candle = flat(ReplayFeed.open([write_csv(tmp_path / "binance_BTCUSDT_1m.csv", bars(2))]))[0]
    assert candle == Candle(
        ts=START_US + MINUTE_US,
        exchange="binance",
        symbol="BTC/USDT",
        timeframe_us=MINUTE_US,
        open=100.0,
        high=102.0,
        low=98.0,
        close=101.0,
        volume=5.0,
        received_ts=START_US + MINUTE_US,
    )
    assert isinstance(candle, Candle) and type(candle.open) is float and type(candle.ts) is int


def test_a_longer_bar_comes_only_after_its_close(tmp_path: Path) -> None:
    hourly = write_csv(tmp_path / "binance_ETHUSDT_1h.csv", bars(2, step_ms=3_600_000))
    minutes = write_csv(tmp_path / "binance_BTCUSDT_1m.csv", bars(120))
    feed = ReplayFeed.open([hourly, minutes])
    inputs = flat(feed)
    check_order(inputs)
    place = next(i for i, item in enumerate(inputs) if isinstance(item, Candle) and item.symbol == "ETH/USDT")
    assert inputs[place].ts == START_US + HOUR_US and inputs[place - 1].ts == START_US + HOUR_US
    assert feed.timeframe_us == MINUTE_US


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_order_holds_for_any_holes_and_any_resume(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("replay")
    paths = []
    for name in ("a_XUSD", "a_YUSD", "b_XUSD"):
        kept = data.draw(st.sets(st.integers(0, 30), min_size=3))
        rows: list[Row] = [row for i, row in enumerate(bars(33)) if i in kept or i > 30]
        paths.append(write_csv(folder / f"{name}_1m.csv", rows))
    feed = ReplayFeed.open(data.draw(st.permutations(paths)))
    inputs = flat(feed)
    check_order(inputs)
    assert feed.total == sum(isinstance(item, Candle) for item in inputs)
    after = data.draw(st.integers(START_US - MINUTE_US, START_US + 40 * MINUTE_US))
    assert flat(feed, after) == [item for item in inputs if item.ts > after]


def test_resuming_at_a_close_time_begins_after_it(tmp_path: Path) -> None:
    feed = three(tmp_path)
    inputs = flat(feed)
    for ts in {item.ts for item in inputs}:
        assert flat(feed, ts) == [item for item in inputs if item.ts > ts]


def test_what_was_played_can_be_asked_for_again_by_symbol(tmp_path: Path) -> None:
    feed = three(tmp_path)
    candles = [item for item in flat(feed) if isinstance(item, Candle)]
    for exchange, symbol in {(c.exchange, c.symbol) for c in candles}:
        own = [c for c in candles if (c.exchange, c.symbol) == (exchange, symbol)]
        for first in range(len(own)):
            for last in range(first, len(own)):
                assert feed.earlier(exchange, symbol, own[first].ts, own[last].ts) == own[first + 1 : last + 1]
        assert feed.earlier(exchange, symbol, 0, own[-1].ts) == own
    assert feed.earlier("nowhere", "X/Y", 0, candles[-1].ts) == []


def test_chunks_are_bounded_and_lose_nothing_at_their_borders(tmp_path: Path) -> None:
    paths = [write_csv(tmp_path / f"binance_{name}USDT_1m.csv", bars(3000)) for name in ("BTC", "ETH", "SOL")]
    for count in (1, 3):
        feed = ReplayFeed.open(paths[:count])
        chunks = list(feed.chunks())
        assert len(chunks) > 3 and max(map(len, chunks)) <= CHUNK_INPUTS * 4 // 3 + 1
        check_order([item for chunk in chunks for item in chunk])
        assert list(feed.chunks()) == chunks


def test_files_of_one_series_join_and_the_hole_between_is_a_gap(tmp_path: Path) -> None:
    later = write_csv(tmp_path / "binance_BTCUSDT_1m_2.csv", bars(3, START_MS + 5 * MINUTE_MS))
    first = write_csv(tmp_path / "binance_BTCUSDT_1m_1.csv", bars(3))
    feed = ReplayFeed.open([later, first])
    check_order(flat(feed))
    assert feed.total == 6
    assert feed.gaps == (Gap(START_US + 3 * MINUTE_US, START_US + 5 * MINUTE_US, 2, "binance", "BTC/USDT"),)


def test_time_never_goes_back(tmp_path: Path) -> None:
    first = write_csv(tmp_path / "binance_BTCUSDT_1m_1.csv", bars(9))
    overlap = write_csv(tmp_path / "binance_BTCUSDT_1m_2.csv", bars(9, START_MS + 8 * MINUTE_MS))
    with pytest.raises(FeedError, match=r"_2.csv: time goes back: binance BTC/USDT starts 2025-01-01T00:08:00Z"):
        ReplayFeed.open([overlap, first])
    with pytest.raises(FeedError, match="time goes back"):
        ReplayFeed.open([first, first])
    shifted = write_csv(tmp_path / "binance_BTCUSDT_1m_3.csv", bars(9, START_MS + 20 * MINUTE_MS + 30_000))
    with pytest.raises(FeedError, match="off the 1m grid"):
        ReplayFeed.open([first, shifted])


def test_two_timeframes_of_one_symbol_are_refused(tmp_path: Path) -> None:
    minute = write_csv(tmp_path / "binance_BTCUSDT_1m.csv", bars(9))
    hour = write_csv(tmp_path / "binance_BTCUSDT_1h.csv", bars(9, step_ms=3_600_000))
    with pytest.raises(FeedError, match=r"binance BTC/USDT: two timeframes, 1m \(.*\) and 1h \(.*\) \(replay one"):
        ReplayFeed.open([hour, minute])
    with pytest.raises(FeedError, match="no files"):
        ReplayFeed.open([])


def test_identity_belongs_to_the_data_not_to_the_order_of_files(tmp_path: Path) -> None:
    a = write_csv(tmp_path / "binance_BTCUSDT_1m.csv", bars(9))
    b = write_csv(tmp_path / "binance_ETHUSDT_1m.csv", bars(9))
    feed = ReplayFeed.open([a, b])
    assert feed.identity == ("replay:binance:BTC/USDT:1m@2025-01-01T00:00:00Z,binance:ETH/USDT:1m@2025-01-01T00:00:00Z")
    assert ReplayFeed.open([b, a]).identity == feed.identity
    assert ReplayFeed.open([a]).identity != feed.identity
    assert re.fullmatch(r"[a-z0-9_]{1,40}", feed.slug)
    assert ReplayFeed.open([a]).slug != feed.slug


@given(st.text(max_size=80), st.text(max_size=80))
def test_slugs_are_safe_and_tell_identities_apart(one: str, other: str) -> None:
    assert re.fullmatch(r"[a-z0-9_]{1,40}", slug_of(one))
    if one != other:
        assert slug_of(one) != slug_of(other)


async def test_history_is_empty_for_a_recording(tmp_path: Path) -> None:
    feed = ReplayFeed.open([write_csv(tmp_path / "binance_BTCUSDT_1m.csv", bars(9))])
    assert await feed.history(100) == []
    assert [instrument.source for instrument in feed.instruments] == ["bundled"]
    await feed.close()
