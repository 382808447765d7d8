"""docs/schema.md, made from the live catalog: `python -m db.schema_page --write docs/schema.md`.

What the page says comes from the comments that every migration must write (`describe`), the constraints, table_classes and
retention_policies; nothing is kept by hand but which theme a table belongs to. The page is the same for every server major.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from db import contracts
from db.fingerprint import plain_settings
from db.queries import load_queries

#: Themes in the order of the page; a table that is not named here is shown under the last one.
THEMES: dict[str, tuple[str, ...]] = {
    "Accounts": (
        "users", "encryption_keys", "exchange_credentials", "database_configs", "portfolios", "ledger", "risk_limits",
    ),
    "Journal": (
        "events", "audit_logs", "log_heads", "engine_runs", "snapshots", "commands", "kill_switch_events",
        "stop_results",
    ),
    "Trading": (
        "strategies", "strategy_versions", "bot_config_versions", "bots", "signals", "risk_decisions", "orders", "fills",
        "positions", "funding_payments", "equity_snapshots", "daily_performance", "backtests", "backtest_trades",
    ),
    "Market data": (
        "exchanges", "instruments", "candles", "ticks", "order_books", "series", "rollup_queue", "rollup_watermarks",
    ),
    "Intelligence": ("wallets", "wallet_scores", "wallet_events", "wallet_event_analyses", "market_bias"),
    "Operations": (),
}  # fmt: skip
SEEDS = {
    "000": "quantsail_v7", "001": "paper_api", "002": "wallet_following", "003": "trading_platform", "004": "apextrade",
}  # fmt: skip

_INTRODUCTION = """# Schema

Made from the live catalog by `python -m db.schema_page --write docs/schema.md`; a test compares the two. To change this page,
change a comment or a constraint in `migrations/sql/`.

**How to read it.** Everything is in schema `qs`. A table's *class* says what a rebuild, retention and an export do with it:
JOURNAL is the truth and is only appended to; PROJECTION follows from the journal and is rebuilt by `quantsail db rebuild`;
REFERENCE is kept by people and programs; SERIES is data by time; QUEUE is work to be done. *Origin* names the event types that
a projection follows from, or whoever writes the rows. Money, prices and quantities are `numeric(38,18)`, times `timestamptz` in
UTC, ids UUIDv7. In the diagrams `||` is one, `|o` none or one, `o{` any number.

`quantsail db check` holds a database against what the migrations make: see [commands.md](commands.md).
"""

_CONTRACTS = """## Contract views

Five schemas of read-only views, each with the tables, columns, types and words of one document, so that SQL written for it runs
here. They ask with the rights of whoever reads. A value that does not fit its type is NULL, and `quantsail db check` counts it;
numbers are rounded to the type's scale; secrets are NULL. What each column is made of: `migrations/contracts/columns.tsv`.
"""

_SHORT_TYPES = {"timestamp with time zone": "timestamptz", "double precision": "float8", "integer": "int"}


class Facts(NamedTuple):
    """Rows of schema_page.sql, those about a table by its name."""

    tables: list[Any]
    columns: dict[str, list[Any]]
    constraints: dict[str, list[Any]]
    indexes: dict[str, list[Any]]
    keys: list[Any]
    views: list[Any]
    retention: dict[str, list[Any]]


async def read_facts(conn: Any) -> Facts:
    """Everything the page needs, of one moment."""
    sql = load_queries("schema_page.sql")
    async with plain_settings(conn):
        has_retention = await conn.fetchval(sql["retention_table"])
        return Facts(
            tables=await conn.fetch(sql["tables"]),
            columns=_by_table(await conn.fetch(sql["columns"])),
            constraints=_by_table(await conn.fetch(sql["constraints"])),
            indexes=_by_table(await conn.fetch(sql["indexes"])),
            keys=await conn.fetch(sql["keys"]),
            views=await conn.fetch(sql["views"]),
            retention=_by_table(await conn.fetch(sql["retention"]) if has_retention else []),
        )


def _by_table(rows: Iterable[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        found[row["table_name"]].append(row)
    return found


async def markdown(conn: Any) -> str:
    """The page, for a database at `migrations.head()`."""
    facts = await read_facts(conn)
    by_name = {table["name"]: table for table in facts.tables}
    origins = seed_tables()
    parts = [_INTRODUCTION, "\n".join(_summary(facts))]
    for theme, names in themes(by_name).items():
        parts += [f"## {theme}\n", "\n".join(_diagram(names, facts))]
        parts += ["\n".join(_table(by_name[name], facts, origins.get(name, []))) for name in names]
    parts.append("\n".join(_contracts(facts.views)))
    return "\n".join(parts).rstrip() + "\n"


def themes(tables: Iterable[str]) -> dict[str, list[str]]:
    """The tables that there are, by theme, in the order of THEMES; every table exactly once."""
    left = sorted(tables)
    found = {theme: [name for name in names if name in left] for theme, names in THEMES.items()}
    placed = {name for names in found.values() for name in names}
    found[list(THEMES)[-1]] += [name for name in left if name not in placed]
    return {theme: names for theme, names in found.items() if names}


def seed_tables() -> dict[str, list[str]]:
    """Canonical table -> the documents' tables that it is the source of, as "000.trades"."""
    found: dict[str, set[str]] = defaultdict(set)
    for name in contracts.names():
        for origin in name.origin.split(", "):
            found[origin.partition(".")[0]].add(f"{name.seed}.{name.table}")
    return {table: sorted(names) for table, names in found.items()}


