"""Draws the pictures of this folder, SVG and PNG, from a seeded run of the real engine: run it again, get the same bytes.

    python screenshots/make.py                 all of them
    python screenshots/make.py kill_80x24      some of them
    python screenshots/make.py --themes        digests.txt, of every screen in every theme (screenshots/themes.py)

The PNG is made of the SVG with the bundled DejaVu Sans Mono, which has braille and box lines; no font of the machine is used.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parent
if __name__ == "__main__":
    sys.path[0] = str(FOLDER.parent)

from textual.pilot import Pilot  # noqa: E402

from engine.core.config import Config, default_config, parse_config  # noqa: E402
from engine.core.types import Verb  # noqa: E402
from screenshots.stage import Stage, StageClock, StillClient, scratch, simulated  # noqa: E402
from tui.app import CockpitApp  # noqa: E402

FONTS = FOLDER / "fonts"
FONT = "DejaVu Sans Mono"
#: A moment with profit and loss, a blocked gate, a warned one, and an entry under way.
SEED, MINUTES, SYMBOLS = 12, 1_440 + 94, 4


SIZES = ((80, 24), (120, 40), (200, 60))


class Shot(NamedTuple):
    """A picture: columns, rows, the keys that lead to it from the dashboard, and its theme."""

    columns: int
    rows: int
    keys: tuple[str, ...] = ()
    theme: str = "dark"


SHOTS = {
    "dashboard_80x24": Shot(80, 24),
    "dashboard_120x40": Shot(120, 40),
    "dashboard_200x60": Shot(200, 60),
    "kill_80x24": Shot(80, 24, ("f9",)),
    "orders_80x24": Shot(80, 24, ("2",)),
    "orders_120x40": Shot(120, 40, ("2",)),
    "orders_200x60": Shot(200, 60, ("2",)),
    "story_120x40": Shot(120, 40, ("2", *"jjjjjjj", "enter")),
    "cancel_80x24": Shot(80, 24, ("2", "x")),
    "events_80x24": Shot(80, 24, ("3",)),
    "events_120x40": Shot(120, 40, ("3",)),
    "events_200x60": Shot(200, 60, ("3",)),
    "charts_80x24": Shot(80, 24, ("4",)),
    "charts_120x40": Shot(120, 40, ("4",)),
    "charts_200x60": Shot(200, 60, ("4",)),
    "gates_80x24": Shot(80, 24, ("5",)),
    "gates_120x40": Shot(120, 40, ("5",)),
    "gates_200x60": Shot(200, 60, ("5",)),
    "why_80x24": Shot(80, 24, ("5", "v")),
    "bots_80x24": Shot(80, 24, ("7",)),
    "bots_120x40": Shot(120, 40, ("7",)),
    "bots_200x60": Shot(200, 60, ("7",)),
    "pause_bot_80x24": Shot(80, 24, ("7", "P")),
    "operations_80x24": Shot(80, 24, ("0",)),
    "operations_120x40": Shot(120, 40, ("0",)),
    "operations_200x60": Shot(200, 60, ("0",)),
    "configs_80x24": Shot(80, 24, ("6", "g")),
    "configs_120x40": Shot(120, 40, ("6", "g")),
    "configs_200x60": Shot(200, 60, ("6", "g")),
    **{f"{theme}_120x40": Shot(120, 40, (), theme) for theme in ("light", "high-contrast", "mono", "classic")},
    "past_80x24": Shot(80, 24, ("t", "minus", "6", "h", "enter")),
    "past_120x40": Shot(120, 40, ("t", "minus", "6", "h", "enter")),
    "past_200x60": Shot(200, 60, ("t", "minus", "6", "h", "enter")),
}


def configs() -> list[tuple[Config, str]]:
    """Three versions and why each was made; the second one trades, the third one waits to be activated."""
    first = default_config().model_dump(mode="json", by_alias=True)
    limits = {
        "max_open_positions": {"soft": "3", "hard": "4"},
        "max_gross_exposure_pct": {"soft": "50", "hard": "75"},
        "daily_loss_pct": {"soft": "1", "hard": "3"},
        "max_drawdown_pct": {"soft": "8", "hard": "15"},
    }
    bot = first["bots"][0] | {"sizing": {"kind": "percent_equity", "value": "20"}}
    second = {"schema": 1, "bots": [bot], "account": {"limits": limits}}
    tighter = bot | {"exits": bot["exits"] | {"stop_loss_pct": "1.5", "take_profit_pct": "3"}}
    third = {"schema": 1, "bots": [tighter], "account": {"limits": limits | {"max_open_positions": {"hard": "3"}}}}
    return [
        (default_config(), "the default"),
        (parse_config(second), "larger positions"),
        (parse_config(third), "tighter stops"),
    ]


async def played(directory: Path) -> Stage:
    """The scene of all pictures."""
    stage = await simulated(SEED, directory, configs())
    await stage.ask(Verb.ACTIVATE_CONFIG, "ada", "first limits", version=2)
    await stage.play(MINUTES * SYMBOLS)
    if stage.pacer is not None:
        stage.pacer.set_speed(60)  # what a screen says of it; nothing more is played
    stage.client.refresh()
    return stage


async def draw(stage: Stage, shot: Shot) -> str:
    """One picture as SVG; the stage is left as it was, but for a hold."""
    clock = StageClock()
    app = CockpitApp(StillClient(stage.client, clock), crash_log=None, clock=clock)
    app.theme = f"quantsail-{shot.theme}"
    async with app.run_test(size=(shot.columns, shot.rows)) as pilot:
        await settled(app, pilot, stage, clock)
        for key in shot.keys:
            await pilot.press(key)
            await settled(app, pilot, stage, clock)
        return app.export_screenshot(title="quantsail")


async def settled(app: CockpitApp, pilot: Pilot[Any], stage: Stage, clock: StageClock) -> None:
    """All that was asked of engine and screen is done and drawn: each step is called for, none is waited for."""
    for _ in range(4):
        await pilot.pause()
        await stage.answer()
        while app.past.reading:
            await asyncio.sleep(0.01)
            await pilot.pause()
        clock.now += 1.0  # the cockpit reads some things once a second
        app.tick()
    await pilot.pause()


def svg_with_local_font(svg: str) -> str:
    """Textual's SVG names a web font; a picture in a repository should need no network."""
    return re.sub(r"@font-face\s*{[^}]*}", "", svg).replace("Fira Code", FONT).replace("arial", FONT)


