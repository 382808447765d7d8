"""The live feed against a venue of our own with ccxt's unified shapes, on a virtual clock: hours of faults in milliseconds.

There is no exchange to talk to in a test; that ccxt's real parsers give these shapes is checked at the end, offline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, strategies as st

from engine.core.inputs import Candle, Quote
from engine.core.types import MINUTE_US
from engine.feeds.base import Feed, FeedError, Gap
from engine.feeds.ccxt_client import public_client
from engine.feeds.ccxt_feed import LiveFeed
from engine.feeds.ccxt_rows import Bar, bar_of, quote_of
from tests.feeds.virtual_loop import run

BASE_MS = 1_735_689_600_000
BTC, ETH = "BTC/USDT", "ETH/USDT"


class Venue:
    """Minute bars that anyone can recompute from their time; forming bars show less volume. Faults are switched on."""

    precisionMode = 4
    timeframes = {"1m": "1m"}
    apiKey = ""

    def __init__(self, streams: bool = True) -> None:
        self.has: dict[str, Any] = {"watchOHLCV": streams, "watchTickers": streams}
        self.markets: dict[str, Any] | None = None
        self.down: set[str] = set()
        self.empty: set[int] = set()  # open times (ms) of minutes without trades
        self.stream_dead = False
        self.slow_s: dict[str, float] = {}  # symbol -> seconds that its answers are late by
        self.closed = False
        self.asked = 0
        self.tickers: Any = None

    def now_ms(self) -> int:
        return BASE_MS + int(asyncio.get_running_loop().time() * 1000)

    def row(self, open_ms: int) -> list[float]:
        n = (open_ms - BASE_MS) // 60_000
        age = min(60_000, self.now_ms() - open_ms)
        return [open_ms, 10_000.0 + n, 10_002.0 + n, 9_999.0 + n, 10_001.0 + n, age / 1000]

    def fail(self, symbol: str) -> None:
        if symbol in self.down or "all" in self.down:
            raise ConnectionError("network \x1b[31munreachable")

    async def load_markets(self) -> dict[str, Any]:
        self.fail("all")
        market = {"precision": {"price": 0.5, "amount": 0.25}, "limits": {"cost": {"min": 7}}}
        self.markets = {BTC: market, ETH: market}
        return self.markets

    async def fetch_ohlcv(self, symbol: str, timeframe: str, since: int, limit: int) -> list[Any]:
        """What is known when it is asked, delivered later, as on a slow line."""
        self.asked += 1
        times = range(since, self.now_ms() + 1, 60_000)
        rows = [self.row(t) for t in times if t not in self.empty][:limit]
        await asyncio.sleep(self.slow_s.get(symbol, 0.1))
        self.fail(symbol)
        return rows

    async def watch_ohlcv(self, symbol: str, timeframe: str) -> list[Any]:
        if self.stream_dead:
            await asyncio.sleep(10_000.0)
        await asyncio.sleep(7.0 + self.slow_s.get(symbol, 0.0))
        self.fail(symbol)
        forming = self.now_ms() // 60_000 * 60_000
        return [self.row(t) for t in (forming - 60_000, forming) if t not in self.empty]

    async def watch_tickers(self, symbols: list[str]) -> Any:
        await asyncio.sleep(1.5)
        self.fail("tickers")
        return self.tickers or {s: {"bid": 99.5, "ask": "100.5", "timestamp": self.now_ms()} for s in symbols}

    async def fetch_tickers(self, symbols: list[str]) -> Any:
        return {s: {"bid": None, "ask": None, "last": 100.0} for s in symbols}

    async def close(self) -> None:
        self.closed = True


Act = tuple[float, Callable[[Venue], object]]
Script = list[Act]


def play(
    venue: Venue,
    seconds: float,
    script: Sequence[Act] = (),
    symbols: tuple[str, ...] = (BTC, ETH),
    after: int | None = None,
) -> tuple[LiveFeed, list[Any], list[str]]:
    """Run the feed for `seconds`, with the script's acts at their times: (feed, inputs, status after each act and at the end)."""

    async def work() -> tuple[LiveFeed, list[Any], list[str]]:
        feed = LiveFeed("venue", symbols, client=venue, now_us=lambda: venue.now_ms() * 1000)
        port: Feed = feed  # mypy: it is what the engine asks for
        inputs: list[Any] = []

        async def pull() -> None:
            async for batch in port.batches(after):
                assert batch
                inputs.extend(batch)

        assert feed.status == "connecting"
        task = asyncio.create_task(pull())
        loop, said = asyncio.get_running_loop(), []
        for at, act in script:
            await asyncio.sleep(at - loop.time())
            act(venue)
            await asyncio.sleep(29.0)
            said.append(feed.status)
        await asyncio.sleep(seconds - loop.time())
        said.append(feed.status)
        assert not task.done(), "the feed ended or raised"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await feed.close()
        assert venue.closed
        return feed, inputs, said

    return run(work())


