"""The events: facts in the past tense, the only thing that changes the ledger (`fold.evolve`).

Every event carries the time of its input (`ts`, int microseconds UTC) and that input's `cause`. Payloads hold no floats:
numbers of money are Decimal (strings in JSON), indicator values are strings, so that hashes survive a round trip through
jsonb. A change of meaning is a new `SCHEMA_VERSION` with an upcaster in `UPCASTERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar, get_args

import msgspec

from engine.core.inputs import Cause
from engine.core.types import (
    ONE,
    ZERO,
    BotStatus,
    InstrumentKind,
    Level,
    MarginMode,
    Mode,
    OrderType,
    Origin,
    PositionSide,
    Side,
    TimeInForce,
    TradingState,
    Verdict,
    uuid7,
)

SCHEMA_VERSION = 1


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """Base. `level` is how loud, `effect` says whether the shell must act after the commit."""

    level: ClassVar[Level] = Level.INFO
    effect: ClassVar[bool] = False
    public_safe: ClassVar[bool] = False

    ts: int
    cause: Cause


# -- the house -----------------------------------------------------------------------------------------------------------


class LedgerOpened(Event, frozen=True):
    """Genesis: what this ledger is bound to for ever (decisions.md 1)."""

    ledger_id: str
    mode: Mode
    feed: str
    seed: int | None
    base_currency: str
    initial_balance: Decimal


class PortfolioOpened(Event, frozen=True):
    """A config has named a portfolio for the first time: it gets its money, once."""

    portfolio_id: str
    name: str
    currency: str
    initial_balance: Decimal


class ConfigActivated(Event, frozen=True):
    """`config` is the whole document as canonical JSON text (its sha256 is `sha256`): a fold knows every limit in force."""

    version: int
    sha256: str
    previous: int
    actor: str
    diff: tuple[str, ...]
    config: str


class ConfigRejected(Event, frozen=True):
    level: ClassVar[Level] = Level.WARN
    version: int
    actor: str
    reason: str


class TradingStateChanged(Event, frozen=True):
    """PAUSE, CANCEL, FLATTEN, HALT or RESUME took hold; `actor` is a person or the gate that tripped.

    `bot_id` "" is the account. `policy` "cancel" and "flatten" say what goes besides the entries.
    """

    level: ClassVar[Level] = Level.WARN
    effect: ClassVar[bool] = True
    state: TradingState
    previous: TradingState
    verb: str
    actor: str
    reason: str
    policy: str
    bot_id: str = ""


class StopResult(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a stop did to one order or position: CANCELED, FILLED, REJECTED, EXPIRED, KEPT or CLOSED."""

    id: str
    symbol: str
    role: str
    outcome: str


class StopCompleted(Event, frozen=True):
    """The claim of a stop is true now: every order that had to go has ended, every position that had to close is flat."""

    level: ClassVar[Level] = Level.WARN
    verb: str
    actor: str
    bot_id: str
    began_ts: int
    results: tuple[StopResult, ...]


class EntriesHeld(Event, frozen=True):
    """The kill key's first press (`held`), or its release; not a trading state, and never survives as a release."""

    level: ClassVar[Level] = Level.WARN
    held: bool
    actor: str


class CommandRefused(Event, frozen=True):
    level: ClassVar[Level] = Level.WARN
    verb: str
    actor: str
    reason: str


class HouseChanged(Event, frozen=True):
    """What the shell measures of the house has changed: ledger against venue, the journal, the exchange's clock against ours.

    None is not known. `journal` says what is the matter with it, with the number of that moment.
    """

    level: ClassVar[Level] = Level.WARN
    reconciled: bool | None
    journal_ok: bool | None
    journal: str
    clock_skew_ms: int | None


class AlertTriggered(Event, frozen=True):
    """Something a person should know now. `code` is CATEGORY_CONDITION, `text` one line."""

    level: ClassVar[Level] = Level.ERROR
    code: str
    text: str
    symbol: str = ""
    bot_id: str = ""


