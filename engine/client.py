"""The seam between a cockpit and an engine: immutable snapshots and events one way, commands the other.

`LocalClient` is the engine in the same process, on its own thread. A client for a detached engine implements the same
protocol later (decisions.md 18). Every method returns at once and may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import msgspec

from engine.core.events import Recorded
from engine.core.types import ZERO, Verb

if TYPE_CHECKING:
    from engine.history import History
    from engine.timemachine import TimeMachine

#: A closed bar: ts of its close (us UTC), open, high, low, close, volume; floats as recorded.
Bar = tuple[int, float, float, float, float, float]


class PositionView(msgspec.Struct, frozen=True, kw_only=True):
    """An open position. Prices and money Decimal; `*_pct` are percent; `price_places` is the symbol's own number of decimals."""

    id: str
    bot: str
    exchange: str
    symbol: str
    side: str
    quantity: Decimal
    entry_price: Decimal
    mark_price: Decimal
    unrealized_pnl: Decimal
    unrealized_pct: Decimal
    stop_price: Decimal | None
    take_profit_price: Decimal | None
    trailing: bool
    opened_ts: int
    price_places: int
    config_version: int
    sampled: bool = False  # the mark is the last that was journaled, not that of the moment


class OrderView(msgspec.Struct, frozen=True, kw_only=True):
    """An open or lately closed order, newest first. `price` is its limit, stop or average fill price, whichever speaks."""

    id: str
    ts: int
    bot: str
    exchange: str
    symbol: str
    side: str
    order_type: str
    role: str
    quantity: Decimal
    filled_quantity: Decimal
    price: Decimal | None
    price_places: int
    status: str
    flags: str
    reason: str
    is_open: bool
    config_version: int


class GateView(msgspec.Struct, frozen=True, kw_only=True):
    """One gate of the board. `used` is actual / limit (0 to 1 and beyond), None where there is no limit to fill a bar."""

    gate: str
    verdict: str
    actual: str
    limit: str
    unit: str
    used: float | None
    blocked_ts: int
    blocked_what: str


class BotView(msgspec.Struct, frozen=True, kw_only=True):
    """A bot. `status` is where it is in its life, `state` what it may trade (the account's state counts as well); P&L after
    fees in `currency`: of its ended round trips, and of its open positions at their marks."""

    id: str
    name: str
    status: str
    reason: str
    entries: int
    state: str = "ACTIVE"
    state_reason: str = ""
    state_actor: str = ""
    strategy: str = ""
    symbols: tuple[str, ...] = ()
    portfolio: str = "main"
    currency: str = ""
    realized_pnl: Decimal = ZERO
    unrealized_pnl: Decimal = ZERO
    positions: int = 0


class StopView(msgspec.Struct, frozen=True, kw_only=True):
    """A stop whose claim is not true yet. `bot` "" is the account; what it waits for are ids."""

    bot: str
    verb: str
    actor: str
    began_ts: int
    orders: tuple[str, ...]
    positions: tuple[str, ...]


class StoppedView(msgspec.Struct, frozen=True, kw_only=True):
    """The last stop whose claim has become true; `results` are (id, symbol, role, outcome)."""

    bot: str
    verb: str
    actor: str
    began_ts: int
    ended_ts: int
    results: tuple[tuple[str, str, str, str], ...]


class MarkView(msgspec.Struct, frozen=True, kw_only=True):
    exchange: str
    symbol: str
    price: Decimal
    price_places: int
    rules: str  # where its trading rules come from: bundled, venue, default


