"""What a cockpit can ask about the past: closed orders, fills, old events, the story of an order, who acknowledged what.

Every answer is a `Future`; nothing here makes a screen wait. `PgHistory` reads the database, `MemoryHistory` only knows the
events that are kept in memory (a ledger without a database: pictures and tests).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Future
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import msgspec

from engine.client import Bar, EquityPoint, OrderView, TradeView
from engine.core import events as ev
from engine.core.events import Recorded

if TYPE_CHECKING:
    from engine.reading import Reader

T = TypeVar("T")

ACKNOWLEDGED = "ALERT_ACKNOWLEDGED"
COMMANDED = "COMMAND_GIVEN"
#: What the history of the gates is made of: trips, and changes of what may be traded.
GATE_EVENTS = ("GateChanged", "TradingStateChanged", "EntriesHeld", "HouseChanged", "BotStatusChanged")


class Place(NamedTuple):
    """Where a page ends: time (int microseconds UTC) and id of its last row; the next page begins behind it."""

    ts: int
    id: str


class FillView(msgspec.Struct, frozen=True, kw_only=True):
    """An execution. `ts` is the time at the venue; `pnl` is realised by it, before its fee."""

    id: str
    ts: int
    order_id: str
    position_id: str
    bot: str
    exchange: str
    symbol: str
    side: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    liquidity: str
    pnl: Decimal


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """An event of a story; `written_ts` is when it became durable (int microseconds UTC), None where that is not known."""

    recorded: Recorded
    written_ts: int | None = None


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True):
    """Who has seen what, and when. `key` names the alert, `text` is what it said then."""

    key: str
    text: str
    actor: str
    ts: int


class History(Protocol):
    """The past of one ledger. Futures raise `engine.reading.ReadFailed`; cancelling one ends its query."""

    def orders(self, before: Place | None, limit: int = 500) -> Future[Sequence[OrderView]]:
        """Orders in any state, denied ones included, newest first, older than `before`."""
        ...

    def fills(self, before: Place | None, limit: int = 500) -> Future[Sequence[FillView]]:
        """Fills, newest first, older than `before`."""
        ...

    def events(self, before_seq: int, limit: int = 1_000) -> Future[Sequence[Recorded]]:
        """The newest events below a seq, oldest of them first."""
        ...

    def seq_at(self, ts: int) -> Future[int | None]:
        """Seq of the first event at or after a time; None when there is none yet."""
        ...

    def story(self, order_id: str) -> Future[Sequence[Told]]:
        """Signal, gates and every event of an order, in order."""
        ...

    def bars(
        self, exchange: str, symbol: str, timeframe: str, length_us: int, before_ts: int | None, limit: int = 5_000
    ) -> Future[Sequence[Bar]]:
        """The newest closed bars that opened before `before_ts`, oldest first; `length_us` is the timeframe's."""
        ...

    def trades(self, limit: int = 2_000) -> Future[Sequence[TradeView]]:
        """The newest round trips that have ended, oldest of them first."""
        ...

    def equity(
        self, since_ts: int, until_ts: int, points: int = 2_000, *, account: str = "main"
    ) -> Future[Sequence[EquityPoint]]:
        """Equity of the account of a name between two times, thinned with its peaks and troughs kept."""
        ...

    def acknowledge(self, key: str, text: str, actor: str) -> Future[Acknowledgement]:
        """Write into the audit trail that `actor` has seen an alert."""
        ...

    def acknowledged(self, limit: int = 500) -> Future[Sequence[Acknowledgement]]:
        """The newest acknowledgements, newest first."""
        ...

    def commanded(self, verb: str, target: str, actor: str, text: str, *, done: bool) -> Future[int]:
        """Write into the audit trail what was asked of the engine, by whom, and what came of it; the entry's seq."""
        ...


@runtime_checkable
class GateHistory(Protocol):
    """A past that can be asked for GATE_EVENTS alone."""

    def gate_changes(self, before_seq: int | None, limit: int = 500) -> Future[Sequence[Recorded]]:
        """The newest of GATE_EVENTS below a seq (None: of all), newest first."""
        ...


def fill_view(event: ev.OrderFilled, bot: str) -> FillView:
    """A fill as its event has it."""
    return FillView(
        id=event.fill_id,
        ts=event.executed_ts,
        order_id=event.order_id,
        position_id=event.position_id,
        bot=bot,
        exchange=event.exchange,
        symbol=event.symbol,
        side=event.side,
        quantity=event.quantity,
        price=event.price,
        fee=event.fee,
        fee_currency=event.fee_currency,
        liquidity=event.liquidity,
        pnl=event.pnl,
    )


