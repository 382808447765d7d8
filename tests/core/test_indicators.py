"""Indicators: streams equal the batch functions bit for bit; warm-up and unknown bars are what decisions.md 12 says."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import talib
import talib.abstract
from numpy.typing import NDArray

from engine.core import indicators as ta
from engine.core.indicators import EXCLUDED, PRICES, IndicatorSet, series_columns
from engine.core.inputs import Candle
from engine.core.rules import Indicator

Bars = dict[str, NDArray[np.float64]]
NAN = float("nan")


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


def last_values(fn: str, bars: Bars, rows: slice) -> list[float]:
    meta = ta.function(fn)
    result = getattr(talib, fn)(*[np.ascontiguousarray(bars[field][rows]) for field in meta.inputs])
    return [float(column[-1]) for column in (result if isinstance(result, tuple) else (result,))]


@pytest.mark.parametrize("fn", sorted(ta.offered()))
def test_stream_is_bit_equal_to_batch(fn: str) -> None:
    meta = ta.function(fn)
    longer = {key: value + 3 for key, value in meta.parameters.items() if "period" in key}
    for params in ({}, longer):
        declared = {"x": Indicator(fn=fn, params=params)}
        for seed in (2, 3):
            bars = walk_bars(400, seed)
            live, columns = streamed(declared, bars), series_columns(declared, bars)
            raw = getattr(talib, fn)(*[bars[field] for field in meta.inputs], **params)
            first = ta.lookback(fn, params)
            for name, batch in zip(ta.output_names("x", fn), raw if isinstance(raw, tuple) else (raw,), strict=True):
                assert np.array_equal(live[name], columns[name], equal_nan=True), (name, params, seed)
                assert np.array_equal(live[name][first:], batch[first:].astype(float), equal_nan=True), name
                assert np.isnan(live[name][:first]).all()


@pytest.mark.parametrize("fn", sorted(ta.offered()))
def test_a_window_is_finite_unless_we_call_it_recursive(fn: str) -> None:
    """A finite function is the same from its lookback alone; a recursive one is close after its warm-up."""
    bars = walk_bars(4_000, 4)
    need = ta.warmup_bars(fn, {}, 20)
    assert ta.function(fn).recursive == (need > ta.lookback(fn, {}) + 1)
    for end in range(3_000, 4_000, 37):
        full = last_values(fn, bars, slice(0, end))
        short = last_values(fn, bars, slice(end - need, end))
        scale = max(abs(value) for value in full) + 1e-3
        assert short == pytest.approx(full, abs=1e-5 * scale, rel=1e-5, nan_ok=True), end


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
    ],
)
def test_warmup_bars(fn: str, params: dict[str, int | float], factor: int, bars: int) -> None:
    assert ta.warmup_bars(fn, params, factor) == bars
    assert IndicatorSet({"x": Indicator(fn=fn, params=params)}).warmup_bars(factor) == bars


def test_ready_comes_with_the_last_lookback() -> None:
    live = IndicatorSet({"fast": Indicator(fn="EMA", params={"timeperiod": 3}), "macd": Indicator(fn="MACD")})
    assert live.lookback == 33
    bars = walk_bars(40, 2)
    for row in range(40):
        live.update(candle(bars, row))
        assert live.ready is (row >= 33)
        assert (live.value("fast") == live.value("fast")) is (row >= 2)
    assert live.previous("close") == bars["close"][38]
    assert live.value("macd_macdhist") == talib.MACD(bars["close"])[2][-1]


def test_no_indicators_is_ready_at_once() -> None:
    live = IndicatorSet({})
    assert live.ready and live.lookback == 0 and live.warmup_bars() == 1


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
