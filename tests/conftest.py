"""Fixtures for every test: a hermetic environment, and real PostgreSQL servers shared by the session.

`QUANTSAIL_TEST_PG` chooses the server of `pg_server`: unset for what `find_binaries()` finds, `system15` for the
system's PostgreSQL 15.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from db.embedded import SUPERUSER, EmbeddedServer, PgBinaries, find_binaries
from db.pgbin import BinariesError, inspect_binaries

SYSTEM_15 = Path("/usr/lib/postgresql/15/bin")
_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def hermetic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the developer's own data, configuration or database."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg-data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg-config"))
    monkeypatch.delenv("DATABASE_URL", raising=False)


@pytest.fixture(scope="session")
def pg_binaries() -> PgBinaries:
    """The programs that `QUANTSAIL_TEST_PG` asks for; the suite fails, not skips, when they are missing."""
    match os.environ.get("QUANTSAIL_TEST_PG", ""):
        case "":
            return find_binaries()
        case "system15":
            return inspect_binaries(SYSTEM_15)
        case other:
            raise pytest.UsageError(f"QUANTSAIL_TEST_PG={other}: unset it or use system15")


@pytest.fixture(scope="session")
def pg15_binaries() -> PgBinaries:
    """The system's PostgreSQL 15; skips where it is not installed."""
    try:
        return inspect_binaries(SYSTEM_15)
    except BinariesError as error:
        pytest.skip(f"no PostgreSQL 15 on this machine: {error}")


@pytest.fixture(scope="session")
def pg_server(tmp_path_factory: pytest.TempPathFactory, pg_binaries: PgBinaries) -> Iterator[EmbeddedServer]:
    """One running server for the whole session. Do not stop it; use `database` for a database of your own."""
    with EmbeddedServer(tmp_path_factory.mktemp("pg"), pg_binaries) as server:
        yield server


@pytest.fixture(scope="session")
def pg15_server(tmp_path_factory: pytest.TempPathFactory, pg15_binaries: PgBinaries) -> Iterator[EmbeddedServer]:
    """One running PostgreSQL 15 for the whole session; skips where it is not installed."""
    with EmbeddedServer(tmp_path_factory.mktemp("pg15"), pg15_binaries) as server:
        yield server


@pytest.fixture
def database(pg_server: EmbeddedServer) -> Iterator[str]:
    """Connection URI of a fresh, empty database on `pg_server`, as the superuser; dropped afterwards, open sessions or not."""
    yield from _fresh(pg_server)


@pytest.fixture
def database15(pg15_server: EmbeddedServer) -> Iterator[str]:
    """Like `database`, on `pg15_server`."""
    yield from _fresh(pg15_server)


def _fresh(server: EmbeddedServer) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    server.create_database(name)
    try:
        yield server.dsn(name, SUPERUSER)
    finally:
        server.ensure()  # a test that killed the server must not fail the next one
        with psycopg.connect(server.dsn("postgres", SUPERUSER), autocommit=True) as connection:
            connection.execute(f'drop database if exists "{name}" with (force)'.encode())
