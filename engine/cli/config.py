"""`quantsail config ...`: versions of the engine document."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from engine import paths
from engine.cli.exits import Exit, fail
from engine.cli.ledgers import LedgerEntry, choose
from engine.cli.stop import actor
from engine.cli.tables import listing
from engine.config_text import document_of

if TYPE_CHECKING:
    from engine.core.config import Config


def _with_connection(entry: LedgerEntry, work: Any) -> Any:
    """Run `await work(conn)` on the ledger's database, started for it where needed."""
    import asyncio

    from db import audit
    from db.connect import OPERATOR, connect
    from db.database import Database

    database = Database(os.environ.get("DATABASE_URL", ""), paths.data_home())

    async def go() -> Any:
        conn = await connect(await database.open(entry.name), "qs_app", user=OPERATOR, name="quantsail config")
        try:
            async with audit.witnessed(conn, entry.directory):
                return await work(conn)
        finally:
            await conn.close()

    try:
        return asyncio.run(go())
    finally:
        database.close()


def read_document(path: Path) -> Any:
    """The JSON of a file; lines that begin with // are comments. Exits with one line that names file, line and column."""
    try:
        return document_of(path.read_text(encoding="utf-8"))
    except OSError as error:
        fail(f"{path}: {error.strerror}")
    except UnicodeDecodeError:
        fail(f"{path}: not UTF-8 text")
    except RecursionError:
        fail(f"{path}: not a document: nested too deeply")
    except ValueError as error:
        fail(f"{path}: not JSON: {error}")


def load_config(path: Path) -> Config:
    """The config of a file, its Python strategies tried. Exits as `read_document`, also where the document is refused."""
    from engine.core.config import ConfigError, parse_config
    from engine.strategies import StrategyError, factories_for

    document = read_document(path)
    try:
        config = parse_config(document)
        with redirect_stdout(sys.stderr):  # what a package prints is not our answer
            factories_for(config)
    except (ConfigError, StrategyError) as error:
        fail(f"{path}: {error}")
    return config


def check(path: Path, timeframe: str, *, as_json: bool) -> int:
    """Whether a file is a good config, how many bars each bot needs, and what a person should know of it. No ledger needed."""
    from engine.cli.strategies import strategies_of
    from engine.core.config import ConfigError, config_sha256, parse_config
    from engine.core.rules import unknown
    from engine.core.timeframes import TimeframeError
    from engine.core.types import TIMEFRAMES_US

    if timeframe not in TIMEFRAMES_US:
        fail(unknown("timeframe", timeframe, TIMEFRAMES_US), Exit.USAGE)
    document = read_document(path)
    try:
        config = parse_config(document)
        with redirect_stdout(sys.stderr):
            bots = {found["bot"]: found["warmup_bars"] for found in strategies_of(document, TIMEFRAMES_US[timeframe])}
    except (ConfigError, TimeframeError) as error:
        fail(f"{path}: {error}")
    sha256, told = config_sha256(config), list(notes(config))
    if as_json:
        print(json.dumps({"valid": True, "sha256": sha256, "timeframe": timeframe, "warmup_bars": bots, "notes": told}))
        return Exit.OK
    print(f"{path} is valid ({sha256[:12]})")
    for name, bars in bots.items():
        hours = bars * TIMEFRAMES_US[timeframe] / TIMEFRAMES_US["1h"]
        print(f"  bot {name} needs {bars:,} bars of {timeframe} to warm up ({hours:,.1f} hours)")
    for note in told:
        print(f"  note: {note}")
    return Exit.OK


def notes(config: Config) -> Iterator[str]:
    """What is allowed and may still not be meant."""
    from engine.instruments import is_bundled

    for bot in config.bots:
        for symbol in bot.symbols:
            if symbol != "*" and not is_bundled(symbol):
                yield f"bot {bot.name}: {symbol} is not in the bundled table; default rules hold unless the venue says its own"
        if not bot.enabled:
            yield f"bot {bot.name} is not enabled: it will not trade"
        if bot.exits.stop_loss_pct is None and bot.exits.trailing is None:
            yield f"bot {bot.name} has no stop"
        if bot.exits.ladder and bot.exits.take_profit_pct is not None:
            yield f"bot {bot.name}: the ladder replaces take_profit_pct"
    if not any(bot.enabled for bot in config.bots):
        yield "no bot is enabled: nothing will trade"
    for name in ("daily_loss_pct", "max_drawdown_pct"):
        if getattr(config.account.limits, name).hard is None:
            yield f"account.limits.{name} has no hard limit: nothing stops the account by itself"
    idle = {p.name for p in config.account.portfolios} - {bot.portfolio for bot in config.bots}
    yield from (f"no bot trades portfolio {name}" for name in sorted(idle))


