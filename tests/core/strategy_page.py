"""The tables of docs/strategies.md, made from the code: `python -m tests.core.strategy_page` writes them into the page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import talib

from engine.columns import signal_columns
from engine.core import indicators as ta, rules
from engine.core.evaluate import BITS, compile_rules
from engine.core.inputs import Candle
from engine.core.rules import parse_rules
from engine.core.strategy import ENTER_LONG, ENTER_SHORT, EXIT_LONG, EXIT_SHORT
from engine.core.types import MINUTE_US, TIMEFRAMES_US
from engine.feeds.files import load_candle_file

PAGE = Path(__file__).resolve().parents[2] / "docs" / "strategies.md"
ROOT = PAGE.parents[1]
OHLCV = ROOT.parent / "shared" / "data" / "ohlcv"
EXAMPLES = ("trend", "reversion", "breakout")
RECORDED = ("binance_BTCUSDT_1m_2025-01", "binance_SOLUSDT_1m_2025-03", "binance_ETHUSDT_5m")
_BLOCK = re.compile(r"<!-- (\w+) -->\n.*?<!-- end -->", re.DOTALL)
_OPERANDS = {"true": {"op": "gt", "left": 2, "right": 1}, "false": {"op": "gt", "left": 1, "right": 2}}
_OPERANDS["unknown"] = {"op": "gt", "left": "bias_1h", "right": 0}  # a feature that nobody gives


def candle(close: float, minute: int = 1) -> Candle:
    prices = dict.fromkeys(("open", "high", "low", "close"), close)
    ts = minute * MINUTE_US
    return Candle(ts=ts, exchange="x", symbol="s", timeframe_us=MINUTE_US, received_ts=ts, volume=1.0, **prices)


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _truth(condition: object) -> str:
    compiled = compile_rules(parse_rules({"schema": 1, "entry_long": condition}))
    compiled.on_bar(candle(1.0))
    return {True: "true", False: "false", None: "unknown"}[compiled.truth("entry_long")]


def kleene() -> str:
    rows = []
    for name, left in _OPERANDS.items():
        for other, right in _OPERANDS.items():
            parts = [left, right]
            rows.append((name, other, _truth({"op": "all", "of": parts}), _truth({"op": "any", "of": parts}), "")[:4])
    nots = [(name, _truth({"op": "not", "of": each})) for name, each in _OPERANDS.items()]
    return _table(("a", "b", "`all`", "`any`"), rows) + "\n\n" + _table(("a", "`not`"), nots)


def bounds() -> str:
    rows = [
        ("levels of a rule", rules.DEPTH_MAX),
        ("conditions in a document", rules.NODES_MAX),
        ("indicators", rules.INDICATORS_MAX),
        ("a period", f"1 to {rules.PERIOD_MAX}"),
        ("`bars` of `within` and `held`", f"1 to {rules.BARS_MAX}"),
        ("a name", "a small letter, then at most 31 of `a-z 0-9 _`"),
        ("a number", "finite, at most 1e300"),
    ]
    return _table(("What", "At most"), rows)


def signals() -> str:
    return _table(("Rule", "Bit"), ((f"`{rule}`", bit) for rule, bit in BITS.items()))


def features() -> str:
    names = ", ".join(f"`{name}`" for name in sorted(rules.FEATURES))
    return f"Known names: {names}, and `feature_` followed by at most 24 of `a-z 0-9 _`."


def timeframes() -> str:
    return ", ".join(f"`{name}`" for name in TIMEFRAMES_US) + "."


def functions() -> str:
    rows = []
    for name in sorted(ta.offered()):
        spec = ta.function(name)
        params = ", ".join(
            f"{key}" if key in spec.required else f"{key}={value:g}" for key, value in spec.parameters.items()
        )
        outputs = ", ".join(each.removeprefix("x") for each in ta.output_names("x", name)) or "the name itself"
        rows.append((name, ", ".join(spec.inputs), params, outputs, "recursive" if spec.recursive else "window"))
    return _table(("Function", "Reads", "Parameters", "Series", "Memory"), rows)


def excluded() -> str:
    return _table(("Function", "Why not"), sorted(ta.EXCLUDED.items()))


def explanation() -> str:
    rule = {"op": "all", "of": [{"op": "crosses_above", "left": "close", "right": 101}, _OPERANDS["unknown"]]}
    compiled = compile_rules(parse_rules({"schema": 1, "entry_long": rule}))
    for minute, close in enumerate((100.5, 101.5), start=1):
        compiled.on_bar(candle(close, minute))
    return "```json\n" + json.dumps(compiled.explain(), indent=1) + "\n```"


def averages() -> str:
    return _table(("Number", "Average"), sorted(talib.MA_Type._lookup.items()))


def rules_of(name: str) -> dict[str, Any]:
    """The JSON of an example."""
    document: dict[str, Any] = json.loads((ROOT / "engine" / "examples" / f"{name}.json").read_text(encoding="utf-8"))
    return document


class Outcome(NamedTuple):
    """Signals of an example on recorded candles: how often each rule fired, and the result of each round trip."""

    fired: dict[str, int]
    results: list[float]


#: An entry alone, or as a reversal.
_ENTRIES = {ENTER_LONG: 1, ENTER_LONG | EXIT_SHORT: 1, ENTER_SHORT: -1, ENTER_SHORT | EXIT_LONG: -1}


@cache
def outcome(name: str, recorded: str) -> Outcome:
    """Enter and leave at the close of the bar with the signal; one position at a time, no costs."""
    (file,) = load_candle_file(OHLCV / f"{recorded}.parquet")
    bars: dict[str, Any] = {field: getattr(file, field) for field in ta.PRICES}
    bars["ts"] = file.time_us + file.timeframe_us
    signals = signal_columns(parse_rules(rules_of(name)), bars, 20, file.timeframe_us)
    side, entered, results = 0, 0.0, []
    for row in np.flatnonzero(signals).tolist():
        signal, price = int(signals[row]), float(file.close[row])
        if side and signal & (EXIT_LONG if side > 0 else EXIT_SHORT):
            results.append(side * (price / entered - 1))
            side = 0
        if not side:
            side, entered = _ENTRIES.get(signal, 0), price
    return Outcome({rule: int(np.count_nonzero(signals & bit)) for rule, bit in BITS.items()}, results)


def has_recorded() -> bool:
    return all((OHLCV / f"{recorded}.parquet").exists() for recorded in RECORDED)


def outcomes() -> str | None:
    """None where the recorded candles are not beside the repository."""
    if not has_recorded():
        return None
    rows = []
    for name in EXAMPLES:
        for recorded in RECORDED:
            results = outcome(name, recorded).results
            won = sum(result > 0 for result in results) / len(results)
            rows.append(
                (
                    name,
                    recorded,
                    len(results),
                    f"{won:.0%}",
                    f"{sum(results):+.1%}",
                    f"{sum(results) - 0.002 * len(results):+.1%}",
                )
            )
    return _table(("Example", "Recorded candles", "Round trips", "Won", "Sum of results", "Less 0.2 % each"), rows)


def example(name: str) -> Callable[[], str]:
    return lambda: "```json\n" + (ROOT / "engine" / "examples" / f"{name}.json").read_text(encoding="utf-8") + "```"


BLOCKS: dict[str, Callable[[], str | None]] = {
    "kleene": kleene,
    "bounds": bounds,
    "signals": signals,
    "features": features,
    "timeframes": timeframes,
    "functions": functions,
    "excluded": excluded,
    "explanation": explanation,
    "averages": averages,
    "outcomes": outcomes,
    **{name: example(name) for name in EXAMPLES},
}


def written(page: str) -> str:
    """The page with every block made anew, where it can be made here. Raises KeyError for a block that nobody makes."""

    def block(found: re.Match[str]) -> str:
        made = BLOCKS[found[1]]()
        return found[0] if made is None else f"<!-- {found[1]} -->\n{made}\n<!-- end -->"

    return _BLOCK.sub(block, page)


def blocks_of(page: str) -> list[str]:
    return [found[1] for found in _BLOCK.finditer(page)]


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
