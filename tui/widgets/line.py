"""One-row widgets made of styled spans: status line, banner, replay line, key bar. Only the columns that changed are painted."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace
from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from engine.core.text import ELLIPSIS, safe_text
from tui.actions import actions_of, find, key_name, keys
from tui.pastlines import PastMark, first_line, second_line
from tui.theme import Look
from tui.viewmodel import Frame, Line, Span, replay_line
from tui.widgets.tight import tighten

#: What a span may look like: colour and background are variables of the theme, so that themes decide.
STYLES: dict[str, Look] = {
    "dim": Look("quiet"),
    "strong": Look(bold=True),
    "up": Look("up"),
    "down": Look("down"),
    "flat": Look("flat"),
    "ok": Look("success"),
    "warn": Look("warn", bold=True),
    "error": Look("fault", bold=True),
    "key": Look("accent", bold=True),
    "badge-info": Look("background", "accent", bold=True),
    "badge-paper": Look("background", "success", bold=True),
    "badge-warn": Look("background", "warn", bold=True),
    "badge-error": Look("background", "fault", bold=True),
    "state-ok": Look("success", bold=True),
}


def clean(line: Sequence[Span]) -> Line:
    """The spans without a byte that a terminal would obey. The last gate, for what was not made safe where it came in."""
    return [span if span.text.isprintable() else Span(safe_text(span.text, 512), span.style) for span in line]


def fitted(line: Sequence[Span], width: int) -> Line:
    """A line of at most `width` cells: its longest span is cut, so that the key at its end stays to be read."""
    clean_line = clean(line)
    excess = sum(cell_len(span.text) for span in clean_line) - width
    if excess <= 0 or not clean_line:
        return clean_line
    at, longest = max(enumerate(clean_line), key=lambda one: cell_len(one[1].text))
    text = set_cell_size(longest.text, max(0, cell_len(longest.text) - excess - 1)) + ELLIPSIS
    return [*clean_line[:at], Span(text, longest.style), *clean_line[at + 1 :]]


class SpanBlock(Widget):
    """Rows of spans, as high as they are many."""

    DEFAULT_CSS = "SpanBlock { height: auto; width: 1fr; color: $foreground; }"
    can_focus = False

    def __init__(self, lines: Sequence[Line] = (), *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: list[Line] = [clean(line) for line in lines]

    @property
    def plain(self) -> str:
        """The text without its styles."""
        return "\n".join("".join(span.text for span in line) for line in self._lines)

    def set_lines(self, lines: Sequence[Line]) -> None:
        """Show these rows."""
        new = [clean(line) for line in lines]
        if new != self._lines:
            grown = len(new) != len(self._lines)
            self._lines = new
            self.refresh(layout=grown)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._lines)

    def render_line(self, y: int) -> Strip:
        base = self.rich_style
        line = self._lines[y] if y < len(self._lines) else []
        segments = [Segment(span.text, base + self._style(span.style)) for span in line]
        strip, width = Strip(segments), self.size.width
        if strip.cell_length > width > 0:  # what is cut must look cut
            strip = Strip.join([strip.crop(0, width - 1), Strip([Segment(ELLIPSIS, base)])])
        return tighten(strip.adjust_cell_length(width, base))

    def _style(self, name: str) -> Style:
        return STYLES[name].over(self.app.theme_variables) if name else Style.null()


class SpanLine(SpanBlock):
    """One row of spans. `set_line` paints what differs and nothing else."""

    DEFAULT_CSS = "SpanLine { height: 1; background: $panel; }"

    def set_line(self, line: Sequence[Span]) -> None:
        """Show these spans."""
        new, old = clean(line), self._lines[0] if self._lines else []
        if new == old:
            return
        self._lines = [new]
        self.refresh(*(Region(first, 0, last - first, 1) for first, last in _differences(old, new)))


#: Columns between two changes that are cheaper painted than left out: a jump and a style cost as many bytes.
_GAP = 6


def _differences(old: Line, new: Line) -> list[tuple[int, int]]:
    """The runs of columns [first, last) in which two lines differ; behind a wide character or another length, all of them."""
    before = [(char, span.style) for span in old for char in span.text]
    after = [(char, span.style) for span in new for char in span.text]
    runs: list[tuple[int, int]] = []
    if len(before) == len(after) and all(cell_len(char) == 1 for char, _ in [*before, *after]):
        for column in (column for column, was in enumerate(before) if was != after[column]):
            if runs and column - runs[-1][1] < _GAP:
                runs[-1] = (runs[-1][0], column + 1)
            else:
                runs.append((column, column + 1))
        return runs
    same = next(
        (n for n, (was, now) in enumerate(zip(before, after, strict=False)) if was != now), min(len(before), len(after))
    )
    first = cell_len("".join(char for char, _ in after[:same]))
    return [(first, max(cell_len("".join(char for char, _ in cells)) for cells in (before, after)))]


class FrameLine(SpanLine):
    """A line that is made of the app's newest frame."""

    def show(self, frame: Frame) -> None:
        raise NotImplementedError


