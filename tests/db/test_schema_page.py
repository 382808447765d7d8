"""docs/schema.md is what the catalog says, on every server, and says it of every table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg
import pytest

from db.measure import migrated, without_extensions
from db.schema_page import THEMES, _plain, _unwrapped, markdown, read_facts, themes
from tests.servers import AsSuperuser

PAGE = Path(__file__).resolve().parents[2] / "docs" / "schema.md"
REMEDY = "run `python -m db.schema_page --write docs/schema.md`"


async def test_the_page_is_what_the_catalog_says(database: str) -> None:
    without_extensions(database)
    assert await migrated(database, markdown) == PAGE.read_text(encoding="utf-8"), REMEDY


async def test_the_page_is_the_same_on_15(database15: str) -> None:
    assert await migrated(database15, markdown) == PAGE.read_text(encoding="utf-8"), REMEDY


async def test_a_change_of_the_catalog_changes_the_page(database: str, as_superuser: AsSuperuser) -> None:
    page = await migrated(database, markdown)
    conn = await asyncpg.connect(as_superuser(database))
    try:
        for statement, expected in (
            (
                "comment on column qs.fills.price is 'another | phrase'",
                "| price | numeric(38,18) |  |  | another &#124; phrase |",
            ),
            ("alter table qs.fills add check (quantity < 7)", "- Check `quantity < 7`"),
            ("create table qs.unknown (a int)", "### unknown"),
            (
                "create index mine on qs.fills (price desc) where price > 3",
                "- Index `mine` on `price desc`, where `price > 3`",
            ),
        ):
            assert expected not in page
            await conn.execute(statement)
            assert expected in await markdown(conn), statement
    finally:
        await conn.close()


async def test_every_table_and_column_is_on_the_page_with_its_phrase(database: str) -> None:
    facts: Any = await migrated(database, read_facts)
    lines = set(PAGE.read_text(encoding="utf-8").splitlines())
    for table in facts.tables:
        assert table["said"] and table["class"] and f"### {table['name']}" in lines
        for column in facts.columns[table["name"]]:
            assert column["said"], (table["name"], column["name"])
            assert any(
                line.startswith(f"| {column['name']} | ") and line.endswith(f"| {column['said']} |") for line in lines
            )


def test_a_table_without_a_theme_is_shown_under_the_last_one() -> None:
    found = themes(["users", "novelty"])
    assert found == {"Accounts": ["users"], list(THEMES)[-1]: ["novelty"]}


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("((side = ANY (ARRAY['BUY'::text, 'SELL'::text])))", "side in ('BUY', 'SELL')"),
        ("(status <> ALL (ARRAY['A'::text, 'it''s'::text]))", "status not in ('A', 'it''s')"),
        ("((a = 1) OR (b = 2))", "(a = 1) OR (b = 2)"),
        ("(value >= ('-1'::integer)::numeric)", "value >= -1"),
        ("(price > (0)::numeric)", "price > 0"),
        ("(x <@ ARRAY['A'::text])", "x <@ ARRAY['A']"),
    ],
)
def test_expressions_read_as_a_person_would_write_them(text: str, plain: str) -> None:
    assert _unwrapped(_plain(text)) == plain
