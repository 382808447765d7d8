"""Numbers, ages and trends as text, and themes one can read."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st
from rich.cells import cell_len
from textual.color import Color
from textual.theme import Theme

from engine.core.text import display_width, safe_text
from tui.crash import CockpitApp
from tui.glyphs import (
    BLOCKS,
    BLOCKS_ASCII,
    NO_VALUE,
    Delta,
    delta,
    fmt_age_us,
    fmt_clock,
    fmt_datetime,
    fmt_money,
    fmt_signed,
    sparkline,
)
from tui.theme import THEMES, VARIABLE_DEFAULTS

D = Decimal
SECOND = 1_000_000


@pytest.mark.parametrize(
    ("amount", "places", "text"),
    [
        (D("10214.33"), 2, "10,214.33"),
        (D("-1234567.891"), 2, "-1,234,567.89"),
        (D("0.00001234"), 8, "0.00001234"),
        (D("0.021"), 4, "0.0210"),
        (D("-0.001"), 2, "0.00"),
        (D("0.125"), 2, "0.12"),
        (D("99.5"), 0, "100"),
        (D("1E+3"), 0, "1,000"),
        (D("123456789012345678901234567890.5"), 1, "123,456,789,012,345,678,901,234,567,890.5"),
        (D("1E+60"), 2, "1.000000E+60"),
        (D("NaN"), 2, NO_VALUE),
        (D("-Infinity"), 2, NO_VALUE),
        (None, 2, NO_VALUE),
    ],
)
def test_money(amount: Decimal | None, places: int, text: str) -> None:
    assert fmt_money(amount, places) == text


@given(st.decimals(-(10**15), 10**15, allow_nan=False), st.integers(0, 8))
def test_money_is_the_amount_rounded(amount: Decimal, places: int) -> None:
    shown = Decimal(fmt_money(amount, places).replace(",", ""))
    assert abs(shown - amount) <= Decimal(5).scaleb(-places - 1)


def test_signed_and_delta_always_carry_a_sign_and_a_glyph() -> None:
    assert fmt_signed(D("14.5")) == "+14.50"
    assert fmt_signed(D("-3.2")) == "-3.20"
    assert fmt_signed(D("0")) == "0.00"
    assert fmt_signed(D("0.001")) == "0.00"
    assert delta(D("2.14"), 2, "%") == Delta("▲", "+2.14%", "up")
    assert str(delta(D("-0.8"), 1, "%")) == "▼-0.8%"
    assert delta(D("0.001")) == Delta("=", "0.00", "flat")
    assert delta(D("-0.001"), 2, "%") == Delta("=", "0.00%", "flat")
    assert delta(None, 2, "%") == Delta("=", NO_VALUE, "flat")
    assert delta(D("NaN")) == Delta("=", NO_VALUE, "flat")


@pytest.mark.parametrize(
    ("age_us", "text"),
    [(-5, "0s"), (0, "0s"), (4 * SECOND + 999_999, "4s"), (119 * SECOND, "1m"), (3_600 * SECOND, "1h"),
     (86_399 * SECOND, "23h"), (3 * 86_400 * SECOND, "3d"), (None, NO_VALUE)],
)  # fmt: skip
def test_age(age_us: int | None, text: str) -> None:
    assert fmt_age_us(age_us) == text


def test_clock_is_utc_and_survives_any_integer() -> None:
    assert fmt_clock(1_763_647_402_000_000) == "14:03:22Z"
    assert fmt_datetime(1_763_647_402_999_999) == "2025-11-20 14:03:22Z"
    assert fmt_clock(2**80) == NO_VALUE
    assert fmt_clock(-(2**80)) == NO_VALUE
    assert fmt_clock(None) == NO_VALUE


def test_sparkline() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8) == BLOCKS
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8, BLOCKS_ASCII) == BLOCKS_ASCII
    assert sparkline([1, 2, 9, 1], 2) == "█▁"
    assert sparkline([5, 5, 5], 8) == "▁▁▁"
    assert sparkline([math.nan, 1, math.inf, 2], 8) == "▁█"
    assert sparkline([], 8) == sparkline([1], 0) == ""
    assert sparkline([-1.7e308, 1.7e308], 2) == "▁█"


@given(st.lists(st.floats(), max_size=50), st.integers(0, 30))
def test_sparkline_takes_any_floats(values: list[float], width: int) -> None:
    assert len(sparkline(values, width)) <= width


def test_both_measures_of_width_agree_on_what_symbols_are_made_of() -> None:
    for text in ("kPEPE/USDC", "币安人生", "한국", "ＢＴＣ", "Łódź", "▲+2.14%", "█▁⣿┤", "👍", "…–"):
        clean = safe_text(text)
        assert display_width(clean) == cell_len(clean), text


def luminance(colour: Color) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [c / 255 for c in colour.rgb]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(Color.parse(a)), luminance(Color.parse(b))))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_every_text_colour_can_be_read_on_every_background(theme: Theme) -> None:
    least = 7.0 if "high-contrast" in theme.name else 4.5
    assert theme.background and theme.foreground
    assert theme.variables.keys() >= VARIABLE_DEFAULTS.keys()
    for name in ("up", "down", "flat", "warn", "fault", "quiet", "stale"):
        for behind in (theme.background, theme.variables["cursor"], theme.variables["band"]):
            ratio = contrast(theme.variables[name], behind)
            floor = least if behind == theme.background else 3.0
            assert ratio >= floor, f"{name} on {behind}: {ratio:.2f}"
    assert contrast(theme.foreground, theme.variables["cursor"]) >= 4.5


def test_only_the_mono_theme_has_no_hue_and_blue_and_orange_are_the_default() -> None:
    by_name = {theme.name: theme for theme in THEMES}
    for value in by_name["quantsail-mono"].variables.values():
        assert len(set(Color.parse(value).rgb)) == 1
    assert by_name["quantsail-dark"].variables["up"] == "#56b4e9"
    assert by_name["quantsail-dark"].variables["down"] == "#e69f00"


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
async def test_every_theme_loads(theme: Theme) -> None:
    class Themed(CockpitApp[None]):
        CSS = "Screen { color: $up; background: $cursor; }"

    app = Themed()
    async with app.run_test() as pilot:
        app.theme = theme.name
        await pilot.pause()
        assert app.screen.styles.color.hex.lower() == theme.variables["up"]
