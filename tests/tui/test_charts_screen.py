"""Screen 4: pickers, views, cursor over all charts, the past read as futures, export."""

from __future__ import annotations

import asyncio
import math
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.client import AccountView, Bar, BotView, EquityPoint, TradeView
from engine.core.config import default_config, parse_config
from engine.core.types import MINUTE_US
from screenshots.stage import simulated
from tests.patience import until_async
from tests.tui.cockpit_pilot import SIZES, Cockpit, cockpit
from tests.tui.fake_engine import NOW, D, FakeEngine
from tui.actions import actions_of
from tui.screens.charts import ChartsScreen, safe_name
from tui.widgets.candles import CandleChart
from tui.widgets.chart import Chart
from tui.widgets.equity import EquityPanel

SERIES = ("binance", "BTC/USDT")
HOSTILE = [
    "BTC/\x1b]0;PWNED\x07USDT",
    "\x9b31mBTC\x9d52;c;PWNED\x9c",
    "BTC\u202eTDSU/",
    "[red]BTC[/red] [@click=app.bell]x[/]",
    "B" * 10_000,
]
LAST = NOW // MINUTE_US * MINUTE_US


def bars(count: int, level: float = 96_000.0, last: int = LAST) -> list[Bar]:
    prices = [level + 300 * math.sin(n / 25) + n * 7 % 40 for n in range(count + 1)]
    return [
        (last - (count - 1 - n) * MINUTE_US, prices[n], max(prices[n : n + 2]) + 9, min(prices[n : n + 2]) - 9, prices[n + 1], 5.0)
        for n in range(count)
    ]  # fmt: skip


def trip(number: int, pnl: float, **changes: Any) -> TradeView:
    entry = LAST - (400 - number * 20) * MINUTE_US
    values: dict[str, Any] = {
        "id": f"p{number}", "bot": "trend", "exchange": "binance", "symbol": "BTC/USDT", "side": "LONG", "entry_ts": entry,
        "entry_price": 96_000.0, "exit_ts": entry + 12 * MINUTE_US, "exit_price": 96_100.0, "pnl": pnl,
        "reason": "TAKE_PROFIT", "exits": ((entry, 95_500.0, 96_600.0),),
    }  # fmt: skip
    return TradeView(**(values | changes))


def trading(**changes: Any) -> FakeEngine:
    engine = FakeEngine.busy(**changes)
    engine.tails = {SERIES: bars(700), ("binance", "kPEPE/USDT"): bars(30, 0.0123)}
    engine.trips = tuple(trip(n, (-1) ** n * (n + 1.0)) for n in range(12))
    return engine


class Past:
    """The history of a FakeEngine with futures that a test answers."""

    def __init__(self, engine: FakeEngine) -> None:
        self._inner = engine.history
        self.asked: list[tuple[Any, ...]] = []
        self.futures: list[Future[Any]] = []
        self.older: Future[Any] = Future()
        self.closer: list[tuple[int, int]] = []
        self.detail: list[EquityPoint] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def bars(self, *arguments: Any) -> Future[Any]:
        self.asked.append(arguments)
        self.older = Future()
        return self.older

    def equity(self, since: int, until: int, points: int = 2_000, *, account: str = "main") -> Future[Any]:
        self.closer.append((since, until))
        future: Future[Any] = Future()
        future.set_result(self.detail)
        return future


async def opened(c: Cockpit) -> ChartsScreen:
    await c.press("4")
    await looked(c)
    assert isinstance(c.app.screen, ChartsScreen)
    return c.app.screen


async def looked(c: Cockpit) -> None:
    for _ in range(2):
        c.clock.now += 1.1
        await c.settle()


