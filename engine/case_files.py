"""Files of cases (docs/fills.md, "The case format"): what comes out is checked cases, or one line with the JSON path of the
first problem.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from engine.core.inputs import Candle
from engine.core.strategy import ENTER_LONG, ENTER_SHORT, EXIT_LONG, EXIT_SHORT
from engine.core.types import DAY_US, MINUTE_US, ONE, ZERO

EXCHANGE, SYMBOL = "CASES", "CASE"
#: When candle 0 opens; any day does.
START_US = 20_000 * DAY_US
SIGNALS = {"enter_long": ENTER_LONG, "exit_long": EXIT_LONG, "enter_short": ENTER_SHORT, "exit_short": EXIT_SHORT}
PRICE_MAX = Decimal(10) ** 9
#: How like a known key an unknown one must be to be a slip of the pen; others are remarks and passed over.
_SLIP = 0.85


class CaseError(ValueError):
    """A file of cases that cannot be run; one line with the JSON path."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One case, checked. Ratios are on margin; prices in quote units; `signals` and `tags` by candle; `timeout` in minutes."""

    id: str | int
    timeframe_minutes: int
    candles: tuple[Candle, ...]
    signals: tuple[int, ...]
    tags: tuple[str, ...]
    stop_loss: Decimal
    roi: dict[int, Decimal]
    trailing_stop: bool
    trailing_only_offset_is_reached: bool
    trailing_stop_positive: Decimal | None
    trailing_stop_positive_offset: Decimal
    use_exit_signal: bool
    leverage: Decimal
    timeout: int | None
    custom_entry_price: Decimal | None
    custom_exit_price: Decimal | None
    adjust_entry_price: Decimal | None
    adjust_exit_price: Decimal | None
    adjust_trade_position: tuple[Decimal, ...]
    stake_amount: Decimal

    @property
    def bar_us(self) -> int:
        return self.timeframe_minutes * MINUTE_US


_KNOWN = sorted(set(Case.__struct_fields__) - {"signals", "tags"})


def read_cases(text: str) -> list[Case]:
    """The cases of a JSON text. Raises CaseError."""
    try:
        document = json.loads(text, parse_float=Decimal, parse_constant=Decimal)
    except (ValueError, RecursionError) as error:
        raise CaseError("$", f"not JSON: {error}") from error
    if not isinstance(document, list):
        raise CaseError("$", f"must be a list of cases, not {_kind(document)}")
    return [_case(_Fields(f"$[{n}]", row), n) for n, row in enumerate(document)]


def _case(f: _Fields, place: int) -> Case:
    f.refuse_slips()
    minutes = f.whole("timeframe_minutes", 60, 1, 10_080)
    rows = [_Fields(f"{f.path}.candles[{n}]", row) for n, row in enumerate(f.list("candles"))]
    timeout = f.row.get("timeout")
    return Case(
        id=f.name(place),
        timeframe_minutes=minutes,
        candles=tuple(_candle(row, n, minutes * MINUTE_US) for n, row in enumerate(rows)),
        signals=tuple(sum(bit for name, bit in SIGNALS.items() if row.flag(name)) for row in rows),
        tags=tuple(row.text("enter_tag") for row in rows),
        stop_loss=f.number("stop_loss", None, -ONE, ONE, zero=False),
        roi=_ladder(f),
        trailing_stop=f.flag("trailing_stop"),
        trailing_only_offset_is_reached=f.flag("trailing_only_offset_is_reached"),
        trailing_stop_positive=f.optional("trailing_stop_positive", ONE),
        trailing_stop_positive_offset=f.number("trailing_stop_positive_offset", ZERO, ZERO, Decimal(10)),
        use_exit_signal=f.flag("use_exit_signal"),
        leverage=f.number("leverage", ONE, ONE, Decimal(125)),
        timeout=None if timeout is None else max(1, f.whole("timeout", 0, 0, 10_000_000)),
        custom_entry_price=f.optional("custom_entry_price", PRICE_MAX),
        custom_exit_price=f.optional("custom_exit_price", PRICE_MAX),
        adjust_entry_price=f.optional("adjust_entry_price", PRICE_MAX),
        adjust_exit_price=f.optional("adjust_exit_price", PRICE_MAX),
        adjust_trade_position=tuple(
            ZERO if change is None else _number(f"{f.path}.adjust_trade_position[{n}]", change, -PRICE_MAX, PRICE_MAX)
            for n, change in enumerate(f.list("adjust_trade_position", []))
        ),
        stake_amount=f.number("stake_amount", Decimal("0.001"), Decimal("0.000001"), Decimal(10) ** 9),
    )


