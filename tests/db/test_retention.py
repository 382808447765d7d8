"""What retention drops and what it keeps: policies, holds, needs, the archive. Nothing of a simulation, ever."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from db import archive, audit, retention
from db.connect import connect
from db.maintenance import Report, maintain
from tests.db.schema_rows import USER, insert, people, position

NOW = datetime.now(UTC).replace(microsecond=0)
OLD = (NOW - timedelta(days=60)).replace(hour=12, minute=0, second=0)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
async def conn(migrated: str) -> AsyncIterator[Any]:
    connection = await connect(migrated)
    await people(connection)
    await connection.execute("update bots set status = 'STOPPED'")
    yield connection
    await connection.close()


async def bind(conn: Any, mode: str = "PAPER", feed: str = "live:binance") -> None:
    facts = {"ledger_id": "l", "mode": mode, "feed": feed, "base_currency": "USDT", "created_at": OLD}
    await insert(conn, "ledger", user_id=USER, **facts)


async def old_ticks(conn: Any, n: int = 500) -> None:
    await conn.execute("select ensure_partitions('ticks', $1, $1)", OLD)
    await conn.execute(
        "insert into ticks (exchange_id, symbol, ts, bid, ask, source) select 1, 'BTC/USDT', $1::timestamptz + i * interval '1 ms',"
        " 100 + i / 7.0, 200 + i / 7.0, case when i % 3 = 0 then E'\\\\N \"x\",\\n' end from generate_series(1, $2) i",
        OLD, n,
    )  # fmt: skip


async def old_minutes(conn: Any) -> None:
    await conn.execute("select ensure_candle_partitions($1, $1)", OLD)
    await conn.execute(
        "insert into candles (exchange_id, symbol, timeframe, ts, open, high, low, close, volume, source) values"
        " (1, 'BTC/USDT', '1m', date_trunc('minute', $1::timestamptz), 1, 2, 1, 2, 3, 'live:binance')",
        OLD,
    )


async def archived_ticks(conn: Any, migrated: str, to: Path) -> archive.Segment:
    owner = await connect(migrated, "qs_owner")
    await owner.execute("update retention_policies set archive = true where subject = 'ticks'")
    await owner.close()
    (unit,) = await archive.due(conn, NOW)
    return await archive.write(conn, unit, str(to))


async def due(conn: Any) -> dict[str, retention.Item]:
    return {item.subject: item for item in await retention.plan(conn, NOW) if item.due}


def said(report: Report) -> dict[str, str]:
    assert not report.failed, report.failed
    return {step.name: step.said for step in report.steps}


async def test_the_job_makes_partitions_rolls_up_and_drops_what_is_old(conn: Any, migrated: str) -> None:
    await bind(conn)
    await old_ticks(conn)
    await old_minutes(conn)
    plan = await due(conn)
    assert set(plan) == {"ticks"} | {"candles 1m"} and plan["ticks"].rows == 500
    first = said(await maintain(migrated, now=NOW))
    assert first["partitions"] != "0 partitions made" and first["roll-ups"] == "0 bars came or changed"
    assert first["retention"] == "501 rows dropped"
    assert await conn.fetchval("select count(*) from ticks") == 0
    # The minute was the last of its symbol: its bars were closed before it went.
    assert await conn.fetchval("select count(*) from candles where source = 'rollup'") == 7
    ahead = await conn.fetchval("select count(*) from partitions_of('ticks') where until > $1", NOW)
    assert ahead >= 3
    again = said(await maintain(migrated, now=NOW))
    assert again["partitions"] == "0 partitions made" and again["retention"] == "0 rows dropped"


@pytest.mark.parametrize(("mode", "feed"), [("SIM", "simulate:3"), ("PAPER", "replay:binance")])
async def test_simulations_and_replays_are_left_alone(conn: Any, migrated: str, mode: str, feed: str) -> None:
    await bind(conn, mode, feed)
    await old_ticks(conn)
    assert await due(conn) == {}
    said(await maintain(migrated, now=NOW))
    assert await conn.fetchval("select count(*) from ticks") == 500
    partition = await conn.fetchval("select partition_name from partitions_of('ticks') order by since limit 1")
    with pytest.raises(asyncpg.PostgresError, match="SIM and replay") as caught:
        await conn.fetchval("select drop_partition('ticks', $1, $2)", partition, NOW)
    assert caught.value.sqlstate == "QS005"


async def test_nothing_is_dropped_before_there_is_a_ledger(conn: Any) -> None:
    await old_ticks(conn)
    assert await due(conn) == {}


async def test_a_hold_keeps_everything_until_it_is_released_and_is_audited(conn: Any, migrated: str) -> None:
    await bind(conn)
    await old_ticks(conn)
    partition = (await due(conn))["ticks"].partition
    app = await connect(migrated, "qs_app")
    try:
        with pytest.raises(retention.RetentionError, match="needs a reason"):
            await retention.hold(app, "ticks", " ", "me")
        with pytest.raises(retention.RetentionError, match="known: audit, bias"):
            await retention.hold(app, "tick'; drop table ticks; --", "why", "me")
        await retention.hold(app, "ticks", "a lawyer asked", "me")
        assert await due(conn) == {}
        with pytest.raises(asyncpg.PostgresError, match=r"on hold since .* by me: a lawyer asked"):
            await conn.fetchval("select drop_partition('ticks', $1, $2)", partition, NOW)
        with pytest.raises(retention.RetentionError, match="on hold already"):
            await retention.hold(app, "ticks", "again", "me")
        await retention.release(app, "ticks", "me")
    finally:
        await app.close()
    assert set(await due(conn)) == {"ticks"}
    actions = await conn.fetch("select action, metadata ->> 'subject' from audit_logs order by seq")
    assert [tuple(a) for a in actions] == [("RETENTION_HOLD", "ticks"), ("RETENTION_RELEASE", "ticks")]
    async with conn.transaction():
        assert [seq async for seq in audit.walk(conn)] == [1, 2]


async def test_bars_that_an_open_position_or_a_running_bot_needs_stay(conn: Any) -> None:
    await bind(conn)
    await old_minutes(conn)
    await conn.execute("select take_rollups(1::smallint, 'BTC/USDT'), close_rollups($1)", NOW)
    assert set(await due(conn)) == {"candles 1m"}
    await insert(conn, "positions", **position(1, opened_at=OLD + timedelta(days=2)))
    partition = await conn.fetchval("select partition_name from partitions_of('candles_1m') order by since limit 1")
    with pytest.raises(asyncpg.PostgresError, match="an open position needs bars since"):
        await conn.fetchval("select drop_partition('candles 1m', $1, $2)", partition, NOW)
    assert await due(conn) == {}
    await conn.execute("update positions set status = 'CLOSED', closed_at = opened_at, quantity = 0")
    assert set(await due(conn)) == {"candles 1m"}
    cut = "select cut from retention_cut('candles 30m', $1)"
    assert await conn.fetchval(cut, NOW) == NOW - timedelta(days=90)
    await conn.execute("update bots set status = 'RUNNING'")
    assert await conn.fetchval(cut, NOW) == NOW - 5000 * timedelta(minutes=30)


async def test_minutes_stay_until_longer_bars_are_made_of_them(conn: Any) -> None:
    await bind(conn)
    await old_minutes(conn)
    partition = await conn.fetchval("select partition_name from partitions_of('candles_1m') order by since limit 1")
    with pytest.raises(asyncpg.PostgresError, match="longer bars are not made of it yet"):
        await conn.fetchval("select drop_partition('candles 1m', $1, $2)", partition, NOW)


async def test_young_partitions_other_tables_and_a_clock_from_the_future_are_refused(conn: Any) -> None:
    await bind(conn)
    await conn.execute("select ensure_partitions('ticks', $1, $1)", NOW)
    partition = await conn.fetchval("select partition_name from partitions_of('ticks') order by since desc limit 1")
    drop = "select drop_partition($1, $2, $3)"
    with pytest.raises(asyncpg.PostgresError, match="is kept: younger than"):
        await conn.fetchval(drop, "ticks", partition, NOW + timedelta(days=9999))
    for subject, name in (("ticks", "fills"), ("events", "events_p0"), ("ticks", "ticks"), ("ticks", "candles_1m")):
        with pytest.raises(asyncpg.PostgresError, match="is no partition of"):
            await conn.fetchval(drop, subject, name, NOW)
    for subject in ("fills", "audit", "events", "ticks", "equity"):
        with pytest.raises(asyncpg.PostgresError, match="kept"):
            await conn.fetchval("select delete_expired($1, $2, 10)", subject, NOW)
    kept = {item.subject: item.kept for item in await retention.plan(conn, NOW)}
    assert all(
        kept[s].startswith("archive only") for s in ("events", "fills", "orders", "positions", "audit", "equity")
    )


async def test_rows_of_tables_that_are_not_cut_go_in_batches(conn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await bind(conn)
    monkeypatch.setattr(retention, "_BATCH_ROWS", 40)
    add = (
        "insert into candles (exchange_id, symbol, timeframe, ts, open, high, low, close, volume) select 1, 'A/B', $1::text,"
        " $2::timestamptz - i * interval '1 hour', 1, 1, 1, 1, 0 from generate_series(1, 100) i"
    )
    for frame in ("5m", "1h"):
        await conn.execute(add, frame, NOW - timedelta(days=100))
    item = (await due(conn))["candles 5m"]
    assert item.rows == 100 and await retention.apply(conn, item, NOW) == 100
    assert await conn.fetchval("select count(*) from candles where timeframe = '1h'") == 100


async def test_what_must_be_archived_is_dropped_only_from_a_file_that_is_whole(
    conn: Any, migrated: str, tmp_path: Path
) -> None:
    await bind(conn)
    await old_ticks(conn)
    item = (await due(conn))["ticks"]
    segment = await archived_ticks(conn, migrated, tmp_path / "archive")
    assert segment.rows == 500 and await archive.due(conn, NOW) == []
    file = Path(segment.location)
    good = file.read_bytes()
    file.write_bytes(good[:999] + bytes([good[999] ^ 1]) + good[1000:])
    with pytest.raises(archive.ArchiveError, match="is not the file that was written"):
        await retention.apply(conn, item, NOW)
    file.unlink()
    with pytest.raises(archive.ArchiveError, match="cannot be read"):
        await retention.apply(conn, item, NOW)
    file.write_bytes(good)
    await conn.execute("insert into ticks (exchange_id, symbol, ts, bid, ask) values (1, 'X/Y', $1, 1, 2)", OLD)
    with pytest.raises(asyncpg.PostgresError, match="not in the archive as it is now"):
        await retention.apply(conn, item, NOW)
    (unit,) = await archive.due(conn, NOW)  # it changed, so it is due again, under another name
    second = await archive.write(conn, unit, str(tmp_path / "archive"))
    assert second.rows == 501 and second.location != segment.location
    before = await conn.fetch("select * from ticks order by ts, symbol")
    assert await retention.apply(conn, item, NOW) == 501
    with pytest.raises(archive.ArchiveError, match="the next job would drop it again"):
        await archive.restore(conn, second.id)
    app = await connect(migrated, "qs_app")
    await retention.hold(app, "ticks", "looking into it", "me")
    await app.close()
    assert await archive.restore(conn, second.id) == 501
    assert await conn.fetch("select * from ticks order by ts, symbol") == before
    with pytest.raises(archive.ArchiveError, match="501 rows of that time are in ticks"):
        await archive.restore(conn, second.id)


async def test_an_archive_that_cannot_be_written_drops_nothing_and_says_so(
    conn: Any, migrated: str, tmp_path: Path
) -> None:
    await bind(conn)
    await old_ticks(conn)
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    with pytest.raises(archive.ArchiveError, match="is not archived"):
        await archived_ticks(conn, migrated, blocked)
    report = await maintain(migrated, now=NOW, archive_to=str(blocked))
    assert [step.name for step in report.failed] == ["archive"] and "\n" not in report.failed[0].said
    assert await conn.fetchval("select count(*) from ticks") == 500
    (unit,) = await archive.due(conn, NOW)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))  # as full as a disk can be
    try:
        with pytest.raises(archive.ArchiveError, match="is not archived"):
            await archive.write(conn, unit, str(tmp_path / "full"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert await archive.listed(conn) == []  # and the connection lives


async def test_any_address_of_fsspec_will_do(conn: Any, migrated: str) -> None:
    pytest.importorskip("fsspec")
    await bind(conn)
    await old_ticks(conn)
    item = (await due(conn))["ticks"]
    segment = await archived_ticks(conn, migrated, "memory://bucket/a")  # type: ignore[arg-type]
    assert segment.location.startswith("memory://bucket/a/ticks/")
    assert await retention.apply(conn, item, NOW) == 500
    with pytest.raises(archive.ArchiveError, match="quantsail\\[s3\\]"):
        await archive.check_before_drop(await _pretend(conn, migrated), "ticks", "elsewhere")


async def _pretend(conn: Any, migrated: str) -> Any:
    """A segment at an address that no installed package knows."""
    await conn.execute(
        "insert into archive_segments (table_name, partition_name, since, until, rows_count, size_bytes, sha256, checksums,"
        " location, verified_at) values ('ticks', 'elsewhere', $1, $1, 0, 0, $2, '{}', 'nowhere://b/c', $1)",
        OLD, "0" * 64,
    )  # fmt: skip
    return conn


async def test_months_of_the_journal_s_tables_are_archived_and_never_dropped(conn: Any, tmp_path: Path) -> None:
    await bind(conn)
    before = datetime(2030, 1, 1, tzinfo=UTC)
    await insert(
        conn, "positions", **position(1, status="CLOSED", closed_at=OLD, quantity=Decimal("0.000000000000000001"))
    )
    (unit,) = await archive.due(conn, NOW, table="positions", before=before)
    segment = await archive.write(conn, unit, str(tmp_path))
    assert segment.location == f"{tmp_path}/positions/{OLD:%Y-%m}.parquet" and segment.rows == 1
    with pytest.raises(archive.ArchiveError, match="is never dropped"):
        await archive.restore(conn, segment.id)
    assert await archive.due(conn, NOW, table="positions", before=before) == []


async def test_two_jobs_at_once_are_one(conn: Any, migrated: str) -> None:
    await bind(conn)
    await old_ticks(conn, 20_000)
    reports = await asyncio.gather(*(maintain(migrated, now=NOW) for _ in range(4)))
    worked = [report for report in reports if not report.busy]
    assert len(worked) >= 1 and sum("20000 rows dropped" in said(r)["retention"] for r in worked) == 1


KILLED = """
import asyncio, sys
from datetime import datetime
from db import archive
from db.maintenance import maintain
print("READY", flush=True)
asyncio.run(maintain(sys.argv[1], now=datetime.fromisoformat(sys.argv[2]), archive_to=sys.argv[3]))
"""


@pytest.mark.parametrize("delay_s", [0.15, 0.4, 0.8])
async def test_a_job_that_is_killed_anywhere_loses_nothing(
    conn: Any, migrated: str, tmp_path: Path, delay_s: float
) -> None:
    await bind(conn)
    await old_ticks(conn, 50_000)
    owner = await connect(migrated, "qs_owner")
    await owner.execute("update retention_policies set archive = true where subject = 'ticks'")
    await owner.close()
    job = subprocess.Popen(
        [sys.executable, "-c", KILLED, migrated, NOW.isoformat(), str(tmp_path / "a")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert job.stdout is not None and job.stdout.readline() == b"READY\n"
    await asyncio.sleep(delay_s)
    job.send_signal(signal.SIGKILL)
    job.communicate()
    left = await conn.fetchval("select count(*) from ticks")
    whole = await conn.fetchval(
        "select count(*) from archive_segments where verified_at is not null and rows_count = 50000"
    )
    assert left == 50_000 or (left == 0 and whole == 1)
    for _ in range(50):  # the server may notice the death a moment later
        report = await maintain(migrated, now=NOW, archive_to=str(tmp_path / "a"))
        if not report.busy:
            break
        await asyncio.sleep(0.1)
    assert not report.failed, report.failed
    assert await conn.fetchval("select count(*) from ticks") == 0
    for segment in await archive.listed(conn):
        if segment["verified_at"] is not None:
            await archive.check_before_drop(conn, "ticks", segment["partition_name"])
