"""The commands. Each imports what it needs when it runs, so that none waits for the libraries of another."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.app_databases import databases
from engine.cli.app_db import db
from engine.cli.app_settings import settings
from engine.cli.app_strategies import strategies
from engine.cli.app_trading import Bot, add_stop_verbs, bots, orders, positions
from engine.cli.exits import Exit, fail
from engine.halt import HALT_REASON

app = typer.Typer(
    name="quantsail",
    help="A trading cockpit for the terminal. Without a command: the cockpit, trading on paper.",
    no_args_is_help=False,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Replay = Annotated[
    list[Path] | None,
    typer.Option(
        "--replay", metavar="FILE...", help="Replay recorded candles (parquet or CSV); several are merged by time."
    ),
]
Simulate = Annotated[
    int | None, typer.Option("--simulate", metavar="SEED", help="A simulated market (the default, seed 1).")
]
LiveData = Annotated[
    str,
    typer.Option("--live-data", metavar="EXCHANGE", help="Public candles of an exchange, as ccxt names it; no keys."),
]
Symbols = Annotated[
    list[str] | None,
    typer.Option("--symbol", metavar="SYMBOL", help="Symbols for --live-data, as BTC/USDT; may be repeated."),
]
Timeframe = Annotated[str, typer.Option("--timeframe", metavar="LENGTH", help="Length of a bar.")]
Speed = Annotated[
    str,
    typer.Option(
        "--speed", metavar="N", help="Data seconds a second, or max. Cockpit: 60; headless: max.", show_default=False
    ),
]
Seed = Annotated[int | None, typer.Option("--seed", metavar="N", help="Fixes the ledger's id and every other draw.")]
LedgerName = Annotated[
    str, typer.Option("--ledger", metavar="NAME", help="The ledger; default: one per feed and seed.")
]
Mouse = Annotated[bool, typer.Option("--mouse/--no-mouse", help="Mouse support; without it the terminal selects text.")]
View = Annotated[bool, typer.Option("--view", help="Look only: this cockpit gives no command, the kill key neither.")]
Balance = Annotated[
    str, typer.Option("--balance", metavar="AMOUNT", help="Opening balance of a fresh ledger, in its quote currency.")
]
Plain = Annotated[bool, typer.Option("--plain", help="All that the dashboard shows, in words and columns.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON value on stdout, for scripts.")]


@app.callback(invoke_without_command=True)
def cockpit(
    context: typer.Context,
    replay: Replay = None,
    simulate: Simulate = None,
    live_data: LiveData = "",
    symbol: Symbols = None,
    timeframe: Timeframe = "1m",
    speed: Speed = "",
    seed: Seed = None,
    ledger: LedgerName = "",
    balance: Balance = "10000",
    mouse: Mouse = True,
    view: View = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """The cockpit."""
    if version:
        from engine.cli.inspect import installed_version

        print(f"quantsail {installed_version()}")
        raise typer.Exit
    if context.invoked_subcommand is not None:
        if len(sys.argv) > 1 and sys.argv[1].startswith("-"):
            fail(
                f"put the options behind the command: quantsail {context.invoked_subcommand} {sys.argv[1]} ...",
                Exit.USAGE,
            )
        return
    from engine.cli.run import make_options, run_cockpit

    options = make_options(
        replay, simulate, live_data, symbol, timeframe, speed, seed, ledger, balance, default_speed=60
    )
    raise typer.Exit(run_cockpit(options, mouse=mouse, view=view))


@app.command()
def run(
    headless: Annotated[bool, typer.Option("--headless", help="Without a screen.")] = False,
    until_end: Annotated[bool, typer.Option("--until-end", help="Exit when the data ends (headless).")] = False,
    as_json: AsJson = False,
    replay: Replay = None,
    simulate: Simulate = None,
    live_data: LiveData = "",
    symbol: Symbols = None,
    timeframe: Timeframe = "1m",
    speed: Speed = "",
    seed: Seed = None,
    ledger: LedgerName = "",
    balance: Balance = "10000",
    mouse: Mouse = True,
    view: View = False,
    max_candles: Annotated[
        int, typer.Option(metavar="N", help="Stop after so many candles (0: no bound); for endless feeds.")
    ] = 0,
) -> None:
    """Run the engine; with --headless without a screen, the same engine otherwise."""
    from engine.cli.run import make_options, run_cockpit, run_headless

    if not headless:
        options = make_options(
            replay, simulate, live_data, symbol, timeframe, speed, seed, ledger, balance, default_speed=60
        )
        raise typer.Exit(run_cockpit(options, mouse=mouse, view=view))
    options = make_options(
        replay, simulate, live_data, symbol, timeframe, speed, seed, ledger, balance, default_speed=None
    )
    raise typer.Exit(run_headless(options, until_end=until_end, as_json=as_json, max_candles=max_candles))


Which = Annotated[
    str, typer.Option("--ledger", metavar="NAME", help="The ledger; default: the running one, or the only one.")
]
Halted = Annotated[str, typer.Option("--ledger", metavar="NAME", help="One ledger; default: all of them.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")]
Reason = Annotated[str, typer.Option("--reason", "-r", metavar="TEXT", help="Kept in the journal.")]
Version = Annotated[int, typer.Argument(help="The number of a config version.")]


@app.command()
def halt(
    reason: Reason = HALT_REASON,
    ledger: Halted = "",
    wait: Annotated[bool, typer.Option("--wait", help="Return only when the engine has confirmed it.")] = False,
    bot: Bot = "",
    as_json: AsJson = False,
) -> None:
    """Stop trading: nothing that can add risk is sent from now on. Needs no database and no cockpit (with --bot it does)."""
    if bot:
        from engine.cli.ask import ask
        from engine.cli.ledgers import choose
        from engine.core.types import Verb

        raise typer.Exit(ask(choose(ledger), Verb.HALT, reason, target=bot, wait=wait, as_json=as_json))
    from engine.cli import stop

    raise typer.Exit(stop.halt(ledger, reason, wait=wait, as_json=as_json))


add_stop_verbs(app)


@app.command()
def stop(ledger: Which = "") -> None:
    """End a running engine safely: what it decided is committed, protective orders stay. Not a halt."""
    from engine.cli import stop as stopping

    raise typer.Exit(stopping.end_engine(ledger))


@app.command()
def resume(reason: Reason = "", bot: Bot = "", ledger: Which = "", as_json: AsJson = False) -> None:
    """Trade again after a stop; needs a --reason."""
    if not reason.strip():
        fail('resuming needs a reason: quantsail resume --reason "..."', Exit.USAGE)
    from engine.cli.ask import ask
    from engine.cli.ledgers import choose
    from engine.core.types import Verb

    raise typer.Exit(ask(choose(ledger), Verb.RESUME, reason, target=bot, as_json=as_json))


@app.command()
def status(ledger: Which = "", plain: Plain = False, as_json: AsJson = False) -> None:
    """What is going on: state, equity, positions, open orders. Needs no database."""
    from engine.cli import stop

    raise typer.Exit(stop.show_status(ledger, as_json=as_json, plain=plain))


@app.command()
def ledgers(as_json: AsJson = False) -> None:
    """All ledgers of this installation."""
    from engine.cli import stop

    raise typer.Exit(stop.show_ledgers(as_json=as_json))


@app.command()
def events(
    ledger: Which = "",
    count: Annotated[
        int, typer.Option("--count", "-n", metavar="N", min=0, max=100_000, help="How many of the newest.")
    ] = 20,
    follow: Follow = False,
    as_json: AsJson = False,
) -> None:
    """The journal's newest events."""
    from engine.cli import inspect

    raise typer.Exit(inspect.show_events(ledger, count, follow=follow, as_json=as_json))


