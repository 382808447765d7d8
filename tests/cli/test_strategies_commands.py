"""`quantsail strategies ...`, run as the program: what is installed, the examples, and what a check says of a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from engine.cli.exits import Exit
from engine.core.rules import parse_rules
from tests import commands
from tests.core.test_strategy_plugins import MODULE, install

ROOT = Path(__file__).resolve().parents[2]
RULES: dict[str, Any] = {
    "schema": 1,
    "indicators": {
        "fast": {"fn": "EMA", "params": {"timeperiod": 12}},
        "slow": {"fn": "SMA", "params": {"timeperiod": 5}, "timeframe": "1h"},
    },
    "entry_long": {"op": "crosses_above", "left": "fast", "right": "slow"},
    "exit_long": {"op": "lt", "left": "bias_1h", "right": 0},
}


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugins")
    points = {"turtle": "qs_cli_plugin:Turtle", "gone": "qs_cli_plugin:Gone"}
    install(folder, "qs-cli-plugin", points, qs_cli_plugin=MODULE + "print('hello from a package')\n")
    return folder


def run(plugins: Path, *words: str) -> tuple[int, str, str]:
    paths = os.pathsep.join([str(ROOT), str(plugins)])
    done = commands.run(("strategies", *words), env=os.environ | {"PYTHONPATH": paths}, cwd=plugins)
    assert "hello" not in done.stdout  # whatever a package prints, stdout is ours
    return done.returncode, done.stdout, done.stderr.replace("hello from a package\n", "")


def stored(folder: Path, document: Any) -> str:
    path = folder / "document.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return str(path)


def test_the_list_has_what_is_installed_and_the_examples(plugins: Path) -> None:
    code, out, _ = run(plugins, "list")
    assert code == Exit.OK
    assert any("turtle" in line and "qs-cli-plugin 1.2  Buys new highs." in line for line in out.splitlines())
    assert any("gone" in line and "cannot be loaded" in line for line in out.splitlines())
    found = json.loads(run(plugins, "list", "--json")[1])
    assert {"breakout", "reversion", "trend"} <= set(found["examples"])
    turtle = next(each for each in found["installed"] if each["name"] == "turtle")
    assert turtle["params"]["properties"]["bars"]["default"] == 20


def test_an_example_is_shown_as_it_is_read(plugins: Path) -> None:
    code, out, _ = run(plugins, "show", "trend")
    assert code == Exit.OK and parse_rules(json.loads(out)).entry_long is not None
    code, out, err = run(plugins, "show", "trent")
    assert (code, out) == (Exit.REFUSED, "") and "did you mean 'trend'?" in err


def test_a_check_tells_rules_warm_up_indicators_and_features(plugins: Path, tmp_path: Path) -> None:
    path = stored(tmp_path, RULES)
    code, out, err = run(plugins, "check", path)
    assert (code, err) == (Exit.OK, "")
    assert out.splitlines() == [
        f"rules {parse_rules(RULES).sha256[:12]} is valid",
        "  warm-up     360 bars of 1m (6.0 hours)",
        "  rules       entry_long, exit_long",
        "  indicators  fast = EMA(timeperiod=12)",
        "              slow = SMA(timeperiod=5) on 1h",
        "  features    bias_1h",
    ]
    found = json.loads(run(plugins, "check", path, "--timeframe", "5m", "--json")[1])
    (only,) = found["strategies"]
    assert (found["valid"], only["warmup_bars"], only["features"]) == (True, 241, ["bias_1h"])


def test_a_check_of_a_config_speaks_of_every_bot(plugins: Path, tmp_path: Path) -> None:
    bots = [
        {"name": "ruled", "strategy": RULES},
        {"name": "coded", "strategy": {"python": "turtle", "params": {"bars": 7}}},
    ]
    code, out, err = run(plugins, "check", stored(tmp_path, {"schema": 1, "warmup_factor": 40, "bots": bots}))
    assert (code, err) == (Exit.OK, "")
    assert "bot ruled: rules" in out and "warm-up     481 bars of 1m" in out
    assert "bot coded: python turtle" in out and "warm-up     7 bars of 1m" in out


@pytest.mark.parametrize(
    ("document", "more", "code", "says"),
    [
        ("{", (), Exit.REFUSED, "not JSON"),
        ([], (), Exit.REFUSED, "$: must be an object"),
        (RULES | {"entry_lng": {}}, (), Exit.REFUSED, "$.entry_lng: unknown key 'entry_lng'; did you mean 'entry_long'?"),
        (RULES, ("--timeframe", "4h"), Exit.REFUSED, "timeframe 1h is shorter than the stream's bars of 4h"),
        (RULES, ("--timeframe", "1x"), Exit.USAGE, "unknown timeframe '1x'"),
        ({"schema": 1, "bots": [{"name": "a", "strategy": RULES | {"schema": 2}}]}, (), Exit.REFUSED,
         "$.bots[0].strategy.schema: this version reads schema 1"),
        ({"schema": 1, "bots": [{"name": "a", "strategy": {"python": "turtel"}}]}, (), Exit.REFUSED,
         "bot a: unknown strategy 'turtel'; did you mean 'turtle'?"),
        ({"schema": 1, "bots": [{"name": "a", "strategy": {"python": "turtle", "params": {"bars": 0}}}]}, (),
         Exit.REFUSED, "params.bars: Input should be greater"),
        ({"schema": 1, "bots": [{"name": "a", "strategy": {"python": "gone"}}]}, (), Exit.REFUSED, "cannot be loaded"),
    ],
)  # fmt: skip
def test_a_fault_is_one_line_with_file_and_place(
    plugins: Path, tmp_path: Path, document: Any, more: tuple[str, ...], code: Exit, says: str
) -> None:
    found, out, err = run(plugins, "check", stored(tmp_path, document), *more)
    assert (found, out) == (code, "") and says in err and len(err.splitlines()) == 1


def test_a_file_that_is_not_there(plugins: Path, tmp_path: Path) -> None:
    code, _, err = run(plugins, "check", str(tmp_path / "nothing.json"))
    assert code == Exit.REFUSED and "No such file" in err
