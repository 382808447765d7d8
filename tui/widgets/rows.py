"""Views to table rows. Pure, so that every cell can be tested without a screen; the columns are in `panels.py`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from types import MappingProxyType

import msgspec

from engine.client import ConfigLine, GateView, OrderView, PositionView, Snapshot
from engine.core.events import Recorded
from engine.core.text import safe_text
from engine.core.types import SECOND_US
from engine.history import FillView
from tui.gatewords import compared, gate_label, is_least, tidy
from tui.glyphs import NO_VALUE, fmt_age_us, fmt_clock, fmt_datetime, fmt_money
from tui.viewmodel import change, quantity
from tui.widgets.columns import Cell, Row
from tui.widgets.eventtext import LEVEL_STYLES, LEVEL_WORDS, describe

Cells = tuple[Cell, ...]
Rows = list[Row]

SYMBOL_LIMIT = 24
#: Decimals of a number in the detail dialog.
DETAIL_PLACES = 12

VERDICTS: dict[str, Cell] = {
    "ALLOWED": Cell("● PASS", "up"),
    "WARNED": Cell("▲ WARN!", "warn"),
    "BLOCKED": Cell("■ BLOCK!", "fault"),
    "IDLE": Cell("· idle", "quiet"),
}


def price(value: Decimal | None, places: int) -> str:
    return fmt_money(value, places) if value is not None else NO_VALUE


def fee(value: Decimal) -> str:
    """Two places for what is read down a column; what two places would show as nothing, as short as it can be read."""
    return fmt_money(value) if not value or abs(value) >= Decimal("0.005") else tidy(str(value))


def _cells(*pairs: tuple[str, str]) -> Cells:
    return tuple(Cell(text, style) for text, style in pairs)


def position_rows(snapshot: Snapshot, trends: Mapping[tuple[str, str], tuple[str, str]] = MappingProxyType({})) -> Rows:
    """Columns: symbol, side, quantity, entry, mark, unrealised P&L, its percent, stop, target, age, bot, trend.

    `trends` are (sparkline, style) by exchange and symbol.
    """
    return [
        Row(p.id, _position(p, snapshot.now, trends.get((p.exchange, p.symbol), ("", "")))) for p in snapshot.positions
    ]


def _position(p: PositionView, now: int, trend: tuple[str, str]) -> Cells:
    pnl, percent = change(p.unrealized_pnl), change(p.unrealized_pct, "%")
    stop = ("NONE!", "fault") if p.stop_price is None else (price(p.stop_price, p.price_places) + "↗" * p.trailing, "")
    return _cells(
        (safe_text(p.symbol, SYMBOL_LIMIT), "strong"),
        (safe_text(p.side, 5), ""),
        (quantity(p.quantity), ""),
        (price(p.entry_price, p.price_places), ""),
        ("~" * p.sampled + price(p.mark_price, p.price_places), "quiet" * p.sampled),
        (pnl.text, pnl.style),
        (percent.text, percent.style),
        stop,
        (price(p.take_profit_price, p.price_places), ""),
        (fmt_age_us(max(0, now - p.opened_ts)), "quiet"),
        (safe_text(p.bot, 16), "quiet"),
        trend,
    )


def order_rows(orders: Iterable[OrderView]) -> Rows:
    """Columns: time, symbol, side, role, type, quantity, price, status, filled, reason, bot."""
    return [Row(o.id, _order(o)) for o in orders]


def _order(o: OrderView) -> Cells:
    quiet = "" if o.is_open else "quiet"
    style = {"DENIED": "warn", "REJECTED": "warn", "FILLED": "up"}.get(o.status, "strong" if o.is_open else "quiet")
    glyph = {"DENIED": "✖", "REJECTED": "✖", "FILLED": "✔"}.get(o.status, "●" if o.is_open else "·")
    status = (f"{glyph} {safe_text(o.status, 16).replace('PARTIALLY_FILLED', 'PART FILLED')}", style)
    if o.flags:
        status = (f"! {safe_text(o.flags, 16).upper()}", "fault" if "doubt" in o.flags else "warn")
    return _cells(
        (fmt_clock(o.ts), "quiet"),
        (safe_text(o.symbol, SYMBOL_LIMIT), quiet or "strong"),
        (safe_text(o.side, 4), quiet),
        (safe_text(o.role, 11), quiet),
        (safe_text(o.order_type, 11), quiet),
        (quantity(o.quantity), quiet),
        (price(o.price, o.price_places), quiet),
        status,
        (quantity(o.filled_quantity), quiet),
        (safe_text(o.reason, 60), "quiet"),
        (safe_text(o.bot, 16), "quiet"),
    )


def order_record(o: OrderView, places: int) -> Row:
    """Columns: date, time, symbol, side, role, type, quantity, price, status, filled, reason, bot, config, exchange, open, id."""
    date, _, clock = fmt_datetime(o.ts).partition(" ")
    _time, symbol, side, role, kind, amount, _price, status, filled, reason, bot = _order(o)
    cells = (_same(date, "quiet"), Cell(clock, "quiet"), symbol, side, role, kind, amount)
    limit = Cell(price(o.price, places), "" if o.is_open else "quiet")
    more = (
        _same(f"v{o.config_version}", "quiet"),
        _same(safe_text(o.exchange, 16), "quiet"),
        _same("open" if o.is_open else "closed"),
        Cell(o.id),
    )
    return Row(o.id, (*cells, limit, status, filled, reason, bot, *more), (o.ts, o.ts))


def fill_record(f: FillView, places: int) -> Row:
    """Columns: date, time, symbol, side, quantity, price, value, fee, currency, liquidity, P&L, bot, exchange, order, id."""
    date, _, clock = fmt_datetime(f.ts).partition(" ")
    gain = change(f.pnl)
    return Row(
        f.id,
        (
            _same(date, "quiet"),
            Cell(clock, "quiet"),
            _same(safe_text(f.symbol, SYMBOL_LIMIT), "strong"),
            _same(safe_text(f.side, 4)),
            Cell(quantity(f.quantity)),
            Cell(price(f.price, places)),
            Cell(fmt_money(f.quantity * f.price), "quiet"),
            Cell(fee(f.fee), "quiet"),
            _same(safe_text(f.fee_currency, 8), "quiet"),
            _same(safe_text(f.liquidity, 6).lower(), "quiet"),
            Cell(gain.text, gain.style) if f.pnl else Cell(NO_VALUE, "quiet"),
            _same(safe_text(f.bot, 16), "quiet"),
            _same(safe_text(f.exchange, 16), "quiet"),
            Cell(f.order_id),
            Cell(f.id),
        ),
        (f.ts, f.ts),
    )


def gate_rows(gates: Iterable[GateView], bar_cells: int) -> Rows:
    """Columns: gate, state, bar, actual / limit, distance, last block, what was blocked."""
    return [Row(g.gate, _gate(g, bar_cells)) for g in gates]


def _gate(g: GateView, cells: int) -> Cells:
    verdict = VERDICTS.get(g.verdict, (safe_text(g.verdict, 8), "warn"))
    return _cells(
        (gate_label(g.gate), ""),
        verdict,
        _meter(g, cells),
        (against(g), "quiet" if g.verdict == "IDLE" else ""),
        (distance(g), ""),
        (fmt_clock(g.blocked_ts) if g.blocked_ts else "never", "" if g.blocked_ts else "quiet"),
        (safe_text(g.blocked_what, 40), "quiet"),
    )


def _meter(g: GateView, cells: int) -> tuple[str, str]:
    if g.used is None:
        return "", ""
    full = min(cells, max(0, round(g.used * cells)))
    style = {"WARNED": "warn", "BLOCKED": "fault"}.get(g.verdict, "up")
    return "█" * full + "░" * (cells - full), style


def against(g: GateView) -> str:
    """ "42.1 / 60 %", or only what is known."""
    if not g.actual and not g.limit:
        return "no order yet"
    if {g.actual, g.limit} <= {"", "none"}:
        return "no limit"
    unit = f" {safe_text(g.unit, 4)}" if g.unit else ""
    if not g.limit or (g.limit == g.actual and g.used is None):
        return f"{tidy(g.actual)}{unit}"
    return f"{compared(g.gate, g.actual, g.limit, g.verdict)}{unit}"


def distance(g: GateView) -> str:
    """How far the limit is, in its own unit; negative when it is passed. None where there is nothing to fill."""
    if g.used is None:
        return "-"  # the least order is a limit too, and far above it is no distance to anything
    try:
        left = Decimal(g.limit) - Decimal(g.actual)
        left = -left if is_least(g.gate, g.actual, g.limit, g.verdict) else left
    except InvalidOperation:
        return "-"
    if not left.is_finite():
        return "-"
    return f"{tidy(f'{left:.4f}')}{' ' + safe_text(g.unit, 4) if g.unit else ''}"


@lru_cache(4_096)
def _same(text: str, style: str = "") -> Cell:
    """One cell for all rows that say the same: 50,000 rows have few levels, types and symbols."""
    return Cell(text, style)


def event_row(recorded: Recorded, bots: Mapping[str, str]) -> Row:
    """Columns: date, time, level, kind, what, symbol, bot, type, seq. `bots` are names by id."""
    event = recorded.event
    word, text, style = describe(event)
    bot = str(getattr(event, "bot_id", ""))
    date, _, clock = fmt_datetime(event.ts).partition(" ")
    cells = (
        _same(date, "quiet"),
        Cell(clock, "quiet"),
        _same(LEVEL_WORDS[event.level], LEVEL_STYLES[event.level]),
        _same(word, style),
        Cell(text, "" if style == "strong" else style),
        _same(safe_text(str(getattr(event, "symbol", "")), SYMBOL_LIMIT), "quiet"),
        _same(safe_text(bots.get(bot, bot[:8]), 16), "quiet"),
        _same(type(event).__name__, "quiet"),
        Cell(str(recorded.seq), "quiet"),
    )
    return Row(str(recorded.seq), cells, (event.ts, event.ts))


def config_rows(lines: Iterable[ConfigLine]) -> Rows:
    """Columns: version, state, created, by, hash, changes, note."""
    return [Row(str(line.version), _config(line)) for line in lines]


def _config(line: ConfigLine) -> Cells:
    state: tuple[str, str] = ("● ACTIVE", "up")
    if not line.is_active:
        state = ("was active", "") if line.activated_ts is not None else ("new", "strong")
        state = ("✖ refused", "warn") if line.problem else state
    note = f"{safe_text(line.problem, 120)}" if line.problem else safe_text(line.note, 120)
    return _cells(
        (f"v{line.version}", "strong"),
        state,
        (f"{fmt_datetime(line.created_ts)[:16]}Z", "quiet"),
        (safe_text(line.actor, 16), ""),
        (safe_text(line.sha256, 64)[:10], "quiet"),
        ("" if line.is_active else f"{len(line.diff)}", ""),
        (note, "warn" if line.problem else ""),
    )


def field_rows(view: msgspec.Struct) -> list[tuple[str, str]]:
    """(field, value) of any view, for the detail dialog: nothing is left out."""
    return [(name, field_text(name, getattr(view, name))) for name in view.__struct_fields__]


def _plain_number(value: Decimal, places: int) -> str:
    """A number without the digits that a division has left behind it; what rounds to nothing is written out."""
    if not value.is_finite():
        return NO_VALUE
    rounded = round(value, places) if value.adjusted() < 30 else value
    text = f"{rounded if rounded or not value else value:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def field_text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if isinstance(value, Decimal):
        return _plain_number(value, 2 if name.endswith("_pct") else DETAIL_PLACES)
    if isinstance(value, int) and (name == "ts" or name.endswith("_ts")):
        return fmt_datetime(value) if value > SECOND_US else "never"
    return safe_text(str(value), 200) or "-"
