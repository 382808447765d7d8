"""SIGKILL at random moments, the database's death under a running engine, SIGTERM: the same journal in the end."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.chaos.market import config, write_files
from tests.chaos.world import ROOT, Ended, World

RECORDED = ROOT.parent / "shared" / "data" / "ohlcv"
NAMES = ("binance_BTCUSDT_1m_2025-01", "binance_ETHUSDT_1m_2025-01")
BARS = 9_000
KILLS = 20
#: The part of an uninterrupted run within which a run is killed: while it starts, plays, or, resumed, ends.
KILLED_WITHIN = 0.7


class Recording:
    """Some days of market, and what an uninterrupted run makes of them."""

    def __init__(self, files: list[Path], template: str, ended: Ended, contents: dict[str, list[str]]) -> None:
        self.files, self.template, self.contents = files, template, contents
        self.result, self.took_s = ended.result, ended.took_s


@pytest.fixture(scope="module")
def recording(world: World, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Real candles where they are beside the repository, else our own; under the config that trades often or the default."""
    folder = tmp_path_factory.mktemp("recorded")
    if all((RECORDED / f"{name}.parquet").exists() for name in NAMES):
        files, template = [_cut(name, folder) for name in NAMES], world.template(None)
    else:
        files, template = write_files(folder, BARS // 3, 11), world.template(config())
    ended = world.run(world.new_ledger("recorded", template), files)
    assert ended.exit == 0 and ended.result["trades"] > 20
    return Recording(files, template, ended, world.contents("recorded"))


def _cut(name: str, folder: Path) -> Path:
    """The first days of a recorded month."""
    path = folder / f"{name}.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            f"copy (select * from read_parquet('{RECORDED / name}.parquet') order by time limit {BARS}) to '{path}'"
        )
    return path


def assert_same(world: World, ledger: str, recording: Recording, result: dict[str, Any]) -> None:
    facts = {"ledger": ledger, "candles": recording.result["candles"]}
    assert result == recording.result | facts
    assert world.contents(ledger) == recording.contents


def test_killed_at_random_moments(world: World, recording: Recording) -> None:
    rng = random.Random(20)
    end = recording.result["events"]
    kills, heads, number = 0, [], 0
    while kills < KILLS:
        ledger = world.new_ledger(f"random_{number}", recording.template)
        number += 1
        while kills < KILLS:
            after_s = rng.uniform(0, KILLED_WITHIN * recording.took_s)
            if not world.run(ledger, recording.files, kill_after_s=after_s).killed:
                break
            kills += 1
            heads.append(world.head(ledger))
        ended = world.run(ledger, recording.files)
        assert_same(world, ledger, recording, ended.result)
    assert any(0 < head < end for head in heads), heads


def wait_for(condition: Callable[[], bool], program: subprocess.Popen[str]) -> None:
    """Until it holds; fails when the program ends before."""
    while not condition():
        assert program.poll() is None, program.communicate()
        time.sleep(0.01)


def logged(world: World, event: str) -> list[dict[str, Any]]:
    log = world.home / "quantsail" / "logs" / "quantsail.log"
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return [record for record in map(json.loads, lines) if record["event"] == event]


def test_the_database_is_killed_under_a_running_engine(world: World, recording: Recording) -> None:
    """It says so, waits, brings it back, and goes on; nothing is decided differently."""
    ledger = world.new_ledger("postmaster", recording.template)
    program = world.start_program(ledger, recording.files)
    for part in (1, 2, 3):
        reached = part * recording.result["events"] // 5
        wait_for(lambda reached=reached: world.head(ledger) > reached, program)  # type: ignore[misc]
        postmaster = world.server.pid
        assert postmaster is not None
        os.kill(postmaster, signal.SIGKILL)
        wait_for(lambda part=part: len(logged(world, "database.restarted")) >= part, program)  # type: ignore[misc]
        world.server.ensure()
    stdout, stderr = program.communicate()
    assert (program.returncode, stderr) == (0, "")
    assert logged(world, "keeper.failed") == []  # an outage is no reason to halt
    assert_same(world, ledger, recording, json.loads(stdout))


def test_sigterm_in_the_middle_is_a_clean_stop_that_can_be_resumed(world: World, recording: Recording) -> None:
    ledger = world.new_ledger("sigterm", recording.template)
    program = world.start_program(ledger, recording.files)
    wait_for(lambda: world.head(ledger) > 100, program)
    program.send_signal(signal.SIGTERM)
    stdout, stderr = program.communicate()
    assert (program.returncode, stderr) == (0, "")
    stopped = json.loads(stdout)
    assert stopped["events"] < recording.result["events"]
    assert world.head(ledger) == stopped["events"]

    again = world.start_program(ledger, recording.files)
    stdout, stderr = again.communicate()
    assert (again.returncode, stderr) == (0, "")
    assert_same(world, ledger, recording, json.loads(stdout))
