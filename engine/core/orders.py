"""The order and its state machine: one transition table. Any terminal state plus a new trade id still takes the fill."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from engine.core import events as ev
from engine.core.inputs import Cause
from engine.core.types import (
    CANCELED,
    EXPIRED,
    FILLED,
    ISOLATED,
    MARKET,
    ONE,
    PARTIALLY_FILLED,
    QUANTUM,
    SPOT,
    SUBMITTED,
    TERMINAL,
    ZERO,
    InstrumentKind,
    MarginMode,
    OrderStatus,
    OrderType,
    Origin,
    PositionSide,
    Side,
    TimeInForce,
)

_S = OrderStatus

#: From a state to those that a venue's word may move it to. What is not here is ignored: a late ACCEPTED of a FILLED
#: order, a second CANCELED. REJECTED -> ACCEPTED is the order we gave up on that lives after all (adopt, then cancel).
TRANSITIONS: dict[OrderStatus, frozenset[OrderStatus]] = {
    _S.SUBMITTED: frozenset({_S.ACCEPTED, _S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELED, _S.REJECTED, _S.EXPIRED}),
    _S.ACCEPTED: frozenset({_S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELED, _S.REJECTED, _S.EXPIRED}),
    _S.PARTIALLY_FILLED: frozenset({_S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELED, _S.EXPIRED}),
    _S.REJECTED: frozenset({_S.ACCEPTED, _S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELED, _S.EXPIRED}),
    _S.CANCELED: frozenset({_S.FILLED}),
    _S.EXPIRED: frozenset({_S.FILLED}),
    _S.FILLED: frozenset(),
    _S.DENIED: frozenset(),
}


class Order(msgspec.Struct, gc=False):
    """An order that was (or may have been) sent. Prices and quantities Decimal, times int microseconds UTC, 0 = not yet.

    What it was sent with comes first, in the order of the fields of `OrderSubmitted` (`from_event`).
    """

    submitted_ts: int
    cause: Cause
    id: str
    number: int
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
    role: str
    quantity: Decimal
    price: Decimal | None
    stop_price: Decimal | None
    reduce_only: bool
    valid_until: int | None
    config_version: int
    oco_group: str = ""
    replaces: str = ""
    trigger: str = "last"
    activation_price: Decimal | None = None
    callback_rate: Decimal | None = None
    kind: InstrumentKind = SPOT
    contract_size: Decimal = ONE
    leverage: Decimal = ONE
    margin_mode: MarginMode = ISOLATED
    tag: str = ""
    hedge: bool = False
    placed_ts: int = 0
    status: OrderStatus = SUBMITTED
    in_doubt: bool = False
    cancel_requested: bool = False
    cancel_number: int = 0
    cancel_cause: Cause | None = None
    exchange_order_id: str = ""
    filled_quantity: Decimal = ZERO
    filled_value: Decimal = ZERO
    fees: Decimal = ZERO
    pnl: Decimal = ZERO
    trade_ids: list[str] = []
    reason: str = ""
    updated_ts: int = 0
    filled_ts: int = 0
    closed_ts: int = 0

    @property
    def client_order_id(self) -> str:
        """The id as 32 lower-case hex digits, which suits every venue that we target."""
        return self.id.replace("-", "")

    @property
    def is_open(self) -> bool:
        return self.status not in TERMINAL

    @property
    def remaining(self) -> Decimal:
        return self.quantity - self.filled_quantity

    @property
    def is_protective(self) -> bool:
        """Rests at the venue to leave a position: what a pause keeps and a flattening takes away."""
        return self.reduce_only and self.order_type is not MARKET

    @property
    def adds_risk(self) -> bool:
        return self.origin is Origin.ENTRY or not self.reduce_only

    def goes(self, policy: str) -> bool:
        """Whether a stop with this policy takes the order away: entries always, all of them with "cancel" and "flatten"."""
        return self.adds_risk or policy in ("cancel", "flatten")

    @property
    def avg_fill_price(self) -> Decimal | None:
        return (self.filled_value / self.filled_quantity).quantize(QUANTUM) if self.filled_quantity else None


def from_event(e: ev.OrderSubmitted) -> Order:
    """The order that an intent becomes."""
    *terms, ts, cause = msgspec.structs.astuple(e)  # what every event has stands last
    order = Order(ts, cause, *terms)
    order.updated_ts = e.ts
    order.placed_ts = e.placed_ts or e.ts
    return order


def may(order: Order, status: OrderStatus) -> bool:
    return status in TRANSITIONS[order.status]


def advance(order: Order, status: OrderStatus, ts: int, reason: str) -> None:
    """Move to a state that the venue reported, where the table allows it; otherwise the report is old news."""
    if status not in TRANSITIONS[order.status]:
        return
    order.status, order.updated_ts = status, ts
    order.in_doubt = False
    order.closed_ts = ts if status in TERMINAL else 0
    if reason:
        order.reason = reason


def fill(order: Order, e: ev.OrderFilled) -> None:
    """Add an execution; an over-fill is a fact too and leaves `remaining` negative."""
    order.filled_quantity += e.quantity
    order.filled_value += e.quantity * e.price
    order.fees += e.fee_value
    order.pnl += e.pnl
    if e.part == 0:
        order.trade_ids.append(e.trade_id)
    order.in_doubt, order.updated_ts, order.filled_ts = False, e.ts, e.ts
    if order.filled_quantity >= order.quantity:
        order.status, order.closed_ts = FILLED, e.ts
    elif order.status not in (CANCELED, EXPIRED):
        order.status, order.closed_ts = PARTIALLY_FILLED, 0
