"""The settings file: what it may say, what it is refused for, and what a cockpit does with it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.core import events as ev
from engine.core.types import Verb
from engine.house import FREE_BYTES
from tests.tui.cockpit_pilot import cockpit
from tests.tui.fake_engine import FakeEngine
from tests.tui.fake_story import NOW, cause, recorded
from tui import watch as watching
from tui.actions import ACTIONS, remap
from tui.app import CockpitApp
from tui.settings import SCREENS, SIZE_MAX, Bell, Settings, SettingsError, load, parse, toml_text
from tui.watch import Watch, disk_banner


@pytest.fixture(autouse=True)
def _own_keys() -> Any:
    yield
    remap({})


def watch(tmp_path: Path, text: str = "") -> Watch:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    return Watch(tmp_path, file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('theme = "drak"', "theme: there is no 'drak'; did you mean dark?"),
        ('theme = ["dark"]', "theme: expected text, got a list"),
        ("them = 1", "them: there is no such setting; did you mean theme?"),
        ("zzz = 1", "zzz: there is no such setting (there are theme, "),
        ("mouse = 1", "mouse: expected true or false, got a number"),
        ('start_screen = "event"', "start_screen: there is no 'event'; did you mean events?"),
        ("bell = 3", "bell: expected a table, got a number"),
        ("[bell]\nfils = true", "bell.fils: there is no such setting; did you mean fills?"),
        ('[bell]\nfills = "yes"', "bell.fills: expected true or false, got text"),
        ("[keys]\nfreeze = 3", "keys: expected a key or a list of keys, got a number"),
        ("[keys]\nfreeze = []", "keys.freeze: give it 1 to 8 keys"),
        ('[keys]\nfreze = "a"', "keys.freze: there is no such action; did you mean freeze?"),
        ('[keys]\nkill = "f8"', "keys.kill: the kill key is the same on every machine and cannot be remapped"),
        ('[keys]\nfreeze = "f9"', "keys.freeze: F9 is the key of kill (KILL) already"),
        ('[keys]\nfreeze = "K"', "keys.freeze: K is the key of kill (KILL) already"),
        ('[keys]\nfreeze = "L"', "keys.freeze: L is the key of alerts (alerts) already"),
        ('[keys]\nfreeze = "j"', "keys.freeze: j is the key of down (down) already"),
        ('[keys]\nfreeze = "Z"\ntheme = "Z"', "keys.freeze: Z is the key of theme (theme) already"),
        ('[keys]\nfreeze = "strg+x"', "keys.freeze: 'strg+x' is no key; did you mean ctrl+x?"),
        ('[keys]\nfreeze = "ctrl+ctrl+x"', "is no key"),
        ('[keys]\nfreeze = "\\u001b"', "is no key"),
        ('[keys]\nquit = "q"', "keys.quit: q is needed inside inputs and dialogs"),
        ('[keys]\nquit = "escape"', "keys.quit: Esc is needed inside inputs and dialogs"),
        ("a = [", "is not TOML: "),
        ('"\\u001b]0;owned\\u0007" = 1', "there is no such setting"),
        ("theme = " + "[" * 5_000, "is not TOML"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(text.encode())
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


def test_files_that_are_no_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="UTF-8"):
        parse(b"\xff\xfe")
    big = tmp_path / "big.toml"
    big.write_bytes(b"#" * (SIZE_MAX + 1))
    with pytest.raises(SettingsError, match="larger than"):
        load(big)
    with pytest.raises(SettingsError, match="cannot be read"):
        load(tmp_path)
    assert load(tmp_path / "absent.toml") == Settings()


def test_what_is_written_reads_back() -> None:
    settings = Settings(theme="mono", mouse=False, bell=Bell(stops=True), keys={"freeze": "Z", "help": ["?", "f1"]})
    assert parse(toml_text(settings).encode()) == settings
    assert settings.keymap == {"freeze": ("Z",), "help": ("question_mark", "f1")}


def test_every_action_but_the_kill_key_can_have_another_key() -> None:
    for action in ACTIONS:
        if action.remappable:
            assert parse(f'[keys]\n"{action.name}" = "ctrl+f12"'.encode()).keymap == {action.name: ("ctrl+f12",)}


def test_the_screens_are_those_of_the_app_and_names_are_unique() -> None:
    assert set(SCREENS) == set(CockpitApp.MODES)
    assert len({action.name for action in ACTIONS}) == len(ACTIONS)


async def test_keys_are_remapped_and_every_word_about_them_follows(tmp_path: Path) -> None:
    text = '[keys]\nfreeze = "Z"\nresume = "U"\ndown = ["i", "down"]\nhelp = ["f1"]\n"screen.events" = ["e"]\nacknowledge = "W"'
    engine = FakeEngine.busy(state="HALTED", state_actor="ada", banner="")
    async with cockpit(engine, size=(200, 60), watch=watch(tmp_path, text)) as c:
        assert "U re-arms" in c.rows()[1] and "W: seen" in c.rows()[1]
        assert " e events" in c.rows()[-1] and " f1" not in c.rows()[-1] and "F1 help" in c.rows()[-1]
        await c.press("p", "ctrl+r", "question_mark")
        assert c.app._frozen_since is None and len(c.app.screen_stack) == 1
        await c.press("i")
        assert c.app.screen.focused.cursor_row == 1  # type: ignore[union-attr]
        await c.press("Z")
        assert c.app._frozen_since is not None
        await c.press("Z", "e")
        assert c.app.current_mode == "events"
        await c.press("f1")
        assert " U " in c.text() and "Ctrl+R" not in c.text()
        await c.press("escape", "U")
        assert "Type RESUME" in c.text()
        await c.press(*"RESUME")  # a remapped key is a letter again inside an input
        assert len(c.app.screen_stack) == 2 and "RESUME" in c.text()
        await c.press("f9")
        assert c.engine.verbs == [Verb.HOLD]


async def test_a_key_remapped_from_ctrl_to_a_letter_types_that_letter_in_the_filter(tmp_path: Path) -> None:
    engine = FakeEngine.busy(state="HALTED", state_actor="ada")
    async with cockpit(engine, watch=watch(tmp_path, '[keys]\nresume = "U"\nhalf_down = "V"')) as c:
        await c.press("slash", "U", "V")
        assert c.app.focused.value == "UV" and len(c.app.screen_stack) == 1  # type: ignore[union-attr]


async def test_theme_marker_and_first_screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'theme = "light"\ngraph_symbol = "ascii"\nstart_screen = "events"'
    async with cockpit(watch=watch(tmp_path, text)) as c:
        assert c.app.theme == "quantsail-light" and c.app.graph_symbol == "ascii"
        assert "gross exposure 63.2" in c.text() and c.app.current_mode == "events"
        await c.press("1")
        assert "positions (3)" in c.text()
    monkeypatch.setenv("TERM", "linux")
    assert Settings().marker == "ascii"
    monkeypatch.setenv("TERM", "xterm-256color")
    assert Settings().marker == "braille"


async def test_a_wrong_file_is_said_and_the_cockpit_goes_on(tmp_path: Path) -> None:
    seen = watch(tmp_path, "them = 1")
    async with cockpit(FakeEngine.busy(banner=""), size=(200, 60), watch=seen) as c:
        assert "WARN SETTINGS them: there is no such setting; did you mean theme? - defaults are used" in c.rows()[1]
        await c.press("a")
        assert "seen by" in c.rows()[1]
        change(tmp_path, 'theme = "classic"', seen)
        await c.settle()
        assert c.app.theme == "quantsail-classic" and "SETTINGS" not in c.rows()[1]
        change(tmp_path, "theme = 7", seen)
        await c.settle()
        assert c.app.theme == "quantsail-classic" and "those from before stay" in c.rows()[1]
        await c.press("T")
        change(tmp_path, 'theme = "classic"\n[bell]\nfills = true\n[keys]\nfreeze = "Z"', seen)
        await c.settle()
        assert c.app.theme == "quantsail-dark" and c.app.bells.wanted.fills  # a theme chosen by key stays
        await c.press("Z")
        assert c.app._frozen_since is not None


def change(tmp_path: Path, text: str, seen: Watch) -> None:
    file = tmp_path / "settings.toml"
    before = file.stat().st_mtime_ns
    file.write_text(text)
    os.utime(file, ns=(before + 1_000_000_000, before + 1_000_000_000))
    seen.look()


async def test_the_bell_rings_for_what_is_new_and_wanted(tmp_path: Path) -> None:
    engine = FakeEngine.busy()
    async with cockpit(engine, watch=watch(tmp_path, "[bell]\nalerts = true")) as c:
        rung: list[float] = []
        c.app.bells._ring = lambda: rung.append(c.clock())
        alert = ev.AlertTriggered(ts=NOW, cause=cause(), code="X", text="look")
        for seq in (41, 42):
            engine.log.append(recorded(seq, alert))
            engine.change(seq=seq, beat_mono=c.clock.now)
            c.clock.now += 1.1
            await c.settle()
        assert len(rung) == 2
        engine.log.append(recorded(43, msgspec.structs.replace(engine.log[4].event)))
        engine.change(seq=43, beat_mono=c.clock.now)
        c.clock.now += 1.1
        await c.settle()
        assert len(rung) == 2


async def test_a_full_disk_is_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watch(tmp_path)
    free = {"bytes": 3 << 30}
    usage = type("Usage", (), {"free": property(lambda self: free["bytes"])})
    monkeypatch.setattr(watching.shutil, "disk_usage", lambda folder: usage())
    seen.look()
    async with cockpit(FakeEngine.busy(banner=""), size=(80, 24), watch=seen) as c:
        assert "WARN DISK 3.0 GB left - delete files, or: quantsail db retention" in c.rows()[1]
        free["bytes"] = 200 << 20
        seen.look()
        await c.settle()
        assert "CRIT DISK 200 MB left - DELETE FILES: entries stop soon" in c.rows()[1]
        free["bytes"] = (1 << 30) + 1
        seen.look()
        assert "CRIT" in seen.banners[0]  # calm only when there is a little more than the limit
        free["bytes"] = 50 << 30
        seen.look()
        await c.settle()
        assert "DISK" not in c.rows()[1]


def test_the_disk_is_called_scarce_before_the_engine_holds_entries() -> None:
    assert FREE_BYTES[0] * 2 == watching.SCARCE_BYTES < watching.LOW_BYTES


def test_a_hostile_folder_is_shown_clean() -> None:
    assert disk_banner(1, 1, Path("/x\x1b]0;owned\x07\u202e")).text.isprintable()
