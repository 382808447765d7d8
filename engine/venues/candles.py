"""Bars are all that is known: convention `realistic` (docs/fills.md, "Bars").

A bar is worked in two parts. At its open, what was sent before it: liquidations that the open has gapped over, market
orders, stops, limits. Within it: stops before limits, so that a bar which reaches both takes the stop. Orders that a fill
of the open brings about (protective exits) take part in the rest of the same bar; stops that a later fill brings about do,
too, but limits do not: whether the bar reached them afterwards cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from engine.core.inputs import PHASE_VENUE, Candle
from engine.core.ledger import Ledger
from engine.core.positions import Position
from engine.core.types import BUY, FOK, GTX, IOC, LIMIT, SELL, ZERO, money
from engine.venues.book import better, within
from engine.venues.fill_model import (
    Fill,
    Liquidation,
    Market,
    Match,
    Prices,
    Resting,
    crossing,
    expired,
    follow,
    is_liquidated,
    reached,
    stop_level,
)
from engine.venues.filters import RejectCode


class Matcher:
    """One bar being worked: the caller acts on each match before the next is made, so orders come and go meanwhile."""

    def __init__(self, market: Market, candle: Candle, prices: Prices, ledger: Ledger | None) -> None:
        self.market = market
        self.candle = candle
        self.prices = prices
        self.ledger = ledger
        self.open_ts = candle.open_ts
        self.open = money(candle.open)
        self._low: Decimal | None = None
        self._high: Decimal | None = None
        #: What was traded, in contracts; None: no price or size depends on it.
        self.volume: Decimal | None = None
        #: What resting limits may still fill of this bar; None: all that they want.
        self.budget: Decimal | None = None
        if prices.asks_volume:
            self.volume = money(candle.volume) / market.instrument.contract_size
            if prices.participation is not None:
                self.budget = market.instrument.quantity_down(self.volume * prices.participation)

    @property
    def low(self) -> Decimal:
        """The bar's lowest price as money: asked only when it is near to something."""
        if self._low is None:
            self._low = money(self.candle.low)
        return self._low

    @property
    def high(self) -> Decimal:
        if self._high is None:
            self._high = money(self.candle.high)
        return self._high

    def matches(self) -> Iterator[Match]:
        orders, futures = self.market.orders, self.market.linear
        if futures:
            yield from self._liquidations(self.open, self.open, stops_first=False)
        yield from self._opening()
        if futures:
            yield from self._liquidations(self.low, self.high, stops_first=True)
        yield from self._stops()
        if futures:
            yield from self._liquidations(self.low, self.high, stops_first=False)
        low, high = self.candle.low, self.candle.high
        for resting in [r for r in orders if r.is_limit and r.may_touch(low, high) and self._takes_part(r)]:
            if self._touches(resting):
                yield from self._make(resting, resting.order.price or ZERO, self.candle.ts, "fill")
            yield from self._stops()
        for resting in [r for r in orders if r.is_taker and self._came_within(r)]:
            if not resting.gone:
                yield self._take(resting, money(self.candle.close), self.candle.ts, "fill")
        for resting in orders:
            if resting.is_stop and self._from_before(resting) and not self._looks_at_mark(resting):
                follow(resting, self.high if resting.order.side is SELL else self.low)

    # -- who takes part ------------------------------------------------------------------------------------------------

    def _from_before(self, resting: Resting) -> bool:
        """Was it at the venue when the bar opened? Less latency than a bar makes no difference."""
        return resting.order.submitted_ts <= self.open_ts and resting.active_ts < self.candle.ts

    def _came_within(self, resting: Resting) -> bool:
        """Was it sent while the bar was open, by a person or a clock? Its open is past then: it acts at the close."""
        return self.open_ts < resting.order.submitted_ts and resting.active_ts < self.candle.ts

    def _takes_part(self, resting: Resting) -> bool:
        """Does it act within the bar? One fill a bar: what is left waits for the next one."""
        order, candle = resting.order, self.candle
        if resting.gone or order.filled_ts == candle.ts or resting.triggered_ts == candle.ts:
            return False
        if self._from_before(resting):
            return True
        cause = order.cause
        born_here = (
            cause.phase == PHASE_VENUE
            and cause.ts == candle.ts
            and cause.symbol == candle.symbol
            and cause.source == candle.exchange
            and resting.active_ts - order.submitted_ts < candle.timeframe_us
        )
        return born_here and (order.order_type is not LIMIT or cause.kind == "open")

    def _looks_at_mark(self, resting: Resting) -> bool:
        return resting.order.trigger == "mark" and self.market.mark is not None

    # -- the open ------------------------------------------------------------------------------------------------------

    def _opening(self) -> Iterator[Match]:
        # In the order of sending; what takes goes first, then stops, then limits.
        takers: list[Resting] = []
        stops: list[Resting] = []
        limits: list[Resting] = []
        for resting in self.market.orders:
            if self._from_before(resting) and resting.order.filled_ts != self.candle.ts:
                (stops if resting.is_stop else takers if resting.order.price is None else limits).append(resting)
        for resting in takers:
            if not resting.gone:
                yield self._take(resting, self.open, self.open_ts, "open")
        for resting in stops:
            if resting.gone or self._looks_at_mark(resting):
                continue
            if reached(resting, self.open):
                yield from self._trigger(resting, self.open, self.open_ts, "open")
            else:
                follow(resting, self.open)
        for resting in limits:
            if not resting.gone and resting.triggered_ts != self.candle.ts:
                yield from self._at_open(resting)

    def _at_open(self, resting: Resting) -> Iterator[Match]:
        order, opening = resting.order, self.open
        price = order.price or ZERO
        if not self._has_rested(resting):
            yield from self._arrive(resting, opening, self.open_ts, "open")
        elif within(order.side, opening, price) and (self.budget is None or opening != price):
            yield from self._make(resting, opening, self.open_ts, "open")

    def _has_rested(self, resting: Resting) -> bool:
        """Was it displayed before this open? What was sent at the last close arrives with it, and takes."""
        order = resting.order
        if resting.at_once:
            return False
        if resting.triggered_ts:
            return resting.arrived
        return order.submitted_ts < self.open_ts or order.cause.phase == PHASE_VENUE

    # -- within --------------------------------------------------------------------------------------------------------

    def _stops(self) -> Iterator[Match]:
        """Stops that the bar reaches, also those that come up meanwhile."""
        while (resting := self._hit_stop()) is not None:
            # One that came up within the bar may lie on the wrong side of the open: it does not trade better than that.
            worst = min if resting.order.side is SELL else max
            yield from self._trigger(resting, worst(stop_level(resting) or ZERO, self.open), self.candle.ts, "fill")

    def _hit_stop(self) -> Resting | None:
        low, high = self.candle.low, self.candle.high
        for resting in self.market.orders:
            if resting.is_stop and resting.may_touch(low, high) and self._is_hit(resting):
                return resting
        return None

    def _is_hit(self, resting: Resting) -> bool:
        price = self.low if resting.order.side is SELL else self.high
        return not self._looks_at_mark(resting) and reached(resting, price) and self._takes_part(resting)

    def _touches(self, resting: Resting) -> bool:
        """A bar fills a limit that it touches; with a cap on participation, one that it trades through."""
        order = resting.order
        price = order.price or ZERO
        best = self.low if order.side is BUY else self.high
        return within(order.side, best, price) and (self.budget is None or best != price) and self._takes_part(resting)

    # -- executions ----------------------------------------------------------------------------------------------------

    def _price(self, resting: Resting, reference: Decimal) -> Decimal:
        instrument, side = self.market.instrument, resting.order.side
        return self.prices.taken(instrument, side, reference, resting.leaves, self.volume)

    def _take(self, resting: Resting, reference: Decimal, executed_ts: int, kind: str) -> Match:
        return Fill(resting, resting.leaves, self._price(resting, reference), False, executed_ts, kind)

    def _make(self, resting: Resting, price: Decimal, executed_ts: int, kind: str) -> Iterator[Match]:
        quantity = resting.leaves
        if self.budget is not None:
            quantity = min(quantity, self.budget)
            self.budget -= quantity
        if quantity > ZERO:
            yield Fill(resting, quantity, price, True, executed_ts, kind)

    def _trigger(self, resting: Resting, reference: Decimal, executed_ts: int, kind: str) -> Iterator[Match]:
        resting.trigger(self.candle.ts)
        self.market.changed()
        if resting.order.price is None:
            yield self._take(resting, reference, executed_ts, kind)
        else:
            yield from self._arrive(resting, reference, executed_ts, kind)

    def _arrive(self, resting: Resting, reference: Decimal, executed_ts: int, kind: str) -> Iterator[Match]:
        """A limit meets the market: it takes, ends, or rests."""
        order, price = resting.order, resting.order.price or ZERO
        resting.arrived = True
        if order.time_in_force is GTX:
            if self.prices.crosses(order.side, price, reference):
                yield crossing(resting)
        elif within(order.side, self._price(resting, reference), price):
            yield self._take(resting, reference, executed_ts, kind)
        elif order.time_in_force is IOC:
            yield expired(resting, RejectCode.IOC_UNFILLED, "nothing at its limit when it arrived")
        elif order.time_in_force is FOK:
            yield expired(resting, RejectCode.FOK_UNFILLED, "not all of it at its limit when it arrived")

    # -- liquidations --------------------------------------------------------------------------------------------------

    def _liquidations(self, low: Decimal, high: Decimal, *, stops_first: bool) -> Iterator[Match]:
        """Positions that the prices liquidate, unless a mark price decides that. With `stops_first`, those whose stop lies
        nearer are left to it."""
        if self.market.mark is not None:
            return
        for position in self.market.positions(self.ledger):
            below = position.liquidated_below
            if is_liquidated(position, low if below else high) and not (stops_first and self._stop_is_nearer(position)):
                worst = min if below else max
                yield Liquidation(position, worst(position.liquidation_price or ZERO, self.open))

    def _stop_is_nearer(self, position: Position) -> bool:
        level = position.liquidation_price or ZERO
        side = BUY if position.liquidated_below else SELL
        for resting in self.market.orders:
            if resting.is_stop and resting.order.position_id == position.id and self._is_hit(resting):
                stop = stop_level(resting)
                if stop is not None and better(side, stop, level):
                    return True
        return False
