"""Python strategies from installed packages: a real distribution on the path is found, checked, made, or named with its fault."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import strategies
from engine.core.inputs import Candle
from engine.core.strategy import ENTER_LONG
from engine.strategies import StrategyError, available, factories, factory, load

MODULE = '''
"""Strategies for tests."""
from pydantic import BaseModel, Field
from engine.core.strategy import ENTER_LONG, Strategy


class Turtle(Strategy):
    """Buys new highs.

    More text.
    """

    class Params(BaseModel):
        bars: int = Field(20, ge=2)
        factor: float = 1.0

    def __init__(self, params):
        self.warmup_bars = params.bars
        self.highs = []

    def on_bar(self, candle):
        self.highs.append(candle.high)
        return ENTER_LONG if candle.high >= max(self.highs[-self.warmup_bars:]) else 0


class Plain(Strategy):
    warmup_bars = 1

    def on_bar(self, candle):
        return 0


class Open(Plain):
    class Params(BaseModel, extra="allow"):
        pass

    def __init__(self, params):
        self.extra = params.model_extra


class Raises(Plain):
    def __init__(self):
        raise RuntimeError("no key\\x1b]0;owned\\x07\\nfound")


class Leaves(Plain):
    def __init__(self):
        raise SystemExit(3)


class Cold(Plain):
    warmup_bars = 0


class Fractional(Plain):
    warmup_bars = 1.5


class BadParams(Plain):
    Params = dict


def no_strategy():
    return object()


class NoProposal:
    warmup_bars = 1
    def on_bar(self, candle): return 0
    def on_feature(self, feature): pass
    def explain(self): return {}


number = 3
'''
POINTS = {
    "turtle": "qs_test_plugin:Turtle",
    "plain": "qs_test_plugin:Plain",
    "open": "qs_test_plugin:Open",
    "raises": "qs_test_plugin:Raises",
    "leaves": "qs_test_plugin:Leaves",
    "cold": "qs_test_plugin:Cold",
    "fractional": "qs_test_plugin:Fractional",
    "bad-params": "qs_test_plugin:BadParams",
    "no-strategy": "qs_test_plugin:no_strategy",
    "no-proposal": "qs_test_plugin:NoProposal",
    "number": "qs_test_plugin:number",
    "missing": "qs_test_plugin:Missing",
    "no-module": "qs_test_plugin_that_is_not_there:X",
    "broken": "qs_test_broken:X",
    "twice": "qs_test_plugin:Plain",
}


def install(folder: Path, name: str, points: dict[str, str], **modules: str) -> None:
    """A distribution as pip leaves it: modules, METADATA, entry_points.txt."""
    info = folder / f"{name.replace('-', '_')}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    lines = "".join(f"{key} = {value}\n" for key, value in points.items())
    (info / "entry_points.txt").write_text(f"[{strategies.GROUP}]\n{lines}")
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(text)


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    broken = "raise SystemExit('never import me')\n"
    install(tmp_path / "a", "qs-test-plugin", POINTS, qs_test_plugin=MODULE, qs_test_broken=broken)
    install(tmp_path / "b", "qs-other-plugin", {"twice": "qs_test_plugin:Plain"})
    for folder in ("a", "b"):
        monkeypatch.syspath_prepend(str(tmp_path / folder))
    yield tmp_path
    for module in [name for name in sys.modules if name.startswith("qs_test_")]:
        del sys.modules[module]


def test_an_installed_strategy_trades_with_its_params() -> None:
    strategy = load("turtle", {"bars": 3})
    assert strategy.warmup_bars == 3
    values = dict.fromkeys(("open", "low", "close", "volume"), 1.0)
    bars = [
        Candle(ts=ts, exchange="x", symbol="s", timeframe_us=1, received_ts=ts, high=high, **values)
        for ts, high in enumerate((3.0, 2.0, 2.5, 2.6, 1.0))
    ]
    assert [strategy.on_bar(each) for each in bars] == [ENTER_LONG, 0, 0, ENTER_LONG, 0]


def test_each_bot_gets_a_fresh_one() -> None:
    make = factory("turtle")
    one, other = make({}), make({"bars": 2})
    assert one is not other and (one.warmup_bars, other.warmup_bars) == (20, 2)
    assert load("plain", {}).explain() == {}
    assert load("open", {"any": 1}).extra == {"any": 1}  # type: ignore[attr-defined]
    assert sorted(factories(["turtle", "plain", "turtle"])) == ["plain", "turtle"]


@pytest.mark.parametrize(
    ("name", "params", "says"),
    [
        ("turtel", {}, "unknown strategy 'turtel'; did you mean 'turtle'?"),
        ("\x1b[2J", {}, r"unknown strategy '\x1b[2J'"),
        ("turtle", {"bar": 3}, "unknown parameter 'bar'; did you mean 'bars'?"),
        ("turtle", {"bars": 1}, "params.bars: Input should be greater than or equal to 2"),
        ("turtle", {"bars": "many"}, "params.bars: Input should be a valid integer"),
        ("plain", {"bars": 3}, "takes no params"),
        ("raises", {}, "cannot be made: RuntimeError: no key found"),
        ("leaves", {}, "cannot be made: SystemExit: 3"),
        ("cold", {}, "warmup_bars must be a whole number from 1"),
        ("fractional", {}, "warmup_bars must be a whole number from 1"),
        ("bad-params", {}, "Params is no pydantic model"),
        ("no-strategy", {}, "makes object, which has no on_bar()"),
        ("no-proposal", {}, "has no proposal"),
        ("number", {}, "is not callable, but of type int"),
        ("missing", {}, "cannot be loaded: AttributeError"),
        ("no-module", {}, "cannot be loaded: ModuleNotFoundError"),
        ("broken", {}, "cannot be loaded: SystemExit: never import me"),
        ("twice", {}, "is offered by qs-other-plugin, qs-test-plugin: uninstall all but one"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(name: str, params: dict[str, Any], says: str) -> None:
    with pytest.raises(StrategyError) as caught:
        load(name, params)
    assert says in str(caught.value)
    assert str(caught.value).isprintable()


def test_what_is_installed_is_listed_with_its_problems() -> None:
    found = {each.name: each for each in available()}
    assert set(found) >= set(POINTS) and list(found) == sorted(found)
    turtle = found["turtle"]
    assert (turtle.package, turtle.version, turtle.problem) == ("qs-test-plugin", "1.2", "")
    assert turtle.summary == "Buys new highs."
    assert turtle.params is not None and turtle.params["properties"]["bars"]["minimum"] == 2
    assert found["plain"].params is None and found["plain"].problem == ""
    problems = {name for name, each in found.items() if each.problem} & set(POINTS)
    assert problems == {"bad-params", "number", "missing", "no-module", "broken", "twice"}


def test_nothing_is_found_where_nothing_is_installed(monkeypatch: pytest.MonkeyPatch, installed: Path) -> None:
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if not entry.startswith(str(installed))])
    assert not {each.name for each in available()} & set(POINTS)
    with pytest.raises(StrategyError, match="quantsail strategies list"):
        factory("turtle")
