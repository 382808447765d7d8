"""The chart widgets: drawn no more than needed, a cursor with its values, zoom and pan."""

from __future__ import annotations

import math

import pytest
from rich.segment import Segment
from rich.style import Style
from textual.app import ComposeResult
from textual.geometry import Region
from textual.strip import Strip

from engine.client import TradeView
from tests.patience import until_async
from tests.tui.chart_data import COLOURS, MINUTE, T0, minutes, walk, wave
from tui.bars import Folded, offered
from tui.charts import candle_chart
from tui.crash import CockpitApp
from tui.widgets.candles import CandleChart
from tui.widgets.chart import Chart, difference
from tui.widgets.results import ResultsChart
from tui.widgets.time_chart import TimeChart, moment


class ChartApp(CockpitApp[None]):
    def compose(self) -> ComposeResult:
        yield TimeChart(empty_text="no equity yet\x1b]0;PWNED\x07")

    @property
    def chart(self) -> TimeChart:
        return self.query_one(TimeChart)

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


def column_of(app: ChartApp) -> list[str]:
    """What stands in the cursor's column."""
    at = app.chart._cursor_column()
    assert at is not None
    return [app.chart.render_line(y).text[at] for y in range(app.chart.size.height)]


async def test_the_cursor_walks_says_and_costs_no_drawing() -> None:
    app = ChartApp()
    async with app.run_test(size=(80, 20)) as pilot:
        app.chart.focus()
        app.chart.set_series(minutes(300), wave(300))
        await pilot.pause()
        drawn = app.chart.drawings
        await pilot.press("h")
        assert app.chart.cursor is not None and "Z" in str(app.chart.border_subtitle)
        latest = app.chart.cursor
        assert f"{wave(300)[299]:,.2f}" in str(app.chart.border_subtitle)
        assert "\u2502" in column_of(app)
        await pilot.press("h", "left", "l", "right", "h")
        assert app.chart.cursor < latest
        assert app.chart.drawings == drawn
        await pilot.press("escape")
        assert app.chart.cursor is None
        app.chart.legend("all of it")
        assert str(app.chart.border_subtitle) == "all of it"
        app.chart.symbol = "ascii"
        await pilot.press("l")
        assert app.chart.cursor == app.chart.built().keys[0], "from the left, the first press goes to the first"
        assert app.shown().isascii()


