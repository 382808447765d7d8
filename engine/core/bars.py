"""Convention `bar` (docs/fills.md): what one closed bar makes of a bot on a symbol.

The bar is worked in steps, as if it were lived through: time out or re-price what rests; enter; with a position, change
its size, move the stop, leave; after a close with the opposite signal standing, enter once more. A step that sends or
cancels something ends with the event that says so, and `follow` goes on when the venue's answer has become an event.
What the strategy says is of the bar before (`LaggedRunner`). At most one order of a bot and symbol rests at a time.
"""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal

import msgspec

from engine.core import bar_exits, entries, events as ev, exits
from engine.core.bar_exits import Bar, Held, Stop
from engine.core.context import Context
from engine.core.market import Runner, Series
from engine.core.orders import Order
from engine.core.positions import Position
from engine.core.strategy import ENTER_LONG, ENTER_SHORT, EXIT_LONG, EXIT_SHORT
from engine.core.types import (
    BUY,
    LIMIT,
    LONG,
    MINUTE_US,
    QUANTUM,
    RUNNING,
    SELL,
    SHORT,
    ZERO,
    Origin,
    PositionSide,
    round_to,
)

Events = list[ev.Event]

#: Roles of orders beside those of `bar_exits`.
ENTRY, ADD, REDUCE = "ENTRY", "ADD", "REDUCE"
#: Reasons of a cancel after which the bar goes on; so are the roles of what is to replace the order.
TIMED_OUT, REPRICED = "timed out", "re-priced"

#: What divisions leave, as a share: so near to all of a position is all of it.
_NOISE = Decimal("1e-12")
#: Origins of the orders that are worked here; a flattening or a liquidation goes its own way.
_WORKED = (Origin.ENTRY, Origin.EXIT)


def on_bar(ctx: Context, runner: Runner, series: Series) -> Events:
    """The first step: what rests from earlier bars."""
    if not (runner.signal or ctx.ledger.positions or ctx.ledger.orders):
        return []
    return _Steps(ctx, runner, series).begin()


def follow(ctx: Context, event: ev.Event) -> Events:
    """The next step, once an order of this bot has been sent, filled, cancelled, or has closed its position."""
    match event:
        case ev.OrderSubmitted() | ev.OrderFilled() | ev.OrderCanceled():
            order = ctx.ledger.order(event.order_id)
            steps = _steps_of(ctx, event.bot_id, order.exchange, order.symbol) if order else None
            if order is None or steps is None or order.origin not in _WORKED:
                return []
            if isinstance(event, ev.OrderSubmitted):
                return steps.sent(order)
            return steps.filled(order) if isinstance(event, ev.OrderFilled) else steps.canceled(order, event.reason)
        case ev.PositionClosed():
            closed = ctx.ledger.position(event.position_id)
            steps = _steps_of(ctx, event.bot_id, event.exchange, event.symbol)
            return steps.closed(closed) if steps and closed else []
    return []


def _steps_of(ctx: Context, bot_id: str, exchange: str, symbol: str) -> _Steps | None:
    series = ctx.market.series[(exchange, symbol)]
    for runner in series.runners:
        if runner.bot.id == bot_id:
            return _Steps(ctx, runner, series)
    return None


def _sign(side: PositionSide) -> int:
    return 1 if side is LONG else -1


