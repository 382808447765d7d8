"""Consequences: what an event that the ledger has taken in brings about. A fill places exits, an ended position cancels
what is left of its orders, a stop cancels entries, a new day ends the daily loss lock.
"""

from __future__ import annotations

from engine.core import events as ev
from engine.core import exits
from engine.core.context import Context
from engine.core.entries import alert, cancel, close_position, place_exits
from engine.core.positions import Position
from engine.core.types import ZERO, InvariantError, TradingState

Events = list[ev.Event]

DAILY_LOSS_ACTOR = "gate:DAILY_LOSS_LOCK"


def follow(ctx: Context, event: ev.Event) -> Events:
    """What an event that the ledger has taken in brings about."""
    match event:
        case ev.OrderFilled():
            return _after_fill(ctx, event)
        case ev.ExitsMoved():
            return place_exits(ctx, ctx.ledger.positions[event.position_id])
        case ev.OrderCanceled() | ev.OrderRejected() | ev.OrderExpired():
            return _after_end(ctx, event)
        case ev.OrderAccepted():
            order = ctx.ledger.orders.get(event.order_id)
            stopped = ctx.ledger.state is not TradingState.ACTIVE
            return cancel(ctx, order, "stopped") if order and order.adds_risk and stopped else []
        case ev.TradingStateChanged():
            return _after_state(ctx, event)
        case ev.PositionClosed():
            return _after_close(ctx)
        case ev.DayStarted():
            return _after_day(ctx)
    return []


def _after_fill(ctx: Context, e: ev.OrderFilled) -> Events:
    position = ctx.ledger.position(e.position_id)
    if position is None:
        raise InvariantError(f"fill {e.trade_id} left no position {e.position_id}")
    if position.id in ctx.ledger.closed_positions:
        return _closed(ctx, position, e)
    if position.quantity < ZERO:
        return [
            alert(ctx, "POSITION_NEGATIVE", f"{position.symbol} was sold beyond what was held: {position.quantity}")
        ]
    out: Events = []
    if position.entry_quantity == e.quantity and e.side == "BUY":
        out.append(
            ev.PositionOpened(
                ts=ctx.ts,
                cause=ctx.cause,
                position_id=position.id,
                bot_id=position.bot_id,
                exchange=position.exchange,
                symbol=position.symbol,
                side=position.side,
                quantity=e.quantity,
                price=e.price,
            )
        )
    if flattening(ctx):
        return out + close_position(ctx, position, exits.FLATTEN)
    bot = ctx.setup.by_id.get(position.bot_id)
    if e.side == "BUY" and bot is not None:
        instrument = ctx.market.instrument(position.exchange, position.symbol)
        return [*out, moved(ctx, position, exits.initial(position, bot.exits, instrument))]
    return out + place_exits(ctx, position)


def _closed(ctx: Context, position: Position, e: ev.OrderFilled) -> Events:
    order = ctx.ledger.order(e.order_id)
    out: Events = [
        ev.PositionClosed(
            ts=ctx.ts,
            cause=ctx.cause,
            position_id=position.id,
            bot_id=position.bot_id,
            exchange=position.exchange,
            symbol=position.symbol,
            side=position.side,
            entry_price=position.entry_price,
            exit_price=position.exit_price or ZERO,
            quantity=position.entry_quantity,
            realized_pnl=position.realized_pnl - position.fees,
            fees=position.fees,
            reason=order.role if order else "UNKNOWN",
        )
    ]
    for rest in ctx.ledger.orders_of(position.id):
        out += cancel(ctx, rest, "position closed")
    return out


def _after_end(ctx: Context, e: ev.OrderCanceled | ev.OrderRejected | ev.OrderExpired) -> Events:
    """A protective order is gone: replace it if it was cancelled for that; if the venue refused it, say so and let the
    next candle try again, so that a venue that always refuses cannot make a loop."""
    order = ctx.ledger.order(e.order_id)
    position = ctx.ledger.positions.get(order.position_id) if order else None
    if order is None or position is None or order.adds_risk or flattening(ctx):
        return []
    if isinstance(e, ev.OrderCanceled):
        return place_exits(ctx, position)
    return [
        alert(ctx, "EXIT_NOT_PLACED", f"{order.role} of {position.symbol} is not at the venue: {e.reason}", position)
    ]


def _after_state(ctx: Context, e: ev.TradingStateChanged) -> Events:
    if e.state is TradingState.ACTIVE:
        return []
    out: Events = []
    flatten = flattening(ctx)
    for order in ctx.ledger.open_orders():
        if order.adds_risk or (flatten and order.role != exits.FLATTEN):
            out += cancel(ctx, order, e.verb.lower())
    if flatten:
        for position in ctx.ledger.open_positions():
            out += close_position(ctx, position, exits.FLATTEN)
    return out + _after_close(ctx)


def _after_close(ctx: Context) -> Events:
    """FLATTEN ends in PAUSED once the account is flat (decisions.md 13); HALTED stays HALTED."""
    ledger = ctx.ledger
    if not (flattening(ctx) and ledger.state is TradingState.REDUCING) or ledger.positions or any(ledger.orders):
        return []
    return [state_changed(ctx, TradingState.PAUSED, "FLATTEN", "engine", "flat")]


def _after_day(ctx: Context) -> Events:
    """The daily loss lock ends with its day."""
    ledger = ctx.ledger
    if ledger.state is not TradingState.REDUCING or ledger.state_actor != DAILY_LOSS_ACTOR:
        return []
    return [state_changed(ctx, TradingState.ACTIVE, "RESUME", DAILY_LOSS_ACTOR, "a new day")]


# -- words that several decisions share ---------------------------------------------------------------------------------


def moved(ctx: Context, position: Position, plan: exits.Plan) -> ev.ExitsMoved:
    return ev.ExitsMoved(
        ts=ctx.ts,
        cause=ctx.cause,
        position_id=position.id,
        bot_id=position.bot_id,
        symbol=position.symbol,
        stop_price=plan.stop_price,
        take_profit_price=plan.take_profit_price,
        extreme=plan.extreme,
        trailing=plan.trailing,
    )


def flattening(ctx: Context) -> bool:
    return ctx.ledger.halt_policy == "flatten" and ctx.ledger.state in (TradingState.HALTED, TradingState.REDUCING)


def state_changed(
    ctx: Context, state: TradingState, verb: str, actor: str, reason: str, policy: str = "keep_with_exits"
) -> ev.TradingStateChanged:
    return ev.TradingStateChanged(
        ts=ctx.ts,
        cause=ctx.cause,
        state=state,
        previous=ctx.ledger.state,
        verb=verb,
        actor=actor,
        reason=reason,
        policy=policy,
    )
