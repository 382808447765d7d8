"""The cockpit's colours: five themes, each with the same variables, so that no widget names a colour.

Up is blue and down is orange (Okabe & Ito 2008, "Color Universal Design"): both stay apart for every kind of colour
blindness. Green and red are there for those who want them (`quantsail-classic`). Colour is never the only sign: see
`tui.glyphs.delta`. Every text colour has a contrast of at least 4.5:1 on its background (WCAG 2.2, 1.4.3), 7:1 in the
high-contrast theme; a test computes it.

Variables, usable in stylesheets as `$up` and so on: `up`, `down`, `flat` (no change), `warn`, `fault` (error as text),
`quiet` (secondary text), `stale`, `cursor` (background of the cursor row), `band` (background of table headers), `grid`
(frame and axes of charts).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from rich.style import Style
from textual.app import App
from textual.color import Color
from textual.theme import Theme

DEFAULT_THEME = "quantsail-dark"

#: Names every theme defines. `CockpitApp` gives these values to themes that are not ours.
VARIABLE_DEFAULTS: dict[str, str] = {
    "up": "#56b4e9",
    "down": "#e69f00",
    "flat": "#a3adba",
    "warn": "#f0e442",
    "fault": "#ff7a45",
    "quiet": "#93a0b0",
    "stale": "#7f8b9a",
    "cursor": "#1b364d",
    "band": "#18202a",
    "grid": "#55616f",
}


class Look(NamedTuple):
    """What a piece of text looks like: variables of the theme by name; empty is what is there already.

    Not component classes of Textual: those are styled anew with every widget that has them, a dozen for each line.
    """

    colour: str = ""
    background: str = ""
    bold: bool = False

    def over(self, variables: Mapping[str, str]) -> Style:
        """The style in a theme, to be added to that of the widget."""
        return _style(variables.get(self.colour, ""), variables.get(self.background, ""), self.bold)


@lru_cache(maxsize=256)
def _style(colour: str, background: str, bold: bool) -> Style:
    return Style(
        color=Color.parse(colour).rich_color if colour else None,
        bgcolor=Color.parse(background).rich_color if background else None,
        bold=bold or None,
    )


def _theme(name: str, *, dark: bool, colours: dict[str, str], variables: dict[str, str]) -> Theme:
    """A theme from its base colours (fields of `Theme`) and its variables; chrome follows the variables."""
    chrome = {
        "border": colours["accent"],
        "border-blurred": variables["grid"],
        "footer-background": variables["band"],
        "footer-key-foreground": colours["accent"],
        "block-cursor-background": variables["cursor"],
        "block-cursor-foreground": colours["foreground"],
        "input-selection-background": variables["cursor"],
        "scrollbar": variables["grid"],
        "scrollbar-background": colours["background"],
        "scrollbar-corner-color": colours["background"],
    }
    return Theme(
        name=f"quantsail-{name}",
        primary=colours["primary"],
        secondary=colours["secondary"],
        accent=colours["accent"],
        warning=colours["warning"],
        error=colours["error"],
        success=colours["success"],
        foreground=colours["foreground"],
        background=colours["background"],
        surface=colours["surface"],
        panel=colours["panel"],
        dark=dark,
        variables={**chrome, **variables},
    )


DARK = _theme(
    "dark",
    dark=True,
    colours={
        "primary": "#56b4e9",
        "secondary": "#7fa7c4",
        "accent": "#6cc3f5",
        "warning": "#f0e442",
        "error": "#d55e00",
        "success": "#56b4e9",
        "foreground": "#dbe3ec",
        "background": "#0c1117",
        "surface": "#11171f",
        "panel": "#18202a",
    },
    variables=VARIABLE_DEFAULTS,
)

LIGHT = _theme(
    "light",
    dark=False,
    colours={
        "primary": "#005f96",
        "secondary": "#3d5a73",
        "accent": "#005f96",
        "warning": "#7a5c00",
        "error": "#b03a00",
        "success": "#005f96",
        "foreground": "#17202a",
        "background": "#fbfcfd",
        "surface": "#f1f4f7",
        "panel": "#e4e9ee",
    },
    variables={
        "up": "#005f96",
        "down": "#8f4f00",
        "flat": "#4a5765",
        "warn": "#755800",
        "fault": "#a83600",
        "quiet": "#4f5c6a",
        "stale": "#636f7c",
        "cursor": "#cfe4f3",
        "band": "#e4e9ee",
        "grid": "#9aa5b1",
    },
)

HIGH_CONTRAST = _theme(
    "high-contrast",
    dark=True,
    colours={
        "primary": "#7fd4ff",
        "secondary": "#ffffff",
        "accent": "#ffffff",
        "warning": "#ffff5f",
        "error": "#ff9e7a",
        "success": "#7fd4ff",
        "foreground": "#ffffff",
        "background": "#000000",
        "surface": "#000000",
        "panel": "#101010",
    },
    variables={
        "up": "#7fd4ff",
        "down": "#ffc04d",
        "flat": "#ffffff",
        "warn": "#ffff5f",
        "fault": "#ffa68a",
        "quiet": "#dcdcdc",
        "stale": "#c4c4c4",
        "cursor": "#003a66",
        "band": "#1c1c1c",
        "grid": "#b4b4b4",
    },
)

MONO = _theme(
    "mono",
    dark=True,
    colours={
        "primary": "#e6e6e6",
        "secondary": "#b8b8b8",
        "accent": "#ffffff",
        "warning": "#f5f5f5",
        "error": "#ffffff",
        "success": "#e6e6e6",
        "foreground": "#e6e6e6",
        "background": "#101010",
        "surface": "#161616",
        "panel": "#202020",
    },
    variables={
        "up": "#ffffff",
        "down": "#b4b4b4",
        "flat": "#a0a0a0",
        "warn": "#f5f5f5",
        "fault": "#ffffff",
        "quiet": "#a6a6a6",
        "stale": "#8f8f8f",
        "cursor": "#3a3a3a",
        "band": "#202020",
        "grid": "#6a6a6a",
    },
)

CLASSIC = _theme(
    "classic",
    dark=True,
    colours={
        "primary": "#7aa7d9",
        "secondary": "#8fa3b8",
        "accent": "#8fb8e6",
        "warning": "#e3b341",
        "error": "#f0524f",
        "success": "#3fb950",
        "foreground": "#dbe3ec",
        "background": "#0d1117",
        "surface": "#12171e",
        "panel": "#1a212b",
    },
    variables={
        **VARIABLE_DEFAULTS,
        "up": "#3fb950",
        "down": "#ff6b66",
        "warn": "#e3b341",
        "fault": "#ff8f6b",
        "cursor": "#243447",
        "band": "#1a212b",
    },
)

THEMES: tuple[Theme, ...] = (DARK, LIGHT, HIGH_CONTRAST, MONO, CLASSIC)


def register_themes(app: App[Any]) -> None:
    """Make our themes known to `app` and choose the dark one."""
    for theme in THEMES:
        app.register_theme(theme)
    app.theme = DEFAULT_THEME
