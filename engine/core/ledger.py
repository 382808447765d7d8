"""The ledger: the fold of the events. `evolve` is deterministic, in place, and never refuses a true fill.

Closed orders and positions leave the hot state after 48 hours of input time; then a digest keeps every one of them in the
state hash. The ledger holds no market data: marks live in `market.Market` and enter through `EquitySampled`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from engine.core import books
from engine.core import events as ev
from engine.core import orders as order_rules
from engine.core.books import BotBook, House, Messages
from engine.core.inputs import Cause
from engine.core.orders import Order
from engine.core.positions import Account, Position, adopted, apply_fill, apply_funding, conserve, keep_dust
from engine.core.types import (
    ACCEPTED,
    ACTIVE,
    CANCELED,
    DAY_US,
    EXPIRED,
    HOUR_US,
    MARKET,
    PAUSED,
    QUANTUM,
    REDUCING,
    REJECTED,
    TERMINAL,
    WARMING_UP,
    ZERO,
    BotStatus,
    InvariantError,
    Mode,
    OrderStatus,
    Origin,
    PositionSide,
    TradingState,
    entity_id,
)

#: Fields in the order of their definition, which is one order; `snapshot` sorts, because of the dictionaries.
_encode = msgspec.json.Encoder().encode

#: A late report of a closed order is still matched for this long (architecture.md, Outcomes).
CLOSED_KEPT_US = 48 * HOUR_US


def _by_number(order: Order) -> int:
    return order.number


def _by_age(position: Position) -> tuple[int, str]:
    return position.opened_ts, position.id


class Counts(msgspec.Struct):
    """Totals since genesis; `trades` are closed round trips (decisions.md 10)."""

    orders: int = 0
    denied: int = 0
    fills: int = 0
    trades: int = 0
    signals: int = 0


class Stop(msgspec.Struct):
    """A stop under way: what must still end, by id; "" until its outcome is known."""

    verb: str
    actor: str
    began_ts: int
    policy: str
    orders: dict[str, str] = {}
    positions: dict[str, str] = {}

    @property
    def done(self) -> bool:
        return all(self.orders.values()) and all(self.positions.values())


class Ledger(msgspec.Struct):
    """All state that money depends on. `seq` (the last event folded) is the only field outside `state_hash`."""

    seq: int = 0
    ledger_id: str = ""
    mode: Mode = Mode.SIM
    feed: str = ""
    seed: int | None = None
    base_currency: str = ""
    state: TradingState = ACTIVE
    state_reason: str = ""
    state_actor: str = ""
    state_since: int = 0
    halt_policy: str = "keep_with_exits"
    held: bool = False
    config_version: int = 0
    config_sha256: str = ""
    intents: int = 0
    commands: int = 0
    now: int = 0
    day_end: int = 0
    sampled_ts: int = 0
    cursor: Cause | None = None
    accounts: dict[str, Account] = {}
    bots: dict[str, BotBook] = {}
    orders: dict[str, Order] = {}
    closed_orders: dict[str, Order] = {}
    positions: dict[str, Position] = {}
    closed_positions: dict[str, Position] = {}
    gates: dict[str, str] = {}
    stops: dict[str, Stop] = {}
    calm: bool = True  # no stop asks for more than the entries: protective orders rest, nothing is being flattened
    next_expiry: int = 0
    messages: Messages = msgspec.field(default_factory=Messages)
    house: House = msgspec.field(default_factory=House)
    counts: Counts = msgspec.field(default_factory=Counts)
    digest: str = ""

    def order(self, order_id: str) -> Order | None:
        """An order that is open, or closed less than about two days ago."""
        return self.orders.get(order_id) or self.closed_orders.get(order_id)

    def position(self, position_id: str) -> Position | None:
        return self.positions.get(position_id) or self.closed_positions.get(position_id)

    def open_position(
        self, bot_id: str, exchange: str, symbol: str, side: PositionSide | None = None
    ) -> Position | None:
        """The open position of (bot, exchange, symbol), of that side where one is asked for (decisions.md 10)."""
        for position in self.positions.values():
            if (
                position.symbol == symbol
                and position.bot_id == bot_id
                and position.exchange == exchange
                and (side is None or position.side is side)
            ):
                return position
        return None

    def open_orders(self) -> list[Order]:
        """Open orders in the order of their sending: a restored ledger has other dictionary orders than a grown one."""
        return sorted(self.orders.values(), key=_by_number)

    def open_positions(self) -> list[Position]:
        """Open positions, oldest first."""
        return sorted(self.positions.values(), key=_by_age)

    def orders_of(self, position_id: str) -> list[Order]:
        """A position's open orders in the order of their sending."""
        found = [o for o in self.orders.values() if o.position_id == position_id]
        if len(found) > 1:
            found.sort(key=_by_number)
        return found

    @property
    def account(self) -> Account:
        """The account of the portfolio that the ledger was opened with ("main")."""
        return next(iter(self.accounts.values()))

    def state_hash(self) -> str:
        """sha256 of the canonical ledger: every order, fill, position, account, baseline and exit state; not `seq`."""
        seq, self.seq = self.seq, 0
        try:
            return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()
        finally:
            self.seq = seq

    def snapshot(self) -> bytes:
        return msgspec.json.encode(self, order="sorted")


