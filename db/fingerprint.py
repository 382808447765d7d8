"""The catalog fingerprint: is the schema in the database the one that the migrations made (decisions.md 28)?

Alembic sees neither CHECKs nor index predicates, triggers, policies and privileges, and those are what keeps the journal
honest. So the whole catalog is read in named parts (catalog.sql), each a short text, and compared with what is kept outside
the database, in migrations/fingerprints.json. Parts that depend on the server's major, on the role profile or on what the
server is capable of are kept once per variant. For a variant that nobody has measured, the migration's own record
(qs.catalog_records) stands in for those parts; whoever may change the schema may change that one, too, and the comparison
says that it relied on it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from db.queries import load_queries
from engine.core.text import safe_text
from migrations import HERE, head

if TYPE_CHECKING:
    import psycopg

Parts = dict[str, str]

FILE = HERE / "fingerprints.json"
KINDS = (
    "schemas", "relations", "privileges", "columns", "constraints", "indexes", "triggers", "policies", "rules",
    "functions", "strangers", "roles",
)  # fmt: skip
_ALONE = ("settings", "variant")
#: Longer attributes are kept as their beginning and a hash, so that the file stays readable.
LONG_CHARS = 120
NAME_CHARS_MAX = 400

_RECORDED = "select parts::text from qs.catalog_records where revision = $1 and variant = $2"
_RECORD = """
insert into qs.catalog_records (revision, variant, sha256, parts) values ($1, $2, $3, $4::text::jsonb)
on conflict (revision, variant) do update
  set sha256 = excluded.sha256, parts = excluded.parts, recorded_at = clock_timestamp()
"""


class FingerprintError(Exception):
    """The catalog cannot be compared; the message says why and what to do."""


class SchemaChanged(FingerprintError):
    """The schema is not what the migrations made."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """`differences` are lines of what was changed, by name; `basis` is "file", or "record" where `note` says what was not
    measured."""

    revision: str
    variant: str
    sha256: str
    basis: str
    differences: tuple[str, ...]
    note: str = ""


def statement(name: str) -> str:
    """A query of catalog.sql, complete; "parts" is all KINDS in one, which is a third cheaper than one after the other."""
    queries = load_queries("catalog.sql")
    if name == "parts":
        return queries["scope"] + " union all ".join(f"({queries[kind]})" for kind in KINDS)
    return queries[name] if name in _ALONE else f"{queries['scope']} {queries[name]}"


def to_parts(rows: Iterable[tuple[str, list[str | None]]]) -> Parts:
    """Parts by name, from rows of (name, attributes). Raises SchemaChanged when a name is there twice."""
    parts: Parts = {}
    for name, attributes in rows:
        if name in parts:
            raise SchemaChanged(f"two parts of the catalog are called {_line(name)}: one hides the other, rename it")
        parts[name] = " | ".join(_short(a) for a in attributes if a is not None)
    return parts


def _short(text: str) -> str:
    plain = " ".join(text.split())
    if plain == text and len(text) <= LONG_CHARS:
        return text
    return f"{plain[:60]} ... #{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def digest(parts: Mapping[str, str]) -> str:
    """sha256 of all parts, hex."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@asynccontextmanager
async def plain_settings(conn: Any) -> AsyncIterator[None]:
    """One moment of the catalog, read with PostgreSQL's own operators and names; nothing that is written inside stays."""
    inside = conn.is_in_transaction()
    transaction = conn.transaction(isolation=None if inside else "repeatable_read")
    await transaction.start()
    try:
        await conn.execute(statement("settings"))
        yield
    finally:
        await transaction.rollback()  # the settings go back even inside a transaction of the caller


async def snapshot(conn: Any) -> Parts:
    """The catalog's parts as they are."""
    async with plain_settings(conn):
        return to_parts(await conn.fetch(statement("parts")))


class Variant(NamedTuple):
    """What the expected catalog depends on. `profile_then` is the role profile when the schema was made."""

    major: str
    profile: str
    capabilities: str
    profile_then: str

    @property
    def name(self) -> str:
        return " ".join(self[:3])


async def variant_of(conn: Any) -> Variant:
    """The variant of this database; its name is "18 FULL UUID7=SERVER ..."."""
    async with plain_settings(conn):
        return Variant(*await conn.fetchrow(statement("variant")))


async def lines(conn: Any, name: str) -> tuple[str, ...]:
    """Answers of a query of catalog.sql that finds problems (`partitions`, `unclassed`), a line each."""
    async with plain_settings(conn):
        return tuple(_line(row[0]) for row in await conn.fetch(statement(name)))


# -- what it should be -------------------------------------------------------------------------------------------------


