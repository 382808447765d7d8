"""Signal -> quantity. Takes the limits' headroom beforehand, rounds down to the lot, and says why nothing is left."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_FLOOR, Decimal
from typing import NamedTuple

from engine.core.books import BotBook
from engine.core.config import Sizing
from engine.core.limits import Bounds
from engine.core.risk import DenyCode, View, notional
from engine.core.setup import BotSetup
from engine.core.types import (
    BUY,
    LINEAR,
    LONG,
    ONE,
    QUANTUM,
    SELL,
    ZERO,
    Instrument,
    PositionSide,
    Side,
    money,
)


class Size(NamedTuple):
    """Quantity in contracts, a multiple of the lot, and what limited it; zero with a `code` when it is no order."""

    quantity: Decimal
    reason: str
    code: DenyCode = DenyCode.NONE


def entry_quantity(
    view: View, bot: BotSetup, instrument: Instrument, price: Decimal, side: PositionSide = LONG
) -> Size:
    """How much to enter at about `price`.

    Shares of equity are margin: times the leverage they are the notional of a future. The size never exceeds what the hard
    limits leave, counting open orders; the gates look at it again.
    """
    unit = notional(ONE, price, instrument.contract_size)
    quantity = _wanted(view, bot, instrument, unit)
    reason = f"{bot.sizing.kind} {bot.sizing.value}"
    if quantity is None:
        return Size(ZERO, f"the average true range of {bot.sizing.atr_period} bars is not known", DenyCode.SIZE_UNKNOWN)
    for room, name in _headroom(view, bot, instrument, side):
        if room < quantity * unit:
            quantity, reason = max(room, ZERO) / unit, f"headroom of {name}"
    largest = bot.limits.max_order_quantity.hard
    if largest is not None and quantity * instrument.contract_size > largest:
        quantity, reason = largest / instrument.contract_size, "headroom of MAX_ORDER_SIZE"
    if instrument.max_quantity is not None and quantity > instrument.max_quantity:
        quantity, reason = instrument.max_quantity, "the venue's largest quantity"
    return _fit(instrument, instrument.quantity_down(quantity.quantize(QUANTUM, ROUND_FLOOR)), unit, reason)


def _fit(instrument: Instrument, quantity: Decimal, unit: Decimal, reason: str) -> Size:
    if quantity <= ZERO or quantity < instrument.min_quantity:
        why = f"quantity {quantity:f} by {reason} is below the venue's smallest {instrument.min_quantity:f}"
        return Size(ZERO, why, DenyCode.SIZE_BELOW_MINIMUM)
    if quantity * unit < instrument.min_notional:
        why = f"notional {quantity * unit:.2f} by {reason} is below the venue's smallest {instrument.min_notional:f}"
        return Size(ZERO, why, DenyCode.SIZE_BELOW_MINIMUM)
    return Size(quantity, reason)


def _wanted(view: View, bot: BotSetup, instrument: Instrument, unit: Decimal) -> Decimal | None:
    """Contracts, before any limit; None when what the sizing asks for is not known."""
    sizing = bot.sizing
    if sizing.kind == "fixed_quantity":
        return sizing.value / instrument.contract_size
    if sizing.kind == "fixed_notional":
        return sizing.value / unit
    if sizing.kind == "volatility_target":
        atr = view.market.series[(instrument.exchange, instrument.symbol)].atr(sizing.atr_period)
        if atr is None or atr <= 0:
            return None
        return view.equity() * sizing.value / 100 / (money(atr) * instrument.contract_size)
    share_pct = kelly_pct(sizing, view.ledger.bots[bot.id]) if sizing.kind == "kelly" else sizing.value
    leverage = bot.margin.leverage if instrument.kind is LINEAR else ONE
    return view.equity() * share_pct / 100 * leverage / unit


def kelly_pct(sizing: Sizing, book: BotBook) -> Decimal:
    """Percent of equity to bet: a fraction of win rate - loss rate / payoff ratio (Kelly 1956), never more than the cap, zero
    where the bot's round trips have no edge; `value` until there are enough of them."""
    trades = book.wins + book.losses
    if trades < sizing.kelly_trades:
        return min(sizing.value, sizing.kelly_cap_pct)
    win_rate = Decimal(book.wins) / trades
    edge = win_rate if book.won else ZERO
    if book.won and book.lost:
        payoff = (book.won / book.wins) / (book.lost / book.losses)
        edge = win_rate - (1 - win_rate) / payoff
    return min(max(edge, ZERO) * sizing.kelly_fraction * 100, sizing.kelly_cap_pct)


def _headroom(view: View, bot: BotSetup, instrument: Instrument, side: PositionSide) -> list[tuple[Decimal, str]]:
    """(notional still allowed, gate) of each hard limit."""
    plan = view.plan(bot.id)
    margin = ONE / bot.margin.leverage if instrument.kind is LINEAR else ONE
    rooms = [(view.free() / (margin + plan.fee_rate), "BUYING_POWER")]
    if plan.tight.max_order_value.hard is not None:
        rooms.append((plan.tight.max_order_value.hard, "MAX_ORDER_VALUE"))
    for limits, bot_id in ((plan.own, bot.id), (plan.account, "")):
        if limits.adds_up:
            rooms += _open_room(view, bot, instrument, side, limits, bot_id)
    return rooms


def _open_room(
    view: View, bot: BotSetup, instrument: Instrument, side: PositionSide, limits: Bounds, bot_id: str
) -> Iterator[tuple[Decimal, str]]:
    """What the limits on open positions leave, of one scope."""
    exchange, symbol, exposure = instrument.exchange, instrument.symbol, view.exposure()
    leg = exposure.legs.get(view.leg_key(bot.id, exchange, symbol, side))

    def room(limit: Decimal, used: Decimal) -> Decimal:
        return limit - used if leg is None else leg.room(limit - used + leg.worst(), _buys(side))

    if limits.max_position_value.hard is not None:
        yield room(limits.max_position_value.hard, exposure.of_symbol(exchange, symbol, bot_id)), "MAX_POSITION"
    if limits.max_gross_exposure_pct.hard is not None:
        most = view.equity() * limits.max_gross_exposure_pct.hard / 100
        yield room(most, exposure.gross(bot_id)), "MAX_GROSS_EXPOSURE"
    if limits.max_leverage.hard is not None:
        yield room(view.equity() * limits.max_leverage.hard, exposure.gross(bot_id)), "MAX_LEVERAGE"


def _buys(side: PositionSide) -> Side:
    return BUY if side is LONG else SELL
