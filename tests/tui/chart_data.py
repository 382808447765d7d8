"""Data, colours and looks at strips that the tests of charts share."""

from __future__ import annotations

import math

from textual.strip import Strip

from tui.plot import ChartColours, Drawing

COLOURS = ChartColours(line="#56b4e9", grid="#55616f", label="#93a0b0", background="#0c1117")
T0 = 1_763_600_400_000_000  # 2025-11-20 01:00:00Z
MINUTE = 60_000_000
NAN, INF = math.nan, math.inf


def minutes(count: int) -> list[int]:
    return [T0 + n * MINUTE for n in range(count)]


def wave(count: int) -> list[float]:
    return [10_000 + 500 * math.sin(n / 40) for n in range(count)]


def text(drawn: Drawing | list[Strip]) -> str:
    strips = drawn.strips if isinstance(drawn, Drawing) else drawn
    return "\n".join(strip.text for strip in strips)


def dots(drawn: Drawing | list[Strip]) -> int:
    return sum("\u2801" <= char <= "\u28ff" for char in text(drawn))


def assert_filled(drawn: Drawing | list[Strip], width: int, height: int) -> None:
    strips = drawn.strips if isinstance(drawn, Drawing) else drawn
    assert len(strips) == height
    assert {strip.cell_length for strip in strips} <= {width}


def bar(n: int, open_: float, close: float, spread: float = 1.0) -> tuple[int, float, float, float, float, float]:
    return (T0 + n * MINUTE, open_, max(open_, close) + spread, min(open_, close) - spread, close, 10.0)


def walk(count: int) -> list[tuple[int, float, float, float, float, float]]:
    closes = [100 + 8 * math.sin(n / 9) + (n * 7 % 5) for n in range(count + 1)]
    return [bar(n, closes[n], closes[n + 1], 0.5) for n in range(count)]


def styles_of(drawing: Drawing, chars: str) -> set[str]:
    """Colours in which any of `chars` is drawn."""
    return {
        segment.style.color.get_truecolor().hex
        for strip in drawing.strips
        for segment in strip
        if segment.style and segment.style.color and set(segment.text) & set(chars)
    }
