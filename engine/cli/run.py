"""`quantsail` and `quantsail run`: the engine behind a screen, or without one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import redirect_stdout
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from engine.cli.exits import Exit, fail
from engine.options import Options, OptionsError


def make_options(
    replay: list[Path] | None,
    simulate: int | None,
    live_data: str,
    symbols: list[str] | None,
    timeframe: str,
    speed: str,
    seed: int | None,
    ledger: str,
    balance: str,
    *,
    default_speed: float | None,
) -> Options:
    """Options of a run. Raises OptionsError."""
    if not replay and simulate is None and not live_data:
        simulate = 1
    return Options(
        replay=tuple(replay or ()),
        simulate=simulate,
        live_data=live_data,
        symbols=tuple(symbols or ()),
        timeframe=timeframe,
        speed=_speed(speed, default_speed),
        seed=seed,
        ledger=_ledger(ledger),
        balance=parse_balance(balance),
        database_url=os.environ.get("DATABASE_URL", ""),
    )


def _speed(text: str, default: float | None) -> float | None:
    if not text:
        return default
    if text.lower() == "max":
        return None
    try:
        speed = float(text.lower().removesuffix("x"))
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise OptionsError(f"--speed {text}: give a number above 0 (60 plays a minute a second), or max")
    return speed


def _ledger(name: str) -> str:
    if (name and not all(c in "abcdefghijklmnopqrstuvwxyz0123456789_" for c in name)) or len(name) > 50:
        raise OptionsError(f"--ledger {name}: use at most 50 of a-z, 0-9 and _")
    return name


def parse_balance(text: str) -> Decimal:
    """An amount above zero. Raises OptionsError."""
    try:
        balance = Decimal(text)
    except InvalidOperation:
        balance = Decimal(0)
    if not balance.is_finite() or balance <= 0:
        raise OptionsError(f"--balance {text}: give an amount above 0")
    return balance


def run_headless(options: Options, *, until_end: bool, as_json: bool, max_candles: int = 0) -> int:
    """The engine in this thread until its data ends, or until SIGTERM or Ctrl-C stop it safely."""
    from engine import logs
    from engine.app import Session
    from engine.local import LocalClient

    logs.set_up()
    client = LocalClient()
    session = Session(options, client, until_end=until_end, max_candles=max_candles)

    async def serve() -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, session.stop, signal.Signals(number).name)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)  # a closed terminal is no reason to stop
        await session.boot()
        progress = asyncio.create_task(_say_progress(client)) if sys.stderr.isatty() else None
        try:
            await session.serve()
        finally:
            if progress:
                progress.cancel()
                print("\r\x1b[K", end="", file=sys.stderr)
        return session.result()

    with redirect_stdout(sys.stderr):  # what a Python strategy prints is not our answer
        result = asyncio.run(serve())
    if as_json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:>12}  {value}")
    return Exit.OK


async def _say_progress(client: Any) -> None:
    while True:
        snapshot = client.snapshot()
        if snapshot is not None and snapshot.replay is not None:
            share = f"{snapshot.replay.progress:6.1%}" if snapshot.replay.progress is not None else ""
            line = f"{share} {snapshot.replay.played:,} candles, {snapshot.trades_total} trades, equity {snapshot.equity:,.2f}"
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        await asyncio.sleep(0.5)


def run_cockpit(options: Options, *, mouse: bool = True, view: bool = False) -> int:
    """The cockpit in this thread, the engine in its own, started once the first screen is painted."""
    from engine import logs, paths
    from engine.cli.stop import actor
    from tui.driver import terminal_problem

    if problem := terminal_problem():
        fail(problem, Exit.USAGE)
    logs.keep_off_the_terminal()  # the engine's thread sets up the log itself
    from engine.host import EngineHost
    from engine.local import LocalClient
    from tui import settings
    from tui.app import RETURN_STOPPED, RETURN_TERMINAL_LOST, CockpitApp
    from tui.watch import Watch

    client = LocalClient()
    host = EngineHost(options, client)

    class Cockpit(CockpitApp):
        """The cockpit of this process: it starts the engine, and leaves when the engine could not start."""

        def on_ready(self) -> None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._leave, RETURN_STOPPED)
            self.call_after_refresh(self._start)

        def _start(self) -> None:
            host.start()
            watch.start()
            self._start_watch = self.set_interval(0.2, self._watch_start)

        def _watch_start(self) -> None:
            if client.snapshot() is not None:
                self._start_watch.stop()
            elif host.error:
                self._leave(RETURN_STOPPED)

    # A closed window ends the screen, not the engine; Textual's driver sees the end of input and says so.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    watch = Watch(paths.data_home(), settings.path())
    app = Cockpit(
        client,
        crash_log=paths.logs_dir() / "crash.log",
        actor=actor("cockpit"),
        read_only=view,
        watch=watch,
        welcomed=paths.welcomed(),
    )
    result = app.run(mouse=mouse and watch.settings.mouse)
    watch.stop()
    if result == RETURN_TERMINAL_LOST:
        _detach_streams()
        _serve_without_a_screen(host)
    elif result is None and host.running:
        print(
            "quantsail: the screen failed (see `quantsail logs`); the engine goes on. Ctrl-C stops it.", file=sys.stderr
        )
        _serve_without_a_screen(host)
    return _stopped(host)


def _stopped(host: Any) -> int:
    from engine.host import STOP_TIMEOUT_S

    host.stop("quit")
    if not host.join(STOP_TIMEOUT_S):
        fail("the engine did not stop in time; its state is in the journal up to the last commit")
    if host.error:
        fail(host.error, Exit(host.exit_code))
    return Exit.OK


def _detach_streams() -> None:
    """Nobody reads them any more, and a write to a terminal that is gone raises."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)


def _serve_without_a_screen(host: Any) -> None:
    """The engine goes on (decisions.md 18): status, halt and events --follow reach it, SIGTERM stops it safely."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: host.stop("signal"))
    while not host.join(0.5):
        pass
