"""Round trips of a chart: folded from the events of a real run, with the exit plan as it moved."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine import trips as trips_of
from engine.client import TradeView
from engine.core import events as ev
from engine.core.events import Recorded
from engine.core.types import MINUTE_US
from engine.trips import MOVES_KEPT, Trips
from screenshots.make import played
from screenshots.stage import Stage


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return asyncio.run(played(tmp_path_factory.mktemp("stage")))


def events(stage: Stage) -> list[Recorded]:
    return list(stage.client.events(-1, 100_000))


def test_the_trips_of_a_run_are_those_of_its_ledger(stage: Stage) -> None:
    ledger = stage.engine.state.ledger
    seen = stage.client.trades()
    assert stage.client.trades() is seen, "nothing has changed"
    closed, still = [t for t in seen if t.exit_ts], [t for t in seen if not t.exit_ts]
    assert len(closed) == ledger.counts.trades > 5
    assert {t.id for t in still} == set(ledger.positions)
    for trip in closed:
        position = ledger.closed_positions.get(trip.id)
        if position is None:
            continue
        assert (trip.entry_ts, trip.exit_ts) == (position.opened_ts, position.closed_ts)
        assert trip.pnl == pytest.approx(float(position.realized_pnl - position.fees))
        assert trip.exits[-1][1:] == (float(position.stop_price or 0), float(position.take_profit_price or 0))
        assert (trip.reason and trip.bot == "trend") or trip.bot
    assert [t.entry_ts for t in seen] == sorted(t.entry_ts for t in seen)


def test_what_the_events_do_not_tell_comes_from_the_ledger(stage: Stage) -> None:
    late = Trips(lambda bot_id: "somebody")
    late.catch_up(stage.engine.state.ledger)
    whole = {t.id: t for t in stage.client.trades()}
    assert set(stage.engine.state.ledger.positions) <= {t.id for t in late.views()}
    for trip in late.views():
        assert trip.entry_price == pytest.approx(whole[trip.id].entry_price)
        assert (trip.exit_ts, trip.pnl) == (whole[trip.id].exit_ts, pytest.approx(whole[trip.id].pnl))
        assert trip.bot == "somebody"


def test_a_close_and_a_move_without_a_beginning_are_passed_over(stage: Stage) -> None:
    blind = Trips(str)
    for one in events(stage):
        if not isinstance(one.event, ev.PositionOpened):
            blind.see(one.event)
    assert blind.views() == ()


def test_a_trailing_stop_keeps_its_beginning_and_its_end_and_no_more_than_it_may(stage: Stage) -> None:
    recorded = [one.event for one in events(stage)]
    opened = next(e for e in recorded if isinstance(e, ev.PositionOpened))
    move = next(e for e in recorded if isinstance(e, ev.ExitsMoved) and e.position_id == opened.position_id)
    trips = Trips(str)
    trips.see(opened)

    def moved(n: int) -> Any:
        return type(move)(
            ts=move.ts + n * MINUTE_US, cause=move.cause, position_id=move.position_id, bot_id=move.bot_id,
            symbol=move.symbol, stop_price=opened.price + n, take_profit_price=None, extreme=opened.price, trailing=True,
        )  # fmt: skip

    for n in range(3_000):
        trips.see(moved(n))
        trips.see(moved(n))
    [trip] = trips.views()
    assert len(trip.exits) <= MOVES_KEPT + 1
    assert trip.exits[0][0] == move.ts
    assert trip.exits[-1] == (move.ts + 2_999 * MINUTE_US, float(opened.price + 2_999), None)


def test_the_oldest_closed_trip_makes_room(monkeypatch: pytest.MonkeyPatch, stage: Stage) -> None:
    monkeypatch.setattr(trips_of, "TRIPS_KEPT", 3)
    few = Trips(str)
    for one in events(stage):
        few.see(one.event)
    kept: list[TradeView] = list(few.views())
    assert len(kept) == max(3, len(stage.engine.state.ledger.positions))
    assert set(stage.engine.state.ledger.positions) <= {t.id for t in kept}, "what is open stays"


def test_bars_come_from_memory_after_a_time(stage: Stage) -> None:
    step, bars = stage.client.bars("sim", "BTC/USDT")
    assert step == MINUTE_US
    tail = stage.engine.state.market.series[("sim", "BTC/USDT")].tail
    assert len(bars) == len(tail)
    assert bars[-1] == (tail[-1].ts, tail[-1].open, tail[-1].high, tail[-1].low, tail[-1].close, tail[-1].volume)
    assert stage.client.bars("sim", "BTC/USDT", bars[-4][0])[1] == bars[-3:]
    assert stage.client.bars("sim", "NONE/USDT") == (0, [])
