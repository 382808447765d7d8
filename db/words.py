"""A rule's explain tree in words: "fast 101.2 crosses above slow 100.9 and rsi 55.1 < 70"."""

from __future__ import annotations

from typing import Any

_OPS = {
    "gt": ">",
    "ge": ">=",
    "lt": "<",
    "le": "<=",
    "crosses_above": "crosses above",
    "crosses_below": "crosses below",
}
LENGTH_MAX = 1_000


def reason_of(trace: dict[str, Any], kind: str, side: str = "LONG") -> str:
    """Why a signal of `kind` (ENTRY, EXIT) for a position of `side` fired, at most 1,000 characters; the kind alone for a trace
    without its rule, as a Python strategy gives."""
    tree = trace.get(f"{kind}_{side}".lower())
    text = _words(tree) if isinstance(tree, dict) else kind.lower()
    return text if len(text) <= LENGTH_MAX else f"{text[: LENGTH_MAX - 1]}…"


def _words(tree: dict[str, Any]) -> str:
    op, inner = str(tree.get("op", "?")), tree.get("of") or []
    if op in _OPS:
        return f"{_side(tree['left'])} {_OPS[op]} {_side(tree['right'])}"
    if op in ("all", "any"):
        return (" and " if op == "all" else " or ").join(_inner(child) for child in inner)
    if op == "not":
        return f"not {_inner(inner[0])}"
    return f"{op} {tree.get('bars', '?')} bars: {_inner(inner[0])}" if inner else op


def _inner(tree: dict[str, Any]) -> str:
    text = _words(tree)
    return f"({text})" if len(tree.get("of") or []) > 1 else text


def _side(side: dict[str, Any]) -> str:
    value = str(side.get("value", "?"))
    try:
        shown = f"{float(value):.6g}"
    except ValueError:
        shown = value
    return f"{side['series']} {shown}" if "series" in side else shown
