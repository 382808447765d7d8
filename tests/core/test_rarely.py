"""What is rarely met: words that come twice, orders and bots that are not there, what only a broken caller can do."""

from __future__ import annotations

from decimal import Decimal as D
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.core import decide, events as ev
from engine.core.config import ConfigError, parse_config
from engine.core.context import begin
from engine.core.entries import close_position, enter
from engine.core.fold import evolve
from engine.core.inputs import Candle, Cause, Command, Feature, FillReport, HouseReport, OrderReport, Tick
from engine.core.ledger import Ledger, drawdown
from engine.core.setup import Setup
from engine.core.strategy import OfRules, Proposal
from engine.core.types import BotStatus, InvariantError, Mode, OrderStatus, PositionSide, Side, Verb, Verdict
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
    done, events = await world.command(Verb.RESUME, "who?", target="nobody")
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
    world.engine.keep(events)
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
    ctx = begin(world.engine.state, world.engine.setup, START, AT)
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


async def test_a_tick_goes_through_the_same_door_as_every_input(tmp_path: Path) -> None:
    world = await World(tmp_path).open()
    (series,) = world.engine.state.market.series.values()
    await world.candle(99, 99, 98, 98)
    later = msgspec.structs.replace(series.tail[-1], ts=START + 600_000_000)
    assert list(decide.step(world.engine.state, later, world.engine.setup)) == [] and series.tail[-1] is later
    day = decide.step(world.engine.state, Tick(ts=START + 86_400_000_000), world.engine.setup)
    assert of(list(day), ev.DayStarted)


async def test_a_position_whose_symbol_is_gone_is_an_alert(tmp_path: Path) -> None:
    world = await holding(tmp_path)
    (position,) = world.ledger.positions.values()
    world.engine.state.market.series.clear()
    ctx = begin(world.engine.state, world.engine.setup, START, AT)
    (alert,) = of(close_position(ctx, position, "BY_HAND"), ev.AlertTriggered)
    assert alert.code == "EXIT_NOT_PLACED" and "does not offer" in alert.text


async def test_nothing_is_known_of_the_age_of_a_symbol_without_words(tmp_path: Path) -> None:
    world = await World(tmp_path).open()
    (series,) = world.engine.state.market.series.values()
    assert series.age_us(START) is None
    await world.candle(99, 99, 98, 98, late_s=3)
    assert series.age_us(START + 60_000_000) == 3_000_000


async def test_the_limit_that_a_strategy_proposes_is_taken(tmp_path: Path) -> None:
    world = await World(tmp_path).open()
    (series,) = world.engine.state.market.series.values()
    series.runners[0].strategy.proposal = Proposal(entry_price=D("99.999"))
    await world.candle(99, 102, 98, 101)
    assert [(o.order_type, o.price) for o in world.ledger.orders.values()] == [("LIMIT", D("99.99"))]


async def test_an_entry_that_fills_after_the_flattening_began_is_flattened_too(tmp_path: Path) -> None:
    world = await waiting(tmp_path)
    (order,) = world.ledger.orders.values()
    flatten = Command(ts=START, cause=AT, verb=Verb.FLATTEN, actor="tester", reason="out", policy="flatten")
    decide.step(world.engine.state, flatten, world.engine.setup)  # decided, not sent: the cancel is on its way
    events = list(decide.step(world.engine.state, _fill(order.id, "1"), world.engine.setup))
    assert [e.origin for e in of(events, ev.OrderSubmitted)] == ["FLATTEN"]
    (stop,) = world.ledger.stops.values()
    assert list(stop.positions.values()) == [""]


async def test_an_entry_that_fills_after_its_cancel_was_sent_stays_and_is_no_concern_of_the_stop(
    tmp_path: Path,
) -> None:
    world = await waiting(tmp_path)
    (order,) = world.ledger.orders.values()
    cancel = Command(ts=START, cause=AT, verb=Verb.CANCEL, actor="tester", reason="orders only", policy="cancel")
    decide.step(world.engine.state, cancel, world.engine.setup)
    assert world.ledger.stops
    events = list(decide.step(world.engine.state, _fill(order.id, "1"), world.engine.setup))
    assert "FLATTEN" not in [e.origin for e in of(events, ev.OrderSubmitted)]
    assert len(world.ledger.positions) == 1 and all(not stop.positions for stop in world.ledger.stops.values())


async def test_a_stop_does_not_wait_for_positions_that_it_did_not_find(tmp_path: Path) -> None:
    world = await holding(tmp_path)
    (position,) = world.ledger.positions.values()
    pause = Command(ts=START, cause=AT, verb=Verb.CANCEL, actor="tester", reason="hold on")
    decide.step(world.engine.state, pause, world.engine.setup)
    assert world.ledger.stops[""].positions == {}
    closing = next(o for o in world.ledger.orders.values() if o.role == "STOP")
    decide.step(world.engine.state, _fill(closing.id, "1"), world.engine.setup)
    assert position.id in world.ledger.closed_positions and world.ledger.stops[""].positions == {}


