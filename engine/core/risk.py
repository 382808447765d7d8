"""The gates (design/risk.md): pure functions `gate(view, intent) -> GateResult`; all are evaluated for every intent.

Names follow RTS 6 art. 12 and 15, SEC 15c3-5 and the FIA recommendations. Reduce-only closes skip G4 to G6, never G2 and
G3; G12 only warns them, because old data is a reason to leave, not to stay. An unknown input blocks: fail closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.core.events import GateResult
from engine.core.ledger import Ledger
from engine.core.limits import Limit, Limits
from engine.core.market import Market
from engine.core.orders import Order
from engine.core.positions import Account, Position
from engine.core.setup import BotSetup, Setup
from engine.core.types import SECOND_US, ZERO, OrderType, Origin, Side, TradingState, Verdict


class DenyCode(StrEnum):
    """Why an order was not sent: CATEGORY_CONDITION."""

    NONE = ""
    TRADING_STATE_HALTED = "TRADING_STATE_HALTED"
    TRADING_STATE_PAUSED = "TRADING_STATE_PAUSED"
    TRADING_STATE_REDUCING = "TRADING_STATE_REDUCING"
    TRADING_STATE_HELD = "TRADING_STATE_HELD"
    INSTRUMENT_UNKNOWN = "INSTRUMENT_UNKNOWN"
    INSTRUMENT_NOT_TRADING = "INSTRUMENT_NOT_TRADING"
    INSTRUMENT_TICK = "INSTRUMENT_TICK"
    INSTRUMENT_LOT = "INSTRUMENT_LOT"
    INSTRUMENT_MIN_QUANTITY = "INSTRUMENT_MIN_QUANTITY"
    INSTRUMENT_MAX_QUANTITY = "INSTRUMENT_MAX_QUANTITY"
    INSTRUMENT_MIN_NOTIONAL = "INSTRUMENT_MIN_NOTIONAL"
    PRICE_UNKNOWN = "PRICE_UNKNOWN"
    PRICE_COLLAR = "PRICE_COLLAR"
    ORDER_VALUE = "ORDER_VALUE"
    ORDER_SIZE = "ORDER_SIZE"
    POSITION_VALUE = "POSITION_VALUE"
    EXPOSURE_GROSS = "EXPOSURE_GROSS"
    POSITION_COUNT = "POSITION_COUNT"
    BUYING_POWER = "BUYING_POWER"
    DUPLICATE_IN_FLIGHT = "DUPLICATE_IN_FLIGHT"
    DATA_UNKNOWN = "DATA_UNKNOWN"
    DATA_STALE = "DATA_STALE"
    LOSS_DAILY = "LOSS_DAILY"
    LOSS_DRAWDOWN = "LOSS_DRAWDOWN"


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """An order that someone wants. `price` is its limit, or the estimate of a marketable order; None when unknown."""

    bot_id: str
    exchange: str
    symbol: str
    side: Side
    order_type: OrderType
    origin: Origin
    quantity: Decimal
    price: Decimal | None
    stop_price: Decimal | None = None
    reduce_only: bool = False


class View(msgspec.Struct, frozen=True):
    """What a gate may look at."""

    ledger: Ledger
    market: Market
    setup: Setup
    now: int
    account: Account

    def mark(self, exchange: str, symbol: str) -> Decimal | None:
        return self.market.mark(exchange, symbol)

    def equity(self) -> Decimal:
        """Cash and positions at their last price; a position without one counts at its last known mark."""
        return self.account.cash + sum(
            (self.value(p.exchange, p.symbol, p.quantity, p.mark_price) for p in self.positions), ZERO
        )

    def value(self, exchange: str, symbol: str, quantity: Decimal, otherwise: Decimal) -> Decimal:
        return quantity * (self.mark(exchange, symbol) or otherwise)

    @property
    def positions(self) -> Iterable[Position]:
        own = self.account.portfolio_id
        return [p for p in self.ledger.positions.values() if p.portfolio_id == own]

    def entries(self) -> Iterable[Order]:
        """Open orders that add risk: each counts as if filled (RTS 6 art. 15(2))."""
        return (o for o in self.ledger.orders.values() if o.adds_risk)

    def entry_value(self, order: Order) -> Decimal:
        price = order.price or self.mark(order.exchange, order.symbol) or ZERO
        return order.remaining * price

    def exposure(self, bot_id: str = "", symbol: str = "") -> Decimal:
        """Notional of positions and entries under way, of one bot or symbol or of all."""
        total = ZERO
        for p in self.ledger.positions.values():
            if (not bot_id or p.bot_id == bot_id) and (not symbol or p.symbol == symbol):
                total += self.value(p.exchange, p.symbol, p.quantity, p.mark_price)
        for o in self.entries():
            if (not bot_id or o.bot_id == bot_id) and (not symbol or o.symbol == symbol):
                total += self.entry_value(o)
        return total

    def open_count(self, bot_id: str = "") -> int:
        """Positions, and entries that would open one."""
        ids = {p.id for p in self.ledger.positions.values() if not bot_id or p.bot_id == bot_id}
        return len(ids | {o.position_id for o in self.entries() if not bot_id or o.bot_id == bot_id})


Gate = Callable[[View, Intent], GateResult]


def show(value: Decimal) -> str:
    """A number for the board: no exponent, at most eight decimals, no tail of zeros."""
    text = f"{value:.8f}"
    return text.rstrip("0").rstrip(".")


def result(
    gate: str, code: DenyCode, verdict: Verdict, limit: str = "", actual: str = "", margin: str = ""
) -> GateResult:
    return GateResult(gate, code if verdict is not Verdict.ALLOWED else DenyCode.NONE, verdict, limit, actual, margin)


def against(gate: str, code: DenyCode, actual: Decimal, limit: Limit) -> GateResult:
    """Compare with a soft and a hard limit; at the limit is still within it."""
    bound = limit.hard if limit.hard is not None else limit.soft
    if bound is None:
        return result(gate, code, Verdict.ALLOWED, "none", show(actual))
    verdict = Verdict.ALLOWED
    if limit.hard is not None and actual > limit.hard:
        verdict = Verdict.BLOCKED
    elif limit.soft is not None and actual > limit.soft:
        verdict = Verdict.WARNED
    return result(gate, code, verdict, show(bound), show(actual), show(bound - actual))


def _skipped(gate: str) -> GateResult:
    return result(gate, DenyCode.NONE, Verdict.ALLOWED, "reduce-only", "", "")


def trading_state(view: View, intent: Intent) -> GateResult:
    """G1. HALTED lets through only what leaves: reduce-only orders of origin EXIT, FLATTEN, LIQUIDATION (decisions.md 13)."""
    state = view.ledger.state
    leaves = intent.reduce_only and intent.origin is not Origin.ENTRY
    if leaves:
        return result("TRADING_STATE", DenyCode.NONE, Verdict.ALLOWED, "reduce-only", state)
    if view.ledger.held:
        return result("TRADING_STATE", DenyCode.TRADING_STATE_HELD, Verdict.BLOCKED, "ACTIVE", "HELD")
    if state is TradingState.ACTIVE:
        return result("TRADING_STATE", DenyCode.NONE, Verdict.ALLOWED, "ACTIVE", state)
    return result("TRADING_STATE", DenyCode(f"TRADING_STATE_{state}"), Verdict.BLOCKED, "ACTIVE", state)


def instrument_rules(view: View, intent: Intent) -> GateResult:
    """G2. Tick, lot, smallest and largest quantity, smallest notional, status."""
    series = view.market.series.get((intent.exchange, intent.symbol))
    if series is None:
        return result("INSTRUMENT_RULES", DenyCode.INSTRUMENT_UNKNOWN, Verdict.BLOCKED, "known", "unknown")
    rules = series.instrument
    prices = [
        p for p in (intent.price, intent.stop_price) if p is not None and intent.order_type is not OrderType.MARKET
    ]
    checks = (
        (DenyCode.INSTRUMENT_NOT_TRADING, rules.status == "TRADING", "TRADING", rules.status),
        (
            DenyCode.INSTRUMENT_TICK,
            # A price below one tick says that these rules are not this symbol's: no stop could be placed for it.
            all(rules.tick_size == ZERO or p % rules.tick_size == ZERO for p in prices)
            and (intent.price is None or intent.price >= rules.tick_size),
            show(rules.tick_size),
            show(prices[0] if prices else intent.price or ZERO),
        ),
        (
            DenyCode.INSTRUMENT_LOT,
            rules.lot_size == ZERO or intent.quantity % rules.lot_size == ZERO,
            show(rules.lot_size),
            show(intent.quantity),
        ),
        (
            DenyCode.INSTRUMENT_MIN_QUANTITY,
            intent.quantity > ZERO and intent.quantity >= rules.min_quantity,
            show(rules.min_quantity),
            show(intent.quantity),
        ),
        (
            DenyCode.INSTRUMENT_MAX_QUANTITY,
            rules.max_quantity is None or intent.quantity <= rules.max_quantity,
            show(rules.max_quantity or ZERO),
            show(intent.quantity),
        ),
        (
            DenyCode.INSTRUMENT_MIN_NOTIONAL,
            intent.reduce_only or intent.quantity * (intent.price or ZERO) >= rules.min_notional,
            show(rules.min_notional),
            show(intent.quantity * (intent.price or ZERO)),
        ),
    )
    for code, passes, limit, actual in checks:
        if not passes:
            return result("INSTRUMENT_RULES", code, Verdict.BLOCKED, limit, actual)
    return result("INSTRUMENT_RULES", DenyCode.NONE, Verdict.ALLOWED, show(rules.min_notional), checks[-1][3])


def price_collar(view: View, intent: Intent) -> GateResult:
    """G3. How much worse than the last price the order may trade; a stop is held against its own trigger."""
    gate = "PRICE_COLLAR"
    mark = view.mark(intent.exchange, intent.symbol)
    if mark is None or intent.price is None:
        return result(gate, DenyCode.PRICE_UNKNOWN, Verdict.BLOCKED, "a price", "unknown")
    reference = intent.stop_price or mark
    worse = intent.price - reference if intent.side is Side.BUY else reference - intent.price
    limit = _limits(view, intent).price_collar_pct
    return against(gate, DenyCode.PRICE_COLLAR, max(worse, ZERO) / reference * 100, limit)


def max_order_value(view: View, intent: Intent) -> GateResult:
    """G4."""
    if intent.reduce_only:
        return _skipped("MAX_ORDER_VALUE")
    if intent.price is None:
        return result("MAX_ORDER_VALUE", DenyCode.PRICE_UNKNOWN, Verdict.BLOCKED, "a price", "unknown")
    value = intent.quantity * intent.price
    return against("MAX_ORDER_VALUE", DenyCode.ORDER_VALUE, value, _limits(view, intent).max_order_value)


def max_order_size(view: View, intent: Intent) -> GateResult:
    """G5, the fat finger."""
    if intent.reduce_only:
        return _skipped("MAX_ORDER_SIZE")
    return against("MAX_ORDER_SIZE", DenyCode.ORDER_SIZE, intent.quantity, _limits(view, intent).max_order_quantity)


def max_position(view: View, intent: Intent) -> GateResult:
    """G6, per symbol: what the bot would hold with every open entry filled."""
    if intent.reduce_only:
        return _skipped("MAX_POSITION")
    if intent.price is None:
        return result("MAX_POSITION", DenyCode.PRICE_UNKNOWN, Verdict.BLOCKED, "a price", "unknown")
    after = view.exposure(intent.bot_id, intent.symbol) + intent.quantity * intent.price
    return against("MAX_POSITION", DenyCode.POSITION_VALUE, after, _limits(view, intent).max_position_value)


def max_gross_exposure(view: View, intent: Intent) -> GateResult:
    """G6, bot and account: in percent of equity."""
    gate = "MAX_GROSS_EXPOSURE"
    if intent.reduce_only:
        return _skipped(gate)
    if intent.price is None:
        return result(gate, DenyCode.PRICE_UNKNOWN, Verdict.BLOCKED, "a price", "unknown")
    more = intent.quantity * intent.price
    bot, account = _scopes(view, intent)
    return _worse(
        exposure_gate(view, view.exposure(intent.bot_id) + more, bot.max_gross_exposure_pct),
        exposure_gate(view, view.exposure() + more, account.max_gross_exposure_pct),
    )


def exposure_gate(view: View, exposure: Decimal, limit: Limit) -> GateResult:
    equity = view.equity()
    share = exposure / equity * 100 if equity > ZERO else Decimal(10**6)
    return against("MAX_GROSS_EXPOSURE", DenyCode.EXPOSURE_GROSS, share, limit)


def max_open_positions(view: View, intent: Intent) -> GateResult:
    """G6, bot and account: positions and entries under way."""
    gate = "MAX_OPEN_POSITIONS"
    if intent.reduce_only:
        return _skipped(gate)
    bot, account = _scopes(view, intent)
    more = 0 if view.ledger.open_position(intent.bot_id, intent.exchange, intent.symbol) else 1
    return _worse(
        against(gate, DenyCode.POSITION_COUNT, Decimal(view.open_count(intent.bot_id) + more), bot.max_open_positions),
        against(gate, DenyCode.POSITION_COUNT, Decimal(view.open_count() + more), account.max_open_positions),
    )


def buying_power(view: View, intent: Intent) -> GateResult:
    """G7. Cash left after every open entry and its fee."""
    if intent.reduce_only:
        return _skipped("BUYING_POWER")
    if intent.price is None:
        return result("BUYING_POWER", DenyCode.PRICE_UNKNOWN, Verdict.BLOCKED, "a price", "unknown")
    free = free_cash(view)
    need = intent.quantity * intent.price * (1 + fee_rate(view.setup))
    verdict = Verdict.ALLOWED if need <= free else Verdict.BLOCKED
    return result("BUYING_POWER", DenyCode.BUYING_POWER, verdict, show(free), show(need), show(free - need))


def free_cash(view: View) -> Decimal:
    """Cash that no open entry has a claim on."""
    claimed = sum((view.entry_value(o) for o in view.entries()), ZERO)
    return view.account.cash - claimed * (1 + fee_rate(view.setup))


def fee_rate(setup: Setup) -> Decimal:
    return max(setup.costs.taker_bps, setup.costs.maker_bps) / 10_000


def duplicate_order(view: View, intent: Intent) -> GateResult:
    """G10. One entry per bot, instrument and side in flight; one closing order of a kind is for `exits` to see to."""
    if intent.reduce_only:
        return _skipped("DUPLICATE_ORDER")
    twins = [
        o
        for o in view.entries()
        if o.bot_id == intent.bot_id
        and o.symbol == intent.symbol
        and o.exchange == intent.exchange
        and o.side is intent.side
    ]
    verdict = Verdict.BLOCKED if twins else Verdict.ALLOWED
    return result("DUPLICATE_ORDER", DenyCode.DUPLICATE_IN_FLIGHT, verdict, "0", str(len(twins)))


def stale_data(view: View, intent: Intent) -> GateResult:
    """G12. How late the newest candle of the symbol arrived, or how long ago anything did."""
    series = view.market.series.get((intent.exchange, intent.symbol))
    late = None if series is None else series.late_us
    if late is None:
        return result("STALE_DATA", DenyCode.DATA_UNKNOWN, Verdict.BLOCKED, "data", "none yet")
    age = view.market.age_us(intent.exchange, intent.symbol, view.now) or 0
    gate = against(
        "STALE_DATA", DenyCode.DATA_STALE, Decimal(max(late, age)) / SECOND_US, _limits(view, intent).max_data_age_s
    )
    if intent.reduce_only and gate.verdict is Verdict.BLOCKED:
        return msgspec.structs.replace(gate, verdict=Verdict.WARNED)
    return gate


def daily_loss(view: View, intent: Intent | None = None) -> GateResult:
    """G13. Loss since the day's first equity, in percent of it; open positions count at their mark."""
    if intent is not None and intent.reduce_only:
        return _skipped("DAILY_LOSS_LOCK")
    start = view.account.day_start_equity
    loss = (start - view.equity()) / start * 100 if start > ZERO else ZERO
    return against("DAILY_LOSS_LOCK", DenyCode.LOSS_DAILY, max(loss, ZERO), view.setup.account.limits.daily_loss_pct)


