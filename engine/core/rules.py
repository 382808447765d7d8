"""Strategies as data: the rule document, checked whole at load so that nothing can fail on a bar. Never evaluated as code.

    {"schema": 1, "indicators": {"fast": {"fn": "EMA", "params": {"timeperiod": 12}}},
     "entry_long": {"op": "crosses_above", "left": "close", "right": "fast"}}

Operators: gt ge lt le | crosses_above crosses_below | all any not | within held. An operand is a number or a series: a
price, an indicator's output, a feature. What the operators mean is in `engine.core.evaluate`, with examples in
docs/strategies.md.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    ValidationError,
    model_validator,
)

from engine.core import indicators as ta
from engine.core.canonical import canonical_json, sha256_hex
from engine.core.types import TIMEFRAMES_US

DEPTH_MAX = 8
NODES_MAX = 128
INDICATORS_MAX = 32
PERIOD_MAX = 1000
BARS_MAX = 500
#: Series that come from outside the candle (`Feature` inputs), beside every name of the pattern `_FEATURE`. Accepted by name;
#: unknown until a feed gives them, and when they are stale.
FEATURES = frozenset({"bias_1h", "bias_4h", "bias_24h", "funding_rate"})
RULES = ("entry_long", "exit_long", "entry_short", "exit_short")

_FEATURE = re.compile(r"feature_[a-z0-9_]{1,24}")
_NESTING_MAX = 2 * DEPTH_MAX + 8  # JSON levels; more cannot be a valid document and would cost the parser its stack
_VALUES_MAX = 4096


class RuleError(Exception):
    """A document that is refused: `path` is the JSON path, `message` one line with the remedy."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


def _number(value: object) -> int | float:
    """A finite number; integral ones become int, so that 12 and 12.0 are one document."""
    if (
        type(value) not in (int, float)
        or not isinstance(value, (int, float))
        or abs(value) > 1e300
        or not isfinite(value)
    ):
        raise ValueError("must be a finite number")
    return int(value) if value == int(value) and abs(value) <= 2**53 else float(value)


def _operand(value: object) -> int | float | str:
    return value if isinstance(value, str) else _number(value)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}\z")]
Number = Annotated[int | float, PlainValidator(_number, json_schema_input_type=int | float)]
Operand = Annotated[int | float | str, PlainValidator(_operand, json_schema_input_type=int | float | str)]
Conditions = Annotated[tuple["Condition", ...], Field(min_length=1, max_length=NODES_MAX, strict=False)]
Bars = Annotated[int, Field(ge=1, le=BARS_MAX)]


class Indicator(_Model):
    """A function over the stream's bars, or over those of a timeframe, made of the stream's (`engine.core.timeframes`)."""

    fn: str
    """Name of the function, as in docs/strategies.md."""
    params: dict[str, Number] = {}
    """Its parameters; those not given have the function's defaults."""
    timeframe: str | None = None
    """Length of its bars, a multiple of the stream's; null: the stream's own."""


class Compare(_Model):
    """Greater, greater or equal, less, less or equal."""

    op: Literal["gt", "ge", "lt", "le"]
    """Which comparison."""
    left: Operand
    """A number or the name of a series."""
    right: Operand
    """A number or the name of a series."""


class Cross(_Model):
    """Beyond on this bar, and not yet on the bar before."""

    op: Literal["crosses_above", "crosses_below"]
    """In which direction `left` crosses `right`."""
    left: Operand
    """A number or the name of a series."""
    right: Operand
    """A number or the name of a series."""


class Group(_Model):
    """Every part, or at least one of them."""

    op: Literal["all", "any"]
    """How many of the parts must be true."""
    of: Conditions
    """The parts."""


class Not(_Model):
    """The opposite; of unknown it is unknown."""

    op: Literal["not"]
    """Turns its part around."""
    of: Condition
    """The part."""


class Window(_Model):
    """`within`: true on at least one of the last `bars` bars, this one included. `held`: true on every one of them."""

    op: Literal["within", "held"]
    """Whether once is enough."""
    bars: Bars
    """How many bars back, this one included."""
    of: Condition
    """The part."""


Condition = Annotated[Compare | Cross | Group | Not | Window, Field(discriminator="op")]
_SHAPES: dict[str, type[_Model]] = {
    **dict.fromkeys(("gt", "ge", "lt", "le"), Compare),
    **dict.fromkeys(("crosses_above", "crosses_below"), Cross),
    **dict.fromkeys(("all", "any"), Group),
    "not": Not,
    **dict.fromkeys(("within", "held"), Window),
}


