"""The seams: small protocols with real implementations on both sides. Every implementation passes one conformance suite."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from engine.core.config import Costs
from engine.core.events import Numbered, Recorded
from engine.core.inputs import Candle, Cause, MarketInput, VenueReport
from engine.core.ledger import Ledger
from engine.core.orders import Order


class JournalError(Exception):
    """The journal could not do it. Root of the tree; says in each class whether the append may have happened."""


class JournalUnavailable(JournalError):
    """The database cannot be reached. The append may or may not be durable: `append` again with the same arguments."""


class JournalFenced(JournalError):
    """Another engine owns this ledger (newer epoch, or the lock is held). Nothing was written; stop."""


class JournalConflict(JournalError):
    """The journal's head is not where this engine believes it to be. Nothing was written; stop."""


class LedgerMismatch(JournalError):
    """The ledger is bound to another mode, feed or seed. Nothing was written; the message names the right command."""


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What a journal knows when an engine takes it over: the folded ledger and the newest events for the screen."""

    epoch: int
    ledger: Ledger
    recent: tuple[Recorded, ...]


class Journal(Protocol):
    """One writer. `append` is one transaction: events, read rows, head, NOTIFY; it halts rather than drops."""

    async def open(self) -> Opening:
        """Take the writer's lock, raise the epoch, fold snapshot and tail. Raises JournalFenced, JournalUnavailable."""
        ...

    async def append(self, expected_seq: int, events: Sequence[Numbered], ledger: Ledger) -> Sequence[Recorded]:
        """Make numbered events durable after `expected_seq`; `ledger` is their fold, for their ids and the read rows.

        Calling it again with the same arguments after JournalUnavailable is safe: a lost acknowledgement is recognised.
        """
        ...

    async def close(self, why: str) -> None:
        """End the run (its facts go to engine_runs) and release the lock."""
        ...


class Venue(Protocol):
    """Where orders go. Sending never blocks and never raises for an outcome: outcomes arrive as reports (tests/venue)."""

    def submit(self, order: Order) -> None: ...

    def cancel(self, order: Order) -> None: ...

    def on_candle(self, candle: Candle) -> Iterable[VenueReport]:
        """Reports that a closed bar causes, lazily: the engine acts on each before the next is made."""
        ...

    def on_market(self, value: MarketInput, after: Cause) -> Iterable[VenueReport]:
        """Reports that a quote, book, trade or mark causes, lazily; their causes stand at the place of `after`."""
        ...

    def answer(self) -> VenueReport | None:
        """The next answer to `submit` and `cancel`; None when all have been given."""
        ...

    def restore(self, ledger: Ledger) -> None:
        """Become what the ledger says this venue holds; open intents without an answer are answered again."""
        ...

    def configure(self, costs: Costs) -> None:
        """The costs of a config that was activated; a venue that charges its own ignores them."""
        ...

    def warm(self, value: Candle | MarketInput) -> None:
        """An input that was decided before a restart: nothing is reported of it."""
        ...
