"""Intents: from a signal, a plan or a stop verb to a sized, gated, numbered order. Every order passes every gate."""

from __future__ import annotations

from decimal import Decimal

from engine.core import events as ev, exits, risk
from engine.core.context import Context
from engine.core.market import Runner, Series
from engine.core.orders import Order
from engine.core.positions import Position, sellable
from engine.core.sizing import entry_quantity
from engine.core.strategy import explanation
from engine.core.types import (
    BLOCKED,
    BUY,
    GTC,
    HEDGE,
    IOC,
    LIMIT,
    LINEAR,
    LONG,
    MARKET,
    MINUTE_US,
    ONE,
    SELL,
    ZERO,
    Instrument,
    OrderType,
    Origin,
    PositionSide,
    TimeInForce,
)

Events = list[ev.Event]

_NOT_OFFERED, _TOO_SMALL = "the feed does not offer it any more", "what is left of it is less than any order may be"


def enter(
    ctx: Context,
    runner: Runner,
    series: Series,
    side: PositionSide,
    position: Position | None,
    limit: Decimal | None = None,
) -> Events:
    """A fired entry rule: signal, size, gates, and an order or the reason why not. `position` is the one it adds to.

    Without a `limit` the strategy or the config says where the order rests, if it does.
    """
    bot, instrument = runner.bot, series.instrument
    mark = series.price
    if mark is None:
        return []
    buys = side is LONG
    signal = signalled(ctx, runner, series, side, "ENTRY", mark)
    if limit is None:
        limit = _entry_limit(ctx, runner, instrument, mark, buys)
    slip = ctx.setup.entry_slip
    estimate = limit if limit is not None else mark * (1 + slip if buys else 1 - slip)
    view = ctx.view(ctx.ledger.accounts[bot.portfolio_id])
    size = entry_quantity(view, bot, instrument, estimate, side)
    number = ctx.number()
    if size.code:
        return [signal, denied(ctx, signal, ctx.id(f"order({number},)"), ZERO, size.code, size.reason)]
    entry, linear = bot.entry, instrument.kind is LINEAR
    resting = limit is not None
    order = ev.OrderSubmitted(
        ts=ctx.ts,
        cause=ctx.cause,
        order_id=ctx.id(f"order({number},)"),
        number=number,
        signal_id=signal.signal_id,
        bot_id=bot.id,
        strategy_id=bot.strategy_id,
        portfolio_id=bot.portfolio_id,
        position_id=position.id if position else ctx.id(f"position({number},)"),
        exchange=instrument.exchange,
        symbol=instrument.symbol,
        side=BUY if buys else SELL,
        position_side=side,
        order_type=LIMIT if resting else MARKET,
        time_in_force=TimeInForce(entry.time_in_force) if resting else IOC,
        origin=Origin.ENTRY,
        role="ENTRY",
        quantity=size.quantity,
        price=limit,
        stop_price=None,
        reduce_only=False,
        valid_until=ctx.ts + entry.valid_min * MINUTE_US if resting else None,
        config_version=ctx.setup.version,
        trigger=ctx.setup.trigger,
        kind=instrument.kind,
        contract_size=instrument.contract_size,
        leverage=bot.margin.leverage if linear else ONE,
        margin_mode=bot.margin.mode,
        hedge=linear and bot.margin.position_mode is HEDGE,
        tag=signal.tag,
    )
    return [signal, *gated(ctx, order, estimate, signal, view)]


def _entry_limit(ctx: Context, runner: Runner, instrument: Instrument, mark: Decimal, buys: bool) -> Decimal | None:
    """The limit that the strategy proposes, or the config's distance from the last price; None for a market order."""
    proposed = runner.strategy.proposal.entry_price
    if proposed is None:
        entry = runner.bot.entry
        if entry.order_type == "MARKET":
            return None
        proposed = mark * (10_000 - entry.offset_bps if buys else 10_000 + entry.offset_bps) / 10_000
    return instrument.price_down(proposed) if buys else instrument.price_up(proposed)


