"""What a venue refuses before an order reaches its book, in words that every venue here shares.

The live adapter maps the codes of exchanges to the same enum, so that paper and live are refused alike.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from engine.core.orders import Order
from engine.core.types import (
    GTX,
    LIMIT,
    LINEAR,
    MARKET,
    STOP_LIMIT,
    STOP_MARKET,
    TRAILING_STOP,
    ZERO,
    Instrument,
    OrderType,
)

STOPS = frozenset({STOP_MARKET, STOP_LIMIT, TRAILING_STOP})


class RejectCode(StrEnum):
    """Why a venue refused or ended an order. A report's `reason` is "CODE: words"."""

    SYMBOL_UNKNOWN = "SYMBOL_UNKNOWN"
    SYMBOL_HALTED = "SYMBOL_HALTED"
    PRICE_INVALID = "PRICE_INVALID"
    PRICE_TICK = "PRICE_TICK"
    QUANTITY_LOT = "QUANTITY_LOT"
    QUANTITY_MIN = "QUANTITY_MIN"
    QUANTITY_MAX = "QUANTITY_MAX"
    NOTIONAL_MIN = "NOTIONAL_MIN"
    TYPE_UNSUPPORTED = "TYPE_UNSUPPORTED"
    REDUCE_ONLY = "REDUCE_ONLY"
    POST_ONLY = "POST_ONLY"
    ORDER_UNKNOWN = "ORDER_UNKNOWN"
    IOC_UNFILLED = "IOC_UNFILLED"
    FOK_UNFILLED = "FOK_UNFILLED"
    NO_LIQUIDITY = "NO_LIQUIDITY"
    OCO = "OCO"
    LIQUIDATION = "LIQUIDATION"


def says(code: RejectCode, words: str) -> str:
    return f"{code}: {words}"


def refusal(order: Order, instrument: Instrument, held: Decimal | None, reference: Decimal | None) -> str:
    """Why an order cannot be taken, "" when it can.

    `held` is what a reduce-only order may reduce (None: not known), `reference` the last price for the notional of a
    market order (None: not known, not checked).
    """
    kind, price, stop, quantity = order.order_type, order.price, order.stop_price, order.quantity
    has_price, has_stop = _HAS[kind]
    if instrument.status != "TRADING":
        return says(RejectCode.SYMBOL_HALTED, f"{instrument.symbol} is {instrument.status}")
    if order.time_in_force is GTX and kind is not LIMIT:
        return says(RejectCode.TYPE_UNSUPPORTED, f"GTX is for LIMIT orders, not for {kind}")
    if (price is None) is has_price:
        return says(RejectCode.PRICE_INVALID, f"{kind} {'needs' if has_price else 'takes no'} price")
    if (stop is None) is has_stop:
        return says(RejectCode.PRICE_INVALID, f"{kind} {'needs' if has_stop else 'takes no'} stop price")
    if kind is TRAILING_STOP and not (order.callback_rate and ZERO < order.callback_rate < 100):
        return says(RejectCode.PRICE_INVALID, "a trailing stop needs a callback rate between 0 and 100 %")
    for each in (price, stop, order.activation_price):
        if each is not None and (wrong := _step(each, instrument)):
            return wrong
    lot = instrument.lot_size
    if lot and instrument.source != "default" and quantity % lot:
        return says(RejectCode.QUANTITY_LOT, f"{quantity} is no multiple of {lot}")
    if quantity <= ZERO or quantity < instrument.min_quantity:
        return says(RejectCode.QUANTITY_MIN, f"{quantity} is below {instrument.min_quantity}")
    if instrument.max_quantity is not None and quantity > instrument.max_quantity:
        return says(RejectCode.QUANTITY_MAX, f"{quantity} is above {instrument.max_quantity}")
    at = (price or stop or reference) if instrument.min_notional else None
    if at is not None and not (order.reduce_only and instrument.kind is LINEAR):  # those close whatever their size
        value = quantity * at * instrument.contract_size
        if value < instrument.min_notional:
            return says(RejectCode.NOTIONAL_MIN, f"{value.normalize():f} is below {instrument.min_notional}")
    if order.reduce_only and held is not None and held <= ZERO:
        return says(RejectCode.REDUCE_ONLY, "there is nothing to reduce")
    return ""


#: By the type of an order: whether it has a price, and a stop price.
_HAS: dict[OrderType, tuple[bool, bool]] = {
    MARKET: (False, False),
    LIMIT: (True, False),
    STOP_MARKET: (False, True),
    STOP_LIMIT: (True, True),
    TRAILING_STOP: (False, False),
}


def _step(price: Decimal, instrument: Instrument) -> str:
    """A price is above zero and a multiple of the tick; a default instrument's tick and lot are only stated, so they refuse
    nothing (decisions.md 9)."""
    if price <= ZERO:
        return says(RejectCode.PRICE_INVALID, "a price must be above zero")
    tick = instrument.tick_size
    if tick and instrument.source != "default" and price % tick:
        return says(RejectCode.PRICE_TICK, f"{price} is no multiple of {tick}")
    return ""
