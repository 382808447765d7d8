"""The engine document: refusals with path and remedy, identity, difference, activation between two inputs."""

from __future__ import annotations

import json
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.config_diff import diff
from engine.core import events as ev
from engine.core.config import (
    DEFAULT_STRATEGY,
    ConfigError,
    canonical,
    config_sha256,
    default_config,
    parse_config,
)
from engine.core.setup import Setup
from engine.core.types import Verb, entity_id
from engine.publish import warmth
from tests.core.worlds import BTC, LEDGER_ID, RULES, World, config

BOT: dict[str, Any] = {"name": "a", "strategy": DEFAULT_STRATEGY}


@pytest.mark.parametrize(
    ("document", "path", "words"),
    [
        ([], "$", "JSON object"),
        ({"bots": [BOT], "acount": {}}, "$.acount", "did you mean 'account'?"),
        ({"bots": [BOT | {"sizng": {}}]}, "$.bots[0].sizng", "did you mean 'sizing'?"),
        ({"bots": [BOT | {"sizing": {"kind": "fixed_notonal"}}]}, "$.bots[0].sizing.kind", "fixed_notional"),
        ({"bots": [BOT], "account": {"limits": {"max_order_value": {"sof": 1}}}}, "$.account.limits.max_order_value.sof", "'soft'"),
        ({"bots": [BOT], "account": {"limits": {"max_order_value": {"soft": 9, "hard": 1}}}}, "$.account.limits.max_order_value", "beyond"),
        ({"bots": [BOT | {"exits": {"trailing": {"distanse_pct": 1}}}]}, "$.bots[0].exits.trailing.distanse_pct", "distance_pct"),
        ({"bots": [BOT | {"strategy": DEFAULT_STRATEGY | {"entry_long": {"op": "gtt", "left": "close", "right": 1}}}]},
         "$.bots[0].strategy.entry_long.op", "did you mean 'gt'?"),
        ({"bots": [BOT, BOT]}, "$", "two bots are named 'a'"),
        ({"bots": []}, "$.bots", "at least 1"),
        ({"bots": [BOT | {"exits": {"stop_loss_pct": "NaN"}}]}, "$.bots[0].exits.stop_loss_pct", "finite"),
        ({"bots": [BOT | {"sizing": {"value": "-1"}}]}, "$.bots[0].sizing.value", "greater than 0"),
        ({"bots": [BOT | {"sizing": {"value": "1e18"}}]}, "$.bots[0].sizing.value", "at most 18 digits"),
        ({"bots": [BOT | {"sizing": {"value": "1e-19"}}]}, "$.bots[0].sizing.value", "at most 18 digits"),
        ({"bots": [{"name": "a"}]}, "$.bots[0].strategy", "is missing"),
        ({"bots": {}}, "$.bots", "must be a list"),
        ({"bots": ["x"]}, "$.bots[0]", "must be an object"),
        ({"bots": [BOT | {"name": 1}]}, "$.bots[0].name", "must be text"),
        ({"bots": [BOT | {"strategy": {"python": "x", "param": {}}}]}, "$.bots[0].strategy.param", "did you mean 'params'?"),
        ({"bots": [BOT | {"strategy": {"python": "a b"}}]}, "$.bots[0].strategy.python", "pattern"),
        ({"bots": [BOT | {"portfolio": "mian"}]}, "$", "no portfolio is named 'mian'"),
        ({"bots": [BOT | {"exits": {"targets": [{"profit_pct": 1, "close_pct": 60}] * 2}}]}, "$.bots[0].exits", "targets close 120 %"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_its_path(document: Any, path: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(document)
    assert caught.value.path == path
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_identity_is_the_meaning_not_the_spelling() -> None:
    a = parse_config({"bots": [BOT | {"sizing": {"kind": "fixed_notional", "value": 100}}]})
    b = parse_config({"bots": [BOT | {"sizing": {"value": "100.0", "kind": "fixed_notional"}}], "warmup_factor": 20})
    c = parse_config({"bots": [BOT | {"sizing": {"kind": "fixed_notional", "value": 100.5}}]})
    assert config_sha256(a) == config_sha256(b) != config_sha256(c)


def test_the_canonical_document_reads_back_as_itself() -> None:
    text = canonical(default_config())
    assert canonical(parse_config(json.loads(text))) == text


def test_a_typed_number_stays_what_was_typed() -> None:
    assert parse_config({"bots": [BOT | {"exits": {"stop_loss_pct": 0.1}}]}).bots[0].exits.stop_loss_pct == D("0.1")


def test_diff_names_bots_not_positions() -> None:
    old = json.loads(canonical(parse_config({"bots": [BOT, BOT | {"name": "b"}]})))
    new = json.loads(canonical(parse_config({"bots": [BOT | {"name": "b", "enabled": False}]})))
    lines = diff(old, new)
    assert lines == ("bots[a]: removed", "bots[b].enabled: true -> false")
    assert diff(new, new) == ()
    assert diff(new, old) == ("bots[a]: added", "bots[b].enabled: false -> true")


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ({"symbols": ["*"]}, {"symbols": ["A", "B"]}, ["symbols: * -> A, B"]),
        ({"limits": {"max_order_value": {"hard": 5}}}, {}, ["limits.max_order_value.hard: 5 -> none"]),
        ({}, {"exits": {"ladder": {"0": 4, "60": "0.5"}}}, ["exits.ladder.0: added 4", "exits.ladder.60: added 0.5"]),
        ({}, {"exits": {"trailing": None}}, ["exits.trailing.atr_multiple: removed none", "exits.trailing.atr_period: removed 14",
          "exits.trailing.distance_pct: removed 1", "exits.trailing.offset_pct: removed 1.5",
          "exits.trailing.only_after_offset: removed true", "exits.trailing.positive_distance_pct: removed none"]),
        ({}, {"exits": {"targets": [{"profit_pct": 1, "close_pct": 50}]}},
         ["exits.targets[0].close_pct: added 50", "exits.targets[0].profit_pct: added 1"]),
        ({}, {"exits": {"stop_loss_pct": None}}, ["exits.stop_loss_pct: 2 -> none"]),
        ({"strategy": RULES}, {"strategy": RULES | {"exit_long": {"op": "lt", "left": "close", "right": 49}}},
         ["strategy.exit_long.right: 50 -> 49"]),
        ({"limits": {"risk_rules": [{"name": "x", "when": {"op": "gt", "left": "drawdown_pct", "right": 5}}]}},
         {"limits": {"risk_rules": [{"name": "y", "when": {"op": "gt", "left": "drawdown_pct", "right": 5}}]}},
         ["limits.risk_rules[x]: removed", "limits.risk_rules[y]: added"]),
    ],
)  # fmt: skip
def test_a_difference_is_one_line_a_leaf(before: dict[str, Any], after: dict[str, Any], lines: list[str]) -> None:
    old, new = (json.loads(canonical(parse_config({"bots": [BOT | changes]}))) for changes in (before, after))
    assert diff(old, new) == tuple(f"bots[a].{line}" for line in lines)
    assert diff(None, new)  # the first version is all new


def test_the_tighter_limit_wins() -> None:
    conf = config(
        account={"limits": {"max_order_value": {"soft": "80", "hard": "100"}}},
        bot={"limits": {"max_order_value": {"hard": "50"}}},
    )
    limit = Setup(conf, LEDGER_ID, 1).bots[0].limits.max_order_value
    assert (limit.soft, limit.hard) == (D(50), D(50))


async def activation(world: World, document: dict[str, Any], version: int, sha256: str = "") -> tuple[bool, str]:
    async def load(number: int) -> tuple[object, str]:
        return document, sha256 or config_sha256(parse_config(document))

    world.engine.load_config = load
    answer, _ = await world.command(Verb.ACTIVATE_CONFIG, "test", version=version)
    return answer


async def test_activation_swaps_between_two_inputs_and_orders_name_their_version(tmp_path: Path) -> None:
    world = await World(tmp_path).open()
    await world.candle(99, 99, 98, 98)
    document = json.loads(canonical(config(bot={"sizing": {"kind": "fixed_quantity", "value": "2"}})))
    assert await activation(world, document, 2) == (True, "config 2 is active")
    events = await world.candle(99, 102, 98, 101)
    order = next(e for e in events if isinstance(e, ev.OrderSubmitted))
    assert (order.config_version, order.quantity) == (2, D(2))
    activated = [e for _, e in world.store.pairs if isinstance(e, ev.ConfigActivated)][-1]
    assert activated.previous == 1 and "bots[probe].sizing.value: 1 -> 2" in activated.diff


@pytest.mark.parametrize(
    ("change", "sha256", "words"),
    [
        ({}, "0" * 64, "does not match its hash"),
        ({"symbols": ["NOPE/USDT"]}, "", "does not offer NOPE/USDT"),
        ({"strategy": DEFAULT_STRATEGY}, "", "are lacking"),
        ({"nonsense": 1}, "0" * 64, "unknown key"),
    ],
)
async def test_a_refused_activation_leaves_everything_as_it_was(
    tmp_path: Path, change: dict[str, Any], sha256: str, words: str
) -> None:
    world = await World(tmp_path).open()
    await world.candle(99, 99, 98, 98)
    bot = {"name": "probe", "strategy": RULES} | change
    done, text = await activation(world, {"schema": 1, "bots": [bot]}, 2, sha256)
    assert not done and words in text
    assert world.ledger.config_version == 1 and world.engine.setup.version == 1
    assert isinstance(world.store.pairs[-1][1], ev.ConfigRejected)


async def test_rollback_is_activating_the_version_before(tmp_path: Path) -> None:
    world = await World(tmp_path).open()
    await world.candle(99, 99, 98, 98)
    first = json.loads(canonical(world.config))
    second = json.loads(canonical(config(bot={"sizing": {"kind": "fixed_quantity", "value": "2"}})))
    assert (await activation(world, second, 2))[0] and (await activation(world, first, 1))[0]
    assert world.ledger.config_version == 1
    events = await world.candle(99, 102, 98, 101)
    assert [e.quantity for e in events if isinstance(e, ev.OrderSubmitted)] == [D(1)]


async def test_a_limit_that_is_tightened_holds_at_once_and_touches_nothing_else(tmp_path: Path) -> None:
    def limited(hard: str) -> dict[str, Any]:
        bot = {"entry": {"max_per_position": 5}, "limits": {"max_position_value": {"hard": hard}}}
        document: dict[str, Any] = json.loads(canonical(config(bot=bot)))
        return document

    world = await World(tmp_path, parse_config(limited("1000"))).open()
    await world.candle(99, 102, 98, 101)
    await world.candle(101, 102, 100, 101)  # holds 1, worth 101
    assert len(world.ledger.positions) == 1
    before = {o.id: (o.quantity, o.stop_price, o.price) for o in world.ledger.orders.values()}
    activated, events = await _activated(world, limited("90"), 2)
    assert activated == (True, "config 2 is active")
    assert "bots[probe].limits.max_position_value.hard: 1000 -> 90" in next(
        e.diff for e in events if isinstance(e, ev.ConfigActivated)
    )
    assert {o.id: (o.quantity, o.stop_price, o.price) for o in world.ledger.orders.values()} == before
    events = await world.candle(100.5, 102, 100, 101.5)
    assert not [e for e in events if isinstance(e, ev.OrderSubmitted)]
    assert [e.code for e in events if isinstance(e, ev.OrderDenied)]
    assert [p.quantity for p in world.ledger.positions.values()] == [D(1)]
    assert (await _activated(world, limited("1000"), 3))[0][0]
    events = await world.candle(101, 102, 100.5, 101.5)
    assert [e.quantity for e in events if isinstance(e, ev.OrderSubmitted)] == [D(1)]


async def _activated(world: World, document: dict[str, Any], version: int) -> tuple[tuple[bool, str], list[ev.Event]]:
    async def load(number: int) -> tuple[object, str]:
        return document, config_sha256(parse_config(document))

    world.engine.load_config = load
    return await world.command(Verb.ACTIVATE_CONFIG, "test", version=version)


async def test_what_a_config_stops_a_config_starts_and_what_a_person_stopped_stays(tmp_path: Path) -> None:
    def bots(**enabled: bool) -> dict[str, Any]:
        return {"bots": [{"name": name, "strategy": RULES, "enabled": on} for name, on in enabled.items()]}

    world = await World(tmp_path, parse_config(bots(a=True, b=False, c=True))).open()
    await world.candle(99, 99, 98, 98)

    def status() -> dict[str, str]:
        return {name: world.ledger.bots[entity_id(LEDGER_ID, "bot", name)].status for name in "abc"}

    assert status() == {"a": "RUNNING", "b": "STOPPED", "c": "RUNNING"}
    assert (await world.command(Verb.STOP_BOT, "enough", target="a"))[0] == (True, "bot a is STOPPED")
    document = json.loads(canonical(parse_config(bots(a=True, b=True))))
    assert (await _activated(world, document, 2))[0][0]
    await world.candle(98, 99, 98, 98)
    assert status() == {"a": "STOPPED", "b": "RUNNING", "c": "STOPPED"}
    refused, _ = await world.command(Verb.START_BOT, target="c")
    assert refused == (False, "the active config does not run it: activate one that does")
    assert (await world.command(Verb.START_BOT, target="a"))[0][0]
    document = json.loads(canonical(parse_config(bots(a=True, c=True))))
    assert (await _activated(world, document, 3))[0][0]
    await world.candle(98, 99, 98, 98)
    assert status() == {"a": "RUNNING", "b": "STOPPED", "c": "RUNNING"}


async def test_a_python_strategy_that_is_not_installed_is_no_config(tmp_path: Path) -> None:
    world = await World(tmp_path).open()
    document = json.loads(canonical(parse_config({"bots": [{"name": "x", "strategy": {"python": "nope"}}]})))
    done, text = (await _activated(world, document, 2))[0]
    assert not done and "bot x: unknown strategy 'nope'" in text
    assert world.ledger.config_version == 1


async def test_a_portfolio_trades_what_is_quoted_in_its_currency(tmp_path: Path) -> None:
    money = [{"name": name, "currency": name.upper(), "initial_balance": 1000} for name in ("eur", "usdt")]
    bots = [{"name": name, "strategy": RULES, "portfolio": name} for name in ("eur", "usdt")]
    world = await World(tmp_path, parse_config({"bots": bots, "account": {"portfolios": money}})).open()
    await world.candle(99, 102, 98, 101)
    await world.candle(101, 102, 100, 101)
    ids = {name: entity_id(LEDGER_ID, "bot", name) for name in ("eur", "usdt")}
    assert {p.bot_id for p in world.ledger.positions.values()} == {ids["usdt"]}
    assert world.ledger.bots[ids["eur"]].status == "WARMING_UP"
    assert warmth(world.engine.state.market, ids["eur"]) == "no symbol of this feed"


def _paid_in(currency: str, *symbols: str) -> dict[str, Any]:
    """A config whose one bot trades `symbols` with money in `currency`."""
    account = {"portfolios": [{"name": "own", "currency": currency, "initial_balance": 1000}]}
    bot = {"name": "crosser", "strategy": RULES, "portfolio": "own", "symbols": list(symbols)}
    return dict(json.loads(canonical(parse_config({"bots": [bot], "account": account}))))


async def test_a_bot_that_no_symbol_pays_is_refused_at_activation(tmp_path: Path) -> None:
    world = await World(tmp_path).open()
    await world.candle(99, 102, 98, 101)
    for document in (_paid_in("EUR", "*"), _paid_in("EUR", "BTC/USDT")):
        done, text = (await _activated(world, document, 2))[0]
        assert not done and "bot crosser: its portfolio counts in EUR, and BTC/USDT is quoted in USDT" in text
    assert (world.ledger.config_version, len(world.ledger.accounts)) == (1, 1)
    assert (await _activated(world, _paid_in("USDT", "*"), 3))[0][0] and len(world.ledger.accounts) == 2


def test_some_fitting_symbols_are_enough_for_all_and_not_for_a_name() -> None:
    euro = msgspec.structs.replace(BTC, symbol="BTC/EUR", quote="EUR")

    def word(currency: str, *symbols: str) -> str:
        return Setup(parse_config(_paid_in(currency, *symbols)), LEDGER_ID, 1).untradable([BTC, euro])

    assert word("EUR", "*") == word("EUR", "BTC/EUR") == word("USDT", "BTC/USDT") == ""
    assert "BTC/USDT is quoted in USDT" in word("EUR", "BTC/EUR", "BTC/USDT")
    assert "BTC/EUR, BTC/USDT is quoted in EUR, USDT" in word("GBP", "*")
    assert word("EUR", "DOGE/EUR") == "the feed does not offer DOGE/EUR; it offers BTC/EUR, BTC/USDT"
