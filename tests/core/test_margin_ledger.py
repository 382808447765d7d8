"""Margin of a ledger: liquidation prices as events say them, what is free, what an account is worth."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from engine.core import events as ev
from engine.core.margin import available, equity, liquidation, liquidation_of, maintenance_margin
from engine.core.positions import Account, Position
from tests.core.books import ETH_PERP, PERP, SPOT, Book, cross, instrument, isolated
from tests.core.test_margin import TINY, excess, leg

# -- of a ledger ---------------------------------------------------------------------------------------------------------


def balances(book: Book, position: Position, price: D) -> D:
    """Margin balance less maintenance of a cross account with `position`'s symbol at `price`, the others at their mark."""
    total = book.account.cash
    for p in book.ledger.positions.values():
        if p.margin_mode == "ISOLATED":
            total -= p.margin if p.kind == "LINEAR" else 0
            continue
        mark = (
            price
            if p.symbol == position.symbol
            else (book.state.market.series[("test", p.symbol)].mark_price or p.mark_price)
        )
        total += p.unrealized_pnl(mark)
        total -= maintenance_margin(book.instruments[p.symbol].margin_tiers, p.notional(mark))
    return total


@pytest.mark.parametrize("side", ["BUY", "SELL"])
@pytest.mark.parametrize("leverage", ["5", "20", "100"])
@pytest.mark.parametrize("contract_size", [D(1), D("0.001")])
def test_an_isolated_position_says_where_it_ends(side: str, leverage: str, contract_size: D) -> None:
    book = Book(instrument("BTC/USDT:USDT", contract_size=contract_size), balance=D(100_000))
    quantity = 1 / contract_size
    position = book.trade(side, quantity, "50000", **isolated(leverage))
    changed = [e for e in book.events if isinstance(e, ev.MarginChanged)][-1]
    want = liquidation([leg(position.side, D(1), D(50_000))], D(50_000) / D(leverage), D(50_000))
    assert (changed.liquidation_price, changed.liquidated_below) == (want.price, side == "BUY")
    assert position.liquidation_price == want.price
    assert position.maintenance_margin == changed.maintenance_margin == D(200)
    book.trade("SELL" if side == "BUY" else "BUY", quantity / 2, "50000", of=position)
    assert position.liquidation_price is not None
    half = [leg(position.side, D("0.5"), D(50_000))]  # half the quantity, half the margin; the tier may be another
    assert abs(excess(half, D(25_000) / D(leverage), position.liquidation_price)) < TINY


def test_a_cross_position_answers_with_the_account() -> None:
    book = Book(PERP, balance=D(20_000))
    position = book.trade("BUY", "1", "50000", **cross("100"))
    assert position.liquidation_price is not None
    assert abs(balances(book, position, position.liquidation_price)) < TINY
    assert position.liquidation_price < D(31_000)  # at 100x, and far away: all of the account stands for it


def test_cross_positions_of_several_symbols_share_the_wallet() -> None:
    book = Book(PERP, ETH_PERP, SPOT, balance=D(30_000))
    btc = book.trade("BUY", "1", "50000", **cross("20"))
    alone = btc.liquidation_price
    eth = book.trade("SELL", "10", "3000", symbol=ETH_PERP.symbol, **cross("20"))
    book.mark(3300, ETH_PERP.symbol)
    book.trade("BUY", "0.01", "50000", **cross("20"))  # any fill tells the new prices of all cross positions
    for position in (btc, eth):
        assert position.liquidation_price is not None
        assert abs(balances(book, position, position.liquidation_price)) < TINY
    assert alone is not None and btc.liquidation_price is not None and btc.liquidation_price > alone
    before = (btc.liquidation_price, eth.liquidation_price)
    book.trade("BUY", "0.1", "50000", symbol=SPOT.symbol)  # spot takes cash out of the wallet
    assert btc.liquidation_price > before[0]
    assert eth.liquidation_price is not None and before[1] is not None and eth.liquidation_price < before[1]


def test_isolated_margin_is_no_part_of_the_cross_wallet() -> None:
    book = Book(PERP, ETH_PERP, balance=D(30_000))
    btc = book.trade("BUY", "1", "50000", **cross("20"))
    before = btc.liquidation_price
    book.trade("BUY", "10", "3000", symbol=ETH_PERP.symbol, **isolated("3"))
    assert before is not None and btc.liquidation_price is not None
    assert btc.liquidation_price > before
    assert abs(balances(book, btc, btc.liquidation_price)) < TINY


