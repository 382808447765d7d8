"""Screen 7: what a bot does and has done, its rules in words, its error, and the commands, each asked for first."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.client import BotView, Outcome, TradeView
from engine.core.types import MINUTE_US, Verb
from engine.standing import BotLine, RunnerLine, Standing
from screenshots.make import configs, settled
from screenshots.stage import StageClock, StillClient, simulated
from tests.tui.cockpit_pilot import SIZES, cockpit
from tests.tui.fake_engine import FakeEngine, snapshot
from tests.tui.fake_story import NOW
from tui.app import CockpitApp
from tui.botlines import bot_lines
from tui.widgets.bot_table import results

EVIL = "\x1b]0;owned\x07\x1b[31m\u202e[red]x" + "y" * 10_000
BOT = BotView(
    id="b1", name="trend", status="RUNNING", reason="warm", entries=4, symbols=("BTC/USDT",), strategy="rules 781cc568",
    currency="USDT", realized_pnl=Decimal("3.97"), unrealized_pnl=Decimal("-1.5"), positions=1,
)  # fmt: skip
DOCUMENT = """{"name": "trend", "strategy": {"schema": 1, "indicators": {"rsi": {"fn": "RSI", "params": {"timeperiod": 14}}},
 "entry_long": {"op": "all", "of": [{"op": "lt", "left": "rsi", "right": 70}, {"op": "within", "bars": 3,
 "of": {"op": "crosses_above", "left": "close", "right": "rsi"}}]}}, "sizing": {"kind": "percent_equity", "value": "20"}}"""


def stands(**changes: Any) -> Standing:
    line: dict[str, Any] = {
        "id": "b1", "orders": 2, "wins": 3, "losses": 1, "day_pnl": Decimal("2.47"), "last_signal_ts": NOW - MINUTE_US,
        "last_signal": "ENTRY BUY BTC/USDT",
    }  # fmt: skip
    runner = RunnerLine(
        bot="b1", exchange="binance", symbol="BTC/USDT", bars=120, warmup_bars=400, warm=False, close_ts=NOW, age_us=0
    )
    return Standing(now=NOW, gates=(), runners=(runner,), bots=(BotLine(**(line | changes)),), document=DOCUMENT)


def engine(**changes: Any) -> FakeEngine:
    fake = FakeEngine.busy(bots=(msgspec.structs.replace(BOT, **changes),))
    fake.stands = stands()
    return fake


def text_of(bot: BotView, standing: Standing | None) -> str:
    lines = bot_lines(snapshot(bots=(bot,)), bot, standing)
    return "\n".join("".join(span.text for span in line) for line in lines)


@pytest.mark.parametrize("size", SIZES)
def test_the_row_and_the_panel_at_every_size(size: tuple[int, int]) -> None:
    async def run() -> None:
        async with cockpit(engine(), size=size) as c:
            await c.press("7")
            text = c.text()
            for words in ("bots (1, 1 trading)", "trend", "RUNNING", "ACTIVE", "▲+3.97", "▼-1.50", "▲+2.47"):
                assert words in text
            if size[0] >= 120:
                assert "120/400" in text and "75%" in text and "rsi < 70" in text

    asyncio.run(run())


def test_the_rules_are_told_in_words() -> None:
    text = text_of(BOT, stands())
    for words in (
        "entry long when",
        "all of",
        "rsi < 70",
        "within 3 bars",
        "close crosses above rsi",
        "RSI(timeperiod 14)",
    ):
        assert words in text
    assert "kind percent_equity" in text and "120 of 400 bars" in text


def test_of_another_bot_no_rules_are_shown_and_nothing_is_made_up() -> None:
    other = msgspec.structs.replace(BOT, id="b2", name="other")
    text = text_of(other, stands())
    assert "rsi" not in text and "last signal" not in text
    assert "not recorded" in text_of(msgspec.structs.replace(BOT, status="ERROR", reason=""), None)


def test_an_error_is_shown_with_its_traceback_and_what_to_do() -> None:
    bot = msgspec.structs.replace(BOT, status="ERROR", reason="ZeroDivisionError")
    trace = 'Traceback:\n  File "my.py", line 3, in on_bar\n\tx = 1 / 0'
    text = text_of(bot, stands(error_ts=NOW, error="ZeroDivisionError: division by zero", traceback=trace))
    assert 'File "my.py", line 3' in text and "x = 1 / 0" in text and "C clears it" in text
    over = text_of(BOT, stands(error_ts=NOW, error="ZeroDivisionError", traceback=trace))
    assert "(over: it runs again)" in over and "C clears it" not in over


@pytest.mark.parametrize(
    ("key", "changes", "verb"),
    [
        ("P", {}, Verb.PAUSE),
        ("D", {}, Verb.STOP_BOT),
        ("S", {"status": "STOPPED"}, Verb.START_BOT),
        ("S", {"status": "ERROR"}, Verb.START_BOT),
        ("C", {"status": "ERROR"}, Verb.START_BOT),
    ],
)
@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
def test_a_key_asks_first_and_the_focus_is_on_not_doing_it(
    key: str, changes: dict[str, Any], verb: Verb, size: tuple[int, int]
) -> None:
    async def run() -> None:
        fake = engine(**changes)
        async with cockpit(fake, size=size) as c:
            await c.press("7", key, "enter")
            assert fake.submitted == []
            await c.press(key, "right", "enter")
            assert [(v, asked["target"]) for v, asked in fake.submitted] == [(verb, "b1")]
            assert fake.history.commands[-1][:2] == (verb, "b1")  # type: ignore[attr-defined]

    asyncio.run(run())


def test_resuming_needs_a_reason_which_the_engine_gets() -> None:
    async def run() -> None:
        fake = engine(state="PAUSED", state_actor="gate:REPEATED_EXECUTION_THROTTLE", state_reason="5 losses")
        async with cockpit(fake, size=(80, 24)) as c:
            await c.press("7", "R")
            assert "5 losses" in c.text()
            await c.press("right", "enter")
            assert fake.submitted == [] and "a reason is needed" in c.text()
            await c.press("shift+tab", "shift+tab", *"calm", "enter", "enter")
            assert [(v, asked["reason"]) for v, asked in fake.submitted] == [(Verb.RESUME, "calm")]

    asyncio.run(run())


def test_what_is_so_already_is_said_and_a_refusal_stays_to_be_read() -> None:
    async def run() -> None:
        fake = engine()
        fake.answers[Verb.PAUSE] = Outcome(False, "trading is HALTED already")
        async with cockpit(fake) as c:
            for key, words in (("S", "it is RUNNING already"), ("R", "may trade already"), ("C", "it has no error")):
                await c.press("7", key)
                assert words in c.text()
            await c.press("P", "right", "enter")
            assert "REFUSED: trading is HALTED already" in c.text()

    asyncio.run(run())


def test_who_may_only_look_starts_nothing() -> None:
    async def run() -> None:
        fake = engine()
        async with cockpit(fake, read_only=True) as c:
            await c.press("7", "P")
            assert fake.submitted == [] and "read-only" in c.text()

    asyncio.run(run())


def test_without_a_bot_it_says_what_to_do() -> None:
    async def run() -> None:
        fake = FakeEngine.busy(bots=())
        async with cockpit(fake) as c:
            await c.press("7", "S")
            assert "No bot. Make a config with one" in c.text()

    asyncio.run(run())


def test_the_sparkline_is_the_running_sum_of_ended_round_trips() -> None:
    def trip(bot: str, exit_ts: int, pnl: float) -> TradeView:
        return TradeView(
            id=f"{bot}{exit_ts}", bot=bot, exchange="x", symbol="y", side="LONG", entry_ts=0, entry_price=1.0,
            exit_ts=exit_ts, pnl=pnl,
        )  # fmt: skip

    assert results([trip("a", 2, 3.0), trip("a", 1, -1.0), trip("b", 0, 5.0)]) == {"a": [0.0, -1.0, 2.0]}


def test_hostile_text_stays_text() -> None:
    async def run() -> None:
        fake = engine(name=EVIL, reason=EVIL, strategy=EVIL, state=EVIL, state_reason=EVIL, symbols=(EVIL,))
        fake.stands = msgspec.structs.replace(
            stands(error_ts=NOW, error=EVIL, traceback=EVIL, last_signal=EVIL),
            document=msgspec.json.encode({"name": EVIL, "strategy": {EVIL: EVIL}, EVIL: [EVIL]}).decode(),
        )
        async with cockpit(fake, size=(200, 60)) as c:
            await c.press("7", "enter")
            assert all("\x1b" not in row and "\u202e" not in row for row in c.rows())
            await c.press("escape", "D", "escape", "R")
            assert all("\x1b" not in row and "\u202e" not in row for row in c.rows())

    asyncio.run(run())


def test_a_document_that_is_none_leaves_the_rest_to_be_read() -> None:
    async def run() -> None:
        fake = engine()
        fake.stands = msgspec.structs.replace(stands(), document='{"name": "tre')
        async with cockpit(fake, size=(120, 40)) as c:
            await c.press("7", "enter")
            assert c.app.problem == "" and "RUNNING" in c.text()

    asyncio.run(run())


def test_a_real_bot_is_paused_and_stopped_by_key(tmp_path: Path) -> None:
    async def run() -> None:
        stage = await simulated(12, tmp_path, configs())
        await stage.play(40)
        stage.client.refresh()
        clock = StageClock()
        app = CockpitApp(StillClient(stage.client, clock), crash_log=None, clock=clock)
        async with app.run_test(size=(120, 40)) as pilot:
            await settled(app, pilot, stage, clock)
            for keys in ("7", "P", "right", "enter", "D", "right", "enter"):
                await pilot.press(keys)
                await settled(app, pilot, stage, clock)
            assert app.problem == ""
        found = stage.client.snapshot()
        assert found is not None
        assert (found.bots[0].state, found.bots[0].status) == ("PAUSED", "STOPPED")

    asyncio.run(run())
