"""The read tables of books kept by hand, without an engine: flips, adopted orders, funding, dust, liquidations."""

from __future__ import annotations

from decimal import Decimal as D
from pathlib import Path

import pytest

from db.connect import connect
from db.rebuild import rebuild
from tests.core.books import PERP, SPOT, Book, cross, isolated
from tests.db.histories import journal_of, write
from tests.db.test_project import rows


def lived() -> Book:
    """Every fact of `engine.core.fills` once."""
    book = Book(SPOT, PERP, balance=D(50_000), second=D(500))
    main, second = book.ledger.accounts
    held = book.trade("BUY", "1", "100", fee="0.0015", fee_currency="BTC")
    book.trade("SELL", "0.998", "110", of=held, fee="0.1", fee_currency="BNB")
    flipped = book.trade("BUY", "1", "50000", symbol=PERP.symbol, **cross("20"))
    book.later()
    book.funding(0.0001, 50_000.0)
    short = book.trade("SELL", "3", "51000", symbol=PERP.symbol, fee="1", **cross("20"))
    assert short.id != flipped.id
    book.liquidate(short, "60000", fee="10")
    book.trade("SELL", "1", "10", symbol=PERP.symbol, portfolio_id=second, hedge=True, **isolated("5"))
    assert main != second
    return book


@pytest.mark.parametrize("size", [1, 50])
async def test_the_tables_say_what_the_ledger_says(size: int, migrated: str, tmp_path: Path) -> None:
    book = lived()
    pairs = [(n, event) for n, event in enumerate(book.events)]
    journal = journal_of(migrated, tmp_path / "ledger")
    ledger = (await journal.open()).ledger
    await write(journal, ledger, pairs, size=size)
    await journal.close("done")
    conn = await connect(migrated)
    try:
        for account in ledger.accounts.values():
            row = await conn.fetchrow("select * from qs.portfolios where id = $1", account.portfolio_id)
            assert (row["name"], row["cash_balance"], row["fees_paid"]) == (account.name, account.cash, account.fees)
        for position in (*ledger.positions.values(), *ledger.closed_positions.values()):
            row = await conn.fetchrow("select * from qs.positions where id = $1", position.id)
            assert (row["side"], row["quantity"], row["realized_pnl"]) == (
                position.side,
                position.quantity,
                position.realized_pnl,
            )
            assert (row["liquidation_price"], row["leverage"]) == (position.liquidation_price, position.leverage)
            assert row["funding_paid"] == -position.funding
            assert row["status"] == (
                "OPEN" if not position.closed_ts else "LIQUIDATED" if position.liquidated else "CLOSED"
            )
        assert await conn.fetchval("select count(*) from qs.positions where status = 'LIQUIDATED'") == 1
        orders = await conn.fetch("select origin, position_mode, margin_mode from qs.orders order by number")
        assert [r["origin"] for r in orders].count("LIQUIDATION") == 1
        assert (orders[-1]["position_mode"], orders[-1]["margin_mode"]) == ("HEDGE", "ISOLATED")
        names = await conn.fetch("select exchange_trade_id from qs.fills where part = 1")
        assert len(names) == 1
        before = await rows(conn)
        assert await rebuild(migrated) == len(pairs)
        assert await rows(conn) == before
    finally:
        await conn.close()
