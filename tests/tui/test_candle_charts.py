"""Candles with what was traded on them, and the spread of results: glyphs, scale, hostile numbers."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st

from tests.tui.chart_data import (
    COLOURS,
    INF,
    NAN,
    assert_filled,
    bar,
    styles_of,
    text,
    walk,
)
from tui.charts import Bins, Level, Mark, bins_of, candle_chart, histogram_chart
from tui.plot import ChartColours, Drawing
from tui.raster import GraphSymbol


def test_candles_have_bodies_wicks_and_a_cursor_stop_each() -> None:
    bars = walk(100)
    drawn = candle_chart(bars, 120, 30, COLOURS)
    assert_filled(drawn, 120, 30)
    assert list(drawn.keys) == [one[0] for one in bars]
    assert len(set(drawn.stops)) == 100
    assert styles_of(drawn, "┃╽╿╻╹") == {COLOURS.up, COLOURS.down}
    assert "│" in text(drawn)


def test_candles_that_do_not_fit_leave_from_the_left() -> None:
    bars = walk(500)
    drawn = candle_chart(bars, 60, 12, COLOURS)
    assert drawn.keys[-1] == bars[-1][0]
    assert len(drawn.keys) == 60 - 4, "one column each beside the labels"
    twice = candle_chart(bars, 60, 12, COLOURS, step=2)
    assert len(twice.keys) == 28
    assert [b - a for a, b in pairwise(twice.stops)] == [2] * 27


def test_rising_and_falling_are_told_apart_without_colours() -> None:
    rising, falling = [bar(0, 100, 110)] * 1, [bar(0, 110, 100)] * 1
    grey = ChartColours("#ffffff", "#555555", "#999999", "#000000", "#ffffff", "#bbbbbb", "#ffffff", grey=True)
    assert "█" in text(candle_chart(falling, 40, 12, grey))
    assert "█" not in text(candle_chart(rising, 40, 12, grey))
    ascii_up, ascii_down = (text(candle_chart(b, 40, 12, COLOURS, symbol="ascii")) for b in (rising, falling))
    assert ascii_up.isascii() and ascii_down.isascii()
    assert "#" in ascii_down and "#" not in ascii_up


def test_what_was_traded_is_marked() -> None:
    bars = walk(60)
    marks = [Mark(10, 100.0, "long"), Mark(20, 104.0, "gain"), Mark(30, 99.0, "short"), Mark(40, 98.0, "loss")]
    levels = [Level(10, 20, 95.0, "stop"), Level(10, 20, 115.0, "target")]
    shown = text(candle_chart(bars, 90, 24, COLOURS, marks=marks, levels=levels))
    for glyph in "▲▼◆◇":
        assert shown.count(glyph) == 1
    assert shown.count("╌") == 11
    assert 1 <= shown.count("╍") <= 11, "candles may cover a part of a stop"
    plain = text(candle_chart(bars, 90, 24, COLOURS, marks=marks, levels=levels, symbol="ascii"))
    assert plain.isascii() and all(glyph in plain for glyph in "^vox=")


def test_marks_of_one_bar_stand_one_above_the_other() -> None:
    rows = text(candle_chart(walk(5), 40, 20, COLOURS, marks=[Mark(2, 1.0, "gain"), Mark(2, 1.0, "short")])).split("\n")
    at = [(n, row.index(g)) for g in "◆▼" for n, row in enumerate(rows) if g in row]
    assert len(at) == 2 and at[0][1] == at[1][1] and at[1][0] == at[0][0] - 1


def test_a_stop_far_away_does_not_press_the_candles_flat() -> None:
    bars = walk(60)
    plain, far = (
        candle_chart(bars, 90, 24, COLOURS),
        candle_chart(bars, 90, 24, COLOURS, levels=[Level(0, 59, 1.0, "stop")]),
    )

    def rows(drawing: Drawing) -> int:
        return sum(any(char in "┃╽╿" for char in strip.text) for strip in drawing.strips)

    assert rows(far) > rows(plain) / 2


def test_prices_and_stops_out_of_sight_do_not_set_the_scale() -> None:
    bars = [bar(n, 50.0, 51.0) for n in range(60)] + [bar(n, 100.0, 101.0) for n in range(60, 120)]
    levels = [Level(0, 40, 40.0, "stop")]
    near, far = (text(candle_chart(bars, 110, 20, COLOURS, levels=levels, step=step)) for step in (2, 1))
    assert "60\u2524" in far and "\u254d" in far
    assert "60\u2524" not in near and "\u254d" not in near and "100" in near


@pytest.mark.parametrize("bad", [NAN, INF, -INF, 1e300])
def test_a_bar_that_is_not_finite_leaves_its_place_empty(bad: float) -> None:
    bars = walk(20)
    bars[7] = (bars[7][0], 100.0, bad, 99.0, 100.0, 1.0)
    drawn = candle_chart(bars, 60, 12, COLOURS)
    assert_filled(drawn, 60, 12)
    assert drawn.keys[7] == bars[7][0]
    assert all(strip.text[drawn.stops[7]] in " ─┬" for strip in drawn.strips[:-1])
    assert "no bar yet" in text(candle_chart([bars[7]], 60, 12, COLOURS))


def test_bars_all_alike_one_bar_and_none() -> None:
    assert_filled(candle_chart([bar(n, 5.0, 5.0, 0.0) for n in range(9)], 60, 12, COLOURS), 60, 12)
    assert len(candle_chart([bar(0, 5.0, 5.0, 0.0)], 60, 12, COLOURS).keys) == 1
    assert "no bar yet" in text(candle_chart([], 60, 12, COLOURS))


def test_results_are_counted_from_zero_outwards() -> None:
    bins = bins_of([-12.0, -3.0, -0.1, 0.0, 0.5, 4.0, 11.0, NAN, INF], 40)
    assert bins is not None and sum(bins.counts) == 7
    assert bins.first < 0 < bins.first + len(bins.counts)
    losses = sum(count for n, count in enumerate(bins.counts) if bins.first + n < 0)
    assert losses == 3, "zero is an edge: no bin has both"
    drawn = histogram_chart(bins, 70, 12, COLOURS)
    assert_filled(drawn, 70, 12)
    assert styles_of(drawn, "█") == {COLOURS.up, COLOURS.down}
    assert list(drawn.keys) == list(range(bins.first, bins.first + len(bins.counts)))
    assert text(histogram_chart(bins, 70, 12, COLOURS, symbol="ascii")).isascii()


def test_results_all_alike_huge_and_none() -> None:
    assert bins_of([], 20) is None and bins_of([NAN], 20) is None
    assert "no result yet" in text(histogram_chart(None, 60, 10, COLOURS))
    for values in ([0.0], [5.0] * 100, [-1e14, 1e14], [1e-9, 2e-9], [-7.0]):
        bins = bins_of(values, 30)
        assert bins is not None and sum(bins.counts) == len(values)
        assert_filled(histogram_chart(bins, 60, 10, COLOURS), 60, 10)
    assert "+" not in text(histogram_chart(Bins(1.0, 0, -3, (1, 2, 3)), 60, 10, COLOURS)).replace("+0", "")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2**50), *[st.floats()] * 5), max_size=30),
    st.integers(3, 90),
    st.integers(1, 24),
    st.sampled_from(["braille", "block", "ascii"]),
    st.integers(-3, 9),
)
def test_any_bars_give_a_chart_or_words(
    bars: list[tuple[int, float, float, float, float, float]], width: int, height: int, symbol: GraphSymbol, step: int
) -> None:
    bars.sort(key=lambda one: one[0])
    marks = [Mark(n, 1.0, "long") for n in range(-2, 40, 5)]
    levels = [Level(-5, 50, float("nan"), "stop"), Level(3, 9, 1e200, "target")]
    drawn = candle_chart(bars, width, height, COLOURS, marks=marks, levels=levels, step=step, symbol=symbol)
    assert_filled(drawn, width, height)
    assert_filled(histogram_chart(bins_of([b[1] for b in bars], width // 3), width, height, COLOURS), width, height)
