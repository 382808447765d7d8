"""`quantsail databases ...` as people run it: the password is never an argument and never comes out."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from db import pgbin
from db.embedded import SUPERUSER
from engine.cli.exits import Exit
from tests.cli.desk import Desk
from tests.db.secrets import HOSTILE, absent, dumped

PASSWORD = "correct horse"


@pytest.fixture
def ledger(desk: Desk, request: pytest.FixtureRequest) -> str:
    return desk.copy(f"databases_{request.node.name.removeprefix('test_')[:40]}".split("[")[0])


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\nanother line\n")
    return path


def add(desk: Desk, ledger: str, name: str, *more: str, host: str = "") -> tuple[str, ...]:
    host = host or str(desk.world.server.socket_dir)
    where = (
        "--type",
        "postgresql",
        "--host",
        host,
        "--port",
        str(pgbin.PORT),
        "--database",
        "postgres",
        "--user",
        SUPERUSER,
    )
    return ("databases", "add", *where, "--ledger", ledger, *more, "--", name)


def test_a_database_is_stored_tested_listed_and_removed(desk: Desk, ledger: str, password_file: Path) -> None:
    empty = desk.run("databases", "list", "--ledger", ledger)
    assert empty.code == 0 and "quantsail databases add" in empty.out
    assert desk.run("databases", "list", "--ledger", ledger, "--json").json == []

    done = desk.run(*add(desk, ledger, "store", "--password-file", str(password_file)))
    assert done.code == 0 and "quantsail databases test store" in done.out and "TLS disable" in done.out
    listed = desk.run("databases", "list", "--ledger", ledger)
    assert "store" in listed.out and "INACTIVE" in listed.out and "never tested" in listed.out
    tested = desk.run("databases", "test", "store", "--ledger", ledger, "--json")
    assert tested.code == 0 and tested.json["ok"] and tested.json["server_version"]
    (row,) = desk.run("databases", "list", "--ledger", ledger, "--json").json
    assert (row["name"], row["status"], row["has_password"]) == ("store", "ACTIVE", True)
    assert " ms" in desk.run("databases", "list", "--ledger", ledger).out

    dry = desk.run("databases", "remove", "store", "--ledger", ledger, "--dry-run")
    assert dry.code == 0 and dry.out.startswith("would remove store")
    assert len(desk.run("databases", "list", "--ledger", ledger, "--json").json) == 1
    gone = desk.run("databases", "remove", "store", "--ledger", ledger, "--json")
    assert gone.json["removed"] is True
    again = desk.run("databases", "remove", "store", "--ledger", ledger)
    assert again.code == Exit.REFUSED and "quantsail databases list" in again.err
    verified = desk.run("audit", "verify", "--ledger", ledger)
    assert verified.code == 0, verified

    text = dumped(desk.world.server, desk.world.server.dsn(ledger, SUPERUSER))
    log = [path.read_text() for path in desk.world.home.rglob("*.log*") if path.is_file()]
    absent(f"{text}{log}{done}{listed}{tested}{dry}{gone}", PASSWORD)
    assert desk.world.home.joinpath("config", "quantsail", "master.key").stat().st_mode & 0o777 == 0o600


def test_a_failed_test_is_one_line_and_exit_1(desk: Desk, ledger: str, password_file: Path) -> None:
    words = add(desk, ledger, "away", "--password-file", str(password_file), "--tls", "disable", host="127.0.0.1")
    assert desk.run(*words).code == 0
    done = desk.run("databases", "test", "away", "--ledger", ledger, "--json", "--timeout", "5")
    assert done.code == Exit.REFUSED and not done.json["ok"] and done.json["error"] in done.err
    (row,) = desk.run("databases", "list", "--ledger", ledger, "--json").json
    assert row["status"] == "ERROR" and row["last_test"]["error"] == done.json["error"]
    absent(f"{done}{row}", PASSWORD)


def test_the_password_comes_from_a_file_from_stdin_or_from_the_terminal(
    desk: Desk, ledger: str, password_file: Path, tmp_path: Path
) -> None:
    program = [sys.executable, "-m", "engine.cli.main"]
    piped = subprocess.run(
        [*program, *add(desk, ledger, "piped", "--password-file", "-")],
        input=PASSWORD + "\n", env=desk.world.env, cwd=desk.world.home, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert piped.returncode == 0, piped.stderr

    parent, child = pty.openpty()
    with subprocess.Popen(
        [*program, *add(desk, ledger, "typed")], stdin=child, stdout=child, stderr=child, env=desk.world.env,
        cwd=desk.world.home, start_new_session=True,
    ) as typing:  # fmt: skip
        os.close(child)
        said = b""
        while b"Password of" not in said:
            said += os.read(parent, 1_000)
        os.write(parent, PASSWORD.encode() + b"\n")
        with os.fdopen(parent, "rb", buffering=0) as screen:
            try:
                while more := screen.read(1_000):
                    said += more
            except OSError:
                pass  # Linux's way to say that the other side has ended
        assert typing.wait() == 0, said
    assert PASSWORD.encode() not in said and b"typed stored" in said

    assert desk.run(*add(desk, ledger, "none", "--no-password")).code == 0
    rows = desk.run("databases", "list", "--ledger", ledger, "--json").json
    assert [(row["name"], row["has_password"]) for row in rows] == [("piped", True), ("typed", True), ("none", False)]

    (tmp_path / "empty").write_text("\nx")
    (tmp_path / "latin").write_bytes(b"\xe9")
    (tmp_path / "long").write_text("x" * 20_000)
    for name in ("empty", "latin", "long", "absent", "."):
        refused = desk.run(*add(desk, ledger, "no", "--password-file", str(tmp_path / name)))
        assert refused.code == Exit.USAGE, refused
    refused = desk.run(*add(desk, ledger, "no", "--password-file", str(password_file), "--no-password"))
    assert refused.code == Exit.USAGE
    refused = subprocess.run(
        [*program, *add(desk, ledger, "no")], stdin=subprocess.DEVNULL, env=desk.world.env, cwd=desk.world.home,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert refused.returncode == Exit.USAGE and "--password-file" in refused.stderr


def test_hostile_names_are_harmless(desk: Desk, ledger: str) -> None:
    done = desk.run(*add(desk, ledger, HOSTILE, "--no-password"))
    assert done.code == 0
    listed = desk.run("databases", "list", "--ledger", ledger)
    with psycopg.connect(desk.world.server.dsn(ledger, SUPERUSER), autocommit=True) as connection:
        connection.execute("update qs.database_configs set name = %s, username = %s, database = %s", [HOSTILE] * 3)
    by_hand = desk.run("databases", "list", "--ledger", ledger)
    missing = desk.run("databases", "test", HOSTILE + "x", "--ledger", ledger)
    for said in (done, listed, by_hand, missing):
        assert not {"\x1b", "\x07", "\u202e", "\u200b"} & set(said.out + said.err), said
    assert json.loads(desk.run("databases", "list", "--ledger", ledger, "--json").out)[0]["name"] == HOSTILE
    assert "\x1b" not in desk.run("databases", "list", "--ledger", ledger, "--json").out
    assert desk.run("databases", "remove", HOSTILE, "--ledger", ledger).code == 0


def test_another_master_key_is_told_in_one_line(desk: Desk, ledger: str, password_file: Path, tmp_path: Path) -> None:
    assert desk.run(*add(desk, ledger, "store", "--password-file", str(password_file))).code == 0
    config = tmp_path / "other"
    refused = desk.run("databases", "test", "store", "--ledger", ledger, XDG_CONFIG_HOME=str(config))
    assert refused.code == Exit.REFUSED and "master key" in refused.err
    assert not config.exists()
    key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    refused = desk.run("databases", "test", "store", "--ledger", ledger, QUANTSAIL_MASTER_KEY=key)
    assert refused.code == Exit.REFUSED and "wrapped with another master key" in refused.err
    absent(str(refused), key)


def test_a_ledger_without_an_operator_says_what_to_do(desk: Desk) -> None:
    desk.world.server.create_database("nobodys")
    desk.directory("nobodys").mkdir(parents=True)
    done = desk.run("databases", "list", "--ledger", "nobodys")
    assert done.code == Exit.NOT_RUNNING and "start `quantsail` on it once" in done.err


def test_a_missing_driver_is_named(desk: Desk, ledger: str) -> None:
    words = (
        "databases",
        "add",
        "m",
        "--type",
        "mysql",
        "--host",
        "127.0.0.1",
        "--port",
        "1",
        "--database",
        "d",
        "--no-password",
    )
    assert desk.run(*words, "--ledger", ledger).code == 0
    done = desk.run("databases", "test", "m", "--ledger", ledger)
    assert done.code == Exit.REFUSED and ("quantsail[mysql]" in done.err or "connect" in done.err.lower())
