"""When the screen's code fails: nothing secret is printed or written, the reason is, and the file is private."""

from __future__ import annotations

import stat
import sys
import threading
from pathlib import Path

import pytest
from textual.app import App
from textual.widgets import Static

from tests.tui.terminal import Terminal
from tui.crash import CockpitApp, install_crash_policy, redact, report, where, write_crash_log

ROOT = Path(__file__).resolve().parents[2]
SECRET = "hunter2Qx9"
LONG_SECRET = "k3yAbCdEfGhIjKlMnOpQrStUvWxYz0123456789"

APP = f"""
import sys
from pathlib import Path
from textual.widgets import Static
from tui.crash import CockpitApp

class Fails(CockpitApp[None]):
    def compose(self):
        yield Static("ready")

    def on_key(self, event):
        api_secret = "".join({list(SECRET)!r})
        if event.key == "r":
            class Rich(Exception):
                def __rich__(self):
                    return api_secret
            raise Rich(api_secret)
        if event.key == "w":
            self.run_worker(self.work(api_secret))
            return
        if event.key == "p":
            self.panic("plain words")
            return
        raise ValueError("login failed, api_secret=" + api_secret + " \\x1b]0;PWNED\\x07")

    async def work(self, api_secret):
        raise ValueError("worker, secret: " + api_secret)

app = Fails(crash_log=Path(sys.argv[1]))
app.run()
sys.exit(app.return_code)
"""


@pytest.mark.parametrize(("key", "kind"), [("x", "ValueError"), ("r", "Rich"), ("w", "WorkerFailed")])
def test_a_crash_on_a_real_terminal_shows_the_place_and_no_value(tmp_path: Path, key: str, kind: str) -> None:
    (tmp_path / "app.py").write_text(APP)
    log = tmp_path / "logs" / "crash.log"
    with Terminal(120, 30) as terminal:
        terminal.spawn([sys.executable, str(tmp_path / "app.py"), str(log)], {"PYTHONPATH": str(ROOT)})
        terminal.wait_for("ready")
        terminal.send(key)
        assert terminal.wait_exit() == 1
        terminal.wait_for(f"quantsail: the screen stopped ({kind}")
        raw = terminal.raw
    assert SECRET.encode() not in raw
    assert b"PWNED" not in raw
    assert b"api_secret" not in raw
    if key != "r":
        written = log.read_text()
        assert SECRET not in written
        assert "\x1b" not in written
        assert "ValueError" in written
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_panic_prints_its_words(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    with Terminal(80, 24) as terminal:
        terminal.spawn([sys.executable, str(tmp_path / "app.py"), str(tmp_path / "log")], {"PYTHONPATH": str(ROOT)})
        terminal.wait_for("ready")
        terminal.send("p")
        terminal.wait_exit()
        terminal.wait_for("plain words")


async def test_pilot_raises_what_happened_in_the_app() -> None:
    class Broken(CockpitApp[None]):
        def on_mount(self) -> None:
            raise LookupError("in mount")

    with pytest.raises(LookupError, match="in mount"):
        async with Broken().run_test():
            raise AssertionError("the app must not start")


async def test_a_theme_that_is_not_ours_knows_our_variables() -> None:
    class Foreign(CockpitApp[None]):
        CSS = "Static { color: $up; background: $cursor; border: round $grid; }"

        def compose(self):  # type: ignore[no-untyped-def]
            yield Static("x")

    app: App[None] = Foreign()
    async with app.run_test() as pilot:
        app.theme = "nord"
        await pilot.pause()
        assert app.query_one(Static).styles.color.hex.lower() == "#56b4e9"


@pytest.mark.parametrize(
    "line",
    [
        f"postgresql://sail:{SECRET}@localhost/db",
        f"api_key={SECRET}",
        f'{{"apiSecret": "{SECRET}"}}',
        f"X-MBX-APIKEY: {SECRET}",
        f"Authorization: Bearer {SECRET}",
        f"{{'passphrase': '{SECRET}'}}",
        f"https://venue.example/order?symbol=BTC&signature={SECRET}&x=1",
        f"BINANCE_SECRET={SECRET}",
        f"unexpected value {LONG_SECRET} in line 4",
    ],
)
def test_redact(line: str) -> None:
    clean = redact(line)
    assert SECRET not in clean
    assert LONG_SECRET not in clean
    assert "***" in clean


def test_redact_leaves_ordinary_words_and_numbers() -> None:
    line = 'File "engine/core/ledger.py", line 41, in apply: quantity 0.021 of BTC/USDT at 2026-11-20T14:03:22Z'
    assert redact(line) == line


def _fail(secret: str) -> Exception:
    try:
        try:
            raise KeyError(f"token={secret}")
        except KeyError as cause:
            raise ValueError("outer") from cause
    except ValueError as error:
        return error


def test_the_report_has_causes_and_no_values() -> None:
    text = report(_fail(SECRET))
    assert "KeyError" in text
    assert "ValueError: outer" in text
    assert SECRET not in text
    assert where(_fail(SECRET)).startswith("ValueError at test_crash.py:")
    assert where(ValueError("no traceback")) == "ValueError"


def test_the_log_is_appended_and_follows_no_link(tmp_path: Path) -> None:
    log = tmp_path / "crash.log"
    assert write_crash_log(log, ValueError("one")) is None
    assert write_crash_log(log, ValueError("two")) is None
    assert [word in log.read_text() for word in ("one", "two")] == [True, True]
    (tmp_path / "victim").write_text("untouched")
    (tmp_path / "link").symlink_to(tmp_path / "victim")
    problem = write_crash_log(tmp_path / "link", ValueError("x"))
    assert problem is not None and problem.startswith("OSError")
    assert (tmp_path / "victim").read_text() == "untouched"


def test_a_log_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    problem = write_crash_log(tmp_path / "file" / "crash.log", ValueError("x"))
    assert problem is not None and "Error" in problem


def test_an_uncaught_error_of_a_thread_is_logged_without_its_values(tmp_path: Path) -> None:
    def run() -> None:
        raise ValueError(f"password={SECRET}")

    before = sys.excepthook, threading.excepthook
    undo = install_crash_policy(tmp_path / "crash.log")
    try:
        thread = threading.Thread(target=run, name="feed")
        thread.start()
        thread.join()
    finally:
        undo()
    written = (tmp_path / "crash.log").read_text()
    assert "ValueError" in written
    assert SECRET not in written
    assert (sys.excepthook, threading.excepthook) == before
