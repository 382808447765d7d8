"""The cockpit's settings: one typed TOML file, `settings.toml` beside the master key, that may be absent.

A file that is wrong is refused as a whole, in one line that says where and what was meant: half a file is worse than none.
The cockpit then goes on with the defaults and says so. msgspec rather than pydantic: this is read before the first paint.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta

from engine import paths
from engine.core.text import safe_text
from tui.actions import ACTIONS
from tui.keymap import KeymapError, checked
from tui.raster import GraphSymbol

Keys = str | list[str]
#: A settings file is small; what is larger is something else.
SIZE_MAX = 65_536
SCREENS = tuple(action.argument for action in ACTIONS if action.name.startswith("screen."))


class SettingsError(Exception):
    """The file cannot be used. The text is one line: where, what, and what was meant."""


class Bell(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the terminal's bell rings, at most once a second. In tmux: `set -g monitor-bell on` marks the window."""

    fills: Annotated[bool, Meta(description="An order has filled")] = False
    alerts: Annotated[bool, Meta(description="An alert was raised")] = False
    stops: Annotated[bool, Meta(description="Trading was stopped: PAUSED, REDUCING or HALTED, by whomever")] = False


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting has a default, so that an empty file is a good one."""

    theme: Annotated[
        Literal["dark", "light", "high-contrast", "mono", "classic"],
        Meta(description="Colours; classic is green and red, mono has none"),
    ] = "dark"
    graph_symbol: Annotated[
        Literal["auto", "braille", "block", "ascii"],
        Meta(description="What charts are drawn with; auto is braille, and ascii where the font has none (TERM=linux)"),
    ] = "auto"
    mouse: Annotated[bool, Meta(description="Clicks and wheel; without it the terminal selects text")] = True
    start_screen: Annotated[str, Meta(description="The first screen")] = "dashboard"
    bell: Bell = Bell()
    keys: Annotated[
        dict[str, Keys],
        Meta(
            description='Keys of actions by name (docs/keys.md): freeze = "Z", help = ["?", "f1"]; all but the kill key'
        ),
    ] = {}

    @property
    def marker(self) -> GraphSymbol:
        """What charts are drawn with, here."""
        if self.graph_symbol != "auto":
            return self.graph_symbol
        return "ascii" if os.environ.get("TERM") == "linux" else "braille"

    @property
    def keymap(self) -> dict[str, tuple[str, ...]]:
        """The remapped actions with their keys, as Textual names them."""
        return checked(self.keys)


def path() -> Path:
    """Where the file is looked for."""
    return paths.config_home() / "settings.toml"


def load(file: Path) -> Settings:
    """The settings of a file; the defaults when there is none. Raises SettingsError."""
    try:
        with file.open("rb") as stream:
            data = stream.read(SIZE_MAX + 1)
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise SettingsError(f"cannot be read: {error.strerror}") from None
    if len(data) > SIZE_MAX:
        raise SettingsError(f"larger than {SIZE_MAX:,} bytes: this is no settings file")
    return parse(data)


def parse(data: bytes) -> Settings:
    """The settings of a TOML document. Raises SettingsError."""
    try:
        document = tomllib.loads(data.decode())
    except UnicodeDecodeError:
        raise SettingsError("is not UTF-8 text") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"is not TOML: {safe_text(str(error), 120)}") from None
    _refuse_unknown(document, Settings, "")
    try:
        settings = msgspec.convert(document, Settings)
        checked(settings.keys)
        if settings.start_screen not in SCREENS:
            given = safe_text(settings.start_screen, 40)
            raise SettingsError(f"start_screen: there is no {given!r}{meant(given, SCREENS)}")
    except msgspec.ValidationError as error:
        raise SettingsError(_said(str(error), document)) from None
    except KeymapError as error:
        raise SettingsError(f"keys.{error}") from None
    return settings


def _refuse_unknown(document: Mapping[str, Any], model: type[msgspec.Struct], where: str) -> None:
    known = model.__struct_fields__
    for name in document:
        if name not in known:
            raise SettingsError(f"{where}{safe_text(name, 40)}: there is no such setting{meant(name, known)}")
    if isinstance(bell := document.get("bell"), dict) and model is Settings:
        _refuse_unknown(bell, Bell, "bell.")


def meant(name: str, known: Iterable[str]) -> str:
    """ "; did you mean X?" for a name that is near a known one, else all that there are."""
    names = list(known)
    near = get_close_matches(name, names, 1, 0.5)
    return f"; did you mean {near[0]}?" if near else f" (there are {', '.join(names)})"


def _said(text: str, document: Mapping[str, Any]) -> str:
    """msgspec's "Invalid enum value 'x' - at `$.theme`" as "theme: ..." with the values that there are."""
    problem, _, at = text.partition(" - at `$.")
    field = at.rstrip("`").replace("[...]", "")
    choices = getattr(_plain(_hints(Settings).get(field)), "__args__", ())
    if problem.startswith("Invalid enum value") and choices:
        given = safe_text(str(document[field]), 40)
        return f"{field}: there is no {given!r}{meant(given, [str(choice) for choice in choices])}"
    words = problem.replace("`", "")
    for theirs, ours in (("str | array", "a key or a list of keys"), *_WORDS.items()):
        words = re.sub(rf"\b{re.escape(theirs)}\b", ours, words)
    return f"{field or 'the document'}: {words[:1].lower()}{safe_text(words[1:], 160)}"


