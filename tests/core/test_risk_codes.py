"""Every deny code happens: a scene for each, and none that nobody has thought of."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal as D
from typing import Any

import pytest
from msgspec.structs import replace

from engine.core import risk
from engine.core.books import RoundTrip
from engine.core.risk import DenyCode
from engine.core.sizing import entry_quantity
from engine.core.types import BotStatus, InstrumentKind, OrderType, Side, TradingState
from tests.core.riskworld import NOW, PERP, Scene, changed
from tests.core.worlds import BTC

H: dict[str, Any] = {"hard": "1"}
FUTURE: dict[str, Any] = {"symbol": PERP.symbol, "kind": InstrumentKind.LINEAR, "contract_size": D("0.01")}
CROSSING: dict[str, Any] = {"bot": "sibling", "side": Side.SELL, "reduce_only": True}


def book(**facts: Any) -> Callable[[Scene], object]:
    return lambda scene: [setattr(scene.book, name, value) for name, value in facts.items()]


def ledger(**facts: Any) -> Callable[[Scene], object]:
    return lambda scene: [setattr(scene.ledger, name, value) for name, value in facts.items()]


def house(**facts: Any) -> Callable[[Scene], object]:
    return lambda scene: setattr(scene.ledger, "house", replace(scene.ledger.house, **facts))


def rules(**facts: Any) -> Callable[[Scene], object]:
    def change(scene: Scene) -> None:
        scene.market.series[("test", "BTC/USDT")].instrument = changed(BTC, **facts)

    return change


def messages(count: int) -> Callable[[Scene], object]:
    return lambda scene: [scene.ledger.messages.add(NOW) for _ in range(count)]


def doubted(scene: Scene) -> None:
    for _ in range(2):
        scene.order(symbol="ETH/USDT").in_doubt = True


def jumped(scene: Scene) -> None:
    for n in range(40):
        scene.bar(100.0 if n < 39 else 190.0, NOW + (n + 1) * 60_000_000, width=1.0)


def custom(left: str) -> dict[str, Any]:
    return {"risk_rules": [{"name": "mine", "when": {"op": "gt", "left": left, "right": 1}}]}


Case = tuple[dict[str, Any], Callable[[Scene], object] | None, dict[str, Any]]  # limits, what has happened, the intent
CASES: dict[str, Case] = {
    "TRADING_STATE_HALTED": ({}, ledger(state=TradingState.HALTED), {}),
    "TRADING_STATE_PAUSED": ({}, ledger(state=TradingState.PAUSED), {}),
    "TRADING_STATE_REDUCING": ({}, ledger(state=TradingState.REDUCING), {}),
    "TRADING_STATE_HELD": ({}, ledger(held=True), {}),
    "BOT_HALTED": ({}, book(state=TradingState.HALTED), {}),
    "BOT_PAUSED": ({}, book(state=TradingState.PAUSED), {}),
    "BOT_REDUCING": ({}, book(state=TradingState.REDUCING), {}),
    "BOT_STOPPED": ({}, book(status=BotStatus.STOPPED), {}),
    "BOT_ERROR": ({}, book(status=BotStatus.ERROR), {}),
    "BOT_UNKNOWN": ({}, None, {"bot_id": "nobody"}),
    "INSTRUMENT_UNKNOWN": ({}, None, {"symbol": "NOPE"}),
    "INSTRUMENT_NOT_TRADING": ({}, rules(status="BREAK"), {}),
    "INSTRUMENT_CONTRACT": ({}, None, {"contract_size": D(2)}),
    "INSTRUMENT_NO_SHORT": ({}, None, {"side": Side.SELL}),
    "INSTRUMENT_LEVERAGE": ({}, None, {"leverage": D(2)}),
    "INSTRUMENT_TICK": ({}, None, {"price": D("100.001"), "order_type": OrderType.LIMIT}),
    "INSTRUMENT_LOT": ({}, None, {"quantity": D("1.000001")}),
    "INSTRUMENT_MIN_QUANTITY": ({}, None, {"quantity": D(0)}),
    "INSTRUMENT_MAX_QUANTITY": ({}, rules(max_quantity=D("0.5")), {}),
    "INSTRUMENT_MIN_NOTIONAL": ({}, None, {"quantity": D("0.01")}),
    "PRICE_UNKNOWN": ({}, None, {"price": None}),
    "PRICE_COLLAR": ({"price_collar_pct": H}, None, {"price": D(102)}),
    "ORDER_VALUE": ({"max_order_value": H}, None, {}),
    "ORDER_SIZE": ({"max_order_quantity": H}, None, {"quantity": D(2)}),
    "POSITION_VALUE": ({"max_position_value": H}, None, {}),
    "POSITION_COUNT": ({"max_open_positions": H}, lambda s: s.position("1", symbol="ETH/USDT"), {}),
    "EXPOSURE_GROSS": ({"max_gross_exposure_pct": H}, None, {"quantity": D(2)}),
    "EXPOSURE_UNKNOWN": ({"max_position_value": H}, None, {"price": None}),
    "BUYING_POWER": ({}, None, {"quantity": D(101)}),
    "MARGIN_LEVERAGE": ({"max_leverage": {"hard": "0.001"}}, None, {}),
    "MARGIN_LIQUIDATION_NEAR": ({"min_liquidation_distance_pct": {"hard": "50"}}, None, FUTURE | {"leverage": D(9)}),
    "MARGIN_LIQUIDATION_UNKNOWN": ({"min_liquidation_distance_pct": H}, None, FUTURE | {"price": None}),
    "MARGIN_RATIO": ({"max_margin_ratio_pct": H}, lambda s: s.position("1", maintenance_margin=D(999), **FUTURE), {}),
    "MESSAGES_SECOND": ({"max_messages_per_second": H}, messages(1), {}),
    "MESSAGES_MINUTE": ({"max_messages_per_minute": H}, messages(1), {}),
    "MESSAGES_DAY": ({"max_messages_per_day": H}, messages(1), {}),
    "THROTTLE_ENTRIES": ({"max_entries_per_window": H}, book(entry_ts=[NOW]), {}),
    "THROTTLE_LOSSES": ({"max_consecutive_losses": H}, book(losses_in_row=2), {}),
    "THROTTLE_COOLDOWN": ({"cooldown_after_stop_s": 9}, book(last_stop_ts={"test BTC/USDT": NOW}), {}),
    "THROTTLE_LOW_PROFIT": ({"low_profit_trades": 1}, book(recent={"test BTC/USDT": [RoundTrip(NOW, D(-1))]}), {}),
    "DUPLICATE_IN_FLIGHT": ({}, lambda s: s.order(), {}),
    "DUPLICATE_SIGNAL": ({}, book(last_entry_signal={"test BTC/USDT BUY": "s"}), {"signal_id": "s"}),
    "SELF_TRADE": ({}, lambda s: s.order(**CROSSING), {}),
    "DATA_UNKNOWN": ({}, None, {"symbol": "NOPE"}),
    "DATA_STALE": ({"max_data_age_s": H}, lambda s: setattr(s, "at", NOW + 99_000_000), {}),
    "DATA_JUMP": ({"max_jump_atr": H}, jumped, {}),
    "CLOCK_UNKNOWN": ({"max_clock_skew_ms": H}, house(clock_skew_ms=None), {}),
    "CLOCK_SKEW": ({"max_clock_skew_ms": H}, house(clock_skew_ms=2), {}),
    "SPREAD_UNKNOWN": ({"max_spread_bps": H}, None, {}),
    "SPREAD_WIDE": ({"max_spread_bps": H}, lambda s: s.quote(99.0, 101.0), {}),
    "LOSS_DAILY": ({"daily_loss_pct": H}, lambda s: setattr(s.account, "cash", D(1)), {}),
    "LOSS_DRAWDOWN": ({"max_drawdown_pct": H}, lambda s: setattr(s.account, "cash", D(1)), {}),
    "RECONCILIATION_UNKNOWN": ({}, house(reconciled=None), {}),
    "RECONCILIATION_BREAK": ({}, house(reconciled=False), {}),
    "ORDERS_IN_DOUBT": ({"max_in_doubt": H}, doubted, {}),
    "JOURNAL_UNKNOWN": ({}, house(journal_ok=None), {}),
    "JOURNAL_FAILING": ({}, house(journal_ok=False), {}),
    "CONFIG_MISMATCH": ({}, ledger(config_sha256="another"), {}),
    "CUSTOM_RULE": (custom("equity"), None, {}),
    "CUSTOM_UNKNOWN": (custom("spread_bps"), None, {}),
}
#: Before any gate: sizing finds no order to ask about.
BY_SIZING = {DenyCode.SIZE_UNKNOWN, DenyCode.SIZE_BELOW_MINIMUM}


def test_every_code_has_a_scene() -> None:
    assert {*CASES, *BY_SIZING} == set(DenyCode) - {DenyCode.NONE}


@pytest.mark.parametrize("code", CASES)
def test_a_code_happens_and_nothing_without_its_cause(code: str) -> None:
    limits, happened, intent = CASES[code]
    scene = Scene(limits)
    if happened is not None:
        happened(scene)
    words = risk.evaluate(scene.view(), scene.intent(**intent))[0]
    assert code in {word.code for word in words if word.verdict == "BLOCKED"}
    assert all((word.code == "") == (word.verdict == "ALLOWED") for word in words)
    assert not [word for word in risk.evaluate(Scene().view(), Scene().intent())[0] if word.code]


@pytest.mark.parametrize(
    ("sizing", "code"),
    [({"kind": "volatility_target", "value": "1"}, DenyCode.SIZE_UNKNOWN),
     ({"kind": "fixed_quantity", "value": "0.000001"}, DenyCode.SIZE_BELOW_MINIMUM)],
)  # fmt: skip
def test_sizing_has_codes_of_its_own(sizing: dict[str, Any], code: DenyCode) -> None:
    scene = Scene(sizing=sizing)
    assert entry_quantity(scene.view(), scene.probe, BTC, D(100)).code is code
