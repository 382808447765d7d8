"""The loop on a small world: signals, fills, exits, stops, halts; every number checked by hand."""

from __future__ import annotations

from decimal import Decimal as D
from pathlib import Path

import pytest

from engine.core import decide, events as ev
from engine.core.config import parse_config
from engine.core.inputs import FillReport, OrderReport
from engine.core.positions import check_conservation
from engine.core.types import Instrument, OrderStatus, TradingState, Verb
from tests.core.worlds import BTC, ETH, RULES, World, config, kinds


@pytest.fixture
async def world(tmp_path: Path) -> World:
    return await World(tmp_path).open()


async def entered(world: World) -> World:
    """Signal on the first bar, filled at the open of the second, at 101."""
    await world.candle(99, 102, 98, 101)
    await world.candle(101, 102, 100, 100.5)
    return world


async def test_a_signal_of_a_closed_bar_fills_at_the_next_open(world: World) -> None:
    first = await world.candle(99, 102, 98, 101)
    assert kinds(first)[-3:] == ["SignalGenerated", "OrderSubmitted", "OrderAccepted"]
    second = await world.candle(101.5, 102, 101, 101)
    fill = next(e for e in second if isinstance(e, ev.OrderFilled))
    assert (fill.price, fill.quantity, fill.executed_ts) == (D("101.5"), D(1), fill.ts - 60_000_000)
    assert world.ledger.account.cash == D("9898.5")


async def test_exits_are_placed_with_the_fill_and_the_stop_takes_the_same_bar(world: World) -> None:
    await world.candle(99, 102, 98, 101)
    events = await world.candle(100, 100, 90, 91)
    placed = [e for e in events if isinstance(e, ev.OrderSubmitted)]
    assert [(o.role, o.stop_price, o.price, o.reduce_only) for o in placed] == [
        ("STOP", D("98.00"), None, True),
        ("TAKE_PROFIT", None, D("104.00"), True),
    ]
    closed = next(e for e in events if isinstance(e, ev.PositionClosed))
    assert (closed.exit_price, closed.reason, closed.realized_pnl) == (D("98.00"), "STOP", D("-2.00"))
    assert not world.ledger.positions and not world.ledger.orders
    assert world.ledger.account.cash == D("9998.00")


async def test_a_bar_that_reaches_both_takes_the_stop(world: World) -> None:
    await entered(world)
    events = await world.candle(101, 120, 90, 110)
    closed = next(e for e in events if isinstance(e, ev.PositionClosed))
    assert closed.reason == "STOP"
    canceled = [e for e in events if isinstance(e, ev.OrderCanceled)]
    assert len(canceled) == 1 and canceled[0].reason == "position closed"


@pytest.mark.parametrize(("opening", "price", "reason"), [(90.0, "90.0", "STOP"), (110.0, "110.0", "TAKE_PROFIT")])
async def test_a_gap_over_stop_or_target_fills_at_the_open(
    world: World, opening: float, price: str, reason: str
) -> None:
    await entered(world)
    events = await world.candle(opening, opening + 1, opening - 1, opening)
    closed = next(e for e in events if isinstance(e, ev.PositionClosed))
    assert (closed.exit_price, closed.reason) == (D(price), reason)


async def test_a_target_fills_at_its_price_as_maker(world: World) -> None:
    await entered(world)
    events = await world.candle(102, 106, 101, 104)
    fill = next(e for e in events if isinstance(e, ev.OrderFilled))
    assert (fill.price, fill.liquidity) == (D("105.04"), "MAKER")  # 101 + 4 %


async def test_an_exit_signal_sells_at_the_next_open_and_cancels_the_exits(tmp_path: Path) -> None:
    exits = {"stop_loss_pct": "90", "take_profit_pct": None, "trailing": None}
    world = await entered(await World(tmp_path, config(bot={"exits": exits})).open())
    events = await world.candle(60, 60, 45, 49)
    assert [e.role for e in events if isinstance(e, ev.OrderSubmitted)] == ["SIGNAL_EXIT"]
    events = await world.candle(48, 49, 47, 48)
    closed = next(e for e in events if isinstance(e, ev.PositionClosed))
    assert (closed.exit_price, closed.reason) == (D(48), "SIGNAL_EXIT")
    assert not world.ledger.orders


