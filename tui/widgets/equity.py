"""Equity and drawdown over time: of the account, or of one bot's closed round trips."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import accumulate

from engine.client import AccountView, EquityPoint, Snapshot, TradeView, whole
from engine.core.text import safe_text
from engine.core.types import DAY_US
from tui.glyphs import fmt_clock, fmt_money
from tui.viewmodel import change
from tui.widgets.time_chart import TimeChart, moment


class EquityPanel(TimeChart):
    """Equity in the base currency; the title has what was gained since the ledger was opened."""

    def __init__(self, *, id: str) -> None:
        super().__init__(
            "line", colour="up", empty_text="No equity yet: the first sample comes with the first candle.", id=id
        )
        self.border_title = "equity"
        self._shown: object = None

    def paint(self, curve: Sequence[EquityPoint], snapshot: Snapshot, account: AccountView | None = None) -> None:
        """The curve of `account`; without one, of what `whole` gives."""
        if curve is self._shown:
            return
        self._shown = curve
        self.set_series([point.ts for point in curve], [point.equity for point in curve])
        of = account or whole(snapshot.accounts)
        equity, gained_pct = (of.equity, of.gained_pct) if of is not None else (snapshot.equity, snapshot.total_pct)
        currency = safe_text(of.currency if of is not None else snapshot.base_currency, 12)
        name = f" of {safe_text(of.name, 40)}" if of is not None and len(snapshot.accounts) > 1 else ""
        gained = change(gained_pct, "%").text
        since = "" if name else " since the start"
        self.entitle(f"equity{name} {fmt_money(equity, 2)} {currency} {gained}{since}")
        if curve:
            self.legend(span(curve[0].ts, curve[-1].ts))

    def paint_bot(self, bot: str, currency: str, trips: Sequence[TradeView]) -> None:
        """What a bot's closed round trips have brought so far, after fees."""
        if trips is self._shown:
            return
        self._shown = trips
        xs, total = realised(trips)
        self.set_series(xs, total)
        gained = change(Decimal(f"{total[-1] if total else 0:.2f}")).text
        self.entitle(f"realised P&L of {bot[:100]}: {gained} {currency}")
        self.legend(f"{len(xs)} closed round trips, after fees")


class DrawdownPanel(TimeChart):
    """The fall from the highest so far: in percent of equity, or of a bot in its currency."""

    def __init__(self, *, id: str) -> None:
        super().__init__("drawdown", colour="down", empty_text="No drawdown yet.", id=id, unit="%")
        self.border_title = "drawdown %"
        self._shown: object = None

    def paint(self, curve: Sequence[EquityPoint]) -> None:
        if curve is self._shown:
            return
        self._shown = curve
        self.unit = "%"
        self.set_series([point.ts for point in curve], [-point.drawdown * 100 for point in curve])
        self.entitle("drawdown %")
        if curve:
            worst = max(point.drawdown for point in curve) * 100
            self.legend(f"worst -{worst:.2f}%")

    def paint_bot(self, bot: str, currency: str, trips: Sequence[TradeView]) -> None:
        """The fall of a bot's realised P&L below its highest."""
        if trips is self._shown:
            return
        self._shown = trips
        xs, total = realised(trips)
        peaks = list(accumulate(total, max, initial=0.0))[1:]
        falls = [value - peak for value, peak in zip(total, peaks, strict=True)]
        self.unit = f" {safe_text(currency, 12)}"
        self.set_series(xs, falls)
        self.entitle(f"drawdown of {bot[:100]}, {currency}")
        self.legend(f"worst {min(falls):,.2f}" if falls else "")


def span(since: int, until: int) -> str:
    """From when to when; the day is said when there is more than one."""
    if since // DAY_US == until // DAY_US:
        return f"{fmt_clock(since)} to {fmt_clock(until)}"
    return f"{moment(since)[5:]} to {moment(until)[5:]}"


def realised(trips: Sequence[TradeView]) -> tuple[list[int], list[float]]:
    """Times at which round trips ended, and what all up to then have brought."""
    ended = sorted((t.exit_ts, t.pnl) for t in trips if t.exit_ts)
    return [ts for ts, _ in ended], list(accumulate(pnl for _, pnl in ended))
