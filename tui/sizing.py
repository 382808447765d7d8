"""The room on the screen: its size as classes, and `+` and `_`, by which a panel takes lines from another one of its column."""

from __future__ import annotations

from typing import Any

from textual.app import App
from textual.widget import Widget

STEP = 3
#: A border, a header and two rows.
LEAST = 5


def size_classes(app: App[Any]) -> list[str]:
    """The classes that a screen is going to get for the terminal's size. Given before it has widgets they cost nothing;
    later each change styles all of them anew."""
    rooms = ((app.size.width, app.HORIZONTAL_BREAKPOINTS), (app.size.height, app.VERTICAL_BREAKPOINTS))
    fitting = [[name for at, name in sorted(breakpoints or ()) if at <= cells] for cells, breakpoints in rooms]
    return [names[-1] for names in fitting if names]


def grow(widget: Widget, lines: int) -> bool:
    """Make `widget` higher by `lines` (lower when negative) at the cost of its highest neighbour; False without room."""
    parent = widget.parent
    if not isinstance(parent, Widget):
        return False
    neighbours = [w for w in parent.children if w is not widget and w.display and w.can_focus]
    if not neighbours:
        return False
    other = max(neighbours, key=lambda w: w.outer_size.height)
    # As far as the room goes: a small terminal has less than a whole step.
    own, theirs = widget.outer_size.height, other.outer_size.height
    lines = min(lines, max(0, theirs - LEAST)) if lines > 0 else -min(-lines, max(0, own - LEAST))
    if not lines:
        return False
    # What has a share of the room keeps it, so that the column stays full whatever the terminal's height.
    if not _shares(widget) or _shares(other):
        widget.styles.height = own + lines
    if not _shares(other):
        other.styles.height = theirs - lines
    return True


def reset(widget: Widget) -> None:
    """Back to the stylesheet's heights: they fit the terminal's new size, ours do not."""
    for panel in widget.query("*"):
        if panel.can_focus:
            panel.styles.height = None


def _shares(widget: Widget) -> bool:
    height = widget.styles.height
    return height is not None and height.is_fraction
