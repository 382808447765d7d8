"""All benchmarks in one command; minutes, never part of the tests.

    python tests/bench/run.py                              a table on stdout
    python tests/bench/run.py --only shell --rounds 5      a part of it
    python tests/bench/run.py --json                       every sample
    python tests/bench/run.py --write docs/performance.md  replace what was measured in the page's marked block

Every round measures every figure once, in fresh processes, so that what else the machine does falls on all alike; the
table gives the median and the range (decisions.md 32). Needs Linux (/proc).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)  # a script's own folder would come first, and its modules shadow those of others

from tests.bench import painting, shell  # noqa: E402
from tests.bench.figures import Book, written  # noqa: E402
from tests.bench.plan import SECTIONS  # noqa: E402
from tests.bench.probe import ProbeError  # noqa: E402

Part = Callable[[Book, Path], None]

#: In this order within a round: `work` and `commands` use the ledger that `paint` makes.
PARTS: dict[str, Part] = {
    "paint": painting.first_paint,
    "work": painting.work,
    "keys": lambda book, folder: keys(book, folder),
    "shell": lambda book, folder: shell.commands(book, folder),
    "charts": lambda book, folder: shell.charts(book),
    "server": lambda book, folder: shell.server(book),
    "journal": lambda book, folder: shell.journal(book),
    "database": lambda book, folder: shell.database(book),
    "engine": lambda book, folder: shell.engine(book),
    "core": lambda book, folder: shell.core(book),
    "travel": lambda book, folder: shell.travel(book),
    "headless": shell.headless,
}
NEEDS_LEDGER = ("work", "keys", "shell")


def keys(book: Book, folder: Path) -> None:
    for kind, rows, key in (
        ("ours", 500, "key_ours_500"),
        ("stock", 500, "key_stock_500"),
        ("ours", 50_000, "key_ours_50k"),
    ):
        painting.table_keys(book, kind, rows, key)
    painting.cockpit_keys(book, folder)
    painting.chart_keys(book, folder)
    painting.kill_blocked(book, folder)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="samples of every figure (default 3)")
    parser.add_argument("--only", action="append", choices=sorted(PARTS), help="a part; may be repeated")
    parser.add_argument("--with-install", action="store_true", help="also measure a fresh installation (slow)")
    parser.add_argument("--json", action="store_true", help="print every sample as JSON instead of the table")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="replace the marked block of a page with the table")
    return parser.parse_args()


def measure(rounds: int, only: list[str] | None, *, with_install: bool) -> Book:
    book = Book(SECTIONS)
    chosen = [name for name in PARTS if not only or name in only]
    if set(chosen) & set(NEEDS_LEDGER) and "paint" not in chosen:
        chosen.insert(0, "paint")
    folder = Path(tempfile.mkdtemp(prefix="quantsail-bench-"))
    try:
        for number in range(1, rounds + 1):
            for name in chosen:
                print(f"round {number} of {rounds}: {name}", file=sys.stderr, flush=True)
                attempt(name, PARTS[name], book, folder / "home")
        if with_install:
            print("a fresh installation", file=sys.stderr, flush=True)
            shell.installed_size(book, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return book


def attempt(name: str, part: Part, book: Book, folder: Path) -> None:
    """A part that fails is said under the table; the others are still worth having."""
    try:
        part(book, folder)
    except (ProbeError, shell.CommandFailed) as error:
        print(f"  {error}", file=sys.stderr)
        book.note(f"**{name} failed in a round**: {str(error)[:200]}")


def machine() -> dict[str, Any]:
    load = os.getloadavg()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load": [round(value, 1) for value in load],
    }


def heading(facts: dict[str, Any], rounds: int) -> str:
    return (
        f"Measured {facts['date']} with Python {facts['python']} on {facts['system']}, {facts['cores']} cores that "
        f"others use too (load average at the end {facts['load'][0]}, {facts['load'][1]}), {rounds} rounds."
    )


def main() -> int:
    asked = arguments()
    book = measure(asked.rounds, asked.only, with_install=asked.with_install)
    facts = machine()
    missed = book.missed()
    verdict = f"Not within their budget: {'; '.join(missed)}." if missed else "Every budget was met."
    page = book.markdown(heading(facts, asked.rounds))
    if not written(asked.write, page, "run.py"):
        return 1
    print(
        json.dumps({"machine": facts, "figures": book.as_dict(), "notes": book.notes})
        if asked.json
        else f"{page}\n{verdict}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
