"""`quantsail replay --at`, and the same picture when the read tables are empty: only the journal counts."""

from __future__ import annotations

import json

from engine.cli.exits import Exit
from engine.journals import PgSource
from engine.pastclient import PastClient
from engine.pastview import Picture, utc
from engine.reading import Reader
from engine.timemachine import TimeMachine
from tests.cli.desk import Desk


def machine(desk: Desk, ledger: str) -> TimeMachine:
    reader = Reader(desk.world.server.dsn(ledger, "qs_login"))
    return TimeMachine(PgSource(reader), reader, "a")


def looked(desk: Desk, ledger: str, seqs: list[int]) -> list[object]:
    """Everything that screens ask of some moments."""
    tested = machine(desk, ledger)
    found: list[object] = []
    for seq in seqs:
        picture: Picture = tested.at_seq(seq).result()
        client = PastClient(picture, tested)
        history = client.history
        fills = history.fills(None, 50).result()
        found += [picture, fills, history.orders(None).result(), history.events(10**9, 300).result()]
        found += [client.configs().result(), history.story(fills[0].order_id).result() if fills else None]
        found += [
            tested.next_of(seq, "OrderFilled", -1).result() if fills else None,
            history.seq_at(picture.ts).result(),
        ]
        found += [tested.at_time(picture.ts).result(), client.operations().result()]
        found += [client.standing(bot.id).result() for bot in picture.snapshot.bots]
    return found


def test_the_picture_is_the_same_with_the_read_tables_emptied(desk: Desk) -> None:
    ledger = desk.copy("emptied")
    head = desk.world.head(ledger)
    seqs = [head, head - 1, head // 2, 30]
    before = looked(desk, ledger, seqs)
    assert before[0].snapshot.fills_total > 10  # type: ignore[attr-defined]
    with desk.superuser(ledger) as connection:
        names = connection.execute("select table_name from qs.table_classes where class = 'PROJECTION'").fetchall()
        tables = [f"qs.{row['table_name']}" for row in names]
        assert len(tables) > 5
        connection.execute(f"truncate {', '.join(tables)} cascade")
        kept = connection.execute("select count(*) as n from qs.events").fetchone()
        assert kept is not None and kept["n"] == head
    assert looked(desk, ledger, seqs) == before


def test_the_state_at_the_end_is_the_ledgers(desk: Desk) -> None:
    events = [
        json.loads(line) for line in desk.run("events", "--ledger", "base", "-n", "100000", "--json").out.splitlines()
    ]
    last = events[-1]
    found = desk.run("replay", "--ledger", "base", "--at", utc(last["ts"] + 999_999), "--json")
    assert found.code in (Exit.OK, Exit.REFUSED)
    middle = events[len(events) // 2]
    found = desk.run("replay", "--ledger", "base", "--at", utc(middle["ts"]), "--json")
    told = found.json
    upto = [e for e in events if e["ts"] <= told["at"]]
    assert told["seq"] == len(upto) and told["newest_seq"] == len(events)
    assert told["fills"] == sum(e["type"] == "OrderFilled" for e in upto)
    assert told["trades"] == sum(e["type"] == "PositionClosed" for e in upto)
    said = desk.run("replay", "--ledger", "base", "--at", utc(middle["ts"])).out
    assert said.startswith(f"PAST {utc(middle['ts'])}  base  event {told['seq']:,} of {len(events):,}")
    assert "~ not recorded" in said


def test_what_cannot_be_shown_is_one_line(desk: Desk) -> None:
    for at, words, code in (
        ("1960-01-01", "is before the ledger began", Exit.REFUSED),
        ("2199-01-01", "is after the end", Exit.REFUSED),
        ("soon", "write 14:03", Exit.USAGE),
        ("", "write 14:03", Exit.USAGE),
    ):
        done = desk.run("replay", "--ledger", "base", "--at", at)
        assert done.code == code and words in done.err and done.err.count("\n") == 1, done
    assert desk.run("replay", "--ledger", "nowhere", "--at", "-1h").code == Exit.NOT_RUNNING


def test_a_broken_chain_is_said_and_what_is_before_it_is_shown(desk: Desk) -> None:
    ledger = desk.copy("broken")
    head = desk.world.head(ledger)
    with desk.superuser(ledger) as connection:
        connection.execute("delete from qs.snapshots")
        connection.execute('update qs.events set payload = payload || \'{"text": "x"}\' where seq = %s', (head - 5,))
    done = desk.run("replay", "--ledger", ledger, "--at", "-0s")
    assert done.code == Exit.AUDIT and f"event {head - 5}" in done.err and "quantsail audit verify" in done.err


def test_it_reads_while_an_engine_runs_and_writes_nothing(desk: Desk) -> None:
    ledger = desk.copy("watched")
    with desk.superuser(ledger) as connection:
        before = connection.execute("select count(*) as n from qs.audit_logs").fetchone()
        assert desk.run("replay", "--ledger", ledger, "--at", "-1h", "--json").json["seq"] > 0
        assert connection.execute("select count(*) as n from qs.audit_logs").fetchone() == before
