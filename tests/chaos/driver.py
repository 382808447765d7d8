"""A program that runs sessions in forked children, so that a hundred of them can be killed without a hundred imports.

Reads one job a line on stdin (JSON), answers one line: the signal or the exit status that ended the child. Every child is a
process of its own with its own threads, connections and event loop; SIGKILL ends it as it would end the real program.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from engine.app import Session
from engine.feeds import replay as _replay  # noqa: F401 - imported here, so that no child has to
from engine.local import LocalClient
from engine.options import Options


class Borders:
    """Writes each border that is crossed to a file, and kills this very process at the chosen one."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.session: Session | None = None
        self._log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self._kill_at = job.get("border", "")
        self._passes = job.get("passes", 0)

    def cross(self, name: str) -> None:
        assert self.session is not None
        os.write(self._log, f"{name} {self.session.engine.state.ledger.seq}\n".encode())
        if name != self._kill_at:
            return
        if self._passes == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._passes -= 1


def run(job: dict[str, Any]) -> dict[str, Any]:
    """One whole run of the engine, as `run --headless --until-end` does it."""
    borders = Borders(job)
    options = Options(replay=tuple(map(Path, job["replay"])), seed=7, ledger=job["ledger"], speed=None)
    session = borders.session = Session(options, LocalClient(), border=borders.cross, until_end=True)

    async def whole() -> dict[str, Any]:
        await session.boot()
        await session.serve()
        return session.result()

    return asyncio.run(whole())


def in_a_child(job: dict[str, Any]) -> dict[str, Any]:
    """Fork, run, wait; with `kill_after_s` the child is killed then, wherever it is."""
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            Path(job["out"]).write_text(json.dumps(run(job)), encoding="utf-8")
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    if (delay := job.get("kill_after_s")) is not None:
        time.sleep(delay)
        os.kill(pid, signal.SIGKILL)  # still our child until it is waited for, so the number is nobody else's
    _, status = os.waitpid(pid, 0)
    took_s = time.monotonic() - started
    return {"signal": status & 0x7F, "exit": os.waitstatus_to_exitcode(status), "took_s": took_s}


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(in_a_child(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
