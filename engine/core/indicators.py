"""Indicators: TA-Lib functions as streams, one closed bar at a time, bit-equal to the batch functions (tested for each).

Slots. All numbers that a rule can read live in two flat lists, `now` and `before` (the bar before): five prices first, then
every indicator output, then what the evaluator adds. Lists instead of dicts because this is the path of every bar; the two
are swapped, never copied. Unknown is NaN. An indicator of a higher timeframe keeps its value until its next bar has closed.

A bar that holds a NaN or an infinity is unknown as a whole: all its series are NaN, and no indicator sees it (TA-Lib
refuses such input); the bar after it finds a `before` that is unknown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from math import fsum, gcd, inf
from operator import itemgetter
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from engine.core.inputs import Candle
from engine.core.timeframes import HigherBars, check_timeframe
from engine.core.types import TIMEFRAMES_US

if TYPE_CHECKING:
    from engine.core.rules import Indicator

PRICES = ("open", "high", "low", "close", "volume")
NAN = float("nan")

_ANCHORED = "its level depends on the first bar of the history, so a restart would change it"
_POSITION = "it answers with a position in the history, not with a value"
_OVERFLOW = "it is infinite at ordinary prices (above 710)"
#: TA-Lib functions that we do not offer, with the reason shown to whoever asks for one.
EXCLUDED: dict[str, str] = {
    **dict.fromkeys(("AD", "CUMSUM", "NVI", "OBV", "PVI", "PVT", "WAD"), _ANCHORED),
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
    """What TA-Lib's metadata say of a function. `parameters` maps each name to its default, whose type is the type; those
    `required` must be given all the same."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: Mapping[str, int | float]
    recursive: bool
    required: frozenset[str] = frozenset()


class RollingVwap:
    """Volume-weighted average of the typical price, (high + low + close) / 3, over the last `timeperiod` bars. Unknown while
    there are fewer, and when none of them has volume. TA-Lib's VWAP counts from the first bar of the history instead.

    The sums are exact (fsum): a running sum would depend on all bars before, and a restart would change it.
    """

    __slots__ = ("_paid", "_volumes")

    def __init__(self, timeperiod: int) -> None:
        self._paid: deque[float] = deque(maxlen=timeperiod)
        self._volumes: deque[float] = deque(maxlen=timeperiod)

    def update(self, high: float, low: float, close: float, volume: float) -> float:
        """Push a closed bar; the average, or NaN."""
        self._paid.append((high + low + close) / 3 * volume)
        self._volumes.append(volume)
        if len(self._paid) < (self._paid.maxlen or 0):
            return NAN
        try:
            total = fsum(self._volumes)
            average = fsum(self._paid) / total if total > 0 else NAN
        except (OverflowError, ValueError):  # a sum beyond what a float holds
            return NAN
        return average if -inf < average < inf else NAN


#: What TA-Lib lacks. Donchian channels and Supertrend it has (0.8).
OWN = {
    "VWAP": Function(
        "VWAP", ("high", "low", "close", "volume"), ("real",), {"timeperiod": 1}, False, frozenset({"timeperiod"})
    )
}


def talib() -> ModuleType:
    import talib.abstract  # here, not above: 50 ms that `quantsail --help` need not pay
    import talib.stream

    return talib


@lru_cache(maxsize=1)
def offered() -> frozenset[str]:
    """Names of the functions a rule may use: TA-Lib's that read only a candle's five numbers, less EXCLUDED, and our own."""
    return (frozenset(talib().get_functions()) - EXCLUDED.keys()) | OWN.keys()


@lru_cache(maxsize=512)
def function(name: str) -> Function:
    """Metadata of an offered function. Raises KeyError for any other name."""
    if name not in offered():
        raise KeyError(name)
    if name in OWN:
        return OWN[name]
    meta = talib().abstract.Function(name)
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


def arguments(fn: str, params: Mapping[str, int | float]) -> dict[str, int | float]:
    """The parameters as TA-Lib wants them: 2 is no float there, and a document does not tell 2 from 2.0."""
    known = function(fn).parameters
    return {key: float(value) if isinstance(known[key], float) else value for key, value in params.items()}


def lookback(fn: str, params: Mapping[str, int | float]) -> int:
    """Bars before the first value. Negative when TA-Lib refuses the parameters."""
    if fn in OWN:
        return int(params["timeperiod"]) - 1
    return _talib_lookback(fn, tuple(arguments(fn, params).items()))


