"""Gates on money: G6 position and exposure, G7 buying power and margin, G13 losses.

Where what is counted differs by scope, the bot's own limit is held against the bot and the account's against the whole
portfolio, and the worse word is told. The functions named `standing_*` need no intent; the board asks them.
"""

from __future__ import annotations

from decimal import Decimal

from engine.core import margin
from engine.core.events import GateResult
from engine.core.limits import Bound
from engine.core.risk.view import Intent, View
from engine.core.risk.words import DenyCode, Unless, against, blocks, counted, passes, scoped, share, show, worse
from engine.core.types import (
    ALLOWED,
    BLOCKED,
    CROSS,
    HUNDRED,
    ONE,
    SPOT,
    WARNED,
    ZERO,
)

_POSITION = "MAX_POSITION"
_GROSS = "MAX_GROSS_EXPOSURE"
_COUNT = "MAX_OPEN_POSITIONS"
_POWER = "BUYING_POWER"
_LEVERAGE = "MAX_LEVERAGE"
_DISTANCE = "LIQUIDATION_DISTANCE"
_RATIO = "MARGIN_RATIO"
_DAILY = "DAILY_LOSS_LOCK"
_DRAWDOWN = "MAX_DRAWDOWN"


# -- G6 ------------------------------------------------------------------------------------------------------------------


def max_position(view: View, intent: Intent) -> GateResult:
    """Notional of the symbol with every open entry filled, of the bot and of all bots."""
    facts = view.facts
    more = facts.added
    if more is None:
        return blocks(_POSITION, DenyCode.EXPOSURE_UNKNOWN, "a price")
    exposure = view.exposure()

    def word(bound: Bound, bot_id: str, unless: Unless) -> GateResult:
        value = exposure.of_symbol(intent.exchange, intent.symbol, bot_id) + more
        return against(_POSITION, DenyCode.POSITION_VALUE, value, bound, unless)

    return scoped(facts.plan.own.max_position_value, facts.plan.account.max_position_value, intent.bot_id, word)


def max_gross_exposure(view: View, intent: Intent) -> GateResult:
    """All positions and open entries in percent of equity, of the bot and of the portfolio."""
    facts = view.facts
    more = facts.added
    if more is None:
        return blocks(_GROSS, DenyCode.EXPOSURE_UNKNOWN, "a price")

    def word(bound: Bound, bot_id: str, unless: Unless) -> GateResult:
        return standing_gross(view, bot_id, bound, more, unless)

    return scoped(facts.plan.own.max_gross_exposure_pct, facts.plan.account.max_gross_exposure_pct, intent.bot_id, word)


def standing_gross(view: View, bot_id: str, bound: Bound, more: Decimal = ZERO, unless: Unless = None) -> GateResult:
    gross = view.exposure().gross(bot_id) + more
    return share(_GROSS, DenyCode.EXPOSURE_GROSS, gross, view.equity(), bound, HUNDRED, unless)


def max_open_positions(view: View, intent: Intent) -> GateResult:
    """Positions and entries under way, of the bot and of the portfolio."""
    facts = view.facts
    legs = view.exposure().legs
    key = view.leg_key(intent.bot_id, intent.exchange, intent.symbol, intent.position_side)
    more = 0 if key in legs else 1

    def word(bound: Bound, bot_id: str, unless: Unless) -> GateResult:
        return standing_count(view, bot_id, bound, more)

    return scoped(facts.plan.own.max_open_positions, facts.plan.account.max_open_positions, intent.bot_id, word)


def standing_count(view: View, bot_id: str, bound: Bound, more: int = 0) -> GateResult:
    return counted(_COUNT, DenyCode.POSITION_COUNT, view.exposure().count(bot_id) + more, bound)


# -- G7 ------------------------------------------------------------------------------------------------------------------


def buying_power(view: View, intent: Intent) -> GateResult:
    """The order's cost, or its margin, and its fee, out of what no position and no open entry has a claim on."""
    facts = view.facts
    value = facts.value
    if value is None or not view.exposure().is_known:
        return blocks(_POWER, DenyCode.EXPOSURE_UNKNOWN, "a price")
    free = view.free()
    rate = facts.plan.fee_rate
    need = value + value * rate if intent.kind is SPOT else value / intent.leverage + value * rate
    if need > free:
        return GateResult(_POWER, DenyCode.BUYING_POWER, BLOCKED, show(free), show(need), show(free - need))
    return GateResult(_POWER, "", ALLOWED, show(free), show(need), show(free - need))


def max_leverage(view: View, intent: Intent) -> GateResult:
    """All positions and open entries as a multiple of equity, of the bot and of the portfolio."""
    facts = view.facts
    more = facts.added
    if more is None:
        return blocks(_LEVERAGE, DenyCode.EXPOSURE_UNKNOWN, "a price")

    def word(bound: Bound, bot_id: str, unless: Unless) -> GateResult:
        return standing_leverage(view, bot_id, bound, more, unless)

    return scoped(facts.plan.own.max_leverage, facts.plan.account.max_leverage, intent.bot_id, word)


def standing_leverage(view: View, bot_id: str, bound: Bound, more: Decimal = ZERO, unless: Unless = None) -> GateResult:
    gross = view.exposure().gross(bot_id) + more
    return share(_LEVERAGE, DenyCode.MARGIN_LEVERAGE, gross, view.equity(), bound, ONE, unless)


def liquidation_distance(view: View, intent: Intent) -> GateResult:
    """How far the liquidation price of the position that the order makes, and of every open one, is from the market."""
    facts = view.facts
    standing = standing_distance(view, "", facts.plan.account.min_liquidation_distance_pct)
    if intent.kind is SPOT:
        return standing
    if facts.value is None or facts.mark is None:
        return blocks(_DISTANCE, DenyCode.MARGIN_LIQUIDATION_UNKNOWN, "a price")
    after = _liquidation_after(view, intent, facts.value, facts.mark)
    return worse(_near(facts.mark, after, facts.plan.tight.min_liquidation_distance_pct), standing)


