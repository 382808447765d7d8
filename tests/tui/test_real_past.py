"""The time machine's keys in the real program, in a pseudo-terminal at 80x24."""

from __future__ import annotations

from pathlib import Path

import psycopg

from db.embedded import SUPERUSER
from engine.cli.exits import Exit
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


def emptied(dsn: str) -> None:
    """Without its read tables a database is as an archive: the journal alone."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for table, trigger in connection.execute(
            "select c.relname, t.tgname from pg_trigger t join pg_class c on c.oid = t.tgrelid"
            " where c.relnamespace = 'qs'::regnamespace and t.tgenabled = 'A'"
        ).fetchall():
            connection.execute(f"alter table qs.{table} disable trigger {trigger}".encode())  # they guard themselves
        names = connection.execute("select table_name from qs.table_classes where class = 'PROJECTION'").fetchall()
        connection.execute(f"truncate {', '.join(f'qs.{name}' for (name,) in names)} cascade".encode())


def test_a_ledger_without_read_tables_opens_in_the_past_and_sends_nothing(tmp_path: Path) -> None:
    program = Program(tmp_path)
    candles = write_candles(tmp_path / "test_BTCUSDT_1m.csv", 3_000)
    feed = ["--replay", str(candles), "--ledger", LEDGER]
    with program.server() as server:
        program.run("run", "--headless", *feed, "--max-candles", "30")
        program.use_config(EAGER, LEDGER)
        program.run("run", "--headless", *feed, "--max-candles", "400")
        emptied(server.dsn(LEDGER, SUPERUSER))
        printed = program.run("replay", "--ledger", LEDGER, "--at", "-3h").stdout
        moment = printed[len("PAST ") : len("PAST 2025-01-01 00:00:00Z")]
        with Terminal(120, 40) as terminal:
            program.cockpit(terminal, "replay", "--ledger", LEDGER, "--at", "-3h")
            terminal.wait_for(f"PAST {moment} │ of ledger {LEDGER}, no engine behind it")
            assert terminal.screen()[0].startswith(f" PAST {moment}")
            terminal.wait_for("{ back to type")
            assert "Esc" not in terminal.screen()[-1]  # here it leads nowhere: there is no now
            for key, words in (
                ("0", "not recorded"),
                ("2", "fills"),
                ("5", "risk gates of account"),
                ("6", "active: v"),
                ("7", "eager"),
                ("1", "positions"),
            ):
                terminal.send(key)
                terminal.wait_for(words)
            terminal.send("[")
            until(lambda: moment not in terminal.screen()[0])
            terminal.wait_for(f"Esc to {moment[5:16]}Z")
            terminal.send(ESCAPE)
            until(lambda: moment in terminal.screen()[0])
            terminal.send("X")
            terminal.wait_for("nothing is sent")
            terminal.send(F9)
            terminal.wait_for("this cockpit only looks")
            terminal.send(ESCAPE)
            terminal.wait_for("this cockpit only looks", gone=True)
            terminal.send("t")
            terminal.wait_for("as it was at")
            terminal.send("-1h" + ENTER)
            terminal.wait_for("1h before the newest event")
            terminal.send(CTRL_Q)
            assert terminal.wait_exit() == Exit.OK
        assert program.run("replay", "--ledger", LEDGER, "--at", "-3h").stdout == printed
