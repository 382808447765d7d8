"""What rules mean: two evaluators of one tree, closures on each closed bar and numpy columns on a whole history.

Logic is Kleene's: True, False, None for unknown. A comparison is unknown while an operand is (warm-up, NaN, a feature
without a feed); `all` is false as soon as one part is false, `any` true as soon as one part is true. A cross is "a > b on
this bar and a <= b on the bar before". `within n` is the `any` of the last n bars, `held n` their `all`; the bars before
the first are unknown. A rule fires only on True. Both evaluators agree on every bar (tests/core/test_rules.py).

Speed: the tree becomes closures over slots of two flat lists (`engine.core.indicators`), built once, without a dict or an
object per bar. What must see every bar (`within`, `held`) is hoisted and stepped first, innermost first; the rest reads
its last answer, so that `all` and `any` may stop early and `explain` may evaluate again without moving anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.core.indicators import NAN, Columns, IndicatorSet, series_columns
from engine.core.inputs import Candle
from engine.core.rules import (
    FEATURES,
    RULES,
    Compare,
    Condition,
    Cross,
    Group,
    Not,
    RuleDocument,
    Window,
    children,
)

Truth = bool | None
Slots = list[float]
Read = Callable[[Slots, Slots], Truth]
Tree = dict[str, Any]

TRUE, FALSE, UNKNOWN = 1, 0, -1  # of columns; int8


class CompiledRules:
    """A document over one stream of closed bars. Not shared between streams: it holds the state of the windows."""

    __slots__ = (
        "_entry_long",
        "_entry_short",
        "_exit_long",
        "_exit_short",
        "_nodes",
        "_shorts",
        "_steps",
        "document",
        "entry_long",
        "entry_short",
        "exit_long",
        "exit_short",
        "indicators",
    )

    def __init__(self, document: RuleDocument) -> None:
        self.document = document
        self.indicators = IndicatorSet(document.indicators)
        builder = _Builder(self.indicators)
        self._nodes = {name: builder.build(rule) for name, rule in document.rules()}
        self._steps = tuple(builder.steps)
        reads = {name: self._nodes[name].read if name in self._nodes else _never for name in RULES}
        self._entry_long, self._exit_long = reads["entry_long"], reads["exit_long"]
        self._entry_short, self._exit_short = reads["entry_short"], reads["exit_short"]
        self._shorts = document.entry_short is not None or document.exit_short is not None
        #: The rules on the last bar: True, False or None (unknown). Unknown before the first bar; a rule not there is False.
        self.entry_long: Truth = None
        self.exit_long: Truth = None if document.exit_long is not None else False
        self.entry_short: Truth = None if document.entry_short is not None else False
        self.exit_short: Truth = None if document.exit_short is not None else False

    @property
    def ready(self) -> bool:
        """Every indicator has a value (not yet warm: `warmup_bars`)."""
        return self.indicators.ready

    def warmup_bars(self, factor: int = 20) -> int:
        """Closed bars needed before a bot may trade: the indicators' (decisions.md 12) and what crosses and windows look back."""
        return self.indicators.warmup_bars(factor) + max(_memory_bars(rule) for _, rule in self.document.rules())

    def on_bar(self, candle: Candle) -> bool:
        """Push a closed bar; True if a rule fired, which the four attributes then name."""
        indicators = self.indicators
        indicators.update(candle)
        now = indicators.now
        before = indicators.before
        for step in self._steps:
            step(now, before)
        self.entry_long = entry = self._entry_long(now, before)
        self.exit_long = leave = self._exit_long(now, before)
        if self._shorts:
            self.entry_short = self._entry_short(now, before)
            self.exit_short = self._exit_short(now, before)
            return True in (entry, leave, self.entry_short, self.exit_short)
        return entry is True or leave is True

    def explain(self) -> dict[str, Tree]:
        """Each rule's tree on the last bar. Results are "true", "false", "unknown"; numbers are repr strings, so that the
        tree can be journaled and hashed. Changes nothing; costs nothing until asked."""
        now, before = self.indicators.now, self.indicators.before
        return {name: _explain(node, now, before) for name, node in self._nodes.items()}


