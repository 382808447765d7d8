"""SafeDriver in a real pseudo-terminal: frozen, closed, stopped, blocked and pasted-into."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.patience import until
from tests.tui.terminal import CTRL_K, F9, PASTE_END, PASTE_START, Terminal
from tui.driver import terminal_problem

ROOT = Path(__file__).resolve().parents[2]
APP = """
import sys, threading, time
from pathlib import Path
from textual.widgets import Input, Static
from tui.crash import CockpitApp

HOME = Path(sys.argv[1])

class Tiny(CockpitApp[None]):
    CSS = "#wall {height: 1fr;}"
    beats = 0

    def compose(self):
        yield Static("start", id="beat", markup=False)
        yield Input(id="input")
        yield Static("", id="wall", markup=False)

    def on_mount(self):
        self.set_interval(0.02, self.beat)

    def beat(self):
        self.beats += 1
        self.query_one("#beat", Static).update(f"beat {self.beats} seen")
        # Every beat repaints the whole screen: about 10 kB.
        self.query_one("#wall", Static).update(chr(97 + self.beats % 26) * 8000)
        writer = self._driver.writer
        self.say("beats", f"{self.beats} {int(writer.is_stalled)} {writer.dropped_writes}")
        self.say("threads", " ".join(thread.name for thread in threading.enumerate()) + "\\n")

    def say(self, name, text):
        # Whole at once: the test reads at any time.
        (HOME / f"{name}.new").write_text(text)
        (HOME / f"{name}.new").replace(HOME / name)

    def on_key(self, event):
        with (HOME / "keys").open("a") as file:
            file.write(event.key + "\\n")
        if event.key == "f5":
            (HOME / "blocked").touch()
            while not (HOME / "unblock").exists():
                time.sleep(0.01)
        if event.key == "f6":
            self.exit(message="left by f6")

    def panic_key(self, key):
        with (HOME / "panic").open("a") as file:
            file.write(key + "\\n")
        if (HOME / "broken").exists():
            raise RuntimeError("no kill for you")

    def terminal_lost(self):
        with (HOME / "lost").open("a") as file:
            file.write("lost\\n")

app = Tiny(crash_log=HOME / "crash.log")
app.run()
sys.exit(app.return_code)
"""


class Home:
    """The files the app under test writes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self, name: str) -> list[str]:
        file = self.path / name
        return file.read_text().split("\n")[:-1] if file.exists() else []

    def words(self, name: str) -> list[str]:
        return " ".join(self.lines(name)).split() or ["textual-input"]

    def beats(self) -> tuple[int, bool, int]:
        """Beats of the UI loop, whether the terminal is stalled, writes dropped. (0, False, 0) before the first."""
        file = self.path / "beats"
        parts = file.read_text().split() if file.exists() else []
        return (int(parts[0]), parts[1] == "1", int(parts[2])) if len(parts) == 3 else (0, False, 0)

    def wait_beats(self, more: int) -> None:
        """Wait until the loop has beaten `more` times from now."""
        goal = self.beats()[0] + more
        until(lambda: self.beats()[0] >= goal, f"{more} more beats")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    (tmp_path / "app.py").write_text(APP)
    with Terminal(100, 30) as screen:
        screen.spawn([sys.executable, str(tmp_path / "app.py"), str(tmp_path)], {"PYTHONPATH": str(ROOT)})
        screen.wait_for("seen")
        yield screen


def test_a_frozen_terminal_does_not_stop_the_loop_and_is_repainted(terminal: Terminal, home: Home) -> None:
    terminal.stop_reading()
    until(lambda: home.beats()[1], "stall")
    home.wait_beats(100)
    assert home.beats()[1], "the terminal still does not read"
    assert home.beats()[2] > 0, "frames were dropped"
    frozen_at = home.beats()[0]
    terminal.resume()
    until(lambda: not home.beats()[1], "recovery")

    def shown_beat() -> int:
        row = next((row for row in terminal.screen() if row.startswith("beat ")), "beat 0 seen")
        return int(row.split()[1])

    def is_painted_whole() -> bool:
        # A picture may be read while half of the next frame has arrived.
        return all(len(set(row)) == 1 for row in terminal.screen()[5:29])

    until(lambda: shown_beat() > frozen_at, "fresh frame on the screen")
    until(is_painted_whole, "every row painted whole")


def test_a_closed_terminal_is_noticed_once_and_nothing_spins(terminal: Terminal, home: Home) -> None:
    terminal.close_master()
    until(lambda: home.lines("lost"), "notice of the loss")
    # A thread that has ended cannot spin on the end of the input, nor on errors of the output.
    until(lambda: not {"textual-input", "terminal-output"} & set(home.words("threads")), "end of both threads")
    home.wait_beats(50)
    assert terminal.is_running()
    assert home.lines("lost") == ["lost"]


