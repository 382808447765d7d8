"""From the engine's state to what a screen shows: immutable views, built a few times a second, never more."""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal

from engine import client as cl
from engine.core import events as ev, risk
from engine.core.config import BotConfig
from engine.core.ledger import Ledger, drawdown
from engine.core.margin import equity, mark_of
from engine.core.market import Market
from engine.core.orders import Order
from engine.core.positions import Position
from engine.core.setup import Setup, portfolio_id
from engine.core.types import ZERO, BotStatus, Instrument, Verdict, entity_id

#: Closed orders that stay on the orders panel.
RECENT_ORDERS = 50

_UNITS = {
    "PRICE_COLLAR": "%",
    "MAX_GROSS_EXPOSURE": "%",
    "MAX_LEVERAGE": "x",
    "LIQUIDATION_DISTANCE": "%",
    "MARGIN_RATIO": "%",
    "MAX_MESSAGE_RATE": "/s",
    "STALE_DATA": "s",
    "CLOCK_SKEW": "ms",
    "SPREAD": "bps",
    "DATA_REASONABILITY": "ATR",
    "DAILY_LOSS_LOCK": "%",
    "MAX_DRAWDOWN": "%",
}


class BoardMemory:
    """The last word of every gate on an order, the last order that it blocked, the last stop: from committed events."""

    def __init__(self) -> None:
        self.last: dict[str, ev.GateResult] = {}
        self.blocked: dict[str, tuple[int, str]] = {}
        self.words: dict[tuple[str, str], ev.GateResult] = {}  # by bot and gate
        self.blocked_of: dict[tuple[str, str], tuple[int, str]] = {}
        self.signals: dict[str, tuple[int, str]] = {}  # by bot
        self.errors: dict[str, ev.BotStatusChanged] = {}
        self.stopped: ev.StopCompleted | None = None

    def see(self, event: ev.Event) -> None:
        match event:
            case ev.IntentEvaluated():
                self._see_gates(event)
            case ev.SignalGenerated():
                self.signals[event.bot_id] = (event.ts, f"{event.kind} {event.side} {event.symbol}")
            case ev.BotStatusChanged(status=BotStatus.ERROR):
                self.errors[event.bot_id] = event
            case ev.StopCompleted():
                self.stopped = event

    def _see_gates(self, event: ev.IntentEvaluated) -> None:
        for gate in event.gates:
            if gate.limit != "reduce-only":
                self.last[gate.gate] = self.words[event.bot_id, gate.gate] = gate
            if gate.verdict is Verdict.BLOCKED:
                told = (event.ts, f"{event.side} {event.symbol}")
                self.blocked[gate.gate] = self.blocked_of[event.bot_id, gate.gate] = told


def unit_of(gate: str) -> str:
    """What a gate's numbers are in; "" for plain numbers."""
    return _UNITS.get(gate, "")


def places(instrument: Instrument | None) -> int:
    """Decimals that prices of an instrument have, by its tick."""
    if instrument is None or instrument.tick_size == ZERO:
        return 8
    exponent = instrument.tick_size.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 8


def board(view: risk.View, memory: BoardMemory) -> tuple[cl.GateView, ...]:
    standing = {gate.gate: gate for gate in risk.board(view)}
    return tuple(
        _gate(name, standing.get(name) or memory.last.get(name), memory) for name in (gate.name for gate in risk.GATES)
    )


def _gate(name: str, gate: ev.GateResult | None, memory: BoardMemory) -> cl.GateView:
    blocked_ts, blocked_what = memory.blocked.get(name, (0, ""))
    if gate is None:
        return cl.GateView(
            gate=name,
            verdict="IDLE",
            actual="",
            limit="",
            unit=unit_of(name),
            used=None,
            blocked_ts=blocked_ts,
            blocked_what=blocked_what,
        )
    return cl.GateView(
        gate=name,
        verdict=gate.verdict,
        actual=gate.actual,
        limit=gate.limit,
        unit=unit_of(name),
        used=used_of(gate),
        blocked_ts=blocked_ts,
        blocked_what=blocked_what,
    )


def used_of(gate: ev.GateResult) -> float | None:
    """Share of the limit that is used, for a bar; of a limit from below, its share of what is there. Display only."""
    if not gate.margin:
        return None
    try:
        limit, actual = Decimal(gate.limit), Decimal(gate.actual)
    except ArithmeticError:
        return None
    if gate.gate == "LIQUIDATION_DISTANCE":
        limit, actual = actual, limit
    return float(actual / limit) if limit > ZERO else None


def positions(ledger: Ledger, market: Market, setup: Setup) -> tuple[cl.PositionView, ...]:
    rows = sorted(ledger.positions.values(), key=lambda p: (p.symbol, p.opened_ts))
    return tuple(_position(p, market, setup) for p in rows)


