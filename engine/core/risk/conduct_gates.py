"""Gates on conduct: G8 message rate, G9 repeated execution. They count facts of the ledger (engine.core.books)."""

from __future__ import annotations

from bisect import bisect_right
from decimal import Decimal

from engine.core.books import BotBook, Messages
from engine.core.events import GateResult
from engine.core.limits import Bound, Bounds
from engine.core.risk.view import Intent, View
from engine.core.risk.words import DenyCode, against, blocks, counted, passes, warned, worse, worst
from engine.core.types import SECOND_US, ZERO

_RATE = "MAX_MESSAGE_RATE"
_THROTTLE = "REPEATED_EXECUTION_THROTTLE"


# -- G8 ------------------------------------------------------------------------------------------------------------------


def message_rate(view: View, intent: Intent) -> GateResult:
    """Orders and cancels sent within the second, minute and day, this one included, by the bot and by all.

    Cancels are counted and never refused. A reduce-only order is refused beyond the account's hard limit only.
    """
    facts = view.facts
    of_all = rate(view.ledger.messages, facts.plan.account, view.now)
    if facts.book is None or not facts.plan.own.limits_messages:
        return of_all
    of_bot = rate(facts.book.messages, facts.plan.own, view.now)
    return worse(warned(of_bot) if intent.reduce_only else of_bot, of_all)


def rate(messages: Messages, limits: Bounds, now: int, more: int = 1) -> GateResult:
    """The worst of the three windows; the second when all is well. `more` is a message under way."""
    count = messages.in_second + more if now // SECOND_US == messages.second else more
    word = counted(_RATE, DenyCode.MESSAGES_SECOND, count, limits.max_messages_per_second)
    per_minute, per_day = limits.max_messages_per_minute, limits.max_messages_per_day
    # Counts that may be over by now: when these are calm, so are the true ones.
    if messages.in_minute + more > per_minute.calm_to or messages.in_day + more > per_day.calm_to:
        _, minute, day = messages.at(now)
        if minute + more > per_minute.calm_to:
            word = worse(word, _counted(DenyCode.MESSAGES_MINUTE, minute + more, per_minute))
        if day + more > per_day.calm_to:
            word = worse(word, _counted(DenyCode.MESSAGES_DAY, day + more, per_day))
    return word


def _counted(code: DenyCode, count: int, bound: Bound) -> GateResult:
    return against(_RATE, code, Decimal(count), bound)


# -- G9 ------------------------------------------------------------------------------------------------------------------

_CALM = passes(_THROTTLE, "", "calm")


def repeated_execution(view: View, intent: Intent) -> GateResult:
    """Entries of the bot within a window, losses in a row, the rest of a symbol after a stop, or after too little profit."""
    facts = view.facts
    book, plan = facts.book, facts.plan
    if book is None:
        return blocks(_THROTTLE, DenyCode.BOT_UNKNOWN, "a bot")
    words = throttles(view, book, plan.own, more=1) + throttles(view, book, plan.account, more=1)
    key = f"{intent.exchange} {intent.symbol}"
    for limits in (plan.own, plan.account):
        rest = _resting_s(view, book, limits, key)
        if rest is not None:
            words.append(blocks(_THROTTLE, rest[0], "0 s", f"{rest[1]} s more"))
    return worst(words, _CALM)


def standing_throttle(view: View, book: BotBook, limits: Bounds) -> GateResult:
    return worst(throttles(view, book, limits), _CALM)


def throttles(view: View, book: BotBook, limits: Bounds, more: int = 0) -> list[GateResult]:
    """What disables a bot until a person resumes it: too many entries, too many losses. `more` is an entry under way."""
    words = []
    if limits.max_entries_per_window.edge is not None:
        since = view.now - limits.entries_window_s * SECOND_US
        entries = len(book.entry_ts) - bisect_right(book.entry_ts, since) + more
        words.append(against(_THROTTLE, DenyCode.THROTTLE_ENTRIES, Decimal(entries), limits.max_entries_per_window))
    if limits.max_consecutive_losses.edge is not None:
        losses = Decimal(book.losses_in_row)
        words.append(against(_THROTTLE, DenyCode.THROTTLE_LOSSES, losses, limits.max_consecutive_losses))
    return words


def _resting_s(view: View, book: BotBook, limits: Bounds, key: str) -> tuple[DenyCode, int] | None:
    """Why the symbol rests, and for how many more seconds."""
    stopped = book.last_stop_ts.get(key)
    if stopped is not None:
        left_us = stopped + limits.cooldown_after_stop_s * SECOND_US - view.now
        if left_us > 0:
            return DenyCode.THROTTLE_COOLDOWN, -(-left_us // SECOND_US)
    trips = book.recent.get(key, [])[-limits.low_profit_trades :] if limits.low_profit_trades else []
    if len(trips) == limits.low_profit_trades and trips:
        made = sum((trip.pnl_pct for trip in trips), ZERO)
        left_us = trips[-1].ts + limits.low_profit_lock_s * SECOND_US - view.now
        if made < limits.low_profit_pct and left_us > 0:
            return DenyCode.THROTTLE_LOW_PROFIT, -(-left_us // SECOND_US)
    return None
