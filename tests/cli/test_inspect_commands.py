"""`events`, `logs`, `ledgers`, `doctor`, `--help`: what they print; and what halting does not import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from engine.cli import run
from engine.cli.app import app
from engine.cli.docs import markdown
from engine.cli.exits import MEANINGS, Exit
from engine.cli.main import COCKPIT_VALUES, _by_typer, _cockpit_at_once, _halt_at_once, _taken
from engine.core.text import safe_text
from engine.halt import HALT_REASON
from tests.chaos.world import ROOT
from tests.cli.desk import Desk
from tests.patience import until
from tests.tui.program import Program

HEAVY = ("numpy", "pydantic", "asyncpg", "structlog", "textual", "ccxt", "psycopg", "typer")


def modules_after(desk: Desk, *words: str, before: str = "") -> set[str]:
    """Top-level modules that a command has imported by its end, run after some lines of Python."""
    program = (
        f"{before}\n"
        "import sys, runpy, json\n"
        "try:\n    runpy.run_module('engine.cli.main', run_name='__main__')\n"
        "except SystemExit as error:\n    assert not error.code, error.code\n"
        "print('\\n' + json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.argv[1:] = {list(words)!r}\n{program}"],
        env=desk.world.env,
        cwd=desk.world.home,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_halt_imports_nothing_heavy_and_no_command_line_library(desk: Desk) -> None:
    ledger = desk.copy("light")
    assert not modules_after(desk, "halt", "--ledger", ledger, "--wait") & set(HEAVY)
    assert (desk.directory(ledger) / "HALTED").exists()


def test_help_imports_nothing_heavy(desk: Desk) -> None:
    assert not modules_after(desk, "--help") & (set(HEAVY) - {"typer"})
    ours = set(HEAVY) - {"typer", "pydantic"}  # Typer itself uses pydantic to read a command's options
    for words in (("halt", "--help"), ("config", "--help"), ("status", "--help")):
        assert not modules_after(desk, *words) & ours, words


@pytest.mark.parametrize(
    "words", [["halt", "--bogus"], ["halt", "--help"], ["halt", "x"], ["halt", "-r"], ["status"], []]
)
def test_what_is_not_a_plain_halt_is_left_to_typer(words: list[str]) -> None:
    assert _halt_at_once(words) is None


def test_a_reason_may_look_like_an_option() -> None:
    values = {"--reason": ""}
    assert _taken(["-r", "-r"], values, {}) and values == {"--reason": "-r"}


@pytest.mark.parametrize(
    "words",
    [
        "status",
        "--help",
        "--version",
        "--simulate",
        "--simulate x",
        "--simulate=",
        "--simulate 1 run",
        "--view=1",
        "-- --view",
        "--mouse --no-mouse",
        "--bogus",
        "--replay x.csv",
        "--symbol BTC/USDT",
    ],
)
def test_what_is_not_the_plain_cockpit_is_left_to_typer(words: str) -> None:
    assert _cockpit_at_once(words.split()) is None


def test_the_cockpit_starts_with_the_options_that_typer_would_give_it(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[Any, ...]] = []
    monkeypatch.setattr(run, "run_cockpit", lambda options, *, mouse, view: started.append((options, mouse, view)) or 0)
    full = "--simulate=7 --speed max --seed 3 --ledger a --balance 12.5 --timeframe 5m --live-data kraken --view --no-mouse"
    for words in ([], full.split(), ["--mouse", "--speed", "30", "--speed", "20", "--simulate", "-1"]):
        assert _cockpit_at_once(words) == _by_typer(words) == 0
        at_once, by_typer = started[-2:]
        assert at_once == by_typer
    assert len({str(one) for one in started}) == 3
    known = {option for param in get_command(app).params for option in (*param.opts, *param.secondary_opts)}
    assert {*COCKPIT_VALUES, "--view", "--mouse", "--no-mouse"} < known


def test_the_cockpit_is_started_without_the_command_line_library(desk: Desk) -> None:
    ended = "import sys; from tui import driver; driver.terminal_problem = lambda: sys.exit(0)"
    assert "typer" not in modules_after(desk, "--view", before=ended)


def test_a_halt_that_typer_parses_has_the_same_options(desk: Desk) -> None:
    said = desk.run("halt", "--help").out
    for option in ("--reason", "-r", "--ledger", "--wait", HALT_REASON):
        assert option in said


def test_events_in_plain_words(desk: Desk) -> None:
    lines = desk.run("events", "--ledger", "base", "-n", "1000").out.splitlines()
    assert len(lines) > 100
    assert all(line == safe_text(line, 1_000) for line in lines)
    assert "LedgerOpened" in lines[0] and "PAPER on replay:binance:BTC/USDT:1m" in lines[0]
    filled = next(line for line in lines if "OrderFilled" in line)
    assert ("2025-01-01 0" in filled and "BTC/USDT" in filled) or "ETH/USDT" in filled
    assert len(desk.run("events", "--ledger", "base", "-n", "3").out.splitlines()) == 3
    assert desk.run("events", "--ledger", "base", "-n", "0").out == ""


def test_events_as_json_lines(desk: Desk) -> None:
    events = [json.loads(line) for line in desk.run("events", "--ledger", "base", "-n", "5", "--json").out.splitlines()]
    assert [e["seq"] for e in events] == list(range(events[0]["seq"], events[0]["seq"] + 5))
    assert all(e["payload"]["type"] == e["type"] and isinstance(e["ts"], int) for e in events)


def test_events_follow_what_comes(desk: Desk) -> None:
    ledger = desk.copy("followed")
    desk.start(ledger)
    words = [sys.executable, "-m", "engine.cli.main", "events", "--ledger", ledger, "-n", "1", "--follow", "--json"]
    follower = subprocess.Popen(words, env=desk.world.env, stdout=subprocess.PIPE, text=True)
    try:
        assert follower.stdout is not None
        first = json.loads(follower.stdout.readline())
        assert desk.run("halt", "--ledger", ledger, "--wait").code == Exit.OK
        following = json.loads(follower.stdout.readline())
        assert (following["seq"], following["type"]) == (first["seq"] + 1, "TradingStateChanged")
    finally:
        follower.kill()
        follower.communicate()


def test_a_reader_that_leaves_early_is_no_error_to_read_about(desk: Desk) -> None:
    command = f"{sys.executable} -m engine.cli.main events --ledger base -n 1000 --json | head -n 1"
    done = subprocess.run(
        ["/bin/sh", "-c", command], env=desk.world.env, cwd=desk.world.home, capture_output=True, text=True, check=True
    )
    assert done.stderr == "" and json.loads(done.stdout)["seq"] >= 1


def test_logs(desk: Desk) -> None:
    ledger = desk.copy("logged")
    desk.start(ledger)
    assert desk.run("resume", "--ledger", ledger, "--reason", "to be logged").code in (Exit.OK, Exit.REFUSED)

    def logged() -> bool:
        return any(r["event"] == "command" and r.get("reason") == "to be logged" for r in records())

    def records() -> list[dict[str, object]]:
        return [json.loads(line) for line in desk.run("logs", "-n", "100", "--json").out.splitlines()]

    until(logged)
    assert "to be logged" in desk.run("logs", "-n", "100").out
    assert len(desk.run("logs", "-n", "1").out.splitlines()) == 1


def test_no_log_yet(desk: Desk, tmp_path: Path) -> None:
    done = desk.run("logs", XDG_DATA_HOME=str(tmp_path))
    assert done.code == Exit.OK and done.out == "" and "no log yet" in done.err


def test_ledgers(desk: Desk, tmp_path: Path) -> None:
    rows = {row["ledger"]: row for row in desk.run("ledgers", "--json").json}
    base = rows["base"]
    assert (base["mode"], base["seed"], base["state"], base["running"]) == ("PAPER", 7, "ACTIVE", False)
    assert base["feed"].startswith("replay:binance:BTC/USDT:1m@") and isinstance(base["equity"], str)
    assert "base" in desk.run("ledgers").out
    assert desk.run("ledgers", "--json", XDG_DATA_HOME=str(tmp_path)).json == []


def test_a_ledger_must_be_named_where_there_are_several(desk: Desk) -> None:
    desk.copy("another")
    for words in (("status",), ("events",), ("audit", "verify"), ("config", "list"), ("resume", "-r", "x")):
        done = desk.run(*words)
        assert done.code == Exit.USAGE and "which ledger?" in done.err
    unknown = desk.run("status", "--ledger", "nobody")
    assert unknown.code == Exit.NOT_RUNNING and "base" in unknown.err


def test_doctor_looks_and_changes_nothing(tmp_path: Path) -> None:
    """In an installation of its own: doctor looks at every ledger, and other tests forge theirs."""
    program = Program(tmp_path)
    program.run("run", "--headless", "--simulate", "7", "--max-candles", "10")
    before = program.json("ledgers")
    found = program.json("doctor")
    assert found["ok"] and {c["name"] for c in found["checks"]} >= {"python", "data folder", "postgres", "database"}
    assert program.json("ledgers") == before
    assert program.run("doctor").stdout.count("ok  ") == len(found["checks"])


def test_completion_is_offered(desk: Desk) -> None:
    done = desk.run(_QUANTSAIL_COMPLETE="complete_bash", COMP_WORDS="quantsail aud", COMP_CWORD="1")
    assert done.out.split() == ["audit"]


def test_the_page_of_commands_is_what_the_program_says() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert page == markdown(), "make it anew: python -m engine.cli.docs > docs/commands.md"
    assert all(f"| {int(code)} |" in page for code in Exit)
    assert MEANINGS.keys() == set(Exit)
