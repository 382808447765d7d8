"""Charts over time: hostile numbers, sizes, ticks, decimation, colours, labels."""

from __future__ import annotations

import math
import subprocess
import sys
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from tests.tui.chart_data import (
    COLOURS,
    INF,
    NAN,
    T0,
    assert_filled,
    dots,
    minutes,
    text,
    walk,
    wave,
)
from tui.charts import Bins, bins_of, candle_chart, drawdown_chart, histogram_chart, line_chart
from tui.plot import message_strips
from tui.raster import GraphSymbol, columns_of, series, trace
from tui.ticks import count_ticks, time_ticks, value_ticks

ROOT = Path(__file__).resolve().parents[2]


def test_a_line_has_a_frame_labels_and_dots() -> None:
    strips = line_chart(minutes(480), wave(480), 80, 14, COLOURS).strips
    assert_filled(strips, 80, 14)
    shown = text(strips)
    assert "10,000┤" in shown
    assert "02:00Z" in shown and "04:00Z" in shown
    assert dots(strips) > 60
    colours = {s.style.color.get_truecolor().hex for strip in strips for s in strip if s.style and s.style.color}
    assert {COLOURS.line, COLOURS.grid, COLOURS.label} == colours


@pytest.mark.parametrize("symbol", ["braille", "block", "ascii"])
@pytest.mark.parametrize("height", [9, 14, 31])
def test_a_label_stands_in_the_row_of_its_value(symbol: GraphSymbol, height: int) -> None:
    steps = [0.0] * 100 + [10.0] * 100
    rows = text(line_chart(minutes(200), steps, 80, height, COLOURS, symbol=symbol)).split("\n")
    assert rows[0].startswith("10"), "the highest value is the highest row"
    assert rows[height - 3].strip().startswith("0"), "the lowest is the one above the axis"
    assert rows[0][45:70].strip() and rows[height - 3][10:35].strip()
    pillars = text(histogram_chart(Bins(1.0, 0, 0, (1, 4, 2)), 60, height, COLOURS, symbol=symbol)).split("\n")
    assert pillars[height - 3].startswith("0") and pillars[0].startswith("4")
    assert "Z" in rows[height - 1] and set(rows[height - 2].strip()) <= set("+-\u2514\u252c\u2500")


def test_ten_thousand_points_show_the_one_spike() -> None:
    values = [100.0] * 10_000
    values[7_777] = 200.0
    strips = line_chart(minutes(10_000), values, 80, 14, COLOURS).strips
    assert_filled(strips, 80, 14)
    assert dots(strips[:3]) > 0, "the spike reaches the top"
    assert "200┤" in text(strips)


@pytest.mark.parametrize("values", [[], [NAN], [None, INF, -INF], [1e300], [Decimal("NaN")]])
def test_nothing_to_draw_says_so(values: list[float | Decimal | None]) -> None:
    strips = line_chart(minutes(len(values)), values, 40, 8, COLOURS, empty_text="no equity yet")
    assert_filled(strips, 40, 8)
    assert "no equity yet" in text(strips)
    assert "no equity yet" in text(
        drawdown_chart(minutes(len(values)), values, 40, 8, COLOURS, empty_text="no equity yet")
    )


def test_one_point_is_a_dot_and_a_flat_line_lies_in_the_middle() -> None:
    assert dots(line_chart([T0], [Decimal("10000.5")], 60, 9, COLOURS)) == 1
    flat = line_chart(minutes(60), [10_000.0] * 60, 60, 9, COLOURS).strips
    rows = [i for i, strip in enumerate(flat) if dots([strip])]
    assert rows == [3] or rows == [4]


def test_a_gap_stays_a_gap() -> None:
    values: list[float | None] = [*wave(300)]
    values[100:200] = [None] * 100
    with_gap, whole = (line_chart(minutes(300), v, 80, 12, COLOURS).strips for v in (values, wave(300)))
    middle = [[strip.crop(37, 50) for strip in strips] for strips in (with_gap, whole)]
    assert dots(middle[0]) == 0
    assert dots(middle[1]) > 0
    assert dots(with_gap) > 0


def test_a_mixture_of_everything_bad_still_draws_the_good() -> None:
    values: list[float | Decimal | None] = [NAN, INF, None, Decimal("Infinity"), 1e308, -1e308]
    strips = line_chart(minutes(106), [*values, *wave(100)], 80, 12, COLOURS)
    assert dots(strips) > 40
    many_gaps = [NAN if n % 2 else 10_000.0 + n for n in range(400)]
    assert dots(line_chart(minutes(400), many_gaps, 80, 12, COLOURS)) > 40


