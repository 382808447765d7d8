"""What a bot hears from its strategy: rules on bars and features, warm-up, and Python code that misbehaves."""

from __future__ import annotations

from typing import Any

import pytest

from engine.core.canonical import canonical_json
from engine.core.config import parse_config
from engine.core.inputs import Candle, Feature
from engine.core.market import Market, Runner
from engine.core.rules import parse_rules
from engine.core.setup import Setup
from engine.core.strategy import (
    ENTER_LONG,
    ENTER_SHORT,
    EXIT_LONG,
    EXIT_SHORT,
    NO_PROPOSAL,
    RuleStrategy,
    Strategy,
    explanation,
)
from engine.core.timeframes import TimeframeError
from engine.core.types import HOUR_US, MINUTE_US
from tests.core.worlds import BTC, LEDGER_ID

HOURLY: dict[str, Any] = {
    "schema": 1,
    "indicators": {"slow": {"fn": "SMA", "params": {"timeperiod": 2}, "timeframe": "1h"}},
    "entry_long": {"op": "gt", "left": "close", "right": "slow"},
}


def bar(minute: int, close: float = 1.0, timeframe_us: int = MINUTE_US) -> Candle:
    prices = dict.fromkeys(("open", "high", "low", "close"), close)
    ts = HOUR_US + minute * MINUTE_US
    return Candle(
        ts=ts, exchange="test", symbol="BTC/USDT", timeframe_us=timeframe_us, received_ts=ts, volume=1.0, **prices
    )


def feature(name: str, value: float, minute: int) -> Feature:
    return Feature(ts=0, exchange="", symbol="", name=name, value=value, valid_until=HOUR_US + minute * MINUTE_US)


def setup_of(strategy: Any, factories: Any = None) -> Setup:
    config = parse_config({"schema": 1, "bots": [{"name": "one", "strategy": strategy}]})
    return Setup(config, LEDGER_ID, 1, factories or {})


def test_the_bits_are_those_that_rules_answer_with() -> None:
    assert (ENTER_LONG, EXIT_LONG, ENTER_SHORT, EXIT_SHORT) == (1, 2, 4, 8)
    higher, lower = ({"op": op, "left": "close", "right": 5} for op in ("gt", "lt"))
    document = parse_rules({"schema": 1, "entry_long": higher, "exit_long": lower, "entry_short": lower})
    strategy = RuleStrategy(document, 20)
    assert [strategy.on_bar(bar(1, 9)), strategy.on_bar(bar(2, 1)), strategy.on_bar(bar(3, 5))] == [
        ENTER_LONG,
        EXIT_LONG | ENTER_SHORT,
        0,
    ]


def test_features_reach_the_rules() -> None:
    document = parse_rules({"schema": 1, "entry_long": {"op": "gt", "left": "bias_1h", "right": 0}})
    strategy = RuleStrategy(document, 20)
    strategy.on_feature(feature("bias_1h", 0.4, 1))
    assert [strategy.on_bar(bar(1)), strategy.on_bar(bar(2))] == [ENTER_LONG, 0]
    tree = strategy.explain()["entry_long"]
    assert tree["result"] == "unknown" and tree["left"] == {"value": "unknown", "series": "bias_1h"}


def test_the_first_bar_tells_how_many_bars_a_timeframe_needs() -> None:
    strategy = RuleStrategy(parse_rules(HOURLY), 20)
    assert strategy.warmup_bars == 2  # at least, in bars of an hour
    strategy.on_bar(bar(1))
    assert strategy.warmup_bars == 3 * 60 - 1
    assert RuleStrategy(parse_rules(HOURLY), 20, 5 * MINUTE_US).warmup_bars == 3 * 12 - 1
    with pytest.raises(TimeframeError, match="no multiple"):
        RuleStrategy(parse_rules(HOURLY), 20).on_bar(bar(1, timeframe_us=7 * MINUTE_US))


def test_a_runner_is_silent_until_it_is_warm() -> None:
    runner = Runner(setup_of(HOURLY).bots[0])
    said = []
    for minute in range(1, 181):
        runner.on_bar(bar(minute, float(minute)))
        said.append((runner.warm, runner.signal))
    assert said[:178] == [(False, 0)] * 178
    assert said[178:] == [(True, ENTER_LONG)] * 2
    assert runner.error is None


def test_a_config_that_the_bars_do_not_fit_is_refused_with_its_reason() -> None:
    market = Market([BTC], 1_000)
    assert "needs 2 bars" in market.bars_lacking(setup_of(HOURLY))
    market.observe(bar(1))
    assert "needs 179 bars of BTC/USDT to warm up and has 1: 178 are lacking" in market.bars_lacking(setup_of(HOURLY))
    market.observe(bar(9, timeframe_us=7 * MINUTE_US))
    assert market.bars_lacking(setup_of(HOURLY)).startswith("bot one on BTC/USDT: timeframe 1h is no multiple")


