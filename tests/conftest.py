"""Fixtures for every test: a hermetic environment, and real PostgreSQL servers shared by the session.

`QUANTSAIL_TEST_PG` chooses the server:

    unset      the embedded one, with the programs that `find_binaries()` finds
    system15   the embedded one, with the programs of the system's PostgreSQL 15
    url        `database` is an empty database reached by a URL: on the server of `QUANTSAIL_TEST_DATABASE_URL`, whose login
               may create databases and roles and is no superuser, or else on one of our own with such a login and a password
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from db.embedded import EmbeddedServer, PgBinaries, find_binaries
from db.pgbin import BinariesError, inspect_binaries
from tests import servers
from tests.servers import AsSuperuser, Databases, FillOnce, Found

SYSTEM_15 = Path("/usr/lib/postgresql/15/bin")


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
def databases(request: pytest.FixtureRequest) -> Iterator[Databases]:
    """Where `database` and `migrated` are made: the server under test."""
    if os.environ.get("QUANTSAIL_TEST_PG") != "url":
        yield servers.on(request.getfixturevalue("pg_server"))
    elif url := os.environ.get("QUANTSAIL_TEST_DATABASE_URL"):
        found = Databases(url)
        yield found
        found.close()
    else:
        home = request.getfixturevalue("tmp_path_factory").mktemp("foreign")
        with EmbeddedServer(home, find_binaries()) as server:
            found = servers.by_password(server)
            with found.migrated():
                pass  # it is the ordinary login that makes the roles, whichever test comes first
            yield found


@pytest.fixture(scope="session")
def databases15(pg15_server: EmbeddedServer) -> Databases:
    return servers.on(pg15_server)


@pytest.fixture
def database(databases: Databases) -> Iterator[str]:
    """Connection URI of a fresh, empty database on the server under test.

    Its login is a superuser, except where `QUANTSAIL_TEST_PG` says "url": what needs one asks `as_superuser`.
    """
    with databases.empty() as uri:
        yield uri


@pytest.fixture
def migrated(databases: Databases) -> Iterator[str]:
    """Like `database`, with the whole schema: a copy, made in a third of the time that migrating takes."""
    with databases.migrated() as uri:
        yield uri


@pytest.fixture
def filled(databases: Databases, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FillOnce]:
    """`uri, found = filled(key, fill)`: like `migrated`, with what `fill(uri, folder)` once wrote there and returned.

    What it left in its folder is in this test's `tmp_path`.
    """
    with contextlib.ExitStack() as stack:

        def copied(key: str, fill: Callable[[str, Path], Awaitable[Found]]) -> tuple[str, Found]:
            async def once(uri: str) -> tuple[Path, Found]:
                folder = tmp_path_factory.mktemp(key)
                return folder, await fill(uri, folder)

            uri, (folder, found) = stack.enter_context(databases.filled(key, once))
            shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
            return uri, found

        yield copied


@pytest.fixture
def as_superuser(databases: Databases) -> AsSuperuser:
    """From the URI of `database` or `migrated` to that of the same database for the server's superuser."""
    return databases.as_superuser


@pytest.fixture
def database15(databases15: Databases) -> Iterator[str]:
    """Like `database`, on `pg15_server`, always as its superuser."""
    with databases15.empty() as uri:
        yield uri


@pytest.fixture
def migrated15(databases15: Databases) -> Iterator[str]:
    """Like `migrated`, on `pg15_server`, always as its superuser."""
    with databases15.migrated() as uri:
        yield uri
