"""PostgreSQL's programs and the accounts they run as: what is found, repaired, refused; root and ordinary users."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from db import pgbin
from db.embedded import SUPERUSER, EmbeddedPostgresError, EmbeddedServer, PgBinaries, find_binaries
from db.pgbin import BinariesError, ServerStartError

Start = Callable[..., Any]
NOBODY = 65534
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def ask(server: EmbeddedServer, query: str) -> Any:
    with psycopg.connect(server.dsn("postgres", SUPERUSER), autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        row = cursor.fetchone() if cursor.description else None
    return row[0] if row else None


def one_line_with(error: pytest.ExceptionInfo[EmbeddedPostgresError], *words: str) -> None:
    text = str(error.value)
    assert "\n" not in text
    assert [word for word in words if word not in text] == []


def owners_of(home: Path) -> set[int]:
    return {path.lstat().st_uid for path in (home, *home.rglob("*"))}


def test_an_ordered_directory_of_programs_is_used_or_refused(
    home: Path, pg_binaries: PgBinaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUANTSAIL_PG_BIN", str(pg_binaries.bin_dir))
    assert find_binaries() == pg_binaries
    with pytest.raises(BinariesError) as other:
        find_binaries(major=99)
    one_line_with(other, "QUANTSAIL_PG_BIN", "99", "DATABASE_URL")
    monkeypatch.setenv("QUANTSAIL_PG_BIN", str(home))
    with pytest.raises(BinariesError) as empty:
        find_binaries()
    one_line_with(empty, "no postgres, initdb, pg_ctl", "DATABASE_URL")


@pytest.mark.parametrize(
    ("says", "words"),
    [("postgres (PostgreSQL) 14.2", ["14", "15 or newer"]), ("\x1b]0;owned\x07 hello", ["--version said", "hello"])],
)
def test_programs_that_are_too_old_or_strange_are_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, says: str, words: list[str]
) -> None:
    fake_programs(home, says, mode=0o755)
    monkeypatch.setenv("QUANTSAIL_PG_BIN", str(home))
    with pytest.raises(BinariesError) as refused:
        find_binaries()
    one_line_with(refused, *words)
    assert "\x1b" not in str(refused.value)


def test_the_newest_of_the_wheel_is_found_without_import_and_its_lost_executable_bits_come_back(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = home / pgbin.WHEEL_PACKAGE
    fake_programs(package / "pginstall" / "bin", "postgres (PostgreSQL) 16.14", mode=0o644)
    fake_programs(package / "pginstall18" / "bin", "postgres (PostgreSQL) 18.4", mode=0o640)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(home))
    monkeypatch.delenv("QUANTSAIL_PG_BIN", raising=False)
    monkeypatch.setattr(pgbin, "SYSTEM_ROOT", home / "none")
    monkeypatch.setenv("PATH", "/none")
    newest = find_binaries()
    assert (newest.major, newest.bin_dir) == (18, package / "pginstall18" / "bin")
    assert stat.S_IMODE(newest.tool("initdb").stat().st_mode) == 0o750
    assert find_binaries(16).bin_dir == package / "pginstall" / "bin"
    with pytest.raises(BinariesError) as missing:
        find_binaries(17)
    one_line_with(missing, "17", "is version 18", "is version 16", "DATABASE_URL")
    with pytest.raises(BinariesError, match="no pg_dump"):
        newest.tool("pg_dump")


def test_lost_executable_bits_elsewhere_are_reported_not_repaired(home: Path) -> None:
    fake_programs(home, "postgres (PostgreSQL) 18.4", mode=0o644)
    with pytest.raises(BinariesError) as refused:
        pgbin.inspect_binaries(home)
    one_line_with(refused, "chmod a+x")
    assert stat.S_IMODE((home / "postgres").stat().st_mode) == 0o644


def fake_programs(bin_dir: Path, says: str, mode: int) -> None:
    bin_dir.mkdir(parents=True)
    for name in pgbin.PROGRAMS:
        (bin_dir / name).write_text(f"#!/bin/sh\necho '{says}'\n")
        (bin_dir / name).chmod(mode)


@root_only
def test_as_root_nothing_changes_owner_and_no_parent_changes_mode(home: Path, pg_binaries: PgBinaries) -> None:
    parents = [home.parent / "locked", home.parent / "locked" / "open"]
    for parent, mode in zip(parents, (0o700, 0o711), strict=True):
        parent.mkdir()
        parent.chmod(mode)
    with EmbeddedServer(parents[1] / "h", pg_binaries) as server:
        assert ask(server, "select 1") == 1
        files = [server.home, *server.home.rglob("*")]
        assert {path.lstat().st_uid for path in files} == {0}
        assert [path for path in files if path.is_dir() and stat.S_IMODE(path.stat().st_mode) != 0o700] == []
        assert [stat.S_IMODE(parent.stat().st_mode) for parent in parents] == [0o700, 0o711]


def only_these_tools(directory: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """A PATH with nothing but `names`: a system without unshare, or one that forbids it."""
    directory.mkdir()
    for name in names:
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"no {name} on this machine")
        (directory / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(directory))


@root_only
def test_as_root_without_user_namespaces_an_ordinary_account_gets_the_cluster(
    home: Path, pg_binaries: PgBinaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [*AS_NOBODY, str(pg_binaries.bin_dir / "postgres"), "--version"]
    said = subprocess.run(asked, check=False, capture_output=True, text=True)
    if said.returncode or "Permission denied" in said.stderr:  # below a folder that only its owner may enter
        pytest.skip("other accounts may not run these programs")
    with EmbeddedServer(home, pg_binaries) as server:
        ask(server, "create table kept as select 7 as seven")
    with monkeypatch.context() as context:
        only_these_tools(home.parent / "tools", context, "setpriv")
        with EmbeddedServer(home, pg_binaries) as server:
            assert ask(server, "select seven from kept") == 7
            owners = owners_of(home)
            assert len(owners) == 1
            assert 0 not in owners
    with EmbeddedServer(home, pg_binaries) as server:  # namespaces work again: it stays with its owner
        assert ask(server, "select seven from kept") == 7
        assert owners_of(home) == owners


@root_only
def test_as_root_with_no_way_out_the_refusal_names_the_remedy(
    home: Path, pg_binaries: PgBinaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_these_tools(home.parent / "tools", monkeypatch, "true")
    with pytest.raises(ServerStartError) as refused:
        EmbeddedServer(home, pg_binaries).start()
    one_line_with(refused, "root", "unshare -U", "DATABASE_URL")
    assert not (home / "pgdata").exists()


@root_only
def test_an_ordinary_user_has_a_server_and_is_kept_out_of_root_s(
    home: Path, server: EmbeddedServer, client: Start
) -> None:
    python = next((one for one in (sys.executable, "/usr/bin/python3") if runs_as_nobody(one)), None)
    if python is None:
        pytest.skip("no Python that another account may run, or no setpriv")
    refused = client(server.home, AS_NOBODY, python).line()
    assert refused[:2] == ["REFUSED", "DataDirectoryError"]
    theirs = home.parent / "theirs"
    theirs.mkdir()
    os.chown(theirs, NOBODY, NOBODY)
    program = client(theirs / "h", AS_NOBODY, python)
    said = program.line()
    assert said[0] == "READY"
    assert owners_of(theirs / "h") == {NOBODY}
    with EmbeddedServer(theirs / "h") as as_root:  # root joins as a user and leaves nothing of its own
        assert as_root.pid == int(said[1])
    assert program.close()
    assert owners_of(theirs / "h") == {NOBODY}


def runs_as_nobody(python: str) -> bool:
    """May `nobody` run this Python, see this package, and find PostgreSQL with it?"""
    root = str(Path(pgbin.__file__).parents[1])
    script = f"import sys; sys.path.insert(0, {root!r}); from db.embedded import find_binaries; find_binaries()"
    try:
        return subprocess.run([*AS_NOBODY, python, "-Bc", script], check=False, capture_output=True).returncode == 0
    except OSError:
        return False
