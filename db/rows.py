"""Rows of the read tables: pure functions from events and the ledger's entities to columns.

Amounts stay Decimal, times become datetime, ids that are empty become NULL; a row is a dict of column names, which
`db.project` sends as JSON and Postgres casts to the types of the table.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from db.words import reason_of
from engine.core import events as ev
from engine.core.inputs import Cause
from engine.core.ledger import Ledger
from engine.core.orders import Order
from engine.core.positions import Account, Position
from engine.core.types import (
    ZERO,
    InstrumentKind,
    OrderStatus,
    OrderType,
    TradingState,
    Verdict,
    entity_id,
    uuid7,
)

Row = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STRICTNESS = {Verdict.ALLOWED: 0, Verdict.WARNED: 1, Verdict.BLOCKED: 2}
_SAID_AGAINST = frozenset({OrderStatus.REJECTED, OrderStatus.EXPIRED})
_TRIGGERED = frozenset({OrderType.STOP_MARKET, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP})


def at(ts: int) -> datetime:
    """The moment of int microseconds UTC, exactly."""
    return _EPOCH + timedelta(microseconds=ts)


def at_or_none(ts: int | None) -> datetime | None:
    """None also for 0, which says "not yet" in the ledger."""
    return at(ts) if ts else None


def operator_id(ledger: Ledger) -> str:
    """The one user of a ledger that one person operates."""
    return entity_id(ledger.ledger_id, "user", "operator")


def cycle_id(ledger: Ledger, cause: Cause) -> str:
    """One decision: what followed from one input. Its signal, the gates' word and the order share it."""
    return uuid7(cause.ts, ledger.ledger_id, "cycle", *map(str, msgspec.to_builtins(cause)))


def percent(part: Decimal, whole: Decimal) -> Decimal | None:
    """`part` in percent of `whole`; None of nothing, and where it does not fit numeric(18,8)."""
    if whole == ZERO:
        return None
    value = part / whole * 100
    return value.quantize(Decimal("1e-8")) if abs(value) < Decimal(10) ** 10 - 1 else None


def position_mode(hedge: bool) -> str:
    return "HEDGE" if hedge else "ONE_WAY"


def order_row(ledger: Ledger, order: Order, exchange_id: int, seq: int) -> Row:
    """A sent order as the ledger has it; `seq` is the last event about it."""
    said_against = order.status in _SAID_AGAINST or order.in_doubt
    return {
        "id": order.id,
        "user_id": operator_id(ledger),
        "portfolio_id": order.portfolio_id,
        "bot_id": order.bot_id or None,
        "strategy_id": order.strategy_id or None,
        "position_id": order.position_id or None,
        "signal_id": order.signal_id or None,
        "cycle_id": cycle_id(ledger, order.cause),
        "number": order.number,
        "exchange_id": exchange_id,
        "symbol": order.symbol,
        "side": order.side,
        "position_side": order.position_side,
        "order_type": order.order_type,
        "time_in_force": order.time_in_force,
        "origin": order.origin,
        "role": order.role,
        "mode": ledger.mode,
        "status": order.status,
        "in_doubt": order.in_doubt,
        "cancel_requested": order.cancel_requested,
        "reduce_only": order.reduce_only,
        "oco_group": order.oco_group or None,
        "replaces": order.replaces or None,
        "tag": order.tag or None,
        "quantity": order.quantity,
        "price": order.price,
        "stop_price": order.stop_price,
        "trigger_source": order.trigger.upper() if order.order_type in _TRIGGERED else None,
        "activation_price": order.activation_price,
        "callback_rate": order.callback_rate,
        "valid_until": at_or_none(order.valid_until),
        "kind": order.kind,
        "contract_size": order.contract_size,
        "leverage": order.leverage,
        "margin_mode": order.margin_mode if order.kind is InstrumentKind.LINEAR else None,
        "position_mode": position_mode(order.hedge),
        "filled_quantity": order.filled_quantity,
        "avg_fill_price": order.avg_fill_price,
        "filled_value": order.filled_value * order.contract_size,
        "fees": order.fees,
        "realized_pnl": order.pnl,
        "client_order_id": order.client_order_id,
        "exchange_order_id": order.exchange_order_id or None,
        "config_version": order.config_version,
        "error_message": (order.reason or None) if said_against else None,
        "metadata": {"reason": order.reason} if order.reason else None,
        "event_seq": seq,
        "created_at": at(order.submitted_ts),
        "updated_at": at(order.updated_ts),
        "submitted_at": at(order.submitted_ts),
        "filled_at": at_or_none(order.filled_ts),
        "cancelled_at": at_or_none(order.closed_ts) if order.status is OrderStatus.CANCELED else None,
    }