def restore(snapshot: bytes | str) -> Ledger:
    """The ledger of a snapshot. Raises msgspec.ValidationError when it is not one."""
    return msgspec.json.decode(snapshot, type=Ledger)


def evolve(ledger: Ledger, event: ev.Event) -> None:
    """Apply one event. Raises InvariantError only for what cannot have been decided by this core."""
    handler = HANDLERS.get(type(event))
    if handler is None:
        raise InvariantError(f"no handler for event {type(event).__name__}")
    handler(ledger, event)
    arrive(ledger, event)


def arrive(ledger: Ledger, event: ev.Event) -> None:
    """The ledger stands at the input of this event: the events of one input share its cause and its time."""
    cause = ledger.cursor = event.cause
    if cause.kind == "command":
        ledger.commands = cause.ordinal
    if event.ts > ledger.now:
        ledger.now = event.ts


def _ledger_opened(ledger: Ledger, e: ev.LedgerOpened) -> None:
    if ledger.ledger_id:
        raise InvariantError(f"ledger {ledger.ledger_id} is opened twice")
    ledger.ledger_id = e.ledger_id
    ledger.mode, ledger.feed, ledger.seed = e.mode, e.feed, e.seed
    ledger.base_currency = e.base_currency
    _open_account(ledger, entity_id(e.ledger_id, "portfolio", "1"), "main", e.base_currency, e.initial_balance)


def _open_account(ledger: Ledger, portfolio_id: str, name: str, currency: str, balance: Decimal) -> None:
    ledger.accounts[portfolio_id] = Account(
        portfolio_id=portfolio_id,
        name=name,
        currency=currency,
        initial_balance=balance,
        cash=balance,
        peak_equity=balance,
        day_start_equity=balance,
        equity=balance,
    )


#: Why a config stops a bot; only what it has stopped does a later one start again: a person's stop stands.
_LEFT_OUT, _DISABLED = "not in the config", "not enabled"


def _config_activated(ledger: Ledger, e: ev.ConfigActivated) -> None:
    ledger.config_version, ledger.config_sha256 = e.version, e.sha256
    bots = msgspec.json.decode(e.config)["bots"]
    enabled = {entity_id(ledger.ledger_id, "bot", bot["name"]): bot["enabled"] for bot in bots}
    for bot_id in sorted(enabled.keys() - ledger.bots.keys()):
        ledger.bots[bot_id] = BotBook()
    for bot_id, book in ledger.bots.items():
        if not enabled.get(bot_id, False):
            if book.status is not BotStatus.ERROR:  # its reason is worth keeping
                book.status, book.reason = BotStatus.STOPPED, _DISABLED if bot_id in enabled else _LEFT_OUT
        elif book.status is BotStatus.STOPPED and book.reason in (_LEFT_OUT, _DISABLED):
            book.status, book.reason = WARMING_UP, ""


