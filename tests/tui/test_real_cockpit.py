"""The real program in a pseudo-terminal: it paints, trades, stops by one key, stays stopped, and is re-armed with a reason."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.patience import until
from tests.tui.program import EAGER, Program, write_candles
from tests.tui.terminal import CTRL_K, CTRL_Q, ENTER, ESCAPE, F9, Terminal

CTRL_R = "\x12"
LEDGER = "drill"


def quit_program(terminal: Terminal) -> int:
    terminal.send(CTRL_Q)
    terminal.wait_for("stop safely")
    terminal.send(ENTER)
    return terminal.wait_exit()


@pytest.fixture
def program(tmp_path: Path) -> Program:
    program = Program(tmp_path)
    write_candles(tmp_path / "test_BTCUSDT_1m.csv", 3_000)
    return program


def replay(program: Program, *more: str) -> list[str]:
    return ["--replay", str(program.home / "test_BTCUSDT_1m.csv"), "--ledger", LEDGER, *more]


@pytest.mark.parametrize(("cols", "rows"), [(80, 24), (200, 50)])
def test_the_kill_key_stops_and_a_restart_stays_stopped(program: Program, cols: int, rows: int) -> None:
    with program.server():
        program.run("run", "--headless", *replay(program, "--max-candles", "30"))
        program.use_config(EAGER, LEDGER)
    with Terminal(cols, rows) as terminal:
        program.cockpit(terminal, *replay(program, "--speed", "8"))
        terminal.wait_for("ACTIVE")
        until(lambda: entries(program, open_only=True))
        # Half as fast with each: the entry rests until the halt has come, also on a busy machine.
        terminal.send("<" * 4)
        terminal.send(F9)
        terminal.wait_for("entries are HELD")
        until(lambda: "HELD" in terminal.screen()[0])
        terminal.send(ENTER)
        terminal.wait_for("HALTED")
        until(lambda: program.json("status", "--ledger", LEDGER)["state"] == "HALTED")
        until(lambda: program.status(LEDGER)["state"] == "HALTED" and not entries(program, open_only=True))
        assert "CANCELED" in [o["status"] for o in entries(program)]
        terminal.wait_for("re-arm")
        halted = program.status(LEDGER)
        terminal.send(">" * 9)  # twice as fast with each: many bars, and nothing that adds risk is sent
        until(lambda: bars_played(program) >= halted["replay"]["played"] + 20)
        assert program.status(LEDGER)["orders_total"] == halted["orders_total"]
        assert quit_program(terminal) == 0

    with Terminal(cols, rows) as terminal:
        program.cockpit(terminal, *replay(program, "--speed", "12"))
        terminal.wait_for("HALTED")
        terminal.send(CTRL_R)
        terminal.wait_for("Type RESUME")
        terminal.send("RESUME" + ENTER)
        until(lambda: terminal.send(ENTER) or "a reason is needed" in terminal.text())
        assert program.json("status", "--ledger", LEDGER)["state"] == "HALTED"
        terminal.send("looked at the feed" + ENTER)
        terminal.wait_for("ACTIVE")
        until(lambda: program.json("status", "--ledger", LEDGER)["state"] == "ACTIVE")
        assert quit_program(terminal) == 0
    reasons = [
        e
        for e in program.run("events", "--ledger", LEDGER, "-n", "400", "--json").stdout.splitlines()
        if "looked at" in e
    ]
    assert len(reasons) == 1


def entries(program: Program, *, open_only: bool = False) -> list[dict[str, Any]]:
    orders = program.status(LEDGER).get("orders", [])
    return [o for o in orders if o["role"] == "ENTRY" and (o["is_open"] or not open_only)]


def bars_played(program: Program) -> int:
    return int(program.status(LEDGER)["replay"]["played"])


def test_a_fresh_start_shows_a_simulated_market_that_moves(tmp_path: Path) -> None:
    program = Program(tmp_path)
    with Terminal(80, 24) as terminal:
        program.cockpit(terminal)
        terminal.wait_for("SIMULATED")
        terminal.wait_for("ACTIVE")
        until(lambda: "candles" in "\n".join(terminal.screen()))
        before = [line for line in terminal.screen() if "candles" in line]
        until(lambda: [line for line in terminal.screen() if "candles" in line] not in (before, []))
        assert quit_program(terminal) == 0
    assert program.json("status")["running"] is False


def test_ctrl_k_then_escape_releases(program: Program) -> None:
    with Terminal(80, 24) as terminal:
        program.cockpit(terminal, *replay(program, "--speed", "60"))
        terminal.wait_for("ACTIVE")
        terminal.send(CTRL_K)
        terminal.wait_for("entries are HELD")
        terminal.send(ESCAPE)
        terminal.wait_for("entries are HELD", gone=True)
        until(lambda: "ACTIVE" in terminal.screen()[0])
        assert quit_program(terminal) == 0
    assert program.json("status", "--ledger", LEDGER)["state"] == "ACTIVE"


def test_a_closed_terminal_leaves_an_engine_that_obeys(program: Program) -> None:
    with Terminal(80, 24) as terminal:
        program.cockpit(terminal, *replay(program, "--speed", "60"))
        terminal.wait_for("ACTIVE")
        process = terminal.process
        assert process is not None
        terminal.close_master()
        lost = bars_played(program)
        until(lambda: bars_played(program) > lost)
        assert program.json("status", "--ledger", LEDGER)["running"] and process.poll() is None
        program.run("halt", "--ledger", LEDGER, "--wait")
        assert program.json("status", "--ledger", LEDGER)["state"] == "HALTED"
        os.kill(process.pid, signal.SIGTERM)
        assert terminal.wait_exit() == 0


def test_kill_minus_nine_in_the_cockpit_changes_nothing(tmp_path: Path) -> None:
    """A cockpit killed in the middle and resumed ends where a run without a screen and without a kill ends."""

    def prepared(home: Path) -> Program:
        home.mkdir()
        program = Program(home)
        write_candles(home / "test_BTCUSDT_1m.csv", 1_500)
        with program.server():
            program.run("run", "--headless", *replay(program, "--seed", "3", "--max-candles", "30"))
            program.use_config(EAGER, LEDGER)
        return program

    whole = prepared(tmp_path / "whole")
    expected = whole.json("run", "--headless", *replay(whole, "--seed", "3", "--until-end"))
    program = prepared(tmp_path / "killed")
    with Terminal(120, 40) as terminal:
        program.cockpit(terminal, *replay(program, "--seed", "3", "--speed", "3000"))
        until(lambda: program.status(LEDGER).get("trades_total", 0) >= 3)
        assert terminal.process is not None
        terminal.process.kill()
        terminal.wait_exit()
    assert not program.json("status", "--ledger", LEDGER)["running"]
    # What is durable, not what was shown: a picture may be some milliseconds ahead of the commit that the kill prevented.
    lines = program.run("events", "--ledger", LEDGER, "-n", "100000", "--json").stdout.splitlines()
    durable = [json.loads(line) for line in lines]
    closed = sum(event["type"] == "PositionClosed" for event in durable)
    assert closed >= 1
    with Terminal(120, 40) as terminal:
        program.cockpit(terminal, *replay(program, "--seed", "3", "--speed", "0.01"))
        until(lambda: program.json("status", "--ledger", LEDGER)["running"])
        after = until(lambda: (now := program.status(LEDGER)).get("seq", 0) >= durable[-1]["seq"] and now)
        assert after["trades_total"] >= closed and after["orders"]
        terminal.wait_for("equity")
        assert quit_program(terminal) == 0
    resumed = program.json("run", "--headless", *replay(program, "--seed", "3", "--until-end"))
    assert resumed == expected
    assert program.run("audit", "verify", "--ledger", LEDGER).returncode == 0


def test_a_second_cockpit_on_the_same_ledger_is_refused_in_one_line(program: Program) -> None:
    with Terminal(80, 24) as first, Terminal(80, 24) as second:
        program.cockpit(first, *replay(program, "--speed", "60"))
        first.wait_for("ACTIVE")
        program.cockpit(second, *replay(program, "--speed", "60"))
        assert second.wait_exit() == 5
        second.wait_for("quantsail:")
        assert "Traceback" not in "\n".join(second.screen())
        assert quit_program(first) == 0


def test_a_bad_file_is_one_line_and_exit_4(program: Program) -> None:
    bad = program.home / "test_ETHUSDT_1m.csv"
    bad.write_text(f"time,open,high,low,close,volume\n{1_735_689_600_000},1,0.5,2,1,1\n")
    with Terminal(80, 24) as terminal:
        program.cockpit(terminal, "--replay", bad)
        assert terminal.wait_exit() == 4
        terminal.wait_for("row 1")


@pytest.mark.parametrize("term", ["xterm-256color", "linux"])
def test_the_charts_of_a_run_with_its_past_in_the_database(program: Program, term: str) -> None:
    with program.server():
        program.run("run", "--headless", *replay(program, "--max-candles", "30"))
        program.use_config(EAGER, LEDGER)
    done = program.json("run", "--headless", *replay(program, "--max-candles", "1500"))
    program.env["TERM"] = term
    with Terminal(120, 40) as terminal:
        program.cockpit(terminal, *replay(program, "--speed", "30"))
        terminal.wait_for("ACTIVE")
        terminal.send("4")
        terminal.wait_for(f"P&L of {done['trades']:,} round trips")  # some of them only the database remembers
        terminal.wait_for("^ long" if term == "linux" else "▲ long")
        terminal.send("h")
        terminal.wait_for(" O ")
        terminal.send("+" * 2 + "-" * 3)
        terminal.wait_for("[15m]")
        terminal.send("E")
        terminal.wait_for("exported to")
        assert len(list((program.home / "data").rglob("*.svg"))) == 1
        assert quit_program(terminal) == 0
