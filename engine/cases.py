"""Tables of expected results as data (docs/fills.md, "The case format"): candles with signals in, trades out.

A case becomes a config (convention `bar`, no costs, no rounding, no limits) and a strategy that says what its columns say,
and runs through the same engine and venue as any backtest. Ticks of a result are candle indices from 0.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

import msgspec

from engine.backtest import Backtest
from engine.case_files import EXCHANGE, START_US, SYMBOL, Case
from engine.core.config import (
    AccountConfig,
    BotConfig,
    Config,
    Costs,
    Entry,
    Exits,
    Margin,
    PythonStrategy,
    Sizing,
    Trailing,
)
from engine.core.inputs import Candle, Feature
from engine.core.ledger import Ledger
from engine.core.limits import AccountLimits, Limit
from engine.core.positions import Position
from engine.core.strategy import ENTER_LONG, ENTER_SHORT, EXIT_LONG, EXIT_SHORT, Factory, Proposal, Strategy
from engine.core.types import ZERO, Instrument, InstrumentKind, MarginMode, PositionSide
from engine.ports import Journal

CURRENCY = "QUOTE"
BALANCE = Decimal(10) ** 15

#: The words of the case format, by the role of the closing order.
REASONS = {
    "SIGNAL_EXIT": "exit_signal",
    "STOP": "stop_loss",
    "TRAILING_STOP": "trailing_stop_loss",
    "TAKE_PROFIT": "roi",
    "REDUCE": "partial_exit",
    "FLATTEN": "force_exit",
    "LIQUIDATION": "liquidation",
}
#: Digits after the point behind which a price or a ratio is the noise of a division.
_DIGITS = 12


#: Signals that would open a position, without that: nothing opens on the last candle.
_LAST = {
    signal: signal & ~(ENTER_LONG | ENTER_SHORT)
    for signal in range(16)
    if signal & (ENTER_LONG | EXIT_LONG | ENTER_SHORT) == ENTER_LONG
    or signal & (ENTER_SHORT | EXIT_SHORT | ENTER_LONG) == ENTER_SHORT
}


class CaseTrade(msgspec.Struct, frozen=True):
    """One round trip of a case."""

    exit_reason: str
    open_tick: int
    close_tick: int
    is_short: bool
    enter_tag: str | None
    open_rate: float
    close_rate: float
    profit_ratio: float


# -- running -----------------------------------------------------------------------------------------------------------


class Scripted:
    """The strategy of a case: each candle's columns as they stand, and no entry that could only act on the last candle.

    Its proposal is made when it is looked at: which change of the position is next depends on how long one was held.
    """

    warmup_bars = 0

    def __init__(self, case: Case, ledger: Callable[[], Ledger]) -> None:
        self._case = case
        self._ledger = ledger
        self._seen = -1

    def on_bar(self, candle: Candle) -> int:
        self._seen += 1
        signal = self._case.signals[self._seen]
        acts_on_the_last = self._seen + 2 >= len(self._case.candles)
        return _LAST.get(signal, signal) if acts_on_the_last else signal

    @property
    def proposal(self) -> Proposal:
        case = self._case
        changes, held = case.adjust_trade_position, self._held_before()
        return Proposal(
            entry_price=case.custom_entry_price,
            exit_price=case.custom_exit_price,
            entry_reprice=case.adjust_entry_price,
            exit_reprice=case.adjust_exit_price,
            stake=changes[held] if held < len(changes) else ZERO,
            tag=case.tags[self._seen] if self._seen >= 0 else "",
        )

    def _held_before(self) -> int:
        """Candles before this one on which a position was held: the n-th change is for the n-th of them."""
        ledger, bar_us = self._ledger(), self._case.bar_us
        now = START_US + (self._seen + 2) * bar_us
        held = sum((p.closed_ts - p.opened_ts) // bar_us + 1 for p in ledger.closed_positions.values())
        return held + sum((now - p.opened_ts) // bar_us for p in ledger.positions.values())

    def on_feature(self, feature: Feature) -> None:
        """Cases have none."""

    def explain(self) -> dict[str, Any]:
        return {"candle": str(self._seen)}


def run_case(case: Case, journal: Journal) -> list[CaseTrade]:
    """The trades of a case, in the order of their ends. `journal` must be empty; what the engine raises comes through."""
    if not case.candles:
        return []
    instrument = Instrument(
        exchange=EXCHANGE,
        symbol=SYMBOL,
        base=SYMBOL,
        quote=CURRENCY,
        tick_size=ZERO,
        lot_size=ZERO,
        min_notional=ZERO,
        source="bundled",
        kind=InstrumentKind.LINEAR,
    )
    ledgers: list[Ledger] = []
    factories: dict[str, Factory] = {"case": lambda params: cast(Strategy, Scripted(case, lambda: ledgers[0]))}
    backtest = Backtest(config_of(case), [instrument], journal, balance=BALANCE, factories=factories)
    ledgers.append(backtest.ledger)
    backtest.feed(case.candles)
    backtest.flatten("the candles are over")
    ended = sorted(backtest.ledger.closed_positions.values(), key=lambda p: (p.closed_ts, p.placed_ts, p.id))
    return [_trade(case, position, backtest.ledger) for position in ended]


def config_of(case: Case) -> Config:
    """The config that a case describes."""
    stop_pct = abs(case.stop_loss) * 100
    trailing = None
    if case.trailing_stop:
        positive = case.trailing_stop_positive
        trailing = Trailing(
            distance_pct=stop_pct,
            positive_distance_pct=None if positive is None else positive * 100,
            offset_pct=case.trailing_stop_positive_offset * 100,
            only_after_offset=case.trailing_only_offset_is_reached,
        )
    exits = Exits(
        stop_loss_pct=stop_pct,
        take_profit_pct=None,
        ladder={minutes: ratio * 100 for minutes, ratio in case.roi.items()},
        trailing=trailing,
        use_exit_signal=case.use_exit_signal,
        unfilled_exit_min=30 if case.timeout is None else case.timeout,
    )
    unlimited: dict[str, object] = {
        name: {} for name, field in AccountLimits.model_fields.items() if field.annotation is Limit
    }
    bot = BotConfig(
        name="case",
        strategy=PythonStrategy(python="case"),
        sizing=Sizing(kind="fixed_notional", value=case.stake_amount * case.leverage),
        entry=Entry(valid_min=10 if case.timeout is None else case.timeout),
        exits=exits,
        margin=Margin(leverage=case.leverage, mode=MarginMode.CROSS),
    )
    costs = Costs(convention="bar", maker_bps=ZERO, taker_bps=ZERO, slippage_bps=ZERO, latency_ms=0)
    return Config(account=AccountConfig(limits=AccountLimits.model_validate(unlimited)), costs=costs, bots=(bot,))


def _trade(case: Case, position: Position, ledger: Ledger) -> CaseTrade:
    orders = [o for o in ledger.closed_orders.values() if o.position_id == position.id and o.filled_quantity]
    orders.sort(key=lambda o: (o.filled_ts, o.number))
    first, last = orders[0], orders[-1]
    long = position.side is PositionSide.LONG
    close_rate = last.avg_fill_price or ZERO
    gained = last.pnl / last.filled_quantity  # per unit: what the average entry price is below (a short's: above) it
    bar_us = case.bar_us
    return CaseTrade(
        exit_reason=REASONS.get(last.role, last.role.lower()),
        open_tick=(position.placed_ts - START_US) // bar_us - 1,
        close_tick=(position.closed_ts - START_US) // bar_us - 1,
        is_short=not long,
        enter_tag=first.tag or None,
        open_rate=round(float(close_rate - gained if long else close_rate + gained), _DIGITS),
        close_rate=float(close_rate),
        profit_ratio=round(float(position.realized_pnl / position.entry_notional * case.leverage), _DIGITS),
    )
