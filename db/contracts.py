"""The five contracts: what their views say, where each column comes from, and which values do not fit.

The views are made by migrations/sql/contracts/*.sql; the same lines are read here, so there is no second list.
`migrations/contracts/columns.tsv` names every column of the five documents beside its column here; it is generated from
both (tests/db/seed_documents.py) and stands in for the documents where they are absent.
"""

from __future__ import annotations

import csv
import re
from functools import cache

import asyncpg
import msgspec

from migrations import HERE, contract_files, read_sql

NAMES = HERE / "contracts" / "columns.tsv"
EXCEPTIONS = HERE / "contracts" / "exceptions.tsv"
SCHEMAS = ("quantsail_v7", "paper_api", "wallet_following", "trading_platform", "apextrade")

#: Rows of a view that `misfits` looks at: a check is no reason to read a hundred million ticks.
MISFIT_ROWS = 200_000

_TEXT = r"(?:\$\$(?P<{0}>.*?)\$\$|'(?P<{0}_quoted>(?:[^']|'')*)')"
_CONTRACT = re.compile(
    r"select qs\.contract\('(?P<schema>\w+)\.(?P<name>\w+)',\s*"
    + r",\s*".join(_TEXT.format(part) for part in ("phrase", "columns", "source"))
    + r"\);",
    re.DOTALL,
)
_CONTINUED = re.compile(r"\n\s*\.\.\.\s*")
_SEPARATOR = re.compile(r"\s+\|\s+")
_SIZED = re.compile(r"(numeric|varchar)\(([\d,]+)\)(\[\])?")
_CANONICAL = re.compile(r"\b(?!qs\.)[a-z_]+\.[a-z_][a-z_0-9]*\b(?!\()")
_TYPES = {
    "timestamptz": "timestamp with time zone",
    "timestamp": "timestamp without time zone",
    "integer!": "integer",
    "=": "real[]",
}


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column of a view: `type` as the file writes it, `expression` over tables of qs ("secret": always NULL)."""

    name: str
    type: str
    expression: str
    phrase: str

    @property
    def sql_type(self) -> str:
        """The type as format_type() spells it."""
        return _TYPES.get(self.type, self.type.replace("varchar", "character varying"))

    @property
    def origin(self) -> str:
        """The canonical columns that it is made of, "orders.status, orders.mode"; "secret" for a secret."""
        if self.expression == "secret":
            return "secret"
        found = _CANONICAL.findall(self.phrase) or _CANONICAL.findall(re.sub(r"'[^']*'", "", self.expression))
        return ", ".join(dict.fromkeys(found))


class View(msgspec.Struct, frozen=True, kw_only=True):
    """A view of a contract; `copied` are its first columns, which another view of the contract has as well."""

    schema: str
    name: str
    phrase: str
    columns: tuple[Column, ...]
    source: str
    copied: int = 0


class Name(msgspec.Struct, frozen=True, kw_only=True):
    """A row of columns.tsv: a column of a document, or ("extra") one of a view that the document defines by a query."""

    seed: str
    schema: str
    table: str
    position: int
    column: str
    kind: str
    seed_type: str
    sql_type: str
    origin: str
    note: str


class Misfit(msgspec.Struct, frozen=True, kw_only=True):
    """`lost` values of a column do not fit its type and are NULL; `vanished` ones are not zero but round to it.

    `rows` were looked at, `complete` tells whether these were all.
    """

    view: str
    column: str
    type: str
    origin: str
    lost: int
    vanished: int
    rows: int
    complete: bool

    def __str__(self) -> str:
        said = [f"{self.lost} too large or too long"] if self.lost else []
        said += [f"{self.vanished} rounded to zero"] if self.vanished else []
        of = f"of {'' if self.complete else 'the first '}{self.rows} rows"
        return f"{self.view}.{self.column} ({self.type}, from {self.origin}): {', '.join(said)} {of}"


@cache
def views() -> tuple[View, ...]:
    """All views of all contracts, in the order of the files."""
    found: dict[str, View] = {}
    for name in contract_files():
        for match in _CONTRACT.finditer(read_sql(name)):
            view = _view(match, found)
            found[f"{view.schema}.{view.name}"] = view
    return tuple(found.values())


@cache
def names() -> tuple[Name, ...]:
    """Every column of the five documents, in their order."""
    with NAMES.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return tuple(msgspec.convert(row, Name, strict=False) for row in rows)


@cache
def exceptions() -> dict[str, str]:
    """Columns that nothing fills, as "schema.table.column", each with its reason."""
    with EXCEPTIONS.open(encoding="utf-8", newline="") as file:
        return dict(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


async def misfits(conn: asyncpg.Connection, *, rows: int = MISFIT_ROWS) -> list[Misfit]:
    """What the views cannot show as it is, known exceptions aside. Looks at `rows` rows of each view, with the connection's
    own rights."""
    found: list[Misfit] = []
    for view in views():
        checked = [(n, c) for n, c in enumerate(view.columns) if n >= view.copied and _checks(n, c) is not None]
        if not checked or view.copied:
            continue
        counts = await conn.fetchrow(_misfit_query(view, checked), rows)
        for n, column in checked:
            lost, vanished = counts[f"lost{n}"], counts[f"vanished{n}"]
            if (lost or vanished) and f"{view.schema}.{view.name}.{column.name}" not in exceptions():
                found.append(
                    Misfit(
                        view=f"{view.schema}.{view.name}",
                        column=column.name,
                        type=column.sql_type,
                        origin=column.origin,
                        lost=lost,
                        vanished=vanished,
                        rows=counts["rows"],
                        complete=counts["rows"] < rows,
                    )
                )
    return found


def _view(match: re.Match[str], known: dict[str, View]) -> View:
    part = {key: (match[key] or match[f"{key}_quoted"] or "").replace("''", "'") for key in ("phrase", "source")}
    columns: list[Column] = []
    copied = 0
    for line in _CONTINUED.sub(" ", match["columns"]).splitlines():
        words = _SEPARATOR.split(line.strip())
        if words[0] == "*":
            columns += known[words[1]].columns
            copied = len(columns)
        elif words[0]:
            name, kind, expression, *phrase = words
            columns.append(Column(name=name, type=kind, expression=expression, phrase=phrase[0] if phrase else ""))
    return View(schema=match["schema"], name=match["name"], columns=tuple(columns), copied=copied, **part)


def _checks(n: int, column: Column) -> tuple[str, str] | None:
    """Conditions "it is lost" and "it vanishes" on column `c<n>`; None where every value fits."""
    if column.expression == "secret":
        return None
    if column.type == "integer!":
        return f"c{n} is not null and qs.fit_integer(c{n}) is null", f"c{n} <> 0 and round(c{n}) = 0"
    if (sized := _SIZED.fullmatch(column.type)) is None:
        return None
    kind, size, many = sized.groups()
    fit = f"qs.fit_{'numeric' if kind == 'numeric' else 'text'}"
    if many:
        kept = f"cardinality(array_remove({fit}s(c{n}, {size}), null))"
        return f"{kept} < cardinality(array_remove(c{n}, null))", "false"
    scale = size.partition(",")[2]
    vanishes = f"c{n} <> 0 and round(c{n}, {scale}) = 0" if kind == "numeric" else "false"
    return f"c{n} is not null and {fit}(c{n}, {size}) is null", vanishes


def _misfit_query(view: View, checked: list[tuple[int, Column]]) -> str:
    raw = [
        f"{'null' if column.expression == 'secret' else f'({column.expression})'} as c{n}"
        for n, column in enumerate(view.columns)
    ]
    counts = ["count(*) as rows"]
    for n, column in checked:
        lost, vanishes = _checks(n, column) or ("false", "false")
        counts += [f"count(*) filter (where {lost}) as lost{n}", f"count(*) filter (where {vanishes}) as vanished{n}"]
    # Built of the package's own files alone.
    return f"select {', '.join(counts)} from (select {', '.join(raw)} {view.source} limit $1) q"  # noqa: S608
