"""What a person asked for, and the feed that follows from it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec

from engine.core.types import Mode
from engine.feeds.base import Feed, Pacer


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asked for. Exactly one feed; `speed` None is max; `ledger` and `database_url` empty mean the default."""

    replay: tuple[Path, ...] = ()
    simulate: int | None = None
    live_data: str = ""
    symbols: tuple[str, ...] = ()
    timeframe: str = "1m"
    speed: float | None = None
    seed: int | None = None
    ledger: str = ""
    balance: Decimal = Decimal(10_000)
    database_url: str = ""


class OptionsError(Exception):
    """Options that do not go together; one line with the remedy."""


def make_feed(options: Options) -> tuple[Feed, Pacer | None, Mode]:
    """The feed that was asked for. Raises FeedError or OptionsError."""
    chosen = [bool(options.replay), options.simulate is not None, bool(options.live_data)]
    if sum(chosen) > 1:
        raise OptionsError("choose one of --replay, --simulate and --live-data")
    if options.live_data:
        from engine.feeds.ccxt_feed import LiveFeed

        symbols = options.symbols or ("BTC/USDT", "ETH/USDT")
        return LiveFeed(options.live_data, symbols, options.timeframe), None, Mode.PAPER
    pacer = Pacer(None)
    if options.replay:
        from engine.feeds.replay import ReplayFeed

        return ReplayFeed.open(options.replay, pacer), pacer, Mode.PAPER
    from engine.feeds.simulated import SimulatedFeed

    return SimulatedFeed(options.simulate or 0, pacer=pacer), pacer, Mode.SIM
