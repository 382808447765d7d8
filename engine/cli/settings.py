"""`quantsail settings show|check|example|path`."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from engine.cli.exits import Exit, fail
from tui.settings import Settings, SettingsError, load, path, toml_text


def show(*, as_json: bool) -> int:
    """Print the settings in use."""
    file = path()
    settings = _load(file)
    if as_json:
        print(json.dumps({"path": str(file), "exists": file.exists(), "settings": msgspec.to_builtins(settings)}))
    else:
        print(f"# {file}{'' if file.exists() else ' (not there: defaults)'}\n{toml_text(settings)}", end="")
    return Exit.OK


def check(file: Path | None, *, as_json: bool) -> int:
    """Say whether a file is good; with `as_json` what is wrong is part of the answer."""
    wanted = file or path()
    problem = ""
    try:
        settings = load(wanted)
        if file is not None and not file.exists():
            problem = "there is no such file"
    except SettingsError as error:
        problem = str(error)
    if as_json:
        print(json.dumps({"path": str(wanted), "good": not problem, "problem": problem}))
        return Exit.REFUSED if problem else Exit.OK
    if problem:
        fail(f"{wanted}: {problem}")
    remapped = f", {len(settings.keys)} action{'s' * (len(settings.keys) > 1)} with other keys" if settings.keys else ""
    print(f"{wanted}: good{remapped}" if wanted.exists() else f"{wanted}: not there, defaults are used")
    return Exit.OK


def example(*, as_json: bool) -> int:
    """Print a file that says of every setting what it does."""
    text = toml_text(Settings(), notes=True)
    print(json.dumps({"toml": text}) if as_json else text, end="\n" if as_json else "")
    return Exit.OK


def show_path(*, as_json: bool) -> int:
    """Print where the file is looked for."""
    file = path()
    print(json.dumps({"path": str(file), "exists": file.exists()}) if as_json else file)
    return Exit.OK


def _load(file: Path) -> Settings:
    try:
        return load(file)
    except SettingsError as error:
        fail(f"{file}: {error}")
