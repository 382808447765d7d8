"""Indicators: streams equal the batch functions bit for bit; warm-up and unknown bars are what decisions.md 12 says."""

from __future__ import annotations

import tracemalloc
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import talib
import talib.abstract
from numpy.typing import NDArray

from engine.columns import series_columns
from engine.core import indicators as ta
from engine.core.indicators import EXCLUDED, PRICES, IndicatorSet, RollingVwap
from engine.core.inputs import Candle
from engine.core.rules import Indicator
from engine.core.timeframes import TimeframeError
from engine.core.types import HOUR_US, MINUTE_US
from engine.feeds.files import load_candle_file

Bars = dict[str, NDArray[np.float64]]
NAN = float("nan")
REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "ohlcv" / "binance_BTCUSDT_1m_2025-01.parquet"


def walk_bars(count: int, seed: int) -> Bars:
    """A random walk; with an odd seed also flat stretches without volume, where divisions by zero hide."""
    rng = np.random.default_rng(seed)
    close = 30_000 * np.exp(np.cumsum(rng.normal(0, 0.004, count)))
    open_ = np.concatenate(([30_000.0], close[:-1]))
    high = np.maximum(open_, close) * (1 + np.abs(rng.normal(0, 0.001, count)))
    low = np.minimum(open_, close) * (1 - np.abs(rng.normal(0, 0.001, count)))
    volume = np.abs(rng.normal(10, 3, count))
    bars = {"open": open_, "high": high, "low": low, "close": close, "volume": volume}
    if seed % 2:
        for start in range(count // 3, count, count // 3):
            for field in PRICES:
                bars[field][start : start + 40] = 0.0 if field == "volume" else close[start]
    return bars


def candle(bars: Bars, row: int) -> Candle:
    values = {field: float(bars[field][row]) for field in PRICES}
    return Candle(ts=row, exchange="x", symbol="BTC/USDT", timeframe_us=60_000_000, received_ts=row, **values)


def streamed(declared: dict[str, Indicator], bars: Bars) -> Bars:
    live = IndicatorSet(declared)
    rows = []
    for row in range(len(bars["close"])):
        live.update(candle(bars, row))
        rows.append([live.value(name) for name in live.slots])
    return {name: np.array(rows)[:, column] for column, name in enumerate(live.slots)}


def parameter_sets(fn: str) -> list[dict[str, int | float]]:
    """Defaults, shorter and longer periods, other factors, every average: those that TA-Lib takes."""
    defaults = ta.function(fn).parameters
    periods = {key: int(value) for key, value in defaults.items() if "period" in key}
    averages = [key for key in defaults if key.endswith("matype")]
    factors = {key: round(value * 0.7, 4) for key, value in defaults.items() if isinstance(value, float)}
    sets: list[dict[str, int | float]] = [{}, factors]
    sets += [{key: max(2, value + by) for key, value in periods.items()} for by in (-4, 3, 31)]
    sets += [dict.fromkeys(averages, average) for average in range(14) if averages]
    distinct = [each for at, each in enumerate(sets) if each not in sets[:at]]
    return [each for each in distinct if ta.function(fn).required <= each.keys() and ta.lookback(fn, each) >= 0]


def assert_stream_is_batch(fn: str, params: dict[str, int | float], bars: Bars) -> None:
    """Bit for bit: the stream, our columns, and TA-Lib's own batch function called directly."""
    declared = {"x": Indicator(fn=fn, params=params)}
    live, columns = streamed(declared, bars), series_columns(declared, bars)
    names, first = ta.output_names("x", fn), ta.lookback(fn, params)
    for name in names:
        assert np.array_equal(live[name], columns[name], equal_nan=True), (name, params)
        assert np.isnan(live[name][:first]).all(), (name, params)
    if fn in ta.OWN:
        return
    raw = getattr(talib, fn)(*[bars[field] for field in ta.function(fn).inputs], **ta.arguments(fn, params))
    for name, batch in zip(names, raw if isinstance(raw, tuple) else (raw,), strict=True):
        assert np.array_equal(live[name][first:], batch[first:].astype(float), equal_nan=True), (name, params)


@pytest.mark.parametrize("fn", sorted(ta.offered()))
def test_stream_is_bit_equal_to_batch(fn: str) -> None:
    sets = parameter_sets(fn)
    assert sets
    for params in sets:
        for seed in (2, 3):
            assert_stream_is_batch(fn, params, walk_bars(400, seed))


@cache
def real_bars() -> Bars:
    """A day and a half of recorded minutes, from the middle of the month."""
    (file,) = load_candle_file(REAL)
    rows = slice(20_000, 22_000)
    columns = (file.open, file.high, file.low, file.close, file.volume)
    return {field: np.asarray(column[rows], np.float64) for field, column in zip(PRICES, columns, strict=True)}


@pytest.mark.skipif(not REAL.exists(), reason="no recorded candles beside the repository")
@pytest.mark.parametrize("fn", sorted(ta.offered()))
def test_stream_is_bit_equal_to_batch_on_recorded_candles(fn: str) -> None:
    assert_stream_is_batch(fn, parameter_sets(fn)[0], real_bars())


def last_values(fn: str, params: dict[str, int | float], bars: Bars, rows: slice) -> list[float]:
    part = {field: column[rows] for field, column in bars.items()}
    series = series_columns({"x": Indicator(fn=fn, params=params)}, part)
    return [float(series[name][-1]) for name in ta.output_names("x", fn)]


@pytest.mark.parametrize("fn", sorted(ta.offered()))
def test_a_window_is_finite_unless_we_call_it_recursive(fn: str) -> None:
    """A finite function is the same from its lookback alone; a recursive one is close after its warm-up."""
    bars, params = walk_bars(4_000, 4), parameter_sets(fn)[0]
    need = ta.warmup_bars(fn, params, 20)
    assert ta.function(fn).recursive == (need > ta.lookback(fn, params) + 1)
    for end in range(3_000, 4_000, 37):
        full = last_values(fn, params, bars, slice(0, end))
        short = last_values(fn, params, bars, slice(end - need, end))
        scale = max(abs(value) for value in full) + 1e-3
        assert short == pytest.approx(full, abs=1e-5 * scale, rel=1e-5, nan_ok=True), end


@pytest.mark.parametrize("matype", range(14))
def test_an_average_is_recursive_where_we_say_so(matype: int) -> None:
    params: dict[str, int | float] = {"timeperiod": 20, "matype": matype}
    bars, need = walk_bars(4_000, 4), ta.warmup_bars("MA", params, 20)
    if ta.lookback("MA", params) < 0:
        pytest.skip("not an average that TA-Lib has")
    for end in range(3_000, 4_000, 97):
        (full,), (short,) = (last_values("MA", params, bars, slice(start, end)) for start in (0, end - need))
        assert short == pytest.approx(full, rel=1e-5), end


def test_exclusions_have_cause() -> None:
    """Each is refused for what it does: other values for another start of the history, or an overflow, or other inputs."""
    bars = walk_bars(900, 6)
    for fn, reason in EXCLUDED.items():
        names: list[str | list[str]] = list(getattr(talib.abstract, fn).input_names.values())
        inputs = [field for each in names for field in ([each] if isinstance(each, str) else each)]
        if fn == "MAVP":
            assert "periods" in inputs
            continue
        ends = []
        for start in (0, 450):
            with np.errstate(all="ignore"):
                result = getattr(talib, fn)(*[bars[field][start:].copy() for field in inputs])
            ends.append([float(column[-1]) for column in (result if isinstance(result, tuple) else (result,))])
        if "infinite" in reason:
            assert np.isinf(ends[0]).all()
        else:
            assert ends[0] != pytest.approx(ends[1], rel=1e-3), fn
    assert ta.offered().isdisjoint(EXCLUDED)
    assert len(ta.offered()) + len(EXCLUDED) == len(talib.get_functions())  # type: ignore[no-untyped-call]


def test_a_whole_number_is_as_good_as_a_float() -> None:
    """TA-Lib itself refuses nbdevup=2."""
    bars = walk_bars(60, 2)
    whole, real = (
        series_columns({"x": Indicator(fn="BBANDS", params={"nbdevup": two, "nbdevdn": two})}, bars) for two in (2, 2.0)
    )
    assert np.array_equal(whole["x_upperband"], real["x_upperband"], equal_nan=True)
    assert_stream_is_batch("BBANDS", {"nbdevup": 2, "nbdevdn": 3}, bars)


# -- what TA-Lib lacks, and what it has lately ----------------------------------------------------------------------------


def test_the_rolling_vwap_is_its_definition() -> None:
    bars = walk_bars(300, 2)
    typical = (bars["high"] + bars["low"] + bars["close"]) / 3
    for period in (1, 2, 20):
        column = series_columns({"x": Indicator(fn="VWAP", params={"timeperiod": period})}, bars)["x"]
        for row in range(period - 1, 300):
            window = slice(row - period + 1, row + 1)
            expected = (typical[window] * bars["volume"][window]).sum() / bars["volume"][window].sum()
            assert column[row] == pytest.approx(expected, rel=1e-12)


def test_the_rolling_vwap_depends_on_its_window_alone() -> None:
    """Bit for bit, whatever came before: a running sum would keep the rounding of the huge bar."""
    calm = [(10.1 + row, 9.9, 10.0, 0.3) for row in range(5)]
    one, other = RollingVwap(5), RollingVwap(5)
    other.update(1e15, 1e15, 1e15, 1e15)
    assert [one.update(*bar) for bar in calm][-1] == [other.update(*bar) for bar in calm][-1]


@pytest.mark.parametrize(
    "bars",
    [
        [(3.0, 1.0, 2.0, 0.0)] * 2,  # no volume
        [(1e300, 1e300, 1e300, 1e10)] * 2,  # beyond what a float holds
        [(1e150, 1e150, 1e150, 1e158), (1e150, 1e150, 1e150, 1e158)],
        [(1e300, 1e300, 1e300, 1e10), (1e300, 1e300, 1e300, -1e10)],
        [(3.0, 1.0, 2.0, 1.0), (3.0, 1.0, 2.0, -1.0)],
    ],
)
def test_the_rolling_vwap_of_impossible_bars_is_unknown(bars: list[tuple[float, float, float, float]]) -> None:
    vwap = RollingVwap(2)
    values = [vwap.update(*bar) for bar in bars]
    assert np.isnan(values).all()


def test_donchian_channels_are_highest_high_and_lowest_low() -> None:
    bars = walk_bars(200, 2)
    series = series_columns({"x": Indicator(fn="DONCHIAN", params={"timeperiod": 20})}, bars)
    for row in range(19, 200):
        high, low = bars["high"][row - 19 : row + 1].max(), bars["low"][row - 19 : row + 1].min()
        assert (series["x_upperband"][row], series["x_lowerband"][row]) == (high, low)
        assert series["x_middleband"][row] == pytest.approx((high + low) / 2)


def test_supertrend_is_its_definition() -> None:
    """Bands of `multiplier` ATR about the middle, that only tighten until the close is beyond; trend 1 up, -1 down."""
    bars = walk_bars(600, 2)
    series = series_columns(
        {"x": Indicator(fn="SUPERTREND"), "atr": Indicator(fn="ATR", params={"timeperiod": 10})}, bars
    )
    line, trend, close = series["x_supertrend"], series["x_trend"], bars["close"]
    assert set(trend[10:].tolist()) == {1.0, -1.0}
    for row in range(11, 600):
        middle, width = (bars["high"][row] + bars["low"][row]) / 2, 3 * series["atr"][row]
        turned = trend[row] != trend[row - 1]
        if trend[row] > 0:
            expected = middle - width if turned else max(middle - width, line[row - 1])
            assert line[row] == pytest.approx(expected) or turned
            assert close[row] >= line[row] or turned
        else:
            expected = middle + width if turned else min(middle + width, line[row - 1])
            assert line[row] == pytest.approx(expected) or turned
            assert close[row] <= line[row] or turned
        if turned:
            assert (close[row] > line[row - 1]) is (trend[row] > 0)


# -- series and warm-up --------------------------------------------------------------------------------------------------


def test_a_function_that_is_not_offered_has_no_metadata() -> None:
    for name in ("OBV", "ema", "__class__"):
        with pytest.raises(KeyError):
            ta.function(name)


def test_outputs_of_several_are_named_after_the_indicator() -> None:
    assert ta.output_names("fast", "EMA") == ("fast",)
    assert ta.output_names("macd", "MACD") == ("macd_macd", "macd_macdsignal", "macd_macdhist")
    assert ta.output_names("bb", "BBANDS") == ("bb_upperband", "bb_middleband", "bb_lowerband")
    assert ta.output_names("doji", "CDLDOJI") == ("doji",)


@pytest.mark.parametrize(
    ("fn", "params", "factor", "bars"),
    [
        ("SMA", {"timeperiod": 20}, 20, 20),
        ("EMA", {"timeperiod": 12}, 20, 240),
        ("EMA", {"timeperiod": 12}, 75, 900),
        ("RSI", {"timeperiod": 14}, 20, 280),
        ("MACD", {}, 20, 520),
        ("BBANDS", {}, 20, 20),
        ("BBANDS", {"matype": 1}, 20, 400),
        ("TEMA", {"timeperiod": 30}, 1, 88),
        ("MACDFIX", {}, 20, 520),
        ("SAR", {}, 20, 500),
        ("MAMA", {}, 20, 660),
        ("CDLDOJI", {}, 20, 11),
        ("VWAP", {"timeperiod": 20}, 20, 20),
        ("DONCHIAN", {"timeperiod": 20}, 20, 20),
    ],
)
def test_warmup_bars(fn: str, params: dict[str, int | float], factor: int, bars: int) -> None:
    assert ta.warmup_bars(fn, params, factor) == bars
    assert IndicatorSet({"x": Indicator(fn=fn, params=params)}).warmup_bars(factor, MINUTE_US) == bars


def test_ready_comes_with_the_last_lookback() -> None:
    live = IndicatorSet({"fast": Indicator(fn="EMA", params={"timeperiod": 3}), "macd": Indicator(fn="MACD")})
    bars = walk_bars(40, 2)
    for row in range(40):
        live.update(candle(bars, row))
        assert live.ready is (row >= 33)
        assert (live.value("fast") == live.value("fast")) is (row >= 2)
    assert live.previous("close") == bars["close"][38]
    assert live.value("macd_macdhist") == talib.MACD(bars["close"])[2][-1]


def test_no_indicators_is_ready_at_once() -> None:
    live = IndicatorSet({})
    assert live.ready and live.warmup_bars(20, 0) == 1


def test_warmup_of_a_higher_timeframe_is_in_bars_of_the_stream() -> None:
    """The stream may begin behind the start of an hour: that hour gives no bar, and 20 more are needed."""
    declared = {"slow": Indicator(fn="SMA", params={"timeperiod": 20}, timeframe="1h"), "fast": Indicator(fn="SMA")}
    assert IndicatorSet(declared).warmup_bars(20, MINUTE_US) == 21 * 60 - 1
    assert IndicatorSet(declared).warmup_bars(20, HOUR_US) == 30
    assert IndicatorSet(declared).warmup_bars(20, 0) == 30  # not known yet: at least
    live = IndicatorSet(declared)
    for minute in range(1, 21 * 60):
        ts = HOUR_US + (minute + 1) * MINUTE_US
        values = dict.fromkeys(("open", "high", "low", "close"), float(minute)) | {"volume": 1.0}
        live.update(Candle(ts=ts, exchange="x", symbol="s", timeframe_us=MINUTE_US, received_ts=ts, **values))
        assert live.ready is (minute == 21 * 60 - 1)
    assert live.value("slow") == np.mean([60 * hour + 59 for hour in range(1, 21)])
    with pytest.raises(TimeframeError, match="timeframe 1h is no multiple of the stream's bars of 1020 s"):
        IndicatorSet(declared).warmup_bars(20, 17 * MINUTE_US)


@pytest.mark.parametrize("broken", [NAN, float("inf"), float("-inf")])
@pytest.mark.parametrize("field", PRICES)
def test_a_broken_bar_is_unknown_and_leaves_no_trace(broken: float, field: str) -> None:
    declared = {
        "e": Indicator(fn="EMA", params={"timeperiod": 3}),
        "atr": Indicator(fn="ATR", params={"timeperiod": 3}),
        "v": Indicator(fn="PVO", params={"fastperiod": 2, "slowperiod": 3}),
    }
    clean = walk_bars(30, 8)
    for row in (0, 2, 20):
        dirty = {name: np.insert(column, row, column[row]) for name, column in clean.items()}
        dirty[field][row] = broken
        live, columns = streamed(declared, dirty), series_columns(declared, dirty)
        for name, column in streamed(declared, clean).items():
            assert np.isnan(live[name][row])
            assert np.array_equal(np.delete(live[name], row), column, equal_nan=True)
            assert np.array_equal(live[name], columns[name], equal_nan=True)


def test_history_is_let_go_once_the_handles_are_open() -> None:
    live = IndicatorSet({"slow": Indicator(fn="SMA", params={"timeperiod": 50})})
    bar = candle(walk_bars(1, 2), 0)
    for _ in range(60):
        live.update(bar)
    tracemalloc.start()
    try:
        for _ in range(20_000):
            live.update(bar)
        assert tracemalloc.get_traced_memory()[0] < 16_384
    finally:
        tracemalloc.stop()
    assert live.value("slow") == pytest.approx(bar.close)


def test_columns_shorter_than_the_lookback_are_unknown() -> None:
    declared = {"slow": Indicator(fn="SMA", params={"timeperiod": 50})}
    for count in (0, 1, 49):
        column = series_columns(declared, walk_bars(count, 2) if count else {field: np.empty(0) for field in PRICES})
        assert column["slow"].shape == (count,) and np.isnan(column["slow"]).all()
