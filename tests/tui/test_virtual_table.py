"""VirtualTable: keys, cursor, follow, sort, dirty rows, hostile and wide text, numbers that are never cut."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from rich.cells import cell_len
from textual.app import ComposeResult

from tests.patience import until
from tests.tui.terminal import Terminal
from tui.crash import CockpitApp
from tui.widgets.columns import GAP, Cell, Column, Row, fit_cell, plan, sort_rows
from tui.widgets.row_model import DuplicateKeyError
from tui.widgets.table_messages import FollowChanged, RowHighlighted, RowSelected
from tui.widgets.virtual_table import VirtualTable

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = (
    Column(key="symbol", title="Symbol", width=12, min_width=8, grow=True),
    Column(key="price", title="Price", width=8, numeric=True),
    Column(key="pnl", title="uPnL", width=6, numeric=True, priority=1),
    Column(key="note", title="Note", width=10, min_width=4, priority=2, min_screen=60),
)


def row(n: int, price: str = "100.00", symbol: str | None = None) -> Row:
    name = f"SYM{n:05d}" if symbol is None else symbol
    return Row(str(n), (Cell(name), Cell(price), Cell("+1.50", "up"), Cell("note")))


class TableApp(CockpitApp[None]):
    def __init__(self, *, tail: bool = False) -> None:
        super().__init__()
        self.table = VirtualTable(COLUMNS, tail=tail, empty_text="no positions", id="t")
        self.events: list[tuple[str, str]] = []
        self.drawn: list[int] = []
        render = self.table.render_line

        def counted(y: int):  # type: ignore[no-untyped-def]
            self.drawn.append(y)
            return render(y)

        self.table.render_line = counted  # type: ignore[method-assign]

    def compose(self) -> ComposeResult:
        yield self.table

    def on_virtual_table_row_highlighted(self, event: RowHighlighted) -> None:
        self.events.append(("highlighted", event.key))

    def on_virtual_table_row_selected(self, event: RowSelected) -> None:
        self.events.append(("selected", event.key))

    def on_virtual_table_follow_changed(self, event: FollowChanged) -> None:
        self.events.append(("follow", str(event.following)))

    def lines(self) -> list[str]:
        table = self.table
        return [table.render_line(y).text for y in range(table.size.height)]


async def test_it_shows_a_header_rows_and_a_cursor() -> None:
    app = TableApp()
    async with app.run_test(size=(60, 8)) as pilot:
        app.table.set_rows(row(n) for n in range(3))
        await pilot.pause()
        lines = app.lines()
        assert lines[0].split() == ["Symbol", "Price", "uPnL", "Note"]
        assert lines[1].startswith("▸SYM00000")
        assert lines[2].startswith(" SYM00001")
        assert lines[2].split() == ["SYM00001", "100.00", "+1.50", "note"]
        assert lines[4].strip() == ""
        assert {len(line) for line in lines} == {60}


async def test_every_key_moves_the_cursor_where_it_says() -> None:
    app = TableApp()
    async with app.run_test(size=(60, 11)) as pilot:
        app.table.set_rows(row(n) for n in range(100))
        for key, where in [
            ("j", 1), ("down", 2), ("k", 1), ("up", 0), ("k", 0), ("ctrl+d", 5), ("pagedown", 15), ("ctrl+u", 10),
            ("pageup", 0), ("G", 99), ("j", 99), ("g", 0), ("end", 99), ("home", 0),
        ]:  # fmt: skip
            await pilot.press(key)
            assert app.table.cursor_row == where, key
            top = app.table.scroll_offset.y
            assert top <= where < top + 10, f"{key}: the cursor is in view"
        await pilot.press("enter")
        await pilot.pause()
        assert app.events[-1] == ("selected", "0")
        assert ("highlighted", "99") in app.events


async def test_a_click_moves_and_a_double_click_selects() -> None:
    app = TableApp()
    async with app.run_test(size=(60, 11)) as pilot:
        app.table.set_rows(row(n) for n in range(100))
        await pilot.click(app.table, offset=(5, 3))
        assert app.table.cursor_key == "2"
        await pilot.click(app.table, offset=(5, 4), times=2)
        await pilot.pause()
        assert app.events[-1] == ("selected", "3")


async def test_an_empty_table_says_so_and_takes_keys() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 8)) as pilot:
        assert any("no positions" in line for line in app.lines())
        await pilot.press("j", "G", "k", "enter", "ctrl+d", "s", "s", "s")
        assert app.table.cursor_key is None
        assert app.events == []
        app.table.set_rows([row(1)])
        app.table.set_rows([])
        await pilot.pause()
        assert any("no positions" in line for line in app.lines())


async def test_one_changed_row_draws_one_line() -> None:
    app = TableApp()
    async with app.run_test(size=(60, 20)) as pilot:
        app.table.set_rows(row(n) for n in range(50_000))
        await pilot.pause()
        app.drawn.clear()
        assert app.table.update_row("7", row(7, "101.00").cells)
        await pilot.pause()
        assert app.drawn == [8]
        assert "101.00" in app.lines()[8]
        app.drawn.clear()
        assert app.table.update_row("40000", row(40_000, "7.00").cells), "out of view"
        assert app.table.update_row("7", row(7, "101.00").cells), "unchanged"
        assert not app.table.update_row("nobody", ())
        await pilot.pause()
        assert app.drawn == []


async def test_the_same_rows_again_draw_only_what_changed() -> None:
    app = TableApp()
    async with app.run_test(size=(60, 20)) as pilot:
        app.table.set_rows(row(n) for n in range(10))
        await pilot.pause()
        app.drawn.clear()
        app.table.set_rows(row(n, "9.99" if n == 4 else "100.00") for n in range(10))
        await pilot.pause()
        assert app.drawn == [5]
        app.table.sort_by("price")
        await pilot.pause()
        app.drawn.clear()
        app.table.set_rows(row(n, "9.99" if n == 4 else "100.00") for n in range(10))
        await pilot.pause()
        assert app.drawn == [], "a sorted table that stays the same"
        app.table.set_rows(row(n, "9.99" if n == 5 else "100.00") for n in range(10))
        assert app.table.rows[0].key == "5"


async def test_the_cursor_stays_on_its_row() -> None:
    app = TableApp()
    async with app.run_test(size=(60, 20)) as pilot:
        app.table.set_rows(row(n) for n in range(10))
        await pilot.press("j", "j")
        app.table.set_rows(row(n) for n in (9, 8, 2, 1))
        assert app.table.cursor_key == "2"
        app.table.set_rows(row(n) for n in (9, 8))
        assert app.table.cursor_key == "8"


async def test_a_tail_is_followed_until_one_looks_up() -> None:
    app = TableApp(tail=True)
    async with app.run_test(size=(60, 11)) as pilot:
        app.table.append_rows(row(n) for n in range(30))
        await pilot.pause()
        assert app.table.cursor_key == "29"
        assert "SYM00029" in app.lines()[10]
        await pilot.press("k")
        assert not app.table.follow
        app.table.append_rows([row(30)])
        await pilot.pause()
        assert app.table.cursor_key == "28"
        await pilot.press("G")
        assert app.table.follow
        app.table.append_rows([row(31)])
        await pilot.pause()
        assert app.table.cursor_key == "31"
        assert [event for event in app.events if event[0] == "follow"] == [("follow", "False"), ("follow", "True")]


async def test_a_scrollbar_that_appears_says_where_the_view_is() -> None:
    app = TableApp(tail=True)
    async with app.run_test(size=(60, 11)) as pilot:
        app.table.append_rows(row(n) for n in range(100))
        await pilot.pause()
        assert app.table.show_vertical_scrollbar
        assert app.table.vertical_scrollbar.position == app.table.scroll_offset.y == 90


async def test_a_ring_keeps_the_view_where_one_reads() -> None:
    app = TableApp(tail=True)
    async with app.run_test(size=(60, 11)) as pilot:
        app.table.append_rows((row(n) for n in range(100)), keep=100)
        await pilot.press("pageup", "pageup")
        reading = [line[1:] for line in app.lines()[1:]]
        app.table.append_rows((row(n) for n in range(100, 120)), keep=100)
        await pilot.pause()
        assert app.table.row_count == 100
        assert app.table.rows[0].key == "20"
        assert [line[1:] for line in app.lines()[1:]] == reading


async def test_sort_by_key_press_and_by_value() -> None:
    app = TableApp()
    async with app.run_test(size=(60, 11)) as pilot:
        app.table.set_rows([row(1, "1,000.00", "b"), row(2, "99.00", "A"), row(3, "–", "c"), row(4, "-5.00", "d")])
        await pilot.press("s")
        assert [r.key for r in app.table.rows] == ["2", "1", "3", "4"]
        assert "Symbol↑" in app.lines()[0]
        await pilot.press("s")
        assert [r.key for r in app.table.rows] == ["4", "3", "1", "2"]
        await pilot.press("s")
        assert app.table.sorted_by == ("price", False)
        assert [r.key for r in app.table.rows] == ["4", "2", "1", "3"]
        await pilot.press("s")
        assert [r.key for r in app.table.rows] == ["1", "2", "4", "3"], "no value is last either way"
        app.table.sort_by(None)
        assert [r.key for r in app.table.rows] == ["1", "2", "3", "4"]
        with pytest.raises(KeyError, match="no column 'colour'"):
            app.table.sort_by("colour")


def test_sort_uses_values_before_text_and_puts_nan_last() -> None:
    rows = [
        Row(str(n), (Cell("x"), Cell("1")), ("x", value))
        for n, value in enumerate([Decimal(3), Decimal("NaN"), Decimal(-1), None])
    ]
    assert [r.key for r in sort_rows(rows, COLUMNS, 1, False)] == ["2", "0", "1", "3"]


async def test_two_rows_with_one_key_are_refused_and_nothing_changes() -> None:
    app = TableApp()
    async with app.run_test(size=(60, 11)):
        app.table.set_rows([row(1)])
        with pytest.raises(DuplicateKeyError, match="key of its own"):
            app.table.set_rows([row(2), row(2)])
        with pytest.raises(DuplicateKeyError):
            app.table.append_rows([row(2), row(1)])
        assert [r.key for r in app.table.rows] == ["1"]


async def test_a_price_is_never_cut_columns_leave_first() -> None:
    app = TableApp()
    price = "1,234,567.89"
    for width in range(4, 90):
        app = TableApp()
        async with app.run_test(size=(width, 8)):
            app.table.set_rows([row(1, price), row(2)])
            header, shown = app.lines()[0], app.lines()[1]
            if "Price" in header:
                assert price in shown, width
            else:
                assert "567" not in shown and "1,2" not in shown, width
            assert len(shown) == width


async def test_a_wider_price_widens_its_column_at_once() -> None:
    app = TableApp()
    async with app.run_test(size=(60, 8)) as pilot:
        app.table.set_rows([row(1), row(2)])
        app.table.update_row("2", row(2, "123,456,789.00").cells)
        await pilot.pause()
        assert "123,456,789.00" in app.lines()[2]
        assert app.lines()[1].index("100.00") + 6 == app.lines()[2].index("123,456,789.00") + 14


async def test_a_column_that_cannot_fit_is_not_shown_on_a_small_screen() -> None:
    app = TableApp()
    async with app.run_test(size=(59, 8)) as pilot:
        app.table.set_rows([row(1)])
        assert "Note" not in app.lines()[0]
        await pilot.resize_terminal(60, 8)
        await pilot.pause()
        assert "Note" in app.lines()[0]


@given(
    st.lists(
        st.builds(
            lambda width, numeric, priority, grow: (width, numeric, priority, grow),
            st.integers(1, 20), st.booleans(), st.integers(0, 3), st.booleans(),
        ),
        min_size=1, max_size=8,
    ),
    st.integers(1, 120),
)  # fmt: skip
def test_a_plan_fits_and_gives_numbers_their_room(spec: list[tuple[int, bool, int, bool]], available: int) -> None:
    columns = [
        Column(key=str(i), title="T", width=w, numeric=n, priority=p, grow=g) for i, (w, n, p, g) in enumerate(spec)
    ]
    slots = plan(columns, [15] * len(columns), available, 80)
    assert sum(slot.width for slot in slots) + GAP * (len(slots) - 1) <= available
    assert slots
    if len(slots) > 1:
        assert all(slot.width >= 15 for slot in slots if columns[slot.column].numeric)
        dropped = {c.priority for i, c in enumerate(columns) if i not in {slot.column for slot in slots}}
        assert all(columns[slot.column].priority <= min(dropped, default=99) for slot in slots)


@given(st.text(max_size=40), st.integers(1, 30), st.booleans())
def test_a_cell_takes_exactly_its_width_and_numbers_are_whole_or_gone(text: str, width: int, numeric: bool) -> None:
    shown = fit_cell(text, width, numeric=numeric)
    assert cell_len(shown) == width
    assert "\x1b" not in shown
    if numeric and cell_len(fit_cell(text, 200).rstrip()) > width:
        assert shown.strip() == "…"


async def test_wide_text_stays_aligned() -> None:
    app = TableApp()
    async with app.run_test(size=(50, 8)):
        app.table.set_rows([row(1, symbol="币安人生/USDT"), row(2), row(3, symbol="한국한국한국한국한국한국한국한국")])
        columns = [cell_len(line[: line.index("100.00")]) for line in app.lines()[1:4]]
        assert len(set(columns)) == 1
        assert "…" in app.lines()[3]


async def test_colours_follow_the_theme() -> None:
    app = TableApp()
    async with app.run_test(size=(60, 8)) as pilot:
        app.table.set_rows([row(1), row(2)])

        def colour_of(text: str) -> str:
            segment = next(s for s in app.table.render_line(2) if text in s.text)
            assert segment.style is not None and segment.style.color is not None
            return segment.style.color.get_truecolor().hex

        assert colour_of("+1.50") == "#56b4e9"
        app.theme = "quantsail-classic"
        await pilot.pause()
        assert colour_of("+1.50") == "#3fb950"


HOSTILE_APP = """
from textual.widgets import Static
from tui.crash import CockpitApp
from tui.widgets.virtual_table import Cell, Column, Row, VirtualTable

