"""A table from one profile to another: native partitions, pg_partman, TimescaleDB; arrays or vectors (`db convert`).

The profile is chosen when a table is made and never changes by itself. Converting happens in one transaction on a table of
the old rows set aside: readers wait, and whatever stops it leaves everything as it was.

    ConvertError         nothing was changed; one line with the remedy
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from db import fingerprint
from db.connect import connect, transaction
from db.contracts import SCHEMAS
from db.writer import lock
from migrations import contract_files, read_sql

EMBEDDINGS = "embeddings"
#: Series that are made one way on every server, and why.
FIXED = {
    "candles_1m": "it is a partition of candles, which a hypertable cannot be",
    "equity_snapshots": "it carries row security, which compression refuses",
}
PROFILES = ("NATIVE", "PARTMAN", "TIMESCALE")

_SERIES = """
select table_name as name, profile as now, step,
  case when table_name = any ($1::text[]) then profile else qs.series_profile() end as best
from qs.series order by table_name
"""
_EMBEDDINGS = """
select case format_type(atttypid, atttypmod) when 'real[]' then 'ARRAY' else 'VECTOR' end as now,
  case when qs.extension_schema('vector') is null then 'ARRAY' else 'VECTOR' end as best
from pg_attribute where attrelid = 'qs.wallet_event_analyses'::regclass and attname = 'embedding'
"""
_TO_VECTOR = """
alter table qs.wallet_event_analyses drop constraint wallet_event_analyses_embedding_check,
  alter column embedding type {ext}.vector(768) using embedding::{ext}.vector(768)
"""
_TO_ARRAY = """
alter table qs.wallet_event_analyses alter column embedding type real[] using embedding::real[],
  add constraint wallet_event_analyses_embedding_check check (array_length(embedding, 1) = 768)
