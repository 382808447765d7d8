"""`quantsail db export` through the real program: exact, whole or not at all, never a secret."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from db.embedded import SUPERUSER
from db.export import CLASSES, WORK, is_secret
from engine.cli.exits import Exit
from tests.cli.desk import BASE, Desk
from tests.cli.killing import kill_while
from tests.cli.test_db_copies import tiny_disk

__all__ = ["tiny_disk"]


def export(desk: Desk, folder: Path, *more: str, ledger: str = BASE) -> dict[str, Any]:
    done = desk.run("db", "export", "--to", str(folder), "--ledger", ledger, "--json", *more)
    assert done.code == Exit.OK, done
    assert json.loads((folder / "manifest.json").read_text()) == done.json
    made: dict[str, Any] = done.json
    return made


def rows(desk: Desk, statement: str, ledger: str = BASE) -> list[tuple[Any, ...]]:
    with psycopg.connect(desk.world.server.dsn(ledger, SUPERUSER)) as connection:
        connection.execute("set timezone = 'UTC'")
        return connection.execute(statement.encode()).fetchall()


def test_every_table_is_there_and_what_it_says(desk: Desk, tmp_path: Path) -> None:
    made = export(desk, tmp_path / "out")
    classes = dict(rows(desk, "select table_name, class from qs.table_classes where table_name <> 'alembic_version'"))
    assert {t["table"]: t["table_class"] for t in made["tables"]} == classes and set(classes.values()) <= set(CLASSES)
    for table in made["tables"]:
        path = tmp_path / "out" / table["file"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == table["sha256"]
        (count,) = duckdb.execute(f"select count(*) from '{path}'").fetchone() or ()
        assert count == table["rows"] == rows(desk, f"select count(*) from qs.{table['table']}")[0][0]
    assert made["facts"]["heads"]["events"]["seq"] == desk.world.head(BASE)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(
        ["manifest.json", *(t["file"] for t in made["tables"])]
    )


def test_values_are_exact(desk: Desk, tmp_path: Path) -> None:
    """Decimals to the last digit, microseconds, bytes, JSON and NULL, as the server has them."""
    ledger = desk.copy("exact")
    with desk.superuser(ledger) as connection:
        connection.execute(
            "update qs.fills set price = 12345678901234567890.123456789012345678 where event_seq % 2 = 0"
        )
        connection.execute(
            "update qs.users set full_name = E'a\"b,\\nc\\\\N \\u00fc \U0001f6a2', first_name = '', last_name = null"
        )
    made = export(desk, tmp_path / "out", ledger=ledger)
    types = {t["table"]: t["columns"] for t in made["tables"]}
    assert types["fills"]["price"] == "DECIMAL(38,18)" and types["events"]["ts"] == "TIMESTAMPTZ"
    here = duckdb.execute(
        f"select id, price, fee, epoch_us(executed_at) from '{tmp_path}/out/fills.parquet' order by id"
    ).fetchall()
    there = rows(
        desk,
        "select id, price, fee, (extract(epoch from executed_at) * 1000000)::bigint from qs.fills order by id",
        ledger,
    )
    assert here == there and Decimal("12345678901234567890.123456789012345678") in [row[1] for row in here]
    events = duckdb.execute(
        f"select seq, hash, payload, epoch_us(ts) from '{tmp_path}/out/events.parquet' order by seq"
    ).fetchall()
    assert events == rows(
        desk,
        "select seq, hash, payload::text, (extract(epoch from ts) * 1000000)::bigint from qs.events order by seq",
        ledger,
    )
    names = duckdb.execute(f"select full_name, first_name, last_name from '{tmp_path}/out/users.parquet'").fetchall()
    assert names == [('a"b,\nc\\N ü 🚢', "", None)]


def test_a_decimal_that_is_none_stays_text(desk: Desk, tmp_path: Path) -> None:
    ledger = desk.copy("not_a_number")
    with desk.superuser(ledger) as connection:
        connection.execute("update qs.orders set price = 'NaN' where id = (select min(id::text)::uuid from qs.orders)")
    made = export(desk, tmp_path / "out", "--table", "orders", ledger=ledger)
    assert made["tables"][0]["columns"]["price"] == "VARCHAR"
    prices = duckdb.execute(f"select price from '{tmp_path}/out/orders.parquet'").fetchall()
    assert ("NaN",) in prices


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_text_formats(desk: Desk, tmp_path: Path, form: str) -> None:
    made = export(desk, tmp_path / "out", "--format", form, "--table", "fills", "--table", "snapshots")
    path = tmp_path / "out" / f"fills.{form}"
    with path.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file)) if form == "csv" else [json.loads(line) for line in file]
    assert len(found) == next(t["rows"] for t in made["tables"] if t["table"] == "fills") > 10
    there = rows(desk, "select id::text, price::text from qs.fills order by id")
    assert [(row["id"], row["price"]) for row in found] == there


def test_a_period(desk: Desk, tmp_path: Path) -> None:
    ((since, until),) = rows(desk, "select min(executed_at), max(executed_at) from qs.fills")
    made = export(
        desk, tmp_path / "out", "--from", since.isoformat(), "--to-time", until.isoformat(), "--table", "fills"
    )
    assert made["tables"][0]["period_column"] == "executed_at"
    count = rows(desk, "select count(*) from qs.fills where executed_at < (select max(executed_at) from qs.fills)")
    assert made["tables"][0]["rows"] == count[0][0] > 0
    assert export(desk, tmp_path / "none", "--from", "2999-01-01", "--table", "fills")["tables"][0]["rows"] == 0


def test_secrets_stay_behind(desk: Desk, tmp_path: Path) -> None:
    """Every column of bytes is a hash of a chain or does not leave; passwords and second factors do not."""
    made = export(desk, tmp_path / "out")
    columns = rows(
        desk,
        "select c.relname::text, a.attname::text from pg_attribute a join pg_class c on c.oid = a.attrelid where attnum > 0"
        " and not attisdropped and relnamespace = 'qs'::regnamespace and relkind in ('r', 'p') and not relispartition"
        " and (atttypid = 'bytea'::regtype or attname ~ 'password|secret|mfa|token_hash|api_key|private')",
    )
    out = {(t["table"], name) for t in made["tables"] for name in t["columns"]}
    assert {name for table, name in columns if (table, name) in out} <= {
        "hash",
        "prev_hash",
        "mfa_enabled",
        "api_key_hint",
    } | {name for _, name in columns if name.endswith("_id") or name.endswith("_at")}
    left = {(t["table"], name) for t in made["tables"] for name in t["left_out"]}
    assert {
        ("users", "password_hash"),
        ("exchange_credentials", "ciphertext"),
        ("encryption_keys", "wrapped_dek"),
    } <= left
    assert is_secret("mfa_nonce") and not is_secret("mfa_enabled")


def test_what_is_refused(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("precious")
    (tmp_path / "file").write_text("not a folder")
    for code, *words in (
        (Exit.REFUSED, "--to", str(tmp_path / "full")),
        (Exit.REFUSED, "--to", str(tmp_path / "file")),
        (Exit.REFUSED, "--to", str(tmp_path / "x"), "--table", "users; drop table qs.users"),
        (Exit.USAGE, "--to", str(tmp_path / "y"), "--format", "xlsx"),
        (Exit.USAGE, "--to", str(tmp_path / "y"), "--from", "yesterday"),
    ):
        assert desk.run("db", "export", "--ledger", BASE, *words).code == code, words
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["mine.txt"]
    assert list((tmp_path / "x").iterdir()) == []


def test_a_killed_export_has_no_manifest_and_the_next_one_works(desk: Desk, tmp_path: Path) -> None:
    assert kill_while(
        desk, "quantsail export", "db", "export", "--ledger", BASE, "--to", str(tmp_path / "out"),
        condition="query ilike '%%copy%%'",
    )  # fmt: skip
    assert [p.name for p in (tmp_path / "out").iterdir()] in ([WORK], [])
    assert export(desk, tmp_path / "out")["tables"]


def test_a_full_disk(desk: Desk, tiny_disk: Path) -> None:
    refused = desk.run("db", "export", "--ledger", BASE, "--to", str(tiny_disk / "out"))
    assert refused.code == Exit.REFUSED and "make room" in refused.err
    assert list((tiny_disk / "out").iterdir()) == []


MEMORY = """
import asyncio, resource, sys
from pathlib import Path
import asyncpg
from db.parquet import Column, write_rows

async def main(rows):
    conn = await asyncpg.connect(sys.argv[1], server_settings={"timezone": "UTC"})
    source = f"(select n, repeat(md5(n::text), 20) as t from generate_series(1, {rows}) n) s"
    done = await write_rows(conn, source, [Column("n", "bigint"), Column("t", "text")], Path(sys.argv[2]), "parquet")
    print(done.rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
asyncio.run(main(int(sys.argv[3])))
"""


def test_memory_does_not_grow_with_the_table(database: str, tmp_path: Path) -> None:
    """260 MB of rows through a process that may not need much more for them than for 1 MB."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    needed = []
    for number in (1_000, 400_000):
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, database, str(tmp_path / f"{number}.parquet"), str(number)],
            capture_output=True, text=True, check=True, env=environment,
        )  # fmt: skip
        found, megabytes = map(int, done.stdout.split())
        assert found == number
        needed.append(megabytes)
    assert needed[1] - needed[0] < 200, needed
