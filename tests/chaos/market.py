"""Data that makes the engine trade: seeded random walks as CSV files, and a config that crosses its averages often."""

from __future__ import annotations

import random
from pathlib import Path

from engine.core.config import Config, parse_config

START_MS = 1_735_689_600_000  # 2025-01-01T00:00:00Z
RULES = {
    "schema": 1,
    "indicators": {
        "fast": {"fn": "EMA", "params": {"timeperiod": 3}},
        "slow": {"fn": "EMA", "params": {"timeperiod": 8}},
    },
    "entry_long": {"op": "crosses_above", "left": "fast", "right": "slow"},
    "exit_long": {"op": "crosses_below", "left": "fast", "right": "slow"},
}


def config() -> Config:
    exits = {
        "stop_loss_pct": "1",
        "take_profit_pct": "1.5",
        "trailing": {"distance_pct": "0.4", "offset_pct": "0.5"},
    }
    bot = {
        "name": "crosser",
        "strategy": RULES,
        "sizing": {"kind": "percent_equity", "value": "20"},
        "exits": exits,
    }
    return parse_config({"schema": 1, "warmup_factor": 2, "bots": [bot], "account": {"equity_sample_s": 600}})


def write_files(folder: Path, bars: int, seed: int) -> list[Path]:
    """Two symbols of one-minute bars."""
    rng = random.Random(seed)
    files = []
    for symbol, price in (("BTCUSDT", 30_000.0), ("ETHUSDT", 2_000.0)):
        lines = ["time,open,high,low,close,volume"]
        for bar in range(bars):
            path = [price := round(price * (1 + rng.gauss(0, 0.0025)), 2) for _ in range(4)]
            lines.append(f"{START_MS + bar * 60_000},{path[0]},{max(path)},{min(path)},{path[-1]},1")
        file = folder / f"binance_{symbol}_1m_{bars}x{seed}.csv"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        files.append(file)
    return files
