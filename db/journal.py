"""The journal on Postgres: one writer, one transaction per append, halts rather than drops.

The writer owns one connection that no pool ever sees (decisions.md 19): it carries the advisory lock and the appends, so an
append that succeeds proves that the lock was held. The epoch in `engine_runs` fences whoever lost it all the same, and the
head in `log_heads` decides whether an append without an answer happened (QS004: it did).

The clock here is for facts of the run (anchors, latency). Nothing of it reaches an event.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import structlog

from db import audit
from db.anchors import ANCHORS_FILE, Anchor, AnchorError, Anchors
from db.chain import Chain, JournalRefused, Link, check_first, check_storable
from db.connect import REPEATED, transaction
from db.fold import fold, newest, save_snapshot
from db.memory import RECENT_MAX, MemoryJournal, MemoryStore
from db.project import Projection
from db.reference import References
from db.rows import at
from db.writer import HostFacts, Writer
from engine.core.events import Numbered, Recorded, event_id
from engine.core.ledger import Ledger
from engine.core.types import Instrument
from engine.ports import JournalConflict, JournalError, JournalFenced, JournalUnavailable, Opening

__all__ = ["HostFacts", "MemoryJournal", "MemoryStore", "PgJournal"]

log = structlog.get_logger(__name__)

SNAPSHOT_EVERY = 5_000
ANCHOR_EVERY = 1_000
ANCHOR_EVERY_US = 60_000_000

_APPEND = """
select qs.append_events($1, $2, $3, $4, $5::uuid[], $6::timestamptz[], $7::text[], $8::text[], $9::text[], $10::uuid[],
  $11::uuid[], $12::text[], $13::text[]::jsonb[], $14::bool[], $15::bigint[], $16::int[], $17::bytea[], $18::bytea[])
