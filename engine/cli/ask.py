"""Commands for a ledger: through the running engine where there is one, else through a short-lived writer (decisions.md 17)."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Sequence
from typing import Any

from engine import paths
from engine.cli.exits import Exit, fail
from engine.cli.ledgers import LedgerEntry
from engine.cli.stop import actor
from engine.core.text import safe_text
from engine.core.types import Verb, entity_id
from engine.outcome import NOTHING_TO_DO, UNDER_WAY

#: What ends with a StopCompleted.
STOPS = frozenset({Verb.PAUSE, Verb.CANCEL, Verb.FLATTEN, Verb.HALT})

ANSWER_S = 15.0
POLL_S = 0.05
#: A flattening takes bars: market orders of a paper account fill at the next open.
WAIT_S = 300.0


def ask(
    entry: LedgerEntry,
    verb: Verb,
    reason: str,
    *,
    version: int = 0,
    target: str = "",
    wait: bool = False,
    as_json: bool = False,
) -> int:
    """Have a command carried out and print its outcome, for a stop with what became of each order and position.

    `target` is a bot, position or order; `wait` returns once a stop's claim is true. Exit 1 when it was refused.
    """
    from db.database import Database
    from engine import logs

    logs.set_up()
    database = Database(os.environ.get("DATABASE_URL", ""), paths.data_home())

    async def go() -> dict[str, Any]:
        from db.connect import OPERATOR, connect

        dsn = await database.open(entry.name)
        conn = await connect(dsn, "qs_app", user=OPERATOR, name="quantsail command")
        try:
            arguments: dict[str, Any] = {"version": version} if version else {}
            arguments |= {"target": target} if target else {}
            return await _carried_out(conn, entry, dsn, verb, reason, arguments, wait and entry.running)
        finally:
            await conn.close()

    try:
        said = asyncio.run(go())
    finally:
        database.close()
    if as_json:
        print(json.dumps(said))
    elif said["done"]:
        print("\n".join([said["text"], *_result_lines(said.get("results") or ())]))
    if not said["done"]:
        fail(said["text"])
    return Exit.OK


async def _carried_out(
    conn: Any, entry: LedgerEntry, dsn: str, verb: Verb, reason: str, arguments: dict[str, Any], wait: bool
) -> dict[str, Any]:
    """{"done", "text"}, and for stops "results" (None while it is under way), which the journal has."""
    from db.queries import Queries

    queries = Queries(conn)
    before = (await queries.head())[0]
    if entry.running:
        done, text = await _through_the_engine(conn, verb, reason, arguments)
    else:
        from engine.offline import command
        from engine.ports import JournalFenced

        try:
            done, text = await command(entry.name, dsn, verb, actor(), reason, **arguments)
        except JournalFenced:  # it runs after all, on a machine too busy for it to have said so lately
            done, text = await _through_the_engine(conn, verb, reason, arguments)
    said: dict[str, Any] = {"done": done, "text": text}
    if not done or verb not in STOPS or text.startswith(NOTHING_TO_DO):
        return said
    target = arguments.get("target", "")
    scope = {target, entity_id((entry.facts or {}).get("ledger_id", ""), "bot", target)} if target else {""}
    deadline = time.monotonic() + WAIT_S
    while True:
        said["results"] = await _results(queries, verb, scope, before)
        if said["results"] is not None:
            said["text"] = text.partition(UNDER_WAY)[0]
            return said
        if not entry.running:
            said["text"] = f"{text}; the next run goes on with it"
            return said
        if not wait:
            return said
        if time.monotonic() > deadline:
            return said | {"done": False, "text": f"{text}; it has not ended within {WAIT_S:.0f} s and goes on"}
        await asyncio.sleep(POLL_S)


async def _results(queries: Any, verb: Verb, scope: set[str], before: int) -> list[dict[str, str]] | None:
    """What became of each order and position, once the stop that was asked for after `before` says so."""
    for row in await queries.newest_events(20, types=["StopCompleted"]):
        payload = json.loads(row.payload)
        if row.seq > before and payload["verb"] == verb and payload["bot_id"] in scope:
            names = ("id", "symbol", "role", "outcome")
            return [dict(zip(names, one, strict=True)) for one in payload["results"]]
    return None


def _result_lines(results: Sequence[dict[str, str]]) -> list[str]:
    from engine.cli.tables import padded

    return [f"  {r['outcome']:<9} {r['role']:<12} {padded(safe_text(r['symbol'], 40), 14)} {r['id']}" for r in results]


async def _through_the_engine(conn: Any, verb: Verb, reason: str, arguments: dict[str, Any]) -> tuple[bool, str]:
    from db import commands

    command_id = await commands.put(conn, verb, actor(), reason, arguments)
    deadline = time.monotonic() + ANSWER_S
    while time.monotonic() < deadline:
        answer = await commands.answer(conn, command_id)
        if answer is not None and answer.is_final:
            return answer.status == "DONE", str(answer.result.get("text", ""))
        await asyncio.sleep(POLL_S)
    return False, f"the engine did not answer within {ANSWER_S:.0f} s; it will still see the command"
