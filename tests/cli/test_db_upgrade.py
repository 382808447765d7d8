"""From PostgreSQL 15 to the newest that is installed, with a real cluster of each, through the real program."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from db import pgbin
from db.embedded import SUPERUSER, EmbeddedServer, PgBinaries
from engine.cli.exits import Exit
from tests.chaos.market import config, write_files
from tests.chaos.world import World
from tests.cli.desk import BASE, Desk


@pytest.fixture
def old_desk(pg15_binaries: PgBinaries, pg_binaries: PgBinaries, tmp_path: Path) -> Iterator[Desk]:
    """An installation whose data is of PostgreSQL 15; its server does not run between commands."""
    if pg_binaries.major <= pg15_binaries.major:
        pytest.skip("no newer PostgreSQL than 15 here")
    home = Path(tempfile.mkdtemp(prefix="qs"))
    home.chmod(0o755)
    server = EmbeddedServer(home / "quantsail" / "pg" / "15", pg15_binaries).start()
    world = World(home, server)
    desk = Desk(world, write_files(home, 120, 3))
    try:
        world.new_ledger(BASE, world.template(config()))
        traded = desk.trade(BASE, "--json")
        assert traded.code == 0, traded
        server.close()
        yield desk
    finally:
        world.close()
        for major in ("15", str(pg_binaries.major)):
            for where in ("pg", "pg-next"):
                for pid in pgbin.processes_using(home / "quantsail" / where / major / "pgdata"):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
        shutil.rmtree(home)


def test_the_data_moves_and_the_old_stays(old_desk: Desk, pg_binaries: PgBinaries) -> None:
    desk, data = old_desk, old_desk.world.home / "quantsail"
    desk.world.server.start()
    before = desk.world.contents(BASE)
    in_use = desk.run("db", "upgrade-server")
    assert in_use.code == Exit.REFUSED and "end every quantsail" in in_use.err
    desk.world.server.close()
    seen = desk.run("db", "upgrade-server", "--dry-run", "--json").json
    assert (seen["old_major"], seen["new_major"], seen["needed"]) == (15, pg_binaries.major, True)
    assert not (data / "pg" / str(pg_binaries.major)).exists()

    done = desk.run("db", "upgrade-server", "--json")
    assert done.code == Exit.OK and BASE in [one["database"] for one in done.json["databases"]], done
    assert sorted(p.name for p in (data / "pg").iterdir()) == ["15", str(pg_binaries.major)]
    assert (data / "pg" / "15" / "pgdata" / "PG_VERSION").exists()
    assert "nothing to do" in desk.run("db", "upgrade-server").out

    desk.world.server = EmbeddedServer(data / "pg" / str(pg_binaries.major), pg_binaries).start()
    assert desk.world.contents(BASE) == before
    with psycopg.connect(desk.world.server.dsn(BASE, SUPERUSER)) as connection:
        (uuid7,) = connection.execute("select value from qs.capability where name = 'UUID7'").fetchone() or ("",)
    assert uuid7 == ("SERVER" if pg_binaries.major >= 18 else "OWN")
    assert desk.run("db", "check", "--ledger", BASE).code == Exit.OK  # the catalog is that of a new server
    assert desk.run("audit", "verify", "--ledger", BASE).code == Exit.OK
    assert desk.trade(BASE, "--json").code == Exit.OK


def test_a_killed_upgrade_leaves_the_old_data_in_use(old_desk: Desk, pg_binaries: PgBinaries) -> None:
    """The new server is killed with its first restore; its leavings are in nobody's way."""
    desk, data = old_desk, old_desk.world.home / "quantsail"
    desk.world.server.start()  # only to watch: the old server's sessions show where the upgrade is
    desk.world.server.close()
    program = desk.follow("db", "upgrade-server")
    draft = data / "pg-next" / str(pg_binaries.major)
    while program.poll() is None and not list((data / "backups").glob("*/*.dump")):
        pass
    program.kill()
    program.communicate()
    assert program.returncode == -9 and draft.exists() and not (data / "pg" / str(pg_binaries.major)).exists()
    assert desk.run("audit", "verify", "--ledger", BASE).code == Exit.OK  # on 15 still
    done = desk.run("db", "upgrade-server", "--json")
    assert done.code == Exit.OK and not draft.exists(), done
    assert desk.run("audit", "verify", "--ledger", BASE).code == Exit.OK


def test_without_the_old_programs_the_way_is_named(old_desk: Desk, pg_binaries: PgBinaries) -> None:
    """QUANTSAIL_PG_BIN is an order: with only the new programs named, an ordinary command says what to do."""
    new = {"QUANTSAIL_PG_BIN": str(pg_binaries.bin_dir)}
    refused = old_desk.run("events", "--ledger", BASE, **new)
    assert refused.code == Exit.DATABASE and "upgrade-server" in refused.err
    wrong = old_desk.run("db", "upgrade-server", "--old-bin", str(pg_binaries.bin_dir), **new)
    assert wrong.code == Exit.DATABASE and "the data is 15" in wrong.err
    assert old_desk.run("db", "upgrade-server", "--json", **new).code == Exit.OK
    assert old_desk.run("events", "--ledger", BASE, **new).code == Exit.OK


def test_no_data_yet(desk: Desk, tmp_path: Path) -> None:
    done = desk.run("db", "upgrade-server", XDG_DATA_HOME=str(tmp_path))
    assert done.code == Exit.OK and "no data yet" in done.out
