"""At least one row in every table of a database, by the engine and by the documented writers: what the contract views show.

`fill_everything` is the one place that knows how a table gets a row. Tables that only a later job fills are named in `LATER`.
"""

from __future__ import annotations

import random
import tempfile
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec import structs

from db import (
    alerts,
    audit,
    backtests,
    books,
    candles,
    commands,
    configs,
    credentials,
    database_configs,
    instruments,
    maintenance,
    outbox,
    readings,
    reports,
    strategies,
    ticks,
    users,
    wallets,
)
from db.connect import connect
from db.records import moment
from db.rows import operator_id
from db.vault import open_vault
from engine.core.canonical import sha256_hex
from engine.core.config import canonical as config_text
from engine.core.inputs import Candle
from engine.core.types import MINUTE_US, Verb, uuid7
from tests.core.worlds import BTC, RULES, START, World, config
from tests.db import futures
from tests.db.histories import Pair, journal_of, write
from tests.db.secrets import as_user

D = Decimal
MARKET = structs.replace(BTC, max_quantity=D(9000), source="bundled")
LATER = {
    "rollup_queue": "the roll-up's trigger; a run of the job empties it",
    "archive_segments": "the archive job",
    "dropped_partitions": "the retention job",
}


def _limits() -> dict[str, Any]:
    return {
        "max_order_value": {"soft": "5000", "hard": "9000"},
        "max_order_quantity": {"hard": "5000"},
        "max_position_value": {"hard": "9000"},
        "max_open_positions": {"hard": "6"},
        "max_leverage": {"hard": "30"},
    }


def _config() -> Any:
    """One bot that trades with every kind of exit and limit, one whose orders are too small to be sent, and those of
    `tests.db.futures`."""
    exits = {"stop_loss_pct": "2", "take_profit_pct": "4", "trailing": {"distance_pct": "1", "offset_pct": "1.5"}}
    sizing = {"kind": "percent_equity", "value": "10"}
    probe = {"name": "probe", "symbols": ["BTC/USDT"], "strategy": RULES, "sizing": sizing, "exits": exits}
    tiny = {"name": "tiny", "strategy": RULES, "sizing": sizing, "limits": {"max_order_value": {"hard": "3"}}}
    account: dict[str, Any] = {"portfolios": futures.portfolios(), "equity_sample_s": 300}
    account["limits"] = (
        futures.LOOSE | {"daily_loss_pct": {"hard": "90"}, "max_drawdown_pct": {"hard": "95"}} | _limits()
    )
    costs = {"maker_bps": "10", "taker_bps": "10", "slippage_bps": "1"}
    return config(bots=[probe | {"limits": _limits()}, tiny, *futures.bots()], account=account, costs=costs)


async def history(directory: Path, bars: int = 60) -> list[Pair]:
    """A short real run: the one with futures, then entries, exits, denied and canceled orders, a pause, a halt and a resume;
    positions stay open, one of them with half of it gone."""
    world = World(directory, _config(), instruments=(MARKET, futures.PERP), factories=futures.FACTORIES)
    await futures.play(await world.open())
    world.engine.dispatch.latch.set("tester", "a look at the last look")
    await world.candle(90, 121, 89, 120)  # the order is journaled, and refused at the venue's door
    await world.command(Verb.HALT, "as the latch says")
    await world.command(Verb.RESUME, "that was seen")
    rng = random.Random(7)
    for bar in range(bars):
        if bar == bars // 3:
            await world.command(Verb.PAUSE, "a look around")
            await world.command(Verb.RESUME, "on we go")
        if bar == bars // 2:
            await world.command(Verb.HALT, "smoke in the room")
            await world.command(Verb.RESUME, "it was the toaster")
        opened, closed = rng.uniform(40, 160), rng.uniform(40, 160)
        await world.candle(opened, max(opened, closed) + 1, min(opened, closed) - 1, closed)
    await world.candle(110, 121, 109, 120)
    await world.candle(120, 123, 119.5, 122.5)  # a target of half the position
    for _ in range(16):
        await world.candle(122.5, 122.6, 122, 122.2)
    await world.news()
    return world.store.pairs


