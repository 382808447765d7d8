"""Recorded quotes, trades and books, where they are beside the repository: a replay through the model keeps all invariants."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from engine.core.inputs import Book, MarketInput, Quote, Trade
from engine.core.types import Instrument, Side, money
from tests.venue.desk import PaperDesk
from tests.venue.invariants import Watch

D = Decimal
TICKS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "ticks"
QUOTES = TICKS / "binancespot_BTCUSDT_2024-08-08_bookticker.parquet"
TRADES = TICKS / "binancespot_BTCUSDT_2024-08-08_trades.parquet"
BOOKS = TICKS / "small" / "tardis_binance-futures_book_snapshot_25_BTCUSDT.csv"
BTC = Instrument(
    exchange="binance",
    symbol="BTC/USDT",
    base="BTC",
    quote="USDT",
    tick_size=D("0.01"),
    lot_size=D("0.00001"),
    min_quantity=D("0.00001"),
    min_notional=D(5),
    source="bundled",
)
AT = {"exchange": BTC.exchange, "symbol": BTC.symbol}


def feed(limit: int) -> Iterator[MarketInput]:
    """Quotes and trades in the order of their arrival; the arrival is their time."""
    rows = duckdb.sql(
        f"""select recv_ns, bid, bid_qty, ask, ask_qty, null, null, null from '{QUOTES}'
            union all select recv_ns, null, null, null, null, price, qty, buyer_is_maker from '{TRADES}'
            order by recv_ns limit {limit}"""
    ).fetchall()
    for recv_ns, bid, bid_size, ask, ask_size, price, size, sold in rows:
        ts = recv_ns // 1000
        if price is None:
            yield Quote(ts=ts, **AT, bid=bid, ask=ask, bid_size=bid_size, ask_size=ask_size, received_ts=ts)
        else:
            yield Trade(ts=ts, **AT, price=price, size=size, aggressor=Side("SELL" if sold else "BUY"), received_ts=ts)


def place(desk: PaperDesk, n: int, bid: float, ask: float) -> None:
    """Orders of every kind around the market, the n-th of them."""
    middle, held = (bid + ask) / 2, bool(desk.ledger.positions)
    bid, ask = round(bid, 2), round(ask, 2)
    kinds: list[dict[str, Any]] = [
        {"order_type": "LIMIT", "price": bid},
        {"order_type": "LIMIT", "price": ask, "side": "SELL", "closes": True},
        {"order_type": "LIMIT", "price": round(bid - 2, 2), "tif": "GTX"},
        {"order_type": "MARKET", "quantity": 8},
        {"order_type": "LIMIT", "price": ask, "tif": "IOC", "quantity": 8},
        {"order_type": "LIMIT", "price": ask, "tif": "FOK", "quantity": 3},
        {"order_type": "STOP_MARKET", "stop": round(middle - 3), "side": "SELL", "closes": True},
        {"order_type": "TRAILING_STOP", "callback_rate": "0.005", "side": "SELL", "closes": True},
        {"order_type": "STOP_LIMIT", "stop": round(middle + 2), "price": round(middle + 3)},
        {"order_type": "MARKET", "side": "SELL", "closes": True, "quantity": 5},
    ]
    kind = {"side": "BUY", "quantity": "0.3"} | kinds[n % len(kinds)]
    if held or not kind.get("closes"):
        desk.send(**kind)


def replay(limit: int, latency_ms: int) -> PaperDesk:
    desk = PaperDesk("L1", BTC, latency_ms=latency_ms, jitter_ms=latency_ms // 4, taker_bps=10, maker_bps=8)
    watch = Watch(desk)
    quote = None
    for n, value in enumerate(feed(limit)):
        if isinstance(value, Quote):
            quote = value
        desk.now = value.ts
        desk.take(value)
        watch.check()
        if quote is not None and n % 40 == 0:
            place(desk, n // 40, quote.bid, quote.ask)
        if n % 97 == 0 and desk.ledger.orders:
            oldest = min(desk.ledger.orders.values(), key=lambda o: o.number)
            if not oldest.cancel_requested:
                desk.cancel(oldest)
    return desk


@pytest.mark.skipif(not QUOTES.exists() or not TRADES.exists(), reason="no recorded ticks beside the repository")
def test_a_replay_of_real_quotes_and_trades_keeps_all_invariants() -> None:
    desk = replay(12_000, 80)
    fills = [r for r in desk.said if hasattr(r, "trade_id")]
    assert len(fills) > 100 and {f.liquidity for f in fills} == {"MAKER", "TAKER"}
    partly = [o for o in desk.ledger.closed_orders.values() if len(o.trade_ids) > 1]
    assert partly, "nothing filled in parts: the recording was not what drove the fills"


@pytest.mark.skipif(not QUOTES.exists() or not TRADES.exists(), reason="no recorded ticks beside the repository")
def test_the_same_recording_gives_the_same_reports() -> None:
    assert replay(3_000, 80).said == replay(3_000, 80).said


@pytest.mark.skipif(not BOOKS.exists(), reason="no recorded books beside the repository")
def test_a_taker_walks_a_real_book_as_by_hand() -> None:
    with BOOKS.open() as file:
        for row in csv.DictReader(file):
            asks = tuple((float(row[f"asks[{i}].price"]), float(row[f"asks[{i}].amount"])) for i in range(25))
            bids = tuple((float(row[f"bids[{i}].price"]), float(row[f"bids[{i}].amount"])) for i in range(25))
            desk = PaperDesk("L2", BTC)
            order = desk.send("BUY", "MARKET", 7)
            desk.now += 1000
            desk.take(Book(ts=desk.now, **AT, bids=bids, asks=asks, received_ts=desk.now))
            left, cost = D(7), D(0)
            for price, size in asks:
                part = min(left, money(size))
                left, cost = left - part, cost + part * money(price)
            assert left == 0 and sum(f.price * f.quantity for f in desk.fills(order)) == cost
