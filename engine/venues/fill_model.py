"""The fill model's records and pure rules (docs/fills.md): what rests, what it costs to take, when a stop is reached.

Two matchers work on these records and yield what happens, one thing at a time: `candles` (only bars are known) and `ticks`
(quotes, books and trades). The paper venue makes reports of it. No clock, no I/O, no float in money, nothing random.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from decimal import ROUND_HALF_EVEN, Decimal
from math import inf, nextafter

import msgspec

from engine.core.config import Costs
from engine.core.inputs import Mark
from engine.core.ledger import Ledger
from engine.core.orders import Order
from engine.core.positions import Position
from engine.core.types import (
    BUY,
    EXPIRED,
    FOK,
    IOC,
    LINEAR,
    MARKET,
    ONE,
    QUANTUM,
    REJECTED,
    SELL,
    SPOT,
    STOP_MARKET,
    TRAILING_STOP,
    ZERO,
    Instrument,
    OrderStatus,
    Side,
    money,
)
from engine.venues.book import Depth, better, within
from engine.venues.filters import RejectCode, says

#: Market orders and what became of triggered stops: they take whatever the price.
_TAKERS = frozenset({MARKET, STOP_MARKET, TRAILING_STOP})
_AT_ONCE = frozenset({IOC, FOK})


class Resting(msgspec.Struct, eq=False):
    """An order at the venue. Facts that never change are the order's; the rest is what the venue alone knows of it."""

    order: Order
    market: Market
    leaves: Decimal
    active_ts: int  # its command acts from here on
    is_stop: bool  # still waiting for its trigger
    reports: int = 0  # made of it so far: the number of the next
    dropped: Decimal = ZERO  # of its quantity, because another order of its group has filled
    gone: bool = False
    arrived: bool = False  # ticks: it has acted; bars: a triggered limit has rested
    triggered_ts: int = 0  # of a stop; 0 = not yet
    extreme: Decimal | None = None  # of a trailing stop: the best price since its activation
    queue: Decimal | None = None  # ahead of it at its price; None: cannot be seen
    cancel_ts: int = 0  # a cancel is on its way and acts then
    below: bool = False  # a falling price touches it
    edge: float | None = None  # beyond this no price does; None: every bar concerns it (a taker, a trailing stop)

    def aim(self) -> None:
        """Work out the edge. A float only rules out: it stands a unit in the last place further in than the nearest double of
        the Decimal, so that the recorded decimal of a float beyond it is beyond the price. Anything nearer is decided in
        Decimal."""
        order = self.order
        price = order.stop_price if self.is_stop else order.price
        self.below = (order.side is BUY) is not self.is_stop
        if price is None or order.time_in_force in _AT_ONCE:
            self.edge = None
        else:
            self.edge = nextafter(float(price), inf if self.below else -inf)

    def may_touch(self, low: float, high: float) -> bool:
        """Whether prices from `low` to `high` could touch it."""
        edge = self.edge
        return edge is None or not (edge < low if self.below else high < edge)

    def trigger(self, ts: int) -> None:
        """A stop's price has been reached at `ts`: a taker or a limit from now on."""
        self.triggered_ts, self.is_stop = ts, False
        self.aim()

    @property
    def is_taker(self) -> bool:
        """Takes whatever the price, as soon as it can."""
        return self.order.order_type in _TAKERS and not self.is_stop

    @property
    def is_limit(self) -> bool:
        return self.order.price is not None and not self.is_stop

    @property
    def at_once(self) -> bool:
        """Must fill when it arrives, or never."""
        return self.order.time_in_force in _AT_ONCE


