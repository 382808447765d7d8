"""A real engine on the journal in memory, played as fast as it goes: for pictures and for measuring the core alone.

Nothing here reads a wall clock: time is the data's, so the same seed gives the same journal, and the same picture.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from db.memory import MemoryJournal
from engine.client import WHOLE, Bar, ConfigLine, EquityPoint, Outcome, Snapshot, TradeView
from engine.config_diff import diff
from engine.core import decide
from engine.core.config import Config
from engine.core.context import State
from engine.core.events import Recorded
from engine.core.inputs import Candle
from engine.core.market import TAIL_BARS, Market
from engine.core.setup import Setup
from engine.core.types import MINUTE_US, Mode, Verb
from engine.dispatch import Dispatch
from engine.feeds.base import Feed, FeedInput, Pacer, PullFeed
from engine.genesis import genesis, new_ledger_id
from engine.halt import Latch
from engine.history import History
from engine.local import LocalClient
from engine.naming import default_ledger_name, one_currency
from engine.operations import Operations
from engine.runtime import Asked, Engine
from engine.standing import Standing
from engine.timemachine import TimeMachine
from engine.venues.paper import PaperVenue

#: What a picture says of times that no picture can know.
STILL_LAG_MS, STILL_DATABASE_MS = 0.4, 1.6
BALANCE = Decimal(10_000)


class Stage:
    """One ledger from genesis: `play` some candles, `ask` for commands. `configs` are (config, note), the first one active.

    Implements `engine.local.Running`, so that a LocalClient shows it as it shows every other engine.
    """

    dsn = ""

    def __init__(
        self,
        feed: PullFeed,
        pacer: Pacer,
        directory: Path,
        configs: Sequence[tuple[Config, str]],
        *,
        seed: int,
        mode: Mode = Mode.SIM,
    ) -> None:
        self.feed: Feed = feed
        self.pacer: Pacer | None = pacer
        self.client = LocalClient()
        self.engine: Engine
        self.journal = MemoryJournal()
        self.ledger_name = default_ledger_name(feed, None)
        self._pacer = pacer
        self._directory = directory
        self._ledger_id = new_ledger_id(seed)
        self._setups = [Setup(config, self._ledger_id, n) for n, (config, _) in enumerate(configs, start=1)]
        self._notes = [note for _, note in configs]
        self._seed, self._mode = seed, mode
        self._inputs = feed.chunks()
        self._left: list[FeedInput] = []
        self._activated = {1: feed.first_ts or 0}

    async def open(self, *, watched: bool = True) -> None:
        """Genesis, warm-up, start. With `watched` the client is told everything."""
        setup = self._setups[0]
        opening = await self.journal.open()
        market = Market(self.feed.instruments, TAIL_BARS)
        market.arm(setup)
        self.engine = Engine(
            state=State(opening.ledger, market),
            setup=setup,
            journal=self.journal,
            dispatch=Dispatch(PaperVenue(self.feed.instruments, setup.costs), Latch(self._directory), opening.ledger),
            load_config=self._load_config,
            observer=self.client if watched else None,
        )
        first = genesis(
            setup,
            self._ledger_id,
            mode=self._mode,
            feed=self.feed.identity,
            seed=self._seed,
            currency=one_currency(self.feed),
            balance=BALANCE,
        )
        await self.engine.open_ledger(first)
        for candle in await self.feed.history(max(bot.make().warmup_bars for bot in setup.bots)):
            decide.warm(self.engine.state, candle)
        self.client.attach(self, opening.recent, {})
        await self.engine.start()

    async def _load_config(self, version: int) -> tuple[object, str]:
        setup = self._setups[version - 1]
        return msgspec.json.decode(setup.text), setup.sha256

    async def play(self, candles: int) -> None:
        """Feed the next `candles` candles, whole minutes: the last minute is played to its tick."""
        await self.engine.feed(self._next(candles))
        await self.engine.flush()

    async def _next(self, candles: int) -> AsyncIterator[Sequence[FeedInput]]:
        """Whole minutes, so that nothing is decided twice when the next part is played."""
        left = candles
        while left > 0:
            batch = self._left or next(self._inputs, [])
            if not batch:
                return
            end = _minute_end(batch, left)
            part, self._left = batch[:end], batch[end:]
            played = sum(type(value) is Candle for value in part)
            left -= played
            self._pacer.played += played
            yield part

    async def ask(self, verb: Verb, actor: str, reason: str = "", version: int = 0) -> None:
        """A command, answered before this returns."""
        asked = Asked(verb, actor, reason, version)
        self.engine.ask(asked)
        await self.engine.idle()
        await asked.answer
        if verb is Verb.ACTIVATE_CONFIG:
            self._activated[version] = self._now()

    def _now(self) -> int:
        return max(self.engine.place.ts, self.feed.first_ts or 0)

    async def answer(self) -> None:
        """Serve the commands that a screen has asked for, as an engine does whose data waits, and publish."""
        await self.engine.idle()
        self.client.refresh()

    async def configs(self) -> Sequence[ConfigLine]:
        active = self.engine.setup
        before = msgspec.json.decode(active.text)
        return [
            ConfigLine(
                version=setup.version,
                sha256=setup.sha256,
                actor="quantsail" if setup.version == 1 else "ada",
                note=self._notes[setup.version - 1],
                created_ts=self._activated.get(setup.version, self._now()) - (9 - setup.version) * MINUTE_US,
                activated_ts=self._activated.get(setup.version),
                is_active=setup.version == active.version,
                diff=diff(before, msgspec.json.decode(setup.text)),
                problem="",
            )
            for setup in reversed(self._setups)
        ]


def _minute_end(batch: Sequence[FeedInput], candles: int) -> int:
    """Index behind the first tick at or after the `candles`-th candle; the whole batch without one."""
    seen = 0
    for index, value in enumerate(batch, start=1):
        if type(value) is Candle:
            seen += 1
        elif seen >= candles:
            return index
    return len(batch)


class StageClock:
    """A monotonic clock, in seconds, that moves when told."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class StillClient:
    """An EngineClient on the stage's clock: every age, lag and latency of a snapshot is the same in every run."""

    def __init__(self, inner: LocalClient, clock: StageClock) -> None:
        self._inner = inner
        self._clock = clock

    def snapshot(self) -> Snapshot | None:
        snapshot = self._inner.snapshot()
        if snapshot is None:
            return None
        return msgspec.structs.replace(
            snapshot,
            last_input_mono=self._clock(),
            beat_mono=self._clock(),
            lag_ms=STILL_LAG_MS,
            database_ms=STILL_DATABASE_MS,
        )

    def progress(self) -> str:
        return self._inner.progress()

    def events(self, after_seq: int, limit: int = 1_000) -> Sequence[Recorded]:
        return self._inner.events(after_seq, limit)

    def equity(self, account: str = WHOLE) -> Sequence[EquityPoint]:
        return self._inner.equity(account)

    def configs(self) -> Future[Sequence[ConfigLine]]:
        return self._inner.configs()

    def bars(self, exchange: str, symbol: str, after_ts: int = -1) -> tuple[int, Sequence[Bar]]:
        return self._inner.bars(exchange, symbol, after_ts)

    def trades(self) -> Sequence[TradeView]:
        return self._inner.trades()

    def standing(self, bot: str = "", exchange: str = "", symbol: str = "") -> Future[Standing]:
        return self._inner.standing(bot, exchange, symbol)

    def operations(self) -> Future[Operations]:
        return self._inner.operations()

    @property
    def history(self) -> History:
        return self._inner.history

    @property
    def machine(self) -> TimeMachine:
        return self._inner.machine

    def submit(
        self, verb: Verb, *, actor: str, reason: str = "", version: int = 0, policy: str = "", target: str = ""
    ) -> Future[Outcome]:
        return self._inner.submit(verb, actor=actor, reason=reason, version=version, policy=policy, target=target)

    def replay(self, action: str, speed: float | None = None) -> None:
        self._inner.replay(action, speed)


async def simulated(seed: int, directory: Path, configs: Sequence[tuple[Config, str]]) -> Stage:
    """An open stage over the simulated market of `seed`."""
    from engine.feeds.simulated import SimulatedFeed

    pacer = Pacer(None)
    feed = await asyncio.to_thread(SimulatedFeed, seed, None, pacer)
    stage = Stage(feed, pacer, directory, configs, seed=seed)
    await stage.open()
    return stage


def scratch() -> Any:
    """A folder for latches, gone afterwards. A context manager."""
    return tempfile.TemporaryDirectory(prefix="quantsail-stage-")