class ReplayView(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded or simulated feed under way. `progress` 0 to 1, None when endless; `speed` None is max."""

    state: str  # running, paused, ended
    speed: float | None
    progress: float | None
    played: int
    total: int | None
    gaps: int
    warming: bool


class EquityPoint(msgspec.Struct, frozen=True, array_like=True):
    """One equity sample: ts (us UTC), equity, drawdown (fraction below the peak, 0 to 1)."""

    ts: int
    equity: Decimal
    drawdown: Decimal


class TradeView(msgspec.Struct, frozen=True, kw_only=True):
    """A round trip, open (`exit_ts` 0) or closed. `pnl` is after fees, in quote; `exits` are (ts, stop, target) as they moved."""

    id: str
    bot: str
    exchange: str
    symbol: str
    side: str
    entry_ts: int
    entry_price: float
    exit_ts: int = 0
    exit_price: float = 0.0
    pnl: float = 0.0
    reason: str = ""
    exits: tuple[tuple[int, float | None, float | None], ...] = ()


class AccountView(msgspec.Struct, frozen=True, kw_only=True):
    """A portfolio: its equity at the marks and the money that it was opened with, in `currency`."""

    id: str
    name: str
    currency: str
    equity: Decimal
    opened_with: Decimal

    @property
    def gained_pct(self) -> Decimal:
        return (self.equity - self.opened_with) / self.opened_with * 100 if self.opened_with else ZERO


#: What stands for all accounts together in the place of an id.
WHOLE = ""


def whole(accounts: Sequence[AccountView]) -> AccountView | None:
    """All together where their currencies agree, else the first, which the ledger was opened with; None without any."""
    if len(accounts) < 2 or len({one.currency for one in accounts}) > 1:
        return accounts[0] if accounts else None
    return AccountView(
        id=WHOLE,
        name="all accounts",
        currency=accounts[0].currency,
        equity=sum((one.equity for one in accounts), ZERO),
        opened_with=sum((one.opened_with for one in accounts), ZERO),
    )


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All that a screen shows at one moment. `number` grows with every change; `mono` fields are time.monotonic seconds."""

    number: int
    ledger: str
    ledger_id: str
    mode: str
    feed: str
    feed_status: str
    banner: str
    state: str
    state_reason: str
    state_actor: str
    state_since: int
    held: bool
    now: int
    last_input_mono: float
    database_down_mono: float | None
    database_ms: float
    lag_ms: float
    beat_mono: float
    seq: int
    config_version: int
    config_sha256: str
    base_currency: str
    equity: Decimal
    cash: Decimal
    unrealized_pnl: Decimal
    day_pnl: Decimal
    day_pct: Decimal
    total_pct: Decimal
    drawdown_pct: Decimal
    orders_total: int
    fills_total: int
    trades_total: int
    positions: tuple[PositionView, ...]
    orders: tuple[OrderView, ...]
    gates: tuple[GateView, ...]
    bots: tuple[BotView, ...]
    marks: tuple[MarkView, ...]
    replay: ReplayView | None
    error: str = ""
    stops: tuple[StopView, ...] = ()
    stopped: StoppedView | None = None
    accounts: tuple[AccountView, ...] = ()


class ConfigLine(msgspec.Struct, frozen=True, kw_only=True):
    """A config version in the list; `diff` is against the active one, one line a change."""

    version: int
    sha256: str
    actor: str
    note: str
    created_ts: int
    activated_ts: int | None
    is_active: bool
    diff: tuple[str, ...]
    problem: str  # why it cannot be activated, empty if it can


class Outcome(msgspec.Struct, frozen=True):
    """The answer to a command: whether it was done, and one line."""

    done: bool
    text: str


@runtime_checkable
class ConfigShelf(Protocol):
    """A client that can read a config version whole, and store another one."""

    def document(self, version: int) -> Future[object]:
        """The JSON document of a version."""
        ...

    def store_config(self, text: str, note: str, actor: str) -> Future[int]:
        """Check a document (JSON text) and store it as the next version: its number, or the error that says why not."""
        ...


class EngineClient(Protocol):
    """What a cockpit may do with an engine."""

    def snapshot(self) -> Snapshot | None:
        """The newest picture; None before the first."""
        ...

    def progress(self) -> str:
        """What the engine is doing before its first snapshot, or why it has ended; one line."""
        ...

    def events(self, after_seq: int, limit: int = 1_000) -> Sequence[Recorded]:
        """Committed events with a seq above `after_seq`, oldest first; the newest thousands are kept."""
        ...

    def equity(self, account: str = WHOLE) -> Sequence[EquityPoint]:
        """Equity of an account by id, or of what `whole` gives; oldest first, thinned to what a chart can show."""
        ...

    def configs(self) -> Future[Sequence[ConfigLine]]: ...

    def bars(self, exchange: str, symbol: str, after_ts: int = -1) -> tuple[int, Sequence[Bar]]:
        """Length of a bar in us (0 while unknown), and the bars in memory that closed after `after_ts`, oldest first."""
        ...

    def trades(self) -> Sequence[TradeView]:
        """Round trips in memory, by the time of their entry; the same object until there is another one."""
        ...

    @property
    def history(self) -> History:
        """What is older than memory, the stories of orders, and who acknowledged what."""
        ...

    @property
    def machine(self) -> TimeMachine:
        """Pictures of the past, from the journal alone."""
        ...

    def submit(
        self, verb: Verb, *, actor: str, reason: str = "", version: int = 0, policy: str = "", target: str = ""
    ) -> Future[Outcome]:
        """Ask for a command. HOLD takes effect before this returns; the rest when the future says so.

        `target` is a bot by name or id, or the id of a position or order; "" is the account.
        """
        ...

    def replay(self, action: str, speed: float | None = None) -> None:
        """ "pause", "resume" or "speed" of a recorded or simulated feed."""
        ...
