"""G15: rules of one's own, over every series, with Kleene's logic; refused when they could not be read."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest

from engine.core.config import ConfigError, parse_config
from engine.core.limits import ACCOUNT_SERIES, MARKET_SERIES
from engine.core.risk import custom_gate
from engine.core.risk.custom_gate import Moment
from engine.core.types import DAY_US, HOUR_US, MINUTE_US, InvariantError
from tests.core.riskworld import NOW, Scene
from tests.core.worlds import RULES


def rule(when: dict[str, Any], action: str = "block", name: str = "mine") -> dict[str, Any]:
    return {"name": name, "when": when, "action": action}


def compare(op: str, left: Any, right: Any) -> dict[str, Any]:
    return {"op": op, "left": left, "right": right}


def told(when: dict[str, Any], action: str = "block") -> str:
    return Scene({"risk_rules": [rule(when, action)]}).told("CUSTOM")


# -- truth ---------------------------------------------------------------------------------------------------------------

TRUE, FALSE = compare("gt", 1, 0), compare("gt", 0, 1)
UNKNOWN = compare("gt", "spread_bps", 0)  # there is no quote
CODES = {"true": "BLOCKED CUSTOM_RULE", "false": "ALLOWED", "unknown": "BLOCKED CUSTOM_UNKNOWN"}


@pytest.mark.parametrize(
    ("op", "below", "equal", "above"),
    [("gt", "false", "false", "true"), ("ge", "false", "true", "true"), ("lt", "true", "false", "false"),
     ("le", "true", "true", "false")],
)  # fmt: skip
def test_comparisons(op: str, below: str, equal: str, above: str) -> None:
    assert [told(compare(op, left, "equity")) for left in (9_999, 10_000, 10_001)] == [
        CODES[below],
        CODES[equal],
        CODES[above],
    ]
    assert told(compare(op, "spread_bps", 1)) == CODES["unknown"]
    assert told(compare(op, 1, "spread_bps")) == CODES["unknown"]


@pytest.mark.parametrize(
    ("op", "parts", "result"),
    [
        ("all", [TRUE, TRUE], "true"), ("all", [TRUE, FALSE], "false"), ("all", [TRUE, UNKNOWN], "unknown"),
        ("all", [UNKNOWN, FALSE], "false"), ("any", [FALSE, FALSE], "false"), ("any", [FALSE, TRUE], "true"),
        ("any", [FALSE, UNKNOWN], "unknown"), ("any", [UNKNOWN, TRUE], "true"),
    ],
)  # fmt: skip
def test_groups(op: str, parts: list[dict[str, Any]], result: str) -> None:
    assert told({"op": op, "of": parts}) == CODES[result]


@pytest.mark.parametrize(("part", "result"), [(TRUE, "false"), (FALSE, "true"), (UNKNOWN, "unknown")])
def test_not(part: dict[str, Any], result: str) -> None:
    assert told({"op": "not", "of": part}) == CODES[result]


@pytest.mark.parametrize(
    ("action", "true", "unknown"),
    [("warn", "WARNED CUSTOM_RULE", "WARNED CUSTOM_UNKNOWN"), ("block", "BLOCKED CUSTOM_RULE", "BLOCKED CUSTOM_UNKNOWN"),
     ("reduce", "BLOCKED CUSTOM_RULE", "BLOCKED CUSTOM_UNKNOWN"), ("halt", "BLOCKED CUSTOM_RULE", "BLOCKED CUSTOM_UNKNOWN")],
)  # fmt: skip
def test_actions(action: str, true: str, unknown: str) -> None:
    assert told(TRUE, action) == true
    assert told(UNKNOWN, action) == unknown
    assert told(FALSE, action) == "ALLOWED"


def test_the_worst_rule_of_both_scopes_is_named() -> None:
    rules = [rule(FALSE, name="a"), rule(TRUE, "warn", "b"), rule(UNKNOWN, "block", "c"), rule(TRUE, "block", "d")]
    word = Scene({"risk_rules": rules}).says("CUSTOM")
    assert (word.verdict, word.actual, word.limit) == ("BLOCKED", "c", "block")
    word = Scene({"risk_rules": rules[2:]}, {"risk_rules": rules[:2]}).says("CUSTOM")
    assert word.actual == "c"
    scene = Scene({"risk_rules": rules[:1]}, {"risk_rules": rules[1:2]})
    assert scene.says("CUSTOM").actual == "b"
    assert scene.told("CUSTOM", scene.intent(bot_id=scene.sibling.id)) == "ALLOWED"
    assert scene.told("CUSTOM", scene.closing()) == "ALLOWED"


def test_a_condition_that_looks_back_cannot_get_here() -> None:
    scene = Scene()
    windowed = scene.setup.config.bots[0].strategy
    condition = (
        type(windowed)
        .model_validate(  # type: ignore[union-attr]
            RULES | {"entry_long": {"op": "within", "bars": 2, "of": compare("gt", "close", 1)}}
        )
        .entry_long
    )
    with pytest.raises(InvariantError, match="within"):
        custom_gate.holds(condition, Moment(scene.view(), "", None))


# -- series --------------------------------------------------------------------------------------------------------------


def value(scene: Scene, name: str, bot: bool = False, symbol: str | None = "BTC/USDT", at: int = NOW) -> D | None:
    series = None if symbol is None else scene.market.series[("test", symbol)]
    return Moment(scene.view(at), scene.probe.id if bot else "", series).value(name)


def test_every_series_is_documented_and_read() -> None:
    assert set(custom_gate._SERIES) == {*ACCOUNT_SERIES, *MARKET_SERIES}


def test_series_of_the_account_and_of_a_bot() -> None:
    scene = Scene()
    scene.position("5", "120")  # 500 now, 100 down
    scene.position("10", bot="sibling", symbol="ETH/USDT")
    scene.order("5", symbol="ETH/USDT").in_doubt = True
    scene.order("5", symbol="BTC/USDT", bot="sibling").in_doubt = True
    scene.account.peak_equity = D(12_375)
    scene.book.losses_in_row = 2
    scene.ledger.bots[scene.sibling.id].losses_in_row = 3
    scene.book.peak_pnl = D(2_500)
    scene.book.messages.add(NOW)
    for _ in range(3):
        scene.ledger.messages.add(NOW)
    want = {  # of the account, of the bot
        "equity": (9_900, 9_900),
        "cash": (8_400, 8_400),
        "drawdown_pct": (20, 2_600 * 100 / D(12_500)),
        "day_pnl_pct": (-1, -1),
        "open_positions": (4, 2),
        "gross_exposure_pct": (D(2_500) / 99, D(1_000) / 99),
        "leverage": (D(2_500) / 9_900, D(1_000) / 9_900),
        "losses_in_row": (3, 2),
        "in_doubt": (2, 1),
        "messages_minute": (3, 1),
        "hour_utc": (10, 10),
        "weekday_utc": (2, 2),
    }
    assert set(want) == set(ACCOUNT_SERIES)
    for name, (account, bot) in want.items():
        assert value(scene, name) == pytest.approx(D(account)), name
        assert value(scene, name, bot=True) == pytest.approx(D(bot)), name


def test_time_series() -> None:
    scene = Scene()
    assert value(scene, "hour_utc", at=NOW + HOUR_US - 1) == 10
    assert value(scene, "hour_utc", at=NOW + HOUR_US) == 11
    assert [value(scene, "weekday_utc", at=NOW + n * DAY_US) for n in range(6)] == [2, 3, 4, 5, 6, 0]
    assert value(scene, "messages_minute", at=NOW + MINUTE_US) == 0


def test_series_of_the_market() -> None:
    scene = Scene(own={"risk_rules": [rule(compare("gt", "atr_pct", 50))]}, price=None)
    for n in range(30):
        scene.bar(100.0, NOW - (29 - n) * MINUTE_US, width=1.0, late_us=3_000_000)
    assert value(scene, "close") == 100
    assert value(scene, "data_age_s") == 3
    assert value(scene, "data_age_s", at=NOW + MINUTE_US + 7_000_000) == 4
    assert value(scene, "atr_pct") == 2
    scene.quote(99.9, 100.1)
    assert value(scene, "spread_bps") == 20


def test_what_is_not_known() -> None:
    scene = Scene(price=None)
    for name in MARKET_SERIES:
        assert value(scene, name) is None, name
        assert value(scene, name, symbol=None) is None, name
    scene.account.cash = scene.account.peak_equity = scene.account.day_start_equity = D(0)
    for name in ("drawdown_pct", "day_pnl_pct", "gross_exposure_pct", "leverage"):
        assert value(scene, name) is None, name
    scene = Scene(price=None)
    scene.order(price=None)
    assert value(scene, "leverage") is None and value(scene, "gross_exposure_pct") is None
    nobody = Moment(scene.view(), "nobody", None)
    assert nobody.value("messages_minute") is None
    assert nobody.value("losses_in_row") == 0 and nobody.value("drawdown_pct") == 0 and nobody.value("day_pnl_pct") == 0


# -- what a config may say -----------------------------------------------------------------------------------------------


def deep(levels: int) -> dict[str, Any]:
    return TRUE if levels == 1 else {"op": "not", "of": deep(levels - 1)}


@pytest.mark.parametrize(
    ("when", "words"),
    [
        (compare("gt", "equty", 1), "did you mean 'equity'?"),
        (compare("gt", "zzzzzz", 1), "known: atr_pct"),
        (compare("gt", "\x1b]0;x\x07", 1), r"'\x1b]0;x\x07'"),
        (compare("crosses_above", "close", 1), "'crosses_above' looks back"),
        ({"op": "within", "bars": 3, "of": TRUE}, "'within' looks back"),
        (deep(9), "at most 8 levels"),
        ({"op": "any", "of": [TRUE] * 128}, "at most 128 conditions"),
        (compare("gt", "equity", float("nan")), "finite"),
    ],
)
def test_a_rule_that_cannot_be_read_is_refused(when: dict[str, Any], words: str) -> None:
    document = {"schema": 1, "bots": [{"name": "b", "strategy": RULES, "limits": {"risk_rules": [rule(when)]}}]}
    with pytest.raises(ConfigError) as error:
        parse_config(document)
    assert words in str(error.value) and "risk_rules[0]" in str(error.value)


def test_the_deepest_and_the_largest_rules_are_taken() -> None:
    for when in (deep(8), {"op": "any", "of": [FALSE] * 127}):
        assert told(when) in ("ALLOWED", "BLOCKED CUSTOM_RULE")
