"""The embedded server against real PostgreSQL: starts, sharing, crashes, hostile left-overs, accounts."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest

from db import embedded, pgbin
from db.embedded import SUPERUSER, EmbeddedPostgresError, EmbeddedServer, PgBinaries, default_server, find_binaries
from db.pgbin import BinariesError, DataDirectoryError, ServerStartError
from tests.patience import until

Start = Callable[..., Any]
NOBODY = 65534
linux_only = pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def ask(server: EmbeddedServer, query: str, database: str = "postgres") -> Any:
    with psycopg.connect(server.dsn(database, SUPERUSER), autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        row = cursor.fetchone() if cursor.description else None
    return row[0] if row else None


def kill_and_wait(pid: int, data_dir: Path) -> None:
    os.kill(pid, signal.SIGKILL)
    until(lambda: not pgbin.uses(pid, data_dir))


def one_line_with(error: pytest.ExceptionInfo[EmbeddedPostgresError], *words: str) -> None:
    text = str(error.value)
    assert "\n" not in text
    assert [word for word in words if word not in text] == []


def test_first_start_gives_a_private_checksummed_server(server: EmbeddedServer) -> None:
    assert server.pid is not None
    for path in (server.home, server.data_dir, server.socket_dir):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert not (server.home / "pgdata.init").exists()
    wanted = {
        "data_checksums": "on",
        "listen_addresses": "",
        "max_connections": "100",
        "TimeZone": "UTC",
        "log_timezone": "UTC",
        "fsync": "on",
        "server_encoding": "UTF8",
    }
    assert {name: ask(server, f"select current_setting('{name}')") for name in wanted} == wanted
    assert ask(server, "select current_user::text") == SUPERUSER == "quantsail"


async def test_both_drivers_accept_the_uri_of_a_hostile_name(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "1")
    name = "a'b\"c é/?&x=%20"
    assert server.create_database(name)
    assert ask(server, "select current_database()::text", name) == name
    connection = await asyncpg.connect(server.dsn(name, SUPERUSER))
    assert await connection.fetchval("select current_database()::text") == name
    await connection.close()
    assert server.databases() == [name]


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 64, "é" * 32, "postgres", "template1"])
def test_impossible_and_reserved_database_names_are_refused(pg_server: EmbeddedServer, name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a database"):
        pg_server.create_database(name)


def test_a_database_is_created_once_by_many_at_once(server: EmbeddedServer) -> None:
    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(lambda _: server.create_database("ledger"), range(8)))
    assert sorted(created) == [False] * 7 + [True]
    assert server.databases() == ["ledger"]


def test_second_start_finds_the_rows_of_the_first(home: Path, pg_binaries: PgBinaries) -> None:
    with EmbeddedServer(home, pg_binaries) as first:
        ask(first, "create table kept as select 7 as seven")
        old = first.pid
    assert first.pid is None
    with EmbeddedServer(home) as second:
        assert second.pid != old
        assert ask(second, "select seven from kept") == 7


def test_start_and_close_are_idempotent(home: Path, pg_binaries: PgBinaries) -> None:
    server = EmbeddedServer(home, pg_binaries).start()
    pid = server.pid
    assert server.start().pid == pid
    assert [server.close(), server.close()] == [True, False]
    assert server.pid is None


def test_threads_share_one_server(home: Path, pg_binaries: PgBinaries) -> None:
    servers = [EmbeddedServer(home, pg_binaries) for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        pids = set(pool.map(lambda number: servers[number % 4].start().pid, range(8)))
        assert len(pids) == 1
        assert None not in pids
        closed = list(pool.map(lambda one: one.close(), servers))
    assert sorted(closed) == [False, False, False, True]
    assert servers[0].pid is None


def test_programs_that_start_at_once_share_one_server(home: Path, client: Start) -> None:
    programs = [client(home) for _ in range(3)]
    said = [program.line() for program in programs]
    assert {words[0] for words in said} == {"READY"}
    assert len({words[1] for words in said}) == 1
    assert [program.close() for program in programs] == [False, False, True]
    assert EmbeddedServer(home).pid is None


def test_a_killed_program_is_no_longer_a_user(home: Path, client: Start) -> None:
    killed, survivor = client(home), client(home)
    assert killed.line() == survivor.line()
    killed.kill()
    assert EmbeddedServer(home).pid is not None
    assert survivor.close()
    assert EmbeddedServer(home).pid is None


def test_after_the_last_program_was_killed_the_next_user_stops_the_server(home: Path, client: Start) -> None:
    killed = client(home)
    pid = int(killed.line()[1])
    killed.kill()
    with EmbeddedServer(home) as server:
        assert server.pid == pid
    assert server.pid is None


def test_a_program_killed_within_initdb_leaves_no_half_cluster(home: Path, client: Start) -> None:
    killed = client(home)
    while not (home / "pgdata.init").exists() and not (home / "pgdata").exists():
        assert killed.process.poll() is None
    killed.kill()
    with EmbeddedServer(home) as server:
        assert ask(server, "select 1") == 1
        assert not (home / "pgdata.init").exists()


def test_left_overs_of_initdb_are_cleared_away(home: Path, pg_binaries: PgBinaries) -> None:
    (home / "pgdata.init" / "base").mkdir(parents=True)
    (home / "pgdata.init" / "PG_VERSION").write_text("9\n")
    with EmbeddedServer(home, pg_binaries) as server:
        assert ask(server, "select 1") == 1
        assert not (home / "pgdata.init").exists()


def test_ensure_restarts_a_killed_postmaster_with_every_committed_row(server: EmbeddedServer) -> None:
    ask(server, "create table fills (n int)")
    ask(server, "insert into fills select generate_series(1, 500)")
    pid = server.pid
    assert pid is not None
    assert not server.ensure()
    kill_and_wait(pid, server.data_dir)
    assert server.pid is None
    assert server.ensure()
    assert server.pid not in (None, pid)
    assert ask(server, "select count(*) from fills") == 500
    assert not server.ensure()


def test_a_killed_postmaster_is_restarted_by_the_next_program(server: EmbeddedServer, client: Start) -> None:
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)  # at once: the next program meets its orphans
    word, new_pid = client(server.home).line()
    assert (word, int(new_pid)) == ("READY", server.pid)
    assert server.pid != pid


def test_ensure_needs_a_start_and_never_replaces_a_lost_cluster(server: EmbeddedServer) -> None:
    with pytest.raises(ServerStartError) as not_started:
        EmbeddedServer(server.home).ensure()
    one_line_with(not_started, "call start() first")
    pid = server.pid
    assert pid is not None
    kill_and_wait(pid, server.data_dir)
    shutil.rmtree(server.data_dir)
    with pytest.raises(DataDirectoryError) as lost:
        server.ensure()
    one_line_with(lost, "vanished", "backup")
    assert not server.data_dir.exists()


@pytest.mark.parametrize("proc", ["/proc", "/nowhere"])
@pytest.mark.parametrize("left", ["foreign", "empty", "garbage"])
def test_stale_pid_file_does_not_block(
    home: Path, pg_binaries: PgBinaries, monkeypatch: pytest.MonkeyPatch, proc: str, left: str
) -> None:
    """`/nowhere`: the rules for systems without /proc."""
    with EmbeddedServer(home, pg_binaries) as first:
        pid = first.pid
        ask(first, "create table kept as select 7 as seven")
        assert pid is not None
        kill_and_wait(pid, first.data_dir)
        record = first.data_dir / "postmaster.pid"
        rest = record.read_text().partition("\n")[2]
        record.write_text({"foreign": f"{os.getppid()}\n{rest}", "empty": "", "garbage": "x\n"}[left])
        with monkeypatch.context() as without_proc:
            without_proc.setattr(pgbin, "PROC", Path(proc))
            assert first.pid is None
            assert first.ensure()
            assert ask(first, "select seven from kept") == 7
            assert first.pid not in (None, os.getppid())
            assert first.close()
            assert first.pid is None


@linux_only
def test_the_server_is_cut_off_from_the_program_that_started_it(
    home: Path, client: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXCHANGE_SECRET", "hunter2")
    program = client(home)
    pid = int(program.line()[1])
    assert os.getsid(pid) != os.getsid(program.process.pid)
    files = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    assert [name for name in files if name.endswith(".lock")] == []
    assert Path(f"/proc/{pid}/fd/0").readlink() == Path("/dev/null")
    assert Path(f"/proc/{pid}/fd/2").readlink() == home / "postgres.log"
    assert b"hunter2" not in Path(f"/proc/{pid}/environ").read_bytes()
    os.killpg(program.process.pid, signal.SIGINT)  # Ctrl-C in its terminal
    program.process.wait()
    assert EmbeddedServer(home).pid == pid
    with EmbeddedServer(home) as server:
        assert ask(server, "select 1") == 1


def test_a_forked_child_neither_counts_nor_stops_the_server(server: EmbeddedServer) -> None:
    child = os.fork()
    if child == 0:
        os._exit(1 if server.close() else 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert ask(server, "select 1") == 1
    assert server.close()


def test_a_failed_start_says_why_in_one_line_and_can_be_repeated(home: Path, pg_binaries: PgBinaries) -> None:
    EmbeddedServer(home, pg_binaries).start().close()
    conf = home / "pgdata" / "postgresql.conf"
    good = conf.read_text()
    conf.write_text(good + "no_such_setting = 1\n")
    server = EmbeddedServer(home, pg_binaries)
    with pytest.raises(ServerStartError) as failed:
        server.start()
    one_line_with(failed, "FATAL", "postgres.log", "DATABASE_URL")
    assert not server.close()
    conf.write_text(good)
    with server:
        assert ask(server, "select 1") == 1


def test_a_big_log_is_put_aside_at_the_next_start(home: Path, pg_binaries: PgBinaries) -> None:
    home.mkdir()
    with (home / "postgres.log").open("wb") as log:
        log.truncate(embedded.LOG_BYTES_MAX + 1)
    with EmbeddedServer(home, pg_binaries) as server:
        assert server.log_path.stat().st_size < embedded.LOG_BYTES_MAX
        assert (home / "postgres.log.1").stat().st_size > embedded.LOG_BYTES_MAX


@pytest.mark.parametrize("name", ["l" * 120, "a,b", 'it\'s $(exit 1) "x" `y`', "Überfluß"])
def test_any_home_path_works_through_a_socket_path_that_every_process_knows(
    home: Path, pg_binaries: PgBinaries, client: Start, name: str
) -> None:
    home.mkdir()
    with EmbeddedServer(home / name, pg_binaries) as server:
        assert server.socket_dir.parent == Path("/tmp")
        assert stat.S_IMODE(server.socket_dir.stat().st_mode) == 0o700
        assert ask(server, "select 1") == 1
        program = client(home / name)
        assert program.line() == ["READY", str(server.pid)]
        assert not program.close()
    assert not server.socket_dir.exists()


@root_only
def test_a_socket_directory_of_somebody_else_is_refused(home: Path, pg_binaries: PgBinaries) -> None:
    server = EmbeddedServer(home / ("l" * 120), pg_binaries)
    server.socket_dir.mkdir()
    try:
        os.chown(server.socket_dir, NOBODY, NOBODY)
        with pytest.raises(DataDirectoryError) as refused:
            server.start()
        one_line_with(refused, "someone else", "XDG_DATA_HOME")
    finally:
        server.socket_dir.rmdir()
    assert not server.data_dir.exists()


def test_another_version_of_the_cluster_is_refused_in_one_line(home: Path, pg_binaries: PgBinaries) -> None:
    (home / "pgdata").mkdir(parents=True)
    version = home / "pgdata" / "PG_VERSION"
    version.write_text("99\n")
    for binaries in (pg_binaries, None):
        with pytest.raises(BinariesError) as refused:
            EmbeddedServer(home, binaries).start()
        one_line_with(refused, "99", "DATABASE_URL")
    version.write_text("\x1b]0;owned\x07")
    with pytest.raises(DataDirectoryError) as damaged:
        EmbeddedServer(home, pg_binaries).start()
    one_line_with(damaged, "not a version")
    assert "\x1b" not in str(damaged.value)


def test_files_that_are_no_cluster_are_not_overwritten(home: Path, pg_binaries: PgBinaries) -> None:
    (home / "pgdata").mkdir(parents=True)
    (home / "pgdata" / "diary.txt").write_text("mine")
    with pytest.raises(DataDirectoryError, match="no cluster"):
        EmbeddedServer(home, pg_binaries).start()
    assert (home / "pgdata" / "diary.txt").read_text() == "mine"


def test_a_home_with_control_characters_is_refused(home: Path, pg_binaries: PgBinaries) -> None:
    with pytest.raises(DataDirectoryError) as refused:
        EmbeddedServer(home / "a\nb\x1b[2J", pg_binaries).start()
    one_line_with(refused, "control characters")
    assert "\x1b" not in str(refused.value)
    assert not home.exists()


def test_a_home_that_cannot_be_made_is_refused_in_one_line(home: Path, pg_binaries: PgBinaries) -> None:
    home.write_text("a file")
    with pytest.raises(DataDirectoryError) as refused:
        EmbeddedServer(home, pg_binaries).start()
    one_line_with(refused, str(home), "DATABASE_URL")


def test_system_postgres_15_serves_and_its_cluster_stays_with_it(home: Path, pg15_binaries: PgBinaries) -> None:
    with EmbeddedServer(home / "pg" / "15", pg15_binaries) as server:
        assert ask(server, "select current_setting('server_version_num')::int / 10000") == 15
    with default_server(home) as again:  # newer programs do not win over the cluster that exists
        assert (again.home, again.binaries.major) == (server.home, 15)
    newest = find_binaries()
    if newest.major != 15:
        with pytest.raises(BinariesError) as refused:
            EmbeddedServer(server.home, newest).start()
        one_line_with(refused, "15", str(newest.major))


def test_a_new_data_directory_gets_a_home_of_the_version_found(home: Path) -> None:
    server = default_server(home)
    assert server.home == home.resolve() / "pg" / str(find_binaries().major)
    assert not home.exists()


def test_the_shared_fixture_gives_each_test_an_empty_database(database: str) -> None:
    with psycopg.connect(database) as connection:
        tables = connection.execute("select count(*) from pg_class where relnamespace = 'public'::regnamespace")
        assert tables.fetchone() == (0,)
        assert connection.execute("select to_regnamespace('qs')").fetchone() == (None,)
    assert "DATABASE_URL" not in os.environ


def test_many_threads_that_ensure_restart_it_once(server: EmbeddedServer) -> None:
    pid = server.pid
    assert pid is not None
    kill_and_wait(pid, server.data_dir)
    restarted: list[bool] = []
    threads = [threading.Thread(target=lambda: restarted.append(server.ensure())) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(restarted) == [False] * 4 + [True]