"""
_COUNT = "select count(*) from qs.{table}"
_TABLES = {EMBEDDINGS: "wallet_event_analyses"}
_RECORD = "update qs.capability set value = $1, recorded_at = clock_timestamp() where name = 'EMBEDDINGS'"

#: Called with the rows moved so far, and all of them.
Progress = Callable[[int, int], None]


class ConvertError(Exception):
    """The table stays as it is; the message says why and what to do."""


class Convertible(msgspec.Struct, frozen=True, kw_only=True):
    """One table (or `embeddings`): its profile, and the best that this server has. `fixed` says why it has no choice."""

    name: str
    now: str
    best: str
    fixed: str = ""


async def survey(conn: Any) -> list[Convertible]:
    """Everything that has a profile."""
    rows = await conn.fetch(_SERIES, list(FIXED))
    found = [Convertible(name=r["name"], now=r["now"], best=r["best"], fixed=FIXED.get(r["name"], "")) for r in rows]
    row = await conn.fetchrow(_EMBEDDINGS)
    return [*found, Convertible(name=EMBEDDINGS, now=row["now"], best=row["best"])]


async def convert(dsn: str, name: str, to: str = "", progress: Progress | None = None) -> tuple[Convertible, str, int]:
    """Bring one table to a profile, the best one by default; returns what it was, what it became, and the rows moved.

    Raises ConvertError, JournalFenced while an engine runs on this ledger, and what the database raises.
    """
    conn = await connect(dsn, "qs_owner", name="quantsail convert", statement_timeout_ms=0)
    try:
        await lock(conn)
        item, wanted = await _choose(conn, name, to)
        if item.now == wanted:
            return item, wanted, 0
        async with transaction(conn):
            await _drop_contract_views(conn)
            if name == EMBEDDINGS:
                rows = await _convert_embeddings(conn, wanted)
            else:
                rows = await _convert_series(conn, name, wanted, progress)
            for file in contract_files():
                await conn.execute(read_sql(file))
            await fingerprint.record(conn)  # the catalog is another one now, and is meant to be
        return item, wanted, rows
    finally:
        await conn.close()


async def plan(dsn: str, name: str, to: str = "") -> tuple[Convertible, str, int]:
    """What `convert` would do: the table as it is, the profile it would get, and its rows. Raises ConvertError."""
    conn = await connect(dsn, "qs_owner", name="quantsail convert", statement_timeout_ms=0)
    try:
        item, wanted = await _choose(conn, name, to)
        return item, wanted, int(await conn.fetchval(_COUNT.replace("{table}", _TABLES.get(name, name))))
    finally:
        await conn.close()


async def _choose(conn: Any, name: str, to: str) -> tuple[Convertible, str]:
    known = {item.name: item for item in await survey(conn)}
    if name not in known:
        raise ConvertError(f"{name!r} has no profile: choose one of {', '.join(known)}")
    wanted = to or known[name].best
    await _refuse(conn, known[name], wanted)
    return known[name], wanted


async def _refuse(conn: Any, item: Convertible, wanted: str) -> None:
    if item.fixed and wanted != item.now:
        raise ConvertError(f"{item.name} stays {item.now}: {item.fixed}")
    offered = ("ARRAY", "VECTOR") if item.name == EMBEDDINGS else PROFILES
    if wanted not in offered:
        raise ConvertError(f"{wanted!r} is no profile of {item.name}: choose one of {', '.join(offered)}")
    extension = {"PARTMAN": "pg_partman", "TIMESCALE": "timescaledb", "VECTOR": "vector"}.get(wanted)
    if extension and await conn.fetchval("select qs.extension_schema($1)", extension) is None:
        raise ConvertError(
            f"{extension} is not installed in this database, or closed to qs_owner: let an administrator run"
            f" CREATE EXTENSION {extension} and grant qs_owner the use of it"
        )


async def _drop_contract_views(conn: Any) -> None:
    """A view holds on to its tables, whatever they are called by now: all of them are made anew afterwards."""
    views = await conn.fetchval(
        "select string_agg(format('%I.%I', schemaname, viewname), ', ') from pg_views where schemaname = any ($1)",
        list(SCHEMAS),
    )
    if views:
        await conn.execute(f"drop view {views}")


async def _convert_series(conn: Any, name: str, wanted: str, progress: Progress | None) -> int:
    step = await conn.fetchval("select step from qs.series where table_name = $1", name)
    await conn.execute(f"lock table qs.{name} in access exclusive mode")
    await conn.execute("select qs.begin_conversion($1, $2)", name, wanted)
    # Moved by the steps that have rows: a gap of years makes no empty partitions.
    steps = await conn.fetch(
        f"select date_trunc($1, ts, 'UTC') as since, count(*) as n from qs.{name}_old group by 1 order by 1",  # noqa: S608
        step,
    )
    total, moved = sum(row["n"] for row in steps), 0
    for row in steps:
        await conn.execute("select qs.ensure_partitions($1, $2, $2)", name, row["since"])
        status = await conn.execute(
            f"insert into qs.{name} select * from qs.{name}_old where ts >= $1 and ts < $1 + $2::text::interval",  # noqa: S608
            row["since"],
            f"1 {step}",
        )
        moved += int(status.rsplit(" ", 1)[-1])
        if progress is not None:
            progress(moved, total)
    if moved != total:
        raise ConvertError(f"{moved:,} of {total:,} rows of {name} arrived: nothing was changed, try again")
    await conn.execute("select qs.finish_conversion($1)", name)
    return moved


async def _convert_embeddings(conn: Any, wanted: str) -> int:
    ext = await conn.fetchval("select quote_ident(qs.extension_schema('vector'))")
    await conn.execute(_TO_ARRAY if wanted == "ARRAY" else _TO_VECTOR.replace("{ext}", ext))
    await conn.execute(_RECORD, wanted)
    return int(await conn.fetchval(_COUNT.replace("{table}", _TABLES[EMBEDDINGS])))