def place_exits(ctx: Context, position: Position) -> Events:
    """Cancel protective orders that no longer fit the plan, place those that are missing."""
    if position.quantity <= ZERO or ctx.setup.bars:
        return []
    series = ctx.market.series.get((position.exchange, position.symbol))
    if series is None:
        return _stuck(ctx, position, _NOT_OFFERED)
    bot, instrument = ctx.setup.by_id.get(position.bot_id), series.instrument
    wants: list[exits.Wanted] = []
    out: Events = []
    if ctx.exits_rest(position.bot_id):
        quantity = sellable(position, instrument)
        if quantity == ZERO:
            out = _stuck(ctx, position, _TOO_SMALL)
        else:
            wants = exits.wanted(position, bot.exits if bot else None, instrument, quantity)
    stale, place = exits.missing(ctx.ledger, position, wants)
    for wrong in stale:
        out += cancel(ctx, wrong, "replaced")
    # A stop and its target: the venue may end one by the other; more than two are ours to see to.
    group = position.id if len(wants) == 2 else ""
    view = ctx.view(ctx.ledger.accounts[position.portfolio_id]) if place else None  # nothing is folded between them
    for want in place:
        order = leaving(
            ctx, position, instrument, want.role, want.order_type, want.quantity, want.price, want.stop_price, group
        )
        out += gated(ctx, order, want.price or want.stop_price, view=view)
    return out


def close_position(ctx: Context, position: Position, role: str, runner: Runner | None = None) -> Events:
    """A market order for all of it, unless one is under way. The protective orders rest on until it has filled."""
    if position.quantity <= ZERO or close_under_way(ctx, position):
        return []
    series = ctx.market.series.get((position.exchange, position.symbol))
    if series is None:
        return _stuck(ctx, position, _NOT_OFFERED)
    quantity = sellable(position, series.instrument)
    if quantity == ZERO:
        return _stuck(ctx, position, _TOO_SMALL)
    mark = series.price
    signal = None
    if runner is not None:
        signal = signalled(ctx, runner, series, position.side, "EXIT", mark or position.mark_price)
    order = leaving(ctx, position, series.instrument, role, MARKET, quantity, signal=signal)
    out = gated(ctx, order, mark)
    return out if signal is None else [signal, *out]


def _stuck(ctx: Context, position: Position, why: str) -> Events:
    text = f"no order can leave {position.symbol}: {why}; close it by hand at the venue"
    return [alert(ctx, "EXIT_NOT_PLACED", text, position.symbol, position.bot_id)]


def close_under_way(ctx: Context, position: Position) -> bool:
    """A market order that closes it has been sent."""
    return any(
        o.position_id == position.id and o.reduce_only and o.order_type is MARKET for o in ctx.ledger.orders.values()
    )


def cancel(ctx: Context, order: Order, reason: str) -> Events:
    return [] if order.cancel_requested or not order.is_open else [taken_back(ctx, order, reason)]


def taken_back(ctx: Context, order: Order, reason: str) -> ev.CancelRequested:
    return ev.CancelRequested(
        ts=ctx.ts,
        cause=ctx.cause,
        order_id=order.id,
        number=ctx.number(),
        bot_id=order.bot_id,
        symbol=order.symbol,
        reason=reason,
    )


def leaving(
    ctx: Context,
    position: Position,
    instrument: Instrument,
    role: str,
    order_type: OrderType,
    quantity: Decimal,
    price: Decimal | None = None,
    stop_price: Decimal | None = None,
    oco_group: str = "",
    signal: ev.SignalGenerated | None = None,
) -> ev.OrderSubmitted:
    """A reduce-only order of a position, before its gates."""
    number = ctx.number()
    return ev.OrderSubmitted(
        ts=ctx.ts,
        cause=ctx.cause,
        order_id=ctx.id(f"order({number},)"),
        number=number,
        signal_id=position.signal_id if signal is None else signal.signal_id,
        bot_id=position.bot_id,
        strategy_id=position.strategy_id,
        portfolio_id=position.portfolio_id,
        position_id=position.id,
        exchange=instrument.exchange,
        symbol=instrument.symbol,
        side=SELL if position.side is LONG else BUY,
        position_side=position.side,
        order_type=order_type,
        time_in_force=IOC if order_type is MARKET else GTC,
        origin=Origin.FLATTEN if role == exits.FLATTEN else Origin.EXIT,
        role=role,
        quantity=quantity,
        price=price,
        stop_price=stop_price,
        reduce_only=True,
        valid_until=None,
        config_version=ctx.setup.version,
        oco_group=oco_group,
        trigger=ctx.setup.trigger,
        kind=instrument.kind,
        contract_size=instrument.contract_size,
        leverage=position.leverage,
        margin_mode=position.margin_mode,
        hedge=position.hedge,
        tag="" if signal is None else signal.tag,
    )


