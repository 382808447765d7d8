"""What the database does a second, each beside raw COPY of the same rows into the same table in the same process.

`python -m tests.bench.databases JOB` prints one JSON object; `run.py --only database` runs them all.

ticks            ticks through `db.ticks`, and prepared tuples through the driver's own COPY
producers N      events of N tasks that feed one group-committing journal, and what a reader with a cursor lost
reads            the newest 200 events, and 10,000 events by cursor, of a journal of 100,000
rollup           minutes and longer candles from 1.5 million ticks
fingerprint      the catalog's fingerprint
long N           a journal of N events (5,200,000: two partitions), its partitions, and the start that follows it
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from db import fingerprint, maintenance
from db.connect import connect
from db.embedded import EmbeddedServer
from db.journal import HostFacts, PgJournal
from db.migrate import migrate
from db.queries import load_queries
from db.ticks import COLUMNS, TickRow, TickWriter
from engine.core.events import AlertTriggered, Event, LedgerOpened
from engine.core.fold import evolve
from engine.core.inputs import PHASE_AFTER, Cause
from engine.core.ledger import Ledger
from engine.core.types import Mode

T0 = 1_735_689_600_000_000  # 2025-01-01T00:00:00Z
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BATCH_ROWS = 5_000
#: What a reader would write who needs the minutes once.
PLAIN_MINUTES = """
select symbol, date_trunc('minute', ts) as minute, (array_agg(last_price order by ts))[1], max(last_price), min(last_price),
  (array_agg(last_price order by ts desc))[1], sum(last_volume) from qs.ticks group by 1, 2
