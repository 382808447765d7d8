"""The paper venue: a pure fold of ledger and candles, `realistic` convention (design/fills.md, rules 1 to 6 for candles).

It is told of orders and bars and answers with reports; it draws nothing at random and keeps no clock. A bar is worked in
two parts. At its open: what was known before it (market orders, stops and limits that the open has gapped over) fills at
the open. Within it: stops at their price, then limits at theirs, so that a bar which reaches both takes the stop. Orders
that a fill of the open brings about (protective exits) take part in the rest of the same bar.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from decimal import ROUND_HALF_EVEN, Decimal

import msgspec

from engine.core.config import Costs
from engine.core.inputs import PHASE_VENUE, Candle, Cause, FillReport, OrderReport
from engine.core.ledger import Ledger
from engine.core.orders import Order
from engine.core.types import QUANTUM, ZERO, Instrument, OrderStatus, OrderType, Side, money

Report = OrderReport | FillReport


class _Resting(msgspec.Struct):
    """The venue's own record of an order."""

    id: str
    number: int
    exchange: str
    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    price: Decimal | None
    stop_price: Decimal | None
    reduce_only: bool
    known_ts: int  # bars that close later see it at their open
    fills: int = 0


class PaperVenue:
    """Implements `engine.ports.Venue` for spot: holdings by (bot's position is the ledger's affair; here by symbol)."""

    def __init__(self, instruments: Iterable[Instrument], costs: Costs) -> None:
        self.instruments = {(i.exchange, i.symbol): i for i in instruments}
        self.costs = costs
        self._orders: dict[str, _Resting] = {}
        self._by_symbol: dict[tuple[str, str], list[_Resting]] = {}
        self._held: dict[tuple[str, str], Decimal] = {}
        self._answers: deque[Report] = deque()

    # -- commands -----------------------------------------------------------------------------------------------------

    def submit(self, order: Order) -> None:
        """Take an order; the answer comes through `reports`."""
        self._rest(order)
        self._answers.append(self._report(order, order.cause, OrderStatus.ACCEPTED, "accepted"))

    def cancel(self, order: Order) -> None:
        """Cancel what is left of an order. One that is gone already needs no answer: its end was reported."""
        if order.cancel_cause is None or not self._remove(order.id):
            return
        self._answers.append(self._report(order, order.cancel_cause, OrderStatus.CANCELED, "canceled", order.reason))

    def reports(self) -> Iterator[Report]:
        while self._answers:
            yield self._answers.popleft()

    def restore(self, ledger: Ledger) -> None:
        """Become what the ledger says is here. Intents that have no answer yet are answered in the order of their sending."""
        self._orders.clear()
        self._by_symbol.clear()
        self._held.clear()
        self._answers.clear()
        for position in ledger.positions.values():
            key = (position.exchange, position.symbol)
            self._held[key] = self._held.get(key, ZERO) + position.quantity
        unanswered: list[tuple[int, Order, bool]] = []
        for order in ledger.orders.values():
            self._rest(order)
            if order.status is OrderStatus.SUBMITTED:
                unanswered.append((order.number, order, False))
            if order.cancel_requested:
                unanswered.append((order.cancel_number, order, True))
        for _, order, is_cancel in sorted(unanswered, key=lambda item: item[0]):
            if is_cancel:
                self.cancel(order)
            else:
                self._answers.append(self._report(order, order.cause, OrderStatus.ACCEPTED, "accepted"))

    def _rest(self, order: Order) -> None:
        resting = _Resting(
            id=order.id,
            number=order.number,
            exchange=order.exchange,
            symbol=order.symbol,
            side=order.side,
            order_type=order.order_type,
            quantity=order.remaining,
            price=order.price,
            stop_price=order.stop_price,
            reduce_only=order.reduce_only,
            known_ts=order.cause.ts,
            fills=len(order.trade_ids),
        )
        self._orders[order.id] = resting
        self._by_symbol.setdefault((order.exchange, order.symbol), []).append(resting)

    def _remove(self, order_id: str) -> bool:
        resting = self._orders.pop(order_id, None)
        if resting is not None:
            self._by_symbol[(resting.exchange, resting.symbol)].remove(resting)
        return resting is not None

    @staticmethod
    def _report(order: Order, cause: Cause, status: OrderStatus, kind: str, reason: str = "") -> OrderReport:
        ordinal = order.cancel_number if kind == "canceled" else order.number
        return OrderReport(
            ts=cause.ts,
            cause=cause.answered(kind, ordinal),
            order_id=order.id,
            status=status,
            reason=reason,
            exchange_order_id=f"paper-{order.number}",
        )

    # -- bars ---------------------------------------------------------------------------------------------------------

    def on_candle(self, candle: Candle) -> Iterator[Report]:
        """Fills of one bar, one at a time: the caller acts on each before the next is worked out."""
        key = (candle.exchange, candle.symbol)
        if not self._by_symbol.get(key):
            return
        opening = money(candle.open)
        for resting in self._live(key, before=candle.ts):
            price = self._at_open(resting, opening)
            if price is not None:
                yield self._execute(resting, candle, price, candle.open_ts)
        low, high = money(candle.low), money(candle.high)
        for stop in (True, False):
            for resting in self._live(key):
                price = self._within(resting, low, high, stop)
                if price is not None:
                    yield self._execute(resting, candle, price, candle.ts)

    def _live(self, key: tuple[str, str], before: int | None = None) -> Iterator[_Resting]:
        """Orders of a symbol in the order of sending; one that a fill in between has cancelled is passed over."""
        for resting in sorted(self._by_symbol.get(key, ()), key=lambda r: r.number):
            if resting.id in self._orders and (before is None or resting.known_ts < before):
                yield resting

    def _at_open(self, resting: _Resting, opening: Decimal) -> Decimal | None:
        if resting.order_type is OrderType.MARKET:
            return self._slipped(resting, opening)
        if resting.stop_price is not None:
            hit = opening <= resting.stop_price if resting.side is Side.SELL else opening >= resting.stop_price
            return self._slipped(resting, opening) if hit else None
        if resting.price is None:
            return None
        better = opening >= resting.price if resting.side is Side.SELL else opening <= resting.price
        return opening if better else None

    def _within(self, resting: _Resting, low: Decimal, high: Decimal, stop: bool) -> Decimal | None:
        if stop:
            if resting.stop_price is None:
                return None
            hit = low <= resting.stop_price if resting.side is Side.SELL else high >= resting.stop_price
            return self._slipped(resting, resting.stop_price) if hit else None
        if resting.price is None or resting.stop_price is not None:
            return None
        through = high >= resting.price if resting.side is Side.SELL else low <= resting.price
        return resting.price if through else None

    def _slipped(self, resting: _Resting, price: Decimal) -> Decimal:
        """A taker's price: worse by the slippage, rounded to the tick against the taker.

        Where the tick is only the stated default, the recording knows better where trades happen: no rounding.
        """
        share = self.costs.slippage_bps / 10_000
        instrument = self.instruments[(resting.exchange, resting.symbol)]
        if instrument.source == "default":
            return (price * (1 + share if resting.side is Side.BUY else 1 - share)).quantize(QUANTUM)
        if resting.side is Side.BUY:
            return instrument.price_up(price * (1 + share))
        return max(instrument.price_down(price * (1 - share)), instrument.tick_size)

    def _execute(self, resting: _Resting, candle: Candle, price: Decimal, executed_ts: int) -> Report:
        key = (resting.exchange, resting.symbol)
        held = self._held.get(key, ZERO)
        ordinal = resting.number * 1000 + resting.fills
        cause = Cause(candle.ts, 0, candle.exchange, candle.symbol, PHASE_VENUE, "fill", ordinal)
        self._remove(resting.id)
        if resting.reduce_only and resting.quantity > held:
            return OrderReport(
                ts=candle.ts,
                cause=cause,
                order_id=resting.id,
                status=OrderStatus.EXPIRED,
                reason="reduce-only: nothing left to reduce",
            )
        maker = resting.order_type is OrderType.LIMIT and executed_ts != candle.open_ts
        rate = (self.costs.maker_bps if maker else self.costs.taker_bps) / 10_000
        fee = (resting.quantity * price * rate).quantize(QUANTUM, ROUND_HALF_EVEN)
        self._held[key] = held + (resting.quantity if resting.side is Side.BUY else -resting.quantity)
        return FillReport(
            ts=candle.ts,
            cause=cause,
            order_id=resting.id,
            trade_id=f"{resting.id}-{resting.fills + 1}",
            executed_ts=executed_ts,
            quantity=resting.quantity,
            price=price,
            fee=fee,
            fee_currency=self.instruments[key].quote,
            liquidity="MAKER" if maker else "TAKER",
        )
