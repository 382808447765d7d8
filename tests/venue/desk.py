"""What a row of the conformance suite works at: it sends orders, moves a market and keeps what the venue says.

A row speaks only through the port and this desk. `PaperDesk` runs the paper venue in one of its modes; a venue on the other
side of a wire brings a desk of its own with the same verbs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import msgspec

from engine.core import orders as order_rules
from engine.core.config import Costs
from engine.core.inputs import (
    PHASE_CANDLE,
    Book,
    Candle,
    Cause,
    FillReport,
    LiquidationReport,
    Mark,
    MarketInput,
    OrderReport,
    Quote,
    Trade,
    VenueReport,
)
from engine.core.ledger import Ledger
from engine.core.orders import Order
from engine.core.positions import Position
from engine.core.types import (
    MINUTE_US,
    ZERO,
    Instrument,
    InstrumentKind,
    OrderStatus,
    OrderType,
    Origin,
    PositionSide,
    Side,
    TimeInForce,
    uuid7,
)
from engine.venues.paper import PaperVenue

D = Decimal
START = 1_735_689_600_000_000
MODES = ("bars", "L1", "L2")
SPOT = Instrument(
    exchange="test",
    symbol="BTC/USDT",
    base="BTC",
    quote="USDT",
    tick_size=D("0.5"),
    lot_size=D("0.1"),
    min_quantity=D("0.1"),
    max_quantity=D(1000),
    min_notional=D(20),
    source="venue",
)
PERP = msgspec.structs.replace(SPOT, symbol="BTC/USDT:USDT", kind=InstrumentKind.LINEAR)
OTHER = msgspec.structs.replace(SPOT, symbol="ETH/USDT", base="ETH")
HALF = 0.5  # a tick: how far bid and ask stand from the price
PLENTY = 1000.0


class PaperDesk:
    """The paper venue in one mode. Costs nothing and answers at once, unless `costs` says otherwise."""

    def __init__(self, mode: str, instrument: Instrument = SPOT, **costs: Any) -> None:
        self.mode = mode
        self.instrument = instrument
        self.costs = Costs(
            **{
                "maker_bps": 0,
                "taker_bps": 0,
                "slippage_bps": 0,
                "latency_ms": 0,
                "evidence": "bars" if mode == "bars" else "ticks",
                **costs,
            }
        )
        self.ledger = Ledger(ledger_id="desk", seed=7)
        self.now = START
        self.number = 0
        self.said: list[VenueReport] = []
        self.inputs: list[Candle | MarketInput] = []
        self.venue = self._open()

    def _open(self) -> PaperVenue:
        venue = PaperVenue((self.instrument, OTHER), self.costs)
        venue.restore(self.ledger)
        return venue

    # -- orders --------------------------------------------------------------------------------------------------------

    def order(
        self,
        side: str,
        order_type: str,
        quantity: object,
        price: object = None,
        *,
        stop: object = None,
        tif: str = "GTC",
        closes: bool = False,
        group: str = "",
        position: str = "",
        **more: Any,
    ) -> Order:
        """An order as the core would have recorded it, not sent yet. `closes` is reduce-only, of the other side's position."""
        self.number += 1
        long = (side == "BUY") != closes
        position_side = more.pop("position_side", PositionSide.LONG if long else PositionSide.SHORT)
        symbol = more.pop("symbol", self.instrument.symbol)
        order = Order(
            id=uuid7(self.now, "order", str(self.number)),
            number=self.number,
            signal_id="",
            bot_id="bot",
            strategy_id="",
            portfolio_id="main",
            position_id=position or f"{symbol}-{position_side}",
            exchange=self.instrument.exchange,
            symbol=symbol,
            side=Side(side),
            position_side=position_side,
            order_type=OrderType(order_type),
            time_in_force=TimeInForce(tif),
            origin=Origin.EXIT if closes else Origin.ENTRY,
            role="EXIT" if closes else "ENTRY",
            quantity=D(str(quantity)),
            price=_decimal(price),
            stop_price=_decimal(stop),
            reduce_only=closes,
            valid_until=None,
            config_version=1,
            submitted_ts=self.now,
            updated_ts=self.now,
            cause=self.place,
            oco_group=group,
            kind=self.instrument.kind,
            contract_size=self.instrument.contract_size,
            **{k: _decimal(v) if k in ("activation_price", "callback_rate") else v for k, v in more.items()},
        )
        self.ledger.orders[order.id] = order
        return order

    def send(self, *args: Any, **more: Any) -> Order:
        """Send an order and take the answers."""
        order = self.order(*args, **more)
        self.venue.submit(order)
        self.listen()
        return order

    def request_cancel(self, order: Order) -> None:
        """Record the intent to cancel, as the core does before it is sent."""
        self.number += 1
        order.cancel_requested, order.cancel_number = True, self.number
        order.cancel_cause, order.updated_ts = self.place, self.now

    def cancel(self, order: Order) -> None:
        self.request_cancel(order)
        self.venue.cancel(order)
        self.listen()

    def listen(self) -> None:
        self._hear(iter(self.venue.answer, None))

    def hold(self, side: str, quantity: object, position: str = "", **more: Any) -> Position:
        """Have an open position."""
        position_side = PositionSide(side)
        below = more.pop("liquidated_below", position_side is PositionSide.LONG)
        held = Position(
            id=position or f"{self.instrument.symbol}-{position_side}",
            bot_id="bot",
            strategy_id="",
            portfolio_id="main",
            exchange=self.instrument.exchange,
            symbol=self.instrument.symbol,
            side=position_side,
            signal_id="",
            config_version=1,
            opened_ts=self.now,
            quantity=D(str(quantity)),
            kind=self.instrument.kind,
            contract_size=self.instrument.contract_size,
            liquidated_below=below,
            **{k: _decimal(v) for k, v in more.items()},
        )
        self.ledger.positions[held.id] = held
        return held

    def restart(self, *, again: bool = False) -> None:
        """Kill the venue and open a new one on the same ledger; `again` feeds the inputs before once more."""
        self.venue = self._open()
        for value in self.inputs if again else ():
            self.venue.warm(value)
        self.listen()

    # -- the market ----------------------------------------------------------------------------------------------------

    @property
    def place(self) -> Cause:
        return Cause(self.now, 0, self.instrument.exchange, self.instrument.symbol, PHASE_CANDLE, "candle", 60)

    def stand(self, price: float, symbol: str = "") -> None:
        """The market stands at a price, with plenty on both sides."""
        if self.mode == "bars":
            self.bar(price, price, price, price, symbol=symbol)
        elif self.mode == "L1":
            self.quote(price - HALF, price + HALF, symbol=symbol)
        else:
            self.book(
                [(price - HALF, PLENTY), (price - 2, PLENTY)], [(price + HALF, PLENTY), (price + 2, PLENTY)], symbol
            )

    def visit(self, price: float, back: float) -> None:
        """The market goes to a price and comes back, trading on its way."""
        if self.mode == "bars":
            self.bar(back, max(price, back), min(price, back), back)
        else:
            self.stand(price)
            self.stand(back)

    def taker_price(self, side: str, price: float) -> Decimal:
        """What a market order pays when the market stands at `price`."""
        if self.mode == "bars":
            return D(str(price))
        return D(str(price)) + (D("0.5") if side == "BUY" else -D("0.5"))

    def bar(self, o: float, h: float, low: float, c: float, volume: float = PLENTY, symbol: str = "") -> None:
        self.now += MINUTE_US
        self.take(
            Candle(
                ts=self.now,
                exchange=self.instrument.exchange,
                symbol=symbol or self.instrument.symbol,
                timeframe_us=MINUTE_US,
                open=o,
                high=h,
                low=low,
                close=c,
                volume=volume,
                received_ts=self.now,
            )
        )

    def quote(
        self,
        bid: float,
        ask: float,
        bid_size: float = PLENTY,
        ask_size: float = PLENTY,
        *,
        ms: int = 1000,
        symbol: str = "",
    ) -> None:
        base = self._next(ms, symbol)
        self.take(Quote(**base, bid=bid, ask=ask, received_ts=self.now, bid_size=bid_size, ask_size=ask_size))

    def book(self, bids: Iterable[tuple[float, float]], asks: Iterable[tuple[float, float]], symbol: str = "") -> None:
        base = self._next(1000, symbol)
        self.take(Book(**base, bids=tuple(bids), asks=tuple(asks), received_ts=self.now))

    def trade(self, price: float, size: float, aggressor: str, *, ms: int = 1000) -> None:
        base = self._next(ms, "")
        self.take(Trade(**base, price=price, size=size, aggressor=Side(aggressor), received_ts=self.now))

    def mark(self, price: float) -> None:
        self.take(Mark(**self._next(1000, ""), price=price))

    def _next(self, ms: int, symbol: str) -> dict[str, Any]:
        self.now += ms * 1000
        return {"ts": self.now, "exchange": self.instrument.exchange, "symbol": symbol or self.instrument.symbol}

    def take(self, value: Candle | MarketInput) -> None:
        """One input: each report is folded before the next is asked for, as the engine does."""
        self.inputs.append(value)
        if isinstance(value, Candle):
            self._hear(self.venue.on_candle(value))
        else:
            self._hear(self.venue.on_market(value, value.cause))
        self.listen()

    # -- what was said -------------------------------------------------------------------------------------------------

    def about(self, order: Order) -> list[str]:
        """What the venue has said of an order, as words: "ACCEPTED", "FILL 1 @ 100", "REJECTED PRICE_TICK"."""
        return [_words(r) for r in self.said if not isinstance(r, LiquidationReport) and r.order_id == order.id]

    def fills(self, order: Order) -> list[FillReport]:
        return [r for r in self.said if isinstance(r, FillReport) and r.order_id == order.id]

    def filled(self, order: Order) -> Decimal:
        return sum((f.quantity for f in self.fills(order)), ZERO)

    def liquidations(self) -> list[LiquidationReport]:
        return [r for r in self.said if isinstance(r, LiquidationReport)]

    def _hear(self, reports: Iterable[VenueReport]) -> None:
        for report in reports:
            self.said.append(report)
            self._fold(report)

    def _fold(self, report: VenueReport) -> None:
        """As much of the core's fold as a venue can see: orders, trade ids and quantities held."""
        if isinstance(report, LiquidationReport):
            self.ledger.closed_positions[report.position_id] = self.ledger.positions.pop(report.position_id)
            return
        order = self.ledger.order(report.order_id)
        assert order is not None, "the venue spoke of an order that it was never sent"
        if isinstance(report, FillReport):
            assert report.trade_id not in order.trade_ids, "a trade id was used twice"
            order.trade_ids.append(report.trade_id)
            order.filled_quantity += report.quantity
            order.filled_ts = order.updated_ts = report.ts
            order.status = OrderStatus.FILLED if order.remaining <= 0 else OrderStatus.PARTIALLY_FILLED
            self._move(order, report.quantity)
        else:
            order_rules.advance(order, report.status, report.ts, report.reason)
            order.exchange_order_id = report.exchange_order_id
        if not order.is_open:
            order.closed_ts = report.ts
            if self.ledger.orders.pop(order.id, None):
                self.ledger.closed_orders[order.id] = order

    def _move(self, order: Order, quantity: Decimal) -> None:
        adds = (order.side is Side.BUY) == (order.position_side is PositionSide.LONG)
        held = self.ledger.positions.get(order.position_id)
        if held is None:
            held = self.hold(order.position_side, 0, order.position_id)
        held.quantity += quantity if adds else -quantity
        if held.quantity == ZERO:
            del self.ledger.positions[held.id]


Make = Callable[..., PaperDesk]


def _decimal(value: object) -> Any:
    return D(str(value)) if isinstance(value, int | float | str) and not isinstance(value, bool) else value


def _words(report: OrderReport | FillReport) -> str:
    if isinstance(report, FillReport):
        return f"FILL {report.quantity.normalize():f} @ {report.price.normalize():f}"
    code = report.reason.split(":")[0] if ":" in report.reason else ""
    return f"{report.status} {code}".strip()