def test_a_setup_says_which_bot_the_bars_do_not_fit() -> None:
    assert setup_of(HOURLY).unfit(7 * MINUTE_US).startswith("bot one: timeframe 1h is no multiple")
    assert setup_of(HOURLY).unfit(5 * MINUTE_US) == ""


class Always(Strategy):
    """Says what it was made to say; a Python strategy as a package would bring it."""

    warmup_bars = 1

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def on_bar(self, candle: Candle) -> int:
        return self.answer  # type: ignore[no-any-return]


def runner_of(answer: Any) -> Runner:
    return Runner(setup_of({"python": "always"}, {"always": lambda params: Always(answer)}).bots[0])


def test_a_python_strategy_inherits_what_it_does_not_say() -> None:
    strategy = Always(ENTER_LONG)
    strategy.on_feature(feature("bias_1h", 1.0, 1))
    assert strategy.explain() == {} and strategy.proposal is NO_PROPOSAL
    runner = runner_of(ENTER_LONG | EXIT_SHORT)
    runner.on_bar(bar(1))
    assert runner.signal == 9 and runner.error is None


@pytest.mark.parametrize("answer", [16, -1, 17, 3.0, "x", [1], {"a": 1}])
def test_an_answer_that_is_none_is_an_error_of_the_bot(answer: Any) -> None:
    runner = runner_of(answer)
    runner.on_bar(bar(1))
    assert runner.signal == 0 and runner.error is not None


@pytest.mark.parametrize("answer", [None, 0, False])
def test_no_answer_is_no_signal(answer: Any) -> None:
    runner = runner_of(answer)
    runner.on_bar(bar(1))
    assert runner.signal == 0 and runner.error is None


@pytest.mark.parametrize(
    ("told", "journaled"),
    [
        ({"high": "2.5", "ok": True, "of": [{"x": "1"}]}, {"high": "2.5", "ok": True, "of": [{"x": "1"}]}),
        ({"price": 1.5, "none": None, 3: ("a",)}, {"price": "1.5", "none": "None", "3": ["a"]}),
        ({"evil": "\x1b]0;owned\x07a\x00b"}, {"evil": "ab"}),
        (None, {"told": "None"}),
        ([1], {"told": ["1"]}),
        (ValueError("no\nidea"), {"error": "ValueError: no idea"}),
    ],
)
def test_an_explanation_can_be_journaled_whatever_code_gives(told: Any, journaled: dict[str, Any]) -> None:
    class Talker(Always):
        def explain(self) -> dict[str, Any]:
            if isinstance(told, Exception):
                raise told
            return told  # type: ignore[no-any-return]

    assert explanation(Talker(0), "entry_long") == journaled


def test_a_bottomless_explanation_ends() -> None:
    deep: list[Any] = []
    deep.append(deep)

    class Talker(Always):
        def explain(self) -> dict[str, Any]:
            return {"deep": deep}

    assert canonical_json(explanation(Talker(0), "entry_long")).count(b"[") < 40


def test_rules_explain_themselves() -> None:
    strategy = RuleStrategy(parse_rules(HOURLY), 20)
    assert (
        explanation(strategy, "entry_long")
        == strategy.explain("entry_long")
        == {"entry_long": strategy.explain()["entry_long"]}
    )


def test_a_feature_that_a_strategy_chokes_on_is_an_error_of_the_bot() -> None:
    class Deaf(Always):
        def on_feature(self, feature: Feature) -> None:
            raise KeyError(feature.name)

    market = Market([BTC], 10)
    market.arm(setup_of({"python": "deaf"}, {"deaf": lambda params: Deaf(ENTER_LONG)}))
    market.hear(feature("bias_1h", 1.0, 9))
    (runner,) = market.series[("test", "BTC/USDT")].runners
    assert isinstance(runner.error, KeyError)
    assert runner.on_bar(bar(1)) is True  # the dispatcher is called


def test_features_are_there_for_a_strategy_that_comes_later() -> None:
    rule = {"schema": 1, "entry_long": {"op": "gt", "left": "bias_1h", "right": 0}}
    market = Market([BTC], 10)
    setup = setup_of(rule)
    market.hear(feature("bias_1h", 1.0, 9))
    for again in (lambda: market.arm(setup), lambda: market.rearm(setup.bots[0])):
        again()
        (runner,) = market.series[("test", "BTC/USDT")].runners
        runner.on_bar(bar(1))
        assert runner.signal == ENTER_LONG
