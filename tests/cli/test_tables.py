"""Columns of the commands' lists: aligned on the terminal, whatever letters a name is written in."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from rich.cells import cell_len

from engine.cli.tables import listing, padded, table
from tests.cli.desk import Desk

WIDE = ("狗狗币/USDT", "🚀/USDT", "ＢＴＣ/USDT", "BTC/USDT", "cafe\u0301/USDT")


def test_columns_stand_below_each_other_whatever_the_letters() -> None:
    lines = table([("SYMBOL", "SIDE"), *((name, "LONG") for name in WIDE)])
    assert {cell_len(line[: line.index("LONG")]) for line in lines[1:]} == {
        cell_len(lines[0][: lines[0].index("SIDE")])
    }
    assert [cell_len(padded(name, 14)) for name in WIDE] == [14] * len(WIDE)


def test_numbers_stand_right_and_no_row_is_no_line() -> None:
    assert listing([("a", 5), ("b", 1_234)]) == "a     5\nb  1234"
    assert listing([]) == "" and table([]) == []


def test_text_of_others_is_made_safe_and_cut() -> None:
    (line,) = table([("\x1b]52;c;aGk=\x07x\u202e" + "y" * 500, "z")])
    assert "\x1b" not in line and "\u202e" not in line and len(line) < 70
    assert "p" * 300 in listing([("p" * 300,)])  # a path is shown whole


def test_orders_of_a_wide_symbol_are_listed_in_columns(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "quantsail" / "ledgers" / "wide"
    folder.mkdir(parents=True)
    orders = [_order(name) for name in WIDE]
    facts = {"pid": os.getpid(), "running": True, "written_at": time.time() + 3_600, "orders": orders}
    (folder / "status.json").write_text(json.dumps(facts))
    done = desk.run("orders", XDG_DATA_HOME=str(tmp_path))
    heads, *lines = done.out.splitlines()
    assert len(lines) == len(WIDE)
    at = cell_len(heads[: heads.index("ROLE")])
    assert [cell_len(line[: line.index("ENTRY")]) for line in lines] == [at] * len(WIDE)


def _order(symbol: str) -> dict[str, Any]:
    return {
        "bot": "波段", "symbol": symbol, "role": "ENTRY", "side": "BUY", "order_type": "LIMIT", "quantity": "1",
        "filled_quantity": "0", "price": "2", "price_places": 2, "status": "ACCEPTED", "flags": "", "is_open": True,
        "id": "0",
    }  # fmt: skip
