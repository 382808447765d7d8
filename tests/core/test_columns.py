"""Rules over a whole history: columns, closures and the plain definition agree on every bar, whatever is in it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import talib
from hypothesis import given, settings, strategies as st

from engine.columns import ColumnStrategy, evaluate_columns, feature_column, series_columns, signal_columns
from engine.core.evaluate import BITS, compile_rules
from engine.core.indicators import PRICES
from engine.core.inputs import Candle
from engine.core.rules import RULES, parse_rules
from engine.core.strategy import RuleStrategy
from engine.core.timeframes import TimeframeError
from engine.core.types import MINUTE_US, InvariantError

NAN = float("nan")
START = 1_735_689_600_000_000  # 2025-01-01T00:00:00Z


class Row(NamedTuple):
    """One drawn bar: minutes since the one before, prices, and a feature that arrives before it."""

    step_min: int
    open: float
    other: float
    close: float
    volume: float
    feature: tuple[str, float, int] | None  # name, value, valid for so many minutes


def candle(ts: int, values: dict[str, float]) -> Candle:
    return Candle(ts=ts, exchange="x", symbol="s", timeframe_us=MINUTE_US, received_ts=ts, **values)


INDICATORS = {
    "sma": {"fn": "SMA", "params": {"timeperiod": 2}},
    "ema": {"fn": "EMA", "params": {"timeperiod": 4}},
    "macd": {"fn": "MACD", "params": {"fastperiod": 2, "slowperiod": 4, "signalperiod": 2}},
    "stoch": {"fn": "STOCHF", "params": {"fastk_period": 3, "fastd_period": 2}},
    "doji": {"fn": "CDLDOJI"},
    "pvo": {"fn": "PVO", "params": {"fastperiod": 2, "slowperiod": 3}},
    "vwap": {"fn": "VWAP", "params": {"timeperiod": 2}},
    "dc": {"fn": "DONCHIAN", "params": {"timeperiod": 2}, "timeframe": "3m"},
    "slow": {"fn": "EMA", "params": {"timeperiod": 2}, "timeframe": "3m"},
    "heavy": {"fn": "SUM", "params": {"timeperiod": 2}, "timeframe": "5m"},
    "flow": {"fn": "VWAP", "params": {"timeperiod": 1}, "timeframe": "5m"},
    "same": {"fn": "SMA", "params": {"timeperiod": 2}, "timeframe": "1m"},
}
FEATURES = ("bias_1h", "feature_mood")
SERIES = [*PRICES, "sma", "ema", "macd_macd", "macd_macdsignal", "stoch_fastk", "doji", "pvo", "vwap", *FEATURES]
HIGHER = ["dc_upperband", "dc_lowerband", "slow", "heavy", "flow", "same"]
OPERANDS = st.sampled_from(SERIES) | st.sampled_from(HIGHER) | st.sampled_from([0, 1, 2, 2.5, 3, 4, 50])
LEAVES = st.fixed_dictionaries(
    {
        "op": st.sampled_from(["gt", "ge", "lt", "le", "crosses_above", "crosses_below"]),
        "left": OPERANDS,
        "right": OPERANDS,
    }
)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.fixed_dictionaries({"op": st.sampled_from(["all", "any"]), "of": st.lists(inner, min_size=1, max_size=4)})
        | st.fixed_dictionaries({"op": st.just("not"), "of": inner})
        | st.fixed_dictionaries({"op": st.sampled_from(["within", "held"]), "bars": st.integers(1, 5), "of": inner})
    ),
    max_leaves=8,
)
#: Few distinct prices, so that ties and touches are frequent; now and then a broken bar and a gap.
PRICE = st.sampled_from([1.0, 2.0, 2.5, 3.0, 4.0])
FEATURE = st.tuples(st.sampled_from(FEATURES), PRICE | st.just(NAN), st.integers(-1, 6))
ROWS = st.builds(
    Row,
    st.just(1) | st.just(1) | st.integers(1, 12),
    PRICE,
    PRICE,
    PRICE | PRICE | st.just(NAN),
    st.sampled_from([0.0, 1.0, 5.0]),
    st.none() | FEATURE,
)


class History:
    """Drawn rows as bars (columns), as candles, and with the features as each bar sees them."""

    def __init__(self, rows: list[Row]) -> None:
        opens, others, closes = (np.array([row[at] for row in rows]) for at in (1, 2, 3))
        self.bars: dict[str, Any] = {
            "open": opens,
            "high": np.fmax(np.fmax(opens, others), closes),
            "low": np.fmin(np.fmin(opens, others), closes),
            "close": closes,
            "volume": np.array([row.volume for row in rows]),
            "ts": START + MINUTE_US * np.cumsum([row.step_min for row in rows]),
        }
        self.candles = [
            candle(int(self.bars["ts"][at]), {field: float(self.bars[field][at]) for field in PRICES})
            for at in range(len(rows))
        ]
        self.features = {name: [NAN] * len(rows) for name in FEATURES}
        last: dict[str, tuple[float, int]] = {}
        for at, (row, bar) in enumerate(zip(rows, self.candles, strict=True)):
            if row.feature is not None:
                last[row.feature[0]] = (row.feature[1], self.valid_until(row, bar))
            for name, (value, until) in last.items():
                self.features[name][at] = value if bar.ts <= until and bar.close == bar.close else NAN

    @staticmethod
    def valid_until(row: Row, bar: Candle) -> int:
        return bar.ts + (row.feature[2] if row.feature else 0) * MINUTE_US


def plain_higher(candles: list[Candle], minutes: int) -> list[list[float]]:
    """The bars of so many minutes that are closed after the last of the candles: [high, low, close, volume], by definition."""
    size = minutes * MINUTE_US
    whole = [bar for bar in candles if bar.close == bar.close]
    if not whole:
        return []
    out = []
    for start in range(START, whole[-1].ts, size):
        inside = [bar for bar in whole if start < bar.ts <= start + size]
        is_closed = whole[-1].ts >= start + size
        entered_late = inside and inside[0] is whole[0] and whole[0].open_ts > start
        if inside and is_closed and not entered_late:
            highs, lows = [bar.high for bar in inside], [bar.low for bar in inside]
            out.append([max(highs), min(lows), inside[-1].close, sum(bar.volume for bar in inside)])
    return out


def plain_series(candles: list[Candle]) -> dict[str, float]:
    """The higher series on the last candle, by definition; broken bars are the caller's."""
    three, five = (np.array(plain_higher(candles, minutes)).reshape(-1, 4) for minutes in (3, 5))
    high, low, close, _ = three.T.copy()
    out = dict.fromkeys(HIGHER[:-1], NAN)
    if len(close) >= 2:
        out["dc_upperband"], out["dc_lowerband"] = max(high[-2:]), min(low[-2:])
        out["slow"] = talib.EMA(close, 2)[-1]
    if len(five) >= 2:
        out["heavy"] = float(five[-2, 2] + five[-1, 2])
    if len(five) and five[-1, 3] > 0:
        out["flow"] = (five[-1, 0] + five[-1, 1] + five[-1, 2]) / 3 * five[-1, 3] / five[-1, 3]
    return out


