"""The status file of a ledger: what `quantsail status` shows without a database, and how others see who runs.

`quantsail halt` reads it: what is imported here costs the way out its time.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from engine.client import Snapshot
    from engine.core.ledger import Ledger

STATUS_NAME = "status.json"
FACTS_NAME = "ledger.json"

#: A status older than this is that of an engine that hangs, or was killed.
STALE_S = 5.0


def write(directory: Path, snapshot: Snapshot | None, *, running: bool) -> None:
    """Replace the status file at once and whole; it holds no secret and is worth no fsync."""
    if snapshot is not None:
        put(directory, told(snapshot, running=running))


def told(snapshot: Snapshot, *, running: bool) -> str:
    """The status file of a picture, as it is now."""
    facts: dict[str, Any] = {"pid": os.getpid(), "running": running, "written_at": time.time()}
    return _text(facts | _plain(snapshot))


def put(directory: Path, text: str) -> None:
    """Replace the status file by `text`: the part that waits for the disk."""
    _replace(directory / STATUS_NAME, text)


def amend(directory: Path, ledger: Ledger, views: Mapping[str, object]) -> None:
    """Bring the status file up to what a command has changed while no engine runs; `views` are lists of the snapshot."""
    now = read(directory / STATUS_NAME)
    if now is None:
        return
    changed: dict[str, Any] = {
        "running": False,
        "state": ledger.state,
        "state_reason": ledger.state_reason,
        "state_actor": ledger.state_actor,
        "state_since": ledger.state_since,
        "seq": ledger.seq,
        "config_version": ledger.config_version,
        "config_sha256": ledger.config_sha256,
    }
    put(directory, _text(now | changed | _plain(dict(views))))


class Bound(Protocol):
    """Who a ledger is, as the ledger itself and a copy of it say."""

    @property
    def ledger_id(self) -> str: ...
    @property
    def mode(self) -> str: ...
    @property
    def feed(self) -> str: ...
    @property
    def seed(self) -> int | None: ...
    @property
    def base_currency(self) -> str: ...


def write_facts(directory: Path, ledger: Bound) -> None:
    """What the ledger is bound to, for `quantsail ledgers`."""
    facts = {
        "ledger_id": ledger.ledger_id,
        "mode": ledger.mode,
        "feed": ledger.feed,
        "seed": ledger.seed,
        "base_currency": ledger.base_currency,
    }
    _replace(directory / FACTS_NAME, _text(facts))


def _plain(shown: object) -> dict[str, Any]:
    """What JSON knows, and Decimals."""
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(shown, builtin_types=(Decimal,))
    return plain


def _text(data: dict[str, Any]) -> str:
    from engine.core.canonical import decimal_text  # the only type of `data` that JSON does not know

    return json.dumps(data, default=decimal_text)


def _replace(path: Path, text: str) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def read(path: Path) -> dict[str, Any] | None:
    """A status or facts file; None when there is none or it is broken."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def is_running(status: dict[str, Any] | None) -> bool:
    """Whether the engine of a status file still lives: its process is there and it wrote lately."""
    if not status or not status.get("running"):
        return False
    try:
        fresh = time.time() - float(status["written_at"]) < STALE_S
        return fresh and is_alive(int(status["pid"]))
    except (ValueError, KeyError, TypeError):
        return False


def is_silent(status: dict[str, Any] | None) -> bool:
    """Whether the process of a status file that says "running" is there and has not written lately (full disk, or it hangs)."""
    if not status or not status.get("running") or is_running(status):
        return False
    try:
        return is_alive(int(status["pid"]))
    except (ValueError, KeyError, TypeError):
        return False


def is_alive(pid: int) -> bool:
    """Whether there is a process of that number."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
