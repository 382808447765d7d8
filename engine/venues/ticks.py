"""Quotes, books and trades are known: takers walk the depth, makers wait in the queue (docs/fills.md, "Ticks").

An order acts with the first input later than its command and not before its latency is over, on what that input leaves
displayed. So an order never trades on the very input that brought it about.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from engine.core.inputs import Book, Mark, Quote, Trade
from engine.core.ledger import Ledger
from engine.core.types import BUY, CANCELED, FOK, GTX, IOC, SELL, ZERO, Side, money
from engine.venues.book import better, walk, within
from engine.venues.fill_model import (
    End,
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
    on_mark,
    reached,
)
from engine.venues.filters import RejectCode

Evidence = Quote | Book | Trade


def hear(market: Market, value: Evidence) -> None:
    """Take in what an input says of prices and depth; nothing happens by it."""
    if isinstance(value, Quote):
        market.depth.update(((value.bid, value.bid_size),), ((value.ask, value.ask_size),))
    elif isinstance(value, Book):
        market.depth.update(value.bids, value.asks)
    else:
        market.traded = value.price


def matches(market: Market, value: Evidence | Mark, prices: Prices, ledger: Ledger | None) -> Iterator[Match]:
    """What one input makes of the orders of its symbol, one at a time; `hear` comes first."""
    yield from _cancels(market, value.ts)
    if isinstance(value, Mark):
        yield from on_mark(market, ledger, value, money(value.price))
        return
    if isinstance(value, Trade):
        yield from _traded(market, value)
    else:
        yield from _displayed(market, value.ts)
    positions = market.positions(ledger) if market.mark is None else ()
    for position in positions:
        last = market.last
        if last is not None and is_liquidated(position, last):
            yield Liquidation(position, last)
    waiting = [
        r for r in market.orders if not r.arrived and r.active_ts <= value.ts and r.order.submitted_ts < value.ts
    ]
    for resting in sorted(waiting, key=lambda r: (r.active_ts, r.order.number)):
        if not resting.gone and not (resting.is_stop and not _triggers(market, resting, value.ts)):
            resting.arrived = True
            yield from _meet(market, resting, value.ts, prices)


def _cancels(market: Market, ts: int) -> Iterator[Match]:
    """Cancels that were on their way and act now, before what this input brings."""
    for resting in [r for r in market.orders if 0 < r.cancel_ts <= ts]:
        yield End(resting, CANCELED, resting.order.reason, "canceled")


# -- makers --------------------------------------------------------------------------------------------------------------


def _makers(market: Market, side: Side) -> list[Resting]:
    """Resting limits of a side, the nearest to the other side first, then the earliest."""
    found = [r for r in market.orders if r.arrived and r.is_limit and r.order.side is side]
    sign = -1 if side is BUY else 1
    return sorted(found, key=lambda r: (sign * (r.order.price or ZERO), r.order.number))


def _traded(market: Market, trade: Trade) -> Iterator[Match]:
    """A trade eats the queue at its price first; what it had left, or all of it where it went through, fills us."""
    side = BUY if trade.aggressor is SELL else SELL
    price, size = money(trade.price), money(trade.size) / market.instrument.contract_size
    used = ZERO  # of this trade, by our own orders before
    for resting in _makers(market, side):
        limit = resting.order.price or ZERO
        if better(side, limit, price):
            resting.queue = ZERO
            reaches_us = size
        elif limit == price and resting.queue is not None:
            reaches_us = max(size - resting.queue, ZERO)
            resting.queue = max(resting.queue - size, ZERO)
        else:
            continue
        quantity = min(resting.leaves, reaches_us - used)
        if quantity > ZERO:
            used += quantity
            yield Fill(resting, quantity, limit, True, trade.ts)


def _displayed(market: Market, ts: int) -> Iterator[Match]:
    """The other side's best at or through our price fills what it shows there; what is shown ahead of us can only shrink."""
    for side in (BUY, SELL):
        for resting in _makers(market, side):
            limit = resting.order.price or ZERO
            plan = walk(market.depth.facing(side), side, resting.leaves, limit, None)
            if plan:
                for price, quantity in plan:
                    market.depth.eat(side, price, quantity)
                yield Fill(resting, sum((q for _, q in plan), ZERO), limit, True, ts)
            ahead = market.depth.ahead(side, limit)
            if ahead is not None:
                resting.queue = ahead if resting.queue is None else min(resting.queue, ahead)


# -- takers --------------------------------------------------------------------------------------------------------------


def _triggers(market: Market, resting: Resting, ts: int) -> bool:
    """Does the last price trigger this stop? Its latency is behind it: it meets the market at once."""
    last = market.last
    if last is None or (resting.order.trigger == "mark" and market.mark is not None):
        return False
    follow(resting, last)
    if reached(resting, last):
        resting.trigger(ts)
    return resting.triggered_ts > 0


def _meet(market: Market, resting: Resting, ts: int, prices: Prices) -> Iterator[Match]:
    """An order that may take meets what is displayed: it takes, ends, or rests at the end of the queue."""
    order = resting.order
    limit = None if resting.is_taker else order.price
    plan = _plan(market, resting, limit, prices)
    if order.time_in_force is GTX and limit is not None and _would_take(market, order.side, limit, prices):
        yield crossing(resting)
        return
    if order.time_in_force is FOK and sum((q for _, q in plan), ZERO) < resting.leaves:
        yield expired(resting, RejectCode.FOK_UNFILLED, "not all of it at its limit when it arrived")
        return
    for price, quantity in plan:
        if resting.gone:
            return
        market.depth.eat(order.side, price, quantity)
        yield Fill(resting, min(quantity, resting.leaves), price, False, ts)
    if resting.gone:
        return
    if limit is None:
        yield expired(resting, RejectCode.NO_LIQUIDITY, "the other side of the book is empty")
    elif order.time_in_force is IOC:
        yield expired(resting, RejectCode.IOC_UNFILLED, "no more at its limit when it arrived")
    else:
        resting.queue = market.depth.ahead(order.side, limit)


def _would_take(market: Market, side: Side, limit: Decimal, prices: Prices) -> bool:
    best = market.depth.best(SELL if side is BUY else BUY)
    if best is not None:
        return within(side, best, limit)
    last = market.last
    return not market.depth.known and last is not None and prices.crosses(side, limit, last)


def _plan(market: Market, resting: Resting, limit: Decimal | None, prices: Prices) -> list[tuple[Decimal, Decimal]]:
    """What it would take, level by level; without any depth, all at the last price and its costs."""
    instrument, side = market.instrument, resting.order.side
    if market.depth.known:
        beyond = prices.depth_ticks * instrument.tick_size
        return walk(market.depth.facing(side), side, resting.leaves, limit, beyond)
    last = market.last
    if last is None:
        return []
    price = prices.taken(instrument, side, last, resting.leaves, None)
    return [(price, resting.leaves)] if within(side, price, limit) else []
