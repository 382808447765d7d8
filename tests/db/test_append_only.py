"""What is written once, against everybody who can reach it: the application in each role, the owner, and the superuser.

The application is refused. The owner and the superuser are stopped by the guards, also in the disguise of a replica; where they
take a guard away, `audit verify` says so, and what they did behind it does not follow from the journal. Single forgeries by a
superuser are in test_chain.py and tests/cli/test_audit_command.py.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
import pytest_asyncio

from db import audit
from db.anchors import ANCHORS_FILE, Anchor, Anchors
from db.check import check
from db.connect import Role, connect
from db.embedded import SUPERUSER, EmbeddedServer
from db.migrate import migrate
from db.verify import VerifyReport, verify
from tests.db.histories import traded
from tests.db.schema_rows import APPEND, DENIED, Writer, attacks, one_row_each, refused
from tests.db.test_chain import Ledgered, journal_of, write
from tests.servers import AsSuperuser, FillOnce

TABLES = ("events", "audit_logs", "fills", "kill_switch_events", "risk_decisions")
#: Rows of the whole ledger, which no user owns.
NO_OWNER = ("events", "kill_switch_events")
#: Primary key, and a column to lie about.
COLUMNS = {name: ("seq", "id") if name in TABLES[:2] else ("id", "event_seq") for name in TABLES}
_numbers = itertools.count(1)


@pytest.fixture(scope="module", params=["pg_server", "pg15_server"])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[EmbeddedServer, str]]:
    """A database with one row in every table; every test leaves it as it was, because everything is refused."""
    server: EmbeddedServer = request.getfixturevalue(request.param)
    name = f"append_only_{next(_numbers)}"
    server.create_database(name)

    async def fill() -> None:
        await migrate(server.dsn(name, "qs_admin"))
        engine = await connect(server.dsn(name))
        await one_row_each(engine, await Writer.begin(engine))
        await engine.close()

    asyncio.run(fill())
    yield server, name
    with psycopg.connect(server.dsn("postgres", SUPERUSER), autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)".encode())


@pytest_asyncio.fixture
async def superuser(served: tuple[EmbeddedServer, str]) -> AsyncIterator[Any]:
    server, name = served
    connection = await asyncpg.connect(server.dsn(name, SUPERUSER), server_settings={"search_path": "qs"})
    yield connection
    await connection.close()


@pytest_asyncio.fixture(params=["qs_engine", "qs_app", "qs_view", "qs_login", "qs_admin"])
async def subject(request: pytest.FixtureRequest, served: tuple[EmbeddedServer, str]) -> AsyncIterator[Any]:
    """The application in each role, and both logins in no role at all."""
    server, name = served
    login = "qs_admin" if request.param == "qs_admin" else "qs_login"
    role: Role = request.param if request.param in ("qs_engine", "qs_app", "qs_view") else "qs_view"
    connection = await connect(server.dsn(name, login), role)
    if request.param in ("qs_login", "qs_admin"):
        await connection.execute("reset role")
    yield connection
    await connection.close()


def rewrites(table: str) -> tuple[str, ...]:
    """Ways to change rows that no plain UPDATE or DELETE shows."""
    key, column = COLUMNS[table]
    return (
        *attacks(f"qs.{table}", column),
        f"insert into qs.{table} select * from qs.{table} on conflict ({key}) do update set {column} = excluded.{column}",
        f"merge into qs.{table} t using (select 1) o on true when matched then update set {column} = t.{column}",
        f"merge into qs.{table} t using (select 1) o on true when matched then delete",
        f"with gone as (delete from qs.{table} returning *) insert into qs.{table} select * from gone",
        f"update qs.{table} set {column} = {column} where false or true",
    )


def demolitions(table: str) -> tuple[str, ...]:
    """Ways to take the table's guards away, or the table."""
    return (
        f"alter table qs.{table} disable trigger append_only",
        f"alter table qs.{table} disable trigger all",
        f"alter table qs.{table} enable replica trigger append_only",
        f"drop trigger append_only on qs.{table}",
        f"alter trigger append_only on qs.{table} rename to gone",
        f"create rule quiet as on update to qs.{table} do instead nothing",
        f"alter table qs.{table} drop column {COLUMNS[table][1]} cascade",
        f"alter table qs.{table} alter column {COLUMNS[table][1]} drop not null",
        f"alter table qs.{table} rename to gone",
        f"alter table qs.{table} set schema public",
        f"alter table qs.{table} owner to qs_login",
        f"alter table qs.{table} {'enable' if table in NO_OWNER else 'disable'} row level security",
        f"drop table qs.{table} cascade",
        f"create trigger mine before insert on qs.{table} for each row execute function qs.touch()",
        "create or replace function qs.append_only() returns trigger language plpgsql as 'begin return new; end'",
    )


PARTITION = (
    "alter table qs.events detach partition qs.events_p0",
    "alter table qs.events detach partition qs.events_p0 concurrently",
    "drop table qs.events_p0",
    "truncate qs.events_p0",
    "delete from qs.events_p0",
    "alter table qs.events_p0 disable trigger append_only",
    "create table qs.forged partition of qs.events for values from (900000000) to (900000001)",
)


