"""I8: whatever is wanted, filled, cancelled and quoted, no position with its open orders goes beyond its limit."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

from hypothesis import given, settings, strategies as st

from engine.core import events as ev, risk
from engine.core.context import State
from engine.core.decide import step
from engine.core.inputs import PHASE_VENUE, Cause, FillReport, OrderReport
from engine.core.types import (
    InstrumentKind,
    OrderStatus,
    OrderType,
    Origin,
    PositionSide,
    Side,
    TimeInForce,
    Verdict,
)
from tests.core.riskworld import NOW, PERP, Scene

POSITION, GROSS_PCT, COUNT = D(1000), D(15), 3
LIMITS = {
    "max_position_value": {"hard": str(POSITION)},
    "max_gross_exposure_pct": {"hard": str(GROSS_PCT)},
    "max_open_positions": {"hard": str(COUNT)},
}
NO_EXITS = {"stop_loss_pct": None, "take_profit_pct": None, "trailing": None}

Op = tuple[str, int, int, bool, bool]
ops = st.lists(
    st.tuples(
        st.sampled_from(["want", "want", "want", "fill", "fill", "cancel", "quote"]),
        st.integers(0, 5),  # which symbol and bot, or which order
        st.integers(1, 12),  # how much, in hundreds of contracts or units
        st.booleans(),  # sell
        st.booleans(),  # all of it, or by a limit
    ),
    max_size=30,
)


class Play:
    """A scene in which orders are sent when the gates let them, and come to what the venue makes of them."""

    def __init__(self, mode: str) -> None:
        self.scene = Scene(LIMITS, LIMITS, exits=NO_EXITS, margin={"position_mode": mode})
        self.sent = 0
        self.trades = 0

    def want(self, which: int, size: int, sells: bool, by_limit: bool) -> None:
        scene = self.scene
        symbol = ("BTC/USDT", PERP.symbol, "ETH/USDT")[which % 3]
        bot = scene.probe if which < 3 else scene.sibling
        future = symbol == PERP.symbol
        side = Side.SELL if sells and future else Side.BUY
        price = scene.view().mark("test", symbol) or D(0)
        fields: dict[str, Any] = {
            "bot_id": bot.id,
            "symbol": symbol,
            "side": side,
            "position_side": PositionSide.SHORT if side is Side.SELL else PositionSide.LONG,
            "order_type": OrderType.LIMIT if by_limit else OrderType.MARKET,
            "kind": InstrumentKind.LINEAR if future else InstrumentKind.SPOT,
            "contract_size": PERP.contract_size if future else D(1),
        }
        quantity = D(size * 100 if future else size)
        view = scene.view()
        intent = scene.intent(str(quantity), str(price), **fields)
        if risk.evaluate(view, intent)[1] is Verdict.BLOCKED:
            return
        self.sent += 1
        own = scene.ledger.open_position(bot.id, "test", symbol, fields["position_side"])
        scene.fold(
            ev.OrderSubmitted(
                ts=NOW,
                cause=scene.cause(),
                order_id=f"00000000-0000-7000-8000-{self.sent:012d}",
                number=scene.ledger.intents + 1,
                signal_id=f"signal-{self.sent}",
                strategy_id="",
                portfolio_id=scene.account.portfolio_id,
                position_id=own.id if own else f"position-{self.sent}",
                exchange="test",
                time_in_force=TimeInForce.GTC,
                origin=Origin.ENTRY,
                role="ENTRY",
                quantity=quantity,
                price=price if by_limit else None,
                stop_price=None,
                reduce_only=False,
                valid_until=None,
                config_version=1,
                **fields,
            )
        )
        self.check((symbol,), ("", bot.id))

    def report(self, kind: str, which: int, size: int, whole: bool) -> None:
        scene = self.scene
        orders = [order for order in scene.ledger.open_orders() if order.origin is Origin.ENTRY]
        if not orders:
            return
        order = orders[which % len(orders)]
        state = State(scene.ledger, scene.market)
        self.trades += 1
        cause = Cause(NOW, 0, "test", order.symbol, PHASE_VENUE, "report", self.trades)
        if kind == "cancel":
            step(
                state,
                OrderReport(ts=NOW, cause=cause, order_id=order.id, status=OrderStatus.CANCELED),
                scene.setup,
            )
            return
        quantity = order.remaining if whole else min(order.remaining, D(size))
        mark = scene.view().mark("test", order.symbol) or D(0)
        step(
            state,
            FillReport(
                ts=NOW,
                cause=cause,
                order_id=order.id,
                trade_id=f"trade-{self.trades}",
                executed_ts=NOW,
                quantity=quantity,
                price=order.price or mark,
                fee=D(0),
                fee_currency="USDT",
                liquidity="TAKER",
            ),
            scene.setup,
        )

    def check_all(self) -> None:
        self.check(("BTC/USDT", "ETH/USDT", PERP.symbol), ("", self.scene.probe.id, self.scene.sibling.id))

    def check(self, symbols: tuple[str, ...], bots: tuple[str, ...]) -> None:
        """Nothing exceeds its limit at the prices of now, every open entry filled."""
        view = self.scene.view()
        exposure = view.exposure()
        for bot_id in bots:
            assert exposure.gross(bot_id) * 100 <= GROSS_PCT * view.equity()
            for symbol in symbols:
                assert exposure.of_symbol("test", symbol, bot_id) <= POSITION
        self.check_count()

    def check_count(self) -> None:
        """As many positions as there may be, counted without the gates' own sums."""
        ledger, probe = self.scene.ledger, self.scene.probe
        hedger = probe.id if probe.margin.position_mode == "HEDGE" else ""  # the sibling nets
        entries = [(o.bot_id, o.symbol, o.position_side) for o in ledger.orders.values() if not o.reduce_only]
        held = [(p.bot_id, p.symbol, p.side) for p in ledger.positions.values()]
        assert len({(bot, symbol, side if bot == hedger else "") for bot, symbol, side in entries + held}) <= COUNT

    def check_held(self) -> None:
        """What is held, position by position, is within the limit: prices have not moved."""
        for position in self.scene.ledger.positions.values():
            assert abs(position.quantity) * position.contract_size * 100 <= POSITION


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(["NETTING", "HEDGE"]), ops)
def test_no_sequence_exceeds_a_limit_while_prices_stand(mode: str, sequence: list[Op]) -> None:
    play = Play(mode)
    for kind, which, size, sells, flag in sequence:
        if kind == "want":
            play.want(which, size, sells, flag)
        elif kind != "quote":
            play.report(kind, which, size, flag)
        play.check_all()
        play.check_held()


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(["NETTING", "HEDGE"]), ops)
def test_no_order_goes_out_that_would_exceed_a_limit_when_prices_move(mode: str, sequence: list[Op]) -> None:
    play = Play(mode)
    for kind, which, size, sells, flag in sequence:
        if kind == "want":
            play.want(
                which, size, sells, flag
            )  # checks what it is of: a price may have carried another beyond its limit
        elif kind == "quote":
            price = 100.0 + (size - 6) * (1 if sells else 5)
            play.scene.quote(price, price, symbol=("BTC/USDT", PERP.symbol, "ETH/USDT")[which % 3])
        else:
            play.report(kind, which, size, flag)
        play.check_count()


def test_the_play_sends_and_fills_something() -> None:
    """The property would hold for a world in which nothing happens."""
    play = Play("NETTING")
    for which in range(6):
        play.want(which, 3, False, True)
    assert play.sent == COUNT
    for _ in range(3):
        play.report("fill", 0, 9, True)
    assert len(play.scene.ledger.positions) == 3 and not play.scene.ledger.open_orders()
