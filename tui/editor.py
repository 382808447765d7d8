"""The operator's own editor on a file, in this terminal: the cockpit leaves the screen to it, the engine goes on."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui.app import CockpitApp

#: When neither VISUAL nor EDITOR says which.
USUAL = ("sensible-editor", "nano", "vim", "vi")


def editor_command(environ: Mapping[str, str]) -> list[str]:
    """The words of the editor's command; [] when there is none to be found."""
    for name in ("VISUAL", "EDITOR"):
        try:
            words = shlex.split(environ.get(name, ""))
        except ValueError:
            continue
        if words:
            return words
    return next(([found] for name in USUAL if (found := shutil.which(name))), [])


async def edit(app: CockpitApp, file: Path) -> str:
    """Let the operator edit a file; why that did not work, or ""."""
    command = editor_command(os.environ)
    if not command:
        return "no editor found: set EDITOR, for example EDITOR=nano"
    if shutil.which(command[0]) is None:
        return f"EDITOR is {command[0]}, and there is no such program"
    app.lends_terminal = True
    # Ctrl+C in the editor goes to every process of the terminal; a handler, unlike SIG_IGN, is not handed down.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        with app.suspend():
            print(
                f"quantsail goes on. Stop it from another shell: quantsail halt\n{shlex.join(command)} {file}",
                flush=True,
            )
            status = await asyncio.to_thread(subprocess.call, [*command, str(file)])
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    finally:
        signal.signal(signal.SIGINT, before)
        app.lends_terminal = False
    name = Path(command[0]).name  # the line that says it is short
    if status < 0:
        return f"{name} was killed by {signal.Signals(-status).name}: nothing was read"
    return f"{name} ended with status {status}: nothing was read" if status else ""