def _portfolio_opened(ledger: Ledger, e: ev.PortfolioOpened) -> None:
    if e.portfolio_id in ledger.accounts:
        raise InvariantError(f"portfolio {e.name} is opened twice")
    _open_account(ledger, e.portfolio_id, e.name, e.currency, e.initial_balance)


def _state_changed(ledger: Ledger, e: ev.TradingStateChanged) -> None:
    _begin_stop(ledger, e)
    _set_state(ledger, e)
    scopes = [(ledger.state, ledger.halt_policy), *((book.state, book.policy) for book in ledger.bots.values())]
    ledger.calm = all(state is ACTIVE or policy == "keep_with_exits" for state, policy in scopes)


def _set_state(ledger: Ledger, e: ev.TradingStateChanged) -> None:
    if e.bot_id:
        books.state_changed(ledger.bots[e.bot_id], e)
        return
    if e.state is ACTIVE and books.is_person(e.actor):
        _rearm(ledger)
    ledger.state, ledger.state_reason, ledger.state_actor = e.state, e.reason, e.actor
    ledger.state_since = e.ts
    ledger.halt_policy = e.policy
    ledger.held = False


def _rearm(ledger: Ledger) -> None:
    """A person who resumes after a loss accepts it: what stopped the account is measured from the last sample on."""
    for account in ledger.accounts.values():
        if ledger.state_actor == books.actor_of("MAX_DRAWDOWN"):
            account.peak_equity = account.equity
        if ledger.state_actor == books.actor_of("DAILY_LOSS_LOCK"):
            account.day_start_equity = account.equity


def _begin_stop(ledger: Ledger, e: ev.TradingStateChanged) -> None:
    """A stop waits for the orders and positions that it takes away; a resume ends the wait."""
    if e.state is ACTIVE:
        ledger.stops.pop(e.bot_id, None)
        return
    if e.state is PAUSED and e.previous is REDUCING:
        return  # a flattening that has come to its end
    ledger.stops[e.bot_id] = Stop(
        verb=e.verb,
        actor=e.actor,
        began_ts=e.ts,
        policy=e.policy,
        orders={o.id: "" for o in ledger.open_orders() if o.bot_id == (e.bot_id or o.bot_id) and o.goes(e.policy)},
        positions={
            p.id: ""
            for p in ledger.open_positions()
            if e.policy == "flatten" and p.bot_id == (e.bot_id or p.bot_id) and p.quantity > ZERO
        },
    )


def _stop_completed(ledger: Ledger, e: ev.StopCompleted) -> None:
    ledger.stops.pop(e.bot_id, None)


def _held(ledger: Ledger, e: ev.EntriesHeld) -> None:
    ledger.held = e.held


def _house_changed(ledger: Ledger, e: ev.HouseChanged) -> None:
    ledger.house = House(e.reconciled, e.journal_ok, e.journal, e.clock_skew_ms)


def _bot_status(ledger: Ledger, e: ev.BotStatusChanged) -> None:
    book = ledger.bots[e.bot_id]
    book.status, book.reason = e.status, e.reason


def _signal(ledger: Ledger, e: ev.SignalGenerated) -> None:
    ledger.counts.signals += 1
    ledger.bots[e.bot_id].last_signal_ts[f"{e.exchange} {e.symbol} {e.kind}"] = e.ts


def _gate_changed(ledger: Ledger, e: ev.GateChanged) -> None:
    ledger.gates[f"{e.gate} {e.scope}"] = e.verdict


def _denied(ledger: Ledger, e: ev.OrderDenied) -> None:
    ledger.counts.denied += 1
    _fold_into_digest(ledger, e)


