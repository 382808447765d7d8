"""The real cockpit in a pseudo-terminal while something is wrong: the terminal, the screen's own code, the database.

What must hold each time: the engine loses no beat, the kill key works, no secret and no local variable is printed or logged.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from db.embedded import SUPERUSER, EmbeddedServer, PgBinaries
from db.migrate import migrate
from engine import status
from tests.patience import until
from tests.servers import hurry
from tests.tui.program import Program, write_candles
from tests.tui.terminal import CTRL_Q, ENTER, F9, Terminal

TROUBLED = str(Path(__file__).with_name("troubled.py"))
LEDGER = "drill"
SECRET = b"hunter2Qx9"
BEATS = 12


@pytest.fixture
def program(tmp_path: Path) -> Program:
    program = Program(tmp_path)
    write_candles(tmp_path / "test_BTCUSDT_1m.csv", 12_000)  # the warm-up, at full speed, takes 4,001
    return program


def words(program: Program, *more: str) -> list[str]:
    return ["--replay", str(program.home / "test_BTCUSDT_1m.csv"), "--speed", "30", *more]


def troubled(program: Program, terminal: Terminal) -> None:
    terminal.spawn([sys.executable, TROUBLED, str(program.home), *words(program, "--ledger", LEDGER)], program.env)
    terminal.wait_for("ACTIVE")


def engine(program: Program) -> dict[str, Any]:
    """The only ledger's status file."""
    files = list((program.home / "data" / "quantsail" / "ledgers").glob(f"*/{status.STATUS_NAME}"))
    return (status.read(files[0]) or {}) if files else {}


class Beats:
    """The engine's signs of life, and the bars that it has played, from now on."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._seen: set[float] = set()
        self._played = 0

    def wait(self, count: int = BEATS) -> None:
        """Until so many more were seen. The status file is written once a second, or more often."""
        self._seen.clear()
        before = engine(self._program)["replay"]["played"]
        until(lambda: self._seen.add(engine(self._program)["beat_mono"]) or len(self._seen) > count, f"{count} beats")
        assert engine(self._program)["replay"]["played"] > before


def latched(program: Program) -> bool:
    return bool(list((program.home / "data" / "quantsail" / "ledgers").glob("*/HALTED")))


def assert_nothing_told(program: Program, terminal: Terminal) -> None:
    """On the terminal, in the logs and in the crash report: the place, no value, no traceback with locals."""
    logs = list((program.home / "data" / "quantsail" / "logs").glob("*"))
    for data in (terminal.raw, *(log.read_bytes() for log in logs)):
        assert SECRET not in data
        assert b"PWNED" not in data
    assert b"Traceback" not in terminal.raw


def kill(terminal: Terminal) -> None:
    terminal.send(F9)
    terminal.wait_for("entries are HELD")
    terminal.send(ENTER)


def test_a_frozen_terminal_costs_the_engine_no_beat(program: Program) -> None:
    with Terminal(200, 50) as terminal:
        troubled(program, terminal)
        terminal.stop_reading()
        Beats(program).wait()
        terminal.send(F9)  # nobody sees the dialog; the key counts all the same
        until(lambda: engine(program)["held"], "the hold")
        terminal.send(F9)
        until(lambda: engine(program)["state"] == "HALTED" and latched(program), "the halt")
        terminal.resume()
        terminal.wait_for("HALTED")


def test_a_blocked_screen_costs_the_engine_no_beat_and_the_kill_key_works(program: Program) -> None:
    with Terminal(120, 40) as terminal:
        troubled(program, terminal)
        terminal.send("T")
        until((program.home / "blocked").exists, "the block")
        Beats(program).wait()
        terminal.send(F9)
        until(lambda: engine(program)["held"], "the hold")
        terminal.send(F9)
        until(lambda: engine(program)["state"] == "HALTED" and latched(program), "the halt")
        (program.home / "unblock").touch()
        terminal.wait_for("HALTED")
        assert_nothing_told(program, terminal)


@pytest.mark.parametrize("where", ["paint", "worker"])
def test_an_error_in_a_panel_or_a_worker_is_a_banner(program: Program, where: str) -> None:
    with Terminal(120, 40) as terminal:
        troubled(program, terminal)
        (program.home / where).touch()
        terminal.send("L" if where == "worker" else "")
        terminal.wait_for("SCREEN ERROR ValueError")
        Beats(program).wait(3)
        terminal.send("\x1b")
        kill(terminal)
        until(lambda: engine(program)["state"] == "HALTED" and latched(program), "the halt")
        assert_nothing_told(program, terminal)


@pytest.mark.parametrize("where", ["render", "action"])
def test_an_error_that_ends_the_screen_leaves_an_engine_that_obeys(program: Program, where: str) -> None:
    with Terminal(120, 40) as terminal:
        troubled(program, terminal)
        (program.home / where).touch()
        terminal.send("L" if where == "action" else "")
        terminal.wait_for("quantsail: the screen stopped (ValueError")
        terminal.wait_for("the engine goes on")
        Beats(program).wait(3)
        assert program.run("halt", "--ledger", LEDGER, "--wait").returncode == 0
        assert engine(program)["state"] == "HALTED" and latched(program)
        assert_nothing_told(program, terminal)
        assert terminal.process is not None
        os.kill(terminal.process.pid, signal.SIGTERM)
        assert terminal.wait_exit() == 0


# -- the database ------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path, pg_binaries: PgBinaries) -> Any:
    """A server that the program does not start, and so does not bring back."""
    with EmbeddedServer(tmp_path / "pg", pg_binaries) as started:
        yield hurry(started)


async def url_of(server: EmbeddedServer) -> str:
    server.create_database("live")
    await migrate(server.dsn("live", "qs_admin"))
    return server.dsn("live")


def freeze(server: EmbeddedServer) -> Callable[[], None]:
    """It accepts and never answers."""
    postmaster = server.pid
    assert postmaster is not None
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    frozen = [postmaster, *map(int, children)]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    return lambda: [os.kill(pid, signal.SIGCONT) for pid in frozen] and None


def gone(server: EmbeddedServer) -> Callable[[], None]:
    """Nobody listens any more: the connection is refused."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    return lambda: server.ensure() and None


