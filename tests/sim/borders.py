"""The walk over every border between deciding, committing and acting: a crash at each, and the run that goes on after it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from db.memory import MemoryStore
from tests.core.worlds import World

#: Called with the name of each border that is crossed.
Border = Callable[[str], None]
#: One whole run in a folder, over what the store holds already.
Run = Callable[[Path, MemoryStore, Border | None], Awaitable[World]]


class Crash(BaseException):
    """Not an Exception: nothing may catch it on its way out, as nothing catches SIGKILL."""


async def crash_at_every_border(run: Run, folder: Path) -> World:
    """Each run that is resumed after a crash ends as the uninterrupted one, which is returned: journal and ledger."""
    names: list[str] = []
    whole = await run(folder / "whole", MemoryStore(), names.append)
    assert len(names) > 100
    expected = [(r.seq, r.id, r.hash) for r in whole.journal.events()]
    for crash_at in range(len(names)):
        store, directory = MemoryStore(), folder / f"at{crash_at}"
        with pytest.raises(Crash):
            await run(directory, store, _crash_after(crash_at))
        store.holder = None
        resumed = await run(directory, store, None)
        assert [(r.seq, r.id, r.hash) for r in resumed.journal.events()] == expected, (crash_at, names[crash_at])
        assert resumed.ledger.state_hash() == whole.ledger.state_hash()
    return whole


def _crash_after(borders: int) -> Border:
    left = iter(range(borders))

    def border(name: str) -> None:
        if next(left, None) is None:
            raise Crash(name)

    return border
