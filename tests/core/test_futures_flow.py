"""Futures, funding and dust through the whole loop: bot, gates, paper venue, journal in memory, replay."""

from __future__ import annotations

from decimal import Decimal as D
from pathlib import Path

import pytest

from engine.core import events as ev
from engine.core.fold import evolve
from engine.core.inputs import Funding
from engine.core.ledger import Ledger
from engine.core.types import MINUTE_US
from tests.core.books import PERP, instrument
from tests.core.worlds import START, World, config, kinds

EXITS = {"stop_loss_pct": None, "take_profit_pct": None, "trailing": None}


async def entered(directory: Path, leverage: str, mode: str = "ISOLATED", taker: str = "0") -> World:
    bot = {
        "exits": EXITS,
        "margin": {"leverage": leverage, "mode": mode},
        "sizing": {"kind": "fixed_quantity", "value": "1"},
    }
    costs = {"maker_bps": taker, "taker_bps": taker, "slippage_bps": "0", "liquidation_bps": "10"}
    limits = {"daily_loss_pct": {}, "max_drawdown_pct": {}, "max_gross_exposure_pct": {}}
    world = await World(
        directory, config(bot=bot, costs=costs, account={"limits": limits}), instruments=(PERP,), balance=D(60)
    ).open()
    await world.candle(99, 102, 98, 101, symbol=PERP.symbol)
    await world.candle(101, 102, 100, 100.5, symbol=PERP.symbol)
    assert len(world.ledger.positions) == 1
    return world


def replayed(world: World) -> str:
    again = Ledger()
    for _, event in world.store.pairs:
        evolve(again, ev.decode(ev.encode(event)))
    return again.state_hash()


@pytest.mark.parametrize(("leverage", "mode"), [("20", "ISOLATED"), ("5", "ISOLATED"), ("20", "CROSS")])
async def test_a_bar_that_reaches_the_price_liquidates(leverage: str, mode: str, tmp_path: Path) -> None:
    world = await entered(tmp_path, leverage, mode)
    (position,) = world.ledger.positions.values()
    price, margin = position.liquidation_price, position.margin
    assert price is not None and D(1) < price < D(100)
    above = await world.candle(100, 101, float(price) + 0.5, 100, symbol=PERP.symbol)
    assert "PositionLiquidated" not in kinds(above)
    events = await world.candle(100, 101, float(price) - 0.5, 99, symbol=PERP.symbol)
    assert [k for k in kinds(events) if k != "SignalGenerated"][:5] == [
        "PositionLiquidated",
        "OrderAdopted",
        "OrderFilled",
        "AlertTriggered",
        "PositionClosed",
    ]
    account = world.ledger.account
    fill = next(e for e in events if isinstance(e, ev.OrderFilled))
    assert account.cash == D(60) + fill.pnl - fill.fee
    if mode == "ISOLATED":
        assert D(60) - account.cash <= margin  # what stood for it, and not more
    assert replayed(world) == world.ledger.state_hash()


async def test_funding_is_paid_by_who_holds_and_survives_a_restart(tmp_path: Path) -> None:
    world = await entered(tmp_path, "2")
    boundary = Funding(ts=START + world.bar * MINUTE_US, exchange="test", symbol=PERP.symbol, rate=0.001, mark=100.0)
    await world.engine.play([boundary])
    assert kinds(await world.news()) == ["FundingPaid", "MarginChanged"]
    await world.engine.play([boundary])
    assert kinds(await world.news()) == []
    assert world.ledger.account.cash == D("59.9")
    world.journal.abandon()
    again = await World(tmp_path, store=world.store, instruments=(PERP,)).open()
    assert again.ledger.account.funding == D("-0.1")
    again._seen = len(again.store.pairs)
    await again.engine.play([boundary])
    assert kinds(await again.news()) == []


async def test_live_funding_stands_behind_the_last_input_however_late_it_comes(tmp_path: Path) -> None:
    world = await entered(tmp_path, "2")
    last = world.engine.place
    world.engine.clock_us = lambda: START + 3_600_000_000
    ts = START + world.bar * MINUTE_US
    late = Funding(ts=ts, exchange="test", symbol=PERP.symbol, rate=0.001, mark=100.0)
    assert late.cause.place < last.place  # by its own time it would stand before the bar
    await world.engine.play([late])
    paid = [e for e in await world.news() if isinstance(e, ev.FundingPaid)]
    assert len(paid) == 1 and world.ledger.cursor.place >= last.place
    other = Funding(ts=ts, exchange="test", symbol="ETH/USDT:USDT", rate=0.001, mark=100.0, after=paid[0].cause)
    assert other.cause != paid[0].cause  # two symbols at one boundary are two inputs


async def test_a_fee_in_base_lets_paper_meet_dust(tmp_path: Path) -> None:
    """Bought 1, kept 0.999, sold 0.99 of it by the stop: what no order can sell stays with the account, at its cost."""
    rules = instrument("BTC/USDT", fee_in_base=True, lot_size=D("0.01"), min_quantity=D("0.01"))
    costs = {"maker_bps": "10", "taker_bps": "10", "slippage_bps": "0"}
    world = await World(tmp_path, config(costs=costs), instruments=(rules,)).open()
    await world.candle(99, 102, 98, 101)
    events = await world.candle(101, 102, 90, 91)
    fills = [e for e in events if isinstance(e, ev.OrderFilled)]
    assert [(e.quantity, e.fee_currency) for e in fills] == [(D(1), "BTC"), (D("0.99"), "USDT")]
    kept = next(e for e in events if isinstance(e, ev.DustKept))
    assert (kept.quantity, kept.cost, kept.reason) == (D("0.009"), D("0.909"), "STOP")
    closed = next(e for e in events if isinstance(e, ev.PositionClosed))
    assert closed.reason == "STOP" and not world.ledger.positions and not world.ledger.orders
    account = world.ledger.account
    assert account.cash == D(10_000) - 101 + D("0.99") * fills[1].price - fills[1].fee
    assert replayed(world) == world.ledger.state_hash()
