"""What one step of the core works with: the state, the input's time and cause, and the only source of new ids."""

from __future__ import annotations

import msgspec

from engine.core.inputs import Cause
from engine.core.ledger import Ledger
from engine.core.market import Market
from engine.core.risk import View
from engine.core.setup import Setup
from engine.core.types import uuid7


class State(msgspec.Struct):
    """Ledger (the fold of the events) and Market (a rebuildable cache)."""

    ledger: Ledger
    market: Market


class Context:
    """One input's decision under way. Intent numbers and ids come from here, so that they are the same in every replay."""

    __slots__ = ("_number", "cause", "ledger", "market", "setup", "ts")

    def __init__(self, state: State, setup: Setup, ts: int, cause: Cause) -> None:
        self.ledger = state.ledger
        self.market = state.market
        self.setup = setup
        self.ts = ts
        self.cause = cause
        self._number = state.ledger.intents

    def number(self) -> int:
        """The next intent's number: order of sending, for ever increasing."""
        self._number += 1
        return self._number

    def id(self, kind: str, *parts: object) -> str:
        cause = self.cause
        key = f"{cause.place}|{cause.kind}|{cause.ordinal}"
        return uuid7(self.ts, self.ledger.ledger_id, key, kind, *(str(p) for p in parts))

    def view(self) -> View:
        return View(self.ledger, self.market, self.setup, self.ts)