def plain_truth(node: dict[str, Any], series: dict[str, list[float]], now: int) -> bool | None:
    """The definition in rules.md, read aloud: slow, no state, no arrays."""
    if now < 0:
        return None

    def value(side: str, at: int) -> float:
        operand = node[side]
        if not isinstance(operand, str):
            return float(operand)
        return series[operand][at] if operand in series and at >= 0 else NAN

    def compare(op: str, at: int) -> bool | None:
        a, b = value("left", at), value("right", at)
        if a != a or b != b:
            return None
        return {"gt": a > b, "ge": a >= b, "lt": a < b, "le": a <= b}[op]

    def both(parts: list[bool | None]) -> bool | None:
        return False if False in parts else None if None in parts else True

    def opposite(truth: bool | None) -> bool | None:
        return None if truth is None else not truth

    match node["op"]:
        case "crosses_above":
            return both([compare("gt", now), compare("le", now - 1)])
        case "crosses_below":
            return both([compare("lt", now), compare("ge", now - 1)])
        case "all":
            return both([plain_truth(part, series, now) for part in node["of"]])
        case "any":
            return opposite(both([opposite(plain_truth(part, series, now)) for part in node["of"]]))
        case "not":
            return opposite(plain_truth(node["of"], series, now))
        case "held":
            return both([plain_truth(node["of"], series, at) for at in range(now - node["bars"] + 1, now + 1)])
        case "within":
            parts = [plain_truth(node["of"], series, at) for at in range(now - node["bars"] + 1, now + 1)]
            return opposite(both([opposite(part) for part in parts]))
    return compare(node["op"], now)


