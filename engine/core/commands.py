"""What a person asks: hold, pause, flatten, halt, resume. Refusals are events too: nobody should wonder what happened."""

from __future__ import annotations

from engine.core import events as ev
from engine.core.consequences import state_changed
from engine.core.context import Context
from engine.core.inputs import Command
from engine.core.types import STRICTNESS, TradingState, Verb

Events = list[ev.Event]

_TARGET = {
    Verb.PAUSE: TradingState.PAUSED,
    Verb.FLATTEN: TradingState.REDUCING,
    Verb.HALT: TradingState.HALTED,
    Verb.RESUME: TradingState.ACTIVE,
}


def on_command(ctx: Context, command: Command) -> Events:
    """The events of one command; empty when it changes nothing (a second HALT, a release without a hold)."""
    ledger = ctx.ledger
    match command.verb:
        case Verb.HOLD | Verb.RELEASE:
            held = command.verb is Verb.HOLD
            if ledger.held == held:
                return []
            return [ev.EntriesHeld(ts=ctx.ts, cause=ctx.cause, held=held, actor=command.actor)]
        case Verb.RESUME:
            if not command.reason.strip():
                return [refused(ctx, command, "resuming needs a reason, which is kept in the audit trail")]
            if ledger.state is TradingState.ACTIVE:
                return [refused(ctx, command, "trading is ACTIVE already")]
            return [_changed(ctx, command, "keep_with_exits")]
        case Verb.HALT:
            policy = command.policy
            if ledger.state is TradingState.HALTED and policy == ledger.halt_policy:
                return []
            return [_changed(ctx, command, policy)]
        case Verb.PAUSE | Verb.FLATTEN:
            target = _TARGET[command.verb]
            if STRICTNESS[ledger.state] >= STRICTNESS[target]:
                return [refused(ctx, command, f"trading is {ledger.state} already, which is at least as strict")]
            policy = "flatten" if command.verb is Verb.FLATTEN else "keep_with_exits"
            return [_changed(ctx, command, policy)]
    return [refused(ctx, command, f"{command.verb} is not a command for the ledger")]


def refused(ctx: Context, command: Command, reason: str) -> ev.CommandRefused:
    return ev.CommandRefused(ts=ctx.ts, cause=ctx.cause, verb=command.verb, actor=command.actor, reason=reason)


def _changed(ctx: Context, command: Command, policy: str) -> ev.TradingStateChanged:
    return state_changed(ctx, _TARGET[command.verb], command.verb, command.actor, command.reason, policy)
