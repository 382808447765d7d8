"""JSON as people write it: whole lines may be // comments, and what is ambiguous is refused."""

from __future__ import annotations

import json
from typing import Any


def document_of(text: str) -> Any:
    """The JSON of a text in which whole lines may be // comments. Raises ValueError, RecursionError."""
    return json.loads(without_comments(text), object_pairs_hook=_once, parse_constant=_no_number)


def without_comments(text: str) -> str:
    """Lines whose first characters are // become empty; the others keep their numbers."""
    return "\n".join("" if line.lstrip().startswith("//") else line for line in text.split("\n"))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a key that is given twice nobody knows which one was meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(n for n in names if names.count(n) > 1)!r} is given twice")
    return found


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")