def depth_of(node: dict[str, Any]) -> int:
    inside = node.get("of", [])
    return 1 + max((depth_of(child) for child in (inside if isinstance(inside, list) else [inside])), default=0)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(TREES.filter(lambda tree: depth_of(tree) <= 8), min_size=4, max_size=4),
    st.lists(ROWS, min_size=1, max_size=40),
)
def test_closures_columns_and_definition_agree_on_every_bar(trees: list[dict[str, Any]], rows: list[Row]) -> None:
    document = parse_rules({"schema": 1, "indicators": INDICATORS, **dict(zip(RULES, trees, strict=True))})
    history = History(rows)
    features = {name: np.array(column) for name, column in history.features.items()}
    columns = evaluate_columns(document, history.bars, MINUTE_US, features)
    signals = signal_columns(document, history.bars, 1, MINUTE_US, features)
    series: dict[str, list[float]] = {
        name: column.tolist() for name, column in series_columns(document.indicators, history.bars, MINUTE_US).items()
    } | history.features
    compiled = compile_rules(document)
    warmup = compiled.warmup_bars(1, MINUTE_US)
    looked_up = ColumnStrategy(document, history.bars, 1, MINUTE_US, features)
    for at, (row, bar) in enumerate(zip(rows, history.candles, strict=True)):
        if row.feature is not None:
            compiled.on_feature(row.feature[0], row.feature[1], history.valid_until(row, bar))
        fired = compiled.on_bar(bar)
        for name, tree in zip(RULES, trees, strict=True):
            truth = compiled.truth(name)
            assert truth is plain_truth(tree, series, at), (name, at)
            assert columns[name].dtype == np.int8
            assert {1: True, 0: False, -1: None}[int(columns[name][at])] is truth, (name, at)
            assert bool(fired & BITS[name]) is (truth is True)
        assert signals[at] == looked_up.on_bar(bar) == (fired if at + 1 >= warmup else 0)
        if fired or bar is history.candles[-1]:
            assert looked_up.explain() == compiled.explain()


@settings(max_examples=100, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=40))
def test_higher_series_are_what_the_definition_says(rows: list[Row]) -> None:
    declared = {name: each for name, each in INDICATORS.items() if "timeframe" in each}
    document = parse_rules(
        {"schema": 1, "indicators": declared, "entry_long": {"op": "gt", "left": 1, "right": "slow"}}
    )
    history = History(rows)
    columns = series_columns(document.indicators, history.bars, MINUTE_US)
    compiled = compile_rules(document)
    for at, bar in enumerate(history.candles):
        compiled.on_bar(bar)
        expected = plain_series(history.candles[: at + 1])
        for name in HIGHER:
            assert np.array_equal(columns[name][at], compiled.indicators.value(name), equal_nan=True), (name, at)
        for name, value in expected.items():
            value = value if bar.close == bar.close else NAN
            assert columns[name][at] == pytest.approx(value, rel=1e-12, nan_ok=True), (name, at)


EXAMPLE: dict[str, Any] = {
    "schema": 1,
    "indicators": {
        "fast": {"fn": "EMA", "params": {"timeperiod": 12}},
        "slow": {"fn": "EMA", "params": {"timeperiod": 26}},
        "trend": {"fn": "EMA", "params": {"timeperiod": 5}, "timeframe": "15m"},
    },
    "entry_long": {
        "op": "all",
        "of": [
            {"op": "crosses_above", "left": "fast", "right": "slow"},
            {"op": "gt", "left": "close", "right": "trend"},
        ],
    },
    "exit_long": {"op": "crosses_below", "left": "fast", "right": "slow"},
    "entry_short": {"op": "held", "bars": 3, "of": {"op": "lt", "left": "close", "right": "trend"}},
    "exit_short": {"op": "crosses_above", "left": "close", "right": "trend"},
}


def walk(count: int) -> dict[str, Any]:
    rng = np.random.default_rng(7)
    close = 30_000 * np.exp(np.cumsum(rng.normal(0, 0.002, count)))
    step = np.where(rng.random(count) < 0.01, rng.integers(2, 40, count), 1)
    prices = dict.fromkeys(("open", "high", "low", "close"), close)
    return {**prices, "volume": np.ones_like(close), "ts": START + MINUTE_US * np.cumsum(step)}


