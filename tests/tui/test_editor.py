"""The terminal lent to $EDITOR, in a real pseudo-terminal: what it did is taken or refused, and the screen comes back."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.patience import until
from tests.tui.terminal import ESCAPE, Terminal

ROOT = Path(__file__).resolve().parents[2]
EDITS = """sed -i 's/"stop_loss_pct": "2"/"stop_loss_pct": "3"/' "$1" """
#: What the editor does, and what the cockpit says of it.
EDITORS = {
    "edits": (EDITS, "(1 changed)"),
    "asks": (f"read word; test $word = yes && {EDITS}", "(1 changed)"),
    "refuses": ("exit 3", "ended with status 3: nothing was read"),
    "dies": (f"{EDITS}; kill -KILL $$", "was killed by SIGKILL: nothing was read"),
    "spoils": ('echo "{" > "$1"', "not taken, not JSON"),
    "scribbles": ('stty raw -echo; printf "\\033[?1049l\\033[2JSCRIBBLE"; exit 4', "ended with status 4"),
}


@pytest.mark.parametrize("name", EDITORS)
def test_the_editor_has_the_terminal_and_gives_it_back(tmp_path: Path, name: str) -> None:
    does, says = EDITORS[name]
    editor = tmp_path / "my editor"
    editor.write_text(f"#!/bin/sh\necho EDITING\n{does}\n")
    editor.chmod(0o700)
    env = {"PYTHONPATH": str(ROOT), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config"),
           "VISUAL": "", "EDITOR": f"'{editor}'"}  # fmt: skip
    with Terminal(120, 40) as terminal:
        terminal.spawn([sys.executable, "-m", "tests.tui.keyboard_app"], env, ROOT)
        terminal.wait_for("KILL")
        until(lambda: terminal.send("6") or "config versions" in terminal.text())
        terminal.send("n")
        terminal.wait_for("NEW CONFIG from v")
        terminal.send("e")
        if name == "asks":
            terminal.wait_for("EDITING")
            terminal.send("yes\r")
        terminal.wait_for(says)
        terminal.wait_for("NEW CONFIG from v")  # the form is drawn again, whole
        rows = terminal.screen()
        assert "SIM" in rows[0] and not any("EDITING" in row or "SCRIBBLE" in row for row in rows)
        terminal.send(ESCAPE)
        if says == "(1 changed)":
            terminal.wait_for("Esc again")
            terminal.send(ESCAPE)
        terminal.wait_for("NEW CONFIG from v", gone=True)
        terminal.send("3")
        terminal.wait_for("events")
        terminal.send("\x11")
        terminal.wait_for("stop safely")
        terminal.send("\r")
        assert terminal.wait_exit() == 0
