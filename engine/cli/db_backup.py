"""`quantsail db backup`: a copy of a ledger's database, verified; and the list of those that are there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from engine.cli.db_common import Progress, answer, keeper, target
from engine.cli.exits import Exit
from engine.cli.tables import listing

if TYPE_CHECKING:
    from db.backup import Copy
    from db.database import Database


def backup(ledger: str, to: Path | None, keep: int, *, verify: bool, as_json: bool) -> int:
    """Copy, and with `verify` restore the copy aside and compare. May run beside an engine."""
    name = target(ledger)
    with keeper() as database:
        facts = asyncio.run(_backup(database, name, None if to is None else to.absolute(), keep, verify))
    answer(facts, _text(facts), as_json=as_json)
    return Exit.OK


async def _backup(database: Database, name: str, to: Path | None, keep: int, verify: bool) -> dict[str, Any]:
    from db import backup, restore

    dsn, place = await database.locate(name, "qs_admin"), await database.place(name)
    folder = database.backups(name)
    with Progress(f"{name}: copying", "bytes") as written:
        copy = await backup.save(dsn, folder, name, place.tools, to=to, written=written)
    if verify:
        dump = await restore.examine(copy.path, place.tools, await restore.server_major(dsn))
        scratch = restore.scratch_name(f"{name} verify")
        with Progress(f"{name}: restoring it to compare") as waited:
            await restore.load(dump, place, scratch, waited.beat)
        await restore.drop(place, scratch)
        manifest = msgspec.structs.replace(copy.manifest, verified=True) if copy.manifest else None
        if manifest is not None:
            backup.write_manifest(copy.path, manifest)
        copy = backup.Copy(path=copy.path, manifest=manifest)
    pruned = backup.prune(folder, keep, "manual") if keep and to is None else []
    return {"file": str(copy.path), **msgspec.to_builtins(copy.manifest), "pruned": [str(path) for path in pruned]}


def show_list(ledger: str, *, as_json: bool) -> int:
    """The copies of a ledger, newest first. Needs no server."""
    from db.backup import copies

    name = target(ledger)
    with keeper() as database:
        folder = database.backups(name)
    found = copies(folder)
    rows = [{"file": str(copy.path), **(msgspec.to_builtins(copy.manifest) or {})} for copy in found]
    text = listing([_row(copy) for copy in found]) or f"{name}: no copies in {folder}; `quantsail db backup` makes one"
    answer({"ledger": name, "folder": str(folder), "copies": rows}, text, as_json=as_json)
    return Exit.OK


def _row(copy: Copy) -> tuple[object, ...]:
    m = copy.manifest
    if m is None:
        return (copy.path.name, "no manifest", "", copy.path.stat().st_size, "")
    return (copy.path.name, m.kind, f"{m.facts.seq} events", m.bytes, "verified" if m.verified else "")


def _text(facts: dict[str, Any]) -> str:
    inside = facts["facts"]
    rows = sum(inside["rows"].values())
    checked = "restored and compared: equal" if facts["verified"] else "listed; --verify restores it to compare"
    lines = [
        facts["file"],
        f"  {facts['bytes']:,} bytes, {rows:,} rows, {inside['heads'].get('events', {}).get('seq', 0):,} events, schema "
        f"{inside['revision']}, PostgreSQL {inside['server_major']}, {facts['seconds']:.1f} s",
        f"  {checked}",
    ]
    if inside["problem"]:
        lines.append(f"  the journal has a problem, which is copied with it: {inside['problem']}")
    return "\n".join([*lines, *(f"  deleted {path}" for path in facts["pruned"])])
