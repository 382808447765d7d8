"""The real program in a pseudo-terminal: screen 2 reads the past from Postgres, cancels an order, and the audit trail has it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from db.connect import OPERATOR, connect
from tests.patience import until
from tests.tui.program import EAGER, Program, write_candles
from tests.tui.terminal import CTRL_Q, ENTER, ESCAPE, Terminal

LEDGER = "drill"
RIGHT = "\x1b[C"


def open_entry(program: Program) -> dict[str, Any] | None:
    orders = program.status(LEDGER).get("orders", [])
    return next((o for o in orders if o["role"] == "ENTRY" and o["is_open"]), None)


async def audited(dsn: str) -> list[tuple[str, str]]:
    conn = await connect(dsn, "qs_view", user=OPERATOR)
    try:
        rows = await conn.fetch(
            "select new_values::text, metadata ->> 'actor' from audit_logs where action = 'COMMAND_GIVEN'"
        )
    finally:
        await conn.close()
    return [tuple(row) for row in rows]


def test_an_order_is_told_cancelled_and_kept(tmp_path: Path) -> None:
    program = Program(tmp_path)
    candles = write_candles(tmp_path / "test_BTCUSDT_1m.csv", 3_000)
    replay = ["--replay", str(candles), "--ledger", LEDGER]
    with program.server() as server, Terminal(120, 40) as terminal:
        program.run("run", "--headless", *replay, "--max-candles", "30")
        program.use_config(EAGER, LEDGER)
        program.run("run", "--headless", *replay, "--max-candles", "400")
        program.cockpit(terminal, *replay, "--speed", "60")
        terminal.wait_for("ACTIVE")
        until(lambda: open_entry(program))
        terminal.send("<<<<<<2")  # a bar a minute: the order rests long enough to be looked at
        terminal.wait_for("fills (")
        terminal.wait_for("FILLED")  # of the runs before: this engine has never seen it fill
        terminal.send("o/ role:entry" + ENTER)
        until(lambda: open_entry(program) is not None and "ENTRY" in terminal.text())
        terminal.send("g" + ENTER)
        terminal.wait_for("why: the signal and its rules")
        terminal.wait_for("reading the journal", gone=True)
        terminal.send("G")
        terminal.wait_for("no latency")
        terminal.send(ESCAPE)
        terminal.wait_for("no latency", gone=True)
        found = open_entry(program)
        assert found is not None
        terminal.send("x")
        terminal.wait_for("cancel one order")
        terminal.send(RIGHT + ENTER)
        until(
            lambda: any(o["id"] == found["id"] and o["status"] == "CANCELED" for o in program.status(LEDGER)["orders"])
        )
        ((values, actor),) = until(lambda: asyncio.run(audited(server.dsn(LEDGER))))
        assert json.loads(values)["target"] == found["id"] and json.loads(values)["done"] is True
        assert actor.startswith("cockpit")
        terminal.send("3fJ-5h" + ENTER)
        terminal.wait_for("events (")
        terminal.send(CTRL_Q)
        terminal.wait_for("stop safely")
        terminal.send(ENTER)
        assert terminal.wait_exit() == 0
    assert program.run("audit", "verify", "--ledger", LEDGER).returncode == 0
