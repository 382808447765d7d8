"""Screen 6: config versions, the difference to the active one, activation and rollback (an older version, activated)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import Any, ClassVar

from rich.text import Text
from textual import events
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.widget import Widget

from engine.client import ConfigLine, ConfigShelf
from tui.actions import bindings
from tui.screens.base import CockpitScreen
from tui.screens.typed import ActivateDialog, diff_lines
from tui.viewmodel import Frame, Span
from tui.widgets.line import SpanBlock
from tui.widgets.panels import ConfigsPanel

NEW_HINT = "n makes a version from the one under the cursor; outside: quantsail config new FILE, then r here"


class ConfigsScreen(CockpitScreen):
    target = "configs"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("configs")]

    def __init__(self) -> None:
        super().__init__()
        self._lines: Sequence[ConfigLine] = ()
        self._asked_for = -1
        self._select = 0  # a version that the next list brings

    def body(self) -> Iterable[Widget]:
        yield ConfigsPanel(id="configs")
        with VerticalScroll(id="diff", can_focus=False) as scroll:
            scroll.border_title = Text("difference to the active version")
            yield SpanBlock(id="diff-lines")

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        self.action_reload()

    def paint(self, frame: Frame) -> None:
        # Somebody else may have activated one: the list belongs to the version that the engine runs.
        if frame.snapshot is not None and frame.snapshot.config_version != self._asked_for:
            self._asked_for = frame.snapshot.config_version
            self.action_reload()

    def forget(self) -> None:
        super().forget()
        self._asked_for = -1

    def action_reload(self) -> None:
        if self.cockpit.frame.snapshot is not None:
            self.cockpit.ask_configs(self.listed)

    def listed(self, lines: Sequence[ConfigLine], problem: str = "") -> None:
        """The engine's answer, newest version first; or why there is none."""
        panel = self.query_one(ConfigsPanel)
        if problem:
            self.cockpit.toast(f"config list: {problem}", failed=True)
            return
        self._lines = sorted(lines, key=lambda line: -line.version)
        panel.fill(self._lines)
        if self._select:
            panel.move_to(str(self._select))
            self._select = 0
        self._show_diff(panel.selected())

    def on_panel_moved(self, event: ConfigsPanel.Moved) -> None:
        event.stop()
        self._show_diff(event.key)

    def _show_diff(self, key: str | None) -> None:
        line = self._line(key)
        block = self.query_one("#diff-lines", SpanBlock)
        if line is None:
            block.set_lines([[Span(NEW_HINT, "dim")]])
            return
        lines = diff_lines(line)
        if line.problem:
            lines = [[Span("✖ cannot be activated: ", "warn"), Span(line.problem)], *lines]
        elif line.is_active:
            lines = [
                *lines,
                [],
                [Span("n ", "key"), Span("makes a new version from this one: a form, or $EDITOR", "dim")],
            ]
        else:
            lines = [*lines, [], [Span("A ", "key"), Span(f"activates v{line.version}", "dim")]]
        block.set_lines(lines)

    def _line(self, key: str | None) -> ConfigLine | None:
        return next((line for line in self._lines if str(line.version) == key), None)

    @property
    def active_version(self) -> int:
        return next((line.version for line in self._lines if line.is_active), 0)

    def action_activate(self) -> None:
        line = self._line(self.query_one(ConfigsPanel).selected())
        if line is None:
            self.cockpit.toast(NEW_HINT, failed=True)
        elif line.is_active:
            self.cockpit.toast(f"v{line.version} is active already", failed=True)
        elif line.problem:
            self.cockpit.toast(f"v{line.version} cannot be activated: {line.problem}", failed=True)
        elif self.cockpit.may_command():
            self.app.push_screen(ActivateDialog(line, self.active_version), self._after)

    def _after(self, _result: None) -> None:
        self.action_reload()

    def action_previous_version(self) -> None:
        """The version that was activated last before the active one."""
        active = self._line(str(self.active_version))
        if active is None:
            return
        until = active.activated_ts or active.created_ts
        before = [x for x in self._lines if not x.is_active and x.activated_ts is not None and x.activated_ts <= until]
        if not before:
            self.cockpit.toast("no version was active before this one", failed=True)
            return
        target = max(before, key=lambda line: line.activated_ts or 0)
        self.query_one(ConfigsPanel).move_to(str(target.version))

    def action_new_config(self) -> None:
        """The form, from the version under the cursor; of none there is the active one."""
        line = self._line(self.query_one(ConfigsPanel).selected())
        client = self.cockpit.client
        if line is None or not self.cockpit.may_command() or not isinstance(client, ConfigShelf):
            self.cockpit.toast(NEW_HINT, failed=True)
            return
        version = line.version

        def arrived(done: Future[Any]) -> None:
            from tui.screens.configform import ConfigForm

            try:
                form = ConfigForm(version, done.result())
            except (ValueError, RuntimeError, OSError) as error:
                self.cockpit.toast(f"v{version}: {error}", failed=True)
            else:
                self.app.push_screen(form, self._stored)

        self.cockpit.wait_for(client.document(version), arrived)

    def _stored(self, version: int | None) -> None:
        if version is not None:
            self._select = version
            self.cockpit.toast(f"v{version} is stored; A activates it")
            self.action_reload()
