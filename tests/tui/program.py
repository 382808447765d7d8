"""The real program for tests: a folder of its own, its commands as subprocesses, its cockpit in a pseudo-terminal."""

from __future__ import annotations

import json
import math
import os
import random
import sys
from pathlib import Path
from typing import Any

from db.embedded import EmbeddedServer, default_server
from engine import status
from tests import commands
from tests.tui.terminal import Terminal

ROOT = Path(__file__).resolve().parents[2]
START_MS = 1_735_689_600_000  # 2025-01-01T00:00:00Z

#: Enters after every rising bar, never leaves by rule: the market decides through stop and target.
EAGER: dict[str, Any] = {
    "schema": 1,
    "bots": [
        {
            "name": "eager",
            "strategy": {"schema": 1, "entry_long": {"op": "gt", "left": "close", "right": "open"}},
            "sizing": {"kind": "fixed_notional", "value": "1000"},
            "exits": {"stop_loss_pct": "0.4", "take_profit_pct": "0.4", "trailing": None},
        }
    ],
}


def write_candles(path: Path, bars: int, seed: int = 1, price: float = 30_000.0) -> Path:
    """A CSV of one-minute bars that swing by about 0.1 % each."""
    rng = random.Random(seed)
    lines = ["time,open,high,low,close,volume"]
    for bar in range(bars):
        walk = [price]
        for _ in range(4):
            walk.append(round(walk[-1] * math.exp(rng.gauss(0, 0.0008)), 2))
        price = walk[-1]
        lines.append(f"{START_MS + bar * 60_000},{walk[0]},{max(walk)},{min(walk)},{walk[-1]},1.5")
    path.write_text("\n".join(lines) + "\n")
    return path


class Program:
    """One installation of quantsail below `home`."""

    def __init__(self, home: Path, *, newcomer: bool = False) -> None:
        self.home = home
        if not newcomer:
            (home / "data" / "quantsail").mkdir(parents=True, exist_ok=True)
            (home / "data" / "quantsail" / "welcomed").touch()
        keep = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "QUANTSAIL_PG_BIN")}
        self.env = keep | {
            "PYTHONPATH": str(ROOT),
            "XDG_DATA_HOME": str(home / "data"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "TERM": "xterm-256color",
            "PYTHONFAULTHANDLER": "1",
        }

    def server(self) -> EmbeddedServer:
        """The server of this installation: kept by `with` over several commands, or each would start and stop it."""
        return default_server(self.home / "data" / "quantsail")

    def argv(self, *words: str | Path) -> list[str]:
        return [sys.executable, "-m", "engine.cli.main", *map(str, words)]

    def run(self, *words: str | Path, check: bool = True) -> commands.Done:
        done = commands.run([str(word) for word in words], env=self.env, cwd=self.home)
        assert "Traceback" not in done.stderr, done.stderr
        if check:
            assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done

    def json(self, *words: str | Path) -> Any:
        return json.loads(self.run(*words, "--json").stdout)

    def status(self, ledger: str) -> dict[str, Any]:
        """The status file as it is now; what `quantsail status` says of it takes a second longer. Empty before the first."""
        return status.read(self.home / "data" / "quantsail" / "ledgers" / ledger / status.STATUS_NAME) or {}

    def cockpit(self, terminal: Terminal, *words: str | Path) -> None:
        terminal.spawn(self.argv(*words), self.env)

    def use_config(self, document: dict[str, Any], ledger: str) -> None:
        """Store a document as the next version and activate it, without an engine."""
        path = self.home / "config.json"
        path.write_text(json.dumps(document))
        version = self.json("config", "new", path, "--ledger", ledger)["version"]
        self.run("config", "activate", str(version), "--ledger", ledger, "--reason", "test")
