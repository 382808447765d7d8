"""What happens when the screen's own code fails: no local variable is printed, no secret is written, the engine goes on.

Textual prints the locals of every frame when an app fails, and in this program a local can be an API key. Here the
terminal gets one line with the error's type and place, and a log file gets a traceback without values, redacted.
"""

from __future__ import annotations

import os
import re
import select
import sys
import threading
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Generic, TypeVar

from rich.console import RenderableType
from rich.segment import Segments
from rich.text import Text
from textual._compositor import ChopsUpdate
from textual.app import App
from textual.await_complete import AwaitComplete
from textual.screen import Screen
from textual.widget import Widget

from engine.core.text import safe_text
from tui.driver import SafeDriver
from tui.theme import VARIABLE_DEFAULTS, register_themes
from tui.widgets.tight import TightUpdate

ReturnType = TypeVar("ReturnType")

#: Longest crash report that is written: deep recursions repeat themselves.
REPORT_CHARS_MAX = 64_000
REDACTED = "***"

_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    # scheme://user:password@host
    (re.compile(r"(\w+://[^\s:/@]*:)[^\s@]+(@)"), rf"\1{REDACTED}\2"),
    # Authorization: Bearer x
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]+"), rf"\1 {REDACTED}"),
    # api_key=x, "secret": "x", signature: x
    (
        re.compile(
            r"(?i)([\w-]*(?:api_?-?key|secret|passw(?:or)?d|passphrase|token|signature|private_?-?key|authorization)"
            r"[\w-]*[\"']?\s*[:=]\s*[\"']?)[^\s\"',;&)}\]]+"
        ),
        rf"\1{REDACTED}",
    ),
    # A long run of letters and digits is a key, a hash or a signature; no word and no number of ours is that long.
    (re.compile(r"(?<![\w./-])(?=[A-Za-z+/=_-]*\d)(?=\d*[A-Za-z+/=_-])[A-Za-z0-9+/=_-]{20,}"), REDACTED),
)


def redact(text: str) -> str:
    """`text` with passwords in URLs, named secrets and long random-looking words replaced by "***"."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def where(error: BaseException) -> str:
    """Type and place of an error, without its message: "ValueError at dashboard.py:41 in on_mount"."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return type(error).__name__
    last = frames[-1]
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno} in {last.name}"


def report(error: BaseException) -> str:
    """The traceback of `error` with causes, without values of variables, redacted, safe to show, bounded."""
    lines = traceback.TracebackException.from_exception(error, capture_locals=False, max_group_depth=3)
    return safe_text(redact("".join(lines.format())), REPORT_CHARS_MAX, multiline=True)


def write_crash_log(path: Path, error: BaseException) -> str | None:
    """Append the report of `error` to `path` (mode 0600). Returns None, or why it could not be written."""
    entry = f"{datetime.now(UTC).isoformat(timespec='seconds')}\n{report(error)}\n\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # A link planted at a known place must not choose the file we append to.
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0), 0o600)
        with os.fdopen(fd, "w", encoding="utf-8", errors="replace") as file:
            file.write(entry)
    except OSError as problem:
        return f"{type(problem).__name__}: {problem.strerror}"
    return None


def crash_line(what: str, error: BaseException, crash_log: Path | None) -> str:
    """Log `error` and say so in one line that names no value: what failed, where, where to read more."""
    line = f"quantsail: {what} ({where(error)})."
    if crash_log is None:
        return line
    problem = write_crash_log(crash_log, error)
    if problem is not None:
        return f"{line} The details could not be written to {crash_log}: {problem}."
    return f"{line} Details without values: {crash_log}"


def install_crash_policy(crash_log: Path | None) -> Callable[[], None]:
    """Let no uncaught exception of any thread print a message with a value in it. Returns the undo function.

    Replaces `sys.excepthook` and `threading.excepthook`; KeyboardInterrupt and SystemExit keep their meaning.
    """
    before = sys.excepthook, threading.excepthook

    def main_hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            before[0](kind, error, trace)
        else:
            _say(crash_line("the program stopped", error, crash_log))

    def thread_hook(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            name = args.thread.name if args.thread else "?"
            _say(crash_line(f"the thread {name} stopped", args.exc_value, crash_log))

    def undo() -> None:
        sys.excepthook, threading.excepthook = before

    sys.excepthook, threading.excepthook = main_hook, thread_hook
    return undo


def _say(line: str) -> None:
    """One line on standard error, unless that would wait for a terminal that does not read or is gone."""
    stream = sys.__stderr__
    if stream is None:
        return
    try:
        if select.select([], [stream], [], 1.0)[1]:
            stream.write(line + "\n")
            stream.flush()
    except (OSError, ValueError):
        # Nobody is there to read it; the log has it.
        return


class CockpitApp(App[ReturnType], Generic[ReturnType]):
    """The base of our apps: SafeDriver, our themes, and the crash policy. An error ends the screen, not the engine.

    `crash_log`: file the redacted report goes to, or None. Private names of textual 8.2.8 in use, only here:
    `_handle_exception`, `_print_error_renderables`, `_exit_renderables`, `_close_messages_no_wait`, `_exception`,
    `_exception_event`, `_return_code`, `_display`.
    """

    def __init__(self, *, crash_log: Path | None = None) -> None:
        super().__init__(driver_class=SafeDriver)
        self.crash_log = crash_log
        register_themes(self)
        self._styled = ""  # the theme that the style sheet has the colours of

    def get_theme_variable_defaults(self) -> dict[str, str]:
        # A theme of Textual's own has no $up and $down; without a default its stylesheet would not load.
        return {**super().get_theme_variable_defaults(), **VARIABLE_DEFAULTS}

    def refresh_css(self, animate: bool = True) -> None:
        """Read the style sheet anew for other colours, not for a screen that mounts: that one is styled as it does."""
        other = self.theme != self._styled
        if self.screen_stack and (self.screen.is_mounted or other):
            super().refresh_css(animate)
            for widget in self.screen.walk_children(Widget):
                widget.notify_style_update()  # what is drawn in colours of the theme by name is drawn anew
                widget.refresh()
        elif other:
            self.stylesheet.set_variables(self.get_css_variables())
        self._styled = self.theme

    def pop_screen(self) -> AwaitComplete:
        """The last screen stays: a dialog that is left twice by a fast hand must not end the cockpit."""
        return super().pop_screen() if len(self.screen_stack) > 1 else AwaitComplete()

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        if isinstance(renderable, ChopsUpdate):
            renderable = TightUpdate(renderable)
        super()._display(screen, renderable)

    def driver_fault(self, error: Exception) -> None:
        """The input thread or the kill key's handler failed: the screen without keys would be a trap, so it ends."""
        self._handle_exception(error)

    def _handle_exception(self, error: Exception) -> None:
        self._return_code = 1
        if self._exception is None:
            # Pilot raises it again in the test that caused it.
            self._exception = error
            self._exception_event.set()
        self._exit_renderables.append(Text(crash_line("the screen stopped", error, self.crash_log)))
        self._close_messages_no_wait()

    def _print_error_renderables(self) -> None:
        for renderable in self._exit_renderables[:1]:
            # `panic()` stores Segments, `exit(message=...)` any renderable; only plain words are printed.
            if isinstance(renderable, Segments):
                _say("".join(segment.text for segment in renderable.segments).strip())
            elif isinstance(renderable, (str, Text)):
                _say(str(renderable))
        self._exit_renderables.clear()
