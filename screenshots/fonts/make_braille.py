"""Makes QuantsailBraille.ttf: the 256 braille patterns, as wide as a column of DejaVu Sans Mono, dots evenly over the cell.

DejaVu Sans Mono has no braille, and the patterns of proportional fonts are wider than a column, so that charts drawn with
them lean. Needs fonttools, which nothing else of the project does: python screenshots/fonts/make_braille.py
"""

from __future__ import annotations

from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

NAME = "Quantsail Braille"
EM, WIDTH = 2_048, 1_233  # the units and the column of DejaVu Sans Mono
TOP, BOTTOM = 1_900, -599  # one line of Textual's SVG is 1.22 em high
RADIUS = 230
#: Unicode's dots 1 to 8 as (column, row from the top).
DOTS = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))
#: No clock in the file: seconds from 1904 to 2026-01-01.
EPOCH = 3_850_070_400


def pattern(bits: int) -> TTGlyphPen:
    """A round dot (an octagon) for each bit."""
    pen = TTGlyphPen(None)
    step = (TOP - BOTTOM) / 4
    corner = round(RADIUS * 0.414)
    for bit, (column, row) in enumerate(DOTS):
        if not bits >> bit & 1:
            continue
        x, y = round(WIDTH * (0.25 + 0.5 * column)), round(TOP - step * (row + 0.5))
        r = RADIUS
        turns = (
            (-corner, r),
            (corner, r),
            (r, corner),
            (r, -corner),
            (corner, -r),
            (-corner, -r),
            (-r, -corner),
            (-r, corner),
        )
        pen.moveTo((x + turns[0][0], y + turns[0][1]))
        for dx, dy in turns[1:]:
            pen.lineTo((x + dx, y + dy))
        pen.closePath()
    return pen


def main() -> None:
    names = [".notdef", *(f"braille{bits:02x}" for bits in range(256))]
    builder = FontBuilder(EM, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({0x2800 + bits: f"braille{bits:02x}" for bits in range(256)})
    glyphs = {f"braille{bits:02x}": pattern(bits).glyph() for bits in range(256)}
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), **glyphs})
    builder.setupHorizontalMetrics(dict.fromkeys(names, (WIDTH, 0)))
    builder.setupHorizontalHeader(ascent=TOP, descent=BOTTOM)
    family = {"familyName": NAME, "styleName": "Regular", "fullName": NAME, "version": "Version 1.0"}
    # A font without a PostScript name is passed over without a word.
    builder.setupNameTable(family | {"psName": NAME.replace(" ", ""), "licenseDescription": "MIT, as the project"})
    builder.setupOS2(sTypoAscender=TOP, sTypoDescender=BOTTOM, usWinAscent=TOP, usWinDescent=-BOTTOM, fsType=0)
    builder.setupPost(isFixedPitch=1)
    builder.font["head"].created = builder.font["head"].modified = EPOCH
    builder.font.recalcTimestamp = False
    builder.save(Path(__file__).with_name("QuantsailBraille.ttf"))


if __name__ == "__main__":
    main()
