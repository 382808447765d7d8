"""The writers of single rows: what they refuse, what they say twice, and the outbox under four workers and a dead one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from db import alerts, backtests, books, instruments, outbox, readings, reports, strategies, wallets
from db.connect import connect
from db.records import RecordRefused
from tests.core.worlds import BTC, START
from tests.patience import PATIENCE_S

D = Decimal
LATE = 4_000_000_000_000_000


@pytest_asyncio.fixture
async def conn(migrated: str) -> AsyncIterator[Any]:
    connection = await connect(migrated)
    yield connection
    await connection.close()


async def person(conn: Any) -> str:
    return str(await conn.fetchval("insert into qs.users(email) values ('me@example.org') returning id"))


# -- outbox -----------------------------------------------------------------------------------------------------------------


async def test_four_workers_deliver_each_notice_once_and_none_is_lost_with_a_dead_one(conn: Any, migrated: str) -> None:
    for seq in range(1, 121):
        assert await outbox.enqueue(conn, event_seq=seq, channel="log")
    assert not await outbox.enqueue(conn, event_seq=1, channel="log")
    dead = await connect(migrated)
    taken = await outbox.claim(dead, worker="dead", limit=10, lock_s=1.0)
    dead.terminate()  # it holds ten notices and is never heard of again
    delivered: Counter[int] = Counter()

    async def work(name: str) -> None:
        own = await connect(migrated)
        try:
            while sum(delivered.values()) < 120:
                for notice in await outbox.claim(own, worker=name, limit=5, lock_s=60):
                    delivered[notice.event_seq] += 1
                    assert await outbox.complete(own, notice.id, worker=name)
                await asyncio.sleep(0.01)
        finally:
            await own.close()

    await asyncio.wait_for(asyncio.gather(*(work(f"w{n}") for n in range(4))), PATIENCE_S)
    assert delivered == Counter(dict.fromkeys(range(1, 121), 1)) and len(taken) == 10
    assert await conn.fetchval("select count(*) from qs.outbox where status = 'COMPLETED'") == 120
    assert await conn.fetchval("select min(retry_count) from qs.outbox where id = any ($1)", [n.id for n in taken]) == 1


async def test_a_notice_backs_off_and_is_given_up(conn: Any) -> None:
    await outbox.enqueue(conn, event_seq=1, channel="mail", max_retries=1)
    (notice,) = await outbox.claim(conn, worker="a")
    assert await outbox.claim(conn, worker="b") == []
    assert await outbox.fail(conn, notice.id, worker="b", error="not mine") is None
    assert await outbox.fail(conn, notice.id, worker="a", error="no\nroute", backoff_s=100) == "PENDING"
    assert await outbox.claim(conn, worker="a") == []  # not yet
    wait = await conn.fetchval("select extract(epoch from available_at - clock_timestamp()) from qs.outbox")
    assert 50 < wait <= 100
    await conn.execute("update qs.outbox set available_at = now()")
    (again,) = await outbox.claim(conn, worker="a")
    assert again.retry_count == 1 and again.event_id == notice.event_id
    assert await outbox.fail(conn, notice.id, worker="a", error="no route") == "FAILED"
    assert await conn.fetchval("select last_error from qs.outbox") == "no route"
    assert await outbox.purge(conn) == 0
    await conn.execute("update qs.outbox set processed_at = now() - interval '8 days'")
    assert await outbox.purge(conn) == 1


async def test_a_notice_that_kills_its_workers_comes_to_an_end_and_an_expired_one_is_not_told(conn: Any) -> None:
    await outbox.enqueue(conn, event_seq=1, channel="mail", max_retries=1)
    await outbox.enqueue(conn, event_seq=2, channel="mail", priority=5, expires_ts=START)
    for _ in range(3):
        for notice in await outbox.claim(conn, worker="w", lock_s=60):
            assert notice.event_seq == 1
        await conn.execute("update qs.outbox set locked_until = now() - interval '1 s' where status = 'PROCESSING'")
    rows = await conn.fetch("select status, last_error from qs.outbox order by id")
    assert [row["status"] for row in rows] == ["FAILED", "FAILED"]
    assert "not heard of again" in rows[0]["last_error"] and "expired" in rows[1]["last_error"]


# -- alerts -----------------------------------------------------------------------------------------------------------------


async def test_alerts_fire_once_or_again_and_expire(conn: Any) -> None:
    user = await person(conn)
    price = {"user_id": user, "type": "PRICE", "condition": "ABOVE", "symbol": "BTC/USDT", "threshold": D(100)}
    once = await alerts.create(conn, **price)
    often = await alerts.create(conn, **price, is_recurring=True, expires_ts=LATE)
    assert await alerts.trigger(conn, once, START) and not await alerts.trigger(conn, once, START)
    assert await alerts.trigger(conn, often, START) and await alerts.trigger(conn, often, START)
    assert await alerts.expire(conn, LATE + 1) == 1
    off = await alerts.create(conn, **price)
    assert await alerts.disable(conn, off) and not await alerts.disable(conn, off)
    assert {a.id: a.status for a in await alerts.list_alerts(conn, user_id=user)} == {
        once: "TRIGGERED", often: "EXPIRED", off: "DISABLED"
    }  # fmt: skip
    assert [a.id for a in await alerts.list_alerts(conn, status="EXPIRED")] == [often]


@pytest.mark.parametrize(
    "change",
    [{"type": "HOPE"}, {"condition": "NEAR"}, {"symbol": None}, {"threshold": None}, {"threshold": D("NaN")},
     {"channels": ()}, {"channels": ("PIGEON",)}, {"indicator": "RSI"}, {"type": "INDICATOR"}, {"expires_ts": 5}],
)  # fmt: skip
async def test_alerts_that_cannot_be_are_refused(conn: Any, change: dict[str, Any]) -> None:
    good: dict[str, Any] = {"user_id": await person(conn), "type": "PRICE", "condition": "ABOVE", "symbol": "BTC/USDT",
                            "threshold": D(1)}  # fmt: skip
    with pytest.raises(RecordRefused) as caught:
        await alerts.create(conn, **good | change)
    assert "\n" not in str(caught.value)


# -- strategies and backtests -----------------------------------------------------------------------------------------------


async def test_versions_follow_the_content(conn: Any) -> None:
    one, two = [{"op": "gt"}], [{"op": "lt"}]
    made = await strategies.draft(conn, user_id=await person(conn), name="s", entry_rules=one, exit_rules=[])
    assert await strategies.revise(conn, made, entry_rules=one, exit_rules=[]) == 1
    assert await strategies.revise(conn, made, entry_rules=two, exit_rules=[]) == 2
    assert await strategies.revise(conn, made, entry_rules=one, exit_rules=[]) == 3
    hashes = await conn.fetch("select sha256 from qs.strategy_versions order by version")
    assert hashes[0] == hashes[2] != hashes[1]
    assert not await strategies.set_status(conn, made, "PAUSED", START)
    assert await strategies.set_status(conn, made, "ACTIVE", START) and not await strategies.remove(conn, made, START)
    assert await strategies.set_status(conn, made, "ARCHIVED", START)
    assert not await strategies.set_status(conn, made, "ACTIVE", START)
    assert await strategies.remove(conn, made, START)
    with pytest.raises(RecordRefused):
        await strategies.revise(conn, made, entry_rules=two, exit_rules=[])
    for wrong in ({"name": " "}, {"stop_loss_pct": D(101)}, {"max_position_size_pct": D(0)}, {"type": "LUCK"},
                  {"entry_rules": {"x": float("nan")}}):  # fmt: skip
        rules: dict[str, Any] = {"user_id": made, "name": "s", "entry_rules": [], "exit_rules": []}
        with pytest.raises(RecordRefused):
            await strategies.draft(conn, **rules | wrong)


async def test_a_backtest_ends_once_and_shows_on_its_strategy(conn: Any) -> None:
    user = await person(conn)
    strategy = await strategies.draft(conn, user_id=user, name="s", entry_rules=[], exit_rules=[])
    asked: dict[str, Any] = {"user_id": user, "start_date": date(2025, 1, 1), "end_date": date(2025, 2, 1),
                             "initial_capital": D(100), "strategy": {}, "started_ts": START}  # fmt: skip
    run = await backtests.start(conn, **asked, strategy_id=strategy)
    assert await backtests.progress(conn, run, 60) and await backtests.progress(conn, run, 40)
    assert await conn.fetchval("select progress_pct from qs.backtests") == 60
    trade = backtests.Trade(number=1, symbol="BTC/USDT", side="BUY", quantity=D(1), entry_price=D(1), entry_ts=START)
    assert await backtests.add_trades(conn, run, [trade]) == 1 and await backtests.add_trades(conn, run, [trade]) == 0
    done = backtests.Figures(
        final_equity=D(110), total_return_pct=D(10), total_trades=1, winning_trades=1, losing_trades=0
    )
    await backtests.finish(conn, run, done)
    assert '"final_equity": "110"' in await conn.fetchval("select backtest_summary::text from qs.strategies")
    with pytest.raises(RecordRefused):
        await backtests.finish(conn, run, done)
    assert not await backtests.fail(conn, run, "late") and not await backtests.progress(conn, run, 99)
    for wrong in ({"end_date": date(2024, 1, 1)}, {"initial_capital": D(0)}, {"slippage_pct": D(-1)}):
        with pytest.raises(RecordRefused):
            await backtests.start(conn, **asked | wrong)


# -- wallets, books, reports, instruments -----------------------------------------------------------------------------------


async def test_a_wallets_event_is_kept_once_whatever_its_time_and_whoever_brings_it(conn: Any, migrated: str) -> None:
    address = "0x" + "aB" * 20
    wallet = await wallets.add(conn, chain="ethereum", address=address, tags=["a"])
    assert wallet == await wallets.add(conn, chain="ethereum", address=address.lower(), label="w", tags=["b"])
    assert await conn.fetchval("select tags from qs.wallets") == ["a", "b"]
    told: dict[str, Any] = {"wallet_id": wallet, "chain": "ethereum", "tx_hash": "0x01", "event_type": "SWAP"}
    other = await connect(migrated)
    kept = await asyncio.gather(
        wallets.event(conn, **told, ts=START), wallets.event(other, **told, ts=START + 12_000_000)
    )
    await other.close()
    assert sorted(k.is_new for k in kept) == [False, True] and kept[0].id == kept[1].id
    assert (await wallets.event(conn, **told, log_index=1, ts=START)).is_new
    assert await wallets.score(conn, wallet_id=wallet, ts=START, win_rate=D("0.5"))
    assert not await wallets.score(conn, wallet_id=wallet, ts=START, win_rate=D("0.9"))
    assert await readings.bias(conn, asset="ETH", timeframe="4h", ts=START, value=D("0.1"))
    for call in (
        wallets.add(conn, chain="ethereum", address="0x12"),
        wallets.add(conn, chain="ethereum", address="a b"),
        wallets.score(conn, wallet_id=wallet, ts=START, win_rate=D("1.1")),
        wallets.event(conn, **told, ts=1_735_689_600),  # seconds
        readings.analysis(conn, event_id=kept[0].id, event_ts=START, embedding=[0.1]),
        readings.bias(conn, asset="ETH", timeframe="4h", ts=START, value=D(2)),
    ):
        with pytest.raises(RecordRefused):
            await call


async def test_a_book_is_kept_with_its_totals_and_a_crossed_one_refused(conn: Any) -> None:
    place: dict[str, Any] = {"exchange": "test", "symbol": "BTC/USDT", "ts": START}
    bids, asks = [(D("99.5"), D(2)), (D(99), D("0.25"))], [(D(100), D("1e-8"))]
    assert await books.record_book(conn, **place, bids=bids, asks=asks)
    assert not await books.record_book(conn, **place, bids=bids, asks=asks)
    row = await conn.fetchrow("select * from qs.order_books")
    assert (row["total_bid_volume"], row["total_ask_volume"], row["depth"]) == (D("2.25"), D("1e-8"), 2)
    assert "0.00000001" in row["asks"]
    for wrong in ({"asks": [(D(99), D(1))]}, {"bids": bids[::-1]}, {"bids": [(D(1), D(0))]}, {"bids": [], "asks": []},
                  {"depth": 1}, {"asks": [(D("NaN"), D(1))]}):  # fmt: skip
        with pytest.raises(RecordRefused):
            await books.record_book(conn, **place | {"bids": bids, "asks": asks} | wrong)


async def test_reports_and_rules_of_instruments(conn: Any) -> None:
    report = await reports.write_report(conn, start_ts=START, end_ts=START + 1, summary="x")
    assert await reports.mark_delivered(conn, report, START) and await reports.mark_delivered(conn, report, START + 1)
    with pytest.raises(RecordRefused):
        await reports.write_report(conn, start_ts=START, end_ts=START, summary="x")
    with pytest.raises(RecordRefused):
        await reports.record_smoke_run(conn, status="MAYBE")
    assert await instruments.store(conn, BTC)
    venue = type(BTC)(exchange="test", symbol="BTC/USDT", base="BTC", quote="USDT", tick_size=D("0.5"), source="venue")
    assert await instruments.store(conn, venue) and not await instruments.store(conn, BTC)
    assert (
        await conn.fetchval("select (tick_size, price_precision)::text from qs.instruments")
        == "(0.500000000000000000,1)"
    )
