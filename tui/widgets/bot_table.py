"""The table of bots: what each does, may do, has done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.client import BotView, Snapshot, TradeView
from engine.core.text import safe_text
from engine.standing import BotLine, Standing
from tui.botlines import line_of, warmth
from tui.glyphs import NO_VALUE, fmt_age_us, sparkline
from tui.viewmodel import change
from tui.widgets.columns import Cell, Column, Row
from tui.widgets.panel import Panel

TREND_CELLS = 16
_GLYPHS = {"RUNNING": ("●", "up"), "ERROR": ("✖", "fault"), "STOPPED": ("■", "quiet")}
_STATES = {"ACTIVE": ("● ACTIVE", "up"), "PAUSED": ("▮ PAUSED", "warn"), "REDUCING": ("▼ REDUCING", "warn")}


class BotTable(Panel):
    heading = "bots"
    empty = "No bot. Make a config with one: quantsail config new FILE, then A on it in 6."
    columns_of = (
        Column(key="name", title="Bot", width=14, min_width=8),
        Column(key="status", title="Status", width=12, min_width=9),
        Column(key="state", title="May trade", width=10, min_width=9),
        Column(key="strategy", title="Strategy", width=18, min_width=8, priority=9, min_screen=120),
        Column(key="symbols", title="Symbols", width=14, min_width=7, priority=10, min_screen=120, grow=True),
        Column(key="portfolio", title="Portfolio", width=9, priority=13, min_screen=180),
        Column(key="config", title="Cfg", width=4, priority=12, min_screen=180),
        Column(key="warm", title="Warm-up", width=11, align="right", priority=8, min_screen=120),
        Column(key="signal", title="Signal", width=6, align="right", priority=5),
        Column(key="positions", title="Pos", width=3, numeric=True, priority=2),
        Column(key="orders", title="Ord", width=3, numeric=True, priority=6, min_screen=120),
        Column(key="trades", title="Trades", width=6, numeric=True, priority=4),
        Column(key="won", title="Won", width=4, numeric=True, priority=7),
        Column(key="today", title="Today", width=7, numeric=True, priority=1),
        Column(key="realised", title="Realised", width=8, numeric=True),
        Column(key="open", title="Open", width=7, numeric=True, priority=3),
        Column(key="trend", title="Trend", width=TREND_CELLS, priority=11, min_screen=180),
    )
    _bots: tuple[BotView, ...] = ()

    def paint(self, snapshot: Snapshot, standing: Standing | None, trades: Sequence[TradeView], blocks: str) -> None:
        """`blocks` are the levels of the sparkline."""
        self._bots = snapshot.bots
        curves = results(trades)
        self.set_rows(
            Row(b.id, _bot(b, snapshot, standing, sparkline(curves.get(b.name, ()), TREND_CELLS, blocks)))
            for b in snapshot.bots
        )
        running = sum(b.status == "RUNNING" and b.state == "ACTIVE" for b in snapshot.bots)
        failed = sum(b.status == "ERROR" for b in snapshot.bots)
        self.entitle(f"({len(snapshot.bots)}, {running} trading{f', {failed} failed' if failed else ''})")

    def selected(self) -> BotView | None:
        return next((b for b in self._bots if b.id == self.cursor_key), None)


def results(trades: Sequence[TradeView]) -> Mapping[str, Sequence[float]]:
    """The running sum of what each bot's ended round trips made, by name."""
    sums: dict[str, list[float]] = {}
    for trade in sorted((t for t in trades if t.exit_ts), key=lambda t: t.exit_ts):
        curve = sums.setdefault(trade.bot, [0.0])
        curve.append(curve[-1] + trade.pnl)
    return sums


def _bot(b: BotView, snapshot: Snapshot, standing: Standing | None, trend: str) -> tuple[Cell, ...]:
    line = line_of(standing, b.id)
    glyph, style = _GLYPHS.get(b.status, ("…", "warn"))
    status = {"WARMING_UP": "WARMING"}.get(b.status, safe_text(b.status, 12))
    config = f"v{snapshot.config_version}" if b.strategy else NO_VALUE
    realised, opened = change(b.realized_pnl), change(b.unrealized_pnl)
    return (
        Cell(safe_text(b.name, 40), "strong"),
        Cell(f"{glyph} {status}", style),
        Cell(*_STATES.get(b.state, (f"■ {safe_text(b.state, 10)}", "fault"))),
        Cell(safe_text(b.strategy, 60) or "not in the config", "quiet"),
        Cell(safe_text(", ".join(b.symbols), 200).replace("*", "all"), "quiet"),
        Cell(safe_text(b.portfolio, 32), "quiet"),
        Cell(config, "quiet"),
        _warmth(standing, b),
        Cell(_signal(line, snapshot.now), "" if line and line.last_signal_ts else "quiet"),
        Cell(str(b.positions)),
        Cell(str(line.orders) if line else NO_VALUE),
        *_won(line),
        _today(line),
        Cell(realised.text, realised.style),
        Cell(opened.text, opened.style),
        Cell(trend, "accent"),
    )


def _warmth(standing: Standing | None, b: BotView) -> Cell:
    found = warmth(standing, b.id)
    if found is None:
        return Cell(NO_VALUE, "quiet")
    had, needed = found
    return Cell("warm", "quiet") if had >= needed else Cell(f"{had:,}/{needed:,}", "warn")


def _signal(line: BotLine | None, now: int) -> str:
    return fmt_age_us(max(0, now - line.last_signal_ts)) if line is not None and line.last_signal_ts else "none"


def _won(line: BotLine | None) -> tuple[Cell, Cell]:
    if line is None:
        return Cell(NO_VALUE, "quiet"), Cell(NO_VALUE, "quiet")
    ended = line.wins + line.losses
    return Cell(f"{ended:,}"), Cell(f"{line.wins / ended:.0%}" if ended else NO_VALUE, "" if ended else "quiet")


def _today(line: BotLine | None) -> Cell:
    if line is None:
        return Cell(NO_VALUE, "quiet")
    today = change(line.day_pnl)
    return Cell(today.text, today.style)
