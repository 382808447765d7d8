"""Live bars in the database: partitions follow the data, a bar that is there stays as it is."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from db.candles import between, earlier, store
from db.connect import connect
from db.maintenance import rollup
from engine.core.inputs import Candle
from engine.core.types import DAY_US, HOUR_US, MINUTE_US

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


async def test_the_past_is_read_back_in_every_length_and_days_that_nobody_watched_are_none(migrated: str) -> None:
    """From noon of the first day on: that day is half a day, and no bar to warm up from."""
    noon = BAR.open_ts // DAY_US * DAY_US + DAY_US // 2
    bars = [
        msgspec.structs.replace(BAR, ts=noon + n * MINUTE_US, close=0.1 + n % 7 / 100, volume=float(n))
        for n in range(1, 3 * 1_440)
    ]
    conn = await connect(migrated)
    try:
        await store(conn, bars, "live:newvenue")
        await rollup(conn, datetime.fromtimestamp(bars[-1].ts / 1e6, UTC))
        key, until = (BAR.exchange, BAR.symbol), bars[-1].ts
        found = await between(conn, *key, MINUTE_US, noon, until)
        assert [(b.ts, b.close, b.volume) for b in found] == [(b.ts, b.close, b.volume) for b in bars]
        assert [b.ts for b in await between(conn, *key, MINUTE_US, noon + MINUTE_US, noon + 3 * MINUTE_US)] == [
            noon + 2 * MINUTE_US,
            noon + 3 * MINUTE_US,
        ]
        days = await between(conn, *key, DAY_US, 0, until)
        midnight = noon + DAY_US // 2
        assert [b.open_ts for b in days] == [midnight, midnight + DAY_US]
        inside = [b for b in bars if midnight < b.ts <= midnight + DAY_US]
        assert (days[0].open, days[0].close, days[0].high, days[0].low) == (inside[0].open, inside[-1].close, 0.3, 0.1)
        assert days[0].volume == sum(b.volume for b in inside) and days[0].timeframe_us == DAY_US
        assert await between(conn, "othervenue", BAR.symbol, MINUTE_US, 0, until) == []
        hours = await earlier(migrated, *key, HOUR_US, 0, until)
        assert [b.open_ts for b in hours] == [noon + n * HOUR_US for n in range(71)]
    finally:
        await conn.close()
    assert await earlier(migrated.replace("/test_", "/gone_"), *key, HOUR_US, 0, until) == []
