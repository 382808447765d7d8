"""`quantsail db check` and those that ask the same: one line for what was changed, and exit status 6."""

from __future__ import annotations

from engine.cli.exits import Exit
from tests.cli.desk import Desk

NAMED = "privileges of qs_engine on fills: INSERT, SELECT -> INSERT, SELECT, UPDATE"


def test_an_untouched_schema_passes(desk: Desk) -> None:
    done = desk.run("db", "check", "--ledger", "base", "--json")
    assert done.code == Exit.OK, done
    assert done.json["ok"] and done.json["basis"] == "file" and done.json["differences"] == []
    plain = desk.run("db", "check", "--ledger", "base")
    assert plain.code == Exit.OK and done.json["sha256"][:16] in plain.out and plain.err == ""


def test_what_was_changed_is_named_by_everyone_who_looks(desk: Desk) -> None:
    ledger = desk.copy("changed_schema")
    with desk.superuser(ledger) as connection:
        connection.execute("grant update on qs.fills to qs_engine")
        connection.execute("create table qs.mine (a int)")
    plain = desk.run("db", "check", "--ledger", ledger)
    assert plain.code == Exit.AUDIT
    said = plain.out.splitlines()
    assert NAMED in said and any(line.startswith("table mine: not part of the schema") for line in said)
    assert f"{ledger}: the schema was changed: " in plain.err
    found = desk.run("db", "check", "--ledger", ledger, "--json")
    assert found.code == Exit.AUDIT and not found.json["ok"]
    assert found.json["unclassed"] == ["table mine has no class"]
    verified = desk.run("audit", "verify", "--ledger", ledger, "--json")
    assert verified.code == Exit.AUDIT and "the schema was changed, column mine.a" in verified.json["problem"]["reason"]
    doctor = desk.run("doctor", "--json")
    assert doctor.code == Exit.AUDIT
    (schema,) = (check for check in doctor.json["checks"] if check["name"] == "schema")
    assert not schema["ok"] and f"{ledger}: the schema was changed: column mine.a" in schema["text"]
    with desk.superuser(ledger) as connection:
        connection.execute("revoke update on qs.fills from qs_engine")
        connection.execute("drop table qs.mine")
    assert desk.run("db", "check", "--ledger", ledger).code == Exit.OK


def test_an_older_schema_is_left_as_it_is(desk: Desk) -> None:
    ledger = desk.copy("older_schema")
    with desk.superuser(ledger) as connection:
        connection.execute("update qs.alembic_version set version_num = '0001'")
    done = desk.run("db", "check", "--ledger", ledger)
    assert done.code == Exit.DATABASE and "db migrate" in done.err and done.out == ""
    with desk.superuser(ledger) as connection:
        row = connection.execute("select version_num from qs.alembic_version").fetchone()
    assert row == {"version_num": "0001"}


def test_a_run_on_a_changed_schema_says_so_and_goes_on(desk: Desk) -> None:
    ledger = desk.copy("run_on_changed")
    with desk.superuser(ledger) as connection:
        connection.execute("alter index qs.fills_symbol rename to renamed")
    done = desk.trade(ledger, "--json")
    with desk.superuser(ledger) as connection:  # doctor looks at every ledger
        connection.execute("alter index qs.renamed rename to fills_symbol")
    assert done.code == Exit.OK, done
    assert done.json["notes"][0].startswith("the schema was changed: index fills_symbol on fills: gone (and 1 more")
