"""Events of decisions and orders: signals, the gates' word, and what becomes of an order."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

import msgspec

from engine.core.event_base import Event
from engine.core.types import (
    ONE,
    ZERO,
    InstrumentKind,
    Level,
    MarginMode,
    OrderType,
    Origin,
    PositionSide,
    Side,
    TimeInForce,
    Verdict,
    uuid7,
)


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
