"""Equity over time, of every account and of all together: a fold of the samples. The engine's loop writes, any thread reads."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from decimal import Decimal

from engine.client import WHOLE, EquityPoint
from engine.core.ledger import drawdown
from engine.core.types import ZERO


class Curves:
    """Curves by account id, each thinned when it holds `kept` points: every second old one goes."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._points: dict[str, list[EquityPoint]] = {WHOLE: []}
        self._newest: dict[str, Decimal] = {}
        self._peak = ZERO

    def add(self, account: str, point: EquityPoint) -> None:
        """A sample of an account; one that is older than its newest is left out."""
        with self._lock:
            own = self._points.setdefault(account, [])
            if own and own[-1].ts >= point.ts:
                return
            self._append(own, point)
            if account not in self._newest:
                self._peak += point.equity  # money that came is no gain
            self._newest[account] = point.equity
            self._add_whole(point.ts)

    def _add_whole(self, ts: int) -> None:
        """Accounts are sampled one after the other: the sum of a moment is that after the last of them."""
        whole = self._points[WHOLE]
        if whole and whole[-1].ts > ts:
            return
        if whole and whole[-1].ts == ts:
            whole.pop()
        elif whole:
            self._peak = max(self._peak, whole[-1].equity)
        equity = sum(self._newest.values(), ZERO)
        self._append(whole, EquityPoint(ts, equity, drawdown(equity, max(self._peak, equity))))

    def _append(self, points: list[EquityPoint], point: EquityPoint) -> None:
        points.append(point)
        if len(points) > self._kept:
            points[:-100] = points[:-100:2]

    def of(self, account: str = WHOLE) -> Sequence[EquityPoint]:
        """Oldest first; nothing for an account without a sample."""
        with self._lock:
            return tuple(self._points.get(account, ()))
