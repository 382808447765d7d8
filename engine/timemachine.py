"""The time machine: the ledger as it was right after any event, folded from the journal, with what a screen shows of it.

It works on the reading thread (`engine.reading`), a few milliseconds at a time, so that neither screen nor engine waits for it.
States around the one that is looked at are kept: a step costs a few folds.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from engine.core.events import Recorded
from engine.core.fold import evolve
from engine.core.ledger import Ledger, restore
from engine.core.types import InvariantError
from engine.journals import Base, Kinds, PastBroken, PastError, Place, Source

if TYPE_CHECKING:
    from engine.operations import Operations
    from engine.pastview import Moment, Picture
    from engine.reading import Reader
    from engine.standing import Standing

T = TypeVar("T")

#: Events around a moment that stay in memory, before and after it.
WINDOW, AHEAD = 1_000, 300
#: Between two kept states of the window; and between those that are kept on the way to it.
STRIDE, POST = 100, 5_000
#: Events folded before the other threads get their turn, and for how long. Seconds.
CHUNK, YIELD_S = 50, 0.001
PICTURES_KEPT = 64
#: (events folded, events to fold): for who waits for more than a second.
Said = Callable[[int, int], None]


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """A garbage collection stops every thread, the engine's too, and looks at all that a fold has just made: many milliseconds,
    for nothing, because states are values and go when nobody holds them."""
    wanted = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if wanted:
            gc.enable()


class Lane:
    """The newest `count` events of some types, up to any seq."""

    def __init__(self, source: Source, kinds: Kinds, count: int) -> None:
        self._source, self._kinds, self._count = source, kinds, count
        self._events: list[Recorded] = []
        self._seqs: list[int] = []
        self._upto = -1
        self._whole = False

    async def upto(self, seq: int, head: int) -> Sequence[Recorded]:
        """Oldest first; the same for a seq whichever way led there."""
        end = bisect_right(self._seqs, seq)
        if seq > self._upto or (end < self._count and not self._whole):
            self._upto = min(seq + AHEAD, head)
            want = self._count + AHEAD
            self._events = await self._source.newest(self._upto, self._kinds, want)
            self._seqs = [one.seq for one in self._events]
            self._whole = len(self._events) < want
            end = bisect_right(self._seqs, seq)
        return self._events[max(0, end - self._count) : end]


class Folds:
    """Ledgers right after any event, from the nearest state that is known."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._marks: list[tuple[int, bytes]] = []  # states in the window, by seq
        self._events: list[Recorded] = []  # those after the first mark, in order
        self._tail: tuple[int, bytes, Any] = (0, b"", None)
        self._posts: dict[int, tuple[bytes, Any]] = {}

    async def at(self, seq: int, head: int, said: Said) -> Ledger:
        """Raises PastBroken and ReadFailed."""
        if not self._marks or not self._marks[0][0] < seq <= self._tail[0]:
            try:
                await self._move(seq, head, said)
            except BaseException:
                self._marks = []  # half a window is none
                raise
        start, state = self._marks[bisect_right(self._marks, seq, key=lambda mark: mark[0]) - 1]
        ledger = restore(state)
        first = self._marks[0][0]
        for one in self._events[start - first : seq - first]:
            evolve(ledger, one.event)
        ledger.seq = seq
        return ledger

    def event(self, seq: int) -> Recorded:
        """An event of the window that `at` has made."""
        return self._events[seq - self._marks[0][0] - 1]

    async def _move(self, seq: int, head: int, said: Said) -> None:
        """Fold the window around `seq`."""
        base = await self._nearest(seq - 1)  # so that the event itself is in the window
        ledger, upto = base.ledger, min(seq + AHEAD, head)
        self._marks, self._events = [], []
        done = base.seq
        self._tail = (0, b"", None)
        try:
            async for page in self._source.run(base, upto):
                for at in range(0, len(page), CHUNK):
                    for one in page[at : at + CHUNK]:
                        self._fold(ledger, one, seq - WINDOW)
                        done = one.seq
                    said(done - base.seq, upto - base.seq)
                    await asyncio.sleep(YIELD_S)
                if done // POST > (page[0].seq - 1) // POST:
                    self._posts[done] = (ledger.snapshot(), _copied(base.chain))
        except PastBroken:
            if done < seq:
                raise
            self._tail = (done, b"", None)  # the damage is later than what is asked for
            return
        if done < seq:
            raise PastBroken(f"event {done + 1} is missing from the journal; run `quantsail audit verify`")
        self._tail = (done, ledger.snapshot(), base.chain)

    async def _nearest(self, seq: int) -> Base:
        stored = await self._source.base(seq)
        tail, state, chain = self._tail
        known = max((post for post in self._posts if post <= seq), default=0)
        if state and tail <= seq and tail >= max(known, stored.seq):
            return Base(restore(state), tail, _copied(chain))
        if known > stored.seq:
            state, chain = self._posts[known]
            return Base(restore(state), known, _copied(chain))
        return stored

    def _fold(self, ledger: Ledger, one: Recorded, keep_from: int) -> None:
        """Raises PastBroken."""
        if one.seq > keep_from:
            if not self._marks or one.seq - 1 - self._marks[-1][0] >= STRIDE:
                self._marks.append((one.seq - 1, ledger.snapshot()))
            self._events.append(one)
        try:
            evolve(ledger, one.event)
        except (InvariantError, LookupError) as error:
            raise PastBroken(f"event {one.seq} cannot be folded: {error}; run `quantsail audit verify`") from error


def _copied(chain: Any) -> Any:
    return chain.copy() if chain is not None else None


