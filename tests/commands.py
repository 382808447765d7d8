"""Running the program to its end, as `subprocess.run` does, without starting Python and importing everything each time.

The first run of every command is the real start of a real process. The others are children forked from a process that has
imported it all (`main` below): processes of their own, with their own working folder, environment, streams and end, that
only skip the second of imports. What is about starting itself (imports, signals, a killed process) starts its own process.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = "engine.cli.main"
#: Large libraries that a command imports only when it gets there.
LIBRARIES = ("alembic.command", "psycopg", "sqlalchemy.dialects.postgresql.psycopg")
Done = subprocess.CompletedProcess[str]

#: What has been started is known to all workers of a run.
_STARTED = Path(tempfile.gettempdir(), f"quantsail-tests-{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}")
_forkers: list[subprocess.Popen[str]] = []


def run(words: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> Done:
    """`python -m engine.cli.main WORDS` in `cwd` with `env`, without input."""
    command = tuple(word for word in words[:2] if not word.startswith("-"))
    if _is_first("-".join(command)):
        argv = [sys.executable, "-m", PROGRAM, *words]
        return subprocess.run(
            argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    with tempfile.TemporaryDirectory(prefix="qs") as folder:
        streams = [Path(folder, name) for name in ("out", "err")]
        code = _ask({"words": words, "env": dict(env), "cwd": str(cwd), "streams": [str(path) for path in streams]})
        return Done(words, code, *(path.read_text("utf-8") for path in streams))


def _is_first(command: str) -> bool:
    if not _STARTED.exists():
        _STARTED.mkdir(exist_ok=True)
        atexit.register(shutil.rmtree, _STARTED, ignore_errors=True)
    try:
        (_STARTED / quote(command, safe="")[:200]).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _ask(job: dict[str, Any]) -> int:
    if not _forkers:
        started = subprocess.Popen(
            [sys.executable, "-m", "tests.commands"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        atexit.register(started.communicate)  # its input ends, and so does it
        _forkers.append(started)
    forker = _forkers[0]
    assert forker.stdin is not None and forker.stdout is not None
    forker.stdin.write(json.dumps(job) + "\n")
    forker.stdin.flush()
    return int(forker.stdout.readline())


def main() -> None:
    """One job a line on stdin, answered by the exit status of the child that did it, or minus the signal that killed it."""
    for package in ("engine", "db"):
        for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if found.name != PROGRAM:
                importlib.import_module(found.name)
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.freeze()
    while line := sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            _become(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _become(job: dict[str, Any]) -> None:
    """The program, as `python -m` starts it. Does not return: the program ends this process."""
    for number, path in enumerate((os.devnull, *job["streams"])):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [job["cwd"], *filter(None, before), *(path for path in sys.path if path not in (str(ROOT), ""))]
    sys.argv[:] = ["quantsail", *job["words"]]
    runpy.run_module(PROGRAM, run_name="__main__", alter_sys=True)
    sys.exit(0)


if __name__ == "__main__":
    main()
