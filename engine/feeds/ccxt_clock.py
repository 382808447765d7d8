"""How far an exchange's clock is from ours, asked through ccxt again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from engine.feeds.ccxt_rows import number_of

#: Seconds between two questions, and how long one may take; so many without an answer make the distance unknown.
ASK_S, PATIENCE_S, MISSES = 60.0, 5.0, 3


class ExchangeClock:
    """`skew_ms` is the exchange's clock less ours, None while it is not known."""

    def __init__(self, now_us: Callable[[], int]) -> None:
        self.skew_ms: int | None = None
        self._now_us = now_us
        self._misses = 0

    async def follow(self, client: Any) -> None:
        """Ask for ever. Raises nothing."""
        while True:
            await asyncio.sleep(ASK_S)
            await self.compare(client)

    async def compare(self, client: Any) -> None:
        """Ask once: what the exchange tells was so half a round trip before we hear it. An exchange that tells nobody its time
        has no clock to differ from."""
        if client.has.get("fetchTime") is not True:
            self.skew_ms = 0
            return
        asked_us = self._now_us()
        try:
            told_ms = number_of(await asyncio.wait_for(client.fetch_time(), PATIENCE_S))
        except Exception:  # whatever ccxt raises is the venue's state, not ours
            told_ms = None
        if told_ms is not None:
            self._misses = 0
            self.skew_ms = round(told_ms - (asked_us + self._now_us()) / 2_000)
            return
        self._misses += 1
        if self._misses >= MISSES:
            self.skew_ms = None