_WORDS = {"bool": "true or false", "str": "text", "array": "a list", "object": "a table", "int": "a number"}


# -- what is shown and documented ----------------------------------------------------------------------------------------------


def _hints(model: type[msgspec.Struct]) -> dict[str, Any]:
    return get_type_hints(model, include_extras=True)


def _plain(hint: Any) -> Any:
    return getattr(hint, "__origin__", hint) if hasattr(hint, "__metadata__") else hint


def rows() -> list[tuple[str, str, str, str]]:
    """(name, what it may be, default, what it does) of every setting."""
    out: list[tuple[str, str, str, str]] = []
    for where, model in (("", Settings), ("bell.", Bell)):
        defaults = model()
        for name, hint in _hints(model).items():
            if name == "bell":
                continue
            kind = _plain(hint)
            choices = getattr(kind, "__args__", ())
            choices = SCREENS if name == "start_screen" else choices
            may = "true, false" if kind is bool else "a table" if name == "keys" else ", ".join(map(str, choices))
            out.append((f"{where}{name}", may, _toml(getattr(defaults, name)), hint.__metadata__[0].description))
    return out


def toml_text(settings: Settings, *, notes: bool = False) -> str:
    """The settings as a file that `load` reads back; with `notes` every line says what it is for."""
    lines: list[str] = ["# Settings of the cockpit. What is left out has its default."] if notes else []
    known = {name: (may, what) for name, may, _, what in rows()}
    for name in ("theme", "graph_symbol", "mouse", "start_screen"):
        lines += [f"\n# {known[name][1]}: {known[name][0]}"] if notes else []
        lines.append(f"{name} = {_toml(getattr(settings, name))}")
    lines += ["\n# The terminal's bell."] if notes else [""]
    lines.append("[bell]")
    for name in Bell.__struct_fields__:
        note = f"  # {known[f'bell.{name}'][1]}" if notes else ""
        lines.append(f"{name} = {_toml(getattr(settings.bell, name))}{note}")
    lines += [f"\n# {known['keys'][1]}"] if notes else [""]
    lines.append("[keys]")
    lines += [f'"{name}" = {_toml(keys)}' for name, keys in settings.keys.items()]
    lines += ['# freeze = "Z"', '# "screen.events" = ["3", "f3"]'] if notes else []
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "{}" if value == {} else msgspec.json.encode(value).decode()


def markdown() -> str:
    """The documentation's table."""
    lines = ["| setting | may be | default | what |", "|---|---|---|---|"]
    lines += [f"| `{name}` | {may} | `{default}` | {what} |" for name, may, default, what in rows()]
    return "\n".join(lines) + "\n"
