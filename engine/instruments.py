"""Trading rules per (exchange, symbol), and how an exchange's symbol is read (decisions.md 9).

Rules are bundled (`data/instruments.json`: tick, lot, largest quantity, least notional, written by us after the venues'
published filters), or come from the venue, or are the stated default. They are never inferred from prices.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib import resources

from engine.core.types import ONE, Instrument, InstrumentKind

#: Quote currencies by which a joined name is split. Those that end in USD exist at Binance only: elsewhere IOTUSD is
#: IOT in USD, not IO in TUSD.
BINANCE_QUOTES = ("FDUSD", "BUSD", "TUSD")
STABLE_QUOTES = ("USDT", "USDC", "DAI", "USD", "EUR", "GBP", "JPY", "TRY", "BRL", "KRW")
COIN_QUOTES = ("BTC", "ETH", "BNB")
#: Exchange codes whose symbols are linear perpetuals: settled in the quote, `BTC/USDT:USDT` in ccxt's unified form.
LINEAR_EXCHANGES = frozenset({"binanceusdm", "bybitlinear"})
#: Exchange codes whose symbols are bare coins: `STETH` there is a coin, not ST in ETH.
BARE_EXCHANGES = frozenset({"hyperliquid"})
DEFAULT_QUOTE = "USD"

_TICK_SIZE_MODE = 4  # ccxt.TICK_SIZE: `precision` holds steps; in the other modes it holds digits


def split_symbol(exchange: str, name: str) -> tuple[str, str]:
    """(unified symbol, quote) of an exchange's own name: ("binance", "BTCUSDT") -> ("BTC/USDT", "USDT").

    Case is kept (kPEPE), except for a name wholly in lower case that ends in a known quote (btcusdt -> BTC/USDT).
    A name that cannot be split stays as it is, with quote USD.
    """
    if "/" in name:
        return name, name.split("/", 1)[1].split(":", 1)[0] or DEFAULT_QUOTE
    if exchange in BARE_EXCHANGES:
        return name, DEFAULT_QUOTE
    spelled = name.upper() if name.isascii() and name.islower() else name
    stable = (*BINANCE_QUOTES, *STABLE_QUOTES) if exchange == "binance" else STABLE_QUOTES
    for quotes, shortest_base in ((stable, 1), (COIN_QUOTES, 2)):
        for quote in quotes:
            base = spelled.removesuffix(quote).rstrip("-_")
            if spelled.endswith(quote) and len(base) >= shortest_base:
                settle = f":{quote}" if exchange in LINEAR_EXCHANGES else ""
                return f"{base}/{quote}{settle}", quote
    return name, DEFAULT_QUOTE


@cache
def _bundled() -> dict[str, dict[str, list[str]]]:
    text = resources.files("engine").joinpath("data/instruments.json").read_text(encoding="utf-8")
    table: dict[str, dict[str, list[str]]] = json.loads(text)
    return table


def is_bundled(symbol: str) -> bool:
    """Whether the rules of `symbol` (unified form) are bundled for any exchange."""
    return any(symbol in symbols for symbols in _bundled().values())


def instrument_for(exchange: str, symbol: str, quote: str | None = None) -> Instrument:
    """The bundled rules of `symbol` (unified form) at `exchange`, else the default, which says so in `source`."""
    base = symbol.split("/", 1)[0]
    quote = quote or split_symbol(exchange, symbol)[1]
    known = _bundled().get(exchange, {}).get(symbol)
    kind = kind_of(symbol)
    if known is None:
        return Instrument(exchange=exchange, symbol=symbol, base=base, quote=quote, kind=kind)
    tick, lot, most, least_notional = (Decimal(text) for text in known)
    return Instrument(
        exchange=exchange,
        symbol=symbol,
        base=base,
        quote=quote,
        tick_size=tick,
        lot_size=lot,
        min_quantity=lot,
        max_quantity=most,
        min_notional=least_notional,
        source="bundled",
        kind=kind,
    )


def kind_of(symbol: str) -> InstrumentKind:
    """LINEAR for a perpetual that settles in its quote ("BTC/USDT:USDT"); SPOT for everything else.

    Contracts that settle in their base, or on a day, are not known here: they are not offered to bots as futures.
    """
    pair, _, settles = symbol.partition(":")
    return InstrumentKind.LINEAR if settles and pair.endswith(f"/{settles}") else InstrumentKind.SPOT


def instrument_from_market(
    exchange: str, symbol: str, market: Mapping[str, object], precision_mode: int
) -> Instrument | None:
    """The venue's own rules out of a ccxt unified market structure; None when they are not usable.

    Shape: docs.ccxt.com "Market structure" (`precision`, `limits.amount`, `limits.cost`, `active`). None rather than half:
    a missing step would round to nothing.
    """
    precision, limits = market.get("precision"), market.get("limits")
    if precision_mode != _TICK_SIZE_MODE or not isinstance(precision, dict):
        return None
    tick, lot = _positive(precision.get("price")), _positive(precision.get("amount"))
    if tick is None or lot is None:
        return None
    fallback = instrument_for(exchange, symbol)
    amount, cost = _part(limits, "amount"), _part(limits, "cost")
    return Instrument(
        exchange=exchange,
        symbol=symbol,
        base=fallback.base,
        quote=fallback.quote,
        tick_size=tick,
        lot_size=lot,
        min_quantity=_positive(amount.get("min")) or lot,
        max_quantity=_positive(amount.get("max")),
        min_notional=_positive(cost.get("min")) or fallback.min_notional,
        status="HALTED" if market.get("active") is False else "TRADING",
        source="venue",
        kind=fallback.kind,
        contract_size=_positive(market.get("contractSize")) or ONE,
    )


def _part(limits: object, name: str) -> Mapping[str, object]:
    found = limits.get(name) if isinstance(limits, dict) else None
    return found if isinstance(found, dict) else {}


def _positive(value: object) -> Decimal | None:
    """A finite number above zero as the exact decimal of its shortest text, else None (venues send None, "", strings)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() and number > 0 else None
