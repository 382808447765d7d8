"""Why an action cannot be done now, for the palette: "" when it can. Asked of the newest picture, nothing waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.widget import Widget

from engine.client import Snapshot
from tui.actions import Action
from tui.widgets.order_tables import OrdersTable
from tui.widgets.panel import Panel
from tui.widgets.panels import OrdersPanel, PositionsPanel

if TYPE_CHECKING:
    from tui.app import CockpitApp

#: Commands without a danger of their own.
_COMMANDS = frozenset({"replay_toggle", "replay_slower", "replay_faster"})


def why_not(app: CockpitApp, action: Action, focused: Widget | None) -> str:
    """A few words, or "". `focused` is what has the focus below the palette."""
    commands = (action.danger and action.name not in ("kill", "quit")) or action.name in _COMMANDS
    if app.read_only and commands:
        return "read-only (--view)"
    if commands and not app.commands:
        return "nothing is sent from the past"
    if action.argument and action.argument == app.current_mode:
        return "this is that screen"
    snapshot = app.frame.snapshot
    asked = _QUESTIONS.get(action.name.split(".")[0])
    if asked is not None:
        return asked(app, snapshot, focused) if snapshot is not None else "the engine is starting"
    if action.target == "table" and isinstance(focused, Panel) and not focused.held_count:
        return "there is no row"
    return ""


def _resume(app: CockpitApp, snapshot: Snapshot, focused: Widget | None) -> str:
    return "trading is ACTIVE" if snapshot.state == "ACTIVE" and not snapshot.held else ""


def _acknowledge(app: CockpitApp, snapshot: Snapshot, focused: Widget | None) -> str:
    return "" if app.alerts.waiting() else "nothing waits to be acknowledged"


def _cancel(app: CockpitApp, snapshot: Snapshot, focused: Widget | None) -> str:
    order = focused.selected_order() if isinstance(focused, OrdersTable | OrdersPanel) else None
    if order is None:
        return "no order is selected"
    return "" if order.is_open else "the selected order is not open"


def _close(app: CockpitApp, snapshot: Snapshot, focused: Widget | None) -> str:
    position = focused.selected_position() if isinstance(focused, PositionsPanel) else None
    return "" if position is not None else "no position is selected"


def _replay(app: CockpitApp, snapshot: Snapshot, focused: Widget | None) -> str:
    if snapshot.replay is None:
        return "this feed is live"
    return "the data has ended" if snapshot.replay.state == "ended" else ""


def _now(app: CockpitApp, snapshot: Snapshot, focused: Widget | None) -> str:
    return "" if app.past.busy else "there is nothing to come back from"


def _maximise(app: CockpitApp, snapshot: Snapshot, focused: Widget | None) -> str:
    return "" if focused is not None else "no panel has the focus"


_QUESTIONS: dict[str, Callable[[CockpitApp, Snapshot, Widget | None], str]] = {
    "resume": _resume,
    "acknowledge": _acknowledge,
    "cancel_order": _cancel,
    "close_position": _close,
    "maximise": _maximise,
    "now": _now,
    **dict.fromkeys(_COMMANDS, _replay),
}
