"""Candle files: every way a file can be wrong gives one line with file, row, reason and remedy; good ones are read exactly."""

from __future__ import annotations

import gzip
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from engine.core.types import HOUR_US, MINUTE_US
from engine.feeds.base import FeedError, Gap
from engine.feeds.files import load_candle_file
from tests.feeds.candle_data import HEADER, MINUTE_MS, START_MS, Row, bars, changed, write_csv, write_parquet

NAME = "binance_BTCUSDT_1m"


def refusal(path: Path) -> str:
    with pytest.raises(FeedError) as caught:
        load_candle_file(path)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 320
    assert text.startswith(path.name.replace("\x1b", "\ufffd")[:20]) or "\x1b" not in text
    assert re.search(r"\(.+\)$", text), f"no remedy: {text}"
    return text


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet"])
def test_a_good_file_is_read_exactly(tmp_path: Path, kind: str) -> None:
    rows = bars(3)
    path = tmp_path / f"{NAME}.{kind}"
    if kind == "parquet":
        write_parquet(path, rows)
    else:
        text = write_csv(tmp_path / "plain.csv", rows).read_bytes()
        path.write_bytes(gzip.compress(text) if kind == "csv.gz" else text)
    (file,) = load_candle_file(path)
    assert (file.exchange, file.symbol, file.quote, file.timeframe_us) == ("binance", "BTC/USDT", "USDT", MINUTE_US)
    assert file.time_us.tolist() == [row[0] * 1000 for row in rows]
    for column, role in enumerate(("open", "high", "low", "close", "volume"), start=1):
        values = getattr(file, role)
        assert values.dtype == np.float64 and values.tolist() == [row[column] for row in rows]
    assert file.gaps == [] and file.notes == []


BAD_ROWS: list[tuple[int, object, str]] = [
    (1, None, "row 3: open is missing"),
    (2, "x", "row 3: high 'x' is not a number"),
    (2, "nan", "row 3: high is nan"),
    (4, "inf", "row 3: close is inf"),
    (3, 0, "row 3: low 0.0 is not above 0"),
    (1, -5, "row 3: open -5.0 is not above 0"),
    (5, -1, "row 3: volume -1.0 is negative"),
    (5, "", "row 3: volume is missing"),
    (5, "-inf", "row 3: volume is -inf"),
    (2, 90, "row 3: high 90.0 < low 98.0"),
    (1, 103, "row 3: open 103.0 is outside low 98.0 to high 102.0"),
    (4, 97, "row 3: close 97.0 is outside low 98.0 to high 102.0"),
    (0, None, "row 3: time is missing"),
    (0, "noon", "row 3: time 'noon' is not a number"),
    (0, "1.73569E+12", "row 3: time '1.73569E+12' is not a number"),
    (0, -1, "row 3: time '-1' is not a number"),
    (0, 42, "row 3: time 42 is not in 2000 to 2100"),
    (0, START_MS * 1000, "row 3: the time unit changes from ms to us"),
    (0, START_MS + MINUTE_MS, "row 3: the same time as row 2, 2025-01-01T00:01:00Z"),
    (0, START_MS - MINUTE_MS, "row 3: time goes back from 2025-01-01T00:01:00Z to 2024-12-31T23:59:00Z"),
    (0, START_MS + 2 * MINUTE_MS + 7, "row 3: time 2025-01-01T00:02:00Z is off the 1m grid"),
]


@pytest.mark.parametrize(("column", "value", "expected"), BAD_ROWS)
def test_a_bad_value_names_file_row_and_reason(tmp_path: Path, column: int, value: object, expected: str) -> None:
    path = write_csv(tmp_path / f"{NAME}.csv", changed(bars(9), 2, column, value))
    assert refusal(path).startswith(f"{NAME}.csv: {expected}")


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [(1, None, "row 3: open is missing"), (2, math.nan, "row 3: high is nan"), (3, math.inf, "row 3: low is inf")],
)
def test_parquet_rows_are_checked_too(tmp_path: Path, column: int, value: object, expected: str) -> None:
    path = write_parquet(tmp_path / f"{NAME}.parquet", changed(bars(5), 2, column, value))
    assert refusal(path).startswith(f"{NAME}.parquet: {expected}")


