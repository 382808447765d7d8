"""The form of screen 6: one value at a time, only whole documents that are valid, stored with a word about why."""

from __future__ import annotations

import json

import pytest

from engine.config_form import read, refusal, replaced, settings, whole, words
from engine.core.config import default_config
from tests.tui.cockpit_pilot import SIZES, Cockpit, cockpit
from tui.editor import editor_command
from tui.screens.configform import ConfigForm, SettingsTable
from tui.screens.configs import ConfigsScreen
from tui.screens.dialog import AskDialog

DOCUMENT = whole(default_config().model_dump(mode="json", by_alias=True))
STOP = ("bots", 0, "exits", "stop_loss_pct")


def test_every_value_has_a_row_of_its_own_and_rules_are_one() -> None:
    keys = {one.key: one for one in settings(DOCUMENT)}
    assert keys["bots[trend].exits.stop_loss_pct"].text == "2"
    assert keys["bots[trend].symbols"].text == '["*"]'
    assert keys["account.limits.max_order_value.hard"].text == "none"
    assert keys["bots[trend].strategy"].text.startswith("{")
    assert not any(key.startswith("bots[trend].strategy.") for key in keys)


@pytest.mark.parametrize(
    ("typed", "before", "value"),
    [
        ("2.5", "2", "2.5"),
        ("2.5", None, "2.5"),
        ("3", "2", "3"),
        ("3", 20, 3),
        ("none", "2", None),
        ("true", False, True),
        ('["BTC/USDT"]', ["*"], ["BTC/USDT"]),
        ("LIMIT", "MARKET", "LIMIT"),
        ("[", "x", "["),
    ],
)
def test_what_is_typed_is_read_as_the_kind_of_value_that_was_there(typed: str, before: object, value: object) -> None:
    assert read(typed, before) == value


def test_a_value_that_makes_no_config_is_refused_with_its_path() -> None:
    assert refusal(replaced(DOCUMENT, STOP, "2.5")) == ""
    assert "stop_loss_pct" in refusal(replaced(DOCUMENT, STOP, "much"))
    assert "bots[0].exits.stop_loss_pct" in refusal(replaced(DOCUMENT, STOP, "-1")).replace("$.", "")


def test_a_setting_says_what_it_means() -> None:
    assert words(STOP).startswith("Distance of the stop")
    assert words(("schema",)) == "Version of this format."
    assert words(("nothing", "of", "this")) == ""


def test_the_editor_is_the_operators_own() -> None:
    assert editor_command({"VISUAL": "code --wait", "EDITOR": "vi"}) == ["code", "--wait"]
    assert editor_command({"VISUAL": "'", "EDITOR": "vi"}) == ["vi"]


async def form(c: Cockpit) -> ConfigForm:
    await c.press("6", "n")
    await c.pilot.pause(0.1)
    await c.settle()
    assert isinstance(c.app.screen, ConfigForm)
    return c.app.screen


async def change(c: Cockpit, key: str, value: str) -> None:
    c.app.screen.query_one(SettingsTable).move_to(key)
    await c.press("enter")
    assert isinstance(c.app.screen, AskDialog)
    await c.press("ctrl+u", *(["minus" if ch == "-" else ch for ch in value]), "enter")


@pytest.mark.parametrize("size", SIZES)
async def test_a_changed_setting_is_stored_as_the_next_version(size: tuple[int, int]) -> None:
    async with cockpit(size=size) as c:
        await form(c)
        await change(c, "bots[trend].exits.stop_loss_pct", "3")
        assert "(1 changed)" in c.text() and "bots[trend].exits.stop_loss_pct" in c.text()
        await c.press("ctrl+s", *"wider", "enter")
        await c.pilot.pause(0.1)
        await c.settle()
        assert isinstance(c.app.screen, ConfigsScreen)
        text, note, actor = c.engine.stored[0]
        assert json.loads(text)["bots"][0]["exits"]["stop_loss_pct"] == "3" and (note, actor) == ("wider", "cockpit")
        assert "is stored; A activates it" in c.text()


async def test_a_value_that_is_refused_stays_to_be_mended() -> None:
    async with cockpit(size=(80, 24)) as c:
        await form(c)
        await change(c, "bots[trend].exits.stop_loss_pct", "-1")
        assert isinstance(c.app.screen, AskDialog) and "stop_loss_pct" in c.text()
        await c.press("escape")
        assert isinstance(c.app.screen, ConfigForm) and not c.app.screen.changes


async def test_changes_are_not_thrown_away_by_one_key() -> None:
    async with cockpit(size=(80, 24)) as c:
        await form(c)
        await c.press("ctrl+s")
        assert "nothing is changed" in c.text()
        await change(c, "warmup_factor", "30")
        await c.press("escape")
        assert isinstance(c.app.screen, ConfigForm) and "Esc again" in c.text()
        await c.press("escape")
        assert isinstance(c.app.screen, ConfigsScreen) and not c.engine.stored


async def test_a_cockpit_that_only_looks_makes_no_version() -> None:
    async with cockpit(size=(80, 24), read_only=True) as c:
        await c.press("6", "n")
        assert isinstance(c.app.screen, ConfigsScreen) and "read-only" in c.text()
