"""A running screen leaves nothing for the garbage collector: memory would grow from one collection to the next, and each of
them holds up the engine's thread, too."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tests.tui.cockpit_pilot import cockpit
from tui.plot import _frame

LOOKS = 6


@contextmanager
def garbage() -> Iterator[Counter[str]]:
    """What the block leaves behind that points at itself, by type."""
    found: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found.update(type(one).__name__ for one in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def test_a_changing_dashboard_leaves_no_strip_behind() -> None:
    async with cockpit(size=(200, 60)) as c:

        async def look() -> None:
            assert c.engine.snap is not None
            c.engine.change(equity=c.engine.snap.equity + 1, now=c.engine.snap.now + 60_000_000)
            await c.settle()

        await look()  # what the first whole picture has left
        with garbage() as left:
            for _ in range(LOOKS):
                await look()
        assert left["Strip"] == 0


def test_the_frame_of_a_chart_leaves_no_figure_behind() -> None:
    with garbage() as left:
        rows, _ = _frame.__wrapped__(60, 20, ((0, "1.0"), (10, "2.0")), ((0, " "),), False)
    assert len(rows) == 20 and not left
