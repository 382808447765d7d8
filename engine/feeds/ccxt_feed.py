"""Live public data through ccxt.pro: closed candles and quotes, no keys. It reconnects, fills in, and never raises.

How a bar is known to be closed: the venue shows a newer one, or LATE_US have passed without one (no trades). The stream is
only the fast path: when it is silent at a bar's end, drops or skips, REST is asked from the cursor on, so no bar is missed
or repeated. Candles leave in one strict order (ts, symbol): a bar waits for the other symbols of its time, but not longer
than PATIENCE_US for a symbol that fails while others work; what such a symbol brings later is shown as a gap.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from engine.core.inputs import Candle, Quote
from engine.core.text import safe_text
from engine.core.types import DAY_US, SECOND_US, TIMEFRAMES_US, Instrument
from engine.feeds.base import FeedError, FeedInput, Gap, slug_of, utc
from engine.feeds.ccxt_client import check_no_keys, did_you_mean, public_client
from engine.feeds.ccxt_clock import ExchangeClock
from engine.feeds.ccxt_rows import Bar, bar_of, quote_of
from engine.instruments import instrument_for, instrument_from_market

GRACE_US = 2 * SECOND_US  # after a bar's end before REST is asked
LATE_US = 20 * SECOND_US  # after a bar's end it is closed (or empty) even if the venue shows no newer one
PATIENCE_US = 60 * SECOND_US
PAGE = 500  # bars a REST page: every venue that we know allows it
MAX_PAGES = 400
ASK_AGAIN_S, QUOTE_S, SILENCE_S, LONGEST_BACKOFF_S = 3.0, 0.25, 30.0, 60.0


class _Line:
    """One symbol: `covered` is the close time up to which everything is known; `forming` the newest sight of open bars."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.covered = 0
        self.last_close = 0
        self.forming: dict[int, Bar] = {}
        self.ready: deque[Candle] = deque()
        self.quote: Quote | None = None
        self.quoted_ts = 0
        self.failing_since: int | None = None
        self.waited_since = 0
        self.reason = ""
        self.retry = asyncio.Event()
        self.seen = False


