"""`quantsail db upgrade-server`: the embedded server's data to the next major version of PostgreSQL."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec

from engine import paths
from engine.cli.db_common import answer, database_url
from engine.cli.exits import Exit, fail


def upgrade_server(old_bin: Path | None, *, dry_run: bool, as_json: bool) -> int:
    """Dump with the old programs, restore with the new, compare; the old data is kept."""
    from db.upgrade import plan, upgrade

    if database_url():
        fail("DATABASE_URL is set: whoever runs that server upgrades it", Exit.USAGE)
    found = plan(paths.data_home(), old_bin)
    moved = []
    if found.is_needed and not dry_run:
        moved = asyncio.run(upgrade(paths.data_home(), found, _say))
    facts: dict[str, Any] = {"dry_run": dry_run, "needed": found.is_needed, **msgspec.to_builtins(found)}
    facts["databases"] = [msgspec.to_builtins(one) for one in moved]
    answer(facts, _text(facts), as_json=as_json)
    return Exit.OK


def _say(line: str) -> None:
    if sys.stderr.isatty():
        print(line, file=sys.stderr, flush=True)


def _text(facts: dict[str, Any]) -> str:
    old, new = facts["old_major"], facts["new_major"]
    if not old:
        return f"there is no data yet; the first start uses PostgreSQL {new}"
    if not facts["needed"]:
        return f"the data is of PostgreSQL {old}, the newest programs here are {new}: nothing to do"
    if facts["dry_run"]:
        how = facts["old_bin"] or f"PROGRAMS OF {old} ARE MISSING: install them or use --old-bin"
        return f"would move {facts['old_home']} (by {how}) to {facts['new_home']} (by {facts['new_bin']})"
    lines = [f"moved from PostgreSQL {old} to {new}; the old data stays in {facts['old_home']}"]
    lines += [f"  {one['database']}: {one['seq']:,} events, {one['rows']:,} rows, equal" for one in facts["databases"]]
    return "\n".join(lines)
