"""Keys of exchange accounts in `exchange_credentials`: stored encrypted, listed without secrets, revealed to the engine only.

Every change is in the audit log, in the transaction of the change, and so is every reveal. WITHDRAW is refused unless a person
asks for it in so many words; the table has a CHECK of its own for that.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from typing import Any, Literal

import asyncpg
import msgspec

from db import audit
from db.connect import transaction
from db.vault import Sealed, Vault, VaultError, bound, not_stored, scrub
from engine.core.text import safe_text
from engine.core.types import uuid7

Environment = Literal["PRODUCTION", "TESTNET", "PAPER"]
Permission = Literal["READ", "TRADE", "WITHDRAW"]
ENVIRONMENTS = ("PRODUCTION", "TESTNET", "PAPER")
PERMISSIONS = ("READ", "TRADE", "WITHDRAW")
TABLE = "exchange_credentials"
LABEL_CHARS_MAX = 64
SECRET_CHARS_MAX = 8_192
MESSAGE_CHARS_MAX = 400
#: Below that length the last four characters would be too much of the key.
HINTED_CHARS_MIN = 12

_ADD = """
insert into qs.exchange_credentials(id, user_id, exchange_id, label, environment, ciphertext, nonce, key_version, api_key_hint,
  permissions, withdraw_allowed, created_by)
