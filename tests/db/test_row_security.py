"""Whose rows a reader sees: two users on one database, connections that are used again, and settings that are forged."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from db import audit, retention
from db.connect import OPERATOR, Role, acquire, connect, create_pool, set_user
from tests.db.schema_rows import (
    DENIED,
    NOW,
    ORDER,
    USER,
    Writer,
    insert,
    new_id,
    one_row_each,
    order,
    portfolio,
    refused,
)
from tests.servers import AsSuperuser

OTHER = uuid.UUID(int=77)
READERS: tuple[Role, ...] = ("qs_app", "qs_view")
#: Tables with a user_id that is not an owner, and why nobody is kept from reading them.
EXCEPTIONS = {"ledger": "one row that names the operator: readers learn from it whose rows to ask for"}
#: Tables of users' rows without a user_id of their own.
THROUGH_PARENTS = {"strategy_versions": "strategies", "backtest_trades": "backtests", "users": "users"}
NOBODY = ("", "0", "null", "' or true --", f"{USER}' or '1'='1", f"{USER},{OTHER}", "%", f"{{{USER}}}", "\u0665" * 36)


@pytest_asyncio.fixture(params=["migrated", "migrated15"])
async def dsn(request: pytest.FixtureRequest) -> str:
    """A database with rows of USER, whose ledger it is, and of OTHER."""
    found: str = request.getfixturevalue(request.param)
    engine = await connect(found)
    try:
        await one_row_each(engine, await Writer.begin(engine))
        exchange = await engine.fetchval("select exchange_id('sim')")
        await insert(engine, "users", id=OTHER, email="other@example.org")
        await insert(engine, "portfolios", **portfolio() | {"id": OTHER, "user_id": OTHER})
        theirs = {"id": new_id(), "user_id": OTHER, "portfolio_id": OTHER, "bot_id": None, "client_order_id": "c2"}
        await insert(engine, "orders", **order(exchange, **theirs))
        for user in (USER, OTHER):
            await insert(
                engine, "alerts", user_id=user, type="PRICE", condition="ABOVE", symbol="BTC/USDT", threshold=1
            )
            backtest, text = new_id(), f"of {user}"
            dates = {"start_date": NOW.date(), "end_date": NOW.date().replace(day=28)}
            await insert(
                engine, "backtests", id=backtest, user_id=user, initial_capital=1, strategy_snapshot="{}", **dates
            )
            await insert(
                engine, "backtest_trades", backtest_id=backtest, trade_number=1, symbol="BTC/USDT", side="BUY",
                quantity=1, entry_price=1, entry_signal=text, entry_at=NOW,
            )  # fmt: skip
    finally:
        await engine.close()
    return found


@pytest_asyncio.fixture
async def owner(dsn: str) -> AsyncIterator[Any]:
    connection = await connect(dsn, "qs_owner")
    yield connection
    await connection.close()


async def owners_seen(connection: Any, table: str = "orders") -> set[uuid.UUID]:
    return {row[0] for row in await connection.fetch(f"select user_id from {table}")}


# -- the catalog ------------------------------------------------------------------------------------------------------------


async def test_every_table_of_users_rows_is_guarded(owner: Any) -> None:
    tables = {
        row["relname"]: (row["relrowsecurity"], row["relforcerowsecurity"], row["policies"])
        for row in await owner.fetch("""
        select c.relname, c.relrowsecurity, c.relforcerowsecurity,
          array(select p.polname || ' ' || array(select r::regrole::text from unnest(p.polroles) r order by 1)::text
                  from pg_policy p where p.polrelid = c.oid order by 1) as policies
          from pg_class c where c.relnamespace = 'qs'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition""")
    }
    with_user = {
        row[0]
        for row in await owner.fetch(
            "select table_name from information_schema.columns where table_schema = 'qs' and column_name = 'user_id'"
            " and table_name in (select table_name from table_classes)"
        )
    }
    wanted = with_user - EXCEPTIONS.keys() | THROUGH_PARENTS.keys()
    both = (True, True, ["everyones {qs_engine,qs_owner}", "mine {qs_app,qs_view}"])
    trail = (True, True, [both[2][0], both[2][1], "of_the_ledger {qs_app,qs_view}"])
    assert {name: tables[name] for name in wanted} == dict.fromkeys(wanted, both) | {"audit_logs": trail}
    unguarded = tables.keys() - wanted
    assert {name for name in unguarded if tables[name][0] or tables[name][2]} == set()
    assert len(wanted) >= 19 and {"orders", "fills", "equity_snapshots", "exchange_credentials"} <= wanted


async def test_a_row_of_a_user_always_names_one(owner: Any) -> None:
    nullable = await owner.fetch(
        "select a.attrelid::regclass::text from pg_attribute a join pg_class c on c.oid = a.attrelid"
        " where c.relnamespace = 'qs'::regnamespace and c.relkind in ('r', 'p') and a.attname = 'user_id' and not a.attnotnull"
    )
    # What a program does by itself is in the audit log without a user: of the readers only the operator is shown it.
    assert [row[0] for row in nullable] == ["audit_logs"]


async def test_market_data_carries_none_and_no_role_goes_round_it(owner: Any) -> None:
    guarded = await owner.fetch(
        "select relname from pg_class join qs.table_classes on table_name = relname and class = 'SERIES' where relrowsecurity"
    )
    assert [row[0] for row in guarded if row[0] != "daily_performance"] == []
    assert await owner.fetchval("select count(*) from pg_roles where rolname ^@ 'qs_' and rolbypassrls") == 0
    assert await owner.fetchval("select value from capability where name = 'ROW_SECURITY'") == "FORCED"


# -- readers ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", READERS)
async def test_a_reader_sees_its_own_rows_and_without_a_user_none(dsn: str, role: Role) -> None:
    for user, seen in ((str(USER), {USER}), (str(OTHER).upper(), {OTHER}), (str(new_id()), set()), ("", set())):
        connection = await connect(dsn, role, user=user)
        try:
            for table in ("orders", "portfolios", "alerts", "backtests"):
                assert await owners_seen(connection, table) == seen
            texts = [row[0] for row in await connection.fetch("select entry_signal from backtest_trades")]
            assert texts == [f"of {one}" for one in seen]
            assert await connection.fetchval("select count(*) from strategy_versions") == (seen == {USER})
            assert await connection.fetchval("select count(*) from fills") == (seen == {USER})
        finally:
            await connection.close()


async def test_the_operator_is_the_ledgers_user(dsn: str) -> None:
    connection = await connect(dsn, "qs_view", user=OPERATOR)
    try:
        assert await owners_seen(connection) == {USER}
    finally:
        await connection.close()


async def test_before_the_first_event_the_operator_is_nobody(migrated: str) -> None:
    connection = await connect(migrated, "qs_view", user=OPERATOR)
    try:
        assert await connection.fetchval("select app_user_id()") is None
        assert await connection.fetch("select * from orders") == []
    finally:
        await connection.close()


@pytest.mark.parametrize("forged", NOBODY)
async def test_a_forged_user_is_nobody_and_no_error(dsn: str, forged: str) -> None:
    connection = await connect(dsn, "qs_app", user=forged)
    try:
        for table in ("orders", "alerts", "backtest_trades", "strategy_versions"):
            assert await connection.fetch(f"select * from {table}") == []
        await connection.execute("reset app.user_id")
        assert await connection.fetch("select * from orders") == []
    finally:
        await connection.close()


async def test_engine_and_owner_see_all_and_need_no_user(dsn: str, owner: Any) -> None:
    engine = await connect(dsn)
    try:
        for connection in (engine, owner):
            for user in ("", str(OTHER)):
                await set_user(connection, user)
                assert await owners_seen(connection) == {USER, OTHER}
    finally:
        await engine.close()


async def test_whoever_is_granted_something_later_sees_nothing(dsn: str, as_superuser: AsSuperuser) -> None:
    superuser = await asyncpg.connect(as_superuser(dsn))
    try:
        await superuser.execute("drop role if exists latecomer; create role latecomer")
        await superuser.execute("grant usage on schema qs to latecomer; grant select on qs.orders to latecomer")
        await superuser.execute("grant execute on function qs.app_user_id() to latecomer; set role latecomer")
        await set_user(superuser, str(USER))
        assert await superuser.fetch("select * from qs.orders") == []
    finally:
        await superuser.execute("reset role; drop owned by latecomer; drop role latecomer")
        await superuser.close()


# -- writers ----------------------------------------------------------------------------------------------------------------


async def test_nobody_writes_in_another_name(dsn: str) -> None:
    app = await connect(dsn, "qs_app", user=str(USER))
    alert = {"type": "PRICE", "condition": "ABOVE", "symbol": "BTC/USDT", "threshold": 2}
    try:
        await insert(app, "alerts", user_id=USER, **alert)
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await insert(app, "alerts", user_id=OTHER, **alert)
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await app.execute("update alerts set user_id = $1", OTHER)  # giving one's own away
        assert await app.execute("update alerts set message = 'x' where user_id = $1", OTHER) == "UPDATE 0"
        theirs = await app.fetchval("select count(*) from backtests where user_id <> $1", USER)
        assert theirs == 0
        await set_user(app, "")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await insert(app, "alerts", user_id=USER, **alert)
    finally:
        await app.close()


async def test_an_upsert_does_not_reach_another_users_row(dsn: str, owner: Any) -> None:
    row = await owner.fetchrow("select id, message from alerts where user_id = $1", OTHER)
    app = await connect(dsn, "qs_app", user=str(USER))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await app.execute(
                "insert into alerts (id, user_id, type, condition) values ($1, $2, 'PRICE', 'ABOVE')"
                " on conflict (id) do update set message = 'taken'",
                row["id"],
                USER,
            )
        assert await owner.fetchval("select message from alerts where id = $1", row["id"]) is None
        # COPY into what is guarded is refused as a whole by the server, so no program of ours may count on it.
        with pytest.raises(asyncpg.FeatureNotSupportedError, match="row-level security"):
            await app.copy_records_to_table(
                "alerts", records=[(OTHER, "PRICE", "ABOVE")], columns=("user_id", "type", "condition")
            )
    finally:
        await app.close()


async def test_a_leaky_function_is_not_shown_other_rows(dsn: str) -> None:
    """A condition of the reader's own runs after the policy, or it could tell what it was shown."""
    app = await connect(dsn, "qs_app", user=str(USER))
    told: list[str] = []
    try:
        app.add_log_listener(lambda _, message: told.append(str(message)))
        await app.execute("""
            create function pg_temp.tell(owner uuid) returns boolean language plpgsql cost 0.0000001 as
            $$ begin raise notice '%', owner; return true; end $$""")
        await app.fetch("select * from qs.orders where pg_temp.tell(user_id)")
        assert told and not [line for line in told if str(OTHER) in line]
    finally:
        await app.close()


