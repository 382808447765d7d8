"""Every row of the suite on the paper venue, in each of its modes; and the page that lists them."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest

from tests.venue import (  # noqa: F401  (they register their rows)
    rows_answers,
    rows_depth,
    rows_holdings,
    rows_prices,
    rows_restart,
    rows_types,
)
from tests.venue.desk import SPOT, PaperDesk
from tests.venue.suite import ROWS, Row, page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "venue-conformance.md"
CASES = [(row, mode) for row in ROWS for mode in row.modes]


@pytest.mark.parametrize(("row", "mode"), CASES, ids=[f"{row.number}-{mode}" for row, mode in CASES])
def test_row(row: Row, mode: str) -> None:
    def make(instrument: object = SPOT, **costs: object) -> PaperDesk:
        return partial(PaperDesk, mode)(instrument, **costs)

    row.check(make)


def test_the_page_lists_every_row() -> None:
    assert PAGE.read_text() == page(), f"make it anew: python -m tests.venue.test_conformance > {PAGE.name}"
    assert len(ROWS) >= 80


if __name__ == "__main__":
    sys.stdout.write(page())
