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

from engine.core.event_base import (
    Event as Event,
)
from engine.core.order_events import (
    CancelRequested as CancelRequested,
    GateChanged as GateChanged,
    GateResult as GateResult,
    IntentEvaluated as IntentEvaluated,
    OrderAccepted as OrderAccepted,
    OrderAdopted as OrderAdopted,
    OrderCanceled as OrderCanceled,
    OrderDenied as OrderDenied,
    OrderExpired as OrderExpired,
    OrderFilled as OrderFilled,
    OrderInDoubt as OrderInDoubt,
    OrderRejected as OrderRejected,
    OrderSubmitted as OrderSubmitted,
    SignalGenerated as SignalGenerated,
)
from engine.core.position_events import (
    DayStarted as DayStarted,
    DustKept as DustKept,
    EquitySampled as EquitySampled,
    ExitsMoved as ExitsMoved,
    FundingPaid as FundingPaid,
    MarginChanged as MarginChanged,
    PositionClosed as PositionClosed,
    PositionLiquidated as PositionLiquidated,
    PositionOpened as PositionOpened,
)
from engine.core.types import (
    BotStatus,
    Level,
    Mode,
    TradingState,
    uuid7,
)

SCHEMA_VERSION = 1


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
