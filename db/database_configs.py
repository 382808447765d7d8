"""Other databases of a user in `database_configs`: stored with their password encrypted, tested, listed, removed.

Every change and every test is in the audit log, in the transaction of the change. Where a row points is bound to its password:
a row that was pointed at another host by hand does not send it there.
"""

from __future__ import annotations

import os
import re
import time
from typing import Any

import asyncpg
import msgspec

from db import audit
from db.connect import transaction
from db.probe import TIMEOUT_S, TLS_MODES, Answer, DbType, Target, Tls, probe
from db.vault import Sealed, Vault, bound, not_stored
from engine.core.text import safe_text
from engine.core.types import uuid7

DB_TYPES: tuple[DbType, ...] = ("POSTGRESQL", "MYSQL", "MONGODB")
DEFAULT_PORTS = {"POSTGRESQL": 5432, "MYSQL": 3306, "MONGODB": 27017}
TABLE = "database_configs"
NAME_CHARS_MAX = 64
TEXT_CHARS_MAX = 255
PASSWORD_CHARS_MAX = 4_096

_ADD = """
insert into qs.database_configs(id, user_id, name, db_type, host, port, database, username, ssl_config,
  password_ciphertext, password_nonce, key_version)
values($1, $2, $3, $4, $5, $6, $7, $8, $9::text::jsonb, $10, $11, $12)
"""
_LIST = """
select id::text as id, name, db_type, host, port, database, coalesce(username, '') as username,
  password_ciphertext is not null as has_password, coalesce(ssl_config, '{}')::text as tls, status,
  last_test_result::text as last_test, (extract(epoch from last_tested_at) * 1000000)::bigint as last_tested_ts,
  (extract(epoch from created_at) * 1000000)::bigint as created_ts
from qs.database_configs where user_id = $1 and deleted_at is null order by created_at, id
"""
_ONE = f"""
{_LIST.partition("order by")[0].replace("select", "select password_ciphertext, password_nonce, key_version,", 1)}
and name = $2
"""
_TESTED = """
update qs.database_configs
set last_tested_at = clock_timestamp(), last_test_result = $3::text::jsonb, status = $4
where id = $1 and user_id = $2 and deleted_at is null
"""
_REMOVE = """
update qs.database_configs set deleted_at = clock_timestamp(), status = 'INACTIVE'
where id = $1 and user_id = $2 and deleted_at is null
"""


class DatabaseConfigError(Exception):
    """Root of what can go wrong with stored databases. One line; never a password."""


class DatabaseRefused(DatabaseConfigError):
    """It is not stored like this. Nothing was written."""


class DatabaseUnknown(DatabaseConfigError):
    """The user has none of that name."""


class NewDatabase(msgspec.Struct, frozen=True, kw_only=True):
    """What `add` stores. An empty password is none."""

    name: str
    db_type: DbType
    host: str
    port: int
    database: str
    username: str = ""
    password: str = ""
    tls: Tls = Tls()

    def __repr__(self) -> str:
        return f"NewDatabase({self.name!r})"

    def __rich_repr__(self) -> Any:
        return []


class DatabaseConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A stored database as it may be shown. Times are int microseconds UTC, None for what has not been."""

    id: str
    name: str
    db_type: str
    host: str
    port: int
    database: str
    username: str
    has_password: bool
    tls: Tls
    status: str
    last_test: dict[str, Any] | None
    last_tested_ts: int | None
    created_ts: int


async def add(conn: asyncpg.Connection, vault: Vault | None, new: NewDatabase, *, user_id: str, actor: str) -> str:
    """Store a database; returns the row's id. `vault` may be None where there is no password.

    Raises DatabaseRefused, VaultError.
    """
    name = _check(new)
    row_id = uuid7(time.time_ns() // 1_000, os.urandom(16).hex())
    sealed: tuple[Any, ...] = (None, None, None)
    if new.password:
        if vault is None:
            raise DatabaseRefused("a password needs the vault")
        sealed = vault.encrypt(TABLE, row_id, _what(new), new.password.encode())
    where = (new.host, new.port, new.database, new.username or None, msgspec.json.encode(new.tls).decode())
    try:
        async with transaction(conn):
            await conn.execute(_ADD, row_id, user_id, name, new.db_type, *where, *sealed)
            shown = {"name": name, "db_type": new.db_type, "host": new.host, "port": new.port, "tls": new.tls.mode}
            await audit.record(conn, "DATABASE_ADDED", TABLE, row_id, actor=actor, user_id=user_id, new=shown)
    except asyncpg.UniqueViolationError:
        raise DatabaseRefused(f"there is a database {name} already: choose another name, or remove that one") from None
    except asyncpg.ForeignKeyViolationError:
        raise DatabaseRefused(f"there is no user {safe_text(user_id)}") from None
    except asyncpg.PostgresError as error:
        raise not_stored(error) from None
    return row_id


def _check(new: NewDatabase) -> str:
    """The name as it is stored. Raises DatabaseRefused."""
    name = safe_text(new.name, NAME_CHARS_MAX).strip()
    if not name:
        raise DatabaseRefused("a database needs a name")
    if new.db_type not in DB_TYPES:
        raise DatabaseRefused(f"type {safe_text(new.db_type)}: choose one of {', '.join(DB_TYPES).lower()}")
    socket = new.db_type == "POSTGRESQL" and new.host.startswith("/") and safe_text(new.host, 100) == new.host
    if not socket and not re.fullmatch(
        r"[A-Za-z0-9_](?:[A-Za-z0-9_.:%-]{0,251}[A-Za-z0-9_])?|::[A-Za-z0-9.:]*", new.host
    ):
        raise DatabaseRefused(f"host {safe_text(new.host)}: give a name or an address, without scheme and port")
    if not 1 <= new.port <= 65_535:
        raise DatabaseRefused(f"port {new.port}: 1 to 65535")
    for label, value in (("database", new.database), ("user", new.username)):
        if safe_text(value, TEXT_CHARS_MAX) != value:
            raise DatabaseRefused(f"{label} {safe_text(value)}: it holds characters that cannot be shown")
    if not new.database:
        raise DatabaseRefused("which database there? It has no name")
    if len(new.password) > PASSWORD_CHARS_MAX or "\x00" in new.password or not _is_text(new.password):
        raise DatabaseRefused(f"the password is not text of at most {PASSWORD_CHARS_MAX} characters")
    if new.tls.mode not in TLS_MODES:
        raise DatabaseRefused(f"TLS {safe_text(new.tls.mode)}: choose one of {', '.join(TLS_MODES)}")
    if new.tls.key_file and not new.tls.cert_file:
        raise DatabaseRefused("a key file needs its certificate file")
    for path in (new.tls.ca_file, new.tls.cert_file, new.tls.key_file):
        if safe_text(path, 1_000) != path:
            raise DatabaseRefused(f"file {safe_text(path)}: its path holds characters that cannot be shown")
    return name


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _what(row: NewDatabase | DatabaseConfig) -> str:
    return bound(row.db_type, row.host, str(row.port), row.database, row.username)


async def list(conn: asyncpg.Connection, *, user_id: str) -> tuple[DatabaseConfig, ...]:
    """A user's databases that are not removed, oldest first; never a password."""
    return tuple(_config(row) for row in await conn.fetch(_LIST, user_id))


