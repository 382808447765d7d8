"""The catalog fingerprint: the committed file is what migrations make, and whatever is changed by hand is named."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from db import fingerprint
from db.check import CheckReport, check, check_start, warnings
from db.embedded import EmbeddedServer
from db.fingerprint import FILE, FingerprintError, Known, SchemaChanged, compare, differences, known, snapshot
from db.measure import as_login, measure, to_file
from db.migrate import migrate
from migrations import head, read_sql
from tests.servers import AsSuperuser

VICTIMS = {
    "a disabled trigger": (
        "alter table qs.fills disable trigger append_only",
        "trigger append_only on fills: enabled ALWAYS -> disabled",
    ),
    "a guard that replicas pass": (
        "alter table qs.audit_logs enable trigger append_only",
        "trigger append_only on audit_logs: enabled ALWAYS -> enabled",
    ),
    "a dropped trigger": ("drop trigger append_only on qs.fills", "trigger append_only on fills: gone"),
    "an extra trigger": (
        "create trigger mine before insert on qs.fills for each row execute function qs.touch()",
        "trigger mine on fills: not part of the schema",
    ),
    "a dropped check": (
        "alter table qs.portfolios drop constraint portfolios_initial_balance_check",
        "constraint portfolios_initial_balance_check on portfolios: gone",
    ),
    "a check that old rows pass": (
        "alter table qs.signals drop constraint signals_side_check;"
        " alter table qs.signals add constraint signals_side_check check (side in ('BUY', 'SELL')) not valid",
        "constraint signals_side_check on signals: valid -> not valid",
    ),
    "a foreign key that is not enforced": (
        "alter table qs.fills disable trigger all; alter table qs.fills enable always trigger append_only;"
        " alter table qs.fills enable always trigger append_only_truncate",
        "constraint fills_order_id_fkey on fills: enforced -> enforcement disabled",
    ),
    "another predicate of a partial index": (
        "drop index qs.bot_config_one_active;"
        " create unique index bot_config_one_active on qs.bot_config_versions (is_active) where not is_active",
        "index bot_config_one_active on bot_config_versions: CREATE UNIQUE INDEX",
    ),
    "an invalid index": (
        "update pg_index set indisvalid = false where indexrelid = 'qs.fills_symbol'::regclass",
        "index fills_symbol on fills: valid -> invalid",
    ),
    "a granted privilege": (
        "grant update on qs.fills to qs_engine",
        "privileges of qs_engine on fills: INSERT, SELECT -> INSERT, SELECT, UPDATE",
    ),
    "a privilege of everyone": (
        "grant select on qs.exchange_credentials to public",
        "privileges of PUBLIC on exchange_credentials: not part of the schema (SELECT)",
    ),
    "a privilege on one column": (
        "grant update (price) on qs.fills to qs_engine",
        "privileges of qs_engine on fills.price: not part of the schema (UPDATE)",
    ),
    "a revoked privilege": ("revoke select on qs.orders from qs_view", "privileges of qs_view on orders: gone"),
    "a replaced function": (
        "create or replace function qs.append_only() returns trigger language plpgsql"
        " set search_path = pg_catalog, pg_temp as $$ begin return new; end $$",
        "function append_only(): body ",
    ),
    "a function with a search path of its own": (
        "alter function qs.append_only() reset search_path",
        "function append_only(): with search_path=pg_catalog, pg_temp -> with no settings",
    ),
    "a privilege on a function": (
        "grant execute on function qs.empty_projections() to qs_engine",
        "privileges of qs_engine on function empty_projections(): not part of the schema (EXECUTE)",
    ),
    "a rule that swallows rows": (
        "create rule lost as on insert to qs.orders do instead nothing",
        "rule lost on orders: not part of the schema",
    ),
    "an operator that is found first": (
        "create operator qs.= (leftarg = text, rightarg = text, function = pg_catalog.textne)",
        "operator =(text, text): not part of the schema",
    ),
    "another default": (
        "alter table qs.exchange_credentials alter permissions set default '{READ,WITHDRAW}'",
        "column exchange_credentials.permissions: default '{READ}'::text[] -> default '{READ,WITHDRAW}'::text[]",
    ),
    "a column that may be null": (
        "alter table qs.fills alter price drop not null",
        "column fills.price: not null -> null",
    ),
    "another type": (
        "alter table qs.capability alter detail type varchar(200)",
        "column capability.detail: text -> character varying(200)",
    ),
    "an extra column": (
        "alter table qs.orders add hidden text",
        "column orders.hidden: not part of the schema",
    ),
    "an extra table": ("create table qs.mine (a int)", "table mine: not part of the schema"),
    "another owner": (
        "create role mallory; alter table qs.fills owner to mallory",
        "table fills: owner of qs -> owner mallory",
    ),
    "a table that loses rows in a crash": (
        "alter table qs.snapshots set unlogged",
        "table snapshots: ",
    ),
    "a table without a class": (
        "delete from qs.table_classes where table_name = 'fills'",
        "table fills has no class",
    ),
    "a class without a table": (
        "insert into qs.table_classes values ('ghosts', 'QUEUE', 'nobody')",
        "class of ghosts, which is no table",
    ),
    "a role above row security": (
        "alter role qs_engine bypassrls",
        "role qs_engine: under row security -> bypasses row security",
    ),
    "an engine that is the owner": (
        "grant qs_owner to qs_engine",
        "role qs_engine: member of none -> member of qs_owner",
    ),
    "privileges of tables to come": (
        "alter default privileges for role qs_owner in schema qs grant all on tables to public",
        "default privileges of qs_owner in qs, r: not part of the schema",
    ),
    "a schema that changes hands": (
        "create role mallory; grant create on database {database} to mallory; alter schema qs owner to mallory",
        "role profile: FULL -> REDUCED",
    ),
    "a dropped policy": ("drop policy mine on qs.fills", "policy mine on fills: gone"),
    "a policy that lets everyone see": (
        "alter policy mine on qs.fills using (true)",
        "policy mine on fills: using (user_id = ",
    ),
    "a policy for others": (
        "alter policy everyones on qs.fills to public",
        "policy everyones on fills: to qs_engine, qs_owner -> to PUBLIC",
    ),
    "row security that the owner passes": (
        "alter table qs.orders no force row level security",
        "table orders: forced -> not forced",
    ),
    "no row security": (
        "alter table qs.orders disable row level security",
        "table orders: row security on -> row security off",
    ),
    "a partition with a disabled trigger": (
        "alter table qs.events_p0 disable trigger append_only",
        "partition events_p0 of events: trigger append_only: enabled ALWAYS -> disabled",
    ),
    "a partition without its truncate guard": (
        "drop trigger append_only_truncate on qs.events_p0",
        "partition events_p0 of events: trigger append_only_truncate is gone",
    ),
    "a partition with a trigger of its own": (
        "create trigger mine before insert on qs.events_p0 for each row execute function qs.touch()",
        "partition events_p0 of events: trigger mine is not part of the schema",
    ),
    "a way around the parent": (
        "grant update on qs.events_p0 to qs_engine",
        "partition events_p0 of events: qs_engine has UPDATE on it directly",
    ),
    "a partition of somebody else": (
        "create role mallory; alter table qs.events_p0 owner to mallory",
        "partition events_p0 of events: belongs to mallory",
    ),
    "a partition with a rule": (
        "create rule lost as on insert to qs.events_p0 do instead nothing",
        "partition events_p0 of events: rule lost is not part of the schema",
    ),
    "a partition without its check": (
        "delete from pg_constraint where conrelid = 'qs.events_p0'::regclass and conname = 'events_level_check'",
        "partition events_p0 of events: constraint events_level_check is gone",
    ),
    "a partition without a valid index": (
        "update pg_index set indisvalid = false where indexrelid = 'qs.events_p0_pkey'::regclass",
        "partition events_p0 of events: index events_pkey has no valid counterpart",
    ),
    "a table that hangs below another": (
        "create table public.extra () inherits (qs.orders)",
        "partition extra of orders: is a table of schema public",
    ),
    "a table that was taken out": (
        "alter table qs.events detach partition qs.events_p0",
        "table events_p0: not part of the schema",
    ),
}


@pytest.fixture
async def conn(migrated: str, as_superuser: AsSuperuser) -> AsyncIterator[Any]:
    """A superuser's connection to a migrated database."""
    connection = await asyncpg.connect(as_superuser(migrated))
    yield connection
    await connection.close()


