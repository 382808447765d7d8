"""Backtests: asked for, under way, done. A run ends once: COMPLETED with its figures, or FAILED with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from db.connect import transaction
from db.records import RecordRefused, as_json, insert, moment, one_of, require, within

_PROGRESS = """
update qs.backtests set progress_pct = greatest(progress_pct, $2) where id = $1::text::uuid and status = 'RUNNING'
"""
_FINISH = """
update qs.backtests b set status = 'COMPLETED', progress_pct = 100, completed_at = clock_timestamp(), {changes}
from jsonb_populate_record(null::qs.backtests, $2::text::jsonb) r
where b.id = $1::text::uuid and b.status = 'RUNNING' returning b.strategy_id::text
"""
#: What a list of strategies shows of the last backtest, so that it reads one table.
_SUMMARY = """
update qs.strategies set backtest_summary = $2::text::jsonb where id = $1::text::uuid
"""
_END = """
update qs.backtests set status = $2, completed_at = clock_timestamp(), error_message = $3
where id = $1::text::uuid and status in ('PENDING', 'RUNNING')
"""
_TRADES = """
insert into qs.backtest_trades (backtest_id, {columns}) select $1::text::uuid, {columns}
from jsonb_populate_recordset(null::qs.backtest_trades, $2::text::jsonb) on conflict (backtest_id, trade_number) do nothing
"""
_SHOWN = (
    "final_equity",
    "total_return_pct",
    "sharpe_ratio",
    "max_drawdown_pct",
    "win_rate",
    "profit_factor",
    "total_trades",
)


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Results. Percentages in percent, `win_rate` 0 to 1, money in the backtest's currency; None where it has no meaning.

    `equity_curve` is [[int microseconds UTC, equity], ...], `monthly_returns` {"2025-01": percent}, `drawdown_periods`
    a list of {"from", "to", "pct"}.
    """

    final_equity: Decimal
    total_return_pct: Decimal
    total_trades: int
    winning_trades: int
    losing_trades: int
    annualized_return_pct: Decimal | None = None
    sharpe_ratio: Decimal | None = None
    sortino_ratio: Decimal | None = None
    calmar_ratio: Decimal | None = None
    max_drawdown_pct: Decimal | None = None
    max_drawdown_duration: timedelta | None = None
    win_rate: Decimal | None = None
    profit_factor: Decimal | None = None
    avg_trade_pct: Decimal | None = None
    avg_win: Decimal | None = None
    avg_loss: Decimal | None = None
    avg_win_pct: Decimal | None = None
    avg_loss_pct: Decimal | None = None
    largest_win: Decimal | None = None
    largest_loss: Decimal | None = None
    avg_trade_duration: timedelta | None = None
    results: Sequence[Any] | None = None
    equity_curve: Sequence[Any] | None = None
    monthly_returns: Mapping[str, Decimal] | None = None
    drawdown_periods: Sequence[Any] | None = None
    metrics: Mapping[str, Any] | None = None


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """A round trip of a backtest. Times int microseconds UTC; without an exit it was open when the test ended."""

    number: int
    symbol: str
    side: str
    quantity: Decimal
    entry_price: Decimal
    entry_ts: int
    exit_price: Decimal | None = None
    exit_ts: int | None = None
    commission: Decimal = Decimal(0)
    slippage: Decimal = Decimal(0)
    gross_pnl: Decimal | None = None
    net_pnl: Decimal | None = None
    pnl_pct: Decimal | None = None
    entry_signal: str | None = None
    exit_signal: str | None = None
    market_conditions: Mapping[str, Any] | None = None


