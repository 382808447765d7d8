"""The configuration: one engine document of `bots[]`, account limits and costs (decisions.md 8).

Pydantic at the edge, canonical JSON as identity. `parse_config` refuses anything unknown with its path and a
"did you mean"; a document is immutable once it has a version.
"""

from __future__ import annotations

import difflib
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, field_serializer, model_validator
from pydantic_core import PydanticCustomError

from engine.core.canonical import canonical_json, sha256_hex
from engine.core.limits import AccountLimits, Limits, Model, Num, Percent, Positive
from engine.core.rules import RuleDocument, RuleError, parse_rules
from engine.core.types import ISOLATED, NETTING, MarginMode, PositionMode


class ConfigError(ValueError):
    """A document that is not accepted; one line: where, what, and what was probably meant."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path


class Sizing(Model):
    """How large an entry is. It takes the limits' headroom beforehand; gates never change an intent (decisions.md 11)."""

    kind: Literal["fixed_quantity", "fixed_notional", "percent_equity", "volatility_target", "kelly"] = "percent_equity"
    """How `value` is read."""
    value: Positive = Decimal(10)
    """Units of the base asset; units of the currency; percent of equity (for futures: of margin, times the leverage); percent
    of equity that one average true range may cost; or, for kelly, percent of equity until there are `kelly_trades`."""
    atr_period: Annotated[int, Field(ge=2, le=500)] = 14
    """Bars of the average true range, for volatility_target."""
    kelly_fraction: Annotated[Num, Field(gt=0, le=1)] = Decimal("0.25")
    """Share of the full Kelly bet (Kelly 1956: win rate - loss rate / payoff ratio)."""
    kelly_cap_pct: Percent = Decimal(20)
    """The largest bet whatever Kelly says, in percent of equity."""
    kelly_trades: Annotated[int, Field(ge=5, le=1000)] = 30
    """Round trips of the bot before Kelly is believed."""


class Trailing(Model):
    """A stop that follows the best price."""

    distance_pct: Percent = Decimal(1)
    """Distance behind the best price, in percent."""
    atr_multiple: Positive | None = None
    """Distance in average true ranges instead of percent."""
    atr_period: Annotated[int, Field(ge=2, le=500)] = 14
    """Bars of that average true range."""
    offset_pct: Annotated[Num, Field(ge=0, le=1000)] = Decimal("1.5")
    """Profit in percent from which `positive_distance_pct` (or, with `only_after_offset`, any trailing) holds."""
    positive_distance_pct: Percent | None = None
    """A tighter distance in percent once the profit has reached the offset; not used with `atr_multiple`."""
    only_after_offset: bool = True
    """Leave the stop where it is below the offset."""


class Target(Model):
    """A partial exit."""

    profit_pct: Annotated[Num, Field(gt=0, le=1000)]
    """Profit at which it is taken, in percent of the entry price."""
    close_pct: Percent
    """Share of the position's entry quantity that it closes, in percent."""


class BreakEven(Model):
    """Moves the stop to the entry price once the position is in profit."""

    trigger_pct: Annotated[Num, Field(gt=0, le=1000)] = Decimal(1)
    """Profit that moves it, in percent of the entry price."""
    offset_pct: Annotated[Num, Field(ge=0, le=1000)] = Decimal("0.2")
    """How far beyond the entry price it goes, in percent: fees want to be earned, too."""


