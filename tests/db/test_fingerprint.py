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
from tests.db.forgeries import FORGERIES
from tests.servers import AsSuperuser


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
    for what, (statement, expected) in FORGERIES.items():
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


async def test_names_that_would_hide_each_other_are_a_change(conn: Any) -> None:
    await conn.execute('create table qs."a.b" (c int); create table qs.a ("b.c" int)')
    with pytest.raises(SchemaChanged, match=r"two parts of the catalog are called column a\.b\.c"):
        await check(conn)


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
    owner = await admin.fetchval("select pg_get_userbyid(datdba) from pg_database where datname = current_database()")
    await admin.execute(f"create role {login} login; alter database {database_name(database)} owner to {login}")
    try:
        await migrate(as_login(database, login))
        report = await check(admin)
        assert " REDUCED " in report.variant and report.basis == "file" and report.changed == ()
        report = await inside(admin, "grant update on qs.fills to public")
        assert report.differences == ("privileges of PUBLIC on fills: not part of the schema (UPDATE)",)
    finally:
        await admin.execute(
            f"drop owned by {login} cascade; alter database {database_name(database)} owner to {owner};"
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
