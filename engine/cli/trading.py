"""`quantsail bots`, `positions`, `orders`: lists of the newest picture that the engine wrote. They need no database."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from engine.cli.exits import Exit
from engine.cli.ledgers import opened
from engine.cli.tables import table

Row = dict[str, Any]


def show_bots(ledger: str, *, as_json: bool) -> int:
    """Status and trading state of each bot, what it trades and what came of it."""
    heads = ("BOT", "STATUS", "TRADING", "STRATEGY", "SYMBOLS", "PORTFOLIO", "ENTRIES", "REALISED", "OPEN P&L", "WHY")
    return _show(ledger, "bots", heads, _bot, as_json)


def show_positions(ledger: str, *, as_json: bool) -> int:
    heads = ("BOT", "SYMBOL", "SIDE", "QUANTITY", "ENTRY", "MARK", "P&L", "STOP", "TARGET", "ID")
    return _show(ledger, "positions", heads, _position, as_json)


def show_orders(ledger: str, *, as_json: bool) -> int:
    """Open orders; `status --json` also has those that have ended lately."""
    heads = ("BOT", "SYMBOL", "ROLE", "SIDE", "TYPE", "QUANTITY", "FILLED", "PRICE", "STATUS", "ID")
    return _show(ledger, "orders", heads, _order, as_json)


def _show(ledger: str, what: str, heads: Sequence[str], cells: Callable[[Row], Sequence[str]], as_json: bool) -> int:
    entry = opened(ledger)
    rows = [row for row in (entry.status or {}).get(what, []) if what != "orders" or row["is_open"]]
    if as_json:
        print(json.dumps(rows))
        return Exit.OK
    if not entry.running:
        print(f"{entry.name}: no engine is running; this is how it ended", file=sys.stderr)
    if not rows:
        print(f"no open {what}" if what != "bots" else "no bots: the engine has not started yet")
        return Exit.OK
    print("\n".join(table([heads, *(cells(row) for row in rows)])))
    return Exit.OK


def _bot(b: Row) -> Sequence[str]:
    why = b["reason"] if b["status"] != "RUNNING" else ""
    if b["state"] != "ACTIVE":
        why = f"{b['state_reason'] or b['state']} (by {b['state_actor']})"
    money = (f"{amount(b['realized_pnl'])} {b['currency']}", amount(b["unrealized_pnl"]))
    symbols = ", ".join(b["symbols"])
    return (
        b["name"],
        b["status"],
        b["state"],
        b["strategy"],
        symbols,
        b["portfolio"],
        str(b["entries"]),
        *money,
        why,
    )


def _position(p: Row) -> Sequence[str]:
    at = p["price_places"]
    prices = (price(p["entry_price"], at), price(p["mark_price"], at), amount(p["unrealized_pnl"]))
    exits = (price(p["stop_price"], at), price(p["take_profit_price"], at))
    return (p["bot"], p["symbol"], p["side"], p["quantity"], *prices, *exits, p["id"])


def _order(o: Row) -> Sequence[str]:
    status = o["status"] + (f" ({o['flags']})" if o["flags"] else "")
    known = (o["bot"], o["symbol"], o["role"], o["side"], o["order_type"], o["quantity"], o["filled_quantity"])
    return (*known, price(o["price"], o["price_places"]), status, o["id"])


def amount(value: object) -> str:
    """Money for people: two decimals, "-" for nothing."""
    return "-" if value is None else f"{Decimal(str(value)):,.2f}"


def price(value: object, places: int) -> str:
    return "-" if value is None else f"{Decimal(str(value)):,.{places}f}"
