"""The pacer on a virtual clock: data time becomes loop time at the chosen speed; pause, resume and speed act in the middle."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from engine.core.inputs import Candle
from engine.feeds.base import CHUNK_INPUTS, FeedError, FeedInput, Pacer
from engine.feeds.replay import ReplayFeed
from engine.feeds.simulated import SimulatedFeed
from tests.feeds.candle_data import bars, write_csv
from tests.feeds.virtual_loop import run


def feed_of(tmp_path: Path, count: int, speed: float | None) -> ReplayFeed:
    paths = [write_csv(tmp_path / f"binance_{coin}USDT_1m.csv", bars(count)) for coin in ("BTC", "ETH")]
    return ReplayFeed.open(paths, Pacer(speed))


async def timed(feed: ReplayFeed) -> list[tuple[float, list[FeedInput]]]:
    loop = asyncio.get_running_loop()
    return [(loop.time(), batch) async for batch in feed.batches()]


def test_speed_sixty_is_a_minute_a_second(tmp_path: Path) -> None:
    played = run(timed(feed_of(tmp_path, 5, 60.0)))
    assert [round(at, 3) for at, _ in played] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert [len(batch) for _, batch in played] == [3] * 5  # two candles and their tick, together


def test_pacing_does_not_drift_with_a_slow_engine(tmp_path: Path) -> None:
    async def slow() -> list[float]:
        loop, at = asyncio.get_running_loop(), []
        async for _ in feed_of(tmp_path, 6, 60.0).batches():
            at.append(loop.time())
            await asyncio.sleep(0.4)
        return at

    assert [round(at, 3) for at in run(slow())] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_full_speed_takes_no_time_and_plays_the_same_inputs(tmp_path: Path) -> None:
    fast, slow = run(timed(feed_of(tmp_path, 900, None))), run(timed(feed_of(tmp_path, 900, 1e6)))
    assert {at for at, _ in fast} == {0.0} and all(len(batch) <= CHUNK_INPUTS * 2 for _, batch in fast)
    assert [item for _, batch in fast for item in batch] == [item for _, batch in slow for item in batch]


def test_pause_resume_and_speed(tmp_path: Path) -> None:
    feed = feed_of(tmp_path, 10, 60.0)

    async def work() -> list[float]:
        loop, at = asyncio.get_running_loop(), []

        async def operator() -> None:
            await asyncio.sleep(2.5)
            feed.pacer.pause()
            assert feed.pacer.state == "paused"
            await asyncio.sleep(100.0)
            feed.pacer.resume()
            assert feed.pacer.state == "running"
            await asyncio.sleep(1.5)
            feed.pacer.set_speed(600.0)
            assert feed.pacer.speed == 600.0
            await asyncio.sleep(0.25)
            feed.pacer.set_speed(None)

        helper = asyncio.create_task(operator())
        async for _ in feed.batches():
            at.append(round(loop.time(), 3))
        await helper
        return at

    at = run(work())
    assert at[:3] == [0.0, 1.0, 2.0]
    assert 102.5 < at[3] <= 103.5  # nothing while paused; then a whole step at most
    assert all(later - earlier <= 1.001 for earlier, later in pairwise(at[3:]))
    assert at[-1] == 104.25  # at full speed the rest comes at once
    assert feed.pacer.played == 20
    assert feed.pacer.state == "ended" and feed.pacer.progress == 1.0


def test_a_pause_holds_full_speed_at_the_next_batch(tmp_path: Path) -> None:
    feed = feed_of(tmp_path, 3000, None)

    async def work() -> tuple[int, float | None]:
        stream = feed.batches()
        first = await anext(stream)
        feed.pacer.pause()
        blocked = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(1_000.0)
        assert not blocked.done()
        progress = feed.pacer.progress
        feed.pacer.resume()
        await blocked
        return len(first), progress

    size, progress = run(work())
    assert size <= CHUNK_INPUTS * 2
    assert progress is not None and 0 < progress < 0.5


def test_progress_counts_candles(tmp_path: Path) -> None:
    feed = feed_of(tmp_path, 4, 60.0)

    async def work() -> list[tuple[float | None, int | None]]:
        return [(feed.pacer.progress, feed.pacer.ts) async for _ in feed.batches()]

    shares = run(work())
    assert [share for share, _ in shares] == [0.25, 0.5, 0.75, 1.0]
    assert [ts for _, ts in shares] == [feed.first_ts + i * 60_000_000 for i in range(4)]  # type: ignore[operator]


def test_an_endless_feed_has_no_progress() -> None:
    feed = SimulatedFeed(5)

    async def work() -> None:
        stream = feed.batches()
        await anext(stream)
        assert feed.pacer.progress is None and feed.pacer.state == "running"
        await stream.aclose()  # type: ignore[attr-defined]

    run(work())


@pytest.mark.parametrize("speed", [0.0, -1.0, float("inf"), float("nan")])
def test_impossible_speeds(speed: float) -> None:
    with pytest.raises(FeedError, match="above 0"):
        Pacer(speed)
    with pytest.raises(FeedError, match="above 0"):
        Pacer().set_speed(speed)


def test_other_tasks_run_at_full_speed(tmp_path: Path) -> None:
    """Commands and the kill lane share the loop with the replay."""
    feed = feed_of(tmp_path, 3000, None)

    async def work() -> tuple[int, int]:
        turns = 0

        async def beat() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(beat())
        batches = [batch async for batch in feed.batches()]
        task.cancel()
        assert sum(type(item) is Candle for batch in batches for item in batch) == 6000
        return turns, len(batches)

    turns, count = run(work())
    assert turns >= count - 1
