"""The terminal of a process that also trades: a slow, frozen or vanished terminal never stops the event loop.

Textual's own driver blocks the loop on the 31st write to a terminal that does not read, spins on a closed one and stops
the whole process on Ctrl+Z's signal (measured in textual 8.2.8). `SafeDriver` differs in four ways:

- Writing is lossy and bounded. Frames a terminal does not take are dropped; when it reads again it gets its modes and
  one full repaint. What restores the terminal at the end is never dropped.
- The end of input (hang-up, closed window) ends the input thread and calls `app.terminal_lost()` on the UI loop.
- SIGTSTP and SIGHUP do not stop or end the process.
- The kill keys are looked at in the input thread: `app.panic_key(key)` is called before the UI loop sees the key, so a
  blocked loop cannot swallow it. The key then goes to Textual as any other.

The app may define `panic_key(key: str) -> None` (called in the input thread: it must be thread-safe and quick),
`terminal_lost() -> None` and `driver_fault(error: Exception) -> None` (both called on the UI loop).

Private names of textual 8.2.8 in use, all of them in this file: `textual._xterm_parser.XTermParser`,
`textual._parser.ParseError`, and of LinuxDriver `_enable_*` / `_disable_line_wrap` / `_in_band_window_resize`.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import threading
import time
from codecs import getincrementaldecoder
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from textual import events
from textual._parser import ParseError
from textual._xterm_parser import BRACKETED_PASTE_END, BRACKETED_PASTE_START, XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

if TYPE_CHECKING:
    from textual.app import App

#: Keys that always mean "kill", as Textual names them (F9 is `ESC [ 20 ~`, Ctrl+K is 0x0b; the Kitty protocol has its
#: own spelling of both, which the parser knows). Inside a bracketed paste they are text, not keys.
PANIC_KEYS = frozenset({"f9", "ctrl+k"})

#: Queued characters above which a terminal counts as stalled: about ten full repaints of a 200x60 screen.
QUEUE_LIMIT_CHARS = 256 * 1024
#: How long the end of the program waits for a terminal that takes nothing. One that still reads gets its last bytes, however
#: slowly: what restores it stands behind at most `QUEUE_LIMIT_CHARS`.
CLOSE_TIMEOUT_S = 2.0
#: A paste that stays open this long without input lost its end on the way; keys (the kill key!) must work again.
PASTE_IDLE_S = 2.0
_POLL_S = 0.1
#: Keys are read as they come; what waits on the clock (a lone Escape, a paste that does not end) follows a key this soon.
_QUIET_POLL_S, _QUIET_AFTER_S = 0.5, 10.0
_READ_BYTES = 4096
_WRITE_BYTES = 4096


def terminal_problem(environ: dict[str, str] | None = None) -> str | None:
    """Why the cockpit cannot be shown here, with the remedy, or None. Looks at TERM, stdin and stderr."""
    env = os.environ if environ is None else environ
    remedy = "Use `quantsail status` or `quantsail events --follow` instead."
    term = env.get("TERM", "")
    if term in ("", "dumb", "unknown"):
        return f"TERM={term or '(unset)'} cannot draw screens. Set TERM, for example xterm-256color. {remedy}"
    for name, stream in (("input", sys.__stdin__), ("error output", sys.__stderr__)):
        if stream is None or not stream.isatty():
            return f"The standard {name} is not a terminal, and the cockpit needs one for its keys. {remedy}"
    return None


class LossyWriter(threading.Thread):
    """Writes to a terminal in a thread of its own; `write()` never blocks its caller.

    Above `QUEUE_LIMIT_CHARS` all that is queued is dropped: frames are only worth something when they are new. Writes are
    dropped whole, so no escape sequence is cut. `on_recover` is called in this thread after the terminal took the last
    byte following a drop, `on_lost` when writing fails for good.
    """

    def __init__(self, fd: int, on_recover: Callable[[], None], on_lost: Callable[[], None]) -> None:
        super().__init__(name="terminal-output", daemon=True)
        self._fd = fd
        self._on_recover = on_recover
        self._on_lost = on_lost
        self._queue: deque[str] = deque()
        self._queued_chars = 0
        self._changed = threading.Condition()
        self._dropping = False
        self._closing = False
        self._stopped = False
        self._taken_bytes = 0
        self.lost = False
        self.dropped_writes = 0

    @property
    def is_stalled(self) -> bool:
        """Whether writes were dropped and the terminal has not caught up yet."""
        return self._dropping

    def write(self, text: str) -> None:
        """Queue `text`, or drop it when the terminal does not take what is queued."""
        with self._changed:
            if self.lost or self._stopped:
                return
            if self._dropping and not self._closing:
                self.dropped_writes += 1
                return
            if self._queued_chars + len(text) > QUEUE_LIMIT_CHARS and not self._closing:
                self.dropped_writes += len(self._queue) + 1
                self._queue.clear()
                self._queued_chars = 0
                self._dropping = True
                return
            self._queue.append(text)
            self._queued_chars += len(text)
            self._changed.notify()

    def close_queue(self) -> None:
        """From now on nothing is dropped (the sequences that restore the terminal follow); old frames go at once."""
        with self._changed:
            if self._dropping:
                self._queue.clear()
                self._queued_chars = 0
            self._closing = True

    def give_up(self) -> None:
        """The terminal is gone: drop everything and end the thread."""
        with self._changed:
            self.lost = self._stopped = True
            self._queue.clear()
            self._changed.notify()

    def stop(self) -> None:
        """End the thread when the queue is empty, or after CLOSE_TIMEOUT_S in which the terminal has read nothing."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        seen = -1
        while self.is_alive() and seen != self._taken_bytes:
            seen = self._taken_bytes
            self.join(CLOSE_TIMEOUT_S)

    def run(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._stopped:
                    self._changed.wait()
                if not self._queue:
                    return
                text = "".join(self._queue)
                self._queue.clear()
                # What is being written still counts, or a stalled terminal would let the queue grow once more.
                self._queued_chars = len(text)
            try:
                self._write_all(text.encode("utf-8", "replace"))
            except OSError:
                self.give_up()
                self._on_lost()
                return
            with self._changed:
                self._queued_chars = sum(map(len, self._queue))
                recovered = self._dropping and not self._queue
                if recovered:
                    self._dropping = False
            if recovered and not self._closing:
                self._on_recover()

    def _write_all(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                # In pieces: a blocking write returns when all is taken, and `stop()` must see that something is.
                taken = os.write(self._fd, view[:_WRITE_BYTES])
                view = view[taken:]
                self._taken_bytes += taken
            except BlockingIOError:
                # Another program may have left the terminal in non-blocking mode: it is shared by all that have it open.
                select.select([], [self._fd], [])


class SafeDriver(LinuxDriver):
    """Textual's driver for Linux and macOS, made safe for a process that must not stop. See the module's text.

    Must be made in the main thread (Python allows signal handlers only there), as any Textual app with a screen.
    """

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._writer: LossyWriter | None = None
        self._raw_attributes: list[Any] | None = None
        self._loss_reported = False
        # The base class installs handlers that stop the process, engine included, and that start a second input thread
        # when it is continued. SIGSTOP cannot be refused; after SIGCONT the terminal may have lost its modes.
        signal.signal(signal.SIGTSTP, signal.SIG_IGN)
        signal.signal(signal.SIGCONT, self._on_continued)
        signal.signal(signal.SIGHUP, self._on_hangup)

    @property
    def can_suspend(self) -> bool:
        """Only while the app hands the terminal to an editor of the operator; Ctrl+Z never stops an engine."""
        return bool(getattr(self._app, "lends_terminal", False))

    @property
    def writer(self) -> LossyWriter | None:
        """The writer while the screen is on: `is_stalled`, `lost` and `dropped_writes` tell how the terminal does."""
        return self._writer

    # -- output ------------------------------------------------------------------------------------------------------

    def write(self, data: str) -> None:
        if self._writer is not None:
            self._writer.write(data)

    def start_application_mode(self) -> None:
        if self._file is None:
            raise RuntimeError("standard error is closed, and the screen is drawn there: ask terminal_problem() first")
        self._writer = LossyWriter(
            self._file.fileno(),
            on_recover=lambda: self._on_loop(self._restore_screen),
            on_lost=self._report_loss,
        )
        self._writer.start()
        # The base class starts a writer of its own. It stays idle, because all writing goes through `write()`.
        super().start_application_mode()  # type: ignore[no-untyped-call]
        try:
            self._raw_attributes = termios.tcgetattr(self.fileno)
        except termios.error:
            self._raw_attributes = None
        # A background process that uses its terminal would be stopped as a whole. Now the read fails, and we wait.
        signal.signal(signal.SIGTTIN, signal.SIG_IGN)
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)

    def stop_application_mode(self) -> None:
        if self._writer is not None:
            self._writer.close_queue()
        super().stop_application_mode()

    def close(self) -> None:
        super().close()
        if self._writer is not None:
            self._writer.stop()

    def _restore_screen(self) -> None:
        """Bring a terminal that missed something to a known state: its modes, then every cell."""
        if self._writer is None or not self._app.is_running:
            return
        # A dropped frame may have been the end of a synchronised update, and with it the rest of the screen.
        self.write("\x1b[?2026l\x1b[?1049h\x1b[?25l\x1b[?1004h")
        self._enable_mouse_support()
        self._enable_bracketed_paste()
        self._disable_line_wrap()
        if self._in_band_window_resize:
            self._enable_in_band_window_resize()
        self._app.refresh(layout=True)

    # -- signals and loss --------------------------------------------------------------------------------------------

    def _on_continued(self, *_: object) -> None:
        if self._in_background():
            return
        if self._raw_attributes is not None:
            try:
                termios.tcsetattr(self.fileno, termios.TCSANOW, self._raw_attributes)
            except termios.error:
                self._report_loss()
        self._on_loop(self._restore_screen)

    def _on_hangup(self, *_: object) -> None:
        # A SIGHUP sent by hand says nothing about the terminal; a terminal that hung up answers no question.
        try:
            termios.tcgetattr(self.fileno)
        except termios.error:
            self._report_loss()

    def _in_background(self) -> bool:
        try:
            return os.tcgetpgrp(self.fileno) != os.getpgrp()
        except OSError:
            return False

    def _report_loss(self) -> None:
        """Tell the app once, on its loop, that nobody sees the screen any more."""
        if self._loss_reported:
            return
        self._loss_reported = True
        if self._writer is not None:
            self._writer.give_up()
        terminal_lost = getattr(self._app, "terminal_lost", None)
        if terminal_lost is not None:
            self._on_loop(terminal_lost)

    def _on_loop(self, callback: Callable[..., None], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            # The loop is closed: the UI has ended, and there is nobody left to tell.
            return

    # -- input -------------------------------------------------------------------------------------------------------

    def run_input_thread(self) -> None:
        """Read keys until the program ends or the input does. Runs in the input thread."""
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")("replace").decode
        paste = _PasteWatch()
        last_mono = time.monotonic()
        try:
            while not self.exit_event.is_set():
                text = ""
                quiet = time.monotonic() - last_mono > _QUIET_AFTER_S
                if select.select([self.fileno], [], [], _QUIET_POLL_S if quiet else _POLL_S)[0]:
                    last_mono = time.monotonic()
                    data = self._read()
                    if data is None:
                        self._report_loss()
                        break
                    text = decode(data)
                for event in parser.feed(paste.seen(text)) if text else parser.tick():
                    self.process_message(event)
                if end := paste.overdue():
                    for event in parser.feed(end):
                        self.process_message(event)
        except Exception as error:
            # Without this thread there are no keys. The app must hear of it; the base class would print a traceback.
            self._fault(error)
        finally:
            # The end of input flushes what the parser still holds; an error is its way to say that there was nothing.
            with contextlib.suppress(EOFError, ParseError):
                for _ in parser.feed(""):
                    pass

    def _read(self) -> bytes | None:
        """Bytes from the terminal, empty while we are in the background, None at the end of input."""
        try:
            return os.read(self.fileno, _READ_BYTES) or None
        except (BlockingIOError, InterruptedError):
            return b""
        except OSError:
            if self._in_background():
                time.sleep(_POLL_S)
                return b""
            return None

    def process_message(self, message: Message) -> None:
        if isinstance(message, events.Key) and message.key in PANIC_KEYS:
            panic_key = getattr(self._app, "panic_key", None)
            if panic_key is not None:
                try:
                    panic_key(message.key)
                except Exception as error:
                    # The key still goes to Textual, where the dialog is the second way to the same end.
                    self._fault(error)
        try:
            super().process_message(message)
        except RuntimeError as error:
            if not self._loop.is_closed():
                self._fault(error)

    def _fault(self, error: Exception) -> None:
        driver_fault = getattr(self._app, "driver_fault", None)
        if driver_fault is not None:
            self._on_loop(driver_fault, error)


class _PasteWatch:
    """Notices a bracketed paste whose end never comes."""

    def __init__(self) -> None:
        self._tail = ""
        self._open = False
        self._last_input_s = 0.0

    def seen(self, text: str) -> str:
        """Remember whether `text` leaves a paste open; returns it unchanged."""
        window = self._tail + text
        start, end = window.rfind(BRACKETED_PASTE_START), window.rfind(BRACKETED_PASTE_END)
        if start != end:
            self._open = start > end
        self._tail = window[-(len(BRACKETED_PASTE_START) - 1) :]
        self._last_input_s = time.monotonic()
        return text

    def overdue(self) -> str:
        """The missing end of the paste, once PASTE_IDLE_S have passed without input; else nothing."""
        if not self._open or time.monotonic() - self._last_input_s < PASTE_IDLE_S:
            return ""
        self._open = False
        return BRACKETED_PASTE_END
