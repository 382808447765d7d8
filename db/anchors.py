"""Anchors: witnesses of both hash chains outside the database (decisions.md 23).

A superuser can rewrite a log and recompute its chain, or cut its tail and move the head back. Neither agrees with the
(seq, hash) pairs that were appended to this file while the log grew.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec

ANCHORS_FILE = "anchors.jsonl"
#: A row of `log_heads`.
Log = Literal["events", "audit_logs"]


class Anchor(msgspec.Struct, frozen=True, omit_defaults=True):
    """A witness outside the database: the chain of `log` had this hash at this seq. `at` is int microseconds UTC."""

    seq: int
    hash: str
    at: int
    log: Log = "events"


class AnchorError(Exception):
    """The anchor file is not what this program wrote, or cannot be written."""


class Anchors:
    """`anchors.jsonl` of a ledger: one line per anchor, appended and fsynced before the call returns."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, anchor: Anchor) -> None:
        """Raises OSError when the disk does not take it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = not self.path.exists()
        with self.path.open("ab+") as file:
            if _is_torn(file.fileno()):
                file.write(b"\n")
            file.write(msgspec.json.encode(anchor) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if new:
            _sync_directory(self.path.parent)

    def read(self) -> list[Anchor]:
        """All anchors of both logs in the order written; none where there is no file. Raises AnchorError for a line that is none.

        A last line without its end is a crash while it was written, and is no witness of anything.
        """
        if not self.path.exists():
            return []
        lines = self.path.read_bytes().split(b"\n")
        anchors: list[Anchor] = []
        for number, line in enumerate(lines, start=1):
            try:
                if line:
                    anchors.append(msgspec.json.decode(line, type=Anchor))
            except (msgspec.DecodeError, UnicodeError) as error:
                if number == len(lines) or _follows_torn(line):
                    continue
                raise AnchorError(f"{self.path.name} line {number} is not an anchor: {error}") from error
        return anchors


def _follows_torn(line: bytes) -> bool:
    """A torn line that a later start closed with a line end: a prefix of an anchor, which never ends in a brace."""
    return line.startswith(b'{"seq":'[: len(line)]) and not line.endswith(b"}")


def _is_torn(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def _sync_directory(path: Path) -> None:
    """A new file's name is durable only when its directory is."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
