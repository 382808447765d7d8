"""A dialog that picks one of some: type to narrow the list, Enter takes the one under the cursor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input, OptionList

from engine.core.text import safe_text
from tui.screens.dialog import Dialog, keys_line

Choice = tuple[str, str]  # what is given back, what is shown beside it


class PickDialog(Dialog[str]):
    """Gives the name that was picked, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", show=False, priority=True),
        Binding("down", "move(1)", "Down", show=False, priority=True),
    ]

    def __init__(self, heading: str, choices: Sequence[Choice], current: str) -> None:
        super().__init__()
        self.heading = heading
        self._choices = choices
        self._current = current
        self._shown: list[Choice] = []

    def body(self) -> Iterable[Widget]:
        yield Input(placeholder="type to narrow the list", max_length=60)
        options = OptionList(markup=False)
        options.can_focus = False
        yield options
        yield keys_line(("Up Down", "choose"), ("Enter", "take"), ("Esc", "back"))

    def on_mount(self) -> None:
        super().on_mount()
        self._fill("")

    def _fill(self, words: str) -> None:
        options = self.query_one(OptionList)
        options.clear_options()
        wanted = words.lower().split()
        self._shown = [c for c in self._choices if all(w in f"{c[0]} {c[1]}".lower() for w in wanted)]
        wide = min(40, max((cell_len(safe_text(name, 60)) for name, _ in self._shown), default=0))
        for name, beside in self._shown:
            shown = safe_text(name, 60)
            line = Text(shown + " " * max(0, wide - cell_len(shown)) + "  ")
            line.append(safe_text(beside, 100), "dim")
            options.add_option(line)
        if self._shown:
            names = [name for name, _ in self._shown]
            options.highlighted = names.index(self._current) if self._current in names else 0

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._fill(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        at = self.query_one(OptionList).highlighted
        if at is not None and at < len(self._shown):
            self.dismiss(self._shown[at][0])

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(self._shown[event.option_index][0])

    def action_move(self, step: int) -> None:
        options = self.query_one(OptionList)
        options.action_cursor_down() if step > 0 else options.action_cursor_up()
