"""Screen 2: every order and every fill, newest first; Enter tells the whole story of an order, x cancels an open one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.binding import BindingType
from textual.widget import Widget

from engine.client import OrderView
from engine.history import FillView
from tui.actions import bindings
from tui.paging import Pager
from tui.screens.base import CockpitScreen
from tui.viewmodel import Frame
from tui.widgets.order_tables import OPEN_ONLY, FillsTable, OrdersTable
from tui.widgets.table_messages import EdgeReached, RowSelected

PAGE = 500
#: A replay at full speed closes more orders than a picture holds: from so many on, the newest page is read again, but not
#: more often than this.
UNSEEN_MAX, READ_AGAIN_S = 40, 5.0


class OrdersScreen(CockpitScreen):
    target = "orders"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("orders"), ("escape", "stop_reading", "Stop reading")]

    def body(self) -> Iterable[Widget]:
        self.orders = OrdersTable(id="all-orders")
        self.fills = FillsTable(id="fills")
        self._pages = {
            panel: Pager(self.cockpit, panel, f"older {panel.heading}") for panel in (self.orders, self.fills)
        }
        self._ended: set[Widget] = set()
        self._totals = (0, 0)
        self._read_mono = float("-inf")
        yield self.orders
        yield self.fills

    def paint(self, frame: Frame) -> None:
        snapshot = frame.snapshot
        if snapshot is None:
            return
        self.orders.paint(snapshot)
        self.fills.paint(self.cockpit.log_book, snapshot)
        unseen = max(snapshot.orders_total - self._totals[0], snapshot.fills_total - self._totals[1])
        first = self._read_mono == float("-inf")
        if (first or unseen > UNSEEN_MAX) and frame.mono - self._read_mono >= READ_AGAIN_S:
            self._totals, self._read_mono = (snapshot.orders_total, snapshot.fills_total), frame.mono
            history = self.cockpit.client.history
            self._pages[self.orders].ask(history.orders(None, PAGE), self.orders.add)
            self._pages[self.fills].ask(history.fills(None, PAGE), self._fills_came)

    def _fills_came(self, page: Sequence[FillView]) -> None:
        snapshot = self.cockpit.frame.snapshot
        if snapshot is not None:
            self.fills.add(page, snapshot)

    def on_virtual_table_edge_reached(self, event: EdgeReached) -> None:
        """The last row: read what is older."""
        event.stop()
        panel = event.table
        if event.top or not isinstance(panel, OrdersTable | FillsTable) or self._pages[panel].reading:
            return
        if panel in self._ended:
            panel.note("nothing is older")
        elif panel.full:
            panel.note("enough for a screen; quantsail db export writes them all")
        elif panel is self.orders:
            history = self.cockpit.client.history.orders(panel.oldest, PAGE)
            self._pages[panel].ask(history, self._older_orders)
        else:
            self._pages[panel].ask(self.cockpit.client.history.fills(panel.oldest, PAGE), self._older_fills)

    def _older_orders(self, page: Sequence[OrderView]) -> None:
        self.orders.add(page)
        if len(page) < PAGE:
            self._ended.add(self.orders)

    def _older_fills(self, page: Sequence[FillView]) -> None:
        self._fills_came(page)
        if len(page) < PAGE:
            self._ended.add(self.fills)

    def on_virtual_table_row_selected(self, event: RowSelected) -> None:
        event.stop()
        if event.table is self.orders:
            self.cockpit.ordering.show_story(event.key, self.orders.order(event.key))
            return
        fill = self.fills.fill(event.key)
        if fill is not None:
            self.cockpit.ordering.show_story(fill.order_id, self.orders.order(fill.order_id))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return any(pager.reading for pager in self._pages.values()) if action == "stop_reading" else True

    def forget(self) -> None:
        for pager in self._pages.values():
            pager.stop()
        super().forget()
        self._ended.clear()
        self._totals, self._read_mono = (0, 0), float("-inf")

    def action_stop_reading(self) -> None:
        for pager in self._pages.values():
            pager.stop()

    def action_open_only(self) -> None:
        """Open orders alone, and back; whatever else was filtered by is gone."""
        self.orders.apply_filter("" if self.orders.filter.text == OPEN_ONLY else OPEN_ONLY)