@pytest.mark.parametrize("size", SIZES)
async def test_the_screen_shows_candles_trades_equity_and_what_to_press(size: tuple[int, int]) -> None:
    async with cockpit(trading(), size=size) as c:
        await opened(c)
        text = c.text()
        assert "BTC/USDT binance 5m" in text and "[5m]" in text
        for glyph in "\u25b2\u25c6\u25c7\u254d\u254c":
            assert glyph in text
        assert "equity 10,214.33 USDT" in text
        assert ("P&L of 12 round trips" in text) == (size[0] >= 120)
        assert "F9 KILL" in text and " s BTC/USDT" in text


async def test_before_there_is_anything_every_chart_says_what_will_fill_it() -> None:
    engine = FakeEngine.busy(marks=(), positions=())
    engine.curve = []
    async with cockpit(engine) as c:
        await opened(c)
        text = " ".join(c.text().split())
        for words in ("No bar of this symbol yet", "No equity yet", "No drawdown yet", "No round trip has ended yet"):
            assert words in text
        await c.press("s")
        assert "no symbol has a price yet" in c.text()
        await c.press("f")
        assert "no bar yet" in c.text()
        await c.press("h", "l", "plus", "minus", "0", "comma", "full_stop", "v", "v", "v", "v", "v", "E")


async def test_the_cursor_is_the_same_moment_in_every_chart() -> None:
    async with cockpit(trading()) as c:
        screen = await opened(c)
        await c.press("h", "h", "h")
        candles, equity = screen.query_one(CandleChart), screen.query_one(EquityPanel)
        assert candles.cursor is not None and equity.cursor == candles.cursor
        assert " O 9" in str(candles.border_subtitle) and "C 9" in str(candles.border_subtitle)
        assert "10," in str(equity.border_subtitle)
        await c.press("escape")
        assert candles.cursor is None and equity.cursor is None
        assert "stop" in str(candles.border_subtitle), "the legend is back"


async def test_symbol_timeframe_and_bot_are_picked_from_lists() -> None:
    bots = (
        BotView(id="b1", name="trend", status="RUNNING", reason="", entries=3, currency="USDT"),
        BotView(id="b2", name="range", status="PAUSED", reason="", entries=0, currency="USDT"),
    )
    async with cockpit(trading(bots=bots)) as c:
        await opened(c)
        await c.press("s")
        assert "kPEPE/USDT binance" in c.text() and "position" in c.text()
        await c.press(*"pepe", "enter")
        await looked(c)
        assert "kPEPE/USDT binance 5m" in c.text()
        await c.press("f", "up", "enter")
        await looked(c)
        assert "kPEPE/USDT binance 1m" in c.text() and "[1m]" in c.text()
        await c.press("s", "escape")
        assert "kPEPE/USDT binance 1m" in c.text(), "Esc changes nothing"
        await c.press("b", "down", "enter")
        await looked(c)
        assert "realised P&L of trend" in c.text() and "drawdown of trend, USDT" in c.text()
        assert "P&L of 12 round trips" in c.text()
        await c.press("b", "down", "enter")
        await looked(c)
        assert "realised P&L of range" in c.text() and "P&L of 0 round trips" in c.text()
        await c.press("b", *"all bots", "enter")
        await looked(c)
        assert "equity 10,214.33" in c.text()


async def test_each_account_has_a_curve_and_all_together_are_the_default() -> None:
    swing = AccountView(id="2", name="swing", currency="USDT", equity=D("515.5"), opened_with=D("500"))
    main = AccountView(id="1", name="main", currency="USDT", equity=D("10214.33"), opened_with=D("10000"))
    engine = trading(accounts=(main, swing))
    engine.curves["2"] = [EquityPoint(LAST - n * MINUTE_US, D(500 + n), D(0)) for n in range(60, 0, -1)]
    async with cockpit(engine, size=(200, 60)) as c:
        await opened(c)
        assert "equity of all accounts 10,729.83 USDT ▲+2.19%" in c.text()
        await c.press("b", *"account swing", "enter")
        await looked(c)
        assert "equity of swing 515.50 USDT ▲+3.10%" in c.text()
        assert "P&L of 0 round trips" in c.text() or "no closed round trip" in c.text().lower()
        keys = c.app.screen.query_one(EquityPanel).built().keys
        assert engine.curves["2"][0].ts <= keys[0] <= keys[-1] <= engine.curves["2"][-1].ts + MINUTE_US
        await c.press("b", *"all bots", "enter")
        await looked(c)
        assert "equity of all accounts" in c.text()
    engine.change(accounts=(main, msgspec.structs.replace(swing, currency="BTC")))
    async with cockpit(engine, size=(200, 60)) as c:
        await opened(c)
        assert "equity of main 10,214.33 USDT ▲+2.14%" in c.text()


