"""The vault: what was sealed for a row opens there and nowhere else; keys change hands without losing a secret."""

from __future__ import annotations

import asyncio
import base64
import os
import pickle
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from db import credentials, vault
from db.connect import connect
from db.masterkey import KEY_VARIABLE, MasterKey, MasterKeyMissing
from db.vault import KeyNotInUse, NotTheOwner, SealBroken, Sealed, Vault, VaultEmpty, WrongMasterKey, open_vault
from tests.db.conftest import ROOT
from tests.db.schema_rows import CHECK, DENIED, FOREIGN, refused
from tests.db.secrets import absent, as_user, audited, database_with_users, dumped, vault_of

ROW, OTHER_ROW = (str(uuid.UUID(int=n)) for n in (1, 2))
SECRET = "correct horse battery staple"
KEYS = credentials.ExchangeKeys(api_key="KEYKEYKEYKEY1234", api_secret=SECRET, passphrase="pass phrase")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The config folder, and no key in the environment."""
    for name in ("QUANTSAIL_MASTER_KEY_FILE", KEY_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "config"


@pytest.fixture(params=["pg_server", "pg15_server"])
def dsn(request: pytest.FixtureRequest) -> Iterator[str]:
    yield from database_with_users(request.getfixturevalue(request.param))


@pytest_asyncio.fixture
async def owner(dsn: str, users: tuple[str, str]) -> AsyncIterator[Any]:
    connection = await connect(dsn, "qs_owner")
    yield connection
    await connection.close()


async def stored(conn: Any, home: Path, user_id: str, count: int = 1) -> list[str]:
    opened = await vault_of(conn, home)
    return [
        await credentials.add(conn, opened, KEYS, user_id=user_id, actor="test", exchange="binance", label=f"n{n}")
        for n in range(count)
    ]


async def revealed(dsn: str, home: Path, row: str) -> credentials.ExchangeKeys:
    engine = await connect(dsn)
    try:
        return await credentials.reveal(engine, await open_vault(engine, home), row, actor="engine")
    finally:
        await engine.close()


def sealed_vault() -> Vault:
    return Vault({1: bytes(range(32)), 2: bytes(range(32, 64))}, 2)


# -- sealing ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blob", [b"", b"x", SECRET.encode(), bytes(65_536)])
def test_what_is_sealed_opens_again(blob: bytes) -> None:
    opened = sealed_vault()
    sealed = opened.encrypt("t", ROW, "w", blob)
    assert (len(sealed.nonce), sealed.key_version) == (12, 2)
    assert opened.decrypt("t", ROW, "w", sealed) == blob
    assert opened.encrypt("t", ROW, "w", blob).ciphertext != sealed.ciphertext  # a nonce of its own each time
    with pytest.raises(vault.VaultError, match="65536 at most"):
        opened.encrypt("t", ROW, "w", bytes(65_537))


def test_a_sealed_secret_opens_in_its_own_place_only() -> None:
    opened = sealed_vault()
    sealed = opened.encrypt("t", ROW, "w", SECRET.encode())
    elsewhere = [("u", ROW, "w", sealed), ("t", OTHER_ROW, "w", sealed), ("t", ROW, "v", sealed)]
    elsewhere.append(("t", ROW, "w", sealed._replace(key_version=1)))
    for table, row, what, moved in elsewhere:
        with pytest.raises(SealBroken, match="moved or changed"):
            opened.decrypt(table, row, what, moved)


def test_a_flipped_bit_anywhere_is_found() -> None:
    opened = sealed_vault()
    sealed = opened.encrypt("t", ROW, "w", b"secret")
    for field in ("ciphertext", "nonce"):
        value = getattr(sealed, field)
        for byte in range(len(value)):
            changed = bytearray(value)
            changed[byte] ^= 1 << byte % 8
            with pytest.raises(SealBroken):
                opened.decrypt("t", ROW, "w", sealed._replace(**{field: bytes(changed)}))
    for cut in (b"", sealed.ciphertext[:-1], sealed.ciphertext[:3]):
        with pytest.raises(SealBroken):
            opened.decrypt("t", ROW, "w", sealed._replace(ciphertext=cut))
    with pytest.raises(SealBroken):
        opened.decrypt("t", ROW, "w", sealed._replace(nonce=b""))


def test_values_that_are_joined_stay_apart() -> None:
    parts = [("a|b", "c"), ("a", "b|c"), ("a", "b", "c"), ('a","b', "c"), ("a", "b,c"), ("abc",)]
    assert len({vault.bound(*p) for p in parts}) == len(parts)


def test_errors_and_reprs_show_no_secret() -> None:
    opened = sealed_vault()
    sealed = opened.encrypt("t", ROW, "w", SECRET.encode())
    with pytest.raises(SealBroken) as caught:
        opened.decrypt("t", OTHER_ROW, "w", sealed)
    assert SECRET not in str(caught.value) and caught.value.__cause__ is None
    assert repr(opened) == "Vault(key_version=2, versions=[1, 2])"
    with pytest.raises(TypeError):
        pickle.dumps(opened)
    text = f"a {SECRET} b {SECRET.replace(' ', '%20')} c {SECRET.replace(' ', '+')}"
    assert vault.scrub(text, SECRET, "") == "a *** b *** c ***"


# -- one database ---------------------------------------------------------------------------------------------------------


async def test_the_first_secret_makes_the_first_key(dsn: str, conn: Any, home: Path) -> None:
    with pytest.raises(VaultEmpty):
        await open_vault(conn, home)
    assert not home.exists()
    first = await vault_of(conn, home)
    assert first.key_version == 1
    sealed = first.encrypt("t", ROW, "w", b"x")
    assert (await vault_of(conn, home)).decrypt("t", ROW, "w", sealed) == b"x"
    assert await conn.fetchval("select kdf->>'source' from encryption_keys") == "OWN_FILE"
    assert [action for action, _ in audited(dsn)][-1] == "KEY_CREATED"


async def test_two_at_once_make_one_key(dsn: str, conn: Any, users: tuple[str, str], home: Path) -> None:
    others = [await as_user(dsn, users[n % 2]) for n in range(4)]
    opened = await asyncio.gather(*(open_vault(other, home, create=True) for other in others))
    assert await conn.fetchval("select count(*) from encryption_keys") == 1
    sealed = opened[0].encrypt("t", ROW, "w", b"x")
    assert [v.decrypt("t", ROW, "w", sealed) for v in opened] == [b"x"] * 4
    for other in others:
        await other.close()


async def test_a_wrong_master_key_is_told_in_one_line(conn: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await vault_of(conn, home)
    key = base64.b64encode(os.urandom(32)).decode()
    monkeypatch.setenv(KEY_VARIABLE, key)
    for create in (False, True):
        with pytest.raises(WrongMasterKey, match=r"wrapped with another master key: theirs is [0-9a-f]{16}") as caught:
            await open_vault(conn, home, create=create)
        assert "\n" not in str(caught.value)
        absent(str(caught.value), key, (home / "master.key").read_text().strip())


async def test_a_lost_master_key_is_not_replaced_by_a_new_one(conn: Any, home: Path) -> None:
    await vault_of(conn, home)
    (home / "master.key").unlink()
    with pytest.raises(MasterKeyMissing, match=r"master\.key"):
        await open_vault(conn, home, create=True)
    assert not (home / "master.key").exists()


async def test_a_data_key_changed_by_hand_is_found(conn: Any, owner: Any, home: Path) -> None:
    await vault_of(conn, home)
    await owner.execute(
        "update encryption_keys set wrapped_dek = set_byte(wrapped_dek, 0, get_byte(wrapped_dek, 0) # 1)"
    )
    with pytest.raises(SealBroken, match="key version 1"):
        await open_vault(conn, home)


@pytest.mark.parametrize(
    "change",
    [
        "ciphertext = (select ciphertext from exchange_credentials where id = $2), "
        "nonce = (select nonce from exchange_credentials where id = $2)",
        "environment = 'TESTNET', label = $2::text",
        "exchange_id = exchange_id('kraken'), label = $2::text",
        "ciphertext = set_byte(ciphertext, 3, get_byte(ciphertext, 3) # 16), label = $2::text",
    ],
    ids=["another row's", "other environment", "other exchange", "flipped bit"],
)
async def test_a_row_changed_by_hand_does_not_open(
    dsn: str, conn: Any, owner: Any, users: tuple[str, str], home: Path, change: str
) -> None:
    first, second = await stored(conn, home, users[0], 2)
    assert await revealed(dsn, home, first) == KEYS
    await owner.execute(f"update exchange_credentials set {change} where id = $1", first, second)
    with pytest.raises(SealBroken):
        await revealed(dsn, home, first)


# -- changing keys -----------------------------------------------------------------------------------------------------------


async def test_rotation_moves_every_row_and_destroys_the_old_key(
    dsn: str, conn: Any, owner: Any, users: tuple[str, str], home: Path
) -> None:
    rows = await stored(conn, home, users[0], 3)
    second = await as_user(dsn, users[1])
    rows += await stored(second, home, users[1])
    await second.close()
    await credentials.delete(conn, rows[0], user_id=users[0], actor="test")  # deleted ones hold a secret, too
    before = await open_vault(conn, home)
    mfa = before.encrypt("users", users[0], vault.bound("mfa"), b"otp")
    await owner.execute(
        "update users set mfa_ciphertext = $2, mfa_nonce = $3, mfa_key_version = $4 where id = $1", users[0], *mfa
    )

    assert await vault.rotate(owner, home, actor="test") == 5
    assert await owner.fetchval("select array_agg(distinct key_version) from exchange_credentials") == [2]
    assert [await revealed(dsn, home, row) for row in rows[1:]] == [KEYS] * 3
    found = await owner.fetchrow("select mfa_ciphertext, mfa_nonce, mfa_key_version from users where id = $1", users[0])
    after = await open_vault(conn, home)
    assert after.decrypt("users", users[0], vault.bound("mfa"), Sealed(*found)) == b"otp"
    gone = await owner.fetchrow("select wrapped_dek, wrap_nonce, retired_at from encryption_keys where key_version = 1")
    assert gone["wrapped_dek"] is gone["wrap_nonce"] is None and gone["retired_at"] is not None
    with pytest.raises(KeyNotInUse, match="key version 1"):
        after.decrypt("users", users[0], vault.bound("mfa"), mfa)
    assert [a for a, _ in audited(dsn) if a.startswith("KEY")] == ["KEY_CREATED", "KEY_CREATED", "KEY_RETIRED"]
    assert await vault.rotate(owner, home, actor="test") == 5  # and again
    assert (await open_vault(conn, home)).key_version == 3


async def test_a_vault_from_before_the_rotation_stores_nothing(
    dsn: str, conn: Any, owner: Any, users: tuple[str, str], home: Path
) -> None:
    await stored(conn, home, users[0])
    stale = await open_vault(conn, home)
    await vault.rotate(owner, home, actor="test")
    with pytest.raises(KeyNotInUse, match="try again"):
        await credentials.add(conn, stale, KEYS, user_id=users[0], actor="test", exchange="kraken")
    assert await owner.fetchval("select count(*) from exchange_credentials") == 1
    fresh = await open_vault(conn, home)
    await credentials.add(conn, fresh, KEYS, user_id=users[0], actor="test", exchange="kraken")


async def test_a_writer_in_the_middle_of_a_rotation_loses_nothing(
    dsn: str, conn: Any, owner: Any, users: tuple[str, str], home: Path
) -> None:
    """It has used the old key and not committed yet: the rotation waits for it, and takes its row along."""
    await stored(conn, home, users[0])
    stale = await open_vault(conn, home)
    transaction = conn.transaction()
    await transaction.start()
    row = await credentials.add(conn, stale, KEYS, user_id=users[0], actor="test", exchange="kraken")
    rotation = asyncio.create_task(vault.rotate(owner, home, actor="test"))
    watcher = await asyncpg.connect(dsn)
    while not await watcher.fetchval("select count(*) from pg_locks where not granted"):
        assert not rotation.done()
        await asyncio.sleep(0.01)
    await watcher.close()
    await transaction.commit()
    assert await rotation == 2
    assert await revealed(dsn, home, row) == KEYS


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from db import vault
from db.connect import connect
dsn, home, after = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
calls = 0
class Dying(vault.Vault):
    def encrypt(self, *args):
        global calls
        calls += 1
        if calls > after:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encrypt(*args)
vault.Vault = Dying
async def main():
    conn = await connect(dsn, "qs_owner")
    await vault.rotate(conn, home, actor="test")
asyncio.run(main())
"""


