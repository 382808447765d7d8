"""From a dump to a database: restored aside, compared, migrated and verified there, then swapped in by one rename.

Whatever fails or is killed before the rename leaves the old database as it was; what is left aside is dropped by the next
restore. The rename of both databases is one transaction.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import asyncpg
import msgspec

from db.anchors import Anchor, Anchors
from db.backup import BackupError, DumpDamaged, Manifest, OtherLedger, read_manifest, sha256_of
from db.clients import ClientFailed, Tools, run_client
from db.connect import CONNECT_TIMEOUT_S, UNREACHABLE, connect, take_role, transaction, unreachable
from db.embedded import SUPERUSER, EmbeddedServer
from db.facts import Facts, changes, read_facts
from db.migrate import DatabaseNewer, migrate
from db.verify import verify
from migrations import head, known, read_sql

_SERVER = re.compile(r"^;\s+Dumped from database version: (\d+)", re.MULTILINE)
_SCHEMA = re.compile(r"^\d+; \d+ \d+ SCHEMA - qs (\S+)$", re.MULTILINE)
#: Extensions are the administrator's: they are in the new database before the dump is, which must not make them again.
_EXTENSION = re.compile(r"^\d+; \d+ \d+ (?:EXTENSION - |COMMENT - EXTENSION )(\w+).*\n", re.MULTILINE)


#: How the names of databases begin that are on their way in or out.
ASIDE = ("restoring_", "replaced_")
#: What depends on the server's version, as 0001_foundation.sql makes it there.
_UUID7 = """
create or replace function qs.uuid7() returns uuid language sql volatile parallel safe as 'select pg_catalog.uuidv7()';
update qs.capability set value = 'SERVER', recorded_at = clock_timestamp() where name = 'UUID7' and value <> 'SERVER';
"""


class Place(NamedTuple):
    """A server on which databases can be made, by a login that may: `maintenance` is the database to do it from.

    `owner` is whom a new database is made for, where that is not the login itself; `extend` installs the extensions that the
    server has in a database (it blocks), where the login itself may not.
    """

    dsn: Callable[[str], str]
    maintenance: str
    tools: Tools
    owner: str = ""
    extend: Callable[[str], None] | None = None


class Dump(NamedTuple):
    """A dump that has been looked at: `profile` as in `db.connect.Profile`, the manifest where there is one."""

    path: Path
    server_major: int
    profile: str
    manifest: Manifest | None
    listing: str

    @property
    def extensions(self) -> set[str]:
        return set(_EXTENSION.findall(self.listing))


def database_name(url: str) -> str:
    """The database of a DATABASE_URL. Raises BackupError when it names none."""
    name = unquote(urlsplit(url).path.strip("/"))
    if not name:
        raise BackupError("DATABASE_URL names no database: add /NAME to it")
    return name


def place_of(server: EmbeddedServer) -> Place:
    """Our own server, started."""
    dsn = partial(server.dsn, login="qs_admin")
    return Place(dsn, server.dsn("postgres", SUPERUSER), server.binaries.tool, "qs_admin", server.extend)


def place_of_url(url: str, tools: Tools) -> Place:
    """The server of a DATABASE_URL."""
    parts = urlsplit(url)

    def dsn(name: str) -> str:
        return urlunsplit(parts._replace(path=f"/{quote(name, safe='')}"))

    return Place(dsn, dsn("postgres"), tools)


async def examine(path: Path, tools: Tools, server_major: int) -> Dump:
    """Look at a dump without restoring it. Raises DumpDamaged, BackupError for one that does not fit."""
    manifest = await asyncio.to_thread(_checked, path)
    try:
        listing = await run_client(tools("pg_restore"), ["--list", str(path)])
    except ClientFailed as error:
        raise DumpDamaged(f"{path} is no dump that can be read ({error}): use another copy") from error
    server, schema = _SERVER.search(listing), _SCHEMA.search(listing)
    if server is None or schema is None:
        raise DumpDamaged(f"{path} is a dump of something else: it has no schema qs")
    if int(server[1]) > server_major:
        raise BackupError(
            f"the dump is of PostgreSQL {server[1]}, the server is {server_major}: restore it on {server[1]} or newer"
        )
    if manifest is not None:
        _refuse_newer(manifest.facts)
    return Dump(path, int(server[1]), "FULL" if schema[1] == "qs_owner" else "REDUCED", manifest, listing)


def _checked(path: Path) -> Manifest | None:
    """The manifest of a dump, which the file must agree with."""
    if not path.is_file():
        raise BackupError(f"there is no file {path}: `quantsail db backup --list` shows the copies")
    manifest = read_manifest(path)
    if manifest is None:
        return None
    size = path.stat().st_size
    if size != manifest.bytes:
        raise DumpDamaged(f"{path} has {size} bytes, its manifest says {manifest.bytes}: use another copy")
    if sha256_of(path) != manifest.sha256:
        raise DumpDamaged(f"{path} is not what its manifest says (sha256): use another copy")
    return manifest


async def facts_of(dsn: str) -> Facts:
    """What is in a database now. Raises what connecting raises."""
    conn = await connect(dsn, "qs_owner", name="quantsail restore", statement_timeout_ms=0)
    try:
        async with transaction(conn, isolation="repeatable_read"):
            return await read_facts(conn)
    finally:
        await conn.close()


async def server_major(dsn: str) -> int:
    """Major version of the server behind a DSN."""
    conn = await _admin(dsn)
    try:
        return int(conn.get_server_version().major)
    finally:
        await conn.close()


async def exists(place: Place, name: str) -> bool:
    conn = await _maintain(place)
    try:
        return bool(await conn.fetchval("select exists (select from pg_database where datname = $1)", name))
    finally:
        await conn.close()


async def load(dump: Dump, place: Place, scratch: str, tick: Callable[[], None] | None = None) -> Facts:
    """Make the database `scratch` from a dump and compare it with the manifest. Raises BackupError; then it is gone again."""
    await drop(place, scratch)
    try:
        await _create(place, scratch)
        dsn = place.dsn(scratch)
        words = ["--exit-on-error", "--no-password"]
        if dump.profile == "FULL":
            await _make_roles(dsn)
            words.append("--role=qs_owner")
        else:
            words += ["--no-owner", "--no-privileges"]
        await _extend(place, scratch, dump)
        with tempfile.NamedTemporaryFile("w", prefix="quantsail-restore-", suffix=".list") as wanted:
            wanted.write(_EXTENSION.sub("", dump.listing))
            wanted.flush()
            words.append(f"--use-list={wanted.name}")
            await run_client(place.tools("pg_restore"), [*words, str(dump.path)], dsn, tick)
        conn = await connect(dsn, "qs_owner", name="quantsail restore", statement_timeout_ms=0)
        try:
            if await conn.fetchval("select to_regprocedure('pg_catalog.uuidv7()') is not null"):
                await conn.execute(_UUID7)
            await conn.execute("analyze")
        finally:
            await conn.close()
        facts = await facts_of(dsn)
        _refuse_newer(facts)
        if dump.manifest is not None and (wrong := changes(dump.manifest.facts, facts)):
            first = wrong[0]
            raise DumpDamaged(
                f"{dump.path} gives {first.what} {first.there or 'none'}, its manifest says {first.here or 'none'}:"
                " use another copy"
            )
    except ClientFailed as error:
        await drop(place, scratch)
        raise DumpDamaged(f"{dump.path} cannot be restored: {error}") from error
    except BaseException:
        await drop(place, scratch)
        raise
    return facts


async def finish(place: Place, scratch: str, anchors: Path | None, *, unaudited: bool) -> tuple[tuple[str, ...], str]:
    """Migrate a restored database and verify it: the revisions that ran, and what the verification says.

    Raises DumpDamaged when it is not what was written (unless `unaudited`), MigrationError.
    """
    dsn = place.dsn(scratch)
    result = await migrate(dsn)
    report = await verify(dsn, anchors)
    if not report.ok and not unaudited:
        raise DumpDamaged(f"the copy does not pass the audit: {report.text}; --unaudited restores it all the same")
    return result.applied, report.text


async def swap(place: Place, scratch: str, name: str) -> None:
    """Give `scratch` the name of a ledger's database, which is dropped if there is one. Raises BackupError while it is in use."""
    old = f"{ASIDE[1]}{_digest(name)}"
    await drop(place, old)
    conn = await _maintain(place)
    try:
        async with transaction(conn):
            if await conn.fetchval("select exists (select from pg_database where datname = $1)", name):
                await conn.execute(f"alter database {_quoted(name)} rename to {_quoted(old)}")
            await conn.execute(f"alter database {_quoted(scratch)} rename to {_quoted(name)}")
    except asyncpg.ObjectInUseError as error:
        raise BackupError(f"the database of {name} is in use ({error}): close every program that uses it") from error
    finally:
        await conn.close()
    await drop(place, old)


