"""Programs that are killed in the middle of something, as seen by the server that they work on."""

from __future__ import annotations

import subprocess
import sys
import time

import psycopg

from db.embedded import SUPERUSER
from tests.cli.desk import Desk


def kill_while(desk: Desk, application: str, *words: str, condition: str = "true") -> bool:
    """Start a command and kill -9 it once a session called `application` is there; False when it ended before."""
    with psycopg.connect(desk.world.server.dsn("postgres", SUPERUSER), autocommit=True) as watcher:
        program = subprocess.Popen(
            [sys.executable, "-m", "engine.cli.main", *words],
            env=desk.world.env,
            cwd=desk.world.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        statement = f"select from pg_stat_activity where application_name like %s and {condition}"
        while program.poll() is None:
            if watcher.execute(statement.encode(), (application,)).fetchone() is not None:
                program.kill()
                break
            time.sleep(0.002)
        program.communicate()
        # What it left behind on the server must not be mistaken for somebody who works there.
        watcher.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name like %s", (application,)
        )
        return program.returncode == -9
