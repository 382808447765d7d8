"""Long, short and their reversal on a future; adding to a position; resting entries; every kind of exit plan, both ways."""

from __future__ import annotations

from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from engine.core import events as ev
from engine.core.strategy import ENTER_LONG, ENTER_SHORT, EXIT_LONG, EXIT_SHORT
from engine.core.types import PositionSide
from tests.core.test_bots import bot, world_of
from tests.core.worlds import PERP, World

S = "BTC/USDT:USDT"
BARE = {"stop_loss_pct": None, "take_profit_pct": None, "trailing": None}


async def perp(directory: Path, *script: Any, **more: Any) -> World:
    return await world_of(directory, bot("a", *script, **more), instruments=(PERP,))


async def bars(world: World, *rows: tuple[float, float, float, float]) -> list[ev.Event]:
    out: list[ev.Event] = []
    for row in rows:
        out += await world.candle(*row, symbol=S)
    return out


def of(events: list[ev.Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


FLAT = (100.0, 101.0, 99.0, 100.0)


async def test_a_short_profits_from_a_fall_and_its_exits_are_mirrored(tmp_path: Path) -> None:
    world = await perp(tmp_path, ENTER_SHORT)
    events = await bars(world, FLAT, FLAT)
    position = next(iter(world.ledger.positions.values()))
    assert (position.side, position.quantity, position.entry_price) == (PositionSide.SHORT, D(1), D(100))
    exits = [o for o in of(events, ev.OrderSubmitted) if o.reduce_only]
    assert [(o.role, o.side, o.stop_price, o.price) for o in exits] == [
        ("STOP", "BUY", D("102.00"), None),
        ("TAKE_PROFIT", "BUY", None, D("96.00")),
    ]
    closed = of(await bars(world, (99, 99, 95, 95)), ev.PositionClosed)
    assert (closed[0].exit_price, closed[0].realized_pnl) == (D("96.00"), D("4.00"))
    assert world.ledger.account.cash == D("10004.00")


async def test_a_reversal_closes_and_opens_the_other_side(tmp_path: Path) -> None:
    world = await perp(tmp_path, ENTER_LONG, 0, EXIT_LONG | ENTER_SHORT)
    events = await bars(world, FLAT, FLAT, FLAT, FLAT)
    assert [p.side for p in world.ledger.positions.values()] == [PositionSide.SHORT]
    assert [c.side for c in of(events, ev.PositionClosed)] == [PositionSide.LONG]


@pytest.mark.parametrize(
    "signal",
    [ENTER_LONG | EXIT_LONG, ENTER_SHORT | EXIT_SHORT, ENTER_LONG | ENTER_SHORT, ENTER_LONG | ENTER_SHORT | EXIT_LONG],
)
async def test_contradictory_signals_enter_nothing(tmp_path: Path, signal: int) -> None:
    world = await perp(tmp_path, signal)
    assert of(await bars(world, FLAT, FLAT), ev.OrderSubmitted) == []


async def test_a_short_beside_a_long_needs_hedge_mode(tmp_path: Path) -> None:
    script = (ENTER_LONG, 0, ENTER_SHORT)
    netting = await perp(tmp_path / "n", *script)
    await bars(netting, FLAT, FLAT, FLAT, FLAT)
    assert [p.side for p in netting.ledger.positions.values()] == [PositionSide.LONG]
    hedge = await perp(tmp_path / "h", *script, margin={"position_mode": "HEDGE"})
    await bars(hedge, FLAT, FLAT, FLAT, FLAT)
    assert {p.side for p in hedge.ledger.positions.values()} == {PositionSide.LONG, PositionSide.SHORT}


async def test_more_entries_go_into_the_same_position_up_to_the_limit(tmp_path: Path) -> None:
    world = await perp(tmp_path, *[ENTER_LONG] * 6, entry={"max_per_position": 2}, exits=BARE)
    await bars(world, FLAT, FLAT, FLAT, FLAT, FLAT)
    position = next(iter(world.ledger.positions.values()))
    assert (position.quantity, position.entries, len(world.ledger.positions)) == (D(2), 2, 1)


async def test_a_resting_entry_fills_at_its_price_or_times_out(tmp_path: Path) -> None:
    entry = {"order_type": "LIMIT", "offset_bps": "100", "valid_min": 2}
    world = await perp(tmp_path, ENTER_LONG, 0, 0, 0, ENTER_LONG, entry=entry, exits=BARE)
    events = await bars(world, FLAT, *[(100, 101, 99.5, 100)] * 3)
    assert [e.reason for e in of(events, ev.OrderCanceled)] == ["timed out"]
    fills = of(await bars(world, FLAT, (100, 101, 98, 100)), ev.OrderFilled)
    assert [(f.price, f.liquidity) for f in fills] == [(D("99.00"), "MAKER")]


async def test_partial_targets_leave_step_by_step(tmp_path: Path) -> None:
    exits = BARE | {
        "stop_loss_pct": "2",
        "take_profit_pct": "3",
        "targets": [{"profit_pct": "1", "close_pct": "50"}, {"profit_pct": "2", "close_pct": "25"}],
    }
    world = await perp(tmp_path, ENTER_LONG, exits=exits)
    await bars(world, FLAT, (100, 100.5, 99, 100))
    assert {o.role: o.quantity for o in world.ledger.orders.values()} == {
        "STOP": D(1),
        "TARGET_1": D("0.5"),
        "TARGET_2": D("0.25"),
        "TAKE_PROFIT": D("0.25"),
    }
    await bars(world, (100, 101.5, 100, 101))
    assert {o.role: o.quantity for o in world.ledger.orders.values()} == {
        "STOP": D("0.5"),
        "TARGET_2": D("0.25"),
        "TAKE_PROFIT": D("0.25"),
    }
    closed = of(await bars(world, (101, 104, 101, 103)), ev.PositionClosed)
    assert closed[0].realized_pnl == D("0.5") * 1 + D("0.25") * 2 + D("0.25") * 3
    assert not world.ledger.orders


async def test_the_stop_goes_to_break_even_and_never_back(tmp_path: Path) -> None:
    exits = BARE | {"stop_loss_pct": "5", "break_even": {"trigger_pct": "1", "offset_pct": "0.2"}}
    world = await perp(tmp_path, ENTER_SHORT, exits=exits)
    await bars(world, FLAT, (100, 100.5, 99.5, 100))
    assert [o.stop_price for o in world.ledger.orders.values()] == [D("105.00")]
    await bars(world, (100, 100, 98.9, 99.5))
    assert [o.stop_price for o in world.ledger.orders.values()] == [D("99.80")]
    closed = of(await bars(world, (99.5, 99.9, 99.4, 99.6)), ev.PositionClosed)
    assert (closed[0].exit_price, closed[0].realized_pnl) == (D("99.80"), D("0.20"))


async def test_the_ladder_steps_down_with_age(tmp_path: Path) -> None:
    exits = BARE | {"ladder": {"0": "4", "2": "2", "4": "1"}}
    world = await perp(tmp_path, ENTER_LONG, exits=exits)
    await bars(world, FLAT, FLAT)
    prices = []
    for _ in range(5):
        prices += [o.price for o in world.ledger.orders.values()]
        await bars(world, (100, 100.5, 99.5, 100))
    assert prices == [D("104.00"), D("104.00"), D("102.00"), D("102.00"), D("101.00")]


async def test_a_position_is_left_by_time(tmp_path: Path) -> None:
    world = await perp(tmp_path, ENTER_LONG, exits=BARE | {"time_stop_min": 3})
    events = await bars(world, *[FLAT] * 7)
    closed = of(events, ev.PositionClosed)
    assert [c.reason for c in closed] == ["TIME_STOP"]
    assert closed[0].ts - of(events, ev.PositionOpened)[0].ts == 4 * 60_000_000


async def test_trailing_tightens_with_the_offset_and_mirrors_for_shorts(tmp_path: Path) -> None:
    trailing = {"distance_pct": "2", "offset_pct": "3", "positive_distance_pct": "1", "only_after_offset": False}
    world = await perp(tmp_path, ENTER_SHORT, exits=BARE | {"stop_loss_pct": "5", "trailing": trailing})
    await bars(world, FLAT, (100, 100.5, 99.5, 100))
    stops = [next(iter(world.ledger.orders.values())).stop_price]
    for low in (99, 98, 96.9, 97.5):
        await bars(world, (low, low + 0.3, low, low))
        stops.append(next(iter(world.ledger.orders.values())).stop_price)
    assert stops == [D("101.49"), D("100.98"), D("99.96"), D("97.87"), D("97.87")]


async def test_trailing_by_average_true_range(tmp_path: Path) -> None:
    trailing = {"atr_multiple": "2", "atr_period": 3, "offset_pct": "0", "only_after_offset": False}
    world = await perp(tmp_path, 0, 0, 0, 0, ENTER_LONG, exits=BARE | {"stop_loss_pct": "10", "trailing": trailing})
    await bars(world, *[(100, 101, 99, 100)] * 6)  # the true range is 2 on every bar
    await bars(world, (100, 102, 100, 101))
    assert [o.stop_price for o in world.ledger.orders.values()] == [D("98.00")]


async def test_exit_signals_can_be_switched_off(tmp_path: Path) -> None:
    world = await perp(tmp_path, ENTER_LONG, 0, EXIT_LONG, exits=BARE | {"use_exit_signal": False})
    assert of(await bars(world, *[FLAT] * 5), ev.PositionClosed) == []
