"""The audit log: what people and programs did, chained like the journal.

Hash of an entry: ``sha256(prev || canonical JSON of [seq, id, ts, user_id, action, resource_type, resource_id, old_values,
new_values, ip_address, user_agent, trace_id, metadata])``; the chain begins with sha256 of "audit_logs".
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from db.anchors import ANCHORS_FILE, Anchor, AnchorError, Anchors
from db.chain import ChainBroken, canonical, link
from db.connect import transaction
from db.rows import at
from engine.core.canonical import canonical_json, sha256_hex
from engine.core.types import uuid7

GENESIS = bytes.fromhex(sha256_hex(b"audit_logs"))
_COLUMNS = (
    "id", "user_id", "action", "resource_type", "resource_id", "old_values", "new_values", "ip_address", "user_agent",
    "trace_id", "metadata",
)  # fmt: skip
_APPEND = """
select qs.append_audit($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::jsonb, $11::text::jsonb, $12, $13, $14,
  $15::text::jsonb)
"""
_SELECT = """
select seq, (extract(epoch from ts) * 1000000)::bigint as ts, id::text, user_id::text, action, resource_type,
  resource_id::text, old_values::text, new_values::text, ip_address::text, user_agent, trace_id, metadata::text,
  prev_hash, hash
from qs.audit_logs order by seq
"""


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry; ids are UUIDs in lower case, `ts` int microseconds UTC, values JSON objects without floats."""

    id: str
    ts: int
    action: str
    resource_type: str
    resource_id: str | None = None
    user_id: str | None = None
    old_values: dict[str, Any] | None = None
    new_values: dict[str, Any] | None = None
    ip_address: str | None = None
    user_agent: str | None = None
    trace_id: str | None = None
    metadata: dict[str, Any] | None = None


async def append(conn: asyncpg.Connection, entry: AuditEntry) -> int:
    """Append an entry; returns its seq. Raises CanonicalError for values that have no canonical JSON, ValueError for a bad
    address, asyncpg errors for the rest."""
    values = {name: None if (v := getattr(entry, name)) is None else canonical_json(v).decode() for name in _VALUES}
    address = None if entry.ip_address is None else str(ipaddress.ip_address(entry.ip_address))
    async with transaction(conn):
        head = await conn.fetchrow("select seq, hash from qs.lock_head('audit_logs')")
        prev = bytes(head["hash"]) if head["seq"] else GENESIS
        fields = {name: getattr(entry, name) for name in _COLUMNS} | values | {"ip_address": address}
        here = link(prev, _row(head["seq"] + 1, entry.ts, fields))
        f = fields
        return int(
            await conn.fetchval(
                _APPEND, head["seq"], prev, here, f["id"], at(entry.ts), f["user_id"], f["action"], f["resource_type"],
                f["resource_id"], f["old_values"], f["new_values"], f["ip_address"], f["user_agent"], f["trace_id"],
                f["metadata"],
            )
        )  # fmt: skip


_VALUES = ("old_values", "new_values", "metadata")


async def record(
    conn: asyncpg.Connection,
    action: str,
    resource_type: str,
    resource_id: str | None = None,
    *,
    actor: str,
    user_id: str | None = None,
    old: dict[str, Any] | None = None,
    new: dict[str, Any] | None = None,
) -> int:
    """Append what was done just now; returns its seq. Call it in the transaction of the change: both hold, or neither."""
    ts = time.time_ns() // 1_000
    entry = AuditEntry(
        id=uuid7(ts, os.urandom(16).hex()),
        ts=ts,
        action=action,
        resource_type=resource_type,
        resource_id=resource_id,
        user_id=user_id,
        old_values=old,
        new_values=new,
        metadata={"actor": actor},
    )
    return await append(conn, entry)


def _row(seq: int, ts: int, fields: dict[str, Any]) -> bytes:
    plain = dict(fields)
    for name in _VALUES:
        plain[name] = None if plain[name] is None else msgspec.json.decode(plain[name])
    if plain["ip_address"] is not None:
        plain["ip_address"] = plain["ip_address"].partition("/")[0]
    return canonical([seq, ts, *(plain[name] for name in _COLUMNS)])


async def anchor(conn: asyncpg.Connection, anchors: Anchors, known_seq: int = 0) -> int:
    """Anchor where the audit log ends, unless that is at `known_seq`; returns the seq. Raises OSError from the disk.

    Outside a transaction: only what is durable is witnessed.
    """
    head = await conn.fetchrow("select seq, hash from qs.log_heads where log = 'audit_logs'")
    seq = int(head["seq"])
    if seq > known_seq:
        new = Anchor(seq, bytes(head["hash"]).hex(), time.time_ns() // 1_000, "audit_logs")
        await asyncio.to_thread(anchors.append, new)
    return seq


@contextlib.asynccontextmanager
async def witnessed(conn: asyncpg.Connection, ledger_dir: Path) -> AsyncIterator[None]:
    """Anchor what is appended inside; for a program without an engine. Raises AnchorError when the disk takes no anchor."""
    before = int(await conn.fetchval("select seq from qs.log_heads where log = 'audit_logs'"))
    yield
    anchors = Anchors(ledger_dir / ANCHORS_FILE)
    try:
        await anchor(conn, anchors, before)
    except OSError as error:
        raise AnchorError(
            f"done, but not witnessed: {anchors.path}: {error.strerror}; make room, the next engine writes the anchor"
        ) from error


async def walk(conn: asyncpg.Connection, anchors: Iterable[Anchor] = ()) -> AsyncIterator[int]:
    """The seqs of the audit log, each checked, also against its anchors. Raises ChainBroken. Needs a transaction around it."""
    wanted: dict[int, set[str]] = {}
    for one in anchors:
        wanted.setdefault(one.seq, set()).add(one.hash)
    seq, tip = 0, GENESIS
    async for row in conn.cursor(_SELECT, prefetch=1_000):
        if row["seq"] != seq + 1:
            raise ChainBroken(seq + 1, f"of the audit log is missing, the next entry has seq {row['seq']}")
        prev, here = bytes(row["prev_hash"]), bytes(row["hash"])
        fields = {name: row[name] for name in _COLUMNS}
        if prev != tip or here != link(prev, _row(row["seq"], row["ts"], fields)):
            raise ChainBroken(row["seq"], "of the audit log is not what its hash says")
        seq, tip = row["seq"], here
        if wanted.get(seq, {here.hex()}) != {here.hex()}:
            raise ChainBroken(seq, "of the audit log has not the anchored hash: its chain was recomputed up to here")
        yield seq
    if max(wanted, default=0) > seq:
        raise ChainBroken(seq + 1, f"of the audit log is gone, and {max(wanted)} was anchored: its tail was cut")
    head = await conn.fetchrow("select seq, hash from qs.log_heads where log = 'audit_logs'")
    if head is None or head["seq"] != seq or (seq and bytes(head["hash"]) != tip):
        raise ChainBroken(seq, "is the last entry of the audit log, and its head says otherwise")
