"""Live bars in the database: partitions follow the data, a bar that is there stays as it is."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from db.candles import store
from db.connect import connect
from engine.core.inputs import Candle
from engine.core.types import HOUR_US, MINUTE_US

BAR = Candle(
    ts=1_580_515_200_000_000 + MINUTE_US,
    exchange="newvenue",
    symbol="kPEPE/USDT",
    timeframe_us=MINUTE_US,
    open=0.1,
    high=0.3,
    low=0.1,
    close=0.2,
    volume=12.5,
    received_ts=0,
)


async def test_bars_are_kept_once_with_their_open_time_and_exact_prices(migrated: str) -> None:
    conn = await connect(migrated)
    try:
        await store(conn, [], "live:newvenue")
        hourly = msgspec.structs.replace(BAR, timeframe_us=HOUR_US, ts=BAR.ts + HOUR_US)
        late = msgspec.structs.replace(BAR, ts=BAR.ts + 40 * 7 * 24 * HOUR_US)
        await store(conn, [BAR, hourly, late], "live:newvenue")
        await store(conn, [msgspec.structs.replace(BAR, close=0.25)], "live:newvenue")
        rows = await conn.fetch(
            "select timeframe, close, extract(epoch from ts)::bigint as opened from candles order by timeframe, ts"
        )
    finally:
        await conn.close()
    price = Decimal("0.2")
    assert [(r["timeframe"], r["close"]) for r in rows] == [("1h", price), ("1m", price), ("1m", price)]
    assert min(r["opened"] for r in rows) == BAR.open_ts // 1_000_000
