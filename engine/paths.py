"""Where things live: below `$XDG_DATA_HOME/quantsail`, where an empty folder is a fresh start; and `$XDG_CONFIG_HOME/quantsail`
for the cockpit's settings and the master key, which must not travel with the data that it protects."""

from __future__ import annotations

import os
from pathlib import Path


def data_home() -> Path:
    """Databases, ledgers, logs."""
    return _xdg("XDG_DATA_HOME", ".local/share")


def config_home() -> Path:
    """The cockpit's settings (tui/settings.py), the master key of the secrets (db/masterkey.py)."""
    return _xdg("XDG_CONFIG_HOME", ".config")


def _xdg(variable: str, default: str) -> Path:
    value = os.environ.get(variable, "")
    # The XDG specification: a relative path is invalid and is ignored.
    base = Path(value) if value.startswith("/") else Path.home() / default
    return base / "quantsail"


def ledgers_dir() -> Path:
    return data_home() / "ledgers"


def ledger_dir(name: str) -> Path:
    """Latch, anchors and status of one ledger; beside its database, so that they outlive it."""
    return ledgers_dir() / name


def logs_dir() -> Path:
    return data_home() / "logs"


def welcomed() -> Path:
    """There when somebody has seen the cockpit's first-run screen."""
    return data_home() / "welcomed"