def story_of(order_id: str, events: Iterable[Recorded]) -> list[Recorded]:
    """Those events that are the order's: what names it, and the signal that asked for it."""
    known = list(events)
    own = [one for one in known if getattr(one.event, "order_id", "") == order_id]
    signals = {getattr(one.event, "signal_id", "") for one in own} - {""}
    fired = [one for one in known if isinstance(one.event, ev.SignalGenerated) and one.event.signal_id in signals]
    return sorted([*fired, *own], key=lambda one: one.seq)


def ready(value: T) -> Future[T]:
    """A future that has its answer."""
    future: Future[T] = Future()
    future.set_result(value)
    return future


class JournalHistory:
    """What no journal holds: bars, and the read tables' round trips and curves. Events alone tell the rest."""

    def bars(
        self, exchange: str, symbol: str, timeframe: str, length_us: int, before_ts: int | None, limit: int = 5_000
    ) -> Future[Sequence[Bar]]:
        return ready(())

    def trades(self, limit: int = 2_000) -> Future[Sequence[TradeView]]:
        return ready(())

    def equity(
        self, since_ts: int, until_ts: int, points: int = 2_000, *, account: str = "main"
    ) -> Future[Sequence[EquityPoint]]:
        return ready(())


class MemoryHistory(JournalHistory):
    """What the events in memory tell, oldest first. Acknowledgements last as long as the process."""

    def __init__(self, events: Callable[[], Sequence[Recorded]], clock_us: Callable[[], int] | None = None) -> None:
        self._events = events
        self._clock_us = clock_us or (lambda: time.time_ns() // 1_000)
        self._acknowledged: list[Acknowledgement] = []
        self.commands: list[tuple[str, str, str, str, bool]] = []

    def orders(self, before: Place | None, limit: int = 500) -> Future[Sequence[OrderView]]:
        return ready(())

    def fills(self, before: Place | None, limit: int = 500) -> Future[Sequence[FillView]]:
        found = [fill_view(one.event, "") for one in self._events() if isinstance(one.event, ev.OrderFilled)]
        found.sort(key=lambda fill: (fill.ts, fill.id), reverse=True)
        return ready([fill for fill in found if before is None or (fill.ts, fill.id) < before][:limit])

    def events(self, before_seq: int, limit: int = 1_000) -> Future[Sequence[Recorded]]:
        return ready([one for one in self._events() if one.seq < before_seq][-limit:])

    def gate_changes(self, before_seq: int | None, limit: int = 500) -> Future[Sequence[Recorded]]:
        found = [one for one in self._events() if type(one.event).__name__ in GATE_EVENTS]
        return ready([one for one in found if before_seq is None or one.seq < before_seq][-limit:][::-1])

    def seq_at(self, ts: int) -> Future[int | None]:
        return ready(next((one.seq for one in self._events() if one.event.ts >= ts), None))

    def story(self, order_id: str) -> Future[Sequence[Told]]:
        return ready([Told(recorded=one) for one in story_of(order_id, self._events())])

    def acknowledge(self, key: str, text: str, actor: str) -> Future[Acknowledgement]:
        made = Acknowledgement(key=key, text=text, actor=actor, ts=self._clock_us())
        self._acknowledged.insert(0, made)
        return ready(made)

    def acknowledged(self, limit: int = 500) -> Future[Sequence[Acknowledgement]]:
        return ready(tuple(self._acknowledged[:limit]))

    def commanded(self, verb: str, target: str, actor: str, text: str, *, done: bool) -> Future[int]:
        self.commands.append((verb, target, actor, text, done))
        return ready(len(self.commands))


class PgHistory:
    """The same from the ledger's database, by cursor, on the cockpit's own connections."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def orders(self, before: Place | None, limit: int = 500) -> Future[Sequence[OrderView]]:
        return self._page("orders_page", OrderView, before, limit)

    def fills(self, before: Place | None, limit: int = 500) -> Future[Sequence[FillView]]:
        return self._page("fills_page", FillView, before, limit)

    def _page(self, name: str, kind: Callable[..., T], before: Place | None, limit: int) -> Future[Sequence[T]]:
        async def work(conn: Any) -> Sequence[T]:
            from db.queries import load_queries

            return [
                kind(**dict(row)) for row in await conn.fetch(load_queries()[name], limit, *(before or (None, None)))
            ]

        return self._reader.read(work)

    def events(self, before_seq: int, limit: int = 1_000) -> Future[Sequence[Recorded]]:
        async def work(conn: Any) -> Sequence[Recorded]:
            return [told.recorded for told in await _told(conn, "events_page", before_seq, limit)][::-1]

        return self._reader.read(work)

    def gate_changes(self, before_seq: int | None, limit: int = 500) -> Future[Sequence[Recorded]]:
        async def work(conn: Any) -> Sequence[Recorded]:
            found = await _told(conn, "events_of_types", before_seq, limit, list(GATE_EVENTS))
            return [told.recorded for told in found]

        return self._reader.read(work)

    def seq_at(self, ts: int) -> Future[int | None]:
        return self._reader.read(_value("event_at", ts))

    def story(self, order_id: str) -> Future[Sequence[Told]]:
        async def work(conn: Any) -> Sequence[Told]:
            return await _told(conn, "order_story", order_id)

        return self._reader.read(work)

    def bars(
        self, exchange: str, symbol: str, timeframe: str, length_us: int, before_ts: int | None, limit: int = 5_000
    ) -> Future[Sequence[Bar]]:
        async def work(conn: Any) -> Sequence[Bar]:
            from db.queries import load_queries
            from db.rows import at

            before = None if before_ts is None else at(before_ts)
            rows = await conn.fetch(load_queries()["candles"], exchange, symbol, timeframe, before, limit)
            return [(row[0] + length_us, *tuple(row)[1:]) for row in reversed(rows)]

        return self._reader.read(work)

    def trades(self, limit: int = 2_000) -> Future[Sequence[TradeView]]:
        async def work(conn: Any) -> Sequence[TradeView]:
            from db.queries import load_queries

            found = []
            for row in reversed(await conn.fetch(load_queries()["trades"], limit)):
                fields = dict(row)
                plan = (fields["entry_ts"], fields.pop("stop"), fields.pop("target"))
                found.append(TradeView(**fields, exits=(plan,)))
            return found

        return self._reader.read(work)

    def equity(
        self, since_ts: int, until_ts: int, points: int = 2_000, *, account: str = "main"
    ) -> Future[Sequence[EquityPoint]]:
        async def work(conn: Any) -> Sequence[EquityPoint]:
            from db.queries import Queries

            rows = await Queries(conn).equity(points, since_ts=since_ts, until_ts=until_ts, account=account)
            return [EquityPoint(*row) for row in rows]

        return self._reader.read(work)

    def acknowledge(self, key: str, text: str, actor: str) -> Future[Acknowledgement]:
        async def work(conn: Any) -> Acknowledgement:
            seq = await _audited(conn, ACKNOWLEDGED, "alerts", actor, {"key": key, "text": text})
            return Acknowledgement(key=key, text=text, actor=actor, ts=await conn.fetchval(_AUDIT_TIME, seq))

        return self._reader.write(work)

    def acknowledged(self, limit: int = 500) -> Future[Sequence[Acknowledgement]]:
        async def work(conn: Any) -> Sequence[Acknowledgement]:
            from db.queries import load_queries

            rows = await conn.fetch(load_queries()["acknowledgements"], ACKNOWLEDGED, limit)
            return [Acknowledgement(**dict(row)) for row in rows]

        return self._reader.read(work)

    def commanded(self, verb: str, target: str, actor: str, text: str, *, done: bool) -> Future[int]:
        async def work(conn: Any) -> int:
            new = {"verb": verb, "target": target, "done": done, "answer": text}
            return await _audited(conn, COMMANDED, "commands", actor, new)

        return self._reader.write(work)


_AUDIT_TIME = "select (extract(epoch from ts) * 1000000)::bigint from qs.audit_logs where seq = $1"
#: Whose entry it is: the one for whom the connection reads. Nobody else sees it.
_USER = "select nullif(pg_catalog.current_setting('app.user_id', true), '')"


async def _audited(conn: Any, action: str, kind: str, actor: str, new: dict[str, Any]) -> int:
    from db import audit

    return await audit.record(conn, action, kind, actor=actor, user_id=await conn.fetchval(_USER), new=new)


def _value(name: str, *arguments: Any) -> Callable[[Any], Coroutine[Any, Any, Any]]:
    async def work(conn: Any) -> Any:
        from db.queries import load_queries

        return await conn.fetchval(load_queries()[name], *arguments)

    return work


async def _told(conn: Any, name: str, *arguments: Any) -> list[Told]:
    from db.queries import load_queries

    return [
        Told(
            recorded=Recorded(
                seq=row["seq"],
                id=row["id"],
                event=ev.decode(row["payload"], row["schema_version"]),  # type: ignore[arg-type]
                prev_hash=bytes(row["prev_hash"]),
                hash=bytes(row["hash"]),
                schema_version=row["schema_version"],
            ),
            written_ts=row["written_ts"],
        )
        for row in await conn.fetch(load_queries()[name], *arguments)
    ]
