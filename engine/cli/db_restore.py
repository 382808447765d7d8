"""`quantsail db restore`: what a copy would change, and the change itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from engine import paths, status
from engine.cli.db_common import Progress, answer, database_url, keeper, target
from engine.cli.exits import Exit, fail
from engine.cli.tables import listing

if TYPE_CHECKING:
    from db.database import Database
    from db.facts import Facts
    from db.restore import Dump, Place


class _Plan(NamedTuple):
    """A dump and the ledger that it goes to; `there` is None where the ledger has no database with a schema."""

    name: str
    dump: Dump
    place: Place
    there: Facts | None
    database: str


def restore(
    file: Path, ledger: str, *, replace: bool, unaudited: bool, dry_run: bool, as_json: bool
) -> int:  # fmt: skip
    """Restore aside, compare, migrate, verify, then swap. What was there is backed up first, and is only lost then."""
    with keeper() as database:
        facts = asyncio.run(_restore(database, file.absolute(), ledger, replace, unaudited, dry_run))
    answer(facts, _text(facts), as_json=as_json)
    return Exit.OK


async def _restore(
    database: Database, file: Path, ledger: str, replace: bool, unaudited: bool, dry_run: bool
) -> dict[str, Any]:  # fmt: skip
    from db import backup, restore
    from db.facts import changes

    plan = await _look(database, file, ledger)
    scratch = restore.scratch_name(plan.name)
    with backup.alone(database.backups(plan.name)):
        if dry_run and plan.dump.manifest is not None:
            inside = plan.dump.manifest.facts
        else:
            with Progress(f"{plan.name}: restoring") as waited:
                inside = await restore.load(plan.dump, plan.place, scratch, waited.beat)
        try:
            _check(plan, inside)
            facts = {
                "ledger": plan.name, "file": str(file), "dry_run": dry_run, "manifest": plan.dump.manifest is not None,
                "restored": msgspec.to_builtins(inside),
                "replaces": msgspec.to_builtins(plan.there),
                "changes": [] if plan.there is None else [c._asdict() for c in changes(inside, plan.there, server=True)],
            }  # fmt: skip
            if not dry_run:
                if plan.there is not None and not replace:
                    fail(_occupied(plan.name, plan.there), Exit.LEDGER)
                facts |= await _replace(database, plan, inside, scratch, unaudited)
        finally:
            await restore.drop(plan.place, scratch)
    return facts


async def _look(database: Database, file: Path, ledger: str) -> _Plan:
    """Everything that can be known before anything is made."""
    from db import restore
    from db.backup import read_manifest
    from db.writer import refuse_running

    known = None if ledger or database_url() else read_manifest(file)
    name = ledger or (known.ledger if known is not None else target(""))
    if "/" in name or name in (".", ".."):
        fail(f"{name} cannot name a ledger: no slashes", Exit.USAGE)
    place = await database.place(name)
    major = await restore.server_major(place.maintenance)
    dump = await restore.examine(file, place.tools, major)
    dsn = await database.locate(name, "qs_admin")
    own = restore.database_name(database.url) if database.url else name
    there = await restore.facts_of(dsn) if await restore.exists(place, own) else None
    if there is not None and there.revision is None:
        there = None  # a database without our schema holds nothing that a restore could destroy
    if there is not None:
        await refuse_running(dsn)
    return _Plan(name, dump, place, there, own)


def _check(plan: _Plan, inside: Facts) -> None:
    """The dump must be of the ledger that it goes to, by its database and by its folder."""
    from db.restore import check_same

    folder = status.read(paths.ledger_dir(plan.name) / status.FACTS_NAME) or {}
    for known in (plan.there.ledger_id if plan.there is not None else "", str(folder.get("ledger_id", ""))):
        check_same(inside, known, plan.name)


async def _replace(
    database: Database, plan: _Plan, inside: Facts, scratch: str, unaudited: bool
) -> dict[str, Any]:  # fmt: skip
    from db import backup, restore
    from db.anchors import ANCHORS_FILE

    directory = paths.ledger_dir(plan.name)
    directory.mkdir(parents=True, exist_ok=True)
    anchors, draft = directory / ANCHORS_FILE, directory / f"{ANCHORS_FILE}.restored"
    restore.write_anchors(draft, restore.kept_anchors(anchors, inside))
    try:
        applied, said = await restore.finish(plan.place, scratch, draft, unaudited=unaudited)
        saved = None
        if plan.there is not None:
            dsn = await database.locate(plan.name, "qs_admin")
            folder = database.backups(plan.name) / backup.REPLACED
            saved = (await backup.save(dsn, folder, plan.name, plan.place.tools, kind="restore")).path
        await restore.swap(plan.place, scratch, plan.database)
        if anchors.exists():
            anchors.rename(anchors.with_name(f"{ANCHORS_FILE}.before-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"))
        os.replace(draft, anchors)  # noqa: PTH105  (a rename that may replace)
    finally:
        draft.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (directory / status.STATUS_NAME).unlink(missing_ok=True)  # it told of the database before
        if inside.ledger_id:
            status.write_facts(directory, inside)
    return {"backup": None if saved is None else str(saved), "migrated": list(applied), "audit": said}


def _occupied(name: str, there: Facts) -> str:
    return (
        f"ledger {name} exists, with {there.seq} events: add --replace (a backup of it is made first), or restore under"
        " another --ledger; --dry-run shows what would change"
    )


def _text(facts: dict[str, Any]) -> str:
    inside, there = facts["restored"], facts["replaces"]
    seq = inside["heads"].get("events", {}).get("seq", 0)
    verb = "would be" if facts["dry_run"] else "is"
    lines = [
        f"{facts['ledger']} {verb} restored: {seq:,} events, schema {inside['revision']}, {inside['mode'] or 'unopened'}"
    ]
    if there is None:
        lines.append("  there is no such ledger yet" if facts["dry_run"] else "  it is new here")
    elif facts["changes"]:
        rows: list[tuple[object, ...]] = [("", "now" if facts["dry_run"] else "before", "in the copy")]
        rows += [(f"  {c['what']}", c["there"] or "-", c["here"] or "-") for c in facts["changes"]]
        lines.append(listing(rows))
    else:
        lines.append("  the same as what is there")
    if not facts["manifest"]:
        lines.append("  no manifest beside the file: the journal and what follows from it were compared, nothing else")
    if facts.get("backup"):
        lines.append(f"  what was there is kept in {facts['backup']}")
    if facts.get("migrated"):
        lines.append(f"  migrated: {', '.join(facts['migrated'])}")
    if facts.get("audit"):
        lines.append(f"  audit: {facts['audit']}")
    return "\n".join(lines)
