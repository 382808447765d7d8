"""Profiles of series: chosen when a table is made, recorded, the same for every reader, and changed by convert alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest

from db.connect import connect
from db.convert import EMBEDDINGS, ConvertError, convert, plan, survey
from db.embedded import EmbeddedServer
from db.migrate import migrate
from db.ticks import TickRow, TickWriter

SUPERUSER = "quantsail"
T0 = 1_735_689_600_000_000  # 2025-01-01T00:00:00Z
DAY_US = 86_400_000_000
SERIES = {"ticks", "order_books", "wallet_scores", "wallet_events", "market_bias", "candles_1m", "equity_snapshots"}


def run(dsn: str, *statements: str) -> list[Any]:
    """As the superuser; the rows of the last statement."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements[:-1]:
            connection.execute(statement)
        cursor = connection.execute(statements[-1])
        return cursor.fetchall() if cursor.description else []


@pytest.fixture(params=["pg_server", "pg15_server"])
def database_of(request: pytest.FixtureRequest) -> Iterator[tuple[EmbeddedServer, str]]:
    """A server, and a database on it as the embedded program makes it."""
    server: EmbeddedServer = request.getfixturevalue(request.param)
    name = f"profiles_{request.param}"
    server.create_database(name)
    yield server, name
    run(server.dsn("postgres", SUPERUSER), f'drop database "{name}" with (force)')


@pytest.fixture
async def owner(database_of: tuple[EmbeddedServer, str]) -> AsyncIterator[Any]:
    server, name = database_of
    await migrate(server.dsn(name, "qs_admin"))
    connection = await connect(server.dsn(name, "qs_admin"), "qs_owner")
    yield connection
    await connection.close()


@pytest.fixture
def with_partman(database_of: tuple[EmbeddedServer, str]) -> tuple[EmbeddedServer, str]:
    """The same database with pg_partman, as an administrator would hand it over. Skips where the server lacks it."""
    server, name = database_of
    dsn = server.dsn(name, SUPERUSER)
    if not run(dsn, "select 1 from pg_available_extensions where name = 'pg_partman'"):
        pytest.skip("pg_partman is not installed on this server")
    run(
        dsn,
        "create schema partman",
        "create extension pg_partman schema partman",
        "grant usage, create on schema partman to qs_owner",
        "grant all on all tables in schema partman to qs_owner",
        "grant execute on all functions in schema partman to qs_owner",
        "grant execute on all procedures in schema partman to qs_owner",
    )
    return server, name


async def write_ticks(dsn: str, days: range) -> None:
    conn = await connect(dsn)
    rows = [
        TickRow(
            exchange="binance",
            symbol="BTC/USDT",
            ts=T0 + day * DAY_US,
            received_ts=T0,
            bid=1000.0 + day,
            ask=1001.0 + day,
        )
        for day in days
    ]
    assert await TickWriter(conn).write(rows) == len(rows)
    await conn.close()


async def facts(conn: Any, table: str) -> dict[str, Any]:
    """What a reader, a writer or a check could notice of a table, partitions aside."""
    columns = "select attname, format_type(atttypid, atttypmod), attnotnull, col_description(attrelid, attnum) from pg_attribute"
    return {
        "columns": await conn.fetch(
            f"{columns} where attrelid = 'qs.{table}'::regclass and attnum > 0 order by attnum"
        ),
        "keys": await conn.fetch(
            f"select conname, pg_get_constraintdef(oid) from pg_constraint where conrelid = 'qs.{table}'::regclass order by 1"
        ),
        "indexes": await conn.fetch(
            f"select indexrelid::regclass::text, pg_get_indexdef(indexrelid) from pg_index"
            f" where indrelid = 'qs.{table}'::regclass order by 1"
        ),
        "grants": await conn.fetchval(
            "select array_agg(distinct a.grantee::regrole || ' ' || a.privilege_type) from pg_class c, aclexplode(c.relacl) a"
            f" where c.oid = 'qs.{table}'::regclass"
        ),
        "comment": await conn.fetchval(f"select obj_description('qs.{table}'::regclass, 'pg_class')"),
    }


async def test_every_series_says_how_it_is_kept(owner: Any) -> None:
    found = {item.name: item for item in await survey(owner)}
    assert found.keys() == SERIES | {EMBEDDINGS}
    assert {item.now for name, item in found.items() if name != EMBEDDINGS} == {"NATIVE"}
    recorded = {r["name"]: r["value"] for r in await owner.fetch("select name, value from capability")}
    assert recorded["SERIES:ticks"] == "NATIVE"
    assert recorded["EMBEDDINGS"] == found[EMBEDDINGS].now


async def test_vectors_where_the_server_has_them_and_the_same_reader(
    owner: Any, database_of: tuple[EmbeddedServer, str]
) -> None:
    server, name = database_of
    has = await owner.fetchval("select count(*) from pg_available_extensions where name = 'vector'")
    found = {item.name: item for item in await survey(owner)}[EMBEDDINGS]
    assert found.now == found.best == ("VECTOR" if has else "ARRAY")
    numbers = [float(n % 7) for n in range(768)]
    # The text of a vector and of an array differ in their brackets only.
    text = ("[{}]" if has else "{{{}}}").format(",".join(map(str, numbers)))
    await owner.execute(
        f"insert into wallet_event_analyses(event_id, event_ts, embedding) values(uuid7(), now(), '{text}')"
    )
    assert await owner.fetchval("select embedding::real[] from wallet_event_analyses") == numbers
    if not has:
        with pytest.raises(ConvertError, match="let an administrator run CREATE EXTENSION vector"):
            await convert(server.dsn(name, "qs_admin"), EMBEDDINGS, "VECTOR")
        return
    for wanted in ("ARRAY", "VECTOR"):
        item, became, rows = await convert(server.dsn(name, "qs_admin"), EMBEDDINGS, wanted)
        assert (became, rows) == (wanted, 1) and item.now != wanted
        assert await owner.fetchval("select embedding::real[] from wallet_event_analyses") == numbers
        assert await owner.fetchval("select value from capability where name = 'EMBEDDINGS'") == wanted
        short = "[1,2]" if wanted == "VECTOR" else "{1,2}"
        with pytest.raises(Exception, match=r"expected 768 dimensions|violates check constraint"):
            await owner.execute(
                f"insert into wallet_event_analyses(event_id, event_ts, embedding) values(uuid7(), now(), '{short}')"
            )


