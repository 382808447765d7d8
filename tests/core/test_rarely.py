"""What is rarely met: words that come twice, orders and bots that are not there, what only a broken caller can do."""

from __future__ import annotations

from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from engine.core import decide
from engine.core import events as ev
from engine.core.config import ConfigError, parse_config
from engine.core.context import Context
from engine.core.entries import enter
from engine.core.inputs import Candle, Cause, Command, Feature, FillReport, HouseReport, OrderReport
from engine.core.ledger import Ledger, drawdown, evolve
from engine.core.strategy import OfRules
from engine.core.types import BotStatus, InvariantError, Mode, OrderStatus, PositionSide, Verb
from tests.core.test_stops import holding, of, waiting
from tests.core.worlds import BTC, ETH, LEDGER_ID, RULES, START, World, config

AT = Cause(START, 0, "test", "BTC/USDT", 2, "here", 1)


def report(order_id: str, status: OrderStatus, **more: Any) -> OrderReport:
    return OrderReport(ts=START, cause=AT, order_id=order_id, status=status, **more)


def told(**state: Any) -> HouseReport:
    known = {"reconciled": True, "journal_ok": True, "journal": "", "clock_skew_ms": 0.0}
    return HouseReport(ts=START, cause=AT, **(known | state))


async def test_the_same_word_of_the_house_is_no_news(tmp_path: Path) -> None:
    world = await World(tmp_path).open()
    step = lambda value: decide.step(world.engine.state, value, world.engine.setup)  # noqa: E731
    assert list(step(told())) == []
    (news,) = of(list(step(told(journal_ok=None, journal="slow"))), ev.HouseChanged)
    assert news.journal == "slow" and world.ledger.house.journal_ok is None
    assert list(step(told(journal_ok=None, journal="slow"))) == []


async def test_commands_that_change_nothing_and_those_that_are_none(tmp_path: Path) -> None:
    world = await World(tmp_path).open()
    await world.news()
    assert not (await world.command(Verb.RELEASE))[1]
    done, events = await world.command(Verb.RESUME, "again")
    assert not done[0] and "ACTIVE already" in of(events, ev.CommandRefused)[0].reason
    done, events = await world.command(Verb.PAUSE, "who?", target="nobody")
    assert not done[0] and "no bot" in of(events, ev.CommandRefused)[0].reason
    command = Command(ts=START, cause=AT, verb=Verb.ACTIVATE_CONFIG, actor="tester")  # the shell's, never the ledger's
    (refused,) = decide.step(world.engine.state, command, world.engine.setup)
    assert isinstance(refused, ev.CommandRefused) and "is not a command" in refused.reason


async def test_reports_of_orders_that_nobody_knows_are_alerts(tmp_path: Path) -> None:
    world = await World(tmp_path).open()
    (alert,) = decide.step(world.engine.state, report("?", OrderStatus.ACCEPTED), world.engine.setup)
    assert isinstance(alert, ev.AlertTriggered) and alert.code == "ORDER_UNKNOWN"


async def test_an_exit_that_the_venue_refuses_is_an_alert_and_tried_again_with_the_next_bar(tmp_path: Path) -> None:
    world = await holding(tmp_path)
    stop = next(o for o in world.ledger.orders.values() if o.role == "STOP")
    events = decide.step(
        world.engine.state, report(stop.id, OrderStatus.REJECTED, reason="maintenance"), world.engine.setup
    )
    assert [a.code for a in of(list(events), ev.AlertTriggered)] == ["EXIT_NOT_PLACED"]
    world.engine._keep(events)
    again = await world.candle(100.5, 101, 100, 100.6)
    assert [(e.role, e.stop_price) for e in of(again, ev.OrderSubmitted)] == [("STOP", stop.stop_price)]


async def test_a_fill_that_leaves_a_rest_while_flattening_sends_for_the_rest(tmp_path: Path) -> None:
    costs = {"participation_pct": "50"}
    world = await World(tmp_path, config(costs=costs)).open()
    await world.candle(99, 102, 98, 101)
    await world.candle(101, 102, 100, 100.5)
    (position,) = world.ledger.positions.values()
    await world.command(Verb.FLATTEN, "out")
    closing = next(o for o in world.ledger.orders.values() if o.origin == "FLATTEN")
    half = decide.step(world.engine.state, _fill(closing.id, "0.4"), world.engine.setup)
    assert world.ledger.positions[position.id].quantity == D("0.6")
    assert not of(list(half), ev.OrderSubmitted)  # the order under way still closes the rest


def _fill(order_id: str, quantity: str) -> Any:
    return FillReport(
        ts=START,
        cause=AT,
        order_id=order_id,
        trade_id="by hand",
        executed_ts=START,
        quantity=D(quantity),
        price=D(100),
        fee=D(0),
        fee_currency="USDT",
        liquidity="TAKER",
    )


async def test_a_stop_of_one_bot_leaves_what_is_the_others(tmp_path: Path) -> None:
    bots = [
        {"name": name, "strategy": RULES, "symbols": [symbol], "sizing": {"kind": "fixed_quantity", "value": "1"}}
        for name, symbol in (("a", "BTC/USDT"), ("b", "ETH/USDT"))
    ]
    document = {"schema": 1, "bots": bots, "account": {"limits": {"max_gross_exposure_pct": {}}}}
    world = await World(tmp_path, parse_config(document), instruments=(BTC, ETH), balance=D(100_000)).open()
    for symbol in ("BTC/USDT", "ETH/USDT"):
        await world.candle(99, 102, 98, 101, symbol=symbol)
    for symbol in ("BTC/USDT", "ETH/USDT"):
        await world.candle(101, 102, 100, 100.5, symbol=symbol)
    assert len(world.ledger.positions) == 2
    for verb in (Verb.CANCEL, Verb.RESUME, Verb.FLATTEN):
        await world.command(verb, "one of two", target="a")
    for symbol in ("BTC/USDT", "ETH/USDT"):
        await world.candle(100.5, 101, 100, 100.2, symbol=symbol)
    assert [p.symbol for p in world.ledger.positions.values()] == ["ETH/USDT"]
    assert {o.symbol for o in world.ledger.orders.values()} == {"ETH/USDT"}


