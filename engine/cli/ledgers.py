"""Which ledgers there are, and which one a command means. Needs neither a database nor an engine: files only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from engine import paths, status
from engine.cli.exits import Exit, fail
from engine.halt import Latch


class LedgerEntry(NamedTuple):
    """One ledger's folder and what its files say. `facts` is None before its first start has ended."""

    name: str
    directory: Path
    status: dict[str, Any] | None
    facts: dict[str, Any] | None

    @property
    def running(self) -> bool:
        return status.is_running(self.status)

    @property
    def silent(self) -> bool:
        return status.is_silent(self.status)

    @property
    def latched(self) -> bool:
        return Latch(self.directory).is_set()


def find(name: str = "") -> list[LedgerEntry]:
    """All ledgers, or the one of that name; by name."""
    folder = paths.ledgers_dir()
    folders = sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    return [
        LedgerEntry(p.name, p, status.read(p / status.STATUS_NAME), status.read(p / status.FACTS_NAME))
        for p in folders
        if name in ("", p.name)
    ]


def opened(name: str = "") -> LedgerEntry:
    """`choose`, for what shows the files that an engine wrote. They need no database; but where no engine has written any, a
    DATABASE_URL that leads nowhere is why, and is said. Exits with it."""
    url = "" if name else os.environ.get("DATABASE_URL", "")
    if url:
        from engine.naming import url_ledger_name

        ledger = url_ledger_name(url)
        if not any(entry.status for entry in find(ledger)):
            _must_answer(url, ledger)
    return choose(name)


def _must_answer(url: str, ledger: str) -> None:
    import asyncio

    from db.connect import DatabaseUnreachable, RoleRefused, connect

    async def ask() -> None:
        await (await connect(url, "qs_view", name="quantsail status")).close()

    try:
        asyncio.run(ask())
    except DatabaseUnreachable as error:
        fail(f"{ledger}: no engine has opened it from here, and {error}", Exit.DATABASE)
    except RoleRefused:
        pass  # it is there; what its login lacks, a start says


def choose(name: str = "") -> LedgerEntry:
    """The ledger that is meant: the named one, that of DATABASE_URL, the running one, or the only one. Exits otherwise."""
    if not name and (url := os.environ.get("DATABASE_URL", "")):
        from engine.naming import url_ledger_name

        name = url_ledger_name(url)
    entries = find(name)
    if not entries:
        known = ", ".join(e.name for e in find()) or "none yet: start `quantsail` once"
        fail(f"there is no ledger {name}; known: {known}" if name else f"there is no ledger; {known}", Exit.NOT_RUNNING)
    running = [e for e in entries if e.running]
    for group in (running, entries):
        if len(group) == 1:
            return group[0]
        if group:
            fail(f"which ledger? --ledger {' | '.join(e.name for e in group)}", Exit.USAGE)
    raise AssertionError("unreachable: entries is not empty")
