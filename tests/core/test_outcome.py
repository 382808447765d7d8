"""What a person is told of a command: whether it was done, what it still waits for, and what it speaks to."""

from __future__ import annotations

import asyncio
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from engine.client import Outcome
from engine.core import events as ev
from engine.core.types import Verb, entity_id
from engine.local import LocalClient
from engine.publish import bots
from tests.core.worlds import LEDGER_ID, World

BOT = entity_id(LEDGER_ID, "bot", "probe")


async def holding(tmp_path: Path) -> World:
    """A world with a position and its two exits."""
    world = await World(tmp_path).open()
    await world.candle(99, 102, 98, 101)
    await world.candle(101, 102, 100, 101)
    assert len(world.ledger.positions) == 1 and len(world.ledger.orders) == 2
    return world


async def said(world: World, verb: Verb, **more: str) -> tuple[bool, str]:
    answer, _ = await world.command(verb, more.pop("reason", "why"), **more)
    return answer


async def test_stops_of_the_account_and_of_a_bot(tmp_path: Path) -> None:
    world = await holding(tmp_path)
    assert await said(world, Verb.HOLD) == (True, "entries are held")
    assert await said(world, Verb.RELEASE) == (True, "entries are released")
    assert await said(world, Verb.PAUSE, target="probe") == (True, "bot probe is PAUSED")
    assert await said(world, Verb.PAUSE, target=BOT) == (
        False,
        "trading is PAUSED already, which is at least as strict",
    )
    assert world.ledger.state == "ACTIVE"
    assert await said(world, Verb.HALT, target="probe") == (True, "bot probe is HALTED")
    assert not world.engine.dispatch.latch.is_set()
    assert await said(world, Verb.RESUME, target="probe") == (True, "bot probe is ACTIVE")
    assert await said(world, Verb.PAUSE, target="prob") == (False, "there is no bot 'prob'")
    assert await said(world, Verb.HALT) == (True, "trading is HALTED")
    assert await said(world, Verb.HALT) == (True, "nothing to do: trading is HALTED")
    assert (await said(world, Verb.RESUME, reason=" "))[0] is False


async def test_a_bot_does_not_take_the_accounts_latch_away(tmp_path: Path) -> None:
    world = await holding(tmp_path)
    assert (await said(world, Verb.HALT))[0] and (await said(world, Verb.HALT, target="probe"))[0]
    assert (await said(world, Verb.RESUME, target="probe"))[0]
    assert world.engine.dispatch.latch.is_set() and world.ledger.state == "HALTED"


async def test_a_flattening_says_what_it_waits_for(tmp_path: Path) -> None:
    world = await holding(tmp_path)
    done, text = await said(world, Verb.FLATTEN)
    assert done and text == "trading is REDUCING; under way: 1 position to close"
    events = await world.candle(101, 101, 100, 100)
    completed = next(e for e in events if isinstance(e, ev.StopCompleted))
    assert [r.outcome for r in completed.results if r.role == "POSITION"] == ["CLOSED"]
    assert {r.outcome for r in completed.results if r.role in ("STOP", "TAKE_PROFIT")} == {"CANCELED"}
    assert world.ledger.state == "PAUSED"


@pytest.mark.parametrize("cut", [slice(None), slice(8, None), slice(0, -1)], ids=["whole", "end", "beginning"])
async def test_a_position_is_closed_by_hand(tmp_path: Path, cut: slice) -> None:
    world = await holding(tmp_path)
    (position,) = world.ledger.positions.values()
    done, text = await said(world, Verb.CLOSE_POSITION, target=position.id[cut])
    assert done and "closes 1 BTC/USDT" in text
    assert await said(world, Verb.CLOSE_POSITION, target=position.id) == (False, "an order that closes it is under way")
    await world.candle(101, 101, 100, 100)
    assert not world.ledger.positions
    done, text = await said(world, Verb.CLOSE_POSITION, target=position.id)
    assert not done and "there is no one open position" in text


async def test_an_order_is_cancelled_by_hand(tmp_path: Path) -> None:
    world = await holding(tmp_path)
    stop = next(o for o in world.ledger.orders.values() if o.role == "STOP")
    done, text = await said(world, Verb.CANCEL_ORDER, target=stop.id[-6:])
    assert done and text == f"order {stop.id} is CANCELED"
    assert [o.role for o in world.ledger.orders.values()].count("STOP") == 1  # it is still needed: placed again
    for nothing in ("", "zz", stop.id, "0"):  # empty, unknown, ended, the beginning of more than one
        done, text = await said(world, Verb.CANCEL_ORDER, target=nothing)
        assert not done and f"there is no one open order {nothing!r}" in text


async def test_a_bot_is_stopped_and_started(tmp_path: Path) -> None:
    world = await holding(tmp_path)
    assert await said(world, Verb.STOP_BOT, target="probe") == (True, "bot probe is STOPPED")
    assert await said(world, Verb.STOP_BOT, target="probe") == (False, "it is STOPPED already")
    assert len(world.ledger.orders) == 2  # its position keeps its exits
    assert await said(world, Verb.START_BOT, target="probe") == (True, "bot probe is WARMING_UP")
    for verb in (Verb.START_BOT, Verb.STOP_BOT):
        assert await said(world, verb) == (False, "there is no bot ''")


class Served:
    """What a client knows of a session, around a small world."""

    pacer = None
    ledger_name = "small"
    dsn = ""

    def __init__(self, world: World) -> None:
        self.engine = world.engine
        self.feed: Any = None


async def test_the_client_of_the_same_process_passes_the_target_on(tmp_path: Path) -> None:
    world = await holding(tmp_path)
    client = LocalClient()
    client.guard(world.engine.dispatch.latch)
    client.attach(Served(world), (), {})
    for verb, target, text in (
        (Verb.HALT, "probe", "bot probe is HALTED"),
        (Verb.RESUME, BOT, "bot probe is ACTIVE"),
        (Verb.STOP_BOT, "probe", "bot probe is STOPPED"),
    ):
        future = await asyncio.to_thread(client.submit, verb, actor="cockpit", reason="why", target=target)
        while not future.done():
            await world.engine.idle()
            await asyncio.sleep(0)
        assert future.result() == Outcome(True, text)
        assert not world.engine.dispatch.latch.is_set()
    shown = bots(world.ledger, world.engine.state.market, world.engine.setup)
    assert [(b.name, b.status, b.state, b.positions, b.currency) for b in shown] == [
        ("probe", "STOPPED", "ACTIVE", 1, "USDT")
    ]
    assert shown[0].unrealized_pnl == world.ledger.positions.popitem()[1].unrealized_pnl(D(101))
