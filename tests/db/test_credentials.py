"""Keys of exchange accounts: stored encrypted, listed without secrets, withdrawn, and never able to withdraw by accident."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
import rich.console
import rich.pretty

from db import audit, credentials
from db.connect import connect
from db.credentials import CredentialRefused, CredentialRevoked, CredentialUnknown, ExchangeKeys
from db.vault import Vault, open_vault
from tests.db.secrets import HOSTILE, absent, as_user, audited

KEYS = ExchangeKeys(api_key="AbCdEfGhIjKlMnOp", api_secret="-----BEGIN KEY-----\nsecret\n", passphrase="open sesame")
SECRETS = ("AbCdEfGhIjKl", "BEGIN KEY", "open sesame")


@pytest_asyncio.fixture
async def engine(dsn: str) -> AsyncIterator[Any]:
    connection = await connect(dsn)
    yield connection
    await connection.close()


async def stored(conn: Any, vault: Vault, users: tuple[str, str], keys: ExchangeKeys = KEYS, **facts: Any) -> str:
    given = {"exchange": "binance", "label": "main", "user_id": users[0], "actor": "ann"} | facts
    return await credentials.add(conn, vault, keys, **given)


async def test_keys_come_back_to_the_engine_and_to_nobody_else(
    dsn: str, conn: Any, engine: Any, vault: Vault, users: tuple[str, str], tmp_path: Path
) -> None:
    row = await stored(conn, vault, users, permissions=("TRADE", "READ"))
    (listed,) = await credentials.list(conn, user_id=users[0])
    facts = (
        listed.id,
        listed.exchange,
        listed.label,
        listed.environment,
        listed.hint,
        listed.status,
        listed.last_used_ts,
    )
    assert facts == (row, "binance", "main", "PRODUCTION", "MnOp", "ACTIVE", None)
    assert listed.permissions == ("READ", "TRADE")
    absent(str(msgspec.to_builtins(listed)), *SECRETS)

    theirs = await open_vault(engine, tmp_path / "config")
    found = await credentials.reveal(engine, theirs, row, actor="engine")
    assert (found.api_key, found.api_secret, found.passphrase) == (KEYS.api_key, KEYS.api_secret, KEYS.passphrase)
    await credentials.record_use(engine, row, requests=12)
    assert await engine.fetchval("select request_count from exchange_credentials") == 12
    (listed,) = await credentials.list(conn, user_id=users[0])
    assert listed.last_used_ts is not None
    assert [action for action, _ in audited(dsn)][-2:] == ["CREDENTIAL_ADDED", "CREDENTIAL_REVEALED"]


async def test_every_change_is_audited_without_a_secret(
    dsn: str, conn: Any, engine: Any, vault: Vault, users: tuple[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    row = await stored(conn, vault, users)
    message = f"key {KEYS.api_key} of {KEYS.passphrase.replace(' ', '+')} refused {HOSTILE}"
    await credentials.record_test(conn, row, KEYS, ok=False, message=message, actor="ann")
    (listed,) = await credentials.list(conn, user_id=users[0])
    assert listed.status == "ERROR" and listed.last_test is not None and listed.last_test["ok"] is False
    assert listed.last_test["message"].startswith("key *** of *** refused evil") and "\x1b" not in str(listed.last_test)
    await credentials.record_test(engine, row, KEYS, ok=True, message="", actor="engine")
    await credentials.revoke(conn, row, user_id=users[0], actor="ann", reason=f"leaked {HOSTILE}")
    await credentials.delete(conn, row, user_id=users[0], actor="ann")
    assert await credentials.list(conn, user_id=users[0]) == ()
    log = audited(dsn)
    names = ["ADDED", "TESTED", "TESTED", "REVOKED", "DELETED"]
    assert [action for action, _ in log][-5:] == [f"CREDENTIAL_{name}" for name in names]
    assert '"permissions": ["READ"]' in log[-5][1] and "leaked evil" in log[-2][1] and "\\u001b" not in str(log)
    absent(str(log) + "".join(capfd.readouterr()), *SECRETS)
    owner = await connect(dsn, "qs_owner")
    async with owner.transaction():
        assert [seq async for seq in audit.walk(owner)] == list(range(1, len(log) + 1))
    who = await owner.fetchval("select array_agg(distinct user_id::text) from audit_logs where resource_id = $1", row)
    assert who == [users[0]]
    await owner.close()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"permissions": ("READ", "WITHDRAW")}, "WITHDRAW are not stored"),
        ({"permissions": ()}, "permissions are some of"),
        ({"permissions": ("read",)}, "permissions are some of"),
        ({"environment": "production"}, "choose one of PRODUCTION"),
        ({"exchange": "Bi nance"}, "as ccxt does"),
        ({"exchange": HOSTILE}, "as ccxt does"),
        ({"keys": ExchangeKeys(api_key="", api_secret="s")}, "the key is empty"),
        ({"keys": ExchangeKeys(api_key="AbCdEfGhIjKl\n", api_secret="s")}, "paste it again"),
        ({"keys": ExchangeKeys(api_key="k", api_secret="")}, "the secret is empty"),
        ({"keys": ExchangeKeys(api_key="k", api_secret="\udcff")}, "the secret is not text"),
        ({"keys": ExchangeKeys(api_key="k", api_secret="x" * 8_193)}, "more than 8192"),
        ({"user_id": "00000000-0000-7000-8000-000000000000"}, "there is no user"),
    ],
)
async def test_what_is_not_stored(
    conn: Any, vault: Vault, users: tuple[str, str], engine: Any, changed: dict[str, Any], said: str
) -> None:
    if "user_id" in changed:  # only the engine could even try to write another user's rows
        conn = await connect_owner(engine)
    with pytest.raises(CredentialRefused, match=said) as caught:
        await stored(conn, vault, users, **changed)
    absent(str(caught.value), "AbCdEfGhIjKl")
    assert "\x1b" not in str(caught.value) and "\n" not in str(caught.value)
    assert await engine.fetchval("select count(*) from exchange_credentials") == 0


async def connect_owner(connection: Any) -> Any:
    await connection.execute("set role qs_owner")
    return connection


async def test_withdraw_is_stored_when_a_person_says_so(
    dsn: str, conn: Any, vault: Vault, users: tuple[str, str]
) -> None:
    await stored(conn, vault, users, withdraw_allowed=True)  # allowed, and not asked for: it says nothing
    assert await conn.fetchval("select withdraw_allowed from exchange_credentials") is False
    await stored(conn, vault, users, label="cash", permissions=("READ", "WITHDRAW"), withdraw_allowed=True)
    assert await conn.fetchval("select withdraw_allowed from exchange_credentials where label = 'cash'") is True
    assert '"withdraw_allowed": true' in audited(dsn)[-1][1]


async def test_short_keys_are_not_hinted_at(conn: Any, vault: Vault, users: tuple[str, str]) -> None:
    await stored(conn, vault, users, keys=ExchangeKeys(api_key="hunter2", api_secret="s"))
    assert (await credentials.list(conn, user_id=users[0]))[0].hint == ""


async def test_labels_are_safe_and_unique(conn: Any, vault: Vault, users: tuple[str, str]) -> None:
    row = await stored(conn, vault, users, label=HOSTILE)
    (listed,) = await credentials.list(conn, user_id=users[0])
    assert listed.label.startswith("evil") and listed.label.isprintable() and "\u202e" not in listed.label
    with pytest.raises(CredentialRefused, match="another label"):
        await stored(conn, vault, users, label=HOSTILE)
    await stored(conn, vault, users, label=HOSTILE, environment="TESTNET")
    await credentials.revoke(conn, row, user_id=users[0], actor="ann")
    await stored(conn, vault, users, label=HOSTILE)  # a revoked one's label is free


async def test_what_is_ended_stays_ended(conn: Any, engine: Any, vault: Vault, users: tuple[str, str]) -> None:
    row = await stored(conn, vault, users)
    await credentials.revoke(conn, row, user_id=users[0], actor="ann")
    with pytest.raises(CredentialRevoked):
        await credentials.reveal(engine, vault, row, actor="engine")
    with pytest.raises(CredentialRevoked):
        await credentials.record_test(engine, row, KEYS, ok=True, message="", actor="engine")
    with pytest.raises(CredentialUnknown):
        await credentials.revoke(conn, row, user_id=users[0], actor="ann")
    await credentials.delete(conn, row, user_id=users[0], actor="ann")
    for gone in (row, "00000000-0000-7000-8000-000000000000", "not an id", HOSTILE):
        with pytest.raises(CredentialUnknown) as caught:
            await credentials.delete(conn, gone, user_id=users[0], actor="ann")
        assert "\x1b" not in str(caught.value)
        with pytest.raises(CredentialUnknown):
            await credentials.reveal(engine, vault, gone, actor="engine")


async def test_another_users_keys_are_out_of_reach(dsn: str, conn: Any, vault: Vault, users: tuple[str, str]) -> None:
    row = await stored(conn, vault, users)
    other = await as_user(dsn, users[1])
    assert await credentials.list(other, user_id=users[1]) == ()
    for end in (credentials.revoke, credentials.delete):
        with pytest.raises(CredentialUnknown):
            await end(other, row, user_id=users[1], actor="bob")
    await other.close()
    assert (await credentials.list(conn, user_id=users[0]))[0].status == "ACTIVE"


async def test_a_change_that_is_not_audited_does_not_happen(
    dsn: str, conn: Any, vault: Vault, users: tuple[str, str]
) -> None:
    owner = await connect(dsn, "qs_owner")
    await owner.execute("revoke execute on function qs.append_audit from qs_app")
    await owner.close()
    with pytest.raises(Exception, match="append_audit"):
        await stored(conn, vault, users)
    assert await credentials.list(conn, user_id=users[0]) == ()


def test_no_repr_shows_keys() -> None:
    shown = io.StringIO()
    rich.console.Console(file=shown).print(KEYS, rich.pretty.Pretty(KEYS))
    text = f"{KEYS!r} {KEYS} {[KEYS]} {shown.getvalue()}"
    absent(text, *SECRETS)


async def test_tests_and_uses_at_once_do_not_block_each_other_for_ever(
    dsn: str, conn: Any, vault: Vault, users: tuple[str, str]
) -> None:
    row = await stored(conn, vault, users)
    engines = [await connect(dsn) for _ in range(4)]
    jobs = [credentials.record_test(e, row, KEYS, ok=True, message="", actor="engine") for e in engines[:2]]
    jobs += [credentials.record_use(e, row, requests=1) for e in engines[2:]]
    await asyncio.gather(*jobs)
    assert await conn.fetchval("select request_count from exchange_credentials") == 2
    for e in engines:
        await e.close()
