"""docs/commands.md, made from the commands themselves: `python -m engine.cli.docs > docs/commands.md`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from engine.cli.app import app
from engine.cli.exits import MEANINGS

INTRODUCTION = """# Commands

Made from the program by `python -m engine.cli.docs`; a test compares the two. Errors are one line on stderr and an exit status
from the table at the end. With `--json` there is exactly one JSON value on stdout (`events` and `logs`: one a line); money in it
is a string. `--install-completion` sets up the completion of your shell.

Commands that need a ledger take the running one, or the only one, or that of `DATABASE_URL`; `--ledger` names another.
"""


def markdown() -> str:
    """The page."""
    root: Any = typer.main.get_command(app)
    parts = [INTRODUCTION, *_command("quantsail", root), "## Exit statuses\n", _exits()]
    return "\n".join(parts)


def _command(path: str, command: Any) -> Iterator[str]:
    """A command with its options, then those below it."""
    children: dict[str, Any] = getattr(command, "commands", {})
    context = command.make_context(path, [], resilient_parsing=True)
    if not children or command.callback is not None:
        yield f"## `{path}`\n"
        yield f"{_text(command.help)}\n"
        rows = [row for param in command.get_params(context) if (row := _row(param, context)) is not None]
        if rows:
            yield "| Option | What it does |\n| --- | --- |\n" + "\n".join(rows) + "\n"
    for name, child in children.items():
        yield from _command(f"{path} {name}", child)


def _row(param: Any, context: Any) -> str | None:
    record = param.get_help_record(context)
    if record is None or "--help" in param.opts:
        return None
    name, said = record
    return f"| `{name}` | {_text(said).replace('|', '&#124;')} |"


def _text(text: str | None) -> str:
    return " ".join((text or "").split())


def _exits() -> str:
    rows = "\n".join(f"| {int(code)} | {code.name} | {meaning} |" for code, meaning in MEANINGS.items())
    return f"| Status | Name | Meaning |\n| --- | --- | --- |\n{rows}\n"


if __name__ == "__main__":
    print(markdown(), end="")
