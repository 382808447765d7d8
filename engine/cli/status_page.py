"""`status --plain`: all that the cockpit's dashboard shows, in words and columns, for a screen reader, a pager or a mail."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from engine.cli.tables import table
from engine.cli.trading import amount, price
from engine.core.text import safe_text
from tui.gatewords import gate_label, limit_said, tidy

Status = dict[str, Any]


def ages(now: Status) -> dict[str, float | None]:
    """Seconds at the engine's last sign of life: since the last data, and without a database (None: it is there)."""
    beat, down = now.get("beat_mono"), now.get("database_down_mono")
    if beat is None:
        return {"feed_age_s": None, "database_down_s": None}
    return {
        "feed_age_s": round(beat - now["last_input_mono"], 1),
        "database_down_s": None if down is None else round(beat - down, 1),
    }


def plain(now: Status) -> list[str]:
    """The sections below the short answer; [] for a ledger that was never opened."""
    if "equity" not in now:
        return []
    return [
        *_account(now),
        *_health(now),
        *(_section("accounts", _ACCOUNTS, map(_one_account, now["accounts"])) if whose(now) else []),
        *_section("positions", _POSITIONS, map(_position, now["positions"])),
        *_section("orders, open ones first", _ORDERS, map(_order, now["orders"])),
        *_section("risk gates", _GATES, map(_gate, now["gates"])),
        *_section("bots", _BOTS, map(_bot, now["bots"])),
        *_section("markets", _MARKETS, map(_mark, now["marks"])),
        *_last_stop(now.get("stopped")),
    ]


def whose(now: Status) -> str:
    """ " of main" where there are several accounts: equity, day and drawdown are of the first."""
    accounts = now.get("accounts") or []
    return f" of {safe_text(accounts[0]['name'], 40)}" if len(accounts) > 1 else ""


def _account(now: Status) -> list[str]:
    return [
        "",
        "account",
        f"  time        {when(now['now'])}",
        f"  equity      {amount(now['equity'])} {now['base_currency']}{whose(now)}, cash {amount(now['cash'])}, "
        f"open P&L {signed(now['unrealized_pnl'])}",
        f"  day         {signed(now['day_pnl'])}, {signed(now['day_pct'])} %",
        f"  in all      {signed(now['total_pct'])} %, drawdown {amount(now['drawdown_pct'])} %",
        f"  counts      {now['orders_total']:,} orders, {now['fills_total']:,} fills, {now['trades_total']:,} round trips",
        f"  entries     {'HELD until the kill dialog is answered' if now['held'] else 'not held'}",
        f"  config      v{now['config_version']}, {now['config_sha256'][:12]}",
    ]


_ACCOUNTS = ("ACCOUNT", "EQUITY", "CURRENCY", "OPENED WITH")


def _one_account(account: Status) -> Sequence[str]:
    return account["name"], amount(account["equity"]), account["currency"], amount(account["opened_with"])


def _health(now: Status) -> list[str]:
    found = ages(now)
    down = found["database_down_s"]
    lines = [
        "",
        "health",
        f"  feed        {safe_text(now['feed'], 60)}: {safe_text(now['feed_status'], 120)}",
        f"  last data   {found['feed_age_s']:g} s before this",
        f"  database    {'ok' if down is None else f'DOWN for {down:g} s'}, {now['database_ms']:.0f} ms a commit",
        f"  loop lag    {now['lag_ms']:.1f} ms",
    ]
    if now.get("error"):
        lines.append(f"  ERROR       {safe_text(now['error'], 200)}")
    replay = now.get("replay")
    if replay is not None:
        speed = "max" if replay["speed"] is None else f"{replay['speed']:g}"
        of = "" if replay["total"] is None else f" of {replay['total']:,}"
        word = "warming up" if replay["warming"] else replay["state"]
        lines.append(f"  replay      {word}, speed {speed}, {replay['played']:,}{of} candles, {replay['gaps']} gaps")
    return [*lines, *([f"  note        {safe_text(now['banner'], 200)}"] if now.get("banner") else [])]