def _position(p: Position, market: Market, setup: Setup) -> cl.PositionView:
    mark = mark_of(market, p)
    pnl = p.unrealized_pnl(mark)
    return cl.PositionView(
        id=p.id,
        bot=bot_name(setup, p.bot_id),
        exchange=p.exchange,
        symbol=p.symbol,
        side=p.side,
        quantity=p.quantity,
        entry_price=p.entry_price,
        mark_price=mark,
        unrealized_pnl=pnl,
        unrealized_pct=pnl / p.cost * 100 if p.cost else ZERO,
        stop_price=p.stop_price,
        take_profit_price=p.take_profit_price,
        trailing=p.trailing,
        opened_ts=p.opened_ts,
        price_places=places(market.instruments.get((p.exchange, p.symbol))),
        config_version=p.config_version,
    )


def orders(ledger: Ledger, market: Market, setup: Setup) -> tuple[cl.OrderView, ...]:
    """Open orders, then the newest closed ones."""
    closed: Iterable[Order] = list(ledger.closed_orders.values())[-RECENT_ORDERS:]
    rows = sorted(ledger.orders.values(), key=lambda o: -o.number) + sorted(closed, key=lambda o: -o.number)
    return tuple(_order(o, market, setup) for o in rows)


def all_orders(ledger: Ledger, market: Market, setup: Setup) -> tuple[cl.OrderView, ...]:
    """Every order that the ledger still knows, newest first."""
    known = [*ledger.orders.values(), *ledger.closed_orders.values()]
    return tuple(_order(o, market, setup) for o in sorted(known, key=lambda o: -o.number))


def _order(o: Order, market: Market, setup: Setup) -> cl.OrderView:
    flags = [name for name, on in (("in doubt", o.in_doubt), ("cancelling", o.cancel_requested and o.is_open)) if on]
    return cl.OrderView(
        id=o.id,
        ts=o.submitted_ts,
        bot=bot_name(setup, o.bot_id),
        exchange=o.exchange,
        symbol=o.symbol,
        side=o.side,
        order_type=o.order_type,
        role=o.role,
        quantity=o.quantity,
        filled_quantity=o.filled_quantity,
        price=o.avg_fill_price or o.price or o.stop_price,
        price_places=places(market.instruments.get((o.exchange, o.symbol))),
        status=o.status,
        flags=", ".join(flags),
        reason=o.reason,
        is_open=o.is_open,
        config_version=o.config_version,
    )


def bot_name(setup: Setup, bot_id: str) -> str:
    """A bot's name; the beginning of its id when the config has left it out."""
    bot = setup.by_id.get(bot_id)
    return bot.name if bot else bot_id[:8]


def marks(market: Market) -> tuple[cl.MarkView, ...]:
    out = []
    for (exchange, symbol), instrument in sorted(market.instruments.items()):
        price = market.mark(exchange, symbol)
        if price is not None:
            out.append(
                cl.MarkView(
                    exchange=exchange,
                    symbol=symbol,
                    price=price,
                    price_places=places(instrument),
                    rules=instrument.source,
                )
            )
    return tuple(out)


def snapshot(
    name: str,
    view: risk.View,
    memory: BoardMemory,
    *,
    number: int,
    held: bool,
    feed_status: str = "ok",
    banner: str = "",
    last_input_mono: float = math.inf,
    database_down_mono: float | None = None,
    database_ms: float = 0.0,
    lag_ms: float = 0.0,
    beat_mono: float = math.inf,
    replay: cl.ReplayView | None = None,
) -> cl.Snapshot:
    """The picture of a ledger called `name`; the keywords are what its shell knows, with the values of one that has none."""
    ledger, market, setup = view.ledger, view.market, view.setup
    money = Money(view)
    return cl.Snapshot(
        number=number,
        ledger=name,
        ledger_id=ledger.ledger_id,
        mode=ledger.mode,
        feed=ledger.feed,
        feed_status=feed_status,
        banner=banner,
        state=ledger.state,
        state_reason=ledger.state_reason,
        state_actor=ledger.state_actor,
        state_since=ledger.state_since,
        held=held,
        now=view.now,
        last_input_mono=last_input_mono,
        database_down_mono=database_down_mono,
        database_ms=database_ms,
        lag_ms=lag_ms,
        beat_mono=beat_mono,
        seq=ledger.seq,
        config_version=ledger.config_version,
        config_sha256=ledger.config_sha256,
        base_currency=ledger.base_currency,
        equity=money.equity,
        cash=money.cash,
        unrealized_pnl=money.unrealized,
        day_pnl=money.day_pnl,
        day_pct=money.day_pct,
        total_pct=money.total_pct,
        drawdown_pct=money.drawdown_pct,
        orders_total=ledger.counts.orders,
        fills_total=ledger.counts.fills,
        trades_total=ledger.counts.trades,
        positions=positions(ledger, market, setup),
        orders=orders(ledger, market, setup),
        gates=board(view, memory),
        bots=bots(ledger, market, setup),
        stops=stops(ledger, setup),
        stopped=stopped(memory, setup),
        marks=marks(market),
        replay=replay,
        accounts=accounts(ledger, market),
    )


