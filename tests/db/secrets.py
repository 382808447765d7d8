"""What the tests of secrets share: users, a vault, and a search for secrets where none may be."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg

from db import users
from db.connect import connect
from db.embedded import SUPERUSER, EmbeddedServer
from db.migrate import migrate
from db.vault import Vault, open_vault
from tests.servers import clone

TEMPLATE = "template_users"
_numbers = itertools.count(1)
#: Terminal escapes, a bidi override and a zero-width space: what must never come out as it went in.
HOSTILE = "evil\x1b]0;owned\x07\x1b[2J\u202ename\u200b"


async def two_users(dsn: str) -> None:
    """Migrate a database and give it two users."""
    await migrate(dsn)
    conn = await connect(dsn)
    try:
        await users.create(conn, "ann@example.org", actor="test", role="OWNER", first_name="Ann", last_name="Lee")
        await users.create(conn, "bob@example.org", actor="test")
    finally:
        await conn.close()


def database_with_users(server: EmbeddedServer) -> Iterator[str]:
    """For a fixture: a fresh database with two users, copied from one that was migrated once; dropped afterwards."""
    if server.create_database(TEMPLATE):
        with ThreadPoolExecutor(1) as thread:  # a loop of its own, whatever runs here
            thread.submit(asyncio.run, two_users(server.dsn(TEMPLATE, SUPERUSER))).result()
    name = f"users_{next(_numbers)}"
    try:
        yield clone(server, name, TEMPLATE)
    finally:
        with psycopg.connect(server.dsn("postgres", SUPERUSER), autocommit=True) as connection:
            connection.execute(f'drop database if exists "{name}" with (force)'.encode())


def user_ids(dsn: str) -> tuple[str, str]:
    """Of the two users, Ann first."""
    with psycopg.connect(dsn) as conn:
        first, second = conn.execute("select id::text from qs.users order by email").fetchall()
    return first[0], second[0]


async def as_user(dsn: str, user_id: str) -> Any:
    """A connection as the operator's program has it."""
    return await connect(dsn, "qs_app", user=user_id)


async def vault_of(conn: Any, home: Path) -> Vault:
    return await open_vault(conn, home, create=True)


def dumped(server: EmbeddedServer, dsn: str) -> str:
    """Everything that a `pg_dump` of the database holds, as SQL text."""
    argv = [server.binaries.tool("pg_dump"), "--inserts", "-d", dsn]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=environment)
    assert "COPY" in done.stdout or "INSERT" in done.stdout
    return done.stdout


def absent(text: str, *secrets: str) -> None:
    """None of the secrets is in the text, also not as the hex digits of a bytea."""
    for secret in secrets:
        assert secret not in text
        assert secret.encode().hex() not in text


def audited(dsn: str) -> list[tuple[str, str]]:
    """(action, all values as text) of the audit log, in order."""
    with psycopg.connect(dsn) as conn:
        return conn.execute(
            "select action, concat(old_values, new_values, metadata) from qs.audit_logs order by seq"
        ).fetchall()
