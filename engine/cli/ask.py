"""Commands for a ledger: through the running engine where there is one, else through a short-lived writer (decisions.md 17)."""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Any

from engine import paths
from engine.cli.exits import Exit, fail
from engine.cli.ledgers import LedgerEntry
from engine.cli.stop import actor
from engine.core.types import Verb

ANSWER_S = 15.0
POLL_S = 0.05


def ask(entry: LedgerEntry, verb: Verb, reason: str, *, version: int = 0, as_json: bool = False) -> int:
    """Have a command carried out and print its outcome; exit 1 when it was refused."""
    from db.database import Database
    from engine import logs

    logs.set_up()
    database = Database(os.environ.get("DATABASE_URL", ""), paths.data_home())

    async def go() -> tuple[bool, str]:
        dsn = await database.open(entry.name)
        if entry.running:
            return await _through_the_engine(dsn, verb, reason, version)
        from engine.offline import command

        return await command(entry.name, dsn, verb, actor(), reason, version)

    try:
        done, text = asyncio.run(go())
    finally:
        database.close()
    if as_json:
        print(json.dumps({"done": done, "text": text}))
    elif done:
        print(text)
    if not done:
        fail(text)
    return Exit.OK


async def _through_the_engine(dsn: str, verb: Verb, reason: str, version: int) -> tuple[bool, str]:
    from db import commands
    from db.connect import OPERATOR, connect

    conn = await connect(dsn, "qs_app", user=OPERATOR, name="quantsail command")
    try:
        arguments: dict[str, Any] = {"version": version} if version else {}
        command_id = await commands.put(conn, verb, actor(), reason, arguments)
        deadline = time.monotonic() + ANSWER_S
        while time.monotonic() < deadline:
            answer = await commands.answer(conn, command_id)
            if answer is not None and answer.is_final:
                return answer.status == "DONE", str(answer.result.get("text", ""))
            await asyncio.sleep(POLL_S)
    finally:
        await conn.close()
    return False, f"the engine did not answer within {ANSWER_S:.0f} s; it will still see the command"
