"""A small world for tests of the core: one symbol, one bot, an engine on the journal in memory and the paper venue."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from db.memory import MemoryJournal, MemoryStore
from engine.commanding import Asked
from engine.core import events as ev
from engine.core.config import Config, parse_config
from engine.core.context import State
from engine.core.inputs import PHASE_AFTER, Candle, Cause, Tick
from engine.core.ledger import restore
from engine.core.market import Market
from engine.core.setup import Setup
from engine.core.types import MINUTE_US, Instrument, InstrumentKind, MarginTier, Mode, Verb
from engine.dispatch import Dispatch
from engine.halt import Latch
from engine.runtime import Engine
from engine.venues.paper import PaperVenue

D = Decimal
LEDGER_ID = "00000000-0000-7000-8000-000000000001"
START = 1_735_689_600_000_000  # 2025-01-01T00:00:00Z
BTC = Instrument(
    exchange="test",
    symbol="BTC/USDT",
    base="BTC",
    quote="USDT",
    tick_size=D("0.01"),
    lot_size=D("0.00001"),
    min_notional=D(5),
)
#: A perpetual future on BTC with two steps of maintenance margin.
PERP = Instrument(
    exchange="test",
    symbol="BTC/USDT:USDT",
    base="BTC",
    quote="USDT",
    tick_size=D("0.01"),
    lot_size=D("0.001"),
    min_notional=D(5),
    kind=InstrumentKind.LINEAR,
    margin_tiers=(
        MarginTier(floor=D(0), cap=D(50_000), maintenance_rate=D("0.004"), cum=D(0), max_leverage=D(125)),
        MarginTier(floor=D(50_000), cap=None, maintenance_rate=D("0.005"), cum=D(50), max_leverage=D(50)),
    ),
)
ETH = Instrument(
    exchange="test",
    symbol="ETH/USDT",
    base="ETH",
    quote="USDT",
    tick_size=D("0.01"),
    lot_size=D("0.0001"),
    min_notional=D(5),
)

#: Enters when a bar closes above 100 and above its open, leaves when one closes below 50: tests drive it with prices.
RULES: dict[str, Any] = {
    "schema": 1,
    "entry_long": {
        "op": "all",
        "of": [{"op": "gt", "left": "close", "right": 100}, {"op": "gt", "left": "close", "right": "open"}],
    },
    "exit_long": {"op": "lt", "left": "close", "right": 50},
}


def config(**changes: Any) -> Config:
    """A config without costs; `bot`, `account`, `costs` replace parts."""
    bot = {
        "name": "probe",
        "strategy": RULES,
        "sizing": {"kind": "fixed_quantity", "value": "1"},
        "exits": {"stop_loss_pct": "2", "take_profit_pct": "4", "trailing": None},
    } | changes.pop("bot", {})
    costs = {"maker_bps": "0", "taker_bps": "0", "slippage_bps": "0"} | changes.pop("costs", {})
    account = {"limits": {"daily_loss_pct": {}, "max_drawdown_pct": {}}} | changes.pop("account", {})
    return parse_config({"schema": 1, "bots": [bot], "costs": costs, "account": account, **changes})


class World:
    """An engine and the bars it is fed. `events` are those decided since the last look."""

    def __init__(
        self,
        directory: Path,
        conf: Config | None = None,
        *,
        store: MemoryStore | None = None,
        instruments: tuple[Instrument, ...] = (BTC,),
        balance: Decimal = D(10_000),
        border: Any = None,
        factories: Any = None,
    ) -> None:
        self.factories = factories or {}
        self.directory = directory
        self.config = conf or config()
        self.store = store or MemoryStore()
        self.instruments = instruments
        self.balance = balance
        self.border = border
        self.through_snapshot = False
        self.bar = 0
        self.engine: Engine
        self._seen = 0

    async def open(self) -> World:
        self.journal = MemoryJournal(self.store)
        opening = await self.journal.open()
        ledger = restore(opening.ledger.snapshot()) if self.through_snapshot else opening.ledger
        setup = Setup(self.config, LEDGER_ID, 1, self.factories)
        market = Market(self.instruments, 1_000)
        market.arm(setup)
        latch = Latch(self.directory)
        self.engine = Engine(
            state=State(ledger, market),
            setup=setup,
            journal=self.journal,
            dispatch=Dispatch(PaperVenue(self.instruments, setup.costs), latch, ledger),
            load_config=self._load,
            border=self.border,
        )
        if ledger.seq == 0:
            await self.engine.open_ledger(genesis(setup, self.balance))
        await self.engine.start()
        return self

    async def _load(self, version: int) -> tuple[object, str]:
        raise LookupError(f"there is no config {version}")

    @property
    def ledger(self) -> Any:
        return self.engine.state.ledger

    async def candle(
        self, o: float, h: float, low: float, c: float, *, symbol: str = "BTC/USDT", late_s: int = 0, tick: bool = True
    ) -> list[ev.Event]:
        """Feed the next one-minute bar and its tick; returns the events since the last call."""
        if tick:
            self.bar += 1
        ts = START + self.bar * MINUTE_US
        candle = Candle(
            ts=ts,
            exchange="test",
            symbol=symbol,
            timeframe_us=MINUTE_US,
            open=o,
            high=h,
            low=low,
            close=c,
            volume=1.0,
            received_ts=ts + late_s * 1_000_000,
        )
        await self.engine.play([candle, Tick(ts=ts)] if tick else [candle])
        return await self.news()

    async def command(self, verb: Verb, reason: str = "", **more: Any) -> tuple[tuple[bool, str], list[ev.Event]]:
        asked = Asked(verb, "tester", reason, **more)
        self.engine.ask(asked)
        await self.engine.idle()
        return await asked.answer, await self.news()

    async def news(self) -> list[ev.Event]:
        await self.engine.flush()
        events = [event for _, event in self.store.pairs[self._seen :]]
        self._seen = len(self.store.pairs)
        return events


def genesis(setup: Setup, balance: Decimal) -> list[ev.Event]:
    cause = Cause(0, 0, "", "", PHASE_AFTER, "genesis", 0)
    return [
        ev.LedgerOpened(
            ts=0,
            cause=cause,
            ledger_id=LEDGER_ID,
            mode=Mode.PAPER,
            feed="replay:test",
            seed=1,
            base_currency="USDT",
            initial_balance=balance,
        ),
        ev.ConfigActivated(
            ts=0, cause=cause, version=1, sha256=setup.sha256, previous=0, actor="tester", diff=(), config=setup.text
        ),
    ]


def kinds(events: list[ev.Event], *ignored: type[ev.Event]) -> list[str]:
    """Names of the events, without the running commentary."""
    quiet = (ev.EquitySampled, ev.DayStarted, ev.GateChanged, ev.BotStatusChanged, ev.IntentEvaluated, *ignored)
    return [type(e).__name__ for e in events if not isinstance(e, quiet)]
