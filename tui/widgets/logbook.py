"""The cockpit's own tail of the journal: what the events panels show, bounded, read once for all of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice

from engine.client import EngineClient
from engine.core.events import Recorded
from engine.core.types import Level

#: Events kept for scrolling back; the journal has them all.
KEPT = 2_000
#: Events read in one repaint; a fast replay commits more, and nobody could read them.
READ_AT_ONCE = 2_000


class LogBook:
    """Events from INFO up, oldest first. `version` changes when the content does; `skipped` counts what was not read."""

    def __init__(self, kept: int = KEPT) -> None:
        self.entries: deque[Recorded] = deque(maxlen=kept)
        self.version = 0
        self.seq = 0
        self.skipped = 0
        self.bots: dict[str, str] = {}  # names by id, as the newest picture has them

    def read(self, client: EngineClient, newest_seq: int) -> Sequence[Recorded]:
        """Take what was committed since, and return it; jump ahead when it is more than a screen can use."""
        if newest_seq <= self.seq:
            return ()
        start = max(self.seq, newest_seq - READ_AT_ONCE)
        found = client.events(start, READ_AT_ONCE)
        if not found:
            return ()
        if self.seq:
            self.skipped += max(0, found[0].seq - self.seq - 1)
        self.seq = found[-1].seq
        loud = [one for one in found if one.event.level is not Level.DEBUG]
        if loud:
            self.entries.extend(loud)
            self.version += 1
        return found

    def after(self, seq: int, limit: int) -> list[Recorded]:
        """The newest entries above `seq`, at most `limit`, oldest first."""
        newest = [one for one in islice(reversed(self.entries), limit) if one.seq > seq]
        newest.reverse()
        return newest

    def find(self, seq: int) -> Recorded | None:
        return next((one for one in reversed(self.entries) if one.seq == seq), None)
