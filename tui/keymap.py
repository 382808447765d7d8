"""Remapped keys: what a settings file asks for, checked against the registry. The kill key stays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from textual.keys import Keys, _character_to_key

from engine.core.text import safe_text
from tui.actions import ACTIONS, Action, find, key_name

_NAMED = frozenset(key.value for key in Keys if "<" not in key.value) | {f"f{n}" for n in range(1, 25)}
_MODIFIERS = frozenset({"ctrl", "shift", "alt"})
#: Keys that dialogs answer with: an action that is heard before the dialog must not take them.
_ANSWERS = frozenset(
    {"enter", "escape", "tab", "shift+tab", "space", "backspace", "delete", "left", "right", "up", "down"}
)
KEYS_MAX = 8


class KeymapError(Exception):
    """A mapping that cannot be. The text begins with the action's name."""


def checked(asked: Mapping[str, str | list[str]]) -> dict[str, tuple[str, ...]]:
    """Actions' names -> keys in Textual's spelling. Raises KeymapError for unknown names, keys that are none, and collisions."""
    mapped: dict[str, tuple[str, ...]] = {}
    for name, keys in asked.items():
        action = _action(name)
        wanted = [keys] if isinstance(keys, str) else keys
        if not 1 <= len(wanted) <= KEYS_MAX:
            raise KeymapError(f"{name}: give it 1 to {KEYS_MAX} keys")
        mapped[name] = tuple(dict.fromkeys(_key(name, key) for key in wanted))
        if action.priority:
            _refuse_what_types(name, mapped[name])
    _refuse_collisions(mapped)
    return mapped


def _action(name: str) -> Action:
    try:
        action = find(name)
    except LookupError:
        near = get_close_matches(name, [a.name for a in ACTIONS if a.remappable], 1, 0.5)
        hint = f"; did you mean {near[0]}?" if near else "; the names are in docs/keys.md"
        raise KeymapError(f"{safe_text(name, 40)}: there is no such action{hint}") from None
    if not action.remappable:
        raise KeymapError(f"{name}: the kill key is the same on every machine and cannot be remapped")
    return action


def _key(name: str, text: str) -> str:
    """A key in Textual's spelling. Raises KeymapError."""
    if len(text) == 1:
        if text.isprintable() and not text.isspace():
            return _character_to_key(text)
    else:
        *modifiers, last = text.lower().split("+")
        plain = last in _NAMED or (len(last) == 1 and last.isalnum() and last.isascii())
        if (
            plain
            and (modifiers or last in _NAMED)
            and set(modifiers) <= _MODIFIERS
            and len(set(modifiers)) == len(modifiers)
        ):
            return "+".join([*sorted(modifiers), last])
    near = get_close_matches(text.lower(), _NAMED, 1, 0.6)
    hint = f"did you mean {near[0]}?" if near else 'write "p", "P", "?", "f5", "ctrl+t", "pagedown"'
    raise KeymapError(f"{name}: {safe_text(text, 24)!r} is no key; {hint}")


def _refuse_what_types(name: str, keys: Iterable[str]) -> None:
    for key in keys:
        if key in _ANSWERS or not (key.startswith(("ctrl+", "alt+")) or (key[0] == "f" and key[1:].isdigit())):
            raise KeymapError(
                f"{name}: {key_name(key)} is needed inside inputs and dialogs, where this key acts too; take a ctrl+ or f key"
            )


def _refuse_collisions(mapped: Mapping[str, tuple[str, ...]]) -> None:
    """Two actions that can be meant at once must not share a key, unless the registry itself lets them (chart before app)."""
    for name, keys in mapped.items():
        action = find(name)
        for other in ACTIONS:
            if other.name == name or not _meet(action, other):
                continue
            theirs = mapped.get(other.name, other.keys)
            for key in keys:
                if key in theirs and not (key in action.keys and key in other.keys):
                    raise KeymapError(f"{name}: {key_name(key)} is the key of {other.name} ({other.label}) already")


def _meet(one: Action, other: Action) -> bool:
    """Whether both can be meant by a key pressed at the same place: everywhere, and a widget on a screen."""
    targets = {one.target, other.target}
    widgets = targets & {"table", "chart"}
    return len(targets) == 1 or "app" in targets or (len(widgets) == 1)
