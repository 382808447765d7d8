"""`quantsail db retention`, `archive` and `maintain`: what may go and what is kept, why, and doing it."""

from __future__ import annotations

import asyncio
import getpass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from engine import paths
from engine.cli.db_common import answer, keeper, target
from engine.cli.exits import Exit, fail
from engine.cli.tables import listing

if TYPE_CHECKING:
    from db.database import Database
    from db.maintenance import Report


def retention(ledger: str, *, apply: bool, hold: str, reason: str, release: str, as_json: bool) -> int:
    """Show what the policies let go, do it with `apply`; or set and end a hold."""
    if sum((apply, bool(hold), bool(release))) > 1:
        fail("--apply, --hold and --release are three things: one at a time", Exit.USAGE)
    name = target(ledger)
    with keeper() as database:
        facts = asyncio.run(_retention(database, name, apply, hold, reason, release))
    answer(facts, _retention_text(facts), as_json=as_json)
    return Exit.OK if not facts["failed"] else Exit.REFUSED


async def _retention(
    database: Database, name: str, apply: bool, hold: str, reason: str, release: str
) -> dict[str, Any]:
    from db import retention
    from db.connect import connect

    dsn = await database.locate(name)
    facts: dict[str, Any] = {"ledger": name, "applied": apply, "hold": hold, "release": release, "failed": []}
    if hold or release:
        conn = await connect(dsn, "qs_app")
        try:
            if hold:
                await retention.hold(conn, hold, reason, getpass.getuser())
            else:
                await retention.release(conn, release, getpass.getuser())
        finally:
            await conn.close()
    now = datetime.now(UTC)
    conn = await connect(dsn, name="quantsail retention", statement_timeout_ms=0)
    try:
        items = await retention.plan(conn, now)
        dropped = 0
        for item in items if apply else []:
            if item.due:
                try:
                    dropped += await retention.apply(conn, item, now)
                except retention.REFUSALS as error:
                    facts["failed"].append(f"{item.what}: {' '.join(str(error).split())}")
    finally:
        await conn.close()
    return facts | {"items": msgspec.to_builtins(items), "rows_dropped": dropped}


def _retention_text(facts: dict[str, Any]) -> str:
    verb = "dropped" if facts["applied"] else "would drop"
    rows: list[tuple[object, ...]] = [
        (i["subject"], f"{verb} {i['what']}", i["rows"], f"{i['size_bytes'] / 1e6:,.1f} MB", i["kept"])
        if i["due"]
        else (i["subject"], "keeps" if i["what"] == "nothing" else f"keeps {i['what']}", i["rows"], "", i["kept"])
        for i in facts["items"]
    ]
    lines = [listing(rows)]
    if facts["hold"] or facts["release"]:
        lines.append(f"{facts['hold'] or facts['release']} is {'on hold' if facts['hold'] else 'not on hold any more'}")
    if facts["applied"]:
        lines.append(f"{facts['ledger']}: {facts['rows_dropped']:,} rows dropped")
    elif any(i["due"] for i in facts["items"]):
        lines.append("nothing was dropped: --apply does it")
    return "\n".join([*lines, *(f"failed: {line}" for line in facts["failed"])])


def archive(
    ledger: str, *, to: str, only: str, before: str, apply: bool, show_list: bool, restore: str, as_json: bool
) -> int:  # fmt: skip
    """Show what is due for the archive and write it with `apply`; list the segments; bring one back."""
    name = target(ledger)
    moment = None
    if before:
        try:
            moment = datetime.fromisoformat(before)
        except ValueError:
            fail(f"--before {before}: a day or a time like 2026-01-31 is needed", Exit.USAGE)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if not only:
            fail("--before needs --table: which rows?", Exit.USAGE)
    with keeper() as database:
        facts = asyncio.run(_archive(database, name, to, only, moment, apply, show_list, restore))
    answer(facts, _archive_text(facts), as_json=as_json)
    return Exit.OK


async def _archive(
    database: Database, name: str, to: str, only: str, before: datetime | None, apply: bool, listed: bool, restore: str
) -> dict[str, Any]:  # fmt: skip
    from db import archive
    from db.connect import connect
    from db.maintenance import default_archive

    place = to or default_archive(paths.data_home(), name)
    facts: dict[str, Any] = {"ledger": name, "to": place, "applied": apply}
    conn = await connect(await database.locate(name), name="quantsail archive", statement_timeout_ms=0)
    try:
        if listed:
            return facts | {"segments": await archive.listed(conn)}
        if restore:
            return facts | {"restored": restore, "rows": await archive.restore(conn, restore)}
        units = await archive.due(conn, datetime.now(UTC), table=only, before=before)
        written = [await archive.write(conn, unit, place) for unit in units] if apply else []
        return facts | {"due": [f"{u.table} {u.name}" for u in units], "written": msgspec.to_builtins(written)}
    finally:
        await conn.close()


def _archive_text(facts: dict[str, Any]) -> str:
    if "segments" in facts:
        rows: list[tuple[object, ...]] = [
            (s["id"], s["table_name"], s["partition_name"], s["rows_count"], _state(s), s["location"])
            for s in facts["segments"]
        ]
        return listing(rows) or f"{facts['ledger']}: nothing is archived"
    if "restored" in facts:
        return f"{facts['ledger']}: {facts['rows']:,} rows are back"
    if facts["applied"]:
        rows = [
            (s["table"], s["name"], s["rows"], f"{s['size_bytes']:,} bytes", s["location"]) for s in facts["written"]
        ]
        return listing(rows) or f"{facts['ledger']}: nothing is due for the archive"
    if not facts["due"]:
        return f"{facts['ledger']}: nothing is due for the archive"
    return "\n".join([*(f"would archive {unit}" for unit in facts["due"]), f"--apply writes to {facts['to']}"])


def _state(segment: dict[str, Any]) -> str:
    if segment["verified_at"] is None:
        return "not verified"
    return "dropped from the database" if segment["dropped_at"] else "verified"


def maintain(ledger: str, *, as_json: bool) -> int:
    """Run the maintenance job once, as the engine does every hour."""
    from db.maintenance import default_archive, maintain as job

    name = target(ledger)

    async def run(database: Database) -> Report:
        to = default_archive(paths.data_home(), name)
        return await job(await database.locate(name), now=datetime.now(UTC), archive_to=to)

    with keeper() as database:
        report = asyncio.run(run(database))
    if report.busy:
        answer({"ledger": name, "busy": True, "steps": []}, f"{name}: another process does it", as_json=as_json)
        return Exit.OK
    lines = [(s.name, "done" if s.ok else "failed", s.said, f"{s.seconds:.1f} s") for s in report.steps]
    answer({"ledger": name, **msgspec.to_builtins(report)}, listing(list(lines)), as_json=as_json)
    return Exit.REFUSED if report.failed else Exit.OK
