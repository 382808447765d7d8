"""Intents: from a signal, a plan or a stop verb to a sized, gated, numbered order. Every order passes every gate."""

from __future__ import annotations

from decimal import Decimal

from engine.core import events as ev
from engine.core import exits, risk
from engine.core.context import Context
from engine.core.inputs import Candle
from engine.core.market import Runner
from engine.core.orders import Order
from engine.core.positions import Position
from engine.core.sizing import entry_quantity
from engine.core.types import ZERO, BotStatus, OrderType, Origin, PositionSide, Side, TimeInForce, Verdict, money

Events = list[ev.Event]


def enter(ctx: Context, runner: Runner, candle: Candle) -> Events:
    """A fired entry rule: signal, size, gates, and an order or the reason why not."""
    bot = runner.bot
    if ctx.ledger.bots[bot.id].status in (BotStatus.STOPPED, BotStatus.ERROR):
        return []
    instrument = ctx.market.instrument(candle.exchange, candle.symbol)
    mark = money(candle.close)
    price = mark * (1 + ctx.setup.costs.slippage_bps / 10_000)
    signal = _signal(ctx, runner, candle.exchange, candle.symbol, Side.BUY, "ENTRY", mark)
    view = ctx.view()
    quantity, sized_by = entry_quantity(view, bot, instrument, price)
    number = ctx.number()
    order_id = ctx.id("order", number)
    if quantity == ZERO:
        return [signal, _denied(ctx, signal, order_id, quantity, "SIZE_BELOW_MINIMUM", sized_by)]
    intent = risk.Intent(
        bot_id=bot.id,
        exchange=candle.exchange,
        symbol=candle.symbol,
        side=Side.BUY,
        order_type=OrderType.MARKET,
        origin=Origin.ENTRY,
        quantity=quantity,
        price=price,
    )
    gates = risk.evaluate(view, intent)
    evaluated = _evaluated(ctx, intent, order_id, signal.signal_id, gates)
    if evaluated.verdict is Verdict.BLOCKED:
        blocked = next(g for g in gates if g.verdict is Verdict.BLOCKED)
        reason = f"{blocked.gate}: {blocked.actual} against {blocked.limit}"
        return [signal, evaluated, _denied(ctx, signal, order_id, quantity, blocked.code, reason)]
    return [
        signal,
        evaluated,
        ev.OrderSubmitted(
            ts=ctx.ts,
            cause=ctx.cause,
            order_id=order_id,
            number=number,
            signal_id=signal.signal_id,
            bot_id=bot.id,
            strategy_id=bot.strategy_id,
            portfolio_id=ctx.ledger.account.portfolio_id,
            position_id=ctx.id("position", number),
            exchange=candle.exchange,
            symbol=candle.symbol,
            side=Side.BUY,
            position_side=PositionSide.LONG,
            order_type=OrderType.MARKET,
            time_in_force=TimeInForce.IOC,
            origin=Origin.ENTRY,
            role="ENTRY",
            quantity=quantity,
            price=None,
            stop_price=None,
            reduce_only=False,
            valid_until=None,
            config_version=ctx.setup.version,
        ),
    ]


def place_exits(ctx: Context, position: Position) -> Events:
    """Cancel protective orders that no longer fit the plan, place those that are missing."""
    if position.quantity <= ZERO:
        return []
    stale, place = exits.missing(ctx.ledger, position)
    out: Events = []
    for order in stale:
        out += cancel(ctx, order, "replaced")
    for want in place:
        out += _leave(
            ctx, position, want.role, want.order_type, want.quantity, price=want.price, stop_price=want.stop_price
        )
    return out


def close_position(ctx: Context, position: Position, role: str, runner: Runner | None = None) -> Events:
    """A market order for all of it, unless one is under way. The protective orders rest on until it has filled."""
    closing = [o for o in ctx.ledger.orders_of(position.id) if o.role in (exits.SIGNAL_EXIT, exits.FLATTEN)]
    if closing or position.quantity <= ZERO:
        return []
    out: Events = []
    signal_id = position.signal_id
    if runner is not None:
        mark = ctx.market.mark(position.exchange, position.symbol) or position.mark_price
        signal = _signal(ctx, runner, position.exchange, position.symbol, Side.SELL, "EXIT", mark)
        out.append(signal)
        signal_id = signal.signal_id
    return out + _leave(ctx, position, role, OrderType.MARKET, position.quantity, signal_id=signal_id)


