"""The small apps that stand beside the cockpit: `python -m tests.bench.apps bare | ours ROWS | stock ROWS | scripted`.

`ours` and `stock` are the same table, once as our VirtualTable and once as Textual's DataTable: 12 columns, 20 rows a
second that change in view, and a name in each row, so that the row under the cursor can be seen from outside.
"""

from __future__ import annotations

import random
import sys
from typing import Any

from textual.app import App, ComposeResult
from textual.widgets import DataTable, Static

from tui.crash import CockpitApp
from tui.widgets.columns import Cell, Column, Row
from tui.widgets.virtual_table import VirtualTable

UPDATES_PER_S = 20
COLUMNS = 12
IN_VIEW = 40


class BareApp(App[None]):
    """As little as Textual can be."""

    def compose(self) -> ComposeResult:
        yield Static("BARE APP")


def numbers(rng: random.Random) -> list[str]:
    return [f"{rng.uniform(-9_999, 9_999):,.2f}" for _ in range(COLUMNS - 1)]


class OursApp(CockpitApp[None]):
    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows
        self.rng = random.Random(1)
        wide = [Column(key=f"c{i}", title=f"C{i}", width=11, numeric=True) for i in range(COLUMNS - 1)]
        self.table = VirtualTable([Column(key="name", title="Name", width=10), *wide])

    def compose(self) -> ComposeResult:
        yield self.table
        yield Static("READY", id="ready")

    def on_mount(self) -> None:
        self.query_one("#ready").styles.dock = "bottom"
        self.table.set_rows(self.row(n) for n in range(self.rows))
        self.table.focus()
        self.set_interval(1 / UPDATES_PER_S, self.change)

    def row(self, n: int) -> Row:
        return Row(str(n), (Cell(f"ROW{n:05d}"), *(Cell(text) for text in numbers(self.rng))))

    def change(self) -> None:
        n = self.rng.randrange(IN_VIEW)
        self.table.update_row(str(n), self.row(n).cells)


class StockApp(App[None]):
    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows
        self.rng = random.Random(1)
        self.table: DataTable[Any] = DataTable(cursor_type="row")

    def compose(self) -> ComposeResult:
        yield self.table
        yield Static("READY", id="ready")

    def on_mount(self) -> None:
        self.query_one("#ready").styles.dock = "bottom"
        for i in range(COLUMNS):
            self.table.add_column(f"C{i}", width=11, key=f"c{i}")
        for n in range(self.rows):
            self.table.add_row(f"ROW{n:05d}", *numbers(self.rng), key=str(n))
        self.table.focus()
        self.set_interval(1 / UPDATES_PER_S, self.change)

    def change(self) -> None:
        n = self.rng.randrange(IN_VIEW)
        for i, text in enumerate(numbers(self.rng), start=1):
            self.table.update_cell(str(n), f"c{i}", text)


def scripted() -> App[Any]:
    """The whole screen in front of an engine that only stands there: what the screen itself needs."""
    from tests.tui.fake_engine import FakeClock, FakeEngine
    from tui.app import CockpitApp as Cockpit

    return Cockpit(FakeEngine.busy(), crash_log=None, clock=FakeClock())


def main(kind: str, rows: int) -> None:
    apps: dict[str, Any] = {
        "bare": BareApp,
        "scripted": scripted,
        "ours": lambda: OursApp(rows),
        "stock": lambda: StockApp(rows),
    }
    apps[kind]().run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0)
