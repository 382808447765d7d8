"""Indicators: TA-Lib functions as streams, one closed bar at a time, bit-equal to the batch functions (tested for each).

Slots. All numbers that a rule can read live in two flat lists, `now` and `before` (the bar before): five prices first, then
every indicator output, then what the evaluator adds. Lists instead of dicts because this is the path of every bar; the two
are swapped, never copied. Unknown is NaN.

A bar that holds a NaN or an infinity is unknown as a whole: all its series are NaN, and no indicator sees it (TA-Lib
refuses such input); the bar after it finds a `before` that is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.core.inputs import Candle

if TYPE_CHECKING:
    from engine.core.rules import Indicator

PRICES = ("open", "high", "low", "close", "volume")
NAN = float("nan")

_ANCHORED = "its level depends on the first bar of the history, so a restart would change it"
_POSITION = "it answers with a position in the history, not with a value"
_OVERFLOW = "it is infinite at ordinary prices (above 710)"
#: TA-Lib functions that we do not offer, with the reason shown to whoever asks for one.
EXCLUDED: dict[str, str] = {
    **dict.fromkeys(("AD", "CUMSUM", "NVI", "OBV", "PVI", "PVT", "VWAP", "WAD"), _ANCHORED),
    **dict.fromkeys(("MAXINDEX", "MININDEX", "MINMAXINDEX"), _POSITION),
    **dict.fromkeys(("COSH", "EXP", "SINH"), _OVERFLOW),
    "MAVP": "it needs a second series of periods, which a candle has not",
}
#: Recursive functions (their memory fades, it never ends) that TA-Lib's flags do not show; found by measurement, see tests.
_RECURSIVE = frozenset(
    {"ADXR", "APO", "CVI", "DEMA", "EFI", "ERI", "KC", "KDJ", "MACD", "MACDFIX", "MASSI", "PPO", "PVO"}
    | {"SMI", "STOCHRSI", "TEMA", "TRIX", "TSI", "ZLEMA"}
)
_RECURSIVE_FLAGS = frozenset({"Function has an unstable period", "Output is path-dependent"})
_FINITE_AVERAGES = frozenset({0, 2, 5, 9, 10})  # talib.MA_Type: SMA, WMA, TRIMA, HMA, none; all others are recursive
#: Recursive functions whose metadata do not tell how long they remember: MACDFIX has 12 and 26 built in, a SAR forgets its
#: start with the first reversal that both histories share.
_HIDDEN_PERIODS = {"MACDFIX": 26, "SAR": 25, "SAREXT": 25}
_UNNAMED_OUTPUTS = frozenset({"real", "integer"})


class Function(NamedTuple):
    """What TA-Lib's metadata say of a function. `parameters` maps each name to its default, whose type is the type."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: Mapping[str, int | float]
    recursive: bool


def _talib() -> ModuleType:
    import talib.abstract  # here, not above: 50 ms that `quantsail --help` need not pay
    import talib.stream

    return talib


@lru_cache(maxsize=1)
def offered() -> frozenset[str]:
    """Names of the TA-Lib functions a rule may use: all that read only a candle's five numbers, less EXCLUDED."""
    return frozenset(_talib().get_functions()) - EXCLUDED.keys()


@lru_cache(maxsize=512)
def function(name: str) -> Function:
    """Metadata of an offered function. Raises KeyError for any other name."""
    if name not in offered():
        raise KeyError(name)
    meta = _talib().abstract.Function(name)
    inputs: list[str] = []
    for field in meta.input_names.values():
        inputs += [field] if isinstance(field, str) else field
    flags = _RECURSIVE_FLAGS.intersection(meta.function_flags or ())
    return Function(
        name, tuple(inputs), tuple(meta.output_names), dict(meta.parameters), bool(flags) or name in _RECURSIVE
    )


