"""What is known of prices: last candles, marks, data age, what bots make of them. A cache, rebuildable, never journaled."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from decimal import Decimal

from engine.core.indicators import NAN, IndicatorSet
from engine.core.inputs import Book, Candle, Feature, Funding, Mark, MarketInput, Quote, Trade
from engine.core.rules import Indicator
from engine.core.setup import BotSetup, Setup
from engine.core.strategy import ENTER_LONG, ENTER_SHORT, EXIT_LONG, EXIT_SHORT, Proposal, RuleStrategy
from engine.core.timeframes import TimeframeError
from engine.core.types import SECOND_US, Instrument, InvariantError, money

INFINITY = float("inf")
Key = tuple[str, str]  # exchange, symbol
#: Candles kept per symbol: what a new config can be warmed up with, and what gates look back on.
TAIL_BARS = 5_000
ANY_SIGNAL = ENTER_LONG | EXIT_LONG | ENTER_SHORT | EXIT_SHORT


class Runner:
    """One bot on one symbol: its strategy, how warm it is, and what it said of the last bar (0 until warm)."""

    __slots__ = ("announced", "bars", "bot", "error", "signal", "strategy")

    def __init__(self, bot: BotSetup) -> None:
        self.announced = False  # the dispatcher knows that it is warm
        self.bot = bot
        self.strategy = bot.make()
        self.bars = 0
        self.signal = 0
        self.error: Exception | None = None

    @property
    def warmup_bars(self) -> int:
        return self.strategy.warmup_bars

    @property
    def warm(self) -> bool:
        return self.bars >= self.strategy.warmup_bars

    def on_bar(self, candle: Candle) -> bool:
        """Push a closed bar; True when the dispatcher has to look. What a strategy raises is kept for it: it stops the bot,
        not the engine."""
        try:
            signal = self.strategy.on_bar(candle)
            if not signal and self.announced:  # most bars; None of a strategy that forgets to answer says nothing, too
                self.signal = 0
                return False
            if signal:
                self._check(signal)
            else:
                signal = 0
        except Exception as error:
            self.error, self.signal = error, 0
            return True
        if self.announced:
            self.signal = signal
            return signal != 0
        self.bars += 1
        warm = self.bars >= self.strategy.warmup_bars
        self.signal = signal if warm else 0
        return warm

    def reach_us(self, timeframe_us: int) -> dict[int, int]:
        """How far back its warm-up reaches, in us, by the length of the bars that it needs there."""
        strategy = self.strategy
        if isinstance(strategy, RuleStrategy):
            return strategy.reach_us(timeframe_us)
        return {timeframe_us: strategy.warmup_bars * timeframe_us}

    def look_back(self, past: Iterable[Candle], timeframe_us: int) -> None:
        """Take in what was before the first bar in memory. Longer bars than the stream's warm the timeframes of rules."""
        for candle in past:
            if candle.timeframe_us == timeframe_us:
                self.on_bar(candle)
            elif isinstance(self.strategy, RuleStrategy):
                self.strategy.prime(candle)
                self.bars += candle.timeframe_us // timeframe_us

    def _check(self, signal: int) -> None:
        """Raise ValueError, or what the comparison raises, for what no strategy may answer."""
        if signal & ANY_SIGNAL != signal:
            raise ValueError(f"on_bar answered {signal!r}: it must be a sum of ENTER_LONG, EXIT_LONG and their shorts")
        if type(self.strategy.proposal) is not Proposal:
            raise ValueError(f"proposal is a {type(self.strategy.proposal).__name__}: it must be a Proposal")

    def on_feature(self, feature: Feature) -> None:
        """Hand on a feature. What a strategy raises is kept for the dispatcher, which looks at the next bar when it is warm."""
        try:
            self.strategy.on_feature(feature)
        except Exception as error:
            self.error, self.announced = error, False


class LaggedRunner(Runner):
    """Of convention `bar`: what it says is of the bar before the last one, because a signal acts on the next bar."""

    __slots__ = ("_later", "_unseen")

    def __init__(self, bot: BotSetup) -> None:
        super().__init__(bot)
        self._unseen: Candle | None = None
        self._later: list[Feature] = []  # what came after the bar that is yet to be shown

    def on_bar(self, candle: Candle) -> bool:
        seen, self._unseen = self._unseen, candle
        calls = seen is not None and super().on_bar(seen)
        for feature in self._later:
            super().on_feature(feature)
        self._later.clear()
        return calls

    def on_feature(self, feature: Feature) -> None:
        self._later.append(feature)


