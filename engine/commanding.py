"""What people and monitors ask of a running engine: one command at a time, between two inputs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog

from engine import activation
from engine.activation import ActivationRefused
from engine.core import decide, events as ev
from engine.core.context import begin
from engine.core.inputs import Command
from engine.core.setup import Setup
from engine.core.types import Verb
from engine.outcome import outcome

if TYPE_CHECKING:
    from engine.runtime import Engine

log = structlog.get_logger(__name__)

#: Commands that answer a hold.
_ENDS_HOLD = frozenset({Verb.RELEASE, Verb.RESUME, Verb.HALT, Verb.PAUSE, Verb.CANCEL, Verb.FLATTEN})


class Asked:
    """A command under way, and where its answer goes. `target` is what it speaks to; "" is the account."""

    __slots__ = ("actor", "answer", "policy", "reason", "target", "verb", "version")

    def __init__(
        self, verb: Verb, actor: str, reason: str = "", version: int = 0, policy: str = "", target: str = ""
    ) -> None:
        self.verb = verb
        self.target = target
        self.actor = actor
        self.reason = reason
        self.version = version
        self.policy = policy
        self.answer: asyncio.Future[tuple[bool, str]] = asyncio.get_running_loop().create_future()

    @property
    def halts_all(self) -> bool:
        """A HALT of the account, not of one bot: the latch file says it, too."""
        return self.verb is Verb.HALT and not self.target


class Commands:
    """The queue at the door of an engine, and what becomes of a command."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.queue: deque[Asked] = deque()

    def latch(self) -> None:
        """Without the database nothing can be decided, yet a halt must hold: the latch needs none."""
        for asked in self.queue:
            if asked.halts_all:
                self.engine.dispatch.latch.set(asked.actor, asked.reason)

    async def serve(self) -> None:
        while self.queue:
            asked = min(self.queue, key=lambda a: a.verb is not Verb.HALT)  # a halt jumps the queue
            self.queue.remove(asked)
            await self.obey(asked)

    async def obey(self, asked: Asked) -> None:
        engine = self.engine
        ledger = engine.state.ledger
        if asked.halts_all:
            engine.dispatch.latch.set(asked.actor, asked.reason)
        command = self._stamp(asked)
        before = engine.waiting
        try:
            if asked.verb is Verb.ACTIVATE_CONFIG:
                events = await self._activation(command)
            else:
                if asked.verb is Verb.START_BOT:
                    await self._look_back(engine.setup)
                events = decide.step(engine.state, command, engine.setup)
            engine.keep(events)
            await engine.commit_and_act()
        except ActivationRefused as error:
            events = self._journaled(command, activation.rejected(command, str(error)))
            engine.keep(events)
            await engine.commit_and_act()
        finally:
            engine.state.market.forget_past()
        if asked.verb is Verb.HOLD:
            engine.dispatch.hold = True
        elif asked.verb in _ENDS_HOLD and not asked.target:
            engine.dispatch.hold = False
        log.info("command", verb=asked.verb, actor=asked.actor, reason=asked.reason, events=len(events), queued=before)
        if not asked.answer.done():
            asked.answer.set_result(outcome(asked.verb, events, ledger, engine.setup))

    def _stamp(self, asked: Asked) -> Command:
        """A command stands right behind the last input, so that a resumed run knows which inputs came before it."""
        engine = self.engine
        cause = engine.place.commanded(engine.state.ledger.commands + 1)
        now = engine.clock_us() if engine.clock_us is not None else cause.ts
        return Command(
            ts=max(now, engine.state.ledger.now),
            cause=cause,
            verb=asked.verb,
            actor=asked.actor,
            reason=asked.reason,
            version=asked.version,
            policy=asked.policy or engine.setup.account.halt_policy,
            target=asked.target,
        )

    async def _activation(self, command: Command) -> Sequence[ev.Event]:
        """Swap the config between two inputs, or raise ActivationRefused and leave everything as it is."""
        engine = self.engine
        ledger, market = engine.state.ledger, engine.state.market
        setup = await activation.load(engine.load_config, command.version, ledger.ledger_id)
        activation.check_now(setup, ledger, market)
        await self._look_back(setup)
        activation.check_warm(setup, market)
        event = activation.activated(command, engine.setup, setup, ledger.config_version)
        engine.setup = setup
        engine.dispatch.venue.configure(setup.costs)
        market.arm(setup)
        return self._journaled(command, event)

    async def _look_back(self, setup: Setup) -> None:
        """Fetch what was before the bars in memory, for strategies that need more of them to warm up."""
        if self.engine.past is not None:
            await self.engine.past(self.engine.state.market, setup)

    def _journaled(self, command: Command, event: ev.Event) -> Sequence[ev.Event]:
        engine = self.engine
        return decide.apply(begin(engine.state, engine.setup, command.ts, command.cause), [event])
