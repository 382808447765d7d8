"""Rules: what is accepted, what is refused and in which words, and what makes two documents one."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from engine.core.indicators import PRICES
from engine.core.rules import NODES_MAX, RuleDocument, RuleError, parse_rules

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
            {"op": "gt", "left": "bias_4h", "right": 0.2},
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


# -- loading -------------------------------------------------------------------------------------------------------------


def edited(path: str, value: Any) -> dict[str, Any]:
    document: Any = copy.deepcopy(EXAMPLE)
    *parents, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    node = document
    for step in parents:
        node = node[step]
    node[last] = value
    return document  # type: ignore[no-any-return]


def nested(depth: int) -> dict[str, Any]:
    node = TRUE
    for _ in range(depth - 1):
        node = {"op": "not", "of": node}
    return node


REFUSED = [
    ("entry_long/of/0/op", "cross_above", "$.entry_long.of[0].op", "did you mean 'crosses_above'?"),
    ("entry_long/of/0/op", ["gt"], "$.entry_long.of[0].op", "unknown operator"),
    ("entry_long/of/0/lft", 1, "$.entry_long.of[0].lft", "did you mean 'left'?"),
    ("entry_long/of/0/left", "fats", "$.entry_long.of[0].left", "did you mean 'fast'?"),
    ("entry_long/of/2/of/left", "macd", "$.entry_long.of[2].of.left", "did you mean 'macd_macd'?"),
    ("entry_long/of/0/left", "__class__", "$.entry_long.of[0].left", "unknown series"),
    ("entry_long/of/1/right", True, "$.entry_long.of[1].right", "finite number"),
    ("entry_long/of/1/right", NAN, "$.entry_long.of[1].right", "finite number"),
    ("entry_long/of/1/right", 10**400, "$.entry_long.of[1].right", "finite number"),
    ("entry_long/of/1/right", None, "$.entry_long.of[1].right", "finite number"),
    ("entry_long/of/2/bars", 0, "$.entry_long.of[2].bars", "greater than or equal to 1"),
    ("entry_long/of/2/bars", 501, "$.entry_long.of[2].bars", "less than or equal to 500"),
    ("entry_long/of/2/bars", 2.5, "$.entry_long.of[2].bars", "integer"),
    ("entry_long/of", [], "$.entry_long.of", "at least one"),
    ("entry_long", {}, "$.entry_long", "needs an 'op'"),
    ("entry_long", {"op": "all", "all": 1, "of": [TRUE]}, "$.entry_long.all", "unknown key"),
    ("entry_long", 3, "$.entry_long", "object"),
    ("entry_long", nested(9), "$.entry_long.of.of.of.of.of.of.of.of", "8 levels deep"),
    ("entry_long", nested(5_000), "$", "8 levels deep"),
    ("entry_long", {"op": "any", "of": [TRUE] * NODES_MAX}, "$.entry_long.of[127]", "128 conditions"),
    ("entry_long", {"op": "any", "of": [TRUE] * 5_000}, "$", "128 conditions"),
    ("entry_long/op", "\x1b]0;owned\x07", "$.entry_long.op", r"'\x1b]0;owned\x07'"),
    ("schema", 2, "$.schema", "reads schema 1"),
    ("schema", True, "$.schema", "number"),
    ("exit_lng", TRUE, "$.exit_lng", "did you mean 'exit_long'?"),
    ("indicators", [], "$.indicators", "object"),
    ("indicators/Fast", {"fn": "EMA"}, "$.indicators.Fast", "lower case"),
    ("indicators/a\n", {"fn": "EMA"}, "$.indicators['a\\n']", "lower case"),
    ("indicators/" + "a" * 33, {"fn": "EMA"}, "$.indicators." + "a" * 33, "lower case"),
    ("indicators/close", {"fn": "EMA"}, "$.indicators.close", "already declared"),
    ("indicators/bias_1h", {"fn": "EMA"}, "$.indicators.bias_1h", "already declared"),
    ("indicators/macd_macd", {"fn": "EMA"}, "$.indicators.macd_macd", "already declared by $.indicators.macd"),
    ("indicators/fast/fn", "ema", "$.indicators.fast.fn", "did you mean 'EMA'?"),
    ("indicators/fast/fn", "OBV", "$.indicators.fast.fn", "not offered: its level depends on the first bar"),
    ("indicators/fast/fn", "__import__", "$.indicators.fast.fn", "unknown function"),
    ("indicators/fast/param", {}, "$.indicators.fast.param", "did you mean 'params'?"),
    ("indicators/fast/params/timeperoid", 3, "$.indicators.fast.params.timeperoid", "did you mean 'timeperiod'?"),
    ("indicators/fast/params/timeperiod", 1.5, "$.indicators.fast.params.timeperiod", "whole number"),
    ("indicators/fast/params/timeperiod", True, "$.indicators.fast.params.timeperiod", "number"),
    ("indicators/fast/params/timeperiod", "12", "$.indicators.fast.params.timeperiod", "number"),
    ("indicators/fast/params/timeperiod", 0, "$.indicators.fast.params.timeperiod", "1..1000"),
    ("indicators/fast/params/timeperiod", 1001, "$.indicators.fast.params.timeperiod", "1..1000"),
    (
        "indicators/bb",
        {"fn": "BBANDS", "params": {"matype": 99}},
        "$.indicators.bb.params",
        "TA-Lib refuses BBANDS(matype=99)",
    ),
    ("indicators/bb", {"fn": "BBANDS", "params": {"matype": 10**12}}, "$.indicators.bb.params.matype", "0..1000"),
    ("indicators/bb", {"fn": "BBANDS", "params": {"nbdevup": 1e299}}, "$.indicators.bb.params", "TA-Lib refuses"),
    ("indicators/fast/timeframe", "4hh", "$.indicators.fast.timeframe", "did you mean '4h'?"),
    ("indicators/fast/timeframe", 3600, "$.indicators.fast.timeframe", "string"),
    ("indicators/feature_x", {"fn": "EMA"}, "$.indicators.feature_x", "would be a feature"),
    ("indicators/feature", {"fn": "MACD"}, "$.indicators.feature", "'feature_macd' would be a feature"),
    ("indicators/v", {"fn": "VWAP"}, "$.indicators.v.params", "VWAP needs 'timeperiod'"),
    ("indicators/v", {"fn": "VWAP", "params": {"timeperiod": 0}}, "$.indicators.v.params.timeperiod", "1..1000"),
    ("indicators/v", {"fn": "VWAP", "params": {"period": 9}}, "$.indicators.v.params", "VWAP needs 'timeperiod'"),
    ("entry_long/of/3/left", "feature_", "$.entry_long.of[3].left", "unknown series"),
    ("entry_long/of/3/left", "feature_" + "a" * 25, "$.entry_long.of[3].left", "unknown series"),
    ("entry_long/of/3/left", "feature_a\n", "$.entry_long.of[3].left", "unknown series"),
    ("entry_long/of/3/left", "bias_2h", "$.entry_long.of[3].left", "did you mean 'bias_24h'?"),
    ("entry_long", None, "$", "give it entry_long, entry_short or both"),
]


@pytest.mark.parametrize(("path", "value", "where", "says"), REFUSED)
def test_refused_with_path_and_remedy(path: str, value: Any, where: str, says: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse_rules(edited(path, value))
    assert caught.value.path == where
    assert says in caught.value.message
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("obj", [None, [], "x", 3, {"schema": 1}, {"entry_long": TRUE}, {1: 2}])
def test_refuses_what_is_no_document(obj: object) -> None:
    with pytest.raises(RuleError):
        parse_rules(obj)


def test_refuses_too_many_indicators() -> None:
    declared = {f"i{index}": {"fn": "SMA"} for index in range(33)}
    with pytest.raises(RuleError, match="32"):
        parse_rules({"schema": 1, "indicators": declared, "entry_long": TRUE})


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([*PRICES, "all", "gt", "not", "held", "fast"])
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["op", "of", "left", "right", "bars", "fn", "params"]) | st.text(), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["indicators", "indicators/fast", "entry_long", "entry_long/of/0", "exit_long/of/1/of"]), ANY_JSON
)
def test_hostile_documents_are_accepted_or_refused_in_one_line(path: str, value: Any) -> None:
    try:
        document = parse_rules(edited(path, value))
    except RuleError as error:
        assert error.path.startswith("$") and str(error).isprintable()
    else:
        assert isinstance(document, RuleDocument)


def test_a_model_cannot_be_made_around_the_checks() -> None:
    with pytest.raises(RuleError, match="unknown series"):
        RuleDocument.model_validate({"schema": 1, "entry_long": {"op": "gt", "left": "nope", "right": 1}})


# -- identity ------------------------------------------------------------------------------------------------------------


def test_identity_is_of_the_meaning_not_of_the_spelling() -> None:
    identity = parse_rules(EXAMPLE).sha256
    reordered = json.loads(json.dumps(EXAMPLE, sort_keys=True))
    assert parse_rules(reordered).sha256 == identity
    assert parse_rules(edited("entry_long/of/1/right", 70.0)).sha256 == identity
    assert parse_rules(edited("indicators/fast/params/timeperiod", 12.0)).sha256 == identity
    assert parse_rules(edited("indicators/macd", {"fn": "MACD", "params": {}, "timeframe": None})).sha256 == identity
    assert parse_rules(edited("entry_short", None)).sha256 == identity
    again = parse_rules(json.loads(parse_rules(EXAMPLE).canonical()))
    assert again.sha256 == identity and again == parse_rules(EXAMPLE)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("entry_long/of/1/right", 71),
        ("entry_long/of/1/op", "le"),
        ("entry_long/of/2/bars", 6),
        ("indicators/fast/params/timeperiod", 13),
        ("indicators/unused", {"fn": "SMA"}),
        ("exit_long", None),
        ("entry_short", TRUE),
    ],
)
def test_any_change_is_another_version(path: str, value: Any) -> None:
    assert parse_rules(edited(path, value)).sha256 != parse_rules(EXAMPLE).sha256


def test_accepts_shorts_alone_features_timeframes_and_whole_numbers_for_real_ones() -> None:
    document = parse_rules(
        {
            "schema": 1,
            "indicators": {
                "bb": {"fn": "BBANDS", "params": {"nbdevup": 2, "nbdevdn": 2}, "timeframe": "4h"},
                "v": {"fn": "VWAP", "params": {"timeperiod": 20}},
            },
            "entry_short": {"op": "gt", "left": "close", "right": "bb_upperband"},
            "exit_short": {"op": "lt", "left": "feature_a", "right": "funding_rate"},
        }
    )
    assert document.features() == ["feature_a", "funding_rate"]
    assert [name for name, _ in document.rules()] == ["entry_short", "exit_short"]
    assert parse_rules(EXAMPLE).features() == ["bias_4h"]


def test_the_json_schema_has_a_sentence_and_a_type_for_every_field() -> None:
    schema = RuleDocument.model_json_schema()
    for model in (schema, *schema["$defs"].values()):
        for name, field in model["properties"].items():
            assert field.get("description"), (model["title"], name)
            assert field.keys() & {"type", "anyOf", "oneOf", "const", "enum", "items"}, (model["title"], name)
