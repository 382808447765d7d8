"""How far an exchange's clock is from ours: half a round trip is allowed for, silence makes it unknown."""

from __future__ import annotations

import asyncio
from typing import Any

from engine.feeds.ccxt_clock import ASK_S, MISSES, PATIENCE_S, ExchangeClock
from tests.feeds.virtual_loop import run

BASE_MS = 1_735_689_600_000


class Exchange:
    def __init__(self, ahead_ms: int = 0, trip_s: float = 0.0) -> None:
        self.has: dict[str, Any] = {"fetchTime": True}
        self.ahead_ms, self.trip_s = ahead_ms, trip_s
        self.says: Any = None
        self.asked = 0

    async def fetch_time(self) -> Any:
        """Its time half a round trip after it was asked."""
        self.asked += 1
        await asyncio.sleep(self.trip_s / 2)
        told = now_us() // 1000 + self.ahead_ms
        await asyncio.sleep(self.trip_s / 2)
        if isinstance(self.says, Exception):
            raise self.says
        return told if self.says is None else self.says


def now_us() -> int:
    return BASE_MS * 1000 + int(asyncio.get_running_loop().time() * 1_000_000)


def test_half_a_round_trip_is_allowed_for() -> None:
    async def work() -> list[int | None]:
        found = []
        for ahead_ms in (0, 900, -2_500):
            clock = ExchangeClock(now_us)
            await clock.compare(Exchange(ahead_ms, trip_s=4.0))
            found.append(clock.skew_ms)
        return found

    assert run(work()) == [0, 900, -2_500]


def test_one_that_cannot_be_asked_has_no_clock_to_differ_from() -> None:
    async def work() -> int | None:
        exchange = Exchange(5_000)
        exchange.has = {}
        clock = ExchangeClock(now_us)
        await clock.compare(exchange)
        assert exchange.asked == 0
        return clock.skew_ms

    assert run(work()) == 0


def test_what_is_no_time_is_no_answer_and_some_misses_make_it_unknown() -> None:
    async def work() -> list[int | None]:
        exchange, clock, found = Exchange(300), ExchangeClock(now_us), []
        assert clock.skew_ms is None
        await clock.compare(exchange)
        for says in (float("nan"), "soon", ConnectionError("\x1b[31mno"), None, [], {}, OSError()):
            exchange.says = says
            await clock.compare(exchange)
            found.append(clock.skew_ms)
        return found

    assert run(work()) == [300, 300, None, 300, 300, 300, None]
    assert MISSES == 3


def test_it_is_asked_again_and_again_and_a_silent_one_keeps_nobody() -> None:
    async def work() -> tuple[int, int | None]:
        exchange, clock = Exchange(trip_s=2 * PATIENCE_S), ExchangeClock(now_us)
        task = asyncio.create_task(clock.follow(exchange))
        await asyncio.sleep(4 * (ASK_S + PATIENCE_S) + 1)
        assert not task.done()
        exchange.trip_s, exchange.ahead_ms = 0.0, 70
        await asyncio.sleep(ASK_S + PATIENCE_S)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return exchange.asked, clock.skew_ms

    asked, skew_ms = run(work())
    assert asked in (4, 5) and skew_ms == 70
