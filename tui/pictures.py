"""A chart as an SVG file: the strips as they are on the screen, with a heading and a foot line, and no font from a network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

#: Of a cell, in SVG's own units: what most monospaced fonts have at 20 units.
CELL_WIDTH, CELL_HEIGHT, FONT_SIZE = 12.0, 24.0, 20
MARGIN = 16.0
FONTS = "'DejaVu Sans Mono', 'Cascadia Mono', Menlo, Consolas, monospace"


def svg_of(strips: Sequence[Strip], heading: str, foot: str, colour: str, background: str) -> str:
    """`strips` below `heading` and above `foot`, which have the text's `colour`; colours are "#rrggbb"."""
    style = Style(color=colour, bgcolor=background)
    cells = max((strip.cell_length for strip in strips), default=0)
    rows = [Strip([Segment(heading, style)]), *strips, Strip([Segment(foot, style)])]
    cells = max(cells, len(heading), len(foot))
    width, height = MARGIN * 2 + cells * CELL_WIDTH, MARGIN * 2 + len(rows) * CELL_HEIGHT
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" font-family="{FONTS}" '
        f'font-size="{FONT_SIZE}" xml:space="preserve">',
        f"<title>{escape(heading)}</title>",
        f'<rect width="100%" height="100%" fill="{background}"/>',
    ]
    for number, strip in enumerate(rows):
        lines += _row(strip, MARGIN + number * CELL_HEIGHT)
    return "\n".join([*lines, "</svg>", ""])


def _row(strip: Strip, top: float) -> list[str]:
    found: list[str] = []
    column = 0
    for segment in strip:
        text, cells = segment.text, segment.cell_length
        if text.strip():
            ahead = len(text) - len(text.lstrip(" "))
            word = text.strip(" ")
            left = MARGIN + (column + ahead) * CELL_WIDTH
            found.append(
                f'<text x="{left:g}" y="{top + CELL_HEIGHT * 0.78:g}" fill="{_colour(segment.style)}" '
                f'textLength="{len(word) * CELL_WIDTH:g}">{escape(word.replace(" ", chr(0xA0)))}</text>'
            )
        column += cells
    return found


def _colour(style: Style | None) -> str:
    return style.color.get_truecolor().hex if style is not None and style.color is not None else "#888888"
