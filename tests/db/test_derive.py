"""What the read tables say beyond single events: plans, reasons, limits, slippage, the worst of a round trip."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from db import derive
from db.config_rows import strategy_text
from db.connect import connect
from db.rebuild import rebuild
from db.words import reason_of
from engine.core.canonical import sha256_hex
from engine.core.config import PythonStrategy
from tests.db.contract_rows import MARKET, history
from tests.db.futures import PERP
from tests.db.histories import journal_of, write
from tests.servers import FillOnce

D = Decimal


@pytest.fixture(params=[1, 13])
def dsn(request: pytest.FixtureRequest, filled: FillOnce) -> str:
    """A database with the history of `contract_rows` in it, written in small and large batches."""

    async def fill(uri: str, folder: Path) -> None:
        journal = journal_of(uri, folder / "ledger", instruments=(MARKET, PERP))
        ledger = (await journal.open()).ledger
        await write(journal, ledger, await history(folder / "world"), size=request.param)
        await journal.close("done")

    return filled(f"derived_{request.param}", fill)[0]


@pytest.fixture
async def conn(dsn: str) -> AsyncIterator[Any]:
    connection = await connect(dsn)
    yield connection
    await connection.close()


async def test_an_entry_says_why_at_which_price_and_what_was_planned(conn: Any) -> None:
    rows = await conn.fetch("select o.*, s.price as fired_at from qs.orders o join qs.signals s on s.id = o.signal_id"
                            " join qs.bots b on b.id = o.bot_id where b.name = 'probe' and role = 'ENTRY' and o.status = 'FILLED'")  # fmt: skip
    assert len(rows) > 3
    for row in rows:
        assert row["decision_price"] == row["fired_at"]
        assert row["stop_loss"] == row["fired_at"] * D("0.98")
        assert row["take_profit"] == [row["fired_at"] * D("1.04")]
        assert row["signal_reason"].startswith("close ") and "> 100 and close " in row["signal_reason"]
        assert row["slippage"] == row["avg_fill_price"] - row["decision_price"]
        policy = json.loads(row["policy_snapshot"])
        assert policy["bot"]["max_order_value"] == {"soft": "5000", "hard": "9000"}
        assert policy["account"]["daily_loss_pct"]["hard"] == "90" and policy["halt_policy"] == "keep_with_exits"
        conditions = json.loads(row["market_conditions"])
        assert D(conditions["price"]) == row["fired_at"] and len(conditions["gates"]) > 5


async def test_signal_gates_and_order_share_the_cycle_and_a_denied_order_its_reason(conn: Any) -> None:
    loose = await conn.fetchval(
        "select count(*) from qs.orders o join qs.signals s on s.id = o.signal_id"
        " where role = 'ENTRY' and o.cycle_id <> s.cycle_id"
    )
    assert loose == 0
    assert await conn.fetchval("select count(*) from qs.risk_decisions join qs.orders o on o.id = order_id"
                               " where o.cycle_id <> risk_decisions.cycle_id") == 0  # fmt: skip
    denied = await conn.fetch("select * from qs.orders where status = 'DENIED'")
    assert denied and all(row["signal_reason"] and row["decision_price"] and row["policy_snapshot"] for row in denied)
    assert await conn.fetchval("select bool_and(confidence = 1 and reason <> '') from qs.signals")


async def test_resting_orders_were_decided_at_their_own_price(conn: Any) -> None:
    words = {
        "STOP": "stop of the position",
        "TAKE_PROFIT": "target of the position",
        "TARGET_1": "target 1 of the position",
    }
    rows = await conn.fetch("select * from qs.orders where role = any ($1)", [*words])
    assert {row["role"] for row in rows} == words.keys()
    for row in rows:
        assert row["decision_price"] == (row["stop_price"] if row["role"] == "STOP" else row["price"])
        assert row["signal_reason"] == words[row["role"]]


async def test_a_stop_that_has_trailed_says_so_also_where_it_is_a_limit_order(conn: Any) -> None:
    order = await conn.fetchval("select id from qs.orders where role = 'STOP' limit 1")
    transaction = conn.transaction()
    await transaction.start()
    row = await conn.fetchrow(
        "update qs.orders set role = 'TRAILING_STOP', order_type = 'LIMIT', price = stop_price, stop_price = null"
        " where id = $1 returning price",
        order,
    )
    await conn.execute(derive.ORDER_BORN.replace("{schema}", "qs"), json.dumps([{"id": str(order)}]))
    told = await conn.fetchrow("select signal_reason, decision_price, stop_loss from qs.orders where id = $1", order)
    await transaction.rollback()
    assert tuple(told) == ("trailing stop of the position", row["price"], row["price"])


async def test_what_nobody_priced_has_no_decision_price(conn: Any) -> None:
    rows = await conn.fetch("select distinct role, signal_reason, decision_price from qs.orders"
                            " where role in ('FLATTEN', 'BY_HAND', 'LIQUIDATION') order by 1")  # fmt: skip
    assert [tuple(row) for row in rows] == [
        ("BY_HAND", "closed by hand", None),
        ("FLATTEN", "flatten", None),
        ("LIQUIDATION", "liquidated by the venue", None),
    ]


async def test_slippage_of_fills_orders_and_positions_agree(conn: Any) -> None:
    fills = await conn.fetch("select f.*, o.decision_price from qs.fills f join qs.orders o on o.id = f.order_id")
    for fill in fills:
        if fill["decision_price"] is None:
            assert fill["slippage_bps"] is None
            continue
        sign = 1 if fill["side"] == "BUY" else -1
        bps = (fill["price"] / fill["decision_price"] - 1) * 10_000 * sign
        assert abs(fill["slippage_bps"] - bps) < D("1e-7")
    wrong = await conn.fetchval(
        "select count(*) from qs.positions p where abs(slippage_est - (select sum(slippage * filled_quantity * contract_size)"
        " from qs.orders o where o.position_id = p.id)) > 1e-12"
        " and not exists (select from qs.fills where position_id = p.id and exchange_trade_id = 'too-much')"
    )
    assert wrong == 0
    assert not await conn.fetchval(
        "select exists (select from qs.positions where side = 'LONG' and slippage_est is null)"
    )


async def test_a_closed_position_knows_its_worst_and_what_it_put_at_stake(conn: Any) -> None:
    closed = await conn.fetch("select * from qs.positions where status = 'CLOSED'")
    for row in closed:
        sign = 1 if row["side"] == "LONG" else -1
        below = sign * (row["entry_price"] - row["exit_price"]) / row["entry_price"] * 100
        assert row["max_drawdown_pct"] >= max(below, D(0)) - D("1e-8")
        assert 0 < row["risk_consumed"] <= 1
    opened = await conn.fetchrow("select * from qs.positions where status = 'OPEN' and kind = 'SPOT' limit 1")
    assert opened["max_drawdown_pct"] is None and opened["margin_used"] == opened["cost_basis"]
    probe = await conn.fetchrow("select * from qs.bots where name = 'probe'")
    stats, closed = json.loads(probe["performance_stats"]), [row for row in closed if row["bot_id"] == probe["id"]]
    assert stats["trades"] == len(closed) == stats["wins"] + stats["losses"]
    net = sum(row["realized_pnl"] - row["fees_paid"] for row in closed)
    assert abs(D(stats["net_pnl"]) - net) < D("1e-15")  # columns keep 18 digits


async def test_the_facts_are_the_same_after_a_rebuild(conn: Any, dsn: str) -> None:
    async def everything() -> dict[str, list[str]]:
        tables = ("orders", "fills", "positions", "bots", "signals", "portfolios", "risk_limits")
        return {
            t: [r[0] for r in await conn.fetch(f"select to_jsonb(t)::text from qs.{t} t order by 1")] for t in tables
        }

    before = await everything()
    await rebuild(dsn)
    assert await everything() == before


async def test_strategies_and_instruments_carry_what_is_known(conn: Any) -> None:
    row = await conn.fetchrow(
        "select * from qs.strategies s join qs.bots b on b.strategy_id = s.id where b.name = 'probe'"
    )
    figures = [row[n] for n in ("stop_loss_pct", "take_profit_pct", "trailing_stop_pct", "max_position_size_pct")]
    assert (figures, row["timeframe"], row["trading_mode"]) == ([2, 4, 1, 10], "1m", "PAPER")
    assert row["last_signal_at"] == await conn.fetchval("select max(created_at) from qs.signals")
    market = await conn.fetchrow("select * from qs.instruments where symbol = 'BTC/USDT'")
    found = [market[n] for n in ("tick_size", "step_size", "min_notional", "price_precision", "quantity_precision")]
    assert found == [D("0.01"), D("0.00001"), 5, 2, 5] and market["source"] == "bundled"


LEAF = {"op": "gt", "result": "true", "left": {"series": "close", "value": "101.25"}, "right": {"value": "100.0"}}


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        (LEAF, "close 101.25 > 100"),
        ({"op": "all", "of": [LEAF, {"op": "any", "of": [LEAF, LEAF]}]},
         "close 101.25 > 100 and (close 101.25 > 100 or close 101.25 > 100)"),
        ({"op": "not", "of": [LEAF]}, "not close 101.25 > 100"),
        ({"op": "within", "bars": "3", "of": [LEAF]}, "within 3 bars: close 101.25 > 100"),
        ({"op": "le", "left": {"series": "rsi", "value": "unknown"}, "right": {"value": "70.0"}}, "rsi unknown <= 70"),
    ],
)  # fmt: skip
def test_words_of_a_tree(tree: dict[str, Any], words: str) -> None:
    assert reason_of({"entry_long": tree}, "ENTRY") == words
    assert reason_of({"entry_long": LEAF, "entry_short": tree}, "ENTRY", "SHORT") == words
    assert reason_of({}, "EXIT") == "exit"
    deep = {"op": "all", "of": [tree] * 200}
    assert len(reason_of({"exit_long": deep}, "EXIT")) == 1000


def test_a_python_strategy_is_kept_by_the_hash_that_its_id_is_made_of() -> None:
    strategy = PythonStrategy(python="turtle", params={"bars": 20, "factor": 1.5})
    text = strategy_text({"strategy": strategy.model_dump()})
    assert text is not None and sha256_hex(text.encode()) == strategy.sha256