def max_drawdown(view: View, intent: Intent | None = None) -> GateResult:
    """G13. Fall from the peak, in percent; the peak is a fact of the ledger, so that a restart does not forget it."""
    if intent is not None and intent.reduce_only:
        return _skipped("MAX_DRAWDOWN")
    peak = view.account.peak_equity
    fall = (peak - view.equity()) / peak * 100 if peak > ZERO else ZERO
    return against("MAX_DRAWDOWN", DenyCode.LOSS_DRAWDOWN, max(fall, ZERO), view.setup.account.limits.max_drawdown_pct)


GATES: tuple[Gate, ...] = (
    trading_state,
    instrument_rules,
    price_collar,
    max_order_value,
    max_order_size,
    max_position,
    max_gross_exposure,
    max_open_positions,
    buying_power,
    duplicate_order,
    stale_data,
    daily_loss,
    max_drawdown,
)


def evaluate(view: View, intent: Intent) -> tuple[GateResult, ...]:
    """Every gate's word, also after the first that blocks."""
    return tuple(gate(view, intent) for gate in GATES)


def verdict_of(results: Iterable[GateResult]) -> Verdict:
    verdicts = {r.verdict for r in results}
    for worst in (Verdict.BLOCKED, Verdict.WARNED):
        if worst in verdicts:
            return worst
    return Verdict.ALLOWED


