"""PostgreSQL's client programs (pg_dump, pg_restore): which ones, and how they are run.

A dump is made by programs of the server's major version or a newer one (PostgreSQL 18 documentation, "pg_dump", Notes).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from db import pgbin

#: Gives the path of a program by its name. Raises pgbin.BinariesError.
Tools = Callable[[str], Path]
TICK_S = 0.2
_KEPT = (*pgbin.ENVIRONMENT_KEPT, "HOME", "PGPASSFILE", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "TMPDIR")


class ClientFailed(Exception):
    """A program of PostgreSQL ended with an error: its last words, in one line."""


def tools_for(server_major: int) -> Tools:
    """The programs for a server that is not ours: the oldest version that is not older than the server."""

    def find(name: str) -> Path:
        seen: dict[int, Path] = {}
        for bin_dir in _folders():
            major = _major(bin_dir / name)
            if major is not None:
                seen.setdefault(major, bin_dir / name)
        fitting = [major for major in sorted(seen) if major >= server_major]
        if not fitting:
            has = f"the newest {name} here is {max(seen)}" if seen else f"there is no {name} here"
            raise pgbin.BinariesError(
                f"the server is PostgreSQL {server_major}, {has}: install PostgreSQL {server_major}'s client programs"
                " or set QUANTSAIL_PG_BIN to them"
            )
        return seen[fitting[0]]

    return find


def _folders() -> list[Path]:
    """Where programs may be: the system's before the wheel's, which speaks no TLS."""
    chosen = os.environ.get("QUANTSAIL_PG_BIN")
    system = sorted(pgbin.SYSTEM_ROOT.glob("*/bin"))
    on_path = shutil.which("pg_dump")
    wheel = [folder for folder, ours in pgbin.candidates() if ours]
    # A path's own pg_dump may be a wrapper script: not resolved, but asked for its version like every other.
    return [*([Path(chosen)] if chosen else []), *system, *([Path(on_path).parent] if on_path else []), *wheel]


def _major(program: Path) -> int | None:
    if not os.access(program, os.X_OK):
        return None
    try:
        said = subprocess.run(  # noqa: S603  (a fixed argument list, no shell)
            [str(program), "--version"], capture_output=True, text=True, timeout=pgbin.TRIAL_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\(PostgreSQL\) (\d+)", said.stdout)
    return int(match[1]) if match else None


async def run_client(
    program: Path, arguments: Sequence[str], dsn: str = "", tick: Callable[[], None] | None = None
) -> str:
    """Run a program to its end; returns what it printed. Raises ClientFailed.

    The password of `dsn` travels in the environment: arguments can be read by every user of the machine. `tick` is called
    now and then meanwhile. A cancelled caller takes the program with it.
    """
    environment = {key: os.environ[key] for key in _KEPT if key in os.environ} | {"LC_ALL": "C", "TZ": "UTC"}
    words = list(arguments)
    if dsn:
        from psycopg.conninfo import conninfo_to_dict, make_conninfo

        parts = conninfo_to_dict(dsn)
        if password := parts.pop("password", None):
            environment["PGPASSWORD"] = str(password)
        words.append(f"--dbname={make_conninfo('', **parts)}")
    process = await asyncio.create_subprocess_exec(
        str(program),
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    try:
        talk = asyncio.ensure_future(process.communicate())
        while tick is not None and not (await asyncio.wait({talk}, timeout=TICK_S))[0]:
            tick()
        out, err = await talk
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        said = pgbin.one_line(err.decode("utf-8", "replace"))
        raise ClientFailed(said or f"{program.name} ended with status {process.returncode}")
    return out.decode("utf-8", "replace")
