"""Executions, liquidations, funding and dust: what each report becomes, and that it counts once."""

from __future__ import annotations

from decimal import Decimal as D

import msgspec
import pytest

from engine.core import events as ev
from engine.core.inputs import LiquidationReport
from engine.core.types import OrderStatus, PositionSide
from tests.core.books import PERP, SPOT, Book, cross


def filled(events: tuple[ev.Event, ...]) -> list[ev.OrderFilled]:
    return [e for e in events if isinstance(e, ev.OrderFilled)]


def codes(events: tuple[ev.Event, ...]) -> list[str]:
    return [e.code for e in events if isinstance(e, ev.AlertTriggered)]


# -- fees ----------------------------------------------------------------------------------------------------------------


def test_a_fee_in_base_makes_the_position_smaller_and_not_the_cash() -> None:
    book = Book()
    position = book.trade("BUY", "1", "100", fee="0.001", fee_currency="BTC")
    assert (position.quantity, position.cost, position.entry_price) == (D("0.999"), D("99.9"), D(100))
    assert (book.account.cash, book.account.fees, position.fees) == (D(9900), D("0.1"), D("0.1"))
    (fill,) = filled(tuple(book.events))
    assert (fill.quantity, fill.fee, fill.fee_currency, fill.fee_value) == (D(1), D("0.001"), "BTC", D("0.1"))
    assert not book.account.assets
    assert [e.quantity for e in book.events if isinstance(e, ev.PositionOpened)] == [D(1)]


def test_a_fee_in_base_on_a_sale_takes_more_out_of_the_position() -> None:
    book = Book()
    position = book.trade("BUY", "2", "100")
    book.trade("SELL", "1", "110", fee="0.001", fee_currency="BTC", of=position)
    assert (position.quantity, position.cost) == (D("0.999"), D("99.9"))
    assert (book.account.cash, book.account.fees) == (D(9910), D("0.11"))
    assert position.realized_pnl == D("10.01")
    assert filled(tuple(book.events))[-1].pnl == D("10.01")


def test_a_fee_in_a_third_asset_is_owed_in_it() -> None:
    book = Book()
    position = book.trade("BUY", "1", "100", fee="0.01", fee_currency="BNB")
    book.trade("SELL", "1", "100", fee="0.02", fee_currency="BNB", of=position)
    assert book.account.assets == {"BNB": D("-0.03")}
    assert (book.account.cash, book.account.fees) == (D(10_000), D(0))
    assert {f.fee_value for f in filled(tuple(book.events))} == {D(0)}
    book.trade("BUY", "1", "100", fee="0", fee_currency="XYZ")
    assert "XYZ" not in book.account.assets


def test_a_linear_fee_in_its_base_is_a_third_asset() -> None:
    book = Book(PERP)
    position = book.trade("BUY", "1", "100", fee="0.01", fee_currency="BTC")
    assert (position.quantity, book.account.assets) == (D(1), {"BTC": D("-0.01")})


def test_a_rebate_is_a_fee_below_zero() -> None:
    book = Book()
    book.trade("BUY", "1", "100", fee="-0.1")
    assert (book.account.cash, book.account.fees) == (D("9900.1"), D("-0.1"))


def test_a_fee_in_base_is_known_of_a_symbol_that_the_feed_no_longer_offers() -> None:
    book = Book()
    order = book.order("BUY", "1")
    position = book.trade("BUY", "1", "100", position_id=order.position_id)
    del book.state.market.series[("test", SPOT.symbol)]
    assert codes(book.fill(order, "1", "100", "0.001", "BTC")) == ["EXIT_NOT_PLACED"]
    assert position.quantity == D("1.999")
    book.fill(book.order("SELL", "1", of=position), "1.9989", "100")
    assert position.quantity == D("0.0001")  # whether that is dust, nobody can say


# -- once, and never refused ----------------------------------------------------------------------------------------------


def test_a_trade_counts_once() -> None:
    book = Book()
    order = book.order("BUY", "2")
    assert filled(book.fill(order, "1", "100", trade_id="a"))
    assert book.fill(order, "1", "100", trade_id="a") == []
    assert (order.filled_quantity, order.status) == (D(1), OrderStatus.PARTIALLY_FILLED)


def test_a_flip_counts_once_as_well() -> None:
    book = Book(PERP)
    book.trade("BUY", "1", "100")
    order = book.order("SELL", "2")
    assert len(filled(book.fill(order, "2", "100", trade_id="a"))) == 2
    assert book.fill(order, "2", "100", trade_id="a") == []


def test_a_fill_of_an_unknown_order_is_an_alert() -> None:
    assert codes(Book().fill("nobody", "1", "100")) == ["ORDER_UNKNOWN"]


