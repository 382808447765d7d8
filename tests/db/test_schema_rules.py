"""The tables defend themselves: raw SQL tries to break what must not break, on the newest server and on 15."""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from db.connect import connect
from tests.db.schema_rows import (
    APPEND,
    CHECK,
    FOREIGN,
    NOW,
    PORTFOLIO,
    POSITION,
    UNIQUE,
    USER,
    Writer,
    attacks,
    bot,
    fill,
    insert,
    insert_refused,
    new_id,
    one_row_each,
    order,
    people,
    position,
    refused,
)


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


# -- config -----------------------------------------------------------------------------------------------------------------


def config(version: int, **changed: Any) -> dict[str, Any]:
    text = json.dumps({"version": version, "limit": 1.50})
    digest = hashlib.sha256(text.encode()).hexdigest()
    row = {"version": version, "config_json": text, "config_text": text, "config_hash": digest, "actor": "me"}
    return row | changed


async def test_one_active_config(engine: Any) -> None:
    await insert(engine, "bot_config_versions", **config(1), is_active=True, activated_at=NOW)
    await insert(engine, "bot_config_versions", **config(2))
    await refused(engine, UNIQUE, "update bot_config_versions set is_active = true, activated_at = now()")
    async with engine.transaction():
        await engine.execute("update bot_config_versions set is_active = false where is_active")
        await engine.execute("update bot_config_versions set is_active = true, activated_at = now() where version = 2")
    assert await engine.fetchval("select version from bot_config_versions where is_active") == 2


async def test_a_config_is_what_its_hash_says(engine: Any, owner: Any) -> None:
    table = "bot_config_versions"
    await insert(engine, table, **config(1))
    await insert_refused(engine, UNIQUE, table, **config(1))
    await insert_refused(engine, CHECK, table, **config(2, config_hash="0" * 64))
    await insert_refused(engine, CHECK, table, **config(2, config_hash=config(2)["config_hash"].upper()))
    await insert_refused(engine, CHECK, table, **config(2, config_json='{"limit": 2}'))
    await insert_refused(engine, CHECK, table, **config(2), is_active=True)
    await insert_refused(engine, CHECK, table, **config(0))
    text = '{"limit": 9}'
    forged = hashlib.sha256(text.encode()).hexdigest()
    sql = "update bot_config_versions set config_text = $1, config_json = $1::text::jsonb, config_hash = $2"
    await refused(owner, APPEND, sql, text, forged)
    await refused(owner, APPEND, "delete from bot_config_versions")
    await refused(owner, APPEND, "truncate bot_config_versions")


# -- read tables ------------------------------------------------------------------------------------------------------------


async def test_words_outside_the_vocabulary_are_refused(engine: Any) -> None:
    exchange = await people(engine)
    for status in ("PLACED", "CANCELLED", "filled", ""):
        await insert_refused(engine, CHECK, "orders", **order(exchange, status=status))
    for column in ("side", "position_side", "order_type", "time_in_force", "origin", "mode"):
        await insert_refused(engine, CHECK, "orders", **order(exchange, **{column: "SIDEWAYS"}))
    for column in ("side", "status", "mode"):
        await insert_refused(engine, CHECK, "positions", **position(exchange, **{column: "SIDEWAYS"}))
    await insert_refused(engine, CHECK, "bots", **bot() | {"id": new_id(), "name": "b", "status": "running"})
    await insert_refused(engine, CHECK, "users", email="x", role="ROOT")


async def test_orders_have_a_size_unless_denied(engine: Any) -> None:
    exchange = await people(engine)
    for quantity in (0, -1):
        await insert_refused(engine, CHECK, "orders", **order(exchange, quantity=quantity))
    await insert_refused(engine, CHECK, "orders", **order(exchange, status="DENIED", quantity=-1))
    denied = {"order_type": None, "origin": None, "submitted_at": None, "client_order_id": None, "number": None}
    await insert_refused(engine, CHECK, "orders", **order(exchange, **denied))
    await insert(engine, "orders", **order(exchange, status="DENIED", quantity=0, risk_reason="SIZE_ZERO", **denied))


async def test_names_of_orders_are_unique_per_venue(engine: Any) -> None:
    exchange = await people(engine)
    other = await engine.fetchval("select exchange_id('binance')")
    assert other != exchange == await engine.fetchval("select exchange_id('sim')")
    known = {"exchange_order_id": "77"}
    await insert(engine, "orders", **order(exchange, **known))
    await insert_refused(engine, UNIQUE, "orders", **order(exchange, id=new_id()))
    await insert_refused(engine, UNIQUE, "orders", **order(exchange, id=new_id(), client_order_id="c2", **known))
    await insert_refused(engine, CHECK, "orders", **order(exchange, id=new_id(), client_order_id=""))
    await insert(engine, "orders", **order(other, id=new_id(), **known))