async def test_a_table_is_made_anew_with_everything_that_it_had(
    owner: Any, database_of: tuple[EmbeddedServer, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way of every conversion, on a server without other profiles: native to native."""
    server, name = database_of
    dsn = server.dsn(name, "qs_admin")
    await write_ticks(server.dsn(name), range(-3, 4))
    before = await facts(owner, "ticks")
    rows = await owner.fetch("select * from ticks order by ts")
    # Told that it is something else, so that there is something to convert.
    await owner.execute("update series set profile = 'TIMESCALE' where table_name = 'ticks'")
    moved: list[tuple[int, int]] = []
    item, became, count = await convert(dsn, "ticks", "NATIVE", lambda done, total: moved.append((done, total)))
    assert (item.now, became, count) == ("TIMESCALE", "NATIVE", 7)
    assert moved == [(n, 7) for n in range(1, 8)]
    assert await facts(owner, "ticks") == before
    assert await owner.fetch("select * from ticks order by ts") == rows
    assert await owner.fetchval("select to_regclass('qs.ticks_old')") is None
    await write_ticks(server.dsn(name), range(10, 12))
    await convert_back_and_forth(owner, dsn, "wallet_events")


async def convert_back_and_forth(owner: Any, dsn: str, table: str) -> None:
    before = await facts(owner, table)
    await owner.execute("update series set profile = 'TIMESCALE' where table_name = $1", table)
    await convert(dsn, table, "NATIVE")
    assert await facts(owner, table) == before


async def test_what_cannot_be_is_refused_in_one_line(owner: Any, database_of: tuple[EmbeddedServer, str]) -> None:
    server, name = database_of
    dsn = server.dsn(name, "qs_admin")
    for table, wanted, why in (
        ("candles_1m", "TIMESCALE", "stays NATIVE: it is a partition of candles"),
        ("equity_snapshots", "PARTMAN", "stays NATIVE: it carries row security"),
        ("orders", "NATIVE", "has no profile: choose one of"),
        ("ticks", "CITUS", "is no profile of ticks"),
        ("ticks; drop table qs.ticks", "", "has no profile"),
        ("ticks", "TIMESCALE", "CREATE EXTENSION timescaledb"),
    ):
        for attempt in (plan, convert):
            with pytest.raises(ConvertError, match=why) as caught:
                await attempt(dsn, table, wanted)
            assert "\n" not in str(caught.value)
    assert (await convert(dsn, "ticks"))[1:] == ("NATIVE", 0)


async def test_partman_keeps_the_tables_where_it_is_there_first(with_partman: tuple[EmbeddedServer, str]) -> None:
    server, name = with_partman
    await migrate(server.dsn(name, "qs_admin"))
    conn = await connect(server.dsn(name, "qs_admin"), "qs_owner")
    profiles = {r["table_name"]: r["profile"] for r in await conn.fetch("select table_name, profile from series")}
    assert profiles.pop("candles_1m") == profiles.pop("equity_snapshots") == "NATIVE"
    assert set(profiles.values()) == {"PARTMAN"}
    managed = {r[0] for r in await conn.fetch("select parent_table from partman.part_config")}
    assert managed == {f"qs.{table}" for table in profiles}
    await write_ticks(server.dsn(name), range(-400, 3, 100))  # the past, and the future, as the data is
    assert await conn.fetchval("select count(*) from ticks") == 5
    back, became, rows = await convert(server.dsn(name, "qs_admin"), "ticks", "NATIVE")
    assert (back.now, became, rows) == ("PARTMAN", "NATIVE", 5)
    assert await conn.fetchval("select count(*) from partman.part_config where parent_table = 'qs.ticks'") == 0
    await conn.close()


async def test_a_native_table_is_handed_over_to_partman(with_partman: tuple[EmbeddedServer, str]) -> None:
    server, name = with_partman
    run(server.dsn(name, SUPERUSER), "revoke usage on schema partman from qs_owner")
    await migrate(server.dsn(name, "qs_admin"))  # closed to us: as if it were not there
    await write_ticks(server.dsn(name), range(0, 5))
    conn = await connect(server.dsn(name, "qs_admin"), "qs_owner")
    assert {item.now for item in await survey(conn) if item.name != EMBEDDINGS} == {"NATIVE"}
    before = await facts(conn, "ticks")
    run(server.dsn(name, SUPERUSER), "grant usage on schema partman to qs_owner")
    assert (await plan(server.dsn(name, "qs_admin"), "ticks"))[1:] == ("PARTMAN", 5)
    _, became, rows = await convert(server.dsn(name, "qs_admin"), "ticks")
    assert (became, rows) == ("PARTMAN", 5)
    assert await facts(conn, "ticks") == before
    await write_ticks(server.dsn(name), range(20, 22))
    assert await conn.fetchval("select count(*) from ticks") == 7
    await conn.close()
