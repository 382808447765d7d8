"""What executions, liquidations and funding become. A true fill is never refused (I7) and counts once (I4)."""

from __future__ import annotations

from decimal import Decimal
from math import isfinite

import msgspec

from engine.core import events as ev, margin
from engine.core.context import Context
from engine.core.entries import alert
from engine.core.inputs import FillReport, Funding, LiquidationReport
from engine.core.orders import Order
from engine.core.positions import Position, adopted, booked, is_dust, side_of
from engine.core.types import (
    BUY,
    CROSS,
    LINEAR,
    LONG,
    ONE,
    QUANTUM,
    SELL,
    SPOT,
    ZERO,
    Origin,
    money,
    uuid7,
)

Events = list[ev.Event]

LIQUIDATION = "LIQUIDATION"
#: Amounts are numeric(38,18): what has more digits before the point is no amount.
AMOUNT_MAX = Decimal(10) ** 20


def on_fill(ctx: Context, fill: FillReport) -> Events:
    """An execution of an order of ours; an alert when it is of none, nothing when its trade has been counted."""
    ledger = ctx.ledger
    order = ledger.orders.get(fill.order_id) or ledger.closed_orders.get(fill.order_id)
    if order is None:
        return [alert(ctx, "ORDER_UNKNOWN", f"fill {fill.trade_id} of an order that this ledger does not know")]
    if fill.trade_id in order.trade_ids:
        return []
    if not _readable(fill):
        return [
            alert(ctx, "FILL_UNREADABLE", f"fill {fill.trade_id} has no usable amounts", order.symbol, order.bot_id)
        ]
    return _filled(ctx, order, fill)


def on_liquidation(ctx: Context, report: LiquidationReport) -> Events:
    """The venue has closed a position: its order becomes one of ours, so that its fill is one like any other."""
    position = ctx.ledger.position(report.position_id)
    if position is None:
        text = f"liquidation {report.trade_id} of a position that this ledger does not know"
        return [alert(ctx, "POSITION_UNKNOWN", text)]
    # The id derives from what was liquidated, not from when we heard of it: told twice, it is the same order.
    order_id = uuid7(position.opened_ts, ctx.ledger.ledger_id, LIQUIDATION, position.id, report.trade_id)
    if ctx.ledger.order(order_id) is not None:
        return []
    closing = SELL if position.side is LONG else BUY
    adoption = ev.OrderAdopted(
        ts=ctx.ts,
        cause=ctx.cause,
        order_id=order_id,
        number=ctx.number(),
        position_id=position.id,
        bot_id=position.bot_id,
        exchange=position.exchange,
        symbol=position.symbol,
        side=closing,
        origin=Origin.LIQUIDATION,
        role=LIQUIDATION,
        quantity=report.quantity,
        reason="liquidated by the venue",
    )
    order = adopted(position, adoption)
    fill = FillReport(
        ts=report.ts,
        cause=report.cause,
        order_id=order_id,
        trade_id=report.trade_id,
        executed_ts=report.ts,
        quantity=report.quantity,
        price=report.price,
        fee=report.fee,
        fee_currency=report.fee_currency,
        liquidity="TAKER",
    )
    if not _readable(fill):
        return [
            alert(
                ctx,
                "FILL_UNREADABLE",
                f"liquidation {report.trade_id} has no usable amounts",
                order.symbol,
                order.bot_id,
            )
        ]
    liquidated = ev.PositionLiquidated(
        ts=ctx.ts,
        cause=ctx.cause,
        position_id=position.id,
        bot_id=position.bot_id,
        exchange=position.exchange,
        symbol=position.symbol,
        side=position.side,
        quantity=report.quantity,
        price=report.price,
    )
    text = f"{position.side} {report.quantity} {position.symbol} was liquidated at {report.price}"
    return [
        liquidated,
        adoption,
        *_filled(ctx, order, fill),
        alert(ctx, "POSITION_LIQUIDATED", text, order.symbol, order.bot_id),
    ]


