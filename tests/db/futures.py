"""A small futures run for the tests of the database: two accounts, both sides, margin, funding, a liquidation, dust, stops of a
bot and of the account, a bot that fails. Decided by the real engine over the paper venue.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec import structs

from engine.core import events as ev
from engine.core.config import Config, parse_config
from engine.core.inputs import PHASE_VENUE, Candle, Cause, FillReport, Funding
from engine.core.strategy import Strategy
from engine.core.types import MINUTE_US, Instrument, InstrumentKind, MarginTier, Verb
from tests.core.worlds import BTC, RULES, START, World

D = Decimal
SPOT = structs.replace(BTC, lot_size=D("0.01"), max_quantity=D(9000), fee_in_base=True, source="bundled")
PERP = Instrument(
    exchange="test",
    symbol="BTC/USDT:USDT",
    base="BTC",
    quote="USDT",
    tick_size=D("0.01"),
    lot_size=D(1),
    min_notional=D(5),
    source="bundled",
    kind=InstrumentKind.LINEAR,
    contract_size=D("0.1"),
    margin_tiers=(
        MarginTier(floor=D(0), cap=D(50_000), maintenance_rate=D("0.004"), cum=D(0), max_leverage=D(125)),
        MarginTier(floor=D(50_000), cap=None, maintenance_rate=D("0.01"), cum=D(300), max_leverage=D(50)),
    ),
)
#: Long above 100, short below 60: bars drive it.
BOTH_SIDES = RULES | {
    "entry_short": {
        "op": "all",
        "of": [{"op": "lt", "left": "close", "right": 60}, {"op": "lt", "left": "close", "right": "open"}],
    },
    "exit_short": {"op": "gt", "left": "close", "right": 150},
}


class Broken(Strategy):
    """Raises at its third bar."""

    warmup_bars = 1

    def __init__(self, params: Any) -> None:
        self.bars = 0

    def on_bar(self, candle: Candle) -> int:
        self.bars += 1
        if self.bars == 3:
            raise ZeroDivisionError("divided by hope")
        return 0


FACTORIES = {"broken": Broken}
#: Bars jump as they please here; other limits hold.
LOOSE: dict[str, Any] = {
    name: {} for name in ("price_collar_pct", "max_gross_exposure_pct", "daily_loss_pct", "max_drawdown_pct")
}


def portfolios() -> list[dict[str, Any]]:
    return [{"name": "swing", "currency": "USDT", "initial_balance": "5000"}]


def bots() -> list[dict[str, Any]]:
    """Spot with a partial target; 20x isolated without a stop; 5x cross in hedge mode on an account of its own; a failing one."""
    size: dict[str, Any] = {"sizing": {"kind": "fixed_quantity", "value": "2"}, "limits": LOOSE}
    half = {"stop_loss_pct": "10", "take_profit_pct": "30", "trailing": None}
    half["targets"] = [{"profit_pct": "2", "close_pct": "50"}]
    bare = {"stop_loss_pct": None, "take_profit_pct": "60", "trailing": None}
    none = bare | {"take_profit_pct": None}  # or the bots would trade with each other
    margin = {"leverage": "5", "mode": "CROSS", "position_mode": "HEDGE"}
    perp = {"symbols": [PERP.symbol], "strategy": BOTH_SIDES, **size}
    return [
        {"name": "half", "symbols": ["BTC/USDT"], "strategy": RULES, "exits": half, **size},
        {"name": "perp", "margin": {"leverage": "20"}, "exits": bare, **perp},
        {"name": "hedge", "portfolio": "swing", "margin": margin, "exits": none, **perp},
        {"name": "broken", "symbols": [PERP.symbol], "strategy": {"python": "broken", "params": {"depth": 3}}},
    ]


def futures_config() -> Config:
    account = {"limits": LOOSE, "portfolios": portfolios(), "equity_sample_s": 120}
    costs = {"maker_bps": "2", "taker_bps": "5", "slippage_bps": "0"}
    return parse_config({"schema": 1, "bots": bots(), "costs": costs, "account": account})


async def futures(directory: Path) -> World:
    """A world after `play`."""
    world = World(directory, futures_config(), instruments=(SPOT, PERP), factories=FACTORIES)
    await play(await world.open())
    return world


async def bar(world: World, o: float, h: float, low: float, c: float) -> None:
    """The next minute of both symbols."""
    world.bar += 1
    await world.candle(o, h, low, c, tick=False)
    world.bar -= 1
    await world.candle(o, h, low, c, symbol=PERP.symbol)


async def funding(world: World, rate: float, mark: float) -> None:
    ts = START + world.bar * MINUTE_US
    await world.engine.play([Funding(ts=ts, exchange="test", symbol=PERP.symbol, rate=rate, mark=mark)])
    await world.news()


async def play(world: World) -> None:
    """Entries on both accounts, a partial exit, a fill that turns a position around, funding, a liquidation, shorts, every
    stop; in the end positions are open on both sides."""
    await bar(world, 90, 121, 89, 120)
    await bar(world, 120, 122, 119, 121)
    await funding(world, 0.0001, 121)
    await bar(world, 121, 124, 120, 121)  # half of the spot position goes at 122.40
    await _turn_around(world)
    await bar(world, 121, 123, 120, 121)
    await funding(world, -0.0003, 121)
    perp = _bot(world, "perp")
    await world.command(Verb.PAUSE, "one bot only", target=perp)
    await world.command(Verb.RESUME, "it may", target=perp)
    await world.command(Verb.CANCEL, "nothing may rest")
    await world.command(Verb.RESUME, "put them back")
    await bar(world, 121, 200, 120, 199)  # what was turned around into a short is liquidated
    await bar(world, 199, 199, 99, 99)
    await bar(world, 99, 99, 54, 55)
    await bar(world, 55, 56, 50, 52)
    await funding(world, 0.0002, 52)
    await world.command(Verb.FLATTEN, "out of everything")
    await bar(world, 52, 53, 51, 52)
    await bar(world, 52, 53, 51, 52)
    await world.command(Verb.RESUME, "again")
    await bar(world, 90, 121, 89, 120)
    await bar(world, 120, 123, 119, 122)
    position = next(p for p in world.ledger.open_positions() if p.bot_id == _bot(world, "half"))
    await world.command(Verb.CLOSE_POSITION, "by hand", target=position.id)
    await bar(world, 122, 123, 121, 121)
    await bar(world, 121, 122, 120, 122)
    await world.command(Verb.HALT, "smoke in the room", policy="keep_with_exits")
    await world.command(Verb.RESUME, "it was the toaster")
    await bar(world, 119, 121, 118, 120)
    await bar(world, 120, 123, 119, 122)  # half of the spot position goes again
    await world.news()


def _bot(world: World, name: str) -> str:
    return str(next(bot.id for bot in world.engine.setup.bots if bot.name == name))


async def _turn_around(world: World) -> None:
    """The venue fills more of an exit than was asked for: the end of a long position, and the start of a short one."""
    order = next(o for o in world.ledger.open_orders() if o.role == "TAKE_PROFIT" and o.bot_id == _bot(world, "perp"))
    ts = START + world.bar * MINUTE_US
    report = FillReport(
        ts=ts,
        cause=Cause(ts, 1, "test", PERP.symbol, PHASE_VENUE, "fill", 7),
        order_id=order.id,
        trade_id="too-much",
        executed_ts=ts,
        quantity=order.quantity + 5,
        price=D(121),
        fee=D("0.3"),
        fee_currency="BNB",
        liquidity="TAKER",
    )
    await world.engine._apply(report)
    found = [e for e in await world.news() if isinstance(e, ev.OrderFilled)]
    assert [e.part for e in found] == [0, 1]