class Market:
    """One symbol at the venue: its orders in the order of sending, and what was last heard of it. A bar within `quiet_above`
    and `quiet_below` touches nothing here, without a look at the orders."""

    def __init__(self, exchange: str, symbol: str, instrument: Instrument | None) -> None:
        self.exchange = exchange
        self.symbol = symbol
        self.instrument = instrument or Instrument(exchange=exchange, symbol=symbol, base="", quote="")
        self.linear = self.instrument.kind is LINEAR
        self.orders: list[Resting] = []
        self.depth = Depth(self.instrument.contract_size)
        self.traded: float | None = None  # the last trade
        self.mark: Decimal | None = None
        self.stale = True  # `watch` has not seen the orders as they are
        self.low_watch, self.high_watch = inf, -inf
        self.quiet_above, self.quiet_below = inf, -inf

    @property
    def last(self) -> Decimal | None:
        """The last price: that of the last trade; until one is heard, the middle of bid and ask."""
        if self.traded is not None:
            return money(self.traded)
        bid, ask = self.depth.best(BUY), self.depth.best(SELL)
        return None if bid is None or ask is None else (bid + ask) / 2

    def add(self, resting: Resting) -> None:
        self.orders.append(resting)
        self.changed()

    def changed(self) -> None:
        """What rests here has changed: the next bar works out again what it must not touch (`watch`)."""
        self.stale, self.quiet_above = True, inf

    def remove(self, resting: Resting) -> None:
        resting.gone = True
        self.orders.remove(resting)
        self.changed()

    def positions(self, ledger: Ledger | None) -> list[Position]:
        """Open positions here that can be liquidated, oldest first."""
        if not self.linear or ledger is None or not ledger.positions:
            return []
        return [
            p
            for p in ledger.open_positions()
            if p.liquidation_price is not None and p.symbol == self.symbol and p.exchange == self.exchange
        ]

    def may_liquidate(self, ledger: Ledger, low: float, high: float) -> bool:
        """Could prices from `low` to `high` liquidate a position here? As careful with floats as `watch`."""
        for position in ledger.positions.values():
            level = position.liquidation_price
            if level is None or position.symbol != self.symbol or position.exchange != self.exchange:
                continue
            near = float(level)
            if low <= nextafter(near, inf) if position.liquidated_below else high >= nextafter(near, -inf):
                return True
        return False

    def watch(self) -> None:
        """Work out the prices that a bar must stay between, as floats, for nothing here to be touched (`Resting.aim`)."""
        self.stale = False
        low, high = -inf, inf
        for resting in self.orders:
            edge = resting.edge
            if edge is None:
                low, high = inf, -inf
                break
            if resting.below:
                low = max(low, edge)
            else:
                high = min(high, edge)
        self.low_watch, self.high_watch = low, high
        if not self.linear:  # a future's bar may liquidate, whatever rests
            self.quiet_above, self.quiet_below = low, high


# -- what the matchers yield -------------------------------------------------------------------------------------------


class Fill(msgspec.Struct, frozen=True, gc=False):
    """An execution. `kind` tells fills at a bar's open ("open") from others ("fill"): later orders of the bar depend on it."""

    resting: Resting
    quantity: Decimal
    price: Decimal
    maker: bool
    executed_ts: int
    kind: str = "fill"


class End(msgspec.Struct, frozen=True, gc=False):
    """What is left of an order ends; `kind` is that of the report's cause."""

    resting: Resting
    status: OrderStatus
    reason: str
    kind: str = "ended"


class Liquidation(msgspec.Struct, frozen=True):
    """The venue takes a position away."""

    position: Position
    price: Decimal


Match = Fill | End | Liquidation


def expired(resting: Resting, code: RejectCode, words: str) -> End:
    return End(resting, EXPIRED, says(code, words))


def crossing(resting: Resting) -> End:
    return End(resting, REJECTED, says(RejectCode.POST_ONLY, "it would have taken"))


# -- prices ------------------------------------------------------------------------------------------------------------


