"""What gates do beyond refusing an order, the board, and what is the same for all gates."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest
from msgspec.structs import replace

from engine.core import risk
from engine.core.risk import GATES
from engine.core.risk.words import show
from engine.core.types import BotStatus, TradingState, Verdict
from tests.core.riskworld import NOW, Scene

ACTIVE, PAUSED, REDUCING, HALTED = TradingState.ACTIVE, TradingState.PAUSED, TradingState.REDUCING, TradingState.HALTED
LOSSES = {"daily_loss_pct": {"hard": "5"}, "max_drawdown_pct": {"hard": "10"}}


def trips(scene: Scene, intent: risk.Intent | None = None) -> list[tuple[str, TradingState, str]]:
    view = scene.view()
    found = risk.trips(view, *((risk.evaluate(view, intent)[0], intent.bot_id) if intent else ()))
    return [("probe" if trip.scope == scene.probe.id else trip.scope, trip.state, trip.actor) for trip in found]


# -- losses --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "found"),
    [
        ("500", []),
        ("500.01", [("", REDUCING, "gate:DAILY_LOSS_LOCK")]),
        ("1000", [("", REDUCING, "gate:DAILY_LOSS_LOCK")]),
        ("1000.01", [("", HALTED, "gate:MAX_DRAWDOWN")]),
        ("-5000", []),
    ],
)
def test_losses_of_the_account(loss: str, found: list[Any]) -> None:
    scene = Scene(LOSSES)
    scene.account.cash -= D(loss)
    assert trips(scene) == found
    scene.ledger.counts.fills += 1
    assert risk.calm(scene.ledger, scene.market, scene.setup) is (not found)


@pytest.mark.parametrize(
    ("loss", "found"),
    [
        ("500", []),
        ("500.01", [("probe", REDUCING, "gate:DAILY_LOSS_LOCK")]),
        ("1000.01", [("probe", HALTED, "gate:MAX_DRAWDOWN")]),
    ],
)
def test_losses_of_a_bot(loss: str, found: list[Any]) -> None:
    scene = Scene(own=LOSSES)
    scene.book.realized_pnl = -D(loss)
    assert trips(scene) == []  # it holds nothing: it is looked at when it wants something
    assert trips(scene, scene.intent()) == found
    scene.position("1")
    assert trips(scene) == found


def test_limits_that_are_not_set_never_trip() -> None:
    scene = Scene()
    scene.account.cash = D(1)
    scene.position("1", "5000")
    assert trips(scene) == [] and risk.calm(scene.ledger, scene.market, scene.setup)
    for limits in ({"daily_loss_pct": {"soft": "1"}}, {"max_drawdown_pct": {"soft": "1"}}):
        scene = Scene(limits, limits)
        scene.account.cash = D(1)
        scene.position("1", "5000")
        assert trips(scene) == []


@pytest.mark.parametrize(
    ("state", "loss", "found"),
    [(PAUSED, "600", []), (REDUCING, "600", []), (HALTED, "600", []), (PAUSED, "1100", [HALTED]),
     (REDUCING, "1100", [HALTED]), (HALTED, "1100", [])],
)  # fmt: skip
@pytest.mark.parametrize("scope", ["account", "own"])
def test_only_what_is_stricter(scope: str, state: TradingState, loss: str, found: list[TradingState]) -> None:
    scene = Scene(**{scope: LOSSES})
    scene.position("1")
    if scope == "account":
        scene.ledger.state = state
        scene.account.cash -= D(loss)
    else:
        scene.book.state = state
        scene.book.realized_pnl -= D(loss)
    assert [trip[1] for trip in trips(scene)] == found


def test_a_portfolio_that_began_the_day_in_debt_and_lost_nothing_since_does_not_trip() -> None:
    scene = Scene(LOSSES)
    scene.account.cash = scene.account.day_start_equity = scene.account.peak_equity = D(-100)
    assert trips(scene) == []


def test_bots_of_another_portfolio_or_config_are_left_alone() -> None:
    scene = Scene(own=LOSSES)
    scene.position("1").bot_id = "gone"
    scene.book.realized_pnl = D(-9999)
    assert trips(scene) == []
    view = scene.view()
    view.account = type(scene.account)("other", "EUR", D(1), D(1), D(1), D(1), D(1))
    assert risk.trips(view, (), scene.probe.id) == []


# -- the house -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("field", "gate"), [("reconciled", "RECONCILIATION_CLEAN"), ("journal_ok", "JOURNAL_HEALTH")])
def test_a_broken_house_reduces_and_an_unknown_one_does_not(field: str, gate: str) -> None:
    scene = Scene()
    scene.ledger.house = replace(scene.ledger.house, **{field: None})
    assert trips(scene) == [] and risk.calm(scene.ledger, scene.market, scene.setup)
    scene.ledger.house = replace(scene.ledger.house, **{field: False})
    assert trips(scene) == [("", REDUCING, f"gate:{gate}")]
    assert not risk.calm(scene.ledger, scene.market, scene.setup)


def test_another_config_and_orders_in_doubt_reduce() -> None:
    scene = Scene({"max_in_doubt": {"hard": "1"}})
    scene.order(symbol="ETH/USDT").in_doubt = True
    assert trips(scene) == []
    scene.order(symbol="ETH/USDT").in_doubt = True
    assert trips(scene) == [("", REDUCING, "gate:IN_DOUBT_LIMIT")]
    scene = Scene()
    scene.ledger.config_sha256 = "another"
    assert trips(scene) == [("", REDUCING, "gate:CONFIG_HASH")]


# -- conduct -------------------------------------------------------------------------------------------------------------


def test_a_flood_of_messages_reduces_whoever_sent_it() -> None:
    limits = {"max_messages_per_second": {"hard": "1"}}
    scene = Scene(limits)
    assert trips(scene, scene.intent()) == []
    scene.ledger.messages.add(NOW)
    assert trips(scene, scene.intent()) == [("", REDUCING, "gate:MAX_MESSAGE_RATE")]
    assert trips(scene) == []
    scene = Scene(own=limits)
    scene.book.messages.add(NOW)
    assert trips(scene, scene.intent()) == [("probe", REDUCING, "gate:MAX_MESSAGE_RATE")]


@pytest.mark.parametrize("scope", ["account", "own"])
def test_too_many_entries_or_losses_pause_the_bot_and_a_rest_does_not(scope: str) -> None:
    found = [("probe", PAUSED, "gate:REPEATED_EXECUTION_THROTTLE")]
    scene = Scene(**{scope: {"max_entries_per_window": {"hard": "1"}}})
    assert trips(scene, scene.intent()) == []
    scene.book.entry_ts.append(NOW)
    assert trips(scene, scene.intent()) == found
    scene = Scene(**{scope: {"max_consecutive_losses": {"hard": "1"}}})
    scene.book.losses_in_row = 2
    assert trips(scene, scene.intent()) == found
    scene = Scene(**{scope: {"max_consecutive_losses": {"soft": "1"}, "cooldown_after_stop_s": 60}})
    scene.book.losses_in_row = 2
    scene.book.last_stop_ts["test BTC/USDT"] = NOW
    assert trips(scene, scene.intent()) == []
    scene = Scene({"max_consecutive_losses": {"hard": "1"}})
    assert trips(scene, scene.intent(bot_id="nobody")) == []


# -- rules ---------------------------------------------------------------------------------------------------------------


def ruled(left: str, action: str, name: str = "mine") -> dict[str, Any]:
    return {"risk_rules": [{"name": name, "when": {"op": "gt", "left": left, "right": 50}, "action": action}]}


@pytest.mark.parametrize(("action", "state"), [("warn", None), ("block", None), ("reduce", REDUCING), ("halt", HALTED)])
@pytest.mark.parametrize("scope", ["account", "own"])
def test_a_rule_acts_as_configured(scope: str, action: str, state: TradingState | None) -> None:
    for series in ("equity", "close"):
        scene = Scene(**{scope: ruled(series, action)})
        want = [] if state is None else [("" if scope == "account" else "probe", state, "gate:CUSTOM")]
        assert trips(scene) == want
        assert risk.calm(scene.ledger, scene.market, scene.setup) is (state is None)
        assert risk.watches(scene.setup) is (state is not None)


def test_an_unknown_rule_blocks_and_does_not_act() -> None:
    scene = Scene(ruled("spread_bps", "halt"))
    assert scene.told("CUSTOM") == "BLOCKED CUSTOM_UNKNOWN" and trips(scene) == []
    scene.quote(90.0, 110.0, symbol="ETH/USDT")  # true at one symbol is true
    assert trips(scene) == [("", HALTED, "gate:CUSTOM")]


def test_a_bots_rule_looks_at_its_own_symbols() -> None:
    scene = Scene(own=ruled("spread_bps", "halt"), symbols=["BTC/USDT"])
    scene.quote(90.0, 110.0, symbol="ETH/USDT")
    assert trips(scene) == []
    scene.quote(90.0, 110.0)
    assert trips(scene) == [("probe", HALTED, "gate:CUSTOM")]


def test_the_strictest_of_one_scope_is_asked_for() -> None:
    scene = Scene(ruled("equity", "reduce") | LOSSES)
    scene.account.cash = D(100)
    assert trips(scene) == [("", HALTED, "gate:MAX_DRAWDOWN")]


# -- calm ----------------------------------------------------------------------------------------------------------------


def test_calm_looks_again_only_when_something_may_have_moved() -> None:
    scene = Scene(LOSSES)
    calm = lambda: risk.calm(scene.ledger, scene.market, scene.setup)  # noqa: E731
    assert calm() and scene.market.watched_fills == 0
    scene.account.cash = D(9_499)
    assert calm()  # flat and without a fill: nothing can have moved
    scene.ledger.counts.fills = 1
    assert not calm()
    scene.account.cash = D(9_500)
    assert calm()  # at the floor is not below it
    scene.position("1", "100")
    assert calm()
    scene.bar(99.0, NOW + 60_000_000)
    assert not calm()
    assert risk.watches(scene.setup)
    assert not risk.watches(Scene().setup)
    assert risk.watches(Scene({"daily_loss_pct": {"hard": "1"}}).setup)
    assert risk.watches(Scene({"max_drawdown_pct": {"hard": "1"}}).setup)


@pytest.mark.parametrize("name", ["daily_loss_pct", "max_drawdown_pct"])
def test_a_bot_with_a_loss_limit_is_looked_at_while_anything_is_open(name: str) -> None:
    scene = Scene(own={name: {"hard": "5"}})
    scene.market.watched_fills = 0
    assert risk.calm(scene.ledger, scene.market, scene.setup) and risk.watches(scene.setup)
    scene.position("1")
    assert not risk.calm(scene.ledger, scene.market, scene.setup)


# -- board ---------------------------------------------------------------------------------------------------------------


def board(scene: Scene, bot: bool = False, **only: str) -> dict[str, str]:
    words = risk.board(scene.view(), scene.probe.id if bot else "")
    assert {word.gate for word in words} <= {gate.name for gate in GATES}
    return {word.gate: f"{word.verdict} {word.code}".rstrip() for word in words}


def test_the_board_tells_the_standing_gates_of_each_scope() -> None:
    limits = {
        "max_gross_exposure_pct": {"hard": "1"}, "max_open_positions": {"hard": "1"}, "max_leverage": {"hard": "0.01"},
        "max_messages_per_second": {"hard": "1"}, "max_data_age_s": {"hard": "1"}, "max_clock_skew_ms": {"hard": "1"},
        "max_in_doubt": {"hard": "1"}, "max_margin_ratio_pct": {"hard": "1"},
        "min_liquidation_distance_pct": {"hard": "10"}, **LOSSES, **ruled("hour_utc", "block"),
    }  # fmt: skip
    calm = board(Scene(limits))
    assert set(calm.values()) == {"ALLOWED"} and len(calm) == 16
    assert set(board(Scene(own=limits | {"max_consecutive_losses": {"hard": "1"}}), bot=True).values()) == {"ALLOWED"}
    for bot in (False, True):
        scene = Scene(**{"own" if bot else "account": limits | {"max_consecutive_losses": {"hard": "1"}}})
        scene.position("1", "2000", maintenance_margin=D(5000), liquidation_price=D(95))
        for symbol in ("BTC/USDT", "ETH/USDT"):
            scene.order("1", symbol=symbol).in_doubt = True
        for _ in range(2):
            scene.ledger.messages.add(NOW)
            scene.book.messages.add(NOW)
        scene.book.realized_pnl = D(-5000)
        scene.book.losses_in_row = 2
        scene.account.cash = D(100)
        scene.at = NOW + 60_000_000 + 1_000_001
        scene.ledger.house = replace(scene.ledger.house, clock_skew_ms=2)
        told = board(scene, bot)
        late = {gate for gate, word in told.items() if word == "ALLOWED"}
        # the second of the messages is over, nothing else is
        want = {"TRADING_STATE", "RECONCILIATION_CLEAN", "JOURNAL_HEALTH", "CONFIG_HASH", "CUSTOM", "MAX_MESSAGE_RATE"}
        assert late == want, told
        scene.at = NOW
        assert board(scene, bot)["MAX_MESSAGE_RATE"] == "BLOCKED MESSAGES_SECOND"
        assert board(scene, bot).get("REPEATED_EXECUTION_THROTTLE") == ("BLOCKED THROTTLE_LOSSES" if bot else None)


def test_the_board_tells_the_state_and_what_is_not_known() -> None:
    scene = Scene(price=None)
    assert board(scene)["STALE_DATA"] == "BLOCKED DATA_UNKNOWN"
    assert board(scene)["TRADING_STATE"] == "ALLOWED"
    assert board(scene, bot=True)["TRADING_STATE"] == "ALLOWED"
    scene.book.status = BotStatus.ERROR
    assert board(scene, bot=True)["TRADING_STATE"] == "BLOCKED BOT_ERROR"
    scene.book.state = PAUSED
    assert board(scene, bot=True)["TRADING_STATE"] == "BLOCKED BOT_PAUSED"
    scene.ledger.state = HALTED
    assert board(scene)["TRADING_STATE"] == "BLOCKED TRADING_STATE_HALTED"
    scene.ledger.held = True
    assert board(scene)["TRADING_STATE"] == "BLOCKED TRADING_STATE_HELD"
    assert board(scene, bot=True)["TRADING_STATE"] == "BLOCKED TRADING_STATE_HELD"
    scene.ledger.held = False
    words = risk.board(scene.view(), "nobody")
    assert words[0].code == "BOT_UNKNOWN"


def test_the_board_tells_the_oldest_data() -> None:
    scene = Scene({"max_data_age_s": {"hard": "60"}}, price=None)
    scene.bar(100.0, NOW - 180_000_000)
    scene.bar(100.0, NOW, symbol="ETH/USDT")
    assert board(scene)["STALE_DATA"] == "BLOCKED DATA_STALE"


# -- all gates -----------------------------------------------------------------------------------------------------------


def test_every_gate_speaks_also_after_the_first_that_blocks() -> None:
    scene = Scene({"max_order_value": {"hard": "1"}})
    scene.ledger.state = HALTED
    words = risk.evaluate(scene.view(), scene.intent())[0]
    assert [word.gate for word in words] == [gate.name for gate in GATES]
    assert [word.gate for word in words if word.verdict is Verdict.BLOCKED] == ["TRADING_STATE", "MAX_ORDER_VALUE"]
    assert risk.verdict_of(words) is Verdict.BLOCKED
    closing = risk.evaluate(scene.view(), scene.closing())[0]
    assert [word.gate for word in closing] == [gate.name for gate in GATES]
    assert risk.verdict_of(closing) is Verdict.ALLOWED
    skipped = {word.gate for word in closing if word.limit == "reduce-only" and word.actual == ""}
    assert skipped == {gate.name for gate in GATES if not gate.closing}


def test_the_worst_verdict_counts() -> None:
    scene = Scene({"max_order_value": {"soft": "1"}})
    words = risk.evaluate(scene.view(), scene.intent())[0]
    assert risk.verdict_of(words) is Verdict.WARNED
    assert risk.verdict_of([]) is Verdict.ALLOWED


def test_what_leaves_is_never_skipped_by_the_rules_of_the_venue_the_collar_and_the_rate() -> None:
    asked = {gate.number for gate in GATES if gate.closing}
    assert {"G1", "G2", "G3", "G8"} <= asked and not asked & {"G4", "G5", "G6", "G9", "G13"}


def test_a_bot_that_the_config_does_not_know_may_leave_within_the_accounts_limits() -> None:
    scene = Scene({"max_messages_per_second": {"hard": "1"}})
    gone = scene.closing(bot_id="gone")
    assert risk.evaluate(scene.view(), gone)[1] is Verdict.ALLOWED
    scene.ledger.messages.add(NOW)
    assert risk.evaluate(scene.view(), gone)[1] is Verdict.BLOCKED


def test_a_view_answers_for_the_intent_that_it_is_asked_of() -> None:
    scene = Scene({"max_order_value": {"hard": "200"}})
    view = scene.view()
    first = [risk.evaluate(view, scene.intent(q))[1] for q in ("1", "3", "2")]
    assert first == ["ALLOWED", "BLOCKED", "ALLOWED"]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("100", "100"),
        ("1234567.1234567890", "1234567.1234567890"),
        ("12345678.1234567890", "12345678.12345679"),
        ("1E+3", "1000"),
        ("1E-20", "0"),
    ],
)
def test_numbers_are_shown_short_and_without_exponent(number: str, text: str) -> None:
    assert show(D(number)) == text