def cancel(ctx: Context, order: Order, reason: str) -> Events:
    if order.cancel_requested or not order.is_open:
        return []
    return [
        ev.CancelRequested(
            ts=ctx.ts,
            cause=ctx.cause,
            order_id=order.id,
            number=ctx.number(),
            bot_id=order.bot_id,
            symbol=order.symbol,
            reason=reason,
        )
    ]


def _leave(
    ctx: Context,
    position: Position,
    role: str,
    order_type: OrderType,
    quantity: Decimal,
    *,
    price: Decimal | None = None,
    stop_price: Decimal | None = None,
    signal_id: str = "",
) -> Events:
    """A reduce-only order, gated like any other."""
    number = ctx.number()
    order_id = ctx.id("order", number)
    intent = risk.Intent(
        bot_id=position.bot_id,
        exchange=position.exchange,
        symbol=position.symbol,
        side=Side.SELL,
        order_type=order_type,
        origin=Origin.FLATTEN if role == exits.FLATTEN else Origin.EXIT,
        quantity=quantity,
        price=price or stop_price or ctx.market.mark(position.exchange, position.symbol),
        stop_price=stop_price,
        reduce_only=True,
    )
    gates = risk.evaluate(ctx.view(), intent)
    evaluated = _evaluated(ctx, intent, order_id, signal_id or position.signal_id, gates)
    if evaluated.verdict is Verdict.BLOCKED:
        blocked = next(g for g in gates if g.verdict is Verdict.BLOCKED)
        why = f"{blocked.gate}: {blocked.actual} against {blocked.limit}"
        return [evaluated, alert(ctx, "EXIT_BLOCKED", f"{role} of {position.symbol} was blocked by {why}", position)]
    return [
        evaluated,
        ev.OrderSubmitted(
            ts=ctx.ts,
            cause=ctx.cause,
            order_id=order_id,
            number=number,
            signal_id=signal_id or position.signal_id,
            bot_id=position.bot_id,
            strategy_id=position.strategy_id,
            portfolio_id=position.portfolio_id,
            position_id=position.id,
            exchange=position.exchange,
            symbol=position.symbol,
            side=Side.SELL,
            position_side=position.side,
            order_type=order_type,
            time_in_force=TimeInForce.IOC if order_type is OrderType.MARKET else TimeInForce.GTC,
            origin=intent.origin,
            role=role,
            quantity=quantity,
            price=price,
            stop_price=stop_price,
            reduce_only=True,
            valid_until=None,
            config_version=ctx.setup.version,
        ),
    ]


def _signal(
    ctx: Context, runner: Runner, exchange: str, symbol: str, side: Side, kind: str, price: Decimal
) -> ev.SignalGenerated:
    bot = runner.bot
    return ev.SignalGenerated(
        ts=ctx.ts,
        cause=ctx.cause,
        signal_id=ctx.id("signal", bot.id, kind),
        bot_id=bot.id,
        strategy_id=bot.strategy_id,
        exchange=exchange,
        symbol=symbol,
        side=side,
        kind=kind,
        price=price,
        config_version=ctx.setup.version,
        trace=runner.strategy.explain(),
    )


def _evaluated(
    ctx: Context, intent: risk.Intent, order_id: str, signal_id: str, gates: tuple[ev.GateResult, ...]
) -> ev.IntentEvaluated:
    return ev.IntentEvaluated(
        ts=ctx.ts,
        cause=ctx.cause,
        decision_id=ctx.id("decision", order_id),
        order_id=order_id,
        signal_id=signal_id,
        bot_id=intent.bot_id,
        exchange=intent.exchange,
        symbol=intent.symbol,
        side=intent.side,
        verdict=risk.verdict_of(gates),
        gates=gates,
    )


def _denied(
    ctx: Context, signal: ev.SignalGenerated, order_id: str, quantity: Decimal, code: str, reason: str
) -> ev.OrderDenied:
    return ev.OrderDenied(
        ts=ctx.ts,
        cause=ctx.cause,
        order_id=order_id,
        signal_id=signal.signal_id,
        bot_id=signal.bot_id,
        exchange=signal.exchange,
        symbol=signal.symbol,
        side=signal.side,
        quantity=quantity,
        code=code,
        reason=reason,
        config_version=ctx.setup.version,
    )


def alert(ctx: Context, code: str, text: str, position: Position | None = None) -> ev.AlertTriggered:
    """Something a person should know now; of a position, where it is about one."""
    return ev.AlertTriggered(
        ts=ctx.ts,
        cause=ctx.cause,
        code=code,
        text=text,
        symbol=position.symbol if position else "",
        bot_id=position.bot_id if position else "",
    )
