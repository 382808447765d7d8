"""Vocabulary of the core: enums, the instrument, rounding, ids. Times are int microseconds UTC, money is Decimal."""

from __future__ import annotations

import hashlib
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal, DefaultContext, getcontext
from enum import Enum, StrEnum
from typing import TypeVar

import msgspec

# Columns are numeric(38,18) and a product of two has twice the digits: Python's 28 would round large accounts in silence.
# The default is for threads that start later (the engine's), the other line for the one that imports this.
DefaultContext.prec = 80
getcontext().prec = 80

ZERO = Decimal(0)
ONE = Decimal(1)
HUNDRED = Decimal(100)
#: The smallest step that a column keeps; what a division leaves is rounded to it.
QUANTUM = Decimal("1e-18")
SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US

TIMEFRAMES_US: dict[str, int] = {
    "1s": SECOND_US,
    "1m": MINUTE_US,
    "3m": 3 * MINUTE_US,
    "5m": 5 * MINUTE_US,
    "15m": 15 * MINUTE_US,
    "30m": 30 * MINUTE_US,
    "1h": HOUR_US,
    "2h": 2 * HOUR_US,
    "4h": 4 * HOUR_US,
    "6h": 6 * HOUR_US,
    "8h": 8 * HOUR_US,
    "12h": 12 * HOUR_US,
    "1d": DAY_US,
    "3d": 3 * DAY_US,
    "1w": 7 * DAY_US,
}


E = TypeVar("E", bound=Enum)


def quick(enum: type[E]) -> type[E]:
    """Put the members of an enum where a class looks first: Python 3.11 finds them by a descriptor written in Python (160 ns,
    several times for every order), 3.12 as this does (20 ns)."""
    for member in enum:
        type.__setattr__(enum, member.name, member)
    return enum


@quick
class Mode(StrEnum):
    """What kind of account a ledger holds. LIVE is not available yet."""

    SIM = "SIM"
    PAPER = "PAPER"
    LIVE = "LIVE"


@quick
class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"


@quick
class PositionSide(StrEnum):
    LONG = "LONG"
    SHORT = "SHORT"


@quick
class OrderType(StrEnum):
    """A LIMIT with time in force GTX is post-only. TRAILING_STOP follows the best price by its `callback_rate`."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP_MARKET = "STOP_MARKET"
    STOP_LIMIT = "STOP_LIMIT"
    TRAILING_STOP = "TRAILING_STOP"


@quick
class TimeInForce(StrEnum):
    """Good till cancelled, immediate or cancel, fill or kill, good till crossing (post-only)."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTX = "GTX"


@quick
class InstrumentKind(StrEnum):
    """SPOT moves whole notionals; LINEAR is a perpetual future margined and settled in its quote currency."""

    SPOT = "SPOT"
    LINEAR = "LINEAR"


@quick
class MarginMode(StrEnum):
    """Who answers for a loss: the position's own margin, or the whole account."""

    ISOLATED = "ISOLATED"
    CROSS = "CROSS"


@quick
class PositionMode(StrEnum):
    """One position per bot and symbol that flips, or a long and a short one beside each other."""

    NETTING = "NETTING"
    HEDGE = "HEDGE"


@quick
class OrderStatus(StrEnum):
    """FIX words. Terminal: DENIED, FILLED, CANCELED, REJECTED, EXPIRED."""

    DENIED = "DENIED"
    SUBMITTED = "SUBMITTED"
    ACCEPTED = "ACCEPTED"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


TERMINAL = frozenset(
    {OrderStatus.DENIED, OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.EXPIRED}
)


@quick
class Origin(StrEnum):
    """Why an order exists. Everything but ENTRY can only reduce risk."""

    ENTRY = "ENTRY"
    EXIT = "EXIT"
    FLATTEN = "FLATTEN"
    LIQUIDATION = "LIQUIDATION"