@pytest.mark.parametrize("table", TABLES)
async def test_the_application_is_refused_whatever_it_tries(subject: Any, table: str) -> None:
    for sql in (*rewrites(table), *demolitions(table)):
        await refused(subject, DENIED, sql)
    # Who has no grant option is only warned, and nothing is granted.
    await subject.execute(
        f"do $$ begin grant all on qs.{table} to qs_view; exception when insufficient_privilege then end $$"
    )
    for right in ("UPDATE", "DELETE", "TRUNCATE", "TRIGGER"):
        assert not await subject.fetchval("select has_table_privilege('qs_view', $1, $2)", f"qs.{table}", right)
    for sql in (
        *PARTITION,
        "set session_replication_role = replica",
        "alter system set session_replication_role = replica",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await subject.execute(sql)


@pytest.mark.parametrize("table", TABLES)
async def test_the_application_copies_nothing_over_it(subject: Any, table: str, superuser: Any) -> None:
    """COPY needs INSERT, which only the engine has and only on some; there row security or the key refuses it."""
    row = await superuser.fetchrow(f"select * from {table}")
    with pytest.raises(
        (asyncpg.InsufficientPrivilegeError, asyncpg.FeatureNotSupportedError, asyncpg.UniqueViolationError)
    ):
        await subject.copy_records_to_table(table, schema_name="qs", records=[tuple(row)])
    assert await superuser.fetchval(f"select count(*) from {table}") == 1


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("replica", [False, True])
async def test_owner_and_superuser_meet_the_guard(
    served: tuple[EmbeddedServer, str], superuser: Any, table: str, replica: bool
) -> None:
    """Every way to change a row ends in the trigger, ALWAYS armed: as the owner, as superuser, as a replica."""
    server, name = served
    admin = await connect(server.dsn(name, "qs_admin"), "qs_owner")
    try:
        if replica:
            await refused(admin, DENIED, "set session_replication_role = replica")
            await superuser.execute("set session_replication_role = replica")
        for connection in (superuser,) if replica else (admin, superuser):
            for sql in rewrites(table):
                assert "append-only" in await refused(connection, APPEND, sql)
            row = await connection.fetchrow(f"select * from qs.{table}")
            with pytest.raises((asyncpg.UniqueViolationError, asyncpg.FeatureNotSupportedError)):
                await connection.copy_records_to_table(table, schema_name="qs", records=[tuple(row)])
        assert await superuser.fetchval(f"select count(*) from {table}") == 1
    finally:
        await superuser.execute("reset session_replication_role")
        await admin.close()


# -- behind the guards ----------------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def ledgered(filled: FillOnce, as_superuser: AsSuperuser, tmp_path: Path) -> AsyncIterator[Ledgered]:
    """A ledger that has traded, with five entries in its audit log, all of it anchored; and its superuser."""

    async def fill(uri: str, folder: Path) -> int:
        pairs = await traded(folder / "world", bars=25)
        journal = journal_of(uri, folder / "ledger", snapshot_every=40)
        await write(journal, (await journal.open()).ledger, pairs)
        app = await connect(uri, "qs_app")
        for n in range(5):
            await audit.record(app, "TESTED", "thing", actor=f"person {n}", new={"n": n})
        assert await journal.heartbeat()  # witnesses what was written beside the engine
        await app.close()
        await journal.close("done")
        return len(pairs)

    dsn, count = filled("append_only", fill)
    conn = await asyncpg.connect(as_superuser(dsn))
    yield Ledgered(dsn, tmp_path / "ledger", conn, count)
    await conn.close()


async def failed(ledgered: Ledgered, *words: str) -> VerifyReport:
    report = await ledgered.verify()
    assert report.problem is not None and [w for w in words if w not in report.problem.reason] == [], report.text
    assert "\n" not in report.text
    return report


@pytest.mark.parametrize(
    "table", ["events", "events_p0", "audit_logs", "fills", "kill_switch_events", "risk_decisions"]
)
@pytest.mark.parametrize(
    "how",
    ["alter table qs.{} disable trigger append_only_truncate", "drop trigger append_only_truncate on qs.{}"],
)
async def test_the_owner_takes_a_guard_away_and_is_found(ledgered: Ledgered, table: str, how: str) -> None:
    assert (await ledgered.verify()).ok
    owner = await connect(ledgered.dsn, "qs_owner")
    await owner.execute(how.format(table))
    await owner.close()
    await failed(ledgered, "trigger append_only_truncate", table)


@pytest.mark.parametrize("table", TABLES)
async def test_whatever_a_superuser_does_to_the_guards_shows_in_the_catalog(superuser: Any, table: str) -> None:
    await superuser.execute("set role qs_engine")
    assert (await check(superuser)).ok
    await superuser.execute("reset role")
    for sql in (*demolitions(table), "alter table qs.events_p0 disable trigger append_only"):
        change = superuser.transaction()
        await change.start()
        await superuser.execute(sql)
        if not sql.endswith("set schema public"):
            await superuser.execute("set local role qs_engine")
        assert (await check(superuser)).changed, sql
        await change.rollback()


@pytest.mark.parametrize(
    "sql",
    [
        "alter table qs.events detach partition qs.events_p0",
        "drop table qs.events_p0",
        "alter table qs.fills rename to gone; create table qs.fills (like qs.gone including all);"
        " alter table qs.fills owner to qs_owner; grant select on qs.fills to qs_engine",
        "insert into qs.fills select (jsonb_populate_record(f, jsonb_build_object('id', gen_random_uuid(), 'exchange_trade_id',"
        " 'forged'))).* from qs.fills f limit 1",
        "insert into qs.kill_switch_events select gen_random_uuid(), null, false, 'RESUME', 'ACTIVE', 'HALTED', null, 'x', 'y', 1,"
        " now()",
        "insert into qs.risk_decisions select (jsonb_populate_record(d, jsonb_build_object('id', gen_random_uuid()))).*"
        " from qs.risk_decisions d limit 1",
    ],
)
async def test_rows_that_are_gone_or_were_added_do_not_follow_from_the_journal(ledgered: Ledgered, sql: str) -> None:
    assert (await ledgered.verify()).ok
    await ledgered.conn.execute(sql)
    report = await ledgered.verify()
    assert not report.ok, report.text


async def recompute_audit(ledgered: Ledgered, change: str, since: int) -> None:
    """What an attacker does who knows the code: change an entry and hash everything anew from there on."""
    await ledgered.tamper(change)
    rows = await ledgered.conn.fetch(
        audit._SELECT.replace("from qs.audit_logs", f"from qs.audit_logs where seq >= {since}")
    )
    prev, statements = bytes(rows[0]["prev_hash"]), []
    for row in rows:
        here = audit.link(prev, audit._row(row["seq"], row["ts"], {name: row[name] for name in audit._COLUMNS}))
        statements.append(
            f"update qs.audit_logs set prev_hash = '\\x{prev.hex()}', hash = '\\x{here.hex()}' where seq = {row['seq']}"
        )
        prev = here
    await ledgered.tamper(*statements, f"update qs.log_heads set hash = '\\x{prev.hex()}' where log = 'audit_logs'")


async def test_a_recomputed_audit_log_is_found_by_its_anchors(ledgered: Ledgered) -> None:
    await recompute_audit(
        ledgered, 'update qs.audit_logs set metadata = \'{"actor": "somebody else"}\' where seq = 3', 3
    )
    bare = await verify(ledgered.dsn)
    assert bare.ok, bare.text  # inside the database everything fits
    report = await failed(ledgered, "audit log", "recomputed")
    assert report.problem is not None and report.problem.seq == 5


async def test_a_cut_tail_of_the_audit_log_is_found_by_its_anchors(ledgered: Ledgered) -> None:
    await ledgered.tamper(
        "delete from qs.audit_logs where seq > 3",
        "update qs.log_heads set seq = 3, hash = (select hash from qs.audit_logs where seq = 3) where log = 'audit_logs'",
    )
    assert (await verify(ledgered.dsn)).ok
    report = await failed(ledgered, "audit log", "tail was cut")
    assert report.problem is not None and report.problem.seq == 4


async def test_an_emptied_audit_log_is_found_by_its_anchors(ledgered: Ledgered) -> None:
    await ledgered.tamper(
        "truncate qs.audit_logs", "update qs.log_heads set seq = 0, hash = '' where log = 'audit_logs'"
    )
    assert (await verify(ledgered.dsn)).ok
    await failed(ledgered, "audit log", "tail was cut")


async def test_commands_without_an_engine_witness_what_they_wrote(ledgered: Ledgered) -> None:
    directory = ledgered.anchors.parent
    before = Anchors(ledgered.anchors).read()
    app = await connect(ledgered.dsn, "qs_app")
    async with audit.witnessed(app, directory):
        await app.fetch("select 1")
    assert Anchors(ledgered.anchors).read() == before  # nothing was done, nothing to witness
    async with audit.witnessed(app, directory):
        assert await audit.record(app, "TESTED", "thing", actor="me") == 6
    await app.close()
    new = Anchors(ledgered.anchors).read()[len(before) :]
    assert [(one.log, one.seq) for one in new] == [("audit_logs", 6)]
    assert (await ledgered.verify()).ok


def test_anchors_of_an_earlier_version_are_those_of_the_journal(tmp_path: Path) -> None:
    path = tmp_path / ANCHORS_FILE
    path.write_bytes(b'{"seq":1,"hash":"aa","at":1}\n')
    Anchors(path).append(Anchor(1, "bb", 2, "audit_logs"))
    Anchors(path).append(Anchor(2, "cc", 3))
    assert [one.log for one in Anchors(path).read()] == ["events", "audit_logs", "events"]
    assert path.read_bytes().count(b'"log"') == 1