def output_names(name: str, fn: str) -> tuple[str, ...]:
    """Series that indicator `name` gives: itself for one output, else `<name>_<output>` (macd_macd, macd_macdsignal, ...)."""
    outputs = function(fn).outputs
    if len(outputs) == 1 and outputs[0] in _UNNAMED_OUTPUTS:
        return (name,)
    return tuple(f"{name}_{output}" for output in outputs)


def lookback(fn: str, params: Mapping[str, int | float]) -> int:
    """Bars before the first value. Negative when TA-Lib refuses the parameters."""
    return int(_talib().abstract.Function(fn, **params).lookback)


def warmup_bars(fn: str, params: Mapping[str, int | float], factor: int) -> int:
    """Bars until the value is as good as with the full history (decisions.md 12): lookback + 1 for a finite window, else
    `factor` times the longest period (a function without a period counts its lookback + 1 as one)."""
    known = lookback(fn, params) + 1
    spec = function(fn)
    values = {**spec.parameters, **params}
    averages = [value for key, value in values.items() if key.endswith("matype")]
    if not spec.recursive and _FINITE_AVERAGES.issuperset(averages):
        return known
    periods = [int(value) for key, value in values.items() if "period" in key]
    return max(known, factor * max([*periods, _HIDDEN_PERIODS.get(fn, 1 if periods else known)]))


class _Pending(NamedTuple):
    """An indicator whose handle cannot be opened yet."""

    need_bars: int
    fn: str
    params: Mapping[str, int | float]
    inputs: tuple[int, ...]
    slot: int | slice


class IndicatorSet:
    """The indicators of one document over one stream of closed bars; about 0.5 us a bar for EMA, EMA, RSI and MACD."""

    def __init__(self, indicators: Mapping[str, Indicator]) -> None:
        self.slots: dict[str, int] = {name: index for index, name in enumerate(PRICES)}
        self._warmups: list[tuple[str, Mapping[str, int | float]]] = []
        # Most functions read the close alone; they get loops of their own, which saves a quarter of the bar.
        self._of_close: list[tuple[Callable[[float], float], int]] = []
        self._of_close_many: list[tuple[Callable[[float], tuple[float, ...]], slice]] = []
        self._of_others: list[tuple[Callable[..., Any], Callable[[list[float]], Sequence[float]], int | slice]] = []
        pending: list[_Pending] = []
        for name, indicator in indicators.items():
            first = len(self.slots)
            names = output_names(name, indicator.fn)
            self.slots.update({series: first + offset for offset, series in enumerate(names)})
            need = lookback(indicator.fn, indicator.params) + 1
            inputs = tuple(PRICES.index(field) for field in function(indicator.fn).inputs)
            slot = first if len(names) == 1 else slice(first, first + len(names))
            pending.append(_Pending(need, indicator.fn, indicator.params, inputs, slot))
            self._warmups.append((indicator.fn, indicator.params))
        self.lookback = max((each.need_bars - 1 for each in pending), default=0)
        self._pending = sorted(pending, key=lambda each: each.need_bars)
        self._history: tuple[list[float], ...] = tuple([] for _ in PRICES)
        self._unknown = [NAN] * len(self.slots)
        self.now: list[float] = list(self._unknown)
        self.before: list[float] = list(self._unknown)

    @property
    def ready(self) -> bool:
        """Every indicator has a value. Not yet warm: that takes `warmup_bars`."""
        return not self._pending

    def warmup_bars(self, factor: int = 20) -> int:
        """Closed bars that all indicators together need before a bot may trade on them."""
        return max((warmup_bars(fn, params, factor) for fn, params in self._warmups), default=1)

    def add_constant(self, value: float) -> int:
        """A slot that holds `value` on every bar, so that a number and a series read alike. Before the first bar only."""
        self.now.append(value)
        self.before.append(value)
        return len(self.now) - 1

    def value(self, series: str) -> float:
        """The series on the last bar; NaN while unknown."""
        return self.now[self.slots[series]]

    def previous(self, series: str) -> float:
        """The series on the bar before the last."""
        return self.before[self.slots[series]]

    def update(self, candle: Candle) -> None:
        """Push a closed bar."""
        now = self.before
        self.before = self.now
        self.now = now
        high = candle.high
        low = candle.low
        close = candle.close
        volume = candle.volume
        now[0] = candle.open
        total = now[0] + high + low + close + volume
        if total - total != 0.0:  # NaN or infinity anywhere; one subtraction instead of five isfinite calls
            now[: len(self._unknown)] = self._unknown
            return
        now[1] = high
        now[2] = low
        now[3] = close
        now[4] = volume
        for push, one in self._of_close:
            now[one] = push(close)
        for push_many, span in self._of_close_many:
            now[span] = push_many(close)
        for push_any, fields, slot in self._of_others:
            now[slot] = push_any(*fields(now))
        if self._pending:
            self._open(now)

    def _open(self, now: list[float]) -> None:
        """Keep the bar for the handles not open yet, and open those that now have enough; then the history is let go."""
        for column, value in zip(self._history, now, strict=False):
            column.append(value)
        while self._pending and self._pending[0].need_bars <= len(self._history[0]):
            each = self._pending.pop(0)
            columns = [np.array(self._history[field], dtype=np.float64) for field in each.inputs]
            handle = getattr(_talib().stream, each.fn)(*columns, **each.params)
            now[each.slot] = handle.value
            if each.inputs != (PRICES.index("close"),):
                self._of_others.append((handle.update, _getter(each.inputs), each.slot))
            elif isinstance(each.slot, int):
                self._of_close.append((handle.update, each.slot))
            else:
                self._of_close_many.append((handle.update, each.slot))
        if not self._pending:
            self._history = tuple([] for _ in PRICES)


