"""Screen 2's tables: every order and every fill that memory or a page of the past has brought, newest first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from engine.client import OrderView, Snapshot
from engine.core import events as ev
from engine.history import FillView, Place, fill_view
from tui.widgets import rows
from tui.widgets.columns import NEVER, Column, Row
from tui.widgets.logbook import LogBook
from tui.widgets.panel import Panel

#: Orders and fills that are kept on the screen; beyond that a filter or an export of the database serves better.
KEPT = 20_000

_WHEN = (
    Column(key="date", title="Date", width=10, priority=9, min_screen=120, time=True),
    Column(key="time", title="Time", width=9, time=True),
)
OPEN_ONLY = "open:open"


class OrdersTable(Panel):
    """Open orders, then the others. `places` are a symbol's own decimals, where its market is known."""

    heading = "orders"
    empty = "No order yet. A bot sends one when a rule fires and all gates allow it: 5 shows the gates."
    columns_of = (
        *_WHEN,
        Column(key="symbol", title="Symbol", width=12, min_width=8),
        Column(key="side", title="Side", width=4),
        Column(key="role", title="Role", width=11, priority=3),
        Column(key="type", title="Type", width=11, min_width=6, priority=5),
        Column(key="quantity", title="Qty", width=6, numeric=True, priority=1),
        Column(key="price", title="Price", width=8, numeric=True, priority=1),
        Column(key="status", title="Status", width=13, min_width=12),
        Column(key="filled", title="Filled", width=6, numeric=True, priority=6, min_screen=120),
        Column(key="reason", title="Reason", width=20, min_width=8, priority=12, grow=True),
        Column(key="bot", title="Bot", width=10, min_width=6, priority=8, min_screen=120),
        Column(key="config", title="Cfg", width=4, priority=10, min_screen=180),
        Column(key="exchange", title="Venue", width=8, priority=11, min_screen=180),
        Column(key="open", title="Open", width=6, min_screen=NEVER),
        Column(key="id", title="Id", width=36, min_screen=NEVER),
    )

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._orders: dict[str, OrderView] = {}
        self._row_of: dict[str, Row] = {}
        self._shown: tuple[OrderView, ...] | None = None
        self._places: dict[tuple[str, str], int] = {}
        self._total = 0

    def paint(self, snapshot: Snapshot) -> None:
        """Take in the newest picture; an order that was open and is in it no more keeps its last word."""
        if snapshot.orders == self._shown:
            return
        self._shown, self._total = snapshot.orders, snapshot.orders_total
        self._places = _places(snapshot)
        self._take(snapshot.orders)

    def add(self, page: Sequence[OrderView]) -> None:
        """A page of the past: what the engine's picture says of an order counts more."""
        current = {order.id for order in self._shown or ()}
        self._take(order for order in page if order.id not in current)

    def _take(self, orders: Iterable[OrderView]) -> None:
        current = {order.id for order in self._shown or () if order.is_open}
        gone = [o for o in self._orders.values() if o.is_open and o.id not in current]
        # A picture holds every open order, but few of those that have ended: what became of these is in a page of the past.
        ended = [_ended(order) for order in gone]
        for order in (*ended, *(o if o.id in current or not o.is_open else _ended(o) for o in orders)):
            if self._orders.get(order.id) != order:
                self._orders[order.id] = order
                places = self._places.get((order.exchange, order.symbol), order.price_places)
                self._row_of[order.id] = rows.order_record(order, places)
        newest = sorted(self._orders.values(), key=lambda o: (not o.is_open, -o.ts, o.id))[:KEPT]
        self._orders = {order.id: order for order in newest}
        self._row_of = {order.id: self._row_of[order.id] for order in newest}
        self.set_rows(self._row_of.values())
        opened = sum(order.is_open for order in newest)
        self.entitle(f"({opened} open, {len(newest):,} of {max(self._total, len(newest)):,} shown)")

    def forget(self) -> None:
        super().forget()
        self._orders, self._row_of, self._shown = {}, {}, None

    @property
    def oldest(self) -> Place | None:
        """Behind which the next page begins: before the oldest order that has ended, as all open ones are here."""
        return _oldest(self._orders.values())

    @property
    def full(self) -> bool:
        return len(self._orders) >= KEPT

    def order(self, key: str | None) -> OrderView | None:
        return self._orders.get(key or "")

    def selected_order(self) -> OrderView | None:
        return self.order(self.cursor_key)


