"""One query's rows into one file: Parquet, CSV or JSON lines; streamed, read back and compared.

Rows leave the server by COPY as text into a file beside the target, and DuckDB turns that into Parquet under a memory limit,
so a table may be larger than memory. Decimals are DECIMAL(p,s) where p <= 38, else text, and text in JSON; times are UTC;
arrays and jsonb are JSON text; bytes are BLOB, and hex in CSV and JSON.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import asyncpg

from db.backup import BackupError, sha256_of

Format = Literal["parquet", "csv", "jsonl"]
#: Longest row that DuckDB is told to expect, in bytes, with the memory that it may use: few ledgers' snapshots need the second.
LIMITS = ((2_000_000, "256MB"), (64_000_000, "1500MB"))
BUFFER_LINES = 4
_PLAIN = {
    "smallint": "SMALLINT", "integer": "INTEGER", "bigint": "BIGINT", "boolean": "BOOLEAN", "uuid": "UUID",
    "real": "FLOAT", "double precision": "DOUBLE", "date": "DATE", "timestamp with time zone": "TIMESTAMPTZ",
    "bytea": "BLOB",
}  # fmt: skip
_COLUMNS = """
select attname::text, pg_catalog.format_type(atttypid, atttypmod) from pg_catalog.pg_attribute
 where attrelid = $1::text::regclass and attnum > 0 and not attisdropped order by attnum
"""


class ExportError(BackupError):
    """Rows could not be written out, or are not what was written; no file is left."""


class Column(NamedTuple):
    """A column and its type on the server, as `format_type` spells it."""

    name: str
    pg_type: str

    @property
    def kind(self) -> str:
        """Type in Parquet."""
        if (numeric := re.fullmatch(r"numeric\((\d+),(\d+)\)", self.pg_type)) and int(numeric[1]) <= 38:
            return f"DECIMAL({numeric[1]},{numeric[2]})"
        return _PLAIN.get(self.pg_type, "VARCHAR")

    @property
    def is_text(self) -> bool:
        """Text of any kind, in which there may be line ends; jsonb and arrays have none when they are spelled as JSON."""
        return self.kind == "VARCHAR" and self.pg_type != "jsonb" and not self.pg_type.endswith("[]")

    def sql(self, form: Format) -> str:
        """How the server is asked for it. On the way to Parquet a row is one line: text travels as a JSON string."""
        name = quoted(self.name)
        if form == "parquet" and self.is_text:
            return f"to_json({name}::text)::text as {name}"
        if self.pg_type == "bytea":
            return f"encode({name}, 'hex') as {name}"
        if form == "jsonl":
            exact = self.pg_type.startswith("numeric") or (
                self.kind == "VARCHAR" and self.pg_type not in ("jsonb", "text")
            )
            return f"{_array(self)}::text as {name}" if exact else name
        return f"{_array(self)}::text as {name}"


class Written(NamedTuple):
    """A file that was read back: rows, bytes, sha256 in hex, and the type of every column in it."""

    rows: int
    bytes: int
    sha256: str
    types: dict[str, str]


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


async def columns_of(conn: asyncpg.Connection, table: str) -> list[Column]:
    """The columns of a table ("qs.orders") in order."""
    return [Column(row[0], row[1]) for row in await conn.fetch(_COLUMNS, table)]


async def write_rows(
    conn: asyncpg.Connection, source: str, columns: Sequence[Column], path: Path, form: Format,
    rows_written: Callable[[int], None] | None = None,
) -> Written:  # fmt: skip
    """Write `columns` of `source` (SQL behind FROM) to `path`, which must be a name that nobody else uses.

    Runs in the caller's transaction, whose time zone must be UTC. Raises ExportError, OSError.
    """
    raw = path.with_name(f"{path.name}.rows") if form == "parquet" else path
    try:
        count = await _copy_out(conn, source, columns, raw, form, rows_written)
        return await asyncio.to_thread(_finished, raw, path, columns, form, count)
    except BaseException:
        _remove(path)
        raise
    finally:
        if raw != path:
            _remove(raw)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _finished(raw: Path, path: Path, columns: Sequence[Column], form: Format, count: int) -> Written:
    types = {column.name: column.kind for column in columns}
    if form == "parquet":
        types = _to_parquet(raw, path, columns, count)
    elif (found := _count(path, form)) != count:
        raise ExportError(f"{path.name} holds {found} rows, {count} were sent: the disk or the file is damaged")
    return Written(count, path.stat().st_size, sha256_of(path), types)


async def _copy_out(
    conn: asyncpg.Connection, source: str, columns: Sequence[Column], path: Path, form: Format,
    rows_written: Callable[[int], None] | None,
) -> int:  # fmt: skip
    query = f"select {', '.join(column.sql(form) for column in columns)} from {source}"  # noqa: S608
    options: dict[str, Any] = {"format": "csv"}
    if form == "jsonl":  # one column that CSV would quote: with these two characters it never has a reason to
        query = f"select row_to_json(r)::text from ({query}) r"  # noqa: S608
        options |= {"quote": "\x01", "delimiter": "\x02"}
    elif form == "csv":
        options |= {"header": True}
    else:
        options |= {"null": "\\N", "force_quote": True}
    failed: list[OSError] = []
    with path.open("xb") as file:

        async def sink(data: bytes) -> None:
            # Raised in here, an error would cost the connection: it is told when the rest has gone by.
            try:
                if not failed:
                    file.write(data)
            except OSError as error:
                failed.append(error)
            if rows_written is not None:
                rows_written(file.tell())

        status = await conn.copy_from_query(query, output=sink, **options)
    if failed:
        raise failed[0]
    return int(status.split()[-1])


def _to_parquet(raw: Path, path: Path, columns: Sequence[Column], count: int) -> dict[str, str]:
    """Convert and compare: as many rows, and the same sum over all rows' hashes. NaN is no DECIMAL: then text is kept."""
    import duckdb

    with duckdb.connect(config={"threads": 1, "temp_directory": str(raw.parent)}) as connection:
        connection.execute("set timezone = 'UTC'; set enable_progress_bar = false")
        problem: Exception | None = None
        for exact in (True, False):
            types = {c.name: c.kind if exact or not c.kind.startswith("DECIMAL") else "VARCHAR" for c in columns}
            for line_max, memory in LIMITS:
                try:
                    connection.execute(f"set memory_limit = '{memory}'")
                    _convert(connection, raw, path, columns, types, line_max, count)
                except duckdb.Error as error:
                    problem = error
                    continue
                return types
    raise ExportError(f"{path.name} cannot be written: {' '.join(str(problem).split())[:300]}") from problem


