"""The one dispatcher: an input becomes events. `step` decides, evolves the ledger and lets each event have its consequences.

Pure: no clock, no I/O, no randomness. `decide` answers the input, `follow` answers an event (a fill places exits, a
closed position cancels what is left, a halt cancels entries), until nothing more follows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, cast

from engine.core import bars, events as ev, exits, risk
from engine.core.commands import bot_status, on_command, on_house
from engine.core.consequences import FLATTEN_TRIES, FOLLOWERS, moved, tripped
from engine.core.context import Context, State, begin
from engine.core.entries import alert, cancel, close_position, close_under_way, enter, place_exits
from engine.core.fills import on_fill, on_funding, on_liquidation
from engine.core.fold import HANDLERS, arrive
from engine.core.inputs import (
    MARKET_INPUTS,
    Candle,
    Command,
    FillReport,
    Funding,
    HouseReport,
    Input,
    LiquidationReport,
    OrderReport,
    Tick,
)
from engine.core.ledger import Ledger, drawdown
from engine.core.margin import mark_of
from engine.core.market import Runner, Series
from engine.core.positions import Account, Position
from engine.core.reports import on_report
from engine.core.setup import BotSetup, Setup
from engine.core.strategy import ENTER_LONG, ENTER_SHORT, EXIT_LONG, EXIT_SHORT
from engine.core.text import safe_text, traceback_of
from engine.core.types import (
    ALLOWED,
    LONG,
    MINUTE_US,
    NETTING,
    RUNNING,
    SHORT,
    WARMING_UP,
    ZERO,
    BotStatus,
    InvariantError,
    PositionSide,
    Verdict,
    money,
)

Events = list[ev.Event]

#: Events of one input. Far beyond anything real: a loop in the rules below must end as an error, not as a hang.
EVENTS_MAX = 10_000


def step(state: State, value: Input, setup: Setup) -> Sequence[ev.Event]:
    """Decide on one input and evolve the ledger. Returns the events in order; raises InvariantError, never anything else."""
    kind = type(value)
    answer = _ANSWERS.get(kind)
    if answer is not None:
        ctx = begin(state, setup, value.ts, value.cause)
        return _settle(ctx, answer(ctx, value))
    if kind is Candle:
        return on_candle(state, cast(Candle, value), setup)
    if kind is Tick:
        return on_tick(state, cast(Tick, value), setup)
    if not isinstance(value, MARKET_INPUTS):
        raise InvariantError(f"no decision for input {kind.__name__}")
    state.market.hear(value)
    if kind is not Funding:
        return ()
    ctx = begin(state, setup, value.ts, value.cause)
    return _settle(ctx, on_funding(ctx, cast(Funding, value)))


def apply(ctx: Context, events: Events) -> Sequence[ev.Event]:
    """Evolve events that the shell decided (genesis, activation), with their consequences."""
    return _settle(ctx, events)


def warm(state: State, value: Input) -> None:
    """Take in an input that was decided before a restart: prices and indicators only."""
    if isinstance(value, Candle):
        state.market.observe(value)
    elif isinstance(value, MARKET_INPUTS):
        state.market.hear(value)


def _settle(ctx: Context, events: Events) -> Events:
    """Evolve events and what they bring about, breadth first; returns the same list, grown."""
    if not events:
        return events
    ledger, state = ctx.ledger, ctx.state
    state.quiet_until, state.settled = 0, False
    steps = STEPS_BY_BARS if ctx.setup.bars else STEPS
    for event in events:  # grows while it is walked
        fold, follow = steps[type(event)]
        fold(ledger, event)
        if follow is not None and (more := follow(ctx, event)):
            events += more
            if len(events) > EVENTS_MAX:
                raise InvariantError(f"one input made more than {EVENTS_MAX} events, the last a {type(event).__name__}")
    arrive(ledger, ctx.ts, ctx.cause)
    return events


Follow = Callable[[Context, Any], Events]


def _by_bars(follow: Follow | None) -> Follow:
    """What an event brings about, and the next step of a bar that is being worked (convention `bar`)."""
    if follow is None:
        return bars.follow
    return lambda ctx, event: follow(ctx, event) + bars.follow(ctx, event)


#: What each event changes in the ledger, and what it brings about.
STEPS = {kind: (fold, FOLLOWERS.get(kind)) for kind, fold in HANDLERS.items()}
STEPS_BY_BARS = {kind: (fold, _by_bars(follow)) for kind, (fold, follow) in STEPS.items()}


# -- candles ---------------------------------------------------------------------------------------------------------


def on_candle(state: State, candle: Candle, setup: Setup) -> Sequence[ev.Event]:
    """What a closed bar brings about: positions on its symbol first, then each bot's signal, one bot after the other, each
    on the ledger that the one before has left: limits count what is on its way (I8)."""
    series = state.market.series[(candle.exchange, candle.symbol)]
    calls = series.observe(candle)
    if not calls and state.settled:
        return ()
    if setup.bars:
        return _on_bar(begin(state, setup, candle.ts, candle.cause), series)
    restless = _restless(state, setup, candle)
    if not restless and not calls:
        return ()
    ctx = begin(state, setup, candle.ts, candle.cause)
    out: Events = []
    for position in restless:
        out += _settle(ctx, _manage(ctx, position, series, candle))
    if calls:
        for runner in series.runners:
            if not runner.announced or runner.error is not None:
                out += _settle(ctx, _on_life(ctx, runner, series))
            if runner.signal & _EXITS:
                out += _settle(ctx, _on_exit_signal(ctx, runner, series))
            if runner.signal & _ENTERS:
                out += _settle(ctx, _on_entry_signal(ctx, runner, series))
    return out


def _on_bar(ctx: Context, series: Series) -> Sequence[ev.Event]:
    """Convention `bar`: each bot works through the bar by the rules of bars.py."""
    out: Events = []
    for runner in series.runners:
        out += _settle(ctx, _on_life(ctx, runner, series))
        out += _settle(ctx, bars.on_bar(ctx, runner, series))
    return out


def _restless(state: State, setup: Setup, candle: Candle) -> list[Position]:
    """The positions, oldest first, that a bar may change the exits of; most of the time all rest where they are."""
    ledger = state.ledger
    if not ledger.positions:
        state.settled = True
        return []
    found = [p for p in ledger.open_positions() if _may_change(p, ledger, setup, candle)]
    if not found and not setup.moves and ledger.calm:
        state.settled = all(p.resting == p.wants for p in ledger.positions.values())
    return found


def _may_change(position: Position, ledger: Ledger, setup: Setup, candle: Candle) -> bool:
    if position.symbol != candle.symbol or position.exchange != candle.exchange:
        return False
    if position.resting != position.wants or not ledger.calm:
        return True
    moves = setup.moves.get(position.bot_id)
    if moves is None:
        return False
    if moves == "trailing":  # which a new extreme alone can move
        long = position.side is LONG
        return candle.high > position.extreme if long else candle.low < position.extreme
    return True


def _manage(ctx: Context, position: Position, series: Series, candle: Candle) -> Events:
    """Go on flattening; move the plan; leave by time; watch exits that do not rest; put back those that are missing."""
    if ctx.flattening(position.bot_id):
        return close_position(ctx, position, exits.FLATTEN) if position.flatten_tries < FLATTEN_TRIES else []
    bot = ctx.setup.by_id.get(position.bot_id)
    if bot is not None and bot.exits_move:
        minutes = bot.exits.time_stop_min
        if minutes is not None and candle.ts - position.opened_ts >= minutes * MINUTE_US:
            return close_position(ctx, position, exits.TIME_STOP)
        plan = exits.replan(position, bot.exits, series.instrument, candle, _atr(bot, series))
        if plan is not None:
            return [moved(ctx, position, plan)]
    if not ctx.exits_rest(position.bot_id):
        role = exits.reached(position, candle)
        return close_position(ctx, position, role) if role else []
    return place_exits(ctx, position)


def _atr(bot: BotSetup, series: Series) -> Decimal | None:
    trailing = bot.exits.trailing
    value = series.atr(trailing.atr_period) if trailing is not None and trailing.atr_multiple is not None else None
    return None if value is None else money(value)


def _on_life(ctx: Context, runner: Runner, series: Series) -> Events:
    """A bot has become warm, or its strategy has raised."""
    bot_id = runner.bot.id
    status = ctx.ledger.bots[bot_id].status
    if runner.error is not None:
        error, runner.error = runner.error, None
        if status is BotStatus.ERROR:
            return []
        reason = f"{type(error).__name__}: {safe_text(str(error), 200)}"
        return [
            bot_status(ctx, bot_id, BotStatus.ERROR, reason, traceback_of(error)),
            alert(ctx, "BOT_ERROR", f"bot {runner.bot.name}: {reason}", series.instrument.symbol, bot_id),
        ]
    if not runner.warm:
        return []
    runner.announced = True
    if status is not WARMING_UP:
        return []
    return [bot_status(ctx, bot_id, RUNNING, "warm")]


def _on_exit_signal(ctx: Context, runner: Runner, series: Series) -> Events:
    if not runner.bot.exits.use_exit_signal:
        return []
    out: Events = []
    for side, flag in ((LONG, EXIT_LONG), (SHORT, EXIT_SHORT)):
        if runner.signal & flag:
            position = _position(ctx, runner, series, side)
            if position is not None:
                out += close_position(ctx, position, exits.SIGNAL_EXIT, runner)
    return out


def _on_entry_signal(ctx: Context, runner: Runner, series: Series) -> Events:
    """One direction, and not its end at the same time; into no position, one that may take more, or a reversal."""
    signal = runner.signal
    side = _ENTRIES.get(signal & ~_EXIT_OF.get(signal & _ENTERS, 0))
    if side is None or ctx.ledger.bots[runner.bot.id].status is not RUNNING:
        return []
    own = _position(ctx, runner, series, side)
    if own is not None:
        more = own.entries < runner.bot.entry.max_per_position
        return enter(ctx, runner, series, side, own) if more else []
    other = SHORT if side is LONG else LONG
    against = _position(ctx, runner, series, other)
    netting = runner.bot.margin.position_mode is NETTING
    if against is not None and netting and not close_under_way(ctx, against):
        return []
    return enter(ctx, runner, series, side, None)


def _position(ctx: Context, runner: Runner, series: Series, side: PositionSide) -> Position | None:
    if not ctx.ledger.positions:
        return None
    return ctx.ledger.open_position(runner.bot.id, series.instrument.exchange, series.instrument.symbol, side)


_EXITS, _ENTERS = EXIT_LONG | EXIT_SHORT, ENTER_LONG | ENTER_SHORT
#: An entry alone, or beside the end of the other side, which makes it a reversal; anything else is contradictory.
_EXIT_OF = {ENTER_LONG: EXIT_SHORT, ENTER_SHORT: EXIT_LONG}
_ENTRIES = {ENTER_LONG: LONG, ENTER_SHORT: SHORT}


# -- ticks -----------------------------------------------------------------------------------------------------------


def on_tick(state: State, tick: Tick, setup: Setup) -> Sequence[ev.Event]:
    """Time has passed: entries that are too old go, a day begins, falls of equity stop the trading, samples are taken."""
    if tick.ts < state.quiet_until:
        return ()
    ledger, ts = state.ledger, tick.ts
    due = ledger.sampled_ts + setup.sample_us
    if ledger.day_end < due:
        due = ledger.day_end
    if ledger.next_expiry and ledger.next_expiry < due:
        due = ledger.next_expiry
    if ts < due and risk.calm(ledger, state.market, setup):
        if not ledger.positions or not risk.watches(setup):
            state.quiet_until = due
        return ()
    ctx = begin(state, setup, tick.ts, tick.cause)
    return _settle(ctx, _on_tick(ctx))


def _on_tick(ctx: Context) -> Events:
    ledger, out = ctx.ledger, Events()
    if ledger.next_expiry and ctx.ts >= ledger.next_expiry:
        for order in ledger.open_orders():
            if order.valid_until is not None and ctx.ts >= order.valid_until:
                out += cancel(ctx, order, "timed out")
    new_day = ctx.ts >= ledger.day_end
    sample = ctx.ts >= ledger.sampled_ts + ctx.setup.sample_us
    for account in ledger.accounts.values():
        view = ctx.view(account)
        equity = view.equity()
        if new_day:
            end = ctx.setup.day_end(ctx.ts)
            out.append(
                ev.DayStarted(
                    ts=ctx.ts,
                    cause=ctx.cause,
                    portfolio_id=account.portfolio_id,
                    equity=equity,
                    day_end=end,
                    bots=view.bots_pnl(),
                )
            )
        else:
            out += tripped(ctx, risk.trips(view))
        if sample:
            out.append(_sample(ctx, view, account, equity))
    if sample:
        out += _gate_changes(ctx, ctx.view())
    return out


def _sample(ctx: Context, view: risk.View, account: Account, equity: Decimal) -> ev.EquitySampled:
    marks: dict[str, Decimal] = {}
    unrealized = ZERO
    count = 0
    for p in ctx.ledger.open_positions():
        if p.portfolio_id == account.portfolio_id:
            mark = mark_of(ctx.market, p)
            marks[f"{p.exchange} {p.symbol}"] = mark
            unrealized += p.unrealized_pnl(mark)
            count += 1
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
        open_positions=count,
        marks=marks,
        bots=view.bots_pnl(),
    )


def _gate_changes(ctx: Context, view: risk.View) -> Events:
    out: Events = []
    for gate in risk.board(view):
        previous = ctx.ledger.gates.get(f"{gate.gate} account", ALLOWED)
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


#: What is decided on the venue's word and on a command.
_ANSWERS: dict[type, Callable[[Context, Any], Events]] = {
    OrderReport: on_report,
    FillReport: on_fill,
    LiquidationReport: on_liquidation,
    HouseReport: on_house,
    Command: on_command,
}