class _Steps:
    """The steps of one bot on one symbol in the bar last seen."""

    __slots__ = ("bar", "bot", "ctx", "order", "position", "proposal", "runner", "series", "signal", "stop")

    def __init__(self, ctx: Context, runner: Runner, series: Series) -> None:
        exchange, symbol = series.instrument.exchange, series.instrument.symbol
        self.ctx = ctx
        self.runner = runner
        self.bot = runner.bot
        self.signal = runner.signal
        self.proposal = runner.strategy.proposal
        self.series = series
        self.bar = Bar.of(series.tail[-1])
        self.position = ctx.ledger.open_position(self.bot.id, exchange, symbol)
        self.order = self._resting(exchange, symbol)
        p = self.position
        self.stop = Stop(p.stop_price, p.trailing, p.stop_reason or bar_exits.INITIAL) if p else Stop(None, False, "")

    def _resting(self, exchange: str, symbol: str) -> Order | None:
        for o in self.ctx.ledger.orders.values():
            ours = o.bot_id == self.bot.id and o.symbol == symbol and o.exchange == exchange
            if ours and o.origin in _WORKED and not o.cancel_requested:
                return o
        return None

    # -- what the venue's answers lead to ---------------------------------------------------------------------------------

    def begin(self) -> Events:
        order, position = self.order, self.position
        if position is not None and self.ctx.flattening(self.bot.id):
            return entries.close_position(self.ctx, position, exits.FLATTEN)
        if order is None:
            return self._manage() if position else self._enter()
        entry = order.origin is Origin.ENTRY
        patience_min = self.bot.entry.valid_min if entry else self.bot.exits.unfilled_exit_min
        if self.bar.ts - order.submitted_ts >= patience_min * MINUTE_US:
            return entries.cancel(self.ctx, order, TIMED_OUT)
        if not entry:
            return self._manage()
        if self.proposal.entry_reprice not in (None, order.price):
            return entries.cancel(self.ctx, order, REPRICED)
        if self.bar.fills(order.price):
            return []  # the venue tries what rests once this step is done
        return self._manage() if position else []

    def sent(self, order: Order) -> Events:
        """An order that this bar does not fill: go on without waiting for it."""
        if self.bar.fills(order.price) or self.position is None:
            return []
        if order.role == ADD and order.replaces:
            return self._manage()
        return self._leave() if order.role in (ADD, REDUCE) and not order.replaces else []

    def filled(self, order: Order) -> Events:
        position = self.position
        if position is None:
            return []
        of_this_bar = order.submitted_ts == self.ctx.ts and not order.replaces
        if order.origin is Origin.EXIT:
            return self._leave() if of_this_bar else []
        held = self._held(position)
        if position.entry_quantity == order.filled_quantity:
            moved: Stop | None = bar_exits.initial_stop(held)
        else:
            moved = bar_exits.tightened(held, self.stop, held.entry, self.stop.kind)
        out = self._move(position, moved)
        return out + (self._leave() if order.role == ADD and of_this_bar else self._manage())

    def canceled(self, order: Order, reason: str) -> Events:
        position = self.position
        if reason == TIMED_OUT:
            return self._manage() if position else self._enter()
        if reason == REPRICED:
            return self._reprice(order)
        if position is None:
            return []
        if reason in (ADD, REDUCE):
            return self._adjust(position) or []
        price = dict(self._candidates(position)).get(reason)  # None for a cancel that somebody else asked for
        return [] if price is None else self._exit(position, reason, position.quantity, price)

    def closed(self, position: Position) -> Events:
        """Reversal, once, and only of a position that the bar found open or entering."""
        direction = self._direction()
        if self.order is not None or direction is None or position.placed_ts == self.ctx.ts:
            return []
        return self._enter() if direction is not position.side else []

    # -- the steps --------------------------------------------------------------------------------------------------------

    def _direction(self) -> PositionSide | None:
        """Where the signals point; contradicting ones point nowhere."""
        s = self.signal
        if s & ENTER_LONG and not s & (EXIT_LONG | ENTER_SHORT):
            return LONG
        return SHORT if s & ENTER_SHORT and not s & (EXIT_SHORT | ENTER_LONG) else None

    def _manage(self) -> Events:
        assert self.position is not None
        adjusting = self._adjust(self.position)
        return self._leave() if adjusting is None else adjusting

    def _adjust(self, position: Position) -> Events | None:
        """Add to or take from the position as the strategy proposes; None when there is nothing to do."""
        stake = self.proposal.stake
        if not stake:
            return None
        held = self._held(position)
        role, resting = (ADD if stake > ZERO else REDUCE), self.order
        if stake > ZERO:
            price = bar_exits.entry_price(held.sign, self.bar, self.proposal.entry_price)
            quantity = self._lots(stake * held.leverage / price)
        else:
            price = bar_exits.exit_price(held.sign, self.bar, self.proposal.exit_price)
            quantity = self._lots(-stake * held.leverage / held.entry)
            if abs(position.quantity - quantity) <= position.quantity * _NOISE:
                quantity = position.quantity
            if quantity > position.quantity:
                return None
        if resting is not None:
            return None if self._is(resting, role == ADD, price, quantity) else entries.cancel(self.ctx, resting, role)
        if role == ADD:
            return self._add(position, quantity, price)
        return self._exit(position, REDUCE, quantity, price)

    def _leave(self) -> Events:
        position = self.position
        assert position is not None
        held = self._held(position)
        out = self._move(position, bar_exits.trailed(held, self.stop, self.bar))
        resting = self.order
        for role, price in self._candidates(position):
            if resting is None:
                return out + self._exit(position, role, position.quantity, price)
            if not self._is(resting, False, price, position.quantity):
                return out + entries.cancel(self.ctx, resting, role)
        if resting is None or resting.origin is not Origin.EXIT or resting.submitted_ts == self.ctx.ts:
            return out
        repriced = self.proposal.exit_reprice not in (None, resting.price)
        return out + entries.cancel(self.ctx, resting, REPRICED) if repriced else out

    # -- small words ------------------------------------------------------------------------------------------------------

    def _held(self, position: Position) -> Held:
        return Held.of(position, self.bar, self.bot.exits)

    def _candidates(self, position: Position) -> list[tuple[str, Decimal]]:
        enter, leave = (ENTER_LONG, EXIT_LONG) if position.side is LONG else (ENTER_SHORT, EXIT_SHORT)
        signalled = bool(self.signal & leave and not self.signal & enter and self.bot.exits.use_exit_signal)
        held = self._held(position)
        return list(bar_exits.candidates(held, self.stop, self.bar, signalled, self.proposal.exit_price))

    @staticmethod
    def _is(order: Order, entry: bool, price: Decimal, quantity: Decimal) -> bool:
        """Whether `order` is already the one that is wanted."""
        return (order.origin is Origin.ENTRY) is entry and order.price == price and order.remaining == quantity

    def _move(self, position: Position, stop: Stop | None) -> Events:
        if stop is None:
            return []
        self.stop = stop
        return [
            ev.ExitsMoved(
                ts=self.ctx.ts,
                cause=self.ctx.cause,
                position_id=position.id,
                bot_id=position.bot_id,
                symbol=position.symbol,
                stop_price=stop.price,
                take_profit_price=None,
                extreme=self.bar.best(_sign(position.side)),
                trailing=stop.trailing,
                reason=stop.kind,
            )
        ]

    # -- what is sent -----------------------------------------------------------------------------------------------------

    def _enter(self) -> Events:
        side = self._direction()
        if side is None or self.ctx.ledger.bots[self.bot.id].status is not RUNNING:
            return []
        price = bar_exits.entry_price(_sign(side), self.bar, self.proposal.entry_price)
        return entries.enter(self.ctx, self.runner, self.series, side, None, limit=self._tick(price))

    def _add(self, position: Position, quantity: Decimal, price: Decimal) -> Events:
        ctx, series = self.ctx, self.series
        signal = entries.signalled(ctx, self.runner, series, position.side, "ENTRY", self.bar.close)
        limit = self._tick(price)
        leaving = entries.leaving(ctx, position, series.instrument, ADD, LIMIT, quantity, limit, signal=signal)
        side = BUY if position.side is LONG else SELL
        order = msgspec.structs.replace(leaving, side=side, origin=Origin.ENTRY, reduce_only=False)
        return [signal, *entries.gated(ctx, order, limit, signal)]

    def _exit(self, position: Position, role: str, quantity: Decimal, price: Decimal) -> Events:
        ctx, series, limit = self.ctx, self.series, self._tick(price)
        signal = None
        if role == exits.SIGNAL_EXIT:
            signal = entries.signalled(ctx, self.runner, series, position.side, "EXIT", self.bar.close)
        order = entries.leaving(ctx, position, series.instrument, role, LIMIT, quantity, limit, signal=signal)
        out = entries.gated(ctx, order, limit)
        return out if signal is None else [signal, *out]

    def _reprice(self, order: Order) -> Events:
        """The same order again at the proposed price; an entry keeps its money, not its quantity."""
        price = self.proposal.entry_reprice if order.origin is Origin.ENTRY else self.proposal.exit_reprice
        if price is None or order.price is None:
            return []
        quantity = order.remaining
        if order.origin is Origin.ENTRY:
            quantity = self._lots(quantity * order.price / price)
        limit = self._tick(price)
        return entries.gated(self.ctx, entries.again(self.ctx, order, self.series.instrument, quantity, limit), limit)

    def _tick(self, price: Decimal) -> Decimal:
        return round_to(price, self.series.instrument.tick_size)

    def _lots(self, quantity: Decimal) -> Decimal:
        return self.series.instrument.quantity_down(quantity.quantize(QUANTUM, ROUND_FLOOR))
