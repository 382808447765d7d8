"""What goes on beside the engine's loop: watching the latch, publishing pictures, heartbeats, commands of other processes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from db import candles, commands, ticks
from db.connect import BROKEN, ConnectError, connect
from engine import paths, status
from engine.commanding import Asked
from engine.core.inputs import Candle, Quote
from engine.core.types import TradingState, Verb
from engine.ports import JournalFenced

if TYPE_CHECKING:
    from pathlib import Path

    from engine.app import Session

log = structlog.get_logger(__name__)

HOLD_TIMEOUT_S = 15.0
#: One beat for what looks again and again: a process at rest is woken once for all of it.
BEAT_S = 0.25
#: What is shown as the loop's lag is the worst of the last so many: of more than the second between two status files.
LAGS = 5
HEARTBEAT_S = 5.0
#: A command of another process wakes the inbox; should the word get lost, it looks by itself.
INBOX_S = 5.0
REACH_S = 0.5
#: Seconds between two status files, while something changes and while nothing does.
STATUS_S, STATUS_QUIET_S = 1.0, 2.0
HOUSE_S = 4 * BEAT_S
#: Looks at the house between two looks at its disk.
DISK_LOOKS = 30
#: After the start, so that maintenance never slows it down; and then again and again.
MAINTAIN_FIRST_S = 5.0
MAINTAIN_S = 3600.0
MARKET_S = 5.0


async def _next(beat_s: float) -> float:
    """Wait for the next multiple of a beat on the loop's clock; seconds by which it was late."""
    loop = asyncio.get_running_loop()
    due = (loop.time() // beat_s + 1) * beat_s
    await asyncio.sleep(due - loop.time())
    return max(0.0, loop.time() - due)


def _put(directory: Path, text: str) -> None:
    with contextlib.suppress(OSError):  # a full disk: `status` says that it is silent
        status.put(directory, text)


class Keepers:
    """The tasks of one session. A task that fails halts the engine: nobody would look at what it looked at (fail closed)."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._tasks: list[asyncio.Task[None]] = []
        #: The status file being written, by a thread: a slow disk holds up nothing but that.
        self._writing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writing.set_result(None)

    def start(self) -> None:
        for name, work in (
            ("latch watch", self._watch()),
            ("publisher", self._publish()),
            ("heartbeat", self._heartbeat()),
            ("house watch", self._house()),
            ("inbox", self._inbox()),
            ("market store", self._market()),
            ("maintenance", self._maintain()),
        ):
            task = asyncio.create_task(work, name=name)
            task.add_done_callback(self._ended)
            self._tasks.append(task)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        # The status file, too: a session's last word must come after it.
        await asyncio.gather(*self._tasks, self._writing, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        log.error("keeper.failed", keeper=task.get_name(), kind=type(error).__name__, reason=str(error))
        if isinstance(error, JournalFenced):
            self._session.stop("another engine has taken this ledger")
            return
        self._session.engine.ask(Asked(Verb.HALT, "engine", f"{task.get_name()} failed: {type(error).__name__}"))

    async def _watch(self) -> None:
        """The latch that somebody else set, and the hold that nobody answered."""
        engine, latch = self._session.engine, self._session.engine.dispatch.latch
        asked = False
        while True:
            latched = latch.read()
            halted = engine.state.ledger.state is TradingState.HALTED
            if engine.changing_state:
                pass  # a resume that is decided but not committed has not taken the latch away yet
            elif latched is not None and not halted and not asked:
                engine.ask(Asked(Verb.HALT, latched.actor, latched.reason))
                asked = True
            elif halted or latched is None:
                asked = False
            held = self._session.client.held_mono
            if held is not None and time.monotonic() - held > HOLD_TIMEOUT_S:
                self._session.client.held_mono = None
                engine.ask(Asked(Verb.PAUSE, "engine", "the kill dialog was not answered"))
            await _next(BEAT_S)

    async def _publish(self) -> None:
        """The newest picture for screens, the status file for other processes, and how late the loop is."""
        loop = asyncio.get_running_loop()
        written, seen, shown = float("-inf"), -1, -1
        lags_ms: deque[float] = deque(maxlen=LAGS)
        while True:
            now = loop.time()
            self._session.client.refresh()
            seq, snapshot = self._session.engine.state.ledger.seq, self._session.client.snapshot()
            number = snapshot.number if snapshot is not None else -1
            due = written + (STATUS_S if number != shown else STATUS_QUIET_S)
            # At once when something happened: `halt --wait` reads it.
            if snapshot is not None and self._writing.done() and (now >= due or seq != seen):
                self._writing.result()
                written, seen, shown = now, seq, number
                text = status.told(snapshot, running=True)
                self._writing = loop.run_in_executor(None, _put, self._session.directory, text)
            worked_s = loop.time() - now  # whatever else is due waits for that, too
            lag_ms = (worked_s + await _next(BEAT_S)) * 1_000
            lags_ms.append(lag_ms)
            self._session.client.lag_ms = max(lags_ms)
            if (meter := self._session.meter) is not None:
                meter.lag_ms = max(meter.lag_ms, lag_ms)

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            if self._session.journal is not None:
                await self._session.journal.heartbeat()

    async def _house(self) -> None:
        """Measure what the engine's next look at the house is to know."""
        meter, looks = self._session.meter, 0
        while meter is not None:
            if looks % DISK_LOOKS == 0:
                await asyncio.to_thread(meter.weigh)
            meter.sample()
            looks += 1
            await _next(HOUSE_S)

    async def _inbox(self) -> None:
        """Commands of other processes: told by NOTIFY, and looked for now and then, which survives every outage."""
        while True:
            await asyncio.sleep(REACH_S)
            try:
                conn = await connect(self._session.dsn, name="quantsail inbox")
            except ConnectError:
                continue
            with contextlib.suppress(*BROKEN):
                await self._serve_inbox(conn)
            with contextlib.suppress(*BROKEN):
                await conn.close()

    async def _serve_inbox(self, conn: Any) -> None:
        asked = asyncio.Event()
        await conn.add_listener(commands.ASKED, lambda *_: asked.set())
        await commands.refuse_left_overs(conn, "the engine ended before it answered")
        while True:
            asked.clear()
            for command in await commands.take(conn):
                done, text = await self._carry_out(command)
                await commands.finish(conn, command.id, done=done, result={"text": text})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(INBOX_S):
                    await asked.wait()

    async def _carry_out(self, command: commands.QueuedCommand) -> tuple[bool, str]:
        """The engine's answer. Arguments are whatever somebody put into the table: wrong ones are refused, not believed."""
        version, target = command.args.get("version", 0), command.args.get("target", "")
        if type(version) is not int or not isinstance(target, str):
            return False, "the command's arguments are not of the kind that its verb takes"
        asked = Asked(Verb(command.verb), command.actor, command.reason, version, target=target)
        self._session.engine.ask(asked)
        return await asked.answer

    async def _market(self) -> None:
        """Keep closed bars and quotes of a live feed. Losing some to an outage costs a chart its line, never a decision."""
        kept = self._session.kept
        while True:
            await asyncio.sleep(MARKET_S)
            if not kept:
                continue
            taken = [kept.popleft() for _ in range(len(kept))]
            try:
                conn = await connect(self._session.dsn, name="quantsail market data")
                try:
                    source = self._session.feed.identity
                    await candles.store(conn, [value for value in taken if isinstance(value, Candle)], source)
                    quotes = [value for value in taken if isinstance(value, Quote)]
                    await ticks.TickWriter(conn).write([ticks.of_quote(quote, source) for quote in quotes])
                finally:
                    await conn.close()
            except (ConnectError, *BROKEN) as error:
                log.warning("market.not_stored", count=len(taken), reason=str(error))

    async def _maintain(self) -> None:
        """Partitions, longer bars, results per day, archive and retention: hourly, and never the engine's concern."""
        from db.maintenance import default_archive, maintain

        await asyncio.sleep(MAINTAIN_FIRST_S)
        archive_to = default_archive(paths.data_home(), self._session.ledger_name)
        while True:
            try:
                report = await maintain(self._session.dsn, now=datetime.now(UTC), archive_to=archive_to)
            except Exception as error:  # whatever it is: a keeper that fails halts the engine, and this is no reason to
                log.warning("maintenance.failed", step="all", reason=" ".join(str(error).split()))
            else:
                for step in report.failed:
                    log.warning("maintenance.failed", step=step.name, reason=step.said)
            await asyncio.sleep(MAINTAIN_S)
