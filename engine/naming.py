"""Which ledger a command means: names, bindings, and the command line that is right for a ledger (decisions.md 1)."""

from __future__ import annotations

import hashlib
from urllib.parse import parse_qs, urlsplit

from engine.core.ledger import Ledger
from engine.core.types import Mode
from engine.feeds.base import Feed, FeedError
from engine.options import OptionsError
from engine.ports import LedgerMismatch


def default_ledger_name(feed: Feed, seed: int | None) -> str:
    """One ledger per feed and seed, so that asking for other data never meets the wrong ledger by accident."""
    return feed.slug if seed is None else f"{feed.slug}_s{seed}"


def url_ledger_name(url: str) -> str:
    """With DATABASE_URL, that database is the ledger: its folder is named after where it is, never after its password.

    Raises OptionsError."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or parse_qs(parts.query).get("host", ["local"])[0]
        place = f"{host}:{parts.port or 5432}{parts.path}"
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("postgresql", "postgres"):  # not shown: it may hold a password
        raise OptionsError("DATABASE_URL is no PostgreSQL address: write postgresql://USER:PASSWORD@HOST:5432/NAME")
    return f"url_{hashlib.sha256(place.encode()).hexdigest()[:12]}"


def one_currency(feed: Feed) -> str:
    quotes = sorted({i.quote for i in feed.instruments})
    if len(quotes) != 1:
        raise FeedError(
            f"symbols of one ledger share a quote currency; these have {', '.join(quotes)}: replay them apart"
        )
    return quotes[0]


def seed_text(seed: int | None) -> str:
    return "none" if seed is None else str(seed)


def command_of(ledger: Ledger, name: str = "") -> str:
    """The command line that opens a ledger."""
    kind, _, rest = ledger.feed.partition(":")
    what = {"simulate": f"--simulate {rest}", "live": f"--live-data {rest}"}.get(kind, "--replay FILE...")
    seed = f" --seed {ledger.seed}" if ledger.seed is not None else ""
    return f"quantsail {what}{seed}" + (f" --ledger {name}" if name else "")


def check_bound(
    ledger: Ledger, name: str, feed: Feed, mode: Mode, seed: int | None, explicit: str, *, by_url: bool = False
) -> None:
    """Raise LedgerMismatch, with the command that is right, unless `ledger` belongs to this mode, feed and seed."""
    other = "or set DATABASE_URL to another database" if by_url else "or name another --ledger"
    if (ledger.mode, ledger.feed, ledger.seed) != (mode, feed.identity, seed):
        raise LedgerMismatch(
            f"ledger {name} belongs to {ledger.feed} (seed {seed_text(ledger.seed)}), not to {feed.identity} "
            f"(seed {seed_text(seed)}): use `{command_of(ledger, explicit)}`, {other}"
        )
    if ledger.base_currency != one_currency(feed):
        raise LedgerMismatch(f"ledger {name} counts in {ledger.base_currency}, the feed in {one_currency(feed)}")
