"""`quantsail halt`, `resume`, `status`, `ledgers`. Halting needs a file system and nothing else."""

from __future__ import annotations

import getpass
import json
import os
import signal
import time
from typing import Any

from engine import status
from engine.cli.exits import Exit, fail
from engine.cli.ledgers import LedgerEntry, choose, find, opened
from engine.halt import Latch

WAIT_S = 15.0
STOP_S = 30.0


def actor(program: str = "cli") -> str:
    """Who asks, for the journal: the operating system's user, and with which program."""
    try:
        return f"{program}:{getpass.getuser()}"
    except (KeyError, OSError):
        return program


def halt(ledger: str, reason: str, *, wait: bool, as_json: bool = False) -> int:
    """Latch first, talk later. Without a name every ledger is latched: who calls for a stop means all of it."""
    entries = find(ledger)
    if ledger and not entries:
        fail(f"there is no ledger {ledger}; known: {', '.join(e.name for e in find()) or 'none'}", Exit.NOT_RUNNING)
    failed: list[str] = []
    said: list[dict[str, Any]] = []
    for entry in entries:
        try:
            Latch(entry.directory).set(actor(), reason)
        except OSError as error:  # the others must be latched all the same
            failed.append(f"{entry.name}: NOT latched: {error.strerror or error}")
            continue
        what = "its engine is SILENT" if entry.silent else "no engine is running; it will start HALTED"
        what = "halting" if entry.running else what
        said.append({"ledger": entry.name, "latched": True, "running": entry.running})
        if not as_json:
            print(f"{entry.name}: latched ({what})", flush=True)
    if failed and not as_json:
        fail("; ".join(failed))
    if not entries and not as_json:
        print("nothing to halt: there is no ledger yet")
    if wait and not failed:
        for row, entry in zip(said, entries, strict=True):
            row |= _wait_until_halted(entry, quiet=as_json)
    if as_json:
        print(json.dumps(said))
    if failed:
        fail("; ".join(failed))
    return Exit.OK


def _wait_until_halted(entry: LedgerEntry, *, quiet: bool) -> dict[str, Any]:
    """Until the engine itself says HALTED and no order that adds risk is open; at once where none runs. What it did to each
    order and position, as its status file says."""
    deadline = time.monotonic() + WAIT_S
    now: dict[str, Any] = {}
    while time.monotonic() < deadline:
        fresh = find(entry.name)
        now = fresh[0].status or {} if fresh else {}
        if not status.is_running(now):
            return {}
        if now.get("state") == "HALTED" and not entries_open(now) and not _account_stops(now):
            break
        time.sleep(0.1)
    else:
        state = ", ".join([str(now.get("state")), *(line.strip() for line in _stops(_account_stops(now)))])
        fail(f"{entry.name}: latched, but the engine did not confirm within {WAIT_S:.0f} s: {state}")
    last = now.get("stopped") or {}
    results = last.get("results", []) if (last.get("verb"), last.get("bot")) == ("HALT", "") else []
    if not quiet:
        from engine.core.text import safe_text

        print(f"{entry.name}: verified: HALTED, no open entries, {len(now.get('positions', []))} positions")
        from engine.cli.tables import padded

        for identity, symbol, role, end in results:
            print(f"  {end:<9} {role:<12} {padded(safe_text(symbol, 40), 14)} {identity}")
    names = ("id", "symbol", "role", "outcome")
    return {"verified": True, "results": [dict(zip(names, one, strict=True)) for one in results]}


def _account_stops(now: dict[str, Any]) -> list[Any]:
    return [stop for stop in now.get("stops", ()) if stop["bot"] == ""]


def entries_open(now: dict[str, Any]) -> int:
    return sum(1 for order in now.get("orders", []) if order["is_open"] and order["role"] == "ENTRY")


def end_engine(ledger: str) -> int:
    """SIGTERM to the engine of a ledger, and wait until it has gone."""
    entry = choose(ledger)
    if entry.status is None or not (entry.running or entry.silent):
        fail(f"{entry.name}: no engine is running", Exit.NOT_RUNNING)
    pid = int(entry.status["pid"])
    if entry.silent:
        # The number may have gone to another program since: not ours to end.
        fail(
            f"{entry.name}: process {pid} is there and has stopped writing; `quantsail halt` holds it, and `kill {pid}` "
            "ends it if it is quantsail's",
            Exit.NOT_RUNNING,
        )
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_S
    while _still_runs(entry, pid):
        if time.monotonic() > deadline:
            fail(f"{entry.name}: process {pid} did not end within {STOP_S:.0f} s; `quantsail halt` holds without it")
        time.sleep(0.05)
    print(f"{entry.name}: stopped (pid {pid})")
    return Exit.OK


def _still_runs(entry: LedgerEntry, pid: int) -> bool:
    now = status.read(entry.directory / status.STATUS_NAME)
    return status.is_alive(pid) and bool(now and now.get("running"))