def test_the_first_bad_row_is_reported(tmp_path: Path) -> None:
    rows = changed(changed(bars(9), 6, 1, "x"), 4, 5, -1)
    assert "row 5: volume" in refusal(write_csv(tmp_path / f"{NAME}.csv", rows))


def test_missing_and_doubled_columns(tmp_path: Path) -> None:
    short = write_csv(tmp_path / f"{NAME}.csv", [row[:5] for row in bars(3)], "time,open,high,low,close")
    assert "missing column volume (it has: time, open, high, low, close)" in refusal(short)
    twice = write_csv(tmp_path / f"{NAME}.csv", [(*row, 1) for row in bars(3)], HEADER + ",Close")
    assert "two columns named 'close'" in refusal(twice)


def test_files_that_are_not_files(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / f"{NAME}.csv")
    (tmp_path / f"{NAME}.parquet").mkdir()
    assert "is a directory" in refusal(tmp_path / f"{NAME}.parquet")
    (tmp_path / f"{NAME}.xlsx").write_text("x")
    assert "not a candle file" in refusal(tmp_path / f"{NAME}.xlsx")


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet"])
def test_an_empty_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"{NAME}.{kind}"
    path.write_bytes(b"")
    assert "the file is empty" in refusal(path)


def test_a_header_alone(tmp_path: Path) -> None:
    assert "no rows" in refusal(write_csv(tmp_path / f"{NAME}.csv", []))
    assert "no rows" in refusal(_empty_parquet(tmp_path))


def _empty_parquet(tmp_path: Path) -> Path:
    import duckdb

    path = tmp_path / f"{NAME}.parquet"
    columns = ", ".join(f"1.0 AS {name}" for name in HEADER.split(","))
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"COPY (SELECT {columns} WHERE false) TO '{path}' (FORMAT parquet)")
    return path


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_parquet_is_refused_without_the_machines_paths(tmp_path: Path, share: float) -> None:
    path = write_parquet(tmp_path / f"{NAME}.parquet", bars(500))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    text = refusal(path)
    assert "cannot be read" in text and str(tmp_path) not in text


def test_a_damaged_gzip_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(write_csv(tmp_path / "plain.csv", bars(500)).read_bytes())
    for damaged in (whole[: len(whole) // 2], whole[:-8] + b"\0" * 8, b"plain text, no gzip"):
        path = tmp_path / f"{NAME}.csv.gz"
        path.write_bytes(damaged)
        assert "not a whole gzip file" in refusal(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"time,open,high,low,close,volume\n\xff\xfe,1,2\n", "UTF-8"),
        (b"1735689600000,1,2,1,2\n", "no header and 5 columns"),
        (b"\n\n", "the first line is empty"),
        (HEADER.encode() + b"\n1735689600000,1,2,1\n", "line 2: 4 columns instead of 6"),
        (HEADER.encode() + b"\n1735689600000,1,2,1,1,1,9\n", "line 2: 7 columns instead of 6"),
        (HEADER.encode() + b'\n1735689600000,1,2,1,1,"1\n', "a quote is never closed"),
    ],
)
def test_damaged_text(tmp_path: Path, text: bytes, expected: str) -> None:
    path = tmp_path / f"{NAME}.csv"
    path.write_bytes(text)
    assert expected in refusal(path)


def test_no_permission_is_one_line(tmp_path: Path) -> None:
    """Root reads everything, so a child gives its rights up first."""
    path = write_csv(tmp_path / f"{NAME}.csv", bars(3))
    path.chmod(0)
    tmp_path.chmod(0o711)
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
            load_candle_file(path)
            os._exit(1)
        except FeedError as error:
            os._exit(0 if str(error).startswith(f"{NAME}.csv: permission denied (") else 2)
        finally:
            os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(("unit", "factor"), [("s", 0.001), ("ms", 1), ("us", 1000), ("ns", 1_000_000)])
def test_time_units_are_told_apart(tmp_path: Path, unit: str, factor: float) -> None:
    rows = [(int(row[0] * factor), *row[1:]) for row in bars(3)]
    for path in (
        write_csv(tmp_path / f"{NAME}.csv", rows),
        write_parquet(tmp_path / f"{NAME}.parquet", rows),
        write_parquet(tmp_path / f"{NAME}_double.parquet", rows, "DOUBLE"),
    ):
        (file,) = load_candle_file(path)
        assert file.time_us.tolist() == [row[0] * 1000 for row in bars(3)]
        assert file.notes == ([] if unit == "ms" else [f"time is in {unit}"])


