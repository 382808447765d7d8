"""A short-lived writer: lock, epoch, one command, close. For ledgers whose engine is not running (decisions.md 17)."""

from __future__ import annotations

from db import configs
from db.connect import connect
from db.journal import PgJournal
from engine import paths, status
from engine.core.config import parse_config
from engine.core.context import State
from engine.core.market import Market
from engine.core.setup import Setup
from engine.core.types import Verb
from engine.dispatch import Dispatch
from engine.halt import Latch
from engine.runtime import Asked, Engine
from engine.venues.paper import PaperVenue


async def command(
    ledger_name: str, dsn: str, verb: Verb, actor: str, reason: str, version: int = 0
) -> tuple[bool, str]:
    """Carry out a command without a feed. Raises JournalFenced when an engine holds the ledger after all."""

    async def load(number: int) -> tuple[object, str]:
        conn = await connect(dsn)
        try:
            return await configs.get(conn, number)
        finally:
            await conn.close()

    directory = paths.ledger_dir(ledger_name)
    journal = PgJournal(dsn, ledger_dir=directory)
    opening = await journal.open()
    try:
        if opening.ledger.seq == 0:
            return False, f"ledger {ledger_name} was never opened: start the engine once"
        document, _ = await load(opening.ledger.config_version)
        setup = Setup(parse_config(document), opening.ledger.ledger_id, opening.ledger.config_version)
        engine = Engine(
            state=State(opening.ledger, Market((), 0)),
            setup=setup,
            journal=journal,
            dispatch=Dispatch(PaperVenue((), setup.costs), Latch(directory), opening.ledger),
            load_config=load,
        )
        await engine.start()
        asked = Asked(verb, actor, reason, version)
        engine.ask(asked)
        await engine.idle()
        status.amend(directory, opening.ledger)
        return await asked.answer
    finally:
        await journal.close(f"command {verb}")
