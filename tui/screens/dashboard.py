"""Screen 1: positions, orders, equity, gates, events; what fits at 80x24, 120x40 and 200x60 is decided in cockpit.tcss."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import ClassVar

from textual.binding import BindingType
from textual.containers import Vertical
from textual.widget import Widget

from tui.actions import bindings
from tui.screens.base import CockpitScreen
from tui.viewmodel import Frame
from tui.widgets.equity import DrawdownPanel, EquityPanel
from tui.widgets.event_table import EventsPanel
from tui.widgets.panels import GatesPanel, OrdersPanel, PositionsPanel
from tui.widgets.table_messages import RowSelected


class DashboardScreen(CockpitScreen):
    target = "dashboard"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("dashboard")]

    def body(self) -> Iterable[Widget]:
        with Vertical(id="left"):
            yield PositionsPanel(id="positions")
            yield OrdersPanel(id="orders")
            yield EquityPanel(id="equity")
            yield DrawdownPanel(id="drawdown")
        with Vertical(id="right"):
            yield GatesPanel(id="gates")
            yield EventsPanel(id="events")

    def paint(self, frame: Frame) -> None:
        snapshot = frame.snapshot
        if snapshot is None:
            return
        positions, orders, gates, events, equity, drawdown = self._panels
        positions.look(self.cockpit.client, snapshot, frame.mono)
        positions.paint(snapshot)
        orders.paint(snapshot)
        gates.paint(snapshot)
        events.paint(self.cockpit.log_book)
        equity.paint(self.cockpit.curve, snapshot)
        drawdown.paint(self.cockpit.curve)

    @cached_property
    def _panels(self) -> tuple[PositionsPanel, OrdersPanel, GatesPanel, EventsPanel, EquityPanel, DrawdownPanel]:
        """Looked for once: looking for them takes as long as finding that none has changed."""
        one = self.query_one
        tables = one(PositionsPanel), one(OrdersPanel), one(GatesPanel), one(EventsPanel)
        return (*tables, one(EquityPanel), one(DrawdownPanel))

    def on_virtual_table_row_selected(self, event: RowSelected) -> None:
        """The drawer of an order is the same as on its own screen."""
        event.stop()
        if isinstance(event.table, OrdersPanel):
            self.cockpit.ordering.show_story(event.key, event.table.selected_order())

    def action_orders(self) -> None:
        """On a small screen equity and orders share a place."""
        self.toggle_class("-orders")
