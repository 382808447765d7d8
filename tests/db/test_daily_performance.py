"""Results per day: from fills, closed round trips and samples, equal however they were cut, and after a rebuild."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from db.connect import connect
from db.rebuild import rebuild
from engine.core.ledger import Ledger
from tests.db import histories
from tests.db.schema_rows import BOT, PORTFOLIO, USER, fill, insert, new_id, order, people, position

DAY0 = datetime(2024, 2, 28, tzinfo=UTC)
ALL = "select refresh_daily_performance(null)"
STALE = "select refresh_daily_performance(stale_daily_performance())"


@pytest.fixture
async def conn(migrated: str) -> AsyncIterator[Any]:
    connection = await connect(migrated)
    await people(connection)
    yield connection
    await connection.close()


async def trip(conn: Any, closed: datetime, pnl: str, seq: int, held: timedelta = timedelta(hours=2)) -> None:
    """A round trip of two fills: bought for 100, sold for 100 + pnl, one of fees each."""
    order_id, position_id = new_id(), new_id()
    await insert(conn, "orders", **order(1, id=order_id, position_id=position_id, client_order_id=str(order_id)))
    facts = {"status": "CLOSED", "quantity": 0, "opened_at": closed - held, "closed_at": closed, "event_seq": seq}
    await insert(
        conn, "positions", **position(1, id=position_id, realized_pnl=Decimal(pnl), fees_paid=Decimal(2), **facts)
    )
    for at, side, gain, number in ((closed - held, "BUY", None, 1), (closed, "SELL", Decimal(pnl), 2)):
        row = fill(1, order_id=order_id, position_id=position_id, exchange_trade_id=str(number), executed_at=at)
        await insert(conn, "fills", **row | {"side": side, "pnl": gain, "fee_value": 1, "event_seq": seq})


async def sample(conn: Any, ts: datetime, equity: str, fall: str, seq: int) -> None:
    await conn.execute("select ensure_equity_partitions($1, $1)", ts)
    facts = {"scope": "PORTFOLIO", "currency": "USDT", "cash": 0, "event_seq": seq}
    await insert(
        conn, "equity_snapshots", ts=ts, scope_id=PORTFOLIO, id=new_id(), user_id=USER, equity=Decimal(equity),
        drawdown_pct=Decimal(fall), **facts,
    )  # fmt: skip


async def days(conn: Any, scope: Any) -> list[Any]:
    return list(await conn.fetch("select * from daily_performance where scope_id = $1 order by date", scope))


async def test_every_day_since_the_first_has_a_row_and_its_figures(conn: Any) -> None:
    await sample(conn, DAY0 + timedelta(hours=1), "10000", "0", 1)
    await trip(conn, DAY0 + timedelta(hours=12), "12", 2)
    await trip(conn, DAY0 + timedelta(hours=13), "-8", 3, held=timedelta(hours=4))
    await trip(
        conn, DAY0 + timedelta(days=3), "2", 4, held=timedelta(minutes=1)
    )  # bought the day before, flat after fees
    await sample(conn, DAY0 + timedelta(hours=23), "10000", "1.5", 5)
    await sample(conn, DAY0 + timedelta(days=3, hours=1), "9900", "2.5", 6)
    assert await conn.fetchval(ALL) == 8
    rows = await days(conn, PORTFOLIO)
    assert [r["date"].isoformat() for r in rows] == ["2024-02-28", "2024-02-29", "2024-03-01", "2024-03-02"]
    first, idle, bought, last = rows
    assert first["daily_pnl"] == 0 and first["trades_count"] == 2  # 12 - 8, four fees
    assert (first["winning_trades"], first["losing_trades"], first["win_rate"]) == (1, 1, Decimal("0.5"))
    assert (first["best_trade"], first["worst_trade"], first["avg_pnl"]) == (10, -10, 0)
    assert first["avg_holding_time"] == timedelta(hours=3)
    assert (first["total_volume"], first["total_fees"], first["equity"]) == (400, 4, 10000)
    assert first["max_drawdown_pct"] == Decimal("1.5") and first["sharpe_ratio"] is None
    assert (idle["daily_pnl"], idle["trades_count"], idle["win_rate"], idle["equity"]) == (0, 0, None, 10000)
    assert (bought["daily_pnl"], bought["trades_count"], bought["cumulative_pnl"]) == (-1, 0, -1)
    assert (last["daily_pnl"], last["cumulative_pnl"], last["winning_trades"], last["losing_trades"]) == (1, 0, 0, 0)
    assert last["max_drawdown_pct"] == Decimal("2.5") and last["event_seq"] == 6
    bot = await days(conn, BOT)
    assert [r["daily_pnl"] for r in bot] == [r["daily_pnl"] for r in rows]
    assert {r["equity"] for r in bot} == {None} and {r["user_id"] for r in bot} == {USER}
    assert bot[-1]["max_drawdown_pct"] == Decimal("0.01")  # 10000 to 9999


async def test_sharpe_begins_with_thirty_days_and_is_that_of_plain_python(conn: Any) -> None:
    worth = [Decimal(10000)]
    for day in range(40):
        worth.append(worth[-1] + (day * 37 % 101) - 45)
        await sample(conn, DAY0 + timedelta(days=day, hours=5), str(worth[-1]), "0", day + 1)
    await conn.fetchval(ALL)
    rows = await days(conn, PORTFOLIO)
    gains = [float(b / a - 1) for a, b in itertools.pairwise(worth)]
    assert [r["sharpe_ratio"] is None for r in rows] == [True] * 29 + [False] * 11
    for n in (30, 40):
        want = statistics.mean(gains[:n]) / statistics.stdev(gains[:n]) * 365**0.5
        assert float(rows[n - 1]["sharpe_ratio"]) == pytest.approx(want, rel=1e-6)


async def test_late_fills_change_their_day_and_all_after_it_and_pieces_equal_the_whole(conn: Any) -> None:
    for day in range(35):
        at = DAY0 + timedelta(days=day, hours=6)
        await sample(conn, at, str(10000 + day * 7 % 50), str(day % 5), 10 * day + 1)
        if day % 3 == 0:
            await trip(conn, at, str(day % 7 - 2), 10 * day + 2)
        if day % 4 == 0:
            await conn.fetchval(STALE)
    await trip(conn, DAY0 + timedelta(days=11, hours=3), "55", 999)
    assert await conn.fetchval("select stale_daily_performance()") == (DAY0 + timedelta(days=11)).date()
    await conn.fetchval(STALE)
    assert await conn.fetchval(ALL) == 0  # the pieces were the whole
    rows = await days(conn, PORTFOLIO)
    assert rows[11]["best_trade"] == 53 and len(rows) == 35
    before = {r["date"]: r["updated_at"] for r in rows}
    assert await conn.fetchval(STALE) == 0
    assert {r["date"]: r["updated_at"] for r in await days(conn, PORTFOLIO)} == before


async def test_a_rebuild_of_the_read_tables_changes_nothing(migrated: str, tmp_path: Path) -> None:
    journal = histories.journal_of(migrated, tmp_path / "ledger")
    await journal.open()
    await histories.write(journal, Ledger(), await histories.traded(tmp_path / "world"))
    await journal.close("done")
    conn = await connect(migrated)
    try:
        assert await conn.fetchval(STALE) > 0
        assert await conn.fetchval("select sum(trades_count) from daily_performance") > 0
        await rebuild(migrated)
        assert await conn.fetchval(ALL) == 0
    finally:
        await conn.close()
