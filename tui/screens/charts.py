"""Screen 4: candles with what was traded on them, equity, drawdown, and the spread of results.

What is in memory is shown at once. Older bars, older round trips and a closer look at equity come from the database, as
futures: nothing here waits, and Esc takes a question back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, ClassVar

from textual.binding import BindingType
from textual.containers import Container, Horizontal
from textual.widget import Widget

from engine.client import EquityPoint, Snapshot, TradeView
from engine.core.text import safe_text
from engine.core.types import TIMEFRAMES_US
from tui.accounts import ALL_BOTS, AccountCurve, account_of, choices, closer, stored_as, trips_of
from tui.actions import bindings
from tui.bars import Folded, offered
from tui.charts import GLYPHS
from tui.pictures import svg_of
from tui.raster import GRAPH_SYMBOLS, GraphSymbol
from tui.saving import export
from tui.screens.base import CockpitScreen
from tui.screens.picker import PickDialog
from tui.viewmodel import Frame, Line, Span
from tui.widgets.candles import EMPTY, CandleChart
from tui.widgets.chart import Chart
from tui.widgets.equity import DrawdownPanel, EquityPanel
from tui.widgets.line import SpanLine
from tui.widgets.results import ResultsChart
from tui.widgets.time_chart import TimeChart, moment

#: Between two looks at the data; a drawing takes some milliseconds.
LOOK_S = 1.0
#: After a change of the window, before the database is asked for more of it.
SETTLED_S = 0.4
PAGE = 5_000
VIEWS = ("all", "candles", "equity", "drawdown", "results")
#: A timeframe with so many bars in memory fills a chart.
ENOUGH_BARS = 110
NO_CANDLES = "~ not recorded: candles are not in the journal. Entries, exits and equity are. Esc: now"
PICTURE_SIZE = (160, 40)

SeriesKey = tuple[str, str, str]  # exchange, symbol, timeframe


class ChartsScreen(CockpitScreen):
    target = "charts"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("charts")]
    AUTO_FOCUS = "#candles"

    def __init__(self) -> None:
        super().__init__()
        self._exchange = self._symbol = self._timeframe = ""
        self._bot = ALL_BOTS  # what was picked of tui.accounts
        self._view = VIEWS[0]
        self._base_us = 0
        self._folded: dict[SeriesKey, Folded] = {}
        self._exhausted: set[SeriesKey] = set()
        self._candles_of: tuple[object, object] | None = None
        self._past: Sequence[TradeView] | None = None
        self._trips: tuple[TradeView, ...] = ()
        self._trips_of: tuple[object, ...] = ()
        self._detail: Sequence[EquityPoint] = ()
        self._curve: Sequence[EquityPoint] = ()
        self._curve_of: tuple[object, ...] = ()
        self._account_curve = AccountCurve()
        self._looked_mono = float("-inf")
        self._loading: Future[Any] | None = None
        self._loading_what = ""
        self._loading_since = 0.0

    def body(self) -> Iterable[Widget]:
        yield SpanLine(id="picks")
        with Container(id="charts"):
            yield CandleChart(id="candles")
            with Horizontal(id="lower"):
                yield EquityPanel(id="equity")
                yield DrawdownPanel(id="drawdown")
                yield ResultsChart(id="results")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(CandleChart).legend(legend(self.cockpit.graph_symbol))
        self._show_view()

    # -- looking -----------------------------------------------------------------------------------------------------

    def paint(self, frame: Frame) -> None:
        snapshot = frame.snapshot
        if snapshot is None or frame.mono - self._looked_mono < LOOK_S:
            return
        self._looked_mono = frame.mono
        if self._past is None:
            self._past = ()
            self.cockpit.wait_for(self.cockpit.client.history.trades(), self._past_arrived)
        if not self._symbol and snapshot.marks:
            first = snapshot.positions[0] if snapshot.positions else snapshot.marks[0]
            self._exchange, self._symbol = first.exchange, first.symbol
        self._paint_trips(snapshot)
        self._paint_candles(snapshot)
        self._paint_equity(snapshot)
        self._paint_picks(snapshot)
        if self._loading is not None:
            waited = int(frame.mono - self._loading_since)
            self.query_one(CandleChart).legend(f"{self._loading_what} {waited}s - Esc cancels")

    def forget(self) -> None:
        """The picks stay. Of the past there are no candles: no candle is an event."""
        if self._loading is not None:
            self._loading.cancel()
        self._folded, self._exhausted, self._candles_of = {}, set(), None
        self._past, self._trips_of, self._detail, self._curve_of = None, (), (), ()
        self._account_curve = AccountCurve()
        self._looked_mono = float("-inf")
        chart = self.query_one(CandleChart)
        chart.empty_text = EMPTY if self.cockpit.past.client is None else NO_CANDLES
        chart.set_bars((), (), 2)

    def _now(self) -> None:
        """Look again at once: something was picked or has arrived."""
        self._looked_mono = float("-inf")
        self.paint(self.cockpit.frame)

    def _paint_trips(self, snapshot: Snapshot) -> None:
        seen = self.cockpit.client.trades()
        basis = (seen, self._past, self._bot)
        if all(a is b for a, b in zip(basis, self._trips_of, strict=False)) and self._trips_of:
            return
        self._trips_of = basis
        known = {trip.id for trip in seen}
        every = (*(trip for trip in self._past or () if trip.id not in known), *seen)
        self._trips = trips_of(self._bot, snapshot, every)
        results = self.query_one(ResultsChart)
        results.set_values([t.pnl for t in self._trips if t.exit_ts], snapshot.base_currency)

    def _paint_candles(self, snapshot: Snapshot) -> None:
        chart = self.query_one(CandleChart)
        if not self._symbol:
            return
        client = self.cockpit.client
        if not self._timeframe:
            self._base_us, bars = client.bars(self._exchange, self._symbol)
            if not bars:
                return
            self._timeframe = self._fitting(len(bars))
        folded = self._series()
        base_us, bars = client.bars(self._exchange, self._symbol, folded.newest_ts)
        self._base_us = base_us or self._base_us
        grown = folded.add(bars)
        of = self._candles_of
        if grown or of is None or of[0] is not folded or of[1] is not self._trips_of:
            self._candles_of = (folded, self._trips_of)
            mine = [t for t in self._trips if (t.exchange, t.symbol) == (self._exchange, self._symbol)]
            chart.set_bars(folded.bars, mine, self._places(snapshot))
            last = f"{folded.bars[-1][4]:,.{self._places(snapshot)}f}" if folded.bars else ""
            chart.entitle(f"{self._symbol} {self._exchange} {self._timeframe} {last}")

    def _series(self) -> Folded:
        key = (self._exchange, self._symbol, self._timeframe)
        if key not in self._folded:
            self._folded[key] = Folded(TIMEFRAMES_US[self._timeframe])
        return self._folded[key]

    def _fitting(self, bars: int) -> str:
        """The longest timeframe that the bars in memory fill a chart of."""
        names = offered(self._base_us)
        filled = [n for n in names if bars * self._base_us >= ENOUGH_BARS * TIMEFRAMES_US[n]]
        return filled[-1] if filled else names[0]

    def _places(self, snapshot: Snapshot) -> int:
        return next(
            (m.price_places for m in snapshot.marks if (m.exchange, m.symbol) == (self._exchange, self._symbol)), 2
        )

    def _paint_equity(self, snapshot: Snapshot) -> None:
        equity, drawdown = self.query_one(EquityPanel), self.query_one(DrawdownPanel)
        account = account_of(self._bot, snapshot)
        if self._bot != ALL_BOTS and account is None:
            currency = next((b.currency for b in snapshot.bots if b.name == self._bot), "") or snapshot.base_currency
            equity.paint_bot(self._bot, currency, self._trips)
            drawdown.paint_bot(self._bot, currency, self._trips)
            return
        curve = self.cockpit.curve
        if account is not None:
            curve = self._account_curve.read(self.cockpit.client, account, snapshot.seq)
        basis = (curve, self._detail)
        if not self._curve_of or any(a is not b for a, b in zip(basis, self._curve_of, strict=True)):
            self._curve_of = basis
            self._curve = closer(curve, self._detail)
        equity.paint(self._curve, snapshot, account)
        drawdown.paint(self._curve)

    def _paint_picks(self, snapshot: Snapshot) -> None:
        line: Line = [
            Span(" s ", "key"),
            Span(safe_text(self._symbol or "no symbol yet", 24), "strong"),
            Span("  f ", "key"),
        ]
        for name in offered(self._base_us) or [self._timeframe]:
            line.append(
                Span(
                    f"[{name}]" if name == self._timeframe else f" {name} ",
                    "strong" if name == self._timeframe else "dim",
                )
            )
        line += [Span("  b ", "key"), Span(safe_text(self._bot, 24)), Span("  v ", "key"), Span(self._view)]
        folded = self._folded.get((self._exchange, self._symbol, self._timeframe))
        since = moment(folded.bars[0][0] - folded.length_us) if folded is not None and folded.bars else ""
        more = [f"  {len(folded.bars):,} bars from {since}"] if folded is not None and since else []
        for words in (*more, "   h l cursor  + - zoom  , . earlier, later  0 all"):
            if sum(len(span.text) for span in line) + len(words) <= self.size.width:
                line.append(Span(words, "dim"))
        self.query_one("#picks", SpanLine).set_line(line)

    # -- the past ----------------------------------------------------------------------------------------------------

    def _past_arrived(self, done: Future[Any]) -> None:
        if done.cancelled() or done.exception() is not None:
            return  # memory has the newest; the database's state is in the status line
        self._past = done.result()
        self._now()

    def on_chart_window_changed(self, event: Chart.WindowChanged) -> None:
        event.stop()
        chart = event.chart
        if isinstance(chart, CandleChart):
            if chart.coarser:
                chart.coarser = False
                self._coarser()
            elif chart.shows_oldest:
                self._load_older()
        elif isinstance(chart, TimeChart):
            self.set_timer(SETTLED_S, lambda: self._look_closer(chart))

    def _coarser(self) -> None:
        names = offered(self._base_us)
        at = names.index(self._timeframe) + 1 if self._timeframe in names else len(names)
        if at < len(names):
            self._take_timeframe(names[at])

    def _load_older(self) -> None:
        key = (self._exchange, self._symbol, self._timeframe)
        if self._loading is not None or not self._timeframe or key in self._exhausted:
            return
        folded = self._series()
        before = folded.bars[0][0] if folded.bars else None
        self._loading = self.cockpit.client.history.bars(*key, folded.length_us, before, PAGE)
        self._loading_what = f"loading older bars of {self._symbol} {self._timeframe}"
        self._loading_since = self.cockpit.clock()
        self.cockpit.wait_for(self._loading, lambda done: self._older_arrived(done, key))

    def _older_arrived(self, done: Future[Any], key: SeriesKey) -> None:
        self._loading = None
        self.query_one(CandleChart).legend(legend(self.cockpit.graph_symbol))
        if done.cancelled():
            self.cockpit.toast("loading older bars: cancelled")
            return
        error = done.exception()
        if error is not None:
            self.cockpit.toast(f"older bars: {error}", failed=True)
            return
        if key in self._folded and not self._folded[key].put_before(done.result()):
            self._exhausted.add(key)
        self._candles_of = None
        self._now()

    def _look_closer(self, chart: TimeChart) -> None:
        window, account = chart.window, stored_as(self._bot, self.cockpit.frame.snapshot)
        if window is not None and account:
            future = self.cockpit.client.history.equity(*window, account=account)
            self.cockpit.wait_for(future, self._closer_arrived)

    def _closer_arrived(self, done: Future[Any]) -> None:
        if not done.cancelled() and done.exception() is None and len(done.result()) > 1:
            self._detail = done.result()
            self._now()

    # -- cursors -----------------------------------------------------------------------------------------------------

    def on_chart_cursor_moved(self, event: Chart.CursorMoved) -> None:
        """The charts over time share the moment that is looked at."""
        event.stop()
        if event.key is None and self._loading is not None:
            self._loading.cancel()
        if isinstance(event.chart, ResultsChart):
            return
        for chart in self.query(Chart):
            if chart is not event.chart and not isinstance(chart, ResultsChart):
                chart.put_cursor(event.key if event.key is not None and _covers(chart, event.key) else None)

    # -- picking -----------------------------------------------------------------------------------------------------

    def action_pick_symbol(self) -> None:
        snapshot = self.cockpit.frame.snapshot
        if snapshot is None or not snapshot.marks:
            self.cockpit.toast("no symbol has a price yet", failed=True)
            return
        held = {(p.exchange, p.symbol) for p in snapshot.positions}
        choices = [
            (
                f"{m.symbol} {m.exchange}",
                f"{m.price:,.{m.price_places}f}{'  position' * ((m.exchange, m.symbol) in held)}",
            )
            for m in snapshot.marks
        ]
        self._pick("symbol", choices, f"{self._symbol} {self._exchange}", self._take_symbol)

    def _take_symbol(self, name: str) -> None:
        symbol, _, exchange = name.rpartition(" ")
        self._exchange, self._symbol = exchange, symbol
        self._other_series()

    def action_pick_timeframe(self) -> None:
        names = offered(self._base_us)
        if not names:
            self.cockpit.toast("no bar yet: the timeframe is known with the first one", failed=True)
            return
        self._pick("timeframe", [(name, "") for name in names], self._timeframe, self._take_timeframe)

    def _take_timeframe(self, name: str) -> None:
        self._timeframe = name
        self._other_series()

    def _other_series(self) -> None:
        if self._loading is not None:
            self._loading.cancel()
        chart = self.query_one(CandleChart)
        chart.forget_window()
        self._now()
        if self._timeframe and len(self._series().bars) < ENOUGH_BARS:
            self._load_older()

    def action_pick_bot(self) -> None:
        snapshot = self.cockpit.frame.snapshot
        self._pick("bot or account", choices(snapshot), self._bot, self._take_bot)

    def _take_bot(self, name: str) -> None:
        self._bot, self._detail, self._trips_of = name, (), ()
        for chart in (self.query_one(EquityPanel), self.query_one(DrawdownPanel)):
            chart.reset()
        self._now()

    def _pick(self, what: str, choices: Sequence[tuple[str, str]], current: str, take: Callable[[str], None]) -> None:
        self.app.push_screen(PickDialog(what, choices, current), lambda name: take(name) if name else None)

    def action_next_view(self) -> None:
        self._view = VIEWS[(VIEWS.index(self._view) + 1) % len(VIEWS)]
        self._show_view()
        self._now()

    def _show_view(self) -> None:
        for view in VIEWS:
            self.set_class(view == self._view, f"-view-{view}")
        focus = "#candles" if self._view == "all" else f"#{self._view}"
        self.query_one(focus).focus()

    def action_graph_symbol(self) -> None:
        symbols = GRAPH_SYMBOLS
        self.cockpit.graph_symbol = symbol = symbols[(symbols.index(self.cockpit.graph_symbol) + 1) % len(symbols)]
        for chart in self.query(Chart):
            chart.symbol = symbol
        self.query_one(CandleChart).legend(legend(symbol))
        self.cockpit.toast(f"charts drawn with {symbol}")

    # -- export ------------------------------------------------------------------------------------------------------

    def action_export_chart(self) -> None:
        """The focused chart, or the candles, drawn anew at a size for paper."""
        chart = self.focused if isinstance(self.focused, Chart) else self.query_one(CandleChart)
        colours = chart.colours()
        drawing = chart.draw(*PICTURE_SIZE, colours)
        heading, foot = chart.words
        name = "-".join(word for word in (chart.id or "chart", self._symbol.replace("/", "")) if word.isprintable())

        def make() -> str:
            return svg_of(drawing.strips, heading, foot, colours.label, colours.background)

        export(self.cockpit, safe_name(name), ".svg", make, f"{chart.id} chart")


def legend(symbol: GraphSymbol) -> str:
    """What the glyphs of the candles mean."""
    return "  ".join(f"{GLYPHS[kind][symbol == 'ascii']} {kind}" for kind in GLYPHS)


def safe_name(name: str) -> str:
    """Part of a file's name: letters, digits and dashes."""
    return "".join(c if c.isascii() and (c.isalnum() or c == "-") else "_" for c in name)[:60]


def _covers(chart: Chart, key: int) -> bool:
    keys = chart.built().keys
    return bool(keys) and keys[0] <= key <= keys[-1]