@app.command()
def replay(
    at: Annotated[str, typer.Option("--at", metavar="TIME", help="As 2026-11-21 03:12:04, 03:12 or -4h, in UTC.")],
    ledger: Which = "",
    plain: Annotated[bool, typer.Option("--plain", help="Print it, also on a terminal.")] = False,
    as_json: AsJson = False,
) -> None:
    """The ledger as it was, from the journal alone: in the cockpit, or printed where there is no terminal. Reads only."""
    from engine.cli.replay import replay as show

    raise typer.Exit(show(ledger, at, plain=plain, as_json=as_json))


@app.command()
def logs(
    lines: Annotated[int, typer.Option("--lines", "-n", metavar="N", min=0, help="How many of the newest.")] = 50,
    follow: Follow = False,
    as_json: AsJson = False,
) -> None:
    """The program's log."""
    from engine.cli import inspect

    raise typer.Exit(inspect.show_logs(lines, follow=follow, as_json=as_json))


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check what a run needs: Python, folders, terminal, PostgreSQL, schema."""
    from engine.cli.doctor import doctor as examine

    raise typer.Exit(examine(as_json=as_json))


@app.command()
def backtest(
    replay: Replay = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="A config document; default: the default one.")
    ] = None,
    balance: Balance = "10000",
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Fixes every draw.")] = 1,
    cases: Annotated[
        Path | None, typer.Option("--cases", metavar="FILE", help="Instead: a JSON list of cases (docs/cases.md).")
    ] = None,
    events: Annotated[
        Path | None, typer.Option("--events", metavar="FILE", help="Write the journal there, one event a line.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """A config over recorded candles, through the engine and the paper venue, without a ledger. Exits 1 when a bot fails."""
    if cases is not None:
        if replay or config or events:
            fail("--cases brings its own candles and config: leave --replay, --config and --events out", Exit.USAGE)
        from engine.cli.backtest_cases import run_cases

        raise typer.Exit(run_cases(cases, as_json=as_json))
    if not replay:
        fail("which candles? --replay FILE...", Exit.USAGE)
    from engine.cli.backtest_files import run_files
    from engine.cli.run import parse_balance

    raise typer.Exit(run_files(replay, config, parse_balance(balance), seed, events, as_json=as_json))


config = typer.Typer(help="Versions of the engine's configuration.", no_args_is_help=True)
audit = typer.Typer(help="The journal's integrity.", no_args_is_help=True)
app.add_typer(bots, name="bots")
app.add_typer(positions, name="positions")
app.add_typer(orders, name="orders")
app.add_typer(config, name="config")
app.add_typer(audit, name="audit")
app.add_typer(db, name="db")
app.add_typer(databases, name="databases")
app.add_typer(strategies, name="strategies")
app.add_typer(settings, name="settings")


@config.command("new")
def config_new(
    file: Annotated[Path, typer.Argument(help="A JSON document, // comments allowed; `config example` prints one.")],
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="Shown in the list.")] = "",
    ledger: Which = "",
    as_json: AsJson = False,
) -> None:
    """Check a document and store it as the next version."""
    from engine.cli import config as commands

    raise typer.Exit(commands.new(file, ledger, note, as_json=as_json))


@config.command("check")
def config_check(
    file: Annotated[Path, typer.Argument(help="A JSON document, // comments allowed.")],
    timeframe: Timeframe = "1m",
    as_json: AsJson = False,
) -> None:
    """Whether a document is good, how many bars its bots need, and what to know of it. Needs no ledger."""
    from engine.cli import config as commands

    raise typer.Exit(commands.check(file, timeframe, as_json=as_json))


@config.command("example")
def config_example() -> None:
    """A whole config with comments, to start from."""
    from engine.cli import config as commands

    raise typer.Exit(commands.show_example())


@config.command("schema")
def config_schema() -> None:
    """The JSON Schema (2020-12) of a config, for editors and other programs."""
    from engine.cli import config as commands

    raise typer.Exit(commands.show_schema())


@config.command("list")
def config_list(ledger: Which = "", as_json: AsJson = False) -> None:
    """Every version, newest first."""
    from engine.cli import config as commands

    raise typer.Exit(commands.show_list(ledger, as_json=as_json))


@config.command("show")
def config_show(
    version: Annotated[int, typer.Argument(help="A version; 0 is the active one.")] = 0, ledger: Which = ""
) -> None:
    """A version's document, as JSON."""
    from engine.cli import config as commands

    raise typer.Exit(commands.show(version, ledger))