async def test_the_stop_trails_and_never_loosens(tmp_path: Path) -> None:
    trailing = {"distance_pct": "1", "offset_pct": "2"}
    exits = {"stop_loss_pct": "5", "take_profit_pct": None, "trailing": trailing}
    world = await entered(await World(tmp_path, config(bot={"exits": exits})).open())
    assert [o.stop_price for o in world.ledger.orders.values()] == [D("95.95")]
    await world.candle(101, 102.9, 100, 102)  # not yet 2 % up: 103.02
    assert [o.stop_price for o in world.ledger.orders.values()] == [D("95.95")]
    await world.candle(102, 110, 101, 109.5)
    assert [o.stop_price for o in world.ledger.orders.values()] == [D("108.90")]
    await world.candle(109.5, 109.6, 109, 109.2)
    assert [o.stop_price for o in world.ledger.orders.values()] == [D("108.90")]
    events = await world.candle(109, 109, 100, 100)
    closed = next(e for e in events if isinstance(e, ev.PositionClosed))
    assert (closed.exit_price, closed.reason) == (D("108.90"), "TRAILING_STOP")


async def test_costs_are_charged_to_the_last_digit(tmp_path: Path) -> None:
    costs = {"maker_bps": "2", "taker_bps": "10", "slippage_bps": "5"}
    world = await World(tmp_path, config(costs=costs)).open()
    await world.candle(99, 102, 98, 101)
    events = await world.candle(100, 101, 99.5, 100)
    fill = next(e for e in events if isinstance(e, ev.OrderFilled))
    assert fill.price == D("100.05")
    assert fill.fee == D("0.10005")
    assert world.ledger.account.cash == D(10_000) - D("100.05") - D("0.10005")


async def test_halt_cancels_entries_keeps_exits_and_survives_a_restart(world: World, tmp_path: Path) -> None:
    await entered(world)
    await world.candle(101, 103, 100, 102)
    (done, text), events = await world.command(Verb.HALT, "night")
    assert done and text == "trading is HALTED"
    assert [e.state for e in events if isinstance(e, ev.TradingStateChanged)] == [TradingState.HALTED]
    assert sorted(o.role for o in world.ledger.orders.values()) == ["STOP", "TAKE_PROFIT"]
    assert (tmp_path / "HALTED").exists()
    world.journal.abandon()

    again = await World(tmp_path, store=world.store).open()
    assert again.ledger.state is TradingState.HALTED
    again.bar = world.bar
    events = await again.candle(102, 103, 90, 91)  # the stop still protects
    assert "PositionClosed" in kinds(events)
    events = await again.candle(101, 103, 100, 102)
    assert "OrderSubmitted" not in kinds(events)
    assert [e.code for e in events if isinstance(e, ev.OrderDenied)] == ["TRADING_STATE_HALTED"]

    (done, text), _ = await again.command(Verb.RESUME, "  ")
    assert not done and "reason" in text
    (done, text), _ = await again.command(Verb.RESUME, "looked into it")
    assert done and text == "trading is ACTIVE"
    assert not (tmp_path / "HALTED").exists()


async def test_a_halt_between_commit_and_send_stops_the_send(tmp_path: Path) -> None:
    """The last look: the intent is durable, the latch appears, nothing is sent and the order says why."""

    def latch_appears(name: str) -> None:
        if name == "committed" and world.engine.state.ledger.orders:
            world.engine.dispatch.latch.set("someone", "from another shell")

    world = World(tmp_path)
    world.border = latch_appears
    await world.open()
    events = await world.candle(99, 102, 98, 101)
    rejected = next(e for e in events if isinstance(e, ev.OrderRejected))
    assert rejected.reason == "not sent: the halt latch is set"
    assert world.engine.dispatch.sent == 0
    assert world.ledger.order(rejected.order_id).status is OrderStatus.REJECTED


