"""Longer bars from one-minute bars: closed ones only, gaps stay gaps, late and corrected minutes are taken in."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from db.connect import connect
from db.maintenance import rollup

MINUTE = timedelta(minutes=1)
LENGTHS = {"5m": 5, "15m": 15, "30m": 30, "1h": 60, "4h": 240, "1d": 1440, "1w": 10080}
MONDAY = datetime(2024, 12, 30, tzinfo=UTC)
REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "ohlcv" / "binance_BTCUSDT_1m_2025-01.parquet"
Minute = tuple[datetime, Decimal, Decimal, Decimal, Decimal, Decimal, int | None, Decimal | None]
NAMES = ["exchange_id", "symbol", "timeframe", "ts", "open", "high", "low", "close", "volume", "trades_count",
         "taker_buy_volume", "source"]  # fmt: skip


@pytest.fixture
async def conn(migrated: str) -> AsyncIterator[Any]:
    connection = await connect(migrated)
    await connection.fetchval("select exchange_id('venue')")
    yield connection
    await connection.close()


def minute(ts: datetime, rng: random.Random, trades: bool = True) -> Minute:
    prices = [Decimal(rng.randrange(90, 110)) / 3 for _ in range(4)]
    prices = [p.quantize(Decimal("1e-18")) for p in prices]
    opened, closed = prices[0], prices[1]
    volume = Decimal(rng.randrange(1000)) / 7
    taker = (volume / 2).quantize(Decimal("1e-18")) if trades else None
    count = rng.randrange(100) if trades else None
    return ts, opened, max(prices), min(prices), closed, volume.quantize(Decimal("1e-18")), count, taker


async def put(conn: Any, minutes: Iterable[Minute], symbol: str = "BTC/USDT") -> None:
    rows = [(1, symbol, "1m", *bar, "live:venue") for bar in minutes]
    times = [row[3] for row in rows]
    await conn.execute("select ensure_candle_partitions($1, $2)", min(times), max(times))
    await conn.copy_records_to_table("candles", records=rows, columns=NAMES, schema_name="qs")


def expected(minutes: Iterable[Minute]) -> dict[tuple[str, datetime], tuple[Any, ...]]:
    """The same in plain Python, from the definition."""
    ordered = sorted(minutes)
    end = ordered[-1][0] + MINUTE
    out = {}
    for name, length in LENGTHS.items():
        groups: dict[datetime, list[Minute]] = {}
        for bar in ordered:
            start = MONDAY + (bar[0] - MONDAY) // timedelta(minutes=length) * timedelta(minutes=length)
            groups.setdefault(start, []).append(bar)
        for start, bars in groups.items():
            if start + timedelta(minutes=length) <= end:
                trades = [b[6] for b in bars if b[6] is not None]
                taken = [b[7] for b in bars if b[7] is not None]
                out[name, start] = (
                    bars[0][1], max(b[2] for b in bars), min(b[3] for b in bars), bars[-1][4], sum(b[5] for b in bars),
                    sum(trades) if trades else None, sum(taken) if taken else None, len(bars),
                )  # fmt: skip
    return out


async def made(conn: Any, symbol: str = "BTC/USDT") -> dict[tuple[str, datetime], tuple[Any, ...]]:
    rows = await conn.fetch(
        "select timeframe, ts, open, high, low, close, volume, trades_count, taker_buy_volume, candle_count from candles"
        " where symbol = $1 and timeframe <> '1m'",
        symbol,
    )
    return {(r[0], r[1]): tuple(r)[2:] for r in rows}


async def test_bars_equal_a_recomputation_with_gaps_unknown_counts_and_borders_of_months_and_weeks(conn: Any) -> None:
    rng = random.Random(7)
    # From a Sunday evening over New Year into the second week; 30 % of the minutes, one day and one hour are missing.
    minutes = [
        minute(ts, rng, trades=ts.day != 3)
        for i in range(9 * 1440)
        if rng.random() > 0.3
        and (ts := MONDAY - timedelta(hours=5) + i * MINUTE).day != 4
        and not (ts.day == 1 and ts.hour == 7)
    ]
    await put(conn, minutes)
    said = await rollup(conn, MONDAY)
    want = expected(minutes)
    got = await made(conn)
    assert got == want
    assert said == f"{len(want)} bars came or changed"
    assert ("1d", datetime(2025, 1, 4, tzinfo=UTC)) not in got and (
        "1h",
        datetime(2025, 1, 1, 7, tzinfo=UTC),
    ) not in got
    assert {r[0] for r in await conn.fetch("select source from candles where timeframe <> '1m'")} == {"rollup"}
    assert await rollup(conn, MONDAY) == "0 bars came or changed"


async def test_a_bar_comes_when_it_is_closed_and_a_minute_of_next_week_closes_the_last_one(conn: Any) -> None:
    rng = random.Random(1)
    sunday = MONDAY - 3 * MINUTE
    await put(conn, [minute(sunday, rng), minute(sunday + MINUTE, rng)])
    await rollup(conn, MONDAY)
    assert await made(conn) == {}
    await put(conn, [minute(MONDAY + MINUTE, rng)])  # two minutes are missing, also the first of the week
    await rollup(conn, MONDAY)
    got = await made(conn)
    assert {name for name, _ in got} == set(LENGTHS) and all(bar[-1] == 2 for bar in got.values())
    marks = await conn.fetch("select timeframe, ts from rollup_watermarks")
    assert {mark["ts"] for mark in marks} == {MONDAY} and len(marks) == 7


async def test_the_last_minute_of_a_bar_closes_it(conn: Any) -> None:
    rng = random.Random(2)
    await put(conn, [minute(MONDAY + 3 * MINUTE, rng)])
    await rollup(conn, MONDAY)
    assert await made(conn) == {}
    await put(conn, [minute(MONDAY + 4 * MINUTE, rng)])
    await rollup(conn, MONDAY)
    assert set(await made(conn)) == {("5m", MONDAY)}


async def test_late_minutes_and_corrections_are_taken_in_however_late(conn: Any) -> None:
    rng = random.Random(3)
    old = datetime(2019, 3, 31, 0, 30, tzinfo=UTC)  # a day on which clocks changed somewhere
    minutes = [minute(old + i * MINUTE, rng) for i in range(0, 3000, 2)]
    minutes += [minute(MONDAY + i * MINUTE, rng) for i in range(300)]
    await put(conn, minutes)
    await rollup(conn, MONDAY)
    late = [minute(old + i * MINUTE, rng) for i in range(1, 3000, 6)]
    await put(conn, late)
    fixed = minute(minutes[40][0], random.Random(99))
    await conn.execute(
        "update candles set open = $2, high = $3, low = $4, close = $5, volume = $6, trades_count = $7,"
        " taker_buy_volume = $8 where timeframe = '1m' and ts = $1",
        *fixed,
    )
    minutes[40] = fixed
    assert await made(conn) != expected(minutes + late)
    await rollup(conn, MONDAY)
    assert await made(conn) == expected(minutes + late)


async def test_what_a_venue_delivered_itself_stays(conn: Any) -> None:
    rng = random.Random(4)
    own = (
        1,
        "BTC/USDT",
        "5m",
        MONDAY,
        Decimal(1),
        Decimal(2),
        Decimal(1),
        Decimal(2),
        Decimal(3),
        4,
        None,
        "live:venue",
    )
    await conn.copy_records_to_table("candles", records=[own], columns=NAMES, schema_name="qs")
    minutes = [minute(MONDAY + i * MINUTE, rng) for i in range(15)]
    await put(conn, minutes)
    await rollup(conn, MONDAY)
    got = await made(conn)
    assert got["5m", MONDAY][:5] == own[4:9]
    assert got["15m", MONDAY] == expected(minutes)["15m", MONDAY]  # of minutes, not of what the venue said


async def test_a_bar_that_does_not_fit_stops_its_symbol_only(conn: Any) -> None:
    from db.maintenance import StepFailed

    rng = random.Random(5)
    huge = [(*minute(MONDAY + i * MINUTE, rng)[:5], Decimal("9e19"), 1, None) for i in range(5)]
    await put(conn, huge, "HUGE/USDT")
    await put(conn, [minute(MONDAY + i * MINUTE, rng) for i in range(5)])
    with pytest.raises(StepFailed, match="1 bars came or changed; 1 failed: numeric field overflow"):
        await rollup(conn, MONDAY)
    assert len(await made(conn)) == 1
    assert await conn.fetchval("select count(*) from rollup_queue where symbol = 'HUGE/USDT'") == 1


async def test_dropped_minutes_do_not_come_back_as_partial_bars(conn: Any, migrated: str) -> None:
    rng = random.Random(6)
    minutes = [minute(MONDAY + i * MINUTE, rng) for i in range(10081)]
    await put(conn, minutes)
    await rollup(conn, MONDAY)
    whole = await made(conn)
    owner = await connect(migrated, "qs_owner")
    try:
        await owner.execute("drop table candles_1m_p20241230")
        await owner.execute(
            "insert into dropped_partitions values ('candles_1m_p20241230', 'candles_1m', $1, $2, 10080, 1, 'candles 1m')",
            MONDAY,
            MONDAY + timedelta(days=7),
        )
        await owner.execute("delete from candles_rest where timeframe = '15m'")  # gone by its own policy
    finally:
        await owner.close()
    whole = {key: bar for key, bar in whole.items() if key[0] != "15m"}
    await put(conn, [minute(MONDAY + 7 * MINUTE, rng)])  # a straggler
    await rollup(conn, MONDAY)
    assert await made(conn) == whole
    five = [minute(MONDAY + i * MINUTE, rng) for i in range(10, 15)]  # five that make a whole bar again
    await put(conn, five)
    await rollup(conn, MONDAY)
    assert await made(conn) == whole | {k: v for k, v in expected(five).items() if k[0] == "5m"}


@pytest.mark.skipif(not REAL.exists(), reason="no recorded candles beside the repository")
async def test_real_minutes_of_january_2025(conn: Any) -> None:
    import duckdb

    with duckdb.connect() as db:
        names = [r[0] for r in db.execute(f"describe select * from '{REAL}'").fetchall()]
        rows = db.execute(f"select * from '{REAL}'").fetchall()
    at = {name: names.index(name) for name in ("open", "high", "low", "close", "volume")}
    clock = next(i for i, name in enumerate(names) if name in ("ts", "time", "timestamp", "open_time", "datetime"))
    minutes: list[Minute] = []
    for row in rows:
        stamp = row[clock]
        if isinstance(stamp, int):
            ts = datetime.fromtimestamp(stamp / (1000 if stamp < 1e14 else 1e6), UTC)
        else:
            ts = stamp.replace(tzinfo=UTC)
        o, h, lo, c, v = (Decimal(str(row[at[n]])) for n in ("open", "high", "low", "close", "volume"))
        minutes.append((ts, o, h, lo, c, v, None, None))
    await put(conn, minutes)
    weeks = await conn.fetchval("select count(*) from partitions_of('candles_1m')")
    mondays = {(ts - MONDAY) // timedelta(days=7) for ts, *_ in minutes}
    assert len(minutes) > 31 * 1440 and weeks == len(mondays) >= 5  # partitions follow the data
    await rollup(conn, MONDAY)
    assert await made(conn) == expected(minutes)


async def test_minutes_from_ticks(conn: Any) -> None:
    start = MONDAY + timedelta(hours=3)
    await conn.execute("select ensure_partitions('ticks', $1, $1)", start)
    ticks = [
        (0, None, None, "100", "2"), (20, "90", "91", None, None), (59, None, None, "110", "0.5"),
        (60, "99", "101", None, None), (180, None, None, "50", None), (200, "1", None, None, None),
    ]  # fmt: skip
    rows = [
        (1, "BTC/USDT", start + timedelta(seconds=s), *(None if v is None else Decimal(v) for v in values), "t")
        for s, *values in ticks
    ]
    names = ["exchange_id", "symbol", "ts", "bid", "ask", "last_price", "last_volume", "source"]
    await conn.copy_records_to_table("ticks", records=rows, columns=names, schema_name="qs")
    end = start + timedelta(hours=1)
    assert await conn.fetchval("select rollup_ticks($1, $2)", start, end) == 2
    got = await conn.fetch(
        "select ts, open, high, low, close, volume, trades_count from candles where source = 'ticks' order by ts"
    )
    want = [
        (start, Decimal(100), Decimal(110), Decimal("90.5"), Decimal(110), Decimal("2.5"), 2),
        (start + MINUTE, Decimal(100), Decimal(100), Decimal(100), Decimal(100), Decimal(0), 0),
    ]
    assert [tuple(r) for r in got] == want  # the gap has no bar, the last minute is not over
    assert await conn.fetchval("select rollup_ticks($1, $2)", start, end) == 0
    assert await conn.fetchval("select count(*) from rollup_queue") == 1
