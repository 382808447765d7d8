"""`quantsail db ...`: the declarations. Each imports what it needs when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

db = typer.Typer(help="The ledger's database: schema, read tables, copies.", no_args_is_help=True)

Which = Annotated[
    str, typer.Option("--ledger", metavar="NAME", help="The ledger; default: the running one, or the only one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, for scripts.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


@db.command("migrate")
def db_migrate(ledger: Which = "", dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Bring the schema up to this program's; an embedded database is backed up first."""
    from engine.cli import db_migrate as command

    raise typer.Exit(command.migrate(ledger, dry_run=dry_run, as_json=as_json))
