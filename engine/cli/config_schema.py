"""The config as a JSON Schema (2020-12), for editors and for other programs; and what its fields are, for docs/config.md."""

from __future__ import annotations

from typing import Any

from engine.core.config import Config

#: A number may be written as text, so that no program on its way turns 0.1 into something else.
DECIMAL_PATTERN = r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$"
#: What pydantic writes of a Decimal with bounds, in words that JSON Schema knows.
_BOUNDS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}


def json_schema() -> dict[str, Any]:
    """A document that it accepts may still be refused: by a rule that reads an unknown series, by limits that contradict
    each other, by a strategy that is not installed. `quantsail config check` looks at all of it."""
    schema: dict[str, Any] = _fitted(Config.model_json_schema(by_alias=True))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Quantsail config"}


def _fitted(node: Any) -> Any:
    if isinstance(node, list):
        return [_fitted(each) for each in node]
    if not isinstance(node, dict):
        return node
    # Rust's end of text, in patterns of values and of keys, is "$" elsewhere.
    node = {key.replace(r"\z", "$"): _fitted(value) for key, value in node.items()}
    kinds = [each.get("type") for each in node.get("anyOf", ()) if isinstance(each, dict)]
    if kinds == ["number", "string"]:
        bounds = {_BOUNDS[key]: node.pop(key) for key in _BOUNDS if key in node}
        node["anyOf"] = [{"type": "number", **bounds}, {"type": "string", "pattern": DECIMAL_PATTERN}]
    if isinstance(node.get("pattern"), str):
        node["pattern"] = node["pattern"].replace(r"\z", "$")
    return node