def _candle(f: _Fields, place: int, bar_us: int) -> Candle:
    price = {name: f.number(name, None, ZERO, PRICE_MAX, zero=False) for name in ("open", "high", "low", "close")}
    if price["high"] < max(price.values()):
        raise CaseError(f"{f.path}.high", "is below another price of the candle")
    if price["low"] > min(price.values()):
        raise CaseError(f"{f.path}.low", "is above another price of the candle")
    ts = START_US + (place + 1) * bar_us
    return Candle(
        ts=ts,
        exchange=EXCHANGE,
        symbol=SYMBOL,
        timeframe_us=bar_us,
        open=float(price["open"]),
        high=float(price["high"]),
        low=float(price["low"]),
        close=float(price["close"]),
        volume=float(f.number("volume", ZERO, ZERO, Decimal(10) ** 18)),
        received_ts=ts,
    )


def _ladder(f: _Fields) -> dict[int, Decimal]:
    steps = f.row.get("roi")
    if steps is None:
        return {}
    if not isinstance(steps, dict):
        raise CaseError(f"{f.path}.roi", f"must be an object of minutes and ratios, not {_kind(steps)}")
    ladder = {}
    for key, ratio in steps.items():
        path = f"{f.path}.roi.{_safe(key)}"
        if not (key.isascii() and key.isdigit() and len(key) <= 7):
            raise CaseError(path, "a key of roi is a number of minutes in digits")
        ladder[int(key)] = _number(path, ratio, Decimal(-1), Decimal(10_000))
    return ladder


class _Fields:
    """The fields of one JSON object, taken one by one."""

    def __init__(self, path: str, row: Any) -> None:
        if not isinstance(row, dict):
            raise CaseError(path, f"must be an object, not {_kind(row)}")
        self.path = path
        self.row: Mapping[str, Any] = row

    def refuse_slips(self) -> None:
        for key in self.row:
            if key not in _KNOWN and (near := difflib.get_close_matches(key, _KNOWN, n=1, cutoff=_SLIP)):
                raise CaseError(f"{self.path}.{_safe(key)}", f"did you mean {near[0]!r}?")

    def name(self, place: int) -> str | int:
        value = self.row.get("id", place)
        return value if isinstance(value, int) and not isinstance(value, bool) else self.text("id")

    def text(self, name: str) -> str:
        value = self.row.get(name)
        if value is None:
            return ""
        if not isinstance(value, str) or not value.isprintable() or len(value) > 255:
            raise CaseError(f"{self.path}.{name}", "must be printable text of at most 255 characters")
        return value

    def list(self, name: str, default: list[Any] | None = None) -> list[Any]:
        value = self.row.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, list):
            raise CaseError(f"{self.path}.{name}", f"must be a list, not {_kind(value)}")
        return value

    def flag(self, name: str) -> bool:
        value = self.row.get(name)
        if value not in (None, 0, 1):
            raise CaseError(f"{self.path}.{name}", f"must be true, false, 1 or 0, not {_kind(value)}")
        return bool(value)

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        value = self.number(name, Decimal(default), Decimal(low), Decimal(high))
        if value != int(value):
            raise CaseError(f"{self.path}.{name}", "must be a whole number")
        return int(value)

    def optional(self, name: str, high: Decimal) -> Decimal | None:
        return None if self.row.get(name) is None else self.number(name, None, ZERO, high, zero=False)

    def number(self, name: str, default: Decimal | None, low: Decimal, high: Decimal, *, zero: bool = True) -> Decimal:
        value = self.row.get(name)
        path = f"{self.path}.{name}"
        if value is None:
            if default is None:
                raise CaseError(path, "is missing")
            return default
        number = _number(path, value, low, high)
        if not zero and not float(number):
            raise CaseError(path, "must not be 0")
        return number


def _number(path: str, value: Any, low: Decimal, high: Decimal) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise CaseError(path, f"must be a number, not {_kind(value)}")
    number = Decimal(value)
    if not number.is_finite() or not low <= number <= high:
        raise CaseError(path, f"must be a number from {low} to {high}")
    # As a float would read it: the candles are floats, and an exact touch must be one.
    return Decimal(repr(float(number)))


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _safe(key: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in key[:64])
