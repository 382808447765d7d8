"""Dialogs of level 2: what will happen, the focus on not doing it, and the engine's own answer before they close."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Button

from engine.client import OrderView, Outcome, PositionView
from engine.core.text import safe_text
from engine.core.types import Verb
from tui.glyphs import fmt_money
from tui.screens.dialog import Dialog, keys_line, prose
from tui.viewmodel import Frame, Span, quantity
from tui.widgets.line import SpanLine


class ConfirmDialog(Dialog[None]):
    """One command about one thing. Enter on the focused button; the one that does nothing has the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("left,right", "app.focus_next", "The other one"),
        ("n", "leave", "Leave it"),
    ]
    verb: ClassVar[Verb]
    stay_label = "Cancel"
    go_label = ""

    def __init__(self, target: str) -> None:
        super().__init__()
        self._target = target
        self._sending = False

    def text(self) -> Iterable[Widget]:
        """What the operator must have read."""
        return ()

    def body(self) -> Iterable[Widget]:
        yield from self.text()
        yield SpanLine(id="now")
        with Horizontal(classes="buttons"):
            yield Button(self.stay_label, id="stay")
            yield Button(self.go_label, id="go", variant="error")
        yield SpanLine(id="result")
        yield keys_line(("Enter", "the marked one"), ("Tab", "the other one"), ("Esc", "back"))

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#stay", Button).focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        if event.button.id == "stay":
            self.dismiss(None)
        elif lack := self.lacks():
            self.say(lack, "warn")
        elif not self._sending:
            self._sending = True
            self.say("asking the engine ...", "dim")
            self.cockpit.ordering.command(self.verb, self._target, self._answered, self.reason())

    def reason(self) -> str:
        """Why it is asked for, for the journal; "" when nobody was asked."""
        return ""

    def lacks(self) -> str:
        """What is missing before it can be sent; "" for nothing."""
        return ""

    def _answered(self, outcome: Outcome) -> None:
        self._sending = False
        if not outcome.done:
            self.say(f"REFUSED: {safe_text(outcome.text, 200)}", "error")
        elif self.is_mounted:
            self.dismiss(None)
            self.cockpit.toast(outcome.text)

    def say(self, text: str, style: str) -> None:
        if self.is_mounted:
            self.query_one("#result", SpanLine).set_line([Span(text, style)])

    def show(self, frame: Frame) -> None:
        super().show(frame)
        self.query_one("#now", SpanLine).set_line([Span("now: ", "dim"), Span(self.now(frame), "strong")])

    def now(self, frame: Frame) -> str:
        """How the thing stands while one thinks about it."""
        return ""


class CancelOrderDialog(ConfirmDialog):
    verb = Verb.CANCEL_ORDER
    go_label = "Cancel the order"
    stay_label = "Keep it"

    def __init__(self, order: OrderView) -> None:
        super().__init__(order.id)
        self._order = order
        self.heading = f"cancel one order - {order.symbol}"

    def text(self) -> Iterable[Widget]:
        o = self._order
        at = fmt_money(o.price, o.price_places) if o.price is not None else "market"
        left = quantity(o.quantity - o.filled_quantity)
        yield prose(f"{o.side} {left} {o.symbol} {o.order_type} {o.role} at {at}, bot {o.bot or 'none'}", "strong")
        if o.role == "ENTRY":
            done = (
                f"{quantity(o.filled_quantity)} has filled and stays" if o.filled_quantity else "It has not filled yet"
            )
            yield prose(f"{done}: nothing is bought or sold by this.")
        else:
            yield prose(
                "It protects a position. Its bot places what its exit plan asks for again; a stop may be missing until then."
            )
        yield prose(f"Order {o.id}. The answer is kept in the audit trail, with your name.")

    def now(self, frame: Frame) -> str:
        snapshot = frame.snapshot
        found = next((o for o in snapshot.orders if o.id == self._target), None) if snapshot is not None else None
        if found is None:
            return "not among the open orders any more"
        flags = f", {found.flags}" if found.flags else ""
        return safe_text(
            f"{found.status}{flags}, {quantity(found.filled_quantity)} of {quantity(found.quantity)} filled", 90
        )


class ClosePositionDialog(ConfirmDialog):
    verb = Verb.CLOSE_POSITION
    go_label = "Close at market"
    stay_label = "Keep it"

    def __init__(self, position: PositionView) -> None:
        super().__init__(position.id)
        self._position = position
        self.heading = f"close one position - {position.symbol}"

    def text(self) -> Iterable[Widget]:
        p = self._position
        entered = fmt_money(p.entry_price, p.price_places)
        yield prose(f"{p.side} {quantity(p.quantity)} {p.symbol}, entered at {entered}, bot {p.bot}", "strong")
        yield prose("A market order for all of it is sent; its stop and targets go once that has filled.")
        yield prose(f"Position {p.id}. The answer is kept in the audit trail, with your name.")

    def now(self, frame: Frame) -> str:
        snapshot = frame.snapshot
        found = next((p for p in snapshot.positions if p.id == self._target), None) if snapshot is not None else None
        if found is None:
            return "closed already"
        mark = fmt_money(found.mark_price, found.price_places)
        return safe_text(f"{quantity(found.quantity)} at {mark}, {fmt_money(found.unrealized_pnl)} before fees", 90)
