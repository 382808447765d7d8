"""Charts: hostile numbers, sizes, ticks, decimation, colours; and the widget that draws them no more than needed."""

from __future__ import annotations

import math
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.segment import Segment
from rich.style import Style
from textual.app import ComposeResult
from textual.strip import Strip

from tests.patience import until_async
from tui.ansi import ansi_to_strips
from tui.charts import (
    ChartColours,
    GraphSymbol,
    decimate,
    drawdown_chart,
    hold_lows,
    line_chart,
    message_strips,
    time_ticks,
    value_ticks,
)
from tui.crash import CockpitApp
from tui.widgets.chart import Chart

ROOT = Path(__file__).resolve().parents[2]
COLOURS = ChartColours(line="#56b4e9", grid="#55616f", label="#93a0b0", background="#0c1117")
T0 = 1_763_600_400_000_000  # 2025-11-20 01:00:00Z
MINUTE = 60_000_000
NAN, INF = math.nan, math.inf


def minutes(count: int) -> list[int]:
    return [T0 + n * MINUTE for n in range(count)]


def wave(count: int) -> list[float]:
    return [10_000 + 500 * math.sin(n / 40) for n in range(count)]


def text(strips: list[Strip]) -> str:
    return "\n".join(strip.text for strip in strips)


def dots(strips: list[Strip]) -> int:
    return sum("\u2801" <= char <= "\u28ff" for char in text(strips))


def assert_filled(strips: list[Strip], width: int, height: int) -> None:
    assert len(strips) == height
    assert {strip.cell_length for strip in strips} <= {width}


def test_a_line_has_a_frame_labels_and_dots() -> None:
    strips = line_chart(minutes(480), wave(480), 80, 14, COLOURS)
    assert_filled(strips, 80, 14)
    shown = text(strips)
    assert "10,000┤" in shown
    assert "02:00" in shown and "04:00" in shown
    assert dots(strips) > 60
    colours = {s.style.color.get_truecolor().hex for strip in strips for s in strip if s.style and s.style.color}
    assert {COLOURS.line, COLOURS.grid, COLOURS.label} == colours


def test_ten_thousand_points_show_the_one_spike() -> None:
    values = [100.0] * 10_000
    values[7_777] = 200.0
    strips = line_chart(minutes(10_000), values, 80, 14, COLOURS)
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
    flat = line_chart(minutes(60), [10_000.0] * 60, 60, 9, COLOURS)
    rows = [i for i, strip in enumerate(flat) if dots([strip])]
    assert rows == [3] or rows == [4]


def test_a_gap_stays_a_gap() -> None:
    values: list[float | None] = [*wave(300)]
    values[100:200] = [None] * 100
    with_gap, whole = (line_chart(minutes(300), v, 80, 12, COLOURS) for v in (values, wave(300)))
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
    strips = drawdown_chart(minutes(200), [-abs(math.sin(n / 30)) * 8 for n in range(200)], 80, 10, COLOURS)
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
def test_decimation_keeps_the_extremes_and_the_order(values: list[float], columns: int) -> None:
    points = [(float(i), value) for i, value in enumerate(values)]
    xs, ys = decimate(points, max(1.0, len(values) - 1.0), columns)
    assert len(xs) == len(ys) <= max(2 * columns, 1)
    assert (min(ys), max(ys)) == (min(values), max(values))
    assert xs == sorted(xs)
    assert set(zip(xs, ys, strict=True)) <= set(points)
    _, lows = hold_lows(points, max(1.0, len(values) - 1.0), columns)
    assert len(lows) <= columns
    assert min(lows) == min(values)


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
    assert time_ticks(T0, 7_200, 4)[1] == ["01:00", "01:30", "02:00", "02:30", "03:00"]
    assert time_ticks(T0, 5 * 86_400, 5)[1] == ["11-21", "11-22", "11-23", "11-24", "11-25"]
    assert time_ticks(T0, 30, 4)[1] == ["01:00:00", "01:00:10", "01:00:20", "01:00:30"]


