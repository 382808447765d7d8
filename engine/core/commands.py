"""What a person asks: the four stop verbs and resume, of the account or of one bot; starting and stopping bots; one order or
position. Refusals are events too: nobody should wonder what happened. And what the shell reports of the house.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from engine.core import events as ev, exits
from engine.core.books import House
from engine.core.consequences import state_changed
from engine.core.context import Context
from engine.core.entries import cancel, close_position
from engine.core.inputs import Command, HouseReport
from engine.core.types import (
    ACTIVE,
    HALTED,
    PAUSED,
    REDUCING,
    STRICTNESS,
    WARMING_UP,
    BotStatus,
    TradingState,
    Verb,
    entity_id,
)

Events = list[ev.Event]

#: Verb -> (state, policy). HALT's policy is the account's.
STOPS: dict[Verb, tuple[TradingState, str]] = {
    Verb.PAUSE: (PAUSED, "keep_with_exits"),
    Verb.CANCEL: (PAUSED, "cancel"),
    Verb.FLATTEN: (REDUCING, "flatten"),
    Verb.HALT: (HALTED, "keep_with_exits"),
}
_HARSHNESS = {"": 0, "keep_with_exits": 0, "cancel": 1, "flatten": 2}


def on_house(ctx: Context, told: HouseReport) -> Events:
    """What the shell has measured; the same again is no news."""
    news = ev.HouseChanged(
        ts=ctx.ts,
        cause=ctx.cause,
        reconciled=told.reconciled,
        journal_ok=told.journal_ok,
        journal=told.journal,
        clock_skew_ms=told.clock_skew_ms,
    )
    known = ctx.ledger.house
    return [] if House(news.reconciled, news.journal_ok, news.journal, news.clock_skew_ms) == known else [news]


def on_command(ctx: Context, command: Command) -> Events:
    """The events of one command; empty when it changes nothing (a second HALT, a release without a hold)."""
    match command.verb:
        case Verb.HOLD | Verb.RELEASE:
            held = command.verb is Verb.HOLD
            if ctx.ledger.held == held:
                return []
            return [ev.EntriesHeld(ts=ctx.ts, cause=ctx.cause, held=held, actor=command.actor)]
        case Verb.PAUSE | Verb.CANCEL | Verb.FLATTEN | Verb.HALT:
            return _stop(ctx, command)
        case Verb.RESUME:
            return _resume(ctx, command)
        case Verb.START_BOT | Verb.STOP_BOT:
            return _bot(ctx, command)
        case Verb.CLOSE_POSITION:
            position = _named(ctx.ledger.positions, command.target)
            if position is None:
                return [refused(ctx, command, f"there is no one open position {command.target!r}")]
            return close_position(ctx, position, exits.BY_HAND) or [
                refused(ctx, command, "an order that closes it is under way")
            ]
        case Verb.CANCEL_ORDER:
            order = _named(ctx.ledger.orders, command.target)
            if order is None:
                return [refused(ctx, command, f"there is no one open order {command.target!r}")]
            return cancel(ctx, order, f"by {command.actor}") or [refused(ctx, command, "it is being cancelled already")]
    return [refused(ctx, command, f"{command.verb} is not a command for the ledger")]


def refused(ctx: Context, command: Command, reason: str) -> ev.CommandRefused:
    return ev.CommandRefused(ts=ctx.ts, cause=ctx.cause, verb=command.verb, actor=command.actor, reason=reason)


def _stop(ctx: Context, command: Command) -> Events:
    target, policy = STOPS[command.verb]
    bot_id = _bot_id(ctx, command)
    if bot_id is None:
        return [refused(ctx, command, f"there is no bot {command.target!r}")]
    if command.verb is Verb.HALT:
        policy = command.policy
    book = ctx.ledger.bots[bot_id] if bot_id else None
    state = book.state if book else ctx.ledger.state
    now = book.policy if book else ctx.ledger.halt_policy
    if command.verb is Verb.HALT:
        if state is HALTED and policy == now:
            return []
    elif STRICTNESS[state] > STRICTNESS[target] or (state is target and _HARSHNESS[now] >= _HARSHNESS[policy]):
        return [refused(ctx, command, f"trading is {state} already, which is at least as strict")]
    return [state_changed(ctx, target, command.verb, command.actor, command.reason, policy, bot_id)]


def _resume(ctx: Context, command: Command) -> Events:
    bot_id = _bot_id(ctx, command)
    if bot_id is None:
        return [refused(ctx, command, f"there is no bot {command.target!r}")]
    if not command.reason.strip():
        return [refused(ctx, command, "resuming needs a reason, which is kept in the audit trail")]
    state = ctx.ledger.bots[bot_id].state if bot_id else ctx.ledger.state
    if state is ACTIVE:
        return [refused(ctx, command, "trading is ACTIVE already")]
    return [state_changed(ctx, ACTIVE, "RESUME", command.actor, command.reason, bot_id=bot_id)]


def _bot(ctx: Context, command: Command) -> Events:
    """STOP_BOT ends its entries; its positions keep their exits. START_BOT begins again with a fresh strategy."""
    bot_id = _bot_id(ctx, command)
    if not bot_id:
        return [refused(ctx, command, f"there is no bot {command.target!r}")]
    book = ctx.ledger.bots[bot_id]
    stopped = book.status in (BotStatus.STOPPED, BotStatus.ERROR)
    if command.verb is Verb.STOP_BOT:
        if stopped:
            return [refused(ctx, command, f"it is {book.status} already")]
        return [bot_status(ctx, bot_id, BotStatus.STOPPED, command.reason or f"by {command.actor}")]
    if not stopped:
        return [refused(ctx, command, f"it is {book.status} already")]
    if bot_id not in ctx.setup.by_id:
        return [refused(ctx, command, "the active config does not run it: activate one that does")]
    ctx.market.rearm(ctx.setup.by_id[bot_id])
    return [bot_status(ctx, bot_id, WARMING_UP, command.reason or f"by {command.actor}")]


def bot_status(ctx: Context, bot_id: str, status: BotStatus, reason: str, traceback: str = "") -> ev.BotStatusChanged:
    return ev.BotStatusChanged(
        ts=ctx.ts, cause=ctx.cause, bot_id=bot_id, status=status, reason=reason, traceback=traceback
    )


_T = TypeVar("_T")


def _named(found: Mapping[str, _T], target: str) -> _T | None:
    """The one whose id is, begins or ends with `target` (ids of one moment begin alike); None when there is not one."""
    if target in found:
        return found[target]
    fits = [value for key, value in found.items() if target and (key.startswith(target) or key.endswith(target))]
    return fits[0] if len(fits) == 1 else None


def _bot_id(ctx: Context, command: Command) -> str | None:
    """The bot that a command speaks to, by id or name; "" is the account, None a bot that is not known."""
    target = command.target
    if not target or target in ctx.ledger.bots:
        return target
    named = entity_id(ctx.ledger.ledger_id, "bot", target)
    return named if named in ctx.ledger.bots else None