class RuleDocument(_Model):
    """A whole strategy. An instance is valid by construction: its validators raise RuleError with the place of the fault."""

    schema_: Annotated[Literal[1], BeforeValidator(_number)] = Field(alias="schema")
    """Version of this format."""
    indicators: dict[Name, Indicator] = Field(default={}, max_length=INDICATORS_MAX)
    """Indicators by a name of your own, which is the name of their series."""
    entry_long: Condition | None = None
    """When to buy; null: never."""
    exit_long: Condition | None = None
    """When to sell what was bought; null: never, the bot's exits do."""
    entry_short: Condition | None = None
    """When to sell short; null: never."""
    exit_short: Condition | None = None
    """When to buy back; null: never, the bot's exits do."""

    @model_validator(mode="after")
    def _resolved(self) -> RuleDocument:
        series = _declared_series(self.indicators)
        if self.entry_long is None and self.entry_short is None:
            raise RuleError("$", "has nothing to enter on: give it entry_long, entry_short or both")
        nodes = 0
        for name, rule in self.rules():
            for path, depth, condition in walk(rule, f"$.{name}"):
                nodes += 1
                if depth > DEPTH_MAX:
                    raise RuleError(path, f"a rule is at most {DEPTH_MAX} levels deep: flatten it")
                if nodes > NODES_MAX:
                    raise RuleError(path, f"a document has at most {NODES_MAX} conditions: simplify it")
                if isinstance(condition, (Compare, Cross)):
                    for side in ("left", "right"):
                        operand = getattr(condition, side)
                        if isinstance(operand, str) and operand not in series and not is_feature(operand):
                            raise RuleError(f"{path}.{side}", unknown("series", operand, series))
        return self

    def rules(self) -> Iterator[tuple[str, Condition]]:
        """The rules that the document has, in the order of RULES."""
        for name in RULES:
            rule = getattr(self, name)
            if rule is not None:
                yield name, rule

    def features(self) -> list[str]:
        """The features that its rules read, sorted."""
        trees = (condition for _, rule in self.rules() for _, _, condition in walk(rule))
        leaves = (condition for condition in trees if isinstance(condition, (Compare, Cross)))
        operands = {operand for leaf in leaves for operand in (leaf.left, leaf.right)}
        return sorted(operand for operand in operands if isinstance(operand, str) and is_feature(operand))

    def canonical(self) -> bytes:
        """Canonical JSON of the document; what equals a default is left out, so that spelling it out changes nothing."""
        return canonical_json(self.model_dump(by_alias=True, exclude_defaults=True))

    @property
    def sha256(self) -> str:
        """Identity of the document: sha256 of `canonical()`."""
        return sha256_hex(self.canonical())


def walk(condition: Condition, path: str = "$", depth: int = 1) -> Iterator[tuple[str, int, Condition]]:
    """Every condition of a tree before its children, with JSON path and depth (the root has depth 1)."""
    yield path, depth, condition
    for index, child in enumerate(children(condition)):
        at = f"{path}.of[{index}]" if isinstance(condition, Group) else f"{path}.of"
        yield from walk(child, at, depth + 1)


def children(condition: Condition) -> tuple[Condition, ...]:
    """The conditions directly inside."""
    if isinstance(condition, Group):
        return condition.of
    return (condition.of,) if isinstance(condition, (Not, Window)) else ()


def is_feature(name: str) -> bool:
    """Whether a series of this name comes from `Feature` inputs: one of FEATURES, or `feature_` and at most 24 of a-z 0-9 _."""
    return name in FEATURES or _FEATURE.fullmatch(name) is not None


def parse_rules(obj: object) -> RuleDocument:
    """The document of decoded JSON. Raises RuleError for the first fault found."""
    _check_size(obj)
    try:
        return RuleDocument.model_validate(obj)
    except ValidationError as error:
        raise _first_fault(obj, error) from None


# -- checks against TA-Lib's metadata ------------------------------------------------------------------------------------


def _declared_series(declared: Mapping[str, Indicator]) -> frozenset[str]:
    """Every series name that a rule may use. The bare name of an indicator with several outputs is taken, yet no series."""
    owner = dict.fromkeys((*ta.PRICES, *FEATURES), "the candle and the feeds")
    series = set(owner)
    for name, indicator in declared.items():
        path = f"$.indicators.{name}"
        _check_indicator(path, indicator)
        outputs = ta.output_names(name, indicator.fn)
        for taken in sorted({name, *outputs}):
            if taken in owner:
                raise RuleError(path, f"series {taken!r} is already declared by {owner[taken]}: choose another name")
            if is_feature(taken):
                raise RuleError(
                    path, f"series {taken!r} would be a feature, as all of feature_...: choose another name"
                )
            owner[taken] = path
        series.update(outputs)
    return frozenset(series)


def _check_indicator(path: str, indicator: Indicator) -> None:
    fn, params = indicator.fn, indicator.params
    if fn in ta.EXCLUDED:
        raise RuleError(f"{path}.fn", f"{fn} is not offered: {ta.EXCLUDED[fn]}")
    if fn not in ta.offered():
        raise RuleError(f"{path}.fn", unknown("function", fn, ta.offered()))
    spec = ta.function(fn)
    known = spec.parameters
    if missing := sorted(spec.required - params.keys()):
        raise RuleError(f"{path}.params", f"{fn} needs {missing[0]!r}: it has no default")
    for key, value in params.items():
        at = f"{path}.params{_step(key)}"
        if key not in known:
            raise RuleError(at, unknown(f"parameter of {fn}", key, known))
        if isinstance(known[key], int) and not isinstance(value, int):
            raise RuleError(at, f"must be a whole number, not {value}")
        if "period" in key and not 1 <= value <= PERIOD_MAX:
            raise RuleError(at, f"must be within 1..{PERIOD_MAX}")
        if isinstance(known[key], int) and not 0 <= value <= PERIOD_MAX:
            raise RuleError(at, f"must be within 0..{PERIOD_MAX}")
    if ta.lookback(fn, params) < 0:
        given = ", ".join(f"{key}={value}" for key, value in params.items())
        raise RuleError(f"{path}.params", f"TA-Lib refuses {fn}({given}): a value is out of its range")
    if indicator.timeframe is not None and indicator.timeframe not in TIMEFRAMES_US:
        raise RuleError(f"{path}.timeframe", unknown("timeframe", indicator.timeframe, TIMEFRAMES_US))


