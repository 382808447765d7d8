"""Positions: long and short, spot and linear, every number worked out by hand."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from engine.core import events as ev
from engine.core.fold import evolve
from engine.core.positions import is_dust, sellable
from engine.core.types import InvariantError, PositionSide
from tests.core.books import PERP, SPOT, Book, cross, instrument, isolated


def test_a_spot_buy_moves_its_whole_notional() -> None:
    book = Book()
    book.trade("BUY", "2", "100", fee="0.2")
    assert (book.account.cash, book.position.cost, book.account.fees) == (D("9799.8"), D(200), D("0.2"))
    assert book.position.entry_price == D(100)


def test_entries_average_and_a_reduction_takes_its_share_of_the_cost() -> None:
    book = Book()
    position = book.trade("BUY", "1", "100")
    book.trade("BUY", "2", "130", position_id=position.id)
    assert (position.quantity, position.cost, position.entry_price) == (D(3), D(360), D(120))
    assert position.entries == 2
    book.trade("SELL", "1", "150", of=position)
    assert (position.quantity, position.cost, position.realized_pnl) == (D(2), D(240), D(30))
    book.trade("SELL", "2", "90", of=position)
    assert (position.quantity, position.cost, position.realized_pnl) == (D(0), D(0), D(-30))
    assert position.exit_price == D(110)
    assert book.account.cash == D(9970) and not book.ledger.positions


@pytest.mark.parametrize(("side", "exit_side", "sign"), [("BUY", "SELL", 1), ("SELL", "BUY", -1)])
@pytest.mark.parametrize("contract_size", [D(1), D("0.01")])
def test_a_linear_position_moves_profit_and_fees_only(side: str, exit_side: str, sign: int, contract_size: D) -> None:
    book = Book(instrument("BTC/USDT:USDT", contract_size=contract_size))
    position = book.trade(side, "4", "100", fee="0.1", **isolated("4"))
    assert position.side is (PositionSide.LONG if sign == 1 else PositionSide.SHORT)
    assert (position.quantity, position.cost) == (D(4), D(400) * contract_size)
    assert (position.entry_price, position.margin) == (D(100), D(100) * contract_size)
    assert book.account.cash == D("9999.9")
    assert position.unrealized_pnl(D(110)) == 40 * sign * contract_size
    book.trade(exit_side, "1", "120", fee="0.1", of=position)
    assert position.realized_pnl == 20 * sign * contract_size
    assert position.margin == D(75) * contract_size
    book.trade(exit_side, "3", "110", of=position)
    assert position.realized_pnl == 50 * sign * contract_size
    assert (position.margin, position.liquidation_price, position.quantity) == (D(0), None, D(0))
    assert book.account.cash == D("9999.8") + 50 * sign * contract_size


def test_a_share_that_does_not_divide_keeps_every_digit() -> None:
    book = Book()
    position = book.trade("BUY", "3", "100.01", fee="0.1")
    for price in ("99.99", "100.07"):
        book.trade("SELL", "1", price, of=position, fee="0.03")
    book.trade("SELL", "1", "100.11", of=position)
    assert position.cost == D(0)
    assert position.realized_pnl == D("300.17") - D("300.03")
    assert book.account.cash == D(10_000) + D("300.17") - D("300.03") - D("0.16")


def test_a_spot_over_sell_is_a_fact_below_zero_and_alerts() -> None:
    book = Book()
    position = book.trade("BUY", "1", "100")
    events = book.fill(book.order("SELL", "1", of=position), "1.5", "110")
    assert (position.quantity, position.cost, position.realized_pnl) == (D("-0.5"), D(-55), D(10))
    assert [e.code for e in events if isinstance(e, ev.AlertTriggered)] == ["POSITION_NEGATIVE"]
    book.trade("BUY", "0.2", "100", position_id=position.id)  # bought back for less than it was sold
    assert (position.quantity, position.cost, position.realized_pnl) == (D("-0.3"), D(-33), D(12))
    book.trade("BUY", "1.3", "100", position_id=position.id)
    assert (position.quantity, position.cost, position.realized_pnl) == (D(1), D(100), D(15))


def test_a_fill_beyond_a_netted_position_ends_it_and_opens_the_other_side() -> None:
    book = Book(PERP)
    first = book.trade("BUY", "1", "100", fee="0.1", **isolated("10"))
    order = book.order("SELL", "3", **isolated("10"))
    events = book.fill(order, "3", "110", "0.1")
    fills = [e for e in events if isinstance(e, ev.OrderFilled)]
    assert [(f.part, f.quantity, f.pnl) for f in fills] == [(0, D(1), D(10)), (1, D(2), D(0))]
    assert fills[0].fee == D("0.033333333333333333") and fills[0].fee + fills[1].fee == D("0.1")
    assert fills[0].position_id == first.id != fills[1].position_id
    assert fills[0].fill_id != fills[1].fill_id
    assert order.trade_ids == [fills[0].trade_id] and order.filled_quantity == D(3)
    second = book.position
    assert (second.side, second.quantity, second.cost, second.margin) == (PositionSide.SHORT, D(2), D(220), D(22))
    assert second.entries == 1 and second.id == fills[1].position_id
    closed = [e for e in events if isinstance(e, ev.PositionClosed)]
    assert [(e.position_id, e.exit_price) for e in closed] == [(first.id, D(110))]
    opened = [e for e in events if isinstance(e, ev.PositionOpened)]
    assert [(e.position_id, e.side, e.quantity) for e in opened] == [(second.id, "SHORT", D(2))]
    assert book.account.cash == D(10_000) + 10 - D("0.2")


def test_an_order_that_turns_a_position_round_is_not_cancelled_with_its_end() -> None:
    book = Book(PERP)
    position = book.trade("BUY", "2", "100")
    turning = book.order("SELL", "5", position_id=position.id)
    stop = book.order("SELL", "2", of=position)
    book.fill(turning, "1", "110")
    book.fill(turning, "3", "110", "0.3")
    assert (book.position.side, book.position.quantity) == (PositionSide.SHORT, D(2))
    assert stop.cancel_requested and not turning.cancel_requested
    book.fill(turning, "1", "110")
    assert book.position.quantity == D(3) and turning.remaining == D(0)


def test_a_netted_order_against_the_position_reduces_it_first() -> None:
    book = Book(PERP)
    position = book.trade("SELL", "3", "100")
    book.trade("BUY", "1", "90")
    assert book.position is position and (position.quantity, position.realized_pnl) == (D(2), D(10))
    book.trade("BUY", "2", "90")
    assert not book.ledger.positions and position.realized_pnl == D(30)


def test_the_legs_of_a_hedge_stand_beside_each_other() -> None:
    book = Book(PERP)
    long = book.trade("BUY", "2", "100", hedge=True)
    short = book.trade("SELL", "1", "100", hedge=True)
    assert (long.side, long.quantity) == (PositionSide.LONG, D(2))
    assert (short.side, short.quantity) == (PositionSide.SHORT, D(1))
    book.trade("BUY", "1", "90", of=short)
    assert list(book.ledger.positions.values()) == [long]
    book.trade("SELL", "1", "90", of=long)
    assert (short.realized_pnl, long.realized_pnl, book.account.cash) == (D(10), D(-10), D(10_000))


def test_a_leg_closed_beyond_itself_stays_a_leg_and_alerts() -> None:
    book = Book(PERP)
    leg = book.trade("BUY", "1", "100", hedge=True, **cross("10"))
    events = book.fill(book.order("SELL", "1", of=leg), "2", "110")
    assert (leg.quantity, leg.margin, leg.liquidation_price) == (D(-1), D(0), None)
    assert "POSITION_NEGATIVE" in [e.code for e in events if isinstance(e, ev.AlertTriggered)]
    book.trade("BUY", "3", "100", hedge=True, position_id=leg.id, **cross("10"))
    assert (leg.quantity, leg.cost, leg.margin, leg.realized_pnl) == (D(2), D(200), D(20), D(20))


def test_what_can_be_sold_is_rounded_down_to_the_lot() -> None:
    book = Book()
    position = book.trade("BUY", "1.2345", "100")
    assert sellable(position, SPOT) == D("1.234")
    assert sellable(position, instrument(lot_size=D(0))) == D("1.2345")
    assert sellable(position, instrument(min_quantity=D("1.234"))) == D("1.234")
    assert sellable(position, instrument(min_quantity=D("1.235"))) == D(0)
    assert sellable(position, instrument(lot_size=D(2))) == D(0)


@pytest.mark.parametrize(
    ("quantity", "price", "dust"),
    [("0.0009", "100000", True), ("0.001", "5000", False), ("0.001", "4999.99", True), ("0.0019", "5000", False)],
)
def test_dust_is_what_no_order_can_sell(quantity: str, price: str, dust: bool) -> None:
    position = Book().trade("BUY", quantity, "100")
    assert is_dust(position, SPOT, D(price)) is dust
    position.quantity = -position.quantity
    assert not is_dust(position, SPOT, D(price))


def test_a_linear_position_is_never_dust() -> None:
    assert not is_dust(Book(PERP).trade("BUY", "0.001", "1"), PERP, D(1))


def test_an_adopted_order_needs_its_position() -> None:
    book = Book(PERP)
    position = book.trade("BUY", "1", "100")
    (adopted,) = [e for e in book.liquidate(position, "90") if isinstance(e, ev.OrderAdopted)]
    again = Book(PERP)
    with pytest.raises(InvariantError, match="unknown position"):
        evolve(again.ledger, adopted)


def test_a_part_of_a_fill_of_an_unknown_order_stops_the_fold() -> None:
    book = Book()
    book.trade("BUY", "1", "100")
    fill = next(e for e in book.events if isinstance(e, ev.OrderFilled))
    with pytest.raises(InvariantError, match="unknown order"):
        evolve(Book().ledger, fill)