async def test_zoom_keeps_what_is_under_the_cursor_and_follows_the_end_without_one() -> None:
    app = ChartApp()
    async with app.run_test(size=(80, 20)) as pilot:
        app.chart.focus()
        app.chart.set_series(minutes(300), wave(300))
        await pilot.press("plus")
        assert app.chart.window == (T0 + 149 * MINUTE + MINUTE // 2, T0 + 299 * MINUTE)
        app.chart.set_series(minutes(310), wave(310))
        assert app.chart.window is not None and app.chart.window[1] == T0 + 309 * MINUTE, "it goes on with the end"
        app.chart.put_cursor(T0 + 200 * MINUTE)
        await pilot.press("plus")
        start, end = app.chart.window
        assert start < T0 + 200 * MINUTE < end < T0 + 309 * MINUTE
        await pilot.press("comma")
        assert app.chart.window[1] < end
        await pilot.press("full_stop", "full_stop", "full_stop", "full_stop", "full_stop")
        assert app.chart.window[1] == T0 + 309 * MINUTE
        await pilot.press("minus", "minus", "minus")
        assert app.chart.window is None
        await pilot.press("plus", "0")
        assert app.chart.window is None and app.chart.cursor is None
        for _ in range(40):
            await pilot.press("equals_sign")
        assert app.chart.window is not None
        assert app.chart.window[1] - app.chart.window[0] == 5 * MINUTE, "closer has no more to show"


async def test_a_cursor_that_leaves_the_window_takes_it_along() -> None:
    app = ChartApp()
    async with app.run_test(size=(80, 20)) as pilot:
        app.chart.focus()
        app.chart.set_series(minutes(300), wave(300))
        await pilot.press("plus", "plus", "h")
        before = app.chart.window
        for _ in range(80):
            await pilot.press("h")
        assert before is not None and app.chart.window is not None
        assert app.chart.window[0] < before[0]
        for _ in range(400):
            app.chart.action_chart_left()
        assert app.chart.window[0] >= T0, "and stops at the first point"


async def test_an_empty_chart_takes_every_key() -> None:
    app = ChartApp()
    async with app.run_test(size=(80, 20)) as pilot:
        app.chart.focus()
        await pilot.press("h", "l", "plus", "minus", "0", "comma", "full_stop", "escape")
        assert app.chart.cursor is None and "no equity yet" in app.shown()


class MoreCharts(CockpitApp[None]):
    def compose(self) -> ComposeResult:
        yield CandleChart(id="candles")
        yield ResultsChart(id="results")

    @property
    def candles(self) -> CandleChart:
        return self.query_one(CandleChart)


def trip(entry: int, exit_at: int, **changes: object) -> TradeView:
    values = {
        "id": f"p{entry}", "bot": "trend", "exchange": "binance", "symbol": "BTC/USDT", "side": "LONG",
        "entry_ts": T0 + entry * MINUTE, "entry_price": 100.0, "exit_ts": T0 + exit_at * MINUTE if exit_at else 0,
        "exit_price": 104.0, "pnl": 3.5, "reason": "TAKE_PROFIT",
        "exits": ((T0 + entry * MINUTE, 95.0, 116.0),),
    }  # fmt: skip
    return TradeView(**(values | changes))  # type: ignore[arg-type]


def shown(chart: Chart) -> str:
    return "\n".join(chart.render_line(y).text for y in range(chart.size.height))


async def test_candles_say_prices_and_trades_at_the_cursor() -> None:
    app = MoreCharts()
    async with app.run_test(size=(100, 40)) as pilot:
        app.candles.focus()
        assert "No bar of this symbol yet" in shown(app.candles)
        app.candles.set_bars(walk(60), [trip(30, 40), trip(50, 0, side="SHORT", exits=())], 2)
        await pilot.pause()
        picture = shown(app.candles)
        assert [picture.count(glyph) for glyph in "\u25b2\u25bc\u25c6"] == [1, 1, 1]
        app.candles.put_cursor(T0 + 40 * MINUTE)
        said = str(app.candles.border_subtitle)
        o, h, low, c = walk(60)[40][1:5]
        assert f"O {o:,.2f} H {h:,.2f} L {low:,.2f} C {c:,.2f}" in said
        assert "gain 104.00 +3.50 TAKE_PROFIT" in said and moment(T0 + 40 * MINUTE) in said
        app.candles.put_cursor(T0 + 50 * MINUTE)
        assert "short 100.00" in str(app.candles.border_subtitle)


async def test_candles_zoom_by_columns_and_ask_for_more() -> None:
    app = MoreCharts()
    async with app.run_test(size=(100, 40)) as pilot:
        app.candles.focus()
        app.candles.set_bars(walk(600), [], 2)
        await pilot.pause()
        wide = len(app.candles.built().keys)
        assert not app.candles.shows_oldest
        await pilot.press("plus")
        assert len(app.candles.built().keys) == wide // 2
        await pilot.press("comma", "comma")
        assert app.candles.built().keys[-1] < walk(600)[-1][0]
        app.candles.set_bars(walk(700), [], 2)
        assert app.candles.built().keys[-1] < walk(600)[-1][0], "what is looked at stays, whatever comes"
        for _ in range(60):
            await pilot.press("comma")
        assert app.candles.shows_oldest
        await pilot.press("0")
        assert app.candles.built().keys[-1] == walk(700)[-1][0]
        assert not app.candles.coarser
        await pilot.press("minus")
        assert app.candles.coarser


async def test_results_walk_from_bin_to_bin() -> None:
    app = MoreCharts()
    async with app.run_test(size=(100, 40)) as pilot:
        results = app.query_one(ResultsChart)
        assert "No round trip has ended yet" in " ".join(shown(results).split())
        results.set_values([-10.0, -4.0, 3.0, 8.0, 9.0], "USDT")
        results.focus()
        await pilot.pause()
        assert str(results.border_title) == "P&L of 5 round trips, USDT"
        assert "3 won, 2 lost, mean +1.20" in str(results.border_subtitle)
        drawn = results.drawings
        results.set_values([-10.0, -4.0, 3.0, 8.0, 9.0], "USDT")
        await pilot.press("l")
        assert results.drawings == drawn
        assert "-10.0 to -7.5" in str(results.border_subtitle) and "1 of 5" in str(results.border_subtitle)


@pytest.mark.parametrize("theme", ["quantsail-light", "quantsail-mono", "quantsail-high-contrast", "quantsail-classic"])
@pytest.mark.parametrize("symbol", ["braille", "block", "ascii"])
async def test_every_theme_and_symbol_draws_all_kinds(theme: str, symbol: str) -> None:
    app = MoreCharts()
    async with app.run_test(size=(100, 40)) as pilot:
        app.theme = theme
        app.candles.set_bars(walk(60), [trip(30, 40)], 2)
        app.query_one(ResultsChart).set_values([-1.0, 2.0, math.nan], "USDT")
        for chart in app.query(Chart):
            chart.symbol = symbol  # type: ignore[assignment]
        await pilot.pause()
        pictures = [shown(chart) for chart in app.query(Chart)]
        assert all("unavailable" not in picture for picture in pictures)
        assert all(picture.isascii() for picture in pictures) == (symbol == "ascii")
        assert app.candles.colours().grey == (theme == "quantsail-mono")


def test_bars_fold_into_longer_ones_as_they_come() -> None:
    hours, whole = Folded(5 * MINUTE), Folded(5 * MINUTE)
    minutes_ = walk(23)
    for one in minutes_:
        assert hours.add([one])
    assert not hours.add(minutes_), "what was seen is passed over"
    whole.add(minutes_)
    assert hours.bars == whole.bars
    assert all(one[0] % (5 * MINUTE) == 0 for one in hours.bars)
    assert sum(one[5] for one in hours.bars) == sum(one[5] for one in minutes_)
    inside = [one for one in minutes_ if hours.bars[1][0] - 5 * MINUTE < one[0] <= hours.bars[1][0]]
    assert hours.bars[1][1:5] == (inside[0][1], max(b[2] for b in inside), min(b[3] for b in inside), inside[-1][4])


def test_the_past_is_put_before_and_makes_the_first_bar_whole() -> None:
    folded = Folded(5 * MINUTE)
    folded.add(walk(23)[3:])
    first = folded.bars[0][0]
    past = [(first - n * 5 * MINUTE, 1.0, 9.0, 0.5, 2.0, 99.0) for n in (2, 1, 0)]
    assert folded.put_before(past) == 2
    assert [one[0] for one in folded.bars[:3]] == [first - 10 * MINUTE, first - 5 * MINUTE, first]
    assert folded.bars[2] == past[2], "it had begun in the middle of its time"
    assert folded.put_before(past) == 0
    assert Folded(MINUTE).put_before(past) == 3


def test_the_picker_offers_what_the_recorded_bars_allow() -> None:
    assert offered(MINUTE) == ["1m", "5m", "15m", "1h", "4h", "1d"]
    assert offered(15 * MINUTE) == ["15m", "1h", "4h", "1d"]
    assert offered(30 * MINUTE) == ["30m", "1h", "4h", "1d"]
    assert offered(7 * MINUTE) == [] and offered(0) == []


def test_moments() -> None:
    assert moment(T0) == "2025-11-20 01:00Z"
    assert moment(T0 + 1_000_000) == "2025-11-20 01:00:01Z"
    assert moment(2**62) == "no time"
    assert COLOURS.grey is False


def strip_of(*parts: tuple[str, str]) -> Strip:
    return Strip([Segment(text, Style(color=colour)) for text, colour in parts])


def test_only_the_columns_that_differ_are_named() -> None:
    old = strip_of(("ab", "red"), ("cd", "blue"), ("ef", "red"))
    assert difference(old, old) == (6, 0), "nothing: the last column comes before the first"
    first, last = difference(old, strip_of(("ab", "red"), ("cX", "blue"), ("ef", "red")))
    assert (first, last) == (2, 4)
    first, last = difference(old, strip_of(("ab", "red"), ("cd", "green"), ("ef", "red")))
    assert (first, last) == (2, 4), "a colour alone is a difference"
    assert difference(old, strip_of(("abcdeX", "red"))) == (0, 6)


async def test_a_chart_that_changes_a_little_is_painted_a_little_and_stays_right() -> None:
    app = MoreCharts()
    async with app.run_test(size=(100, 40)) as pilot:
        app.candles.set_bars(walk(90), [], 2)
        await until_async(lambda: app.candles._pending is None)
        await pilot.pause()
        grown = [*walk(90)[:-1], (walk(90)[-1][0], *walk(90)[-1][1:4], walk(90)[-1][3], 1.0)]
        painted: list[int] = []
        plain_refresh = app.candles.refresh

        def counted(*regions: Region, **options: bool) -> CandleChart:
            painted.extend(region.area for region in regions) if regions else painted.append(10_000)
            return plain_refresh(*regions, **options)

        app.candles.refresh = counted  # type: ignore[method-assign, assignment]
        app.candles.set_bars(grown, [], 2)
        await pilot.pause()
        assert 0 < sum(painted) < app.candles.size.area / 3
        fresh = candle_chart(grown, *app.candles.size, app.candles.colours())
        lines = [app.candles.render_line(y).text for y in range(app.candles.size.height)]
        assert lines == [strip.text for strip in fresh.strips]