async def inside(conn: Any, statement: str) -> CheckReport:
    """What `check` says after a statement, which is then undone: roles belong to the whole server."""
    transaction = conn.transaction()
    await transaction.start()
    try:
        await conn.execute(statement.replace("{database}", await conn.fetchval("select current_database()")))
        return await check(conn)
    finally:
        await transaction.rollback()


async def test_what_migrations_make_is_what_the_file_says(conn: Any) -> None:
    report = await check(conn)
    assert report.changed == () and report.ok and report.basis == "file" and report.note == ""
    assert report.sha256 == fingerprint.digest(await snapshot(conn))
    assert report.sha256[:16] in report.text


async def test_the_same_on_15(migrated15: str) -> None:
    conn = await asyncpg.connect(migrated15)
    try:
        report = await check(conn)
        assert report.variant.startswith("15 FULL") and report.changed == () and report.basis == "file"
        changed = await inside(conn, "alter table qs.fills disable trigger append_only")
        assert changed.differences == ("trigger append_only on fills: enabled ALWAYS -> disabled",)
    finally:
        await conn.close()


def test_the_file_is_what_would_be_written(pg_server: EmbeddedServer) -> None:
    """Both role profiles of this server, put into layers, give the parts that the file gives."""
    found = measure(pg_server)
    file = known()
    assert file.revision == head()
    for variant, parts in found.items():
        assert variant in file.variants
        assert differences(file.parts_of(variant), parts) == (), "run `python -m db.measure`"
    again = json.loads(to_file(found))
    mine = Known(again["revision"], tuple(again["variants"]), again["layers"])
    assert all(mine.parts_of(variant) == parts for variant, parts in found.items())


