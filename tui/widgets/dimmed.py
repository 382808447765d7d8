"""The screen under a dialog, dimmed: strip by strip, each style mixed once. Textual's own goes through rich's console, three
times as long, and the kill key waits for it."""

from __future__ import annotations

from functools import lru_cache

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.color import Color
from textual.css.styles import RulesMap
from textual.renderables.background_screen import BackgroundScreen
from textual.strip import Strip
from textual.style import Style
from textual.visual import RenderOptions, Visual


class Dimmed(Visual):
    """What Textual wants to show behind a dialog, as a visual of strips."""

    def __init__(self, behind: BackgroundScreen) -> None:
        self._screen = behind.screen
        self._tint = behind.color

    def render_strips(self, width: int, height: int | None, style: Style, options: RenderOptions) -> list[Strip]:
        strips = self._screen._compositor.render_strips()
        return [self._dim(strip).adjust_cell_length(width) for strip in strips[:height]]

    def _dim(self, strip: Strip) -> Strip:
        return Strip([Segment(text, _mixed(style, self._tint)) for text, style, _ in strip], strip.cell_length)

    def get_optimal_width(self, rules: RulesMap, container_width: int) -> int:
        return container_width

    def get_height(self, rules: RulesMap, width: int) -> int:
        return self._screen.size.height


@lru_cache(maxsize=4096)
def _mixed(style: RichStyle | None, tint: Color) -> RichStyle:
    """The style with its colours behind the tint, without links."""
    if style is None:
        return RichStyle.null()
    plain = style.clear_meta_and_links()
    colours = [
        None if colour is None else (Color.from_rich_color(colour) + tint).rich_color
        for colour in (plain.color, plain.bgcolor)
    ]
    return plain + RichStyle.from_color(*colours)
