"""The five contracts: every column of the documents is there with its type, in order, readable, filled, and read-only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from db.connect import OPERATOR, Role, connect
from db.contracts import SCHEMAS, exceptions, names, views
from tests.db import seed_documents
from tests.db.contract_rows import fill_everything
from tests.servers import Databases

ROLES: tuple[Role, ...] = ("qs_owner", "qs_engine", "qs_app", "qs_view")
VIEWS = tuple(f"{view.schema}.{view.name}" for view in views())
documents = pytest.mark.skipif(
    not seed_documents.SEEDS.is_dir(), reason="the five documents are not beside the project"
)

#: Types that are not those of the documents, on purpose (decisions: hashes and addresses are unbounded).
DEVIATIONS = {
    "wallet_following.wallets.address",
    "wallet_following.events.tx_hash",
    "wallet_following.event_analysis.embedding",
}
#: Not permitted, not a table, not an updatable view: which one depends on the statement and the view.
REFUSED = ("42501", "42809", "0A000", "55000")
SECRETS = {
    "quantsail_v7.exchange_keys": ["ciphertext", "nonce"],
    "wallet_following.users": ["password_hash", "two_fa_secret"],
    "trading_platform.users": ["password_hash"],
    "trading_platform.active_users": ["password_hash"],
    "trading_platform.api_connections": ["api_key_encrypted", "api_secret_encrypted", "passphrase_encrypted"],
    "trading_platform.database_configs": ["password_encrypted"],
    "apextrade.users": ["password_hash", "mfa_secret"],
    "apextrade.api_keys": ["api_key_encrypted", "api_secret_encrypted", "passphrase_encrypted"],
}


@pytest.fixture(scope="module", params=["databases", "databases15"])
def filled(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database in which the engine ran and every documented writer wrote; also on 15."""
    databases: Databases = request.getfixturevalue(request.param)
    with databases.migrated() as uri:
        asyncio.run(fill_everything(uri))
        yield uri


@pytest_asyncio.fixture
async def engine(filled: str) -> AsyncIterator[Any]:
    connection = await connect(filled, "qs_engine")
    yield connection
    await connection.close()


# -- names and types ----------------------------------------------------------------------------------------------------


@documents
def test_the_documents_have_720_columns_and_the_table_of_names_has_them_all() -> None:
    found = [(f"{n:03d}", one) for n in range(5) for one in seed_documents.read(n)]
    assert sum(one.kind == "column" for _, one in found) == 720
    assert len({(seed, one.table) for seed, one in found if one.kind == "column"}) == 56
    listed = [(name.seed, (name.table, name.column, name.seed_type, name.kind)) for name in names()]
    assert listed == [(seed, tuple(one)) for seed, one in found]


@documents
def test_the_table_of_names_is_up_to_date() -> None:
    assert list(names()) == seed_documents.merge(), "run python -m tests.db.seed_documents"


def test_the_table_of_names_has_720_columns() -> None:
    counts = {
        seed: sum(n.seed == seed and n.kind == "column" for n in names())
        for seed in ["000", "001", "002", "003", "004"]
    }
    assert counts == {"000": 69, "001": 63, "002": 116, "003": 252, "004": 220}
    assert sum(counts.values()) == 720


def test_types_are_those_of_the_documents() -> None:
    differ = {
        f"{n.schema}.{n.table}.{n.column}"
        for n in names()
        if n.seed_type != "query" and seed_documents.sql_type(n.seed_type) != n.sql_type
    }
    assert differ == DEVIATIONS


def test_every_column_comes_from_a_canonical_one_unless_it_is_secret() -> None:
    secrets = {f"{view}.{column}" for view, columns in SECRETS.items() for column in columns}
    assert {f"{n.schema}.{n.table}.{n.column}" for n in names() if n.origin == "secret"} == secrets
    assert not [n for n in names() if not n.origin]


