"""The small panels: tables that know their columns, what to say when empty, and the detail of a row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from engine.client import ConfigLine, EngineClient, GateView, OrderView, PositionView, Snapshot
from engine.core.text import safe_text
from tui.glyphs import levels
from tui.trends import BARS, Trends
from tui.widgets import rows
from tui.widgets.columns import Column
from tui.widgets.panel import Fields, Panel


def _view_detail(heading: str, views: Iterable[msgspec.Struct], key: str) -> tuple[str, Fields] | None:
    for view in views:
        if str(getattr(view, "id", "") or getattr(view, "gate", "")) == key:
            return heading, rows.field_rows(view)
    return None


class PositionsPanel(Panel):
    heading = "positions"
    empty = "No open position. A bot enters when a rule fires and all gates allow it."
    columns_of = (
        Column(key="symbol", title="Symbol", width=12, min_width=8),
        Column(key="side", title="Side", width=5),
        Column(key="quantity", title="Qty", width=6, numeric=True, priority=2),
        Column(key="entry", title="Entry", width=8, numeric=True, priority=4),
        Column(key="mark", title="Mark", width=8, numeric=True, priority=1),
        Column(key="pnl", title="uP&L", width=7, numeric=True),
        Column(key="percent", title="uP&L %", width=7, numeric=True, priority=3),
        Column(key="stop", title="Stop", width=8, numeric=True, priority=1),
        Column(key="target", title="Target", width=8, numeric=True, priority=5, min_screen=120),
        Column(key="age", title="Age", width=4, numeric=True, priority=6, min_screen=120),
        Column(key="bot", title="Bot", width=14, min_width=6, priority=7, min_screen=120, grow=True),
        Column(key="trend", title=f"Last {BARS} bars", width=BARS, priority=8, min_screen=180),
    )
    _shown: tuple[PositionView, ...] | None = None

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._trends = Trends()
        self._drawn = self._trends.shown

    def forget(self) -> None:
        super().forget()
        self._trends.forget()

    def look(self, client: EngineClient, snapshot: Snapshot, mono: float) -> None:
        """Bring the trends up to date, where there is room for them."""
        if any(self.columns[slot.column].key == "trend" for slot in self._slots):
            blocks = levels(getattr(self.app, "graph_symbol", ""))
            self._trends.look(client, ((p.exchange, p.symbol) for p in snapshot.positions), mono, blocks)

    def paint(self, snapshot: Snapshot) -> None:
        # Ages are painted with the next change: a clock in every row is not worth a repaint a minute.
        if snapshot.positions == self._shown and self._trends.shown is self._drawn:
            return
        self._shown, self._drawn = snapshot.positions, self._trends.shown
        self.set_rows(rows.position_rows(snapshot, self._drawn))
        self.entitle(f"({len(snapshot.positions)})")

    def selected_position(self) -> PositionView | None:
        return next((p for p in self._shown or () if p.id == self.cursor_key), None)

    def detail_of(self, key: str) -> tuple[str, Fields] | None:
        return _view_detail("position", self._shown or (), key)


class OrdersPanel(Panel):
    heading = "orders"
    empty = "No order yet. Open orders and the latest closed ones appear here."
    columns_of = (
        Column(key="time", title="Time", width=9),
        Column(key="symbol", title="Symbol", width=12, min_width=8),
        Column(key="side", title="Side", width=4),
        Column(key="role", title="Role", width=11, min_width=6, priority=3),
        Column(key="type", title="Type", width=11, min_width=6, priority=5),
        Column(key="quantity", title="Qty", width=6, numeric=True, priority=1),
        Column(key="price", title="Price", width=8, numeric=True, priority=1),
        Column(key="status", title="Status", width=13, min_width=11),
        Column(key="filled", title="Filled", width=6, numeric=True, priority=6, min_screen=120),
        Column(key="reason", title="Reason", width=20, min_width=8, priority=7, min_screen=120, grow=True),
        Column(key="bot", title="Bot", width=10, min_width=6, priority=8, min_screen=180),
    )
    _shown: tuple[OrderView, ...] | None = None

    def paint(self, snapshot: Snapshot) -> None:
        if snapshot.orders == self._shown:
            return
        self._shown = snapshot.orders
        self.set_rows(rows.order_rows(snapshot.orders))
        self.entitle(f"({sum(order.is_open for order in snapshot.orders)} open, {snapshot.orders_total:,} in all)")

    def selected_order(self) -> OrderView | None:
        return next((o for o in self._shown or () if o.id == self.cursor_key), None)


_GATE_COLUMNS = (
    Column(key="gate", title="Gate", width=14),
    Column(key="state", title="State", width=8),
    Column(key="bar", title="Used", width=6, min_width=6, priority=4),
    Column(key="against", title="Actual / limit", width=16, min_width=13, priority=1, grow=True),
)
_GATE_COLUMNS_WIDE = (
    Column(key="gate", title="Gate", width=16, min_width=14),
    Column(key="state", title="State", width=8),
    Column(key="bar", title="Used", width=10, priority=2),
    Column(key="against", title="Actual / limit", width=19, min_width=14),
    Column(key="distance", title="Distance", width=9, align="right", priority=1),
    Column(key="blocked", title="Last block", width=10, priority=3),
    Column(key="what", title="Blocked", width=24, min_width=8, priority=4, min_screen=120, grow=True),
)


class GatesPanel(Panel):
    """The board; `wide` with distance and last block, for the gates' own screen."""

    heading = "risk gates"
    empty = "No gate yet. Activate a config: 6."

    def __init__(self, *, id: str, wide: bool = False) -> None:
        super().__init__(id=id, columns=_GATE_COLUMNS_WIDE if wide else _GATE_COLUMNS)
        self._bar_cells = 10 if wide else 6
        self._shown: tuple[GateView, ...] | None = None

    def paint(self, snapshot: Snapshot) -> None:
        if snapshot.gates == self._shown:
            return
        self._shown = snapshot.gates
        self.set_rows(rows.gate_rows(snapshot.gates, self._bar_cells))
        blocked = sum(gate.verdict == "BLOCKED" for gate in snapshot.gates)
        warned = sum(gate.verdict == "WARNED" for gate in snapshot.gates)
        words = [f"{blocked} block"] * bool(blocked) + [f"{warned} warn"] * bool(warned)
        self.entitle(f"({', '.join(words) or 'all pass'})")

    def detail_of(self, key: str) -> tuple[str, Fields] | None:
        return _view_detail("risk gate", self._shown or (), key)


