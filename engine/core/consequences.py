"""Consequences: what an event that the ledger has taken in brings about. A fill places exits, an ended position cancels
what is left of its orders, a stop cancels entries, a new day ends the daily loss lock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.core import events as ev, exits, risk
from engine.core.books import actor_of
from engine.core.context import Context
from engine.core.entries import alert, cancel, close_position, place_exits
from engine.core.fills import after_margin, after_marks, dust
from engine.core.positions import Position, side_of
from engine.core.setup import portfolio_id
from engine.core.types import (
    ACTIVE,
    BLOCKED,
    HALTED,
    LINEAR,
    PAUSED,
    REDUCING,
    ZERO,
    BotStatus,
    InvariantError,
    Origin,
    TradingState,
)

Events = list[ev.Event]

DAILY_LOSS_ACTOR = actor_of("DAILY_LOSS_LOCK")
#: Market orders that a flattening sends for one position before it asks for a person.
FLATTEN_TRIES = 10


# -- fills and positions -----------------------------------------------------------------------------------------------


def _after_execution(ctx: Context, e: ev.OrderFilled) -> Events:
    out = _after_fill(ctx, e)
    for position in ctx.ledger.positions.values():
        if position.kind is LINEAR:
            return out + after_margin(ctx, e.position_id)
    return out


def _after_funding(ctx: Context, e: ev.FundingPaid) -> Events:
    return after_margin(ctx, e.position_id)


def _after_sample(ctx: Context, e: ev.EquitySampled) -> Events:
    return after_marks(ctx, e.portfolio_id)


def _after_dust(ctx: Context, e: ev.DustKept) -> Events:
    return _closed(ctx, ctx.ledger.closed_positions[e.position_id], e.reason)


def _after_fill(ctx: Context, e: ev.OrderFilled) -> Events:
    ledger = ctx.ledger
    open_one = ledger.positions.get(e.position_id)
    position = open_one or ledger.closed_positions.get(e.position_id)
    order = ledger.orders.get(e.order_id) or ledger.closed_orders.get(e.order_id)
    if position is None or order is None:
        raise InvariantError(f"fill {e.trade_id} left no position {e.position_id}")
    if open_one is None:
        return _closed(ctx, position, exits.reason_of(position, order.role))
    if position.quantity < ZERO:
        text = f"{position.symbol} was sold beyond what was held: {position.quantity}"
        return [alert(ctx, "POSITION_NEGATIVE", text, position.symbol, position.bot_id)]
    entry = position.grows(e.side)
    if not entry and (kept := dust(ctx, position, exits.reason_of(position, order.role))):
        return kept
    out: Events = []
    if entry and position.entry_quantity <= e.quantity:
        out.append(_opened(ctx, position, e))
    if ctx.flattening(position.bot_id):
        return out + close_position(ctx, position, exits.FLATTEN)
    if ctx.setup.bars:
        return out
    bot = ctx.setup.by_id.get(position.bot_id)
    series = ctx.market.series.get((position.exchange, position.symbol))
    if entry and bot is not None and series is not None:
        return [*out, moved(ctx, position, exits.initial(position, bot.exits, series.instrument))]
    return out + place_exits(ctx, position)


def _opened(ctx: Context, position: Position, e: ev.OrderFilled) -> ev.PositionOpened:
    return ev.PositionOpened(
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


def _closed(ctx: Context, position: Position, reason: str) -> Events:
    return [
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
            reason=reason,
        )
    ]


def _after_close(ctx: Context, e: ev.PositionClosed) -> Events:
    """What is left of its orders goes, but for one that turns it round: what that has not filled yet opens the other side."""
    out: Events = []
    for rest in ctx.ledger.orders_of(e.position_id):
        if rest.reduce_only or rest.filled_quantity == ZERO or side_of(rest) is e.side:
            out += cancel(ctx, rest, "position closed")
    return out + _stops_done(ctx)


# -- orders that end without a fill ------------------------------------------------------------------------------------


def _after_accept(ctx: Context, e: ev.OrderAccepted) -> Events:
    """An entry that a stop has overtaken goes at once."""
    order = ctx.ledger.orders.get(e.order_id)
    if order is None or not order.adds_risk:
        return []
    book = ctx.ledger.bots.get(order.bot_id)
    active = ctx.ledger.state is ACTIVE and (book is None or book.state is ACTIVE)
    return [] if active else cancel(ctx, order, "stopped")


def _after_end(ctx: Context, e: ev.OrderCanceled | ev.OrderRejected | ev.OrderExpired) -> Events:
    """A protective order is gone: replace it if it was cancelled for that; if the venue refused it, say so and let the
    next candle try again, so that a venue that always refuses cannot make a loop."""
    order = ctx.ledger.order(e.order_id)
    position = ctx.ledger.positions.get(order.position_id) if order else None
    out = _stops_done(ctx) if ctx.ledger.stops else []
    if order is None or position is None:
        return out
    if order.adds_risk:
        return out + (dust(ctx, position, order.role) if order.filled_quantity > ZERO else [])
    if order.origin is Origin.FLATTEN and position.flatten_tries >= FLATTEN_TRIES:
        text = f"{position.symbol}: {FLATTEN_TRIES} orders did not close it; close it by hand at the venue"
        return [*out, alert(ctx, "FLATTEN_GAVE_UP", text, position.symbol, position.bot_id)]
    if ctx.flattening(position.bot_id):
        return out
    if isinstance(e, ev.OrderCanceled):
        return out + place_exits(ctx, position)
    text = f"{order.role} of {position.symbol} is not at the venue: {e.reason}"
    return [*out, alert(ctx, "EXIT_NOT_PLACED", text, position.symbol, position.bot_id)]


# -- stops ---------------------------------------------------------------------------------------------------------------


def _after_state(ctx: Context, e: ev.TradingStateChanged) -> Events:
    ledger = ctx.ledger
    if e.state is ACTIVE:
        out: Events = []
        for position in ledger.open_positions():  # what CANCEL took away comes back
            if not e.bot_id or position.bot_id == e.bot_id:
                out += place_exits(ctx, position)
        return out
    out = []
    flatten = e.policy == "flatten"
    for order in ledger.open_orders():
        if order.bot_id == (e.bot_id or order.bot_id) and order.goes(e.policy) and order.origin is not Origin.FLATTEN:
            out += cancel(ctx, order, e.verb.lower())
    if flatten:
        for position in ledger.open_positions():
            if not e.bot_id or position.bot_id == e.bot_id:
                out += close_position(ctx, position, exits.FLATTEN)
    return out + _stops_done(ctx)


def _stops_done(ctx: Context) -> Events:
    """Say so once the claim of a stop is true. FLATTEN ends in PAUSED (decisions.md 13); HALTED stays HALTED."""
    out: Events = []
    ledger = ctx.ledger
    for bot_id, stop in ledger.stops.items():
        if not stop.done or bot_id in ctx.told:
            continue
        ctx.told |= {bot_id}
        kept = [o for o in ledger.open_orders() if o.bot_id == (bot_id or o.bot_id) and o.id not in stop.orders]
        ended = [(ledger.order(key), outcome) for key, outcome in stop.orders.items()]
        results = [ev.StopResult(o.id, o.symbol, o.role, outcome) for o, outcome in ended if o is not None]
        results += [ev.StopResult(o.id, o.symbol, o.role, "KEPT") for o in kept]
        closed = [(ledger.position(key), outcome) for key, outcome in stop.positions.items()]
        results += [ev.StopResult(p.id, p.symbol, "POSITION", outcome) for p, outcome in closed if p is not None]
        out.append(
            ev.StopCompleted(
                ts=ctx.ts,
                cause=ctx.cause,
                verb=stop.verb,
                actor=stop.actor,
                bot_id=bot_id,
                began_ts=stop.began_ts,
                results=tuple(results),
            )
        )
    return out


def _after_stop(ctx: Context, e: ev.StopCompleted) -> Events:
    ledger = ctx.ledger
    state = ledger.bots[e.bot_id].state if e.bot_id else ledger.state
    if not ctx.flattening(e.bot_id) or state is not REDUCING:
        return []
    return [state_changed(ctx, PAUSED, "FLATTEN", "engine", "flat", bot_id=e.bot_id)]


def _after_bot(ctx: Context, e: ev.BotStatusChanged) -> Events:
    """A bot that stops or fails leaves no entry behind; its positions keep their exits."""
    if e.status not in (BotStatus.STOPPED, BotStatus.ERROR):
        return []
    out: Events = []
    for order in ctx.ledger.open_orders():
        if order.bot_id == e.bot_id and order.adds_risk:
            out += cancel(ctx, order, e.status.lower())
    return out


def _after_day(ctx: Context, e: ev.DayStarted) -> Events:
    """The daily loss lock ends with its day, of the account and of the portfolio's bots; then what the new day's first
    equity says is looked at."""
    ledger = ctx.ledger
    locked = [("", ledger.state, ledger.state_actor)] if e.portfolio_id == ledger.account.portfolio_id else []
    for bot in ctx.setup.bots:
        if bot.portfolio_id == e.portfolio_id:
            book = ledger.bots[bot.id]
            locked.append((bot.id, book.state, book.state_actor))
    freed: Events = [
        state_changed(ctx, ACTIVE, "RESUME", DAILY_LOSS_ACTOR, "a new day", bot_id=scope)
        for scope, state, actor in locked
        if state is REDUCING and actor == DAILY_LOSS_ACTOR
    ]
    return freed + tripped(ctx, risk.trips(ctx.view(ledger.accounts[e.portfolio_id])))


def _after_config(ctx: Context, e: ev.ConfigActivated) -> Events:
    """Portfolios that the config names for the first time get their money; entries of bots that it leaves out go."""
    ledger = ctx.ledger
    out: Events = []
    for portfolio in ctx.setup.account.portfolios:
        key = portfolio_id(ledger.ledger_id, portfolio.name)
        if key not in ledger.accounts:
            out.append(
                ev.PortfolioOpened(
                    ts=ctx.ts,
                    cause=ctx.cause,
                    portfolio_id=key,
                    name=portfolio.name,
                    currency=portfolio.currency,
                    initial_balance=portfolio.initial_balance,
                )
            )
    for order in ledger.open_orders():
        if order.adds_risk and order.bot_id not in ctx.setup.by_id:
            out += cancel(ctx, order, "not in the config")
    return out


# -- words that several decisions share ---------------------------------------------------------------------------------


def moved(ctx: Context, position: Position, plan: exits.Plan) -> ev.ExitsMoved:
    bot = ctx.setup.by_id.get(position.bot_id)
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
        reason=plan.reason,
        wants=exits.count(position, plan, bot.exits if bot else None),
    )


def state_changed(
    ctx: Context,
    state: TradingState,
    verb: str,
    actor: str,
    reason: str,
    policy: str = "keep_with_exits",
    bot_id: str = "",
) -> ev.TradingStateChanged:
    return ev.TradingStateChanged(
        ts=ctx.ts,
        cause=ctx.cause,
        state=state,
        previous=ctx.ledger.bots[bot_id].state if bot_id else ctx.ledger.state,
        verb=verb,
        actor=actor,
        reason=reason,
        policy=policy,
        bot_id=bot_id,
    )


def tripped(ctx: Context, trips: list[risk.Trip]) -> Events:
    """What gates ask for beyond refusing orders."""
    out: Events = []
    for trip in trips:
        halts = trip.state is HALTED
        policy = ctx.setup.account.halt_policy if halts else "keep_with_exits"
        verb = "HALT" if halts else "PAUSE"
        out.append(state_changed(ctx, trip.state, verb, trip.actor, trip.reason, policy, trip.scope))
    return out


def _after_refusal(ctx: Context, e: ev.IntentEvaluated) -> Events:
    """A refusal may ask for more than itself: a throttle takes the bot out, a flood of messages reduces."""
    if e.verdict is not BLOCKED:
        return []
    bot = ctx.setup.by_id.get(e.bot_id)
    view = ctx.view(ctx.ledger.accounts[bot.portfolio_id] if bot is not None else None)
    return tripped(ctx, risk.trips(view, e.gates, e.bot_id))


def _after_watch(ctx: Context, e: ev.OrderInDoubt | ev.HouseChanged) -> Events:
    return tripped(ctx, risk.trips(ctx.view()))


def _after_exits(ctx: Context, e: ev.ExitsMoved) -> Events:
    return place_exits(ctx, ctx.ledger.positions[e.position_id])


#: What an event that the ledger has taken in brings about.
FOLLOWERS: dict[type[ev.Event], Callable[[Context, Any], Events]] = {
    ev.ConfigActivated: _after_config,
    ev.TradingStateChanged: _after_state,
    ev.StopCompleted: _after_stop,
    ev.BotStatusChanged: _after_bot,
    ev.IntentEvaluated: _after_refusal,
    ev.OrderAccepted: _after_accept,
    ev.OrderInDoubt: _after_watch,
    ev.HouseChanged: _after_watch,
    ev.OrderRejected: _after_end,
    ev.OrderCanceled: _after_end,
    ev.OrderExpired: _after_end,
    ev.OrderFilled: _after_execution,
    ev.FundingPaid: _after_funding,
    ev.EquitySampled: _after_sample,
    ev.DustKept: _after_dust,
    ev.PositionClosed: _after_close,
    ev.ExitsMoved: _after_exits,
    ev.DayStarted: _after_day,
}
