"""A ledger to book on: orders are put in as facts, reports go through `decide.step`, nothing else moves it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from engine.core import decide, events as ev
from engine.core.config import parse_config
from engine.core.context import State, begin
from engine.core.fold import evolve
from engine.core.inputs import (
    PHASE_AFTER,
    Cause,
    FillReport,
    Funding,
    LiquidationReport,
    Mark,
    OrderReport,
    Quote,
    Tick,
)
from engine.core.ledger import Ledger
from engine.core.margin import equity
from engine.core.market import Market
from engine.core.orders import Order
from engine.core.positions import Account, Position, check_conservation
from engine.core.setup import Setup
from engine.core.types import (
    SECOND_US,
    Instrument,
    InstrumentKind,
    MarginMode,
    MarginTier,
    OrderStatus,
    OrderType,
    Origin,
    PositionSide,
    Side,
    TimeInForce,
)
from tests.core.worlds import LEDGER_ID, RULES, START, genesis

D = Decimal


def table(*rows: str) -> tuple[MarginTier, ...]:
    """Tiers of "floor rate cum leverage" rows, as a venue lists them; a row's cap is the next row's floor."""
    cut = [tuple(D(x) for x in row.split()) for row in rows]
    caps = [row[0] for row in cut[1:]] + [None]
    return tuple(
        MarginTier(floor=floor, cap=cap, maintenance_rate=rate, cum=cum, max_leverage=leverage)
        for (floor, rate, cum, leverage), cap in zip(cut, caps, strict=True)
    )


#: Binance USDⓈ-M leverage and margin tables as they stood in 2024 and 2025: a large contract and two small ones.
BTC_TIERS = table(
    "0 0.004 0 125",
    "50000 0.005 50 100",
    "600000 0.0065 950 75",
    "3000000 0.01 11450 50",
    "12000000 0.02 131450 25",
    "70000000 0.025 481450 20",
    "100000000 0.05 2981450 10",
    "230000000 0.1 14481450 5",
    "480000000 0.125 26481450 4",
    "600000000 0.15 41481450 3",
    "800000000 0.25 121481450 2",
    "1200000000 0.5 421481450 1",
)
BONK_TIERS = table(
    "0 0.015 0 50",
    "5000 0.02 25 25",
    "50000 0.025 275 20",
    "100000 0.05 2775 10",
    "1000000 0.1 52775 5",
    "2000000 0.125 102775 4",
    "2500000 0.25 415275 2",
    "5000000 0.5 1665275 1",
)
PEPE_TIERS = table(
    "0 0.015 0 50",
    "5000 0.02 25 25",
    "10000 0.025 75 20",
    "50000 0.05 1325 10",
    "1200000 0.1 61325 5",
    "3000000 0.125 136325 4",
    "3600000 0.25 586325 2",
    "9000000 0.5 2836325 1",
)


def instrument(symbol: str = "BTC/USDT", **more: Any) -> Instrument:
    """Spot rules, or with a settlement currency ("BTC/USDT:USDT") those of a perpetual."""
    base, quote = symbol.split(":")[0].split("/")
    if ":" in symbol:
        more = {"kind": InstrumentKind.LINEAR, "margin_tiers": BTC_TIERS} | more
    rules = {"tick_size": D("0.01"), "lot_size": D("0.001"), "min_quantity": D("0.001"), "min_notional": D(5)} | more
    return Instrument(exchange="test", symbol=symbol, base=base, quote=quote, **rules)


SPOT, PERP, ETH_PERP = instrument(), instrument("BTC/USDT:USDT"), instrument("ETH/USDT:USDT", margin_tiers=BONK_TIERS)


class Book:
    """`orders` are opened as facts; what the venue says of them is decided. Conservation is checked after each step."""

    def __init__(self, *instruments: Instrument, balance: Decimal = D(10_000), **portfolios: Decimal) -> None:
        exits = {"stop_loss_pct": None, "take_profit_pct": None, "trailing": None}
        bot = {"name": "probe", "strategy": RULES, "exits": exits}
        listed = [{"name": n, "currency": "USDT", "initial_balance": str(b)} for n, b in portfolios.items()]
        limits = {"daily_loss_pct": {}, "max_drawdown_pct": {}}
        account = {"portfolios": listed, "limits": limits}
        self.setup = Setup(parse_config({"schema": 1, "bots": [bot], "account": account}), LEDGER_ID, 1)
        self.instruments = {i.symbol: i for i in instruments or (SPOT,)}
        self.ts = START
        self.state = State(Ledger(), Market(self.instruments.values()))
        self.events: list[ev.Event] = []
        self.number = 0
        self.broken = False
        first = genesis(self.setup, balance)
        self._did(decide.apply(begin(self.state, self.setup, 0, first[0].cause), first))

    @property
    def ledger(self) -> Ledger:
        return self.state.ledger

    @property
    def account(self) -> Account:
        return self.ledger.account

    @property
    def position(self) -> Position:
        (position,) = self.ledger.positions.values()
        return position

    @property
    def equity(self) -> Decimal:
        return equity(self.ledger, self.state.market, self.account)

    def order(
        self,
        side: str,
        quantity: str | Decimal,
        *,
        symbol: str = "",
        of: Position | None = None,
        accepted: bool = True,
        **more: Any,
    ) -> Order:
        """An order, accepted if nothing else is said: an entry, or `of` a position one that leaves it."""
        rules = self.instruments[symbol or next(iter(self.instruments))]
        self.number += 1
        name = f"{self.number:012d}"
        fields: dict[str, Any] = {
            "order_id": f"00000000-0000-7000-9000-{name}",
            "number": self.ledger.intents + 1,
            "signal_id": "",
            "bot_id": self.setup.bots[0].id,
            "strategy_id": "",
            "portfolio_id": of.portfolio_id if of else self.account.portfolio_id,
            "position_id": of.id if of else f"00000000-0000-7000-a000-{name}",
            "exchange": "test",
            "symbol": rules.symbol,
            "side": Side(side),
            "position_side": of.side if of else PositionSide.LONG if side == "BUY" else PositionSide.SHORT,
            "order_type": OrderType.MARKET,
            "time_in_force": TimeInForce.IOC,
            "origin": Origin.EXIT if of else Origin.ENTRY,
            "role": "SIGNAL_EXIT" if of else "ENTRY",
            "quantity": D(quantity),
            "price": None,
            "stop_price": None,
            "reduce_only": of is not None,
            "valid_until": None,
            "config_version": 1,
            "kind": rules.kind,
            "contract_size": rules.contract_size,
            "hedge": of.hedge if of else False,
        }
        if of is None and rules.kind is InstrumentKind.SPOT:
            fields["position_side"] = PositionSide.LONG
        submitted = ev.OrderSubmitted(ts=self.ts, cause=self._cause("order"), **(fields | more))
        self._did(decide.apply(begin(self.state, self.setup, self.ts, submitted.cause), [submitted]))
        if accepted:
            self.report(submitted.order_id, OrderStatus.ACCEPTED)
        return self.ledger.orders[submitted.order_id]

    def trade(self, side: str, quantity: str | Decimal, price: str | Decimal, fee: str = "0", **more: Any) -> Position:
        """An order that fills at once, whole; the position that it was booked to."""
        currency = more.pop("fee_currency", "USDT")
        order = self.order(side, quantity, **more)
        self.fill(order, quantity, price, fee, currency)
        filled = [e for e in self.events if isinstance(e, ev.OrderFilled)][-1]
        found = self.ledger.position(filled.position_id)
        assert found is not None
        return found

    def fill(
        self,
        order: Order | str,
        quantity: str | Decimal,
        price: str | Decimal,
        fee: str | Decimal = "0",
        fee_currency: str = "USDT",
        trade_id: str = "",
    ) -> tuple[ev.Event, ...]:
        self.number += 1
        report = FillReport(
            ts=self.ts,
            cause=self._cause("fill"),
            order_id=order if isinstance(order, str) else order.id,
            trade_id=trade_id or f"t{self.number}",
            executed_ts=self.ts,
            quantity=D(quantity),
            price=D(price),
            fee=D(fee),
            fee_currency=fee_currency,
            liquidity="TAKER",
        )
        return self.step(report)

    def report(self, order: Order | str, status: OrderStatus, **more: Any) -> tuple[ev.Event, ...]:
        order_id = order if isinstance(order, str) else order.id
        return self.step(OrderReport(ts=self.ts, cause=self._cause("report"), order_id=order_id, status=status, **more))

    def liquidate(
        self,
        position: Position | str,
        price: str | Decimal,
        fee: str = "0",
        quantity: Decimal | None = None,
        **more: Any,
    ) -> tuple[ev.Event, ...]:
        held = D(1) if isinstance(position, str) else position.quantity
        self.number += 1
        fields: dict[str, Any] = {"trade_id": f"liq{self.number}", "fee_currency": "USDT"} | more
        return self.step(
            LiquidationReport(
                ts=self.ts,
                cause=self._cause("liquidation"),
                position_id=position if isinstance(position, str) else position.id,
                quantity=held if quantity is None else quantity,
                price=D(price),
                fee=D(fee),
                **fields,
            )
        )

    def funding(self, rate: float, mark: float, symbol: str = "BTC/USDT:USDT") -> tuple[ev.Event, ...]:
        return self.step(Funding(ts=self.ts, exchange="test", symbol=symbol, rate=rate, mark=mark))

    def mark(self, price: float, symbol: str = "") -> None:
        """The venue's mark of a perpetual, the last price of a spot symbol."""
        rules = self.instruments[symbol or next(iter(self.instruments))]
        if rules.kind is InstrumentKind.LINEAR:
            self.step(Mark(ts=self.ts, exchange="test", symbol=rules.symbol, price=price))
        else:
            self.step(
                Quote(ts=self.ts, exchange="test", symbol=rules.symbol, bid=price, ask=price, received_ts=self.ts)
            )

    def tick(self) -> tuple[ev.Event, ...]:
        return self.step(Tick(ts=self.ts))

    def step(self, value: Any) -> tuple[ev.Event, ...]:
        self.broken = True  # an exception leaves the ledger ahead of the events
        events = self._did(decide.step(self.state, value, self.setup))
        self.broken = False
        return events

    def kinds(self, events: tuple[ev.Event, ...]) -> list[str]:
        return [type(e).__name__ for e in events]

    def replayed(self) -> Ledger:
        """The fold of every event so far, through their JSON."""
        again = Ledger()
        for event in self.events:
            evolve(again, ev.decode(ev.encode(event)))
        return again

    def later(self, seconds: int = 60) -> None:
        self.ts += seconds * SECOND_US

    def _did(self, events: tuple[ev.Event, ...]) -> tuple[ev.Event, ...]:
        self.events += events
        check_conservation(self.ledger.accounts, self.ledger.positions)
        return events

    def _cause(self, kind: str) -> Cause:
        self.number += 1
        return Cause(self.ts, 0, "test", "", PHASE_AFTER, kind, self.number)


def isolated(leverage: str = "5") -> dict[str, Any]:
    return {"leverage": D(leverage), "margin_mode": MarginMode.ISOLATED}


def cross(leverage: str = "5") -> dict[str, Any]:
    return {"leverage": D(leverage), "margin_mode": MarginMode.CROSS}
