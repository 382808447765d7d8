"""Candle files: Parquet and CSV in, checked numpy columns out. Bad data is refused in one line; gaps are listed, never filled.

Documented readings, and the only ones (each leaves a note on the file):
- `time` is the bar's OPEN, UTC, in s, ms, us or ns. The unit is told by magnitude: for 2000 to 2100 the four ranges do not
  meet. A change of unit inside a file is refused. Binance Vision has sent us instead of ms since 2025-01-01.
- A CSV without a header is read as time, open, high, low, close, volume (Binance Vision's first six of twelve columns).
- ISO 8601 text is accepted as time; without an offset it is UTC.
- exchange, symbol and timeframe come from columns of that name, else from `<exchange>_<symbol>_<timeframe>[_anything]`, or
  Binance Vision's `<symbol>-<timeframe>-<date>`; without a timeframe, from the most usual step between bars.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.core.text import safe_text
from engine.core.types import TIMEFRAMES_US
from engine.feeds.base import Gap, timeframe_name, utc
from engine.feeds.tables import PRICES, REQUIRED, Ints, TableSource, iso_us
from engine.instruments import split_symbol

Floats = npt.NDArray[np.float64]

_YEAR_2000_S, _YEAR_2100_S = 946_684_800, 4_102_444_800
#: unit -> (least, below, multiply, divide) that turn it into us.
_UNITS: dict[str, tuple[int, int, int, int]] = {
    "s": (_YEAR_2000_S, _YEAR_2100_S, 1_000_000, 1),
    "ms": (_YEAR_2000_S * 10**3, _YEAR_2100_S * 10**3, 1_000, 1),
    "us": (_YEAR_2000_S * 10**6, _YEAR_2100_S * 10**6, 1, 1),
    "ns": (_YEAR_2000_S * 10**9, _YEAR_2100_S * 10**9, 1, 1_000),
}
_NAME = re.compile(r"(?P<exchange>[A-Za-z0-9]+)_(?P<symbol>.+?)_(?P<timeframe>\d+[smhdwM])(?:[_-].*)?")
_VISION = re.compile(r"(?P<symbol>[A-Z0-9]+)-(?P<timeframe>\d+[smhdw])-\d{4}-\d{2}(?:-\d{2})?")
_NAME_REMEDY = "name it <exchange>_<symbol>_<timeframe>, as binance_BTCUSDT_1m, or add columns exchange and symbol"


@dataclass(frozen=True, eq=False)
class CandleFile:
    """One series: arrays of equal length, `time_us` strictly rising bar OPENs; prices > 0, low <= open, close <= high."""

    path: Path
    exchange: str
    symbol: str
    quote: str
    timeframe_us: int
    time_us: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    gaps: list[Gap] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def load_candle_file(path: str | Path) -> list[CandleFile]:
    """Read and check a `.parquet`, `.csv` or `.csv.gz`; one CandleFile for each (exchange, symbol, timeframe) in it.

    Raises FeedError "<file name>: row N: reason (remedy)"; rows are data rows from 1.
    """
    path = Path(path)
    with TableSource(path) as source:
        raw = source.numbers()
        time_us, unit_notes = _times(source, raw)
        _check_rows(source, raw)
        return [
            _series(source, raw, time_us, rows, names, source.notes + unit_notes)
            for names, rows in source.groups(len(time_us))
        ]


def _times(source: TableSource, raw: dict[str, Any]) -> tuple[Ints, list[str]]:
    """Bar opens in us, and the note that says how they were read."""
    column, notes = raw["time"], []
    if isinstance(column, list):
        parsed = [None if text is None else iso_us(text) for text in column]
        column = np.ma.masked_array([p or 0 for p in parsed], [p is None for p in parsed], dtype=np.int64)
        notes.append("time is ISO text, read as UTC")
    mask = np.ma.getmaskarray(column)
    times: Ints = np.ma.getdata(column).astype(np.int64)
    if mask.any():
        row = int(mask.argmax())
        raise source.error(_said(source, "time", row), "a whole number of ms or us, or ISO 8601", row)
    units = np.full(len(times), -1)
    for code, (least, below, _, _) in enumerate(_UNITS.values()):
        units[(times >= least) & (times < below)] = code
    if (units < 0).any():
        row = int((units < 0).argmax())
        raise source.error(f"time {times[row]} is not in 2000 to 2100", "s, ms, us or ns since 1970, UTC", row)
    names = list(_UNITS)
    unit = names[units[0]]
    if (units != units[0]).any():
        row = int((units != units[0]).argmax())
        raise source.error(f"the time unit changes from {unit} to {names[units[row]]}", "split the file there", row)
    if unit != "ms" and not notes:
        notes.append(f"time is in {unit}")
    _, _, multiply, divide = _UNITS[unit]
    return times * multiply // divide, notes


def _said(source: TableSource, role: str, row: int) -> str:
    """The reason for a value that is no number: missing, or what it says instead."""
    text = source.text(role, row)
    return (
        f"{role} is missing" if text is None or not text.strip() else f"{role} {safe_text(text, 24)!r} is not a number"
    )


def _check_rows(source: TableSource, raw: dict[str, Any]) -> None:
    """Prices and volumes row by row; the first bad row of the file is the one reported."""
    value = {role: np.ma.getdata(raw[role]) for role in REQUIRED[1:]}
    high, low, volume = value["high"], value["low"], value["volume"]
    checks: list[tuple[Any, str, str]] = []  # (bad rows, the reason or the role that is no number, the remedy)
    for role, data in value.items():
        checks.append((np.ma.getmaskarray(raw[role]), role, "repair or remove the row"))
        checks.append((~np.isfinite(data), f"{role} is {{{role}}}", "repair or remove the row"))
    for role in PRICES:
        checks.append((value[role] <= 0, f"{role} {{{role}}} is not above 0", "remove the row"))
    checks.append((high < low, "high {high} < low {low}", "are the columns swapped?"))
    for role in ("open", "close"):
        outside = (value[role] > high) | (value[role] < low)
        checks.append((outside, f"{role} {{{role}}} is outside low {{low}} to high {{high}}", "repair the row"))
    checks.append((volume < 0, "volume {volume} is negative", "remove the row"))
    found = [(int(mask.argmax()), place) for place, (mask, _, _) in enumerate(checks) if mask.any()]
    if found:
        row, place = min(found)
        _, reason, remedy = checks[place]
        values = {role: float(data[row]) for role, data in value.items()}
        said = _said(source, reason, row) if reason in value else reason.format_map(values)
        raise source.error(said, remedy, row)


def _series(
    source: TableSource, raw: dict[str, Any], times: Ints, rows: Ints, names: dict[str, str], notes: list[str]
) -> CandleFile:
    """One series of the file with its name, timeframe and gaps."""
    notes = list(notes)
    exchange, name, stated = _names(source, names, notes)
    symbol, quote = split_symbol(exchange, name)
    if symbol.replace("/", "").split(":")[0] != name:  # more was done than splitting: say so
        notes.append(f"symbol {name} read as {symbol}")
    time_us = times[rows]
    timeframe_us = _timeframe(source, time_us, rows, stated, notes)
    gaps = _gaps(source, time_us, rows, timeframe_us, exchange, symbol)
    columns: dict[str, Floats] = {role: np.ma.getdata(raw[role])[rows] + 0.0 for role in REQUIRED[1:]}  # no -0.0
    return CandleFile(source.path, exchange, symbol, quote, timeframe_us, time_us, gaps=gaps, notes=notes, **columns)


def _names(source: TableSource, columns: dict[str, str], notes: list[str]) -> tuple[str, str, str | None]:
    """(exchange, symbol as written, timeframe text or None): columns first, then the file's name."""
    stem = re.sub(r"(?i)(\.parquet|\.csv|\.csv\.gz)$", "", source.path.name)
    named: dict[str, str] = {}
    if found := _NAME.fullmatch(stem):
        named = found.groupdict()
    elif found := _VISION.fullmatch(stem):
        named = {"exchange": "binance", **found.groupdict()}
        if "exchange" not in columns:
            notes.append("exchange binance, by Binance Vision's way to name files")
    merged = {role: safe_text(text) for role, text in named.items()} | columns
    missing = [role for role in ("exchange", "symbol") if not merged.get(role)]
    if missing:
        raise source.error(f"no {' and no '.join(missing)} in its name or columns", _NAME_REMEDY)
    return merged["exchange"], merged["symbol"], merged.get("timeframe")


