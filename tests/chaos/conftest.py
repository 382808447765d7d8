"""Fixtures of the crash tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from db import pgbin
from db.embedded import EmbeddedServer, PgBinaries
from tests.chaos.world import World
from tests.servers import hurry


@pytest.fixture(scope="session")
def world(pg_binaries: PgBinaries) -> Iterator[World]:
    """One server for all crash tests. Not below tmp_path: as root it runs under another account, which must get there."""
    home = Path(tempfile.mkdtemp(prefix="qs"))
    home.chmod(0o755)
    server = hurry(EmbeddedServer(home / "quantsail" / "pg" / str(pg_binaries.major), pg_binaries).start())
    found = World(home, server)
    try:
        yield found
    finally:
        found.close()
        for pid in pgbin.processes_using(server.data_dir):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(home)
