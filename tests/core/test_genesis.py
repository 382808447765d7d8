"""How a ledger begins: the same seed makes the same id and the same two events, whoever opens it."""

from __future__ import annotations

from decimal import Decimal

from db.memory import MemoryJournal
from engine.backtest import Backtest
from engine.core.config import default_config
from engine.core.fold import evolve
from engine.core.ledger import Ledger
from engine.core.setup import Setup
from engine.core.types import Mode
from engine.genesis import genesis, new_ledger_id
from tests.core.worlds import BTC


def test_a_seed_fixes_the_id_and_nothing_else_does() -> None:
    assert new_ledger_id(7) == new_ledger_id(7) != new_ledger_id(8)
    assert new_ledger_id(None) != new_ledger_id(None)


def test_a_backtest_begins_as_every_ledger_does() -> None:
    journal = MemoryJournal()
    run = Backtest(default_config(), [BTC], journal, balance=Decimal(500), seed=7, feed="replay:x")
    ledger_id = new_ledger_id(7)
    setup = Setup(default_config(), ledger_id, 1)
    first = genesis(
        setup,
        ledger_id,
        mode=Mode.PAPER,
        feed="replay:x",
        seed=7,
        currency="USDT",
        balance=Decimal(500),
        actor="backtest",
    )
    assert [event for _, event in journal.store.pairs][:2] == first
    ledger = Ledger()
    for event in first:
        evolve(ledger, event)
    assert ledger.ledger_id == run.ledger.ledger_id == ledger_id
    assert ledger.account.cash == Decimal(500) and ledger.config_sha256 == setup.sha256
