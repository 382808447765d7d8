"""A scene for gates: a ledger, a market and limits, made by hand, without an engine. One symbol at 100, cash 10,000."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import msgspec

from engine.core import events as ev, risk
from engine.core.config import parse_config
from engine.core.events import GateResult
from engine.core.fold import evolve
from engine.core.inputs import PHASE_AFTER, Candle, Cause, Quote
from engine.core.ledger import Ledger
from engine.core.market import Market
from engine.core.orders import Order
from engine.core.positions import Position
from engine.core.setup import BotSetup, Setup
from engine.core.types import (
    MINUTE_US,
    ZERO,
    BotStatus,
    Instrument,
    InstrumentKind,
    MarginTier,
    Mode,
    OrderType,
    Origin,
    PositionSide,
    Side,
    TimeInForce,
)
from tests.core.worlds import BTC, ETH, RULES

LEDGER_ID = "00000000-0000-7000-8000-000000000001"
NOW = 1_735_689_600_000_000 + 600 * MINUTE_US  # 2025-01-01 10:00 UTC, a Wednesday
PERP = Instrument(
    exchange="test",
    symbol="BTC/USDT:USDT",
    base="BTC",
    quote="USDT",
    kind=InstrumentKind.LINEAR,
    tick_size=D("0.1"),
    lot_size=D("1"),
    contract_size=D("0.01"),
    min_notional=D(5),
    margin_tiers=(
        MarginTier(floor=ZERO, cap=D(5000), maintenance_rate=D("0.004"), cum=ZERO, max_leverage=D(20)),
        MarginTier(floor=D(5000), cap=D(20000), maintenance_rate=D("0.01"), cum=D(30), max_leverage=D(10)),
    ),
)
NO_LIMITS: dict[str, Any] = {
    name: {}
    for name in (
        "price_collar_pct", "max_gross_exposure_pct", "max_open_positions", "max_messages_per_second",
        "max_messages_per_minute", "max_messages_per_day", "max_data_age_s", "max_clock_skew_ms", "daily_loss_pct",
        "max_drawdown_pct", "max_in_doubt",
    )
}  # fmt: skip


class Scene:
    """`account` and `own` are limits of the account and of bot "probe"; what they leave out is no limit."""

    def __init__(
        self,
        account: dict[str, Any] | None = None,
        own: dict[str, Any] | None = None,
        *,
        price: float | None = 100.0,
        instruments: tuple[Instrument, ...] = (BTC, ETH, PERP),
        fee_bps: str = "0",
        **bot: Any,
    ) -> None:
        base = {"strategy": RULES, "sizing": {"kind": "fixed_quantity", "value": "1"}}
        bots = [base | {"name": "probe", "limits": own or {}} | bot, base | {"name": "sibling"}]
        config = parse_config(
            {
                "schema": 1,
                "bots": bots,
                "account": {"limits": NO_LIMITS | (account or {})},
                "costs": {"maker_bps": fee_bps, "taker_bps": fee_bps, "slippage_bps": "0"},
            }
        )
        self.setup = Setup(config, LEDGER_ID, 1)
        self.ledger = Ledger()
        self.at = NOW
        self.fold(
            ev.LedgerOpened(
                ts=0,
                cause=self.cause(),
                ledger_id=LEDGER_ID,
                mode=Mode.PAPER,
                feed="replay:test",
                seed=1,
                base_currency="USDT",
                initial_balance=D(10_000),
            ),
            ev.ConfigActivated(
                ts=0,
                cause=self.cause(),
                version=1,
                sha256=self.setup.sha256,
                previous=0,
                actor="tester",
                diff=(),
                config=self.setup.text,
            ),
        )
        for book in self.ledger.bots.values():
            book.status = BotStatus.RUNNING
        self.market = Market(instruments, 1_000)
        self.market.arm(self.setup)
        self.count = 0
        if price is not None:
            for instrument in instruments:
                self.bar(price, symbol=instrument.symbol)

    # -- the world moves -----------------------------------------------------------------------------------------------

    def cause(self) -> Cause:
        return Cause(0, 0, "", "", PHASE_AFTER, "test", 0)

    def fold(self, *events: ev.Event) -> None:
        for event in events:
            evolve(self.ledger, event)

    def bar(
        self, close: float, ts: int | None = None, symbol: str = "BTC/USDT", late_us: int = 0, width: float = 0.0
    ) -> None:
        """A closed one-minute bar at `close`, its range `width` to both sides."""
        ts = self.at if ts is None else ts
        self.market.observe(
            Candle(
                ts=ts,
                exchange="test",
                symbol=symbol,
                timeframe_us=MINUTE_US,
                open=close,
                high=close + width,
                low=close - width,
                close=close,
                volume=1.0,
                received_ts=ts + late_us,
            )
        )

    def quote(self, bid: float, ask: float, ts: int | None = None, symbol: str = "BTC/USDT") -> None:
        ts = self.at if ts is None else ts
        self.market.hear(Quote(ts=ts, exchange="test", symbol=symbol, bid=bid, ask=ask, received_ts=ts))

    # -- what the ledger holds -----------------------------------------------------------------------------------------

    @property
    def probe(self) -> BotSetup:
        return next(bot for bot in self.setup.bots if bot.name == "probe")

    @property
    def sibling(self) -> BotSetup:
        return next(bot for bot in self.setup.bots if bot.name == "sibling")

    @property
    def book(self) -> Any:
        return self.ledger.bots[self.probe.id]

    @property
    def account(self) -> Any:
        return self.ledger.account

    def position(self, quantity: str = "1", price: str = "100", *, bot: str = "probe", **changes: Any) -> Position:
        """An open position, as if bought at `price` (cash pays for it on spot)."""
        self.count += 1
        value = D(quantity) * D(price) * changes.get("contract_size", D(1))
        position = Position(
            id=f"position-{self.count}",
            bot_id=(self.probe if bot == "probe" else self.sibling).id,
            strategy_id="",
            portfolio_id=self.account.portfolio_id,
            exchange="test",
            symbol=changes.pop("symbol", "BTC/USDT"),
            side=changes.pop("side", PositionSide.LONG),
            signal_id="",
            config_version=1,
            opened_ts=self.at,
            quantity=D(quantity),
            cost=value,
            entry_quantity=D(quantity),
            entry_notional=value,
            mark_price=D(price),
            **changes,
        )
        if position.kind is InstrumentKind.SPOT:
            self.account.cash -= value
        self.ledger.positions[position.id] = position
        return position

    def order(self, quantity: str = "1", price: str | None = "100", *, bot: str = "probe", **changes: Any) -> Order:
        """An open order: an entry by a limit unless `changes` say otherwise."""
        self.count += 1
        fields: dict[str, Any] = {
            "symbol": "BTC/USDT",
            "side": Side.BUY,
            "position_side": PositionSide.LONG,
            "order_type": OrderType.MARKET if price is None else OrderType.LIMIT,
            "origin": Origin.ENTRY,
            "reduce_only": False,
            "stop_price": None,
        }
        order = Order(
            id=f"order-{self.count}",
            number=self.count,
            signal_id="",
            bot_id=(self.probe if bot == "probe" else self.sibling).id,
            strategy_id="",
            portfolio_id=self.account.portfolio_id,
            position_id=f"position-of-{self.count}",
            exchange="test",
            time_in_force=TimeInForce.GTC,
            role="ENTRY",
            quantity=D(quantity),
            price=None if price is None else D(price),
            valid_until=None,
            config_version=1,
            submitted_ts=self.at,
            cause=self.cause(),
            **(fields | changes),
        )
        self.ledger.orders[order.id] = order
        return order

    # -- questions -----------------------------------------------------------------------------------------------------

    def view(self, at: int | None = None) -> risk.View:
        return risk.View(self.ledger, self.market, self.setup, self.at if at is None else at, self.account)

    def intent(self, quantity: str = "1", price: str | None = "100", **changes: Any) -> risk.Intent:
        """A market entry of bot "probe", unless `changes` say otherwise."""
        fields: dict[str, Any] = {
            "bot_id": self.probe.id,
            "exchange": "test",
            "symbol": "BTC/USDT",
            "side": Side.BUY,
            "order_type": OrderType.MARKET,
            "origin": Origin.ENTRY,
            "quantity": D(quantity),
            "price": None if price is None else D(price),
            "ts": self.at,
            "cause": self.cause(),
            "order_id": "asked",
            "number": 1,
            "signal_id": "",
            "strategy_id": "",
            "portfolio_id": self.account.portfolio_id,
            "position_id": "",
            "position_side": PositionSide.LONG,
            "time_in_force": TimeInForce.GTC,
            "role": "ENTRY",
            "stop_price": None,
            "reduce_only": False,
            "valid_until": None,
            "config_version": 1,
        }
        return risk.Intent(**(fields | changes))

    def closing(self, quantity: str = "1", price: str | None = "100", **changes: Any) -> risk.Intent:
        fields: dict[str, Any] = {"side": Side.SELL, "origin": Origin.EXIT, "reduce_only": True}
        return self.intent(quantity, price, **(fields | changes))

    def future(self, contracts: str = "100", price: str | None = "100", **changes: Any) -> risk.Intent:
        fields = {"symbol": PERP.symbol, "kind": InstrumentKind.LINEAR, "contract_size": D("0.01")}
        return self.intent(contracts, price, **(fields | changes))

    def says(self, gate: str, intent: risk.Intent | None = None, at: int | None = None) -> GateResult:
        """The word of one gate, out of the whole evaluation."""
        words = risk.evaluate(self.view(at), intent or self.intent())[0]
        return next(word for word in words if word.gate == gate)

    def told(self, gate: str, intent: risk.Intent | None = None, at: int | None = None) -> str:
        """Verdict and code, as "ALLOWED", "WARNED CODE", "BLOCKED CODE"."""
        word = self.says(gate, intent, at)
        return f"{word.verdict} {word.code}".rstrip()


def changed(instrument: Instrument, **rules: Any) -> Instrument:
    return msgspec.structs.replace(instrument, **rules)
