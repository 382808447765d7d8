"""Margin: tiers, liquidation prices where the balance equals the maintenance margin, what is free, what an account is worth."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal as D
from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st

from engine.core.margin import (
    DEFAULT_TIERS,
    Leg,
    Liquidation,
    initial_margin,
    liquidation,
    maintenance_margin,
    tier_of,
)
from engine.core.types import MarginTier, PositionSide
from tests.core.books import (
    BONK_TIERS,
    BTC_TIERS,
    PEPE_TIERS,
    table,
)

LONG, SHORT = PositionSide.LONG, PositionSide.SHORT
TABLES = {"btc": BTC_TIERS, "bonk": BONK_TIERS, "pepe": PEPE_TIERS, "default": DEFAULT_TIERS}
TINY = D("1e-8")


def leg(side: PositionSide, quantity: D, price: D, tiers: tuple[MarginTier, ...] = BTC_TIERS) -> Leg:
    return Leg(side, quantity, quantity * price, tiers)


def excess(legs: Sequence[Leg], wallet: D, price: D) -> D:
    """Margin balance less maintenance margin, from first principles."""
    total = wallet
    for one in legs:
        notional = one.quantity * price
        total += notional - one.cost if one.side is LONG else one.cost - notional
        tier = next(t for t in one.tiers if t.cap is None or notional < t.cap)
        total -= notional * tier.maintenance_rate - tier.cum
    return total


@pytest.mark.parametrize("tiers", TABLES.values(), ids=TABLES.keys())
def test_a_published_table_is_continuous(tiers: tuple[MarginTier, ...]) -> None:
    """What `cum` is for; a wrong row here would make the tests below prove nothing."""
    for below, above in pairwise(tiers):
        assert below.cap == above.floor
        assert above.floor * below.maintenance_rate - below.cum == above.floor * above.maintenance_rate - above.cum


@pytest.mark.parametrize(
    ("notional", "floor"),
    [("0", "0"), ("49999.99", "0"), ("50000", "50000"), ("999999999", "800000000"), ("1e15", "1200000000")],
)
def test_the_tier_is_that_of_the_notional(notional: str, floor: str) -> None:
    assert tier_of(BTC_TIERS, D(notional)).floor == D(floor)


def test_beyond_a_table_that_ends_its_last_tier_holds() -> None:
    ended = (
        *BONK_TIERS[:-1],
        MarginTier(floor=D(5_000_000), cap=D(10_000_000), maintenance_rate=D("0.5"), cum=D(1665275), max_leverage=D(1)),
    )
    assert tier_of(ended, D(10_000_000)) is ended[-1]
    assert liquidation([leg(LONG, D(1), D(90_000_000), ended)], D(30_000_000), D(90_000_000)).price == D("116669450")


def test_maintenance_margin_takes_cum_off() -> None:
    assert maintenance_margin(BTC_TIERS, D(60_000)) == D(250)
    assert (initial_margin(D(100), D(1)), initial_margin(D(100), D(3))) == (D(100), D("33.333333333333333333"))


@pytest.mark.parametrize(
    ("side", "leverage", "price"),
    [
        (LONG, 5, "40160.64"),
        (LONG, 20, "47690.76"),
        (LONG, 100, "49698.80"),
        (SHORT, 5, "59760.96"),
        (SHORT, 20, "52290.84"),
        (SHORT, 100, "50298.80"),
    ],
)
def test_the_checked_example(side: PositionSide, leverage: int, price: str) -> None:
    """1 BTC at 50000, maintenance rate 0.4 %: the venue's own calculator."""
    one = [leg(side, D(1), D(50_000), table("0 0.004 0 125"))]
    found = liquidation(one, D(50_000) / leverage, D(50_000))
    assert found.price is not None and found.price.quantize(D("0.01")) == D(price)
    assert found.below is (side is LONG)


@pytest.mark.parametrize("side", [LONG, SHORT])
@pytest.mark.parametrize("leverage", [5, 20, 100])
@pytest.mark.parametrize("quantity", ["0.1", "1", "3", "25", "150", "900", "4000", "9000"])
@pytest.mark.parametrize("tiers", TABLES.values(), ids=TABLES.keys())
def test_balance_equals_maintenance_at_the_price(
    side: PositionSide, leverage: int, quantity: str, tiers: tuple[MarginTier, ...]
) -> None:
    one = [leg(side, D(quantity), D(50_000), tiers)]
    wallet = one[0].cost / leverage
    found = liquidation(one, wallet, D(50_000))
    assert found.price is not None
    assert abs(excess(one, wallet, found.price)) < TINY
    assert found.below is (side is LONG)


@pytest.mark.parametrize(
    ("side", "entry", "margin", "price", "tiers"),
    [
        (LONG, "105000", "113750", "95000", (2, 1)),  # loses 100,000; maintenance 950,000 x 1.5 % - 500
        (SHORT, "95000", "115750", "105000", (1, 2)),  # loses 100,000; maintenance 1,050,000 x 2.5 % - 10,500
        (LONG, "105000", "64500", "100000", (2, 2)),  # exactly at the border, where both tiers say 14,500
        (LONG, "105000", "1000500", "5000", (2, 0)),  # two tiers below
        (SHORT, "5000", "964500", "100000", (0, 2)),  # two tiers above
    ],
)
def test_the_tier_is_the_one_at_the_price_not_at_the_entry(
    side: PositionSide, entry: str, margin: str, price: str, tiers: tuple[int, int]
) -> None:
    steps = table("0 0.01 0 50", "100000 0.015 500 25", "1000000 0.025 10500 10")
    one = [leg(side, D(10), D(entry), steps)]
    assert tier_of(steps, one[0].cost) is steps[tiers[0]]
    assert tier_of(steps, 10 * D(price)) is steps[tiers[1]]
    assert liquidation(one, D(margin), D(entry)) == Liquidation(D(price), side is LONG)


