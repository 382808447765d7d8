"""`quantsail backtest`: a config over files, without a ledger; what it says agrees with the journal that it writes."""

from __future__ import annotations

import json
import os
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from engine.cli.exits import Exit
from engine.core import events as ev
from engine.core.config import canonical
from tests import commands
from tests.chaos.market import config, write_files
from tests.core.test_strategy_plugins import MODULE, install

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two symbols of 300 bars, and a config that trades them often."""
    home = tmp_path_factory.mktemp("backtest")
    write_files(home, 300, 3)
    (home / "config.json").write_bytes(canonical(config()))
    return home


def run(folder: Path, *words: str, path: str = str(ROOT)) -> tuple[int, str, str]:
    files = [str(file) for file in sorted(folder.glob("*.csv"))]
    replay = ["--replay", *files] if "--replay" not in words else []
    env = os.environ | {"PYTHONPATH": path, "XDG_DATA_HOME": str(folder / "home")}
    done = commands.run(("backtest", *replay, *words), env=env, cwd=folder)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def played(folder: Path) -> tuple[dict[str, Any], list[ev.Event]]:
    code, out, err = run(folder, "--config", "config.json", "--json", "--events", "events.jsonl")
    assert (code, err) == (Exit.OK, "")
    return json.loads(out), [ev.decode(line) for line in (folder / "events.jsonl").read_bytes().splitlines()]


def test_the_result_agrees_with_the_journal(played: tuple[dict[str, Any], list[ev.Event]]) -> None:
    result, events = played
    closed = [e for e in events if isinstance(e, ev.PositionClosed)]
    filled = [e for e in events if isinstance(e, ev.OrderFilled)]
    assert (result["candles"], result["events"]) == (600, len(events))
    assert (result["trades"], result["fills"]) == (len(closed), len(filled)) and len(closed) > 10
    assert D(result["fees"]) == sum(e.fee for e in filled)
    assert D(result["net_pnl"]) == sum(e.realized_pnl for e in closed)
    if result["open_positions"] == 0:
        assert D(result["final_equity"]) == D(10_000) + D(result["net_pnl"])
    sampled = [e.drawdown for e in events if isinstance(e, ev.EquitySampled)]
    assert D(result["max_drawdown_pct"]) >= max(sampled) * 100
    assert result["bots"]["crosser"]["trades"] == result["trades"]
    assert sum(each["trades"] for each in result["symbols"].values()) == result["trades"]
    assert sum(each["trades"] for each in result["exits"].values()) == result["trades"]
    assert result["denied"] == _denied(events)


def _denied(events: list[ev.Event]) -> dict[str, int]:
    codes = [e.code for e in events if isinstance(e, ev.OrderDenied)]
    return {code: codes.count(code) for code in codes}


def test_it_is_the_path_that_a_ledger_takes_and_the_same_again(
    folder: Path, played: tuple[dict[str, Any], list[ev.Event]]
) -> None:
    again = json.loads(run(folder, "--config", "config.json", "--json")[1])
    assert again == played[0]
    other = json.loads(run(folder, "--config", "config.json", "--balance", "500", "--json")[1])
    assert other["initial_balance"] == "500" and other["state_hash"] != again["state_hash"]
    assert [path.name for path in (folder / "home" / "quantsail").iterdir()] in ([], ["logs"])  # no ledger, no database


def test_a_person_reads_the_same(folder: Path, played: tuple[dict[str, Any], list[ev.Event]]) -> None:
    code, out, _ = run(folder, "--config", "config.json")
    assert code == Exit.OK
    assert f"trades      {played[0]['trades']}" in out and "bot crosser" in out and "symbol BTC/USDT" in out


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--replay",), Exit.USAGE, "requires an argument"),
        (("--replay", "none_BTCUSDT_1m.csv"), Exit.DATA, "none_BTCUSDT_1m.csv"),
        (("--balance", "-1"), Exit.USAGE, "--balance -1: give an amount above 0"),
        (("--config", "none.json"), Exit.REFUSED, "none.json: No such file"),
        (("--config", "other.json"), Exit.REFUSED, "$.bots[0].exit: unknown key 'exit'; did you mean 'exits'?"),
        (("--config", "elsewhere.json"), Exit.REFUSED, "the feed does not offer DOGE/USDT; it offers BTC/USDT, ETH/USDT"),
        (("--config", "coded.json"), Exit.REFUSED, "bot a: unknown strategy 'nope'"),
        (("--config", "seconds.json"), Exit.REFUSED, "bot a: timeframe 1s is shorter than the stream's bars of 1m"),
        (("--events", "no/such/folder.jsonl"), Exit.REFUSED, "No such file"),
        (("--cofig", "x"), Exit.USAGE, "--config"),
    ],
)  # fmt: skip
def test_a_refusal_is_one_line(folder: Path, words: tuple[str, ...], code: Exit, says: str) -> None:
    rules = {"schema": 1, "entry_long": {"op": "gt", "left": "close", "right": 1}}
    documents = {
        "other.json": {"name": "a", "strategy": rules, "exit": {}},
        "elsewhere.json": {"name": "a", "strategy": rules, "symbols": ["DOGE/USDT"]},
        "seconds.json": {"name": "a", "strategy": rules | {"indicators": {"x": {"fn": "SMA", "timeframe": "1s"}}}},
        "coded.json": {"name": "a", "strategy": {"python": "nope"}},
    }
    for name, bot in documents.items():
        (folder / name).write_text(json.dumps({"schema": 1, "bots": [bot]}))
    found, out, err = run(folder, *words)
    assert (found, out) == (code, "") and says in err and len(err.splitlines()) == 1


def test_without_files_there_is_nothing_to_test(folder: Path) -> None:
    done = commands.run(("backtest",), env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=folder)
    assert done.returncode == Exit.USAGE and "--replay FILE" in done.stderr


def test_a_python_strategy_trades_by_its_params(folder: Path, tmp_path: Path) -> None:
    """As installed; what it prints goes where it does not disturb."""
    noisy = MODULE.replace("self.highs.append(candle.high)", "self.highs.append(candle.high); print('bar')", 1)
    install(tmp_path, "qs-test-bt", {"turtle": "qs_bt_plugin:Turtle"}, qs_bt_plugin=noisy)
    bot = {"name": "t", "strategy": {"python": "turtle", "params": {"bars": 5}}}
    (folder / "turtle.json").write_text(json.dumps({"schema": 1, "bots": [bot]}))
    path = os.pathsep.join([str(ROOT), str(tmp_path)])
    code, out, err = run(folder, "--config", "turtle.json", "--json", path=path)
    assert code == Exit.OK and json.loads(out)["fills"] > 0 and err.startswith("bar\n")
    bot["strategy"]["params"] = {"bars": 1}  # type: ignore[index]
    (folder / "turtle.json").write_text(json.dumps({"schema": 1, "bots": [bot]}))
    code, out, err = run(folder, "--config", "turtle.json", path=path)
    assert (code, out) == (Exit.REFUSED, "") and "bot t: strategy 'turtle': params.bars" in err


_BREAKS = """
from engine.core.strategy import ENTER_LONG, Strategy


