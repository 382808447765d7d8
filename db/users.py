"""The writer of `users`: made, verified, renamed, signed in, and deleted softly. Passwords are not handled here.

The audit log is for ever, so it names what changed and not what it says: a name or an address that is erased here must not
live on there.
"""

from __future__ import annotations

import os
import re
import time
import zoneinfo
from typing import Any, Literal

import asyncpg
import msgspec

from db import audit
from db.connect import transaction
from engine.core.text import safe_text
from engine.core.types import uuid7

Role = Literal["OWNER", "CEO", "DEVELOPER", "ADMIN", "VIEWER"]
ROLES = ("OWNER", "CEO", "DEVELOPER", "ADMIN", "VIEWER")
NAME_CHARS_MAX = 120
EMAIL_CHARS_MAX = 254
TABLE = "users"

_ADD = """
insert into qs.users(id, email, role, full_name, first_name, last_name, timezone, preferred_currency)
values($1, $2, $3, $4, $5, $6, $7, $8)
"""
_GET = """
select id::text as id, email, role, coalesce(full_name, '') as full_name, coalesce(first_name, '') as first_name,
  coalesce(last_name, '') as last_name, timezone, preferred_currency, is_active, is_verified,
  (extract(epoch from created_at) * 1000000)::bigint as created_ts,
  (extract(epoch from verified_at) * 1000000)::bigint as verified_ts,
  (extract(epoch from last_login_at) * 1000000)::bigint as last_login_ts
from qs.users where id = $1 and deleted_at is null
"""
_VERIFY = """
update qs.users set is_verified = true, verified_at = clock_timestamp()
where id = $1 and deleted_at is null and not is_verified
"""
_SIGNED_IN = "update qs.users set last_login_at = clock_timestamp() where id = $1 and deleted_at is null and is_active"
_RENAME = """
update qs.users set full_name = $2, first_name = $3, last_name = $4 where id = $1 and deleted_at is null
"""
_DELETE = """
update qs.users set deleted_at = clock_timestamp(), is_active = false
where id = $1 and deleted_at is null and id not in (select user_id from qs.ledger)
"""


class UserError(Exception):
    """Root of what can go wrong with users."""


class UserRefused(UserError):
    """A value that is not stored, or a change that is not made. Nothing was written."""


class UserUnknown(UserError):
    """There is no such user, or it is deleted."""


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user for reading. Times are int microseconds UTC, None for what has not been; names are empty where unknown."""

    id: str
    email: str
    role: str
    full_name: str
    first_name: str
    last_name: str
    timezone: str
    preferred_currency: str
    is_active: bool
    is_verified: bool
    created_ts: int
    verified_ts: int | None
    last_login_ts: int | None


async def create(
    conn: asyncpg.Connection,
    email: str,
    *,
    actor: str,
    role: Role = "VIEWER",
    first_name: str = "",
    last_name: str = "",
    full_name: str = "",
    timezone: str = "UTC",
    currency: str = "USD",
) -> str:
    """Add a user; returns the id. `full_name` is made of the other two where it is left out. Raises UserRefused."""
    if not re.fullmatch(r"[^\s@]+@[^\s@]+", email) or len(email) > EMAIL_CHARS_MAX or safe_text(email, 254) != email:
        raise UserRefused(f"{safe_text(email)}: not an e-mail address")
    if role not in ROLES:
        raise UserRefused(f"role {safe_text(role)}: choose one of {', '.join(ROLES)}")
    # UTC is known everywhere, also where the system has no time zones.
    if timezone != "UTC" and timezone not in zoneinfo.available_timezones():
        raise UserRefused(f"time zone {safe_text(timezone)} is not known here: give an IANA name, like Europe/Berlin")
    if not re.fullmatch(r"[A-Z0-9]{2,12}", currency):
        raise UserRefused(f"currency {safe_text(currency)}: 2 to 12 capital letters or digits, like USD or USDT")
    names = _names(full_name, first_name, last_name)
    user_id = uuid7(time.time_ns() // 1_000, os.urandom(16).hex())
    try:
        async with transaction(conn):
            await conn.execute(_ADD, user_id, email, role, *names, timezone, currency)
            new = {"role": role, "timezone": timezone, "preferred_currency": currency}
            await audit.record(conn, "USER_CREATED", TABLE, user_id, actor=actor, user_id=user_id, new=new)
    except asyncpg.UniqueViolationError:
        raise UserRefused(f"there is a user {email} already") from None
    return user_id


def _names(full_name: str, first_name: str, last_name: str) -> tuple[str | None, ...]:
    """(full, first, last) as stored: safe to show, NULL where empty."""
    first, last = (safe_text(name, NAME_CHARS_MAX).strip() for name in (first_name, last_name))
    full = safe_text(full_name, NAME_CHARS_MAX).strip() or safe_text(f"{first} {last}", NAME_CHARS_MAX).strip()
    return tuple(name or None for name in (full, first, last))


async def get(conn: asyncpg.Connection, user_id: str) -> User:
    """Raises UserUnknown."""
    try:
        row = await conn.fetchrow(_GET, user_id)
    except asyncpg.DataError:
        row = None
    if row is None:
        raise UserUnknown(f"there is no user {safe_text(user_id)}")
    facts: dict[str, Any] = dict(row)
    for name in ("email", "full_name", "first_name", "last_name"):
        facts[name] = safe_text(facts[name], EMAIL_CHARS_MAX)
    return msgspec.convert(facts, User)


async def verify(conn: asyncpg.Connection, user_id: str, *, actor: str) -> None:
    """The address was confirmed; a second time changes nothing. Raises UserUnknown."""
    async with transaction(conn):
        await get(conn, user_id)
        if await conn.execute(_VERIFY, user_id) == "UPDATE 1":
            await audit.record(conn, "USER_VERIFIED", TABLE, user_id, actor=actor, user_id=user_id)


async def signed_in(conn: asyncpg.Connection, user_id: str, *, actor: str) -> None:
    """Raises UserUnknown; UserRefused for one that may not sign in."""
    async with transaction(conn):
        await get(conn, user_id)
        if await conn.execute(_SIGNED_IN, user_id) != "UPDATE 1":
            raise UserRefused(f"user {user_id} may not sign in: the account is not active")
        await audit.record(conn, "USER_SIGNED_IN", TABLE, user_id, actor=actor, user_id=user_id)


async def rename(
    conn: asyncpg.Connection,
    user_id: str,
    *,
    actor: str,
    first_name: str = "",
    last_name: str = "",
    full_name: str = "",
) -> None:
    """Set all three names; `full_name` is made of the others where it is left out. Raises UserUnknown."""
    async with transaction(conn):
        before = await get(conn, user_id)
        names = _names(full_name, first_name, last_name)
        await conn.execute(_RENAME, user_id, *names)
        was = (before.full_name, before.first_name, before.last_name)
        labels = ("full_name", "first_name", "last_name")
        changed = [label for label, old, new in zip(labels, was, names, strict=True) if old != (new or "")]
        await audit.record(conn, "USER_RENAMED", TABLE, user_id, actor=actor, user_id=user_id, new={"changed": changed})


async def delete(conn: asyncpg.Connection, user_id: str, *, actor: str) -> None:
    """Soft delete: the rows stay, the address is free again. Raises UserUnknown; UserRefused for the ledger's operator."""
    async with transaction(conn):
        await get(conn, user_id)
        if await conn.execute(_DELETE, user_id) != "UPDATE 1":
            raise UserRefused(f"user {user_id} operates this ledger and cannot be deleted")
        await audit.record(conn, "USER_DELETED", TABLE, user_id, actor=actor, user_id=user_id)
