"""One path: cases, the common workload, backtests and the live shell use the same decide, orders and venue. Each part of it is
taken away here in turn, and everything fails."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from db.memory import MemoryJournal
from engine import dispatch
from engine.backtest import Backtest
from engine.case_files import read_cases
from engine.cases import run_case
from engine.core import consequences, decide, entries, fold_orders
from engine.venues.paper import PaperVenue
from tests import golden
from tests.core.worlds import BTC, World, config

CASES = Path(__file__).parents[1] / "core" / "cases"


class Removed(BaseException):
    """The part is not there. Not an Exception: nothing may take it for one of its own."""


async def a_case(folder: Path) -> int:
    rows = json.loads((CASES / "stops.json").read_text(encoding="utf-8"))
    return sum(len(run_case(case, MemoryJournal())) for case in read_cases(json.dumps(rows[:3])))


async def the_workload(folder: Path) -> int:
    return golden.play(golden.market(3_000, seed=8)).trades


async def a_backtest(folder: Path) -> int:
    run = Backtest(golden.config(), [golden.INSTRUMENT], MemoryJournal(), balance=golden.D(golden.CASH))
    for chunk in golden.chunks(golden.market(3_000, seed=8)):
        run.feed(chunk)
    return run.ledger.counts.trades


async def the_live_shell(folder: Path) -> int:
    world = await World(folder, config(), instruments=(BTC,)).open()
    for bar in ((99, 102, 98, 101), (101, 102, 100, 100.5), (100, 100, 90, 91)):
        await world.candle(*bar)
    return int(world.ledger.counts.trades)


SHELLS = (a_case, the_workload, a_backtest, the_live_shell)

#: Where each part is looked up by those who use it.
PARTS: dict[str, tuple[Any, str]] = {
    "decide": (decide, "_settle"),
    "consequences": (consequences, "_after_fill"),
    "gates": (entries.risk, "evaluate"),
    "orders": (fold_orders.order_rules, "from_event"),
    "evolve": (decide, "arrive"),
    "dispatch": (dispatch.Dispatch, "act"),
    "venue": (PaperVenue, "submit"),
}


@pytest.mark.parametrize("shell", SHELLS)
async def test_every_shell_trades(shell: Callable[[Path], Awaitable[int]], tmp_path: Path) -> None:
    assert await shell(tmp_path) > 0


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("shell", SHELLS)
async def test_without_a_part_nothing_trades(
    shell: Callable[[Path], Awaitable[int]], part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def removed(*args: object, **kwargs: object) -> None:
        raise Removed(part)

    monkeypatch.setattr(*PARTS[part], removed)
    with pytest.raises(Removed):
        await shell(tmp_path)
