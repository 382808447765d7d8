"""Nothing but the cockpit writes on its terminal: a library that complains would print a traceback over the screen."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMPLAINT = "import logging; from engine import logs; logs.set_up(); logging.getLogger('asyncpg').error('pool', exc_info=OSError('down'))"


def test_what_a_library_logs_does_not_reach_the_terminal(tmp_path: Path) -> None:
    env = os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", COMPLAINT], env=env, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
