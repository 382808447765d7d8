"""Waiting for what happens elsewhere: a paint, a process, a file, a row.

A wait that succeeds returns at once, so patience costs nothing: it only bounds a test that has failed already. Whoever
looks once at something asynchronous tests the speed of the machine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

#: Seconds; several times what the slowest step takes on a machine with four times too much to do.
PATIENCE_S = 120.0
_LOOK_AGAIN_S = 0.02

Answer = TypeVar("Answer")


def until(look: Callable[[], Answer], what: str = "", patience_s: float = PATIENCE_S) -> Answer:
    """The first true answer of `look`. Raises AssertionError, with `what` was waited for, after `patience_s`."""
    end = time.monotonic() + patience_s
    while not (answer := look()):
        assert time.monotonic() < end, f"not in {patience_s:.0f} s: {what or look}"
        time.sleep(_LOOK_AGAIN_S)
    return answer


async def until_async(look: Callable[[], Answer], what: str = "", patience_s: float = PATIENCE_S) -> Answer:
    """Like `until`, and the event loop goes on meanwhile."""
    loop = asyncio.get_running_loop()
    end = loop.time() + patience_s
    while not (answer := look()):
        assert loop.time() < end, f"not in {patience_s:.0f} s: {what or look}"
        await asyncio.sleep(_LOOK_AGAIN_S)
    return answer