async def test_flatten_closes_everything_and_ends_paused(world: World) -> None:
    await entered(world)
    await world.command(Verb.FLATTEN, "leaving")
    assert [o.role for o in world.ledger.orders.values()] == ["FLATTEN"]
    await world.candle(100, 101, 99, 100)
    assert not world.ledger.positions
    assert world.ledger.state is TradingState.PAUSED


async def test_halt_with_policy_flatten_stays_halted_when_flat(world: World) -> None:
    await entered(world)
    await world.command(Verb.HALT, "out", policy="flatten")
    await world.candle(100, 101, 99, 100)
    assert not world.ledger.positions and world.ledger.state is TradingState.HALTED


async def test_a_hold_blocks_entries_until_it_is_released(world: World) -> None:
    await world.command(Verb.HOLD)
    events = await world.candle(99, 102, 98, 101)
    assert [e.code for e in events if isinstance(e, ev.OrderDenied)] == ["TRADING_STATE_HELD"]
    await world.command(Verb.RELEASE)
    events = await world.candle(99, 102, 98, 101)
    assert "OrderSubmitted" in kinds(events)


async def test_a_hold_that_nobody_answered_is_a_pause_after_a_restart(world: World, tmp_path: Path) -> None:
    await world.command(Verb.HOLD)
    world.journal.abandon()
    again = await World(tmp_path, store=world.store).open()
    assert again.ledger.state is TradingState.PAUSED and not again.ledger.held


async def test_pause_is_refused_while_halted(world: World) -> None:
    await world.command(Verb.HALT, "first")
    (done, text), _ = await world.command(Verb.PAUSE)
    assert not done and "HALTED" in text
    assert world.ledger.state is TradingState.HALTED


async def test_drawdown_halts_and_daily_loss_reduces_until_the_next_day(tmp_path: Path) -> None:
    limits = {"daily_loss_pct": {"hard": "1"}, "max_drawdown_pct": {"hard": "50"}}
    conf = config(
        account={"limits": limits},
        bot={
            "sizing": {"kind": "fixed_quantity", "value": "50"},
            "exits": {"stop_loss_pct": "50", "take_profit_pct": None, "trailing": None},
        },
    )
    world = await entered(await World(tmp_path, conf).open())
    events = await world.candle(100, 100, 97, 98)  # 50 units down 3: 1.5 % of 10,000
    changed = next(e for e in events if isinstance(e, ev.TradingStateChanged))
    assert (changed.state, changed.actor) == (TradingState.REDUCING, "gate:DAILY_LOSS_LOCK")
    world.bar += 24 * 60
    await world.candle(98, 99, 97, 98)
    assert world.ledger.state is TradingState.ACTIVE

    deep = config(
        account={"limits": {"daily_loss_pct": {}, "max_drawdown_pct": {"hard": "1"}}},
        bot={
            "sizing": {"kind": "fixed_quantity", "value": "50"},
            "exits": {"stop_loss_pct": "50", "take_profit_pct": None, "trailing": None},
        },
    )
    other = await entered(await World(tmp_path / "b", deep).open())
    events = await other.candle(100, 100, 97, 98)
    assert other.ledger.state is TradingState.HALTED and other.ledger.state_actor == "gate:MAX_DRAWDOWN"
    assert (tmp_path / "b" / "HALTED").exists()


async def test_late_data_blocks_an_entry(world: World) -> None:
    events = await world.candle(99, 102, 98, 101, late_s=500)
    assert [e.code for e in events if isinstance(e, ev.OrderDenied)] == ["DATA_STALE"]


async def test_a_size_below_the_venues_minimum_is_no_order_and_says_why(tmp_path: Path) -> None:
    conf = config(bot={"sizing": {"kind": "fixed_notional", "value": "1"}})
    world = await World(tmp_path, conf).open()
    events = await world.candle(99, 102, 98, 101)
    denied = next(e for e in events if isinstance(e, ev.OrderDenied))
    assert denied.code == "SIZE_BELOW_MINIMUM" and "below the venue's smallest" in denied.reason