class Series:
    """What is known of one symbol. Times are us UTC; prices floats as recorded, `price` the last one as money."""

    __slots__ = (
        "_heard",
        "_heard_after",
        "_heard_ts",
        "_mark_money",
        "_money",
        "_priced",
        "atrs",
        "band_us",
        "bars",
        "close_ts",
        "features",
        "instrument",
        "last",
        "mark",
        "past",
        "runners",
        "spread",
        "tail",
        "words",
    )

    def __init__(self, instrument: Instrument, tail_bars: int) -> None:
        self.instrument = instrument
        self.tail: deque[Candle] = deque(maxlen=tail_bars or None)
        self.past: list[Candle] = []  # bars before the tail, while runners are made that need them
        self.runners: list[Runner] = []
        self.last: float | None = None
        self.mark: float | None = None  # the venue's mark price, where it says one
        self.spread: tuple[float, float] | None = None  # (bid, ask)
        self.close_ts = -1
        self.bars = 0
        self.words = 0  # what came between the bars
        self._heard_ts = 0  # when the last word between bars arrived ...
        self._heard_after = -1  # ... and how many bars had been seen then
        self.atrs: IndicatorSet | None = None
        self.features: dict[str, Feature] = {}  # the last of each name, for runners that come later
        self.band_us = 0  # how far back `band` is asked for
        self._heard: deque[tuple[int, float, float]] = deque()  # (second, lowest, highest) between bars
        self._priced: float | None = None  # what `_money` is worth: a bar then has nothing to reset
        self._money: Decimal | None = None
        self._mark_money: Decimal | None = None

    @property
    def mark_price(self) -> Decimal | None:
        """The venue's mark price as money, None where it says none."""
        if self._mark_money is None and self.mark is not None and 0 < self.mark < INFINITY:
            self._mark_money = money(self.mark)
        return self._mark_money

    @property
    def price(self) -> Decimal | None:
        """The last price as money, None before the first and for what is no price (NaN, zero)."""
        last = self.last
        if last is not self._priced:
            self._priced = last
            self._money = money(last) if last is not None and 0 < last < INFINITY else None
        return self._money

    def observe(self, candle: Candle) -> bool:
        """Take in a closed bar; True when a runner has something to say. Raises InvariantError when it goes back in time:
        nothing computed from it could be trusted."""
        ts = candle.ts
        if ts <= self.close_ts:
            raise InvariantError(f"candle of {candle.symbol} goes back in time: {ts} after {self.close_ts}")
        self.close_ts = ts
        self.last = candle.close
        self.bars += 1
        self.tail.append(candle)
        if self.atrs is not None:
            self.atrs.update(candle)
        calls = False
        for runner in self.runners:
            if runner.on_bar(candle):
                calls = True
        return calls

    @property
    def timeframe_us(self) -> int:
        """The length of its bars; 0 before the first."""
        newest = self.tail or self.past
        return newest[-1].timeframe_us if newest else 0

    @property
    def past_bars(self) -> int:
        """How many bars of its own length the past stands for."""
        return sum(candle.timeframe_us for candle in self.past) // self.timeframe_us if self.past else 0

    def warm_up(self, runner: Runner) -> None:
        """Show a fresh runner what is known: the past, the tail, the features."""
        runner.look_back(self.past, self.timeframe_us)
        for candle in self.tail:
            runner.on_bar(candle)
        for feature in self.features.values():
            runner.on_feature(feature)

    def hear(self, value: Quote | Trade | Book) -> None:
        """Take in a price between bars."""
        if isinstance(value, Trade):
            self.last = value.price
        else:
            bid, ask = (value.bid, value.ask) if isinstance(value, Quote) else (value.bids[0][0], value.asks[0][0])
            self.last = (bid + ask) / 2
            self.spread = (bid, ask)
        self.words += 1
        self._heard_ts, self._heard_after = value.received_ts, self.bars
        self._keep(value.ts, self.last)

    def _keep(self, ts: int, price: float) -> None:
        """Remember a price between bars, second by second, as long as `band` may ask for it."""
        second, heard = ts // SECOND_US, self._heard
        if heard and heard[-1][0] == second:
            _, low, high = heard.pop()
            heard.append((second, min(low, price), max(high, price)))
            return
        heard.append((second, price, price))
        while heard[0][0] < (ts - self.band_us) // SECOND_US:
            heard.popleft()

    def band(self, since: int) -> tuple[float, float]:
        """Lowest and highest price since `since` (us UTC): closes of bars, what was heard between them, and the last one."""
        low = high = self.last if self.last is not None else NAN
        for candle in reversed(self.tail):
            if candle.ts < since:
                break
            close = candle.close
            if close < low:
                low = close
            elif close > high:
                high = close
        for second, lowest, highest in reversed(self._heard):
            if second < since // SECOND_US:
                break
            low, high = min(low, lowest), max(high, highest)
        return low, high

    def age_us(self, now: int) -> int | None:
        """How late the newest bar arrived, or how long it has been silent beyond what is normal, in us; None when nothing was
        heard."""
        if not self.bars:
            return max(now - self._heard_ts, 0) if self._heard_after == 0 else None
        newest = self.tail[-1]
        arrived = newest.received_ts
        due = self._heard_ts if self._heard_after == self.bars else arrived + newest.timeframe_us
        return max(arrived - newest.ts, now - due, 0)

    def atr(self, period: int) -> float | None:
        """Average true range of the last `period` bars, in price units; None while unknown."""
        if self.atrs is None:
            return None
        value = self.atrs.value(f"atr_{period}")
        return value if value == value else None


