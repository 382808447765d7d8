"""A crash at every border between deciding, committing and acting: the resumed journal is the uninterrupted one, to the byte.

In memory, so that every border of a run with hundreds of orders can be tried; tests/chaos does it with SIGKILL on Postgres.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from db.memory import MemoryStore
from engine.commanding import Asked
from engine.core.config import Config, parse_config
from engine.core.inputs import Candle, Tick
from engine.core.types import MINUTE_US, Verb
from tests.core.worlds import BTC, ETH, START, World
from tests.patience import until_async
from tests.sim.borders import crash_at_every_border

RULES = {
    "schema": 1,
    "indicators": {
        "fast": {"fn": "EMA", "params": {"timeperiod": 3}},
        "slow": {"fn": "EMA", "params": {"timeperiod": 8}},
    },
    "entry_long": {"op": "crosses_above", "left": "fast", "right": "slow"},
    "exit_long": {"op": "crosses_below", "left": "fast", "right": "slow"},
}


def trading_config() -> Config:
    bots = [
        {
            "name": name,
            "strategy": RULES,
            "sizing": {"kind": "percent_equity", "value": size},
            "exits": {
                "stop_loss_pct": stop,
                "take_profit_pct": "1.5",
                "trailing": {"distance_pct": "0.4", "offset_pct": "0.5"},
            },
        }
        for name, size, stop in (("one", "20", "1"), ("two", "10", "0.6"))
    ]
    return parse_config({"schema": 1, "warmup_factor": 2, "bots": bots, "account": {"equity_sample_s": 600}})


def market(bars: int, seed: int) -> list[Candle | Tick]:
    """Two random walks that cross their averages often, merged as a feed merges them."""
    rng = random.Random(seed)
    price = {"BTC/USDT": 30_000.0, "ETH/USDT": 2_000.0}
    out: list[Candle | Tick] = []
    for bar in range(1, bars + 1):
        ts = START + bar * MINUTE_US
        for symbol in sorted(price):
            opening = price[symbol]
            path = [opening := round(opening * (1 + rng.gauss(0, 0.0025)), 2) for _ in range(4)]
            price[symbol] = path[-1]
            out.append(
                Candle(
                    ts=ts,
                    exchange="test",
                    symbol=symbol,
                    timeframe_us=MINUTE_US,
                    open=path[0],
                    high=max(path),
                    low=min(path),
                    close=path[-1],
                    volume=1.0,
                    received_ts=ts,
                )  # fmt: skip
            )
        out.append(Tick(ts=ts))
    return out


async def batches(inputs: Sequence[Candle | Tick], size: int) -> AsyncIterator[Sequence[Candle | Tick]]:
    for start in range(0, len(inputs), size):
        yield inputs[start : start + size]


async def run(
    directory: Path, store: MemoryStore, inputs: Sequence[Candle | Tick], border: object = None, size: int = 50
) -> World:
    world = await World(directory, trading_config(), store=store, instruments=(BTC, ETH), border=border).open()
    await world.engine.feed(batches(inputs, size))
    await world.engine.stop("end of feed")
    return world


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_crash_at_every_border_changes_nothing(tmp_path: Path, seed: int) -> None:
    inputs = market(75, seed)
    whole = await crash_at_every_border(lambda folder, store, border: run(folder, store, inputs, border), tmp_path)
    assert whole.ledger.counts.trades >= 5


async def test_a_ledger_from_a_snapshot_decides_as_one_that_grew(tmp_path: Path) -> None:
    """A snapshot has its keys sorted; no decision may depend on the order of a dictionary."""
    inputs = market(300, 6)
    whole = await run(tmp_path / "whole", MemoryStore(), inputs)
    store = MemoryStore()
    for end in range(60, 300, 12):
        world = World(tmp_path / "parts", trading_config(), store=store, instruments=(BTC, ETH))
        world.through_snapshot = True
        await world.open()
        await world.engine.feed(batches(inputs[: 3 * end], 50))
        await world.engine.stop("part")
    world = World(tmp_path / "parts", trading_config(), store=store, instruments=(BTC, ETH))
    await world.open()
    await world.engine.feed(batches(inputs, 50))
    await world.engine.stop("end")
    assert world.ledger.state_hash() == whole.ledger.state_hash()
    assert [r.hash for r in world.journal.events()] == [r.hash for r in whole.journal.events()]


async def test_the_size_of_batches_changes_nothing(tmp_path: Path) -> None:
    inputs = market(400, 3)
    hashes = set()
    for size in (1, 7, 1_000):
        world = await run(tmp_path / str(size), MemoryStore(), inputs, size=size)
        hashes.add((world.ledger.state_hash(), world.journal.events()[-1].hash))
    assert len(hashes) == 1


async def test_a_second_run_over_the_same_data_adds_nothing(tmp_path: Path) -> None:
    inputs, store = market(200, 4), MemoryStore()
    first = await run(tmp_path, store, inputs)
    events, state = len(store.pairs), first.ledger.state_hash()
    second = await run(tmp_path, store, inputs)
    assert (len(store.pairs), second.ledger.state_hash()) == (events, state)


async def test_a_run_continues_where_the_data_was_longer(tmp_path: Path) -> None:
    inputs = market(300, 5)
    whole = await run(tmp_path / "a", MemoryStore(), inputs)
    store = MemoryStore()
    await run(tmp_path / "b", store, inputs[: 3 * 170])
    parts = await run(tmp_path / "b", store, inputs)
    assert parts.ledger.state_hash() == whole.ledger.state_hash()
    assert [r.hash for r in parts.journal.events()] == [r.hash for r in whole.journal.events()]


async def test_what_is_decided_is_committed_while_the_next_bar_is_awaited(tmp_path: Path) -> None:
    """A screen sees committed events only: they must not wait for the next order to be seen."""
    inputs = market(40, 7)
    seen: list[int] = []

    async def slow() -> AsyncIterator[Sequence[Candle | Tick]]:
        yield inputs[:90]
        await until_async(lambda: not world.engine._pending, "a commit without another bar")
        seen.append(len(world.store.pairs))

    world = await World(tmp_path, trading_config(), instruments=(BTC, ETH)).open()
    await world.engine.feed(slow())
    await world.engine.flush()
    assert seen == [len(world.store.pairs)]


async def test_what_a_command_brings_about_is_committed_before_the_next_bar(tmp_path: Path) -> None:
    """A halt's cancellations are in the journal at once, however long the next bar takes."""
    inputs = market(60, 7)
    halted: list[Candle] = []

    def committed() -> list[str]:
        return [type(event).__name__ for _, event in world.store.pairs]

    async def paused() -> AsyncIterator[Sequence[Candle | Tick]]:
        for value in inputs:
            yield [value]
            if isinstance(value, Candle) and any(o.adds_risk for o in world.ledger.orders.values()):
                await until_async(lambda: not world.engine._pending, "a commit without another bar")
                asked = Asked(Verb.HALT, "tester", "now")
                world.engine.ask(asked)
                await asked.answer
                await until_async(lambda: "OrderCanceled" in committed()[-3:], "a cancellation without another bar")
                halted.append(value)
                return

    world = await World(tmp_path, trading_config(), instruments=(BTC, ETH)).open()
    await world.engine.feed(paused())
    assert halted
