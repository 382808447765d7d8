"""What docs/operating.md says of tmux, in a real one with a server of its own: keys, detach and attach, resize, a closed window."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.patience import until
from tests.tui.program import ROOT, Program
from tests.tui.terminal import Terminal

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
PAGE = ROOT / "docs" / "operating.md"


class Tmux:
    """A server with the page's own configuration, under a socket of its own."""

    def __init__(self, folder: Path) -> None:
        found = re.search(r"```tmux\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
        assert found is not None
        self.config = folder / "tmux.conf"
        self.config.write_text(found.group(1))
        self.socket = f"quantsail-{os.getpid()}-{folder.name}"
        self.env = {k: v for k, v in os.environ.items() if k not in ("TMUX", "TMUX_PANE", "NO_COLOR")} | {
            "LC_ALL": "C.UTF-8"
        }

    def argv(self, *words: str) -> list[str]:
        return ["tmux", "-L", self.socket, "-f", str(self.config), *words]

    def __call__(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(self.argv(*words), env=self.env, capture_output=True, text=True, timeout=60, check=False)
        if check:
            assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def screen(self) -> str:
        return self("capture-pane", "-p", "-t", "quantsail", check=False)

    def wait_for(self, text: str) -> None:
        until(lambda: text in self.screen(), f"{text!r} in tmux")


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    server = Tmux(tmp_path)
    yield server
    server("kill-server", check=False)


def start(tmux: Tmux, program: Program, *words: str) -> int:
    """A cockpit in a detached session of 120x40; its process id."""
    env = [part for name, value in program.env.items() if name != "TERM" for part in ("-e", f"{name}={value}")]
    command = [sys.executable, "-m", "engine.cli.main", *words]
    tmux("new-session", "-d", "-s", "quantsail", "-x", "120", "-y", "40", *env, *command)
    return int(tmux("display-message", "-p", "-t", "quantsail", "#{pane_pid}"))


def test_a_cockpit_lives_in_tmux_and_survives_the_terminal(tmux: Tmux, tmp_path: Path) -> None:
    program = Program(tmp_path)
    with program.server():
        pid = start(tmux, program, "--simulate", "5", "--ledger", "drill", "--speed", "30")
        tmux.wait_for("ACTIVE")
        assert tmux("show-options", "-gv", "default-terminal").strip() == "tmux-256color"

        tmux("send-keys", "-t", "quantsail", "F9")
        tmux.wait_for("entries are HELD")
        tmux("send-keys", "-t", "quantsail", "Escape")
        until(lambda: "HELD" not in tmux.screen(), "released")

        with Terminal(100, 30) as terminal:
            terminal.spawn(tmux.argv("attach", "-t", "quantsail"), tmux.env | {"TERM": "xterm-256color"})
            terminal.wait_for("F9 KILL")
            terminal.resize(80, 25)  # tmux's own line takes one
            assert terminal.process is not None
            terminal.process.send_signal(signal.SIGWINCH)
            until(lambda: "80x24" in tmux("display-message", "-p", "-t", "quantsail", "#{pane_width}x#{pane_height}"))
            terminal.send("3")
            terminal.wait_for("events")
            terminal.send("\x02")  # C-b d: detach; two keys at once would be a paste to tmux
            until(lambda: "1" in tmux("list-clients", "-F", "#{client_prefix}"), "the prefix is taken")
            terminal.send("d")
            assert terminal.wait_exit() == 0
        os.kill(pid, signal.SIGHUP)  # by hand: says nothing about the terminal
        os.kill(pid, signal.SIGTSTP)
        played = int(program.status("drill")["replay"]["played"])
        until(lambda: int(program.status("drill")["replay"]["played"]) > played, "the engine goes on")

        with Terminal(120, 41) as terminal:
            terminal.spawn(tmux.argv("attach", "-t", "quantsail"), tmux.env | {"TERM": "xterm-256color"})
            terminal.wait_for("F9 KILL")
            terminal.close_master()  # the link is gone
        until(lambda: tmux("list-clients") == "", "the client is gone")
        tmux.wait_for("ACTIVE")
        tmux("send-keys", "-t", "quantsail", "C-k")
        tmux.wait_for("entries are HELD")
        tmux("send-keys", "-t", "quantsail", "Enter")
        tmux.wait_for("HALTED")
        until(lambda: program.json("status", "--ledger", "drill")["state"] == "HALTED")

        tmux("kill-server")  # a closed window: the engine goes on without a screen, and can be ended
        os.kill(pid, 0)
        assert program.json("status", "--ledger", "drill")["state"] == "HALTED"
        program.run("stop", "--ledger", "drill")
        until(lambda: not alive(pid), "the engine has ended")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_the_unit_of_the_page_is_one_that_systemd_takes(tmp_path: Path) -> None:
    found = re.search(r"```ini\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert found is not None
    unit = found.group(1)
    for line in ("Restart=on-failure", "run --headless", "KillSignal=SIGTERM", "RestartPreventExitStatus=2 5 6"):
        assert line in unit
    if shutil.which("systemd-analyze") is not None:
        file = tmp_path / "quantsail.service"
        file.write_text(re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", unit))
        done = subprocess.run(
            ["systemd-analyze", "verify", "--user", str(file)], capture_output=True, text=True, timeout=60, check=False
        )
        assert "Unknown" not in done.stderr and "Failed to parse" not in done.stderr, done.stderr
