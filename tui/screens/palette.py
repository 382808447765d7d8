"""The palette: every action of the registry by name, under a status line that stays alive."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from textual.app import ComposeResult
from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.dom import DOMNode

from tui.actions import Action, actions_of, keys_of
from tui.possible import why_not
from tui.viewmodel import Frame
from tui.widgets.chart import Chart
from tui.widgets.line import BannerLine, StatusLine
from tui.widgets.panel import Panel

if TYPE_CHECKING:
    from tui.app import CockpitApp


class ActionProvider(Provider):
    """What can be done here: the app's actions and those of the screen below."""

    def _actions(self) -> Iterable[Action]:
        target = str(getattr(self.screen, "target", ""))
        return [
            a for a in [*actions_of(target), *self._of_focused(), *actions_of("app")] if a.name != "command_palette"
        ]

    def _of_focused(self) -> Iterable[Action]:
        """Those of the chart or table that has the focus below the palette; moving is for keys alone."""
        focused = self.screen.focused
        if isinstance(focused, Chart):
            return actions_of("chart")
        if isinstance(focused, Panel):
            return [a for a in actions_of("table") if a.name in ("filter", "copy", "copy_id", "export")]
        return ()

    async def discover(self) -> Hits:
        for action, why in self._sorted():
            yield DiscoveryHit(shown(action, why), self._run(action, why), title(action), help=told(action, why))

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for action, why in self._sorted():
            score = matcher.match(f"{title(action)} {action.help}")
            if score > 0:
                found = shown(action, why) if why else matcher.highlight(title(action))
                # What is possible comes first, however well the rest fits.
                yield Hit(
                    score / 2 if why else score + 1, found, self._run(action, why), title(action), told(action, why)
                )

    def _sorted(self) -> list[tuple[Action, str]]:
        """What is possible now, then the rest with why it is not."""
        app = cast("CockpitApp", self.app)
        found = [(action, why_not(app, action, self.screen.focused)) for action in self._actions()]
        return sorted(found, key=lambda pair: bool(pair[1]))

    def _run(self, action: Action, why: str) -> Callable[[], Any]:
        if why:
            return partial(cast("CockpitApp", self.app).toast, f"{action.label}: {why}", failed=True)
        namespace: DOMNode = self.app if action.target == "app" else self.screen
        if action.target in ("chart", "table") and self.screen.focused is not None:
            namespace = self.screen.focused
        return partial(self.app.run_action, action.method, namespace)


def title(action: Action) -> str:
    return f"{action.label} ({keys_of(action)})"


def shown(action: Action, why: str) -> Content:
    """The title, grey when it is not possible now."""
    return Content.styled(title(action), "$quiet") if why else Content(title(action))


def told(action: Action, why: str) -> str:
    """The second line of a hit."""
    return f"not now: {why}" if why else action.help


class Palette(CommandPalette):
    """Textual's palette with our provider and our first line."""

    def __init__(self) -> None:
        super().__init__(providers=[ActionProvider])

    def compose(self) -> ComposeResult:
        yield StatusLine()
        yield BannerLine()
        yield from super().compose()

    def on_mount(self) -> None:
        self.show(cast("CockpitApp", self.app).frame)

    def show(self, frame: Frame) -> None:
        self.query_one(StatusLine).show(frame)
        self.query_one(BannerLine).show(frame)