def denied_row(ledger: Ledger, e: ev.OrderDenied, exchange_id: int, seq: int) -> Row:
    """An order that was never sent: only its event knows it, and that says no more than this."""
    return {
        "id": e.order_id,
        "user_id": operator_id(ledger),
        "bot_id": e.bot_id or None,
        "signal_id": e.signal_id or None,
        "cycle_id": cycle_id(ledger, e.cause),
        "exchange_id": exchange_id,
        "symbol": e.symbol,
        "side": e.side,
        "mode": ledger.mode,
        "status": OrderStatus.DENIED,
        "in_doubt": False,
        "cancel_requested": False,
        "reduce_only": False,
        "risk_reason": f"{e.code}: {e.reason}" if e.reason else e.code,
        "quantity": e.quantity,
        "filled_quantity": ZERO,
        "fees": ZERO,
        "config_version": e.config_version,
        "event_seq": seq,
        "created_at": at(e.ts),
        "updated_at": at(e.ts),
    }


def position_row(ledger: Ledger, position: Position, exchange_id: int, seq: int) -> Row:
    """A round trip as the ledger has it; `seq` is the last event about it. Notes and close reason come from events."""
    unrealized = position.unrealized_pnl(position.mark_price)
    spot = position.kind is InstrumentKind.SPOT
    ended = "LIQUIDATED" if position.liquidated else "CLOSED"
    return {
        "id": position.id,
        "user_id": operator_id(ledger),
        "portfolio_id": position.portfolio_id,
        "bot_id": position.bot_id or None,
        "strategy_id": position.strategy_id or None,
        "signal_id": position.signal_id or None,
        "exchange_id": exchange_id,
        "symbol": position.symbol,
        "side": position.side,
        "status": ended if position.closed_ts else "OPEN",
        "mode": ledger.mode,
        "kind": position.kind,
        "contract_size": position.contract_size,
        "position_mode": position_mode(position.hedge),
        "quantity": position.quantity,
        "entry_price": position.entry_price,
        "entry_qty": position.entry_quantity,
        "entry_notional": position.entry_notional,
        "exit_price": position.exit_price,
        "exit_qty": position.exit_quantity,
        "exit_notional": position.exit_notional,
        "entries": position.entries,
        "targets_taken": position.taken,
        "dust": position.dust,
        "mark_price": position.mark_price,
        "liquidation_price": position.liquidation_price,
        "market_value": position.notional(position.mark_price),
        "cost_basis": position.cost,
        "stop_price": position.stop_price,
        "stop_reason": position.stop_reason or None,
        "take_profit_price": position.take_profit_price,
        "trailing_enabled": position.trailing,
        "trailing_offset": _trailing_offset(position),
        "extreme_price": position.extreme,
        "leverage": position.leverage,
        "margin_mode": None if spot else position.margin_mode,
        "margin_used": position.cost if spot else position.margin,
        "maintenance_margin": None if spot else position.maintenance_margin,
        "unrealized_pnl": unrealized,
        "unrealized_pnl_pct": percent(unrealized, position.cost),
        "realized_pnl": position.realized_pnl,
        "realized_pnl_pct": percent(position.realized_pnl, position.exited_cost),
        "fees_paid": position.fees,
        "funding_paid": -position.funding,
        "config_version": position.config_version,
        "event_seq": seq,
        "opened_at": at(position.opened_ts),
        "closed_at": at_or_none(position.closed_ts),
        "updated_at": at(position.updated_ts),
    }


def _trailing_offset(position: Position) -> Decimal | None:
    if not position.trailing or position.stop_price is None:
        return None
    return abs(position.extreme - position.stop_price)


def signal_row(ledger: Ledger, e: ev.SignalGenerated, exchange_id: int, seq: int) -> Row:
    return {
        "id": e.signal_id,
        "user_id": operator_id(ledger),
        "bot_id": e.bot_id or None,
        "strategy_id": e.strategy_id or None,
        "cycle_id": cycle_id(ledger, e.cause),
        "exchange_id": exchange_id,
        "symbol": e.symbol,
        "side": e.side,
        "kind": e.kind,
        "position_side": e.position_side,
        "tag": e.tag or None,
        "price": e.price,
        "reason": reason_of(e.trace, e.kind, e.position_side),
        "confidence": 1,  # a rule is true or not; unknown does not fire
        "config_version": e.config_version,
        "payload": e.trace,
        "event_seq": seq,
        "created_at": at(e.ts),
    }


