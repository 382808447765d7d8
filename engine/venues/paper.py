"""The paper venue: a pure fold of ledger and inputs, with the fill model inside (docs/fills.md).

It is told of orders and of the market and answers with reports; it draws nothing at random and keeps no clock. What it may
reduce or liquidate it reads from the ledger's positions: the caller acts on each report before the next is made.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from decimal import ROUND_HALF_EVEN, Decimal

import msgspec

from engine.core.config import Costs
from engine.core.inputs import (
    PHASE_AFTER,
    PHASE_VENUE,
    Candle,
    Cause,
    FillReport,
    LiquidationReport,
    MarketInput,
    OrderReport,
    VenueReport,
)
from engine.core.ledger import Ledger
from engine.core.orders import Order
from engine.core.types import (
    ACCEPTED,
    CANCELED,
    LONG,
    QUANTUM,
    REJECTED,
    SELL,
    SUBMITTED,
    ZERO,
    Instrument,
    OrderStatus,
    Origin,
)
from engine.venues.bars import CurrentBars
from engine.venues.fill_model import End, Fill, Liquidation, Market, Match, Resting, expired
from engine.venues.filters import RejectCode, refusal, says
from engine.venues.floor import Floor, Past, groups_of

#: Reports that one order can have before their ordinals would meet the next order's.
_REPORTS_MAX = 1_000_000


class _Moment(msgspec.Struct, frozen=True, gc=False):
    """When reports are made, and the place of their causes."""

    ts: int
    place: Cause

    def cause(self, kind: str, ordinal: int) -> Cause:
        p = self.place
        return Cause(p.ts, p.late, p.source, p.symbol, p.phase, kind, ordinal)


class PaperVenue:
    """Implements `engine.ports.Venue`. Without any instruments (a short-lived writer) it takes orders unseen and fills none."""

    def __init__(self, instruments: Iterable[Instrument], costs: Costs) -> None:
        self.instruments = {(i.exchange, i.symbol): i for i in instruments}
        self._ledger: Ledger | None = None
        self._floor = Floor(self.instruments, costs, None, None)
        self._past: Past | None = None
        self._answers: deque[VenueReport] = deque()
        self._trying: Iterator[VenueReport] | None = None  # an order in the current bar
        self._current: CurrentBars | None = None
        self.configure(costs)

    def configure(self, costs: Costs) -> None:
        """Charge and fill by `costs` from the next input on."""
        self.costs = costs
        self._floor.configure(costs)
        if (costs.convention == "bar") != (self._current is not None):
            self._current = CurrentBars() if costs.convention == "bar" else None

    # -- commands -----------------------------------------------------------------------------------------------------

    def submit(self, order: Order) -> None:
        """Take an order; the answer comes through `reports`. The same order twice is one order."""
        if order.id in self._floor.orders or order.exchange_order_id:
            self._answers.append(_answer(order, ACCEPTED, "accepted"))
        else:
            self._take(order)

    def cancel(self, order: Order) -> None:
        """Cancel what is left of an order. One that has ended needs no answer: its end was reported."""
        if order.cancel_cause is None:
            return
        resting = self._floor.orders.get(order.id)
        if resting is not None:
            if self._floor.cancel(resting):
                self._answers.append(_answer(order, CANCELED, "canceled", order.reason))
        elif not order.exchange_order_id:
            reason = says(RejectCode.ORDER_UNKNOWN, "no such order to cancel")
            self._answers.append(_answer(order, REJECTED, "unknown", reason))

    def answer(self) -> VenueReport | None:
        """The next answer; with convention `bar`, what becomes of the orders that are due in the current bar, too."""
        if self._current is None:
            return self._answers.popleft() if self._answers else None
        while True:
            if self._trying is not None:
                report = next(self._trying, None)
                if report is not None:
                    return report
                self._trying = None
            if self._answers:
                return self._answers.popleft()
            if not self._current.due:
                return None
            self._trying = self._tried(self._current, self._current.due.popleft())

    def _tried(self, current: CurrentBars, order_id: str) -> Iterator[VenueReport]:
        """Convention `bar`: trade in the current bar, or rest."""
        resting = self._floor.orders.get(order_id)
        if resting is None:
            return
        order = resting.order
        traded = current.trade(order.exchange, order.symbol, order.price)
        if traded is not None:
            candle, price = traded
            place = Cause(candle.ts, 0, candle.exchange, candle.symbol, PHASE_AFTER, "", 0)
            fill = Fill(resting, resting.leaves, price, order.price is not None, candle.ts)
            yield from self._made(self._floor.market(order), [fill], _Moment(candle.ts, place))

    def _take(self, order: Order) -> None:
        """Refuse an order, or let it rest and say so."""
        if reason := self._refusal(order):
            self._answers.append(_answer(order, REJECTED, "rejected", reason))
            return
        self._floor.rest(order, order.remaining, len(order.trade_ids))
        self._answers.append(_answer(order, ACCEPTED, "accepted"))
        if self._current is not None:
            self._current.due.appendleft(order.id)

    def _refusal(self, order: Order) -> str:
        if not self.instruments:
            return ""
        instrument = self.instruments.get((order.exchange, order.symbol))
        if instrument is None:
            return says(RejectCode.SYMBOL_UNKNOWN, f"{order.exchange} does not trade {order.symbol}")
        held = self._held(order) if order.reduce_only else None
        # Only the notional of a market order asks for the last price.
        asks = instrument.min_notional and order.price is None and order.stop_price is None
        last = self._floor.market(order).last if asks else None
        return refusal(order, instrument, held, last)

    # -- the ledger ----------------------------------------------------------------------------------------------------

    def restore(self, ledger: Ledger) -> None:
        """Become what the ledger says is here. Intents that have no answer yet are answered in the order of their sending."""
        self._ledger = ledger
        self._floor = Floor(self.instruments, self.costs, ledger, ledger.seed)
        self._past = self._trying = None
        self._answers.clear()
        groups: dict[str, list[Order]] = {}
        for group, order in groups_of(ledger):
            groups.setdefault(group, []).append(order)
        unanswered: list[tuple[int, Order, bool]] = []
        for order in ledger.open_orders():
            if order.status is SUBMITTED:
                unanswered.append((order.number, order, False))
            elif order.origin is not Origin.LIQUIDATION:
                self._resume(order, groups.get(order.oco_group, ()))
            if order.cancel_requested:
                unanswered.append((order.cancel_number, order, True))
        for _, order, is_cancel in sorted(unanswered, key=lambda item: item[0]):
            if is_cancel:
                self.cancel(order)
            else:
                self._take(order)
        for resting in [r for r in self._floor.orders.values() if r.leaves <= ZERO]:
            # Killed between the fill of another order of its group and the word that this one ends.
            place = ledger.cursor or resting.order.cause
            self._answers.append(self._ended(_out_of_group(resting), _Moment(ledger.now, place.answered("", 0))))

    def _resume(self, order: Order, group: Iterable[Order]) -> None:
        """An order rests again, less what the others of its group have filled since it was sent."""
        resting = self._floor.rest(order, order.remaining, len(order.trade_ids))
        for other in group:
            if other is not order and other.filled_ts > order.submitted_ts:
                resting.leaves -= other.filled_quantity
                resting.dropped += other.filled_quantity

    def warm(self, value: Candle | MarketInput) -> None:
        """An input from before the restart: what the ledger does not tell (queues, triggers, extremes) is learnt again."""
        if self._current is not None:
            if isinstance(value, Candle):
                self._current.again(value, self._resting(value))
            return
        if self._ledger is None:
            return
        if self._past is None:
            self._past = Past(Floor(self.instruments, self.costs, None, self._ledger.seed), self._ledger)
        self._past.see(value)

    def _resting(self, candle: Candle) -> list[str]:
        """Ids of the orders that rest on the symbol of a bar, in the order of their sending."""
        market = self._floor.markets.get((candle.exchange, candle.symbol))
        return [r.order.id for r in market.orders] if market else []

    def _end_of_past(self, past: Past) -> None:
        past.hand_over(self._floor)
        self._past = None

    def _held(self, order: Order) -> Decimal | None:
        """What an order could reduce; None: no ledger to ask."""
        ledger = self._ledger
        if ledger is None:
            return None
        position = ledger.positions.get(order.position_id) or ledger.open_position(
            order.bot_id, order.exchange, order.symbol, order.position_side
        )
        if position is None or (position.side is LONG) != (order.side is SELL):
            return ZERO
        return max(position.quantity, ZERO)

    # -- the market ----------------------------------------------------------------------------------------------------

    def on_candle(self, candle: Candle) -> Iterable[VenueReport]:
        """Reports of one bar, one at a time: the caller acts on each before the next is worked out."""
        market = self._floor.markets.get((candle.exchange, candle.symbol))
        if market is not None and market.quiet_above < candle.low and candle.high < market.quiet_below:
            return ()
        if self._past is not None:
            self._end_of_past(self._past)
            return self.on_candle(candle)
        if self._current is not None:
            self._current.begin(candle, self._resting(candle))
            return ()
        matches = None if market is None else self._floor.on_candle(market, candle)
        if market is None or matches is None:
            return ()
        place = Cause(candle.ts, 0, candle.exchange, candle.symbol, PHASE_VENUE, "", 0)
        return self._made(market, matches, _Moment(candle.ts, place))

    def on_market(self, value: MarketInput, after: Cause) -> Iterable[VenueReport]:
        """Reports of a quote, book, trade or mark, one at a time; their causes stand at the place of `after`."""
        if self._past is not None:
            self._end_of_past(self._past)
        work = self._floor.on_market(value)
        return () if work is None else self._made(*work, _Moment(value.ts, after.answered("", 0)))

    # -- reports -------------------------------------------------------------------------------------------------------

    def _made(self, market: Market, matches: Iterable[Match], at: _Moment) -> Iterator[VenueReport]:
        for match in matches:
            if isinstance(match, Fill):
                yield from self._filled(market, match, at)
            elif isinstance(match, End):
                yield self._ended(match, at)
            else:
                yield from self._liquidated(market, match, at)

    def _filled(self, market: Market, fill: Fill, at: _Moment) -> Iterator[VenueReport]:
        """An execution, trimmed to what a reduce-only order can reduce, and what it means for the orders of its group."""
        resting, order = fill.resting, fill.resting.order
        held = self._held(order) if order.reduce_only else None
        if held is not None and held < fill.quantity:
            if held <= ZERO:
                yield self._ended(expired(resting, RejectCode.REDUCE_ONLY, "nothing left to reduce"), at)
                return
            fill = Fill(resting, held, fill.price, fill.maker, fill.executed_ts, fill.kind)
        resting.leaves -= fill.quantity
        fee, currency = self._floor.prices.fee(market.instrument, order.side, fill)
        resting.reports += 1
        if resting.leaves <= ZERO:
            self._floor.remove(resting)
        yield FillReport(
            ts=at.ts,
            cause=at.cause(fill.kind, order.number * _REPORTS_MAX + resting.reports - 1),
            order_id=order.id,
            trade_id=f"{order.id}-{resting.reports}",
            executed_ts=fill.executed_ts,
            quantity=fill.quantity,
            price=fill.price,
            fee=fee,
            fee_currency=currency,
            liquidity="MAKER" if fill.maker else "TAKER",
        )
        if held == fill.quantity and not resting.gone:
            yield self._ended(expired(resting, RejectCode.REDUCE_ONLY, "nothing left to reduce"), at)
        if order.oco_group:
            yield from self._grouped(market, resting, fill.quantity, at)

    def _grouped(self, market: Market, filled: Resting, quantity: Decimal, at: _Moment) -> Iterator[VenueReport]:
        """What one order of a group has filled, the others lose; who has nothing left is cancelled."""
        if filled.gone and filled.dropped:
            yield self._ended(_out_of_group(filled), at)
        for other in list(market.orders):
            if other.order.oco_group == filled.order.oco_group and other is not filled and not other.gone:
                other.leaves -= quantity
                other.dropped += quantity
                if other.leaves <= ZERO:
                    yield self._ended(_out_of_group(other), at)

    def _ended(self, end: End, at: _Moment) -> OrderReport:
        order = end.resting.order
        if not end.resting.gone:
            self._floor.remove(end.resting)
        ordinal = order.number * _REPORTS_MAX + end.resting.reports
        return OrderReport(
            ts=at.ts,
            cause=at.cause(end.kind, ordinal),
            order_id=order.id,
            status=end.status,
            reason=end.reason,
            exchange_order_id=f"paper-{order.number}",
        )

    def _liquidated(self, market: Market, taken: Liquidation, at: _Moment) -> Iterator[VenueReport]:
        """The position goes at its price, with the clearance fee; its reduce-only orders go with it."""
        position, quantity = taken.position, taken.position.quantity
        notional = quantity * market.instrument.contract_size * taken.price
        fee = (notional * self._floor.prices.liquidation_rate).quantize(QUANTUM, ROUND_HALF_EVEN)
        ordinal = int.from_bytes(hashlib.sha256(position.id.encode()).digest()[:6])
        yield LiquidationReport(
            ts=at.ts,
            cause=at.cause("liquidation", ordinal),
            position_id=position.id,
            trade_id=f"liquidation-{position.id}-{at.ts}",
            quantity=quantity,
            price=taken.price,
            fee=fee,
            fee_currency=market.instrument.quote,
        )
        words = says(RejectCode.LIQUIDATION, "the position was liquidated")
        for resting in list(market.orders):
            if resting.order.reduce_only and resting.order.position_id == position.id and not resting.gone:
                yield self._ended(End(resting, CANCELED, words, "canceled"), at)


def _out_of_group(resting: Resting) -> End:
    words = says(RejectCode.OCO, "another order of its group has filled")
    return End(resting, CANCELED, words, "canceled")


def _answer(order: Order, status: OrderStatus, kind: str, reason: str = "") -> OrderReport:
    """The answer to a command, at the place of the command."""
    cause, number = order.cause, order.number
    if kind != "accepted" and kind != "rejected" and order.cancel_cause is not None:
        cause, number = order.cancel_cause, order.cancel_number
    return OrderReport(
        ts=cause.ts,
        cause=cause.answered(kind, number),
        order_id=order.id,
        status=status,
        reason=reason,
        exchange_order_id=f"paper-{order.number}",
    )
