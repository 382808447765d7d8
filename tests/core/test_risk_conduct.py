"""G8, G9: what was sent and what came of it, as the ledger's facts tell."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest

from engine.core.books import RoundTrip
from engine.core.types import DAY_US, MINUTE_US, SECOND_US
from tests.core.riskworld import NOW, Scene

WINDOWS = {
    "max_messages_per_second": (SECOND_US, "MESSAGES_SECOND"),
    "max_messages_per_minute": (MINUTE_US, "MESSAGES_MINUTE"),
    "max_messages_per_day": (DAY_US, "MESSAGES_DAY"),
}


# -- G8 ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("scope", ["account", "own"])
def test_g8_messages_within_each_window(scope: str, name: str) -> None:
    length, code = WINDOWS[name]
    scene = Scene(**{scope: {name: {"soft": "2", "hard": "3"}}})
    messages = scene.ledger.messages if scope == "account" else scene.book.messages
    told = []
    for _ in range(4):
        told.append(scene.told("MAX_MESSAGE_RATE"))  # this order would be the first, second ...
        messages.add(NOW)
    assert told == ["ALLOWED", "ALLOWED", f"WARNED {code}", f"BLOCKED {code}"]
    leaving = f"BLOCKED {code}" if scope == "account" else f"WARNED {code}"
    assert scene.told("MAX_MESSAGE_RATE", scene.closing()) == leaving
    end = NOW - NOW % length + length
    assert scene.told("MAX_MESSAGE_RATE", at=end - 1) == f"BLOCKED {code}"
    assert scene.told("MAX_MESSAGE_RATE", at=end) == "ALLOWED"


def test_g8_the_worst_window_is_told_and_the_second_when_all_is_well() -> None:
    scene = Scene({name: {"hard": str(hard)} for name, hard in zip(WINDOWS, (9, 3, 2), strict=True)})
    assert scene.says("MAX_MESSAGE_RATE").limit == "9"
    for _ in range(2):
        scene.ledger.messages.add(NOW)
    assert scene.told("MAX_MESSAGE_RATE") == "BLOCKED MESSAGES_DAY"
    scene.ledger.messages.add(NOW)
    assert scene.told("MAX_MESSAGE_RATE") == "BLOCKED MESSAGES_MINUTE"


def test_g8_bot_and_account_the_worse_is_told() -> None:
    scene = Scene({"max_messages_per_second": {"soft": "1"}}, {"max_messages_per_second": {"hard": "1"}})
    scene.ledger.messages.add(NOW)
    assert scene.told("MAX_MESSAGE_RATE") == "WARNED MESSAGES_SECOND"
    scene.book.messages.add(NOW)
    assert scene.told("MAX_MESSAGE_RATE") == "BLOCKED MESSAGES_SECOND"
    assert scene.told("MAX_MESSAGE_RATE", scene.intent(bot_id="nobody")) == "WARNED MESSAGES_SECOND"


# -- G9 ------------------------------------------------------------------------------------------------------------------

THROTTLE = "REPEATED_EXECUTION_THROTTLE"
BOTH = pytest.mark.parametrize("scope", ["account", "own"])


@BOTH
def test_g9_entries_within_the_window(scope: str) -> None:
    scene = Scene(**{scope: {"max_entries_per_window": {"soft": "2", "hard": "3"}, "entries_window_s": 60}})
    told = []
    for _ in range(4):
        told.append(scene.told(THROTTLE))
        scene.book.entry_ts.append(NOW)
    assert told == ["ALLOWED", "ALLOWED", "WARNED THROTTLE_ENTRIES", "BLOCKED THROTTLE_ENTRIES"]
    assert scene.told(THROTTLE, at=NOW + 60 * SECOND_US - 1) == "BLOCKED THROTTLE_ENTRIES"
    assert scene.told(THROTTLE, at=NOW + 60 * SECOND_US) == "ALLOWED"
    assert scene.told(THROTTLE, scene.closing()) == "ALLOWED"
    assert scene.told(THROTTLE, scene.intent(bot_id=scene.sibling.id)) == "ALLOWED"


@BOTH
def test_g9_losses_in_a_row(scope: str) -> None:
    scene = Scene(**{scope: {"max_consecutive_losses": {"soft": "2", "hard": "3"}}})
    told = []
    for losses in range(5):
        scene.book.losses_in_row = losses
        told.append(scene.told(THROTTLE))
    assert told == ["ALLOWED"] * 3 + ["WARNED THROTTLE_LOSSES", "BLOCKED THROTTLE_LOSSES"]
    assert scene.says(THROTTLE).actual == "4"


def test_g9_tells_the_worse_of_entries_and_losses() -> None:
    scene = Scene({"max_consecutive_losses": {"hard": "1"}, "max_entries_per_window": {"soft": "1", "hard": "9"}})
    assert scene.says(THROTTLE).limit == "9"
    scene.book.entry_ts.append(NOW)
    assert scene.told(THROTTLE) == "WARNED THROTTLE_ENTRIES"
    scene.book.losses_in_row = 2
    assert scene.told(THROTTLE) == "BLOCKED THROTTLE_LOSSES"


@BOTH
def test_g9_a_symbol_rests_after_a_stop(scope: str) -> None:
    scene = Scene(**{scope: {"cooldown_after_stop_s": 60}})
    scene.book.last_stop_ts["test BTC/USDT"] = NOW
    assert scene.told(THROTTLE, at=NOW + 60 * SECOND_US - 1) == "BLOCKED THROTTLE_COOLDOWN"
    assert scene.told(THROTTLE, at=NOW + 60 * SECOND_US) == "ALLOWED"
    assert scene.told(THROTTLE, scene.intent(symbol="ETH/USDT")) == "ALLOWED"
    assert scene.told(THROTTLE, scene.intent(bot_id=scene.sibling.id)) == "ALLOWED"
    assert scene.says(THROTTLE, at=NOW + 58_500_000).actual == "2 s more"
    assert scene.says(THROTTLE, at=NOW + 58_000_000).actual == "2 s more"


@BOTH
@pytest.mark.parametrize(
    ("pnl", "told"), [("-0.51", "BLOCKED THROTTLE_LOW_PROFIT"), ("-0.5", "ALLOWED"), ("9", "ALLOWED")]
)
def test_g9_a_symbol_rests_when_it_made_too_little(scope: str, pnl: str, told: str) -> None:
    limits: dict[str, Any] = {"low_profit_trades": 2, "low_profit_pct": "0.5", "low_profit_lock_s": 60}
    scene = Scene(**{scope: limits})
    trips = scene.book.recent.setdefault("test BTC/USDT", [])
    trips += [RoundTrip(NOW - 9, D(-99)), RoundTrip(NOW - 5, D(1))]
    scene.told(THROTTLE)
    trips[0] = RoundTrip(NOW - 9, D(99))
    trips.append(RoundTrip(NOW, D(pnl)))  # the last two count: 1 and this
    assert scene.told(THROTTLE) == told
    assert scene.told(THROTTLE, at=NOW + 60 * SECOND_US - 1) == told
    assert scene.told(THROTTLE, at=NOW + 60 * SECOND_US) == "ALLOWED"
    assert scene.told(THROTTLE, scene.intent(symbol="ETH/USDT")) == "ALLOWED"


def test_g9_too_few_round_trips_say_nothing() -> None:
    scene = Scene({"low_profit_trades": 2, "low_profit_pct": "0.5", "low_profit_lock_s": 60})
    scene.book.recent["test BTC/USDT"] = [RoundTrip(NOW, D(-5))]
    assert scene.told(THROTTLE) == "ALLOWED"
    scene = Scene({"cooldown_after_stop_s": 1})
    scene.book.recent["test BTC/USDT"] = [RoundTrip(NOW, D(-5))]
    assert scene.told(THROTTLE) == "ALLOWED"


def test_g9_an_unknown_bot_is_blocked() -> None:
    scene = Scene({"max_consecutive_losses": {"hard": "1"}})
    assert scene.told(THROTTLE, scene.intent(bot_id="nobody")) == "BLOCKED BOT_UNKNOWN"
