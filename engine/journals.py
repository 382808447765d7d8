"""Where the past is read from: a journal in Postgres, or one in memory. Events and snapshots of the ledger, nothing else.

Everything here runs on a loop of its own (`engine.reading.Reader`); the screen and the engine never wait for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar, overload

from engine.core.events import Event, LedgerOpened, Numbered, Recorded, event_id
from engine.core.ledger import Ledger
from engine.core.types import DAY_US, Level
from engine.history import story_of

if TYPE_CHECKING:
    from engine.operations import Trail
    from engine.reading import Reader

#: Events of one read: what is decoded of it keeps the interpreter from the other threads for some milliseconds.
PAGE = 250
#: An order's events are looked for in so many days after it was made.
STORY_DAYS = 30
#: "not DEBUG", in the place of types.
LOUD = frozenset({"*"})
Kinds = Collection[str]
T = TypeVar("T")


class PastError(Exception):
    """The moment that was asked for cannot be shown; one line why."""


class PastBroken(PastError):
    """The journal is not what was written."""


class Place(NamedTuple):
    """An event's seq and time, us UTC."""

    seq: int
    ts: int


class Base(NamedTuple):
    """A ledger, the seq of the last event in it, and the chain there (None where nothing is chained)."""

    ledger: Ledger
    seq: int
    chain: Any = None


class Source(Protocol):
    """A journal to read. Raises `engine.reading.ReadFailed`, or ChainBroken where it is not what was written."""

    async def ends(self) -> tuple[Place, Place] | None:
        """The first event and the newest; None for an empty journal."""
        ...

    async def base(self, upto: int) -> Base:
        """The nearest snapshot at or before a seq; an empty ledger at 0 without one."""
        ...

    def run(self, base: Base, upto: int) -> AsyncIterator[Sequence[Recorded]]:
        """Pages of the events after `base` up to a seq, in order, each checked against the one before; moves `base.chain`."""
        ...

    async def newest(self, upto: int, kinds: Kinds, count: int) -> list[Recorded]:
        """The newest events of these types at or before a seq, oldest first; `LOUD` is all that is not DEBUG."""
        ...

    async def seq_at(self, ts: int) -> int:
        """Seq of the event before the first that is later than `ts`; the newest's when none is."""
        ...

    async def find(self, seq: int, kind: str, step: int) -> Place | None:
        """The nearest event of a type before (`step` < 0) or after a seq."""
        ...

    async def story(self, order_id: str, upto: int) -> list[Recorded]:
        """Signal, gates and events of an order, in order."""
        ...

    async def trail(self, seq: int) -> Trail:
        """What is kept beside the events: runs of the engine and the audit trail, as when an event was written."""
        ...


def fits(event: Event, kinds: Kinds) -> bool:
    """Whether an event is of one of these types."""
    if kinds is LOUD:
        return event.level is not Level.DEBUG
    return type(event).__name__ in kinds


class Pairs(Sequence[Recorded]):
    """The events of a journal in memory without their chain: their engine may be hashing them on its own thread."""

    def __init__(self, pairs: Sequence[Numbered]) -> None:
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    def event(self, index: int) -> Event:
        """An event alone: its id costs a hash."""
        return self._pairs[index][1]

    @overload
    def __getitem__(self, index: int) -> Recorded: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Recorded]: ...
    def __getitem__(self, index: int | slice) -> Recorded | Sequence[Recorded]:
        if isinstance(index, slice):
            return [self[n] for n in range(len(self))[index]]
        at = range(len(self))[index]
        n, event = self._pairs[at]
        opened = self._pairs[0][1]
        made_of = opened.ledger_id if isinstance(opened, LedgerOpened) else ""
        known: Any = event  # of the registered ones, or it would not have been journaled
        return Recorded(seq=at + 1, id=event_id(made_of, event, n), event=known, prev_hash=b"", hash=b"")


class MemorySource:
    """The events of a session without a database, oldest first from the genesis on."""

    def __init__(self, events: Callable[[], Sequence[Recorded]]) -> None:
        self._events = events

    async def ends(self) -> tuple[Place, Place] | None:
        events = self._events()
        return (_place(events[0]), _place(events[-1])) if events else None

    async def base(self, upto: int) -> Base:
        return Base(Ledger(), 0)

    async def run(self, base: Base, upto: int) -> AsyncIterator[Sequence[Recorded]]:
        events = self._events()
        for at in range(base.seq, min(upto, len(events)), PAGE):
            yield [events[n] for n in range(at, min(at + PAGE, upto, len(events)))]

    async def newest(self, upto: int, kinds: Kinds, count: int) -> list[Recorded]:
        events = self._events()
        found: list[Recorded] = []
        for n in range(min(upto, len(events)) - 1, -1, -1):
            if fits(_event(events, n), kinds):
                found.append(events[n])
                if len(found) >= count:
                    break
        return found[::-1]

    async def seq_at(self, ts: int) -> int:
        events = self._events()
        times = ((_event(events, n).ts, n) for n in range(len(events)))
        return min((place for place in times if place[0] > ts), default=(0, len(events)))[1]

    async def find(self, seq: int, kind: str, step: int) -> Place | None:
        events = self._events()
        places = range(seq - 2, -1, -1) if step < 0 else range(seq, len(events))
        return next((_place(events[n]) for n in places if fits(_event(events, n), (kind,))), None)

    async def story(self, order_id: str, upto: int) -> list[Recorded]:
        return story_of(order_id, (one for one in self._events() if one.seq <= upto))

    async def trail(self, seq: int) -> Trail:
        from engine.operations import Trail

        return Trail()


