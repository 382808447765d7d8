"""Pictures of the cockpit: an app at a size, driven by keys, as SVG and PNG. Needs resvg_py and DejaVu Sans Mono."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from textual.app import App
from textual.pilot import Pilot

FONTS = Path("/usr/share/fonts/truetype/dejavu")

AppFactory = Callable[[], App[Any]]


async def render(
    app_factory: AppFactory,
    size: tuple[int, int],
    path: Path,
    *,
    keys: Sequence[str] = (),
    before: Callable[[Pilot[Any]], Awaitable[None]] | None = None,
) -> str:
    """Draw the app at `size` (columns, rows) after `keys` (and `before`); writes `path` (.svg or .png). Returns the SVG."""
    app = app_factory()
    async with app.run_test(size=size, notifications=True) as pilot:
        await pilot.pause(0.3)
        if keys:
            await pilot.press(*keys)
            await pilot.pause(0.3)
        if before is not None:
            await before(pilot)
        svg = app.export_screenshot(title="quantsail")
        app.exit()
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".svg":
        path.write_text(svg, encoding="utf-8")
    else:
        path.write_bytes(png(svg))
    return svg


def png(svg: str, fonts: Path = FONTS) -> bytes:
    """The SVG as PNG, with a monospaced font that has braille and box lines. Raises FileNotFoundError without the font."""
    import resvg_py

    files = sorted(str(file) for file in fonts.glob("DejaVuSans*.ttf"))
    if not files:
        raise FileNotFoundError(f"no DejaVu Sans Mono in {fonts}: install fonts-dejavu-core")
    local = re.sub(r"@font-face\s*{[^}]*}", "", svg).replace("Fira Code", "DejaVu Sans Mono")
    return bytes(
        resvg_py.svg_to_bytes(
            svg_string=local, monospace_family="DejaVu Sans Mono", font_files=files, skip_system_fonts=True
        )
    )
