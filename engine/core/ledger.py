"""The ledger: all state that money depends on, and nothing else. Events make it (`fold.evolve`).

It holds no market data: marks live in `market.Market` and enter through `EquitySampled`.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal

import msgspec

from engine.core.books import BotBook, House, Messages
from engine.core.inputs import Cause
from engine.core.orders import Order
from engine.core.positions import Account, Position
from engine.core.types import (
    ACTIVE,
    QUANTUM,
    ZERO,
    Mode,
    PositionSide,
    TradingState,
)


def by_number(order: Order) -> int:
    return order.number


def by_age(position: Position) -> tuple[int, str]:
    return position.opened_ts, position.id


class Counts(msgspec.Struct):
    """Totals since genesis; `trades` are closed round trips (decisions.md 10)."""

    orders: int = 0
    denied: int = 0
    fills: int = 0
    trades: int = 0
    signals: int = 0


class Stop(msgspec.Struct):
    """A stop under way: what must still end, by id; "" until its outcome is known."""

    verb: str
    actor: str
    began_ts: int
    policy: str
    orders: dict[str, str] = {}
    positions: dict[str, str] = {}

    @property
    def done(self) -> bool:
        return all(self.orders.values()) and all(self.positions.values())


#: Another number whenever another program would fold the same journal to another ledger: fields, or what `fold` puts into them.
#: Snapshots with another one are of another version; nobody's hand was in them.
LAYOUT = 2


class Ledger(msgspec.Struct):
    """All state that money depends on. `seq` (the last event folded) is the only field outside `state_hash`."""

    seq: int = 0
    layout: int = LAYOUT
    ledger_id: str = ""
    mode: Mode = Mode.SIM
    feed: str = ""
    seed: int | None = None
    base_currency: str = ""
    state: TradingState = ACTIVE
    state_reason: str = ""
    state_actor: str = ""
    state_since: int = 0
    halt_policy: str = "keep_with_exits"
    held: bool = False
    config_version: int = 0
    config_sha256: str = ""
    intents: int = 0
    commands: int = 0
    now: int = 0
    day_end: int = 0
    sampled_ts: int = 0
    cursor: Cause | None = None
    accounts: dict[str, Account] = {}
    bots: dict[str, BotBook] = {}
    orders: dict[str, Order] = {}
    closed_orders: dict[str, Order] = {}
    positions: dict[str, Position] = {}
    closed_positions: dict[str, Position] = {}
    gates: dict[str, str] = {}
    stops: dict[str, Stop] = {}
    calm: bool = True  # no stop asks for more than the entries: protective orders rest, nothing is being flattened
    next_expiry: int = 0
    messages: Messages = msgspec.field(default_factory=Messages)
    house: House = msgspec.field(default_factory=House)
    counts: Counts = msgspec.field(default_factory=Counts)
    digest: str = ""

    def order(self, order_id: str) -> Order | None:
        """An order that is open, or closed less than about two days ago."""
        return self.orders.get(order_id) or self.closed_orders.get(order_id)

    def position(self, position_id: str) -> Position | None:
        return self.positions.get(position_id) or self.closed_positions.get(position_id)

    def open_position(
        self, bot_id: str, exchange: str, symbol: str, side: PositionSide | None = None
    ) -> Position | None:
        """The open position of (bot, exchange, symbol), of that side where one is asked for (decisions.md 10)."""
        for position in self.positions.values():
            if (
                position.symbol == symbol
                and position.bot_id == bot_id
                and position.exchange == exchange
                and (side is None or position.side is side)
            ):
                return position
        return None

    def open_orders(self) -> list[Order]:
        """Open orders in the order of their sending: a restored ledger has other dictionary orders than a grown one."""
        return sorted(self.orders.values(), key=by_number)

    def open_positions(self) -> list[Position]:
        """Open positions, oldest first."""
        return sorted(self.positions.values(), key=by_age)

    def orders_of(self, position_id: str) -> list[Order]:
        """A position's open orders in the order of their sending."""
        found = [o for o in self.orders.values() if o.position_id == position_id]
        if len(found) > 1:
            found.sort(key=by_number)
        return found

    @property
    def account(self) -> Account:
        """The account of the portfolio that the ledger was opened with ("main")."""
        return next(iter(self.accounts.values()))

    def state_hash(self) -> str:
        """sha256 of the canonical ledger: every order, fill, position, account, baseline and exit state; not `seq`."""
        seq, self.seq = self.seq, 0
        try:
            return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()
        finally:
            self.seq = seq

    def snapshot(self) -> bytes:
        return msgspec.json.encode(self, order="sorted")


def restore(snapshot: bytes | str) -> Ledger:
    """The ledger of a snapshot. Raises msgspec.ValidationError when it is not one."""
    ledger = msgspec.json.decode(snapshot, type=Ledger)
    ledger.accounts = arranged(ledger.accounts)
    return ledger


def arranged(accounts: dict[str, Account]) -> dict[str, Account]:
    """ "main" first, then by id: a snapshot has them by id alone, and the first one is what the account's limits hold for."""
    return dict(sorted(accounts.items(), key=lambda one: (one[1].name != "main", one[0])))


def drawdown(equity: Decimal, peak: Decimal) -> Decimal:
    """Fraction below the peak, 0 at it; 18 decimals."""
    if peak <= ZERO:
        return ZERO
    return ((peak - equity) / peak).quantize(QUANTUM) if equity < peak else ZERO
