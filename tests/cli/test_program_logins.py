"""Which login the real programs' sessions belong to, and what `doctor` says of a login that is too mighty."""

from __future__ import annotations

from typing import Any

import psycopg

from db.embedded import SUPERUSER
from tests.cli.desk import Desk
from tests.patience import until

_SESSIONS = """
select application_name, usename, usesuper from pg_stat_activity join pg_user using (usename)
where datname = %s and pid <> pg_backend_pid()
"""


def sessions(desk: Desk, ledger: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(desk.world.server.dsn("postgres", SUPERUSER), autocommit=True) as connection:
        return connection.execute(_SESSIONS, (ledger,)).fetchall()


def test_no_session_of_an_engine_or_a_reader_is_the_superusers(desk: Desk) -> None:
    ledger = desk.copy("whose_sessions")
    desk.start(ledger)
    reader = desk.follow("events", "--ledger", ledger, "--follow")
    wanted = {"quantsail engine", "quantsail inbox", "quantsail events"}
    until(lambda: wanted <= {row[0] for row in sessions(desk, ledger)})
    assert {row[1:] for row in sessions(desk, ledger)} == {("qs_login", False)}
    assert reader.poll() is None


def test_doctor_warns_of_a_superuser_behind_database_url(desk: Desk) -> None:
    ledger = desk.copy("mighty")
    mighty, ordinary = (desk.world.server.dsn(ledger, login) for login in (SUPERUSER, "qs_login"))
    warned = desk.run("doctor", DATABASE_URL=mighty).out
    assert "the login quantsail is a superuser" in warned and "DATABASE_URL (CREATE ROLE" in warned
    assert "WARNING" not in desk.run("doctor", DATABASE_URL=ordinary).out
    with psycopg.connect(desk.world.server.dsn("postgres", SUPERUSER), autocommit=True) as connection:
        connection.execute("create role seer login bypassrls; grant qs_view to seer")
        try:
            seer = ordinary.replace("qs_login@", "seer@")
            assert "the login seer has BYPASSRLS" in desk.run("doctor", DATABASE_URL=seer).out
        finally:
            connection.execute("drop role seer")
