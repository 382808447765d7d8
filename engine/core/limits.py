"""The limits of the gates (design/risk.md): numbers that a bot or the account must stay within."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from decimal import Decimal
from math import inf
from typing import Annotated, Any, Literal

import msgspec
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from engine.core.events import GateResult
from engine.core.rules import DEPTH_MAX, NODES_MAX, Compare, Condition, Group, Not, walk
from engine.core.types import QUANTUM

#: Series that a risk rule may read, each with its sentence. Those of `MARKET_SERIES` are of the symbol of the order.
ACCOUNT_SERIES: dict[str, str] = {
    "equity": "equity of the portfolio, in its currency",
    "cash": "cash of the portfolio, in its currency",
    "drawdown_pct": "fall from the peak, in percent; of a bot's rule the bot's own",
    "day_pnl_pct": "profit since the day's start in percent of the equity then, a loss below zero; of a bot's rule the bot's own",
    "open_positions": "positions and entries under way; of a bot's rule the bot's",
    "gross_exposure_pct": "worst-case notional of positions and open entries in percent of equity; of a bot's rule the bot's",
    "leverage": "the same as a multiple of equity",
    "losses_in_row": "losing round trips in a row; of an account's rule the largest of any bot",
    "in_doubt": "orders whose outcome is not known",
    "messages_minute": "orders and cancels sent within the running minute",
    "hour_utc": "hour of the day, 0 to 23, UTC",
    "weekday_utc": "day of the week, 0 (Monday) to 6, UTC",
}
MARKET_SERIES: dict[str, str] = {
    "close": "last price",
    "spread_bps": "bid to ask in basis points of their middle; known only with quotes",
    "data_age_s": "how late the newest price is, in seconds",
    "atr_pct": "average true range of 14 bars in percent of the last price",
}


def _no_float(value: object) -> object:
    """Numbers in JSON arrive as floats; their shortest repr is what the person typed."""
    return Decimal(repr(value)) if isinstance(value, float) else value


#: Entries of a bot that its book remembers (G9).
ENTRIES_KEPT = 1000


def _storable(value: Decimal) -> Decimal:
    """Columns are numeric(38,18): a number that they would round, or not hold, is not the number that was meant."""
    if abs(value) >= 10**18 or value != value.quantize(QUANTUM):
        raise ValueError("at most 18 digits on each side of the point")
    return value


Num = Annotated[Decimal, BeforeValidator(_no_float), Field(allow_inf_nan=False), AfterValidator(_storable)]
Percent = Annotated[Num, Field(gt=0, le=100)]
Positive = Annotated[Num, Field(gt=0)]


class Model(BaseModel):
    """Base of every part of a config: frozen, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, use_attribute_docstrings=True)


class Limit(Model):
    """A soft limit warns, a hard limit blocks. Either may be absent; a soft limit lies within the hard one."""

    soft: Positive | None = None
    """Beyond it the gate warns; the order goes out."""
    hard: Positive | None = None
    """Beyond it the gate blocks."""

    @model_validator(mode="after")
    def _ordered(self) -> Limit:
        if self.soft is not None and self.hard is not None and self.soft > self.hard:
            raise ValueError(f"soft {self.soft} is beyond hard {self.hard}")
        return self


class Floor(Model):
    """A limit from below: less than soft warns, less than hard blocks, so that soft is the larger."""

    soft: Positive | None = None
    """Below it the gate warns; the order goes out."""
    hard: Positive | None = None
    """Below it the gate blocks."""

    @model_validator(mode="after")
    def _ordered(self) -> Floor:
        if self.soft is not None and self.hard is not None and self.soft < self.hard:
            raise ValueError(f"soft {self.soft} is below hard {self.hard}")
        return self


class RiskRule(Model):
    """G15: a rule of your own, in the language of strategies, over series of the account and the market.

    It looks at this moment only: gt ge lt le, all any not. `docs/risk.md` lists the series.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    """How the gate's word names it."""
    when: Condition
    """The condition; unknown counts as true for "block" and stricter, because an unknown input blocks."""
    action: Literal["warn", "block", "reduce", "halt"] = "block"
    """What follows while it is true: a warning, no entries, REDUCING, or HALTED."""

    @model_validator(mode="after")
    def _known(self) -> RiskRule:
        known = sorted({*ACCOUNT_SERIES, *MARKET_SERIES})
        for count, (_, depth, condition) in enumerate(walk(self.when), 1):
            if depth > DEPTH_MAX or count > NODES_MAX:
                raise ValueError(f"a rule is at most {DEPTH_MAX} levels deep and has at most {NODES_MAX} conditions")
            if not isinstance(condition, Compare | Group | Not):
                raise ValueError(
                    f"{condition.op!r} looks back: a risk rule sees this moment only (gt ge lt le all any not)"
                )
            for operand in (condition.left, condition.right) if isinstance(condition, Compare) else ():
                if isinstance(operand, str) and operand not in known:
                    near = difflib.get_close_matches(operand[:64], known, n=1, cutoff=0.5)
                    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
                    raise ValueError(f"unknown series {operand[:40]!a}; {hint}")
        return self

    def reads(self) -> Iterator[str]:
        """The series that it reads."""
        for _, _, condition in walk(self.when):
            if isinstance(condition, Compare):
                yield from (o for o in (condition.left, condition.right) if isinstance(o, str))


