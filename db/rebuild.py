"""The read tables made anew from the journal: for real (`quantsail db rebuild`), or aside, to compare (I15)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import asyncpg

from db.chain import Chain, Link
from db.connect import connect
from db.fold import PAGE, links
from db.project import Projection
from db.reference import References
from db.writer import lock
from engine.core import events as ev
from engine.core.ledger import Ledger, evolve

#: Where a projection is made aside.
ASIDE = "pg_temp"


class Difference(NamedTuple):
    """A row that is in one of the two only; `seq` is the event that it says it follows from, 0 for tables without one."""

    table: str
    seq: int
    reason: str


async def rebuild(dsn: str) -> int:
    """Empty the read tables and project the whole journal, in one transaction; returns the number of events.

    Raises JournalFenced while an engine runs, ChainBroken for a journal that is not what its chain says, and what the
    database raises when the login may not act as the owner. A failure leaves everything as it was.
    """
    conn = await connect(dsn, "qs_owner", name="quantsail rebuild", statement_timeout_ms=0)
    try:
        await lock(conn)
        async with conn.transaction():
            await conn.execute("select qs.empty_projections()")
            ledger = Ledger()
            async for _ in project_all(conn, ledger, "qs"):
                pass
        return ledger.seq
    finally:
        await conn.close()


async def project_all(conn: asyncpg.Connection, ledger: Ledger, schema: str) -> AsyncIterator[Link]:
    """Fold the journal into `ledger` and write its projection into `schema`, page by page; yields each event, folded.

    Runs in the caller's transaction. Raises ChainBroken, and InvariantError from the fold.
    """
    chain, page, refs = Chain(), list[Link](), References()
    async for link in links(conn, chain):
        event = link.recorded.event
        # A new day drops old closed orders from the ledger; what the page touched must be written before.
        if len(page) >= PAGE or (page and isinstance(event, ev.DayStarted | ev.ConfigActivated)):
            await _write(conn, page, ledger, refs, schema)
            page = []
        evolve(ledger, event)
        ledger.seq = link.recorded.seq
        page.append(link)
        yield link
    await _write(conn, page, ledger, refs, schema)


async def _write(conn: asyncpg.Connection, page: Sequence[Link], ledger: Ledger, refs: References, schema: str) -> None:
    projection = Projection.of(page)
    if schema == ASIDE:
        await refs.prepare_exchanges(conn, ledger, projection.places)
    else:
        await refs.prepare(conn, ledger, projection.places, projection.sampled_ts)
    await projection.write(conn, ledger, refs, schema)


async def make_aside(conn: asyncpg.Connection) -> tuple[str, ...]:
    """Empty temporary tables like those of the projection, without foreign keys; their names."""
    names = await conn.fetch("select table_name from qs.table_classes where class = 'PROJECTION' order by table_name")
    for row in names:
        await conn.execute(f"create temp table {row[0]} (like qs.{row[0]} including constraints including indexes)")
    return tuple(str(row[0]) for row in names)


async def first_difference(conn: asyncpg.Connection, tables: Sequence[str]) -> Difference | None:
    """The first row, by event, that the read tables and the projection aside do not share; None when they are equal."""
    found: list[Difference] = []
    for table in tables:
        for one, other, reason in (
            ("qs", ASIDE, "is not what the journal says"),
            (ASIDE, "qs", "is missing, or was changed"),
        ):
            sql = f"select to_jsonb(d) as row from (select * from {one}.{table} except select * from {other}.{table}) d"  # noqa: S608
            row = await conn.fetchrow(
                f"select coalesce((row ->> 'event_seq')::bigint, 0) as seq, coalesce(row ->> 'id', '') as id from ({sql}) r"  # noqa: S608
                " order by 1, 2 limit 1"
            )
            if row is not None:
                found.append(Difference(table, row["seq"], f"{table} row {row['id']} {reason}"))
    return min(found, key=lambda difference: (not difference.seq, difference.seq), default=None)
