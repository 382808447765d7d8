"""The writer of `users`: what it stores, what it refuses, and what it leaves out of the audit log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from db import users
from db.connect import connect
from db.embedded import EmbeddedServer
from db.users import UserRefused, UserUnknown
from tests.db.schema_rows import NOW
from tests.db.secrets import HOSTILE, audited, database_with_users, user_ids


@pytest.fixture
def dsn(pg_server: EmbeddedServer) -> Iterator[str]:
    yield from database_with_users(pg_server)


@pytest_asyncio.fixture
async def conn(dsn: str) -> AsyncIterator[Any]:
    connection = await connect(dsn)
    yield connection
    await connection.close()


async def test_the_life_of_a_user(dsn: str, conn: Any) -> None:
    facts = {
        "role": "ADMIN",
        "first_name": "Zoë",
        "last_name": "O'Neil",
        "timezone": "Europe/Berlin",
        "currency": "EUR",
    }
    user = await users.create(conn, "Zoe@example.org", actor="test", **facts)  # type: ignore[arg-type]
    found = await users.get(conn, user)
    assert (found.email, found.role, found.full_name, found.timezone) == (
        "Zoe@example.org",
        "ADMIN",
        "Zoë O'Neil",
        "Europe/Berlin",
    )
    assert (found.preferred_currency, found.is_active, found.is_verified, found.last_login_ts) == (
        "EUR",
        True,
        False,
        None,
    )
    for _ in range(2):  # confirming twice is confirming once
        await users.verify(conn, user, actor="test")
    await users.signed_in(conn, user, actor="test")
    await users.rename(conn, user, actor="test", first_name="Zoe", last_name="O'Neil")
    found = await users.get(conn, user)
    assert found.verified_ts and found.last_login_ts and (found.first_name, found.full_name) == ("Zoe", "Zoe O'Neil")
    await users.delete(conn, user, actor="test")
    for gone in (users.get(conn, user), users.verify(conn, user, actor="t"), users.delete(conn, user, actor="t")):
        with pytest.raises(UserUnknown):
            await gone
    again = await users.create(conn, "zoe@EXAMPLE.org", actor="test")  # the address is free again
    assert again != user
    log = audited(dsn)[2:]
    names = ["CREATED", "VERIFIED", "SIGNED_IN", "RENAMED", "DELETED", "CREATED"]
    assert [action for action, _ in log] == [f"USER_{name}" for name in names]
    assert '"changed": ["full_name", "first_name"]' in log[3][1]
    for personal in ("Zo", "Neil", "example.org"):  # what can be erased must not stay in a log for ever
        assert personal not in str(log)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"email": "nobody"}, "not an e-mail address"),
        ({"email": "a b@c"}, "not an e-mail address"),
        ({"email": "a@b@c"}, "not an e-mail address"),
        ({"email": f"{HOSTILE}@example.org"}, "not an e-mail address"),
        ({"email": "a@" + "b" * 260}, "not an e-mail address"),
        ({"email": "ANN@example.org"}, "already"),
        ({"role": "KING"}, "choose one of OWNER"),
        ({"timezone": "Mars/Olympus"}, "IANA"),
        ({"timezone": "../../etc/passwd"}, "IANA"),
        ({"timezone": "America"}, "IANA"),
        ({"timezone": ""}, "IANA"),
        ({"currency": "usd"}, "capital letters"),
        ({"currency": "USD\n"}, "capital letters"),
    ],
)
async def test_what_is_refused(dsn: str, conn: Any, changed: dict[str, Any], said: str) -> None:
    given = {"email": "new@example.org", "actor": "test"} | changed
    with pytest.raises(UserRefused, match=said) as caught:
        await users.create(conn, **given)
    assert "\x1b" not in str(caught.value)
    assert len(user_ids(dsn)) == 2 and len(audited(dsn)) == 2


async def test_names_are_safe_to_show(conn: Any) -> None:
    user = await users.create(conn, "x@example.org", actor="test", first_name=HOSTILE)
    found = await users.get(conn, user)
    assert found.first_name.isprintable() and found.full_name.startswith("evil")
    await conn.execute("update users set full_name = $2 where id = $1", user, HOSTILE)  # by hand
    assert (await users.get(conn, user)).full_name.isprintable()


async def test_who_is_not_active_does_not_sign_in(dsn: str, conn: Any) -> None:
    ann, _ = user_ids(dsn)
    await conn.execute("update users set is_active = false where id = $1", ann)
    with pytest.raises(UserRefused, match="not active"):
        await users.signed_in(conn, ann, actor="test")


async def test_the_ledgers_operator_is_not_deleted(dsn: str, conn: Any) -> None:
    ann, bob = user_ids(dsn)
    await conn.execute(
        "insert into ledger(ledger_id, user_id, mode, feed, base_currency, created_at) values('l', $1, 'SIM', 'sim', 'USDT', $2)",
        ann, NOW,
    )  # fmt: skip
    with pytest.raises(UserRefused, match="operates this ledger"):
        await users.delete(conn, ann, actor="test")
    await users.delete(conn, bob, actor="test")


@pytest.mark.parametrize("user", ["", "nobody", HOSTILE, "00000000-0000-7000-8000-000000000000"])
async def test_nobody_is_named(conn: Any, user: str) -> None:
    with pytest.raises(UserUnknown) as caught:
        await users.rename(conn, user, actor="test", first_name="x")
    assert "\x1b" not in str(caught.value)