@pytest.mark.parametrize("away", [freeze, gone])
async def test_a_database_that_is_away_is_said_with_its_age_and_the_kill_key_needs_none(
    program: Program, server: EmbeddedServer, away: Callable[[EmbeddedServer], Callable[[], None]]
) -> None:
    program.env["DATABASE_URL"] = await url_of(server)
    with Terminal(120, 40) as terminal:
        program.cockpit(terminal, *words(program))
        terminal.wait_for("ACTIVE")
        back = away(server)
        terminal.wait_for("DB DOWN!")  # in the status line
        until(lambda: "CRIT DB DOWN 00:" in terminal.screen()[1] and "a: seen" in terminal.screen()[1], "the banner")
        age = terminal.screen()[1]
        until(lambda: "DB DOWN 00:" in terminal.screen()[1] and terminal.screen()[1] != age, "its age")
        kill(terminal)
        until(lambda: latched(program), "the latch")
        assert program.run("halt").returncode == 0  # from a second shell, as well
        back()
        until(lambda: "DB DOWN" not in terminal.text() and "HALTED" in terminal.screen()[0], "it is back, and HALTED")
        terminal.send(CTRL_Q)
        terminal.wait_for("stop safely")
        terminal.send(ENTER)
        assert terminal.wait_exit() == 0
        assert b"Traceback" not in terminal.raw
    with psycopg.connect(server.dsn("live", SUPERUSER)) as connection:
        (halts,) = connection.execute(
            "select count(*) from qs.events where type = 'TradingStateChanged' and payload->>'state' = 'HALTED'"
        ).fetchone() or (0,)
    assert halts == 1
    with Terminal(80, 24) as terminal:
        program.cockpit(terminal, *words(program))
        until(lambda: "HALTED" in terminal.screen()[0], "still HALTED")
