"""Rules on bars: what the operators mean, what a bar answers, what an explanation shows."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from engine.core.canonical import canonical_json
from engine.core.evaluate import BITS, CompiledRules, compile_rules
from engine.core.inputs import Candle
from engine.core.rules import RULES, parse_rules
from engine.core.types import MINUTE_US

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


def bar(close: float, ts: int = 0, **fields: float) -> Candle:
    prices = {"open": close, "high": close, "low": close, "volume": 1.0} | fields
    return Candle(ts=ts, exchange="x", symbol="s", timeframe_us=MINUTE_US, received_ts=0, close=close, **prices)


def rules(entry: dict[str, Any], **rest: Any) -> CompiledRules:
    return compile_rules(parse_rules({"schema": 1, "entry_long": entry, **rest}))


def entries(entry: dict[str, Any], closes: list[float], **rest: Any) -> list[bool | None]:
    compiled = rules(entry, **rest)
    out = []
    for close in closes:
        fired = compiled.on_bar(bar(close))
        truth = compiled.truth("entry_long")
        assert fired == (BITS["entry_long"] if truth is True else 0)
        out.append(truth)
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


@pytest.mark.parametrize("feature", ["bias_1h", "bias_4h", "bias_24h", "funding_rate", "feature_mood"])
def test_a_feature_without_a_feed_is_unknown_and_never_fires(feature: str) -> None:
    low, high = ({"op": op, "left": feature, "right": 0} for op in ("le", "gt"))
    for condition in (low, high, {"op": "not", "of": low}, {"op": "any", "of": [low, high]}):
        assert entries(condition, [1, 2, 3]) == [None, None, None]
    assert entries({"op": "any", "of": [low, {"op": "gt", "left": "close", "right": 1}]}, [1, 2]) == [None, True]
    assert entries({"op": "all", "of": [low, {"op": "gt", "left": "close", "right": 1}]}, [1, 2]) == [False, None]


def test_a_feature_holds_until_it_is_stale_and_the_last_word_counts() -> None:
    compiled = rules({"op": "gt", "left": "bias_1h", "right": 0.2})
    compiled.on_feature("bias_1h", 0.5, 2 * MINUTE_US)
    compiled.on_feature("bias_4h", -1.0, 9 * MINUTE_US)  # no rule reads it

    def truth(minute: int, close: float = 1.0) -> bool | None:
        compiled.on_bar(bar(close, minute * MINUTE_US))
        return compiled.truth("entry_long")

    assert [truth(1), truth(2), truth(3)] == [True, True, None]  # valid on the bar that closes just then
    compiled.on_feature("bias_1h", 0.1, 9 * MINUTE_US)
    assert [truth(4), truth(5, NAN), truth(6)] == [False, None, False]  # a broken bar is unknown as a whole
    compiled.on_feature("bias_1h", 0.9, 6 * MINUTE_US)  # newer, though it ends earlier
    assert truth(7) is None
    for broken in (NAN, float("inf")):
        compiled.on_feature("bias_1h", broken, 99 * MINUTE_US)
        assert truth(8) is None


def test_a_cross_of_a_feature_is_between_bars() -> None:
    compiled = rules({"op": "crosses_above", "left": "feature_mood", "right": 0})
    answers = []
    for minute, value in enumerate((-1.0, 1.0, 1.0), start=1):
        compiled.on_feature("feature_mood", -5.0, 99 * MINUTE_US)  # between two bars: nobody sees it
        compiled.on_feature("feature_mood", value, 99 * MINUTE_US)
        answers.append(compiled.on_bar(bar(1, minute * MINUTE_US)))
    assert answers == [0, BITS["entry_long"], 0]


def test_an_indicator_of_a_higher_timeframe_moves_when_its_bar_has_closed() -> None:
    """Three-minute bars of one-minute bars; the fifth minute is missing, so the sixth closes nothing early."""
    declared = {"last": {"fn": "MAX", "params": {"timeperiod": 2}, "timeframe": "3m"}}
    compiled = rules({"op": "gt", "left": "last", "right": 0}, indicators=declared)
    seen = []
    for minute in (1, 2, 3, 4, 6, 7, 8, 11):
        compiled.on_bar(bar(float(minute), minute * MINUTE_US))
        seen.append(compiled.indicators.value("last"))
    # Two bars of three minutes are needed: 3 and 6. The bar 7..9 lacks its last minute: the one of minute 11 closes it.
    assert np.array_equal(seen, [NAN, NAN, NAN, NAN, 6, 6, 6, 8], equal_nan=True)


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
    assert [compiled.truth(name) for name in RULES] == [None, False, None, False]
    assert compiled.on_bar(bar(1)) == BITS["entry_short"]
    assert [compiled.truth(name) for name in RULES] == [False, False, True, False]
    assert compiled.on_bar(bar(5)) == 0


def test_a_bar_answers_with_every_rule_that_fires() -> None:
    documents = [{"schema": 1, **dict.fromkeys(names, TRUE)} for names in (RULES, RULES[2:], RULES[:1], RULES[2:3])]
    assert [compile_rules(parse_rules(each)).on_bar(bar(1)) for each in documents] == [15, 12, 1, 4]


def test_groups_of_any_length() -> None:
    """One, two and more parts have tests of their own."""
    for count in (1, 2, 3, 5):
        for low in range(count):
            parts = [{"op": "gt", "left": "close", "right": 5 if at == low else 1} for at in range(count)]
            assert entries({"op": "all", "of": parts}, [0, 3, 9, NAN]) == [False, False, True, None]
            found = entries({"op": "any", "of": parts}, [0, 3, 9, NAN])
            assert found == [False, count > 1, True, None]


def test_warmup_counts_what_the_rules_look_back() -> None:
    compiled = compile_rules(parse_rules(EXAMPLE))
    assert compiled.indicators.warmup_bars(20, MINUTE_US) == 20 * 26
    assert compiled.warmup_bars(20, MINUTE_US) == 20 * 26 + 4 + 1
    assert rules(TRUE).warmup_bars(20) == 1
    declared = {"slow": {"fn": "SMA", "params": {"timeperiod": 5}, "timeframe": "1h"}}
    assert rules(TRUE, indicators=declared).warmup_bars(20) == 5  # of bars whose length is not known yet: at least
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
        for name in ("entry_long", "exit_long"):
            assert tree[name]["result"] == {True: "true", False: "false", None: "unknown"}[silent.truth(name)]
            assert asked.truth(name) == silent.truth(name)
