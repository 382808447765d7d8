"""The journal in memory: same semantics as on Postgres, for tests, backtests and simulations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from db.chain import Chain, check_first, check_storable, payload_bytes
from engine.core.events import LedgerOpened, Numbered, Recorded, event_id
from engine.core.fold import evolve
from engine.core.ledger import Ledger
from engine.ports import JournalConflict, JournalFenced, Opening

RECENT_MAX = 1_000


class MemoryStore:
    """What outlives a MemoryJournal: the events, their chain as far as somebody asked for it, the epoch, the lock."""

    def __init__(self) -> None:
        self.pairs: list[Numbered] = []
        self.epoch = 0
        self.holder: MemoryJournal | None = None
        self._chain = Chain()
        self._recorded: list[Recorded] = []

    def recorded(self, stop: int) -> list[Recorded]:
        """The chained events 1..stop (at least). Hashing waits until here: a backtest never pays for a chain unread."""
        opened = self.pairs[0][1] if self.pairs else None
        ledger_id = opened.ledger_id if isinstance(opened, LedgerOpened) else ""
        for n, event in self.pairs[len(self._recorded) : stop]:
            self._recorded.append(self._chain.add(event_id(ledger_id, event, n), event).recorded)
        return self._recorded


class _View(Sequence[Recorded]):
    """Some events of a store, chained when they are looked at."""

    __slots__ = ("_start", "_stop", "_store")

    def __init__(self, store: MemoryStore, start: int, stop: int) -> None:
        self._store, self._start, self._stop = store, start, stop

    def __len__(self) -> int:
        return self._stop - self._start

    @overload
    def __getitem__(self, index: int) -> Recorded: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Recorded]: ...
    def __getitem__(self, index: int | slice) -> Recorded | Sequence[Recorded]:
        places = range(self._start, self._stop)[index]
        recorded = self._store.recorded(self._stop)
        return recorded[places] if isinstance(places, int) else [recorded[place] for place in places]


class MemoryJournal:
    """`engine.ports.Journal` on a MemoryStore. Journals that share a store are runs of one ledger.

    `append` does no more than keep the pairs. With `strict`, it also refuses at once what Postgres would refuse (JournalRefused);
    without, text that cannot be journaled shows when its hash is asked for.
    """

    latency_ms = 0.0

    def __init__(self, store: MemoryStore | None = None, *, strict: bool = False) -> None:
        self.store = store or MemoryStore()
        self._strict = strict
        self._epoch = 0

    @property
    def seq(self) -> int:
        """The seq of the last event, 0 for an empty journal."""
        return len(self.store.pairs)

    async def open(self) -> Opening:
        """Raises JournalFenced while another journal holds the store. Opening again is a new run (epoch + 1)."""
        store = self.store
        if store.holder not in (None, self):
            raise JournalFenced(f"another engine holds this ledger (epoch {store.epoch}): close it first")
        store.holder = self
        store.epoch += 1
        self._epoch = store.epoch
        ledger = Ledger()
        for _, event in store.pairs:
            evolve(ledger, event)
        ledger.seq = self.seq
        recent = tuple(store.recorded(self.seq)[max(0, self.seq - RECENT_MAX) :])
        return Opening(epoch=store.epoch, ledger=ledger, recent=recent)

    async def append(self, expected_seq: int, events: Sequence[Numbered], ledger: Ledger) -> Sequence[Recorded]:
        """Keep the events; what comes back chains itself when it is read. Errors as in `engine.ports.Journal`."""
        store = self.store
        if self._epoch != store.epoch or store.holder is not self:
            raise JournalFenced(f"epoch {self._epoch} is over, the ledger is at epoch {store.epoch}: stop")
        pairs = store.pairs
        head, stop = len(pairs), expected_seq + len(events)
        if expected_seq == head:
            if not head:
                check_first(head, events)
            if self._strict:
                for seq, (n, event) in enumerate(events, start=head + 1):
                    check_storable(seq, event_id(ledger.ledger_id, event, n), event, payload_bytes(event))
            pairs.extend(events)
        elif stop != head or not events or pairs[expected_seq:] != list(events):
            raise JournalConflict(f"the journal is at seq {head}, this engine believes {expected_seq}: stop")
        return _View(store, expected_seq, stop)

    async def close(self, why: str) -> None:
        """Release the store; a journal that does not hold it has nothing to release."""
        self.abandon()

    def abandon(self) -> None:
        """What a crash does: the lock is gone, nothing is written."""
        if self.store.holder is self:
            self.store.holder = None

    def events(self, after_seq: int = 0) -> Sequence[Recorded]:
        """The events with a seq above `after_seq`, in order."""
        return _View(self.store, min(after_seq, self.seq), self.seq)
