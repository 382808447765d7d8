"""Events that a trading day could have, for the scripted engine."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from engine.core import events as ev
from engine.core.events import GateResult, Recorded
from engine.core.inputs import Cause
from engine.core.types import (
    SECOND_US,
    OrderType,
    Origin,
    PositionSide,
    Side,
    TimeInForce,
    TradingState,
    Verdict,
    uuid7,
)

#: 2026-03-14 14:03:22 UTC
NOW = 1_773_497_002_000_000
D = Decimal


def cause(ts: int = NOW) -> Cause:
    return Cause(ts, 0, "binance", "BTC/USDT", 1, "candle", 60)


def recorded(seq: int, event: Any) -> Recorded:
    return Recorded(
        seq=seq, id=uuid7(event.ts, "event", str(seq)), event=event, prev_hash=b"\x01" * 32, hash=b"\x02" * 32
    )


def story(count: int = 40) -> list[Recorded]:
    """`count` events that a trading day could have, the last at NOW, seq from 1."""
    return [recorded(seq, _event(seq, NOW - (count - seq) * 11 * SECOND_US)) for seq in range(1, count + 1)]


def _event(seq: int, ts: int) -> ev.Event:
    at: dict[str, Any] = {"ts": ts, "cause": cause(ts)}
    market: dict[str, Any] = {"exchange": "binance", "symbol": "BTC/USDT", "bot_id": "b1"}
    order_id = uuid7(ts, "order", str(seq // 8))
    match seq % 8:
        case 0:
            return ev.TradingStateChanged(
                state=TradingState.PAUSED,
                previous=TradingState.ACTIVE,
                verb="PAUSE",
                actor="ada",
                reason="lunch",
                policy="keep_with_exits",
                **at,
            )
        case 1:
            return ev.SignalGenerated(
                signal_id="s", strategy_id="t", side=Side.BUY, kind="ENTRY", price=D("96120.50"), config_version=7,
                trace={}, **market, **at,
            )  # fmt: skip
        case 2:
            blocked = GateResult("MAX_GROSS_EXPOSURE", "EXPOSURE_GROSS", Verdict.BLOCKED, "60", "63.2", "-3.2")
            return ev.IntentEvaluated(
                order_id=order_id, signal_id="s", side=Side.BUY, verdict=Verdict.BLOCKED,
                gates=(blocked,), **market, **at,
            )  # fmt: skip
        case 3:
            return ev.OrderSubmitted(
                order_id=order_id, number=seq, signal_id="s", strategy_id="t", portfolio_id="p", position_id="q",
                side=Side.BUY, position_side=PositionSide.LONG, order_type=OrderType.LIMIT, time_in_force=TimeInForce.GTC,
                origin=Origin.ENTRY, role="ENTRY", quantity=D("0.021"), price=D("96120.50"), stop_price=None,
                reduce_only=False, valid_until=None, config_version=7, **market, **at,
            )  # fmt: skip
        case 4:
            return ev.OrderAccepted(order_id=order_id, bot_id="b1", symbol="BTC/USDT", exchange_order_id="x1", **at)
        case 5:
            return ev.OrderFilled(
                trade_id="t1", order_id=order_id, position_id="q", side=Side.BUY,
                quantity=D("0.021"), price=D("96120.50"), fee=D("2.02"), fee_currency="USDT", liquidity="TAKER",
                pnl=D(0), executed_ts=ts, **market, **at,
            )  # fmt: skip
        case 6:
            return ev.PositionClosed(
                position_id="q", side=PositionSide.LONG, entry_price=D("96120.50"), exit_price=D("96811.20"),
                quantity=D("0.021"), realized_pnl=D("10.46"), fees=D("4.04"), reason="TAKE_PROFIT", **market, **at,
            )  # fmt: skip
        case _:
            return ev.GateChanged(
                gate="DAILY_LOSS_LOCK", scope="account", verdict=Verdict.WARNED, previous=Verdict.ALLOWED,
                limit="3.0", actual="2.6", **at,
            )  # fmt: skip
