"""Acting on committed events: send once, cancel, latch. The last look stands between every intent and the wire."""

from __future__ import annotations

from collections import deque

from engine.core.events import CancelRequested, Event, OrderSubmitted, TradingStateChanged
from engine.core.inputs import OrderReport, VenueReport
from engine.core.ledger import Ledger
from engine.core.orders import Order
from engine.core.types import ACTIVE, HALTED, REJECTED, RUNNING, InvariantError
from engine.halt import Latch, MemoryLatch
from engine.ports import Venue


class Dispatch:
    """Turns durable intents into sends. `hold` is the kill key's first press: set from any thread, seen at the next send.
    `unrecorded` says that what is decided is in memory alone, because the database is away.
    """

    def __init__(self, venue: Venue, latch: Latch | MemoryLatch, ledger: Ledger) -> None:
        self.venue = venue
        self.latch = latch
        self.hold = self.unrecorded = False
        self.sent = 0
        self._last_number = ledger.intents
        self._refused: deque[OrderReport] = deque()

    def act(self, ledger: Ledger, event: Event) -> None:
        """The effect of one committed event; call it once per event, in order."""
        if isinstance(event, OrderSubmitted):
            self._send(ledger, event)
        elif isinstance(event, CancelRequested):
            order = ledger.orders.get(event.order_id)
            if order is not None:  # else it has ended meanwhile
                self.venue.cancel(order)
        elif isinstance(event, TradingStateChanged) and not event.bot_id:
            if event.state is HALTED:
                self.latch.set(event.actor, event.reason)
            elif event.previous is HALTED:
                self.latch.clear()

    def answer(self) -> VenueReport | None:
        """The next answer to what was sent, or was not sent after all; None when all have been given."""
        return self._refused.popleft() if self._refused else self.venue.answer()

    def _send(self, ledger: Ledger, event: OrderSubmitted) -> None:
        number = event.number
        if number <= self._last_number:  # I1: one send per client order id, ever
            raise InvariantError(f"intent {number} would be sent again (the last was {self._last_number})")
        self._last_number = number
        order = ledger.orders.get(event.order_id)
        if order is None:
            raise InvariantError(f"order {event.order_id} is not open when it is to be sent")
        if order.adds_risk and (why_not := self._last_look(ledger, order)):
            self._refused.append(
                OrderReport(
                    ts=order.submitted_ts,
                    cause=order.cause.answered("refused", order.number),
                    order_id=order.id,
                    status=REJECTED,
                    reason=f"not sent: {why_not}",
                )
            )
            return
        self.sent += 1
        self.venue.submit(order)

    def _last_look(self, ledger: Ledger, order: Order) -> str:
        """Why an entry must not be sent after all; empty when it may. Synchronous with the send."""
        if self.latch.is_set():
            return "the halt latch is set"
        if self.unrecorded:
            return "the database is down"
        if self.hold or ledger.held:
            return "entries are held"
        if ledger.state is not ACTIVE:
            return f"trading is {ledger.state}"
        book = ledger.bots.get(order.bot_id)
        if book is not None and (book.state is not ACTIVE or book.status is not RUNNING):
            return f"the bot is {book.state if book.state is not ACTIVE else book.status}"
        if order.config_version != ledger.config_version:
            return f"decided under config {order.config_version}, active is {ledger.config_version}"
        return ""
