"""Who logs in to the embedded server: never the superuser for the application, and RESET ROLE gives nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
import pytest_asyncio

from db.connect import ROLES, RoleRefused, connect, create_pool
from db.database import Database
from db.embedded import SUPERUSER, EmbeddedServer, PgBinaries
from db.logins import Login
from db.migrate import head, migrate, revision
from db.rebuild import rebuild
from db.writer import lock
from tests.db.schema_rows import DENIED, refused

LOGINS: tuple[Login, ...] = ("qs_login", "qs_admin")


@pytest.fixture(scope="module", params=["pg_server", "pg15_server"])
def served(request: pytest.FixtureRequest) -> EmbeddedServer:
    found: EmbeddedServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def name(served: EmbeddedServer) -> Iterator[str]:
    """A migrated database; migrated without the superuser."""
    found = "logins"
    served.create_database(found)
    asyncio.run(migrate(served.dsn(found, "qs_admin")))
    yield found
    with psycopg.connect(served.dsn("postgres", SUPERUSER), autocommit=True) as connection:
        connection.execute("drop database logins with (force)")


@pytest_asyncio.fixture(params=["none", "qs_view", "qs_app", "qs_engine"])
async def session(request: pytest.FixtureRequest, served: EmbeddedServer, name: str) -> AsyncIterator[Any]:
    """The application's login, in each role and, after RESET ROLE, in none."""
    connection = await connect(served.dsn(name), "qs_view" if request.param == "none" else request.param)
    if request.param == "none":
        await connection.execute("reset role")
    yield connection
    await connection.close()


