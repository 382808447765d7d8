"""The fold: what each event changes in the ledger. Deterministic, in place.

Closed orders and positions leave the hot state after 48 hours of input time; then a digest keeps what came of every one of
them in the state hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from decimal import Decimal
from operator import attrgetter
from typing import Any

import msgspec

from engine.core import books, events as ev, fold_orders
from engine.core.books import BotBook, House
from engine.core.inputs import Cause
from engine.core.ledger import Ledger, Stop, arranged, by_age, by_number
from engine.core.positions import Account
from engine.core.types import (
    ACTIVE,
    DAY_US,
    HOUR_US,
    PAUSED,
    REDUCING,
    WARMING_UP,
    ZERO,
    BotStatus,
    InvariantError,
    entity_id,
)

#: Fields in the order of their definition, which is one order; `snapshot` sorts, because of the dictionaries.
_encode = msgspec.json.Encoder().encode

#: A late report of a closed order is still matched for this long (architecture.md, Outcomes).
CLOSED_KEPT_US = 48 * HOUR_US


def evolve(ledger: Ledger, event: ev.Event) -> None:
    """Apply one event. Raises InvariantError only for what cannot have been decided by this core."""
    handler = HANDLERS.get(type(event))
    if handler is None:
        raise InvariantError(f"no handler for event {type(event).__name__}")
    handler(ledger, event)
    cause = event.cause
    if cause is not ledger.cursor:  # the events of one input share it
        arrive(ledger, event.ts, cause)


def arrive(ledger: Ledger, ts: int, cause: Cause) -> None:
    """Note the input that events come from. What all of them have in common is the second half of `evolve`."""
    ledger.cursor = cause
    if cause.kind == "command":
        ledger.commands = cause.ordinal
    if ts > ledger.now:
        ledger.now = ts


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
    ledger.accounts = arranged(ledger.accounts)  # the same order as in a restored one


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
        orders.sort(key=by_number)
        positions.sort(key=by_age)
        _fold_into_digest(ledger, [list(map(_came_of_order, orders)), list(map(_came_of_position, positions))])


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


#: What came of one that has gone; what it was to be stands in the journal, and the chain keeps that.
_came_of_order = attrgetter("id", "status", "filled_quantity", "filled_value", "fees", "pnl", "closed_ts")
_came_of_position = attrgetter(
    "id",
    "entry_quantity",
    "entry_notional",
    "exit_quantity",
    "exit_notional",
    "realized_pnl",
    "fees",
    "funding",
    "closed_ts",
)


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
    ev.OrderSubmitted: fold_orders.submitted,
    ev.OrderAccepted: fold_orders.accepted,
    ev.OrderRejected: fold_orders.rejected,
    ev.OrderInDoubt: fold_orders.in_doubt,
    ev.CancelRequested: fold_orders.cancel_requested,
    ev.OrderCanceled: fold_orders.canceled,
    ev.OrderExpired: fold_orders.expired,
    ev.OrderAdopted: fold_orders.order_adopted,
    ev.OrderFilled: fold_orders.filled,
    ev.PositionOpened: _command_seen,
    ev.PositionClosed: fold_orders.position_closed,
    ev.ExitsMoved: fold_orders.exits_moved,
    ev.MarginChanged: fold_orders.margin_changed,
    ev.FundingPaid: fold_orders.funding_paid,
    ev.PositionLiquidated: fold_orders.liquidated,
    ev.DustKept: fold_orders.dust_kept,
    ev.DayStarted: _day_started,
    ev.EquitySampled: _equity_sampled,
}