async def fill_everything(dsn: str) -> None:
    """Rows in every table of a migrated, empty database."""
    with tempfile.TemporaryDirectory() as directory:
        pairs = await history(Path(directory) / "world")
        journal = journal_of(dsn, Path(directory) / "ledger", snapshot_every=50, instruments=(MARKET, futures.PERP))
        ledger = (await journal.open()).ledger
        await write(journal, ledger, pairs)
        await journal.heartbeat()
        await journal.close("done")
    engine = await connect(dsn)
    try:
        user = operator_id(ledger)
        await _market(engine)
        await _queue_and_audit(engine, user)
        await _secrets(dsn, user)
        await _operations(engine, user)
        await _strategies(engine, user)
        await _wallets(engine)
        await _jobs(engine)
    finally:
        await engine.close()


async def _market(conn: Any) -> None:
    levels = [(D("99.5"), D("2")), (D("99"), D("1.25"))], [(D("100"), D("0.5")), (D("100.5"), D("3"))]
    await instruments.store(conn, MARKET, native_symbol="BTCUSDT", metadata={"tags": ["spot"]})
    await instruments.store_venue(
        conn, "test", name="Test venue", api_base_url="https://example.org", supported_features={"spot": True},
        rate_limits={"per_minute": 1200},
    )  # fmt: skip
    await books.record_book(conn, exchange="test", symbol="BTC/USDT", ts=START, bids=levels[0], asks=levels[1])
    bars = [
        Candle(
            ts=START + n * MINUTE_US, exchange="test", symbol="BTC/USDT", timeframe_us=MINUTE_US, open=100.0 + n,
            high=102.0 + n, low=99.0, close=101.0 + n, volume=5.0, received_ts=START + n * MINUTE_US,
        )
        for n in (*range(1, 121), 2 * 1440)  # the last one closes the day of the others
    ]  # fmt: skip
    await candles.store(conn, bars, "test")
    tick = ticks.TickRow(
        exchange="test", symbol="BTC/USDT", ts=START, received_ts=START + 1_000, bid=100.0, ask=100.05, last_price=100.0,
        last_volume=0.5, source="test",
    )  # fmt: skip
    await ticks.TickWriter(conn).write([tick])


async def _jobs(conn: Any) -> None:
    await maintenance.rollup(conn, moment("ts", START))
    await conn.execute("select qs.refresh_daily_performance(qs.stale_daily_performance())")


async def _queue_and_audit(conn: Any, user: str) -> None:
    command = await commands.put(conn, "PAUSE", "me", "a look", {"policy": "keep_with_exits"})
    await commands.take(conn)
    await commands.finish(conn, command, done=True, result={"state": "PAUSED"})
    entry = audit.AuditEntry(
        id=uuid7(START, "audit"), ts=START, action="CONFIG_STORED", resource_type="config", resource_id=user,
        user_id=user, old_values={"a": 1}, new_values={"a": 2}, ip_address="127.0.0.1", user_agent="quantsail",
        trace_id="t1", metadata={"why": "test"},
    )  # fmt: skip
    await audit.append(conn, entry)
    text = config_text(config()).decode()
    await configs.new(conn, text, sha256_hex(text.encode()), "me", "a quieter one")


