"""The limits of the gates (design/risk.md): numbers that a bot or the account must stay within."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from engine.core.rules import Condition


def _no_float(value: object) -> object:
    """Numbers in JSON arrive as floats; their shortest repr is what the person typed."""
    return Decimal(repr(value)) if isinstance(value, float) else value


Num = Annotated[Decimal, BeforeValidator(_no_float), Field(allow_inf_nan=False)]
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


class RiskRule(Model):
    """G15: a rule of your own, in the language of strategies, over series of the account and the market."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    """How the gate's word names it."""
    when: Condition
    """The condition; unknown counts as true for "block" and stricter, because an unknown input blocks."""
    action: Literal["warn", "block", "reduce", "halt"] = "block"
    """What follows while it is true: a warning, no entries, REDUCING, or HALTED."""


class Limits(Model):
    """Limits of one bot or of the account; where both have one, the tighter wins (risk.md)."""

    price_collar_pct: Limit = Limit(hard=Decimal(5))
    """G3: how much worse than the last price an order may trade, in percent."""
    price_band_s: Annotated[int, Field(ge=1, le=86_400)] = 300
    """G3: the same distance also holds against every price of so many seconds."""
    max_order_value: Limit = Limit()
    """G4: notional of one order, in the portfolio's currency."""
    max_order_quantity: Limit = Limit()
    """G5: quantity of one order, in units of the base asset (fat finger)."""
    max_position_value: Limit = Limit()
    """G6: notional of one position with its open orders, worst case, in the portfolio's currency."""
    max_gross_exposure_pct: Limit = Limit(hard=Decimal(100))
    """G6: all positions and open entries, in percent of equity."""
    max_open_positions: Limit = Limit()
    """G6: number of positions and entries under way."""
    max_leverage: Limit = Limit()
    """G7: gross notional over equity."""
    min_liquidation_distance_pct: Limit = Limit()
    """G7: distance of the liquidation price from the mark in percent; here soft is the larger, and nearer than hard blocks."""
    max_messages_per_second: Limit = Limit(soft=Decimal(10), hard=Decimal(50))
    """G8: orders and cancels sent within a second of input time."""
    max_messages_per_minute: Limit = Limit(hard=Decimal(600))
    """G8: the same within a minute."""
    max_messages_per_day: Limit = Limit(hard=Decimal(100_000))
    """G8: the same within a day."""
    max_entries_per_window: Limit = Limit()
    """G9: entries of a bot within `entries_window_s`; beyond it the bot is paused until a person resumes it."""
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
    max_data_age_s: Limit = Limit(soft=Decimal(30), hard=Decimal(120))
    """G12: how late the newest price may be, in seconds."""
    max_clock_skew_ms: Limit = Limit(soft=Decimal(500), hard=Decimal(2000))
    """G12: distance of the exchange's clock from ours, in milliseconds."""
    max_spread_bps: Limit = Limit()
    """G12: bid to ask, in basis points of their middle; known only with quotes."""
    max_jump_atr: Limit = Limit()
    """G12: last close to the one before, in units of the average true range (14 bars); larger is not believed."""
    daily_loss_pct: Limit = Limit(soft=Decimal(3), hard=Decimal(5))
    """G13: realised and unrealised loss since the day's start in percent; a trip reduces until the next day."""
    max_drawdown_pct: Limit = Limit(soft=Decimal(20), hard=Decimal(30))
    """G13: fall of equity from its peak in percent; a trip halts until a person re-arms."""
    max_in_doubt: Limit = Limit(hard=Decimal(1))
    """G14: orders whose outcome is not known."""
    risk_rules: Annotated[tuple[RiskRule, ...], Field(max_length=16)] = ()
    """G15: rules of your own."""
