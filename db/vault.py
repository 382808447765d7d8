"""The vault: AES-256-GCM under random data keys, each wrapped by the master key (`db.masterkey`).

    MasterKey --wraps--> data key per `encryption_keys.key_version` --encrypts--> one blob per row, 12 random bytes as nonce

The additional data of a row is ``quantsail|<table>|<id>|<what>|v<key_version>``, where `what` names the columns that the secret
belongs to (`bound`): a ciphertext that was moved to another row, or whose row was pointed at another host, does not open.

Rotation makes a new data key and encrypts every row anew; afterwards the old data key is destroyed. Rewrapping exchanges the
master key and leaves the rows alone. Both are the schema owner's, who sees the rows of all users.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus

import asyncpg
import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from db import audit
from db.connect import KEY_NOT_IN_USE, transaction
from db.masterkey import KEY_BYTES, MasterKey, MasterKeyMissing, find_master_key, make_master_key
from engine.core.canonical import canonical_json

NONCE_BYTES = 12
#: A secret is a password or a pair of keys; a certificate belongs in a file.
BLOB_BYTES_MAX = 65_536

_KEYS = "select key_version, wrapped_dek, wrap_nonce, kdf::text as kdf, retired_at from qs.encryption_keys order by 1"
_ADD_KEY = (
    "insert into qs.encryption_keys(key_version, wrapped_dek, wrap_nonce, kdf) values($1, $2, $3, $4::text::jsonb)"
)
_REWRAP = (
    "update qs.encryption_keys set wrapped_dek = $2, wrap_nonce = $3, kdf = $4::text::jsonb where key_version = $1"
)
_RETIRE = """
update qs.encryption_keys set retired_at = clock_timestamp(), wrapped_dek = null, wrap_nonce = null where key_version = $1
"""
# One change of the keys at a time; whoever waits here looks again afterwards.
_LOCK = "select pg_advisory_xact_lock(hashtextextended('quantsail.vault', 0))"
_IS_OWNER = """
select coalesce((select rolsuper from pg_roles where rolname = current_user), false)
    or pg_has_role(current_user, nspowner, 'USAGE') from pg_namespace where nspname = 'qs'
"""


class VaultError(Exception):
    """Root of what can go wrong with secrets. One line with the remedy; never a secret or a part of one."""


class WrongMasterKey(VaultError):
    """The master key at hand is not the one that wrapped this database's keys. Nothing was written."""


class VaultEmpty(VaultError):
    """No secret was ever stored here."""


class KeyNotInUse(VaultError):
    """A key version that this vault does not hold: made after it was opened, or retired and destroyed."""


class SealBroken(VaultError):
    """A ciphertext is not what was written for its row: moved, changed, or its row was changed."""


class NotTheOwner(VaultError):
    """Keys are exchanged by the schema's owner, who sees every user's rows."""


class Sealed(NamedTuple):
    """What a row keeps of a secret."""

    ciphertext: bytes
    nonce: bytes
    key_version: int


class Place(NamedTuple):
    """A table with ciphertext and its columns. `bound` is SQL for the text[] that `what` is made of, as its writer does."""

    table: str
    ciphertext: str
    nonce: str
    key_version: str
    bound: str


#: Every table with ciphertext: what rotation goes through.
PLACES = (
    Place(
        "exchange_credentials", "ciphertext", "nonce", "key_version",
        "array[(select code from qs.exchanges e where e.id = t.exchange_id), environment]",
    ),
    Place(
        "database_configs", "password_ciphertext", "password_nonce", "key_version",
        "array[db_type, host, port::text, database, coalesce(username, '')]",
    ),
    Place("users", "mfa_ciphertext", "mfa_nonce", "mfa_key_version", "array['mfa']"),
)  # fmt: skip


def bound(*parts: str) -> str:
    """`what` of a secret: the values of its row that must not change under it, unambiguously joined."""
    return canonical_json(parts).decode()


def not_stored(error: asyncpg.PostgresError) -> Exception:
    """What a failed write of a sealed row is: KeyNotInUse where the trigger key_in_use refused it, else the error itself."""
    if error.sqlstate == KEY_NOT_IN_USE:
        return KeyNotInUse("the data key was rotated in this very moment; nothing was stored: try again")
    refused: Exception = error
    return refused


def scrub(text: str, *secrets: str) -> str:
    """`text` without the secrets, as they are and as they stand in URLs and in Python's quotes."""
    for secret in filter(None, secrets):
        for form in (secret, quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1]):
            text = text.replace(form, "***")
    return text


