"""`halt`, `resume`, `stop`, `status`: what stops trading needs nothing but a file system; what starts it again needs a reason."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from db import pgbin
from db.embedded import SUPERUSER
from engine.cli.exits import Exit
from engine.core.config import Config, parse_config
from engine.halt import Latch
from engine.naming import url_ledger_name
from tests.cli.desk import BASE, Desk
from tests.patience import until


def eager() -> Config:
    """Enters after every rising bar, so that entries are under way all the time."""
    bot = {
        "name": "eager",
        "strategy": {"schema": 1, "entry_long": {"op": "gt", "left": "close", "right": "open"}},
        "sizing": {"kind": "fixed_notional", "value": "100"},
        "exits": {"stop_loss_pct": "0.3", "take_profit_pct": "0.3", "trailing": None},
    }
    return parse_config({"schema": 1, "bots": [bot]})


def open_entries(status: dict[str, Any]) -> list[Any]:
    return [o for o in status.get("orders", ()) if o["is_open"] and o["role"] == "ENTRY"]


def test_status_of_a_ledger_that_is_not_running(desk: Desk) -> None:
    ledger = desk.copy("still")
    now = desk.run("status", "--ledger", ledger, "--json").json
    assert (now["ledger"], now["running"], now["latched"], now["state"]) == (ledger, False, False, "ACTIVE")
    assert isinstance(now["equity"], str) and not now["equity"].endswith("0")
    plain = desk.run("status", "--ledger", ledger).out
    assert ledger in plain and "not running" in plain and "ACTIVE" in plain


def test_status_of_a_running_engine_and_a_safe_stop(desk: Desk) -> None:
    ledger = desk.copy("moving")
    program = desk.start(ledger)
    now = desk.run("status", "--ledger", ledger, "--json").json
    assert now["running"] and now["pid"] == program.pid
    assert f"running, pid {program.pid}" in desk.run("status", "--ledger", ledger).out
    stopped = desk.run("stop", "--ledger", ledger)
    assert stopped.code == Exit.OK and str(program.pid) in stopped.out
    assert program.wait() == 0
    assert not desk.run("status", "--ledger", ledger, "--json").json["running"]
    assert desk.run("stop", "--ledger", ledger).code == Exit.NOT_RUNNING


def test_status_says_that_an_unopened_database_cannot_be_reached(desk: Desk, tmp_path: Path) -> None:
    """No file of an engine, and DATABASE_URL leads nowhere: that is why, whether a start has made the folder or not."""
    nowhere = {"DATABASE_URL": "postgresql://me:secret@127.0.0.1:1/x", "XDG_DATA_HOME": str(tmp_path)}
    for words in (("status",), ("status", "--json"), ("positions",)):
        done = desk.run(*words, **nowhere)
        assert done.code == Exit.DATABASE and "Check DATABASE_URL" in done.err and "secret" not in done.err
        (tmp_path / "quantsail" / "ledgers" / url_ledger_name(nowhere["DATABASE_URL"])).mkdir(
            parents=True, exist_ok=True
        )
        assert not done.out
    assert desk.run("halt", **nowhere).code == Exit.OK  # the way out needs no database


def test_status_needs_no_database_once_an_engine_has_written_its_file(desk: Desk, tmp_path: Path) -> None:
    nowhere = {"DATABASE_URL": "postgresql://me:secret@127.0.0.1:1/x", "XDG_DATA_HOME": str(tmp_path)}
    folder = tmp_path / "quantsail" / "ledgers" / url_ledger_name(nowhere["DATABASE_URL"])
    folder.mkdir(parents=True)
    (folder / "status.json").write_bytes((desk.directory(BASE) / "status.json").read_bytes())
    done = desk.run("status", **nowhere)
    assert done.code == Exit.OK and "not running" in done.out


@pytest.mark.parametrize("url", ["nonsense", "postgresql://me:secret@host:port/x", "mysql://me:secret@host/x"])
def test_an_address_that_is_none_is_refused_in_words_of_its_variable(desk: Desk, tmp_path: Path, url: str) -> None:
    done = desk.run("status", DATABASE_URL=url, XDG_DATA_HOME=str(tmp_path))
    assert done.code == Exit.USAGE and "DATABASE_URL is no PostgreSQL address" in done.err and "secret" not in done.err


def test_a_killed_engine_does_not_count_as_running(desk: Desk) -> None:
    ledger = desk.copy("killed")
    program = desk.start(ledger)
    program.kill()
    program.wait()
    assert not desk.run("status", "--ledger", ledger, "--json").json["running"]


def test_halt_wait_returns_when_the_engine_is_halted_and_its_entries_are_gone(desk: Desk) -> None:
    ledger = desk.fresh("eager", eager())
    program = desk.start(ledger, "--speed", "10")  # a bar every six seconds: an entry waits for the next one
    until(lambda: bool(open_entries(desk.status(ledger))))
    done = desk.run("halt", "--ledger", ledger, "--wait", "--reason", "fire drill")
    assert done.code == Exit.OK and "verified: HALTED, no open entries" in done.out
    now = desk.run("status", "--ledger", ledger, "--json").json
    assert (now["state"], now["state_reason"], now["running"]) == ("HALTED", "fire drill", True)
    assert not open_entries(now)
    lines = [json.loads(line) for line in desk.run("events", "--ledger", ledger, "-n", "50", "--json").out.splitlines()]
    halted = next(n for n, e in enumerate(lines) if e["type"] == "TradingStateChanged")
    later = lines[halted:]
    assert any(e["type"] == "OrderCanceled" for e in later)
    assert not [e for e in later if e["type"] == "OrderSubmitted" and e["payload"]["role"] == "ENTRY"]

    program.send_signal(signal.SIGKILL)
    program.wait()
    again = desk.start(ledger, "--speed", "20")
    now = desk.run("status", "--ledger", ledger, "--json").json
    assert (now["state"], now["state_reason"]) == ("HALTED", "fire drill")

    assert desk.run("resume", "--ledger", ledger).code == Exit.USAGE
    assert desk.run("resume", "--ledger", ledger, "--reason", "  ").code == Exit.USAGE
    resumed = desk.run("resume", "--ledger", ledger, "--reason", "drill is over", "--json")
    assert resumed.json["done"] and "ACTIVE" in resumed.json["text"]
    until(lambda: desk.status(ledger).get("state") == "ACTIVE")
    assert not desk.run("status", "--ledger", ledger, "--json").json["latched"]
    assert again.poll() is None


def test_a_halted_ledger_without_an_engine_starts_halted_and_is_resumed_offline(desk: Desk) -> None:
    ledger = desk.copy("offline")
    done = desk.run("halt", "--ledger", ledger, "-r", "nobody home")
    assert done.code == Exit.OK and "it will start HALTED" in done.out
    assert desk.run("status", "--ledger", ledger, "--json").json["state"] == "HALTED"
    ended = desk.trade(ledger, "--json").json
    assert ended["state"] == "HALTED"
    assert desk.run("halt", "--ledger", ledger, "--wait").code == Exit.OK
    resumed = desk.run("resume", "--ledger", ledger, "--reason", "looked at it")
    assert resumed.code == Exit.OK and "ACTIVE" in resumed.out
    now = desk.run("status", "--ledger", ledger, "--json").json
    assert (now["state"], now["latched"]) == ("ACTIVE", False)
    assert desk.trade(ledger, "--json").json["state"] == "ACTIVE"
    changes = [e for e in _events(desk, ledger) if e["type"] == "TradingStateChanged"]
    assert [(e["payload"]["state"], e["payload"]["reason"]) for e in changes] == [
        ("HALTED", "nobody home"),
        ("ACTIVE", "looked at it"),
    ]
    assert desk.run("audit", "verify", "--ledger", ledger).code == Exit.OK


def test_a_resume_is_not_undone_by_its_own_latch_while_its_commit_waits(desk: Desk) -> None:
    """The latch goes when the resume is durable; until then it must not halt what is being resumed."""
    ledger = desk.copy("slow_commit")
    desk.run("halt", "--ledger", ledger)
    desk.start(ledger)
    with psycopg.connect(desk.world.server.dsn(ledger, SUPERUSER)) as blocker:
        blocker.execute("select * from qs.log_heads where log = 'events' for update")
        words = ["resume", "--ledger", ledger, "--reason", "slowly", "--json"]
        asking = subprocess.Popen(
            [sys.executable, "-m", "engine.cli.main", *words], env=desk.world.env, stdout=subprocess.PIPE, text=True
        )
        until(lambda: desk.status(ledger).get("state") == "ACTIVE")  # decided, not committed
        # Ten looks at the latch fit into the second that passes until the next status is written.
        written = desk.status(ledger)["written_at"]
        until(lambda: desk.status(ledger)["written_at"] > written)
        blocker.rollback()
    assert json.loads(asking.communicate()[0])["done"]
    written = desk.status(ledger)["written_at"]
    until(lambda: desk.status(ledger)["written_at"] > written)
    assert desk.status(ledger)["state"] == "ACTIVE"
    assert not (desk.directory(ledger) / "HALTED").exists()
    assert [e["payload"]["state"] for e in _events(desk, ledger) if e["type"] == "TradingStateChanged"] == [
        "HALTED",
        "ACTIVE",
    ]


def test_resuming_what_is_not_halted_changes_nothing(desk: Desk) -> None:
    ledger = desk.copy("awake")
    done = desk.run("resume", "--ledger", ledger, "--reason", "just in case")
    assert done.code in (Exit.OK, Exit.REFUSED)
    assert not [e for e in _events(desk, ledger) if e["type"] == "TradingStateChanged"]


def test_halt_works_with_a_dead_database_and_starts_none(desk: Desk) -> None:
    ledger = desk.copy("dead")
    server = desk.world.server
    assert server.pid is not None
    for pid in (server.pid, *pgbin.processes_using(server.data_dir)):  # the first takes the others along, but slowly
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    try:
        until(lambda: not pgbin.processes_using(server.data_dir))
        done = desk.run("halt", "--ledger", ledger, "--wait")
        assert done.code == Exit.OK and "latched" in done.out
        assert desk.run("status", "--ledger", ledger, "--json").json["state"] == "HALTED"
        assert not pgbin.processes_using(server.data_dir)
    finally:
        server.ensure()


def test_an_engine_whose_database_is_gone_says_so_waits_and_can_be_halted(desk: Desk) -> None:
    ledger = desk.copy("waiting")
    program = desk.start(ledger)
    server = desk.world.server
    assert not desk.status(ledger)["database_down_mono"]
    with (server.home / "start.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # nobody can start the server again
        os.kill(server.pid or 0, signal.SIGKILL)
        until(lambda: bool(desk.status(ledger)["database_down_mono"]))
        done = desk.run("halt", "--ledger", ledger, "--reason", "in the dark")
        assert done.code == Exit.OK and (desk.directory(ledger) / "HALTED").exists()
        assert program.poll() is None
    until(lambda: desk.status(ledger)["state"] == "HALTED" and not desk.status(ledger)["database_down_mono"])
    server.ensure()
    assert desk.run("stop", "--ledger", ledger).code == Exit.OK
    assert program.wait() == 0
    changed, ended = _events(desk, ledger)[-2:]
    assert (changed["type"], changed["payload"]["reason"]) == ("TradingStateChanged", "in the dark")
    assert ended["type"] == "StopCompleted"


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Two ledgers of which there are only the folders: all that halting needs."""
    for name in ("one", "two"):
        (tmp_path / "quantsail" / "ledgers" / name).mkdir(parents=True)
    return tmp_path