async def test_positions_of_two_symbols_are_apart(tmp_path: Path) -> None:
    world = await World(tmp_path, instruments=(BTC, ETH)).open()
    await world.candle(99, 102, 98, 101)
    await world.candle(99, 102, 98, 101, symbol="ETH/USDT", tick=False)
    await world.candle(101, 102, 100, 100.5)
    await world.candle(102, 103, 100.5, 102, symbol="ETH/USDT", tick=False)
    held = {p.symbol: p.entry_price for p in world.ledger.positions.values()}
    assert held == {"BTC/USDT": D(101), "ETH/USDT": D(102)}


async def test_every_order_names_its_config_version(world: World) -> None:
    events = await world.candle(99, 102, 98, 101)
    assert {e.config_version for e in events if isinstance(e, ev.OrderSubmitted)} == {1}


async def test_a_candle_that_goes_back_in_time_is_refused_loudly(world: World) -> None:
    await world.candle(99, 102, 98, 99)
    world.bar -= 1
    with pytest.raises(Exception, match="back in time"):
        await world.candle(99, 102, 98, 99)


async def test_a_late_fill_of_an_ended_position_goes_into_the_open_one(world: World) -> None:
    """A true fill is never refused (I7), and there is never a second open position of a bot and symbol."""
    await entered(world)
    await world.candle(101, 101, 90, 99)  # stopped out
    stop = next(o for o in world.ledger.closed_orders.values() if o.role == "STOP")
    await world.candle(99, 102, 98, 101)
    await world.candle(101, 102, 100, 100.5)
    assert len(world.ledger.positions) == 1
    late = FillReport(
        ts=world.ledger.now,
        cause=world.ledger.cursor.answered("fill", 999_000),
        order_id=stop.id,
        trade_id="late-1",
        executed_ts=world.ledger.now,
        quantity=D("0.25"),
        price=D(100),
        fee=D(0),
        fee_currency="USDT",
        liquidity="TAKER",
    )
    world.engine.keep(decide.step(world.engine.state, late, world.engine.setup))
    await world.news()
    (position,) = world.ledger.positions.values()
    assert position.quantity == D("0.75")
    check_conservation(world.ledger.accounts, world.ledger.positions)
    world.engine.keep(decide.step(world.engine.state, late, world.engine.setup))
    assert not [e for e in await world.news() if isinstance(e, ev.OrderFilled)]  # the same trade id counts once


async def test_two_bots_on_one_bar_share_the_limits(tmp_path: Path) -> None:
    """The second bot's gates see what the first has just sent (I8), though both decide on the same input."""
    document = {
        "schema": 1,
        "bots": [
            {"name": name, "strategy": RULES, "sizing": {"kind": "fixed_quantity", "value": "1"}}
            for name in ("one", "two")
        ],
        "account": {"limits": {"max_open_positions": {"hard": "1"}}},
    }
    world = await World(tmp_path, parse_config(document)).open()
    events = await world.candle(99, 102, 98, 101)
    assert len([e for e in events if isinstance(e, ev.OrderSubmitted)]) == 1
    assert [e.code for e in events if isinstance(e, ev.OrderDenied)] == ["POSITION_COUNT"]


async def test_a_large_account_conserves_to_the_last_digit(tmp_path: Path) -> None:
    """Fifteen digits before the point and eighteen behind it: more than Python's default precision keeps."""
    costs = {"maker_bps": "7.777", "taker_bps": "7.777", "slippage_bps": "0.333"}
    world = await entered(await World(tmp_path, config(costs=costs), balance=D("123456789012345")).open())
    account, (position,) = world.ledger.account, world.ledger.positions.values()
    assert account.fees == (position.entry_notional * D("7.777") / 10_000).quantize(D("1e-18"))
    assert account.cash == D("123456789012345") - position.cost - account.fees
    await world.candle(101, 101, 90, 91)
    assert world.ledger.account.cash == D("123456789012345") + account.realized_pnl - account.fees


