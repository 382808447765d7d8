"""The projection: events and the ledger to rows of the read tables, in the transaction of the events (I15).

What is written once (fills, signals, decisions, stops, samples) comes from its event; what changes (orders, positions,
accounts, bots) is taken from the ledger once per batch, however many events of the batch touched it. So a row depends on the
events alone, not on how they were cut into batches, and a rebuild gives the same tables.

Rows travel as one JSON array per table: one round trip each, and Postgres casts to the types of the table itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import asyncpg
import msgspec

from db import config_rows, derive, rows
from db.chain import Link
from db.reference import References
from db.rows import Row
from engine.core import events as ev
from engine.core.inputs import Cause
from engine.core.ledger import Ledger
from engine.core.types import InvariantError

_encode = msgspec.json.Encoder(order="deterministic").encode

#: Tables whose rows are written once, in an order in which each finds what it refers to.
_INSERTED = (
    "signals",
    "risk_decisions",
    "kill_switch_events",
    "stop_results",
    "funding_payments",
    "equity_snapshots",
)

_INSERT = """
insert into {schema}.{table} ({columns})
select {columns} from jsonb_populate_recordset(null::{schema}.{table}, $1::jsonb)
"""
_UPSERT = _INSERT + " on conflict (id) do update set {changes}"

_BALANCES = """
update {schema}.portfolios p set cash_balance = r.cash_balance, realized_pnl = r.realized_pnl, fees_paid = r.fees_paid,
  funding_paid = r.funding_paid, other_assets = r.other_assets, dust = r.dust, updated_at = r.updated_at
from jsonb_populate_recordset(null::{schema}.portfolios, $1::jsonb) r where p.id = r.id
"""
_VALUES = """
update {schema}.portfolios p set positions_value = r.positions_value, total_value = r.total_value,
  unrealized_pnl = r.unrealized_pnl
from jsonb_populate_recordset(null::{schema}.portfolios, $1::jsonb) r where p.id = r.id
"""
#: Only an event knows a traceback: it stays until the next word on the bot's status.
_BOT_STATUS = """
update {schema}.bots b set status = r.status, status_reason = r.status_reason, updated_at = r.updated_at,
  trading_state = r.trading_state, state_reason = r.state_reason, state_actor = r.state_actor,
  traceback = case when r.spoken then r.traceback else b.traceback end,
  last_run_at = coalesce(r.last_run_at, b.last_run_at)
from jsonb_to_recordset($1::jsonb) r(id uuid, status text, status_reason text, updated_at timestamptz,
  trading_state text, state_reason text, state_actor text, spoken boolean, traceback text, last_run_at timestamptz)