class Vault:
    """The data keys of one database, unwrapped. Its repr shows none of them."""

    __slots__ = ("_current", "_keys")

    def __init__(self, keys: Mapping[int, bytes], current: int) -> None:
        """`keys` by version, 32 bytes each; `current` is the version that encrypts."""
        self._keys = {version: AESGCM(key) for version, key in keys.items()}
        self._current = current

    @property
    def key_version(self) -> int:
        """The version that encrypts."""
        return self._current

    def __repr__(self) -> str:
        return f"Vault(key_version={self._current}, versions={sorted(self._keys)})"

    def __reduce__(self) -> str:
        raise TypeError("a vault is not pickled")

    def encrypt(self, table: str, row_id: str, what: str, blob: bytes) -> Sealed:
        """Seal `blob` for a row (`row_id` a UUID in lower case). Raises VaultError for one of more than 64 KiB."""
        if len(blob) > BLOB_BYTES_MAX:
            raise VaultError(f"a secret of {len(blob)} bytes: {BLOB_BYTES_MAX} at most")
        nonce = secrets.token_bytes(NONCE_BYTES)
        aad = _aad(table, row_id, what, self._current)
        return Sealed(self._keys[self._current].encrypt(nonce, blob, aad), nonce, self._current)

    def decrypt(self, table: str, row_id: str, what: str, sealed: Sealed) -> bytes:
        """Open what `encrypt` sealed for that row. Raises KeyNotInUse, SealBroken."""
        key = self._keys.get(sealed.key_version)
        if key is None:
            raise KeyNotInUse(
                f"{table} {row_id} is encrypted with key version {sealed.key_version}, which is not in use"
                " (retired by a rotation, or newer than this program's start): start again, or enter the secret anew"
            )
        try:
            return key.decrypt(sealed.nonce, sealed.ciphertext, _aad(table, row_id, what, sealed.key_version))
        except (InvalidTag, ValueError):  # ValueError: a nonce of no acceptable length
            raise SealBroken(
                f"{table} {row_id}: the secret is not what was stored for this row; it was moved or changed."
                " Remove it and enter it anew"
            ) from None


def _aad(table: str, row_id: str, what: str, key_version: int) -> bytes:
    return f"quantsail|{table}|{row_id}|{what}|v{key_version}".encode()


async def open_vault(conn: asyncpg.Connection, config_home: Path, *, create: bool = False) -> Vault:
    """The vault of a database. With `create`, the first data key is made, and for it a master key where there is none.

    Roles: qs_app, or without `create` qs_engine. Raises VaultEmpty, WrongMasterKey, MasterKeyError, SealBroken.
    """
    rows = await conn.fetch(_KEYS)
    if not rows and create:
        rows = await _first_key(conn, config_home)
    if not rows:
        raise VaultEmpty("no secret is stored in this database yet")
    return _unlock(rows, _master_for(rows, config_home))


async def _first_key(conn: asyncpg.Connection, config_home: Path) -> list[Any]:
    async with transaction(conn):
        await conn.execute(_LOCK)
        rows: list[Any] = await conn.fetch(_KEYS)
        if rows:
            return rows
        master = make_master_key(config_home)
        await _add_key(conn, master, 1)
        await audit.record(conn, "KEY_CREATED", "encryption_keys", actor="vault", new={"key_version": 1})
        return list(await conn.fetch(_KEYS))


def _master_for(rows: list[Any], config_home: Path) -> MasterKey:
    """The master key that wrapped these keys. Raises WrongMasterKey, MasterKeyError."""
    master = find_master_key(config_home)
    kdfs = [msgspec.json.decode(row["kdf"]) for row in rows if row["wrapped_dek"] is not None]
    if master is None:
        source = kdfs[0].get("source", "?") if kdfs else "?"
        raise MasterKeyMissing(
            f"this database's secrets need their master key (it came from: {source}), and there is none here:"
            f" set QUANTSAIL_MASTER_KEY_FILE, or bring back {config_home / 'master.key'}"
        )
    wrong = next((kdf for kdf in kdfs if kdf.get("check") != master.check), None)
    if wrong is not None:
        raise WrongMasterKey(
            f"this database's keys were wrapped with another master key: theirs is {wrong.get('check')}, from"
            f" {wrong.get('source')}; yours is {master.check}, from {master.origin}."
            " Set QUANTSAIL_MASTER_KEY_FILE to the right one"
        )
    return master


def _unlock(rows: list[Any], master: MasterKey) -> Vault:
    keys: dict[int, bytes] = {}
    for row in rows:
        if row["wrapped_dek"] is None:
            continue
        keys[int(row["key_version"])] = _unwrap(row, master)
    current = [int(row["key_version"]) for row in rows if row["retired_at"] is None]
    if not current:
        raise VaultError("every key of this database is retired: restore encryption_keys from a backup")
    return Vault(keys, max(current))


def _unwrap(row: Any, master: MasterKey) -> bytes:
    version = int(row["key_version"])
    aad = _aad("encryption_keys", str(version), "dek", version)
    try:
        return AESGCM(master.key).decrypt(row["wrap_nonce"], row["wrapped_dek"], aad)
    except (InvalidTag, ValueError):
        raise SealBroken(
            f"key version {version} of this database was changed by hand: restore encryption_keys from a backup"
        ) from None


