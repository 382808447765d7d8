"""Signal -> quantity. Takes the limits' headroom beforehand, rounds down to the lot, and says why nothing is left."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal

from engine.core.risk import View, fee_rate, free_cash
from engine.core.setup import BotSetup
from engine.core.types import QUANTUM, ZERO, Instrument


def entry_quantity(view: View, bot: BotSetup, instrument: Instrument, price: Decimal) -> tuple[Decimal, str]:
    """Quantity to buy at about `price`, and what limited it; zero with the reason when it is no order."""
    notional, reason = _wanted(view, bot, price), f"{bot.sizing.kind} {bot.sizing.value}"
    for room, name in _headroom(view, bot, instrument.symbol):
        if room < notional:
            notional, reason = room, f"headroom of {name}"
    if bot.limits.max_order_quantity.hard is not None and notional > bot.limits.max_order_quantity.hard * price:
        notional, reason = bot.limits.max_order_quantity.hard * price, "headroom of MAX_ORDER_SIZE"
    quantity = instrument.quantity_down((max(notional, ZERO) / price).quantize(QUANTUM, ROUND_FLOOR))
    if instrument.max_quantity is not None and quantity > instrument.max_quantity:
        quantity, reason = instrument.quantity_down(instrument.max_quantity), "the venue's largest quantity"
    if quantity <= ZERO or quantity < instrument.min_quantity:
        return ZERO, f"quantity {quantity} by {reason} is below the venue's smallest {instrument.min_quantity}"
    if quantity * price < instrument.min_notional:
        return (
            ZERO,
            f"notional {quantity * price:.2f} by {reason} is below the venue's smallest {instrument.min_notional}",
        )
    return quantity, reason


def _wanted(view: View, bot: BotSetup, price: Decimal) -> Decimal:
    value = bot.sizing.value
    if bot.sizing.kind == "fixed_quantity":
        return value * price
    if bot.sizing.kind == "fixed_notional":
        return value
    return view.equity() * value / 100


def _headroom(view: View, bot: BotSetup, symbol: str) -> list[tuple[Decimal, str]]:
    """(notional still allowed, gate) of each hard limit."""
    equity = view.equity()
    own, account = bot.own_limits, view.setup.account.limits
    rooms = [(free_cash(view) / (1 + fee_rate(view.setup)), "BUYING_POWER")]
    if bot.limits.max_order_value.hard is not None:
        rooms.append((bot.limits.max_order_value.hard, "MAX_ORDER_VALUE"))
    if bot.limits.max_position_value.hard is not None:
        rooms.append((bot.limits.max_position_value.hard - view.exposure(bot.id, symbol), "MAX_POSITION"))
    if own.max_gross_exposure_pct.hard is not None:
        rooms.append((equity * own.max_gross_exposure_pct.hard / 100 - view.exposure(bot.id), "MAX_GROSS_EXPOSURE"))
    if account.max_gross_exposure_pct.hard is not None:
        rooms.append((equity * account.max_gross_exposure_pct.hard / 100 - view.exposure(), "MAX_GROSS_EXPOSURE"))
    return rooms
