"""The common workload through the live path gives what a plain loop gives, to the cent, for its published seed and for others."""

from __future__ import annotations

import pytest

from engine.columns import ColumnStrategy
from engine.core.types import InvariantError
from tests import golden


@pytest.fixture(scope="module")
def published() -> golden.Columns:
    return golden.market()


def test_the_first_hundred_thousand_candles_give_the_published_result(published: golden.Columns) -> None:
    result = golden.play({name: column[:100_000] for name, column in published.items()})
    assert (result.trades, result.stops, result.takes) == (852, 3, 46)
    assert round(result.equity, 2) == 9_914_255.90


def test_the_yardstick_gives_the_published_result_of_the_whole(published: golden.Columns) -> None:
    result = golden.yardstick(published)
    assert (result.trades, result.stops, result.takes) == (8593, 35, 462)
    assert round(result.equity, 2) == 9_361_408.89


@pytest.mark.parametrize(("seed", "fee_bps"), [(1, "10"), (2, "0"), (3, "7.5"), (4, "100")])
def test_other_seeds_and_fees_agree_to_the_cent(seed: int, fee_bps: str) -> None:
    columns = golden.market(20_000, seed)
    ours, plain = golden.play(columns, fee_bps), golden.yardstick(columns, fee_bps)
    assert ours[:3] == plain[:3] and ours.trades > 100
    assert ours.equity == pytest.approx(plain.equity, abs=0.005)


def test_rules_looked_up_and_worked_out_bar_by_bar_give_the_same_journal() -> None:
    columns = golden.market(20_000, 5)
    journals = [golden.MemoryJournal(), golden.MemoryJournal()]
    for journal, look_up in zip(journals, (True, False), strict=True):
        golden.play(columns, look_up=look_up, journal=journal)
    looked_up, worked_out = (journal.store.pairs for journal in journals)
    assert looked_up == worked_out and len(looked_up) > 1_000


def test_a_history_that_is_not_the_one_played_is_noticed() -> None:
    columns = golden.market(2_000, 6)
    strategy = ColumnStrategy(golden.config().bots[0].strategy, columns, 10, golden.MINUTE_US)  # type: ignore[arg-type]
    other = golden.chunks({**columns, "ts": columns["ts"] + golden.MINUTE_US})
    strategy.on_bar(next(other)[0])  # type: ignore[arg-type]
    with pytest.raises(InvariantError):
        strategy.explain()
