"""Terminals with few colours, without a mouse, or that only look: every word is there, and the bytes are those asked for."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from rich.color import Color, ColorSystem
from textual.theme import Theme

from tests.tui.program import ROOT, Program
from tests.tui.terminal import CTRL_Q, ENTER, F9, Terminal
from tui.theme import THEMES

MOUSE_ON = b"\x1b[?1000h"


def sixteen(colour: str) -> int | None:
    return Color.parse(colour).downgrade(ColorSystem.STANDARD).number


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_no_text_is_lost_in_its_background_with_sixteen_colours(theme: Theme) -> None:
    texts = [
        theme.foreground,
        theme.accent,
        *(theme.variables[name] for name in ("up", "down", "warn", "fault", "quiet")),
    ]
    for behind in (theme.background, theme.surface, theme.panel, theme.variables["cursor"], theme.variables["band"]):
        assert all(sixteen(str(text)) != sixteen(str(behind)) for text in texts), behind
    assert len({sixteen(theme.variables[name]) for name in ("up", "down")}) == 2


def test_a_terminal_of_sixteen_colours_gets_no_others() -> None:
    with Terminal(80, 24) as terminal:
        argv = [sys.executable, "-m", "tests.tui.keyboard_app"]
        terminal.spawn(argv, {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLORTERM": ""}, ROOT)
        terminal.wait_for("positions (3)")
        assert re.search(rb"\x1b\[[0-9;]*[345]8;[25];", terminal.raw) is None
        terminal.wait_for("PAUSED")


def test_a_cockpit_that_only_looks_and_has_no_mouse(tmp_path: Path) -> None:
    program = Program(tmp_path, newcomer=True)
    with Terminal(80, 24) as terminal:
        program.cockpit(terminal, "--simulate", "3", "--ledger", "drill", "--view", "--no-mouse")
        terminal.wait_for("What to press")
        terminal.send(ENTER)
        terminal.wait_for("What to press", gone=True)
        assert "VIEW" in terminal.screen()[0] and (tmp_path / "data" / "quantsail" / "welcomed").exists()
        terminal.send(F9)
        terminal.wait_for("nothing was stopped")
        terminal.wait_for("quantsail halt --ledger drill")
        assert program.status("drill")["state"] == "ACTIVE" and MOUSE_ON not in terminal.raw
        terminal.send(CTRL_Q)
        terminal.wait_for("stop safely")
        terminal.send(ENTER)
        assert terminal.wait_exit() == 0