def test_timestamps_and_iso_text(tmp_path: Path) -> None:
    expected = [row[0] * 1000 for row in bars(2)]
    iso = ["2025-01-01T00:00:00Z", "2025-01-01 02:01:00+02:00"]
    rows: list[Row] = [(text, *row[1:]) for text, row in zip(iso, bars(2), strict=True)]
    (file,) = load_candle_file(write_csv(tmp_path / f"{NAME}.csv", rows, HEADER.replace("time", "Date")))
    assert file.time_us.tolist() == expected and "time is ISO text, read as UTC" in file.notes
    naive = [
        (text, *row[1:]) for text, row in zip(["2025-01-01 00:00:00", "2025-01-01 00:01:00"], bars(2), strict=True)
    ]
    for kind in ("TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP_MS"):
        (file,) = load_candle_file(write_parquet(tmp_path / f"{NAME}.parquet", naive, kind))
        assert file.time_us.tolist() == expected
    bad = write_csv(tmp_path / f"{NAME}.csv", [*rows, ("2025-13-01", *bars(1)[0][1:])])
    assert "row 3: time '2025-13-01' is not a number" in refusal(bad)


def test_binance_vision_without_a_header(tmp_path: Path) -> None:
    rows = [(t, o, h, lo, c, v, t + 59_999, 1, 2, 3, 4, 0) for t, o, h, lo, c, v in bars(4)]
    (file,) = load_candle_file(write_csv(tmp_path / "BTCUSDT-1m-2025-01-01.csv", rows, None))
    assert (file.exchange, file.symbol, len(file.time_us)) == ("binance", "BTC/USDT", 4)
    assert file.notes[0].startswith("no header")


def test_other_headers_delimiters_and_marks(tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}.CSV"
    lines = ["\ufeffOpen Time;Open;High;Low;Close;Volume;junk"] + [";".join(map(str, (*r, "x"))) for r in bars(3)]
    path.write_bytes("\r\n".join(lines).encode())
    (file,) = load_candle_file(path)
    assert len(file.time_us) == 3 and file.close.tolist() == [101.0] * 3


def test_wildcards_and_quotes_in_a_path_are_only_characters(tmp_path: Path) -> None:
    folder = tmp_path / "it's [a] *?"
    folder.mkdir()
    write_csv(tmp_path / f"{NAME}.csv", bars(9))
    (file,) = load_candle_file(write_csv(folder / f"{NAME}.csv", bars(3)))
    assert len(file.time_us) == 3
    (file,) = load_candle_file(write_parquet(tmp_path / f"{NAME}_[1].parquet", bars(4)))
    assert len(file.time_us) == 4


def test_several_series_from_columns(tmp_path: Path) -> None:
    rows = [(*row, "bybitlinear", name) for row in bars(4) for name in ("ETHUSDT", "BTCUSDT")]
    rows.pop(5)  # BTCUSDT's third bar
    files = load_candle_file(write_csv(tmp_path / "mixed.csv", rows, HEADER + ",Exchange,Pair"))
    assert [(file.exchange, file.symbol) for file in files] == [
        ("bybitlinear", "ETH/USDT:USDT"),
        ("bybitlinear", "BTC/USDT:USDT"),
    ]
    assert [len(file.time_us) for file in files] == [4, 3] and files[0].timeframe_us == MINUTE_US
    start = (START_MS + 2 * MINUTE_MS) * 1000
    assert files[1].gaps == [Gap(start, start + MINUTE_US, 1, "bybitlinear", "BTC/USDT:USDT")]
    rows[3] = (rows[1][0], *rows[3][1:])
    assert "row 4: the same time as row 2" in refusal(
        write_csv(tmp_path / "mixed.csv", rows, HEADER + ",exchange,pair")
    )
    rows[1] = (*rows[1][:7], "")
    assert "row 2: symbol is empty" in refusal(write_csv(tmp_path / "mixed.csv", rows, HEADER + ",exchange,pair"))


