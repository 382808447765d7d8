"""Pages of the past for a panel: asked for by keys, never waited for, said while they are read, stopped by Esc."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from engine.core.text import safe_text
from tui.widgets.panel import Panel

if TYPE_CHECKING:
    from tui.app import CockpitApp

T = TypeVar("T")


class Pager:
    """One question at a time. `what` names it in the panel's border."""

    def __init__(self, app: CockpitApp, panel: Panel, what: str) -> None:
        self._app = app
        self._panel = panel
        self._what = what
        self._future: Future[Any] | None = None

    @property
    def reading(self) -> bool:
        return self._future is not None

    def ask(self, future: Future[T], arrived: Callable[[T], None]) -> None:
        """Call `arrived` with the answer, on the screen's loop. What goes wrong is said in the border."""
        self.stop()
        self._future = future
        self._panel.note(f"reading {self._what} - Esc stops")

        def come(done: Future[T]) -> None:
            if self._future is not done:
                return
            self._future = None
            if done.cancelled():
                self._panel.note(f"stopped reading {self._what}")
            elif (error := done.exception()) is not None:
                self._panel.note(f"{self._what}: {safe_text(str(error) or type(error).__name__, 120)}")
            else:
                self._panel.note("")
                arrived(done.result())

        self._app.wait_for(future, come)

    def stop(self) -> bool:
        """Give up the page that is being read; False when there is none."""
        future, self._future = self._future, None
        if future is None:
            return False
        future.cancel()
        self._panel.note(f"stopped reading {self._what}")
        return True
