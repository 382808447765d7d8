"""Nothing but the cockpit writes on its terminal: a library that complains would print a traceback over the screen."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from rich.cells import cell_len

from tui.glyphs import padded
from tui.story import wrapped
from tui.viewmodel import Span
from tui.widgets.line import fitted

ROOT = Path(__file__).parents[2]
COMPLAINT = "import logging; from engine import logs; logs.set_up(); logging.getLogger('asyncpg').error('pool', exc_info=OSError('down'))"


def test_what_a_library_logs_does_not_reach_the_terminal(tmp_path: Path) -> None:
    env = os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", COMPLAINT], env=env, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_line_too_long_keeps_the_key_at_its_end() -> None:
    line = [
        Span(" ▲ WARN ", "strong"),
        Span("SETTINGS 狗狗币: there is no such setting " * 4),
        Span("  a: seen", "strong"),
    ]
    found = fitted(line, 80)
    text = "".join(span.text for span in found)
    assert cell_len(text) <= 80 and text.endswith("…  a: seen") and text.startswith(" ▲ WARN SETTINGS")
    assert fitted(line[:1], 80) == line[:1]


def test_wide_words_are_padded_by_what_they_take() -> None:
    assert cell_len(padded("狗狗币", 12)) == 12 == cell_len(padded("BTC", 12))
    assert all(cell_len("".join(span.text for span in row)) <= 40 for row in wrapped([Span("狗狗币 " * 30)], 40))
