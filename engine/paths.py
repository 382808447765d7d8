"""Where things live: below `$XDG_DATA_HOME/quantsail`. An empty folder there is a fresh start; there is no settings file yet."""

from __future__ import annotations

import os
from pathlib import Path


def data_home() -> Path:
    """Databases, ledgers, logs."""
    value = os.environ.get("XDG_DATA_HOME", "")
    # The XDG specification: a relative path is invalid and is ignored.
    base = Path(value) if value.startswith("/") else Path.home() / ".local/share"
    return base / "quantsail"


def ledgers_dir() -> Path:
    return data_home() / "ledgers"


def ledger_dir(name: str) -> Path:
    """Latch, anchors and status of one ledger; beside its database, so that they outlive it."""
    return ledgers_dir() / name


def logs_dir() -> Path:
    return data_home() / "logs"
