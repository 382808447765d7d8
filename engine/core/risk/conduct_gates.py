"""Gates on conduct: G8 message rate, G9 repeated execution. They count facts of the ledger (engine.core.books)."""

from __future__ import annotations

from decimal import Decimal

from engine.core.books import BotBook, Messages
from engine.core.events import GateResult
from engine.core.limits import Bounds
from engine.core.risk.view import Intent, View
from engine.core.risk.words import DenyCode, against, blocks, counted, judge, passes, warned, worse
from engine.core.types import SECOND_US, ZERO, Verdict

_RATE = "MAX_MESSAGE_RATE"
_THROTTLE = "REPEATED_EXECUTION_THROTTLE"


# -- G8 ------------------------------------------------------------------------------------------------------------------


def message_rate(view: View, intent: Intent) -> GateResult:
    """Orders and cancels sent within the second, minute and day, this one included, by the bot and by all.

    Cancels are counted and never refused. A reduce-only order is refused beyond the account's hard limit only.
    """
    facts = view.facts(intent)
    of_all = rate(view.ledger.messages, facts.plan.account, view.now)
    if facts.book is None or not facts.plan.own.limits_messages:
        return of_all
    of_bot = rate(facts.book.messages, facts.plan.own, view.now)
    return worse(warned(of_bot) if intent.reduce_only else of_bot, of_all)


def rate(messages: Messages, limits: Bounds, now: int, more: int = 1) -> GateResult:
    """The worst of the three windows; the second when all is well. `more` is a message under way."""
    second, minute, day = messages.at(now)
    word = counted(_RATE, DenyCode.MESSAGES_SECOND, second + more, limits.max_messages_per_second)
    for code, count, bound in (
        (DenyCode.MESSAGES_MINUTE, minute + more, limits.max_messages_per_minute),
        (DenyCode.MESSAGES_DAY, day + more, limits.max_messages_per_day),
    ):
        if judge(count, bound) is not Verdict.ALLOWED:
            word = worse(word, against(_RATE, code, Decimal(count), bound))
    return word


# -- G9 ------------------------------------------------------------------------------------------------------------------

_CALM = passes(_THROTTLE, "", "calm")


def repeated_execution(view: View, intent: Intent) -> GateResult:
    """Entries of the bot within a window, losses in a row, the rest of a symbol after a stop, or after too little profit."""
    facts = view.facts(intent)
    book, plan = facts.book, facts.plan
    if book is None:
        return blocks(_THROTTLE, DenyCode.BOT_UNKNOWN, "a bot")
    key = f"{intent.exchange} {intent.symbol}"
    return worse(_throttle(view, book, plan.own, key), _throttle(view, book, plan.account, key))


def _throttle(view: View, book: BotBook, limits: Bounds, key: str) -> GateResult:
    word = standing_throttle(view, book, limits, more=1)
    rest_s = _resting_s(view, book, limits, key)
    if rest_s is not None:
        code, seconds = rest_s
        word = worse(word, blocks(_THROTTLE, code, "0 s", f"{seconds} s more"))
    return word


def standing_throttle(view: View, book: BotBook, limits: Bounds, more: int = 0) -> GateResult:
    """What disables a bot until a person resumes it: too many entries, too many losses. `more` is an entry under way."""
    word = _CALM
    if limits.max_entries_per_window.edge is not None:
        since = view.now - limits.entries_window_s * SECOND_US
        entries = sum(ts > since for ts in book.entry_ts) + more
        word = against(_THROTTLE, DenyCode.THROTTLE_ENTRIES, Decimal(entries), limits.max_entries_per_window)
    if limits.max_consecutive_losses.edge is not None:
        losses = Decimal(book.losses_in_row)
        said = against(_THROTTLE, DenyCode.THROTTLE_LOSSES, losses, limits.max_consecutive_losses)
        word = said if word is _CALM else worse(word, said)
    return word


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


def disables(word: GateResult) -> bool:
    """Whether a word of G9 takes the bot out of trading until a person resumes it; a rest of a symbol ends by itself."""
    return word.verdict is Verdict.BLOCKED and word.code in (DenyCode.THROTTLE_ENTRIES, DenyCode.THROTTLE_LOSSES)