# -- parts of the page -------------------------------------------------------------------------------------------------


def _summary(facts: Facts) -> Iterator[str]:
    yield f"{len(facts.tables)} tables:\n"
    yield "| Table | Class | What it holds |"
    yield "| --- | --- | --- |"
    for table in facts.tables:
        name = table["name"]
        yield f"| [{name}](#{name}) | {table['class'] or 'none'} | {_cell(table['said'])} |"
    yield ""


def _diagram(names: list[str], facts: Facts) -> Iterator[str]:
    yield "```mermaid\nerDiagram"
    lines = []
    for key in facts.keys:
        if key["child"] in names:
            left, right = "||" if key["required"] else "|o", "o|" if key["one"] else "o{"
            lines.append(f'  {key["parent"]} {left}--{right} {key["child"]} : "{key["columns"]}"')
    related = {word for line in lines for word in line.split()}
    yield from (f"  {name}" for name in names if name not in related)
    yield from lines
    yield "```\n"


def _table(table: Any, facts: Facts, seeds: list[str]) -> Iterator[str]:
    name = table["name"]
    yield f"### {name}\n"
    yield f"{table['said']}.\n"
    yield f"- Class: {table['class'] or 'none'}. Origin: {table['origin'] or 'not stated'}."
    if facts.retention[name]:
        yield "- Retention: " + "; ".join(map(_kept, facts.retention[name])) + "."
    if seeds:
        yield f"- In the seeds: {', '.join(seeds)}."
    if table["partitioned"]:
        yield f"- Partitioned by {table['partitioned'].lower()}."
    if table["row_security"]:
        yield "- Row security: a user sees the own rows."
    if any(guard.startswith("append_only") for guard in table["guards"]):
        yield "- Append-only: UPDATE, DELETE and TRUNCATE are refused, to the owner too."
    yield "\n| Column | Type | Null | Default | What it is |\n| --- | --- | --- | --- | --- |"
    for column in facts.columns[name]:
        null = "" if column["required"] else "null"
        preset = f"`{_plain(column['preset'])}`" if column["preset"] else ""
        yield f"| {column['name']} | {_type(column['type'])} | {null} | {_cell(preset)} | {_cell(column['said'])} |"
    yield ""
    rules = [*map(_constraint, facts.constraints[name]), *map(_index, facts.indexes[name])]
    if rules:
        yield "\n".join(f"- {rule}" for rule in rules) + "\n"


def _kept(row: Any) -> str:
    what = f"{row['filter_value']} " if row["filter_value"] else ""
    keep = row["keep"].replace("mons", "months") if row["keep"] else "for ever"
    return f"{what}{keep}{', then to the archive' if row['archive'] and row['keep'] else ''} ({row['basis']})"


