"""The four stop verbs, as the table of architecture.md says: entries, open orders, positions, and a result for each."""

from __future__ import annotations

from decimal import Decimal as D
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.core import events as ev
from engine.core.ledger import restore
from engine.core.types import BotStatus, TradingState, Verb
from tests.core.worlds import BTC, RULES, World, config, kinds

RESTING = {"order_type": "LIMIT", "offset_bps": "100", "valid_min": 60}


def of(events: list[ev.Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


async def holding(directory: Path, **changes: Any) -> World:
    """A long position of 1 at 101 with its stop and target resting."""
    world = await World(directory, config(**changes)).open()
    await world.candle(99, 102, 98, 101)
    await world.candle(101, 102, 100, 100.5)
    assert len(world.ledger.positions) == 1 and len(world.ledger.orders) == 2
    return world


async def waiting(directory: Path) -> World:
    """An entry that rests 1 % below the market."""
    world = await World(directory, config(bot={"entry": RESTING})).open()
    await world.candle(99, 102, 98, 101)
    assert [(o.role, o.price) for o in world.ledger.orders.values()] == [("ENTRY", D("99.99"))]
    return world


@pytest.mark.parametrize(
    ("verb", "state"),
    [
        (Verb.PAUSE, TradingState.PAUSED),
        (Verb.CANCEL, TradingState.PAUSED),
        (Verb.FLATTEN, TradingState.PAUSED),
        (Verb.HALT, TradingState.HALTED),
    ],
)
@pytest.mark.parametrize("target", ["", "probe"])
async def test_every_verb_takes_the_entries_away(tmp_path: Path, verb: Verb, state: TradingState, target: str) -> None:
    world = await waiting(tmp_path)
    (done, _), events = await world.command(verb, "smoke", target=target)
    assert done and not world.ledger.orders
    completed = of(events, ev.StopCompleted)
    assert [(c.verb, [(r.role, r.outcome) for r in c.results]) for c in completed] == [(verb, [("ENTRY", "CANCELED")])]
    book = next(iter(world.ledger.bots.values()))
    assert (book.state if target else world.ledger.state) is state
    await world.candle(101, 140, 100, 130)  # an entry signal
    assert not world.ledger.positions and not world.ledger.orders


async def test_pause_keeps_protective_orders_and_exits_go_on(tmp_path: Path) -> None:
    world = await holding(tmp_path)
    _, events = await world.command(Verb.PAUSE, "smoke")
    assert [(r.role, r.outcome) for r in of(events, ev.StopCompleted)[0].results] == [
        ("STOP", "KEPT"),
        ("TAKE_PROFIT", "KEPT"),
    ]
    events = await world.candle(100, 100, 90, 91)
    assert of(events, ev.PositionClosed)[0].reason == "STOP"


async def test_cancel_takes_protective_orders_and_the_engine_watches_instead(tmp_path: Path) -> None:
    world = await holding(tmp_path)
    _, events = await world.command(Verb.CANCEL, "smoke")
    assert {(r.role, r.outcome) for r in of(events, ev.StopCompleted)[0].results} == {
        ("STOP", "CANCELED"),
        ("TAKE_PROFIT", "CANCELED"),
    }
    assert not world.ledger.orders and len(world.ledger.positions) == 1
    assert kinds(await world.candle(100, 101, 100, 100)) == []  # nothing rests again
    await world.candle(100, 100, 98, 99)  # through the stop at 98.98
    closed = of(await world.candle(98.5, 99, 98, 98.2), ev.PositionClosed)
    assert (closed[0].reason, closed[0].exit_price) == ("STOP", D("98.5"))


async def test_resume_after_cancel_places_the_exits_again(tmp_path: Path) -> None:
    world = await holding(tmp_path)
    await world.command(Verb.CANCEL, "smoke")
    _, events = await world.command(Verb.RESUME, "a false alarm")
    assert [o.role for o in of(events, ev.OrderSubmitted)] == ["STOP", "TAKE_PROFIT"]
    assert world.ledger.state is TradingState.ACTIVE and world.ledger.calm


@pytest.mark.parametrize("target", ["", "probe"])
async def test_flatten_closes_says_so_and_ends_in_pause(tmp_path: Path, target: str) -> None:
    world = await holding(tmp_path)
    (done, _), events = await world.command(Verb.FLATTEN, "smoke", target=target)
    assert done
    assert [(o.role, o.reduce_only) for o in world.ledger.orders.values()] == [("FLATTEN", True)]
    assert of(events, ev.StopCompleted) == []  # not yet: the claim is not true before the fill
    events = await world.candle(99, 100, 98.99, 99.5)
    completed = of(events, ev.StopCompleted)[0]
    assert ("POSITION", "CLOSED") in {(r.role, r.outcome) for r in completed.results}
    book = next(iter(world.ledger.bots.values()))
    assert (book.state if target else world.ledger.state) is TradingState.PAUSED
    assert not world.ledger.positions and not world.ledger.orders and not world.ledger.stops


async def test_an_entry_that_fills_while_flattening_is_closed_too(tmp_path: Path) -> None:
    world = await World(tmp_path, config()).open()
    await world.candle(99, 102, 98, 101)  # a market entry is on its way
    await world.command(Verb.FLATTEN, "smoke")
    await world.candle(101, 102, 100, 100.5)
    await world.candle(101, 102, 100, 100.5)
    assert not world.ledger.positions and not world.ledger.orders
    assert world.ledger.state is TradingState.PAUSED


async def test_halt_keeps_exits_by_default_and_flattens_by_policy(tmp_path: Path) -> None:
    world = await holding(tmp_path / "keep")
    await world.command(Verb.HALT, "smoke")
    assert {o.role for o in world.ledger.orders.values()} == {"STOP", "TAKE_PROFIT"}
    world = await holding(tmp_path / "flat", account={"halt_policy": "flatten"})
    await world.command(Verb.HALT, "smoke")
    await world.candle(99, 100, 98.99, 99.5)
    assert not world.ledger.positions and world.ledger.state is TradingState.HALTED


async def test_a_stop_survives_the_restart_in_the_middle_of_it(tmp_path: Path) -> None:
    world = await holding(tmp_path)
    await world.command(Verb.FLATTEN, "smoke")
    again = restore(world.ledger.snapshot())
    assert again.state_hash() == world.ledger.state_hash()
    assert again.stops[""].positions and not again.calm


async def test_a_stricter_stop_is_taken_and_a_milder_one_refused(tmp_path: Path) -> None:
    world = await holding(tmp_path)
    assert (await world.command(Verb.PAUSE, "one"))[0][0]
    assert not (await world.command(Verb.PAUSE, "two"))[0][0]
    assert (await world.command(Verb.CANCEL, "three"))[0][0]  # the same state, more orders go
    assert not (await world.command(Verb.PAUSE, "four"))[0][0]
    assert (await world.command(Verb.HALT, "five"))[0][0]
    assert not (await world.command(Verb.FLATTEN, "six"))[0][0]


async def test_a_flattening_that_the_venue_refuses_gives_up_loudly(tmp_path: Path) -> None:
    world = await holding(tmp_path)
    venue = world.engine.dispatch.venue
    submit = venue.submit

    def refuse(order: Any) -> None:
        submit(order)
        venue.cancel(order)

    venue.submit = refuse  # type: ignore[method-assign]
    real_cancel = venue.cancel

    def cancel(order: Any) -> None:
        order.cancel_cause = order.cancel_cause or order.cause
        real_cancel(order)

    venue.cancel = cancel  # type: ignore[method-assign]
    await world.command(Verb.FLATTEN, "smoke")
    alerts: list[ev.AlertTriggered] = []
    for _ in range(15):
        alerts += of(await world.candle(100, 100.1, 99.9, 100), ev.AlertTriggered)
    assert [a.code for a in alerts] == ["FLATTEN_GAVE_UP"]
    assert next(iter(world.ledger.positions.values())).flatten_tries == 10


async def test_one_bot_pauses_and_the_other_trades_on(tmp_path: Path) -> None:
    bot = {"strategy": RULES, "sizing": {"kind": "fixed_quantity", "value": "1"}}
    world = await World(tmp_path, config(bots=[{"name": "a", **bot}, {"name": "b", **bot}])).open()
    await world.command(Verb.PAUSE, "one of them", target="a")
    await world.candle(99, 102, 98, 101)
    names = {world.engine.setup.by_id[o.bot_id].name for o in world.ledger.orders.values()}
    assert names == {"b"}
    assert not (await world.command(Verb.RESUME, "", target="a"))[0][0]  # without a reason
    assert (await world.command(Verb.RESUME, "fine again", target="a"))[0][0]
    assert not (await world.command(Verb.PAUSE, "who?", target="c"))[0][0]


async def test_a_stopped_bot_enters_nothing_and_starts_again(tmp_path: Path) -> None:
    world = await waiting(tmp_path)
    _, events = await world.command(Verb.STOP_BOT, "enough", target="probe")
    assert of(events, ev.BotStatusChanged)[0].status is BotStatus.STOPPED
    assert not world.ledger.orders
    await world.candle(99, 102, 98, 101)
    assert not world.ledger.orders
    assert not (await world.command(Verb.STOP_BOT, "again", target="probe"))[0][0]
    assert (await world.command(Verb.START_BOT, "go", target="probe"))[0][0]
    assert not (await world.command(Verb.START_BOT, "go", target="probe"))[0][0]
    await world.candle(99, 102, 98, 101)
    assert len(world.ledger.orders) == 1


async def test_one_position_and_one_order_by_hand(tmp_path: Path) -> None:
    world = await holding(tmp_path)
    stop = next(o for o in world.ledger.orders.values() if o.role == "STOP")
    assert (await world.command(Verb.CANCEL_ORDER, target=stop.id))[0][0]
    assert "STOP" in {o.role for o in world.ledger.orders.values()}  # the plan asks for it: it is placed again
    assert not (await world.command(Verb.CANCEL_ORDER, target="nothing"))[0][0]
    position = next(iter(world.ledger.positions))
    assert (await world.command(Verb.CLOSE_POSITION, target=position))[0][0]
    assert not (await world.command(Verb.CLOSE_POSITION, target=position))[0][0]
    closed = of(await world.candle(99.5, 100, 99, 99.5), ev.PositionClosed)
    assert closed[0].reason == "BY_HAND"


async def test_what_is_less_than_any_order_is_said_and_not_sent(tmp_path: Path) -> None:
    """The venue has raised its smallest order above what is held: neither exits nor a stop verb send what it must refuse."""
    world = await holding(tmp_path)
    await world.command(Verb.CANCEL, "test")
    series = world.engine.state.market.series["test", "BTC/USDT"]
    series.instrument = msgspec.structs.replace(BTC, min_quantity=D(2))
    for verb in (Verb.RESUME, Verb.FLATTEN):
        _, events = await world.command(verb, "test")
        told = [e for e in events if isinstance(e, ev.AlertTriggered)]
        assert [e.code for e in told] == ["EXIT_NOT_PLACED"]
        assert told[0].text.startswith("no order can leave BTC/USDT: what is left of it is less than any order may be")
        assert not [e for e in events if isinstance(e, ev.IntentEvaluated | ev.OrderSubmitted)]
    assert len(world.ledger.positions) == 1 and not world.ledger.orders
