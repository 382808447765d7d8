"""Screen 5: the risk gates against their limits, and the bots that they guard."""

from __future__ import annotations

from collections.abc import Iterable

from textual.widget import Widget

from tui.screens.base import CockpitScreen
from tui.viewmodel import Frame
from tui.widgets.panels import BotsPanel, GatesPanel, MarksPanel


class GatesScreen(CockpitScreen):
    target = "gates"

    def body(self) -> Iterable[Widget]:
        yield GatesPanel(wide=True, id="gates")
        yield BotsPanel(id="bots")
        yield MarksPanel(id="marks")

    def paint(self, frame: Frame) -> None:
        if frame.snapshot is not None:
            self.query_one(GatesPanel).paint(frame.snapshot)
            self.query_one(BotsPanel).paint(frame.snapshot)
            self.query_one(MarksPanel).paint(frame.snapshot)
