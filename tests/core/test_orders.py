"""The order's states: one table, walked by every report from every state, for every type and time in force."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from engine.core import events as ev
from engine.core.fold import evolve
from engine.core.orders import TRANSITIONS, Order
from engine.core.types import TERMINAL, OrderStatus, OrderType, TimeInForce
from tests.core.books import PERP, Book

S = OrderStatus

#: From each state (rows): what becomes of it when the venue says ACCEPTED, REJECTED, CANCELED, EXPIRED, fills a part, fills
#: the rest. "." is old news. A fill is applied in every state; a part of it re-opens only what we had given up on.
TABLE = """
SUBMITTED         ACCEPTED  REJECTED  CANCELED  EXPIRED  PARTIALLY_FILLED  FILLED
ACCEPTED          .         REJECTED  CANCELED  EXPIRED  PARTIALLY_FILLED  FILLED
PARTIALLY_FILLED  .         .         CANCELED  EXPIRED  .                 FILLED
REJECTED          ACCEPTED  .         CANCELED  EXPIRED  PARTIALLY_FILLED  FILLED
CANCELED          .         .         .         .        .                 FILLED
EXPIRED           .         .         .         .        .                 FILLED
FILLED            .         .         .         .        .                 .
"""
ROWS = [line.split() for line in TABLE.strip().splitlines()]
REPORTS = (S.ACCEPTED, S.REJECTED, S.CANCELED, S.EXPIRED)


def in_state(status: OrderStatus) -> tuple[Book, Order]:
    """An order for 4 in a state that it reached by reports alone."""
    book = Book(PERP)
    order = book.order("BUY", "4", accepted=status is not S.SUBMITTED)
    if status in (S.PARTIALLY_FILLED, S.FILLED):
        book.fill(order, "4" if status is S.FILLED else "1", "100")
    elif status in REPORTS[1:]:
        book.report(order, status)
    assert order.status is status
    return book, order


@pytest.mark.parametrize(("row", "column"), [(r, c) for r in range(len(ROWS)) for c in range(6)])
def test_every_report_in_every_state(row: int, column: int) -> None:
    name, *outcomes = ROWS[row]
    before, outcome = S(name), outcomes[column]
    after = before if outcome == "." else S(outcome)
    book, order = in_state(before)
    if column < len(REPORTS):
        events = book.report(order, REPORTS[column])
        assert bool(events) is (outcome != ".")
    else:
        events = book.fill(order, "1" if column == 4 else order.remaining if order.remaining > 0 else "1", "100")
        assert "OrderFilled" in book.kinds(events)  # never refused
    assert order.status is after
    assert (order.status in TERMINAL) == (order.id in book.ledger.closed_orders)
    assert bool(order.closed_ts) == (order.status in TERMINAL)


def test_the_table_in_the_code_is_this_one() -> None:
    for name, *outcomes in ROWS:
        said = {S(outcome) for outcome in outcomes if outcome != "."}
        assert TRANSITIONS[S(name)] - {S(name)} == said, name
    assert TRANSITIONS[S.DENIED] == frozenset()


@pytest.mark.parametrize("status", [S.SUBMITTED, S.ACCEPTED, S.PARTIALLY_FILLED])
def test_doubt_ends_with_the_next_word(status: OrderStatus) -> None:
    for end in ("report", "fill"):
        book, order = in_state(status)
        assert book.kinds(book.report(order, S.ACCEPTED, in_doubt=True)) == ["OrderInDoubt"]
        assert order.in_doubt and book.report(order, S.ACCEPTED, in_doubt=True) == []
        _ = book.report(order, S.CANCELED) if end == "report" else book.fill(order, "1", "100")
        assert not order.in_doubt


def test_no_doubt_about_an_order_that_has_ended() -> None:
    book, order = in_state(S.CANCELED)
    assert book.report(order, S.ACCEPTED, in_doubt=True) == []


def test_an_order_that_was_given_up_on_and_lives_is_adopted_and_cancelled() -> None:
    book, order = in_state(S.REJECTED)
    events = book.report(order, S.ACCEPTED)
    assert book.kinds(events) == ["OrderAccepted", "AlertTriggered", "CancelRequested"]
    assert [e.code for e in events if isinstance(e, ev.AlertTriggered)] == ["ORDER_LATE"]
    assert order.is_open and order.cancel_requested


def test_an_accepted_word_that_a_fill_has_overtaken_is_old_news() -> None:
    book = Book(PERP)
    order = book.order("BUY", "4", accepted=False)
    book.fill(order, "1", "100")
    assert book.report(order, S.ACCEPTED) == [] and order.status is S.PARTIALLY_FILLED


def test_a_state_that_the_table_does_not_know_changes_nothing_in_the_fold() -> None:
    book, order = in_state(S.FILLED)
    late = ev.OrderCanceled(
        ts=book.ts, cause=book.events[-1].cause, order_id=order.id, bot_id="", symbol="", reason="x"
    )
    evolve(book.ledger, late)
    assert (order.status, order.reason) == (S.FILLED, "")


def test_the_average_fill_price_is_of_what_has_filled() -> None:
    book, order = in_state(S.PARTIALLY_FILLED)
    assert order.avg_fill_price == D(100)
    book.fill(order, "2", "103")
    assert order.avg_fill_price == D(102)
    assert in_state(S.ACCEPTED)[1].avg_fill_price is None


#: What venues say of each type and time in force, as (type, time in force, words, end): a letter per report.
#: a accepted, r rejected, c cancelled, x expired, p a part is filled, f the rest is.
LIVES = [
    (OrderType.MARKET, TimeInForce.IOC, "af", S.FILLED),
    (OrderType.MARKET, TimeInForce.IOC, "f", S.FILLED),
    (OrderType.MARKET, TimeInForce.IOC, "fa", S.FILLED),
    (OrderType.MARKET, TimeInForce.IOC, "apx", S.EXPIRED),
    (OrderType.MARKET, TimeInForce.IOC, "ax", S.EXPIRED),
    (OrderType.MARKET, TimeInForce.IOC, "r", S.REJECTED),
    (OrderType.LIMIT, TimeInForce.GTC, "appf", S.FILLED),
    (OrderType.LIMIT, TimeInForce.GTC, "apc", S.CANCELED),
    (OrderType.LIMIT, TimeInForce.GTC, "acf", S.FILLED),
    (OrderType.LIMIT, TimeInForce.GTC, "cap", S.CANCELED),
    (OrderType.LIMIT, TimeInForce.IOC, "apx", S.EXPIRED),
    (OrderType.LIMIT, TimeInForce.IOC, "axp", S.EXPIRED),
    (OrderType.LIMIT, TimeInForce.FOK, "x", S.EXPIRED),
    (OrderType.LIMIT, TimeInForce.FOK, "ax", S.EXPIRED),
    (OrderType.LIMIT, TimeInForce.FOK, "af", S.FILLED),
    (OrderType.LIMIT, TimeInForce.GTX, "r", S.REJECTED),
    (OrderType.LIMIT, TimeInForce.GTX, "ax", S.EXPIRED),
    (OrderType.LIMIT, TimeInForce.GTX, "apf", S.FILLED),
    (OrderType.STOP_MARKET, TimeInForce.GTC, "af", S.FILLED),
    (OrderType.STOP_MARKET, TimeInForce.GTC, "ar", S.REJECTED),
    (OrderType.STOP_MARKET, TimeInForce.GTC, "ac", S.CANCELED),
    (OrderType.STOP_LIMIT, TimeInForce.GTC, "aapf", S.FILLED),
    (OrderType.STOP_LIMIT, TimeInForce.GTC, "ax", S.EXPIRED),
    (OrderType.TRAILING_STOP, TimeInForce.GTC, "apf", S.FILLED),
    (OrderType.TRAILING_STOP, TimeInForce.GTC, "arf", S.FILLED),
]


@pytest.mark.parametrize(("kind", "tif", "words", "end"), LIVES)
def test_the_lives_of_orders(kind: OrderType, tif: TimeInForce, words: str, end: OrderStatus) -> None:
    book = Book(PERP)
    order = book.order("BUY", "4", accepted=False, order_type=kind, time_in_force=tif)
    names = {"a": S.ACCEPTED, "r": S.REJECTED, "c": S.CANCELED, "x": S.EXPIRED}
    for word in words:
        if word in names:
            book.report(order, names[word])
        else:
            book.fill(order, order.remaining if word == "f" else "1", "100")
    assert order.status is end
    assert order.filled_quantity == (D(4) if end is S.FILLED else D(words.count("p")))
    assert book.replayed().state_hash() == book.ledger.state_hash()
