"""G1 to G5, G10, G11: one table per gate of what passes, warns and blocks; what is not known blocks."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest

from engine.core.risk import DenyCode
from engine.core.types import (
    SECOND_US,
    BotStatus,
    InstrumentKind,
    OrderType,
    Origin,
    PositionSide,
    Side,
    TradingState,
)
from tests.core.riskworld import NOW, PERP, Scene, changed
from tests.core.worlds import BTC

HOT = TradingState.HALTED


# -- G1 ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "entry", "leaving", "odd"),
    [
        (TradingState.ACTIVE, "ALLOWED", "ALLOWED", "ALLOWED"),
        (TradingState.PAUSED, "BLOCKED {}_PAUSED", "ALLOWED", "ALLOWED"),
        (TradingState.REDUCING, "BLOCKED {}_REDUCING", "ALLOWED", "ALLOWED"),
        (TradingState.HALTED, "BLOCKED {}_HALTED", "ALLOWED", "BLOCKED {}_HALTED"),
    ],
)
@pytest.mark.parametrize("scope", ["TRADING_STATE", "BOT"])
def test_g1_state_of_account_and_bot(scope: str, state: TradingState, entry: str, leaving: str, odd: str) -> None:
    scene = Scene()
    if scope == "BOT":
        scene.book.state = state
    else:
        scene.ledger.state = state
    assert scene.told("TRADING_STATE") == entry.format(scope)
    for origin in (Origin.EXIT, Origin.FLATTEN, Origin.LIQUIDATION):
        assert scene.told("TRADING_STATE", scene.closing(origin=origin)) == leaving
    # reduce-only of origin ENTRY: what a halt does not name stays (decisions.md 13)
    assert scene.told("TRADING_STATE", scene.closing(origin=Origin.ENTRY)) == odd.format(scope)


@pytest.mark.parametrize(("status", "code"), [(BotStatus.STOPPED, "BOT_STOPPED"), (BotStatus.ERROR, "BOT_ERROR")])
def test_g1_a_bot_that_has_ended_may_only_leave(status: BotStatus, code: str) -> None:
    scene = Scene()
    scene.book.status = status
    assert scene.told("TRADING_STATE") == f"BLOCKED {code}"
    assert scene.told("TRADING_STATE", scene.closing()) == "ALLOWED"
    assert scene.told("TRADING_STATE", scene.closing(origin=Origin.ENTRY)) == "ALLOWED"


def test_g1_the_hold_and_an_unknown_bot() -> None:
    scene = Scene()
    assert scene.told("TRADING_STATE", scene.intent(bot_id="nobody")) == "BLOCKED BOT_UNKNOWN"
    scene.ledger.held = True
    assert scene.told("TRADING_STATE") == "BLOCKED TRADING_STATE_HELD"
    assert scene.told("TRADING_STATE", scene.closing()) == "ALLOWED"
    assert scene.told("TRADING_STATE", scene.closing(origin=Origin.ENTRY)) == "ALLOWED"


# -- G2 ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "rules", "code"),
    [
        ({}, {}, ""),
        ({"symbol": "NOPE"}, {}, "INSTRUMENT_UNKNOWN"),
        ({}, {"status": "BREAK"}, "INSTRUMENT_NOT_TRADING"),
        ({"kind": InstrumentKind.LINEAR}, {}, "INSTRUMENT_CONTRACT"),
        ({"contract_size": D(10)}, {}, "INSTRUMENT_CONTRACT"),
        ({"side": Side.SELL}, {}, "INSTRUMENT_NO_SHORT"),
        ({"position_side": PositionSide.SHORT}, {}, "INSTRUMENT_NO_SHORT"),
        ({"leverage": D(2)}, {}, "INSTRUMENT_LEVERAGE"),
        ({"quantity": D("1.000001")}, {}, "INSTRUMENT_LOT"),
        ({"quantity": D("1.000001")}, {"lot_size": D(0)}, ""),
        ({"quantity": D(0)}, {}, "INSTRUMENT_MIN_QUANTITY"),
        ({"quantity": D(-1)}, {}, "INSTRUMENT_MIN_QUANTITY"),
        ({"quantity": D("NaN")}, {}, "INSTRUMENT_MIN_QUANTITY"),
        ({}, {"min_quantity": D(1)}, ""),
        ({}, {"min_quantity": D("1.1")}, "INSTRUMENT_MIN_QUANTITY"),
        ({}, {"max_quantity": D(1)}, ""),
        ({}, {"max_quantity": D("0.9")}, "INSTRUMENT_MAX_QUANTITY"),
        ({}, {"min_notional": D(100)}, ""),
        ({}, {"min_notional": D("100.01")}, "INSTRUMENT_MIN_NOTIONAL"),
        ({"price": None}, {}, "PRICE_UNKNOWN"),
        ({"price": D("NaN")}, {}, "PRICE_UNKNOWN"),
        ({"price": D(-1)}, {}, "INSTRUMENT_TICK"),
        ({"price": D("100.001")}, {}, ""),  # the estimate of a market order has no tick
        ({"price": D("100.001"), "order_type": OrderType.LIMIT}, {}, "INSTRUMENT_TICK"),
        ({"price": D("100.001"), "order_type": OrderType.STOP_LIMIT}, {}, "INSTRUMENT_TICK"),
        ({"price": D("NaN"), "order_type": OrderType.LIMIT}, {}, "INSTRUMENT_TICK"),
        ({"price": D("100.001"), "order_type": OrderType.LIMIT}, {"tick_size": D(0)}, ""),
        ({"stop_price": D("99.999"), "order_type": OrderType.STOP_MARKET}, {}, "INSTRUMENT_TICK"),
        ({"stop_price": D("99.99"), "order_type": OrderType.STOP_MARKET}, {}, ""),
        ({"price": D("0.01")}, {"min_notional": D(0)}, ""),
        ({"price": D("0.009")}, {"min_notional": D(0)}, "INSTRUMENT_TICK"),
    ],
)
def test_g2_instrument_rules(changes: dict[str, Any], rules: dict[str, Any], code: str) -> None:
    scene = Scene()
    scene.market.series[("test", "BTC/USDT")].instrument = changed(BTC, **rules)
    assert scene.told("INSTRUMENT_RULES", scene.intent(**changes)) == (f"BLOCKED {code}" if code else "ALLOWED")


@pytest.mark.parametrize(
    ("changes", "rules", "code"),
    [
        ({}, {}, ""),
        ({"quantity": D("0.00001")}, {}, ""),  # a rest below the smallest notional must be closed all the same
        ({"quantity": D("0.000001")}, {}, "INSTRUMENT_LOT"),
        ({}, {"status": "BREAK"}, "INSTRUMENT_NOT_TRADING"),
        ({"price": D("100.001"), "order_type": OrderType.LIMIT}, {}, "INSTRUMENT_TICK"),
        ({}, {"min_quantity": D(2)}, "INSTRUMENT_MIN_QUANTITY"),
    ],
)
def test_g2_holds_for_what_leaves_too(changes: dict[str, Any], rules: dict[str, Any], code: str) -> None:
    scene = Scene()
    scene.market.series[("test", "BTC/USDT")].instrument = changed(BTC, **rules)
    assert scene.told("INSTRUMENT_RULES", scene.closing(**changes)) == (f"BLOCKED {code}" if code else "ALLOWED")


@pytest.mark.parametrize(
    ("contracts", "leverage", "code"),
    [
        ("100", "20", ""),
        ("100", "20.1", "INSTRUMENT_LEVERAGE"),
        ("4999", "20", ""),
        ("5000", "20", "INSTRUMENT_LEVERAGE"),  # a notional of 5,000 is in the second tier
        ("5000", "10", ""),
    ],
)
def test_g2_leverage_of_the_tier(contracts: str, leverage: str, code: str) -> None:
    scene = Scene()
    intent = scene.future(contracts, leverage=D(leverage))
    assert scene.told("INSTRUMENT_RULES", intent) == (f"BLOCKED {code}" if code else "ALLOWED")
    short = scene.future(contracts, leverage=D(leverage), side=Side.SELL, position_side=PositionSide.SHORT)
    assert scene.told("INSTRUMENT_RULES", short) == (f"BLOCKED {code}" if code else "ALLOWED")


def test_g2_the_tier_is_that_of_all_that_is_open() -> None:
    scene = Scene()
    future = {"symbol": PERP.symbol, "kind": InstrumentKind.LINEAR, "contract_size": D("0.01")}
    scene.position("4000", **future)
    assert scene.told("INSTRUMENT_RULES", scene.future("999", leverage=D(20))) == "ALLOWED"
    assert scene.told("INSTRUMENT_RULES", scene.future("1000", leverage=D(20))) == "BLOCKED INSTRUMENT_LEVERAGE"
    assert scene.told("INSTRUMENT_RULES", scene.future("10", None, leverage=D(20))) == "BLOCKED PRICE_UNKNOWN"


# -- G3 ------------------------------------------------------------------------------------------------------------------

COLLAR = {"price_collar_pct": {"soft": "1", "hard": "5"}}


@pytest.mark.parametrize(
    ("side", "price", "told"),
    [
        (Side.BUY, "50", "ALLOWED"), (Side.BUY, "101", "ALLOWED"), (Side.BUY, "101.01", "WARNED PRICE_COLLAR"),
        (Side.BUY, "105", "WARNED PRICE_COLLAR"), (Side.BUY, "105.01", "BLOCKED PRICE_COLLAR"),
        (Side.SELL, "150", "ALLOWED"), (Side.SELL, "99", "ALLOWED"), (Side.SELL, "98.99", "WARNED PRICE_COLLAR"),
        (Side.SELL, "95", "WARNED PRICE_COLLAR"), (Side.SELL, "94.99", "BLOCKED PRICE_COLLAR"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("scope", ["account", "own"])
def test_g3_price_collar(scope: str, side: Side, price: str, told: str) -> None:
    scene = Scene(**{scope: COLLAR})
    assert scene.told("PRICE_COLLAR", scene.intent(price=price, side=side)) == told
    assert scene.told("PRICE_COLLAR", scene.closing(price=price, side=side)) == told


def test_g3_the_tighter_of_bot_and_account_wins() -> None:
    scene = Scene({"price_collar_pct": {"hard": "5"}}, {"price_collar_pct": {"hard": "2"}})
    assert scene.told("PRICE_COLLAR", scene.intent(price="102")) == "ALLOWED"
    assert scene.told("PRICE_COLLAR", scene.intent(price="102.01")) == "BLOCKED PRICE_COLLAR"
    word = scene.says("PRICE_COLLAR", scene.intent(price="102.01"))
    assert (word.limit, word.actual, word.margin) == ("2", "2.0100", "-0.0100")


def test_g3_an_entry_is_held_against_every_price_of_the_last_seconds() -> None:
    scene = Scene(COLLAR | {"price_band_s": 60}, price=None)
    scene.bar(94.0, NOW - 60 * SECOND_US)
    scene.bar(100.0, NOW)
    assert scene.told("PRICE_COLLAR", scene.intent(price="98.7")) == "WARNED PRICE_COLLAR"  # 5 % above 94
    assert scene.told("PRICE_COLLAR", scene.intent(price="98.71")) == "BLOCKED PRICE_COLLAR"
    assert scene.told("PRICE_COLLAR", scene.closing(price="95", side=Side.SELL)) == "WARNED PRICE_COLLAR"
    assert scene.told("PRICE_COLLAR", scene.closing(price="105", side=Side.BUY)) == "WARNED PRICE_COLLAR"
    assert scene.told("PRICE_COLLAR", scene.intent(price="105"), NOW + 1) == "WARNED PRICE_COLLAR"  # 94 is too long ago
    assert scene.told("PRICE_COLLAR", scene.intent(price="105.01"), NOW + 1) == "BLOCKED PRICE_COLLAR"


def test_g3_sells_are_held_against_the_highest_price() -> None:
    scene = Scene(COLLAR, price=None)
    scene.bar(106.0, NOW - 30 * SECOND_US)
    scene.bar(100.0, NOW)
    assert scene.told("PRICE_COLLAR", scene.intent(price="100.7", side=Side.SELL)) == "WARNED PRICE_COLLAR"
    assert scene.told("PRICE_COLLAR", scene.intent(price="100.69", side=Side.SELL)) == "BLOCKED PRICE_COLLAR"


def test_g3_a_quote_between_bars_counts_as_well() -> None:
    scene = Scene(COLLAR | {"price_band_s": 10})
    scene.quote(89.0, 91.0, NOW + 1)  # a second with two words: both count
    scene.quote(99.0, 101.0, NOW + 2)
    scene.quote(99.0, 101.0, NOW + 10 * SECOND_US)
    assert scene.told("PRICE_COLLAR", scene.intent(price="94.5"), NOW + 10 * SECOND_US) == "WARNED PRICE_COLLAR"
    assert scene.told("PRICE_COLLAR", scene.intent(price="94.51"), NOW + 10 * SECOND_US) == "BLOCKED PRICE_COLLAR"
    assert scene.told("PRICE_COLLAR", scene.intent(price="101"), NOW + 11 * SECOND_US) == "ALLOWED"
    scene.quote(99.0, 101.0, NOW + 60 * SECOND_US)
    assert len(scene.market.series[("test", "BTC/USDT")]._heard) == 1  # what no limit looks back to is forgotten


def test_g3_a_stop_is_held_against_its_own_trigger() -> None:
    scene = Scene(COLLAR)
    stop = {"order_type": OrderType.STOP_MARKET, "stop_price": D(50)}
    assert scene.told("PRICE_COLLAR", scene.closing(price="50", **stop)) == "ALLOWED"
    assert scene.told("PRICE_COLLAR", scene.closing(price="47.5", **stop)) == "WARNED PRICE_COLLAR"
    assert scene.told("PRICE_COLLAR", scene.closing(price="47.49", **stop)) == "BLOCKED PRICE_COLLAR"


@pytest.mark.parametrize("price", [None, 0.0, float("nan"), float("inf")])
def test_g3_without_a_price_nothing_goes_out(price: float | None) -> None:
    scene = Scene(price=price)
    for intent in (scene.intent(), scene.closing()):
        assert scene.told("PRICE_COLLAR", intent) == "BLOCKED PRICE_UNKNOWN"


@pytest.mark.parametrize("changes", [{"price": None}, {"price": D("NaN")}, {"stop_price": D("NaN")}, {"symbol": "NO"}])
def test_g3_an_order_without_a_price_does_not_go_out(changes: dict[str, Any]) -> None:
    scene = Scene()
    assert scene.told("PRICE_COLLAR", scene.intent(**changes)) == "BLOCKED PRICE_UNKNOWN"


# -- G4, G5 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gate", "limit", "code"),
    [("MAX_ORDER_VALUE", "max_order_value", "ORDER_VALUE"), ("MAX_ORDER_SIZE", "max_order_quantity", "ORDER_SIZE")],
)
@pytest.mark.parametrize("scope", ["account", "own"])
def test_g4_g5_order_value_and_size(scope: str, gate: str, limit: str, code: str) -> None:
    scale = 100 if gate == "MAX_ORDER_VALUE" else 1
    scene = Scene(**{scope: {limit: {"soft": str(2 * scale), "hard": str(3 * scale)}}})
    assert scene.told(gate, scene.intent("2")) == "ALLOWED"
    assert scene.told(gate, scene.intent("2.01")) == f"WARNED {code}"
    assert scene.told(gate, scene.intent("3")) == f"WARNED {code}"
    assert scene.told(gate, scene.intent("3.01")) == f"BLOCKED {code}"
    assert scene.told(gate, scene.closing("99")) == "ALLOWED"
    assert scene.told(gate, scene.future("300")) == f"WARNED {code}"  # contracts of 0.01 units
    assert scene.told(gate, scene.future("301")) == f"BLOCKED {code}"


def test_g4_g5_unknown_input_blocks() -> None:
    scene = Scene({"max_order_value": {"hard": "1"}, "max_order_quantity": {"hard": "1"}})
    assert scene.told("MAX_ORDER_VALUE", scene.intent(price=None)) == "BLOCKED PRICE_UNKNOWN"
    assert scene.told("MAX_ORDER_SIZE", scene.intent("NaN")) == "BLOCKED INSTRUMENT_MIN_QUANTITY"


# -- G10 -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ({}, "BLOCKED DUPLICATE_IN_FLIGHT"),
        ({"bot": "sibling"}, "ALLOWED"),
        ({"symbol": "ETH/USDT"}, "ALLOWED"),
        ({"side": Side.SELL}, "ALLOWED"),
        ({"origin": Origin.EXIT, "reduce_only": True}, "ALLOWED"),
    ],
)
def test_g10_one_entry_of_a_kind_in_flight(order: dict[str, Any], told: str) -> None:
    scene = Scene()
    scene.order(**order)
    assert scene.told("DUPLICATE_ORDER") == told
    assert scene.told("DUPLICATE_ORDER", scene.closing(side=Side.BUY)) == "ALLOWED"


def test_g10_another_exchange_is_another_market() -> None:
    scene = Scene()
    scene.order().exchange = "other"
    assert scene.told("DUPLICATE_ORDER") == "ALLOWED"


def test_g10_a_signal_makes_one_order() -> None:
    scene = Scene()
    scene.book.last_entry_signal["test BTC/USDT BUY"] = "signal-1"
    assert scene.told("DUPLICATE_ORDER", scene.intent(signal_id="signal-1")) == "BLOCKED DUPLICATE_SIGNAL"
    assert scene.told("DUPLICATE_ORDER", scene.intent(signal_id="signal-2")) == "ALLOWED"
    assert scene.told("DUPLICATE_ORDER", scene.intent(signal_id="signal-1", replaces="order-1")) == "ALLOWED"
    assert scene.told("DUPLICATE_ORDER", scene.intent(signal_id="signal-1", bot_id="nobody")) == "ALLOWED"
    scene.book.last_entry_signal["test BTC/USDT BUY"] = ""
    assert scene.told("DUPLICATE_ORDER", scene.intent()) == "ALLOWED"


# -- G11 -----------------------------------------------------------------------------------------------------------------

ASK = {"bot": "sibling", "side": Side.SELL, "origin": Origin.EXIT, "reduce_only": True}
BID = {"bot": "sibling", "side": Side.BUY}
LIMIT, STOP = OrderType.LIMIT, OrderType.STOP_MARKET


@pytest.mark.parametrize(
    ("resting", "mine", "crosses"),
    [
        (ASK, {"price": D("103.99")}, False),  # a market order that is expected to trade before it gets there
        (ASK, {"price": D(104)}, True),
        (ASK, {"price": None}, True),  # at any price
        (ASK, {"price": D("103.99"), "order_type": LIMIT}, False),
        (ASK, {"price": D(104), "order_type": LIMIT}, True),
        (ASK, {"price": D(110), "stop_price": D("103.99"), "order_type": STOP}, False),
        (ASK, {"price": D(110), "stop_price": D(104), "order_type": STOP}, True),
        (ASK, {"price": D(104), "stop_price": D(90), "order_type": OrderType.STOP_LIMIT}, True),
        (ASK, {"price": D(104), "order_type": OrderType.TRAILING_STOP}, True),  # no trigger yet: at any price
        (BID, {"price": D("104.01"), "order_type": LIMIT, "side": Side.SELL}, False),
        (BID, {"price": D(104), "order_type": LIMIT, "side": Side.SELL}, True),
        (BID, {}, False),  # the same side
        (ASK | {"bot": "probe"}, {}, False),  # its own: netting, not a trade with oneself
        (ASK | {"symbol": "ETH/USDT"}, {}, False),
        (ASK | {"price": None, "stop_price": D(90), "order_type": STOP}, {}, False),  # nothing of it is in the book
    ],
)
def test_g11_no_trade_with_a_sibling(resting: dict[str, Any], mine: dict[str, Any], crosses: bool) -> None:
    scene = Scene()
    scene.order(**({"price": "104"} | resting))
    told = "BLOCKED SELF_TRADE" if crosses else "ALLOWED"
    assert scene.told("SELF_TRADE_PREVENTION", scene.intent(**mine)) == told
    leaving = scene.intent(**(mine | {"reduce_only": True, "origin": Origin.EXIT}))
    assert scene.told("SELF_TRADE_PREVENTION", leaving) == told.replace("BLOCKED", "WARNED")


def test_g11_another_exchange_is_another_book() -> None:
    scene = Scene()
    scene.order(price="104", **ASK).exchange = "other"
    assert scene.told("SELF_TRADE_PREVENTION") == "ALLOWED"


def test_a_gate_without_a_limit_says_so() -> None:
    scene = Scene()
    for gate in ("MAX_ORDER_VALUE", "MAX_POSITION", "SPREAD", "MAX_DRAWDOWN", "CUSTOM"):
        word = scene.says(gate)
        assert (word.code, word.verdict, word.limit) == (DenyCode.NONE, "ALLOWED", "none"), gate