def _getter(fields: tuple[int, ...]) -> Callable[[list[float]], Sequence[float]]:
    if len(fields) > 1:
        return itemgetter(*fields)
    return itemgetter(slice(fields[0], fields[0] + 1))  # a list of one, so that `push(*...)` fits all


Columns = Mapping[str, NDArray[np.float64]]


def series_columns(indicators: Mapping[str, Indicator], bars: Columns) -> dict[str, NDArray[np.float64]]:
    """All series as columns, equal bit for bit to what IndicatorSet shows after each bar.

    `bars` holds the five price columns, float64, one length. Rows with a NaN or an infinity come out NaN throughout.
    """
    total: NDArray[np.float64] = np.zeros(len(bars["close"]))
    with np.errstate(all="ignore"):
        for field in PRICES:  # the same sum in the same order as `update`: the same bars are unknown
            total = bars[field].astype(np.float64) if field == "open" else total + bars[field]
        clean = (total - total) == 0.0
    whole = bool(clean.all())  # nearly always; then nothing needs to be taken out and put back
    series = {field: bars[field] if whole else np.where(clean, bars[field], NAN) for field in PRICES}
    compact = {
        field: np.ascontiguousarray(bars[field] if whole else bars[field][clean], dtype=np.float64) for field in PRICES
    }
    for name, indicator in indicators.items():
        first = lookback(indicator.fn, indicator.params)
        inputs = [compact[field] for field in function(indicator.fn).inputs]
        names = output_names(name, indicator.fn)
        if len(compact["close"]) <= first:
            series.update({output: np.full(len(clean), NAN) for output in names})
            continue
        result = getattr(_talib(), indicator.fn)(*inputs, **indicator.params)
        for output, values in zip(names, result if isinstance(result, tuple) else (result,), strict=True):
            known = values.astype(np.float64, copy=False)
            known[:first] = NAN  # integer outputs (candle patterns) have zeros there, which is not a value
            series[output] = known
            if not whole:
                series[output] = np.full(len(clean), NAN)
                series[output][clean] = known
    return series
