"""`quantsail db convert`: the list, a conversion there and back, and refusals in one line."""

from __future__ import annotations

from engine.cli.exits import Exit
from tests.cli.desk import Desk


def test_the_list_says_what_every_table_is(desk: Desk) -> None:
    done = desk.run("db", "convert", "--ledger", "base", "--json")
    assert done.code == Exit.OK, done
    tables = {table["name"]: table for table in done.json["tables"]}
    assert tables["ticks"]["now"] == "NATIVE" and tables["candles_1m"]["fixed"]
    plain = desk.run("db", "convert", "--ledger", "base").out.splitlines()
    assert plain[0].split()[:2] == ["table", "profile"] and len(plain) == len(tables) + 1


def test_embeddings_there_and_back_leave_a_schema_that_passes(desk: Desk) -> None:
    ledger = desk.copy("converted")
    tables = desk.run("db", "convert", "--ledger", ledger, "--json").json["tables"]
    (before,) = (table["now"] for table in tables if table["name"] == "embeddings")
    other = {"ARRAY": "VECTOR", "VECTOR": "ARRAY"}[before]
    if before == "ARRAY":  # a server without pgvector
        refused = desk.run("db", "convert", "embeddings", "--to", other, "--ledger", ledger)
        assert refused.code == Exit.REFUSED and "CREATE EXTENSION vector" in refused.err
        return
    planned = desk.run("db", "convert", "embeddings", "--to", other, "--dry-run", "--ledger", ledger)
    assert planned.code == Exit.OK and f"would become {other}, was {before}" in planned.out
    for wanted, had in ((other, before), (before, other)):
        done = desk.run("db", "convert", "embeddings", "--to", wanted.lower(), "--ledger", ledger, "--json")
        assert done.code == Exit.OK and (done.json["from"], done.json["to"]) == (had, wanted)
        assert desk.run("db", "check", "--ledger", ledger).code == Exit.OK
        assert desk.run("audit", "verify", "--ledger", ledger).code == Exit.OK
    again = desk.run("db", "convert", "embeddings", "--ledger", ledger)
    assert again.code == Exit.OK and f"embeddings is {before} already" in again.out


def test_what_has_no_choice_is_refused(desk: Desk) -> None:
    for table, profile, why in (
        ("equity_snapshots", "TIMESCALE", "row security"),
        ("orders", "NATIVE", "has no profile"),
        ("ticks", "timescale", "CREATE EXTENSION timescaledb"),
    ):
        done = desk.run("db", "convert", table, "--to", profile, "--ledger", "base")
        assert done.code == Exit.REFUSED and why in done.err


def test_a_running_engine_is_not_disturbed(desk: Desk) -> None:
    ledger = desk.copy("convert_running")
    desk.start(ledger, "--speed", "1")
    done = desk.run("db", "convert", "ticks", "--ledger", ledger)
    assert done.code == Exit.LEDGER and "already runs on this ledger" in done.err
