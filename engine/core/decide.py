"""The one dispatcher: an input becomes events. `step` decides, evolves the ledger and lets each event have its consequences.

Pure: no clock, no I/O, no randomness. `decide` answers the input, `follow` answers an event (a fill places exits, a
closed position cancels what is left, a halt cancels entries), until nothing more follows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from engine.core import events as ev
from engine.core import exits, orders, risk
from engine.core.commands import on_command
from engine.core.consequences import DAILY_LOSS_ACTOR, flattening, follow, moved, state_changed
from engine.core.context import Context, State
from engine.core.entries import alert, close_position, enter, place_exits
from engine.core.inputs import MARKET_INPUTS, Candle, Command, FillReport, Input, OrderReport, Tick, VenueReport
from engine.core.ledger import drawdown, evolve
from engine.core.orders import Order
from engine.core.positions import Position, realized_by
from engine.core.setup import Setup
from engine.core.strategy import ENTER_LONG, EXIT_LONG
from engine.core.types import DAY_US, ZERO, BotStatus, InvariantError, OrderStatus, TradingState, Verdict, money

Events = list[ev.Event]

#: Events of one input. Far beyond anything real: a loop in the rules below must end as an error, not as a hang.
EVENTS_MAX = 10_000

DRAWDOWN_ACTOR = "gate:MAX_DRAWDOWN"


def step(state: State, value: Input, setup: Setup) -> tuple[ev.Event, ...]:
    """Decide on one input and evolve the ledger. Returns the events in order; raises InvariantError, never anything else."""
    if isinstance(value, MARKET_INPUTS):
        state.market.hear(value)
        return ()
    ctx = Context(state, setup, value.ts, value.cause)
    if isinstance(value, Candle):
        # One bot after the other, each on the ledger that the one before has left: limits count what is on its way (I8).
        return tuple(event for events in _on_candle(ctx, value) if events for event in _settle(ctx, deque(events)))
    events = _decide(ctx, value)
    return _settle(ctx, deque(events)) if events else ()


def apply(ctx: Context, events: Events) -> tuple[ev.Event, ...]:
    """Evolve events that the shell decided (genesis, activation), with their consequences."""
    return _settle(ctx, deque(events))


def warm(state: State, value: Input) -> None:
    """Take in an input that was decided before a restart: prices and indicators only."""
    if isinstance(value, Candle):
        state.market.observe(value)
    elif isinstance(value, MARKET_INPUTS):
        state.market.hear(value)


def _settle(ctx: Context, pending: deque[ev.Event]) -> tuple[ev.Event, ...]:
    done: Events = []
    while pending:
        event = pending.popleft()
        evolve(ctx.ledger, event)
        done.append(event)
        pending.extend(follow(ctx, event))
        if len(done) > EVENTS_MAX:
            raise InvariantError(f"one input made more than {EVENTS_MAX} events, the last a {type(event).__name__}")
    return tuple(done)


def _decide(ctx: Context, value: Tick | VenueReport | Command) -> Events:
    match value:
        case Tick():
            return _on_tick(ctx, value)
        case FillReport():
            return _on_fill(ctx, value)
        case OrderReport():
            return _on_report(ctx, value)
        case Command():
            return on_command(ctx, value)
    raise InvariantError(f"no decision for input {type(value).__name__}")


# -- candles ---------------------------------------------------------------------------------------------------------


def _on_candle(ctx: Context, candle: Candle) -> Iterator[Events]:
    """What each bot on the symbol makes of a closed bar, bot by bot."""
    market, ledger = ctx.market, ctx.ledger
    series = market.observe(candle)
    for runner in series.runners:
        bot = runner.bot
        if runner.warm and ledger.bots[bot.id].status is BotStatus.WARMING_UP:
            running = BotStatus.RUNNING
            yield [ev.BotStatusChanged(ts=ctx.ts, cause=ctx.cause, bot_id=bot.id, status=running, reason="warm")]
        position = ledger.open_position(bot.id, candle.exchange, candle.symbol) if ledger.positions else None
        if position is not None:
            yield _manage(ctx, position, candle)
            if runner.signal & EXIT_LONG:
                yield close_position(ctx, position, exits.SIGNAL_EXIT, runner)
        elif runner.signal & ENTER_LONG and not runner.signal & EXIT_LONG:
            yield enter(ctx, runner, candle)


def _manage(ctx: Context, position: Position, candle: Candle) -> Events:
    """Trail the stop, put back exits that are missing, go on flattening."""
    if flattening(ctx):
        return close_position(ctx, position, exits.FLATTEN)
    bot = ctx.setup.by_id.get(position.bot_id)
    instrument = ctx.market.instrument(candle.exchange, candle.symbol)
    plan = exits.trailed(position, bot.exits, instrument, money(candle.high)) if bot else None
    if plan is None:
        return place_exits(ctx, position)
    return [moved(ctx, position, plan)]


# -- ticks -----------------------------------------------------------------------------------------------------------


def _on_tick(ctx: Context, tick: Tick) -> Events:
    account = ctx.ledger.account
    out: Events = []
    view = ctx.view()
    equity = view.equity()
    if tick.ts - tick.ts % DAY_US != ctx.ledger.day:
        out.append(ev.DayStarted(ts=ctx.ts, cause=ctx.cause, portfolio_id=account.portfolio_id, equity=equity))
    if ctx.ledger.state is TradingState.ACTIVE:
        out += _monitors(ctx, view, equity)
    if tick.ts - account.sampled_ts >= ctx.setup.sample_us:
        out.append(_sample(ctx, view, equity))
        out += _gate_changes(ctx, view)
    return out


def _sample(ctx: Context, view: risk.View, equity: Decimal) -> ev.EquitySampled:
    account = ctx.ledger.account
    marks: dict[str, Decimal] = {}
    unrealized = ZERO
    for p in ctx.ledger.open_positions():
        mark = view.mark(p.exchange, p.symbol) or p.mark_price
        marks[f"{p.exchange} {p.symbol}"] = mark
        unrealized += p.unrealized_pnl(mark)
    peak = max(account.peak_equity, equity)
    return ev.EquitySampled(
        ts=ctx.ts,
        cause=ctx.cause,
        portfolio_id=account.portfolio_id,
        equity=equity,
        cash=account.cash,
        positions_value=equity - account.cash,
        unrealized_pnl=unrealized,
        realized_pnl=account.realized_pnl,
        peak_equity=peak,
        drawdown=drawdown(equity, peak),
        day_pnl=equity - account.day_start_equity,
        open_positions=len(ctx.ledger.positions),
        marks=marks,
    )


def _monitors(ctx: Context, view: risk.View, equity: Decimal) -> Events:
    """G13 as a watch, not only as a gate: a fall stops the trading whether or not anyone wants to trade."""
    account, setup = ctx.ledger.account, ctx.setup
    if equity < account.peak_equity * setup.drawdown_floor:
        policy = setup.account.halt_policy
        why = _beyond(risk.max_drawdown(view))
        return [state_changed(ctx, TradingState.HALTED, "HALT", DRAWDOWN_ACTOR, why, policy)]
    if equity < account.day_start_equity * setup.daily_loss_floor:
        return [state_changed(ctx, TradingState.REDUCING, "PAUSE", DAILY_LOSS_ACTOR, _beyond(risk.daily_loss(view)))]
    return []


def _beyond(gate: ev.GateResult) -> str:
    return f"{gate.gate} {gate.actual} % beyond {gate.limit} %"


def _gate_changes(ctx: Context, view: risk.View) -> Events:
    out: Events = []
    for gate in risk.board(view):
        previous = ctx.ledger.gates.get(f"{gate.gate} account", Verdict.ALLOWED)
        if gate.verdict != previous:
            out.append(
                ev.GateChanged(
                    ts=ctx.ts,
                    cause=ctx.cause,
                    gate=gate.gate,
                    scope="account",
                    verdict=gate.verdict,
                    previous=Verdict(previous),
                    limit=gate.limit,
                    actual=gate.actual,
                )
            )
    return out


# -- the venue's word -------------------------------------------------------------------------------------------------


def _on_fill(ctx: Context, fill: FillReport) -> Events:
    order = ctx.ledger.order(fill.order_id)
    if order is None:
        return [alert(ctx, "ORDER_UNKNOWN", f"fill {fill.trade_id} of an order that this ledger does not know")]
    if fill.trade_id in order.trade_ids:
        return []
    position = _taker_of(ctx, order)
    return [
        ev.OrderFilled(
            ts=ctx.ts,
            cause=ctx.cause,
            fill_id=ctx.id("fill", fill.trade_id),
            trade_id=fill.trade_id,
            order_id=order.id,
            position_id=position.id if position else order.position_id,
            bot_id=order.bot_id,
            exchange=order.exchange,
            symbol=order.symbol,
            side=order.side,
            quantity=fill.quantity,
            price=fill.price,
            fee=fill.fee,
            fee_currency=fill.fee_currency,
            liquidity=fill.liquidity,
            pnl=realized_by(position, order.side, fill.quantity, fill.price),
            executed_ts=fill.executed_ts,
        )
    ]


def _taker_of(ctx: Context, order: Order) -> Position | None:
    """The position that a fill goes to: its own; for a late fill of one that has ended, the open one of the same bot and
    symbol, because there is at most one of them (decisions.md 10) and a true fill is never refused (I7)."""
    own = ctx.ledger.positions.get(order.position_id)
    return (
        own
        or ctx.ledger.open_position(order.bot_id, order.exchange, order.symbol)
        or ctx.ledger.position(order.position_id)
    )


def _on_report(ctx: Context, report: OrderReport) -> Events:
    order = ctx.ledger.order(report.order_id)
    if order is None:
        return [alert(ctx, "ORDER_UNKNOWN", f"{report.status} of an order that this ledger does not know")]
    base: dict[str, Any] = {"ts": ctx.ts, "cause": ctx.cause, "order_id": order.id, "bot_id": order.bot_id}
    base["symbol"] = order.symbol
    if report.in_doubt:
        return [ev.OrderInDoubt(**base, reason=report.reason)] if order.is_open and not order.in_doubt else []
    if not orders.may(order, report.status):
        return []
    match report.status:
        case OrderStatus.ACCEPTED:
            out: Events = [ev.OrderAccepted(**base, exchange_order_id=report.exchange_order_id)]
            if order.status is OrderStatus.REJECTED:  # given up on, and alive: adopt it, say so, take it back
                out.append(alert(ctx, "ORDER_LATE", f"order {order.client_order_id} lives after all; it is cancelled"))
                out.append(ev.CancelRequested(**base, number=ctx.number(), reason="late"))
            return out
        case OrderStatus.REJECTED:
            return [ev.OrderRejected(**base, reason=report.reason)]
        case OrderStatus.CANCELED:
            return [ev.OrderCanceled(**base, reason=report.reason)]
        case OrderStatus.EXPIRED:
            return [ev.OrderExpired(**base, reason=report.reason)]
    raise InvariantError(f"a venue reported {report.status} of order {order.id}")