def _liquidation_after(view: View, intent: Intent, value: Decimal, mark: Decimal) -> Decimal | None:
    """Liquidation price of the position that the order makes or adds to; a cross one answers with what is free."""
    own = view.ledger.open_position(intent.bot_id, intent.exchange, intent.symbol, intent.position_side)
    quantity, cost = intent.quantity * intent.contract_size, value
    wallet = margin.initial_margin(value, intent.leverage)
    if own is not None:
        quantity, cost, wallet = quantity + own.notional(ONE), cost + own.cost, wallet + own.margin
    if intent.margin_mode is CROSS:
        wallet = view.free() + (ZERO if own is None else own.margin)
    tiers = margin.tiers_of(view.market.instrument(intent.exchange, intent.symbol))
    return margin.liquidation([margin.Leg(intent.position_side, quantity, cost, tiers)], wallet, mark).price


def standing_distance(view: View, bot_id: str, bound: Bound) -> GateResult:
    """The nearest liquidation price of the open positions of a bot, or of all."""
    marks = [(margin.mark_of(view.market, p), p.liquidation_price) for p in view.positions if bot_id in ("", p.bot_id)]
    ends = [(abs(mark - price) / mark, mark, price) for mark, price in marks if price is not None]
    if not ends:
        return passes(_DISTANCE, bound.text, "none")
    _, mark, price = min(ends)
    return _near(mark, price, bound)


def _near(mark: Decimal, price: Decimal | None, bound: Bound) -> GateResult:
    """A limit from below; no liquidation price is as far as can be."""
    if price is None or bound.edge is None:
        return passes(_DISTANCE, bound.text, "none")
    apart = abs(mark - price) * 100
    actual = apart / mark
    verdict = ALLOWED
    if bound.hard is not None and apart < bound.hard * mark:
        verdict = BLOCKED
    elif bound.soft is not None and apart < bound.soft * mark:
        verdict = WARNED
    code = "" if verdict is ALLOWED else DenyCode.MARGIN_LIQUIDATION_NEAR
    return GateResult(_DISTANCE, code, verdict, bound.text, f"{actual:.4f}", f"{actual - bound.edge:.4f}")


def margin_ratio(view: View, intent: Intent) -> GateResult:
    """Maintenance margin of the open futures in percent of equity, of the bot's and of all."""
    facts = view.facts

    def word(bound: Bound, bot_id: str, unless: Unless) -> GateResult:
        return standing_ratio(view, bot_id, bound, unless)

    return scoped(facts.plan.own.max_margin_ratio_pct, facts.plan.account.max_margin_ratio_pct, intent.bot_id, word)


def standing_ratio(view: View, bot_id: str, bound: Bound, unless: Unless = None) -> GateResult:
    needed = sum((p.maintenance_margin for p in view.positions if bot_id in ("", p.bot_id)), ZERO)
    return share(_RATIO, DenyCode.MARGIN_RATIO, needed, view.equity(), bound, HUNDRED, unless)


# -- G13 -----------------------------------------------------------------------------------------------------------------


def daily_loss(view: View, intent: Intent) -> GateResult:
    """Loss since the day's start in percent of the equity then, of the bot and of the portfolio."""
    facts = view.facts

    def word(bound: Bound, bot_id: str, unless: Unless) -> GateResult:
        return standing_daily(view, bot_id, bound, unless)

    return scoped(facts.plan.own.daily_loss_pct, facts.plan.account.daily_loss_pct, intent.bot_id, word)


def standing_daily(view: View, bot_id: str, bound: Bound, unless: Unless = None) -> GateResult:
    loss, start = day_loss(view, bot_id)
    return share(_DAILY, DenyCode.LOSS_DAILY, max(loss, ZERO), start, bound, HUNDRED, unless)


def day_loss(view: View, bot_id: str) -> tuple[Decimal, Decimal]:
    """(loss since the day's start, below zero a profit; the portfolio's equity then)."""
    start = view.account.day_start_equity
    if not bot_id:
        return start - view.equity(), start
    book = view.ledger.bots.get(bot_id)
    return (ZERO if book is None else book.day_start_pnl - view.bot_pnl(bot_id)), start


def max_drawdown(view: View, intent: Intent) -> GateResult:
    """Fall from the peak, of the portfolio in percent of it, and of the bot in percent of what the portfolio would be worth
    with the bot's profit alone. Peaks are facts of the ledger, so that a restart does not forget them."""
    facts = view.facts

    def word(bound: Bound, bot_id: str, unless: Unless) -> GateResult:
        return standing_drawdown(view, bot_id, bound, unless)

    return scoped(facts.plan.own.max_drawdown_pct, facts.plan.account.max_drawdown_pct, intent.bot_id, word)


def standing_drawdown(view: View, bot_id: str, bound: Bound, unless: Unless = None) -> GateResult:
    fall, peak = fall_from_peak(view, bot_id)
    return share(_DRAWDOWN, DenyCode.LOSS_DRAWDOWN, fall, peak, bound, HUNDRED, unless)


def fall_from_peak(view: View, bot_id: str) -> tuple[Decimal, Decimal]:
    """(fall, at least zero; what it is a part of)."""
    account = view.account
    if not bot_id:
        return max(account.peak_equity - view.equity(), ZERO), account.peak_equity
    book = view.ledger.bots.get(bot_id)
    if book is None:
        return ZERO, account.initial_balance
    return max(book.peak_pnl - view.bot_pnl(bot_id), ZERO), account.initial_balance + book.peak_pnl
