"""A config document as a list of settings: one row a value, typed one at a time, always a whole document that is valid or not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from decimal import Decimal
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel

from engine.core.config import Config, ConfigError, parse_config

Path = tuple[str | int, ...]
#: Parts that are one value here: rules are trees, and a form of trees is a worse editor.
WHOLE = frozenset({"strategy", "risk_rules"})


class Setting(NamedTuple):
    """`key` names it as a refusal would: bots[trend].exits.stop_loss_pct."""

    key: str
    path: Path
    text: str


def settings(document: Any) -> list[Setting]:
    """Every value of a document, in its order; `text` is how it is typed."""
    return list(_settings(document, "", ()))


def _settings(value: Any, key: str, path: Path) -> Iterator[Setting]:
    whole = bool(path) and path[-1] in WHOLE
    if isinstance(value, dict) and value and not whole:
        for name, inner in value.items():
            yield from _settings(inner, f"{key}.{name}" if key else name, (*path, name))
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value) and not whole:
        for at, inner in enumerate(value):
            name = inner.get("name", at) if isinstance(inner, dict) else at
            yield from _settings(inner, f"{key}[{name}]", (*path, at))
    else:
        yield Setting(key, path, typed(value))


def typed(value: Any) -> str:
    """A value as it is typed: text without quotes, none for null, the rest as JSON."""
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def read(text: str, before: Any) -> Any:
    """What was typed, as JSON where it is some; a number stays text where the value was text: money is never a float."""
    text = text.strip()
    if text.lower() in ("none", "null", ""):
        return None
    try:
        value = json.loads(text, parse_float=str)
    except ValueError:
        return text
    return text if isinstance(before, str) and isinstance(value, int) and not isinstance(value, bool) else value


def value_at(document: Any, path: Path) -> Any:
    for step in path:
        document = document[step]
    return document


def replaced(document: Any, path: Path, value: Any) -> Any:
    """A copy of the document with one other value."""
    changed = deepcopy(document)
    value_at(changed, path[:-1])[path[-1]] = value
    return changed


def whole(document: Any) -> Any:
    """The document with every default written out. Raises ConfigError with the path of what is wrong."""
    return json.loads(json.dumps(parse_config(document).model_dump(mode="json", by_alias=True), default=_plain))


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(type(value).__name__)


def refusal(document: Any) -> str:
    """Why a document is no config, with the path; "" when it is one."""
    try:
        parse_config(document)
    except ConfigError as error:
        return str(error)
    return ""


def words(path: Path) -> str:
    """What a setting means, from the model's own text; "" where it has none."""
    model: type[BaseModel] | None = Config
    found = ""
    for step in path:
        if isinstance(step, int):
            continue
        fields = model.model_fields if model is not None else {}
        field = fields.get(step) or next((f for f in fields.values() if f.alias == step), None)
        if field is None:
            return found
        found = " ".join((field.description or "").split())
        model = _model_in(field.annotation)
    return found


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)
