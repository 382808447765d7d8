"""Text from outside, made safe for a terminal and a log. Pure; the standard library only.

A token's name, an exchange's message or an order's label can carry escape sequences that retitle the terminal, write
its clipboard or move its cursor, and invisible characters that make one name look like another. `safe_text()` is called
where such text enters; what it returns can be stored, logged and shown.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

Align = Literal["left", "right", "center"]

ELLIPSIS = "…"
#: Stands for a character that would not be seen. Dropping it would turn "US<zero width space>DC" into "USDC".
HIDDEN = "\N{REPLACEMENT CHARACTER}"

#: General categories that never reach a terminal: control, format (bidi, zero width), surrogate, private, unassigned,
#: line and paragraph separator.
BAD_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

#: Marks and letters that are drawn as nothing although their category looks harmless
#: (Default_Ignorable_Code_Point in the Unicode character database; the Cf part is in BAD_CATEGORIES).
_INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0"
    + "".join(map(chr, range(0xFE00, 0xFE10)))
    + "".join(map(chr, range(0xE0100, 0xE01F0)))
)

#: Scripts need up to three marks on one letter; a tower of marks paints over the rows above and below.
_MARKS_MAX = 3
#: Input longer than this multiple of the limit is cut before it is looked at: cleaning costs no more than that.
_INPUT_FACTOR = 8

# Control strings (DCS, SOS, OSC, PM, APC) run to their terminator or, unterminated, to the end: a terminal would
# swallow the rest as well. BEL ends OSC only (xterm ctlseqs, "Operating System Commands").
_SEQUENCE = re.compile(
    r"(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|(?=\x1b)|\Z)"
    r"|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x9c]*(?:\x1b\\|\x9c|(?=\x1b)|\Z)"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|\x1b[ -/]*[0-~]?"
)


def safe_text(text: str, limit: int = 64, *, multiline: bool = False) -> str:
    """Untrusted text as printable text of at most `limit` characters, the last one "…" when it was cut.

    Escape sequences (ECMA-48 7-bit and 8-bit, also unterminated) and C0/C1 controls vanish; bidi controls, zero-width,
    private and unassigned characters become one U+FFFD per run, so that a name stays different from the name it
    imitates. White space becomes a plain space; with `multiline` a line end stays "\\n". Idempotent.

    The normal form is NFC, not NFKC: NFKC would draw a full-width "ＢＴＣ" as "BTC" and "ﷺ" as eighteen letters, so that
    two names of an exchange could look the same here. "kPEPE" and CJK pass unchanged. A letter of another script that
    looks like a Latin one also passes: telling those apart is the instrument table's task.

    Raises ValueError if `limit` is less than one.
    """
    if limit < 1:
        raise ValueError(f"limit must be at least 1 character, not {limit}")
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text
    kept = _SEQUENCE.sub("", text[: limit * _INPUT_FACTOR])
    # Taken apart first: marks are counted wherever they come from, in the letter or behind it.
    normal = unicodedata.normalize("NFC", _visible(unicodedata.normalize("NFD", kept), multiline))
    return normal if len(normal) <= limit else normal[: limit - 1] + ELLIPSIS


def _visible(text: str, multiline: bool) -> str:
    """Each character as itself, as a space, as HIDDEN, or left out. Expects escape sequences to be gone."""
    out: list[str] = []
    # A mark at the start of the text would be drawn on whatever stands left of it on the screen.
    marks = _MARKS_MAX
    for char in text.replace("\r\n", "\n") if multiline else text:
        category = unicodedata.category(char)
        if category in ("Mn", "Me") and char not in _INVISIBLE:
            marks += 1
            if marks > _MARKS_MAX:
                continue
            out.append(char)
            continue
        if category == "Cc" and char not in "\t\n\r\v\f\x85":
            continue  # as if it had never been there: a mark behind it belongs to what stands before it
        marks = 0
        if multiline and char in "\n\r\x85\u2028\u2029":
            out.append("\n")
            marks = _MARKS_MAX
        elif char in "\t\n\r\v\f\x85" or category in ("Zs", "Zl", "Zp"):
            out.append(" ")
        elif category in BAD_CATEGORIES or char in _INVISIBLE:
            if not out or out[-1] != HIDDEN:
                out.append(HIDDEN)
        else:
            out.append(char)
    return "".join(out)


def display_width(text: str) -> int:
    """Columns of a terminal that `text` takes: 2 for East Asian wide and full-width, 0 for marks, else 1 (UAX 11)."""
    if text.isascii():
        return len(text)
    return sum(map(_char_width, text))


def _char_width(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def fit(text: str, width: int, align: Align = "left") -> str:
    """`text` padded or cut to exactly `width` columns; a cut one ends with "…". For plain output, not for numbers."""
    if width <= 0:
        return ""
    used = display_width(text)
    if used > width:
        text, used = _cut(text, width)
    return pad(text, width - used, align)


def pad(text: str, space: int, align: Align) -> str:
    """`text` with `space` blanks left, right or on both sides of it."""
    if align == "right":
        return " " * space + text
    if align == "center":
        return " " * (space // 2) + text + " " * (space - space // 2)
    return text + " " * space


def _cut(text: str, width: int) -> tuple[str, int]:
    """The longest head of a `text` wider than that which leaves one column for "…", and the columns it takes with it."""
    used = index = 0
    while used + (step := _char_width(text[index])) < width:
        used += step
        index += 1
    return text[:index] + ELLIPSIS, used + 1


def traceback_of(error: BaseException) -> str:
    """Where an exception came from, innermost last: file names without folders, which differ from machine to machine."""
    lines, frame = [], error.__traceback__
    while frame is not None:
        code = frame.tb_frame.f_code
        lines.append(f"{code.co_filename.rsplit('/', 1)[-1]}:{frame.tb_lineno} in {code.co_name}")
        frame = frame.tb_next
    return "\n".join([*lines, f"{type(error).__name__}: {safe_text(str(error), 500)}"])
