"""Named reads of `queries.sql` (the idea: procrastinate's sql/queries.sql). No ORM stands between a reader and the truth."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple, TypeVar

import asyncpg
import msgspec

from db.rows import at

T = TypeVar("T", bound=msgspec.Struct)

EQUITY_POINTS_MIN = 4


@cache
def load_queries(name: str = "queries.sql") -> dict[str, str]:
    """The statements of a file by their `-- name:`. Raises ValueError for a name that is there twice, or none at all."""
    parts = re.split(r"^-- name: (\w+)\s*$", files("db").joinpath(name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    queries: dict[str, str] = {}
    for key, body in zip(parts[1::2], parts[2::2], strict=True):
        if key in queries:
            raise ValueError(f"{name} has two queries named {key}: rename one")
        queries[key] = body.strip().removesuffix(";")
    if not queries:
        raise ValueError(f"{name} names no query: begin each with `-- name: x`")
    return queries


class EventRow(msgspec.Struct, frozen=True, kw_only=True):
    """An event for reading; `payload` is its JSON text, undecoded: a screen decodes the rows that it shows."""

    seq: int
    id: str
    ts: int
    level: str
    type: str
    symbol: str | None
    bot_id: str | None
    position_id: str | None
    actor: str | None
    payload: str


class OrderRow(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    exchange: str
    symbol: str
    side: str
    position_side: str | None
    order_type: str | None
    role: str | None
    status: str
    in_doubt: bool
    cancel_requested: bool
    reduce_only: bool
    quantity: Decimal
    filled_quantity: Decimal
    price: Decimal | None
    stop_price: Decimal | None
    avg_fill_price: Decimal | None
    bot: str | None
    position_id: str | None
    tag: str | None
    reason: str
    created_ts: int
    updated_ts: int


class PositionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A round trip; `realized_pnl` and `unrealized_pnl` are before fees and funding, `notes` the JSON of its entry's gates."""

    id: str
    exchange: str
    symbol: str
    side: str
    status: str
    bot: str | None
    quantity: Decimal
    entry_price: Decimal | None
    exit_price: Decimal | None
    mark_price: Decimal | None
    stop_price: Decimal | None
    take_profit_price: Decimal | None
    unrealized_pnl: Decimal | None
    realized_pnl: Decimal | None
    fees: Decimal | None
    funding_paid: Decimal | None
    leverage: Decimal
    margin_mode: str | None
    margin_used: Decimal | None
    liquidation_price: Decimal | None
    account: str
    entry_notional: Decimal | None
    close_reason: str
    notes: str | None
    opened_ts: int
    closed_ts: int | None


class FillRow(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    order_id: str
    position_id: str | None
    exchange: str
    symbol: str
    side: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str | None
    liquidity: str | None
    pnl: Decimal | None
    trade_id: str | None
    executed_ts: int


class DecisionRow(msgspec.Struct, frozen=True, kw_only=True):
    """What the gates said of an intent; `details` is JSON with every gate."""

    id: str
    order_id: str | None
    symbol: str | None
    side: str | None
    action: str
    rule: str
    details: str
    bot: str | None
    created_ts: int


class LedgerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What this database is bound to, where its journal is, and its newest run; None for what has not been."""

    ledger_id: str
    mode: str
    feed: str
    seed: int | None
    base_currency: str
    initial_balance: Decimal | None
    seq: int
    created_ts: int
    epoch: int | None
    host: str | None
    pid: int | None
    heartbeat_ts: int | None
    ended_ts: int | None


class ConfigRow(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    sha256: str
    actor: str
    note: str
    is_active: bool
    created_ts: int
    activated_ts: int | None


class EquityRow(NamedTuple):
    """ts (int microseconds UTC), equity, drawdown (fraction below the peak)."""

    ts: int
    equity: Decimal
    drawdown: Decimal


class Queries:
    """The reads, on one connection (or pool) whose search path begins with qs. Any role may use it."""

    def __init__(self, conn: asyncpg.Connection | asyncpg.Pool) -> None:
        self._conn = conn

    async def newest_events(
        self,
        count: int,
        *,
        types: Sequence[str] | None = None,
        levels: Sequence[str] | None = None,
        symbol: str | None = None,
        before_seq: int | None = None,
    ) -> list[EventRow]:
        """The newest events that fit all filters, oldest of them first."""
        return (await self._rows("events_newest", EventRow, count, types, levels, symbol, before_seq))[::-1]

    async def events_after(self, seq: int, limit: int = 1_000) -> list[EventRow]:
        """The next events after `seq`, in order; an empty list says that there are none yet."""
        return await self._rows("events_after", EventRow, seq, limit)

    async def head(self) -> tuple[int, str]:
        """(seq, hash in hex) of the last event; (0, "") for an empty journal."""
        row = await self._conn.fetchrow(load_queries()["head"])
        return int(row["seq"]), str(row["hash"])

    async def open_orders(self) -> list[OrderRow]:
        return await self._rows("orders_open", OrderRow)

    async def recent_orders(self, count: int, *, symbol: str | None = None) -> list[OrderRow]:
        return await self._rows("orders_recent", OrderRow, count, symbol)

    async def positions(self, closed: int = 0) -> list[PositionRow]:
        """All open positions, then the newest `closed` ones that have ended."""
        return await self._rows("positions", PositionRow, closed)

    async def fills(self, count: int, *, symbol: str | None = None) -> list[FillRow]:
        return await self._rows("fills", FillRow, count, symbol)

    async def equity(
        self, points: int = 2_000, *, since_ts: int | None = None, until_ts: int | None = None, account: str = "main"
    ) -> list[EquityRow]:
        """Equity of one account in order of time, at most `points` samples, peaks and troughs kept.

        Raises ValueError below 4 points.
        """
        if points < EQUITY_POINTS_MIN:
            raise ValueError(f"{points} points: a chart needs {EQUITY_POINTS_MIN} at least")
        since, until = (None if ts is None else at(ts) for ts in (since_ts, until_ts))
        return [
            EquityRow(*row) for row in await self._conn.fetch(load_queries()["equity"], points, since, until, account)
        ]

    async def decisions(self, count: int, *, against: bool = False) -> list[DecisionRow]:
        return await self._rows("decisions", DecisionRow, count, against)

    async def config_versions(self, limit: int = 100) -> list[ConfigRow]:
        return await self._rows("config_versions", ConfigRow, limit)

    async def ledger(self) -> LedgerFacts | None:
        """None before the first event."""
        rows = await self._rows("ledger_facts", LedgerFacts)
        return rows[0] if rows else None

    async def _rows(self, name: str, kind: type[T], *arguments: Any) -> list[T]:
        return [kind(**dict(row)) for row in await self._conn.fetch(load_queries()[name], *arguments)]
