"""`quantsail strategies ...`: what is installed, the examples, and whether a document is valid."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from engine.cli.config import read_document
from engine.cli.exits import Exit, fail
from engine.cli.tables import listing
from engine.core.config import Config, ConfigError, PythonStrategy, parse_config
from engine.core.evaluate import compile_rules
from engine.core.indicators import function
from engine.core.rules import Indicator, RuleDocument, RuleError, parse_rules, unknown
from engine.core.timeframes import TimeframeError
from engine.core.types import TIMEFRAMES_US
from engine.strategies import StrategyError, available, load

_FACTOR: int = Config.model_fields["warmup_factor"].default


def examples() -> dict[str, str]:
    """The JSON of the examples that come with the program, by name."""
    found = [each for each in files("engine").joinpath("examples").iterdir() if each.name.endswith(".json")]
    return {each.name.removesuffix(".json"): each.read_text(encoding="utf-8") for each in sorted(found, key=str)}


def show_list(*, as_json: bool) -> int:
    """Exit status OK even when one cannot be used: its problem is what was asked for."""
    with redirect_stdout(sys.stderr):  # what packages print while they are loaded is no part of the answer
        installed = available()
    if as_json:
        print(json.dumps({"installed": msgspec.to_builtins(installed), "examples": list(examples())}))
        return Exit.OK
    if installed:
        print(listing((e.name, f"{e.package} {e.version}", e.problem or e.summary or e.target) for e in installed))
    else:
        print("no Python strategies are installed (entry points of the group quantsail.strategies)")
    print(f"examples of rules, for `quantsail strategies show NAME`: {', '.join(examples())}")
    return Exit.OK


def show(name: str) -> int:
    known = examples()
    if name not in known:
        fail(unknown("example", name, known))
    print(known[name], end="")
    return Exit.OK


def check(path: Path, timeframe: str, *, as_json: bool) -> int:
    """One line per finding; exits with the first fault, as file, JSON path and remedy."""
    if timeframe not in TIMEFRAMES_US:
        fail(unknown("timeframe", timeframe, TIMEFRAMES_US), Exit.USAGE)
    document = read_document(path)
    try:
        with redirect_stdout(sys.stderr):
            found = list(strategies_of(document, TIMEFRAMES_US[timeframe]))
    except (RuleError, ConfigError, StrategyError, TimeframeError) as error:
        fail(f"{path}: {error}")
    if as_json:
        print(json.dumps({"valid": True, "timeframe": timeframe, "strategies": found}))
        return Exit.OK
    for each in found:
        _print(each, timeframe)
    return Exit.OK


def strategies_of(document: Any, timeframe_us: int) -> Iterator[dict[str, Any]]:
    """What a document has: the strategies of a config's bots, or the one strategy that it is."""
    if isinstance(document, dict) and "bots" in document:
        config = parse_config(document)
        for bot in config.bots:
            try:
                yield {"bot": bot.name, **_strategy(bot.strategy, config.warmup_factor, timeframe_us)}
            except (StrategyError, TimeframeError) as error:
                raise ConfigError(f"bot {bot.name}", str(error)) from error
        return
    yield {"bot": "", **_strategy(parse_rules(document), _FACTOR, timeframe_us)}


def _strategy(strategy: RuleDocument | PythonStrategy, factor: int, timeframe_us: int) -> dict[str, Any]:
    if isinstance(strategy, PythonStrategy):
        made = load(strategy.python, strategy.params)
        return {"kind": "python", "name": strategy.python, "sha256": strategy.sha256, "warmup_bars": made.warmup_bars}
    return {
        "kind": "rules",
        "name": "",
        "sha256": strategy.sha256,
        "warmup_bars": compile_rules(strategy).warmup_bars(factor, timeframe_us),
        "rules": [name for name, _ in strategy.rules()],
        "indicators": {name: _indicator(each) for name, each in strategy.indicators.items()},
        "features": strategy.features(),
    }


def _indicator(indicator: Indicator) -> str:
    """As EMA(timeperiod=20) on 1h, with every parameter."""
    params = {**function(indicator.fn).parameters, **indicator.params}
    given = ", ".join(f"{key}={value:g}" for key, value in params.items())
    return f"{indicator.fn}({given})" + (f" on {indicator.timeframe}" if indicator.timeframe else "")


def _print(found: dict[str, Any], timeframe: str) -> None:
    name = " ".join(part for part in (found["bot"] and f"bot {found['bot']}:", found["kind"], found["name"]) if part)
    hours = found["warmup_bars"] * TIMEFRAMES_US[timeframe] / TIMEFRAMES_US["1h"]
    print(f"{name} {found['sha256'][:12]} is valid")
    print(f"  warm-up     {found['warmup_bars']:,} bars of {timeframe} ({hours:,.1f} hours)")
    if found["kind"] == "rules":
        print(f"  rules       {', '.join(found['rules'])}")
        for label, lines in (("indicators", found["indicators"]), ("features", found["features"])):
            for line in lines:
                print(f"  {label:<11} {line} = {lines[line]}" if isinstance(lines, dict) else f"  {label:<11} {line}")
                label = ""
