"""`quantsail db ...`: the declarations. Each imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
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


@db.command("backup")
def db_backup(
    ledger: Which = "",
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Where to; default: the ledger's own folder.")
    ] = None,
    keep: Annotated[
        int,
        typer.Option(
            "--keep", metavar="N", min=0, help="Afterwards delete all but the newest N of `db backup`; 0: none."
        ),
    ] = 0,
    verify: Annotated[bool, typer.Option("--verify", help="Restore the copy aside and compare it.")] = False,
    show_list: Annotated[bool, typer.Option("--list", help="Only list the copies that are there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Copy the whole database into one file with a manifest beside it. An engine may run meanwhile."""
    from engine.cli import db_backup as command

    if show_list:
        raise typer.Exit(command.show_list(ledger, as_json=as_json))
    raise typer.Exit(command.backup(ledger, to, keep, verify=verify, as_json=as_json))


@db.command("restore")
def db_restore(
    file: Annotated[Path, typer.Argument(help="A dump that `db backup` made.")],
    ledger: Annotated[
        str, typer.Option("--ledger", metavar="NAME", help="The ledger to make; default: the one that was copied.")
    ] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Replace the ledger; it is backed up first.")] = False,
    unaudited: Annotated[
        bool, typer.Option("--unaudited", help="Restore also what does not pass `audit verify`, and say so.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make a ledger from a copy: restored aside, compared, migrated and verified before anything is replaced."""
    from engine.cli import db_restore as command

    raise typer.Exit(
        command.restore(file, ledger, replace=replace, unaudited=unaudited, dry_run=dry_run, as_json=as_json)
    )


@db.command("check")
def db_check(ledger: Which = "", as_json: AsJson = False) -> None:
    """Compare the schema with what the migrations make, by name; exit 6 when something was changed."""
    from engine.cli import db_check as command

    raise typer.Exit(command.check(ledger, as_json=as_json))


@db.command("rebuild")
def db_rebuild(ledger: Which = "", dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Make the read tables anew from the journal; with --dry-run only say what that would change."""
    from engine.cli import db_rebuild as command

    raise typer.Exit(command.rebuild(ledger, dry_run=dry_run, as_json=as_json))


@db.command("export")
def db_export(
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="An empty folder, or one to make.")],
    ledger: Which = "",
    table: Annotated[
        list[str] | None, typer.Option("--table", metavar="NAME", help="Only this table; may be repeated.")
    ] = None,
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="parquet, csv or jsonl.")] = "parquet",
    since: Annotated[str, typer.Option("--from", metavar="TIME", help="Rows from this time on (ISO 8601, UTC).")] = "",
    until: Annotated[str, typer.Option("--to-time", metavar="TIME", help="Rows before this time.")] = "",
    as_json: AsJson = False,
) -> None:
    """Write the tables to files, without secrets, with a manifest; all of one moment."""
    from engine.cli import db_export as command

    raise typer.Exit(command.export(to, ledger, table or [], form, since, until, as_json=as_json))


@db.command("upgrade-server")
def db_upgrade_server(
    old_bin: Annotated[
        Path | None,
        typer.Option("--old-bin", metavar="DIR", help="Programs of the old version, if they are not found."),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Move the embedded server's data to the newest PostgreSQL that is installed; the old data is kept."""
    from engine.cli import db_upgrade as command

    raise typer.Exit(command.upgrade_server(old_bin, dry_run=dry_run, as_json=as_json))


@db.command("convert")
def db_convert(
    table: Annotated[str, typer.Argument(help="A table, or `embeddings`; none: list them.")] = "",
    to: Annotated[str, typer.Option("--to", metavar="PROFILE", help="Default: the best that this server has.")] = "",
    ledger: Which = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Move a table between native partitions, pg_partman and TimescaleDB, embeddings between arrays and vectors."""
    from engine.cli import db_convert as command

    raise typer.Exit(command.convert(ledger, table, to, dry_run=dry_run, as_json=as_json))


@db.command("retention")
def db_retention(
    ledger: Which = "",
    apply: Annotated[bool, typer.Option("--apply/--dry-run", help="Drop what the policies let go.")] = False,
    hold: Annotated[str, typer.Option("--hold", metavar="SUBJECT", help="Keep all of a policy until released.")] = "",
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why it is held; for --hold.")] = "",
    release: Annotated[str, typer.Option("--release", metavar="SUBJECT", help="End a hold.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show what retention would drop, and what is kept and why; --apply drops it."""
    from engine.cli import db_retention as command

    raise typer.Exit(command.retention(ledger, apply=apply, hold=hold, reason=reason, release=release, as_json=as_json))


@db.command("archive")
def db_archive(
    ledger: Which = "",
    to: Annotated[str, typer.Option("--to", metavar="URL", help="Folder, or an address like s3://bucket/path.")] = "",
    only: Annotated[str, typer.Option("--table", metavar="T", help="This table, whatever its policy says.")] = "",
    before: Annotated[str, typer.Option("--before", metavar="TIME", help="Rows before it; for --table.")] = "",
    apply: Annotated[bool, typer.Option("--apply/--dry-run", help="Write the segments and read them back.")] = False,
    show_list: Annotated[bool, typer.Option("--list", help="Only list the segments that are there.")] = False,
    restore: Annotated[str, typer.Option("--restore", metavar="ID", help="Bring the rows of a segment back.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show what is due for the archive; --apply writes Parquet files, read back and compared."""
    from engine.cli import db_retention as command

    options = {"to": to, "only": only, "before": before, "restore": restore}
    raise typer.Exit(command.archive(ledger, **options, apply=apply, show_list=show_list, as_json=as_json))


@db.command("maintain")
def db_maintain(ledger: Which = "", as_json: AsJson = False) -> None:
    """Do at once what the engine does hourly: partitions, longer bars, results per day, archive, retention."""
    from engine.cli import db_retention as command

    raise typer.Exit(command.maintain(ledger, as_json=as_json))
