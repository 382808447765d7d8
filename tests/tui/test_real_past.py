"""The time machine's keys in the real program, in a pseudo-terminal at 80x24."""

from __future__ import annotations

from pathlib import Path

from tests.patience import until
from tests.tui.program import EAGER, Program, write_candles
from tests.tui.terminal import CTRL_Q, ENTER, ESCAPE, F9, Terminal

LEDGER = "past"


def test_the_keys_lead_into_the_past_and_back(tmp_path: Path) -> None:
    program = Program(tmp_path)
    candles = write_candles(tmp_path / "test_BTCUSDT_1m.csv", 3_000)
    feed = ["--replay", str(candles), "--ledger", LEDGER]
    with program.server():
        program.run("run", "--headless", *feed, "--max-candles", "30")
        program.use_config(EAGER, LEDGER)
        program.run("run", "--headless", *feed, "--max-candles", "400")
    with Terminal(80, 24) as terminal:
        program.cockpit(terminal, *feed, "--speed", "12")
        terminal.wait_for("ACTIVE")
        until(lambda: terminal.send("[") or terminal.screen()[0].startswith(" PAST "))
        terminal.wait_for("ago - Esc: now")
        before = terminal.screen()[0]
        until(lambda: terminal.send("[") or terminal.screen()[0] != before)
        terminal.send("t")
        terminal.wait_for("as it was at")
        terminal.send("-2h" + ENTER)
        terminal.wait_for("2h ago - Esc: now")
        terminal.send(" ")  # pauses a replay, in the present
        terminal.wait_for("nothing is sent")
        terminal.send(F9)
        terminal.wait_for("entries are HELD")
        until(lambda: "HELD" in terminal.screen()[0])  # row 0 is of the present
        terminal.send(ESCAPE)
        terminal.wait_for("entries are HELD", gone=True)
        terminal.wait_for("2h ago - Esc: now")
        terminal.send(ESCAPE)
        until(lambda: "PAST" not in terminal.text() and "ACTIVE" in terminal.screen()[0])
        terminal.send(CTRL_Q)
        terminal.wait_for("stop safely")
        terminal.send(ENTER)
        assert terminal.wait_exit() == 0
