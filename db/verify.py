"""`quantsail audit verify`: is the journal what was written, and do the read tables follow from it?"""

from __future__ import annotations

from pathlib import Path

import asyncpg
import msgspec

from db import audit
from db.anchors import Anchor, AnchorError, Anchors, Log
from db.chain import ChainBroken, Link
from db.check import check
from db.connect import connect, transaction
from db.fingerprint import FingerprintError
from db.rebuild import ASIDE, first_difference, make_aside, project_all
from engine.core.ledger import LAYOUT, Ledger
from engine.core.types import InvariantError

#: A hash only where this version folds alike; the others' ledgers it cannot make.
_SNAPSHOTS = (
    "select seq, case when ledger->>'layout' = $1 then state_hash end as state_hash from qs.snapshots order by seq"
)


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """`seq` is the event it is about, 0 when it is about none; `reason` is one line."""

    seq: int
    reason: str


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was walked, and the first problem; `ok` when there is none."""

    events: int
    audit_entries: int
    anchors: int
    snapshots: int
    head_seq: int
    head_hash: str
    problem: Problem | None

    @property
    def ok(self) -> bool:
        return self.problem is None

    @property
    def text(self) -> str:
        """One line for a person."""
        if self.problem is not None:
            where = f"event {self.problem.seq}: " if self.problem.seq else ""
            return f"FAILED {where}{self.problem.reason}"
        return (
            f"ok {self.events} events, chain {self.head_hash[:16]}, {self.anchors} anchors, {self.snapshots} snapshots, "
            f"{self.audit_entries} audit entries, read tables equal"
        )


class _Failed(Exception):
    def __init__(self, seq: int, reason: str) -> None:
        super().__init__(reason)
        self.problem = Problem(seq=seq, reason=reason)


class _Walk:
    """State of one verification, so that the report says how far it came."""

    def __init__(self, anchors: list[Anchor]) -> None:
        self.anchors = anchors
        self.by_seq: dict[int, list[Anchor]] = {}
        for anchor in self.of("events"):
            self.by_seq.setdefault(anchor.seq, []).append(anchor)
        self.ledger = Ledger()
        self.tip = ""
        self.audit_entries = 0
        self.snapshots: dict[int, str | None] = {}

    def of(self, log: Log) -> list[Anchor]:
        return [anchor for anchor in self.anchors if anchor.log == log]

    def report(self, problem: Problem | None) -> VerifyReport:
        return VerifyReport(
            events=self.ledger.seq,
            audit_entries=self.audit_entries,
            anchors=len(self.anchors),
            snapshots=len(self.snapshots),
            head_seq=self.ledger.seq,
            head_hash=self.tip,
            problem=problem,
        )

    def check(self, link: Link) -> None:
        """An event that the chain accepts: do the anchors and the snapshots of its seq agree?"""
        seq, here = link.recorded.seq, link.recorded.hash.hex()
        if any(anchor.hash != here for anchor in self.by_seq.get(seq, ())):
            raise _Failed(seq, "its hash is not the anchored one: the chain was recomputed up to here or before")
        wanted = self.snapshots.get(seq)
        if wanted is not None and wanted != self.ledger.state_hash():
            raise _Failed(seq, "the snapshot kept for it is not the fold of the journal")
        self.tip = here


async def verify(dsn: str, anchors: Path | None = None) -> VerifyReport:
    """Walk journal, anchors, snapshots, read tables, catalog and audit log; stops at the first problem.

    Streams, and reads one consistent moment, so that an engine may run meanwhile. Raises DatabaseUnreachable.
    """
    try:
        walk = _Walk([] if anchors is None else Anchors(anchors).read())
    except AnchorError as error:
        return _Walk([]).report(Problem(seq=0, reason=str(error)))
    conn = await connect(dsn, name="quantsail verify", statement_timeout_ms=0)
    try:
        await _walk(conn, walk)
    except _Failed as error:
        return walk.report(error.problem)
    except ChainBroken as error:
        return walk.report(Problem(seq=error.seq, reason=error.reason))
    except FingerprintError as error:
        return walk.report(Problem(seq=0, reason=str(error)))
    except InvariantError as error:
        return walk.report(Problem(seq=walk.ledger.seq + 1, reason=f"cannot follow from what was before: {error}"))
    finally:
        await conn.close()
    return walk.report(None)


async def _walk(conn: asyncpg.Connection, walk: _Walk) -> None:
    async with transaction(conn, isolation="repeatable_read"):
        tables = await make_aside(conn)
        walk.snapshots = {row["seq"]: row["state_hash"] for row in await conn.fetch(_SNAPSHOTS, str(LAYOUT))}
        async for link in project_all(conn, walk.ledger, ASIDE):
            walk.check(link)
        await _check_ends(conn, walk)
        if (difference := await first_difference(conn, tables)) is not None:
            raise _Failed(difference.seq, difference.reason)
        if (changed := (await check(conn)).changed) != ():
            raise _Failed(0, f"the schema was changed, {changed[0]}: history could have been changed, too")
        async for _ in audit.walk(conn, walk.of("audit_logs")):
            walk.audit_entries += 1


async def _check_ends(conn: asyncpg.Connection, walk: _Walk) -> None:
    """Nothing may be anchored or kept beyond the last event, and the head must be it."""
    last = walk.ledger.seq
    beyond = [seq for seq in walk.by_seq if seq > last]
    if beyond:
        raise _Failed(last + 1, f"the journal ends at {last}, but event {max(beyond)} was anchored: its tail was cut")
    head = await conn.fetchrow("select seq, hash from qs.log_heads where log = 'events'")
    if head is None or head["seq"] != last or (last and bytes(head["hash"]).hex() != walk.tip):
        raise _Failed(last, "is the last event, and the log's head says otherwise")
    kept = [seq for seq in walk.snapshots if seq > last]
    if kept:
        raise _Failed(
            last + 1, f"the journal ends at {last}, but there is a snapshot of event {max(kept)}: its tail was cut"
        )