@pytest.mark.parametrize("after", [0, 2])
async def test_a_rotation_killed_in_the_middle_loses_nothing_and_goes_on(
    dsn: str, conn: Any, owner: Any, users: tuple[str, str], home: Path, after: int
) -> None:
    rows = await stored(conn, home, users[0], 3)
    program = [sys.executable, "-c", KILLED, dsn, str(home), str(after)]
    died = await asyncio.to_thread(subprocess.run, program, cwd=ROOT, capture_output=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert await owner.fetchval("select array_agg(distinct key_version) from exchange_credentials") == [1]
    assert await owner.fetchval("select count(*) from encryption_keys where retired_at is null") == 2
    assert [await revealed(dsn, home, row) for row in rows] == [KEYS] * 3
    assert await vault.rotate(owner, home, actor="test") == 3
    assert await owner.fetchval("select array_agg(key_version) from encryption_keys where retired_at is null") == [2]
    assert [await revealed(dsn, home, row) for row in rows] == [KEYS] * 3


async def test_a_broken_row_stops_a_rotation_before_the_old_key_is_gone(
    dsn: str, conn: Any, owner: Any, users: tuple[str, str], home: Path
) -> None:
    good, bad = await stored(conn, home, users[0], 2)
    await owner.execute("update exchange_credentials set environment = 'PAPER' where id = $1", bad)
    with pytest.raises(SealBroken, match=bad):
        await vault.rotate(owner, home, actor="test")
    assert await revealed(dsn, home, good) == KEYS
    assert await owner.fetchval("select count(*) from encryption_keys where retired_at is not null") == 0


async def test_rewrapping_exchanges_the_master_key(
    dsn: str, conn: Any, owner: Any, users: tuple[str, str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (row,) = await stored(conn, home, users[0])
    before = await owner.fetchrow("select ciphertext, nonce, key_version from exchange_credentials")
    key = os.urandom(32)
    assert await vault.rewrap(owner, home, MasterKey(key, "ENV", KEY_VARIABLE), actor="test") == 1
    with pytest.raises(WrongMasterKey):
        await open_vault(conn, home)
    monkeypatch.setenv(KEY_VARIABLE, base64.b64encode(key).decode())
    assert await revealed(dsn, home, row) == KEYS
    assert await owner.fetchrow("select ciphertext, nonce, key_version from exchange_credentials") == before
    action, values = audited(dsn)[-2]
    assert action == "KEYS_REWRAPPED" and "OWN_FILE" in values and "ENV" in values


async def test_keys_are_exchanged_by_the_owner_only(dsn: str, conn: Any, home: Path) -> None:
    engine = await connect(dsn)
    for role in (conn, engine):
        with pytest.raises(NotTheOwner):
            await vault.rotate(role, home, actor="test")
        with pytest.raises(NotTheOwner):
            await vault.rewrap(role, home, MasterKey(os.urandom(32), "ENV", "x"), actor="test")
        for sql in ("update encryption_keys set retired_at = now()", "delete from encryption_keys"):
            await refused(role, DENIED, sql)
    await engine.close()


async def test_there_is_nothing_to_exchange_in_an_empty_vault(owner: Any, home: Path) -> None:
    with pytest.raises(VaultEmpty):
        await vault.rotate(owner, home, actor="test")
    with pytest.raises(VaultEmpty):
        await vault.rewrap(owner, home, MasterKey(os.urandom(32), "ENV", "x"), actor="test")


# -- raw SQL -------------------------------------------------------------------------------------------------------------


async def test_the_tables_of_secrets_defend_themselves(
    conn: Any, owner: Any, users: tuple[str, str], home: Path
) -> None:
    (row,) = await stored(conn, home, users[0])
    await refused(owner, FOREIGN, "delete from encryption_keys")
    for wrong in ("wrapped_dek = null", "wrapped_dek = ''", "wrap_nonce = 'x'", "algorithm = 'XOR'", "key_version = 0"):
        await refused(owner, CHECK, f"update encryption_keys set {wrong}")
    await refused(owner, "QS005", "update exchange_credentials set key_version = 9 where id = $1", row)
    for wrong in ("nonce = ''", "permissions = '{READ,WITHDRAW}'", "permissions = '{FLY}'", "permissions = '{NULL}'"):
        await refused(owner, CHECK, f"update exchange_credentials set {wrong}")
    await owner.execute("update exchange_credentials set permissions = '{READ,WITHDRAW}', withdraw_allowed = true")
    await refused(owner, CHECK, "update exchange_credentials set withdraw_allowed = false")


async def test_no_dump_holds_a_secret(
    request: pytest.FixtureRequest, dsn: str, conn: Any, owner: Any, users: tuple[str, str], home: Path
) -> None:
    await stored(conn, home, users[0], 2)
    await vault.rotate(owner, home, actor="test")
    text = dumped(request.getfixturevalue("pg_server"), dsn)  # the newest pg_dump reads both
    assert "n1" in text
    master = base64.b64decode((home / "master.key").read_text())
    absent(text, SECRET, KEYS.api_key, KEYS.passphrase, master.hex(), base64.b64encode(master).decode())
