"""One table per gate: what passes, what warns, what blocks, and that an unknown input blocks."""

from __future__ import annotations

from decimal import Decimal as D
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.core import risk
from engine.core.risk import DenyCode, Intent
from engine.core.types import MINUTE_US, OrderType, Origin, Side, TradingState, Verb, Verdict
from tests.core.worlds import BTC, START, World, config

BUY = Intent(
    bot_id="",
    exchange="test",
    symbol="BTC/USDT",
    side=Side.BUY,
    order_type=OrderType.MARKET,
    origin=Origin.ENTRY,
    quantity=D(1),
    price=D(100),
)
CLOSE = msgspec.structs.replace(BUY, side=Side.SELL, origin=Origin.EXIT, reduce_only=True)


async def view_of(directory: Path, limits: dict[str, Any] | None = None, *, fed: bool = True, **bot: Any) -> risk.View:
    account = {"limits": {"daily_loss_pct": {}, "max_drawdown_pct": {}} | (limits or {})}
    world = await World(directory, config(account=account, bot=bot)).open()
    if fed:
        await world.candle(100, 100, 100, 100)
    return world.engine.state and risk.View(
        world.ledger, world.engine.state.market, world.engine.setup, START + 60_000_000, world.ledger.account
    )


def check(gate: risk.Gate, view: risk.View, intent: Intent) -> tuple[Verdict, str]:
    result = gate(view, msgspec.structs.replace(intent, bot_id=view.setup.bots[0].id))
    return result.verdict, result.code


@pytest.mark.parametrize(
    ("state", "held", "entry", "code"),
    [
        (TradingState.ACTIVE, False, Verdict.ALLOWED, ""),
        (TradingState.ACTIVE, True, Verdict.BLOCKED, DenyCode.TRADING_STATE_HELD),
        (TradingState.PAUSED, False, Verdict.BLOCKED, DenyCode.TRADING_STATE_PAUSED),
        (TradingState.REDUCING, False, Verdict.BLOCKED, DenyCode.TRADING_STATE_REDUCING),
        (TradingState.HALTED, False, Verdict.BLOCKED, DenyCode.TRADING_STATE_HALTED),
    ],
)
async def test_g1_trading_state(tmp_path: Path, state: TradingState, held: bool, entry: Verdict, code: str) -> None:
    view = await view_of(tmp_path)
    view.ledger.state, view.ledger.held = state, held
    assert check(risk.trading_state, view, BUY) == (entry, code)
    assert check(risk.trading_state, view, CLOSE)[0] is Verdict.ALLOWED


@pytest.mark.parametrize(
    ("changes", "rules", "code"),
    [
        ({}, {}, ""),
        ({"quantity": D("1.000001")}, {}, DenyCode.INSTRUMENT_LOT),
        ({"order_type": OrderType.LIMIT, "price": D("100.001")}, {}, DenyCode.INSTRUMENT_TICK),
        ({"quantity": D("0.01")}, {}, DenyCode.INSTRUMENT_MIN_NOTIONAL),
        ({}, {"min_quantity": D(2)}, DenyCode.INSTRUMENT_MIN_QUANTITY),
        ({}, {"max_quantity": D("0.5")}, DenyCode.INSTRUMENT_MAX_QUANTITY),
        ({}, {"status": "HALT"}, DenyCode.INSTRUMENT_NOT_TRADING),
        ({"symbol": "NOPE/USDT"}, {}, DenyCode.INSTRUMENT_UNKNOWN),
        ({"price": None}, {}, DenyCode.INSTRUMENT_MIN_NOTIONAL),
    ],
)
async def test_g2_instrument_rules(tmp_path: Path, changes: dict[str, Any], rules: dict[str, Any], code: str) -> None:
    view = await view_of(tmp_path)
    view.market.series[("test", "BTC/USDT")].instrument = msgspec.structs.replace(BTC, **rules)
    verdict = Verdict.BLOCKED if code else Verdict.ALLOWED
    assert check(risk.instrument_rules, view, msgspec.structs.replace(BUY, **changes)) == (verdict, code)


@pytest.mark.parametrize(
    ("price", "verdict"),
    [("100", Verdict.ALLOWED), ("101", Verdict.ALLOWED), ("101.5", Verdict.WARNED), ("105", Verdict.WARNED),
     ("105.01", Verdict.BLOCKED), ("50", Verdict.ALLOWED)],
)  # fmt: skip
async def test_g3_price_collar(tmp_path: Path, price: str, verdict: Verdict) -> None:
    view = await view_of(tmp_path, {"price_collar_pct": {"soft": "1", "hard": "5"}})
    assert check(risk.price_collar, view, msgspec.structs.replace(BUY, price=D(price)))[0] is verdict


async def test_g3_blocks_without_a_price_also_a_close(tmp_path: Path) -> None:
    view = await view_of(tmp_path, fed=False)
    assert check(risk.price_collar, view, BUY) == (Verdict.BLOCKED, DenyCode.PRICE_UNKNOWN)
    assert check(risk.price_collar, view, CLOSE) == (Verdict.BLOCKED, DenyCode.PRICE_UNKNOWN)


