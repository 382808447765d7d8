"""What the keys of orders and positions do: ask first, give the command, say what came of it, keep who asked."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from engine.client import OrderView, Outcome, PositionView
from engine.core.text import safe_text
from engine.core.types import Verb
from engine.history import Told, story_of
from tui.widgets.order_tables import OrdersTable
from tui.widgets.panels import OrdersPanel, PositionsPanel

if TYPE_CHECKING:
    from tui.app import CockpitApp


class OrderKeys:
    """One order, one position: level 2 of the danger levels (cockpit.md)."""

    def __init__(self, app: CockpitApp) -> None:
        self._app = app

    def cancel_selected(self) -> None:
        panel = self._app.screen.focused
        if isinstance(panel, OrdersTable | OrdersPanel):
            self.ask_to_cancel(panel.selected_order())
        else:
            self._app.toast("select an order first: 2 shows all of them", failed=True)

    def ask_to_cancel(self, order: OrderView | None) -> None:
        from tui.screens.confirm import CancelOrderDialog

        if order is None:
            self._app.toast("there is no order here to cancel", failed=True)
        elif not order.is_open:
            self._app.toast(
                f"this order is {safe_text(order.status, 20)}: only open ones can be cancelled", failed=True
            )
        elif self._app.may_command():
            self._app.push_screen(CancelOrderDialog(order))

    def close_selected(self) -> None:
        from tui.screens.confirm import ClosePositionDialog

        panel = self._app.screen.focused
        position: PositionView | None = panel.selected_position() if isinstance(panel, PositionsPanel) else None
        if position is None:
            self._app.toast("select a position first: 1, then Tab to the positions", failed=True)
        elif self._app.may_command():
            self._app.push_screen(ClosePositionDialog(position))

    def command(self, verb: Verb, target: str, answered: Callable[[Outcome], None], reason: str = "") -> None:
        """Give a command about one thing, and write into the audit trail who gave it and what came of it."""

        def both(outcome: Outcome) -> None:
            answered(outcome)
            kept = self._app.client.history.commanded(verb, target, self._app.actor, outcome.text, done=outcome.done)
            self._app.wait_for(kept, self._kept)

        self._app.ask(verb, both, target=target, reason=reason)

    def _kept(self, done: Future[Any]) -> None:
        error = None if done.cancelled() else done.exception()
        if error is not None:
            self._app.toast(f"NOT in the audit trail: {safe_text(str(error), 160)}; the journal has it", failed=True)

    def show_story(self, order_id: str, order: OrderView | None) -> None:
        """The order's drawer: what memory knows at once."""
        from tui.screens.story import StoryDialog

        app = self._app
        recent = app.client.events(max(0, app.log_book.seq - RECENT), RECENT)
        told = [Told(recorded=one) for one in story_of(order_id, recent)]
        snapshot = app.frame.snapshot
        live = snapshot is not None and snapshot.replay is None
        app.push_screen(StoryDialog(order_id, order, told, live=live))


#: Events of memory that are looked through before the journal answers.
RECENT = 5_000
