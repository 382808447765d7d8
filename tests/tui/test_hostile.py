"""Hostile text in every place that shows text from outside, in a real terminal: no byte of it steers the terminal."""

from __future__ import annotations

import base64
import csv
import re
import sys
import time
from pathlib import Path

import pytest

from engine.core.text import display_width
from tests.patience import until
from tests.tui.hostile_app import TITLE
from tests.tui.terminal import ENTER, ESCAPE, F9, TAB, Terminal

ROOT = Path(__file__).resolve().parents[2]
SCREENS = "12345670"
#: What is opened on every screen, and what is typed there; Esc leaves each.
EVERYWHERE = (ENTER, "/", TAB + ENTER, "?", "L", ":", F9, "\x11", "t")
#: What is opened on some.
ESPECIALLY = {"1": "xX", "2": "xXssS", "4": "sfbvl+", "5": "wbv", "6": "AnBD", "7": "SPR", "0": "V"}

#: C1 controls in UTF-8, a bell, and what the sequences would have done.
FORBIDDEN = re.compile(rb"\xc2[\x80-\x9f]|\x07|666m|" + TITLE.encode())
POINTER = re.compile(rb"\x1b\]22;[a-z]+\x07")  # Textual's own: the shape of the mouse's pointer
INVISIBLE = re.compile("[\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]")
LEFT, RIGHT = tuple("│┃╭╰┌└├"), tuple("│┃╮╯┐┘┤▌▐█▕▎ ")


#: Long enough for a paint; what comes later is in the bytes all the same.
PAINT_S = 0.12


def crooked(terminal: Terminal, cols: int) -> list[str]:
    """Rows that begin with the frame of a panel and do not end with one in the last column."""
    framed = [row for row in terminal.screen() if row.startswith(LEFT)]
    return [row for row in framed if display_width(row) != cols or not row.endswith(RIGHT)]


def wider(terminal: Terminal, cols: int) -> list[str]:
    """Rows that take more columns than there are."""
    return [row for row in terminal.screen() if display_width(row) > cols]


def walk(tmp_path: Path, size: tuple[int, int], *, everything: bool) -> tuple[bytes, str]:
    """Every screen, and what can be opened on it: all bytes that were written, and all text that was shown."""
    shown = ""
    env = {"PYTHONPATH": str(ROOT), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    with Terminal(*size) as terminal:
        terminal.spawn([sys.executable, "-m", "tests.tui.hostile_app"], env, ROOT)
        terminal.wait_for("KILL")
        for screen in SCREENS:
            terminal.send(screen)
            time.sleep(5 * PAINT_S)
            until(lambda: not crooked(terminal, size[0]), f"straight frames on screen {screen}", 20.0)
            for keys in ("", *(EVERYWHERE if everything else ()), *ESPECIALLY.get(screen, ""), "E"):
                terminal.send(keys)
                time.sleep(PAINT_S)
                # A dialog is painted before what it covers is dimmed: its frame may stand on half a wide character so long.
                until(lambda: not wider(terminal, size[0]), f"rows of {size[0]} columns after {keys!r}", 5.0)
                shown += terminal.text() + "\n"
                terminal.send(ESCAPE)
                time.sleep(PAINT_S)
            assert terminal.is_running() and "SCREEN ERROR" not in shown, terminal.text()
        return terminal.raw, shown


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)], ids=["80x24", "120x40", "200x60"])
def test_nothing_hostile_reaches_the_terminal_and_columns_stay_aligned(tmp_path: Path, size: tuple[int, int]) -> None:
    raw, shown = walk(tmp_path, size, everything=size == (120, 40))
    raw = POINTER.sub(b"", raw)
    assert not (found := FORBIDDEN.search(raw)), raw[max(0, found.start() - 200) : found.end() + 50]
    assert not (hidden := INVISIBLE.search(raw.decode("utf-8", "replace"))), hidden
    assert "[bold red]MARK[/]" in shown and "比特幣" in shown  # shown as it is written
    assert max(map(display_width, shown.split("\n"))) <= size[0]
    exports = list(tmp_path.rglob("*.csv"))
    assert exports
    for export in exports:
        text = export.read_text(encoding="utf-8")
        assert (
            not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text) and TITLE not in text and not INVISIBLE.search(text)
        )
        assert not [
            cell for row in csv.reader(text.splitlines()) for cell in row if cell.startswith(("=", "@", "+cmd"))
        ]


OSC52 = re.compile(rb"\x1b\]52;c;([A-Za-z0-9+/=]*)\x07")


def test_copying_hostile_rows_writes_a_clean_clipboard_and_nothing_else(tmp_path: Path) -> None:
    """`y` on a row of every screen, and in a drawer: one OSC 52 each, and in it no byte that a terminal or shell obeys."""
    env = {"PYTHONPATH": str(ROOT), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    with Terminal(120, 40) as terminal:
        terminal.spawn([sys.executable, "-m", "tests.tui.hostile_app"], env, ROOT)
        terminal.wait_for("KILL")
        copied = 0
        for screen in SCREENS:
            terminal.send(screen)
            time.sleep(5 * PAINT_S)
            for keys in ("y", "\ty", "Y", ENTER + "y"):
                terminal.send(keys)
                time.sleep(2 * PAINT_S)
            terminal.send(ESCAPE)
            time.sleep(PAINT_S)
        until(lambda: len(OSC52.findall(terminal.raw)) >= len(SCREENS), "a copy of every screen", 20.0)
        raw = terminal.raw
        found = [base64.b64decode(code, validate=True).decode("utf-8") for code in OSC52.findall(raw)]
        copied = sum("MARK" in text or "long" in text or "比特幣" in text for text in found)
    assert copied >= 3  # hostile text was among it
    for text in found:
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text) and TITLE not in text, ascii(text[:200])
        assert not INVISIBLE.search(text), ascii(text[:200])
    rest = POINTER.sub(b"", OSC52.sub(b"", raw))
    assert not FORBIDDEN.search(rest) and b"\x1b]52" not in rest
