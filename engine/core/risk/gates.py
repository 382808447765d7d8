"""The table of the gates, and what is asked of all of them: `evaluate` an intent, the `board`.

Every gate is `gate(view, intent) -> GateResult`. All are asked, also after the first that blocks, except that the word of a
gate without a limit, or of one that does not concern a reduce-only order, is made once per bot and config.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from operator import attrgetter, itemgetter

import msgspec

from engine.core.events import GateResult
from engine.core.risk import (
    conduct_gates as conduct,
    custom_gate as own_rules,
    house_gates as house,
    money_gates as money,
    order_gates as order,
)
from engine.core.risk.view import GateFunction, Intent, Plan, Sheet, View
from engine.core.risk.words import passes
from engine.core.types import ALLOWED, BLOCKED, WARNED, Verdict


class Gate(msgspec.Struct, frozen=True):
    """One row of the table. `limits` are the names of its limits: without any of them it has nothing to say (empty: it always
    has). `closing`: it is also asked of reduce-only orders. `trips`: what follows beyond the order."""

    number: str
    name: str
    ask: GateFunction
    limits: tuple[str, ...] = ()
    closing: bool = False
    trips: str = ""


_RATES = ("max_messages_per_second", "max_messages_per_minute", "max_messages_per_day")
_THROTTLES = ("max_entries_per_window", "max_consecutive_losses", "cooldown_after_stop_s", "low_profit_trades")

GATES: tuple[Gate, ...] = (
    Gate("G1", "TRADING_STATE", order.trading_state, closing=True),
    Gate("G2", "INSTRUMENT_RULES", order.instrument_rules, closing=True),
    Gate("G3", "PRICE_COLLAR", order.price_collar, closing=True),
    Gate("G4", "MAX_ORDER_VALUE", order.max_order_value, ("max_order_value",)),
    Gate("G5", "MAX_ORDER_SIZE", order.max_order_size, ("max_order_quantity",)),
    Gate("G6", "MAX_POSITION", money.max_position, ("max_position_value",)),
    Gate("G6", "MAX_GROSS_EXPOSURE", money.max_gross_exposure, ("max_gross_exposure_pct",)),
    Gate("G6", "MAX_OPEN_POSITIONS", money.max_open_positions, ("max_open_positions",)),
    Gate("G7", "BUYING_POWER", money.buying_power),
    Gate("G7", "MAX_LEVERAGE", money.max_leverage, ("max_leverage",)),
    Gate("G7", "LIQUIDATION_DISTANCE", money.liquidation_distance, ("min_liquidation_distance_pct",)),
    Gate("G7", "MARGIN_RATIO", money.margin_ratio, ("max_margin_ratio_pct",)),
    Gate("G8", "MAX_MESSAGE_RATE", conduct.message_rate, _RATES, True, "REDUCING until a person resumes"),
    Gate(
        "G9",
        "REPEATED_EXECUTION_THROTTLE",
        conduct.repeated_execution,
        _THROTTLES,
        trips="too many entries or losses: the bot is PAUSED until a person resumes it",
    ),
    Gate("G10", "DUPLICATE_ORDER", order.duplicate_order),
    Gate("G11", "SELF_TRADE_PREVENTION", order.self_trade_prevention, closing=True),
    Gate("G12", "STALE_DATA", house.stale_data, closing=True),
    Gate("G12", "CLOCK_SKEW", house.clock_skew, ("max_clock_skew_ms",), True),
    Gate("G12", "SPREAD", house.spread, ("max_spread_bps",), True),
    Gate("G12", "DATA_REASONABILITY", house.data_reasonability, ("max_jump_atr",), True),
    Gate(
        "G13", "DAILY_LOSS_LOCK", money.daily_loss, ("daily_loss_pct",), trips="REDUCING until the next day or a person"
    ),
    Gate("G13", "MAX_DRAWDOWN", money.max_drawdown, ("max_drawdown_pct",), trips="HALTED until a person resumes"),
    Gate("G14", "RECONCILIATION_CLEAN", house.reconciliation_clean, (), True, "REDUCING until a person resumes"),
    Gate("G14", "IN_DOUBT_LIMIT", house.in_doubt_limit, ("max_in_doubt",), True, "REDUCING until a person resumes"),
    Gate("G14", "JOURNAL_HEALTH", house.journal_health, (), True, "REDUCING until a person resumes"),
    Gate("G14", "CONFIG_HASH", house.config_hash, (), True, "REDUCING until a person resumes"),
    Gate("G15", "CUSTOM", own_rules.custom, ("risk_rules",), trips="as the rule says: REDUCING or HALTED"),
)


# -- an intent -----------------------------------------------------------------------------------------------------------

#: Gates whose word follows from the state of the house alone, not from the order: asked when it has changed.
_STANDING = (
    house.clock_skew,
    house.reconciliation_clean,
    house.in_doubt_limit,
    house.journal_health,
    house.config_hash,
)
_IN_DOUBT, _VERDICT = attrgetter("in_doubt"), attrgetter("verdict")
_CALM = frozenset({ALLOWED})


def evaluate(view: View, intent: Intent, estimate: Decimal | None = None) -> tuple[tuple[GateResult, ...], Verdict]:
    """Every gate's word, in the order of GATES, and the worst verdict. `estimate` is what an order without a limit will cost."""
    plan = view.ask(intent, estimate)
    sheet = plan.closing if intent.reduce_only else plan.entry
    if sheet is None:
        plan.entry, plan.closing = _sheet(plan, closing=False), _sheet(plan, closing=True)
        return evaluate(view, intent, estimate)
    ledger = view.ledger
    in_doubt = any(map(_IN_DOUBT, ledger.orders.values()))
    if in_doubt or ledger.house is not sheet.house or ledger.config_sha256 != sheet.config_sha256:
        for index, gate in sheet.standing:
            sheet.words[index] = gate(view, intent)
        sheet.house, sheet.config_sha256 = None if in_doubt else ledger.house, ledger.config_sha256
        sheet.verdict = verdict_of(sheet.words[index] for index, _ in sheet.standing)
    live = [ask(view, intent) for ask in sheet.live]
    words = sheet.words + live
    verdict = sheet.verdict if _CALM.issuperset(map(_VERDICT, live)) else verdict_of(words)
    return sheet.arrange(words), verdict


