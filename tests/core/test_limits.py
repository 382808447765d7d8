"""Limits of bots and of the account: what is set, what is tighter, what is refused."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest

from engine.core.config import ConfigError, parse_config
from engine.core.limits import AccountLimits, Bound, Bounds, Floor, Limit, Limits, compile_limits, tightest
from tests.core.worlds import RULES


def refused(limits: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as error:
        parse_config({"schema": 1, "bots": [{"name": "b", "strategy": RULES, "limits": limits}]})
    return str(error.value)


def test_a_bot_has_no_limits_until_it_says_so_and_the_account_has() -> None:
    own, account = compile_limits(Limits()), compile_limits(AccountLimits())
    assert not [
        name for name in Bounds.__struct_fields__ if own.says(name) and not name.endswith(("window_s", "lock_s"))
    ]
    assert account.says("daily_loss_pct") and account.says("price_band_s") and not account.says("max_order_value")
    config = parse_config(
        {"schema": 1, "bots": [{"name": "b", "strategy": RULES}], "account": {"limits": {"max_leverage": {"hard": 2}}}}
    )
    assert config.account.limits.max_open_positions.hard == 10  # what is left out keeps its default


def test_soft_lies_within_hard() -> None:
    assert "soft 3 is beyond hard 2" in refused({"max_order_value": {"soft": 3, "hard": 2}})
    assert "soft 2 is below hard 3" in refused({"min_liquidation_distance_pct": {"soft": 2, "hard": 3}})
    Limit(soft=D(2), hard=D(2)), Floor(soft=D(2), hard=D(2))
    for value in ("-1", "0", "NaN", "Infinity"):
        refused({"max_order_value": {"hard": value}})


def test_no_more_entries_are_counted_than_are_remembered() -> None:
    assert "1001" in refused({"max_entries_per_window": {"hard": 1001}})
    assert "1001" in refused({"max_entries_per_window": {"soft": 1001}})
    Limits(max_entries_per_window=Limit(hard=D(1000)))


@pytest.mark.parametrize(
    ("bot", "account", "tight"),
    [
        ((None, None), (None, None), (None, None)),
        ((None, 3), (None, 5), (None, 3)),
        ((None, 5), (None, 3), (None, 3)),
        ((2, None), (None, None), (2, None)),
        ((None, None), (2, None), (2, None)),
        ((2, 4), (3, 5), (2, 4)),
        ((4, 5), (None, 3), (3, 3)),  # a soft limit beyond the other's hard one
        ((None, 3), (4, 5), (3, 3)),
        ((4, None), (2, None), (2, None)),
    ],
)
def test_the_tighter_of_two(bot: Any, account: Any, tight: Any) -> None:
    def limit(kind: Any, pair: Any, sign: int = 1) -> Any:
        soft, hard = (None if x is None else D(x * sign + (10 if sign < 0 else 0)) for x in pair)
        return kind(soft=soft, hard=hard)

    merged = tightest(
        Limits(max_order_value=limit(Limit, bot), min_liquidation_distance_pct=limit(Floor, bot, -1)),
        Limits(max_order_value=limit(Limit, account), min_liquidation_distance_pct=limit(Floor, account, -1)),
    )
    assert merged.max_order_value == limit(Limit, tight)
    assert merged.min_liquidation_distance_pct == limit(Floor, tight, -1)  # the other way round


def test_whole_numbers_look_back_longer_and_rules_add_up() -> None:
    when = {"op": "gt", "left": "equity", "right": 1}
    merged = tightest(
        Limits(price_band_s=60, risk_rules=[{"name": "a", "when": when}]),
        AccountLimits(price_band_s=30, cooldown_after_stop_s=9, risk_rules=[{"name": "b", "when": when}]),
    )
    assert (merged.price_band_s, merged.cooldown_after_stop_s) == (60, 9)
    assert [rule.name for rule in merged.risk_rules] == ["a", "b"]


def test_a_compiled_limit_tells_its_edge() -> None:
    bounds = compile_limits(Limits(max_order_value=Limit(soft=D("1E+2")), max_leverage=Limit(soft=D(1), hard=D(2))))
    assert bounds.max_order_value == Bound(D(100), None, D(100), D(100), "100", 100)
    assert (bounds.max_leverage.edge, bounds.max_leverage.text) == (2, "2")
    assert bounds.says("max_leverage") and not bounds.says("max_spread_bps")
    assert not bounds.limits_messages and compile_limits(AccountLimits()).limits_messages
    for name in ("max_messages_per_second", "max_messages_per_minute", "max_messages_per_day"):
        assert compile_limits(Limits.model_validate({name: {"soft": "1"}})).limits_messages


def test_a_number_that_no_column_holds_is_refused() -> None:
    assert "at most 18 digits" in refused({"max_order_value": {"hard": str(10**18)}})
    assert "at most 18 digits" in refused({"max_order_value": {"hard": "1.0000000000000000001"}})
    Limits(max_order_value=Limit(hard=D(10**18 - 1)))
