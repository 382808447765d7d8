"""`quantsail replay --at TIME`: a ledger as it was, from its journal alone, read only: in the cockpit, or printed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any

from engine import paths
from engine.cli.exits import Exit, fail
from engine.cli.ledgers import choose
from engine.core.canonical import decimal_text


def replay(ledger: str, at: str, *, plain: bool = False, as_json: bool = False) -> int:
    """Show what `Picture` knows of a moment. Exits with one line where there is none."""
    from db.database import Database
    from engine.journals import PgSource
    from engine.reading import Reader
    from engine.timemachine import TimeMachine
    from tui.driver import terminal_problem
    from tui.moments import HINT, moment

    entry = choose(ledger)
    database = Database(os.environ.get("DATABASE_URL", ""), paths.data_home())
    try:
        dsn = asyncio.run(database.locate(entry.name))  # as it is: neither made nor migrated
        reader = Reader(dsn)
        machine = TimeMachine(PgSource(reader), reader, entry.name)
        try:
            # Times without a day, and ages, count from the newest event: that is the ledger's own now.
            ends = machine.ask(machine.source.ends()).result()
            ts = moment(at, ends[1].ts if ends is not None else 0)
            if ts is None:
                fail(f"--at {at}: write {HINT}", Exit.USAGE)
            picture = machine.at_time(ts).result()
            if not plain and not as_json and sys.stdout.isatty() and terminal_problem() is None:
                return _cockpit(picture, machine)
        finally:
            reader.close()
    finally:
        database.close()
    found = facts(picture)
    if as_json:
        print(json.dumps(found))
    else:
        sys.stdout.write(page(found))
    return Exit.OK


def _cockpit(picture: Any, machine: Any) -> int:
    """All screens at that moment. No engine is behind them: nothing can be sent, and the end of the screen is the end."""
    from engine import logs
    from engine.pastclient import PastClient
    from tui import settings
    from tui.app import RETURN_STOPPED, CockpitApp
    from tui.watch import Watch

    class Cockpit(CockpitApp):
        def on_ready(self) -> None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._leave, RETURN_STOPPED)

    logs.set_up()
    client = PastClient(picture, machine)
    watch = Watch(paths.data_home(), settings.path())
    app = Cockpit(client, crash_log=paths.logs_dir() / "crash.log", read_only=True, watch=watch)
    app.past.stay(client)
    result = app.run(mouse=watch.settings.mouse)
    return Exit.OK if result is not None else Exit.REFUSED


def facts(picture: Any) -> dict[str, Any]:
    """For scripts: money as text, times as int us UTC."""
    snapshot = picture.snapshot
    return {
        "ledger": snapshot.ledger,
        "ledger_id": snapshot.ledger_id,
        "at": picture.ts,
        "seq": picture.seq,
        "event": picture.kind,
        "newest_seq": picture.head.seq,
        "mode": snapshot.mode,
        "state": snapshot.state,
        "state_reason": snapshot.state_reason,
        "held": snapshot.held,
        "config_version": snapshot.config_version,
        "currency": snapshot.base_currency,
        **{name: decimal_text(getattr(snapshot, name)) for name in ("equity", "cash", "unrealized_pnl", "day_pnl")},
        "orders": snapshot.orders_total,
        "fills": snapshot.fills_total,
        "trades": snapshot.trades_total,
        "positions": [
            {
                "id": p.id, "bot": p.bot, "exchange": p.exchange, "symbol": p.symbol, "side": p.side,
                "quantity": decimal_text(p.quantity), "entry_price": decimal_text(p.entry_price),
                "mark_price": decimal_text(p.mark_price), "unrealized_pnl": decimal_text(p.unrealized_pnl),
                "stop_price": None if p.stop_price is None else decimal_text(p.stop_price), "opened_ts": p.opened_ts,
            }
            for p in snapshot.positions
        ],
        "open_orders": [
            {
                "id": o.id, "bot": o.bot, "exchange": o.exchange, "symbol": o.symbol, "side": o.side, "role": o.role,
                "order_type": o.order_type, "quantity": decimal_text(o.quantity), "status": o.status,
                "price": None if o.price is None else decimal_text(o.price),
            }
            for o in snapshot.orders
            if o.is_open
        ],
        "bots": [{"name": b.name, "status": b.status, "state": b.state} for b in snapshot.bots],
        "not_recorded": ["quotes", "order books", "candles", "latencies", "marks between samples"],
    }  # fmt: skip


def page(found: dict[str, Any]) -> str:
    """The same for people."""
    from engine.core.text import safe_text
    from engine.pastview import utc

    lines = [
        f"PAST {utc(found['at'])}  {found['ledger']}  event {found['seq']:,} of {found['newest_seq']:,}: {found['event']}",
        f"{found['mode']} {found['state']} {found['state_reason']}".rstrip() + f"  config v{found['config_version']}",
        f"equity ~{found['equity']} {found['currency']}  cash {found['cash']}  day {found['day_pnl']}",
        f"{found['orders']:,} orders, {found['fills']:,} fills, {found['trades']:,} round trips so far",
        *(
            f"position  {p['symbol']} {p['side']} {p['quantity']} at {p['entry_price']}, mark ~{p['mark_price']}, "
            f"P&L ~{p['unrealized_pnl']}, stop {p['stop_price'] or 'NONE'}  {p['bot']}"
            for p in found["positions"]
        ),
        *(
            f"order     {o['symbol']} {o['side']} {o['quantity']} {o['role']} {o['order_type']} {o['price'] or ''} {o['status']}"
            for o in found["open_orders"]
        ),
        *(f"bot       {b['name']} {b['status']} {b['state']}" for b in found["bots"]),
        f"~ not recorded: {', '.join(found['not_recorded'])}",
    ]
    return "\n".join(safe_text(line, 400) for line in lines) + "\n"