async def test_every_kind_of_forgery_is_named_in_one_line(conn: Any) -> None:
    for what, (statement, expected) in VICTIMS.items():
        report = await inside(conn, statement)
        assert any(line.startswith(expected) for line in report.changed), (what, report.changed)
        assert not report.ok and all("\n" not in line for line in report.changed)
    assert (await check(conn)).ok  # and all of it was undone


async def test_a_view_that_was_changed(conn: Any) -> None:
    view = await conn.fetchval(
        "select format('%I.%I', schemaname, viewname) from pg_views where schemaname = 'apextrade' order by 1 limit 1"
    )
    if view is None:
        pytest.skip("there are no contract views yet")
    definition = (await conn.fetchval("select pg_get_viewdef($1::text::regclass)", view)).rstrip("; \n")
    report = await inside(conn, f"create or replace view {view} as select * from ({definition}) x where false")
    assert any(line.startswith(f"definition of {view}: ") for line in report.changed), report.changed
    report = await inside(conn, f"alter view {view} reset (security_invoker)")
    assert any(line.startswith(f"view {view}: options security_invoker") for line in report.changed), report.changed


async def test_data_and_partitions_are_no_change(conn: Any) -> None:
    before = await snapshot(conn)
    await conn.execute("select qs.ensure_candle_partitions('2020-01-01', '2020-03-01')")
    await conn.execute("select qs.ensure_equity_partitions('2020-01-01', '2020-03-01')")
    await conn.execute("select qs.ensure_event_partition(12000000)")
    await conn.execute("analyze; alter table qs.orders set (autovacuum_vacuum_scale_factor = 0.01)")
    assert await snapshot(conn) == before and (await check(conn)).ok


