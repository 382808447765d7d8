"""Where a position is to be left: the corners of the plan, on positions made by hand."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

from engine.core import exits
from engine.core.config import Exits
from engine.core.inputs import Candle
from engine.core.positions import Position
from engine.core.types import MINUTE_US, PositionSide
from tests.core.worlds import BTC, START


def position(side: PositionSide = PositionSide.LONG, **fields: Any) -> Position:
    bought = {
        "quantity": D(1),
        "cost": D(100),
        "entry_quantity": D(1),
        "entry_notional": D(100),
        "extreme": D(100),
        "opened_ts": START,
    }
    ids = dict.fromkeys(("id", "bot_id", "strategy_id", "portfolio_id", "signal_id"), "x")
    return Position(**ids, exchange="test", symbol="BTC/USDT", side=side, config_version=1, **(bought | fields))


def bar(low: float, high: float) -> Candle:
    return Candle(
        ts=START + MINUTE_US,
        exchange="test",
        symbol="BTC/USDT",
        timeframe_us=MINUTE_US,
        open=100.0,
        high=high,
        low=low,
        close=100.0,
        volume=1.0,
        received_ts=START + MINUTE_US,
    )


def test_a_stop_that_has_moved_stays_where_it_is_when_the_position_grows() -> None:
    moved = position(stop_price=D("104"), stop_reason="trailing", trailing=True)
    plan = exits.initial(moved, Exits.model_validate({"stop_loss_pct": "2"}), BTC)
    assert (plan.stop_price, plan.reason, plan.trailing) == (D("104"), "trailing", True)
    assert exits.initial(position(), Exits.model_validate({"stop_loss_pct": "2"}), BTC).stop_price == D("98")


def test_a_stop_that_trails_by_the_true_range_waits_until_that_is_known() -> None:
    rules = Exits.model_validate({"trailing": {"atr_multiple": "2", "atr_period": 14, "distance_pct": "5"}})
    assert exits.replan(position(), rules, BTC, bar(100, 110), None) is None
    plan = exits.replan(position(), rules, BTC, bar(100, 110), D("1.5"))
    assert plan is not None and plan.stop_price == D("107") and plan.trailing


def test_a_target_that_is_less_than_the_venue_takes_is_left_to_the_last_one() -> None:
    held = position(quantity=D("0.00003"), entry_quantity=D("0.00003"), take_profit_price=D("104"))
    rules = Exits.model_validate({"targets": [{"profit_pct": "1", "close_pct": "20"}]})
    wants = exits.wanted(held, rules, BTC, D("0.00003"))
    assert [(w.role, w.quantity) for w in wants] == [("TAKE_PROFIT", D("0.00003"))]


def test_what_does_not_rest_is_watched_and_the_stop_counts_first() -> None:
    for side, stop, take in ((PositionSide.LONG, "98", "104"), (PositionSide.SHORT, "102", "96")):
        held = position(side, stop_price=D(stop), take_profit_price=D(take))
        assert exits.reached(held, bar(99, 101)) == ""
        assert exits.reached(held, bar(95, 105)) == "STOP"
        beyond = bar(99, 105) if side is PositionSide.LONG else bar(95, 101)
        assert exits.reached(held, beyond) == "TAKE_PROFIT"


def test_what_has_left_had_cost_its_proceeds_less_the_gain() -> None:
    closed = {"exit_quantity": D(1), "exit_notional": D(110)}
    assert position(realized_pnl=D(10), **closed).exited_cost == D(100)
    assert position(PositionSide.SHORT, realized_pnl=D(-10), **closed).exited_cost == D(100)
