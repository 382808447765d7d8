"""Gates on the order itself: G1 to G5, G10 and G11."""

from __future__ import annotations

from decimal import Decimal

from engine.core import margin
from engine.core.events import GateResult
from engine.core.orders import Order
from engine.core.risk.view import Facts, Intent, View
from engine.core.risk.words import DenyCode, against, blocks, passes, share, show, warned
from engine.core.types import (
    ACTIVE,
    BUY,
    HALTED,
    HUNDRED,
    LIMIT,
    MARKET,
    ONE,
    PAUSED,
    REDUCING,
    SECOND_US,
    SELL,
    SHORT,
    SPOT,
    STOP_LIMIT,
    ZERO,
    BotStatus,
    Instrument,
    Origin,
    TradingState,
    money,
)

_STATE = "TRADING_STATE"
_RULES = "INSTRUMENT_RULES"
_COLLAR = "PRICE_COLLAR"
_VALUE = "MAX_ORDER_VALUE"
_SIZE = "MAX_ORDER_SIZE"
_DUPLICATE = "DUPLICATE_ORDER"
_SELF = "SELF_TRADE_PREVENTION"

_ACTIVE = passes(_STATE, "ACTIVE", "ACTIVE")
_LEAVES = {state: passes(_STATE, "reduce-only", state) for state in TradingState}
_STOPPED = (PAUSED, REDUCING, HALTED)
_ACCOUNT_IS = {s: blocks(_STATE, DenyCode(f"TRADING_STATE_{s}"), "ACTIVE", s) for s in _STOPPED}
_BOT_IS = {s: blocks(_STATE, DenyCode(f"BOT_{s}"), "ACTIVE", f"bot {s}") for s in _STOPPED}
_BOT_ENDED = {
    BotStatus.STOPPED: blocks(_STATE, DenyCode.BOT_STOPPED, "ACTIVE", "bot STOPPED"),
    BotStatus.ERROR: blocks(_STATE, DenyCode.BOT_ERROR, "ACTIVE", "bot ERROR"),
}
_HELD = blocks(_STATE, DenyCode.TRADING_STATE_HELD, "ACTIVE", "HELD")
_BOT_UNKNOWN = blocks(_STATE, DenyCode.BOT_UNKNOWN, "ACTIVE", "bot unknown")


def trading_state(view: View, intent: Intent) -> GateResult:
    """State of the account and of the bot, the hold of the kill key, a bot that is stopped or in error."""
    ledger = view.ledger
    if intent.reduce_only and intent.origin is not Origin.ENTRY:
        return _LEAVES[ledger.state]  # HALTED lets EXIT, FLATTEN and LIQUIDATION through (decisions.md 13)
    if ledger.held and not intent.reduce_only:
        return _HELD
    book = view.facts.book
    if book is None:
        return _BOT_UNKNOWN
    if ledger.state is not ACTIVE or book.state is not ACTIVE:
        for state, words in ((ledger.state, _ACCOUNT_IS), (book.state, _BOT_IS)):
            if state is HALTED or (state is not ACTIVE and not intent.reduce_only):
                return words[state]
    return _ACTIVE if intent.reduce_only else _BOT_ENDED.get(book.status, _ACTIVE)


def standing_state(view: View, bot_id: str) -> GateResult:
    """What an entry would hear, of the account or of a bot."""
    ledger = view.ledger
    if ledger.held:
        return _HELD
    if not bot_id:
        return _ACCOUNT_IS.get(ledger.state, _ACTIVE)
    book = ledger.bots.get(bot_id)
    if book is None:
        return _BOT_UNKNOWN
    return _BOT_IS.get(book.state) or _BOT_ENDED.get(book.status, _ACTIVE)


_LIMITS = (LIMIT, STOP_LIMIT)
_FITS = passes(_RULES, "reduce-only", "fits")


def instrument_rules(view: View, intent: Intent) -> GateResult:
    """Status, contract, shorts on spot, leverage of the tier, tick, lot, smallest and largest quantity, smallest notional."""
    facts = view.facts
    if facts.series is None:
        return blocks(_RULES, DenyCode.INSTRUMENT_UNKNOWN, "known")
    rules = facts.series.instrument
    if rules.status != "TRADING":
        return blocks(_RULES, DenyCode.INSTRUMENT_NOT_TRADING, "TRADING", rules.status)
    size = intent.contract_size  # of the instrument's own, nearly always
    if rules.kind is not intent.kind or (rules.contract_size is not size and rules.contract_size != size):
        has = f"{rules.kind} x {show(rules.contract_size)}"
        return blocks(_RULES, DenyCode.INSTRUMENT_CONTRACT, has, f"{intent.kind} x {show(size)}")
    wrong = _prices(rules, intent, facts.estimate) or _quantity(rules, intent, facts.quantity)
    if wrong is not None:
        return wrong
    if intent.reduce_only:
        return _FITS
    return _contract(view, intent, rules, facts) or _notional(rules, facts.value)


def _prices(rules: Instrument, intent: Intent, estimate: Decimal | None) -> GateResult | None:
    """A price below one tick says that these rules are not this symbol's: no stop could be placed for it."""
    tick = rules.tick_size
    if tick and intent.order_type is not MARKET:
        for price in (estimate if intent.order_type in _LIMITS else None, intent.stop_price):
            if price is not None and (not price.is_finite() or price % tick):
                return blocks(_RULES, DenyCode.INSTRUMENT_TICK, show(tick), show(price))
    if estimate is not None and estimate.is_finite() and estimate < tick:
        return blocks(_RULES, DenyCode.INSTRUMENT_TICK, show(tick), show(estimate))
    return None


