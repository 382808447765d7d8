"""The engine in this process: a client that any thread may use, and the engine's side of it."""

from __future__ import annotations

import asyncio
import bisect
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from engine.client import WHOLE, Bar, ConfigLine, EquityPoint, Outcome, ReplayView, Snapshot, TradeView, whole
from engine.core import events as ev
from engine.core.events import Recorded
from engine.core.types import Verb
from engine.halt import Latch

if TYPE_CHECKING:  # the screen makes a client before its first paint; these bring numpy and TA-Lib with them
    from engine.curves import Curves
    from engine.feeds.base import Feed, Pacer
    from engine.history import History
    from engine.operations import Operations
    from engine.publish import BoardMemory
    from engine.reading import Reader
    from engine.runtime import Engine
    from engine.standing import Standing
    from engine.timemachine import TimeMachine
    from engine.trips import Trips

#: Committed events kept for screens: those since the last look, and then some; older ones are in the database.
EVENTS_KEPT = 2_000
#: Without a database there is nowhere else to look.
EVENTS_KEPT_ALONE = 20_000
#: Points of an equity curve; when full, every second old one goes.
EQUITY_KEPT = 4_000
#: A picture is made at least this often: its `beat_mono` tells a screen that the engine lives. Seconds.
BEAT_S = 0.9
#: What answers the kill dialog.
_END_HOLD = frozenset({Verb.RELEASE, Verb.HALT, Verb.PAUSE, Verb.CANCEL, Verb.FLATTEN, Verb.RESUME})


class Running(Protocol):
    """What the client needs to know of a session."""

    engine: Engine
    feed: Feed
    pacer: Pacer | None
    ledger_name: str
    dsn: str  # of the ledger's database; "" without one

    def configs(self) -> Coroutine[Any, Any, Sequence[ConfigLine]]: ...

    def document(self, version: int) -> Coroutine[Any, Any, object]: ...

    def store_config(self, text: str, note: str, actor: str) -> Coroutine[Any, Any, int]: ...


