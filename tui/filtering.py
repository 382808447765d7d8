"""The filter of a table: words that a row must have, somewhere or in one column. Pure.

`symbol:BTC level:WARN -type:GateChanged stop` keeps the rows whose symbol has "btc", whose level has "warn", whose type has
no "gatechanged", and which have "stop" anywhere. Upper and lower case are one; "quoted words" stay together. A word that
names no column is looked for as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tui.widgets.columns import Column, Row

#: Longest filter that is looked at.
FILTER_MAX = 200

_WORD = re.compile(r'(-?)(?:([^\s:"]+):)?(?:"([^"]*)"?|(\S*))')


class Term(NamedTuple):
    """One word; `column` None is anywhere."""

    column: int | None
    needle: str
    negated: bool


class Filter(NamedTuple):
    """A parsed filter. `unknown` are names before a colon that are no column."""

    text: str
    terms: tuple[Term, ...]
    unknown: tuple[str, ...] = ()

    def test(self) -> Callable[[Row], bool] | None:
        """What tells the rows to keep; None when all are."""
        if not self.terms:
            return None
        tests = [_test(term) for term in self.terms]
        return tests[0] if len(tests) == 1 else lambda row: all(test(row) for test in tests)


NOTHING = Filter("", ())


def parse(text: str, columns: Sequence[Column]) -> Filter:
    """A filter from what somebody typed. Never fails: what cannot be meant otherwise is text."""
    names = {name: at for at, column in enumerate(columns) for name in (column.title.casefold(), column.key)}
    terms: list[Term] = []
    unknown: list[str] = []
    for found in _WORD.finditer(text[:FILTER_MAX]):
        minus, name, quoted, bare = found.groups()
        value = (quoted if quoted is not None else bare or "").casefold()
        column = names.get(name.casefold()) if name else None
        if name and column is None:
            unknown.append(name)
            value = f"{name.casefold()}:{value}"
        if value:
            terms.append(Term(column, value, bool(minus)))
    return Filter(text[:FILTER_MAX].strip(), tuple(terms), tuple(unknown))


def _test(term: Term) -> Callable[[Row], bool]:
    needle, negated, column = term.needle, term.negated, term.column
    if column is None:

        def anywhere(row: Row) -> bool:
            return (needle in " ".join([cell[0] for cell in row[1]]).casefold()) is not negated

        return anywhere

    # A column has few different texts: each is looked at once.
    known: dict[str, bool] = {}

    def there(row: Row) -> bool:
        cells = row[1]
        text = cells[column][0] if column < len(cells) else ""
        kept = known.get(text)
        if kept is None:
            if len(known) > 10_000:
                known.clear()
            kept = known[text] = (needle in text.casefold()) is not negated
        return kept

    return there
