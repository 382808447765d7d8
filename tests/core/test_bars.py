"""Convention `bar` on an ordinary instrument with an ordinary bot: ticks, lots, limits, stops, restarts."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from db.memory import MemoryStore
from engine.core import bars, events as ev
from engine.core.bar_exits import Bar, Held, Stop, candidates, initial_stop, tightened, trailed
from engine.core.config import Config, Exits, Trailing
from engine.core.context import begin
from engine.core.inputs import PHASE_AFTER, Candle, Cause, Feature
from engine.core.strategy import ENTER_LONG, NO_PROPOSAL, Proposal, Strategy
from engine.core.types import MINUTE_US, TradingState, Verb
from tests.core.worlds import BTC, D, World, config, kinds

BARS = {"convention": "bar"}


def bar_config(**bot: Any) -> Config:
    exits = {"stop_loss_pct": "2", "take_profit_pct": None, "ladder": {"0": "4"}, "trailing": None}
    return config(bot={"exits": exits} | bot, costs=BARS)


async def opened(directory: Path, conf: Config | None = None, **more: Any) -> World:
    return await World(directory, conf or bar_config(), **more).open()


async def entered(world: World) -> list[ev.Event]:
    """A bar that signals, and the next, which enters at its open of 110."""
    await world.candle(104, 106, 103, 105)
    return await world.candle(110, 111, 109, 110.5)


def filled(events: list[ev.Event]) -> list[tuple[str, Decimal]]:
    return [(str(e.side), e.price) for e in events if isinstance(e, ev.OrderFilled)]


async def test_a_rule_acts_on_the_next_bar_and_no_exit_rests(tmp_path: Path) -> None:
    world = await opened(tmp_path)
    assert kinds(await world.candle(104, 106, 103, 105)) == ["LedgerOpened", "ConfigActivated"]
    events = await world.candle(110, 111, 109, 110.5)
    assert kinds(events) == ["SignalGenerated", "OrderSubmitted", "OrderAccepted", "OrderFilled", "PositionOpened",
                             "ExitsMoved"]  # fmt: skip
    assert filled(events) == [("BUY", D(110))]
    assert not world.ledger.orders and world.ledger.open_positions()[0].stop_price == D("107.80")
    events = await world.candle(108, 109, 107, 108)
    assert filled(events) == [("SELL", D("107.80"))]
    assert next(e.reason for e in events if isinstance(e, ev.PositionClosed)) == "STOP"


async def test_prices_are_on_the_tick_and_quantities_on_the_lot(tmp_path: Path) -> None:
    world = await opened(tmp_path, bar_config(exits={"stop_loss_pct": "1.2345", "take_profit_pct": None}))
    await entered(world)
    events = await world.candle(108, 109, 107, 108)
    assert filled(events) == [("SELL", D("108.64"))]  # 110 x 0.987655 = 108.64205


async def test_the_gates_speak_to_these_orders_too(tmp_path: Path) -> None:
    world = await opened(tmp_path, bar_config(limits={"max_order_value": {"hard": "50"}, "max_order_quantity": {}}))
    await world.candle(104, 106, 103, 105)
    evaluated = [e for e in await world.candle(110, 111, 109, 110.5) if isinstance(e, ev.IntentEvaluated)]
    assert all(g.verdict != "BLOCKED" for e in evaluated for g in e.gates)
    assert world.ledger.open_positions()[0].quantity * 110 <= 50  # the headroom of the limit
    paused = await opened(tmp_path / "paused")
    await paused.candle(104, 106, 103, 105)
    await paused.command(Verb.PAUSE, "wait")
    events = await paused.candle(110, 111, 109, 110.5)
    assert "OrderSubmitted" not in kinds(events) and not paused.ledger.positions


async def test_a_stopped_bot_enters_nothing_and_leaves_by_its_rules(tmp_path: Path) -> None:
    world = await opened(tmp_path)
    await entered(world)
    bot_id = next(iter(world.ledger.bots))
    await world.command(Verb.STOP_BOT, "enough", target=bot_id)
    assert filled(await world.candle(108, 109, 107, 108)) == [("SELL", D("107.80"))]
    await world.candle(104, 106, 103, 105)
    assert not filled(await world.candle(110, 111, 109, 110.5))


async def test_flatten_closes_at_the_bar_at_hand_and_enters_nothing_after(tmp_path: Path) -> None:
    world = await opened(tmp_path)
    await entered(world)
    _, events = await world.command(Verb.FLATTEN, "out")
    assert filled(events) == [("SELL", D(110))]
    assert world.ledger.state is TradingState.PAUSED and not world.ledger.positions
    await world.candle(104, 106, 103, 105)
    assert not filled(await world.candle(110, 111, 109, 110.5))


async def test_two_bots_on_a_symbol_keep_to_their_own_orders(tmp_path: Path) -> None:
    one = config(costs=BARS).model_dump(mode="json", by_alias=True)
    wide, narrow = (
        one["bots"][0] | {"name": name, "exits": {"stop_loss_pct": stop, "take_profit_pct": None}}
        for name, stop in (("wide", "20"), ("narrow", "2"))
    )
    world = await opened(tmp_path, Config.model_validate(one | {"bots": [wide, narrow]}))
    assert len(filled(await entered(world))) == 2
    events = await world.candle(108, 109, 107, 108)
    assert filled(events) == [("SELL", D("107.80"))]
    assert len(world.ledger.positions) == 1


async def test_a_restart_between_two_bars_goes_on_as_if_there_had_been_none(tmp_path: Path) -> None:
    whole = await opened(tmp_path / "whole")
    await entered(whole)
    want = await whole.candle(108, 109, 107, 108)
    store = MemoryStore()
    first = await opened(tmp_path / "cut", store=store)
    await entered(first)
    await first.engine.stop("cut")
    second = World(tmp_path / "cut", bar_config(), store=store)
    second.through_snapshot, second.bar = True, first.bar
    await second.open()
    await second.news()
    assert await second.candle(108, 109, 107, 108) == want
    assert second.ledger.state_hash() == whole.ledger.state_hash()


async def test_a_flattening_before_the_first_bar_after_a_restart_fills_in_that_bar(tmp_path: Path) -> None:
    store = MemoryStore()
    first = await opened(tmp_path, store=store)
    await entered(first)
    await first.engine.stop("cut")
    second = World(tmp_path, bar_config(), store=store)
    second.bar = first.bar
    await second.open()
    await second.news()
    _, events = await second.command(Verb.FLATTEN, "out")
    assert not filled(events) and len(second.ledger.positions) == 1  # without a price every gate is shut
    assert filled(await second.candle(112, 113, 111, 112)) == [("SELL", D(112))]
    assert second.ledger.state is TradingState.PAUSED


async def test_orders_of_a_bot_that_no_longer_runs_are_left_alone(tmp_path: Path) -> None:
    world = await opened(tmp_path)
    await entered(world)
    position = world.ledger.open_positions()[0]
    world.engine.state.market.series[("test", "BTC/USDT")].runners.clear()
    ctx = begin(world.engine.state, world.engine.setup, 1, Cause(1, 0, "", "", PHASE_AFTER, "probe", 0))
    for event in [e for _, e in world.store.pairs if isinstance(e, ev.OrderSubmitted | ev.OrderFilled)]:
        assert bars.follow(ctx, event) == []
    assert world.ledger.open_positions() == [position]


class Fickle:
    """Enters once at a limit that does not fill; proposes another price when it is asked first, and none when it is asked
    again."""

    warmup_bars = 0

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.bars = 0
        self.asked = 0

    def on_bar(self, candle: Candle) -> int:
        self.bars += 1
        return ENTER_LONG if self.bars == 1 else 0

    @property
    def proposal(self) -> Proposal:
        self.asked += self.bars > 1
        return Proposal(entry_price=D(90), entry_reprice=D(95) if self.asked == 1 else None)

    def on_feature(self, feature: Any) -> None: ...

    def explain(self) -> dict[str, Any]:
        return {}


async def test_a_strategy_that_takes_its_word_back_has_no_order(tmp_path: Path) -> None:
    conf = bar_config(strategy={"python": "fickle"}, entry={"valid_min": 100}, limits={"price_collar_pct": {}})
    world = await opened(tmp_path, conf, factories={"fickle": lambda params: cast(Strategy, Fickle(params))})
    await world.candle(104, 106, 103, 105)
    assert kinds(await world.candle(110, 111, 109, 110))[-2:] == ["OrderSubmitted", "OrderAccepted"]
    assert kinds(await world.candle(110, 111, 109, 110)) == ["CancelRequested", "OrderCanceled"]
    assert not world.ledger.orders and not world.ledger.positions


class Listener:
    """Writes down in which order it is told of bars and features."""

    warmup_bars = 0
    proposal = NO_PROPOSAL

    def __init__(self, heard: list[str]) -> None:
        self.heard = heard

    def on_bar(self, candle: Candle) -> int:
        self.heard.append(f"bar {candle.close:g}")
        return 0

    def on_feature(self, feature: Feature) -> None:
        self.heard.append(f"feature {feature.value:g}")

    def explain(self) -> dict[str, Any]:
        return {}


async def test_a_bar_that_is_shown_late_is_shown_before_what_came_after_it(tmp_path: Path) -> None:
    heard: list[str] = []
    conf = bar_config(strategy={"python": "ear"})
    world = await opened(tmp_path, conf, factories={"ear": lambda params: Listener(heard)})
    for n in range(3):
        await world.candle(100, 120, 90, 100 + n)
        news = Feature(ts=world.ledger.now, exchange="", symbol="", name="bias_1h", value=float(n), valid_until=2**62)
        await world.engine.play([news])
    assert heard == ["bar 100", "feature 0", "bar 101", "feature 1"]


# -- the numbers --------------------------------------------------------------------------------------------------------


def bar(o: str, h: str, low: str, c: str) -> Bar:
    return Bar(D(o), D(h), D(low), D(c), 10 * MINUTE_US, MINUTE_US)


def held(exits: Exits, **changes: Any) -> Held:
    values: dict[str, Any] = {"sign": 1, "entry": D(100), "leverage": D(1), "age_us": MINUTE_US, "exits": exits}
    return Held(**(values | changes))


def test_without_a_stop_there_is_nothing_to_hit_and_nothing_to_tighten() -> None:
    none = held(Exits(stop_loss_pct=None, take_profit_pct=None, trailing=None))
    stop = initial_stop(none)
    assert stop == Stop(None, False, "initial")
    assert tightened(none, stop, D(200), "initial") is None
    assert trailed(none, stop, bar("100", "200", "1", "100")) is None
    assert list(candidates(none, stop, bar("100", "200", "1", "100"), False, None)) == []


def test_a_trailing_stop_needs_no_first_stop() -> None:
    only = held(Exits(stop_loss_pct=None, trailing=Trailing(distance_pct=D(5), only_after_offset=False)))
    moved = trailed(only, initial_stop(only), bar("100", "120", "115", "118"))
    assert moved == Stop(D(114), True, "trailed")


def test_a_bar_holds_the_prices_that_it_has_traded() -> None:
    one = bar("100", "110", "90", "105")
    assert [one.fills(D(p)) for p in ("89.99", "90", "110", "110.01")] == [False, True, True, False]
    assert one.fills(None) and one.clamp(D(80)) == 90 and one.clamp(D(120)) == 110
    assert (one.best(1), one.best(-1), one.worst(1), one.worst(-1)) == (110, 90, 90, 110)
    assert Bar.of(Candle(ts=2, exchange="x", symbol="y", timeframe_us=1, open=0.1, high=0.3, low=0.1, close=0.2,
                         volume=0.0, received_ts=2)).high == D("0.3")  # fmt: skip


def test_profit_is_on_margin_and_compared_at_eight_decimals() -> None:
    exits = Exits()
    assert held(exits, leverage=D(3)).profit(D(101)) == D("0.03")
    assert held(exits, sign=-1, entry=D(3)).profit(D(2)) == D("0.33333333")
    assert held(exits, sign=-1, leverage=D(4)).beyond(D(200), D("-0.1")) == D(205)
    assert BTC.tick_size == D("0.01")
