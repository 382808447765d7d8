"""What the kill key will do, order by order, as pure functions of the last picture: nothing is waited for."""

from __future__ import annotations

from engine.client import OrderView, PositionView, Snapshot
from engine.core.text import safe_text
from tui.glyphs import fmt_money
from tui.viewmodel import Line, Span, quantity


def kill_plan(snapshot: Snapshot | None, limit: int = 200) -> list[Line]:
    """Order by order and position by position, what a HALT does (policy keep_with_exits), from the last picture alone."""
    if snapshot is None:
        return [[Span("The engine has not reported yet. HALT latches all the same.", "warn")]]
    orders = [order for order in snapshot.orders if order.is_open]
    entries = [order for order in orders if order.role == "ENTRY"]
    kept = [order for order in orders if order.role != "ENTRY"]
    lines: list[Line] = [_plan_order("cancel", "warn", order) for order in entries]
    lines += [_plan_order("keep", "ok", order) for order in kept]
    lines += [_plan_position(position) for position in snapshot.positions]
    if not lines:
        return [[Span("Nothing is open: no order to cancel, no position to protect.")]]
    if len(lines) > limit:
        lines = [*lines[:limit], [Span(f"... and {len(lines) - limit} more", "dim")]]
    return lines


def kill_summary(snapshot: Snapshot | None) -> str:
    """One line above the plan."""
    if snapshot is None:
        return "HALT: no new order is sent until someone re-arms with a reason."
    entries = sum(o.is_open and o.role == "ENTRY" for o in snapshot.orders)
    kept = sum(o.is_open and o.role != "ENTRY" for o in snapshot.orders)
    return (
        f"HALT cancels {entries} entry order{'s' * (entries != 1)}, keeps {kept} protective order{'s' * (kept != 1)} "
        f"and {len(snapshot.positions)} position{'s' * (len(snapshot.positions) != 1)}."
    )


def _plan_order(verb: str, style: str, order: OrderView) -> Line:
    price = fmt_money(order.price, order.price_places) if order.price is not None else "market"
    left = quantity(order.quantity - order.filled_quantity)
    what = f"{safe_text(order.side, 5)} {left} {safe_text(order.symbol, 20)} {safe_text(order.role, 12)} {price}"
    return [Span(f"{verb:<7}", style), Span(what), Span("  in doubt!", "error") if "doubt" in order.flags else Span("")]


def _plan_position(position: PositionView) -> Line:
    what = f"{safe_text(position.side, 5)} {quantity(position.quantity)} {safe_text(position.symbol, 20)}"
    if position.stop_price is None:
        return [Span("keep   ", "ok"), Span(what), Span("  NO STOP!", "error")]
    return [
        Span("keep   ", "ok"),
        Span(what),
        Span(f"  stop {fmt_money(position.stop_price, position.price_places)}", "dim"),
    ]
