"""The loop: input -> decide -> events -> commit -> act. One engine, one task, one writer.

Inputs whose events have no effect share a transaction; a batch ends at the first event that has one: it is committed and
acted upon before the next input is decided (architecture.md, Batches). So a fast replay does not pay a commit per candle,
and no result depends on the size of a batch. What is published has been committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Protocol, cast

import msgspec
import structlog

from engine.activation import LoadConfig
from engine.commanding import Asked, Commands
from engine.core import decide, events as ev
from engine.core.books import House
from engine.core.context import State, begin
from engine.core.inputs import (
    GENESIS,
    MARKET_INPUTS,
    Candle,
    Cause,
    Command,
    Funding,
    HouseReport,
    Input,
    MarketInput,
    Tick,
)
from engine.core.market import Market
from engine.core.setup import Setup
from engine.core.types import HALTED, Verb
from engine.dispatch import Dispatch
from engine.ports import Journal, JournalUnavailable

log = structlog.get_logger(__name__)

#: Events that wait for a commit at most; more would make the screen late, fewer would make a replay slow.
BATCH_EVENTS = 500
#: Seconds between two attempts to reach a lost database.
RETRY_S = 0.5
#: Seconds that the next inputs may take before what waits for a commit is committed without them; at full speed they do not.
GRACE_S = 0.05
#: Seconds between two ticks of a live feed.
TICK_S = 1.0

Taken = Candle | MarketInput | Tick

Batches = AsyncIterator[Sequence[Taken]]


class Observer(Protocol):
    """Who is told of what has happened: the cockpit's client. Called on the engine's loop; must return at once."""

    def committed(self, recorded: Sequence[ev.Recorded]) -> None: ...

    def database(self, down_since: float | None) -> None: ...


class Engine:
    """Owns ledger and market from `start` to `stop`. Everything runs on one event loop; `ask` is its only door."""

    def __init__(
        self,
        *,
        state: State,
        setup: Setup,
        journal: Journal,
        dispatch: Dispatch,
        load_config: LoadConfig,
        observer: Observer | None = None,
        clock_us: Callable[[], int] | None = None,
        border: Callable[[str], None] | None = None,  # told where a crash would leave the engine (tests)
    ) -> None:
        self.state = state
        self.setup = setup
        self.journal = journal
        self.dispatch = dispatch
        self.load_config = load_config
        self.observer = observer
        self.clock_us = clock_us  # None: time is the data's (replay, simulation)
        self._border = border
        self._pending: list[ev.Numbered] = []
        self._unacted: list[ev.Event] = []
        self.commands = Commands(self)
        self.wake = asyncio.Event()
        self._last: Taken | Cause = state.ledger.cursor or GENESIS
        self.watch: Callable[[], House | None] | None = None  # what has changed of the house, asked each live second
        self.past: Callable[[Market, Setup], Awaitable[None]] | None = None  # see engine.past
        self._ticked_s = 0.0
        self.down_since: float | None = None
        self._stopping = False
        self._attention = True  # something may stand before the next input (`_attend`)
        self._decided: tuple[int, int, str, str, int] | None = None
        self._recovered = False

    # -- the ways in --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Recovery, which is the ordinary start: the venue becomes what the ledger says, latches and holds count.

        Answers to open intents wait for `recover`: what they bring about needs prices, and those are warmed first.
        """
        ledger = self.state.ledger
        self.dispatch.venue.restore(ledger)
        latched = self.dispatch.latch.read()
        if latched is not None and ledger.state is not HALTED:
            await self.commands.obey(
                Asked(Verb.HALT, latched.actor, latched.reason, policy=self.setup.account.halt_policy)
            )
        elif latched is None and ledger.state is HALTED:
            self.dispatch.latch.set(ledger.state_actor, ledger.state_reason)
        if ledger.held:  # a hold that nobody answered is a pause, never a release (decisions.md 15)
            await self.commands.obey(Asked(Verb.PAUSE, "engine", "the hold was not answered before the engine ended"))
            if ledger.held:
                await self.commands.obey(Asked(Verb.RELEASE, "engine"))
        await self.flush()

    async def open_ledger(self, genesis: Sequence[ev.Event]) -> None:
        """Journal the first events of a fresh ledger."""
        ctx = begin(self.state, self.setup, genesis[0].ts, genesis[0].cause)
        self.keep(decide.apply(ctx, list(genesis)))
        await self.flush()

    async def feed(self, batches: Batches) -> None:
        """Take in a feed to its end, serving commands meanwhile. Returns early when `stopping` is set."""
        cursor = self.state.ledger.cursor
        self._decided = cursor.place if cursor is not None else None
        self._ticked_s = asyncio.get_running_loop().time()
        self._attention = True
        if self.clock_us is not None:
            await self.recover()  # a live feed warms the market before it is played
        iterator = aiter(batches)
        while not self.stopping:
            batch = await self._next(iterator)
            if batch is None:
                self._decided = None
                await self.recover()
                return
            await self.play(batch)
            if self.clock_us is not None:
                await self.flush()

    async def recover(self) -> None:
        """Take in the venue's answers to intents that had none when the last run ended."""
        self._recovered = True
        if self._take_answers():
            await self.commit_and_act()

    async def _next(self, iterator: Batches) -> Sequence[Taken] | None:
        """The next batch, None at the end. While it is awaited, commands are served, and what is decided is committed:
        a screen sees committed events only. Live, each second is a tick."""
        pull = asyncio.ensure_future(_pull(iterator))
        patience_s: float | None = GRACE_S
        try:
            while True:
                waker = asyncio.ensure_future(self.wake.wait())
                done, _ = await asyncio.wait({pull, waker}, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
                waker.cancel()
                self.wake.clear()
                await self.commands.serve()
                if self.stopping:
                    return None
                if pull.done():
                    if asyncio.get_running_loop().time() - self._ticked_s >= TICK_S:
                        await self.tick()  # a feed that never pauses does not stop the clock
                    return pull.result()
                if not done:
                    if patience_s == TICK_S:
                        await self.tick()
                    patience_s = TICK_S if self.clock_us is not None else None
                await (
                    self.flush()
                )  # also behind a command: what a halt has cancelled is told at once, not with the next bar
        finally:
            pull.cancel()

    def _was_decided(self, value: Taken) -> bool:
        """Inputs at or before the ledger's cursor only warm the market (decisions.md 5)."""
        is_market = isinstance(value, MARKET_INPUTS)
        if self._decided is None or (is_market and self.clock_us is not None):
            return False
        if value.cause.place <= self._decided:
            decide.warm(self.state, value)
            if not isinstance(value, Tick):
                self.dispatch.venue.warm(value)
            return True
        self._decided = None
        return False

    async def obey(self, command: Command) -> None:
        """A command that nobody waits for: the last word of a backtest."""
        await self._apply(command)

    async def tick(self) -> None:
        """A live second; replays bring their own ticks."""
        if self.clock_us is None:
            return
        self._ticked_s = asyncio.get_running_loop().time()
        ts = max(self.clock_us(), self.state.ledger.now)
        if self.watch is not None and (house := self.watch()) is not None:
            cause = self.place.answered("house", ts)
            await self._apply(HouseReport(ts=ts, cause=cause, **msgspec.structs.asdict(house)))
        await self._apply(Tick(ts=ts, after=self.place))

    async def play(self, values: Iterable[Taken]) -> None:
        """Market inputs in order: what the venue makes of each, then what we do. Most bring about nothing, so this loop is
        the path of every bar: no call that it can do without."""
        state, on_candle, on_bar = self.state, self.dispatch.venue.on_candle, decide.on_candle
        setup, by_bars = self.setup, self.setup.bars
        for value in values:
            if self._attention:
                if await self._attend(value):
                    continue
                setup, by_bars = self.setup, self.setup.bars
            if type(value) is Candle:
                for report in on_candle(value):
                    await self._apply(report)
                self._last = value
                events = on_bar(state, value, setup)
                if not events and not by_bars:
                    continue
            elif type(value) is Tick:
                self._last = value
                if value.ts < state.quiet_until:
                    continue
                events = decide.on_tick(state, value, setup)
            else:
                after = value.cause if self.clock_us is None else self.place
                report = None
                for report in self.dispatch.venue.on_market(cast(MarketInput, value), after):
                    await self._apply(report)
                if report is not None:
                    await self.flush()  # what was said of an input is committed with it: it is not taken again
                if type(value) is Funding and self.clock_us is not None:
                    value = msgspec.structs.replace(value, after=self.place)
                events = decide.step(state, value, setup)
            if events and self.keep(events):
                await self.commit_and_act()
            if by_bars and type(value) is Candle:
                await self.recover()  # convention `bar`: the venue tries what rests once the core has had its say

    async def _attend(self, value: Taken) -> bool:
        """What may stand before an input: commands, the end, the past. True when the input is not to be played."""
        if self.commands.queue:
            await self.commands.serve()
        if not self.stopping and not (self._decided is not None and self._was_decided(value)):
            if not self._recovered:
                await self.recover()
            self._attention = bool(self.commands.queue) or self._decided is not None
            return False
        return True

    @property
    def stopping(self) -> bool:
        """No further input is played."""
        return self._stopping

    @stopping.setter
    def stopping(self, value: bool) -> None:
        self._stopping = value
        self._attention = True

    @property
    def waiting(self) -> int:
        """How many events are decided and not committed yet."""
        return len(self._pending)

    @property
    def place(self) -> Cause:
        """The cause of the last bar or tick: what follows from it stands right behind."""
        last = self._last
        return last if isinstance(last, Cause) else last.cause

    @property
    def catching_up(self) -> bool:
        """Its own past is played again to warm the market: prices are old ones, and nothing is decided by them."""
        return self._decided is not None and self.clock_us is None

    @property
    def warming(self) -> bool:
        """Still catching up with its own past, or with indicators that have too few bars."""
        return self._decided is not None or any(b.status == "WARMING_UP" for b in self.state.ledger.bots.values())

    @property
    def changing_state(self) -> bool:
        """A change of the trading state is decided, and not yet committed and acted upon."""
        return any(isinstance(event, ev.TradingStateChanged) for event in self._unacted)

    def ask(self, asked: Asked) -> None:
        """Put a command before everything else; its answer is (done, one line)."""
        self.commands.queue.append(asked)
        self._attention = True
        self.wake.set()

    async def idle(self) -> None:
        """Serve commands when no feed is running (the end of a replay, a short-lived writer)."""
        if self.commands.queue:
            await self.commands.serve()
        await self.flush()

    async def stop(self, why: str) -> None:
        """Commit what is decided; protective orders stay where they are."""
        await self.flush()
        await self.journal.close(why)

    # -- deciding -----------------------------------------------------------------------------------------------------

    async def _apply(self, value: Input) -> None:
        events = decide.step(self.state, value, self.setup)
        if events and self.keep(events):
            await self.commit_and_act()

    def keep(self, events: Sequence[ev.Event]) -> bool:
        """Queue events for the journal; True when one of them must be acted upon, or the batch is full."""
        self._pending += enumerate(events)
        for event in events:
            if event.effect:
                self._unacted.append(event)
        return bool(self._unacted) or len(self._pending) >= BATCH_EVENTS

    async def commit_and_act(self) -> None:
        """The border of the promise: what is acted upon has been committed, in order, once."""
        ledger, act, border = self.state.ledger, self.dispatch.act, self._border
        while True:
            await self._commit()
            if border is not None:
                border("committed")
            acting, self._unacted = self._unacted, []
            for event in acting:
                act(ledger, event)
                if border is not None:
                    border("acted")
            if not self._take_answers():
                return

    def _take_answers(self) -> bool:
        """Decide on the venue's answers up to the first that has an effect; True when there is something to commit now."""
        answer, state, setup = self.dispatch.answer, self.state, self.setup
        while (report := answer()) is not None:
            events = decide.step(state, report, setup)
            if events and self.keep(events):
                return True
        return False

    async def flush(self) -> None:
        while self._pending:
            await self.commit_and_act()

    async def _commit(self) -> None:
        """Append the batch, for as long as it takes: without the journal nothing is decided and nothing is sent."""
        ledger = self.state.ledger
        batch = self._pending
        if self._border is not None:
            self._border("deciding")
        while True:
            try:
                recorded = await self.journal.append(ledger.seq, batch, ledger)
                break
            except JournalUnavailable as error:
                if self.stopping:
                    raise  # what was not committed was not acted upon: leaving it is safe
                self._database_is_down(error)
                await self._serve_while_down()
        if self.down_since is not None:
            self._database_is_back(self.down_since)
        ledger.seq += len(batch)
        self._pending = []
        if self.observer is not None:
            self.observer.committed(recorded)

    def _database_is_down(self, error: JournalUnavailable) -> None:
        if self.down_since is not None:
            return
        self.down_since = asyncio.get_running_loop().time()
        log.error("database.down", reason=str(error))
        if self.observer:
            self.observer.database(self.down_since)

    def _database_is_back(self, down_since: float) -> None:
        log.warning("database.back", down_s=round(asyncio.get_running_loop().time() - down_since, 1))
        self.down_since = None
        if self.observer is not None:
            self.observer.database(None)

    async def _serve_while_down(self) -> None:
        self.commands.latch()
        await asyncio.sleep(RETRY_S)


async def _pull(iterator: Batches) -> Sequence[Taken] | None:
    return await anext(iterator, None)