def _convert(
    connection: Any, raw: Path, path: Path, columns: Sequence[Column], types: dict[str, str], line_max: int, count: int
) -> None:  # fmt: skip
    texts = ", ".join(f"{_literal(f'c{number}')}: 'VARCHAR'" for number in range(len(types)))
    values = ", ".join(_value(number, column, types[column.name]) for number, column in enumerate(columns))
    rows = (
        f"select {values} from read_csv({_literal(str(raw))}, columns = {{{texts}}}, auto_detect = false, header = false,"  # noqa: S608
        f" delim = ',', quote = '\"', escape = '\"', nullstr = '\\N', allow_quoted_nulls = false,"
        f" max_line_size = {line_max}, buffer_size = {BUFFER_LINES * line_max})"
    )
    names = ", ".join(quoted(name) for name in types)
    digest = f"select count(*), coalesce(sum(hash({names})), 0) from"
    connection.execute(f"copy ({rows}) to {_literal(str(path))} (format parquet, compression zstd)")
    sent = connection.execute(f"{digest} ({rows})").fetchone()
    found = connection.execute(f"{digest} read_parquet({_literal(str(path))})").fetchone()
    if sent != found or found[0] != count:
        raise ExportError(f"{path.name} holds {found[0]} rows with digest {found[1]}, sent were {count} with {sent[1]}")


def _value(number: int, column: Column, kind: str) -> str:
    value = f"unhex(c{number})" if kind == "BLOB" else f"cast(c{number} as {kind})"
    if column.is_text:
        value = f"cast(c{number} as json) ->> '$'"
    return f"{value} as {quoted(column.name)}"


def _count(path: Path, form: Format) -> int:
    if form == "jsonl":
        with path.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    import csv

    csv.field_size_limit(LIMITS[-1][0])
    with path.open(encoding="utf-8", newline="") as text:
        return sum(1 for _ in csv.reader(text, strict=True)) - 1


def _array(column: Column) -> str:
    return f"to_jsonb({quoted(column.name)})" if column.pg_type.endswith("[]") else quoted(column.name)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
