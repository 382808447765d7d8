"""Every word of the canonical tables becomes one that the contract's document knows, or its row is left out on purpose."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from db.connect import connect
from db.contracts import SCHEMAS, views
from tests.db import seed_documents

#: Column of a contract, canonical column, words that the document knows, words whose rows are left out on purpose.
WORDS = [
    ("quantsail_v7.users.role", "users.role", "OWNER CEO DEVELOPER ADMIN", "VIEWER"),
    ("quantsail_v7.trades.side", "positions.side", "LONG SHORT", ""),
    ("quantsail_v7.trades.status", "positions.status", "OPEN CLOSED CANCELED", ""),
    ("quantsail_v7.trades.mode", "positions.mode", "DRY_RUN LIVE", ""),
    ("quantsail_v7.orders.side", "orders.side", "BUY SELL", ""),
    ("quantsail_v7.orders.order_type", "orders.order_type", "MARKET LIMIT", ""),
    ("quantsail_v7.orders.status", "orders.status", "PLACED FILLED CANCELED FAILED SIMULATED", "DENIED"),
    ("quantsail_v7.events.level", "events.level", "INFO WARN ERROR", ""),
    ("paper_api.signals.side", "signals.side", "buy sell", ""),
    ("paper_api.orders.side", "orders.side", "buy sell", ""),
    ("paper_api.orders.status", "orders.status", "proposed approved rejected executed canceled", ""),
    ("paper_api.fills.side", "fills.side", "buy sell", ""),
    ("paper_api.risk_events.action", "risk_decisions.action", "blocked allowed warned", ""),
    ("paper_api.devnet_smoke_runs.status", "smoke_runs.status", "passed failed", ""),
    ("wallet_following.users.trading_mode", "users.trading_mode", "demo live", ""),
    ("wallet_following.orders.trading_mode", "orders.mode", "demo live", ""),
    ("wallet_following.orders.side", "orders.side", "buy sell", ""),
    ("wallet_following.positions.trading_mode", "positions.mode", "demo live", ""),
    ("wallet_following.daily_performance.trading_mode", "daily_performance.mode", "demo live", ""),
    ("wallet_following.positions.side", "positions.side", "long short", ""),
    (
        "wallet_following.orders.status",
        "orders.status",
        "pending open partially_filled filled canceled rejected expired",
        "DENIED",
    ),
    ("trading_platform.bots.status", "bots.status", "running stopped error paused", ""),
    ("trading_platform.strategies.type", "strategies.type", "technical ml hybrid arbitrage", ""),
    ("trading_platform.orders.side", "orders.position_side", "LONG SHORT", ""),
    (
        "trading_platform.orders.order_type",
        "orders.order_type",
        "MARKET LIMIT STOP_MARKET STOP_LIMIT TRAILING_STOP",
        "",
    ),
    ("trading_platform.orders.time_in_force", "orders.time_in_force", "GTC IOC FOK GTX", ""),
    (
        "trading_platform.orders.status",
        "orders.status",
        "PENDING PARTIALLY_FILLED FILLED CANCELLED REJECTED EXPIRED",
        "",
    ),
    ("trading_platform.orders.margin_mode", "orders.margin_mode", "ISOLATED CROSS", ""),
    ("trading_platform.orders.position_mode", "orders.position_mode", "ONE_WAY HEDGE", ""),
    ("trading_platform.positions.margin_mode", "positions.margin_mode", "ISOLATED CROSS", ""),
    ("trading_platform.positions.side", "positions.side", "LONG SHORT", ""),
    ("trading_platform.positions.status", "positions.status", "OPEN CLOSED LIQUIDATED", ""),
    ("trading_platform.trades.side", "fills.side", "BUY SELL", ""),
    ("trading_platform.trades.status", "fills.status", "SUCCESS FAILED", ""),
    ("trading_platform.api_connections.environment", "exchange_credentials.environment", "TESTNET PRODUCTION", ""),
    ("trading_platform.api_connections.status", "exchange_credentials.status", "ACTIVE INACTIVE ERROR EXPIRED", ""),
    ("trading_platform.database_configs.db_type", "database_configs.db_type", "POSTGRESQL MYSQL MONGODB", ""),
    ("trading_platform.database_configs.status", "database_configs.status", "ACTIVE INACTIVE ERROR", ""),
    ("trading_platform.symbols.status", "instruments.status", "TRADING HALT DELISTED", ""),
    ("trading_platform.alerts.type", "alerts.type", "PRICE PNL RISK SYSTEM FUNDING_RATE", ""),
    ("trading_platform.alerts.status", "alerts.status", "ACTIVE TRIGGERED DISABLED EXPIRED", ""),
    ("trading_platform.event_queue.status", "outbox.status", "PENDING PROCESSING COMPLETED FAILED", ""),
    ("apextrade.strategies.status", "strategies.status", "draft active paused archived", ""),
    ("apextrade.strategies.trading_mode", "strategies.trading_mode", "paper live", ""),
    ("apextrade.backtests.status", "backtests.status", "pending running completed failed cancelled", ""),
    ("apextrade.backtest_trades.side", "backtest_trades.side", "BUY SELL", ""),
    ("apextrade.trades.side", "orders.side", "BUY SELL", ""),
    ("apextrade.trades.order_type", "orders.order_type", "MARKET LIMIT STOP_LOSS TAKE_PROFIT STOP_LIMIT", ""),
    ("apextrade.trades.status", "orders.status", "pending submitted partial filled cancelled failed expired", "DENIED"),
    ("apextrade.alerts.alert_type", "alerts.type", "price indicator volume change_pct", "PNL RISK SYSTEM FUNDING_RATE"),
    ("apextrade.alerts.condition", "alerts.condition", "above below crosses_above crosses_below equals", ""),
]
#: 002 names one of its order statuses only; the others are our words in lower case. Its sides and modes are ours as well.
UNLISTED = {"wallet_following", "quantsail_v7.trades.side"}
#: Shown as they are, or in lower case, where the document has no list of words.
WHOLE = {
    "wallet_following.orders.order_type",
    "trading_platform.market_prices.interval",
    "apextrade.ohlcv.timeframe",
    "apextrade.ohlcv_1h.timeframe",
    "apextrade.ohlcv_1d.timeframe",
}


@pytest_asyncio.fixture
async def engine(shared: str) -> AsyncIterator[Any]:
    connection = await connect(shared)
    yield connection
    await connection.close()


async def _vocabulary(conn: Any, canonical: str) -> list[str]:
    """The words that the CHECK of a canonical column lets in."""
    table, column = canonical.split(".")
    rows = await conn.fetch(
        """select pg_get_constraintdef(oid) from pg_constraint where contype = 'c' and conrelid = to_regclass('qs.' || $1)
              and conkey = (select array[attnum] from pg_attribute where attrelid = conrelid and attname = $2)""",
        table,
        column,
    )
    for (text,) in rows:
        if " = ANY " in text and (found := re.findall(r"'(\w+)'", text)):
            return found
    raise AssertionError(f"no vocabulary of {canonical}")


@pytest.mark.parametrize("mode", ["SIM", "LIVE"])
async def test_every_word_becomes_one_that_the_document_knows(engine: Any, mode: str) -> None:
    expressions = {f"{v.schema}.{v.name}.{c.name}": c.expression for v in views() for c in v.columns}
    wrong = []
    for name, canonical, words, left_out in WORDS:
        table, column = canonical.split(".")
        vocabulary = await _vocabulary(engine, canonical)
        assert len(vocabulary) > 1
        for word in set(vocabulary) - set(left_out.split()):
            row = json.dumps({"mode": mode, "in_doubt": False, "role": "ENTRY"} | {column: word})
            shown = await engine.fetchval(
                f"select ({expressions[name]})::text from jsonb_populate_record(null::qs.{table}, $1::text::jsonb) {table}",
                row,
            )
            if shown not in words.split():
                wrong.append(f"{name}: {word} is shown as {shown}")
    assert wrong == []


@pytest.mark.skipif(not seed_documents.SEEDS.is_dir(), reason="the five documents are not beside the project")
def test_the_words_stand_in_the_documents() -> None:
    for name, _, words, _ in WORDS:
        if name in UNLISTED or name.partition(".")[0] in UNLISTED:
            continue
        text = seed_documents.document(SCHEMAS.index(name.partition(".")[0]))
        assert not [word for word in words.split() if not re.search(rf"\b{word}\b", text)], name


async def test_every_vocabulary_that_a_contract_shows_is_tested(engine: Any) -> None:
    """A view's column over a canonical column that has a list of words must be in WORDS."""
    rows = await engine.fetch(
        """select c.relname || '.' || a.attname
             from pg_constraint k join pg_class c on c.oid = k.conrelid
             join pg_attribute a on a.attrelid = c.oid and k.conkey = array[a.attnum]
            where k.contype = 'c' and c.relnamespace = 'qs'::regnamespace
              and pg_get_constraintdef(k.oid) ~ ' = ANY \\(+ARRAY\\['"""
    )
    vocabularies = {row[0] for row in rows}
    tested = {name for name, *_ in WORDS} | WHOLE
    missing = [
        f"{v.schema}.{v.name}.{c.name}"
        for v in views()
        for c in v.columns[v.copied :]
        if c.origin in vocabularies
        and c.type not in ("boolean", "jsonb")
        and f"{v.schema}.{v.name}.{c.name}" not in tested
    ]
    assert missing == []
