"""`quantsail run --headless`: what it prints, and what it refuses in one line with which exit status."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.cli.exits import Exit
from tests.chaos.market import config
from tests.cli.desk import BASE, Desk

KEYS = {
    "candles",
    "events",
    "orders",
    "fills",
    "trades",
    "equity",
    "state_hash",
    "ledger",
    "feed",
    "seed",
    "config_version",
}
HEADER = "time,open,high,low,close,volume\n"
T = 1_735_689_600_000


def test_json_has_the_promised_keys_and_money_without_padding(desk: Desk) -> None:
    again = desk.trade(BASE, "--json").json
    assert KEYS - {"seed"} <= again.keys()
    assert again["candles"] == 600 and again["trades"] > 10
    assert all(isinstance(again[key], int) for key in ("candles", "events", "orders", "fills", "trades"))
    assert re.fullmatch(r"\d+(\.\d*[1-9])?", again["equity"])
    assert re.fullmatch(r"[0-9a-f]{64}", again["state_hash"])


def test_plain_output_says_the_same(desk: Desk) -> None:
    plain, result = desk.trade(BASE), desk.trade(BASE, "--json").json
    lines = dict(line.split(maxsplit=1) for line in plain.out.splitlines())
    assert {key: lines[key] for key in KEYS & lines.keys()} == {key: str(result[key]) for key in KEYS & result.keys()}


def test_the_same_seed_and_data_give_the_same_hash_on_another_ledger(desk: Desk) -> None:
    ledger = desk.fresh("twin", config())
    first, second = desk.trade(BASE, "--json").json, desk.trade(ledger, "--json").json
    assert second == first | {"ledger": ledger}


def test_a_bounded_run_ends(desk: Desk) -> None:
    ledger = desk.copy("bounded")
    words = ("run", "--headless", "--seed", "7", "--ledger", ledger, *desk.replay, "--max-candles", "50", "--json")
    assert desk.run(*words).json["candles"] == 50


def test_a_second_engine_on_the_same_ledger_is_refused_by_name(desk: Desk) -> None:
    ledger = desk.copy("twice")
    first = desk.start(ledger)
    second = desk.trade(ledger)
    assert second.code == Exit.LEDGER
    assert f"pid {first.pid} " in second.err and "quantsail status --plain" in second.err
    assert first.poll() is None


def test_other_data_for_a_named_ledger_is_refused_with_the_right_command(desk: Desk) -> None:
    done = desk.run("run", "--headless", "--simulate", "3", "--ledger", BASE, "--max-candles", "1")
    assert done.code == Exit.LEDGER
    assert f"quantsail --replay FILE... --seed 7 --ledger {BASE}" in done.err
    other_seed = desk.run("run", "--headless", "--ledger", BASE, *desk.replay, "--until-end")
    assert other_seed.code == Exit.LEDGER and "seed" in other_seed.err


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("binance_BTCUSDT_1m.csv", "time,open,high,low,close\n1,1,1,1,1\n", "volume"),
        ("binance_BTCUSDT_1m.csv", f"{HEADER}{T},1,nan,1,1,1\n", "row 1: high is nan"),
        ("binance_BTCUSDT_1m.csv", f"{HEADER}{T},2,1,2,2,1\n", "high 1.0 < low 2.0"),
        ("binance_BTCUSDT_1m.csv", f"{HEADER}{T},1,1,1,1,1\n{T - 60_000},1,1,1,1,1\n", "time goes back"),
        ("binance_BTCUSDT_1m.csv", f"{HEADER}{T},1,1,1,1,1\n{T},1,1,1,1,1\n", "the same time as row 1"),
        ("binance_BTCUSDT_1m.parquet", "no parquet at all", "binance_BTCUSDT_1m.parquet"),
        ("nothing\x1b[31m\n_known.csv", HEADER, "nothing"),
    ],
)
def test_bad_files_are_refused_in_one_line(desk: Desk, tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    done = desk.run("run", "--headless", "--replay", str(tmp_path / name), "--until-end")
    assert done.code == Exit.DATA and done.out == ""
    assert said in done.err and "\x1b" not in done.err


def test_a_missing_file_is_named(desk: Desk) -> None:
    done = desk.run("run", "--headless", "--replay", "missing.csv", "--until-end")
    assert done.code == Exit.DATA and "missing.csv" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--headles"], "--headless"),
        (["rum"], "rum"),
        (["--seed", "1", "status"], "put the options behind the command"),
        (["run", "--headless", "--simulate", "1", "--live-data", "binance"], "choose one of"),
        (["run", "--headless", "--simulate", "many"], "'--simulate'"),
        (["run", "--headless", "--speed", "-1"], "--speed -1"),
        (["run", "--headless", "--balance", "nan"], "--balance nan"),
        (["run", "--headless", "--ledger", "../up"], "--ledger ../up"),
        (["config", "activate"], "'version'"),
        (["events", "-n", "-3"], "--count"),
    ],
)
def test_wrong_command_lines(desk: Desk, words: list[str], said: str) -> None:
    done = desk.run(*words)
    assert done.code == Exit.USAGE and done.out == ""
    assert said in done.err


def test_the_cockpit_without_a_terminal_says_what_to_do(desk: Desk) -> None:
    done = desk.run(TERM="dumb")
    assert done.code == Exit.USAGE and "quantsail status" in done.err


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A fresh data home that other accounts may enter."""
    home = Path(tempfile.mkdtemp(prefix="qs"))
    home.chmod(0o755)
    yield home
    shutil.rmtree(home)


