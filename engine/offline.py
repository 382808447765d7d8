"""A short-lived writer: lock, epoch, one command, close. For ledgers whose engine is not running (decisions.md 17)."""

from __future__ import annotations

import msgspec

from db import configs
from db.connect import connect
from db.journal import PgJournal
from engine import paths, publish, status
from engine.commanding import Asked
from engine.core.config import parse_config
from engine.core.context import State
from engine.core.inputs import Trade
from engine.core.ledger import Ledger
from engine.core.market import Market
from engine.core.orders import Order
from engine.core.positions import Position
from engine.core.setup import Setup
from engine.core.types import Instrument, Side, Verb
from engine.dispatch import Dispatch
from engine.halt import Latch
from engine.instruments import instrument_for
from engine.runtime import Engine
from engine.venues.paper import PaperVenue


async def command(
    ledger_name: str, dsn: str, verb: Verb, actor: str, reason: str, version: int = 0, target: str = ""
) -> tuple[bool, str]:
    """Carry out a command without a feed: what needs prices is done by the next run. Raises JournalFenced when an engine
    holds the ledger after all."""

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
        # An activation looks at what the feed offers, and here is no feed to look at.
        instruments = [] if verb is Verb.ACTIVATE_CONFIG else _instruments(opening.ledger)
        market = Market(instruments, 0)
        _price(market, opening.ledger)
        engine = Engine(
            state=State(opening.ledger, market),
            setup=setup,
            journal=journal,
            dispatch=Dispatch(PaperVenue(instruments, setup.costs), Latch(directory), opening.ledger),
            load_config=load,
        )
        await engine.start()
        asked = Asked(verb, actor, reason, version, target=target)
        engine.ask(asked)
        await engine.idle()
        ledger, setup = opening.ledger, engine.setup
        status.amend(directory, ledger, publish.offline(ledger, market, setup))
        return await asked.answer
    finally:
        await journal.close(f"command {verb}")


def _price(market: Market, ledger: Ledger) -> None:
    """Positions were worth something when the last run ended: what closes them is held against that."""
    for p in ledger.positions.values():
        if (p.exchange, p.symbol) in market.series:
            market.hear(
                Trade(
                    ts=ledger.now,
                    received_ts=ledger.now,
                    exchange=p.exchange,
                    symbol=p.symbol,
                    price=float(p.mark_price),
                    size=0.0,
                    aggressor=Side.BUY,
                )
            )


def _instruments(ledger: Ledger) -> list[Instrument]:
    """Trading rules of what is open, as the positions and orders themselves and the bundled rules say."""
    found: dict[tuple[str, str], Instrument] = {}
    things: list[Position | Order] = [*ledger.positions.values(), *ledger.orders.values()]
    for one in things:
        rules = instrument_for(one.exchange, one.symbol)
        kind, size = one.kind, one.contract_size
        found[one.exchange, one.symbol] = msgspec.structs.replace(rules, kind=kind, contract_size=size)
    return list(found.values())
