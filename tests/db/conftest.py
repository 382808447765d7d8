"""Fixtures of the database tests: a home for a server of one's own, and programs that use it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest
import pytest_asyncio

from db import pgbin
from db.embedded import EmbeddedServer, PgBinaries
from db.vault import Vault
from tests.db.secrets import as_user, database_with_users, user_ids, vault_of
from tests.patience import PATIENCE_S
from tests.servers import Databases

ROOT = Path(__file__).resolve().parents[2]
CLIENT = """
import signal, sys
from pathlib import Path
from db.embedded import EmbeddedPostgresError, EmbeddedServer
signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite started with & hands on that Ctrl-C is ignored
server = EmbeddedServer(Path(sys.argv[1]))
try:
    server.start()
except EmbeddedPostgresError as error:
    print("REFUSED", type(error).__name__, error, flush=True)
    sys.exit(3)
print("READY", server.pid, flush=True)
for line in sys.stdin:
    print("CLOSED", server.close(), flush=True)
"""


class Client:
    """A second program: a Python process that starts the server of `home` and closes it when told to."""

    def __init__(self, home: Path, prefix: tuple[str, ...] = (), python: str = sys.executable) -> None:
        self.process = subprocess.Popen(
            [*prefix, python, "-c", CLIENT, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=home.parent,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            start_new_session=True,
        )

    def line(self) -> list[str]:
        """The words of the next line that the program prints; empty when it has ended."""
        return _pipe(self.process.stdout).readline().split()

    def close(self) -> bool:
        """Let it close the server and end; did it stop the server?"""
        said = self.process.communicate("close\n", timeout=PATIENCE_S)[0].split()
        assert said[-2] == "CLOSED"
        return said[-1] == "True"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


@pytest.fixture(scope="session", params=["databases", "databases15"])
def shared(request: pytest.FixtureRequest) -> Iterator[str]:
    """One migrated database for the session, also on 15: for tests that roll back what they write."""
    databases: Databases = request.getfixturevalue(request.param)
    with databases.migrated() as uri:
        yield uri


@pytest.fixture
def home() -> Iterator[Path]:
    """A short path for a server's home (it does not exist yet). Whatever still runs there afterwards is ended.

    Not below tmp_path: other accounts must be able to enter its parent directory.
    """
    parent = Path(tempfile.mkdtemp(prefix="qs"))
    parent.chmod(0o755)
    try:
        yield parent / "h"
    finally:
        for pid in pgbin.processes_using(parent / "h" / "pgdata"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(parent)


@pytest.fixture
def server(home: Path, pg_binaries: PgBinaries) -> Iterator[EmbeddedServer]:
    """A started server of the test's own."""
    with EmbeddedServer(home, pg_binaries) as started:
        yield started


@pytest.fixture
def client() -> Iterator[Callable[..., Client]]:
    """Start programs with `client(home)`; those that are left at the end are killed."""
    started: list[Client] = []

    def start(*args: object, **kwargs: object) -> Client:
        started.append(Client(*args, **kwargs))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for one in started:
        one.kill()


# -- secrets: a database with two users, the first one's connection, and a vault of its own -------------------------------


@pytest.fixture
def dsn(pg_server: EmbeddedServer) -> Iterator[str]:
    yield from database_with_users(pg_server)


@pytest.fixture
def users(dsn: str) -> tuple[str, str]:
    return user_ids(dsn)


@pytest_asyncio.fixture
async def conn(dsn: str, users: tuple[str, str]) -> AsyncIterator[Any]:
    connection = await as_user(dsn, users[0])
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def vault(conn: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vault:
    for name in ("QUANTSAIL_MASTER_KEY_FILE", "QUANTSAIL_MASTER_KEY"):
        monkeypatch.delenv(name, raising=False)
    return await vault_of(conn, tmp_path / "config")
