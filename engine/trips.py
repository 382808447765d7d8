"""Round trips as a chart marks them: a fold of the events. The engine's loop writes, any thread reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

import msgspec

from engine.client import TradeView
from engine.core import events as ev
from engine.core.ledger import Ledger
from engine.core.positions import Position

#: Closed round trips kept; older ones are in the database.
TRIPS_KEPT = 5_000
#: Moves of an exit plan that are kept of one position: a trailing stop can move with every bar.
MOVES_KEPT = 400


class Trips:
    """`name_of` turns a bot's id into the name that a screen shows."""

    def __init__(self, name_of: Callable[[str], str]) -> None:
        self._name_of = name_of
        self._trips: dict[str, TradeView] = {}  # by position, in the order of their entries
        self._views: tuple[TradeView, ...] | None = ()

    def views(self) -> Sequence[TradeView]:
        """The same object until something has changed."""
        if self._views is None:
            self._views = tuple(self._trips.values())
        return self._views

    def see(self, event: ev.Event) -> None:
        match event:
            case ev.PositionOpened():
                self._put(
                    TradeView(
                        id=event.position_id,
                        bot=self._name_of(event.bot_id),
                        exchange=event.exchange,
                        symbol=event.symbol,
                        side=event.side,
                        entry_ts=event.ts,
                        entry_price=float(event.price),
                    )
                )
            case ev.ExitsMoved():
                self._move(event)
            case ev.PositionClosed():
                self._close(event)

    def catch_up(self, ledger: Ledger) -> None:
        """Those that the ledger knows and whose beginning was not among the events."""
        for position in (*ledger.closed_positions.values(), *ledger.positions.values()):
            if position.id not in self._trips:
                self._put(_of_position(position, self._name_of(position.bot_id)))
        self._trips = dict(sorted(self._trips.items(), key=lambda item: item[1].entry_ts))
        self._views = None

    def _put(self, trip: TradeView) -> None:
        self._trips[trip.id] = trip
        if len(self._trips) > TRIPS_KEPT:
            closed = next((key for key, kept in self._trips.items() if kept.exit_ts), None)
            self._trips.pop(closed or next(iter(self._trips)))
        self._views = None

    def _move(self, event: ev.ExitsMoved) -> None:
        trip = self._trips.get(event.position_id)
        if trip is None:
            return
        step = (event.ts, _price(event.stop_price), _price(event.take_profit_price))
        moves = trip.exits
        if moves and moves[-1][1:] == step[1:]:
            return
        if len(moves) >= MOVES_KEPT:
            moves = moves[:-100:2] + moves[-100:]
        self._put(msgspec.structs.replace(trip, exits=(*moves, step)))

    def _close(self, event: ev.PositionClosed) -> None:
        trip = self._trips.get(event.position_id)
        if trip is not None:
            self._put(
                msgspec.structs.replace(
                    trip,
                    entry_price=float(event.entry_price),
                    exit_ts=event.ts,
                    exit_price=float(event.exit_price),
                    pnl=float(event.realized_pnl),
                    reason=event.reason,
                )
            )


def _price(price: Decimal | None) -> float | None:
    return None if price is None else float(price)


def _of_position(p: Position, bot: str) -> TradeView:
    return TradeView(
        id=p.id,
        bot=bot,
        exchange=p.exchange,
        symbol=p.symbol,
        side=p.side,
        entry_ts=p.opened_ts,
        entry_price=float(p.entry_price),
        exit_ts=p.closed_ts,
        exit_price=float(p.exit_price or 0),
        pnl=float(p.realized_pnl - p.fees) if p.closed_ts else 0.0,
        exits=((p.opened_ts, _price(p.stop_price), _price(p.take_profit_price)),),
    )