def latches(folders: Path) -> list[str]:
    return sorted(p.parent.name for p in folders.glob("quantsail/ledgers/*/HALTED"))


def test_halt_without_a_name_means_all_of_it(desk: Desk, folders: Path) -> None:
    done = desk.run("halt", XDG_DATA_HOME=str(folders))
    assert done.code == Exit.OK and latches(folders) == ["one", "two"]
    assert [line.split(":")[0] for line in done.out.splitlines()] == ["one", "two"]


def test_halt_of_one_ledger_leaves_the_others_alone(desk: Desk, folders: Path) -> None:
    assert desk.run("halt", "--ledger=two", "--reason=x", XDG_DATA_HOME=str(folders)).code == Exit.OK
    assert latches(folders) == ["two"]
    assert json.loads((folders / "quantsail/ledgers/two/HALTED").read_text())["reason"] == "x"


def test_a_full_disk_does_not_keep_a_ledger_from_being_halted(desk: Desk, folders: Path) -> None:
    """The latch is that the file is there; who and why need a byte of room, and are lost without one."""
    program = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); sys.argv = ['quantsail', 'halt', '-r', 'now'];"
        "from engine.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=desk.world.env | {"XDG_DATA_HOME": str(folders), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == Exit.OK and "one: latched" in done.stdout, done
    assert latches(folders) == ["one", "two"]
    assert Latch(folders / "quantsail/ledgers/one").read() == ("unknown", "unreadable latch file HALTED")


