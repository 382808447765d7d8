"""Figures of performance, against numbers worked out by hand."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from engine.core import events as ev
from engine.core.inputs import PHASE_AFTER, Cause
from engine.core.types import MINUTE_US, PositionSide, Side
from engine.metrics import Tally, covered_us

CAUSE = Cause(0, 0, "", "", PHASE_AFTER, "candle", 0)


def trip(
    tally: Tally, key: str, opened_min: int, closed_min: int, pnl: str, *, bot: str = "b", symbol: str = "S", reason: str = "STOP"
) -> None:  # fmt: skip
    base = {
        "cause": CAUSE,
        "position_id": key,
        "bot_id": bot,
        "exchange": "x",
        "symbol": symbol,
        "side": PositionSide.LONG,
    }
    tally.see(ev.PositionOpened(ts=opened_min * MINUTE_US, quantity=D(1), price=D(100), **base))
    tally.see(
        ev.PositionClosed(
            ts=closed_min * MINUTE_US,
            entry_price=D(100),
            exit_price=D(100),
            quantity=D(1),
            realized_pnl=D(pnl),
            fees=D("0.5"),
            reason=reason,
            **base,
        )
    )


def sampled(tally: Tally, minute: int, equity: str, portfolio: str = "p") -> None:
    tally.sample(portfolio, minute * MINUTE_US, D(equity))


def test_the_figures_of_some_trades() -> None:
    tally = Tally()
    tally.during(0, 100 * MINUTE_US)
    trip(tally, "1", 0, 10, "30")
    trip(tally, "2", 20, 30, "-10", reason="SIGNAL_EXIT")
    trip(tally, "3", 40, 60, "0")
    trip(tally, "4", 60, 70, "10", bot="c", symbol="T")
    f = tally.figures()
    assert (f.trades, f.wins, f.losses, f.win_rate_pct) == (4, 2, 1, D(50))
    assert (f.net_pnl, f.gross_profit, f.gross_loss) == (D(30), D(40), D(10))
    assert (f.profit_factor, f.payoff_ratio, f.expectancy) == (D(4), D(2), D("7.5"))
    assert (f.best, f.worst, f.fees, f.average_minutes) == (D(30), D(-10), D(2), D("12.5"))
    assert f.exposure_pct == D(50)
    assert tally.figures(bot_id="c") == tally.figures(symbol="T")
    assert tally.figures(bot_id="c").net_pnl == D(10)
    assert tally.figures(reason="SIGNAL_EXIT").trades == 1


def test_what_has_no_meaning_is_none() -> None:
    tally = Tally()
    f = tally.figures()
    assert (f.trades, f.net_pnl, f.fees) == (0, D(0), D(0))
    assert {f.win_rate_pct, f.profit_factor, f.payoff_ratio, f.expectancy, f.best, f.worst, f.exposure_pct} == {None}
    trip(tally, "1", 0, 1, "5")
    assert tally.figures().profit_factor is None  # nothing was lost
    trip(tally, "2", 0, 1, "-5")
    assert tally.figures().profit_factor == D(1)


def test_funding_belongs_to_the_trade() -> None:
    tally = Tally()
    for amount in ("-3", "1"):
        tally.see(
            ev.FundingPaid(
                ts=0, cause=CAUSE, position_id="1", portfolio_id="p", bot_id="b", exchange="x", symbol="S",
                rate=D("0.0001"), mark=D(100), amount=D(amount),
            )
        )  # fmt: skip
    trip(tally, "1", 0, 1, "1")
    f = tally.figures()
    assert (f.funding, f.net_pnl, f.losses) == (D(-2), D(-1), 1)


def test_an_open_position_is_exposure_and_no_trade() -> None:
    tally = Tally()
    tally.during(0, 10 * MINUTE_US)
    tally.see(
        ev.PositionOpened(
            ts=5 * MINUTE_US, cause=CAUSE, position_id="1", bot_id="b", exchange="x", symbol="S",
            side=PositionSide.SHORT, quantity=D(1), price=D(1),
        )
    )  # fmt: skip
    assert (tally.figures().trades, tally.figures().exposure_pct) == (0, D(50))
    assert tally.figures(bot_id="other").exposure_pct == D(0)


@pytest.mark.parametrize(
    ("spans", "length"),
    [([], 0), ([(0, 5), (3, 8)], 8), ([(5, 6), (0, 1)], 2), ([(0, 10), (2, 3)], 10), ([(0, 1), (1, 2)], 2), ([(4, 4)], 0)],
)  # fmt: skip
def test_overlapping_positions_count_once(spans: list[tuple[int, int]], length: int) -> None:
    assert covered_us(spans) == length


def test_the_deepest_fall_is_measured_from_the_peak_before_it() -> None:
    tally = Tally()
    for minute, equity in enumerate(("100", "90", "200", "150", "190", "160", "201", "151")):
        sampled(tally, minute, equity)
    fall = tally.fall("p")
    assert fall is not None
    assert (fall.pct, fall.money, fall.peak_ts, fall.trough_ts) == (D(25), D(50), 2 * MINUTE_US, 3 * MINUTE_US)
    sampled(tally, 9, "50")
    fall = tally.fall("p")
    assert fall is not None and (fall.money, fall.peak_ts) == (D(151), 6 * MINUTE_US)
    assert tally.fall("other") is None
    sampled(tally, 0, "1", "rising")
    sampled(tally, 1, "2", "rising")
    assert tally.fall("rising") is None


def test_samples_and_refusals_come_from_events() -> None:
    tally = Tally()
    for ts, equity in ((1, D(100)), (2, D(75))):
        tally.see(
            ev.EquitySampled(
                ts=ts, cause=CAUSE, portfolio_id="p", equity=equity, cash=equity, positions_value=D(0), unrealized_pnl=D(0),
                realized_pnl=D(0), peak_equity=D(100), drawdown=D(0), day_pnl=D(0), open_positions=0, marks={},
            )
        )  # fmt: skip
    fall = tally.fall("p")
    assert fall is not None and fall.pct == D(25)
    for code in ("MAX_POSITION", "STALE_DATA", "MAX_POSITION"):
        tally.see(
            ev.OrderDenied(
                ts=3, cause=CAUSE, order_id="o", signal_id="s", bot_id="b", exchange="x", symbol="S", side=Side.BUY,
                quantity=D(1), code=code, reason="", config_version=1,
            )
        )  # fmt: skip
    assert tally.denied == {"MAX_POSITION": 2, "STALE_DATA": 1}