def _event(events: Sequence[Recorded], n: int) -> Event:
    found: Event = events.event(n) if isinstance(events, Pairs) else events[n].event
    return found


def _place(recorded: Recorded) -> Place:
    return Place(recorded.seq, recorded.event.ts)


_FIRST = "select seq, (extract(epoch from ts) * 1000000)::bigint from qs.events order by seq limit 1"
_LAST = "select seq, (extract(epoch from ts) * 1000000)::bigint from qs.events order by seq desc limit 1"
_LATER = "select seq from qs.events where ts > $1 order by ts, seq limit 1"
_BEFORE = (
    "select seq, (extract(epoch from ts) * 1000000)::bigint from qs.events"
    " where type = $2 and seq < $1 order by seq desc limit 1"
)
_AFTER = "select seq, (extract(epoch from ts) * 1000000)::bigint from qs.events where type = $2 and seq > $1 order by seq limit 1"


class PgSource:
    """The journal of a database, read as its operator, on the reader's loop."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def _read(self, work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        """Raises PastBroken for an event that is not what was written."""
        from db.chain import ChainBroken

        try:
            return await self._reader.use(work)
        except ChainBroken as error:
            raise PastBroken(f"the journal cannot be trusted: {error}; run `quantsail audit verify`") from error

    async def ends(self) -> tuple[Place, Place] | None:
        async def work(conn: Any) -> tuple[Place, Place] | None:
            first, last = await conn.fetchrow(_FIRST), await conn.fetchrow(_LAST)
            return (Place(*first), Place(*last)) if first is not None and last is not None else None

        return await self._read(work)

    async def base(self, upto: int) -> Base:
        async def work(conn: Any) -> Base:
            from db.fold import snapshot_before

            ledger, chain = await snapshot_before(conn, upto)
            return Base(ledger, chain.seq, chain)

        return await self._read(work)

    async def run(self, base: Base, upto: int) -> AsyncIterator[Sequence[Recorded]]:
        from db.chain import SELECT_EVENTS

        chain = base.chain
        sql = f"{SELECT_EVENTS} where seq > $1 and seq <= $2 order by seq limit {PAGE}"

        async def work(conn: Any) -> list[Recorded]:
            return [chain.follow(row).recorded for row in await conn.fetch(sql, chain.seq, upto)]

        while chain.seq < upto:
            page = await self._read(work)
            if not page:
                return
            yield page

    async def newest(self, upto: int, kinds: Kinds, count: int) -> list[Recorded]:
        from db.chain import SELECT_EVENTS, read_row

        which = "level <> 'DEBUG'" if kinds is LOUD else "type = any($2::text[])"
        sql = f"{SELECT_EVENTS} where seq <= $1 and {which} order by seq desc limit"
        found: list[Recorded] = []
        while len(found) < count:
            before = found[-1].seq - 1 if found else upto
            arguments = (before,) if kinds is LOUD else (before, list(kinds))
            want = min(PAGE, count - len(found))

            async def work(conn: Any, arguments: Any = arguments, want: int = want) -> list[Recorded]:
                return [read_row(row).recorded for row in await conn.fetch(f"{sql} {want}", *arguments)]

            page = await self._read(work)
            found += page
            if len(page) < want:
                break
        return found[::-1]

    async def seq_at(self, ts: int) -> int:
        from db.rows import at

        async def work(conn: Any) -> int:
            later = await conn.fetchval(_LATER, at(ts))
            if later is not None:
                return int(later) - 1
            last = await conn.fetchrow(_LAST)
            return last["seq"] if last is not None else 0

        return await self._read(work)

    async def find(self, seq: int, kind: str, step: int) -> Place | None:
        async def work(conn: Any) -> Place | None:
            row = await conn.fetchrow(_BEFORE if step < 0 else _AFTER, seq, kind)
            return Place(*row) if row is not None else None

        return await self._read(work)

    async def story(self, order_id: str, upto: int) -> list[Recorded]:
        from db.chain import SELECT_EVENTS, read_row
        from db.rows import at

        made = _made_us(order_id)
        sql = (
            f"{SELECT_EVENTS} where ts >= $1 and ts < $2 and seq <= $3"
            " and (payload ->> 'order_id' = $4 or type = 'SignalGenerated' and ts < $5) order by seq limit 2000"
        )
        span = (at(made), at(made + STORY_DAYS * DAY_US), upto, order_id, at(made + 1_000_000))

        async def work(conn: Any) -> list[Recorded]:
            return [read_row(row).recorded for row in await conn.fetch(sql, *span)]

        return story_of(order_id, await self._read(work))

    async def trail(self, seq: int) -> Trail:
        from engine.operations import trail_of

        return await self._read(lambda conn: trail_of(conn, seq))


def _made_us(order_id: str) -> int:
    """The millisecond that a UUIDv7 begins with, in us UTC."""
    return int(order_id.replace("-", "")[:12] or "0", 16) * 1_000
