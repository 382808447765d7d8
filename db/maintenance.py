"""The maintenance job: partitions ahead, longer bars, results per day, the archive, retention. One process at a time.

Every step is a transaction of its own, or several; one that fails is reported in a line and does not stop the others. The job
runs as qs_engine on a connection of its own, at the engine's start, hourly, and by `quantsail db maintain`.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from db import archive, retention
from db.connect import connect

#: Who waits for DDL makes everyone else wait behind it: better to try again in an hour.
LOCK_TIMEOUT = "2s"
_TRY = "select pg_try_advisory_lock(hashtextextended('quantsail.maintenance', 0))"
_STEP = {"day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=31)}
#: Events that a partition of the journal is ahead of its head (0003: 5,000,000 a partition).
_EVENTS_AHEAD = 5_000_000

Step = Callable[[asyncpg.Connection, datetime], Awaitable[str]]


class StepReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a step did, or why it failed, in one line."""

    name: str
    ok: bool
    said: str
    seconds: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`busy`: another process does it, nothing was done here."""

    busy: bool = False
    steps: tuple[StepReport, ...] = ()

    @property
    def failed(self) -> tuple[StepReport, ...]:
        return tuple(step for step in self.steps if not step.ok)


async def maintain(dsn: str, *, now: datetime, archive_to: str = "") -> Report:
    """Do all that is due at `now` (aware). `archive_to` is the folder or address of the archive; "" archives nothing.

    Raises ConnectError when the database cannot be reached; whatever fails later is in the report.
    """
    conn = await connect(dsn, name="quantsail maintenance", statement_timeout_ms=0)
    try:
        if not await conn.fetchval(_TRY):
            return Report(busy=True)
        await conn.execute(f"set lock_timeout = '{LOCK_TIMEOUT}'")

        async def archived(conn: asyncpg.Connection, now: datetime) -> str:
            return await _archive(conn, now, archive_to)

        steps: tuple[tuple[str, Step], ...] = (
            ("partitions", _partitions),
            ("roll-ups", rollup),
            ("daily performance", _daily),
            ("archive", archived),
            ("retention", _retention),
        )
        return Report(steps=tuple([await _run(conn, name, step, now) for name, step in steps]))
    finally:
        await conn.close()


async def _run(conn: asyncpg.Connection, name: str, step: Step, now: datetime) -> StepReport:
    started = time.monotonic()
    try:
        said, ok = await step(conn, now), True
    except StepFailed as error:
        said, ok = str(error), False
    except (asyncpg.PostgresError, asyncpg.InterfaceError, archive.ArchiveError, OSError) as error:
        said, ok = " ".join(str(error).split()) or type(error).__name__, False
    return StepReport(name=name, ok=ok, said=said, seconds=round(time.monotonic() - started, 3))


class StepFailed(Exception):
    """A step did what it could; the message says what it could not."""


async def _each(items: Sequence[Any], work: Callable[[Any], Awaitable[int]], noun: str) -> str:
    """The work on every item, one transaction each; those that fail are named together afterwards. Raises StepFailed."""
    done, problems = 0, []
    for item in items:
        try:
            done += await work(item)
        except (asyncpg.PostgresError, archive.ArchiveError) as error:
            problems.append(" ".join(str(error).split()))
    if problems:
        raise StepFailed(f"{done} {noun}; {len(problems)} failed: {problems[0]}")
    return f"{done} {noun}"


async def _partitions(conn: asyncpg.Connection, now: datetime) -> str:
    """Ahead of the journal's head always; ahead of the clock where the clock makes the data: elsewhere they follow it."""
    head = await conn.fetchval("select seq from qs.log_heads where log = 'events'")
    await conn.execute(
        "select qs.ensure_event_partition($1), qs.ensure_event_partition($2)", max(head, 1), head + _EVENTS_AHEAD
    )
    if not await retention.is_live(conn):
        return "of the journal; the others follow the data"
    cuts = await conn.fetch("select table_name, step, ahead from qs.series order by table_name")

    async def make(cut: Any) -> int:
        until = now + cut["ahead"] * _STEP[cut["step"]]
        return int(await conn.fetchval("select qs.ensure_partitions($1, $2, $3)", cut["table_name"], now, until))

    return await _each(cuts, make, "partitions made")


async def rollup(conn: asyncpg.Connection, now: datetime) -> str:
    """Longer bars of every symbol whose minutes came or changed, a transaction each."""
    symbols = await conn.fetch("select distinct exchange_id, symbol from qs.rollup_queue order by 1, 2")

    async def make(one: Any) -> int:
        return int(await conn.fetchval("select qs.take_rollups($1, $2)", one["exchange_id"], one["symbol"]))

    return await _each(symbols, make, "bars came or changed")


async def _daily(conn: asyncpg.Connection, now: datetime) -> str:
    changed = await conn.fetchval("select qs.refresh_daily_performance(qs.stale_daily_performance())")
    return f"{changed} days came or changed"


async def _archive(conn: asyncpg.Connection, now: datetime, to: str) -> str:
    if not to or not await retention.is_live(conn):
        return "nothing to do"
    units = await archive.due(conn, now)

    async def keep(unit: archive.Unit) -> int:
        await archive.write(conn, unit, to)
        return 1

    return await _each(units, keep, "segments written and read back")


async def _retention(conn: asyncpg.Connection, now: datetime) -> str:
    # Minutes that nothing follows any more: their bars are closed before they go.
    for series, cut in await retention.cuts(conn, now):
        if series == "candles_1m":
            await conn.execute("select qs.close_rollups($1)", cut)
    items = [item for item in await retention.plan(conn, now) if item.due]

    async def drop(item: retention.Item) -> int:
        return await retention.apply(conn, item, now)

    return await _each(items, drop, "rows dropped")


def default_archive(data_home: Path, ledger: str) -> str:
    """The folder that a ledger's archive is in when nothing else is asked for."""
    return str(data_home / "archive" / ledger)