def decision_row(ledger: Ledger, e: ev.IntentEvaluated, exchange_id: int, seq: int) -> Row:
    """All gates in `details`; `rule` is the first of the strictest, "ALL" when every gate allows."""
    strictest = max(e.gates, key=lambda gate: _STRICTNESS[gate.verdict], default=None)
    against = strictest is not None and strictest.verdict is not Verdict.ALLOWED
    return {
        "id": e.decision_id,
        "user_id": operator_id(ledger),
        "bot_id": e.bot_id or None,
        "order_id": e.order_id or None,
        "signal_id": e.signal_id or None,
        "cycle_id": cycle_id(ledger, e.cause),
        "exchange_id": exchange_id,
        "symbol": e.symbol,
        "side": e.side,
        "action": e.verdict,
        "rule": strictest.gate if strictest is not None and against else "ALL",
        "details": {"gates": [{name: getattr(g, name) for name in g.__struct_fields__} for g in e.gates]},
        "event_seq": seq,
        "created_at": at(e.ts),
    }


def kill_switch_row(event_id: str, e: ev.TradingStateChanged, seq: int) -> Row:
    return {
        "id": event_id,
        "bot_id": e.bot_id or None,
        "enabled": e.state is not TradingState.ACTIVE,
        "verb": e.verb,
        "state": e.state,
        "previous": e.previous,
        "policy": e.policy or None,
        "reason": e.reason or None,
        "actor": e.actor or None,
        "event_seq": seq,
        "created_at": at(e.ts),
    }


def stop_row(event_id: str, e: ev.StopCompleted, seq: int) -> Row:
    return {
        "id": event_id,
        "bot_id": e.bot_id or None,
        "verb": e.verb,
        "actor": e.actor or None,
        "results": [{name: getattr(r, name) for name in r.__struct_fields__} for r in e.results],
        "event_seq": seq,
        "began_at": at(e.began_ts),
        "created_at": at(e.ts),
    }


def funding_row(ledger: Ledger, event_id: str, e: ev.FundingPaid, exchange_id: int, seq: int) -> Row:
    return {
        "id": event_id,
        "user_id": operator_id(ledger),
        "portfolio_id": e.portfolio_id,
        "position_id": e.position_id,
        "bot_id": e.bot_id or None,
        "exchange_id": exchange_id,
        "symbol": e.symbol,
        "rate": e.rate,
        "mark_price": e.mark,
        "amount": e.amount,
        "event_seq": seq,
        "created_at": at(e.ts),
    }


def fill_row(ledger: Ledger, e: ev.OrderFilled, exchange_id: int, seq: int) -> Row:
    return {
        "id": e.fill_id,
        "user_id": operator_id(ledger),
        "order_id": e.order_id,
        "position_id": e.position_id or None,
        "exchange_id": exchange_id,
        "symbol": e.symbol,
        "side": e.side,
        "quantity": e.quantity,
        "price": e.price,
        "fee": e.fee,
        "fee_currency": e.fee_currency or None,
        "fee_value": e.fee_value,
        "liquidity": e.liquidity or None,
        "pnl": e.pnl,
        "status": "SUCCESS",
        "exchange_trade_id": e.trade_id or None,
        "part": e.part,
        "event_seq": seq,
        "executed_at": at(e.executed_ts),
    }


def balance_row(account: Account, ts: int) -> Row:
    """What a portfolio has; `ts` is the time of the last event that moved it."""
    return {
        "id": account.portfolio_id,
        "cash_balance": account.cash,
        "realized_pnl": account.realized_pnl,
        "fees_paid": account.fees,
        "funding_paid": -account.funding,
        "other_assets": account.assets,
        "dust": {asset: {"quantity": kept.quantity, "cost": kept.cost} for asset, kept in account.dust.items()},
        "updated_at": at(ts),
    }


def equity_row(ledger: Ledger, event_id: str, e: ev.EquitySampled, seq: int) -> Row:
    account = ledger.accounts[e.portfolio_id]
    gain = e.equity - account.initial_balance
    return {
        "ts": at(e.ts),
        "scope_id": e.portfolio_id,
        "id": event_id,
        "user_id": operator_id(ledger),
        "scope": "PORTFOLIO",
        "currency": account.currency,
        "equity": e.equity,
        "cash": e.cash,
        "positions_value": e.positions_value,
        "unrealized_pnl": e.unrealized_pnl,
        "realized_pnl": e.realized_pnl,
        "realized_pnl_today": e.day_pnl,
        "daily_pnl_pct": percent(e.day_pnl, e.equity - e.day_pnl),
        "cumulative_pnl": gain,
        "cumulative_pnl_pct": percent(gain, account.initial_balance),
        "peak_equity": e.peak_equity,
        "drawdown": max(e.peak_equity - e.equity, ZERO),
        "drawdown_pct": e.drawdown * 100,
        "open_positions": e.open_positions,
        "meta": {"marks": e.marks},
        "event_seq": seq,
    }
