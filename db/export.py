"""Tables as files for other programs: by class, of one moment, never a secret, all or nothing.

Everything is written into a folder of its own inside the target and moved out at the end, `manifest.json` last: a folder with a
manifest is whole.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from db.connect import connect, transaction
from db.facts import Facts, read_facts
from db.parquet import Column, ExportError, Format, columns_of, quoted, write_rows
from db.writer import HostFacts

MANIFEST = "manifest.json"
WORK = ".quantsail-export"
CLASSES = ("JOURNAL", "PROJECTION", "REFERENCE", "SERIES", "QUEUE")
#: Columns that leave the database in no form. The database holds ciphertext only, and that stays where its key is managed.
SECRETS = ("ciphertext", "nonce", "password_hash", "wrapped_dek", "wrap_nonce", "key_hash", "token_hash", "secret")
#: What a period selects by: the first of these that a table has. Reference tables are always whole.
TIMES = ("ts", "executed_at", "created_at", "opened_at", "started_at", "at", "recorded_at", "updated_at")
_CLASSES = "select table_name::text, class from qs.table_classes where table_name <> 'alembic_version' order by 1"


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One file of an export; `period_column` is empty where the whole table is in it."""

    table: str
    table_class: str
    file: str
    rows: int
    bytes: int
    sha256: str
    columns: dict[str, str]
    left_out: tuple[str, ...]
    period_column: str


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """The manifest. Times are ISO 8601 UTC; a period includes its beginning and not its end."""

    ledger: str
    made_at: str
    version: str
    format: Format
    period_from: str | None
    period_to: str | None
    facts: Facts
    tables: tuple[Table, ...]


class Period(msgspec.Struct, frozen=True):
    """A half-open interval of aware datetimes; None is open."""

    since: datetime | None = None
    until: datetime | None = None


#: Called with the table's name and the bytes of it that have been written.
Progress = Callable[[str, int], None]


def is_secret(column: str) -> bool:
    """Never exported: keys, nonces, password hashes, second factors."""
    return column.endswith(SECRETS) or (column.startswith("mfa_") and column != "mfa_enabled")


async def export(
    dsn: str, folder: Path, ledger: str, form: Format, tables: Sequence[str] = (), period: Period = Period(),  # noqa: B008
    progress: Progress | None = None,
) -> Export:  # fmt: skip
    """Write `tables` (default: all) into `folder`, which must be empty or not exist. Raises ExportError, ConnectError."""
    try:
        with _work(folder) as work:
            conn = await connect(dsn, "qs_owner", name="quantsail export", statement_timeout_ms=0)
            try:
                async with transaction(conn, isolation="repeatable_read", readonly=True):
                    made = await _export(conn, work, ledger, form, tables, period, progress)
            finally:
                await conn.close()
            _publish(work, folder, made)
            return made
    except OSError as error:
        raise ExportError(
            f"{folder} cannot be written ({error.strerror or error}): make room or use another --to"
        ) from error


async def _export(
    conn: asyncpg.Connection, work: Path, ledger: str, form: Format, tables: Sequence[str], period: Period,
    progress: Progress | None,
) -> Export:  # fmt: skip
    classes = {row[0]: row[1] for row in await conn.fetch(_CLASSES)}
    if unknown := [name for name in tables if name not in classes]:
        raise ExportError(f"there is no table {unknown[0]}; there are {', '.join(classes)}")
    facts = await read_facts(conn)
    written = [
        await _table(conn, work, name, classes[name], form, period, progress)
        for name in sorted(set(tables) or classes, key=lambda name: (CLASSES.index(classes[name]), name))
    ]
    since, until = (None if at is None else at.astimezone(UTC).isoformat() for at in (period.since, period.until))
    return Export(
        ledger=ledger,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        version=HostFacts.here().version,
        format=form,
        period_from=since,
        period_to=until,
        facts=facts,
        tables=tuple(written),
    )


async def _table(
    conn: asyncpg.Connection, work: Path, name: str, table_class: str, form: Format, period: Period, progress: Progress | None
) -> Table:  # fmt: skip
    columns = await columns_of(conn, f"qs.{name}")
    kept = [column for column in columns if not is_secret(column.name)]
    clock = "" if table_class == "REFERENCE" or period == Period() else _clock(columns)
    path = work / f"{name}.{form}"
    source = f"qs.{quoted(name)}{_where(clock, period)}{await _order(conn, name)}"
    done = await write_rows(
        conn, source, kept, path, form, None if progress is None else lambda size: progress(name, size)
    )
    return Table(
        table=name,
        table_class=table_class,
        file=path.name,
        rows=done.rows,
        bytes=done.bytes,
        sha256=done.sha256,
        columns=done.types,
        left_out=tuple(column.name for column in columns if is_secret(column.name)),
        period_column=clock,
    )


def _clock(columns: Sequence[Column]) -> str:
    times = {column.name for column in columns if column.pg_type == "timestamp with time zone"}
    return next((name for name in TIMES if name in times), "")


def _where(clock: str, period: Period) -> str:
    if not clock:
        return ""
    bounds = [
        f"{quoted(clock)} {sign} timestamptz '{at.astimezone(UTC).isoformat()}'"
        for sign, at in ((">=", period.since), ("<", period.until))
        if at is not None
    ]
    return f" where {' and '.join(bounds)}" if bounds else ""


async def _order(conn: asyncpg.Connection, name: str) -> str:
    """By primary key, so that two exports of the same rows are the same file."""
    key = await conn.fetchval(
        "select array_agg(quote_ident(a.attname) order by array_position(c.conkey, a.attnum)) from pg_constraint c"
        " join pg_attribute a on a.attrelid = c.conrelid and a.attnum = any (c.conkey)"
        " where c.contype = 'p' and c.conrelid = $1::text::regclass",
        f"qs.{name}",
    )
    return f" order by {', '.join(key)}" if key else ""


@contextmanager
def _work(folder: Path) -> Iterator[Path]:
    """A folder inside the target, for this export alone. What a killed export left there is removed."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ExportError(f"another program exports into {folder}: wait for it, or use another --to") from None
        if strangers := sorted(path.name for path in folder.iterdir() if path.name != WORK):
            raise ExportError(f"{folder} holds {strangers[0]} already: use an empty folder")
        work = folder / WORK
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)
    finally:
        os.close(descriptor)


def _publish(work: Path, folder: Path, made: Export) -> None:
    (work / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n")
    for name in [*(table.file for table in made.tables), MANIFEST]:
        with (work / name).open("rb") as file:
            os.fsync(file.fileno())
        (work / name).rename(folder / name)


def summary(made: Export) -> dict[str, Any]:
    """Rows and bytes in all, for a person."""
    return {
        "tables": len(made.tables),
        "rows": sum(t.rows for t in made.tables),
        "bytes": sum(t.bytes for t in made.tables),
    }