class Limits(Model):
    """Limits of one bot, none unless it says so. The account's hold for it as well: the tighter wins (risk.md)."""

    price_collar_pct: Limit = Limit()
    """G3: how much worse than the last price an order may trade, in percent."""
    price_band_s: Annotated[int, Field(ge=0, le=86_400)] = 0
    """G3: the same distance also holds, for entries, against every price of so many last seconds."""
    max_order_value: Limit = Limit()
    """G4: notional of one order, in the portfolio's currency."""
    max_order_quantity: Limit = Limit()
    """G5: quantity of one order, in units of the base asset (fat finger)."""
    max_position_value: Limit = Limit()
    """G6: notional of one position with its open orders, worst case, in the portfolio's currency."""
    max_gross_exposure_pct: Limit = Limit()
    """G6: all positions and open entries, in percent of equity."""
    max_open_positions: Limit = Limit()
    """G6: number of positions and entries under way."""
    max_leverage: Limit = Limit()
    """G7: gross notional over equity."""
    min_liquidation_distance_pct: Floor = Floor()
    """G7: distance of the liquidation price from the mark in percent; nearer than hard blocks, so that soft is the larger."""
    max_margin_ratio_pct: Limit = Limit()
    """G7: maintenance margin of all futures in percent of equity; at 100 the venue liquidates."""
    max_messages_per_second: Limit = Limit()
    """G8: orders and cancels sent within a second of input time."""
    max_messages_per_minute: Limit = Limit()
    """G8: the same within a minute."""
    max_messages_per_day: Limit = Limit()
    """G8: the same within a day."""
    max_entries_per_window: Limit = Limit()
    """G9: entries of a bot within `entries_window_s`, at most 1000; beyond it the bot is paused until a person resumes it."""
    entries_window_s: Annotated[int, Field(ge=1, le=604_800)] = 3600
    """G9: seconds of that window."""
    max_consecutive_losses: Limit = Limit()
    """G9: losing round trips of a bot in a row; beyond it the bot is paused until a person resumes it."""
    cooldown_after_stop_s: Annotated[int, Field(ge=0, le=604_800)] = 0
    """G9: seconds without entries on a symbol after a stop loss of the bot; 0 is none."""
    low_profit_trades: Annotated[int, Field(ge=0, le=20)] = 0
    """G9: so many last round trips of a symbol are looked at; 0 is none."""
    low_profit_pct: Num = Decimal(0)
    """G9: when they made less than this percent together, the symbol rests for `low_profit_lock_s`."""
    low_profit_lock_s: Annotated[int, Field(ge=1, le=2_592_000)] = 86_400
    """G9: seconds of that rest."""
    max_data_age_s: Limit = Limit()
    """G12: how late the newest price may be, in seconds."""
    max_clock_skew_ms: Limit = Limit()
    """G12: distance of the exchange's clock from ours, in milliseconds."""
    max_spread_bps: Limit = Limit()
    """G12: bid to ask, in basis points of their middle; known only with quotes."""
    max_jump_atr: Limit = Limit()
    """G12: last close to the one before, in units of the average true range (14 bars); larger is not believed."""
    daily_loss_pct: Limit = Limit()
    """G13: realised and unrealised loss since the day's start in percent; a trip reduces until the next day."""
    max_drawdown_pct: Limit = Limit()
    """G13: fall of equity from its peak in percent; a trip halts until a person re-arms."""
    max_in_doubt: Limit = Limit()
    """G14: orders whose outcome is not known."""
    risk_rules: Annotated[tuple[RiskRule, ...], Field(max_length=16)] = ()
    """G15: rules of your own."""

    @model_validator(mode="after")
    def _countable(self) -> Limits:
        most = self.max_entries_per_window.hard or self.max_entries_per_window.soft
        if most is not None and most > ENTRIES_KEPT:
            raise ValueError(f"max_entries_per_window {most} is beyond the {ENTRIES_KEPT} entries that are remembered")
        return self


class AccountLimits(Limits):
    """Limits of each portfolio as a whole, and of every bot that has no tighter ones. What is left out is as here."""

    price_collar_pct: Limit = Limit(hard=Decimal(5))
    """G3: how much worse than the last price an order may trade, in percent."""
    price_band_s: Annotated[int, Field(ge=0, le=86_400)] = 300
    """G3: the same distance also holds, for entries, against every price of so many last seconds."""
    max_gross_exposure_pct: Limit = Limit(hard=Decimal(100))
    """G6: all positions and open entries, in percent of equity."""
    max_open_positions: Limit = Limit(hard=Decimal(10))
    """G6: number of positions and entries under way."""
    max_messages_per_second: Limit = Limit(soft=Decimal(10), hard=Decimal(50))
    """G8: orders and cancels sent within a second of input time."""
    max_messages_per_minute: Limit = Limit(hard=Decimal(600))
    """G8: the same within a minute."""
    max_messages_per_day: Limit = Limit(hard=Decimal(100_000))
    """G8: the same within a day."""
    max_data_age_s: Limit = Limit(soft=Decimal(30), hard=Decimal(120))
    """G12: how late the newest price may be, in seconds."""
    max_clock_skew_ms: Limit = Limit(soft=Decimal(500), hard=Decimal(2000))
    """G12: distance of the exchange's clock from ours, in milliseconds."""
    daily_loss_pct: Limit = Limit(soft=Decimal(3), hard=Decimal(5))
    """G13: realised and unrealised loss since the day's start in percent; a trip reduces until the next day."""
    max_drawdown_pct: Limit = Limit(soft=Decimal(20), hard=Decimal(30))
    """G13: fall of equity from its peak in percent; a trip halts until a person re-arms."""
    max_in_doubt: Limit = Limit(hard=Decimal(1))
    """G14: orders whose outcome is not known."""


