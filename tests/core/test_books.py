"""What the ledger learns of its bots: messages, entries, round trips, baselines; all of it folded, bounded and durable."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest

from engine.core import events as ev
from engine.core.books import ROUND_TRIPS_KEPT, BotBook, Messages, RoundTrip, closed, state_changed, submitted
from engine.core.ledger import restore
from engine.core.limits import ENTRIES_KEPT
from engine.core.types import (
    DAY_US,
    MINUTE_US,
    SECOND_US,
    OrderType,
    Origin,
    PositionSide,
    Side,
    TimeInForce,
    TradingState,
)
from tests.core.riskworld import NOW, Scene


def sent(scene: Scene, n: int = 1, **changes: Any) -> ev.OrderSubmitted:
    fields: dict[str, Any] = {
        "ts": NOW, "cause": scene.cause(), "order_id": f"order-{n}", "number": n, "signal_id": f"signal-{n}",
        "bot_id": scene.probe.id, "strategy_id": "", "portfolio_id": scene.account.portfolio_id,
        "position_id": f"position-{n}", "exchange": "test", "symbol": "BTC/USDT", "side": Side.BUY,
        "position_side": PositionSide.LONG, "order_type": OrderType.MARKET, "time_in_force": TimeInForce.IOC,
        "origin": Origin.ENTRY, "role": "ENTRY", "quantity": D(1), "price": None, "stop_price": None,
        "reduce_only": False, "valid_until": None, "config_version": 1,
    }  # fmt: skip
    return ev.OrderSubmitted(**(fields | changes))


def ended(scene: Scene, pnl: str, reason: str = "STOP", ts: int = NOW, symbol: str = "BTC/USDT") -> ev.PositionClosed:
    return ev.PositionClosed(
        ts=ts, cause=scene.cause(), position_id="p", bot_id=scene.probe.id, exchange="test", symbol=symbol,
        side=PositionSide.LONG, entry_price=D(100), exit_price=D(100), quantity=D(1), realized_pnl=D(pnl), fees=D(0),
        reason=reason,
    )  # fmt: skip


def changed_state(scene: Scene, state: TradingState, actor: str, bot: bool = True) -> ev.TradingStateChanged:
    return ev.TradingStateChanged(
        ts=NOW, cause=scene.cause(), state=state, previous=TradingState.ACTIVE, verb="X", actor=actor, reason="why",
        policy="keep_with_exits", bot_id=scene.probe.id if bot else "",
    )  # fmt: skip


@pytest.mark.parametrize(("length", "index"), [(SECOND_US, 0), (MINUTE_US, 1), (DAY_US, 2)])
def test_messages_are_counted_by_window(length: int, index: int) -> None:
    messages = Messages()
    assert messages.at(NOW) == (0, 0, 0)
    messages.add(NOW)
    messages.add(NOW)
    assert messages.at(NOW) == (2, 2, 2)
    end = NOW - NOW % length + length
    assert messages.at(end - 1)[index] == 2 and messages.at(end)[index] == 0
    messages.add(end)
    assert messages.at(end)[index] == 1


def test_orders_and_cancels_are_messages_of_bot_and_account() -> None:
    scene = Scene()
    scene.fold(sent(scene), sent(scene, 2, bot_id=scene.sibling.id))
    cancel = ev.CancelRequested(
        ts=NOW, cause=scene.cause(), order_id="order-1", number=3, bot_id=scene.probe.id, symbol="BTC/USDT", reason="x"
    )
    scene.fold(cancel)
    assert scene.ledger.messages.at(NOW) == (3, 3, 3)
    assert scene.book.messages.at(NOW) == (2, 2, 2)


def test_entries_are_remembered_and_exits_are_not() -> None:
    scene = Scene()
    scene.fold(sent(scene), sent(scene, 2, origin=Origin.EXIT, reduce_only=True, side=Side.SELL))
    book = scene.book
    assert (book.entries, book.entry_ts, book.last_entry_signal) == (1, [NOW], {"test BTC/USDT BUY": "signal-1"})
    for n in range(ENTRIES_KEPT + 5):
        submitted(book, sent(scene, n + 10, ts=NOW + n))
    assert len(book.entry_ts) == ENTRIES_KEPT and book.entry_ts[-1] == NOW + ENTRIES_KEPT + 4


def test_round_trips_teach_wins_and_losses() -> None:
    scene, book = Scene(), BotBook()
    for pnl in ("10", "-5", "-1"):
        closed(book, ended(scene, pnl), D(200))
    assert (book.wins, book.losses, book.won, book.lost, book.losses_in_row) == (1, 2, D(5), D(3), 2)
    closed(book, ended(scene, "0"), D(200))
    assert (book.wins, book.losses, book.losses_in_row) == (1, 2, 0)
    closed(book, ended(scene, "4"), D(0))  # of nothing: no return, and a win all the same
    assert (book.wins, book.won) == (2, D(5))
    assert book.recent["test BTC/USDT"][:2] == [RoundTrip(NOW, D(5)), RoundTrip(NOW, D("-2.5"))]
    for _ in range(ROUND_TRIPS_KEPT + 3):
        closed(book, ended(scene, "2"), D(200))
    assert len(book.recent["test BTC/USDT"]) == ROUND_TRIPS_KEPT


@pytest.mark.parametrize(
    ("pnl", "reason", "rests"),
    [
        ("-1", "STOP", True),
        ("-1", "TRAILING_STOP", True),
        ("-1", "LIQUIDATION", True),
        ("-1", "SIGNAL_EXIT", False),
        ("1", "STOP", False),
        ("0", "STOP", False),
    ],
)
def test_a_stop_loss_is_remembered_by_symbol(pnl: str, reason: str, rests: bool) -> None:
    book = BotBook()
    closed(book, ended(Scene(), pnl, reason), D(100))
    assert book.last_stop_ts == ({"test BTC/USDT": NOW} if rests else {})


def test_a_person_who_resumes_a_bot_wipes_what_stopped_it() -> None:
    scene = Scene()
    for gate, peak, start in (("MAX_DRAWDOWN", 1, 9), ("DAILY_LOSS_LOCK", 5, 1), ("REPEATED_EXECUTION_THROTTLE", 5, 9)):
        book = BotBook(losses_in_row=3, entry_ts=[1], realized_pnl=D(1), peak_pnl=D(5), day_start_pnl=D(9))
        state_changed(book, changed_state(scene, TradingState.HALTED, f"gate:{gate}"))
        assert (book.state, book.state_actor, book.losses_in_row) == (TradingState.HALTED, f"gate:{gate}", 3)
        state_changed(book, changed_state(scene, TradingState.ACTIVE, "anna"))
        assert (book.losses_in_row, book.entry_ts, book.peak_pnl, book.day_start_pnl) == (0, [], D(peak), D(start))
        assert (book.state, book.state_reason, book.policy) == (TradingState.ACTIVE, "why", "keep_with_exits")


@pytest.mark.parametrize(
    ("state", "actor"), [(TradingState.ACTIVE, "gate:DAILY_LOSS_LOCK"), (TradingState.PAUSED, "anna")]
)
def test_nothing_else_wipes_it(state: TradingState, actor: str) -> None:
    book = BotBook(losses_in_row=3, entry_ts=[1], peak_pnl=D(5), day_start_pnl=D(9), state_actor="gate:DAILY_LOSS_LOCK")
    state_changed(book, changed_state(Scene(), state, actor))
    assert (book.losses_in_row, book.entry_ts, book.peak_pnl, book.day_start_pnl) == (3, [1], D(5), D(9))


@pytest.mark.parametrize(
    ("gate", "peak", "start"),
    [("MAX_DRAWDOWN", 9_000, 12_000), ("DAILY_LOSS_LOCK", 15_000, 9_000), ("CUSTOM", 15_000, 12_000)],
)
def test_a_person_who_resumes_the_account_accepts_its_loss(gate: str, peak: int, start: int) -> None:
    for actor, wipes in (("anna", True), ("gate:DAILY_LOSS_LOCK", False)):
        scene = Scene()
        account = scene.account
        account.peak_equity, account.day_start_equity, account.equity = D(15_000), D(12_000), D(9_000)
        scene.fold(changed_state(scene, TradingState.HALTED, f"gate:{gate}", bot=False))
        scene.fold(changed_state(scene, TradingState.ACTIVE, actor, bot=False))
        want = (peak, start) if wipes else (15_000, 12_000)
        assert (account.peak_equity, account.day_start_equity) == want


def test_baselines_are_facts_that_survive_a_restart() -> None:
    """A day, a peak and a fall: after a restart the gates say the same as before it."""
    scene = Scene(
        {"daily_loss_pct": {"hard": "5"}, "max_drawdown_pct": {"hard": "5"}},
        {"daily_loss_pct": {"hard": "5"}, "max_drawdown_pct": {"hard": "5"}, "max_consecutive_losses": {"hard": "1"}},
    )
    scene.position("1")
    day = ev.DayStarted(
        ts=NOW, cause=scene.cause(), portfolio_id=scene.account.portfolio_id, equity=D(12_000), day_end=NOW + DAY_US,
        bots={scene.probe.id: D(2_000)},
    )  # fmt: skip
    sample: dict[str, Any] = {
        "ts": NOW, "cause": scene.cause(), "portfolio_id": scene.account.portfolio_id, "cash": D(0),
        "positions_value": D(0), "unrealized_pnl": D(0), "realized_pnl": D(0), "drawdown": D(0), "day_pnl": D(0),
        "open_positions": 0, "marks": {},
    }  # fmt: skip
    for pnl in (3_000, 1_000):  # the peak is the first
        peak = D(10_000 + 3_000)
        scene.fold(ev.EquitySampled(equity=D(10_000 + pnl), peak_equity=peak, bots={scene.probe.id: D(pnl)}, **sample))
    scene.fold(day, ended(scene, "-5"), ended(scene, "-5"))
    assert (scene.book.peak_pnl, scene.book.day_start_pnl, scene.book.losses_in_row) == (D(3_000), D(2_000), 2)
    before = {word.gate: word for word in _words(scene)}
    for gate in ("DAILY_LOSS_LOCK", "MAX_DRAWDOWN", "REPEATED_EXECUTION_THROTTLE"):
        assert before[gate].verdict == "BLOCKED", gate
    scene.ledger = restore(scene.ledger.snapshot())
    assert {word.gate: word for word in _words(scene)} == before


def _words(scene: Scene) -> Any:
    from engine.core import risk

    return risk.evaluate(scene.view(), scene.intent())[0]
