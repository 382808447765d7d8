"""Money, quantities and trade ids under random reports: duplicated, late, reordered, over-filled (I4, I5, I7, I10).

The machine keeps its own books from the reports alone, in the plainest way: what was bought and sold at which price.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import Phase, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.core import events as ev
from engine.core.fold import evolve
from engine.core.orders import TRANSITIONS, Order
from engine.core.positions import Position, check_conservation
from engine.core.types import InstrumentKind, InvariantError, MarginMode, OrderStatus, PositionSide, Side
from tests.core.books import BONK_TIERS, PERP, SPOT, Book, instrument

HEDGED = instrument("ETH/USDT:USDT", margin_tiers=BONK_TIERS, contract_size=D("0.01"))
SYMBOLS = {i.symbol: i for i in (SPOT, PERP, HEDGED)}

quantities = st.decimals("0.001", "20", places=3)
prices = st.decimals("0.01", "5000", places=2)
fees = st.decimals("-0.05", "3", places=6)
words = st.sampled_from(
    [s for s in OrderStatus if s not in (OrderStatus.DENIED, OrderStatus.SUBMITTED, OrderStatus.FILLED)]
)
words = words.filter(lambda s: s is not OrderStatus.PARTIALLY_FILLED)


class Reports(RuleBasedStateMachine):
    """A venue that says what it likes, in any order, as often as it likes."""

    @initialize()
    def begin(self) -> None:
        self.book = Book(SPOT, PERP, HEDGED, balance=D(100_000), second=D(777))
        self.orders: list[Order] = []
        self.said: list[tuple[Any, ...]] = []
        self.before: dict[str, OrderStatus] = {}
        self.trades: set[tuple[str, str]] = set()
        self.owed: dict[tuple[str, str], D] = defaultdict(D)  # (portfolio, asset)
        self.paid: dict[tuple[str, str], D] = defaultdict(
            D
        )  # (portfolio, symbol): money out for what was bought, less sold
        self.held: dict[tuple[str, str], D] = defaultdict(D)
        self.flow: dict[str, D] = defaultdict(D)  # portfolio: fees and funding in its currency
        self.gains: dict[str, D] = defaultdict(D)  # position: what its fills say they realised
        self.seen = len(self.book.events)

    # -- what the venue does ----------------------------------------------------------------------------------------------

    @rule(
        symbol=st.sampled_from(sorted(SYMBOLS)),
        side=st.sampled_from(["BUY", "SELL"]),
        quantity=quantities,
        leverage=st.integers(1, 125),
        mode=st.sampled_from(list(MarginMode)),
        second=st.booleans(),
        leaves=st.integers(0, 3),
    )
    def order(
        self, symbol: str, side: str, quantity: D, leverage: int, mode: MarginMode, second: bool, leaves: int
    ) -> None:
        """An entry, or an order that leaves one of the positions that are open."""
        positions = self.book.ledger.open_positions()
        if leaves < 2 and positions:
            of = positions[leaves % len(positions)]
            closing = "SELL" if of.side is PositionSide.LONG else "BUY"
            self.orders.append(self.book.order(closing, quantity, symbol=of.symbol, of=of))
            return
        rules = SYMBOLS[symbol]
        spot = rules.kind is InstrumentKind.SPOT
        account = list(self.book.ledger.accounts)[second]
        more: dict[str, Any] = {} if spot else {"leverage": D(leverage), "margin_mode": mode, "hedge": rules is HEDGED}
        if found := self._stands(symbol, side, rules is HEDGED):
            more["position_id"] = found.id
        self.orders.append(
            self.book.order("BUY" if spot else side, quantity, symbol=symbol, portfolio_id=account, **more)
        )

    def _stands(self, symbol: str, side: str, hedge: bool) -> Position | None:
        for p in self.book.ledger.open_positions():
            if p.symbol == symbol and (not hedge or p.grows(Side(side))):
                return p
        return None

    @precondition(lambda self: self.orders)
    @rule(
        which=st.integers(0, 30),
        part=st.sampled_from(["whole", "half", "beyond", "any"]),
        quantity=quantities,
        price=prices,
        fee=fees,
        currency=st.sampled_from(["USDT", "USDT", "BTC", "BNB"]),
        reused=st.booleans(),
    )
    def fill(self, which: int, part: str, quantity: D, price: D, fee: D, currency: str, reused: bool) -> None:
        order = self.orders[-1 - which % len(self.orders)]
        left = max(order.remaining, D("0.001"))
        size = {"whole": left, "half": left / 2, "beyond": left + quantity, "any": quantity}[part]
        if currency == "BTC":
            fee = min(fee, size / 10)
        trade_id = f"trade{which}" if reused else f"own{len(self.said)}"
        self.said.append((order.id, size, price, fee, currency, trade_id))
        self._heard(*self.said[-1])

    @precondition(lambda self: self.said)
    @rule(which=st.integers(0, 50))
    def again(self, which: int) -> None:
        """A report that was told before."""
        self._heard(*self.said[which % len(self.said)])

    @precondition(lambda self: self.orders)
    @rule(which=st.integers(0, 30), word=words, in_doubt=st.booleans())
    def word(self, which: int, word: OrderStatus, in_doubt: bool) -> None:
        self.book.report(self.orders[which % len(self.orders)], word, in_doubt=in_doubt, reason="x")

    @rule(rate=st.floats(-0.01, 0.01), mark=st.floats(0.01, 5000), symbol=st.sampled_from([PERP.symbol, HEDGED.symbol]))
    def funding(self, rate: float, mark: float, symbol: str) -> None:
        self.book.funding(rate, mark, symbol)

    @rule(price=st.floats(0.01, 5000), symbol=st.sampled_from(sorted(SYMBOLS)))
    def mark(self, price: float, symbol: str) -> None:
        self.book.mark(round(price, 2), symbol)

    @rule(which=st.integers(0, 5), price=prices, fee=fees, share=st.sampled_from([1, 1, 2]))
    def liquidation(self, which: int, price: D, fee: D, share: int) -> None:
        linear = [p for p in self.book.ledger.open_positions() if p.kind is InstrumentKind.LINEAR and p.quantity > 0]
        if linear:
            position = linear[which % len(linear)]
            self.book.liquidate(position, price, fee=str(fee), quantity=position.quantity / share)

    @rule(seconds=st.sampled_from([1, 60, 8 * 3600, 25 * 3600]))
    def time(self, seconds: int) -> None:
        self.book.later(seconds)
        self.book.tick()

    def _heard(self, order_id: str, size: D, price: D, fee: D, currency: str, trade_id: str) -> None:
        new = (order_id, trade_id) not in self.trades
        known = self.book.ledger.order(order_id) is not None
        fills = [
            e for e in self.book.fill(order_id, size, price, fee, currency, trade_id) if isinstance(e, ev.OrderFilled)
        ]
        if not known:
            assert not fills  # closed two days ago and more: alerted, not booked
        elif new:
            assert sum(e.quantity for e in fills) == size and sum(e.fee for e in fills) == fee
        else:
            assert not fills
        self.trades.add((order_id, trade_id))

    # -- what must hold whatever it says ---------------------------------------------------------------------------------

    @invariant()
    def books(self) -> None:
        ledger = self.book.ledger
        for e in self.book.events[self.seen :]:
            if isinstance(e, ev.OrderFilled):
                self._booked(e)
                self.gains[e.position_id] += e.pnl
            elif isinstance(e, ev.FundingPaid):
                self.flow[e.portfolio_id] += e.amount
            elif isinstance(e, ev.DustKept):
                position = ledger.position(e.position_id)
                assert position is not None
                self.held[position.portfolio_id, e.symbol] -= e.quantity
                self.paid[position.portfolio_id, e.symbol] -= e.cost
        self.seen = len(self.book.events)
        check_conservation(ledger.accounts, ledger.positions)
        for p in [*ledger.positions.values(), *ledger.closed_positions.values()]:
            assert p.realized_pnl == self.gains[p.id]
        for key, account in ledger.accounts.items():
            assert account.assets == {asset: v for (owner, asset), v in self.owed.items() if owner == key}
            self._equity(key)

    def _booked(self, e: ev.OrderFilled) -> None:
        position = self.book.ledger.position(e.position_id)
        assert position is not None
        key = (position.portfolio_id, e.symbol)
        signed = e.quantity if e.side == "BUY" else -e.quantity
        self.held[key] += signed
        self.paid[key] += signed * SYMBOLS[e.symbol].contract_size * e.price
        if e.fee_currency == "USDT":
            self.flow[position.portfolio_id] -= e.fee
        elif e.fee_currency == "BTC" and e.symbol == SPOT.symbol:
            self.held[key] -= e.fee
        elif e.fee != 0:
            self.owed[position.portfolio_id, e.fee_currency] -= e.fee

    def _equity(self, portfolio_id: str) -> None:
        """Quantities add up; and whatever was split, averaged or flipped, money and holdings are worth what was traded."""
        ledger, mark = self.book.ledger, D("1234.5")
        account = ledger.accounts[portfolio_id]
        worth = account.initial_balance + self.flow[portfolio_id]
        have = account.cash
        for symbol, rules in SYMBOLS.items():
            open_here = [p for p in ledger.positions.values() if (p.portfolio_id, p.symbol) == (portfolio_id, symbol)]
            net = sum((p.quantity if p.side is PositionSide.LONG else -p.quantity for p in open_here), D(0))
            assert net == self.held[portfolio_id, symbol], symbol
            worth += net * rules.contract_size * mark - self.paid[portfolio_id, symbol]
            have += sum((p.value(mark) for p in open_here), D(0))
        have += sum((d.cost for d in account.dust.values()), D(0))
        assert have == worth

    @invariant()
    def states(self) -> None:
        """An order moves by the table only; a report that the table does not know is ignored."""
        ledger = self.book.ledger
        for order in [*ledger.orders.values(), *ledger.closed_orders.values()]:
            old = self.before.get(order.id, order.status)
            assert order.status is old or order.status in TRANSITIONS[old], (old, order.status)
            assert order.is_open == (order.id in ledger.orders)
            assert len(order.trade_ids) == len(set(order.trade_ids))
            self.before[order.id] = order.status

    @invariant()
    def at_most_one(self) -> None:
        """One open position per bot, symbol and side; without a hedge one per symbol (decisions.md 10)."""
        places = [(p.symbol, p.side if p.hedge else "") for p in self.book.ledger.positions.values()]
        assert len(places) == len(set(places))

    def teardown(self) -> None:
        if not self.book.broken:
            assert self.book.replayed().state_hash() == self.book.ledger.state_hash()


Reports.TestCase.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, phases=[Phase.explicit, Phase.generate]
)
TestReports = Reports.TestCase


def test_a_broken_account_stops_at_its_next_event() -> None:
    book = Book()
    position = book.trade("BUY", "1", "100")
    book.account.cash += D("1e-18")
    with pytest.raises(InvariantError, match="cash"):
        book.fill(book.order("SELL", "1", of=position), "0.5", "100")


@pytest.mark.parametrize("kind", ["funding", "dust"])
def test_every_event_that_moves_money_asserts_conservation(kind: str) -> None:
    book = Book(SPOT, PERP)
    position = book.trade("BUY", "1", "100", symbol=SPOT.symbol if kind == "dust" else PERP.symbol)
    book.account.fees += D("1e-18")
    common = {
        "ts": book.ts,
        "cause": book.events[-1].cause,
        "position_id": position.id,
        "bot_id": "",
        "exchange": "test",
    }
    event: ev.Event
    if kind == "dust":
        event = ev.DustKept(**common, symbol=SPOT.symbol, asset="BTC", quantity=D(1), cost=D(100))
    else:
        event = ev.FundingPaid(
            **common, portfolio_id=position.portfolio_id, symbol=PERP.symbol, rate=D(0), mark=D(1), amount=D(1)
        )
    with pytest.raises(InvariantError, match="cash"):
        evolve(book.ledger, event)


def test_a_position_that_holds_other_than_its_fills_stops_at_its_next_event() -> None:
    book = Book()
    position = book.trade("BUY", "1", "100")
    position.quantity += D("1e-18")
    with pytest.raises(InvariantError, match="its fills say"):
        book.fill(book.order("SELL", "1", of=position), "0.5", "100")


def test_a_position_that_holds_other_than_its_fills_is_found() -> None:
    book = Book()
    position = book.trade("BUY", "1", "100")
    position.quantity += D("1e-18")
    with pytest.raises(InvariantError, match="its fills say"):
        check_conservation(book.ledger.accounts, book.ledger.positions)
