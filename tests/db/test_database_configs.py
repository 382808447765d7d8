"""Stored databases: real servers with right and wrong passwords, TLS that is never left out, and no password anywhere."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

import msgspec
import psycopg
import pytest

from db import database_configs
from db.connect import connect
from db.database_configs import DatabaseRefused, DatabaseUnknown
from db.embedded import SUPERUSER, EmbeddedServer
from db.probe import ExtraMissing, Tls
from db.vault import SealBroken, Vault
from tests.db.foreign import LOGIN, PASSWORD, ask_for_password, of, tried
from tests.db.secrets import HOSTILE, absent, as_user, audited, dumped


@pytest.fixture(scope="session")
def asking(pg_server: EmbeddedServer) -> EmbeddedServer:
    """The session's server, with one login that needs a password; everybody else comes in as before."""
    ask_for_password(pg_server, "local all {login} scram-sha-256")
    return pg_server


async def test_a_server_is_tested_and_the_answer_kept(
    dsn: str, conn: Any, vault: Vault, users: tuple[str, str], asking: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "not this one")  # nothing comes from the environment
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    answer = await tried(conn, vault, users[0], of(asking))
    assert answer.ok and answer.server_version.startswith(str(asking.binaries.major)) and not answer.tls, answer
    (kept,) = await database_configs.list(conn, user_id=users[0])
    assert (kept.name, kept.status, kept.has_password, kept.last_test) == (
        "store",
        "ACTIVE",
        True,
        msgspec.to_builtins(answer),
    )
    assert kept.last_tested_ts is not None and kept.tls == Tls(mode="disable")
    log = audited(dsn)[-2:]
    assert [action for action, _ in log] == ["DATABASE_ADDED", "DATABASE_TESTED"]
    assert '"status": "INACTIVE"' in log[1][1] and '"status": "ACTIVE"' in log[1][1]
    absent(f"{log}{kept}{answer}{dumped(asking, dsn)}", PASSWORD, PASSWORD[:8])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"password": PASSWORD + "x"}, "password authentication failed"),
        ({"password": ""}, "password"),
        ({"database": "nowhere"}, 'database "nowhere" does not exist'),
        ({"username": "nobody_here"}, "does not exist"),
        ({"port": 1}, ""),
        ({"host": "127.0.0.1", "port": 1}, "failed"),
        ({"host": "no-such-host.invalid"}, ""),
        ({"host": "127.0.0.1", "port": 1, "tls": Tls(ca_file="/nowhere.pem")}, "TLS files"),
    ],
)
async def test_what_fails_is_said_without_the_password(
    dsn: str, conn: Any, vault: Vault, users: tuple[str, str], asking: EmbeddedServer, changed: Any, said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    answer = await tried(conn, vault, users[0], of(asking, **changed))
    assert not answer.ok and said in answer.error and answer.error and "\n" not in answer.error
    (kept,) = await database_configs.list(conn, user_id=users[0])
    assert kept.status == "ERROR" and kept.last_test == msgspec.to_builtins(answer)
    absent(str(audited(dsn)) + answer.error, PASSWORD)


async def test_a_test_after_an_error_may_succeed(
    conn: Any, vault: Vault, users: tuple[str, str], asking: EmbeddedServer
) -> None:
    with psycopg.connect(asking.dsn("postgres", SUPERUSER), autocommit=True) as superuser:
        superuser.execute(f"alter role {LOGIN} nologin".encode())
        try:
            assert not (await tried(conn, vault, users[0], of(asking))).ok
        finally:
            superuser.execute(f"alter role {LOGIN} login".encode())
    again = await database_configs.test(conn, vault, "store", user_id=users[0], actor="ann", timeout_s=60)
    assert again.ok and (await database_configs.list(conn, user_id=users[0]))[0].status == "ACTIVE"


async def test_a_silent_server_is_given_up(
    conn: Any, vault: Vault, users: tuple[str, str], asking: EmbeddedServer
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        new = of(asking, host="127.0.0.1", port=silent.getsockname()[1])
        answer = await tried(conn, vault, users[0], new, timeout_s=0.3)
    assert (answer.ok, answer.error) == (False, "no answer within 0.3 s")


async def test_a_server_that_quotes_the_password_is_not_believed(
    dsn: str, conn: Any, vault: Vault, users: tuple[str, str], asking: EmbeddedServer
) -> None:
    """It refuses with an error that holds an escape sequence and what it may know of the password."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000)
        fields = f"SFATAL\0C28P01\0Mwrong: {PASSWORD} \x1b]0;owned\x07\nsecond line\0\0".encode()
        writer.write(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    try:
        new = of(asking, host="127.0.0.1", port=server.sockets[0].getsockname()[1])
        answer = await tried(conn, vault, users[0], new)
    finally:
        server.close()
    assert answer.error == "wrong: *** second line"
    absent(str(audited(dsn)), PASSWORD)


async def test_a_row_that_was_pointed_elsewhere_keeps_its_password(
    dsn: str, conn: Any, vault: Vault, users: tuple[str, str], asking: EmbeddedServer
) -> None:
    await database_configs.add(conn, vault, of(asking), user_id=users[0], actor="ann")
    for change in ("host = 'evil.example.org'", "port = 6666", "username = 'root'", "db_type = 'MYSQL'"):
        before = await conn.fetchrow("select host, port, username, db_type from database_configs")
        await conn.execute(f"update database_configs set {change}")
        with pytest.raises(SealBroken):
            await database_configs.test(conn, vault, "store", user_id=users[0], actor="ann")
        await conn.execute("update database_configs set host = $1, port = $2, username = $3, db_type = $4", *before)


async def test_databases_are_listed_and_removed(
    dsn: str, conn: Any, vault: Vault, users: tuple[str, str], asking: EmbeddedServer
) -> None:
    add = database_configs.add
    assert await database_configs.list(conn, user_id=users[0]) == ()
    await add(conn, vault, of(asking, name=HOSTILE), user_id=users[0], actor="ann")
    await add(conn, None, of(asking, name="open", password=""), user_id=users[0], actor="ann")
    first, second = await database_configs.list(conn, user_id=users[0])
    assert (
        first.name.isprintable()
        and first.name.startswith("evil")
        and (second.name, second.has_password) == ("open", False)
    )
    with pytest.raises(DatabaseRefused, match="already"):
        await add(conn, vault, of(asking, name=HOSTILE), user_id=users[0], actor="ann")
    other = await as_user(dsn, users[1])
    await add(other, None, of(asking, name="open", password=""), user_id=users[1], actor="bob")
    with pytest.raises(DatabaseUnknown):
        await database_configs.remove(other, HOSTILE, user_id=users[1], actor="bob")
    await other.close()
    removed = await database_configs.remove(conn, HOSTILE, user_id=users[0], actor="ann")
    assert removed.id == first.id
    for name in (HOSTILE, first.name, "nobody", "", "\x00", "'; drop table users; --"):
        with pytest.raises(DatabaseUnknown) as caught:
            await database_configs.remove(conn, name, user_id=users[0], actor="ann")
        assert "\x1b" not in str(caught.value)
    assert [c.name for c in await database_configs.list(conn, user_id=users[0])] == ["open"]
    await add(conn, vault, of(asking, name=HOSTILE), user_id=users[0], actor="ann")  # the name is free again
    assert "DATABASE_REMOVED" in [action for action, _ in audited(dsn)]


async def test_settings_changed_by_hand_are_read_strictly(
    conn: Any, users: tuple[str, str], asking: EmbeddedServer
) -> None:
    await database_configs.add(conn, None, of(asking, password=""), user_id=users[0], actor="ann")
    for settings in ('{"mode": "trust me"}', '{"verify": false}', "{}"):
        await conn.execute("update database_configs set ssl_config = $1", settings)
        assert (await database_configs.list(conn, user_id=users[0]))[0].tls.mode == "verify-full"


@pytest.mark.parametrize(
    "changed",
    [
        {"name": ""}, {"name": " \x1b[2J "}, {"db_type": "ORACLE"}, {"host": ""}, {"host": "a,b"}, {"host": "a/b"},
        {"host": "mongodb://a"}, {"host": "u:p@h"}, {"host": "h h"}, {"host": HOSTILE}, {"host": "/run\x1b[2J"},
        {"host": "münchen.de"}, {"host": "-h"}, {"host": "/run", "db_type": "MYSQL"}, {"port": 0}, {"port": 65_536}, {"port": -1},
        {"database": ""}, {"database": HOSTILE}, {"username": "a\x00b"}, {"password": "a\x00b"}, {"password": "x" * 4_097},
        {"password": "\udcff"}, {"tls": Tls(mode="prefer")}, {"tls": Tls(key_file="/k")}, {"tls": Tls(ca_file="/a\x1b[2J")},
    ],
)  # fmt: skip
async def test_what_is_not_stored(
    dsn: str, conn: Any, vault: Vault, users: tuple[str, str], asking: EmbeddedServer, changed: Any
) -> None:
    with pytest.raises(DatabaseRefused) as caught:
        await database_configs.add(conn, vault, of(asking, **changed), user_id=users[0], actor="ann")
    assert "\x1b" not in str(caught.value) and "\n" not in str(caught.value)
    assert await conn.fetchval("select count(*) from database_configs") == 0


@pytest.mark.parametrize("host", ["db", "db.example.org", "10.0.0.1", "::1", "fe80::1%eth0", "2001:db8::7", "my_db-1"])
async def test_hosts_that_are_stored(conn: Any, users: tuple[str, str], asking: EmbeddedServer, host: str) -> None:
    await database_configs.add(conn, None, of(asking, host=host, password=""), user_id=users[0], actor="ann")


async def test_no_repr_shows_a_password(asking: EmbeddedServer) -> None:
    new = of(asking)
    absent(f"{new!r} {new} {[new]}", PASSWORD)


# -- drivers that are extras --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("db_type", "module", "extra"), [("MYSQL", "pymysql", "mysql"), ("MONGODB", "pymongo", "mongodb")]
)
async def test_a_missing_driver_is_named_with_its_extra(
    conn: Any, vault: Vault, users: tuple[str, str], asking: EmbeddedServer, db_type: str, module: str, extra: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, module, None)  # Python's own way to say that there is none
    with pytest.raises(ExtraMissing, match=rf"pip install 'quantsail\[{extra}\]'"):
        await tried(conn, vault, users[0], of(asking, db_type=db_type, host="127.0.0.1"))
    (kept,) = await database_configs.list(conn, user_id=users[0])
    assert kept.status == "INACTIVE" and kept.last_test is None  # that says nothing about the database


@pytest.mark.parametrize(("db_type", "module"), [("MYSQL", "pymysql"), ("MONGODB", "pymongo")])
@pytest.mark.parametrize("tls", [Tls(mode="disable"), Tls()], ids=["plain", "tls"])
async def test_the_other_drivers_say_what_fails(
    conn: Any, vault: Vault, users: tuple[str, str], asking: EmbeddedServer, db_type: str, module: str, tls: Tls
) -> None:
    """No such server is on this machine: an unreachable one, and one that talks nonsense, are what can be shown."""
    pytest.importorskip(module, reason=f"the extra with {module} is not installed")
    nonsense = await asyncio.start_server(lambda r, w: w.write(b"SSH-2.0-\x1b]0;owned\x07\r\n" * 50), "127.0.0.1", 0)
    try:
        for number, port in enumerate((1, nonsense.sockets[0].getsockname()[1])):
            new = of(asking, name=f"n{number}", db_type=db_type, host="127.0.0.1", port=port, tls=tls)
            answer = await tried(conn, vault, users[0], new, timeout_s=3)
            assert not answer.ok and answer.error and answer.error.isprintable()
            absent(answer.error, PASSWORD)
    finally:
        nonsense.close()


async def test_only_its_owner_may_see_the_table(dsn: str) -> None:
    viewer = await connect(dsn, "qs_view")
    with pytest.raises(Exception, match="permission denied"):
        await viewer.fetch("select * from database_configs")
    await viewer.close()