@pytest.mark.parametrize(
    ("quantity", "price", "fee"),
    [
        ("NaN", "100", "0"),
        ("1", "Infinity", "0"),
        ("1", "100", "sNaN"),
        ("0", "100", "0"),
        ("-1", "100", "0"),
        ("1", "0", "0"),
        ("1", "-5", "0"),
        ("1e20", "100", "0"),
        ("1", "1e20", "0"),
        ("1", "100", "-1e20"),
    ],
)
def test_what_is_no_amount_is_an_alert_and_books_nothing(quantity: str, price: str, fee: str) -> None:
    book = Book()
    order = book.order("BUY", "1")
    before = book.ledger.account
    assert codes(book.fill(order, quantity, price, fee)) == ["FILL_UNREADABLE"]
    assert (book.ledger.account, order.trade_ids) == (before, [])


@pytest.mark.parametrize("end", [OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.REJECTED])
def test_a_terminal_order_takes_a_late_fill(end: OrderStatus) -> None:
    book = Book()
    order = book.order("BUY", "2")
    book.report(order, end)
    assert filled(book.fill(order, "1", "100"))
    assert book.position.quantity == D(1)
    assert order.status is (OrderStatus.PARTIALLY_FILLED if end is OrderStatus.REJECTED else end)
    book.fill(order, "1", "100")
    assert (order.status, book.position.quantity) == (OrderStatus.FILLED, D(2))


def test_an_over_filled_order_is_booked_whole() -> None:
    book = Book()
    order = book.order("BUY", "1")
    book.fill(order, "1", "100")
    book.fill(order, "0.5", "100")
    assert (order.status, order.remaining, book.position.quantity) == (OrderStatus.FILLED, D("-0.5"), D("1.5"))


def test_a_late_entry_fill_reopens_the_position_that_had_ended() -> None:
    book = Book(PERP)
    order = book.order("BUY", "2")
    book.fill(order, "1", "100")
    position = book.position
    book.trade("SELL", "1", "110", of=position)
    assert book.ledger.counts.trades == 1
    book.fill(order, "1", "100")
    assert book.position is position and (position.quantity, position.closed_ts) == (D(1), 0)
    assert book.ledger.counts.trades == 0


def test_a_late_exit_fill_of_a_flat_netted_symbol_opens_the_other_side() -> None:
    """Stop and target both filled at the venue: it holds a short now, and so does the ledger."""
    book = Book(PERP)
    position = book.trade("BUY", "1", "100")
    stop, target = book.order("SELL", "1", of=position), book.order("SELL", "1", of=position)
    book.fill(target, "1", "110")
    late = book.fill(stop, "1", "90")
    assert book.position.id not in (position.id, stop.position_id)
    assert (book.position.side, book.position.quantity) == (PositionSide.SHORT, D(1))
    assert filled(late)[0].pnl == D(0)


def test_an_exit_that_fills_beyond_a_netted_position_flips_it_and_alerts() -> None:
    book = Book(PERP)
    position = book.trade("BUY", "1", "100")
    events = book.fill(book.order("SELL", "1", of=position), "1.5", "110")
    assert codes(events) == ["POSITION_FLIPPED"]
    assert (book.position.side, book.position.quantity) == (PositionSide.SHORT, D("0.5"))


def test_a_late_fill_goes_to_the_open_position_of_its_side() -> None:
    book = Book(PERP)
    long = book.trade("BUY", "1", "100", hedge=True)
    stop = book.order("SELL", "1", of=long)
    book.trade("SELL", "1", "100", of=long)
    short = book.trade("SELL", "1", "100", hedge=True)
    newer = book.trade("BUY", "3", "100", hedge=True)
    book.fill(stop, "1", "100")
    assert (short.quantity, newer.quantity, long.quantity) == (D(1), D(2), D(0))


# -- dust ----------------------------------------------------------------------------------------------------------------


def test_what_a_sale_leaves_below_the_lot_is_dust_and_ends_the_position() -> None:
    book = Book()
    position = book.trade("BUY", "1", "100", fee="0.0015", fee_currency="BTC")
    order = book.order("SELL", "0.998", of=position, role="STOP")
    events = book.fill(order, "0.998", "110")
    (kept,) = [e for e in events if isinstance(e, ev.DustKept)]
    assert (kept.asset, kept.quantity, kept.cost, kept.reason) == ("BTC", D("0.0005"), D("0.05"), "STOP")
    (closed,) = [e for e in events if isinstance(e, ev.PositionClosed)]
    assert (closed.reason, closed.quantity, closed.realized_pnl) == ("STOP", D("0.9985"), D("9.83"))
    assert not book.ledger.positions and book.ledger.counts.trades == 1
    assert (position.dust, position.quantity, position.cost) == (D("0.0005"), D(0), D(0))
    assert book.account.dust["BTC"].quantity == D("0.0005")
    assert book.equity == book.account.cash + D("0.05")


