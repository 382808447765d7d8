"""What a config changes, for people."""

from __future__ import annotations

from typing import Any

from engine.core.canonical import canonical_json


def diff(old: dict[str, Any] | None, new: dict[str, Any]) -> tuple[str, ...]:
    """One line per changed leaf, `path: old -> new`, sorted by path. What has a name is told apart by it, not by its
    place, and comes or goes in one line."""
    lines: list[str] = []
    _compare("", old or {}, new, lines)
    return tuple(sorted(lines))


def _compare(path: str, old: Any, new: Any, lines: list[str]) -> None:
    before, after = ({} if value is None else _parts(value) for value in (old, new))
    if before is None or after is None or (not before and not after):
        if old != new:
            lines.append(f"{path}: {_shown(old)} -> {_shown(new)}")
        return
    for key in before.keys() | after.keys():
        below = key if key.startswith("[") or not path else f".{key}"
        if key not in before:
            _come_or_gone(f"{path}{below}", after[key], "added", lines)
        elif key not in after:
            _come_or_gone(f"{path}{below}", before[key], "removed", lines)
        else:
            _compare(f"{path}{below}", before[key], after[key], lines)


def _parts(value: Any) -> dict[str, Any] | None:
    """What is compared part by part: objects, and lists of objects; None for a leaf."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and all(isinstance(each, dict) for each in value):
        return {f"[{each.get('name', place)}]": each for place, each in enumerate(value)}
    return None


def _come_or_gone(path: str, value: Any, what: str, lines: list[str]) -> None:
    parts = _parts(value)
    if not parts or "name" in parts:
        lines.append(f"{path}: {what}" if parts else f"{path}: {what} {_shown(value)}")
        return
    for key, part in parts.items():
        _come_or_gone(f"{path}{key if key.startswith('[') else f'.{key}'}", part, what, lines)


def _shown(value: Any) -> str:
    match value:
        case None | [] | {}:
            return "none"
        case bool():
            return "true" if value else "false"
        case list() if not any(isinstance(each, dict) for each in value):
            return ", ".join(map(_shown, value))
        case dict() | list():
            return canonical_json(value).decode()
    return str(value)