def board(view: View) -> tuple[GateResult, ...]:
    """The standing gates: true or not without any order in sight."""
    held_or_state = view.ledger.state if not view.ledger.held else "HELD"
    active = held_or_state == TradingState.ACTIVE
    return (
        result(
            "TRADING_STATE",
            DenyCode.TRADING_STATE_HELD if view.ledger.held else DenyCode.NONE,
            Verdict.ALLOWED if active else Verdict.BLOCKED,
            "ACTIVE",
            held_or_state,
        ),
        exposure_gate(view, view.exposure(), view.setup.account.limits.max_gross_exposure_pct),
        against(
            "MAX_OPEN_POSITIONS",
            DenyCode.POSITION_COUNT,
            Decimal(view.open_count()),
            view.setup.account.limits.max_open_positions,
        ),
        _stalest(view),
        daily_loss(view),
        max_drawdown(view),
    )


def _stalest(view: View) -> GateResult:
    ages = [view.market.age_us(e, s, view.now) for e, s in view.market.instruments]
    known = [age for age in ages if age is not None]
    if not known:
        return result("STALE_DATA", DenyCode.DATA_UNKNOWN, Verdict.BLOCKED, "data", "none yet")
    limit = view.setup.account.limits.max_data_age_s
    return against("STALE_DATA", DenyCode.DATA_STALE, Decimal(max(known)) / SECOND_US, limit)


def _bot(view: View, intent: Intent) -> BotSetup | None:
    return view.setup.by_id.get(intent.bot_id)


def _limits(view: View, intent: Intent) -> Limits:
    bot = _bot(view, intent)
    return bot.limits if bot else view.setup.account.limits


def _scopes(view: View, intent: Intent) -> tuple[Limits, Limits]:
    bot = _bot(view, intent)
    return (bot.own_limits if bot else view.setup.account.limits), view.setup.account.limits


_SEVERITY = {Verdict.ALLOWED: 0, Verdict.WARNED: 1, Verdict.BLOCKED: 2}


def _worse(a: GateResult, b: GateResult) -> GateResult:
    return a if _SEVERITY[a.verdict] > _SEVERITY[b.verdict] else b
