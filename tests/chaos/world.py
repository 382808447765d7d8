"""What the crash tests share: one server, ledgers on it, the forking driver, and whole journals to compare."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from db import configs
from db.connect import connect
from db.embedded import SUPERUSER, EmbeddedServer
from db.migrate import migrate
from engine.core.config import Config, canonical, config_sha256
from tests.servers import clone

ROOT = Path(__file__).resolve().parents[2]
#: Facts of a run, and times at which a database wrote: the only things in which two runs may differ (decisions.md 3).
RUN_FACTS = ("epoch", "recorded_at")
MIGRATED = "template_default"


class Ended(NamedTuple):
    """How a child ended, and after how long; `borders` are (name, seq of the journal's head) in the order crossed."""

    killed: bool
    exit: int
    result: dict[str, Any]
    borders: list[tuple[str, int]]
    took_s: float


class World:
    """A data home with a server that stays up, whoever is killed."""

    def __init__(self, home: Path, server: EmbeddedServer) -> None:
        self.home = home
        self.server = server
        left_out = ("DATABASE_URL", "PYTHONDONTWRITEBYTECODE")  # the one misleads, the other makes each start slower
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("PG") and k not in left_out} | {
            "XDG_DATA_HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
        }
        self._driver: subprocess.Popen[str] | None = None

    def template(self, config: Config | None, name: str = "template_config") -> str:
        """A migrated database to copy ledgers from, with `config` as the version that they will start with."""
        if config is None:
            if self.server.create_database(MIGRATED):
                asyncio.run(migrate(self.server.dsn(MIGRATED, "qs_admin")))
            return MIGRATED
        if name not in self.server.databases():
            self.new_ledger(name, self.template(None))
            asyncio.run(_activate(self.server.dsn(name), config))
        return name

    def new_ledger(self, name: str, template: str) -> str:
        clone(self.server, name, template)
        return name

    def run(self, ledger: str, files: list[Path], **job: Any) -> Ended:
        """One run in a child of the driver; `border`, `passes` and `kill_after_s` say where it is killed."""
        out, log = self.home / f"{ledger}.out", self.home / f"{ledger}.borders"
        out.unlink(missing_ok=True)
        log.unlink(missing_ok=True)
        said = self._ask(job | {"ledger": ledger, "replay": [str(f) for f in files], "out": str(out), "log": str(log)})
        lines = log.read_text().splitlines() if log.exists() else []
        borders = [(line.split()[0], int(line.split()[1])) for line in lines]
        result = json.loads(out.read_text()) if out.exists() and said["signal"] == 0 else {}
        return Ended(said["signal"] == 9, said["exit"], result, borders, said["took_s"])

    def _ask(self, job: dict[str, Any]) -> dict[str, Any]:
        if self._driver is None:
            self._driver = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("driver.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=self.env,
                cwd=self.home,
            )
        assert self._driver.stdin is not None and self._driver.stdout is not None
        self._driver.stdin.write(json.dumps(job) + "\n")
        self._driver.stdin.flush()
        answer: dict[str, Any] = json.loads(self._driver.stdout.readline())
        return answer

    def start_program(self, ledger: str, files: list[Path], *more: str) -> subprocess.Popen[str]:
        """The real program: `quantsail run --headless --until-end --json`."""
        replay = [word for file in files for word in ("--replay", str(file))]
        command = [sys.executable, "-m", "engine.cli.main", "run", "--headless", "--seed", "7", "--ledger", ledger]
        return subprocess.Popen(
            [*command, "--until-end", "--json", *replay, *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.env,
            cwd=self.home,
        )

    def head(self, ledger: str) -> int:
        """Seq of the journal's last event."""
        with psycopg.connect(self.server.dsn(ledger, SUPERUSER), autocommit=True) as connection:
            row = connection.execute("select seq from qs.log_heads where log = 'events'").fetchone()
        return int(row[0]) if row else 0

    def contents(self, ledger: str) -> dict[str, list[str]]:
        """The journal and every read table, row by row, run facts aside."""
        with psycopg.connect(self.server.dsn(ledger, SUPERUSER), autocommit=True) as connection:
            names = connection.execute("select table_name from qs.table_classes where class = 'PROJECTION'").fetchall()
            tables = {"events", *(name for (name,) in names)}
            statement = "select (to_jsonb(t) - {facts}::text[])::text as row from qs.{table} t order by 1"
            return {
                table: [
                    str(row[0])
                    for row in connection.execute(
                        sql.SQL(statement).format(facts=sql.Literal(list(RUN_FACTS)), table=sql.Identifier(table))
                    )
                ]
                for table in sorted(tables)
            }

    def close(self) -> None:
        if self._driver is not None:
            self._driver.communicate()
        self.server.close()


async def _activate(dsn: str, config: Config) -> None:
    conn = await connect(dsn)
    try:
        await configs.new(conn, canonical(config).decode(), config_sha256(config), "tester")
    finally:
        await conn.close()