def test_times_out_of_order_and_repeated_are_drawn_in_order() -> None:
    xs, ys = minutes(100), wave(100)
    assert text(line_chart(xs[::-1], ys[::-1], 80, 12, COLOURS)) == text(line_chart(xs, ys, 80, 12, COLOURS))
    assert_filled(line_chart([T0] * 50, wave(50), 80, 12, COLOURS), 80, 12)


def test_drawdown_hangs_from_zero() -> None:
    strips = drawdown_chart(minutes(200), [-abs(math.sin(n / 30)) * 8 for n in range(200)], 80, 10, COLOURS).strips
    assert_filled(strips, 80, 10)
    assert text(strips).split("\n")[0].strip().startswith("0")
    blocks = [sum(char in "▖▗▘▙▚▛▜▝▞▟▀▄█▌▐" for char in strip.text) for strip in strips[:8]]
    assert blocks[0] > blocks[-1] > 0
    assert_filled(drawdown_chart(minutes(5), [0.0] * 5, 80, 10, COLOURS), 80, 10)


@pytest.mark.parametrize(("width", "height"), [(0, 0), (1, 1), (15, 10), (80, 3), (16, 4), (20, 5), (300, 80)])
def test_every_size_is_filled_exactly(width: int, height: int) -> None:
    assert_filled(line_chart(minutes(100), wave(100), width, height, COLOURS), width, height)
    assert_filled(drawdown_chart(minutes(100), wave(100), width, height, COLOURS), width, height)


def test_ascii_is_ascii() -> None:
    for draw in (line_chart, drawdown_chart):
        assert text(draw(minutes(50), [-n / 10 for n in range(50)], 60, 10, COLOURS, symbol="ascii")).isascii()


def test_an_error_of_the_library_becomes_words(monkeypatch: pytest.MonkeyPatch) -> None:
    import plotext._figure

    def broken() -> None:
        raise ZeroDivisionError("secret 42")

    monkeypatch.setattr(plotext._figure, "_figure_class", broken)
    strips = line_chart(minutes(50), wave(50), 60, 10, COLOURS)
    assert_filled(strips, 60, 10)
    assert "chart unavailable (ZeroDivisionError)" in text(strips)
    assert "secret" not in text(strips)
    assert "chart unavailable (ValueError)" in text(line_chart([T0], [1.0, 2.0], 60, 10, COLOURS))


NUMBERS = st.one_of(st.none(), st.floats(), st.decimals(), st.floats(9_000, 11_000))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-(2**40), 2**62), NUMBERS), max_size=40),
    st.integers(16, 90),
    st.integers(4, 24),
    st.sampled_from(["braille", "block", "ascii"]),
)
def test_any_numbers_give_a_chart_or_words(
    points: list[tuple[int, float | Decimal | None]], width: int, height: int, symbol: GraphSymbol
) -> None:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    for draw in (line_chart, drawdown_chart):
        assert_filled(draw(xs, ys, width, height, COLOURS, symbol=symbol), width, height)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=500), st.integers(1, 60))
def test_no_extreme_and_no_end_is_lost_in_a_column(values: list[float], count: int) -> None:
    xs, ys = series(minutes(len(values)), values)
    columns = columns_of(xs, ys, int(xs[0]), int(xs[-1]) or 1, count)
    assert len(columns) <= count
    assert [c.at for c in columns] == sorted({c.at for c in columns})
    assert (min(c.low for c in columns), max(c.high for c in columns)) == (min(values), max(values))
    assert (columns[0].first, columns[-1].last) == (values[0], values[-1])


@settings(max_examples=50)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=300), st.integers(2, 80), st.integers(2, 60))
def test_a_line_without_gaps_has_no_hole(values: list[float], count: int, rows: int) -> None:
    xs, ys = series(minutes(len(values)), values)
    low, high = min(values), max(values) + 1.0
    dots_of = trace(columns_of(xs, ys, int(xs[0]), int(xs[-1]), count), low, high, count, rows)
    assert all(dots_of), "every column has a dot"
    for before, after in pairwise(dots_of):
        near = before | before << 1 | before >> 1
        assert near & after, "each column touches the next"
    assert max(dots_of).bit_length() <= rows


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.integers(1, 8))
def test_value_ticks_are_inside_round_and_told_apart(low: float, span: float, count: int) -> None:
    high = low + span
    if not high - low > abs(high) * 1e-6:
        return
    ticks, labels = value_ticks(low, high, count)
    slack = span * 1e-6
    assert all(low - slack <= tick <= high + slack for tick in ticks)
    assert len(ticks) <= count + 1
    assert len(set(labels)) == len(labels)
    assert "-0" not in labels