"""
FREE_SEQ = 1_000_000  # behind every event of a measurement, in the same partition
Pair = tuple[int, Event]


@asynccontextmanager
async def fresh() -> AsyncIterator[tuple[str, str, Path]]:
    """A migrated database on a server of its own: the application's URI, the owner's, and its folder."""
    with tempfile.TemporaryDirectory(prefix="qs-bench-") as home, EmbeddedServer(Path(home)) as server:
        server.create_database("bench")
        await migrate(server.dsn("bench", "qs_admin"))
        yield server.dsn("bench"), server.dsn("bench", "qs_admin"), Path(home)


def at(ts: int) -> datetime:
    return EPOCH + timedelta(microseconds=ts)


# -- ticks --------------------------------------------------------------------------------------------------------------


def quotes(count: int, step_us: int) -> Iterator[TickRow]:
    """A random walk of a market that quotes in cents."""
    rng = random.Random(7)
    bid = 60_000.0
    for i in range(count):
        bid = round(bid + rng.choice((-0.1, -0.01, 0.0, 0.01, 0.1)), 2)
        ts = T0 + i * step_us
        yield TickRow(
            exchange="binance",
            symbol="BTC/USDT",
            ts=ts,
            received_ts=ts + 777,
            bid=bid,
            ask=round(bid + 0.01, 2),
            last_price=bid,
            last_volume=round(rng.random(), 5),
            source="bench",
        )


def as_record(row: TickRow, exchange_id: int) -> tuple[Any, ...]:
    prices = (row.bid, row.ask, row.last_price, row.last_volume)
    numbers = [None if price is None else Decimal(repr(price)) for price in prices]
    return (exchange_id, row.symbol, at(row.ts), *numbers, row.source, at(row.received_ts))


async def ticks(count: int = 200_000) -> dict[str, float]:
    """Taking turns, so that both meet the same disk; what goes into raw COPY was converted beforehand, ours was not."""
    rows = list(quotes(count, 20_000))
    async with fresh() as (dsn, _, _):
        conn = await connect(dsn, statement_timeout_ms=0)
        writer = TickWriter(conn)
        await writer.write(rows[:BATCH_ROWS])
        await conn.execute("select qs.ensure_partitions('ticks', $1, $2)", at(rows[0].ts), at(rows[-1].ts))
        key = await conn.fetchval("select qs.exchange_id('binance')")
        records = [as_record(row, key) for row in rows]
        raw = ours = 0.0
        for start in range(0, count, BATCH_ROWS):
            piece, part = records[start : start + BATCH_ROWS], rows[start : start + BATCH_ROWS]
            begun = time.perf_counter()
            await conn.copy_records_to_table("ticks", schema_name="qs", columns=COLUMNS, records=piece)
            between = time.perf_counter()
            await writer.write(part)
            raw, ours = raw + between - begun, ours + time.perf_counter() - between
        await conn.close()
    return {"rows": count / ours, "raw": count / raw, "ratio": raw / ours}


# -- events -------------------------------------------------------------------------------------------------------------


def genesis() -> Pair:
    opened = LedgerOpened(
        ts=T0,
        cause=Cause(T0, 0, "", "", PHASE_AFTER, "genesis", 0),
        ledger_id="bench",
        mode=Mode.SIM,
        feed="bench",
        seed=7,
        base_currency="USDT",
        initial_balance=Decimal(10_000),
    )
    return 0, opened


def notice(number: int) -> Pair:
    """An event without a read table of its own, so that it is the journal that is measured."""
    ts = T0 + number * 1_000
    cause = Cause(ts, 1, "bench", "BTC/USDT", PHASE_AFTER, "notice", number)
    event = AlertTriggered(ts=ts, cause=cause, code="BENCH_NOTICE", text=f"notice number {number}", symbol="BTC/USDT")
    return 0, event


class GroupCommit:
    """One task appends whatever has come while the last append was under way; a producer goes on when its event is durable."""

    def __init__(self, journal: PgJournal, ledger: Ledger) -> None:
        self._journal, self._ledger = journal, ledger
        self._waiting: list[tuple[Pair, asyncio.Future[None]]] = []
        self._more = asyncio.Event()

    async def put(self, pair: Pair) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((pair, done))
        self._more.set()
        await done

    async def run(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            taken, self._waiting = self._waiting, []
            await append(self._journal, self._ledger, [pair for pair, _ in taken])
            for _, done in taken:
                done.set_result(None)


async def append(journal: PgJournal, ledger: Ledger, pairs: Sequence[Pair]) -> None:
    for _, event in pairs:
        evolve(ledger, event)
    await journal.append(ledger.seq, pairs, ledger)
    ledger.seq += len(pairs)


@asynccontextmanager
async def opened_journal(dsn: str, home: Path) -> AsyncIterator[tuple[PgJournal, Ledger]]:
    sink = PgJournal(dsn, ledger_dir=home, host=HostFacts.here())
    ledger = (await sink.open()).ledger
    if ledger.seq == 0:
        await append(sink, ledger, [genesis()])
    yield sink, ledger
    await sink.close("measured")


async def cursor_reader(dsn: str, last: int) -> int:
    """How many events a reader saw that asks for what is behind its cursor, without pause, up to event `last`."""
    conn = await connect(dsn, "qs_engine", name="bench reader")
    seen = cursor = 0
    while cursor < last:
        rows = await conn.fetch("select seq from qs.events where seq > $1 order by seq limit 5000", cursor)
        seen += len(rows)
        cursor = rows[-1]["seq"] if rows else cursor
        await asyncio.sleep(0.001)
    await conn.close()
    return seen


async def producers(tasks: int) -> dict[str, float]:
    count = {1: 1_500, 8: 8_000}.get(tasks, 50_000) // tasks * tasks
    async with fresh() as (dsn, owner, home), opened_journal(dsn, home) as (sink, ledger):
        group = GroupCommit(sink, ledger)
        committer = asyncio.create_task(group.run())
        reader = asyncio.create_task(cursor_reader(dsn, count + 1))

        async def produce(which: int) -> None:
            for number in range(which, count, tasks):
                await group.put(notice(number))

        begun = time.perf_counter()
        await asyncio.gather(*(produce(which) for which in range(tasks)))
        spent = time.perf_counter() - begun
        lost = count + 1 - await reader
        committer.cancel()
        raw = await copy_again(owner, count)
    return {"events": count / spent, "raw": raw, "ratio": count / spent / raw, "lost": lost}


async def copy_again(owner: str, count: int) -> float:
    """Rows a second of raw COPY of the newest `count` events into `events` itself, in a transaction that is rolled back."""
    conn = await connect(owner, "qs_owner", statement_timeout_ms=0)
    rows = await conn.fetch("select * from qs.events order by seq desc limit $1", count)
    columns = list(rows[0].keys())
    place = columns.index("seq")
    moved = [[*row.values()] for row in rows]
    for values in moved:
        values[place] += FREE_SEQ
    transaction = conn.transaction()
    await transaction.start()
    begun = time.perf_counter()
    await conn.copy_records_to_table("events", schema_name="qs", columns=columns, records=moved)
    spent = time.perf_counter() - begun
    await transaction.rollback()
    await conn.close()
    return count / spent


async def reads(events: int = 100_000) -> dict[str, float]:
    queries = load_queries()
    async with fresh() as (dsn, _, home), opened_journal(dsn, home) as (sink, ledger):
        for start in range(0, events, 1_000):
            await append(sink, ledger, [notice(number) for number in range(start, start + 1_000)])
        conn = await connect(dsn, "qs_engine")
        newest, cursor = [], []
        for _ in range(20):
            begun = time.perf_counter()
            await conn.fetch(queries["events_newest"], 200, None, None, None, None)
            between = time.perf_counter()
            found = await conn.fetch(queries["events_after"], events // 2, 10_000)
            newest.append((between - begun) * 1e3)
            cursor.append((time.perf_counter() - between) * 1e3)
            assert len(found) == 10_000
        await conn.close()
    return {"newest_200_ms": statistics.median(newest), "cursor_10000_ms": statistics.median(cursor)}


async def rollup(count: int = 1_500_000) -> dict[str, float]:
    """Fifteen days of ticks into minutes, and those into every longer bar, beside the plain aggregate of the minutes alone."""
    async with fresh() as (dsn, _, _):
        conn = await connect(dsn, statement_timeout_ms=0)
        writer = TickWriter(conn)
        rows: list[TickRow] = []
        for row in quotes(count, 15 * 86_400_000_000 // count):
            rows.append(row)
            if len(rows) == 50_000:
                await writer.write(rows)
                rows.clear()
        await writer.write(rows)
        since, until = at(T0), at(T0 + 15 * 86_400_000_000)
        begun = time.perf_counter()
        await conn.execute("select qs.rollup_ticks($1, $2)", since, until)
        minutes = time.perf_counter()
        await maintenance.rollup(conn, until)
        longer = time.perf_counter()
        await conn.fetch(PLAIN_MINUTES)
        plain = time.perf_counter() - longer
        bars = await conn.fetchval("select count(*) from qs.candles")
        await conn.close()
    return {"minutes_s": minutes - begun, "longer_s": longer - minutes, "plain_s": plain, "bars": bars}


async def fingerprints() -> dict[str, float]:
    async with fresh() as (dsn, _, _):
        conn = await connect(dsn)
        spent = []
        for _ in range(21):
            begun = time.perf_counter()
            parts = await fingerprint.snapshot(conn)
            spent.append((time.perf_counter() - begun) * 1e3)
        await conn.close()
    return {"snapshot_ms": statistics.median(spent), "parts": len(parts)}


async def long(events: int) -> dict[str, Any]:
    """A journal that outgrows a partition; the figures of its writing, and of the start that reads it."""
    async with fresh() as (dsn, _, home):
        begun = time.perf_counter()
        async with opened_journal(dsn, home) as (sink, ledger):
            for start in range(0, events, 2_000):
                await append(sink, ledger, [notice(number) for number in range(start, min(start + 2_000, events))])
                if start % 500_000 == 0:
                    print(f"{start:,} events", file=sys.stderr, flush=True)
        wrote = time.perf_counter() - begun
        conn = await connect(dsn, "qs_engine", statement_timeout_ms=0)
        parts = await conn.fetch(
            "select tableoid::regclass::text as name, count(*) from qs.events group by 1 order by 1"
        )
        await conn.close()
        begun = time.perf_counter()
        async with opened_journal(dsn, home) as (sink, ledger):
            opened, seq = time.perf_counter() - begun, ledger.seq
    partitions = {row["name"]: row["count"] for row in parts}
    return {"events": seq, "events_per_s": events / wrote, "start_ms": opened * 1e3, "partitions": partitions}


JOBS: dict[str, Callable[..., Coroutine[Any, Any, dict[str, Any]]]] = {
    "ticks": ticks,
    "producers": producers,
    "reads": reads,
    "rollup": rollup,
    "fingerprint": fingerprints,
    "long": long,
}


def main(arguments: Sequence[str]) -> dict[str, Any]:
    if not arguments or arguments[0] not in JOBS:
        raise SystemExit(f"which one? {', '.join(JOBS)}; see the top of tests/bench/databases.py")
    return asyncio.run(JOBS[arguments[0]](*(int(word) for word in arguments[1:])))


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:])))