async def test_a_bot_in_error_keeps_its_reason_when_a_config_leaves_it_out(tmp_path: Path) -> None:
    world = await World(tmp_path).open()
    (book,) = world.ledger.bots.values()
    book.status, book.reason = BotStatus.ERROR, "its reason"
    other = config(bot={"name": "other"})
    setup = Setup(other, LEDGER_ID, 2)
    activated = ev.ConfigActivated(
        ts=START, cause=AT, version=2, sha256=setup.sha256, previous=1, actor="t", diff=(), config=setup.text
    )
    decide.apply(begin(world.engine.state, setup, START, AT), [activated])
    assert (book.status, book.reason) == (BotStatus.ERROR, "its reason")


async def test_a_portfolio_gets_its_money_once(tmp_path: Path) -> None:
    money = {"portfolios": [{"name": "second", "currency": "USDT", "initial_balance": "500"}], "limits": {}}
    world = await World(tmp_path, config(account=money)).open()
    again = ev.ConfigActivated(
        ts=START,
        cause=AT,
        version=2,
        sha256=world.engine.setup.sha256,
        previous=1,
        actor="t",
        diff=(),
        config=world.engine.setup.text,
    )
    events = decide.apply(begin(world.engine.state, world.engine.setup, START, AT), [again])
    assert not of(list(events), ev.PortfolioOpened)
    assert [a.cash for a in world.ledger.accounts.values()] == [D(10_000), D(500)]


async def test_ranges_are_warmed_from_the_bars_in_memory(tmp_path: Path) -> None:
    sizing = {"kind": "volatility_target", "value": "1", "atr_period": 3}
    world = await World(tmp_path, config(bot={"sizing": sizing})).open()
    for _ in range(6):
        await world.candle(99, 100, 98, 99)
    market = world.engine.state.market
    market.arm(world.engine.setup)
    (series,) = market.series.values()
    assert series.atr(3) == 2.0


async def test_a_fill_that_left_no_position_stops(tmp_path: Path) -> None:
    world = await World(tmp_path).open()
    ctx = begin(world.engine.state, world.engine.setup, START, AT)
    told = decide.step(world.engine.state, report("?", OrderStatus.ACCEPTED), world.engine.setup)[0]
    fill = ev.OrderFilled(
        ts=1,
        cause=AT,
        trade_id="t",
        order_id="?",
        position_id="?",
        bot_id="",
        exchange="",
        symbol="",
        side=Side.BUY,
        quantity=D(1),
        price=D(1),
        fee=D(0),
        fee_currency="",
        liquidity="",
        pnl=D(0),
        executed_ts=1,
    )
    with pytest.raises(InvariantError, match="left no position"):
        decide.FOLLOWERS[ev.OrderFilled](ctx, fill)
    assert isinstance(told, ev.AlertTriggered)


def test_the_row_of_a_decision_has_an_id_of_its_own() -> None:
    word = {"order_id": "o", "signal_id": "", "bot_id": "", "exchange": "", "symbol": "", "side": Side.BUY}
    ids = {
        ev.IntentEvaluated(ts=ts, cause=AT, verdict=Verdict.ALLOWED, gates=(), **word).decision_id for ts in (1, 10**6)
    }
    assert len(ids) == 2


async def test_an_input_that_is_none_stops(tmp_path: Path) -> None:
    world = await World(tmp_path).open()
    with pytest.raises(InvariantError, match="no decision for input Nothing"):
        decide.step(world.engine.state, type("Nothing", (), {"ts": 1, "cause": AT})(), world.engine.setup)


async def test_a_loop_in_the_rules_ends_as_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = await World(tmp_path).open()
    monkeypatch.setitem(decide.STEPS, ev.AlertTriggered, (lambda ledger, event: None, lambda ctx, event: [event]))
    with pytest.raises(InvariantError, match="more than"):
        decide.step(world.engine.state, report("?", OrderStatus.ACCEPTED), world.engine.setup)


def test_an_older_event_is_read_through_its_upcasters(monkeypatch: pytest.MonkeyPatch) -> None:
    event = ev.EntriesHeld(ts=1, cause=AT, held=True, actor="me")
    older = ev.encode(event).replace(b'"held":true', b'"hold":1')

    def upcast(raw: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in raw.items() if key != "hold"} | {"held": bool(raw["hold"])}

    monkeypatch.setitem(ev.UPCASTERS, ("EntriesHeld", 0), upcast)
    assert ev.decode(older, 0) == event
    assert ev.decode(ev.encode(opened()), 0) == opened()  # of a type that has not changed


def test_small_words() -> None:
    assert drawdown(D(5), D(0)) == 0
    with pytest.raises(NotImplementedError):
        OfRules().explain()
    assert config(bot={"strategy": {"python": "mine"}}).bots[0].strategy_text == "python mine"
    assert config().bots[0].strategy_text.startswith("rules ")
    with pytest.raises(ConfigError, match="two portfolios are named"):
        twice = [{"name": "p", "currency": "USDT", "initial_balance": "1"}] * 2
        config(account={"portfolios": twice, "limits": {}})
