"""Bring a database to this program's schema: once, whoever else tries at the same moment.

Almost every start finds the schema as it should be, and pays one plain query for it. Only when it is behind does a worker
thread open a connection of its own (psycopg), take an advisory lock, look again, and import Alembic (0.5 s, decisions.md 28).
The lock is polled, never waited for: a session that waits inside PostgreSQL holds a snapshot, and CREATE INDEX CONCURRENTLY
would wait for that one in turn.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec

from db.connect import CONNECT_TIMEOUT_S, UNREACHABLE, unreachable
from migrations import HERE, head, known, sql_files

if TYPE_CHECKING:
    import psycopg

__all__ = [
    "DatabaseNewer",
    "MigrationError",
    "MigrationLocked",
    "MigrationResult",
    "head",
    "migrate",
    "pending",
    "revision",
]

LOCK_KEY = 0x7175616E7473  # "quants"
LOCK_WAIT_S = 60.0
POLL_S = 0.05

#: Called in the worker thread with the revision that the database is at, before the first change of a schema that exists.
Backup = Callable[[str], None]

_REVISION_TABLE = "select pg_catalog.to_regclass('qs.alembic_version') is not null"
_REVISION = "select version_num from qs.alembic_version"
_HOLDER = """
select a.pid, a.usename, a.application_name, coalesce(a.client_addr::text, 'local socket'), a.backend_start
  from pg_catalog.pg_locks l join pg_catalog.pg_stat_activity a on a.pid = l.pid
 where l.locktype = 'advisory' and l.granted and l.objsubid = 1 and l.database = (
         select oid from pg_catalog.pg_database where datname = pg_catalog.current_database())
   and (l.classid::bigint << 32 | l.objid::bigint) = %s
"""

# alembic.context is one per process: two upgrades of one process take turns.
_one_upgrade = threading.Lock()


class MigrationError(Exception):
    """The schema could not be brought up to date. Nothing was changed: an upgrade is one transaction."""


class DatabaseNewer(MigrationError):
    """A newer program has changed this database; this one must not touch it."""


class MigrationLocked(MigrationError):
    """Another process holds the migration lock for too long."""


class MigrationResult(msgspec.Struct, frozen=True, kw_only=True):
    """`before` is None for an empty database; `applied` are the revisions that this call ran, none for one that waited."""

    before: str | None
    after: str
    applied: tuple[str, ...] = ()


async def revision(dsn: str) -> str | None:
    """The revision that a database is at, None without a schema. Raises db.connect.DatabaseUnreachable."""
    try:
        connection: Any = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
    except UNREACHABLE as error:
        raise unreachable(error) from error
    try:
        if not await connection.fetchval(_REVISION_TABLE):
            return None
        found: str | None = await connection.fetchval(_REVISION)
        return found
    finally:
        await connection.close()


async def pending(dsn: str) -> tuple[str | None, list[str]]:
    """The revision that a database is at, and the files that are missing, in order. Raises DatabaseNewer."""
    before = await revision(dsn)
    _refuse_newer(before)
    return before, [name for name in sql_files() if before is None or name[:4] > before]


async def migrate(dsn: str, *, backup: Backup | None = None, lock_wait_s: float = LOCK_WAIT_S) -> MigrationResult:
    """Bring the schema to `head()`.

    Raises DatabaseNewer, MigrationLocked after `lock_wait_s` seconds, MigrationError when a file fails (then nothing has
    changed), db.connect.DatabaseUnreachable; whatever `backup` raises stops the upgrade before it began. A cancelled caller
    leaves the thread to finish: half an upgrade does not exist.
    """
    before = await revision(dsn)
    _refuse_newer(before)
    if before == head():
        return MigrationResult(before=before, after=before)
    return await asyncio.to_thread(_upgrade, dsn, backup, lock_wait_s)


def _refuse_newer(found: str | None) -> None:
    if found is not None and found not in known():
        raise DatabaseNewer(
            f"the database is at schema {found}, this program knows schemas up to {head()}: update quantsail"
        )


def _upgrade(dsn: str, backup: Backup | None, lock_wait_s: float) -> MigrationResult:
    import psycopg

    try:
        connection = psycopg.connect(
            dsn, autocommit=True, connect_timeout=int(CONNECT_TIMEOUT_S), application_name="quantsail migrate"
        )
    except psycopg.OperationalError as error:
        raise unreachable(error) from error
    try:
        _lock(connection, lock_wait_s)
        before = _revision(connection)
        _refuse_newer(before)
        if before == head():
            return MigrationResult(before=before, after=before)
        if backup is not None and before is not None:
            backup(before)
        _run_alembic(connection)
        after = _revision(connection)
        if after != head():
            raise MigrationError(
                f"the upgrade ended at schema {after}, not at {head()}: the installation is incomplete"
            )
        applied = tuple(number for number in known() if before is None or number > before)
        return MigrationResult(before=before, after=head(), applied=applied)
    except psycopg.Error as error:
        raise MigrationError(f"the schema could not be changed: {' '.join(str(error).split())}") from error
    finally:
        connection.close()  # and with the session, the lock


def _lock(connection: psycopg.Connection[Any], wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        row = connection.execute("select pg_catalog.pg_try_advisory_lock(%s)", (LOCK_KEY,)).fetchone()
        if row is not None and row[0]:
            return
        if time.monotonic() >= deadline:
            raise MigrationLocked(
                f"another process migrates this database since more than {wait_s:g} s: {_holder(connection)}."
                " Wait for it, or end it with pg_terminate_backend"
            )
        time.sleep(POLL_S)


def _holder(connection: psycopg.Connection[Any]) -> str:
    row = connection.execute(_HOLDER, (LOCK_KEY,)).fetchone()
    if row is None:
        return "it has just let go"
    pid, user, application, client, since = row
    connected = "since when is not ours to see" if since is None else f"connected {since:%Y-%m-%d %H:%M:%S}"
    return f"pid {pid} ({application or 'unnamed'}, user {user}, {client}, {connected})"


def _revision(connection: psycopg.Connection[Any]) -> str | None:
    exists = connection.execute(_REVISION_TABLE).fetchone()
    if exists is None or not exists[0]:
        return None
    row = connection.execute(_REVISION).fetchone()
    return None if row is None else str(row[0])


def _run_alembic(connection: psycopg.Connection[Any], target: str = "head") -> None:
    """Upgrade to `target` on the connection that holds the lock. Errors of the database come out as psycopg's own."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import StaticPool

    connection.autocommit = False
    # The engine gets the open connection, so no URL is ever parsed twice: what psycopg understood is what is used.
    engine = create_engine("postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool)
    config = Config()  # no ini file: it would bring a logging configuration
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    try:
        with _one_upgrade, engine.connect() as bound:
            config.attributes["connection"] = bound
            command.upgrade(config, target)
    except DBAPIError as error:
        raise error.orig if error.orig is not None else error from error
    except CommandError as error:
        raise MigrationError(f"the migrations of this installation are damaged: {error}") from error
    finally:
        connection.rollback()  # after a commit, nothing; after a failure, all of it
        connection.autocommit = True
