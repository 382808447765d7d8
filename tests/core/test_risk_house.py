"""G12, G14: data and house. What is not known blocks; what only leaves is warned."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from engine.core.types import MINUTE_US, SECOND_US
from tests.core.riskworld import NOW, PERP, Scene


def both(scene: Scene, gate: str, told: str, at: int | None = None) -> None:
    """An entry hears `told`; a closing order the same, at most as a warning."""
    assert scene.told(gate, at=at) == told
    assert scene.told(gate, scene.closing(), at) == told.replace("BLOCKED", "WARNED")


# -- G12 -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age_us", "told"),
    [(0, "ALLOWED"), (30_000_000, "ALLOWED"), (30_000_001, "WARNED DATA_STALE"), (120_000_000, "WARNED DATA_STALE"),
     (120_000_001, "BLOCKED DATA_STALE")],
)  # fmt: skip
@pytest.mark.parametrize("scope", ["account", "own"])
def test_g12_stale_data(scope: str, age_us: int, told: str) -> None:
    limits = {scope: {"max_data_age_s": {"soft": "30", "hard": "120"}}}
    both(Scene(**limits), "STALE_DATA", told, NOW + MINUTE_US + age_us)  # the next bar is due after a minute
    late = Scene(price=None, **limits)
    late.bar(100.0, late_us=age_us)
    both(late, "STALE_DATA", told)


@pytest.mark.parametrize("price", [None, float("nan"), 0.0])
def test_g12_nothing_usable_was_heard(price: float | None) -> None:
    both(Scene(price=price), "STALE_DATA", "BLOCKED DATA_UNKNOWN")
    assert Scene().told("STALE_DATA", Scene().intent(symbol="NOPE")) == "BLOCKED DATA_UNKNOWN"


def test_g12_quotes_are_data() -> None:
    scene = Scene({"max_data_age_s": {"hard": "1"}}, price=None)
    scene.quote(99.0, 101.0)
    assert scene.told("STALE_DATA") == "ALLOWED"
    assert scene.told("STALE_DATA", at=NOW + SECOND_US) == "ALLOWED"
    assert scene.told("STALE_DATA", at=NOW + SECOND_US + 1) == "BLOCKED DATA_STALE"


@pytest.mark.parametrize(
    ("skew_ms", "told"),
    [(0, "ALLOWED"), (500, "ALLOWED"), (-501, "WARNED CLOCK_SKEW"), (2000, "WARNED CLOCK_SKEW"),
     (-2001, "BLOCKED CLOCK_SKEW"), (None, "BLOCKED CLOCK_UNKNOWN")],
)  # fmt: skip
def test_g12_clock_skew(skew_ms: int | None, told: str) -> None:
    scene = Scene({"max_clock_skew_ms": {"soft": "500", "hard": "2000"}})
    scene.ledger.house = replace(scene.ledger.house, clock_skew_ms=skew_ms)
    both(scene, "CLOCK_SKEW", told)


@pytest.mark.parametrize(
    ("bid", "ask", "told"),
    [(100.0, 100.0, "ALLOWED"), (99.95, 100.05, "ALLOWED"), (99.95, 100.06, "WARNED SPREAD_WIDE"),
     (99.9, 100.1, "WARNED SPREAD_WIDE"), (99.9, 100.11, "BLOCKED SPREAD_WIDE"), (100.1, 99.9, "BLOCKED SPREAD_UNKNOWN"),
     (0.0, 100.0, "BLOCKED SPREAD_UNKNOWN"), (99.9, float("nan"), "BLOCKED SPREAD_UNKNOWN"), (None, 1.0, "BLOCKED SPREAD_UNKNOWN")],
)  # fmt: skip
def test_g12_spread(bid: float | None, ask: float, told: str) -> None:
    scene = Scene({"max_spread_bps": {"soft": "10", "hard": "20"}})
    if bid is not None:
        scene.quote(bid, ask)
    both(scene, "SPREAD", told)
    assert scene.told("SPREAD", scene.intent(symbol="NOPE")) == "BLOCKED SPREAD_UNKNOWN"


def jumpy(close: float, limits: dict[str, Any] | None = None) -> Scene:
    """Thirty bars at 100 with an average true range of 2, then one at `close`."""
    scene = Scene(limits or {"max_jump_atr": {"soft": "2", "hard": "3"}}, price=None)
    for n in range(30):
        scene.bar(100.0, NOW - (30 - n) * MINUTE_US, width=1.0)
    scene.bar(close, NOW, width=1.0)
    return scene


@pytest.mark.parametrize(
    ("close", "told"),
    [(100.0, "ALLOWED"), (104.0, "ALLOWED"), (104.01, "WARNED DATA_JUMP"), (94.0, "WARNED DATA_JUMP"),
     (93.99, "BLOCKED DATA_JUMP"), (float("nan"), "BLOCKED DATA_UNKNOWN")],
)  # fmt: skip
def test_g12_data_reasonability_of_the_last_bar(close: float, told: str) -> None:
    both(jumpy(close), "DATA_REASONABILITY", told)


def test_g12_data_reasonability_of_what_was_heard_since() -> None:
    scene = jumpy(100.0)
    for price, told in (
        (104.0, "ALLOWED"),
        (104.02, "WARNED DATA_JUMP"),
        (94.0, "WARNED DATA_JUMP"),
        (93.98, "BLOCKED DATA_JUMP"),
    ):
        scene.quote(price, price, NOW + SECOND_US)
        both(scene, "DATA_REASONABILITY", told)


def test_g12_data_reasonability_is_unknown_until_there_is_a_range() -> None:
    limits = {"max_jump_atr": {"hard": "3"}}
    both(Scene(limits, price=None), "DATA_REASONABILITY", "BLOCKED DATA_UNKNOWN")
    both(Scene(limits), "DATA_REASONABILITY", "BLOCKED DATA_UNKNOWN")
    scene = Scene(limits, price=None)
    for n in range(3):
        scene.bar(100.0, NOW - n * -MINUTE_US, width=1.0)
    both(scene, "DATA_REASONABILITY", "BLOCKED DATA_UNKNOWN")
    assert scene.told("DATA_REASONABILITY", scene.intent(symbol="NOPE")) == "BLOCKED DATA_UNKNOWN"
    scene.market.series[("test", PERP.symbol)].atrs = None
    assert scene.told("DATA_REASONABILITY", scene.future()) == "BLOCKED DATA_UNKNOWN"


def test_g12_two_bars_and_a_range_are_enough() -> None:
    scene = jumpy(100.0)
    tail = scene.market.series[("test", "BTC/USDT")].tail
    while len(tail) > 2:
        tail.popleft()
    assert scene.told("DATA_REASONABILITY") == "ALLOWED"
    tail.popleft()
    assert scene.told("DATA_REASONABILITY") == "BLOCKED DATA_UNKNOWN"


# -- G14 -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clean", "told"),
    [(True, "ALLOWED"), (False, "BLOCKED RECONCILIATION_BREAK"), (None, "BLOCKED RECONCILIATION_UNKNOWN")],
)
def test_g14_reconciliation(clean: bool | None, told: str) -> None:
    scene = Scene()
    scene.ledger.house = replace(scene.ledger.house, reconciled=clean)
    both(scene, "RECONCILIATION_CLEAN", told)


@pytest.mark.parametrize(
    ("healthy", "told"), [(True, "ALLOWED"), (False, "BLOCKED JOURNAL_FAILING"), (None, "BLOCKED JOURNAL_UNKNOWN")]
)
def test_g14_journal(healthy: bool | None, told: str) -> None:
    scene = Scene()
    scene.ledger.house = replace(scene.ledger.house, journal_ok=healthy)
    both(scene, "JOURNAL_HEALTH", told)


@pytest.mark.parametrize("scope", ["account", "own"])
def test_g14_orders_in_doubt(scope: str) -> None:
    scene = Scene(**{scope: {"max_in_doubt": {"soft": "1", "hard": "2"}}})
    told = []
    for _ in range(4):
        told.append(scene.told("IN_DOUBT_LIMIT"))
        scene.order(symbol="ETH/USDT").in_doubt = True
        scene.order(symbol="ETH/USDT")
    assert told == ["ALLOWED", "ALLOWED", "WARNED ORDERS_IN_DOUBT", "BLOCKED ORDERS_IN_DOUBT"]
    both(scene, "IN_DOUBT_LIMIT", "BLOCKED ORDERS_IN_DOUBT")
    other = scene.told("IN_DOUBT_LIMIT", scene.intent(bot_id=scene.sibling.id))
    assert other == ("BLOCKED ORDERS_IN_DOUBT" if scope == "account" else "ALLOWED")


@pytest.mark.parametrize("sha256", ["", "another"])
def test_g14_the_config_of_the_order_is_the_active_one(sha256: str) -> None:
    scene = Scene()
    both(scene, "CONFIG_HASH", "ALLOWED")
    scene.ledger.config_sha256 = sha256
    both(scene, "CONFIG_HASH", "BLOCKED CONFIG_MISMATCH")