where b.id = r.id
"""
_BOTS_GONE = """
update {schema}.bots b set deleted_at = r.ts, updated_at = r.ts
from jsonb_to_recordset($1::jsonb) r(named uuid[], ts timestamptz)
where b.id <> all (r.named) and b.deleted_at is null
"""
_LIMITS_GONE = """
update {schema}.risk_limits l set deleted_at = r.ts, updated_at = r.ts
from jsonb_to_recordset($1::jsonb) r(named uuid[], ts timestamptz)
where l.bot_id <> all (r.named) and l.deleted_at is null
"""
#: What an upsert leaves as it was: facts of the first row, and columns that only events know.
_KEPT = {"bots": {"id", "created_at", "status", "trading_state"}, "risk_limits": {"id", "created_at"}}


class Projection:
    """The rows that a run of events asks for: `add` the events in order, then `write` with the ledger that they fold to."""

    def __init__(self) -> None:
        self._inserted: list[tuple[str, Callable[[Ledger, References], Row]]] = []
        self._denied: list[tuple[int, ev.OrderDenied]] = []
        self._configs: list[tuple[int, ev.ConfigActivated]] = []
        self._opened: ev.LedgerOpened | None = None
        self._accounts: list[ev.LedgerOpened | ev.PortfolioOpened] = []
        self._samples: dict[str, ev.EquitySampled] = {}
        self._balances: dict[str, int] = {}
        self._balances_of_orders: dict[str, int] = {}
        self._balances_of_positions: dict[str, int] = {}
        self._orders: dict[str, int] = {}
        self._begun: list[str] = []
        self._fills: list[tuple[int, ev.OrderFilled]] = []
        self._positions: dict[str, int] = {}
        self._marks: dict[str, int] = {}
        self._born: list[str] = []
        self._closed: list[ev.PositionClosed] = []
        self._bots: dict[str, int] = {}
        self._tracebacks: dict[str, str] = {}
        self._ran: dict[str, int] = {}
        self._fired: dict[str, Cause] = {}
        self.places: set[tuple[str, str]] = set()
        self.sampled_ts: list[int] = []

    @classmethod
    def of(cls, links: Iterable[Link]) -> Projection:
        projection = cls()
        for link in links:
            projection.add(link)
        return projection

    def add(self, link: Link) -> None:
        handler = _HANDLERS.get(type(link.recorded.event))
        if handler is not None:
            handler(self, link.recorded.seq, link.recorded.id, link.recorded.event)

    # -- one method for each kind of event that a table knows -----------------------------------------------------------

    def _ledger_opened(self, seq: int, event_id: str, e: ev.LedgerOpened) -> None:
        self._opened = e
        self._accounts.append(e)

    def _portfolio_opened(self, seq: int, event_id: str, e: ev.PortfolioOpened) -> None:
        self._accounts.append(e)

    def _config_activated(self, seq: int, event_id: str, e: ev.ConfigActivated) -> None:
        self._configs.append((seq, e))

    def _bot_status(self, seq: int, event_id: str, e: ev.BotStatusChanged) -> None:
        self._bots[e.bot_id] = e.ts
        self._tracebacks[e.bot_id] = e.traceback
        if e.status == "RUNNING":
            self._ran[e.bot_id] = e.ts

    def _signal(self, seq: int, event_id: str, e: ev.SignalGenerated) -> None:
        self.places.add((e.exchange, e.symbol))
        if e.strategy_id:
            self._fired[e.strategy_id] = e.cause
        self._insert("signals", lambda ledger, refs: rows.signal_row(ledger, e, refs.exchange(e.exchange), seq))

    def _decision(self, seq: int, event_id: str, e: ev.IntentEvaluated) -> None:
        self.places.add((e.exchange, e.symbol))
        self._insert(
            "risk_decisions", lambda ledger, refs: rows.decision_row(ledger, e, refs.exchange(e.exchange), seq)
        )

    def _state_changed(self, seq: int, event_id: str, e: ev.TradingStateChanged) -> None:
        if e.bot_id:
            self._bots[e.bot_id] = e.ts
        self._insert("kill_switch_events", lambda ledger, refs: rows.kill_switch_row(event_id, e, seq))

    def _stop_completed(self, seq: int, event_id: str, e: ev.StopCompleted) -> None:
        self._insert("stop_results", lambda ledger, refs: rows.stop_row(event_id, e, seq))

    def _order_denied(self, seq: int, event_id: str, e: ev.OrderDenied) -> None:
        self.places.add((e.exchange, e.symbol))
        self._denied.append((seq, e))

    def _order_begun(self, seq: int, event_id: str, e: ev.OrderSubmitted | ev.OrderAdopted) -> None:
        self.places.add((e.exchange, e.symbol))
        self._orders[e.order_id] = seq
        self._begun.append(e.order_id)

    def _order_word(self, seq: int, event_id: str, e: Any) -> None:
        self._orders[e.order_id] = seq

    def _order_filled(self, seq: int, event_id: str, e: ev.OrderFilled) -> None:
        self.places.add((e.exchange, e.symbol))
        self._orders[e.order_id] = self._positions[e.position_id] = seq
        self._balances_of_orders[e.order_id] = e.ts
        self._fills.append((seq, e))

    def _position_opened(self, seq: int, event_id: str, e: ev.PositionOpened) -> None:
        self._born.append(e.position_id)

    def _position_closed(self, seq: int, event_id: str, e: ev.PositionClosed) -> None:
        self._closed.append(e)

    def _position_word(
        self, seq: int, event_id: str, e: ev.ExitsMoved | ev.MarginChanged | ev.PositionLiquidated
    ) -> None:
        self._positions[e.position_id] = seq

    def _funding_paid(self, seq: int, event_id: str, e: ev.FundingPaid) -> None:
        self.places.add((e.exchange, e.symbol))
        self._positions[e.position_id] = seq
        self._balances[e.portfolio_id] = e.ts
        self._insert(
            "funding_payments",
            lambda ledger, refs: rows.funding_row(ledger, event_id, e, refs.exchange(e.exchange), seq),
        )

    def _dust_kept(self, seq: int, event_id: str, e: ev.DustKept) -> None:
        self._positions[e.position_id] = seq
        self._balances_of_positions[e.position_id] = e.ts

    def _equity_sampled(self, seq: int, event_id: str, e: ev.EquitySampled) -> None:
        self._samples[e.portfolio_id] = e
        self._marks |= dict.fromkeys(e.marks, seq)
        self._balances[e.portfolio_id] = e.ts
        self.sampled_ts.append(e.ts)
        self._insert("equity_snapshots", lambda ledger, refs: rows.equity_row(ledger, event_id, e, seq))

    def _insert(self, table: str, row: Callable[[Ledger, References], Row]) -> None:
        self._inserted.append((table, row))

    # -- writing ----------------------------------------------------------------------------------------------------------

    async def write(self, conn: asyncpg.Connection, ledger: Ledger, refs: References, schema: str = "qs") -> None:
        """Bring the read tables up to `ledger`, which must be the fold of everything up to the last event added.

        `refs` must have been prepared for it. In a schema other than qs the reference tables are left alone.
        """
        if schema == "qs":
            await refs.write(conn, ledger, self._opened, [config for _, config in self._configs], self._fired)
        for sql, table_rows in self._statements(ledger, refs):
            await conn.execute(sql.replace("{schema}", schema), _encode(table_rows).decode())

    def _statements(self, ledger: Ledger, refs: References) -> Iterable[tuple[str, list[Row]]]:
        if self._accounts:
            yield insert("portfolios", [config_rows.portfolio_row(ledger, e) for e in self._accounts])
        for seq, config in self._configs:
            bots = config_rows.bot_rows(ledger, config)
            named = [{"named": [bot["id"] for bot in bots], "ts": rows.at(config.ts)}]
            yield upsert("bots", bots)
            yield _BOTS_GONE, named
            yield upsert("risk_limits", config_rows.limit_rows(ledger, config, seq))
            yield _LIMITS_GONE, named
        if status := self._bot_rows(ledger):
            yield _BOT_STATUS, status
        if orders := self._order_rows(ledger, refs):
            yield upsert("orders", orders)
        if denied := [rows.denied_row(ledger, e, refs.exchange(e.exchange), seq) for seq, e in self._denied]:
            yield insert("orders", denied)
        if positions := self._position_rows(ledger, refs):
            yield upsert("positions", positions)
        yield from self._insertions(ledger, refs)
        yield from self._derived(ledger, refs)
        yield from self._account_rows(ledger)

    def _derived(self, ledger: Ledger, refs: References) -> Iterable[tuple[str, list[Row]]]:
        """What follows from several rows (`db.derive`), in an order in which each finds what it reads."""
        if born := [*self._begun, *(e.order_id for _, e in self._denied)]:
            yield derive.ORDER_BORN, _ids(born)
        if self._fills:
            fills = [rows.fill_row(ledger, e, refs.exchange(e.exchange), seq) for seq, e in self._fills]
            of_r = ", ".join(f"r.{name}" for name in fills[0])
            yield derive.FILLS.replace("{columns}", ", ".join(fills[0])).replace("{of_r}", of_r), fills
            yield derive.SLIPPAGE, _ids(e.order_id for _, e in self._fills)
            yield derive.SLIPPAGE_OF_POSITIONS, _ids(e.position_id for _, e in self._fills)
        if self._born:
            yield derive.BORN, [{"position_id": position_id} for position_id in self._born]
        if self._closed:
            reasons = {e.position_id: e.reason for e in self._closed}
            yield derive.CLOSED, [{"id": key, "close_reason": why} for key, why in reasons.items()]
            yield (
                derive.STATS,
                [{"bot_id": e.bot_id, "pnl": e.realized_pnl, "fees": e.fees} for e in self._closed if e.bot_id],
            )

    def _insertions(self, ledger: Ledger, refs: References) -> Iterable[tuple[str, list[Row]]]:
        by_table: dict[str, list[Row]] = {}
        for table, row in self._inserted:
            by_table.setdefault(table, []).append(row(ledger, refs))
        for table in _INSERTED:
            if table in by_table:
                yield insert(table, by_table[table])

    def _order_rows(self, ledger: Ledger, refs: References) -> list[Row]:
        out = []
        for order_id, seq in self._orders.items():
            order = ledger.order(order_id)
            if order is None:
                raise InvariantError(f"order {order_id} of event {seq} is not in the ledger")
            out.append(rows.order_row(ledger, order, refs.exchange(order.exchange), seq))
        return out

    def _position_rows(self, ledger: Ledger, refs: References) -> list[Row]:
        touched = dict(self._positions)
        if self._marks:
            for position in ledger.positions.values():
                # A mark counts for every position of its symbol, of whatever account the sample was.
                seq = self._marks.get(f"{position.exchange} {position.symbol}", 0)
                if seq:
                    touched[position.id] = max(seq, touched.get(position.id, 0))
        out = []
        for position_id, seq in touched.items():
            found = ledger.position(position_id)
            if found is None:
                raise InvariantError(f"position {position_id} of event {seq} is not in the ledger")
            out.append(rows.position_row(ledger, found, refs.exchange(found.exchange), seq))
        # Closed ones first: one open position per bot, symbol and side is checked row by row.
        return sorted(out, key=lambda row: row["status"] == "OPEN")

    def _account_rows(self, ledger: Ledger) -> Iterable[tuple[str, list[Row]]]:
        touched = dict(self._balances)
        for entities, changes in (
            (ledger.order, self._balances_of_orders),
            (ledger.position, self._balances_of_positions),
        ):
            for key, ts in changes.items():
                if (entity := entities(key)) is not None:
                    touched[entity.portfolio_id] = max(ts, touched.get(entity.portfolio_id, ts))
        if touched:
            yield _BALANCES, [rows.balance_row(ledger.accounts[key], ts) for key, ts in touched.items()]
        if self._samples:
            yield (
                _VALUES,
                [
                    {
                        "id": key,
                        "positions_value": e.positions_value,
                        "total_value": e.equity,
                        "unrealized_pnl": e.unrealized_pnl,
                    }
                    for key, e in self._samples.items()
                ],
            )

    def _bot_rows(self, ledger: Ledger) -> list[Row]:
        touched = dict(self._bots)
        if self._configs:
            # A config speaks of every bot: it starts those it names and stops the others.
            touched = {bot_id: max(self._configs[-1][1].ts, touched.get(bot_id, 0)) for bot_id in ledger.bots}
        return [
            {
                "id": bot_id,
                "status": book.status,
                "status_reason": book.reason or None,
                "updated_at": rows.at(ts),
                "trading_state": book.state,
                "state_reason": book.state_reason or None,
                "state_actor": book.state_actor or None,
                "spoken": bot_id in self._tracebacks,
                "traceback": self._tracebacks.get(bot_id) or None,
                "last_run_at": rows.at(self._ran[bot_id]) if bot_id in self._ran else None,
            }
            for bot_id, ts in touched.items()
            if (book := ledger.bots[bot_id])
        ]


def _ids(ids: Iterable[str]) -> list[Row]:
    return [{"id": one} for one in dict.fromkeys(ids)]


def insert(table: str, table_rows: list[Row]) -> tuple[str, list[Row]]:
    """The statement that adds rows; all of them have the columns of the first."""
    return _INSERT.replace("{table}", table).replace("{columns}", ", ".join(table_rows[0])), table_rows


def upsert(table: str, table_rows: list[Row]) -> tuple[str, list[Row]]:
    """The statement that adds rows or brings those of the same id up to date."""
    kept = _KEPT.get(table, {"id"})
    changes = ", ".join(f"{name} = excluded.{name}" for name in table_rows[0] if name not in kept)
    if table == "positions":
        # A late fill may open again what was closed: then nothing about its end is known.
        for name in ("close_reason", "max_drawdown_pct"):
            changes += f", {name} = case when excluded.status = 'OPEN' then null else positions.{name} end"
    sql = _UPSERT.replace("{changes}", changes)
    return sql.replace("{table}", table).replace("{columns}", ", ".join(table_rows[0])), table_rows


_P = Projection
_HANDLERS: dict[type[ev.Event], Callable[[Projection, int, str, Any], None]] = {
    ev.LedgerOpened: _P._ledger_opened,
    ev.PortfolioOpened: _P._portfolio_opened,
    ev.ConfigActivated: _P._config_activated,
    ev.BotStatusChanged: _P._bot_status,
    ev.SignalGenerated: _P._signal,
    ev.IntentEvaluated: _P._decision,
    ev.TradingStateChanged: _P._state_changed,
    ev.StopCompleted: _P._stop_completed,
    ev.OrderDenied: _P._order_denied,
    ev.OrderSubmitted: _P._order_begun,
    ev.OrderAdopted: _P._order_begun,
    ev.OrderAccepted: _P._order_word,
    ev.OrderRejected: _P._order_word,
    ev.OrderInDoubt: _P._order_word,
    ev.CancelRequested: _P._order_word,
    ev.OrderCanceled: _P._order_word,
    ev.OrderExpired: _P._order_word,
    ev.OrderFilled: _P._order_filled,
    ev.PositionOpened: _P._position_opened,
    ev.PositionClosed: _P._position_closed,
    ev.ExitsMoved: _P._position_word,
    ev.MarginChanged: _P._position_word,
    ev.PositionLiquidated: _P._position_word,
    ev.FundingPaid: _P._funding_paid,
    ev.DustKept: _P._dust_kept,
    ev.EquitySampled: _P._equity_sampled,
}
