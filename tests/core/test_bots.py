"""Many bots in one engine: each trades on its own, and one that raises stops alone."""

from __future__ import annotations

from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from engine.core import events as ev
from engine.core.inputs import Candle, Feature
from engine.core.ledger import restore
from engine.core.strategy import ENTER_LONG, EXIT_LONG, NO_PROPOSAL, Proposal
from engine.core.types import BotStatus, Verb
from tests.core.worlds import ETH, World, config


class Scripted:
    """Says what it is told, bar by bar; "boom" raises."""

    warmup_bars = 1
    proposal = NO_PROPOSAL

    def __init__(self, params: dict[str, Any]) -> None:
        self.script = list(params["script"])

    def on_bar(self, candle: Candle) -> int:
        word = self.script.pop(0) if self.script else 0
        if word == "boom":
            raise ZeroDivisionError("a\x1b[31mprice of zero")
        return int(word)

    def on_feature(self, feature: Feature) -> None: ...

    def explain(self) -> dict[str, Any]:
        return {"said": "so"}


def bot(name: str, *script: Any, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "strategy": {"python": "scripted", "params": {"script": list(script)}},
        "sizing": {"kind": "fixed_quantity", "value": "1"},
        "exits": {"stop_loss_pct": "2", "take_profit_pct": "4", "trailing": None},
    } | more


async def world_of(directory: Path, *bots: dict[str, Any], **more: Any) -> World:
    conf = config(bots=list(bots), **{k: more.pop(k) for k in ("account",) if k in more})
    return await World(directory, conf, factories={"scripted": Scripted}, **more).open()


def named(world: World, bot_id: str) -> str:
    return str(world.engine.setup.by_id[bot_id].name)


async def test_a_bot_that_raises_stops_alone_with_its_traceback(tmp_path: Path) -> None:
    world = await world_of(tmp_path, bot("bad", 0, "boom", ENTER_LONG), bot("good", 0, ENTER_LONG))
    await world.candle(100, 101, 99, 100)
    events = await world.candle(100, 101, 99, 100)
    failed = [e for e in events if isinstance(e, ev.BotStatusChanged) and e.status is BotStatus.ERROR]
    assert len(failed) == 1 and named(world, failed[0].bot_id) == "bad"
    assert "in on_bar" in failed[0].traceback and "test_bots.py:" in failed[0].traceback
    assert "/" not in failed[0].traceback and "\x1b" not in failed[0].traceback + failed[0].reason
    assert [e.code for e in events if isinstance(e, ev.AlertTriggered)] == ["BOT_ERROR"]
    assert [named(world, o.bot_id) for o in world.ledger.orders.values()] == ["good"]
    await world.candle(100, 101, 99, 100)  # its next signal counts for nothing
    assert {named(world, p.bot_id) for p in world.ledger.positions.values()} == {"good"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"entry_price": 1.5},
        {"entry_price": D("NaN")},
        {"exit_price": D(0)},
        {"stake": D("Infinity")},
        {"tag": "a\x1b[2J"},
        {"tag": "x" * 65},
        {"tag": None},
    ],
)
async def test_a_proposal_that_is_no_money_stops_the_bot(tmp_path: Path, wrong: dict[str, Any]) -> None:
    class Proposing(Scripted):
        def on_bar(self, candle: Candle) -> int:
            self.proposal = Proposal(**wrong)
            return ENTER_LONG

    world = await World(tmp_path, config(bots=[bot("a")]), factories={"scripted": Proposing}).open()
    events = await world.candle(100, 101, 99, 100)
    assert [e.status for e in events if isinstance(e, ev.BotStatusChanged)] == [BotStatus.ERROR]
    assert not world.ledger.orders


async def test_a_proposal_of_another_kind_stops_the_bot(tmp_path: Path) -> None:
    class Proposing(Scripted):
        proposal = "market"

    world = await World(tmp_path, config(bots=[bot("a", 1)]), factories={"scripted": Proposing}).open()
    events = await world.candle(100, 101, 99, 100)
    assert any("must be a Proposal" in e.reason for e in events if isinstance(e, ev.BotStatusChanged))


async def test_a_failed_bot_keeps_its_exits_and_loses_its_entries(tmp_path: Path) -> None:
    resting = {"entry": {"order_type": "LIMIT", "offset_bps": "100", "valid_min": 60}}
    world = await world_of(tmp_path, bot("a", ENTER_LONG, 0, "boom"), bot("b", ENTER_LONG, 0, "boom", **resting))
    await world.candle(100, 101, 99.5, 100)
    await world.candle(100, 101, 99.5, 100)
    await world.candle(100, 101, 99.5, 100)
    assert {(named(world, o.bot_id), o.role) for o in world.ledger.orders.values()} == {
        ("a", "STOP"),
        ("a", "TAKE_PROFIT"),
    }


async def test_a_failed_bot_starts_again_with_a_fresh_strategy(tmp_path: Path) -> None:
    world = await world_of(tmp_path, bot("a", "boom", ENTER_LONG))
    await world.candle(100, 101, 99, 100)
    assert (await world.command(Verb.START_BOT, "mended", target="a"))[0][0]
    book = next(iter(world.ledger.bots.values()))
    # It is warmed from the bars that are known: the same bar makes the same strategy raise again, which is told once.
    events = await world.candle(100, 101, 99, 100)
    assert book.status is BotStatus.ERROR
    assert sum(isinstance(e, ev.BotStatusChanged) for e in events) == 1


async def test_fills_go_to_the_bot_whose_order_it_is(tmp_path: Path) -> None:
    world = await world_of(
        tmp_path, bot("a", ENTER_LONG, 0, EXIT_LONG), bot("b", ENTER_LONG), instruments=(ETH,), balance=D(100_000)
    )
    for _ in range(4):
        await world.candle(100, 101, 99.5, 100, symbol="ETH/USDT")
    assert [named(world, p.bot_id) for p in world.ledger.positions.values()] == ["b"]
    closed = [named(world, p.bot_id) for p in world.ledger.closed_positions.values()]
    assert closed == ["a"]


async def test_the_account_is_the_same_one_after_a_restart(tmp_path: Path) -> None:
    names = [f"book{n}" for n in range(8)]  # some of their ids sort before that of main
    account = {"portfolios": [{"name": name, "currency": "USDT", "initial_balance": "500"} for name in names]}
    ledger = (await world_of(tmp_path, bot("a", ENTER_LONG), account=account)).ledger
    again = restore(ledger.snapshot())
    assert sorted(ledger.accounts)[0] != next(iter(ledger.accounts))
    assert again.account.name == ledger.account.name == "main"
    assert list(again.accounts) == list(ledger.accounts)


async def test_each_portfolio_has_its_own_money(tmp_path: Path) -> None:
    account = {"portfolios": [{"name": "second", "currency": "USDT", "initial_balance": "500"}]}
    world = await world_of(tmp_path, bot("a", ENTER_LONG), bot("b", ENTER_LONG, portfolio="second"), account=account)
    await world.candle(100, 101, 99.5, 100)
    await world.candle(100, 101, 99.5, 100)
    cash = {a.name: a.cash for a in world.ledger.accounts.values()}
    assert cash == {"main": D(9_900), "second": D(400)}
    await world.candle(100, 101, 99.5, 100)
    samples = [e for _, e in world.store.pairs if isinstance(e, ev.EquitySampled)]
    assert {e.portfolio_id for e in samples} == set(world.ledger.accounts)
