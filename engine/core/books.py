"""What the ledger knows of each bot, and of what was sent: the facts that G8, G9, G13 and the Kelly sizing learn from.

Folds only; `fold.evolve` calls them. Everything here is bounded, because it is part of every snapshot.
"""

from __future__ import annotations

from bisect import insort
from decimal import Decimal

import msgspec

from engine.core import events as ev
from engine.core.limits import ENTRIES_KEPT
from engine.core.types import ACTIVE, DAY_US, MINUTE_US, SECOND_US, WARMING_UP, ZERO, BotStatus, Origin, TradingState

#: Round trips of a symbol that a book remembers; `low_profit_trades` is at most as many.
ROUND_TRIPS_KEPT = 20
#: Returns are kept in percent, to the millionth.
_PERCENT_QUANTUM = Decimal("1e-6")


class Messages(msgspec.Struct):
    """Orders and cancels sent in the running second, minute and day of input time (G8): numbers of it, and counts."""

    second: int = 0
    in_second: int = 0
    minute: int = 0
    in_minute: int = 0
    day: int = 0
    in_day: int = 0

    def add(self, ts: int) -> None:
        second = ts // SECOND_US
        if second == self.second:
            self.in_second += 1
            self.in_minute += 1
            self.in_day += 1
            return
        self.second, self.in_second = second, 1
        day = ts // DAY_US
        if day == self.day:
            self.in_day += 1
        else:
            self.day, self.in_day = day, 1
        minute = ts // MINUTE_US
        if minute == self.minute:
            self.in_minute += 1
        else:
            self.minute, self.in_minute = minute, 1

    def at(self, ts: int) -> tuple[int, int, int]:
        """The counts of second, minute and day as they are at `ts`."""
        return (
            self.in_second if ts // SECOND_US == self.second else 0,
            self.in_minute if ts // MINUTE_US == self.minute else 0,
            self.in_day if ts // DAY_US == self.day else 0,
        )


class House(msgspec.Struct, frozen=True):
    """The state of the house (G12, G14), as the shell last reported it, another object each time; None is not known. Paper
    needs no comparison with a venue, and data that brings its own time has no clock to differ from: both are good until
    something is said."""

    reconciled: bool | None = True
    journal_ok: bool | None = True
    journal: str = ""  # what is the matter with it, in a few words
    clock_skew_ms: int | None = 0


class RoundTrip(msgspec.Struct, array_like=True, gc=False):
    """A closed round trip of a symbol: when, and what it made in percent of its entry notional."""

    ts: int
    pnl_pct: Decimal


class BotBook(msgspec.Struct):
    """One bot: where it is in its life, what it may trade, and what it has done.

    `won` and `lost` are sums of returns in percent of entry notional (both above zero), so that the size of a trade does not
    weigh in what Kelly learns. `realized_pnl` is after fees and funding; `day_start_pnl` and `peak_pnl` count what is open at
    its mark. Keys of dicts are "exchange symbol", of `last_entry_signal` with the side behind.
    """

    status: BotStatus = WARMING_UP
    reason: str = ""
    state: TradingState = ACTIVE
    state_reason: str = ""
    state_actor: str = ""
    policy: str = "keep_with_exits"
    entries: int = 0
    entry_ts: list[int] = []
    last_signal_ts: dict[str, int] = {}
    last_entry_signal: dict[str, str] = {}
    messages: Messages = msgspec.field(default_factory=Messages)
    losses_in_row: int = 0
    wins: int = 0
    losses: int = 0
    won: Decimal = ZERO
    lost: Decimal = ZERO
    realized_pnl: Decimal = ZERO
    day_start_pnl: Decimal = ZERO
    peak_pnl: Decimal = ZERO
    last_stop_ts: dict[str, int] = {}
    recent: dict[str, list[RoundTrip]] = {}


def submitted(book: BotBook, e: ev.OrderSubmitted) -> None:
    book.messages.add(e.ts)
    if e.origin is not Origin.ENTRY:
        return
    book.entries += 1
    insort(book.entry_ts, e.ts)  # G9 counts by halving
    del book.entry_ts[:-ENTRIES_KEPT]
    book.last_entry_signal[f"{e.exchange} {e.symbol} {e.side}"] = e.signal_id


#: Ends that the cooldown after a stop counts, when they lost money.
_STOPPED = frozenset({"STOP", "TRAILING_STOP", "LIQUIDATION"})


def closed(book: BotBook, e: ev.PositionClosed, entry_notional: Decimal) -> None:
    """A round trip has ended. One that made nothing neither wins nor loses, and ends a row of losses."""
    pnl = e.realized_pnl
    pnl_pct = (pnl * 100 / entry_notional).quantize(_PERCENT_QUANTUM) if entry_notional else ZERO
    key = f"{e.exchange} {e.symbol}"
    if pnl < ZERO:
        book.losses, book.losses_in_row, book.lost = book.losses + 1, book.losses_in_row + 1, book.lost - pnl_pct
        if e.reason in _STOPPED:
            book.last_stop_ts[key] = e.ts
    else:
        book.losses_in_row = 0
        book.wins, book.won = book.wins + (pnl > ZERO), book.won + pnl_pct
    trips = book.recent.setdefault(key, [])
    trips.append(RoundTrip(e.ts, pnl_pct))
    del trips[:-ROUND_TRIPS_KEPT]


def state_changed(book: BotBook, e: ev.TradingStateChanged) -> None:
    """A person who lets a bot trade again wipes what stopped it: losses in a row, its window of entries, its baselines."""
    if e.state is ACTIVE and is_person(e.actor):
        book.losses_in_row = 0
        book.entry_ts = []
        if book.state_actor == actor_of("MAX_DRAWDOWN"):
            book.peak_pnl = book.realized_pnl
        if book.state_actor == actor_of("DAILY_LOSS_LOCK"):
            book.day_start_pnl = book.realized_pnl
    book.state, book.state_reason, book.state_actor, book.policy = e.state, e.reason, e.actor, e.policy


def actor_of(gate: str) -> str:
    """Who changes a trading state when a gate trips."""
    return f"gate:{gate}"


def is_person(actor: str) -> bool:
    return not actor.startswith("gate:")
