"""Events of positions and accounts: what was opened and closed, paid and owed, and what all of it is worth."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from engine.core.event_base import Event
from engine.core.types import Level, PositionSide


class PositionOpened(Event, frozen=True):
    """For readers; the ledger follows from `OrderFilled`."""

    public_safe: ClassVar[bool] = True
    position_id: str
    bot_id: str
    exchange: str
    symbol: str
    side: PositionSide
    quantity: Decimal
    price: Decimal


class PositionClosed(Event, frozen=True):
    """A round trip ended. `realized_pnl` is after fees, `reason` the role of the closing order; TRAILING_STOP when that is a
    stop that has trailed."""

    public_safe: ClassVar[bool] = True
    position_id: str
    bot_id: str
    exchange: str
    symbol: str
    side: PositionSide
    entry_price: Decimal
    exit_price: Decimal
    quantity: Decimal
    realized_pnl: Decimal
    fees: Decimal
    reason: str


class ExitsMoved(Event, frozen=True):
    """The exit plan of a position: set at its first fill, then moved. `extreme` is the best price seen, `reason` why it moved."""

    position_id: str
    bot_id: str
    symbol: str
    stop_price: Decimal | None
    take_profit_price: Decimal | None
    extreme: Decimal
    trailing: bool
    reason: str = ""
    wants: int = 0  # protective orders that the plan asks for


class MarginChanged(Event, frozen=True):
    """What a fill or a payment made of a position's margin; the liquidation price is that of its tier there (None: none)."""

    level: ClassVar[Level] = Level.DEBUG
    position_id: str
    bot_id: str
    symbol: str
    liquidation_price: Decimal | None
    maintenance_margin: Decimal
    liquidated_below: bool = True  # a falling mark reaches it; False: a rising one


class FundingPaid(Event, frozen=True):
    """`amount` is added to the account: below zero it was paid, above zero received."""

    position_id: str
    portfolio_id: str
    bot_id: str
    exchange: str
    symbol: str
    rate: Decimal
    mark: Decimal
    amount: Decimal


class PositionLiquidated(Event, frozen=True):
    """The venue has taken the position away; its order and fill follow."""

    level: ClassVar[Level] = Level.ERROR
    position_id: str
    bot_id: str
    exchange: str
    symbol: str
    side: PositionSide
    quantity: Decimal
    price: Decimal


class DustKept(Event, frozen=True):
    """What is left of a position is too small for any order: it closes, and the account keeps the rest at its cost."""

    position_id: str
    bot_id: str
    exchange: str
    symbol: str
    asset: str
    quantity: Decimal
    cost: Decimal
    reason: str = ""  # the role of the order that left it


class DayStarted(Event, frozen=True):
    """The baselines of the daily loss lock: the portfolio's equity and, by id, what each of its bots had made; the day lasts
    until `day_end` (us UTC). Nothing is to be done about it, but it is committed at once: what is pruned at the start of a
    day (ledger.py) was closed before a commit."""

    effect: ClassVar[bool] = True
    portfolio_id: str
    equity: Decimal
    day_end: int
    bots: dict[str, Decimal] = {}


class EquitySampled(Event, frozen=True):
    """Equity at marks. `marks` are the prices used, by "exchange symbol"; `bots` what each bot has made, by id."""

    level: ClassVar[Level] = Level.DEBUG
    portfolio_id: str
    equity: Decimal
    cash: Decimal
    positions_value: Decimal
    unrealized_pnl: Decimal
    realized_pnl: Decimal
    peak_equity: Decimal
    drawdown: Decimal
    day_pnl: Decimal
    open_positions: int
    marks: dict[str, Decimal]
    bots: dict[str, Decimal] = {}
