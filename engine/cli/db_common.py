"""What the commands of `quantsail db` share: which database is meant, one answer on stdout, progress on stderr."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from engine import paths
from engine.cli.ledgers import choose

if TYPE_CHECKING:
    from db.database import Database

#: Between two lines of progress where stderr is a file; a terminal's one line is renewed more often.
LINE_EVERY_S = 10.0
PAINT_EVERY_S = 0.1


def database_url() -> str:
    return os.environ.get("DATABASE_URL", "")


def target(ledger: str) -> str:
    """Name of the ledger that is meant. With DATABASE_URL that database is it, also before its first start."""
    if url := database_url():
        from engine.naming import url_ledger_name

        return ledger or url_ledger_name(url)
    return choose(ledger).name


@contextmanager
def keeper() -> Iterator[Database]:
    """Where the ledgers are; what was started for the command is let go of afterwards."""
    from db.database import Database

    database = Database(database_url(), paths.data_home())
    try:
        yield database
    finally:
        database.close()


def answer(facts: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """The command's one answer: a JSON object, or lines for a person."""
    print(json.dumps(facts, default=str) if as_json else text)


class Progress:
    """One line on stderr that is renewed; where that is no terminal, a line every ten seconds. Short work says nothing."""

    def __init__(self, what: str, unit: str = "") -> None:
        self._what, self._unit = what, unit
        self._started = time.monotonic()
        self._tty = sys.stderr.isatty()
        self._next = self._started + (PAINT_EVERY_S if self._tty else LINE_EVERY_S)
        self._painted = False

    def __call__(self, done: int, total: int = 0) -> None:
        """`done` of `total` (0: not known) units."""
        spent = max(time.monotonic() - self._started, 1e-9)
        rate = done / spent
        said = f"{done:,}{f' of {total:,}' if total else ''} {self._unit}, {rate:,.0f}/s"
        if total > done and rate > 0:
            said += f", {(total - done) / rate:.0f} s to go"
        self._say(said)

    def beat(self) -> None:
        """For work that cannot say how far it is: the seconds that it took so far."""
        self._say(f"{time.monotonic() - self._started:.0f} s")

    def _say(self, text: str) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (PAINT_EVERY_S if self._tty else LINE_EVERY_S)
        said = f"{self._what}: {text}"
        print(f"\r\x1b[K{said}" if self._tty else said, end="" if self._tty else "\n", file=sys.stderr, flush=True)
        self._painted = self._tty

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._painted:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