async def test_a_real_engine_keeps_the_curves_of_its_accounts_apart(tmp_path: Path) -> None:
    first = default_config().model_dump(mode="json", by_alias=True)
    second = {"name": "swing", "currency": "USDT", "initial_balance": "500"}
    config = parse_config({"schema": 1, "bots": first["bots"], "account": {"portfolios": [second]}})
    stage = await simulated(5, tmp_path, [(config, "two accounts")])
    await stage.play(600)
    stage.client.refresh()
    snapshot = stage.client.snapshot()
    assert snapshot is not None and [a.name for a in snapshot.accounts] == ["main", "swing"]
    main, swing = (stage.client.equity(a.id) for a in snapshot.accounts)
    assert len(main) == len(swing) > 3 and {p.equity for p in swing} == {500}
    assert [p.equity for p in stage.client.equity()] == [p.equity + 500 for p in main]
    picture = await asyncio.wrap_future(stage.client.machine.at_seq(snapshot.seq))
    assert tuple(picture.equity()) == tuple(stage.client.equity()) and picture.equity(snapshot.accounts[1].id) == swing


async def test_a_key_in_a_picker_that_finds_nothing_keeps_it_open() -> None:
    async with cockpit(trading()) as c:
        await opened(c)
        await c.press("s", *"zzz", "enter")
        assert "type to narrow" in c.text() or "zzz" in c.text()
        await c.press("escape")
        assert "BTC/USDT binance 5m" in c.text()


async def test_one_chart_alone_and_back_to_all() -> None:
    async with cockpit(trading(), size=(80, 24)) as c:
        screen = await opened(c)
        for view in ("candles", "equity", "drawdown", "results"):
            await c.press("v")
            visible = [chart.id for chart in screen.query(Chart) if chart.is_on_screen]
            assert visible == [view]
            assert screen.focused is not None and screen.focused.id == view
        await c.press("v")
        assert [chart.id for chart in screen.query(Chart) if chart.is_on_screen] == ["candles", "equity"]


async def test_new_bars_appear_and_unchanged_ones_cost_no_drawing() -> None:
    engine = trading()
    async with cockpit(engine) as c:
        screen = await opened(c)
        candles = screen.query_one(CandleChart)
        drawn = candles.drawings
        await looked(c)
        await looked(c)
        assert candles.drawings == drawn
        engine.tails[SERIES] = [*engine.tails[SERIES], (LAST + MINUTE_US, 97_000.0, 97_100.0, 96_900.0, 97_050.0, 1.0)]
        await until_async(lambda: _after_a_look(c, lambda: "97,050.00" in c.text()))
        assert candles.drawings > drawn


def _after_a_look(c: Cockpit, true: Any) -> bool:
    c.clock.now += 1.1
    c.app.tick()
    return bool(true())


async def test_zooming_out_goes_on_to_longer_bars_and_asks_for_older_ones() -> None:
    engine = trading()
    past = Past(engine)
    engine.history = past  # type: ignore[assignment]
    async with cockpit(engine) as c:
        screen = await opened(c)
        await c.press("minus")
        await looked(c)
        assert "[15m]" in c.text()
        assert past.asked[-1][:4] == ("binance", "BTC/USDT", "15m", 15 * MINUTE_US)
        assert "loading older bars of BTC/USDT 15m" in c.text() and "Esc cancels" in c.text()
        first = screen._series().bars[0]
        past.older.set_result([(first[0] - n * 15 * MINUTE_US, 1.0, 2.0, 0.5, 1.5, 1.0) for n in (3, 2, 1)])
        before = len(screen._series().bars)
        await looked(c)
        assert len(screen._series().bars) == before + 3
        assert "loading" not in c.text()