def test_the_kill_key_is_seen_while_the_loop_is_blocked(terminal: Terminal, home: Home) -> None:
    terminal.send("\x1b[15~")
    until((home.path / "blocked").exists, "block")
    before = home.beats()[0]
    terminal.send(F9)
    until(lambda: home.lines("panic") == ["f9"], "panic key")
    terminal.send(CTRL_K)
    until(lambda: home.lines("panic") == ["f9", "ctrl+k"], "second panic key")
    assert home.beats()[0] == before, "the loop is still blocked"
    assert "f9" not in home.lines("keys")
    (home.path / "unblock").touch()
    until(lambda: "f9" in home.lines("keys"), "the key in Textual, after the block")


@pytest.mark.parametrize(
    ("spelling", "key"),
    [("\x1b[20~", "f9"), ("\x1b[20;1~", "f9"), ("\x0b", "ctrl+k"), ("\x1b[107;5u", "ctrl+k")],
)
def test_every_spelling_of_the_kill_key_inside_an_input(
    terminal: Terminal, home: Home, spelling: str, key: str
) -> None:
    terminal.send("abc")
    terminal.wait_for("abc")
    terminal.send(spelling)
    until(lambda: home.lines("panic") == [key], "panic key")


def test_a_pasted_kill_key_is_text(terminal: Terminal, home: Home) -> None:
    terminal.send(f"{PASTE_START}pasted\x0btext{PASTE_END}")
    terminal.wait_for("pasted")
    assert home.lines("panic") == []
    terminal.send(CTRL_K)
    until(lambda: home.lines("panic") == ["ctrl+k"], "panic key after the paste")


def test_a_paste_whose_end_was_lost_does_not_swallow_the_kill_key_for_ever(terminal: Terminal, home: Home) -> None:
    terminal.send(f"{PASTE_START}half")
    terminal.wait_for("half")
    terminal.send(F9)
    until(lambda: home.lines("panic") == ["f9"], "panic key")


def test_signals_that_stop_a_program_do_not_stop_this_one(terminal: Terminal, home: Home) -> None:
    assert terminal.process is not None
    pid = terminal.process.pid
    for signum in (signal.SIGTSTP, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU):
        os.kill(pid, signum)
    home.wait_beats(10)
    os.kill(pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGCONT)
    home.wait_beats(10)
    terminal.send("still here")
    terminal.wait_for("still here")
    assert home.lines("lost") == [], "a SIGHUP sent by hand is not a lost terminal"


def test_the_terminal_is_restored_at_the_end_also_after_a_stall(terminal: Terminal, home: Home) -> None:
    terminal.stop_reading()
    until(lambda: home.beats()[1], "stall")
    terminal.send("\x1b[17~")
    until(lambda: "f6" in home.lines("keys"), "key")
    terminal.resume()
    assert terminal.wait_exit() == 0
    terminal.wait_raw(b"\x1b[?1049l")


def test_a_frozen_terminal_does_not_keep_the_program_from_ending(terminal: Terminal, home: Home) -> None:
    terminal.stop_reading()
    until(lambda: home.beats()[1], "stall")
    terminal.send("\x1b[17~")
    assert terminal.wait_exit() == 0


def test_a_broken_kill_handler_ends_the_screen_with_a_reason(terminal: Terminal, home: Home) -> None:
    (home.path / "broken").touch()
    terminal.send(F9)
    assert terminal.wait_exit() == 1
    terminal.wait_for("RuntimeError at app.py")
    assert "no kill for you" in (home.path / "crash.log").read_text()


def test_a_resize_is_followed(terminal: Terminal, home: Home) -> None:
    terminal.resize(140, 45)
    until(lambda: any(len(row) == 140 for row in terminal.screen()), "row of 140 columns")


@pytest.mark.parametrize("term", ["", "dumb", "unknown"])
def test_a_terminal_that_cannot_draw_is_refused_with_a_remedy(term: str) -> None:
    problem = terminal_problem({"TERM": term})
    assert problem is not None
    assert "TERM" in problem
    assert "quantsail status" in problem
    assert "\n" not in problem


def test_no_terminal_at_all_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "empty").open("w+") as file:
        monkeypatch.setattr(sys, "__stdin__", file)
        problem = terminal_problem({"TERM": "xterm-256color"})
    assert problem is not None
    assert "input is not a terminal" in problem