async def drop(place: Place, name: str) -> None:
    """Drop a database of ours, sessions or not; nothing when there is none."""
    conn = await _maintain(place)
    try:
        await conn.execute(f"drop database if exists {_quoted(name)} with (force)")
    finally:
        await conn.close()


def scratch_name(name: str) -> str:
    """The database aside for a ledger: a name that fits 63 bytes, whatever the ledger's."""
    return f"{ASIDE[0]}{_digest(name)}"


def check_same(dump: Facts, target_id: str, name: str) -> None:
    """Raise OtherLedger unless the dump is of the ledger that it would replace."""
    if target_id and dump.ledger_id and dump.ledger_id != target_id:
        raise OtherLedger(
            f"the dump is of ledger {dump.ledger_id[:13]} ({dump.mode} {dump.feed}), {name} is {target_id[:13]}:"
            " restore it under another --ledger"
        )


def kept_anchors(path: Path, inside: Facts) -> list[Anchor]:
    """The anchors of a ledger that the logs of a copy can still agree with."""
    last = {log: head.seq for log, head in inside.heads.items()}
    return [anchor for anchor in Anchors(path).read() if anchor.seq <= last.get(anchor.log, 0)]


def write_anchors(path: Path, anchors: list[Anchor]) -> None:
    path.write_bytes(b"".join(msgspec.json.encode(anchor) + b"\n" for anchor in anchors))


