"""The inputs: all that comes from outside. Each carries its own time (`ts`, int microseconds UTC); nothing else may enter.

A `Cause` names an input for ever: ids of events derive from it (decisions.md 2), the ledger's cursor is the last one
(decisions.md 5), and a resumed run makes the same causes again.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from engine.core.types import OrderStatus, Side, Verb

#: Position of an input around a candle: the venue's reports before its decision, the decision, what followed from it.
PHASE_VENUE, PHASE_CANDLE, PHASE_AFTER, PHASE_TICK = 0, 1, 2, 3


class Cause(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Total order of inputs: time, then ticks after candles, then exchange and symbol, then the phase around the candle.

    `ordinal` tells inputs of the same place apart; it is a pure number (intent counter, timeframe), never an arrival count.
    """

    ts: int
    late: int  # 0 around a candle, 1 a tick (after every candle of that time)
    source: str
    symbol: str
    phase: int
    kind: str
    ordinal: int

    @property
    def place(self) -> tuple[int, int, str, str, int]:
        """What orders causes in time. Inputs at or before the place of the ledger's cursor have been decided."""
        return (self.ts, self.late, self.source, self.symbol, self.phase)

    def answered(self, kind: str, ordinal: int) -> Cause:
        """The cause of a venue's answer to an intent of this cause: with the venue's reports, or after the decision."""
        phase = PHASE_AFTER if self.phase == PHASE_CANDLE else self.phase
        return Cause(self.ts, self.late, self.source, self.symbol, phase, kind, ordinal)

    def commanded(self, ordinal: int) -> Cause:
        """The cause of a command that comes right behind the input of this cause."""
        return Cause(self.ts, self.late, self.source, self.symbol, max(self.phase, PHASE_AFTER), "command", ordinal)


#: The cause of a ledger's first events, before every input.
GENESIS = Cause(0, 0, "", "", PHASE_AFTER, "genesis", 0)


class Candle(msgspec.Struct, frozen=True, gc=False):
    """A closed bar. `ts` is its CLOSE time, the moment it is known; prices are floats as recorded (`types.money` for money).
    By keywords, but for columns that are mapped to it."""

    ts: int
    exchange: str
    symbol: str
    timeframe_us: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    received_ts: int

    @property
    def open_ts(self) -> int:
        return self.ts - self.timeframe_us

    @property
    def cause(self) -> Cause:
        seconds = self.timeframe_us // 1_000_000
        return Cause(self.ts, 0, self.exchange, self.symbol, PHASE_CANDLE, "candle", seconds)


class _Market(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the market says between bars. Live, the shell gives it the place of the last bar before it, as it does for ticks."""

    ts: int
    exchange: str
    symbol: str

    @property
    def cause(self) -> Cause:
        return Cause(self.ts, 0, self.exchange, self.symbol, PHASE_VENUE, type(self).__name__.lower(), 0)


class Quote(_Market, frozen=True, kw_only=True, gc=False):
    """Best bid and ask (L1), or a last price alone (bid == ask). A size of 0 is not known."""

    bid: float
    ask: float
    received_ts: int
    bid_size: float = 0.0
    ask_size: float = 0.0


class Book(_Market, frozen=True, kw_only=True, gc=False):
    """Depth (L2): (price, size) from the best outwards, sizes in units of the base asset."""

    bids: tuple[tuple[float, float], ...]
    asks: tuple[tuple[float, float], ...]
    received_ts: int


class Trade(_Market, frozen=True, kw_only=True, gc=False):
    """A public trade; `aggressor` is the side of who took."""

    price: float
    size: float
    aggressor: Side
    received_ts: int


class Mark(_Market, frozen=True, kw_only=True, gc=False):
    """The venue's mark price: what margin, liquidation and stops with trigger "mark" look at."""

    price: float


class Funding(_Market, frozen=True, kw_only=True, gc=False):
    """A funding boundary: longs pay `rate` of their notional at `mark` to shorts (below zero: the other way).

    It decides, so a live one stands right behind the input `after`, as a tick does: it may come late, and the ledger's
    cursor must not go back.
    """

    rate: float
    mark: float
    after: Cause | None = None

    @property
    def cause(self) -> Cause:
        kind = f"funding {self.exchange} {self.symbol}"
        if self.after is None:
            return Cause(self.ts, 0, self.exchange, self.symbol, PHASE_VENUE, kind, 0)
        return self.after.answered(kind, self.ts)


class Feature(_Market, frozen=True, kw_only=True, gc=False):
    """A number from outside the market (bias, sentiment ...) that rules may read until `valid_until` (us UTC).

    `symbol` "" means every symbol of the exchange, `exchange` "" every exchange.
    """

    name: str
    value: float
    valid_until: int


class Tick(msgspec.Struct, frozen=True, gc=False):
    """Time passes: after the last candle of each close time in a replay; each second live.

    A live tick stands right behind the input `after`, not at its own time: a candle that arrives late, with a close time
    before the tick, must still be decided after a restart.
    """

    ts: int
    after: Cause | None = None

    @property
    def cause(self) -> Cause:
        if self.after is None:
            return Cause(self.ts, 1, "", "", PHASE_TICK, "tick", 0)
        return self.after.answered("tick", self.ts)


class OrderReport(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The venue's word on an order: ACCEPTED, REJECTED, CANCELED or EXPIRED; or `in_doubt`, when there is no word."""

    ts: int
    cause: Cause
    order_id: str
    status: OrderStatus
    reason: str = ""
    exchange_order_id: str = ""
    in_doubt: bool = False


class FillReport(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An execution. `executed_ts` is the venue's time of it, `ts` the moment we know (bars: their close)."""

    ts: int
    cause: Cause
    order_id: str
    trade_id: str
    executed_ts: int
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    liquidity: str  # MAKER or TAKER


class LiquidationReport(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The venue has closed a position by force; `price` is what it was closed at, `fee` includes the clearance fee."""

    ts: int
    cause: Cause
    position_id: str
    trade_id: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str


class HouseReport(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the shell has measured of the house when it differs from what it said before; None is not known."""

    ts: int
    cause: Cause
    reconciled: bool | None
    journal_ok: bool | None
    journal: str
    clock_skew_ms: int | None


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What a person (or a monitor) asks. `cause` is the place of the last input before it, so that a resume keeps its place."""

    ts: int
    cause: Cause
    verb: Verb
    actor: str
    reason: str = ""
    version: int = 0
    policy: str = "keep_with_exits"  # or "flatten"
    target: str = ""  # id of a bot, position or order; "" is the account


#: What tells of prices and features, and decides nothing by itself.
MARKET_INPUTS = (Quote, Book, Trade, Mark, Funding, Feature)
MarketInput = Quote | Book | Trade | Mark | Funding | Feature
VenueReport = OrderReport | FillReport | LiquidationReport
Input = Candle | MarketInput | Tick | VenueReport | HouseReport | Command
