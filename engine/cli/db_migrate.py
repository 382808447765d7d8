"""`quantsail db migrate`: from which schema to which, by which files."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from engine.cli.db_common import answer, keeper, target
from engine.cli.exits import Exit

if TYPE_CHECKING:
    from db.database import Database


def migrate(ledger: str, *, dry_run: bool, as_json: bool) -> int:
    """Apply what is missing, or only name it. Refuses while an engine runs on a schema that would change under it."""
    name = target(ledger)
    with keeper() as database:
        facts = asyncio.run(_migrate(database, name, dry_run))
    answer(facts, _text(facts), as_json=as_json)
    return Exit.OK


async def _migrate(database: Database, name: str, dry_run: bool) -> dict[str, Any]:
    from db.migrate import head, pending
    from db.writer import refuse_running

    dsn = await database.locate(name)
    before, files = await pending(dsn)
    facts: dict[str, Any] = {
        "ledger": name,
        "from": before,
        "to": head(),
        "files": files,
        "dry_run": dry_run,
        "backup": None,
    }
    if files and before is not None:
        await refuse_running(dsn)
    if not dry_run:
        result = await database.migrate(name)
        facts |= {"files": [file for file in files if file[:4] in result.applied], "backup": database.last_backup}
    return facts


def _text(facts: dict[str, Any]) -> str:
    name, before, after = facts["ledger"], facts["from"], facts["to"]
    if not facts["files"]:
        return f"{name}: schema {after}, nothing to do"
    verb = "would go" if facts["dry_run"] else "went"
    lines = [f"{name}: {verb} from schema {before or 'none'} to {after}", *(f"  {file}" for file in facts["files"])]
    if facts["backup"]:
        lines.append(f"  backup: {facts['backup']}")
    return "\n".join(lines)