@lru_cache(maxsize=4096)  # TA-Lib takes a tenth of a millisecond to answer
def _talib_lookback(fn: str, given: tuple[tuple[str, int | float], ...]) -> int:
    return int(talib().abstract.Function(fn, **dict(given)).lookback)


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


#: Writes what a closed bar changes into `now`.
Fill = Callable[[list[float], Candle], None]


class _Pending(NamedTuple):
    """An indicator whose handle cannot be opened yet."""

    need_bars: int
    fn: str
    params: Mapping[str, int | float]
    inputs: tuple[int, ...]
    slot: int | slice


class IndicatorSet:
    """The series of one document over one stream of closed bars: prices, indicators, and the features that it reads."""

    __slots__ = (
        "_features",
        "_fills",
        "_higher",
        "_history",
        "_of_close",
        "_pending",
        "_unknown",
        "_warmups",
        "before",
        "now",
        "slots",
    )

    def __init__(self, indicators: Mapping[str, Indicator], features: Iterable[str] = ()) -> None:
        self.slots: dict[str, int] = {name: index for index, name in enumerate(PRICES)}
        self._warmups: list[tuple[str, Mapping[str, int | float]]] = []
        own, higher = by_timeframe(indicators)
        self._pending: list[_Pending] = []
        for name, indicator in own.items():
            first = len(self.slots)
            names = output_names(name, indicator.fn)
            self.slots.update({series: first + offset for offset, series in enumerate(names)})
            need = lookback(indicator.fn, indicator.params) + 1
            inputs = tuple(PRICES.index(field) for field in function(indicator.fn).inputs)
            slot = first if len(names) == 1 else slice(first, first + len(names))
            self._pending.append(_Pending(need, indicator.fn, indicator.params, inputs, slot))
            self._warmups.append((indicator.fn, indicator.params))
        self._pending.sort(key=lambda each: each.need_bars)
        self._higher = tuple(_Higher(timeframe, group, self.slots) for timeframe, group in higher.items())
        self._features = {name: _Feature(self.slots.setdefault(name, len(self.slots))) for name in features}
        self._history: tuple[list[float], ...] = tuple([] for _ in PRICES)
        # Most functions read the close alone and give one value: they get a loop of their own, all else is a call more.
        self._of_close: list[tuple[Callable[[float], float], int]] = []
        self._fills: list[Fill] = [higher.fill for higher in self._higher]
        self._fills += [feature.fill for feature in self._features.values()]
        if self._pending:
            self._fills.append(self._open)
        self._unknown = [NAN] * len(self.slots)
        self.now: list[float] = list(self._unknown)
        self.before: list[float] = list(self._unknown)

    @property
    def ready(self) -> bool:
        """Every indicator has a value. Not yet warm: that takes `warmup_bars`."""
        return not self._pending and all(higher.indicators.ready for higher in self._higher)

    def warmup_bars(self, factor: int, timeframe_us: int) -> int:
        """Closed bars of the stream, `timeframe_us` long, that all indicators together need before a bot may trade on them;
        with a length of 0, not known yet, at least. Raises TimeframeError when a higher timeframe cannot be made of them."""
        base_us = timeframe_us or gcd(*(TIMEFRAMES_US[higher.timeframe] for higher in self._higher))
        need = max((warmup_bars(fn, params, factor) for fn, params in self._warmups), default=1)
        for higher in self._higher:
            bars = check_timeframe(higher.timeframe, base_us)
            inside = higher.indicators.warmup_bars(factor, timeframe_us * bars)
            need = max(need, (inside + 1) * bars - 1)  # the stream may begin right behind the start of a period
        return need

    def reach_us(self, factor: int, timeframe_us: int) -> dict[int, int]:
        """How far back the indicators reach, by the length of the bars that they are made of, the stream's and longer ones."""
        need = max((warmup_bars(fn, params, factor) for fn, params in self._warmups), default=1)
        sizes = {TIMEFRAMES_US[higher.timeframe]: higher.indicators for higher in self._higher}
        longer = {size: (inside.warmup_bars(factor, size) + 2) * size for size, inside in sizes.items()}
        return {timeframe_us: need * timeframe_us} | longer

    def prime(self, candle: Candle) -> None:
        """Push a closed bar longer than the stream's, from before its first: to the timeframes that are made of such bars."""
        for higher in self._higher:
            if TIMEFRAMES_US[higher.timeframe] % candle.timeframe_us == 0:
                higher.push(candle)

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

    def set_feature(self, name: str, value: float, valid_until: int) -> None:
        """A feature for bars that close at or before `valid_until` (microseconds). One that nobody reads is ignored."""
        feature = self._features.get(name)
        if feature is not None:
            feature.value = value if value - value == 0.0 else NAN
            feature.valid_until = valid_until

    def update(self, candle: Candle) -> None:
        """Push a closed bar. Raises TimeframeError on the first one, when a higher timeframe cannot be made of such bars."""
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
        for push, slot in self._of_close:
            now[slot] = push(close)
        for fill in self._fills:
            fill(now, candle)

    def _open(self, now: list[float], candle: Candle) -> None:
        """Keep the bar for the handles not open yet, and open those that now have enough; then the history is let go."""
        for column, value in zip(self._history, now, strict=False):
            column.append(value)
        fills = [fill for fill in self._fills if fill != self._open]
        while self._pending and self._pending[0].need_bars <= len(self._history[0]):
            each = self._pending.pop(0)
            push, now[each.slot] = _opened(each, [self._history[field] for field in each.inputs])
            if each.inputs == (PRICES.index("close"),) and isinstance(each.slot, int):
                self._of_close.append((push, each.slot))
            else:
                fills.append(_fill(push, each.inputs, each.slot))
        if self._pending:
            fills.append(self._open)
        else:
            self._history = tuple([] for _ in PRICES)
        self._fills = fills  # a new list: what was opened here has had this bar