def test_a_long_that_is_paid_in_full_is_never_liquidated() -> None:
    assert liquidation([leg(LONG, D(1), D(100))], D(100), D(100)) == Liquidation(None, True)
    assert liquidation([leg(LONG, D(1), D(100))], D(250), D(100)).price is None
    assert liquidation([], D(100), D(100)) == Liquidation(None, True)


def test_a_short_that_no_price_keeps_ends_at_the_mark() -> None:
    assert liquidation([leg(SHORT, D(1), D(100))], D(-200), D(90)) == Liquidation(D(90), False)
    pair = [leg(LONG, D(1), D(100)), leg(SHORT, D(1), D(100))]
    assert liquidation(pair, D(-1), D(90)) == Liquidation(D(90), False)


def test_a_perfect_hedge_ends_where_maintenance_eats_the_wallet() -> None:
    pair = [leg(LONG, D(1), D(100), DEFAULT_TIERS), leg(SHORT, D(1), D(100), DEFAULT_TIERS)]
    assert liquidation(pair, D(10), D(100)) == Liquidation(D(500), False)


def test_a_hedge_that_no_fall_can_hurt_ends_where_it_rises_too_far() -> None:
    """Net long a little: above, the maintenance of both legs grows faster than the profit once the tiers get steep."""
    steep = table("0 0.001 0 125", "200 0.5 99.8 1")
    pair = [leg(LONG, D(2), D(100), steep), leg(SHORT, D(1), D(100), steep)]
    found = liquidation(pair, D(300), D(50))
    assert found.price is not None and not found.below
    assert abs(excess(pair, D(300), found.price)) < TINY


@pytest.mark.parametrize(
    ("side", "entry", "wallet", "mark", "price"),
    [
        (LONG, "98", "1.04", "104", "102.063157894736842105"),  # broken below 102.06, where it still pays 5 %
        (LONG, "98", "1.04", "99", "97.939393939393939394"),  # bought below the gap: it pays 1 %
        (LONG, "100", "10", "110", "90.909090909090909091"),  # holds on both sides of the gap
        (LONG, "90", "-6", "110", "101.052631578947368421"),  # broken on both sides of it
        (LONG, "95", "0", "99.9", "95.959595959595959596"),
        (SHORT, "98", "4", "98", "100"),  # the jump itself breaks it
        (SHORT, "90", "20", "95", "104.761904761904761905"),
        (SHORT, "98", "-3", "90", "94.059405940594059406"),  # broken below the gap already
        (SHORT, "98", "4", "103", "100"),  # broken above it: it holds again below
    ],
)
def test_a_table_with_a_gap_has_an_answer(side: PositionSide, entry: str, wallet: str, mark: str, price: str) -> None:
    """`cum` is zero in both tiers, so maintenance jumps by 4 at a notional of 100: worked out by hand."""
    gap = table("0 0.01 0 50", "100 0.05 0 20")
    found = liquidation([leg(side, D(1), D(entry), gap)], D(wallet), D(mark))
    assert found == Liquidation(D(price), side is LONG)


amounts = st.decimals("0.001", "20000", places=3)
prices = st.decimals("0.5", "100000", places=2)
leverages = st.integers(1, 125)


@given(st.sampled_from([LONG, SHORT]), amounts, prices, leverages, st.sampled_from(list(TABLES)))
def test_any_isolated_position_balances(side: PositionSide, quantity: D, price: D, leverage: int, name: str) -> None:
    one = [leg(side, quantity, price, TABLES[name])]
    wallet = initial_margin(one[0].cost, D(leverage))
    found = liquidation(one, wallet, price)
    if found.price is None:
        assert side is LONG and excess(one, wallet, D(0)) >= 0
    else:
        assert abs(excess(one, wallet, found.price)) < TINY
        assert found.below is (side is LONG)
        outwards = found.price * (D("0.999") if side is LONG else D("1.001"))
        assert excess(one, wallet, outwards) < TINY


@st.composite
def any_table(draw: st.DrawFn) -> tuple[MarginTier, ...]:
    floors = sorted({D(0), *draw(st.lists(st.decimals("1", "1000000", places=0), max_size=6))})
    rates = sorted(draw(st.lists(st.decimals("0.001", "0.6", places=3), min_size=len(floors), max_size=len(floors))))
    rows, cum = [], D(0)
    for n, (floor, rate) in enumerate(zip(floors, rates, strict=True)):
        cum += floor * (rate - rates[n - 1]) if n else D(0)
        rows.append(f"{floor} {rate} {cum} 50")
    return table(*rows)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.sampled_from([LONG, SHORT]), amounts, prices), min_size=1, max_size=3),
    st.decimals("-1000", "1000000", places=2),
    prices,
    any_table(),
)
def test_any_legs_that_share_a_mark_balance(
    legs: list[tuple[PositionSide, D, D]], wallet: D, mark: D, tiers: tuple[MarginTier, ...]
) -> None:
    held = [leg(side, quantity, price, tiers) for side, quantity, price in legs]
    found = liquidation(held, wallet, mark)
    if found.price is None:
        assert excess(held, wallet, D("1e-9")) >= -TINY or excess(held, wallet, D(10) ** 15) >= 0
        return
    left = excess(held, wallet, found.price)
    if found.price == mark and left < 0:  # no price keeps it
        assert all(excess(held, wallet, mark * D(x) / 100) < 0 for x in (1, 50, 99, 101, 200, 1000, 100_000))
        return
    assert abs(left) < TINY
    nudge = max(found.price * D("1e-6"), D("1e-6"))
    assert excess(held, wallet, found.price - nudge if found.below else found.price + nudge) < TINY
