"""`quantsail db check`: what was changed in the schema, by name."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from engine.cli.db_common import answer, keeper, target
from engine.cli.exits import Exit, fail

if TYPE_CHECKING:
    from db.database import Database

#: Lines that a person gets to see; --json has all.
LINES_MAX = 50


def check(ledger: str, *, as_json: bool) -> int:
    """Compare a ledger's schema. Exit 6 when something was changed, 3 when the schema is not this program's."""
    name = target(ledger)
    with keeper() as database:
        facts = asyncio.run(_check(database, name))
    answer(facts, _text(facts), as_json=as_json)
    if not facts["ok"]:
        fail(f"{name}: {facts['text']}", Exit.AUDIT)
    return Exit.OK


async def _check(database: Database, name: str) -> dict[str, Any]:
    import msgspec

    from db.check import check, warnings
    from db.connect import connect

    conn = await connect(await database.locate(name), name="quantsail db check")
    try:
        report = await check(conn)
        return {
            "ledger": name,
            "ok": report.ok,
            "text": report.text,
            **msgspec.to_builtins(report),
            "warnings": await warnings(conn),
        }
    finally:
        await conn.close()


def _text(facts: dict[str, Any]) -> str:
    changed = [*facts["differences"], *facts["partitions"], *facts["unclassed"]]
    lines = changed[:LINES_MAX]
    if len(changed) > LINES_MAX:
        lines.append(f"... and {len(changed) - LINES_MAX} more: --json has all")
    if facts["ok"]:
        lines.append(f"{facts['ledger']}: {facts['text']}")
    return "\n".join([*lines, *(f"warning: {line}" for line in facts["warnings"])])
