"""What every screen of the cockpit has in common: fixed lines, a body, and a word when there is no room or no engine yet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.geometry import Size
from textual.screen import Screen
from textual.widget import Widget

from engine.core.text import safe_text
from tui.actions import key_of
from tui.exporting import csv_text
from tui.saving import export
from tui.sizing import reset, size_classes
from tui.viewmodel import Frame, Line, Span, state_word
from tui.widgets.filter_bar import FilterBar
from tui.widgets.line import BannerLine, FrameLine, KeyBar, ReplayLine, SpanBlock, StatusLine
from tui.widgets.panel import Panel

if TYPE_CHECKING:
    from tui.app import CockpitApp

LEAST_WIDTH, LEAST_HEIGHT = 80, 20


class CockpitScreen(Screen[None]):
    """A mode of the cockpit. Subclasses give `target` (their actions), `body`, and `paint`."""

    target: ClassVar[str] = ""
    _shown: tuple[object, ...] = ()
    _era = 0
    _resumed = False
    _fixed: tuple[FrameLine, ...] = ()  # looked for once: they stay as long as the screen
    ALLOW_IN_MAXIMIZED_VIEW = "StatusLine, BannerLine, ReplayLine, KeyBar, FilterBar, FilterBar *"

    @property
    def cockpit(self) -> CockpitApp:
        return cast("CockpitApp", self.app)

    def body(self) -> Iterable[Widget]:
        """The widgets between the fixed lines."""
        return ()

    def compose(self) -> ComposeResult:
        self.add_class(*size_classes(self.app), update=False)
        self.set_class(self.cockpit.frame.snapshot is None, "-starting", update=False)
        yield StatusLine()
        yield BannerLine()
        with Container(id="body"):
            yield from self.body()
        yield FilterBar()
        yield SpanBlock(id="starting")
        yield SpanBlock(id="too-small")
        yield ReplayLine()
        yield KeyBar(self.target)

    def on_mount(self) -> None:
        self.show(self.cockpit.frame)

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        event.refresh_styles = self._resumed  # what was styled as it was mounted is not styled again
        self._resumed = True
        self._shown = ()
        self.query_one(KeyBar).retell()
        self.show(self.cockpit.frame)

    def on_resize(self) -> None:
        reset(self)
        # The lines are cut to the width, so that a new width is news even when nothing else is.
        self.call_after_refresh(self.show, self.cockpit.frame)

    def show(self, frame: Frame) -> None:
        """Bring everything up to date. A picture that cannot be drawn must not end the screen: F9 lives here."""
        try:
            self._show(frame)
        except Exception as error:
            self.cockpit.report(error)

    def _show(self, frame: Frame) -> None:
        if self._era != self.cockpit.past.era:
            self._era, self._shown = self.cockpit.past.era, ()
            self.set_class(frame.past is not None, "-past")
            self.query_one(KeyBar).tell(frame.past)
            self.forget()
        news = _news(frame, self.size)
        if (
            news != self._shown
        ):  # four looks a second find mostly nothing: the fixed lines are composed when they may differ
            self._show_lines(frame)
            self._shown = news
        if frame.snapshot is not None and frame.frozen_since is None:
            self.paint(frame)

    def _show_lines(self, frame: Frame) -> None:
        if not self._fixed:
            self._fixed = tuple(self.query(FrameLine))
        for line in self._fixed:
            line.show(frame)
        self.query_one("#too-small", SpanBlock).set_lines(too_small(frame, self.size.width, self.size.height))
        starting = frame.snapshot is None
        if self.has_class("-starting") != starting:
            self.set_class(starting, "-starting")
        if starting:
            self.query_one("#starting", SpanBlock).set_lines(starting_lines(frame))

    def forget(self) -> None:
        """Another moment is shown: what panels have gathered of the one before must go."""
        for panel in self.query(Panel):
            panel.forget()

    def paint(self, frame: Frame) -> None:
        """Bring the panels up to date; `frame.snapshot` is there."""

    def on_panel_opened(self, event: Panel.Opened) -> None:
        event.stop()
        self.cockpit.show_detail(event.heading, event.rows)

    def open_filter(self, panel: Panel) -> FilterBar:
        """Let the operator type the filter of a panel."""
        bar = self.query_one(FilterBar)
        bar.open(panel)
        return bar

    def on_panel_copied(self, event: Panel.Copied) -> None:
        event.stop()
        self.app.copy_to_clipboard(event.text)
        self.cockpit.toast(f"copied {event.what}")

    def on_panel_export_asked(self, event: Panel.ExportAsked) -> None:
        event.stop()
        panel = event.panel
        columns, rows = panel.columns, panel.rows
        name = panel.id or panel.heading
        export(
            self.cockpit, name, ".csv", lambda: csv_text(columns, rows), f"{len(rows):,} row{'s' * (len(rows) != 1)}"
        )


def _news(frame: Frame, size: Size) -> tuple[object, ...]:
    """What a screen depends on: the picture, the second (ages are in seconds), the words beside it, the room for it."""
    present = (
        frame.past.present.snapshot if frame.past is not None and frame.past.present is not None else frame.snapshot
    )
    number = None if present is None else present.number
    said = (
        frame.progress,
        frame.problem,
        frame.frozen_since,
        frame.read_only,
        frame.alerts,
        len(frame.seen),
        frame.notices,
    )
    return (number, int(frame.mono), said, size)


def starting_lines(frame: Frame) -> list[Line]:
    doing = safe_text(frame.progress, 200) or "starting"
    return [
        [Span("quantsail", "strong")],
        [],
        [Span("The engine is starting: "), Span(doing, "warn")],
        [Span(f"Screens fill when it reports. {key_of('quit')} leaves.", "dim")],
    ]


def too_small(frame: Frame, width: int, height: int) -> list[Line]:
    """What a screen without room still shows: mode, state, the kill key."""
    kill = key_of("kill")
    frame = (frame.past.present if frame.past is not None else None) or frame
    snapshot = frame.snapshot
    word = f"{safe_text(snapshot.mode, 8)} {state_word(frame, snapshot)}" if snapshot is not None else "STARTING"
    return [
        [Span(word, "strong")],
        [Span("kill: quantsail halt" if frame.read_only else f"{kill} KILL", "error")],
        [Span(f"need {LEAST_WIDTH}x{LEAST_HEIGHT}", "dim")],
        [Span(f"this is {width}x{height}", "dim")],
    ]
