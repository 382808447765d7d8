"""The fill model inside the engine: ticks fill what bars have decided, a liquidation is booked, a killed engine goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from db.memory import MemoryStore
from engine.core import events as ev
from engine.core.inputs import Candle, Mark, Quote, Tick, Trade
from engine.core.types import MINUTE_US, InstrumentKind, MarginTier, Side
from tests.core.worlds import BTC, START, World, config, kinds

D = Decimal
TICKS = {"evidence": "ticks", "latency_ms": 50, "jitter_ms": 20}
AT = {"exchange": "test", "symbol": "BTC/USDT"}
PERP = msgspec.structs.replace(
    BTC,
    kind=InstrumentKind.LINEAR,
    margin_tiers=(MarginTier(floor=D(0), cap=None, maintenance_rate=D("0.01"), cum=D(0), max_leverage=D(50)),),
)


def bar(n: int, o: float, h: float, low: float, c: float) -> list[Candle | Tick]:
    ts = START + n * MINUTE_US
    candle = Candle(ts=ts, **AT, timeframe_us=MINUTE_US, open=o, high=h, low=low, close=c, volume=9.0, received_ts=ts)
    return [candle, Tick(ts=ts)]


def quote(n: int, s: int, bid: float, size: float = 5.0) -> Quote:
    ts = START + n * MINUTE_US + s * 1_000_000
    return Quote(ts=ts, **AT, bid=bid, ask=bid + 0.5, bid_size=size, ask_size=size, received_ts=ts)


def trade(n: int, s: int, price: float, size: float, side: str) -> Trade:
    ts = START + n * MINUTE_US + s * 1_000_000
    return Trade(ts=ts, **AT, price=price, size=size, aggressor=Side(side), received_ts=ts)


STORY: list[Any] = [
    *bar(1, 99, 102, 99, 101),  # buys
    quote(1, 1, 101, 0.4),  # fills 0.4 at 101.5, the rest five ticks beyond
    quote(1, 2, 102),
    trade(1, 3, 102, 1, "BUY"),
    *bar(2, 101, 103, 80, 101),  # would stop it out, if bars filled anything
    quote(2, 1, 105.5, 3),
    trade(2, 2, 105.5, 2, "BUY"),  # the target, 4 % above, waits in the queue: only through it there is a fill
    trade(2, 3, 106, 0.3, "BUY"),
    trade(2, 4, 106, 5, "BUY"),
    *bar(3, 101, 103, 101, 102),
    quote(3, 1, 102),
    quote(3, 2, 99),
    trade(3, 3, 99.5, 1, "SELL"),  # through the stop
    *bar(4, 99, 99, 98, 98),
]


async def test_ticks_fill_what_bars_decided(tmp_path: Path) -> None:
    world = await World(tmp_path, config(costs=TICKS)).open()
    await world.engine.play(STORY[:2])
    assert "OrderFilled" not in kinds(await world.news())
    await world.engine.play(STORY[2:3])
    fills = [e for e in await world.news() if isinstance(e, ev.OrderFilled)]
    assert [(f.quantity, f.price) for f in fills] == [(D("0.4"), D("101.5")), (D("0.6"), D("101.55"))]
    await world.engine.play(STORY[3:])
    closed = [e for e in await world.news() if isinstance(e, ev.PositionClosed)]
    assert [c.reason for c in closed] == ["TAKE_PROFIT", "STOP"]
    assert closed[0].exit_price == D("105.60") and not world.ledger.positions


@pytest.mark.parametrize("killed_after", range(1, len(STORY)))
async def test_an_engine_killed_between_any_two_inputs_goes_on(tmp_path: Path, killed_after: int) -> None:
    async def batches() -> AsyncIterator[list[Any]]:
        yield STORY

    whole = await World(tmp_path / "whole", config(costs=TICKS)).open()
    await whole.engine.feed(batches())
    await whole.engine.flush()
    store = MemoryStore()
    first = await World(tmp_path / "killed", config(costs=TICKS), store=store).open()
    await first.engine.play(STORY[:killed_after])
    store.holder = None  # a killed engine lets go of its lock
    second = await World(tmp_path / "killed", config(costs=TICKS), store=store).open()
    await second.engine.feed(batches())
    await second.engine.flush()
    assert [e for _, e in store.pairs] == [e for _, e in whole.store.pairs]
    assert second.ledger.state_hash() == whole.ledger.state_hash()


async def test_a_liquidation_goes_through_the_books(tmp_path: Path) -> None:
    exits = {"stop_loss_pct": None, "take_profit_pct": "90", "trailing": None}
    conf = config(bot={"exits": exits, "margin": {"leverage": "20"}}, costs={"liquidation_bps": "50"})
    world = await World(tmp_path, conf, instruments=(PERP,)).open()
    await world.engine.play([*bar(1, 99, 102, 99, 101), *bar(2, 101, 103, 101, 102)])
    (position,) = world.ledger.positions.values()
    level = position.liquidation_price
    assert level is not None and D(96) < level < D(98)
    await world.news()
    await world.engine.play([Mark(ts=START + 2 * MINUTE_US + 1, **AT, price=float(level) + 0.01)])
    assert kinds(await world.news()) == []
    await world.engine.play([Mark(ts=START + 2 * MINUTE_US + 2, **AT, price=96.0)])
    said = await world.news()
    assert {"PositionLiquidated", "OrderAdopted", "OrderFilled", "PositionClosed", "OrderCanceled"} <= set(kinds(said))
    (fill,) = [e for e in said if isinstance(e, ev.OrderFilled)]
    assert fill.price == 96 and fill.fee == 96 * D("0.005") and not world.ledger.positions
    assert not world.ledger.orders
