"""Gates on the data and on the house: G12 and G14. What only leaves a position is warned by them: old data, a wide spread or
an order in doubt are reasons to leave, not to stay.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from engine.core.events import GateResult
from engine.core.limits import Bound
from engine.core.market import Series
from engine.core.risk.view import Intent, View, usable
from engine.core.risk.words import DenyCode, Unless, against, blocks, counted, passes, scoped, share, warned, worse
from engine.core.setup import JUMP_ATR_PERIOD
from engine.core.types import ONE, SECOND_US, money

_AGE = "STALE_DATA"
_CLOCK = "CLOCK_SKEW"
_SPREAD = "SPREAD"
_JUMP = "DATA_REASONABILITY"
_CLEAN = "RECONCILIATION_CLEAN"
_DOUBT = "IN_DOUBT_LIMIT"
_JOURNAL = "JOURNAL_HEALTH"
_CONFIG = "CONFIG_HASH"
BPS = Decimal(10_000)


# -- G12 -----------------------------------------------------------------------------------------------------------------


def stale_data(view: View, intent: Intent) -> GateResult:
    """How late the newest bar of the symbol arrived, or how long ago anything did."""
    facts = view.facts
    age = None if facts.series is None or facts.mark is None else facts.series.age_us(view.now)
    if age is None:
        word = blocks(_AGE, DenyCode.DATA_UNKNOWN, "data", "none yet")
    elif not age:
        return counted(_AGE, DenyCode.DATA_STALE, 0, facts.plan.tight.max_data_age_s)
    else:
        word = against(_AGE, DenyCode.DATA_STALE, Decimal(age) / SECOND_US, facts.plan.tight.max_data_age_s)
    return warned(word) if intent.reduce_only else word


def stalest(of: Iterable[Series], now: int, bound: Bound) -> GateResult:
    """The oldest of the symbols that anything was heard of."""
    ages = [age for series in of if (age := age_us(series, now)) is not None]
    if not ages:
        return blocks(_AGE, DenyCode.DATA_UNKNOWN, "data", "none yet")
    return against(_AGE, DenyCode.DATA_STALE, Decimal(max(ages)) / SECOND_US, bound)


def age_us(series: Series | None, now: int) -> int | None:
    """How late the newest bar was or how long the symbol has been silent beyond what is normal, in us."""
    return None if series is None or series.price is None else series.age_us(now)


def clock_skew(view: View, intent: Intent) -> GateResult:
    """Distance of the exchange's clock from ours."""
    word = standing_clock(view, view.facts.plan.tight.max_clock_skew_ms)
    return warned(word) if intent.reduce_only else word


def standing_clock(view: View, bound: Bound) -> GateResult:
    skew_ms = view.ledger.house.clock_skew_ms
    if skew_ms is None:
        return blocks(_CLOCK, DenyCode.CLOCK_UNKNOWN, bound.text)
    return counted(_CLOCK, DenyCode.CLOCK_SKEW, abs(skew_ms), bound)


def spread(view: View, intent: Intent) -> GateResult:
    """Bid to ask in basis points of their middle; there is none without quotes."""
    facts = view.facts
    word = series_spread(facts.series, facts.plan.tight.max_spread_bps)
    return warned(word) if intent.reduce_only else word


def series_spread(series: Series | None, bound: Bound) -> GateResult:
    quote = bid_and_ask(series)
    if quote is None:
        return blocks(_SPREAD, DenyCode.SPREAD_UNKNOWN, bound.text, "no quote")
    bid, ask = quote
    return share(_SPREAD, DenyCode.SPREAD_WIDE, (ask - bid) * 2, ask + bid, bound, BPS)


def bid_and_ask(series: Series | None) -> tuple[Decimal, Decimal] | None:
    """The last quote; None when there is none, or none that can be (NaN, zero, crossed)."""
    if series is None or series.spread is None:
        return None
    bid, ask = usable(money(series.spread[0])), usable(money(series.spread[1]))
    return None if bid is None or ask is None or ask < bid else (bid, ask)


