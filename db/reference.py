"""Rows that the read tables refer to: the operator, the ledger's facts, venues, instruments, strategies, config versions.

They are REFERENCE tables (decisions.md 22): made when first needed, never emptied by a rebuild.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import asyncpg

from db import instruments
from db.chain import JournalRefused
from db.config_rows import document_of, strategy_id, strategy_row, strategy_text
from db.records import insert
from db.rows import at, operator_id
from engine.core import events as ev
from engine.core.canonical import sha256_hex
from engine.core.inputs import Cause
from engine.core.ledger import Ledger
from engine.core.types import DAY_US, TIMEFRAMES_US, Instrument

_INSTRUMENT = """
insert into qs.instruments(exchange_id, symbol, base_currency, quote_currency) values($1, $2, $3, $4)
on conflict (exchange_id, symbol) do nothing
"""
_USER = """
insert into qs.users(id, email, full_name, first_name, last_name, trading_mode, created_at)
values($1, 'operator@localhost', 'Local Operator', 'Local', 'Operator', $2, $3)
on conflict do nothing
"""
_LEDGER = """
insert into qs.ledger(ledger_id, user_id, mode, feed, seed, base_currency, created_at) values($1, $2, $3, $4, $5, $6, $7)
on conflict do nothing
"""
_STRATEGY_VERSION = """
insert into qs.strategy_versions(strategy_id, version, sha256, document, document_text, created_at)
values($1, 1, $2, $3::text::jsonb, $3, $4) on conflict do nothing
"""
#: A config that is not stored yet (a journal replayed into a fresh database) is stored by its activation.
_CONFIG = """
insert into qs.bot_config_versions(version, config_json, config_text, config_hash, actor, created_at)
values($1, $2::text::jsonb, $2, $3, $4, $5) on conflict (version) do nothing
"""
_DEACTIVATE = "update qs.bot_config_versions set is_active = false where is_active and version <> $1"
_ACTIVATE = """
update qs.bot_config_versions set is_active = true, activated_at = $3 where version = $1 and config_hash = $2
"""


_FIRED = """
update qs.strategies s set last_signal_at = greatest(s.last_signal_at, r.ts), timeframe = coalesce(s.timeframe, r.timeframe)
from unnest($1::text[]::uuid[], $2::timestamptz[], $3::text[]) r(id, ts, timeframe) where s.id = r.id
"""

#: By seconds, as the cause of a candle counts them.
_FRAMES = {size // 1_000_000: name for name, size in TIMEFRAMES_US.items()}


class References:
    """What is known to be in the reference tables, so that the hot path asks for nothing twice."""

    def __init__(self, offered: Iterable[Instrument] = ()) -> None:
        self._rules = {(one.exchange, one.symbol): one for one in offered}
        self._exchanges: dict[str, int] = {}
        self._instruments: set[tuple[str, str]] = set()
        self._months: set[int] = set()

    def exchange(self, code: str) -> int:
        """The key of an exchange that `prepare` has seen."""
        return self._exchanges[code]

    async def prepare(
        self, conn: asyncpg.Connection, ledger: Ledger, places: Iterable[tuple[str, str]], sampled_ts: Sequence[int]
    ) -> None:
        """Make sure of venues, instruments and partitions. Before the transaction: what is cached here must be durable."""
        await self.prepare_exchanges(conn, ledger, places)
        for exchange, symbol in sorted(set(places) - self._instruments):
            if (rules := self._rules.get((exchange, symbol))) is not None:
                await instruments.store(conn, rules)
            else:  # a rebuild: what the engine knew of it when it ran is there already
                base, _, quote = symbol.partition("/")
                currency = quote.partition(":")[0] or ledger.base_currency
                await conn.execute(_INSTRUMENT, self._exchanges[exchange], symbol, base or symbol, currency)
            self._instruments.add((exchange, symbol))
        for ts in sampled_ts:
            month = ts // (28 * DAY_US)  # shorter than any month, so that none is missed
            if month not in self._months:
                since, until = at(month * 28 * DAY_US), at((month + 1) * 28 * DAY_US)
                await conn.execute("select qs.ensure_equity_partitions($1, $2)", since, until)
                self._months.add(month)

    async def prepare_exchanges(
        self, conn: asyncpg.Connection, ledger: Ledger, places: Iterable[tuple[str, str]]
    ) -> None:
        """Learn the keys of all exchanges that rows of these places and of the ledger's entities will ask for."""
        wanted = {exchange for exchange, _ in places}
        if not self._exchanges:
            # What the ledger held when this run began; whatever comes later is submitted first, and brings its place.
            # Closed ones count: the first batch of a run may hold nothing but the end of an order.
            groups = (ledger.orders, ledger.closed_orders, ledger.positions, ledger.closed_positions)
            wanted |= {entity.exchange for group in groups for entity in group.values()}
        for code in sorted(wanted - self._exchanges.keys()):
            self._exchanges[code] = await conn.fetchval("select qs.exchange_id($1)", code)

    async def write(
        self,
        conn: asyncpg.Connection,
        ledger: Ledger,
        opened: ev.LedgerOpened | None,
        configs: Sequence[ev.ConfigActivated],
        fired: Mapping[str, Cause],
    ) -> None:
        """Genesis, activations, and what strategies last fired on (`fired`, by id).

        Raises JournalRefused for a config that is not the one stored under its number.
        """
        if opened is not None:
            e, user = opened, operator_id(ledger)
            await conn.execute(_USER, user, e.mode, at(e.ts))
            await conn.execute(_LEDGER, e.ledger_id, user, e.mode, e.feed, e.seed, e.base_currency, at(e.ts))
        for config in configs:
            for bot in document_of(config)["bots"]:
                await self._strategy(conn, ledger, bot, config.ts)
            await conn.execute(_CONFIG, config.version, config.config, config.sha256, config.actor, at(config.ts))
            await conn.execute(_DEACTIVATE, config.version)
            status = await conn.execute(_ACTIVATE, config.version, config.sha256, at(config.ts))
            if status != "UPDATE 1":
                raise JournalRefused(f"config {config.version} in the database has another hash than its activation")
        if fired:
            causes = fired.values()
            frames = [_FRAMES.get(cause.ordinal) if cause.kind == "candle" else None for cause in causes]
            await conn.execute(_FIRED, [*fired], [at(cause.ts) for cause in causes], frames)

    async def _strategy(self, conn: asyncpg.Connection, ledger: Ledger, bot: dict[str, Any], ts: int) -> None:
        text = strategy_text(bot)
        if text is None:
            return
        key = strategy_id(ledger, text)
        await insert(conn, "strategies", strategy_row(ledger, bot, key, ts), "on conflict (id) do nothing")
        await conn.execute(_STRATEGY_VERSION, key, sha256_hex(text.encode()), text, at(ts))
