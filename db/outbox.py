"""The outbox: how far the delivery of a notification got (decisions.md 27). What is told stands in the journal.

A worker claims notices for a lock period, delivers them, and says so. When it dies its lock runs out and another worker takes
over: so a notice is delivered at least once, by one worker at a time, and its `event_id` lets a receiver drop a repetition.
"""

from __future__ import annotations

from typing import Any

import msgspec

from db.records import insert, moment_or_none, require

BACKOFF_S = 2.0
BACKOFF_MAX_S = 3_600.0

#: Of no use any more, or a lock that ran out once too often: a notice that kills its workers must come to an end.
_GIVE_UP = """
update qs.outbox set status = 'FAILED', processed_at = clock_timestamp(), locked_until = null, locked_by = null,
  last_error = case when expires_at <= clock_timestamp() then 'expired before it was delivered'
                    else coalesce(locked_by, 'a worker') || ' took it and was not heard of again' end
where status in ('PENDING', 'PROCESSING') and coalesce(locked_until, '-infinity') <= clock_timestamp()
  and (expires_at <= clock_timestamp() or (status = 'PROCESSING' and retry_count >= max_retries))
"""
_CLAIM = """
with ready as (
  select id from qs.outbox
  where available_at <= clock_timestamp()
    and (status = 'PENDING' or (status = 'PROCESSING' and locked_until <= clock_timestamp()))
    and (expires_at is null or expires_at > clock_timestamp())
  order by priority desc, id limit $2 for update skip locked
)
update qs.outbox o set status = 'PROCESSING', locked_by = $1,
  locked_until = clock_timestamp() + make_interval(secs => $3),
  retry_count = o.retry_count + (o.status = 'PROCESSING')::int
from ready where o.id = ready.id
returning o.id, o.event_id::text as event_id, o.event_seq, o.channel, o.priority, o.retry_count
"""
_MINE = "where id = $1 and status = 'PROCESSING' and locked_by = $2 and locked_until > clock_timestamp()"
_COMPLETE = (
    """
update qs.outbox set status = 'COMPLETED', processed_at = clock_timestamp(), locked_until = null, locked_by = null
"""
    + _MINE
)
_FAIL = (
    """
update qs.outbox set retry_count = retry_count + 1, last_error = $3, locked_until = null, locked_by = null,
  status = case when retry_count + 1 > max_retries then 'FAILED' else 'PENDING' end,
  processed_at = case when retry_count + 1 > max_retries then clock_timestamp() end,
  available_at = clock_timestamp() + make_interval(secs => least($5::float8, $4::float8 * 2 ^ least(retry_count, 30)))
"""
    + _MINE
    + " returning status"
)
_PURGE = """
delete from qs.outbox o using qs.retention_policies p
where p.subject = 'outbox' and not p.hold and o.status in ('COMPLETED', 'FAILED')
  and o.processed_at < clock_timestamp() - p.keep
"""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A claimed notification: tell `channel` of the event `event_seq`; send `event_id` along. `retry_count` failed before."""

    id: int
    event_id: str
    event_seq: int
    channel: str
    priority: int
    retry_count: int


async def enqueue(
    conn: Any,
    *,
    event_seq: int,
    channel: str,
    priority: int = 0,
    max_retries: int = 10,
    available_ts: int | None = None,
    expires_ts: int | None = None,
) -> bool:
    """Ask for an event to be told on a channel; False when that was asked before. Raises RecordRefused."""
    require(event_seq > 0, f"event_seq {event_seq} is no event of the journal: they count from 1")
    require(bool(channel.strip()), "the channel has no name")
    require(max_retries >= 0, "max_retries must be 0 or more")
    row = {
        "event_seq": event_seq,
        "channel": channel,
        "priority": priority,
        "max_retries": max_retries,
        "available_at": moment_or_none("available_ts", available_ts),
        "expires_at": moment_or_none("expires_ts", expires_ts),
    }
    return await insert(conn, "outbox", row, "on conflict (event_seq, channel) do nothing") is not None


async def claim(conn: Any, *, worker: str, limit: int = 10, lock_s: float = 60.0) -> list[Notice]:
    """Take up to `limit` notices that are due, for `lock_s` seconds, higher priority first.

    Nobody else gets them before the lock has run out. A lock that ran out counts as a failed attempt. Raises RecordRefused.
    """
    require(bool(worker), "the worker has no name")
    require(limit > 0 and lock_s > 0, "limit and lock_s must be above 0")
    await conn.execute(_GIVE_UP)
    rows = await conn.fetch(_CLAIM, worker, limit, lock_s)
    return sorted((msgspec.convert(dict(row), Notice) for row in rows), key=lambda n: (-n.priority, n.id))


async def complete(conn: Any, notice_id: int, *, worker: str) -> bool:
    """It was delivered. False when the lock had run out: somebody else may have delivered it as well."""
    status: str = await conn.execute(_COMPLETE, notice_id, worker)
    return status == "UPDATE 1"


async def fail(conn: Any, notice_id: int, *, worker: str, error: str, backoff_s: float = BACKOFF_S) -> str | None:
    """It could not be delivered: again after `backoff_s` x 2^failures (an hour at most), or FAILED after max_retries.

    Returns PENDING or FAILED; None when the lock had run out and the notice is not this worker's any more.
    """
    require(backoff_s > 0, "backoff_s must be above 0")
    line = " ".join(error.split()) or "no reason given"
    found: str | None = await conn.fetchval(_FAIL, notice_id, worker, line, backoff_s, BACKOFF_MAX_S)
    return found


async def purge(conn: Any) -> int:
    """Remove what was delivered or given up, once the retention policy `outbox` allows it; how many."""
    status: str = await conn.execute(_PURGE)
    return int(status.split()[-1])
