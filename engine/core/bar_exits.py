"""Convention `bar` (docs/fills.md), the numbers: where a position is left within one closed bar, and for which reason.

Pure functions of a position, a bar and the bot's exits. Percentages are of the margin: a price distance is theirs divided
by the leverage. Prices are exact decimals, so "exactly touched" means what it says.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Context, Decimal

import msgspec

from engine.core.config import Exits
from engine.core.exits import SIGNAL_EXIT, STOP, TAKE_PROFIT, TRAILING_STOP
from engine.core.inputs import Candle
from engine.core.positions import Position
from engine.core.types import LONG, MINUTE_US, QUANTUM, ZERO, money

#: Why a stop is where it is; its distance follows from it.
INITIAL, TRAILED, POSITIVE = "initial", "trailed", "positive"

#: Profits are compared at eight decimals.
_EIGHT = Decimal("1e-8")
#: An average price that was divided out of a cost.
_AVERAGE = Context(prec=14)
_ALL = Decimal(-1)


class Bar(msgspec.Struct, frozen=True):
    """A candle as money."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    ts: int
    timeframe_us: int

    @classmethod
    def of(cls, c: Candle) -> Bar:
        return cls(money(c.open), money(c.high), money(c.low), money(c.close), c.ts, c.timeframe_us)

    def fills(self, price: Decimal | None) -> bool:
        """Whether an order at `price` trades in this bar; None is an order at the market."""
        return price is None or self.low <= price <= self.high

    def clamp(self, price: Decimal) -> Decimal:
        return min(max(price, self.low), self.high)

    def best(self, sign: int) -> Decimal:
        """The extreme in favour of a long (1) or a short (-1)."""
        return self.high if sign > 0 else self.low

    def worst(self, sign: int) -> Decimal:
        return self.low if sign > 0 else self.high


class Stop(msgspec.Struct, frozen=True):
    """Where the stop is, whether it has ever been tightened, and by which distance it is kept."""

    price: Decimal | None
    trailing: bool
    kind: str


class Held(msgspec.Struct, frozen=True):
    """What the decisions look at of an open position. `age_us` counts from the first placement of its entry."""

    sign: int
    entry: Decimal
    leverage: Decimal
    age_us: int
    exits: Exits

    @classmethod
    def of(cls, position: Position, bar: Bar, exits: Exits) -> Held:
        sign = 1 if position.side is LONG else -1
        return cls(sign, average(position), position.leverage, bar.ts - position.placed_ts, exits)

    def profit(self, price: Decimal) -> Decimal:
        """Ratio on margin, eight decimals."""
        return ((price - self.entry) * self.sign * self.leverage / self.entry).quantize(_EIGHT)

    def beyond(self, price: Decimal, ratio: Decimal) -> Decimal:
        """`price` moved by `ratio` of the margin in the position's favour (below zero: against it)."""
        return (price * (self.leverage + self.sign * ratio) / self.leverage).quantize(QUANTUM)


def average(position: Position) -> Decimal:
    """Average price of what is open: exact while nothing has been taken out."""
    if not position.exit_quantity:
        return position.entry_price
    return _AVERAGE.divide(position.cost, position.quantity * position.contract_size)


def distance(exits: Exits, kind: str) -> Decimal | None:
    """The stop's distance as a ratio on margin; None without one."""
    trailing = exits.trailing
    if kind == INITIAL or trailing is None:
        return None if exits.stop_loss_pct is None else exits.stop_loss_pct / 100
    percent = trailing.positive_distance_pct if kind == POSITIVE else None
    return (percent or trailing.distance_pct) / 100


def initial_stop(held: Held) -> Stop:
    """The stop at the first fill."""
    width = distance(held.exits, INITIAL)
    return Stop(None if width is None else held.beyond(held.entry, -width), False, INITIAL)


def tightened(held: Held, stop: Stop, price: Decimal, kind: str) -> Stop | None:
    """The stop at its distance behind `price`, if that is tighter; from then on it is a trailing one."""
    width = distance(held.exits, kind)
    if width is None:
        return None
    new = held.beyond(price, -width)
    if stop.price is not None and (new - stop.price) * held.sign <= ZERO:
        return None
    return Stop(new, True, kind)