class StatusLine(FrameLine):
    """Row 0: always there, also over dialogs."""

    DEFAULT_CSS = "StatusLine { dock: top; background: $panel; }"

    def show(self, frame: Frame) -> None:
        self.set_line(first_line(frame, self.size.width or self.app.size.width))


class BannerLine(FrameLine):
    """Row 1: only when something is wrong, or the market is simulated."""

    DEFAULT_CSS = """
    BannerLine { display: none; }
    BannerLine.-CRIT { display: block; color: $background; background: $fault; text-style: bold; }
    BannerLine.-WARN { display: block; color: $background; background: $warn; }
    BannerLine.-PAST { display: block; color: $background; background: $accent; text-style: bold; }
    BannerLine.-INFO { display: block; color: $foreground; background: $surface; }
    """

    def show(self, frame: Frame) -> None:
        severity, line = second_line(frame)
        if not self.has_class(f"-{severity}" if severity else "-none"):
            self.set_classes(f"-{severity}" if severity else "-none")
        # Of the past the moment and the way back come first, and the end may go.
        self.set_line(line if severity == "PAST" else fitted(line, self.size.width or self.app.size.width))


class ReplayLine(FrameLine):
    """Progress of a recorded or simulated feed; not there for a live one."""

    DEFAULT_CSS = "ReplayLine { display: none; background: $surface; } ReplayLine.-on { display: block; }"

    def show(self, frame: Frame) -> None:
        snapshot = frame.snapshot
        line = replay_line(snapshot, self.size.width or self.app.size.width) if snapshot is not None else []
        self.set_class(bool(line), "-on")
        self.set_line(line)


class KeyBar(SpanLine):
    """The keys of this screen, from the registry: the kill key first."""

    DEFAULT_CSS = "KeyBar { dock: bottom; background: $panel; }"

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target
        self._past: PastMark | None = None

    def on_resize(self) -> None:
        self.retell()

    def tell(self, past: PastMark | None) -> None:
        """Which moment of the past is on the screen."""
        self._past = past
        self.retell()

    def retell(self) -> None:
        """Name the keys as they are now."""
        view = getattr(self.app, "read_only", False)
        self.set_line(key_line(self.target, self.size.width, read_only=view, past=self._past))


def key_line(target: str, width: int, *, read_only: bool = False, past: PastMark | None = None) -> Line:
    """KILL, help, the screens, this screen's keys, then the rest; whole items only, as many as fit. In the past its own keys
    come first, and in front of them the one that leads back, if it leads anywhere."""
    kill = find("kill")
    line: Line = [Span(" "), Span(key_name(kill.keys[0]), "error"), Span(f" {kill.label}", "strong")]
    if read_only:
        line = [Span(" stop: ", "error"), Span("quantsail halt ", "strong")]
    modes = [action for action in actions_of("app") if action.name.startswith("screen.")]
    rest = ("select", "focus_next", "freeze", "maximise", "resume", "command_palette", "theme", "quit")
    travel = [find(name) for name in ("step.back", "step", "leap.back", "leap", "time")] if past else []
    if past and past.back:
        travel = [replace(find("now"), label=past.back), *travel]
    for action in [*travel, find("help"), *modes, *actions_of(target), *(find(name) for name in rest)]:
        item = [Span(f" {key_name(keys(action)[0])}", "key"), Span(f" {action.label}", "dim")]
        if sum(len(span.text) for span in [*line, *item]) > width:
            break
        line += item
    return line