def accounts(ledger: Ledger, market: Market) -> tuple[cl.AccountView, ...]:
    """The first is the one that the ledger was opened with."""
    return tuple(
        cl.AccountView(
            id=account.portfolio_id,
            name=account.name,
            currency=account.currency or ledger.base_currency,
            equity=equity(ledger, market, account),
            opened_with=account.initial_balance,
        )
        for account in ledger.accounts.values()
    )


class Money:
    """Equity and what follows from it, at the newest marks."""

    def __init__(self, view: risk.View) -> None:
        account = view.account
        self.equity = view.equity()
        self.cash = account.cash
        self.unrealized = sum((p.unrealized_pnl(mark_of(view.market, p)) for p in view.positions), ZERO)
        self.day_pnl = self.equity - account.day_start_equity
        self.day_pct = self.day_pnl / account.day_start_equity * 100 if account.day_start_equity else ZERO
        gained = self.equity - account.initial_balance
        self.total_pct = gained / account.initial_balance * 100 if account.initial_balance else ZERO
        self.drawdown_pct = drawdown(self.equity, max(account.peak_equity, self.equity)) * 100


def bots(ledger: Ledger, market: Market, setup: Setup) -> tuple[cl.BotView, ...]:
    """Those of the config by name, then those that it leaves out."""
    configs = {entity_id(ledger.ledger_id, "bot", bot.name): bot for bot in setup.config.bots}
    left_out = [bot_id for bot_id in ledger.bots if bot_id not in configs]
    by_name = sorted(configs, key=lambda bot_id: configs[bot_id].name)
    return tuple(
        _bot(ledger, market, bot_id, configs.get(bot_id)) for bot_id in (*by_name, *left_out) if bot_id in ledger.bots
    )


def _bot(ledger: Ledger, market: Market, bot_id: str, config: BotConfig | None) -> cl.BotView:
    book = ledger.bots[bot_id]
    own = [p for p in ledger.positions.values() if p.bot_id == bot_id]
    portfolio = config.portfolio if config else "main"
    account = ledger.accounts.get(portfolio_id(ledger.ledger_id, portfolio), ledger.account)
    return cl.BotView(
        id=bot_id,
        name=config.name if config else bot_id[:8],
        status=book.status,
        reason=warmth(market, bot_id) if book.status == "WARMING_UP" else book.reason,
        entries=book.entries,
        state=book.state,
        state_reason=book.state_reason,
        state_actor=book.state_actor,
        strategy=config.strategy_text if config else "",
        symbols=config.symbols if config else (),
        portfolio=portfolio,
        currency=account.currency,
        realized_pnl=book.realized_pnl,
        unrealized_pnl=sum((p.unrealized_pnl(mark_of(market, p)) for p in own), ZERO),
        positions=len(own),
    )


def stops(ledger: Ledger, setup: Setup) -> tuple[cl.StopView, ...]:
    """Stops under way."""
    return tuple(
        cl.StopView(
            bot=bot_name(setup, bot_id) if bot_id else "",
            verb=stop.verb,
            actor=stop.actor,
            began_ts=stop.began_ts,
            orders=tuple(key for key, ended in stop.orders.items() if not ended),
            positions=tuple(key for key, ended in stop.positions.items() if not ended),
        )
        for bot_id, stop in ledger.stops.items()
    )


def stopped(memory: BoardMemory, setup: Setup) -> cl.StoppedView | None:
    e = memory.stopped
    if e is None:
        return None
    return cl.StoppedView(
        bot=bot_name(setup, e.bot_id) if e.bot_id else "",
        verb=e.verb,
        actor=e.actor,
        began_ts=e.began_ts,
        ended_ts=e.ts,
        results=tuple((r.id, r.symbol, r.role, r.outcome) for r in e.results),
    )


def offline(ledger: Ledger, market: Market, setup: Setup) -> dict[str, object]:
    """What a command without an engine may have changed, for the status file."""
    return {
        "positions": positions(ledger, market, setup),
        "orders": orders(ledger, market, setup),
        "bots": bots(ledger, market, setup),
        "stops": stops(ledger, setup),
    }


def warmth(market: Market, bot_id: str) -> str:
    """How far a bot's indicators are, at its furthest symbol: it trades from there on."""
    found = [r for series in market.series.values() for r in series.runners if r.bot.id == bot_id]
    best = max(found, key=lambda r: r.bars / max(r.warmup_bars, 1), default=None)
    if best is None:
        return "no symbol of this feed"
    missing = max(best.warmup_bars - best.bars, 0)
    return f"{best.bars:,} of {best.warmup_bars:,} bars to warm up, {missing:,} missing"


def never_traded(market: Market, setup: Setup, ledger: Ledger) -> list[str]:
    """A line for each bot whose indicators have never been warm."""
    return [
        f"bot {bot.name} never traded: {warmth(market, bot.id)}"
        for bot in setup.bots
        if ledger.bots[bot.id].status == "WARMING_UP"
    ]
