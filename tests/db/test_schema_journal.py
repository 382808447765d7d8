"""The journal defends itself: raw SQL tries to change history, to write out of turn and to leave gaps."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from db.connect import CONFLICT, FENCED, MALFORMED, REPEATED, Role, connect
from tests.db.schema_rows import (
    APPEND,
    APPEND_ONLY,
    CHECK,
    DENIED,
    NOT_NULL,
    NOW,
    UNIQUE,
    Writer,
    append_audit,
    attacks,
    insert,
    insert_refused,
    new_id,
    one_row_each,
    refused,
)
from tests.patience import PATIENCE_S
from tests.servers import AsSuperuser

#: Whether the session of a process id waits for a lock.
WAITS = "select exists (select from pg_locks where pid = $1 and not granted)"


@pytest.fixture(params=["migrated", "migrated15"])
def dsn(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


@pytest_asyncio.fixture
async def engine(dsn: str) -> AsyncIterator[Any]:
    connection = await connect(dsn)
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def owner(dsn: str) -> AsyncIterator[Any]:
    connection = await connect(dsn, "qs_owner")
    yield connection
    await connection.close()


# -- history --------------------------------------------------------------------------------------------------------------


async def test_history_cannot_be_changed_by_engine_owner_or_replica(
    dsn: str, as_superuser: AsSuperuser, engine: Any, owner: Any
) -> None:
    await one_row_each(engine, await Writer.begin(engine))
    replica = await asyncpg.connect(as_superuser(dsn), server_settings={"search_path": "qs"})
    try:
        await replica.execute("set session_replication_role = replica")
        for table in APPEND_ONLY:
            column = await owner.fetchval(
                "select attname from pg_attribute where attrelid = $1::text::regclass and attnum = 2", table
            )
            for attack in attacks(table, column):
                await refused(engine, DENIED, attack)
                assert "append-only" in await refused(owner, APPEND, attack)
                assert "append-only" in await refused(replica, APPEND, attack)
            assert await owner.fetchval(f"select count(*) from {table}") == 1
    finally:
        await replica.close()


async def test_history_cannot_be_changed_through_a_partition(owner: Any, engine: Any) -> None:
    await (await Writer.begin(engine)).append(3)
    await owner.execute("select ensure_event_partition(12000000)")
    for partition in ("events_p0", "events_p2"):
        await refused(owner, APPEND, f"truncate {partition}")
    await refused(owner, APPEND, "update events_p0 set type = 'Lie'")
    await refused(owner, APPEND, "delete from events_p0")
    await refused(
        owner, APPEND,
        "insert into events select * from events where seq = 1 on conflict (seq) do update set type = 'Lie'",
    )  # fmt: skip


async def test_the_engine_cannot_insert_past_the_head(engine: Any) -> None:
    await (await Writer.begin(engine)).append()
    for sql in (
        "insert into events select * from events",
        "insert into audit_logs select * from audit_logs",
        "update log_heads set seq = 7",
        "insert into engine_runs (epoch, host, pid, version) values (9, 'h', 1, 'v')",
        "alter table events disable trigger append_only",
        "drop table events",
        "select empty_projections()",
    ):
        await refused(engine, DENIED, sql)


async def test_viewers_write_nothing_and_see_no_secrets(dsn: str) -> None:
    roles: tuple[Role, ...] = ("qs_view", "qs_app")
    for role in roles:
        connection = await connect(dsn, role)
        try:
            assert await connection.fetchval("select count(*) from orders") == 0
            kept = ("encryption_keys", "exchange_credentials", "database_configs")  # by the operator's program
            for table in ("users", "audit_logs", *(kept if role == "qs_view" else ())):
                await refused(connection, DENIED, f"select * from {table}")
            for sql in ("delete from orders", "update bots set name = 'x'", "select start_run('l', 'h', 1, 'v')"):
                await refused(connection, DENIED, sql)
        finally:
            await connection.close()


# -- the head -------------------------------------------------------------------------------------------------------------


async def test_batches_are_gapless_and_move_the_head(engine: Any) -> None:
    writer = await Writer.begin(engine)
    assert [await writer.append(n) for n in (1, 3, 100)] == [1, 4, 104]
    assert await engine.fetchval("select array_agg(seq order by seq) from events") == list(range(1, 105))
    head = await engine.fetchrow("select seq, hash from log_heads where log = 'events'")
    assert tuple(head) == (104, writer.hash)
    row = await engine.fetchrow("select * from events where seq = 4")
    assert (row["epoch"], row["payload"], row["prev_hash"]) == (1, '{"equity": "1.50"}', (await engine.fetchval(
        "select hash from events where seq = 3")))  # fmt: skip


async def test_the_head_only_goes_forward(owner: Any, engine: Any) -> None:
    await (await Writer.begin(engine)).append(5)
    for sql in (
        "update log_heads set seq = seq - 1",
        "update log_heads set seq = seq",
        "update log_heads set log = 'audit_logs', seq = 9 where log = 'events'",
        "delete from log_heads",
        "truncate log_heads",
        "insert into log_heads values ('other', 0, '')",
    ):
        await refused(owner, APPEND, sql)


async def append_refused(writer: Writer, sqlstate: str, n: int = 1, **wrong: Any) -> str:
    with pytest.raises(asyncpg.PostgresError) as caught:
        await writer.append(n, **wrong)
    assert caught.value.sqlstate == sqlstate, str(caught.value)
    return str(caught.value)


async def test_a_stale_epoch_is_fenced(dsn: str, engine: Any) -> None:
    old = await Writer.begin(engine)
    await old.append()
    other = await connect(dsn)
    try:
        new = await Writer.begin(other)
        new.seq, new.hash = old.seq, old.hash
        assert new.epoch == 2
        assert "epoch 1 may not write" in await append_refused(old, FENCED)
        assert await new.append() == 2
        why = await engine.fetchval("select why from engine_runs where epoch = 1")
        assert why == "did not end by itself; followed by epoch 2"
    finally:
        await other.close()


async def test_without_a_run_or_after_its_end_nothing_is_written(engine: Any) -> None:
    assert "none began" in await append_refused(Writer(engine, 1), FENCED)
    writer = await Writer.begin(engine)
    await append_refused(writer, FENCED, epoch=2)  # an epoch that never began
    await engine.execute("update engine_runs set ended_at = now(), why = 'quit' where epoch = 1")
    await append_refused(writer, FENCED)
    for sql in ("update engine_runs set ended_at = null", "update engine_runs set why = 'never mind'"):
        await refused(engine, APPEND, sql)
    assert await engine.fetchval("select count(*) from events") == 0


async def test_a_new_run_waits_for_the_append_under_way(dsn: str, engine: Any) -> None:
    writer = await Writer.begin(engine)
    other = await connect(dsn)
    try:
        async with engine.transaction():
            await writer.append()
            taking_over = asyncio.create_task(Writer.begin(other))
            async with asyncio.timeout(PATIENCE_S):
                while not await engine.fetchval(WAITS, other.get_server_pid()):
                    assert not taking_over.done()
                    await asyncio.sleep(0.01)
        assert (await taking_over).epoch == 2
        assert await other.fetchval("select count(*) from events") == 1
    finally:
        await other.close()


async def test_a_head_elsewhere_is_a_conflict_and_a_repeat_is_told_apart(engine: Any) -> None:
    writer = await Writer.begin(engine)
    before = (writer.seq, writer.hash)
    await writer.append(2)
    after = (writer.seq, writer.hash)
    writer.seq, writer.hash = before
    assert "1 to 2 is in the journal already" in await append_refused(writer, REPEATED, 2)
    assert "at seq 2, the writer believes 0" in await append_refused(writer, CONFLICT, 1)
    writer.seq, writer.hash = after[0], b"\1" * 32
    assert "differs" in await append_refused(writer, CONFLICT)
    writer.seq, writer.hash = 7, after[1]
    await append_refused(writer, CONFLICT)
    writer.seq, writer.hash = after
    assert await writer.append() == 3


async def test_malformed_batches_are_refused(engine: Any) -> None:
    writer = await Writer.begin(engine)
    prev, hashes = writer.batch(3)
    broken: tuple[dict[str, Any], ...] = (
        {"levels": ["INFO"] * 2},
        {"symbols": []},
        {"ids": None},
        {"hash": hashes[1]},
        {"prev_hash": b"\1" * 32},
        {"prev_hashes": [prev[0], prev[2], prev[1]]},
        {"hashes": [hashes[0], None, hashes[2]]},
    )
    for wrong in broken:
        await append_refused(writer, MALFORMED, 3, **wrong)
    await append_refused(writer, MALFORMED, 0, hash=writer.hash)
    await append_refused(writer, CHECK, levels=["LOUD"])
    await append_refused(writer, CHECK, causation_seqs=[2])
    await append_refused(writer, CHECK, prev_hash=b"\1", prev_hashes=[b"\1"])
    await append_refused(writer, NOT_NULL, types=[None])
    assert tuple(await engine.fetchrow("select seq, hash from log_heads where log = 'events'")) == (0, b"")
    assert await engine.fetchval("select count(*) from events") == 0


async def test_many_writers_leave_no_gap(dsn: str, engine: Any) -> None:
    epoch = (await Writer.begin(engine)).epoch

    async def work(name: bytes) -> None:
        connection = await connect(dsn)
        writer = Writer(connection, epoch)
        try:
            for n in (1, 2, 3, 4):
                async with connection.transaction():
                    writer.seq, stored = await connection.fetchrow("select * from lock_head('events')")
                    writer.hash = stored or hashlib.sha256(name).digest()
                    await writer.append(n)
        finally:
            await connection.close()

    await asyncio.gather(*(work(name) for name in (b"a", b"b", b"c", b"d")))
    assert await engine.fetchval("select array_agg(seq order by seq) from events") == list(range(1, 41))
    broken = await engine.fetchval(
        "select count(*) from events a join events b on b.seq = a.seq + 1 where b.prev_hash <> a.hash"
    )
    assert broken == 0


async def test_a_batch_over_the_border_finds_its_partition(engine: Any, owner: Any) -> None:
    writer = await Writer.begin(engine)
    writer.seq = 4_499_999
    await owner.execute("update log_heads set seq = $1, hash = $2 where log = 'events'", writer.seq, writer.hash)
    await writer.append(2)
    assert await owner.fetchval("select to_regclass('events_p1')::text") == "events_p1"  # half a million ahead
    writer.seq = 4_999_998
    await owner.execute("update log_heads set seq = $1 where log = 'events'", writer.seq)
    assert await writer.append(4) == 5_000_002
    counted = await owner.fetch("select tableoid::regclass::text t, count(*) n from events group by 1 order by 1")
    assert [tuple(r) for r in counted] == [("events_p0", 3), ("events_p1", 3)]


async def test_an_append_notifies_with_its_last_seq(dsn: str, engine: Any) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    await engine.add_listener("qs_events", lambda *message: heard.put_nowait(message[3]))
    other = await connect(dsn)
    try:
        await (await Writer.begin(other)).append(3)
        assert await asyncio.wait_for(heard.get(), PATIENCE_S) == "3"
    finally:
        await other.close()


async def test_the_audit_log_is_a_chain_of_its_own(engine: Any) -> None:
    first = b"\0" * 32
    assert await append_audit(engine, 0, first) == 1
    with pytest.raises(asyncpg.PostgresError) as caught:
        await append_audit(engine, 0, first)
    assert caught.value.sqlstate == CONFLICT
    async with engine.transaction():
        seq, tip = await engine.fetchrow("select * from lock_head('audit_logs')")
        assert (seq, tip) == (1, hashlib.sha256(first).digest())
        assert await append_audit(engine, seq, tip) == 2


# -- commands ---------------------------------------------------------------------------------------------------------------


async def test_commands_wake_the_engine_and_go_forward_only(dsn: str, engine: Any) -> None:
    heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    for channel in ("qs_commands", "qs_commands_done"):
        await engine.add_listener(channel, lambda *message: heard.put_nowait((message[2], message[3])))
    command = new_id()
    app = await connect(dsn, "qs_app")
    try:
        await insert(app, "commands", id=command, verb="HALT", actor="me", reason="enough")
        assert await asyncio.wait_for(heard.get(), PATIENCE_S) == ("qs_commands", str(command))
        await insert_refused(app, UNIQUE, "commands", id=command, verb="HALT", actor="me")
        await insert_refused(app, CHECK, "commands", id=new_id(), verb="BUY", actor="me")
        await insert_refused(
            app, APPEND, "commands", id=new_id(), verb="HALT", actor="me", status="TAKEN", taken_at=NOW
        )
        await refused(app, DENIED, "update commands set status = 'DONE'")
    finally:
        await app.close()
    await refused(engine, CHECK, "update commands set status = 'TAKEN'")  # taken, but when?
    await refused(engine, APPEND, "update commands set verb = 'RESUME'")
    await engine.execute("update commands set status = 'TAKEN', taken_at = now()")
    await refused(engine, APPEND, "update commands set status = 'PENDING', taken_at = null")
    await engine.execute("update commands set status = 'DONE', done_at = now(), result = '{}'")
    assert await asyncio.wait_for(heard.get(), PATIENCE_S) == ("qs_commands_done", str(command))
    await refused(engine, APPEND, "update commands set result = null")


async def test_a_temporary_table_cannot_stand_in_for_the_real_one(engine: Any) -> None:
    """Without pg_temp at the end of a function's search path, PostgreSQL looks there first, whoever defined the function."""
    for table in ("engine_runs", "log_heads", "events"):
        await engine.execute(f"create temporary table {table} (like qs.{table} including defaults)")
    writer = await Writer.begin(engine)
    assert await engine.fetchval("select count(*) from pg_temp.engine_runs") == 0
    assert await engine.fetchval("select count(*) from qs.engine_runs") == 1
    assert writer is not None


async def test_every_function_puts_temporary_tables_last(owner: Any) -> None:
    loose = await owner.fetch(
        "select p.proname from pg_proc p where p.pronamespace = 'qs'::regnamespace and p.prolang <> "
        "(select oid from pg_language where lanname = 'sql') and not coalesce(p.proconfig::text, '') like '%pg_temp%'"
    )
    assert [row["proname"] for row in loose] == []
    definer = await owner.fetch(
        "select proname from pg_proc where pronamespace = 'qs'::regnamespace and prosecdef "
        "and not coalesce(proconfig::text, '') like '%pg_temp%'"
    )
    assert [row["proname"] for row in definer] == []