async def start(
    conn: Any,
    *,
    user_id: str,
    start_date: date,
    end_date: date,
    initial_capital: Decimal,
    strategy: Mapping[str, Any],
    strategy_id: str | None = None,
    bot_id: str | None = None,
    symbol: str | None = None,
    timeframe: str | None = None,
    currency: str = "USDT",
    commission_pct: Decimal = Decimal(0),
    slippage_pct: Decimal = Decimal(0),
    started_ts: int,
) -> str:
    """Note a run that begins now; its id. `strategy` holds rules and settings as they are; dates are whole days, UTC.

    Raises RecordRefused for a range that ends before it began, no capital, or a negative slippage.
    """
    require(end_date > start_date, f"the range ends on {end_date}, not after it begins on {start_date}")
    require(initial_capital.is_finite() and initial_capital > 0, f"the capital {initial_capital} must be above 0")
    require(slippage_pct >= 0, f"slippage_pct {slippage_pct} is below 0")
    row = {
        "user_id": user_id,
        "strategy_id": strategy_id,
        "bot_id": bot_id,
        "symbol": symbol,
        "timeframe": timeframe,
        "start_date": start_date,
        "end_date": end_date,
        "initial_capital": initial_capital,
        "currency": currency,
        "commission_pct": commission_pct,
        "slippage_pct": slippage_pct,
        "strategy_snapshot": strategy,
        "status": "RUNNING",
        "started_at": moment("started_ts", started_ts),
    }
    return str(await insert(conn, "backtests", row))


async def progress(conn: Any, backtest_id: str, pct: int) -> bool:
    """How far it is, 0 to 100; never goes back. False when it is not running any more: a reason to stop it."""
    within("progress", pct, 0, 100)
    status: str = await conn.execute(_PROGRESS, backtest_id, pct)
    return status == "UPDATE 1"


async def finish(conn: Any, backtest_id: str, figures: Figures) -> None:
    """End a run with its figures, and show them on its strategy. One transaction. Raises RecordRefused if it does not run."""
    within("win_rate", figures.win_rate, 0, 1)
    counted = figures.winning_trades + figures.losing_trades
    require(counted <= figures.total_trades, f"{counted} trades won or lost, but only {figures.total_trades} in total")
    values = {name: value for name in figures.__struct_fields__ if (value := getattr(figures, name)) is not None}
    changes = ", ".join(f"{name} = r.{name}" for name in values)
    async with transaction(conn):
        row = await conn.fetchrow(_FINISH.replace("{changes}", changes), backtest_id, as_json(values))
        if row is None:
            raise RecordRefused(f"backtest {backtest_id} is not running: nothing to finish")
        if row[0] is not None:
            shown = {"backtest_id": backtest_id} | {name: values[name] for name in _SHOWN if name in values}
            await conn.execute(_SUMMARY, row[0], as_json(shown))


async def fail(conn: Any, backtest_id: str, reason: str, *, status: str = "FAILED") -> bool:
    """End a run without figures, FAILED or CANCELED; False when it had ended."""
    one_of("status", status, ("FAILED", "CANCELED"))
    require(bool(reason.strip()), "a run that fails needs a reason")
    done: str = await conn.execute(_END, backtest_id, status, " ".join(reason.split()))
    return done == "UPDATE 1"


async def add_trades(conn: Any, backtest_id: str, trades: Sequence[Trade]) -> int:
    """Add round trips; how many are new. A number that is there already is left alone, so a repeated call is none."""
    if not trades:
        return 0
    rows = [_trade_row(trade) for trade in trades]
    sql = _TRADES.replace("{columns}", ", ".join(rows[0]))
    status: str = await conn.execute(sql, backtest_id, as_json(rows))
    return int(status.split()[-1])


def _trade_row(trade: Trade) -> dict[str, Any]:
    one_of("side", trade.side, ("BUY", "SELL"))
    require(trade.number > 0, f"trade number {trade.number}: they count from 1")
    require(trade.quantity > 0 and trade.entry_price > 0, f"trade {trade.number}: quantity and price must be above 0")
    require(trade.exit_price is None or trade.exit_price > 0, f"trade {trade.number}: the exit price must be above 0")
    both = (trade.exit_ts is None) == (trade.exit_price is None)
    require(both, f"trade {trade.number}: an exit has a time and a price")
    forward = trade.exit_ts is None or trade.exit_ts >= trade.entry_ts
    require(forward, f"trade {trade.number}: its exit is before its entry")
    ends = {"entry_at": moment("entry_ts", trade.entry_ts), "exit_at": None}
    if trade.exit_ts is not None:
        ends["exit_at"] = moment("exit_ts", trade.exit_ts)
    apart = ("number", "entry_ts", "exit_ts")
    plain = {name: getattr(trade, name) for name in trade.__struct_fields__ if name not in apart}
    return {"trade_number": trade.number, **plain, "is_open": trade.exit_ts is None, **ends}
