"""`quantsail db convert`: which profile each table has, which it could have, and the way there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from engine.cli.db_common import Progress, answer, keeper, target
from engine.cli.exits import Exit
from engine.cli.tables import listing

if TYPE_CHECKING:
    from db.database import Database


def convert(ledger: str, name: str, to: str, *, dry_run: bool, as_json: bool) -> int:
    """Without a table: the list. With one: converts it, or only says what would be done."""
    which = target(ledger)
    with keeper() as database:
        if not name:
            facts = asyncio.run(_survey(database, which))
            answer(facts, _list(facts), as_json=as_json)
            return Exit.OK
        facts = asyncio.run(_convert(database, which, name, to.upper(), dry_run))
    verb = "would become" if dry_run else "is now"
    same = facts["from"] == facts["to"]
    said = f"{name} is {facts['to']} already" if same else f"{name} {verb} {facts['to']}, was {facts['from']}"
    answer(facts, f"{which}: {said}; {facts['rows']:,} rows" if not same else f"{which}: {said}", as_json=as_json)
    return Exit.OK


async def _survey(database: Database, ledger: str) -> dict[str, Any]:
    import msgspec

    from db.connect import connect
    from db.convert import survey

    conn = await connect(await database.locate(ledger, "qs_admin"), "qs_owner", name="quantsail convert")
    try:
        return {"ledger": ledger, "tables": [msgspec.structs.asdict(item) for item in await survey(conn)]}
    finally:
        await conn.close()


async def _convert(database: Database, ledger: str, name: str, to: str, dry_run: bool) -> dict[str, Any]:
    from db.convert import convert, plan

    dsn = await database.locate(ledger, "qs_admin")
    if dry_run:
        item, wanted, rows = await plan(dsn, name, to)
    else:
        with Progress(f"converting {name}", "rows") as progress:
            item, wanted, rows = await convert(dsn, name, to, progress)
    return {"ledger": ledger, "table": name, "from": item.now, "to": wanted, "rows": rows, "dry_run": dry_run}


def _list(facts: dict[str, Any]) -> str:
    rows: list[tuple[object, ...]] = [("table", "profile", "best here", "")]
    rows += [(t["name"], t["now"], t["best"], t["fixed"]) for t in facts["tables"]]
    return listing(rows)
