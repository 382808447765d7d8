"""Convention `bar` (docs/cases.md): our own table of cases, each worked out by hand, through the engine as it is."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from db.memory import MemoryJournal
from engine.case_files import read_cases
from engine.cases import REASONS, CaseTrade, run_case
from engine.core import bars, events as ev
from engine.core.fold import evolve
from engine.core.ledger import Ledger
from engine.venues.bars import CurrentBars
from tests import commands

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((Path(__file__).parent / "cases").glob("*.json"))
ROWS: list[dict[str, Any]] = [row for file in FILES for row in json.loads(file.read_text(encoding="utf-8"))]
BY_ID = {row["id"]: row for row in ROWS}


def trades_of(row: dict[str, Any], journal: MemoryJournal | None = None) -> list[CaseTrade]:
    (case,) = read_cases(json.dumps([row]))
    return run_case(case, journal or MemoryJournal())


def exactly(trades: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(t["exit_reason"], t["open_tick"], t["close_tick"], t["is_short"], t["enter_tag"]) for t in trades]


def numbers(trades: list[dict[str, Any]]) -> list[float]:
    return [t[name] for t in trades for name in ("open_rate", "close_rate", "profit_ratio")]


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_a_case_gives_its_trades(row: dict[str, Any]) -> None:
    trades = [msgspec.to_builtins(t) for t in trades_of(row)]
    assert exactly(trades) == exactly(row["expect"]), row["why"]
    assert numbers(trades) == pytest.approx(numbers(row["expect"]), rel=1e-9, abs=1e-9), row["why"]


def test_the_table_is_whole() -> None:
    assert len(ROWS) == len(BY_ID) >= 60
    assert all(row["why"] for row in ROWS)
    assert {t["exit_reason"] for row in ROWS for t in row["expect"]} == set(REASONS.values()) - {"liquidation"}
    assert {t["is_short"] for row in ROWS for t in row["expect"]} == {True, False}


def test_the_command_prints_every_case_of_a_file_as_json_and_as_a_table() -> None:
    file = next(f for f in FILES if f.stem == "sizes")
    rows = json.loads(file.read_text(encoding="utf-8"))
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = [commands.run(("backtest", "--cases", str(file), *words), env=env, cwd=ROOT) for words in (["--json"], [])]
    assert [each.returncode for each in done] == [0, 0]
    printed = json.loads(done[0].stdout)
    assert [case["id"] for case in printed] == [row["id"] for row in rows]
    for case, row in zip(printed, rows, strict=True):
        assert exactly(case["trades"]) == exactly(row["expect"])
    table = done[1].stdout.splitlines()
    trades = sum(len(row["expect"]) for row in rows)
    assert len(table) == trades + 2 and table[-1].startswith(f"{len(rows)} cases, {trades} trades")


def test_a_case_leaves_the_whole_trail_of_any_order() -> None:
    journal = MemoryJournal()
    trades_of(BY_ID["exit-re-priced"], journal)
    events = [event for _, event in journal.store.pairs]
    kinds = [type(event).__name__ for event in events]
    story = ["SignalGenerated", "IntentEvaluated", "OrderSubmitted", "OrderAccepted", "OrderFilled", "PositionOpened",
             "ExitsMoved", "CancelRequested", "OrderCanceled", "PositionClosed"]  # fmt: skip
    assert set(story) <= set(kinds)
    sent = {e.order_id: e for e in events if isinstance(e, ev.OrderSubmitted)}
    filled = [e for e in events if isinstance(e, ev.OrderFilled)]
    assert {e.order_id for e in filled} < set(sent) and len(filled) == 2
    amended = [e for e in sent.values() if e.replaces]
    assert len(amended) == 1 and amended[0].price == Decimal(207) and sent[amended[0].replaces].price == Decimal(220)


def test_a_case_is_the_fold_of_its_events() -> None:
    for name in ("reversal", "take-a-quarter-each", "trail-short", "entry-re-priced"):
        journals = [MemoryJournal(), MemoryJournal()]
        for journal in journals:
            trades_of(BY_ID[name], journal)
        first, second = ([event for _, event in journal.store.pairs] for journal in journals)
        assert first == second
        ledger = Ledger()
        for event in first:
            evolve(ledger, event)
        assert not ledger.positions and not ledger.orders
        account = ledger.account
        assert account.cash == account.initial_balance + account.realized_pnl
        assert account.realized_pnl == sum(e.realized_pnl for e in first if isinstance(e, ev.PositionClosed)) != 0


def test_there_is_no_second_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the venue's rule nothing fills, without the core's nothing is decided."""
    trading = [row for row in ROWS if row["expect"]]
    with monkeypatch.context() as patch:
        patch.setattr(CurrentBars, "trade", lambda *args: None)
        assert not any(trades_of(row) for row in trading)
    with monkeypatch.context() as patch:
        patch.setattr(bars, "on_bar", lambda *args: [])
        assert not any(trades_of(row) for row in trading)


@pytest.mark.parametrize("minutes", [1, 5, 1440])
def test_without_minutes_in_it_a_case_is_the_same_on_every_timeframe(minutes: int) -> None:
    for row in ROWS:
        if row.get("roi", {}).keys() <= {"0"} and "timeout" not in row and "custom" not in str(row.keys()):
            trades = [msgspec.to_builtins(t) for t in trades_of(row | {"timeframe_minutes": minutes})]
            assert exactly(trades) == exactly(row["expect"]), row["id"]
            assert numbers(trades) == pytest.approx(numbers(row["expect"]), rel=1e-9, abs=1e-9), row["id"]


@pytest.mark.parametrize("factor", [1e-6, 1e-3, 1e3])
def test_prices_of_any_size_give_the_same_trades(factor: float) -> None:
    """Small and large prices: the same reasons and bars. Exact touches are left out: scaled, they are none."""
    prices = ("custom_entry_price", "custom_exit_price", "adjust_entry_price", "adjust_exit_price")
    for row in ROWS:
        if any(word in row["id"] for word in ("touched", "reached", "-at-the-", "is-the-high", "only-tightens")):
            continue
        scaled = row | {name: row[name] * factor for name in prices if row.get(name)}
        names = ("open", "high", "low", "close")
        scaled["candles"] = [k | {name: k[name] * factor for name in names} for k in row["candles"]]
        trades = [msgspec.to_builtins(t) for t in trades_of(scaled)]
        assert exactly(trades) == exactly(row["expect"]), row["id"]
