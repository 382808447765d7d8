"""A database that goes away under a running engine: it is said at once, and what takes risk away does not wait for it.

An intent is durable before it is sent. That holds for whatever adds risk: while the database is away, no entry is sent. A live
paper engine (`keeps`) goes on with the rest: exits, stops, cancels. Their events are kept in memory, acted upon, and written
in their order once the database answers; until then they are only here, and a program that ends loses them (a halt is in the
latch file as well). Recorded and simulated markets wait instead: their time stands still with the engine, so that nothing
is decided differently (decisions.md 4).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

import structlog

from db.chain import Chain, check_storable
from db.journal import PgJournal
from engine.core.events import Numbered, Recorded, event_id
from engine.core.ledger import Ledger, restore
from engine.ports import JournalUnavailable, Opening

log = structlog.get_logger(__name__)

#: An answer that takes longer is an outage. Seconds.
PATIENCE_S = 2.0
#: Beyond the server's own statement timeout nothing will come any more: the connection is cut, and made anew.
GIVE_UP_S = 35.0
RETRY_S = 0.5
#: What a program that ends waits for a database that is away.
LAST_S = 3.0


class OutageJournal:
    """`engine.ports.Journal` in front of a PgJournal; all methods belong to one event loop.

    `told` hears when an outage began (time.monotonic, s), and None when it is over.
    """

    def __init__(self, inner: PgJournal, told: Callable[[float | None], None]) -> None:
        self.inner = inner
        self.keeps = False
        self.down_since: float | None = None
        self._told = told
        self._appending = False
        self._kept: list[Numbered] = []
        self._kept_ledger = Ledger()  # their fold
        self._chain = Chain()
        self._seq = 0  # of the last event that the database has
        self._catching_up: asyncio.Task[None] | None = None

    @property
    def kept(self) -> int:
        """Events that are only in memory."""
        return len(self._kept)

    @property
    def epoch(self) -> int:
        return self.inner.epoch

    @property
    def latency_ms(self) -> float:
        return self.inner.latency_ms

    @property
    def answer_ms(self) -> float:
        return self.inner.answer_ms

    @property
    def answered_mono(self) -> float:
        return self.inner.answered_mono

    async def open(self) -> Opening:
        return await self.inner.open()

    async def append(self, expected_seq: int, events: Sequence[Numbered], ledger: Ledger) -> Sequence[Recorded]:
        """See `engine.ports.Journal`. With `keeps`, an append during an outage is kept, and never raises JournalUnavailable."""
        if self._catching_up is not None:
            if self._catching_up.done():
                self._catching_up.result()  # raises why the rest can never be written
            return self._keep(events, ledger)
        began, chain = time.monotonic(), self.inner.chain
        task = asyncio.ensure_future(self.inner.append(expected_seq, events, ledger))
        self._appending = True
        try:
            await asyncio.wait({task}, timeout=PATIENCE_S)
            if not task.done():
                self._tell(began)
                if not self.keeps:
                    await asyncio.wait({task}, timeout=GIVE_UP_S)
            if not task.done():
                await _cancel(task)
            recorded = _answer(task)
        except JournalUnavailable as error:
            self._tell(began)
            if not self.keeps:
                raise
            log.error("database.down", reason=str(error))
            self._chain, self._seq = chain, expected_seq
            recorded = self._keep(events, ledger)
            catching_up = self._catch_up(tuple(events), self._kept_ledger)
            self._catching_up = asyncio.create_task(catching_up, name="catching up")
            return recorded
        finally:
            self._appending = False
            task.cancel()
        self._tell(None)
        return recorded

    async def heartbeat(self) -> bool:
        """As PgJournal's, but a database that does not answer is away, too."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE_S):
                answered = await self.inner.heartbeat()
        except TimeoutError:
            answered = False
        if not answered:
            self._tell(began)
        elif self._catching_up is None and not self._appending:
            self._tell(None)
        return answered

    async def close(self, why: str) -> None:
        """As PgJournal's. Raises JournalUnavailable when events that were kept could not be written: they are lost."""
        task, lost = self._catching_up, 0
        if task is not None:
            await asyncio.wait({task}, timeout=LAST_S)
            lost = len(self._kept)
            await _cancel(task)
        try:
            async with asyncio.timeout(GIVE_UP_S if self.down_since is None else LAST_S):
                await self.inner.close(why)
        except TimeoutError:
            self.inner.abandon()
        if lost:
            log.error("database.lost", events=lost, after=self._seq)
            raise JournalUnavailable(
                f"the database did not come back: {lost} events were only in memory and are lost; the ledger is as of "
                f"event {self._seq:,}. Look at your positions before you resume"
            )

    def _tell(self, down_since: float | None) -> None:
        """An outage is told when it begins and when it ends."""
        if (down_since is None) != (self.down_since is None):
            self.down_since = down_since
            self._told(down_since)

    def _keep(self, events: Sequence[Numbered], ledger: Ledger) -> list[Recorded]:
        links = [self._chain.add(event_id(ledger.ledger_id, event, n), event) for n, event in events]
        for link in links:
            check_storable(link.recorded.seq, link.recorded.id, link.recorded.event, link.payload)
        self._kept += events
        self._kept_ledger = restore(ledger.snapshot())  # the fold of what is kept: the ledger itself goes on
        return [link.recorded for link in links]

    async def _catch_up(self, part: Sequence[Numbered], ledger: Ledger) -> None:
        """Write what is kept, in order, for as long as it takes. `part`, the batch without an answer, goes alone: only the same
        batch is recognised where it arrived after all. Raises what says that it can never be written."""
        while part:
            await self._write(part, ledger)
            self._seq += len(part)
            del self._kept[: len(part)]
            part, ledger = tuple(self._kept), self._kept_ledger
        self._catching_up = None
        if self.down_since is not None:
            log.warning("database.back", down_s=round(time.monotonic() - self.down_since, 1))
        self._tell(None)

    async def _write(self, part: Sequence[Numbered], ledger: Ledger) -> None:
        """The same append until it is answered: one whose answer was lost is recognised."""
        while True:
            with contextlib.suppress(JournalUnavailable, TimeoutError):
                async with asyncio.timeout(GIVE_UP_S):
                    await self.inner.append(self._seq, part, ledger)
                return
            await asyncio.sleep(RETRY_S)


async def _cancel(task: asyncio.Task[object] | asyncio.Future[object]) -> None:
    task.cancel()
    await asyncio.wait({task})


def _answer(task: asyncio.Future[Sequence[Recorded]]) -> Sequence[Recorded]:
    """The task's result. Raises JournalUnavailable for one that was cut off."""
    if task.cancelled():
        raise JournalUnavailable("the database has not answered")
    return task.result()