class _Feature:
    """The last word on a feature; unknown on a bar that closes after `valid_until`."""

    __slots__ = ("slot", "valid_until", "value")

    def __init__(self, slot: int) -> None:
        self.slot, self.value, self.valid_until = slot, NAN, 0

    def fill(self, now: list[float], candle: Candle) -> None:
        now[self.slot] = self.value if candle.ts <= self.valid_until else NAN


class _Higher:
    """The indicators of one higher timeframe, in slots of their own behind those of the stream's bars."""

    __slots__ = ("_bars", "_span", "_values", "indicators", "timeframe")

    def __init__(self, timeframe: str, indicators: Mapping[str, Indicator], slots: dict[str, int]) -> None:
        self.timeframe = timeframe
        self.indicators = IndicatorSet(indicators)
        first, prices = len(slots), len(PRICES)
        slots.update({name: first + at - prices for name, at in self.indicators.slots.items() if at >= prices})
        self._span = slice(first, len(slots))
        self._bars = HigherBars(timeframe)
        self._values = self.indicators.now[prices:]

    def fill(self, now: list[float], candle: Candle) -> None:
        self.push(candle)
        now[self._span] = self._values

    def push(self, candle: Candle) -> None:
        """Push a closed bar that this timeframe is made of."""
        for bar in self._bars.add(candle):
            self.indicators.update(bar)
            self._values = self.indicators.now[len(PRICES) :]


def by_timeframe(
    indicators: Mapping[str, Indicator],
) -> tuple[dict[str, Indicator], dict[str, dict[str, Indicator]]]:
    """The indicators of the stream's own bars, and those of each higher timeframe, now without it."""
    own: dict[str, Indicator] = {}
    higher: dict[str, dict[str, Indicator]] = {}
    for name, indicator in indicators.items():
        if indicator.timeframe is None:
            own[name] = indicator
        else:
            higher.setdefault(indicator.timeframe, {})[name] = indicator.model_copy(update={"timeframe": None})
    return own, higher


def _opened(each: _Pending, columns: Iterable[Sequence[float]]) -> tuple[Callable[..., Any], Any]:
    """The push of an open handle, and its value on the last bar of the columns."""
    if each.fn in OWN:
        own = RollingVwap(int(each.params["timeperiod"]))
        return own.update, pushed(own, columns)[-1]
    handle = getattr(talib().stream, each.fn)(
        *(np.array(column, np.float64) for column in columns), **arguments(each.fn, each.params)
    )
    return handle.update, handle.value


def pushed(own: RollingVwap, columns: Iterable[Sequence[float]]) -> list[float]:
    return [own.update(*row) for row in zip(*columns, strict=True)]


def _fill(push: Callable[..., Any], inputs: tuple[int, ...], slot: Any) -> Fill:
    """Pushes the prices of `inputs` and writes what comes back."""

    def one(now: list[float], candle: Candle) -> None:
        now[slot] = push(now[inputs[0]])

    fields: Callable[[list[float]], Sequence[float]] = itemgetter(*inputs)

    def several(now: list[float], candle: Candle) -> None:
        now[slot] = push(*fields(now))

    return several if len(inputs) > 1 else one
