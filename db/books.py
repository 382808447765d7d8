"""Snapshots of order books. A book that cannot be (crossed, unsorted, an empty level) is refused, never repaired."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

from db.records import ensure_partitions, insert, moment, require

#: (price in quote, quantity in base), best first.
Level = tuple[Decimal, Decimal]


async def record_book(
    conn: Any,
    *,
    exchange: str,
    symbol: str,
    ts: int,
    bids: Sequence[Level],
    asks: Sequence[Level],
    depth: int | None = None,
) -> bool:
    """Keep the book of a symbol at `ts` (venue's time); totals are the sums of the levels shown.

    `depth` is how many levels were asked for on each side, the longer side when not given. False when that moment is there
    already. Raises RecordRefused for a book without levels, with one that is not above 0, out of order, or crossed: a best
    ask at the best bid is possible at some venues for a moment, one below it is not.
    """
    require(bool(bids or asks), f"the book of {symbol} has no levels")
    for name, levels, sign in (("bids", bids, -1), ("asks", asks, 1)):
        good = all(price.is_finite() and price > 0 and size.is_finite() and size > 0 for price, size in levels)
        require(good, f"the {name} of {symbol} have a level that is not above 0")
        prices = [price * sign for price, _ in levels]
        require(all(a < b for a, b in pairwise(prices)), f"the {name} of {symbol} are not best first")
    if bids and asks:
        require(asks[0][0] >= bids[0][0], f"the book of {symbol} is crossed: ask {asks[0][0]} below bid {bids[0][0]}")
    levels_asked = max(len(bids), len(asks)) if depth is None else depth
    require(levels_asked >= max(len(bids), len(asks)), f"depth {levels_asked} is less than the levels given")
    when = moment("ts", ts)
    row = {
        "exchange_id": await conn.fetchval("select qs.exchange_id($1)", exchange),
        "symbol": symbol,
        "ts": when,
        "bids": [[f"{price:f}", f"{size:f}"] for price, size in bids],
        "asks": [[f"{price:f}", f"{size:f}"] for price, size in asks],
        "depth": levels_asked,
        "total_bid_volume": sum((size for _, size in bids), Decimal(0)),
        "total_ask_volume": sum((size for _, size in asks), Decimal(0)),
    }
    await ensure_partitions(conn, "order_books", when)
    return await insert(conn, "order_books", row, "on conflict do nothing", "symbol") is not None
