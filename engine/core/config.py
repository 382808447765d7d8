"""The configuration: one engine document of `bots[]`, account limits and costs (decisions.md 8).

Pydantic at the edge, canonical JSON as identity. `parse_config` refuses anything unknown with its path and a
"did you mean"; `diff` is for people; a document is immutable once it has a version.
"""

from __future__ import annotations

import difflib
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from engine.core.canonical import canonical_json, sha256_hex
from engine.core.rules import RuleDocument, RuleError, parse_rules


class ConfigError(ValueError):
    """A document that is not accepted; one line: where, what, and what was probably meant."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path


def _no_float(value: object) -> object:
    """Numbers in JSON arrive as floats; their shortest repr is what the person typed."""
    return Decimal(repr(value)) if isinstance(value, float) else value


Num = Annotated[Decimal, BeforeValidator(_no_float), Field(allow_inf_nan=False)]
Percent = Annotated[Num, Field(gt=0, le=100)]
Positive = Annotated[Num, Field(gt=0)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Limit(_Model):
    """A soft limit warns, a hard limit blocks. Either may be absent; a soft limit lies within the hard one."""

    soft: Positive | None = None
    hard: Positive | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Limit:
        if self.soft is not None and self.hard is not None and self.soft > self.hard:
            raise ValueError(f"soft {self.soft} is beyond hard {self.hard}")
        return self


class Limits(_Model):
    """Limits of one bot or of the account; where both have one, the tighter wins (risk.md)."""

    price_collar_pct: Limit = Limit(hard=Decimal(5))
    """G3: distance of a price from the last one, in percent."""
    max_order_value: Limit = Limit()
    """G4: notional of one order, in the base currency."""
    max_order_quantity: Limit = Limit()
    """G5: quantity of one order, in units of the base asset (fat finger)."""
    max_position_value: Limit = Limit()
    """G6: notional of one position with its open orders, worst case, in the base currency."""
    max_gross_exposure_pct: Limit = Limit(hard=Decimal(100))
    """G6: all positions and open entries, in percent of equity."""
    max_open_positions: Limit = Limit()
    """G6: number of positions and entries under way."""
    max_data_age_s: Limit = Limit(soft=Decimal(30), hard=Decimal(120))
    """G12: how late the newest candle may have arrived, in seconds."""
    daily_loss_pct: Limit = Limit(soft=Decimal(3), hard=Decimal(5))
    """G13: realised and unrealised loss since 00:00 UTC in percent; a trip reduces until the next day."""
    max_drawdown_pct: Limit = Limit(soft=Decimal(20), hard=Decimal(30))
    """G13: fall of equity from its peak in percent; a trip halts until a person re-arms."""


class Sizing(_Model):
    """How large an entry is. It takes the limits' headroom beforehand; gates never change an intent (decisions.md 11)."""

    kind: Literal["fixed_quantity", "fixed_notional", "percent_equity"] = "percent_equity"
    value: Positive = Decimal(10)
    """Units of the base asset, units of the base currency, or percent of equity."""


class Trailing(_Model):
    """A stop that follows the best price, once the position has been `offset_pct` in profit."""

    distance_pct: Percent = Decimal(1)
    offset_pct: Annotated[Num, Field(ge=0, le=1000)] = Decimal("1.5")


class Exits(_Model):
    """Protective exits, resting at the venue; in percent of the average entry price."""

    stop_loss_pct: Percent | None = Decimal(2)
    take_profit_pct: Annotated[Num, Field(gt=0, le=1000)] | None = Decimal(4)
    trailing: Trailing | None = Trailing()


def _rules(value: object) -> object:
    if isinstance(value, RuleDocument):
        return value
    try:
        return parse_rules(value)
    except RuleError as error:
        # The rules know their own path; `parse_config` puts the strategy's before it.
        raise PydanticCustomError("rules", "{message}", {"path": error.path, "message": error.message}) from error


class Bot(_Model):
    """One bot: a strategy on some symbols, with its own size, exits and limits."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
    symbols: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = ("*",)
    """Symbols of the feed, or "*" for all of them."""
    strategy: Annotated[RuleDocument, BeforeValidator(_rules)]
    sizing: Sizing = Sizing()
    exits: Exits = Exits()
    limits: Limits = Limits()
    enabled: bool = True

    @model_validator(mode="after")
    def _spot(self) -> Bot:
        if self.strategy.entry_short is not None or self.strategy.exit_short is not None:
            raise ValueError("entry_short and exit_short need futures, which are not there yet: remove them")
        return self


class AccountConfig(_Model):
    """What holds for the whole account."""

    limits: Limits = Limits(max_open_positions=Limit(hard=Decimal(10)))
    halt_policy: Literal["keep_with_exits", "flatten"] = "keep_with_exits"
    """What HALT does to positions: keep them with their protective exits, or close them."""
    equity_sample_s: Annotated[int, Field(ge=1, le=86_400)] = 900
    """Seconds of input time between two equity samples in the journal."""


class Costs(_Model):
    """What the paper venue charges, in basis points of notional."""

    maker_bps: Annotated[Num, Field(ge=-100, le=1000)] = Decimal(10)
    taker_bps: Annotated[Num, Field(ge=-100, le=1000)] = Decimal(10)
    slippage_bps: Annotated[Num, Field(ge=0, le=1000)] = Decimal(1)


class Config(_Model):
    """The engine document. `warmup_factor` times its period is what a recursive indicator needs before it may trade."""

    schema_version: Annotated[Literal[1], Field(alias="schema")] = 1
    account: AccountConfig = AccountConfig()
    costs: Costs = Costs()
    warmup_factor: Annotated[int, Field(ge=1, le=200)] = 20
    bots: Annotated[tuple[Bot, ...], Field(min_length=1, max_length=64)]

    @model_validator(mode="after")
    def _unique(self) -> Config:
        names = [bot.name for bot in self.bots]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise ValueError(f"two bots are named {twice[0]!r}")
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
        raise ConfigError(path, str(first["msg"]).removeprefix("Value error, ")) from error


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
    """The model inside `Model`, `Model | None`, `tuple[Model, ...]` or `Annotated[...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if found := _model_of(argument):
            return found
    return None


def canonical(config: Config) -> bytes:
    """The canonical JSON of a config: every default written out, decimals as strings, sorted keys."""
    return canonical_json(config.model_dump(mode="python", by_alias=True))


def config_sha256(config: Config) -> str:
    return sha256_hex(canonical(config))


def diff(old: dict[str, Any] | None, new: dict[str, Any]) -> tuple[str, ...]:
    """One line per changed leaf: `path: old -> new`, sorted by path. Bots are told apart by name, not by position."""
    before, after = _leaves(old or {}), _leaves(new)
    lines = []
    for path in sorted(before.keys() | after.keys()):
        if path not in before:
            lines.append(f"{path}: added {after[path]}")
        elif path not in after:
            lines.append(f"{path}: removed (was {before[path]})")
        elif before[path] != after[path]:
            lines.append(f"{path}: {before[path]} -> {after[path]}")
    return tuple(lines)


def _leaves(value: Any, path: str = "") -> dict[str, str]:
    if isinstance(value, dict) and value:
        return {k: v for key in value for k, v in _leaves(value[key], f"{path}.{key}" if path else key).items()}
    if isinstance(value, list) and value:
        out: dict[str, str] = {}
        for index, item in enumerate(value):
            label = item["name"] if isinstance(item, dict) and "name" in item else index
            out |= _leaves(item, f"{path}[{label}]")
        return out
    return {path: "null" if value is None else str(value)}
