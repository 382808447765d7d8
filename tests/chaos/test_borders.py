"""SIGKILL at every border between deciding, committing and acting; the resumed journal is the uninterrupted one, to the byte."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.market import config, write_files
from tests.chaos.world import Ended, World

BARS, SEED = 75, 8


class Whole:
    """The uninterrupted run."""

    def __init__(self, template: str, files: list[Path], ended: Ended, contents: dict[str, list[str]]) -> None:
        self.template, self.files, self.contents = template, files, contents
        self.state_hash = ended.result["state_hash"]
        self.trades = ended.result["trades"]
        self.borders = ended.borders

    def seqs(self, name: str) -> list[int]:
        """Where the journal's head was at each border of that name."""
        return [seq for border, seq in self.borders if border == name]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_files(tmp_path_factory.mktemp("candles"), BARS, SEED)


@pytest.fixture(scope="module")
def whole(world: World, files: list[Path]) -> Whole:
    template = world.template(config())
    ledger = world.new_ledger("whole", template)
    ended = world.run(ledger, files)
    assert ended.exit == 0
    return Whole(template, files, ended, world.contents(ledger))


def kill_again_and_again(world: World, whole: Whole, border: str) -> list[int]:
    """Resume a ledger, each time only to be killed at its next border of that name; returns the head at each death."""
    ledger = world.new_ledger(f"chain_{border}", whole.template)
    deaths: list[int] = []
    while True:
        # What was decided and not committed is decided again: that border has been died at already.
        passes = 1 if border == "deciding" and deaths else 0
        ended = world.run(ledger, whole.files, border=border, passes=passes)
        if not ended.killed:
            break
        deaths.append(ended.borders[-1][1])
        assert len(deaths) <= len(whole.borders), "killed more often than there are borders: no progress"
    assert ended.exit == 0
    assert ended.result["state_hash"] == whole.state_hash
    assert world.contents(ledger) == whole.contents
    return deaths


@pytest.mark.parametrize("border", ["deciding", "committed"])
def test_killed_at_every_commit(world: World, whole: Whole, border: str) -> None:
    assert whole.trades == 7
    assert kill_again_and_again(world, whole, border) == whole.seqs(border)


def test_killed_after_the_first_act_of_every_commit(world: World, whole: Whole) -> None:
    assert kill_again_and_again(world, whole, "acted") == sorted(set(whole.seqs("acted")))


def test_killed_between_two_acts_of_one_commit(world: World, whole: Whole) -> None:
    """A resumed run does not act again, so these borders are only found by a run that was never killed before."""
    acts = whole.seqs("acted")
    several = [n for n, seq in enumerate(acts) if n and acts[n - 1] == seq]
    assert several and max(Counter(acts).values()) >= 2
    for n in several:
        ledger = world.new_ledger(f"act_{n}", whole.template)
        assert world.run(ledger, whole.files, border="acted", passes=n).killed
        ended = world.run(ledger, whole.files)
        assert ended.result["state_hash"] == whole.state_hash, n
        assert world.contents(ledger) == whole.contents, n