async def _secrets(dsn: str, user: str) -> None:
    """A person beside the operator, keys of an exchange and a foreign database (which nobody answers at)."""
    engine = await connect(dsn)
    ann = await users.create(engine, "ann@example.org", actor="test", first_name="Ann", last_name="Lee")
    await users.verify(engine, ann, actor="test")
    await users.signed_in(engine, ann, actor="test")
    app = await as_user(dsn, user)
    with tempfile.TemporaryDirectory() as directory:
        vault = await open_vault(app, Path(directory), create=True)
    keys = credentials.ExchangeKeys(api_key="key-of-sixteen-ch", api_secret="secret", passphrase="word")
    row = await credentials.add(
        app, vault, keys, user_id=user, actor="test", exchange="binance", label="main", permissions=("READ", "TRADE")
    )
    await credentials.record_test(app, row, keys, ok=True, message="fine", actor="test")
    await credentials.reveal(engine, vault, row, actor="test")
    gone = await users.create(engine, "gone@example.org", actor="test")
    await users.delete(engine, gone, actor="test")
    for label, end in (("leaked", credentials.revoke), ("mistyped", credentials.delete)):
        other = await credentials.add(
            app, vault, keys, user_id=user, actor="test", exchange="binance", label=label, permissions=("READ",)
        )
        await credentials.record_test(app, other, keys, ok=False, message="not allowed from here", actor="test")
        await end(app, other, user_id=user, actor="test")
    new = database_configs.NewDatabase(
        name="elsewhere", db_type="POSTGRESQL", host="127.0.0.1", port=1, database="d", username="u", password="p"
    )
    await database_configs.add(app, vault, new, user_id=user, actor="test")
    await database_configs.test(app, vault, "elsewhere", user_id=user, actor="test")
    await database_configs.add(app, vault, structs.replace(new, name="old"), user_id=user, actor="test")
    await database_configs.remove(app, "old", user_id=user, actor="test")
    await app.close()
    await engine.close()


async def _operations(conn: Any, user: str) -> None:
    alert = await alerts.create(
        conn, user_id=user, type="INDICATOR", condition="CROSSES_ABOVE", threshold=D(70), exchange="test",
        symbol="BTC/USDT", indicator="RSI", indicator_params={"timeperiod": 14}, channels=("TUI", "EMAIL"),
        channel_config={"email": "me@example.org"}, message="hot", metadata={"from": "test"}, is_recurring=True,
        expires_ts=4_000_000_000_000_000,
    )  # fmt: skip
    await alerts.trigger(conn, alert, START + MINUTE_US)
    for channel in ("log", "mail", "pager"):
        await outbox.enqueue(conn, event_seq=1, channel=channel, expires_ts=4_000_000_000_000_000)
    notices = await outbox.claim(conn, worker="courier", limit=3)
    await outbox.complete(conn, notices[0].id, worker="courier")
    await outbox.fail(conn, notices[1].id, worker="courier", error="nobody at home")
    report = await reports.write_report(
        conn, start_ts=START, end_ts=START + 240 * MINUTE_US, summary="# Four hours\n\nQuiet.", metrics={"trades": 3},
        notable_events=[{"seq": 1}],
    )  # fmt: skip
    await reports.mark_delivered(conn, report, START + 241 * MINUTE_US, push_sent=True)
    await reports.record_smoke_run(
        conn, status="PASSED", rpc_latency_ms=41, wallet_check="funded", tx_simulation="ok",
        details={"steps": [{"name": "rpc", "ms": 41}]},
    )  # fmt: skip


