"""Files of the archive read again: what they hold, to compare it with the database, and their rows, to bring them back.

They are written by db/parquet.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg

from db.parquet import Column, ExportError, quoted

_NULL = "\\N"


def checksums(source: Path, columns: Sequence[Column]) -> dict[str, Any]:
    """What `qs.column_checksums` says of the same rows: {"rows": n, column: "values:sum"}. Raises ExportError."""
    sums = ", ".join(
        f"count({quoted(c.name)}) || ':' || coalesce(sum(('0x' || substr(md5({_plain(c)}), 1, 15))::bigint), 0)"
        for c in columns
    )
    row = _run(f"select count(*), {sums} from read_parquet({_literal(source)})", source)  # noqa: S608
    return {"rows": row[0]} | dict(zip((c.name for c in columns), row[1:], strict=True))


def to_csv(source: Path, csv: Path, columns: Sequence[Column]) -> None:
    """The rows as CSV for `copy_in`. Raises ExportError."""
    picked = ", ".join(f"{_spelled(c)} as {quoted(c.name)}" for c in columns)
    _run(
        f"copy (select {picked} from read_parquet({_literal(source)})) to {_literal(csv)}"  # noqa: S608
        f" (format csv, header false, nullstr '{_NULL}', force_quote *)",
        source,
    )


async def copy_in(conn: asyncpg.Connection, table: str, csv: Path, columns: Sequence[Column]) -> None:
    """The rows of `to_csv` into a table of qs, in the caller's transaction."""
    names = [column.name for column in columns]
    await conn.copy_to_table(table, source=csv, schema_name="qs", columns=names, format="csv", null=_NULL)


def _plain(column: Column) -> str:
    """The text that both sides hash."""
    if column.kind == "TIMESTAMPTZ":
        return f"epoch_us({quoted(column.name)})::varchar"
    return f"lower(hex({quoted(column.name)}))" if column.kind == "BLOB" else f"{quoted(column.name)}::varchar"


def _spelled(column: Column) -> str:
    """The text that Postgres reads."""
    if column.kind == "TIMESTAMPTZ":
        return f"make_timestamp(epoch_us({quoted(column.name)}))::varchar || '+00'"
    return rf"'\x' || lower(hex({quoted(column.name)}))" if column.kind == "BLOB" else f"{quoted(column.name)}::varchar"


def _run(sql: str, source: Path) -> tuple[Any, ...]:
    import duckdb

    try:
        with duckdb.connect(config={"threads": 1, "memory_limit": "512MB"}) as db:
            found: tuple[Any, ...] | None = db.execute(sql).fetchone()
            return found or ()
    except duckdb.Error as error:
        raise ExportError(f"{source.name} cannot be read: {' '.join(str(error).split())[:300]}") from error


def _literal(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
