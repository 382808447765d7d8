"""The queue of commands from other processes: asked once, taken once, answered once. NOTIFY wakes, polling is enough."""

from __future__ import annotations

from typing import Any

import asyncpg
import msgspec

#: Channels: the engine listens to the first, whoever asked to the second. The payload is the command's id.
ASKED, ANSWERED = "qs_commands", "qs_commands_done"

_PUT = """
insert into qs.commands(id, verb, args, actor, reason) values(qs.uuid7(), $1, $2::text::jsonb, $3, nullif($4, ''))
returning id::text
"""
#: In the order of asking: a RESUME asked before a HALT must not be done after it.
_TAKE = """
with next as (
  select id from qs.commands where status = 'PENDING' order by created_at, id limit $1 for update skip locked
), taken as (
  update qs.commands c set status = 'TAKEN', taken_at = clock_timestamp() from next where c.id = next.id returning c.*
)
select id::text, verb, args::text as args, actor, coalesce(reason, '') as reason,
  (extract(epoch from created_at) * 1000000)::bigint as created_ts
from taken order by created_at, id
"""
_FINISH = """
update qs.commands set status = $2, done_at = clock_timestamp(), taken_at = coalesce(taken_at, clock_timestamp()),
  result = $3::text::jsonb
where id = $1::text::uuid and status in ('PENDING', 'TAKEN')
"""
_REFUSE_LEFT_OVERS = """
update qs.commands set status = 'REFUSED', done_at = clock_timestamp(), result = jsonb_build_object('text', $1::text)
where status = 'TAKEN'
"""
_RESULT = "select status, result::text as result from qs.commands where id = $1::text::uuid"


class CommandError(Exception):
    """A command cannot be put or answered as asked; the message says why."""


class QueuedCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command as asked. `args` are those of the verb (version, policy), `created_ts` int microseconds UTC."""

    id: str
    verb: str
    args: dict[str, Any]
    actor: str
    reason: str
    created_ts: int


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """PENDING, TAKEN, DONE or REFUSED; `result` is empty until the last two."""

    status: str
    result: dict[str, Any]

    @property
    def is_final(self) -> bool:
        return self.status in ("DONE", "REFUSED")


async def put(
    conn: asyncpg.Connection, verb: str, actor: str, reason: str = "", args: dict[str, Any] | None = None
) -> str:
    """Ask; returns the command's id. Raises CommandError for an unknown verb, or for text that the database cannot keep."""
    try:
        command_id = await conn.fetchval(_PUT, verb, msgspec.json.encode(args or {}).decode(), actor, reason)
    except asyncpg.CheckViolationError as error:
        raise CommandError(f"{verb!r} is not a verb that an engine knows") from error
    except (asyncpg.DataError, UnicodeError) as error:
        raise CommandError(f"the command cannot be stored: {error}") from error
    return str(command_id)


async def take(conn: asyncpg.Connection, limit: int = 100) -> tuple[QueuedCommand, ...]:
    """Take the waiting commands, oldest first; nobody else gets them."""
    rows = await conn.fetch(_TAKE, limit)
    return tuple(QueuedCommand(**{**dict(row), "args": msgspec.json.decode(row["args"])}) for row in rows)


async def finish(conn: asyncpg.Connection, command_id: str, *, done: bool, result: dict[str, Any]) -> None:
    """Answer a command, for good. Raises CommandError when there is none, or it has its answer."""
    status = "DONE" if done else "REFUSED"
    if await conn.execute(_FINISH, command_id, status, msgspec.json.encode(result).decode()) != "UPDATE 1":
        raise CommandError(f"command {command_id} is unknown or has its answer already")


async def refuse_left_overs(conn: asyncpg.Connection, why: str) -> int:
    """Refuse what an engine took and never answered; for the start of a run. Returns how many.

    They are not done again: whether they were carried out is in the journal, and a stale RESUME would add risk.
    """
    return int((await conn.execute(_REFUSE_LEFT_OVERS, why)).split()[-1])


async def answer(conn: asyncpg.Connection, command_id: str) -> Answer | None:
    """How a command stands; None for an unknown id."""
    row = await conn.fetchrow(_RESULT, command_id)
    return row and Answer(status=row["status"], result=msgspec.json.decode(row["result"] or "{}"))
