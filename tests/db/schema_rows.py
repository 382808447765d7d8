"""Rows for tests of the schema: a writer with a true chain, complete rows of every kind, and "must be refused"."""

from __future__ import annotations

import hashlib
import itertools
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal as D
from typing import Any

import asyncpg
import pytest

NOW = datetime(2024, 5, 17, 12, tzinfo=UTC)
USER, PORTFOLIO, BOT, ORDER, POSITION = (uuid.UUID(int=n) for n in range(1, 6))
APPEND_ONLY = (
    "events", "audit_logs", "fills", "risk_decisions", "kill_switch_events", "stop_results", "funding_payments", "ledger",
    "strategy_versions",
)  # fmt: skip
_ids = itertools.count(100)


def new_id() -> uuid.UUID:
    return uuid.UUID(int=next(_ids))


class Writer:
    """Appends batches with a true chain; every part of a batch can be told to be wrong."""

    def __init__(self, connection: Any, epoch: int) -> None:
        self.connection, self.epoch = connection, epoch
        self.seq, self.hash = 0, hashlib.sha256(b"ledger").digest()

    @classmethod
    async def begin(cls, connection: Any) -> Writer:
        return cls(connection, await connection.fetchval("select start_run('ledger', 'host', 1, '0.1')"))

    def batch(self, n: int) -> tuple[list[bytes], list[bytes]]:
        prev, hashes = [self.hash], []
        for number in range(n):
            hashes.append(hashlib.sha256(prev[-1] + str(self.seq + number).encode()).digest())
            prev.append(hashes[-1])
        return prev[:-1], hashes

    async def append(self, n: int = 1, **wrong: Any) -> int:
        prev_hashes, hashes = self.batch(n)
        arguments: dict[str, Any] = {
            "epoch": self.epoch,
            "expected_seq": self.seq,
            "prev_hash": self.hash,
            "hash": hashes[-1] if hashes else self.hash,
            "ids": [new_id() for _ in range(n)],
            "ts": [NOW] * n,
            "levels": ["INFO"] * n,
            "types": ["DayStarted"] * n,
            "symbols": [None] * n,
            "bot_ids": [None] * n,
            "position_ids": [None] * n,
            "actors": [None] * n,
            "payloads": ['{"equity":"1.50"}'] * n,
            "public_safe": [False] * n,
            "causation_seqs": [self.seq + 1] * n,
            "schema_versions": [1] * n,
            "prev_hashes": prev_hashes,
            "hashes": hashes,
        } | wrong
        places = ", ".join(f"${i}" for i in range(1, len(arguments) + 1))
        last: int = await self.connection.fetchval(f"select append_events({places})", *arguments.values())
        self.seq, self.hash = last, hashes[-1]
        return last


async def refused(connection: Any, sqlstate: str, sql: str, *args: Any) -> str:
    """Run what must fail with this SQLSTATE and change nothing; the message."""
    with pytest.raises(asyncpg.PostgresError) as caught:
        async with connection.transaction():
            await connection.execute(sql, *args)
            await connection.execute("set constraints all immediate")
    assert caught.value.sqlstate == sqlstate, f"{sql}: {caught.value}"
    return str(caught.value)


DENIED, APPEND, CHECK, UNIQUE, NOT_NULL, FOREIGN = "42501", "23001", "23514", "23505", "23502", "23503"


async def insert(connection: Any, table: str, **row: Any) -> None:
    places = ", ".join(f"${i}" for i in range(1, len(row) + 1))
    await connection.execute(f"insert into {table} ({', '.join(row)}) values ({places})", *row.values())


async def insert_refused(connection: Any, sqlstate: str, table: str, **row: Any) -> str:
    places = ", ".join(f"${i}" for i in range(1, len(row) + 1))
    return await refused(
        connection, sqlstate, f"insert into {table} ({', '.join(row)}) values ({places})", *row.values()
    )


async def people(connection: Any) -> int:
    """A user, an exchange, a portfolio and a bot; the exchange's id."""
    await insert(connection, "users", id=USER, email="me@example.org")
    exchange: int = await connection.fetchval("select exchange_id('sim')")
    await insert(connection, "portfolios", **portfolio())
    await insert(connection, "bots", **bot())
    return exchange


def portfolio() -> dict[str, Any]:
    zero = dict.fromkeys(("positions_value", "unrealized_pnl", "realized_pnl", "fees_paid", "funding_paid"), 0)
    money = {
        "base_currency": "USDT",
        "mode": "SIM",
        "initial_balance": 10_000,
        "cash_balance": 10_000,
        "other_assets": "{}",
        "dust": "{}",
        "is_active": True,
    }
    return {"id": PORTFOLIO, "user_id": USER, "name": "main", "created_at": NOW, "updated_at": NOW} | money | zero


