"""The read tables made anew from the journal: for real (`quantsail db rebuild`), or aside, to compare (I15)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

import asyncpg

from db.chain import Chain, Link
from db.connect import connect, transaction
from db.fold import PAGE, links
from db.project import Projection
from db.reference import References
from db.writer import lock
from engine.core import events as ev
from engine.core.fold import evolve
from engine.core.ledger import Ledger

#: Where a projection is made aside.
ASIDE = "pg_temp"


EXAMPLES = 3
_PROJECTIONS = "select table_name from qs.table_classes where class = 'PROJECTION' order by table_name"
_KEY = """
select array_agg(quote_ident(a.attname) order by a.attnum) from pg_constraint c
join pg_attribute a on a.attrelid = c.conrelid and a.attnum = any (c.conkey)
where c.contype = 'p' and c.conrelid = $1::text::regclass
"""
#: `o` is what is there, `a` what the journal says.
_COMPARED = """
select case when o.{any_key} is null then 'missing' when a.{any_key} is null then 'extra' else 'changed' end as why,
  coalesce((to_jsonb(a) ->> 'event_seq')::bigint, (to_jsonb(o) ->> 'event_seq')::bigint, 0) as seq,
  coalesce(to_jsonb(a) ->> 'id', to_jsonb(o) ->> 'id', left(coalesce(to_jsonb(a), to_jsonb(o))::text, 80)) as name,
  (select string_agg(n.key, ', ' order by n.key) from jsonb_each(to_jsonb(a)) n
    where n.value is distinct from to_jsonb(o) -> n.key) as columns
from qs.{table} o full join pg_temp.{table} a using ({key})
where row(o.*) is distinct from row(a.*)
"""


class Difference(NamedTuple):
    """A row that is in one of the two only; `seq` is the event that it says it follows from, 0 for tables without one."""

    table: str
    seq: int
    reason: str


class TableChanges(NamedTuple):
    """What a rebuild would do to a table: rows to insert, to delete and to change, and the first of them in words."""

    table: str
    missing: int
    extra: int
    changed: int
    examples: tuple[str, ...]


#: Called with the events done and all events.
Progress = Callable[[int, int], None]


async def rebuild(dsn: str, progress: Progress | None = None) -> int:
    """Empty the read tables and project the whole journal, in one transaction; returns the number of events.

    Raises JournalFenced while an engine runs, ChainBroken for a journal that is not what its chain says, and what the
    database raises when the login may not act as the owner. A failure leaves everything as it was.
    """
    conn = await connect(dsn, "qs_owner", name="quantsail rebuild", statement_timeout_ms=0)
    try:
        await lock(conn)
        async with transaction(conn):
            await conn.execute("select qs.empty_projections()")
            ledger = Ledger()
            await _project(conn, ledger, "qs", progress)
        return ledger.seq
    finally:
        await conn.close()


async def would_change(dsn: str, progress: Progress | None = None) -> tuple[int, list[TableChanges]]:
    """The number of events, and what a rebuild would change table by table; changes nothing, and an engine may run meanwhile.

    Raises ChainBroken, and InvariantError from the fold.
    """
    conn = await connect(dsn, "qs_owner", name="quantsail rebuild (dry run)", statement_timeout_ms=0)
    aside = conn.transaction(isolation="repeatable_read")
    try:
        await aside.start()
        tables = await make_aside(conn)
        ledger = Ledger()
        await _project(conn, ledger, ASIDE, progress)
        found = [await _table_changes(conn, table) for table in tables]
        await aside.rollback()
        return ledger.seq, [change for change in found if change.missing or change.extra or change.changed]
    finally:
        await conn.close()


async def _project(conn: asyncpg.Connection, ledger: Ledger, schema: str, progress: Progress | None) -> None:
    total = int(await conn.fetchval("select seq from qs.log_heads where log = 'events'") or 0)
    async for link in project_all(conn, ledger, schema):
        if progress is not None and link.recorded.seq % PAGE == 0:
            progress(link.recorded.seq, total)


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
    # A page refers to nothing that comes later. Checked now, because what waits for the commit waits in memory.
    await conn.execute("set constraints all immediate")
    await conn.execute("set constraints all deferred")


async def make_aside(conn: asyncpg.Connection) -> tuple[str, ...]:
    """Empty temporary tables like those of the projection, without foreign keys; their names."""
    names = await conn.fetch(_PROJECTIONS)
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


async def _table_changes(conn: asyncpg.Connection, table: str) -> TableChanges:
    """`qs` against the projection aside, row by row of the primary key."""
    key = await conn.fetchval(_KEY, f"qs.{table}")
    compared = _COMPARED.format(table=table, key=", ".join(key), any_key=key[0])
    counts = await conn.fetchrow(
        f"select count(*) filter (where why = 'missing') as missing, count(*) filter (where why = 'extra') as extra,"  # noqa: S608
        f" count(*) filter (where why = 'changed') as changed from ({compared}) c"
    )
    examples: list[str] = []
    if any(counts):
        for row in await conn.fetch(f"{compared} order by seq, name limit {EXAMPLES}"):
            where = f" of event {row['seq']}" if row["seq"] else ""
            what = f": {row['columns']}" if row["why"] == "changed" else ""
            examples.append(f"{row['why']} {row['name']}{where}{what}")
    return TableChanges(table, counts["missing"], counts["extra"], counts["changed"], tuple(examples))


async def count_rows(dsn: str) -> dict[str, int]:
    """The number of rows of each read table."""
    conn = await connect(dsn, "qs_owner", name="quantsail rebuild", statement_timeout_ms=0)
    try:
        names = await conn.fetch(_PROJECTIONS)
        return {row[0]: int(await conn.fetchval(f"select count(*) from qs.{row[0]}")) for row in names}  # noqa: S608
    finally:
        await conn.close()
