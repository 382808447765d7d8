"""`quantsail db migrate` and `rebuild` through the real program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from db.backup import KEPT
from db.embedded import SUPERUSER
from engine.cli.exits import Exit
from migrations import HERE, head, known, sql_files
from tests.cli.desk import BASE, Desk
from tests.cli.killing import kill_while

OLDER = known()[-2]


def older(desk: Desk, name: str) -> str:
    """A ledger of a program that did not know the newest revision yet."""
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine
    from sqlalchemy.pool import StaticPool

    desk.world.server.create_database(name)
    desk.directory(name).mkdir(parents=True, exist_ok=True)
    with psycopg.connect(desk.world.server.dsn(name, SUPERUSER)) as connection:
        engine = create_engine("postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool)
        config = Config()
        config.set_main_option("script_location", str(HERE))
        config.set_main_option("path_separator", "os")
        with engine.connect() as bound:
            config.attributes["connection"] = bound
            command.upgrade(config, OLDER)
    return name


def revision(desk: Desk, ledger: str) -> Any:
    with psycopg.connect(desk.world.server.dsn(ledger, SUPERUSER)) as connection:
        row = connection.execute("select version_num from qs.alembic_version").fetchone()
    return row[0] if row else None


def test_nothing_to_migrate(desk: Desk) -> None:
    done = desk.run("db", "migrate", "--ledger", BASE, "--json")
    assert done.code == Exit.OK
    assert (done.json["from"], done.json["to"], done.json["files"]) == (head(), head(), [])
    assert "nothing to do" in desk.run("db", "migrate", "--ledger", BASE, "--dry-run").out


def test_a_migration_says_what_it_does_and_copies_first(desk: Desk) -> None:
    ledger = older(desk, "older")
    seen = desk.run("db", "migrate", "--ledger", ledger, "--dry-run", "--json")
    assert (seen.json["from"], seen.json["files"]) == (OLDER, [sql_files()[-1]])
    assert revision(desk, ledger) == OLDER
    done = desk.run("db", "migrate", "--ledger", ledger, "--json")
    assert done.code == Exit.OK and revision(desk, ledger) == head(), done
    assert done.json["files"] == [sql_files()[-1]] and f"schema{OLDER}" in Path(done.json["backup"]).name
    back = desk.run("db", "restore", done.json["backup"], "--ledger", "older_again", "--json")
    assert back.code == Exit.OK and back.json["migrated"] == [head()], back


def test_the_copies_before_migrations_are_five(desk: Desk) -> None:
    ledger = older(desk, "older_often")
    folder = desk.world.home / "quantsail" / "backups" / ledger
    copies = []
    for number in range(KEPT + 1):
        if number:
            with psycopg.connect(desk.world.server.dsn("postgres", SUPERUSER), autocommit=True) as connection:
                connection.execute(f'drop database "{ledger}" with (force)'.encode())
            older(desk, ledger)
        done = desk.run("db", "migrate", "--ledger", ledger, "--json")
        assert done.code == Exit.OK, done
        copies.append(Path(done.json["backup"]))
    assert sorted(folder.glob("*.dump")) == sorted(copies[1:])


def test_without_a_copy_there_is_no_migration(desk: Desk) -> None:
    ledger = older(desk, "older_uncopied")
    folder = desk.world.home / "quantsail" / "backups" / ledger
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("in the way")
    refused = desk.run("db", "migrate", "--ledger", ledger)
    assert refused.code == Exit.DATABASE and "could not be copied" in refused.err
    assert revision(desk, ledger) == OLDER


@pytest.mark.parametrize("moment", ["pg_dump", "quantsail migrate"])
def test_a_killed_migration_leaves_the_schema_as_it_was(desk: Desk, moment: str) -> None:
    ledger = older(desk, f"older_killed_{moment[-4:]}")
    condition = "true" if moment == "pg_dump" else "query ilike '%%create%%' or state = 'idle in transaction'"
    killed = kill_while(desk, moment, "db", "migrate", "--ledger", ledger, condition=condition)
    assert not killed or revision(desk, ledger) in (OLDER, head())
    assert desk.run("db", "migrate", "--ledger", ledger).code == Exit.OK
    assert revision(desk, ledger) == head()


def test_a_rebuild_reports_and_changes_nothing_that_was_right(desk: Desk) -> None:
    ledger = desk.copy("rebuilt")
    before = desk.world.contents(ledger)
    seen = desk.run("db", "rebuild", "--ledger", ledger, "--dry-run", "--json")
    assert seen.json["changes"] == [] and seen.json["events"] == desk.world.head(ledger)
    done = desk.run("db", "rebuild", "--ledger", ledger, "--json")
    assert done.code == Exit.OK and done.json["events"] == desk.world.head(ledger)
    assert done.json["rows"]["fills"] == len(before["fills"])
    assert desk.world.contents(ledger) == before


def test_a_dry_run_names_what_a_rebuild_puts_right(desk: Desk) -> None:
    ledger = desk.copy("to_put_right")
    before = desk.world.contents(ledger)
    with desk.superuser(ledger) as connection:
        connection.execute(
            "delete from qs.risk_decisions where event_seq = (select min(event_seq) from qs.risk_decisions)"
        )
        connection.execute("update qs.positions set realized_pnl = realized_pnl + 1 where status = 'CLOSED'")
        connection.execute(
            "insert into qs.kill_switch_events select gen_random_uuid(), null, true, 'HALT', 'HALTED', 'ACTIVE', null, null,"
            " 'nobody', 7, now()"
        )
    changed = desk.world.contents(ledger)
    seen = desk.run("db", "rebuild", "--ledger", ledger, "--dry-run", "--json")
    found = {c["table"]: (c["missing"], c["extra"], c["changed"]) for c in seen.json["changes"]}
    assert found["risk_decisions"] == (1, 0, 0) and found["kill_switch_events"] == (0, 1, 0)
    assert found["positions"][:2] == (0, 0) and found["positions"][2] > 0
    examples = next(c["examples"] for c in seen.json["changes"] if c["table"] == "positions")
    assert 1 <= len(examples) <= 3 and "realized_pnl" in examples[0]
    assert "positions" in desk.run("db", "rebuild", "--ledger", ledger, "--dry-run").out
    assert desk.world.contents(ledger) == changed
    assert desk.run("db", "rebuild", "--ledger", ledger).code == Exit.OK
    assert desk.world.contents(ledger) == before


def test_a_rebuild_refuses_beside_an_engine_and_a_dry_run_does_not(desk: Desk) -> None:
    ledger = desk.copy("busy")
    desk.start(ledger, "--speed", "60")
    refused = desk.run("db", "rebuild", "--ledger", ledger)
    assert refused.code == Exit.LEDGER and "already runs" in refused.err
    assert desk.run("db", "rebuild", "--ledger", ledger, "--dry-run").code == Exit.OK


def test_a_killed_rebuild_changes_nothing(desk: Desk) -> None:
    ledger = desk.copy("killed_rebuild")
    before = desk.world.contents(ledger)
    assert kill_while(
        desk, "quantsail rebuild", "db", "rebuild", "--ledger", ledger, condition="query like '%%jsonb_populate%%'"
    )
    assert desk.world.contents(ledger) == before
    assert desk.run("db", "rebuild", "--ledger", ledger).code == Exit.OK
    assert desk.world.contents(ledger) == before


def test_a_rebuild_of_a_broken_chain_changes_nothing(desk: Desk) -> None:
    ledger = desk.copy("broken_chain")
    with desk.superuser(ledger) as connection:
        connection.execute("update qs.events set payload = payload || '{\"x\": 1}' where seq = 50")
    before = desk.world.contents(ledger)
    for more in ((), ("--dry-run",)):
        refused = desk.run("db", "rebuild", "--ledger", ledger, *more)
        assert refused.code == Exit.AUDIT and "event 50" in refused.err
    assert desk.world.contents(ledger) == before
