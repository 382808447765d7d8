"""A pseudo-terminal that drives a real program: a screen one can read, keys, and the ways a terminal fails.

    from tests.tui.terminal import F9, Terminal

    with Terminal(120, 40) as terminal:
        terminal.spawn([sys.executable, "-m", "engine.cli.main", "run"], {"QUANTSAIL_HOME": str(tmp_path)})
        terminal.wait_for("ACTIVE")
        terminal.send(F9)

A thread reads all output into a pyte screen (`screen()`) and, byte by byte, into `raw`. It answers the two questions
Textual asks a terminal. On leaving the block every process the program started, detached ones too, is ended.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

import pyte

from engine.core.text import display_width
from tests.patience import PATIENCE_S

F9 = "\x1b[20~"
CTRL_K = "\x0b"
CTRL_Q = "\x11"
ENTER = "\r"
ESCAPE = "\x1b"
TAB = "\t"
UP, DOWN = "\x1b[A", "\x1b[B"
PASTE_START, PASTE_END = "\x1b[200~", "\x1b[201~"

#: Every process of a test carries this variable, so that none outlives it, whatever session it moved to.
_MARK = "QUANTSAIL_TEST_TERMINAL"
#: What would make a program see another terminal than this one; pytest-xdist's workers have the size of their own in theirs.
LEFT_OUT = ("TMUX", "NO_COLOR", "TEXTUAL", "TEXTUAL_DRIVER", "COLUMNS", "LINES")
# Sequences pyte 0.8 would print as text: private modes with "<", "=" or ">" (the Kitty keyboard protocol).
_UNKNOWN_TO_PYTE = re.compile(rb"\x1b\[[<=>][0-9;]*[A-Za-z]|\x1b\[\?[0-9;]*\$p")
_ANSWERS = ((b"\x1b[?2026$p", b"\x1b[?2026;2$y"), (b"\x1b[?2048$p", b"\x1b[?2048;0$y"))
# Makes the pseudo-terminal the controlling one, so that closing it is a hang-up, and then becomes the program.
_BECOME = "import fcntl,os,sys,termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"


class Terminal:
    """One pseudo-terminal of `cols` x `rows` with at most one program in it. Use it as a context manager."""

    def __init__(self, cols: int = 80, rows: int = 24, *, answer: bool = True) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self._answer = answer
        self._mark = uuid.uuid4().hex
        self._master, self._slave = pty.openpty()
        os.set_blocking(self._master, False)
        self._screen = pyte.Screen(cols, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._raw = bytearray()
        self._held = b""
        self._changed = threading.Condition()
        self._reading = threading.Event()
        self._reading.set()
        self._closed = threading.Event()
        self._set_size(cols, rows)
        self._reader = threading.Thread(target=self._read_forever, name="terminal-reader", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- the program -------------------------------------------------------------------------------------------------

    def spawn(self, argv: list[str], env: dict[str, str] | None = None, cwd: Path | None = None) -> int:
        """Start a program with this as its controlling terminal; returns its process id. `env` is added to ours."""
        base = {k: v for k, v in os.environ.items() if k not in LEFT_OUT}
        full = {**base, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8", **(env or {})}
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-E", "-c", _BECOME, *argv],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            start_new_session=True,
            env={**full, _MARK: self._mark},
            cwd=cwd,
        )
        os.close(self._slave)
        self._slave = -1
        return self.process.pid

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def wait_exit(self, timeout_s: float = PATIENCE_S) -> int:
        """The exit code (negative: the signal). Raises AssertionError with the screen when it does not end."""
        assert self.process is not None, "spawn() first"
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout_s} s\n{self.text()}") from None

    def cpu_s(self) -> float:
        """CPU seconds the program has used so far (Linux)."""
        assert self.process is not None, "spawn() first"
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # -- input and output --------------------------------------------------------------------------------------------

    def send(self, keys: str) -> None:
        """Type `keys`: characters and escape sequences."""
        data = keys.encode()
        while data:
            select.select([], [self._master], [], 5.0)
            data = data[os.write(self._master, data) :]

    def screen(self) -> list[str]:
        """The rows as they are shown now, without trailing blanks."""
        with self._changed:
            return self._rows()

    def _rows(self) -> list[str]:
        """As pyte's `display`, which fails on the right half of a wide character whose left half was written over: a blank."""
        out = []
        for y in range(self._screen.lines):
            row, wide = "", False
            for x in range(self._screen.columns):
                char = self._screen.buffer[y][x].data
                row += char or ("" if wide else " ")
                wide = bool(char) and display_width(char[0]) == 2
            out.append(row.rstrip())
        return out

    def text(self) -> str:
        """The screen as one string."""
        return "\n".join(self.screen())

    @property
    def raw(self) -> bytes:
        """All bytes the program has written so far."""
        with self._changed:
            return bytes(self._raw)

    def wait_for(self, text: str, timeout_s: float = PATIENCE_S, *, gone: bool = False) -> list[str]:
        """Wait until a row shows `text` (or, with `gone`, none does); returns the screen.

        Raises AssertionError with the screen after `timeout_s`, or at once when the program has ended.
        """
        end = time.monotonic() + timeout_s
        with self._changed:
            while True:
                ended = not self.is_running()
                rows = self._rows()
                if any(text in row for row in rows) != gone:
                    return rows
                left = end - time.monotonic()
                if left <= 0 or (ended and self._closed.is_set()):
                    what = "still on" if gone else "not on"
                    raise AssertionError(f"{text!r} is {what} the screen:\n" + "\n".join(rows))
                self._changed.wait(min(left, 0.2))

    def wait_raw(self, data: bytes, timeout_s: float = PATIENCE_S) -> None:
        """Wait until the program has written `data`, for what a screen does not keep."""
        end = time.monotonic() + timeout_s
        with self._changed:
            while data not in self._raw:
                left = end - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"{data!r} was not written in {timeout_s} s")
                self._changed.wait(min(left, 0.2))

    # -- the ways a terminal behaves ---------------------------------------------------------------------------------

    def resize(self, cols: int, rows: int) -> None:
        """Change the size; the program gets SIGWINCH."""
        with self._changed:
            self._screen.resize(rows, cols)
        self._set_size(cols, rows)

    def stop_reading(self) -> None:
        """From now on the terminal takes no output, as a frozen SSH link."""
        self._reading.clear()

    def resume(self) -> None:
        """Read again, first all that has waited."""
        self._reading.set()

    def close_master(self) -> None:
        """Close the terminal: the program gets SIGHUP, the end of its input, and errors when it writes."""
        self._closed.set()
        self._reading.set()
        self._reader.join(PATIENCE_S)
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def close(self) -> None:
        """End the program and everything it started: SIGTERM, then SIGKILL to those that are left."""
        for signum, patience_s in ((signal.SIGTERM, 3.0), (signal.SIGKILL, PATIENCE_S)):
            self._end(signum, patience_s)
        self.close_master()
        if self._slave >= 0:
            os.close(self._slave)
            self._slave = -1
        if self.process is not None:
            self.process.wait(PATIENCE_S)

    def _end(self, signum: int, patience_s: float) -> None:
        end = time.monotonic() + patience_s
        for pid in self._pids():
            try:
                os.kill(pid, signum)
            except ProcessLookupError:
                continue
        while time.monotonic() < end and self._pids():
            time.sleep(0.02)

    def _pids(self) -> list[int]:
        """The program, if it runs, and on Linux all living processes that carry our mark."""
        found: list[int] = []
        if self.process is not None and self.process.poll() is None:
            found.append(self.process.pid)
        wanted = f"{_MARK}={self._mark}".encode()
        for entry in Path("/proc").glob("[0-9]*/environ"):
            try:
                if wanted in entry.read_bytes():
                    found.append(int(entry.parent.name))
            except (OSError, ValueError):
                continue
        return list(dict.fromkeys(found))

    def _set_size(self, cols: int, rows: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def _read_forever(self) -> None:
        while not self._closed.is_set():
            if not self._reading.wait(0.1) or not select.select([self._master], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(self._master, 1 << 16)
            except BlockingIOError:
                continue
            except OSError:
                # Linux says EIO when the last process has closed its side.
                if self.process is not None and self.process.poll() is not None:
                    break
                time.sleep(0.02)
                continue
            self._take(data)
        with self._changed:
            self._closed.set()
            self._changed.notify_all()

    def _take(self, data: bytes) -> None:
        with self._changed:
            self._raw += data
            if self._answer:
                for question, answer in _ANSWERS:
                    if question in data:
                        os.write(self._master, answer)
            data = self._held + data
            # An escape sequence cut by the end of the read waits for its rest, or it could not be filtered.
            start = data.rfind(b"\x1b")
            cut = start if start >= 0 and len(data) - start < 32 and not _is_whole(data[start:]) else len(data)
            self._held = data[cut:]
            self._stream.feed(_UNKNOWN_TO_PYTE.sub(b"", data[:cut]))
            self._changed.notify_all()


def _is_whole(sequence: bytes) -> bool:
    """Whether an escape sequence at the end of a read is complete (CSI and two-byte sequences)."""
    if sequence.startswith(b"\x1b["):
        return re.match(rb"\x1b\[[0-?]*[ -/]*[@-~]", sequence) is not None
    return len(sequence) > 1