class ConfigsPanel(Panel):
    heading = "config versions"
    empty = "No config version yet. Make one: quantsail config new FILE, then r here."
    columns_of = (
        Column(key="version", title="Version", width=7),
        Column(key="state", title="State", width=10),
        Column(key="created", title="Made", width=17, priority=3),
        Column(key="by", title="By", width=14, min_width=12, priority=1),
        Column(key="hash", title="Hash", width=10, priority=4, min_screen=120),
        Column(key="changes", title="Diff", width=4, numeric=True, priority=2),
        Column(key="note", title="Note", width=24, min_width=8, grow=True),
    )

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._lines: dict[str, ConfigLine] = {}

    def fill(self, lines: Sequence[ConfigLine]) -> None:
        self._lines = {str(line.version): line for line in lines}
        self.set_rows(rows.config_rows(lines))
        active = next((line.version for line in lines if line.is_active), None)
        self.entitle(f"(active: {f'v{active}' if active is not None else 'none'})")

    def selected(self) -> str | None:
        return self.cursor_key

    def detail_of(self, key: str) -> tuple[str, Fields] | None:
        line = self._lines.get(key)
        if line is None:
            return None
        fields = [pair for pair in rows.field_rows(line) if pair[0] != "diff"]
        return f"config v{line.version}", [*fields, *(("diff", safe_text(change, 300)) for change in line.diff)]
