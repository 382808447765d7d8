"""Files of cases from anywhere: cases come out, or one line that says where the file is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from db.memory import MemoryJournal
from engine.case_files import CaseError, read_cases
from engine.cases import run_case
from engine.cli.backtest_cases import run_cases
from engine.cli.exits import Exit
from tests import commands

ROOT = Path(__file__).resolve().parents[2]
CANDLE = {"open": 10, "high": 11, "low": 9, "close": 10}


def case(**fields: Any) -> str:
    return json.dumps([{"id": "a", "candles": [CANDLE], "stop_loss": -0.1} | fields])


def candle(**fields: Any) -> str:
    return case(candles=[CANDLE, CANDLE | fields])


HOSTILE = [
    ("", "$: not JSON"),
    ("[{", "$: not JSON"),
    ("[" * 200_000, "$: not JSON"),
    ("null", "$: must be a list of cases, not null"),
    ("{}", "$: must be a list of cases, not an object"),
    ("[1]", "$[0]: must be an object, not a number"),
    ('[{"id": "a"}, "x"]', "$[0].candles: must be a list, not null"),
    (case(candles={}), "$[0].candles: must be a list, not an object"),
    (case(candles=[CANDLE, []]), "$[0].candles[1]: must be an object, not a list"),
    (case(candles=[{"open": 1}]), "$[0].candles[0].high: is missing"),
    (candle(open="10"), "$[0].candles[1].open: must be a number, not text"),
    (candle(open=True), "$[0].candles[1].open: must be a number, not true or false"),
    (candle(low=0), "$[0].candles[1].low: must not be 0"),
    (candle(low=1e-400), "$[0].candles[1].low: must not be 0"),
    (candle(low=-1), "$[0].candles[1].low: must be a number from 0 to"),
    (candle(high=9.5), "$[0].candles[1].high: is below another price"),
    (candle(low=10.5), "$[0].candles[1].low: is above another price"),
    (candle(volume=-1), "$[0].candles[1].volume: must be a number from 0"),
    (candle(enter_long=2), "$[0].candles[1].enter_long: must be true, false, 1 or 0"),
    (candle(enter_long="1"), "$[0].candles[1].enter_long: must be true, false, 1 or 0, not text"),
    (candle(enter_tag=5), "$[0].candles[1].enter_tag: must be printable text"),
    (candle(enter_tag="a\u001bb"), "$[0].candles[1].enter_tag: must be printable text"),
    (candle(enter_tag="x" * 256), "$[0].candles[1].enter_tag: must be printable text"),
    ('[{"id": "\\ud800", "candles": [], "stop_loss": -0.1}]', "$[0].id: must be printable text"),
    (case(id=[]), "$[0].id: must be printable text"),
    (case(id=True), "$[0].id: must be printable text"),
    (case(stop_loss=None), "$[0].stop_loss: is missing"),
    (case(stop_loss=0), "$[0].stop_loss: must not be 0"),
    (case(stop_loss=-1.5), "$[0].stop_loss: must be a number from -1 to 1"),
    (case().replace("-0.1", "NaN"), "$[0].stop_loss: must be a number from -1 to 1"),
    (case().replace("-0.1", "-Infinity"), "$[0].stop_loss: must be a number from -1 to 1"),
    (case().replace("-0.1", "1e999999"), "$[0].stop_loss: must be a number from -1 to 1"),
    (case().replace("-0.1", "1" * 5000), "$"),
    (case(roi=[]), "$[0].roi: must be an object of minutes and ratios, not a list"),
    (case(roi={"soon": 1}), "$[0].roi.soon: a key of roi is a number of minutes"),
    (case(roi={"-5": 1}), "$[0].roi.-5: a key of roi is a number of minutes"),
    (case(roi={"\u0663": 1}), "$[0].roi.\u0663: a key of roi is a number of minutes"),
    (case(roi={"1" * 40: 1}), "$[0].roi.1111"),
    (case(roi={"0": "x"}), "$[0].roi.0: must be a number, not text"),
    (case(roi={"0": -2}), "$[0].roi.0: must be a number from -1"),
    (case(timeframe_minutes=0), "$[0].timeframe_minutes: must be a number from 1"),
    (case(timeframe_minutes=1.5), "$[0].timeframe_minutes: must be a whole number"),
    (case(timeout=-1), "$[0].timeout: must be a number from 0"),
    (case(leverage=0.5), "$[0].leverage: must be a number from 1 to 125"),
    (case(leverage=126), "$[0].leverage: must be a number from 1 to 125"),
    (case(trailing_stop="yes"), "$[0].trailing_stop: must be true, false, 1 or 0, not text"),
    (case(trailing_stop_positive=0), "$[0].trailing_stop_positive: must not be 0"),
    (case(custom_entry_price=0), "$[0].custom_entry_price: must not be 0"),
    (case(adjust_trade_position=[None, "1"]), "$[0].adjust_trade_position[1]: must be a number, not text"),
    (case(adjust_trade_position=5), "$[0].adjust_trade_position: must be a list, not a number"),
    (case(stake_amount=0), "$[0].stake_amount: must be a number from 0.000001"),
    (case(stop_los=1), "$[0].stop_los: did you mean 'stop_loss'?"),
    (case(custom_entry_prise=1), "$[0].custom_entry_prise: did you mean 'custom_entry_price'?"),
]


@pytest.mark.parametrize(("text", "says"), HOSTILE)
def test_a_file_that_is_no_cases_says_where(text: str, says: str) -> None:
    with pytest.raises(CaseError) as caught:
        read_cases(text)
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)


def test_remarks_are_passed_over_and_defaults_are_those_of_the_format() -> None:
    one, two = read_cases(
        json.dumps(
            [
                {"candles": [], "stop_loss": 0.1, "expect": [], "why": "x", "comment": 1, "source": None},
                {
                    "id": 7,
                    "candles": [CANDLE | {"date": "x", "enter_long": True}],
                    "stop_loss": -0.1,
                    "roi": None,
                    "timeout": None,
                    "custom_entry_price": None,
                    "trailing_stop_positive": None,
                    "leverage": 3,
                    "adjust_trade_position": [None, 0.5, -1],
                },
            ]  # fmt: skip
        )
    )
    assert (one.id, one.timeframe_minutes, one.leverage, str(one.stake_amount)) == (0, 60, 1, "0.001")
    assert (one.roi, one.timeout, one.use_exit_signal, one.custom_exit_price) == ({}, None, False, None)
    assert (two.id, two.leverage, two.signals) == (7, 3, (1,))
    assert [float(x) for x in two.adjust_trade_position] == [0, 0.5, -1]


def test_an_empty_list_is_no_case() -> None:
    assert read_cases(" [] ") == []


def run(path: Path, *words: str) -> tuple[int, str, str]:
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = commands.run(("backtest", "--cases", str(path), *words), env=env, cwd=ROOT)
    return done.returncode, done.stdout, done.stderr


def test_the_command_refuses_in_one_line(tmp_path: Path) -> None:
    bad, binary = tmp_path / "bad.json", tmp_path / "binary.json"
    bad.write_text(case(leverage=0), encoding="utf-8")
    binary.write_bytes(b"\xff\xfe\x00")
    for path, says in ((bad, "$[0].leverage"), (binary, "not UTF-8 text"), (tmp_path, "directory"),
                       (tmp_path / "none.json", "No such file")):  # fmt: skip
        code, out, err = run(path, "--json")
        assert (code, out) == (Exit.USAGE, "")
        assert says in err and len(err.splitlines()) == 1 and "Traceback" not in err
    code, out, err = run(bad, "--replay", "x.csv")
    assert code == Exit.USAGE and "leave --replay" in err


def test_a_case_that_the_engine_gives_up_on_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cases.json"
    file.write_text(case(id="odd"), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as left:
        patch.setattr("engine.cases.config_of", lambda case: 1 // 0)
        run_cases(file, as_json=True)
    assert left.value.code == Exit.REFUSED and "case odd: " in capsys.readouterr().err


def test_the_table_of_no_cases_is_a_header_and_a_sum(tmp_path: Path) -> None:
    file = tmp_path / "none.json"
    file.write_text("[]", encoding="utf-8")
    code, out, err = run(file)
    assert (code, err, len(out.splitlines())) == (Exit.OK, "", 2)


PRICES = st.lists(st.integers(80, 120), min_size=4, max_size=4)
RATIOS = st.sampled_from([0.01, 0.02, 0.05, 0.1, 0.3])
MAYBE = st.none() | st.integers(85, 115)


@st.composite
def any_case(draw: st.DrawFn) -> dict[str, Any]:
    candles = []
    for prices in draw(st.lists(PRICES, min_size=0, max_size=10)):
        row: dict[str, Any] = dict(zip(("open", "close"), prices, strict=False))
        row["high"], row["low"] = max(prices), min(prices)
        for name in ("enter_long", "exit_long", "enter_short", "exit_short"):
            row[name] = draw(st.integers(0, 3)) == 0
        candles.append(row)
    return {
        "id": "any", "candles": candles, "stop_loss": -draw(RATIOS), "trailing_stop": draw(st.booleans()),
        "roi": draw(st.dictionaries(st.sampled_from(["0", "59", "60", "120"]), RATIOS | st.just(-1))),
        "trailing_only_offset_is_reached": draw(st.booleans()), "trailing_stop_positive": draw(st.none() | RATIOS),
        "trailing_stop_positive_offset": draw(RATIOS | st.just(0)), "use_exit_signal": draw(st.booleans()),
        "leverage": draw(st.sampled_from([1, 2, 3, 10])), "timeout": draw(st.sampled_from([None, 0, 60, 100, 1000])),
        "custom_entry_price": draw(MAYBE), "custom_exit_price": draw(MAYBE), "adjust_entry_price": draw(MAYBE),
        "adjust_exit_price": draw(MAYBE), "stake_amount": 10,
        "adjust_trade_position": draw(st.none() | st.lists(st.sampled_from([None, 5, -3, -10, 20]), max_size=10)),
    }  # fmt: skip


@given(any_case())
def test_any_case_trades_only_what_its_candles_have_traded(row: dict[str, Any]) -> None:
    (parsed,) = read_cases(json.dumps([row]))
    trades = run_case(parsed, MemoryJournal())
    closed = -1
    for t in trades:
        assert 1 <= t.open_tick <= t.close_tick < len(row["candles"])
        assert t.open_tick < len(row["candles"]) - 1
        leaving = row["candles"][t.close_tick]
        assert leaving["low"] - 1e-9 <= t.close_rate <= leaving["high"] + 1e-9
        assert t.open_tick >= closed  # one at a time; a reversal begins in the candle that ends the one before
        closed = t.close_tick
        gain = (t.close_rate / t.open_rate - 1) * row["leverage"] * (-1 if t.is_short else 1)
        if not row["adjust_trade_position"]:
            assert t.profit_ratio == pytest.approx(gain, abs=1e-9)
