"""The read tables: what the events say, the same again when they are made anew, and every named query."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import asyncpg
import pytest

from db.connect import connect
from db.queries import Queries, load_queries
from db.rebuild import first_difference, make_aside, project_all, rebuild
from engine.core import events as ev
from engine.core.ledger import Ledger
from engine.ports import JournalFenced
from tests.db.histories import Pair, journal_of, traded, write
from tests.db.schema_rows import insert, portfolio
from tests.servers import FillOnce


class Filled(NamedTuple):
    """A database with a history in it, written in batches of `size`."""

    dsn: str
    conn: asyncpg.Connection
    pairs: list[Pair]
    ledger: Ledger

    def of(self, kind: type[ev.Event]) -> list[ev.Event]:
        return [event for _, event in self.pairs if isinstance(event, kind)]


@pytest.fixture(params=[1, 13])
async def history(request: pytest.FixtureRequest, filled: FillOnce) -> AsyncIterator[Filled]:
    async def fill(uri: str, folder: Path) -> tuple[list[Pair], Ledger]:
        pairs = await traded(folder / "world", bars=60)
        journal = journal_of(uri, folder / "ledger")
        ledger = (await journal.open()).ledger
        await write(journal, ledger, pairs, size=request.param)
        await journal.close("done")
        return pairs, ledger

    uri, (pairs, ledger) = filled(f"projected_{request.param}", fill)
    conn = await connect(uri)
    yield Filled(uri, conn, pairs, ledger)
    await conn.close()


async def rows(conn: asyncpg.Connection) -> dict[str, list[str]]:
    """All read tables as text, sorted."""
    names = await conn.fetch("select table_name from qs.table_classes where class = 'PROJECTION'")
    return {
        name: sorted(r[0] for r in await conn.fetch(f"select to_jsonb(t)::text from qs.{name} t")) for (name,) in names
    }


async def test_a_rebuild_gives_the_same_tables(history: Filled) -> None:
    before = await rows(history.conn)
    assert {name for name, found in before.items() if not found} == {"funding_payments"}  # see test_project_futures
    assert await rebuild(history.dsn) == len(history.pairs)
    assert await rows(history.conn) == before


async def test_a_rebuild_waits_for_no_engine(history: Filled, tmp_path: Path) -> None:
    journal = journal_of(history.dsn, tmp_path / "ledger")
    await journal.open()
    with pytest.raises(JournalFenced):
        await rebuild(history.dsn)
    await journal.close("done")


async def test_a_projection_aside_is_equal_and_shows_a_change(history: Filled) -> None:
    async def difference() -> object:
        async with history.conn.transaction():
            tables = await make_aside(history.conn)
            async for _ in project_all(history.conn, Ledger(), "pg_temp"):
                pass
            found = await first_difference(history.conn, tables)
            for table in tables:
                await history.conn.execute(f"drop table pg_temp.{table}")
            return found

    assert await difference() is None
    await history.conn.execute("update qs.positions set realized_pnl = realized_pnl + 1 where status = 'CLOSED'")
    found = await difference()
    assert found is not None and found.table == "positions" and found.seq > 0  # type: ignore[attr-defined]


async def test_counts_follow_the_events(history: Filled) -> None:
    async def count(what: str) -> int:
        return int(await history.conn.fetchval(f"select count(*) from qs.{what}"))

    assert await count("fills") == len(history.of(ev.OrderFilled))
    assert await count("signals") == len(history.of(ev.SignalGenerated))
    assert await count("risk_decisions") == len(history.of(ev.IntentEvaluated))
    assert await count("kill_switch_events") == len(history.of(ev.TradingStateChanged))
    assert await count("equity_snapshots") == len(history.of(ev.EquitySampled))
    sent, denied = len(history.of(ev.OrderSubmitted)), len(history.of(ev.OrderDenied))
    assert await count("orders") == sent + denied
    assert await count("orders where status = 'DENIED'") == denied > 0
    assert await count("positions where status = 'CLOSED'") == history.ledger.counts.trades


async def test_orders_and_the_account_are_the_ledgers(history: Filled) -> None:
    for order in (*history.ledger.orders.values(), *history.ledger.closed_orders.values()):
        row = await history.conn.fetchrow("select * from qs.orders where id = $1", order.id)
        assert row is not None
        assert (row["status"], row["filled_quantity"], row["fees"]) == (order.status, order.filled_quantity, order.fees)
        assert row["client_order_id"] == order.client_order_id
    account = history.ledger.account
    row = await history.conn.fetchrow("select * from qs.portfolios")
    assert (row["cash_balance"], row["realized_pnl"]) == (account.cash, account.realized_pnl)
    assert row["total_value"] == history.of(ev.EquitySampled)[-1].equity  # type: ignore[attr-defined]


async def test_a_closed_position_says_why_and_carries_its_gates(history: Filled) -> None:
    row = await history.conn.fetchrow("select * from qs.positions where status = 'CLOSED' order by closed_at limit 1")
    closed = history.of(ev.PositionClosed)[0]
    assert row["close_reason"] == closed.reason  # type: ignore[attr-defined]
    gates = json.loads(row["notes"])["gates"]
    assert {"gate", "code", "verdict", "limit", "actual", "margin"} == set(gates[0])


async def test_a_config_is_active_and_its_bots_and_strategies_are_there(history: Filled) -> None:
    bots = await history.conn.fetch(
        "select b.* from qs.bots b join qs.strategy_versions v using (strategy_id) order by b.name"
    )
    found = [(bot["name"], bot["config_version"], bot["status"]) for bot in bots]
    assert found == [("probe", 1, "RUNNING"), ("tiny", 1, "RUNNING")]
    assert await history.conn.fetchval("select version from qs.bot_config_versions where is_active") == 1
    assert (
        await history.conn.fetchval("select count(*) from qs.signals s join qs.strategies t on t.id = s.strategy_id")
        > 0
    )


# -- queries -------------------------------------------------------------------------------------------------------------


async def test_every_query_runs_for_a_viewer_on_an_empty_database(migrated: str) -> None:
    conn = await connect(migrated, "qs_view")
    queries = Queries(conn)
    assert await queries.head() == (0, "")
    empty: list[object] = [
        *await queries.newest_events(5),
        *await queries.events_after(0),
        *await queries.open_orders(),
        *await queries.recent_orders(5),
        *await queries.positions(5),
        *await queries.fills(5),
        *await queries.decisions(5),
        *await queries.config_versions(),
        *await queries.equity(),
    ]
    assert empty == []
    assert await queries.ledger() is None
    await conn.close()


async def test_events_by_cursor_and_by_filter(history: Filled) -> None:
    queries, total = Queries(history.conn), len(history.pairs)
    newest = await queries.newest_events(10)
    assert [row.seq for row in newest] == list(range(total - 9, total + 1))
    n, last = history.pairs[-1]
    assert (newest[-1].id, newest[-1].ts) == (ev.event_id(history.ledger.ledger_id, last, n), last.ts)
    assert [row.seq for row in await queries.events_after(total - 3, 2)] == [total - 2, total - 1]
    assert (await queries.head())[0] == total
    fills = await queries.newest_events(1000, types=["OrderFilled"], symbol="BTC/USDT")
    assert len(fills) == len(history.of(ev.OrderFilled))
    assert await queries.newest_events(5, types=["OrderFilled"], symbol="btc/usdt") == []
    assert {row.level for row in await queries.newest_events(99, levels=["WARN", "ERROR"])} <= {"WARN", "ERROR"}
    assert (await queries.newest_events(1, before_seq=total))[0].seq == total - 1


async def test_orders_positions_fills_and_decisions(history: Filled) -> None:
    queries, ledger = Queries(history.conn), history.ledger
    assert {row.id for row in await queries.open_orders()} == set(ledger.orders)
    recent = await queries.recent_orders(1000)
    assert [r.created_ts for r in recent] == sorted((r.created_ts for r in recent), reverse=True)
    assert any(row.status == "DENIED" and row.reason for row in recent)
    positions = await queries.positions(closed=2)
    assert [p.id for p in positions if p.status == "OPEN"] == list(ledger.positions)
    assert len([p for p in positions if p.status == "CLOSED"]) == 2
    fills = await queries.fills(3)
    assert fills[0].id == history.of(ev.OrderFilled)[-1].fill_id  # type: ignore[attr-defined]
    assert all(row.action != "ALLOWED" for row in await queries.decisions(1000, against=True))
    assert len(await queries.decisions(1000)) == len(history.of(ev.IntentEvaluated))


async def test_ledger_facts_and_config_versions(history: Filled) -> None:
    queries = Queries(history.conn)
    facts = await queries.ledger()
    assert facts is not None
    assert (facts.mode, facts.seq, facts.epoch, facts.host) == ("PAPER", len(history.pairs), 1, "test")
    assert facts.initial_balance == Decimal(10_000) and facts.ended_ts is not None
    (config,) = await queries.config_versions()
    assert (config.version, config.is_active, config.activated_ts) == (1, True, 0)


async def test_equity_keeps_its_peaks_in_few_points(migrated: str) -> None:
    owner = await connect(migrated, "qs_owner")
    scope = "00000000-0000-7000-8000-000000000001"
    await owner.execute("insert into users(id, email) values('00000000-0000-7000-8000-000000000009', 'a@b')")
    await insert(owner, "portfolios", **portfolio() | {"id": scope, "user_id": "00000000-0000-7000-8000-000000000009"})
    await owner.execute("select ensure_equity_partitions('2025-01-01', '2025-01-03')")
    await owner.execute(
        "insert into equity_snapshots(ts, scope_id, id, user_id, scope, currency, equity, cash, drawdown_pct, event_seq)"
        " select timestamptz '2025-01-01' + n * interval '1 minute', '00000000-0000-7000-8000-000000000001', uuid7(),"
        " '00000000-0000-7000-8000-000000000009', 'PORTFOLIO', 'USDT',"
        " case n when 777 then 5000 when 1500 then 1 else 1000 + n % 7 end, 0, 25, n from generate_series(1, 2000) n"
    )
    queries = Queries(owner)
    points = await queries.equity(100)
    assert 50 < len(points) <= 100
    assert [p.ts for p in points] == sorted(p.ts for p in points)
    assert (min(p.equity for p in points), max(p.equity for p in points)) == (Decimal(1), Decimal(5000))
    assert points[0].drawdown == Decimal("0.25")
    whole = await queries.equity(100_000)
    assert (whole[0].ts, whole[-1].ts) == (points[0].ts, points[-1].ts)
    later = await queries.equity(100_000, since_ts=whole[1990].ts, until_ts=whole[-1].ts)
    assert len(later) <= 10 and later[-1] == whole[-1]
    with pytest.raises(ValueError, match="4"):
        await queries.equity(3)
    await owner.close()


def test_queries_have_unique_names() -> None:
    assert len(load_queries()) == 20