def _refuse_newer(facts: Facts) -> None:
    if facts.revision is not None and facts.revision not in known():
        raise DatabaseNewer(
            f"the dump is of schema {facts.revision}, this program knows up to {head()}: update quantsail"
        )


async def _make_roles(dsn: str) -> None:
    """Roles belong to the server, a dump brings none; the schema that roles.sql makes beside them is the dump's to make."""
    conn = await _admin(dsn)
    try:
        async with transaction(conn):
            await conn.execute(read_sql("roles.sql"))
            await take_role(conn, "qs_owner")
            await conn.execute("drop schema qs")
            missing = await conn.fetchval("select to_regrole('qs_owner') is null")
        if missing:
            raise BackupError(
                "the dump needs the roles qs_owner, qs_engine, qs_app and qs_view, and this login may not make them:"
                " let an administrator run migrations/sql/roles.sql"
            )
    finally:
        await conn.close()


async def _create(place: Place, name: str) -> None:
    conn = await _maintain(place)
    try:
        owner = f" owner {place.owner}" if place.owner else ""
        await conn.execute(f"create database {_quoted(name)} template template0{owner}")
    except asyncpg.InsufficientPrivilegeError as error:
        raise BackupError(
            f"this login may not create databases ({error}): let an administrator run ALTER ROLE <login> CREATEDB"
        ) from error
    except asyncpg.DiskFullError as error:
        raise BackupError(f"the server has no room for a second database ({error}): make room") from error
    finally:
        await conn.close()


async def _extend(place: Place, name: str, dump: Dump) -> None:
    """Give a new database the extensions that a dump needs. Raises BackupError for one that cannot be had."""
    if place.extend is not None:
        await asyncio.to_thread(place.extend, name)
    conn = await _admin(place.dsn(name))
    try:
        installed = {row["extname"] for row in await conn.fetch("select extname from pg_extension")}
        for extension in sorted(dump.extensions - installed):
            await conn.execute(f"create extension {_quoted(extension)} schema public")
    except asyncpg.PostgresError as error:
        raise BackupError(
            f"the dump needs the extension {extension} ({error}): install it on this server, or copy again after"
            " `quantsail db convert --to NATIVE` of the tables (--to ARRAY of embeddings)"
        ) from error
    finally:
        await conn.close()


async def _maintain(place: Place) -> Any:
    return await _admin(place.maintenance)


async def _admin(dsn: str) -> Any:
    """A plain session of the login itself, in no role of ours."""
    try:
        return await asyncpg.connect(
            dsn, timeout=CONNECT_TIMEOUT_S, server_settings={"application_name": "quantsail restore"}
        )
    except UNREACHABLE as error:
        raise unreachable(error) from error


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
