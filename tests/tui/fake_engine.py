"""A scripted EngineClient for widget tests and pictures: no thread, no database, every answer decided by the test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Future
from decimal import Decimal
from typing import Any

import msgspec

from engine.client import (
    Bar,
    BotView,
    ConfigLine,
    EquityPoint,
    GateView,
    MarkView,
    OrderView,
    Outcome,
    PositionView,
    ReplayView,
    Snapshot,
    TradeView,
)
from engine.core.config import canonical, default_config
from engine.core.events import Recorded
from engine.core.types import MINUTE_US, Verb, uuid7
from engine.history import History, MemoryHistory, ready
from engine.journals import MemorySource
from engine.operations import Operations
from engine.reading import Reader
from engine.standing import Standing
from engine.timemachine import TimeMachine
from tests.tui.fake_story import NOW, story

MONO = 1_000.0
D = Decimal
SIM_BANNER = "SIMULATED market - for real data: quantsail --live-data binance, or --replay FILE"


class FakeClock:
    """A monotonic clock, in seconds, that moves when told."""

    def __init__(self, now: float = MONO) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def position(symbol: str = "BTC/USDT", **changes: Any) -> PositionView:
    values: dict[str, Any] = {
        "id": uuid7(NOW, "position", symbol),
        "bot": "trend",
        "exchange": "binance",
        "symbol": symbol,
        "side": "LONG",
        "quantity": D("0.021"),
        "entry_price": D("96120.50"),
        "mark_price": D("96811.20"),
        "unrealized_pnl": D("14.50"),
        "unrealized_pct": D("0.72"),
        "stop_price": D("94678.69"),
        "take_profit_price": D("99004.12"),
        "trailing": False,
        "opened_ts": NOW - 134 * MINUTE_US,
        "price_places": 2,
        "config_version": 7,
    }
    return PositionView(**(values | changes))


def order(number: int, symbol: str = "BTC/USDT", **changes: Any) -> OrderView:
    values: dict[str, Any] = {
        "id": uuid7(NOW - number * MINUTE_US, "order", str(number)),
        "ts": NOW - number * MINUTE_US,
        "bot": "trend",
        "exchange": "binance",
        "symbol": symbol,
        "side": "BUY",
        "order_type": "LIMIT",
        "role": "ENTRY",
        "quantity": D("0.0210"),
        "filled_quantity": D(0),
        "price": D("96120.50"),
        "price_places": 2,
        "status": "ACCEPTED",
        "flags": "",
        "reason": "",
        "is_open": True,
        "config_version": 7,
    }
    return OrderView(**(values | changes))


def gate(name: str, actual: str, limit: str, used: float | None, **changes: Any) -> GateView:
    values: dict[str, Any] = {
        "gate": name,
        "verdict": "ALLOWED",
        "actual": actual,
        "limit": limit,
        "unit": "",
        "used": used,
        "blocked_ts": 0,
        "blocked_what": "",
    }
    return GateView(**(values | changes))


def positions() -> tuple[PositionView, ...]:
    return (
        position(),
        position(
            "ETH/USDT",
            quantity=D("0.4"),
            entry_price=D("3312.10"),
            mark_price=D("3290.02"),
            unrealized_pnl=D("-8.83"),
            unrealized_pct=D("-0.67"),
            stop_price=D("3262.42"),
            take_profit_price=D("3411.46"),
            trailing=True,
            opened_ts=NOW - 51 * MINUTE_US,
        ),
        position(
            "SOL/USDT",
            quantity=D("3.1"),
            entry_price=D("221.40"),
            mark_price=D("224.90"),
            unrealized_pnl=D("10.85"),
            unrealized_pct=D("1.58"),
            stop_price=D("218.08"),
            take_profit_price=None,
            opened_ts=NOW - 7 * MINUTE_US,
        ),
    )


def orders() -> tuple[OrderView, ...]:
    stop: dict[str, Any] = {"order_type": "STOP_MARKET", "role": "STOP", "side": "SELL"}
    filled: dict[str, Any] = {"status": "FILLED", "is_open": False}
    return (
        order(1, "BNB/USDT", price=D("612.40"), quantity=D("1.25")),
        order(2, price=D("94678.69"), **stop),
        order(3, "ETH/USDT", price=D("3262.42"), quantity=D("0.4"), **stop),
        order(4, "SOL/USDT", price=D("221.40"), quantity=D("3.1"), filled_quantity=D("3.1"), **filled),
        order(5, "ADA/USDT", price=None, quantity=D("900"), status="DENIED", is_open=False, reason="EXPOSURE_GROSS"),
        order(6, filled_quantity=D("0.0210"), **filled),
    )


def gates() -> tuple[GateView, ...]:
    blocked = {"blocked_ts": NOW - 5 * MINUTE_US, "blocked_what": "BUY ADA/USDT"}
    return (
        gate("TRADING_STATE", "ACTIVE", "ACTIVE", None),
        gate("INSTRUMENT_RULES", "", "", None, verdict="IDLE"),
        gate("PRICE_COLLAR", "0.12", "2", 0.06, unit="%"),
        gate("MAX_ORDER_VALUE", "2018.53", "5000", 0.4037),
        gate("MAX_ORDER_SIZE", "0.021", "none", None),
        gate("MAX_POSITION", "2018.53", "6000", 0.336),
        gate("MAX_GROSS_EXPOSURE", "42.13764", "60", 0.702, unit="%", **blocked),
        gate("MAX_OPEN_POSITIONS", "3", "3", 1.0),
        gate("BUYING_POWER", "2018.53", "6000.78", 0.336),
        gate("DUPLICATE_ORDER", "", "", None, verdict="IDLE"),
        gate("STALE_DATA", "7.4", "5", 1.48, unit="s", verdict="BLOCKED", blocked_ts=NOW, blocked_what="BUY SOL/USDT"),
        gate("DAILY_LOSS_LOCK", "2.6", "3.0", 0.867, unit="%", verdict="WARNED"),
        gate("MAX_DRAWDOWN", "0.8", "8.0", 0.1, unit="%"),
    )


def snapshot(**changes: Any) -> Snapshot:
    values: dict[str, Any] = {
        "number": 1,
        "ledger": "sim",
        "ledger_id": uuid7(NOW, "ledger"),
        "mode": "SIM",
        "feed": "simulated seed 42",
        "feed_status": "ok",
        "banner": SIM_BANNER,
        "state": "ACTIVE",
        "state_reason": "",
        "state_actor": "",
        "state_since": NOW - 3 * MINUTE_US,
        "held": False,
        "now": NOW,
        "last_input_mono": MONO - 0.4,
        "database_down_mono": None,
        "database_ms": 4.2,
        "lag_ms": 12.0,
        "beat_mono": MONO,
        "seq": 40,
        "config_version": 7,
        "config_sha256": "9f2c" * 16,
        "base_currency": "USDT",
        "equity": D("10214.33"),
        "cash": D("6000.78"),
        "unrealized_pnl": D("16.52"),
        "day_pnl": D("213.80"),
        "day_pct": D("2.14"),
        "total_pct": D("2.1433"),
        "drawdown_pct": D("0.8"),
        "orders_total": 128,
        "fills_total": 96,
        "trades_total": 47,
        "positions": positions(),
        "orders": orders(),
        "gates": gates(),
        "bots": (BotView(id="b1", name="trend", status="RUNNING", reason="", entries=47),),
        "marks": (
            MarkView(exchange="binance", symbol="BTC/USDT", price=D("96811.20"), price_places=2, rules="bundled"),
            MarkView(exchange="binance", symbol="kPEPE/USDT", price=D("0.0123"), price_places=6, rules="default"),
        ),
        "replay": ReplayView(
            state="running", speed=60.0, progress=0.42, played=4_212, total=10_000, gaps=2, warming=False
        ),
    }
    return Snapshot(**(values | changes))


def equity_curve(points: int = 400) -> list[EquityPoint]:
    """A plausible day: drift, two waves and the drawdown that follows from them."""
    out: list[EquityPoint] = []
    peak = 0.0
    for i in range(points):
        value = 10_000 + 0.55 * i + 90 * math.sin(i / 31) + 35 * math.sin(i / 7.3)
        peak = max(peak, value)
        ts = NOW - (points - 1 - i) * 2 * MINUTE_US
        out.append(EquityPoint(ts, D(f"{value:.2f}"), D(f"{1 - value / peak:.6f}")))
    return out


def configs() -> list[ConfigLine]:
    def line(
        version: int, note: str, *diff: str, active: bool = False, problem: str = "", used: bool = True
    ) -> ConfigLine:
        created = NOW - (8 - version) * 600 * MINUTE_US
        return ConfigLine(
            version=version,
            sha256=f"{version:02x}" * 32,
            actor="ada",
            note=note,
            created_ts=created,
            activated_ts=created + MINUTE_US if used else None,
            is_active=active,
            diff=diff,
            problem=problem,
        )

    return [
        line(
            8,
            "wider stops",
            "bots.0.exits.stop_pct: 1.5 -> 2.0",
            "account.limits.max_open_positions: 5 -> 4",
            used=False,
        ),
        line(9, "too long", "bots.0.warmup: 20 -> 900", problem="EMA(900) lacks 412 bars of history", used=False),
        line(7, "trailing stop on", active=True),
        line(6, "first real limits", "bots.0.exits.trailing_pct: 0.8 -> none"),
        line(5, "genesis", "account.limits.daily_loss_pct: 3.0 -> 5.0", "bots.0.exits.trailing_pct: 0.8 -> none"),
    ]


class FakeEngine:
    """An `EngineClient`: `snap`, `log`, `curve` and `lines` are what it shows; `submitted` is what it was asked."""

    def __init__(self, snap: Snapshot | None = None) -> None:
        self.snap = snap
        self.doing = "opening the journal"
        self.log: list[Recorded] = []
        self.curve: list[EquityPoint] = []
        self.lines: list[ConfigLine] = configs()
        self.tails: dict[tuple[str, str], list[Bar]] = {}
        self.trips: tuple[TradeView, ...] = ()
        self.submitted: list[tuple[Verb, dict[str, Any]]] = []
        self.replayed: list[tuple[str, float | None]] = []
        self.answers: dict[Verb, Outcome | Exception] = {}
        self.curves: dict[str, Sequence[EquityPoint]] = {}
        self.stands: Standing | None = None
        self.runs_on: Operations | None = None
        self.stored: list[tuple[str, str, str]] = []
        self.stood: list[tuple[str, str, str]] = []
        self.history: History = MemoryHistory(lambda: self.log, lambda: NOW)

    @classmethod
    def busy(cls, **changes: Any) -> FakeEngine:
        """A day under way: three positions, orders, events and an equity curve."""
        engine = cls(snapshot(**changes))
        engine.log = story()
        engine.curve = equity_curve()
        return engine

    def change(self, **changes: Any) -> None:
        assert self.snap is not None
        self.snap = msgspec.structs.replace(self.snap, number=self.snap.number + 1, **changes)

    @property
    def verbs(self) -> list[Verb]:
        return [verb for verb, _ in self.submitted]

    def snapshot(self) -> Snapshot | None:
        return self.snap

    def progress(self) -> str:
        return self.doing

    def events(self, after_seq: int, limit: int = 1_000) -> Sequence[Recorded]:
        return [r for r in self.log if r.seq > after_seq][:limit]

    def equity(self, account: str = "") -> Sequence[EquityPoint]:
        return self.curves.get(account, self.curve)

    def configs(self) -> Future[Sequence[ConfigLine]]:
        future: Future[Sequence[ConfigLine]] = Future()
        future.set_result(self.lines)
        return future

    def document(self, version: int) -> Future[object]:
        return ready(msgspec.json.decode(canonical(default_config())))

    def store_config(self, text: str, note: str, actor: str) -> Future[int]:
        self.stored.append((text, note, actor))
        return ready(max(line.version for line in self.lines) + 1)

    def bars(self, exchange: str, symbol: str, after_ts: int = -1) -> tuple[int, Sequence[Bar]]:
        return MINUTE_US, [bar for bar in self.tails.get((exchange, symbol), []) if bar[0] > after_ts]

    def trades(self) -> Sequence[TradeView]:
        return self.trips

    def standing(self, bot: str = "", exchange: str = "", symbol: str = "") -> Future[Standing]:
        self.stood.append((bot, exchange, symbol))
        return ready(self.stands) if self.stands is not None else Future()

    @property
    def machine(self) -> TimeMachine:
        return TimeMachine(MemorySource(lambda: self.log), Reader(""))

    def operations(self) -> Future[Operations]:
        return ready(self.runs_on) if self.runs_on is not None else Future()

    def submit(
        self, verb: Verb, *, actor: str, reason: str = "", version: int = 0, policy: str = "", target: str = ""
    ) -> Future[Outcome]:
        asked = {"actor": actor, "reason": reason, "version": version, "policy": policy, "target": target}
        self.submitted.append((verb, asked))
        answer = self.answers.get(verb, Outcome(True, f"{verb} done"))
        future: Future[Outcome] = Future()
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
        return future

    def replay(self, action: str, speed: float | None = None) -> None:
        self.replayed.append((action, speed))
