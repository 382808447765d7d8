"""Canonical JSON: one byte string per meaning, so that sha256 of it can be an identity (rules, configs, journal rows).

Decisions, each tested: object keys sorted by code point, no spaces, UTF-8; Decimal as a string in plain notation without
trailing zeros ("1.50" and "1.5" are one amount: NUMERIC columns pad zeros); a float that is integral is written as an
integer, because 2 and 2.0 are the same JSON number and editors, jsonb and JavaScript swap them freely; -0.0 is 0.
What has no single spelling is refused: NaN, infinity, integers beyond int64, keys that are not strings, lone surrogates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from math import isfinite
from typing import Any

import msgspec

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_FLOAT_EXACT_MAX = 2.0**53  # integers up to here are exact as double, so writing them as an integer loses nothing
_DEPTH_MAX = 64
_DECIMAL_EXPONENT_MAX = 64  # a Decimal of 30 bytes may otherwise ask for a gigabyte of zeros


class CanonicalError(Exception):
    """The value has no canonical JSON; the message names the value and what to give instead."""


def canonical_json(obj: object) -> bytes:
    """Canonical UTF-8 JSON of dicts, lists, tuples, str, int, bool, None, float, Decimal, enums and msgspec structs.

    Raises CanonicalError for anything without one spelling (see the module).
    """
    try:
        return msgspec.json.encode(_plain(obj, 0), order="sorted")
    except UnicodeEncodeError as error:
        raise CanonicalError("a string holds a lone surrogate: give valid Unicode") from error


def sha256_hex(data: bytes) -> str:
    """sha256 as 64 lowercase hex digits."""
    return hashlib.sha256(data).hexdigest()


def decimal_text(value: Decimal) -> str:
    """Plain notation without exponent and trailing zeros; zero is "0". Raises CanonicalError if not finite or absurdly sized."""
    text = str(value)
    # What passes is plain already, and of a sane size.
    if "E" in text or len(text) > _DECIMAL_EXPONENT_MAX or not value.is_finite():
        text = _written_out(value)
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def _written_out(value: Decimal) -> str:
    if not value.is_finite():
        raise CanonicalError(f"{value} is not a number: give a finite Decimal")
    if abs(value.adjusted()) > _DECIMAL_EXPONENT_MAX or len(value.as_tuple().digits) > 2 * _DECIMAL_EXPONENT_MAX:
        raise CanonicalError(
            f"a Decimal of magnitude 1e{value.adjusted()} is out of range: at most 64 places each side"
        )
    return format(value, "f")  # never normalize(): it rounds to the context's precision


def _plain(value: Any, depth: int) -> Any:
    if depth > _DEPTH_MAX:
        raise CanonicalError(f"nested deeper than {_DEPTH_MAX} levels: flatten it")
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int:
        if not _INT64_MIN <= value <= _INT64_MAX:
            raise CanonicalError("an integer is beyond 64 bits: give it as a string or Decimal")
        return value
    if kind is float:
        return _plain_float(value)
    if kind is Decimal:
        return decimal_text(value)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise CanonicalError(f"an object key is a {type(key).__name__}: keys are strings")
        return {str(key): _plain(child, depth + 1) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(child, depth + 1) for child in value]
    if isinstance(value, msgspec.Struct):
        return _plain(msgspec.to_builtins(value, builtin_types=(Decimal,)), depth + 1)
    if isinstance(value, (str, int)):  # StrEnum, IntEnum and other subclasses: their plain value
        return _plain(str(value) if isinstance(value, str) else int(value), depth)
    raise CanonicalError(f"a {kind.__name__} has no canonical JSON: convert it first")


def _plain_float(value: float) -> float | int:
    if not isfinite(value):
        raise CanonicalError(f"{value} has no JSON: give a finite number or null")
    return int(value) if value.is_integer() and abs(value) <= _FLOAT_EXACT_MAX else value