values($1, $2, qs.exchange_id($3), $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""
_SELECT = """
select c.id::text as id, c.user_id::text as user_id, e.code as exchange, coalesce(c.label, '') as label, c.environment,
  coalesce(c.api_key_hint, '') as hint, c.permissions, c.status, c.last_test_result::text as last_test,
  (extract(epoch from c.created_at) * 1000000)::bigint as created_ts,
  (extract(epoch from c.last_tested_at) * 1000000)::bigint as last_tested_ts,
  (extract(epoch from c.last_used_at) * 1000000)::bigint as last_used_ts,
  (extract(epoch from c.revoked_at) * 1000000)::bigint as revoked_ts
from qs.exchange_credentials c join qs.exchanges e on e.id = c.exchange_id
"""
_LIST = f"{_SELECT} where c.user_id = $1 and c.deleted_at is null order by c.created_at, c.id"
_SEALED = f"""
{_SELECT.replace("select", "select c.ciphertext, c.nonce, c.key_version,", 1)}
where c.id = $1 and c.deleted_at is null for no key update of c
"""
_USED = "update qs.exchange_credentials set last_used_at = clock_timestamp(), request_count = request_count + $2 where id = $1"
_REVOKE = """
update qs.exchange_credentials set status = 'REVOKED', revoked_at = clock_timestamp()
where id = $1 and user_id = $2 and deleted_at is null and revoked_at is null
"""
_DELETE = """
update qs.exchange_credentials set deleted_at = clock_timestamp() where id = $1 and user_id = $2 and deleted_at is null
"""
_TESTED = """
update qs.exchange_credentials
set last_tested_at = clock_timestamp(), last_test_result = $2::text::jsonb, status = $3 where id = $1
"""


class CredentialError(Exception):
    """Root of what can go wrong with stored keys. One line; never a secret or a part of one."""


class CredentialRefused(CredentialError):
    """These keys are not stored like this. Nothing was written."""


class CredentialUnknown(CredentialError):
    """There is no such row, it is deleted, or it is another user's."""


class CredentialRevoked(CredentialError):
    """It was withdrawn, and is not used again."""


class ExchangeKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The secrets of one account. No repr shows them; `scrub` takes them out of what others say about them."""

    api_key: str
    api_secret: str
    passphrase: str = ""

    def __repr__(self) -> str:
        return "ExchangeKeys(...)"

    def __rich_repr__(self) -> Any:
        return []

    def scrub(self, text: str) -> str:
        """`text` without any of the secrets: an exchange may quote the key that it refuses."""
        return scrub(text, self.api_secret, self.passphrase, self.api_key)


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """What may be shown. Times are int microseconds UTC, None for what has not been; `hint` is the end of the key."""

    id: str
    user_id: str
    exchange: str
    label: str
    environment: str
    hint: str
    permissions: tuple[str, ...]
    status: str
    last_test: dict[str, Any] | None
    created_ts: int
    last_tested_ts: int | None
    last_used_ts: int | None
    revoked_ts: int | None


async def add(
    conn: asyncpg.Connection,
    vault: Vault,
    keys: ExchangeKeys,
    *,
    user_id: str,
    actor: str,
    exchange: str,
    label: str = "",
    environment: Environment = "PRODUCTION",
    permissions: Iterable[Permission] = ("READ",),
    withdraw_allowed: bool = False,
) -> str:
    """Store the keys of an account; returns the row's id. Raises CredentialRefused, VaultError."""
    granted = _permissions(permissions, withdraw_allowed)
    if environment not in ENVIRONMENTS:
        raise CredentialRefused(f"environment {safe_text(environment)}: choose one of {', '.join(ENVIRONMENTS)}")
    if not re.fullmatch(r"[a-z0-9_]{1,32}", exchange):
        raise CredentialRefused(f"exchange {safe_text(exchange)}: write it as ccxt does, like binance")
    _check_keys(keys)
    name = safe_text(label, LABEL_CHARS_MAX).strip()
    row_id = uuid7(time.time_ns() // 1_000, os.urandom(16).hex())
    sealed = vault.encrypt(TABLE, row_id, bound(exchange, environment), msgspec.json.encode(keys))
    hint = keys.api_key[-4:] if len(keys.api_key) >= HINTED_CHARS_MIN else None
    facts = (row_id, user_id, exchange, name or None, environment)
    try:
        async with transaction(conn):
            # `withdraw_allowed` of keys that cannot withdraw says nothing: it is stored where it is needed.
            needed = "WITHDRAW" in granted
            await conn.execute(_ADD, *facts, *sealed, hint, granted, needed, user_id)
            shown = {"exchange": exchange, "label": name, "environment": environment, "permissions": granted}
            await _audit(conn, "CREDENTIAL_ADDED", row_id, actor, user_id, new={**shown, "withdraw_allowed": needed})
    except asyncpg.UniqueViolationError:
        raise CredentialRefused(
            f"there are keys of {exchange} ({environment}) named {name or 'nothing'} already: give these another label,"
            " or revoke the others"
        ) from None
    except asyncpg.ForeignKeyViolationError:
        raise CredentialRefused(f"there is no user {safe_text(user_id)}") from None
    except asyncpg.PostgresError as error:
        raise not_stored(error) from None
    return row_id


def _permissions(permissions: Iterable[str], withdraw_allowed: bool) -> tuple[str, ...]:
    asked = set(permissions)
    if not asked or not asked <= set(PERMISSIONS):
        raise CredentialRefused(f"permissions are some of {', '.join(PERMISSIONS)}")
    if "WITHDRAW" in asked and not withdraw_allowed:
        raise CredentialRefused(
            "keys with WITHDRAW are not stored: make ones without it at the exchange, or allow it explicitly"
        )
    return tuple(name for name in PERMISSIONS if name in asked)


def _check_keys(keys: ExchangeKeys) -> None:
    """Say which part is wrong, never what it holds. A secret may be a PEM with line ends; a key is one word."""
    for name, value in (("key", keys.api_key), ("secret", keys.api_secret), ("passphrase", keys.passphrase)):
        if len(value) > SECRET_CHARS_MAX:
            raise CredentialRefused(f"the {name} has more than {SECRET_CHARS_MAX} characters")
        if not value and name != "passphrase":
            raise CredentialRefused(f"the {name} is empty")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise CredentialRefused(f"the {name} is not text") from None
    if not re.fullmatch(r"[!-~]+", keys.api_key):
        raise CredentialRefused("the key has a space or a character that no key has: paste it again")


async def list(conn: asyncpg.Connection, *, user_id: str) -> tuple[Credential, ...]:
    """A user's keys that are not deleted, oldest first; never a secret."""
    return tuple(_credential(row) for row in await conn.fetch(_LIST, user_id))


def _credential(row: Any) -> Credential:
    facts = {name: row[name] for name in Credential.__struct_fields__}
    facts["last_test"] = None if row["last_test"] is None else msgspec.json.decode(row["last_test"])
    # What is in the table may have been written by hand.
    facts["label"] = safe_text(row["label"], LABEL_CHARS_MAX)
    return msgspec.convert(facts, Credential)


async def reveal(conn: asyncpg.Connection, vault: Vault, credential_id: str, *, actor: str) -> ExchangeKeys:
    """The secrets, for the engine (role qs_engine). Raises CredentialUnknown, CredentialRevoked, VaultError."""
    async with transaction(conn):
        row = await _row(conn, credential_id)
        if row["revoked_ts"] is not None:
            raise CredentialRevoked(f"the keys {_name(row)} were revoked: add new ones")
        what = bound(row["exchange"], row["environment"])
        blob = vault.decrypt(TABLE, row["id"], what, Sealed(row["ciphertext"], row["nonce"], row["key_version"]))
        await record_use(conn, credential_id, requests=0)
        await _audit(conn, "CREDENTIAL_REVEALED", credential_id, actor, row["user_id"])
    try:
        return msgspec.json.decode(blob, type=ExchangeKeys)
    except msgspec.MsgspecError:
        raise VaultError(f"the keys {_name(row)} are not in a form that this program knows: add them anew") from None


async def record_use(conn: asyncpg.Connection, credential_id: str, *, requests: int) -> None:
    """Count requests that were made with it; now is its last use."""
    await conn.execute(_USED, credential_id, requests)


async def record_test(
    conn: asyncpg.Connection, credential_id: str, keys: ExchangeKeys, *, ok: bool, message: str, actor: str
) -> None:
    """Keep what a test against the venue said; `keys` are what it was made with, and taken out of `message`.

    Raises CredentialUnknown, CredentialRevoked.
    """
    said = safe_text(keys.scrub(message), MESSAGE_CHARS_MAX)
    status = "ACTIVE" if ok else "ERROR"
    async with transaction(conn):
        row = await _row(conn, credential_id)
        if row["revoked_ts"] is not None:
            raise CredentialRevoked(f"the keys {_name(row)} were revoked: add new ones")
        result = {"ok": ok, "message": said}
        await conn.execute(_TESTED, credential_id, msgspec.json.encode(result).decode(), status)
        old = {"status": row["status"]}
        new = {"status": status, **result}
        await _audit(conn, "CREDENTIAL_TESTED", credential_id, actor, row["user_id"], old=old, new=new)


async def revoke(conn: asyncpg.Connection, credential_id: str, *, user_id: str, actor: str, reason: str = "") -> None:
    """Withdraw keys for ever; the row stays. Raises CredentialUnknown, also for what is revoked already."""
    await _end(conn, _REVOKE, "CREDENTIAL_REVOKED", credential_id, user_id, actor, reason)


async def delete(conn: asyncpg.Connection, credential_id: str, *, user_id: str, actor: str, reason: str = "") -> None:
    """Take keys out of every list (soft delete). Raises CredentialUnknown."""
    await _end(conn, _DELETE, "CREDENTIAL_DELETED", credential_id, user_id, actor, reason)


async def _end(
    conn: asyncpg.Connection, sql: str, action: str, credential_id: str, user_id: str, actor: str, reason: str
) -> None:
    async with transaction(conn):
        row = await _row(conn, credential_id)
        if await conn.execute(sql, credential_id, user_id) != "UPDATE 1":
            raise CredentialUnknown(f"you have no keys {safe_text(credential_id)} that could be ended")
        said = {"reason": safe_text(reason, MESSAGE_CHARS_MAX)}
        await _audit(conn, action, credential_id, actor, user_id, old={"status": row["status"]}, new=said)


async def _row(conn: asyncpg.Connection, credential_id: str) -> Any:
    try:
        row = await conn.fetchrow(_SEALED, credential_id)
    except asyncpg.DataError:
        row = None
    if row is None:
        raise CredentialUnknown(f"there are no keys {safe_text(credential_id)}")
    return row


def _name(row: Any) -> str:
    return safe_text(f"{row['exchange']} {row['label']} {row['id']}", 160)


async def _audit(
    conn: asyncpg.Connection,
    action: str,
    credential_id: str,
    actor: str,
    user_id: str,
    old: dict[str, Any] | None = None,
    new: dict[str, Any] | None = None,
) -> None:
    await audit.record(conn, action, TABLE, credential_id, actor=actor, user_id=user_id, old=old, new=new)