async def test_escape_cancels_loading_and_the_end_of_the_past_is_asked_for_once() -> None:
    engine = trading()
    past = Past(engine)
    engine.history = past  # type: ignore[assignment]
    async with cockpit(engine) as c:
        await opened(c)
        for _ in range(8):
            await c.press("comma")
        assert len(past.asked) == 1
        await c.press("escape")
        assert past.older.cancelled()
        await looked(c)
        assert "cancelled" in c.text() and "Esc cancels" not in c.text()
        await c.press("comma", "minus", "comma")
        past.older.set_result([])
        await looked(c)
        asked = len(past.asked)
        await c.press("comma", "comma")
        assert len(past.asked) == asked, "there is nothing older"


async def test_a_database_that_fails_is_said_and_changes_nothing() -> None:
    engine = trading()
    past = Past(engine)
    engine.history = past  # type: ignore[assignment]
    async with cockpit(engine) as c:
        await opened(c)
        for _ in range(8):
            await c.press("comma")
        past.older.set_exception(OSError("the database has gone\x1b]0;PWNED\x07"))
        await looked(c)
        assert "older bars: the database has gone" in c.text()
        assert "\x1b" not in c.text() and "PWNED" not in c.text()
        assert "BTC/USDT binance 5m" in c.text()


async def test_a_closer_look_at_equity_comes_from_the_database() -> None:
    engine = trading()
    past = Past(engine)
    engine.history = past  # type: ignore[assignment]
    async with cockpit(engine) as c:
        screen = await opened(c)
        equity = screen.query_one(EquityPanel)
        equity.focus()
        await c.press("plus")
        assert equity.window is not None
        since, until = equity.window
        past.detail = [EquityPoint(since + n * 1_000_000, D(20_000 + n), D(0)) for n in range(50)]
        await until_async(lambda: bool(past.closer))
        assert past.closer[-1] == (since, until)
        await until_async(lambda: _after_a_look(c, lambda: "20,0" in c.text()))
        assert equity.window[0] == since, "what is looked at stays"


async def test_round_trips_of_the_past_are_counted_once() -> None:
    engine = trading()
    past = Past(engine)
    done: Future[Any] = Future()
    done.set_result([trip(0, 1.0), trip(-30, 9.0), trip(-31, -9.0)])
    past.trades = lambda limit=2_000: done  # type: ignore[attr-defined]
    engine.history = past  # type: ignore[assignment]
    async with cockpit(engine) as c:
        await opened(c)
        assert "P&L of 14 round trips" in c.text()


