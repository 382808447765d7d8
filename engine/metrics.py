"""Figures of performance, from events alone: what a backtest or a report says of the trades that were made.

A trade is a closed round trip (decisions.md 10), its profit after fees and funding. Money is Decimal in the portfolio's
currency; percentages are percent. A figure without a meaning (no trade, no loss) is None, never zero or infinity.
Formulas: win rate, profit factor and payoff ratio as in Pardo, "The Evaluation and Optimization of Trading Strategies"
(2008), ch. 12; drawdown as in Magdon-Ismail and Atiya, "Maximum Drawdown" (2004), over the samples of equity.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from engine.core import events as ev
from engine.core.types import QUANTUM, ZERO


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Of some trades: all of them, or those of one bot, one symbol, one reason."""

    trades: int
    wins: int
    losses: int
    win_rate_pct: Decimal | None  # wins / trades; a trade that made nothing is neither won nor lost
    net_pnl: Decimal
    gross_profit: Decimal  # sum of what winners made
    gross_loss: Decimal  # sum of what losers lost, above zero
    profit_factor: Decimal | None  # gross profit / gross loss
    payoff_ratio: Decimal | None  # average win / average loss
    expectancy: Decimal | None  # average profit of a trade
    best: Decimal | None
    worst: Decimal | None
    fees: Decimal
    funding: Decimal  # above zero: received
    average_minutes: Decimal | None  # how long a trade lasted
    exposure_pct: Decimal | None  # share of the time with a position open, in percent


class Fall(msgspec.Struct, frozen=True, kw_only=True):
    """The deepest fall of equity from a peak: in percent of the peak and in money, and when (us UTC)."""

    pct: Decimal
    money: Decimal
    peak_ts: int
    trough_ts: int


class Trade(msgspec.Struct, frozen=True):
    """A closed round trip. `pnl` is after fees and funding; times us UTC."""

    bot_id: str
    symbol: str
    reason: str
    pnl: Decimal
    fees: Decimal
    funding: Decimal
    opened_ts: int
    closed_ts: int


class Tally:
    """Takes in the events of a run, in order; then `figures`, `fall` and `denied` say what came of it."""

    def __init__(self) -> None:
        self.trades: list[Trade] = []
        self.denied: dict[str, int] = {}
        self.first_ts: int | None = None
        self.last_ts = 0
        self._open: dict[str, tuple[str, str, int]] = {}  # position -> bot, symbol, since
        self._funding: dict[str, Decimal] = {}
        self._peaks: dict[str, tuple[Decimal, int]] = {}  # portfolio -> highest equity, when
        self._falls: dict[str, Fall] = {}

    def see(self, event: ev.Event) -> None:
        """Take in the next event."""
        match event:
            case ev.PositionOpened():
                self._open[event.position_id] = (event.bot_id, event.symbol, event.ts)
            case ev.PositionClosed():
                self._close(event)
            case ev.FundingPaid():
                paid = self._funding.get(event.position_id, ZERO)
                self._funding[event.position_id] = paid + event.amount
            case ev.OrderDenied():
                self.denied[event.code] = self.denied.get(event.code, 0) + 1
            case ev.EquitySampled():
                self.sample(event.portfolio_id, event.ts, event.equity)
            case _:
                pass

    def during(self, first_ts: int, last_ts: int) -> None:
        """The time that was played, us UTC: what exposure is a share of."""
        self.first_ts, self.last_ts = first_ts, last_ts

    def sample(self, portfolio_id: str, ts: int, equity: Decimal) -> None:
        """Equity of one portfolio at `ts`."""
        peak, peak_ts = self._peaks.get(portfolio_id, (equity, ts))
        if equity >= peak:
            self._peaks[portfolio_id] = (equity, ts)
            return
        self._peaks[portfolio_id] = (peak, peak_ts)
        pct = _ratio((peak - equity) * 100, peak) or ZERO
        worst = self._falls.get(portfolio_id)
        if worst is None or pct > worst.pct:
            self._falls[portfolio_id] = Fall(pct=pct, money=peak - equity, peak_ts=peak_ts, trough_ts=ts)

    def fall(self, portfolio_id: str) -> Fall | None:
        """The deepest fall of a portfolio's equity; None when it never fell."""
        return self._falls.get(portfolio_id)

    def figures(self, *, bot_id: str = "", symbol: str = "", reason: str = "") -> Figures:
        """Of the trades of that bot, symbol and closing order's role; "" means any."""

        def fits(own_bot: str, own_symbol: str) -> bool:
            return bot_id in ("", own_bot) and symbol in ("", own_symbol)

        trades = [t for t in self.trades if fits(t.bot_id, t.symbol) and reason in ("", t.reason)]
        spans = [(t.opened_ts, t.closed_ts) for t in trades]
        if not reason:
            spans += [(since, self.last_ts) for bot, name, since in self._open.values() if fits(bot, name)]
        lasted = None if self.first_ts is None else self.last_ts - self.first_ts
        return _figures(trades, spans, lasted)

    def _close(self, e: ev.PositionClosed) -> None:
        bot_id, symbol, since = self._open.pop(e.position_id, (e.bot_id, e.symbol, e.ts))
        funding = self._funding.pop(e.position_id, ZERO)
        self.trades.append(Trade(bot_id, symbol, e.reason, e.realized_pnl + funding, e.fees, funding, since, e.ts))


def _figures(trades: list[Trade], spans: Iterable[tuple[int, int]], lasted_us: int | None) -> Figures:
    won = [t.pnl for t in trades if t.pnl > ZERO]
    lost = [-t.pnl for t in trades if t.pnl < ZERO]
    gain, loss, count = sum(won, ZERO), sum(lost, ZERO), len(trades)
    held = sum(t.closed_ts - t.opened_ts for t in trades)
    return Figures(
        trades=count,
        wins=len(won),
        losses=len(lost),
        win_rate_pct=_ratio(100 * len(won), count),
        net_pnl=gain - loss,
        gross_profit=gain,
        gross_loss=loss,
        profit_factor=_ratio(gain, loss),
        payoff_ratio=_ratio(gain * len(lost), loss * len(won)),
        expectancy=_ratio(gain - loss, count),
        best=max((t.pnl for t in trades), default=None),
        worst=min((t.pnl for t in trades), default=None),
        fees=sum((t.fees for t in trades), ZERO),
        funding=sum((t.funding for t in trades), ZERO),
        average_minutes=_ratio(held, 60_000_000 * count),
        exposure_pct=None if lasted_us is None else _ratio(100 * covered_us(spans), lasted_us),
    )


def covered_us(spans: Iterable[tuple[int, int]]) -> int:
    """Length of the union of intervals [start, end), us."""
    total, reached = 0, None
    for start, end in sorted(spans):
        begin = start if reached is None else max(start, reached)
        total += max(0, end - begin)
        reached = end if reached is None else max(reached, end)
    return total


def _ratio(above: Decimal | int, below: Decimal | int) -> Decimal | None:
    """Rounded to what a column keeps; None over zero."""
    return (Decimal(above) / Decimal(below)).quantize(QUANTUM) if below else None