async def test_the_catalog_has_these_columns_in_this_order(engine: Any) -> None:
    rows = await engine.fetch(
        """select n.nspname, c.relname, a.attname,
                  regexp_replace(format_type(a.atttypid, a.atttypmod), '^.*vector\\(768\\)$', 'real[]')
             from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
            where n.nspname = any ($1::text[]) and a.attnum > 0 order by n.nspname, c.relname, a.attnum""",
        SCHEMAS,
    )
    listed = [(n.schema, n.table, n.position, n.column, n.sql_type) for n in names()]
    assert [tuple(row) for row in rows] == [(s, t, c, k) for s, t, _, c, k in sorted(listed)]
    position = await engine.fetch(
        """select table_schema, table_name, ordinal_position::int, column_name from information_schema.columns
            where table_schema = any ($1::text[])""",
        SCHEMAS,
    )
    assert sorted(map(tuple, position)) == sorted(one[:4] for one in listed)


async def test_origins_are_columns_of_the_catalog(engine: Any) -> None:
    rows = await engine.fetch(
        """select c.relname || '.' || a.attname from pg_attribute a join pg_class c on c.oid = a.attrelid
            where c.relnamespace = 'qs'::regnamespace and a.attnum > 0 and not a.attisdropped"""
    )
    known = {row[0] for row in rows} | {"secret"}
    assert not {origin for n in names() for origin in n.origin.split(", ")} - known


async def test_views_and_columns_are_commented(engine: Any) -> None:
    bare = await engine.fetch(
        """select c.oid::regclass::text, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
            where c.relnamespace = any ($1::text[]::regnamespace[])
              and (col_description(c.oid, a.attnum) is null or obj_description(c.oid, 'pg_class') is null)""",
        SCHEMAS,
    )
    assert [tuple(row) for row in bare] == []


# -- rights -----------------------------------------------------------------------------------------------------------------


async def test_schemas_hold_views_of_the_invoker_and_nothing_else(engine: Any) -> None:
    rows = await engine.fetch(
        """select c.oid::regclass::text as name, relkind::text, coalesce(reloptions, '{}') as options, relhastriggers,
                  pg_get_userbyid(relowner) as owner, (select count(*) from pg_rewrite r where r.ev_class = c.oid) as rules
             from pg_class c where relnamespace = any ($1::text[]::regnamespace[])""",
        SCHEMAS,
    )
    assert sorted(row["name"] for row in rows) == sorted(VIEWS)
    for row in rows:
        assert tuple(row)[1:] == ("v", ["security_invoker=true"], False, "qs_owner", 1), row["name"]


@pytest.mark.parametrize("role", ROLES)
async def test_every_column_can_be_read_and_none_written(filled: str, role: Role) -> None:
    conn = await connect(filled, role)
    try:
        for view in VIEWS:
            await conn.fetch(f"select * from {view} limit 2")
        able = await conn.fetch(
            """select v, p from unnest($1::text[]) v, unnest('{INSERT,UPDATE,DELETE,TRUNCATE,TRIGGER}'::text[]) p
                where has_table_privilege(v, p)""",
            VIEWS,
        )
        assert [tuple(row) for row in able] == []
        for sql in (
            "insert into quantsail_v7.bot_config_versions (version) values (99)",
            "update apextrade.portfolios set name = 'mine'",
            "delete from paper_api.risk_events",
            "truncate trading_platform.trades",
        ):
            with pytest.raises(asyncpg.PostgresError) as caught:
                await conn.execute(sql)
            assert caught.value.sqlstate in REFUSED, sql
    finally:
        await conn.close()


async def test_readers_have_no_right_to_secrets(filled: str) -> None:
    conn = await connect(filled, "qs_view")
    try:
        for column in ("users.password_hash", "users.mfa_ciphertext", "users.mfa_nonce", "exchange_credentials.nonce",
                       "exchange_credentials.ciphertext", "exchange_credentials.api_key_hint"):  # fmt: skip
            table, name = column.split(".")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.fetch(f"select {name} from qs.{table}")
    finally:
        await conn.close()


async def test_search_path_does_not_matter(engine: Any) -> None:
    await engine.execute("set search_path = pg_catalog")
    for view in VIEWS:
        await engine.fetch(f"select * from {view} limit 1")


# -- rows -------------------------------------------------------------------------------------------------------------------


