"""The trading floor: which orders rest on which symbol, and what an input makes of them. Reports are made elsewhere (`paper`);
`Past` lives through what was before a restart.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from decimal import Decimal

from engine.core.config import Costs
from engine.core.inputs import Book, Candle, Mark, MarketInput, Quote, Trade
from engine.core.ledger import Ledger
from engine.core.orders import Order
from engine.core.types import FILLED, LINEAR, ZERO, Instrument, money
from engine.venues import ticks
from engine.venues.candles import Matcher
from engine.venues.fill_model import Fill, Liquidation, Market, Match, Prices, Resting, delay_us, on_mark
from engine.venues.filters import STOPS

Key = tuple[str, str]  # exchange, symbol


class Floor:
    """Orders by id and markets by symbol. `ledger` tells of positions that can be liquidated (None: of none)."""

    def __init__(
        self, instruments: dict[Key, Instrument], costs: Costs, ledger: Ledger | None, seed: int | None
    ) -> None:
        self.instruments = instruments
        self.ledger = ledger
        self.seed = seed
        self.orders: dict[str, Resting] = {}
        self.markets: dict[Key, Market] = {key: Market(*key, i) for key, i in instruments.items() if i.kind is LINEAR}
        self.configure(costs)

    def configure(self, costs: Costs) -> None:
        self.costs = costs
        self.prices = Prices(costs)
        self._ticks = costs.evidence == "ticks"
        self._delays = bool(costs.latency_ms or costs.jitter_ms)

    def market(self, of: Order | MarketInput) -> Market:
        key = (of.exchange, of.symbol)
        market = self.markets.get(key)
        if market is None:
            market = self.markets[key] = Market(of.exchange, of.symbol, self.instruments.get(key))
        return market

    def rest(self, order: Order, leaves: Decimal, reports: int) -> Resting:
        delay = delay_us(self.costs, self.seed, order.client_order_id, 0) if self._delays else 0
        market = self.market(order)
        resting = Resting(order, market, leaves, order.submitted_ts + delay, order.order_type in STOPS, reports)
        resting.aim()
        self.orders[order.id] = resting
        market.add(resting)
        return resting

    def remove(self, resting: Resting) -> None:
        del self.orders[resting.order.id]
        resting.market.remove(resting)

    def cancel(self, resting: Resting) -> bool:
        """Take an order away; False when its cancel is on its way, and acts with a later input."""
        delay = delay_us(self.costs, self.seed, resting.order.client_order_id, 1) if self._ticks else 0
        if delay:
            resting.cancel_ts = resting.order.updated_ts + delay
            return False
        self.remove(resting)
        return True

    def on_candle(self, market: Market, candle: Candle) -> Iterator[Match] | None:
        """What a bar makes of the orders of its symbol; None: nothing."""
        if self._ticks:
            return None
        if market.stale:
            market.watch()
        if market.low_watch < candle.low and candle.high < market.high_watch:
            if not market.linear or self.ledger is None or not self.ledger.positions:
                return None
            if not market.may_liquidate(self.ledger, candle.low, candle.high):
                return None
        return Matcher(market, candle, self.prices, self.ledger).matches()

    def on_market(self, value: MarketInput) -> tuple[Market, Iterable[Match]] | None:
        """The same of a quote, book, trade or mark. With evidence "bars" only a mark counts: bars tell the rest."""
        if isinstance(value, Mark):
            market = self.market(value)
            if not self._ticks:
                return market, on_mark(market, self.ledger, value, money(value.price))
        elif self._ticks and isinstance(value, Quote | Book | Trade):
            market = self.market(value)
            ticks.hear(market, value)
            if not market.orders and not market.linear:
                return None
        else:
            return None
        return market, ticks.matches(market, value, self.prices, self.ledger)


class Past:
    """A floor that lives through the inputs before a restart with the orders that the ledger knows to have been there, so
    that what no ledger tells (queues, triggers, extremes, the depth displayed and eaten) is as if nothing had stopped."""

    def __init__(self, floor: Floor, ledger: Ledger) -> None:
        self.floor = floor
        known = [*ledger.orders.values(), *ledger.closed_orders.values()]
        ended = [o for o in known if o.closed_ts and o.status is not FILLED]
        self._coming = deque(sorted(known, key=lambda o: (o.submitted_ts, o.number)))
        self._ending = deque(sorted(ended, key=lambda o: (o.closed_ts, o.number)))

    def see(self, value: Candle | MarketInput) -> None:
        floor = self.floor
        while self._coming and self._coming[0].submitted_ts < value.ts:
            order = self._coming.popleft()
            floor.rest(order, order.quantity, 0)
        while self._ending and self._ending[0].closed_ts <= value.ts:
            if (ended := floor.orders.get(self._ending.popleft().id)) is not None:
                floor.remove(ended)
        for match in self._made_of(value):
            if isinstance(match, Liquidation):
                continue
            resting = match.resting
            if isinstance(match, Fill):
                resting.leaves -= match.quantity
                resting.reports += 1
            if not isinstance(match, Fill) or resting.leaves <= ZERO:
                floor.remove(resting)

    def _made_of(self, value: Candle | MarketInput) -> Iterable[Match]:
        if not isinstance(value, Candle):
            work = self.floor.on_market(value)
            return work[1] if work else ()
        market = self.floor.markets.get((value.exchange, value.symbol))
        return () if market is None else self.floor.on_candle(market, value) or ()

    def hand_over(self, to: Floor) -> None:
        """Tell the floor of today what this one has learnt; what the ledger says of quantities stands."""
        for key, market in self.floor.markets.items():
            heir = to.markets.setdefault(key, Market(*key, to.instruments.get(key)))
            heir.depth, heir.traded, heir.mark = market.depth, market.traded, market.mark
            heir.changed()
        for order_id, was in self.floor.orders.items():
            if (now := to.orders.get(order_id)) is not None:
                now.arrived, now.queue, now.extreme = was.arrived, was.queue, was.extreme
                if was.triggered_ts:
                    now.trigger(was.triggered_ts)


def groups_of(ledger: Ledger) -> Iterator[tuple[str, Order]]:
    """(OCO group, order) of every order that the ledger still knows."""
    for order in (*ledger.orders.values(), *ledger.closed_orders.values()):
        if order.oco_group:
            yield order.oco_group, order