def closed(inputs: list[Any], symbol: str) -> list[Candle]:
    return [item for item in inputs if isinstance(item, Candle) and item.symbol == symbol]


def check(inputs: list[Any], symbol: str, minutes: range, missing: tuple[int, ...] = ()) -> None:
    """Every minute once, in order, with the numbers of its end (volume 60 = the whole minute was seen)."""
    found = closed(inputs, symbol)
    assert [(c.ts // 1000 - BASE_MS) // 60_000 - 1 for c in found] == [m for m in minutes if m not in missing]
    for candle in found:
        n = (candle.ts // 1000 - BASE_MS) // 60_000 - 1
        prices = (candle.open, candle.high, candle.low, candle.close)
        assert (*prices, candle.volume) == (10_000 + n, 10_002 + n, 9_999 + n, 10_001 + n, 60)
        assert candle.received_ts >= candle.ts
    keys = [(c.ts, c.exchange, c.symbol) for c in inputs if isinstance(c, Candle)]
    assert keys == sorted(set(keys))


@pytest.mark.parametrize("streams", [True, False])
def test_each_closed_bar_once_and_in_order(streams: bool) -> None:
    feed, inputs, said = play(Venue(streams), 605.0)
    for symbol in (BTC, ETH):
        check(inputs, symbol, range(10) if not streams else range(len(closed(inputs, symbol))))
        assert len(closed(inputs, symbol)) >= 9
        delays = [c.received_ts - c.ts for c in closed(inputs, symbol)]
        assert max(delays) < 12_000_000
    assert said == ["ok"] and feed.gaps == () and feed.notes == ()
    assert [i.source for i in feed.instruments] == ["venue", "venue"]
    assert (feed.identity, feed.slug) == ("live:venue", "live_venue")


def test_quotes_come_between_candles() -> None:
    _, inputs, _ = play(Venue(), 125.0)
    quotes = [item for item in inputs if isinstance(item, Quote) and item.symbol == BTC]
    assert len(quotes) > 40 and all((q.bid, q.ask) == (99.5, 100.5) and q.ts <= q.received_ts for q in quotes)
    assert [q.ts for q in quotes] == sorted(q.ts for q in quotes)
    _, inputs, _ = play(Venue(streams=False), 65.0)
    assert {(q.bid, q.ask) for q in inputs if isinstance(q, Quote)} == {(100.0, 100.0)}


def test_a_resume_backfills_from_the_cursor_over_many_pages() -> None:
    after = (BASE_MS - 1_700 * 60_000) * 1000
    _, inputs, _ = play(Venue(), 70.0, after=after)
    check(inputs, BTC, range(-1_700, 1))
    check(inputs, ETH, range(-1_700, 1))


def test_an_outage_is_told_and_then_filled_in() -> None:
    script: Script = [(200.0, lambda v: v.down.add("all")), (1400.0, lambda v: v.down.clear())]
    feed, inputs, said = play(Venue(), 2005.0, script)
    assert said[0].startswith("down since 00:03:") and "ConnectionError: network" in said[0] and "\x1b" not in said[0]
    assert said[-1] == "ok" and feed.gaps == ()
    for symbol in (BTC, ETH):
        check(inputs, symbol, range(len(closed(inputs, symbol))))
        assert len(closed(inputs, symbol)) >= 32


def test_symbols_that_fall_and_rise_apart_lose_nothing_in_one_outage() -> None:
    """Their retries are out of step: the first one back must not leave the other behind."""
    script: Script = [
        (130.0, lambda v: v.down.add(ETH)),
        (160.0, lambda v: v.down.add("all")),
        (1407.0, lambda v: v.down.clear()),
    ]
    feed, inputs, said = play(Venue(), 2005.0, script)
    assert said[1].startswith("down since") and said[-1] == "ok" and feed.gaps == ()
    check(inputs, ETH, range(len(closed(inputs, ETH))))
    assert len(closed(inputs, ETH)) == len(closed(inputs, BTC)) >= 32


def test_a_slow_symbol_is_waited_for_so_that_time_never_goes_back() -> None:
    venue = Venue()
    venue.slow_s[BTC] = 9.0
    feed, inputs, _ = play(venue, 605.0)
    for symbol in (BTC, ETH):
        check(inputs, symbol, range(len(closed(inputs, symbol))))
        assert len(closed(inputs, symbol)) >= 9
    assert feed.gaps == ()


@pytest.mark.parametrize("earlier", [0, 5])
def test_an_answer_that_was_late_does_not_close_a_bar_that_it_saw_half(earlier: int) -> None:
    venue = Venue(streams=False)
    venue.down.add("all")
    venue.slow_s[BTC] = 29.5
    _, inputs, _ = play(venue, 400.0, [(20.0, lambda v: v.down.clear())], (BTC,), (BASE_MS - earlier * 60_000) * 1000)
    check(inputs, BTC, range(-earlier, len(closed(inputs, BTC)) - earlier))
    assert len(closed(inputs, BTC)) >= 4 + earlier


def test_starting_without_a_network() -> None:
    venue = Venue()
    venue.down.add("all")
    feed, inputs, said = play(venue, 400.0, [(1.0, lambda v: None), (100.0, lambda v: v.down.clear())])
    assert said[0].startswith("down since 00:00:0") and said[-1] == "ok"
    assert feed.reconnects == {BTC: 1, ETH: 1}
    check(inputs, BTC, range(len(closed(inputs, BTC))))
    assert len(closed(inputs, BTC)) >= 5


def test_a_silent_stream_falls_back_to_asking() -> None:
    _, inputs, said = play(Venue(), 605.0, [(100.0, lambda v: setattr(v, "stream_dead", True))])
    check(inputs, BTC, range(10))
    assert said == ["ok", "ok"]


def test_minutes_without_trades_are_gaps_and_do_not_stop_the_rest() -> None:
    venue = Venue()
    venue.empty = {BASE_MS + m * 60_000 for m in (3, 4)}
    feed, inputs, _ = play(venue, 605.0, symbols=(BTC,))
    check(inputs, BTC, range(len(closed(inputs, BTC)) + 2), missing=(3, 4))
    at = BASE_MS * 1000
    assert feed.gaps == (Gap(at + 3 * MINUTE_US, at + 5 * MINUTE_US, 2, "venue", BTC),)


def test_one_dead_symbol_does_not_stop_the_others_and_its_loss_is_shown() -> None:
    script: Script = [(130.0, lambda v: v.down.add(ETH)), (700.0, lambda v: v.down.clear())]
    feed, inputs, said = play(Venue(), 1205.0, script)
    assert said[0].startswith("ok, but ETH/USDT down since") and said[-1] == "ok"
    check(inputs, BTC, range(len(closed(inputs, BTC))))
    assert len(closed(inputs, BTC)) >= 19
    eth = [(c.ts // 1000 - BASE_MS) // 60_000 - 1 for c in closed(inputs, ETH)]
    (gap,) = feed.gaps
    assert gap.symbol == ETH and sum(gap.bars for gap in feed.gaps) == 1 + eth[-1] - len(eth)
    assert any("too late" in note for note in feed.notes)


def test_an_unlisted_symbol_says_so_and_nothing_waits_for_it() -> None:
    _, inputs, said = play(Venue(), 185.0, symbols=(BTC, "BTC/USDX"))
    assert said[-1].startswith("ok, but BTC/USDX down since") and "did you mean BTC/USDT?" in said[-1]
    check(inputs, BTC, range(len(closed(inputs, BTC))))
    assert len(closed(inputs, BTC)) >= 2


HOSTILE = [
    None,
    "row",
    [],
    [None] * 6,
    [BASE_MS, "\x1b[2J", 1, 1, 1, 1],
    [BASE_MS, 1, 1, 1, float("nan"), 1],
    [BASE_MS, 1, 1, 1, 1, -1],
    [BASE_MS, 0, 1, 1, 1, 1],
    [BASE_MS, 3, 2, 1, 1, 1],
    [BASE_MS + 1, 1, 1, 1, 1, 1],
    ["x", 1, 1, 1, 1, 1],
    [10**30, 1, 1, 1, 1, 1],
    [BASE_MS + 10**9 * 60, 1, 1, 1, 1, 1],
    [True, 1, 1, 1, 1, 1],
    [BASE_MS, 10**400, 1, 1, 1, 1],
]


def test_hostile_rows_are_dropped_and_counted() -> None:
    class Hostile(Venue):
        async def fetch_ohlcv(self, symbol: str, timeframe: str, since: int, limit: int) -> list[Any]:
            return [*HOSTILE, *await super().fetch_ohlcv(symbol, timeframe, since, limit), *HOSTILE]

        async def watch_ohlcv(self, symbol: str, timeframe: str) -> Any:
            await super().watch_ohlcv(symbol, timeframe)
            return {"not": "a list"} if self.now_ms() % 2 else HOSTILE

        async def watch_tickers(self, symbols: list[str]) -> Any:
            await super().watch_tickers(symbols)
            return {BTC: {"bid": 5, "ask": 4}, ETH: None, "X\x1b": {}, 7: {"last": 3}}

    feed, inputs, said = play(Hostile(), 305.0)
    check(inputs, BTC, range(5))
    assert not [item for item in inputs if isinstance(item, Quote)]
    assert feed.dropped["candle with a bad number"] > 0 and feed.dropped["ticker with bid above ask"] > 0
    assert "\x1b" not in "".join(feed.notes) and len(feed.notes) < 12 and said[-1] == "ok"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), lambda x: st.lists(x, max_size=8)
    )
)
def test_any_row_is_a_sane_bar_or_a_reason(row: Any) -> None:
    bar = bar_of(row, MINUTE_US)
    if isinstance(bar, Bar):
        assert 0 < bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high and bar.volume >= 0
    else:
        assert bar.isprintable()


@given(
    st.dictionaries(
        st.sampled_from(["bid", "ask", "last", "timestamp"]),
        st.none() | st.floats() | st.integers() | st.text(max_size=4),
    )
)
def test_any_ticker_is_a_sane_quote_or_a_reason(ticker: dict[str, Any]) -> None:
    quote = quote_of(ticker, "venue", BTC, BASE_MS * 1000)
    assert isinstance(quote, str) or (0 < quote.bid <= quote.ask and quote.ts <= BASE_MS * 1000)


def test_history_is_closed_bars_in_order() -> None:
    venue = Venue()

    async def work() -> list[Candle]:
        await asyncio.sleep(30.0)
        feed = LiveFeed("venue", [ETH, BTC], client=venue, now_us=lambda: venue.now_ms() * 1000)
        return await feed.history(1200)

    found = run(work())
    check(found, BTC, range(-1200, 0))
    check(found, ETH, range(-1200, 0))


def test_history_without_a_network_is_empty_and_says_so() -> None:
    venue = Venue()
    venue.down.add("all")

    async def work() -> tuple[list[Candle], str]:
        feed = LiveFeed("venue", [BTC], client=venue, now_us=lambda: venue.now_ms() * 1000)
        return await feed.history(10), feed.status

    found, status = run(work())
    assert found == [] and status.startswith("down since")


def test_history_of_a_venue_that_never_answers_waits_for_one_time_out() -> None:
    class Silent(Venue):
        async def load_markets(self) -> dict[str, Any]:
            await asyncio.sleep(10.0)
            raise TimeoutError("no answer")

    venue = Silent()

    async def work() -> tuple[float, str]:
        loop = asyncio.get_running_loop()
        feed, start = LiveFeed("venue", [ETH, BTC], client=venue, now_us=lambda: venue.now_ms() * 1000), loop.time()
        assert await feed.history(10) == []
        return loop.time() - start, feed.status

    waited_s, status = run(work())
    assert waited_s == pytest.approx(10.0) and status.startswith("down since")


def test_settings_that_cannot_work_are_refused_in_one_line() -> None:
    venue = Venue()
    with pytest.raises(FeedError, match="no symbols"):
        LiveFeed("venue", [], client=venue)
    with pytest.raises(FeedError, match="timeframe 2m is not possible"):
        LiveFeed("venue", [BTC], "2m", client=venue)
    with pytest.raises(FeedError, match=r"venue has no 5m candles \(it offers 1m\)"):
        run(LiveFeed("venue", [BTC], "5m", client=venue).open())
    venue.apiKey = "key"
    with pytest.raises(FeedError, match="carries keys"):
        LiveFeed("venue", [BTC], client=venue)


def test_ccxt_itself_offline() -> None:
    """Real ccxt: no keys in the client, an unknown exchange is explained, and its parsers give the shapes used above."""
    with pytest.raises(FeedError, match=r"unknown exchange binanse \(did you mean binance\?\)"):
        public_client("binanse")

    async def work() -> tuple[Any, Any, Any]:
        client = public_client("binance")
        try:
            assert not client.apiKey and not client.secret and client.options.get("newUpdates") is not True
            raw = [1735603200000, "92792.05", "92832.25", "92782.12", "92782.13", "6.45789", 1735603259999]
            ticker = {"symbol": "BTCUSDT", "lastPrice": "92782.13", "bidPrice": "92782.12", "askPrice": "92782.13"}
            parsed = client.parse_ticker({**ticker, "closeTime": 1735603259999, "openTime": 1735516859999})
            return client.parse_ohlcv(raw), parsed, client.has
        finally:
            await client.close()

    row, ticker, has = asyncio.run(work())
    assert bar_of(row, MINUTE_US) == Bar(1735603200000000, 92792.05, 92832.25, 92782.12, 92782.13, 6.45789)
    quote = quote_of(ticker, "binance", BTC, 1735603260000000)
    assert isinstance(quote, Quote) and (quote.bid, quote.ask, quote.ts) == (92782.12, 92782.13, 1735603259999000)
    assert has["watchOHLCV"] is True and has["watchTickers"] is True
