"""Screen 3: every event from INFO up, newest last; follows unless the cursor has left the end."""

from __future__ import annotations

from collections.abc import Iterable

from textual.widget import Widget

from tui.screens.base import CockpitScreen
from tui.viewmodel import Frame
from tui.widgets.panels import EventsPanel


class EventsScreen(CockpitScreen):
    target = "events"

    def body(self) -> Iterable[Widget]:
        yield EventsPanel(wide=True, id="events")

    def paint(self, frame: Frame) -> None:
        self.query_one(EventsPanel).paint(self.cockpit.log_book)
