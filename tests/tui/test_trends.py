"""Sparklines beside positions: read bar by bar, as many as there is room for, none where nothing is known."""

from __future__ import annotations

from engine.core.types import MINUTE_US
from tests.tui.cockpit_pilot import cockpit
from tests.tui.fake_engine import FakeEngine
from tests.tui.fake_story import NOW
from tui.glyphs import BLOCKS_ASCII
from tui.trends import BARS, LOOK_S, Trends

BTC = ("binance", "BTC/USDT")


def bars(*closes: float) -> list[tuple[int, float, float, float, float, float]]:
    return [(NOW + n * MINUTE_US, c, c, c, c, 1.0) for n, c in enumerate(closes)]


def test_only_new_bars_are_read_and_the_line_keeps_its_length() -> None:
    engine, trends = FakeEngine.busy(), Trends()
    engine.tails[BTC] = bars(1, 2, 3)
    trends.look(engine, [BTC], 0)
    assert trends.shown == {BTC: ("▁▄█", "up")} or trends.shown[BTC][1] == "up"
    before = trends.shown
    trends.look(engine, [BTC], LOOK_S)
    assert trends.shown is before
    engine.tails[BTC] = bars(*range(40, 0, -1))
    trends.look(engine, [BTC], 2 * LOOK_S)
    line, style = trends.shown[BTC]
    assert len(line) == BARS and style == "down" and line.endswith("▁")
    trends.look(engine, [], 3 * LOOK_S)
    assert trends.shown == {}


def test_a_symbol_without_bars_has_no_line_and_ascii_is_ascii() -> None:
    engine, trends = FakeEngine.busy(), Trends()
    engine.tails[BTC] = bars(1, 2)
    trends.look(engine, [BTC, ("x", "none")], 0, BLOCKS_ASCII)
    assert list(trends.shown) == [BTC] and trends.shown[BTC][0].isascii()


async def test_a_wide_screen_shows_them_and_a_narrow_one_asks_nothing() -> None:
    for size, wanted in (((200, 60), True), ((80, 24), False)):
        engine = FakeEngine.busy()
        engine.tails[BTC] = bars(5, 4, 3, 2, 1)
        async with cockpit(engine, size=size) as c:
            await c.settle()
            assert ("█▆▅▃▁" in c.text() or "█▆▄▃▁" in c.text()) is wanted