# -- limits made ready for the gates -------------------------------------------------------------------------------------


class Bound(msgspec.Struct, frozen=True):
    """A limit without pydantic. `edge` is what the board shows: the hard bound, else the soft one, None for none."""

    soft: Decimal | None = None
    hard: Decimal | None = None
    edge: Decimal | None = None
    calm: Decimal | None = None  # up to here nothing is said: the tighter of the two
    text: str = "none"
    calm_to: float = inf  # the largest whole number that nothing is said of
    words: dict[int, GateResult] = {}  # of small counts, by the gate (risk.words.counted)

    @property
    def is_set(self) -> bool:
        return self.edge is not None


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """`Limits`, compiled: the gates read nothing else. Same names, same units."""

    price_collar_pct: Bound
    price_band_s: int
    max_order_value: Bound
    max_order_quantity: Bound
    max_position_value: Bound
    max_gross_exposure_pct: Bound
    max_open_positions: Bound
    max_leverage: Bound
    min_liquidation_distance_pct: Bound
    max_margin_ratio_pct: Bound
    max_messages_per_second: Bound
    max_messages_per_minute: Bound
    max_messages_per_day: Bound
    max_entries_per_window: Bound
    entries_window_s: int
    max_consecutive_losses: Bound
    cooldown_after_stop_s: int
    low_profit_trades: int
    low_profit_pct: Decimal
    low_profit_lock_s: int
    max_data_age_s: Bound
    max_clock_skew_ms: Bound
    max_spread_bps: Bound
    max_jump_atr: Bound
    daily_loss_pct: Bound
    max_drawdown_pct: Bound
    max_in_doubt: Bound
    risk_rules: tuple[RiskRule, ...]
    limits_messages: bool  # there is a limit of G8
    adds_up: bool  # there is a hard limit on what all positions and entries add up to: sizing leaves room for it

    def says(self, name: str) -> bool:
        """Whether there is such a limit at all."""
        value = getattr(self, name)
        return value.is_set if isinstance(value, Bound) else bool(value)


def compile_limits(limits: Limits) -> Bounds:
    ready: dict[str, Any] = {}
    for name in Limits.model_fields:
        value = getattr(limits, name)
        ready[name] = _bound(value) if isinstance(value, Limit | Floor) else value
    rates = (limits.max_messages_per_second, limits.max_messages_per_minute, limits.max_messages_per_day)
    sums = (limits.max_position_value, limits.max_gross_exposure_pct, limits.max_leverage)
    return Bounds(
        **ready,
        limits_messages=any(rate != Limit() for rate in rates),
        adds_up=any(limit.hard is not None for limit in sums),
    )


def _bound(limit: Limit | Floor) -> Bound:
    edge = limit.soft if limit.hard is None else limit.hard
    first = min((x for x in (limit.soft, limit.hard) if x is not None), default=None)
    calm_to = inf if first is None else int(first)
    return Bound(limit.soft, limit.hard, edge, first, "none" if edge is None else f"{edge:f}", calm_to)


def tightest(bot: Limits, account: Limits) -> Limits:
    """Bot and account limits merged, the tighter of each, for gates on one order. Whole numbers: the longer look back."""
    merged: dict[str, Any] = {"risk_rules": (*bot.risk_rules, *account.risk_rules)}
    for name in Limits.model_fields:
        own, of_all = getattr(bot, name), getattr(account, name)
        if isinstance(own, Floor):
            merged[name] = Floor(**_tighter(own, of_all, max))
        elif isinstance(own, Limit):
            merged[name] = Limit(**_tighter(own, of_all, min))
        elif name != "risk_rules":
            merged[name] = max(own, of_all)
    return Limits.model_construct(**merged)


def _tighter(
    a: Limit | Floor, b: Limit | Floor, tighter: Callable[[list[Decimal]], Decimal]
) -> dict[str, Decimal | None]:
    """The tighter of each; a soft limit beyond the other's hard one becomes that."""
    hards = [x for x in (a.hard, b.hard) if x is not None]
    softs = [x for x in (a.soft, b.soft) if x is not None]
    hard = [tighter(hards)] if hards else []
    return {"soft": tighter(softs + hard) if softs else None, "hard": hard[0] if hard else None}