class Known(msgspec.Struct, frozen=True):
    """migrations/fingerprints.json: parts by layer (see db.measure); `variants` are those that were measured."""

    revision: str
    variants: tuple[str, ...]
    layers: dict[str, Parts]

    def parts_of(self, variant: str) -> Parts:
        """What the layers know of a variant: everything when all its words were measured."""
        parts: Parts = {}
        for layer in ("", *variant.split(), variant):
            parts |= self.layers.get(layer, {})
        return parts

    def unknown(self, variant: str) -> list[str]:
        """Words of a variant that nobody has measured."""
        return sorted(set(variant.split()) - {word for name in self.variants for word in name.split()})

    def unsure(self, parts: Parts) -> set[str]:
        """Names that depend on words that `parts` were not made for."""
        return {name for layer in self.layers.values() for name in layer} - parts.keys()

    def between(self, major: int) -> bool:
        """Is a major among those that were measured, or between two of them?"""
        majors = [int(name.split()[0]) for name in self.variants]
        return min(majors) <= major <= max(majors)


@cache
def known() -> Known:
    """The committed file. Raises FingerprintError when it is missing or damaged."""
    try:
        return msgspec.json.decode(FILE.read_bytes(), type=Known)
    except (OSError, msgspec.DecodeError) as error:
        raise FingerprintError(f"this installation has no readable {FILE.name}: install quantsail again") from error


async def compare(conn: Any) -> Comparison:
    """Hold the catalog of a database at `migrations.head()` against what it should be.

    Raises FingerprintError when there is nothing to compare with: another revision, no schema, no record.
    """
    found = await _revision(conn)
    if found != head():
        raise FingerprintError(
            f"the schema is at {found or 'nothing'}, this program knows how {head()} looks: run `quantsail db migrate`"
        )
    file = known()
    if file.revision != head():
        raise FingerprintError(f"{FILE.name} is of revision {file.revision}, not {head()}: install quantsail again")
    parts, variant = await snapshot(conn), await variant_of(conn)
    wanted, compared, note = file.parts_of(variant.name), parts, ""
    if unknown := file.unknown(variant.name):
        recorded = await _recorded(conn, variant)
        # What holds for all measured majors holds for those between them; beyond, PostgreSQL may print all of it anew.
        wanted = recorded | (wanted if file.between(int(variant.major)) else {})
        if not wanted:
            raise FingerprintError(
                f"nobody has measured {variant.name}, and no migration recorded it: update quantsail"
            )
        compared = {name: value for name, value in parts.items() if name not in file.unsure(wanted)}
        note = f"nobody has measured {', '.join(unknown)}: " + (
            "compared with what the migration recorded" if recorded else f"{len(parts) - len(compared)} parts were not"
        )
    changed = differences(wanted, compared)
    if variant.profile != variant.profile_then:
        changed = (f"role profile: {variant.profile_then} -> {variant.profile}", *changed)
    return Comparison(
        revision=found,
        variant=variant.name,
        sha256=digest(parts),
        basis="record" if note else "file",
        differences=changed,
        note=note,
    )


async def _recorded(conn: Any, variant: Variant) -> Parts:
    parts: Parts = json.loads(await conn.fetchval(_RECORDED, head(), variant.name) or "{}")
    return parts


async def _revision(conn: Any) -> str | None:
    if not await conn.fetchval("select pg_catalog.to_regclass('qs.alembic_version') is not null"):
        return None
    found: str | None = await conn.fetchval("select version_num from qs.alembic_version")
    return found


def differences(wanted: Mapping[str, str], found: Mapping[str, str]) -> tuple[str, ...]:
    """A line for each part that is gone, new or another one; sorted by name."""
    lines = []
    for name in sorted(wanted.keys() | found.keys()):
        old, new = wanted.get(name), found.get(name)
        if old == new:
            continue
        if new is None:
            lines.append(f"{name}: gone")
        elif old is None:
            lines.append(f"{name}: not part of the schema ({new})")
        else:
            lines.append(f"{name}: {_change(old, new)}")
    return tuple(_line(line) for line in lines)


def _change(old: str, new: str) -> str:
    before, after = old.split(" | "), new.split(" | ")
    if len(before) != len(after):
        return f"{old} -> {new}"
    return ", ".join(f"{a} -> {b}" for a, b in zip(before, after, strict=True) if a != b)


def _line(text: str) -> str:
    return safe_text(text, NAME_CHARS_MAX)


# -- what the migration leaves behind ----------------------------------------------------------------------------------


async def record(conn: Any) -> None:
    """Record the catalog as it is, as the owner, after a change that is meant (a conversion, a move to another major)."""
    parts, variant = await snapshot(conn), await variant_of(conn)
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    await conn.execute(_RECORD, await _revision(conn), variant.name, digest(parts), text)


def record_migrated(connection: psycopg.Connection[Any], revision: str) -> None:
    """The last step of a migration, inside its transaction: what the catalog is now. Changes the search path."""
    connection.execute(statement("settings").encode())
    parts = to_parts(connection.execute(statement("parts").encode()).fetchall())
    row = connection.execute(statement("variant").encode()).fetchone()
    if row is None:
        raise FingerprintError("the migration left no schema behind")
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    values = (revision, Variant(*row).name, digest(parts), text)
    connection.execute(_RECORD.replace("$1, $2, $3, $4", "%s, %s, %s, %s").encode(), values)
