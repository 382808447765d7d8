"""The live shell watches its house and looks back: an exchange whose clock is off, a database that hangs, days from storage.

The session is the real one, on Postgres, in real time; only the exchange is ours.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from db import candles, configs
from db.connect import connect
from db.maintenance import rollup
from engine import app, house as limits, keepers, status
from engine.app import Session
from engine.commanding import Asked
from engine.core import events as ev
from engine.core.config import ConfigError, canonical, config_sha256, parse_config
from engine.core.inputs import Candle
from engine.core.market import TAIL_BARS
from engine.core.types import MINUTE_US, Mode, TradingState, Verb
from engine.feeds import ccxt_clock
from engine.feeds.ccxt_feed import LiveFeed
from engine.local import LocalClient
from engine.options import Options
from tests.feeds.test_live_feed import BTC, Venue
from tests.patience import until_async


class Now(Venue):
    """In real time, with quotes that never pause, and a clock that runs ahead of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.has["fetchTime"] = True
        self.ahead_ms = 5_000

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def fetch_time(self) -> int:
        return self.now_ms() + self.ahead_ms

    async def watch_tickers(self, symbols: list[str]) -> Any:
        await asyncio.sleep(0.1)
        return {s: {"bid": 99.5, "ask": 100.5, "timestamp": self.now_ms()} for s in symbols}


async def journal_of(database: str, kind: type[ev.Event]) -> list[Any]:
    conn = await connect(database)
    try:
        rows = await conn.fetch("select payload from qs.events where type = $1 order by seq", kind.__name__)
    finally:
        await conn.close()
    return [ev.decode(row["payload"]) for row in rows]


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same watch with a shorter patience."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    for module, name, value in (
        (ccxt_clock, "ASK_S", 0.1),
        (keepers, "HEARTBEAT_S", 0.2),
        (app, "HEARTBEAT_S", 0.2),
        (keepers, "HOUSE_S", 0.1),
        (limits, "OUTAGE_S", (3.0, 3.0)),
        (limits, "BETTER_S", 1.0),
        (limits, "COMMIT_MS", (1e9, 1e9)),
        (limits, "LAG_MS", (1e9, 1e9)),
        (limits, "FREE_BYTES", (0, 0)),
    ):
        monkeypatch.setattr(module, name, value)


