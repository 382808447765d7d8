"""What every table does with its keys: filter, sort, copy, export, grow; and the pure parts behind them."""

from __future__ import annotations

import csv
import io
from decimal import Decimal as D
from pathlib import Path

import pytest
from rich.cells import cell_len
from textual import events
from wcwidth import wcswidth

from engine.core.types import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from tests.tui.cockpit_pilot import SIZES, Cockpit, cockpit
from tests.tui.fake_engine import FakeEngine, order, position
from tests.tui.fake_story import NOW
from tui.exporting import ExportError, csv_text, write_new
from tui.filtering import FILTER_MAX, parse
from tui.moments import moment
from tui.widgets import rows
from tui.widgets.columns import Cell, Column, Row
from tui.widgets.panel import Panel
from tui.widgets.row_model import RowModel

COLUMNS = (
    Column(key="symbol", title="Symbol", width=8),
    Column(key="level", title="Level", width=6),
    Column(key="what", title="What", width=20),
)


def row(symbol: str, level: str = "info", what: str = "") -> Row:
    return Row(f"{symbol}/{level}/{what}", (Cell(symbol), Cell(level), Cell(what)))


ROWS = [
    row("BTC/USDT", "WARN", "stop moved"),
    row("ETH/USDT", "info", "BTC leads"),
    row("kPEPE/USDT", "ERROR!", "stop lost"),
    row("漢字/USDT", "info", 'say "no"'),
]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", [0, 1, 2, 3]),
        ("   ", [0, 1, 2, 3]),
        ("btc", [0, 1]),
        ("symbol:BTC", [0]),
        ("SYMBOL:btc level:warn", [0]),
        ("-symbol:btc", [1, 2, 3]),
        ("stop -lost", [0]),
        ('"stop lost"', [2]),
        ('what:"stop lost"', [2]),
        ('"stop', [0, 2]),
        ("漢", [3]),
        ("nothing:here", []),
        ("level:", [0, 1, 2, 3]),
        (":", []),
        ("-", [0, 1, 2, 3]),
        ("[bold] \x1b[31m", []),
        ("a:b:c", []),
    ],
)
def test_filters(text: str, kept: list[int]) -> None:
    test = parse(text, COLUMNS).test()
    assert [n for n, one in enumerate(ROWS) if test is None or test(one)] == kept


def test_a_name_that_is_no_column_is_said() -> None:
    assert parse("symbo:BTC level:x", COLUMNS).unknown == ("symbo",)


@pytest.mark.parametrize("text", ["x" * 100_000, '"' * 1_000, "a:" * 5_000, "-" * 9_000, "\u202e" * 500, ":" * 700])
def test_a_filter_of_any_length_is_taken(text: str) -> None:
    found = parse(text, COLUMNS)
    assert len(found.text) <= FILTER_MAX
    test = found.test()
    assert test is None or isinstance(test(ROWS[0]), bool)


def test_a_filtered_model_shows_what_fits_and_keeps_the_rest() -> None:
    model = RowModel(COLUMNS)
    model.append(ROWS)
    model.keep_only(parse("usdt -btc", COLUMNS).test())
    assert [r.cells[0].text for r in model.shown] == ["kPEPE/USDT", "漢字/USDT"] and model.held == 4
    model.append([row("BTC/EUR"), row("X/USDT")])
    assert [r.cells[0].text for r in model.shown] == ["kPEPE/USDT", "漢字/USDT", "X/USDT"] and model.held == 6
    assert model.prepend([row("OLD/USDT"), row("OLD/BTC")]) == 1
    assert model.shown[0].cells[0].text == "OLD/USDT" and model.index_of(model.shown[-1].key) == 3
    model.sort_by((0, True))
    assert [r.cells[0].text for r in model.shown] == ["漢字/USDT", "X/USDT", "OLD/USDT", "kPEPE/USDT"]
    model.keep_only(None)
    assert len(model.shown) == 8
    model.sort_by(None)
    assert [r.cells[0].text for r in model.shown[:3]] == ["OLD/USDT", "OLD/BTC", "BTC/USDT"]


