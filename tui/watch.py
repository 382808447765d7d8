"""What the cockpit watches beside the engine: room on the disk, and its own settings file. On a thread: a disk can hang."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

from engine.core.text import safe_text
from tui.settings import Settings, SettingsError, load
from tui.viewmodel import Banner

WATCH_S = 5.0
#: Below the first it is time to make room; the second is twice what lets the engine hold new entries (engine/house.py).
LOW_BYTES, SCARCE_BYTES = 4 << 30, 1 << 30
#: A warning stays until there is this much more room than its limit: files come and go.
CALM = 1.1


class Watch:
    """`settings` are those to use, `banners` what is wrong. Both are replaced whole, so that any thread may read them."""

    def __init__(self, folder: Path, settings_file: Path) -> None:
        self._folder, self._file = folder, settings_file
        self._level = 0
        self._seen: tuple[int, int] | None = None
        self._wrong = ""
        self._disk: tuple[Banner, ...] = ()
        self._stop = threading.Event()
        self.settings = Settings()
        self.banners: tuple[Banner, ...] = ()
        self._seen = self._stamp()
        self._read_settings("defaults are used")

    def start(self) -> None:
        """Look every WATCH_S, until `stop`; a daemon, because a disk that hangs must not keep the program."""
        threading.Thread(target=self._run, name="cockpit watch", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.look()
            self._stop.wait(WATCH_S)

    def look(self) -> None:
        """One look at both."""
        stamp = self._stamp()
        if stamp != self._seen:
            self._seen = stamp
            self._read_settings("those from before stay")
        self._look_at_disk()
        self._retell()

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size

    def _read_settings(self, instead: str) -> None:
        try:
            self.settings = load(self._file)
            self._wrong = ""
        except SettingsError as error:
            self._wrong = f"SETTINGS {safe_text(str(error), 110)} - {instead} - quantsail settings check"
        self._retell()

    def _retell(self) -> None:
        wrong = (Banner("WARN", self._wrong, self._wrong),) if self._wrong else ()
        self.banners = (*self._disk, *wrong)

    def _look_at_disk(self) -> None:
        try:
            free = shutil.disk_usage(self._folder).free
        except OSError:
            return  # a folder that is not there yet; what cannot be read at all is the database's to say
        limits = (LOW_BYTES, SCARCE_BYTES)
        level = sum(free < limit for limit in limits)
        if level < self._level and free < limits[self._level - 1] * CALM:
            level = self._level
        self._level = level
        self._disk = (disk_banner(level, free, self._folder),) if level else ()


def disk_banner(level: int, free: int, folder: Path) -> Banner:
    """Severity, how much is left, what to do. `level` 1 is low, 2 is scarce."""
    left = f"{free / (1 << 30):.1f} GB" if free >= 1 << 30 else f"{free >> 20:,} MB"
    # The way out first: a path can be long.
    what = "delete files, or: quantsail db retention" if level == 1 else "DELETE FILES: entries stop soon"
    return Banner(
        ("WARN", "CRIT")[level - 1], f"DISK {left} left - {what} - {safe_text(str(folder), 60)}", f"disk {level}"
    )
