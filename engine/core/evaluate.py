"""What rules mean: two evaluators of one tree, closures on each closed bar (here) and numpy columns on a whole history
(`engine.columns`).

Logic is Kleene's: true, false, unknown. A comparison is unknown while an operand is (warm-up, NaN, a stale feature); `all`
is false as soon as one part is false, `any` true as soon as one part is true. A cross is "a > b on this bar and a <= b on
the bar before". `within n` is the `any` of the last n bars, `held n` their `all`; the bars before the first are unknown. A
rule fires only on true. Both evaluators agree on every bar (tests/core/test_evaluate.py).

Every condition is a pair of plain tests, "is it true" and "is it false"; unknown is neither. A comparison with NaN is
neither by itself, so that no third value needs to be carried, and a bar asks only whether a rule is true.

Speed: the tests are closures over slots of two flat lists (`engine.core.indicators`), built once, without a dict or an
object per bar. What must see every bar (`within`, `held`) is hoisted and stepped first, innermost first; the rest reads
its last answer, so that `all` and `any` may stop early and `explain` may evaluate again without moving anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.core.indicators import IndicatorSet
from engine.core.inputs import Candle
from engine.core.rules import RULES, Compare, Condition, Cross, Group, Not, RuleDocument, Window, children

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Truth = bool | None
Slots = list[float]
Test = Callable[[Slots, Slots], bool]
Tests = tuple[Test, Test]  # is it true, is it false
Tree = dict[str, Any]

#: What `CompiledRules.on_bar` answers is a sum of these, one for each rule that fires.
BITS = {rule: 1 << index for index, rule in enumerate(RULES)}


class CompiledRules:
    """A document over one stream of closed bars. Not shared between streams: it holds the state of the windows."""

    __slots__ = ("_nodes", "_reads", "_rules", "_steps", "document", "indicators", "memory_bars")

    def __init__(self, document: RuleDocument) -> None:
        self.document = document
        self.indicators = IndicatorSet(document.indicators, document.features())
        builder = _Builder(self.indicators)
        self._nodes = {name: builder.build(rule) for name, rule in document.rules()}
        self._steps = tuple(builder.steps)
        self._reads = tuple(builder.reads.items())
        #: Bars before the last one that an answer depends on, beyond what the indicators remember.
        self.memory_bars = max(_memory_bars(rule) for _, rule in document.rules())
        self._rules = tuple((BITS[name], node.is_true) for name, node in self._nodes.items())

    @property
    def ready(self) -> bool:
        """Every indicator has a value (not yet warm: `warmup_bars`)."""
        return self.indicators.ready

    def warmup_bars(self, factor: int, timeframe_us: int = 0) -> int:
        """Closed bars, `timeframe_us` long, needed before a bot may trade: the indicators' (decisions.md 12) and what crosses
        and windows look back. With a length of 0, not known yet: at least. Raises TimeframeError when a timeframe of the
        document cannot be made of such bars."""
        return self.indicators.warmup_bars(factor, timeframe_us) + self.memory_bars

    def on_feature(self, name: str, value: float, valid_until: int) -> None:
        """Set a feature, for bars that close at or before `valid_until` (microseconds). One that no rule reads is ignored."""
        self.indicators.set_feature(name, value, valid_until)

    def on_bar(self, candle: Candle) -> int:
        """Push a closed bar; the BITS of the rules that fire on it, 0 for none. Raises TimeframeError on the
        first bar, when a timeframe of the document cannot be made of such bars."""
        indicators = self.indicators
        indicators.update(candle)
        now = indicators.now
        before = indicators.before
        for step in self._steps:
            step(now, before)
        fired = 0
        for bit, is_true in self._rules:
            if is_true(now, before):
                fired |= bit
        return fired

    def replay(self, series: Mapping[str, NDArray[np.float64]], row: int) -> None:
        """Be, in a fresh evaluator, where `on_bar` would be after the bar at `row`, as columns: of what the rules read."""
        indicators = self.indicators
        now, before = indicators.now, indicators.before
        if row and not self._steps:  # nothing remembers more than the bar before
            for name, slot in self._reads:
                column = series[name].item
                now[slot], before[slot] = column(row), column(row - 1)
            return
        for at in range(max(0, row - self.memory_bars - 1), row + 1):
            now, before = before, now
            for name, slot in self._reads:
                now[slot] = series[name].item(at)
            for step in self._steps:
                step(now, before)
        indicators.now, indicators.before = now, before

    def truth(self, rule: str) -> Truth:
        """A rule of RULES on the last bar: True, False, or None for unknown. One that the document has not is False."""
        node = self._nodes.get(rule)
        return False if node is None else node.truth(self.indicators.now, self.indicators.before)

    def explain(self, rule: str = "") -> dict[str, Tree]:
        """The tree of a rule on the last bar, or of each. Results are "true", "false", "unknown"; numbers are repr strings,
        so that the tree can be journaled and hashed. Changes nothing; costs nothing until asked."""
        now, before = self.indicators.now, self.indicators.before
        nodes = {rule: self._nodes[rule]} if rule else self._nodes
        return {name: _explain(node, now, before) for name, node in nodes.items()}


def compile_rules(document: RuleDocument) -> CompiledRules:
    """A fresh evaluator; cannot fail for a valid document."""
    return CompiledRules(document)


# -- closures ------------------------------------------------------------------------------------------------------------


class _Node(NamedTuple):
    op: str
    is_true: Test
    is_false: Test
    of: tuple[_Node, ...]
    bars: str = ""  # of a window
    operands: tuple[tuple[str, str, int], ...] = ()  # of a leaf: side, series ("" for a number), slot
    crosses: bool = False

    def truth(self, now: Slots, before: Slots) -> Truth:
        if self.is_true(now, before):
            return True
        return False if self.is_false(now, before) else None


class _Builder:
    """Turns conditions into nodes; `steps` gathers the windows, innermost first."""

    def __init__(self, indicators: IndicatorSet) -> None:
        self._indicators = indicators
        self._constants: dict[float, int] = {}
        self.steps: list[Callable[[Slots, Slots], None]] = []
        self.reads: dict[str, int] = {}  # slots of the series that the rules read

    def build(self, condition: Condition) -> _Node:
        if isinstance(condition, (Compare, Cross)):
            left, right = self._slot(condition.left), self._slot(condition.right)
            operands = tuple(
                (side, operand if isinstance(operand, str) else "", slot)
                for side, operand, slot in (("left", condition.left, left), ("right", condition.right, right))
            )
            tests = _LEAVES[condition.op](left, right)
            return _Node(condition.op, *tests, (), operands=operands, crosses=isinstance(condition, Cross))
        of = tuple(self.build(child) for child in children(condition))
        trues, falses = tuple(node.is_true for node in of), tuple(node.is_false for node in of)
        if isinstance(condition, Not):
            return _Node(condition.op, falses[0], trues[0], of)
        if isinstance(condition, Group):
            if condition.op == "all":
                return _Node(condition.op, _every(trues), _some(falses), of)
            return _Node(condition.op, _some(trues), _every(falses), of)
        if condition.op == "within":
            step, is_true, is_false = _window(trues[0], falses[0], condition.bars)
        else:
            step, is_false, is_true = _window(falses[0], trues[0], condition.bars)
        self.steps.append(step)
        return _Node(condition.op, is_true, is_false, of, str(condition.bars))

    def _slot(self, operand: float | str) -> int:
        if isinstance(operand, str):
            slot = self.reads[operand] = self._indicators.slots[operand]
            return slot
        if operand not in self._constants:
            self._constants[operand] = self._indicators.add_constant(float(operand))
        return self._constants[operand]


def _gt(left: int, right: int) -> Tests:
    return (lambda now, before: now[left] > now[right], lambda now, before: now[left] <= now[right])


def _ge(left: int, right: int) -> Tests:
    return (lambda now, before: now[left] >= now[right], lambda now, before: now[left] < now[right])


def _crosses_above(left: int, right: int) -> Tests:
    return (
        lambda now, before: now[left] > now[right] and before[left] <= before[right],
        lambda now, before: now[left] <= now[right] or before[left] > before[right],
    )


_LEAVES: dict[str, Callable[[int, int], Tests]] = {
    "gt": _gt,
    "ge": _ge,
    "lt": lambda left, right: _gt(right, left),
    "le": lambda left, right: _ge(right, left),
    "crosses_above": _crosses_above,
    "crosses_below": lambda left, right: _crosses_above(right, left),
}


def _every(parts: tuple[Test, ...]) -> Test:
    if len(parts) == 1:
        return parts[0]
    if len(parts) == 2:
        first, second = parts
        return lambda now, before: first(now, before) and second(now, before)

    def test(now: Slots, before: Slots) -> bool:
        for part in parts:  # noqa: SIM110 (a generator costs more than the tests)
            if not part(now, before):
                return False
        return True

    return test


def _some(parts: tuple[Test, ...]) -> Test:
    if len(parts) == 1:
        return parts[0]
    if len(parts) == 2:
        first, second = parts
        return lambda now, before: first(now, before) or second(now, before)

    def test(now: Slots, before: Slots) -> bool:
        for part in parts:  # noqa: SIM110
            if part(now, before):
                return True
        return False

    return test


def _window(decides: Test, opposes: Test, bars: int) -> tuple[Callable[[Slots, Slots], None], Test, Test]:
    """One bar that `decides` in the window is enough; that all of them oppose is the opposite; else it is unknown. For
    `within` a true one decides, for `held` a false one. Returns the step of a bar, and the tests for both outcomes.

    Two counters instead of a ring: for how many more bars the last that decided, and the last unknown, is in the window.
    """
    decided_left, unknown_left = 0, bars  # the bars before the first are unknown

    def step(now: Slots, before: Slots) -> None:
        nonlocal decided_left, unknown_left
        if decided_left:
            decided_left -= 1
        if unknown_left:
            unknown_left -= 1
        if decides(now, before):
            decided_left = bars
        elif not opposes(now, before):
            unknown_left = bars

    return step, lambda now, before: decided_left > 0, lambda now, before: not decided_left and not unknown_left


def _memory_bars(condition: Condition) -> int:
    """Bars before the last one that the answer depends on, beyond the indicators' own."""
    inside = max((_memory_bars(child) for child in children(condition)), default=0)
    if isinstance(condition, Window):
        return inside + condition.bars - 1
    return 1 if isinstance(condition, Cross) else inside


# -- explanation ---------------------------------------------------------------------------------------------------------


def _explain(node: _Node, now: Slots, before: Slots) -> Tree:
    op, is_true, is_false, of, bars, operands, crosses = node
    result = "true" if is_true(now, before) else "false" if is_false(now, before) else "unknown"
    tree: Tree = {"op": op, "result": result}
    for side, name, slot in operands:
        tree[side] = value = {"value": _text(now[slot])}
        if name:
            value["series"] = name
            if crosses:
                value["previous"] = _text(before[slot])
    if bars:
        tree["bars"] = bars
    if of:
        tree["of"] = [_explain(child, now, before) for child in of]
    return tree


def _text(value: float) -> str:
    return "unknown" if value != value else repr(float(value))