class Exits(Model):
    """Protective exits, resting at the venue, in percent of the average entry price whatever the leverage."""

    stop_loss_pct: Percent | None = Decimal(2)
    """Distance of the stop from the entry price; null: no stop."""
    take_profit_pct: Annotated[Num, Field(gt=0, le=1000)] | None = Decimal(4)
    """Distance of the target that closes all; null: none."""
    ladder: dict[Annotated[int, Field(ge=0, le=10_000_000)], Num] = {}
    """Take-profit ladder, minutes since entry: percent. The largest key that has passed counts; replaces `take_profit_pct`."""
    targets: Annotated[tuple[Target, ...], Field(max_length=8)] = ()
    """Partial exits before the last one."""
    trailing: Trailing | None = Trailing()
    """The trailing stop; null: none."""
    break_even: BreakEven | None = None
    """Moves the stop to break-even; null: never."""
    time_stop_min: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Minutes after which the position is closed at market; null: never."""
    use_exit_signal: bool = True
    """Leave when the strategy says so."""
    unfilled_exit_min: Annotated[int, Field(ge=1, le=10_000_000)] = 30
    """Minutes after which an exit with a limit that the strategy proposed is dropped and tried again (convention `bar`)."""

    @field_serializer("ladder")
    def _text_keys(self, ladder: dict[int, Decimal]) -> dict[str, Decimal]:
        """JSON knows keys of text only; ordered, so that one ladder has one spelling."""
        return {str(minutes): ladder[minutes] for minutes in sorted(ladder)}

    @model_validator(mode="after")
    def _whole(self) -> Exits:
        if (total := sum(t.close_pct for t in self.targets)) > 100:
            raise ValueError(f"targets close {total} % of the position: at most 100")
        return self


class Entry(Model):
    """How an entry is placed."""

    order_type: Literal["MARKET", "LIMIT"] = "MARKET"
    """LIMIT rests `offset_bps` better than the last price."""
    offset_bps: Annotated[Num, Field(ge=0, le=5000)] = Decimal(0)
    """Distance of the limit from the last price, in basis points."""
    time_in_force: Literal["GTC", "IOC", "FOK", "GTX"] = "GTC"
    """Of a limit; GTX is post-only."""
    valid_min: Annotated[int, Field(ge=1, le=10_000_000)] = 10
    """Minutes after which an entry that has not filled is cancelled."""
    max_per_position: Annotated[int, Field(ge=1, le=50)] = 1
    """Entries that one position may take; more than one adds to it when the signal comes again."""


class Margin(Model):
    """For futures; spot ignores it."""

    leverage: Annotated[Num, Field(ge=1, le=125)] = Decimal(1)
    """Notional over initial margin."""
    mode: MarginMode = ISOLATED
    """ISOLATED: a position can lose its own margin; CROSS: it can lose the account."""
    position_mode: PositionMode = NETTING
    """NETTING: one position per symbol; HEDGE: a long and a short one beside each other."""


def _strategy(value: object) -> object:
    if isinstance(value, RuleDocument | PythonStrategy):
        return value
    if isinstance(value, dict) and "python" in value:
        return PythonStrategy.model_validate(value)
    try:
        return parse_rules(value)
    except RuleError as error:
        # The rules know their own path; `parse_config` puts the strategy's before it.
        raise PydanticCustomError("rules", "{message}", {"path": error.path, "message": error.message}) from error


class PythonStrategy(Model):
    """A strategy that is code: an installed entry point of the group `quantsail.strategies`."""

    python: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    """Its name; `quantsail strategies list` shows those installed."""
    params: dict[str, Any] = {}
    """What it is made with; the strategy says which it knows."""

    @property
    def sha256(self) -> str:
        return sha256_hex(canonical_json(self.model_dump()))


class BotConfig(Model):
    """One bot: a strategy on some symbols, with its own size, exits and limits."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
    """Unique among the bots; its identity over all versions of the config."""
    symbols: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = ("*",)
    """Symbols of the feed, or "*" for all of them."""
    strategy: Annotated[RuleDocument | PythonStrategy, BeforeValidator(_strategy)]
    """Rules as data (docs/strategies.md), or {"python": name, "params": {...}}."""
    portfolio: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")] = "main"
    """The portfolio whose money it trades."""
    sizing: Sizing = Sizing()
    """How large an entry is."""
    entry: Entry = Entry()
    """How an entry is placed."""
    exits: Exits = Exits()
    """How a position is left."""
    margin: Margin = Margin()
    """Leverage and position mode, for futures."""
    limits: Limits = Limits()
    """Its own limits; the account's hold as well."""
    enabled: bool = True
    """A bot that is not enabled is STOPPED: its positions keep their exits."""

    @property
    def strategy_text(self) -> str:
        """What it trades by, in a word or two: the name of its code, or the rules' hash."""
        if isinstance(self.strategy, PythonStrategy):
            return f"python {self.strategy.python}"
        return f"rules {self.strategy.sha256[:12]}"


class Portfolio(Model):
    """Money of its own in one currency. What is opened stays: a portfolio that a later config leaves out keeps its money."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
    """What bots name it by."""
    currency: Annotated[str, Field(min_length=1, max_length=16)]
    """The quote currency of the symbols that it can trade."""
    initial_balance: Positive
    """What it starts with, once, when a config first names it."""


class AccountConfig(Model):
    """What holds for the whole account."""

    limits: AccountLimits = AccountLimits()
    """Limits of each portfolio as a whole."""
    halt_policy: Literal["keep_with_exits", "flatten"] = "keep_with_exits"
    """What HALT does to positions: keep them with their protective exits, or close them."""
    equity_sample_s: Annotated[int, Field(ge=1, le=86_400)] = 900
    """Seconds of input time between two equity samples in the journal."""
    day_start_utc_min: Annotated[int, Field(ge=0, le=1439)] = 0
    """Minute of the day (UTC) at which the day of the daily loss begins."""
    portfolios: Annotated[tuple[Portfolio, ...], Field(max_length=16)] = ()
    """Portfolios beside "main", which the ledger was opened with."""


class Costs(Model):
    """What the paper venue charges and how it fills (docs/fills.md), in basis points of notional."""

    convention: Literal["realistic", "bar"] = "realistic"
    """How bars fill: as a market would, or by the published rules of tables of cases."""
    evidence: Literal["bars", "ticks"] = "bars"
    """What fills orders: closed bars, or quotes, books and trades as they come."""
    maker_bps: Annotated[Num, Field(ge=-100, le=1000)] = Decimal(10)
    """Fee of an order that rested; below zero it is a rebate."""
    taker_bps: Annotated[Num, Field(ge=-100, le=1000)] = Decimal(10)
    """Fee of an order that took."""
    half_spread_bps: Annotated[Num, Field(ge=0, le=1000)] = Decimal(0)
    """Half of bid to ask, where only bars are known."""
    slippage_bps: Annotated[Num, Field(ge=0, le=1000)] = Decimal(1)
    """How much worse than its reference a taker trades, where only bars are known."""
    impact_bps: Annotated[Num, Field(ge=0, le=1000)] = Decimal(0)
    """How much worse it gets for an order as large as the bar's volume (by its square root)."""
    participation_pct: Percent | None = None
    """The share of a bar's volume that a resting limit may fill; null: all that it wants."""
    depth_ticks: Annotated[int, Field(ge=0, le=1000)] = 5
    """Ticks worse than the last known level for what goes beyond the known depth."""
    latency_ms: Annotated[int, Field(ge=0, le=60_000)] = 80
    """Until a command acts at the venue; with bars, anything shorter than a bar acts at the next open."""
    jitter_ms: Annotated[int, Field(ge=0, le=60_000)] = 0
    """Drawn per order on top of it."""
    trigger: Literal["last", "mark"] = "last"
    """What triggers stops."""
    liquidation_bps: Annotated[Num, Field(ge=0, le=1000)] = Decimal(50)
    """Clearance fee of a liquidation, on top of the taker's."""


