"""What an exchange says, read with suspicion: ccxt's unified candle rows and tickers to our inputs, or a reason why not.

Shapes: docs.ccxt.com, "OHLCV Structure" `[ms, open, high, low, close, volume]` and "Ticker Structure". Real answers hold
None, numbers as text, short rows and times of their own; nothing here raises on any of it.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from engine.core.inputs import Quote

_EARLIEST_US, _LATEST_US = 946_684_800_000_000, 4_102_444_800_000_000  # 2000 to 2100


class Bar(NamedTuple):
    """A venue's bar, forming or closed; `open_ts` in us."""

    open_ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float


def bar_of(row: Any, timeframe_us: int) -> Bar | str:
    """A Bar, or one of a few fixed reasons (never the venue's own text, so that they can be counted)."""
    if not isinstance(row, list | tuple) or len(row) < 6:
        return "candle is not a row of six"
    stamp = number_of(row[0])
    if stamp is None or stamp != int(stamp) or not _EARLIEST_US <= stamp * 1000 < _LATEST_US:
        return "candle without a time in ms"
    open_ts = int(stamp) * 1000
    if open_ts % timeframe_us:
        return "candle off the timeframe's grid"
    prices = [number_of(value) for value in row[1:5]]
    volume = number_of(row[5])
    if volume is None or volume < 0 or any(price is None or price <= 0 for price in prices):
        return "candle with a bad number"
    open_, high, low, close = (float(price or 0.0) for price in prices)
    if not low <= min(open_, close) <= max(open_, close) <= high:
        return "candle outside its own high and low"
    return Bar(open_ts, open_, high, low, close, volume + 0.0)


def quote_of(ticker: Any, exchange: str, symbol: str, now_us: int) -> Quote | str:
    """A Quote at the venue's time (never later than ours), from bid and ask, else from the last price alone."""
    if not isinstance(ticker, dict):
        return "ticker is not a record"
    bid, ask = number_of(ticker.get("bid")), number_of(ticker.get("ask"))
    if bid is None or ask is None or bid <= 0 or ask <= 0:
        bid = ask = number_of(ticker.get("last"))
    if bid is None or ask is None or bid <= 0:
        return "ticker without a price"
    if bid > ask:
        return "ticker with bid above ask"
    stamp = number_of(ticker.get("timestamp"))
    known = stamp is not None and _EARLIEST_US <= stamp * 1000 < _LATEST_US
    ts = min(int(stamp * 1000), now_us) if stamp is not None and known else now_us
    return Quote(ts=ts, exchange=exchange, symbol=symbol, bid=bid, ask=ask, received_ts=now_us)


def number_of(value: Any) -> float | None:
    """A finite float out of a number or its text; None for the rest (None, bool, "", "nan", lists)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
