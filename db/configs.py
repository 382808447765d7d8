"""Versions of the engine document in `bot_config_versions`: written once, read back only when their hash still holds."""

from __future__ import annotations

from typing import Any

import asyncpg
import msgspec

from db import audit
from db.connect import transaction
from engine.core.canonical import CanonicalError, canonical_json, sha256_hex

_NEW = """
insert into qs.bot_config_versions(version, config_json, config_text, config_hash, actor, note, created_by)
select coalesce(max(version), 0) + 1, $1::text::jsonb, $1::text, $2, $3, nullif($4, ''), (select user_id from qs.ledger)
from qs.bot_config_versions
returning version, config_json::text as json
"""
_LIST = """
select version, config_hash as sha256, actor, coalesce(note, '') as note, is_active,
  (extract(epoch from created_at) * 1000000)::bigint as created_ts,
  (extract(epoch from activated_at) * 1000000)::bigint as activated_ts
from qs.bot_config_versions order by version desc limit $1
"""
_GET = """
select version, config_json::text as json, config_text as text, config_hash as sha256
from qs.bot_config_versions where version = $1
"""
_ACTIVE = _GET.replace("version = $1", "is_active")


class ConfigStoreError(Exception):
    """Root of what can go wrong with stored configs."""


class ConfigRefused(ConfigStoreError):
    """The text is not what it is said to be, or the database could not give it back unchanged. Nothing was written."""


class ConfigUnknown(ConfigStoreError):
    """There is no such version."""


class ConfigTampered(ConfigStoreError):
    """A stored version is not what its hash says: somebody changed it by hand. It must not be activated."""


class ConfigVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the list. Times are int microseconds UTC; `activated_ts` is None for a version that never took hold."""

    version: int
    sha256: str
    actor: str
    note: str
    is_active: bool
    created_ts: int
    activated_ts: int | None


async def new(conn: asyncpg.Connection, text_canonical: str, sha256: str, actor: str, note: str = "") -> int:
    """Store a document under the next number, which is returned.

    Raises ConfigRefused when `text_canonical` is not canonical JSON with that sha256, or holds what jsonb cannot keep.
    """
    if _sha256_of(text_canonical) != sha256 or sha256_hex(text_canonical.encode()) != sha256:
        raise ConfigRefused("the text is not the canonical JSON of that sha256: pass `config.canonical` and its hash")
    async with transaction(conn):
        # Two writers at once would choose one number; the second waits here instead of failing.
        await conn.execute("select pg_advisory_xact_lock(hashtextextended('quantsail.configs', 0))")
        try:
            row = await conn.fetchrow(_NEW, text_canonical, sha256, actor, note)
        except (asyncpg.DataError, UnicodeError) as error:
            raise ConfigRefused(f"the database cannot keep this document: {error}") from error
        if row is None or _sha256_of(row["json"]) != sha256:
            raise ConfigRefused("the document holds a number that jsonb respells: write it with fewer digits")
        # A version is born outside the journal, so the audit log is where its birth is chained.
        born = {"version": int(row["version"]), "sha256": sha256, "note": note}
        await audit.record(conn, "CONFIG_STORED", "bot_config_versions", actor=actor, new=born)
        return int(row["version"])


async def list(conn: asyncpg.Connection, limit: int = 100) -> tuple[ConfigVersion, ...]:
    """The newest versions, newest first."""
    rows = await conn.fetch(_LIST, limit)
    return tuple(msgspec.convert(dict(row), ConfigVersion) for row in rows)


async def get(conn: asyncpg.Connection, version: int) -> tuple[dict[str, Any], str]:
    """The document of a version and its sha256. Raises ConfigUnknown, or ConfigTampered."""
    row = await conn.fetchrow(_GET, version)
    if row is None:
        raise ConfigUnknown(f"there is no config version {version}: see `quantsail config list`")
    return _checked(row)


async def active(conn: asyncpg.Connection) -> tuple[int, dict[str, Any], str] | None:
    """(version, document, sha256) in force, None before the first activation. Raises ConfigTampered."""
    row = await conn.fetchrow(_ACTIVE)
    return None if row is None else (int(row["version"]), *_checked(row))


def _checked(row: Any) -> tuple[dict[str, Any], str]:
    """Both forms must be what was hashed: the text is what activation reads, the jsonb what queries and people see."""
    version, sha256 = row["version"], row["sha256"]
    for name in ("text", "json"):
        if _sha256_of(row[name]) != sha256:
            column = f"config_{name}"
            raise ConfigTampered(
                f"config version {version}: {column} is not what its hash {sha256[:12]} says; do not use it"
            )
    document: dict[str, Any] = msgspec.json.decode(row["text"])
    return document, sha256


def _sha256_of(text: str) -> str:
    """sha256 of the canonical form of a JSON text, empty for what is no canonical JSON object."""
    try:
        document = msgspec.json.decode(text)
        return sha256_hex(canonical_json(document)) if isinstance(document, dict) else ""
    except (msgspec.DecodeError, CanonicalError, UnicodeError):
        return ""
