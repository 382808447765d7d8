"""Convention `bar` (docs/fills.md), the venue's part: an order trades at its price in a bar that holds it, at the open without
one. It is tried in the current bar as soon as it is sent, and in each later bar once the core has had its say.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from decimal import Decimal

from engine.core.bar_exits import Bar
from engine.core.inputs import Candle


class CurrentBars:
    """The bar that each symbol is in, and the resting orders (by id) that have yet to be tried in it."""

    def __init__(self) -> None:
        self._bars: dict[tuple[str, str], tuple[Candle, Bar]] = {}
        self.due: deque[str] = deque()

    def begin(self, candle: Candle, resting: Iterable[str]) -> None:
        """The next bar of a symbol."""
        self._bars[(candle.exchange, candle.symbol)] = (candle, Bar.of(candle))
        self.due.extend(resting)

    def again(self, candle: Candle, resting: list[str]) -> None:
        """A bar from before a restart, the last one perhaps: whether it had tried everything is not known. Twice does no harm."""
        self._bars[(candle.exchange, candle.symbol)] = (candle, Bar.of(candle))
        self.due = deque([*(i for i in self.due if i not in resting), *resting])

    def trade(self, exchange: str, symbol: str, price: Decimal | None) -> tuple[Candle, Decimal] | None:
        """The bar and the price that an order at `price` (None: at the market) trades at in it; None when it rests."""
        current = self._bars.get((exchange, symbol))
        if current is None or not current[1].fills(price):
            return None
        return current[0], current[1].open if price is None else price