def trailed(held: Held, stop: Stop, bar: Bar) -> Stop | None:
    """The stop after this bar's best price, or None when it stays: it does once the bar has reached it."""
    trailing = held.exits.trailing
    if trailing is None or hit(held, stop, bar):
        return None
    best = bar.best(held.sign)
    profit, offset = held.profit(best), trailing.offset_pct / 100
    if trailing.only_after_offset and profit < offset:
        return None
    kind = POSITIVE if trailing.positive_distance_pct is not None and profit > offset else TRAILED
    return tightened(held, stop, best, kind)


def hit(held: Held, stop: Stop, bar: Bar) -> bool:
    """Whether the bar has reached the stop; equality counts."""
    return stop.price is not None and (bar.worst(held.sign) - stop.price) * held.sign <= ZERO


def candidates(
    held: Held, stop: Stop, bar: Bar, signalled: bool, proposed: Decimal | None
) -> Iterator[tuple[str, Decimal]]:
    """(role, price) of every reason to leave in this bar, by priority."""
    if signalled:
        yield SIGNAL_EXIT, exit_price(held.sign, bar, proposed)
    reached = hit(held, stop, bar)
    if reached and not stop.trailing:
        yield STOP, _stop_price(held, stop, bar)
    take = take_profit(held, bar)
    if take is not None:
        yield TAKE_PROFIT, take
    if reached and stop.trailing:
        yield TRAILING_STOP, _stop_price(held, stop, bar)


def entry_price(sign: int, bar: Bar, proposed: Decimal | None) -> Decimal:
    """The open, or the proposed limit; never worse than the bar's extreme, where it would be a stop."""
    price = bar.open if proposed is None else proposed
    return min(price, bar.high) if sign > 0 else max(price, bar.low)


def exit_price(sign: int, bar: Bar, proposed: Decimal | None) -> Decimal:
    """The open, or the proposed limit; never below (a long's) or above (a short's) what the bar has traded."""
    price = bar.open if proposed is None else proposed
    return max(price, bar.low) if sign > 0 else min(price, bar.high)


def _stop_price(held: Held, stop: Stop, bar: Bar) -> Decimal:
    sign = held.sign
    assert stop.price is not None
    if (stop.price - bar.best(sign)) * sign > ZERO:
        return bar.open  # the whole bar is beyond it
    if not stop.trailing or held.age_us:
        return stop.price
    # Armed and hit within the bar of the entry: the price moved just far enough to arm it, then turned.
    trailing = held.exits.trailing
    if trailing is not None and trailing.only_after_offset and trailing.positive_distance_pct is not None:
        price = held.beyond(bar.open, (trailing.offset_pct * held.leverage - trailing.positive_distance_pct) / 100)
    else:
        price = held.beyond(bar.open, -(distance(held.exits, stop.kind) or ZERO))
    return max(price, bar.low) if sign > 0 else min(price, bar.high)


def take_profit(held: Held, bar: Bar) -> Decimal | None:
    """Where the ladder closes all, None when its step is not reached or cannot have been traded."""
    sign, ladder = held.sign, held.exits.ladder
    age_min = held.age_us // MINUTE_US
    step = max((minutes for minutes in ladder if minutes <= age_min), default=None)
    if step is None:
        return None
    ratio = ladder[step] / 100
    if held.profit(bar.best(sign)) <= ratio:
        return None
    on_open = step * MINUTE_US % bar.timeframe_us == 0
    if ratio == _ALL and on_open:
        return bar.open
    target = held.beyond(held.entry, ratio)
    if on_open and 0 < step == age_min and (bar.open - target) * sign > ZERO:
        return bar.open  # the step begins with this bar, which opens beyond it
    if not held.age_us and _unseen(held, bar, target):
        return None
    return bar.clamp(target)


def _unseen(held: Held, bar: Bar, target: Decimal) -> bool:
    """In the bar of the entry, better than the open in a bar that went against it: whether the target traded after the
    entry is not known unless the bar closed beyond it."""
    sign = held.sign
    return (
        (bar.open - bar.close) * sign > ZERO
        and (bar.open - held.entry) * sign > ZERO
        and (target - bar.close) * sign > ZERO
    )