def _section(name: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    found = list(rows)
    return ["", name, *(f"  {line}" for line in (table([heads, *found]) if found else ["none"]))]


_POSITIONS = (
    "BOT", "EXCHANGE", "SYMBOL", "SIDE", "QUANTITY", "ENTRY", "MARK", "P&L", "P&L %", "STOP", "TARGET", "OPENED", "ID",
)  # fmt: skip


def _position(p: Status) -> Sequence[str]:
    at = p["price_places"]
    stop = price(p["stop_price"], at) + (" trailing" if p["trailing"] else "")
    mark = ("~" if p["sampled"] else "") + price(p["mark_price"], at)
    return (
        p["bot"], p["exchange"], p["symbol"], p["side"], p["quantity"], price(p["entry_price"], at), mark,
        signed(p["unrealized_pnl"]), signed(p["unrealized_pct"]), stop if p["stop_price"] is not None else "NONE",
        price(p["take_profit_price"], at), when(p["opened_ts"]), p["id"],
    )  # fmt: skip


_ORDERS = (
    "TIME", "BOT", "EXCHANGE", "SYMBOL", "SIDE", "ROLE", "TYPE", "QUANTITY", "FILLED", "PRICE", "STATUS", "REASON", "ID",
)  # fmt: skip


def _order(o: Status) -> Sequence[str]:
    status = o["status"] + (f" ({o['flags']})" if o["flags"] else "")
    return (
        when(o["ts"]), o["bot"], o["exchange"], o["symbol"], o["side"], o["role"], o["order_type"], o["quantity"],
        o["filled_quantity"], price(o["price"], o["price_places"]), status, o["reason"] or "-", o["id"],
    )  # fmt: skip


_GATES = ("GATE", "STATE", "ACTUAL", "LIMIT", "UNIT", "USED", "LAST BLOCK", "BLOCKED")
_VERDICTS = {"ALLOWED": "PASS", "WARNED": "WARN", "BLOCKED": "BLOCK", "IDLE": "idle"}


def _gate(g: Status) -> Sequence[str]:
    used = "-" if g["used"] is None else f"{g['used']:.0%}"
    last = when(g["blocked_ts"]) if g["blocked_ts"] else "never"
    state = str(_VERDICTS.get(g["verdict"], g["verdict"]))
    actual = tidy(g["actual"]) if g["actual"] else "-"
    limit = limit_said(g["gate"], g["actual"], g["limit"], g["verdict"]) if g["limit"] else "-"
    return (gate_label(g["gate"]), state, actual, limit, g["unit"] or "-", used, last, g["blocked_what"] or "-")


_BOTS = (
    "BOT",
    "STATUS",
    "TRADING",
    "STRATEGY",
    "SYMBOLS",
    "PORTFOLIO",
    "ENTRIES",
    "OPEN",
    "REALISED",
    "OPEN P&L",
    "WHY",
)


def _bot(b: Status) -> Sequence[str]:
    why = b["state_reason"] or b["reason"] or "-"
    money = (f"{signed(b['realized_pnl'])} {b['currency']}", signed(b["unrealized_pnl"]))
    known = (b["name"], b["status"], b["state"], b["strategy"], ", ".join(b["symbols"]), b["portfolio"])
    return (*known, str(b["entries"]), str(b["positions"]), *money, why)


_MARKETS = ("SYMBOL", "EXCHANGE", "PRICE", "RULES FROM")


def _mark(m: Status) -> Sequence[str]:
    return (m["symbol"], m["exchange"], price(m["price"], m["price_places"]), m["rules"])


def _last_stop(stopped: Status | None) -> list[str]:
    if stopped is None:
        return []
    of = f", bot {safe_text(stopped['bot'], 40)}" if stopped["bot"] else ""
    rows = ((symbol, role, outcome, key) for key, symbol, role, outcome in stopped["results"])
    heading = f"last stop: {stopped['verb']} by {safe_text(stopped['actor'], 40)}{of}, done {when(stopped['ended_ts'])}"
    return _section(heading, ("SYMBOL", "ROLE", "WHAT CAME OF IT", "ID"), rows)


def signed(value: object) -> str:
    """A change: its sign always, two decimals."""
    number = round(Decimal(str(value)), 2)
    return f"{number:+,.2f}" if number else "0.00"


def when(ts_us: int) -> str:
    return datetime.fromtimestamp(ts_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