class Config(Model):
    """The engine document. `warmup_factor` times its period is what a recursive indicator needs before it may trade."""

    schema_version: Annotated[Literal[1], Field(alias="schema")] = 1
    """Version of this format."""
    account: AccountConfig = AccountConfig()
    """What holds for the whole account."""
    costs: Costs = Costs()
    """What the paper venue charges and how it fills."""
    warmup_factor: Annotated[int, Field(ge=1, le=200)] = 20
    """Periods that a recursive indicator must have seen."""
    bots: Annotated[tuple[BotConfig, ...], Field(min_length=1, max_length=64)]
    """The bots."""

    @model_validator(mode="after")
    def _unique(self) -> Config:
        names = [bot.name for bot in self.bots]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise ValueError(f"two bots are named {twice[0]!r}")
        known = ["main", *(p.name for p in self.account.portfolios)]
        if twice := sorted({n for n in known if known.count(n) > 1}):
            raise ValueError(f"two portfolios are named {twice[0]!r}")
        for bot in self.bots:
            if bot.portfolio not in known:
                raise ValueError(
                    f"bot {bot.name}: no portfolio is named {bot.portfolio!r}; there are {', '.join(known)}"
                )
        return self


DEFAULT_STRATEGY: dict[str, Any] = {
    "schema": 1,
    "indicators": {
        "fast": {"fn": "EMA", "params": {"timeperiod": 50}},
        "slow": {"fn": "EMA", "params": {"timeperiod": 200}},
        "rsi": {"fn": "RSI", "params": {"timeperiod": 14}},
    },
    "entry_long": {
        "op": "all",
        "of": [
            {"op": "crosses_above", "left": "fast", "right": "slow"},
            {"op": "lt", "left": "rsi", "right": 70},
        ],
    },
    "exit_long": {"op": "crosses_below", "left": "fast", "right": "slow"},
}


def default_config() -> Config:
    """The first version of a fresh ledger: one bot that trades whatever the feed offers."""
    return parse_config({"schema": 1, "bots": [{"name": "trend", "strategy": DEFAULT_STRATEGY}]})


def parse_config(document: object) -> Config:
    """Validate. Raises ConfigError with the JSON path of the first problem and, for an unknown key, the nearest known one."""
    if not isinstance(document, dict):
        raise ConfigError("$", "the document must be a JSON object")
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = "$" + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in first["loc"])
        if first["type"] == "extra_forbidden":
            raise ConfigError(path, _unknown_key(first["loc"])) from error
        if first["type"] == "rules":
            path += str(first["ctx"]["path"]).removeprefix("$")
        said = _WORDS.get(first["type"], str(first["msg"]).removeprefix("Value error, "))
        raise ConfigError(path, said) from error


#: Where pydantic speaks of Python, a document is JSON.
_WORDS = {
    "missing": "is missing",
    "model_type": "must be an object",
    "dict_type": "must be an object",
    "tuple_type": "must be a list",
    "string_type": "must be text",
}


def _unknown_key(loc: tuple[int | str, ...]) -> str:
    model: Any = Config
    for step in loc[:-1]:
        if isinstance(step, str) and step in model.model_fields:
            model = _model_of(model.model_fields[step].annotation) or model
    known = [field.alias or name for name, field in model.model_fields.items()]
    near = difflib.get_close_matches(str(loc[-1]), known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
    return f"unknown key {str(loc[-1])!r}; {hint}"


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """The model inside `Model`, `Model | None`, `tuple[Model, ...]` or `Annotated[...]`; of a strategy the one that is code,
    because rules say themselves what is wrong with them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in reversed(getattr(annotation, "__args__", ())):
        if found := _model_of(argument):
            return found
    return None


def canonical(config: Config) -> bytes:
    """The canonical JSON of a config: every default written out, decimals as strings, sorted keys."""
    return canonical_json(config.model_dump(mode="python", by_alias=True))


def config_sha256(config: Config) -> str:
    return sha256_hex(canonical(config))
