"""Stop verbs, `quantsail bots`, `positions`, `orders`: the declarations. Each imports what it needs when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

Which = Annotated[
    str, typer.Option("--ledger", metavar="NAME", help="The ledger; default: the running one, or the only one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON value on stdout, for scripts.")]
Reason = Annotated[str, typer.Option("--reason", "-r", metavar="TEXT", help="Kept in the journal.")]
Bot = Annotated[str, typer.Option("--bot", metavar="NAME", help="Only this bot; default: the whole account.")]
Wait = Annotated[bool, typer.Option("--wait", help="Return only when it is true at the venue.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A bot's name or id.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="An id, or enough of its beginning or end.")]

bots = typer.Typer(help="Bots: what they are doing, and starting and stopping them.", invoke_without_command=True)
positions = typer.Typer(help="Open positions, and closing one.", invoke_without_command=True)
orders = typer.Typer(help="Open orders, and cancelling one.", invoke_without_command=True)


def _ask(ledger: str, verb: str, reason: str, target: str, wait: bool, as_json: bool) -> None:
    from engine.cli.ask import ask
    from engine.cli.ledgers import choose
    from engine.core.types import Verb

    raise typer.Exit(ask(choose(ledger), Verb(verb), reason, target=target, wait=wait, as_json=as_json))


def pause(bot: Bot = "", reason: Reason = "", wait: Wait = False, ledger: Which = "", as_json: AsJson = False) -> None:
    """No new entries: those that wait are cancelled, protective orders stay, positions keep their exits."""
    _ask(ledger, "PAUSE", reason, bot, wait, as_json)


def cancel(bot: Bot = "", reason: Reason = "", wait: Wait = False, ledger: Which = "", as_json: AsJson = False) -> None:
    """No new entries and no open orders: all are cancelled; the engine itself watches stops and targets."""
    _ask(ledger, "CANCEL", reason, bot, wait, as_json)


def flatten(
    bot: Bot = "", reason: Reason = "", wait: Wait = False, ledger: Which = "", as_json: AsJson = False
) -> None:
    """Leave everything: all orders are cancelled, positions closed at market; then trading is PAUSED."""
    _ask(ledger, "FLATTEN", reason, bot, wait, as_json)


def add_stop_verbs(app: typer.Typer) -> None:
    """`pause`, `cancel` and `flatten`, beside `halt`."""
    for command in (pause, cancel, flatten):
        app.command()(command)


@bots.callback()
def bots_list(context: typer.Context, ledger: Which = "", as_json: AsJson = False) -> None:
    """Every bot: status, trading state, strategy, symbols, portfolio, entries, profit and loss."""
    if context.invoked_subcommand is None:
        from engine.cli.trading import show_bots

        raise typer.Exit(show_bots(ledger, as_json=as_json))


@bots.command("start")
def bots_start(name: Name, reason: Reason = "", ledger: Which = "", as_json: AsJson = False) -> None:
    """Let a bot that was stopped, or that failed, begin again with a fresh strategy."""
    _ask(ledger, "START_BOT", reason, name, False, as_json)


@bots.command("stop")
def bots_stop(name: Name, reason: Reason = "", ledger: Which = "", as_json: AsJson = False) -> None:
    """End a bot's entries until it is started again; its positions keep their exits."""
    _ask(ledger, "STOP_BOT", reason, name, False, as_json)


@positions.callback()
def positions_list(context: typer.Context, ledger: Which = "", as_json: AsJson = False) -> None:
    """Every open position."""
    if context.invoked_subcommand is None:
        from engine.cli.trading import show_positions

        raise typer.Exit(show_positions(ledger, as_json=as_json))


@positions.command("close")
def positions_close(position: Id, reason: Reason = "", ledger: Which = "", as_json: AsJson = False) -> None:
    """Close a position at market."""
    _ask(ledger, "CLOSE_POSITION", reason, position, False, as_json)


@orders.callback()
def orders_list(context: typer.Context, ledger: Which = "", as_json: AsJson = False) -> None:
    """Every open order."""
    if context.invoked_subcommand is None:
        from engine.cli.trading import show_orders

        raise typer.Exit(show_orders(ledger, as_json=as_json))


@orders.command("cancel")
def orders_cancel(order: Id, reason: Reason = "", ledger: Which = "", as_json: AsJson = False) -> None:
    """Cancel an order. A protective one that is still needed is placed again."""
    _ask(ledger, "CANCEL_ORDER", reason, order, False, as_json)