def compile_rules(document: RuleDocument) -> CompiledRules:
    """A fresh evaluator; cannot fail for a valid document."""
    return CompiledRules(document)


# -- closures ------------------------------------------------------------------------------------------------------------


class _Node(NamedTuple):
    condition: Condition
    read: Read
    of: tuple[_Node, ...]
    left: int = -1
    right: int = -1


class _Builder:
    """Turns conditions into nodes; `steps` gathers the windows, innermost first."""

    def __init__(self, indicators: IndicatorSet) -> None:
        self._indicators = indicators
        self._constants: dict[float, int] = {}
        self.steps: list[Callable[[Slots, Slots], None]] = []
        unknown = indicators.add_constant(NAN)
        self._slots = {**dict.fromkeys(FEATURES, unknown), **indicators.slots}

    def build(self, condition: Condition) -> _Node:
        if isinstance(condition, (Compare, Cross)):
            left, right = self._slot(condition.left), self._slot(condition.right)
            return _Node(condition, _LEAVES[condition.op](left, right), (), left, right)
        of = tuple(self.build(child) for child in children(condition))
        reads = tuple(node.read for node in of)
        if isinstance(condition, Group):
            return _Node(condition, _all(reads) if condition.op == "all" else _any(reads), of)
        if isinstance(condition, Not):
            return _Node(condition, _not(reads[0]), of)
        step, read = _window(reads[0], condition.bars, decisive=condition.op == "within")
        self.steps.append(step)
        return _Node(condition, read, of)

    def _slot(self, operand: float | str) -> int:
        if isinstance(operand, str):
            return self._slots[operand]
        if operand not in self._constants:
            self._constants[operand] = self._indicators.add_constant(float(operand))
        return self._constants[operand]


def _never(now: Slots, before: Slots) -> Truth:
    return False


def _gt(left: int, right: int) -> Read:
    def read(now: Slots, before: Slots) -> Truth:
        a, b = now[left], now[right]
        if a > b:
            return True
        return False if a <= b else None

    return read


def _ge(left: int, right: int) -> Read:
    def read(now: Slots, before: Slots) -> Truth:
        a, b = now[left], now[right]
        if a >= b:
            return True
        return False if a < b else None

    return read


def _crosses_above(left: int, right: int) -> Read:
    def read(now: Slots, before: Slots) -> Truth:
        a, b = now[left], now[right]
        if a <= b:  # on most bars the first comparison decides
            return False
        c, d = before[left], before[right]
        if c > d:
            return False
        return True if a > b and c <= d else None

    return read


_LEAVES: dict[str, Callable[[int, int], Read]] = {
    "gt": _gt,
    "ge": _ge,
    "lt": lambda left, right: _gt(right, left),
    "le": lambda left, right: _ge(right, left),
    "crosses_above": _crosses_above,
    "crosses_below": lambda left, right: _crosses_above(right, left),
}


def _all(parts: tuple[Read, ...]) -> Read:
    def read(now: Slots, before: Slots) -> Truth:
        result: Truth = True
        for part in parts:
            truth = part(now, before)
            if truth is False:
                return False
            if truth is None:
                result = None
        return result

    return read


def _any(parts: tuple[Read, ...]) -> Read:
    def read(now: Slots, before: Slots) -> Truth:
        result: Truth = False
        for part in parts:
            truth = part(now, before)
            if truth:
                return True
            if truth is None:
                result = None
        return result

    return read


def _not(part: Read) -> Read:
    def read(now: Slots, before: Slots) -> Truth:
        truth = part(now, before)
        return None if truth is None else not truth

    return read


def _window(part: Read, bars: int, decisive: bool) -> tuple[Callable[[Slots, Slots], None], Read]:
    """`within` (decisive True) and `held` (decisive False): one part of that truth in the window decides, else one unknown.

    Two counters instead of a ring: for how many more bars the last such part, and the last unknown, is inside the window.
    """
    otherwise = not decisive
    decisive_left, unknown_left = 0, bars  # the bars before the first are unknown

    def step(now: Slots, before: Slots) -> None:
        nonlocal decisive_left, unknown_left
        truth = part(now, before)
        if decisive_left:
            decisive_left -= 1
        if unknown_left:
            unknown_left -= 1
        if truth is decisive:
            decisive_left = bars
        elif truth is None:
            unknown_left = bars

    def read(now: Slots, before: Slots) -> Truth:
        if decisive_left:
            return decisive
        return None if unknown_left else otherwise

    return step, read


