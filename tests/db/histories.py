"""Histories for the tests of the journal: real events, decided by the real engine in memory on hostile prices."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from db.journal import HostFacts, PgJournal
from engine.core.events import Event, Recorded
from engine.core.fold import evolve
from engine.core.ledger import Ledger
from engine.core.types import Verb
from engine.ports import Journal
from tests.core.worlds import RULES, World, config
from tests.db.futures import LOOSE

Pair = tuple[int, Event]
HOST = HostFacts(host="test", pid=4711, version="0")


async def traded(directory: Path, bars: int = 60, seed: int = 1) -> list[Pair]:
    """Entries, exits, cancels, denials and a pause of two bots over some minutes of wild prices."""
    directory.mkdir(parents=True, exist_ok=True)
    probe = {"name": "probe", "strategy": RULES, "sizing": {"kind": "fixed_quantity", "value": "1"}}
    probe["limits"] = LOOSE
    # Below the least notional: denied.
    tiny = {**probe, "name": "tiny", "limits": LOOSE | {"max_order_value": {"hard": "3"}}}
    world = await World(directory, config(bots=[probe, tiny], account={"limits": LOOSE})).open()
    rng = random.Random(seed)
    for bar in range(bars):
        if bar == bars // 2:
            await world.command(Verb.PAUSE, "a look around: ünïcode, „quotes“, 🚢")
            await world.command(Verb.RESUME, "on we go")
        opened, closed = rng.uniform(40, 160), rng.uniform(40, 160)
        await world.candle(opened, max(opened, closed) + 1, min(opened, closed) - 1, closed)
    await world.news()
    return world.store.pairs


def journal_of(dsn: str, directory: Path, **options: object) -> PgJournal:
    return PgJournal(dsn, ledger_dir=directory, host=HOST, **options)  # type: ignore[arg-type]


async def write(journal: Journal, ledger: Ledger, pairs: Sequence[Pair], size: int = 7) -> list[Recorded]:
    """Append `pairs` after the ledger's seq in batches of `size`, folding as an engine does."""
    out: list[Recorded] = []
    for start in range(0, len(pairs), size):
        batch = pairs[start : start + size]
        for _, event in batch:
            evolve(ledger, event)
        out += await journal.append(ledger.seq, batch, ledger)
        ledger.seq += len(batch)
    return out
