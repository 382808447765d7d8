"""The last closes of a few symbols as block sparklines, read from the engine bar by bar."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from engine.client import EngineClient
from tui.glyphs import BLOCKS, sparkline

#: Closes of a sparkline, one cell each.
BARS = 16
#: Seconds between two looks at the bars: they close no faster on a live feed, and nobody sees more.
LOOK_S = 1.0

Market = tuple[str, str]  # exchange, symbol


class Trends:
    """`look` as often as you like; `shown` are (sparkline, style) by market, the same object until one changes."""

    def __init__(self) -> None:
        self.shown: dict[Market, tuple[str, str]] = {}
        self._closes: dict[Market, tuple[int, deque[float]]] = {}
        self._looked = float("-inf")

    def look(self, client: EngineClient, markets: Iterable[Market], mono: float, blocks: str = BLOCKS) -> None:
        """Read the bars that have closed since."""
        if mono - self._looked < LOOK_S:
            return
        self._looked = mono
        wanted = set(markets)
        self._closes = {market: known for market, known in self._closes.items() if market in wanted}
        for market in wanted:
            after, closes = self._closes.get(market, (-1, deque(maxlen=BARS)))
            _, bars = client.bars(*market, after)
            if bars:
                closes.extend(bar[4] for bar in bars[-BARS:])
                self._closes[market] = bars[-1][0], closes
        found = {market: _drawn(closes, blocks) for market, (_, closes) in self._closes.items()}
        if found != self.shown:
            self.shown = found

    def forget(self) -> None:
        """Another moment is shown: its bars are other ones."""
        self.shown, self._closes, self._looked = {}, {}, float("-inf")


def _drawn(closes: deque[float], blocks: str) -> tuple[str, str]:
    style = "flat" if closes[-1] == closes[0] else "up" if closes[-1] > closes[0] else "down"
    return sparkline(closes, BARS, blocks), style
