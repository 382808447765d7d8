"""Liquidation and funding: what the venue takes, and what holding costs, each told once and booked once."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from engine.core import events as ev
from engine.core.types import OrderStatus, Origin, PositionSide, Side
from tests.core.books import PERP, SPOT, Book, cross, instrument, isolated
from tests.core.test_fills import codes, filled

# -- liquidation -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "price", "pnl"), [("BUY", "80", -20), ("SELL", "120", -20)])
def test_a_liquidation_is_an_order_a_fill_an_end_and_an_alert(side: str, price: str, pnl: int) -> None:
    book = Book(PERP)
    position = book.trade(side, "1", "100", **isolated("4"))
    stop = book.order("SELL" if side == "BUY" else "BUY", "1", of=position)
    events = book.liquidate(position, price, fee="0.5")
    assert book.kinds(events) == [
        "PositionLiquidated",
        "OrderAdopted",
        "OrderFilled",
        "AlertTriggered",
        "PositionClosed",
        "CancelRequested",
    ]
    gone, adopted, fill = events[:3]
    assert isinstance(gone, ev.PositionLiquidated) and isinstance(adopted, ev.OrderAdopted)
    assert (gone.side, gone.quantity, gone.price) == (position.side, D(1), D(price))
    order = book.ledger.order(adopted.order_id)
    assert order is not None and order.status is OrderStatus.FILLED
    assert (order.origin, order.role, order.reduce_only) == (Origin.LIQUIDATION, "LIQUIDATION", True)
    assert order.side is (Side.SELL if side == "BUY" else Side.BUY)
    assert isinstance(fill, ev.OrderFilled) and (fill.pnl, fill.liquidity) == (D(pnl), "TAKER")
    assert [e.reason for e in events if isinstance(e, ev.PositionClosed)] == ["LIQUIDATION"]
    assert codes(events) == ["POSITION_LIQUIDATED"]
    assert stop.cancel_requested and not any(e.effect for e in events[:5])  # nothing of it is sent
    assert book.account.cash == D(10_000) + pnl - D("0.5")


def test_an_isolated_position_ended_at_its_price_costs_no_more_than_its_margin() -> None:
    for side in ("BUY", "SELL"):
        for leverage in ("5", "20", "100"):
            book = Book(PERP, balance=D(100_000))
            position = book.trade(side, "1", "50000", **isolated(leverage))
            margin, price = position.margin, position.liquidation_price
            assert price is not None
            fee = position.maintenance_margin / 2  # what the maintenance margin is there for
            book.liquidate(position, price, fee=str(fee))
            assert D(100_000) - margin < book.account.cash < D(100_000)


def test_a_liquidation_beyond_bankruptcy_is_booked_as_reported() -> None:
    book = Book(PERP)
    position = book.trade("BUY", "1", "100", **isolated("10"))
    book.liquidate(position, "70", fee="1")
    assert book.account.cash == D(10_000) - 30 - 1


def test_a_liquidation_counts_once_however_late_it_is_told_again() -> None:
    book = Book(PERP)
    position = book.trade("BUY", "2", "100")
    book.liquidate(position, "90", quantity=D(1), trade_id="x")
    assert position.quantity == D(1)
    book.later()
    assert book.liquidate(position, "90", quantity=D(1), trade_id="x") == []
    book.liquidate(position, "85", trade_id="y")
    assert not book.ledger.positions
    assert book.liquidate(position, "85", quantity=D(1), trade_id="y") == []
    assert book.account.cash == D(10_000) - 10 - 15


def test_a_liquidation_that_a_stop_has_overtaken_is_still_a_fill() -> None:
    book = Book(PERP)
    position = book.trade("BUY", "1", "100")
    book.trade("SELL", "1", "95", of=position)
    events = book.liquidate(position, "90", quantity=D(1))
    assert (book.position.side, book.position.quantity) == (PositionSide.SHORT, D(1))
    assert filled(events)[0].position_id != position.id


def test_a_liquidation_of_nobody_or_of_no_amount_is_an_alert() -> None:
    book = Book(PERP)
    assert codes(book.liquidate("nobody", "90")) == ["POSITION_UNKNOWN"]
    position = book.trade("BUY", "1", "100")
    assert codes(book.liquidate(position, "NaN")) == ["FILL_UNREADABLE"]
    assert position.quantity == D(1)


# -- funding ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "rate", "amount"), [("BUY", 0.0001, "-0.02"), ("SELL", 0.0001, "0.02"), ("BUY", -0.0003, "0.06")]
)
def test_longs_pay_shorts_at_the_mark(side: str, rate: float, amount: str) -> None:
    book = Book(instrument("BTC/USDT:USDT", contract_size=D("0.01")))
    position = book.trade(side, "100", "100", **isolated("5"))
    events = book.funding(rate, 200.0)
    (paid,) = [e for e in events if isinstance(e, ev.FundingPaid)]
    assert (paid.amount, paid.mark, paid.rate) == (D(amount), D(200), D(str(rate)))
    assert (book.account.cash, book.account.funding, position.funding) == (10_000 + D(amount), D(amount), D(amount))
    assert position.margin == 20 + D(amount)
    assert "MarginChanged" in book.kinds(events)


def test_funding_moves_an_isolated_liquidation_price_and_the_crossed_ones() -> None:
    book = Book(PERP, balance=D(30_000))
    alone = book.trade("BUY", "1", "50000", hedge=True, **isolated("5"))
    crossed = book.trade("SELL", "1", "50000", hedge=True, **cross("5"))
    before = alone.liquidation_price, crossed.liquidation_price
    book.funding(0.01, 50_000.0)
    assert (alone.margin, crossed.margin) == (D(9_500), D(10_000))
    assert alone.liquidation_price is not None and before[0] is not None
    assert alone.liquidation_price > before[0]
    assert crossed.liquidation_price is not None and before[1] is not None
    assert crossed.liquidation_price > before[1]  # what the long paid out of its margin, the short received: 500 more


def test_a_boundary_is_paid_once_and_by_those_who_held_it() -> None:
    book = Book(PERP, SPOT)
    book.trade("BUY", "1", "100", symbol=SPOT.symbol)
    assert book.funding(0.0001, 100.0) == []
    position = book.trade("BUY", "1", "100", symbol=PERP.symbol)
    book.later()
    assert book.kinds(book.funding(0.0001, 100.0)).count("FundingPaid") == 1
    assert book.funding(0.0001, 100.0) == []
    book.later(8 * 3600)
    assert book.kinds(book.funding(0.0001, 100.0)).count("FundingPaid") == 1
    assert position.funding == D("-0.02")
    book.ts -= 3600 * 1_000_000  # a boundary that is told late
    assert book.funding(0.0001, 100.0) == []


def test_a_boundary_before_the_entry_is_not_paid() -> None:
    book = Book(PERP)
    book.later()
    book.trade("BUY", "1", "100")
    book.ts -= 1
    assert book.funding(0.0001, 100.0) == []


def test_funding_of_another_symbol_or_exchange_is_not_paid() -> None:
    book = Book(PERP)
    book.trade("BUY", "1", "100")
    assert book.funding(0.0001, 100.0, "ETH/USDT:USDT") == []


@pytest.mark.parametrize(
    ("rate", "mark"), [(float("nan"), 100.0), (0.0001, float("inf")), (0.0001, 0.0), (0.0001, -1.0)]
)
def test_funding_without_numbers_is_an_alert(rate: float, mark: float) -> None:
    book = Book(PERP)
    assert book.funding(rate, mark) == []  # nobody holds it: nobody needs to know
    book.trade("BUY", "1", "100")
    assert codes(book.funding(rate, mark)) == ["FUNDING_UNREADABLE"]
    assert book.account.funding == D(0)
