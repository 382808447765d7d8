"""Fixtures of the command tests."""

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
from tests.chaos.market import config, write_files
from tests.chaos.world import World
from tests.cli.desk import BASE, Desk
from tests.servers import hurry


@pytest.fixture(scope="session")
def installation(pg_binaries: PgBinaries) -> Iterator[Desk]:
    """One server and one ledger that has traded, for all command tests; not below tmp_path (see tests/chaos)."""
    home = Path(tempfile.mkdtemp(prefix="qs"))
    home.chmod(0o755)
    server = hurry(EmbeddedServer(home / "quantsail" / "pg" / str(pg_binaries.major), pg_binaries).start())
    world = World(home, server)
    try:
        desk = Desk(world, write_files(home, 300, 3))
        world.new_ledger(BASE, world.template(config()))
        traded = desk.trade(BASE, "--json")
        assert traded.code == 0 and traded.json["trades"] > 10, traded
        yield desk
    finally:
        world.close()
        for pid in pgbin.processes_using(server.data_dir):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(home)


@pytest.fixture
def desk(installation: Desk) -> Iterator[Desk]:
    """The installation; engines that a test has started end with it."""
    yield installation
    installation.end_programs()