def _memory_bars(condition: Condition) -> int:
    """Bars before the last one that the answer depends on, beyond the indicators' own."""
    inside = max((_memory_bars(child) for child in children(condition)), default=0)
    if isinstance(condition, Window):
        return inside + condition.bars - 1
    return 1 if isinstance(condition, Cross) else inside


# -- explanation ---------------------------------------------------------------------------------------------------------

_WORDS = {True: "true", False: "false", None: "unknown"}


def _explain(node: _Node, now: Slots, before: Slots) -> Tree:
    condition = node.condition
    tree: Tree = {"op": condition.op, "result": _WORDS[node.read(now, before)]}
    if isinstance(condition, (Compare, Cross)):
        for side, operand, slot in (("left", condition.left, node.left), ("right", condition.right, node.right)):
            tree[side] = {"value": _text(now[slot])}
            if isinstance(operand, str):
                tree[side]["series"] = operand
                if isinstance(condition, Cross):
                    tree[side]["previous"] = _text(before[slot])
        return tree
    if isinstance(condition, Window):
        tree["bars"] = str(condition.bars)
    tree["of"] = [_explain(child, now, before) for child in node.of]
    return tree


def _text(value: float) -> str:
    return "unknown" if value != value else repr(float(value))


# -- columns -------------------------------------------------------------------------------------------------------------

Mask = NDArray[np.bool_]


def evaluate_columns(document: RuleDocument, bars: Columns) -> dict[str, NDArray[np.int8]]:
    """Each rule of the document on every bar: 1 true, 0 false, -1 unknown; int8 columns as long as the bars.

    `bars` holds open, high, low, close and volume, float64, one length.
    """
    series = series_columns(document.indicators, bars)
    length = len(bars["close"])
    out: dict[str, NDArray[np.int8]] = {}
    for name, rule in document.rules():
        true, false = _masks(rule, series, length)
        column = np.full(length, UNKNOWN, np.int8)
        column[false] = FALSE
        column[true] = TRUE
        out[name] = column
    return out


def _masks(condition: Condition, series: Mapping[str, NDArray[np.float64]], length: int) -> tuple[Mask, Mask]:
    """Where the condition is true and where it is false; unknown is neither."""
    if isinstance(condition, (Compare, Cross)):
        now, before = [], []
        for operand in (condition.left, condition.right):
            fixed = NAN if isinstance(operand, str) else float(operand)
            column = series.get(operand) if isinstance(operand, str) else None
            now.append(np.full(length, fixed) if column is None else column)
            before.append(now[-1] if column is None else np.concatenate(([NAN], column[:-1]))[:length])
        a, b = now
        match condition.op:
            case "gt":
                return a > b, a <= b
            case "ge":
                return a >= b, a < b
            case "lt":
                return a < b, a >= b
            case "le":
                return a <= b, a > b
            case "crosses_above":
                return (a > b) & (before[0] <= before[1]), (a <= b) | (before[0] > before[1])
            case _:
                return (a < b) & (before[0] >= before[1]), (a >= b) | (before[0] < before[1])
    parts = [_masks(child, series, length) for child in children(condition)]
    trues, falses = [part[0] for part in parts], [part[1] for part in parts]
    match condition.op:
        case "all":
            return np.logical_and.reduce(trues), np.logical_or.reduce(falses)
        case "any":
            return np.logical_or.reduce(trues), np.logical_and.reduce(falses)
        case "not":
            return falses[0], trues[0]
    bars = condition.bars if isinstance(condition, Window) else 1
    if condition.op == "within":
        return _counts(trues[0], bars) > 0, _counts(falses[0], bars) == bars
    return _counts(trues[0], bars) == bars, _counts(falses[0], bars) > 0


def _counts(mask: Mask, bars: int) -> NDArray[np.int32]:
    """How many of the last `bars` bars are set; there are none before the first."""
    total = np.cumsum(mask, dtype=np.int32)
    window = total.copy()
    window[bars:] -= total[:-bars]
    return window