def test_an_engine_that_writes_no_more_is_not_taken_for_one_that_has_ended(desk: Desk, folders: Path) -> None:
    file = folders / "quantsail/ledgers/one/status.json"
    facts = {"pid": os.getpid(), "running": True, "written_at": time.time() - 60}
    file.write_text(json.dumps(facts))
    said = desk.run("status", "--ledger", "one", XDG_DATA_HOME=str(folders)).out
    assert f"SILENT: process {os.getpid()} is there" in said and "not running" not in said
    refused = desk.run("stop", "--ledger", "one", XDG_DATA_HOME=str(folders))  # this very test would be ended
    assert refused.code == Exit.NOT_RUNNING and "`quantsail halt` holds it" in refused.err
    assert "SILENT" in desk.run("halt", "--ledger", "one", XDG_DATA_HOME=str(folders)).out
    file.write_text(json.dumps(facts | {"running": False}))
    assert "not running" in desk.run("status", "--ledger", "one", XDG_DATA_HOME=str(folders)).out


def test_halting_twice_keeps_the_first_reason(desk: Desk, folders: Path) -> None:
    for reason in ("first", "second"):
        assert desk.run("halt", "--ledger", "one", "-r", reason, XDG_DATA_HOME=str(folders)).code == Exit.OK
    assert json.loads((folders / "quantsail/ledgers/one/HALTED").read_text())["reason"] == "first"


def test_a_ledger_that_cannot_be_latched_is_named_and_the_others_are_latched(desk: Desk, folders: Path) -> None:
    if not Path("/proc/self").is_dir():
        pytest.skip("needs a folder in which not even root can make a file")
    (folders / "quantsail" / "ledgers" / "broken").symlink_to("/proc/self")
    done = desk.run("halt", XDG_DATA_HOME=str(folders))
    assert done.code == Exit.REFUSED and "broken: NOT latched" in done.err
    assert {"one", "two"} <= set(latches(folders))


def test_halt_of_an_unknown_ledger_names_the_known_ones(desk: Desk, folders: Path) -> None:
    done = desk.run("halt", "--ledger", "three", XDG_DATA_HOME=str(folders))
    assert done.code == Exit.NOT_RUNNING and "one, two" in done.err
    assert latches(folders) == []


def test_nothing_to_halt_is_not_an_error(desk: Desk, tmp_path: Path) -> None:
    assert desk.run("halt", XDG_DATA_HOME=str(tmp_path)).code == Exit.OK


def _events(desk: Desk, ledger: str) -> list[dict[str, Any]]:
    out = desk.run("events", "--ledger", ledger, "-n", "100000", "--json").out
    return [json.loads(line) for line in out.splitlines()]