def data_reasonability(view: View, intent: Intent) -> GateResult:
    """How far the last price is from the close before, in average true ranges as they were then."""
    facts = view.facts
    word = series_jump(facts.series, facts.plan.tight.max_jump_atr)
    return warned(word) if intent.reduce_only else word


def series_jump(series: Series | None, bound: Bound) -> GateResult:
    """The worse of two jumps: between the last two closes, and from the last close to what was heard since."""
    if series is None or series.atrs is None or series.last is None or len(series.tail) < 2:
        return blocks(_JUMP, DenyCode.DATA_UNKNOWN, bound.text)
    name = f"atr_{JUMP_ATR_PERIOD}"
    before, close = money(series.tail[-2].close), money(series.tail[-1].close)
    return worse(
        _jumped(abs(close - before), series.atrs.previous(name), bound),
        _jumped(abs(money(series.last) - close), series.atrs.value(name), bound),
    )


def _jumped(jump: Decimal, atr: float, bound: Bound) -> GateResult:
    average = usable(money(atr))
    if average is None or not jump.is_finite():
        return blocks(_JUMP, DenyCode.DATA_UNKNOWN, bound.text)
    return share(_JUMP, DenyCode.DATA_JUMP, jump, average, bound, ONE)


# -- G14 -----------------------------------------------------------------------------------------------------------------

_IS_CLEAN = passes(_CLEAN, "clean", "clean")
_NOT_COMPARED = blocks(_CLEAN, DenyCode.RECONCILIATION_UNKNOWN, "clean", "not compared yet")
_DIFFERS = blocks(_CLEAN, DenyCode.RECONCILIATION_BREAK, "clean", "ledger and venue differ")
_WRITES = passes(_JOURNAL, "written", "written")


def reconciliation_clean(view: View, intent: Intent) -> GateResult:
    """Ledger and venue agree on cash, positions and orders."""
    word = standing_reconciled(view)
    return warned(word) if intent.reduce_only else word


def standing_reconciled(view: View) -> GateResult:
    clean = view.ledger.house.reconciled
    return _NOT_COMPARED if clean is None else _IS_CLEAN if clean else _DIFFERS


def in_doubt_limit(view: View, intent: Intent) -> GateResult:
    """Orders whose outcome is not known, of the bot and of all."""
    plan = view.facts.plan

    def said(bound: Bound, bot_id: str, unless: Unless) -> GateResult:
        return standing_doubt(view, bot_id, bound)

    word = scoped(plan.own.max_in_doubt, plan.account.max_in_doubt, intent.bot_id, said)
    return warned(word) if intent.reduce_only else word


def standing_doubt(view: View, bot_id: str, bound: Bound) -> GateResult:
    count = len([o for o in view.ledger.orders.values() if o.in_doubt and bot_id in ("", o.bot_id)])
    return counted(_DOUBT, DenyCode.ORDERS_IN_DOUBT, count, bound)


def journal_health(view: View, intent: Intent) -> GateResult:
    """What is decided can be written down."""
    word = standing_journal(view)
    return warned(word) if intent.reduce_only else word


def standing_journal(view: View) -> GateResult:
    house = view.ledger.house
    if house.journal_ok:
        return _WRITES
    code = DenyCode.JOURNAL_UNKNOWN if house.journal_ok is None else DenyCode.JOURNAL_FAILING
    return blocks(_JOURNAL, code, "written", house.journal or "unknown")


def config_hash(view: View, intent: Intent) -> GateResult:
    """The config that the order was made from is the one that the ledger holds active."""
    word = standing_config(view)
    return warned(word) if intent.reduce_only else word


_ACTIVE_CONFIG = passes(_CONFIG, "the active config", "the active config")


def standing_config(view: View) -> GateResult:
    active, mine = view.ledger.config_sha256, view.setup.sha256
    if active == mine:
        return _ACTIVE_CONFIG
    return blocks(_CONFIG, DenyCode.CONFIG_MISMATCH, active[:8] or "none", mine[:8])
