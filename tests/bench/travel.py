"""The time machine beside an engine: `python -m tests.bench.travel EVENTS` prints one JSON object, in a process of its own.

A journal of so many events in memory, an asyncio loop on a thread that stands for the engine's (as `EngineHost` starts it), and
the time machine on its own: jumps all over the journal and steps both ways. What the loop's sleeps take too long is the lag.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from db.memory import MemoryJournal
from engine.host import SWITCH_INTERVAL_S
from engine.journals import MemorySource, Pairs
from engine.reading import Reader
from engine.timemachine import TimeMachine
from tests import golden
from tests.bench.engine import market

NAP_S = 0.002
STEPS, JUMPS = 150, 12


class Beat:
    """An engine's loop that does nothing but nap; `late_ms` is by how much each nap was too long."""

    def __init__(self) -> None:
        self.late_ms: list[float] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._beat()), daemon=True)

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._ended.is_set():
            wanted = loop.time() + NAP_S
            await asyncio.sleep(NAP_S)
            self.late_ms.append((loop.time() - wanted) * 1_000)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def timed(ask: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    ask().result()
    return (time.perf_counter() - begin) * 1_000


def travelled(events: int) -> dict[str, float]:
    journal = MemoryJournal()
    golden.play(market(520_000), journal=journal)
    pairs = journal.store.pairs[:events]
    machine = TimeMachine(MemorySource(lambda: Pairs(pairs)), Reader(""), "bench")
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()
    quiet = Beat()
    quiet.start()
    time.sleep(2)
    quiet.stop()
    head = len(pairs)
    beat = Beat()
    beat.start()
    jumps = [timed(partial(machine.at_seq, seq)) for seq in (head, *(head * n // JUMPS for n in range(1, JUMPS)))]
    place = head // 2
    steps = []
    for step in range(STEPS):
        place += -1 if step < STEPS // 2 else 1
        steps.append(timed(partial(machine.at_seq, place)))
    beat.stop()
    return {
        "events": head, "quiet_p99_ms": percentile(quiet.late_ms, 0.99), "lag_p50_ms": percentile(beat.late_ms, 0.5),
        "lag_p99_ms": percentile(beat.late_ms, 0.99), "lag_max_ms": max(beat.late_ms), "beats": len(beat.late_ms),
        "first_ms": jumps[0], "jump_p50_ms": percentile(jumps, 0.5), "step_p50_ms": percentile(steps, 0.5),
        "step_p95_ms": percentile(steps, 0.95), "step_max_ms": max(steps),
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(travelled(int(sys.argv[1]))))
