"""The archive: rows in Parquet files, read back and compared before anything may be dropped.

A segment is one partition, or one month of a table that has none. Files lie in a folder, or at any address that fsspec
knows (`s3://bucket/path`, extra `s3`). Reading one needs no Quantsail: `duckdb -c "from 'fills/2016-01.parquet'"`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from db import parquet, segments
from db.backup import sha256_of
from db.connect import transaction

_POLICIES = """
select p.subject, p.table_name, p.time_column, p.archive, c.class, qs.series_of(p.subject) as series,
  coalesce($2, least($1, clock_timestamp()) - p.keep) as cut
from qs.retention_policies p join qs.table_classes c using (table_name)
where case when $3 = '' then p.archive else p.table_name = $3 end order by p.subject
"""
_MONTHS = """
select to_char(m at time zone 'UTC', 'YYYY-MM') as name, m as since, m + interval '1 month' as until
from generate_series(date_trunc('month', (select min("{column}") from qs."{table}"), 'UTC'),
  date_trunc('month', $1::timestamptz, 'UTC') - interval '1 month', interval '1 month') m
where exists (select from qs."{table}" where "{column}" >= m and "{column}" < m + interval '1 month')
"""
_SEALED = """
select c.relname as name, format('seq >= %s and seq < %s', b.bounds[1], b.bounds[2]) as rows
from pg_inherits i join pg_class c on c.oid = i.inhrelid,
  regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \\(''(\\d+)''\\) TO \\(''(\\d+)''\\)') as b(bounds)
where i.inhparent = 'qs.events'::regclass
  and exists (select from qs.events where seq = b.bounds[2]::bigint and ts < $1) order by b.bounds[1]::bigint
"""
_NEWEST = """
select location, sha256, checksums::text as checksums from qs.archive_segments
where table_name = $1 and partition_name = $2 and verified_at is not null order by written_at desc limit 1
"""
_INSERT = """
insert into qs.archive_segments (table_name, partition_name, since, until, rows_count, size_bytes, sha256, checksums, location)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning id::text
"""
_LIST = """
select id::text, table_name, partition_name, since, until, rows_count, size_bytes, sha256, location, written_at, verified_at,
  dropped_at from qs.archive_segments order by table_name, since, written_at
"""
_RESTORABLE = """
select s.*, c.class, p.subject, p.hold, qs.rows_of(p.subject, null, null) as mine, p.time_column,
  qs.series_of(p.subject) as series
