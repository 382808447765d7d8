"""`audit verify` beside the cockpit, as a process of its own: it folds the whole journal, and would take the engine's time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import NamedTuple

from engine.core.text import safe_text


class Verdict(NamedTuple):
    """`ok` None: it was cancelled or could not run."""

    ok: bool | None
    text: str


class Verifier:
    """One verification at a time. `command` is for tests."""

    def __init__(self, command: Sequence[str] = ()) -> None:
        self._command = command
        self._process: subprocess.Popen[str] | None = None
        self._cancelled = False

    def start(self, ledger: str) -> Future[Verdict]:
        """Begin; returns at once. The future never raises."""
        self._cancelled = False
        future: Future[Verdict] = Future()
        threading.Thread(target=self._run, args=(ledger, future), name="audit verify", daemon=True).start()
        return future

    def cancel(self) -> None:
        """End it; its future says so."""
        self._cancelled = True
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()

    def _run(self, ledger: str, future: Future[Verdict]) -> None:
        try:
            future.set_result(self._verdict(ledger))
        except Exception as error:
            future.set_result(Verdict(None, f"could not run: {safe_text(str(error), 160)}"))

    def _verdict(self, ledger: str) -> Verdict:
        nice = [found, "-n", "10"] if (found := shutil.which("nice")) else []
        own = [sys.executable, "-m", "engine.cli.main", "audit", "verify", "--ledger", ledger, "--json"]
        self._process = process = subprocess.Popen(  # noqa: S603 - no shell, our own program
            [*nice, *(self._command or own)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            start_new_session=True,  # the terminal's Ctrl+C is not meant for it
        )
        if self._cancelled:
            process.terminate()
        out, err = process.communicate()
        if self._cancelled:
            return Verdict(None, "cancelled: nothing was found out")
        try:
            report = json.loads(out)
            return Verdict(bool(report["ok"]), safe_text(str(report["text"]), 300))
        except (ValueError, KeyError, TypeError):
            last = (err.strip().splitlines() or [f"it ended with {process.returncode}"])[-1]
            return Verdict(None, safe_text(last, 200))
