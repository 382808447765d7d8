"""What a cockpit asks about the past, from a real database: pages by cursor, the story of an order, acknowledgements."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import pytest

from db.audit import walk
from db.candles import store
from db.connect import connect
from engine.core import events as ev
from engine.core.inputs import Candle
from engine.core.ledger import Ledger
from engine.core.types import MINUTE_US
from engine.history import COMMANDED, PgHistory, Place, fill_view, story_of
from engine.reading import Reader, ReadFailed
from tests.db.histories import Pair, journal_of, traded, write

T = TypeVar("T")


class Past(NamedTuple):
    """A database with a history in it, and the door to it."""

    dsn: str
    history: PgHistory
    reader: Reader
    pairs: list[Pair]
    ledger: Ledger

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for _, event in self.pairs if isinstance(event, kind)]


@pytest.fixture
async def past(migrated: str, tmp_path: Path) -> AsyncIterator[Past]:
    pairs = await traded(tmp_path / "world", bars=60)
    journal = journal_of(migrated, tmp_path / "ledger")
    ledger = (await journal.open()).ledger
    await write(journal, ledger, pairs, size=13)
    await journal.close("done")
    reader = Reader(migrated)
    yield Past(migrated, PgHistory(reader), reader, pairs, ledger)
    reader.close()


async def got(future: Future[T]) -> T:
    return await asyncio.wrap_future(future)


async def test_orders_come_in_pages_newest_first_and_none_is_lost(past: Past) -> None:
    seen: list[str] = []
    before = None
    while page := await got(past.history.orders(before, 7)):
        places = [(order.ts, order.id) for order in page]
        assert places == sorted(places, reverse=True)
        seen += [order.id for order in page]
        before = Place(page[-1].ts, page[-1].id)
    sent = [event.order_id for event in past.of(ev.OrderSubmitted)]
    denied = [event.order_id for event in past.of(ev.OrderDenied)]
    assert len(seen) == len(set(seen)) and set(seen) == {*sent, *denied} and denied
    newest = {order.id: order for order in await got(past.history.orders(None, 1_000))}
    for one in (*past.ledger.orders.values(), *past.ledger.closed_orders.values()):
        shown = newest[one.id]
        assert (shown.status, shown.filled_quantity, shown.is_open) == (one.status, one.filled_quantity, one.is_open)
        assert shown.price == (one.avg_fill_price or one.price or one.stop_price)
        assert shown.config_version == one.config_version and 0 <= shown.price_places <= 18


async def test_fills_come_in_pages_as_their_events_have_them(past: Past) -> None:
    first = await got(past.history.fills(None, 2))
    rest = await got(past.history.fills(Place(first[-1].ts, first[-1].id), 1_000))
    found = {fill.id: fill for fill in (*first, *rest)}
    assert len(found) == len(first) + len(rest)
    expected = {event.fill_id: event for event in past.of(ev.OrderFilled)}
    assert found.keys() == expected.keys()
    for key, fill in found.items():
        assert fill == fill_view(expected[key], fill.bot) and fill.bot


async def test_events_below_a_seq_in_order_and_whole(past: Past) -> None:
    page = await got(past.history.events(41, 10))
    assert [one.seq for one in page] == list(range(31, 41))
    assert [one.event for one in page] == [event for _, event in past.pairs[30:40]]
    assert await got(past.history.events(1, 10)) == []
    ts = past.pairs[30][1].ts
    expected = next(n for n, (_, event) in enumerate(past.pairs, start=1) if event.ts >= ts)
    assert await got(past.history.seq_at(ts)) == expected
    assert await got(past.history.seq_at(past.pairs[-1][1].ts + 1)) is None


async def test_the_story_of_every_order_is_what_the_journal_says_of_it(past: Past) -> None:
    every = await got(past.history.events(1_000_000, 100_000))
    ids = {event.order_id for event in (*past.of(ev.OrderSubmitted), *past.of(ev.OrderDenied))}
    for order_id in ids:
        told = await got(past.history.story(order_id))
        assert [one.recorded for one in told] == story_of(order_id, every)
        assert all(one.written_ts for one in told)
    signalled = [i for i in ids if any(isinstance(one.event, ev.SignalGenerated) for one in story_of(i, every))]
    assert signalled
    assert await got(past.history.story("00000000-0000-7000-8000-000000000000")) == []


async def test_an_acknowledgement_is_kept_in_the_audit_trail_with_who_and_when(past: Past) -> None:
    made = await got(past.history.acknowledge("state HALTED", "HALTED by ada \x1b[31m", "cockpit:bob"))
    assert list(await got(past.history.acknowledged())) == [made]
    await got(past.history.commanded("CLOSE_POSITION", "p1", "cockpit:bob", "done", done=True))
    conn = await connect(past.dsn)
    async with conn.transaction():
        assert len([seq async for seq in walk(conn)]) >= 2  # and every link of the chain holds
    found = await conn.fetchval("select metadata ->> 'actor' from qs.audit_logs where action = $1", COMMANDED)
    await conn.close()
    assert found == "cockpit:bob"


async def test_a_database_that_is_not_there_is_one_line() -> None:
    reader = Reader("postgresql://nobody@127.0.0.1:9/none?connect_timeout=1")
    with pytest.raises(ReadFailed, match="cannot be reached") as failed:
        await got(PgHistory(reader).orders(None))
    assert "\n" not in str(failed.value)
    reader.close()


async def test_a_read_can_be_cancelled_and_the_next_one_works(past: Past) -> None:
    async def sleep(conn: Any) -> None:
        await conn.execute("select pg_sleep(60)")

    slow = past.reader.read(sleep)
    await asyncio.sleep(0.2)
    slow.cancel()
    assert len(await got(past.history.orders(None, 1))) == 1


async def test_charts_read_bars_by_pages_back_in_time(past: Past) -> None:
    conn = await connect(past.dsn)
    bar = Candle(ts=1_580_515_260_000_000, exchange="newvenue", symbol="kPEPE/USDT", timeframe_us=MINUTE_US, open=0.1,
                 high=0.3, low=0.1, close=0.2, volume=12.5, received_ts=0)  # fmt: skip
    try:
        bars = [msgspec.structs.replace(bar, ts=bar.ts + n * MINUTE_US, volume=float(n)) for n in range(7)]
        await store(conn, [*bars, msgspec.structs.replace(bar, symbol="OTHER/USDT")], "live:newvenue")
    finally:
        await conn.close()
    series = ("newvenue", "kPEPE/USDT", "1m", MINUTE_US)
    page = await got(past.history.bars(*series, None, 3))
    assert [one[5] for one in page] == [4, 5, 6]
    assert page[0] == (bars[4].ts, 0.1, 0.3, 0.1, 0.2, 4.0)
    older = await got(past.history.bars(*series, page[0][0] - MINUTE_US, 3))
    assert [one[5] for one in older] == [1, 2, 3]
    assert await got(past.history.bars("nowhere", "kPEPE/USDT", "1m", MINUTE_US, None)) == []


async def test_charts_read_round_trips_and_equity_as_the_ledger_had_them(past: Past) -> None:
    closed = past.of(ev.PositionClosed)
    assert closed, "the history has round trips"
    trades = await got(past.history.trades())
    assert [(t.id, t.exit_ts) for t in trades] == [(e.position_id, e.ts) for e in closed]
    for trade, event in zip(trades, closed, strict=True):
        assert trade.pnl == pytest.approx(float(event.realized_pnl))
        assert (trade.side, trade.symbol, trade.reason) == (event.side, event.symbol, event.reason)
        assert trade.exits[0][0] == trade.entry_ts
    assert await got(past.history.trades(1)) == trades[-1:]
    samples = past.of(ev.EquitySampled)
    curve = await got(past.history.equity(samples[0].ts, samples[-1].ts))
    assert (curve[0].ts, curve[-1].equity) == (samples[0].ts, samples[-1].equity)