async def test_entries_without_an_end_and_with_one_share_a_tick(tmp_path: Path) -> None:
    world = await waiting(tmp_path)
    (order,) = world.ledger.orders.values()
    order.valid_until = START + 1
    twin = type(order)(**{f: getattr(order, f) for f in order.__struct_fields__} | {"id": "twin", "valid_until": None})
    world.ledger.orders["twin"] = twin
    world.ledger.next_expiry = START + 1
    await world.candle(101, 102, 100.5, 101)
    assert order.status is OrderStatus.CANCELED and not twin.cancel_requested


async def test_an_order_that_comes_back_to_life_is_counted_where_it_protects(tmp_path: Path) -> None:
    world = await holding(tmp_path)
    (position,) = world.ledger.positions.values()
    stop = next(o for o in world.ledger.orders.values() if o.role == "STOP")
    decide.step(world.engine.state, report(stop.id, OrderStatus.REJECTED), world.engine.setup)
    assert position.resting == 1
    events = decide.step(
        world.engine.state, report(stop.id, OrderStatus.ACCEPTED, exchange_order_id="late"), world.engine.setup
    )
    assert position.resting == 2 and [e.reason for e in of(list(events), ev.CancelRequested)] == ["late"]


async def test_a_strategy_that_raises_twice_is_told_once(tmp_path: Path) -> None:
    world = await World(tmp_path).open()
    (series,) = world.engine.state.market.series.values()
    (runner,) = series.runners
    await world.candle(99, 99, 98, 98)
    runner.strategy.on_bar = _raises
    for n in (1, 2):
        events = await world.candle(98, 98, 97, 97)
        assert len(of(events, ev.BotStatusChanged)) == (n == 1)
    assert next(iter(world.ledger.bots.values())).status is BotStatus.ERROR


def _raises(candle: Candle) -> int:
    raise RuntimeError("no")


async def test_without_a_price_nothing_is_entered(tmp_path: Path) -> None:
    world = await World(tmp_path).open()
    (series,) = world.engine.state.market.series.values()
    ctx = Context(world.engine.state, world.engine.setup, START, AT)
    assert enter(ctx, series.runners[0], series, PositionSide.LONG, None) == []


async def test_a_feature_reaches_the_symbols_that_it_names(tmp_path: Path) -> None:
    world = await World(tmp_path, instruments=(BTC, ETH)).open()
    market = world.engine.state.market
    market.hear(Feature(ts=START, exchange="", symbol="ETH/USDT", name="bias", value=1.0, valid_until=START + 1))
    assert [list(s.features) for s in market.series.values()] == [[], ["bias"]]


# -- what only a broken caller can do --------------------------------------------------------------------------------------


def opened() -> ev.LedgerOpened:
    return ev.LedgerOpened(
        ts=0,
        cause=AT,
        ledger_id=LEDGER_ID,
        mode=Mode.PAPER,
        feed="test",
        seed=1,
        base_currency="USDT",
        initial_balance=D(10),
    )


def test_a_fold_that_cannot_be_true_stops() -> None:
    ledger = Ledger()
    evolve(ledger, opened())
    portfolio = next(iter(ledger.accounts))
    once = {"ts": 1, "cause": AT}
    impossible = [
        opened(),
        ev.PortfolioOpened(**once, portfolio_id=portfolio, name="main", currency="USDT", initial_balance=D(1)),
        ev.OrderAccepted(**once, order_id="?", bot_id="b", symbol="s", exchange_order_id="x"),
        ev.PositionLiquidated(
            **once,
            position_id="?",
            bot_id="b",
            exchange="e",
            symbol="s",
            side=PositionSide.LONG,
            quantity=D(1),
            price=D(1),
        ),
        object(),
    ]
    for event in impossible:
        with pytest.raises(InvariantError):
            evolve(ledger, event)  # type: ignore[arg-type]
    assert ledger.account.cash == D(10)


async def test_an_input_that_is_none_stops(tmp_path: Path) -> None:
    world = await World(tmp_path).open()
    with pytest.raises(InvariantError, match="no decision for input Nothing"):
        decide.step(world.engine.state, type("Nothing", (), {"ts": 1, "cause": AT})(), world.engine.setup)


async def test_a_loop_in_the_rules_ends_as_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = await World(tmp_path).open()
    monkeypatch.setitem(decide.FOLLOWERS, ev.AlertTriggered, lambda ctx, event: [event])
    with pytest.raises(InvariantError, match="more than"):
        decide.step(world.engine.state, report("?", OrderStatus.ACCEPTED), world.engine.setup)


def test_small_words() -> None:
    assert drawdown(D(5), D(0)) == 0
    with pytest.raises(NotImplementedError):
        OfRules().explain()
    assert config(bot={"strategy": {"python": "mine"}}).bots[0].strategy_text == "python mine"
    assert config().bots[0].strategy_text.startswith("rules ")
    with pytest.raises(ConfigError, match="two portfolios are named"):
        twice = [{"name": "p", "currency": "USDT", "initial_balance": "1"}] * 2
        config(account={"portfolios": twice, "limits": {}})