@quick
class TradingState(StrEnum):
    """ACTIVE trades; PAUSED and REDUCING refuse what adds risk; HALTED also survives until a typed reason."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


#: How strict a state is; the stricter of journal and latch file wins (decisions.md 17).
STRICTNESS: dict[TradingState, int] = {
    TradingState.ACTIVE: 0,
    TradingState.PAUSED: 1,
    TradingState.REDUCING: 2,
    TradingState.HALTED: 3,
}


@quick
class Verb(StrEnum):
    """What an operator can ask of a running engine. The stop verbs and RESUME also speak to one bot; the last four only do."""

    HOLD = "HOLD"
    RELEASE = "RELEASE"
    PAUSE = "PAUSE"
    CANCEL = "CANCEL"
    FLATTEN = "FLATTEN"
    HALT = "HALT"
    RESUME = "RESUME"
    ACTIVATE_CONFIG = "ACTIVATE_CONFIG"
    START_BOT = "START_BOT"
    STOP_BOT = "STOP_BOT"
    CLOSE_POSITION = "CLOSE_POSITION"
    CANCEL_ORDER = "CANCEL_ORDER"


@quick
class BotStatus(StrEnum):
    """Where a bot is in its life. What it may trade is its TradingState, which an operator or a gate sets."""

    WARMING_UP = "WARMING_UP"
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    ERROR = "ERROR"


@quick
class Level(StrEnum):
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


@quick
class Verdict(StrEnum):
    ALLOWED = "ALLOWED"
    WARNED = "WARNED"
    BLOCKED = "BLOCKED"


# Members by themselves: in Python 3.11 a look at a member through its class costs as much as a dozen statements, and every
# order takes hundreds of them.
BUY, SELL = Side.BUY, Side.SELL
LONG, SHORT = PositionSide.LONG, PositionSide.SHORT
SPOT, LINEAR = InstrumentKind.SPOT, InstrumentKind.LINEAR
ALLOWED, WARNED, BLOCKED = Verdict.ALLOWED, Verdict.WARNED, Verdict.BLOCKED
MARKET, LIMIT, STOP_MARKET, STOP_LIMIT, TRAILING_STOP = (
    OrderType.MARKET,
    OrderType.LIMIT,
    OrderType.STOP_MARKET,
    OrderType.STOP_LIMIT,
    OrderType.TRAILING_STOP,
)
ACTIVE, PAUSED, REDUCING, HALTED = TradingState.ACTIVE, TradingState.PAUSED, TradingState.REDUCING, TradingState.HALTED
SUBMITTED, ACCEPTED, PARTIALLY_FILLED, FILLED, CANCELED, REJECTED, EXPIRED = (
    OrderStatus.SUBMITTED,
    OrderStatus.ACCEPTED,
    OrderStatus.PARTIALLY_FILLED,
    OrderStatus.FILLED,
    OrderStatus.CANCELED,
    OrderStatus.REJECTED,
    OrderStatus.EXPIRED,
)
WARMING_UP, RUNNING = BotStatus.WARMING_UP, BotStatus.RUNNING
GTC, IOC, FOK, GTX = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK, TimeInForce.GTX
ISOLATED, CROSS = MarginMode.ISOLATED, MarginMode.CROSS
NETTING, HEDGE = PositionMode.NETTING, PositionMode.HEDGE


class InvariantError(Exception):
    """The world is not as believed: stop rather than trade on. Never caught inside the core."""


class MarginTier(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a venue's margin table: positions with a notional within [floor, cap) (cap None: no end).

    Maintenance margin = notional x `maintenance_rate` - `cum`; `cum` makes it continuous from tier to tier.
    """

    floor: Decimal
    cap: Decimal | None
    maintenance_rate: Decimal
    cum: Decimal
    max_leverage: Decimal


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """Trading rules of one symbol at one exchange. `source` says where they come from: "bundled", "venue", "default".

    Quantities are in units of the base asset, or in contracts of `contract_size` units each. `fee_in_base`: the venue takes
    the fee of a spot buy out of what was bought.
    """

    exchange: str
    symbol: str
    base: str
    quote: str
    tick_size: Decimal = Decimal("0.01")
    lot_size: Decimal = Decimal("0.00000001")
    min_quantity: Decimal = ZERO
    max_quantity: Decimal | None = None
    min_notional: Decimal = Decimal(10)
    status: str = "TRADING"
    source: str = "default"
    kind: InstrumentKind = InstrumentKind.SPOT
    contract_size: Decimal = Decimal(1)
    fee_in_base: bool = False
    margin_tiers: tuple[MarginTier, ...] = ()

    def price_down(self, price: Decimal) -> Decimal:
        return round_to(price, self.tick_size, ROUND_FLOOR)

    def price_up(self, price: Decimal) -> Decimal:
        return round_to(price, self.tick_size, ROUND_CEILING)

    def quantity_down(self, quantity: Decimal) -> Decimal:
        return round_to(quantity, self.lot_size, ROUND_FLOOR)


def round_to(value: Decimal, step: Decimal, rounding: str = ROUND_HALF_EVEN) -> Decimal:
    """Round to a multiple of `step`; a step of zero means no rounding (tables of cases, golden workload)."""
    if step == ZERO:
        return value
    return (value / step).to_integral_value(rounding) * step


def money(price: float) -> Decimal:
    """The exact decimal a recorded float stands for (its shortest repr): candles are floats, money is not."""
    return Decimal(repr(price))


def uuid7(ts: int, *parts: str) -> str:
    """UUIDv7 (RFC 9562): 48 bits of ms from `ts` (us UTC), the rest from sha256 of `parts`. Pure: same in, same out."""
    return uuid7_of(uuid7_prefix(ts), hashlib.sha256("\x1f".join(parts).encode()).hexdigest())


#: The first digit of the fourth group: the variant's two bits, and two of the hash.
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def uuid7_prefix(ts: int) -> str:
    """What the UUIDv7s of a time (us UTC) have in common: its 48 bits of ms, and the version."""
    ms = f"{ts // 1000 & 0xFFFF_FFFF_FFFF:012x}"
    return f"{ms[:8]}-{ms[8:]}-7"


def uuid7_of(prefix: str, digest: str) -> str:
    """The UUIDv7 of a time's prefix and the hex digits of a hash (20 are used); text work alone: ids are made for every event."""
    return f"{prefix}{digest[1:4]}-{_VARIANT[digest[4]]}{digest[5:8]}-{digest[8:20]}"


def entity_id(ledger_id: str, kind: str, name: str) -> str:
    """The id of a named thing of a ledger: its bots, its portfolio, its strategies' versions. Same name, same id."""
    return uuid7(0, ledger_id, kind, name)
