"""Alerts: what an operator wants to be told of. ACTIVE until triggered, disabled or past their time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from db.records import RecordRefused, insert, moment, moment_or_none, one_of, require

TYPES = ("PRICE", "PNL", "RISK", "SYSTEM", "FUNDING_RATE", "INDICATOR", "VOLUME", "CHANGE_PCT")
CONDITIONS = ("ABOVE", "BELOW", "CROSSES_ABOVE", "CROSSES_BELOW", "EQUALS")
CHANNELS = ("TUI", "EMAIL", "PUSH", "TELEGRAM", "WEBHOOK", "SMS")
STATUSES = ("ACTIVE", "TRIGGERED", "DISABLED", "EXPIRED")
#: Types that speak of one market; the others speak of the account or of the program.
_OF_A_SYMBOL = frozenset({"PRICE", "FUNDING_RATE", "INDICATOR", "VOLUME", "CHANGE_PCT"})

_TRIGGER = """
update qs.alerts set triggered_at = $2, status = case when is_recurring then 'ACTIVE' else 'TRIGGERED' end
where id = $1::text::uuid and status = 'ACTIVE' and (expires_at is null or expires_at > $2)
"""
_DISABLE = "update qs.alerts set status = 'DISABLED' where id = $1::text::uuid and status = 'ACTIVE'"
_EXPIRE = "update qs.alerts set status = 'EXPIRED' where status = 'ACTIVE' and expires_at <= $1"
_LIST = """
select a.id::text as id, a.user_id::text as user_id, a.type, a.condition, e.code as exchange, a.symbol, a.threshold,
  a.indicator, a.status, a.notification_channels as channels, a.message, a.is_recurring,
  (extract(epoch from a.created_at) * 1000000)::bigint as created_ts,
  (extract(epoch from a.triggered_at) * 1000000)::bigint as triggered_ts,
  (extract(epoch from a.expires_at) * 1000000)::bigint as expires_ts
from qs.alerts a left join qs.exchanges e on e.id = a.exchange_id
where ($1::text is null or a.user_id = $1::text::uuid) and ($2::text is null or a.status = $2)
order by a.created_at desc, a.id desc limit $3
"""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the list. Times are int microseconds UTC."""

    id: str
    user_id: str
    type: str
    condition: str
    exchange: str | None
    symbol: str | None
    threshold: Decimal | None
    indicator: str | None
    status: str
    channels: tuple[str, ...]
    message: str | None
    is_recurring: bool
    created_ts: int
    triggered_ts: int | None
    expires_ts: int | None


async def create(
    conn: Any,
    *,
    user_id: str,
    type: str,
    condition: str,
    threshold: Decimal | None = None,
    exchange: str | None = None,
    symbol: str | None = None,
    indicator: str | None = None,
    indicator_params: Mapping[str, Any] | None = None,
    channels: Sequence[str] = ("TUI",),
    channel_config: Mapping[str, Any] | None = None,
    message: str | None = None,
    is_recurring: bool = False,
    metadata: Mapping[str, Any] | None = None,
    expires_ts: int | None = None,
) -> str:
    """Add an ACTIVE alert; its id. `channel_config` must hold no secret: everyone who reads alerts reads it.

    Raises RecordRefused for an unknown word, a market alert without a symbol or threshold, or an indicator where none belongs.
    """
    one_of("alert type", type, TYPES)
    one_of("condition", condition, CONDITIONS)
    for channel in channels:
        one_of("channel", channel, CHANNELS)
    require(bool(channels), "an alert without a channel tells nobody: name one")
    require(type not in _OF_A_SYMBOL or bool(symbol), f"an alert of type {type} needs a symbol")
    require(type == "SYSTEM" or threshold is not None, f"an alert of type {type} needs a threshold")
    require(threshold is None or threshold.is_finite(), "the threshold must be a finite number")
    require(
        (type == "INDICATOR") == bool(indicator), "an indicator belongs to alerts of type INDICATOR, and only there"
    )
    row = {
        "user_id": user_id,
        "exchange_id": await conn.fetchval("select qs.exchange_id($1)", exchange) if exchange else None,
        "symbol": symbol,
        "type": type,
        "condition": condition,
        "threshold": threshold,
        "indicator": indicator,
        "indicator_params": indicator_params,
        "status": "ACTIVE",
        "notification_channels": list(dict.fromkeys(channels)),
        "notification_config": channel_config,
        "message": message,
        "is_recurring": is_recurring,
        "metadata": metadata,
        "expires_at": moment_or_none("expires_ts", expires_ts),
    }
    return str(await insert(conn, "alerts", row))


async def trigger(conn: Any, alert_id: str, ts: int) -> bool:
    """It fired at `ts`; a recurring one stays ACTIVE. False when it was not active any more: then nobody is told twice."""
    status: str = await conn.execute(_TRIGGER, alert_id, moment("ts", ts))
    return status == "UPDATE 1"


async def disable(conn: Any, alert_id: str) -> bool:
    """Switch an active alert off; False when it was not active."""
    status: str = await conn.execute(_DISABLE, alert_id)
    return status == "UPDATE 1"


async def expire(conn: Any, ts: int) -> int:
    """Mark every active alert whose time has passed at `ts`; how many."""
    status: str = await conn.execute(_EXPIRE, moment("ts", ts))
    return int(status.split()[-1])


async def list_alerts(
    conn: Any, *, user_id: str | None = None, status: str | None = None, limit: int = 500
) -> list[Alert]:
    """Alerts, newest first: of one user or of all that the connection may see, of one status or of any."""
    if status is not None:
        one_of("status", status, STATUSES)
    if limit < 1:
        raise RecordRefused("the limit must be 1 or more")
    return [msgspec.convert(dict(row), Alert) for row in await conn.fetch(_LIST, user_id, status, limit)]
