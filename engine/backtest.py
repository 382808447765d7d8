"""The engine over recorded inputs, as fast as they come: the same `Engine`, dispatch and paper venue as live, on a journal in
memory, without an event loop. Nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar, cast

from engine.columns import Columns, ColumnStrategy
from engine.core.config import Config
from engine.core.context import State
from engine.core.inputs import Candle, Command, MarketInput, Tick
from engine.core.market import TAIL_BARS, Market
from engine.core.rules import RuleDocument
from engine.core.setup import Setup
from engine.core.strategy import Factory
from engine.core.types import Instrument, InvariantError, Mode, Verb
from engine.dispatch import Dispatch
from engine.genesis import genesis, new_ledger_id
from engine.halt import MemoryLatch
from engine.ports import Journal
from engine.runtime import Engine
from engine.strategies import factories_for
from engine.venues.paper import PaperVenue

T = TypeVar("T")


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits: a journal in memory and the paper venue answer at once."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return cast(T, done.value)
    raise InvariantError("something waits in a backtest")


class Backtest:
    """A ledger of its own from genesis on. `feed` as often as you like, then `finish`, then look at `ledger`."""

    def __init__(
        self,
        config: Config,
        instruments: Sequence[Instrument],
        journal: Journal,
        *,
        balance: Decimal = Decimal(10_000),
        currency: str = "",
        seed: int = 1,
        feed: str = "backtest",
        factories: Mapping[str, Factory] | None = None,  # None: those that are installed
    ) -> None:
        ledger_id = new_ledger_id(seed)
        self.setup = Setup(config, ledger_id, 1, factories_for(config) if factories is None else factories)
        opening = drive(journal.open())
        market = Market(instruments, tail_bars=TAIL_BARS)
        market.arm(self.setup)
        self.engine = Engine(
            state=State(opening.ledger, market),
            setup=self.setup,
            journal=journal,
            dispatch=Dispatch(PaperVenue(instruments, self.setup.costs), MemoryLatch(), opening.ledger),
            load_config=_no_other_config,
        )
        first = genesis(
            self.setup,
            ledger_id,
            mode=Mode.PAPER,
            feed=feed,
            seed=seed,
            currency=currency or instruments[0].quote,
            balance=balance,
            actor="backtest",
        )
        drive(self.engine.open_ledger(first))
        drive(self.engine.start())
        self.ledger = opening.ledger
        self.market = market

    def look_up(self, exchange: str, symbol: str, bars: Columns, timeframe_us: int) -> None:
        """Let the rules on a symbol be answered from the columns of its whole history (`engine.columns`: the second
        evaluator of the same tree, equal on every bar by test), instead of being worked out bar by bar. Before the first bar;
        documents that read features are left alone, because features come with the inputs."""
        for runner in self.market.series[(exchange, symbol)].runners:
            document = runner.bot.strategy
            if isinstance(document, RuleDocument) and not document.features():
                runner.strategy = ColumnStrategy(document, bars, runner.bot.warmup_factor, timeframe_us)

    def feed(self, inputs: Iterable[Candle | MarketInput | Tick]) -> None:
        """Play inputs in order. Raises InvariantError, as the engine does."""
        drive(self.engine.play(inputs))

    def flatten(self, reason: str) -> None:
        """Cancel every order, close every position, as the verb does, and commit."""
        cause = self.engine.place.commanded(self.ledger.commands + 1)
        ts = max(self.ledger.now, cause.ts)
        drive(self.engine.obey(Command(ts=ts, cause=cause, verb=Verb.FLATTEN, actor="backtest", reason=reason)))
        self.finish()

    def finish(self) -> None:
        """Commit what is decided. Positions and orders stay as they are."""
        drive(self.engine.flush())


async def _no_other_config(version: int) -> tuple[object, str]:
    raise LookupError(f"a backtest has no config {version}")