@pytest.mark.parametrize(
    ("gate", "limit", "code"),
    [
        (risk.max_order_value, {"max_order_value": {"soft": "99", "hard": "100"}}, DenyCode.ORDER_VALUE),
        (risk.max_order_size, {"max_order_quantity": {"soft": "0.9", "hard": "1"}}, DenyCode.ORDER_SIZE),
        (risk.max_position, {"max_position_value": {"soft": "99", "hard": "100"}}, DenyCode.POSITION_VALUE),
        (risk.max_gross_exposure, {"max_gross_exposure_pct": {"soft": "0.9", "hard": "1"}}, DenyCode.EXPOSURE_GROSS),
        (risk.max_open_positions, {"max_open_positions": {"soft": "0.5", "hard": "1"}}, DenyCode.POSITION_COUNT),
    ],
)
async def test_g4_to_g6_warn_at_the_limit_and_block_beyond_it(
    tmp_path: Path, gate: risk.Gate, limit: dict[str, Any], code: DenyCode
) -> None:
    view = await view_of(tmp_path, limit)
    assert check(gate, view, BUY) == (Verdict.WARNED, code)
    assert check(gate, view, CLOSE)[0] is Verdict.ALLOWED
    assert (await view_of(tmp_path / "none")) and check(gate, await view_of(tmp_path / "n2"), BUY)[0] is Verdict.ALLOWED
    world = await World(
        tmp_path / "w", config(account={"limits": limit | {"daily_loss_pct": {}, "max_drawdown_pct": {}}})
    ).open()
    await world.candle(99, 100, 99, 99.5)
    more = risk.View(world.ledger, world.engine.state.market, world.engine.setup, START, world.ledger.account)
    if gate is risk.max_open_positions:
        world.engine.setup.account.limits.max_open_positions.__dict__["hard"] = D("0.5")
        assert check(gate, more, BUY) == (Verdict.BLOCKED, code)
    else:
        assert check(gate, more, msgspec.structs.replace(BUY, quantity=D("1.1"))) == (Verdict.BLOCKED, code)


async def test_g6_counts_open_entries_as_if_filled(tmp_path: Path) -> None:
    world = await World(tmp_path, config(account={"limits": {"max_position_value": {"hard": "150"}}})).open()
    await world.candle(99, 102, 98, 101)  # one unit is on its way
    view = risk.View(world.ledger, world.engine.state.market, world.engine.setup, START, world.ledger.account)
    assert world.ledger.orders and not world.ledger.positions
    assert check(risk.max_position, view, BUY) == (Verdict.BLOCKED, DenyCode.POSITION_VALUE)
    assert check(risk.duplicate_order, view, BUY) == (Verdict.BLOCKED, DenyCode.DUPLICATE_IN_FLIGHT)
    assert view.open_count() == 1


@pytest.mark.parametrize(("quantity", "verdict"), [("100", Verdict.ALLOWED), ("100.01", Verdict.BLOCKED)])
async def test_g7_buying_power(tmp_path: Path, quantity: str, verdict: Verdict) -> None:
    view = await view_of(tmp_path)
    assert check(risk.buying_power, view, msgspec.structs.replace(BUY, quantity=D(quantity)))[0] is verdict


@pytest.mark.parametrize(
    ("age_s", "entry", "close"),
    [
        (1, Verdict.ALLOWED, Verdict.ALLOWED),
        (31, Verdict.WARNED, Verdict.WARNED),
        (121, Verdict.BLOCKED, Verdict.WARNED),
    ],
)
async def test_g12_stale_data(tmp_path: Path, age_s: int, entry: Verdict, close: Verdict) -> None:
    view = await view_of(tmp_path)
    later = risk.View(view.ledger, view.market, view.setup, view.now + MINUTE_US + age_s * 1_000_000, view.account)
    assert check(risk.stale_data, later, BUY)[0] is entry
    assert check(risk.stale_data, later, CLOSE)[0] is close


async def test_g12_blocks_when_nothing_was_heard(tmp_path: Path) -> None:
    view = await view_of(tmp_path, fed=False)
    assert check(risk.stale_data, view, BUY) == (Verdict.BLOCKED, DenyCode.DATA_UNKNOWN)


@pytest.mark.parametrize(
    ("loss", "verdict"),
    [("100", Verdict.ALLOWED), ("301", Verdict.WARNED), ("500", Verdict.WARNED), ("501", Verdict.BLOCKED)],
)
async def test_g13_daily_loss_and_drawdown(tmp_path: Path, loss: str, verdict: Verdict) -> None:
    limit = {"soft": "3", "hard": "5"}
    view = await view_of(tmp_path, {"daily_loss_pct": limit, "max_drawdown_pct": limit})
    view.ledger.account.cash -= D(loss)
    assert risk.daily_loss(view).verdict is verdict
    assert risk.max_drawdown(view).verdict is verdict


async def test_all_gates_speak_also_after_the_first_that_blocks(tmp_path: Path) -> None:
    world = await World(tmp_path).open()
    await world.command(Verb.HALT, "test")
    events = await world.candle(99, 102, 98, 101, late_s=999)
    evaluated = next(e for _, e in world.store.pairs if type(e).__name__ == "IntentEvaluated")
    assert [g.gate for g in evaluated.gates] == [
        "TRADING_STATE", "INSTRUMENT_RULES", "PRICE_COLLAR", "MAX_ORDER_VALUE", "MAX_ORDER_SIZE", "MAX_POSITION",
        "MAX_GROSS_EXPOSURE", "MAX_OPEN_POSITIONS", "BUYING_POWER", "DUPLICATE_ORDER", "STALE_DATA", "DAILY_LOSS_LOCK",
        "MAX_DRAWDOWN",
    ]  # fmt: skip
    blocked = [g.gate for g in evaluated.gates if g.verdict is Verdict.BLOCKED]
    assert blocked == ["TRADING_STATE", "STALE_DATA"]
    assert evaluated.verdict is Verdict.BLOCKED and any(type(e).__name__ == "OrderDenied" for e in events)
