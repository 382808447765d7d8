"""`quantsail databases ...`: what a person stores of other databases, as the operator of the ledger (role qs_app)."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from engine import paths
from engine.cli.db_common import answer, keeper, target
from engine.cli.exits import Exit, fail
from engine.cli.stop import actor
from engine.cli.tables import listing
from engine.core.text import safe_text

T = TypeVar("T")

PASSWORD_BYTES_MAX = 16_384
EMPTY = "no databases yet; store one: quantsail databases add NAME --type postgresql --host HOST --database NAME --user NAME"


class Where(NamedTuple):
    """What `add` was told; port 0 and an empty `tls` ask for the usual."""

    name: str
    kind: str
    host: str
    port: int
    database: str
    user: str
    tls: str
    ca_file: str
    cert_file: str
    key_file: str


def _as_operator(ledger: str, work: Callable[[Any, str], Awaitable[T]]) -> T:
    """Run `await work(conn, user_id)` on the ledger's database as its operator."""
    import asyncio

    from db import audit
    from db.connect import OPERATOR, connect

    name = target(ledger)

    async def go(dsn: str) -> T:
        conn = await connect(dsn, "qs_app", user=OPERATOR, name="quantsail databases")
        try:
            user_id = await conn.fetchval("select user_id::text from qs.ledger")
            if user_id is None:
                fail(f"ledger {name} has no operator yet: start `quantsail` on it once", Exit.NOT_RUNNING)
            async with audit.witnessed(conn, paths.ledger_dir(name)):
                return await work(conn, user_id)
        finally:
            await conn.close()

    with keeper() as database:

        async def open_and_go() -> T:
            return await go(await database.open(name))

        return asyncio.run(open_and_go())


def add(where: Where, ledger: str, password_file: Path | None, *, no_password: bool, as_json: bool) -> int:
    """Store a database with its password, which never is an argument: other users see those."""
    from db import database_configs
    from db.probe import DbType, Tls
    from db.vault import open_vault

    if no_password and password_file is not None:
        fail("--no-password and --password-file do not go together", Exit.USAGE)
    password = "" if no_password else _password(where, password_file)
    local = where.host.startswith(("/", "127.")) or where.host in ("localhost", "::1")
    tls = {"mode": where.tls or ("disable" if local else "verify-full")} | {
        name: str(Path(value).absolute())
        for name, value in (("ca_file", where.ca_file), ("cert_file", where.cert_file), ("key_file", where.key_file))
        if value
    }
    new = database_configs.NewDatabase(
        name=where.name,
        db_type=msgspec.convert(where.kind, DbType),
        host=where.host,
        port=where.port or database_configs.DEFAULT_PORTS[where.kind],
        database=where.database,
        username=where.user,
        password=password,
        tls=msgspec.convert(tls, Tls),
    )

    async def store(conn: Any, user_id: str) -> str:
        vault = await open_vault(conn, paths.config_home(), create=True) if password else None
        return await database_configs.add(conn, vault, new, user_id=user_id, actor=actor())

    row_id = _as_operator(ledger, store)
    name = safe_text(where.name, database_configs.NAME_CHARS_MAX).strip()
    said = f"{name} stored, TLS {new.tls.mode}; try it: quantsail databases test {name}"
    answer({"id": row_id, "name": name, "tls": new.tls.mode}, said, as_json=as_json)
    return Exit.OK


def _password(where: Where, file: Path | None) -> str:
    """From a file, from stdin (-), or from the terminal without an echo. Its first line; empty is refused."""
    if file is None:
        if not sys.stdin.isatty():
            fail("no terminal to ask for the password: give --password-file FILE (- reads stdin), or --no-password",
                 Exit.USAGE)  # fmt: skip
        said = getpass.getpass(f"Password of {safe_text(where.user) or 'the login'} at {safe_text(where.host)}: ")
    else:
        try:
            with open(0, "rb", closefd=False) if str(file) == "-" else file.open("rb") as stream:
                content = stream.read(PASSWORD_BYTES_MAX + 1)
            if len(content) > PASSWORD_BYTES_MAX:
                fail(f"{file}: too long for a password", Exit.USAGE)
            said = content.decode().split("\n", 1)[0].removesuffix("\r")
        except OSError as error:
            fail(f"{file}: {error.strerror}", Exit.USAGE)
        except UnicodeDecodeError:
            fail(f"{file}: not UTF-8 text", Exit.USAGE)
    if not said:
        fail("the password is empty; a server that asks for none: --no-password", Exit.USAGE)
    return said


def test(name: str, ledger: str, timeout_s: float, *, as_json: bool) -> int:
    """Connect once. A failed test is an answer, kept like any other, and exit 1."""
    from db import database_configs
    from db.vault import open_vault

    async def go(conn: Any, user_id: str) -> Any:
        config = await database_configs.find(conn, name, user_id=user_id)
        vault = await open_vault(conn, paths.config_home()) if config.has_password else None
        return await database_configs.test(conn, vault, name, user_id=user_id, actor=actor(), timeout_s=timeout_s)

    result = _as_operator(ledger, go)
    shown = safe_text(name)
    facts = {"name": name, **msgspec.to_builtins(result)}
    if not result.ok:
        if as_json:
            print(json.dumps(facts))
        fail(f"{shown}: {result.error}")
    secure = "TLS" if result.tls else "no TLS"
    answer(
        facts, f"{shown}: answers in {result.latency_ms} ms, {secure}, version {result.server_version}", as_json=as_json
    )
    return Exit.OK


def show_list(ledger: str, *, as_json: bool) -> int:
    """Every stored database, oldest first."""
    from db import database_configs

    found = _as_operator(ledger, lambda conn, user_id: database_configs.list(conn, user_id=user_id))
    if as_json:
        print(json.dumps(msgspec.to_builtins(found)))
    elif not found:
        print(EMPTY)
    else:
        print(listing([_line(config) for config in found]))
    return Exit.OK


def _line(config: Any) -> tuple[object, ...]:
    """A row of the list; what is in the table may have been written by hand."""
    host = safe_text(config.host, 60)
    place = f"{f'[{host}]' if ':' in host else host}:{config.port}/{safe_text(config.database, 60)}"
    result = config.last_test or {}
    said = "never tested"
    if config.last_tested_ts is not None:
        when = datetime.fromtimestamp(config.last_tested_ts / 1e6, UTC).strftime("%Y-%m-%d %H:%MZ")
        what = f"{result.get('latency_ms', '?')} ms" if result.get("ok") else result.get("error", "")
        said = f"{when} {safe_text(str(what), 100)}"
    user = safe_text(config.username, 60) or "-"
    return safe_text(config.name), config.db_type.lower(), place, user, config.tls.mode, config.status, said


def remove(name: str, ledger: str, *, dry_run: bool, as_json: bool) -> int:
    """Take a database out of the list; the row stays, for the audit log's sake."""
    from db import database_configs

    async def go(conn: Any, user_id: str) -> Any:
        if dry_run:
            return await database_configs.find(conn, name, user_id=user_id)
        return await database_configs.remove(conn, name, user_id=user_id, actor=actor())

    config = _as_operator(ledger, go)
    said = f"{safe_text(config.name)} ({config.db_type.lower()} at {safe_text(config.host)})"
    text = f"would remove {said}" if dry_run else f"removed {said}"
    answer({"id": config.id, "name": config.name, "removed": not dry_run}, text, as_json=as_json)
    return Exit.OK
