"""From the journal to the ledger: newest good snapshot, then the tail, streamed and checked link by link."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

import asyncpg
import msgspec

from db.chain import SELECT_EVENTS, Chain, ChainBroken, Link, canonical, read_row
from db.connect import transaction
from engine.core.events import Recorded
from engine.core.fold import evolve
from engine.core.ledger import Ledger, restore
from engine.core.types import InvariantError
from engine.ports import JournalConflict

PAGE = 1_000
_SNAPSHOTS_TRIED = 3
_SNAPSHOTS = (
    "select seq, state_hash, ledger::text as ledger from qs.snapshots where $2::bigint is null or seq <= $2"
    " order by seq desc limit $1"
)
_TAIL = SELECT_EVENTS + " where seq > $1 order by seq"
_ONE = SELECT_EVENTS + " where seq = $1"
_NEWEST = SELECT_EVENTS + " order by seq desc limit $1"


class Folded(NamedTuple):
    """The ledger at the head of the journal, the chain's tip there, and where the snapshot was that it began with."""

    ledger: Ledger
    chain: Chain
    snapshot_seq: int


async def fold(conn: asyncpg.Connection) -> Folded:
    """Fold the journal. Raises JournalConflict where it is not what its chain says.

    A snapshot is only a shortcut: one that does not match its own hash is passed over, down to a fold from genesis.
    """
    ledger, chain = await snapshot_before(conn)
    start = chain.seq
    try:
        async with transaction(conn, isolation="repeatable_read", readonly=True):
            async for link in links(conn, chain):
                evolve(ledger, link.recorded.event)
    except (ChainBroken, InvariantError) as error:
        raise JournalConflict(f"the journal cannot be trusted: {error}; run `quantsail audit verify`") from error
    ledger.seq = chain.seq
    head = await conn.fetchrow("select seq, hash from qs.log_heads where log = 'events'")
    if head is None or head["seq"] != chain.seq or (chain.seq and bytes(head["hash"]) != chain.hash):
        at = "missing" if head is None else f"at seq {head['seq']}"
        raise JournalConflict(f"log head {at}, last event {chain.seq}: they differ; run `quantsail audit verify`")
    return Folded(ledger, chain, start)


async def links(conn: asyncpg.Connection, chain: Chain) -> AsyncIterator[Link]:
    """The events after the chain's tip, in order, each checked; never more than a page of them in memory.

    Runs in the caller's transaction. Raises ChainBroken.
    """
    async for row in conn.cursor(_TAIL, chain.seq, prefetch=PAGE):
        yield chain.follow(row)


async def newest(conn: asyncpg.Connection, count: int) -> tuple[Recorded, ...]:
    """The newest events, oldest of them first."""
    rows = await conn.fetch(_NEWEST, count)
    return tuple(read_row(row).recorded for row in reversed(rows))


async def save_snapshot(conn: asyncpg.Connection, seq: int, ledger: Ledger) -> None:
    """Keep the ledger at `seq`, which it must be the fold of."""
    await conn.execute(
        "insert into qs.snapshots(seq, state_hash, ledger) values($1, $2, $3::jsonb) on conflict (seq) do nothing",
        seq,
        ledger.state_hash(),
        ledger.snapshot().decode(),
    )


async def snapshot_before(conn: asyncpg.Connection, upto: int | None = None) -> tuple[Ledger, Chain]:
    """The newest good snapshot (at or before a seq) and the chain there; an empty ledger and chain without one."""
    rows = await conn.fetch(_SNAPSHOTS, _SNAPSHOTS_TRIED, upto)
    for row in rows:
        ledger = _restored(row["ledger"], row["state_hash"])
        event = await conn.fetchrow(_ONE, row["seq"])
        if ledger is not None and event is not None:
            return ledger, Chain.at(event)
    return Ledger(), Chain()


def _restored(text: str, state_hash: str) -> Ledger | None:
    """None for a snapshot of another version of this program, or one that somebody edited."""
    try:
        ledger = restore(canonical(msgspec.json.decode(text)))  # jsonb orders keys its own way
    except msgspec.ValidationError:
        return None
    return ledger if ledger.state_hash() == state_hash else None
