"""Convention `bar` through crashes: killed at any border, within a bar as between two, it goes on as if nothing had been."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from db.memory import MemoryStore
from engine.core import events as ev
from engine.core.config import Config, parse_config
from engine.core.inputs import Candle, Tick
from engine.core.strategy import ENTER_LONG, EXIT_LONG, NO_PROPOSAL, Proposal, Strategy
from engine.core.types import money
from tests.core.worlds import BTC, ETH, World
from tests.sim.borders import crash_at_every_border
from tests.sim.test_crash_points import batches, market


class Whims:
    """Signals, limits, new prices and changes of size out of the digits of the close: the same bars, the same whims."""

    warmup_bars = 0

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.proposal = NO_PROPOSAL

    def on_bar(self, candle: Candle) -> int:
        close = money(candle.close)
        whim = int(close * 100)
        self.proposal = Proposal(
            entry_price=close * 999 / 1000 if whim % 3 else None,
            exit_price=close * 1002 / 1000 if whim % 5 < 2 else None,
            entry_reprice=close * 9995 / 10_000 if whim % 4 == 0 else None,
            exit_reprice=close * 1001 / 1000 if whim % 7 < 3 else None,
            stake=close / 100 if whim % 4 == 1 else -close / 200 if whim % 4 == 2 else None,
        )
        return ENTER_LONG if whim % 10 < 4 else EXIT_LONG if whim % 10 < 7 else 0

    def on_feature(self, feature: Any) -> None: ...

    def explain(self) -> dict[str, Any]:
        return {}


def whimsical() -> Config:
    exits = {"stop_loss_pct": "0.6", "take_profit_pct": None, "ladder": {"0": "2", "5": "0.5"}, "unfilled_exit_min": 3,
             "trailing": {"distance_pct": "0.4", "offset_pct": "0.3"}}  # fmt: skip
    bot = {"name": "whims", "strategy": {"python": "whims"}, "exits": exits, "entry": {"valid_min": 3},
           "sizing": {"kind": "fixed_notional", "value": "1000"}}  # fmt: skip
    account = {"limits": {"price_collar_pct": {}, "daily_loss_pct": {}, "max_drawdown_pct": {}}}
    return parse_config({"schema": 1, "bots": [bot], "costs": {"convention": "bar"}, "account": account})


async def run(directory: Path, store: MemoryStore, inputs: Sequence[Candle | Tick], border: Any = None) -> World:
    factories = {"whims": lambda params: cast(Strategy, Whims(params))}
    world = World(directory, whimsical(), store=store, instruments=(BTC, ETH), border=border, factories=factories)
    await world.open()
    await world.engine.feed(batches(inputs, 50))
    await world.engine.stop("end of feed")
    return world


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_crash_at_every_border_changes_nothing(tmp_path: Path, seed: int) -> None:
    inputs = market(30, seed)
    whole = await crash_at_every_border(lambda folder, store, border: run(folder, store, inputs, border), tmp_path)
    events = [event for _, event in whole.store.pairs]
    roles = {e.role for e in events if isinstance(e, ev.OrderSubmitted)}
    assert {"ENTRY", "ADD", "REDUCE"} < roles and any(isinstance(e, ev.OrderCanceled) for e in events)
    assert whole.ledger.counts.trades >= 5
