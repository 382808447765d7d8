"""Ticks through COPY: exact, whole batches, their own days, and nothing that is no price."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import duckdb
import msgspec
import pytest

from db.connect import connect
from db.ticks import TickRefused, TickRow, TickWriter, of_quote
from engine.core.inputs import Quote

T0 = 1_735_689_600_000_000  # 2025-01-01T00:00:00Z
DAY_US = 86_400_000_000
REAL = Path(__file__).resolve().parents[3] / "shared/data/ticks/binancespot_BTCUSDT_2024-08-08_bookticker.parquet"


def tick(ts: int = T0, **changes: Any) -> TickRow:
    base = TickRow(
        exchange="binance", symbol="BTC/USDT", ts=ts, received_ts=ts + 777, bid=60_000.1, ask=60_000.11, source="test"
    )
    return msgspec.structs.replace(base, **changes)


@pytest.fixture(params=["migrated", "migrated15"])
async def conn(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    dsn = request.getfixturevalue(request.param)
    connection = await connect(dsn)
    yield connection
    await connection.close()


async def test_values_come_back_exactly(conn: Any) -> None:
    tiny, huge = (
        tick(bid=1e-18, ask=2.5e-7),
        tick(T0 + 1, bid=12_345_678_901.25, ask=1e17, last_price=0.1, last_volume=0.0),
    )
    assert await TickWriter(conn).write([tiny, huge]) == 2
    first, second = await conn.fetch("select * from ticks order by ts")
    assert (first["bid"], first["ask"]) == (Decimal("1e-18"), Decimal("2.5e-7"))
    assert (second["bid"], second["ask"]) == (Decimal("12345678901.25"), Decimal(10) ** 17)
    assert (second["last_price"], second["last_volume"], first["last_price"]) == (Decimal("0.1"), 0, None)
    assert second["ts"] == datetime(2025, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    assert second["received_at"] == datetime(2025, 1, 1, 0, 0, 0, 778, tzinfo=UTC)


async def test_partitions_follow_the_ticks(conn: Any) -> None:
    days = (T0 - 400 * DAY_US, T0, T0 + 90 * DAY_US)
    writer = TickWriter(conn)
    await writer.write([tick(ts) for ts in days])
    await writer.write([tick(ts + 5) for ts in days])
    found = await conn.fetch("select tableoid::regclass::text as name, count(*) from ticks group by 1 order by 1")
    assert [(row["name"], row["count"]) for row in found] == [
        ("ticks_p20231128", 2),
        ("ticks_p20250101", 2),
        ("ticks_p20250401", 2),
    ]


@pytest.mark.parametrize(
    "symbol", ["kPEPE/USDC:USDC", "a\\b/USDT", "tab\there/USDT", "line\nbreak/USDT", "ünï\x1b[2J/USDT", "\\N"]
)
async def test_names_are_stored_as_they_are(conn: Any, symbol: str) -> None:
    await TickWriter(conn).write([tick(symbol=symbol, source=symbol)])
    row = await conn.fetchrow("select symbol, source from ticks")
    assert (row["symbol"], row["source"]) == (symbol, symbol)


@pytest.mark.parametrize("price", [float("nan"), float("inf"), float("-inf")])
async def test_what_is_no_number_is_refused_and_nothing_is_stored(conn: Any, price: float) -> None:
    with pytest.raises(TickRefused, match="not a price"):
        await TickWriter(conn).write([tick(), tick(T0 + 1, bid=price)])
    assert await conn.fetchval("select count(*) from ticks") == 0


async def test_a_name_with_a_nul_byte_is_refused(conn: Any) -> None:
    with pytest.raises(TickRefused, match="NUL"):
        await TickWriter(conn).write([tick(symbol="BTC\0/USDT")])


@pytest.mark.parametrize(
    "changes",
    [{"bid": 2.0, "ask": 1.0}, {"bid": 0.0}, {"ask": -1.0}, {"last_price": 0.0}, {"last_volume": -1.0}, {"symbol": ""}],
)
async def test_the_table_refuses_what_no_market_says(conn: Any, changes: dict[str, Any]) -> None:
    writer = TickWriter(conn)
    with pytest.raises(asyncpg.CheckViolationError):
        await writer.write([tick(), tick(T0 + 1, **changes)])
    assert await conn.fetchval("select count(*) from ticks") == 0
    assert await writer.write([tick()]) == 1  # the connection is still good


async def test_raw_sql_cannot_store_a_price_that_is_no_number(conn: Any) -> None:
    await TickWriter(conn).write([tick()])
    for column in ("bid", "ask", "last_price", "last_volume"):
        with pytest.raises(asyncpg.CheckViolationError):
            await conn.execute(
                f"insert into ticks(exchange_id, symbol, ts, {column}) select exchange_id, symbol, ts, 'NaN' from ticks"
            )


def test_a_feed_that_knows_a_last_price_alone() -> None:
    quote = Quote(ts=T0, exchange="binance", symbol="BTC/USDT", bid=5.0, ask=5.0, received_ts=T0)
    assert of_quote(quote, "live").last_price == 5.0
    assert of_quote(msgspec.structs.replace(quote, ask=6.0), "live").last_price is None


@pytest.mark.skipif(not REAL.exists(), reason="the recorded book tickers are not beside this checkout")
async def test_a_recorded_book_ticker_comes_back_as_it_was(conn: Any) -> None:
    recorded = duckdb.sql(f"select recv_ns // 1000, bid, ask from '{REAL}' limit 20000").fetchall()
    sent = [tick(ts, received_ts=ts, bid=bid, ask=ask) for ts, bid, ask in recorded]
    assert await TickWriter(conn).write(sent) == len(recorded) > 10_000
    found = await conn.fetchrow("select sum(bid) as bids, sum(ask) as asks, count(*) as n from ticks")
    assert found["n"] == len(recorded)
    assert found["bids"] == sum(Decimal(repr(bid)) for _, bid, _ in recorded)
    assert found["asks"] == sum(Decimal(repr(ask)) for *_, ask in recorded)