def show_status(ledger: str, *, as_json: bool, plain: bool = False) -> int:
    """The newest picture that the engine wrote, and whether it still runs; with `plain` all of it."""
    from engine.cli.status_page import ages, plain as page

    entry = opened(ledger)
    now = dict(entry.status or {})
    now["ledger"] = entry.name
    now["running"] = entry.running
    now["silent"] = entry.silent
    now["latched"] = entry.latched
    now["age_s"] = round(time.time() - float(now["written_at"]), 1) if "written_at" in now else None
    latched = Latch(entry.directory).read()
    if latched is not None and now.get("state") != "HALTED":
        now |= {"state": "HALTED", "state_reason": latched.reason, "state_actor": latched.actor}
    if as_json:
        print(json.dumps(now | ages(now)))
    else:
        print("\n".join([*_lines(now), *(page(now) if plain else [])]))
    return Exit.OK


def _lines(now: dict[str, Any]) -> list[str]:
    from engine.cli.status_page import signed, whose
    from engine.cli.trading import amount, price

    if now["running"]:
        running = f"running, pid {now['pid']}"
    elif now["silent"]:
        running = (
            f"SILENT: process {now['pid']} is there, but has written nothing for {now['age_s']:.0f} s: "
            "its disk is full, or it hangs. `quantsail halt` holds it"
        )
    elif now["age_s"] is None:
        running = "never opened: its engine has not started yet"
    else:
        running = f"not running (as of {now['age_s']:.0f} s ago)"
    known = [str(now[key]) for key in ("ledger", "mode", "state") if key in now]
    lines = ["  ".join([*known, running])]
    if now.get("state") not in ("ACTIVE", None):
        lines.append(f"  {now.get('state_reason') or 'latched'} (by {now.get('state_actor') or 'the latch file'})")
    if "equity" in now:
        lines.append(
            f"  equity{whose(now)} {amount(now['equity'])} {now['base_currency']}  day {signed(now['day_pct'])} %  "
            f"drawdown {amount(now['drawdown_pct'])} %  trades {now['trades_total']}"
        )
        lines.append(f"  config v{now['config_version']}  {now['feed']}  events {now['seq']}")
    lines += _troubles(now)
    for p in now.get("positions", []):
        lines.append(
            f"  {p['symbol']} {p['side']} {p['quantity']} at {price(p['entry_price'], p['price_places'])}, "
            f"now {price(p['mark_price'], p['price_places'])}, P&L {signed(p['unrealized_pnl'])}, "
            f"stop {price(p['stop_price'], p['price_places'])}"
        )
    open_orders = [o for o in now.get("orders", []) if o["is_open"]]
    lines += [f"  {o['role']} {o['side']} {o['quantity']} {o['symbol']} {o['status']}" for o in open_orders]
    return lines


def _stops(stops: list[dict[str, Any]]) -> list[str]:
    lines = []
    for stop in stops:
        waits = f"{len(stop['orders'])} order(s) and {len(stop['positions'])} position(s) to end"
        what = f"  {stop['verb']} under way (by {stop['actor']}): {waits}"
        lines.append(what + (f", bot {stop['bot']}" if stop["bot"] else ""))
    return lines


def _troubles(now: dict[str, Any]) -> list[str]:
    """Stops under way, and bots that do not trade as they should."""
    lines = _stops(now.get("stops", []))
    for bot in now.get("bots", []):
        if bot["status"] in ("STOPPED", "ERROR"):
            lines.append(f"  bot {bot['name']} {bot['status']}: {bot['reason'] or 'no reason given'}")
        if bot.get("state", "ACTIVE") != "ACTIVE":
            lines.append(f"  bot {bot['name']} {bot['state']}: {bot['state_reason'] or bot['state_actor']}")
    return lines


def show_ledgers(*, as_json: bool) -> int:
    """Every ledger of this installation, with the command that opens it."""
    from engine.cli.tables import table
    from engine.cli.trading import amount

    rows = []
    for entry in find():
        facts = entry.facts or {}
        rows.append(
            {
                "ledger": entry.name,
                "mode": facts.get("mode", "?"),
                "feed": facts.get("feed", "?"),
                "seed": facts.get("seed"),
                "state": "HALTED" if entry.latched else (entry.status or {}).get("state", "?"),
                "running": entry.running,
                "equity": (entry.status or {}).get("equity"),
            }
        )
    if as_json:
        print(json.dumps(rows))
        return Exit.OK
    if not rows:
        print("no ledgers yet: `quantsail` opens the simulated one, `quantsail --replay FILE` one on your data")
    for line in table(
        ("*" if r["running"] else "", r["ledger"], r["mode"], r["state"], f"{amount(r['equity']):>14}", r["feed"])
        for r in rows
    ):
        print(line)
    return Exit.OK