def test_a_timeframe_column_may_hold_two(tmp_path: Path) -> None:
    rows = [(*row, "1m") for row in bars(3)] + [(*row, "1h") for row in bars(3, step_ms=3_600_000)]
    files = load_candle_file(write_csv(tmp_path / "kraken_ETHEUR_1m.csv", rows, HEADER + ",timeframe"))
    assert [file.timeframe_us for file in files] == [MINUTE_US, HOUR_US]


def test_a_name_that_says_nothing(tmp_path: Path) -> None:
    text = refusal(write_csv(tmp_path / "prices.csv", bars(3)))
    assert "no exchange and no symbol" in text and "binance_BTCUSDT_1m" in text


def test_timeframe_against_the_data(tmp_path: Path) -> None:
    text = refusal(write_csv(tmp_path / "binance_BTCUSDT_5m.csv", bars(9)))
    assert "timeframe 5m stated but bars are 1m apart" in text
    text = refusal(write_csv(tmp_path / "binance_BTCUSDT_1m.csv", bars(9, step_ms=3_600_000)))
    assert "timeframe 1m stated but bars are 1h apart" in text
    assert "timeframe 7m is not known" in refusal(write_csv(tmp_path / "binance_BTCUSDT_7m.csv", bars(9)))
    rows = [(*row, "kraken", "XBTUSD") for row in bars(3, step_ms=7 * MINUTE_MS)]
    assert "bars are 7m apart" in refusal(write_csv(tmp_path / "x.csv", rows, HEADER + ",exchange,symbol"))
    assert "one bar alone" in refusal(write_csv(tmp_path / "x.csv", rows[:1], HEADER + ",exchange,symbol"))


def test_gaps_are_listed_and_not_filled(tmp_path: Path) -> None:
    rows = [row for i, row in enumerate(bars(20)) if i not in (5, 6, 7, 15)]
    (file,) = load_candle_file(write_csv(tmp_path / f"{NAME}.csv", rows))
    at = START_MS * 1000
    assert len(file.time_us) == 16
    assert [(gap.from_ts - at, gap.to_ts - at, gap.bars) for gap in file.gaps] == [
        (5 * MINUTE_US, 8 * MINUTE_US, 3),
        (15 * MINUTE_US, 16 * MINUTE_US, 1),
    ]


def test_a_sparse_venue_keeps_its_timeframe(tmp_path: Path) -> None:
    rows = [row for i, row in enumerate(bars(40)) if i % 3 == 0 or i == 1]
    (file,) = load_candle_file(write_csv(tmp_path / f"{NAME}.csv", rows))
    assert file.timeframe_us == MINUTE_US and sum(gap.bars for gap in file.gaps) == 40 - len(rows)


@pytest.mark.parametrize(
    ("name", "symbol", "quote"),
    [
        ("hyperliquid_kPEPE_1m", "kPEPE", "USD"),
        ("binance_币安人生USDT_1m", "币安人生/USDT", "USDT"),
        ("ftx_BTCPERP_1m", "BTCPERP", "USD"),
    ],
)
def test_unusual_symbols_survive(tmp_path: Path, name: str, symbol: str, quote: str) -> None:
    (file,) = load_candle_file(write_csv(tmp_path / f"{name}.csv", bars(3)))
    assert (file.symbol, file.quote) == (symbol, quote)


def test_escapes_never_come_through(tmp_path: Path) -> None:
    rows = [(*row, "kraken", "\x1b]0;pwned\x07BTC") for row in bars(3)]
    (file,) = load_candle_file(write_csv(tmp_path / "x_y_1m.csv", rows, HEADER + ",exchange,symbol"))
    assert "\x1b" not in file.symbol and "\x07" not in file.symbol
    bad = write_csv(tmp_path / "\x1b[31mred_BTCUSDT_1m.csv", changed(bars(3), 1, 1, "\x1b[2J"))
    with pytest.raises(FeedError) as caught:
        load_candle_file(bad)
    assert "\x1b" not in str(caught.value) and "row 2" in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    for kind in ("csv", "csv.gz", "parquet"):
        path = folder / f"{NAME}.{kind}"
        path.write_bytes(HEADER.encode() + b"\n" + data if kind == "csv" else data)
        with pytest.raises(FeedError):
            load_candle_file(path)
