"""Every screen in every theme at three sizes: the picture that is committed, colours that can be read, mode and kill key on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.style import Style
from textual.color import Color

from screenshots.make import SIZES, played
from screenshots.themes import NAMES, Seen, differences, looked_at, read_table

#: WCAG 2.2, 1.4.3; and 1.4.6 for the theme that promises more.
LEAST, LEAST_HIGH = 4.5, 7.0
DIALOGS = ("help", "close", "kill")


def colours(style: Style | None) -> tuple[Color, Color] | None:
    """(of the letters, behind them), as they are painted."""
    if style is None or style.color is None or style.bgcolor is None:
        return None
    pair = [Color(*colour.get_truecolor()) for colour in (style.color, style.bgcolor)]
    return (pair[1], pair[0]) if style.reverse else (pair[0], pair[1])


def words(seen: Seen, theme: str) -> Iterator[tuple[str, tuple[Color, Color]]]:
    """What is read on the screen and in which colours: letters, digits and signs, no lines, bars and dots of charts."""
    for row, strip in enumerate(seen.themed[theme]):
        for segment in strip:
            text = "".join(char for char in segment.text if char.isascii() and not char.isspace())
            pair = colours(segment.style)
            if text and pair is not None:
                yield f"row {row}: {segment.text.strip()}", pair


def contrast(one: Color, other: Color) -> float:
    """WCAG 2.2: 1 to 21."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: Color) -> float:
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour.normalized]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


def readable(seen: Seen, theme: str) -> list[str]:
    least = LEAST_HIGH if theme == "high-contrast" else LEAST
    return [
        f"{seen.name} {seen.size} {theme} {text!r}: {fore.hex} on {behind.hex} is {contrast(fore, behind):.1f}"
        for text, (fore, behind) in words(seen, theme)
        if contrast(fore, behind) < least - 0.05
    ]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_every_screen_in_every_theme(size: tuple[int, int], tmp_path: Path) -> None:
    known, wrong = read_table(), []
    # All themes at one size, where there is room for every style; that costs most of the time.
    themes = NAMES if size == (120, 40) else NAMES[:2]
    for seen in await looked_at(await played(tmp_path), size, themes):
        wrong += differences(known, seen)
        palettes = {theme: {pair for _, pair in words(seen, theme)} for theme in themes}
        assert len({frozenset(palette) for palette in palettes.values()}) == len(themes), f"{seen.name}: two are one"
        grey = [c.hex for pair in palettes.get("mono", ()) for c in pair if not c.r == c.g == c.b]
        assert not grey, f"{seen.name}: colours in mono: {grey}"
        for theme in themes:
            if (seen.name, theme) != ("charts", "mono"):  # without colours their lines are drawn with other signs
                assert [strip.text for strip in seen.themed[theme]] == seen.text, f"{seen.name} {theme}: other words"
            if seen.name not in DIALOGS:  # what is under a dialog is dimmed on purpose
                wrong += readable(seen, theme)
        assert "SIM" in seen.text[0]
        assert "F9" in seen.text[-1] or seen.name in DIALOGS
    assert not wrong, "python screenshots/make.py --themes writes the table anew\n" + "\n".join(wrong)
