"""The first picture of a cockpit: what a screen has while no engine has reported. The panels are imported and made behind it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from textual.app import ComposeResult
from textual.screen import Screen

from tui.screens.base import CockpitScreen
from tui.sizing import size_classes
from tui.widgets.line import BannerLine, KeyBar, SpanBlock, StatusLine

#: The mode of it: not a screen to go to.
STARTING = "starting"


def late(name: str) -> Callable[[], Screen[Any]]:
    """A screen that is imported when it is first looked at."""

    def make() -> Screen[Any]:
        screen: Screen[Any] = getattr(import_module(f"tui.screens.{name}"), f"{name.title()}Screen")()
        return screen

    return make


class StartingScreen(CockpitScreen):
    """As the screen that follows it looks before the engine's first report: its panels would be hidden."""

    def compose(self) -> ComposeResult:
        self.add_class(*size_classes(self.app), "-starting", update=False)
        yield StatusLine()
        yield BannerLine()
        yield SpanBlock(id="starting")
        yield SpanBlock(id="too-small")
        yield KeyBar(self.cockpit.settings.start_screen)
