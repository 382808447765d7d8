"""What must be true after every input, of any orders on any market: a watch over a desk, used by property tests and replays."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

from engine.core.inputs import Book, Candle, FillReport, Quote, Trade
from engine.core.types import OrderStatus, OrderType, Side, money
from tests.venue.desk import PaperDesk

_LAST = (OrderStatus.REJECTED, OrderStatus.CANCELED, OrderStatus.EXPIRED)


class Watch:
    """Looks at what was said since the last look. Raises AssertionError when evidence, limits or quantities are exceeded."""

    def __init__(self, desk: PaperDesk) -> None:
        self.desk = desk
        self.seen = 0
        self.inputs = 0
        self.ended: set[str] = set()
        self.causes: set[object] = set()

    def check(self) -> None:
        desk = self.desk
        news, self.seen = desk.said[self.seen :], len(desk.said)
        value = desk.inputs[-1] if len(desk.inputs) > self.inputs else None
        self.inputs = len(desk.inputs)
        fills = [r for r in news if isinstance(r, FillReport)]
        for report in news:
            assert report.cause not in self.causes, "a cause was used twice"
            self.causes.add(report.cause)
            order = desk.ledger.order(report.order_id)
            assert order is not None and order.id not in self.ended, "something was said after the last word"
            if isinstance(report, FillReport):
                assert value is not None and report.ts == value.ts, "a fill without an input"
                assert report.quantity > 0 and order.filled_quantity <= order.quantity
                if order.price is not None:
                    worse = report.price > order.price if order.side is Side.BUY else report.price < order.price
                    assert not worse, "worse than its limit"
                if order.order_type is OrderType.MARKET:
                    assert report.liquidity == "TAKER"
            elif report.status in _LAST:
                self.ended.add(order.id)
        assert all(p.quantity > 0 for p in desk.ledger.positions.values()), (
            "a reduce-only order grew or flipped a position"
        )
        if value is not None:
            self._evidence(value, fills)
        for order in desk.ledger.orders.values():
            assert order.id in desk.venue._floor.orders, "the ledger has an order open that the venue does not have"
        assert len(desk.ledger.orders) == len(desk.venue._floor.orders)

    def _evidence(self, value: object, fills: list[FillReport]) -> None:
        made = [f for f in fills if f.liquidity == "MAKER"]
        if isinstance(value, Trade):
            assert sum(f.quantity for f in made) <= money(value.size), "more than was traded"
        elif isinstance(value, Candle):
            share = self.desk.costs.participation_pct
            if share is not None:
                assert sum(f.quantity for f in made) <= money(value.volume) * share / 100, "more than the bar's share"
            assert all(money(value.low) <= f.price <= money(value.high) for f in fills), "outside the bar"
        elif isinstance(value, Quote | Book):
            self._displayed(value, fills)

    def _displayed(self, value: Quote | Book, fills: list[FillReport]) -> None:
        """Takers consume at a level no more than it displays; makers what the other side displays through their price."""
        book = (
            {Side.SELL: value.bids, Side.BUY: value.asks}
            if isinstance(value, Book)
            else {Side.SELL: ((value.bid, value.bid_size),), Side.BUY: ((value.ask, value.ask_size),)}
        )
        for side, levels in book.items():
            shown = {money(price): money(size) for price, size in levels if size}
            if len(shown) < len(levels):
                continue  # sizes that are not known bound nothing
            taken: defaultdict[Decimal, Decimal] = defaultdict(Decimal)
            total = Decimal(0)
            for fill in fills:
                order = self.desk.ledger.order(fill.order_id)
                assert order is not None
                if order.side is side and (fill.price in shown or fill.liquidity == "MAKER"):
                    total += fill.quantity
                    if fill.liquidity == "TAKER":
                        taken[fill.price] += fill.quantity
            assert all(quantity <= shown[price] for price, quantity in taken.items()), "more than was displayed"
            assert total <= sum(shown.values(), Decimal(0)), "more than was displayed in all"