async def test_settings_of_the_caller_neither_matter_nor_suffer(conn: Any) -> None:
    before = await snapshot(conn)
    await conn.execute("set search_path = public; set timezone = 'Asia/Tokyo'; set datestyle = 'German'")
    async with conn.transaction():
        assert await snapshot(conn) == before
        for name, value in (("search_path", "public"), ("timezone", "Asia/Tokyo"), ("datestyle", "German, DMY")):
            assert await conn.fetchval(f"show {name}") == value


async def test_an_operator_in_front_does_not_blind_the_check(conn: Any) -> None:
    """With search_path = qs, a superuser's = on names would answer the check's own questions."""
    await conn.execute("set search_path = qs, pg_catalog")
    report = await inside(
        conn,
        "create function qs.never(name, name) returns boolean language sql as 'select false';"
        " create operator qs.= (leftarg = name, rightarg = name, function = qs.never);"
        " alter table qs.events_p0 disable trigger append_only",
    )
    assert "partition events_p0 of events: trigger append_only: enabled ALWAYS -> disabled" in report.changed


async def test_a_hostile_name_is_printed_harmlessly(conn: Any) -> None:
    report = await inside(conn, 'create table qs."a\x1b]0;owned\x07\nb" ()')
    (line,) = (line for line in report.differences if line.startswith("table a"))
    assert line.isprintable()


def without(file: Known, word: str) -> Known:
    """The file as if nobody had measured a word."""
    left = tuple(v for v in file.variants if word not in v.split())
    return Known(file.revision, left, {k: v for k, v in file.layers.items() if word not in k.split()})


