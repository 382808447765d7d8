"""What is measured in a fresh process of its own: `python -m tests.bench.jobs NAME [ARGUMENT...]` prints one JSON object.

core [FILE...]       candles a second of the engine on the journal in memory; without files, a simulated market
journal              commits and events a second of the journal on Postgres
server               milliseconds of the embedded server's first and second start
chart                milliseconds to draw charts, ours and plain plotext's
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SIMULATED_DAYS = 16


async def core(files: Sequence[str]) -> dict[str, float]:
    """The engine as it runs on Postgres, but for the journal; loading and warm-up are not counted."""
    from engine.core.config import default_config
    from engine.core.types import Mode
    from engine.feeds.base import Pacer
    from engine.feeds.replay import ReplayFeed
    from engine.feeds.simulated import SimulatedFeed
    from screenshots.stage import Stage, scratch

    pacer = Pacer(None)
    feed = ReplayFeed.open(files, pacer) if files else SimulatedFeed(7, SIMULATED_DAYS, pacer)
    inputs = [list(chunk) for chunk in feed.chunks()]
    with scratch() as folder:
        stage = Stage(feed, pacer, Path(folder), [(default_config(), "")], seed=7, mode=Mode.PAPER)
        await stage.open(watched=False)

        async def batches() -> Any:
            for chunk in inputs:
                yield chunk

        start = time.perf_counter()
        await stage.engine.feed(batches())
        await stage.engine.flush()
        spent = time.perf_counter() - start
        ledger = stage.engine.state.ledger
        return {
            "candles": feed.total or 0,
            "seconds": spent,
            "events": len(stage.journal.store.pairs),
            "trades": ledger.counts.trades,
        }


async def journal() -> dict[str, float]:
    """The journal of a seeded run, written again to a fresh database in appends of 1, 10 and 500 events."""
    from db.embedded import EmbeddedServer
    from db.journal import PgJournal
    from db.migrate import migrate
    from engine.core.config import default_config
    from engine.core.fold import evolve
    from screenshots.stage import scratch, simulated

    with scratch() as folder:
        stage = await simulated(7, Path(folder), [(default_config(), "")])
        await stage.play(SIMULATED_DAYS * 1_440 * 4)
        pairs = stage.journal.store.pairs
    rates: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as home, EmbeddedServer(Path(home)) as server:
        for size, most in ((1, 600), (10, 3_000), (500, len(pairs))):
            name = f"bench_{size}"
            server.create_database(name)
            await migrate(server.dsn(name, "qs_admin"))
            sink = PgJournal(server.dsn(name), ledger_dir=Path(home))
            ledger = (await sink.open()).ledger
            spent, appends, written = 0.0, 0, 0
            for at in range(0, min(most, len(pairs)), size):
                batch = pairs[at : at + size]
                for _, event in batch:
                    evolve(ledger, event)
                start = time.perf_counter()
                await sink.append(ledger.seq, batch, ledger)
                spent += time.perf_counter() - start
                ledger.seq += len(batch)
                appends += 1
                written += len(batch)
            await sink.close("measured")
            (Path(home) / "anchors.jsonl").unlink(missing_ok=True)
            rates[f"commits_{size}"] = appends / spent
            rates[f"events_{size}"] = written / spent
    return rates


def server() -> dict[str, float]:
    """From nothing to a server that answers, and again after it was stopped."""
    from db.embedded import EmbeddedServer

    spent = []
    with tempfile.TemporaryDirectory() as home:
        for _ in range(2):
            start = time.perf_counter()
            with EmbeddedServer(Path(home)) as running:
                running.databases()
                spent.append((time.perf_counter() - start) * 1e3)
    return {"first_ms": spent[0], "again_ms": spent[1]}


def main(name: str, arguments: Sequence[str]) -> dict[str, float]:
    match name:
        case "core":
            return asyncio.run(core(arguments))
        case "journal":
            return asyncio.run(journal())
        case "server":
            return server()
        case "chart":
            from tests.bench.charting import chart

            return chart()
        case _:
            raise SystemExit(f"no job is called {name}; see the top of tests/bench/jobs.py")


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2:])))
