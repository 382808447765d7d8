"""The chain: any event comes back from jsonb as the same bytes, and whatever is changed by hand is found."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import asyncpg
import hypothesis
import msgspec
import pytest
from hypothesis import strategies as st

from db import audit
from db.anchors import ANCHORS_FILE, Anchor, AnchorError, Anchors
from db.chain import (
    COLUMNS,
    Chain,
    ChainBroken,
    JournalRefused,
    canonical,
    check_storable,
    genesis,
    link,
    payload_bytes,
    read_row,
    row_bytes,
)
from db.connect import connect
from db.fold import links, snapshot_before
from db.verify import VerifyReport, verify
from engine.core import events as ev
from engine.core.inputs import Cause
from engine.core.types import Side
from tests.db.histories import journal_of, traded, write
from tests.servers import AsSuperuser, FillOnce

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
UUIDS = st.uuids().map(str)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [Decimal("1E+3"), Decimal("-0"), Decimal("0E-30"), Decimal("1.50"), Decimal(10) ** 60, Decimal("1e-40")]
)

INTS = st.integers(-(2**63), 2**63 - 1)
CAUSES = st.builds(Cause, INTS, INTS, TEXT, TEXT, INTS, TEXT, INTS)
TREES = st.recursive(
    TEXT | st.booleans() | st.none() | INTS, lambda c: st.lists(c, max_size=3) | st.dictionaries(TEXT, c)
)
IDS = {"bot_id", "position_id"}


def of_type(kind: Any) -> st.SearchStrategy[Any]:
    plain = {
        str: TEXT,
        int: INTS,
        bool: st.booleans(),
        Decimal: DECIMALS,
        Cause: CAUSES,
        type(None): st.none(),
        Any: TREES,
    }
    if kind in plain:
        return plain[kind]
    arguments = get_args(kind)
    origin = getattr(kind, "__origin__", None)
    if origin is tuple:
        return st.lists(of_type(arguments[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(of_type(arguments[0]), of_type(arguments[1]), max_size=4)
    if arguments:
        return st.one_of(*map(of_type, arguments))
    if issubclass(kind, msgspec.Struct):
        return st.builds(kind, **{f.name: of_type(f.type) for f in msgspec.structs.fields(kind)})
    return st.sampled_from(kind)


EVENTS = st.one_of(
    *(
        st.builds(kind, **{f.name: UUIDS if f.name in IDS else of_type(f.type) for f in msgspec.structs.fields(kind)})
        for kind in ev.EVENT_TYPES.values()
    )
)


@pytest.fixture
def dsn(migrated: str) -> str:
    return migrated


async def test_every_event_comes_back_from_jsonb_as_the_same_bytes(dsn: str) -> None:
    conn = await connect(dsn)
    loop = asyncio.get_running_loop()

    async def through(payload: str) -> str:
        return str(await conn.fetchval("select $1::text::jsonb::text", payload))

    @hypothesis.settings(max_examples=300, deadline=None, database=None)
    @hypothesis.given(EVENTS)
    def same(event: ev.Event) -> None:
        payload = payload_bytes(event)
        check_storable(1, "00000000-0000-7000-8000-00000000000a", event, payload)
        back = asyncio.run_coroutine_threadsafe(through(payload.decode()), loop).result()
        assert canonical(msgspec.json.decode(back)) == payload
        assert ev.encode(ev.decode(payload)) == payload

    await asyncio.to_thread(same)
    await conn.close()


def signal(trace: dict[Any, Any]) -> ev.SignalGenerated:
    return ev.SignalGenerated(
        ts=1, cause=Cause(1, 0, "x", "y", 1, "candle", 60), signal_id="s", bot_id="", strategy_id="", exchange="x",
        symbol="y", side=Side.BUY, kind="ENTRY", price=Decimal(1), config_version=1, trace=trace,
    )  # fmt: skip


@pytest.mark.parametrize(
    "bad", [{"x": -0.0}, {"x": [1e16]}, {"x": {"y": -1e300}}, {10: "a", 9: "b"}, {"a\x00": 1}, {"x": "\x00"}]
)
def test_what_jsonb_would_change_is_refused(bad: dict[Any, Any]) -> None:
    event = signal(bad)
    with pytest.raises(JournalRefused):
        check_storable(1, "00000000-0000-7000-8000-00000000000a", event, payload_bytes(event))


def test_a_backslash_before_u0000_is_only_text() -> None:
    event = signal({"x": "\\u0000"})
    check_storable(1, "00000000-0000-7000-8000-00000000000a", event, payload_bytes(event))


def test_ids_are_uuids_in_one_spelling() -> None:
    event = ev.BotStatusChanged(ts=1, cause=signal({}).cause, bot_id="B-1", status="RUNNING", reason="")
    with pytest.raises(JournalRefused, match="bot_id"):
        check_storable(1, "00000000-0000-7000-8000-00000000000a", event, payload_bytes(event))
    with pytest.raises(JournalRefused, match="id 'x'"):
        check_storable(1, "x", signal({}), payload_bytes(signal({})))


async def test_a_page_of_the_chain_by_hand(tmp_path: Path) -> None:
    pairs = await traded(tmp_path, bars=3)
    chain, prev = Chain(), genesis(pairs[0][1].ledger_id)  # type: ignore[attr-defined]
    for seq, (n, event) in enumerate(pairs, start=1):
        found = chain.add(ev.event_id(pairs[0][1].ledger_id, event, n), event)  # type: ignore[attr-defined]
        want = link(prev, row_bytes(found.columns, payload_bytes(event)))
        assert (found.recorded.prev_hash, found.recorded.hash) == (prev, want)
        assert dict(zip(COLUMNS, found.columns, strict=True))["seq"] == seq
        prev = want


def test_causation_is_the_first_event_of_the_cause() -> None:
    chain = Chain()
    causes = [signal({}).cause, signal({}).cause, Cause(2, 0, "x", "y", 1, "candle", 60), signal({}).cause]
    events = [ev.CommandRefused(ts=1, cause=c, verb="", actor="", reason="") for c in causes]
    found = [dict(zip(COLUMNS, chain.add("i", e).columns, strict=True))["causation_seq"] for e in events]
    assert found == [1, 1, 3, 4]


# -- anchors -------------------------------------------------------------------------------------------------------------


def test_anchors_come_back_and_a_torn_line_is_no_anchor(tmp_path: Path) -> None:
    anchors = Anchors(tmp_path / "deep" / ANCHORS_FILE)
    assert anchors.read() == []
    kept = [Anchor(1, "aa", 5), Anchor(2, "bb", 6)]
    anchors.append(kept[0])
    with anchors.path.open("ab") as file:
        file.write(b'{"seq":2,"ha')
    assert anchors.read() == kept[:1]
    anchors.append(kept[1])
    assert anchors.read() == kept


def test_a_line_that_is_no_anchor_is_named(tmp_path: Path) -> None:
    anchors = Anchors(tmp_path / ANCHORS_FILE)
    anchors.path.write_bytes(b'{"seq":1,"hash":"aa","at":1}\n{"seq":"x"}\n{"seq":3,"hash":"aa","at":1}\n')
    with pytest.raises(AnchorError, match="line 2"):
        anchors.read()


# -- verify --------------------------------------------------------------------------------------------------------------


class Ledgered:
    """A database with a journal, and a superuser who may do as he pleases."""

    def __init__(self, dsn: str, directory: Path, conn: asyncpg.Connection, count: int) -> None:
        self.dsn, self.conn, self.count = dsn, conn, count
        self.anchors = directory / ANCHORS_FILE

    async def verify(self) -> VerifyReport:
        return await verify(self.dsn, self.anchors)

    async def tamper(self, *statements: str) -> None:
        """As superuser, with the guards off meanwhile."""
        guarded = (
            "events",
            "events_p0",
            "log_heads",
            "fills",
            "orders",
            "kill_switch_events",
            "stop_results",
            "risk_decisions",
            "audit_logs",
        )
        async with self.conn.transaction():
            for table in guarded:
                await self.conn.execute(f"alter table qs.{table} disable trigger user")
            for statement in statements:
                await self.conn.execute(statement)
            for table in guarded:
                for trigger in await self.conn.fetch(
                    "select tgname from pg_trigger where tgrelid = $1::text::regclass and not tgisinternal",
                    f"qs.{table}",
                ):
                    await self.conn.execute(f"alter table qs.{table} enable always trigger {trigger[0]}")

    async def recompute(self, since: int) -> None:
        """What an attacker does who knows the code: hash everything anew from `since` on."""
        rows = await self.conn.fetch(
            "select *, payload::text as text, (extract(epoch from ts) * 1000000)::bigint as ts_us from qs.events order by seq"
        )
        prev, statements = b"", []
        for row in rows:
            plain = dict(row) | {"payload": row["text"]}
            if row["seq"] < since:
                prev = bytes(row["hash"])
                continue
            before = prev or bytes(row["prev_hash"])
            found = read_row(plain)
            prev = link(before, row_bytes(found.columns, found.payload))
            statements.append(
                f"update qs.events set prev_hash = '\\x{before.hex()}', hash = '\\x{prev.hex()}' where seq = {row['seq']}"
            )
        await self.tamper(*statements, f"update qs.log_heads set hash = '\\x{prev.hex()}' where log = 'events'")


@pytest.fixture
async def ledgered(filled: FillOnce, as_superuser: AsSuperuser, tmp_path: Path) -> Any:
    async def fill(uri: str, folder: Path) -> int:
        pairs = await traded(folder / "world", bars=25)
        journal = journal_of(uri, folder / "ledger", snapshot_every=40)
        await write(journal, (await journal.open()).ledger, pairs)
        await journal.close("done")
        return len(pairs)

    dsn, count = filled("chained", fill)
    conn = await asyncpg.connect(as_superuser(dsn))
    await conn.execute("set search_path = qs, pg_catalog")
    yield Ledgered(dsn, tmp_path / "ledger", conn, count)
    await conn.close()


async def test_an_honest_journal_verifies(ledgered: Ledgered) -> None:
    for _ in range(3):
        await audit.append(
            ledgered.conn,
            audit.AuditEntry(
                id="00000000-0000-7000-8000-00000000000a", ts=1_700_000_000_123_456, action="LOGIN",
                resource_type="user", new_values={"ü": ["1.50", 2, None]}, ip_address="10.0.0.1",
            ),
        )  # fmt: skip
    await ledgered.tamper()
    report = await ledgered.verify()
    assert report.ok, report.text
    assert (report.events, report.head_seq, report.audit_entries) == (ledgered.count, ledgered.count, 3)
    assert report.anchors >= 2 and report.snapshots >= 2
    assert report.text.startswith("ok ")


PAYLOAD = "jsonb_set(payload, '{reason}', '\"another\"')"
SEQ_OF_STATE = "(select min(seq) from qs.events where type = 'TradingStateChanged')"


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (f"update qs.events set payload = {PAYLOAD} where seq = {SEQ_OF_STATE}", "not what its hash says"),
        ("update qs.events set actor = 'mallory' where seq = 2", "not what its hash says"),
        ("update qs.events set ts = ts + interval '1 microsecond' where seq = 5", "ts or causation_seq"),
        ("update qs.events set hash = sha256('x') where seq = 5", "not what its hash says"),
        ("update qs.events set prev_hash = sha256('x') where seq = 5", "does not continue"),
        ("delete from qs.events where seq = 6", "missing"),
        ("update qs.events set payload = '{}' where seq = 3", "payload that is no"),
        (
            "update qs.fills set price = price + 0.01 where event_seq = (select min(event_seq) from qs.fills)",
            "fills row",
        ),
        (
            "delete from qs.risk_decisions where event_seq = (select min(event_seq) from qs.risk_decisions)",
            "risk_decisions",
        ),
        ("update qs.kill_switch_events set actor = 'mallory'", "kill_switch_events row"),
        ("update qs.stop_results set results = '[]', actor = 'mallory'", "stop_results row"),
        ("update qs.orders set quantity = quantity + 1 where status = 'FILLED'", "orders row"),
        ("update qs.snapshots set state_hash = encode(sha256('x'), 'hex')", "snapshot"),
        ("insert into qs.snapshots(seq, state_hash, ledger) values(999999, repeat('a', 64), '{}')", "tail was cut"),
        ("update qs.log_heads set hash = sha256('x') where log = 'events'", "head"),
    ],
)
async def test_one_change_by_a_superuser_is_found(ledgered: Ledgered, statement: str, reason: str) -> None:
    assert (await ledgered.verify()).ok
    await ledgered.tamper(statement)
    report = await ledgered.verify()
    assert report.problem is not None and reason in report.problem.reason, report.text
    assert "\n" not in report.text and report.text.startswith("FAILED")


async def test_a_snapshot_of_another_layout_is_nobodys_forgery(ledgered: Ledgered) -> None:
    """Another version of this program folded it: its hash is not ours to judge, and a start passes it over."""
    await ledgered.tamper(
        "update qs.snapshots set ledger = ledger - 'layout', state_hash = encode(sha256('older'), 'hex')"
    )
    report = await ledgered.verify()
    assert report.ok and report.snapshots > 0
    conn = await connect(ledgered.dsn)
    async with conn.transaction():
        ledger, _ = await snapshot_before(conn)
    await conn.close()
    assert ledger.seq == 0


async def test_the_event_that_was_changed_is_named(ledgered: Ledgered) -> None:
    await ledgered.tamper("update qs.events set actor = 'mallory' where seq = 2")
    report = await ledgered.verify()
    assert report.problem is not None and report.problem.seq == 2


async def test_a_recomputed_chain_is_found_by_its_anchors(ledgered: Ledgered) -> None:
    await ledgered.tamper(f"update qs.events set payload = {PAYLOAD} where seq = {SEQ_OF_STATE}")
    changed = await ledgered.conn.fetchval(f"select {SEQ_OF_STATE}")
    await ledgered.recompute(changed)
    conn = await connect(ledgered.dsn)
    async with conn.transaction():
        assert len([found async for found in links(conn, Chain())]) == ledgered.count  # the chain alone is content
    await conn.close()
    report = await ledgered.verify()
    assert report.problem is not None and "recomputed" in report.problem.reason
    assert report.problem.seq >= changed


async def test_a_cut_tail_is_found_by_its_anchors(ledgered: Ledgered) -> None:
    last = ledgered.count
    await ledgered.tamper(
        "delete from qs.snapshots",
        f"update qs.log_heads set seq = {last} - 3, hash = (select hash from qs.events where seq = {last} - 3)"
        " where log = 'events'",
        f"delete from qs.events where seq > {last} - 3",
    )
    report = await ledgered.verify()
    assert report.problem is not None and "tail was cut" in report.problem.reason
    assert report.problem.seq == last - 2


async def test_a_cut_or_changed_journal_does_not_open(ledgered: Ledgered, tmp_path: Path) -> None:
    await ledgered.tamper("update qs.events set actor = 'mallory' where seq = 2", "delete from qs.snapshots")
    with pytest.raises(Exception, match="audit verify"):
        await journal_of(ledgered.dsn, tmp_path / "ledger").open()
    assert await ledgered.conn.fetchval("select why from qs.engine_runs order by epoch desc limit 1") is not None


@pytest.mark.parametrize("table", ["events", "events_p0", "fills", "audit_logs"])
@pytest.mark.parametrize("how", ["disable trigger append_only_truncate", "enable trigger append_only"])
async def test_a_guard_that_is_off_is_found(ledgered: Ledgered, table: str, how: str) -> None:
    await ledgered.conn.execute(f"alter table qs.{table} {how}")
    report = await ledgered.verify()
    guard = how.split()[-1]
    assert report.problem is not None and f"trigger {guard}" in report.problem.reason


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("update qs.audit_logs set action = 'LOGOUT' where seq = 2", "hash"),
        ("delete from qs.audit_logs where seq = 2", "missing"),
        ("delete from qs.audit_logs where seq = 3", "head"),
    ],
)
async def test_a_changed_audit_log_is_found(ledgered: Ledgered, statement: str, reason: str) -> None:
    for n in range(3):
        entry = audit.AuditEntry(
            id=f"00000000-0000-7000-8000-00000000000{n}", ts=n, action="LOGIN", resource_type="user"
        )
        assert await audit.append(ledgered.conn, entry) == n + 1
    await ledgered.tamper(statement)
    report = await ledgered.verify()
    assert report.problem is not None and reason in report.problem.reason, report.text


def test_a_broken_row_says_its_seq() -> None:
    row: dict[str, Any] = dict.fromkeys((*COLUMNS, "prev_hash", "hash"), b"") | {
        "seq": 7,
        "payload": "{}",
        "schema_version": 1,
    }
    with pytest.raises(ChainBroken, match="event 7") as error:
        read_row(row)
    assert error.value.seq == 7
