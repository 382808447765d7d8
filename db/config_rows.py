"""Rows that follow from what opens a ledger and from its configs: accounts, bots, limits, strategies. As in `db.rows`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from db.rows import Row, at, operator_id
from engine.core import events as ev
from engine.core.canonical import canonical_json, sha256_hex
from engine.core.ledger import Ledger
from engine.core.rules import RuleError, parse_rules
from engine.core.setup import portfolio_id
from engine.core.types import ZERO, entity_id

#: Column of risk_limits for the hard side of each limit; what a config has beside these is in `risk_rules` alone.
LIMITS = {
    "price_collar_pct": "price_collar_pct",
    "max_order_value": "max_order_size",
    "max_order_quantity": "max_order_quantity",
    "max_position_value": "max_position_size",
    "max_gross_exposure_pct": "max_gross_exposure_pct",
    "max_open_positions": "max_open_positions",
    "max_leverage": "max_leverage",
    "max_margin_ratio_pct": "max_margin_ratio_pct",
    "max_messages_per_second": "max_messages_per_second",
    "max_messages_per_minute": "max_messages_per_minute",
    "max_messages_per_day": "max_messages_per_day",
    "max_entries_per_window": "max_entries_per_window",
    "max_consecutive_losses": "max_consecutive_losses",
    "max_data_age_s": "max_data_age_s",
    "max_clock_skew_ms": "max_clock_skew_ms",
    "max_spread_bps": "max_spread_bps",
    "max_jump_atr": "max_jump_atr",
    "daily_loss_pct": "max_daily_loss_pct",
    "max_drawdown_pct": "max_drawdown_pct",
    "max_in_doubt": "max_in_doubt",
}


def portfolio_row(ledger: Ledger, e: ev.LedgerOpened | ev.PortfolioOpened) -> Row:
    """An account at its opening; later events change its amounts."""
    if isinstance(e, ev.LedgerOpened):
        key, name, currency = portfolio_id(e.ledger_id, "main"), "main", e.base_currency
    else:
        key, name, currency = e.portfolio_id, e.name, e.currency
    return {
        "id": key,
        "user_id": operator_id(ledger),
        "name": name,
        "description": f"{ledger.mode} account on {ledger.feed}",
        "broker": "paper",
        "broker_account_id": ledger.ledger_id,
        "base_currency": currency,
        "mode": ledger.mode,
        "initial_balance": e.initial_balance,
        "cash_balance": e.initial_balance,
        "positions_value": ZERO,
        "total_value": e.initial_balance,
        "unrealized_pnl": ZERO,
        "realized_pnl": ZERO,
        "fees_paid": ZERO,
        "funding_paid": ZERO,
        "other_assets": {},
        "dust": {},
        "is_active": True,
        "created_at": at(e.ts),
        "updated_at": at(e.ts),
    }


def bot_rows(ledger: Ledger, e: ev.ConfigActivated) -> list[Row]:
    """The bots that a config names. Where they stand is the ledger's to say, and is brought up to date after them."""
    out = []
    for bot in document_of(e)["bots"]:
        text = strategy_text(bot)
        out.append(
            {
                "id": entity_id(ledger.ledger_id, "bot", bot["name"]),
                "user_id": operator_id(ledger),
                "strategy_id": strategy_id(ledger, text) if text is not None else None,
                "portfolio_id": portfolio_id(ledger.ledger_id, bot["portfolio"]),
                "name": bot["name"],
                "status": "WARMING_UP",
                "trading_state": "ACTIVE",
                "config_version": e.version,
                "config": bot,
                "created_at": at(e.ts),
                "updated_at": at(e.ts),
                "deleted_at": None,
            }
        )
    return out


def limit_rows(ledger: Ledger, e: ev.ConfigActivated, seq: int) -> list[Row]:
    """The limits that a config puts in force: the account's, then those of its bots."""
    account = document_of(e)["account"]
    balances = {p["name"]: Decimal(p["initial_balance"]) for p in account["portfolios"]}
    # What is open keeps the balance that it was opened with, whatever a later config says.
    balances |= {a.name: a.initial_balance for a in ledger.accounts.values()}
    rows = [_limits_row(ledger, e, seq, account["limits"], None, balances["main"])]
    for bot in document_of(e)["bots"]:
        rows.append(_limits_row(ledger, e, seq, bot["limits"], bot, balances[bot["portfolio"]]))
    return rows