class LiveFeed:
    """Public candles and tickers of `symbols` (unified names) at a ccxt exchange. `client` replaces ccxt's in tests."""

    def __init__(
        self,
        exchange_code: str,
        symbols: Sequence[str],
        timeframe: str = "1m",
        *,
        client: Any = None,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        size = TIMEFRAMES_US.get(timeframe)
        if size is None or size > DAY_US:
            raise FeedError(f"live data: timeframe {safe_text(timeframe)} is not possible (use 1m to 1d)")
        if not symbols:
            raise FeedError("live data: no symbols (name one, as BTC/USDT)")
        if client is not None:
            check_no_keys(client)
        self.exchange, self.timeframe, self.timeframe_us = exchange_code, timeframe, size
        self.identity = f"live:{exchange_code}"
        self.slug = slug_of(self.identity)
        self.total: int | None = None
        self.first_ts: int | None = None
        self.last_ts: int | None = None
        self.dropped: Counter[str] = Counter()  # reason -> how often the venue sent such a thing
        self.reconnects: Counter[str] = Counter()  # symbol -> how often it came back after an outage
        self._gaps: list[Gap] = []
        self._lines = {symbol: _Line(symbol) for symbol in sorted(set(symbols))}
        self._instruments = {symbol: instrument_for(exchange_code, symbol) for symbol in self._lines}
        self._client, self._now = client, now_us
        self._markets_lock, self._markets_loaded = asyncio.Lock(), False
        self._news = asyncio.Event()
        self._quotes_due = self._quotes_timed = False
        self._quotes_down_since: int | None = None
        self._released = 0
        self._tasks: list[asyncio.Task[None]] = []
        self.clock = ExchangeClock(now_us)

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        return tuple(self._instruments.values())

    @property
    def gaps(self) -> Sequence[Gap]:
        return tuple(self._gaps)

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(f"{count} dropped: {reason}" for reason, count in sorted(self.dropped.items()))

    @property
    def status(self) -> str:
        """ "connecting", "ok", "ok, but ETH/USDT down since ...", or "down since ...: reason"."""
        failing = [line for line in self._lines.values() if line.failing_since is not None]
        if len(failing) == len(self._lines):
            first = min(failing, key=lambda line: line.failing_since or 0)
            return f"down since {_clock(first.failing_since)}: {first.reason}"
        if failing:
            return f"ok, but {failing[0].symbol} down since {_clock(failing[0].failing_since)}: {failing[0].reason}"
        if not all(line.seen for line in self._lines.values()):
            return "connecting"
        if self._quotes_down_since is not None:
            return f"ok, but no quotes since {_clock(self._quotes_down_since)}"
        return "ok"

    async def open(self) -> LiveFeed:
        """Make the client (ccxt is imported here: over a second). Raises FeedError for an unknown exchange or timeframe."""
        if self._client is None:
            self._client = await asyncio.to_thread(public_client, self.exchange)
        frames = getattr(self._client, "timeframes", None)
        if frames and self.timeframe not in frames:
            offers = ", ".join(sorted(map(safe_text, frames)))
            raise FeedError(f"{self.exchange} has no {self.timeframe} candles (it offers {offers})")
        return self

    async def history(self, bars: int) -> list[Candle]:
        """Up to `bars` closed candles a symbol, in order; fewer, or none, when the venue does not answer.

        Pass the last one's ts to `batches`: the newest bar may not be known to be closed yet.
        """
        await self.open()
        try:
            await self._load_markets()
        except Exception as error:  # as in _follow: whatever ccxt raises is the venue's state, not ours
            for line in self._lines.values():
                self._failed(line, error)
            return []  # each further question would wait for its own timeout
        await self.clock.compare(self._client)
        size = self.timeframe_us
        since = (self._now() // size - bars) * size
        found: list[Candle] = []
        for line in self._lines.values():
            seen: dict[int, Bar] = {}
            try:
                asked = await self._pages(line.symbol, since, seen)
            except Exception as error:
                self._failed(line, error)
                continue
            known = max(max(seen, default=0), asked - LATE_US)
            closed = [bar for open_ts, bar in sorted(seen.items()) if open_ts + size <= known]
            found += [self._candle(line.symbol, bar) for bar in closed[-bars:]] if bars > 0 else []
        return sorted(found, key=lambda candle: (candle.ts, candle.symbol))

    async def batches(self, start_after: int | None = None) -> AsyncIterator[list[FeedInput]]:
        """Closed candles after `start_after` (default: after now) and the newest quotes. Ends only when closed."""
        await self.open()
        size = self.timeframe_us
        start = (self._now() if start_after is None else start_after) // size * size
        self._released = start
        for line in self._lines.values():
            line.covered, line.last_close = start, start
            line.ready.clear()
        self._tasks = [asyncio.create_task(self._follow(line)) for line in self._lines.values()]
        self._tasks += [
            asyncio.create_task(self._follow_quotes()),
            asyncio.create_task(self.clock.follow(self._client)),
        ]
        try:
            while True:
                if batch := self._release():
                    yield batch
                    continue
                self._news.clear()
                try:
                    await asyncio.wait_for(self._news.wait(), 1.0)
                except TimeoutError:
                    continue  # a symbol may have run out of patience meanwhile
        finally:
            await self._stop()

    async def close(self) -> None:
        await self._stop()
        if self._client is not None:
            await self._client.close()

    async def _stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Candles

    async def _follow(self, line: _Line) -> None:
        """Keep one symbol up to date for ever: REST from the cursor, then the stream until it is silent, skips or fails."""
        backoff_s = 1.0
        while True:
            line.retry.clear()
            try:
                await self._load_markets()
                self._check_listed(line.symbol)
                fresh: dict[int, Bar] = {}
                asked = await self._pages(line.symbol, line.covered, fresh)
                line.forming = fresh  # what a broken stream had shown of a bar may not be its end
                self._settle(line, asked)
                self._recovered(line)
                backoff_s = 1.0
                await self._listen(line)
            except Exception as error:  # ccxt lets KeyError and the like through when a payload surprises it
                self._failed(line, error)
                try:
                    await asyncio.wait_for(line.retry.wait(), backoff_s)
                except TimeoutError:
                    backoff_s = min(backoff_s * 2, LONGEST_BACKOFF_S)

    async def _listen(self, line: _Line) -> None:
        """Take stream rows until REST is needed: at once after a hole, else GRACE after a bar's end without a newer one."""
        streams = self._client.has.get("watchOHLCV") is True  # "emulated" ones are built from trades, not the venue's
        until = line.covered + self.timeframe_us + GRACE_US
        wait_s = max((until - self._now()) / SECOND_US, ASK_AGAIN_S)
        if not streams:
            await asyncio.sleep(wait_s)
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while (left_s := deadline - loop.time()) > 0:
            try:
                rows = await asyncio.wait_for(self._client.watch_ohlcv(line.symbol, self.timeframe), left_s)
            except TimeoutError:
                return
            await asyncio.sleep(0)  # a client that answers without waiting must not keep the loop
            self._read(rows, line.covered, line.forming)
            newest, following = max(line.forming, default=0), line.covered + self.timeframe_us
            if newest == following and line.covered in line.forming:
                self._settle(line, asked=0)
                deadline = loop.time() + (following + self.timeframe_us + GRACE_US - self._now()) / SECOND_US
            elif newest >= following:
                await asyncio.sleep(1.0)  # a venue whose REST is behind its stream must not be asked without pause
                return  # bars between: REST tells whether they exist

    async def _pages(self, symbol: str, since: int, into: dict[int, Bar]) -> int:
        """All bars from `since` (open, us) on; returns when they were asked for, or 0 when there are more than we take."""
        asked = self._now()
        for _ in range(MAX_PAGES):
            ask = self._client.fetch_ohlcv(symbol, self.timeframe, since // 1000, PAGE)
            page: dict[int, Bar] = {}
            self._read(await asyncio.wait_for(ask, SILENCE_S), since, page)
            into.update(page)
            newest = max(page, default=0)
            if newest <= since or newest + self.timeframe_us > self._now():
                return asked
            since = newest  # asked for again: it may still have been forming when the page was made
        return 0

    def _read(self, rows: Any, since: int, into: dict[int, Bar]) -> None:
        if not isinstance(rows, list | tuple):
            self.dropped["candles are not a list"] += 1
            return
        for row in rows:
            bar = bar_of(row, self.timeframe_us)
            if isinstance(bar, str):
                self.dropped[bar] += 1
            elif bar.open_ts > self._now() + LATE_US:
                self.dropped["candle from the future"] += 1
            elif bar.open_ts >= since:
                into[bar.open_ts] = bar

    def _settle(self, line: _Line, asked: int) -> None:
        """Move closed bars from `forming` to `ready`, and the cursor with them; `asked` is REST's time (0: the stream)."""
        size = self.timeframe_us
        waited = (asked - LATE_US) // size * size
        line.covered = max(line.covered, max(line.forming, default=0), waited)
        for open_ts in sorted(line.forming):
            if open_ts + size > line.covered:
                break
            bar = line.forming.pop(open_ts)
            close_ts = open_ts + size
            if close_ts <= self._released:
                self.dropped["candle too late: other symbols had gone on"] += 1
                continue
            if open_ts > line.last_close:
                missing = (open_ts - line.last_close) // size
                self._gaps.append(Gap(line.last_close, open_ts, missing, self.exchange, line.symbol))
            line.last_close = close_ts
            line.ready.append(self._candle(line.symbol, bar))
        self._news.set()

    def _candle(self, symbol: str, bar: Bar) -> Candle:
        return Candle(
            ts=bar.open_ts + self.timeframe_us,
            exchange=self.exchange,
            symbol=symbol,
            timeframe_us=self.timeframe_us,
            open=bar.open,
            high=bar.high,
            low=bar.low,
            close=bar.close,
            volume=bar.volume,
            received_ts=self._now(),
        )

    def _release(self) -> list[FeedInput]:
        """What may leave now: candles up to the time that every working symbol has covered, then fresh quotes."""
        now, lines = self._now(), self._lines.values()
        waited_for = [line for line in lines if line.failing_since is None or now - line.waited_since < PATIENCE_US]
        if waited_for:
            self._released = max(self._released, min(line.covered for line in waited_for))
        candles: list[Candle] = []
        for line in lines:
            while line.ready and line.ready[0].ts <= self._released:
                candles.append(line.ready.popleft())
        candles.sort(key=lambda candle: (candle.ts, candle.symbol))
        quotes: list[Quote] = []
        if self._quotes_due:
            self._quotes_due = False
            quotes = [line.quote for line in lines if line.quote is not None]
            for line in lines:
                line.quote = None
        return [*candles, *sorted(quotes, key=lambda quote: (quote.ts, quote.symbol))]

    # Quotes

    async def _follow_quotes(self) -> None:
        """The newest bid and ask of each symbol, from the stream, or by asking every few seconds."""
        backoff_s, symbols = 1.0, list(self._lines)
        while True:
            try:
                await self._load_markets()
                if self._client.has.get("watchTickers") is True:
                    found = await asyncio.wait_for(self._client.watch_tickers(symbols), SILENCE_S)
                    await asyncio.sleep(0)
                else:
                    found = await self._client.fetch_tickers(symbols)
                    await asyncio.sleep(ASK_AGAIN_S)
                self._quote(found)
                backoff_s, self._quotes_down_since = 1.0, None
            except Exception:  # quotes only move marks: the status says that they are missing, and candles go on
                self._quotes_down_since = self._quotes_down_since or self._now()
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, LONGEST_BACKOFF_S)

    def _quote(self, found: Any) -> None:
        if not isinstance(found, dict):
            self.dropped["tickers are not a record"] += 1
            return
        for symbol, ticker in found.items():
            line = self._lines.get(symbol) if isinstance(symbol, str) else None
            if line is None:
                continue
            quote = quote_of(ticker, self.exchange, line.symbol, self._now())
            if isinstance(quote, str):
                self.dropped[quote] += 1
            elif quote.ts < line.quoted_ts:
                self.dropped["ticker older than the last"] += 1
            else:
                line.quote, line.quoted_ts = quote, quote.ts
                if not self._quotes_timed:
                    self._quotes_timed = True
                    asyncio.get_running_loop().call_later(QUOTE_S, self._quotes_ready)

    def _quotes_ready(self) -> None:
        self._quotes_due, self._quotes_timed = True, False
        self._news.set()

    # Connection

    async def _load_markets(self) -> None:
        async with self._markets_lock:
            if self._markets_loaded:
                return
            markets = await asyncio.wait_for(self._client.load_markets(), SILENCE_S)
            for symbol in self._lines:
                market = markets.get(symbol) if isinstance(markets, dict) else None
                if isinstance(market, dict):
                    mode = getattr(self._client, "precisionMode", 0)
                    told = instrument_from_market(self.exchange, symbol, market, mode)
                    self._instruments[symbol] = told or self._instruments[symbol]
            self._markets_loaded = True

    def _check_listed(self, symbol: str) -> None:
        markets = getattr(self._client, "markets", None)
        if isinstance(markets, dict) and markets and symbol not in markets:
            raise FeedError(f"{symbol} is not listed at {self.exchange}{did_you_mean(symbol, markets)}")

    def _failed(self, line: _Line, error: Exception) -> None:
        ours = isinstance(error, FeedError)  # a symbol that is not listed: no use in waiting for it
        line.reason = safe_text(str(error) if ours else f"{type(error).__name__}: {error}", 100)
        if line.failing_since is None:
            line.failing_since = self._now()
            line.waited_since = 0 if ours else line.failing_since

    def _recovered(self, line: _Line) -> None:
        """One symbol is back: after an outage the others are asked at once, and waited for anew, before bars go on."""
        was_failing, line.failing_since, line.seen = line.failing_since is not None, None, True
        if not was_failing:
            return
        self.reconnects[line.symbol] += 1
        for other in self._lines.values():
            if other.failing_since is not None and other.waited_since:
                other.waited_since = self._now()
                other.retry.set()


def _clock(ts: int | None) -> str:
    return utc(ts or 0)[11:]