def test_sgr_becomes_styles_and_other_sequences_vanish() -> None:
    base = Style(color="#101010", bgcolor="#000000")
    line = "a\x1b[38;2;1;2;3mb\x1b[38;5;196mc\x1b[1;31md\x1b[39me\x1b[0mf\x1b[2J\x1b]0;x\x07g\x1b[999mh\x1b[38;2;1mi"
    [strip] = ansi_to_strips(line, base)
    colours: dict[str, str | None] = {}
    for segment in strip:
        assert isinstance(segment, Segment) and segment.style is not None
        colours[segment.text] = segment.style.color.get_truecolor().hex if segment.style.color else None
    assert colours["b"] == "#010203"
    assert colours["c"] == "#ff0000"
    assert colours["e"] == colours["f"] == "#101010"
    assert "\x1b" not in strip.text and "\x07" not in strip.text


def test_message_strips_of_no_size() -> None:
    assert message_strips("x", 0, 0, COLOURS) == []


def test_plotext_is_not_imported_before_the_first_chart() -> None:
    code = "import sys, tui.widgets.chart; sys.exit('plotext' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


class ChartApp(CockpitApp[None]):
    def compose(self) -> ComposeResult:
        yield Chart(empty_text="no equity yet\x1b]0;PWNED\x07")

    @property
    def chart(self) -> Chart:
        return self.query_one(Chart)

    def shown(self) -> str:
        return "\n".join(self.chart.render_line(y).text for y in range(self.chart.size.height))


async def test_the_widget_draws_on_change_of_data_size_theme_and_symbol_only() -> None:
    app = ChartApp()
    async with app.run_test(size=(80, 20)) as pilot:
        assert "no equity yet" in app.shown()
        assert "\x1b" not in app.shown()
        app.chart.set_series(minutes(300), wave(300))
        await pilot.pause()
        assert "10,000┤" in app.shown()
        drawn = app.chart.drawings
        app.chart.set_series(minutes(300), wave(300))
        app.chart.refresh()
        await pilot.pause()
        assert app.chart.drawings == drawn, "nothing changed"
        app.theme = "quantsail-light"
        await pilot.pause()
        assert COLOURS.line not in {
            s.style.color.get_truecolor().hex for s in app.chart.render_line(5) if s.style and s.style.color
        }
        assert app.chart.drawings > drawn
        await pilot.resize_terminal(100, 30)
        await pilot.pause()
        assert {len(line) for line in app.shown().split("\n")} == {100}
        app.chart.symbol = "ascii"
        await pilot.pause()
        assert app.shown().isascii()
        assert app.chart.latest == wave(300)[-1]


async def test_a_flood_of_data_is_drawn_rarely_and_ends_with_the_last() -> None:
    app = ChartApp()
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.pause()
        before = app.chart.drawings
        for n in range(2, 102):
            app.chart.set_series(minutes(n), [float(v) for v in range(n)])
            app.shown()
        assert app.chart.drawings - before == 1, "a hundred changes, one drawing; the next waits for its time"
        app.chart.set_series(minutes(3), [70_000.0, 90_000.0, 80_000.0])
        await until_async(lambda: "80,000" in app.shown())


async def test_a_series_of_two_lengths_is_refused() -> None:
    app = ChartApp()
    async with app.run_test():
        with pytest.raises(ValueError, match="one value for each time"):
            app.chart.set_series([1, 2], [1.0])


@pytest.mark.parametrize("theme", ["nord", "textual-light", "ansi-dark"])
async def test_themes_that_are_not_ours_draw_too(theme: str) -> None:
    app = ChartApp()
    async with app.run_test(size=(80, 20)) as pilot:
        app.theme = theme
        app.chart.set_series(minutes(300), wave(300))
        await pilot.pause()
        assert "10,000┤" in app.shown()