async def test_readers_see_their_own_entries_and_themselves(dsn: str) -> None:
    engine = await connect(dsn)
    try:
        for user in (USER, OTHER, None):
            await audit.record(engine, "TESTED", "thing", actor="test", user_id=user and str(user))
        assert await engine.fetchval("select count(*) from audit_logs") == 4  # with the one of the fixture
        assert await engine.fetchval("select count(*) from users") == 2
    finally:
        await engine.close()
    for role in READERS:
        reader = await connect(dsn, role, user=str(OTHER))
        try:
            assert await owners_seen(reader, "audit_logs") == {OTHER}  # an entry without a user is the operator's
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await reader.fetch("select hash from audit_logs")
            assert [row[0] for row in await reader.fetch("select id from users")] == [OTHER]
            for secret in ("users.password_hash", "exchange_credentials.ciphertext", "encryption_keys.wrapped_dek"):
                if role == "qs_view":
                    await refused(reader, DENIED, f"select {secret} from {secret.partition('.')[0]}")
        finally:
            await reader.close()


@pytest.mark.parametrize("role", READERS)
async def test_the_operator_sees_what_programs_did_but_not_what_others_did(dsn: str, role: Role) -> None:
    engine = await connect(dsn)
    try:
        for user in (USER, OTHER, None):
            await audit.record(engine, "TESTED", "thing", actor="test", user_id=user and str(user))
    finally:
        await engine.close()
    for who, seen in ((OPERATOR, {USER, None}), (str(USER), {USER, None}), (str(OTHER), {OTHER}), ("", set())):
        reader = await connect(dsn, role, user=who)
        try:
            assert await owners_seen(reader, "audit_logs") == seen
            for statement in ("update audit_logs set action = 'x'", "delete from audit_logs"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await reader.execute(statement)
        finally:
            await reader.close()


async def test_a_reader_may_ask_what_retention_would_let_go_and_drop_nothing(dsn: str) -> None:
    reader = await connect(dsn, "qs_view", user=OPERATOR)
    try:
        assert {item.subject for item in await retention.plan(reader, NOW)} >= {"ticks", "outbox"}
        for call in ("drop_partition('ticks', 'x', now())", "delete_expired('outbox', now(), 1)"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await reader.execute(f"select {call}")
    finally:
        await reader.close()


async def test_the_contract_views_ask_as_their_reader(dsn: str, owner: Any) -> None:
    views = await owner.fetch("""
        select format('%I.%I', table_schema, table_name) from information_schema.columns
         where column_name = 'user_id' and table_schema in ('quantsail_v7', 'paper_api', 'wallet_following',
               'trading_platform', 'apextrade')""")
    assert len(views) > 10
    seen = {}
    for user in (USER, OTHER):
        reader = await connect(dsn, "qs_view", user=str(user))
        try:
            seen[user] = {view: await owners_seen(reader, view) for (view,) in views}
        finally:
            await reader.close()
    for user, found in seen.items():
        programs = {"None"} if user == USER else set()  # what programs did: the operator's audit trail
        own = {view: programs if view.endswith(".audit_logs") else set() for view in found}
        strangers = {view: rows for view, rows in found.items() if {str(one) for one in rows} - {str(user)} - own[view]}
        assert strangers == {}
        assert {view for view, rows in found.items() if rows} >= {"apextrade.alerts", "trading_platform.orders"}


# -- connections that are used again ------------------------------------------------------------------------------------------


async def test_a_pool_serves_two_users_on_one_connection(dsn: str) -> None:
    pool = await create_pool(dsn, "qs_app", min_size=1, max_size=1)
    pids = set()
    try:
        for user in (USER, OTHER, USER):
            async with acquire(pool, str(user)) as connection:
                pids.add(connection.get_server_pid())
                assert await owners_seen(connection) == {user}
            async with pool.acquire() as connection:  # somebody forgot to say for whom
                assert await owners_seen(connection) == set()
        assert len(pids) == 1
    finally:
        await pool.close()


async def test_a_failed_transaction_leaves_no_user_behind(dsn: str) -> None:
    pool = await create_pool(dsn, "qs_app", min_size=1, max_size=1)
    try:
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with acquire(pool, str(USER)) as connection:
                await connection.execute("begin")
                await connection.execute(f"set local app.user_id = '{OTHER}'; set local role qs_engine")
                await connection.execute("select 1 / 0")
        async with pool.acquire() as connection:
            assert (await owners_seen(connection), await connection.fetchval("select current_user::text")) == (
                set(),
                "qs_app",
            )
        with pytest.raises(asyncpg.PostgresError, match="aborted"):
            async with acquire(pool, str(OTHER)) as connection, connection.transaction():
                with pytest.raises(asyncpg.DivisionByZeroError):
                    await connection.execute("select 1 / 0")
                await owners_seen(connection)
        async with acquire(pool, str(USER)) as connection:
            assert await owners_seen(connection) == {USER}
    finally:
        await pool.close()


async def test_prepared_plans_follow_the_user(dsn: str) -> None:
    connection = await connect(dsn, "qs_app", user=str(USER))
    try:
        await connection.execute("set plan_cache_mode = force_generic_plan")
        ask = await connection.prepare("select user_id from orders where id <> $1")
        assert {row[0] for row in await ask.fetch(new_id())} == {USER}
        await set_user(connection, str(OTHER))
        assert {row[0] for row in await ask.fetch(ORDER)} == {OTHER}
        await connection.execute("set role qs_engine")
        assert {row[0] for row in await ask.fetch(new_id())} == {USER, OTHER}
    finally:
        await connection.close()


async def test_the_index_is_used_with_the_policy(dsn: str) -> None:
    """The user is asked for once a query, not once a row."""
    connection = await connect(dsn, "qs_app", user=str(USER))
    try:
        plan = "\n".join(row[0] for row in await connection.fetch("explain select * from alerts order by created_at"))
        assert "InitPlan" in plan
    finally:
        await connection.close()
