"""The past as a client: every screen of the cockpit shows it as it shows an engine, and nothing can be sent."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import TypeVar

from engine.client import WHOLE, Bar, ConfigLine, EquityPoint, OrderView, Outcome, Snapshot, TradeView
from engine.core.events import ConfigActivated, OrderDenied, Recorded
from engine.core.types import Verb
from engine.history import GATE_EVENTS, Acknowledgement, FillView, History, JournalHistory, Place, Told, ready
from engine.journals import LOUD, PastError
from engine.operations import Operations
from engine.pastview import NOT_RECORDED, Picture, denied
from engine.standing import Standing
from engine.timemachine import TimeMachine

T = TypeVar("T")
#: Activations that are looked through.
CONFIGS_MAX = 500
REFUSED = "PAST: nothing can be done from here"


class PastClient:
    """`engine.client.EngineClient` of one moment."""

    def __init__(self, picture: Picture, machine: TimeMachine) -> None:
        self.picture = picture
        self._machine = machine
        self._history = PastHistory(machine, picture)

    def snapshot(self) -> Snapshot | None:
        return self.picture.snapshot

    def progress(self) -> str:
        return ""

    def events(self, after_seq: int, limit: int = 1_000) -> Sequence[Recorded]:
        return [one for one in self.picture.log if one.seq > after_seq][:limit]

    def equity(self, account: str = WHOLE) -> Sequence[EquityPoint]:
        return self.picture.equity(account)

    def configs(self) -> Future[Sequence[ConfigLine]]:
        """Those that had been active by then; of the others the journal knows nothing."""

        async def work() -> Sequence[ConfigLine]:
            found = await self.machine.source.newest(self.picture.seq, {"ConfigActivated"}, CONFIGS_MAX)
            lines: dict[int, ConfigLine] = {}
            for event in (one.event for one in found):
                if isinstance(event, ConfigActivated):
                    lines[event.version] = self._config(event)
            return sorted(lines.values(), key=lambda line: -line.version)

        return self.machine.ask(work())

    def _config(self, event: ConfigActivated) -> ConfigLine:
        active = event.version == self.picture.snapshot.config_version
        return ConfigLine(
            version=event.version, sha256=event.sha256, actor=event.actor, note=NOT_RECORDED, created_ts=event.ts,
            activated_ts=event.ts, is_active=active, diff=event.diff, problem="",
        )  # fmt: skip

    def bars(self, exchange: str, symbol: str, after_ts: int = -1) -> tuple[int, Sequence[Bar]]:
        return 0, ()  # no candle is journaled

    def trades(self) -> Sequence[TradeView]:
        return self.picture.trades

    def standing(self, bot: str = "", exchange: str = "", symbol: str = "") -> Future[Standing]:
        """Rules are not recorded: of the symbol there is nothing to tell."""
        return self.machine.standing(self.picture, bot)

    def operations(self) -> Future[Operations]:
        return self.machine.operations(self.picture)

    @property
    def history(self) -> History:
        return self._history

    @property
    def machine(self) -> TimeMachine:
        return self._machine

    def submit(
        self, verb: Verb, *, actor: str, reason: str = "", version: int = 0, policy: str = "", target: str = ""
    ) -> Future[Outcome]:
        return ready(Outcome(False, REFUSED))

    def replay(self, action: str, speed: float | None = None) -> None:
        """Time does not run here."""


class PastHistory(JournalHistory):
    """`engine.history.History` up to one moment, from the journal alone."""

    def __init__(self, machine: TimeMachine, picture: Picture) -> None:
        self._machine, self._picture = machine, picture

    def orders(self, before: Place | None, limit: int = 500) -> Future[Sequence[OrderView]]:
        """Those of the last two days, as far as the ledger knew them then, and the newest that were denied."""
        names = self._picture.names
        refused = [denied(one, names) for one in self._picture.log if isinstance(one.event, OrderDenied)]
        found = sorted((*self._picture.orders, *refused), key=lambda o: (o.ts, o.id), reverse=True)
        return ready([one for one in found if before is None or (one.ts, one.id) < before][:limit])

    def fills(self, before: Place | None, limit: int = 500) -> Future[Sequence[FillView]]:
        async def work() -> Sequence[FillView]:
            source, upto = self._machine.source, self._picture.seq
            if before is not None:
                upto = min(upto, await source.seq_at(before.ts))
            found = [self._picture.fill(one) for one in await source.newest(upto, {"OrderFilled"}, limit + 1)]
            found.sort(key=lambda fill: (fill.ts, fill.id), reverse=True)
            return [one for one in found if before is None or (one.ts, one.id) < before][:limit]

        return self._machine.ask(work())

    def events(self, before_seq: int, limit: int = 1_000) -> Future[Sequence[Recorded]]:
        return self._machine.ask(
            self._machine.source.newest(min(before_seq - 1, self._picture.seq), LOUD, limit),
        )

    def gate_changes(self, before_seq: int | None, limit: int = 500) -> Future[Sequence[Recorded]]:
        async def work() -> Sequence[Recorded]:
            upto = min(self._picture.seq, self._picture.seq if before_seq is None else before_seq - 1)
            return (await self._machine.source.newest(upto, GATE_EVENTS, limit))[::-1]

        return self._machine.ask(work())

    def seq_at(self, ts: int) -> Future[int | None]:
        async def work() -> int | None:
            found = await self._machine.source.seq_at(ts - 1) + 1
            return found if found <= self._picture.seq else None

        return self._machine.ask(work())

    def story(self, order_id: str) -> Future[Sequence[Told]]:
        async def work() -> Sequence[Told]:
            found = await self._machine.source.story(order_id, self._picture.seq)
            return [Told(recorded=one) for one in found]

        return self._machine.ask(work())

    def acknowledge(self, key: str, text: str, actor: str) -> Future[Acknowledgement]:
        return _refused()

    def acknowledged(self, limit: int = 500) -> Future[Sequence[Acknowledgement]]:
        return ready(())

    def commanded(self, verb: str, target: str, actor: str, text: str, *, done: bool) -> Future[int]:
        return _refused()


def _refused() -> Future[T]:
    future: Future[T] = Future()
    future.set_exception(PastError(REFUSED))
    return future