def _limits_row(
    ledger: Ledger,
    e: ev.ConfigActivated,
    seq: int,
    limits: dict[str, Any],
    bot: dict[str, Any] | None,
    balance: Decimal,
) -> Row:
    """The hard limits of a bot, or of the account (`bot` None), as a config sets them.

    A loss in money is that percentage of the initial balance: the limit itself is on equity, which moves.
    """
    row: Row = {column: _hard(limits, name) for name, column in LIMITS.items()}
    daily_pct, positions = row["max_daily_loss_pct"], row["max_open_positions"]
    return row | {
        "id": entity_id(ledger.ledger_id, "risk_limits", bot["name"] if bot else ""),
        "user_id": operator_id(ledger),
        "bot_id": entity_id(ledger.ledger_id, "bot", bot["name"]) if bot else None,
        "max_daily_loss": daily_pct * balance / 100 if daily_pct else None,
        "max_open_positions": int(positions) if positions else None,
        "risk_rules": limits,
        "enabled": bool(bot["enabled"]) if bot else True,
        "config_version": e.version,
        "event_seq": seq,
        "created_at": at(e.ts),
        "updated_at": at(e.ts),
        "deleted_at": None,
    }


def _hard(limits: dict[str, Any], name: str) -> Decimal | None:
    """The hard side of a limit in a canonical config; None when it has none."""
    value = (limits.get(name) or {}).get("hard")
    return None if value is None else Decimal(str(value))


def strategy_row(ledger: Ledger, bot: dict[str, Any], key: str, ts: int) -> Row:
    """The rules (or the Python strategy) of the bot that first trades by them, with that bot's exits and size, for people
    and lists.

    The version that counts is the config's. A strategy of several symbols names none.
    """
    rules, exits, sizing = bot["strategy"], bot["exits"], bot["sizing"]
    python = rules.get("python")
    only = bot["symbols"][0] if len(bot["symbols"]) == 1 and "*" not in bot["symbols"] else None
    share = Decimal(str(sizing["value"])) if sizing["kind"] == "percent_equity" else None
    trailing = exits.get("trailing") or {}
    return {
        "id": key,
        "user_id": operator_id(ledger),
        "name": bot["name"],
        "description": f"{f'code {python}' if python else 'rules'} of bot {bot['name']}, from its config",
        "symbol": only if only is not None and "/" in only else None,
        "entry_rules": _both_sides(rules, "entry"),
        "exit_rules": _both_sides(rules, "exit"),
        "parameters": rules.get("params" if python else "indicators") or {},
        "version_label": "1.0.0",
        "stop_loss_pct": exits.get("stop_loss_pct"),
        "take_profit_pct": exits.get("take_profit_pct"),
        "trailing_stop_pct": trailing.get("distance_pct"),
        "max_position_size_pct": share if share is None or share <= 100 else 100,
        "max_drawdown_pct": _at_most_100(_hard(bot["limits"], "max_drawdown_pct")),
        "status": "ACTIVE",
        "trading_mode": ledger.mode,
        "created_at": at(ts),
        "activated_at": at(ts),
    }


def _both_sides(rules: dict[str, Any], kind: str) -> Any:
    """The tree of a strategy that is long only; by side where it also goes short."""
    long, short = rules.get(f"{kind}_long"), rules.get(f"{kind}_short")
    return long or [] if short is None else {"long": long or [], "short": short}


def document_of(e: ev.ConfigActivated) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(e.config)
    return document


def strategy_text(bot: dict[str, Any]) -> str | None:
    """Canonical text of a bot's rules, or of the name and params of a Python strategy: what its sha256 is of. None when this
    version of the program no longer reads them."""
    strategy = bot.get("strategy")
    if isinstance(strategy, dict) and "python" in strategy:
        return canonical_json(strategy).decode()
    try:
        return parse_rules(strategy).canonical().decode()
    except RuleError:
        return None


def strategy_id(ledger: Ledger, text: str) -> str:
    return entity_id(ledger.ledger_id, "strategy", sha256_hex(text.encode()))


def _at_most_100(percentage: Decimal | None) -> Decimal | None:
    return None if percentage is None else min(percentage, Decimal(100))
