"""safe_text(): nothing that steers a terminal, nothing invisible, bounded, idempotent; and the columns text takes."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, strategies as st

from engine.core.text import BAD_CATEGORIES, HIDDEN, Align, display_width, fit, safe_text

# fmt: off
_NOISE = st.sampled_from([
    "\x1b", "\x9b", "\x9d", "\x90", "\x9c", "\x07", "\x1b[", "\x1b]", "\x1bP", "\x1b\\", "\x1b_", "31m",
    ";5H", "\u202e", "\u200b", "\ufeff", "\ue000", "\U000e0041", "\u0301",
    "\u0300\u0301\u0302\u0303\u0304", "\r\n", "\u2028", "\ud800", "ＢＴＣ", "한", "kPEPE", "\x00", "é", "ﷺ",
    "\u115f", "\ufe0f", "👍", "\u0958", "\u1100", "\u1161",
])
# fmt: on
HOSTILE = st.lists(st.one_of(_NOISE, st.text(max_size=8)), max_size=30).map("".join)


@given(HOSTILE, st.integers(1, 80), st.booleans())
def test_output_is_printable_bounded_and_stable(text: str, limit: int, multiline: bool) -> None:
    clean = safe_text(text, limit, multiline=multiline)
    assert len(clean) <= limit
    bad = {c for c in clean if unicodedata.category(c) in BAD_CATEGORIES}
    assert bad <= ({"\n"} if multiline else set())
    assert safe_text(clean, limit, multiline=multiline) == clean
    assert unicodedata.is_normalized("NFC", clean)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("USDC\x1b]0;PWNED\x07!", "USDC!"),
        ("USDC\x1b]0;PWNED\x1b\\!", "USDC!"),
        ("a\x1b]52;c;cm0gLXJm", "a"),
        ("a\x9d0;title\x9cb", "ab"),
        ("a\x1bPq#0;2;0\x1b\\b", "ab"),
        ("a\x1b_Gf=100;AAAA\x1b\\b", "ab"),
        ("a\x1b^pm\x1b\\b\x1bXsos\x9cc", "abc"),
        ("a\x1b[31;1mred\x1b[0m", "ared"),
        ("a\x9b2Jb", "ab"),
        ("a\x1b[38;2;1;2", "a"),
        ("a\x1b(0b\x1bc\x1b7", "ab"),
        ("a\x1b", "a"),
        ("a\x1b]0;x\x1b[31mb", "ab"),
        ("a\x07\x08\x7f\x00b", "ab"),
    ],
)
def test_escape_sequences_vanish_also_unterminated(raw: str, clean: str) -> None:
    assert safe_text(raw) == clean


def test_a_name_does_not_become_the_name_it_imitates() -> None:
    assert safe_text("US\u200b\u200bDC") == f"US{HIDDEN}DC"
    assert safe_text("US\u202eCD") == f"US{HIDDEN}CD"
    assert safe_text("US\ue000CD\U00013455") != "USCD"
    assert safe_text("\u3164USDC") == f"{HIDDEN}USDC"
    assert safe_text("ＢＴＣ") == "ＢＴＣ"


def test_real_symbols_pass_unchanged() -> None:
    for symbol in ("kPEPE/USDC", "1000SHIB/USDT", "币安人生/USDT", "Łódź", "한국", "€ 10", "๐าำ", "👍"):
        assert safe_text(symbol) == symbol


def test_decomposed_text_is_composed() -> None:
    assert safe_text("e\u0301") == "é"


def test_a_tower_of_marks_is_cut_and_none_starts_the_text() -> None:
    tower = safe_text("a" + "\u0323\u0330\u0331\u0332\u0333\u0334")
    assert sum(map(unicodedata.combining, unicodedata.normalize("NFD", tower))) > 0
    assert sum(unicodedata.combining(char) > 0 for char in unicodedata.normalize("NFD", tower)) == 3
    assert safe_text("\u1ea1\u0330\u0331\u0332") == safe_text("a\u0323\u0330\u0331\u0332")  # the same, composed
    assert safe_text("\u0301\u0302x") == "x"


def test_lines() -> None:
    assert safe_text("a\r\nb\tc\u2028d") == "a  b c d"
    assert safe_text("a\r\nb\tc\u2028d\re", multiline=True) == "a\nb c\nd\ne"


def test_long_text_is_cut_with_an_ellipsis() -> None:
    assert safe_text("A" * 65) == "A" * 63 + "…"
    assert safe_text("A" * 64) == "A" * 64
    assert safe_text("ab", 1) == "…"
    assert len(safe_text("\x1b[1m" * 1_000_000 + "x", 10)) <= 10


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        safe_text("x", 0)


@given(st.text(max_size=30).map(safe_text), st.integers(0, 20), st.sampled_from(["left", "right", "center"]))
def test_fit_takes_exactly_its_width(text: str, width: int, align: Align) -> None:
    assert display_width(fit(text, width, align)) == width


def test_width_counts_columns() -> None:
    assert display_width("abc") == 3
    assert display_width("币安") == 4
    assert display_width("e\u0301\u0302") == 1
    assert fit("币安人生", 5) == "币安…"
    assert fit("币安人生", 4) == "币… "
    assert fit("7", 3, "right") == "  7"
    assert fit("7", 4, "center") == " 7  "