class Market:
    """A Series by (exchange, symbol), each with a runner for every bot that trades it."""

    def __init__(self, instruments: Iterable[Instrument], tail_bars: int = 0) -> None:
        self.series: dict[Key, Series] = {(i.exchange, i.symbol): Series(i, tail_bars) for i in instruments}
        self.watched_fills = -1  # how many fills the watch over equity has seen

    @property
    def candles(self) -> int:
        return sum(series.bars for series in self.series.values())

    @property
    def heard(self) -> int:
        """Bars and what came between them."""
        return sum(series.bars + series.words for series in self.series.values())

    @property
    def instruments(self) -> dict[Key, Instrument]:
        return {key: series.instrument for key, series in self.series.items()}

    def instrument(self, exchange: str, symbol: str) -> Instrument:
        return self.series[(exchange, symbol)].instrument

    def arm(self, setup: Setup) -> None:
        """Give each bot of `setup` a runner per symbol, warmed from the tail. Replaces those of the config before."""
        make = LaggedRunner if setup.bars else Runner
        for series in self.series.values():
            bots = setup.bots_on(series.instrument)
            periods = sorted({period for bot in bots for period in bot.atr_periods})
            atrs = {f"atr_{n}": Indicator(fn="ATR", params={"timeperiod": n}) for n in periods}
            series.atrs = IndicatorSet(atrs) if atrs else None
            series.band_us = max((bot.limits.price_band_s for bot in bots), default=0) * SECOND_US
            series.runners = [make(bot) for bot in bots]
            if series.atrs is not None:
                for candle in series.tail:
                    series.atrs.update(candle)
            for runner in series.runners:
                series.warm_up(runner)

    def rearm(self, bot: BotSetup) -> None:
        """A fresh runner for one bot, warmed from the tail: it starts again after a stop or an error."""
        for series in self.series.values():
            for index, runner in enumerate(series.runners):
                if runner.bot.id == bot.id:
                    series.runners[index] = fresh = type(runner)(bot)
                    series.warm_up(fresh)

    def reaches(self, setup: Setup, timeframe_us: int) -> dict[Key, dict[int, int]]:
        """By symbol, how far back (us) the warm-up of its bots reaches, by the length of the bars that are needed there: of the
        symbols whose tail does not go as far. `timeframe_us` is the length of bars where none was seen yet."""
        found: dict[Key, dict[int, int]] = {}
        for key, series in self.series.items():
            size, reach = series.timeframe_us or timeframe_us, dict[int, int]()
            for bot in setup.bots_on(series.instrument):
                for length, back in Runner(bot).reach_us(size).items():
                    reach[length] = max(reach.get(length, 0), back)
            if max(reach.values(), default=0) > len(series.tail) * size:
                found[key] = reach
        return found

    def forget_past(self) -> None:
        """Runners have what they needed of it."""
        for series in self.series.values():
            series.past = []

    def bars_lacking(self, setup: Setup) -> str:
        """Why `setup` cannot be warmed up from what is known, in one line; empty when it can."""
        needs: dict[tuple[str, int], int] = {}
        for series in self.series.values():
            symbol = series.instrument.symbol
            for bot in setup.bots_on(series.instrument):
                timeframe_us = series.timeframe_us
                key, have = (bot.id, timeframe_us), len(series.tail) + series.past_bars
                try:
                    need = needs[key] if key in needs else bot.make(timeframe_us).warmup_bars
                except TimeframeError as error:
                    return f"bot {bot.name} on {symbol}: {error}"
                needs[key] = need
                if need > have:
                    return (
                        f"bot {bot.name} needs {need} bars of {symbol} to warm up and has {have}: "
                        f"{need - have} are lacking"
                    )
        return ""

    def observe(self, candle: Candle) -> Series:
        """Take in a closed bar; its series. Raises InvariantError when it goes back in time, KeyError for another's symbol."""
        series = self.series[(candle.exchange, candle.symbol)]
        series.observe(candle)
        return series

    def hear(self, value: MarketInput) -> None:
        """Take in what the market says between bars; symbols of others are passed over."""
        if isinstance(value, Feature):
            for (exchange, symbol), series in self.series.items():
                if value.exchange in ("", exchange) and value.symbol in ("", symbol):
                    series.features[value.name] = value
                    for runner in series.runners:
                        runner.on_feature(value)
            return
        series_or_none = self.series.get((value.exchange, value.symbol))
        if series_or_none is None:
            return
        if isinstance(value, Mark):
            series_or_none.mark, series_or_none._mark_money = value.price, None
        elif not isinstance(value, Funding):  # its mark is that of one moment, and would be old the next
            series_or_none.hear(value)

    def mark(self, exchange: str, symbol: str) -> Decimal | None:
        """The last price as money, None before the first."""
        series = self.series.get((exchange, symbol))
        return None if series is None else series.price
