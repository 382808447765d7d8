"""The writer's connection: the advisory lock, the epoch, and coming back after a loss."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import asyncpg
import msgspec

from db.chain import JournalRefused
from db.connect import CONFLICT, FENCED, MALFORMED, ConnectError, RoleRefused, connect, transaction
from engine.ports import JournalConflict, JournalError, JournalFenced, JournalUnavailable

#: A killed engine's backend may live some milliseconds longer than its process.
_LOCK_TRIES = 10
_LOCK_PAUSE_S = 0.05
_LOCK = "select pg_try_advisory_lock(hashtextextended('quantsail.engine', 0))"
_HOLDER = """
select l.pid as backend, r.epoch, r.host, r.pid from pg_locks l
left join lateral (select epoch, host, pid from qs.engine_runs where ended_at is null order by epoch desc limit 1) r on true
where l.locktype = 'advisory' and l.database = (select oid from pg_database where datname = current_database())
  and (l.classid::bigint << 32 | l.objid::bigint) = hashtextextended('quantsail.engine', 0) and l.granted
"""
_START = "select qs.start_run((select ledger_id from qs.ledger), $1, $2, $3)"

#: Conditions of the server, not of what was sent: the same append may succeed later.
_PASSING_CLASSES = ("08", "40", "53", "55", "57", "58", "25")
#: InternalClientError is what asyncpg says of a connection that died between two calls.
_DATABASE_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    ConnectError,
    OSError,
    TimeoutError,
)


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Who runs the engine: facts of a run, in `engine_runs`, never in the journal (decisions.md 3)."""

    host: str
    pid: int
    version: str

    @classmethod
    def here(cls) -> HostFacts:
        try:
            installed = version("quantsail")
        except PackageNotFoundError:
            installed = "source"
        return cls(host=socket.gethostname(), pid=os.getpid(), version=installed)


