"""What the contracts show of a row, field by field, each in its document's words; what is left out, and what does not fit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest_asyncio

from db.connect import connect
from db.contracts import Misfit, misfits, views
from tests.db.schema_rows import (
    BOT,
    NOW,
    ORDER,
    PORTFOLIO,
    POSITION,
    USER,
    fill,
    insert,
    new_id,
    order,
    people,
    position,
)

D = Decimal
LATER = NOW + timedelta(hours=3)


@pytest_asyncio.fixture
async def conn(shared: str) -> AsyncIterator[Any]:
    connection = await connect(shared)
    transaction = connection.transaction()
    await transaction.start()
    yield connection
    await transaction.rollback()
    await connection.close()


async def one(conn: Any, view: str, where: str = "true") -> dict[str, Any]:
    rows = await conn.fetch(f"select * from {view} where {where}")
    assert len(rows) == 1, (view, where, len(rows))
    return dict(rows[0])


async def none(conn: Any, view: str, where: str = "true") -> None:
    assert await conn.fetchval(f"select count(*) from {view} where {where}") == 0


def part(row: dict[str, Any], **expected: Any) -> None:
    assert {name: row[name] for name in expected} == expected


def naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)


async def test_a_liquidated_short_position(conn: Any) -> None:
    exchange = await people(conn)
    numbers = {
        "quantity": 0, "entry_price": D("100.123456789012345678"), "entry_qty": 2, "entry_notional": 200, "exit_price": 90,
        "mark_price": 90, "unrealized_pnl": 0, "realized_pnl": D("20.005"), "realized_pnl_pct": D("10.00005"),
        "leverage": 5, "cost_basis": 0, "market_value": 0, "fees_paid": D("0.3"), "max_drawdown_pct": D("1.255"),
    }  # fmt: skip
    facts = {"side": "SHORT", "status": "LIQUIDATED", "mode": "PAPER", "closed_at": LATER, "symbol": "BTC/USDT:USDT"}
    await insert(conn, "positions", **position(exchange, **facts, **numbers))
    part(
        await one(conn, "quantsail_v7.trades"), id=POSITION, side="SHORT", status="CLOSED", mode="DRY_RUN",
        entry_price=D("100.1234567890"), entry_qty=2, entry_notional_usd=200, realized_pnl_usd=D("20.005"), closed_at=LATER,
    )  # fmt: skip
    part(
        await one(conn, "wallet_following.positions_archive"), asset="BTC", side="short", trading_mode="demo", size=2,
        opened_at=naive(NOW), closed_at=naive(LATER), holding_time=timedelta(hours=3), realized_pnl=D("20.01"),
        leverage=D("5.00"), max_drawdown=D("1.26"),
    )  # fmt: skip
    part(
        await one(conn, "trading_platform.positions"), symbol="BTC/USDT:USDT", side="SHORT", status="LIQUIDATED",
        pnl=D("20.005"), pnl_percent=D("10.0001"), leverage=5, quantity=0, exchange_id=exchange,
    )  # fmt: skip
    part(
        await one(conn, "apextrade.positions"), portfolio_id=PORTFOLIO, quantity=-2, average_entry_price=D("100.12345679"),
        is_open=False, cost_basis=0,
    )  # fmt: skip
    await none(conn, "paper_api.positions")
    await none(conn, "wallet_following.active_positions_view")


async def test_open_positions_are_one_row_a_symbol(conn: Any) -> None:
    exchange = await people(conn)
    at_prices = [("LONG", 3, 100, 5, NOW), ("SHORT", 1, 120, -4, LATER)]
    for side, quantity, price, gain, updated in at_prices:
        row = position(
            exchange, id=new_id(), side=side, quantity=quantity, entry_price=price, mark_price=price + 1,
            unrealized_pnl=gain, updated_at=updated,
        )  # fmt: skip
        await insert(conn, "positions", **row)
    part(
        await one(conn, "paper_api.positions"), symbol="BTC/USDT", qty=2, avg_entry_price=105, mark_price=121,
        unrealized_pnl=1, updated_at=LATER,
    )  # fmt: skip
    assert await conn.fetchval("select sum(quantity) from apextrade.positions where is_open") == 2


async def test_a_filled_order_and_its_execution(conn: Any) -> None:
    exchange = await people(conn)
    numbers = {"quantity": 2, "filled_quantity": 2, "avg_fill_price": D("99.5"), "filled_value": 199, "fees": D("0.2")}
    facts = {"status": "FILLED", "filled_at": LATER, "take_profit": [D("110"), D("5e18")], "leverage": D("2.5")}
    await insert(conn, "positions", **position(exchange))
    await insert(conn, "orders", **order(exchange, order_type="STOP_MARKET", role="STOP", **numbers, **facts))
    await insert(
        conn, "fills", **fill(exchange, quantity=2, price=D("99.5"), slippage_bps=D("-1.6"), fee=D("0.2"), pnl=7)
    )
    part(
        await one(conn, "quantsail_v7.orders"), id=ORDER, trade_id=POSITION, order_type="MARKET", status="SIMULATED", qty=2,
        idempotency_key="c1",
    )  # fmt: skip
    part(await one(conn, "paper_api.orders"), order_id=ORDER, side="buy", status="executed", qty=2)
    part(
        await one(conn, "wallet_following.orders"), exchange="sim", asset="BTC", side="buy", order_type="stop_market",
        status="filled", trading_mode="demo", created_at=naive(NOW), filled_size=2, take_profit=[D(110), None],
    )  # fmt: skip
    part(
        await one(conn, "trading_platform.orders"), side="LONG", status="FILLED", order_type="STOP_MARKET", take_profit=110,
        leverage=3, filled_at=LATER,
    )  # fmt: skip
    part(
        await one(conn, "apextrade.trades"), order_type="STOP_LOSS", status="filled", is_paper=True, filled_price=D("99.5"),
        filled_value=D("199.00"), commission=D("0.2"), portfolio_id=PORTFOLIO,
    )  # fmt: skip
    part(
        await one(conn, "paper_api.fills"),
        order_id=ORDER,
        side="buy",
        fill_price=D("99.5"),
        slippage_bps=-2,
        fee=D("0.2"),
    )
    part(
        await one(conn, "trading_platform.trades"),
        order_id=ORDER,
        position_id=POSITION,
        side="BUY",
        status="SUCCESS",
        pnl=7,
    )


async def test_a_denied_order_is_shown_only_where_the_document_has_room(conn: Any) -> None:
    exchange = await people(conn)
    sent = ("portfolio_id", "number", "order_type", "time_in_force", "origin", "role", "position_side", "client_order_id",
            "submitted_at", "position_id")  # fmt: skip
    row = order(exchange, status="DENIED", quantity=0, risk_reason="DAILY_LOSS: 5 % lost") | dict.fromkeys(sent)
    await insert(conn, "orders", **row)
    part(await one(conn, "paper_api.orders"), status="rejected", risk_reason="DAILY_LOSS: 5 % lost", qty=0)
    part(await one(conn, "trading_platform.orders"), status="REJECTED", side=None)
    for view in ("quantsail_v7.orders", "wallet_following.orders", "apextrade.trades"):
        await none(conn, view)


async def test_people_in_every_document(conn: Any) -> None:
    facts = {"first_name": "Ada", "trading_mode": "LIVE", "preferred_currency": "USDT", "last_login_at": LATER}
    await insert(conn, "users", id=USER, email="me@example.org", **facts)
    await insert(conn, "users", email="eye@example.org", role="VIEWER")
    await insert(conn, "users", email="gone@example.org", deleted_at=NOW)
    assert (await one(conn, "quantsail_v7.users"))["role"] == "OWNER"
    mine = f"id = '{USER}'"
    part(
        await one(conn, "wallet_following.users", mine), trading_mode="live", last_login=naive(LATER), password_hash=None,
        two_fa_enabled=False,
    )  # fmt: skip
    part(await one(conn, "apextrade.users", mine), first_name="Ada", preferred_currency=None, mfa_secret=None)
    assert await conn.fetchval("select count(*) from trading_platform.users") == 3
    assert await conn.fetchval("select count(*) from trading_platform.active_users") == 2
    assert await conn.fetchval("select count(*) from apextrade.users") == 2


async def _tick(conn: Any, **values: Any) -> None:
    await conn.execute("select ensure_partitions('ticks', $1, $1)", NOW)
    row = {
        "exchange_id": await conn.fetchval("select exchange_id('sim')"),
        "symbol": "BTC/USDT",
        "ts": NOW,
        "received_at": LATER,
    }
    await insert(conn, "ticks", **row | values)


async def test_ticks_and_their_ids(conn: Any) -> None:
    await _tick(conn, bid=D(100), ask=D("100.05"), last_price=D(100), source="feed")
    await _tick(conn, last_price=D("99.9"), last_volume=2)
    row = await one(conn, "paper_api.market_ticks")
    part(
        row, bid_price=100, ask_price=D("100.05"), mid_price=D("100.025"), spread_bps=5, event_at=NOW, created_at=LATER
    )
    await conn.execute("set timezone = 'Asia/Tokyo'; set datestyle = 'German'")
    assert (await one(conn, "paper_api.market_ticks"))["tick_id"] == row["tick_id"]
    await conn.execute("reset timezone")
    part(
        await one(conn, "apextrade.tick_data", "bid is null"),
        last_price=D("99.9"),
        last_volume=2,
        source="sim",
        time=NOW,
    )
    part(await one(conn, "apextrade.tick_data", "bid is not null"), source="feed")


async def test_bars(conn: Any) -> None:
    exchange = await conn.fetchval("select exchange_id('sim')")
    bar = {
        "exchange_id": exchange,
        "symbol": "BTC/USDT",
        "ts": NOW,
        "open": 10,
        "high": 12,
        "low": 9,
        "close": 11,
        "volume": 5,
    }
    for timeframe in ("1h", "2h", "1d"):
        await insert(conn, "candles", **bar, timeframe=timeframe, candle_count=60)
    prices = await conn.fetch('select id, "interval", "open" from trading_platform.market_prices order by 2')
    assert [tuple(row)[1:] for row in prices] == [("1d", 10), ("1h", 10)]
    assert len({row["id"] for row in prices}) == 2
    assert all(row["id"] > 0 for row in prices)
    part(await one(conn, "apextrade.ohlcv_1h"), bucket=NOW, timeframe="1h", close=11, candle_count=60)
    part(await one(conn, "apextrade.ohlcv_1d"), timeframe="1d", candle_count=D(60))
    assert await conn.fetchval("select count(*) from apextrade.ohlcv where source = 'sim'") == 3


async def test_a_bot_that_may_not_trade_is_paused_unless_it_does_not_run(conn: Any) -> None:
    await people(conn)
    for status, state, shown in (
        ("RUNNING", "ACTIVE", "running"), ("WARMING_UP", "ACTIVE", "running"), ("RUNNING", "REDUCING", "paused"),
        ("WARMING_UP", "HALTED", "paused"), ("STOPPED", "PAUSED", "stopped"), ("ERROR", "HALTED", "error"),
    ):  # fmt: skip
        await conn.execute("update bots set status = $1, trading_state = $2", status, state)
        assert await conn.fetchval("select status from trading_platform.bots") == shown


async def test_days(conn: Any) -> None:
    await people(conn)
    day = {
        "user_id": USER, "date": date(2025, 1, 2), "mode": "SIM", "currency": "USDT", "daily_pnl": 3, "cumulative_pnl": 8,
        "trades_count": 4, "winning_trades": 3, "losing_trades": 1, "win_rate": D("0.75"), "avg_pnl": D("0.75"),
        "best_trade": 2, "worst_trade": -1, "avg_holding_time": timedelta(hours=2), "total_volume": 100, "total_fees": 1,
        "event_seq": 1,
    }  # fmt: skip
    await insert(conn, "daily_performance", scope="PORTFOLIO", scope_id=PORTFOLIO, **day)
    await insert(conn, "daily_performance", scope="BOT", scope_id=BOT, **day)
    assert await one(conn, "wallet_following.daily_performance") == {
        "date": datetime(2025, 1, 2), "trading_mode": "demo", "total_trades": 4, "win_rate": 0.75, "total_pnl": 3,  # noqa: DTZ001
        "avg_pnl": D("0.75"), "best_trade": 2, "worst_trade": -1, "avg_holding_time": timedelta(hours=2),
    }  # fmt: skip
    part(
        await one(conn, "trading_platform.bot_performance"), bot_id=BOT, date=date(2025, 1, 2), win_rate=75, daily_pnl=3
    )


async def test_equity_and_accounts(conn: Any) -> None:
    await people(conn)
    await conn.execute("select ensure_equity_partitions($1, $1)", NOW)
    row = {
        "id": new_id(), "ts": NOW, "scope_id": PORTFOLIO, "user_id": USER, "scope": "PORTFOLIO", "currency": "USDT",
        "equity": D("10000.126"), "cash": 9000, "positions_value": 1000, "unrealized_pnl": 5, "realized_pnl": 7,
        "realized_pnl_today": D("2.5"), "open_positions": 1, "peak_equity": 10001, "drawdown": D("0.874"), "event_seq": 1,
    }  # fmt: skip
    await insert(conn, "equity_snapshots", **row)
    part(await one(conn, "quantsail_v7.equity_snapshots"), equity_usd=D("10000.126"), realized_pnl_today_usd=D("2.5"))
    part(await one(conn, "paper_api.portfolio_snapshots"), nav=D("10000.126"), realized_pnl=7, captured_at=NOW)
    part(
        await one(conn, "apextrade.equity_history"), portfolio_id=PORTFOLIO, equity_value=D("10000.13"), daily_pnl=D("2.5"),
        drawdown=D("0.87"), time=NOW,
    )  # fmt: skip
    part(
        await one(conn, "apextrade.portfolios"), name="main", is_paper=True, initial_balance=10_000, base_currency=None
    )


async def test_the_newest_score_and_bias_stand_beside_an_open_position(conn: Any) -> None:
    exchange = await people(conn)
    wallet = new_id()
    await insert(conn, "wallets", id=wallet, chain="solana", address="9" * 44)
    for series in ("wallet_scores", "market_bias"):
        await conn.execute("select ensure_partitions($1, $2, $3)", series, NOW, LATER)
    for ts, score in ((NOW, 3), (LATER, D("8.25"))):
        await insert(conn, "wallet_scores", wallet_id=wallet, ts=ts, credibility_4h=score)
        await insert(conn, "market_bias", asset="BTC", timeframe="4h", ts=ts, value=D(score) / 10)
    await insert(conn, "positions", **position(exchange, signal_wallet_id=wallet))
    part(
        await one(conn, "wallet_following.active_positions_view"), signal_wallet="9" * 44, wallet_credibility=D("8.3"),
        current_bias=D("0.825"), asset="BTC",
    )  # fmt: skip


# -- what does not fit ------------------------------------------------------------------------------------------------------


def _of(found: list[Misfit], name: str) -> tuple[int, int]:
    return next(((m.lost, m.vanished) for m in found if f"{m.view}.{m.column}" == name), (0, 0))


async def test_what_does_not_fit_is_null_and_counted(conn: Any) -> None:
    assert await misfits(conn) == []
    exchange = await people(conn)
    long_name = "kPEPE1000000000000000000/USDT"
    await insert(conn, "positions", **position(exchange))
    await insert(conn, "orders", **order(exchange, quantity=D("5e18"), price=D("0.000000000004"), symbol=long_name))
    await _tick(conn, bid=D(100_000), ask=D("100000.1"))
    await insert(conn, "wallets", chain="c" * 21, address="a" * 200)

    part(await one(conn, "quantsail_v7.orders"), qty=None, price=D("4e-12").quantize(D("1e-10")), symbol=long_name)
    part(await one(conn, "apextrade.trades"), symbol=None, quantity=None, status="submitted")
    part(await one(conn, "paper_api.market_ticks"), spread_bps=0)
    part(await one(conn, "wallet_following.wallets"), chain=None, address="a" * 200)
    found = await misfits(conn)
    assert _of(found, "quantsail_v7.orders.qty") == (1, 0)
    assert _of(found, "quantsail_v7.orders.price") == (0, 1)
    assert _of(found, "apextrade.trades.symbol") == (1, 0)
    assert _of(found, "wallet_following.orders.asset") == (1, 0)
    assert _of(found, "paper_api.market_ticks.spread_bps") == (0, 1)
    assert _of(found, "wallet_following.wallets.chain") == (1, 0)
    assert _of(found, "wallet_following.wallets.address") == (0, 0)
    assert _of(found, "trading_platform.orders.symbol") == (0, 0)
    # USDT does not fit, but that is no news: it is on the list of exceptions.
    assert _of(found, "apextrade.portfolios.base_currency") == (0, 0)
    assert (
        "apextrade.trades.symbol (character varying(20), from orders.symbol): 1 too large or too long of 1 rows"
        in map(str, found)
    )
    assert len(await misfits(conn, rows=0)) == 0


async def test_a_number_that_is_none_does_not_fit(conn: Any) -> None:
    exchange = await people(conn)
    await insert(conn, "positions", **position(exchange, realized_pnl=D("NaN")))
    assert (await one(conn, "quantsail_v7.trades"))["realized_pnl_usd"] is None
    assert _of(await misfits(conn), "quantsail_v7.trades.realized_pnl_usd") == (1, 0)


FITS: list[tuple[str, Any]] = [
    ("fit_numeric(9999.994, 6, 2)", D("9999.994")),
    ("fit_numeric(9999.995, 6, 2)", None),
    ("fit_numeric(-9999.995, 6, 2)", None),
    ("fit_numeric('NaN', 6, 2)", None),
    ("fit_numeric('Infinity', 6, 2)", None),
    ("fit_numeric(null, 6, 2)", None),
    ("fit_numeric(0.99995, 5, 4)", D("0.99995")),
    ("fit_integer(2147483647.4)", 2147483647),
    ("fit_integer(2147483647.5)", None),
    ("fit_integer(-2147483648)", -2147483648),
    ("fit_integer('NaN')", None),
    ("fit_text('ünïcode', 7)", "ünïcode"),
    ("fit_text('ünïcode', 6)", None),
    ("fit_text('', 0)", ""),
    ("fit_numerics('{}', 3, 1)", []),
    ("fit_numerics(null, 3, 1)", None),
    ("fit_texts('{a,bb}', 1)", ["a", None]),
    ("stable_id('x') = stable_id('x') and stable_id('x') <> stable_id('y') and stable_id('x') > 0", True),
    ("stable_uuid('x') = stable_uuid('x') and stable_uuid('x') <> stable_uuid('y')", True),
]


async def test_what_fits(conn: Any) -> None:
    assert [await conn.fetchval(f"select {call}") for call, _ in FITS] == [expected for _, expected in FITS]


def test_every_view_is_read_from_its_file() -> None:
    assert len(views()) == 63
    assert sum(len(view.columns) for view in views()) == 808
