"""Screen 0 of the real program on a real server: facts, retention, and an audit trail that is read and verified."""

from __future__ import annotations

from pathlib import Path

from tests.patience import until
from tests.tui.program import EAGER, Program, write_candles
from tests.tui.terminal import CTRL_Q, ENTER, Terminal

LEDGER = "drill"


def test_the_real_program_reads_its_database_and_verifies_itself(tmp_path: Path) -> None:
    program = Program(tmp_path)
    candles = write_candles(tmp_path / "test_BTCUSDT_1m.csv", 3_000)
    replay = ["--replay", str(candles), "--ledger", LEDGER]
    with program.server(), Terminal(200, 60) as terminal:
        program.run("run", "--headless", *replay, "--max-candles", "30")
        program.use_config(EAGER, LEDGER)
        program.run("run", "--headless", *replay, "--max-candles", "200")
        program.cockpit(terminal, *replay, "--speed", "60")
        terminal.wait_for("ACTIVE")
        terminal.send("0")
        terminal.wait_for("PostgreSQL")
        for words in ("last commit", "run 2", "GB free of", "retention", "nothing of", "smoke runs", "reconciliation"):
            terminal.wait_for(words)
        terminal.wait_for("CONFIG_STORED")  # a program wrote it, for nobody in particular
        assert "not readable" not in terminal.text() and "newest)" in terminal.text()
        terminal.send("V")
        until(lambda: "read tables equal" in terminal.text())
        terminal.send("[")
        until(lambda: "PAST" in terminal.screen()[0])
        terminal.wait_for("~ not recorded")
        terminal.wait_for("CONFIG_STORED")
        terminal.wait_for("to then")
        assert "not read " not in terminal.text()
        terminal.send("\x1b")
        until(lambda: "PAST" not in terminal.text())
        terminal.send(CTRL_Q)
        terminal.wait_for("stop safely")
        terminal.send(ENTER)
        assert terminal.wait_exit() == 0
