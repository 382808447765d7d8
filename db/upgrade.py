"""From one major version of PostgreSQL to the next, for the embedded server: dumped by the old, restored into the new.

A cluster belongs to its major version (`pg/<major>`). The new one is filled where nobody looks for it (`pg-next/<major>`) and
gets its place by one rename when every database in it is what it was; a killed upgrade leaves the old cluster in use. The old
one is kept: deleting it is for a person to decide. Source: PostgreSQL 18 documentation, "Upgrading a PostgreSQL Cluster".
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import msgspec

from db import pgbin, restore
from db.backup import BackupError, Copy, save
from db.embedded import EmbeddedServer
from db.facts import Facts
from db.pgbin import PgBinaries, find_binaries, inspect_binaries, major_of

#: Called with a line for a person.
Say = Callable[[str], None]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What an upgrade is between; `old_bin` is empty where no programs of the old version are found."""

    old_major: int
    new_major: int
    old_home: str
    new_home: str
    old_bin: str
    new_bin: str

    @property
    def is_needed(self) -> bool:
        return 0 < self.old_major < self.new_major


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """One database: the copy that it went by, and what was compared."""

    database: str
    copy: str
    seq: int
    rows: int


def plan(data_home: Path, old_bin: Path | None = None) -> Plan:
    """The newest cluster, and the newest programs. Raises BinariesError where there are none."""
    new = find_binaries()
    majors = [major for home in (data_home / "pg").glob("*") if (major := major_of(home / "pgdata"))]
    old_major = max(majors, default=0)
    old = _old_binaries(old_major, old_bin) if old_major not in (0, new.major) else new
    homes = data_home / "pg"
    return Plan(
        old_major=old_major,
        new_major=new.major,
        old_home=str(homes / str(old_major)) if old_major else "",
        new_home=str(homes / str(new.major)),
        old_bin=str(old.bin_dir) if old else "",
        new_bin=str(new.bin_dir),
    )


def _old_binaries(major: int, chosen: Path | None) -> PgBinaries | None:
    """QUANTSAIL_PG_BIN names the new version here, so it is not asked."""
    if chosen is not None:
        found = inspect_binaries(chosen)
        if found.major != major:
            raise pgbin.BinariesError(f"{chosen} is PostgreSQL {found.major}, the data is {major}: name its programs")
        return found
    for bin_dir, ours in pgbin.candidates():
        with suppress(pgbin.BinariesError):
            if (found := inspect_binaries(bin_dir, repair=ours)).major == major:
                return found
    return None


async def upgrade(data_home: Path, plan: Plan, say: Say) -> list[Moved]:
    """Move every database of the old cluster into a new one. Raises BackupError, EmbeddedPostgresError; the old one is kept."""
    if not plan.old_bin:
        raise BackupError(
            f"the data in {plan.old_home} is of PostgreSQL {plan.old_major}, and its programs are not here: install"
            f" PostgreSQL {plan.old_major}, or name them with --old-bin"
        )
    old = EmbeddedServer(Path(plan.old_home), PgBinaries(bin_dir=Path(plan.old_bin), major=plan.old_major))
    new_programs = PgBinaries(bin_dir=Path(plan.new_bin), major=plan.new_major)
    draft = data_home / "pg-next" / str(plan.new_major)
    with _only_user(Path(plan.old_home)) as let_in:
        await asyncio.to_thread(_discard, draft, new_programs)
        let_in()
        await asyncio.to_thread(old.start)
        try:
            moved = await _move_all(data_home, old, EmbeddedServer(draft, new_programs), say)
        finally:
            stopped = await asyncio.to_thread(old.close)
        if not stopped:
            raise BackupError(f"another program began to use the server in {old.home}: end it and start again")
        await asyncio.to_thread(_take_place, draft, Path(plan.new_home))
    return moved


async def _move_all(data_home: Path, old: EmbeddedServer, new: EmbeddedServer, say: Say) -> list[Moved]:
    await asyncio.to_thread(new.start)
    try:
        moved = []
        for name in await asyncio.to_thread(old.databases):
            if name.startswith(restore.ASIDE):
                continue
            say(f"moving {name}")
            moved.append(await _move(data_home, old, new, name))
        for one in moved:
            if await _facts(old, one.database) != await _facts(new, one.database):
                raise BackupError(f"{one.database} has changed meanwhile: end every quantsail and start again")
        return moved
    finally:
        if not await asyncio.to_thread(new.close):
            raise BackupError(f"the new server in {new.home} is in use by another program: end it and start again")


async def _move(data_home: Path, old: EmbeddedServer, new: EmbeddedServer, name: str) -> Moved:
    copy: Copy = await save(
        old.dsn(name, "qs_admin"), data_home / "backups" / name, name, old.binaries.tool, kind="upgrade"
    )
    place = restore.place_of(new)
    dump = await restore.examine(copy.path, place.tools, new.binaries.major)
    facts = await restore.load(dump, place, name)  # which compares it with the copy's manifest
    return Moved(database=name, copy=str(copy.path), seq=facts.seq, rows=sum(facts.rows.values()))


async def _facts(server: EmbeddedServer, name: str) -> Facts:
    """Those that do not depend on the server."""
    return msgspec.structs.replace(await restore.facts_of(server.dsn(name, "qs_admin")), server_major=0)


@contextmanager
def _only_user(home: Path) -> Iterator[Callable[[], None]]:
    """Refuse while other programs use the old server; the callable drops the exclusive lock so that we may be its user."""
    descriptor = os.open(home / "users.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise BackupError(f"other programs use the server in {home}: end every quantsail first") from None
    try:
        yield partial(fcntl.flock, descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _discard(draft: Path, programs: PgBinaries) -> None:
    """What a killed upgrade left: its server is stopped before its files are removed."""
    if draft.exists():
        EmbeddedServer(draft, programs).start().close()
        shutil.rmtree(draft)


def _take_place(draft: Path, home: Path) -> None:
    if home.exists() and any(home.iterdir()) and major_of(home / "pgdata") is not None:
        raise BackupError(f"{home} has a cluster already: another program made it meanwhile")
    shutil.rmtree(home, ignore_errors=True)
    draft.rename(home)
    for folder in (home.parent, draft.parent):
        descriptor = os.open(folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
