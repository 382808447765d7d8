"""Every screen in every theme at three sizes, as rows of digests: small enough to commit, and a change is found by its row.

    python screenshots/make.py --themes        writes digests.txt anew

A line is `screen size theme` and four hexadecimal digits a row. `text` in the place of a theme are the letters alone, which no
theme may change; a theme's digits are of letters, colours and attributes together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from textual.strip import Strip

from screenshots.make import FOLDER, SIZES, played, settled, still_screen
from screenshots.stage import Stage, StageClock, StillClient, scratch
from tui.app import CockpitApp
from tui.theme import THEMES

TABLE = FOLDER / "digests.txt"
NAMES = tuple(theme.name.removeprefix("quantsail-") for theme in THEMES)
#: How one gets to each screen from the one before it; the key that leaves it again.
VIEWS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "dashboard": (("1",), ()),
    "orders": (("2",), ()),
    "events": (("3",), ()),
    "charts": (("4",), ()),
    "gates": (("5",), ()),
    "configs": (("6", "g"), ()),
    "bots": (("7",), ()),
    "operations": (("0",), ()),
    "help": (("1", "question_mark"), ("escape",)),
    "close": (("1", "tab", "shift+tab", "X"), ("escape",)),
    "kill": (("1", "f9"), ("escape",)),
}


class Seen(NamedTuple):
    """One screen at one size: its rows as letters, and in each theme its rows as strips."""

    name: str
    size: tuple[int, int]
    text: list[str]
    themed: dict[str, list[Strip]]


async def looked_at(stage: Stage, size: tuple[int, int], themes: Sequence[str] = NAMES) -> list[Seen]:
    """All screens at a size, from one cockpit."""
    found, clock = [], StageClock()
    app = CockpitApp(StillClient(stage.client, clock), crash_log=None, clock=clock)
    with still_screen():
        async with app.run_test(size=size) as pilot:
            await settled(app, pilot, stage, clock)
            for name, (way, back) in VIEWS.items():
                for key in way:
                    await pilot.press(key)
                    await settled(app, pilot, stage, clock)
                themed = {}
                for theme in themes:
                    app.theme = f"quantsail-{theme}"
                    await pilot.pause()  # and no look at the clock: the kill dialog would not wait
                    app.tick()
                    await pilot.pause()
                    themed[theme] = [strip.simplify() for strip in app.screen._compositor.render_strips()]
                found.append(Seen(name, size, [strip.text for strip in themed[themes[0]]], themed))
                for key in back:
                    await pilot.press(key)
                    await settled(app, pilot, stage, clock)
    return found


def digests(seen: Seen) -> dict[str, str]:
    """Lines of the table by what they are of."""
    where = f"{seen.name} {seen.size[0]}x{seen.size[1]}"
    lines = {f"{where} text": " ".join(_digest(row) for row in seen.text)}
    for theme, strips in seen.themed.items():
        rows = ("".join(f"{segment.text}\0{segment.style}\0" for segment in strip) for strip in strips)
        lines[f"{where} {theme}"] = " ".join(_digest(row) for row in rows)
    return lines


def _digest(row: str) -> str:
    return hashlib.sha256(row.encode()).hexdigest()[:4]


def read_table(file: Path = TABLE) -> dict[str, str]:
    """What is committed."""
    parts = (line.split(" ", 3) for line in file.read_text(encoding="utf-8").splitlines())
    return {" ".join(part[:3]): part[3] for part in parts}


def differences(known: Mapping[str, str], seen: Seen) -> list[str]:
    """What is another picture than the committed one, row by row, in words."""
    found = []
    for where, line in digests(seen).items():
        before, after = known.get(where, "").split(), line.split()
        rows = [n for n, digest in enumerate(after) if n >= len(before) or before[n] != digest]
        if rows:
            found.append(f"{where}: {len(rows)} of {len(after)} rows differ" + _rows(seen, rows[:5]))
    return found


def _rows(seen: Seen, rows: Sequence[int]) -> str:
    return "".join(f"\n  row {n}: {seen.text[n].rstrip()}" for n in rows)


async def write_table() -> int:
    """Draw everything and write it; how many lines that are."""
    lines: dict[str, str] = {}
    for size in SIZES:
        with scratch() as folder:  # a hold of one size must not be among the events of the next
            for seen in await looked_at(await played(Path(folder)), size):
                lines |= digests(seen)
    TABLE.write_text("".join(f"{where} {line}\n" for where, line in lines.items()), encoding="utf-8")
    return len(lines)