def _quantity(rules: Instrument, intent: Intent, quantity: Decimal | None) -> GateResult | None:
    if quantity is None:
        return blocks(_RULES, DenyCode.INSTRUMENT_MIN_QUANTITY, "above 0", show(intent.quantity))
    if rules.lot_size and quantity % rules.lot_size:
        return blocks(_RULES, DenyCode.INSTRUMENT_LOT, show(rules.lot_size), show(quantity))
    if quantity < rules.min_quantity:
        return blocks(_RULES, DenyCode.INSTRUMENT_MIN_QUANTITY, show(rules.min_quantity), show(quantity))
    if rules.max_quantity is not None and quantity > rules.max_quantity:
        return blocks(_RULES, DenyCode.INSTRUMENT_MAX_QUANTITY, show(rules.max_quantity), show(quantity))
    return None


def _contract(view: View, intent: Intent, rules: Instrument, facts: Facts) -> GateResult | None:
    """What only an entry can get wrong: a short on spot, more leverage than its tier has."""
    if rules.kind is SPOT:
        if intent.side is SELL or intent.position_side is SHORT:
            return blocks(_RULES, DenyCode.INSTRUMENT_NO_SHORT, "long", "short")
        allowed = ONE
    else:
        size = view.exposure().of_symbol(intent.exchange, intent.symbol) + (facts.value or ZERO)
        allowed = margin.tier_of(margin.tiers_of(rules), size).max_leverage
    if intent.leverage > allowed:
        return blocks(_RULES, DenyCode.INSTRUMENT_LEVERAGE, show(allowed), show(intent.leverage))
    return None


def _notional(rules: Instrument, value: Decimal | None) -> GateResult:
    if value is None:
        return blocks(_RULES, DenyCode.PRICE_UNKNOWN, "a price")
    if value < rules.min_notional:
        return blocks(_RULES, DenyCode.INSTRUMENT_MIN_NOTIONAL, show(rules.min_notional), show(value))
    return passes(_RULES, show(rules.min_notional), show(value))


def price_collar(view: View, intent: Intent) -> GateResult:
    """How much worse than the last price, and than any of the last seconds, an entry may trade. An exit is held against the
    last price alone, because in a crash it must get out; a stop against its own trigger."""
    facts = view.facts
    price, reference = facts.price, facts.mark
    if price is None or reference is None or facts.series is None:
        return blocks(_COLLAR, DenyCode.PRICE_UNKNOWN, "a price")
    limits = facts.plan.tight
    buys = intent.side is BUY
    if intent.stop_price is not None:
        reference = intent.stop_price
    elif not intent.reduce_only:
        low, high = facts.series.band(view.now - limits.price_band_s * SECOND_US)
        farthest = low if buys else high
        reference = reference if farthest == facts.series.last else money(farthest)
    worse = price - reference if buys else reference - price
    return share(
        _COLLAR, DenyCode.PRICE_COLLAR, worse if worse > ZERO else ZERO, reference, limits.price_collar_pct, HUNDRED
    )


def max_order_value(view: View, intent: Intent) -> GateResult:
    """Notional of the order."""
    facts = view.facts
    if facts.value is None:
        return blocks(_VALUE, DenyCode.PRICE_UNKNOWN, "a price")
    return against(_VALUE, DenyCode.ORDER_VALUE, facts.value, facts.plan.tight.max_order_value)


def max_order_size(view: View, intent: Intent) -> GateResult:
    """Quantity of the order in units of the base asset, the fat finger."""
    facts = view.facts
    if facts.quantity is None:
        return blocks(_SIZE, DenyCode.INSTRUMENT_MIN_QUANTITY, "above 0")
    units = facts.quantity * intent.contract_size
    return against(_SIZE, DenyCode.ORDER_SIZE, units, facts.plan.tight.max_order_quantity)


_NO_TWIN = passes(_DUPLICATE, "0", "0")


def duplicate_order(view: View, intent: Intent) -> GateResult:
    """One entry per bot, symbol and side in flight, and one order of a signal, unless it amends the first."""
    twins = 0
    for o in view.ledger.orders.values():
        if o.adds_risk and o.bot_id == intent.bot_id and o.symbol == intent.symbol:
            twins += o.exchange == intent.exchange and o.side is intent.side
    if twins:
        return blocks(_DUPLICATE, DenyCode.DUPLICATE_IN_FLIGHT, "0", str(twins))
    book = view.facts.book
    if book is not None and intent.signal_id and not intent.replaces:
        last = book.last_entry_signal.get(f"{intent.exchange} {intent.symbol} {intent.side}")
        if last == intent.signal_id:
            return blocks(_DUPLICATE, DenyCode.DUPLICATE_SIGNAL, "a new signal", "the same")
    return _NO_TWIN


_NO_SIBLING = passes(_SELF, "0", "0")


def self_trade_prevention(view: View, intent: Intent) -> GateResult:
    """Crosses a resting limit of another bot: by its limit, a stop by its trigger, a market order by what it is expected to
    cost; without a price, at any. What only leaves is warned."""
    by_price = intent.order_type in _LIMITS or intent.order_type is MARKET
    mine = view.facts.estimate if by_price else intent.stop_price
    crossed = 0
    for other in view.ledger.orders.values():
        if other.bot_id != intent.bot_id and _crosses(intent, mine, other):
            crossed += 1
    if not crossed:
        return _NO_SIBLING
    word = blocks(_SELF, DenyCode.SELF_TRADE, "0", str(crossed))
    return warned(word) if intent.reduce_only else word


def _crosses(intent: Intent, mine: Decimal | None, other: Order) -> bool:
    if (
        other.symbol != intent.symbol
        or other.exchange != intent.exchange
        or other.side is intent.side
        or other.price is None  # nothing of it is in the book
    ):
        return False
    if mine is None:
        return True
    return mine >= other.price if intent.side is BUY else mine <= other.price