def _timeframe(source: TableSource, times: Ints, rows: Ints, stated: str | None, notes: list[str]) -> int:
    """The bar's length in us, stated and checked against the data, or the most usual step of the data."""
    known = ", ".join(TIMEFRAMES_US)
    if stated is not None and stated not in TIMEFRAMES_US:
        raise source.error(f"timeframe {stated} is not known", f"use one of {known}")
    steps = np.diff(times)
    if (steps <= 0).any():
        at = int((steps <= 0).argmax())
        row, before = int(rows[at + 1]), int(rows[at])
        if steps[at] == 0:
            raise source.error(f"the same time as row {before + 1}, {utc(int(times[at]))}", "keep one of them", row)
        back = f"time goes back from {utc(int(times[at]))} to {utc(int(times[at + 1]))}"
        raise source.error(back, "sort the file by time", row)
    if len(steps) == 0:
        if stated is None:
            raise source.error("one bar alone has no timeframe", _NAME_REMEDY, int(rows[0]))
        return TIMEFRAMES_US[stated]
    sizes, counts = np.unique(steps, return_counts=True)
    usual, least = int(sizes[counts.argmax()]), int(sizes[0])
    if stated is None:
        if usual not in TIMEFRAMES_US.values():
            raise source.error(f"bars are {timeframe_name(usual)} apart, no known timeframe", f"use one of {known}")
        notes.append(f"timeframe {timeframe_name(usual)}, the usual step between its bars")
        return usual
    timeframe_us = TIMEFRAMES_US[stated]
    # A venue that omits bars without trades may skip more bars than it has; its smallest step still is the timeframe.
    sparse = least == timeframe_us and not (steps % timeframe_us).any()
    if usual != timeframe_us and not sparse:
        raise source.error(
            f"timeframe {stated} stated but bars are {timeframe_name(usual)} apart", "correct the name or the column"
        )
    return timeframe_us


def _gaps(source: TableSource, times: Ints, rows: Ints, timeframe_us: int, exchange: str, symbol: str) -> list[Gap]:
    """Runs of missing bars. Raises FeedError for a bar between the grid's lines."""
    steps = np.diff(times)
    if (steps % timeframe_us).any():
        at = int((steps % timeframe_us != 0).argmax())
        reason = f"time {utc(int(times[at + 1]))} is off the {timeframe_name(timeframe_us)} grid"
        raise source.error(reason, "remove the row, or the partial bar before it", int(rows[at + 1]))
    return [
        Gap(int(times[i]) + timeframe_us, int(times[i + 1]), int(steps[i]) // timeframe_us - 1, exchange, symbol)
        for i in np.flatnonzero(steps > timeframe_us)
    ]