async def _strategies(conn: Any, user: str) -> None:
    strategy = await strategies.draft(
        conn, user_id=user, name="Golden cross", entry_rules=[{"op": "gt"}], exit_rules=[{"op": "lt"}],
        parameters={"fast": 50}, description="Two averages", symbol="BTC/USDT", timeframe="1h", version_label="1.0.0",
        stop_loss_pct=D(2), take_profit_pct=D(4), trailing_stop_pct=D(1), max_position_size_pct=D(10),
        max_drawdown_pct=D(20), trading_mode="PAPER",
    )  # fmt: skip
    await strategies.revise(conn, strategy, entry_rules=[{"op": "gte"}], exit_rules=[], version_label="1.1.0")
    await strategies.set_status(conn, strategy, "ACTIVE", START)
    dropped = await strategies.draft(conn, user_id=user, name="No good", entry_rules=[], exit_rules=[])
    await strategies.remove(conn, dropped, START)
    bot = await conn.fetchval("select id::text from qs.bots order by name limit 1")
    backtest = await backtests.start(
        conn, user_id=user, strategy_id=strategy, bot_id=bot, symbol="BTC/USDT", timeframe="1h",
        start_date=date(2025, 1, 1), end_date=date(2025, 2, 1), initial_capital=D(10_000), commission_pct=D("0.1"),
        slippage_pct=D("0.01"), strategy={"entry_rules": [{"op": "gte"}]}, started_ts=START,
    )  # fmt: skip
    await backtests.progress(conn, backtest, 50)
    trade = backtests.Trade(
        number=1, symbol="BTC/USDT", side="BUY", quantity=D("0.5"), entry_price=D(100), entry_ts=START,
        exit_price=D(110), exit_ts=START + 60 * MINUTE_US, commission=D("0.1"), slippage=D("0.01"), gross_pnl=D(5),
        net_pnl=D("4.89"), pnl_pct=D("9.78"), entry_signal="cross", exit_signal="target", market_conditions={"atr": "2"},
    )  # fmt: skip
    await backtests.add_trades(conn, backtest, [trade])
    await backtests.finish(conn, backtest, figures())
    lost = await backtests.start(
        conn, user_id=user, start_date=date(2025, 1, 1), end_date=date(2025, 2, 1), initial_capital=D(1), strategy={},
        started_ts=START,
    )  # fmt: skip
    await backtests.fail(conn, lost, "no data for that range")


def figures() -> backtests.Figures:
    """Every figure that a backtest may have."""
    numbers = {
        name: D("1.5")
        for name in backtests.Figures.__struct_fields__
        if name.endswith(("_pct", "_ratio", "_factor")) or name.startswith(("avg_win", "avg_loss", "largest"))
    }
    spans = {"max_drawdown_duration": timedelta(days=3), "avg_trade_duration": timedelta(hours=1)}
    counts = {"final_equity": D(10_005), "total_trades": 1, "winning_trades": 1, "losing_trades": 0, "win_rate": D(1)}
    lists: dict[str, Any] = {
        "results": [{"trade": 1}],
        "equity_curve": [[START, "10000"], [START + MINUTE_US, "10005"]],
        "monthly_returns": {"2025-01": D("0.05")},
        "drawdown_periods": [{"from": START, "to": START + MINUTE_US, "pct": "0.1"}],
        "metrics": {"exposure": "0.4"},
    }
    return backtests.Figures(**numbers | spans | counts | lists)  # type: ignore[arg-type]


async def _wallets(conn: Any) -> None:
    wallet = await wallets.add(
        conn, chain="ethereum", address="0x" + "Ab" * 20, label="whale", tags=["dex"], metadata={"source": "list"}
    )
    await wallets.score(
        conn, wallet_id=wallet, ts=START, credibility_1h=D(6), credibility_4h=D("6.5"), credibility_24h=D(7),
        equity_usd=D(1_000_000), trading_volume_24h=D(50_000), win_rate=D("0.61"), archetype="swing",
    )  # fmt: skip
    kept = await wallets.event(
        conn, wallet_id=wallet, chain="ethereum", tx_hash="0x" + "0f" * 32, ts=START, event_type="SWAP", log_index=2,
        asset="WETH", amount=D("12.5"), notional_usd=D(40_000), size_fraction=D("0.04"), venue="uniswap",
        gas_price=D(21_000_000_000), is_first_since_watch=True, raw_data={"topics": []},
    )  # fmt: skip
    await readings.analysis(
        conn, event_id=kept.id, event_ts=START, classification="ACCUMULATION", confidence=D("0.7"),
        narrative="buys the dip", pattern="dip", bias_impact=D("0.2"), proposed_action={"side": "BUY"},
        embedding=[0.5] * readings.EMBEDDING_SIZE,
    )  # fmt: skip
    await readings.bias(conn, asset="BTC", timeframe="4h", ts=START, value=D("-0.1"))
    await readings.bias(
        conn, asset="ETH", timeframe="4h", ts=START, value=D("0.3"), components={"whale": "0.3"}, confidence=D("0.5")
    )
