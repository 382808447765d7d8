"""Ticks by the hundred thousand: best bid and ask, and last trades, through COPY.

A tick needs no durability of its own: rows go in by batches, on a connection that does not wait for the disk. COPY takes
them as text: Postgres parses the shortest decimal of a float faster than a driver encodes the same Decimal, and the value
that is stored is exact all the same (`types.money`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Any

import msgspec

from engine.core.inputs import Quote

COLUMNS = ("exchange_id", "symbol", "ts", "bid", "ask", "last_price", "last_volume", "source", "received_at")
CHUNK_ROWS = 4_096


class TickRefused(ValueError):
    """A tick that cannot be stored. Nothing of its batch was."""


class TickRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One tick; times are int microseconds UTC, prices in quote, volume in base. What is not known is None."""

    exchange: str
    symbol: str
    ts: int
    received_ts: int
    bid: float | None = None
    ask: float | None = None
    last_price: float | None = None
    last_volume: float | None = None
    source: str = ""


def of_quote(quote: Quote, source: str) -> TickRow:
    """A quote of a feed. Feeds that know only a last price give it as bid and ask."""
    alone = quote.bid == quote.ask
    return TickRow(
        exchange=quote.exchange,
        symbol=quote.symbol,
        ts=quote.ts,
        received_ts=quote.received_ts,
        bid=quote.bid,
        ask=quote.ask,
        last_price=quote.bid if alone else None,
        source=source,
    )


class TickWriter:
    """Writes ticks on a connection of its own (role qs_engine), which it makes asynchronous: a crash may lose the last ones.

    Not for two tasks at once. Raises TickRefused for a price that is no number and a name with a NUL byte, and what the
    database raises; a batch goes in whole or not at all. A tick whose ask is below its bid is refused by the table.
    """

    def __init__(self, conn: Any) -> None:
        self._conn = conn
        self._asynchronous = False
        self._exchanges: dict[str, int] = {}
        self._labels: dict[tuple[str, str], str] = {}
        self._days: set[int] = set()
        self._second = -1
        self._prefix = ""

    async def write(self, ticks: Sequence[TickRow]) -> int:
        """Store a batch; returns the number of rows. Partitions are made for the ticks' own days."""
        if not ticks:
            return 0
        await self._prepare(ticks)
        await self._conn.copy_to_table(
            "ticks", schema_name="qs", columns=COLUMNS, source=self._chunks(ticks), format="text"
        )
        return len(ticks)

    async def _prepare(self, ticks: Sequence[TickRow]) -> None:
        if not self._asynchronous:
            await self._conn.execute("set synchronous_commit = off")
            self._asynchronous = True
        for code in {tick.exchange for tick in ticks} - self._exchanges.keys():
            self._exchanges[code] = await self._conn.fetchval("select qs.exchange_id($1)", code)
        for day in {tick.ts // 86_400_000_000 for tick in ticks} - self._days:
            at = datetime.fromtimestamp(day * 86_400, UTC)
            await self._conn.execute("select qs.ensure_partitions('ticks', $1, $1)", at)
            self._days.add(day)

    async def _chunks(self, ticks: Sequence[TickRow]) -> AsyncIterator[bytes]:
        for start in range(0, len(ticks), CHUNK_ROWS):
            yield "".join([self._line(tick) for tick in ticks[start : start + CHUNK_ROWS]]).encode()

    def _line(self, tick: TickRow) -> str:
        label = self._labels.get((tick.exchange, tick.symbol))
        if label is None:
            label = self._labels[tick.exchange, tick.symbol] = (
                f"{self._exchanges[tick.exchange]}\t{_escaped(tick.symbol)}"
            )
        return (
            f"{label}\t{self._time(tick.ts)}\t{_number(tick.bid)}\t{_number(tick.ask)}\t{_number(tick.last_price)}\t"
            f"{_number(tick.last_volume)}\t{_escaped(tick.source) if tick.source else _NULL}\t{self._time(tick.received_ts)}\n"
        )

    def _time(self, ts: int) -> str:
        """ISO 8601 with an offset. The second is formatted once for all its microseconds."""
        second, us = divmod(ts, 1_000_000)
        if second != self._second:
            self._second = second
            self._prefix = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S")
        return f"{self._prefix}.{us:06d}+00"


_NULL = "\\N"
#: What COPY's text format would read as something else.
_SPECIAL = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _escaped(text: str) -> str:
    if "\0" in text:
        raise TickRefused(f"{text!r}: a name with a NUL byte cannot be stored")
    return text.translate(_SPECIAL)


def _number(value: float | None) -> str:
    if value is None:
        return _NULL
    if not isfinite(value):  # Postgres would take NaN, and NaN is above every price
        raise TickRefused(f"{value} is not a price")
    return repr(value)
