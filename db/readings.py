"""What was read into events on chain, and the bias that follows: written once, never recomputed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from db.records import ensure_partitions, insert, moment, require, within

EMBEDDING_SIZE = 768


async def analysis(
    conn: Any,
    *,
    event_id: str,
    event_ts: int,
    classification: str | None = None,
    confidence: Decimal | None = None,
    narrative: str | None = None,
    pattern: str | None = None,
    bias_impact: Decimal | None = None,
    proposed_action: Mapping[str, Any] | None = None,
    embedding: Sequence[float] | None = None,
) -> bool:
    """Keep what was read into an event; `confidence` 0 to 1, `bias_impact` -1 to 1, `embedding` 768 numbers.

    False when the event has been analysed before: the first reading stays.
    """
    within("confidence", confidence, 0, 1)
    within("bias_impact", bias_impact, -1, 1)
    fits = embedding is None or len(embedding) == EMBEDDING_SIZE
    require(fits, f"an embedding has {EMBEDDING_SIZE} numbers, not {len(embedding or ())}")
    row = {
        "event_id": event_id,
        "event_ts": moment("event_ts", event_ts),
        "llm_classification": classification,
        "llm_confidence": confidence,
        "llm_narrative": narrative,
        "pattern_matched": pattern,
        "bias_impact": bias_impact,
        "proposed_action": proposed_action,
        "embedding": None if embedding is None else list(embedding),
    }
    done = await insert(conn, "wallet_event_analyses", row, "on conflict do nothing", "event_id")
    return done is not None


async def bias(
    conn: Any,
    *,
    asset: str,
    timeframe: str,
    ts: int,
    value: Decimal,
    components: Mapping[str, Any] | None = None,
    confidence: Decimal | None = None,
) -> bool:
    """Keep the bias of an asset at `ts`, -1 to 1; False when that time has one already."""
    require(bool(asset and timeframe), "asset and timeframe must not be empty")
    within("value", value, -1, 1)
    within("confidence", confidence, 0, 1)
    when = moment("ts", ts)
    row = {"asset": asset, "timeframe": timeframe, "ts": when, "value": value, "confidence": confidence}
    await ensure_partitions(conn, "market_bias", when)
    done = await insert(conn, "market_bias", row | {"components": components}, "on conflict do nothing", "asset")
    return done is not None
