"""A pseudo-terminal that keeps time: no screen is interpreted, so that the measuring costs less than what is measured."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
# What Textual asks a terminal, and what a modern one answers.
_ANSWERS = ((b"\x1b[?2026$p", b"\x1b[?2026;2$y"), (b"\x1b[?2048$p", b"\x1b[?2048;0$y"))
_TAIL = 4_096


class ProbeError(Exception):
    """The program did not do what is to be timed; the message ends with what it wrote last."""


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a measured program: ours without what would change it, `more` added. An installed program has its
    bytecode on disk: where writing it is switched off, every start would compile every module."""
    dropped = (
        *("TMUX", "NO_COLOR", "TEXTUAL", "TEXTUAL_DRIVER", "DATABASE_URL"),
        *("PYTHONPROFILEIMPORTTIME", "PYTHONDONTWRITEBYTECODE"),
    )
    base = {key: value for key, value in os.environ.items() if key not in dropped}
    terminal = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8"}
    return {**base, **terminal, "PYTHONPATH": str(ROOT), **(more or {})}


def program() -> list[str]:
    """The `quantsail` of this Python: its console script, or, where it is not installed, the same entry as a module."""
    script = Path(sys.executable).with_name("quantsail")
    return [str(script)] if script.exists() else [sys.executable, "-m", "engine.cli.main"]


def cpu_s(pid: int) -> float:
    """CPU seconds of one process so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def rss_mb(pid: int) -> float:
    """Resident set of one process, in megabytes (Linux)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 1e6


class Probe:
    """One program in a pseudo-terminal of `cols` x `rows`, read by whoever waits. Use it as a context manager."""

    def __init__(
        self, argv: Sequence[str], env: Mapping[str, str] | None = None, cols: int = 200, rows: int = 50
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
        os.set_blocking(self._master, False)
        self.received = 0
        self._tail = b""
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=environment(env), cwd=ROOT
        )
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """SIGTERM is the safe stop of the cockpit, its server included; SIGKILL for what does not listen."""
        self.process.send_signal(signal.SIGTERM)
        deadline = time.perf_counter() + 20
        while self.process.poll() is None and time.perf_counter() < deadline:
            self._pump(0.05)
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def _pump(self, timeout_s: float) -> bytes:
        if not select.select([self._master], [], [], max(0.0, timeout_s))[0]:
            return b""
        try:
            data = os.read(self._master, 1 << 16)
        except BlockingIOError:
            return b""
        except OSError:  # Linux says EIO when the last process has closed its side
            time.sleep(0.01)
            return b""
        for question, answer in _ANSWERS:
            if question in data:
                os.write(self._master, answer)
        self.received += len(data)
        self._tail = (self._tail + data)[-_TAIL * 16 :]
        return data

    def wait_for(self, mark: bytes, timeout_s: float = 60.0) -> float:
        """Milliseconds from the process's start until `mark` was written. Raises ProbeError."""
        deadline = time.perf_counter() + timeout_s
        while mark not in self._tail:
            if time.perf_counter() > deadline or (self.process.poll() is not None and not self._pump(0.2)):
                raise ProbeError(f"{mark!r} was not written within {timeout_s:g} s: {self._tail[-400:]!r}")
            self._pump(0.05)
        return (time.perf_counter() - self.started) * 1e3

    def press(self, key: bytes, mark: bytes, timeout_s: float = 5.0) -> float:
        """Milliseconds from sending `key` until `mark` was written anew. Raises ProbeError."""
        self.drain(0.0)
        self._tail = b""
        sent = time.perf_counter()
        os.write(self._master, key)
        while mark not in self._tail:
            if time.perf_counter() - sent > timeout_s:
                raise ProbeError(f"{key!r} did not bring {mark!r} within {timeout_s:g} s: {self._tail[-400:]!r}")
            self._pump(0.05)
        return (time.perf_counter() - sent) * 1e3

    def send(self, key: bytes) -> None:
        os.write(self._master, key)

    def drain(self, seconds: float) -> bytes:
        """Read all that is written for `seconds`."""
        end = time.perf_counter() + seconds
        data = b""
        while True:
            left = end - time.perf_counter()
            part = self._pump(min(0.05, left))
            data += part
            if left <= 0 and not part:
                return data

    def work_over(self, seconds: float) -> tuple[float, float]:
        """(CPU percent, bytes a second) of the program over the next `seconds`."""
        cpu, received, start = cpu_s(self.process.pid), self.received, time.perf_counter()
        self.drain(seconds)
        spent = time.perf_counter() - start
        return (cpu_s(self.process.pid) - cpu) / spent * 100, (self.received - received) / spent

    @property
    def rss_mb(self) -> float:
        return rss_mb(self.process.pid)
