"""`quantsail strategies ...`: the declarations. Each imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

strategies = typer.Typer(
    help="Strategies: rules as data, and Python ones that are installed (docs/strategies.md).", no_args_is_help=True
)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON value on stdout, for scripts.")]


@strategies.command("list")
def strategies_list(as_json: AsJson = False) -> None:
    """Installed Python strategies with what is wrong with them, and the examples that come with the program."""
    from engine.cli.strategies import show_list

    raise typer.Exit(show_list(as_json=as_json))


@strategies.command("show")
def strategies_show(name: Annotated[str, typer.Argument(help="The name of an example.")]) -> None:
    """An example's rules, ready to be edited and checked."""
    from engine.cli.strategies import show

    raise typer.Exit(show(name))


@strategies.command("check")
def strategies_check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Rules, or a whole config.")],
    timeframe: Annotated[
        str, typer.Option("--timeframe", metavar="LENGTH", help="Length of the bars that it would run on.")
    ] = "1m",
    as_json: AsJson = False,
) -> None:
    """Whether rules or the strategies of a config are valid, what they read, and how many bars they need to warm up."""
    from engine.cli.strategies import check

    raise typer.Exit(check(file, timeframe, as_json=as_json))
