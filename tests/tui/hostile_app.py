"""A cockpit with a scripted engine in which all that comes from outside is hostile: `python -m tests.tui.hostile_app`."""

from __future__ import annotations

import enum
import itertools
import time
from typing import Any

import msgspec

from engine.history import MemoryHistory
from tests.tui.fake_engine import MONO, FakeEngine
from tests.tui.fake_story import NOW
from tests.tui.key_table import scripted
from tests.tui.test_bots_screen import stands as bots_stand
from tests.tui.test_gates_screen import stands as gates_stand
from tests.tui.test_operations_screen import engine as operated
from tui.app import CockpitApp

TITLE = "PWNED"
#: What each text begins with, in turn: sequences, C1, invisible ones, markup, wide ones, a formula, ten thousand letters.
EVIL = (
    f"\x1b]0;{TITLE}\x07\x1b[666m\x1b[5;5H\x1bPq{TITLE}\x1b\\",
    f"\x9b666m\x9d0;{TITLE}\x9c\x90{TITLE}\x9c\x85",
    "\u202e\u2066\u200b\ufeff\u2028\U000e0041",
    "[bold red]MARK[/] [@click=app.bell]MARK[/] ",
    "比特幣👩\u200d👩\u200d👧한국ＢＴＣ",
    "=cmd|' /C calc'!A0",
    "long" * 2_500,
    "a\u0300\u0301\u0302\u0303\u0304\u0305",
)
#: Words of ours that a program chooses from: a text in their place would be another program's fault.
OURS = frozenset({
    "id", "ledger_id", "bot_id", "order_id", "position_id", "signal_id", "trade_id", "strategy_id", "portfolio_id", "side",
    "order_type", "role", "status", "verdict", "flags", "state", "mode", "config_sha256", "level", "number", "actual", "limit",
    "soft", "hard", "used", "type", "gate", "section", "text", "code", "document", "trace",
})  # fmt: skip
SPARED = frozenset({"text", "code", "gate"})  # of alerts and gates: hostile, too, where they are no key of ours

_turns = itertools.cycle(EVIL)
_known: dict[str, str] = {}


def evil(text: str) -> str:
    """The same text always becomes the same hostile one, so that names still refer to each other."""
    if text not in _known:
        _known[text] = next(_turns) + text
    return _known[text]


def poisoned(value: Any, name: str = "") -> Any:
    """`value` with every text in it made hostile, but those that are words of ours."""
    if isinstance(value, enum.Enum) or (name in OURS and name not in SPARED and isinstance(value, str)):
        return value
    if isinstance(value, str):
        return evil(value)
    if isinstance(value, msgspec.Struct):
        fields = {f: poisoned(getattr(value, f), f) for f in value.__struct_fields__ if f not in ("gates", "cause")}
        return msgspec.structs.replace(value, **fields)
    if isinstance(value, tuple | list):
        parts = [poisoned(one, name) for one in value]
        if hasattr(value, "_fields"):
            return type(value)(*parts)
        return type(value)(parts)
    if isinstance(value, dict):
        return {poisoned(key): poisoned(one, str(key)) for key, one in value.items()}
    return value


def hostile() -> FakeEngine:
    engine = scripted()
    engine.stands = poisoned(
        msgspec.structs.replace(gates_stand(), bots=bots_stand().bots, runners=bots_stand().runners)
    )
    engine.runs_on = poisoned(operated("PostgreSQL").runs_on)
    assert engine.snap is not None
    engine.snap = poisoned(engine.snap)
    engine.log = [msgspec.structs.replace(one, event=poisoned(one.event)) for one in engine.log]
    engine.lines = poisoned(engine.lines)
    engine.tails = {(evil(exchange), evil(symbol)): bars for (exchange, symbol), bars in engine.tails.items()}
    engine.trips = poisoned(engine.trips)
    engine.doing = evil(engine.doing)
    engine.history = MemoryHistory(lambda: engine.log, lambda: NOW)
    return engine


class Beating(CockpitApp):
    """The engine's beat comes with the looks at it."""

    def tick(self) -> None:
        self.engine.change(beat_mono=self.clock(), last_input_mono=self.clock())  # type: ignore[attr-defined]
        super().tick()


if __name__ == "__main__":
    START = time.monotonic()
    Beating(hostile(), crash_log=None, clock=lambda: MONO + time.monotonic() - START).run()