async def test_a_chart_is_exported_as_svg_and_the_toast_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    async with cockpit(trading()) as c:
        await opened(c)
        await c.press("E")
        await until_async(lambda: bool(list(tmp_path.rglob("*.svg"))))
        [file] = tmp_path.rglob("*.svg")
        svg = file.read_text(encoding="utf-8")
        assert svg.startswith("<svg") and svg.endswith("</svg>\n")
        assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")
        assert "BTC/USDT binance 5m" in svg and "\u25b2" in svg
        await until_async(lambda: "exported to" in c.text())
        await c.press("tab", "E")
        await until_async(lambda: len(list(tmp_path.rglob("*.svg"))) == 2)
        assert any("equity" in path.name for path in tmp_path.rglob("*.svg"))


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_hostile_names_reach_neither_screen_nor_file(
    hostile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    engine = trading()
    assert engine.snap is not None
    mark = engine.snap.marks[0]
    engine.change(
        marks=(type(mark)(exchange=hostile, symbol=hostile, price=D(1), price_places=2, rules=hostile),),
        positions=(),
        bots=(BotView(id="b1", name=hostile, status=hostile, reason=hostile, entries=1, currency=hostile),),
    )
    engine.tails = {(hostile, hostile): bars(200)}
    engine.trips = (trip(1, 1.0, bot=hostile, exchange=hostile, symbol=hostile, side=hostile, reason=hostile),)
    async with cockpit(engine) as c:
        await opened(c)
        for keys in (("h", "h"), ("s",), ("escape", "f"), ("escape", "b"), ("down", "enter"), ("E",)):
            await c.press(*keys)
            await looked(c)
            update = c.app.screen._compositor.render_full_update().render_segments(c.app.console)
            assert "PWNED" not in update and "\x07" not in update and "\u202e" not in update
        await until_async(lambda: bool(list(tmp_path.rglob("*.svg"))))
        svg = next(tmp_path.rglob("*.svg")).read_text(encoding="utf-8")
        assert "\x1b" not in svg and "\u202e" not in svg


async def test_dots_blocks_or_ascii_by_a_key() -> None:
    async with cockpit(trading()) as c:
        screen = await opened(c)
        for symbol, glyphs in (("block", "\u25b2"), ("ascii", "^"), ("braille", "\u25b2")):
            await c.press("g")
            assert {chart.symbol for chart in screen.query(Chart)} == {symbol}
            assert f"{glyphs} long" in str(screen.query_one(CandleChart).border_subtitle)
        await c.press("g", "g", "1")
        dashboard = c.app.screen.query(Chart)
        c.engine.curve = c.engine.curve[:-1]
        c.engine.change(seq=99)
        await until_async(lambda: _after_a_look(c, lambda: {chart.symbol for chart in dashboard} == {"ascii"}))


async def test_a_click_puts_the_cursor_and_the_palette_knows_the_keys_of_a_chart() -> None:
    async with cockpit(trading()) as c:
        screen = await opened(c)
        candles = screen.query_one(CandleChart)
        await c.pilot.click(CandleChart, offset=(60, 6))
        await c.settle()
        assert candles.cursor is not None
        assert abs((candles._cursor_column() or 0) - 59) <= 2
        before = len(candles.built().keys)
        await c.press("ctrl+p", *"zoom in", "enter")
        assert len(candles.built().keys) < before


async def test_a_bot_falls_from_what_it_had_gained() -> None:
    bot = BotView(id="b1", name="trend", status="RUNNING", reason="", entries=3, currency="USDT")
    engine = trading(bots=(bot,))
    engine.trips = tuple(trip(n, pnl) for n, pnl in enumerate((5.0, -3.0, 4.0, -20.0)))
    async with cockpit(engine, size=(200, 60)) as c:
        await opened(c)
        await c.press("b", "down", "enter")
        await looked(c)
        assert "realised P&L of trend: \u25bc-14.00 USDT" in c.text()
        assert "worst -20.00" in c.text()


def test_names_of_files_are_plain() -> None:
    assert safe_name("../../etc/passwd\x1b") == "______etc_passwd_"
    assert safe_name("candles-BTCUSDT") == "candles-BTCUSDT"


def test_no_two_keys_of_the_charts_do_two_things() -> None:
    keys = [key for target in ("chart", "charts") for action in actions_of(target) for key in action.keys]
    assert len(keys) == len(set(keys))
    bound = {key for binding in Chart.BINDINGS for key in binding.key.split(",")}  # type: ignore[union-attr]
    assert bound == {key for action in actions_of("chart") for key in action.keys}
    app = {key for action in actions_of("app") for key in action.keys}
    assert {key for action in actions_of("charts") for key in action.keys}.isdisjoint(app)
    assert {key for action in actions_of("chart") for key in action.keys} & app <= {"plus", "0", "escape"}, (
        "the zoom's, by design; Esc takes the cursor away first, then leads back from the past"
    )
