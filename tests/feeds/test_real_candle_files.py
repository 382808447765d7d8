"""The recorded files, where they are beside the repository: each loads, with the gaps that were counted for it, or is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from engine.core.types import MINUTE_US
from engine.feeds.base import FeedError
from engine.feeds.files import load_candle_file
from engine.feeds.replay import ReplayFeed
from engine.instruments import instrument_for

ROOT = Path(__file__).resolve().parents[2]
OHLCV = ROOT.parent / "shared" / "data" / "ohlcv"
FILES = sorted([*OHLCV.glob("*.parquet"), *OHLCV.glob("raw_binance_vision/*.csv.gz")])

pytestmark = pytest.mark.skipif(not FILES, reason="no recorded candles beside the repository")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_recorded_file_loads(path: Path) -> None:
    (file,) = load_candle_file(path)
    steps = np.diff(file.time_us)
    assert (steps > 0).all() and (steps % file.timeframe_us == 0).all()
    span = (int(file.time_us[-1]) - int(file.time_us[0])) // file.timeframe_us + 1
    assert len(file.time_us) + sum(gap.bars for gap in file.gaps) == span
    assert (file.low > 0).all() and (file.low <= file.high).all() and (file.volume >= 0).all()
    assert not np.signbit(file.volume).any()


def test_outages_are_those_of_the_manifest() -> None:
    index = OHLCV / "GAPS_binance_BTCUSDT_1m.json"
    path = OHLCV / "binance_BTCUSDT_1m_2020-2021.parquet"
    if not index.exists() or not path.exists():
        pytest.skip("the long file or its index of outages is not here")
    (file,) = load_candle_file(path)
    known = json.loads(index.read_text())["binance_BTCUSDT_1m_2020-2023.parquet"]
    last = int(file.time_us[-1])
    expected = []
    for run in known:
        resumes = datetime.strptime(run["resumes"], "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
        to_ts = int(resumes.timestamp()) * 1_000_000
        if to_ts <= last:
            expected.append((to_ts, run["minutes"]))
    assert [(gap.to_ts, gap.bars) for gap in file.gaps] == expected


def test_vision_days_join_over_the_change_of_unit() -> None:
    paths = [OHLCV / "raw_binance_vision" / f"BTCUSDT-1m-{day}.csv.gz" for day in ("2025-01-01", "2024-12-31")]
    if not all(path.exists() for path in paths):
        pytest.skip("the pair of files is not here")
    feed = ReplayFeed.open(paths)
    assert feed.total == 2 * 1440 and feed.gaps == ()
    assert feed.last_ts is not None and feed.first_ts is not None
    assert feed.last_ts - feed.first_ts == (2 * 1440 - 1) * MINUTE_US


def test_recorded_prices_and_volumes_are_on_the_bundled_steps() -> None:
    """The bundled rules against what Binance traded in 2025 (rules are never inferred from this: it only checks them)."""
    paths = [path for path in FILES if path.name.startswith("binance_") and path.name.endswith("_1h.parquet")]
    if not paths:
        pytest.skip("no hourly files")
    for path in paths:
        (file,) = load_candle_file(path)
        rules = instrument_for(file.exchange, file.symbol)
        assert rules.source == "bundled"
        for values, step, share in ((file.close, rules.tick_size, 1.0), (file.volume, rules.lot_size, 0.99)):
            ratio = values / float(step)
            on_step = np.abs(ratio - np.rint(ratio)) < 1e-3
            # a few of the largest volumes were rounded to nine digits by the recorder
            assert on_step.mean() >= share, f"{path.name}: not on {step}"


def test_files_of_other_shapes_are_refused_in_one_line() -> None:
    others = sorted((OHLCV.parent / "reference").glob("*/*.csv.gz"))
    if not others:
        pytest.skip("no reference files")
    for path in others:
        with pytest.raises(FeedError, match="no exchange and no symbol"):
            load_candle_file(path)