def png(svg: str) -> bytes:
    """Rendered with the bundled font alone. Raises FileNotFoundError without it."""
    import resvg_py

    files = sorted(str(file) for file in FONTS.glob("*.ttf"))
    if not files:
        raise FileNotFoundError(f"no font in {FONTS}: check the repository out again")
    picture = resvg_py.svg_to_bytes(
        svg_string=svg, monospace_family=FONT, font_family=FONT, font_files=files, skip_system_fonts=True
    )
    return bytes(picture)


@contextmanager
def still_screen() -> Iterator[None]:
    """Toasts and cursors that come and go by a wall clock have no place in a picture."""
    before = CockpitApp.NOTIFICATION_TIMEOUT
    CockpitApp.NOTIFICATION_TIMEOUT = 3_600
    try:
        yield
    finally:
        CockpitApp.NOTIFICATION_TIMEOUT = before


async def pictures(names: Sequence[str]) -> dict[str, str]:
    """SVG by name, each from a run of its own, so that no picture depends on the ones before it."""
    drawn = {}
    with still_screen():
        for name in names:
            with scratch() as folder:
                stage = await played(Path(folder))
                drawn[name] = svg_with_local_font(await draw(stage, SHOTS[name]))
    return drawn


def main(names: Sequence[str]) -> int:
    if names == ["--themes"]:
        from screenshots.themes import write_table

        print(f"digests.txt: {asyncio.run(write_table())} lines")
        return 0
    unknown = [name for name in names if name not in SHOTS]
    if unknown:
        print(f"make.py: no picture is called {unknown[0]}; there are {', '.join(SHOTS)}", file=sys.stderr)
        return 2
    for name, svg in asyncio.run(pictures(names or list(SHOTS))).items():
        (FOLDER / f"{name}.svg").write_text(svg, encoding="utf-8")
        (FOLDER / f"{name}.png").write_bytes(png(svg))
        print(f"{name}: svg and png")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
