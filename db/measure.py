"""Rewrite what is kept of the catalog outside the database, for developers: `python -m db.measure`.

Starts a scratch server of every PostgreSQL major that is on this machine, migrates an empty database in either role profile,
and writes migrations/fingerprints.json. `python -m db.schema_page --write docs/schema.md` writes the page about the schema.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from db.connect import connect
from db.embedded import SUPERUSER, EmbeddedServer, find_binaries
from db.fingerprint import FILE, Parts, snapshot, variant_of
from db.migrate import migrate
from db.pgbin import BinariesError, PgBinaries
from migrations import head

T = TypeVar("T")

MAJORS = (15, 16, 17, 18, 19)
_PLAIN_LOGIN = "qs_measure"


@contextmanager
def scratch_server(binaries: PgBinaries) -> Iterator[EmbeddedServer]:
    """A server of its own that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="qs") as home:
        Path(home).chmod(0o755)
        with EmbeddedServer(Path(home) / "pg", binaries) as server:
            yield server


async def migrated(dsn: str, read: Callable[[Any], Awaitable[T]]) -> T:
    """Migrate an empty database, then read something of it."""
    await migrate(dsn)
    conn = await connect(dsn, name="quantsail measure")
    try:
        return await read(conn)
    finally:
        await conn.close()


async def named_parts(conn: Any) -> tuple[str, Parts]:
    return (await variant_of(conn)).name, await snapshot(conn)


def measure(server: EmbeddedServer) -> dict[str, Parts]:
    """The catalog's parts in the full and in the reduced role profile, and without extensions, by variant; leaves nothing on
    the server."""
    full, reduced, plain = names = ("measured_full", "measured_reduced", "measured_plain")
    with psycopg.connect(server.dsn("postgres", SUPERUSER), autocommit=True) as admin:
        try:
            for name in names:
                server.create_database(name)
            without_extensions(server.dsn(plain, SUPERUSER))
            admin.execute(f"create role {_PLAIN_LOGIN} login".encode())
            admin.execute(f"alter database {reduced} owner to {_PLAIN_LOGIN}".encode())
            return dict(
                [
                    asyncio.run(migrated(server.dsn(full, "qs_admin"), named_parts)),
                    asyncio.run(migrated(as_login(server.dsn(reduced), _PLAIN_LOGIN), named_parts)),
                    asyncio.run(migrated(server.dsn(plain, "qs_admin"), named_parts)),
                ]
            )
        finally:
            for name in names:
                admin.execute(f"drop database if exists {name} with (force)".encode())
            admin.execute(f"drop role if exists {_PLAIN_LOGIN}".encode())


def without_extensions(superuser: str) -> None:
    """Make a database as one is where the server has nothing but itself."""
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute("drop extension if exists vector")


def as_login(dsn: str, login: str) -> str:
    """The same database by another login."""
    scheme, rest = dsn.split("://", 1)
    return f"{scheme}://{login}@{rest.split('@', 1)[1]}"


def to_file(variants: dict[str, Parts]) -> str:
    """The file's text. A part that is the same everywhere stands in layer ""; one that depends on a single word of the variant
    ("FULL", "UUID7=OWN", "18") in that word's layer; any other in the variant's own."""
    layers: dict[str, Parts] = defaultdict(dict)
    for name in sorted({name for parts in variants.values() for name in parts}):
        values = {variant: parts.get(name) for variant, parts in variants.items()}
        for variant, value in values.items():
            if value is not None:
                layers[_layer(variant, values)][name] = value
    content = {"revision": head(), "variants": sorted(variants), "layers": layers}
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _layer(variant: str, values: dict[str, str | None]) -> str:
    """The layer for a part with these values by variant."""
    if len(set(values.values())) == 1:
        return ""
    major, *words = variant.split()
    for word in (*words, major):
        place = variant.split().index(word)
        by_word = defaultdict(set)
        for other, value in values.items():
            by_word[other.split()[place]].add(value)
        if all(len(found) == 1 for found in by_word.values()):
            return word
    return variant


def main() -> None:
    variants: dict[str, Parts] = {}
    for major in MAJORS:
        try:
            binaries = find_binaries(major)
        except BinariesError:
            print(f"no PostgreSQL {major} on this machine: left out", file=sys.stderr)
            continue
        with scratch_server(binaries) as server:
            variants |= measure(server)
    FILE.write_text(to_file(variants), encoding="utf-8")
    print(f"{FILE.name}: {', '.join(sorted(variants))}")


def write_page() -> None:
    """The command line of `python -m db.schema_page`: the page of the newest server here, on stdout or into a file."""
    from db.schema_page import markdown

    parser = argparse.ArgumentParser(prog="python -m db.schema_page", description="Make docs/schema.md.")
    parser.add_argument("--write", type=Path, metavar="FILE", help="where to; stdout otherwise")
    file = parser.parse_args().write
    with scratch_server(find_binaries()) as server:
        server.create_database("page")
        without_extensions(server.dsn("page", SUPERUSER))  # the page is about the plain profile
        page = asyncio.run(migrated(server.dsn("page", "qs_admin"), markdown))
    if file is None:
        sys.stdout.write(page)
    else:
        file.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