async def test_fills_count_once_per_order(engine: Any) -> None:
    exchange = await people(engine)
    second = new_id()
    await insert(engine, "positions", **position(exchange))
    await insert(engine, "orders", **order(exchange))
    await insert(engine, "orders", **order(exchange, id=second, client_order_id="c2"))
    await insert(engine, "fills", **fill(exchange))
    await insert(engine, "fills", **fill(exchange, order_id=second))  # two of our orders met in one trade
    await insert_refused(engine, UNIQUE, "fills", **fill(exchange))
    for quantity in (0, -1):
        await insert_refused(engine, CHECK, "fills", **fill(exchange, exchange_trade_id="t2", quantity=quantity))
    await insert_refused(engine, CHECK, "fills", **fill(exchange, exchange_trade_id="t2", liquidity="BOTH"))
    await insert_refused(engine, FOREIGN, "fills", **fill(exchange, order_id=new_id()))


async def test_rows_of_a_batch_may_come_in_any_order(engine: Any) -> None:
    exchange = await people(engine)
    async with engine.transaction():
        await insert(engine, "fills", **fill(exchange))
        await insert(engine, "orders", **order(exchange))
        await insert(engine, "positions", **position(exchange))
    assert await engine.fetchval("select count(*) from fills") == 1


async def test_one_open_position_per_bot_symbol_and_side(engine: Any) -> None:
    exchange = await people(engine)
    await insert(engine, "positions", **position(exchange))
    second = position(exchange, id=new_id())
    await insert_refused(engine, UNIQUE, "positions", **second)
    await insert(engine, "positions", **position(exchange, id=new_id(), side="SHORT"))
    await insert(engine, "positions", **position(exchange, id=new_id(), symbol="kPEPE/USDC:USDC"))
    await insert(engine, "positions", **position(exchange, id=new_id(), bot_id=None))
    await insert_refused(engine, UNIQUE, "positions", **position(exchange, id=new_id(), bot_id=None))
    await refused(engine, CHECK, "update positions set status = 'CLOSED'")  # closed, but when?
    await engine.execute("update positions set status = 'CLOSED', closed_at = $2 where id = $1", POSITION, NOW)
    await insert(engine, "positions", **second)


async def test_projections_take_ids_and_times_from_the_event(owner: Any) -> None:
    guessed = await owner.fetch("""
        select table_name, column_name from information_schema.columns c
          join table_classes t using (table_name)
         where table_schema = 'qs' and class = 'PROJECTION' and column_default is not null""")
    assert guessed == []
    touched = await owner.fetch("""
        select tgrelid::regclass::text from pg_trigger join table_classes on table_name = tgrelid::regclass::text
         where class = 'PROJECTION' and not tgisinternal and tgname not like 'append\\_only%'""")
    assert touched == []


async def test_user_owned_rows_have_an_owner(owner: Any) -> None:
    nullable = await owner.fetch("""
        select table_name from information_schema.columns where table_schema = 'qs' and column_name = 'user_id'
           and is_nullable = 'YES' and table_name <> 'audit_logs'""")
    assert nullable == []


async def test_the_owner_empties_projections_for_a_rebuild_and_guards_are_on_again(engine: Any, owner: Any) -> None:
    await one_row_each(engine, await Writer.begin(engine))
    await engine.execute("select ensure_equity_partitions($1, $1)", NOW)
    async with owner.transaction():
        await owner.execute("select empty_projections()")
    for table, rows in (("orders", 0), ("fills", 0), ("portfolios", 0), ("events", 1), ("users", 1), ("ledger", 1)):
        assert await owner.fetchval(f"select count(*) from {table}") == rows
    await insert(engine, "kill_switch_events", id=new_id(), verb="HALT", state="HALTED", previous="ACTIVE", enabled=True,
                 event_seq=1, created_at=NOW)  # fmt: skip
    for attack in attacks("kill_switch_events", "reason"):
        await refused(owner, APPEND, attack)
    weak = await owner.fetch("select tgname from pg_trigger where tgname like 'append\\_only%' and tgenabled <> 'A'")
    assert weak == []


# -- series -----------------------------------------------------------------------------------------------------------------


def candle(**changed: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"exchange_id": 1, "symbol": "BTC/USDT", "timeframe": "1m", "ts": NOW}
    return row | {"open": 10, "high": 12, "low": 9, "close": 11, "volume": 1} | changed


async def test_candles_go_to_the_week_of_their_own_time(engine: Any, owner: Any) -> None:
    await insert_refused(engine, CHECK, "candles", **candle())  # no partition yet
    assert await engine.fetchval("select ensure_candle_partitions($1, $2)", NOW, NOW + timedelta(days=7)) == 2
    assert await engine.fetchval("select ensure_candle_partitions($1, $2)", NOW, NOW + timedelta(days=7)) == 0
    monday = datetime(2024, 5, 20, tzinfo=UTC)
    for ts in (NOW, monday - timedelta(microseconds=1), monday):
        await insert(engine, "candles", **candle(ts=ts))
    await insert(engine, "candles", **candle(timeframe="1h", ts=datetime(1999, 1, 1, tzinfo=UTC)))
    counted = await owner.fetch("select tableoid::regclass::text t, count(*) n from candles group by 1 order by 1")
    assert [tuple(r) for r in counted] == [
        ("candles_1m_p20240513", 2),
        ("candles_1m_p20240520", 1),
        ("candles_rest", 1),
    ]
    for wrong in ({"high": 10}, {"low": 10.5}, {"volume": -1}, {"timeframe": "7m"}):
        await insert_refused(engine, CHECK, "candles", **candle(ts=NOW + timedelta(minutes=1), **wrong))
    await insert_refused(engine, UNIQUE, "candles", **candle())