# -- faults in words -----------------------------------------------------------------------------------------------------


def _quote(text: str) -> str:
    """Outside text for a message: ASCII, no control characters, short."""
    return ascii(text if len(text) <= 40 else text[:37] + "...")


def _step(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if re.fullmatch(r"[A-Za-z_]\w{0,39}", key, re.ASCII) else f"[{_quote(key)}]"


def unknown(what: str, given: str, known: Iterable[str]) -> str:
    """That `given` is none of the known names, with the nearest of them, in one safe line."""
    names = sorted(known)
    near = difflib.get_close_matches(given[:64], names, n=1, cutoff=0.5)
    near = near or difflib.get_close_matches(given[:64].upper(), names, n=1, cutoff=0.5)
    near = near or [name for name in names if name.startswith(given + "_")][:1]
    if near:
        return f"unknown {what} {_quote(given)}; did you mean {near[0]!r}?"
    listed = ", ".join(names) if len(names) <= 16 else f"one of {len(names)} names"
    return f"unknown {what} {_quote(given)}; known: {listed or 'none'}"


def _check_size(obj: object) -> None:
    """Refuse what is too deep or too big before any recursion sees it."""
    stack: list[tuple[Any, int]] = [(obj, 0)]
    seen = 0
    while stack:
        value, depth = stack.pop()
        seen += 1
        if depth > _NESTING_MAX:
            raise RuleError("$", f"nested too deep: a rule is at most {DEPTH_MAX} levels deep")
        if seen > _VALUES_MAX:
            raise RuleError("$", f"too large: a document has at most {NODES_MAX} conditions")
        if isinstance(value, Mapping):
            stack += [(child, depth + 1) for child in value.values()]
        elif isinstance(value, (list, tuple)):
            stack += [(child, depth + 1) for child in value]


def _first_fault(obj: object, error: ValidationError) -> RuleError:
    """Pydantic's faults as one: an unknown key before a missing one, since it is mostly the misspelled other."""
    faults = error.errors(include_url=False, include_input=True)
    fault = next((each for each in faults if each["type"] == "extra_forbidden"), faults[0])
    path, parent = _locate(obj, fault["loc"])
    last = fault["loc"][-1] if fault["loc"] else ""
    match fault["type"]:
        case "extra_forbidden":
            return RuleError(path, unknown("key", str(last), _keys_of(parent, fault["loc"])))
        case "missing":
            return RuleError(path, "is missing")
        case "union_tag_not_found":
            return RuleError(path, f"a condition needs an 'op': {', '.join(_SHAPES)}")
        case "union_tag_invalid":
            return RuleError(f"{path}.op", unknown("operator", str(fault["ctx"]["tag"]), _SHAPES))
        case "string_pattern_mismatch":
            return RuleError(path, "a name is lower case, starts with a letter and has at most 32 of a-z 0-9 _")
        case "literal_error" if last == "schema":
            return RuleError(path, "this version reads schema 1")
        case "too_short":
            return RuleError(path, "needs at least one condition")
        case "model_type" | "model_attributes_type" | "dict_type":
            return RuleError(path, "must be an object")
        case "value_error":
            return RuleError(path, str(fault["ctx"]["error"]))
        case _:
            return RuleError(path, " ".join(fault["msg"].split()))


def _locate(obj: object, loc: Sequence[str | int]) -> tuple[str, Any]:
    """JSON path of a pydantic location (which also names the union's tags), and the object that holds its last step."""
    path, parent, tagged = "$", obj, True
    node: Any = obj
    for step in loc:
        if not tagged and isinstance(node, Mapping) and node.get("op") == step:
            tagged = True
            continue
        if step == "[key]":
            continue
        path, parent = path + _step(step), node
        try:
            node = node[step]
        except (KeyError, IndexError, TypeError):  # a key that is missing
            node = None
        tagged = not (isinstance(node, Mapping) and "op" in node)
    return path, parent


def _keys_of(parent: Any, loc: Sequence[str | int]) -> list[str]:
    if isinstance(parent, Mapping) and isinstance(parent.get("op"), str) and parent["op"] in _SHAPES:
        shape: type[BaseModel] = _SHAPES[parent["op"]]
    else:
        shape = Indicator if loc[0] == "indicators" and len(loc) > 1 else RuleDocument
    return [field.alias or name for name, field in shape.model_fields.items()]


for _shape in (Group, Not, Window, RuleDocument):
    _shape.model_rebuild()
