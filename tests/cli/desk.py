"""One installation for the tests of the commands: a server that stays up, ledgers to copy, and the program as people run it."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import dict_row

from db.embedded import SUPERUSER
from engine.core.config import Config
from tests import commands
from tests.chaos.world import World
from tests.patience import until

BASE = "base"


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value on stdout; raises where there is anything else."""
        return json.loads(self.out)


class Desk:
    """`run` any command; `copy` gives a test a ledger of its own that has traded already."""

    def __init__(self, world: World, files: list[Path]) -> None:
        self.world = world
        self.files = files
        self._programs: list[subprocess.Popen[str]] = []

    @property
    def replay(self) -> list[str]:
        return [word for file in self.files for word in ("--replay", str(file))]

    def run(self, *words: str, **environment: str) -> Done:
        """Run a command to its end. Never may a person see a traceback, and an error is one line."""
        done = commands.run(words, env=self.world.env | environment, cwd=self.world.home)
        assert "Traceback" not in done.stderr, done.stderr
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.startswith("quantsail: ")]
            assert [done.stderr.splitlines()[-1]] == said, done  # progress of a slow machine may stand before it
        return Done(done.returncode, done.stdout, done.stderr)

    def trade(self, ledger: str, *more: str, **environment: str) -> Done:
        """Play the files into a ledger, to their end."""
        words = ("run", "--headless", "--seed", "7", "--ledger", ledger, "--until-end", *self.replay, *more)
        return self.run(*words, **environment)

    def copy(self, name: str) -> str:
        """A ledger with the history of the base ledger."""
        self.world.new_ledger(name, BASE)
        shutil.copytree(self.directory(BASE), self.directory(name))
        return name

    def fresh(self, name: str, config: Config) -> str:
        """A ledger without history that will start with `config`."""
        return self.world.new_ledger(name, self.world.template(config, f"template_of_{name}"))

    def directory(self, ledger: str) -> Path:
        return self.world.home / "quantsail" / "ledgers" / ledger

    def start(self, ledger: str, *more: str) -> subprocess.Popen[str]:
        """An engine that goes on until it is stopped; returns when it says that it runs."""
        program = self.follow("run", "--headless", "--seed", "7", "--ledger", ledger, *self.replay, *more)

        def runs() -> bool:
            assert program.poll() is None, program.communicate()
            now = self.status(ledger)
            return bool(now.get("running")) and now.get("pid") == program.pid

        until(runs)
        return program

    def follow(self, *words: str) -> subprocess.Popen[str]:
        """Start a command that does not end by itself; the test's end ends it."""
        program = subprocess.Popen(
            [sys.executable, "-m", "engine.cli.main", *words],
            env=self.world.env,
            cwd=self.world.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._programs.append(program)
        return program

    def status(self, ledger: str) -> dict[str, Any]:
        """The status file, read as others would."""
        try:
            found: dict[str, Any] = json.loads((self.directory(ledger) / "status.json").read_text())
        except FileNotFoundError:
            return {}
        return found

    @contextlib.contextmanager
    def superuser(self, ledger: str) -> Iterator[psycopg.Connection[dict[str, Any]]]:
        """A session of somebody who may do anything: every guard is disarmed for it, and armed again afterwards."""
        with psycopg.connect(
            self.world.server.dsn(ledger, SUPERUSER), autocommit=True, row_factory=dict_row
        ) as connection:
            found = connection.execute(
                "select format('alter table qs.%I %%s trigger %I', c.relname, t.tgname) as command from pg_trigger t"
                " join pg_class c on c.oid = t.tgrelid where c.relnamespace = 'qs'::regnamespace and t.tgenabled = 'A'"
            ).fetchall()
            for row in found:
                connection.execute((row["command"] % "disable").encode())
            yield connection
            for row in found:
                connection.execute((row["command"] % "enable always").encode())

    def end_programs(self) -> None:
        for program in self._programs:
            if program.poll() is None:
                program.kill()
            program.communicate()
        self._programs.clear()
