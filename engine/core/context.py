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
from engine.core.types import HALTED, PAUSED, REDUCING, TradingState, uuid7_of, uuid7_prefix


class State(msgspec.Struct):
    """Ledger (the fold of the events) and Market (a rebuildable cache)."""

    ledger: Ledger
    market: Market
    # As long as no event has been decided:
    quiet_until: int = 0  # ticks before this bring about nothing
    settled: bool = False  # all exits rest where they are to be, and no bar moves them


class Context(msgspec.Struct, eq=False, gc=False):
    """One input's decision under way (`begin`). Intent numbers and ids come from here, so that they are the same in every
    replay."""

    state: State
    ledger: Ledger
    market: Market
    setup: Setup
    ts: int
    cause: Cause
    last_number: int
    told: frozenset[str] = frozenset()  # stops whose end has been said by this input
    _key: str = ""
    _prefix: str = ""

    def number(self) -> int:
        """The next intent's number: order of sending, for ever increasing."""
        self.last_number = number = self.last_number + 1
        return number

    def id(self, name: str) -> str:
        """A UUIDv7 from the input's time and sha256(ledger id, cause, name); `name` says of what, and what of that kind."""
        if not self._key:
            c = self.cause
            self._key = (
                f"{self.ledger.ledger_id}|{c.ts}|{c.late}|{c.source}|{c.symbol}|{c.phase}|{c.kind}|{c.ordinal}\x1f"
            )
            self._prefix = uuid7_prefix(self.ts)
        return uuid7_of(self._prefix, hashlib.sha256((self._key + name).encode()).hexdigest())

    def view(self, account: Account | None = None) -> View:
        """What gates look at; of the portfolio that the ledger was opened with, unless another is named."""
        return View(self.ledger, self.market, self.setup, self.ts, account or self.ledger.account)

    # -- what a stop leaves to do: the account's word, or the bot's ------------------------------------------------------

    def flattening(self, bot_id: str) -> bool:
        """Positions are being closed."""
        return not self.ledger.calm and "flatten" in self._policies(bot_id, (HALTED, REDUCING))

    def exits_rest(self, bot_id: str) -> bool:
        """Protective orders rest at the venue. After CANCEL they do not: the engine watches stop and target itself."""
        return self.ledger.calm or "cancel" not in self._policies(bot_id, (PAUSED,))

    def _policies(self, bot_id: str, states: tuple[TradingState, ...]) -> tuple[str, ...]:
        ledger = self.ledger
        account = ledger.halt_policy if ledger.state in states else ""
        book = ledger.bots.get(bot_id)
        return (account, book.policy if book is not None and book.state in states else "")


def begin(state: State, setup: Setup, ts: int, cause: Cause) -> Context:
    """The context of an input at `ts` (us UTC)."""
    ledger = state.ledger
    return Context(state, ledger, state.market, setup, ts, cause, ledger.intents)
