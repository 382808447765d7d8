"""What a gate may look at: an intent, the ledger, the market, the limits; and the worst case of all that is open.

A `View` is of one moment. What several gates need (prices, equity, exposure) is worked out once and kept, so that after an
event has been folded a new view must be made.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import cast

import msgspec

from engine.core import margin
from engine.core.books import BotBook, House
from engine.core.events import GateResult, OrderSubmitted
from engine.core.ledger import Ledger
from engine.core.limits import Bound, Bounds, Limits, compile_limits
from engine.core.market import Market, Series
from engine.core.orders import Order
from engine.core.positions import Account, Position
from engine.core.setup import BotSetup, Setup
from engine.core.types import ALLOWED, BUY, HEDGE, LONG, ONE, ZERO, PositionSide, Side, Verdict

#: An order before it is sent: the event that will be its intent, if no gate blocks it.
Intent = OrderSubmitted
GateFunction = Callable[["View", Intent], GateResult]


class Sheet(msgspec.Struct):
    """Words of all gates on one kind of order: those that never change, those that follow from the state of the house (kept
    until it changes), None where a gate of `live` must be asked."""

    words: list[GateResult | None]
    live: tuple[GateFunction, ...]
    standing: tuple[tuple[int, GateFunction], ...]
    arrange: Callable[
        [list[GateResult | None]], tuple[GateResult, ...]
    ]  # `words` and those of `live` behind them, as in GATES
    verdict: Verdict = ALLOWED  # of the standing gates
    # As it was when they were asked:
    house: House | None = None  # None also when an order was in doubt: to be asked again
    config_sha256: str = ""


class Plan(msgspec.Struct, kw_only=True):
    """Limits of one bot, compiled once per config: its own (the account's for a bot that the config does not know), the
    account's, and the tighter of each, for gates on one order. The sheets are filled when first needed (`gates.evaluate`)."""

    bot: BotSetup | None
    own: Bounds
    account: Bounds
    tight: Bounds
    hedges: bool
    fee_rate: Decimal
    drawdown_floor: Decimal
    daily_floor: Decimal
    watches: bool  # prices and time alone can make something trip: losses are to be watched on every tick, or rules
    watches_bots: bool  # a bot has a limit on losses of its own, to be watched on every tick
    acts: bool  # a rule of the account's or of a bot's reduces or halts
    acting_bots: tuple[str, ...]  # those that have such rules
    entry: Sheet | None = None
    closing: Sheet | None = None


class Facts(msgspec.Struct, gc=False):
    """What several gates ask of one intent; None is unknown. `value` is its notional."""

    plan: Plan
    series: Series | None
    book: BotBook | None
    mark: Decimal | None
    estimate: Decimal | None  # its limit, else what it will cost; may be no number
    price: Decimal | None  # the same, where it can be one
    quantity: Decimal | None
    value: Decimal | None
    added: Decimal | None = None  # of an entry: by how much the worst case of its leg grows with it


class Leg:
    """What a bot holds of a symbol (of one side of it, in a hedge), signed, and its open entries: all notionals."""

    __slots__ = ("bot_id", "down", "exchange", "held", "symbol", "up")

    def __init__(self, bot_id: str, exchange: str, symbol: str) -> None:
        self.bot_id, self.exchange, self.symbol = bot_id, exchange, symbol
        self.held = self.up = self.down = ZERO

    def worst(self, buys: Decimal = ZERO, sells: Decimal = ZERO) -> Decimal:
        """The largest that it can become whichever of its entries fill, and those given with them (RTS 6 art. 15(2))."""
        return max(abs(self.held + self.up + buys), abs(self.held - self.down - sells))

    def room(self, most: Decimal, side: Side) -> Decimal:
        """How much more may be bought or sold until the worst case is `most`; below zero when it is beyond already."""
        reach = self.held + self.up if side is BUY else self.down - self.held
        other = self.held - self.down if side is BUY else self.held + self.up
        return min(most - reach, ZERO) if abs(other) > most else most - reach


LegKey = tuple[str, str, str, str]


class Exposure:
    """All legs of one portfolio. `is_known` is False when an open entry has no price."""

    __slots__ = ("is_known", "legs")

    def __init__(self) -> None:
        self.legs: dict[LegKey, Leg] = {}
        self.is_known = True

    def leg(self, key: LegKey) -> Leg:
        leg = self.legs.get(key)
        if leg is None:
            leg = self.legs[key] = Leg(*key[:3])
        return leg

    def gross(self, bot_id: str = "") -> Decimal:
        """Worst-case notional of one bot, or of all."""
        total = ZERO
        for leg in self.legs.values():
            if bot_id in ("", leg.bot_id):
                total += leg.worst()
        return total

    def of_symbol(self, exchange: str, symbol: str, bot_id: str = "") -> Decimal:
        """The same of one symbol; hedges and the positions of several bots add up."""
        return sum(
            (
                leg.worst()
                for leg in self.legs.values()
                if leg.symbol == symbol and leg.exchange == exchange and bot_id in ("", leg.bot_id)
            ),
            ZERO,
        )

    def count(self, bot_id: str = "") -> int:
        """Positions, and entries under way that would open one."""
        return len([leg for leg in self.legs.values() if bot_id in ("", leg.bot_id)])


class View(msgspec.Struct, eq=False, gc=False):
    """Ledger, market and limits at `now` (us UTC), for one portfolio: its `account`, its positions, its orders."""

    ledger: Ledger
    market: Market
    setup: Setup
    now: int
    account: Account
    facts: Facts = cast(Facts, None)  # of the intent at hand, once there is one (`ask`)
    _equity: Decimal | None = None
    _exposure: Exposure | None = None

    @property
    def positions(self) -> list[Position]:
        own = self.account.portfolio_id
        return [p for p in self.ledger.positions.values() if p.portfolio_id == own]

    def entries(self) -> list[Order]:
        """Open orders that add risk."""
        own = self.account.portfolio_id
        return [o for o in self.ledger.orders.values() if o.adds_risk and o.portfolio_id == own]

    def mark(self, exchange: str, symbol: str) -> Decimal | None:
        """The last price as money; None before the first."""
        return self.market.mark(exchange, symbol)

    def series_of(self, bot_id: str) -> list[Series]:
        """The symbols that a bot trades; of "" all."""
        bot = self.setup.by_id.get(bot_id)
        return [s for (_, symbol), s in self.market.series.items() if bot is None or bot.trades(symbol)]

    # -- money -------------------------------------------------------------------------------------------------------

    def equity(self) -> Decimal:
        """Cash and positions at their mark; a position without one counts at its last known one."""
        if self._equity is None:
            self._equity = margin.equity(self.ledger, self.market, self.account)
        return self._equity

    def bot_pnl(self, bot_id: str) -> Decimal:
        """What a bot has made: realised, less fees and funding, and what is open at its mark."""
        book = self.ledger.bots.get(bot_id)
        pnl = ZERO if book is None else book.realized_pnl
        for p in self.ledger.positions.values():
            if p.bot_id == bot_id:
                pnl += p.unrealized_pnl(margin.mark_of(self.market, p))
        return pnl

    def bots_pnl(self) -> dict[str, Decimal]:
        """`bot_pnl` of each bot of the portfolio: the baselines that DayStarted and EquitySampled record."""
        own = self.account.portfolio_id
        return {bot.id: self.bot_pnl(bot.id) for bot in self.setup.bots if bot.portfolio_id == own}

    def free(self) -> Decimal:
        """Balance that no position and no open entry has a claim on."""
        return margin.available(self.ledger, self.market, self.account, self.plan("").fee_rate)

    # -- exposure ----------------------------------------------------------------------------------------------------

    def entry_value(self, order: Order) -> Decimal | None:
        """Notional of what an open entry may still fill: at its limit, else its trigger, else the last price."""
        price = order.price or order.stop_price or self.mark(order.exchange, order.symbol)
        return None if price is None else notional(max(order.remaining, ZERO), price, order.contract_size)

    def exposure(self) -> Exposure:
        """Positions at their mark, and open entries each as if filled."""
        if self._exposure is None:
            self._exposure = self._gather()
        return self._exposure

    def _gather(self) -> Exposure:
        out = Exposure()
        for p in self.positions:
            leg = out.leg(self.leg_key(p.bot_id, p.exchange, p.symbol, p.side))
            value = p.notional(margin.mark_of(self.market, p))
            leg.held += value if p.side is LONG else -value
        for o in self.entries():
            leg = out.leg(self.leg_key(o.bot_id, o.exchange, o.symbol, o.position_side))
            entry = self.entry_value(o)
            if entry is None:
                out.is_known = False
            elif o.side is BUY:
                leg.up += entry
            else:
                leg.down += entry
        return out

    def leg_key(self, bot_id: str, exchange: str, symbol: str, side: PositionSide) -> LegKey:
        plan = self.setup.plans.get(bot_id) or plan_of(self.setup, bot_id)
        return (bot_id, exchange, symbol, side if plan.hedges else "")

    # -- an intent ---------------------------------------------------------------------------------------------------

    def plan(self, bot_id: str) -> Plan:
        return plan_of(self.setup, bot_id)

    def ask(self, intent: Intent, estimate: Decimal | None) -> Plan:
        """Look at an intent on behalf of all gates (`facts`); the plan of its bot. `estimate` is what it will cost without a
        limit."""
        bot_id, stop_price = intent.bot_id, intent.stop_price
        series = self.market.series.get((intent.exchange, intent.symbol))
        plan = self.setup.plans.get(bot_id) or plan_of(self.setup, bot_id)
        if intent.price is not None:
            estimate = intent.price
        price, quantity, value = usable(estimate), usable(intent.quantity), None
        if stop_price is not None and stop_price is not estimate and usable(stop_price) is None:
            price = None
        if price is not None and quantity is not None:
            value = notional(quantity, price, intent.contract_size)
        mark = None if series is None else series.price
        added = None if value is None or intent.reduce_only else self._added(intent, value)
        self.facts = Facts(plan, series, self.ledger.bots.get(bot_id), mark, estimate, price, quantity, value, added)
        return plan

    def _added(self, intent: Intent, value: Decimal) -> Decimal | None:
        exposure = self.exposure()
        if not exposure.is_known:
            return None
        leg = exposure.legs.get(self.leg_key(intent.bot_id, intent.exchange, intent.symbol, intent.position_side))
        if leg is None:
            return value
        after = leg.worst(buys=value) if intent.side is BUY else leg.worst(sells=value)
        return after - leg.worst()


def usable(number: Decimal | None) -> Decimal | None:
    """A finite number above zero, else None."""
    return number if number is not None and number.is_finite() and number > ZERO else None


def notional(quantity: Decimal, price: Decimal, contract_size: Decimal) -> Decimal:
    value = quantity * price
    return value if contract_size is ONE or contract_size == ONE else value * contract_size


def fee_rate(setup: Setup) -> Decimal:
    """What an order costs at most, as a fraction of its notional; a rebate is not counted on."""
    return max(setup.costs.taker_bps, setup.costs.maker_bps, ZERO) / 10_000


def plan_of(setup: Setup, bot_id: str) -> Plan:
    """The compiled limits of a bot; of "" those of the account alone."""
    known = setup.plans.get(bot_id)
    if known is None:
        known = setup.plans[bot_id] = _plan(setup, bot_id)
    return known


def _plan(setup: Setup, bot_id: str) -> Plan:
    bot = setup.by_id.get(bot_id)
    account = compile_limits(setup.account.limits)
    floors = _floor(account.max_drawdown_pct), _floor(account.daily_loss_pct)
    watches_bots = any(_watched(b.own_limits) for b in setup.bots)
    acts = any(_acts(limits) for limits in (setup.account.limits, *(b.own_limits for b in setup.bots)))
    return Plan(
        bot=bot,
        own=compile_limits(bot.own_limits) if bot else account,
        account=account,
        tight=compile_limits(bot.limits) if bot else account,
        hedges=bot is None or bot.margin.position_mode is HEDGE,
        fee_rate=fee_rate(setup),
        drawdown_floor=floors[0],
        daily_floor=floors[1],
        watches=acts or watches_bots or max(floors) > ZERO,
        watches_bots=watches_bots,
        acts=acts,
        acting_bots=tuple(b.id for b in setup.bots if _acts(b.own_limits)),
    )


def _floor(bound: Bound) -> Decimal:
    """The fraction of a baseline below which a loss trips; zero never."""
    return ZERO if bound.hard is None else (100 - bound.hard) / 100


def _watched(limits: Limits) -> bool:
    return limits.daily_loss_pct.hard is not None or limits.max_drawdown_pct.hard is not None


def _acts(limits: Limits) -> bool:
    return any(rule.action in ("reduce", "halt") for rule in limits.risk_rules)
