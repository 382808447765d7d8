"""What is displayed on both sides of a symbol, what our own takers have eaten of it, and a taker's walk through it."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from engine.core.types import BUY, ONE, SELL, ZERO, Side, money

#: (price, what is left there); None: the venue does not say how much.
Level = tuple[Decimal, Decimal | None]
#: (price, quantity) from the best outwards.
Raw = tuple[tuple[float, float], ...]


class Depth:
    """Displayed levels in contracts of the instrument, less what was consumed of each until it is displayed anew.

    Floats as recorded become Decimal only when somebody looks.
    """

    __slots__ = ("_consumed", "_contract_size", "_levels", "_raw", "known")

    def __init__(self, contract_size: Decimal = ONE) -> None:
        self._contract_size = contract_size
        self._raw: dict[Side, Raw] = {BUY: (), SELL: ()}
        self._levels: dict[Side, list[tuple[Decimal, Decimal]]] = {}
        self._consumed: dict[tuple[Side, Decimal], tuple[Decimal, Decimal]] = {}  # (size displayed then, eaten of it)
        self.known = False

    def update(self, bids: Raw, asks: Raw) -> None:
        """The newest display. A level that shows another size, or was gone in between, starts afresh."""
        self._raw = {BUY: bids, SELL: asks}
        self._levels = {}
        self.known = True
        if self._consumed:
            shown = {(side, price): size for side in (BUY, SELL) for price, size in self._of(side)}
            self._consumed = {k: v for k, v in self._consumed.items() if shown.get(k) == v[0]}

    def _of(self, side: Side) -> list[tuple[Decimal, Decimal]]:
        levels = self._levels.get(side)
        if levels is None:
            levels = [(money(price), money(size)) for price, size in self._raw[side]]
            if self._contract_size != ONE:
                levels = [(price, size / self._contract_size) for price, size in levels]
            self._levels[side] = levels
        return levels

    def facing(self, side: Side) -> Iterable[Level]:
        """What a taker of `side` meets, best first."""
        other = SELL if side is BUY else BUY
        for price, size in self._of(other):
            eaten = self._consumed.get((other, price))
            yield price, None if size == ZERO else size - eaten[1] if eaten else size

    def best(self, side: Side) -> Decimal | None:
        """The best price on `side` (BUY: the bid)."""
        levels = self._of(side)
        return levels[0][0] if levels else None

    def eat(self, taker: Side, price: Decimal, quantity: Decimal) -> None:
        """Remember what a taker of side `taker` has consumed at a displayed level; elsewhere there is nothing to remember."""
        other = SELL if taker is BUY else BUY
        size = next((size for level, size in self._of(other) if level == price), ZERO)
        if size:
            before = self._consumed.get((other, price), (size, ZERO))[1]
            self._consumed[other, price] = (size, before + quantity)

    def ahead(self, side: Side, price: Decimal) -> Decimal | None:
        """The size displayed at `price` on its own side: the queue of who joins now. None where it cannot be seen."""
        levels = self._of(side)
        for level, size in levels:
            if level == price:
                return size if size else None
            if better(side, price, level):
                return ZERO  # between two levels, or better than the best: nobody is there
        return None


def better(side: Side, price: Decimal, than: Decimal) -> bool:
    """Is a resting `price` of `side` strictly nearer to the other side than `than`?"""
    return price > than if side is BUY else price < than


def within(side: Side, price: Decimal, limit: Decimal | None) -> bool:
    """May a taker of `side` trade at `price` under its limit?"""
    return limit is None or (price <= limit if side is BUY else price >= limit)


def walk(
    levels: Iterable[Level], side: Side, quantity: Decimal, limit: Decimal | None, beyond: Decimal | None
) -> list[tuple[Decimal, Decimal]]:
    """(price, quantity) of a taker, level by level; what the levels lack trades `beyond` worse than the last of them.

    `beyond` None: the levels are all there is. A limit is never worse than its limit.
    """
    fills: list[tuple[Decimal, Decimal]] = []
    last = None
    for price, left in levels:
        if not within(side, price, limit):
            return fills
        last = price
        taken = quantity if left is None else min(quantity, left)
        if taken > ZERO:
            fills.append((price, taken))
            quantity -= taken
        if quantity == ZERO:
            return fills
    if last is not None and beyond is not None:
        price = last + beyond if side is BUY else last - beyond
        if price <= ZERO:
            price = last
        if within(side, price, limit):
            fills.append((price, quantity))
    return fills