from qs.archive_segments s join qs.table_classes c using (table_name) join qs.retention_policies p using (table_name)
where s.id::text = $1 and (qs.series_of(p.subject) is null or s.partition_name like qs.series_of(p.subject) || '\\_p%')
order by p.subject limit 1
"""


class ArchiveError(Exception):
    """A segment that cannot be written, or is not what was written; the message says which and what to do."""


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that become one segment: `rows` is their condition, `name` the partition or the month."""

    table: str
    name: str
    rows: str
    time_column: str


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A segment as it was written and read back."""

    id: str
    table: str
    name: str
    rows: int
    size_bytes: int
    location: str


async def due(
    conn: asyncpg.Connection, now: datetime, *, table: str = "", before: datetime | None = None
) -> list[Unit]:
    """What is old enough and not in the archive yet: of policies that archive, or of `table`; older than its policy's
    period at `now`, or than `before`. Raises ArchiveError for a table that no policy names."""
    units: list[Unit] = []
    policies = await conn.fetch(_POLICIES, now, before, table)
    if table and not policies:
        known = await conn.fetch("select distinct table_name from qs.retention_policies order by 1")
        raise ArchiveError(f"there is no policy for {table}; known: {', '.join(r[0] for r in known)}")
    for policy in policies:
        if policy["cut"] is not None:
            for unit in await _units(conn, policy):
                if not await _is_current(conn, unit, fixed=policy["class"] != "SERIES"):
                    units.append(unit)
    return units


async def _units(conn: asyncpg.Connection, policy: Any) -> list[Unit]:
    table, column, subject = policy["table_name"], policy["time_column"], policy["subject"]
    if table == "events":
        return [
            Unit(table=table, name=row["name"], rows=row["rows"], time_column=column)
            for row in await conn.fetch(_SEALED, policy["cut"])
        ]
    if policy["series"] is not None:
        found = await conn.fetch(
            "select partition_name as name, qs.rows_of($3, since, until) as rows from qs.partitions_of($1) where until <= $2",
            policy["series"],
            policy["cut"],
            subject,
        )
    else:
        months = await conn.fetch(_MONTHS.format(table=table, column=column), policy["cut"])
        found = [
            {
                "name": m["name"],
                "rows": await conn.fetchval("select qs.rows_of($1, $2, $3)", subject, m["since"], m["until"]),
            }
            for m in months
        ]
    prefix = "" if policy["series"] is not None or table != "candles" else subject.replace(" ", "-") + "-"
    return [Unit(table=table, name=prefix + r["name"], rows=r["rows"], time_column=column) for r in found]


async def is_archived(conn: asyncpg.Connection, table: str, name: str) -> bool:
    """Is there a segment of that name that was read back?"""
    return await conn.fetchrow(_NEWEST, table, name) is not None


async def _is_current(conn: asyncpg.Connection, unit: Unit, *, fixed: bool) -> bool:
    """Is what is archived what is there? History that only grows at its end (`fixed`) is not compared again."""
    newest = await conn.fetchrow(_NEWEST, unit.table, unit.name)
    if newest is None or fixed:
        return newest is not None
    return bool(msgspec.json.decode(newest["checksums"]) == await _sums(conn, unit))


async def _sums(conn: asyncpg.Connection, unit: Unit) -> dict[str, Any]:
    text = await conn.fetchval("select qs.column_checksums($1, $2)", unit.table, unit.rows)
    return dict(msgspec.json.decode(text))


async def write(conn: asyncpg.Connection, unit: Unit, to: str) -> Segment:
    """Write a segment below `to` (folder or address), read it back, compare, record it. Raises ArchiveError; a file that
    was begun stays behind under a name that nothing reads."""
    try:
        return await _write(conn, unit, to)
    except OSError as error:
        raise ArchiveError(
            f"{unit.table} {unit.name} is not archived: {error.strerror or error}: {error.filename or to}"
        ) from error
    except parquet.ExportError as error:
        raise ArchiveError(f"{unit.table} {unit.name} is not archived: {error}") from error


async def _write(conn: asyncpg.Connection, unit: Unit, to: str) -> Segment:
    store = _store(to)
    columns = await parquet.columns_of(conn, f"qs.{unit.table}")
    location = await _free_location(conn, f"{to.rstrip('/')}/{unit.table}/{unit.name}")
    with store.workplace(location) as place:
        made = place / f"{unit.name}.part"
        for left_over in (made, place / f"{made.name}.rows"):
            left_over.unlink(missing_ok=True)
        # One snapshot for the rows and for what they are compared with.
        async with transaction(conn, isolation="repeatable_read", readonly=True):
            sums = await _sums(conn, unit)
            span = await conn.fetchrow(
                f'select min("{unit.time_column}") as since, max("{unit.time_column}") as until from qs."{unit.table}"'  # noqa: S608
                f" where {unit.rows}"
            )
            source = f'qs."{unit.table}" where {unit.rows}'
            written = await parquet.write_rows(conn, source, columns, made, "parquet")
        sha256, size = written.sha256, written.bytes
        await asyncio.to_thread(store.put, made, location)
    row = (unit.table, unit.name, span["since"] or _EPOCH, span["until"] or _EPOCH, sums["rows"], size, sha256)
    key = await conn.fetchval(_INSERT, *row, msgspec.json.encode(sums).decode(), location)
    with store.fetched(location) as back:
        await asyncio.to_thread(_compare, back, location, sha256, columns, sums)
    await conn.execute("update qs.archive_segments set verified_at = clock_timestamp() where id::text = $1", key)
    return Segment(id=key, table=unit.table, name=unit.name, rows=sums["rows"], size_bytes=size, location=location)


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


async def _free_location(conn: asyncpg.Connection, stem: str) -> str:
    """A file that no segment is in: a partition that changed since it was archived gets a second one."""
    for number in range(1, 1_000):
        location = f"{stem}{f'-{number}' if number > 1 else ''}.parquet"
        if not await conn.fetchval("select exists (select from qs.archive_segments where location = $1)", location):
            return location
    raise ArchiveError(f"{stem} was archived a thousand times; look why it changes")


def _compare(path: Path, location: str, sha256: str, columns: Sequence[parquet.Column] = (), sums: Any = None) -> None:
    if sha256_of(path) != sha256:
        raise ArchiveError(f"{location} is not the file that was written: nothing is dropped; archive it again")
    if columns and (found := segments.checksums(path, columns)) != sums:
        differ = ", ".join(name for name in sums if found.get(name) != sums[name])
        raise ArchiveError(f"{location} does not hold what the database holds ({differ}): nothing is dropped")


async def check_before_drop(conn: asyncpg.Connection, table: str, name: str) -> None:
    """Raise ArchiveError unless the newest segment of that name, if there is one, is still the file that was written."""
    newest = await conn.fetchrow(_NEWEST, table, name)
    if newest is None:
        return
    try:
        with _store(newest["location"]).fetched(newest["location"]) as path:
            await asyncio.to_thread(_compare, path, newest["location"], newest["sha256"])
    except OSError as error:
        raise ArchiveError(
            f"{newest['location']} cannot be read ({error.strerror or error}): nothing is dropped"
        ) from error


async def listed(conn: asyncpg.Connection) -> list[dict[str, Any]]:
    """Every segment, as in archive_segments."""
    return [dict(row) for row in await conn.fetch(_LIST)]


async def restore(conn: asyncpg.Connection, segment: str) -> int:
    """Bring the rows of a segment back into their table; how many. Raises ArchiveError.

    Only series: the journal and what follows from it is never dropped. The policy must be on hold, or the next job would
    drop the rows again.
    """
    found = await conn.fetchrow(_RESTORABLE, segment)
    if found is None:
        raise ArchiveError(f"there is no segment {segment}: see `quantsail db archive --list`")
    if found["class"] != "SERIES" or found["series"] is None:
        raise ArchiveError(
            f"{found['table_name']} is never dropped, so nothing of it is missing; read {found['location']}"
        )
    if not found["hold"]:
        raise ArchiveError(
            f"the next job would drop it again: quantsail db retention --hold '{found['subject']}' --reason TEXT first"
        )
    columns = await parquet.columns_of(conn, f"qs.{found['table_name']}")
    with _store(found["location"]).fetched(found["location"]) as path, tempfile.TemporaryDirectory() as folder:
        await asyncio.to_thread(
            _compare, path, found["location"], found["sha256"], columns, msgspec.json.decode(found["checksums"])
        )
        csv = Path(folder) / "rows.csv"
        await asyncio.to_thread(segments.to_csv, path, csv, columns)
        return await _copy_back(conn, found, csv, columns)


async def _copy_back(conn: asyncpg.Connection, found: Any, csv: Path, columns: Sequence[parquet.Column]) -> int:
    table, time = found["table_name"], found["time_column"]
    async with transaction(conn):
        await conn.execute("select qs.ensure_partitions($1, $2, $3)", found["series"], found["since"], found["until"])
        there = await conn.fetchval(
            f'select count(*) from qs."{table}" where {found["mine"]} and "{time}" between $1 and $2',  # noqa: S608
            found["since"],
            found["until"],
        )
        if there:
            raise ArchiveError(f"{there} rows of that time are in {table}: a segment only goes where there is nothing")
        await segments.copy_in(conn, table, csv, columns)
        return int(found["rows_count"])


# -- where files are --------------------------------------------------------------------------------------------------


class Folder:
    """Files of this machine."""

    @contextmanager
    def workplace(self, location: str) -> Iterator[Path]:
        """A folder to prepare a file in: beside it, so that it can be moved there at once."""
        parent = Path(location).parent
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        yield parent

    def put(self, made: Path, location: str) -> None:
        """Move a file to its place, and be sure that it survives the power."""
        with made.open("rb") as file:
            os.fsync(file.fileno())
        made.replace(location)
        handle = os.open(Path(location).parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    @contextmanager
    def fetched(self, location: str) -> Iterator[Path]:
        yield Path(location)


class Remote:
    """Files at an address that fsspec knows."""

    def __init__(self, url: str) -> None:
        try:
            from fsspec.core import url_to_fs

            self._fs: Any = url_to_fs(url)[0]
        except (ImportError, ValueError) as error:
            raise ArchiveError(f"{url} needs the extra: pip install 'quantsail[s3]' ({error})") from error

    @contextmanager
    def workplace(self, location: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="quantsail-archive-") as folder:
            yield Path(folder)

    def put(self, made: Path, location: str) -> None:
        with _as_os_error(location):
            self._fs.makedirs(location.rpartition("/")[0], exist_ok=True)
            with made.open("rb") as source, self._fs.open(location, "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)

    @contextmanager
    def fetched(self, location: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="quantsail-archive-") as folder:
            path = Path(folder) / "segment.parquet"
            with _as_os_error(location), self._fs.open(location, "rb") as source, path.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            yield path


@contextmanager
def _as_os_error(location: str) -> Iterator[None]:
    """Every store has errors of its own; what they mean here is that the file cannot be reached."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{location}: {type(error).__name__}: {error}") from error


def _store(place: str) -> Folder | Remote:
    return Remote(place) if "://" in place else Folder()
