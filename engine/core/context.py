"""What one step of the core works with: the state, the input's time and cause, and the only source of new ids."""

from __future__ import annotations

import hashlib

import msgspec

from engine.core.inputs import Cause
from engine.core.ledger import Ledger
from engine.core.market import Market
from engine.core.positions import Account
from engine.core.risk import View
from engine.core.setup import Setup
from engine.core.types import HALTED, PAUSED, REDUCING, TradingState, uuid7_of


class State(msgspec.Struct):
    """Ledger (the fold of the events) and Market (a rebuildable cache)."""

    ledger: Ledger
    market: Market
    quiet_until: int = 0  # ticks before this bring about nothing, as long as no event has been decided


class Context:
    """One input's decision under way. Intent numbers and ids come from here, so that they are the same in every replay."""

    __slots__ = ("_key", "_number", "cause", "ledger", "market", "setup", "state", "told", "ts")

    def __init__(self, state: State, setup: Setup, ts: int, cause: Cause) -> None:
        self.state = state
        self.ledger = state.ledger
        self.market = state.market
        self.setup = setup
        self.ts = ts
        self.cause = cause
        self._number = state.ledger.intents
        self._key = ""
        self.told: set[str] = set()  # stops whose end has been said by this input

    def number(self) -> int:
        """The next intent's number: order of sending, for ever increasing."""
        self._number += 1
        return self._number

    def id(self, kind: str, *parts: object) -> str:
        """A UUIDv7 from the input's time and sha256(ledger id, cause, kind, parts)."""
        if not self._key:
            c = self.cause
            self._key = (
                f"{self.ledger.ledger_id}|{c.ts}|{c.late}|{c.source}|{c.symbol}|{c.phase}|{c.kind}|{c.ordinal}\x1f"
            )
        return uuid7_of(self.ts, hashlib.sha256(f"{self._key}{kind}{parts}".encode()).hexdigest())

    def view(self, account: Account | None = None) -> View:
        """What gates look at; of the portfolio that the ledger was opened with, unless another is named."""
        return View(self.ledger, self.market, self.setup, self.ts, account or self.ledger.account)

    # -- what a stop leaves to do: the account's word, or the bot's ------------------------------------------------------

    def flattening(self, bot_id: str) -> bool:
        """Positions are being closed."""
        return "flatten" in self._policies(bot_id, (HALTED, REDUCING))

    def exits_rest(self, bot_id: str) -> bool:
        """Protective orders rest at the venue. After CANCEL they do not: the engine watches stop and target itself."""
        return "cancel" not in self._policies(bot_id, (PAUSED,))

    def _policies(self, bot_id: str, states: tuple[TradingState, ...]) -> tuple[str, ...]:
        ledger = self.ledger
        account = ledger.halt_policy if ledger.state in states else ""
        book = ledger.bots.get(bot_id)
        return (account, book.policy if book is not None and book.state in states else "")