def _constraint(row: Any) -> str:
    text = _plain(row["definition"])
    if match := re.fullmatch(r"FOREIGN KEY \((.+?)\) REFERENCES (\w+)\((.+?)\)(.*)", text):
        columns, table, others, rest = match.groups()
        late = ", checked at the commit" if "INITIALLY DEFERRED" in rest else ""
        on_delete = f", {found[0].lower()}" if (found := re.search(r"ON DELETE (\w+ ?\w*)", rest)) else ""
        return f"`{columns}` refers to [{table}](#{table}) (`{others}`){late}{on_delete}"
    if text.startswith("CHECK "):
        return f"Check `{_unwrapped(text.removeprefix('CHECK ').removesuffix(' NOT VALID'))}`"
    kind = "Primary key" if row["kind"] == "p" else "Unique" if row["kind"] == "u" else "Constraint"
    nulls = ", nulls are equal" if "NULLS NOT DISTINCT" in text else ""
    columns = text[text.index("(") + 1 : text.rindex(")")]
    return f"{kind} `{columns}`{nulls}"


def _index(row: Any) -> str:
    text = _plain(row["definition"])
    match = re.fullmatch(r"CREATE (UNIQUE )?INDEX \S+ ON (?:ONLY )?\S+ USING (\w+) \((.+?)\)( NULLS NOT DISTINCT)?"
                         r"(?: INCLUDE \((.+?)\))?(?: WITH \(.+?\))?(?: WHERE (.+))?", text)  # fmt: skip
    if match is None:
        return f"Index `{text}`"
    unique, method, columns, nulls, include, where = match.groups()
    return "".join(
        (
            "Unique index" if unique else "Index",
            f" `{row['name']}` on `{columns.replace(' DESC', ' desc')}`",
            "" if method == "btree" else f", {method}",
            ", nulls are equal" if nulls else "",
            f", with `{include}`" if include else "",
            f", where `{_unwrapped(where)}`" if where else "",
        )
    )


def _contracts(views: list[Any]) -> Iterator[str]:
    yield _CONTRACTS
    for seed, schema in SEEDS.items():
        rows = [view for view in views if view["schema"] == schema]
        yield f"### {schema} (seed {seed})\n"
        yield "| View | Columns | What it shows |\n| --- | --- | --- |"
        yield from (f"| {row['name']} | {_cell(row['columns'])} | {_cell(row['said'])} |" for row in rows)
        yield ""
    yield "### Not as in the documents\n"
    yield "| Column | Why |\n| --- | --- |"
    noted = [name for name in contracts.names() if name.note]
    yield from (f"| {n.schema}.{n.table}.{n.column} | {_cell(n.note)} |" for n in noted)


# -- words -------------------------------------------------------------------------------------------------------------


def _type(text: str) -> str:
    for long, short in _SHORT_TYPES.items():
        text = re.sub(rf"\b{long}\b", short, text)
    return text


def _plain(text: str) -> str:
    """An expression as a person would have written it: without casts of literals, schema names and ANY of an ARRAY."""
    text = re.sub(r"\bqs\.", "", " ".join(text.split()))
    text = re.sub(r"('(?:[^']|'')*')::[\w ]+?(?:\[\])?(?=[,)\]\s]|$)", r"\1", text)
    text = re.sub(r"\('?(-?[\d.]+)'?\)::numeric", r"\1", text)
    text = re.sub(r"= ANY \((?:ARRAY\[(.*?)\]|\(ARRAY\[(.*?)\]\)::\w+\[\])\)", r"in (\1\2)", text)
    return re.sub(r"<> ALL \((?:ARRAY\[(.*?)\]|\(ARRAY\[(.*?)\]\)::\w+\[\])\)", r"not in (\1\2)", text)


def _unwrapped(text: str) -> str:
    """Without the parentheses around the whole."""
    while text.startswith("(") and text.endswith(")"):
        depth = 0
        for position, letter in enumerate(text):
            depth += (letter == "(") - (letter == ")")
            if depth == 0 and position < len(text) - 1:
                return text
        text = text[1:-1]
    return text


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "&#124;")


if __name__ == "__main__":
    from db.measure import write_page

    write_page()