def translate(error: Exception) -> JournalError:
    """What a database error means for the journal (`engine.ports`); one line, the server's own words in it."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, JournalError):
        return error
    if isinstance(error, RoleRefused):
        return JournalError(text)
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        if state == FENCED:
            return JournalFenced(f"another engine has taken over this ledger: {text}")
        if state in (CONFLICT, MALFORMED):
            return JournalConflict(f"the journal's head is elsewhere: {text}; run `quantsail audit verify`")
        if state[:2] in ("22", "23"):
            return JournalRefused(f"the database refuses the events (sqlstate {state}): {text}")
        if state[:2] not in _PASSING_CLASSES:
            return JournalError(f"the database answers sqlstate {state}: {text}; see `quantsail doctor`")
    return JournalUnavailable(f"the database cannot be reached: {text}")


class Writer:
    """One connection with the lock and an epoch. Not safe for concurrent use: its owner serialises."""

    def __init__(self, dsn: str, host: HostFacts, ensure: Callable[[], None] | None) -> None:
        self._dsn, self._host, self._ensure = dsn, host, ensure
        self._conn: asyncpg.Connection | None = None
        self._backend = 0
        self.epoch = 0

    @property
    def is_connected(self) -> bool:
        return self._conn is not None and not self._conn.is_closed()

    @contextlib.asynccontextmanager
    async def use(self) -> AsyncIterator[asyncpg.Connection]:
        """The connection, for one transaction. Errors leave as JournalError; what may have broken it drops it."""
        try:
            if not self.is_connected:
                await self._connect()
                if self.epoch:
                    await self._check_epoch()
            yield self._conn
        except _DATABASE_ERRORS as error:
            meaning = translate(error)
            if isinstance(meaning, JournalUnavailable):
                self.drop()
            raise meaning from error
        except asyncio.CancelledError:
            self.drop()  # whether the commit happened is asked again by the next append
            raise

    async def start(self) -> int:
        """Take the lock and the next epoch. Raises JournalFenced, naming the holder, or JournalUnavailable."""
        self.drop()
        self.epoch = 0
        async with self.use() as conn:
            host = self._host
            self.epoch = int(await conn.fetchval(_START, host.host, host.pid, host.version))
        return self.epoch

    async def heartbeat(self) -> None:
        """Say that this run lives. Raises JournalFenced when it has been ended or overtaken."""
        async with self.use() as conn:
            status = await conn.execute(
                "update qs.engine_runs set heartbeat_at = clock_timestamp(), ledger_id = (select ledger_id from qs.ledger)"
                " where epoch = $1 and ended_at is null",
                self.epoch,
            )
        if status != "UPDATE 1":
            raise JournalFenced(f"the run of epoch {self.epoch} has been ended by someone else: stop")

    async def end(self, why: str) -> None:
        """End the run and release the lock. What cannot be told to a dead database is not told."""
        try:
            if self.epoch and self.is_connected:
                async with self.use() as conn:
                    await conn.execute(
                        "update qs.engine_runs set ended_at = clock_timestamp(), heartbeat_at = clock_timestamp(), why = $2"
                        " where epoch = $1 and ended_at is null",
                        self.epoch,
                        why,
                    )
                    await conn.close(timeout=5)
        finally:
            self.drop()
            self.epoch = 0

    def drop(self) -> None:
        """Cut the connection without a word; the lock goes with it."""
        if self._conn is not None:
            self._conn.terminate()
            self._conn = None

    async def _connect(self) -> None:
        self.drop()
        if self._ensure is not None:
            try:
                await asyncio.to_thread(self._ensure)
            except Exception as error:  # whatever the server's keeper says, the journal is unavailable until it starts
                raise JournalUnavailable(f"the database server does not start: {error}") from error
        conn: Any = await connect(self._dsn, name="quantsail engine")
        try:
            await lock(conn, own_backend=self._backend if self.epoch else 0)
        except BaseException:
            conn.terminate()
            raise
        self._conn, self._backend = conn, conn.get_server_pid()

    async def _check_epoch(self) -> None:
        """After a reconnect: while we were away somebody may have come and gone."""
        assert self._conn is not None
        newest = await self._conn.fetchval("select max(epoch) from qs.engine_runs")
        if newest != self.epoch:
            self.drop()
            raise JournalFenced(f"epoch {newest} has taken over this ledger from epoch {self.epoch}: stop")


async def refuse_running(dsn: str) -> None:
    """Raise JournalFenced, naming it, while an engine holds the lock of this database; takes nothing itself."""
    conn = await connect(dsn, name="quantsail look")
    try:
        if (holder := await conn.fetchrow(_HOLDER)) is not None:
            raise _fenced(holder)
    finally:
        await conn.close()


def _fenced(holder: Any) -> JournalFenced:
    who = f"pid {holder['pid']} on {holder['host']}, epoch {holder['epoch']}" if holder else "not known"
    return JournalFenced(
        f"an engine already runs on this ledger ({who}): look at it with quantsail status --plain or quantsail events --follow, "
        "stop it with quantsail stop, or open another ledger with --ledger"
    )


async def lock(conn: asyncpg.Connection, own_backend: int = 0) -> None:
    """Take the writer's lock of this database, for the session. Raises JournalFenced, which names the holder.

    `own_backend` is the server's process of our own lost connection, whose end it may not have noticed yet.
    """
    for attempt in range(_LOCK_TRIES):
        if await conn.fetchval(_LOCK):
            return
        holder = await conn.fetchrow(_HOLDER)
        if holder is not None and own_backend and holder["backend"] == own_backend:
            async with transaction(conn):
                await conn.execute("set local role none")  # the session is the login's, and no role of ours may end it
                await conn.execute("select pg_terminate_backend($1)", own_backend)
        if attempt < _LOCK_TRIES - 1:
            await asyncio.sleep(_LOCK_PAUSE_S)
    raise _fenced(holder)
