"""`quantsail db rebuild`: the read tables made anew from the journal, or what that would change."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from engine.cli.db_common import Progress, answer, keeper, target
from engine.cli.exits import Exit
from engine.cli.tables import listing

if TYPE_CHECKING:
    from db.database import Database


def rebuild(ledger: str, *, dry_run: bool, as_json: bool) -> int:
    """Rebuild in one transaction; a dry run projects aside and compares. The real one refuses while an engine runs."""
    name = target(ledger)
    with keeper() as database:
        facts = asyncio.run(_dry_run(database, name) if dry_run else _rebuild(database, name))
    answer(facts, _text(facts), as_json=as_json)
    return Exit.OK


async def _rebuild(database: Database, name: str) -> dict[str, Any]:
    from db.rebuild import count_rows, rebuild

    await database.open(name)
    dsn = await database.locate(name, "qs_admin")
    started = time.monotonic()
    with Progress(f"{name}: rebuilding", "events") as progress:
        events = await rebuild(dsn, progress)
    seconds = round(time.monotonic() - started, 3)
    return {"ledger": name, "dry_run": False, "events": events, "seconds": seconds, "rows": await count_rows(dsn)}


async def _dry_run(database: Database, name: str) -> dict[str, Any]:
    from db.rebuild import would_change

    dsn = await database.locate(name, "qs_admin")
    with Progress(f"{name}: projecting aside", "events") as progress:
        events, changes = await would_change(dsn, progress)
    return {"ledger": name, "dry_run": True, "events": events, "changes": [change._asdict() for change in changes]}


def _text(facts: dict[str, Any]) -> str:
    name, events = facts["ledger"], facts["events"]
    if not facts["dry_run"]:
        rows: list[tuple[object, ...]] = [(f"  {key}", count) for key, count in facts["rows"].items()]
        return f"{name}: rebuilt from {events:,} events in {facts['seconds']:.1f} s\n{listing(rows)}"
    if not facts["changes"]:
        return f"{name}: the read tables are what its {events:,} events say; a rebuild would change nothing"
    lines = [f"{name}: a rebuild from {events:,} events would change"]
    for change in facts["changes"]:
        counts = ", ".join(
            f"{change[kind]:,} {verb}"
            for kind, verb in (("missing", "missing"), ("extra", "too many"), ("changed", "different"))
            if change[kind]
        )
        lines += [f"  {change['table']}: {counts}", *(f"    {example}" for example in change["examples"])]
    return "\n".join(lines)