def test_a_sorted_model_sees_a_row_that_changed() -> None:
    model = RowModel(COLUMNS)
    model.replace(ROWS)
    model.sort_by((2, False))
    first = model.shown[0]
    changed = Row(first.key, (first.cells[0], first.cells[1], Cell("zzz")))
    model.replace([changed if one.key == first.key else one for one in ROWS])
    assert model.shown[-1] == changed


def test_a_full_model_forgets_in_strides_and_says_how_many_were_seen_to_go() -> None:
    model = RowModel(COLUMNS)
    keep = 100
    model.append([row(f"A{n}") for n in range(keep)])
    assert [model.append([row(f"B{n}")], keep=keep) for n in range(3)] == [0, 0, 3]
    assert model.held == keep and model.shown[0].cells[0].text == "A3"


# -- times -----------------------------------------------------------------------------------------------------------

MIDNIGHT = NOW - NOW % DAY_US


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("14:03", MIDNIGHT + 14 * HOUR_US + 3 * MINUTE_US),
        (" 14:03:22Z ", NOW),
        ("14:04", MIDNIGHT + 14 * HOUR_US + 4 * MINUTE_US - DAY_US),
        ("2026-03-14", MIDNIGHT),
        ("2026-03-14T01:02:03Z", MIDNIGHT + HOUR_US + 2 * MINUTE_US + 3 * SECOND_US),
        ("2026-03-13 23:00", MIDNIGHT - HOUR_US),
        ("-10m", NOW - 10 * MINUTE_US),
        ("- 3d", NOW - 3 * DAY_US),
        ("", None),
        ("25:00", None),
        ("2026-02-30", None),
        ("soon", None),
        ("-99999999999d", None),
        ("\x1b[31m", None),
    ],
)
def test_moments(text: str, expected: int | None) -> None:
    assert moment(text, NOW) == expected


# -- export ----------------------------------------------------------------------------------------------------------


def test_a_csv_is_whole_plain_and_runs_nothing() -> None:
    columns = (
        Column(key="time", title="Time", width=9, time=True),
        Column(key="price", title="Price", width=8, numeric=True),
        Column(key="note", title="Note", width=8, min_screen=200),
    )
    evil = '=HYPERLINK("http://x","y")\x1b]52;c;AAAA\x07\u202e'
    rows = [
        Row("1", (Cell("14:03:22Z"), Cell("▲+96,120.50"), Cell("x" * 900)), (NOW,)),
        Row("2", (Cell("-"), Cell("–"), Cell(evil)), (0,)),
        Row("3", (Cell("-"), Cell("▼-0.67%"), Cell("-12")), (None,)),
        Row("4", (Cell("short row"),)),
    ]
    text = csv_text(columns, rows)
    found = list(csv.reader(io.StringIO(text)))
    assert found[0] == ["time", "price", "note"]
    assert found[1] == ["2026-03-14T14:03:22+00:00", "96120.50", "x" * 900]
    assert found[2][1] == "–" and found[2][2].startswith("'=HYPERLINK") and "\x1b" not in text and "\u202e" not in text
    assert found[3] == ["", "-0.67", "-12"]
    assert found[4] == ["short row", "", ""]


def test_no_file_is_ever_written_over(tmp_path: Path) -> None:
    first = write_new(tmp_path / "new", "sim/../orders \x1b", ".csv", "one")
    assert first.parent == tmp_path / "new" and first.name == "sim_.._orders_.csv"
    second = write_new(tmp_path / "new", "sim/../orders \x1b", ".csv", "two")
    assert first.read_text() == "one" and second.read_text() == "two" and second != first
    assert first.stat().st_mode & 0o077 == 0
    for number in range(3, 101):
        (tmp_path / "new" / f"sim_.._orders_-{number}.csv").touch()
    with pytest.raises(ExportError, match="move some away"):
        write_new(tmp_path / "new", "sim/../orders \x1b", ".csv", "three")
    (tmp_path / "file").touch()
    with pytest.raises(ExportError, match=str(tmp_path)):
        write_new(tmp_path / "file", "x", ".csv", "")


