"""Migration on real servers: once whoever tries, whole or not at all, and cheap when there is nothing to do."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from db.connect import ConnectError, DatabaseUnreachable, RoleRefused, connect, create_pool, profile
from db.embedded import SUPERUSER, EmbeddedServer, PgBinaries
from db.migrate import (
    LOCK_KEY,
    DatabaseNewer,
    MigrationError,
    MigrationLocked,
    MigrationResult,
    _run_alembic,
    head,
    migrate,
    revision,
)
from migrations import HERE, known
from tests.patience import PATIENCE_S, until_async
from tests.servers import AsSuperuser

ROOT = HERE.parent

MIGRATE = """
import asyncio, json, sys
from db.migrate import migrate
result = asyncio.run(migrate(sys.argv[1]))
print(json.dumps([result.before, result.after, result.applied, "alembic" in sys.modules]))
"""


@pytest.fixture
def fresh_server(tmp_path: Path, pg_binaries: PgBinaries) -> Iterator[EmbeddedServer]:
    """A server of its own, whose cluster knows none of our roles yet."""
    with EmbeddedServer(tmp_path / "pg", pg_binaries) as server:
        yield server


def superuser(dsn: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(dsn, autocommit=True)


def make_foreign(server: EmbeddedServer, *databases: str) -> None:
    """As a server that is not ours: none of our roles, and databases that belong to its superuser."""
    with superuser(server.dsn("postgres", SUPERUSER)) as connection:
        connection.execute("drop role qs_login, qs_admin, qs_owner, qs_engine, qs_app, qs_view")
        for name in databases:
            connection.execute(f"create database {name}".encode())


def as_login(dsn: str, login: str) -> str:
    """The same database by another login (trust on the socket)."""
    scheme, rest = dsn.split("://", 1)
    return f"{scheme}://{login}@{rest.split('@', 1)[1]}"


def start(dsn: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", MIGRATE, dsn], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> list[object]:
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    answer: list[object] = json.loads(out)
    return answer


async def test_an_empty_database_gets_everything_and_a_second_time_nothing(database: str) -> None:
    assert await revision(database) is None
    assert await migrate(database) == MigrationResult(before=None, after=head(), applied=known())
    assert await revision(database) == head()
    assert await migrate(database) == MigrationResult(before=head(), after=head())


async def test_it_works_on_15(database15: str) -> None:
    assert (await migrate(database15)).applied == known()
    assert (await migrate(database15)).applied == ()


async def test_alembic_is_imported_only_when_behind(database: str) -> None:
    first, second = finish(start(database)), finish(start(database))
    assert first == [None, head(), list(known()), True]
    assert second == [head(), head(), [], False]


def test_head_is_what_alembic_says_and_costs_no_import() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(HERE))
    script = ScriptDirectory.from_config(config)
    assert script.get_current_head() == head()
    assert [r.revision for r in script.walk_revisions()][::-1] == list(known())
    code = "import sys, db.migrate as m; m.head(); print('alembic' in sys.modules or 'sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_revision_runs_the_file_of_its_number() -> None:
    for number, path in zip(known(), sorted((HERE / "sql").glob("[0-9]*.sql")), strict=True):
        source = (HERE / "versions" / f"r{path.stem}.py").read_text()
        assert f'revision = "{number}"' in source
        assert f'run_sql("{path.name}")' in source


def test_eight_processes_at_once_on_an_empty_database(fresh_server: EmbeddedServer) -> None:
    fresh_server.create_database("eight")
    answers = [finish(p) for p in [start(fresh_server.dsn("eight", "qs_admin")) for _ in range(8)]]
    assert [a[1] for a in answers] == [head()] * 8
    assert sorted(len(a[2]) for a in answers) == [0] * 7 + [len(known())]  # type: ignore[arg-type]


def test_databases_of_one_new_cluster_make_the_roles_at_once(fresh_server: EmbeddedServer) -> None:
    names = [f"ledger_{n}" for n in range(4)]
    make_foreign(fresh_server, *names)
    answers = [finish(p) for p in [start(fresh_server.dsn(name, SUPERUSER)) for name in names]]
    assert [a[2] for a in answers] == [list(known())] * 4
    with superuser(fresh_server.dsn(names[0], SUPERUSER)) as connection:
        roles = connection.execute("select rolname, rolcanlogin from pg_roles where rolname like 'qs\\_%' order by 1")
        assert roles.fetchall() == [(r, False) for r in ("qs_app", "qs_engine", "qs_owner", "qs_view")]


async def test_a_newer_database_is_refused_in_one_line(database: str, as_superuser: AsSuperuser) -> None:
    database = as_superuser(database)
    await migrate(database)
    with superuser(database) as connection:
        connection.execute("update qs.alembic_version set version_num = '9999'")
    with pytest.raises(DatabaseNewer, match=rf"schema 9999.*up to {head()}: update quantsail") as caught:
        await migrate(database)
    assert "\n" not in str(caught.value)


async def test_the_wait_for_the_lock_is_bounded_and_names_the_holder(database: str) -> None:
    with psycopg.connect(database, autocommit=True, application_name="somebody else") as holder:
        holder.execute("select pg_advisory_lock(%s)", (LOCK_KEY,))
        with pytest.raises(MigrationLocked, match=rf"pid {holder.info.backend_pid} \(somebody else, user "):
            await migrate(database, lock_wait_s=0.2)
        assert await revision(database) is None
    assert (await migrate(database)).applied == known()


async def test_who_waited_finds_the_work_done(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as holder:
        holder.execute("select pg_advisory_lock(%s)", (LOCK_KEY,))
        waiting = [asyncio.create_task(migrate(database)) for _ in range(2)]
        asked = "select count(*) from pg_stat_activity where query like 'select pg_catalog.pg_try_advisory_lock%'"
        await until_async(lambda: holder.execute(f"{asked} and datname = current_database()").fetchone() == (2,))
        assert not any(task.done() for task in waiting)
    applied = sorted(result.applied for result in await asyncio.gather(*waiting))
    assert applied == [(), known()]


async def test_a_file_that_fails_leaves_nothing_behind(database: str) -> None:
    with superuser(database) as connection:
        connection.execute("create schema qs; create table qs.orders (in_the_way int)")
    with pytest.raises(MigrationError, match='relation "orders" already exists') as caught:
        await migrate(database)
    assert "\n" not in str(caught.value)
    assert await revision(database) is None
    with superuser(database) as connection:
        tables = connection.execute("select tablename from pg_tables where schemaname = 'qs'").fetchall()
        assert tables == [("orders",)]


async def test_logging_stays_as_it_was(database: str) -> None:
    mine = logging.getLogger("quantsail.test")
    before = (logging.root.level, list(logging.root.handlers), mine.disabled)
    await migrate(database)
    assert (logging.root.level, list(logging.root.handlers), mine.disabled) == before


def behind(database: str) -> None:
    """Bring an empty database to a schema that this program has left behind."""
    with psycopg.connect(database, autocommit=True) as connection:
        _run_alembic(connection, "0005")


async def test_a_backup_comes_before_the_first_change_of_an_existing_schema(
    database: str, as_superuser: AsSuperuser
) -> None:
    database = as_superuser(database)
    seen: list[str] = []
    behind(database)
    result = await migrate(database, backup=seen.append)
    assert seen == ["0005"]
    assert result == MigrationResult(before="0005", after=head(), applied=tuple(n for n in known() if n > "0005"))


async def test_an_empty_database_needs_no_backup(database: str) -> None:
    seen: list[str] = []
    await migrate(database, backup=seen.append)
    assert seen == []  # nothing to lose yet


async def test_a_backup_that_fails_stops_the_upgrade(database: str, as_superuser: AsSuperuser) -> None:
    database = as_superuser(database)

    def backup(_: str) -> None:
        raise OSError("disk full")

    behind(database)
    with pytest.raises(OSError, match="disk full"):
        await migrate(database, backup=backup)
    assert await revision(database) == "0005"


async def test_no_server_is_one_line_with_a_remedy(tmp_path: Path) -> None:
    dsn = f"postgresql://nobody@/nothing?host={tmp_path}"
    for attempt in (migrate(dsn), connect(dsn), create_pool(dsn)):
        with pytest.raises(DatabaseUnreachable, match="Check DATABASE_URL") as caught:
            await attempt
        assert "\n" not in str(caught.value)


async def test_a_database_that_is_not_there(database: str) -> None:
    with pytest.raises(DatabaseUnreachable, match="does not exist"):
        await migrate(database.replace("/test_", "/absent_", 1))


# -- profiles ------------------------------------------------------------------------------------------------------------


async def check_creator_of_roles(server: EmbeddedServer) -> None:
    make_foreign(server, "owned")
    with superuser(server.dsn("owned", SUPERUSER)) as connection:
        connection.execute("create role admin login createrole; alter database owned owner to admin")
    dsn = as_login(server.dsn("owned", SUPERUSER), "admin")
    await migrate(dsn)
    connection = await connect(dsn)
    try:
        assert await profile(connection) == "FULL"
        assert await connection.fetchval("select current_user::text") == "qs_engine"
        assert await connection.fetchval("select session_user::text") == "admin"
    finally:
        await connection.close()


async def test_a_login_that_may_create_roles_gets_the_full_profile(fresh_server: EmbeddedServer) -> None:
    await check_creator_of_roles(fresh_server)


async def test_the_same_on_15(tmp_path: Path, pg15_binaries: PgBinaries) -> None:
    with EmbeddedServer(tmp_path / "pg15", pg15_binaries) as server:
        await check_creator_of_roles(server)


async def test_a_login_that_may_not_gets_the_reduced_profile_and_the_triggers_hold(
    fresh_server: EmbeddedServer,
) -> None:
    make_foreign(fresh_server, "small")
    with superuser(fresh_server.dsn("small", SUPERUSER)) as admin:
        admin.execute("create role plain login; alter database small owner to plain")
    dsn = as_login(fresh_server.dsn("small", SUPERUSER), "plain")
    assert (await migrate(dsn)).applied == known()
    connection = await connect(dsn)
    try:
        assert await profile(connection) == "REDUCED"
        assert await connection.fetchval("select value from capability where name = 'ROLES'") == "REDUCED"
        assert await connection.fetchval("select current_user::text") == "plain"
        assert await connection.fetchval("select start_run('ledger', 'host', 1, '1')") == 1
        with pytest.raises(Exception, match=r"append-only: TRUNCATE on qs\.events is refused"):
            await connection.execute("truncate events")
    finally:
        await connection.close()


async def test_a_stranger_is_refused_the_role(migrated: str, as_superuser: AsSuperuser) -> None:
    database = as_superuser(migrated)
    with superuser(database) as admin:
        admin.execute("drop role if exists stranger; create role stranger login")
    try:
        with pytest.raises(RoleRefused, match="GRANT qs_engine TO"):
            await connect(as_login(database, "stranger"))
    finally:
        with superuser(database) as admin:
            admin.execute("drop role stranger")


async def test_a_connection_before_the_schema_has_no_profile(database: str) -> None:
    connection = await connect(database)
    try:
        with pytest.raises(ConnectError, match="quantsail db migrate"):
            await profile(connection)
    finally:
        await connection.close()


async def test_a_pool_gives_the_role_back_to_whoever_comes_next(migrated: str) -> None:
    pool = await create_pool(migrated, min_size=1, max_size=1)
    try:
        async with pool.acquire() as connection:
            await connection.execute("set role qs_view; set search_path = public; set timezone = 'Asia/Tokyo'")
        async with pool.acquire() as connection:
            shown = [await connection.fetchval(f"show {name}") for name in ("role", "search_path", "timezone")]
            assert shown == ["qs_engine", "qs, pg_catalog", "UTC"]
    finally:
        await pool.close()