class Prices:
    """Costs as fractions, worked out once, and the price that a taker pays where no depth is known."""

    def __init__(self, costs: Costs) -> None:
        self.maker_rate = costs.maker_bps / 10_000
        self.taker_rate = costs.taker_bps / 10_000
        self.liquidation_rate = (costs.taker_bps + costs.liquidation_bps) / 10_000
        self.half_spread = costs.half_spread_bps / 10_000
        self.slip = self.half_spread + costs.slippage_bps / 10_000
        self.impact = costs.impact_bps / 10_000
        self.participation = None if costs.participation_pct is None else costs.participation_pct / 100
        self.depth_ticks = costs.depth_ticks
        self.asks_volume = bool(self.impact) or self.participation is not None

    def taken(
        self, instrument: Instrument, side: Side, reference: Decimal, quantity: Decimal, volume: Decimal | None
    ) -> Decimal:
        """Reference x (1 +/- (half spread + slippage + impact x sqrt(quantity / volume))), rounded to the tick against the taker.

        An order larger than the volume (or where there was none) counts as large as it. Where the tick is only the stated
        default, the recording knows better where trades happen: no rounding.
        """
        share = self.slip
        if self.impact and volume is not None:
            share += self.impact * (quantity / volume).sqrt() if quantity < volume else self.impact
        if instrument.source == "default" or instrument.tick_size == ZERO:
            if share == ZERO:
                return reference
            return (reference * (1 + share if side is BUY else 1 - share)).quantize(QUANTUM, ROUND_HALF_EVEN)
        if side is BUY:
            return instrument.price_up(reference * (1 + share))
        return max(instrument.price_down(reference * (1 - share)), instrument.tick_size)

    def crosses(self, side: Side, price: Decimal, reference: Decimal) -> bool:
        """Would a limit take, where bid and ask stand half a spread around `reference`?"""
        return within(side, reference * (1 + self.half_spread if side is BUY else 1 - self.half_spread), price)

    def fee(self, instrument: Instrument, side: Side, fill: Fill) -> tuple[Decimal, str]:
        """(fee, currency) of an execution; a rebate is below zero."""
        rate = self.maker_rate if fill.maker else self.taker_rate
        if instrument.fee_in_base and side is BUY and instrument.kind is SPOT:
            return (fill.quantity * rate).quantize(QUANTUM, ROUND_HALF_EVEN), instrument.base
        fee = fill.quantity * fill.price * rate
        if instrument.contract_size != ONE:
            fee *= instrument.contract_size
        return fee.quantize(QUANTUM, ROUND_HALF_EVEN), instrument.quote


def delay_us(costs: Costs, seed: int | None, order_id: str, n: int) -> int:
    """Latency of the n-th command of an order (0 its sending, 1 its cancel): the same whatever else happens (decisions.md 2)."""
    delay = costs.latency_ms * 1000
    if costs.jitter_ms:
        digest = hashlib.sha256(f"{seed}|{order_id}|{n}".encode()).digest()
        delay += int.from_bytes(digest[:8]) % (costs.jitter_ms * 1000 + 1)
    return delay


# -- stops and liquidations --------------------------------------------------------------------------------------------


def stop_level(resting: Resting) -> Decimal | None:
    """The price that triggers a stop; None: a trailing stop that is not active yet."""
    order = resting.order
    if order.order_type is not TRAILING_STOP:
        return order.stop_price
    if resting.extreme is None or order.callback_rate is None:
        return None
    share = order.callback_rate / 100
    return resting.extreme * (1 - share if order.side is SELL else 1 + share)


def reached(resting: Resting, price: Decimal) -> bool:
    """Does `price` trigger this stop? Touching counts."""
    level = stop_level(resting)
    return level is not None and within(resting.order.side, level, price)


def follow(resting: Resting, price: Decimal) -> None:
    """Let a trailing stop see a price: it activates there, or moves its extreme."""
    order = resting.order
    if order.order_type is not TRAILING_STOP or resting.triggered_ts:
        return
    if resting.extreme is None:
        wanted = order.activation_price
        if wanted is None or (price >= wanted if order.side is SELL else price <= wanted):
            resting.extreme = price
    elif better(BUY if order.side is SELL else SELL, price, resting.extreme):
        resting.extreme = price


def is_liquidated(position: Position, price: Decimal) -> bool:
    return position.liquidates(price, price)  # legs of a hedge share a price: not the side says which way it is reached


def on_mark(market: Market, ledger: Ledger | None, value: Mark, mark: Decimal) -> Iterator[Match]:
    """A mark price: it liquidates, and it triggers the stops that look at it (they act with the next price)."""
    market.mark = mark
    for position in market.positions(ledger):
        if is_liquidated(position, mark):
            yield Liquidation(position, mark)
    for resting in list(market.orders):
        if resting.order.trigger == "mark" and resting.is_stop and resting.active_ts <= value.ts:
            follow(resting, mark)
            if reached(resting, mark):
                resting.trigger(value.ts)
                market.changed()
