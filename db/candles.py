"""Closed bars of live feeds, kept for charts and for the next start. Replays and simulations have their own past."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime

import asyncpg

from db.connect import BROKEN, ConnectError, connect
from engine.core.inputs import Candle
from engine.core.types import MINUTE_US, TIMEFRAMES_US, money

_INSERT = """
insert into qs.candles(exchange_id, symbol, timeframe, ts, open, high, low, close, volume, source)
select * from unnest($1::smallint[], $2::text[], $3::text[], $4::timestamptz[], $5::numeric[], $6::numeric[],
  $7::numeric[], $8::numeric[], $9::numeric[], $10::text[])
on conflict do nothing
"""
_BETWEEN = """
select ts, open, high, low, close, volume from qs.candles
 where symbol = $2 and timeframe = $3 and ts >= $4 and ts <= $5
   and exchange_id = (select id from qs.exchanges where code = $1)
   and (candle_count is null or candle_count * 10 >= $6::bigint * 9)
 order by ts
"""
_NAMES = {size: name for name, size in TIMEFRAMES_US.items()}


async def store(conn: asyncpg.Connection, candles: Sequence[Candle], source: str) -> None:
    """Keep closed bars; one that is there already stays as it is. `ts` of a row is the bar's OPEN time."""
    if not candles:
        return
    codes = {candle.exchange for candle in candles}
    ids = {code: await conn.fetchval("select qs.exchange_id($1)", code) for code in codes}
    opens = [_at(candle.open_ts) for candle in candles]
    await conn.execute("select qs.ensure_candle_partitions($1, $2)", min(opens), max(opens))
    rows = [
        (
            ids[c.exchange],
            c.symbol,
            _NAMES[c.timeframe_us],
            opened,
            *(money(price) for price in (c.open, c.high, c.low, c.close, c.volume)),
            source,
        )
        for c, opened in zip(candles, opens, strict=True)
    ]
    await conn.execute(_INSERT, *(list(column) for column in zip(*rows, strict=True)))


async def between(
    conn: asyncpg.Connection, exchange: str, symbol: str, timeframe_us: int, since: int, until: int
) -> list[Candle]:
    """Closed bars that open at or after `since` and close at or before `until` (us UTC), in order. A bar that was rolled up
    from less than nine tenths of its minutes is none: nobody was there for the rest of it."""
    rows = await conn.fetch(
        _BETWEEN,
        exchange,
        symbol,
        _NAMES[timeframe_us],
        _at(since),
        _at(until - timeframe_us),
        timeframe_us // MINUTE_US,
    )
    return [
        Candle(
            ts=(closed := round(row["ts"].timestamp() * 1_000_000) + timeframe_us),
            exchange=exchange,
            symbol=symbol,
            timeframe_us=timeframe_us,
            open=float(row["open"]),
            high=float(row["high"]),
            low=float(row["low"]),
            close=float(row["close"]),
            volume=float(row["volume"]),
            received_ts=closed,
        )
        for row in rows
    ]


async def earlier(dsn: str, exchange: str, symbol: str, timeframe_us: int, since: int, until: int) -> list[Candle]:
    """What `between` finds, asked on a connection of its own; none while the database does not answer."""
    try:
        conn = await connect(dsn, name="quantsail warm-up")
    except ConnectError:
        return []
    try:
        return await between(conn, exchange, symbol, timeframe_us, since, until)
    except BROKEN:
        return []
    finally:
        with contextlib.suppress(*BROKEN):
            await conn.close()


def _at(ts: int) -> datetime:
    return datetime.fromtimestamp(ts // 1_000_000, UTC)
