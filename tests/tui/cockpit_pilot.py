"""The cockpit under Textual's Pilot, with a scripted engine and a clock that moves when told. Shared by the test files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pyte import Screen, Stream
from textual.pilot import Pilot

from tests.tui.fake_engine import FakeClock, FakeEngine
from tui.app import CockpitApp

SIZES = [(80, 24), (120, 40), (200, 60)]


def shown(app: CockpitApp) -> list[str]:
    """What the terminal shows, row by row."""
    width, height = app.size
    update = app.screen._compositor.render_full_update().render_segments(app.console)  # every screen of the stack below
    terminal = Screen(width, height)
    terminal.set_mode(20)
    Stream(terminal).feed(update)
    return list(terminal.display)


class Cockpit:
    """An app under test with its engine and clock."""

    def __init__(self, app: CockpitApp, engine: FakeEngine, clock: FakeClock, pilot: Pilot[int]) -> None:
        self.app, self.engine, self.clock, self.pilot = app, engine, clock, pilot

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.settle()

    async def settle(self) -> None:
        for _ in range(2):
            self.app.tick()
            await self.pilot.pause()
        assert self.app.problem == ""

    def rows(self) -> list[str]:
        return shown(self.app)

    def text(self) -> str:
        return "\n".join(self.rows())


@asynccontextmanager
async def cockpit(
    engine: FakeEngine | None = None, size: tuple[int, int] = (120, 40), **options: Any
) -> AsyncIterator[Cockpit]:
    engine = engine or FakeEngine.busy()
    clock = FakeClock()
    app = CockpitApp(engine, crash_log=None, clock=clock, **options)
    async with app.run_test(size=size, notifications=True) as pilot:
        under_test = Cockpit(app, engine, clock, pilot)
        await under_test.settle()
        yield under_test
