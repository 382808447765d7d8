"""`quantsail db retention`, `archive`, `maintain`: shown first, done when asked, refused in one line."""

from __future__ import annotations

from engine.cli.exits import Exit
from tests.cli.desk import Desk


def test_a_simulation_is_shown_as_kept_and_stays_so(desk: Desk) -> None:
    ledger = desk.copy("kept_simulation")
    done = desk.run("db", "retention", "--ledger", ledger, "--apply", "--json")
    assert done.code == Exit.OK, done
    assert done.json["rows_dropped"] == 0 and not any(item["due"] for item in done.json["items"])
    assert {i["kept"] for i in done.json["items"]} == {"SIM and replay ledgers are kept as they are"}
    plain = desk.run("db", "retention", "--ledger", ledger)
    assert plain.code == Exit.OK and "candles 1m" in plain.out and plain.err == ""


def test_a_hold_needs_a_reason_and_a_policy(desk: Desk) -> None:
    ledger = desk.copy("held")
    wrong = desk.run("db", "retention", "--ledger", ledger, "--hold", "ticks")
    assert wrong.code == Exit.REFUSED and "--reason" in wrong.err and wrong.out == ""
    wrong = desk.run("db", "retention", "--ledger", ledger, "--hold", "tock", "--reason", "why")
    assert wrong.code == Exit.REFUSED and "there is no policy tock; known: audit" in wrong.err
    assert desk.run("db", "retention", "--ledger", ledger, "--hold", "a", "--release", "b").code == Exit.USAGE
    done = desk.run("db", "retention", "--ledger", ledger, "--hold", "ticks", "--reason", "a lawyer asked")
    assert done.code == Exit.OK and "on hold since" in done.out and "a lawyer asked" in done.out
    assert desk.run("audit", "verify", "--ledger", ledger).code == Exit.OK
    done = desk.run("db", "retention", "--ledger", ledger, "--release", "ticks")
    assert done.code == Exit.OK and "a lawyer asked" not in done.out


def test_the_archive_is_shown_written_and_listed(desk: Desk) -> None:
    ledger = desk.copy("archived")
    asked = ("db", "archive", "--ledger", ledger, "--table", "fills", "--before", "2100-01-01")
    shown = desk.run(*asked)
    assert shown.code == Exit.OK and "would archive fills" in shown.out
    done = desk.run(*asked, "--apply", "--json")
    assert done.code == Exit.OK and sum(s["rows"] for s in done.json["written"]) > 0
    listed = desk.run("db", "archive", "--ledger", ledger, "--list")
    assert listed.code == Exit.OK and "verified" in listed.out and "fills" in listed.out
    assert "nothing is due" in desk.run(*asked).out
    wrong = desk.run("db", "archive", "--ledger", ledger, "--restore", "1")
    assert wrong.code == Exit.REFUSED and "there is no segment 1" in wrong.err
    assert desk.run("db", "archive", "--ledger", ledger, "--before", "soon").code == Exit.USAGE
    assert desk.run("db", "archive", "--ledger", ledger, "--table", "x").code == Exit.REFUSED


def test_maintenance_says_what_each_step_did(desk: Desk) -> None:
    ledger = desk.copy("maintained")
    done = desk.run("db", "maintain", "--ledger", ledger, "--json")
    assert done.code == Exit.OK, done
    names = [step["name"] for step in done.json["steps"]]
    assert names == ["partitions", "roll-ups", "daily performance", "archive", "retention"]
    assert all(step["ok"] for step in done.json["steps"]) and not done.json["busy"]
    again = desk.run("db", "maintain", "--ledger", ledger)
    assert again.code == Exit.OK and "0 days came or changed" in again.out
    assert desk.run("db", "check", "--ledger", ledger).code == Exit.OK