class LocalClient:
    """Implements `engine.client.EngineClient`, and `engine.runtime.Observer` on the engine's side."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: deque[Recorded] = deque(maxlen=EVENTS_KEPT_ALONE)
        self._curves: Curves | None = None
        self._snapshot: Snapshot | None = None
        self._progress = "starting"
        self._running: Running | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._latch: Latch | None = None
        self._memory: BoardMemory | None = None
        self._trips: Trips | None = None
        self._reader: Reader | None = None
        self._history: History | None = None
        self._machine: TimeMachine | None = None
        self._numbers = itertools.count(1)
        self._down_mono: float | None = None
        self._last_input_mono = time.monotonic()
        self._candles = -1
        self._shown: tuple[object, ...] = ()
        self.lag_ms = 0.0
        self.held_mono: float | None = None

    # -- any thread ---------------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot | None:
        return self._snapshot

    def progress(self) -> str:
        return self._progress

    def events(self, after_seq: int, limit: int = 1_000) -> Sequence[Recorded]:
        with self._lock:
            newest = list(itertools.takewhile(lambda r: r.seq > after_seq, reversed(self._events)))
        newest.reverse()
        return newest[:limit]

    def equity(self, account: str = WHOLE) -> Sequence[EquityPoint]:
        snapshot, curves = self._snapshot, self._curves
        found = whole(snapshot.accounts) if snapshot is not None and not account else None
        return curves.of(found.id if found is not None else account) if curves is not None else ()

    def configs(self) -> Future[Sequence[ConfigLine]]:
        return self._on_loop(lambda running: running.configs())

    def document(self, version: int) -> Future[object]:
        return self._on_loop(lambda running: running.document(version))

    def store_config(self, text: str, note: str, actor: str) -> Future[int]:
        return self._on_loop(lambda running: running.store_config(text, note, actor))

    def standing(self, bot: str = "", exchange: str = "", symbol: str = "") -> Future[Standing]:
        async def look(running: Running) -> Standing:
            from engine.standing import standing

            return standing(running.engine, self.memory, bot, exchange, symbol)

        return self._on_loop(look)

    def operations(self) -> Future[Operations]:
        async def look(running: Running) -> Operations:
            from engine import paths
            from engine.operations import gather

            copies = paths.data_home() / "backups" / running.ledger_name if self._reader is not None else None
            return await gather(running, self._reader, getattr(running, "directory", None), copies)

        return self._on_loop(look)

    def bars(self, exchange: str, symbol: str, after_ts: int = -1) -> tuple[int, Sequence[Bar]]:
        running = self._running
        series = running.engine.state.market.series.get((exchange, symbol)) if running is not None else None
        tail = tuple(series.tail) if series is not None else ()  # copied in one step, while the engine appends to it
        first = bisect.bisect_right(tail, after_ts, key=lambda candle: candle.ts)
        return tail[-1].timeframe_us if tail else 0, [
            (c.ts, c.open, c.high, c.low, c.close, c.volume) for c in tail[first:]
        ]

    def trades(self) -> Sequence[TradeView]:
        with self._lock:
            return self._trips.views() if self._trips is not None else ()

    @property
    def history(self) -> History:
        if self._history is None:
            from engine.history import MemoryHistory

            self._history = MemoryHistory(lambda: self.events(0, EVENTS_KEPT_ALONE))
        return self._history

    @property
    def machine(self) -> TimeMachine:
        if self._machine is None:
            from engine.journals import MemorySource, Pairs, PgSource
            from engine.reading import Reader
            from engine.timemachine import TimeMachine

            running, reader = self._running, self._reader
            name = running.ledger_name if running is not None else ""
            if reader is not None:
                self._machine = TimeMachine(PgSource(reader), reader, name)
                return self._machine
            store = getattr(running.engine.journal, "store", None) if running is not None else None
            source = MemorySource(
                lambda: Pairs(store.pairs) if store is not None else self.events(0, EVENTS_KEPT_ALONE)
            )
            machine = TimeMachine(source, Reader(""), name)
            if running is None:
                return machine  # asked before there is an engine: there will be more to look at
            self._machine = machine
        return self._machine

    def submit(
        self, verb: Verb, *, actor: str, reason: str = "", version: int = 0, policy: str = "", target: str = ""
    ) -> Future[Outcome]:
        running = self._running
        if verb is Verb.HOLD and running is not None:
            # Seen by the very next send, whatever the loop is doing.
            running.engine.dispatch.hold = True
            self.held_mono = time.monotonic()
        if verb is Verb.HALT and not target and self._latch is not None:
            self._latch.set(actor, reason)  # needs no loop and no database
        if verb in _END_HOLD and not target:
            self.held_mono = None

        async def ask(running: Running) -> Outcome:
            from engine.commanding import Asked

            asked = Asked(verb, actor, reason, version, policy, target)
            running.engine.ask(asked)
            done, text = await asked.answer
            return Outcome(done, text)

        return self._on_loop(ask)

    def replay(self, action: str, speed: float | None = None) -> None:
        def change(pacer: Pacer) -> None:
            if action == "pause":
                pacer.pause()
            elif action == "resume":
                pacer.resume()
            else:
                pacer.set_speed(speed)

        running, loop = self._running, self._loop
        if running is not None and loop is not None and running.pacer is not None:
            loop.call_soon_threadsafe(change, running.pacer)

    def _on_loop(self, make: Callable[[Running], Coroutine[Any, Any, Any]]) -> Future[Any]:
        running, loop = self._running, self._loop
        if running is None or loop is None or loop.is_closed():
            failed: Future[Any] = Future()
            failed.set_exception(RuntimeError("the engine is not running"))
            return failed
        return asyncio.run_coroutine_threadsafe(make(running), loop)

    # -- the engine's loop --------------------------------------------------------------------------------------------

    def say(self, progress: str) -> None:
        self._progress = progress

    def guard(self, latch: Latch) -> None:
        """From here on a halt latches, even before there is an engine."""
        self._latch = latch

    def attach(self, running: Running, recent: Sequence[Recorded], equity: Mapping[str, Sequence[EquityPoint]]) -> None:
        """`equity` is what storage has of each account, by id."""
        from engine.curves import Curves
        from engine.publish import bot_name
        from engine.trips import Trips

        self._running, self._loop = running, asyncio.get_running_loop()
        self._trips = Trips(lambda bot_id: bot_name(running.engine.setup, bot_id))
        self._curves = Curves(EQUITY_KEPT)
        stored = ((point.ts, account, point) for account, points in equity.items() for point in points)
        for _, account, point in sorted(stored):
            self._curves.add(account, point)
        self._take(recent)
        with self._lock:
            self._trips.catch_up(running.engine.state.ledger)
        if running.dsn:
            with self._lock:
                self._events = deque(self._events, maxlen=EVENTS_KEPT)
            from engine.history import PgHistory
            from engine.reading import Reader

            self._reader = Reader(running.dsn)
            self._history = PgHistory(self._reader)

    def detach(self, error: str = "") -> None:
        """The engine has ended; the last picture stays, marked with why."""
        self._running = None
        if self._reader is not None:
            self._reader.close()
        self._progress = error or "the engine has stopped"
        if self._snapshot is not None:
            self._snapshot = _marked(self._snapshot, next(self._numbers), error)

    def committed(self, recorded: Sequence[Recorded]) -> None:
        self._take(recorded)

    def database(self, down_since: float | None) -> None:
        """`down_since` is time.monotonic; of two words on one outage the first counts."""
        if down_since is None or self._down_mono is None:
            self._down_mono = down_since

    def _take(self, recorded: Sequence[Recorded]) -> None:
        with self._lock:
            for one in recorded:
                self._events.append(one)
                self.memory.see(one.event)
                if self._trips is not None:
                    self._trips.see(one.event)
                if isinstance(one.event, ev.EquitySampled):
                    e = one.event
                    if self._curves is not None:
                        self._curves.add(e.portfolio_id, EquityPoint(e.ts, e.equity, e.drawdown))

    def refresh(self) -> None:
        """Build the next snapshot from the engine's state; one a second when nothing has changed, as a sign of life."""
        running = self._running
        if running is None:
            return
        now_mono = time.monotonic()
        if self._snapshot is None and running.engine.catching_up:
            # Positions at prices of long ago would look like losses.
            self._progress = f"catching up, {running.pacer.played if running.pacer else 0:,} candles played again"
            return
        change = self._changes(running)
        if change == self._shown and self._snapshot is not None:
            if now_mono - self._snapshot.beat_mono < BEAT_S:
                return
            if running.engine.clock_us is None:  # the data's time stands still: the same picture, and it lives
                self._snapshot = msgspec.structs.replace(self._snapshot, beat_mono=now_mono, lag_ms=self.lag_ms)
                return
        if running.engine.state.market.candles != self._candles:
            self._candles, self._last_input_mono = running.engine.state.market.candles, now_mono
        self._shown = change
        self._snapshot = _snapshot(running, self, next(self._numbers), now_mono)

    def _changes(self, running: Running) -> tuple[object, ...]:
        """What a picture depends on, cheap to compare."""
        engine, pacer = running.engine, running.pacer
        ledger = engine.state.ledger
        return (
            ledger.seq,
            engine.state.market.heard,
            ledger.held or engine.dispatch.hold,
            self._down_mono,
            running.feed.status,
            pacer and (pacer.state, pacer.speed),
        )

    @property
    def down_mono(self) -> float | None:
        return self._down_mono

    @property
    def last_input_mono(self) -> float:
        return self._last_input_mono

    @property
    def memory(self) -> BoardMemory:
        if self._memory is None:
            from engine.publish import BoardMemory

            self._memory = BoardMemory()
        return self._memory