def test_signals_are_what_a_strategy_says_of_a_long_walk_warm_up_included() -> None:
    document, bars = parse_rules(EXAMPLE), walk(20_000)
    signals = signal_columns(document, bars, 20, MINUTE_US)
    assert signals.dtype == np.uint8
    strategy = RuleStrategy(document, 20)
    said = []
    for row, (ts, price) in enumerate(zip(bars["ts"].tolist(), bars["close"].tolist(), strict=True), start=1):
        signal = strategy.on_bar(candle(ts, {**dict.fromkeys(("open", "high", "low", "close"), price), "volume": 1.0}))
        said.append(signal if row >= strategy.warmup_bars else 0)
    assert said == signals.tolist()
    assert strategy.warmup_bars == 101 * 15 - 1 + 2
    assert not signals[: strategy.warmup_bars - 1].any()
    for bit in BITS.values():
        assert 50 < np.count_nonzero(signals & bit) < len(signals)


def test_a_lookup_knows_when_the_bars_are_others() -> None:
    document, bars = parse_rules(EXAMPLE), walk(300)
    prices = {**dict.fromkeys(("open", "high", "low", "close"), 1.0), "volume": 1.0}
    strategy = ColumnStrategy(document, bars, 20, MINUTE_US)
    fresh = RuleStrategy(document, 20, MINUTE_US)
    assert strategy.explain() == fresh.explain() and strategy.warmup_bars == fresh.warmup_bars
    strategy.on_bar(candle(int(bars["ts"][0]), prices))
    strategy.explain()
    strategy.on_bar(candle(int(bars["ts"][0]), prices))
    with pytest.raises(InvariantError, match="bar 1 closes at"):
        strategy.explain()
    for _ in range(298):
        strategy.on_bar(candle(0, prices))
    with pytest.raises(IndexError):
        strategy.on_bar(candle(0, prices))


def test_columns_refuse_a_timeframe_that_does_not_fit() -> None:
    document, bars = parse_rules(EXAMPLE), walk(100)
    for base_us, says in ((0, "unknown length"), (7 * MINUTE_US, "no multiple"), (60 * MINUTE_US, "shorter")):
        with pytest.raises(TimeframeError, match=says):
            signal_columns(document, bars, 20, base_us)


def test_a_history_without_bars_or_whole_ones() -> None:
    document = parse_rules(EXAMPLE)
    for count, price in ((0, 1.0), (3, NAN)):
        bars: dict[str, Any] = dict.fromkeys(PRICES, np.full(count, price))
        bars["ts"] = START + MINUTE_US * np.arange(count)
        columns = evaluate_columns(document, bars, MINUTE_US)
        assert [columns[name].tolist() for name in RULES] == [[-1] * count] * 4
        assert signal_columns(document, bars, 20, MINUTE_US).tolist() == [0] * count


def test_a_feature_column_holds_the_last_word_until_it_is_stale() -> None:
    bar_ts = np.array([10, 20, 30, 40, 50, 60])
    ts, values = np.array([20, 20, 35, 45]), np.array([1.0, 2.0, 3.0, float("inf")])
    column = feature_column(bar_ts, ts, values, np.array([99, 30, 40, 99]))
    assert np.array_equal(column, [NAN, 2.0, 2.0, 3.0, NAN, NAN], equal_nan=True)
    empty = np.array([], np.int64)
    assert np.isnan(feature_column(bar_ts, empty, np.array([]), empty)).all()


def test_a_feature_that_is_not_given_is_unknown() -> None:
    rule = {"op": "gt", "left": "bias_1h", "right": "bias_4h"}
    document = parse_rules({"schema": 1, "entry_long": rule, "entry_short": {"op": "not", "of": rule}})
    columns = evaluate_columns(document, walk(5), MINUTE_US, {"bias_1h": np.ones(5)})
    assert [columns[name].tolist() for name in columns] == [[-1] * 5] * 2
    both = {"bias_1h": np.ones(5), "bias_4h": np.array([0.0, 1.0, 2.0, NAN, float("inf")])}
    assert evaluate_columns(document, walk(5), MINUTE_US, both)["entry_long"].tolist() == [1, 0, 0, -1, -1]