class FillsTable(Panel):
    heading = "fills"
    empty = "No fill yet. Executions of your orders appear here, newest first."
    columns_of = (
        *_WHEN,
        Column(key="symbol", title="Symbol", width=12, min_width=8),
        Column(key="side", title="Side", width=4),
        Column(key="quantity", title="Qty", width=6, numeric=True),
        Column(key="price", title="Price", width=8, numeric=True),
        Column(key="value", title="Value", width=8, numeric=True, priority=5, min_screen=120),
        Column(key="fee", title="Fee", width=5, numeric=True, priority=2),
        Column(key="currency", title="in", width=5, priority=3),
        Column(key="liquidity", title="As", width=6, priority=4),
        Column(key="pnl", title="P&L", width=7, numeric=True, priority=1),
        Column(key="bot", title="Bot", width=10, min_width=6, priority=6, grow=True),
        Column(key="exchange", title="Venue", width=8, priority=7, min_screen=180),
        Column(key="order", title="Order", width=36, min_screen=NEVER),
        Column(key="id", title="Id", width=36, min_screen=NEVER),
    )

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._fills: dict[str, FillView] = {}
        self._row_of: dict[str, Row] = {}
        self._seq = 0
        self._version = -1
        self._total = 0

    def paint(self, book: LogBook, snapshot: Snapshot) -> None:
        if book.version == self._version:
            return
        self._version, self._total = book.version, snapshot.fills_total
        news = (one.event for one in book.after(self._seq, len(book.entries)))
        fills = [fill_view(e, book.bots.get(e.bot_id, e.bot_id[:8])) for e in news if isinstance(e, ev.OrderFilled)]
        self._seq = book.seq
        self._take(fills, _places(snapshot))

    def add(self, page: Sequence[FillView], snapshot: Snapshot) -> None:
        self._take(page, _places(snapshot))

    def _take(self, fills: Iterable[FillView], places: Mapping[tuple[str, str], int]) -> None:
        before = len(self._fills)
        for fill in fills:
            if fill.id not in self._fills:
                self._fills[fill.id] = fill
                at = places.get((fill.exchange, fill.symbol), _decimals(fill))
                self._row_of[fill.id] = rows.fill_record(fill, at)
        if len(self._fills) != before:
            newest = sorted(self._fills.values(), key=lambda f: (f.ts, f.id), reverse=True)[:KEPT]
            self._fills = {fill.id: fill for fill in newest}
            self._row_of = {fill.id: self._row_of[fill.id] for fill in newest}
            self.set_rows(self._row_of.values())
        self.entitle(f"({len(self._fills):,} of {max(self._total, len(self._fills)):,} shown)")

    def forget(self) -> None:
        super().forget()
        self._fills, self._row_of, self._seq, self._version = {}, {}, 0, -1
        self.set_rows(())

    @property
    def oldest(self) -> Place | None:
        return _oldest(self._fills.values())

    @property
    def full(self) -> bool:
        return len(self._fills) >= KEPT

    def fill(self, key: str) -> FillView | None:
        return self._fills.get(key)


def _ended(order: OrderView) -> OrderView:
    return replace(order, is_open=False, status="ENDED", flags="")


def _oldest(found: Iterable[OrderView | FillView]) -> Place | None:
    places = [(one.ts, one.id) for one in found if not getattr(one, "is_open", False)]
    return Place(*min(places)) if places else None


def _places(snapshot: Snapshot) -> dict[tuple[str, str], int]:
    return {(mark.exchange, mark.symbol): mark.price_places for mark in snapshot.marks}


def _decimals(fill: FillView) -> int:
    exponent = fill.price.normalize().as_tuple().exponent
    return min(8, max(2, -exponent)) if isinstance(exponent, int) else 2
