"""`quantsail backtest --cases`: tables of cases through the engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from engine.cli.exits import Exit, fail

if TYPE_CHECKING:
    from engine.case_files import Case
    from engine.cases import CaseTrade


def run_cases(path: Path, *, as_json: bool) -> int:
    """Run every case of a file and print its trades."""
    from db.memory import MemoryJournal
    from engine.case_files import CaseError, read_cases
    from engine.cases import run_case
    from engine.core.types import InvariantError

    try:
        cases = read_cases(path.read_text(encoding="utf-8"))
    except OSError as error:
        fail(f"{path}: {error.strerror}", Exit.USAGE)
    except UnicodeDecodeError:
        fail(f"{path}: not UTF-8 text", Exit.USAGE)
    except CaseError as error:
        fail(f"{path}: {error}", Exit.USAGE)
    results = []
    for case in cases:
        try:
            results.append((case, run_case(case, MemoryJournal())))
        except (InvariantError, ArithmeticError) as error:
            fail(f"{path}: case {case.id}: {error}")
    if as_json:
        print(json.dumps([{"id": case.id, "trades": msgspec.to_builtins(trades)} for case, trades in results]))
    else:
        _table(results)
    return Exit.OK


def _table(results: list[tuple[Case, list[CaseTrade]]]) -> None:
    width = max([4, *(len(str(case.id)) for case, _ in results)])
    print(f"{'case':<{width}}  side   open  close  {'entry':>14}  {'exit':>14}  {'profit':>9}  reason")
    for case, trades in results:
        if not trades:
            print(f"{case.id!s:<{width}}  no trade")
        for t in trades:
            side = "short" if t.is_short else "long"
            print(
                f"{case.id!s:<{width}}  {side:<5}  {t.open_tick:>4}  {t.close_tick:>5}  {t.open_rate:>14.8g}  "
                f"{t.close_rate:>14.8g}  {t.profit_ratio:>+9.4%}  {t.exit_reason}"
            )
    every = [t for _, trades in results for t in trades]
    won = sum(t.profit_ratio > 0 for t in every)
    total = sum(t.profit_ratio for t in every)
    print(f"{len(results)} cases, {len(every)} trades, {won} won, profit ratios add up to {total:+.4%}")