def bot() -> dict[str, Any]:
    facts = {"name": "trend", "status": "RUNNING", "trading_state": "ACTIVE", "config_version": 1, "config": "{}"}
    return {"id": BOT, "user_id": USER, "portfolio_id": PORTFOLIO, "created_at": NOW, "updated_at": NOW} | facts


def order(exchange: int, **changed: Any) -> dict[str, Any]:
    row = {
        "id": ORDER, "user_id": USER, "portfolio_id": PORTFOLIO, "bot_id": BOT, "position_id": POSITION, "number": 1,
        "exchange_id": exchange, "symbol": "BTC/USDT", "side": "BUY", "position_side": "LONG", "order_type": "MARKET",
        "time_in_force": "GTC", "origin": "ENTRY", "role": "ENTRY", "mode": "SIM", "status": "SUBMITTED",
        "in_doubt": False, "cancel_requested": False, "reduce_only": False, "quantity": 1, "filled_quantity": 0,
        "kind": "SPOT", "contract_size": 1, "leverage": 1, "position_mode": "ONE_WAY", "fees": 0, "client_order_id": "c1", "config_version": 1, "event_seq": 1, "created_at": NOW, "updated_at": NOW,
        "submitted_at": NOW,
    }  # fmt: skip
    return row | changed


def position(exchange: int, **changed: Any) -> dict[str, Any]:
    row = {
        "id": POSITION, "user_id": USER, "portfolio_id": PORTFOLIO, "bot_id": BOT, "exchange_id": exchange,
        "symbol": "BTC/USDT", "side": "LONG", "status": "OPEN", "mode": "SIM", "quantity": 1, "leverage": 1,
        "kind": "SPOT", "contract_size": 1, "position_mode": "ONE_WAY", "entries": 1, "targets_taken": [], "dust": 0,
        "trailing_enabled": False, "config_version": 1, "event_seq": 1, "opened_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    return row | changed


def fill(exchange: int, **changed: Any) -> dict[str, Any]:
    row = {
        "id": new_id(), "user_id": USER, "order_id": ORDER, "position_id": POSITION, "exchange_id": exchange,
        "symbol": "BTC/USDT", "side": "BUY", "quantity": 1, "price": 100, "fee": 0, "fee_value": 0, "part": 0, "status": "SUCCESS",
        "exchange_trade_id": "t1", "event_seq": 1, "executed_at": NOW,
    }  # fmt: skip
    return row | changed


def funding(exchange: int, **changed: Any) -> dict[str, Any]:
    row = {
        "id": new_id(), "user_id": USER, "portfolio_id": PORTFOLIO, "position_id": POSITION, "bot_id": BOT,
        "exchange_id": exchange, "symbol": "BTC/USDT", "rate": D("0.0001"), "mark_price": 100, "amount": D("-0.01"),
        "event_seq": 1, "created_at": NOW,
    }  # fmt: skip
    return row | changed


async def one_row_each(connection: Any, writer: Writer) -> None:
    """At least one row in every append-only table, so that row triggers have something to refuse."""
    exchange = await people(connection)
    await writer.append()
    await insert(connection, "orders", **order(exchange))
    await insert(connection, "positions", **position(exchange))
    await insert(connection, "fills", **fill(exchange))
    common = {"event_seq": 1, "created_at": NOW}
    await insert(
        connection, "risk_decisions", id=new_id(), user_id=USER, action="ALLOWED", rule="ALL", details="[]", **common
    )
    stop = {"verb": "HALT", "state": "HALTED", "previous": "ACTIVE", "enabled": True}
    await insert(connection, "kill_switch_events", id=new_id(), **stop, **common)
    await insert(connection, "stop_results", id=new_id(), verb="HALT", results="[]", began_at=NOW, **common)
    await insert(connection, "funding_payments", **funding(exchange))
    bound = {"ledger_id": "ledger", "mode": "SIM", "feed": "sim", "base_currency": "USDT", "created_at": NOW}
    await insert(connection, "ledger", user_id=USER, **bound)
    strategy = new_id()
    await insert(connection, "strategies", id=strategy, user_id=USER, name="trend")
    content = {"version": 1, "sha256": hashlib.sha256(b"{}").hexdigest(), "document": "{}", "document_text": "{}"}
    await insert(connection, "strategy_versions", strategy_id=strategy, **content)
    await append_audit(connection, 0, b"\0" * 32)


async def append_audit(connection: Any, expected: int, prev: bytes) -> int:
    row = (new_id(), NOW, None, "LOGIN", "user", None, None, None, None, None, None, None)
    places = ", ".join(f"${i}" for i in range(1, 16))
    seq: int = await connection.fetchval(
        f"select append_audit({places})", expected, prev, hashlib.sha256(prev).digest(), *row
    )
    return seq


def attacks(table: str, column: str) -> Sequence[str]:
    return (
        f"update {table} set {column} = {column}",
        f"delete from {table}",
        f"truncate {table} cascade",
    )
