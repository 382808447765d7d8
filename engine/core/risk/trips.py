"""What gates do beyond refusing an order: a loss halts, a throttle pauses a bot, a break of the house reduces.

Asked on every tick and after every evaluation, so that the usual answer, nothing, is cheap.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from engine.core.books import actor_of
from engine.core.events import GateResult
from engine.core.ledger import Ledger
from engine.core.limits import Bound, RiskRule
from engine.core.margin import equity
from engine.core.market import Market
from engine.core.risk.conduct_gates import rate, throttles
from engine.core.risk.custom_gate import firing
from engine.core.risk.house_gates import standing_config, standing_doubt, standing_journal, standing_reconciled
from engine.core.risk.money_gates import day_loss, fall_from_peak, standing_daily, standing_drawdown
from engine.core.risk.view import View, plan_of
from engine.core.setup import Setup
from engine.core.types import ACTIVE, BLOCKED, HALTED, PAUSED, REDUCING, STRICTNESS, ZERO, TradingState


class Trip(NamedTuple):
    """A trading state that a gate asks for. `scope` is a bot's id, "" the account; `actor` is "gate:" and the gate's name."""

    scope: str
    state: TradingState
    actor: str
    reason: str


#: What a rule of G15 asks for beyond the order.
_ACTIONS = {"reduce": REDUCING, "halt": HALTED}


def watches(setup: Setup) -> bool:
    """Whether open positions alone can make something trip."""
    return plan_of(setup, "").watches


def calm(ledger: Ledger, market: Market, setup: Setup) -> bool:
    """Whether nothing can trip by time and prices alone, or all has been looked at since: asked on every tick, before a view is
    made. An order in doubt and a refused one are looked at when they happen."""
    house = ledger.house
    if house.reconciled is False or house.journal_ok is False:
        return False
    plan = setup.plans.get("") or plan_of(setup, "")
    if not plan.watches:
        return True
    if plan.acts:
        return False
    if not ledger.positions and ledger.counts.fills == market.watched_fills:
        return True
    if plan.watches_bots:
        return False
    for account in ledger.accounts.values():
        floor = max(account.peak_equity * plan.drawdown_floor, account.day_start_equity * plan.daily_floor)
        if floor and equity(ledger, market, account) < floor:
            return False
    market.watched_fills = ledger.counts.fills
    return True


def trips(view: View, results: Iterable[GateResult] = (), bot_id: str = "") -> list[Trip]:
    """What the standing gates ask for (on a tick), and the words on an intent of a bot (after `evaluate`): at most one state a
    scope, the strictest.

    Only what would make a state stricter: HALTED over anything else, REDUCING and PAUSED over ACTIVE alone, so that no gate
    turns a person's pause into a state that ends by itself.
    """
    plan = view.plan("")
    limits = plan.account
    found = _losses(view, "", limits.daily_loss_pct, limits.max_drawdown_pct)
    found += _house(view, limits.max_in_doubt)
    if limits.risk_rules:
        found += _rules(view, "", limits.risk_rules)
    for each in sorted({p.bot_id for p in view.positions} | {bot_id, *plan.acting_bots} - {""}):
        found += _of_bot(view, each)
    if bot_id:
        found += _of_words(view, bot_id, {word.gate: word for word in results if word.verdict is BLOCKED})
    if not found:
        return found
    strictest = {trip.scope: trip for trip in sorted(found, key=lambda t: STRICTNESS[t.state])}
    return [trip for trip in strictest.values() if _is_stricter(view, trip)]


def _is_stricter(view: View, trip: Trip) -> bool:
    book = view.ledger.bots.get(trip.scope)
    state = view.ledger.state if book is None else book.state
    if trip.state is HALTED:
        return state is not HALTED
    return state is ACTIVE


def _trip(scope: str, state: TradingState, word: GateResult, what: str = "beyond") -> Trip:
    reason = f"{word.gate} {word.actual} {what} {word.limit}"
    return Trip(scope, state, actor_of(word.gate), reason)


def _losses(view: View, bot_id: str, daily: Bound, drawdown: Bound) -> list[Trip]:
    """G13 as a watch: a fall stops the trading whether or not anyone wants to trade."""
    out = []
    if drawdown.hard is not None and _is_beyond(*fall_from_peak(view, bot_id), drawdown.hard):
        word = standing_drawdown(view, bot_id, drawdown)
        out.append(_trip(bot_id, HALTED, word, "% beyond"))
    if daily.hard is not None and _is_beyond(*day_loss(view, bot_id), daily.hard):
        word = standing_daily(view, bot_id, daily)
        out.append(_trip(bot_id, REDUCING, word, "% beyond"))
    return out


def _is_beyond(part: Decimal, whole: Decimal, hard: Decimal) -> bool:
    return part > ZERO and part * 100 > hard * whole


def _house(view: View, doubt: Bound) -> list[Trip]:
    """G14. An unknown state blocks orders; only a known break changes the trading state."""
    ledger, house = view.ledger, view.ledger.house
    words = []
    if house.reconciled is False:
        words.append(standing_reconciled(view))
    if house.journal_ok is False:
        words.append(standing_journal(view))
    if ledger.config_sha256 != view.setup.sha256:
        words.append(standing_config(view))
    in_doubt = standing_doubt(view, "", doubt)
    if in_doubt.verdict is BLOCKED:
        words.append(in_doubt)
    return [_trip("", REDUCING, word, "against") for word in words]


def _of_bot(view: View, bot_id: str) -> list[Trip]:
    """A bot's own losses and rules."""
    plan = view.plan(bot_id)
    if plan.bot is None or plan.bot.portfolio_id != view.account.portfolio_id:
        return []
    out = _losses(view, bot_id, plan.own.daily_loss_pct, plan.own.max_drawdown_pct)
    return out + _rules(view, bot_id, plan.own.risk_rules) if plan.own.risk_rules else out


def _rules(view: View, bot_id: str, rules: tuple[RiskRule, ...]) -> list[Trip]:
    stern = [rule for rule in rules if rule.action in _ACTIONS]
    return [
        Trip(bot_id, _ACTIONS[rule.action], actor_of("CUSTOM"), f"CUSTOM {rule.name} is true")
        for rule in firing(view, bot_id, stern)
    ]


def _of_words(view: View, bot_id: str, blocked: dict[str, GateResult]) -> list[Trip]:
    """A bot that was refused for what it has done: too many messages, too many entries or losses."""
    out = []
    plan, book = view.plan(bot_id), view.ledger.bots.get(bot_id)
    if "MAX_MESSAGE_RATE" in blocked:
        of_all = rate(view.ledger.messages, plan.account, view.now)
        scope = "" if of_all.verdict is BLOCKED else bot_id
        out.append(_trip(scope, REDUCING, blocked["MAX_MESSAGE_RATE"]))
    if "REPEATED_EXECUTION_THROTTLE" in blocked and book is not None:  # the rest of a symbol ends by itself
        words = throttles(view, book, plan.own, more=1) + throttles(view, book, plan.account, more=1)
        out += [_trip(bot_id, PAUSED, word) for word in words if word.verdict is BLOCKED]
    return out
