"""I14: the live shell over the paper venue and the backtest decide the same on the same candles, event for event.

The live shell is the real one: `Session` with its feed, pacer, keepers, client and Postgres. Windows are recorded crashes
(where the files are beside the repository) and a market of our own making.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from db import configs
from db.connect import connect
from db.memory import MemoryJournal
from engine.app import Session
from engine.backtest import Backtest
from engine.core import events as ev
from engine.core.setup import Setup
from engine.feeds.files import load_candle_file
from engine.feeds.replay import ReplayFeed
from engine.local import LocalClient
from engine.options import Options
from tests import golden
from tests.sim.test_crash_points import trading_config

OHLCV = Path(__file__).resolve().parents[3] / "shared" / "data" / "ohlcv"
MINUTES = "binance_BTCUSDT_1m_2020-2021.parquet"
JANUARY = ("binance_BTCUSDT_1m_2025-01.parquet", "binance_ETHUSDT_1m_2025-01.parquet")

#: Name, files, first and last bar (None: all).
WINDOWS = [
    ("covid", (MINUTES,), "2020-03-12T06", "2020-03-12T18"),
    ("china", (MINUTES,), "2021-05-19T08", "2021-05-19T20"),
    ("tariff", JANUARY, "2025-02-02T20", "2025-02-03T06"),
]
if os.environ.get("QUANTSAIL_LONG"):  # whole days and months: many minutes
    WINDOWS += [
        ("january", JANUARY, "2024-12-01", "2025-03-01"),
        ("covid days", (MINUTES,), "2020-03-11", "2020-03-14"),
        ("china days", (MINUTES,), "2021-05-18", "2021-05-21"),
        ("december days", (MINUTES,), "2021-12-03", "2021-12-05"),
    ]


def cut(files: Sequence[str], first: str, last: str, folder: Path) -> list[Path]:
    """The bars of some days as files of their own."""
    start, stop = (int(np.datetime64(day, "us").astype(np.int64)) for day in (first, last))
    out = []
    for name in files:
        path = OHLCV / name
        if not path.exists():
            pytest.skip(f"{name} is not beside the repository")
        (bars,) = load_candle_file(path)
        rows = (bars.time_us >= start) & (bars.time_us < stop)
        columns = [bars.time_us // 1000, bars.open, bars.high, bars.low, bars.close, bars.volume]
        lines = ["time,open,high,low,close,volume"]
        lines += [",".join(map(repr, row)) for row in zip(*(c[rows].tolist() for c in columns), strict=True)]
        out.append(folder / f"{path.stem}.csv")
        out[-1].write_text("\n".join(lines) + "\n")
    return out


def made_up(folder: Path) -> list[Path]:
    """Half a day of a wild market."""
    columns = golden.market(720, seed=9)
    rows = zip(*(columns[name].tolist() for name in ("ts", *golden.PRICES)), strict=True)
    lines = ["time,open,high,low,close,volume"]
    lines += [",".join(map(repr, (ts // 1000 - 60_000, *prices))) for ts, *prices in rows]
    path = folder / "binance_BTCUSDT_1m.csv"
    path.write_text("\n".join(lines) + "\n")
    return [path]


async def lived(paths: Sequence[Path], database: str) -> list[tuple[str, str]]:
    """(id, payload) of every event that the live shell made durable."""
    setup = Setup(trading_config(), "", 1)
    conn = await connect(database)
    await configs.new(conn, setup.text, setup.sha256, "tester", "trades often")
    await conn.close()
    options = Options(replay=tuple(paths), seed=7, database_url=database)
    session = Session(options, LocalClient(), until_end=True)
    await session.boot()
    await session.serve()
    conn = await connect(database)
    try:
        rows = await conn.fetch("select id::text, payload from qs.events order by seq")
    finally:
        await conn.close()
    return [(row["id"], ev.encode(ev.decode(row["payload"])).decode()) for row in rows]


def backtested(paths: Sequence[Path], *, look_up: bool) -> list[tuple[str, str]]:
    feed = ReplayFeed.open(paths)
    journal = MemoryJournal()
    run = Backtest(trading_config(), feed.instruments, journal, feed=feed.identity, seed=7)
    if look_up:
        for (exchange, symbol, timeframe_us), columns in feed.columns().items():
            run.look_up(exchange, symbol, columns, timeframe_us)
    for chunk in feed.chunks():
        run.feed(chunk)
    run.finish()
    ledger_id = run.ledger.ledger_id
    return [(ev.event_id(ledger_id, event, n), ev.encode(event).decode()) for n, event in journal.store.pairs]


@pytest.mark.parametrize("window", ["made up", *(name for name, *_ in WINDOWS)])
async def test_the_live_shell_and_the_backtest_write_the_same_journal(
    window: str, migrated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    folder = tmp_path / "candles"
    folder.mkdir()
    chosen = next((w for w in WINDOWS if w[0] == window), None)
    paths = made_up(folder) if chosen is None else cut(*chosen[1:], folder)
    live = await lived(paths, migrated)
    for look_up in (True, False):
        again = backtested(paths, look_up=look_up)
        # The first two differ in who opened the ledger; all that was decided must be the same.
        assert live[2:] == again[2:]
    assert sum("OrderFilled" in payload for _, payload in live) > 2
