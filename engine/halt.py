"""The latch: a file that says HALTED, read immediately before every send. It needs a file system and nothing else."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import NamedTuple

LATCH_NAME = "HALTED"
HALT_REASON = "halted by command"


class Latched(NamedTuple):
    """Who latched, and why."""

    actor: str
    reason: str


class MemoryLatch:
    """The latch of a backtest: nobody else can set it."""

    def __init__(self) -> None:
        self._latched: Latched | None = None

    def is_set(self) -> bool:
        return self._latched is not None

    def read(self) -> Latched | None:
        return self._latched

    def set(self, actor: str, reason: str) -> None:
        self._latched = self._latched or Latched(actor, reason)

    def clear(self) -> None:
        self._latched = None


class Latch:
    """One ledger's latch (decisions.md 17). Present means HALTED, whatever the journal says."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / LATCH_NAME

    def is_set(self) -> bool:
        """One stat: about two microseconds. An error that is not "no such file" counts as set: fail closed."""
        try:
            os.stat(self.path)  # noqa: PTH116 - Path.exists swallows the errors that must count as set
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return True

    def read(self) -> Latched | None:
        """What the latch says; None when there is none. A latch that cannot be read is a latch."""
        if not self.is_set():
            return None
        try:
            data = json.loads(self.path.read_text(encoding="utf-8"))
            return Latched(str(data["actor"]), str(data["reason"]))
        except (OSError, ValueError, KeyError, TypeError):
            return Latched("unknown", f"unreadable latch file {self.path.name}")

    def set(self, actor: str, reason: str) -> None:
        """Durable when it returns: file and directory are fsynced. The first latch stands; a second changes nothing.

        On a full disk the file may stay empty: that it is there halts, only who and why are lost. Raises OSError where there
        is no file."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return
        try:
            with contextlib.suppress(OSError):
                os.write(fd, json.dumps({"actor": actor, "reason": reason}).encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        self._sync_directory()

    def clear(self) -> None:
        """Only after the resume is durable in the journal."""
        self.path.unlink(missing_ok=True)
        self._sync_directory()

    def _sync_directory(self) -> None:
        fd = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
