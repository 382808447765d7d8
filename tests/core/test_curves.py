"""Equity by account and of all together: a fold of samples."""

from __future__ import annotations

from decimal import Decimal as D

from engine.client import WHOLE, AccountView, EquityPoint, whole
from engine.curves import Curves


def point(ts: int, equity: str, drawdown: str = "0") -> EquityPoint:
    return EquityPoint(ts, D(equity), D(drawdown))


def account(name: str, currency: str = "USDT", equity: str = "110", opened_with: str = "100") -> AccountView:
    return AccountView(id=f"id-{name}", name=name, currency=currency, equity=D(equity), opened_with=D(opened_with))


def test_each_account_has_its_own_curve_and_all_have_one_together() -> None:
    curves = Curves(1_000)
    for ts, main, swing in ((1, "100", None), (2, "120", "50"), (3, "90", "60"), (4, "130", "40")):
        curves.add("main", point(ts, main))
        if swing is not None:
            curves.add("swing", point(ts, swing))
    assert [p.equity for p in curves.of("main")] == [100, 120, 90, 130]
    assert [(p.ts, p.equity) for p in curves.of("swing")] == [(2, 50), (3, 60), (4, 40)]
    assert [(p.ts, p.equity) for p in curves.of(WHOLE)] == [(1, 100), (2, 170), (3, 150), (4, 170)]
    falls = [p.drawdown for p in curves.of(WHOLE)]
    assert falls[:2] == [0, 0] and falls[2] == (D(20) / 170).quantize(falls[2]) and falls[3] == 0
    assert curves.of("nobody") == ()


def test_samples_that_came_before_are_not_taken_again() -> None:
    curves = Curves(1_000)
    for ts in (1, 2, 2, 1, 3):
        curves.add("main", point(ts, "100"))
    assert [p.ts for p in curves.of("main")] == [1, 2, 3] == [p.ts for p in curves.of(WHOLE)]


def test_money_that_comes_with_an_account_is_no_gain_and_no_fall() -> None:
    curves = Curves(1_000)
    curves.add("main", point(1, "100"))
    curves.add("main", point(2, "80"))
    curves.add("swing", point(2, "1000"))
    assert curves.of(WHOLE)[-1].equity == 1080
    assert curves.of(WHOLE)[-1].drawdown == (D(20) / 1100).quantize(curves.of(WHOLE)[-1].drawdown)


def test_a_long_curve_is_thinned_and_keeps_its_newest() -> None:
    curves = Curves(400)
    for ts in range(1, 2_001):
        curves.add("main", point(ts, str(ts)))
    kept = [p.ts for p in curves.of("main")]
    assert len(kept) <= 400 and kept[0] == 1 and kept[-100:] == list(range(1_901, 2_001)) and kept == sorted(kept)


def test_all_together_only_where_the_currencies_agree() -> None:
    assert whole(()) is None
    assert whole([account("main")]) == account("main")
    assert whole([account("main"), account("swing", "BTC")]) == account("main")
    both = whole([account("main"), account("swing", equity="90")])
    assert both is not None and (both.id, both.equity, both.opened_with, both.gained_pct) == (WHOLE, 200, 200, 0)
    assert account("main", opened_with="0").gained_pct == 0
