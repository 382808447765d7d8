"""Sizes: each kind, the headroom of every limit, rounding, and why there is no order."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from engine.core import risk
from engine.core.config import Sizing
from engine.core.risk import DenyCode
from engine.core.sizing import Size, entry_quantity, kelly_pct
from engine.core.types import MINUTE_US, InstrumentKind, Origin, PositionSide, Side, Verdict
from tests.core.riskworld import NOW, PERP, Scene, changed
from tests.core.worlds import BTC

LONG, SHORT = PositionSide.LONG, PositionSide.SHORT


def size(
    kind: str,
    value: str,
    *,
    scene: Scene | None = None,
    price: str = "100",
    instrument: Any = BTC,
    side: Any = LONG,
    **more: Any,
) -> Size:
    scene = scene or Scene(sizing={"kind": kind, "value": value, **more.pop("sizing", {})}, **more)
    return entry_quantity(scene.view(), scene.probe, instrument, D(price), side)


# -- kinds ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value", "price", "quantity"),
    [
        ("fixed_quantity", "1.5", "100", "1.5"),
        ("fixed_quantity", "0.000019", "1000000", "0.00001"),  # rounded down to the lot
        ("fixed_notional", "250", "100", "2.5"),
        ("fixed_notional", "100", "3", "33.33333"),
        ("percent_equity", "10", "100", "10"),
        ("kelly", "5", "100", "5"),
    ],
)
def test_kinds_on_spot(kind: str, value: str, price: str, quantity: str) -> None:
    found = size(kind, value, price=price)
    assert found == Size(D(quantity), f"{kind} {value}") and not found.code


@pytest.mark.parametrize(
    ("kind", "value", "contracts"),
    [
        ("fixed_quantity", "1.5", "150"),
        ("fixed_notional", "250", "250"),
        ("percent_equity", "10", "3000"),
        ("kelly", "10", "3000"),
    ],
)
def test_kinds_on_a_future_with_three_times_leverage(kind: str, value: str, contracts: str) -> None:
    for side in (LONG, SHORT):
        assert size(kind, value, instrument=PERP, margin={"leverage": "3"}, side=side).quantity == D(contracts)


def test_leverage_is_for_futures_alone() -> None:
    assert size("percent_equity", "10", margin={"leverage": "3"}).quantity == 10


def test_volatility_target_makes_one_range_cost_its_share() -> None:
    scene = Scene(sizing={"kind": "volatility_target", "value": "1", "atr_period": 5}, price=None)
    unknown = size("", "", scene=scene)
    assert unknown.code is DenyCode.SIZE_UNKNOWN and unknown.quantity == 0 and "5 bars" in unknown.reason
    for n in range(30):
        scene.bar(100.0, NOW - (29 - n) * MINUTE_US, width=1.0)
        scene.bar(100.0, NOW - (29 - n) * MINUTE_US, symbol=PERP.symbol, width=2.0)
    assert size("", "", scene=scene).quantity == 50  # 1 % of 10,000 is 100, a range is 2
    assert size("", "", scene=scene, instrument=PERP).quantity == 2500
    assert size("", "", scene=scene, price="400").reason == "headroom of BUYING_POWER"


def test_volatility_without_any_range_is_unknown() -> None:
    scene = Scene(sizing={"kind": "volatility_target", "value": "1"}, price=None)
    for n in range(30):
        scene.bar(100.0, NOW - (29 - n) * MINUTE_US)
    assert size("", "", scene=scene).code is DenyCode.SIZE_UNKNOWN


# -- Kelly ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wins", "losses", "won", "lost", "percent"),
    [
        (18, 11, "36", "11", "7"),  # too few round trips: `value`
        (18, 12, "36", "12", "10"),  # 0.6 - 0.4 / 2 = 0.4, a quarter of it
        (15, 15, "15", "15", "0"),
        (10, 20, "10", "20", "0"),  # no edge, no bet
        (30, 0, "30", "0", "20"),  # never lost: the cap
        (0, 30, "0", "30", "0"),
        (0, 0, "0", "0", "7"),
        (27, 3, "270", "3", "20"),
    ],
)
def test_kelly(wins: int, losses: int, won: str, lost: str, percent: str) -> None:
    sizing = Sizing(kind="kelly", value=D(7), kelly_trades=30)
    book = Scene().book
    book.wins, book.losses, book.won, book.lost = wins, losses, D(won), D(lost)
    assert kelly_pct(sizing, book) == D(percent)
    assert kelly_pct(Sizing(kind="kelly", value=D(50), kelly_trades=1000), book) == 20  # the cap holds for `value`, too


def test_a_bot_that_learns_that_it_has_no_edge_sends_no_order() -> None:
    scene = Scene(sizing={"kind": "kelly", "value": "10"})
    scene.book.wins, scene.book.losses, scene.book.won, scene.book.lost = 10, 20, D(10), D(20)
    found = size("", "", scene=scene)
    assert found.code is DenyCode.SIZE_BELOW_MINIMUM and "kelly" in found.reason


# -- headroom ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["account", "own"])
@pytest.mark.parametrize(
    ("limit", "hard", "quantity", "reason"),
    [
        ("max_order_value", "300", "3", "MAX_ORDER_VALUE"),
        ("max_order_quantity", "2.5", "2.5", "MAX_ORDER_SIZE"),
        ("max_position_value", "300", "1", "MAX_POSITION"),  # two are open or under way
        ("max_gross_exposure_pct", "5", "2", "MAX_GROSS_EXPOSURE"),  # three are
        ("max_leverage", "0.05", "2", "MAX_LEVERAGE"),
    ],
)
def test_the_size_is_what_the_hard_limits_leave(scope: str, limit: str, hard: str, quantity: str, reason: str) -> None:
    scene = Scene(**{scope: {limit: {"soft": "0.01", "hard": hard}}}, sizing={"kind": "fixed_quantity", "value": "9"})
    scene.position("1")
    scene.order("1")
    scene.order("1", symbol="ETH/USDT")
    assert size("", "", scene=scene) == Size(D(quantity), f"headroom of {reason}")


def test_the_free_balance_is_a_limit_with_its_fee() -> None:
    scene = Scene(fee_bps="100", sizing={"kind": "percent_equity", "value": "100"})
    assert size("", "", scene=scene) == Size(D("99.0099"), "headroom of BUYING_POWER")
    scene = Scene(fee_bps="100", sizing={"kind": "percent_equity", "value": "100"}, margin={"leverage": "4"})
    assert size("", "", scene=scene, instrument=PERP).quantity == 38461  # 10,000 / (1/4 + 1/100)


def test_a_sibling_counts_for_the_account_and_not_for_the_bot() -> None:
    for scope, quantity in (("account", "1"), ("own", "3")):
        scene = Scene(
            **{scope: {"max_position_value": {"hard": "300"}}}, sizing={"kind": "fixed_quantity", "value": "9"}
        )
        scene.position("2", bot="sibling")
        assert size("", "", scene=scene).quantity == D(quantity)


def test_a_short_position_leaves_room_to_buy_and_none_to_sell() -> None:
    scene = Scene({"max_position_value": {"hard": "500"}}, sizing={"kind": "fixed_quantity", "value": "90"})
    future: dict[str, Any] = {"symbol": PERP.symbol, "kind": InstrumentKind.LINEAR, "contract_size": D("0.01")}
    position = scene.position("300", side=SHORT, **future)
    assert size("", "", scene=scene, instrument=PERP).quantity == 800  # back to nothing, and 500 the other way
    assert size("", "", scene=scene, instrument=PERP, side=SHORT).quantity == 200
    scene.order("100", side=Side.SELL, position_side=SHORT, **future)
    assert size("", "", scene=scene, instrument=PERP, side=SHORT).quantity == 100
    scene.order("100", **future)
    assert size("", "", scene=scene, instrument=PERP).quantity == 700
    position.quantity = D(400)  # with the sale under way at its limit: nothing more until it has ended
    assert size("", "", scene=scene, instrument=PERP).quantity == 800
    position.quantity = D(401)
    assert size("", "", scene=scene, instrument=PERP).code is DenyCode.SIZE_BELOW_MINIMUM
    position.quantity = D(900)
    assert size("", "", scene=scene, instrument=PERP, side=SHORT).code is DenyCode.SIZE_BELOW_MINIMUM
    position.side, position.quantity = LONG, D(400)
    assert size("", "", scene=scene, instrument=PERP, side=SHORT).quantity == 800
    position.quantity = D(401)
    assert size("", "", scene=scene, instrument=PERP, side=SHORT).code is DenyCode.SIZE_BELOW_MINIMUM


# -- the venue -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "rules", "quantity", "words"),
    [
        ("1", {"min_quantity": D(1)}, "1", ""),
        (
            "0.99",
            {"min_quantity": D(1)},
            "0",
            "quantity 0.99000 by fixed_quantity 0.99 is below the venue's smallest 1",
        ),
        ("1", {"min_notional": D(100)}, "1", ""),
        (
            "0.99",
            {"min_notional": D(100)},
            "0",
            "notional 99.00 by fixed_quantity 0.99 is below the venue's smallest 100",
        ),
        ("0.000009", {}, "0", "quantity 0"),
        ("3", {"max_quantity": D(3)}, "3", ""),
        ("3.1", {"max_quantity": D(3)}, "3", ""),
        ("0.3333333", {"lot_size": D(0), "min_notional": D(0)}, "0.3333333", ""),
    ],
)
def test_what_the_venue_takes(value: str, rules: dict[str, Any], quantity: str, words: str) -> None:
    found = size("fixed_quantity", value, instrument=changed(BTC, **rules))
    assert found.quantity == D(quantity)
    assert found.code == (DenyCode.SIZE_BELOW_MINIMUM if words else DenyCode.NONE)
    assert words in found.reason
    if value == "3.1":
        assert found.reason == "the venue's largest quantity"


def test_no_room_is_no_order_and_says_which_limit() -> None:
    scene = Scene({"max_position_value": {"hard": "100"}}, sizing={"kind": "fixed_quantity", "value": "9"})
    scene.position("2")
    found = size("", "", scene=scene)
    assert found.code is DenyCode.SIZE_BELOW_MINIMUM and "headroom of MAX_POSITION" in found.reason


# -- sizes and gates agree -----------------------------------------------------------------------------------------------

ROOM = ("MAX_ORDER_VALUE", "MAX_ORDER_SIZE", "MAX_POSITION", "MAX_GROSS_EXPOSURE", "MAX_LEVERAGE", "BUYING_POWER")
amounts = st.decimals("0.01", "200", places=2)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["fixed_quantity", "fixed_notional", "percent_equity"]),
    st.decimals("0.01", "100", places=2), amounts, amounts, amounts, amounts, st.integers(0, 100), st.sampled_from([LONG, SHORT]),
    st.booleans(),
)  # fmt: skip
def test_a_size_passes_the_gates_that_it_looked_at(
    kind: str, value: D, price: D, most: D, held: D, under_way: D, fee_bps: int, side: PositionSide, future: bool
) -> None:
    """Whatever is open: a size that is an order is within every limit that has a headroom."""
    limits = {
        "max_order_value": {"hard": str(most * 50)}, "max_order_quantity": {"hard": str(most)},
        "max_position_value": {"hard": str(most * 70)}, "max_gross_exposure_pct": {"hard": str(most)},
        "max_leverage": {"hard": str(most / 10)},
    }  # fmt: skip
    scene = Scene(limits, limits, fee_bps=str(fee_bps), sizing={"kind": kind, "value": str(value)})
    instrument = PERP if future else BTC
    side = side if future else LONG
    changes: dict[str, Any] = (
        {"symbol": PERP.symbol, "kind": InstrumentKind.LINEAR, "contract_size": PERP.contract_size} if future else {}
    )
    scene.position(str(held), side=side, **changes)
    scene.order(str(under_way), "100", origin=Origin.ENTRY, **changes)
    view = scene.view()
    found = entry_quantity(view, scene.probe, instrument, price, side)
    if found.code:
        return
    intent = scene.intent(
        str(found.quantity), str(price), side=Side.BUY if side is LONG else Side.SELL, position_side=side, **changes
    )
    words = {word.gate: word for word in risk.evaluate(scene.view(), intent)[0]}
    assert all(words[gate].verdict is not Verdict.BLOCKED for gate in ROOM), [words[gate] for gate in ROOM]


@pytest.mark.parametrize(
    ("limits", "rules"),
    [
        ({"max_order_value": {"hard": "300"}}, {}),
        ({"max_order_quantity": {"hard": "3"}}, {}),
        ({}, {"max_quantity": D(3)}),
    ],
)
def test_what_just_fits_is_not_limited(limits: dict[str, Any], rules: dict[str, Any]) -> None:
    scene = Scene(limits, sizing={"kind": "fixed_quantity", "value": "3"})
    assert size("", "", scene=scene, instrument=changed(BTC, **rules)) == Size(D(3), "fixed_quantity 3")


def test_nothing_is_no_order_whatever_the_venue_takes() -> None:
    found = size("fixed_quantity", "0.01", instrument=changed(BTC, lot_size=D(1), min_notional=D(0)))
    assert found.code is DenyCode.SIZE_BELOW_MINIMUM