# -- keys ------------------------------------------------------------------------------------------------------------


def panel_of(c: Cockpit) -> Panel:
    focused = c.app.focused
    assert isinstance(focused, Panel)
    return focused


@pytest.mark.parametrize("size", SIZES)
async def test_a_filter_is_typed_shown_kept_and_cleared(size: tuple[int, int]) -> None:
    async with cockpit(size=size) as c:
        await c.press("slash", *"eth")
        assert "/ eth" in c.rows()[-3] or any(line.startswith(" / eth") for line in c.rows())
        await c.pilot.pause(0.2)
        assert "ETH/USDT" in c.text() and "3,290.02" in c.text() and "96,811.20" not in c.text()
        await c.press("enter")
        assert panel_of(c).id == "positions" and "/ eth: 1 of 3" in c.text()
        await c.press("escape")
        assert "96,811.20" in c.text() and "/ eth" not in c.text()
        await c.press("slash", *"zzz", "enter")
        assert "No row fits / zzz - Esc shows all" in c.text()
        await c.press("slash", "escape")
        assert "96,811.20" in c.text() and panel_of(c).filter.text == ""


async def test_letters_typed_into_a_filter_are_letters_and_the_kill_key_is_the_kill_key() -> None:
    async with cockpit() as c:
        await c.press("slash", *"K1pM?t:q")
        assert c.engine.verbs == [] and c.app.current_mode == "dashboard"
        assert len(c.app.screen_stack) == 1
        await c.press("f9")
        assert "entries are HELD" in c.text() or "HELD now" in c.text()


async def test_keys_that_are_typed_ahead_belong_to_the_filter() -> None:
    """A fast hand, or a slow loop: all keys are there before the filter has the focus."""
    names = {"/": "slash", " ": "space", ":": "colon", "\r": "enter"}
    async with cockpit() as c:
        for char in "/side:long eth\rj":
            c.app.post_message(events.Key(names.get(char, char), char))
        await c.pilot.pause(0.3)
        await c.settle()
        assert c.engine.replayed == [] and len(c.app.screen_stack) == 1
        assert panel_of(c).filter.text == "side:long eth" and panel_of(c).row_count == 1


async def test_the_last_screen_is_never_left() -> None:
    async with cockpit() as c:
        c.app.pop_screen()
        await c.settle()
        assert "positions (3)" in c.text()


async def test_a_filter_stays_while_rows_come_and_change() -> None:
    async with cockpit() as c:
        await c.press("slash", *"symbol:btc", "enter")
        c.engine.change(positions=(position("BTC/EUR"), position("SOL/USDT"), position()))
        await c.settle()
        assert [r.cells[0].text for r in panel_of(c).rows] == ["BTC/EUR", "BTC/USDT"]
        assert "2 of 3" in c.text()


async def test_a_wrong_column_is_said() -> None:
    async with cockpit() as c:
        await c.press("slash", *"symbo:BTC", "enter")
        assert "no column symbo" in c.text()


async def test_the_direction_of_a_sort_is_in_the_header_and_in_the_border() -> None:
    async with cockpit() as c:
        await c.press("s")
        assert "Symbol↑" in c.text() and "by Symbol ↑" in c.text()
        await c.press("s")
        assert "Symbol↓" in c.text() and "by Symbol ↓" in c.text()


async def test_copy_goes_to_the_clipboard_as_plain_text() -> None:
    evil = "\x1b]0;owned\x07\u202eBTC" + "x" * 10_000
    async with cockpit(FakeEngine.busy(positions=(position(evil), position("漢字/USDT")))) as c:
        await c.press("y")
        copied = c.app.clipboard
        assert copied.startswith("\ufffdBTCxx") and "\x1b" not in copied and len(copied) <= 8_000
        assert "copied the row" in c.text()
        await c.press("j", "Y")
        assert c.app.clipboard == position("漢字/USDT").id
        await c.press("enter", "y")
        assert "entry_price\t96,120.5" in c.app.clipboard


