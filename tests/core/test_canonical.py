"""Canonical JSON: one byte string per meaning, and a refusal where there is none."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st

from engine.core.canonical import CanonicalError, canonical_json, decimal_text, sha256_hex
from engine.core.inputs import Cause
from engine.core.types import Side

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, None]}, '{"a":[true,null],"b":1}'),
        (2.0, "2"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (1e300, "1e300"),
        ({"x": Decimal("1.50")}, '{"x":"1.5"}'),
        ((Side.BUY,), '["BUY"]'),
        ("\u00e9", '"\u00e9"'),
        (Cause(1, 0, "x", "y", 2, "z", 3), '[1,0,"x","y",2,"z",3]'),
    ],
)
def test_spelling(value: object, text: str) -> None:
    assert canonical_json(value) == text.encode()


@given(JSON)
def test_survives_a_round_trip_through_any_json_parser(value: Any) -> None:
    once = canonical_json(value)
    assert canonical_json(json.loads(once)) == once
    assert canonical_json(json.loads(json.dumps(value))) == once


@given(
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**18), max_value=10**18, places=18),
    st.integers(0, 9),
)
def test_decimal_padding_is_no_other_amount(value: Decimal, zeros: int) -> None:
    padded = Decimal(format(value, "f") + "0" * zeros)
    assert decimal_text(padded) == decimal_text(value)
    assert Decimal(decimal_text(value)) == value


def test_decimal_keeps_digits_beyond_the_context() -> None:
    text = "1234567890123456789012345678901234567890.000000000000000001"
    assert decimal_text(Decimal(text)) == text
    assert [decimal_text(Decimal(each)) for each in ("1E+2", "-0.00", "0E-9", "100", "-1.10")] == [
        "100",
        "0",
        "0",
        "100",
        "-1.1",
    ]


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        Decimal("NaN"),
        Decimal("1E+1000000"),
        Decimal("1E-1000000"),
        2**63,
        {1: "x"},
        {"x": object()},
        b"bytes",
        "\ud800",
        {"\ud800": 1},
    ],
)
def test_refuses_what_has_no_single_spelling(value: object) -> None:
    with pytest.raises(CanonicalError) as caught:
        canonical_json(value)
    assert "\n" not in str(caught.value)


def test_refuses_endless_nesting() -> None:
    nested: list[Any] = []
    nested.append(nested)
    with pytest.raises(CanonicalError, match="nested"):
        canonical_json(nested)


def test_sha256() -> None:
    assert sha256_hex(b"{}") == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
