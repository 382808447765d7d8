"""What keeps the engine running: database, disk, feeds, clock, runs, retention, copies, audit trail. Asked for by a screen."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import msgspec

from db.connect import transaction
from engine.core.types import Mode

if TYPE_CHECKING:
    from engine.core.ledger import Ledger
    from engine.local import Running

GOOD, WARN, BAD = "", "warn", "error"
RUNS, AUDIT = 6, 200
#: In the order in which one looks.
SECTIONS = (
    "past", "database", "feeds", "engine runs", "disk", "clock", "orders", "reconciliation", "smoke runs", "retention", "backups",
    "audit trail",
)  # fmt: skip
#: Late data, in seconds: said, and said loudly.
LATE_S = (60, 300)
FREE_WARN_BYTES = 5 << 30


class Fact(msgspec.Struct, frozen=True):
    """One line: `level` is "", "warn" or "error"."""

    section: str
    name: str
    value: str
    level: str = GOOD


class AuditLine(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the audit trail; `ts` us UTC, `what` the new values as JSON text."""

    seq: int
    ts: int
    actor: str
    action: str
    about: str
    what: str


class Operations(msgspec.Struct, frozen=True, kw_only=True):
    facts: tuple[Fact, ...]
    audit: tuple[AuditLine, ...] = ()
    events: int = 0


class Trail(NamedTuple):
    """What a database keeps beside the events of a journal; `written` is when an event was, None without a database."""

    written: datetime | None = None
    facts: Sequence[Fact] = ()
    audit: Sequence[AuditLine] = ()


@runtime_checkable
class Operated(Protocol):
    """A client that knows what keeps, or kept, its engine running."""

    def operations(self) -> Future[Operations]: ...


def of_engine(running: Running) -> list[Fact]:
    """On the engine's loop, without I/O."""
    engine, feed = running.engine, running.feed
    now = engine.clock_us() if engine.clock_us is not None else max(engine.state.ledger.now, engine.place.ts)
    down = feed.status.startswith("down")
    reconnects: Mapping[str, int] | None = getattr(feed, "reconnects", None)  # recorded and simulated data has none
    total = sum(reconnects.values()) if reconnects is not None else 0
    said = f"{total} since the start" if reconnects is not None else "none: this data needs no connection"
    found = [
        Fact("feeds", "feed", f"{feed.identity}: {feed.status}", BAD if down else GOOD),
        Fact("feeds", "gaps", f"{len(feed.gaps)}", WARN if feed.gaps else GOOD),
        Fact("feeds", "reconnects", said, WARN if total else GOOD),
    ]
    for (exchange, symbol), series in engine.state.market.series.items():
        age = series.age_us(now)
        late = None if age is None else age // 1_000_000
        level = WARN if late is None or late > LATE_S[0] else GOOD
        level = BAD if late is not None and late > LATE_S[1] else level
        said = "nothing heard yet" if late is None else f"{late} s late, {series.bars:,} bars"
        if reconnects is not None:
            said += f", {reconnects[symbol]} reconnects"
        found.append(Fact("feeds", f"{symbol} {exchange}", said, level))
    return [*found, *of_ledger(engine.state.ledger)]


def of_ledger(ledger: Ledger) -> list[Fact]:
    """What the journal tells of the house, now as at any moment of the past."""
    house = ledger.house
    skew = "not known" if house.clock_skew_ms is None else f"{house.clock_skew_ms:+} ms against the exchange"
    journal = "is written" if house.journal_ok else house.journal or "not known"
    in_doubt = sum(o.in_doubt for o in ledger.orders.values())
    return [
        Fact("clock", "skew", skew, WARN if house.clock_skew_ms is None else GOOD),
        Fact("database", "journal", journal, GOOD if house.journal_ok else WARN if house.journal_ok is None else BAD),
        Fact("orders", "in doubt", f"{in_doubt}; settling them by hand comes later", WARN if in_doubt else GOOD),
        _reconciled(ledger),
        Fact("smoke runs", "last run", "none: they come later"),
    ]


