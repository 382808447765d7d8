"""G6, G7, G13: positions, exposure, buying power, margin and losses, of the bot and of the portfolio."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest

from engine.core.types import InstrumentKind, MarginMode, OrderType, Origin, PositionSide, Side
from tests.core.riskworld import PERP, Scene

FUTURE: dict[str, Any] = {"symbol": PERP.symbol, "kind": InstrumentKind.LINEAR, "contract_size": D("0.01")}
SHORT: dict[str, Any] = {"side": Side.SELL, "position_side": PositionSide.SHORT}
LIMITS = {
    "MAX_POSITION": ("max_position_value", D(1), "POSITION_VALUE"),
    "MAX_GROSS_EXPOSURE": ("max_gross_exposure_pct", D("0.01"), "EXPOSURE_GROSS"),  # of an equity of 10,000
    "MAX_LEVERAGE": ("max_leverage", D("0.0001"), "MARGIN_LEVERAGE"),
}


def limits(gate: str, soft: int, hard: int) -> dict[str, Any]:
    name, scale, _ = LIMITS[gate]
    return {name: {"soft": str(soft * scale), "hard": str(hard * scale)}}


# -- G6 and G7: what is open, worst case ---------------------------------------------------------------------------------


@pytest.mark.parametrize("gate", LIMITS)
@pytest.mark.parametrize("scope", ["account", "own"])
def test_exposure_warns_beyond_soft_and_blocks_beyond_hard(scope: str, gate: str) -> None:
    code = LIMITS[gate][2]
    scene = Scene(**{scope: limits(gate, 300, 400)})
    scene.position("1")
    scene.order("1")
    assert scene.told(gate, scene.intent("1")) == "ALLOWED"  # 300 with the position and the open entry
    assert scene.told(gate, scene.intent("1.01")) == f"WARNED {code}"
    assert scene.told(gate, scene.intent("2")) == f"WARNED {code}"
    assert scene.told(gate, scene.intent("2.01")) == f"BLOCKED {code}"
    assert scene.told(gate, scene.closing("9")) == "ALLOWED"
    assert scene.told(gate, scene.intent(price=None)) == "BLOCKED EXPOSURE_UNKNOWN"


@pytest.mark.parametrize("gate", LIMITS)
def test_the_account_counts_all_bots_and_the_bot_itself_alone(gate: str) -> None:
    code = LIMITS[gate][2]
    for scope, told in (("account", f"BLOCKED {code}"), ("own", "ALLOWED")):
        scene = Scene(**{scope: limits(gate, 300, 300)})
        scene.position("2", bot="sibling")
        scene.order("1", bot="sibling", side=Side.SELL)
        assert scene.told(gate, scene.intent("1")) == "ALLOWED"
        assert scene.told(gate, scene.intent("1.1")) == told


@pytest.mark.parametrize("gate", LIMITS)
def test_the_worse_of_both_scopes_is_told(gate: str) -> None:
    scene = Scene(limits(gate, 100, 400), limits(gate, 500, 600))
    assert scene.told(gate, scene.intent("2")) == f"WARNED {LIMITS[gate][2]}"
    scene = Scene(limits(gate, 500, 600), limits(gate, 100, 150))
    assert scene.told(gate, scene.intent("2")) == f"BLOCKED {LIMITS[gate][2]}"
    assert scene.says(gate, scene.intent("2")).limit == f"{150 * LIMITS[gate][1]:f}"


def test_g6_position_is_of_one_symbol_and_exposure_of_all() -> None:
    scene = Scene(limits("MAX_POSITION", 200, 200) | limits("MAX_GROSS_EXPOSURE", 300, 300))
    scene.position("2", symbol="ETH/USDT")
    assert scene.told("MAX_POSITION", scene.intent("2")) == "ALLOWED"
    assert scene.told("MAX_GROSS_EXPOSURE", scene.intent("1")) == "ALLOWED"
    assert scene.told("MAX_GROSS_EXPOSURE", scene.intent("1.1")) == "BLOCKED EXPOSURE_GROSS"
    scene.position("1").exchange = "other"
    assert scene.told("MAX_POSITION", scene.intent("2")) == "ALLOWED"


def test_g6_values_positions_at_their_mark_and_entries_at_their_price() -> None:
    scene = Scene(limits("MAX_POSITION", 1000, 1000))
    scene.position("1", "50")  # is worth 100 now
    scene.order("2", "90")
    scene.order("1", None, stop_price=D(120), order_type=OrderType.STOP_MARKET)
    scene.order("1", None)
    scene.order("9", "100", reduce_only=True, origin=Origin.EXIT, side=Side.SELL)
    over = scene.order("1", "100")
    over.filled_quantity = D(3)  # an over-fill is in the position; nothing of it is open
    assert D(scene.says("MAX_POSITION", scene.intent("1")).actual) == 600


def test_g6_an_entry_without_a_price_is_an_unknown_exposure() -> None:
    scene = Scene(limits("MAX_POSITION", 1, 1) | limits("MAX_GROSS_EXPOSURE", 1, 1) | limits("MAX_LEVERAGE", 1, 1))
    scene.market.series[("test", "ETH/USDT")].last = None
    scene.market.series[("test", "ETH/USDT")]._money = None
    scene.order("1", None, symbol="ETH/USDT", bot="sibling")
    for gate in ("MAX_POSITION", "MAX_GROSS_EXPOSURE", "MAX_LEVERAGE", "BUYING_POWER"):
        assert scene.told(gate) == "BLOCKED EXPOSURE_UNKNOWN", gate


@pytest.mark.parametrize(
    ("held", "entry", "intent", "actual"),
    [
        (("4", PositionSide.LONG), None, {}, "5"),
        (("4", PositionSide.LONG), None, SHORT, "4"),  # a sale of one makes it three: the worst is what is held
        (("4", PositionSide.LONG), None, SHORT | {"quantity": D(900)}, "5"),  # and one of nine turns it round
        (("4", PositionSide.LONG), SHORT, SHORT | {"quantity": D(800)}, "5"),
        (("4", PositionSide.SHORT), None, {}, "4"),
        (("4", PositionSide.SHORT), None, SHORT, "5"),
        (("4", PositionSide.SHORT), None, {"quantity": D(900)}, "5"),
    ],
)
def test_g6_netting_counts_the_worst_way_that_the_entries_may_fill(
    held: tuple[str, PositionSide], entry: dict[str, Any] | None, intent: dict[str, Any], actual: str
) -> None:
    scene = Scene(limits("MAX_POSITION", 100, 100))
    scene.position(f"{held[0]}00", side=held[1], **FUTURE)
    if entry is not None:
        scene.order("100", **(FUTURE | entry))
    quantity = str(intent.get("quantity", 100))
    changes = {key: value for key, value in intent.items() if key != "quantity"}
    word = scene.says("MAX_POSITION", scene.future(quantity, **changes))
    assert D(word.actual) == D(actual) * 100


def test_g6_a_hedge_adds_up_its_legs() -> None:
    scene = Scene(
        limits("MAX_POSITION", 1000, 1000) | {"max_open_positions": {"hard": "5"}}, margin={"position_mode": "HEDGE"}
    )
    scene.position("400", **FUTURE)
    assert D(scene.says("MAX_POSITION", scene.future("100", **SHORT)).actual) == 500
    assert scene.says("MAX_OPEN_POSITIONS", scene.future("100", **SHORT)).actual == "2"
    assert scene.says("MAX_OPEN_POSITIONS", scene.future("100")).actual == "1"


@pytest.mark.parametrize("scope", ["account", "own"])
def test_g6_open_positions(scope: str) -> None:
    scene = Scene(**{scope: {"max_open_positions": {"soft": "2", "hard": "3"}}})
    told = [scene.told("MAX_OPEN_POSITIONS")]
    scene.position("1", symbol="ETH/USDT")
    told.append(scene.told("MAX_OPEN_POSITIONS"))
    scene.order("1", symbol="BTC/USDT")
    told.append(scene.told("MAX_OPEN_POSITIONS"))  # the same symbol: it adds to what is under way
    scene.order("1", **FUTURE)
    told.append(scene.told("MAX_OPEN_POSITIONS"))
    assert told == ["ALLOWED", "ALLOWED", "ALLOWED", "WARNED POSITION_COUNT"]
    assert scene.told("MAX_OPEN_POSITIONS", scene.intent(symbol="DOGE")) == "BLOCKED POSITION_COUNT"
    other = scene.intent(bot_id=scene.sibling.id)
    assert scene.told("MAX_OPEN_POSITIONS", other) == ("BLOCKED POSITION_COUNT" if scope == "account" else "ALLOWED")
    assert scene.told("MAX_OPEN_POSITIONS", scene.closing()) == "ALLOWED"


def test_of_no_equity_there_is_no_share() -> None:
    scene = Scene(limits("MAX_GROSS_EXPOSURE", 1, 1) | {"daily_loss_pct": {"hard": "5"}})
    scene.account.cash = D(0)
    assert scene.told("MAX_GROSS_EXPOSURE") == "BLOCKED EXPOSURE_GROSS"
    scene.account.day_start_equity = D(0)
    assert scene.told("DAILY_LOSS_LOCK") == "BLOCKED LOSS_DAILY"


# -- G7 ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fee_bps", "quantity", "told"),
    [
        ("0", "100", "ALLOWED"), ("0", "100.01", "BLOCKED BUYING_POWER"),
        ("100", "99.0099", "ALLOWED"), ("100", "99.01", "BLOCKED BUYING_POWER"),
        ("-10", "100", "ALLOWED"), ("-10", "100.01", "BLOCKED BUYING_POWER"),  # a rebate is not counted on
    ],
)  # fmt: skip
def test_g7_buying_power_pays_for_the_order_and_its_fee(fee_bps: str, quantity: str, told: str) -> None:
    scene = Scene(fee_bps=fee_bps)
    assert scene.told("BUYING_POWER", scene.intent(quantity)) == told
    assert scene.told("BUYING_POWER", scene.closing(quantity)) == "ALLOWED"


def test_g7_buying_power_is_less_what_open_entries_claim() -> None:
    scene = Scene(fee_bps="100")
    scene.order("50", bot="sibling")
    word = scene.says("BUYING_POWER", scene.intent("49.01"))
    assert (word.verdict, word.limit, D(word.actual)) == ("BLOCKED", "4950.00", D("4950.01"))
    assert scene.told("BUYING_POWER", scene.intent("49")) == "ALLOWED"
    assert scene.told("BUYING_POWER", scene.intent(price=None)) == "BLOCKED EXPOSURE_UNKNOWN"


def test_g7_a_future_needs_its_margin_and_fee() -> None:
    scene = Scene(fee_bps="100")
    fits = scene.future("10000", leverage=D("1.0101010101"))  # 9,900 and 100
    assert scene.told("BUYING_POWER", fits) == "BLOCKED BUYING_POWER"
    assert scene.told("BUYING_POWER", scene.future("10000", leverage=D(2))) == "ALLOWED"
    assert scene.told("BUYING_POWER", scene.future("19600", leverage=D(2))) == "ALLOWED"
    assert scene.told("BUYING_POWER", scene.future("19608", leverage=D(2))) == "BLOCKED BUYING_POWER"


NEAR = {"min_liquidation_distance_pct": {"soft": "10", "hard": "5"}}


@pytest.mark.parametrize(
    ("leverage", "told"),
    [("2", "ALLOWED"), ("9.6", "ALLOWED"), ("9.7", "WARNED MARGIN_LIQUIDATION_NEAR"),
     ("18.5", "WARNED MARGIN_LIQUIDATION_NEAR"), ("18.6", "BLOCKED MARGIN_LIQUIDATION_NEAR")],
)  # fmt: skip
@pytest.mark.parametrize("scope", ["account", "own"])
def test_g7_distance_of_the_liquidation_price_that_the_order_makes(scope: str, leverage: str, told: str) -> None:
    scene = Scene(**{scope: NEAR})  # 1 / leverage - 0.4 % of maintenance, over 0.996
    assert scene.told("LIQUIDATION_DISTANCE", scene.future("100", leverage=D(leverage))) == told
    assert scene.told("LIQUIDATION_DISTANCE", scene.intent()) == "ALLOWED"
    assert scene.told("LIQUIDATION_DISTANCE", scene.future("100", None)) == "BLOCKED MARGIN_LIQUIDATION_UNKNOWN"


def test_g7_at_the_limit_is_within_it() -> None:
    for price, told in (("95", "WARNED"), ("95.01", "BLOCKED"), ("90", "ALLOWED"), ("90.01", "WARNED")):
        scene = Scene(NEAR)
        scene.position("100", liquidation_price=D(price), **FUTURE)
        assert scene.told("LIQUIDATION_DISTANCE", scene.intent()).split()[0] == told
        scene = Scene(NEAR)
        scene.position("100", side=PositionSide.SHORT, liquidation_price=D(200) - D(price), **FUTURE)
        assert scene.told("LIQUIDATION_DISTANCE", scene.intent()).split()[0] == told


def test_g7_the_nearest_open_position_counts_and_one_without_an_end_does_not() -> None:
    scene = Scene(NEAR)
    scene.position("100", liquidation_price=D(50), bot="sibling", **FUTURE)
    scene.position("100", liquidation_price=D(94), bot="sibling", **FUTURE)
    scene.position("100", liquidation_price=None, **FUTURE)
    word = scene.says("LIQUIDATION_DISTANCE")
    assert (word.verdict, word.limit, word.actual, word.margin) == ("WARNED", "5", "6.0000", "1.0000")
    assert scene.told("LIQUIDATION_DISTANCE", scene.closing()) == "ALLOWED"


def test_g7_an_order_that_adds_counts_what_is_there_and_cross_what_is_free() -> None:
    scene = Scene(NEAR)
    scene.position("100", margin=D(50), liquidation_price=D(51), **FUTURE)  # half of it is margin
    assert scene.told("LIQUIDATION_DISTANCE", scene.future("100", leverage=D(20))) == "ALLOWED"
    assert scene.told("LIQUIDATION_DISTANCE", scene.future("100", leverage=D(20), **SHORT)).startswith("BLOCKED")
    scene = Scene(NEAR)
    cross = scene.future("100", leverage=D(20), margin_mode=MarginMode.CROSS)
    assert scene.told("LIQUIDATION_DISTANCE", cross) == "ALLOWED"  # 10,000 stand behind 100
    scene.account.cash = D(5)
    assert scene.told("LIQUIDATION_DISTANCE", cross) == "BLOCKED MARGIN_LIQUIDATION_NEAR"
    scene.position("100", margin=D(50), margin_mode=MarginMode.CROSS, liquidation_price=D(40), **FUTURE)
    scene.account.cash = D(60)
    assert scene.told("LIQUIDATION_DISTANCE", cross) == "ALLOWED"


@pytest.mark.parametrize("scope", ["account", "own"])
def test_g7_margin_ratio(scope: str) -> None:
    scene = Scene(**{scope: {"max_margin_ratio_pct": {"soft": "10", "hard": "20"}}})
    position = scene.position("100", **FUTURE)
    sibling = scene.position("100", bot="sibling", **FUTURE)
    for needed, told in (("1000", "ALLOWED"), ("1000.01", "WARNED MARGIN_RATIO"), ("2000", "WARNED MARGIN_RATIO"),
                         ("2000.01", "BLOCKED MARGIN_RATIO")):  # fmt: skip
        position.maintenance_margin = D(needed)
        assert scene.told("MARGIN_RATIO") == told
    position.maintenance_margin = D(0)
    sibling.maintenance_margin = D(3000)
    assert scene.told("MARGIN_RATIO") == ("BLOCKED MARGIN_RATIO" if scope == "account" else "ALLOWED")


# -- G13 -----------------------------------------------------------------------------------------------------------------

LOSSES = {"DAILY_LOSS_LOCK": ("daily_loss_pct", "LOSS_DAILY"), "MAX_DRAWDOWN": ("max_drawdown_pct", "LOSS_DRAWDOWN")}


@pytest.mark.parametrize("gate", LOSSES)
@pytest.mark.parametrize(
    ("loss", "told"),
    [("-500", "ALLOWED"), ("300", "ALLOWED"), ("300.01", "WARNED"), ("500", "WARNED"), ("500.01", "BLOCKED")],
)
def test_g13_losses_of_the_portfolio(gate: str, loss: str, told: str) -> None:
    name, code = LOSSES[gate]
    scene = Scene({name: {"soft": "3", "hard": "5"}})
    scene.account.cash -= D(loss)
    want = told if told == "ALLOWED" else f"{told} {code}"
    assert scene.told(gate) == want
    assert scene.told(gate, scene.closing()) == "ALLOWED"


@pytest.mark.parametrize("gate", LOSSES)
@pytest.mark.parametrize(
    ("loss", "told"),
    [("-500", "ALLOWED"), ("300", "ALLOWED"), ("300.01", "WARNED"), ("500", "WARNED"), ("500.01", "BLOCKED")],
)
def test_g13_losses_of_a_bot_realised_and_open(gate: str, loss: str, told: str) -> None:
    name, code = LOSSES[gate]
    scene = Scene(own={name: {"soft": "3", "hard": "5"}})
    scene.position("1", "300")  # at 100 now: 200 down
    scene.position("1", "150", bot="sibling")
    scene.book.realized_pnl = 200 - D(loss)
    want = told if told == "ALLOWED" else f"{told} {code}"
    assert scene.told(gate) == want
    assert scene.told(gate, scene.intent(bot_id=scene.sibling.id)) == "ALLOWED"


def test_g13_baselines_are_the_ledgers() -> None:
    scene = Scene(
        {"daily_loss_pct": {"hard": "5"}, "max_drawdown_pct": {"hard": "5"}},
        {"daily_loss_pct": {"hard": "5"}, "max_drawdown_pct": {"hard": "5"}},
    )
    scene.account.peak_equity, scene.account.day_start_equity = D(20_000), D(10_000)
    assert scene.told("MAX_DRAWDOWN") == "BLOCKED LOSS_DRAWDOWN"
    assert scene.told("DAILY_LOSS_LOCK") == "ALLOWED"
    scene.account.peak_equity = D(10_000)
    scene.book.peak_pnl, scene.book.day_start_pnl = D(10_000), D(499)  # as if the bot alone had made 20,000 of 10,000
    assert scene.says("MAX_DRAWDOWN").actual == "50.0000"
    assert scene.told("DAILY_LOSS_LOCK") == "ALLOWED"
    scene.book.day_start_pnl = D(501)
    assert scene.told("DAILY_LOSS_LOCK") == "BLOCKED LOSS_DAILY"
    assert scene.told("MAX_DRAWDOWN", scene.intent(bot_id="nobody")) == "ALLOWED"


def test_g13_the_baselines_of_a_portfolio_are_those_of_its_bots() -> None:
    scene = Scene()
    scene.position("1", "300")
    scene.book.realized_pnl = D(7)
    view = scene.view()
    assert view.bots_pnl() == {scene.probe.id: D(-193), scene.sibling.id: D(0)}
    view.account = type(scene.account)("other", "EUR", D(1), D(1), D(1), D(1), D(1))
    assert view.bots_pnl() == {}
