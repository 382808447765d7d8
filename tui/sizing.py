"""`+` and `_`: a panel grows by lines that another one in its column gives."""

from __future__ import annotations

from textual.widget import Widget

STEP = 3
#: A border, a header and two rows.
LEAST = 5


def grow(widget: Widget, lines: int) -> bool:
    """Make `widget` higher by `lines` (lower when negative) at the cost of its highest neighbour; False without room."""
    parent = widget.parent
    if not isinstance(parent, Widget):
        return False
    neighbours = [w for w in parent.children if w is not widget and w.display and w.can_focus]
    if not neighbours:
        return False
    other = max(neighbours, key=lambda w: w.outer_size.height)
    height, others = widget.outer_size.height + lines, other.outer_size.height - lines
    if min(height, others) < LEAST:
        return False
    # What has a share of the room keeps it, so that the column stays full whatever the terminal's height.
    if not _shares(widget):
        widget.styles.height = height
    elif not _shares(other):
        other.styles.height = others
        return True
    else:
        widget.styles.height = height
        return True
    if not _shares(other):
        other.styles.height = others
    return True


def reset(widget: Widget) -> None:
    """Back to the stylesheet's heights: they fit the terminal's new size, ours do not."""
    for panel in widget.query("*"):
        if panel.can_focus:
            panel.styles.height = None


def _shares(widget: Widget) -> bool:
    height = widget.styles.height
    return height is not None and height.is_fraction