class TimeMachine:
    """Pictures of the past of one journal. Any thread may ask; futures raise PastError or `engine.reading.ReadFailed`."""

    def __init__(self, source: Source, reader: Reader, ledger_name: str = "") -> None:
        self.source = source
        self.ledger_name = ledger_name
        #: Events folded and to be folded, of what is being asked for; (0, 0) when nothing is.
        self.progress = (0, 0)
        self._reader = reader
        self._folds = Folds(source)
        self._lanes: dict[str, Lane] = {}
        self._pictures: OrderedDict[Place, Picture] = OrderedDict()
        self._turn: asyncio.Lock | None = None
        self._setups: dict[str, Any] = {}

    def known(self, seq: int) -> Picture | None:
        """The picture right after an event, when it is at hand."""
        return next((one for place, one in list(self._pictures.items()) if place.seq == seq and one.stepped), None)

    def at_seq(self, seq: int) -> Future[Picture]:
        """Right after an event; before the first that is the first, after the newest that is the newest."""
        return self._reader.go(self._alone(self._at_seq(seq)))

    def at_time(self, ts: int, *, until: int | None = None) -> Future[Picture]:
        """As it was at a time (us UTC), which must not be before the genesis, nor after `until` (None: the newest event)."""
        return self._reader.go(self._alone(self._at_time(ts, until)))

    def next_of(self, seq: int, kind: str, step: int) -> Future[Picture]:
        """Right after the nearest event of a type, before (`step` < 0) or after a seq."""
        return self._reader.go(self._alone(self._next_of(seq, kind, step)))

    def prepare(self, seq: int) -> Future[Picture]:
        """Have a picture at hand for the next key."""
        return self._reader.go(self._alone(self._at_seq(seq)))

    def standing(self, picture: Picture, bot: str) -> Future[Standing]:
        """How things stood at a picture's moment, with the gates of the account and of `bot`, an id."""
        return self._reader.go(self._alone(self._standing(picture, bot)))

    def operations(self, picture: Picture) -> Future[Operations]:
        """What had kept the engine running at a picture's moment, as far as it was recorded."""
        return self._reader.go(self._alone(self._operations(picture)))

    def ask(self, task: Any) -> Future[Any]:
        """Run a question to the source on the reading thread."""
        return self._reader.go(task)

    async def _alone(self, task: Coroutine[Any, Any, T]) -> T:
        """One after the other: windows and states are shared."""
        if self._turn is None:
            self._turn = asyncio.Lock()
        try:
            async with self._turn:
                with _uncollected():
                    return await task
        finally:
            task.close()  # cancelled while it waited, it never ran
            self.progress = (0, 0)

    async def _ends(self) -> tuple[Place, Place]:
        ends = await self.source.ends()
        if ends is None:
            raise PastError("the journal is empty: there is no past yet")
        return ends

    async def _at_seq(self, seq: int) -> Picture:
        first, head = await self._ends()
        return await self._picture(min(max(seq, first.seq), head.seq), None, first, head)

    async def _at_time(self, ts: int, until: int | None) -> Picture:
        from engine.pastview import utc

        first, head = await self._ends()
        if ts < first.ts:
            raise PastError(f"{utc(ts)} is before the ledger began: its first event is of {utc(first.ts)}")
        if ts > max(head.ts, until or 0):
            raise PastError(f"{utc(ts)} is after the end: the newest event is of {utc(head.ts)}")
        return await self._picture(max(await self.source.seq_at(ts), first.seq), ts, first, head)

    async def _next_of(self, seq: int, kind: str, step: int) -> Picture:
        found = await self.source.find(seq, kind, step)
        if found is None:
            raise PastError(f"no {kind} {'before' if step < 0 else 'after'} this moment")
        first, head = await self._ends()
        return await self._picture(found.seq, None, first, head)

    async def _picture(self, seq: int, ts: int | None, first: Place, head: Place) -> Picture:
        """`ts` None: the time of the event itself."""
        from engine.pastview import Picture

        known = self.known(seq) if ts is None else self._pictures.get(Place(seq, ts))
        if known is not None:
            return known.among(first, head)
        if first.seq > 1 and (await self.source.base(seq)).seq < first.seq - 1:
            raise PastError(f"what was before event {first.seq} is archived, and no snapshot is left from before it")
        moment, event = await self._moment(seq, ts, head)
        made = Picture.of(self.ledger_name, moment, event, ts).among(first, head)
        self._pictures[Place(seq, made.ts)] = made
        while len(self._pictures) > PICTURES_KEPT:
            self._pictures.popitem(last=False)
        return made

    async def _moment(self, seq: int, ts: int | None, head: Place) -> tuple[Moment, Recorded]:
        """The state right after an event, and the event."""
        from engine.pastview import LANES, Moment

        if not self._lanes:
            self._lanes = {name: Lane(self.source, kinds, count) for name, (kinds, count) in LANES.items()}
        ledger = await self._folds.at(seq, head.seq, self._said)
        lanes = {name: await lane.upto(seq, head.seq) for name, lane in self._lanes.items()}
        event = self._folds.event(seq)
        return Moment.of(ledger, event.event.ts if ts is None else ts, lanes, self._setups), event

    async def _standing(self, picture: Picture, bot: str) -> Standing:
        moment, _ = await self._moment(picture.seq, picture.ts, picture.head)
        return moment.standing(bot)

    async def _operations(self, picture: Picture) -> Operations:
        from engine.operations import of_then

        moment, _ = await self._moment(picture.seq, picture.ts, picture.head)
        return of_then(moment.view.ledger, await self.source.trail(picture.seq))

    def _said(self, done: int, of: int) -> None:
        self.progress = (done, of)