def on_funding(ctx: Context, funding: Funding) -> Events:
    """Longs pay `rate` of their notional to shorts. Once per boundary and position, and only by those that held it then."""
    held = [
        p
        for p in ctx.ledger.open_positions()
        if p.kind is LINEAR
        and (p.exchange, p.symbol) == (funding.exchange, funding.symbol)
        and p.opened_ts <= funding.ts
        and p.funded_ts < funding.ts
    ]
    if not held:
        return []
    if not (isfinite(funding.rate) and isfinite(funding.mark) and funding.mark > 0):
        text = f"funding of {funding.symbol} has no usable rate and mark: nothing was booked"
        return [alert(ctx, "FUNDING_UNREADABLE", text)]
    rate, mark = money(funding.rate), money(funding.mark)
    out: Events = []
    for position in held:
        amount = (position.notional(mark) * rate).quantize(QUANTUM)
        out.append(
            ev.FundingPaid(
                ts=ctx.ts,
                cause=ctx.cause,
                position_id=position.id,
                portfolio_id=position.portfolio_id,
                bot_id=position.bot_id,
                exchange=position.exchange,
                symbol=position.symbol,
                rate=rate,
                mark=mark,
                amount=-amount if position.side is LONG else amount,
            )
        )
    return out


def dust(ctx: Context, position: Position, reason: str) -> Events:
    """DustKept, when what is left of an open position is too small for any order and no entry is under way to add to it.

    To be asked after a fill that reduces, and at the end of an entry that has filled in part: a price that falls below the
    least notional later makes no dust of what can be sold again when it rises. `reason` is the role of that order.
    """
    series = ctx.market.series.get((position.exchange, position.symbol))
    if series is None or position.id not in ctx.ledger.positions:
        return []
    if not is_dust(position, series.instrument, margin.mark_of(ctx.market, position)):
        return []
    if any(o.adds_risk for o in ctx.ledger.orders_of(position.id)):
        return []
    return [
        ev.DustKept(
            ts=ctx.ts,
            cause=ctx.cause,
            position_id=position.id,
            bot_id=position.bot_id,
            exchange=position.exchange,
            symbol=position.symbol,
            asset=series.instrument.base,
            quantity=position.quantity,
            cost=position.cost,
            reason=reason,
        )
    ]


def after_margin(ctx: Context, position_id: str) -> Events:
    """What a fill or payment of a position made of its account's margin: of its own, if it is linear, and of every cross
    position, whose balance is the account's."""
    position = ctx.ledger.positions.get(position_id) or ctx.ledger.closed_positions[position_id]
    out: Events = []
    for p in _linear(ctx, position.portfolio_id):
        if p is position or p.margin_mode is CROSS:
            out += _margin_changed(ctx, p, always=p is position)
    return out


def after_marks(ctx: Context, portfolio_id: str) -> Events:
    """New liquidation prices of cross positions: what others of the account are worth moves them without any fill."""
    cross = [p for p in _linear(ctx, portfolio_id) if p.margin_mode is CROSS]
    if len({(p.exchange, p.symbol) for p in cross}) < 2:
        return []
    return [event for p in cross for event in _margin_changed(ctx, p, always=False)]


def _linear(ctx: Context, portfolio_id: str) -> list[Position]:
    """Open linear positions of an account, oldest first."""
    found = margin.linear(ctx.ledger.positions.values(), portfolio_id)
    return sorted(found, key=lambda p: (p.opened_ts, p.id)) if len(found) > 1 else found


def _margin_changed(ctx: Context, position: Position, *, always: bool) -> Events:
    found = margin.liquidation_of(ctx.ledger, ctx.market, position)
    if not always and (found.price, found.below) == (position.liquidation_price, position.liquidated_below):
        return []
    tiers = margin.tiers_of(margin.rules_of(ctx.market, position))
    notional = position.notional(margin.mark_of(ctx.market, position))
    return [
        ev.MarginChanged(
            ts=ctx.ts,
            cause=ctx.cause,
            position_id=position.id,
            bot_id=position.bot_id,
            symbol=position.symbol,
            liquidation_price=found.price,
            maintenance_margin=margin.maintenance_margin(tiers, notional).quantize(QUANTUM),
            liquidated_below=found.below,
        )
    ]


# -- one execution ------------------------------------------------------------------------------------------------------


def _readable(fill: FillReport) -> bool:
    quantity, price, fee = fill.quantity, fill.price, fill.fee
    if quantity.is_nan() or price.is_nan() or fee.is_nan():
        return False
    return ZERO < quantity < AMOUNT_MAX and ZERO < price < AMOUNT_MAX and -AMOUNT_MAX < fee < AMOUNT_MAX


class _Part(msgspec.Struct, frozen=True, gc=False):
    """What of a fill goes to one position."""

    quantity: Decimal
    fee: Decimal
    fee_value: Decimal
    number: int = 0


