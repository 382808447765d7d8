"""`quantsail doctor`: everything that a run needs, looked at without changing anything but an empty probe file."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from engine import paths
from engine.cli.exits import Exit, code_of, fail, one_line
from engine.cli.ledgers import find


def doctor(*, as_json: bool) -> int:
    """Everything that a run needs, checked; the first that fails decides the exit status."""
    checks = [_python(), _folder(), _terminal(), _binaries(), _database(), _schemas(), _latches()]
    failed = [c for c in checks if not c["ok"]]
    if as_json:
        print(json.dumps({"ok": not failed, "checks": checks}))
    else:
        for c in checks:
            print(f"{'ok  ' if c['ok'] else 'FAIL'} {c['name']:<12} {c['text']}")
    if failed:
        fail(f"{failed[0]['name']}: {failed[0]['text']}", Exit(failed[0]["code"]))
    return Exit.OK


def _check(name: str, ok: bool, text: str, code: Exit = Exit.REFUSED) -> dict[str, Any]:
    return {"name": name, "ok": ok, "text": text, "code": Exit.OK if ok else code}


def _python() -> dict[str, Any]:
    from importlib.metadata import version

    names = ("textual", "ccxt", "asyncpg", "TA-Lib", "plotext")
    found = ", ".join(f"{n} {version(n)}" for n in names)
    return _check("python", sys.version_info >= (3, 11), f"{sys.version.split()[0]}; {found}")


def _folder() -> dict[str, Any]:
    import shutil

    folder = paths.data_home()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = folder / ".doctor"
        probe.write_text("x")
        probe.unlink()
    except OSError as error:
        return _check("data folder", False, f"{folder}: {error.strerror}; set XDG_DATA_HOME to a folder you may write")
    free = shutil.disk_usage(folder).free
    text = f"{folder}, {free / 1e9:.1f} GB free"
    return _check(
        "data folder", free > 500_000_000, text if free > 500_000_000 else f"{text}: make room, 0.5 GB at least"
    )


def _terminal() -> dict[str, Any]:
    from tui.driver import terminal_problem

    problem = terminal_problem() if sys.stdout.isatty() else None
    return _check("terminal", problem is None, problem or f"TERM={os.environ.get('TERM', '')}")


def _binaries() -> dict[str, Any]:
    if os.environ.get("DATABASE_URL"):
        return _check("postgres", True, "DATABASE_URL is set: the embedded server is not used")
    from db.embedded import EmbeddedPostgresError, find_binaries

    try:
        found = find_binaries()
    except EmbeddedPostgresError as error:
        return _check("postgres", False, one_line(error), Exit.DATABASE)
    return _check("postgres", True, f"PostgreSQL {found.major} in {found.bin_dir}")


def _database() -> dict[str, Any]:
    """Reaches the server as a run would; an embedded one is started, and no database is made on it."""
    url = os.environ.get("DATABASE_URL", "")
    try:
        return _check("database", True, asyncio.run(_foreign(url)) if url else _embedded())
    except Exception as error:
        return _check("database", False, one_line(error), code_of(error))


async def _foreign(url: str) -> str:
    from db.connect import ConnectError, DatabaseUnreachable, connect, profile

    conn = await connect(url, "qs_view", name="quantsail doctor")
    try:
        server = str(await conn.fetchval("show server_version")).split()[0]
        warning = _too_mighty(await conn.fetchrow(_LOGIN))
        return f"server {server}, roles {await profile(conn)}{warning}"
    except DatabaseUnreachable:
        raise
    except ConnectError:
        return f"server {server}; no schema yet, the first start makes it{warning}"
    finally:
        await conn.close()


_LOGIN = "select rolname, rolsuper, rolbypassrls from pg_catalog.pg_roles where rolname = session_user"


def _too_mighty(login: Any) -> str:
    """A warning about a login of DATABASE_URL that no guard and no row security binds; empty for an ordinary one."""
    if not (login["rolsuper"] or login["rolbypassrls"]):
        return ""
    power = "is a superuser" if login["rolsuper"] else "has BYPASSRLS"
    return (
        f"; WARNING: the login {login['rolname']} {power}, so that row security and guards do not bind it: use another in "
        "DATABASE_URL (CREATE ROLE name LOGIN NOINHERIT; GRANT qs_owner, qs_engine, qs_app, qs_view TO name)"
    )


def _embedded() -> str:
    import psycopg

    from db.embedded import default_server

    server = default_server(paths.data_home()).start()
    try:
        with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
            row = connection.execute("show server_version").fetchone()
        return f"server {str(row[0]).split()[0] if row else '?'}, {len(server.databases())} ledger databases"
    finally:
        server.close()


def _schemas() -> dict[str, Any]:
    """Every ledger's schema against what the migrations make; one that is older is left to its next start."""
    from db.database import Database

    database = Database(os.environ.get("DATABASE_URL", ""), paths.data_home())
    try:
        found = asyncio.run(_compared(database))
    except Exception as error:
        return _check("schema", False, one_line(error), code_of(error))
    finally:
        database.close()
    changed = [f"{name}: {text}" for name, text, code in found if code is Exit.AUDIT]
    if changed:
        return _check("schema", False, "; ".join(changed), Exit.AUDIT)
    same = sum(code is Exit.OK for _, _, code in found)
    other = [f"{name}: {text}" for name, text, code in found if code is not Exit.OK]
    return _check("schema", True, "; ".join([f"{same} of {len(found)} as the migrations made them", *other]))


async def _compared(database: Any) -> list[tuple[str, str, Exit]]:
    """Ledger, what was found, and its exit status: OK, AUDIT, or DATABASE where there is nothing to compare."""
    from db.check import check
    from db.connect import connect
    from db.fingerprint import FingerprintError

    url_only = await database.locate("") if database.url else ""
    found = []
    for name in ["DATABASE_URL"] if url_only else await asyncio.to_thread(database.names):
        conn = await connect(url_only or await database.locate(name), name="quantsail doctor")
        try:
            report = await check(conn)
            found.append((name, report.text, Exit.OK if report.ok else Exit.AUDIT))
        except FingerprintError as error:
            found.append((name, str(error), code_of(error)))
        finally:
            await conn.close()
    return found


def _latches() -> dict[str, Any]:

    latched = [e.name for e in find() if e.latched]
    return _check("latches", True, f"HALTED: {', '.join(latched)}" if latched else "no ledger is halted")