def _reconciled(ledger: Ledger) -> Fact:
    if ledger.house.reconciled is False:
        return Fact("reconciliation", "last result", "ledger and venue differ: no new entries", BAD)
    if ledger.mode is not Mode.LIVE:
        return Fact("reconciliation", "last result", "none: paper and simulation have no venue to compare with")
    known = ledger.house.reconciled is True
    return Fact(
        "reconciliation", "last result", "ledger and venue agree" if known else "not known", GOOD if known else WARN
    )


#: What is looked at now, and written nowhere.
UNSEEN = "disk, feeds and their reconnects, loop lag, latency and size of the database, retention, backups"


def of_then(ledger: Ledger, trail: Trail) -> Operations:
    """A moment of the past, as far as journal, runs and audit trail tell."""
    written = "~ not recorded: this ledger lives in memory" if trail.written is None else _when(trail.written)
    facts = (
        Fact("past", "~ not recorded then", UNSEEN, WARN),
        Fact("database", "written", f"event {ledger.seq:,}: {written}", GOOD if trail.written else WARN),
        *of_ledger(ledger),
        *trail.facts,
    )
    return Operations(facts=facts, audit=tuple(trail.audit), events=ledger.seq)


async def trail_of(conn: Any, seq: int) -> Trail:
    """Runs and audit trail as they were when an event was written."""
    written = await conn.fetchval("select recorded_at from events where seq = $1", seq)
    audit = [AuditLine(**dict(row)) for row in await conn.fetch(_AUDIT, AUDIT, written)]
    return Trail(written, await _runs(conn, written), audit)


def of_disk(folder: Path, name: str) -> list[Fact]:
    """May wait for the disk: for a thread."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        return [Fact("disk", name, f"cannot be asked: {error.strerror}", WARN)]
    level = WARN if usage.free < FREE_WARN_BYTES else GOOD
    return [Fact("disk", name, f"{usage.free / 2**30:,.1f} GB free of {usage.total / 2**30:,.1f} GB", level)]


def of_copies(folder: Path) -> list[Fact]:
    """The copies on disk, the newest said."""
    from db.backup import copies

    found = copies(folder)
    if not found:
        return [Fact("backups", "copies", "none: quantsail db backup makes one", WARN)]
    newest = found[0]
    m = newest.manifest
    said = f"{m.made_at}, {_size(m.bytes)}, {'verified' if m.verified else 'not verified'}" if m else newest.path.name
    return [Fact("backups", "copies", f"{len(found)}"), Fact("backups", "newest", said)]


async def of_database(conn: Any, gone: Callable[[Fact], None]) -> tuple[list[AuditLine], int]:
    """Reads on the cockpit's own connection; a part that cannot be read says why, and the others go on."""
    audit: list[AuditLine] = []
    events = [0]

    async def trail() -> list[Fact]:
        audit.extend([AuditLine(**dict(row)) for row in await conn.fetch(_AUDIT, AUDIT, None)])
        return []

    async def journal() -> list[Fact]:
        found = await _journal(conn)
        events[0] = found[1]
        return found[0]

    parts: list[tuple[str, Callable[[], Awaitable[list[Fact]]]]] = [
        ("database", lambda: _server(conn)), ("database", journal), ("engine runs", lambda: _runs(conn)),
        ("retention", lambda: _retention(conn)), ("audit trail", trail),
    ]  # fmt: skip
    for section, part in parts:
        try:
            async with transaction(conn):
                for fact in await part():
                    gone(fact)
        except Exception as error:
            hint = "; quantsail db retention tells" if section == "retention" else ""
            said = " ".join(str(error).split())[:160] or type(error).__name__
            gone(Fact(section, "not readable", said + hint, WARN))
    return audit, events[0]


