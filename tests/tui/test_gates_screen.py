"""Screen 5: the board of a scope, why it is not trading, the history of trips; hostile text in every cell."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.client import BotView, MarkView, Snapshot
from engine.core import events as ev
from engine.core.types import MINUTE_US, Side, TradingState, Verb, Verdict
from engine.standing import BotLine, GateLine, RunnerLine, Standing
from screenshots.stage import simulated
from tests.tui.cockpit_pilot import SIZES, cockpit
from tests.tui.fake_engine import FakeEngine, snapshot
from tests.tui.fake_story import NOW, cause, recorded
from tui.gatewords import against, compared, limit_said
from tui.screens.gates import GatesScreen
from tui.why import Asked, headline, leaves_against, lines, why

EVIL = "\x1b]0;owned\x07\x1b[31m\u202e[red]x" + "y" * 10_000
ASKED = Asked("b1", "trend", "binance", "BTC/USDT")
BOT = BotView(id="b1", name="trend", status="RUNNING", reason="", entries=4, symbols=("BTC/USDT",))
LEAF = {
    "op": "lt",
    "result": "false",
    "left": {"series": "rsi", "value": "74.2"},
    "right": {"value": "70.0"},
}
TREE = {"op": "all", "result": "false", "of": [LEAF | {"op": "gt", "result": "true"}, LEAF]}


def line(gate: str, **changes: Any) -> GateLine:
    values: dict[str, Any] = {"bot": "", "number": "G6", "gate": gate, "verdict": "ALLOWED", "standing": True}
    return GateLine(**(values | changes))


def runner(**changes: Any) -> RunnerLine:
    values: dict[str, Any] = {
        "bot": "b1", "exchange": "binance", "symbol": "BTC/USDT", "bars": 500, "warmup_bars": 400, "warm": True,
        "close_ts": NOW, "age_us": 0,
    }  # fmt: skip
    return RunnerLine(**(values | changes))


def stands(**changes: Any) -> Standing:
    gates = (
        line("MAX_GROSS_EXPOSURE", actual="42", limit="60", soft="50", hard="60", unit="%", used=0.7),
        line("MAX_OPEN_POSITIONS", bot="b1", actual="1", limit="2", hard="2", used=0.5),
    )
    values: dict[str, Any] = {
        "now": NOW, "gates": gates, "runners": (runner(),), "bots": (), "rules": {"entry_long": TREE}, "rules_ts": NOW,
    }  # fmt: skip
    return Standing(**(values | changes))


def calm(**changes: Any) -> Snapshot:
    return snapshot(**({"bots": (BOT,), "positions": (), "orders": ()} | changes))


def said(snap: Snapshot, standing: Standing | None, *events: Any) -> str:
    told = [recorded(seq, event) for seq, event in enumerate(events, 1)]
    reasons = why(snap, ASKED, standing, told)
    return "\n".join("".join(span.text for span in row) for row in [headline(ASKED, reasons), *lines(reasons)])


def test_without_anything_in_the_way_the_rule_is_what_it_waits_for() -> None:
    text = said(calm(), stands())
    assert text.splitlines()[0] == "trend BTC/USDT: may trade, and waits: rule entry long is false: rsi 74.2 < 70"
    assert "STOPS" not in text


@pytest.mark.parametrize(
    ("changes", "standing", "words"),
    [
        ({"error": "boom"}, {}, "the engine has stopped: boom"),
        ({"database_down_mono": 1.0}, {}, "the database does not answer"),
        ({"feed_status": "down since 14:00"}, {}, "no data: the feed is down since 14:00"),
        ({}, {"latched": "ada: lunch"}, "the halt latch is set, ada: lunch"),
        ({"held": True}, {}, "entries are held by the kill key"),
        ({"state": "HALTED", "state_actor": "ada", "state_reason": "lunch"}, {}, "the account is HALTED by ada"),
        ({"bots": ()}, {}, "the active config has no bot"),
        ({"bots": (msgspec.structs.replace(BOT, status="ERROR", reason="ZeroDivisionError"),)}, {}, "raised an error"),
        ({"bots": (msgspec.structs.replace(BOT, status="STOPPED"),)}, {}, "bot trend is stopped"),
        ({"bots": (msgspec.structs.replace(BOT, state="PAUSED"),)}, {}, "bot trend is PAUSED by unknown"),
        ({}, {"runners": (runner(bars=3, warm=False),)}, "warming up on this symbol: 3 of 400 bars"),
        ({}, {"runners": (runner(age_us=None),)}, "no price of this symbol has come yet"),
        ({}, {"runners": ()}, "the bot does not trade this symbol"),
        (
            {},
            {"gates": (line("MAX_DRAWDOWN", verdict=Verdict.BLOCKED, actual="31", limit="30", unit="%"),)},
            "gate G6 drawdown of the account: 31 against 30 %",
        ),
    ],
)
def test_what_stops_it_is_said_first(changes: dict[str, Any], standing: dict[str, Any], words: str) -> None:
    text = said(calm(**changes), stands(**standing))
    first = text.splitlines()[0]
    assert first.startswith("trend BTC/USDT: does not trade: ") and words in first


def test_the_account_comes_before_the_bot_and_the_bot_before_its_rules() -> None:
    bot = msgspec.structs.replace(BOT, status="ERROR", reason="KeyError")
    text = said(calm(state="PAUSED", bots=(bot,)), stands())
    assert text.index("account is PAUSED") < text.index("raised an error") < text.index("rule entry long")
    assert "(+1 more)" in text.splitlines()[0]


def test_the_last_word_of_a_gate_on_an_order_stops_nobody() -> None:
    gates = (line("MAX_ORDER_VALUE", standing=False, verdict=Verdict.BLOCKED, actual="9", limit="8"),)
    assert "STOPS" not in said(calm(), stands(gates=gates))


@pytest.mark.parametrize(
    ("gate", "verdict", "actual", "limit", "pair", "words", "column"),
    [
        ("INSTRUMENT_RULES", "ALLOWED", "1489", "5", "1,489 ≥ 5", "1,489 against at least 5", "≥ 5"),
        ("INSTRUMENT_RULES", "BLOCKED", "3", "5", "3 < 5", "3 against at least 5", "≥ 5"),
        ("INSTRUMENT_RULES", "BLOCKED", "900", "500", "900 / 500", "900 against 500", "500"),  # the venue's largest
        ("INSTRUMENT_RULES", "BLOCKED", "short", "long", "short / long", "short against long", "long"),
        ("LIQUIDATION_DISTANCE", "WARNED", "12", "20", "12 < 20", "12 against at least 20", "≥ 20"),
        ("LIQUIDATION_DISTANCE", "ALLOWED", "none", "none", "none / none", "none against none", "none"),
        ("MAX_GROSS_EXPOSURE", "ALLOWED", "42", "60", "42 / 60", "42 against 60", "60"),
    ],
)
def test_a_limit_from_below_reads_as_one(
    gate: str, verdict: str, actual: str, limit: str, pair: str, words: str, column: str
) -> None:
    numbers = (gate, actual, limit, verdict)
    assert (compared(*numbers), against(*numbers), limit_said(*numbers)) == (pair, words, column)


def test_the_least_order_and_where_a_symbols_rules_come_from_are_on_the_screen() -> None:
    gates = (line("INSTRUMENT_RULES", number="G2", standing=False, actual="1489", limit="5", unit="USDT"),)
    marks = (
        MarkView(exchange="binance", symbol="BTC/USDT", price=Decimal(1), price_places=2, rules="bundled"),
        MarkView(exchange="binance", symbol="ODD/USDT", price=Decimal(1), price_places=2, rules="default"),
    )

    async def go() -> None:
        engine = FakeEngine.busy(bots=(BOT,), marks=marks)
        engine.stands = stands(gates=gates)
        async with cockpit(engine, size=(200, 60)) as c:
            await c.press("5")
            await c.settle()
            assert "≥ 5" in c.text()
            await c.press("enter")
            shown = c.text()
            assert "rules of BTC/USDT" in shown and "bundled with the program" in shown
            assert "a default, the symbol is unknown!" in shown

    asyncio.run(go())
    text = said(calm(marks=(msgspec.structs.replace(marks[1], symbol="BTC/USDT"),)), stands())
    assert "▲ WARNS tick, lot and least order of the symbol: a default, the symbol is unknown!" in text


def test_last_signal_and_denial_are_told_up_to_the_moment_and_not_beyond() -> None:
    at: dict[str, Any] = {"cause": cause(), "bot_id": "b1", "exchange": "binance", "symbol": "BTC/USDT"}
    signal = ev.SignalGenerated(
        ts=NOW - 5 * MINUTE_US, signal_id="s", strategy_id="t", side=Side.BUY, kind="ENTRY", price=Decimal(1),
        config_version=7, trace={"entry_long": TREE}, **at,
    )  # fmt: skip
    denied = ev.OrderDenied(
        ts=NOW - 5 * MINUTE_US, order_id="o", signal_id="s", side=Side.BUY, quantity=Decimal(1), code="EXPOSURE_GROSS",
        reason="x", config_version=7, **at,
    )  # fmt: skip
    text = said(calm(), stands(), signal, denied)
    assert "last signal 5m ago" in text and "last denial 5m ago: EXPOSURE_GROSS." in text
    before = said(calm(now=NOW - 6 * MINUTE_US), None, signal, denied)
    assert "last denial" not in before and "no signal of it is among the events" in before


def test_a_moment_of_the_past_says_what_was_not_recorded() -> None:
    text = said(calm(), None)
    assert text.count("~ not recorded") == 2


def test_the_leaves_that_keep_a_rule_from_firing() -> None:
    unknown = LEAF | {"result": "unknown"}
    true = LEAF | {"result": "true"}
    assert leaves_against(TREE) == [LEAF]
    assert leaves_against({"op": "not", "result": "false", "of": [true]}) == [true]
    assert leaves_against({"op": "any", "result": "unknown", "of": [LEAF, unknown]}) == [LEAF, unknown]
    assert leaves_against("text") == []


def engine() -> FakeEngine:
    fake = FakeEngine.busy(bots=(BOT,))
    fake.stands = stands()
    state = ev.TradingStateChanged(
        ts=NOW, cause=cause(), state=TradingState.HALTED, previous=TradingState.ACTIVE, verb="HALT",
        actor="gate:MAX_DRAWDOWN", reason="31 against 30", policy="",
    )  # fmt: skip
    fake.log.append(recorded(41, state))
    fake.change(seq=41)
    return fake


@pytest.mark.parametrize("size", SIZES)
def test_all_three_parts_are_there_at_every_size(size: tuple[int, int]) -> None:
    async def run() -> None:
        async with cockpit(engine(), size=size) as under_test:
            await under_test.press("5")
            under_test.clock.now += 2
            await under_test.settle()
            texts = [under_test.text()]
            for _ in range(2):
                await under_test.press("v")
                texts.append(under_test.text())
            assert "risk gates of account" in texts[0] and "trend BTC/USDT: " in texts[0]
            assert any("why is it not trading?" in t and "of this symbol" in t for t in texts)
            assert any("trips and changes" in t and "ACTIVE -> HALTED" in t for t in texts)

    asyncio.run(run())


def test_the_picker_shows_the_gates_of_a_bot_and_asks_the_engine_for_them() -> None:
    async def run() -> None:
        fake = engine()
        async with cockpit(fake) as under_test:
            await under_test.press("5", "b", "t", "r", "e", "enter")
            assert "risk gates of bot trend" in under_test.text()
            assert fake.stood[-1] == ("b1", "binance", "BTC/USDT")
            await under_test.press("w")
            assert "why does it not trade?" in under_test.text()

    asyncio.run(run())


def test_an_engine_that_does_not_answer_leaves_the_board_of_the_picture() -> None:
    async def run() -> None:
        fake = FakeEngine.busy()
        async with cockpit(fake) as under_test:
            await under_test.press("5")
            assert "gross exposure" in under_test.text() and "not recorded" in under_test.text()

    asyncio.run(run())


def test_hostile_text_stays_text() -> None:
    async def run() -> None:
        fake = engine()
        bot = msgspec.structs.replace(BOT, name=EVIL, reason=EVIL, status="ERROR", state="PAUSED", state_reason=EVIL)
        evil_tree = {EVIL: EVIL, "op": EVIL, "result": EVIL, "of": [EVIL]}
        gates = (line(EVIL, actual=EVIL, limit=EVIL, code=EVIL, blocked_what=EVIL, blocked_ts=1, verdict="BLOCKED"),)
        fake.stands = stands(gates=gates, rules={"entry_long": evil_tree}, latched=EVIL)
        fake.change(bots=(bot,), state_actor=EVIL, state_reason=EVIL, state="PAUSED")
        async with cockpit(fake, size=(200, 60)) as under_test:
            await under_test.press("5")
            screen = under_test.app.screen
            assert isinstance(screen, GatesScreen)
            assert all(c.isprintable() for c in screen.why.block.plain.replace("\n", ""))
            assert all("\x1b" not in row and "\u202e" not in row for row in under_test.rows())
            await under_test.press("b", "escape", "w", "escape", "enter")

    asyncio.run(run())


def test_a_real_engine_says_how_things_stand(tmp_path: Path) -> None:
    from screenshots.make import configs

    async def run() -> None:
        stage = await simulated(12, tmp_path, configs())
        await stage.ask(Verb.PAUSE, "ada", "lunch")
        await stage.play(40)
        stage.client.refresh()
        snap = stage.client.snapshot()
        assert snap is not None
        bot, mark = snap.bots[0], snap.marks[0]
        answer = await asyncio.wrap_future(stage.client.standing(bot.id, mark.exchange, mark.symbol))
        assert {g.bot for g in answer.gates} == {"", bot.id} and len(answer.gates) == 2 * len(snap.gates)
        gross = next(g for g in answer.gates if not g.bot and g.gate == "MAX_OPEN_POSITIONS")
        assert gross.standing and gross.hard
        assert answer.rules["entry_long"]["result"] in ("true", "false")
        assert answer.document.startswith("{") and "entry_long" in answer.document
        asked = Asked(bot.id, bot.name, mark.exchange, mark.symbol)
        first = "".join(s.text for s in headline(asked, why(snap, asked, answer, ())))
        assert "does not trade: the account is PAUSED by ada" in first
        (line_of_bot,) = answer.bots
        assert isinstance(line_of_bot, BotLine) and line_of_bot.id == bot.id

    asyncio.run(run())
