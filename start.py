#!/usr/bin/env python3
"""Set up and start Quantsail from a checkout, with nothing but Python 3.11+ (pip and venv): standard library only.

    python3 start.py                  the cockpit, trading on paper
    python3 start.py test             the whole test suite, in a process for each processor (or ... test -n 0 PYTEST'S WORDS)
    python3 start.py COMMAND ...      any `quantsail` command, as `run --headless` or `status`

Makes a virtual environment in .venv (QUANTSAIL_VENV names another place), so that it also works where pip refuses to
install outside one. Installs again only when pyproject.toml or constraints.txt have changed.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = Path(os.environ.get("QUANTSAIL_VENV") or HERE / ".venv")
PYTHON = VENV / "bin" / "python"
#: Each has PostgreSQL servers of its own.
WORKERS_MAX = 8
#: Tests of terminals that freeze and processes that are killed: they tell time, and a second worker takes it from them.
ALONE = ("tests/tui", "tests/chaos")


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - this file is run by whatever python3 is
        print(f"quantsail needs Python 3.11 or newer, this is {sys.version.split()[0]}", file=sys.stderr)
        return 2
    words = sys.argv[1:]
    testing = words[:1] == ["test"]
    install("dev" if testing else "")
    if not testing:
        command = [str(PYTHON), "-m", "engine.cli.main", *words]
        os.execve(str(PYTHON), command, os.environ | {"PYTHONPATH": str(HERE)})
    if words[1:]:
        return tests(words[1:], alone=any(word.startswith(ALONE) for word in words))
    apart = [f"--ignore={folder}" for folder in ALONE]
    return tests(apart, alone=False) or tests(list(ALONE), alone=True)


def tests(words: list[str], *, alone: bool) -> int:
    """Run pytest, by as many workers as there are processors unless tests must be `alone`; its exit status."""
    foreign = "QUANTSAIL_TEST_DATABASE_URL" in os.environ  # one server for all, whose roles tests change
    workers = "0" if foreign or alone else str(min(os.cpu_count() or 1, WORKERS_MAX))
    return subprocess.call([str(PYTHON), "-m", "pytest", "-n", workers, "--dist", "worksteal", *words], cwd=HERE)


def install(extra: str) -> None:
    """Bring the environment to what pyproject.toml asks for, at the versions of constraints.txt."""
    wanted = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        wanted.update((HERE / name).read_bytes())
    stamp = VENV / f".quantsail-{extra or 'base'}"
    if stamp.exists() and stamp.read_text() == wanted.hexdigest():
        return
    print(f"quantsail: setting up {VENV} (once; a minute or two)", file=sys.stderr, flush=True)
    if not PYTHON.exists():
        run(sys.executable, "-m", "venv", str(VENV))
    target = f"{HERE}[{extra}]" if extra else str(HERE)
    run(str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", str(HERE / "constraints.txt"),
        "--editable", target)  # fmt: skip
    stamp.write_text(wanted.hexdigest())


def run(*command: str) -> None:
    done = subprocess.run(command, check=False)
    if done.returncode:
        print(f"quantsail: `{' '.join(command[:4])} ...` failed; see above", file=sys.stderr)
        raise SystemExit(done.returncode)


if __name__ == "__main__":
    sys.exit(main())