def _marked(snapshot: Snapshot, number: int, error: str) -> Snapshot:
    return msgspec.structs.replace(snapshot, number=number, error=error)


def _snapshot(running: Running, client: LocalClient, number: int, now_mono: float) -> Snapshot:
    from engine import publish
    from engine.core.risk import View

    engine = running.engine
    ledger = engine.state.ledger
    now = engine.clock_us() if engine.clock_us is not None else max(ledger.now, engine.place.ts)
    return publish.snapshot(
        running.ledger_name,
        View(ledger, engine.state.market, engine.setup, now, ledger.account),
        client.memory,
        number=number,
        held=ledger.held or engine.dispatch.hold,
        feed_status=running.feed.status,
        banner=banner_of(ledger.feed),
        last_input_mono=client.last_input_mono,
        database_down_mono=client.down_mono,
        database_ms=getattr(engine.journal, "latency_ms", 0.0),
        lag_ms=client.lag_ms,
        beat_mono=now_mono,
        replay=_replay(running),
    )


def _replay(running: Running) -> ReplayView | None:
    pacer = running.pacer
    if pacer is None:
        return None
    return ReplayView(
        state=pacer.state,
        speed=pacer.speed,
        progress=pacer.progress,
        played=pacer.played,
        total=pacer.total,
        gaps=len(running.feed.gaps),
        warming=running.engine.warming and pacer.state != "ended",
    )


def banner_of(feed: str) -> str:
    """What must be said of the data at all times."""
    if feed.startswith("simulate:"):
        return "SIMULATED market - see real data: quantsail --live-data binance | --replay FILE"
    return ""
