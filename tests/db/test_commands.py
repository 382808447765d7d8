"""The queue of commands: in the order of asking, taken once, answered once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from db import commands
from db.connect import connect
from tests.patience import PATIENCE_S


@pytest.fixture
async def conn(migrated: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(migrated)
    yield connection
    await connection.close()


async def test_commands_are_taken_in_order_and_once(conn: asyncpg.Connection) -> None:
    first = await commands.put(conn, "HALT", "ann", "ünïcode 🚢", {"policy": "flatten"})
    second = await commands.put(conn, "RESUME", "bob")
    taken = await commands.take(conn)
    assert [(c.id, c.verb, c.actor, c.reason, c.args) for c in taken] == [
        (first, "HALT", "ann", "ünïcode 🚢", {"policy": "flatten"}),
        (second, "RESUME", "bob", "", {}),
    ]
    assert await commands.take(conn) == ()


async def test_an_answer_is_final(conn: asyncpg.Connection) -> None:
    command_id = await commands.put(conn, "PAUSE", "ann")
    assert await commands.answer(conn, command_id) == commands.Answer(status="PENDING", result={})
    await commands.take(conn)
    await commands.finish(conn, command_id, done=False, result={"text": "no"})
    found = await commands.answer(conn, command_id)
    assert found is not None and found.is_final and (found.status, found.result) == ("REFUSED", {"text": "no"})
    with pytest.raises(commands.CommandError):
        await commands.finish(conn, command_id, done=True, result={})
    assert await commands.answer(conn, "00000000-0000-7000-8000-000000000001") is None


@pytest.mark.parametrize(("verb", "reason"), [("EXPLODE", ""), ("HALT", "a\x00b"), ("HALT", "\ud800")])
async def test_what_cannot_be_asked_is_refused(conn: asyncpg.Connection, verb: str, reason: str) -> None:
    with pytest.raises(commands.CommandError):
        await commands.put(conn, verb, "ann", reason)
    assert await commands.take(conn) == ()


async def test_two_takers_share_nothing(migrated: str, conn: asyncpg.Connection) -> None:
    asked = {await commands.put(conn, "PAUSE", str(n)) for n in range(20)}
    others = [await connect(migrated) for _ in range(2)]
    batches = await asyncio.gather(*(commands.take(other, 15) for other in others))
    ids = [c.id for batch in batches for c in batch] + [c.id for c in await commands.take(conn)]
    assert len(ids) == 20 and set(ids) == asked
    for other in others:
        await other.close()


async def test_left_overs_of_a_dead_engine_are_refused_and_the_waiting_kept(conn: asyncpg.Connection) -> None:
    dead = await commands.put(conn, "RESUME", "ann")
    await commands.take(conn)
    waiting = await commands.put(conn, "HALT", "ann")
    assert await commands.refuse_left_overs(conn, "the engine ended before it answered") == 1
    found = await commands.answer(conn, dead)
    assert found is not None and found.status == "REFUSED"
    assert [c.id for c in await commands.take(conn)] == [waiting]


async def test_asking_and_answering_notify(migrated: str, conn: asyncpg.Connection) -> None:
    heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    listener = await connect(migrated, "qs_view")
    for channel in (commands.ASKED, commands.ANSWERED):
        await listener.add_listener(channel, lambda _c, _p, name, payload: heard.put_nowait((name, payload)))
    command_id = await commands.put(conn, "PAUSE", "ann")
    assert await asyncio.wait_for(heard.get(), PATIENCE_S) == (commands.ASKED, command_id)
    await commands.take(conn)
    await commands.finish(conn, command_id, done=True, result={})
    assert await asyncio.wait_for(heard.get(), PATIENCE_S) == (commands.ANSWERED, command_id)
    await listener.close()


async def test_the_operators_program_may_ask_but_not_answer(migrated: str, conn: asyncpg.Connection) -> None:
    app = await connect(migrated, "qs_app")
    command_id = await commands.put(app, "PAUSE", "ann")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await commands.finish(app, command_id, done=True, result={})
    await app.close()