async def test_a_price_below_one_tick_is_no_market_to_enter(tmp_path: Path) -> None:
    """The stated default rules of an unknown symbol do not fit a coin of a thousandth: blocked, and the board says why."""
    rules = Instrument(exchange="test", symbol="BTC/USDT", base="BTC", quote="USDT")
    strategy = {"schema": 1, "entry_long": {"op": "gt", "left": "close", "right": "open"}}
    sizing = {"kind": "fixed_notional", "value": "100"}
    world = await World(tmp_path, config(bot={"strategy": strategy, "sizing": sizing}), instruments=(rules,)).open()
    events = await world.candle(0.0010, 0.0012, 0.0010, 0.0011)
    assert [e.code for e in events if isinstance(e, ev.OrderDenied)] == ["INSTRUMENT_TICK"]


async def test_fills_under_default_rules_keep_the_recorded_price(tmp_path: Path) -> None:
    rules = Instrument(exchange="test", symbol="BTC/USDT", base="BTC", quote="USDT")
    strategy = {"schema": 1, "entry_long": {"op": "gt", "left": "close", "right": "open"}}
    sizing = {"kind": "fixed_notional", "value": "100"}
    world = await World(tmp_path, config(bot={"strategy": strategy, "sizing": sizing}), instruments=(rules,)).open()
    await world.candle(0.3010, 0.3055, 0.3010, 0.3051)
    events = await world.candle(0.3056, 0.3059, 0.3050, 0.3051)
    assert [e.price for e in events if isinstance(e, ev.OrderFilled)] == [D("0.3056")]


async def test_a_report_that_only_repeats_what_fills_say_changes_nothing(world: World) -> None:
    await world.candle(99, 102, 98, 101)
    order = next(iter(world.ledger.orders.values()))
    for status in (OrderStatus.FILLED, OrderStatus.PARTIALLY_FILLED):
        report = OrderReport(ts=order.submitted_ts, cause=order.cause, order_id=order.id, status=status)
        assert decide.step(world.engine.state, report, world.engine.setup) == []
    assert order.status is OrderStatus.ACCEPTED and order.filled_quantity == 0


async def test_an_acceptance_that_its_fill_overtook_still_tells_the_venues_id(world: World) -> None:
    await world.candle(99, 102, 98, 101)
    order = next(iter(world.ledger.orders.values()))
    await world.candle(101, 102, 100, 100.5)
    order.exchange_order_id = ""
    report = OrderReport(
        ts=order.submitted_ts,
        cause=order.cause,
        order_id=order.id,
        status=OrderStatus.ACCEPTED,
        exchange_order_id="v-1",
    )
    (event,) = decide.step(world.engine.state, report, world.engine.setup)
    assert isinstance(event, ev.OrderAccepted)
    assert (order.exchange_order_id, order.status) == ("v-1", OrderStatus.FILLED)


async def test_a_new_day_is_not_judged_by_the_start_of_the_old_one(tmp_path: Path) -> None:
    """A loss of 4 % on one day and none on the next: the first tick of the next day must not lock it."""
    limits = {"daily_loss_pct": {"hard": "3"}, "max_drawdown_pct": {}}
    bot = {
        "sizing": {"kind": "fixed_quantity", "value": "50"},
        "exits": {"stop_loss_pct": None, "take_profit_pct": None},
    }
    conf = config(account={"limits": limits}, bot=bot | {"limits": {}})
    world = await entered(await World(tmp_path, conf).open())
    world.bar = 1_438
    await world.candle(99, 99, 92, 92.5)  # the last bar of the day: the lock
    assert world.ledger.state is TradingState.REDUCING
    await world.candle(92.5, 92.6, 92.4, 92.5)
    assert world.ledger.state is TradingState.ACTIVE
    await world.candle(92.5, 92.6, 92.4, 92.5)
    assert world.ledger.state is TradingState.ACTIVE
