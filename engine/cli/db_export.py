"""`quantsail db export`: the tables as files for other programs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from engine.cli.db_common import Progress, answer, keeper, target
from engine.cli.exits import Exit, fail
from engine.cli.tables import listing

if TYPE_CHECKING:
    from db.database import Database
    from db.export import Period
    from db.parquet import Format

FORMATS = ("parquet", "csv", "jsonl")


def export(
    folder: Path, ledger: str, tables: list[str], form: str, since: str, until: str, *, as_json: bool
) -> int:  # fmt: skip
    """Everything of one moment; an engine may run meanwhile."""
    from db.export import Period

    if form not in FORMATS:
        fail(f"--format is one of {', '.join(FORMATS)}, not {form}", Exit.USAGE)
    period = Period(_moment("--from", since), _moment("--to-time", until))
    name = target(ledger)
    with keeper() as database:
        facts = asyncio.run(_export(database, folder.absolute(), name, tables, cast("Format", form), period))
    answer(facts, _text(folder, facts), as_json=as_json)
    return Exit.OK


async def _export(
    database: Database, folder: Path, name: str, tables: list[str], form: Format, period: Period
) -> dict[str, Any]:  # fmt: skip
    from db.export import export

    dsn = await database.locate(name, "qs_admin")
    with Progress(f"{name}: exporting", "bytes") as progress:
        made = await export(dsn, folder, name, form, tables, period, lambda _, size: progress(size))
    facts: dict[str, Any] = msgspec.to_builtins(made)
    return facts


def _moment(option: str, text: str) -> datetime | None:
    """A date or time in ISO 8601, UTC where it names no zone."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{option} takes a date or a time as 2025-01-31 or 2025-01-31T12:00:00Z, not {text}", Exit.USAGE)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _text(folder: Path, facts: dict[str, Any]) -> str:
    rows: list[tuple[object, ...]] = []
    for one in facts["tables"]:
        without = f"without {', '.join(one['left_out'])}" if one["left_out"] else ""
        rows.append((f"  {one['table']}", one["table_class"], one["rows"], one["bytes"], without))
    total = sum(t["rows"] for t in facts["tables"])
    return f"{folder}: {len(rows)} tables, {total:,} rows, read back and counted\n{listing(rows)}"
