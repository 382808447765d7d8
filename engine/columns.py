"""Rules over a whole history: the second evaluator of `engine.core.evaluate`'s meaning, in numpy columns, equal on every bar.

`bars` is a mapping of columns of one length: open, high, low, close and volume (float64); where an indicator has a timeframe
also `ts`, the close times (int64 microseconds, ascending) of bars that are `timeframe_us` long.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.core.evaluate import BITS, CompiledRules, compile_rules
from engine.core.indicators import (
    NAN,
    OWN,
    PRICES,
    RollingVwap,
    arguments,
    by_timeframe,
    function,
    lookback,
    output_names,
    pushed,
    talib,
)
from engine.core.inputs import Candle, Feature
from engine.core.rules import Compare, Condition, Cross, Indicator, RuleDocument, Window, children
from engine.core.strategy import NO_PROPOSAL, OfRules
from engine.core.timeframes import higher_columns
from engine.core.types import InvariantError

Columns = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Masks = tuple[Mask, Mask]  # where it is true, where it is false

TRUE, FALSE, UNKNOWN = 1, 0, -1


def evaluate_columns(
    document: RuleDocument, bars: Columns, timeframe_us: int = 0, features: Mapping[str, Floats] | None = None
) -> dict[str, NDArray[np.int8]]:
    """Each rule of the document on every bar: 1 true, 0 false, -1 unknown; int8 columns as long as the bars.

    `features` gives those that the rules read, as on each bar (`feature_column`); one that is missing is unknown throughout.
    Raises TimeframeError when a timeframe cannot be made of the bars.
    """
    out: dict[str, NDArray[np.int8]] = {}
    series = _all_series(document, bars, timeframe_us, features)
    for name, rule in document.rules():
        true, false = _masks(rule, series, len(bars["close"]))
        column = np.full(len(true), UNKNOWN, np.int8)
        column[false] = FALSE
        column[true] = TRUE
        out[name] = column
    return out


def signal_columns(
    document: RuleDocument,
    bars: Columns,
    warmup_factor: int,
    timeframe_us: int = 0,
    features: Mapping[str, Floats] | None = None,
) -> NDArray[np.uint8]:
    """What a strategy of this document answers on every bar: the bits of `CompiledRules.on_bar`, 0 until it is warm.

    Arguments and errors as for `evaluate_columns`; the first bar is the first of the warm-up.
    """
    return ColumnStrategy(document, bars, warmup_factor, timeframe_us, features).signals


class ColumnStrategy(OfRules):
    """`RuleStrategy` for a history that is known whole: the same answers and explanations, looked up. It must be given the
    bars of the columns, from the first on.
    """

    __slots__ = (
        "_answers",
        "_candle",
        "_document",
        "_row",
        "_rules",
        "_series",
        "_ts",
        "proposal",
        "signals",
        "warmup_bars",
    )

    def __init__(
        self,
        document: RuleDocument,
        bars: Columns,
        warmup_factor: int,
        timeframe_us: int = 0,
        features: Mapping[str, Floats] | None = None,
    ) -> None:
        self._document = document
        self._series = _all_series(document, bars, timeframe_us, features)
        self.warmup_bars = compile_rules(document).warmup_bars(warmup_factor, timeframe_us)
        self.proposal = NO_PROPOSAL
        #: For each bar the bits of the rules that fire, 0 until it is warm.
        self.signals = np.zeros(len(bars["close"]), np.uint8)
        for name, rule in document.rules():
            true, _ = _masks(rule, self._series, len(self.signals))
            self.signals[true] |= BITS[name]
        self.signals[: self.warmup_bars - 1] = 0
        self._answers = self.signals.tobytes()  # looked up faster than an array
        self._ts = bars.get("ts")
        self._row = -1
        self._candle: Candle | None = None
        self._rules: CompiledRules | None = None

    def on_bar(self, candle: Candle) -> int:
        """The answer for the next bar of the columns. IndexError behind the last one."""
        self._candle = candle
        self._row = row = self._row + 1
        return self._answers[row]

    def on_feature(self, feature: Feature) -> None:
        """The columns have it."""

    def explain(self, rule: str = "") -> dict[str, Any]:
        """See `RuleStrategy.explain`. Raises InvariantError when the bars are not those of the columns."""
        candle, row = self._candle, self._row
        ts = None if self._ts is None or row < 0 else int(self._ts[row])
        if candle is not None and ts is not None and ts != candle.ts:
            raise InvariantError(f"bar {row} closes at {candle.ts}, in the columns at {ts}")
        rules = self._rules
        if rules is None or rules.memory_bars > 1:  # windows remember: they want a fresh evaluator
            rules = self._rules = compile_rules(self._document)
        if row >= 0:
            rules.replay(self._series, row)
        return rules.explain(rule)


def feature_column(
    bar_ts: NDArray[np.int64], ts: NDArray[np.int64], values: Floats, valid_until: NDArray[np.int64]
) -> Floats:
    """A feature as on each bar that closes at `bar_ts`: its last value known by then (`ts`, ascending), NaN where there is
    none or where it is stale. All times in microseconds."""
    at = np.searchsorted(ts, bar_ts, side="right") - 1
    known = np.append(values, NAN)[at]  # -1, none yet, is the NaN at the end
    known[~np.isfinite(known) | (bar_ts > np.append(valid_until, 0)[at])] = NAN
    return known


def _all_series(
    document: RuleDocument, bars: Columns, timeframe_us: int, features: Mapping[str, Floats] | None
) -> dict[str, Floats]:
    """Every series that the document may read; features that are not given are unknown."""
    series = series_columns(document.indicators, bars, timeframe_us)
    clean = clean_rows(bars)
    for name in document.features():
        column = (features or {}).get(name, np.full(len(clean), NAN))
        series[name] = np.where(clean & np.isfinite(column), column, NAN)
    return series


def _masks(condition: Condition, series: Mapping[str, Floats], length: int) -> Masks:
    """Where the condition is true and where it is false; unknown is neither."""
    if isinstance(condition, (Compare, Cross)):
        now, before = [], []
        for operand in (condition.left, condition.right):
            fixed = NAN if isinstance(operand, str) else float(operand)
            column = series[operand] if isinstance(operand, str) else None
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


# -- series ----------------------------------------------------------------------------------------------------------------


def clean_rows(bars: Columns) -> NDArray[np.bool_]:
    """Where a bar has five finite numbers, by the same sum in the same order as `IndicatorSet.update`."""
    total: NDArray[np.float64] = np.zeros(len(bars["close"]))
    with np.errstate(all="ignore"):
        for field in PRICES:
            total = bars[field].astype(np.float64) if field == "open" else total + bars[field]
        return np.equal(total - total, 0.0)


def series_columns(
    indicators: Mapping[str, Indicator], bars: Columns, timeframe_us: int = 0
) -> dict[str, NDArray[np.float64]]:
    """All series as columns, equal bit for bit to what IndicatorSet shows after each bar.

    Rows with a NaN or an infinity come out NaN throughout. Raises TimeframeError.
    """
    clean = clean_rows(bars)
    whole = bool(clean.all())  # nearly always; then nothing needs to be taken out and put back
    compact = {
        field: np.ascontiguousarray(bars[field] if whole else bars[field][clean], dtype=np.float64) for field in PRICES
    }
    own, higher = by_timeframe(indicators)
    known = compact | _output_columns(own, compact)
    for timeframe, group in higher.items():
        times = bars["ts"] if whole else bars["ts"][clean]
        closed, last = higher_columns(timeframe, compact | {"ts": times}, timeframe_us)
        for name, column in series_columns(group, closed).items():
            if name not in PRICES:
                known[name] = np.append(column, NAN)[last]  # -1, none closed yet, is the NaN at the end
    if whole:
        return known
    series = {name: np.full(len(clean), NAN) for name in known}
    for name, column in known.items():
        series[name][clean] = column
    return series


def _output_columns(
    indicators: Mapping[str, Indicator], prices: dict[str, NDArray[np.float64]]
) -> dict[str, NDArray[np.float64]]:
    """Every output over finite prices."""
    out: dict[str, NDArray[np.float64]] = {}
    for name, indicator in indicators.items():
        first = lookback(indicator.fn, indicator.params)
        inputs = [prices[field] for field in function(indicator.fn).inputs]
        names = output_names(name, indicator.fn)
        if len(inputs[0]) <= first:
            out.update({output: np.full(len(inputs[0]), NAN) for output in names})
            continue
        if indicator.fn in OWN:
            own = RollingVwap(int(indicator.params["timeperiod"]))
            result: Any = np.array(pushed(own, [column.tolist() for column in inputs]))
        else:
            result = getattr(talib(), indicator.fn)(*inputs, **arguments(indicator.fn, indicator.params))
        for output, values in zip(names, result if isinstance(result, tuple) else (result,), strict=True):
            known = values.astype(np.float64, copy=False)
            known[:first] = NAN  # integer outputs (candle patterns) have zeros there, which is not a value
            out[output] = known
    return out
