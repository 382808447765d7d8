"""Dialogs: the status line stays above them, outside text is never markup, and Esc always leaves.

Private names of textual 8.2.8 in use: `Screen._compositor_refresh`, `Screen._compositor`, `Compositor._dirty_regions`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar, cast

from rich.text import Text
from textual import events
from textual.app import ComposeResult, RenderResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.renderables.background_screen import BackgroundScreen
from textual.screen import ModalScreen
from textual.visual import Visual
from textual.widget import Widget
from textual.widgets import Input, Label, Static

from engine.core.text import safe_text
from tui.actions import find
from tui.sizing import size_classes
from tui.viewmodel import Frame, Line, Span
from tui.widgets.dimmed import Dimmed
from tui.widgets.line import BannerLine, SpanBlock, SpanLine, StatusLine
from tui.widgets.panel import COPY_MAX

if TYPE_CHECKING:
    from tui.app import CockpitApp

Result = TypeVar("Result")


class Dialog(ModalScreen[Result], Generic[Result]):
    """A box over the dimmed screen. Subclasses give `heading` and `body`; `show` is called with every frame."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "leave", "Back"),
        Binding(",".join(find("acknowledge").keys), "app.acknowledge", "Seen", show=False, id=find("acknowledge").id),
    ]
    heading: str = ""
    severity: str = ""  # "-danger" paints the frame of the box
    of_now: ClassVar[bool] = False  # about the engine as it is, whatever moment is on the screen
    _painted = False

    @property
    def cockpit(self) -> CockpitApp:
        return cast("CockpitApp", self.app)

    @property
    def is_open(self) -> bool:
        """Whether it is there still: a fast hand leaves it before it is made, and before what it asked for comes."""
        return self in self.app.screen_stack

    def body(self) -> Iterable[Widget]:
        """The widgets inside the box."""
        return ()

    def compose(self) -> ComposeResult:
        self.add_class(*size_classes(self.app), update=False)
        yield StatusLine()
        yield BannerLine()
        with Vertical(classes=f"box {self.severity}") as box:
            box.border_title = Text(safe_text(self.heading, 100))
            yield from self.body()

    def render(self) -> RenderResult | Visual:  # type: ignore[override]  # Textual takes either
        if not self._painted:
            return ""
        behind = super().render()
        return Dimmed(behind) if isinstance(behind, BackgroundScreen) else behind

    def _compositor_refresh(self) -> None:
        """The first frame has the box and the fixed lines, over the screen as it is; the next one dims what lies beneath.
        To draw all of that again takes as long as everything else between the kill key and its dialog."""
        if not self._painted:
            dirty = self._compositor._dirty_regions
            dirty.clear()
            dirty.update(child.region for child in self.children if child.display)
        super()._compositor_refresh()
        if not self._painted:
            self._painted = True
            self.refresh()

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        # What was styled as it was mounted is not styled again.
        event.refresh_styles = self._painted

    def on_mount(self) -> None:
        if self.is_open:
            self.show(self.cockpit.present if self.of_now else self.cockpit.frame)

    def show(self, frame: Frame) -> None:
        self.query_one(StatusLine).show(frame)
        banner = self.query_one(BannerLine)
        banner.show(frame)
        self.set_class(banner.has_class("-CRIT") or banner.has_class("-WARN"), "-warned")

    def action_leave(self) -> None:
        self.dismiss(None)


def prose(text: str, classes: str = "") -> Static:
    """A wrapping paragraph; markup in it is shown, not obeyed."""
    return Static(Text(safe_text(text, 1_000)), classes=f"prose {classes}", markup=False)


def keys_line(*pairs: tuple[str, str]) -> SpanBlock:
    """A row of "KEY what it does"."""
    return SpanBlock([keys_said(*pairs)], classes="keys")


def keys_said(*pairs: tuple[str, str]) -> Line:
    line: Line = []
    for key, what in pairs:
        line += [Span(f" {key} ", "badge-info"), Span(f" {what}   ")]
    return line


class Scroll(VerticalScroll):
    """A scrolling part of a dialog, with the tables' keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("j", "scroll_down", "Down"),
        ("k", "scroll_up", "Up"),
        ("g", "scroll_home", "First"),
        ("G", "scroll_end", "Last"),
        ("ctrl+d", "page_down", "Page down"),
        ("ctrl+u", "page_up", "Page up"),
    ]


class DetailDialog(Dialog[None]):
    """Everything known about one row: (field, value) pairs."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("enter", "leave", "Back"),
        ("q", "leave", "Back"),
        ("y", "copy", "Copy"),
    ]

    def __init__(self, heading: str, rows: Iterable[tuple[str, str]]) -> None:
        super().__init__()
        self.heading = heading
        self._rows = list(rows)

    def body(self) -> Iterable[Widget]:
        wide = max((len(name) for name, _ in self._rows), default=0)
        text = Text()
        for name, value in self._rows:
            text.append(f"{name:<{wide}}  ", "dim")
            text.append(f"{safe_text(value, 1_000)}\n")
        text.right_crop(1)
        yield Scroll(Static(text, markup=False))
        yield keys_line(("Esc", "back"), ("j k", "scroll"), ("y", "copy"))

    def action_copy(self) -> None:
        lines = (f"{name}\t{safe_text(value, 1_000)}" for name, value in self._rows)
        self.app.copy_to_clipboard("\n".join(lines)[:COPY_MAX])
        self.cockpit.toast("copied all of it")


class AskDialog(Dialog[str]):
    """One line of text. `refuse` says why what was typed is no answer, "" when it is one; Esc gives None."""

    def __init__(self, heading: str, label: str, refuse: Callable[[str], str], value: str = "") -> None:
        super().__init__()
        self.heading = heading
        self._label, self._refuse, self._value = label, refuse, value

    def body(self) -> Iterable[Widget]:
        yield Label(safe_text(self._label, 200), markup=False)
        yield Input(self._value, max_length=200, select_on_focus=False)
        yield SpanLine(id="result")
        yield keys_line(("Enter", "go"), ("Esc", "back"))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        problem = self._refuse(event.value)
        if problem:
            self.query_one("#result", SpanLine).set_line([Span(problem, "warn")])
        else:
            self.dismiss(event.value)
