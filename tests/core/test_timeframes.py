"""Bars of a higher timeframe: when they close, what is in them, and which timeframes a stream cannot give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from engine.core.inputs import Candle
from engine.core.timeframes import HigherBars, TimeframeError, check_timeframe, higher_columns
from engine.core.types import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from engine.feeds.files import load_candle_file

OHLCV = Path(__file__).resolve().parents[3] / "shared" / "data" / "ohlcv"
MONDAY = 1_736_121_600_000_000  # 2025-01-06T00:00:00Z
Prices = tuple[float, float, float, float, float]


def candle(ts: int, prices: Prices = (1.0, 1.0, 1.0, 1.0, 1.0), base_us: int = MINUTE_US) -> Candle:
    names = ("open", "high", "low", "close", "volume")
    values = dict(zip(names, prices, strict=True))
    return Candle(ts=ts, exchange="x", symbol="s", timeframe_us=base_us, received_ts=ts + 7, **values)


def closes(name: str, minutes: list[int]) -> list[list[int]]:
    """For each one-minute bar, the ends (in minutes) of the bars that it closes."""
    higher = HigherBars(name)
    return [[bar.ts // MINUTE_US for bar in higher.add(candle(minute * MINUTE_US))] for minute in minutes]


def test_the_last_bar_of_a_period_closes_it() -> None:
    assert closes("3m", [1, 2, 3, 4, 5, 6]) == [[], [], [3], [], [], [6]]


def test_after_a_gap_the_first_bar_behind_the_boundary_closes_it() -> None:
    assert closes("3m", [1, 2, 4, 5, 6]) == [[], [], [3], [], [6]]
    assert closes("3m", [1, 2, 11]) == [[], [], [3]]  # the periods without bars give none


def test_a_bar_behind_a_gap_may_close_two() -> None:
    assert closes("3m", [1, 2, 6]) == [[], [], [3, 6]]


def test_a_period_entered_in_the_middle_gives_no_bar() -> None:
    assert closes("3m", [2, 3, 4, 5, 6]) == [[], [], [], [], [6]]
    assert closes("3m", [3, 4, 5, 6]) == [[], [], [], [6]]
    assert closes("3m", [2, 4, 5, 6]) == [[], [], [], [6]]
    assert closes("3m", [1, 2, 5, 6]) == [[], [], [3], [6]]  # later holes are gaps: the bar is made of what there is


def test_a_bar_is_made_of_all_that_ended_in_its_period() -> None:
    higher = HigherBars("3m")
    higher.add(candle(1 * MINUTE_US, (10.0, 12.0, 9.0, 11.0, 1.0)))
    higher.add(candle(2 * MINUTE_US, (11.0, 15.0, 10.0, 14.0, 2.0)))
    (bar,) = higher.add(candle(3 * MINUTE_US, (14.0, 14.5, 8.0, 9.0, 4.0)))
    assert bar == candle(3 * MINUTE_US, (10.0, 15.0, 8.0, 9.0, 7.0), 3 * MINUTE_US)
    (bar,) = higher.add(candle(6 * MINUTE_US, (1.0, 2.0, 0.5, 1.5, 3.0)))
    assert bar == candle(6 * MINUTE_US, (1.0, 2.0, 0.5, 1.5, 3.0), 3 * MINUTE_US)


def test_weeks_begin_on_monday_and_days_at_midnight() -> None:
    weeks, days = HigherBars("1w"), HigherBars("1d")
    ends: list[int] = []
    for hour in range(1, 24 * 15):
        bar = candle(MONDAY + hour * HOUR_US, base_us=HOUR_US)
        ends += [closed.ts for closed in weeks.add(bar)]
        assert len(days.add(bar)) == (hour % 24 == 0)
    assert ends == [MONDAY + 7 * DAY_US, MONDAY + 14 * DAY_US]
    ts = MONDAY + HOUR_US * np.arange(1, 24 * 15)
    ones = {field: np.ones(len(ts)) for field in ("open", "high", "low", "close", "volume")}
    closed, last = higher_columns("1w", ones | {"ts": ts}, HOUR_US)
    assert ts[np.flatnonzero(np.diff(last, prepend=-1))].tolist() == ends
    assert closed["volume"].tolist() == [7 * 24, 7 * 24, 23]


@pytest.mark.parametrize(
    ("name", "base_us", "says"),
    [
        ("5m", 15 * MINUTE_US, "timeframe 5m is shorter than the stream's bars of 15m: use one of 15m, 30m, 1h"),
        ("1h", 7 * MINUTE_US, "timeframe 1h is no multiple of the stream's bars of 420 s: use one of 1w"),
        ("1w", 3 * DAY_US, "timeframe 1w is no multiple of the stream's bars of 3d: use one of 3d"),
        ("1w", 11 * DAY_US, "timeframe 1w is shorter than the stream's bars of 950400 s: leave the timeframe out"),
        ("1h", 0, "bars of unknown length"),
        ("1h", -MINUTE_US, "bars of unknown length"),
    ],
)
def test_a_timeframe_that_does_not_fit_is_refused(name: str, base_us: int, says: str) -> None:
    with pytest.raises(TimeframeError) as caught:
        check_timeframe(name, base_us)
    assert says in str(caught.value)
    with pytest.raises(TimeframeError):
        HigherBars(name).add(candle(DAY_US, base_us=base_us))


def test_how_many_bars_make_one() -> None:
    assert check_timeframe("1h", MINUTE_US) == 60
    assert check_timeframe("1m", MINUTE_US) == 1
    assert check_timeframe("1m", SECOND_US) == 60


PRICE = st.sampled_from([0.1, 0.2, 0.7, 1.3, 3.0])


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["1m", "3m", "5m", "15m"]),
    st.integers(0, 40),
    st.lists(st.tuples(st.just(1) | st.integers(1, 20), PRICE, PRICE, PRICE, PRICE, PRICE), max_size=60),
)
def test_columns_are_the_stream_bit_for_bit(name: str, start: int, rows: list[tuple[int, float, ...]]) -> None:
    ts = start * MINUTE_US + np.cumsum([row[0] for row in rows], dtype=np.int64) * MINUTE_US
    fields = ("open", "high", "low", "close", "volume")
    bars = {field: np.array([row[at] for row in rows]) for at, field in enumerate(fields, start=1)} | {"ts": ts}
    closed, last = higher_columns(name, bars, MINUTE_US)
    stream, made = HigherBars(name), []
    for at, row in enumerate(rows):
        made += stream.add(candle(int(ts[at]), row[1:]))  # type: ignore[arg-type]
        assert last[at] == len(made) - 1
    seen = len(made)
    for field in fields:
        assert closed[field][:seen].tolist() == [getattr(bar, field) for bar in made]
    assert len(closed["close"]) - seen in (0, 1)  # the bar in the making is there, and nobody sees it


@pytest.mark.parametrize("recorded", ["binance_BTCUSDT_5m.parquet", "binance_BTCUSDT_1m_2025-01.parquet"])
def test_hours_made_of_minutes_are_the_hours_of_the_exchange(recorded: str) -> None:
    """Two records of one market, made apart from each other."""
    if not (OHLCV / recorded).exists() or not (OHLCV / "binance_BTCUSDT_1h.parquet").exists():
        pytest.skip("no recorded candles beside the repository")
    (minutes,), (hours,) = (load_candle_file(OHLCV / name) for name in (recorded, "binance_BTCUSDT_1h.parquet"))
    fields = ("open", "high", "low", "close", "volume")
    close_ts = minutes.time_us + minutes.timeframe_us
    bars = {field: getattr(minutes, field) for field in fields} | {"ts": close_ts}
    made, last = higher_columns("1h", bars, minutes.timeframe_us)
    ends = close_ts[
        np.flatnonzero(np.diff(last, prepend=-1))
    ]  # these records have no gap: an hour is seen when it ends
    assert (ends % HOUR_US == 0).all() and len(ends) > 800
    _, ours, theirs = np.intersect1d(ends, hours.time_us + HOUR_US, return_indices=True)
    assert len(ours) == len(ends)
    for field in fields[:4]:
        assert np.array_equal(made[field][ours], getattr(hours, field)[theirs]), field
    assert made["volume"][ours] == pytest.approx(hours.volume[theirs], rel=1e-9)