def test_database_url_is_the_ledger_and_nothing_embedded_is_started(desk: Desk, elsewhere: Path) -> None:
    desk.world.server.create_database("foreign")
    url = desk.world.server.dsn("foreign", "qs_admin")
    here = {"DATABASE_URL": url, "XDG_DATA_HOME": str(elsewhere)}
    words = ("run", "--headless", "--seed", "7", *desk.replay, "--until-end", "--json")
    first = desk.run(*words, **here).json
    assert first["ledger"].startswith("url_")
    assert desk.run(*words, **here).json["state_hash"] == first["state_hash"]
    assert desk.run("status", "--json", **here).json["ledger"] == first["ledger"]
    assert desk.run("audit", "verify", **here).code == Exit.OK
    assert desk.run("events", "-n", "1", **here).out
    assert desk.run("doctor", "--json", **here).json["ok"]
    assert sorted(p.name for p in (elsewhere / "quantsail").iterdir()) == ["ledgers", "logs"]


@pytest.mark.parametrize("words", [("doctor",), ("run", "--headless", "--max-candles", "1")])
def test_a_database_that_is_not_there(desk: Desk, elsewhere: Path, words: tuple[str, ...]) -> None:
    url = f"postgresql://nobody@/nothing?host={elsewhere}"
    refused = desk.run(*words, DATABASE_URL=url, XDG_DATA_HOME=str(elsewhere))
    assert refused.code == Exit.DATABASE and "cannot be reached" in refused.err


def test_a_start_that_fails_leaves_no_server_behind(desk: Desk, elsewhere: Path) -> None:
    home = {"XDG_DATA_HOME": str(elsewhere)}
    assert desk.run("run", "--headless", "--max-candles", "1", "--ledger", "one", **home).code == Exit.OK
    refused = desk.run("run", "--headless", "--simulate", "2", "--max-candles", "1", "--ledger", "one", **home)
    assert refused.code == Exit.LEDGER
    (cluster,) = (elsewhere / "quantsail" / "pg").iterdir()
    assert not (cluster / "pgdata" / "postmaster.pid").exists()
    assert (cluster / "pgdata" / "PG_VERSION").exists()


def test_a_folder_that_cannot_be_written_is_one_line_with_the_remedy(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = desk.run("run", "--headless", "--simulate", "1", XDG_DATA_HOME=str(tmp_path / "file" / "below"))
    assert done.code == Exit.USAGE
    assert done.err.count("\n") == 1 and "set XDG_DATA_HOME" in done.err


def test_a_ledger_whose_database_was_never_reached_says_so(desk: Desk, tmp_path: Path) -> None:
    nowhere = {"DATABASE_URL": "postgresql://someone:hidden@127.0.0.1:1/none", "XDG_DATA_HOME": str(tmp_path)}
    done = desk.run("run", "--headless", "--simulate", "1", **nowhere)
    assert done.code == Exit.DATABASE and "hidden" not in done.err
    said = desk.run("status", **nowhere)
    assert said.code == Exit.DATABASE and "no engine has opened it" in said.err
