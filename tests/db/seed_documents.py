"""Reads the five documents as a program would: tables, columns and types in their order, each in its own notation.

`python -m tests.db.seed_documents` writes migrations/contracts/columns.tsv from them and from the views' own files.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

from db.contracts import EXCEPTIONS, NAMES, SCHEMAS, Name, exceptions, views

SEEDS = Path(__file__).resolve().parents[3] / "shared" / "seeds"
FILES = ("000-quantsail", "001-paper-trading-api", "002-wallet-following", "003-trading-platform", "004-apextrade")

_SQL_TYPE = r"(?:BIGSERIAL|BIGINT|BOOLEAN|BYTEA|DATE|DECIMAL|INET|INTEGER|INTERVAL|JSONB|NUMERIC|TEXT|TIMESTAMPTZ|TIMESTAMP|UUID|VARCHAR)"
_SQL_COLUMN = re.compile(rf"^\s*([a-z_0-9]+)\s+({_SQL_TYPE}\b.*?),?\s*(?:--.*)?$")
_SPELLED = {
    "int": "integer", "serial": "integer", "bigserial": "bigint", "string": "character varying", "decimal": "numeric",
    "varchar": "character varying", "timestamptz": "timestamp with time zone", "timestamp": "timestamp without time zone",
}  # fmt: skip


class Found(NamedTuple):
    """A column as a document has it; `kind` is "extra" where a query or a later ALTER TABLE defines it."""

    table: str
    column: str
    type: str
    kind: str = "column"


def document(number: int) -> str:
    return (SEEDS / f"{FILES[number]}.md").read_text(encoding="utf-8")


def read(number: int) -> list[Found]:
    """Every column of a document, tables and columns in their order, then those of its views."""
    return (_lists, _bullets, _glued_sql, _mermaid, _sql)[number](document(number))


def sql_type(seed_type: str) -> str:
    """What format_type() says for a type as a document spells it: 'decimal "20,8"' is numeric(20,8)."""
    match = re.match(r"(\w+)(\([\d, ]+\))?(\[\])?(?: \"(\d+,\d+)\")?", seed_type)
    assert match is not None, seed_type
    word, size, many, quoted = match.groups()
    name = _SPELLED.get(word.lower(), word.lower())
    size = (size or (f"({quoted})" if quoted else "")).replace(" ", "")
    return f"{name}{size}{many or ''}"


def _lists(text: str) -> list[Found]:
    """000: "## 4) trades", then lists under Columns, Entry, Exits (planned) and Result."""
    found = []
    table, inside = "", False
    for line in text.splitlines():
        if heading := re.match(r"## \d+\) (\w+)", line):
            table = heading[1]
        elif re.fullmatch(r"[A-Z][\w ()]*:", line):
            inside = line in ("Columns:", "Entry:", "Exits (planned):", "Result:")
        elif inside and table and (column := re.match(r"- (\w+) (.+)", line)):
            found.append(Found(table, column[1], column[2]))
    return found


def _bullets(text: str) -> list[Found]:
    """001: "### 4.1 `market_ticks`", then bullets with a column between back-quotes."""
    found = []
    for section in re.split(r"^### 4\.\d+ ", text, flags=re.MULTILINE)[1:]:
        table = re.match(r"`(\w+)`", section)
        assert table is not None
        listed = section.partition("Columns:")[2].partition("\n## ")[0].partition("Note:")[0]
        found += [Found(table[1], *column) for column in re.findall(r"^- `(\w+) ([^`]+)`", listed, re.MULTILINE)]
    return found


def _create_tables(text: str) -> list[Found]:
    found = []
    for table, body in re.findall(r"CREATE TABLE (\w+) \((.*?)\n\);", text, re.DOTALL):
        for line in body.splitlines():
            if column := _SQL_COLUMN.match(line):
                found.append(Found(table, column[1], column[2]))
    return found


def _query(text: str, view: str, tables: dict[str, list[Found]]) -> list[Found]:
    """The columns of a view by its query: aliases, plain names, and x.* for all of a table."""
    match = re.search(rf"VIEW {view}\b.*?\bSELECT\b(.*?)\bFROM (\w+)(?: (\w+))?\n", text, re.DOTALL)
    if match is None:
        match = re.search(rf"VIEW {view}\b.*?\bSELECT\b(.*?)\bFROM (\w+) WHERE", text, re.DOTALL)
    assert match is not None, view
    listed = match[1]
    found = []
    for item in _split(listed):
        if item.endswith("*"):
            source = re.search(r"FROM (positions|users|bots)\b", text[match.start() :])
            assert source is not None
            found += [Found(view, one.column, one.type, "extra") for one in tables[source[1]] if one.kind == "column"]
        else:
            found.append(Found(view, re.split(r"\s+", item)[-1].rpartition(".")[2], "query", "extra"))
    return found


def _split(listed: str) -> list[str]:
    """A select list at its commas outside parentheses."""
    items, depth = [""], 0
    for sign in listed:
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if sign == "," and not depth:
            items.append("")
        else:
            items[-1] += sign
    return [" ".join(item.split()) for item in items]


def _by_table(found: list[Found]) -> dict[str, list[Found]]:
    tables: dict[str, list[Found]] = {}
    for one in found:
        tables.setdefault(one.table, []).append(one)
    return tables


def _glued_sql(text: str) -> list[Found]:
    """002: SQL whose fences are glued to it and mostly never closed."""
    text = text.replace("```sql", "\n")
    found = _create_tables(text)
    tables = _by_table(found)
    for table, column, kind in re.findall(r"ALTER TABLE (\w+)\s+ADD COLUMN (\w+) ([\w()]+);", text):
        after = max(n for n, one in enumerate(found) if one.table == table)
        found.insert(after + 1, Found(table, column, kind, "extra"))
    for copy, table in re.findall(r"CREATE TABLE (\w+) \(LIKE (\w+) INCLUDING ALL\)", text):
        found += [Found(copy, one.column, one.type, "extra") for one in tables[table]]
    # Its sub-query has a FROM of its own; without it the select list ends where it should.
    flat = re.sub(r"\(SELECT value FROM bias.*?\) as", "(bias) as", text, flags=re.DOTALL)
    return found + _query(flat, "active_positions_view", tables) + _query(flat, "daily_performance", tables)


def _mermaid(text: str) -> list[Found]:
    """003: entities of a Mermaid diagram: type, name, keys, and a remark that gives the scale."""
    found = []
    for table, body in re.findall(r"^    (\w+) \{\n(.*?)\n    \}", text, re.DOTALL | re.MULTILINE):
        for line in body.splitlines():
            kind, column, rest = re.match(r"\s*(\w+) (\w+) ?(.*)", line).groups()  # type: ignore[union-attr]
            found.append(Found(table.lower(), column, f"{kind} {rest}".strip()))
    tables = _by_table(found)
    return found + _query(text, "active_users", tables) + _query(text, "active_bots", tables)


def _sql(text: str) -> list[Found]:
    """004: SQL in fences."""
    found = _create_tables(text)
    tables = _by_table(found)
    return found + _query(text, "ohlcv_1h", tables) + _query(text, "ohlcv_1d", tables)


def merge() -> list[Name]:
    """The rows of columns.tsv: documents and views, side by side."""
    ours = {f"{v.schema}.{v.name}": {c.name: c for c in v.columns} for v in views()}
    rows = []
    for number, schema in enumerate(SCHEMAS):
        position: dict[str, int] = {}
        for one in read(number):
            position[one.table] = position.get(one.table, 0) + 1
            column = ours[f"{schema}.{one.table}"][one.column]
            note = "secret" if column.expression == "secret" else ""
            if re.match(r"(deviation|derived): ", column.phrase):
                note = column.phrase
            rows.append(
                Name(
                    seed=f"{number:03d}",
                    schema=schema,
                    table=one.table,
                    position=position[one.table],
                    column=one.column,
                    kind=one.kind,
                    seed_type=one.type,
                    sql_type=column.sql_type,
                    origin=column.origin,
                    note=exceptions().get(f"{schema}.{one.table}.{one.column}", note),
                )  # fmt: skip
            )
    return rows


def render(rows: list[Name]) -> str:
    fields = Name.__struct_fields__
    lines = [fields, *([str(getattr(row, field)) for field in fields] for row in rows)]
    return "".join("\t".join(line) + "\n" for line in lines)


if __name__ == "__main__":
    NAMES.parent.mkdir(exist_ok=True)
    EXCEPTIONS.touch()
    NAMES.write_text(render(merge()), encoding="utf-8")
    sys.stdout.write(f"{len(merge())} columns\n")
