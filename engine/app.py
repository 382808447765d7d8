"""The composition root: from options to a running engine. Only here do engine, database and feeds meet."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any, cast

import msgspec
import structlog

from db import candles, configs as config_store
from db.check import check_start
from db.connect import OPERATOR, connect
from db.database import Database
from db.journal import PgJournal
from db.outage import OutageJournal
from db.queries import Queries
from engine import paths, publish, status
from engine.client import ConfigLine, EquityPoint
from engine.core import decide, events as ev
from engine.core.canonical import decimal_text
from engine.core.config import ConfigError, default_config, parse_config
from engine.core.context import State
from engine.core.inputs import Candle, Quote
from engine.core.ledger import Ledger
from engine.core.market import TAIL_BARS, Market
from engine.core.risk import View
from engine.core.setup import Setup
from engine.core.types import Mode
from engine.dispatch import Dispatch
from engine.feeds.base import Feed, FeedInput, Pacer
from engine.feeds.ccxt_clock import ExchangeClock
from engine.genesis import genesis, new_ledger_id
from engine.halt import Latch
from engine.house import HouseWatch, Meter
from engine.keepers import HEARTBEAT_S, Keepers
from engine.local import LocalClient
from engine.naming import check_bound, default_ledger_name, one_currency, url_ledger_name
from engine.options import Options, OptionsError, make_feed
from engine.past import Past, Recording
from engine.runtime import Engine
from engine.shelf import config_lines, store_config
from engine.strategies import factories_for
from engine.venues.paper import PaperVenue

log = structlog.get_logger(__name__)

#: Data seconds a second while catching up: as fast as it goes, yet one moment at a time, so that it ends where it should.
FAST_FORWARD = 1e9


class Session:
    """One run of one ledger: boot, serve, close. `client` is told everything; it may be shown on a screen or not."""

    def __init__(
        self,
        options: Options,
        client: LocalClient,
        *,
        border: Callable[[str], None] | None = None,
        until_end: bool = False,
        max_candles: int = 0,
    ) -> None:
        self.options = options
        self.client = client
        self.until_end = until_end
        self._max_candles = max_candles
        self._history_candles = 0
        self._border = border
        self.database = Database(options.database_url, paths.data_home())
        self.ledger_name = options.ledger
        self.dsn = ""
        self.feed: Feed
        self.pacer: Pacer | None = None
        self.journal: OutageJournal | None = None
        self.engine: Engine
        self.meter: Meter | None = None
        self._why = "end of feed"
        self._stop_asked = self._serving = False
        self._notes: tuple[str, ...] = ()
        self.kept: deque[Candle | Quote] = deque(maxlen=20_000)  # live bars and quotes on their way to the database

    # -- boot ---------------------------------------------------------------------------------------------------------

    async def boot(self) -> None:
        """Feed, database, journal, ledger, engine. Raises what the parts raise, each a one-line error; leaves nothing open."""
        try:
            await self._boot()
        except BaseException as error:
            if self.journal is not None:
                await self.journal.close(f"did not start: {type(error).__name__}")
            await asyncio.to_thread(self.database.close)
            raise

    async def _boot(self) -> None:
        self.client.say("reading the data")
        self.feed, self.pacer, mode = await asyncio.to_thread(make_feed, self.options)
        currency = one_currency(self.feed)
        if self.options.database_url:
            self.ledger_name = url_ledger_name(self.options.database_url)
        self.ledger_name = self.ledger_name or default_ledger_name(self.feed, self.options.seed)
        directory = self.directory = paths.ledger_dir(self.ledger_name)
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise OptionsError(f"{directory}: {error.strerror}; set XDG_DATA_HOME to a folder you may write") from error
        latch = Latch(directory)
        self.client.guard(latch)
        self.client.say("starting the database")
        self.dsn = await self.database.open(self.ledger_name)
        self._notes = await check_start(self.dsn, live=mode is Mode.LIVE)
        for said in self._notes:
            log.warning("schema.check", said=said)
        self.client.say("opening the journal")
        inner = PgJournal(self.dsn, ledger_dir=directory, ensure=self._ensure, instruments=self.feed.instruments)
        journal = self.journal = OutageJournal(inner, self._outage)
        opening = await journal.open()
        first: list[ev.Event] = []
        if opening.ledger.seq == 0:
            first, setup = await self._genesis(mode, currency)
        else:
            bound = (self.ledger_name, self.feed, mode, self.options.seed, self.options.ledger)
            check_bound(opening.ledger, *bound, by_url=bool(self.options.database_url))
            setup = await self._active_setup(opening.ledger)
        self.client.say("warming the indicators")
        market = Market(self.feed.instruments, TAIL_BARS)
        market.arm(setup)
        state = State(opening.ledger, market)
        live = self.pacer is None
        self.engine = Engine(
            state=state,
            setup=setup,
            journal=journal,
            dispatch=Dispatch(PaperVenue(self.feed.instruments, setup.costs), latch, opening.ledger),
            load_config=self._load_config,
            observer=self.client,
            clock_us=(lambda: time.time_ns() // 1_000) if live else None,
            border=self._border,
        )
        if first:
            await self.engine.open_ledger(first)
        await self._warm(state, setup)
        if live:
            self.meter = self._watched(journal, state.ledger)
            self.engine.watch = self.meter.look
        self._history_candles = market.candles
        self.client.attach(self, opening.recent, await self._equity_history())
        await self.engine.start()
        journal.keeps = live
        status.write_facts(directory, state.ledger)

    def _outage(self, down_since: float | None) -> None:
        self.client.database(down_since)
        self.engine.dispatch.unrecorded = down_since is not None

    def _watched(self, journal: OutageJournal, ledger: Ledger) -> Meter:
        """The watch over the house, from what the ledger knows of it."""
        clock: ExchangeClock | None = getattr(self.feed, "clock", None)
        watch = HouseWatch(ledger.house, time.monotonic)
        return Meter(watch, journal, self.directory, lambda: 0 if clock is None else clock.skew_ms, HEARTBEAT_S)

    def _ensure(self) -> None:
        """The writer has no connection: bring the embedded server back if it died, and say so meanwhile and afterwards."""
        opened = self.journal is not None and self.journal.epoch > 0
        lost = opened and self.database.server is not None and self.client.down_mono is None
        if lost:
            self.client.database(time.monotonic())
        if self.database.ensure():
            log.warning("database.restarted")
        if lost:
            self.client.database(None)

    async def _warm(self, state: State, setup: Setup) -> None:
        """Indicators start from the feed's past; live, only from what was decided before: the rest is played."""
        cursor = state.ledger.cursor
        known = cursor.ts if self.pacer is None and cursor is not None and cursor.ts else None
        live = self.pacer is None
        source = partial(candles.earlier, self.dsn) if live else cast(Recording, self.feed)
        self.engine.past = Past(source, self.feed.timeframe_us)
        if live:
            self.client.say(f"asking {self.options.live_data} for its last bars")
        bars = max((bot.make(self.feed.timeframe_us).warmup_bars for bot in setup.bots), default=0)
        for candle in await self.feed.history(min(bars, TAIL_BARS) if live else bars):
            if known is None or candle.ts < known:
                decide.warm(state, candle)
        if live and bars > TAIL_BARS:
            await self.engine.past(state.market, setup)
            state.market.arm(setup)
            state.market.forget_past()

    async def _genesis(self, mode: Mode, currency: str) -> tuple[list[ev.Event], Setup]:
        """The first two events: the ledger is bound for ever, and trades by its newest config, or by the default one."""
        ledger_id = new_ledger_id(self.options.seed)
        conn = await connect(self.dsn)
        try:
            known = await config_store.list(conn)
            if known:
                document, _ = await config_store.get(conn, known[0].version)
                config = parse_config(document)
                setup = Setup(config, ledger_id, known[0].version, factories_for(config))
                if why_not := setup.untradable(self.feed.instruments):
                    raise ConfigError("$.bots", f"{why_not} (config {setup.version}; store another with `config new`)")
            else:
                setup = Setup(default_config(), ledger_id, 1)
                await config_store.new(
                    conn, setup.text, setup.sha256, "quantsail", "default: trades whatever the feed offers"
                )
        finally:
            await conn.close()
        events = genesis(
            setup,
            ledger_id,
            mode=mode,
            feed=self.feed.identity,
            seed=self.options.seed,
            currency=currency,
            balance=self.options.balance,
        )
        return events, setup

    async def _active_setup(self, ledger: Ledger) -> Setup:
        document, sha256 = await self._load_config(ledger.config_version)
        config = parse_config(document)
        setup = Setup(config, ledger.ledger_id, ledger.config_version, factories_for(config))
        if setup.sha256 != ledger.config_sha256 or sha256 != ledger.config_sha256:
            raise config_store.ConfigTampered(
                f"config {ledger.config_version} is not what the journal activated; run `quantsail audit verify`"
            )
        return setup

    async def _load_config(self, version: int) -> tuple[object, str]:
        conn = await connect(self.dsn)
        try:
            return await config_store.get(conn, version)
        finally:
            await conn.close()

    async def document(self, version: int) -> object:
        """A version as it was stored."""
        return (await self._load_config(version))[0]

    async def store_config(self, text: str, note: str, actor: str) -> int:
        """The next version, by an operator; checked as `config new` does. Raises ConfigError, StrategyError, ConfigStoreError."""
        return await store_config(self.dsn, self.directory, text, note, actor)

    async def configs(self) -> Sequence[ConfigLine]:
        """The versions, each with its difference to the active one, and why it cannot be activated."""
        conn = await self._reader()
        try:
            return await config_lines(conn, msgspec.json.decode(self.engine.setup.text))
        finally:
            await conn.close()

    async def _equity_history(self) -> dict[str, list[EquityPoint]]:
        conn = await self._reader()
        try:
            return {
                one.portfolio_id: [EquityPoint(*row) for row in await Queries(conn).equity(account=one.name)]
                for one in self.engine.state.ledger.accounts.values()
            }
        finally:
            await conn.close()

    async def _reader(self) -> Any:
        """What the cockpit shows is read as the operator, not as the engine."""
        return await connect(self.dsn, "qs_view", user=OPERATOR, name="quantsail cockpit")

    # -- serve --------------------------------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Run until the feed ends (with `until_end`), or until `stop`; then close. Errors stop the engine: fail closed."""
        self._serving = True
        self.engine.stopping = self._stop_asked
        keepers = Keepers(self)
        keepers.start()
        why = "error"
        try:
            await self._play()
            why = self._why
        finally:
            await keepers.stop()
            self.client.refresh()
            await self._close(why)

    async def _play(self) -> None:
        engine = self.engine
        start_after = None
        if self.pacer is None:  # live: from the cursor's own moment on, or from the end of the history
            cursor, series = engine.state.ledger.cursor, engine.state.market.series.values()
            start_after = (
                cursor.ts - 1
                if cursor is not None and cursor.ts
                else max((s.close_ts for s in series if s.close_ts >= 0), default=None)
            )
        await engine.feed(self._played(self.feed.batches(start_after)))
        await engine.flush()
        if self.until_end or self._max_candles:
            return
        while not engine.stopping:
            engine.wake.clear()
            await engine.idle()
            await engine.wake.wait()

    async def _played(self, batches: AsyncIterator[Sequence[FeedInput]]) -> AsyncIterator[Sequence[FeedInput]]:
        """The feed at the speed that was asked for, once the past is behind us, and at most `max_candles` of it."""
        left = self._max_candles
        if self.pacer is not None and self.options.speed is not None:
            self.pacer.set_speed(FAST_FORWARD)
        async for batch in batches:
            if self.pacer is None:
                self.kept.extend(value for value in batch if isinstance(value, Candle | Quote))
            if self._max_candles:
                batch = batch[: _position_after(batch, left)]
                left -= sum(type(value) is Candle for value in batch)
            yield batch
            if self._max_candles and left <= 0:
                return
            if self.pacer is not None and self.pacer.speed == FAST_FORWARD and not self.engine.warming:
                self.pacer.set_speed(self.options.speed)

    def result(self) -> dict[str, Any]:
        """What `run --json` prints: counts since genesis, money as strings, and the hash that two equal runs share."""
        ledger, market = self.engine.state.ledger, self.engine.state.market
        view = View(ledger, market, self.engine.setup, ledger.now, ledger.account)
        return {
            "ledger": self.ledger_name,
            "ledger_id": ledger.ledger_id,
            "mode": ledger.mode,
            "feed": ledger.feed,
            "candles": market.candles - self._history_candles,
            "events": ledger.seq,
            "signals": ledger.counts.signals,
            "orders": ledger.counts.orders,
            "denied": ledger.counts.denied,
            "fills": ledger.counts.fills,
            "trades": ledger.counts.trades,
            "equity": decimal_text(view.equity()),
            "cash": decimal_text(ledger.account.cash),
            "currency": ledger.base_currency,
            "state": ledger.state,
            "config_version": ledger.config_version,
            "gaps": len(self.feed.gaps),
            "notes": [*self._notes, *publish.never_traded(market, self.engine.setup, ledger)],
            "state_hash": ledger.state_hash(),
        }

    def stop(self, why: str) -> None:
        """Ask for a safe stop, from the engine's loop: what is decided is committed, protective orders stay.

        Asked while the engine still starts, it takes hold as soon as it has started.
        """
        self._why = why
        self._stop_asked = True
        if self._serving:
            self.engine.stopping = True
            self.engine.wake.set()

    async def _close(self, why: str) -> None:
        try:
            await self.engine.stop(why)
        finally:
            # Only now: while the journal is ours, commands of others must still come to us.
            with contextlib.suppress(OSError):
                status.write(self.directory, self.client.snapshot(), running=False)
            await self.feed.close()
            await asyncio.to_thread(self.database.close)


def _position_after(batch: Sequence[FeedInput], candles: int) -> int:
    """Index behind the `candles`-th candle of a batch and what belongs to its moment (its tick)."""
    seen = 0
    for index, value in enumerate(batch):
        if type(value) is Candle:
            if seen == candles:
                return index
            seen += 1
    return len(batch)
