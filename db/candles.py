"""Closed bars of live feeds, kept for charts and for the next start. Replays and simulations have their own past."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import asyncpg

from engine.core.inputs import Candle
from engine.core.types import TIMEFRAMES_US, money

_INSERT = """
insert into qs.candles(exchange_id, symbol, timeframe, ts, open, high, low, close, volume, source)
select * from unnest($1::smallint[], $2::text[], $3::text[], $4::timestamptz[], $5::numeric[], $6::numeric[],
  $7::numeric[], $8::numeric[], $9::numeric[], $10::text[])
on conflict do nothing
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


def _at(ts: int) -> datetime:
    return datetime.fromtimestamp(ts // 1_000_000, UTC)