_AUDIT = """
select seq, (extract(epoch from ts) * 1000000)::bigint as ts, coalesce(metadata ->> 'actor', '') as actor, action,
  concat_ws(' ', resource_type, resource_id) as about, coalesce(new_values::text, '') as what
from audit_logs where $2::timestamptz is null or ts <= $2 order by seq desc limit $1
"""
_SERVER = """
select current_setting('server_version') as version, current_database() as name,
  pg_database_size(current_database()) as size,
  (select count(*) from pg_stat_activity where datname = current_database()) as connections,
  current_setting('max_connections') as most
"""
_HEAD = """
select seq, (extract(epoch from clock_timestamp() - recorded_at))::float8 as age from events order by seq desc limit 1
"""
_RUNS = """
select epoch, host, pid, version, started_at, case when $2::timestamptz is null or ended_at <= $2 then ended_at end as ended_at,
  case when $2::timestamptz is null or ended_at <= $2 then coalesce(why, '') else '' end as why
from engine_runs where $2::timestamptz is null or started_at <= $2 order by epoch desc limit $1
"""


async def _server(conn: Any) -> list[Fact]:
    began = time.perf_counter()
    row = await conn.fetchrow(_SERVER)
    latency_ms = (time.perf_counter() - began) * 1_000
    return [
        Fact("database", "server", f"PostgreSQL {row['version']}, database {row['name']}"),
        Fact("database", "latency", f"{latency_ms:.1f} ms for one read", WARN if latency_ms > 100 else GOOD),
        Fact("database", "size", _size(row["size"])),
        Fact("database", "connections", f"{row['connections']} of {row['most']}; the cockpit's pool has at most 2"),
    ]


async def _journal(conn: Any) -> tuple[list[Fact], int]:
    row = await conn.fetchrow(_HEAD)
    if row is None:
        return [Fact("database", "last commit", "none yet")], 0
    return [Fact("database", "last commit", f"event {row['seq']:,}, {_ago(row['age'])} ago")], row["seq"]


async def _runs(conn: Any, upto: datetime | None = None) -> list[Fact]:
    return [
        Fact(
            "engine runs",
            f"run {row['epoch']}",
            f"{_when(row['started_at'])} to {_when(row['ended_at']) if row['ended_at'] else 'now' if upto is None else 'then'}, "
            f"{row['host']} pid {row['pid']}, {row['version']}" + (f": {row['why']}" if row["why"] else ""),
            BAD if row["why"].startswith("error") else GOOD,
        )
        for row in await conn.fetch(_RUNS, RUNS, upto)
    ]


async def _retention(conn: Any) -> list[Fact]:
    from db import retention

    items = await retention.plan(conn, datetime.now(UTC))
    due = [item for item in items if item.due]
    said = f"{len(due)} of {len(items)} parts, {_size(sum(i.size_bytes for i in due))}: quantsail db retention"
    return [
        Fact("retention", "due", said if due else f"nothing of {len(items)} parts"),
        *(Fact("retention", i.subject, f"{i.what}, {i.rows:,} rows") for i in due[:5]),
    ]


def _when(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _ago(seconds: float) -> str:
    whole = max(0, int(seconds))
    return f"{whole} s" if whole < 120 else f"{whole // 60} min" if whole < 7_200 else f"{whole // 3_600} h"


def _size(size: int) -> str:
    return f"{size / 2**20:,.1f} MB" if size < 2**30 else f"{size / 2**30:,.1f} GB"


async def gather(running: Running, reader: Any, folder: Path | None, copies: Path | None) -> Operations:
    """On the engine's loop, which only waits: the reads run on the cockpit's thread, the disk on one of its own."""
    facts = of_engine(running)
    audit: list[AuditLine] = []
    events = 0
    for path, look in ((folder, lambda p: of_disk(p, "ledger's folder")), (copies, of_copies)):
        if path is not None:
            facts += await asyncio.to_thread(look, path)
    if reader is None:
        facts.append(Fact("database", "server", "none: this ledger lives in memory", WARN))
        return Operations(facts=tuple(facts))
    found: list[Fact] = []
    try:
        audit, events = await asyncio.wrap_future(reader.read(lambda conn: of_database(conn, found.append)))
    except Exception as error:
        found.append(Fact("database", "server", " ".join(str(error).split())[:160], BAD))
    return Operations(facts=(*found, *facts), audit=tuple(audit), events=events)


def sections(facts: tuple[Fact, ...]) -> Iterator[tuple[str, list[Fact]]]:
    """By section, in the order in which one looks."""
    for name in SECTIONS:
        own = [fact for fact in facts if fact.section == name]
        if own:
            yield name, own