def _filled(ctx: Context, order: Order, fill: FillReport) -> Events:
    """One OrderFilled, or two where the fill goes beyond a position that flips: the end of one, the start of the other."""
    position = _taker_of(ctx, order)
    if position is None:
        fee_value = _fee_value(ctx, order, fill, order.portfolio_id)
        whole = _Part(fill.quantity, fill.fee, fee_value)
        return [_event(ctx, order, fill, _fresh_id(ctx, order, fill), whole, ZERO)]
    fee_value = _fee_value(ctx, order, fill, position.portfolio_id)
    quantity, closing = fill.quantity, position.quantity
    unit = fill.price if position.contract_size == ONE else fill.price * position.contract_size
    flips = position.kind is LINEAR and not position.hedge and not position.grows(order.side)
    if not flips or quantity <= closing or closing <= ZERO:
        moved = quantity
        if fee_value is not fill.fee and fee_value != ZERO:  # kept out of the base asset
            moved = quantity - fill.fee if order.side is BUY else quantity + fill.fee
        pnl = booked(position, order.side, moved, unit)[2]
        return [_event(ctx, order, fill, position.id, _Part(quantity, fill.fee, fee_value), pnl)]
    ending = _Part(
        closing,
        (fill.fee * closing / quantity).quantize(QUANTUM),
        (fee_value * closing / quantity).quantize(QUANTUM),
    )
    start = _Part(quantity - closing, fill.fee - ending.fee, fee_value - ending.fee_value, 1)
    pnl = booked(position, order.side, closing, unit)[2]
    out: Events = [
        _event(ctx, order, fill, position.id, ending, pnl),
        _event(ctx, order, fill, ctx.id(f"position({order.id!r}, {fill.trade_id!r})"), start, ZERO),
    ]
    if order.reduce_only:
        text = f"{order.role} of {order.symbol} went {start.quantity} beyond the position, which is {order.side} now"
        out.append(alert(ctx, "POSITION_FLIPPED", text, order.symbol, order.bot_id))
    return out


def _event(ctx: Context, order: Order, fill: FillReport, position_id: str, part: _Part, pnl: Decimal) -> ev.OrderFilled:
    return ev.OrderFilled(
        ts=ctx.ts,
        cause=ctx.cause,
        trade_id=fill.trade_id,
        order_id=order.id,
        position_id=position_id,
        bot_id=order.bot_id,
        exchange=order.exchange,
        symbol=order.symbol,
        side=order.side,
        quantity=part.quantity,
        price=fill.price,
        fee=part.fee,
        fee_currency=fill.fee_currency,
        liquidity=fill.liquidity,
        pnl=pnl,
        executed_ts=fill.executed_ts,
        fee_value=part.fee_value,
        part=part.number,
    )


def _currency(ctx: Context, portfolio_id: str) -> str:
    return ctx.ledger.accounts[portfolio_id].currency


def _fee_value(ctx: Context, order: Order, fill: FillReport, portfolio_id: str) -> Decimal:
    """What the fee costs in the account's currency: itself, its worth when a spot venue keeps it in the base asset, or zero."""
    if fill.fee_currency == _currency(ctx, portfolio_id):
        return fill.fee
    if order.kind is not SPOT:
        return ZERO
    series = ctx.market.series.get((order.exchange, order.symbol))
    base = series.instrument.base if series is not None else order.symbol.partition("/")[0]
    return fill.fee * fill.price if fill.fee_currency == base else ZERO


def _taker_of(ctx: Context, order: Order) -> Position | None:
    """The position that a fill goes to: its own; for a late fill of one that has ended, the open one of the same bot and
    symbol (in hedge mode: and side), because there is at most one (decisions.md 10); else the ended one, which re-opens."""
    ledger = ctx.ledger
    own = ledger.positions.get(order.position_id)
    if own is not None:
        return own
    found = ledger.open_position(
        order.bot_id, order.exchange, order.symbol, order.position_side if order.hedge else None
    )
    if found is not None:
        return found
    ended = ledger.closed_positions.get(order.position_id)
    # Of a position that flips only what enters again re-opens it: the rest is a position on the other side.
    return ended if ended is None or ended.side is side_of(order) else None


def _fresh_id(ctx: Context, order: Order, fill: FillReport) -> str:
    """The id of the position that a fill opens: the order's own, unless that names one which ended on the other side."""
    late = order.reduce_only or order.position_id in ctx.ledger.closed_positions
    return ctx.id(f"position({order.id!r}, {fill.trade_id!r})") if late else order.position_id
