"""Stored configs: numbered, unchanged, and refused when somebody changed them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from db import audit, configs
from db.connect import connect
from engine.core.canonical import canonical_json, sha256_hex
from engine.core.config import canonical, config_sha256, default_config
from tests.db.histories import journal_of, traded, write
from tests.servers import AsSuperuser


@pytest.fixture
async def conn(migrated: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(migrated)
    yield connection
    await connection.close()


async def store(conn: asyncpg.Connection, document: object, note: str = "") -> int:
    text = canonical_json(document)
    return await configs.new(conn, text.decode(), sha256_hex(text), "tester", note)


async def test_versions_count_from_one_and_come_back_as_they_were(conn: asyncpg.Connection) -> None:
    config = default_config()
    assert await configs.new(conn, canonical(config).decode(), config_sha256(config), "quantsail", "default") == 1
    assert await store(conn, {"bots": ["ü", 0.1, 1e-7, "1.50"]}) == 2
    assert await configs.get(conn, 1) == (config.model_dump(mode="json", by_alias=True), config_sha256(config))
    assert (await configs.get(conn, 2))[0] == {"bots": ["ü", 0.1, 1e-7, "1.50"]}
    listed = await configs.list(conn)
    assert [(c.version, c.actor, c.note, c.is_active, c.activated_ts) for c in listed] == [
        (2, "tester", "", False, None),
        (1, "quantsail", "default", False, None),
    ]
    assert await configs.active(conn) is None


async def test_an_unknown_version_is_named(conn: asyncpg.Connection) -> None:
    with pytest.raises(configs.ConfigUnknown, match="7"):
        await configs.get(conn, 7)


@pytest.mark.parametrize("text", ['{"b": 1}', '{"b":1,"a":2}', "[]", "1", "{", '{"a":"\\u0000"}', '{"a":1e300}'])
async def test_text_that_is_not_canonical_or_does_not_keep_is_refused(conn: asyncpg.Connection, text: str) -> None:
    with pytest.raises(configs.ConfigRefused):
        await configs.new(conn, text, sha256_hex(text.encode()), "tester")
    assert await configs.list(conn) == ()


async def test_another_hash_is_refused(conn: asyncpg.Connection) -> None:
    with pytest.raises(configs.ConfigRefused):
        await configs.new(conn, "{}", sha256_hex(b"[]"), "tester")


async def test_writers_at_once_get_numbers_of_their_own(migrated: str, conn: asyncpg.Connection) -> None:
    others = [await connect(migrated) for _ in range(4)]
    versions = await asyncio.gather(*(store(other, {"n": n}) for n, other in enumerate(others)))
    assert sorted(versions) == [1, 2, 3, 4]
    for other in others:
        await other.close()


@pytest.mark.parametrize(
    "change", ["config_json = '{\"a\": 2}'", "config_text = '{\"a\":2}'", "config_hash = repeat('0', 64)"]
)
async def test_a_version_changed_by_hand_is_tampered(
    migrated: str, as_superuser: AsSuperuser, conn: asyncpg.Connection, change: str
) -> None:
    await store(conn, {"a": 1})
    superuser = await asyncpg.connect(as_superuser(migrated))
    await superuser.execute("alter table qs.bot_config_versions disable trigger user")
    for (name,) in await superuser.fetch(
        "select conname from pg_constraint where conrelid = 'qs.bot_config_versions'::regclass and contype = 'c'"
    ):
        await superuser.execute(f"alter table qs.bot_config_versions drop constraint {name}")
    await superuser.execute(f"update qs.bot_config_versions set {change}")
    await superuser.close()
    with pytest.raises(configs.ConfigTampered, match="version 1"):
        await configs.get(conn, 1)


async def test_an_activation_makes_the_version_active(migrated: str, conn: asyncpg.Connection, tmp_path: Path) -> None:
    pairs = await traded(tmp_path / "world", bars=2)
    journal = journal_of(migrated, tmp_path)
    await write(journal, (await journal.open()).ledger, pairs)
    await journal.close("done")
    found = await configs.active(conn)
    assert found is not None
    version, document, sha256 = found
    assert (version, document["bots"][0]["name"]) == (1, "probe")
    assert sha256 == pairs[1][1].sha256  # type: ignore[attr-defined]


async def test_a_stored_version_is_in_the_audit_log(conn: asyncpg.Connection) -> None:
    version = await store(conn, {"bots": []}, "why not")
    row = await conn.fetchrow(
        "select action, new_values::text as new, metadata::text as who from audit_logs order by seq desc limit 1"
    )
    assert row["action"] == "CONFIG_STORED"
    assert f'"version": {version}' in row["new"] and "why not" in row["new"] and "tester" in row["who"]
    async with conn.transaction():
        assert [seq async for seq in audit.walk(conn)] == [1]