def _config(row: Any) -> DatabaseConfig:
    facts = {name: row[name] for name in DatabaseConfig.__struct_fields__}
    try:
        facts["tls"] = msgspec.json.decode(row["tls"], type=Tls)
    except msgspec.ValidationError:
        facts["tls"] = Tls()  # changed by hand into what cannot be read: the strictest holds
    facts["last_test"] = None if row["last_test"] is None else msgspec.json.decode(row["last_test"])
    return msgspec.convert(facts, DatabaseConfig)


async def test(
    conn: asyncpg.Connection,
    vault: Vault | None,
    name: str,
    *,
    user_id: str,
    actor: str,
    timeout_s: float = TIMEOUT_S,
) -> Answer:
    """Try to connect and keep what came of it. `vault` may be None where there is no password.

    Raises DatabaseUnknown, VaultError, ExtraMissing (then nothing is kept: it says nothing about the database).
    """
    row = await _row(conn, name, user_id)
    config = _config(row)
    password = ""
    if config.has_password:
        if vault is None:
            raise DatabaseRefused("a password needs the vault")
        sealed = Sealed(row["password_ciphertext"], row["password_nonce"], row["key_version"])
        password = vault.decrypt(TABLE, config.id, _what(config), sealed).decode()
    target = Target(
        db_type=msgspec.convert(config.db_type, DbType),
        host=config.host,
        port=config.port,
        database=config.database,
        username=config.username,
        password=password,
        tls=config.tls,
    )
    answer = await probe(target, timeout_s)  # outside a transaction: it may take as long as it wants
    status = "ACTIVE" if answer.ok else "ERROR"
    result = msgspec.to_builtins(answer)
    async with transaction(conn):
        done = await conn.execute(_TESTED, config.id, user_id, msgspec.json.encode(answer).decode(), status)
        if done == "UPDATE 1":  # else it was removed meanwhile
            old, new = {"status": config.status}, {"status": status, "result": result}
            await audit.record(
                conn, "DATABASE_TESTED", TABLE, config.id, actor=actor, user_id=user_id, old=old, new=new
            )
    return answer


async def find(conn: asyncpg.Connection, name: str, *, user_id: str) -> DatabaseConfig:
    """The user's database of that name. Raises DatabaseUnknown."""
    return _config(await _row(conn, name, user_id))


async def remove(conn: asyncpg.Connection, name: str, *, user_id: str, actor: str) -> DatabaseConfig:
    """Take a database out of the list (soft delete); returns what it was. Raises DatabaseUnknown."""
    async with transaction(conn):
        row = await _row(conn, name, user_id)
        if await conn.execute(_REMOVE, row["id"], user_id) != "UPDATE 1":
            raise DatabaseUnknown(f"the database {safe_text(name)} was removed in this moment")
        old = {"name": row["name"], "status": row["status"]}
        await audit.record(conn, "DATABASE_REMOVED", TABLE, row["id"], actor=actor, user_id=user_id, old=old)
    return _config(row)


async def _row(conn: asyncpg.Connection, name: str, user_id: str) -> Any:
    # The name as `add` stored it, or as somebody wrote it by hand.
    for spelling in (safe_text(name, NAME_CHARS_MAX).strip(), name):
        if "\x00" not in spelling and (row := await conn.fetchrow(_ONE, user_id, spelling)) is not None:
            return row
    raise DatabaseUnknown(f"there is no database {safe_text(name)}: see `quantsail databases list`")
