"""The shelf of config versions as an operator sees it: what there is, and another one for it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from db import audit, configs as config_store
from db.connect import OPERATOR, connect
from engine.client import ConfigLine
from engine.config_diff import diff
from engine.core.config import ConfigError, canonical, config_sha256, parse_config
from engine.strategies import factories_for


async def store_config(dsn: str, directory: Path, text: str, note: str, actor: str) -> int:
    """Store a document (JSON) as the next version, checked as `config new` does; its number.

    Raises ConfigError, StrategyError, ConfigStoreError, AnchorError, and what a database raises.
    """
    config = parse_config(msgspec.json.decode(text))
    await asyncio.to_thread(factories_for, config)
    conn = await connect(dsn, "qs_app", user=OPERATOR, name="quantsail cockpit")
    try:
        async with audit.witnessed(conn, directory):
            return await config_store.new(conn, canonical(config).decode(), config_sha256(config), actor, note)
    finally:
        await conn.close()


async def config_lines(conn: Any, active: dict[str, Any] | None) -> list[ConfigLine]:
    """Every stored version as a line; a tampered or invalid one says so instead of being hidden."""
    lines = []
    for row in await config_store.list(conn):
        problem = ""
        changes: tuple[str, ...] = ()
        try:
            document, _ = await config_store.get(conn, row.version)
            changes = diff(active, document)
            parse_config(document)
        except (config_store.ConfigStoreError, ConfigError) as error:
            problem = str(error)
        lines.append(
            ConfigLine(
                version=row.version,
                sha256=row.sha256,
                actor=row.actor,
                note=row.note,
                created_ts=row.created_ts,
                activated_ts=row.activated_ts,
                is_active=row.is_active,
                diff=tuple(changes),
                problem=problem,
            )
        )
    return lines
