"""Rules on bars: closures, columns and the plain definition agree, warm-up and broken bars included."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.canonical import canonical_json
from engine.core.evaluate import CompiledRules, compile_rules, evaluate_columns
from engine.core.indicators import PRICES, series_columns
from engine.core.inputs import Candle
from engine.core.rules import parse_rules

NAN = float("nan")
EXAMPLE: dict[str, Any] = {
    "schema": 1,
    "indicators": {
        "fast": {"fn": "EMA", "params": {"timeperiod": 12}},
        "slow": {"fn": "EMA", "params": {"timeperiod": 26}},
        "rsi": {"fn": "RSI", "params": {"timeperiod": 14}},
        "macd": {"fn": "MACD"},
    },
    "entry_long": {
        "op": "all",
        "of": [
            {"op": "crosses_above", "left": "fast", "right": "slow"},
            {"op": "lt", "left": "rsi", "right": 70},
            {
                "op": "within",
                "bars": 5,
                "of": {"op": "crosses_above", "left": "macd_macd", "right": "macd_macdsignal"},
            },
        ],
    },
    "exit_long": {
        "op": "any",
        "of": [
            {"op": "crosses_below", "left": "fast", "right": "slow"},
            {"op": "held", "bars": 3, "of": {"op": "lt", "left": "close", "right": "slow"}},
        ],
    },
}
TRUE = {"op": "gt", "left": 2, "right": 1}


def bar(close: float, **fields: float) -> Candle:
    prices = {"open": close, "high": close, "low": close, "volume": 1.0} | fields
    return Candle(ts=0, exchange="x", symbol="s", timeframe_us=60_000_000, received_ts=0, close=close, **prices)


def rules(entry: dict[str, Any], **rest: Any) -> CompiledRules:
    return compile_rules(parse_rules({"schema": 1, "entry_long": entry, **rest}))


def entries(entry: dict[str, Any], closes: list[float], **rest: Any) -> list[bool | None]:
    compiled = rules(entry, **rest)
    out = []
    for close in closes:
        fired = compiled.on_bar(bar(close))
        assert fired is (compiled.entry_long is True)
        out.append(compiled.entry_long)
    return out


# -- meaning -------------------------------------------------------------------------------------------------------------


def test_cross_needs_the_bar_before() -> None:
    above = {"op": "crosses_above", "left": "close", "right": 2}
    assert entries(above, [3, 1, 2, 3, 4, 2, 3]) == [None, False, False, True, False, False, True]
    below = {"op": "crosses_below", "left": "close", "right": 2}
    assert entries(below, [1, 2, 1, 1, NAN, 1, 3, 1]) == [None, False, True, False, False, None, False, True]


def test_unknown_stays_unknown_under_not() -> None:
    """The fault of treating NaN as false: `not` would make a rule fire during warm-up."""
    condition = {"op": "not", "of": {"op": "gt", "left": "slow", "right": 100}}
    declared = {"slow": {"fn": "SMA", "params": {"timeperiod": 3}}}
    assert entries(condition, [1, 1, 1, NAN, 1], indicators=declared) == [None, None, True, None, True]


@pytest.mark.parametrize("feature", ["bias_1h", "bias_4h", "bias_24h", "funding_rate"])
def test_features_are_unknown_for_now_and_never_fire(feature: str) -> None:
    low, high = ({"op": op, "left": feature, "right": 0} for op in ("le", "gt"))
    for condition in (low, high, {"op": "not", "of": low}, {"op": "any", "of": [low, high]}):
        assert entries(condition, [1, 2, 3]) == [None, None, None]
    assert entries({"op": "any", "of": [low, {"op": "gt", "left": "close", "right": 1}]}, [1, 2]) == [None, True]
    assert entries({"op": "all", "of": [low, {"op": "gt", "left": "close", "right": 1}]}, [1, 2]) == [False, None]


def test_windows() -> None:
    high = {"op": "gt", "left": "close", "right": 5}
    closes = [1, 9, 1, 1, 1, 9, 9, 9, NAN, 9, 9, 9]
    within = entries({"op": "within", "bars": 3, "of": high}, closes)
    assert within == [None, True, True, True, False, True, True, True, True, True, True, True]
    held = entries({"op": "held", "bars": 3, "of": high}, closes)
    assert held == [False, False, False, False, False, False, False, True, None, None, None, True]
    assert entries({"op": "held", "bars": 1, "of": high}, closes) == entries(high, closes)


def test_a_window_sees_every_bar_though_its_group_is_decided() -> None:
    """`all` may stop at its first false part; the window behind it must count on."""
    seen = {"op": "within", "bars": 3, "of": {"op": "gt", "left": "close", "right": 5}}
    condition = {"op": "all", "of": [{"op": "lt", "left": "close", "right": 2}, seen]}
    assert entries(condition, [3, 3, 9, 1, 1, 1]) == [False, False, False, True, True, False]


def test_rules_that_are_not_there_are_false_and_shorts_work() -> None:
    compiled = rules({"op": "gt", "left": "close", "right": 9}, entry_short={"op": "lt", "left": "close", "right": 2})
    assert (compiled.entry_long, compiled.exit_long, compiled.entry_short, compiled.exit_short) == (
        None,
        False,
        None,
        False,
    )
    assert compiled.on_bar(bar(1)) is True
    assert (compiled.entry_long, compiled.exit_long, compiled.entry_short, compiled.exit_short) == (
        False,
        False,
        True,
        False,
    )
    assert compiled.on_bar(bar(5)) is False


def test_warmup_counts_what_the_rules_look_back() -> None:
    compiled = compile_rules(parse_rules(EXAMPLE))
    assert compiled.indicators.warmup_bars(20) == 20 * 26
    assert compiled.warmup_bars(20) == 20 * 26 + 4 + 1
    assert rules(TRUE).warmup_bars() == 1
    assert not compiled.ready


# -- explanation ---------------------------------------------------------------------------------------------------------


def test_explain_shows_each_result_with_its_numbers_as_strings() -> None:
    cross = {"op": "crosses_above", "left": "close", "right": 2.5}
    compiled = rules(
        {"op": "any", "of": [cross, {"op": "held", "bars": 2, "of": {"op": "gt", "left": "bias_1h", "right": "open"}}]}
    )
    compiled.on_bar(bar(2))
    compiled.on_bar(bar(3.5))
    crossed = {
        "op": "crosses_above",
        "result": "true",
        "left": {"series": "close", "value": "3.5", "previous": "2.0"},
        "right": {"value": "2.5"},
    }
    compared = {
        "op": "gt",
        "result": "unknown",
        "left": {"series": "bias_1h", "value": "unknown"},
        "right": {"series": "open", "value": "3.5"},
    }
    held = {"op": "held", "result": "unknown", "bars": "2", "of": [compared]}
    assert compiled.explain() == {"entry_long": {"op": "any", "result": "true", "of": [crossed, held]}}


def test_explain_changes_nothing_and_survives_jsonb() -> None:
    asked, silent = compile_rules(parse_rules(EXAMPLE)), compile_rules(parse_rules(EXAMPLE))
    rng = np.random.default_rng(5)
    for close in (100 * np.exp(np.cumsum(rng.normal(0, 0.02, 120)))).tolist():
        asked.on_bar(bar(close))
        silent.on_bar(bar(close))
        tree = asked.explain()
        assert asked.explain() == tree
        assert canonical_json(json.loads(json.dumps(tree))) == canonical_json(tree)
        assert tree["exit_long"]["result"] == {True: "true", False: "false", None: "unknown"}[silent.exit_long]
        assert (asked.entry_long, asked.exit_long) == (silent.entry_long, silent.exit_long)


# -- two evaluators, one meaning -----------------------------------------------------------------------------------------

INDICATORS = {
    "sma": {"fn": "SMA", "params": {"timeperiod": 2}},
    "ema": {"fn": "EMA", "params": {"timeperiod": 4}},
    "macd": {"fn": "MACD", "params": {"fastperiod": 2, "slowperiod": 4, "signalperiod": 2}},
    "stoch": {"fn": "STOCHF", "params": {"fastk_period": 3, "fastd_period": 2}},
    "doji": {"fn": "CDLDOJI"},
    "pvo": {"fn": "PVO", "params": {"fastperiod": 2, "slowperiod": 3}},
}
SERIES = [*PRICES, "sma", "ema", "macd_macd", "macd_macdsignal", "stoch_fastk", "doji", "pvo", "bias_1h"]
OPERANDS = st.sampled_from(SERIES) | st.sampled_from([0, 1, 2, 2.5, 3, 4, 50])
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
    max_leaves=10,
)
#: Few distinct prices, so that ties and touches are frequent; now and then a broken bar.
PRICE = st.sampled_from([1.0, 2.0, 2.5, 3.0, 4.0])
BARS = st.lists(
    st.tuples(PRICE, PRICE, PRICE | st.just(NAN) | PRICE, st.sampled_from([0.0, 1.0, 5.0])), min_size=1, max_size=40
)


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


@settings(max_examples=400, deadline=None)
@given(TREES.filter(lambda tree: depth_of(tree) <= 8), TREES.filter(lambda tree: depth_of(tree) <= 8), BARS)
def test_closures_columns_and_definition_agree_on_every_bar(
    entry: dict[str, Any], leave: dict[str, Any], rows: list[tuple[float, float, float, float]]
) -> None:
    document = parse_rules({"schema": 1, "indicators": INDICATORS, "entry_long": entry, "exit_long": leave})
    opens, others, closes, volumes = (np.array(column) for column in zip(*rows, strict=True))
    bars = {
        "open": opens,
        "high": np.fmax(np.fmax(opens, others), closes),
        "low": np.fmin(np.fmin(opens, others), closes),
        "close": closes,
        "volume": volumes,
    }
    columns = evaluate_columns(document, bars)
    series = {name: column.tolist() for name, column in series_columns(document.indicators, bars).items()}
    compiled = compile_rules(document)
    for row in range(len(rows)):
        fields = {name: float(column[row]) for name, column in bars.items()}
        compiled.on_bar(bar(fields.pop("close"), **fields))
        for name, tree, truth in (("entry_long", entry, compiled.entry_long), ("exit_long", leave, compiled.exit_long)):
            assert truth is plain_truth(tree, series, row), (name, row)
            assert columns[name].dtype == np.int8
            assert {1: True, 0: False, -1: None}[int(columns[name][row])] is truth, (name, row)


def test_the_example_agrees_on_a_long_walk_and_does_fire() -> None:
    document = parse_rules(EXAMPLE)
    rng = np.random.default_rng(7)
    close = 30_000 * np.exp(np.cumsum(rng.normal(0, 0.002, 20_000)))
    bars = {"open": close, "high": close, "low": close, "close": close, "volume": np.ones_like(close)}
    columns = evaluate_columns(document, bars)
    compiled = compile_rules(document)
    truths = []
    for price in close.tolist():
        compiled.on_bar(bar(price))
        truths.append((compiled.entry_long, compiled.exit_long))
    for index, name in itertools.product((0, 1), (1, 0, -1)):
        word = {1: True, 0: False, -1: None}[name]
        rows = [row for row, truth in enumerate(truths) if truth[index] is word]
        assert rows and rows == np.flatnonzero(columns[("entry_long", "exit_long")[index]] == name).tolist()