@config.command("diff")
def config_diff(version: Version, ledger: Which = "", as_json: AsJson = False) -> None:
    """What a version would change, against the active one."""
    from engine.cli import config as commands

    raise typer.Exit(commands.show_diff(version, ledger, as_json=as_json))


@config.command("activate")
def config_activate(version: Version, reason: Reason = "", ledger: Which = "", as_json: AsJson = False) -> None:
    """Trade by a version from now on."""
    from engine.cli import config as commands

    raise typer.Exit(commands.activate(version, ledger, reason, as_json=as_json))


@config.command("rollback")
def config_rollback(reason: Reason = "", ledger: Which = "", as_json: AsJson = False) -> None:
    """Trade by the version that was active before."""
    from engine.cli import config as commands

    raise typer.Exit(commands.rollback(ledger, reason, as_json=as_json))


@audit.command("verify")
def audit_verify(ledger: Which = "", as_json: AsJson = False) -> None:
    """Walk the hash chain, the anchors and the read tables; exit 6 when something was changed."""
    from engine.cli import inspect

    raise typer.Exit(inspect.verify(ledger, as_json=as_json))


def expand_replay(argv: list[str]) -> list[str]:
    """`--replay A B C` as `--replay A --replay B --replay C`: shells expand globs to what the option would not take."""
    out: list[str] = []
    taking = False
    for word in argv:
        if taking and not word.startswith("-") and (Path(word).suffix or Path(word).exists()):
            if out[-1] != "--replay":
                out.append("--replay")
            out.append(word)
            continue
        taking = word == "--replay"
        out.append(word)
    return out