async def test_what_the_shell_measures_reaches_the_gates_by_the_journal(
    hasty: None, migrated: str, as_superuser: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    venue = Now()
    feed = LiveFeed("venue", (BTC,), client=venue)
    monkeypatch.setattr(app, "make_feed", lambda options: (feed, None, Mode.PAPER))
    session = Session(Options(live_data="venue", database_url=migrated), LocalClient())
    await session.boot()
    serving = asyncio.create_task(session.serve())
    ledger = session.engine.state.ledger
    try:
        await until_async(lambda: ledger.house.clock_skew_ms not in (0, None), "the clock of the exchange is told")
        venue.ahead_ms = 0
        await until_async(lambda: abs(ledger.house.clock_skew_ms) < 1_000, "it is right again")
        await _hang(as_superuser(migrated), 5.0)
        await until_async(lambda: ledger.state is TradingState.REDUCING, "the outage is told")
        await until_async(lambda: ledger.house.journal_ok is True, "and its end")
    finally:
        session.stop("done")
        await serving
    assert (ledger.state, ledger.state_actor) == (TradingState.REDUCING, "gate:JOURNAL_HEALTH")
    told = await journal_of(migrated, ev.HouseChanged)
    assert 4_000 < told[0].clock_skew_ms < 6_000 and abs(told[1].clock_skew_ms) < 1_000
    broken = [e for e in told if e.journal_ok is False]
    assert len(broken) == 1 and broken[0].journal.startswith("no answer for") and told[-1].journal_ok is True
    assert len(told) < 10  # changes alone


async def test_a_bot_on_days_is_warm_at_the_start_from_what_earlier_runs_have_stored(
    hasty: None, migrated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exchange is asked for what memory holds, storage for the days before it; both a start and an activation."""
    venue = Now()
    venue.ahead_ms = 0
    now = venue.now_ms()
    minutes = range(now // 86_400_000 * 86_400_000 - 9 * 86_400_000, now // 60_000 * 60_000, 60_000)
    conn = await connect(migrated)
    try:
        await candles.store(conn, [_candle(venue.row(open_ms)) for open_ms in minutes], "live:venue")
        await rollup(conn, datetime.fromtimestamp(now / 1e3, UTC))
        document = parse_config({"bots": [{"name": "slow", "strategy": DAYS}]})
        text = canonical(document).decode()
        longer = text.replace('"timeperiod":5', '"timeperiod":30')
        await configs.new(conn, longer, config_sha256(parse_config(json.loads(longer))), "tester", "thirty days")
        await configs.new(conn, text, config_sha256(document), "tester", "five days")
    finally:
        await conn.close()
    feed = LiveFeed("venue", (BTC,), client=venue)
    monkeypatch.setattr(app, "make_feed", lambda options: (feed, None, Mode.PAPER))
    session = Session(Options(live_data="venue", database_url=migrated), LocalClient())
    await session.boot()
    series = session.engine.state.market.series["venue", BTC]
    (runner,) = series.runners
    assert len(series.tail) == TAIL_BARS and runner.warmup_bars > TAIL_BARS and runner.warm and not series.past
    midnight = now // 86_400_000
    closes = [venue.row((midnight - back) * 86_400_000 - 60_000)[4] for back in range(5)]
    assert runner.strategy.rules.indicators.value("day") == pytest.approx(sum(closes) / 5)  # type: ignore[attr-defined]
    serving = asyncio.create_task(session.serve())
    try:
        asked = Asked(Verb.ACTIVATE_CONFIG, "tester", version=1)
        session.engine.ask(asked)
        done, text = await asked.answer
    finally:
        session.stop("done")
        await serving
    assert not done and "bot slow needs 44639 bars of BTC/USDT to warm up and has 1" in text and "are lacking" in text


async def test_a_first_config_that_can_trade_nothing_opens_no_ledger(
    hasty: None, migrated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an activation refuses is refused at genesis, too."""
    conn = await connect(migrated)
    try:
        document = parse_config({"bots": [{"name": "lost", "strategy": DAYS, "symbols": ["DOGE/NOPE"]}]})
        await configs.new(conn, canonical(document).decode(), config_sha256(document), "tester", "elsewhere")
    finally:
        await conn.close()
    session = Session(Options(simulate=1, seed=1, database_url=migrated), LocalClient())
    with pytest.raises(
        ConfigError, match=r"\$\.bots: the feed does not offer DOGE/NOPE; it offers .* \(config 1; store another"
    ):
        await session.boot()
    assert await journal_of(migrated, ev.LedgerOpened) == []


async def test_a_disk_that_takes_no_status_file_holds_up_nothing_else(hasty: None, migrated: str) -> None:
    """A pipe that nobody reads: whoever opens it to write waits."""
    session = Session(Options(simulate=1, seed=1, speed=60, database_url=migrated), LocalClient())
    await session.boot()
    told, pipe = session.directory / status.STATUS_NAME, session.directory / f"status.{os.getpid()}.tmp"
    told.unlink(missing_ok=True)
    os.mkfifo(pipe)
    serving = asyncio.create_task(session.serve())
    try:
        before = session.engine.state.market.candles
        await until_async(lambda: session.engine.state.market.candles > before + 12, "the market goes on")
        assert not told.exists()
    finally:
        session.stop("done")
        held = await asyncio.to_thread(pipe.read_bytes)
        await serving
    assert json.loads(held)["running"] is True
    last = status.read(told)
    assert last is not None and last["running"] is False and last["number"] > json.loads(held)["number"]


DAYS = {
    "schema": 1,
    "indicators": {"day": {"fn": "SMA", "params": {"timeperiod": 5}, "timeframe": "1d"}},
    "entry_long": {"op": "lt", "left": "close", "right": "day"},
}


def _candle(row: list[float]) -> Candle:
    ts = round(row[0]) * 1_000 + MINUTE_US
    return Candle(
        ts=ts, exchange="venue", symbol=BTC, timeframe_us=MINUTE_US, open=row[1], high=row[2], low=row[3], close=row[4],
        volume=row[5], received_ts=ts,
    )  # fmt: skip


async def _hang(superuser: str, seconds: float) -> None:
    """A database that takes what it is sent and does not answer."""
    import asyncpg

    conn = await asyncpg.connect(superuser)
    try:
        async with conn.transaction():
            await conn.execute("lock table qs.engine_runs in access exclusive mode")
            await asyncio.sleep(seconds)
    finally:
        await conn.close()
