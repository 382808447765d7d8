"""Retention: what the policies let go of, shown before it is done, and legal holds.

The database's own functions (migrations/sql/0013) decide and drop; this module lists, orders and tells.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import asyncpg
import msgspec

from db import archive
from db.audit import AuditEntry, append
from db.connect import transaction
from engine.core.types import uuid7

#: What `apply` raises when something stands against it; the database is as it was.
REFUSALS = (archive.ArchiveError, asyncpg.PostgresError)
_BATCH_ROWS = 20_000
_POLICIES = """
select p.subject, p.table_name, p.time_column, p.keep, p.archive, c.class, qs.series_of(p.subject) as series,
  (qs.retention_cut(p.subject, $1)).*
from qs.retention_policies p join qs.table_classes c using (table_name) order by p.subject
"""
_LIVE = "select exists (select from qs.ledger where mode in ('LIVE', 'PAPER') and feed like 'live:%')"
_SET_HOLD = """
update qs.retention_policies set hold = $2, hold_reason = $3, hold_by = $4,
  hold_since = case when $2 then clock_timestamp() end
where subject = $1 and hold <> $2 returning table_name
"""


class RetentionError(Exception):
    """What was asked for cannot be done; the message says what can."""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a policy speaks of: a partition, or rows of a table. `due` means that it may go now.

    `kept` says why it may not, or what keeps more than the policy's own period. `since` and `until` are the first and last
    time of the rows (partition: its bounds); `size_bytes` of rows is unknown: 0.
    """

    subject: str
    table: str
    what: str
    partition: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    rows: int = 0
    size_bytes: int = 0
    due: bool = False
    kept: str = ""


async def is_live(conn: asyncpg.Connection) -> bool:
    """Does this ledger follow a live feed? Others (SIM, replay, none yet) are left alone (decisions.md 24)."""
    return bool(await conn.fetchval(_LIVE))


async def plan(conn: asyncpg.Connection, now: datetime) -> list[Item]:
    """Every policy, with what is due and what is kept and why; changes nothing. One item for a policy with nothing due."""
    items: list[Item] = []
    for policy in await conn.fetch(_POLICIES, now):
        if not _finite(policy["cut"]):
            items.append(_nothing(policy, policy["why"]))
        elif policy["series"] is not None:
            items += await _partitions(conn, policy)
        else:
            items += await _rows(conn, policy)
    return items


async def cuts(conn: asyncpg.Connection, now: datetime) -> list[tuple[str, datetime]]:
    """Series that may lose something at all, each with the end of its last week that may go."""
    return [
        (policy["series"], await conn.fetchval("select qs.bar_start('7 days', $1)", policy["cut"]))
        for policy in await conn.fetch(_POLICIES, now)
        if policy["series"] is not None and _finite(policy["cut"])
    ]


def _finite(cut: datetime | None) -> bool:
    """asyncpg gives -infinity as the smallest datetime."""
    return cut is not None and cut.year > 1


def _nothing(policy: Any, why: str) -> Item:
    return Item(subject=policy["subject"], table=policy["table_name"], what="nothing", kept=why)


async def _partitions(conn: asyncpg.Connection, policy: Any) -> list[Item]:
    found = await conn.fetch("select * from qs.partitions_of($1) where until <= $2", policy["series"], policy["cut"])
    items = []
    for part in found:
        where = await conn.fetchval("select qs.rows_of($1, $2, $3)", policy["subject"], part["since"], part["until"])
        rows = await conn.fetchval(f'select count(*) from qs."{policy["table_name"]}" where {where}')  # noqa: S608
        kept = ""
        if policy["archive"] and not await archive.is_archived(conn, policy["table_name"], part["partition_name"]):
            kept = "not in the archive yet"
        items.append(
            Item(
                subject=policy["subject"],
                table=policy["table_name"],
                what=part["partition_name"],
                partition=part["partition_name"],
                since=part["since"],
                until=part["until"],
                rows=rows,
                size_bytes=part["size_bytes"],
                due=not kept,
                kept=kept,
            )
        )
    return items or [_nothing(policy, policy["why"])]


async def _rows(conn: asyncpg.Connection, policy: Any) -> list[Item]:
    where = await conn.fetchval("select qs.rows_of($1, null, $2)", policy["subject"], policy["cut"])
    column, table = policy["time_column"], policy["table_name"]
    found = await conn.fetchrow(
        f'select count(*) as rows, min("{column}") as since, max("{column}") as until from qs."{table}" where {where}'  # noqa: S608
    )
    if not found["rows"]:
        return [_nothing(policy, policy["why"])]
    return [
        Item(
            subject=policy["subject"],
            table=table,
            what="rows",
            since=found["since"],
            until=found["until"],
            rows=found["rows"],
            due=True,
            kept=policy["why"],
        )
    ]


async def apply(conn: asyncpg.Connection, item: Item, now: datetime) -> int:
    """Drop what an item names, if the database's own rules still agree; the number of rows.

    Raises ArchiveError when its file is not what was archived, asyncpg's error QS005 when something keeps it.
    """
    if item.partition is not None:
        await archive.check_before_drop(conn, item.table, item.partition)
        return int(await conn.fetchval("select qs.drop_partition($1, $2, $3)", item.subject, item.partition, now))
    done = 0
    while gone := await conn.fetchval("select qs.delete_expired($1, $2, $3)", item.subject, now, _BATCH_ROWS):
        done += gone
    return done


async def hold(conn: asyncpg.Connection, subject: str, reason: str, by: str) -> None:
    """Keep everything of a policy until `release`, in the audit log. Needs qs_app. Raises RetentionError."""
    if not reason.strip():
        raise RetentionError("a hold needs a reason: --reason TEXT")
    await _set_hold(conn, subject, "HOLD", reason, by)


async def release(conn: asyncpg.Connection, subject: str, by: str) -> None:
    """End a hold, in the audit log. Needs qs_app. Raises RetentionError."""
    await _set_hold(conn, subject, "RELEASE", None, by)


async def _set_hold(
    conn: asyncpg.Connection, subject: str, verb: Literal["HOLD", "RELEASE"], reason: str | None, by: str
) -> None:
    held = verb == "HOLD"
    async with transaction(conn):
        table = await conn.fetchval(_SET_HOLD, subject, held, reason, by if held else None)
        if table is None:
            known = [r[0] for r in await conn.fetch("select subject from qs.retention_policies order by 1")]
            if subject not in known:
                raise RetentionError(f"there is no policy {subject}; known: {', '.join(known)}")
            raise RetentionError(f"{subject} is {'on hold already' if held else 'not on hold'}")
        now = time.time_ns() // 1_000
        await append(
            conn,
            AuditEntry(
                id=uuid7(now, "retention", f"{verb} {subject} {now}"),
                ts=now,
                action=f"RETENTION_{verb}",
                resource_type="retention_policy",
                old_values={"hold": not held},
                new_values={"hold": held, "reason": reason},
                metadata={"subject": subject, "table": table, "actor": by},
            ),
        )


def totals(items: Sequence[Item]) -> tuple[int, int]:
    """Rows and bytes that are due."""
    due = [item for item in items if item.due]
    return sum(item.rows for item in due), sum(item.size_bytes for item in due)
