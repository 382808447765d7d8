"""Numbers, ages and trends as the cockpit writes them. Everything here is plain text: no widget, no colour.

Money is Decimal and keeps the symbol's own decimals; times are int microseconds UTC; a direction is always a sign, a
glyph and a style class (see `tui.theme`), never a colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import NamedTuple

from rich.cells import cell_len

from engine.core.types import DAY_US, HOUR_US, MINUTE_US, SECOND_US

UP, DOWN, FLAT = "▲", "▼", "="
BLOCKS = "▁▂▃▄▅▆▇█"
#: The same levels for terminals without block characters (`graph_symbol: ascii`).
BLOCKS_ASCII = "_.,-~+*#"
#: Shown where there is no number: a missing value is not zero.
NO_VALUE = "–"
#: Put before a value that is older than it should be.
STALE_MARK = "~"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The default context would refuse to round a number of more than 28 digits.
_WIDE = Context(prec=120, rounding=ROUND_HALF_EVEN)


class Delta(NamedTuple):
    """A change as glyph, signed text and style class ("up", "down" or "flat")."""

    glyph: str
    text: str
    style: str

    def __str__(self) -> str:
        return f"{self.glyph}{self.text}"


def fmt_money(amount: Decimal | None, places: int = 2) -> str:
    """`-1,234.50`: thousands separators, exactly `places` decimals, half to even. None, NaN and infinity are "–"."""
    if amount is None or not amount.is_finite():
        return NO_VALUE
    rounded = amount.quantize(Decimal(1).scaleb(-places), context=_WIDE) if _fits(amount) else amount
    if rounded.is_zero():
        # "-0.00" would claim a loss that rounds to nothing.
        rounded = abs(rounded)
    return f"{rounded:,.{places}f}" if _fits(amount) else f"{amount:.6E}"


def fmt_signed(amount: Decimal | None, places: int = 2) -> str:
    """As `fmt_money`, with `+` before a gain: `+14.50`, `-3.20`, `0.00`."""
    text = fmt_money(amount, places)
    return f"+{text}" if _is_visible(text) and not text.startswith("-") else text


def delta(amount: Decimal | None, places: int = 2, unit: str = "") -> Delta:
    """A change by its sign as it is shown: one that rounds to zero is flat. `unit` follows the number ("%")."""
    text = fmt_signed(amount, places)
    if not _is_visible(text):
        return Delta(FLAT, text + (unit if text != NO_VALUE else ""), "flat")
    return Delta(DOWN, text + unit, "down") if text.startswith("-") else Delta(UP, text + unit, "up")


def fmt_age_us(age_us: int | None) -> str:
    """An age in the largest whole unit: `4s`, `2m`, `1h`, `3d`. Below a second, and in the future, `0s`."""
    if age_us is None:
        return NO_VALUE
    for unit_us, letter in ((DAY_US, "d"), (HOUR_US, "h"), (MINUTE_US, "m")):
        if age_us >= unit_us:
            return f"{age_us // unit_us}{letter}"
    return f"{max(0, age_us) // SECOND_US}s"


def fmt_clock(ts_us: int | None) -> str:
    """Time of day in UTC: `14:03:22Z`."""
    return _fmt_ts(ts_us, "%H:%M:%SZ")


def fmt_datetime(ts_us: int | None) -> str:
    """Day and time in UTC: `2026-11-20 14:03:22Z`."""
    return _fmt_ts(ts_us, "%Y-%m-%d %H:%M:%SZ")


def levels(graph_symbol: str) -> str:
    """Blocks for a sparkline; ASCII where the terminal has nothing else."""
    return BLOCKS_ASCII if graph_symbol == "ascii" else BLOCKS


def padded(text: str, width: int) -> str:
    """`text` with blanks behind it up to `width` cells; wide characters take two. Longer text stays as it is."""
    return text + " " * (width - cell_len(text))


def sparkline(values: Sequence[float], width: int, blocks: str = BLOCKS) -> str:
    """The last `width` finite values as blocks between their own minimum and maximum; a flat line is the lowest block.

    Shorter than `width` when there are fewer values; empty for none.
    """
    shown = [value for value in values if math.isfinite(value)][-width:] if width > 0 else []
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    # Halves first: the span of two huge values can overflow.
    span = high / 2 - low / 2
    if span <= 0:
        return blocks[0] * len(shown)
    top = len(blocks) - 1
    return "".join(blocks[round((value / 2 - low / 2) / span * top)] for value in shown)


def _fmt_ts(ts_us: int | None, form: str) -> str:
    if ts_us is None:
        return NO_VALUE
    try:
        return (_EPOCH + timedelta(microseconds=ts_us)).strftime(form)
    except OverflowError:
        return NO_VALUE


def _fits(amount: Decimal) -> bool:
    """Whether `amount` can be written out; 1E+90 of a broken feed must not fill the screen with zeros."""
    return amount.is_zero() or amount.adjusted() < 30


def _is_visible(text: str) -> bool:
    """Whether a formatted number shows something other than zero."""
    return any(char in "123456789" for char in text)
