"""`quantsail settings ...`: the declarations. Each imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

settings = typer.Typer(help="Settings of the cockpit: theme, keys, bell (docs/settings.md).", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON value on stdout, for scripts.")]


@settings.command("show")
def settings_show(as_json: AsJson = False) -> None:
    """The settings in use, defaults included."""
    from engine.cli.settings import show

    raise typer.Exit(show(as_json=as_json))


@settings.command("check")
def settings_check(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="Another file than the one in use.")] = None,
    as_json: AsJson = False,
) -> None:
    """Whether the file is good: unknown names, values and keys, and keys that are taken."""
    from engine.cli.settings import check

    raise typer.Exit(check(file, as_json=as_json))


@settings.command("example")
def settings_example(as_json: AsJson = False) -> None:
    """A whole file with comments, to start from."""
    from engine.cli.settings import example

    raise typer.Exit(example(as_json=as_json))


@settings.command("path")
def settings_path(as_json: AsJson = False) -> None:
    """Where the file is looked for."""
    from engine.cli.settings import show_path

    raise typer.Exit(show_path(as_json=as_json))