async def _empty_columns(conn: Any) -> set[str]:
    empty = set()
    for view in views():
        name = f"{view.schema}.{view.name}"
        tests = ", ".join(f'coalesce(bool_or("{c.name}" is not null), false)' for c in view.columns)
        row = await conn.fetchrow(f"select {tests} from {name}")
        empty |= {f"{name}.{c.name}" for c, has in zip(view.columns, row, strict=True) if not has}
    return empty


async def test_every_column_is_filled_unless_it_is_secret_or_excepted(engine: Any) -> None:
    secrets = {f"{view}.{column}" for view, columns in SECRETS.items() for column in columns}
    empty = await _empty_columns(engine)
    assert sorted(empty - secrets - set(exceptions())) == []
    assert secrets <= empty
    assert sorted(set(exceptions()) - empty) == [], "no exceptions any more: take them off exceptions.tsv"
    assert not secrets & set(exceptions())


def test_exceptions_are_columns_and_have_a_reason() -> None:
    known = {f"{n.schema}.{n.table}.{n.column}" for n in names()}
    assert set(exceptions()) <= known
    assert all(len(reason) > 20 for reason in exceptions().values())


async def test_readers_see_their_own_rows_through_the_views(filled: str, engine: Any) -> None:
    """The operator sees what the engine sees, but for other people; whoever did not say who they are sees nobody's rows."""
    counts = " union all ".join(f"select '{view}', count(*) from {view}" for view in VIEWS)
    everything = {row[0]: row[1] for row in await engine.fetch(counts)}
    seen = {}
    for user in (OPERATOR, ""):
        conn = await connect(filled, "qs_view", user=user)
        seen[user] = {row[0]: row[1] for row in await conn.fetch(counts)}
        await conn.close()
    others = {view for view in VIEWS if view.endswith(("users", "audit_logs"))}
    assert {view for view in VIEWS if seen[OPERATOR][view] != everything[view]} <= others
    for view in ("quantsail_v7.trades", "paper_api.orders", "apextrade.portfolios", "trading_platform.users"):
        assert seen[OPERATOR][view] > 0
        assert seen[""][view] == 0
    assert seen[""]["apextrade.ohlcv"] == everything["apextrade.ohlcv"] > 0


@pytest.mark.parametrize(
    "index,sql",
    [
        (
            "positions_symbol|positions_opened",
            "quantsail_v7.trades where symbol = 'BTC/USDT' order by opened_at desc limit 5",
        ),
        (
            "orders_symbol|orders_created",
            "quantsail_v7.orders where symbol = 'BTC/USDT' order by created_at desc limit 5",
        ),
        ("orders_position", "quantsail_v7.orders where trade_id = '00000000-0000-0000-0000-000000000001'"),
        ("ts_idx", "quantsail_v7.equity_snapshots order by ts desc limit 5"),
        ("symbol_ts", "paper_api.market_ticks where symbol = 'BTC/USDT' order by event_at desc limit 5"),
        ("fills_symbol|fills_executed", "paper_api.fills where symbol = 'BTC/USDT' order by filled_at desc limit 5"),
        ("orders_created_utc", "wallet_following.orders order by created_at desc limit 5"),
        ("positions_opened_utc", "wallet_following.positions order by opened_at desc limit 5"),
        (
            "orders_symbol|orders_created",
            "trading_platform.orders where symbol = 'BTC/USDT' order by created_at desc limit 5",
        ),
        ("orders_created", "apextrade.trades where symbol = 'BTC/USDT' order by created_at desc limit 5"),
        ("pkey", "apextrade.ohlcv where symbol = 'BTC/USDT' and timeframe = '1m' order by time desc limit 5"),
    ],
)
async def test_the_newest_rows_are_found_by_an_index(filled: str, index: str, sql: str) -> None:
    """With row security in force. The tables are small, so the planner is told that reading all of them is no option.

    With few symbols the index by time alone serves as well as the one by symbol and time: it depends on when the tables were
    last analysed which of two the planner takes.
    """
    conn = await connect(filled, "qs_view", user=OPERATOR)
    try:
        await conn.execute("set enable_seqscan = off; set enable_sort = off; set enable_bitmapscan = off")
        plan = "\n".join(row[0] for row in await conn.fetch(f"explain select * from {sql}"))
    finally:
        await conn.close()
    assert any(name in plan for name in index.split("|")), plan
    assert "Sort" not in plan, plan
