"""`quantsail audit verify` against somebody who is superuser of the database: each kind of forgery has exit status 6."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from db.chain import SELECT_EVENTS, link, read_row, row_bytes
from engine.cli.exits import Exit
from tests.cli.desk import Desk


def problem_of(desk: Desk, ledger: str) -> dict[str, Any]:
    """What is found, as --json says it; the plain form must say the same."""
    found = desk.run("audit", "verify", "--ledger", ledger, "--json")
    plain = desk.run("audit", "verify", "--ledger", ledger)
    assert found.code == plain.code == Exit.AUDIT, found
    problem: dict[str, Any] = found.json["problem"]
    assert not found.json["ok"] and problem["reason"] in plain.err and plain.out == ""
    return problem


def change_one_byte(connection: psycopg.Connection[dict[str, Any]]) -> int:
    """One digit of one price; returns the seq of its event."""
    row = connection.execute(
        "update qs.events e set payload = jsonb_set(payload, '{price}', to_jsonb(translate(payload ->> 'price', '2', '3')))"
        " where seq = (select min(seq) from qs.events where type = 'OrderFilled' and payload ->> 'price' like '%2%')"
        " returning seq"
    ).fetchone()
    assert row is not None
    return int(row["seq"])


def recompute_chain(connection: psycopg.Connection[dict[str, Any]], since: int) -> None:
    """What an attacker does who knows how the chain is made: every hash from `since` on, and the head."""
    before = connection.execute("select hash from qs.events where seq = %s", (since - 1,)).fetchone()
    assert before is not None
    tip = bytes(before["hash"])
    statement = f"{SELECT_EVENTS} where seq >= {since} order by seq".encode()
    for row in connection.execute(statement).fetchall():
        found = read_row(row)
        here = link(tip, row_bytes(found.columns, found.payload))
        connection.execute("update qs.events set prev_hash = %s, hash = %s where seq = %s", (tip, here, row["seq"]))
        tip = here
    connection.execute("update qs.log_heads set hash = %s where log = 'events'", (tip,))


def test_an_untouched_journal_passes(desk: Desk) -> None:
    done = desk.run("audit", "verify", "--ledger", "base", "--json")
    assert done.code == Exit.OK and done.json["ok"] and done.json["problem"] is None
    assert done.json["events"] > 100 and done.json["anchors"] > 0
    assert "ok" in desk.run("audit", "verify", "--ledger", "base").out


def test_one_byte_of_one_event(desk: Desk) -> None:
    ledger = desk.copy("one_byte")
    with desk.superuser(ledger) as connection:
        seq = change_one_byte(connection)
    problem = problem_of(desk, ledger)
    assert problem["seq"] == seq and "changed" in problem["reason"]


def test_a_recomputed_chain(desk: Desk) -> None:
    """Inside the database everything fits; the anchors outside do not."""
    ledger = desk.copy("recomputed")
    with desk.superuser(ledger) as connection:
        recompute_chain(connection, change_one_byte(connection))
    assert "anchored" in problem_of(desk, ledger)["reason"]


def test_a_cut_tail(desk: Desk) -> None:
    ledger = desk.copy("cut")
    with desk.superuser(ledger) as connection:
        for table in ("fills", "risk_decisions", "kill_switch_events", "equity_snapshots", "signals"):
            connection.execute(f"delete from qs.{table} where event_seq > 100".encode())
        connection.execute("delete from qs.events where seq > 100")
        connection.execute("delete from qs.snapshots where seq > 100")
        connection.execute(
            "update qs.log_heads set seq = 100, hash = (select hash from qs.events where seq = 100) where log = 'events'"
        )
    assert "tail was cut" in problem_of(desk, ledger)["reason"]


def test_a_cut_tail_of_the_audit_log(desk: Desk) -> None:
    """A command without an engine is witnessed as well: its entry cannot be taken back."""
    ledger = desk.copy("cut_audit")
    document = desk.directory(ledger) / "next.json"
    document.write_text(desk.run("config", "show", "--ledger", ledger).out)
    stored = desk.run("config", "new", str(document), "--ledger", ledger, "--note", "mine")
    assert stored.code == Exit.OK, stored
    assert desk.run("audit", "verify", "--ledger", ledger).code == Exit.OK
    with desk.superuser(ledger) as connection:
        connection.execute("delete from qs.audit_logs where seq = (select max(seq) from qs.audit_logs)")
        connection.execute(
            "update qs.log_heads h set seq = coalesce(a.seq, 0), hash = coalesce(a.hash, '')"
            " from (select 1) one left join (select seq, hash from qs.audit_logs order by seq desc limit 1) a on true"
            " where h.log = 'audit_logs'"
        )
    problem = problem_of(desk, ledger)
    assert "audit log" in problem["reason"] and "tail was cut" in problem["reason"]


@pytest.mark.parametrize(
    "forgery",
    [
        "update qs.fills set price = price + 1 where event_seq = (select min(event_seq) from qs.fills)",
        "delete from qs.risk_decisions where event_seq = (select max(event_seq) from qs.risk_decisions)",
        "update qs.orders set quantity = quantity * 2 where id = (select min(id::text)::uuid from qs.orders)",
    ],
)
def test_read_tables_that_do_not_follow_from_the_journal(desk: Desk, forgery: str) -> None:
    ledger = desk.copy(f"forged_{forgery.split()[1].partition('.')[2] or 'decisions'}_{len(forgery)}")
    with desk.superuser(ledger) as connection:
        assert connection.execute(forgery.encode()).rowcount == 1
    assert "row" in problem_of(desk, ledger)["reason"]


def test_a_forged_journal_is_not_traded_on(desk: Desk) -> None:
    """A start looks at the newest anchor: what was recomputed or cut is refused before anything is decided."""
    ledger = desk.copy("not_traded")
    with desk.superuser(ledger) as connection:
        recompute_chain(connection, change_one_byte(connection))
    refused = desk.trade(ledger)
    assert refused.code == Exit.LEDGER and "audit verify" in refused.err