@pytest.mark.parametrize("login", LOGINS)
async def test_a_login_is_ordinary_and_inherits_nothing(served: EmbeddedServer, name: str, login: Login) -> None:
    connection = await asyncpg.connect(served.dsn(name, login))
    try:
        rights = await connection.fetchrow("select * from pg_roles where rolname = session_user")
        kinds = ("rolsuper", "rolinherit", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls")
        assert rights["rolname"] == login
        assert [kind for kind in kinds if rights[kind]] == []
        await refused(connection, DENIED, "select * from qs.orders")
        await refused(
            connection, DENIED, "insert into qs.commands (id, verb, actor) values (gen_random_uuid(), 'HALT', 'me')"
        )
    finally:
        await connection.close()


async def test_the_application_cannot_become_owner_or_superuser(session: Any) -> None:
    await session.execute("reset role")
    for target in ("qs_owner", "qs_admin", SUPERUSER, "pg_read_server_files", "pg_write_all_data"):
        await refused(session, DENIED, f"set role {target}")
        await refused(session, DENIED, f"set session authorization {target}")
    for sql in (
        "grant qs_owner to qs_login",
        "alter role qs_login superuser",
        "create role other",
    ):
        await refused(session, DENIED, sql)


async def test_the_application_makes_nothing_and_switches_nothing_off(session: Any, name: str) -> None:
    for sql in (
        "create table qs.mine (n int)",
        "create table public.mine (n int)",
        "create schema mine",
        "create extension hstore",
        "drop extension plpgsql cascade",
        "create or replace function qs.append_only() returns trigger language plpgsql as 'begin return new; end'",
        "alter table qs.events disable trigger append_only",
        "alter table qs.fills disable trigger all",
        "alter table qs.orders drop constraint orders_check",
        "drop table qs.fills",
        "set session_replication_role = replica",
        "create database other",
        f"drop database {name}",
        f"alter database {name} owner to qs_login",
        "alter system set fsync = off",
        "copy (select 1) to program 'id'",
        "select pg_read_file('/etc/passwd')",
        "select lo_import('/etc/passwd')",
    ):
        with pytest.raises(asyncpg.PostgresError) as caught:
            await session.execute(sql)
        # An extension that is not installed is looked for before the right to make it is.
        assert caught.value.sqlstate in (DENIED, "0A000", "58P01"), f"{sql}: {caught.value}"


async def test_the_application_refuses_to_rebuild_and_qs_admin_does(served: EmbeddedServer, name: str) -> None:
    with pytest.raises(RoleRefused, match="qs_owner"):
        await rebuild(served.dsn(name))
    assert await rebuild(served.dsn(name, "qs_admin")) == 0


async def test_a_pool_that_was_reset_takes_its_role_again(served: EmbeddedServer, name: str) -> None:
    pool = await create_pool(served.dsn(name), "qs_view", min_size=1, max_size=1)
    try:
        async with pool.acquire() as connection:
            await connection.execute("set role qs_engine")
        async with pool.acquire() as connection:
            assert await connection.fetchval("select current_user::text") == "qs_view"
            assert not await connection.fetchval("select rolsuper from pg_roles where rolname = session_user")
    finally:
        await pool.close()


async def test_every_role_of_the_program_is_known_to_the_server(served: EmbeddedServer, name: str) -> None:
    connection = await asyncpg.connect(served.dsn(name))
    try:
        members = "select pg_has_role($1, r, 'MEMBER') from unnest($2::text[]) with ordinality as u(r, n) order by n"
        assert [r[0] for r in await connection.fetch(members, "qs_admin", ROLES)] == [True] * 4
        assert [r[0] for r in await connection.fetch(members, "qs_login", ROLES)] == [False, True, True, True]
    finally:
        await connection.close()


async def test_the_writer_ends_its_own_lost_session_and_nobody_elses(served: EmbeddedServer, name: str) -> None:
    """The lock of a connection that we lost and the server has not noticed yet: the login may end it, no role may."""
    lost, found, other = [await connect(served.dsn(name)) for _ in range(3)]
    await lock(lost)
    await lock(found, own_backend=lost.get_server_pid())
    assert await found.fetchval("select current_user::text") == "qs_engine"
    admin = await asyncpg.connect(served.dsn(name, "qs_admin"))
    await refused(other, DENIED, f"reset role; select pg_terminate_backend({admin.get_server_pid()})")
    for connection in (lost, found, other, admin):
        connection.terminate()


# -- clusters -------------------------------------------------------------------------------------------------------------


def earlier(server: EmbeddedServer) -> None:
    """What the version before this one left behind: roles without logins, a ledger of the superuser."""
    with psycopg.connect(server.dsn("postgres", SUPERUSER), autocommit=True) as connection:
        connection.execute("drop role qs_login, qs_admin")
        connection.execute("create database old_ledger")
    asyncio.run(migrate(server.dsn("old_ledger", SUPERUSER)))


@pytest.mark.parametrize("which", ["pg_binaries", "pg15_binaries"])
def test_a_cluster_of_an_earlier_version_is_brought_up_at_its_start(
    home: Path, request: pytest.FixtureRequest, which: str
) -> None:
    binaries: PgBinaries = request.getfixturevalue(which)
    with EmbeddedServer(home, binaries) as server:
        earlier(server)
    with EmbeddedServer(home, binaries) as server, EmbeddedServer(home, binaries):
        with psycopg.connect(server.dsn("old_ledger", "qs_admin"), autocommit=True) as connection:
            owner = connection.execute(
                "select pg_get_userbyid(datdba) from pg_database where datname = current_database()"
            ).fetchone()
            assert owner == ("qs_admin",)
            connection.execute("create schema made_by_the_admin")
        assert asyncio.run(rebuild(server.dsn("old_ledger", "qs_admin"))) == 0
        assert asyncio.run(revision(server.dsn("old_ledger"))) == head()


def test_a_login_that_was_given_more_loses_it_at_the_next_start(server: EmbeddedServer) -> None:
    with psycopg.connect(server.dsn("postgres", SUPERUSER), autocommit=True) as connection:
        connection.execute("alter role qs_login superuser createdb bypassrls inherit; grant qs_owner to qs_login")
    with EmbeddedServer(server.home), psycopg.connect(server.dsn("postgres")) as connection:
        row = connection.execute(
            "select rolsuper or rolcreatedb or rolbypassrls or rolinherit, pg_has_role(session_user, 'qs_owner', 'MEMBER')"
            " from pg_roles where rolname = session_user"
        ).fetchone()
        assert row == (False, False)


async def test_the_programs_database_hands_out_the_login_and_keeps_the_admin_for_what_needs_it(tmp_path: Path) -> None:
    database = Database("", tmp_path)
    try:
        dsn = await database.open("mine")
        assert dsn == await database.locate("mine")
        for uri, login in ((dsn, "qs_login"), (await database.locate("mine", "qs_admin"), "qs_admin")):
            connection = await asyncpg.connect(uri)
            assert await connection.fetchval("select session_user::text") == login
            await connection.close()
    finally:
        database.close()


async def test_a_database_url_is_used_as_it_is(database: str, tmp_path: Path) -> None:
    foreign = Database(database, tmp_path)
    assert await foreign.open("any") == await foreign.locate("any", "qs_admin") == database
    assert foreign.server is None
