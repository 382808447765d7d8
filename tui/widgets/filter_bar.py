"""The line in which a table's filter is typed: the rows follow the keys, Enter keeps the filter, Esc shows all again."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.timer import Timer
from textual.widgets import Input, Label

from tui.filtering import FILTER_MAX
from tui.widgets.columns import NEVER
from tui.widgets.panel import Panel

#: Keys that follow one another faster than this are one filter: 50,000 rows are not looked at for each of them.
TYPING_S = 0.12


class FilterBar(Horizontal):
    """Shown while a filter is typed; belongs to one panel at a time."""

    DEFAULT_CSS = """
    FilterBar { display: none; height: 1; background: $surface; }
    FilterBar Label { width: auto; color: $accent; text-style: bold; padding: 0 1; }
    FilterBar .hint { color: $quiet; text-style: none; }
    FilterBar Input { width: 1fr; height: 1; border: none; padding: 0; background: $surface; }
    FilterBar Input:focus { border: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [("escape", "clear", "Show all"), ("down,up", "keep", "Keep it")]

    def __init__(self) -> None:
        super().__init__()
        self._panel: Panel | None = None
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        yield Label("/")
        yield Input(max_length=FILTER_MAX, select_on_focus=False, compact=True)
        yield Label("", classes="hint", markup=False)

    def open(self, panel: Panel) -> None:
        """Type the filter of `panel`."""
        self._panel = panel
        self.display = True
        names = [c.key for c in panel.columns if c.key not in ("what", "reason")]
        names.sort(key=lambda name: next(c.min_screen == NEVER for c in panel.columns if c.key == name))
        self.query_one(".hint", Label).update(
            f"text, -text, {names[0]}:text … {names[-1]}:text   Enter keeps, Esc shows all"
        )
        typed = self.query_one(Input)
        typed.value = panel.filter.text
        typed.cursor_position = len(typed.value)
        self.screen.set_focus(typed)

    def take(self, event: events.Key, panel: Panel) -> bool:
        """A key that was on its way to `panel` when the filter was opened. True when it is the filter's."""
        typed = self.query_one(Input)
        if self._panel is not panel:
            return False
        if event.key == "enter":
            self.action_keep()
        elif event.key == "escape":
            self.action_clear()
        elif event.key == "backspace":
            typed.action_delete_left()
        elif event.is_printable and event.character is not None:
            typed.insert_text_at_cursor(event.character)
        else:
            return False
        return True

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(TYPING_S, self._apply)

    def _apply(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        if self._panel is not None:
            self._panel.apply_filter(self.query_one(Input).value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_keep()

    def action_keep(self) -> None:
        self._apply()
        self._leave()

    def action_clear(self) -> None:
        self.query_one(Input).value = ""
        self._apply()
        self._leave()

    def _leave(self) -> None:
        panel, self._panel = self._panel, None
        self.display = False
        if panel is not None:
            self.screen.set_focus(panel)