@pytest.mark.parametrize(("longs", "shorts", "below"), [("2", "0.5", True), ("0.5", "2", False)])
def test_both_legs_of_a_hedge_share_one_price(longs: str, shorts: str, below: bool) -> None:
    book = Book(PERP, balance=D(40_000))
    long = book.trade("BUY", longs, "50000", hedge=True, **cross("20"))
    short = book.trade("SELL", shorts, "50500", hedge=True, **cross("20"))
    assert long.liquidation_price == short.liquidation_price is not None
    assert long.liquidated_below is short.liquidated_below is below
    assert abs(balances(book, long, long.liquidation_price or D(0))) < TINY
    for one in (long, short):  # one mark ends both, and only from that side
        assert not one.liquidates(D(49_000), D(52_000))
        assert one.liquidates(D(1), D(50_000)) is below and one.liquidates(D(50_000), D(99_999)) is not below


def test_marks_of_others_move_the_price_with_the_next_sample() -> None:
    book = Book(PERP, ETH_PERP, balance=D(30_000))
    btc = book.trade("BUY", "1", "50000", **cross("20"))
    book.trade("BUY", "10", "3000", symbol=ETH_PERP.symbol, **cross("20"))
    before = btc.liquidation_price
    book.mark(2500, ETH_PERP.symbol)
    book.later()
    book.tick()
    assert before is not None and btc.liquidation_price is not None and btc.liquidation_price > before
    count = sum(isinstance(e, ev.MarginChanged) for e in book.events)
    book.later(3600)
    book.tick()  # nothing moved: nothing is said
    assert sum(isinstance(e, ev.MarginChanged) for e in book.events) == count


def test_equity_counts_spot_linear_and_dust() -> None:
    book = Book(SPOT, PERP, balance=D(10_000))
    book.trade("BUY", "1", "100")
    book.trade("SELL", "2", "100", symbol=PERP.symbol)
    assert book.equity == D(10_000)
    book.mark(150)
    assert book.equity == D(10_050)
    book.mark(90, PERP.symbol)
    assert book.equity == D(10_070)
    position = book.ledger.open_position(book.setup.bots[0].id, "test", SPOT.symbol)
    book.trade("SELL", "0.9999", "150", of=position)
    assert book.account.dust["BTC"].cost == D("0.01")
    assert book.equity == D(10_000) + D("0.9999") * 50 + 20
    assert len(book.ledger.positions) == 1


def test_a_position_of_an_unknown_symbol_counts_at_its_last_price() -> None:
    book = Book(PERP)
    position = book.trade("BUY", "1", "100", **cross("10"))
    del book.state.market.series[("test", PERP.symbol)]
    assert equity(book.ledger, book.state.market, book.account) == D(10_000)
    assert liquidation_of(book.ledger, book.state.market, position).price is None  # of 10,000 in cash, 100 at risk


def _other(book: Book) -> Account:
    return next(a for a in book.ledger.accounts.values() if a.name == "other")


def test_what_is_available_is_what_nothing_has_a_claim_on() -> None:
    book = Book(SPOT, PERP, other=D(500))
    market = book.state.market
    assert available(book.ledger, market, book.account) == D(10_000)
    book.order("BUY", "10", price=D(100))
    assert available(book.ledger, market, book.account, D("0.001")) == D(8999)
    book.order("BUY", "10", symbol=PERP.symbol, price=D(100), **isolated("10"))
    assert available(book.ledger, market, book.account, D("0.001")) == D(8898)
    position = book.trade("SELL", "10", "100", symbol=PERP.symbol, **cross("4"))
    assert available(book.ledger, market, book.account, D("0.001")) == D(8648)
    book.trade(
        "BUY", "1", "100", symbol=PERP.symbol, portfolio_id=_other(book).portfolio_id, hedge=True, **isolated("4")
    )
    assert available(book.ledger, market, _other(book)) == D(475)
    book.order("BUY", "10", symbol=PERP.symbol, of=position)  # leaves, and claims nothing
    book.mark(90, PERP.symbol)  # an unrealised profit buys nothing
    assert available(book.ledger, market, book.account, D("0.001")) == D(8648)
    book.mark(120, PERP.symbol)  # a loss is already spent
    assert available(book.ledger, market, book.account, D("0.001")) == D(8448)
    assert available(book.ledger, market, _other(book)) == D(475)  # of an isolated position no more than its margin


def test_an_entry_at_market_claims_the_last_price_and_a_stop_its_own() -> None:
    book = Book(SPOT)
    book.order("BUY", "1")
    assert available(book.ledger, book.state.market, book.account) == D(10_000)  # no price yet: the gates block it
    book.mark(100)
    assert available(book.ledger, book.state.market, book.account) == D(9900)
    book.order("BUY", "1", stop_price=D(120))
    assert available(book.ledger, book.state.market, book.account) == D(9780)