def _sheet(plan: Plan, *, closing: bool) -> Sheet:
    words: list[GateResult | None] = []
    live: list[GateFunction] = []
    standing: list[tuple[int, GateFunction]] = []
    places: list[int] = []
    for index, gate in enumerate(GATES):
        places.append(index)
        words.append(None)
        if closing and not gate.closing:
            words[index] = passes(gate.name, "reduce-only")
        elif gate.limits and not any(plan.own.says(name) or plan.account.says(name) for name in gate.limits):
            words[index] = passes(gate.name, "none")
        elif gate.ask in _STANDING:
            standing.append((index, gate.ask))
        else:
            places[index] = len(GATES) + len(live)
            live.append(gate.ask)
    return Sheet(words, tuple(live), tuple(standing), itemgetter(*places))


def verdict_of(results: Iterable[GateResult | None]) -> Verdict:
    """The worst of them."""
    found = {word.verdict for word in results if word is not None}
    return BLOCKED if BLOCKED in found else WARNED if WARNED in found else ALLOWED


# -- without an intent ---------------------------------------------------------------------------------------------------


def board(view: View, bot_id: str = "") -> tuple[GateResult, ...]:
    """The gates that are true or not without any order in sight: of the view's portfolio against the account's limits, or of
    a bot against its own."""
    plan = view.plan(bot_id)
    limits = plan.own if bot_id else plan.account
    ledger = view.ledger
    book = ledger.bots.get(bot_id)
    out = [
        order.standing_state(view, bot_id),
        money.standing_gross(view, bot_id, limits.max_gross_exposure_pct),
        money.standing_count(view, bot_id, limits.max_open_positions),
        money.standing_leverage(view, bot_id, limits.max_leverage),
        money.standing_distance(view, bot_id, limits.min_liquidation_distance_pct),
        money.standing_ratio(view, bot_id, limits.max_margin_ratio_pct),
        conduct.rate(book.messages if book else ledger.messages, limits, view.now, more=0),
        house.stalest(view.series_of(bot_id), view.now, limits.max_data_age_s),
        house.standing_clock(view, limits.max_clock_skew_ms),
        money.standing_daily(view, bot_id, limits.daily_loss_pct),
        money.standing_drawdown(view, bot_id, limits.max_drawdown_pct),
        house.standing_reconciled(view),
        house.standing_doubt(view, bot_id, limits.max_in_doubt),
        house.standing_journal(view),
        house.standing_config(view),
        own_rules.standing(view, bot_id, limits.risk_rules),
    ]
    if book is not None:
        out.append(conduct.standing_throttle(view, book, limits))
    return tuple(out)
