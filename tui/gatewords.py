"""Gates in words: the board and the events call them the same, and write their numbers the same."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from engine.core.text import safe_text

GATE_LABELS = {
    "TRADING_STATE": "trading state",
    "INSTRUMENT_RULES": "symbol rules",
    "PRICE_COLLAR": "price collar",
    "MAX_ORDER_VALUE": "order value",
    "MAX_ORDER_SIZE": "order size",
    "MAX_POSITION": "position value",
    "MAX_GROSS_EXPOSURE": "gross exposure",
    "MAX_OPEN_POSITIONS": "open positions",
    "BUYING_POWER": "buying power",
    "MAX_LEVERAGE": "leverage",
    "LIQUIDATION_DISTANCE": "liquidation",
    "MARGIN_RATIO": "margin ratio",
    "MAX_MESSAGE_RATE": "message rate",
    "REPEATED_EXECUTION_THROTTLE": "bot throttle",
    "DUPLICATE_ORDER": "duplicates",
    "SELF_TRADE_PREVENTION": "self-trade",
    "STALE_DATA": "data age",
    "CLOCK_SKEW": "clock skew",
    "SPREAD": "spread",
    "DATA_REASONABILITY": "price jump",
    "DAILY_LOSS_LOCK": "daily loss",
    "MAX_DRAWDOWN": "drawdown",
    "RECONCILIATION_CLEAN": "reconciled",
    "IN_DOUBT_LIMIT": "in doubt",
    "JOURNAL_HEALTH": "journal",
    "CONFIG_HASH": "config",
    "CUSTOM": "own rules",
}


def gate_label(gate: str) -> str:
    """The gate's name for people; an unknown one is its own name."""
    return GATE_LABELS.get(gate, safe_text(gate, 18).lower())


def rules_said(source: str) -> str:
    """Where a symbol's tick, lot and least order come from (`MarkView.rules`), for people."""
    known = {
        "default": "a default, the symbol is unknown!",
        "bundled": "bundled with the program",
        "venue": "of the venue",
    }
    return known.get(source, safe_text(source, 24))


def is_least(gate: str, actual: str, limit: str, verdict: str) -> bool:
    """Whether the limit is one from below. Of a symbol's rules the least order is; a step or a most that was not kept is not."""
    if not _is_number(limit):
        return False
    if gate == "INSTRUMENT_RULES":
        return verdict == "ALLOWED" or (_is_number(actual) and Decimal(actual) < Decimal(limit))
    return gate == "LIQUIDATION_DISTANCE"


def limit_said(gate: str, actual: str, limit: str, verdict: str, least: str = "≥ ") -> str:
    """ "60", or "≥ 5" of a limit from below."""
    return f"{least if is_least(gate, actual, limit, verdict) else ''}{tidy(limit)}"


def compared(gate: str, actual: str, limit: str, verdict: str) -> str:
    """ "42.1 / 60"; of a limit from below what is true: "1,489 ≥ 5" or "3 < 5"."""
    sign = "/"
    if is_least(gate, actual, limit, verdict) and _is_number(actual):
        sign = "≥" if Decimal(actual) >= Decimal(limit) else "<"
    return f"{tidy(actual)} {sign} {tidy(limit)}"


def against(gate: str, actual: str, limit: str, verdict: str) -> str:
    """ "42.1 against 60", "3 against at least 5"."""
    return f"{tidy(actual)} against {limit_said(gate, actual, limit, verdict, 'at least ')}"


def _is_number(text: str) -> bool:
    try:
        return Decimal(text).is_finite()
    except InvalidOperation:
        return False


def tidy(number: str) -> str:
    """A decimal as short as it can be read: two places, none from a thousand on; any other text as it is."""
    try:
        value = Decimal(number)
    except InvalidOperation:
        return safe_text(number, 16)
    if not value.is_finite():
        return safe_text(number, 16)
    size = abs(value)
    if size >= Decimal("1E+15"):
        return f"{value:.3E}"
    places = 0 if size >= 1_000 else 2 if size >= Decimal("0.01") or not value else 6
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