def again(ctx: Context, order: Order, instrument: Instrument, quantity: Decimal, price: Decimal) -> ev.OrderSubmitted:
    """The order once more, amended: cancel and new. Its age goes on."""
    number = ctx.number()
    return ev.OrderSubmitted(
        ts=ctx.ts,
        cause=ctx.cause,
        order_id=ctx.id(f"order({number},)"),
        number=number,
        signal_id=order.signal_id,
        bot_id=order.bot_id,
        strategy_id=order.strategy_id,
        portfolio_id=order.portfolio_id,
        position_id=order.position_id,
        exchange=instrument.exchange,
        symbol=instrument.symbol,
        side=order.side,
        position_side=order.position_side,
        order_type=order.order_type,
        time_in_force=order.time_in_force,
        origin=order.origin,
        role=order.role,
        quantity=quantity,
        price=price,
        stop_price=order.stop_price,
        reduce_only=order.reduce_only,
        valid_until=None,
        config_version=ctx.setup.version,
        oco_group=order.oco_group,
        trigger=ctx.setup.trigger,
        kind=instrument.kind,
        contract_size=instrument.contract_size,
        leverage=order.leverage,
        margin_mode=order.margin_mode,
        hedge=order.hedge,
        tag=order.tag,
        replaces=order.id,
        placed_ts=order.placed_ts,
    )


def gated(
    ctx: Context,
    order: ev.OrderSubmitted,
    estimate: Decimal | None,
    signal: ev.SignalGenerated | None = None,
    view: risk.View | None = None,
) -> Events:
    """Every gate's word on an order, then the order, or why there is none. An exit that is blocked is an alarm.

    `estimate` is what an order without a limit will cost.
    """
    gates, verdict = risk.evaluate(view or ctx.view(ctx.ledger.accounts[order.portfolio_id]), order, estimate)
    evaluated = ev.IntentEvaluated(
        ts=ctx.ts,
        cause=ctx.cause,
        order_id=order.order_id,
        signal_id=order.signal_id,
        bot_id=order.bot_id,
        exchange=order.exchange,
        symbol=order.symbol,
        side=order.side,
        verdict=verdict,
        gates=gates,
    )
    if verdict is not BLOCKED:
        return [evaluated, order]
    blocked = next(g for g in gates if g.verdict is BLOCKED)
    why = f"{blocked.gate}: {blocked.actual} against {blocked.limit}"
    if signal is not None and not order.reduce_only:
        return [evaluated, denied(ctx, signal, order.order_id, order.quantity, blocked.code, why)]
    text = f"{order.role} of {order.symbol} was blocked by {why}"
    return [evaluated, alert(ctx, "EXIT_BLOCKED", text, order.symbol, order.bot_id)]


#: Names of sides in ids.
_SIDE = {side: repr(side) for side in PositionSide}
#: The rule behind a signal.
_RULE = {(kind, side): f"{kind}_{side}".lower() for kind in ("ENTRY", "EXIT") for side in PositionSide}


def signalled(
    ctx: Context, runner: Runner, series: Series, side: PositionSide, kind: str, price: Decimal
) -> ev.SignalGenerated:
    bot, instrument = runner.bot, series.instrument
    buys = (side is LONG) == (kind == "ENTRY")
    return ev.SignalGenerated(
        ts=ctx.ts,
        cause=ctx.cause,
        signal_id=ctx.id(f"signal('{bot.id}', '{kind}', {_SIDE[side]})"),
        bot_id=bot.id,
        strategy_id=bot.strategy_id,
        exchange=instrument.exchange,
        symbol=instrument.symbol,
        side=BUY if buys else SELL,
        kind=kind,
        price=price,
        config_version=ctx.setup.version,
        trace=explanation(runner.strategy, _RULE[kind, side]),
        position_side=side,
        tag=runner.strategy.proposal.tag,
    )


def denied(
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


def alert(ctx: Context, code: str, text: str, symbol: str = "", bot_id: str = "") -> ev.AlertTriggered:
    """Something a person should know now; of a symbol and a bot, where it is about one."""
    return ev.AlertTriggered(ts=ctx.ts, cause=ctx.cause, code=code, text=text, symbol=symbol, bot_id=bot_id)
