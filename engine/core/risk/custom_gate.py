"""G15: the risk rules of a config, conditions of the rule language over series of account and market, at this moment.

Logic is Kleene's, as in `engine.core.evaluate`, on exact decimals. An unknown rule counts as true where it stops orders, so
that an unknown input blocks; it never changes a trading state by itself, because a feed that has not begun is no emergency.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal

from engine.core.events import GateResult
from engine.core.limits import MARKET_SERIES, RiskRule
from engine.core.market import Series
from engine.core.risk.house_gates import BPS, age_us, bid_and_ask
from engine.core.risk.money_gates import day_loss, fall_from_peak
from engine.core.risk.view import Intent, View
from engine.core.risk.words import DenyCode, blocks, passes, warned, worse
from engine.core.rules import Compare, Condition, Group, Not
from engine.core.setup import JUMP_ATR_PERIOD
from engine.core.types import DAY_US, HOUR_US, SECOND_US, ZERO, InvariantError, money

_CUSTOM = "CUSTOM"
_SILENT = passes(_CUSTOM, "no rule true", "no rule true")
#: 1970-01-01 was a Thursday.
_EPOCH_WEEKDAY = 3

Read = Callable[["Moment"], Decimal | None]


class Moment:
    """What a rule reads: one scope (a bot, or "" for the portfolio), and the symbol, where one is meant."""

    __slots__ = ("bot_id", "series", "view")

    def __init__(self, view: View, bot_id: str, series: Series | None) -> None:
        self.view = view
        self.bot_id = bot_id
        self.series = series

    def value(self, operand: int | float | str) -> Decimal | None:
        return _SERIES[operand](self) if isinstance(operand, str) else money(operand)


def custom(view: View, intent: Intent) -> GateResult:
    """The worst of the bot's own rules and the account's, for the symbol of the order."""
    facts = view.facts
    bots = Moment(view, intent.bot_id, facts.series)
    accounts = Moment(view, "", facts.series)
    return worse(said(facts.plan.own.risk_rules, bots), said(facts.plan.account.risk_rules, accounts))


def said(rules: Iterable[RiskRule], moment: Moment) -> GateResult:
    """The worst word of some rules; the first of several that are as bad."""
    word = _SILENT
    for rule in rules:
        truth = holds(rule.when, moment)
        if truth is False:
            continue
        code = DenyCode.CUSTOM_RULE if truth else DenyCode.CUSTOM_UNKNOWN
        strict = blocks(_CUSTOM, code, rule.action, rule.name)
        word = worse(word, warned(strict) if rule.action == "warn" else strict)
    return word


def standing(view: View, bot_id: str, rules: Iterable[RiskRule]) -> GateResult:
    """The worst of the rules, those on market series over all symbols of the scope."""
    word = _SILENT
    for rule in rules:
        for moment in _moments(view, bot_id, rule):
            word = worse(word, said((rule,), moment))
    return word


def firing(view: View, bot_id: str, rules: Iterable[RiskRule]) -> list[RiskRule]:
    """The rules that are true, at any symbol of the scope; unknown is not."""
    return [rule for rule in rules if any(holds(rule.when, moment) for moment in _moments(view, bot_id, rule))]


def _moments(view: View, bot_id: str, rule: RiskRule) -> list[Moment]:
    if not any(name in MARKET_SERIES for name in rule.reads()):
        return [Moment(view, bot_id, None)]
    return [Moment(view, bot_id, series) for series in view.series_of(bot_id)]


def holds(condition: Condition, moment: Moment) -> bool | None:
    """True, False, or None for unknown."""
    if isinstance(condition, Compare):
        return _compare(condition, moment.value(condition.left), moment.value(condition.right))
    if isinstance(condition, Group):
        parts = [holds(part, moment) for part in condition.of]
        decisive = condition.op == "any"
        if decisive in parts:
            return decisive
        return None if None in parts else not decisive
    if not isinstance(condition, Not):
        raise InvariantError(f"{condition.op} in a risk rule")  # refused when the config was read
    part = holds(condition.of, moment)
    return None if part is None else not part


def _compare(condition: Compare, left: Decimal | None, right: Decimal | None) -> bool | None:
    if left is None or right is None:
        return None
    match condition.op:
        case "gt":
            return left > right
        case "ge":
            return left >= right
        case "lt":
            return left < right
        case _:
            return left <= right


# -- series --------------------------------------------------------------------------------------------------------------


def _percent(part: Decimal, whole: Decimal) -> Decimal | None:
    return part * 100 / whole if whole > ZERO else None


def _drawdown_pct(m: Moment) -> Decimal | None:
    return _percent(*fall_from_peak(m.view, m.bot_id))


def _day_pnl_pct(m: Moment) -> Decimal | None:
    loss, start = day_loss(m.view, m.bot_id)
    return _percent(-loss, start)


def _leverage(m: Moment) -> Decimal | None:
    exposure, equity = m.view.exposure(), m.view.equity()
    return exposure.gross(m.bot_id) / equity if exposure.is_known and equity > ZERO else None


def _gross_exposure_pct(m: Moment) -> Decimal | None:
    leverage = _leverage(m)
    return None if leverage is None else leverage * 100


def _losses_in_row(m: Moment) -> Decimal:
    books = m.view.ledger.bots
    return Decimal(max((book.losses_in_row for bot_id, book in books.items() if m.bot_id in ("", bot_id)), default=0))


def _in_doubt(m: Moment) -> Decimal:
    return Decimal(sum(o.in_doubt and m.bot_id in ("", o.bot_id) for o in m.view.ledger.orders.values()))


def _messages_minute(m: Moment) -> Decimal | None:
    book = m.view.ledger.bots.get(m.bot_id)
    messages = m.view.ledger.messages if not m.bot_id else None if book is None else book.messages
    return None if messages is None else Decimal(messages.at(m.view.now)[1])


def _close(m: Moment) -> Decimal | None:
    return m.series.price if m.series is not None else None


def _spread_bps(m: Moment) -> Decimal | None:
    quote = bid_and_ask(m.series)
    return None if quote is None else (quote[1] - quote[0]) * 2 * BPS / (quote[1] + quote[0])


def _data_age_s(m: Moment) -> Decimal | None:
    age = age_us(m.series, m.view.now)
    return None if age is None else Decimal(age) / SECOND_US


def _atr_pct(m: Moment) -> Decimal | None:
    price, atr = _close(m), None if m.series is None else m.series.atr(JUMP_ATR_PERIOD)
    return None if price is None or atr is None else _percent(money(atr), price)


#: By the names of `limits.ACCOUNT_SERIES` and `limits.MARKET_SERIES` (tested).
_SERIES: dict[str, Read] = {
    "equity": lambda m: m.view.equity(),
    "cash": lambda m: m.view.account.cash,
    "drawdown_pct": _drawdown_pct,
    "day_pnl_pct": _day_pnl_pct,
    "open_positions": lambda m: Decimal(m.view.exposure().count(m.bot_id)),
    "gross_exposure_pct": _gross_exposure_pct,
    "leverage": _leverage,
    "losses_in_row": _losses_in_row,
    "in_doubt": _in_doubt,
    "messages_minute": _messages_minute,
    "hour_utc": lambda m: Decimal(m.view.now % DAY_US // HOUR_US),
    "weekday_utc": lambda m: Decimal((m.view.now // DAY_US + _EPOCH_WEEKDAY) % 7),
    "close": _close,
    "spread_bps": _spread_bps,
    "data_age_s": _data_age_s,
    "atr_pct": _atr_pct,
}
