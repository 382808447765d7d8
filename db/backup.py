"""Copies of a ledger's database: made by pg_dump from one moment, with a manifest beside that says what is in them.

    BackupError          a copy could not be made or used; nothing was changed
      DumpDamaged        a file is not what its manifest or its own contents say
      OtherLedger        a copy of another ledger than the one it was to replace

A copy is `<utc time>-schema<revision>-pg<major>.dump` and `<the same>.dump.json`. Both are written under temporary names and
renamed when they are durable, the dump last: a dump that has its name is whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from glob import escape
from pathlib import Path

import msgspec

from db.clients import ClientFailed, Tools, run_client
from db.connect import connect, transaction
from db.facts import Facts, read_facts
from db.writer import HostFacts

SUFFIX = ".dump"
PARTIAL = ".partial"
KEPT = 5
WAIT_S = 20.0
POLL_S = 0.1
#: Below a ledger's folder: what a restore replaced.
REPLACED = "replaced"
CHUNK = 1 << 20
#: Called with the bytes written so far.
Written = Callable[[int], None]


class BackupError(Exception):
    """A copy could not be made or used; the message is one line with the remedy, and nothing was changed."""


class DumpDamaged(BackupError):
    """A file is not what its manifest or its own contents say."""


class OtherLedger(BackupError):
    """The copy belongs to another ledger."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a dump holds. Sizes in bytes; `made_at` is ISO 8601 UTC; `kind` is manual, migration, restore or upgrade."""

    ledger: str
    kind: str
    made_at: str
    version: str
    bytes: int
    sha256: str
    database_bytes: int
    seconds: float
    facts: Facts
    verified: bool = False


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """A dump on disk; without a manifest nothing is known about it but its name."""

    path: Path
    manifest: Manifest | None


def manifest_path(dump: Path) -> Path:
    return dump.with_name(f"{dump.name}.json")


def read_manifest(dump: Path) -> Manifest | None:
    """None without one. Raises DumpDamaged for a file that is none."""
    path = manifest_path(dump)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeError, OSError) as error:
        raise DumpDamaged(
            f"{path} cannot be read as a manifest ({error}): move it aside to use the dump alone"
        ) from error


def copies(folder: Path) -> list[Copy]:
    """The copies in a ledger's folder, newest first, those that a restore made among them."""
    paths = [*folder.glob(f"*{SUFFIX}"), *folder.glob(f"{REPLACED}/*{SUFFIX}")]
    found: list[Copy] = []
    for path in sorted(paths, key=lambda path: path.name, reverse=True):
        try:
            manifest = read_manifest(path)
        except DumpDamaged:
            manifest = None
        found.append(Copy(path=path, manifest=manifest))
    return found


def prune(folder: Path, keep: int, kind: str) -> list[Path]:
    """Delete all but the newest `keep` copies of a kind; those without a manifest are nobody's to delete."""
    old = [copy.path for copy in copies(folder) if copy.manifest is not None and copy.manifest.kind == kind][keep:]
    for path in old:
        path.unlink(missing_ok=True)
        manifest_path(path).unlink(missing_ok=True)
    return old


@contextlib.contextmanager
def alone(folder: Path, stale: str = f"*{SUFFIX}*{PARTIAL}") -> Iterator[None]:
    """One copier at a time in a folder; `stale` is what a killed one may have left there. Raises BackupError."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise BackupError(f"{folder} cannot be used ({error.strerror}): choose another folder") from error
    try:
        _wait_for(descriptor, folder)
        for left in folder.glob(stale):
            left.unlink(missing_ok=True)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, folder: Path) -> None:
    """A migration that starts while somebody copies waits a little rather than fail."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise BackupError(f"another program works on the copies in {folder}: wait for it") from None
            time.sleep(POLL_S)


async def save(
    dsn: str, folder: Path, ledger: str, tools: Tools, *, kind: str = "manual", to: Path | None = None,
    written: Written | None = None,
) -> Copy:  # fmt: skip
    """Copy a database into `folder` under a name of its own, or `to` that file, which must not exist.

    The copy and its manifest are of one moment, whatever an engine writes meanwhile. Raises BackupError, pgbin.BinariesError,
    and what connecting raises.
    """
    with alone(folder) if to is None else alone(to.parent, f"{escape(to.name)}*{PARTIAL}"):
        try:
            return await _save(dsn, folder, ledger, tools, kind, to, written)
        except OSError as error:
            raise BackupError(
                f"the copy cannot be written ({error.strerror or error}): make room or use --to"
            ) from error
        except ClientFailed as error:
            raise BackupError(f"the copy cannot be made: {error}") from error


async def _save(
    dsn: str, folder: Path, ledger: str, tools: Tools, kind: str, to: Path | None, written: Written | None
) -> Copy:
    started = time.monotonic()
    conn = await connect(dsn, "qs_owner", name="quantsail backup", statement_timeout_ms=0)
    partial: Path | None = None
    try:
        await conn.execute(
            "set idle_in_transaction_session_timeout = 0"
        )  # pg_dump lives on this transaction's snapshot
        async with transaction(conn, isolation="repeatable_read"):
            snapshot = await conn.fetchval("select pg_export_snapshot()")
            facts = await read_facts(conn)
            size = int(await conn.fetchval("select pg_database_size(current_database())"))
            path = _free(to) if to is not None else _fresh(folder, facts)
            partial = path.with_name(f"{path.name}{PARTIAL}")
            partial.touch(mode=0o600)
            words = ["--format=custom", "--no-password", "--lock-wait-timeout=30s", "--enable-row-security"]
            words += [f"--snapshot={snapshot}", f"--file={partial}"]
            if facts.profile == "FULL":
                words.append("--role=qs_owner")
            here = partial
            tick = None if written is None else lambda: written(here.stat().st_size)
            await run_client(tools("pg_dump"), words, dsn, tick)
        await run_client(tools("pg_restore"), ["--list", str(partial)])
        manifest = Manifest(
            ledger=ledger,
            kind=kind,
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            version=HostFacts.here().version,
            bytes=partial.stat().st_size,
            sha256=await asyncio.to_thread(sha256_of, partial),
            database_bytes=size,
            seconds=round(time.monotonic() - started, 3),
            facts=facts,
        )
        publish(partial, path, manifest)
        return Copy(path=path, manifest=manifest)
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)
        await conn.close()


def _free(path: Path) -> Path:
    if os.path.lexists(path) or os.path.lexists(manifest_path(path)):
        raise BackupError(f"{path} or its manifest exists: name another file")
    return path


def _fresh(folder: Path, facts: Facts) -> Path:
    """Names sort as the copies were made, those of one second too: `prune` and the list go by them."""
    moment = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    return _free(folder / f"{moment}-schema{facts.revision or 'none'}-pg{facts.server_major}{SUFFIX}")


def publish(partial: Path, path: Path, manifest: Manifest) -> None:
    """Give a finished dump its name, its manifest first, everything durable."""
    write_manifest(path, manifest)
    _sync(partial)
    partial.rename(path)
    _sync(path.parent)


def write_manifest(dump: Path, manifest: Manifest) -> None:
    """Replace the manifest of a dump, whole and durable."""
    path = manifest_path(dump)
    draft = path.with_name(f"{path.name}{PARTIAL}")
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    _sync(draft)
    draft.rename(path)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
