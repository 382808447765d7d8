"""Opening a candle table, Parquet or CSV, with DuckDB: columns by role, values by row, and errors in one line.

DuckDB reads and converts; it never guesses here (no sniffing of types, headers or dates), it loads no extension and touches
no other file.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from engine.core.text import safe_text
from engine.feeds.base import FeedError

if TYPE_CHECKING:
    import duckdb

Ints = npt.NDArray[np.int64]

ALIASES: dict[str, tuple[str, ...]] = {
    "time": ("time", "open_time", "opentime", "timestamp", "ts", "unix", "datetime", "date", "start", "t", ""),
    "open": ("open", "o", "open_price"),
    "high": ("high", "h", "high_price"),
    "low": ("low", "l", "low_price"),
    "close": ("close", "c", "close_price"),
    "volume": ("volume", "vol", "v", "base_volume", "volume_base"),
    "exchange": ("exchange", "venue"),
    "symbol": ("symbol", "pair", "market", "instrument", "ticker"),
    "timeframe": ("timeframe", "interval", "tf"),
}
PRICES = ("open", "high", "low", "close")
REQUIRED = ("time", *PRICES, "volume")


class TableSource:
    """An open file: its columns by role, its values by row. Owns an in-memory DuckDB that loads and writes nothing."""

    def __init__(self, path: Path) -> None:
        self.path, self.notes = path, list[str]()
        self.label = safe_text(path.name, 80)
        kind = _kind_of(self)
        _check_readable(self, kind)
        self._con = _connect()
        # DuckDB expands wildcards; a bracket class makes each special character stand for itself.
        pattern = re.sub(r"([*?\[])", r"[\1]", str(path))
        if kind == "parquet":
            self._from, self._args = "read_parquet(?)", [pattern]
            described = self._query("DESCRIBE SELECT * FROM read_parquet(?)").fetchall()
            header = [str(row[0]) for row in described]
            self._types = {str(row[0]): str(row[1]) for row in described}
        else:
            header, skip, delimiter = _csv_header(self, kind)
            names = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(header)))
            self._from = (
                f"read_csv(?, columns={{{names}}}, header=false, skip={skip}, delim=?, quote='\"', escape='\"', "
                f"auto_detect=false, strict_mode=true, compression='{'gzip' if kind == 'gzip' else 'none'}')"
            )
            self._args = [pattern, delimiter]
            self._types = {}
        self._real = {role: (header[i] if kind == "parquet" else f"c{i}") for role, i in _roles(self, header).items()}

    def __enter__(self) -> TableSource:
        return self

    def __exit__(self, *_: object) -> None:
        self._con.close()

    def error(self, reason: str, remedy: str, row: int | None = None) -> FeedError:
        """Row is 0-based here, 1-based in the message."""
        where = f"{self.label}: " if row is None else f"{self.label}: row {row + 1}: "
        return FeedError(f"{where}{reason} ({remedy})")

    def type_of(self, role: str) -> str:
        return self._types.get(self._real[role], "VARCHAR")

    def _column(self, role: str) -> str:
        return '"' + self._real[role].replace('"', '""') + '"'

    def _query(self, sql: str) -> Any:
        import duckdb

        try:
            return self._con.execute(sql, self._args)
        except duckdb.Error as error:
            raise self._explained(str(error)) from None

    def _explained(self, text: str) -> FeedError:
        """DuckDB's many lines (with the machine's paths) as one of ours."""
        line = re.search(r"CSV Error on Line: (\d+)", text)
        counts = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", text)
        at = f"line {line[1]}: " if line else ""
        if counts:
            return self.error(f"{at}{counts[2]} columns instead of {counts[1]}", "complete or remove the line")
        if "unterminated quote" in text:
            return self.error(f"{at}a quote is never closed", "repair the line")
        if "unicode" in text or "utf-8" in text:
            return self.error(f"{at}not UTF-8 text", "save the file as UTF-8")
        first = safe_text(text.splitlines()[0].replace(str(self.path), self.label), 120)
        return self.error(f"cannot be read: {first}", "the file is damaged or cut short; fetch it again")

    def numbers(self) -> dict[str, Any]:
        """Role -> masked or plain array: prices and volume float64, time int64 or text (ISO)."""
        # trim() also keeps DuckDB 2.0 from moving the cast into its CSV reader, where TRY_CAST raises.
        parts = [
            f"TRY_CAST({f'trim({name})' if self.type_of(role) == 'VARCHAR' else name} AS DOUBLE) AS {role}"
            for role, name in ((role, self._column(role)) for role in REQUIRED[1:])
        ]
        parts.append(f"{self._time_sql()} AS time")
        columns: dict[str, Any] = self._query(f"SELECT {', '.join(parts)} FROM {self._from}").fetchnumpy()  # noqa: S608
        if len(columns["time"]) == 0:
            raise self.error("no rows", "the file has a header at most; fetch it again")
        if np.ma.getmaskarray(columns["time"])[0] and self.type_of("time") == "VARCHAR":
            first = self.text("time", 0)
            if first is not None and iso_us(first) is not None:
                columns["time"] = self.texts("time")
        return columns

    def _time_sql(self) -> str:
        column, kind = self._column("time"), self.type_of("time")
        if kind == "VARCHAR":  # digits only: a cast would round 1.7e12 (Excel's damage) to a time that looks right
            return f"TRY_CAST(regexp_extract(trim({column}), '^([0-9]{{1,19}})(\\.0*)?$', 1) AS BIGINT)"
        if kind.startswith("TIMESTAMP") or kind == "DATE":
            return f"epoch_us(CAST({column} AS TIMESTAMP))" if kind == "DATE" else f"epoch_us({column})"
        if kind in ("DOUBLE", "FLOAT"):
            return f"CASE WHEN {column} = floor({column}) THEN TRY_CAST({column} AS BIGINT) END"
        return f"TRY_CAST({column} AS BIGINT)"

    def text(self, role: str, row: int) -> str | None:
        """What the file says at one place, for a message."""
        sql = f"SELECT CAST({self._column(role)} AS VARCHAR) FROM {self._from} LIMIT 1 OFFSET {int(row)}"  # noqa: S608
        found = self._query(sql).fetchone()
        return None if found is None or found[0] is None else str(found[0])

    def texts(self, role: str) -> list[str | None]:
        sql = f"SELECT CAST({self._column(role)} AS VARCHAR) FROM {self._from}"  # noqa: S608
        return [row[0] for row in self._query(sql).fetchall()]

    def groups(self, rows: int) -> list[tuple[dict[str, str], Ints]]:
        """({role: name} of the naming columns, rows of that series in the file's order), for each series."""
        roles = [role for role in ("exchange", "symbol", "timeframe") if role in self._real]
        if not roles:
            return [({}, np.arange(rows, dtype=np.int64))]
        keys: dict[tuple[str, ...], int] = {}
        codes = np.empty(rows, dtype=np.int64)
        for row, values in enumerate(zip(*(self.texts(role) for role in roles), strict=True)):
            clean = tuple(safe_text(value).strip() if value else "" for value in values)
            if "" in clean:
                raise self.error(f"{roles[clean.index('')]} is empty", "fill it in", row)
            codes[row] = keys.setdefault(clean, len(keys))
        order = np.argsort(codes, kind="stable")
        bounds = np.searchsorted(codes[order], np.arange(1, len(keys)))
        return [
            (dict(zip(roles, key, strict=True)), members.astype(np.int64))
            for key, members in zip(keys, np.split(order, bounds), strict=True)
        ]


def _connect() -> duckdb.DuckDBPyConnection:
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {
        "autoload_known_extensions": False,
        "autoinstall_known_extensions": False,
    }
    connection = duckdb.connect(":memory:", config=config)
    connection.execute("SET enable_progress_bar=false")  # it would be painted over the cockpit
    return connection


def _kind_of(source: TableSource) -> str:
    name = source.path.name.lower()
    for suffix, kind in ((".parquet", "parquet"), (".csv", "csv"), (".csv.gz", "gzip")):
        if name.endswith(suffix):
            return kind
    raise source.error("not a candle file", "use .parquet, .csv or .csv.gz")


def _check_readable(source: TableSource, kind: str) -> None:
    """Everything the operating system can say, before DuckDB says it in ten lines; and gzip's checksum, which it ignores."""
    try:
        with source.path.open("rb") as stream:
            if not stream.read(1):
                raise source.error("the file is empty", "fetch it again")
        if kind == "gzip":
            with gzip.open(source.path) as unpacked:
                while unpacked.read(1 << 20):
                    pass
    except FileNotFoundError:
        raise source.error("no such file", "check the path") from None
    except IsADirectoryError:
        raise source.error("is a directory", "name the files in it") from None
    except PermissionError:
        raise source.error("permission denied", "make it readable for this user") from None
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise source.error("not a whole gzip file", "damaged or cut short; fetch it again") from None
    except OSError as error:
        raise source.error(f"cannot be read: {error.strerror}", "check the disk") from None


def _csv_header(source: TableSource, kind: str) -> tuple[list[str], int, str]:
    """(column names, lines to skip, delimiter) from the first line."""
    try:
        with _text_stream(source.path, kind) as stream:
            line = stream.readline(65_536)
    except UnicodeDecodeError:
        raise source.error("not UTF-8 text", "save the file as UTF-8") from None
    delimiter = max(",;\t|", key=line.count)
    fields = next(csv.reader([line], delimiter=delimiter), [])
    if not any(text.strip() for text in fields):
        raise source.error("the first line is empty", "begin with a header or a bar")
    if not re.fullmatch(r"\d+(\.\d*)?", fields[0].strip()):
        return fields, 1, delimiter
    if len(fields) < len(REQUIRED):
        raise source.error(f"no header and {len(fields)} columns", "add a header: time,open,high,low,close,volume")
    source.notes.append("no header: read as time, open, high, low, close, volume")
    return [*REQUIRED, *(f"unused_{i}" for i in range(len(fields) - len(REQUIRED)))], 0, delimiter


def _text_stream(path: Path, kind: str) -> IO[str]:
    if kind == "gzip":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _roles(source: TableSource, header: Sequence[str]) -> dict[str, int]:
    """Role -> column index, by the first alias that is there. Raises FeedError for a missing or a doubled column."""
    names = [re.sub(r"[\s\-]+", "_", name.strip().lower()) for name in header]
    roles: dict[str, int] = {}
    for role, aliases in ALIASES.items():
        alias = next((alias for alias in aliases if alias in names), None)
        if alias is None:
            continue
        if names.count(alias) > 1:
            raise source.error(f"two columns named {alias!r}", "keep one")
        roles[role] = names.index(alias)
    missing = [role for role in REQUIRED if role not in roles]
    if missing:
        has = safe_text(", ".join(header), 120)
        raise source.error(f"missing column {', '.join(missing)}", f"it has: {has}")
    return roles


def iso_us(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
