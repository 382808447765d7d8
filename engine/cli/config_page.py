"""docs/config.md, made from the models: `python -m engine.cli.config_page > docs/config.md`."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from engine.core.canonical import decimal_text
from engine.core.config import Config
from engine.core.rules import RuleDocument

INTRODUCTION = """# Config

Made from the models by `python -m engine.cli.config_page`; a test compares the two. A config is one JSON document for the
whole engine: `quantsail config example` prints one with comments, `config schema` its JSON Schema, `config check FILE` says
whether a file is good, `config new FILE` stores it as the next version, `config activate N` trades by it.

A file may hold lines that begin with `//`; what is stored is the canonical JSON without them, every default written out, and
its sha256. Numbers may be written as text ("0.1"). Keys that are not on this page are refused.
"""

_SUFFIXES = {"pct": "%", "bps": "basis points", "s": "s", "ms": "ms", "min": "minutes"}
_UNITS = {
    "initial_balance": "currency",
    "max_order_value": "currency",
    "max_position_value": "currency",
    "max_order_quantity": "base units",
    "depth_ticks": "ticks",
    "atr_period": "bars",
    "atr_multiple": "average true ranges",
    "max_jump_atr": "average true ranges",
    "kelly_fraction": "fraction",
    "leverage": "x",
    "max_leverage": "x",
    "day_start_utc_min": "minute of the day",
    "warmup_factor": "periods",
}
_ANYTHING = (Any, object)


def markdown() -> str:
    """The page."""
    return "\n".join([INTRODUCTION, *(part for model, places in parts().items() for part in _part(model, places))])


def parts() -> dict[type[BaseModel], list[str]]:
    """Every model of the document but those of the rules, which have a page of their own, and the paths where they are."""
    found: dict[type[BaseModel], list[str]] = {}
    waiting: list[tuple[str, type[BaseModel]]] = [("$", Config)]
    for path, model in waiting:  # grows while it is walked
        found.setdefault(model, []).append(path)
        for name, field in model.model_fields.items():
            for inner, listed in _models(field.annotation, False):
                if {"soft", "hard"} <= inner.model_fields.keys():
                    found.setdefault(inner, [f"{path}.*"])
                elif inner.__module__ != RuleDocument.__module__:
                    waiting.append((f"{path}.{field.alias or name}{'[]' if listed else ''}", inner))
    return found


def _models(annotation: Any, listed: bool) -> Iterator[tuple[type[BaseModel], bool]]:
    """The models inside an annotation, and whether they are in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, listed
    for argument in get_args(annotation):
        yield from _models(argument, listed or get_origin(annotation) is tuple)


def _part(model: type[BaseModel], places: list[str]) -> Iterator[str]:
    yield f"## {model.__name__}: {', '.join(f'`{place}`' for place in places)}\n"
    yield f"{_line(model.__doc__)}\n"
    rows = [_row(field.alias or name, field) for name, field in model.model_fields.items()]
    yield "| Field | Unit | Values | Default | What it is |\n| --- | --- | --- | --- | --- |\n" + "\n".join(rows) + "\n"


def _row(name: str, field: FieldInfo) -> str:
    cells = (f"`{name}`", unit(name), values(field), _default(field), _line(field.description))
    return "| " + " | ".join(cell.replace("|", "&#124;") for cell in cells) + " |"


def unit(name: str) -> str:
    """By the end of the name, which always says it, or by the name."""
    return _UNITS.get(name) or _SUFFIXES.get(name.rpartition("_")[2] if "_" in name else "", "")


def values(field: FieldInfo) -> str:
    """What the field takes: words, a range, or the part of the document that it is."""
    return _values(field.annotation, list(field.metadata)) or "anything"


def _values(annotation: Any, metadata: list[Any]) -> str:
    arguments = get_args(annotation)
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{word}`" for word in arguments)
    if getattr(annotation, "__metadata__", None):
        return _values(arguments[0], [*metadata, *annotation.__metadata__])
    if type(None) in arguments:
        inner = [_values(each, metadata) for each in arguments if each is not type(None)]
        return f"{' or '.join(inner)}, or null"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "rules" if annotation.__module__ == RuleDocument.__module__ else annotation.__name__
    if get_origin(annotation) is tuple:
        return f"list of{_range(_flat(metadata), '')} {_values(arguments[0], [])}"
    if get_origin(annotation) is dict:
        return (
            "object"
            if arguments[1] in _ANYTHING
            else f"object of {_values(arguments[0], [])}: {_values(arguments[1], [])}"
        )
    if arguments:
        return " or ".join(_values(each, []) for each in arguments)
    flat = _flat(metadata)
    if pattern := next((found for each in flat if (found := getattr(each, "pattern", None))), None):
        return f"text: `{pattern}`"
    if isinstance(annotation, type) and annotation.__mro__[1].__name__ == "StrEnum":
        return ", ".join(f"`{word}`" for word in annotation)  # type: ignore[attr-defined]
    words = {bool: "true, false", int: "a whole number", Decimal: "a number", str: "text"}
    return words.get(annotation, "") + _range(flat, "" if annotation is not str else " characters")


def _flat(metadata: list[Any]) -> list[Any]:
    return [each for one in metadata for each in (one.metadata if isinstance(one, FieldInfo) else [one])]


def _range(metadata: list[Any], what: str) -> str:
    signs = (("gt", ">"), ("ge", ">="), ("min_length", ">="), ("lt", "<"), ("le", "<="), ("max_length", "<="))
    found = [
        f"{sign} {getattr(each, name)}{what}"
        for name, sign in signs
        for each in metadata
        if getattr(each, name, None) is not None
    ]
    return f" {' and '.join(found)}" if found else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return _plain(field.default)


def _plain(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case Decimal():
            return decimal_text(value)
        case BaseModel() if {"soft", "hard"} <= type(value).model_fields.keys():
            told = [f"{name} {decimal_text(v)}" for name in ("soft", "hard") if (v := getattr(value, name)) is not None]
            return ", ".join(told) or "none"
        case BaseModel():
            return "its defaults"
        case tuple() | dict():
            return "[" + ", ".join(f'"{each}"' for each in value) + "]" if isinstance(value, tuple) else "{}"
    return str(value)


def _line(text: str | None) -> str:
    return " ".join((text or "").split())


if __name__ == "__main__":
    print(markdown(), end="")
