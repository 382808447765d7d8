"""Watched wallets: who they are, how good they were at a time, and what they did on chain.

Scores and events are series: their partitions are made for their own time, the past included.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from db.connect import transaction
from db.records import as_json, ensure_partitions, insert, moment, require, within

_EVM = re.compile(r"0x[0-9a-fA-F]{40}")
_ADD = """
insert into qs.wallets as w (chain, address, label, tags, metadata)
values ($1, $2, $3, $4, $5::text::jsonb)
on conflict (chain, address) do update set is_active = true, label = coalesce(excluded.label, w.label),
  tags = (select coalesce(array_agg(distinct t), '{}') from unnest(w.tags || excluded.tags) t),
  metadata = case when excluded.metadata is null then w.metadata
                  else coalesce(w.metadata, '{}') || excluded.metadata end
returning id::text
"""
#: One transaction reaches a node by several ways and, after a reorganisation, with another time: time is no part of its name.
_NAME_LOCK = "select pg_advisory_xact_lock(hashtextextended('wallet event ' || $1 || ' ' || $2 || ' ' || $3, 0))"
_KNOWN = "select id::text from qs.wallet_events where chain = $1 and tx_hash = $2 and log_index = $3 limit 1"
_SEEN = """
update qs.wallets set last_activity_at = greatest(last_activity_at, $2) where id = $1::text::uuid
"""


class EventKept(NamedTuple):
    """`is_new` is False when (chain, tx_hash, log_index) was there already; then `id` is that of the row that was."""

    id: str
    is_new: bool


def spelled(address: str) -> str:
    """An address as it is stored: 0x addresses in lower case (a checksum is no part of the name), others as they come."""
    return address.lower() if _EVM.fullmatch(address) else address


async def add(
    conn: Any,
    *,
    chain: str,
    address: str,
    label: str | None = None,
    tags: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
) -> str:
    """Watch a wallet; its id. Adding it again watches it again, joins the tags and keeps what is not given.

    Raises RecordRefused for an address with blanks, and for one that begins with 0x and is not 20 or 32 bytes of hex.
    """
    require(bool(chain) and not re.search(r"\s", chain), f"chain {chain!r} is not a name")
    require(bool(address) and address.isprintable() and " " not in address, f"address {address!r} is not one word")
    broken = address.lower().startswith("0x") and not re.fullmatch(r"0[xX](?:[0-9a-fA-F]{40}|[0-9a-fA-F]{64})", address)
    require(not broken, f"address {address} is not 0x and 40 (or 64) hex digits")
    extra = None if metadata is None else as_json(metadata)
    found: str = await conn.fetchval(_ADD, chain, spelled(address), label, list(dict.fromkeys(tags)), extra)
    return found


async def score(
    conn: Any,
    *,
    wallet_id: str,
    ts: int,
    credibility_1h: Decimal | None = None,
    credibility_4h: Decimal | None = None,
    credibility_24h: Decimal | None = None,
    equity_usd: Decimal | None = None,
    trading_volume_24h: Decimal | None = None,
    win_rate: Decimal | None = None,
    archetype: str | None = None,
) -> bool:
    """Keep a score as it was known at `ts`; credibilities 0 to 10, `win_rate` 0 to 1, money in USD.

    Scores are never recomputed: a second one of the same wallet and time changes nothing and gives False.
    """
    for name, value in (("1h", credibility_1h), ("4h", credibility_4h), ("24h", credibility_24h)):
        within(f"credibility_{name}", value, 0, 10)
    within("win_rate", win_rate, 0, 1)
    require(trading_volume_24h is None or trading_volume_24h >= 0, "trading_volume_24h is below 0")
    row = {
        "wallet_id": wallet_id,
        "ts": moment("ts", ts),
        "credibility_1h": credibility_1h,
        "credibility_4h": credibility_4h,
        "credibility_24h": credibility_24h,
        "equity_usd": equity_usd,
        "trading_volume_24h": trading_volume_24h,
        "win_rate": win_rate,
        "archetype": archetype,
    }
    await ensure_partitions(conn, "wallet_scores", moment("ts", ts))
    return await insert(conn, "wallet_scores", row, "on conflict do nothing", "wallet_id") is not None


async def event(
    conn: Any,
    *,
    wallet_id: str,
    chain: str,
    tx_hash: str,
    ts: int,
    event_type: str,
    log_index: int = 0,
    asset: str | None = None,
    amount: Decimal | None = None,
    notional_usd: Decimal | None = None,
    size_fraction: Decimal | None = None,
    venue: str | None = None,
    gas_price: Decimal | None = None,
    is_first_since_watch: bool = False,
    raw_data: Mapping[str, Any] | None = None,
) -> EventKept:
    """Keep what a wallet did, once: the same (chain, tx_hash, log_index) again is no error and says so. One transaction.

    `ts` is the time of the block; `amount` in units of the asset, at most 78 digits of which 18 after the point.
    """
    require(bool(chain and tx_hash and event_type), "chain, tx_hash and event_type must not be empty")
    require(log_index >= 0, f"log_index {log_index} is below 0")
    require(gas_price is None or gas_price >= 0, "gas_price is below 0")
    when = moment("ts", ts)
    row = {
        "ts": when,
        "wallet_id": wallet_id,
        "chain": chain,
        "tx_hash": tx_hash,
        "log_index": log_index,
        "event_type": event_type,
        "asset": asset,
        "amount": amount,
        "notional_usd": notional_usd,
        "size_fraction": size_fraction,
        "venue": venue,
        "gas_price": gas_price,
        "is_first_since_watch": is_first_since_watch,
        "raw_data": raw_data,
    }
    async with transaction(conn):
        await conn.execute(_NAME_LOCK, chain, tx_hash, str(log_index))
        known: str | None = await conn.fetchval(_KNOWN, chain, tx_hash, log_index)
        if known is not None:
            return EventKept(known, is_new=False)
        await ensure_partitions(conn, "wallet_events", when)
        made = str(await insert(conn, "wallet_events", row))
        await conn.execute(_SEEN, wallet_id, when)
    return EventKept(made, is_new=True)
