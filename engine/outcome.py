"""The answer to a command: whether it was done, and one line for the person who asked."""

from __future__ import annotations

from collections.abc import Sequence

from engine.core import events as ev
from engine.core.canonical import decimal_text
from engine.core.ledger import Ledger
from engine.core.setup import Setup
from engine.core.types import Verb

UNDER_WAY = "; under way: "
NOTHING_TO_DO = "nothing to do"


def outcome(verb: Verb, events: Sequence[ev.Event], ledger: Ledger, setup: Setup) -> tuple[bool, str]:
    """What the events of one command mean, after they were committed and acted upon."""
    for event in events:
        match event:
            case ev.CommandRefused() | ev.ConfigRejected():
                return False, event.reason
            case ev.ConfigActivated():
                return True, f"config {event.version} is active"
            case ev.TradingStateChanged():
                bot = setup.by_id.get(event.bot_id)
                who = f"bot {bot.name if bot else event.bot_id}" if event.bot_id else "trading"
                return True, f"{who} is {event.state}{_under_way(ledger, event.bot_id)}"
            case ev.EntriesHeld():
                return True, "entries are held" if event.held else "entries are released"
            case ev.BotStatusChanged():
                bot = setup.by_id.get(event.bot_id)
                return True, f"bot {bot.name if bot else event.bot_id} is {ledger.bots[event.bot_id].status}"
            case ev.CancelRequested() if verb is Verb.CANCEL_ORDER:
                order = ledger.order(event.order_id)
                return True, f"order {event.order_id} is {order.status if order else 'gone'}" + (
                    ", its cancel is under way" if order is not None and order.is_open else ""
                )
            case ev.OrderSubmitted() if verb is Verb.CLOSE_POSITION:
                return True, f"order {event.order_id} closes {decimal_text(event.quantity)} {event.symbol}"
            case ev.AlertTriggered() if verb is Verb.CLOSE_POSITION:
                return False, event.text
    return True, f"{NOTHING_TO_DO}: trading is {ledger.state}"


def _under_way(ledger: Ledger, bot_id: str) -> str:
    """What a stop still waits for, "" when its claim is true."""
    stop = ledger.stops.get(bot_id)
    if stop is None:
        return ""
    orders, positions = (sum(not done for done in found.values()) for found in (stop.orders, stop.positions))
    counted = ((orders, "order", "to end"), (positions, "position", "to close"))
    waits = [f"{n} {what}{'s' * (n > 1)} {end}" for n, what, end in counted if n]
    return f"{UNDER_WAY}{', '.join(waits)}" if waits else ""
