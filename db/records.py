"""What the writers of single rows share: one insert, one way to refuse.

A writer takes an open connection (`db.connect`), keyword arguments, amounts as Decimal, times as int microseconds UTC (`*_ts`).
It refuses nonsense with `RecordRefused` before anything is sent; what only the database can know (a foreign key, a rule that
raw SQL must obey as well) leaves as asyncpg's own error. Writers open no transaction unless they say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from db.rows import at

#: 2009-01-01 and 2100-01-01: what lies outside was given in another unit, and would make partitions nobody asked for.
_EARLIEST_TS, _LATEST_TS = 1_230_768_000_000_000, 4_102_444_800_000_000
_INSERT = (
    "insert into qs.{table} ({columns}) select {columns} from jsonb_populate_record(null::qs.{table}, $1::text::jsonb)"
)

_encode = msgspec.json.Encoder(order="deterministic").encode


class RecordRefused(ValueError):
    """The row makes no sense. One line that says which value and what would do; nothing was written."""


def require(condition: bool, message: str) -> None:
    """Raise RecordRefused unless `condition` holds."""
    if not condition:
        raise RecordRefused(message)


def one_of(name: str, value: str, words: tuple[str, ...]) -> None:
    require(value in words, f"{name} {value!r} is not known: use one of {', '.join(words)}")


def within(name: str, value: Decimal | float | None, low: int, high: int) -> None:
    """Refuse a number outside low..high, NaN among them. None passes: not every figure is known."""
    require(value is None or low <= value <= high, f"{name} {value} is outside {low} to {high}")


def moment(name: str, ts: int) -> datetime:
    """The datetime of int microseconds UTC. Raises RecordRefused outside 2009 to 2100."""
    require(
        _EARLIEST_TS <= ts < _LATEST_TS,
        f"{name} {ts} is not a time between 2009 and 2100: give microseconds since 1970",
    )
    return at(ts)


def moment_or_none(name: str, ts: int | None) -> datetime | None:
    return None if ts is None else moment(name, ts)


def as_json(value: object) -> str:
    """JSON text for a jsonb parameter; decimals as strings, times as ISO 8601."""
    return _encode(value).decode()


async def insert(conn: Any, table: str, row: Mapping[str, Any], tail: str = "", returning: str = "id") -> Any:
    """Add one row of a table of schema qs; None in `row` means the column's default. Returns one column of it.

    `tail` may be an ON CONFLICT clause; None comes back when that left the table as it was.
    """
    given = {name: value for name, value in row.items() if value is not None}
    sql = _INSERT.format(table=table, columns=", ".join(given))
    return await conn.fetchval(f"{sql} {tail} returning {returning}", as_json(given))


async def ensure_partitions(conn: Any, series: str, when: datetime) -> None:
    """Make the partition of a series that `when` belongs to, where there is none."""
    await conn.execute("select qs.ensure_partitions($1, $2, $2)", series, when)
