"""Fixtures for every test: a hermetic environment, and real PostgreSQL servers shared by the session.

`QUANTSAIL_TEST_PG` chooses the server:

    unset      the embedded one, with the programs that `find_binaries()` finds
    system15   the embedded one, with the programs of the system's PostgreSQL 15
    url        `database` is an empty database reached by a URL: on the server of `QUANTSAIL_TEST_DATABASE_URL`, whose login
               may create databases and roles and is no superuser, or else on one of our own with such a login and a password
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

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
        case "" | "url":
            return find_binaries()
        case "system15":
            return inspect_binaries(SYSTEM_15)
        case other:
            raise pytest.UsageError(f"QUANTSAIL_TEST_PG={other}: unset it, or use system15 or url")


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


@pytest.fixture(scope="session")
def foreign_url(tmp_path_factory: pytest.TempPathFactory, pg_binaries: PgBinaries) -> Iterator[str]:
    """URL of a server that knows nothing of us, as an ordinary login with a password."""
    if given := os.environ.get("QUANTSAIL_TEST_DATABASE_URL"):
        yield given
        return
    with EmbeddedServer(tmp_path_factory.mktemp("foreign"), pg_binaries) as server:
        rules = server.data_dir / "pg_hba.conf"
        rules.write_text("local all ordinary scram-sha-256\n" + rules.read_text())
        with psycopg.connect(server.dsn("postgres", SUPERUSER), autocommit=True) as connection:
            connection.execute("drop role qs_login, qs_admin, qs_owner, qs_engine, qs_app, qs_view")
            connection.execute("create role ordinary login createdb createrole password 'it''s @/? 50%'")
            connection.execute("select pg_reload_conf()")
        yield server.dsn("postgres", SUPERUSER).replace(f"{SUPERUSER}@", "ordinary:it%27s%20%40%2F%3F%2050%25@")


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """Connection URI of a fresh, empty database on the server under test; dropped afterwards, open sessions or not.

    Only where `QUANTSAIL_TEST_PG` does not say "url" is its login a superuser: see `superuser_database`.
    """
    if os.environ.get("QUANTSAIL_TEST_PG") == "url":
        yield from _fresh_by_url(request.getfixturevalue("foreign_url"))
    else:
        yield from _fresh(request.getfixturevalue("pg_server"))


@pytest.fixture
def superuser_database(pg_server: EmbeddedServer) -> Iterator[str]:
    """Like `database`, always on `pg_server` as its superuser: for tests that need one, or log in as others."""
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


def _fresh_by_url(url: str) -> Iterator[str]:
    name, parts = f"test_{os.getpid()}_{next(_numbers)}", urlsplit(url)
    identifier = sql.Identifier(name)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {} template template0").format(identifier))
        try:
            yield f"{parts.scheme}://{parts.netloc}/{name}?{parts.query}"
        finally:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(identifier))
