"""Screen 0: facts by section, what cannot be read said, the audit trail, and its verification with progress and cancel."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import Future
from pathlib import Path

import pytest

from engine.operations import AuditLine, Fact, Operations, gather, of_copies, of_disk
from screenshots.make import configs
from screenshots.stage import simulated
from tests.tui.cockpit_pilot import SIZES, Cockpit, cockpit
from tests.tui.fake_engine import FakeEngine
from tests.tui.fake_story import NOW
from tui.screens.operations import OperationsScreen
from tui.verifying import Verdict, Verifier

EVIL = "\x1b]0;owned\x07\x1b[31m\u202e[red]x" + "y" * 10_000
FINE = 'print(\'{"ok": true, "text": "ok 12 events"}\')'
BROKEN = 'print(\'{"ok": false, "text": "FAILED event 3: is not what its hash says"}\'); raise SystemExit(6)'
SLOW = "import time; time.sleep(600)"


def program(code: str) -> Verifier:
    return Verifier((sys.executable, "-c", code))


def engine(text: str = "PostgreSQL 16.4") -> FakeEngine:
    fake = FakeEngine.busy()
    entry = AuditLine(seq=7, ts=NOW, actor=text, action="COMMAND_GIVEN", about="commands", what=text)
    facts = (
        Fact("database", "server", text), Fact("disk", "ledger's folder", "2.0 GB free", "warn"),
        Fact("not there yet", "smoke runs", "not there yet"),
    )  # fmt: skip
    fake.runs_on = Operations(facts=facts, audit=(entry,), events=1_234)
    return fake


@pytest.mark.parametrize("size", SIZES)
def test_facts_and_audit_trail_at_every_size(size: tuple[int, int]) -> None:
    async def run() -> None:
        async with cockpit(engine(), size=size) as c:
            await c.press("0")
            await c.settle()
            text = c.text()
            for words in ("loop lag", "PostgreSQL 16.4", "audit trail (1 newest)", "COMMAND_GIVEN", "verify journal"):
                assert words in text
            await c.press("tab", "enter")
            assert "audit entry" in c.text()

    asyncio.run(run())


def test_a_database_that_does_not_answer_leaves_the_rest() -> None:
    async def run() -> None:
        fake = FakeEngine.busy(database_down_mono=990.0)
        async with cockpit(fake) as c:
            await c.press("0")
            assert "does not answer" in c.text() and "reading ..." in c.text()

    asyncio.run(run())


async def verified(c: Cockpit, verifier: Verifier) -> None:
    screen = c.app.screen
    assert isinstance(screen, OperationsScreen)
    screen.verifier = verifier
    await c.press("V")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (FINE, "✔ ok 12 events"),
        (BROKEN, "✖ FAILED event 3"),
        ("raise SystemExit('no such ledger')", "? no such ledger"),
    ],
)
def test_the_verdict_is_that_of_the_program(code: str, words: str) -> None:
    async def run() -> None:
        async with cockpit(engine()) as c:
            await c.press("0")
            await verified(c, program(code))
            for _ in range(200):
                if words in c.text():
                    break
                await asyncio.sleep(0.05)
                await c.settle()
            assert words in c.text()

    asyncio.run(run())


def test_a_long_verification_shows_its_progress_and_is_cancelled_by_esc() -> None:
    async def run() -> None:
        async with cockpit(engine()) as c:
            await c.press("0")
            await verified(c, program(SLOW))
            c.clock.now += 3
            await c.settle()
            assert "verifying 1,234 events and the audit trail, 3 s - Esc cancels" in c.text()
            await c.press("V")
            assert "it is being verified" in c.text()
            await c.press("escape")
            for _ in range(200):
                if "cancelled" in c.text():
                    break
                await asyncio.sleep(0.05)
                await c.settle()
            assert "cancelled: nothing was found out" in c.text()

    asyncio.run(run())


def test_cancelling_before_it_began_ends_it_too() -> None:
    verifier = program(SLOW)
    future: Future[Verdict] = verifier.start("x")
    verifier.cancel()
    assert future.result(30) == Verdict(None, "cancelled: nothing was found out")


def test_a_program_that_is_not_there_is_said() -> None:
    verdict = Verifier(("/nowhere/program",)).start("x").result(30)
    assert verdict.ok is None and verdict.text


def test_hostile_text_stays_text() -> None:
    async def run() -> None:
        async with cockpit(engine(EVIL), size=(200, 60)) as c:
            await c.press("0")
            await c.settle()
            assert "[red]x" in c.text()
            await c.press("tab", "enter")
            assert all("\x1b" not in row and "\u202e" not in row for row in c.rows())

    asyncio.run(run())


def test_disk_and_copies_say_what_to_do(tmp_path: Path) -> None:
    (fact,) = of_disk(tmp_path, "folder")
    assert "GB free of" in fact.value
    assert "cannot be asked" in of_disk(tmp_path / "gone", "folder")[0].value
    assert "quantsail db backup" in of_copies(tmp_path)[0].value
    (tmp_path / "a.dump").write_bytes(b"x")
    assert of_copies(tmp_path)[0].section == "backups"


def test_an_engine_without_a_database_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        stage = await simulated(12, tmp_path, configs())
        await stage.play(8)
        found = await gather(stage, None, tmp_path, None)
        by_name = {fact.name: fact.value for fact in found.facts}
        assert by_name["server"] == "none: this ledger lives in memory"
        assert "bars" in by_name["BTC/USDT sim"] and {f.section for f in found.facts} >= {
            "orders",
            "reconciliation",
            "smoke runs",
        }

    asyncio.run(run())