async def test_an_unmeasured_server_is_compared_with_the_record_and_says_so(
    conn: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two measured majors: its own parts by the record, what all agree on by the file."""
    file = without(known(), "UUID7=SERVER")
    file = Known(file.revision, (*file.variants, "99 FULL"), file.layers | {"99": {"function uuid7()": "another"}})
    monkeypatch.setattr(fingerprint, "known", lambda: file)
    report = await check(conn)
    if "UUID7=SERVER" not in report.variant:
        pytest.skip("this server has no uuidv7()")
    assert (
        report.ok and report.basis == "record" and "nobody has measured 18, UUID7=SERVER: compared with" in report.text
    )
    replaced = "create or replace function qs.uuid7() returns uuid language sql as 'select gen_random_uuid()'"
    assert "function uuid7()" in (await inside(conn, replaced)).differences[0]
    forged = 'grant update on qs.fills to qs_engine; update qs.catalog_records set parts = \'{"x": "y"}\''
    lines = (await inside(conn, forged)).differences
    assert "x: gone" in lines and any(line.startswith("privileges of qs_engine on fills: ") for line in lines)
    await conn.execute("delete from qs.catalog_records")
    report = await check(conn)
    assert report.ok and "nobody has measured 18, UUID7=SERVER: 1 parts were not" in report.text
    await fingerprint.record(conn)
    assert "compared with what the migration recorded" in (await check(conn)).text


async def test_a_major_beyond_those_measured_needs_the_record(conn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    major = (await check(conn)).variant.split()[0]
    file = without(known(), major)
    if file.between(int(major)):
        pytest.skip("a newer major was measured, too")
    monkeypatch.setattr(fingerprint, "known", lambda: file)
    assert (await check(conn)).ok
    await conn.execute("delete from qs.catalog_records")
    with pytest.raises(FingerprintError, match="nobody has measured"):
        await compare(conn)


async def test_a_database_that_moved_to_another_major_needs_no_record(conn: Any) -> None:
    """Restored from a 15: its uuid7() is still our own, and the file knows both words."""
    own = re.findall(
        r"execute \$f\$create (function qs\.uuid7\(\).*?)\$f\$", read_sql("0001_foundation.sql"), re.DOTALL
    )[1]
    await conn.execute("delete from qs.catalog_records; update qs.capability set value = 'OWN' where name = 'UUID7'")
    assert [line.split(":")[0] for line in (await check(conn)).differences] in (["function uuid7()"], [])
    await conn.execute(f"create or replace {own}")
    report = await check(conn)
    assert report.ok and report.basis == "file" and "UUID7=OWN" in report.variant


async def test_another_revision_is_not_compared(conn: Any) -> None:
    await conn.execute("update qs.alembic_version set version_num = '0001'")
    with pytest.raises(FingerprintError, match=r"at 0001, this program knows how .*db migrate"):
        await compare(conn)


async def test_no_schema_is_not_compared(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        with pytest.raises(FingerprintError, match="at nothing"):
            await compare(connection)
    finally:
        await connection.close()


async def test_a_start_with_money_fails_closed_and_others_are_told(conn: Any, migrated: str) -> None:
    assert await check_start(migrated, live=True) == ()
    await conn.execute("alter table qs.fills disable trigger append_only")
    with pytest.raises(SchemaChanged, match="append_only on fills: enabled ALWAYS -> disabled"):
        await check_start(migrated, live=True)
    (said,) = await check_start(migrated, live=False)
    assert "trigger append_only on fills" in said
    await conn.execute("update qs.alembic_version set version_num = '0001'")
    with pytest.raises(FingerprintError, match="db migrate"):
        await check_start(migrated, live=True)
    assert len(await check_start(migrated, live=False)) == 1


async def test_partitions_that_run_out_are_a_warning_for_live_feeds_only(conn: Any) -> None:
    for feed, wanted in (("simulate:1", False), ("live:binance", True)):
        transaction = conn.transaction()
        await transaction.start()
        await conn.execute(
            "with u as (insert into qs.users (email) values ('a@b.c') returning id) insert into qs.ledger"
            f" select true, 'x', id, 'PAPER', '{feed}', null, 'USDT', now() from u"
        )
        said = await warnings(conn)
        assert any(line.startswith("candles_1m has 0 of 2 partitions ready ahead") for line in said) is wanted
        await conn.execute("select qs.ensure_partitions('candles_1m', now(), now() + interval '3 weeks')")
        assert not any(line.startswith("candles_1m") for line in await warnings(conn))
        await transaction.rollback()


async def test_the_reduced_profile_has_a_fingerprint_too(
    pg_server: EmbeddedServer, database: str, as_superuser: AsSuperuser
) -> None:
    database = as_superuser(database)
    admin = await asyncpg.connect(database)
    login = f"plain_{await admin.fetchval('select current_database()')}"
    await admin.execute(f"create role {login} login; alter database {database_name(database)} owner to {login}")
    try:
        await migrate(as_login(database, login))
        report = await check(admin)
        assert " REDUCED " in report.variant and report.basis == "file" and report.changed == ()
        report = await inside(admin, "grant update on qs.fills to public")
        assert report.differences == ("privileges of PUBLIC on fills: not part of the schema (UPDATE)",)
    finally:
        await admin.execute(
            f"drop owned by {login} cascade; alter database {database_name(database)} owner to current_user;"
            f" drop role {login}"
        )
        await admin.close()


def database_name(dsn: str) -> str:
    return dsn.split("/")[3].split("?")[0]


def test_a_damaged_file_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / FILE.name
    damaged.write_text('{"revision": "0001"}')
    monkeypatch.setattr(fingerprint, "FILE", damaged)
    known.cache_clear()
    try:
        with pytest.raises(FingerprintError, match=r"fingerprints\.json: install quantsail again"):
            known()
    finally:
        known.cache_clear()
