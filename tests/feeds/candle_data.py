"""Small candle tables for the tests of the feeds: rows of (time, open, high, low, close, volume), and files of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

START_MS = 1_735_689_600_000  # 2025-01-01
MINUTE_MS = 60_000
HEADER = "time,open,high,low,close,volume"
Row = tuple[Any, ...]


def bars(count: int, start_ms: int = START_MS, step_ms: int = MINUTE_MS, price: float = 100.0) -> list[Row]:
    return [(start_ms + i * step_ms, price, price + 2, price - 2, price + 1, 5.0) for i in range(count)]


def changed(rows: Sequence[Row], row: int, column: int, value: Any) -> list[Row]:
    return [(*r[:column], value, *r[column + 1 :]) if i == row else r for i, r in enumerate(rows)]


def write_csv(path: Path, rows: Sequence[Row], header: str | None = HEADER) -> Path:
    lines = [] if header is None else [header]
    lines += [",".join("" if value is None else str(value) for value in row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_parquet(path: Path, rows: Sequence[Row], types: str = "BIGINT") -> Path:
    """`types` is the type of the time column; the others are DOUBLE."""
    with duckdb.connect(":memory:") as connection:
        connection.execute(
            f"CREATE TABLE t (time {types}, open DOUBLE, high DOUBLE, low DOUBLE, close DOUBLE, volume DOUBLE)"
        )
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", [list(row) for row in rows])
        connection.execute(f"COPY t TO '{path}' (FORMAT parquet)")
    return path