def _wrap(master: MasterKey, version: int, key: bytes) -> tuple[bytes, bytes, str]:
    """(wrapped key, nonce, kdf as JSON)."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    wrapped = AESGCM(master.key).encrypt(nonce, key, _aad("encryption_keys", str(version), "dek", version))
    return wrapped, nonce, canonical_json({"source": master.source, "check": master.check}).decode()


async def _add_key(conn: asyncpg.Connection, master: MasterKey, version: int) -> None:
    await conn.execute(_ADD_KEY, version, *_wrap(master, version, secrets.token_bytes(KEY_BYTES)))


async def rotate(conn: asyncpg.Connection, config_home: Path, *, actor: str) -> int:
    """Encrypt everything anew under a new data key and destroy the old one; returns how many rows that were.

    One transaction makes the key, one per table moves its rows, and the last one retires what is old. Killed in between,
    every secret still opens, with the old key or the new, and the next call goes on where this one ended. Raises
    NotTheOwner, and what `open_vault` raises.
    """
    await _be_owner(conn)
    async with transaction(conn):
        await conn.execute(_LOCK)
        rows = await conn.fetch(_KEYS)
        if not rows:
            raise VaultEmpty("there is nothing to rotate: no secret is stored in this database yet")
        in_use = [int(row["key_version"]) for row in rows if row["retired_at"] is None]
        if len(in_use) < 2:  # else: a rotation that did not end, and its key is there already
            version = max(int(row["key_version"]) for row in rows) + 1
            await _add_key(conn, _master_for(rows, config_home), version)
            await audit.record(conn, "KEY_CREATED", "encryption_keys", actor=actor, new={"key_version": version})
    vault = await open_vault(conn, config_home)
    moved = 0
    for place in PLACES:
        async with transaction(conn):
            moved += await _move(conn, vault, place)
    return moved + await _retire(conn, vault, actor)


async def _retire(conn: asyncpg.Connection, vault: Vault, actor: str) -> int:
    """Retire all keys but the current one; the rows that came in meanwhile are moved first."""
    moved = 0
    async with transaction(conn):
        await conn.execute(_LOCK)
        # FOR UPDATE waits for writers that have just used an old key (trigger key_in_use); later ones wait for us.
        old = await conn.fetch(
            "select key_version from qs.encryption_keys where retired_at is null and key_version < $1 for update",
            vault.key_version,
        )
        for place in PLACES:
            moved += await _move(conn, vault, place)
        for (version,) in old:
            await conn.execute(_RETIRE, version)
            change = {"key_version": version, "followed_by": vault.key_version}
            await audit.record(conn, "KEY_RETIRED", "encryption_keys", actor=actor, new=change)
    return moved


async def _move(conn: asyncpg.Connection, vault: Vault, place: Place) -> int:
    """Encrypt a table's rows with the current key; how many there were. Raises SealBroken, and then nothing has changed."""
    table, ciphertext, nonce, version, what = place
    rows = await conn.fetch(
        f"select id::text as id, {ciphertext} as c, {nonce} as n, {version} as v, {what} as what from qs.{table} t"  # noqa: S608
        f" where {version} <> $1 order by id for update",
        vault.key_version,
    )
    for row in rows:
        about = bound(*row["what"])
        blob = vault.decrypt(table, row["id"], about, Sealed(row["c"], row["n"], row["v"]))
        await conn.execute(
            f"update qs.{table} set {ciphertext} = $2, {nonce} = $3, {version} = $4 where id = $1",  # noqa: S608
            row["id"],
            *vault.encrypt(table, row["id"], about, blob),
        )
    return len(rows)


async def rewrap(conn: asyncpg.Connection, config_home: Path, new: MasterKey, *, actor: str) -> int:
    """Wrap the data keys with another master key, which must be kept safely before; returns how many. The rows stay.

    Raises NotTheOwner, and what `open_vault` raises.
    """
    await _be_owner(conn)
    async with transaction(conn):
        await conn.execute(_LOCK)
        rows = [row for row in await conn.fetch(_KEYS) if row["wrapped_dek"] is not None]
        if not rows:
            raise VaultEmpty("there is nothing to rewrap: no secret is stored in this database yet")
        master = _master_for(rows, config_home)
        for row in rows:
            version = int(row["key_version"])
            await conn.execute(_REWRAP, version, *_wrap(new, version, _unwrap(row, master)))
        change = ({"check": m.check, "source": m.source} for m in (master, new))
        await audit.record(conn, "KEYS_REWRAPPED", "encryption_keys", actor=actor, old=next(change), new=next(change))
        return len(rows)


async def _be_owner(conn: asyncpg.Connection) -> None:
    if not await conn.fetchval(_IS_OWNER):
        raise NotTheOwner("keys are exchanged by the owner of the schema: connect as qs_owner")