class BotStatusChanged(Event, frozen=True):
    """`traceback` is that of the exception which put it in ERROR: file names without folders."""

    bot_id: str
    status: BotStatus
    reason: str
    traceback: str = ""


# -- decisions -----------------------------------------------------------------------------------------------------------


class SignalGenerated(Event, frozen=True):
    """A rule fired. `trace` is the explain tree: nested lists and dicts of strings and booleans."""

    signal_id: str
    bot_id: str
    strategy_id: str
    exchange: str
    symbol: str
    side: Side
    kind: str  # ENTRY or EXIT
    price: Decimal
    config_version: int
    trace: dict[str, Any]
    position_side: PositionSide = PositionSide.LONG
    tag: str = ""


class GateResult(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One gate's word on one intent. `limit` and `actual` are as the board shows them; `margin` is the distance to the trip."""

    gate: str
    code: str
    verdict: Verdict
    limit: str
    actual: str
    margin: str


class IntentEvaluated(Event, frozen=True):
    """All gates, also those after the first that blocks."""

    order_id: str
    signal_id: str
    bot_id: str
    exchange: str
    symbol: str
    side: Side
    verdict: Verdict
    gates: tuple[GateResult, ...]

    @property
    def decision_id(self) -> str:
        """Of the row that keeps it: made from the order's, by whoever needs it."""
        return uuid7(self.ts, self.order_id, "decision")


class GateChanged(Event, frozen=True):
    """A standing gate of the board changed its verdict (decisions.md 31)."""

    gate: str
    scope: str
    verdict: Verdict
    previous: Verdict
    limit: str
    actual: str


# -- orders --------------------------------------------------------------------------------------------------------------


class OrderDenied(Event, frozen=True):
    """Never sent: a gate blocked it, or its size is no order at all."""

    level: ClassVar[Level] = Level.WARN
    order_id: str
    signal_id: str
    bot_id: str
    exchange: str
    symbol: str
    side: Side
    quantity: Decimal
    code: str
    reason: str
    config_version: int


class OrderSubmitted(Event, frozen=True):
    """The durable intent: after its commit, and only then, it is sent, once. `order_id` without dashes is the client order id."""

    effect: ClassVar[bool] = True
    order_id: str
    number: int  # the ledger's intent counter: order of sending, ordinal of the reports' causes
    signal_id: str
    bot_id: str
    strategy_id: str
    portfolio_id: str
    position_id: str
    exchange: str
    symbol: str
    side: Side
    position_side: PositionSide
    order_type: OrderType
    time_in_force: TimeInForce
    origin: Origin
    role: str  # ENTRY, STOP, TAKE_PROFIT, TARGET_<n>, SIGNAL_EXIT, TIME_STOP, FLATTEN ...
    quantity: Decimal
    price: Decimal | None
    stop_price: Decimal | None
    reduce_only: bool
    valid_until: int | None
    config_version: int
    oco_group: str = ""  # orders of one group: the end of one by a fill ends the others
    replaces: str = ""  # the order that this one amends (cancelled first)
    trigger: str = "last"  # what triggers it: "last" or "mark"
    activation_price: Decimal | None = None
    callback_rate: Decimal | None = None  # of a TRAILING_STOP, in percent
    kind: InstrumentKind = InstrumentKind.SPOT
    contract_size: Decimal = ONE
    leverage: Decimal = ONE
    margin_mode: MarginMode = MarginMode.ISOLATED
    tag: str = ""
    hedge: bool = False  # for the leg `position_side` of its own; else for the one position, which it may flip
    placed_ts: int = 0  # when the first of a chain of amendments was sent; 0: this is it


class OrderAdopted(Event, frozen=True):
    """An order of ours that we did not send: the venue's own, when it liquidates. Open from here on, and never sent."""

    level: ClassVar[Level] = Level.ERROR
    order_id: str
    number: int
    position_id: str
    bot_id: str
    exchange: str
    symbol: str
    side: Side
    origin: Origin
    role: str
    quantity: Decimal
    reason: str


class OrderAccepted(Event, frozen=True):
    order_id: str
    bot_id: str
    symbol: str
    exchange_order_id: str


class OrderRejected(Event, frozen=True):
    level: ClassVar[Level] = Level.WARN
    order_id: str
    bot_id: str
    symbol: str
    reason: str


class OrderInDoubt(Event, frozen=True):
    level: ClassVar[Level] = Level.ERROR
    order_id: str
    bot_id: str
    symbol: str
    reason: str


class CancelRequested(Event, frozen=True):
    effect: ClassVar[bool] = True
    order_id: str
    number: int
    bot_id: str
    symbol: str
    reason: str


class OrderCanceled(Event, frozen=True):
    order_id: str
    bot_id: str
    symbol: str
    reason: str


class OrderExpired(Event, frozen=True):
    order_id: str
    bot_id: str
    symbol: str
    reason: str


class OrderFilled(Event, frozen=True):
    """An execution, applied whatever state the order is in. `pnl` is realised by this fill, before its fee, in quote.

    `fee` is in `fee_currency`, `fee_value` what it costs in the portfolio's currency (zero when paid in a third asset).
    A fill that goes beyond what a position holds comes as two events, `part` 0 and 1: the end of one, the start of the other.
    """

    public_safe: ClassVar[bool] = True
    trade_id: str
    order_id: str
    position_id: str
    bot_id: str
    exchange: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    liquidity: str
    pnl: Decimal
    executed_ts: int
    fee_value: Decimal = ZERO
    part: int = 0

    @property
    def fill_id(self) -> str:
        """Of the row that keeps it."""
        return uuid7(self.ts, self.order_id, "fill", self.trade_id, str(self.part))


# -- positions and accounts -----------------------------------------------------------------------------------------------


class PositionOpened(Event, frozen=True):
    """For readers; the ledger follows from `OrderFilled`."""

    public_safe: ClassVar[bool] = True
    position_id: str
    bot_id: str
    exchange: str
    symbol: str
    side: PositionSide
    quantity: Decimal
    price: Decimal


class PositionClosed(Event, frozen=True):
    """A round trip ended. `realized_pnl` is after fees, `reason` the role of the closing order; TRAILING_STOP when that is a
    stop that has trailed."""

    public_safe: ClassVar[bool] = True
    position_id: str
    bot_id: str
    exchange: str
    symbol: str
    side: PositionSide
    entry_price: Decimal
    exit_price: Decimal
    quantity: Decimal
    realized_pnl: Decimal
    fees: Decimal
    reason: str


class ExitsMoved(Event, frozen=True):
    """The exit plan of a position: set at its first fill, then moved. `extreme` is the best price seen, `reason` why it moved."""

    position_id: str
    bot_id: str
    symbol: str
    stop_price: Decimal | None
    take_profit_price: Decimal | None
    extreme: Decimal
    trailing: bool
    reason: str = ""
    wants: int = 0  # protective orders that the plan asks for


class MarginChanged(Event, frozen=True):
    """What a fill or a payment made of a position's margin; the liquidation price is that of its tier there (None: none)."""

    level: ClassVar[Level] = Level.DEBUG
    position_id: str
    bot_id: str
    symbol: str
    liquidation_price: Decimal | None
    maintenance_margin: Decimal
    liquidated_below: bool = True  # a falling mark reaches it; False: a rising one


class FundingPaid(Event, frozen=True):
    """`amount` is added to the account: below zero it was paid, above zero received."""

    position_id: str
    portfolio_id: str
    bot_id: str
    exchange: str
    symbol: str
    rate: Decimal
    mark: Decimal
    amount: Decimal


class PositionLiquidated(Event, frozen=True):
    """The venue has taken the position away; its order and fill follow."""

    level: ClassVar[Level] = Level.ERROR
    position_id: str
    bot_id: str
    exchange: str
    symbol: str
    side: PositionSide
    quantity: Decimal
    price: Decimal


class DustKept(Event, frozen=True):
    """What is left of a position is too small for any order: it closes, and the account keeps the rest at its cost."""

    position_id: str
    bot_id: str
    exchange: str
    symbol: str
    asset: str
    quantity: Decimal
    cost: Decimal
    reason: str = ""  # the role of the order that left it


class DayStarted(Event, frozen=True):
    """The baselines of the daily loss lock: the portfolio's equity and, by id, what each of its bots had made; the day lasts
    until `day_end` (us UTC). Nothing is to be done about it, but it is committed at once: what is pruned at the start of a
    day (ledger.py) was closed before a commit."""

    effect: ClassVar[bool] = True
    portfolio_id: str
    equity: Decimal
    day_end: int
    bots: dict[str, Decimal] = {}


class EquitySampled(Event, frozen=True):
    """Equity at marks. `marks` are the prices used, by "exchange symbol"; `bots` what each bot has made, by id."""

    level: ClassVar[Level] = Level.DEBUG
    portfolio_id: str
    equity: Decimal
    cash: Decimal
    positions_value: Decimal
    unrealized_pnl: Decimal
    realized_pnl: Decimal
    peak_equity: Decimal
    drawdown: Decimal
    day_pnl: Decimal
    open_positions: int
    marks: dict[str, Decimal]
    bots: dict[str, Decimal] = {}


AnyEvent = (
    LedgerOpened
    | PortfolioOpened
    | ConfigActivated
    | ConfigRejected
    | TradingStateChanged
    | StopCompleted
    | EntriesHeld
    | CommandRefused
    | HouseChanged
    | AlertTriggered
    | BotStatusChanged
    | SignalGenerated
    | IntentEvaluated
    | GateChanged
    | OrderDenied
    | OrderSubmitted
    | OrderAdopted
    | OrderAccepted
    | OrderRejected
    | OrderInDoubt
    | CancelRequested
    | OrderCanceled
    | OrderExpired
    | OrderFilled
    | PositionOpened
    | PositionClosed
    | ExitsMoved
    | MarginChanged
    | FundingPaid
    | PositionLiquidated
    | DustKept
    | DayStarted
    | EquitySampled
)

EVENT_TYPES: dict[str, type[Event]] = {t.__name__: t for t in get_args(AnyEvent)}

#: (type name, schema version) -> function from the old payload to the next version's.
UPCASTERS: dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]] = {}