def _submitted(ledger: Ledger, e: ev.OrderSubmitted) -> None:
    if e.order_id in ledger.orders or e.order_id in ledger.closed_orders:
        raise InvariantError(f"order {e.order_id} is submitted twice")
    ledger.intents = e.number
    ledger.counts.orders += 1
    ledger.orders[e.order_id] = order = order_rules.from_event(e)
    if e.valid_until is not None and (not ledger.next_expiry or e.valid_until < ledger.next_expiry):
        ledger.next_expiry = e.valid_until
    ledger.messages.add(e.ts)
    books.submitted(ledger.bots[e.bot_id], e)
    if e.origin is Origin.FLATTEN:
        ledger.positions[e.position_id].flatten_tries += 1
    if e.reduce_only and e.order_type is not MARKET:
        _count_resting(ledger, order, 1)


Answer = ev.OrderAccepted | ev.OrderRejected | ev.OrderCanceled | ev.OrderExpired


def _named(ledger: Ledger, e: Answer) -> Order:
    order = ledger.orders.get(e.order_id) or ledger.closed_orders.get(e.order_id)
    if order is None:
        raise InvariantError(f"{type(e).__name__} of an unknown order {e.order_id}")
    return order


def _accepted(ledger: Ledger, e: ev.OrderAccepted) -> None:
    order = _named(ledger, e)
    order_rules.advance(order, ACCEPTED, e.ts, "")
    if e.exchange_order_id:
        order.exchange_order_id = e.exchange_order_id
    if e.order_id not in ledger.orders:
        _rehome(ledger, order)


def _rejected(ledger: Ledger, e: ev.OrderRejected) -> None:
    _ended(ledger, e, REJECTED)


def _canceled(ledger: Ledger, e: ev.OrderCanceled) -> None:
    _ended(ledger, e, CANCELED)


def _expired(ledger: Ledger, e: ev.OrderExpired) -> None:
    _ended(ledger, e, EXPIRED)


def _ended(ledger: Ledger, e: ev.OrderRejected | ev.OrderCanceled | ev.OrderExpired, status: OrderStatus) -> None:
    order = _named(ledger, e)
    order_rules.advance(order, status, e.ts, e.reason)
    _rehome(ledger, order)


def _in_doubt(ledger: Ledger, e: ev.OrderInDoubt) -> None:
    order = ledger.orders[e.order_id]
    order.in_doubt, order.reason, order.updated_ts = True, e.reason, e.ts


def _cancel_requested(ledger: Ledger, e: ev.CancelRequested) -> None:
    order = ledger.orders[e.order_id]
    ledger.intents = e.number
    ledger.messages.add(e.ts)
    ledger.bots[e.bot_id].messages.add(e.ts)
    order.cancel_requested, order.cancel_number = True, e.number
    order.cancel_cause, order.reason, order.updated_ts = e.cause, e.reason, e.ts
    if order.valid_until is not None:
        _next_expiry(ledger)


def _adopted(ledger: Ledger, e: ev.OrderAdopted) -> None:
    position = ledger.position(e.position_id)
    if position is None:
        raise InvariantError(f"order {e.order_id} is adopted for an unknown position {e.position_id}")
    ledger.intents = e.number
    ledger.counts.orders += 1
    ledger.orders[e.order_id] = adopted(position, e)


def _filled(ledger: Ledger, e: ev.OrderFilled) -> None:
    order = ledger.orders.get(e.order_id) or ledger.closed_orders.get(e.order_id)
    if order is None:
        raise InvariantError(f"fill {e.trade_id} of an unknown order {e.order_id}")
    position = ledger.positions.get(e.position_id) or ledger.closed_positions.get(e.position_id)
    if position is None:
        position = Position.opened_by(e, order)
        ledger.positions[position.id] = position
        for bot_id, stop in ledger.stops.items():
            if stop.policy == "flatten" and bot_id in ("", position.bot_id):
                stop.positions[position.id] = ""  # an entry that filled before its cancel arrived
    elif order.filled_quantity == ZERO and not order.reduce_only:
        position.entries += 1
    ledger.counts.fills += 1
    order_rules.fill(order, e)
    if order.role.startswith("TARGET_") and order.role not in position.taken and order.remaining <= ZERO:
        position.taken.append(order.role)
        position.wants -= 1
    account = ledger.accounts[
        position.portfolio_id
    ]  # the money is where the position is, wherever its bot has moved to
    apply_fill(account, position, e)
    ledger.bots[e.bot_id].realized_pnl += e.pnl - e.fee_value
    _settle(ledger, account, position, e.ts)
    _rehome(ledger, order)


