"""A person's strategies: drafts, their versions by content, and their status.

The engine writes the strategies that configs activate (`db.reference`); those are named by their content and never revised.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from db.connect import transaction
from db.records import RecordRefused, as_json, insert, moment, one_of, require, within
from engine.core.canonical import CanonicalError, canonical_json, sha256_hex

TYPES = ("TECHNICAL", "ML", "HYBRID", "ARBITRAGE")
STATUSES = ("DRAFT", "ACTIVE", "PAUSED", "ARCHIVED")
MODES = ("SIM", "PAPER", "LIVE")
#: ARCHIVED is final: what was traded by it must not come back as something else.
_FROM = {
    "ACTIVE": ["DRAFT", "PAUSED"],
    "PAUSED": ["ACTIVE"],
    "DRAFT": ["PAUSED"],
    "ARCHIVED": ["DRAFT", "ACTIVE", "PAUSED"],
}

_VERSION = """
insert into qs.strategy_versions (strategy_id, version, sha256, document, document_text)
values ($1::text::uuid, $2, $3, $4::text::jsonb, $4)
"""
_CURRENT = """
select s.version, (select v.sha256 from qs.strategy_versions v where v.strategy_id = s.id and v.version = s.version) as sha256,
  exists (select from qs.bots b where b.strategy_id = s.id) as is_used
from qs.strategies s where s.id = $1::text::uuid and s.deleted_at is null for update of s
"""
#: The version is counted by a trigger, so that raw SQL cannot change rules under the same number either.
_REVISE = """
update qs.strategies set entry_rules = $2::text::jsonb, exit_rules = $3::text::jsonb, parameters = $4::text::jsonb,
  version_label = $5 where id = $1::text::uuid returning version
"""
_STATUS = """
update qs.strategies set status = $2, activated_at = case when $2 = 'ACTIVE' then coalesce(activated_at, $4) else activated_at end
where id = $1::text::uuid and status = any ($3::text[]) and deleted_at is null
"""
_REMOVE = """
update qs.strategies set deleted_at = $2, status = 'ARCHIVED'
where id = $1::text::uuid and deleted_at is null and status <> 'ACTIVE'
"""


async def draft(
    conn: Any,
    *,
    user_id: str,
    name: str,
    entry_rules: object,
    exit_rules: object,
    parameters: Mapping[str, Any] | None = None,
    type: str = "TECHNICAL",
    description: str | None = None,
    symbol: str | None = None,
    timeframe: str | None = None,
    version_label: str | None = None,
    stop_loss_pct: Decimal | None = None,
    take_profit_pct: Decimal | None = None,
    trailing_stop_pct: Decimal | None = None,
    max_position_size_pct: Decimal = Decimal(10),
    max_drawdown_pct: Decimal | None = None,
    trading_mode: str | None = None,
    is_public: bool = False,
) -> str:
    """Add a DRAFT and its first version, in one transaction; its id. Rules are JSON values, percentages in percent.

    Raises RecordRefused: stop_loss 0 to 100, take_profit 0 to 1000, position size above 0 and at most 100.
    """
    require(bool(name.strip()) and name.isprintable(), "a strategy needs a name without control characters")
    one_of("type", type, TYPES)
    if trading_mode is not None:
        one_of("trading_mode", trading_mode, MODES)
    within("stop_loss_pct", stop_loss_pct, 0, 100)
    within("take_profit_pct", take_profit_pct, 0, 1000)
    within("trailing_stop_pct", trailing_stop_pct, 0, 100)
    within("max_drawdown_pct", max_drawdown_pct, 0, 100)
    within("max_position_size_pct", max_position_size_pct, 0, 100)
    require(max_position_size_pct > 0, "max_position_size_pct must be above 0")
    text = _document(entry_rules, exit_rules, parameters)
    row = {
        "user_id": user_id,
        "name": name,
        "type": type,
        "description": description,
        "symbol": symbol,
        "timeframe": timeframe,
        "entry_rules": entry_rules,
        "exit_rules": exit_rules,
        "parameters": parameters,
        "version": 1,
        "version_label": version_label,
        "stop_loss_pct": stop_loss_pct,
        "take_profit_pct": take_profit_pct,
        "trailing_stop_pct": trailing_stop_pct,
        "max_position_size_pct": max_position_size_pct,
        "max_drawdown_pct": max_drawdown_pct,
        "status": "DRAFT",
        "trading_mode": trading_mode,
        "is_public": is_public,
    }
    async with transaction(conn):
        made = str(await insert(conn, "strategies", row))
        await conn.execute(_VERSION, made, 1, sha256_hex(text.encode()), text)
    return made


async def revise(
    conn: Any,
    strategy_id: str,
    *,
    entry_rules: object,
    exit_rules: object,
    parameters: Mapping[str, Any] | None = None,
    version_label: str | None = None,
) -> int:
    """Give a strategy new rules; its version, one higher, or the same where the content is the same. One transaction.

    Raises RecordRefused for a strategy that does not exist, or that a bot trades by: that one is named by its content.
    """
    text = _document(entry_rules, exit_rules, parameters)
    sha256 = sha256_hex(text.encode())
    async with transaction(conn):
        current = await conn.fetchrow(_CURRENT, strategy_id)
        if current is None:
            raise RecordRefused(f"there is no strategy {strategy_id}")
        if current["sha256"] == sha256:
            return int(current["version"])
        require(not current["is_used"], f"a bot trades by strategy {strategy_id}: draft a new one instead")
        parts = (as_json(part) for part in (entry_rules, exit_rules, parameters or {}))
        version = int(await conn.fetchval(_REVISE, strategy_id, *parts, version_label))
        await conn.execute(_VERSION, strategy_id, version, sha256, text)
    return version


async def set_status(conn: Any, strategy_id: str, status: str, ts: int) -> bool:
    """Move to DRAFT, ACTIVE, PAUSED or ARCHIVED (which is final); False where the status it has does not lead there."""
    one_of("status", status, STATUSES)
    done: str = await conn.execute(_STATUS, strategy_id, status, _FROM[status], moment("ts", ts))
    return done == "UPDATE 1"


async def remove(conn: Any, strategy_id: str, ts: int) -> bool:
    """Soft delete, of one that is not ACTIVE; False when there was nothing to remove."""
    done: str = await conn.execute(_REMOVE, strategy_id, moment("ts", ts))
    return done == "UPDATE 1"


def _document(entry_rules: object, exit_rules: object, parameters: Mapping[str, Any] | None) -> str:
    try:
        parts = {"entry_rules": entry_rules, "exit_rules": exit_rules, "parameters": dict(parameters or {})}
        return canonical_json(parts).decode()
    except CanonicalError as error:
        raise RecordRefused(f"the rules cannot be stored: {error}") from error
