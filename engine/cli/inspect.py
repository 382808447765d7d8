"""`quantsail logs`, `events`, `audit verify`: looking at what is there."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from engine import paths
from engine.cli.exits import Exit, fail
from engine.cli.ledgers import LedgerEntry, choose
from engine.core.text import safe_text
from engine.logs import LOG_NAME

FOLLOW_S = 0.5


def show_logs(lines: int, *, follow: bool, as_json: bool) -> int:
    """The end of the log file, and with `follow` what comes after it, across rotations."""
    path = paths.logs_dir() / LOG_NAME
    if not path.exists():
        print(f"no log yet: {path}", file=sys.stderr)
        if not follow:
            return Exit.OK
    else:
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]:
            print(_log_line(line, as_json))
    while follow:
        _follow(path, as_json)
    return Exit.OK


def _follow(path: Path, as_json: bool) -> None:
    while not path.exists():
        time.sleep(FOLLOW_S)
    with path.open(encoding="utf-8", errors="replace") as file:
        file.seek(0, os.SEEK_END)
        inode = path.stat().st_ino
        while True:
            if line := file.readline():
                print(_log_line(line.rstrip("\n"), as_json), flush=True)
                continue
            if not path.exists() or path.stat().st_ino != inode:
                return
            time.sleep(FOLLOW_S)


def _log_line(line: str, as_json: bool) -> str:
    if as_json:
        return line
    try:
        record = json.loads(line)
        rest = " ".join(f"{k}={v}" for k, v in record.items() if k not in ("at", "level", "event"))
        line = f"{record.get('at', '')} {record.get('level', '').upper():<7} {record.get('event', '')} {rest}"
    except ValueError:
        pass
    return safe_text(line, 2_000)


async def _dsn(entry: LedgerEntry, hold: Any) -> str:
    """DSN of a ledger's database; `hold` keeps the embedded server up meanwhile."""
    return str(await hold.open(entry.name))


def show_events(ledger: str, count: int, *, follow: bool, as_json: bool) -> int:
    """The newest events of the journal, oldest first; with `follow` also those to come."""
    from db.database import Database

    entry = choose(ledger)
    database = Database(os.environ.get("DATABASE_URL", ""), paths.data_home())
    bots = {bot["id"]: bot["name"] for bot in (entry.status or {}).get("bots", [])}

    async def read() -> None:
        from db.connect import OPERATOR, connect
        from db.queries import Queries

        conn = await connect(await _dsn(entry, database), "qs_view", user=OPERATOR, name="quantsail events")
        try:
            queries = Queries(conn)
            last = 0
            for row in await queries.newest_events(count):
                last = row.seq
                print(_event_line(row, as_json, bots), flush=True)
            while follow:
                for row in await queries.events_after(last, 1_000):
                    last = row.seq
                    print(_event_line(row, as_json, bots), flush=True)
                await asyncio.sleep(FOLLOW_S)
        finally:
            await conn.close()

    try:
        asyncio.run(read())
    finally:
        database.close()
    return Exit.OK


def _event_line(row: Any, as_json: bool, bots: dict[str, str]) -> str:
    """An event as one line: time, level, type, symbol, the payload's essentials in the cockpit's words, and its bot."""
    if as_json:
        return json.dumps(msgspec.structs.asdict(row) | {"payload": json.loads(row.payload)}, ensure_ascii=False)
    from engine.core.events import decode
    from tui.widgets.eventtext import describe

    when = datetime.fromtimestamp(row.ts / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    event = decode(row.payload.encode())
    said = describe(event).text
    if row.symbol and row.symbol not in said:
        said = f"{row.symbol} {said}"
    bot = str(getattr(event, "bot_id", ""))
    if bot and (name := bots.get(bot, bot[:8])) not in said:
        said = f"{said}  [{name}]"
    return safe_text(f"{row.seq:>7}  {when}  {row.level:<5}  {row.type:<19} {said}", 400)


def verify(ledger: str, *, as_json: bool) -> int:
    """Walk the chain, the anchors and the projections. Exit 6 when the journal is not what was written."""
    from db.database import Database

    entry = choose(ledger)
    database = Database(os.environ.get("DATABASE_URL", ""), paths.data_home())
    try:
        report = asyncio.run(_verify(entry, database))
    finally:
        database.close()
    if as_json:
        print(json.dumps(report))
    elif report["ok"]:
        print(f"{entry.name}: {report['text']}")
    if not report["ok"]:
        fail(f"{entry.name}: {report['text']}", Exit.AUDIT)
    return Exit.OK


async def _verify(entry: LedgerEntry, database: Any) -> dict[str, Any]:
    from db.anchors import ANCHORS_FILE
    from db.verify import verify

    report = await verify(await _dsn(entry, database), entry.directory / ANCHORS_FILE)
    return {"ledger": entry.name, "ok": report.ok, "text": report.text, **msgspec.to_builtins(report)}


def installed_version() -> str:
    """Of this program; "source" where it runs from a checkout that was never installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("quantsail")
    except PackageNotFoundError:
        return "source"
