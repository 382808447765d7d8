"""How a ledger begins: its id, and the two events that every ledger starts with."""

from __future__ import annotations

import os
import time
from decimal import Decimal

from engine.core import events as ev
from engine.core.inputs import GENESIS
from engine.core.setup import Setup
from engine.core.types import Mode, uuid7


def new_ledger_id(seed: int | None) -> str:
    """Random at genesis, fixed by --seed: the same seed gives the same ids for ever."""
    if seed is not None:
        return uuid7(0, "ledger", str(seed))
    return uuid7(time.time_ns() // 1_000, "ledger", os.urandom(16).hex())


def genesis(
    setup: Setup,
    ledger_id: str,
    *,
    mode: Mode,
    feed: str,
    seed: int | None,
    currency: str,
    balance: Decimal,
    actor: str = "quantsail",
) -> list[ev.Event]:
    """The first two events: the ledger is bound to its feed, seed and currency for ever, and trades by `setup`."""
    opened = ev.LedgerOpened(
        ts=0,
        cause=GENESIS,
        ledger_id=ledger_id,
        mode=mode,
        feed=feed,
        seed=seed,
        base_currency=currency,
        initial_balance=balance,
    )
    activated = ev.ConfigActivated(
        ts=0,
        cause=GENESIS,
        version=setup.version,
        sha256=setup.sha256,
        previous=0,
        actor=actor,
        diff=(),
        config=setup.text,
    )
    return [opened, activated]