"""


class _Batch(NamedTuple):
    """An append made ready: what was asked, where it leaves the chain, and its links."""

    expected_seq: int
    prev_hash: bytes
    pairs: tuple[Numbered, ...]
    chain: Chain
    links: list[Link]

    @classmethod
    def of(cls, chain: Chain, events: Sequence[Numbered], ledger_id: str) -> _Batch:
        """Raises JournalRefused."""
        check_first(chain.seq, events)
        end = chain.copy()
        links = [end.add(event_id(ledger_id, event, n), event) for n, event in events]
        for link in links:
            check_storable(link.recorded.seq, link.recorded.id, link.recorded.event, link.payload)
        return cls(chain.seq, links[0].recorded.prev_hash, tuple(events), end, links)

    @property
    def recorded(self) -> list[Recorded]:
        return [link.recorded for link in self.links]

    def is_repeat(self, expected_seq: int, events: Sequence[Numbered]) -> bool:
        return expected_seq == self.expected_seq and tuple(events) == self.pairs

    def arguments(self) -> tuple[Any, ...]:
        """Of qs.append_events, after the epoch."""
        recorded = self.recorded
        columns = list(zip(*(link.columns for link in self.links), strict=True))
        _, ids, versions, levels, types, symbols, bots, positions, actors, public, causes = columns
        return (
            self.expected_seq,
            self.prev_hash,
            self.chain.hash,
            ids,
            [at(r.event.ts) for r in recorded],
            levels,
            types,
            symbols,
            bots,
            positions,
            actors,
            [link.payload.decode() for link in self.links],
            public,
            causes,
            versions,
            [r.prev_hash for r in recorded],
            [r.hash for r in recorded],
        )


def now_us() -> int:
    return time.time_ns() // 1_000


class PgJournal:
    """`engine.ports.Journal` on Postgres. `ensure` may start the server (it runs in a thread before each connect).

    `latency_ms` is the time of the last commit, as the status bar shows it; `answer_ms` and `answered_mono` (time.monotonic, s)
    are of the last write that was answered, heartbeats as well. All methods may be called at any time from one
    event loop; they wait for each other.
    """

    def __init__(
        self,
        dsn: str,
        *,
        ledger_dir: Path,
        host: HostFacts | None = None,
        ensure: Callable[[], None] | None = None,
        snapshot_every: int = SNAPSHOT_EVERY,
        instruments: Sequence[Instrument] = (),
        clock: Callable[[], int] = now_us,
    ) -> None:
        self.latency_ms = self.answer_ms = 0.0
        self.answered_mono = time.monotonic()
        self._writer = Writer(dsn, host or HostFacts.here(), ensure)
        self._anchors = Anchors(ledger_dir / ANCHORS_FILE)
        self._snapshot_every = snapshot_every
        self._clock = clock
        self._chain = Chain()
        self._last: _Batch | None = None
        self._references = References(instruments)
        self._snapshot_seq = 0
        self._anchored_seq = 0
        self._anchored_us = 0
        self._anchored_audit_seq = 0
        self._mutex = asyncio.Lock()

    @property
    def seq(self) -> int:
        """The seq of the last event known to be durable."""
        return self._chain.seq

    @property
    def chain(self) -> Chain:
        """A copy of the chain's end at `seq`."""
        return self._chain.copy()

    @property
    def epoch(self) -> int:
        """The epoch of this run, 0 while the journal is not open."""
        return self._writer.epoch

    async def open(self) -> Opening:
        """Take the lock and the next epoch, fold, check the head against the chain and the newest anchor.

        Raises JournalFenced naming the holder, JournalUnavailable, or JournalConflict for a journal that was cut or changed.
        """
        async with self._mutex:
            epoch = await self._writer.start()
            try:
                return await self._open(epoch)
            except BaseException as error:
                await self._writer.end(f"did not open: {error}")
                raise

    async def _open(self, epoch: int) -> Opening:
        async with self._writer.use() as conn:
            folded = await fold(conn)
            await self._check_anchor(conn)
            recent = await newest(conn, RECENT_MAX)
            await self._anchor_audit(conn)
        self._chain, self._last = folded.chain, None
        self._snapshot_seq = folded.snapshot_seq
        await self._anchor()
        return Opening(epoch=epoch, ledger=folded.ledger, recent=recent)

    async def append(self, expected_seq: int, events: Sequence[Numbered], ledger: Ledger) -> Sequence[Recorded]:
        """See `engine.ports.Journal`. Also raises JournalRefused: the events cannot be kept as they are, nothing was written."""
        async with self._mutex:
            if not self._writer.epoch:
                raise JournalFenced("the journal is not open, so this engine does not own it: open it first")
            if expected_seq != self._chain.seq:
                if self._last is not None and self._last.is_repeat(expected_seq, events):
                    return self._last.recorded
                raise JournalConflict(
                    f"the journal is at seq {self._chain.seq}, this engine believes {expected_seq}: stop"
                )
            if not events:
                return []
            batch = _Batch.of(self._chain, events, ledger.ledger_id)
            await self._commit(batch, ledger)
            self._chain, self._last = batch.chain, batch
            await self._anchor_if_due()
            return batch.recorded

    async def _commit(self, batch: _Batch, ledger: Ledger) -> None:
        """Make the batch durable, or find that it already is. Raises what `Writer.use` raises."""
        projection = Projection.of(batch.links)
        snapshot_due = batch.chain.seq - self._snapshot_seq >= self._snapshot_every
        started = time.perf_counter()
        async with self._writer.use() as conn:
            await self._references.prepare(conn, ledger, projection.places, projection.sampled_ts)
            try:
                async with transaction(conn):
                    await conn.fetchval(_APPEND, self._writer.epoch, *batch.arguments())
                    await projection.write(conn, ledger, self._references)
                    if snapshot_due:
                        await save_snapshot(conn, batch.chain.seq, ledger)
            except ArithmeticError as error:
                raise JournalRefused(
                    f"the events after {batch.expected_seq} hold a number that is none: {error}"
                ) from error
            except asyncpg.PostgresError as error:
                if error.sqlstate != REPEATED:  # the acknowledgement of an earlier try was lost
                    raise
        self.latency_ms = self._answered(started)
        if snapshot_due:
            self._snapshot_seq = batch.chain.seq

    def _answered(self, started: float) -> float:
        """The database has answered what began at `started` (time.perf_counter); in ms."""
        self.answer_ms, self.answered_mono = (time.perf_counter() - started) * 1_000, time.monotonic()
        return self.answer_ms

    async def heartbeat(self) -> bool:
        """Say that this run lives. False while the database cannot be reached; raises JournalFenced when the run is over."""
        async with self._mutex:
            if not self._writer.epoch:
                return False
            try:
                started = time.perf_counter()
                await self._writer.heartbeat()
                self._answered(started)
                async with self._writer.use() as conn:
                    await self._anchor_audit(conn)
            except JournalUnavailable:
                return False
            await self._anchor_if_due()
            return True

    async def close(self, why: str) -> None:
        """Save a snapshot and an anchor, end the run, release the lock. Safe to call twice, and with a dead database."""
        async with self._mutex:
            if not self._writer.epoch:
                return
            try:
                await self._last_words()
            except JournalError as error:
                why = f"{why} (without a snapshot: {error})"
            finally:
                await self._writer.end(why)

    async def _last_words(self) -> None:
        if not self._writer.is_connected:
            return
        async with self._writer.use() as conn:
            # Folded anew: the engine's own ledger may be ahead of what it managed to commit.
            folded = await fold(conn)
            if folded.chain.seq > folded.snapshot_seq:
                await save_snapshot(conn, folded.chain.seq, folded.ledger)
            await self._anchor_audit(conn)
        self._chain = folded.chain
        await self._anchor()

    def abandon(self) -> None:
        """What a crash does, without the crash: the connection is cut, and nothing is said."""
        self._writer.drop()
        self._writer.epoch = 0

    # -- anchors ----------------------------------------------------------------------------------------------------------

    async def _check_anchor(self, conn: asyncpg.Connection) -> None:
        """The newest anchor must be in the journal; `quantsail audit verify` looks at all of them."""
        try:
            anchors = [anchor for anchor in await asyncio.to_thread(self._anchors.read) if anchor.log == "events"]
        except AnchorError as error:
            raise JournalConflict(f"{error}; move the file aside once you know why") from error
        if not anchors:
            return
        anchor = anchors[-1]
        found = await conn.fetchval("select hash from qs.events where seq = $1", anchor.seq)
        if found is None or bytes(found).hex() != anchor.hash:
            how = "is gone from the journal" if found is None else "has another hash there"
            raise JournalConflict(
                f"event {anchor.seq} {how}, says {self._anchors.path}; run `quantsail audit verify`, "
                "and move that file aside only if this database was restored or replaced on purpose"
            )

    async def _anchor_if_due(self) -> None:
        due = self._chain.seq - self._anchored_seq >= ANCHOR_EVERY or self._snapshot_seq > self._anchored_seq
        if due or (self._chain.seq > self._anchored_seq and self._clock() - self._anchored_us >= ANCHOR_EVERY_US):
            await self._anchor()

    async def _anchor_audit(self, conn: asyncpg.Connection) -> None:
        """Entries of commands beside the engine, too: whoever wrote them, they are witnessed within a heartbeat."""
        try:
            self._anchored_audit_seq = await audit.anchor(conn, self._anchors, self._anchored_audit_seq)
        except OSError as error:
            log.error("anchor.failed", path=str(self._anchors.path), reason=str(error))

    async def _anchor(self) -> None:
        """A disk that takes no anchor is logged, and asked again at the next append: trading does not stop for a witness."""
        if self._chain.seq == 0:
            return
        anchor = Anchor(self._chain.seq, self._chain.hash.hex(), self._clock())
        try:
            await asyncio.to_thread(self._anchors.append, anchor)
        except OSError as error:
            log.error("anchor.failed", path=str(self._anchors.path), reason=str(error))
            return
        self._anchored_seq, self._anchored_us = anchor.seq, anchor.at
