"""A rebuild of a long journal: equal to what the engine's appends wrote, in the same memory whatever its length."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import structlog

from db.connect import connect
from db.rebuild import rebuild, would_change
from tests.db.histories import journal_of, traded, write

EVENTS_MIN = 100_000
BARS = 16_700
REBUILD = """
import asyncio, json, resource, sys
from db.rebuild import rebuild
seen = []
events = asyncio.run(rebuild(sys.argv[1], lambda done, all_: seen.append((done, all_, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))))
print(json.dumps([events, seen]))
"""


@pytest.fixture
def quiet() -> Iterator[None]:
    """The engine's log of thousands of bars is nobody's to read."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.reset_defaults()


async def fingerprints(conn: asyncpg.Connection) -> dict[str, tuple[int, str]]:
    """Rows and a hash over all of them, for each read table."""
    names = [row[0] for row in await conn.fetch("select table_name from qs.table_classes where class = 'PROJECTION'")]
    statement = "select count(*), coalesce(md5(string_agg(md5(t::text), '' order by md5(t::text))), '') from qs.{} t"
    return {name: tuple(await conn.fetchrow(statement.format(name))) for name in names}  # type: ignore[misc]


async def test_a_hundred_thousand_events_give_the_same_tables_again(migrated: str, tmp_path: Path, quiet: None) -> None:
    pairs = await traded(tmp_path / "world", bars=BARS)
    assert len(pairs) >= EVENTS_MIN
    journal = journal_of(migrated, tmp_path / "ledger", snapshot_every=50_000)
    await write(journal, (await journal.open()).ledger, pairs, size=1_499)  # not the pages that a rebuild writes
    await journal.close("done")
    conn = await connect(migrated, "qs_owner", statement_timeout_ms=0)
    before = await fingerprints(conn)
    assert {"fills", "orders", "positions", "signals"} <= {name for name, (count, _) in before.items() if count > 1_000}

    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", REBUILD, migrated], capture_output=True, text=True, check=True, env=environment
    )
    events, seen = json.loads(done.stdout)
    assert events == len(pairs) and [total for _, total, _ in seen] == [events] * (events // 1_000)
    assert await fingerprints(conn) == before
    at_half, at_end = seen[len(seen) // 2][2], seen[-1][2]
    assert at_end - at_half < 30_000, "kilobytes more for the second half of the journal"
    await conn.close()


async def test_what_is_missing_too_much_or_different_is_counted(migrated: str, tmp_path: Path) -> None:
    pairs = await traded(tmp_path / "world", bars=60)
    journal = journal_of(migrated, tmp_path / "ledger")
    await write(journal, (await journal.open()).ledger, pairs)
    assert await would_change(migrated) == (len(pairs), [])  # beside a running engine
    await journal.close("done")
    conn = await connect(migrated, "qs_owner")
    count = await conn.fetchval("select count(*) from qs.signals")
    await conn.execute("delete from qs.signals")
    await conn.execute("update qs.portfolios set cash_balance = -1")
    found = {change.table: change for change in (await would_change(migrated))[1]}
    assert set(found) == {"signals", "portfolios"}
    assert found["signals"][1:4] == (count, 0, 0) and len(found["signals"].examples) == 3
    assert found["portfolios"][1:4] == (0, 0, 1) and "cash_balance" in found["portfolios"].examples[0]
    assert await rebuild(migrated) == len(pairs)
    assert (await would_change(migrated))[1] == []
    await conn.close()
