"""The pictures of the README are drawn from a seed: the same bytes every time, of the real engine, with no wall clock in them."""

from __future__ import annotations

import asyncio
import re

import pytest

from screenshots import make


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    return asyncio.run(make.pictures(["kill_80x24", "gates_120x40"]))


@pytest.fixture(scope="module")
def kill_picture(drawn: dict[str, str]) -> str:
    return drawn["kill_80x24"]


def words(svg: str) -> str:
    """What a reader sees, row by row, without the pieces that colours cut it into."""
    rows: dict[str, str] = {}
    for y, text in re.findall(r'<text[^>]* y="([\d.]+)"[^>]*>([^<]*)</text>', svg):
        rows[y] = rows.get(y, "") + text
    return "\n".join(rows.values()).replace("&#160;", " ")


def test_a_picture_drawn_twice_is_the_same_picture(kill_picture: str) -> None:
    again = asyncio.run(make.pictures(["kill_80x24"]))["kill_80x24"]
    assert again == kill_picture


def test_a_picture_shows_the_engine_at_its_own_time(drawn: dict[str, str]) -> None:
    shown = words(drawn["kill_80x24"])
    assert "HELD" in shown
    assert "cancels 1 entry order, keeps 6 protective orders and 3 positions" in shown
    assert "01:34:00Z" in words(drawn["gates_120x40"])  # 80 columns have no room for it beside HELD


def test_the_picture_as_png_uses_the_bundled_fonts_alone(kill_picture: str) -> None:
    pytest.importorskip("resvg_py", reason="resvg_py draws the PNG; it is a dependency of developers only")
    if not list(make.FONTS.glob("DejaVuSansMono*.ttf")):
        pytest.skip("the bundled font is not in this checkout")
    assert "@font-face" not in kill_picture
    picture = make.png(kill_picture)
    assert picture.startswith(b"\x89PNG")
    assert make.png(kill_picture) == picture


@pytest.mark.parametrize("name", list(make.SHOTS))
def test_every_picture_is_there(name: str) -> None:
    svg = (make.FOLDER / f"{name}.svg").read_text(encoding="utf-8")
    assert svg.startswith("<svg") and "http" not in re.sub(r'xmlns="[^"]*"|<!--.*?-->', "", svg)
    assert (make.FOLDER / f"{name}.png").read_bytes().startswith(b"\x89PNG")