class Breaks(Strategy):
    warmup_bars = 2

    def __init__(self):
        self.seen = 0

    def on_bar(self, candle):
        self.seen += 1
        if self.seen == 30:
            raise ValueError("no \\x1b]0;owned\\x07number")
        return ENTER_LONG if self.seen == 3 else 0
"""


def test_a_bot_that_broke_is_named_and_the_command_fails(folder: Path, tmp_path: Path) -> None:
    """The other bot's figures stay, and each portfolio has its own."""
    install(tmp_path, "qs-test-breaks", {"breaks": "qs_breaks:Breaks"}, qs_breaks=_BREAKS)
    document = json.loads(canonical(config()))
    document["bots"].append({"name": "breaker", "strategy": {"python": "breaks"}, "portfolio": "second"})
    document["account"]["portfolios"] = [{"name": "second", "currency": "USDT", "initial_balance": "700"}]
    (folder / "broken.json").write_text(json.dumps(document))
    path = os.pathsep.join([str(ROOT), str(tmp_path)])
    code, out, err = run(folder, "--config", "broken.json", "--json", path=path)
    result = json.loads(out)
    assert (code, err) == (Exit.REFUSED, "")
    says = "bot breaker went to ERROR at 2025-01-01T00:30:00Z: ValueError: no number (qs_breaks.py:14 in on_bar)"
    assert [note for note in result["notes"] if "ERROR" in note] == [says]
    broken, other = result["bots"]["breaker"], result["bots"]["crosser"]
    assert (broken["status"], broken["portfolio"], broken["entries"]) == ("ERROR", "second", 2)
    assert (other["status"], other["portfolio"]) == ("RUNNING", "main") and other["trades"] > 10
    assert [p["portfolio"] for p in result["portfolios"]] == ["main", "second"]
    assert sum(D(bot["fees"]) for bot in result["bots"].values()) <= sum(D(p["fees"]) for p in result["portfolios"])
    code, out, _ = run(folder, "--config", "broken.json", path=path)
    assert code == Exit.REFUSED and f"note: {says}" in out
    assert "portfolio   second: 700" in out and "bot breaker (ERROR)" in out and "bot crosser " in out
