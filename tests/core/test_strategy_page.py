"""docs/strategies.md says what the code does: tables, documents, the Python strategy, and examples that trade."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from db.memory import MemoryJournal, MemoryStore
from engine.backtest import Backtest
from engine.core import rules
from engine.core.config import parse_config
from engine.core.events import PositionClosed
from engine.core.inputs import Candle
from engine.core.rules import parse_rules
from engine.core.strategy import ENTER_LONG, EXIT_LONG
from engine.core.types import MINUTE_US, Instrument, InstrumentKind, PositionSide
from engine.feeds.files import load_candle_file
from engine.strategies import _made
from tests.core import strategy_page as page

TEXT = page.PAGE.read_text(encoding="utf-8")
NEEDS_DATA = pytest.mark.skipif(not page.has_recorded(), reason="no recorded candles beside the repository")


def code(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_the_tables_are_those_of_the_code() -> None:
    assert page.blocks_of(TEXT) and set(page.blocks_of(TEXT)) == set(page.BLOCKS)
    assert page.written(TEXT) == TEXT, "make them anew: python -m tests.core.strategy_page"


def test_every_document_on_the_page_is_valid() -> None:
    documents = [json.loads(text) for text in code("json")]
    strategies = [each for each in documents if "schema" in each]
    assert len(strategies) == 1 + len(page.EXAMPLES)
    for document in strategies:
        assert parse_rules(document).sha256


def test_every_operator_is_on_the_page() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| `")]
    named = {name for line in rows for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert named >= set(rules._SHAPES) and named >= set(rules.RULES)


def test_the_python_strategy_of_the_page_runs() -> None:
    (text,) = code("python")
    space: dict[str, Any] = {}
    exec(text, space)
    strategy = _made("turtle", space["Turtle"], {"bars": 2})
    said = [strategy.on_bar(page.candle(close, minute)) for minute, close in enumerate((1.0, 2.0, 3.0, 2.0, 1.0), 1)]
    assert said == [0, ENTER_LONG, ENTER_LONG, 0, EXIT_LONG]
    assert strategy.warmup_bars == 3 and strategy.explain() == {"high": "2.0", "low": "1.0"}


# -- the examples --------------------------------------------------------------------------------------------------------


def test_the_examples_are_all_that_is_shipped() -> None:
    folder = page.ROOT / "engine" / "examples"
    assert {path.stem for path in folder.glob("*.json")} == set(page.EXAMPLES)


@NEEDS_DATA
@pytest.mark.parametrize("name", page.EXAMPLES)
def test_an_example_warms_up_and_each_of_its_rules_fires(name: str) -> None:
    fired, results = page.outcome(name, page.RECORDED[0])
    for rule, _ in parse_rules(page.rules_of(name)).rules():
        assert fired[rule] > 20, rule
    assert len(results) > 10
    assert 0.1 < np.mean([result > 0 for result in results]) < 0.9


@NEEDS_DATA
@pytest.mark.parametrize("name", page.EXAMPLES)
def test_an_example_trades_through_the_engine(name: str) -> None:
    """Through config, gates, sizes, exits and the paper venue, on a month of minutes."""
    (file,) = load_candle_file(page.OHLCV / f"{page.RECORDED[0]}.parquet")
    columns = (file.time_us, file.open, file.high, file.low, file.close, file.volume)
    candles = [
        Candle(
            ts=time_us + MINUTE_US,
            exchange="test",
            symbol="BTC/USDT",
            timeframe_us=MINUTE_US,
            open=open_,
            high=high,
            low=low,
            close=close,
            volume=volume,
            received_ts=time_us + MINUTE_US,
        )
        for time_us, open_, high, low, close, volume in zip(*(each[:40_000].tolist() for each in columns), strict=True)
    ]
    instrument = Instrument(
        exchange="test",
        symbol="BTC/USDT",
        base="BTC",
        quote="USDT",
        lot_size=Decimal("0.00001"),
        min_notional=Decimal(5),
        kind=InstrumentKind.LINEAR,
    )
    bot = {"name": name, "strategy": page.rules_of(name)}
    store = MemoryStore()
    backtest = Backtest(parse_config({"schema": 1, "bots": [bot]}), [instrument], MemoryJournal(store))
    backtest.feed(candles)
    backtest.finish()
    assert backtest.market.series[("test", "BTC/USDT")].runners[0].error is None
    assert backtest.ledger.counts.trades > 10
    sides = {event.side for _, event in store.pairs if isinstance(event, PositionClosed)}
    assert sides == (
        {PositionSide.LONG, PositionSide.SHORT} if "entry_short" in page.rules_of(name) else {PositionSide.LONG}
    )
