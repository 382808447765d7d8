"""What gates say: deny codes, verdicts against limits, numbers as the board shows them.

A gate's `actual` beyond a limit is decided by products of exact decimals; what is shown is rounded. Everything here is on
the path of every order: results without news are made once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from enum import StrEnum
from functools import reduce

from engine.core.events import GateResult
from engine.core.limits import Bound
from engine.core.types import ALLOWED, BLOCKED, WARNED, ZERO, Verdict, quick


@quick
class DenyCode(StrEnum):
    """Why an order was not sent, or what a gate warns of: CATEGORY_CONDITION. `DENIALS` has the sentences."""

    NONE = ""
    TRADING_STATE_HALTED = "TRADING_STATE_HALTED"
    TRADING_STATE_PAUSED = "TRADING_STATE_PAUSED"
    TRADING_STATE_REDUCING = "TRADING_STATE_REDUCING"
    TRADING_STATE_HELD = "TRADING_STATE_HELD"
    BOT_HALTED = "BOT_HALTED"
    BOT_PAUSED = "BOT_PAUSED"
    BOT_REDUCING = "BOT_REDUCING"
    BOT_STOPPED = "BOT_STOPPED"
    BOT_ERROR = "BOT_ERROR"
    BOT_UNKNOWN = "BOT_UNKNOWN"
    INSTRUMENT_UNKNOWN = "INSTRUMENT_UNKNOWN"
    INSTRUMENT_NOT_TRADING = "INSTRUMENT_NOT_TRADING"
    INSTRUMENT_CONTRACT = "INSTRUMENT_CONTRACT"
    INSTRUMENT_NO_SHORT = "INSTRUMENT_NO_SHORT"
    INSTRUMENT_LEVERAGE = "INSTRUMENT_LEVERAGE"
    INSTRUMENT_TICK = "INSTRUMENT_TICK"
    INSTRUMENT_LOT = "INSTRUMENT_LOT"
    INSTRUMENT_MIN_QUANTITY = "INSTRUMENT_MIN_QUANTITY"
    INSTRUMENT_MAX_QUANTITY = "INSTRUMENT_MAX_QUANTITY"
    INSTRUMENT_MIN_NOTIONAL = "INSTRUMENT_MIN_NOTIONAL"
    PRICE_UNKNOWN = "PRICE_UNKNOWN"
    PRICE_COLLAR = "PRICE_COLLAR"
    ORDER_VALUE = "ORDER_VALUE"
    ORDER_SIZE = "ORDER_SIZE"
    SIZE_UNKNOWN = "SIZE_UNKNOWN"
    SIZE_BELOW_MINIMUM = "SIZE_BELOW_MINIMUM"
    POSITION_VALUE = "POSITION_VALUE"
    POSITION_COUNT = "POSITION_COUNT"
    EXPOSURE_GROSS = "EXPOSURE_GROSS"
    EXPOSURE_UNKNOWN = "EXPOSURE_UNKNOWN"
    BUYING_POWER = "BUYING_POWER"
    MARGIN_LEVERAGE = "MARGIN_LEVERAGE"
    MARGIN_LIQUIDATION_NEAR = "MARGIN_LIQUIDATION_NEAR"
    MARGIN_LIQUIDATION_UNKNOWN = "MARGIN_LIQUIDATION_UNKNOWN"
    MARGIN_RATIO = "MARGIN_RATIO"
    MESSAGES_SECOND = "MESSAGES_SECOND"
    MESSAGES_MINUTE = "MESSAGES_MINUTE"
    MESSAGES_DAY = "MESSAGES_DAY"
    THROTTLE_ENTRIES = "THROTTLE_ENTRIES"
    THROTTLE_LOSSES = "THROTTLE_LOSSES"
    THROTTLE_COOLDOWN = "THROTTLE_COOLDOWN"
    THROTTLE_LOW_PROFIT = "THROTTLE_LOW_PROFIT"
    DUPLICATE_IN_FLIGHT = "DUPLICATE_IN_FLIGHT"
    DUPLICATE_SIGNAL = "DUPLICATE_SIGNAL"
    SELF_TRADE = "SELF_TRADE"
    DATA_UNKNOWN = "DATA_UNKNOWN"
    DATA_STALE = "DATA_STALE"
    DATA_JUMP = "DATA_JUMP"
    CLOCK_UNKNOWN = "CLOCK_UNKNOWN"
    CLOCK_SKEW = "CLOCK_SKEW"
    SPREAD_UNKNOWN = "SPREAD_UNKNOWN"
    SPREAD_WIDE = "SPREAD_WIDE"
    LOSS_DAILY = "LOSS_DAILY"
    LOSS_DRAWDOWN = "LOSS_DRAWDOWN"
    RECONCILIATION_UNKNOWN = "RECONCILIATION_UNKNOWN"
    RECONCILIATION_BREAK = "RECONCILIATION_BREAK"
    ORDERS_IN_DOUBT = "ORDERS_IN_DOUBT"
    JOURNAL_UNKNOWN = "JOURNAL_UNKNOWN"
    JOURNAL_FAILING = "JOURNAL_FAILING"
    CONFIG_MISMATCH = "CONFIG_MISMATCH"
    CUSTOM_RULE = "CUSTOM_RULE"
    CUSTOM_UNKNOWN = "CUSTOM_UNKNOWN"


_C = DenyCode

#: A sentence for each code; docs/risk.md is written from it.
DENIALS: dict[DenyCode, str] = {
    _C.TRADING_STATE_HALTED: "The account is HALTED; a person resumes it with a reason.",
    _C.TRADING_STATE_PAUSED: "The account is PAUSED; a person resumes it.",
    _C.TRADING_STATE_REDUCING: "The account is REDUCING: only what leaves a position goes out.",
    _C.TRADING_STATE_HELD: "The kill key was pressed once and waits for its answer.",
    _C.BOT_HALTED: "The bot is HALTED; a person resumes it with a reason.",
    _C.BOT_PAUSED: "The bot is PAUSED, by a person or by G9; a person resumes it.",
    _C.BOT_REDUCING: "The bot is REDUCING: only what leaves a position goes out.",
    _C.BOT_STOPPED: "The bot is STOPPED: not in the active config, disabled, or stopped by a person.",
    _C.BOT_ERROR: "The bot raised an exception; its traceback is in the journal.",
    _C.BOT_UNKNOWN: "The ledger knows no such bot.",
    _C.INSTRUMENT_UNKNOWN: "The feed offers no such symbol.",
    _C.INSTRUMENT_NOT_TRADING: "The venue does not trade the symbol now.",
    _C.INSTRUMENT_CONTRACT: "The order was made for another kind of contract or contract size than the symbol has.",
    _C.INSTRUMENT_NO_SHORT: "Spot cannot be sold short.",
    _C.INSTRUMENT_LEVERAGE: "The leverage is more than the tier of this notional allows, or the tiers are not known.",
    _C.INSTRUMENT_TICK: "A price is no multiple of the tick, or below one tick.",
    _C.INSTRUMENT_LOT: "The quantity is no multiple of the lot.",
    _C.INSTRUMENT_MIN_QUANTITY: "The quantity is not above zero, not a number, or below the venue's smallest.",
    _C.INSTRUMENT_MAX_QUANTITY: "The quantity is above the venue's largest.",
    _C.INSTRUMENT_MIN_NOTIONAL: "The notional is below the venue's smallest.",
    _C.PRICE_UNKNOWN: "There is no usable price of the symbol yet, or the order has none.",
    _C.PRICE_COLLAR: "The order could trade too far from the last price, or from a price of the last seconds.",
    _C.ORDER_VALUE: "The notional of the order is too large.",
    _C.ORDER_SIZE: "The quantity of the order is too large (fat finger).",
    _C.SIZE_UNKNOWN: "The size needs the average true range, which is not known yet.",
    _C.SIZE_BELOW_MINIMUM: "What sizing and the limits leave is less than the venue accepts, or nothing.",
    _C.POSITION_VALUE: "The position with its open orders would be too large.",
    _C.POSITION_COUNT: "There would be too many positions and entries under way.",
    _C.EXPOSURE_GROSS: "All positions and open entries would be too large for the equity.",
    _C.EXPOSURE_UNKNOWN: "An open entry has no price yet, so that the exposure is not known.",
    _C.BUYING_POWER: "The free balance after open orders does not pay for the order and its fee.",
    _C.MARGIN_LEVERAGE: "Gross notional would be too many times the equity.",
    _C.MARGIN_LIQUIDATION_NEAR: "A liquidation price is, or would be, too near to the market.",
    _C.MARGIN_LIQUIDATION_UNKNOWN: "The symbol's margin tiers or price are not known, so no liquidation price can be told.",
    _C.MARGIN_RATIO: "The maintenance margin is too large a part of the equity.",
    _C.MESSAGES_SECOND: "Too many orders and cancels within the second.",
    _C.MESSAGES_MINUTE: "Too many orders and cancels within the minute.",
    _C.MESSAGES_DAY: "Too many orders and cancels within the day.",
    _C.THROTTLE_ENTRIES: "The bot entered too often within its window; a person resumes it.",
    _C.THROTTLE_LOSSES: "The bot lost too often in a row; a person resumes it.",
    _C.THROTTLE_COOLDOWN: "The symbol rests after a stop loss of the bot.",
    _C.THROTTLE_LOW_PROFIT: "The symbol rests, because the bot's last round trips of it made too little.",
    _C.DUPLICATE_IN_FLIGHT: "The bot has an entry of this symbol and side under way.",
    _C.DUPLICATE_SIGNAL: "The signal has made an order already.",
    _C.SELF_TRADE: "The order would trade with a resting order of another bot of ours.",
    _C.DATA_UNKNOWN: "Nothing usable was heard of the symbol yet.",
    _C.DATA_STALE: "The newest price is too old.",
    _C.DATA_JUMP: "The last price jumped too far to be believed.",
    _C.CLOCK_UNKNOWN: "The distance of the exchange's clock from ours is not known.",
    _C.CLOCK_SKEW: "The exchange's clock is too far from ours.",
    _C.SPREAD_UNKNOWN: "There is a limit on the spread and no usable quote.",
    _C.SPREAD_WIDE: "Bid and ask are too far apart.",
    _C.LOSS_DAILY: "The loss since the day's start is too large.",
    _C.LOSS_DRAWDOWN: "The fall from the peak is too large.",
    _C.RECONCILIATION_UNKNOWN: "The ledger was not compared with the venue yet.",
    _C.RECONCILIATION_BREAK: "Ledger and venue differ.",
    _C.ORDERS_IN_DOUBT: "Too many orders have an outcome that is not known.",
    _C.JOURNAL_UNKNOWN: "Whether the journal can be written is not known.",
    _C.JOURNAL_FAILING: "The journal cannot be written.",
    _C.CONFIG_MISMATCH: "The order was made from another config than the active one.",
    _C.CUSTOM_RULE: "A risk rule of the config is true.",
    _C.CUSTOM_UNKNOWN: "A risk rule of the config reads something that is not known.",
}

_ALLOWED, _WARNED, _BLOCKED = ALLOWED, WARNED, BLOCKED
FOUR_DECIMALS = Decimal("0.0001")
_SEVERITY = {_ALLOWED: 0, _WARNED: 1, _BLOCKED: 2}


def show(value: Decimal) -> str:
    """A number for the board: without exponent, and short: as it is up to 18 characters, else with at most eight decimals."""
    text = str(value)
    if len(text) <= 18 and "E" not in text:
        return text
    text = f"{value:.8f}"
    return text.rstrip("0").rstrip(".")


def passes(gate: str, limit: str = "", actual: str = "") -> GateResult:
    return GateResult(gate, "", _ALLOWED, limit, actual, "")


def blocks(gate: str, code: DenyCode, limit: str = "", actual: str = "unknown") -> GateResult:
    return GateResult(gate, code, _BLOCKED, limit, actual, "")


def judge(actual: Decimal | int, bound: Bound) -> Verdict:
    """At the limit is still within it."""
    if bound.calm is None or actual <= bound.calm:
        return _ALLOWED
    return _BLOCKED if bound.hard is not None and actual > bound.hard else _WARNED


#: A word that stands unless the one to be found is worse: then its numbers need not be written out.
Unless = GateResult | None


def against(gate: str, code: DenyCode, actual: Decimal, bound: Bound, unless: Unless = None) -> GateResult:
    """Compare a number with a soft and a hard limit."""
    if bound.edge is None:
        return passes(gate, "none", show(actual))
    verdict = judge(actual, bound)
    if unless is not None and _SEVERITY[verdict] <= _SEVERITY[unless.verdict]:
        return unless
    margin = show(bound.edge - actual)
    return GateResult(gate, "" if verdict is _ALLOWED else code, verdict, bound.text, show(actual), margin)


def counted(gate: str, code: DenyCode, count: int, bound: Bound) -> GateResult:
    """The same of a small whole number, whose word the bound remembers: a bound belongs to one gate."""
    word = bound.words.get(count)
    if word is None:
        word = bound.words[count] = against(gate, code, Decimal(count), bound)
    return word


def share(
    gate: str, code: DenyCode, part: Decimal, whole: Decimal, bound: Bound, scale: Decimal, unless: Unless = None
) -> GateResult:
    """Compare `part / whole * scale` with a limit: exactly by products, shown to four decimals.

    Of nothing there is no share: a `whole` of zero or less is beyond every limit.
    """
    edge = bound.edge
    if edge is None:
        return passes(gate, "none")
    if whole <= ZERO:
        return blocks(gate, code, bound.text, "no equity")
    if not part:
        word = bound.words.get(0)
        if word is None:
            word = bound.words[0] = GateResult(gate, "", _ALLOWED, bound.text, "0", bound.text)
        return word
    part = part * scale
    verdict = _ALLOWED
    if bound.calm is not None and part > bound.calm * whole:
        verdict = _BLOCKED if bound.hard is not None and part > bound.hard * whole else _WARNED
    if unless is not None and _SEVERITY[verdict] <= _SEVERITY[unless.verdict]:
        return unless
    actual = (part / whole).quantize(FOUR_DECIMALS)
    return GateResult(gate, "" if verdict is _ALLOWED else code, verdict, bound.text, str(actual), str(edge - actual))


def scoped(own: Bound, account: Bound, bot_id: str, word: Callable[[Bound, str, Unless], GateResult]) -> GateResult:
    """The worse of what is said of the bot against its own limit and of the portfolio against the account's."""
    if account.edge is None:
        return word(own, bot_id, None)
    if own.edge is None:
        return word(account, "", None)
    of_bot = word(own, bot_id, None)
    return worse(of_bot, word(account, "", of_bot))


def worse(a: GateResult, b: GateResult) -> GateResult:
    """The word that counts of two scopes; the first (the bot's) when they agree."""
    return b if _SEVERITY[b.verdict] > _SEVERITY[a.verdict] else a


def worst(words: Sequence[GateResult], otherwise: GateResult) -> GateResult:
    """The worst of several; the first of those that are as bad."""
    return reduce(worse, words) if words else otherwise


def warned(word: GateResult) -> GateResult:
    """For what only leaves: a reason to hurry is no reason to stay."""
    if word.verdict is not _BLOCKED:
        return word
    return GateResult(word.gate, word.code, _WARNED, word.limit, word.actual, word.margin)