async def test_equity_goes_to_the_month_of_its_own_time(engine: Any) -> None:
    new_year = datetime(2024, 1, 1, tzinfo=UTC)
    await engine.execute("set timezone = 'Pacific/Auckland'")  # partitions are cut in UTC whatever the session says
    assert await engine.fetchval("select ensure_equity_partitions($1, $2)", new_year - timedelta(days=1), NOW) == 6
    row = {"scope_id": PORTFOLIO, "user_id": USER, "scope": "PORTFOLIO", "currency": "USDT", "equity": 1, "cash": 1}
    for ts in (new_year - timedelta(microseconds=1), new_year, new_year):
        await insert(engine, "equity_snapshots", ts=ts, id=new_id(), event_seq=1, **row)
    counted = await engine.fetch(
        "select tableoid::regclass::text t, count(*) n from equity_snapshots group by 1 order by 1"
    )
    assert [tuple(r) for r in counted] == [("equity_snapshots_p20231201", 1), ("equity_snapshots_p20240101", 2)]


@pytest.mark.parametrize(
    "span", ["'-infinity', 'infinity'", "'1970-01-01', '2030-01-01'", "'2024-02-01', '2024-01-01'", "null, now()"]
)
async def test_absurd_ranges_make_no_partitions(engine: Any, span: str) -> None:
    assert "must be finite" in await refused(engine, "22023", f"select ensure_candle_partitions({span})")


async def test_partitions_made_by_two_at_once(dsn: str) -> None:
    connections = [await connect(dsn) for _ in range(4)]
    try:
        made = await asyncio.gather(
            *(c.fetchval("select ensure_candle_partitions($1, $2)", NOW, NOW + timedelta(days=70)) for c in connections)
        )
        names = await asyncio.gather(*(c.fetchval("select ensure_event_partition(8000000)") for c in connections))
    finally:
        for connection in connections:
            await connection.close()
    assert sum(made) == 11
    assert names == ["events_p1"] * 4


# -- catalog ----------------------------------------------------------------------------------------------------------------


async def test_every_table_and_column_has_a_phrase_and_a_class(owner: Any) -> None:
    silent = await owner.fetch("""
        select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
         where c.relnamespace = 'qs'::regnamespace and c.relkind in ('r', 'p', 'v') and not c.relispartition
           and a.attnum > 0 and not a.attisdropped
           and (col_description(c.oid, a.attnum) is null or obj_description(c.oid, 'pg_class') is null)""")
    assert silent == []
    tables = """select relname::text from pg_class where relnamespace = 'qs'::regnamespace and relkind in ('r', 'p')
                   and not relispartition"""
    assert await owner.fetch(f"{tables} except select table_name from table_classes") == []
    assert await owner.fetch(f"select table_name from table_classes except {tables}") == []
    assert (
        await owner.fetchval("""
        select count(*) from pg_proc where pronamespace = 'qs'::regnamespace
           and obj_description(oid, 'pg_proc') is null""")
        == 0
    )


async def test_everything_belongs_to_the_owner_and_definers_fix_their_path(owner: Any) -> None:
    foreign = await owner.fetch("""
        select relname from pg_class where relnamespace = 'qs'::regnamespace and relowner <> 'qs_owner'::regrole
        union select proname from pg_proc where pronamespace = 'qs'::regnamespace and proowner <> 'qs_owner'::regrole""")
    assert foreign == []
    open_paths = await owner.fetch("""
        select proname from pg_proc where pronamespace = 'qs'::regnamespace and prosecdef
           and not coalesce(proconfig::text, '') like '%search_path=%'""")
    assert open_paths == []
    public = await owner.fetch("""
        select proname from pg_proc where pronamespace = 'qs'::regnamespace
           and has_function_privilege('public', oid, 'EXECUTE')""")
    assert public == []


async def test_ids_made_by_the_database_are_uuid_7(owner: Any) -> None:
    made = [await owner.fetchval("select uuid7()") for _ in range(3)]
    assert [(u.version, u.variant) for u in made] == [(7, uuid.RFC_4122)] * 3
    age = datetime.now(UTC) - datetime.fromtimestamp((made[0].int >> 80) / 1000, UTC)
    assert abs(age) < timedelta(minutes=10)


async def test_a_forgotten_comment_stops_a_migration(owner: Any) -> None:
    async with owner.transaction():
        await owner.execute("create table half (one int, two int)")
        message = await refused(owner, "P0001", "select describe('half', 'A table', 'one | first')")
        assert message == "describe half: no phrase for two"
        assert "cannot read" in await refused(owner, "P0001", "select describe('half', 'A table', 'one first')")
        await owner.execute("drop table half")