def show_schema() -> int:
    """The JSON Schema (2020-12) of a document."""
    from engine.cli.config_schema import json_schema

    print(json.dumps(json_schema(), indent=2))
    return Exit.OK


def show_example() -> int:
    """A whole config with comments, to start from."""
    from importlib.resources import files

    print(files("engine").joinpath("examples/config.jsonc").read_text(encoding="utf-8"), end="")
    return Exit.OK


def new(path: Path, ledger: str, note: str, *, as_json: bool) -> int:
    """Check a document and store it as the next version."""
    from engine.core.config import canonical, config_sha256

    config = load_config(path)
    text, sha256 = canonical(config).decode(), config_sha256(config)

    async def store(conn: Any) -> int:
        from db import configs

        return await configs.new(conn, text, sha256, actor(), note)

    version = _with_connection(choose(ledger), store)
    if as_json:
        print(json.dumps({"version": version, "sha256": sha256}))
    else:
        print(
            f"config {version} stored ({sha256[:12]}); `quantsail config diff {version}`, then `config activate {version}`"
        )
    return Exit.OK


def _lines_of(ledger: str) -> Sequence[Any]:
    async def read(conn: Any) -> Any:
        from db import configs
        from engine.shelf import config_lines

        try:
            active = await configs.active(conn)
        except configs.ConfigStoreError:
            active = None  # its own line says what is wrong with it
        return await config_lines(conn, active[1] if active else None)

    return list(_with_connection(choose(ledger), read))


def show_list(ledger: str, *, as_json: bool) -> int:
    """Every version, newest first."""
    lines = _lines_of(ledger)
    if as_json:
        print(json.dumps(msgspec.to_builtins(lines)))
        return Exit.OK
    if rows := [_row(line) for line in lines]:
        print(listing(rows))
    return Exit.OK


def _row(line: Any) -> Sequence[object]:
    when = datetime.fromtimestamp(line.created_ts / 1e6, UTC).strftime("%Y-%m-%d %H:%MZ")
    changes = line.problem or ("active" if line.is_active else f"{len(line.diff)} changes")
    mark = "*" if line.is_active else ""
    return mark, line.version, line.sha256[:12], when, line.actor, changes, line.note


def show_diff(version: int, ledger: str, *, as_json: bool) -> int:
    """What a version would change."""
    line = next((line for line in _lines_of(ledger) if line.version == version), None)
    if line is None:
        fail(f"there is no config {version}; see `quantsail config list`")
    if as_json:
        print(json.dumps(msgspec.to_builtins(line)))
    elif line.diff or not line.problem:
        print("\n".join(line.diff) or "no difference to the active version")
    if line.problem:
        fail(line.problem)
    return Exit.OK


def show(version: int, ledger: str) -> int:
    """A version's document (0: the active one), ready to be edited and given to `config new`."""

    async def read(conn: Any) -> Any:
        from db import configs

        if version:
            return (await configs.get(conn, version))[0]
        active = await configs.active(conn)
        return active and active[1]

    document = _with_connection(choose(ledger), read)
    if document is None:
        fail("no config is active yet: start the engine once, or see `quantsail config list`")
    print(json.dumps(document, indent=2, sort_keys=True))
    return Exit.OK


def activate(version: int, ledger: str, reason: str, *, as_json: bool) -> int:
    from engine.cli.ask import ask
    from engine.core.types import Verb

    return ask(choose(ledger), Verb.ACTIVATE_CONFIG, reason, version=version, as_json=as_json)


def rollback(ledger: str, reason: str, *, as_json: bool) -> int:
    """Activate the version that was active before the active one."""

    async def read(conn: Any) -> int:
        from db.queries import Queries

        newest = await Queries(conn).newest_events(1, types=["ConfigActivated"])
        return int(json.loads(newest[0].payload)["previous"]) if newest else 0

    previous = _with_connection(choose(ledger), read)
    if not previous:
        fail("there is nothing to roll back to: only one config has been active")
    return activate(previous, ledger, reason or "rollback", as_json=as_json)
