"""`quantsail databases ...`: the declarations. Each imports what it needs when it runs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

databases = typer.Typer(help="Other databases to connect to; passwords are kept encrypted.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The name of a stored database.")]
Which = Annotated[
    str, typer.Option("--ledger", metavar="NAME", help="The ledger; default: the running one, or the only one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON value on stdout, for scripts.")]


class Kind(StrEnum):
    """What kinds of server there are."""

    POSTGRESQL = "postgresql"
    MYSQL = "mysql"
    MONGODB = "mongodb"


class TlsChoice(StrEnum):
    """How much of the server's identity is checked; `db.probe.Tls` says it in full."""

    VERIFY_FULL = "verify-full"
    VERIFY_CA = "verify-ca"
    REQUIRE = "require"
    DISABLE = "disable"


@databases.command("add")
def databases_add(
    name: Annotated[str, typer.Argument(help="A name of your own for it.")],
    kind: Annotated[Kind, typer.Option("--type", metavar="KIND", help="postgresql, mysql or mongodb.")],
    host: Annotated[
        str, typer.Option("--host", metavar="HOST", help="Name or address; for postgresql also its socket's folder.")
    ],
    database: Annotated[str, typer.Option("--database", metavar="NAME", help="The database there.")],
    port: Annotated[int, typer.Option("--port", metavar="N", help="0: the usual one of its kind.")] = 0,
    user: Annotated[str, typer.Option("--user", metavar="NAME", help="The login there.")] = "",
    password_file: Annotated[
        Path | None,
        typer.Option("--password-file", metavar="FILE", help="Its first line is the password; - reads stdin."),
    ] = None,
    no_password: Annotated[bool, typer.Option("--no-password", help="The server asks for none.")] = False,
    tls: Annotated[
        TlsChoice | None,
        typer.Option(
            "--tls",
            metavar="MODE",
            help="verify-full (the default), verify-ca, require, or disable (the default on this machine).",
            show_default=False,
        ),
    ] = None,
    ca_file: Annotated[str, typer.Option("--ca-file", metavar="FILE", help="PEM of the authority to trust.")] = "",
    cert_file: Annotated[str, typer.Option("--cert-file", metavar="FILE", help="PEM of our certificate.")] = "",
    key_file: Annotated[str, typer.Option("--key-file", metavar="FILE", help="PEM of its key.")] = "",
    ledger: Which = "",
    as_json: AsJson = False,
) -> None:
    """Store a database. The password is asked for, or read from a file: it is never an argument."""
    from engine.cli import databases as commands

    where = commands.Where(
        name=name, kind=kind.name, host=host, port=port, database=database, user=user,
        tls=tls.value if tls else "", ca_file=ca_file, cert_file=cert_file, key_file=key_file,
    )  # fmt: skip
    raise typer.Exit(commands.add(where, ledger, password_file, no_password=no_password, as_json=as_json))


@databases.command("test")
def databases_test(
    name: Name,
    timeout: Annotated[float, typer.Option("--timeout", metavar="S", min=0.1, max=300, help="Seconds.")] = 10,
    ledger: Which = "",
    as_json: AsJson = False,
) -> None:
    """Connect once and keep what came of it; exit 1 when it failed."""
    from engine.cli import databases as commands

    raise typer.Exit(commands.test(name, ledger, timeout, as_json=as_json))


@databases.command("list")
def databases_list(ledger: Which = "", as_json: AsJson = False) -> None:
    """Every stored database and its last test; never a password."""
    from engine.cli import databases as commands

    raise typer.Exit(commands.show_list(ledger, as_json=as_json))


@databases.command("remove")
def databases_remove(
    name: Name,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    ledger: Which = "",
    as_json: AsJson = False,
) -> None:
    """Take a database out of the list."""
    from engine.cli import databases as commands

    raise typer.Exit(commands.remove(name, ledger, dry_run=dry_run, as_json=as_json))
