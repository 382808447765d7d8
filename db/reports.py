"""Reports on a period, and smoke runs: short tests against the world outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from db.records import insert, moment, moment_or_none, one_of, require

_DELIVERED = """
update qs.reports set delivered_at = coalesce(delivered_at, $2), push_sent = push_sent or $3 where id = $1::text::uuid
"""


async def write_report(
    conn: Any,
    *,
    start_ts: int,
    end_ts: int,
    summary: str,
    report_type: str = "4h",
    metrics: Mapping[str, Any] | None = None,
    notable_events: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Keep what is told of a period (`summary` is Markdown); its id. Raises RecordRefused for an empty period or text."""
    require(end_ts > start_ts, "the period ends before it begins")
    require(bool(report_type and summary.strip()), "a report has a type and a text")
    row = {
        "period_start": moment("start_ts", start_ts),
        "period_end": moment("end_ts", end_ts),
        "report_type": report_type,
        "summary_markdown": summary,
        "metrics": metrics,
        "notable_events": list(notable_events),
    }
    return str(await insert(conn, "reports", row))


async def mark_delivered(conn: Any, report_id: str, ts: int, *, push_sent: bool = False) -> bool:
    """It was delivered at `ts`; the first time counts. False for a report that does not exist."""
    status: str = await conn.execute(_DELIVERED, report_id, moment("ts", ts), push_sent)
    return status == "UPDATE 1"


async def record_smoke_run(
    conn: Any,
    *,
    status: str,
    kind: str = "devnet",
    rpc_latency_ms: int | None = None,
    wallet_check: str | None = None,
    tx_simulation: str | None = None,
    details: Mapping[str, Any] | None = None,
    ran_ts: int | None = None,
) -> str:
    """Keep the result of a smoke run, PASSED or FAILED; its id. `details` are the steps with their times, never a secret."""
    one_of("status", status, ("PASSED", "FAILED"))
    require(bool(kind), "the kind must not be empty: devnet, or a venue's code")
    require(rpc_latency_ms is None or rpc_latency_ms >= 0, f"rpc_latency_ms {rpc_latency_ms} is below 0")
    row = {
        "kind": kind,
        "status": status,
        "rpc_latency_ms": rpc_latency_ms,
        "wallet_check": wallet_check,
        "tx_simulation": tx_simulation,
        "details": details,
        "ran_at": moment_or_none("ran_ts", ran_ts),
    }
    return str(await insert(conn, "smoke_runs", row))