def _settle(ledger: Ledger, account: Account, position: Position, ts: int) -> None:
    """Open positions are hot, ended ones are not; whatever moved must conserve (I5)."""
    if position.quantity == ZERO and position.id in ledger.positions:
        position.closed_ts = ts
        ledger.closed_positions[position.id] = ledger.positions.pop(position.id)
        for stop in ledger.stops.values():
            if position.id in stop.positions:
                stop.positions[position.id] = "CLOSED"
        ledger.counts.trades += 1
    elif position.quantity != ZERO and position.id in ledger.closed_positions:
        position.closed_ts = 0  # a late fill re-opens what we thought was flat
        ledger.positions[position.id] = ledger.closed_positions.pop(position.id)
        ledger.counts.trades -= 1
    conserve(account, ledger.positions.values())


def _margin_changed(ledger: Ledger, e: ev.MarginChanged) -> None:
    position = ledger.positions[e.position_id]
    position.liquidation_price, position.liquidated_below = e.liquidation_price, e.liquidated_below
    position.maintenance_margin = e.maintenance_margin


def _funding_paid(ledger: Ledger, e: ev.FundingPaid) -> None:
    account = ledger.accounts[e.portfolio_id]
    apply_funding(account, ledger.positions[e.position_id], e)
    conserve(account, ledger.positions.values())


def _liquidated(ledger: Ledger, e: ev.PositionLiquidated) -> None:
    position = ledger.position(e.position_id)
    if position is None:
        raise InvariantError(f"position {e.position_id} is liquidated and unknown")
    position.liquidated = True


def _dust_kept(ledger: Ledger, e: ev.DustKept) -> None:
    position = ledger.positions[e.position_id]
    account = ledger.accounts[position.portfolio_id]
    keep_dust(account, position, e)
    _settle(ledger, account, position, e.ts)


def _position_closed(ledger: Ledger, e: ev.PositionClosed) -> None:
    position = ledger.position(e.position_id)
    books.closed(ledger.bots[e.bot_id], e, position.entry_notional if position is not None else ZERO)


def _exits_moved(ledger: Ledger, e: ev.ExitsMoved) -> None:
    position = ledger.positions[e.position_id]
    position.stop_price, position.take_profit_price = e.stop_price, e.take_profit_price
    position.extreme, position.trailing, position.updated_ts = e.extreme, e.trailing, e.ts
    position.stop_reason, position.wants = e.reason, e.wants


def _day_started(ledger: Ledger, e: ev.DayStarted) -> None:
    account = ledger.accounts[e.portfolio_id]
    account.day_start_ts, account.day_start_equity = e.ts, e.equity
    for bot_id, pnl in e.bots.items():
        ledger.bots[bot_id].day_start_pnl = pnl
    # Prune by the start of the day BEFORE: whatever goes was closed at least one committed batch ago.
    limit = ledger.day_end - DAY_US - CLOSED_KEPT_US
    ledger.day_end = e.day_end
    orders = [order for order in ledger.closed_orders.values() if order.closed_ts < limit]
    for order in orders:
        del ledger.closed_orders[order.id]
    # A position stays as long as an order that may still fill names it: its id must not come to mean another.
    named = {o.position_id for o in (*ledger.orders.values(), *ledger.closed_orders.values())}
    positions = [p for p in ledger.closed_positions.values() if p.closed_ts < limit and p.id not in named]
    for position in positions:
        del ledger.closed_positions[position.id]
    if orders or positions:
        orders.sort(key=_by_number)
        positions.sort(key=_by_age)
        _fold_into_digest(ledger, [orders, positions])