_encoder = msgspec.json.Encoder(order="sorted")
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(AnyEvent)


def encode(event: Event) -> bytes:
    """Canonical JSON of an event: sorted keys, no spaces, decimals as strings, the type under "type"."""
    return _encoder.encode(event)


def decode(payload: bytes | str, schema_version: int = SCHEMA_VERSION) -> Event:
    """The event of a payload. Raises msgspec.ValidationError when it does not fit, after the upcasters of its version."""
    if schema_version < SCHEMA_VERSION:
        raw: dict[str, Any] = msgspec.json.decode(payload)
        for version in range(schema_version, SCHEMA_VERSION):
            upcast = UPCASTERS.get((raw["type"], version))
            raw = upcast(raw) if upcast else raw
        payload = _encoder.encode(raw)
    return _decoder.decode(payload)


def event_id(ledger_id: str, event: Event, n: int) -> str:
    """UUIDv7 of the n-th event of one input: from the ledger, the cause and n alone (decisions.md 2)."""
    cause = event.cause
    key = f"{cause.ts}|{cause.late}|{cause.source}|{cause.symbol}|{cause.phase}|{cause.kind}|{cause.ordinal}"
    return uuid7(event.ts, ledger_id, key, str(n))


#: An event and its number among those of its input: what its id is made from, by whoever needs the id.
Numbered = tuple[int, Event]


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """An event as journaled: gapless `seq` from 1, its id, and the chain. `hash` = sha256(prev_hash || canonical row)."""

    seq: int
    id: str
    event: AnyEvent
    prev_hash: bytes
    hash: bytes
    schema_version: int = SCHEMA_VERSION
