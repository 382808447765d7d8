"""The schema: numbered `.sql` files, run by Alembic revisions that hold nothing but the file's name.

`head()` and `known()` look at the file names, so that asking which revision a program needs costs no import of Alembic.
"""

from __future__ import annotations

import re
from pathlib import Path

#: Where Alembic finds env.py and versions/ (its script location), in a checkout as in a wheel.
HERE = Path(__file__).resolve().parent
SQL = HERE / "sql"

_NUMBERED = re.compile(r"(\d{4})_[a-z_]+\.sql")


def sql_files() -> tuple[str, ...]:
    """The numbered files in order: "0001_foundation.sql" first."""
    return tuple(sorted(path.name for path in SQL.iterdir() if _NUMBERED.fullmatch(path.name)))


def known() -> tuple[str, ...]:
    """Revisions of this program in order: the numbers of the files, "0001" first."""
    return tuple(name[:4] for name in sql_files())


def head() -> str:
    """The newest revision of this program."""
    return known()[-1]


def contract_files() -> tuple[str, ...]:
    """The views in the words of the five documents: "contracts/000_quantsail_v7.sql" first."""
    return tuple(sorted(f"contracts/{path.name}" for path in (SQL / "contracts").glob("*.sql")))


def read_sql(name: str) -> str:
    """The text of a file in sql/, "0001_foundation.sql" or "contracts/000_quantsail_v7.sql". Raises FileNotFoundError."""
    return (SQL / name).read_text(encoding="utf-8")
