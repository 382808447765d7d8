"""The read tables after a futures run: margin, funding, liquidation, dust, several accounts, stops; and the same after a rebuild."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any, NamedTuple

import asyncpg
import pytest

from db.config_rows import LIMITS
from db.connect import connect
from db.queries import Queries
from db.rebuild import rebuild
from engine.core import events as ev
from engine.core.ledger import Ledger
from engine.core.limits import Limit, Limits
from engine.core.types import InstrumentKind, PositionSide
from tests.db.futures import PERP, SPOT, futures
from tests.db.histories import journal_of, write
from tests.servers import Databases

D = Decimal
SIZES = (1, 13, 10_000)
#: A column keeps 18 digits, the ledger all of them.
DIGITS = D("1e-15")


class Run(NamedTuple):
    """The world's ledger and events, and databases that they were written into in batches of each size."""

    ledger: Ledger
    events: list[ev.Event]
    dsns: list[str]

    def of(self, kind: type[ev.Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture(scope="module")
def run(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Written once: these tests only read, or rebuild what is equal afterwards."""
    directory = tmp_path_factory.mktemp("futures")
    with databases.migrated() as first, databases.migrated() as second, databases.migrated() as third:
        dsns = [first, second, third]

        async def fill() -> Run:
            world = await futures(directory / "world")
            for size, dsn in zip(SIZES, dsns, strict=True):
                journal = journal_of(dsn, directory / f"ledger{size}", instruments=(SPOT, PERP))
                ledger = (await journal.open()).ledger
                await write(journal, ledger, world.store.pairs, size=size)
                await journal.close("done")
            return Run(ledger, [event for _, event in world.store.pairs], dsns)

        yield asyncio.run(fill())


@pytest.fixture
async def conn(run: Run) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(run.dsns[1])
    yield connection
    await connection.close()


async def tables(dsn: str) -> dict[str, list[str]]:
    """All read tables as text, sorted."""
    connection = await connect(dsn, "qs_owner")
    try:
        names = await connection.fetch("select table_name from qs.table_classes where class = 'PROJECTION'")
        return {
            name: sorted(row[0] for row in await connection.fetch(f"select to_jsonb(t)::text from qs.{name} t"))
            for (name,) in names
            if name != "daily_performance"
        }
    finally:
        await connection.close()


async def test_no_row_depends_on_how_events_were_cut_into_batches(run: Run) -> None:
    one, *others = [await tables(dsn) for dsn in run.dsns]
    assert {name for name, found in one.items() if not found} == set()
    for other in others:
        for name, found in one.items():
            for a, b in zip(found, other[name], strict=True):
                aa, bb = json.loads(a), json.loads(b)
                assert {k: (aa[k], bb[k]) for k in aa if aa[k] != bb[k]} == {}, name


async def test_a_rebuild_gives_the_same_tables(run: Run) -> None:
    before = await tables(run.dsns[0])
    assert await rebuild(run.dsns[0]) == len(run.events)
    assert await tables(run.dsns[0]) == before


async def test_every_account_conserves_in_the_tables(run: Run, conn: asyncpg.Connection) -> None:
    rows = await conn.fetch(
        """select a.name, cash_balance, initial_balance, realized_pnl, fees_paid, funding_paid,
             coalesce((select sum((d.value ->> 'cost')::numeric) from jsonb_each(dust) d), 0) as dust,
             coalesce((select sum(cost_basis) from qs.positions p
                        where p.portfolio_id = a.id and p.status = 'OPEN' and p.kind = 'SPOT'), 0) as cost
           from qs.portfolios a order by name"""
    )
    assert [row["name"] for row in rows] == ["main", "swing"]
    for row in rows:
        have = row["cash_balance"] + row["cost"] + row["dust"]
        want = row["initial_balance"] + row["realized_pnl"] - row["fees_paid"] - row["funding_paid"]
        assert abs(have - want) < DIGITS, row["name"]
        account = next(a for a in run.ledger.accounts.values() if a.name == row["name"])
        assert abs(row["cash_balance"] - account.cash) < DIGITS
    main = await conn.fetchrow("select other_assets, dust from qs.portfolios where name = 'main'")
    assert json.loads(main["other_assets"]) == {"BNB": "-0.300000000000000000"}
    assert D(json.loads(main["dust"])["BTC"]["quantity"]) > 0


async def test_accounts_have_their_own_money_and_samples(run: Run, conn: asyncpg.Connection) -> None:
    rows = {row["name"]: row for row in await conn.fetch("select * from qs.portfolios")}
    assert (rows["main"]["initial_balance"], rows["swing"]["initial_balance"]) == (10_000, 5_000)
    for name, row in rows.items():
        last = [e for e in run.of(ev.EquitySampled) if e.portfolio_id == str(row["id"])][-1]
        assert abs(row["total_value"] - last.equity) < DIGITS, name
    bots = dict(await conn.fetch("select b.name, p.name from qs.bots b join qs.portfolios p on p.id = b.portfolio_id"))
    assert bots == {"half": "main", "perp": "main", "broken": "main", "hedge": "swing"}
    queries = Queries(conn)
    mains, swings = await queries.equity(), await queries.equity(account="swing")
    assert len(mains) == len(swings) > 4 and mains[0].equity != swings[0].equity
    facts = await queries.ledger()
    assert facts is not None and facts.initial_balance == 10_000


async def test_orders_say_what_futures_need(run: Run, conn: asyncpg.Connection) -> None:
    for order in (*run.ledger.orders.values(), *run.ledger.closed_orders.values()):
        row = await conn.fetchrow("select * from qs.orders where id = $1", order.id)
        linear = order.kind is InstrumentKind.LINEAR
        assert (row["kind"], row["leverage"], row["contract_size"]) == (order.kind, order.leverage, order.contract_size)
        assert row["margin_mode"] == (order.margin_mode if linear else None)
        assert row["position_mode"] == ("HEDGE" if order.hedge else "ONE_WAY")
        assert row["oco_group"] == (order.oco_group or None)
        assert row["trigger_source"] == ("LAST" if order.role == "STOP" else None)
        assert abs(row["filled_value"] - order.filled_value * order.contract_size) < DIGITS
    modes = await conn.fetch("select distinct leverage::int, margin_mode, position_mode from qs.orders order by 1")
    assert [tuple(row) for row in modes] == [
        (1, None, "ONE_WAY"),
        (5, "CROSS", "HEDGE"),
        (20, "ISOLATED", "ONE_WAY"),
    ]


async def test_what_the_venue_liquidated_is_ours_to_see(run: Run, conn: asyncpg.Connection) -> None:
    rows = await conn.fetch("select * from qs.orders where origin = 'LIQUIDATION'")
    assert len(rows) == len(run.of(ev.OrderAdopted)) > 0
    for row in rows:
        assert (row["status"], row["role"], row["signal_reason"]) == (
            "FILLED",
            "LIQUIDATION",
            "liquidated by the venue",
        )
        assert row["decision_price"] is None and row["reduce_only"]
    ended = await conn.fetch("select * from qs.positions where status = 'LIQUIDATED'")
    assert {str(row["id"]) for row in ended} == {e.position_id for e in run.of(ev.PositionLiquidated)}
    assert {row["side"] for row in ended} == {"LONG", "SHORT"}
    for row in ended:
        assert row["close_reason"] == "LIQUIDATION" and row["closed_at"] and row["realized_pnl"] < 0
        below = (row["entry_price"] - row["exit_price"]) / row["entry_price"] * (100 if row["side"] == "LONG" else -100)
        assert row["max_drawdown_pct"] >= below - D("1e-8")


async def test_positions_have_side_margin_and_liquidation_price(run: Run, conn: asyncpg.Connection) -> None:
    for position in (*run.ledger.positions.values(), *run.ledger.closed_positions.values()):
        row = await conn.fetchrow("select * from qs.positions where id = $1", position.id)
        linear = position.kind is InstrumentKind.LINEAR
        assert (row["side"], row["quantity"], row["entries"]) == (position.side, position.quantity, position.entries)
        assert row["liquidation_price"] == position.liquidation_price
        assert row["maintenance_margin"] == (position.maintenance_margin if linear else None)
        assert row["margin_used"] == (position.margin if linear else position.cost)
        assert row["funding_paid"] == -position.funding
        assert (row["dust"], row["targets_taken"]) == (position.dust, position.taken)
        sign = 1 if position.side is PositionSide.LONG else -1
        assert row["unrealized_pnl"] == sign * (row["market_value"] - row["cost_basis"])
    queries = Queries(conn)
    found = [p for p in await queries.positions() if p.liquidation_price]
    assert found and all(p.margin_mode and p.leverage > 1 and p.account in ("main", "swing") for p in found)


async def test_the_plan_of_a_short_lies_on_the_other_side(conn: asyncpg.Connection) -> None:
    rows = await conn.fetch(
        "select o.*, b.name as bot from qs.orders o join qs.bots b on b.id = o.bot_id"
        " where role = 'ENTRY' and o.status = 'FILLED'"
    )
    seen = set()
    for row in rows:
        sign = 1 if row["position_side"] == "LONG" else -1
        seen.add((row["bot"], row["position_side"]))
        price = row["decision_price"]
        stop, targets = {
            "half": (10, [2, 30]),
            "perp": (None, [60]),
            "hedge": (None, []),
        }[row["bot"]]
        assert row["stop_loss"] == (None if stop is None else price * (100 - sign * stop) / 100)
        assert (row["take_profit"] or []) == [price * (100 + sign * pct) / 100 for pct in targets]
    assert {("half", "LONG"), ("perp", "LONG"), ("perp", "SHORT"), ("hedge", "SHORT")} <= seen
    short = await conn.fetchrow("select * from qs.signals where position_side = 'SHORT' and kind = 'ENTRY' limit 1")
    assert short["side"] == "SELL" and "< 60 and close" in short["reason"]


async def test_a_fill_that_turns_a_position_around_is_two(run: Run, conn: asyncpg.Connection) -> None:
    rows = await conn.fetch("select * from qs.fills where exchange_trade_id = 'too-much' order by part")
    ended = next(e for e in run.of(ev.PositionClosed) if e.position_id == str(rows[0]["position_id"]))
    assert [(row["part"], row["quantity"], row["fee_currency"], row["fee_value"]) for row in rows] == [
        (0, ended.quantity, "BNB", 0),
        (1, 5, "BNB", 0),
    ]
    assert sum(row["fee"] for row in rows) == D("0.3") and rows[0]["position_id"] != rows[1]["position_id"]
    in_base = await conn.fetchrow("select * from qs.fills where fee_currency = 'BTC' limit 1")
    assert in_base["fee_value"] == in_base["fee"] * in_base["price"]


async def test_funding_is_paid_by_position_and_account(run: Run, conn: asyncpg.Connection) -> None:
    paid = run.of(ev.FundingPaid)
    rows = await conn.fetch("select * from qs.funding_payments order by event_seq")
    assert [(str(r["position_id"]), r["rate"], r["mark_price"], r["amount"]) for r in rows] == [
        (e.position_id, e.rate, e.mark, e.amount) for e in paid
    ]
    assert {r["amount"] > 0 for r in rows} == {True, False}
    by_account = await conn.fetch(
        "select p.funding_paid, sum(f.amount) as amount from qs.portfolios p"
        " join qs.funding_payments f on f.portfolio_id = p.id group by p.id"
    )
    assert len(by_account) == 2 and all(row["funding_paid"] == -row["amount"] for row in by_account)


async def test_stops_tell_whose_they_are_and_what_became_of_each_order(run: Run, conn: asyncpg.Connection) -> None:
    perp = await conn.fetchval("select id from qs.bots where name = 'perp'")
    of_bot = await conn.fetch(
        "select verb, state, policy from qs.kill_switch_events where bot_id = $1 order by event_seq", perp
    )
    assert [tuple(row)[:2] for row in of_bot] == [("PAUSE", "PAUSED"), ("RESUME", "ACTIVE")]
    policies = {row[0] for row in await conn.fetch("select policy from qs.kill_switch_events where verb = 'CANCEL'")}
    assert policies == {"cancel"}
    rows = await conn.fetch("select * from qs.stop_results order by event_seq")
    assert [(row["verb"], str(row["bot_id"] or "")) for row in rows] == [
        (e.verb, e.bot_id) for e in run.of(ev.StopCompleted)
    ]
    assert [row["verb"] for row in rows] == ["PAUSE", "CANCEL", "FLATTEN", "HALT"]
    for row in rows:
        began = await conn.fetchval(
            "select count(*) from qs.kill_switch_events where created_at = $1 and verb = $2",
            row["began_at"],
            row["verb"],
        )
        assert began == 1
    outcomes = [{(r["role"], r["outcome"]) for r in json.loads(row["results"])} for row in rows]
    assert ("TAKE_PROFIT", "KEPT") in outcomes[0] and ("STOP", "CANCELED") in outcomes[1]
    assert ("POSITION", "CLOSED") in outcomes[2]


async def test_bots_say_how_they_stand(conn: asyncpg.Connection) -> None:
    rows = {row["name"]: row for row in await conn.fetch("select * from qs.bots")}
    broken, perp = rows["broken"], rows["perp"]
    assert broken["status"] == "ERROR" and broken["status_reason"] == "ZeroDivisionError: divided by hope"
    assert broken["traceback"].splitlines()[-2].startswith("futures.py:")
    assert (perp["status"], perp["trading_state"], perp["traceback"]) == ("RUNNING", "ACTIVE", None)
    assert (perp["state_reason"], perp["state_actor"]) == ("it may", "tester")
    strategy = await conn.fetchrow("select * from qs.strategies where id = $1", broken["strategy_id"])
    assert json.loads(strategy["parameters"]) == {"depth": 3} and "broken" in strategy["description"]
    rules = await conn.fetchval("select entry_rules from qs.strategies where id = $1", perp["strategy_id"])
    assert set(json.loads(rules)) == {"long", "short"}


async def test_limits_stand_in_columns_for_the_account_and_each_bot(conn: asyncpg.Connection) -> None:
    assert {name for name, field in Limits.model_fields.items() if field.annotation is Limit} == LIMITS.keys()
    rows = await conn.fetch("select b.name, l.* from qs.risk_limits l left join qs.bots b on b.id = l.bot_id")
    assert {row["name"] for row in rows} == {None, "half", "perp", "hedge", "broken"}
    for row in rows:
        limits = json.loads(row["risk_rules"])
        for name, column in LIMITS.items():
            hard = limits[name]["hard"]
            assert row[column] == (None if hard is None else D(hard)), name
    assert {row["max_messages_per_second"] for row in rows} == {50, None}


async def test_results_of_a_day_count_funding_and_fees_in_the_accounts_currency(run: Run) -> None:
    owner = await connect(run.dsns[2], "qs_owner")
    try:
        await owner.execute("select qs.refresh_daily_performance(null)")
        for account in await owner.fetch("select * from qs.portfolios"):
            day = await owner.fetchrow(
                "select sum(daily_pnl) as pnl, sum(total_fees) as fees, sum(total_volume) as volume"
                " from qs.daily_performance where scope_id = $1", account["id"],
            )  # fmt: skip
            want = account["realized_pnl"] - account["fees_paid"] - account["funding_paid"]
            assert abs(day["pnl"] - want) < DIGITS and abs(day["fees"] - account["fees_paid"]) < DIGITS
            volume = await owner.fetchval(
                "select sum(filled_value) from qs.orders where portfolio_id = $1", account["id"]
            )
            assert day["volume"] == volume
    finally:
        await owner.close()
