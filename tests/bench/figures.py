"""What is measured, and how it is said: samples by figure, their median and range, a table, JSON, a block of a page.

Every figure is the median of its samples with the range beside it (decisions.md 32). A budget is a goal that a reader
judges, never a test: this machine is shared, and the next one is another.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

BEGIN = "<!-- figures: written by tests/bench/run.py, do not edit -->"
END = "<!-- end of figures -->"
SECTION = "### "


class FigureError(Exception):
    """A figure that nobody declared, or a page without its marked block; one line with the remedy."""


class Figure(NamedTuple):
    """One row. `budget` is a most (or a least, with `at_least`); None where the figure only stands beside another."""

    key: str
    title: str
    unit: str
    digits: int = 0
    budget: float | None = None
    at_least: bool = False

    def meets(self, value: float) -> bool | None:
        """Whether `value` is within the budget; None without one."""
        if self.budget is None:
            return None
        return value >= self.budget if self.at_least else value <= self.budget

    def say(self, value: float) -> str:
        return f"{value:,.{self.digits}f}"


class Section(NamedTuple):
    title: str
    figures: tuple[Figure, ...]


class Book:
    """Samples of the declared figures, in the order of `sections`."""

    def __init__(self, sections: tuple[Section, ...]) -> None:
        self.sections = sections
        self.notes: list[str] = []
        self._samples: dict[str, list[float]] = {f.key: [] for section in sections for f in section.figures}

    def add(self, key: str, *values: float) -> None:
        """Raises FigureError for a key that no section declares."""
        if key not in self._samples:
            raise FigureError(f"no figure is called {key}: declare it in tests/bench/plan.py")
        self._samples[key] += values

    def note(self, text: str) -> None:
        """What a reader must know, said once under the table: a part that was skipped, and why."""
        if text not in self.notes:
            self.notes.append(text)

    def measured(self) -> Iterator[tuple[Section, Figure, list[float]]]:
        for section in self.sections:
            for figure in section.figures:
                if self._samples[figure.key]:
                    yield section, figure, self._samples[figure.key]

    def missed(self) -> list[str]:
        """Titles of the figures whose median is not within its budget."""
        return [f.title for _, f, samples in self.measured() if f.meets(statistics.median(samples)) is False]

    def markdown(self, heading: str) -> str:
        """A table a section: figure, median, range, number of samples, budget; `heading` says when and where."""
        lines: list[str] = []
        title = ""
        for section, figure, samples in self.measured():
            if section.title != title:
                title = section.title
                head = ["| what | median | range | n | budget |", "|---|---:|---:|---:|---|"]
                lines += ["", f"{SECTION}{title}", "", heading, "", *head]
            median = statistics.median(samples)
            spread = f"{figure.say(min(samples))} - {figure.say(max(samples))}"
            cells = (
                figure.title,
                f"{figure.say(median)} {figure.unit}",
                spread,
                str(len(samples)),
                _verdict(figure, median),
            )
            lines.append(f"| {' | '.join(cells)} |")
        if self.notes:
            lines += ["", f"{SECTION}Notes", "", *(f"- {note}" for note in self.notes)]
        return "\n".join(lines).strip() + "\n"

    def as_dict(self) -> dict[str, Any]:
        """For scripts: figure by key, samples in the order in which they were taken."""
        return {
            figure.key: {
                "title": figure.title,
                "unit": figure.unit,
                "median": statistics.median(samples),
                "low": min(samples),
                "high": max(samples),
                "samples": samples,
                "budget": figure.budget,
                "met": figure.meets(statistics.median(samples)),
            }
            for _, figure, samples in self.measured()
        }


def _verdict(figure: Figure, value: float) -> str:
    met = figure.meets(value)
    if met is None or figure.budget is None:
        return ""
    sign = "≥" if figure.at_least else "≤"
    return f"{sign} {figure.budget:g} {figure.unit}: {'met' if met else '**missed**'}"


def replace_block(page: Path, text: str) -> None:
    """Put the sections of `text` between the marks of `page`, in place of those of the same title; all else stays.

    Raises FigureError when a mark is missing.
    """
    old = page.read_text(encoding="utf-8")
    head, begin, rest = old.partition(BEGIN)
    block, end, tail = rest.partition(END)
    if not begin or not end:
        raise FigureError(f"{page.name} has no block to replace: put {BEGIN} and {END} where the figures belong")
    kept = _sections(block) | _sections(text)
    body = "\n\n".join(kept.values())
    page.write_text(f"{head}{begin}\n{body}\n{end}{tail}", encoding="utf-8")


def written(page: Path | None, text: str, program: str) -> bool:
    """Put `text` into the page that was asked for, if any; False when it could not be, with the reason on stderr."""
    try:
        if page is not None:
            replace_block(page, text)
    except (FigureError, OSError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return False
    return True


def _sections(text: str) -> dict[str, str]:
    """Sections by title, each with its heading."""
    parts = [part.strip() for part in f"\n{text}".split(f"\n{SECTION}")[1:]]
    return {part.partition("\n")[0]: SECTION + part for part in parts}
