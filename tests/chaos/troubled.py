"""The real `quantsail` with faults that a key brings about: `python troubled.py FOLDER ARGUMENT...` (tests/chaos/test_cockpit_trouble.py).

T blocks the UI loop (Python code) until FOLDER/unblock exists; L fails in a key action, and what else is asked for by a file
in FOLDER: `paint` fails in a panel's paint, `render` in a widget's render, `worker` in a worker. Each has a secret in a local.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from engine.cli.main import main
from tui import app as cockpit
from tui.widgets.equity import EquityPanel
from tui.widgets.line import StatusLine

FOLDER = Path(sys.argv[1])


def fail(where: str) -> None:
    api_secret, title = "".join(reversed("9xQ2retnuh")), "".join(reversed("DENWP"))  # a traceback quotes this file
    if (FOLDER / where).exists():
        (FOLDER / where).unlink()
        raise ValueError(f"in {where}, api_secret={api_secret} \x1b]0;{title}\x07")


def block(self: cockpit.CockpitApp) -> None:
    (FOLDER / "blocked").touch()
    while not (FOLDER / "unblock").exists():
        time.sleep(0.01)


async def work() -> None:
    fail("worker")


def alerts(self: cockpit.CockpitApp) -> None:
    self.run_worker(work(), exit_on_error=False)
    fail("action")


def around(owner: Any, name: str, where: str) -> None:
    inner = getattr(owner, name)

    def outer(self: Any, *more: Any) -> Any:
        fail(where)
        return inner(self, *more)

    setattr(owner, name, outer)


cockpit.CockpitApp.action_theme = block  # type: ignore[method-assign]
cockpit.CockpitApp.action_alerts = alerts  # type: ignore[method-assign]
around(EquityPanel, "paint", "paint")
around(StatusLine, "render_line", "render")
sys.argv = ["quantsail", *sys.argv[2:]]
main()
