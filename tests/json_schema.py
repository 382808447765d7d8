"""A small JSON Schema (2020-12) validator: the keywords that our schema uses, and an error for any other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_KINDS: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "number": (int, float), "integer": (int,), "null": (type(None),),
    "boolean": (bool,),
}  # fmt: skip
_SAYS_NOTHING = {"$defs", "$schema", "title", "description", "default", "discriminator", "const"}


def faults(value: Any, schema: dict[str, Any], root: dict[str, Any], path: str = "$") -> Iterator[str]:
    """What is wrong with `value`, each as path and keyword."""
    for keyword, rule in schema.items():
        check = _CHECKS.get(keyword)
        if check is not None:
            yield from check(value, rule, schema, root, path)
        elif keyword not in _SAYS_NOTHING:
            raise NotImplementedError(keyword)
    if "const" in schema and value != schema["const"]:
        yield f"{path}: const"


def _type(value: Any, rule: Any, schema: Any, root: Any, path: str) -> Iterator[str]:
    if not isinstance(value, _KINDS[rule]) or (isinstance(value, bool) and rule != "boolean"):
        yield f"{path}: type {rule}"


def _ref(value: Any, rule: str, schema: Any, root: Any, path: str) -> Iterator[str]:
    yield from faults(value, root["$defs"][rule.removeprefix("#/$defs/")], root, path)


def _any(value: Any, rule: Any, schema: Any, root: Any, path: str) -> Iterator[str]:
    found = [list(faults(value, each, root, path)) for each in rule]
    if all(found):
        yield f"{path}: none of {[fault for each in found for fault in each]}"


def _properties(value: Any, rule: Any, schema: Any, root: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in rule.items():
            if key in value:
                yield from faults(value[key], inner, root, f"{path}.{key}")


def _additional(value: Any, rule: Any, schema: Any, root: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key in value.keys() - schema.get("properties", {}).keys():
            patterns = schema.get("patternProperties", {})
            if any(re.search(pattern, key) for pattern in patterns) or rule is True:
                continue
            yield from [f"{path}.{key}: unknown"] if rule is False else faults(value[key], rule, root, f"{path}.{key}")


def _patterned(value: Any, rule: Any, schema: Any, root: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key in value:
            for pattern, inner in rule.items():
                if re.search(pattern, key):
                    yield from faults(value[key], inner, root, f"{path}.{key}")


def _required(value: Any, rule: Any, schema: Any, root: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (f"{path}.{key}: required" for key in rule if key not in value)


def _items(value: Any, rule: Any, schema: Any, root: Any, path: str) -> Iterator[str]:
    if isinstance(value, list):
        for n, each in enumerate(value):
            yield from faults(each, rule, root, f"{path}[{n}]")


def _enum(value: Any, rule: Any, schema: Any, root: Any, path: str) -> Iterator[str]:
    if value not in rule:
        yield f"{path}: enum"


def _pattern(value: Any, rule: str, schema: Any, root: Any, path: str) -> Iterator[str]:
    if isinstance(value, str) and not re.search(rule, value):
        yield f"{path}: pattern"


def _bound(fits: Any, kinds: tuple[type, ...], size: Any = lambda value: value) -> Any:
    def check(value: Any, rule: Any, schema: Any, root: Any, path: str) -> Iterator[str]:
        if isinstance(value, kinds) and not isinstance(value, bool) and not fits(size(value), rule):
            yield f"{path}: beyond {rule}"

    return check


_NUMBER = (int, float)
_CHECKS: dict[str, Any] = {
    "type": _type, "$ref": _ref, "anyOf": _any, "oneOf": _any, "properties": _properties, "additionalProperties": _additional,
    "patternProperties": _patterned, "required": _required, "items": _items, "enum": _enum, "pattern": _pattern,
    "minimum": _bound(lambda v, r: v >= r, _NUMBER), "maximum": _bound(lambda v, r: v <= r, _NUMBER),
    "exclusiveMinimum": _bound(lambda v, r: v > r, _NUMBER), "exclusiveMaximum": _bound(lambda v, r: v < r, _NUMBER),
    "minItems": _bound(lambda v, r: v >= r, (list,), len), "maxItems": _bound(lambda v, r: v <= r, (list,), len),
    "minLength": _bound(lambda v, r: v >= r, (str,), len), "maxLength": _bound(lambda v, r: v <= r, (str,), len),
    "minProperties": _bound(lambda v, r: v >= r, (dict,), len), "maxProperties": _bound(lambda v, r: v <= r, (dict,), len),
}  # fmt: skip