async def test_copy_of_an_empty_table_does_nothing() -> None:
    async with cockpit(FakeEngine.busy(positions=())) as c:
        await c.press("y", "Y")
        assert c.app.clipboard == ""


async def test_export_writes_what_is_shown_and_says_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    async with cockpit(FakeEngine.busy(), size=(200, 60)) as c:
        await c.press("slash", *"-eth", "enter", "E")
        await c.app.workers.wait_for_complete()
        await c.settle()
        (file,) = (tmp_path / "quantsail" / "exports").iterdir()
        assert "2 rows exported to" in c.text() and file.name.startswith("sim-positions-")
        found = list(csv.DictReader(file.open()))
        assert [one["symbol"] for one in found] == ["BTC/USDT", "SOL/USDT"]
        assert found[0]["mark"] == "96811.20" and found[0]["target"] == "99004.12"
        await c.press("E")
        await c.app.workers.wait_for_complete()
        assert len(list(file.parent.iterdir())) == 2


async def test_the_palette_exports_the_table_that_had_the_focus(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    async with cockpit(size=(200, 60)) as c:
        await c.press("tab", "colon", *"export")
        await c.pilot.pause(0.5)
        await c.press("enter")
        await c.pilot.pause(0.3)
        await c.app.workers.wait_for_complete()
        (file,) = (tmp_path / "quantsail" / "exports").iterdir()
        assert file.name.startswith("sim-orders-")


async def test_a_folder_that_takes_no_file_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "quantsail").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    async with cockpit(size=(200, 60)) as c:
        await c.press("E")
        await c.app.workers.wait_for_complete()
        await c.settle()
        assert "not exported:" in c.text()


async def test_panels_grow_and_shrink_and_a_new_size_takes_it_back() -> None:
    async with cockpit(size=(120, 40)) as c:
        height = panel_of(c).outer_size.height
        await c.press("plus", "plus")
        assert panel_of(c).outer_size.height == height + 6
        await c.press("underscore")
        assert panel_of(c).outer_size.height == height + 3
        await c.press("underscore", "underscore", "underscore")
        assert panel_of(c).outer_size.height >= 5 and "no room" in c.text()
        await c.pilot.resize_terminal(130, 40)
        await c.settle()
        assert panel_of(c).outer_size.height == height
        assert c.rows()[-1].startswith(" F9 KILL")


async def test_wide_names_keep_their_columns() -> None:
    names = ("BTC/USDT", "漢字/USDT", "ＢＴＣ/USDT", "kPEPE/USDT", "e\u0301🚢/USDT", "한글/USDT")
    rows = tuple(order(n, name) for n, name in enumerate(names))
    async with cockpit(FakeEngine.busy(orders=rows), size=(120, 40)) as c:
        lines = [line for line in c.rows() if line.count("/USDT") and " BUY " in line and "ACCEPTED" in line]
        assert len(lines) == len(names)
        assert len({cell_len(line.split(" BUY ")[0]) for line in lines}) == 1
        assert len({wcswidth(line.split("ACCEPTED")[0]) for line in lines}) == 1


def test_the_detail_of_a_number_has_no_digits_that_a_division_left_behind() -> None:
    assert rows.field_text("unrealized_pct", D("-0.010086522683605464435167")) == "-0.01"
    assert rows.field_text("entry_price", D("4064.830000000000000000")) == "4,064.83"
    assert rows.field_text("quantity", D("0.00000000000000012")) == "0.00000000000000012"
    assert rows.field_text("equity", D("1E+40")) == f"{D('1E+40'):,f}"
    assert rows.field_text("quantity", D("100")) == "100" and rows.field_text("x", D("NaN")) == "–"
