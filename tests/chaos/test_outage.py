"""The database goes away under a live paper engine: killed, frozen, gone for good. The session is the real one; the market is ours."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from db import configs, journal, outage as patience, rebuild, verify
from db.connect import connect
from db.embedded import EmbeddedServer, PgBinaries
from db.fold import fold
from db.migrate import migrate
from engine import app, keepers, paths
from engine.app import Session
from engine.core.config import canonical, config_sha256
from engine.core.inputs import Candle
from engine.core.types import MINUTE_US, Mode, TradingState, Verb
from engine.feeds.base import FeedInput
from engine.halt import Latch
from engine.local import LocalClient
from engine.options import Options
from engine.ports import JournalUnavailable
from tests.core.worlds import BTC, START, config
from tests.patience import until_async
from tests.servers import hurry


class Market:
    """A live feed that gives what the test gives it; its clock is that of its last bar."""

    identity, slug, status = "live:test", "live_test", "ok"
    timeframe_us = MINUTE_US
    instruments = (BTC,)
    gaps: tuple[Any, ...] = ()
    total = first_ts = last_ts = None

    def __init__(self) -> None:
        self.bar = 0
        self._given: asyncio.Queue[list[FeedInput]] = asyncio.Queue()

    @property
    def now(self) -> int:
        return START + self.bar * MINUTE_US

    async def history(self, bars: int) -> Sequence[Candle]:
        return ()

    async def batches(self, start_after: int | None = None) -> AsyncIterator[Sequence[FeedInput]]:
        while True:
            yield await self._given.get()

    def give(self, o: float, h: float, low: float, c: float) -> None:
        self.bar += 1
        ts = self.now
        self._given.put_nowait(
            [Candle(ts=ts, exchange=BTC.exchange, symbol=BTC.symbol, timeframe_us=MINUTE_US, open=o, high=h, low=low, close=c,
                    volume=1.0, received_ts=ts)]
        )  # fmt: skip

    async def close(self) -> None:
        return None


class Desk:
    """A running session, its client, its market."""

    def __init__(self, session: Session, market: Market) -> None:
        self.session, self.client, self.market = session, session.client, market
        self.ledger = session.engine.state.ledger
        self.serving = asyncio.create_task(session.serve())

    async def settled(self, look: Callable[[], object], what: str) -> None:
        await until_async(lambda: self.serving.done() or bool(look()), what)
        assert not self.serving.done(), self.serving

    async def bar(self, o: float, h: float, low: float, c: float) -> None:
        """The next minute, until the engine has taken it in."""
        self.market.give(o, h, low, c)
        candles = self.session.engine.state.market
        before = candles.candles
        await self.settled(lambda: candles.candles > before, "a bar is played")

    async def ask(self, verb: Verb, reason: str = "") -> Any:
        return await asyncio.wrap_future(self.client.submit(verb, actor="tester", reason=reason))

    @property
    def is_down(self) -> bool:
        return self.client.down_mono is not None

    @property
    def shown_down(self) -> float:
        """Since when the picture says that the database is down (monotonic, s); 0.0 when it does not."""
        snapshot = self.client.snapshot()
        return (snapshot.database_down_mono or 0.0) if snapshot is not None else 0.0

    async def stop(self) -> None:
        self.session.stop("done")
        await self.serving


@pytest.fixture
def server(tmp_path: Path, pg_binaries: PgBinaries) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path / "pg", pg_binaries) as started:
        yield hurry(started)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepers, "HEARTBEAT_S", 0.5)
    monkeypatch.setattr(patience, "PATIENCE_S", 1.0)
    monkeypatch.setattr(patience, "LAST_S", 1.0)


@asynccontextmanager
async def desk(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    market = Market()
    conn = await connect(url)
    try:
        if not await configs.list(conn):
            conf = config()
            await configs.new(conn, canonical(conf).decode(), config_sha256(conf), "tester", "")
        else:
            market.bar = (
                int(await conn.fetchval("select max((payload->>'ts')::bigint) from qs.events") - START) // MINUTE_US
            )
    finally:
        await conn.close()
    monkeypatch.setattr(app, "make_feed", lambda options: (market, None, Mode.PAPER))
    session = Session(Options(live_data="test", database_url=url), LocalClient())
    await session.boot()
    session.engine.clock_us = lambda: market.now
    running = Desk(session, market)
    try:
        yield running
    except BaseException:
        running.session.stop("failed")
        await asyncio.wait({running.serving})
        raise
    if not running.serving.done():
        await running.stop()


async def prepared(server: EmbeddedServer) -> str:
    server.create_database("live")
    await migrate(server.dsn("live", "qs_admin"))
    return server.dsn("live")


def processes(server: EmbeddedServer) -> list[int]:
    """The postmaster and all that it started."""
    postmaster = server.pid
    assert postmaster is not None
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    return [postmaster, *map(int, children)]


def kill(server: EmbeddedServer) -> Callable[[], None]:
    for pid in processes(server):
        os.kill(pid, signal.SIGKILL)
    return lambda: bool(server.ensure()) and None


def freeze(server: EmbeddedServer) -> Callable[[], None]:
    """It accepts connections (the kernel does), and answers nothing."""
    frozen = processes(server)
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)

    def thaw() -> None:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)

    return thaw


async def written_hashes(url: str) -> dict[int, bytes]:
    """Of every event that the database has, by seq."""
    conn = await connect(url)
    try:
        return {r["seq"]: bytes(r["hash"]) for r in await conn.fetch("select seq, hash from qs.events")}
    finally:
        await conn.close()


async def in_a_position(desk: Desk) -> None:
    """One position, bought by the rules, with its stop and its target resting."""
    await desk.bar(99, 102, 98, 101)
    await desk.bar(101, 101.5, 100.5, 99)
    await desk.settled(lambda: desk.ledger.positions, "a position")


@pytest.mark.parametrize("goes_away", [kill, freeze])
async def test_entries_stop_exits_go_on_and_the_journal_catches_up(
    server: EmbeddedServer, goes_away: Callable[[EmbeddedServer], Callable[[], None]], quick: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    url = await prepared(server)
    async with desk(url, monkeypatch) as live:
        await in_a_position(live)
        begun = time.monotonic()
        denied = live.ledger.counts.denied
        back = goes_away(server)
        await live.settled(lambda: live.is_down, "the outage is told, though nothing is to be written")
        await live.bar(99, 99.5, 90, 95)  # through the stop
        await live.settled(lambda: not live.ledger.positions, "the exit")
        sent = live.session.engine.dispatch.sent
        await live.bar(99, 103, 98, 102)  # what the rules buy
        await live.bar(102, 104, 101, 103)
        assert live.session.engine.dispatch.sent == sent and not live.ledger.positions
        refused = [order.reason for order in live.ledger.closed_orders.values() if order.status == "REJECTED"]
        assert refused or live.ledger.counts.denied > denied, "an entry was proposed"
        assert all("the database is down" in reason for reason in refused)
        done = await live.ask(Verb.HALT, "the database is gone")
        assert done.done and live.ledger.state is TradingState.HALTED
        assert Latch(paths.ledger_dir(live.session.ledger_name)).read() is not None
        await live.settled(lambda: live.shown_down, "a picture says it, with its age")
        assert begun - 5 < live.shown_down <= time.monotonic()
        assert live.session.journal is not None and live.session.journal.kept > 0
        newest = live.client.events(0)[-1].seq
        assert newest == live.ledger.seq  # what is decided is shown, also while it is only in memory
        back()
        await live.settled(lambda: not live.is_down, "it is back")
        assert live.session.journal.kept == 0
        hashes = {e.seq: e.hash for e in live.client.events(0)}
        state = live.ledger.state_hash()
    conn = await connect(url)
    try:
        folded = await fold(conn)
    finally:
        await conn.close()
    written = await written_hashes(url)
    assert folded.ledger.state is TradingState.HALTED and not folded.ledger.positions
    assert folded.ledger.state_hash() == state or folded.ledger.seq > newest
    assert {seq: written[seq] for seq in hashes} == hashes
    assert (await verify.verify(url, paths.ledger_dir("x").with_name(live.session.ledger_name) / "anchors.jsonl")).ok
    assert (await rebuild.would_change(server.dsn("live", "qs_admin")))[1] == []


async def test_a_server_that_freezes_within_a_transaction_holds_nothing_up(
    server: EmbeddedServer, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await prepared(server)
    async with desk(url, monkeypatch) as live:
        await in_a_position(live)
        write, thaws = journal.Projection.write, []

        async def freezing(self: Any, *args: Any) -> None:
            """The events are appended, not committed; then the server answers nothing, a rollback neither."""
            if not thaws:
                thaws.append(freeze(server))
            await write(self, *args)

        monkeypatch.setattr(journal.Projection, "write", freezing)
        try:
            await live.bar(99, 99.5, 90, 95)  # through the stop
            await live.settled(lambda: live.is_down and not live.ledger.positions, "the exit, in memory")
            assert (await asyncio.wait_for(live.ask(Verb.HALT, "it hangs"), 30)).done
        finally:
            thaws[0]()
        await live.settled(lambda: not live.is_down, "it is back")
        hashes = {e.seq: e.hash for e in live.client.events(0)}
    written = await written_hashes(url)
    assert {seq: written[seq] for seq in hashes} == hashes


async def test_a_batch_that_arrived_though_its_answer_was_lost_is_recognised(
    server: EmbeddedServer, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await prepared(server)
    async with desk(url, monkeypatch) as live:
        await in_a_position(live)
        inner = live.session.journal and live.session.journal.inner
        assert inner is not None
        commit, lost, gate = inner._commit, [], asyncio.Event()

        async def deaf(batch: Any, ledger: Any) -> None:
            """The real commit; of the first, the answer gets lost, and what follows waits until more is kept."""
            if lost:
                await gate.wait()
            await commit(batch, ledger)
            if not lost:
                lost.append(batch.chain.seq)
                raise JournalUnavailable("the answer was lost")

        monkeypatch.setattr(inner, "_commit", deaf)
        await live.bar(99, 99.5, 90, 95)  # through the stop: several batches
        await live.settled(lambda: not live.ledger.positions, "the exit")
        assert lost and live.ledger.seq > lost[0] and live.is_down
        assert (await live.ask(Verb.HALT, "while it is away")).done
        gate.set()
        await live.settled(lambda: not live.is_down, "it is back")
        hashes = {e.seq: e.hash for e in live.client.events(0)}
    written = await written_hashes(url)
    assert {seq: written[seq] for seq in hashes} == hashes


async def test_a_database_that_never_comes_back_loses_what_was_only_in_memory_and_says_so(
    server: EmbeddedServer, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await prepared(server)
    async with desk(url, monkeypatch) as live:
        await in_a_position(live)
        durable = live.ledger.seq
        back = kill(server)
        await live.settled(lambda: live.is_down, "the outage is told")
        await live.bar(99, 99.5, 90, 95)
        await live.settled(lambda: not live.ledger.positions, "the exit")
        assert (await live.ask(Verb.HALT, "gone")).done
        with pytest.raises(
            JournalUnavailable, match=r"only in memory and are lost; the ledger is as of event [\d,]+\."
        ):
            await live.stop()
    back()
    async with desk(url, monkeypatch) as again:
        assert (
            again.ledger.seq >= durable and len(again.ledger.positions) == 1
        )  # as of the last commit: the exit is gone
        assert again.ledger.state is TradingState.HALTED  # the latch knew
        await again.settled(lambda: again.client.snapshot() is not None, "a picture")