def test_tick_labels() -> None:
    assert value_ticks(9_800, 10_420, 4)[1] == ["9,800", "10,000", "10,200", "10,400"]
    assert value_ticks(0.5, 3.1, 3)[1] == ["1", "2", "3"]
    assert value_ticks(0, 1, 4)[1] == ["0.00", "0.25", "0.50", "0.75", "1.00"]
    assert time_ticks(T0, 7_200, 4)[1] == ["01:00Z", "01:30Z", "02:00Z", "02:30Z", "03:00Z"]
    assert time_ticks(T0, 5 * 86_400, 5)[1] == ["11-21", "11-22", "11-23", "11-24", "11-25"]
    assert time_ticks(T0, 30, 4)[1] == ["01:00:00Z", "01:00:10Z", "01:00:20Z", "01:00:30Z"]
    assert time_ticks(T0, 24 * 3_600, 5)[1] == ["06:00Z", "12:00Z", "18:00Z", "11-21"], "midnight is a day"
    assert count_ticks(6, 3)[1] == ["0", "2", "4", "6"]
    assert count_ticks(0, 3)[1] == ["0"]
    assert count_ticks(123_456, 4)[1] == ["0", "50,000", "100,000"]


def test_message_strips_of_no_size() -> None:
    assert message_strips("x", 0, 0, COLOURS) == []


def test_nothing_heavy_is_imported_before_the_first_chart() -> None:
    code = (
        "import sys, tui.app, tui.screens.charts; sys.exit(str({'plotext', 'numpy'} & sys.modules.keys() or '') or 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_ten_million_points_cost_the_columns_not_the_points() -> None:
    many = 10_000_000
    ys = np.zeros(many)
    ys[many // 2] = 7.5
    ys[5] = math.nan
    xs = np.arange(T0, T0 + many * 1_000_000, 1_000_000, dtype=np.int64)
    drawn = line_chart(xs, ys, 120, 30, COLOURS)
    assert_filled(drawn, 120, 30)
    assert dots(drawn.strips[:4]) > 0, "the one spike is there"
    assert_filled(line_chart(xs, ys, 120, 30, COLOURS, window=(T0, T0 + 3_600_000_000)), 120, 30)


def test_negative_equity_has_its_sign_on_the_axis() -> None:
    shown = text(line_chart(minutes(100), [-500.0 - n for n in range(100)], 80, 14, COLOURS))
    assert "-550" in shown or "-520" in shown or "-525" in shown
    assert dots(line_chart(minutes(100), [-500.0 - n for n in range(100)], 80, 14, COLOURS)) > 30


@pytest.mark.parametrize("width", [0, 1, 3, 15])
def test_a_chart_three_cells_wide_says_that_there_is_more(width: int) -> None:
    for drawn in (
        line_chart(minutes(9), wave(9), width, 8, COLOURS),
        candle_chart(walk(9), width, 8, COLOURS),
        histogram_chart(bins_of([1.0], 3), width, 8, COLOURS),
    ):
        assert_filled(drawn, width, 8)
        assert text(drawn).strip() in ("…", "")


def test_a_window_shows_a_part_and_the_line_enters_from_outside() -> None:
    xs, ys = minutes(300), [float(n) for n in range(300)]
    drawn = line_chart(xs, ys, 80, 14, COLOURS, window=(xs[100] + 1, xs[200] - 1))
    shown = text(drawn)
    assert "200" not in shown.replace("02:00", "") and "120" in shown
    assert all(xs[100] < key < xs[200] for key in drawn.keys)
    first, last = drawn.stops[0], drawn.stops[-1]
    assert any("⠁" <= strip.text[first] <= "⣿" for strip in drawn.strips), "it comes in at the left edge"
    assert any("⠁" <= strip.text[last] <= "⣿" for strip in drawn.strips)
    assert "no data yet" in text(line_chart(xs, ys, 80, 14, COLOURS, window=(1, 2)))


def test_long_words_of_an_empty_chart_are_wrapped() -> None:
    words = "No equity yet: the first sample comes with the first candle."
    strips = message_strips(words, 24, 8, COLOURS)
    assert " ".join(text(strips).split()) == words
    assert_filled(strips, 24, 8)