def test_dust_of_several_round_trips_adds_up() -> None:
    book = Book()
    for _ in range(3):
        position = book.trade("BUY", "1", "100", fee="0.0015", fee_currency="BTC")
        book.trade("SELL", "0.998", "100", of=position)
    assert (book.account.dust["BTC"].quantity, book.account.dust["BTC"].cost) == (D("0.0015"), D("0.15"))


def test_a_partial_exit_that_leaves_an_order_worth_is_no_dust() -> None:
    book = Book()
    position = book.trade("BUY", "1", "100")
    book.trade("SELL", "0.95", "100", of=position)
    assert position.quantity == D("0.05") and not book.account.dust


def test_what_an_ended_entry_has_bought_below_the_minimum_is_dust() -> None:
    book = Book()
    order = book.order("BUY", "1")
    book.fill(order, "0.01", "100")
    assert book.position.quantity == D("0.01")  # more may come
    events = book.report(order, OrderStatus.CANCELED)
    assert [e.reason for e in events if isinstance(e, ev.DustKept)] == ["ENTRY"]
    assert not book.ledger.positions


def test_an_entry_that_ends_unfilled_makes_no_dust_of_what_is_held() -> None:
    book = Book()
    position = book.trade("BUY", "0.06", "100")
    book.mark(50)  # worth less than the least order now, and worth more again some day
    book.report(book.order("BUY", "1", position_id=position.id), OrderStatus.EXPIRED)
    assert book.ledger.positions


def test_an_entry_under_way_keeps_a_rest_from_being_dust() -> None:
    book = Book()
    position = book.trade("BUY", "1", "100")
    more = book.order("BUY", "1", position_id=position.id)
    book.trade("SELL", "0.9999", "100", of=position)
    assert position.quantity == D("0.0001")
    book.fill(more, "1", "100")
    assert position.quantity == D("1.0001")


def test_a_late_sale_of_what_became_dust_is_still_booked() -> None:
    book = Book()
    position = book.trade("BUY", "1", "100")
    stop = book.order("SELL", "1", of=position)
    book.trade("SELL", "0.9999", "100", of=position)
    book.fill(stop, "0.0001", "100")
    assert (position.quantity, position.dust) == (D("-0.0001"), D("0.0001"))


# -- several portfolios -------------------------------------------------------------------------------------------------------


def test_a_config_opens_its_portfolios_once_and_their_money_is_apart() -> None:
    book = Book(SPOT, PERP, second=D(500))
    main, second = book.ledger.accounts.values()
    assert (second.name, second.currency, second.cash, second.equity) == ("second", "USDT", D(500), D(500))
    book.trade("BUY", "1", "100", fee="0.1", portfolio_id=second.portfolio_id)
    assert (main.cash, second.cash, second.fees) == (D(10_000), D("399.9"), D("0.1"))
    position = book.trade("SELL", "1", "100", symbol=PERP.symbol, portfolio_id=second.portfolio_id)
    book.liquidate(position, "150")
    assert (main.cash, second.cash) == (D(10_000), D("349.9"))
    assert sum(isinstance(e, ev.PortfolioOpened) for e in book.events) == 1


def test_a_liquidation_report_goes_through_json() -> None:
    book = Book(PERP)
    position = book.trade("BUY", "1", "100")
    report = LiquidationReport(
        ts=book.ts,
        cause=book.events[-1].cause,
        position_id=position.id,
        trade_id="1",
        quantity=D(1),
        price=D(9),
        fee=D(0),
        fee_currency="USDT",
    )
    assert msgspec.json.decode(msgspec.json.encode(report), type=LiquidationReport) == report


def test_the_fold_of_all_of_it_is_the_ledger() -> None:
    book = Book(SPOT, PERP, balance=D(50_000), second=D(500))
    held = book.trade("BUY", "1", "100", fee="0.0015", fee_currency="BTC")
    book.trade("SELL", "0.998", "110", of=held, fee="0.1", fee_currency="BNB")
    book.trade("BUY", "1", "50000", symbol=PERP.symbol, **cross("20"))
    book.later()
    book.funding(0.0001, 50_000.0)
    book.trade("SELL", "3", "49000", symbol=PERP.symbol, fee="1", **cross("20"))
    book.liquidate(next(p for p in book.ledger.positions.values() if p.symbol == PERP.symbol), "60000", fee="10")
    assert book.replayed().state_hash() == book.ledger.state_hash()
