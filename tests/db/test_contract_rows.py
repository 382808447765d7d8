"""Every table has a row after the engine ran and every writer wrote, on both servers."""

from __future__ import annotations

import pytest

from db.connect import connect
from tests.db.contract_rows import LATER, fill_everything


@pytest.mark.parametrize("server", ["migrated", "migrated15"])
async def test_every_table_has_a_row(server: str, request: pytest.FixtureRequest) -> None:
    dsn: str = request.getfixturevalue(server)
    await fill_everything(dsn)
    conn = await connect(dsn, "qs_owner")
    try:
        tables = [row[0] for row in await conn.fetch("select table_name from qs.table_classes order by 1")]
        empty = {name for name in tables if not await conn.fetchval(f"select exists (select from qs.{name})")}
    finally:
        await conn.close()
    assert empty <= LATER.keys(), "fill_everything knows no writer of these"
