"""A ccxt client for public data: made late (the import takes over a second), without keys, or refused in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from engine.core.text import safe_text
from engine.feeds.base import FeedError

_SECRETS = ("apiKey", "secret", "password", "privateKey", "walletAddress", "token")
_OPTIONS = {"enableRateLimit": True, "newUpdates": False, "timeout": 10_000}


def public_client(exchange_code: str) -> Any:
    """A client of ccxt.pro, or of plain ccxt for an exchange without streams. Raises FeedError for an unknown exchange."""
    import ccxt.async_support
    import ccxt.pro

    for module in (ccxt.pro, ccxt.async_support):
        if exchange_code in module.exchanges:
            return getattr(module, exchange_code)(_OPTIONS)
    hint = did_you_mean(exchange_code, ccxt.async_support.exchanges) or " (ccxt lists the exchanges that it knows)"
    raise FeedError(f"unknown exchange {safe_text(exchange_code)}{hint}")


def check_no_keys(client: Any) -> None:
    """Public data needs no keys, so a client that has some is a mistake. Raises FeedError."""
    if any(getattr(client, name, None) for name in _SECRETS):
        raise FeedError("live data: the client carries keys (public data needs none; give it a client without)")


def did_you_mean(word: str, known: Iterable[object]) -> str:
    """ " (did you mean binance?)", or nothing when nothing is near."""
    near = difflib.get_close_matches(word, [str(name) for name in known], n=1, cutoff=0.5)
    return f" (did you mean {safe_text(near[0])}?)" if near else ""