EVIL = ["\\x1b]0;PWNED\\x07", "\\x1b]52;c;UFdORUQ=\\x07", "\\x1b[2J\\x1b[1;1HPWNED", "\\x9b31mPWNED", "\\x1bPPWNED\\x1b\\\\",
        "\\u202eDENWP", "a\\x07\\x08b", "[bold red]markup[/]", "\\x1b[?1049lPWNED"]

class Hostile(CockpitApp[None]):
    def compose(self):
        table = VirtualTable([Column(key="a", title="A\\x1b]0;PWNED\\x07", width=40),
                              Column(key="b", title="B", width=10, numeric=True)],
                             empty_text="\\x1b]0;PWNED\\x07")
        table.set_rows(Row(str(i) + evil, (Cell(evil + "tail"), Cell(evil, evil))) for i, evil in enumerate(EVIL))
        yield table
        yield Static("end of screen")

Hostile().run()
"""


def test_no_byte_of_hostile_text_reaches_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(HOSTILE_APP)
    with Terminal(100, 20) as terminal:
        terminal.spawn([sys.executable, str(tmp_path / "app.py")], {"PYTHONPATH": str(ROOT)})
        terminal.wait_for("end of screen")
        until(lambda: sum("tail" in line for line in terminal.screen()) == 9, "all nine rows")
        rows = terminal.screen()
        # Textual's own request for a pointer shape ends with BEL; what we drew must hold none.
        raw = terminal.raw.replace(b"\x1b]22;default\x07", b"")
    for attack in (b"\x1b]0;", b"\x1b]52", b"\x9b", b"\x1bP", b"\x07", "\u202e".encode(), b"\x1b[2J"):
        assert attack not in raw, attack
    assert b"\x1b[?1049l" not in raw
    assert any("[bold red]markup[/]tail" in line for line in rows), "\n".join(rows)
