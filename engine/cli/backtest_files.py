"""`quantsail backtest --replay FILE...`: a config over recorded candles, through the engine, on a journal in memory."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from db.memory import MemoryJournal
from engine import logs, publish
from engine.backtest import Backtest
from engine.cli.config import load_config
from engine.cli.exits import Exit, fail
from engine.cli.tables import table
from engine.cli.trading import amount
from engine.client import BotView
from engine.core import margin
from engine.core.canonical import decimal_text
from engine.core.config import default_config
from engine.core.events import BotStatusChanged, Event, encode
from engine.core.types import QUANTUM, BotStatus
from engine.feeds.base import utc
from engine.feeds.replay import ReplayFeed
from engine.metrics import Figures, Tally
from engine.naming import one_currency

#: Candles between two lines of progress.
PROGRESS_CANDLES = 100_000


def run_files(
    files: list[Path], config_file: Path | None, balance: Decimal, seed: int, events: Path | None, *, as_json: bool
) -> int:
    """Play the files to their end and say what came of it; with `events`, write the journal there, one event a line.

    REFUSED when a bot went to ERROR on the way: its figures are those of a strategy that had stopped.
    """
    logs.set_up()
    with redirect_stdout(sys.stderr):  # what a Python strategy prints is not our answer
        result = _ran(files, config_file, balance, seed, events)
    if as_json:
        print(json.dumps(result))
    else:
        print("\n".join(_lines(result)))
    return Exit.REFUSED if any(bot["status"] == BotStatus.ERROR for bot in result["bots"].values()) else Exit.OK


def _ran(
    files: list[Path], config_file: Path | None, balance: Decimal, seed: int, events: Path | None
) -> dict[str, Any]:
    config = load_config(config_file) if config_file else default_config()
    feed = ReplayFeed.open(files)
    journal = MemoryJournal()
    run = Backtest(
        config, feed.instruments, journal, balance=balance, currency=one_currency(feed), seed=seed, feed=feed.identity
    )
    if why_not := run.setup.untradable(feed.instruments) or run.setup.unfit(feed.timeframe_us):
        fail(why_not)
    gc.collect()
    gc.freeze()  # what the start made lives on: collections need not look at it until the end
    try:
        _play(run, feed)
        run.finish()
    finally:
        gc.unfreeze()
    played = [event for _, event in journal.store.pairs]
    if events is not None:
        _write(events, played)
    return _result(run, feed, played)


def _play(run: Backtest, feed: ReplayFeed) -> None:
    """All inputs, with a line of progress on a terminal."""
    shown, told = 0, sys.stderr.isatty()
    for chunk in feed.chunks():
        run.feed(chunk)
        if told and run.market.candles - shown >= PROGRESS_CANDLES:
            shown = run.market.candles
            share = f"{shown / feed.total:.0%}" if feed.total else ""
            counts = run.ledger.counts
            print(f"\r\x1b[K{share} {shown:,} candles, {counts.trades:,} trades", end="", file=sys.stderr, flush=True)
    if told and shown:
        print("\r\x1b[K", end="", file=sys.stderr)


def _write(path: Path, events: Iterable[Event]) -> None:
    try:
        with path.open("wb") as file:
            for event in events:
                file.write(encode(event) + b"\n")
    except OSError as error:
        fail(f"{path}: {error.strerror}")


def _result(run: Backtest, feed: ReplayFeed, events: Sequence[Event]) -> dict[str, Any]:
    """What `--json` prints. Money and ratios are strings, percent where the name says so; None has no meaning here."""
    ledger, market = run.ledger, run.market
    tally = Tally()
    for event in events:
        tally.see(event)
    first_ts = (feed.first_ts or 0) - feed.timeframe_us
    tally.during(first_ts, feed.last_ts or 0)
    portfolios = []
    for account in ledger.accounts.values():
        equity = margin.equity(ledger, market, account)
        tally.sample(account.portfolio_id, ledger.now, equity)
        fall = tally.fall(account.portfolio_id)
        portfolios.append(
            {
                "portfolio": account.name,
                "currency": account.currency,
                "initial_balance": decimal_text(account.initial_balance),
                "final_equity": decimal_text(equity),
                "return_pct": decimal_text(((equity / account.initial_balance - 1) * 100).quantize(QUANTUM)),
                "max_drawdown_pct": decimal_text(fall.pct) if fall else "0",
                "max_drawdown": decimal_text(fall.money) if fall else "0",
                "max_drawdown_from": utc(fall.peak_ts) if fall else None,
                "max_drawdown_to": utc(fall.trough_ts) if fall else None,
                "fees": decimal_text(account.fees),
                "funding": decimal_text(account.funding),
            }
        )
    bots = publish.bots(ledger, market, run.setup)
    symbols = sorted({symbol for _, symbol in market.instruments})
    reasons = sorted({trade.reason for trade in tally.trades})
    return {
        "from": utc(first_ts),
        "to": utc(feed.last_ts or 0),
        "candles": market.candles,
        "events": ledger.seq,
        "gaps": len(feed.gaps),
        "config_sha256": run.setup.sha256,
        **_plain(tally.figures()),
        **portfolios[0],  # its fees and funding are those of open positions, too
        "open_positions": len(ledger.positions),
        "orders": ledger.counts.orders,
        "fills": ledger.counts.fills,
        "denied": dict(sorted(tally.denied.items(), key=lambda item: (-item[1], item[0]))),
        "state": ledger.state,
        "portfolios": portfolios,
        "bots": {bot.name: _plain(tally.figures(bot_id=bot.id)) | _bot(bot) for bot in bots},
        "symbols": {symbol: _plain(tally.figures(symbol=symbol)) for symbol in symbols},
        "exits": {reason: _plain(tally.figures(reason=reason)) for reason in reasons},
        "notes": [*feed.notes, *publish.never_traded(market, run.setup, ledger), *_failed(bots, events)],
        "state_hash": ledger.state_hash(),
    }


def _bot(bot: BotView) -> dict[str, Any]:
    """How a bot ended, and what it still holds."""
    return {
        "status": bot.status,
        "portfolio": bot.portfolio,
        "currency": bot.currency,
        "entries": bot.entries,
        "open_positions": bot.positions,
        "unrealized_pnl": decimal_text(bot.unrealized_pnl),
    }


def _failed(bots: Sequence[BotView], events: Iterable[Event]) -> list[str]:
    """A line for each time that a bot went to ERROR: who, when, why, and where in its code."""
    names = {bot.id: bot.name for bot in bots}
    return [
        f"bot {names[e.bot_id]} went to ERROR at {utc(e.ts)}: {e.reason} ({_innermost(e.traceback)})"
        for e in events
        if isinstance(e, BotStatusChanged) and e.status is BotStatus.ERROR
    ]


def _innermost(traceback: str) -> str:
    """The last frame: above the line with the exception."""
    return traceback.splitlines()[-2:][0]


def _ended(figures: dict[str, Any]) -> str:
    """How a bot ended, where that is not as it should be."""
    status = figures.get("status", BotStatus.RUNNING)
    return "" if status == BotStatus.RUNNING else f" ({status})"


def _plain(figures: Figures) -> dict[str, Any]:
    found = msgspec.structs.asdict(figures)
    return {key: decimal_text(value) if isinstance(value, Decimal) else value for key, value in found.items()}


def _lines(r: dict[str, Any]) -> list[str]:
    lines = [
        f"{r['from']} to {r['to']}: {r['candles']:,} candles, {r['gaps']} gaps, {r['events']:,} events",
        f"  equity      {amount(r['initial_balance'])} -> {amount(r['final_equity'])} {r['currency']} "
        f"({Decimal(r['return_pct']):+.2f} %), max drawdown {amount(r['max_drawdown_pct'])} %",
        f"  trades      {r['trades']:,}, {r['wins']:,} won ({amount(r['win_rate_pct'])} %), "
        f"profit factor {amount(r['profit_factor'])}, payoff {amount(r['payoff_ratio'])}",
        f"  costs       fees {amount(r['fees'])}, funding {amount(r['funding'])}",
        f"  exposure    {amount(r['exposure_pct'])} % of the time, {amount(r['average_minutes'])} minutes a trade",
        f"  state       {r['state']}, {r['open_positions']} positions open",
    ]
    if r["denied"]:
        lines.append("  denied      " + ", ".join(f"{code} {count:,}" for code, count in r["denied"].items()))
    if len(r["portfolios"]) > 1:
        lines += [
            f"  portfolio   {p['portfolio']}: {amount(p['initial_balance'])} -> {amount(p['final_equity'])} "
            f"{p['currency']} ({Decimal(p['return_pct']):+.2f} %), max drawdown {amount(p['max_drawdown_pct'])} %"
            for p in r["portfolios"]
        ]
    heads = ("OF", "TRADES", "WON %", "NET P&L", "PROFIT FACTOR", "EXPOSURE %")
    keys = ("win_rate_pct", "net_pnl", "profit_factor", "exposure_pct")
    rows = [
        (f"{what} {name}{_ended(f)}", f"{f['trades']:,}", *(amount(f[key]) for key in keys))
        for what, group in (("bot", r["bots"]), ("symbol", r["symbols"]), ("exit", r["exits"]))
        for name, f in group.items()
    ]
    lines += [f"  {line}" for line in table([heads, *rows])]
    return lines + [f"  note: {note}" for note in r["notes"]]
