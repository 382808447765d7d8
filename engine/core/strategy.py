"""Strategies: what turns closed bars into "enter" and "exit". A rule document is one kind, an installed Python class the other.

A strategy speaks of one symbol and keeps its own state, which the bars alone make: fed the same bars it says the same. It
never sees orders or money; sizes, exits and limits are the bot's config.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from engine.core.evaluate import BITS, compile_rules
from engine.core.inputs import Candle, Feature
from engine.core.rules import RULES, RuleDocument
from engine.core.text import safe_text

#: What `on_bar` answers: a sum of these.
ENTER_LONG, EXIT_LONG, ENTER_SHORT, EXIT_SHORT = (BITS[rule] for rule in RULES)


_DEPTH_MAX = 32  # levels of an explanation


class Proposal(msgspec.Struct, frozen=True):
    """What a strategy may add to its signals; None leaves it to the bot's config.

    `*_price` are limits for orders placed now, `*_reprice` new limits for orders that rest unfilled, `stake` is money to add
    to (or, below zero, take out of) an open position, `tag` names the signal.
    """

    entry_price: Decimal | None = None
    exit_price: Decimal | None = None
    entry_reprice: Decimal | None = None
    exit_reprice: Decimal | None = None
    stake: Decimal | None = None
    tag: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError for what is no money and no name: inside the strategy, whose bot it stops."""
        for name in ("entry_price", "exit_price", "entry_reprice", "exit_reprice", "stake"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, Decimal) and value.is_finite()):
                raise ValueError(f"proposal: {name} {value!r} is not a finite Decimal")
            if value is not None and name != "stake" and value <= 0:
                raise ValueError(f"proposal: {name} {value} is not above zero")
        if not isinstance(self.tag, str) or safe_text(self.tag) != self.tag:
            raise ValueError("proposal: a tag is up to 64 visible characters")


NO_PROPOSAL = Proposal()


class Strategy(Protocol):
    """Implement this to trade by Python code (docs/strategies.md); inherit from it for what it has defaults for. Exceptions
    stop the bot, not the engine."""

    #: Closed bars that it must have seen before what it says counts. The first bar, which shows its length, may correct it.
    warmup_bars: int
    #: For the bar last seen.
    proposal: Proposal = NO_PROPOSAL

    def on_bar(self, candle: Candle) -> int:
        """Take in a closed bar; the sum of ENTER_LONG, EXIT_LONG, ENTER_SHORT, EXIT_SHORT that hold on it."""
        ...

    def on_feature(self, feature: Feature) -> None:
        """Take in a feature; those that it does not know are to be ignored."""
        return

    def explain(self) -> dict[str, Any]:
        """Why, for the journal: nested lists and dicts of strings and booleans, never floats."""
        return {}


#: Makes a fresh strategy from a config's params.
Factory = Callable[[Mapping[str, Any]], Strategy]


class OfRules:
    """What explains itself by a rule tree, which is fit for the journal as it is."""

    __slots__ = ()

    def explain(self, rule: str = "") -> dict[str, Any]:
        raise NotImplementedError


class RuleStrategy(OfRules):
    """A rule document on one symbol. Where the length of a bar is not given (0) and the document has timeframes, the first
    bar tells it; what does not fit raises TimeframeError."""

    __slots__ = ("_factor", "on_bar", "proposal", "rules", "warmup_bars")

    def __init__(self, document: RuleDocument, warmup_factor: int, timeframe_us: int = 0) -> None:
        self.rules = compile_rules(document)
        self.warmup_bars = self.rules.warmup_bars(warmup_factor, timeframe_us)
        self.proposal = NO_PROPOSAL
        self._factor = warmup_factor
        self.on_bar: Callable[[Candle], int] = self._first_bar

    def _first_bar(self, candle: Candle) -> int:
        self.warmup_bars = self.rules.warmup_bars(self._factor, candle.timeframe_us)
        self.on_bar = self.rules.on_bar  # from now on without a step between
        return self.rules.on_bar(candle)

    def reach_us(self, timeframe_us: int) -> dict[int, int]:
        """How far back it reaches for its warm-up, in us, by the length of the bars that it needs there."""
        reach = self.rules.indicators.reach_us(self._factor, timeframe_us)
        reach[timeframe_us] += self.rules.memory_bars * timeframe_us
        return reach

    def prime(self, candle: Candle) -> None:
        """Take in a bar longer than the stream's, from before its first."""
        self.rules.indicators.prime(candle)

    def on_feature(self, feature: Feature) -> None:
        """Set the series of that name, for as long as it is valid."""
        self.rules.on_feature(feature.name, feature.value, feature.valid_until)

    def explain(self, rule: str = "") -> dict[str, Any]:
        """The tree of a rule with its values on the last bar, or that of each, for the journal: strings only."""
        return self.rules.explain(rule)


def explanation(strategy: Strategy, rule: str) -> dict[str, Any]:
    """What a strategy says of its last bar (of the rule that fired, where it has rules), fit for the journal whatever installed
    code gives: text is made safe, all else but booleans becomes text, and an exception becomes the explanation. Rules are taken
    at their word."""
    if isinstance(strategy, OfRules):
        return strategy.explain(rule)
    try:
        told: object = strategy.explain()
        tree = _storable(told if isinstance(told, Mapping) else {"told": told}, 0)
    except Exception as error:
        tree = {"error": safe_text(f"{type(error).__name__}: {error}", 200)}
    return dict(tree)


def _storable(value: object, depth: int) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, Mapping) and depth < _DEPTH_MAX:
        return {safe_text(str(key)): _storable(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple) and depth < _DEPTH_MAX:
        return [_storable(inner, depth + 1) for inner in value]
    return safe_text(value if isinstance(value, str) else repr(value), 200)
