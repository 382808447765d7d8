"""The register of the conformance suite: numbered rows, and the page made of them (docs/venue-conformance.md)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tests.venue.desk import MODES, Make

GROUPS = {
    "A": "Acknowledgements",
    "R": "Rejections, each with its code",
    "T": "Types and times in force",
    "P": "Partial fills and depth",
    "Q": "Queue",
    "C": "Cancels",
    "D": "Reduce-only",
    "O": "OCO groups",
    "G": "Triggers and gaps",
    "F": "Fees",
    "L": "Liquidation",
    "S": "Restart",
    "N": "Determinism",
}


class Row(msgspec.Struct, frozen=True):
    number: str
    words: str
    modes: tuple[str, ...]
    check: Callable[[Make], None]


ROWS: list[Row] = []


def row(
    group: str, words: str, modes: tuple[str, ...] = MODES
) -> Callable[[Callable[[Make], None]], Callable[[Make], None]]:
    """Register a row; its number counts within the group."""

    def register(check: Callable[[Make], None]) -> Callable[[Make], None]:
        count = sum(r.number.startswith(group) for r in ROWS) + 1
        ROWS.append(Row(f"{group}{count:02d}", words, modes, check))
        return check

    return register


TICKS = ("L1", "L2")
BARS = ("bars",)


def page() -> str:
    """The table of rows, as docs/venue-conformance.md shows it."""
    lines = [
        "# What any venue must do",
        "",
        f"{len(ROWS)} rows that every implementation of the Venue port passes, in each mode that it has: **bars** (only closed",
        "bars are known), **L1** (best bid and ask, trades) and **L2** (depth, trades). The paper venue runs them in all three;",
        "a live venue runs those that its exchange's test network can act out. The rows are code in `tests/venue`, and this page",
        "is made of them: `python -m tests.venue.test_conformance > docs/venue-conformance.md`.",
    ]
    for group, title in GROUPS.items():
        lines += ["", f"## {group}: {title}", "", "| row | what must hold | modes |", "|---|---|---|"]
        lines += [f"| {r.number} | {r.words} | {', '.join(r.modes)} |" for r in ROWS if r.number.startswith(group)]
    return "\n".join(lines) + "\n"