def _equity_sampled(ledger: Ledger, e: ev.EquitySampled) -> None:
    account = ledger.accounts[e.portfolio_id]
    account.equity, account.peak_equity = e.equity, e.peak_equity
    account.sampled_ts = ledger.sampled_ts = e.ts
    for bot_id, pnl in e.bots.items():
        book = ledger.bots[bot_id]
        book.peak_pnl = max(book.peak_pnl, pnl)
    for position in ledger.positions.values():
        mark = e.marks.get(f"{position.exchange} {position.symbol}")
        if mark is not None:
            position.mark_price, position.updated_ts = mark, e.ts


def _command_seen(ledger: Ledger, e: ev.Event) -> None:
    """Nothing changes but the cursor."""


def _rehome(ledger: Ledger, order: Order) -> None:
    """Open orders are hot; a closed one that turns out to live comes back."""
    if order.status not in TERMINAL:
        if ledger.closed_orders.pop(order.id, None) is not None:
            ledger.orders[order.id] = order
            if order.is_protective:
                _count_resting(ledger, order, 1)
    elif ledger.orders.pop(order.id, None) is not None:
        ledger.closed_orders[order.id] = order
        if order.is_protective:
            _count_resting(ledger, order, -1)
        if order.valid_until is not None:
            _next_expiry(ledger)
        for stop in ledger.stops.values():
            if order.id in stop.orders:
                stop.orders[order.id] = order.status


def _count_resting(ledger: Ledger, order: Order, change: int) -> None:
    position = ledger.positions.get(order.position_id)
    if position is not None:
        position.resting += change


def _next_expiry(ledger: Ledger) -> None:
    due = [o.valid_until for o in ledger.orders.values() if o.valid_until is not None and not o.cancel_requested]
    ledger.next_expiry = min(due, default=0)


def _fold_into_digest(ledger: Ledger, value: Any) -> None:
    ledger.digest = hashlib.sha256(ledger.digest.encode() + _encode(value)).hexdigest()


#: What each event changes. `evolve` applies one; a caller with all events of one input may share `arrive`.
HANDLERS: dict[type[ev.Event], Callable[[Ledger, Any], None]] = {
    ev.LedgerOpened: _ledger_opened,
    ev.PortfolioOpened: _portfolio_opened,
    ev.ConfigActivated: _config_activated,
    ev.ConfigRejected: _command_seen,
    ev.TradingStateChanged: _state_changed,
    ev.StopCompleted: _stop_completed,
    ev.EntriesHeld: _held,
    ev.CommandRefused: _command_seen,
    ev.HouseChanged: _house_changed,
    ev.AlertTriggered: _command_seen,
    ev.BotStatusChanged: _bot_status,
    ev.SignalGenerated: _signal,
    ev.IntentEvaluated: _command_seen,
    ev.GateChanged: _gate_changed,
    ev.OrderDenied: _denied,
    ev.OrderSubmitted: _submitted,
    ev.OrderAccepted: _accepted,
    ev.OrderRejected: _rejected,
    ev.OrderInDoubt: _in_doubt,
    ev.CancelRequested: _cancel_requested,
    ev.OrderCanceled: _canceled,
    ev.OrderExpired: _expired,
    ev.OrderAdopted: _adopted,
    ev.OrderFilled: _filled,
    ev.PositionOpened: _command_seen,
    ev.PositionClosed: _position_closed,
    ev.ExitsMoved: _exits_moved,
    ev.MarginChanged: _margin_changed,
    ev.FundingPaid: _funding_paid,
    ev.PositionLiquidated: _liquidated,
    ev.DustKept: _dust_kept,
    ev.DayStarted: _day_started,
    ev.EquitySampled: _equity_sampled,
}


def drawdown(equity: Decimal, peak: Decimal) -> Decimal:
    """Fraction below the peak, 0 at it; 18 decimals."""
    if peak <= ZERO:
        return ZERO
    return ((peak - equity) / peak).quantize(QUANTUM) if equity < peak else ZERO
