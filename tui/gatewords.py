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
